//! What tests and the demonstration put into the forge from Rust: accounts, tokens, repositories, commits, forks.
//!
//! Names that do not exist are a mistake of the caller, not something from outside: each call here that needs
//! a repository, account or pull request panics with a clear message when there is none.

#![allow(clippy::panic, reason = "a name that is not there is a mistake of the test, nothing from outside")]

use std::collections::BTreeMap;

use super::scope::Scopes;
use super::state::{Right, State};
use super::{EmbeddedForge, bare, lock, push, random_secret};

impl State {
    pub(super) fn want_account(&self, login: &str) -> u64 {
        match self.account_named(login) {
            Some(account) => account.id,
            None => panic!("the embedded forge has no account «{login}»: make it first"),
        }
    }

    pub(super) fn want_repository(&self, name: &str) -> u64 {
        match self.repository_named(name) {
            Some(repository) => repository.id,
            None => panic!("the embedded forge has no repository «{name}»: make it first"),
        }
    }
}

/// A git step of a set-up that cannot fail but for a broken machine.
pub(super) fn done<T>(what: &str, result: std::io::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the embedded forge could not {what}: {error}"),
    }
}

impl EmbeddedForge {
    // Who there is.

    /// Makes a person's account. Gives its number.
    pub fn account(&self, login: &str) -> u64 {
        lock(&self.shared.state).add_account(login, false, random_secret())
    }

    /// Makes the account of a site administrator.
    pub fn admin(&self, login: &str) -> u64 {
        let id = self.account(login);
        if let Some(account) = lock(&self.shared.state).accounts.get_mut(&id) {
            account.is_admin = true;
        }
        id
    }

    /// Makes an organisation without members.
    pub fn organisation(&self, name: &str) -> u64 {
        lock(&self.shared.state).add_account(name, true, random_secret())
    }

    /// Makes a team of an organisation, with one right in all its repositories. Gives its number.
    pub fn team(&self, organisation: &str, name: &str, right: Right, members: &[&str]) -> u64 {
        let mut state = lock(&self.shared.state);
        let organisation = state.want_account(organisation);
        let id = state.add_team(organisation, name, right);
        let members: Vec<u64> = members.iter().map(|login| state.want_account(login)).collect();
        if let Some(team) = state.teams.get_mut(&id) {
            team.members.extend(members);
        }
        id
    }

    /// The account's password: for HTTP Basic, as the token routes ask for it.
    pub fn password(&self, login: &str) -> String {
        let state = lock(&self.shared.state);
        let id = state.want_account(login);
        state.accounts[&id].password.clone()
    }

    /// Makes a token with these scopes (`read:issue`, `all`, `public-only`, …).
    pub fn token(&self, login: &str, scopes: &[&str]) -> String {
        let scopes = match Scopes::parse(scopes.iter().copied()) {
            Ok(scopes) => scopes,
            Err(word) => panic!("«{word}» is not a scope"),
        };
        let (mut state, secret) = (lock(&self.shared.state), random_secret());
        let account = state.want_account(login);
        let name = format!("token-{}", state.tokens.len() + 1);
        state.add_token(account, &name, secret.clone(), scopes);
        secret
    }

    /// Takes a token away: it is answered with 401 from now on.
    pub fn revoke(&self, token: &str) {
        lock(&self.shared.state).tokens.retain(|t| t.secret != token);
    }

    /// Lets people comment on the pages as these accounts only.
    pub fn write_as(&self, logins: &[&str]) {
        let mut state = lock(&self.shared.state);
        state.page_authors = logins.iter().map(|login| state.want_account(login)).collect();
    }

    // What there is.

    /// Makes an empty repository of an account or organisation, with the default branch `main`. Gives its number.
    pub fn repository(&self, owner: &str, name: &str, private: bool) -> u64 {
        let _one_at_a_time = lock(&self.shared.changes);
        let id = {
            let mut state = lock(&self.shared.state);
            let owner = state.want_account(owner);
            state.add_repository(owner, name, private, None)
        };
        done("make a repository", bare::init(&self.shared.git_directory(id), "main"));
        id
    }

    /// Gives an account a right in a repository; [`Right::None`] takes it away.
    pub fn permit(&self, repository: &str, login: &str, right: Right) {
        let mut state = lock(&self.shared.state);
        let (repository, account) = (state.want_repository(repository), state.want_account(login));
        if let Some(repository) = state.repositories.get_mut(&repository) {
            match right {
                Right::None => repository.collaborators.remove(&account),
                _ => repository.collaborators.insert(account, right),
            };
        }
    }

    /// Puts a commit on a branch (made from the default branch if it is new) with the same effects as a push by the owner
    /// of the repository. Gives the commit.
    pub fn commit(&self, repository: &str, branch: &str, files: &[(&str, &[u8])]) -> String {
        self.commit_as(repository, branch, None, files)
    }

    /// As [`Self::commit`], pushed by an account.
    pub fn commit_as(
        &self,
        repository: &str,
        branch: &str,
        author: Option<&str>,
        files: &[(&str, &[u8])],
    ) -> String {
        self.put_commit(repository, branch, author, files, false)
    }

    /// Replaces the last commit of a branch by another with these files, as a force push does. Gives the new commit.
    pub fn force_push(&self, repository: &str, branch: &str, files: &[(&str, &[u8])]) -> String {
        self.put_commit(repository, branch, None, files, true)
    }

    fn put_commit(
        &self,
        repository: &str,
        branch: &str,
        author: Option<&str>,
        files: &[(&str, &[u8])],
        replace: bool,
    ) -> String {
        let shared = &self.shared;
        let _one_at_a_time = lock(&shared.changes);
        let (id, account, name, at, known, default) = {
            let state = lock(&shared.state);
            let id = state.want_repository(repository);
            let owned = &state.repositories[&id];
            let account = author.map_or(owned.owner, |login| state.want_account(login));
            let known = owned.branches.get(branch).cloned();
            let default = owned.branches.get(&owned.default_branch).cloned();
            (id, account, state.login(account).to_owned(), state.now(), known, default)
        };
        let directory = shared.git_directory(id);
        let parent = match (replace, known) {
            (true, Some(tip)) => bare::resolve(&directory, &format!("{tip}^")),
            (_, known) => known.or(default),
        };
        // Two commits of the same files in the same second must not be one.
        let message = format!("Change {}\n\n{}", files.first().map_or("nothing", |f| f.0), random_secret());
        let email = format!("{name}@example.org");
        let by = bare::Signature { name: &name, email: &email, at };
        let files: Vec<bare::FileChange<'_>> =
            files.iter().map(|(path, content)| (*path, Some(*content))).collect();
        let made = bare::commit(&directory, branch, parent.as_deref(), &by, &message, &files);
        let sha = done("commit", made);
        done("follow a push", push::follow(shared, id, account));
        sha
    }

    /// Points a branch at a commit that the repository has, as a push by its owner.
    pub fn set_branch(&self, repository: &str, branch: &str, sha: &str) {
        let _one_at_a_time = lock(&self.shared.changes);
        let (id, owner) = self.repository_and_owner(repository);
        done("move a branch", bare::set_branch(&self.shared.git_directory(id), branch, sha));
        done("follow a push", push::follow(&self.shared, id, owner));
    }

    /// Points a tag at a commit that the repository has.
    pub fn tag(&self, repository: &str, tag: &str, sha: &str) {
        let _one_at_a_time = lock(&self.shared.changes);
        let (id, _) = self.repository_and_owner(repository);
        done("set a tag", bare::set_tag(&self.shared.git_directory(id), tag, sha));
    }

    /// Deletes a branch: pull requests from it or into it are closed.
    pub fn delete_branch(&self, repository: &str, branch: &str) {
        let _one_at_a_time = lock(&self.shared.changes);
        let (id, owner) = self.repository_and_owner(repository);
        done("delete a branch", bare::delete_branch(&self.shared.git_directory(id), branch));
        done("follow a push", push::follow(&self.shared, id, owner));
    }

    fn repository_and_owner(&self, repository: &str) -> (u64, u64) {
        let state = lock(&self.shared.state);
        let id = state.want_repository(repository);
        (id, state.repositories[&id].owner)
    }

    /// Forks a repository to `owner`, under the same name. Gives the fork's number.
    pub fn fork(&self, repository: &str, owner: &str) -> u64 {
        let _one_at_a_time = lock(&self.shared.changes);
        let (from, owner) = {
            let state = lock(&self.shared.state);
            (state.want_repository(repository), state.want_account(owner))
        };
        done("fork", self.shared.fork(from, owner, None))
    }

    /// Deletes a repository. Pull requests from it are closed and have no head repository any more.
    pub fn delete_repository(&self, repository: &str) {
        let _one_at_a_time = lock(&self.shared.changes);
        let (id, owner) = self.repository_and_owner(repository);
        lock(&self.shared.state).remove_repository(id, owner);
        done("delete a repository", std::fs::remove_dir_all(self.shared.git_directory(id)));
    }

    /// Gives a repository another name under the same owner; the old one redirects.
    pub fn rename(&self, repository: &str, name: &str) {
        let mut state = lock(&self.shared.state);
        let id = state.want_repository(repository);
        state.rename(id, name);
    }

    /// Nothing can be written to it any more.
    pub fn archive(&self, repository: &str) {
        let mut state = lock(&self.shared.state);
        let id = state.want_repository(repository);
        if let Some(repository) = state.repositories.get_mut(&id) {
            repository.is_archived = true;
        }
    }

    /// Branch → commit.
    pub fn branches(&self, repository: &str) -> BTreeMap<String, String> {
        let state = lock(&self.shared.state);
        let id = state.want_repository(repository);
        state.repositories[&id].branches.clone()
    }
}

impl super::Shared {
    /// Makes a fork. The caller holds `changes`.
    pub(super) fn fork(&self, from: u64, owner: u64, name: Option<&str>) -> std::io::Result<u64> {
        let (id, default) = {
            let mut state = lock(&self.state);
            let Some(parent) = state.repositories.get(&from).cloned() else {
                return Err(std::io::Error::other("the repository is gone"));
            };
            let name = name.unwrap_or(&parent.name);
            let id = state.add_repository(owner, name, parent.is_private, Some(from));
            if let Some(fork) = state.repositories.get_mut(&id) {
                fork.default_branch.clone_from(&parent.default_branch);
            }
            let now = state.now();
            if let Some(parent) = state.repositories.get_mut(&from) {
                parent.updated.touch(now);
            }
            (id, parent.default_branch)
        };
        let directory = self.git_directory(id);
        bare::init(&directory, &default)?;
        bare::copy_branches(&self.git_directory(from), &directory)?;
        let branches = bare::branches(&directory)?;
        if let Some(fork) = lock(&self.state).repositories.get_mut(&id) {
            fork.branches = branches;
        }
        Ok(id)
    }
}
