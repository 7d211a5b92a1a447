//! Logs: of attempts that have ended, and of those that run, followed to their end.
//!
//! What is sent is plain text in which nothing acts on a terminal; the log as it was written is an artifact of the run.

use std::io::{self, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::OwnedSemaphorePermit;

use super::Site;
use super::kept::run_at;
use super::pages::parameter;
use super::problem::Problem;
use super::text::{Cleaner, size};
use crate::core::id::AttemptId;
use crate::core::run::{Attempt, Run};

/// How often a growing log is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// `?follow=1` goes on until the attempt has ended; `?tail=N` begins N bytes before the end.
pub async fn log(
    State(site): State<Arc<Site>>,
    address: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let unknown = || Problem::not_found("this run has no such attempt");
    let Path((number, name)) = address.map_err(|_| unknown())?;
    let run = run_at(&site, &number).await?;
    let attempt = attempts(&run).find(|attempt| attempt.id.to_string() == name).ok_or_else(unknown)?;
    let follows = parameter(query.as_deref(), "follow").is_some_and(|value| value != "0");
    let permit = match (follows, Arc::clone(&site.followers).try_acquire_owned()) {
        (false, _) => None,
        (true, Ok(permit)) => Some(permit),
        (true, Err(_)) => {
            let text = "too many logs are being followed: read this one without follow".to_owned();
            return Err(Problem { status: StatusCode::SERVICE_UNAVAILABLE, text });
        }
    };
    let mut tail = Tail {
        path: place_of(&site, attempt),
        attempt: attempt.id.clone(),
        is_closed: !follows || attempt.closed_at.is_some(),
        is_over: false,
        position: 0,
        drops_line: false,
        cleaner: Cleaner::default(),
        _permit: permit,
        site,
    };
    let mut beginning = String::new();
    match tokio::fs::metadata(&tail.path).await {
        Err(_) if attempt.closed_at.is_some() && attempt.log.is_some() => {
            return Err(Problem::gone("this log is not kept any more"));
        }
        Err(_) if attempt.closed_at.is_some() => beginning = "(this attempt left no log)\n".to_owned(),
        Err(_) => {}
        Ok(file) => {
            let wanted = parameter(query.as_deref(), "tail").and_then(|bytes| bytes.parse::<u64>().ok());
            if let Some(above) = wanted.and_then(|wanted| file.len().checked_sub(wanted)).filter(|at| *at > 0)
            {
                tail.position = above;
                tail.drops_line = true;
                beginning = format!("… {} above\n", size(above));
            }
        }
    }
    let pieces = stream::unfold((beginning, tail), |(beginning, mut tail)| async move {
        let text = if beginning.is_empty() { tail.next().await? } else { beginning };
        Some((Ok::<_, io::Error>(text), (String::new(), tail)))
    });
    // Buffering on the way would turn a live log into a late one.
    let headers = [("content-type", "text/plain; charset=utf-8"), ("x-accel-buffering", "no")];
    let mut response = (headers, Body::from_stream(pieces)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    Ok(response)
}

fn attempts(run: &Run) -> impl Iterator<Item = &Attempt> {
    run.tiers.iter().flat_map(|tier| &tier.attempts)
}

/// The kept log of an attempt that has ended, the growing one of an attempt that runs.
fn place_of(site: &Site, attempt: &Attempt) -> PathBuf {
    let kept = attempt.log.as_ref().and_then(|log| site.pages.files.path(&log.digest));
    kept.unwrap_or_else(|| site.pages.files.live_log(&attempt.id))
}

/// A log being read. It is opened anew for every piece: when the attempt ends, the same bytes are in another file.
struct Tail {
    site: Arc<Site>,
    attempt: AttemptId,
    path: PathBuf,
    /// Nothing will be added any more.
    is_closed: bool,
    is_over: bool,
    position: u64,
    /// Reading began inside a line: what is left of that line is not shown.
    drops_line: bool,
    cleaner: Cleaner,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Tail {
    /// The next text; none when the log is over.
    async fn next(&mut self) -> Option<String> {
        while !self.is_over {
            let mut piece = self.read().await;
            if piece.is_empty() {
                if self.is_closed {
                    self.is_over = true;
                    return Some(self.cleaner.finish()).filter(|rest| !rest.is_empty());
                }
                // Seen as closed first and read once more after that, so that the last words are not lost.
                self.wait().await;
                continue;
            }
            if self.drops_line {
                let end = piece.iter().position(|byte| *byte == b'\n');
                piece.drain(..end.map_or(piece.len(), |end| end + 1));
                self.drops_line = end.is_none();
            }
            let text = self.cleaner.push(&piece);
            if !text.is_empty() {
                return Some(text);
            }
        }
        None
    }

    async fn read(&mut self) -> Vec<u8> {
        let piece = async {
            let mut file = File::open(&self.path).await?;
            file.seek(SeekFrom::Start(self.position)).await?;
            let mut piece = Vec::new();
            file.take(PIECE as u64).read_to_end(&mut piece).await?;
            Ok::<_, io::Error>(piece)
        };
        let piece = piece.await.unwrap_or_default();
        self.position += piece.len() as u64;
        piece
    }

    async fn wait(&mut self) {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = self.site.closing.cancelled() => {
                self.is_closed = true;
                return;
            }
        }
        let Ok(run) = self.site.pages.store.run(self.attempt.run).await else { return };
        let attempt = run.as_ref().and_then(|run| run.attempt(&self.attempt));
        match attempt {
            Some(attempt) => {
                self.path = place_of(&self.site, attempt);
                self.is_closed = attempt.closed_at.is_some();
            }
            None => self.is_closed = true,
        }
    }
}
