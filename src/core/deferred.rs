//! DEFERRED.md: what maintainers have put off on purpose, in the format in use among Co-op Cloud's CI maintainers.
//!
//! ```markdown
//! ## Open deferrals
//!
//! ### 2026-11-27 load-test
//!
//! - [ ] **What**: `extra/test_load.py::test_a_thousand_readers` passes.
//! - **Filed by**: the load tests
//! - **Reason for deferral**: needs an hour and a server.
//! - **Re-entry trigger**: a machine for it.
//! - **Linked IDEA / BACKLOG**: #12
//!
//! ## Closed deferrals
//! ```
//!
//! The file is its maintainers': it is read liberally where the meaning is clear, and changed only by adding. An entry is
//! added to the end of the open ones; closing ticks its box and adds one line. Where a closed entry stands is for people to
//! decide, so the box alone says whether it is open.

mod known;
mod outline;
mod proof;
mod read;
mod write;

use chrono::NaiveDate;
use serde::Serialize;

use super::mistake::Mistake;
use outline::Layout;

pub use known::{Known, known};
pub use proof::{AtHead, Missing, RunSeen, at_head, file_of, may_close};
pub use read::{read, read_bytes};
pub use write::{NewDeferral, add, close};

/// What the file is called, at the root of a repository.
pub const FILE: &str = "DEFERRED.md";

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;

/// One thing that was put off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deferral {
    /// Its heading without the date, in lower case and with hyphens: what it is called by.
    pub slug: String,
    /// Its heading without the date, as it reads.
    pub title: String,
    /// Since when.
    pub since: NaiveDate,
    /// Its box is ticked.
    pub is_closed: bool,
    /// What was put off; Markdown, as all of the following.
    pub what: String,
    /// Who did so, or which work.
    pub filed_by: String,
    /// Why.
    pub reason: String,
    /// What would bring it back.
    pub trigger: Option<String>,
    /// Where it is spoken of elsewhere.
    pub linked: Option<String>,
    /// The line that closed it.
    pub closed: Option<String>,
    /// What stands as code in `what`: tests that are expected to fail, if they are called so exactly.
    pub tests: Vec<String>,
}

/// An entry of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it says.
    pub deferral: Deferral,
    /// Where its heading stands, counted from 1.
    pub line: usize,
    layout: Layout,
}

/// The file, read.
#[derive(Debug, Clone, Default)]
pub struct Register {
    /// Every entry of which it is clear what it says, in the order of the file.
    pub entries: Vec<Entry>,
    /// Everything that is wrong, in the order of the file.
    pub mistakes: Vec<Mistake>,
}

impl Register {
    /// The entry that is called so.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        let slug = slug(name);
        self.entries.iter().find(|entry| entry.deferral.slug == slug)
    }

    /// What the entries say.
    pub fn deferrals(&self) -> impl Iterator<Item = &Deferral> {
        self.entries.iter().map(|entry| &entry.deferral)
    }
}

/// `Matrix: compress_state.sh` as `matrix-compress-state-sh`.
pub fn slug(title: &str) -> String {
    let lower = title.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests;
