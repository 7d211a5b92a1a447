//! What the extra tests came to: a status and a block of their own, so that nothing of them stands among the default ones.

use std::fmt::Write as _;

use super::failures::write_bad;
use super::status::counts;
use super::{Light, View, fold};
use crate::core::neutral;
use crate::core::outcome::TestResult;
use crate::core::run::{Phase, Run, TierRun};
use crate::core::verdict::Verdict;

/// Passed tests that are named.
const PASSED: usize = 50;

/// The light and the one line of the status of a run's extra tests; none where it has none.
pub fn extra_status(run: &Run) -> Option<(Light, String)> {
    let mut tiers = tiers(run).peekable();
    tiers.peek()?;
    let counted = counts(tiers.flat_map(|tier| &tier.tests));
    let line = |word: &str| if counted.is_empty() { word.to_owned() } else { format!("{word}: {counted}") };
    let options = &run.request.options;
    let is_part = !options.tiers.is_empty() || options.notebooks.is_some();
    Some(match run.extra_verdict {
        _ if run.cancel.is_some() => (Light::Grey, "cancelled".to_owned()),
        None if run.phase.is_ended() => (Light::Grey, "did not run".to_owned()),
        None => (Light::Pending, "run after the others".to_owned()),
        Some(verdict @ (Verdict::Pass | Verdict::Skip)) if is_part => {
            (Light::Grey, format!("only a part was asked for; {}", line(verdict.word())))
        }
        Some(verdict @ (Verdict::Pass | Verdict::Skip)) => (Light::Green, line(verdict.word())),
        Some(Verdict::Fail) => (Light::Red, line(Verdict::Fail.word())),
        Some(Verdict::Unverified) => (Light::Grey, line(Verdict::Unverified.word())),
    })
}

fn tiers(run: &Run) -> impl Iterator<Item = &TierRun> {
    run.tiers.iter().filter(|tier| tier.tier.is_opt_in)
}

/// One line for whoever does not know that there are extra tests for this; none once somebody asked for them.
pub(super) fn write_suggestion(text: &mut String, view: &View<'_>) {
    let is_known = view.runs.iter().any(|run| run.request.options.extra_tests);
    if let Some(suggestion) = view.pull.suggested.as_ref().filter(|_| !is_known) {
        let now = &view.pull.now;
        let sha = if now.is_of_its_repository() { String::new() } else { format!(" {}", now.head.short()) };
        let path = neutral::path(&suggestion.path);
        let command = neutral::inline(&format!("{}{sha}", suggestion.command), 80);
        let _ = writeln!(text, "\nThis changes what extra tests cover ({path}): {command} runs them.");
    }
}

/// The block of the comment; nothing where there are no extra tests.
pub(super) fn write_extra(text: &mut String, view: &View<'_>, run: &Run, limit: usize) {
    let Some((_, line)) = extra_status(run) else { return };
    let sign = match run.extra_verdict {
        Some(verdict) if run.cancel.is_none() => verdict.sign(),
        _ if run.phase == Phase::Cancelled => "■",
        _ => "●",
    };
    let _ = writeln!(text, "\n#### {sign} Extra tests: {line}\n\nThey never move the verdict above.");
    let bad = write_bad(text, view, run, true, limit);
    let good: Vec<&TestResult> =
        tiers(run).flat_map(|tier| &tier.tests).filter(|test| !test.outcome.is_bad()).collect();
    for attempt in tiers(run).filter_map(|tier| tier.attempts.last()).filter(|it| !it.note.is_empty()) {
        if bad == 0 {
            let _ = writeln!(text, "\n{}", neutral::inline(&attempt.note, 200));
        }
    }
    let mut list = String::new();
    for test in good.iter().take(PASSED) {
        let why = Some(&test.message).filter(|why| !why.is_empty());
        let why = why.map(|why| format!(": {}", neutral::inline(why, 120))).unwrap_or_default();
        let _ = writeln!(
            list,
            "- {} {}, {:.1} s{why}",
            neutral::path(&test.name),
            test.outcome.words(),
            test.seconds
        );
    }
    if good.len() > PASSED {
        let _ = writeln!(list, "- … and {} more", good.len() - PASSED);
    }
    if !list.is_empty() {
        fold(text, "extra tests that passed or were skipped", &list);
    }
}
