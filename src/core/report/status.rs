//! The short form: one light and one line, without anything that a stranger wrote.

use crate::core::baseline::{self, Class};
use crate::core::extra::{is_stopped_after_a_pass, verdict_before_extras};
use crate::core::outcome::{Outcome, TestResult};
use crate::core::run::{Phase, Run, TierRun};
use crate::core::verdict::Verdict;

/// The short form of what is told about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Light {
    /// Waiting or running.
    Pending,
    /// The verdict is pass, or all was skipped as declared.
    Green,
    /// The verdict is fail: the author's.
    Red,
    /// Unverified, cancelled or errored: not the author's.
    Grey,
}

/// The light and the one line of a run's status.
pub fn status(run: &Run) -> (Light, String) {
    let mut line = headline(run);
    if baseline::is_let_pass(run) {
        line = format!("nothing new fails; {line}");
    } else if baseline::is_open(run) {
        return (Light::Pending, format!("{line}; being compared with what it would merge into"));
    }
    // A green light speaks for all of the recipe, so a part of it is not given one.
    let options = &run.request.options;
    let is_part = !options.tiers.is_empty() || options.notebooks.is_some();
    // Nobody who waits for the default tiers waits for the extra ones.
    let verdict = run.verdict.or_else(|| verdict_before_extras(run));
    let is_good = matches!(verdict, Some(Verdict::Pass | Verdict::Skip)) || baseline::is_let_pass(run);
    if is_part && is_good {
        return (Light::Grey, format!("only a part was asked for; {line}"));
    }
    if let Some(publishing) = &run.publishing {
        line = match publishing.image() {
            Some(image) => format!("{line}; {} as {}", publishing.words(), image.tag()),
            None => format!("{line}; {}", publishing.words()),
        };
    }
    let light = match run.phase {
        _ if !run.phase.is_ended() && verdict.is_none() => Light::Pending,
        Phase::Cancelled if is_stopped_after_a_pass(run) => Light::Green,
        Phase::Cancelled | Phase::Rejected | Phase::Expired => Light::Grey,
        _ => match verdict {
            Some(Verdict::Pass | Verdict::Skip) => Light::Green,
            Some(Verdict::Fail) if baseline::is_let_pass(run) => Light::Green,
            Some(Verdict::Fail) => Light::Red,
            Some(Verdict::Unverified) | None => Light::Grey,
        },
    };
    (light, line)
}

/// One line on where a run stands, without anything that a stranger wrote.
pub fn headline(run: &Run) -> String {
    match (run.phase, run.verdict) {
        (Phase::Offered, _) => "waits to be accepted".to_owned(),
        (Phase::Accepted | Phase::Waiting, _) => "waits in the queue".to_owned(),
        (Phase::Preparing, None) if run.is_deploying() => "brings up its services".to_owned(),
        (Phase::Preparing, None) => "is being prepared".to_owned(),
        (Phase::Available, None) => match run.tiers.iter().find(|tier| tier.verdict.is_none()) {
            Some(tier) => {
                let before =
                    verdict_before_extras(run).map(|verdict| format!("{}; ", concluded(run, verdict)));
                format!("{}runs tier {}", before.unwrap_or_default(), tier.tier.name)
            }
            None => "runs".to_owned(),
        },
        (Phase::Cancelled, Some(verdict)) if is_stopped_after_a_pass(run) => {
            format!("{}; its extra tests were stopped", concluded(run, verdict))
        }
        (Phase::Cancelled, _) => "cancelled".to_owned(),
        (Phase::Rejected, _) => "turned down".to_owned(),
        (Phase::Expired, _) => "lapsed".to_owned(),
        (_, Some(verdict)) if run.cancel.is_none() => concluded(run, verdict),
        _ => "is being stopped".to_owned(),
    }
}

fn concluded(run: &Run, verdict: Verdict) -> String {
    let counted = count(run);
    if counted.is_empty() { verdict.word().to_owned() } else { format!("{}: {counted}", verdict.word()) }
}

/// `2 passed, 1 failed, 1 skipped` over the last tier that has tests of its own; empty when none has.
fn count(run: &Run) -> String {
    let tier = run.tiers.iter().rev().filter(|tier| !tier.tier.is_opt_in).find(|tier| !tier.tests.is_empty());
    let Some(tier) = tier else { return String::new() };
    let class = |test: &&TestResult| class_of(run, tier, test).filter(|_| test.outcome.is_bad());
    let mut parts = Vec::new();
    for wanted in [Class::NewFailure, Class::AlreadyFailing, Class::Flaky] {
        let count = tier.tests.iter().filter(|test| class(test) == Some(wanted)).count();
        if count > 0 {
            parts.push(wanted.counted(count));
        }
    }
    let others = counts(tier.tests.iter().filter(|test| class(test).is_none()));
    parts.extend(Some(others).filter(|others| !others.is_empty()));
    parts.join(", ")
}

/// What a test has to do with the change, where that is known.
pub(super) fn class_of(run: &Run, tier: &TierRun, test: &TestResult) -> Option<Class> {
    run.baseline.as_ref()?.class(&tier.tier.name, &test.name)
}

/// `2 passed, 1 failed`.
pub(super) fn counts<'a>(tests: impl IntoIterator<Item = &'a TestResult>) -> String {
    let mut counts: Vec<(Outcome, usize)> = Vec::new();
    for test in tests {
        match counts.iter_mut().find(|(outcome, _)| *outcome == test.outcome) {
            Some((_, count)) => *count += 1,
            None => counts.push((test.outcome, 1)),
        }
    }
    counts.sort();
    counts
        .iter()
        .map(|(outcome, count)| format!("{count} {}", outcome.words()))
        .collect::<Vec<_>>()
        .join(", ")
}
