//! Attempts without an engine: bubblewrap makes the sandbox, a control group of our own binds the limits where this
//! process may make one. An attempt lives and dies with docent: after a restart what was running is unknown, which the
//! core takes for lost and tries again; nothing runs on unseen.

mod bwrap;
mod cgroup;
mod gate;
mod keeper;
mod probe;
mod services;
mod tree;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::core::id::{AttemptId, RunId};

use super::access::CERTIFICATES;
use super::contract::USER;
use super::gate::bundle::Bundle;
use super::rootfs;
use super::{
    Access, Ending, Environment, Executor, ExecutorError, Inventory, Job, Limits, Network, Observation,
    Probe, harvest, input_name, io_error, missing_image,
};
use bwrap::{Places, Root};
use cgroup::Groups;
use keeper::{Keeper, Running, Wish};
use tree::Owner;

const LOOK: Duration = Duration::from_millis(100);

/// What an executor of sandboxes has to be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Random id of this installation: names its control groups.
    pub instance: String,
    /// Docent's state directory: `sandbox/` and `images/` below it are used.
    pub state: PathBuf,
    /// What attempts with a network are given of this host.
    pub access: Access,
    /// Time between TERM and KILL, 10 s at most.
    pub grace: Duration,
    /// Run with programs and libraries of this machine where an image has no root filesystem.
    pub host_root: bool,
    /// Images with which limits may be tried out; the first that is there is taken.
    pub images: Vec<String>,
    /// The way out of tiers with `network = "index"`.
    pub gate: super::gate::Settings,
}

impl Settings {
    /// The usual, for this installation.
    pub fn new(instance: impl Into<String>, state: impl Into<PathBuf>) -> Self {
        Self {
            instance: instance.into(),
            state: state.into(),
            access: Access::of_this_process(),
            grace: Duration::from_secs(10),
            host_root: false,
            images: Vec::new(),
            gate: super::gate::Settings::default(),
        }
    }
}

/// This machine, as a place where attempts run. Clones share it.
#[derive(Debug, Clone)]
pub struct Sandbox {
    settings: Arc<Settings>,
    version: String,
    program: PathBuf,
    can_disable_namespaces: bool,
    groups: Groups,
    running: Arc<Mutex<HashMap<AttemptId, Arc<Running>>>>,
    turns: Arc<Mutex<HashMap<AttemptId, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Sandbox {
    /// Finds bubblewrap and makes sure that it works here, by running it.
    pub fn connect(settings: Settings) -> Result<Self, ExecutorError> {
        let program = find("bwrap").ok_or_else(|| {
            ExecutorError::Unreachable(
                "`bwrap` is not installed: install bubblewrap, or use a container engine".to_owned(),
            )
        })?;
        let text = |word: &str| {
            let output = Command::new(&program).arg(word).output();
            output.map(|it| {
                String::from_utf8_lossy(&it.stdout).into_owned() + &String::from_utf8_lossy(&it.stderr)
            })
        };
        let version = text("--version").map_err(|error| io_error("running bwrap", error))?;
        let version = version.split_whitespace().last().unwrap_or("of unknown version").to_owned();
        let can_disable_namespaces = text("--help").is_ok_and(|help| help.contains("--disable-userns"));
        let sandbox = Self {
            settings: Arc::new(settings),
            version,
            program,
            can_disable_namespaces,
            groups: Groups::find(),
            running: Arc::default(),
            turns: Arc::default(),
        };
        fs::create_dir_all(sandbox.home())
            .map_err(|error| io_error(format!("making {}", sandbox.home().display()), error))?;
        sandbox.try_out()?;
        Ok(sandbox)
    }

    /// As the user that attempts have, in the directory that they are in.
    fn try_out(&self) -> Result<(), ExecutorError> {
        let mut command = Command::new(&self.program);
        command.args(["--unshare-all", "--ro-bind", "/", "/", "--chdir"]).arg(self.home());
        command.args(["/bin/sh", "-c", ":"]).env_clear().current_dir("/");
        let is_root = nix::unistd::geteuid().is_root();
        if is_root {
            command.uid(USER).gid(USER);
        }
        let output = command.output().map_err(|error| io_error("running bwrap", error))?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let hint = if text.contains("chdir") && is_root {
            format!(
                "docent is root, so sandboxes run as user {USER}, who must be able to reach that directory: `chmod o+x` \
                 it and those above it, or use another state_dir"
            )
        } else {
            "user namespaces may be off (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone) or bound to \
             an AppArmor profile (Ubuntu from 23.10: kernel.apparmor_restrict_unprivileged_userns)"
                .to_owned()
        };
        Err(ExecutorError::Unreachable(format!("bubblewrap cannot make a sandbox here: {text}. {hint}")))
    }

    /// Whether this image has a root filesystem here.
    pub fn image_exists(&self, image: &str) -> bool {
        rootfs::directory(&self.settings.state, image).is_dir()
    }

    fn home(&self) -> PathBuf {
        self.settings.state.join("sandbox")
    }

    fn places(&self, attempt: &AttemptId) -> Places {
        Places { home: self.home().join(attempt.to_string()), environment: self.environment(attempt.run) }
    }

    fn environment(&self, run: RunId) -> PathBuf {
        self.home().join(format!("env-{run}"))
    }

    fn group(&self, attempt: &AttemptId) -> cgroup::Group {
        let prefix: String = self.settings.instance.chars().take(8).collect();
        self.groups.group(&format!("docent-{prefix}-{attempt}"))
    }

    fn running(&self, attempt: &AttemptId) -> Option<Arc<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).get(attempt).cloned()
    }

    fn turn(&self, attempt: &AttemptId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(attempt.clone()).or_default().clone()
    }

    /// How it ended, if it has and anybody wrote it down.
    fn recorded(&self, attempt: &AttemptId) -> Option<Ending> {
        serde_json::from_slice(&fs::read(self.places(attempt).ending()).ok()?).ok()
    }

    fn root(&self, job: &Job) -> Result<Root, ExecutorError> {
        let directory = rootfs::directory(&self.settings.state, &job.image);
        if directory.is_dir() {
            Ok(Root::Image(directory))
        } else if self.settings.host_root {
            Ok(Root::Host)
        } else {
            Err(missing_image(job))
        }
    }

    fn prepare(&self, job: &Job, places: &Places) -> io::Result<()> {
        tree::make(&places.home, Owner::Docent)?;
        tree::copy(&job.repo, &places.place("repo"), Owner::Sandbox)?;
        tree::copy(&job.recipe, &places.place("recipe"), Owner::Docent)?;
        tree::make(&places.place("out"), Owner::Sandbox)?;
        let input = places.place("in");
        tree::make(&input, Owner::Docent)?;
        for (name, content) in &job.inputs {
            fs::write(input.join(input_name(name)?), content)?;
        }
        if let (Some(certificates), true) = (&self.settings.access.certificates, job.network != Network::None)
        {
            fs::write(input.join(CERTIFICATES.trim_start_matches("/in/")), certificates)?;
        }
        keeper::make_status(&places.status())?;
        if job.environment != Environment::None && !places.environment.exists() {
            match tree::make(&places.environment, Owner::Sandbox) {
                // Another attempt of the run was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
        Ok(())
    }

    fn start(&self, job: &Job, root: Root) -> Result<Arc<Running>, ExecutorError> {
        let places =
            Places { environment: self.environment(job.environment_of), ..self.places(&job.attempt) };
        if super::needs_environment(job) && !places.environment.is_dir() {
            return Err(super::gone(job));
        }
        self.prepare(job, &places)
            .map_err(|error| io_error(format!("preparing the directories of {}", job.attempt), error))?;
        let (gate, access) = match job.network {
            Network::None => (None, Default::default()),
            Network::Index => (Some(self.open_gate(job, &places)?), self.variables_of_index()),
            Network::Egress => (None, self.settings.access.variables()),
        };
        Keeper {
            job: job.clone(),
            places,
            root,
            program: self.program.clone(),
            can_disable_namespaces: self.can_disable_namespaces,
            access,
            gate,
            group: self.group(&job.attempt),
            is_grouped: !matches!(self.groups, Groups::Nowhere { .. }),
            grace: self.settings.grace,
        }
        .start()
    }

    fn open_gate(&self, job: &Job, places: &Places) -> Result<gate::Open, ExecutorError> {
        let Settings { gate, state, access, .. } = &*self.settings;
        let opened = Bundle::of(&gate.program)
            .and_then(|bundle| gate::open(places, &state.join("gate"), &bundle, gate.policy(access)?));
        opened.map_err(|error| io_error(format!("opening a gate for {}", job.attempt), error))
    }

    fn variables_of_index(&self) -> BTreeMap<String, String> {
        super::gate::variables(&self.settings.access, "127.0.0.1")
    }

    /// Ends it if it runs, and removes what there is. Blocks.
    fn clear(&self, attempt: &AttemptId) -> Result<(), ExecutorError> {
        let group = self.group(attempt);
        // Left by a docent that was killed before the kernel ended its children.
        group.kill();
        group.remove();
        tree::remove(&self.places(attempt).home)
            .map_err(|error| io_error(format!("removing the directories of {attempt}"), error))
    }

    async fn ask_and_wait(&self, attempt: &AttemptId, wish: Wish) {
        if let Some(running) = self.running(attempt) {
            running.ask(wish);
            // An error says that the thread is gone, and the sandbox with it.
            let _ = running.ended.clone().wait_for(Option::is_some).await;
        }
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file())
}

async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, ExecutorError> + Send + 'static,
) -> Result<T, ExecutorError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ExecutorError::Broken(format!("{what}: {error}")))?
}

impl Executor for Sandbox {
    async fn probe(&self) -> Result<Probe, ExecutorError> {
        probe::probe(self).await
    }

    async fn submit(&self, job: &Job) -> Result<(), ExecutorError> {
        let turn = self.turn(&job.attempt);
        let _alone = turn.lock().await;
        if self.running(&job.attempt).is_some() || self.recorded(&job.attempt).is_some() {
            return Ok(());
        }
        if job.command.is_empty() {
            return Err(ExecutorError::Broken(format!("{} has no command: a tier needs `run`", job.attempt)));
        }
        let root = self.root(job)?;
        let (sandbox, work) = (self.clone(), job.clone());
        let running = blocking("starting a sandbox", move || {
            sandbox.clear(&work.attempt)?;
            sandbox.start(&work, root).inspect_err(|_| {
                if let Err(error) = sandbox.clear(&work.attempt) {
                    tracing::warn!(attempt = %work.attempt, %error, "something may be left of a failed submission");
                }
            })
        })
        .await?;
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(job.attempt.clone(), running);
        Ok(())
    }

    async fn observe(&self, attempt: &AttemptId) -> Result<Observation, ExecutorError> {
        if let Some(running) = self.running(attempt) {
            let ended = running.ended.borrow().clone();
            return match ended {
                None => Ok(Observation::Running),
                Some(ending) => ending.map(Observation::Ended),
            };
        }
        Ok(self.recorded(attempt).map_or(Observation::Unknown, Observation::Ended))
    }

    async fn wait(&self, attempt: &AttemptId, _limits: &Limits, log: &Path) -> Result<Ending, ExecutorError> {
        let broken = |error| io_error(format!("writing the log {}", log.display()), error);
        let mut copy = Copy::begin(&self.places(attempt).log(), log).map_err(broken)?;
        let Some(running) = self.running(attempt) else {
            copy.go_on().map_err(broken)?;
            return self
                .recorded(attempt)
                .ok_or_else(|| ExecutorError::Broken(format!("there is no attempt {attempt} to wait for")));
        };
        let mut ended = running.ended.clone();
        loop {
            let ending = ended.borrow().clone();
            copy.go_on().map_err(broken)?;
            if let Some(ending) = ending {
                return ending;
            }
            if let Ok(Err(_)) = tokio::time::timeout(LOOK, ended.wait_for(Option::is_some)).await {
                return Err(ExecutorError::Broken(format!("the thread that keeps {attempt} ended early")));
            }
        }
    }

    async fn cancel(&self, attempt: &AttemptId) -> Result<(), ExecutorError> {
        let turn = self.turn(attempt);
        let _alone = turn.lock().await;
        self.ask_and_wait(attempt, Wish::Cancel).await;
        Ok(())
    }

    async fn collect(&self, attempt: &AttemptId, into: &Path, max_bytes: u64) -> Result<(), ExecutorError> {
        match self.observe(attempt).await? {
            Observation::Ended(_) => {}
            Observation::Running => {
                return Err(ExecutorError::Broken(format!(
                    "{attempt} has not ended: nothing can be collected yet"
                )));
            }
            Observation::Unknown => {
                return Err(ExecutorError::Broken(format!("there is no attempt {attempt} to collect from")));
            }
        }
        let (from, to) = (self.places(attempt).place("out"), into.to_owned());
        blocking("collecting /out", move || {
            harvest::copy(&from, &to, max_bytes)
                .map_err(|error| io_error(format!("collecting /out into {}", to.display()), error))
        })
        .await
    }

    async fn remove(&self, attempt: &AttemptId) -> Result<(), ExecutorError> {
        self.ask_and_wait(attempt, Wish::Kill).await;
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(attempt);
        let (sandbox, attempt) = (self.clone(), attempt.clone());
        blocking("removing an attempt", move || sandbox.clear(&attempt)).await
    }

    async fn release(&self, run: RunId) -> Result<(), ExecutorError> {
        for attempt in self.list().await?.attempts.into_iter().filter(|attempt| attempt.run == run) {
            self.remove(&attempt).await?;
        }
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).retain(|attempt, _| attempt.run != run);
        Ok(())
    }

    async fn drop_environment(&self, run: RunId) -> Result<(), ExecutorError> {
        let environment = self.environment(run);
        blocking("removing an environment", move || {
            tree::remove(&environment)
                .map_err(|error| io_error(format!("removing the environment of run {run}"), error))
        })
        .await
    }

    async fn environment_bytes(&self, attempt: &AttemptId) -> Result<Option<u64>, ExecutorError> {
        let environment = self.environment(attempt.run);
        blocking("measuring an environment", move || {
            Ok(environment.is_dir().then(|| super::usage::occupied(&[environment], u64::MAX)).flatten())
        })
        .await
    }

    async fn identify(&self, image: &str) -> Result<Option<String>, ExecutorError> {
        Ok(rootfs::identity(&self.settings.state, image))
    }

    async fn list(&self) -> Result<Inventory, ExecutorError> {
        let broken = |error| io_error(format!("reading {}", self.home().display()), error);
        let mut inventory = Inventory::default();
        for entry in fs::read_dir(self.home()).map_err(broken)? {
            let name = entry.map_err(broken)?.file_name();
            let name = name.to_string_lossy();
            if let Ok(attempt) = name.parse::<AttemptId>() {
                inventory.runs.push(attempt.run);
                inventory.attempts.push(attempt);
            } else if let Some(run) = name.strip_prefix("env-").and_then(|run| run.parse().ok()) {
                inventory.environments.push(RunId(run));
            }
        }
        inventory.attempts.sort();
        inventory.runs.sort();
        inventory.runs.dedup();
        inventory.environments.sort();
        Ok(inventory)
    }
}

/// A file that is copied while it grows.
struct Copy {
    from: PathBuf,
    to: File,
    copied: u64,
}

impl Copy {
    fn begin(from: &Path, to: &Path) -> io::Result<Self> {
        Ok(Self { from: from.to_owned(), to: File::create(to)?, copied: 0 })
    }

    fn go_on(&mut self) -> io::Result<()> {
        let mut from = match File::open(&self.from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        from.seek(io::SeekFrom::Start(self.copied))?;
        self.copied += io::copy(&mut from, &mut self.to)?;
        self.to.flush()
    }
}
