//! What Gitea and Forgejo write, as far as docent reads it: unknown fields are ignored, unknown words are taken for the
//! least, and what decides anything (numbers, commits, times) must be there and right.

use std::num::NonZeroU64;

use chrono::{DateTime, FixedOffset};
use serde::Deserialize;

use crate::core::id::{CommentId, CommentKind, PullId, RepositoryId, Sha};
use crate::core::pull;
use crate::core::pull::Actor;
use crate::core::time::Time;
use crate::forge::http::Answer;
use crate::forge::{ForgeError, ForgeErrorKind};

/// A time with the server's own offset.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub struct Stamp(DateTime<FixedOffset>);

impl Stamp {
    pub fn time(self) -> Time {
        self.0.to_utc()
    }
}

/// An account. Deleted ones and the forge's own robots have numbers below one.
#[derive(Debug, Deserialize)]
pub struct User {
    id: i64,
    #[serde(default)]
    login: Option<String>,
    #[serde(default)]
    pub is_admin: bool,
    #[serde(default)]
    last_login: Option<String>,
}

impl User {
    /// The number of the account if the forge told about it what it tells administrators, and everybody about himself.
    pub fn disclosed(&self) -> Option<i64> {
        let is_told = |time: &String| !time.is_empty() && !time.starts_with("0001-");
        self.last_login.as_ref().filter(|time| is_told(time)).map(|_| self.id)
    }

    pub fn into_actor(self) -> Option<Actor> {
        let number = u64::try_from(self.id).ok().filter(|number| *number > 0)?;
        Some(Actor { number, login: self.login?, is_bot: false })
    }
}

#[derive(Debug, Deserialize)]
pub struct Owner {
    id: i64,
}

#[derive(Debug, Default, Deserialize)]
pub struct Rights {
    #[serde(default)]
    pub admin: bool,
    #[serde(default)]
    pub push: bool,
}

#[derive(Debug, Deserialize)]
pub struct Repository {
    pub id: NonZeroU64,
    pub full_name: String,
    owner: Owner,
    #[serde(default)]
    default_branch: Option<String>,
    #[serde(default)]
    clone_url: Option<String>,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    permissions: Option<Rights>,
}

impl Repository {
    pub fn into_repository(self, forge: &str) -> pull::Repository {
        let rights = self.permissions.unwrap_or_default();
        pull::Repository {
            id: RepositoryId { forge: forge.to_owned(), number: self.id.get() },
            name: self.full_name,
            owner: u64::try_from(self.owner.id).unwrap_or_default(),
            node: String::new(),
            default_branch: self.default_branch.unwrap_or_default(),
            clone_url: self.clone_url.unwrap_or_default(),
            page_url: self.html_url.unwrap_or_default(),
            is_writable: rights.push || rights.admin,
            is_archived: self.archived,
        }
    }
}

/// An entry of the search over pull requests: says that something changed, not what.
#[derive(Debug, Deserialize)]
pub struct Changed {
    pub number: NonZeroU64,
    pub state: String,
    pub updated_at: Stamp,
    pub repository: ChangedRepository,
}

#[derive(Debug, Deserialize)]
pub struct ChangedRepository {
    pub id: NonZeroU64,
    pub full_name: String,
}

/// As much of a search entry as tells which repository an unreadable one belongs to.
#[derive(Debug, Deserialize)]
pub struct Unreadable {
    pub repository: UnreadableRepository,
}

#[derive(Debug, Deserialize)]
pub struct UnreadableRepository {
    pub id: u64,
}

#[derive(Debug, Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    branch: String,
    sha: Sha,
    #[serde(default)]
    repo_id: i64,
    #[serde(default)]
    repo: Option<SideRepository>,
}

#[derive(Debug, Deserialize)]
struct SideRepository {
    id: u64,
    full_name: String,
}

#[derive(Debug, Deserialize)]
pub struct Pull {
    pub number: NonZeroU64,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    user: Option<User>,
    state: String,
    head: Side,
    base: Side,
    #[serde(default)]
    merge_base: Option<String>,
    #[serde(default)]
    html_url: Option<String>,
    updated_at: Stamp,
}

/// A pull request that is not one of the repository that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Foreign {
    pub pull: u64,
    /// Whose it is, if it says.
    pub repository: Option<u64>,
}

impl Foreign {
    pub fn error(&self, answer: &Answer, asked: u64) -> ForgeError {
        match self.repository {
            Some(other) => answer.error(
                ForgeErrorKind::NotFound,
                &format!("the name belongs to repository {other} now, and no longer to {asked}"),
            ),
            None => {
                let detail = format!("pull request {} does not say which repository it is of", self.pull);
                answer.error(ForgeErrorKind::Malformed, &detail)
            }
        }
    }
}

impl Pull {
    /// The pull request, if it is one of `repository`: a name can come to mean another repository.
    pub fn into_pull(self, repository: &RepositoryId) -> Result<pull::PullRequest, Foreign> {
        let base = self.base.repo.as_ref().map(|repo| repo.id).or(u64::try_from(self.base.repo_id).ok());
        if base != Some(repository.number) {
            return Err(Foreign { pull: self.number.get(), repository: base.filter(|base| *base > 0) });
        }
        let is_from_fork = self.head.repo.as_ref().map(|repo| repo.id) != Some(repository.number)
            && u64::try_from(self.head.repo_id) != Ok(repository.number);
        Ok(pull::PullRequest {
            id: PullId { repository: repository.clone(), number: self.number.get() },
            title: self.title.unwrap_or_default(),
            author: self.user.and_then(User::into_actor),
            is_open: self.state == "open",
            head: self.head.sha,
            head_branch: self.head.branch,
            head_repository: self.head.repo.map(|repo| repo.full_name),
            is_from_fork,
            base: self.base.sha,
            base_branch: self.base.branch,
            merge_base: self.merge_base.and_then(|sha| sha.parse().ok()),
            page_url: self.html_url.unwrap_or_default(),
            updated_at: self.updated_at.time(),
        })
    }

    /// The name of the repository it would merge into.
    pub fn base_name(&self) -> Option<&str> {
        self.base.repo.as_ref().map(|repo| repo.full_name.as_str())
    }
}

#[derive(Debug, Deserialize)]
pub struct Comment {
    pub id: NonZeroU64,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    pull_request_url: Option<String>,
    #[serde(default)]
    user: Option<User>,
    #[serde(default)]
    body: Option<String>,
    created_at: Stamp,
    updated_at: Stamp,
}

impl Comment {
    /// The comment, if it stands under a pull request.
    pub fn into_comment(self, repository: &RepositoryId) -> Option<pull::Comment> {
        let address = self.pull_request_url.filter(|address| !address.is_empty())?;
        let pull = address.trim_end_matches('/').rsplit('/').next()?.parse().ok()?;
        let (created_at, updated_at) = (self.created_at.time(), self.updated_at.time());
        Some(pull::Comment {
            id: CommentId {
                repository: repository.clone(),
                kind: CommentKind::Comment,
                number: self.id.get(),
            },
            pull,
            author: self.user.and_then(User::into_actor),
            body: self.body.unwrap_or_default(),
            created_at,
            updated_at,
            is_edited: created_at != updated_at,
            page_url: self.html_url.unwrap_or_default(),
        })
    }

    pub fn author(self) -> (u64, Option<Actor>, String) {
        (self.id.get(), self.user.and_then(User::into_actor), self.body.unwrap_or_default())
    }
}

#[derive(Debug, Deserialize)]
pub struct Review {
    id: NonZeroU64,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    user: Option<User>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    state: Option<String>,
    submitted_at: Stamp,
    #[serde(default)]
    updated_at: Option<Stamp>,
}

impl Review {
    /// The text of the review, if it has one and is public.
    pub fn into_comment(self, repository: &RepositoryId, pull: u64) -> Option<pull::Comment> {
        let body = self.body.filter(|body| !body.is_empty())?;
        if self.state.as_deref() == Some("PENDING") {
            return None;
        }
        let created_at = self.submitted_at.time();
        let updated_at = self.updated_at.map_or(created_at, Stamp::time);
        Some(pull::Comment {
            id: CommentId {
                repository: repository.clone(),
                kind: CommentKind::Review,
                number: self.id.get(),
            },
            pull,
            author: self.user.and_then(User::into_actor),
            body,
            created_at,
            updated_at,
            is_edited: created_at != updated_at,
            page_url: self.html_url.unwrap_or_default(),
        })
    }
}

/// An entry of the record of a pull request.
#[derive(Debug, Deserialize)]
pub struct Entry {
    pub id: u64,
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub body: Option<String>,
    #[serde(default)]
    pub review_id: u64,
    /// Whose entry it is: of a push, who pushed.
    #[serde(default)]
    pub user: Option<EntryUser>,
    pub created_at: Stamp,
    pub updated_at: Stamp,
}

#[derive(Debug, Deserialize)]
pub struct EntryUser {
    /// Below zero for an account that is gone.
    pub id: i64,
}

/// The text inside an entry of the kind `pull_push`.
#[derive(Debug, Deserialize)]
pub struct Push {
    pub commit_ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Permission {
    pub permission: String,
    #[serde(default)]
    pub user: Option<User>,
}

/// The permission of that name; none for a name that docent does not know.
pub fn permission(name: &str) -> Option<pull::Permission> {
    match name {
        "none" => Some(pull::Permission::None),
        "read" => Some(pull::Permission::Read),
        "write" => Some(pull::Permission::Write),
        "admin" | "owner" => Some(pull::Permission::Admin),
        _ => None,
    }
}

#[derive(Debug, Deserialize)]
pub struct Team {
    pub id: u64,
    pub name: String,
}

/// A token in the list of an account's own tokens.
#[derive(Debug, Deserialize)]
pub struct Token {
    pub token_last_eight: String,
    pub scopes: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> RepositoryId {
        RepositoryId { forge: "f".into(), number: 1 }
    }

    #[test]
    fn a_comment_with_an_offset_and_a_ghost() {
        let text = r#"{"id":3,"html_url":"h","pull_request_url":"http://x/astro/n/pulls/41","issue_url":"",
            "user":{"id":-1,"login":"Ghost"},"body":"!testme","assets":[{"new":1}],
            "created_at":"2026-03-02T09:15:40+02:00","updated_at":"2026-03-02T07:15:40Z"}"#;
        let comment = serde_json::from_str::<Comment>(text).unwrap().into_comment(&repository()).unwrap();
        assert_eq!((comment.pull, comment.author, comment.is_edited), (41, None, false));
        assert_eq!(comment.created_at.to_rfc3339(), "2026-03-02T07:15:40+00:00");
    }

    #[test]
    fn a_comment_of_an_issue_is_none() {
        let text = r#"{"id":3,"pull_request_url":"","issue_url":"http://x/astro/n/issues/4","user":null,"body":"",
            "created_at":"2026-03-02T09:15:40Z","updated_at":"2026-03-02T09:15:40Z"}"#;
        assert!(serde_json::from_str::<Comment>(text).unwrap().into_comment(&repository()).is_none());
    }

    #[test]
    fn a_pull_request_whose_fork_is_gone() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let text = format!(
            r#"{{"number":2,"title":"t","user":null,"state":"closed","html_url":"h","updated_at":"2026-11-21T05:42:03Z",
            "base":{{"ref":"main","sha":"{a}","repo_id":1,"repo":{{"id":1,"full_name":"astro/n"}}}},
            "head":{{"label":"fix","ref":"refs/pull/2/head","sha":"{b}","repo_id":-1,"repo":null}}}}"#
        );
        let pull = serde_json::from_str::<Pull>(&text).unwrap().into_pull(&repository()).unwrap();
        assert!(pull.is_from_fork && !pull.is_open && pull.head_repository.is_none());
        let other = RepositoryId { forge: "f".into(), number: 9 };
        assert!(
            serde_json::from_str::<Pull>(&text)
                .unwrap()
                .into_pull(&other)
                .is_err_and(|e| e.repository == Some(1))
        );
    }

    #[test]
    fn unknown_permissions_are_no_answer() {
        assert_eq!(permission("owner"), Some(pull::Permission::Admin));
        assert_eq!(permission("emperor"), None);
    }
}
