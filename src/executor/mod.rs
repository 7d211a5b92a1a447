//! Executors: where untrusted code runs.
//!
//! One trait with written promises, that a Swarm or a Slurm cluster could keep as well: an executor shares no disk
//! with docent. What goes in is given at submission, what comes out is collected, and what a run keeps between its
//! attempts (its environment) stays with the executor until the run is released.

mod access;
mod contract;
mod harvest;
mod log;
mod trial;
mod usage;

pub mod any;
pub mod awaited;
pub mod container;
pub mod gate;
pub mod rootfs;
pub mod sandbox;
pub mod scripted;
pub mod services;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::core::id::{AttemptId, RunId};
pub use crate::core::outcome::Ending;
pub use crate::core::recipe::{Environment, Limits, Network};
pub use access::Access;
pub use services::{Deployment, Fallen, Services};
pub use trial::RUN as TRIAL;

/// One attempt, described so that nothing dangerous can be said: no host path but docent's own inputs, no
/// capability, no device, no socket, no user, no privilege can be expressed.
#[derive(Debug, Clone)]
pub struct Job {
    /// Name of the attempt. Submitting the same name again adopts what is there.
    pub attempt: AttemptId,
    /// Image by name or digest; what it means is the executor's (a sandbox has a root filesystem of that name).
    pub image: String,
    /// Program and arguments; no shell.
    pub command: Vec<String>,
    /// Variables beyond `PATH`, `HOME=/tmp`, `LANG` and the contract's own.
    pub variables: BTreeMap<String, String>,
    /// Copied to `/repo`, writable there.
    pub repo: PathBuf,
    /// Copied to `/recipe`, read-only there.
    pub recipe: PathBuf,
    /// Files of `/in`, read-only there: name → content.
    pub inputs: BTreeMap<String, Vec<u8>>,
    /// What `/env` is.
    pub environment: Environment,
    /// Whose environment it is: the run's own, or one that an earlier run has built and left.
    pub environment_of: RunId,
    /// What it may reach.
    pub network: Network,
    /// Services of its run that it reaches besides, each by its name.
    pub services: Vec<String>,
    /// Its limits.
    pub limits: Limits,
}

/// An attempt as seen now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// Not ended.
    Running,
    /// Ended.
    Ended(Ending),
    /// There is no such attempt: never submitted, or gone with its machine.
    Unknown,
}

/// Which limits bind on this machine, established by trying, not by asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// `docker 20.10.24`, `podman 4.3.1`, `bwrap 0.8.0`, …
    pub engine: String,
    /// Limit → how it is enforced, or why it is not.
    pub limits: BTreeMap<String, Binding>,
}

/// Whether one limit binds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "binding")]
pub enum Binding {
    /// Yes, by this means.
    Bound { by: String },
    /// No, for this reason.
    Unbound { why: String },
}

/// What went wrong between docent and the executor. Always the machinery's fault, never the author's.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExecutorError {
    /// The engine does not answer; it may come back.
    #[error("the executor cannot be reached: {0}")]
    Unreachable(String),
    /// The image is not there.
    #[error("the image {image} is missing: make it with `docent recipe build {recipe}`")]
    MissingImage { image: String, recipe: String },
    /// The engine refused, or did something that it should not.
    #[error("{0}")]
    Broken(String),
    /// Reading or writing files of docent's own failed.
    #[error("{what}: {source}")]
    Io {
        what: String,
        #[source]
        source: std::sync::Arc<std::io::Error>,
    },
}

/// Inputs are docent's own; a slash in a name is a mistake that should be heard of.
fn input_name(name: &str) -> std::io::Result<&str> {
    let is_plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    is_plain.then_some(name).ok_or_else(|| {
        std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            format!("an input cannot be called {name:?}: use a plain file name"),
        )
    })
}

fn io_error(what: impl Into<String>, source: std::io::Error) -> ExecutorError {
    ExecutorError::Io { what: what.into(), source: std::sync::Arc::new(source) }
}

/// Whether the environment that an earlier run has made must be there already.
fn needs_environment(job: &Job) -> bool {
    job.environment != Environment::None && job.environment_of != job.attempt.run
}

/// It is not: an empty one in its place would fail the author's work.
fn gone(job: &Job) -> ExecutorError {
    ExecutorError::Broken(format!("the environment of run {} is gone from the executor", job.environment_of))
}

/// The image of this job is missing. Its recipe is known by the image's own name: `docent/notebook:1`.
fn missing_image(job: &Job) -> ExecutorError {
    let last = job.image.rsplit('/').next().unwrap_or_default();
    let recipe = last.split([':', '@']).next().unwrap_or_default().to_owned();
    ExecutorError::MissingImage { image: job.image.clone(), recipe }
}

/// A place where attempts run. Every method may be called again after a crash at any point.
pub trait Executor: Services {
    /// Returns when attempts may be started. What runs already need not wait for this.
    fn ready(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Establishes what is there and which limits bind.
    fn probe(&self) -> impl Future<Output = Result<Probe, ExecutorError>> + Send;

    /// When it returns, the attempt runs or has ended, under its name. If an attempt of that name exists already it is
    /// adopted as it is and nothing is started. If it fails, nothing of the attempt is left.
    ///
    /// A container survives docent; a sandbox dies with it, and is unknown to the next docent. What an attempt writes
    /// before anybody waits for it may hold it back.
    fn submit(&self, job: &Job) -> impl Future<Output = Result<(), ExecutorError>> + Send;

    /// What the attempt is doing. The executor enforces the limits of the job whether or not anybody observes, as long as
    /// docent runs; after a restart of docent `submit` or `observe` resumes the enforcement.
    fn observe(&self, attempt: &AttemptId)
    -> impl Future<Output = Result<Observation, ExecutorError>> + Send;

    /// Waits until the attempt has ended, appending what it writes (both streams, in order of arrival) to `log` while it
    /// runs; lossless up to the log limit.
    ///
    /// Called again for the same attempt, perhaps after a restart of docent, it writes the log anew from its beginning. Where
    /// an engine has thrown that away meanwhile, what `log` held stays, a line says so, and what the engine still has follows.
    fn wait(
        &self,
        attempt: &AttemptId,
        limits: &Limits,
        log: &Path,
    ) -> impl Future<Output = Result<Ending, ExecutorError>> + Send;

    /// Ends the attempt: TERM, a grace of at most 10 s, KILL. When it returns no process of the attempt is left; [`Executor::wait`]
    /// then answers [`Ending::Cancelled`]. Cancelling what has ended, or is unknown, is no error.
    fn cancel(&self, attempt: &AttemptId) -> impl Future<Output = Result<(), ExecutorError>> + Send;

    /// Copies `/out` of an ended attempt into `into` (made anew): regular files and directories only, at most `max_bytes` in all.
    fn collect(
        &self,
        attempt: &AttemptId,
        into: &Path,
        max_bytes: u64,
    ) -> impl Future<Output = Result<(), ExecutorError>> + Send;

    /// Removes everything of the attempt but the run's environment. When it returns nothing of it is left; again is no error.
    fn remove(&self, attempt: &AttemptId) -> impl Future<Output = Result<(), ExecutorError>> + Send;

    /// Removes everything of the run but its environment, which may serve later runs: attempts, services, networks.
    fn release(&self, run: RunId) -> impl Future<Output = Result<(), ExecutorError>> + Send;

    /// Removes the environment of the run. When it returns nothing of it is left; one that is not there is no error.
    fn drop_environment(&self, run: RunId) -> impl Future<Output = Result<(), ExecutorError>> + Send;

    /// How large the environment is that the run of this ended attempt makes, in bytes. None: there is none, or it cannot be told.
    fn environment_bytes(
        &self,
        attempt: &AttemptId,
    ) -> impl Future<Output = Result<Option<u64>, ExecutorError>> + Send;

    /// Which image really stands behind this name now: another one, another identity. None: not there, or not to be told.
    fn identify(&self, image: &str) -> impl Future<Output = Result<Option<String>, ExecutorError>> + Send;

    /// Everything of this docent that exists, running or not, for recovery.
    fn list(&self) -> impl Future<Output = Result<Inventory, ExecutorError>> + Send;
}

/// What exists at an executor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Attempts, running or ended.
    pub attempts: Vec<AttemptId>,
    /// Runs that own anything but an environment (attempts, services, networks).
    pub runs: Vec<RunId>,
    /// Runs that own an environment.
    pub environments: Vec<RunId>,
}
