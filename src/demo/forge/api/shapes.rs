//! The JSON of each thing, with the field names and the odd corners of recorded answers.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::super::state::{CommitStatus, Entry, EntryKind, Pull, Repository, Right, State};

/// A time in the forge's zone.
pub(super) fn time(state: &State, time: DateTime<Utc>) -> String {
    time.with_timezone(&state.zone).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The number of no account: for shapes that show an owner's address to everybody.
const NOBODY: u64 = 0;

/// An account as `viewer` sees it: strangers get no address to write to.
pub(super) fn user(state: &State, id: u64, viewer: Option<u64>) -> Value {
    let Some(account) = state.accounts.get(&id) else { return Value::Null };
    let login = &account.login;
    let is_own = viewer.is_some_and(|v| v == id || state.accounts.get(&v).is_some_and(|a| a.is_admin));
    let email = match (account.is_organisation, viewer) {
        (true, _) => String::new(),
        (false, Some(_)) => format!("{login}@example.org"),
        (false, None) => format!("{id}+{login}@noreply.localhost"),
    };
    json!({
        "id": id,
        "login": login,
        "login_name": "",
        "source_id": 0,
        "full_name": "",
        "email": email,
        "avatar_url": format!("{}/avatars/{id:032x}", state.url),
        "html_url": format!("{}/{login}", state.url),
        "language": "",
        "is_admin": is_own && account.is_admin,
        "last_login": if is_own { "1970-01-01T00:00:00Z" } else { "0001-01-01T00:00:00Z" },
        "created": time(state, account.created),
        "restricted": false,
        "active": is_own,
        "prohibit_login": false,
        "location": "",
        "website": "",
        "description": "",
        "visibility": "public",
        "followers_count": 0,
        "following_count": 0,
        "starred_repos_count": 0,
        "username": login,
    })
}

/// A repository; `permissions` are those of the viewer's account, whatever his token.
pub(super) fn repository(state: &State, repository: &Repository, viewer: Option<u64>) -> Value {
    with_right(state, repository, viewer, state.right(repository, viewer))
}

/// The parent of a fork is shown with the right that the viewer has in the *fork*: a trap that the real forge lays.
fn with_right(state: &State, repository: &Repository, viewer: Option<u64>, right: Right) -> Value {
    let full_name = state.full_name(repository);
    let page = format!("{}/{full_name}", state.url);
    let url = format!("{}/api/v1/repos/{full_name}", state.url);
    let is_fork = repository.fork_of.is_some();
    let open = state.pulls.iter().filter(|p| p.repository == repository.id && p.is_open).count();
    let forks = state.repositories.values().filter(|r| r.fork_of == Some(repository.id)).count();
    let mut shape = json!({
        "id": repository.id,
        "owner": user(state, repository.owner, viewer.or(Some(NOBODY))),
        "name": repository.name,
        "full_name": full_name,
        "description": "",
        "empty": repository.branches.is_empty(),
        "private": repository.is_private,
        "fork": is_fork,
        "template": false,
        "mirror": false,
        "size": 25,
        "language": "",
        "languages_url": format!("{url}/languages"),
        "html_url": page,
        "url": url,
        "link": "",
        "ssh_url": format!("git@127.0.0.1:{full_name}.git"),
        "clone_url": format!("{page}.git"),
        "original_url": "",
        "website": "",
        "stars_count": 0,
        "forks_count": forks,
        "watchers_count": 1,
        "branch_count": repository.branches.len(),
        "open_issues_count": 0,
        "open_pr_counter": open,
        "release_counter": 0,
        "default_branch": repository.default_branch,
        "archived": repository.is_archived,
        "created_at": time(state, repository.created),
        "updated_at": time(state, repository.updated.last()),
        "archived_at": "1970-01-01T00:00:00Z",
    });
    let settings = json!({
        "permissions": {
            "admin": right >= Right::Admin, "push": right >= Right::Write, "pull": right >= Right::Read,
        },
        "has_code": true,
        "has_issues": !is_fork,
        "internal_tracker": {
            "enable_time_tracker": true,
            "allow_only_contributors_to_track_time": true,
            "enable_issue_dependencies": true,
        },
        "has_wiki": !is_fork,
        "has_pull_requests": true,
        "has_projects": !is_fork,
        "projects_mode": "all",
        "has_releases": !is_fork,
        "has_packages": !is_fork,
        "has_actions": false,
        "ignore_whitespace_conflicts": false,
        "allow_merge_commits": true,
        "allow_rebase": true,
        "allow_rebase_explicit": true,
        "allow_squash_merge": true,
        "allow_fast_forward_only_merge": true,
        "allow_rebase_update": true,
        "allow_manual_merge": false,
        "autodetect_manual_merge": false,
        "default_delete_branch_after_merge": false,
        "default_merge_style": "merge",
        "default_allow_maintainer_edit": true,
        "avatar_url": "",
        "internal": false,
        "mirror_interval": "",
        "object_format_name": "sha1",
        "mirror_updated": "0001-01-01T00:00:00Z",
        "topics": [],
        "licenses": [],
    });
    join(&mut shape, settings);
    if is_fork && let Value::Object(fields) = &mut shape {
        // It belongs to the issues, which a fork does not have.
        fields.shift_remove("internal_tracker");
    }
    if let Some(parent) = repository.fork_of.and_then(|id| state.repositories.get(&id)) {
        shape["parent"] = with_right(state, parent, viewer, right);
    }
    shape
}

/// Where a pull request is shown to people; the API uses this address as its `url` too.
pub(super) fn pull_page(state: &State, repository: u64, number: u64) -> String {
    let name = state.repositories.get(&repository).map(|r| state.full_name(r)).unwrap_or_default();
    format!("{}/{name}/pulls/{number}", state.url)
}

fn word(pull: &Pull) -> &'static str {
    if pull.is_open { "open" } else { "closed" }
}

fn is_draft(pull: &Pull) -> bool {
    let title = pull.title.to_ascii_uppercase();
    title.starts_with("WIP:") || title.starts_with("[WIP]")
}

/// The comments of a pull request, not counting reviews and pushes.
pub(super) fn comment_count(state: &State, pull: &Pull) -> usize {
    entries(state, pull).filter(|e| e.kind == EntryKind::Comment).count()
}

/// The timeline of a pull request, oldest first.
pub(super) fn entries<'s>(state: &'s State, pull: &Pull) -> impl Iterator<Item = &'s Entry> {
    let (repository, number) = (pull.repository, pull.number);
    state.entries.values().filter(move |e| e.repository == repository && e.number == number)
}

/// How a pull request is asked for: alone, or in a list, which shows a new head a little later and has no numbers of lines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Alone,
    InList,
}

/// A pull request.
pub(super) fn pull(state: &State, pull: &Pull, viewer: Option<u64>, asked: Asked) -> Value {
    let page = pull_page(state, pull.repository, pull.number);
    let base = state.repositories.get(&pull.repository);
    let head = pull.head_repository.and_then(|id| state.repositories.get(&id));
    let live = head.and_then(|r| r.branches.get(&pull.head_branch));
    let in_list = asked == Asked::InList;
    let many = || if in_list { Value::Null } else { json!([]) };
    let reviews = entries(state, pull).filter(|e| matches!(e.kind, EntryKind::Review { .. }));
    let reviewers: Vec<u64> = reviews.map(|e| e.author).collect();
    let mut people: Vec<u64> = Vec::new();
    for reviewer in &reviewers {
        if !people.contains(reviewer) {
            people.push(*reviewer);
        }
    }
    let shown: Vec<Value> = people.into_iter().map(|a| user(state, a, None)).collect();
    let mut shape = json!({
        "id": pull.id,
        "url": page,
        "number": pull.number,
        "user": user(state, pull.author, viewer),
        "title": pull.title,
        "body": pull.body,
        "labels": [],
        "milestone": null,
        "assignee": null,
        "assignees": many(),
        "requested_reviewers": if shown.is_empty() { many() } else { shown.into() },
        "requested_reviewers_teams": many(),
        "state": word(pull),
        "draft": is_draft(pull),
        "is_locked": pull.is_locked,
        "comments": comment_count(state, pull),
    });
    if !reviewers.is_empty() {
        shape["review_comments"] = reviewers.len().into();
    }
    let (added, removed, files) = pull.size;
    if !in_list && head.is_some() {
        shape["additions"] = added.into();
        shape["deletions"] = removed.into();
        shape["changed_files"] = files.into();
    }
    let rest = json!({
        "html_url": page,
        "diff_url": format!("{page}.diff"),
        "patch_url": format!("{page}.patch"),
        "mergeable": true,
        "merged": pull.is_merged,
        "merged_at": null,
        "merge_commit_sha": null,
        "merged_by": null,
        "allow_maintainer_edit": true,
        "base": {
            "label": pull.base_branch,
            "ref": pull.base_branch,
            "sha": base.and_then(|r| r.branches.get(&pull.base_branch)).map_or("", String::as_str),
            "repo_id": pull.repository,
            "repo": base.map(|r| repository(state, r, viewer)),
        },
        "head": {
            "label": pull.head_branch,
            "ref": if live.is_some() { pull.head_branch.clone() } else { format!("refs/pull/{}/head", pull.number) },
            "sha": live.filter(|_| !in_list).unwrap_or(&pull.head_sha),
            "repo_id": head.map_or(json!(-1), |r| r.id.into()),
            "repo": head.map(|r| repository(state, r, viewer)),
        },
        "merge_base": pull.merge_base,
        "due_date": null,
        "created_at": time(state, pull.created),
        "updated_at": time(state, pull.updated.last()),
        "closed_at": pull.closed.map(|t| time(state, t)),
        "pin_order": 0,
        "content_version": 0,
    });
    join(&mut shape, rest);
    shape
}

/// Adds the fields of one object to another: the macro can't make the largest in one piece.
fn join(shape: &mut Value, rest: Value) {
    if let (Value::Object(shape), Value::Object(rest)) = (shape, rest) {
        shape.extend(rest);
    }
}

/// A pull request as the issue routes and the search show it.
pub(super) fn issue(state: &State, pull: &Pull, viewer: Option<u64>, updated: DateTime<Utc>) -> Value {
    let repository = state.repositories.get(&pull.repository);
    let full_name = repository.map(|r| state.full_name(r)).unwrap_or_default();
    let page = pull_page(state, pull.repository, pull.number);
    json!({
        "id": pull.issue_id,
        "url": format!("{}/api/v1/repos/{full_name}/issues/{}", state.url, pull.number),
        "html_url": page,
        "number": pull.number,
        "user": user(state, pull.author, viewer),
        "original_author": "",
        "original_author_id": 0,
        "title": pull.title,
        "body": pull.body,
        "ref": "",
        "assets": [],
        "labels": [],
        "milestone": null,
        "assignee": null,
        "assignees": null,
        "state": word(pull),
        "is_locked": pull.is_locked,
        "comments": comment_count(state, pull),
        "created_at": time(state, pull.created),
        "updated_at": time(state, updated),
        "closed_at": pull.closed.map(|t| time(state, t)),
        "due_date": null,
        "time_estimate": 0,
        "pull_request": {
            "merged": pull.is_merged, "merged_at": null, "draft": is_draft(pull), "html_url": page,
        },
        "repository": {
            "id": pull.repository,
            "name": repository.map(|r| &r.name),
            "owner": repository.map(|r| state.login(r.owner)),
            "full_name": full_name,
        },
        "pin_order": 0,
        "content_version": 0,
    })
}

fn anchor(state: &State, entry: &Entry) -> String {
    format!("{}#issuecomment-{}", pull_page(state, entry.repository, entry.number), entry.id)
}

/// A comment. Its author is shown as to a stranger, whoever asks.
pub(super) fn comment(state: &State, entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "html_url": anchor(state, entry),
        "pull_request_url": pull_page(state, entry.repository, entry.number),
        "issue_url": "",
        "user": user(state, entry.author, None),
        "original_author": "",
        "original_author_id": 0,
        "body": entry.body,
        "assets": [],
        "created_at": time(state, entry.created),
        "updated_at": time(state, entry.updated.last()),
    })
}

/// A row of the timeline.
pub(super) fn timeline(state: &State, entry: &Entry) -> Value {
    let (kind, body, review, old_ref) = match &entry.kind {
        EntryKind::Comment => ("comment", entry.body.clone(), 0, ""),
        EntryKind::Review { id, .. } => ("review", entry.body.clone(), *id, ""),
        EntryKind::Closed => ("close", String::new(), 0, ""),
        EntryKind::Reopened => ("reopen", String::new(), 0, ""),
        EntryKind::Locked => ("lock", String::new(), 0, ""),
        EntryKind::Unlocked => ("unlock", String::new(), 0, ""),
        EntryKind::BranchDeleted => ("delete_branch", String::new(), 0, entry.body.as_str()),
        EntryKind::Push { is_force, commits } => {
            let body = json!({"is_force_push": is_force, "commit_ids": commits});
            ("pull_push", body.to_string(), 0, "")
        }
    };
    json!({
        "id": entry.id,
        "type": kind,
        "html_url": anchor(state, entry),
        "pull_request_url": pull_page(state, entry.repository, entry.number),
        "issue_url": "",
        "user": user(state, entry.author, None),
        "body": body,
        "created_at": time(state, entry.created),
        "updated_at": time(state, entry.updated.last()),
        "old_project_id": 0,
        "project_id": 0,
        "old_milestone": null,
        "milestone": null,
        "tracked_time": null,
        "old_title": "",
        "new_title": "",
        "old_ref": old_ref,
        "new_ref": "",
        "ref_issue": null,
        "ref_comment": null,
        "ref_action": "none",
        "ref_commit_sha": "",
        "review_id": review,
        "label": null,
        "assignee": null,
        "assignee_team": null,
        "removed_assignee": false,
        "resolve_doer": null,
        "dependent_issue": null,
    })
}

/// A review; none if the row is none.
pub(super) fn review(state: &State, entry: &Entry, viewer: Option<u64>) -> Option<Value> {
    let EntryKind::Review { id, state: kind, sha } = &entry.kind else { return None };
    let head = state.pull(entry.repository, entry.number).map(|p| p.head_sha.as_str());
    let right = state.repositories.get(&entry.repository).map(|r| state.right(r, Some(entry.author)));
    let is_official = kind != "COMMENT" && right >= Some(Right::Write);
    Some(json!({
        "id": id,
        "user": user(state, entry.author, viewer),
        "team": null,
        "state": kind,
        "body": entry.body,
        "commit_id": sha,
        "stale": head.is_some_and(|head| head != sha),
        "official": is_official,
        "dismissed": false,
        "comments_count": 0,
        "submitted_at": time(state, entry.created),
        "updated_at": time(state, entry.updated.last()),
        "html_url": anchor(state, entry),
        "pull_request_url": pull_page(state, entry.repository, entry.number),
    }))
}

/// A commit status. It is asked for by `state` and answered as `status`.
pub(super) fn status(state: &State, repository: &Repository, status: &CommitStatus) -> Value {
    let full_name = state.full_name(repository);
    json!({
        "id": status.id,
        "status": status.state,
        "target_url": status.target_url,
        "description": status.description,
        "url": format!("{}/api/v1/repos/{full_name}/statuses/{}", state.url, status.sha),
        "context": status.context,
        "creator": user(state, status.creator, None),
        "created_at": time(state, status.created),
        "updated_at": time(state, status.created),
    })
}
