//! Branches, references, statuses and files.

use base64::Engine as _;
use serde_json::{Value, json};

use super::super::state::{CommitStatus, Right, State};
use super::super::{bare, lock, push};
use super::{Answer, Answered, Call, Refusal, no, not_found, shapes};

impl Call<'_> {
    pub(super) fn commits(&self, repository: u64, rest: &[&str]) -> Answered {
        match (self.method, rest) {
            ("GET", ["git", "refs" | "ref", prefix @ ..]) => self.refs(repository, &prefix.join("/")),
            ("GET", ["branches"]) => {
                let names: Vec<String> = {
                    let state = lock(&self.shared.state);
                    let known = state.repositories.get(&repository).ok_or_else(not_found)?;
                    known.branches.keys().cloned().collect()
                };
                let (total, page) = (names.len(), self.page());
                let items: Result<Vec<Value>, Refusal> =
                    page.cut(names).iter().map(|name| self.branch(repository, name)).collect();
                Ok(self.with_links(Answer::ok(items?.into()), total, page, false))
            }
            ("GET", ["branches", name @ ..]) => Ok(Answer::ok(self.branch(repository, &name.join("/"))?)),
            ("POST", ["branches"]) => self.create_branch(repository),
            ("DELETE", ["branches", name @ ..]) => self.delete_branch(repository, &name.join("/")),
            ("POST", ["statuses", sha]) => self.set_status(repository, sha),
            ("GET", ["statuses", sha]) => self.statuses(repository, sha),
            ("GET", ["commits", name @ .., "statuses"]) => {
                let sha = self.wanted_commit(repository, &name.join("/"))?;
                self.statuses(repository, &sha)
            }
            ("GET", ["commits", name @ .., "status"]) => {
                let sha = self.wanted_commit(repository, &name.join("/"))?;
                self.combined_status(repository, &sha)
            }
            ("POST" | "PUT" | "DELETE", ["contents", path @ ..]) => {
                self.change_file(repository, &path.join("/"))
            }
            _ => Err(Refusal::NoRoute),
        }
    }

    /// Every reference that begins so. Always a list, even for one that fits exactly.
    fn refs(&self, repository: u64, prefix: &str) -> Answered {
        let state = lock(&self.shared.state);
        let known = state.repositories.get(&repository).ok_or_else(not_found)?;
        let url = format!("{}/api/v1/repos/{}/git", state.url, state.full_name(known));
        let heads = known.branches.iter().map(|(name, sha)| (format!("refs/heads/{name}"), sha.clone()));
        let pulls = state.pulls.iter().filter(|p| p.repository == repository);
        let pulls = pulls.map(|p| (format!("refs/pull/{}/head", p.number), p.head_sha.clone()));
        let items: Vec<Value> = heads
            .chain(pulls)
            .filter(|(name, _)| name.starts_with(&format!("refs/{prefix}")))
            .map(|(name, sha)| {
                let object = json!({"type": "commit", "sha": sha, "url": format!("{url}/commits/{sha}")});
                json!({"ref": name, "url": format!("{url}/{name}"), "object": object})
            })
            .collect();
        if items.is_empty() { Err(not_found()) } else { Ok(Answer::ok(items.into())) }
    }

    fn branch(&self, repository: u64, name: &str) -> Result<Value, Refusal> {
        let (sha, right) = {
            let state = lock(&self.shared.state);
            let known = state.repositories.get(&repository).ok_or_else(not_found)?;
            let sha = known.branches.get(name).cloned().ok_or_else(not_found)?;
            (sha, state.right(known, self.who.account))
        };
        let described = bare::describe(&self.shared.git_directory(repository), &sha);
        let (author, email, at, message) = described.ok_or_else(not_found)?;
        let state = lock(&self.shared.state);
        let known = state.repositories.get(&repository).ok_or_else(not_found)?;
        let at = chrono::DateTime::from_timestamp(at, 0).unwrap_or_default();
        let by = json!({"name": author, "email": email, "username": author});
        Ok(json!({
            "name": name,
            "commit": {
                "id": sha,
                "message": message,
                "url": format!("{}/{}/commit/{sha}", state.url, state.full_name(known)),
                "author": by,
                "committer": by,
                "verification": {
                    "verified": false, "reason": "gpg.error.not_signed_commit", "signature": "", "signer": null, "payload": "",
                },
                "timestamp": shapes::time(&state, at),
                "added": null,
                "removed": null,
                "modified": null,
            },
            "protected": false,
            "required_approvals": 0,
            "enable_status_check": false,
            "status_check_contexts": [],
            "user_can_push": right >= Right::Write,
            "user_can_merge": right >= Right::Write,
            "effective_branch_protection_name": "",
        }))
    }

    fn create_branch(&self, repository: u64) -> Answered {
        let _one_at_a_time = lock(&self.shared.changes);
        let account = self.require(&lock(&self.shared.state), repository, Right::Write)?;
        let from =
            [self.text("old_ref_name"), self.text("old_branch_name")].into_iter().find(|s| !s.is_empty());
        let from = match from {
            Some(from) => from.to_owned(),
            None => self.default_branch(repository)?,
        };
        let sha = self.commit_named(repository, &from).ok_or_else(not_found)?;
        let (name, directory) = (self.text("new_branch_name"), self.shared.git_directory(repository));
        let exists = {
            let state = lock(&self.shared.state);
            state.repositories.get(&repository).is_some_and(|r| r.branches.contains_key(name))
        };
        if exists {
            return Err(no(409, "The branch already exists."));
        }
        bare::set_branch(&directory, name, &sha).map_err(|e| no(422, e.to_string()))?;
        push::follow(self.shared, repository, account).map_err(|e| no(500, e.to_string()))?;
        Ok(Answer::created(self.branch(repository, name)?))
    }

    fn delete_branch(&self, repository: u64, name: &str) -> Answered {
        let _one_at_a_time = lock(&self.shared.changes);
        let account = self.require(&lock(&self.shared.state), repository, Right::Write)?;
        {
            let state = lock(&self.shared.state);
            let known = state.repositories.get(&repository).ok_or_else(not_found)?;
            if known.default_branch == name {
                return Err(no(403, "can not delete default or pull request target branch"));
            }
            if !known.branches.contains_key(name) {
                return Err(Refusal::NotFound {
                    message: "not found",
                    errors: vec![format!("branch does not exist [name: {name}]")],
                });
            }
        }
        let broken = |error: std::io::Error| no(500, error.to_string());
        bare::delete_branch(&self.shared.git_directory(repository), name).map_err(broken)?;
        push::follow(self.shared, repository, account).map_err(broken)?;
        Ok(Answer::empty(204))
    }

    fn default_branch(&self, repository: u64) -> Result<String, Refusal> {
        let state = lock(&self.shared.state);
        let known = state.repositories.get(&repository).ok_or_else(not_found)?;
        Ok(known.default_branch.clone())
    }

    /// A commit by its number, the name of a branch, or any reference.
    fn commit_named(&self, repository: u64, name: &str) -> Option<String> {
        let branch = {
            let state = lock(&self.shared.state);
            state.repositories.get(&repository)?.branches.get(name).cloned()
        };
        branch.or_else(|| bare::resolve(&self.shared.git_directory(repository), name))
    }

    fn wanted_commit(&self, repository: u64, name: &str) -> Result<String, Refusal> {
        self.commit_named(repository, name).ok_or_else(|| Refusal::NotFound {
            message: "not found",
            errors: vec![format!("object does not exist [id: {name}, rel_path: ]")],
        })
    }

    /// The scope is not enough: the account must be able to push.
    fn set_status(&self, repository: u64, sha: &str) -> Answered {
        let creator = self.require(&lock(&self.shared.state), repository, Right::Write)?;
        // The real forge answers an unknown commit with a bare server error.
        let sha = bare::resolve(&self.shared.git_directory(repository), sha).ok_or_else(|| no(500, ""))?;
        let mut state = lock(&self.shared.state);
        let created = state.now();
        let known = state.repositories.get_mut(&repository).ok_or_else(not_found)?;
        let status = CommitStatus {
            id: known.statuses.iter().filter(|s| s.sha == sha).count() as u64 + 1,
            sha,
            // Any word is taken, and an empty context is kept.
            state: self.text("state").to_owned(),
            target_url: self.text("target_url").to_owned(),
            description: self.text("description").to_owned(),
            context: self.text("context").to_owned(),
            creator,
            created,
        };
        known.statuses.push(status.clone());
        let known = state.repositories.get(&repository).ok_or_else(not_found)?;
        Ok(Answer::created(shapes::status(&state, known, &status)))
    }

    fn statuses(&self, repository: u64, sha: &str) -> Answered {
        let state = lock(&self.shared.state);
        let known = state.repositories.get(&repository).ok_or_else(not_found)?;
        let mut all: Vec<&CommitStatus> = known.statuses.iter().filter(|s| s.sha == sha).collect();
        // Newest first by whole seconds; within one, as they came.
        all.sort_by_key(|s| std::cmp::Reverse(s.created));
        let (total, page) = (all.len(), self.page());
        let items: Vec<Value> = page.cut(all).into_iter().map(|s| shapes::status(&state, known, s)).collect();
        Ok(self.with_links(Answer::ok(items.into()), total, page, false))
    }

    /// The newest status of each context, and the worst of them.
    fn combined_status(&self, repository: u64, sha: &str) -> Answered {
        let state = lock(&self.shared.state);
        let known = state.repositories.get(&repository).ok_or_else(not_found)?;
        let latest = latest_statuses(&state, repository, sha);
        let severity = ["error", "failure", "warning", "pending", "success", "skipped"];
        let worst = severity.into_iter().find(|word| latest.iter().any(|s| s.state == *word));
        let items: Vec<Value> = latest.iter().map(|s| shapes::status(&state, known, s)).collect();
        let url = format!("{}/api/v1/repos/{}", state.url, state.full_name(known));
        let total = items.len();
        Ok(Answer::ok(json!({
            "state": worst.unwrap_or("pending"),
            "sha": sha,
            "total_count": items.len(),
            "statuses": items,
            "repository": shapes::repository(&state, known, self.who.account),
            "commit_url": format!("{url}/commits/{sha}"),
            "url": format!("{url}/commits/{sha}/status"),
        }))
        .header("x-total-count", total.to_string()))
    }

    /// POST makes a file, PUT changes or makes one, DELETE takes it away; each is one commit.
    fn change_file(&self, repository: u64, path: &str) -> Answered {
        let _one_at_a_time = lock(&self.shared.changes);
        let account = self
            .require(&lock(&self.shared.state), repository, Right::Write)
            .map_err(|_| no(403, "user should have a permission to write to the target branch"))?;
        let base64 = base64::engine::general_purpose::STANDARD;
        let content = base64.decode(self.text("content")).map_err(|_| no(422, "content is not base64"))?;
        let from = match self.text("branch") {
            "" => self.default_branch(repository)?,
            branch => branch.to_owned(),
        };
        let to = match self.text("new_branch") {
            "" => from.clone(),
            branch => branch.to_owned(),
        };
        let directory = self.shared.git_directory(repository);
        let (tip, login, at) = {
            let state = lock(&self.shared.state);
            let known = state.repositories.get(&repository).ok_or_else(not_found)?;
            let tip = known.branches.get(&from).cloned();
            if tip.is_none() && !known.branches.is_empty() {
                return Err(not_found());
            }
            (tip, state.login(account).to_owned(), state.now())
        };
        let exists = tip.as_ref().is_some_and(|tip| bare::has_file(&directory, tip, path));
        match self.method {
            "POST" if exists => {
                return Err(no(422, format!("repository file already exists [path: {path}]")));
            }
            "DELETE" if !exists => return Err(not_found()),
            _ => {}
        }
        let message = match self.text("message") {
            "" => format!("Change {path}\n"),
            message => format!("{message}\n"),
        };
        let email = format!("{login}@example.org");
        let by = bare::Signature { name: &login, email: &email, at };
        let files = [(path, (self.method != "DELETE").then_some(content.as_slice()))];
        let broken = |error: std::io::Error| no(500, error.to_string());
        let sha = bare::commit(&directory, &to, tip.as_deref(), &by, &message, &files).map_err(broken)?;
        push::follow(self.shared, repository, account).map_err(broken)?;
        let name = path.rsplit('/').next().unwrap_or(path);
        let file = json!({"name": name, "path": path, "type": "file", "size": content.len(), "last_commit_sha": sha});
        let body = json!({
            "content": if self.method == "DELETE" { Value::Null } else { file },
            "commit": {"sha": sha, "message": message, "author": {"name": login, "email": email}},
            "verification": {"verified": false, "reason": "gpg.error.not_signed_commit", "signature": "", "signer": null, "payload": ""},
        });
        Ok(if self.method == "POST" { Answer::created(body) } else { Answer::ok(body) })
    }
}

/// The newest status of each context of a commit.
pub(in super::super) fn latest_statuses<'s>(
    state: &'s State,
    repository: u64,
    sha: &str,
) -> Vec<&'s CommitStatus> {
    let mut latest: Vec<&CommitStatus> = Vec::new();
    let all = state.repositories.get(&repository).map(|r| r.statuses.as_slice()).unwrap_or_default();
    for status in all.iter().rev().filter(|s| s.sha == sha) {
        if !latest.iter().any(|s| s.context == status.context) {
            latest.push(status);
        }
    }
    latest.sort_by_key(|s| s.id);
    latest
}
