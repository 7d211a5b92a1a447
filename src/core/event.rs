//! Facts that enter docent. The list is closed: whatever happens outside comes in as one of these, or not at all.

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::id::{AttemptId, CommentId, PullId, RunId};
use super::outcome::{Ending, TestResult};
use super::plan::Plan;
use super::pull::{Comment, Examination, PullRequest};
use super::run::{Kept, RecipeUse, Request};
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
    /// A poll showed a pull request.
    PullSeen { pull: PullRequest, observed_at: Time },
    /// A poll showed a comment.
    CommentSeen { comment: Comment },
    /// The forge was asked about a comment with a command.
    CommentExamined { comment: CommentId, examination: Box<Examination> },
    /// A run's commit was fetched and looked at.
    Prepared { run: RunId, recipe: RecipeUse, plan: Plan },
    /// The executor has taken an attempt.
    AttemptStarted { attempt: AttemptId },
    /// An attempt has ended and what it left is kept.
    AttemptEnded {
        attempt: AttemptId,
        ending: AttemptEnding,
        tests: Vec<TestResult>,
        log: Option<Kept>,
        artifacts: Vec<Kept>,
    },
    /// Nothing of a run is left but its results.
    Released { run: RunId },
    /// The report of a pull request is on the forge.
    Reported { pull: PullId, comment: u64, digest: String },
    /// The status of a run is on the forge.
    StatusSet { run: RunId },
    /// An action could not be done.
    ActionFailed { action: Action, tries: u32, fault: Fault },
    /// A person at the command line asked for something.
    OperatorAsked { ask: Ask },
    /// Time has passed: offers lapse, queues move.
    TimePassed,
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
    Run { request: Request },
    /// Stop a run.
    Cancel { run: RunId },
    /// Run again what was not good in a run.
    Retry { run: RunId },
    /// Accept an offer.
    Accept { run: RunId },
}
