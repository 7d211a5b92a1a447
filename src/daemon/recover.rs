//! After a restart: whatever exists and belongs to nothing that lives is removed. What lives is taken up by its open action.

use std::time::Duration;

use super::Daemon;
use super::dispatch::passing;
use crate::core::event::{Event, Fault};
use crate::core::id::{AttemptId, RunId};
use crate::core::run::Run;
use crate::executor::{Executor, Inventory, TRIAL};
use crate::forge::{Forge, Reporter};
use crate::store::StoreError;

/// How long to wait before the executor is asked again.
const PAUSE: Duration = Duration::from_secs(10);

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// Takes up what is known of the repositories, and decides on the time that has passed while docent was not there.
    ///
    /// Open actions are done before a forge is polled, perhaps long before: one that is down at the start has no say in
    /// whether a repository is watched, nor in whether it is to be told.
    pub(super) async fn recover_state(&self) -> Result<(), StoreError> {
        self.clear_comparisons().await;
        self.remember_repositories().await?;
        self.step(Event::TimePassed, None).await.map(drop)
    }

    /// Removes orphans, trying again until the executor answers.
    pub(super) async fn clean_up_until_done(&self) {
        loop {
            match self.clean_up().await {
                Ok(0) => return,
                Ok(count) => return tracing::info!(count, "removed what an earlier docent had left"),
                Err(fault) => tracing::warn!(fault = %fault.text, "cannot look for leftovers yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn clean_up(&self) -> Result<usize, Fault> {
        // The inventory is taken before the state is read: what is made in between belongs to something that lives.
        let inventory = self.0.executor.list().await?;
        let folders = self.work_folders();
        let logs = self.0.files.live_logs();
        let open = self.0.store.open_runs().await?;
        let mut count = 0;
        for attempt in
            inventory.attempts.iter().filter(|attempt| attempt.run != TRIAL && !is_open(&open, attempt))
        {
            self.0.executor.remove(attempt).await?;
            count += 1;
        }
        // A log may outlive its attempt by the moment between their removals.
        for attempt in logs.iter().filter(|attempt| !is_open(&open, attempt)) {
            self.0
                .files
                .drop_live_log(attempt)
                .map_err(|error| passing(format!("the log of {attempt}: {error}")))?;
        }
        let is_dead = |run: &&RunId| !open.iter().any(|open| open.id == **run && open.phase.is_running());
        for run in inventory.runs.iter().filter(|run| **run != TRIAL).chain(&folders).filter(is_dead) {
            self.tear_down(*run).await?;
            count += 1;
        }
        for run in inventory.environments.iter().filter(|run| !inventory.runs.contains(run)).filter(is_dead) {
            if !self.0.store.keeps_environment(*run).await? {
                self.0.executor.drop_environment(*run).await?;
                count += 1;
            }
        }
        self.miss_environments(&inventory).await?;
        Ok(count)
    }

    /// An environment that somebody has removed behind docent's back must not be counted on.
    async fn miss_environments(&self, inventory: &Inventory) -> Result<(), Fault> {
        for kept in self.0.store.environments().await? {
            if !inventory.environments.contains(&kept.run) {
                tracing::warn!(run = %kept.run, "the environment that a run had left is gone; it will be built again");
                self.step(Event::EnvironmentLost { run: kept.run }, None).await?;
            }
        }
        Ok(())
    }

    fn work_folders(&self) -> Vec<RunId> {
        let entries = std::fs::read_dir(self.0.state_dir.join("work")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(RunId)).collect()
    }
}

fn is_open(runs: &[Run], attempt: &AttemptId) -> bool {
    let run = runs.iter().find(|run| run.id == attempt.run);
    run.and_then(|run| run.attempt(attempt)).is_some_and(|attempt| attempt.closed_at.is_none())
}
