//! A run on one line, and the small picture of how far it is.

use super::{Moment, coarse};
use crate::core::id::Sha;
use crate::core::run::{Phase, Run};
use crate::core::time::Time;
use crate::web::badge::{self, Badge};
use crate::web::link;
use crate::web::text::Shown;

/// Characters of an account's name.
pub const LOGIN: usize = 40;
/// Characters of any other name.
pub const NAME: usize = 80;

/// A step of a run: getting ready, a tier.
pub struct Step {
    pub badge: Badge,
    pub name: Shown,
}

/// A run on one line.
pub struct RunRow {
    pub id: i64,
    pub href: String,
    pub badge: Badge,
    pub extra: Option<Badge>,
    pub phase: &'static str,
    pub place: Shown,
    /// Its watched branch, where it is of no pull request.
    pub branch: Option<Shown>,
    /// Number and link of its pull request.
    pub pull: Option<(u64, String)>,
    pub commit: String,
    pub by: Shown,
    pub asked: Moment,
    pub expires: Option<Moment>,
    pub length: Option<String>,
    pub reason: Shown,
    pub what: Shown,
    pub steps: Vec<Step>,
}

impl RunRow {
    pub fn new(run: &Run, now: Time) -> Self {
        let request = &run.request;
        let length = run.started_at.map(|started| coarse(run.ended_at.unwrap_or(now) - started));
        Self {
            id: run.id.0,
            href: link::run(run.id),
            badge: badge::of_run(run),
            extra: run.extra_verdict.map(Badge::from),
            phase: run.phase.word(),
            place: Shown::line(&request.place, NAME),
            branch: request.branch().map(|branch| Shown::line(&branch.name, NAME)),
            pull: request.pull.as_ref().map(|pull| (pull.number, link::pull(pull))),
            commit: request.sha.as_ref().map(Sha::short).unwrap_or_default().to_owned(),
            by: Shown::line(request.by.name(), LOGIN),
            asked: Moment::new(run.requested_at, now),
            expires: run.expires_at.map(|at| Moment::new(at, now)),
            length,
            reason: Shown::line(run.reason.as_deref().unwrap_or_default(), 200),
            what: what(run),
            steps: steps(run),
        }
    }
}

/// What was asked for, beyond the whole recipe.
pub fn what(run: &Run) -> Shown {
    let options = &run.request.options;
    let mut words = Vec::new();
    if options.extra_tests {
        words.push("extra tests".to_owned());
    }
    if !options.tiers.is_empty() {
        words.push(format!("tier {}", options.tiers.join(", ")));
    }
    if let Some(glob) = &options.notebooks {
        words.push(format!("notebooks {glob}"));
    }
    if options.full {
        words.push("full".to_owned());
    }
    if !run.request.only.is_empty() {
        words.push(format!("only {}", run.request.only.join(", ")));
    }
    Shown::line(&words.join("; "), 200)
}

/// From getting ready to the last tier.
pub fn steps(run: &Run) -> Vec<Step> {
    let prepare = match run.phase {
        _ if !run.tiers.is_empty() => badge::DONE,
        Phase::Preparing => badge::RUNNING,
        Phase::Offered | Phase::Accepted | Phase::Waiting => badge::WAITING,
        // It ended, or is ending, before it had tiers.
        _ if run.started_at.is_some() => badge::of_run(run),
        _ => return Vec::new(),
    };
    let tiers = run.tiers.iter();
    let tiers =
        tiers.map(|tier| Step { badge: badge::of_tier(tier), name: Shown::line(&tier.tier.name, NAME) });
    std::iter::once(Step { badge: prepare, name: Shown::line("prepare", NAME) }).chain(tiers).collect()
}
