//! Doing what was decided: one open action, one effect, one event back.
//!
//! An action stays in the outbox until its event is recorded, so a death at any moment means that it is done again, under the
//! same key. Each effect is made so that doing it again is harmless.

use std::collections::HashSet;
use std::sync::PoisonError;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Daemon;
use crate::core::action::Action;
use crate::core::event::{Event, Fault};
use crate::core::id::{CommentId, RunId};
use crate::core::policy::Allow;
use crate::core::run::Phase;
use crate::executor::{Executor, ExecutorError};
use crate::forge::{Forge, ForgeError, Question, Reporter};
use crate::store::{Open, StoreError};

/// How long to wait when the store itself fails.
const STORE_PAUSE: Duration = Duration::from_secs(5);

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// Starts what is due, for ever.
    pub(super) async fn dispatch(&self) {
        loop {
            let wait = match self.start_due().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(%error, "the outbox cannot be read");
                    STORE_PAUSE
                }
            };
            let _ = tokio::time::timeout(wait, self.0.outbox.notified()).await;
        }
    }

    /// Starts every due action that is not being done, and says how long until the next one is due. Of a lane only the first
    /// is ever due.
    async fn start_due(&self) -> Result<Duration, StoreError> {
        let now = self.0.clock.now();
        let mut wait = Duration::from_secs(60);
        let mut lanes = HashSet::new();
        for open in self.0.store.open_actions().await? {
            if open.action.lane().is_some_and(|lane| !lanes.insert(lane)) {
                continue;
            }
            if open.due_at > now {
                wait = wait.min((open.due_at - now).to_std().unwrap_or_default());
            } else if let Some(token) = self.take_off(&open.action.key()) {
                let daemon = self.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = daemon.perform(&open, &token) => daemon.land(&open.action.key()),
                        () = daemon.0.halt.cancelled() => {}
                    }
                });
            }
        }
        Ok(wait)
    }

    fn take_off(&self, key: &str) -> Option<CancellationToken> {
        let mut flights = self.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.contains_key(key) {
            return None;
        }
        let token = CancellationToken::new();
        flights.insert(key.to_owned(), token.clone());
        Some(token)
    }

    fn land(&self, key: &str) {
        self.0.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.0.outbox.notify_one();
    }

    async fn perform(&self, open: &Open, token: &CancellationToken) {
        let key = open.action.key();
        tracing::debug!(%key, tries = open.tries, "doing");
        let event = match self.act(&open.action, token).await {
            Ok(event) => event,
            Err(fault) => {
                tracing::warn!(%key, tries = open.tries, passing = fault.is_passing, fault = %fault.text, "could not be done");
                Event::ActionFailed { action: open.action.clone(), tries: open.tries, fault }
            }
        };
        if let Err(error) = self.step(event, Some(open.done())).await {
            tracing::error!(%key, %error, "what was done could not be recorded; it will be done again");
            tokio::time::sleep(STORE_PAUSE).await;
        } else if let Action::Execute { attempt } = &open.action {
            self.clear_if_closed(attempt).await;
        }
    }

    async fn act(&self, action: &Action, token: &CancellationToken) -> Result<Event, Fault> {
        match action {
            Action::Examine { comment, pull } => self.examine(comment, *pull).await,
            Action::Compare { line, before, after } => self.compare(line, before, after).await,
            Action::Prepare { run } => self.prepare(*run, token).await,
            Action::Deploy { run } => self.deploy(*run, token).await,
            Action::Execute { attempt } => self.execute(attempt, token).await,
            Action::LookUpBase { run } => self.look_up_base(*run).await,
            Action::Stop { run } => self.stop(*run).await,
            Action::Release { run } => self.release(*run).await,
            Action::Publish { run, .. } => self.publish(*run).await,
            Action::DropEnvironment { run } => self.drop_environment(*run).await,
            Action::Report { pull } => self.report(pull).await,
            Action::SetStatus { run } => self.set_status(*run).await,
        }
    }

    async fn examine(&self, comment: &CommentId, pull: u64) -> Result<Event, Fault> {
        let forge = self.0.forges.get(&comment.repository.forge);
        let (Some(watched), Some(repository)) = (forge, self.repository(&comment.repository)) else {
            return Err(ours("the repository is not watched any more"));
        };
        let policy = self.policy();
        let allow = policy.repository(&comment.repository).map(|repository| repository.allow.as_slice());
        let question = question(allow.unwrap_or_default());
        let examination = watched.forge.examine(&repository, comment, pull, &question).await?;
        Ok(Event::CommentExamined { comment: comment.clone(), examination: Box::new(examination) })
    }

    async fn stop(&self, run: RunId) -> Result<Event, Fault> {
        self.interrupt(&Action::Prepare { run });
        self.interrupt(&Action::Deploy { run });
        let state = self.0.store.run(run).await?;
        let attempt = state.as_ref().and_then(|run| run.open_attempt()).map(|attempt| attempt.id.clone());
        if let Some(attempt) = attempt {
            self.interrupt(&Action::Execute { attempt: attempt.clone() });
            self.0.executor.cancel(&attempt).await?;
        }
        Ok(Event::Settled { run })
    }

    fn interrupt(&self, action: &Action) {
        let flights = self.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&action.key()) {
            flight.cancel();
        }
    }

    async fn release(&self, run: RunId) -> Result<Event, Fault> {
        let state = self.0.store.run(run).await?;
        let Some(state) = state.filter(|run| run.phase == Phase::Releasing) else {
            return Ok(Event::Settled { run });
        };
        // Results are saved first.
        if let Some(changes) = self.lock_changes(&state).await? {
            self.step(Event::LockCompared { run, changes }, None).await?;
        }
        if let Some(curated) = self.keep_curated(&state).await? {
            self.step(Event::Curated { run, curated }, None).await?;
        }
        if let Some(bundle) = self.keep_bundle(&state).await? {
            self.step(Event::Bundled { run, bundle }, None).await?;
        }
        self.keep_service_logs(&state).await?;
        self.tear_down(run).await?;
        Ok(Event::Released { run })
    }

    async fn drop_environment(&self, run: RunId) -> Result<Event, Fault> {
        self.0.executor.drop_environment(run).await?;
        Ok(Event::Settled { run })
    }

    /// Removes everything of a run but its results, and the environment that it leaves to later runs.
    pub(super) async fn tear_down(&self, run: RunId) -> Result<(), Fault> {
        self.0.executor.release(run).await?;
        if !self.0.store.keeps_environment(run).await? {
            self.0.executor.drop_environment(run).await?;
        }
        self.0.files.drop_live_logs(run).map_err(|error| passing(format!("the logs of {run}: {error}")))?;
        let folder = self.work_dir(run);
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(passing(format!("{}: {error}", folder.display())))
            }
            _ => Ok(()),
        }
    }
}

/// What must be asked about an author so that `allow` can be judged.
fn question(allow: &[Allow]) -> Question {
    let mut question = Question::default();
    for line in allow {
        match line {
            Allow::Account { .. } => {}
            Allow::Team(team) => question.teams.push(team.clone()),
            Allow::Permission(_) => question.permission = true,
        }
    }
    question
}

/// A fault of ours that trying again will not cure.
pub(super) fn ours(text: impl Into<String>) -> Fault {
    Fault { is_passing: false, is_the_authors: false, retry_after: None, text: text.into() }
}

/// A fault that may be gone the next time.
pub(super) fn passing(text: impl Into<String>) -> Fault {
    Fault { is_passing: true, ..ours(text) }
}

impl From<ForgeError> for Fault {
    fn from(error: ForgeError) -> Self {
        Self {
            is_passing: error.is_passing(),
            is_the_authors: false,
            retry_after: error.retry_after,
            text: error.to_string(),
        }
    }
}

impl From<ExecutorError> for Fault {
    fn from(error: ExecutorError) -> Self {
        let is_passing = matches!(error, ExecutorError::Unreachable(_) | ExecutorError::Io { .. });
        Self { is_passing, is_the_authors: false, retry_after: None, text: error.to_string() }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        passing(error.to_string())
    }
}
