//! `/health`: for monitors.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Site;
use crate::core::event::Heartbeat;
use crate::core::time::Time;

#[derive(Serialize)]
struct Health {
    /// The state can be read.
    ok: bool,
    version: String,
    /// Why no run can begin now: no engine answers, for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
    polls: Vec<PollHealth>,
}

#[derive(Serialize)]
struct PollHealth {
    forge: String,
    began_at: Time,
    age_seconds: i64,
    /// How many things the last poll could not read.
    failures: usize,
}

pub async fn health(State(site): State<Arc<Site>>) -> Response {
    let (version, trouble) = {
        let about = site.pages.about.borrow();
        (about.version.clone(), about.trouble.clone())
    };
    let now = site.pages.clock.now();
    match site.pages.store.polls::<Heartbeat>().await {
        Ok(polls) => {
            let polls = polls.into_iter().map(|poll| PollHealth {
                forge: poll.forge,
                began_at: poll.began_at,
                age_seconds: (now - poll.began_at).num_seconds(),
                failures: poll.last.map_or(0, |last| last.failures.len()),
            });
            Json(Health { ok: true, version, trouble, polls: polls.collect() }).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the state cannot be read");
            let health = Health { ok: false, version, trouble, polls: Vec::new() };
            (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response()
        }
    }
}
