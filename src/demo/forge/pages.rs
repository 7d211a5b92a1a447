//! A few plain pages for people: what is there, one pull request, and a form to comment as one of the accounts.
//!
//! Without credentials on purpose: the listener is on the loopback address only, and whoever is on this machine owns the
//! demonstration. A page from elsewhere is kept out by the checks of `Host` (in `serve`) and `Origin` (here).

use std::sync::Arc;

use askama::Template;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, ORIGIN, REFERRER_POLICY};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::api::latest_statuses;
use super::markdown::{render, visible};
use super::state::{EntryKind, Pull, State, Time};
use super::{Shared, lock, random_secret};

struct PullRow {
    number: u64,
    title: String,
    author: String,
    is_open: bool,
    comments: usize,
}

struct RepositoryRow {
    name: String,
    pulls: Vec<PullRow>,
}

#[derive(Template)]
#[template(path = "forge_index.html")]
struct IndexPage {
    repositories: Vec<RepositoryRow>,
}

struct CommentRow {
    id: u64,
    author: String,
    at: String,
    is_edited: bool,
    /// Rendered by `markdown::render`, which lets nothing through: the only thing that a template does not escape.
    html: String,
}

struct StatusRow {
    state: String,
    context: String,
    description: String,
    target: Option<String>,
}

#[derive(Template)]
#[template(path = "forge_pull.html")]
struct PullPage {
    repository: String,
    number: u64,
    title: String,
    author: String,
    is_open: bool,
    head: String,
    head_branch: String,
    base_branch: String,
    statuses: Vec<StatusRow>,
    comments: Vec<CommentRow>,
    people: Vec<String>,
    nonce: String,
}

/// Answers one request for a page.
pub(super) fn answer(shared: &Arc<Shared>, parts: &Parts, body: &[u8]) -> Response {
    let path: Vec<&str> = parts.uri.path().trim_start_matches('/').split('/').collect();
    match (parts.method.as_str(), path.as_slice()) {
        ("GET" | "HEAD", [""]) => show(&IndexPage { repositories: repositories(&lock(&shared.state)) }, ""),
        ("GET" | "HEAD", [owner, name, "pulls", number]) => {
            let state = lock(&shared.state);
            match find(&state, owner, name, number) {
                Some(pull) => {
                    let nonce = random_secret();
                    show(&pull_page(&state, pull, &nonce), &nonce)
                }
                None => nothing(),
            }
        }
        ("POST", [owner, name, "pulls", number, "comments"]) => {
            if !is_own_page(parts) {
                return (StatusCode::FORBIDDEN, "this form is sent from this forge's own pages only\n")
                    .into_response();
            }
            write(&mut lock(&shared.state), (owner, name, number), body)
        }
        _ => nothing(),
    }
}

fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "There is no such page here.\n").into_response()
}

/// Whether a form was sent from a page of this forge. Browsers always say where a form comes from; what is not a browser needs no protection.
fn is_own_page(parts: &Parts) -> bool {
    let header = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok());
    let is_foreign_fetch =
        header("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    let own = header(HOST.as_str()).map(|host| format!("http://{host}"));
    let origin_is_own = header(ORIGIN.as_str()).is_none_or(|origin| Some(origin) == own.as_deref());
    origin_is_own && !is_foreign_fetch
}

fn write(state: &mut State, (owner, name, number): (&str, &str, &str), body: &[u8]) -> Response {
    let Some(pull) = find(state, owner, name, number) else { return nothing() };
    let (repository, number) = (pull.repository, pull.number);
    let fields: std::collections::HashMap<String, String> =
        url::form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| fields.get(name).map_or("", |v| v.trim());
    let author = state.account_named(field("author")).filter(|a| state.writes_on_pages(a)).map(|a| a.id);
    let (Some(author), false) = (author, field("body").is_empty()) else {
        return (StatusCode::UNPROCESSABLE_ENTITY, "choose an account and write something\n").into_response();
    };
    // A browser sends line ends of its own.
    let text = field("body").replace("\r\n", "\n");
    let id = state.add_entry(repository, number, author, &text, EntryKind::Comment);
    let to = format!("/{owner}/{name}/pulls/{number}#comment-{id}");
    match HeaderValue::try_from(to) {
        Ok(to) => (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response(),
        Err(_) => nothing(),
    }
}

fn show(page: &impl Template, nonce: &str) -> Response {
    let Ok(text) = page.render() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let script = if nonce.is_empty() { "'none'".to_owned() } else { format!("'nonce-{nonce}'") };
    // Even if something slipped through the rendering, it could load and run nothing.
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src {script}; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, "same-origin".to_owned()),
    ];
    (headers, text).into_response()
}

fn find<'s>(state: &'s State, owner: &str, name: &str, number: &str) -> Option<&'s Pull> {
    let repository = state.repository_named(&format!("{owner}/{name}"))?;
    state.pull(repository.id, number.parse().ok()?).filter(|_| !repository.is_private)
}

fn comments<'s>(state: &'s State, pull: &Pull) -> impl Iterator<Item = &'s super::state::Entry> {
    let (repository, number) = (pull.repository, pull.number);
    state.entries.values().filter(move |e| {
        (e.repository, e.number) == (repository, number)
            && matches!(e.kind, EntryKind::Comment | EntryKind::Review { .. })
    })
}

fn repositories(state: &State) -> Vec<RepositoryRow> {
    let public = state.repositories.values().filter(|r| !r.is_private);
    public
        .map(|r| RepositoryRow {
            name: state.full_name(r),
            pulls: state
                .pulls
                .iter()
                .filter(|p| p.repository == r.id)
                .map(|p| PullRow {
                    number: p.number,
                    title: visible(&p.title),
                    author: state.login(p.author).to_owned(),
                    is_open: p.is_open,
                    comments: comments(state, p).count(),
                })
                .collect(),
        })
        .collect()
}

fn for_people(time: Time) -> String {
    time.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn pull_page(state: &State, pull: &Pull, nonce: &str) -> PullPage {
    let repository = state.repositories.get(&pull.repository).map(|r| state.full_name(r));
    let statuses = latest_statuses(state, pull.repository, &pull.head_sha).into_iter().map(|s| StatusRow {
        state: s.state.clone(),
        context: visible(&s.context),
        description: visible(&s.description),
        target: Some(s.target_url.clone())
            .filter(|url| url.starts_with("http://") || url.starts_with("https://")),
    });
    let rows = comments(state, pull).map(|e| CommentRow {
        id: e.id,
        author: state.login(e.author).to_owned(),
        at: for_people(e.created),
        is_edited: e.updated.last() != e.created,
        html: render(&e.body),
    });
    PullPage {
        repository: repository.unwrap_or_default(),
        number: pull.number,
        title: visible(&pull.title),
        author: state.login(pull.author).to_owned(),
        is_open: pull.is_open,
        head: pull.head_sha.clone(),
        head_branch: visible(&pull.head_branch),
        base_branch: visible(&pull.base_branch),
        statuses: statuses.collect(),
        comments: rows.collect(),
        people: state
            .accounts
            .values()
            .filter(|a| state.writes_on_pages(a))
            .map(|a| a.login.clone())
            .collect(),
        nonce: nonce.to_owned(),
    }
}
