//! Comments, reactions and the timeline, under the issue routes.

use serde_json::json;

use super::super::lock;
use super::super::state::{Entry, EntryKind, Right, State};
use super::{Answer, Answered, Call, Refusal, no, not_found, pulls, shapes};

impl Call<'_> {
    pub(super) fn issues(&self, repository: u64, rest: &[&str]) -> Answered {
        match (self.method, rest) {
            ("GET", ["comments"]) => self.comments_of_repository(repository),
            (_, ["comments", id]) => self.one_comment(repository, id),
            ("POST", ["comments", id, "reactions"]) => self.react(repository, id),
            ("GET", ["comments", id, "reactions"]) => {
                let state = lock(&self.shared.state);
                let entry = find(&state, repository, id)?;
                let of_it = state.reactions.iter().filter(|(on, _, _)| *on == entry.id);
                let items: Vec<_> = of_it
                    .map(|(_, by, content)| reaction(&state, *by, content, entry.created, self.who.account))
                    .collect();
                Ok(Answer::ok(items.into()))
            }
            ("GET", [number]) => {
                let state = lock(&self.shared.state);
                let pull = pulls::find(&state, repository, number).map_err(|_| not_found())?;
                Ok(Answer::ok(shapes::issue(&state, pull, self.who.account, pull.updated.last())))
            }
            ("PATCH", [number]) => {
                let mut state = lock(&self.shared.state);
                self.change(&mut state, repository, number)?;
                let pull = pulls::find(&state, repository, number)?;
                Ok(Answer::created(shapes::issue(&state, pull, self.who.account, pull.updated.last())))
            }
            ("PUT" | "DELETE", [number, "lock"]) => {
                let mut state = lock(&self.shared.state);
                let account = self.require(&state, repository, Right::Write)?;
                let number = pulls::find(&state, repository, number)?.number;
                state.set_locked(repository, number, account, self.method == "PUT");
                Ok(Answer::empty(204))
            }
            ("GET", [number, "comments"]) => self.comments_of_pull(repository, number),
            ("POST", [number, "comments"]) => self.write_comment(repository, number),
            ("GET", [number, "timeline"]) => self.timeline(repository, number),
            _ => Err(Refusal::NoRoute),
        }
    }

    /// Since 1.26 this comes in pages of 30 with the whole number in a header and without links; before, all at once.
    fn comments_of_repository(&self, repository: u64) -> Answered {
        let span = self.span()?;
        let state = lock(&self.shared.state);
        let all: Vec<&Entry> = state
            .entries
            .values()
            .filter(|e| e.repository == repository && e.kind == EntryKind::Comment)
            .filter(|e| e.updated.seen(self.lag).is_some_and(|updated| span.holds(updated)))
            .collect();
        let total = all.len();
        let is_paged = state.pages_comments || !self.asked("page").is_empty();
        let shown = if is_paged { self.page().cut(all) } else { all };
        let items: Vec<_> = shown.into_iter().map(|e| shapes::comment(&state, e)).collect();
        Ok(Answer::ok(items.into()).header("x-total-count", total.to_string()))
    }

    /// Never in pages.
    fn comments_of_pull(&self, repository: u64, number: &str) -> Answered {
        let span = self.span()?;
        let state = lock(&self.shared.state);
        let pull = pulls::find(&state, repository, number).map_err(|_| broken())?;
        let items: Vec<_> = shapes::entries(&state, pull)
            .filter(|e| e.kind == EntryKind::Comment)
            .filter(|e| e.updated.seen(self.lag).is_some_and(|updated| span.holds(updated)))
            .map(|e| shapes::comment(&state, e))
            .collect();
        let total = items.len().to_string();
        Ok(Answer::ok(items.into()).header("x-total-count", total))
    }

    /// In pages of 30; the header counts the page only.
    fn timeline(&self, repository: u64, number: &str) -> Answered {
        let span = self.span()?;
        let state = lock(&self.shared.state);
        let pull = pulls::find(&state, repository, number).map_err(|_| broken())?;
        let all: Vec<&Entry> = shapes::entries(&state, pull)
            .filter(|e| e.updated.seen(self.lag).is_some_and(|updated| span.holds(updated)))
            .collect();
        let shown = if state.pages_comments { self.page().cut(all) } else { all };
        let items: Vec<_> = shown.into_iter().map(|e| shapes::timeline(&state, e)).collect();
        let total = items.len().to_string();
        // An empty page of this list is null, not an empty list.
        let items = if items.is_empty() { serde_json::Value::Null } else { items.into() };
        Ok(Answer::ok(items).header("x-total-count", total))
    }

    fn write_comment(&self, repository: u64, number: &str) -> Answered {
        let account = self.account()?;
        let mut state = lock(&self.shared.state);
        let pull = pulls::find(&state, repository, number).map_err(|_| broken())?;
        let (number, is_locked) = (pull.number, pull.is_locked);
        if is_locked && self.require(&state, repository, Right::Write).is_err() {
            return Err(no(403, "You cannot comment on a locked issue."));
        }
        let body = self.text("body");
        if body.is_empty() {
            return Err(no(422, "[Body]: Required"));
        }
        let id = state.add_entry(repository, number, account, body, EntryKind::Comment);
        let shape = state.entries.get(&id).map(|e| shapes::comment(&state, e));
        Ok(Answer::created(shape.unwrap_or_default()))
    }

    fn one_comment(&self, repository: u64, id: &str) -> Answered {
        let mut state = lock(&self.shared.state);
        let entry = find(&state, repository, id)?;
        let (id, author, kind) = (entry.id, entry.author, entry.kind.clone());
        if self.method == "GET" {
            if kind != EntryKind::Comment {
                return Ok(Answer::empty(204));
            }
            return Ok(Answer::ok(shapes::comment(&state, entry)));
        }
        // A writer may change and delete what others wrote; the author stays named.
        let account = self.account()?;
        if author != account && self.require(&state, repository, Right::Write).is_err() {
            return Err(Refusal::Empty(403));
        }
        let has_text = matches!(kind, EntryKind::Comment | EntryKind::Review { .. });
        match self.method {
            "PATCH" if !has_text => Ok(Answer::empty(204)),
            "PATCH" => {
                state.edit_entry(id, self.text("body"));
                let shape = state.entries.get(&id).map(|e| shapes::comment(&state, e));
                Ok(Answer::ok(shape.unwrap_or_default()))
            }
            "DELETE" if !has_text => Ok(Answer::empty(400)),
            "DELETE" => {
                state.entries.remove(&id);
                Ok(Answer::empty(204))
            }
            _ => Err(Refusal::NoRoute),
        }
    }

    fn react(&self, repository: u64, id: &str) -> Answered {
        const ALLOWED: [&str; 8] = ["+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"];
        let account = self.account()?;
        let mut state = lock(&self.shared.state);
        let entry = find(&state, repository, id)?;
        let (id, number) = (entry.id, entry.number);
        let is_locked = state.pull(repository, number).is_some_and(|p| p.is_locked);
        if is_locked && self.require(&state, repository, Right::Write).is_err() {
            return Err(no(403, "no permission to change reaction"));
        }
        let content = self.text("content").to_owned();
        if !ALLOWED.contains(&content.as_str()) {
            return Err(no(403, format!("'{content}' is not an allowed reaction")));
        }
        let is_new = state.reactions.insert((id, account, content.clone()));
        let shape = reaction(&state, account, &content, state.now(), self.who.account);
        Ok(Answer::new(if is_new { 201 } else { 200 }, shape))
    }
}

fn reaction(
    state: &State,
    by: u64,
    content: &str,
    at: chrono::DateTime<chrono::Utc>,
    viewer: Option<u64>,
) -> serde_json::Value {
    json!({
        "user": shapes::user(state, by, viewer),
        "content": content,
        "created_at": shapes::time(state, at),
    })
}

/// These routes answer an unknown number with a bare server error: that is how it is.
fn broken() -> Refusal {
    no(500, "")
}

fn find<'s>(state: &'s State, repository: u64, id: &str) -> Result<&'s Entry, Refusal> {
    let number: u64 = id.parse().unwrap_or(0);
    let entry = state.entries.get(&number).filter(|e| e.repository == repository);
    entry.ok_or_else(|| Refusal::NotFound {
        message: "not found",
        errors: vec![format!("comment does not exist [id: {number}, issue_id: 0]")],
    })
}
