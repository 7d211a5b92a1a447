//! What GitHub writes, as far as docent reads it: unknown fields are ignored, unknown words are taken for the least, and
//! what decides anything (numbers, commits, times) must be there and right.

use std::num::NonZeroU64;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::core::id::{CommentId, CommentKind, PullId, RepositoryId, Sha};
use crate::core::pull;
use crate::core::pull::Actor;
use crate::core::time::Time;

/// A GraphQL answer: data and errors may both be there.
#[derive(Debug, Deserialize)]
pub struct Reply<T> {
    #[serde(default = "Option::default")]
    pub data: Option<T>,
    #[serde(default)]
    pub errors: Option<Vec<GraphError>>,
}

#[derive(Debug, Deserialize)]
pub struct GraphError {
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub path: Option<Vec<serde_json::Value>>,
}

/// One answer per id, null where there is none.
#[derive(Debug, Deserialize)]
pub struct Nodes {
    pub nodes: Vec<Option<Box<RawValue>>>,
}

#[derive(Debug, Deserialize)]
pub struct One<T> {
    #[serde(default = "Option::default")]
    pub node: Option<T>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edited {
    pub last_edited_at: Option<Time>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    pub database_id: NonZeroU64,
    pub name_with_owner: String,
    pub pull_requests: Connection<ChangedPull>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedPull {
    pub id: String,
    pub updated_at: Time,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection<T> {
    pub nodes: Vec<Option<T>>,
    pub page_info: PageInfo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageInfo {
    #[serde(default)]
    has_next_page: bool,
    #[serde(default)]
    end_cursor: Option<String>,
    #[serde(default)]
    has_previous_page: bool,
    #[serde(default)]
    start_cursor: Option<String>,
}

impl PageInfo {
    pub fn next(&self) -> Option<&str> {
        self.end_cursor.as_deref().filter(|_| self.has_next_page)
    }

    pub fn previous(&self) -> Option<&str> {
        self.start_cursor.as_deref().filter(|_| self.has_previous_page)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GraphActor {
    #[serde(default, rename = "__typename")]
    kind: Option<String>,
    login: String,
    #[serde(default)]
    database_id: Option<u64>,
}

impl GraphActor {
    fn into_actor(self) -> Option<Actor> {
        let is_bot = self.kind.as_deref() == Some("Bot");
        Some(Actor { number: self.database_id.filter(|number| *number > 0)?, login: self.login, is_bot })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    name_with_owner: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Numbered {
    database_id: u64,
}

/// A pull request with its last texts. Those are looked into one by one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pull {
    pub id: String,
    number: NonZeroU64,
    title: Option<String>,
    state: String,
    updated_at: Time,
    url: Option<String>,
    head_ref_oid: Sha,
    head_ref_name: String,
    is_cross_repository: bool,
    head_repository: Option<Named>,
    base_ref_oid: Sha,
    base_ref_name: String,
    repository: Numbered,
    author: Option<GraphActor>,
    pub comments: Option<Connection<Box<RawValue>>>,
    pub reviews: Option<Connection<Box<RawValue>>>,
}

impl Pull {
    pub fn number(&self) -> u64 {
        self.number.get()
    }

    /// The pull request, if it is one of `repository`.
    pub fn into_pull(self, repository: &RepositoryId) -> Result<pull::PullRequest, String> {
        if self.repository.database_id != repository.number {
            return Err(format!(
                "pull request {} is of repository {}",
                self.number, self.repository.database_id
            ));
        }
        Ok(pull::PullRequest {
            id: PullId { repository: repository.clone(), number: self.number.get() },
            title: self.title.unwrap_or_default(),
            author: self.author.and_then(GraphActor::into_actor),
            is_open: self.state == "OPEN",
            head: self.head_ref_oid,
            head_branch: self.head_ref_name,
            head_repository: self.head_repository.map(|head| head.name_with_owner),
            is_from_fork: self.is_cross_repository,
            base: self.base_ref_oid,
            base_branch: self.base_ref_name,
            merge_base: None,
            page_url: self.url.unwrap_or_default(),
            updated_at: self.updated_at,
        })
    }
}

/// A comment, or a review's text.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Text {
    #[serde(deserialize_with = "number")]
    full_database_id: u64,
    body: String,
    created_at: Time,
    pub updated_at: Time,
    last_edited_at: Option<Time>,
    url: Option<String>,
    author: Option<GraphActor>,
    #[serde(default)]
    submitted_at: Option<Time>,
    #[serde(default)]
    state: Option<String>,
}

impl Text {
    /// The text, if there is one and it is public.
    pub fn into_comment(
        self,
        repository: &RepositoryId,
        kind: CommentKind,
        pull: u64,
    ) -> Option<pull::Comment> {
        if self.state.as_deref() == Some("PENDING") || (kind == CommentKind::Review && self.body.is_empty()) {
            return None;
        }
        Some(pull::Comment {
            id: CommentId { repository: repository.clone(), kind, number: self.full_database_id },
            pull,
            author: self.author.and_then(GraphActor::into_actor),
            body: self.body,
            created_at: self.submitted_at.unwrap_or(self.created_at),
            updated_at: self.updated_at,
            is_edited: self.last_edited_at.is_some(),
            page_url: self.url.unwrap_or_default(),
        })
    }
}

/// A number of 64 bits, which GraphQL gives as text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(NonZeroU64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number.get()),
        Either::Text(text) => {
            text.parse::<NonZeroU64>().map(NonZeroU64::get).map_err(serde::de::Error::custom)
        }
    }
}

#[derive(Debug, Deserialize)]
pub struct RestUser {
    pub id: u64,
    pub login: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

impl RestUser {
    pub fn into_actor(self) -> Option<Actor> {
        let is_bot = self.kind.as_deref() == Some("Bot");
        (self.id > 0).then_some(Actor { number: self.id, login: self.login, is_bot })
    }
}

#[derive(Debug, Default, Deserialize)]
struct Rights {
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    maintain: bool,
    #[serde(default)]
    push: bool,
    #[serde(default)]
    triage: bool,
}

#[derive(Debug, Deserialize)]
struct Owner {
    id: u64,
}

#[derive(Debug, Deserialize)]
pub struct RestRepository {
    pub id: NonZeroU64,
    node_id: Option<String>,
    full_name: String,
    owner: Owner,
    default_branch: Option<String>,
    clone_url: Option<String>,
    html_url: Option<String>,
    #[serde(default)]
    archived: bool,
    permissions: Option<Rights>,
}

impl RestRepository {
    pub fn into_repository(self, forge: &str) -> pull::Repository {
        let rights = self.permissions.unwrap_or_default();
        pull::Repository {
            id: RepositoryId { forge: forge.to_owned(), number: self.id.get() },
            name: self.full_name,
            owner: self.owner.id,
            node: self.node_id.unwrap_or_default(),
            default_branch: self.default_branch.unwrap_or_default(),
            clone_url: self.clone_url.unwrap_or_default(),
            page_url: self.html_url.unwrap_or_default(),
            is_writable: rights.admin || rights.maintain || rights.push || rights.triage,
            is_archived: self.archived,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    branch: String,
    sha: Sha,
    repo: Option<SideRepository>,
}

#[derive(Debug, Deserialize)]
struct SideRepository {
    id: u64,
    full_name: String,
}

#[derive(Debug, Deserialize)]
pub struct RestPull {
    number: NonZeroU64,
    title: Option<String>,
    user: Option<RestUser>,
    state: String,
    head: Side,
    base: Side,
    html_url: Option<String>,
    updated_at: Time,
}

impl RestPull {
    /// The pull request, if it is one of `repository`.
    pub fn into_pull(self, repository: &RepositoryId) -> Result<pull::PullRequest, String> {
        let base = self.base.repo.as_ref().map(|repo| repo.id).unwrap_or_default();
        if base != repository.number {
            return Err(format!(
                "pull request {} is of repository {base}, not {}",
                self.number, repository.number
            ));
        }
        Ok(pull::PullRequest {
            id: PullId { repository: repository.clone(), number: self.number.get() },
            title: self.title.unwrap_or_default(),
            author: self.user.and_then(RestUser::into_actor),
            is_open: self.state == "open",
            head: self.head.sha,
            head_branch: self.head.branch,
            is_from_fork: self.head.repo.as_ref().map(|repo| repo.id) != Some(repository.number),
            head_repository: self.head.repo.map(|repo| repo.full_name),
            base: self.base.sha,
            base_branch: self.base.branch,
            merge_base: None,
            page_url: self.html_url.unwrap_or_default(),
            updated_at: self.updated_at,
        })
    }
}

#[derive(Debug, Deserialize)]
pub struct Comment {
    pub id: NonZeroU64,
    html_url: Option<String>,
    issue_url: String,
    pub user: Option<RestUser>,
    pub body: Option<String>,
    created_at: Time,
    updated_at: Time,
}

impl Comment {
    /// The comment; whether it stands under an issue or a pull request is not told here.
    pub fn into_comment(self, repository: &RepositoryId) -> Option<pull::Comment> {
        let pull = self.issue_url.rsplit('/').next()?.parse().ok()?;
        Some(pull::Comment {
            id: CommentId {
                repository: repository.clone(),
                kind: CommentKind::Comment,
                number: self.id.get(),
            },
            pull,
            author: self.user.and_then(RestUser::into_actor),
            body: self.body.unwrap_or_default(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            is_edited: self.created_at != self.updated_at,
            page_url: self.html_url.unwrap_or_default(),
        })
    }
}

#[derive(Debug, Deserialize)]
pub struct Review {
    id: NonZeroU64,
    pub node_id: Option<String>,
    html_url: Option<String>,
    user: Option<RestUser>,
    body: Option<String>,
    state: Option<String>,
    #[serde(default)]
    submitted_at: Option<Time>,
}

impl Review {
    /// The text of the review, if it has one and is public. REST does not tell whether it was changed, so it counts as
    /// changed until GraphQL says otherwise.
    pub fn into_comment(self, repository: &RepositoryId, pull: u64) -> Option<pull::Comment> {
        let body = self.body.filter(|body| !body.is_empty())?;
        let submitted_at = self.submitted_at.filter(|_| self.state.as_deref() != Some("PENDING"))?;
        Some(pull::Comment {
            id: CommentId {
                repository: repository.clone(),
                kind: CommentKind::Review,
                number: self.id.get(),
            },
            pull,
            author: self.user.and_then(RestUser::into_actor),
            body,
            created_at: submitted_at,
            updated_at: submitted_at,
            is_edited: true,
            page_url: self.html_url.unwrap_or_default(),
        })
    }
}

/// A branch, as GraphQL gives it.
#[derive(Debug, Deserialize)]
pub struct Tip {
    pub target: Option<Target>,
}

#[derive(Debug, Deserialize)]
pub struct Target {
    pub oid: Sha,
}

/// A reference, as REST gives it.
#[derive(Debug, Deserialize)]
pub struct Reference {
    #[serde(rename = "ref")]
    pub name: String,
    pub object: ReferenceObject,
}

#[derive(Debug, Deserialize)]
pub struct ReferenceObject {
    pub sha: Sha,
}

#[derive(Debug, Deserialize)]
pub struct Activity {
    pub id: u64,
    pub after: String,
    pub timestamp: Time,
    #[serde(default)]
    pub actor: Option<ActivityActor>,
}

#[derive(Debug, Deserialize)]
pub struct ActivityActor {
    pub id: u64,
}

#[derive(Debug, Deserialize)]
pub struct Comparison {
    pub merge_base_commit: ComparedCommit,
}

#[derive(Debug, Deserialize)]
pub struct ComparedCommit {
    pub sha: String,
}

#[derive(Debug, Deserialize)]
pub struct Permission {
    pub permission: String,
    pub user: Option<RestUser>,
}

/// The permission of that name; none for a name that docent does not know.
pub fn permission(name: &str) -> Option<pull::Permission> {
    match name {
        "none" => Some(pull::Permission::None),
        "read" | "triage" => Some(pull::Permission::Read),
        "write" | "maintain" => Some(pull::Permission::Write),
        "admin" => Some(pull::Permission::Admin),
        _ => None,
    }
}

#[derive(Debug, Deserialize)]
pub struct Membership {
    pub state: String,
}
