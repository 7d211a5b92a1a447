//! A forge that only answers: as many repositories as are asked for, all of them idle. It counts what it was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What it has been asked so far.
#[derive(Debug, Default)]
pub struct Counts {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    /// Requests, and bytes of the answers to them.
    pub fn now(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// A running double; it stops with the runtime.
pub struct Double {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    pub counts: Arc<Counts>,
}

impl Double {
    pub async fn start() -> anyhow::Result<Self> {
        let counts: Arc<Counts> = Arc::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().fallback(answer).with_state(counts.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, counts })
    }
}

async fn answer(State(counts): State<Arc<Counts>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let segments: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let (status, scopes, body) = match (method.as_str(), segments.as_slice()) {
        ("GET", ["api", "v1", "repos", "issues", "search"]) => (200, "", json!([]).to_string()),
        ("GET", ["api", "v1", "admin", "cron"]) => (403, "", REFUSAL.to_owned()),
        ("GET", ["api", "v1", "user"]) => (403, "", REFUSAL.to_owned()),
        ("GET", ["api", "v1", "repos", _, _, "assignees"]) => (200, "", json!([]).to_string()),
        ("GET", ["api", _, "repos", owner, name]) => (200, "", repository(owner, name).to_string()),
        ("GET", ["api", "v3", "rate_limit"]) => (200, "read:org", json!({}).to_string()),
        ("POST", ["api", "graphql"]) => (200, "read:org", changed(&body).to_string()),
        ("GET", ["bytes", count]) => (200, "", " ".repeat(count.parse().unwrap_or(0))),
        _ => (404, "", json!({ "message": "not here" }).to_string()),
    };
    counts.requests.fetch_add(1, Ordering::Relaxed);
    counts.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    (status, [("content-type", "application/json"), ("x-oauth-scopes", scopes)], body).into_response()
}

/// How Gitea names the scopes of a token.
const REFUSAL: &str = r#"{"message": "token does not have at least one of required scope(s), required=[read:admin], token scope=read:issue,read:repository"}"#;

fn repository(owner: &str, name: &str) -> Value {
    let number: u64 = name.trim_start_matches('r').parse().unwrap_or(1);
    json!({
        "id": number,
        "node_id": format!("R_{number}"),
        "full_name": format!("{owner}/{name}"),
        "owner": { "id": 1, "login": owner },
        "default_branch": "main",
        "permissions": { "admin": false, "push": false, "pull": true },
    })
}

/// What GitHub says of idle repositories: as many old pull requests as were asked for, none of them open.
fn changed(body: &[u8]) -> Value {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let variables = &asked["variables"];
    let count = if variables["states"].is_null() { variables["first"].as_u64().unwrap_or(0) } else { 0 };
    let pulls: Vec<Value> = (1..=count)
        .map(|number| json!({ "id": format!("PR_{number}"), "number": number, "updatedAt": "2024-03-02T08:16:00Z" }))
        .collect();
    let ids = variables["ids"].as_array().map(Vec::as_slice).unwrap_or_default();
    let nodes: Vec<Value> = ids
        .iter()
        .filter_map(|id| {
            let number: u64 = id.as_str()?.trim_start_matches("R_").parse().ok()?;
            Some(json!({
                "id": id,
                "databaseId": number,
                "nameWithOwner": format!("{}/{}", super::idle::OWNER, super::idle::name(number)),
                "pullRequests": { "nodes": pulls, "pageInfo": { "hasNextPage": count > 0, "endCursor": "c" } },
            }))
        })
        .collect();
    let budget = json!({ "cost": 1, "remaining": 4900, "resetAt": "2030-01-01T00:00:00Z" });
    json!({ "data": { "nodes": nodes, "rateLimit": budget } })
}
