//! Gitea and Forgejo: one driver, because what docent needs of the two differs only in the text of refusals.
//!
//! `cycle` polls, `prove` establishes what the token can do, `report` is the report client, `probe` is what a person may
//! ask for beyond GET. What the two forges really answer stands in `docs/reference/forges.md`.

mod cycle;
mod json;
mod order;
mod pages;
mod probe;
mod prove;
mod report;

use std::collections::BTreeSet;

use http::StatusCode;
use secrecy::SecretString;
use url::Url;

pub use probe::{ProbedRight, WriteProbe};
pub use report::GiteaReporter;

use super::http::{Answer, Authorisation, Bounds, Credential, Line, Watcher};
use super::name::split;
use super::{CloneSource, Cursor, Forge, ForgeError, Poll, Proof, Question, Watch};
use crate::core::id::{CommentId, CommentKind};
use crate::core::pull::{Actor, Comment, Examination, Order, Permission, PullRequest, Repository};
use crate::core::time::Time;

/// The watch driver.
pub struct Gitea {
    name: String,
    url: Url,
    token: Option<SecretString>,
    watcher: Watcher,
}

impl Gitea {
    /// Watches the forge at `url` (its web address), called `name`, with a token that may only read, or with none.
    pub fn new(
        name: &str,
        url: &Url,
        token: Option<SecretString>,
        bounds: Bounds,
    ) -> Result<Self, ForgeError> {
        let watcher = Watcher::new(line(name, url, token.clone(), bounds)?);
        Ok(Self { name: name.to_owned(), url: url.clone(), token, watcher })
    }

    /// The comment as it is now; none when it is gone, or not under this pull request.
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
            CommentKind::Review => answer.json::<json::Review>()?.into_comment(&id.repository, pull),
        };
        Ok(comment.filter(|comment| comment.pull == pull && comment.id == *id))
    }

    /// The pull request as it is now, and the forge's clock at that answer.
    async fn pull(
        &self,
        repository: &Repository,
        number: u64,
    ) -> Result<(Option<PullRequest>, Time), ForgeError> {
        let (owner, name) = split(&self.name, &repository.name)?;
        let answer = self.watcher.ask(&["repos", owner, name, "pulls", &number.to_string()], &[]).await?;
        let observed_at = answer.clock()?;
        let Some(answer) = found(answer)? else { return Ok((None, observed_at)) };
        let pull = answer.json::<json::Pull>()?.into_pull(&repository.id);
        let pull = pull.map_err(|foreign| foreign.error(&answer, repository.id.number))?;
        Ok((Some(pull), observed_at))
    }

    async fn permission(
        &self,
        repository: &Repository,
        author: &Actor,
    ) -> Result<Option<Permission>, ForgeError> {
        let (owner, name) = split(&self.name, &repository.name)?;
        let path = ["repos", owner, name, "collaborators", author.login.as_str(), "permission"];
        let answer: json::Permission = self.watcher.get(&path, &[]).await?.json()?;
        // A name can change hands between two answers; the number can not.
        let is_same = answer.user.and_then(json::User::into_actor).is_some_and(|u| u.number == author.number);
        Ok(if is_same { json::permission(&answer.permission) } else { None })
    }

    async fn is_member(&self, team: &str, author: &Actor) -> Result<bool, ForgeError> {
        let (organisation, team) = split(&self.name, team)?;
        // Not the search: Gitea's finds only teams of which the one who asks is a member himself.
        let path = ["orgs", organisation, "teams"];
        let (mut seen, mut wanted) = (BTreeSet::new(), None);
        pages::read(&self.watcher, &path, &[], pages::LIMIT, |answer, items| {
            let mut fresh = 0;
            for item in items {
                let known: json::Team = answer.item(item)?;
                fresh += usize::from(seen.insert(known.id));
                if known.name.eq_ignore_ascii_case(team) {
                    wanted = Some(known);
                    return Ok(pages::Flow::Enough);
                }
            }
            Ok(pages::Flow::New(fresh))
        })
        .await?;
        let Some(team) = wanted else { return Ok(false) };
        let path = ["teams", &team.id.to_string(), "members", author.login.as_str()];
        let member: json::User = self.watcher.get(&path, &[]).await?.json()?;
        Ok(member.into_actor().is_some_and(|member| member.number == author.number))
    }
}

impl Forge for Gitea {
    fn name(&self) -> &str {
        &self.name
    }

    async fn repository(&self, name: &str) -> Result<Repository, ForgeError> {
        let (owner, short) = split(&self.name, name)?;
        let answer = self.watcher.get(&["repos", owner, short], &[]).await?;
        Ok(answer.json::<json::Repository>()?.into_repository(&self.name))
    }

    async fn poll(&self, watch: Watch<'_>, cursor: &Cursor) -> Result<Poll, ForgeError> {
        cycle::poll(self, watch, cursor).await
    }

    async fn examine(
        &self,
        repository: &Repository,
        comment: &CommentId,
        pull: u64,
        question: &Question,
    ) -> Result<Examination, ForgeError> {
        let mut comment = self.comment(repository, comment, pull).await?;
        let (pull, observed_at) = self.pull(repository, pull).await?;
        let (mut order, mut push) = (Order::Unproven, None);
        if let (Some(comment), Some(pull)) = (&mut comment, &pull) {
            // The record is a convenience: where it does not answer, the commenter is asked for the commit.
            if let Ok(record) = order::read(&self.watcher, &self.name, repository, pull.id.number).await {
                order = record.order(comment, &pull.head);
                push = record.push(&pull.head);
                comment.is_edited = record.is_edited(comment).unwrap_or(comment.is_edited);
            }
        }
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
        // Not the address that the forge gives: it is made of a setting that may name another host, and the token
        // must not go there.
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend([owner, &format!("{name}.git")]);
        }
        let credential = self.token.clone().map(|token| ("docent".to_owned(), token));
        Ok((CloneSource { url, credential }, pull.map(|number| format!("refs/pull/{number}/head"))))
    }
}

/// A line to the API of the forge at `url`.
fn line(name: &str, url: &Url, token: Option<SecretString>, bounds: Bounds) -> Result<Line, ForgeError> {
    let authorisation = match token {
        Some(secret) => Authorisation::Token { word: "token", secret },
        None => Authorisation::Anonymous,
    };
    Line::new(name, api(url), Credential::new(authorisation), bounds)
}

fn api(url: &Url) -> Url {
    let mut api = url.clone();
    if let Ok(mut segments) = api.path_segments_mut() {
        segments.pop_if_empty().extend(["api", "v1"]);
    }
    api
}

/// The answer unless it says that the thing is gone; 204 is how Gitea says «that is no comment».
fn found(answer: Answer) -> Result<Option<Answer>, ForgeError> {
    match answer.status {
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::NO_CONTENT => Ok(None),
        _ => answer.success().map(Some),
    }
}
