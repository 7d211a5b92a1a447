//! One poll by GraphQL: which pull requests changed, a hundred repositories a query; then those, fifty a query, with their
//! last comments and reviews. A null among the answers costs the repository it stands for, and no other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::json::{Changed, Connection, GraphError, Nodes, One, PageInfo, Pull, Reply, Text, Tip};
use super::{GitHub, queries};
use crate::core::id::CommentKind;
use crate::core::pull::{Comment, PullRequest, Repository};
use crate::core::time::Time;
use crate::forge::http::{Answer, Watcher};
use crate::forge::round::{OVERLAP, Round, read_to};
use crate::forge::{Cursor, ForgeError, ForgeErrorKind, Observation, Poll, RepositoryCursor, Watch};

/// Repositories asked for at once (the most that GitHub takes), and pull requests.
const REPOSITORIES: usize = 100;
const PULLS: usize = 50;
/// Pages of one list.
const MOST: usize = 200;
/// The one feed of this driver in the cursor.
const FEED: &str = "pulls";

/// What one repository gave in this poll.
#[derive(Default)]
struct Found {
    pulls: BTreeMap<u64, (PullRequest, Time)>,
    comments: Vec<Comment>,
}

/// What a poll of GitHub knows of each repository, whichever way it asks.
pub(super) struct Cycle<'a> {
    pub github: &'a GitHub,
    pub watcher: Watcher,
    pub round: Round,
    pub repositories: Vec<&'a Repository>,
    old: &'a Cursor,
    watch: Watch<'a>,
    reconcile: BTreeSet<u64>,
    found: BTreeMap<u64, Found>,
    failed: BTreeSet<u64>,
    began: Option<Time>,
}

/// Polls once.
pub async fn poll(github: &GitHub, watch: &Watch<'_>, cursor: &Cursor) -> Result<Poll, ForgeError> {
    let mut cycle = Cycle::new(github, watch, cursor);
    let (with_node, without): (Vec<&Repository>, Vec<&Repository>) =
        cycle.repositories.iter().partition(|repository| !repository.node.is_empty());
    for repository in without {
        let detail = "its GraphQL id is unknown: look it up again".to_owned();
        let (forge, what) = (github.name.clone(), format!("reading {}", repository.name));
        cycle.fail(
            repository,
            ForgeError { forge, kind: ForgeErrorKind::Refused, what, detail, retry_after: None },
        );
    }
    let known: Vec<&Repository> = with_node.iter().filter(|r| !cycle.is_fresh(r)).copied().collect();
    let whole: Vec<&Repository> = with_node.iter().filter(|r| cycle.is_whole(r)).copied().collect();
    let mut wanted = BTreeSet::new();
    cycle.list(known, Value::Null, &mut wanted).await;
    cycle.list(whole, json!(["OPEN"]), &mut wanted).await;
    cycle.read_pulls(wanted.into_iter().collect()).await;
    cycle.finish()
}

impl<'a> Cycle<'a> {
    pub fn new(github: &'a GitHub, watch: &Watch<'a>, old: &'a Cursor) -> Self {
        let mut round = Round::new(old);
        round.has_read = watch.repositories.is_empty();
        Self {
            github,
            watcher: github.watcher.counting(),
            round,
            repositories: watch.repositories.iter().collect(),
            old,
            watch: watch.clone(),
            reconcile: watch.reconcile.iter().map(|id| id.number).collect(),
            found: BTreeMap::new(),
            failed: BTreeSet::new(),
            began: None,
        }
    }

    pub fn is_fresh(&self, repository: &Repository) -> bool {
        !self.old.repositories.contains_key(&repository.id.number)
    }

    pub fn is_whole(&self, repository: &Repository) -> bool {
        let number = repository.id.number;
        let entry = self.old.repositories.get(&number);
        entry.is_none_or(|entry| entry.is_behind && !self.round.is_resting(number))
            || self.reconcile.contains(&number)
    }

    /// Up to when everything of the repository was seen.
    fn seen_to(&self, repository: &Repository) -> Option<Time> {
        let entry = self.old.repositories.get(&repository.id.number)?;
        if entry.is_behind {
            return Some(entry.read_to);
        }
        Some(self.old.feeds.get(FEED).map_or(entry.read_to, |feed| entry.read_to.max(*feed)))
    }

    /// Nothing older is of interest; none for a repository seen for the first time. While one rests, what changed since the
    /// last poll is.
    pub fn horizon(&self, repository: &Repository) -> Option<Time> {
        let seen = self.seen_to(repository)?;
        let polled = self.old.feeds.get(FEED).filter(|_| !self.is_whole(repository));
        Some(polled.map_or(seen, |polled| seen.max(*polled)) - OVERLAP)
    }

    pub fn fail(&mut self, repository: &Repository, error: ForgeError) {
        self.failed.insert(repository.id.number);
        self.round.is_behind(repository, error);
    }

    /// The forge's clock at `answer`; the first one dates the poll.
    pub fn clock(&mut self, answer: &Answer) -> Result<Time, ForgeError> {
        let clock = answer.clock()?;
        self.began.get_or_insert(answer.began.unwrap_or(clock));
        self.round.has_read = true;
        self.round.heed(None);
        Ok(clock)
    }

    pub fn observe(&mut self, pull: PullRequest, observed_at: Time) {
        let found = self.found.entry(pull.id.repository.number).or_default();
        found.pulls.insert(pull.id.number, (pull, observed_at));
    }

    pub fn say(&mut self, comments: impl IntoIterator<Item = Comment>) {
        for comment in comments {
            let found = self.found.entry(comment.id.repository.number).or_default();
            found.comments.push(comment);
        }
    }

    /// Asks for many things by their ids. Halves the lot where it is too much for GitHub.
    async fn ask(
        &mut self,
        text: &str,
        ids: &[&str],
        more: Value,
    ) -> Result<(Answer, Nodes, Vec<GraphError>), ForgeError> {
        if let Some(error) = self.round.stop() {
            return Err(error.clone());
        }
        let mut variables = more;
        variables["ids"] = json!(ids);
        let answer = self.watcher.query(&self.github.graphql, text, variables).await?;
        let reply: Reply<Nodes> = answer.json()?;
        let errors = reply.errors.unwrap_or_default();
        let is_too_much = |error: &GraphError| {
            error
                .kind
                .as_deref()
                .is_some_and(|kind| kind.contains("RESOURCE_LIMIT") || kind.contains("TIMEOUT"))
        };
        if ids.len() > 1 && errors.iter().any(is_too_much) {
            return Err(answer.error(ForgeErrorKind::Broken, "too much for one query"));
        }
        let nodes = reply.data.ok_or_else(|| refusal(&answer, errors.first()))?;
        if nodes.nodes.len() != ids.len() {
            let detail = format!("{} answers to {} questions", nodes.nodes.len(), ids.len());
            return Err(answer.error(ForgeErrorKind::Malformed, &detail));
        }
        self.clock(&answer)?;
        Ok((answer, nodes, errors))
    }

    /// Lists the pull requests of `repositories` that changed since their horizon, or all in one of `states`.
    async fn list(
        &mut self,
        repositories: Vec<&'a Repository>,
        states: Value,
        wanted: &mut BTreeSet<(u64, String)>,
    ) {
        let first = if states.is_null() { 10 } else { 50 };
        let mut lots: Vec<Vec<&Repository>> =
            repositories.chunks(REPOSITORIES).rev().map(<[_]>::to_vec).collect();
        while let Some(lot) = lots.pop() {
            let ids: Vec<&str> = lot.iter().map(|repository| repository.node.as_str()).collect();
            let branches: BTreeSet<&str> = lot
                .iter()
                .flat_map(|repository| self.watch.branches_of(repository))
                .map(String::as_str)
                .collect();
            let branches: Vec<&str> = branches.into_iter().collect();
            let mut variables = json!({ "first": first, "states": states });
            for (index, branch) in branches.iter().enumerate() {
                variables[format!("b{index}")] = format!("refs/heads/{branch}").into();
            }
            let text = queries::changed(branches.len());
            let (answer, nodes, errors) = match self.ask(&text, &ids, variables).await {
                Ok(asked) => asked,
                Err(error) if error.kind == ForgeErrorKind::Broken && lot.len() > 1 && lots.len() < 16 => {
                    let (one, other) = lot.split_at(lot.len() / 2);
                    lots.extend([other.to_vec(), one.to_vec()]);
                    continue;
                }
                Err(error) => {
                    self.round.heed(Some(&error));
                    lot.iter().for_each(|repository| self.fail(repository, error.clone()));
                    continue;
                }
            };
            for (index, (repository, node)) in lot.iter().zip(&nodes.nodes).enumerate() {
                let listed = match (node, errors.iter().find(|error| is_about(error, index))) {
                    (Some(node), None) => match self.take_branches(&answer, repository, node, &branches) {
                        Ok(()) => self.list_one(&answer, repository, node, &states, wanted).await,
                        Err(error) => Err(error),
                    },
                    (_, error) => Err(refusal(&answer, error)),
                };
                if let Err(error) = listed {
                    self.fail(repository, error);
                }
            }
        }
    }

    /// Where the watched branches of `repository` are. `asked` are the names that the question has numbered.
    fn take_branches(
        &mut self,
        answer: &Answer,
        repository: &Repository,
        node: &RawValue,
        asked: &[&str],
    ) -> Result<(), ForgeError> {
        let names = self.watch.branches_of(repository);
        if names.is_empty() {
            return Ok(());
        }
        let observed_at = answer.clock()?;
        let mut fields: BTreeMap<String, Value> = answer.item(node)?;
        for name in names {
            let index = asked.iter().position(|asked| asked == name);
            let found = index.and_then(|index| fields.remove(&format!("b{index}")));
            let found = found.map(serde_json::from_value::<Option<Tip>>);
            let Some(Ok(tip)) = found else {
                let detail = format!("no answer on the branch {name}");
                return Err(answer.error(ForgeErrorKind::Malformed, &detail));
            };
            let head = tip.and_then(|tip| tip.target).map(|target| target.oid);
            self.round.branch_is(repository, name, head, observed_at);
        }
        Ok(())
    }

    pub fn branches_of(&self, repository: &Repository) -> &'a [String] {
        self.watch.branches_of(repository)
    }

    async fn list_one(
        &mut self,
        answer: &Answer,
        repository: &Repository,
        node: &RawValue,
        states: &Value,
        wanted: &mut BTreeSet<(u64, String)>,
    ) -> Result<(), ForgeError> {
        let mut changed: Changed = answer.item(node)?;
        let horizon = self.horizon(repository).filter(|_| states.is_null());
        for _ in 0..MOST {
            if changed.database_id.get() != repository.id.number {
                let detail =
                    format!("repository {} was given for {}", changed.database_id, repository.id.number);
                return Err(answer.error(ForgeErrorKind::Malformed, &detail));
            }
            self.round.is_named(repository, &changed.name_with_owner);
            let (mut is_past, mut is_torn) = (false, false);
            for pull in &changed.pull_requests.nodes {
                match pull {
                    Some(pull) if horizon.is_some_and(|horizon| pull.updated_at < horizon) => is_past = true,
                    Some(pull) => {
                        wanted.insert((repository.id.number, pull.id.clone()));
                    }
                    None => is_torn = true,
                }
            }
            if is_torn {
                return Err(
                    answer.error(ForgeErrorKind::Malformed, "a list of pull requests with a hole in it")
                );
            }
            let Some(after) = changed.pull_requests.page_info.next().filter(|_| !is_past) else {
                return Ok(());
            };
            let variables = json!({ "id": repository.node, "states": states, "after": after });
            changed = self.page(&queries::CHANGED_BEFORE, variables).await?;
        }
        Err(answer.error(ForgeErrorKind::Malformed, "a list of pull requests without an end"))
    }

    async fn page<T: serde::de::DeserializeOwned>(
        &mut self,
        text: &str,
        variables: Value,
    ) -> Result<T, ForgeError> {
        if let Some(error) = self.round.stop() {
            return Err(error.clone());
        }
        let answer = self.watcher.query(&self.github.graphql, text, variables).await?;
        let reply: Reply<One<Box<RawValue>>> = answer.json()?;
        let error = reply.errors.as_deref().and_then(<[_]>::first);
        match reply.data.and_then(|data| data.node) {
            Some(node) if error.is_none() => answer.item(&node),
            _ => Err(refusal(&answer, error)),
        }
    }

    async fn read_pulls(&mut self, wanted: Vec<(u64, String)>) {
        let by_number: BTreeMap<u64, &'a Repository> =
            self.repositories.iter().map(|repository| (repository.id.number, *repository)).collect();
        let mut lots: Vec<Vec<(u64, String)>> = wanted.chunks(PULLS).rev().map(<[_]>::to_vec).collect();
        while let Some(lot) = lots.pop() {
            let ids: Vec<&str> = lot.iter().map(|(_, id)| id.as_str()).collect();
            let asked = self.ask(&queries::PULL_REQUESTS, &ids, json!({})).await;
            let (answer, nodes, errors) = match asked {
                Ok(asked) => asked,
                Err(error)
                    if lot.len() > 1
                        && lots.len() < 16
                        && (error.kind == ForgeErrorKind::Broken
                            || crate::forge::http::is_too_large(&error)) =>
                {
                    let (one, other) = lot.split_at(lot.len() / 2);
                    lots.extend([other.to_vec(), one.to_vec()]);
                    continue;
                }
                Err(error) => {
                    // One pull request that breaks GitHub down says nothing of the others.
                    let is_own = lot.len() == 1 && error.kind == ForgeErrorKind::Broken;
                    self.round.heed(Some(&error).filter(|_| !is_own));
                    let concerned: BTreeSet<u64> = lot.iter().map(|(number, _)| *number).collect();
                    for repository in concerned.iter().filter_map(|number| by_number.get(number)) {
                        self.fail(repository, error.clone());
                    }
                    continue;
                }
            };
            for (index, ((number, _), node)) in lot.iter().zip(&nodes.nodes).enumerate() {
                let Some(repository) = by_number.get(number) else { continue };
                let error = errors.iter().find(|error| is_about(error, index));
                let read = match node {
                    Some(node) => self.read_pull(&answer, repository, node).await,
                    None => Err(refusal(&answer, error)),
                };
                let read =
                    read.and_then(|()| error.map_or(Ok(()), |error| Err(refusal(&answer, Some(error)))));
                if let Err(error) = read {
                    self.fail(repository, error);
                }
            }
        }
    }

    async fn read_pull(
        &mut self,
        answer: &Answer,
        repository: &Repository,
        node: &RawValue,
    ) -> Result<(), ForgeError> {
        let mut pull: Pull = answer.item(node)?;
        let observed_at = answer.clock()?;
        let (comments, reviews) = (pull.comments.take(), pull.reviews.take());
        let (number, id) = (pull.number(), pull.id.clone());
        let pull =
            pull.into_pull(&repository.id).map_err(|why| answer.error(ForgeErrorKind::Malformed, &why))?;
        self.observe(pull, observed_at);
        let Some(horizon) = self.horizon(repository) else { return Ok(()) };
        let mut first_error = None;
        for (kind, texts, earlier) in [
            (CommentKind::Comment, comments, &queries::COMMENTS_BEFORE),
            (CommentKind::Review, reviews, &queries::REVIEWS_BEFORE),
        ] {
            let Some(mut texts) = texts else {
                first_error =
                    Some(answer.error(ForgeErrorKind::Malformed, "a pull request without its texts"));
                continue;
            };
            for turn in 0..=MOST {
                let (page, is_past) =
                    self.take_texts(answer, repository, kind, number, horizon, texts, &mut first_error);
                let Some(before) = page.previous().filter(|_| !is_past && turn < MOST) else { break };
                let variables = json!({ "id": id, "before": before });
                match self.page::<Earlier>(earlier, variables).await {
                    Ok(more) => texts = more.texts,
                    Err(error) => {
                        first_error = Some(error);
                        break;
                    }
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    #[expect(clippy::too_many_arguments, reason = "one page of one list, with what it belongs to")]
    fn take_texts(
        &mut self,
        answer: &Answer,
        repository: &Repository,
        kind: CommentKind,
        pull: u64,
        horizon: Time,
        texts: Connection<Box<RawValue>>,
        first_error: &mut Option<ForgeError>,
    ) -> (PageInfo, bool) {
        let mut is_past = false;
        for text in &texts.nodes {
            let text = match text {
                Some(text) => answer.item::<Text>(text),
                None => Err(answer.error(ForgeErrorKind::Malformed, "a list of texts with a hole in it")),
            };
            match text {
                Ok(text) if text.updated_at < horizon => is_past = true,
                Ok(text) => self.say(text.into_comment(&repository.id, kind, pull)),
                Err(error) => *first_error = Some(error),
            }
        }
        (texts.page_info, is_past)
    }

    pub fn finish(mut self) -> Result<Poll, ForgeError> {
        for repository in std::mem::take(&mut self.repositories) {
            let number = repository.id.number;
            if let Some(found) = self.found.remove(&number) {
                let mut pulls: Vec<_> = found.pulls.into_values().collect();
                pulls.sort_by_key(|(pull, _)| (pull.updated_at, pull.id.number));
                let mut comments = found.comments;
                comments.sort_by_key(|comment| (comment.created_at, comment.id.number));
                let pulls =
                    pulls.into_iter().map(|(pull, observed_at)| Observation::Pull { pull, observed_at });
                self.round.poll.observations.extend(pulls);
                self.round.poll.observations.extend(comments.into_iter().map(Observation::Comment));
            }
            let (seen_to, is_failed) = (self.seen_to(repository), self.failed.contains(&number));
            let Some(began) = self.began else { continue };
            let old = self.old.repositories.get(&number);
            let reconciled_at = old.and_then(|entry| entry.reconciled_at);
            let entry = match seen_to {
                // Later reads go back by the overlap, but never to before this moment.
                None => RepositoryCursor {
                    read_to: began + OVERLAP,
                    is_behind: is_failed,
                    reconciled_at: (!is_failed).then_some(began),
                    branches: BTreeMap::new(),
                    unreadable: None,
                },
                Some(seen_to) if is_failed => RepositoryCursor {
                    read_to: seen_to,
                    is_behind: true,
                    reconciled_at,
                    branches: BTreeMap::new(),
                    unreadable: None,
                },
                Some(seen_to) if self.is_whole(repository) => RepositoryCursor {
                    read_to: read_to(Some(seen_to), began),
                    is_behind: false,
                    reconciled_at: Some(began),
                    branches: BTreeMap::new(),
                    unreadable: None,
                },
                // The feed's own time covers it: nothing to write down.
                Some(_) => continue,
            };
            self.round.poll.cursor.repositories.insert(number, entry);
        }
        if let Some(began) = self.began {
            self.round.poll.cursor.feeds.insert(FEED.to_owned(), began);
        }
        self.round.finish(&self.watcher)
    }
}

#[derive(serde::Deserialize)]
struct Earlier {
    texts: Connection<Box<RawValue>>,
}

/// The error is about the thing at `index`.
fn is_about(error: &GraphError, index: usize) -> bool {
    let path = error.path.as_deref().unwrap_or_default();
    path.first().and_then(Value::as_str) == Some("nodes")
        && path.get(1).and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok()) == Some(index)
}

/// Why there is no data.
fn refusal(answer: &Answer, error: Option<&GraphError>) -> ForgeError {
    let Some(error) = error else {
        return answer.error(ForgeErrorKind::Malformed, "neither data nor an error");
    };
    let kind = match error.kind.as_deref().unwrap_or_default() {
        "NOT_FOUND" => ForgeErrorKind::NotFound,
        "FORBIDDEN" | "INSUFFICIENT_SCOPES" => ForgeErrorKind::Forbidden,
        kind if kind.contains("RESOURCE_LIMIT") || kind.contains("TIMEOUT") => ForgeErrorKind::Broken,
        _ => ForgeErrorKind::Refused,
    };
    answer.error(kind, error.message.as_deref().unwrap_or("refused without a reason"))
}
