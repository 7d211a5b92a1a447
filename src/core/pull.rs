//! What a forge shows of repositories, pull requests and comments, in docent's own words.

use serde::{Deserialize, Serialize};

use super::id::{CommentId, PullId, RepositoryId, Sha};
use super::time::Time;

/// A forge account. The number is the identity; names can change hands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// The forge's number of the account.
    pub number: u64,
    /// Its name at the time, for people.
    pub login: String,
    /// The forge says that a program owns it.
    pub is_bot: bool,
}

/// A watched repository, as the forge describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Its identity.
    pub id: RepositoryId,
    /// `owner/name` as the forge has it now (it may differ from the configured name after a rename).
    pub name: String,
    /// Number of the owning account or organisation.
    pub owner: u64,
    /// GraphQL node id (GitHub), else empty.
    pub node: String,
    /// The branch whose code is trusted.
    pub default_branch: String,
    /// Where git fetches it from over HTTP.
    pub clone_url: String,
    /// The page for people.
    pub page_url: String,
    /// The watching *account* may push here. Not a right of the token, but a second belt for the proof.
    pub is_writable: bool,
    /// Nothing can be written to it any more.
    pub is_archived: bool,
}

/// A pull request at the moment of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its identity.
    pub id: PullId,
    /// Title, a stranger's text.
    pub title: String,
    /// Who opened it; none for a ghost.
    pub author: Option<Actor>,
    /// Neither closed nor merged.
    pub is_open: bool,
    /// The tip of the head branch.
    pub head: Sha,
    /// Name of the head branch, a stranger's text.
    pub head_branch: String,
    /// `owner/name` of the head repository; none when it is gone.
    pub head_repository: Option<String>,
    /// The head comes from another repository.
    pub is_from_fork: bool,
    /// The tip of the branch it would merge into.
    pub base: Sha,
    /// Name of that branch.
    pub base_branch: String,
    /// Where the head left that branch, where the forge says so.
    #[serde(default)]
    pub merge_base: Option<Sha>,
    /// Page for people.
    pub page_url: String,
    /// The forge's clock when it last changed.
    pub updated_at: Time,
}

impl PullRequest {
    /// Only who may push to the watched repository can have made this head. A head that stands under no branch (`refs/pull/…`:
    /// the branch is gone, or it was pushed for review by somebody who may only read) counts as a stranger's.
    pub fn is_of_its_repository(&self) -> bool {
        let is_branch = !self.head_branch.is_empty() && !self.head_branch.starts_with("refs/");
        !self.is_from_fork && self.head_repository.is_some() && is_branch
    }
}

/// A comment, or the top-level text of a review, at the moment of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// Its identity.
    pub id: CommentId,
    /// Number of the pull request under which it stands.
    pub pull: u64,
    /// Who wrote it; none for a ghost.
    pub author: Option<Actor>,
    /// The text, a stranger's.
    pub body: String,
    /// The forge's clock when it was made.
    pub created_at: Time,
    /// The forge's clock when it last changed.
    pub updated_at: Time,
    /// The forge says, or its times show, that it was changed after it was made.
    pub is_edited: bool,
    /// Page for people.
    pub page_url: String,
}

/// A head of a pull request that docent saw, and when by the forge's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedHead {
    /// The commit.
    pub sha: Sha,
    /// The forge's clock at the *answer* that showed it: it was the head no later than this.
    pub observed_at: Time,
}

/// What the forge's own record says on whether the current head is older than a comment
/// (`docs/reference/forges.md`, «Which head did the commenter see?»).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The record proves that the current head was there before the comment.
    HeadFirst,
    /// The record shows a push after the comment.
    CommentFirst,
    /// The record has no answer, or could not be asked.
    Unproven,
}

/// How the current head came to be, as the forge has written it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRecord {
    /// Number of the account that pushed it.
    pub by: u64,
    /// When the forge wrote it down, which is a moment after the push.
    pub recorded_at: Time,
}

/// The forge's own answer on what an account may do in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Nothing beyond what everybody may.
    None,
    /// May read.
    Read,
    /// May push.
    Write,
    /// May administer.
    Admin,
}

/// What the forge answers when docent looks at a comment with a command once more, before acting on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// The comment as it is now; none when it was deleted.
    pub comment: Option<Comment>,
    /// The pull request as it is now; none when it is gone.
    pub pull: Option<PullRequest>,
    /// The forge's clock at the answer that showed the pull request.
    pub observed_at: Time,
    /// Whether the pull request's current head is older than the comment.
    pub order: Order,
    /// The push that ends in the current head; none where the newest that is on record does not.
    #[serde(default)]
    pub push: Option<PushRecord>,
    /// The author's permission; none when the forge did not answer or was not asked.
    pub permission: Option<Permission>,
    /// Teams (`org/team`) named by the policy of which the author is a member. Unanswered is not a member.
    pub teams: Vec<String>,
}
