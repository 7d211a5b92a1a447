//! What became of each tier, in a table.

use std::fmt::Write as _;

use super::fold;
use super::status::counts;
use crate::core::neutral;
use crate::core::outcome::Outcome;
use crate::core::run::{Attempt, Run, TierRun};

/// The last tier of a run that has ended of which anything is known by doing it.
pub(super) fn reached(run: &Run) -> Option<&str> {
    let is_reached = |tier: &&TierRun| !tier.attempts.is_empty() || !tier.tests.is_empty();
    let last = run.tiers.iter().rfind(is_reached).filter(|_| run.verdict.is_some());
    last.map(|tier| tier.tier.name.as_str())
}

/// While a run goes on they are what there is to see; afterwards, what failed is.
pub(super) fn write_tiers(text: &mut String, run: &Run) {
    if run.tiers.is_empty() {
        return;
    }
    let table = table(run);
    match run.verdict {
        Some(_) => fold(text, "tiers", &table),
        None => {
            let _ = write!(text, "\n{table}");
        }
    }
}

fn table(run: &Run) -> String {
    let mut text = String::from("| tier | | |\n| --- | --- | --- |\n");
    for tier in &run.tiers {
        let (sign, word) = match tier.verdict {
            Some(verdict) => (verdict.sign(), verdict.word()),
            None if tier.attempts.is_empty() => ("○", "waits"),
            None => ("●", "runs"),
        };
        let _ = writeln!(text, "| {} | {sign} {word} | {} |", tier.tier.name, tier_note(tier));
    }
    text
}

fn tier_note(tier: &TierRun) -> String {
    let mut notes = Vec::new();
    if let Some(run) = tier.reused_from {
        return format!("from run {run}");
    }
    if tier.tests.len() > 1 || tier.tests.iter().any(|test| test.outcome.is_bad()) {
        notes.push(counts(&tier.tests));
    }
    if tier.verdict.is_some() && tier.attempts.is_empty() && tier.tests.is_empty() && !tier.tier.is_built_in()
    {
        return "did not run".to_owned();
    }
    let reused = tier.tests.iter().filter(|test| test.reused_from.is_some()).count();
    if reused > 0 {
        notes.push(format!("{reused} reused"));
    }
    let missing =
        tier.planned.iter().filter(|name| !tier.tests.iter().any(|test| test.name == **name)).count();
    if missing > 0 && tier.verdict.is_some() {
        notes.push(format!("{missing} left no result"));
    }
    // Tests that failed explain an attempt that failed: that it did, and with which code, is no news then.
    let is_explained = |attempt: &Attempt| {
        attempt.outcome == Some(Outcome::Failed) && tier.tests.iter().any(|test| test.outcome.is_bad())
    };
    if let Some(attempt) = tier.attempts.last().filter(|attempt| !is_explained(attempt)) {
        if let Some(outcome) = attempt.outcome.filter(|outcome| outcome.is_bad()) {
            notes.push(outcome.words().to_owned());
        }
        if !attempt.note.is_empty() {
            notes.push(neutral::cell(&attempt.note, 200));
        }
    }
    if tier.attempts.len() > 1 {
        notes.push(format!("try {}", tier.attempts.len()));
    }
    notes.join(", ")
}
