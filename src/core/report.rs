//! What the forge is told: one comment for a pull request, one status for a run. Both are made from the state alone, so
//! they are never about the past, and the same state gives the same bytes.

mod answers;
mod changes;
mod comparison;
mod curated;
mod extra;
mod failures;
mod notable;
mod passed;
mod status;
mod tiers;

use std::fmt::Write as _;

use super::ledger::Entry;
use super::neutral;
use super::publishing::PublishPolicy;
use super::run::{Phase, Run};
use super::time::length_for_people;
use super::world::Pull;

pub use extra::extra_status;
pub use status::{Light, headline, status};

/// Failures that are shown in full.
const FAILURES: usize = 10;

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The pull request.
    pub pull: &'a Pull,
    /// Its latest comments with commands, the newest first.
    pub comments: &'a [Entry],
    /// Its latest runs, the newest first.
    pub runs: &'a [Run],
    /// Where the pages are; no trailing slash.
    pub public_url: Option<&'a str>,
    /// Where git fetches the repository.
    pub clone_url: Option<&'a str>,
    /// How an offer is accepted: `!accept`.
    pub accept: &'a str,
    /// Where its repository publishes what is on a branch.
    pub publish: Option<&'a PublishPolicy>,
}

/// The comment on a pull request, at most `limit` characters. `hidden` is the marker by which docent finds it again.
pub fn comment(view: &View<'_>, hidden: &str, limit: usize) -> String {
    for failures in [FAILURES, 3, 1, 0] {
        let text = compose(view, hidden, failures);
        if text.chars().count() <= limit {
            return text;
        }
    }
    let run = view.runs.first().map(headline).unwrap_or_default();
    format!(
        "<!-- {hidden} -->\n{run}: the report is too long for a comment{}\n",
        link(view, "; it is on the pages")
    )
    .chars()
    .take(limit)
    .collect()
}

fn compose(view: &View<'_>, hidden: &str, failures: usize) -> String {
    let mut text = format!("<!-- {hidden} -->\n");
    let shown = view.runs.iter().find(|run| run.phase.is_live() || run.verdict.is_some());
    match shown {
        Some(run) => write_run(&mut text, view, run, failures),
        None => text.push_str("### docent\n"),
    }
    for offer in view.runs.iter().filter(|run| run.phase == Phase::Offered) {
        answers::write_offer(&mut text, view, offer);
    }
    answers::write_answers(&mut text, view);
    answers::write_history(&mut text, view, shown);
    text
}

fn write_run(text: &mut String, view: &View<'_>, run: &Run, failures: usize) {
    let sign = match (run.phase, run.verdict) {
        (Phase::Cancelled, _) => "■",
        (_, Some(verdict)) if run.cancel.is_none() => verdict.sign(),
        _ => "●",
    };
    let sha = run.request.sha.as_ref().map(|sha| sha.short()).unwrap_or("no commit");
    let _ = writeln!(text, "### {sign} {}\n", headline(run));
    let took = run.started_at.zip(run.ended_at).map(|(from, to)| length_for_people(to - from));
    let took = took.map(|took| format!(" · took {took}")).unwrap_or_default();
    let page = page_of(view, run).map(|page| format!(" · [all of it]({page})")).unwrap_or_default();
    let reached = tiers::reached(run).map(|name| format!(" · came to tier {name}")).unwrap_or_default();
    let _ = writeln!(text, "Run {} at `{sha}`{}{reached}{took}{page}", run.id, asked_for(run));
    if run.request.sha.as_ref().is_some_and(|sha| *sha != view.pull.now.head) {
        let head = view.pull.now.head.short();
        let _ = writeln!(text, "\nThe head has moved on to `{head}`, which this run does not speak of.");
    }
    if let Some(reason) = &run.reason {
        let _ = writeln!(text, "\n{}", neutral::inline(reason, 500));
    }
    comparison::write_comparison(text, run);
    failures::write_failures(text, view, run, failures);
    extra::write_extra(text, view, run, failures);
    extra::write_suggestion(text, view);
    curated::write_curated(text, view, run);
    notable::write_warnings(text, run);
    tiers::write_tiers(text, run);
    changes::write_changes(text, run);
    notable::write_slowest(text, run);
    notable::write_writers(text, run);
    passed::write_passed(text, run);
}

/// What narrows or widens a run, so that nobody accepts or trusts something else than it is.
fn asked_for(run: &Run) -> String {
    let options = &run.request.options;
    let mut parts = Vec::new();
    if !options.tiers.is_empty() {
        parts.push(format!("only up to tier {}", neutral::inline(&options.tiers.join(", "), 80)));
    }
    if let Some(pattern) = &options.notebooks {
        parts.push(format!("only notebooks that fit {}", neutral::inline(pattern, 120)));
    }
    if !run.request.only.is_empty() {
        parts.push(format!("only the {} that were not good before", run.request.only.len()));
    }
    if options.extra_tests {
        parts.push("with the extra tests".to_owned());
    }
    if parts.is_empty() { String::new() } else { format!(", {}", parts.join(", ")) }
}

fn fold(text: &mut String, title: &str, body: &str) {
    let _ = write!(text, "\n<details><summary>{title}</summary>\n\n{}\n\n</details>\n", body.trim_end());
}

/// The page of a run.
pub fn page_of(view: &View<'_>, run: &Run) -> Option<String> {
    view.public_url.map(|url| format!("{url}/runs/{}", run.id))
}

fn link(view: &View<'_>, words: &str) -> String {
    let page = view.runs.first().and_then(|run| page_of(view, run));
    page.map(|page| format!("{words}: {page}")).unwrap_or_default()
}
