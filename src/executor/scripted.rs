//! An executor that runs nothing: attempts end as a table says, when a test says. Clones share everything, so that it
//! outlives a daemon as an engine does.

mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::core::id::{AttemptId, RunId};

use super::harvest::Harvest;
use super::log::CappedLog;
use super::{
    Deployment, Ending, Environment, Executor, ExecutorError, Inventory, Job, Limits, Observation, Probe,
    io_error, trial,
};

/// What an attempt does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// How it ends.
    pub ending: Ending,
    /// What it writes.
    pub log: String,
    /// What it leaves in `/out`, by path.
    pub out: BTreeMap<String, Vec<u8>>,
    /// It runs until [`Scripted::let_end`] or a cancellation.
    pub is_held: bool,
}

impl Part {
    /// Ends at once with this code.
    pub fn exits(code: i32) -> Self {
        Self::ends(Ending::Exited { code })
    }

    /// Ends at once like this.
    pub fn ends(ending: Ending) -> Self {
        Self { ending, log: String::new(), out: BTreeMap::new(), is_held: false }
    }

    /// The same, writing this.
    pub fn writing(mut self, log: impl Into<String>) -> Self {
        self.log = log.into();
        self
    }

    /// The same, leaving this file in `/out`.
    pub fn leaving(mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.out.insert(path.into(), content.into());
        self
    }

    /// The same, but it runs until it is let end.
    pub fn held(mut self) -> Self {
        self.is_held = true;
        self
    }
}

/// The table and what became of it.
#[derive(Debug, Clone)]
pub struct Scripted {
    state: Arc<Mutex<State>>,
    /// Counts every change, for those who wait for one.
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Debug)]
struct State {
    parts: BTreeMap<String, Part>,
    otherwise: Part,
    refusals: Vec<ExecutorError>,
    is_down: bool,
    submissions: Vec<Job>,
    attempts: BTreeMap<AttemptId, Attempt>,
    environments: BTreeSet<RunId>,
    environment_bytes: u64,
    standing: BTreeMap<RunId, services::Standing>,
    deployments: Vec<Deployment>,
    deploy_refusals: Vec<ExecutorError>,
    are_deploys_held: bool,
}

#[derive(Debug, Clone)]
struct Attempt {
    part: Part,
    /// None while it runs.
    ending: Option<Ending>,
}

impl Default for Scripted {
    fn default() -> Self {
        let state = State {
            parts: BTreeMap::new(),
            otherwise: Part::exits(0),
            refusals: Vec::new(),
            is_down: false,
            submissions: Vec::new(),
            attempts: BTreeMap::new(),
            environments: BTreeSet::new(),
            environment_bytes: 0,
            standing: BTreeMap::new(),
            deployments: Vec::new(),
            deploy_refusals: Vec::new(),
            are_deploys_held: false,
        };
        Self { state: Arc::new(Mutex::new(state)), changes: Arc::new(watch::Sender::new(0)) }
    }
}

impl Scripted {
    /// Every attempt ends at once with 0, until told otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// What an attempt does: of this name (`r1-execute-1`), of this tier and number (`execute-1`), or of this tier
    /// (`execute`), the most precise first.
    pub fn script(&self, name: impl Into<String>, part: Part) {
        self.state().parts.insert(name.into(), part);
    }

    /// What all others do.
    pub fn otherwise(&self, part: Part) {
        self.state().otherwise = part;
    }

    /// The next submission fails with this; several queue up.
    pub fn refuse(&self, error: ExecutorError) {
        self.state().refusals.push(error);
    }

    /// The executor answers nothing any more, or again.
    pub fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
        self.changed();
    }

    /// Lets a held attempt end as scripted.
    pub fn let_end(&self, attempt: &AttemptId) {
        if let Some(attempt) = self.state().attempts.get_mut(attempt) {
            attempt.ending.get_or_insert_with(|| attempt.part.ending.clone());
        }
        self.changed();
    }

    /// The attempt is gone with its machine.
    pub fn lose(&self, attempt: &AttemptId) {
        self.state().attempts.remove(attempt);
        self.changed();
    }

    /// Everything that was started, in order; adoptions are not.
    pub fn submissions(&self) -> Vec<Job> {
        self.state().submissions.clone()
    }

    /// Waits until so many were started.
    pub async fn submitted(&self, count: usize) -> Vec<Job> {
        let mut changes = self.changes.subscribe();
        loop {
            let submissions = self.submissions();
            // The sender is ours, so waiting cannot fail.
            if submissions.len() >= count || changes.changed().await.is_err() {
                return submissions;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn up(&self) -> Result<MutexGuard<'_, State>, ExecutorError> {
        let state = self.state();
        if state.is_down {
            Err(ExecutorError::Unreachable("it is scripted to be down".to_owned()))
        } else {
            Ok(state)
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl State {
    fn part(&self, attempt: &AttemptId) -> Part {
        let AttemptId { tier, number, .. } = attempt;
        [attempt.to_string(), format!("{tier}-{number}"), tier.clone()]
            .iter()
            .find_map(|name| self.parts.get(name))
            .unwrap_or(&self.otherwise)
            .clone()
    }
}

impl Scripted {
    /// Every environment is so large.
    pub fn weigh_environments(&self, bytes: u64) {
        self.state().environment_bytes = bytes;
    }

    /// All environments are gone, as if somebody had removed them behind docent's back.
    pub fn lose_environments(&self) {
        if let Ok(mut state) = self.up() {
            state.environments.clear();
        }
    }
}

impl Executor for Scripted {
    async fn probe(&self) -> Result<Probe, ExecutorError> {
        drop(self.up()?);
        Ok(Probe { engine: "scripted".to_owned(), limits: trial::own("nothing is written") })
    }

    async fn submit(&self, job: &Job) -> Result<(), ExecutorError> {
        {
            let mut state = self.up()?;
            if state.attempts.contains_key(&job.attempt) {
                return Ok(());
            }
            if !state.refusals.is_empty() {
                return Err(state.refusals.remove(0));
            }
            let part = state.part(&job.attempt);
            let ending = (!part.is_held).then(|| part.ending.clone());
            state.attempts.insert(job.attempt.clone(), Attempt { part, ending });
            if job.environment != Environment::None {
                state.environments.insert(job.environment_of);
            }
            state.submissions.push(job.clone());
        }
        self.changed();
        Ok(())
    }

    async fn observe(&self, attempt: &AttemptId) -> Result<Observation, ExecutorError> {
        Ok(match self.up()?.attempts.get(attempt).map(|attempt| attempt.ending.clone()) {
            None => Observation::Unknown,
            Some(None) => Observation::Running,
            Some(Some(ending)) => Observation::Ended(ending),
        })
    }

    async fn wait(&self, attempt: &AttemptId, limits: &Limits, log: &Path) -> Result<Ending, ExecutorError> {
        let gone = || ExecutorError::Broken(format!("there is no attempt {attempt} to wait for"));
        let mut changes = self.changes.subscribe();
        let part = self.up()?.attempts.get(attempt).ok_or_else(gone)?.part.clone();
        let broken = |error| io_error(format!("writing the log {}", log.display()), error);
        let mut file = CappedLog::create(log, limits.log_bytes).map_err(broken)?;
        file.append(part.log.as_bytes()).and_then(|()| file.finish()).map_err(broken)?;
        loop {
            if let Some(ending) = self.up()?.attempts.get(attempt).ok_or_else(gone)?.ending.clone() {
                return Ok(ending);
            }
            changes.changed().await.map_err(|_| gone())?;
        }
    }

    async fn cancel(&self, attempt: &AttemptId) -> Result<(), ExecutorError> {
        if let Some(attempt) = self.up()?.attempts.get_mut(attempt) {
            attempt.ending.get_or_insert(Ending::Cancelled);
        }
        self.changed();
        Ok(())
    }

    async fn collect(&self, attempt: &AttemptId, into: &Path, max_bytes: u64) -> Result<(), ExecutorError> {
        let found = self.up()?.attempts.get(attempt).cloned();
        let out = match found {
            Some(Attempt { part, ending: Some(_) }) => part.out,
            Some(_) => {
                return Err(ExecutorError::Broken(format!(
                    "{attempt} has not ended: nothing can be collected yet"
                )));
            }
            None => {
                return Err(ExecutorError::Broken(format!("there is no attempt {attempt} to collect from")));
            }
        };
        let broken = |error| io_error(format!("collecting into {}", into.display()), error);
        let mut harvest = Harvest::begin(into, max_bytes).map_err(broken)?;
        for (path, content) in &out {
            harvest.file(Path::new(path), content.len() as u64, content.as_slice()).map_err(broken)?;
        }
        harvest.finish().map_err(broken)
    }

    async fn remove(&self, attempt: &AttemptId) -> Result<(), ExecutorError> {
        self.up()?.attempts.remove(attempt);
        self.changed();
        Ok(())
    }

    async fn release(&self, run: RunId) -> Result<(), ExecutorError> {
        {
            let mut state = self.up()?;
            state.attempts.retain(|attempt, _| attempt.run != run);
            state.standing.remove(&run);
        }
        self.changed();
        Ok(())
    }

    async fn drop_environment(&self, run: RunId) -> Result<(), ExecutorError> {
        self.up()?.environments.remove(&run);
        self.changed();
        Ok(())
    }

    async fn environment_bytes(&self, attempt: &AttemptId) -> Result<Option<u64>, ExecutorError> {
        let state = self.up()?;
        Ok(state.environments.contains(&attempt.run).then_some(state.environment_bytes))
    }

    async fn identify(&self, image: &str) -> Result<Option<String>, ExecutorError> {
        drop(self.up()?);
        Ok(Some(format!("scripted:{image}")))
    }

    async fn list(&self) -> Result<Inventory, ExecutorError> {
        let state = self.up()?;
        let attempts: Vec<AttemptId> = state.attempts.keys().cloned().collect();
        let of_attempts = attempts.iter().map(|attempt| attempt.run);
        let runs: BTreeSet<RunId> = of_attempts.chain(state.standing.keys().copied()).collect();
        let environments = state.environments.iter().copied().collect();
        Ok(Inventory { attempts, runs: runs.into_iter().collect(), environments })
    }
}
