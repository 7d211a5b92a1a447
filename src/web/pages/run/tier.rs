//! One tier of a run: its attempts and its tests.

use std::collections::BTreeSet;

use super::super::row::NAME;
use super::super::{Moment, coarse, seconds};
use crate::core::deferred;
use crate::core::id::RunId;
use crate::core::outcome::{Outcome, TestResult};
use crate::core::run::{Attempt, Run, TierRun};
use crate::core::time::Time;
use crate::web::badge::{self, Badge};
use crate::web::link;
use crate::web::text::{Shown, size};

/// Tests shown of one tier; `result.json` has all.
const TESTS: usize = 500;
/// Artifacts shown of one attempt.
const ARTIFACTS: usize = 100;

pub struct Tier {
    pub name: Shown,
    pub badge: Badge,
    pub notes: String,
    pub attempts: Vec<Try>,
    pub tests: Vec<Test>,
    /// Tests beyond those shown.
    pub more: usize,
}

/// An attempt.
pub struct Try {
    pub number: u32,
    pub badge: Badge,
    pub began: Moment,
    pub length: String,
    pub note: Shown,
    /// Its log as it may be read, and as it was written; an attempt may leave none.
    pub log: Option<String>,
    pub raw_log: Option<(String, String)>,
    pub artifacts: Vec<Artifact>,
    pub more_artifacts: usize,
}

pub struct Artifact {
    pub name: Shown,
    pub href: String,
    pub size: String,
}

/// One test.
pub struct Test {
    pub badge: Badge,
    pub name: Shown,
    pub class: Shown,
    /// What it has to do with the change.
    pub baseline: &'static str,
    /// The deferral that announced it.
    pub deferred: Shown,
    pub place: Shown,
    pub heading: Shown,
    pub error: Shown,
    pub message: Shown,
    pub excerpt: Shown,
    pub traceback: Shown,
    pub stderr: Shown,
    pub time: String,
    pub memory: String,
}

impl Test {
    /// There is more to show than fits into the row.
    pub fn has_details(&self) -> bool {
        !self.excerpt.is_empty() || !self.traceback.is_empty() || !self.stderr.is_empty()
    }
}

/// Tests that must leave a result and left none.
pub fn missing(tier: &TierRun) -> impl Iterator<Item = &String> {
    let seen: BTreeSet<&str> = tier.tests.iter().map(|test| test.name.as_str()).collect();
    tier.planned.iter().filter(move |name| !seen.contains(name.as_str()))
}

impl Tier {
    pub fn new(of: &Run, tier: &TierRun, now: Time) -> Self {
        let run = of.id;
        let mut results: Vec<&TestResult> = tier.tests.iter().collect();
        results.sort_by_key(|test| rank(test.outcome));
        let mut tests: Vec<Test> = results.into_iter().map(|it| compared(of, tier, it)).collect();
        // A tier that is still open has not left anything out yet.
        if tier.verdict.is_some() {
            let bad = tests.iter().take_while(|test| matches!(test.badge.tone, "bad" | "ours")).count();
            tests.splice(bad..bad, missing(tier).map(|name| no_result(name)));
        }
        let more = tests.len().saturating_sub(TESTS);
        tests.truncate(TESTS);
        Self {
            name: Shown::line(&tier.tier.name, NAME),
            badge: badge::of_tier(tier),
            notes: notes(&tier.tier),
            attempts: tier.attempts.iter().map(|attempt| self::attempt(run, attempt, now)).collect(),
            tests,
            more,
        }
    }
}

fn notes(tier: &crate::core::recipe::Tier) -> String {
    let notes = [
        (tier.is_opt_in, "opt-in, with a verdict of its own"),
        (tier.is_gate, "a gate: what follows needs it"),
        (tier.is_built_in(), "built into docent"),
    ];
    let told = notes.iter().filter(|(is_so, _)| *is_so).map(|(_, note)| *note);
    told.collect::<Vec<_>>().join(" · ")
}

/// The author's failures first, then docent's own, then what is good.
fn rank(outcome: Outcome) -> u8 {
    match outcome {
        outcome if outcome.is_bad() && !outcome.is_ours() && outcome != Outcome::Cancelled => 0,
        outcome if outcome.is_ours() => 1,
        Outcome::Cancelled => 2,
        Outcome::Passed => 3,
        _ => 4,
    }
}

fn attempt(run: RunId, attempt: &Attempt, now: Time) -> Try {
    let began = attempt.started_at.unwrap_or(attempt.opened_at);
    let artifacts = attempt.artifacts.iter().take(ARTIFACTS).map(|kept| Artifact {
        name: Shown::line(&kept.name, 200),
        href: link::artifact(run, &kept.digest),
        size: size(kept.size),
    });
    Try {
        number: attempt.id.number,
        badge: match attempt.outcome {
            Some(outcome) => outcome.into(),
            None if attempt.started_at.is_some() => badge::RUNNING,
            None => Badge { word: "starting", ..badge::WAITING },
        },
        began: Moment::new(began, now),
        length: coarse(attempt.closed_at.unwrap_or(now) - began),
        note: Shown::line(&attempt.note, 600),
        log: (attempt.log.is_some() || attempt.closed_at.is_none()).then(|| link::log(&attempt.id)),
        raw_log: attempt.log.as_ref().map(|log| (link::artifact(run, &log.digest), size(log.size))),
        artifacts: artifacts.collect(),
        more_artifacts: attempt.artifacts.len().saturating_sub(ARTIFACTS),
    }
}

fn compared(run: &Run, tier: &TierRun, result: &TestResult) -> Test {
    let class = run.baseline.as_ref().and_then(|baseline| baseline.class(&tier.tier.name, &result.name));
    let deferred = deferred::known(run, result).map(|known| known.words()).unwrap_or_default();
    Test {
        baseline: class.map_or("", |class| class.words()),
        deferred: Shown::line(&deferred, 200),
        ..test(result)
    }
}

fn test(test: &TestResult) -> Test {
    let cell = test.cell.as_ref();
    let place = cell.map(|cell| {
        let line = cell.line.map(|line| format!(", line {line}")).unwrap_or_default();
        let shown = cell.execution_count.map(|number| format!(" (In [{number}])")).unwrap_or_default();
        match cell.code_index {
            Some(number) => format!("code cell {number}{shown}{line}"),
            None => format!("cell {}{shown}{line}", cell.index),
        }
    });
    let exception = test.exception.as_ref();
    let error = exception.map(|exception| match exception.value.as_str() {
        "" => exception.name.clone(),
        value => format!("{}: {value}", exception.name),
    });
    let traceback = exception.map(|exception| exception.traceback.join("\n")).unwrap_or_default();
    // A class that only repeats the outcome says nothing.
    let class = if test.class == test.outcome.words() { "" } else { &test.class };
    Test {
        badge: test.outcome.into(),
        name: Shown::line(&test.name, 200),
        class: Shown::line(class, NAME),
        baseline: "",
        deferred: Shown::line("", NAME),
        place: Shown::line(&place.unwrap_or_default(), NAME),
        heading: Shown::line(cell.and_then(|cell| cell.heading.as_deref()).unwrap_or_default(), 120),
        error: Shown::line(&error.unwrap_or_default(), 400),
        message: Shown::line(&test.message, 400),
        excerpt: Shown::lines(cell.and_then(|cell| cell.excerpt.as_deref()).unwrap_or_default(), 40),
        traceback: Shown::lines(&traceback, 40),
        stderr: Shown::lines(&test.stderr, 40),
        time: if test.seconds > 0.0 { seconds(test.seconds) } else { String::new() },
        memory: test.peak_memory_bytes.map(size).unwrap_or_default(),
    }
}

fn no_result(name: &str) -> Test {
    let nothing = TestResult::plain(name, Outcome::Lost, "", "planned, but it left no result");
    Test { badge: badge::NO_RESULT, ..test(&nothing) }
}
