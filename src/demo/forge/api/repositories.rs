//! Repositories: looking them up, the search that shows pushes, making, renaming, forking, and who may do what.

use serde_json::json;

use super::super::state::{Repository, Right, State};
use super::super::{bare, lock, push};
use super::{Answer, Answered, Call, Refusal, no, not_found, shapes};

impl Call<'_> {
    /// `/repositories/{id}`.
    pub(super) fn repository_by_id(&self, id: &str) -> Answered {
        self.account()?;
        let state = lock(&self.shared.state);
        let found = id.parse().ok().and_then(|id: u64| state.repositories.get(&id));
        let found = found.filter(|r| self.sees(&state, r)).ok_or_else(not_found)?;
        Ok(Answer::ok(shapes::repository(&state, found, self.who.account)))
    }

    /// `/repos/search`: with `sort=updated` the feed of pushes.
    pub(super) fn search_repositories(&self) -> Answered {
        let state = lock(&self.shared.state);
        let uid: Option<u64> = self.asked("uid").parse().ok();
        let is_exclusive = matches!(self.asked("exclusive"), "1" | "t" | "T" | "true" | "TRUE" | "True");
        let words = self.asked("q").to_lowercase();
        let wanted = |r: &&Repository| {
            let of_owner =
                uid.is_none_or(|uid| r.owner == uid || (!is_exclusive && r.collaborators.contains_key(&uid)));
            of_owner && r.name.to_lowercase().contains(&words) && self.sees(&state, r)
        };
        let mut found: Vec<_> = state
            .repositories
            .values()
            .filter(wanted)
            .filter_map(|r| Some((r, r.updated.seen(self.lag)?)))
            .collect();
        match self.asked("sort") {
            "updated" => found.sort_by_key(|(r, updated)| (*updated, r.id)),
            "created" => found.sort_by_key(|(r, _)| (r.created, r.id)),
            "id" => found.sort_by_key(|(r, _)| r.id),
            _ => found.sort_by_key(|(r, _)| r.name.to_lowercase()),
        }
        if self.asked("order") == "desc" {
            found.reverse();
        }
        let (total, page) = (found.len(), self.page());
        let data: Vec<_> = page
            .cut(found)
            .into_iter()
            .map(|(r, updated)| {
                let mut shape = shapes::repository(&state, r, self.who.account);
                shape["updated_at"] = shapes::time(&state, updated).into();
                shape
            })
            .collect();
        Ok(self.with_links(Answer::ok(json!({"ok": true, "data": data})), total, page, false))
    }

    /// `/repos/{owner}/{name}` and what belongs to nothing smaller.
    pub(super) fn one_repository(&self, id: u64, rest: &[&str]) -> Answered {
        match (self.method, rest) {
            ("GET" | "HEAD", []) => Ok(Answer::ok(self.shape(id)?)),
            ("PATCH", []) => self.change_repository(id),
            ("DELETE", []) => self.delete_repository(id),
            ("POST", ["forks"]) => self.fork(id),
            ("GET", ["assignees"]) => {
                self.account()?;
                let state = lock(&self.shared.state);
                let repository = state.repositories.get(&id).ok_or_else(not_found)?;
                let people = state.accounts.values().filter(|a| {
                    !a.is_organisation && !a.is_admin && state.right(repository, Some(a.id)) >= Right::Write
                });
                let mut people: Vec<_> = people.collect();
                people.sort_by_key(|a| a.login.to_lowercase());
                let shapes: Vec<_> =
                    people.into_iter().map(|a| shapes::user(&state, a.id, self.who.account)).collect();
                Ok(Answer::ok(shapes.into()))
            }
            (_, ["collaborators", rest @ ..]) => self.collaborators(id, rest),
            _ => Err(Refusal::NoRoute),
        }
    }

    pub(super) fn shape(&self, id: u64) -> Result<serde_json::Value, Refusal> {
        let state = lock(&self.shared.state);
        let repository = state.repositories.get(&id).ok_or_else(not_found)?;
        Ok(shapes::repository(&state, repository, self.who.account))
    }

    fn change_repository(&self, id: u64) -> Answered {
        {
            let mut state = lock(&self.shared.state);
            self.require(&state, id, Right::Admin)?;
            let name = self.text("name");
            let owner = state.repositories.get(&id).map(|r| r.owner);
            let is_taken = state
                .repositories
                .values()
                .any(|r| r.id != id && Some(r.owner) == owner && r.name.eq_ignore_ascii_case(name));
            if is_taken {
                return Err(no(422, format!("repo name is already taken [name: {name}]")));
            }
            if !name.is_empty() {
                state.rename(id, name);
            }
            let now = state.now();
            if let Some(repository) = state.repositories.get_mut(&id) {
                if let Some(private) = self.body["private"].as_bool() {
                    repository.is_private = private;
                }
                if let Some(archived) = self.body["archived"].as_bool() {
                    repository.is_archived = archived;
                }
                repository.updated.touch(now);
            }
        }
        Ok(Answer::ok(self.shape(id)?))
    }

    fn delete_repository(&self, id: u64) -> Answered {
        let _one_at_a_time = lock(&self.shared.changes);
        let mut state = lock(&self.shared.state);
        let account = self.require(&state, id, Right::Owner)?;
        state.remove_repository(id, account);
        drop(state);
        std::fs::remove_dir_all(self.shared.git_directory(id)).map_err(|e| no(500, e.to_string()))?;
        Ok(Answer::empty(204))
    }

    fn fork(&self, id: u64) -> Answered {
        let account = self.account()?;
        let _one_at_a_time = lock(&self.shared.changes);
        let owner = {
            let state = lock(&self.shared.state);
            let owner = match self.text("organization") {
                "" => account,
                name => state.account_named(name).ok_or_else(|| no(422, "organization does not exist"))?.id,
            };
            if state.repositories.values().any(|r| r.owner == owner && r.fork_of == Some(id)) {
                return Err(no(409, "repository is already forked by user"));
            }
            owner
        };
        let name = Some(self.text("name")).filter(|n| !n.is_empty());
        let fork = self.shared.fork(id, owner, name).map_err(|e| no(500, e.to_string()))?;
        Ok(Answer::new(202, self.shape(fork)?))
    }

    /// `/user/repos` and `/orgs/{org}/repos`.
    pub(super) fn create_repository(&self, owner: u64) -> Answered {
        let account = self.account()?;
        let name = self.text("name");
        let is_clean = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(is_clean) || name.starts_with('.') {
            return Err(no(
                422,
                format!(
                    "name is invalid [{name}]: must be valid alpha or numeric or dash(-_) or dot characters"
                ),
            ));
        }
        let _one_at_a_time = lock(&self.shared.changes);
        let (id, at, login) = {
            let mut state = lock(&self.shared.state);
            if state.repositories.values().any(|r| r.owner == owner && r.name.eq_ignore_ascii_case(name)) {
                return Err(no(409, "The repository with the same name already exists."));
            }
            let id = state.add_repository(owner, name, self.body["private"] == true, None);
            let branch = self.text("default_branch");
            if let Some(repository) = state.repositories.get_mut(&id).filter(|_| !branch.is_empty()) {
                repository.default_branch = branch.to_owned();
            }
            (id, state.now(), state.login(account).to_owned())
        };
        let directory = self.shared.git_directory(id);
        let branch = match self.text("default_branch") {
            "" => "main",
            branch => branch,
        };
        let broken = |error: std::io::Error| no(500, error.to_string());
        bare::init(&directory, branch).map_err(broken)?;
        if self.body["auto_init"] == true {
            let email = format!("{login}@example.org");
            let by = bare::Signature { name: &login, email: &email, at };
            let readme = format!("# {name}\n");
            let files: [bare::FileChange<'_>; 1] = [("README.md", Some(readme.as_bytes()))];
            bare::commit(&directory, branch, None, &by, "Initial commit\n", &files).map_err(broken)?;
            push::follow(self.shared, id, account).map_err(broken)?;
        }
        Ok(Answer::created(self.shape(id)?))
    }

    fn collaborators(&self, id: u64, rest: &[&str]) -> Answered {
        self.account()?;
        let mut state = lock(&self.shared.state);
        match (self.method, rest) {
            ("GET", []) => {
                let repository = state.repositories.get(&id).ok_or_else(not_found)?;
                let (total, page) = (repository.collaborators.len(), self.page());
                let people = page.cut(repository.collaborators.keys().copied().collect());
                let shapes: Vec<_> =
                    people.into_iter().map(|a| shapes::user(&state, a, self.who.account)).collect();
                Ok(self.with_links(Answer::ok(shapes.into()), total, page, false))
            }
            ("GET", [login]) => {
                let account = known(&state, login, 422)?;
                let repository = state.repositories.get(&id).ok_or_else(not_found)?;
                if repository.collaborators.contains_key(&account) {
                    return Ok(Answer::empty(204));
                }
                Err(not_found())
            }
            ("GET", [login, "permission"]) => self.permission(&state, id, login),
            ("PUT", [login]) => {
                self.require(&state, id, Right::Admin)?;
                let account = known(&state, login, 422)?;
                let right = match self.text("permission") {
                    "" => Right::Write,
                    word => Right::from_word(word).ok_or_else(|| no(422, "invalid permission"))?,
                };
                if let Some(repository) = state.repositories.get_mut(&id) {
                    repository.collaborators.insert(account, right);
                }
                Ok(Answer::empty(204))
            }
            ("DELETE", [login]) => {
                self.require(&state, id, Right::Admin)?;
                let account = known(&state, login, 422)?;
                if let Some(repository) = state.repositories.get_mut(&id) {
                    repository.collaborators.remove(&account);
                }
                Ok(Answer::empty(204))
            }
            _ => Err(Refusal::NoRoute),
        }
    }

    /// Only an administrator of the repository may ask about others.
    fn permission(&self, state: &State, id: u64, login: &str) -> Answered {
        let asking = self.account()?;
        let repository = state.repositories.get(&id).ok_or_else(not_found)?;
        let is_own = state.login(asking).eq_ignore_ascii_case(login);
        if !is_own && state.right(repository, Some(asking)) < Right::Admin {
            return Err(no(
                403,
                "Only admins can query all permissions, repo admins can query all repo permissions, \
                 collaborators can query only their own",
            ));
        }
        let account = known(state, login, 404)?;
        let word = state.right(repository, Some(account)).word();
        let user = shapes::user(state, account, self.who.account);
        Ok(Answer::ok(json!({"permission": word, "role_name": word, "user": user})))
    }
}

fn known(state: &State, login: &str, status: u16) -> Result<u64, Refusal> {
    let account = state.account_named(login);
    account.map(|a| a.id).ok_or_else(|| no(status, format!("user does not exist [uid: 0, name: {login}]")))
}
