//! What the forge knows: accounts, tokens, repositories, pull requests and what was said on them.
//!
//! All in memory behind one lock, so that an answer shows one moment. Only git objects live on disk. Comments,
//! reviews and pushes share one row of rising ids, as on the real forge, because docent proves by it which head
//! a commenter had before him.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use chrono::{DateTime, FixedOffset, Utc};

use super::scope::Scopes;

/// An instant in whole seconds, as the forge keeps it.
pub(super) type Time = DateTime<Utc>;

/// What an account may do in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Nothing: a private repository does not exist for this account.
    None,
    /// May read, comment and review.
    Read,
    /// May push, and edit what others wrote.
    Write,
    /// May administer.
    Admin,
    /// Owns it.
    Owner,
}

impl Right {
    /// As the API names it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// From the API's word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::None, Self::Read, Self::Write, Self::Admin, Self::Owner].into_iter().find(|r| r.word() == word)
    }
}

/// A person, or an organisation that owns repositories.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub id: u64,
    pub login: String,
    pub is_organisation: bool,
    pub is_admin: bool,
    pub password: String,
    pub created: Time,
}

/// A group of an organisation's members with one right in all its repositories.
#[derive(Debug, Clone)]
pub(super) struct Team {
    pub id: u64,
    pub organisation: u64,
    pub name: String,
    pub right: Right,
    pub members: BTreeSet<u64>,
}

/// A personal access token. The secret is kept in the clear: it protects nothing but a demonstration.
#[derive(Clone)]
pub(super) struct Token {
    pub id: u64,
    pub account: u64,
    pub name: String,
    pub secret: String,
    pub scopes: Scopes,
    pub created: Time,
}

/// When something changed: by the forge's clock, and by the clock that a late feed is measured with.
#[derive(Debug, Clone)]
pub(super) struct History(Vec<(Instant, Time)>);

impl History {
    pub fn new(now: Time) -> Self {
        Self(vec![(Instant::now(), now)])
    }

    pub fn touch(&mut self, now: Time) {
        self.0.push((Instant::now(), now));
        if self.0.len() > 64 {
            self.0.remove(1);
        }
    }

    /// The last change.
    pub fn last(&self) -> Time {
        self.0.last().map(|(_, t)| *t).unwrap_or_default()
    }

    /// The last change that a feed late by `lag` shows; none if it doesn't show the thing at all yet.
    pub fn seen(&self, lag: Duration) -> Option<Time> {
        let now = Instant::now();
        self.0.iter().rev().find(|(at, _)| now.duration_since(*at) >= lag).map(|(_, t)| *t)
    }
}

/// A repository. Its git objects lie in the directory `ID.git`.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    pub id: u64,
    pub owner: u64,
    pub name: String,
    pub is_private: bool,
    pub is_archived: bool,
    pub default_branch: String,
    pub fork_of: Option<u64>,
    pub created: Time,
    pub updated: History,
    /// Branch → commit, as git had them after the last change.
    pub branches: BTreeMap<String, String>,
    pub collaborators: BTreeMap<u64, Right>,
    pub statuses: Vec<CommitStatus>,
    pub next_number: u64,
}

/// A commit status.
#[derive(Debug, Clone)]
pub(super) struct CommitStatus {
    pub id: u64,
    pub sha: String,
    pub state: String,
    pub target_url: String,
    pub description: String,
    pub context: String,
    pub creator: u64,
    pub created: Time,
}

/// A pull request.
#[derive(Debug, Clone)]
pub(super) struct Pull {
    pub id: u64,
    pub issue_id: u64,
    pub number: u64,
    pub repository: u64,
    pub author: u64,
    pub title: String,
    pub body: String,
    pub is_open: bool,
    pub is_locked: bool,
    pub is_merged: bool,
    pub created: Time,
    pub closed: Option<Time>,
    pub updated: History,
    /// None when the fork is gone.
    pub head_repository: Option<u64>,
    pub head_branch: String,
    /// What `refs/pull/N/head` holds: behind the branch for as long as a push is being processed.
    pub head_sha: String,
    pub base_branch: String,
    pub merge_base: String,
    /// Lines added, lines removed, files changed.
    pub size: (u64, u64, u64),
}

/// One row of a pull request's timeline.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub id: u64,
    pub repository: u64,
    pub number: u64,
    pub author: u64,
    pub body: String,
    pub kind: EntryKind,
    pub created: Time,
    pub updated: History,
}

/// What a row of the timeline is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryKind {
    Comment,
    Push { is_force: bool, commits: Vec<String> },
    Review { id: u64, state: String, sha: String },
    Closed,
    Reopened,
    Locked,
    Unlocked,
    BranchDeleted,
}

/// Everything the forge knows.
pub(super) struct State {
    pub url: String,
    pub accounts: BTreeMap<u64, Account>,
    pub teams: BTreeMap<u64, Team>,
    pub tokens: Vec<Token>,
    pub repositories: BTreeMap<u64, Repository>,
    /// Former `owner/name`, in small letters → repository.
    pub former_names: HashMap<String, u64>,
    pub pulls: Vec<Pull>,
    pub entries: BTreeMap<u64, Entry>,
    pub reactions: BTreeSet<(u64, u64, String)>,
    /// How much later than the push its event is written.
    pub push_delay: Duration,
    /// How far the forge's clock is ahead of the machine's.
    pub skew: chrono::Duration,
    /// In which zone it writes times.
    pub zone: FixedOffset,
    /// Whether the comments of a repository come in pages even when no page is asked for (1.26 does, 1.25 does not).
    pub pages_comments: bool,
    /// Who can be chosen as author on the pages; nobody named: all.
    pub page_authors: Vec<u64>,
    last_id: HashMap<&'static str, u64>,
}

impl State {
    pub fn new(url: String) -> Self {
        Self {
            url,
            accounts: BTreeMap::new(),
            teams: BTreeMap::new(),
            tokens: Vec::new(),
            repositories: BTreeMap::new(),
            former_names: HashMap::new(),
            pulls: Vec::new(),
            entries: BTreeMap::new(),
            reactions: BTreeSet::new(),
            push_delay: Duration::ZERO,
            skew: chrono::Duration::zero(),
            zone: Utc::now().fixed_offset().timezone(),
            pages_comments: true,
            page_authors: Vec::new(),
            last_id: HashMap::new(),
        }
    }

    /// The next number of a kind of thing.
    pub fn next_id(&mut self, kind: &'static str) -> u64 {
        let last = self.last_id.entry(kind).or_default();
        *last += 1;
        *last
    }

    /// The forge's clock.
    pub fn clock(&self) -> DateTime<Utc> {
        Utc::now() + self.skew
    }

    /// The forge's clock in the whole seconds that it stores.
    pub fn now(&self) -> Time {
        let now = self.clock();
        DateTime::from_timestamp(now.timestamp(), 0).unwrap_or(now)
    }

    // Looking up.

    pub fn account_named(&self, login: &str) -> Option<&Account> {
        self.accounts.values().find(|a| a.login.eq_ignore_ascii_case(login))
    }

    /// Whether a comment can be written on the pages as this account.
    pub fn writes_on_pages(&self, account: &Account) -> bool {
        let is_offered = self.page_authors.is_empty() || self.page_authors.contains(&account.id);
        is_offered && !account.is_organisation
    }

    pub fn login(&self, account: u64) -> &str {
        self.accounts.get(&account).map_or("Ghost", |a| &a.login)
    }

    pub fn full_name(&self, repository: &Repository) -> String {
        format!("{}/{}", self.login(repository.owner), repository.name)
    }

    pub fn repository_named(&self, full_name: &str) -> Option<&Repository> {
        let (owner, name) = full_name.split_once('/')?;
        let owner = self.account_named(owner)?.id;
        self.repositories.values().find(|r| r.owner == owner && r.name.eq_ignore_ascii_case(name))
    }

    pub fn pull(&self, repository: u64, number: u64) -> Option<&Pull> {
        self.pulls.iter().find(|p| p.repository == repository && p.number == number)
    }

    pub fn pull_mut(&mut self, repository: u64, number: u64) -> Option<&mut Pull> {
        self.pulls.iter_mut().find(|p| p.repository == repository && p.number == number)
    }

    /// What `account` may do in `repository`; without an account, what everybody may.
    pub fn right(&self, repository: &Repository, account: Option<u64>) -> Right {
        let public = if repository.is_private { Right::None } else { Right::Read };
        let Some(account) = account.and_then(|id| self.accounts.get(&id)) else { return public };
        if account.is_admin || account.id == repository.owner {
            return Right::Owner;
        }
        let team = self
            .teams
            .values()
            .filter(|t| t.organisation == repository.owner && t.members.contains(&account.id))
            .map(|t| t.right);
        let own = repository.collaborators.get(&account.id).copied();
        team.chain(own).chain([public]).max().unwrap_or(public)
    }

    // What happens.

    pub fn add_account(&mut self, login: &str, is_organisation: bool, password: String) -> u64 {
        let (id, created) = (self.next_id("account"), self.now());
        let login = login.to_owned();
        self.accounts.insert(id, Account { id, login, is_organisation, is_admin: false, password, created });
        id
    }

    pub fn add_team(&mut self, organisation: u64, name: &str, right: Right) -> u64 {
        let id = self.next_id("team");
        self.teams
            .insert(id, Team { id, organisation, name: name.to_owned(), right, members: BTreeSet::new() });
        id
    }

    pub fn add_token(&mut self, account: u64, name: &str, secret: String, scopes: Scopes) -> u64 {
        let (id, created) = (self.next_id("token"), self.now());
        self.tokens.push(Token { id, account, name: name.to_owned(), secret, scopes, created });
        id
    }

    pub fn add_repository(&mut self, owner: u64, name: &str, is_private: bool, fork_of: Option<u64>) -> u64 {
        let (id, now) = (self.next_id("repository"), self.now());
        self.repositories.insert(
            id,
            Repository {
                id,
                owner,
                name: name.to_owned(),
                is_private,
                is_archived: false,
                default_branch: "main".to_owned(),
                fork_of,
                created: now,
                updated: History::new(now),
                branches: BTreeMap::new(),
                collaborators: BTreeMap::new(),
                statuses: Vec::new(),
                next_number: 1,
            },
        );
        id
    }

    /// Writes a row into the timeline and marks the pull request as changed.
    pub fn add_entry(
        &mut self,
        repository: u64,
        number: u64,
        author: u64,
        body: &str,
        kind: EntryKind,
    ) -> u64 {
        let (id, now) = (self.next_id("entry"), self.now());
        if let Some(pull) = self.pull_mut(repository, number) {
            pull.updated.touch(now);
        }
        let (body, updated) = (body.to_owned(), History::new(now));
        self.entries.insert(id, Entry { id, repository, number, author, body, kind, created: now, updated });
        id
    }

    /// Changes a comment. The pull request is *not* marked as changed: the real forge doesn't either.
    pub fn edit_entry(&mut self, id: u64, body: &str) {
        let now = self.now();
        if let Some(entry) = self.entries.get_mut(&id)
            && entry.body != body
        {
            entry.body = body.to_owned();
            entry.updated.touch(now);
        }
    }

    pub fn set_open(&mut self, repository: u64, number: u64, doer: u64, open: bool) {
        let now = self.now();
        let Some(pull) = self.pull_mut(repository, number) else { return };
        if pull.is_open == open || pull.is_merged {
            return;
        }
        pull.is_open = open;
        pull.closed = (!open).then_some(now);
        let kind = if open { EntryKind::Reopened } else { EntryKind::Closed };
        self.add_entry(repository, number, doer, "", kind);
    }

    pub fn set_locked(&mut self, repository: u64, number: u64, doer: u64, locked: bool) {
        let Some(pull) = self.pull_mut(repository, number) else { return };
        if pull.is_locked == locked {
            return;
        }
        pull.is_locked = locked;
        let kind = if locked { EntryKind::Locked } else { EntryKind::Unlocked };
        self.add_entry(repository, number, doer, "", kind);
    }

    pub fn add_review(&mut self, repository: u64, number: u64, author: u64, state: &str, body: &str) -> u64 {
        let id = self.next_id("review");
        let sha = self.pull(repository, number).map(|p| p.head_sha.clone()).unwrap_or_default();
        let kind = EntryKind::Review { id, state: state.to_owned(), sha };
        self.add_entry(repository, number, author, body, kind);
        id
    }

    pub fn rename(&mut self, repository: u64, name: &str) {
        let now = self.now();
        let Some(former) = self.repositories.get(&repository).map(|r| self.full_name(r)) else { return };
        self.former_names.insert(former.to_lowercase(), repository);
        if let Some(repository) = self.repositories.get_mut(&repository) {
            repository.name = name.to_owned();
            repository.updated.touch(now);
        }
    }

    /// Takes a repository away. Pull requests that came from it are closed, and have no head repository any more.
    pub fn remove_repository(&mut self, repository: u64, doer: u64) {
        let from_it: Vec<(u64, u64)> = self
            .pulls
            .iter()
            .filter(|p| p.head_repository == Some(repository) && p.repository != repository)
            .map(|p| (p.repository, p.number))
            .collect();
        for (base, number) in from_it {
            self.set_open(base, number, doer, false);
            if let Some(pull) = self.pull_mut(base, number) {
                pull.head_repository = None;
            }
        }
        self.pulls.retain(|p| p.repository != repository);
        self.entries.retain(|_, e| e.repository != repository);
        self.former_names.retain(|_, r| *r != repository);
        self.repositories.remove(&repository);
    }
}
