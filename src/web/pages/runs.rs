//! `/runs`: all runs, the newest first.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;

use super::row::RunRow;
use super::{Frame, page, parameter};
use crate::core::id::RunId;
use crate::web::Site;
use crate::web::problem::Problem;

/// Runs on one page.
const COUNT: usize = 50;

#[derive(Template)]
#[template(path = "runs.html")]
struct Runs {
    frame: Frame,
    runs: Vec<RunRow>,
    is_first: bool,
    /// Where the next page begins.
    before: Option<i64>,
}

pub async fn runs(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let before = match parameter(query.as_deref(), "before").map(|text| text.parse().map(RunId)) {
        Some(Err(_)) => return Err(Problem::not_found("there is no run of this number")),
        Some(Ok(before)) => Some(before),
        None => None,
    };
    let now = site.pages.clock.now();
    let asked = u32::try_from(COUNT + 1).unwrap_or(u32::MAX);
    let runs = site.pages.store.latest_runs(asked, before).await?;
    let has_more = runs.len() > COUNT;
    let shown = &runs[..runs.len().min(COUNT)];
    let view = Runs {
        frame: Frame::new(&site, "/runs", "runs", "Runs"),
        runs: shown.iter().map(|run| RunRow::new(run, now)).collect(),
        is_first: before.is_none(),
        before: shown.last().filter(|_| has_more).map(|run| run.id.0),
    };
    page(&view)
}
