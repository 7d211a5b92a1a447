//! A run: one recipe, at one commit, for one reason; and the one total match from a phase and a change to the next phase.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::baseline::{Baseline, Classed, Waiter};
use super::bundle::Unpacked;
use super::command::TestOptions;
use super::environment::EnvironmentUse;
use super::id::{AttemptId, BranchId, CommentId, PullId, RepositoryId, RunId, Sha};
use super::lock::LockChanges;
use super::outcome::{Outcome, TestResult};
use super::plan::Plan;
use super::publishing::{Image, Publishing, PublishingEnd};
use super::pull::Actor;
use super::recipe::{AlreadyFailing, Tier};
use super::service::ServiceRun;
use super::time::Time;
use super::verdict::Verdict;

/// Why a run exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Trigger {
    /// A command in a comment.
    Comment {
        /// Which one.
        comment: CommentId,
        /// Its page.
        page_url: String,
    },
    /// A push to a watched branch, or to the head of a pull request, that changed something of interest.
    Push {
        /// The branch; for a pull request its head branch, a stranger's text.
        branch: BranchId,
        /// Changed paths of interest, the first of them; a stranger's texts.
        changed: Vec<String>,
        /// The rule that made a run or an offer of it, for people.
        rule: String,
    },
    /// Tests of a pull request's run failed, and whether they fail on its base was not known.
    Baseline {
        /// The run in which they failed.
        of: RunId,
        /// Its pull request.
        pull: PullId,
        /// The rule that made a run of it, for people.
        rule: String,
    },
    /// `docent run`, or an operator's `docent runs retry`.
    CommandLine,
}

/// Who wants a run, or decided on one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Party {
    /// A forge account.
    Account {
        /// `[[forge]] name`.
        forge: String,
        /// The account.
        actor: Actor,
    },
    /// Whoever may use the command line of this installation.
    Operator,
    /// docent itself, by a rule.
    Docent,
}

impl Party {
    /// For people; a stranger's text where it is an account.
    pub fn name(&self) -> &str {
        match self {
            Self::Account { actor, .. } => &actor.login,
            Self::Operator => "the operator",
            Self::Docent => "docent",
        }
    }
}

/// What is to be run, made precise for one commit. Every trigger builds the same value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The pull request; none for a run of a local folder.
    pub pull: Option<PullId>,
    /// What people call the place: `owner/name`, or a path.
    pub place: String,
    /// The commit; none for a local folder that is not a checkout.
    pub sha: Option<Sha>,
    /// The commit it would merge into, when it was asked for.
    pub base: Option<Sha>,
    /// The code comes from a pull request, not from a branch that somebody reviewed.
    pub is_untrusted: bool,
    /// The recipe by name; none: detected from the files.
    pub recipe: Option<String>,
    /// What was asked for.
    pub options: TestOptions,
    /// Only these tests (`!retry`); empty: all.
    pub only: Vec<String>,
    /// What it repeats, for `docent run` with a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Box<Unpacked>>,
    /// Why.
    pub trigger: Trigger,
    /// Who asked.
    pub by: Party,
}

impl Request {
    /// The watched repository whose commit it is; none for a run of a local folder or of an address.
    pub fn repository(&self) -> Option<&RepositoryId> {
        match (&self.pull, &self.trigger) {
            (Some(pull), _) => Some(&pull.repository),
            (None, Trigger::Push { branch, .. }) => Some(&branch.repository),
            (None, Trigger::Baseline { pull, .. }) => Some(&pull.repository),
            (None, _) => None,
        }
    }

    /// docent's own question to a base. Nobody asked for it, so nobody is told of it on the forge.
    pub fn is_baseline(&self) -> bool {
        matches!(self.trigger, Trigger::Baseline { .. })
    }

    /// The watched branch whose commit it is; none for a pull request.
    pub fn branch(&self) -> Option<&BranchId> {
        match &self.trigger {
            Trigger::Push { branch, .. } if self.pull.is_none() => Some(branch),
            _ => None,
        }
    }
}

/// Phases, with the names of the IVOA execution broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// Waits for somebody's `!accept`.
    Offered,
    /// Accepted; not yet in the queue.
    Accepted,
    /// In the queue.
    Waiting,
    /// The commit is fetched, the workspace made.
    Preparing,
    /// Tiers run.
    Available,
    /// Results are saved; everything is torn down.
    Releasing,
    /// Ended with a verdict.
    Completed,
    /// Ended: an offer was turned down.
    Rejected,
    /// Ended: an offer was not accepted in time, or its commit is no longer the head.
    Expired,
    /// Ended: stopped on request.
    Cancelled,
    /// Ended: the machinery errored.
    Failed,
}

impl Phase {
    /// As it is written everywhere.
    pub fn word(self) -> &'static str {
        match self {
            Self::Offered => "OFFERED",
            Self::Accepted => "ACCEPTED",
            Self::Waiting => "WAITING",
            Self::Preparing => "PREPARING",
            Self::Available => "AVAILABLE",
            Self::Releasing => "RELEASING",
            Self::Completed => "COMPLETED",
            Self::Rejected => "REJECTED",
            Self::Expired => "EXPIRED",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
        }
    }

    /// Nothing will happen to it any more.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Rejected | Self::Expired | Self::Cancelled | Self::Failed)
    }

    /// Accepted and not ended.
    pub fn is_live(self) -> bool {
        !self.is_ended() && self != Self::Offered
    }

    /// Holds a slot.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Preparing | Self::Available | Self::Releasing)
    }
}

/// A file that docent keeps, by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its name in the attempt, `/`-separated.
    pub name: String,
    /// SHA-256 of its content, hexadecimal.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

/// One numbered try of a tier's job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its name.
    pub id: AttemptId,
    /// When it was put into the outbox.
    pub opened_at: Time,
    /// When the executor had taken it.
    pub started_at: Option<Time>,
    /// When its ending was recorded.
    pub closed_at: Option<Time>,
    /// What became of it.
    pub outcome: Option<Outcome>,
    /// Why, where the outcome alone does not say.
    pub note: String,
    /// What it wrote.
    pub log: Option<Kept>,
    /// What it left.
    pub artifacts: Vec<Kept>,
}

/// A tier of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TierRun {
    /// What was to be done.
    pub tier: Tier,
    /// Tests that must leave a result.
    pub planned: Vec<String>,
    /// The tries.
    pub attempts: Vec<Attempt>,
    /// Results of the last try.
    pub tests: Vec<TestResult>,
    /// The conclusion.
    pub verdict: Option<Verdict>,
    /// The run whose work made this tier's needless.
    #[serde(default)]
    pub reused_from: Option<RunId>,
}

/// Which recipe a run really used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipeUse {
    /// Its name.
    pub name: String,
    /// Digest of its folder.
    pub digest: String,
    /// Its image.
    pub image: String,
    /// Which image really stood behind that name; none where the executor cannot tell.
    #[serde(default)]
    pub image_identity: Option<String>,
    /// Digest of its settings, the operator's included.
    #[serde(default)]
    pub settings_digest: String,
}

/// Why a run is to be stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Who wants it.
    pub by: Party,
    /// Why, for people.
    pub why: String,
}

/// A phase and when the run came into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseEntered {
    /// The phase.
    pub phase: Phase,
    /// When.
    pub at: Time,
}

/// A run and all that became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// What was asked for.
    pub request: Request,
    /// Where it stands.
    pub phase: Phase,
    /// The phases it came through, with times; the last is where it stands.
    #[serde(default)]
    pub phases: Vec<PhaseEntered>,
    /// Who accepted it.
    pub accepted_by: Option<Party>,
    /// When it was asked for.
    pub requested_at: Time,
    /// When an offer lapses.
    pub expires_at: Option<Time>,
    /// When it left the queue.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// The recipe, once known.
    pub recipe: Option<RecipeUse>,
    /// What docent found in the commit.
    pub plan: Option<Plan>,
    /// Its tiers, once known.
    pub tiers: Vec<TierRun>,
    /// The environment of its tiers, once its lock is there.
    #[serde(default)]
    pub environment: Option<EnvironmentUse>,
    /// The curated spec, where one was curated and all of it is proven.
    #[serde(default)]
    pub curated: Option<Kept>,
    /// What has changed since the lock before, where there is one.
    #[serde(default)]
    pub lock_changes: Option<LockChanges>,
    /// What repeats it elsewhere, where it was not good.
    #[serde(default)]
    pub bundle: Option<Kept>,
    /// Its services, in the order in which they are brought up.
    #[serde(default)]
    pub services: Vec<ServiceRun>,
    /// How often its services were brought up.
    #[serde(default)]
    pub deploys: u32,
    /// Set when it is to be stopped.
    pub cancel: Option<Cancel>,
    /// The verdict over the default tiers.
    pub verdict: Option<Verdict>,
    /// The verdict over the opt-in tiers, where some were asked for.
    pub extra_verdict: Option<Verdict>,
    /// Why it could not come to its tiers, or why it ended as it did.
    pub reason: Option<String>,
    /// How its results compare with those of the commit that its pull request started from.
    #[serde(default)]
    pub baseline: Option<Baseline>,
    /// Runs that wait for what this one says of their base.
    #[serde(default)]
    pub awaited_by: Vec<Waiter>,
    /// The publishing of its curated spec, where it is published.
    #[serde(default)]
    pub publishing: Option<Publishing>,
}

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
    /// A run as it begins, as an offer. What is accepted at once is offered and accepted in one transaction.
    pub fn offered(id: RunId, request: Request, at: Time, expires_at: Time) -> Self {
        Self {
            id,
            request,
            phase: Phase::Offered,
            phases: vec![PhaseEntered { phase: Phase::Offered, at }],
            accepted_by: None,
            requested_at: at,
            expires_at: Some(expires_at),
            started_at: None,
            ended_at: None,
            recipe: None,
            plan: None,
            tiers: Vec::new(),
            environment: None,
            curated: None,
            lock_changes: None,
            bundle: None,
            services: Vec::new(),
            deploys: 0,
            cancel: None,
            verdict: None,
            extra_verdict: None,
            reason: None,
            baseline: None,
            awaited_by: Vec::new(),
            publishing: None,
        }
    }

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

    /// Its commit is there, its services are not yet.
    pub fn is_deploying(&self) -> bool {
        self.phase == Phase::Preparing && self.plan.is_some()
    }

    fn service_mut(&mut self, name: &str) -> Option<&mut ServiceRun> {
        self.services.iter_mut().find(|it| it.service.name == name)
    }

    /// The tier of that name.
    pub fn tier(&self, name: &str) -> Option<&TierRun> {
        self.tiers.iter().find(|tier| tier.tier.name == name)
    }

    fn tier_mut(&mut self, name: &str) -> Option<&mut TierRun> {
        self.tiers.iter_mut().find(|tier| tier.tier.name == name)
    }

    /// The attempt of that name.
    pub fn attempt(&self, id: &AttemptId) -> Option<&Attempt> {
        self.tier(&id.tier)?.attempts.iter().find(|attempt| attempt.id == *id)
    }

    fn attempt_mut(&mut self, id: &AttemptId) -> Option<&mut Attempt> {
        self.tier_mut(&id.tier)?.attempts.iter_mut().find(|attempt| attempt.id == *id)
    }

    /// The attempt that has not ended.
    pub fn open_attempt(&self) -> Option<&Attempt> {
        self.tiers.iter().flat_map(|tier| &tier.attempts).find(|attempt| attempt.closed_at.is_none())
    }
}
