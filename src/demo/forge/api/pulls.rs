//! Pull requests and their reviews.

use super::super::state::{EntryKind, Pull, Right, State};
use super::super::{lock, push};
use super::shapes::{self, Asked};
use super::{Answer, Answered, Call, Refusal, no, not_found};

impl Call<'_> {
    /// `/repos/issues/search`: the feed of what changed.
    pub(super) fn search_pulls(&self) -> Answered {
        let span = self.span()?;
        let state = lock(&self.shared.state);
        let owner = match self.asked("owner") {
            "" => None,
            name => Some(
                state
                    .account_named(name)
                    .ok_or_else(|| no(400, format!("user does not exist [uid: 0, name: {name}]")))?
                    .id,
            ),
        };
        let wanted_state = self.asked("state");
        let words = self.asked("q").to_lowercase();
        let wanted = |p: &&Pull| {
            let is_wanted = match wanted_state {
                "all" => true,
                "closed" => !p.is_open,
                _ => p.is_open,
            };
            let repository = state.repositories.get(&p.repository);
            is_wanted
                && p.title.to_lowercase().contains(&words)
                && repository.is_some_and(|r| owner.is_none_or(|o| r.owner == o) && self.sees(&state, r))
        };
        let mut found: Vec<_> = if self.asked("type") == "issues" {
            Vec::new()
        } else {
            let shown = state.pulls.iter().filter(wanted);
            shown.filter_map(|p| Some((p, p.updated.seen(self.lag)?))).collect()
        };
        found.retain(|(_, updated)| span.holds(*updated));
        found.sort_by_key(|(p, _)| std::cmp::Reverse((p.created, p.issue_id)));
        let (total, page) = (found.len(), self.page());
        let items: Vec<_> = page
            .cut(found)
            .into_iter()
            .map(|(p, updated)| shapes::issue(&state, p, self.who.account, updated))
            .collect();
        Ok(self.with_links(Answer::ok(items.into()), total, page, true))
    }

    pub(super) fn pulls(&self, repository: u64, rest: &[&str]) -> Answered {
        match (self.method, rest) {
            ("GET", []) => self.list_pulls(repository),
            ("POST", []) => self.open_pull(repository),
            ("GET", [number]) => {
                let state = lock(&self.shared.state);
                let pull = find(&state, repository, number)?;
                Ok(Answer::ok(shapes::pull(&state, pull, self.who.account, Asked::Alone)))
            }
            ("PATCH", [number]) => self.change_pull(repository, number),
            ("GET", [number, "reviews"]) => {
                let state = lock(&self.shared.state);
                let pull = find(&state, repository, number)?;
                let all: Vec<_> = shapes::entries(&state, pull)
                    .filter_map(|e| shapes::review(&state, e, self.who.account))
                    .collect();
                let (total, page) = (all.len(), self.page());
                Ok(self.with_links(Answer::ok(page.cut(all).into()), total, page, false))
            }
            ("POST", [number, "reviews"]) => self.write_review(repository, number),
            ("GET", [number, "reviews", id]) => {
                let state = lock(&self.shared.state);
                let pull = find(&state, repository, number)?;
                let mut all =
                    shapes::entries(&state, pull).filter_map(|e| shapes::review(&state, e, self.who.account));
                all.find(|r| r["id"].as_u64() == id.parse().ok()).map(Answer::ok).ok_or_else(not_found)
            }
            ("GET", [number, "reviews", _, "comments"]) => {
                find(&lock(&self.shared.state), repository, number)?;
                Ok(Answer::ok(serde_json::json!([])))
            }
            _ => Err(Refusal::NoRoute),
        }
    }

    fn list_pulls(&self, repository: u64) -> Answered {
        let state = lock(&self.shared.state);
        let wanted = self.asked("state");
        let mut found: Vec<&Pull> = state
            .pulls
            .iter()
            .filter(|p| p.repository == repository)
            // Unlike the search, this list shows all of them unless it is told otherwise.
            .filter(|p| match wanted {
                "open" => p.is_open,
                "closed" => !p.is_open,
                _ => true,
            })
            .filter(|p| p.updated.seen(self.lag).is_some())
            .collect();
        match self.asked("sort") {
            "oldest" => found.sort_by_key(|p| (p.created, p.id)),
            "recentupdate" => {
                found.sort_by_key(|p| std::cmp::Reverse((p.updated.last(), p.created, p.id)));
            }
            "leastupdate" => found.sort_by_key(|p| (p.updated.last(), p.created, p.id)),
            _ => found.sort_by_key(|p| std::cmp::Reverse((p.created, p.id))),
        }
        let (total, page) = (found.len(), self.page());
        let items: Vec<_> = page
            .cut(found)
            .into_iter()
            .map(|p| shapes::pull(&state, p, self.who.account, Asked::InList))
            .collect();
        Ok(self.with_links(Answer::ok(items.into()), total, page, false))
    }

    fn open_pull(&self, repository: u64) -> Answered {
        let author = self.account()?;
        let (head_repository, head_branch) = {
            let state = lock(&self.shared.state);
            match self.text("head").split_once(':') {
                Some((owner, branch)) => {
                    let owner = state.account_named(owner).ok_or_else(not_found)?.id;
                    let base_owner = state.repositories.get(&repository).map(|r| r.owner);
                    let fork = state
                        .repositories
                        .values()
                        .find(|r| r.owner == owner && (r.fork_of == Some(repository) || r.id == repository));
                    let head = fork.map(|f| f.id).or((base_owner == Some(owner)).then_some(repository));
                    (head.ok_or_else(not_found)?, branch)
                }
                None => (repository, self.text("head")),
            }
        };
        let opening = push::Opening {
            repository,
            author,
            title: self.text("title"),
            body: self.text("body"),
            head_repository,
            head_branch,
            base_branch: self.text("base"),
        };
        let number = push::open(self.shared, &opening).map_err(|error| match error {
            push::OpenError::NoBranch => not_found(),
            push::OpenError::Same => no(422, format!("Invalid PullRequest: {error}")),
            push::OpenError::Exists { .. } => no(409, error.to_string()),
            push::OpenError::Git(_) => no(500, error.to_string()),
        })?;
        let state = lock(&self.shared.state);
        let pull = state.pull(repository, number).ok_or_else(not_found)?;
        Ok(Answer::created(shapes::pull(&state, pull, self.who.account, Asked::Alone)))
    }

    fn change_pull(&self, repository: u64, number: &str) -> Answered {
        let mut state = lock(&self.shared.state);
        self.change(&mut state, repository, number)?;
        let pull = find(&state, repository, number)?;
        Ok(Answer::created(shapes::pull(&state, pull, self.who.account, Asked::Alone)))
    }

    /// Title, text and state, for the author and for writers.
    pub(super) fn change(&self, state: &mut State, repository: u64, number: &str) -> Result<(), Refusal> {
        let account = self.account()?;
        let pull = find(state, repository, number)?;
        let (number, author) = (pull.number, pull.author);
        let right = state.repositories.get(&repository).map(|r| state.right(r, Some(account)));
        if author != account && right < Some(Right::Write) {
            return Err(Refusal::Empty(403));
        }
        let now = state.now();
        if let Some(pull) = state.pull_mut(repository, number) {
            if let Some(title) = self.body["title"].as_str().filter(|t| !t.is_empty()) {
                title.clone_into(&mut pull.title);
                pull.updated.touch(now);
            }
            if let Some(body) = self.body["body"].as_str() {
                body.clone_into(&mut pull.body);
                pull.updated.touch(now);
            }
        }
        match self.text("state") {
            "closed" => state.set_open(repository, number, account, false),
            "open" => state.set_open(repository, number, account, true),
            _ => {}
        }
        Ok(())
    }

    fn write_review(&self, repository: u64, number: &str) -> Answered {
        let account = self.account()?;
        let mut state = lock(&self.shared.state);
        let pull = find(&state, repository, number)?;
        let (number, author) = (pull.number, pull.author);
        let (event, body) = (self.text("event"), self.text("body"));
        let kind = match event {
            "APPROVED" | "REQUEST_CHANGES" if author == account => {
                let what = if event == "APPROVED" { "approve" } else { "reject" };
                return Err(no(422, format!("{what} your own pull is not allowed")));
            }
            "APPROVED" => "APPROVED",
            "COMMENT" => "COMMENT",
            "REQUEST_CHANGES" => "REQUEST_CHANGES",
            _ => "PENDING",
        };
        if kind != "APPROVED" && body.trim().is_empty() {
            return Err(no(422, format!("review event {kind} requires a body or a comment")));
        }
        let id = state.add_review(repository, number, account, kind, body);
        let entry = state
            .entries
            .values()
            .rev()
            .find(|e| matches!(e.kind, EntryKind::Review { id: i, .. } if i == id));
        let shape = entry.and_then(|e| shapes::review(&state, e, self.who.account));
        Ok(Answer::ok(shape.unwrap_or_default()))
    }
}

pub(super) fn find<'s>(state: &'s State, repository: u64, number: &str) -> Result<&'s Pull, Refusal> {
    let found = number.parse().ok().and_then(|number| state.pull(repository, number));
    found.ok_or_else(not_found)
}
