//! Actions: what docent will do. They live in the outbox until an event says that they are done.

use serde::{Deserialize, Serialize};

use super::id::{AttemptId, CommentId, Line, PullId, RunId, Sha};

/// One effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Action {
    /// Ask the forge about a comment with a command, its pull request and its author.
    Examine { comment: CommentId, pull: u64 },
    /// Find out what a push changed: from one commit to another.
    Compare { line: Line, before: Sha, after: Sha },
    /// Fetch a run's commit and look at it.
    Prepare { run: RunId },
    /// Bring up the services of a run.
    Deploy { run: RunId },
    /// Run an attempt to its end.
    Execute { attempt: AttemptId },
    /// Look up what is known of the commit that a run's pull request started from.
    LookUpBase { run: RunId },
    /// Interrupt whatever a run is doing.
    Stop { run: RunId },
    /// Tear down everything of a run.
    Release { run: RunId },
    /// Publish the curated spec of a run to that registry and repository.
    Publish { run: RunId, to: String },
    /// Remove the environment that a run has made.
    DropEnvironment { run: RunId },
    /// Bring the comment of a pull request up to date.
    Report { pull: PullId },
    /// Bring the status of a run up to date.
    SetStatus { run: RunId },
}

impl Action {
    /// Its idempotency key, made of ids and never of time: one key, one open action.
    pub fn key(&self) -> String {
        match self {
            Self::Examine { comment, .. } => format!("examine/{comment}"),
            Self::Compare { line, before, after } => format!("compare/{line}/{before}/{after}"),
            Self::Prepare { run } => format!("prepare/{run}"),
            Self::Deploy { run } => format!("deploy/{run}"),
            Self::Execute { attempt } => format!("execute/{attempt}"),
            Self::LookUpBase { run } => format!("base/{run}"),
            Self::Stop { run } => format!("stop/{run}"),
            Self::Release { run } => format!("release/{run}"),
            Self::Publish { run, .. } => format!("publish/{run}"),
            Self::DropEnvironment { run } => format!("environment/{run}"),
            Self::Report { pull } => format!("report/{pull}"),
            Self::SetStatus { run } => format!("status/{run}"),
        }
    }

    /// Actions of one lane are done one after the other, in the order in which they were asked for: a `!cancel` must not
    /// overtake the `!testme` before it, and of two runs that publish to one place each finds what the other has left there.
    pub fn lane(&self) -> Option<Lane> {
        match self {
            Self::Examine { comment, pull } => {
                Some(Lane::Comments(PullId { repository: comment.repository.clone(), number: *pull }))
            }
            Self::Publish { to, .. } => Some(Lane::Images(to.clone())),
            _ => None,
        }
    }
}

/// What is done one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Comments of a pull request.
    Comments(PullId),
    /// Images of a repository in a registry.
    Images(String),
}
