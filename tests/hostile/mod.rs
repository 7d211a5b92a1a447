//! What every executor has to withstand: one table of hostile and unlucky attempts, the same for all of them.
#![allow(dead_code, reason = "each test binary uses the part of it that its executor can keep")]

pub mod cases;
pub mod networks;
pub mod tiny;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use docent::core::id::{AttemptId, RunId};
use docent::executor::{Ending, Environment, Executor, Job, Limits, Network};

/// Small enough that every limit is reached within seconds.
pub const LIMITS: Limits = Limits {
    memory_bytes: 64 << 20,
    cpus: 1.0,
    processes: 64,
    disk_bytes: 64 << 20,
    log_bytes: 1 << 20,
    timeout_seconds: 60,
};

/// Says that nothing was tested, or fails where CI demands that it is.
pub fn not_run(what: &str, why: &str) {
    let required = std::env::var("DOCENT_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|it| it.trim() == what), "DOCENT_REQUIRE demands {what}: {why}");
    println!("not run: {why}");
}

/// The gate of the program itself, for which this test binary is none. Where a test names hosts, they are these.
pub fn gate() -> docent::executor::gate::Settings {
    docent::executor::gate::Settings { program: env!("CARGO_BIN_EXE_docent").into(), ..Default::default() }
}

/// Runs and their files, for one executor.
pub struct Bench<E> {
    pub executor: E,
    /// Stands for `MARK` in commands: a number of seconds by which this bench's processes are found among all others.
    pub mark: String,
    pub scratch: tempfile::TempDir,
}

/// What became of one attempt.
#[derive(Debug)]
pub struct Told {
    pub ending: Ending,
    pub log: Vec<u8>,
}

impl Told {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.log).into_owned()
    }
}

/// Runs of one test process never share a number.
pub fn new_run() -> RunId {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    RunId(NEXT.fetch_add(1, Ordering::Relaxed))
}

impl<E: Executor> Bench<E> {
    pub fn new(executor: E) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        for directory in ["repo", "recipe"] {
            std::fs::create_dir(scratch.path().join(directory)).unwrap();
            std::fs::write(scratch.path().join(directory).join("here"), directory).unwrap();
        }
        std::os::unix::fs::symlink("/etc/shadow", scratch.path().join("repo/link")).unwrap();
        nix::unistd::mkfifo(&scratch.path().join("repo/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        static NEXT: AtomicI64 = AtomicI64::new(100);
        let mark = format!("{}{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { executor, mark, scratch }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A job of a run of its own that runs this script.
    pub fn job(&self, script: &str) -> Job {
        self.command(&["sh", "-c", script])
    }

    pub fn command(&self, command: &[&str]) -> Job {
        let run = new_run();
        Job {
            environment_of: run,
            attempt: AttemptId { run, tier: "tier".into(), number: 1 },
            image: tiny::TINY.into(),
            command: command.iter().map(|word| word.replace("MARK", &self.mark)).collect(),
            variables: BTreeMap::from([("DOCENT_TIER".to_owned(), "tier".to_owned())]),
            repo: self.path("repo"),
            recipe: self.path("recipe"),
            inputs: BTreeMap::from([("plan.json".to_owned(), b"{\"a\": 1}".to_vec())]),
            environment: Environment::None,
            network: Network::None,
            services: Vec::new(),
            limits: LIMITS,
        }
    }

    pub fn log(&self, job: &Job) -> PathBuf {
        self.path(&format!("{}.log", job.attempt))
    }

    pub async fn wait(&self, job: &Job) -> Told {
        let log = self.log(job);
        let waiting = self.executor.wait(&job.attempt, &job.limits, &log);
        let ending = tokio::time::timeout(Duration::from_secs(120), waiting).await.expect("ends").unwrap();
        Told { ending, log: std::fs::read(log).unwrap() }
    }

    pub async fn run(&self, job: &Job) -> Told {
        self.executor.submit(job).await.unwrap();
        self.wait(job).await
    }

    /// Runs it and removes everything of its run.
    pub async fn run_once(&self, job: &Job) -> Told {
        let told = self.run(job).await;
        self.executor.release(job.attempt.run).await.unwrap();
        told
    }

    /// Waits until the log holds this text.
    pub async fn until_log(&self, job: &Job, text: &str) {
        let log = self.log(job);
        until(&format!("{text:?} in the log"), || {
            std::fs::read_to_string(&log).is_ok_and(|it| it.contains(text))
        })
        .await;
    }
}

/// Waits for a condition, generously.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited in vain for {what}");
}

/// Processes of this machine whose command line holds this word.
pub fn processes(word: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
        .filter(|entry| entry.file_name().to_string_lossy() != own)
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(word))
        .collect()
}

/// Files below a directory, by their path in it.
pub fn files(directory: &Path) -> Vec<String> {
    let mut files: Vec<String> = walkdir::WalkDir::new(directory)
        .min_depth(1)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| entry.path().strip_prefix(directory).unwrap().display().to_string())
        .collect();
    files.sort();
    files
}
