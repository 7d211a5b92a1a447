//! One thread per attempt: it starts the sandbox, enforces what docent enforces, and stays until the sandbox is gone.
//! A thread, because the kernel ties «die with the parent» to the thread that started the child, and threads of a
//! runtime come and go.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;

use crate::executor::contract::USER;
use crate::executor::gate::inside::CANNOT_START;
use crate::executor::log::{CappedLog, add_lines};
use crate::executor::{Ending, ExecutorError, Job, io_error, usage};

use super::bwrap::{self, Places, Root};
use super::cgroup::Group;

const LOOK: Duration = Duration::from_millis(20);
const LOOK_AT_DISK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// What was asked of a running attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// Let it run.
    Run,
    /// TERM, grace, KILL.
    Cancel,
    /// KILL at once.
    Kill,
}

/// A running attempt, seen from outside its thread.
#[derive(Debug)]
pub struct Running {
    wish: Mutex<Wish>,
    /// How it ended; or what went wrong with us.
    pub ended: watch::Receiver<Option<Result<Ending, ExecutorError>>>,
}

impl Running {
    /// Asks; a stronger wish replaces a weaker one.
    pub fn ask(&self, wish: Wish) {
        let mut current = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        *current = wish.max(*current);
    }

    fn wish(&self) -> Wish {
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a keeper needs.
#[derive(Debug)]
pub struct Keeper {
    /// The work.
    pub job: Job,
    /// Its directories, filled.
    pub places: Places,
    /// What `/` is.
    pub root: Root,
    /// Bubblewrap.
    pub program: PathBuf,
    /// It knows `--disable-userns`.
    pub can_disable_namespaces: bool,
    /// Variables that come with a network; none without.
    pub access: std::collections::BTreeMap<String, String>,
    /// The way out, if there is one.
    pub gate: Option<super::gate::Open>,
    /// The control group; it binds nothing where none can be made.
    pub group: Group,
    /// Whether it binds.
    pub is_grouped: bool,
    /// Time between TERM and KILL.
    pub grace: Duration,
}

impl Keeper {
    /// Starts the sandbox and the thread that keeps it. When it returns, the program is about to run.
    pub fn start(self) -> Result<Arc<Running>, ExecutorError> {
        let (sender, ended) = watch::channel(None);
        let running = Arc::new(Running { wish: Mutex::new(Wish::Run), ended });
        let seen = running.clone();
        let (started, is_started) = std::sync::mpsc::channel();
        let name = format!("keeper {}", self.job.attempt);
        thread::Builder::new()
            .name(name.chars().take(15).collect())
            .spawn(move || {
                match self.spawn() {
                    Ok((child, log)) => {
                        let _ = started.send(Ok(()));
                        let ending = self.keep(child, log, &seen);
                        let ending = ending.and_then(|ending| self.record(ending));
                        sender.send_replace(Some(ending));
                    }
                    Err(error) => {
                        self.group.remove();
                        let _ = started.send(Err(error));
                    }
                };
            })
            .map_err(|error| io_error("starting a thread", error))?;
        is_started.recv().map_err(|_| {
            ExecutorError::Broken("the thread that keeps the sandbox ended early".to_owned())
        })??;
        Ok(running)
    }

    fn spawn(&self) -> Result<(Child, thread::JoinHandle<io::Result<()>>), ExecutorError> {
        let words = bwrap::command(
            &self.program,
            self.can_disable_namespaces,
            &self.job,
            &self.root,
            &self.places,
            &self.access,
            self.gate.as_ref(),
        );
        let (reader, writer) = io::pipe().map_err(|error| io_error("making a pipe", error))?;
        let again = writer.try_clone().map_err(|error| io_error("making a pipe", error))?;
        let log = CappedLog::create(&self.places.log(), self.job.limits.log_bytes)
            .map_err(|error| io_error("making the log", error))?;
        self.group.make(&self.job.limits).map_err(in_group)?;

        let mut command = Command::new("/bin/sh");
        command.args(bwrap::shell(&self.places, &self.job, self.is_grouped, words));
        command.env_clear().current_dir("/").stdin(Stdio::piped()).stdout(writer).stderr(again);
        if nix::unistd::geteuid().is_root() {
            // A breakout is nobody then, not root.
            command.uid(USER).gid(USER);
        }
        let mut child = command.spawn().map_err(|error| io_error("starting the sandbox", error))?;
        // The command holds ends of the pipe too: with them open, the log would never end.
        drop(command);
        let taken = self.group.take(child.id()).map_err(in_group);
        let told = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(b"go\n"));
        if let Err(error) = taken.and(told.map_err(|error| io_error("starting the sandbox", error))) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        let log = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || pump(reader, log))
            .map_err(|error| io_error("starting a thread", error))?;
        Ok((child, log))
    }

    fn keep(
        &self,
        mut child: Child,
        log: thread::JoinHandle<io::Result<()>>,
        running: &Running,
    ) -> Result<Ending, ExecutorError> {
        let deadline = Instant::now() + Duration::from_secs(self.job.limits.timeout_seconds);
        let writable = self.places.writable(self.job.environment);
        let allowed =
            usage::occupied(&writable, u64::MAX).unwrap_or(0).saturating_add(self.job.limits.disk_bytes);
        let mut next_look = Instant::now() + LOOK_AT_DISK;
        let mut reason = None;
        let mut kill_at = None;
        let status = loop {
            if let Some(status) =
                child.try_wait().map_err(|error| io_error("waiting for the sandbox", error))?
            {
                break status;
            }
            let now = Instant::now();
            if reason.is_none() {
                if running.wish() >= Wish::Cancel {
                    reason = Some(Ending::Cancelled);
                } else if now >= deadline {
                    reason = Some(Ending::TimedOut);
                } else if now >= next_look {
                    let is_within = usage::occupied(&writable, allowed).is_some_and(|bytes| bytes <= allowed);
                    reason = (!is_within).then_some(Ending::OutOfDisk);
                    next_look = Instant::now() + LOOK_AT_DISK;
                }
                if reason.is_some() {
                    terminate(child.id());
                    kill_at = Some(now + self.grace);
                }
            }
            if running.wish() == Wish::Kill || kill_at.is_some_and(|at| now >= at) {
                let _ = child.kill();
            }
            thread::sleep(LOOK);
        };
        let first = self.first_process();
        if !self.group.kill() || !is_gone(first) {
            tracing::warn!(attempt = %self.job.attempt, "processes of a sandbox do not go away");
        }
        let killed_for_memory = self.group.killed_for_memory() > 0;
        self.group.remove();
        if let Ok(Err(error)) = log.join() {
            return Err(io_error("writing the log", error));
        }
        let refused = self.gate.as_ref().map(|gate| gate.told.lines()).unwrap_or_default();
        add_lines(&self.places.log(), &refused).map_err(|error| io_error("writing the log", error))?;
        Ok(reason.unwrap_or_else(|| self.judge(status, killed_for_memory)))
    }

    /// How it ended when docent did not end it.
    fn judge(&self, status: ExitStatus, killed_for_memory: bool) -> Ending {
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(9));
        if killed_for_memory && code == 137 {
            return Ending::OutOfMemory;
        }
        // Bubblewrap notes an exit code only of a program that began.
        let noted = fs::read_to_string(self.places.status()).unwrap_or_default();
        if status.signal().is_none() && !noted.contains("\"exit-code\"") {
            let text = fs::read(self.places.log()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let why = text.lines().rev().find(|line| !line.trim().is_empty());
            return Ending::NotStarted { why: why.unwrap_or("the sandbox could not be made").to_owned() };
        }
        if self.gate.is_some() && matches!(code, 126 | 127) {
            let text = fs::read(self.places.log()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            if let Some(why) = text.lines().next().filter(|line| line.starts_with(CANNOT_START)) {
                return Ending::NotStarted { why: why.to_owned() };
            }
        }
        Ending::Exited { code }
    }

    /// The first process inside, by its number outside.
    fn first_process(&self) -> Option<i32> {
        first_process(&fs::read_to_string(self.places.status()).ok()?)
    }

    /// Written down whole or not at all: after a restart it is the only witness.
    fn record(&self, ending: Ending) -> Result<Ending, ExecutorError> {
        let place = self.places.ending();
        let write = || {
            let new = place.with_extension("new");
            fs::write(&new, serde_json::to_vec(&ending)?)?;
            fs::rename(new, &place)
        };
        write().map_err(|error| io_error("noting how an attempt ended", error))?;
        Ok(ending)
    }
}

fn in_group((path, error): (PathBuf, io::Error)) -> ExecutorError {
    io_error(format!("control group: {}", path.display()), error)
}

fn pump(mut reader: impl Read, mut log: CappedLog) -> io::Result<()> {
    let mut buffer = [0; 64 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return log.finish(),
            Ok(count) => log.append(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// TERM to the program itself, as an engine does; what it started is its own affair during the grace.
fn terminate(bubblewrap: u32) {
    let Ok(processes) = fs::read_dir("/proc") else { return };
    let processes: Vec<(i32, i32)> = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let children = |of: i32| processes.iter().filter(move |(_, parent)| *parent == of).map(|(pid, _)| *pid);
    let Ok(bubblewrap) = i32::try_from(bubblewrap) else { return };
    for first in children(bubblewrap) {
        // The first inside reaps; the second is the program.
        for program in children(first).filter(|pid| number_inside(*pid) == Some(2)) {
            let _ = kill(Pid::from_raw(program), Signal::SIGTERM);
        }
    }
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn number_inside(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

fn first_process(noted: &str) -> Option<i32> {
    let line = noted.lines().find(|line| line.contains("child-pid"))?;
    serde_json::from_str::<serde_json::Value>(line).ok()?.get("child-pid")?.as_i64()?.try_into().ok()
}

/// With the first process, the kernel ends all others of its namespace.
fn is_gone(first: Option<i32>) -> bool {
    let Some(first) = first else { return true };
    let deadline = Instant::now() + PATIENCE;
    while Path::new(&format!("/proc/{first}")).exists() && number_inside(first) == Some(1) {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(LOOK);
    }
    true
}

/// Makes an empty file that the sandbox's user may write.
pub fn make_status(path: &Path) -> io::Result<()> {
    File::create(path).map(drop)?;
    super::tree::give(path)
}
