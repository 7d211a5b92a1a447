//! A run: one recipe, at one commit, for one reason.

mod change;

use serde::{Deserialize, Serialize};

use super::baseline::{Baseline, Waiter};
use super::bundle::Unpacked;
use super::command::TestOptions;
use super::environment::EnvironmentUse;
use super::id::{AttemptId, BranchId, CommentId, PullId, RepositoryId, RunId, Sha};
use super::lock::LockChanges;
use super::outcome::{Outcome, TestResult};
use super::plan::Plan;
use super::publishing::Publishing;
use super::pull::Actor;
use super::recipe::Tier;
use super::service::{Fallen, Service, ServiceRun};
use super::time::Time;
use super::verdict::Verdict;

pub use change::{Illegal, RunChange};

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

impl Run {
    /// The services that such a tier finds: those of the opt-in tiers are nothing to the others.
    pub fn services_of(&self, is_opt_in: bool) -> impl Iterator<Item = &Service> {
        self.services.iter().map(|it| &it.service).filter(move |service| is_opt_in || !service.is_opt_in)
    }

    /// Services that have fallen, or never came up, among those that such a tier needs.
    pub fn fallen_before(&self, is_opt_in: bool) -> Vec<Fallen> {
        let needed = self.services.iter().filter(|it| is_opt_in || !it.service.is_opt_in);
        let fallen = needed.filter(|it| it.fell.is_some());
        fallen.map(|it| Fallen { name: it.service.name.clone(), ending: None }).collect()
    }

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

    /// Its commit is there, its services are not yet.
    pub fn is_deploying(&self) -> bool {
        self.phase == Phase::Preparing && self.plan.is_some()
    }

    /// The tier of that name.
    pub fn tier(&self, name: &str) -> Option<&TierRun> {
        self.tiers.iter().find(|tier| tier.tier.name == name)
    }

    /// The attempt of that name.
    pub fn attempt(&self, id: &AttemptId) -> Option<&Attempt> {
        self.tier(&id.tier)?.attempts.iter().find(|attempt| attempt.id == *id)
    }

    /// The attempt that has not ended.
    pub fn open_attempt(&self) -> Option<&Attempt> {
        self.tiers.iter().flat_map(|tier| &tier.attempts).find(|attempt| attempt.closed_at.is_none())
    }
}
