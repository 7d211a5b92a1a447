//! Reads what changed in one repository. One bad pull request, comment or review costs itself only: it stands in the
//! failures, and everything else of the repository is served.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::super::json::{self, Pull};
use super::super::order;
use super::super::pages::{self, Flow};
use super::{Task, stamp};
use crate::core::pull::{Comment, PullRequest, Repository};
use crate::core::time::Time;
use crate::forge::http::{Answer, Watcher, is_too_large};
use crate::forge::name::split;
use crate::forge::round::OVERLAP;
use crate::forge::{ForgeError, ForgeErrorKind, Observation};

/// Up to so many changed pull requests are read singly; more of them from the list.
const SINGLY: usize = 3;
/// Requests for single pull requests in one read of one repository.
const MOST_SINGLY: usize = 50;

/// What one repository gave.
pub struct Read {
    /// The forge's clock before the first request.
    pub began: Time,
    pub observations: Vec<Observation>,
    pub failures: Vec<ForgeError>,
    /// Its name now.
    pub name: Option<String>,
}

struct Reader<'a> {
    watcher: &'a Watcher,
    forge: &'a str,
    task: &'a Task<'a>,
    owner: &'a str,
    short: &'a str,
    /// Nothing older is of interest.
    horizon: Option<Time>,
    began: Option<Time>,
    pulls: BTreeMap<u64, (PullRequest, Time)>,
    comments: Vec<Comment>,
    failures: Vec<ForgeError>,
    name: Option<String>,
}

/// Reads `task`; `since` is where its repository was last read to. An error when nothing of it could be read.
pub async fn repository(
    watcher: &Watcher,
    forge: &str,
    task: &Task<'_>,
    since: Option<Time>,
) -> Result<Read, ForgeError> {
    let (owner, short) = split(forge, &task.name)?;
    let mut reader = Reader {
        watcher,
        forge,
        task,
        owner,
        short,
        horizon: since.map(|since| since - OVERLAP),
        began: None,
        pulls: BTreeMap::new(),
        comments: Vec::new(),
        failures: Vec::new(),
        name: None,
    };
    if let Err(error) = reader.run().await {
        reader.failures.push(error);
    }
    let Some(began) = reader.began else {
        return Err(reader.failures.swap_remove(0));
    };
    let mut pulls: Vec<_> = reader.pulls.into_values().collect();
    pulls.sort_by_key(|(pull, _)| (pull.updated_at, pull.id.number));
    let mut comments = reader.comments;
    comments.sort_by_key(|comment| (comment.created_at, comment.id.number));
    let pulls = pulls.into_iter().map(|(pull, observed_at)| Observation::Pull { pull, observed_at });
    let observations = pulls.chain(comments.into_iter().map(Observation::Comment)).collect();
    Ok(Read { began, observations, failures: reader.failures, name: reader.name })
}

impl Reader<'_> {
    fn repository(&self) -> &Repository {
        self.task.repository
    }

    async fn run(&mut self) -> Result<(), ForgeError> {
        if self.task.whole {
            self.read_whole().await?;
        } else {
            for is_open in [true, false] {
                self.read_changed(is_open).await?;
            }
        }
        if self.task.is_fresh {
            return Ok(());
        }
        self.read_reviews().await?;
        self.read_comments().await
    }

    async fn read_whole(&mut self) -> Result<(), ForgeError> {
        let open = self.list("open", None).await;
        self.tolerate(open)?;
        if !self.task.is_fresh {
            let closed = self.list("closed", self.horizon).await;
            self.tolerate(closed)?;
        }
        let missing = self.missing(self.task.changed.keys().copied());
        self.read_singly(missing).await?;
        if self.name.is_none() {
            let answer = self.watcher.get(&["repos", self.owner, self.short], &[]).await?;
            self.clock(&answer)?;
            let found: json::Repository = answer.json()?;
            if found.id.get() != self.repository().id.number {
                let foreign = json::Foreign { pull: 0, repository: Some(found.id.get()) };
                return Err(foreign.error(&answer, self.repository().id.number));
            }
            self.name = Some(found.full_name);
        }
        Ok(())
    }

    async fn read_changed(&mut self, is_open: bool) -> Result<(), ForgeError> {
        let of_state = |(number, open): (&u64, &bool)| (*open == is_open).then_some(*number);
        let wanted: BTreeSet<u64> = self.task.changed.iter().filter_map(of_state).collect();
        if wanted.len() > SINGLY {
            let listed = self.list(if is_open { "open" } else { "closed" }, self.horizon).await;
            // What the list could not give is asked for singly.
            if let Err(error) = listed
                && !matches!(error.kind, ForgeErrorKind::Malformed | ForgeErrorKind::Broken)
            {
                return Err(error);
            }
        }
        let missing = self.missing(wanted.into_iter());
        self.read_singly(missing).await
    }

    fn missing(&self, numbers: impl Iterator<Item = u64>) -> Vec<u64> {
        numbers.filter(|number| !self.pulls.contains_key(number)).collect()
    }

    /// Reads the list of pull requests, most recently changed first, down to those not changed since `until`.
    async fn list(&mut self, state: &str, until: Option<Time>) -> Result<(), ForgeError> {
        let path = ["repos", self.owner, self.short, "pulls"];
        let query = [("state", state), ("sort", "recentupdate")];
        let watcher = self.watcher;
        let failures = pages::read(watcher, &path, &query, pages::LIMIT, |answer, items| {
            let observed_at = self.clock(answer)?;
            let (mut fresh, mut is_past) = (0, false);
            for item in items {
                let pull = match answer.item::<Pull>(item) {
                    Ok(pull) => self.own(answer, pull)?,
                    Err(error) => {
                        if !self.failures.contains(&error) {
                            self.failures.push(error);
                            fresh += 1;
                        }
                        continue;
                    }
                };
                let Some(pull) = pull else { continue };
                is_past = until.is_some_and(|until| pull.updated_at < until);
                if is_past {
                    break;
                }
                let known = self.pulls.insert(pull.id.number, (pull, observed_at));
                fresh += usize::from(known.is_none());
            }
            Ok(if is_past { Flow::Enough } else { Flow::New(fresh) })
        })
        .await?;
        self.failures.extend(failures);
        Ok(())
    }

    async fn read_singly(&mut self, numbers: Vec<u64>) -> Result<(), ForgeError> {
        for (index, number) in numbers.iter().enumerate() {
            let path = ["repos", self.owner, self.short, "pulls", &number.to_string()];
            let answer = self.watcher.get(&path, &[]).await;
            match answer.and_then(|answer| self.single(&answer)) {
                Ok(()) => {}
                // Gone: nothing is left to observe.
                Err(error) if error.kind == ForgeErrorKind::NotFound && index + 1 < numbers.len() => {}
                Err(error) if error.kind == ForgeErrorKind::NotFound && self.began.is_some() => {}
                Err(error) => self.tolerate(Err(error))?,
            }
            if index == MOST_SINGLY {
                let detail =
                    format!("{} more pull requests are left to the next poll", numbers.len() - index);
                self.failures.push(ForgeError {
                    forge: self.forge.to_owned(),
                    kind: ForgeErrorKind::Limited,
                    what: format!("reading {}", self.task.name),
                    detail,
                    retry_after: None,
                });
                return Ok(());
            }
        }
        Ok(())
    }

    fn single(&mut self, answer: &Answer) -> Result<(), ForgeError> {
        let observed_at = self.clock(answer)?;
        if let Some(pull) = self.own(answer, answer.json()?)? {
            self.pulls.insert(pull.id.number, (pull, observed_at));
        }
        Ok(())
    }

    /// The pull request in docent's words. An error when the name has come to mean another repository.
    fn own(&mut self, answer: &Answer, pull: Pull) -> Result<Option<PullRequest>, ForgeError> {
        let name = pull.base_name().map(str::to_owned);
        match pull.into_pull(&self.repository().id) {
            Ok(pull) => {
                self.name = name.or_else(|| self.name.take());
                Ok(Some(pull))
            }
            Err(foreign) => {
                let error = foreign.error(answer, self.repository().id.number);
                self.tolerate(Err(error)).map(|()| None)
            }
        }
    }

    async fn read_reviews(&mut self) -> Result<(), ForgeError> {
        let is_recent = |pull: &PullRequest| self.horizon.is_none_or(|horizon| pull.updated_at >= horizon);
        let recent = self.pulls.values().filter(|(pull, _)| is_recent(pull)).map(|(pull, _)| pull.id.number);
        for number in recent.collect::<Vec<_>>() {
            let read = self.reviews(number).await;
            self.tolerate(read)?;
        }
        Ok(())
    }

    async fn reviews(&mut self, pull: u64) -> Result<(), ForgeError> {
        let number = pull.to_string();
        let path = ["repos", self.owner, self.short, "pulls", number.as_str(), "reviews"];
        let repository = self.repository().id.clone();
        let horizon = self.horizon;
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        let watcher = self.watcher;
        let failures = pages::read(watcher, &path, &[], pages::LIMIT, |answer, items| {
            let mut fresh = 0;
            for item in items {
                if !seen.insert(item.get().to_owned()) {
                    continue;
                }
                fresh += 1;
                match answer.item::<json::Review>(item) {
                    Ok(review) => found.extend(review.into_comment(&repository, pull)),
                    Err(error) => self.failures.push(error),
                }
            }
            Ok(Flow::New(fresh))
        })
        .await?;
        self.failures.extend(failures);
        found.retain(|review| horizon.is_none_or(|horizon| review.updated_at >= horizon));
        if found.iter().any(|review| review.is_edited) {
            let record = order::read(watcher, self.forge, self.repository(), pull).await?;
            for review in &mut found {
                review.is_edited = record.is_edited(review).unwrap_or(review.is_edited);
            }
        }
        self.comments.extend(found);
        Ok(())
    }

    /// All comments of the repository since the horizon: in one answer, which no change can shift; where that would be
    /// too large, page by page, and also where the forge gives the first page only (Gitea 1.26 does, without a `Link`).
    async fn read_comments(&mut self) -> Result<(), ForgeError> {
        let path = ["repos", self.owner, self.short, "issues", "comments"];
        let since = self.horizon.map(stamp).unwrap_or_default();
        let query = [("since", since.as_str())];
        let limit = match self.watcher.get(&path, &query).await {
            Ok(answer) => {
                self.clock(&answer)?;
                let items = answer.items()?;
                let got = items.len();
                self.take_comments(&answer, items, &mut BTreeSet::new());
                let is_all = answer.total().map_or(got < pages::LEAST, |total| total <= got);
                if answer.next_page().is_none() && is_all {
                    return Ok(());
                }
                pages::LIMIT
            }
            Err(error) if is_too_large(&error) => pages::FEW,
            Err(error) => return Err(error),
        };
        let mut seen = BTreeSet::new();
        self.comments.retain(|comment| comment.id.kind != crate::core::id::CommentKind::Comment);
        let watcher = self.watcher;
        let failures = pages::read(watcher, &path, &query, limit, |answer, items| {
            self.clock(answer)?;
            Ok(Flow::New(self.take_comments(answer, items, &mut seen)))
        })
        .await?;
        self.failures.extend(failures);
        Ok(())
    }

    fn take_comments(&mut self, answer: &Answer, items: Vec<&RawValue>, seen: &mut BTreeSet<u64>) -> usize {
        let mut fresh = 0;
        for item in items {
            match answer.item::<json::Comment>(item) {
                Ok(comment) if seen.insert(comment.id.get()) => {
                    fresh += 1;
                    self.comments.extend(comment.into_comment(&self.task.repository.id));
                }
                Ok(_) => {}
                Err(error) if self.failures.contains(&error) => {}
                Err(error) => {
                    fresh += 1;
                    self.failures.push(error);
                }
            }
        }
        fresh
    }

    fn clock(&mut self, answer: &Answer) -> Result<Time, ForgeError> {
        let clock = answer.clock()?;
        self.began.get_or_insert(answer.began.unwrap_or(clock));
        Ok(clock)
    }

    /// Goes on after an error that concerns one thing only, and keeps it for the end.
    fn tolerate(&mut self, result: Result<(), ForgeError>) -> Result<(), ForgeError> {
        match result {
            Err(error) => match error.kind {
                ForgeErrorKind::Malformed | ForgeErrorKind::Broken | ForgeErrorKind::Refused => {
                    self.failures.push(error);
                    Ok(())
                }
                _ => Err(error),
            },
            Ok(()) => Ok(()),
        }
    }
}
