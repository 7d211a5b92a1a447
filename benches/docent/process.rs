//! `docent serve` as a process of its own, so that what is measured is the program that operators run.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use docent::core::event::Heartbeat;
use docent::core::time::Time;
use docent::store::Store;
use nix::sys::signal::{Signal, kill};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// How long docent may take to come up, or to do anything else.
const PATIENCE: Duration = Duration::from_secs(180);
/// Longer than any trial of limits.
const TRIAL: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// A running docent; ended when dropped.
pub struct Docent {
    child: Child,
    pub store: Store,
    folder: tempfile::TempDir,
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub resident: u64,
    /// Without the pages of the program's own file, which the machine can take back at any time.
    pub anonymous: u64,
}

impl Docent {
    /// Starts it with this configuration, `[[forge]]` and `[[repository]]`, and these credentials.
    pub async fn start(
        executor: &str,
        tables: &str,
        credentials: &[(&str, &str)],
        recipes: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("docent-bench-").tempdir()?;
        let place = |name: &str| -> PathBuf { folder.path().join(name) };
        for name in ["state", "credentials", "recipes"] {
            std::fs::create_dir(place(name))?;
        }
        for (name, text) in credentials {
            let file = place("credentials").join(name);
            std::fs::write(&file, text)?;
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600))?;
        }
        for (name, text) in recipes {
            std::fs::create_dir(place("recipes").join(name))?;
            std::fs::write(place("recipes").join(name).join("recipe.toml"), text)?;
        }
        let config = format!(
            "state_dir = {:?}\nlisten = \"127.0.0.1:0\"\ncredentials_dir = {:?}\nrecipe_path = [{:?}]\n\
             [executor]\nkind = {executor:?}\n[limits]\nreport_interval = \"1s\"\n{tables}",
            place("state"),
            place("credentials"),
            place("recipes"),
        );
        std::fs::write(place("docent.toml"), config)?;
        // Another build, to compare with.
        let program = std::env::var_os("DOCENT_BENCH_PROGRAM");
        let mut child = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_docent").into()))
            .arg("serve")
            .arg("--config")
            .arg(place("docent.toml"))
            .env("DOCENT_LOG", "warn,docent::cli::search=info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(place("stderr"))?)
            .spawn()
            .context("starting docent")?;
        let until = Instant::now() + PATIENCE;
        let file = place("state").join("docent.db");
        let store = loop {
            // Opened before docent has made it, the state would be made here.
            if file.exists()
                && let Ok(store) = Store::open(&file)
            {
                break store;
            }
            if child.try_wait()?.is_some() || Instant::now() > until {
                bail!("docent did not start: {}", std::fs::read_to_string(place("stderr"))?);
            }
            tokio::time::sleep(LOOK).await;
        };
        let mut docent = Self { child, store, folder };
        // Trying the limits out is not what is measured. A build that does not speak of it has done so by now.
        let tried = Instant::now() + TRIAL;
        while !docent.said().contains("runs can begin") && Instant::now() < tried {
            if docent.child.try_wait()?.is_some() || Instant::now() > until {
                bail!("docent is not ready to run anything: {}", docent.said());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(docent)
    }

    /// Lets the forge be polled `count` times. When it returns, the last of them has just ended.
    pub async fn cycles(&mut self, count: usize) -> anyhow::Result<()> {
        let mut seen: Option<Time> = None;
        let mut turns = 0;
        let until = Instant::now() + PATIENCE;
        while turns <= count {
            let polls = self.store.polls::<Heartbeat>().await?;
            if let Some(poll) = polls.first()
                && seen != Some(poll.began_at)
            {
                let failures = poll.last.as_ref().map(|last| last.failures.clone()).unwrap_or_default();
                if !failures.is_empty() {
                    bail!("a poll failed: {}", failures.join("; "));
                }
                seen = Some(poll.began_at);
                turns += 1;
            }
            if Instant::now() > until {
                bail!("only {turns} polls in {} s: {}", PATIENCE.as_secs(), self.said());
            }
            if let Some(ended) = self.child.try_wait()? {
                bail!("docent ended ({ended}): {}", self.said());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// What it wrote to standard error.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }

    /// CPU used so far by all its threads, those that have ended too.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(clock_getcpuclockid(self.pid()?)?.now()?.into())
    }

    /// What it holds now.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let bytes = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
            Ok(kilobytes.with_context(|| format!("no {name} in /proc"))?.parse::<u64>()? * 1024)
        };
        Ok(Memory { resident: bytes("VmRSS")?, anonymous: bytes("RssAnon")? })
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }
}

impl Drop for Docent {
    fn drop(&mut self) {
        if let Ok(pid) = self.pid() {
            let _ = kill(pid, Signal::SIGTERM);
        }
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
