//! What every driver's poll keeps: what was found, what failed, how far the cursor may move, and when to give up.

use std::collections::BTreeMap;

use crate::core::backoff;
use crate::core::id::{BranchId, RepositoryId, Sha};
use crate::core::pull::Repository;
use crate::core::time::{Duration, Time};

use super::http::Watcher;
use super::{Cursor, ForgeError, ForgeErrorKind, Observation, Poll, Unreadable};

/// Read again from so long before the last read: forges stamp changes before they can be seen.
pub const OVERLAP: Duration = Duration::seconds(90);
/// After so many requests in a row that found no forge, the rest of the poll is left to the next one.
const PATIENCE: usize = 3;

/// Polls between whole reads of a repository of which the forge breaks down: that may be the forge's own trouble, and over soon.
const MOST_WHEN_BROKEN: u32 = 3;

/// One poll under way.
pub struct Round {
    pub poll: Poll,
    /// Something was read: then the poll is worth keeping whatever else failed.
    pub has_read: bool,
    misses: usize,
    stop: Option<ForgeError>,
    /// Where the watched branches are, by number of the repository: as the cursor has it, and what this poll found.
    branches: BTreeMap<u64, BTreeMap<String, Option<Sha>>>,
    /// What was unreadable before this poll, by number of the repository.
    unreadable: BTreeMap<u64, Box<Unreadable>>,
}

impl Round {
    /// A poll that begins at `cursor`.
    pub fn new(cursor: &Cursor) -> Self {
        let poll = Poll {
            observations: Vec::new(),
            failures: Vec::new(),
            cursor: cursor.clone(),
            requests: 0,
            pause: None,
            renamed: Vec::new(),
        };
        let known = cursor.repositories.iter();
        let branches = known.map(|(number, entry)| (*number, entry.branches.clone())).collect();
        let unreadable = cursor.repositories.iter();
        let unreadable =
            unreadable.filter_map(|(number, entry)| Some((*number, entry.unreadable.clone()?))).collect();
        Self { poll, has_read: false, misses: 0, stop: None, branches, unreadable }
    }

    /// What could not be read of the repository is not asked for in this poll.
    pub fn is_resting(&self, number: u64) -> bool {
        self.unreadable.get(&number).is_some_and(|unreadable| unreadable.polls_to_skip > 0)
    }

    /// Why the rest of the poll is left to the next one.
    pub fn stop(&self) -> Option<&ForgeError> {
        self.stop.as_ref()
    }

    /// Looks at how a request went. Stops the poll where going on would only annoy a forge that is down, or that refuses
    /// us as a whole.
    pub fn heed(&mut self, error: Option<&ForgeError>) {
        match error.map(|error| error.kind) {
            Some(ForgeErrorKind::Limited | ForgeErrorKind::Unauthorised) => self.stop = error.cloned(),
            Some(ForgeErrorKind::Unreachable | ForgeErrorKind::Broken) => {
                self.misses += 1;
                if self.misses >= PATIENCE {
                    self.stop = error.cloned();
                }
            }
            _ => self.misses = 0,
        }
    }

    /// Notes the failure, and that the repository is to be read from where it was last read.
    pub fn is_behind(&mut self, repository: &Repository, error: ForgeError) {
        self.poll.failures.push((Some(repository.id.clone()), error));
        if let Some(entry) = self.poll.cursor.repositories.get_mut(&repository.id.number) {
            entry.is_behind = true;
        }
    }

    /// Notes where a watched branch is, if it is not where it was.
    pub fn branch_is(&mut self, repository: &Repository, name: &str, head: Option<Sha>, observed_at: Time) {
        let known = self.branches.entry(repository.id.number).or_default();
        if known.get(name) == Some(&head) {
            return;
        }
        known.insert(name.to_owned(), head.clone());
        let branch = BranchId { repository: repository.id.clone(), name: name.to_owned() };
        self.poll.observations.push(Observation::Branch { branch, head, observed_at });
    }

    /// Notes a name other than the known one.
    pub fn is_named(&mut self, repository: &Repository, name: &str) {
        let renamed = (repository.id.number, name.to_owned());
        if name != repository.name && !self.poll.renamed.contains(&renamed) {
            self.poll.renamed.push(renamed);
        }
    }

    /// Counts how often each repository that is still behind could not be read for a reason of its own, and goes on saying so
    /// while it is not asked. A forge that is in trouble as a whole is no such reason: it is asked again at once.
    fn note_what_is_unreadable(&mut self) {
        let Poll { cursor, failures, .. } = &mut self.poll;
        let mut still = Vec::new();
        for (number, entry) in cursor.repositories.iter_mut().filter(|(_, entry)| entry.is_behind) {
            let is_own = |(of, _): &&(Option<RepositoryId>, ForgeError)| {
                of.as_ref().is_some_and(|of| of.number == *number)
            };
            let errors: Vec<&ForgeError> = failures.iter().filter(is_own).map(|(_, error)| error).collect();
            let before = self.unreadable.remove(number);
            let is_shared =
                errors.iter().any(|error| is_of_the_forge(error) || Some(*error) == self.stop.as_ref());
            entry.unreadable = match (errors.first(), before) {
                (Some(_), _) if is_shared => None,
                (error, Some(mut before)) if before.polls_to_skip > 0 => {
                    let is_another = error.is_some_and(|error| !is_same(error, &before.error));
                    before.polls_to_skip = if is_another { 0 } else { before.polls_to_skip - 1 };
                    still.push((*number, before.error.clone()));
                    Some(before)
                }
                (Some(error), before) => {
                    let times = before.map_or(0, |before| before.times).saturating_add(1);
                    let polls_to_skip = match error.kind {
                        ForgeErrorKind::Broken => backoff::polls_to_skip(times).min(MOST_WHEN_BROKEN),
                        _ => backoff::polls_to_skip(times),
                    };
                    // When to ask again is said by `polls_to_skip`, and for this repository only.
                    let error = ForgeError { retry_after: None, ..(*error).clone() };
                    Some(Box::new(Unreadable { error, times, polls_to_skip }))
                }
                (None, _) => None,
            };
        }
        let told = |(number, error): (u64, ForgeError)| {
            (Some(RepositoryId { forge: error.forge.clone(), number }), error)
        };
        failures.extend(still.into_iter().map(told));
    }

    /// The poll, or the first error where nothing could be read.
    pub fn finish(mut self, watcher: &Watcher) -> Result<Poll, ForgeError> {
        if !self.has_read && !self.poll.failures.is_empty() {
            return Err(self.poll.failures.swap_remove(0).1);
        }
        self.note_what_is_unreadable();
        for (number, branches) in self.branches {
            if let Some(entry) = self.poll.cursor.repositories.get_mut(&number) {
                entry.branches = branches;
            }
        }
        self.poll.requests = watcher.requests();
        let named = self.poll.failures.iter().filter_map(|(_, error)| error.retry_after).max();
        // With a tenth of the budget left, the rest of the period is waited for in short steps.
        let spare = watcher.budget().filter(|budget| budget.remaining < budget.limit / 10);
        let spare = spare.map(|budget| budget.resets_in.min(300)).filter(|seconds| *seconds > 0);
        let wait = named.max(watcher.seconds_to_wait()).max(spare);
        self.poll.pause = wait.and_then(|seconds| Duration::try_seconds(i64::try_from(seconds).ok()?));
        Ok(self.poll)
    }
}

fn is_same(one: &ForgeError, other: &ForgeError) -> bool {
    (one.kind, &one.what, &one.detail) == (other.kind, &other.what, &other.detail)
}

/// The error says nothing about the repository that was asked for.
fn is_of_the_forge(error: &ForgeError) -> bool {
    use ForgeErrorKind::{Limited, Unauthorised, Unreachable};
    matches!(error.kind, Limited | Unauthorised | Unreachable)
}

/// How far a repository was read by a read that began then. Within the overlap after the first start the old value is the
/// later one, and stays: what was written before docent came must not be reported by a second look at it. A value far ahead
/// is of a clock that was wrong.
pub fn read_to(old: Option<Time>, began: Time) -> Time {
    old.filter(|old| *old > began && *old - began <= OVERLAP * 2).unwrap_or(began)
}
