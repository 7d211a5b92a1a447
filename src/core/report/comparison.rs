//! What the base says that stands beside no failure.

use std::fmt::Write as _;

use crate::core::baseline::{self, Class};
use crate::core::neutral;
use crate::core::outcome::Outcome;
use crate::core::run::Run;

/// Names in one line.
const NAMES: usize = 10;

pub(super) fn write_comparison(text: &mut String, run: &Run) {
    let Some(compared) = &run.baseline else { return };
    let base = compared.base.short();
    if let (Some(by), false) = (compared.by, compared.is_concluded) {
        let _ = writeln!(
            text,
            "\nRun {by} finds out which of the failed tests fail at `{base}` too, before this change."
        );
    }
    if baseline::is_let_pass(run) {
        let _ = writeln!(
            text,
            "\nNothing fails that did not fail before this change, and the recipe lets that pass."
        );
    }
    let outcome =
        |tier: &str, name: &str| Some(run.tier(tier)?.tests.iter().find(|test| test.name == name)?.outcome);
    for (class, words) in [(Class::Fixed, "Fixed by this change"), (Class::Flaky, "Passed, but flaky")] {
        let good = compared.classes.iter().filter(|it| it.class == class);
        let good = good.filter(|it| outcome(&it.tier, &it.name) == Some(Outcome::Passed));
        let names: std::collections::BTreeSet<&str> = good.map(|it| it.name.as_str()).collect();
        if names.is_empty() {
            continue;
        }
        let shown: Vec<String> = names.iter().take(NAMES).map(|name| neutral::path(name)).collect();
        let more = names.len().saturating_sub(NAMES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(text, "\n{words}: {}{more}", shown.join(", "));
    }
    if let Some(note) = &compared.note {
        let _ = writeln!(text, "\nCompared with `{base}`: {}", neutral::inline(note, 300));
    }
}
