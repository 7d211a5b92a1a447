//! What happens to a run, and the one total match from a phase and a change to the next phase.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Attempt, Cancel, Kept, Party, Phase, PhaseEntered, RecipeUse, Run, TierRun};
use crate::core::baseline::{Baseline, Classed, Waiter};
use crate::core::environment::EnvironmentUse;
use crate::core::id::{AttemptId, RunId, Sha};
use crate::core::lock::LockChanges;
use crate::core::outcome::{Outcome, TestResult};
use crate::core::plan::Plan;
use crate::core::publishing::{Image, Publishing, PublishingEnd};
use crate::core::recipe::AlreadyFailing;
use crate::core::service::ServiceRun;
use crate::core::time::Time;
use crate::core::verdict::Verdict;

/// What happens to a run. Past tense: it is recorded when it has happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum RunChange {
    /// Somebody who may accepted it.
    Accepted { by: Party },
    /// It was put into the queue.
    Queued,
    /// Somebody who may turned it down.
    Rejected { by: Party },
    /// It was not accepted in time, or the head moved on.
    Expired { why: String },
    /// It left the queue.
    Started,
    /// Its commit is there and docent knows what to do with it.
    Prepared {
        recipe: RecipeUse,
        plan: Box<Plan>,
        tiers: Vec<TierRun>,
        #[serde(default)]
        services: Vec<ServiceRun>,
    },
    /// Its services are healthy.
    Deployed,
    /// A try was put into the outbox.
    AttemptOpened { attempt: AttemptId },
    /// The executor has taken a try.
    AttemptStarted { attempt: AttemptId },
    /// A try has ended.
    AttemptClosed {
        attempt: AttemptId,
        outcome: Outcome,
        note: String,
        tests: Vec<TestResult>,
        log: Option<Kept>,
        artifacts: Vec<Kept>,
    },
    /// Its lock is there: this is its environment. With one that is there already, the tier that would make it is done.
    EnvironmentChosen { environment: EnvironmentUse, made_by: String },
    /// The environment that it makes is so large.
    EnvironmentMeasured { bytes: u64 },
    /// A service of it has ended before it.
    ServiceFell { name: String, how: String },
    /// What its services wrote is kept, by name of the service.
    ServiceLogsKept { logs: BTreeMap<String, Kept> },
    /// A tier has its verdict.
    TierConcluded { tier: String, verdict: Verdict },
    /// It is to be stopped.
    CancelAsked { cancel: Cancel },
    /// It has its verdicts; nothing more of it runs.
    Concluded { verdict: Verdict, extra_verdict: Option<Verdict>, reason: Option<String> },
    /// Its spec is curated.
    Curated { curated: Kept },
    /// Its lock was compared with the one before.
    LockCompared { changes: LockChanges },
    /// What repeats it elsewhere is kept.
    Bundled { bundle: Kept },
    /// What is known of its base is being looked up.
    BaselineSought { base: Sha, already_failing: AlreadyFailing },
    /// A run of its base was started, or was there already.
    BaselineStarted { by: RunId },
    /// It was compared with its base: a remark, which moves neither phase nor verdict.
    BaselineConcluded { classes: Vec<Classed>, note: Option<String> },
    /// These runs wait for what it says.
    Awaited { by: Vec<Waiter> },
    /// Nothing of it is left but its results.
    Released,
    /// Its curated spec is to be published there.
    PublishingBegun { to: String },
    /// Its curated spec is published: a remark, as all of these are.
    Published { image: Image },
    /// Its curated spec could not be published.
    PublishingErrored { why: String },
}

/// A change that cannot happen in this phase: a defect of docent, reported and refused, never applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("run {run} is {phase}: {change} cannot happen", phase = phase.word())]
pub struct Illegal {
    /// The run.
    pub run: RunId,
    /// Its phase.
    pub phase: Phase,
    /// The change.
    pub change: String,
}

impl Run {
    /// The phase after `change`.
    fn next(&self, change: &RunChange) -> Result<Phase, Illegal> {
        use Phase::*;
        use RunChange as C;
        let illegal = || {
            let text = format!("{change:?}");
            let word = text.split([' ', '{']).next().unwrap_or_default().to_owned();
            Illegal { run: self.id, phase: self.phase, change: word }
        };
        Ok(match (self.phase, change) {
            (Offered, C::Accepted { .. }) => Accepted,
            (Offered, C::Rejected { .. }) => Rejected,
            (Offered, C::Expired { .. }) => Expired,
            (Accepted, C::Queued) => Waiting,
            (Waiting, C::Started) => Preparing,
            (Preparing, C::Prepared { services, .. }) if self.plan.is_none() => {
                if services.is_empty() {
                    Available
                } else {
                    Preparing
                }
            }
            (Preparing, C::Deployed) if self.is_deploying() => Available,
            (
                Available,
                C::AttemptOpened { .. }
                | C::AttemptStarted { .. }
                | C::AttemptClosed { .. }
                | C::EnvironmentChosen { .. }
                | C::EnvironmentMeasured { .. }
                | C::ServiceFell { .. }
                | C::TierConcluded { .. },
            ) => Available,
            (Accepted | Waiting | Preparing | Available, C::CancelAsked { .. }) => self.phase,
            (Releasing, C::BaselineSought { .. }) if self.baseline.is_none() => Releasing,
            (Releasing | Completed | Failed, C::BaselineStarted { .. } | C::BaselineConcluded { .. })
                if self.baseline.as_ref().is_some_and(|baseline| !baseline.is_concluded) =>
            {
                self.phase
            }
            (Offered | Accepted | Waiting | Preparing | Available, C::Awaited { .. }) => self.phase,
            (Accepted | Waiting, C::Concluded { .. }) if self.cancel.is_some() => Cancelled,
            (Preparing | Available, C::Concluded { .. }) => Releasing,
            (
                Releasing,
                C::Curated { .. } | C::LockCompared { .. } | C::Bundled { .. } | C::ServiceLogsKept { .. },
            ) => Releasing,
            (Releasing, C::Released) if self.cancel.is_some() => Cancelled,
            (Releasing, C::Released) if self.verdict == Some(Verdict::Unverified) => Failed,
            (Releasing, C::Released) => Completed,
            (Completed, C::PublishingBegun { .. }) if self.publishing.is_none() => Completed,
            (Completed, C::Published { .. } | C::PublishingErrored { .. })
                if self.publishing.as_ref().is_some_and(|publishing| publishing.is_open()) =>
            {
                Completed
            }
            _ => return Err(illegal()),
        })
    }

    /// Applies `change`, or names why it cannot happen and leaves the run as it was.
    pub fn apply(&mut self, change: &RunChange, at: Time) -> Result<(), Illegal> {
        let phase = self.next(change)?;
        let is_moved = phase != self.phase;
        if is_moved {
            self.phases.push(PhaseEntered { phase, at });
        }
        self.phase = phase;
        match change {
            RunChange::Accepted { by } => {
                self.accepted_by = Some(by.clone());
                self.expires_at = None;
            }
            RunChange::Rejected { by } => self.reason = Some(format!("turned down by {}", by.name())),
            RunChange::Expired { why } => self.reason = Some(why.clone()),
            RunChange::Started => self.started_at = Some(at),
            RunChange::Prepared { recipe, plan, tiers, services } => {
                self.recipe = Some(recipe.clone());
                self.plan = Some(Plan::clone(plan));
                self.tiers = tiers.clone();
                self.services = services.clone();
            }
            RunChange::Deployed => self.deploys += 1,
            RunChange::ServiceFell { name, how } => {
                if let Some(service) = self.service_mut(name) {
                    service.fell.get_or_insert_with(|| how.clone());
                }
            }
            RunChange::ServiceLogsKept { logs } => {
                for (name, log) in logs {
                    if let Some(service) = self.service_mut(name) {
                        service.log = Some(log.clone());
                    }
                }
            }
            RunChange::AttemptOpened { attempt } => {
                if let Some(tier) = self.tier_mut(&attempt.tier) {
                    tier.attempts.push(Attempt {
                        id: attempt.clone(),
                        opened_at: at,
                        started_at: None,
                        closed_at: None,
                        outcome: None,
                        note: String::new(),
                        log: None,
                        artifacts: Vec::new(),
                    });
                }
            }
            RunChange::AttemptStarted { attempt } => {
                if let Some(attempt) = self.attempt_mut(attempt) {
                    attempt.started_at = Some(at);
                }
            }
            RunChange::AttemptClosed { attempt, outcome, note, tests, log, artifacts } => {
                if let Some(tier) = self.tier_mut(&attempt.tier) {
                    tier.tests = tests.clone();
                }
                if let Some(attempt) = self.attempt_mut(attempt) {
                    attempt.closed_at = Some(at);
                    attempt.outcome = Some(*outcome);
                    attempt.note = note.clone();
                    attempt.log = log.clone();
                    attempt.artifacts = artifacts.clone();
                }
            }
            RunChange::EnvironmentChosen { environment, made_by } => {
                let other = Some(environment.of).filter(|of| *of != self.id);
                self.environment = Some(environment.clone());
                if let Some(tier) = self.tier_mut(made_by) {
                    tier.reused_from = other;
                }
            }
            RunChange::EnvironmentMeasured { bytes } => {
                if let Some(environment) = &mut self.environment {
                    environment.bytes = Some(*bytes);
                }
            }
            RunChange::TierConcluded { tier, verdict } => {
                if let Some(tier) = self.tier_mut(tier) {
                    tier.verdict = Some(*verdict);
                }
            }
            RunChange::CancelAsked { cancel } => self.cancel = Some(cancel.clone()),
            RunChange::Concluded { verdict, extra_verdict, reason } => {
                self.verdict = Some(*verdict);
                self.extra_verdict = *extra_verdict;
                self.reason = reason.clone();
            }
            RunChange::Curated { curated } => self.curated = Some(curated.clone()),
            RunChange::LockCompared { changes } => self.lock_changes = Some(changes.clone()),
            RunChange::Bundled { bundle } => self.bundle = Some(bundle.clone()),
            RunChange::BaselineSought { base, already_failing } => {
                self.baseline = Some(Baseline::sought(base.clone(), *already_failing));
            }
            RunChange::BaselineStarted { by } => {
                if let Some(baseline) = &mut self.baseline {
                    baseline.by = Some(*by);
                }
            }
            RunChange::BaselineConcluded { classes, note } => {
                if let Some(baseline) = &mut self.baseline {
                    baseline.is_concluded = true;
                    baseline.classes.clone_from(classes);
                    baseline.note.clone_from(note);
                }
            }
            RunChange::Awaited { by } => self.awaited_by.clone_from(by),
            RunChange::PublishingBegun { to } => {
                self.publishing = Some(Publishing { to: to.clone(), end: None });
            }
            RunChange::Published { image } => self.end_publishing(PublishingEnd::Published(image.clone())),
            RunChange::PublishingErrored { why } => {
                self.end_publishing(PublishingEnd::Errored { why: why.clone() });
            }
            RunChange::Queued | RunChange::Released => {}
        }
        // What is remarked on a run that has ended does not end it again.
        if is_moved && self.phase.is_ended() {
            self.ended_at = Some(at);
        }
        Ok(())
    }

    fn end_publishing(&mut self, end: PublishingEnd) {
        if let Some(publishing) = &mut self.publishing {
            publishing.end = Some(end);
        }
    }

    fn service_mut(&mut self, name: &str) -> Option<&mut ServiceRun> {
        self.services.iter_mut().find(|it| it.service.name == name)
    }

    fn tier_mut(&mut self, name: &str) -> Option<&mut TierRun> {
        self.tiers.iter_mut().find(|tier| tier.tier.name == name)
    }

    fn attempt_mut(&mut self, id: &AttemptId) -> Option<&mut Attempt> {
        self.tier_mut(&id.tier)?.attempts.iter_mut().find(|attempt| attempt.id == *id)
    }
}
