//! The pages, one file each. A page is a view (plain values, fit to be shown) and a template of the same name.

mod commands;
mod overview;
mod pull;
mod row;
mod run;
mod runs;

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use url::form_urlencoded;

use super::problem::Problem;
use super::text::Shown;
use super::{Site, link};
use crate::core::time::{Duration, Time, for_people, length_for_people};

pub use commands::commands;
pub use overview::overview;
pub use pull::pull;
pub use run::run;
pub use runs::runs;

/// What is around every page.
struct Frame {
    title: Shown,
    /// From this page to the top, ending in `/`.
    root: String,
    /// Which entry of the navigation is here.
    section: &'static str,
    version: String,
    /// It changes by itself and shows that.
    is_live: bool,
}

impl Frame {
    fn new(site: &Site, path: &str, section: &'static str, title: &str) -> Self {
        Self {
            title: Shown::line(title, 120),
            root: link::root(path),
            section,
            version: site.pages.about.borrow().version.clone(),
            is_live: false,
        }
    }

    fn live(self, is_live: bool) -> Self {
        Self { is_live, ..self }
    }
}

/// A point in time: for machines, for people, and how far away.
struct Moment {
    iso: String,
    text: String,
    distance: String,
}

impl Moment {
    fn new(at: Time, now: Time) -> Self {
        let text = for_people(at);
        let length = (now - at).abs();
        let distance = match now >= at {
            _ if length.num_seconds() < 1 => "now".to_owned(),
            _ if length > Duration::hours(36) => text.clone(),
            true => format!("{} ago", coarse(length)),
            false => format!("in {}", coarse(length)),
        };
        Self { iso: at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true), text, distance }
    }
}

/// A length of time without the digits that nobody needs.
fn coarse(length: Duration) -> String {
    match length.num_seconds() {
        seconds @ 0..=99 => format!("{seconds} s"),
        seconds @ 100..=5_999 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// Seconds as a program measured them; a program of a stranger, perhaps.
fn seconds(seconds: f64) -> String {
    let milliseconds = (seconds.clamp(0.0, 1e9) * 1000.0) as i64;
    length_for_people(Duration::milliseconds(milliseconds))
}

/// `3 failures`, `1 failure`.
fn count(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn page(view: &impl Template) -> Result<Response, Problem> {
    Ok(Html(view.render()?).into_response())
}

/// A parameter of an address's query.
pub fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame,
    status: u16,
    text: &'a str,
}

/// The page of an answer that is none.
pub fn problem_page(site: &Site, path: &str, problem: &Problem) -> Response {
    let frame = Frame::new(site, path, "", problem.status.canonical_reason().unwrap_or("Error"));
    let view = ProblemPage { frame, status: problem.status.as_u16(), text: &problem.text };
    match view.render() {
        Ok(html) => Html(html).into_response(),
        Err(_) => problem.text.clone().into_response(),
    }
}
