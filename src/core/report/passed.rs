//! What was good, folded.

use std::fmt::Write as _;

use super::fold;
use crate::core::neutral;
use crate::core::outcome::TestResult;
use crate::core::run::Run;

pub(super) fn write_passed(text: &mut String, run: &Run) {
    // Of a test that stands in several tiers, the last one is what people look for.
    let mut seen = std::collections::BTreeSet::new();
    let mut good: Vec<&TestResult> = run
        .tiers
        .iter()
        .rev()
        .filter(|tier| !tier.tier.is_opt_in)
        .flat_map(|tier| &tier.tests)
        .filter(|test| seen.insert(test.name.as_str()) && !test.outcome.is_bad())
        .collect();
    if good.is_empty() || run.verdict.is_none() {
        return;
    }
    good.sort_by(|a, b| a.outcome.cmp(&b.outcome).then(a.name.cmp(&b.name)));
    let mut list = String::new();
    for test in good.iter().take(100) {
        let why = if test.message.is_empty() {
            String::new()
        } else {
            format!(": {}", neutral::inline(&test.message, 120))
        };
        let seconds = match test.reused_from {
            Some(run) => format!(", reused from run {run}"),
            None if test.seconds >= 0.05 => format!(", {:.1} s", test.seconds),
            None => String::new(),
        };
        let _ = writeln!(list, "- {} {}{seconds}{why}", neutral::path(&test.name), test.outcome.words());
    }
    if good.len() > 100 {
        let _ = writeln!(list, "- … and {} more", good.len() - 100);
    }
    fold(text, "passed and skipped", &list);
}
