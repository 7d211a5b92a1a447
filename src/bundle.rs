//! Bundles as files: a `tar.gz` with what repeats a run, the same bytes for the same work.
//!
//! ```text
//! bundle.json                 what it is
//! lock/…                      what was resolved; not there where nothing was
//! repo/…                      the commit under test
//! references/FOLDER/…         other repositories of its spec
//! ```

mod fetch;
mod pack;
mod unpack;

pub use fetch::fetch;
pub use pack::{Part, pack};
pub use unpack::unpack;

/// Its first file.
const ABOUT: &str = "bundle.json";
/// Folder of what was resolved.
pub const LOCK: &str = "lock";
/// Folder of the commit under test.
pub const REPO: &str = "repo";
/// Folder of the other repositories of a spec.
pub const REFERENCES: &str = "references";

/// Bytes of a bundle's files, whoever made it.
const MOST_BYTES: u64 = 1 << 30;
/// Files in a bundle.
const MOST_FILES: usize = 50_000;
/// Bytes of [`ABOUT`].
const MOST_ABOUT: u64 = 4 << 20;

/// Why a bundle cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is none, or one that leads astray.
    #[error("this is no bundle of docent: {0}")]
    Unfit(String),
    /// It is larger than any that docent makes.
    #[error("the bundle is too large: more than {0}")]
    TooLarge(String),
    /// It is not there.
    #[error("the bundle cannot be fetched: {0}")]
    Unreachable(String),
    /// The disk.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

fn disk(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> BundleError {
    move |source| BundleError::Io { what: what.to_string(), source }
}

/// Where a link leads stays in its folder, whatever other such links there are: upwards only at its beginning, and not further than
/// to the top. `depth` is how many folders the link is below the top.
fn stays_inside(depth: usize, target: &std::path::Path) -> bool {
    use std::path::Component::{CurDir, Normal, ParentDir};
    let mut ups = 0;
    let mut has_gone_down = false;
    for component in target.components() {
        match component {
            ParentDir if !has_gone_down => ups += 1,
            Normal(_) => has_gone_down = true,
            CurDir => {}
            _ => return false,
        }
    }
    ups <= depth && !target.as_os_str().is_empty()
}

#[cfg(test)]
mod tests;
