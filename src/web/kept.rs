//! What a run left: its document and its artifacts. Artifacts are a stranger's files: handed over, never shown.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio_util::io::ReaderStream;

use super::Site;
use super::problem::Problem;
use crate::core::id::RunId;
use crate::core::result::{Document, Origin};
use crate::core::run::{Kept, Run};

/// Even a file that a browser insists on showing has no origin, loads nothing and runs nothing.
const FILE_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// The run of a number as it stands in an address.
pub async fn run_at(site: &Site, number: &str) -> Result<Run, Problem> {
    let unknown = || Problem::not_found("there is no run of this number");
    let id = number.parse().map(RunId).map_err(|_| unknown())?;
    site.pages.store.run(id).await?.ok_or_else(unknown)
}

/// Where git fetches the repository of a run.
pub async fn clone_url_of(site: &Site, run: &Run) -> Result<Option<String>, Problem> {
    let Some(id) = run.request.repository() else { return Ok(None) };
    let repositories = site.pages.store.repositories().await?;
    let of_run = repositories.into_iter().find(|(_, repository)| repository.id == *id);
    Ok(of_run.map(|(_, repository)| repository.clone_url))
}

pub async fn result(
    State(site): State<Arc<Site>>,
    number: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(number) = number.map_err(|_| Problem::not_found("there is no run of this number"))?;
    let run = run_at(&site, &number).await?;
    let clone_url = clone_url_of(&site, &run).await?;
    let page_url = site.pages.public_url.as_ref().map(|top| format!("{top}/runs/{}", run.id));
    let docent = site.pages.about.borrow().version.clone();
    let origin = Origin {
        docent: &docent,
        clone_url: clone_url.as_deref(),
        page_url: page_url.as_deref(),
        bundle: None,
    };
    Ok(Json(Document::of(&run, origin)).into_response())
}

pub async fn artifact(
    State(site): State<Arc<Site>>,
    address: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let unknown = || Problem::not_found("this run has no such artifact");
    let Path((number, digest)) = address.map_err(|_| unknown())?;
    let run = run_at(&site, &number).await?;
    // The digest alone opens nothing: the file has to be one that this run left.
    let kept = kept_of(&run).find(|kept| kept.digest == digest).ok_or_else(unknown)?;
    let path = site.pages.files.path(&kept.digest).ok_or_else(unknown)?;
    let gone = |_| Problem::gone("this artifact is not kept any more");
    let file = tokio::fs::File::open(path).await.map_err(gone)?;
    let size = file.metadata().await.map_err(gone)?.len();
    let name = file_name(&kept.name);
    let (kind, shown) = match name.rsplit_once('.') {
        Some((_, "txt" | "xml" | "json" | "lock")) => ("text/plain; charset=utf-8", "inline"),
        _ => ("application/octet-stream", "attachment"),
    };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::CONTENT_DISPOSITION, format!("{shown}; filename=\"{name}\"")),
        (header::CONTENT_SECURITY_POLICY, FILE_POLICY.to_owned()),
    ];
    Ok((headers, Body::from_stream(ReaderStream::new(file))).into_response())
}

fn kept_of(run: &Run) -> impl Iterator<Item = &Kept> {
    let attempts = run.tiers.iter().flat_map(|tier| &tier.attempts);
    let services = run.services.iter().filter_map(|service| service.log.as_ref());
    run.curated
        .iter()
        .chain(&run.bundle)
        .chain(services)
        .chain(attempts.flat_map(|attempt| attempt.artifacts.iter().chain(&attempt.log)))
}

/// A name that means one plain file on every system, whatever the artifact is called.
fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let safe: String = last.chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
    let safe = safe.trim_start_matches(['.', '-']);
    // The end is kept, because it says what kind of file it is.
    let start = safe.len().saturating_sub(100);
    if safe.is_empty() { "artifact".to_owned() } else { safe[start..].to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_one_plain_name() {
        for (name, expected) in [
            ("junit.xml", "junit.xml"),
            ("artifacts/a b.html", "a_b.html"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\x.exe", "x.exe"),
            ("a\"; filename=\"b.html\r\nX: y", "a___filename__b.html__X__y"),
            (".bashrc", "bashrc"),
            ("...", "artifact"),
            ("", "artifact"),
            ("\u{202e}gpj.exe", "_gpj.exe"),
        ] {
            assert_eq!(file_name(name), expected, "{name:?}");
        }
        assert_eq!(file_name(&format!("{}.ipynb", "x".repeat(9000))).len(), 100);
    }
}
