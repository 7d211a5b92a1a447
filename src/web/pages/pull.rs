//! `/pulls/…`: one pull request: which heads docent saw, what was asked, what ran.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;

use super::commands::{CommandRow, rows};
use super::row::{LOGIN, NAME, RunRow};
use super::{Frame, Moment, page};
use crate::core::id::{PullId, RepositoryId};
use crate::web::problem::Problem;
use crate::web::text::Shown;
use crate::web::{Site, link};

/// Heads, commands and runs shown.
const COUNT: usize = 50;

#[derive(Template)]
#[template(path = "pull.html")]
struct PullPage {
    frame: Frame,
    place: Shown,
    number: u64,
    title: Shown,
    is_open: bool,
    author: Shown,
    head_branch: Shown,
    head_repository: Shown,
    base_branch: Shown,
    href: Option<String>,
    reported: Option<Moment>,
    heads: Vec<Head>,
    older_heads: usize,
    commands: Vec<CommandRow>,
    runs: Vec<RunRow>,
}

/// A commit that was the head.
struct Head {
    short: String,
    sha: String,
    href: Option<String>,
    seen: Moment,
    is_now: bool,
}

pub async fn pull(
    State(site): State<Arc<Site>>,
    OriginalUri(uri): OriginalUri,
    address: Result<Path<(String, u64, u64)>, PathRejection>,
) -> Result<Response, Problem> {
    let unknown = || Problem::not_found("docent knows no such pull request");
    let Path((forge, repository, number)) = address.map_err(|_| unknown())?;
    let id = PullId { repository: RepositoryId { forge, number: repository }, number };
    let store = &site.pages.store;
    let now = site.pages.clock.now();
    let known = store.pull(&id).await?.ok_or_else(unknown)?;
    let repositories = store.repositories().await?;
    let repository = repositories.iter().find(|(_, repository)| repository.id == id.repository);
    let place = match repository {
        Some((_, repository)) => repository.name.clone(),
        None => id.repository.to_string(),
    };
    let most = u32::try_from(COUNT).unwrap_or(u32::MAX);
    let entries = store.comments_of_pull(&id, most).await?;
    let runs = store.runs_of_pull(&id, most).await?;
    let pull = &known.now;
    let head = |(at, head): (usize, &crate::core::pull::ObservedHead)| Head {
        short: head.sha.short().to_owned(),
        sha: head.sha.to_string(),
        href: repository.and_then(|(_, repository)| link::commit(&repository.page_url, &head.sha)),
        seen: Moment::new(head.observed_at, now),
        is_now: at == 0,
    };
    let frame = Frame::new(&site, uri.path(), "", &format!("{place} #{number}"));
    let view = PullPage {
        frame: frame.live(true),
        place: Shown::line(&place, NAME),
        number,
        title: Shown::line(&pull.title, 300),
        is_open: pull.is_open,
        author: Shown::line(
            pull.author.as_ref().map_or("(a deleted account)", |author| &author.login),
            LOGIN,
        ),
        head_branch: Shown::line(&pull.head_branch, NAME),
        head_repository: Shown::line(pull.head_repository.as_deref().unwrap_or("(gone)"), NAME),
        base_branch: Shown::line(&pull.base_branch, NAME),
        href: link::outside(&pull.page_url),
        reported: known.posted.as_ref().map(|posted| Moment::new(posted.at, now)),
        heads: known.heads.iter().rev().take(COUNT).enumerate().map(head).collect(),
        older_heads: known.heads.len().saturating_sub(COUNT),
        commands: rows(&entries, COUNT, now),
        runs: runs.iter().map(|run| RunRow::new(run, now)).collect(),
    };
    page(&view)
}
