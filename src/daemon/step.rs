//! One event, one transaction.

use std::time::Duration;

use super::Daemon;
use crate::core::decide::decide;
use crate::core::event::Event;
use crate::executor::Executor;
use crate::forge::{Forge, Reporter};
use crate::store::{Done, Recorded, StoreError};

/// How often offers are looked at for expiry.
const SWEEP: Duration = Duration::from_secs(15);
/// How often the command line is listened to.
const INBOX: Duration = Duration::from_millis(500);
/// How often old files are looked for.
const PRUNE: Duration = Duration::from_secs(3600);

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// Decides on `event` and records the decision; `done` is the action that it closes. What follows is done from the outbox.
    pub async fn step(&self, event: Event, done: Option<Done>) -> Result<Recorded, StoreError> {
        let (policy, now) = (self.policy(), self.0.clock.now());
        let word = event.word();
        let recorded = self
            .0
            .store
            .step(event, done, now, move |world, event| decide(world, event, &policy, now))
            .await?;
        self.follow_up(word, &recorded);
        Ok(recorded)
    }

    fn follow_up(&self, word: &str, recorded: &Recorded) {
        for defect in &recorded.decision.defects {
            tracing::error!(event = word, %defect, "a rule wanted what cannot be: please report this");
        }
        if !recorded.decision.actions.is_empty() {
            self.0.outbox.notify_one();
        }
    }

    /// Lets time pass, and listens to the command line.
    pub(super) async fn sweep(&self) {
        let mut sweep = tokio::time::interval(SWEEP);
        let mut inbox = tokio::time::interval(INBOX);
        let mut prune = tokio::time::interval(PRUNE);
        loop {
            tokio::select! {
                _ = sweep.tick() => {
                    if let Err(error) = self.step(Event::TimePassed, None).await {
                        tracing::error!(%error, "the sweep could not be recorded");
                    }
                }
                _ = inbox.tick() => self.listen().await,
                _ = prune.tick() => self.prune().await,
            }
        }
    }

    /// Removes logs and artifacts that are older than the operator keeps them.
    async fn prune(&self) {
        let Some(before) = self.0.clock.now().checked_sub_signed(self.0.retention) else { return };
        let files = self.0.files.clone();
        match tokio::task::spawn_blocking(move || files.prune(before)).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(count)) => tracing::info!(count, "removed old logs and artifacts"),
            Ok(Err(error)) => tracing::warn!(%error, "old logs and artifacts could not be removed"),
        }
    }

    async fn listen(&self) {
        loop {
            let (policy, now) = (self.policy(), self.0.clock.now());
            let taken =
                self.0.store.step_inbox(now, move |world, event| decide(world, event, &policy, now)).await;
            match taken {
                Ok(Some(recorded)) => self.follow_up("operator_asked", &recorded),
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "what was asked at the command line could not be recorded");
                    return;
                }
            }
        }
    }
}
