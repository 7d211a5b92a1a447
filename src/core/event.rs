//! Facts that enter docent. The list is closed: whatever happens outside comes in as one of these, or not at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::baseline::Evidence;
use super::id::{AttemptId, BranchId, CommentId, Line, PullId, RunId, Sha};
use super::lock::LockChanges;
use super::outcome::{Ending, TestResult};
use super::plan::Plan;
use super::publishing::Image;
use super::pull::{Comment, Examination, PullRequest};
use super::run::{Kept, RecipeUse, Request};
use super::service::Fallen;
use super::time::Time;

/// Why an action could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Trying again later may help.
    pub is_passing: bool,
    /// The author's (a file too large, a path that cannot be written), not the machinery's.
    pub is_the_authors: bool,
    /// Not before this many seconds, if the other side said so.
    pub retry_after: Option<u64>,
    /// What was wrong, where, what to do.
    pub text: String,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A poll showed a pull request. `is_first`: watching its repository begins, and what is there already starts nothing.
    PullSeen { pull: PullRequest, observed_at: Time, is_first: bool },
    /// A poll showed where a watched branch is; no head: there is no such branch.
    BranchSeen { branch: BranchId, head: Option<Sha>, observed_at: Time },
    /// A push was looked at: these paths changed in meaning. Without a difference to name (the commit before it is gone), all
    /// files of the commit stand there.
    Compared { line: Line, before: Sha, after: Sha, changed: Vec<String> },
    /// A poll showed a comment.
    CommentSeen { comment: Comment },
    /// The forge was asked about a comment with a command.
    CommentExamined { comment: CommentId, examination: Box<Examination> },
    /// A run's commit was fetched and looked at.
    Prepared { run: RunId, recipe: RecipeUse, plan: Plan },
    /// All services of a run are healthy.
    Deployed {
        run: RunId,
        /// Services of the opt-in tiers only, which did not come up.
        #[serde(default)]
        fallen: Vec<Fallen>,
    },
    /// The executor has taken an attempt.
    AttemptStarted { attempt: AttemptId },
    /// An attempt has ended and what it left is kept.
    AttemptEnded {
        attempt: AttemptId,
        ending: AttemptEnding,
        tests: Vec<TestResult>,
        log: Option<Kept>,
        artifacts: Vec<Kept>,
        /// Services that have ended meanwhile.
        #[serde(default)]
        fallen: Vec<Fallen>,
    },
    /// What is known of the base of a run was looked up.
    BaseLookedUp { run: RunId, pull: PullId, evidence: Evidence },
    /// An environment that was kept is not there any more.
    EnvironmentLost { run: RunId },
    /// The environment that a run makes was measured.
    EnvironmentMeasured { run: RunId, bytes: u64 },
    /// The curated spec of a run is kept.
    Curated { run: RunId, curated: Kept },
    /// The lock of a run was compared with the one before it.
    LockCompared { run: RunId, changes: LockChanges },
    /// What repeats a run elsewhere is kept.
    Bundled { run: RunId, bundle: Kept },
    /// What the services of a run wrote is kept, by name of the service.
    ServiceLogsKept { run: RunId, logs: BTreeMap<String, Kept> },
    /// Nothing of a run is left but its results.
    Released { run: RunId },
    /// The curated spec of a run is in a registry.
    Published { run: RunId, image: Image },
    /// The report of a pull request is on the forge.
    Reported { pull: PullId, comment: u64, digest: String },
    /// The status of a run is on the forge.
    StatusSet { run: RunId },
    /// An action needed nothing to be done any more, or has been done without anything to record.
    Settled { run: RunId },
    /// An action could not be done.
    ActionFailed { action: Action, tries: u32, fault: Fault },
    /// A person at the command line asked for something.
    OperatorAsked { ask: Ask },
    /// Time has passed: offers lapse, queues move.
    TimePassed,
}

/// What must be at hand to decide on an event, besides all runs that have not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concern {
    /// A pull request, with the last runs of it that ended.
    pub pull: Option<PullId>,
    /// A watched branch.
    pub branch: Option<BranchId>,
    /// A comment.
    pub comment: Option<CommentId>,
    /// A run, ended or not.
    pub run: Option<RunId>,
}

impl Event {
    /// What this event concerns.
    pub fn concern(&self) -> Concern {
        let comment_of = |comment: &CommentId, pull: u64| Concern {
            pull: Some(PullId { repository: comment.repository.clone(), number: pull }),
            comment: Some(comment.clone()),
            ..Concern::default()
        };
        let line_of = |line: &Line| match line {
            Line::Branch(branch) => Concern { branch: Some(branch.clone()), ..Concern::default() },
            Line::Pull(pull) => Concern { pull: Some(pull.clone()), ..Concern::default() },
        };
        let run_of = |run: RunId| Concern { run: Some(run), ..Concern::default() };
        match self {
            Self::PullSeen { pull, .. } => Concern { pull: Some(pull.id.clone()), ..Concern::default() },
            Self::CommentSeen { comment } => comment_of(&comment.id, comment.pull),
            Self::CommentExamined { comment, examination } => Concern {
                pull: examination.pull.as_ref().map(|pull| pull.id.clone()),
                comment: Some(comment.clone()),
                ..Concern::default()
            },
            Self::BranchSeen { branch, .. } => Concern { branch: Some(branch.clone()), ..Concern::default() },
            Self::Compared { line, .. } => line_of(line),
            Self::BaseLookedUp { run, pull, .. } => Concern { pull: Some(pull.clone()), ..run_of(*run) },
            Self::Prepared { run, .. }
            | Self::Deployed { run, .. }
            | Self::ServiceLogsKept { run, .. }
            | Self::EnvironmentLost { run }
            | Self::Curated { run, .. }
            | Self::EnvironmentMeasured { run, .. }
            | Self::LockCompared { run, .. }
            | Self::Bundled { run, .. }
            | Self::Released { run }
            | Self::Published { run, .. }
            | Self::StatusSet { run }
            | Self::Settled { run } => run_of(*run),
            Self::AttemptStarted { attempt } | Self::AttemptEnded { attempt, .. } => run_of(attempt.run),
            Self::Reported { pull, .. } => Concern { pull: Some(pull.clone()), ..Concern::default() },
            Self::ActionFailed { action, .. } => match action {
                Action::Examine { comment, pull } => comment_of(comment, *pull),
                Action::Compare { line, .. } => line_of(line),
                Action::Report { pull } => Concern { pull: Some(pull.clone()), ..Concern::default() },
                Action::Execute { attempt } => run_of(attempt.run),
                Action::Prepare { run }
                | Action::Deploy { run }
                | Action::LookUpBase { run }
                | Action::Stop { run }
                | Action::Release { run }
                | Action::Publish { run, .. }
                | Action::DropEnvironment { run }
                | Action::SetStatus { run } => run_of(*run),
            },
            Self::OperatorAsked { ask } => match ask {
                Ask::Run { .. } => Concern::default(),
                Ask::Cancel { run } | Ask::Retry { run } | Ask::Accept { run } => run_of(*run),
            },
            Self::TimePassed => Concern::default(),
        }
    }

    /// The word for the journal.
    pub fn word(&self) -> &'static str {
        match self {
            Self::PullSeen { .. } => "pull_seen",
            Self::BranchSeen { .. } => "branch_seen",
            Self::Compared { .. } => "compared",
            Self::CommentSeen { .. } => "comment_seen",
            Self::CommentExamined { .. } => "comment_examined",
            Self::Prepared { .. } => "prepared",
            Self::Deployed { .. } => "deployed",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::AttemptEnded { .. } => "attempt_ended",
            Self::BaseLookedUp { .. } => "base_looked_up",
            Self::EnvironmentLost { .. } => "environment_lost",
            Self::Curated { .. } => "curated",
            Self::EnvironmentMeasured { .. } => "environment_measured",
            Self::LockCompared { .. } => "lock_compared",
            Self::Bundled { .. } => "bundled",
            Self::ServiceLogsKept { .. } => "service_logs_kept",
            Self::Released { .. } => "released",
            Self::Published { .. } => "published",
            Self::Reported { .. } => "reported",
            Self::StatusSet { .. } => "status_set",
            Self::Settled { .. } => "settled",
            Self::ActionFailed { .. } => "action_failed",
            Self::OperatorAsked { .. } => "operator_asked",
            Self::TimePassed => "time_passed",
        }
    }
}

/// How an attempt came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum AttemptEnding {
    /// The executor says so.
    Ended { ending: Ending },
    /// It is gone with its machine.
    Lost { why: String },
    /// The machinery could not run it.
    Errored { why: String },
}

/// What a person at the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Ask {
    /// A run of this.
    Run { request: Box<Request> },
    /// Stop a run.
    Cancel { run: RunId },
    /// Run again what was not good in a run.
    Retry { run: RunId },
    /// Accept an offer.
    Accept { run: RunId },
}

/// How a poll went: shown on the pages as the heartbeat of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Requests made.
    pub requests: u64,
    /// Facts that were new or known.
    pub observations: u64,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// What could not be read, for people; empty: all was well.
    pub failures: Vec<String>,
    /// The next poll is planned for then.
    pub next_at: Option<Time>,
    /// What the credential can do, in one line.
    pub proof: String,
}
