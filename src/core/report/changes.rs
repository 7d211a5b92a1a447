//! What the lock has that the one before it had not.

use super::fold;
use crate::core::lock::{LockChanges, Package, Since};
use crate::core::neutral;
use crate::core::run::Run;

/// Lines that are shown.
const LINES: usize = 60;

pub(super) fn write_changes(text: &mut String, run: &Run) {
    let Some(changes) = run.lock_changes.as_ref().filter(|changes| changes.count() > 0) else { return };
    let mut lines: Vec<String> = Vec::new();
    let shown = |text: &str| neutral::inline(text, 80);
    for moved in &changes.changed {
        lines.push(format!("- {} {} → {}", shown(&moved.name), shown(&moved.before), shown(&moved.after)));
    }
    let alone = |package: &Package, word: &str| {
        format!("- {} {} {word}", shown(&package.name), shown(&package.version))
    };
    lines.extend(changes.added.iter().map(|package| alone(package, "added")));
    lines.extend(changes.removed.iter().map(|package| alone(package, "removed")));
    let more = changes.count() - lines.len().min(LINES);
    lines.truncate(LINES);
    if more > 0 {
        lines.push(format!("- … and {more} more"));
    }
    fold(text, &summary(changes), &lines.join("\n"));
}

/// `3 packages differ from run 12`.
fn summary(changes: &LockChanges) -> String {
    let packages = match changes.count() {
        1 => "1 package differs".to_owned(),
        count => format!("{count} packages differ"),
    };
    match changes.since {
        Since::Run { run } => format!("{packages} from run {run}"),
        Since::Spec => format!("{packages} from what the spec had locked"),
    }
}
