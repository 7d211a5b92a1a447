//! What tests and the demonstration say and see on pull requests from Rust.
//!
//! As in `setup`, a name or number that does not exist is a mistake of the caller, and panics.

#![allow(clippy::panic, reason = "a name that is not there is a mistake of the test, nothing from outside")]

use chrono::{DateTime, Utc};

use super::setup::done;
use super::state::{EntryKind, State};
use super::{EmbeddedForge, lock, push};

/// A comment as the forge holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its number.
    pub id: u64,
    /// Login of who wrote it.
    pub author: String,
    /// The text.
    pub body: String,
    /// When it was made, in whole seconds.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A commit status as the forge holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its number.
    pub id: u64,
    /// `pending`, `success`, `error`, `failure`, `warning` or `skipped`.
    pub state: String,
    /// Which check.
    pub context: String,
    /// One line for people.
    pub description: String,
    /// Page for people, or empty.
    pub target_url: String,
    /// Login of who set it.
    pub creator: String,
}

impl State {
    /// The number of the repository, having made sure that it has this pull request.
    fn want_pull(&self, repository: &str, number: u64) -> u64 {
        let id = self.want_repository(repository);
        assert!(
            self.pull(id, number).is_some(),
            "{repository} of the embedded forge has no pull request {number}"
        );
        id
    }
}

impl EmbeddedForge {
    /// Opens a pull request from `branch` or `fork-owner:branch`. Gives its number.
    pub fn pull(&self, repository: &str, author: &str, title: &str, head: &str, base: &str) -> u64 {
        let (id, author, head_repository, head_branch) = {
            let state = lock(&self.shared.state);
            let id = state.want_repository(repository);
            let head = match head.split_once(':') {
                Some((owner, branch)) => {
                    let owner = state.want_account(owner);
                    let fork =
                        state.repositories.values().find(|r| r.owner == owner && r.fork_of == Some(id));
                    (fork.map_or(id, |f| f.id), branch)
                }
                None => (id, head),
            };
            (id, state.want_account(author), head.0, head.1.to_owned())
        };
        let opened = push::open(
            &self.shared,
            &push::Opening {
                repository: id,
                author,
                title,
                body: "",
                head_repository,
                head_branch: &head_branch,
                base_branch: base,
            },
        );
        done("open a pull request", opened.map_err(std::io::Error::other))
    }

    /// The head of a pull request as the forge shows it now.
    pub fn head(&self, repository: &str, number: u64) -> String {
        let state = lock(&self.shared.state);
        let id = state.want_repository(repository);
        let Some(pull) = state.pull(id, number) else { panic!("{repository} has no pull request {number}") };
        let live = pull.head_repository.and_then(|r| state.repositories.get(&r));
        live.and_then(|r| r.branches.get(&pull.head_branch)).unwrap_or(&pull.head_sha).clone()
    }

    /// Writes a comment. Gives its number.
    pub fn comment(&self, repository: &str, number: u64, author: &str, body: &str) -> u64 {
        let mut state = lock(&self.shared.state);
        let (id, author) = (state.want_pull(repository, number), state.want_account(author));
        state.add_entry(id, number, author, body, EntryKind::Comment)
    }

    /// Changes a comment's text. The pull request's own date stays.
    pub fn edit_comment(&self, id: u64, body: &str) {
        lock(&self.shared.state).edit_entry(id, body);
    }

    /// Deletes a comment without a trace.
    pub fn delete_comment(&self, id: u64) {
        lock(&self.shared.state).entries.remove(&id);
    }

    /// Writes a review: `COMMENT`, `APPROVED` or `REQUEST_CHANGES`. Gives the review's number.
    pub fn review(&self, repository: &str, number: u64, author: &str, kind: &str, body: &str) -> u64 {
        let mut state = lock(&self.shared.state);
        let (id, author) = (state.want_pull(repository, number), state.want_account(author));
        state.add_review(id, number, author, kind, body)
    }

    /// Closes a pull request.
    pub fn close(&self, repository: &str, number: u64) {
        self.set_open(repository, number, false);
    }

    /// Opens a closed pull request again.
    pub fn reopen(&self, repository: &str, number: u64) {
        self.set_open(repository, number, true);
    }

    fn set_open(&self, repository: &str, number: u64, open: bool) {
        let mut state = lock(&self.shared.state);
        let id = state.want_pull(repository, number);
        let owner = state.repositories[&id].owner;
        state.set_open(id, number, owner, open);
    }

    /// Locks or unlocks the conversation: while locked, only writers may comment.
    pub fn lock_pull(&self, repository: &str, number: u64, locked: bool) {
        let mut state = lock(&self.shared.state);
        let id = state.want_pull(repository, number);
        let owner = state.repositories[&id].owner;
        state.set_locked(id, number, owner, locked);
    }

    /// The comments of a pull request, oldest first.
    pub fn comments(&self, repository: &str, number: u64) -> Vec<Comment> {
        let state = lock(&self.shared.state);
        let id = state.want_pull(repository, number);
        let entries = state.entries.values();
        entries
            .filter(|e| e.repository == id && e.number == number && e.kind == EntryKind::Comment)
            .map(|e| Comment {
                id: e.id,
                author: state.login(e.author).to_owned(),
                body: e.body.clone(),
                created_at: e.created,
                updated_at: e.updated.last(),
            })
            .collect()
    }

    /// Every status that was set on a commit, oldest first.
    pub fn statuses(&self, repository: &str, sha: &str) -> Vec<Status> {
        let state = lock(&self.shared.state);
        let id = state.want_repository(repository);
        let statuses = state.repositories[&id].statuses.iter();
        statuses
            .filter(|s| s.sha == sha)
            .map(|s| Status {
                id: s.id,
                state: s.state.clone(),
                context: s.context.clone(),
                description: s.description.clone(),
                target_url: s.target_url.clone(),
                creator: state.login(s.creator).to_owned(),
            })
            .collect()
    }

    /// Reactions to a comment: (login, content).
    pub fn reactions(&self, comment: u64) -> Vec<(String, String)> {
        let state = lock(&self.shared.state);
        let of_it = state.reactions.iter().filter(|(on, _, _)| *on == comment);
        of_it.map(|(_, by, content)| (state.login(*by).to_owned(), content.clone())).collect()
    }
}
