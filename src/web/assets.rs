//! docent's own files: the style, the script, the icon. They are part of the program.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

pub async fn asset(name: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    let unknown = || Problem::not_found("there is no such file");
    let Path(name) = name.map_err(|_| unknown())?;
    let (kind, content) = match name.as_str() {
        "docent.css" => ("text/css; charset=utf-8", include_str!("assets/docent.css")),
        "docent.js" => ("text/javascript; charset=utf-8", include_str!("assets/docent.js")),
        "docent.svg" => ("image/svg+xml", include_str!("assets/docent.svg")),
        _ => return Err(unknown()),
    };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], content).into_response())
}
