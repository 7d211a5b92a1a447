//! What curators look for after the failures: what took long, what wrote files, what a spec may have meant otherwise.

use std::fmt::Write as _;

use super::fold;
use crate::core::neutral;
use crate::core::outcome::TestResult;
use crate::core::run::{Run, TierRun};

/// Slowest tests that are named.
const SLOWEST: usize = 5;
/// Below this a test took no time, in seconds.
const BRIEF: f64 = 0.05;
/// Tests that wrote, and files of each of them, that are named.
const WRITERS: usize = 20;
const FILES: usize = 5;
/// Warnings that are shown.
const WARNINGS: usize = 20;

/// What a person should know of the plan. Where there was nothing to do, it is all that there is to say, and is not folded.
pub(super) fn write_warnings(text: &mut String, run: &Run) {
    let Some(plan) = run.plan.as_ref().filter(|plan| !plan.warnings.is_empty()) else { return };
    let mut list = String::new();
    for warning in plan.warnings.iter().take(WARNINGS) {
        let _ = writeln!(list, "- {}", neutral::inline(warning, 300));
    }
    if plan.warnings.len() > WARNINGS {
        let _ = writeln!(list, "- … and {} more", plan.warnings.len() - WARNINGS);
    }
    if plan.findings.is_empty() {
        let _ = write!(text, "\n{list}");
    } else {
        let count = plan.warnings.len();
        fold(text, &format!("{count} {}", if count == 1 { "warning" } else { "warnings" }), &list);
    }
}

/// The tests that took longest in this run; what was reused took no time.
pub(super) fn write_slowest(text: &mut String, run: &Run) {
    let Some(tier) = last_with_tests(run) else { return };
    let mut tests: Vec<&TestResult> =
        tier.tests.iter().filter(|test| test.reused_from.is_none() && test.seconds >= BRIEF).collect();
    if tests.len() < 2 {
        return;
    }
    tests.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| a.name.cmp(&b.name)));
    let mut list = String::new();
    for test in tests.iter().take(SLOWEST) {
        let memory = test.peak_memory_bytes.map(|bytes| format!(", {} MiB", bytes.div_ceil(1 << 20)));
        let memory = memory.unwrap_or_default();
        let _ = writeln!(list, "- {} {:.1} s{memory}", neutral::path(&test.name), test.seconds);
    }
    fold(text, &format!("the slowest {}", tests.len().min(SLOWEST)), &list);
}

/// The tests that made or changed files of the repository, whatever became of them.
pub(super) fn write_writers(text: &mut String, run: &Run) {
    let Some(tier) = last_with_tests(run) else { return };
    let wrote = |test: &TestResult| test.wrote.len() as u64 + test.wrote_more;
    let writers: Vec<&TestResult> = tier.tests.iter().filter(|test| wrote(test) > 0).collect();
    if writers.is_empty() {
        return;
    }
    let mut list = String::new();
    for test in writers.iter().take(WRITERS) {
        let mut files: Vec<String> = test.wrote.iter().take(FILES).map(|file| neutral::path(file)).collect();
        let more = wrote(test) - files.len() as u64;
        if more > 0 {
            files.push(format!("{more} more"));
        }
        let _ = writeln!(list, "- {} wrote {}", neutral::path(&test.name), files.join(", "));
    }
    if writers.len() > WRITERS {
        let _ = writeln!(list, "- … and {} more", writers.len() - WRITERS);
    }
    let noun = if writers.len() == 1 { "notebook wrote files" } else { "notebooks wrote files" };
    fold(text, &format!("{} {noun}", writers.len()), &list);
}

fn last_with_tests(run: &Run) -> Option<&TierRun> {
    let has_tests = |tier: &&TierRun| !tier.tier.is_opt_in && !tier.tests.is_empty();
    run.tiers.iter().rfind(has_tests).filter(|_| run.verdict.is_some())
}
