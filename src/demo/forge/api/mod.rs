//! The API of Gitea 1.26 under `/api/v1`, as far as docent, its tests and the contract cases use it.
//!
//! An order that matters: the credential, then the token's scope, and only then whether the thing exists. docent proves by it
//! what its token can do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use percent::decode;
use serde_json::{Value, json};

use super::scope::Level;
use super::serve::{BadCredential, Who};
use super::state::{Repository, Right, State};
use super::{Shared, lock};

mod accounts;
mod comments;
mod commits;
mod paging;
mod percent;
mod pulls;
mod repositories;
mod shapes;

pub(super) use commits::latest_statuses;

/// One request to the API.
struct Call<'a> {
    shared: &'a Arc<Shared>,
    who: Who,
    method: &'a str,
    /// The path as sent.
    path: &'a str,
    query: HashMap<String, String>,
    raw_query: &'a str,
    body: Value,
    /// How late the feeds are.
    lag: Duration,
}

/// What is answered when all is well.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self::new(200, body)
    }

    fn created(body: Value) -> Self {
        Self::new(201, body)
    }

    fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Some(body) }
    }

    fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: None }
    }

    fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// What is answered when it is not.
#[derive(Debug)]
enum Refusal {
    /// A status and a sentence.
    No(u16, String),
    /// 404 in the form that has a list of errors beside the message.
    NotFound { message: &'static str, errors: Vec<String> },
    /// A bare status.
    Empty(u16),
    /// There is no such route at all.
    NoRoute,
    /// It has another name now.
    Moved(String),
}

type Answered = Result<Answer, Refusal>;

fn no(status: u16, message: impl Into<String>) -> Refusal {
    Refusal::No(status, message.into())
}

fn not_found() -> Refusal {
    Refusal::NotFound { message: "not found", errors: Vec::new() }
}

impl Refusal {
    fn answer(self, url: &str) -> Answer {
        let url = format!("{url}/api/swagger");
        match self {
            Self::No(status, message) => Answer::new(status, json!({"message": message, "url": url})),
            Self::NotFound { message, errors } => {
                let errors = if errors.is_empty() { Value::Null } else { json!(errors) };
                Answer::new(404, json!({"errors": errors, "message": message, "url": url}))
            }
            Self::Empty(status) => Answer::empty(status),
            Self::NoRoute => {
                Answer::empty(404).header("content-type", "text/plain; charset=utf-8".to_owned())
            }
            Self::Moved(to) => Answer::empty(301).header("location", to),
        }
    }
}

/// Answers one request.
pub(super) fn answer(
    shared: &Arc<Shared>,
    parts: &Parts,
    who: Result<Who, BadCredential>,
    body: &[u8],
    lag: Duration,
) -> Response {
    let raw_query = parts.uri.query().unwrap_or_default();
    let answered = match who {
        Err(BadCredential) => Err(no(401, "invalid username, password or token")),
        Ok(who) => {
            let call = Call {
                shared,
                who,
                method: parts.method.as_str(),
                path: parts.uri.path(),
                query: url::form_urlencoded::parse(raw_query.as_bytes()).into_owned().collect(),
                raw_query,
                body: serde_json::from_slice(body).unwrap_or_default(),
                lag,
            };
            if !body.is_empty() && call.body.is_null() {
                Err(no(422, "the body is not JSON"))
            } else {
                call.route()
            }
        }
    };
    respond(answered.unwrap_or_else(|refusal| refusal.answer(&shared.url)))
}

fn respond(answer: Answer) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers
        .insert(CACHE_CONTROL, HeaderValue::from_static("max-age=0, private, must-revalidate, no-transform"));
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            let name = if name == "location" { LOCATION } else { name.parse().unwrap_or(LOCATION) };
            headers.insert(name, value);
        }
    }
    if let Some(body) = answer.body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=utf-8"));
        *response.body_mut() = Body::from(body.to_string());
    }
    response
}

/// The scopes that a path asks for: each inner list is checked, and named in the refusal, as one.
fn categories(path: &[&str]) -> &'static [&'static [&'static str]] {
    match path {
        ["user", "repos"] => &[&["user"], &["repository"]],
        ["user", ..] => &[&["user"]],
        ["users", _, "repos"] => &[&["user"], &["repository"]],
        ["users", _, "orgs"] => &[&["user", "organization"]],
        ["users", ..] => &[&["user"]],
        ["repos", "issues", "search"] | ["repos", _, _, "issues", ..] => &[&["issue"]],
        ["repos" | "repositories", ..] => &[&["repository"]],
        ["orgs" | "teams", ..] => &[&["organization"]],
        ["admin", ..] => &[&["admin"]],
        ["notifications", ..] => &[&["notification"]],
        ["packages", ..] => &[&["package"]],
        _ => &[],
    }
}

impl Call<'_> {
    fn route(&self) -> Answered {
        let decoded: Vec<String> = self.path.trim_start_matches("/api/v1/").split('/').map(decode).collect();
        let path: Vec<&str> = decoded.iter().map(String::as_str).collect();
        self.check_scopes(&path)?;
        match (self.method, path.as_slice()) {
            ("GET", ["version"]) => Ok(Answer::ok(json!({"version": "1.26.4"}))),
            ("GET", ["settings", "api"]) => Ok(Answer::ok(json!({
                "max_response_items": paging::CAP,
                "default_paging_num": paging::DEFAULT,
                "default_git_trees_per_page": 1000,
                "default_max_blob_size": 10_485_760,
                "default_max_response_size": 104_857_600,
            }))),
            ("GET", ["repos", "search"]) => self.search_repositories(),
            ("GET", ["repos", "issues", "search"]) => self.search_pulls(),
            ("GET", ["repositories", id]) => self.repository_by_id(id),
            (_, ["repos", owner, name, rest @ ..]) => self.repository(owner, name, rest),
            _ => self.accounts(&path),
        }
    }

    fn check_scopes(&self, path: &[&str]) -> Result<(), Refusal> {
        let Some(scopes) = &self.who.scopes else { return Ok(()) };
        let level = match self.method {
            "POST" | "PUT" | "PATCH" | "DELETE" => Level::Write,
            _ => Level::Read,
        };
        for together in categories(path) {
            if together.iter().all(|category| scopes.has(level, category)) {
                continue;
            }
            let required: Vec<String> =
                together.iter().map(|category| format!("{}:{category}", level.word())).collect();
            return Err(no(
                403,
                format!(
                    "token does not have at least one of required scope(s), required=[{}], token scope={}",
                    required.join(" "),
                    scopes.words().join(","),
                ),
            ));
        }
        Ok(())
    }

    /// The account that asks, where an anonymous request is refused.
    fn account(&self) -> Result<u64, Refusal> {
        self.who.account.ok_or_else(|| no(401, "token is required"))
    }

    fn is_site_admin(&self, state: &State) -> bool {
        self.who.account.and_then(|a| state.accounts.get(&a)).is_some_and(|a| a.is_admin)
    }

    /// A field of the body that is text, or empty.
    fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }

    fn asked(&self, parameter: &str) -> &str {
        self.query.get(parameter).map_or("", String::as_str)
    }

    /// Looks a repository up by name, as every route below it begins.
    fn find<'s>(&self, state: &'s State, owner: &str, name: &str) -> Result<&'s Repository, Refusal> {
        if state.account_named(owner).is_none() {
            return Err(Refusal::NotFound {
                message: "GetUserByName",
                errors: vec![format!("user redirect does not exist [name: {owner}]")],
            });
        }
        let full_name = format!("{owner}/{name}");
        let Some(repository) = state.repository_named(&full_name) else {
            let renamed = state.former_names.get(&full_name.to_lowercase());
            let Some(renamed) = renamed.and_then(|id| state.repositories.get(id)) else {
                return Err(not_found());
            };
            let mut to = self.path.replacen(&full_name, &state.full_name(renamed), 1);
            if !self.raw_query.is_empty() {
                to = format!("{to}?{}", self.raw_query);
            }
            return Err(Refusal::Moved(to));
        };
        if self.sees(state, repository) { Ok(repository) } else { Err(not_found()) }
    }

    /// Whether this repository exists for the one who asks.
    fn sees(&self, state: &State, repository: &Repository) -> bool {
        let is_public_only = self.who.scopes.as_ref().is_some_and(|s| s.is_public_only);
        state.right(repository, self.who.account) > Right::None && !(is_public_only && repository.is_private)
    }

    /// Below `/repos/{owner}/{name}`.
    fn repository(&self, owner: &str, name: &str, rest: &[&str]) -> Answered {
        let id = {
            let state = lock(&self.shared.state);
            self.find(&state, owner, name)?.id
        };
        if self.method != "GET" && self.method != "HEAD" {
            self.account()?;
            let state = lock(&self.shared.state);
            let archived = state.repositories.get(&id).is_some_and(|r| r.is_archived);
            // Statuses are taken all the same.
            if archived && !matches!(rest, [] | ["statuses", _]) {
                return Err(no(423, format!("{owner}/{name} is archived")));
            }
        }
        match rest {
            ["issues", rest @ ..] => self.issues(id, rest),
            ["pulls", rest @ ..] => self.pulls(id, rest),
            ["git" | "branches" | "statuses" | "commits" | "contents", ..] => self.commits(id, rest),
            _ => self.one_repository(id, rest),
        }
    }

    /// Refuses unless the account has this right in the repository.
    fn require(&self, state: &State, repository: u64, right: Right) -> Result<u64, Refusal> {
        let account = self.account()?;
        let repository = state.repositories.get(&repository).ok_or_else(not_found)?;
        if state.right(repository, Some(account)) >= right {
            return Ok(account);
        }
        Err(match right {
            Right::Write => no(403, "user should have a permission to write to a repo"),
            Right::Owner => no(403, "user should be the owner of the repo"),
            _ => no(403, "user should be an owner or a collaborator with admin write of a repository"),
        })
    }
}
