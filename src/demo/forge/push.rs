//! What follows when branches move: pull requests get a new head, a timeline event, a new date, or are closed.
//!
//! A push over HTTP and a commit by the Rust interface end here alike. Nothing is told to the forge about a push;
//! it compares the branches before and after, as a hook would.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::state::{EntryKind, Pull, State};
use super::{Shared, bare, lock};

/// One branch that moved: the old and the new commit.
struct Move {
    branch: String,
    old: Option<String>,
    new: Option<String>,
}

/// Compares the branches of `repository` with what the forge knew, and lets everything follow.
/// The caller holds `shared.changes`.
pub(super) fn follow(shared: &Arc<Shared>, repository: u64, pusher: u64) -> io::Result<()> {
    let after = bare::branches(&shared.git_directory(repository))?;
    let moves = record(shared, repository, after);
    for moved in moves {
        match (&moved.old, &moved.new) {
            (_, Some(new)) => {
                let event =
                    Event { repository, pusher, branch: moved.branch, old: moved.old, new: new.clone() };
                let delay = lock(&shared.state).push_delay;
                event.write(shared, delay)?;
            }
            (_, None) => close_pulls(&mut lock(&shared.state), repository, &moved.branch, pusher),
        }
    }
    Ok(())
}

fn record(shared: &Shared, repository: u64, after: BTreeMap<String, String>) -> Vec<Move> {
    let mut state = lock(&shared.state);
    let now = state.now();
    let Some(known) = state.repositories.get_mut(&repository) else { return Vec::new() };
    let before = std::mem::replace(&mut known.branches, after.clone());
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let moves: Vec<Move> = names
        .into_iter()
        .map(|branch| Move {
            branch: branch.clone(),
            old: before.get(branch).cloned(),
            new: after.get(branch).cloned(),
        })
        .filter(|m| m.old != m.new)
        .collect();
    if !moves.is_empty() {
        known.updated.touch(now);
    }
    moves
}

/// A deleted branch closes the pull requests from it and those into it.
fn close_pulls(state: &mut State, repository: u64, branch: &str, doer: u64) {
    let concerned: Vec<(u64, u64)> = state
        .pulls
        .iter()
        .filter(|p| p.is_open)
        .filter(|p| {
            (p.head_repository == Some(repository) && p.head_branch == branch)
                || (p.repository == repository && p.base_branch == branch)
        })
        .map(|p| (p.repository, p.number))
        .collect();
    for (base, number) in concerned {
        state.set_open(base, number, doer, false);
        state.add_entry(base, number, doer, branch, EntryKind::BranchDeleted);
    }
}

struct Event {
    repository: u64,
    pusher: u64,
    branch: String,
    old: Option<String>,
    new: String,
}

impl Event {
    /// Writes the event now, or later from a task. The commit itself gets into the base repository at once: that a
    /// fork's head may be missing there for a moment is tested by deleting it, not by luck.
    fn write(self, shared: &Arc<Shared>, delay: Duration) -> io::Result<()> {
        if delay.is_zero() {
            return self.apply(shared);
        }
        let later = shared.clone();
        shared.runtime.spawn(async move {
            tokio::time::sleep(delay).await;
            let written = tokio::task::spawn_blocking(move || {
                let _one_at_a_time = lock(&later.changes);
                self.apply(&later)
            });
            if let Ok(Err(error)) = written.await {
                tracing::warn!(%error, "the embedded forge could not process a push");
            }
        });
        Ok(())
    }

    fn apply(&self, shared: &Arc<Shared>) -> io::Result<()> {
        let pulls: Vec<Pull> = {
            let state = lock(&shared.state);
            let from_here =
                |p: &&Pull| p.head_repository == Some(self.repository) && p.head_branch == self.branch;
            state.pulls.iter().filter(|p| p.is_open).filter(from_here).cloned().collect()
        };
        for pull in pulls {
            update(shared, &pull, &self.new, self.old.as_deref(), self.pusher)?;
        }
        Ok(())
    }
}

/// Brings `refs/pull/N/head`, the event and the numbers of a pull request up to `new`.
fn update(shared: &Shared, pull: &Pull, new: &str, old: Option<&str>, pusher: u64) -> io::Result<()> {
    let base = shared.git_directory(pull.repository);
    let head = shared.git_directory(pull.head_repository.unwrap_or(pull.repository));
    bare::copy_commit(&head, new, &base, &format!("refs/pull/{}/head", pull.number))?;

    let into = format!("refs/heads/{}", pull.base_branch);
    let merge_base = bare::merge_base(&base, &into, new).unwrap_or_default();
    let is_force = old.is_some_and(|old| bare::is_forced(&head, old, new));
    let commits = if is_force {
        bare::commits(&base, &[&format!("{merge_base}..{new}")])
    } else {
        let range = old.map_or(new.to_owned(), |old| format!("{old}..{new}"));
        bare::commits(&base, &[&range, "--not", &into])
    };
    let size = bare::size(&base, &merge_base, new);

    let mut state = lock(&shared.state);
    if let Some(pull) = state.pull_mut(pull.repository, pull.number) {
        pull.head_sha = new.to_owned();
        pull.merge_base = merge_base;
        pull.size = size;
    }
    write_events(&mut state, pull, pusher, commits, is_force.then_some((old.unwrap_or_default(), new)));
    Ok(())
}

/// A plain event with the new commits; for a force push also one with the old and the new head. Plain events lose the
/// commits that the force push removed, and vanish when none is left.
fn write_events(
    state: &mut State,
    pull: &Pull,
    pusher: u64,
    mut commits: Vec<String>,
    forced: Option<(&str, &str)>,
) {
    let (repository, number) = (pull.repository, pull.number);
    if forced.is_some() {
        let kept = commits.clone();
        state.entries.retain(|_, entry| {
            let EntryKind::Push { is_force: false, commits: earlier } = &mut entry.kind else { return true };
            if (entry.repository, entry.number) != (repository, number) {
                return true;
            }
            earlier.retain(|c| kept.contains(c));
            commits.retain(|c| !earlier.contains(c));
            !earlier.is_empty()
        });
    }
    if !commits.is_empty() {
        state.add_entry(repository, number, pusher, "", EntryKind::Push { is_force: false, commits });
    }
    if let Some((old, new)) = forced {
        let commits = vec![old.to_owned(), new.to_owned()];
        state.add_entry(repository, number, pusher, "", EntryKind::Push { is_force: true, commits });
    }
}

/// Why a pull request could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("the head or the base branch does not exist")]
    NoBranch,
    #[error("There are no changes between the head and the base")]
    Same,
    #[error(
        "pull request already exists for these targets [id: {id}, issue_id: {number}, head_repo_id: {head}, base_repo_id: {base}, head_branch: {head_branch}, base_branch: {base_branch}]"
    )]
    Exists { id: u64, number: u64, head: u64, base: u64, head_branch: String, base_branch: String },
    #[error(transparent)]
    Git(#[from] io::Error),
}

/// What a new pull request is to be.
pub(super) struct Opening<'a> {
    pub repository: u64,
    pub author: u64,
    pub title: &'a str,
    pub body: &'a str,
    pub head_repository: u64,
    pub head_branch: &'a str,
    pub base_branch: &'a str,
}

/// Opens a pull request: its head is copied into the base repository, and its first event lists its commits.
pub(super) fn open(shared: &Shared, opening: &Opening<'_>) -> Result<u64, OpenError> {
    let _one_at_a_time = lock(&shared.changes);
    let (head_sha, base_sha) = {
        let state = lock(&shared.state);
        let tip = |repository: u64, branch: &str| {
            state.repositories.get(&repository).and_then(|r| r.branches.get(branch)).cloned()
        };
        let head = tip(opening.head_repository, opening.head_branch).ok_or(OpenError::NoBranch)?;
        let base = tip(opening.repository, opening.base_branch).ok_or(OpenError::NoBranch)?;
        let twin = state.pulls.iter().find(|p| {
            p.is_open
                && p.repository == opening.repository
                && p.head_repository == Some(opening.head_repository)
                && (p.head_branch.as_str(), p.base_branch.as_str())
                    == (opening.head_branch, opening.base_branch)
        });
        if let Some(twin) = twin {
            return Err(OpenError::Exists {
                id: twin.id,
                number: twin.number,
                head: opening.head_repository,
                base: opening.repository,
                head_branch: twin.head_branch.clone(),
                base_branch: twin.base_branch.clone(),
            });
        }
        (head, base)
    };
    if opening.head_repository == opening.repository && opening.head_branch == opening.base_branch {
        return Err(OpenError::Same);
    }

    let pull = {
        let mut state = lock(&shared.state);
        let (id, issue_id, now) = (state.next_id("pull"), state.next_id("issue"), state.now());
        let number = match state.repositories.get_mut(&opening.repository) {
            Some(repository) => {
                repository.next_number += 1;
                repository.next_number - 1
            }
            None => return Err(OpenError::NoBranch),
        };
        Pull {
            id,
            issue_id,
            number,
            repository: opening.repository,
            author: opening.author,
            title: opening.title.to_owned(),
            body: opening.body.to_owned(),
            is_open: true,
            is_locked: false,
            is_merged: false,
            created: now,
            closed: None,
            updated: super::state::History::new(now),
            head_repository: Some(opening.head_repository),
            head_branch: opening.head_branch.to_owned(),
            head_sha: head_sha.clone(),
            base_branch: opening.base_branch.to_owned(),
            merge_base: base_sha,
            size: (0, 0, 0),
        }
    };
    let number = pull.number;
    lock(&shared.state).pulls.push(pull.clone());
    if let Err(error) = update(shared, &pull, &head_sha, None, opening.author) {
        lock(&shared.state).pulls.retain(|p| p.id != pull.id);
        return Err(error.into());
    }
    Ok(number)
}
