//! Forges: where pull requests and comments live.
//!
//! Two traits, apart on purpose. [`Forge`] is the watch client: it has no method that writes, so no rule
//! elsewhere can make it write. [`Reporter`] is the report client with its own, optional credential.

pub mod any;
pub mod gitea;
pub mod github;
pub mod http;
mod name;
mod round;

use std::collections::BTreeMap;
use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::core::id::{BranchId, CommentId, PullId, RepositoryId, Sha};
use crate::core::pull::{Actor, Comment, Examination, PullRequest, Repository};
use crate::core::time::{Duration, Time};

/// What has been seen of one forge. Opaque to the core; stored in the transaction that records what was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Per feed (an owner, or the whole instance): the forge's clock up to which the feed was read.
    pub feeds: BTreeMap<String, Time>,
    /// Per repository number: how far it was read.
    pub repositories: BTreeMap<u64, RepositoryCursor>,
}

/// How far one repository was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryCursor {
    /// The forge's clock up to which its comments were read.
    pub read_to: Time,
    /// Something changed that could not be read yet: read it again whatever the feed says.
    pub is_behind: bool,
    /// When it was last read whole (the slow lane), by the forge's clock.
    pub reconciled_at: Option<Time>,
    /// Where its watched branches were; none: there was no such branch.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub branches: BTreeMap<String, Option<Sha>>,
    /// Something of it cannot be read, poll after poll; none: it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<Box<Unreadable>>,
}

/// What the forge keeps answering about one repository in a way that is of no use. What changes in it meanwhile is read all
/// the same; what could not be read is asked for again after pauses that grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// What it answered last.
    pub error: ForgeError,
    /// How often in a row.
    pub times: u32,
    /// Polls that are yet to pass before it is asked again.
    pub polls_to_skip: u32,
}

impl Cursor {
    /// Watching the repository begins: not all that was there before has been seen.
    pub fn is_first(&self, repository: &RepositoryId) -> bool {
        let entry = self.repositories.get(&repository.number);
        entry.is_none_or(|entry| entry.is_behind && entry.reconciled_at.is_none())
    }
}

/// What to look for in one poll.
#[derive(Debug, Clone)]
pub struct Watch<'a> {
    /// All repositories of this forge, resolved.
    pub repositories: &'a [Repository],
    /// Read these whole in this poll, whatever the feed says: the slow lane.
    pub reconcile: &'a [RepositoryId],
    /// Watched branches, by number of the repository.
    pub branches: &'a [(u64, Vec<String>)],
}

impl<'a> Watch<'a> {
    /// The watched branches of a repository.
    pub fn branches_of(&self, repository: &Repository) -> &'a [String] {
        let found = self.branches.iter().find(|(number, _)| *number == repository.id.number);
        found.map(|(_, names)| names.as_slice()).unwrap_or_default()
    }
}

/// One fact that a poll found. Delivering it twice is harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// A pull request as it is, and the forge's clock at that answer.
    Pull { pull: PullRequest, observed_at: Time },
    /// Where a watched branch is (none: there is no such branch), and the forge's clock at that answer.
    Branch { branch: BranchId, head: Option<Sha>, observed_at: Time },
    /// A comment as it is.
    Comment(Comment),
}

/// What one poll brought. A repository that could not be read stands in `failures` and is behind in `cursor`;
/// all others are served.
#[derive(Debug, Clone)]
pub struct Poll {
    /// Oldest first within a repository; pull requests before the comments of the same answer.
    pub observations: Vec<Observation>,
    /// What could not be read.
    pub failures: Vec<(Option<RepositoryId>, ForgeError)>,
    /// Where to go on.
    pub cursor: Cursor,
    /// Requests made.
    pub requests: u64,
    /// The forge asks not to be polled before this much time has passed.
    pub pause: Option<Duration>,
    /// Repositories that answer under another name than the configured one: (number, name now).
    pub renamed: Vec<(u64, String)>,
}

/// What to find out about a comment with a command, beyond the comment and its pull request themselves.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Ask for the author's permission in the repository.
    pub permission: bool,
    /// Ask whether the author is a member of these teams (`org/team`).
    pub teams: Vec<String>,
    /// The head that docent has on record, to fall back on where the forge has no record of the order.
    pub author: Option<Actor>,
}

/// What a credential can do, as far as GET alone can show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "proof")]
pub enum Proof {
    /// The forge itself said that this credential holds read rights only.
    ReadOnly {
        /// What it answered, for people.
        evidence: String,
    },
    /// It can write: docent refuses to start unless the operator names the exception.
    CanWrite {
        /// The rights, as the forge names them (`write:issue`, `all`, `administrator`, …).
        rights: Vec<String>,
        /// What the forge answered.
        evidence: String,
    },
    /// The forge does not say.
    Unproven {
        /// Why, and what would prove it.
        why: String,
    },
}

/// Where and how git fetches a repository.
#[derive(Debug, Clone)]
pub struct CloneSource {
    /// Smart HTTP address without any credential in it.
    pub url: url::Url,
    /// User name and token for HTTP Basic; none for anonymous reading.
    pub credential: Option<(String, secrecy::SecretString)>,
}

/// A forge, watched with a credential that may only read. Nothing here writes.
pub trait Forge: Send + Sync {
    /// What this forge is called in the configuration.
    fn name(&self) -> &str;

    /// Looks up `owner/name`, following a rename on the same host.
    fn repository(&self, name: &str) -> impl Future<Output = Result<Repository, ForgeError>> + Send;

    /// What changed since `cursor`. With an empty cursor: everything open now is observed, and comments made before
    /// now are not reported. Fails as a whole only when nothing at all could be read; then the caller keeps its cursor.
    fn poll(
        &self,
        watch: Watch<'_>,
        cursor: &Cursor,
    ) -> impl Future<Output = Result<Poll, ForgeError>> + Send;

    /// Looks at one comment, its pull request and its author again. An unanswered question stays unanswered in the result;
    /// only a forge that cannot be reached at all is an error.
    fn examine(
        &self,
        repository: &Repository,
        comment: &CommentId,
        pull: u64,
        question: &Question,
    ) -> impl Future<Output = Result<Examination, ForgeError>> + Send;

    /// Establishes by GET alone what the credential can do. `repositories` are those it watches.
    fn prove(&self, repositories: &[Repository]) -> impl Future<Output = Result<Proof, ForgeError>> + Send;

    /// Where git fetches `repository` from, and the reference that holds the head of pull request `pull`.
    fn clone_source(
        &self,
        repository: &Repository,
        pull: Option<u64>,
    ) -> impl Future<Output = Result<(CloneSource, Option<String>), ForgeError>> + Send;
}

/// The short form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusState {
    /// Waiting or running.
    Pending,
    /// The verdict is pass.
    Success,
    /// The verdict is fail: the author's.
    Failure,
    /// The machinery errored, or the run was cancelled: ours.
    Error,
}

/// A commit status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What it says.
    pub state: StatusState,
    /// `docent/…`: one per recipe.
    pub context: String,
    /// One line for people.
    pub description: String,
    /// Page of the run.
    pub target_url: Option<String>,
}

/// The report client: may comment and set statuses, with a credential of its own.
pub trait Reporter: Send + Sync {
    /// The account that reports: its comments never do anything.
    fn account(&self) -> impl Future<Output = Result<Actor, ForgeError>> + Send;

    /// Makes the one comment of `pull` read `body`. `known` is edited if it still exists; else the account's comment that
    /// contains `marker` is looked for and edited; else one is made. Called again with the same body it changes nothing
    /// but may edit again. Gives the number of the comment.
    fn comment(
        &self,
        repository: &Repository,
        pull: &PullId,
        known: Option<u64>,
        marker: &str,
        body: &str,
    ) -> impl Future<Output = Result<u64, ForgeError>> + Send;

    /// Sets the status of a commit. [`ForgeErrorKind::Forbidden`] where the credential may only comment: not an error of the run.
    fn status(
        &self,
        repository: &Repository,
        sha: &Sha,
        status: &Status,
    ) -> impl Future<Output = Result<(), ForgeError>> + Send;

    /// The longest comment that this forge takes, in characters.
    fn comment_limit(&self) -> usize;
}

/// What kind of trouble a forge made: decides whether to try again, never shown alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForgeErrorKind {
    /// No connection, no name, time out, or the answer was cut.
    Unreachable,
    /// 5xx.
    Broken,
    /// 429, or the forge's own way to say so.
    Limited,
    /// 401: the credential is not taken.
    Unauthorised,
    /// 403: the credential may not.
    Forbidden,
    /// 404, 410.
    NotFound,
    /// Any other refusal (4xx).
    Refused,
    /// An answer that cannot be understood.
    Malformed,
    /// A redirect to another host, which is not followed.
    Redirected,
}

/// An answer of a forge that is none. Never contains a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{forge}: {what}: {detail}")]
pub struct ForgeError {
    /// `[[forge]] name`.
    pub forge: String,
    /// What kind.
    pub kind: ForgeErrorKind,
    /// What was asked (method and path, no query secrets).
    pub what: String,
    /// What came instead.
    pub detail: String,
    /// Do not ask again before this much time has passed, in seconds.
    pub retry_after: Option<u64>,
}

impl ForgeError {
    /// Trying again later may help.
    pub fn is_passing(&self) -> bool {
        matches!(
            self.kind,
            ForgeErrorKind::Unreachable
                | ForgeErrorKind::Broken
                | ForgeErrorKind::Limited
                | ForgeErrorKind::Malformed
        )
    }
}
