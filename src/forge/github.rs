//! GitHub: GraphQL in batches, so that watching costs a hundredth of a request per repository; REST where GraphQL is not
//! to be had (anonymous reading, or a server that refuses it).
//!
//! `cycle` polls by GraphQL and `rest` without it, `mint` makes the short-lived token of an App, `prove` establishes what the
//! credential can do, `report` is the report client.

mod cycle;
mod json;
mod mint;
mod prove;
mod queries;
mod report;
mod rest;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderName, StatusCode, header};
use secrecy::SecretString;
use url::Url;

pub use report::GitHubReporter;

use super::http::{Answer, Authorisation, Bounds, Credential, Line, Watcher};
use super::name::split;
use super::{CloneSource, Cursor, Forge, ForgeError, ForgeErrorKind, Poll, Proof, Question, Watch};
use crate::core::id::{CommentId, CommentKind, Sha};
use crate::core::pull::{
    Actor, Comment, Examination, Order, Permission, PullRequest, PushRecord, Repository,
};
use crate::core::time::Time;
use mint::{Mint, Purpose};

/// How docent is known to GitHub.
#[derive(Debug, Clone)]
pub enum GitHubCredential {
    /// Not at all: public repositories, at 60 requests an hour.
    Anonymous,
    /// A fine-grained or classic token.
    Token(SecretString),
    /// An App's installation (recommended): its tokens live an hour and are minted with the rights that are needed only.
    App {
        /// Number (or client id) of the App.
        app: String,
        /// Number of the installation.
        installation: u64,
        /// The App's private key, as PEM text.
        key: SecretString,
    },
}

/// The watch driver.
pub struct GitHub {
    name: String,
    url: Url,
    graphql: Url,
    watcher: Watcher,
    access: Access,
    /// This server refused GraphQL as such: not asked again.
    is_without_graphql: AtomicBool,
}

/// Where the API's credential comes from, and keeps coming from.
struct Access {
    credential: Credential,
    kind: Kind,
}

enum Kind {
    Anonymous,
    Token(SecretString),
    App(Arc<Mint>),
}

impl Access {
    fn new(
        name: &str,
        url: &Url,
        given: GitHubCredential,
        purpose: Purpose,
        bounds: Bounds,
    ) -> Result<Self, ForgeError> {
        let bearer = |secret: SecretString| Authorisation::Token { word: "Bearer", secret };
        let (authorisation, kind) = match given {
            GitHubCredential::Anonymous => (Authorisation::Anonymous, Kind::Anonymous),
            GitHubCredential::Token(token) => (bearer(token.clone()), Kind::Token(token)),
            GitHubCredential::App { app, installation, key } => {
                let mint = Mint::new(name, &api(url), app, installation, &key, purpose, bounds)?;
                (Authorisation::Anonymous, Kind::App(Arc::new(mint)))
            }
        };
        Ok(Self { credential: Credential::new(authorisation), kind })
    }

    /// The token as it is now, renewed where it is about to expire.
    async fn token(&self) -> Result<Option<SecretString>, ForgeError> {
        match &self.kind {
            Kind::Anonymous => Ok(None),
            Kind::Token(token) => Ok(Some(token.clone())),
            Kind::App(mint) => {
                let secret = mint.token().await?;
                self.credential.replace(Authorisation::Token { word: "Bearer", secret: secret.clone() });
                Ok(Some(secret))
            }
        }
    }
}

impl GitHub {
    /// Watches the forge at `url` (its web address), called `name`.
    pub fn new(
        name: &str,
        url: &Url,
        credential: GitHubCredential,
        bounds: Bounds,
    ) -> Result<Self, ForgeError> {
        let access = Access::new(name, url, credential, Purpose::Watch, bounds)?;
        let watcher = Watcher::new(line(name, &api(url), access.credential.clone(), bounds)?);
        let graphql = graphql(url);
        let is_without_graphql = AtomicBool::new(matches!(access.kind, Kind::Anonymous));
        Ok(Self { name: name.to_owned(), url: url.clone(), graphql, watcher, access, is_without_graphql })
    }

    async fn comment(
        &self,
        repository: &Repository,
        id: &CommentId,
        pull: u64,
    ) -> Result<Option<Comment>, ForgeError> {
        let (owner, name) = split(&self.name, &repository.name)?;
        let (number, pull_number) = (id.number.to_string(), pull.to_string());
        let path = match id.kind {
            CommentKind::Comment => vec!["repos", owner, name, "issues", "comments", &number],
            CommentKind::Review => vec!["repos", owner, name, "pulls", &pull_number, "reviews", &number],
        };
        let Some(answer) = found(self.watcher.ask(&path, &[]).await?)? else { return Ok(None) };
        let comment = match id.kind {
            CommentKind::Comment => answer.json::<json::Comment>()?.into_comment(&id.repository),
            CommentKind::Review => {
                let review: json::Review = answer.json()?;
                let node = review.node_id.clone();
                let mut comment = review.into_comment(&id.repository, pull);
                if let (Some(comment), Some(node)) = (&mut comment, node) {
                    // REST does not say; unanswered counts as edited.
                    comment.is_edited = self.is_edited(&node).await.unwrap_or(true);
                }
                comment
            }
        };
        Ok(comment.filter(|comment| comment.pull == pull && comment.id == *id))
    }

    async fn is_edited(&self, node: &str) -> Result<bool, ForgeError> {
        if self.is_without_graphql.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let variables = serde_json::json!({ "id": node });
        let answer = self.watcher.query(&self.graphql, queries::EDITED, variables).await?;
        let reply: json::Reply<json::One<json::Edited>> = answer.json()?;
        match reply.data.and_then(|data| data.node) {
            Some(node) => Ok(node.last_edited_at.is_some()),
            None => Err(answer.error(ForgeErrorKind::Malformed, "no answer on whether a review was edited")),
        }
    }

    async fn pull(
        &self,
        repository: &Repository,
        number: u64,
    ) -> Result<(Option<PullRequest>, Time), ForgeError> {
        let (owner, name) = split(&self.name, &repository.name)?;
        let answer = self.watcher.ask(&["repos", owner, name, "pulls", &number.to_string()], &[]).await?;
        let observed_at = answer.clock()?;
        let Some(answer) = found(answer)? else { return Ok((None, observed_at)) };
        match answer.json::<json::RestPull>()?.into_pull(&repository.id) {
            Ok(pull) => Ok((Some(pull), observed_at)),
            Err(why) => Err(answer.error(ForgeErrorKind::Malformed, &why)),
        }
    }

    /// Where the head left its base: pull requests do not say, a comparison does. Its second page has no files, which would be
    /// most of the answer.
    async fn merge_base(&self, repository: &Repository, pull: &PullRequest) -> Result<Sha, ForgeError> {
        let (owner, name) = split(&self.name, &repository.name)?;
        let range = format!("{}...{}", pull.base, pull.head);
        let query = [("per_page", "1"), ("page", "2")];
        let answer = self.watcher.get(&["repos", owner, name, "compare", &range], &query).await?;
        let comparison: json::Comparison = answer.json()?;
        let unreadable = |_| answer.error(ForgeErrorKind::Malformed, "a comparison without a merge base");
        comparison.merge_base_commit.sha.parse().map_err(unreadable)
    }

    /// Whether the newest entry of the head branch's own record ends in the current head, and when by the forge's clock.
    async fn order(
        &self,
        comment: &Comment,
        pull: &PullRequest,
    ) -> Result<(Order, Option<PushRecord>), ForgeError> {
        let unproven = (Order::Unproven, None);
        let Some(head) = &pull.head_repository else { return Ok(unproven) };
        let (owner, name) = split(&self.name, head)?;
        let branch = format!("refs/heads/{}", pull.head_branch);
        let query = [("ref", branch.as_str()), ("per_page", "30")];
        let answer = self.watcher.get(&["repos", owner, name, "activity"], &query).await?;
        let entries: Vec<json::Activity> = answer.json()?;
        let Some(newest) = entries.iter().max_by_key(|entry| (entry.timestamp, entry.id)) else {
            return Ok(unproven);
        };
        if newest.after != pull.head.as_str() {
            return Ok(unproven);
        }
        let recorded_at = newest.timestamp;
        let push = newest.actor.as_ref().map(|actor| PushRecord { by: actor.id, recorded_at });
        // Whole seconds: within one, nothing is proven.
        let order = match recorded_at.cmp(&comment.created_at) {
            std::cmp::Ordering::Less => Order::HeadFirst,
            std::cmp::Ordering::Equal => Order::Unproven,
            std::cmp::Ordering::Greater => Order::CommentFirst,
        };
        Ok((order, push))
    }

    async fn permission(
        &self,
        repository: &Repository,
        author: &Actor,
    ) -> Result<Option<Permission>, ForgeError> {
        let (owner, name) = split(&self.name, &repository.name)?;
        let path = ["repos", owner, name, "collaborators", author.login.as_str(), "permission"];
        let answer: json::Permission = self.watcher.get(&path, &[]).await?.json()?;
        let is_same = answer.user.is_some_and(|user| user.id == author.number);
        Ok(if is_same { json::permission(&answer.permission) } else { None })
    }

    async fn is_member(&self, team: &str, author: &Actor) -> Result<bool, ForgeError> {
        let (organisation, team) = split(&self.name, team)?;
        let path = ["orgs", organisation, "teams", team, "memberships", author.login.as_str()];
        let membership: json::Membership = self.watcher.get(&path, &[]).await?.json()?;
        if membership.state != "active" {
            return Ok(false);
        }
        // The membership names no number: ask whose the name is.
        let user: json::RestUser = self.watcher.get(&["users", author.login.as_str()], &[]).await?.json()?;
        Ok(user.id == author.number)
    }
}

impl Forge for GitHub {
    fn name(&self) -> &str {
        &self.name
    }

    async fn repository(&self, name: &str) -> Result<Repository, ForgeError> {
        self.access.token().await?;
        let (owner, short) = split(&self.name, name)?;
        let answer = self.watcher.get(&["repos", owner, short], &[]).await?;
        Ok(answer.json::<json::RestRepository>()?.into_repository(&self.name))
    }

    async fn poll(&self, watch: Watch<'_>, cursor: &Cursor) -> Result<Poll, ForgeError> {
        self.access.token().await?;
        if !self.is_without_graphql.load(Ordering::Relaxed) {
            match cycle::poll(self, &watch, cursor).await {
                Err(error)
                    if matches!(error.kind, ForgeErrorKind::NotFound | ForgeErrorKind::Forbidden)
                        && error.what.starts_with("GraphQL") =>
                {
                    tracing::warn!(forge = self.name, %error, "GraphQL is refused: polling by REST from here on");
                    self.is_without_graphql.store(true, Ordering::Relaxed);
                }
                polled => return polled,
            }
        }
        rest::poll(self, &watch, cursor).await
    }

    async fn examine(
        &self,
        repository: &Repository,
        comment: &CommentId,
        pull: u64,
        question: &Question,
    ) -> Result<Examination, ForgeError> {
        self.access.token().await?;
        let comment = self.comment(repository, comment, pull).await?;
        let (mut pull, observed_at) = self.pull(repository, pull).await?;
        if let Some(pull) = &mut pull {
            pull.merge_base = self.merge_base(repository, pull).await.ok();
        }
        let (order, push) = match (&comment, &pull) {
            (Some(comment), Some(pull)) => self.order(comment, pull).await.unwrap_or((Order::Unproven, None)),
            _ => (Order::Unproven, None),
        };
        let (mut permission, mut teams) = (None, Vec::new());
        if let Some(author) = comment.as_ref().and_then(|comment| comment.author.as_ref()) {
            if question.permission {
                permission = self.permission(repository, author).await.unwrap_or_default();
            }
            for team in &question.teams {
                if self.is_member(team, author).await.unwrap_or_default() {
                    teams.push(team.clone());
                }
            }
        }
        Ok(Examination { comment, pull, observed_at, order, push, permission, teams })
    }

    async fn prove(&self, repositories: &[Repository]) -> Result<Proof, ForgeError> {
        prove::prove(self, repositories).await
    }

    async fn clone_source(
        &self,
        repository: &Repository,
        pull: Option<u64>,
    ) -> Result<(CloneSource, Option<String>), ForgeError> {
        let (owner, name) = split(&self.name, &repository.name)?;
        // Built from the operator's address, so that the token goes nowhere else.
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend([owner, &format!("{name}.git")]);
        }
        let credential = self.access.token().await?.map(|token| ("x-access-token".to_owned(), token));
        Ok((CloneSource { url, credential }, pull.map(|number| format!("refs/pull/{number}/head"))))
    }
}

fn is_github_com(url: &Url) -> bool {
    matches!(url.host_str(), Some("github.com" | "www.github.com" | "api.github.com"))
}

/// The root of the REST API of the forge at `url`.
fn api(url: &Url) -> Url {
    beside(url, &["api", "v3"], "https://api.github.com/")
}

fn graphql(url: &Url) -> Url {
    beside(url, &["api", "graphql"], "https://api.github.com/graphql")
}

fn beside(url: &Url, path: &[&str], public: &str) -> Url {
    if is_github_com(url)
        && let Ok(public) = Url::parse(public)
    {
        return public;
    }
    let mut url = url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

fn line(name: &str, api: &Url, credential: Credential, bounds: Bounds) -> Result<Line, ForgeError> {
    let line = Line::new(name, api.clone(), credential, bounds)?;
    Ok(line
        .with_header(header::ACCEPT, "application/vnd.github+json")
        .with_header(HeaderName::from_static("x-github-api-version"), "2022-11-28"))
}

/// The answer unless it says that the thing is gone.
fn found(answer: Answer) -> Result<Option<Answer>, ForgeError> {
    match answer.status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
        _ => answer.success().map(Some),
    }
}
