//! What failed, each with its place, its reason and what it left, for somebody who wants to mend it.

use std::fmt::Write as _;

use super::status::class_of;
use super::{View, fold, page_of};
use crate::core::outcome::TestResult;
use crate::core::result::{Origin, reproduce};
use crate::core::run::{Run, TierRun};
use crate::core::{deferred, neutral};

/// Lines of a traceback that are shown.
const TRACEBACK_LINES: usize = 15;

pub(super) fn write_failures(text: &mut String, view: &View<'_>, run: &Run, limit: usize) {
    let count = write_bad(text, view, run, false, limit);
    // What no single test shows is repeated as a whole.
    if count == 0 && run.bundle.is_some() {
        let page = page_of(view, run);
        write_repeat(text, &reproduce(run, origin(view, page.as_deref()), None));
    }
}

/// The failures of the default tiers, or of the opt-in ones; answers how many there are.
pub(super) fn write_bad(
    text: &mut String,
    view: &View<'_>,
    run: &Run,
    is_opt_in: bool,
    limit: usize,
) -> usize {
    let bad: Vec<(&TierRun, &TestResult)> = run
        .tiers
        .iter()
        .filter(|tier| tier.tier.is_opt_in == is_opt_in)
        .flat_map(|tier| tier.tests.iter().map(move |test| (tier, test)))
        .filter(|(_, test)| test.outcome.is_bad())
        .collect();
    let page = page_of(view, run);
    let origin = origin(view, page.as_deref());
    for (tier, test) in bad.iter().take(limit) {
        write_failure(text, run, tier, test);
        write_repeat(text, &reproduce(run, origin, tier.planned.contains(&test.name).then_some(&test.name)));
    }
    if bad.len() > limit {
        let _ = writeln!(text, "\n… and {} more.", bad.len() - limit);
    }
    bad.len()
}

fn origin<'a>(view: &View<'a>, page: Option<&'a str>) -> Origin<'a> {
    Origin { page_url: page, clone_url: view.clone_url, ..Origin::default() }
}

/// One command that comes to the same verdict elsewhere. In a block: names of strangers stand in it.
fn write_repeat(text: &mut String, command: &str) {
    fold(text, "repeat it", &neutral::block(command, 5, 4000));
}

fn write_failure(text: &mut String, run: &Run, tier: &TierRun, test: &TestResult) {
    let class = class_of(run, tier, test);
    let _ = writeln!(
        text,
        "\n#### {} {} — {}{}\n",
        if test.outcome.is_ours() { "?" } else { "✘" },
        neutral::path(&test.name),
        test.outcome.words(),
        class.map(|class| format!(" · {}", class.words())).unwrap_or_default()
    );
    if let Some(cell) = &test.cell {
        let mut place = format!("cell {}", cell.index);
        match (cell.code_index, cell.execution_count) {
            (Some(code), Some(count)) => {
                let _ = write!(place, " (code cell {code}, In [{count}])");
            }
            (Some(code), None) => {
                let _ = write!(place, " (code cell {code})");
            }
            _ => {}
        }
        if let Some(heading) = &cell.heading {
            let _ = write!(place, " under {}", neutral::inline(heading, 120));
        }
        let _ = writeln!(text, "Tier {}, {place}", tier.tier.name);
    } else {
        let _ = writeln!(text, "Tier {}", tier.tier.name);
    }
    if let Some(known) = deferred::known(run, test) {
        let _ = writeln!(text, "\n{}", neutral::inline(&known.words(), 200));
    }
    if let Some(exception) = &test.exception {
        let value = if exception.value.is_empty() {
            exception.name.clone()
        } else {
            format!("{}: {}", exception.name, exception.value)
        };
        let _ = writeln!(text, "\n{}", neutral::inline(&value, 400));
    } else if !test.message.is_empty() {
        let _ = writeln!(text, "\n{}", neutral::inline(&test.message, 400));
    }
    if let Some(excerpt) = test.cell.as_ref().and_then(|cell| cell.excerpt.as_ref()) {
        let _ = write!(text, "\n{}", neutral::block(excerpt, 20, 2000));
    }
    if let Some(exception) = test.exception.as_ref().filter(|exception| !exception.traceback.is_empty()) {
        let traceback = neutral::block(&exception.traceback.join("\n"), TRACEBACK_LINES, 4000);
        fold(text, "traceback", &traceback);
    }
    if !test.stderr.is_empty() {
        fold(text, "standard error", &neutral::block(&test.stderr, 10, 2000));
    }
}
