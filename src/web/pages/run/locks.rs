//! What the lock of a run has that the one before it had not.

use crate::core::id::RunId;
use crate::core::lock::{LockChanges, Package, Since};
use crate::web::link;
use crate::web::text::Shown;

/// Changes that are shown; `result.json` has more.
const SHOWN: usize = 200;

pub struct Locks {
    /// The run that it is compared with; none: what the spec has from an earlier curation.
    pub run: Option<(RunId, String)>,
    pub count: usize,
    pub changes: Vec<Shown>,
}

impl Locks {
    pub fn new(changes: &LockChanges) -> Self {
        let moved = changes.changed.iter().map(|it| format!("{} {} → {}", it.name, it.before, it.after));
        let alone = |word: &'static str| move |it: &Package| format!("{} {} {word}", it.name, it.version);
        let all = moved
            .chain(changes.added.iter().map(alone("added")))
            .chain(changes.removed.iter().map(alone("removed")));
        Self {
            run: match changes.since {
                Since::Run { run } => Some((run, link::run(run))),
                Since::Spec => None,
            },
            count: changes.count(),
            changes: all.take(SHOWN).map(|line| Shown::line(&line, 200)).collect(),
        }
    }
}
