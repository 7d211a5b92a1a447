//! Why a commit could not be fetched, told from git's own words.

use std::path::PathBuf;
use std::time::Duration;

use super::GitVersion;

/// Why there is no checkout. Details quote git, shortened to one line, without the credential; they may
/// contain a server's words.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("the forge has no commit {sha} here: {detail}")]
    NotFound { sha: String, detail: String },
    #[error("the forge refused the watch credential, or wants one: {detail}")]
    Refused { detail: String },
    #[error(
        "the forge sends the request to another address, which docent does not follow; has the repository been renamed? {detail}"
    )]
    Redirected { detail: String },
    #[error("the forge did not answer as it should: {detail}")]
    Unreachable { detail: String },
    #[error("the commit is too large: {what}; the operator can raise the limit")]
    TooLarge { what: String },
    #[error("fetching took longer than {} s", .after.as_secs())]
    TimedOut { after: Duration },
    #[error("the commit cannot be written safely: {what}")]
    Unsafe { what: String },
    #[error("there is no program {}: install git {} or newer", .program.display(), GitVersion::OLDEST)]
    Missing { program: PathBuf },
    #[error("git {found} is too old: {oldest} or newer is needed")]
    TooOld { found: GitVersion, oldest: GitVersion },
    #[error("{what}: {error}")]
    Disk { what: String, error: std::io::Error },
    #[error("git failed: {detail}")]
    Other { detail: String },
}

impl GitError {
    /// Whether the same fetch may well succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Disk { .. } | Self::Other { .. } => true,
            Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Redirected { .. }
            | Self::TooLarge { .. }
            | Self::Unsafe { .. }
            | Self::Missing { .. }
            | Self::TooOld { .. } => false,
        }
    }

    pub(super) fn disk(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Disk { what, error }
    }

    /// Names the commit, which the reader of git's words does not know.
    pub(super) fn about(self, sha: &str) -> Self {
        match self {
            Self::NotFound { detail, .. } => Self::NotFound { sha: sha.to_owned(), detail },
            other => other,
        }
    }

    /// From what git printed (in its C locale), already without credential. Lines that a server sent do not
    /// count, since it can write there what it wants.
    pub(super) fn from_words(words: &str, detail: String) -> Self {
        let own: Vec<&str> = words.lines().filter(|line| !line.starts_with("remote: ")).collect();
        let meaning = MEANINGS.iter().find(|(part, _)| own.iter().any(|line| line.contains(part)));
        match meaning.map(|(_, meaning)| meaning) {
            Some(Meaning::TooMuchMemory) => {
                Self::TooLarge { what: "one of its files needs too much memory".to_owned() }
            }
            Some(Meaning::Unsafe) => Self::Unsafe { what: detail },
            Some(Meaning::DiskFull) => Self::Disk {
                what: "git could not write".to_owned(),
                error: std::io::Error::from(std::io::ErrorKind::StorageFull),
            },
            Some(Meaning::NotFound) => Self::NotFound { sha: String::new(), detail },
            Some(Meaning::Refused) => Self::Refused { detail },
            Some(Meaning::Redirected) => Self::Redirected { detail },
            Some(Meaning::Unreachable) => Self::Unreachable { detail },
            None => Self::Other { detail },
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Meaning {
    TooMuchMemory,
    Unsafe,
    DiskFull,
    NotFound,
    Refused,
    Redirected,
    Unreachable,
}

/// git's words and what they mean; the first that is found counts, so that what follows from a failure does
/// not hide its cause.
const MEANINGS: &[(&str, Meaning)] = &[
    ("attempting to allocate", Meaning::TooMuchMemory),
    ("fsck error", Meaning::Unsafe),
    ("invalid path", Meaning::Unsafe),
    ("error in object", Meaning::Unsafe),
    ("malformed", Meaning::Unsafe),
    ("No space left on device", Meaning::DiskFull),
    ("Disk quota exceeded", Meaning::DiskFull),
    ("not our ref", Meaning::NotFound),
    ("find remote ref", Meaning::NotFound),
    ("unadvertised object", Meaning::NotFound),
    ("' not found", Meaning::NotFound),
    ("error: 404", Meaning::NotFound),
    ("error: 410", Meaning::NotFound),
    ("Authentication failed", Meaning::Refused),
    ("could not read Username", Meaning::Refused),
    ("could not read Password", Meaning::Refused),
    ("error: 401", Meaning::Refused),
    ("error: 403", Meaning::Refused),
    ("HTTP 401", Meaning::Refused),
    ("HTTP 403", Meaning::Refused),
    ("error: 30", Meaning::Redirected),
    ("HTTP 30", Meaning::Redirected),
    ("redirect", Meaning::Redirected),
    ("unable to access", Meaning::Unreachable),
    ("RPC failed", Meaning::Unreachable),
    ("hung up", Meaning::Unreachable),
    ("early EOF", Meaning::Unreachable),
    ("disconnect", Meaning::Unreachable),
    ("expected flush", Meaning::Unreachable),
    ("invalid server response", Meaning::Unreachable),
    ("bad line length", Meaning::Unreachable),
    ("is this a git repository", Meaning::Unreachable),
    ("protocol error", Meaning::Unreachable),
    ("dumb http", Meaning::Unreachable),
    ("index-pack failed", Meaning::Unreachable),
    ("remote error", Meaning::Unreachable),
];
