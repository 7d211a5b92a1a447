//! One poll: one search per owner says which pull requests changed; only repositories that have one are read. Where branches
//! are watched, one more says which repositories were pushed to.
//!
//! The search does not show edits of comments nor pushes of commits that the base already has; the caller's slow lane
//! (`Watch::reconcile`) reads repositories whole for those. A repository that could not be read is behind: it is read whole
//! in the next poll, from where it was last read, whatever the search says.

use std::collections::{BTreeMap, BTreeSet};

use super::Gitea;
use super::json::{Changed, Unreadable};
use super::pages::{self, Flow};
use crate::core::pull::Repository;
use crate::core::time::Time;
use crate::forge::http::Watcher;
use crate::forge::name::split;
use crate::forge::round::{OVERLAP, Round, read_to};
use crate::forge::{Cursor, Forge, ForgeError, ForgeErrorKind, Poll, RepositoryCursor, Watch};

mod pushes;
mod read;

/// Repositories of an unknown owner that are looked up in one poll.
const LOOK_UPS: usize = 5;

/// What is to be read of one repository.
struct Task<'a> {
    repository: &'a Repository,
    /// Its name now, if the search gave another one.
    name: String,
    /// Changed pull requests, and whether they are open.
    changed: BTreeMap<u64, bool>,
    /// Read everything open, and what changed since it was last read.
    whole: bool,
    /// Seen for the first time: its comments so far are not reported.
    is_fresh: bool,
}

/// Pull requests that the search found, by repository number.
struct Feed {
    began: Time,
    entries: Vec<Changed>,
    /// Repositories of which an entry could not be read.
    unreadable: Vec<(u64, ForgeError)>,
    /// An entry could not be read and does not say whose it is.
    unknown: Option<ForgeError>,
}

struct Cycle<'a> {
    gitea: &'a Gitea,
    watcher: Watcher,
    old: &'a Cursor,
    round: Round,
    tasks: BTreeMap<u64, Task<'a>>,
    watch: Watch<'a>,
    /// Repositories that were pushed to, with their names now.
    pushed: BTreeMap<u64, String>,
}

/// Polls once.
pub async fn poll(gitea: &Gitea, watch: Watch<'_>, cursor: &Cursor) -> Result<Poll, ForgeError> {
    let watcher = gitea.watcher.counting();
    let mut cycle = Cycle {
        gitea,
        watcher,
        old: cursor,
        round: Round::new(cursor),
        tasks: BTreeMap::new(),
        watch: watch.clone(),
        pushed: BTreeMap::new(),
    };
    cycle.round.has_read = watch.repositories.is_empty();
    for repository in watch.repositories {
        let number = repository.id.number;
        let is_behind = cursor.repositories.get(&number).is_some_and(|entry| entry.is_behind);
        if (is_behind && !cycle.round.is_resting(number)) || watch.reconcile.contains(&repository.id) {
            cycle.task(repository).whole = true;
        }
    }
    let mut owners: BTreeMap<(u64, &str), Vec<&Repository>> = BTreeMap::new();
    for repository in watch.repositories {
        match split(&gitea.name, &repository.name) {
            Ok((owner, _)) => owners.entry((repository.owner, owner)).or_default().push(repository),
            Err(error) => cycle.round.poll.failures.push((Some(repository.id.clone()), error)),
        }
    }
    for ((number, owner), repositories) in owners {
        cycle.look_for_changes(&format!("owner:{number}"), owner, &repositories).await;
        cycle.look_for_pushes(number, &repositories).await;
    }
    let whole = cycle.tasks.iter().filter(|(_, task)| task.whole).map(|(number, _)| *number).collect();
    while let Some((_, task)) = cycle.tasks.pop_first() {
        cycle.read(task).await;
    }
    cycle.read_branches(&whole).await;
    cycle.round.finish(&cycle.watcher)
}

impl<'a> Cycle<'a> {
    fn task(&mut self, repository: &'a Repository) -> &mut Task<'a> {
        self.tasks.entry(repository.id.number).or_insert_with(|| Task {
            repository,
            name: repository.name.clone(),
            changed: BTreeMap::new(),
            whole: false,
            is_fresh: false,
        })
    }

    async fn look_for_changes(&mut self, key: &str, owner: &str, repositories: &[&'a Repository]) {
        let is_known = |repository: &&&Repository| self.old.repositories.contains_key(&repository.id.number);
        let known: Vec<&Repository> = repositories.iter().filter(is_known).copied().collect();
        let fresh: Vec<&Repository> = repositories.iter().filter(|r| !is_known(r)).copied().collect();
        if !known.is_empty() {
            let reads = known.iter().filter_map(|r| self.old.repositories.get(&r.id.number));
            let since = self.old.feeds.get(key).copied().or_else(|| reads.map(|entry| entry.read_to).min());
            if let Some(feed) = self.feed(owner, since).await {
                self.take_changes(key, &known, feed);
            } else {
                self.look_for_names(&known).await;
            }
        }
        if !fresh.is_empty()
            && let Some(feed) = self.feed(owner, None).await
        {
            self.begin(key, &fresh, feed);
        }
    }

    /// Searches the pull requests of `owner`: those changed since then, or all open ones. None when that failed.
    async fn feed(&mut self, owner: &str, since: Option<Time>) -> Option<Feed> {
        if let Some(error) = self.round.stop().cloned() {
            self.round.poll.failures.push((None, error));
            return None;
        }
        let searched = search(&self.watcher, owner, since).await;
        match &searched {
            Ok(_) => self.round.has_read = true,
            Err(error) => self.round.poll.failures.push((None, error.clone())),
        }
        self.round.heed(searched.as_ref().err());
        searched.ok()
    }

    fn take_changes(&mut self, key: &str, known: &[&'a Repository], feed: Feed) {
        let by_number: BTreeMap<u64, &'a Repository> = known.iter().map(|r| (r.id.number, *r)).collect();
        for (number, error) in feed.unreadable {
            if let Some(repository) = by_number.get(&number) {
                self.round.poll.failures.push((Some(repository.id.clone()), error));
                self.task(repository).whole = true;
            }
        }
        for entry in feed.entries {
            let Some(repository) = by_number.get(&entry.repository.id.get()) else { continue };
            let read_to = self.old.repositories.get(&repository.id.number).map(|entry| entry.read_to);
            // An entry older than the repository's own last read comes from a search that had to begin earlier.
            if read_to.is_some_and(|read_to| entry.updated_at.time() < read_to - OVERLAP) {
                continue;
            }
            let task = self.task(repository);
            task.changed.insert(entry.number.get(), entry.state == "open");
            task.name = entry.repository.full_name;
        }
        match feed.unknown {
            Some(error) => self.round.poll.failures.push((None, error)),
            None => {
                self.round.poll.cursor.feeds.insert(key.to_owned(), feed.began);
            }
        }
    }

    /// Begins to watch: the search showed which repositories have something open at all.
    fn begin(&mut self, key: &str, fresh: &[&'a Repository], feed: Feed) {
        let mut with_open: BTreeSet<u64> = feed.entries.iter().map(|e| e.repository.id.get()).collect();
        with_open.extend(feed.unreadable.iter().map(|(number, _)| number));
        for repository in fresh {
            let number = repository.id.number;
            // Every later read goes back by the overlap, but never to before this moment: see `read_to`.
            let read_to = feed.began + OVERLAP;
            // Where nothing is open, that is all there is to know.
            let is_open = with_open.contains(&number) || feed.unknown.is_some();
            let entry = RepositoryCursor {
                read_to,
                is_behind: false,
                reconciled_at: (!is_open).then_some(feed.began),
                branches: BTreeMap::new(),
                unreadable: None,
            };
            self.round.poll.cursor.repositories.insert(number, entry);
            if is_open {
                let task = self.task(repository);
                task.whole = true;
                task.is_fresh = true;
            }
        }
        self.round.poll.cursor.feeds.entry(key.to_owned()).or_insert(feed.began);
    }

    /// An owner who is not found may have been renamed: asks for a few of his repositories, which redirects.
    async fn look_for_names(&mut self, repositories: &[&'a Repository]) {
        let is_unknown = self.round.poll.failures.last().is_some_and(|(_, error)| {
            matches!(error.kind, ForgeErrorKind::NotFound | ForgeErrorKind::Refused)
        });
        for repository in repositories.iter().take(if is_unknown { LOOK_UPS } else { 0 }) {
            if self.round.stop().is_some() {
                return;
            }
            let found = self.gitea.repository(&repository.name).await;
            self.round.heed(found.as_ref().err());
            if let Ok(found) = found
                && found.id == repository.id
            {
                self.round.is_named(repository, &found.name);
            }
        }
    }

    async fn read(&mut self, task: Task<'a>) {
        let repository = task.repository;
        if let Some(error) = self.round.stop().cloned() {
            self.round.is_behind(repository, error);
            return;
        }
        self.round.is_named(repository, &task.name);
        let entry = self.round.poll.cursor.repositories.get(&repository.id.number).cloned();
        let since = entry.as_ref().map(|entry| entry.read_to);
        let read = read::repository(&self.watcher, &self.gitea.name, &task, since).await;
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                self.round.heed(Some(&error));
                self.round.is_behind(repository, error);
                return;
            }
        };
        self.round.has_read = true;
        // Some of it was read: a part that is broken is the repository's own.
        let of_the_forge = |error: &&ForgeError| error.kind != ForgeErrorKind::Broken;
        self.round.heed(read.failures.iter().rfind(of_the_forge));
        if let Some(name) = &read.name {
            self.round.is_named(repository, name);
        }
        self.round.poll.observations.extend(read.observations);
        if read.failures.is_empty() && !task.whole && self.round.is_resting(repository.id.number) {
            // What changed was read; what could not be is still to come.
        } else if read.failures.is_empty() {
            let reconciled_at = entry.as_ref().and_then(|entry| entry.reconciled_at);
            let entry = RepositoryCursor {
                read_to: read_to(since, read.began),
                is_behind: false,
                reconciled_at: if task.whole { Some(read.began) } else { reconciled_at },
                branches: BTreeMap::new(),
                unreadable: None,
            };
            self.round.poll.cursor.repositories.insert(repository.id.number, entry);
        } else {
            for error in read.failures {
                self.round.is_behind(repository, error);
            }
        }
    }
}

async fn search(watcher: &Watcher, owner: &str, since: Option<Time>) -> Result<Feed, ForgeError> {
    let from = since.map(|since| stamp(since - OVERLAP));
    let mut query = vec![("type", "pulls"), ("owner", owner)];
    match &from {
        Some(from) => query.extend([("state", "all"), ("since", from.as_str())]),
        None => query.push(("state", "open")),
    }
    let mut feed: Option<Feed> = None;
    let mut seen = BTreeSet::new();
    let mut seen_unreadable = BTreeSet::new();
    // A pull request opened between two pages pushes the rows down, and itself stands on the first page, already read:
    // so that one is read again.
    for pass in 0..4 {
        let (mut pages_read, mut fresh_in_pass) = (0, 0);
        let too_large =
            pages::read(watcher, &["repos", "issues", "search"], &query, pages::LIMIT, |answer, items| {
                let clock = answer.clock()?;
                let feed = feed.get_or_insert_with(|| Feed {
                    began: answer.began.unwrap_or(clock),
                    entries: Vec::new(),
                    unreadable: Vec::new(),
                    unknown: None,
                });
                let mut fresh = 0;
                for item in items {
                    match answer.item::<Changed>(item) {
                        Ok(entry) if seen.insert((entry.repository.id.get(), entry.number.get())) => {
                            fresh += 1;
                            feed.entries.push(entry);
                        }
                        Ok(_) => {}
                        Err(error) if seen_unreadable.insert(item.get().to_owned()) => {
                            fresh += 1;
                            match answer.item::<Unreadable>(item) {
                                Ok(entry) => feed.unreadable.push((entry.repository.id, error)),
                                Err(_) => feed.unknown = Some(error),
                            }
                        }
                        Err(_) => {}
                    }
                }
                pages_read += 1;
                fresh_in_pass += fresh;
                Ok(if pass > 0 { Flow::Enough } else { Flow::New(fresh) })
            })
            .await?;
        if let (Some(feed), Some(error)) = (&mut feed, too_large.into_iter().next()) {
            feed.unknown = Some(error);
        }
        if (pass == 0 && pages_read < 2) || (pass > 0 && fresh_in_pass == 0) {
            break;
        }
    }
    feed.ok_or_else(|| ForgeError {
        forge: watcher.forge().to_owned(),
        kind: ForgeErrorKind::Malformed,
        what: "GET repos/issues/search".to_owned(),
        detail: "every entry is too large to be read".to_owned(),
        retry_after: None,
    })
}

/// A time as the forge takes it: with `Z`, because a `+` becomes a space on the way.
fn stamp(time: Time) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
