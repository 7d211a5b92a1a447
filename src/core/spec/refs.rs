//! Which commit a `ref` is, among those that a repository has.

use std::cmp::Ordering;

use super::section::quoted;
use crate::core::id::Sha;

/// A name that a repository has for a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRef {
    /// `refs/heads/main`, `refs/tags/2026.1`.
    pub name: String,
    /// What it points at: of an annotated tag, the tag.
    pub sha: Sha,
    /// Of an annotated tag, the commit.
    pub peeled: Option<Sha>,
}

/// What a `ref` turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The commit.
    pub sha: Sha,
    /// The branch or tag; nothing if the `ref` was the commit itself.
    pub name: Option<String>,
}

/// Why a `ref` is no commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCommit {
    /// Nothing is called so.
    #[error("there is no branch and no tag {shown}, and no tag of this name with `.<number>` behind; write one that exists, or a full commit id", shown = quoted(.0))]
    Unknown(String),
    /// It looks like a part of a commit id.
    #[error("{shown} may be the begin of a commit id; write all of its digits", shown = quoted(.0))]
    Short(String),
}

/// The commit of `wanted`. A full commit id is that commit, whatever branches and tags are called. Then the branch with exactly
/// this name, the tag with exactly this name, and of the tags `<wanted>.<number>` the one with the greatest number.
pub fn resolve(refs: &[RemoteRef], wanted: &str) -> Result<Resolved, NoCommit> {
    if let Ok(sha) = wanted.parse::<Sha>() {
        return Ok(Resolved { sha, name: None });
    }
    let found = |found: &RemoteRef, name: &str| Resolved {
        sha: found.peeled.clone().unwrap_or_else(|| found.sha.clone()),
        name: Some(name.to_owned()),
    };
    for folder in ["refs/heads/", "refs/tags/"] {
        let exact = |one: &&RemoteRef| {
            one.name.strip_prefix(folder) == Some(wanted) || one.name == wanted && wanted.starts_with(folder)
        };
        if let Some(exact) = refs.iter().find(exact) {
            return Ok(found(exact, exact.name.strip_prefix(folder).unwrap_or(wanted)));
        }
    }
    let number = |one: &RemoteRef| {
        let number = one.name.strip_prefix("refs/tags/")?.strip_prefix(wanted)?.strip_prefix('.')?;
        (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.to_owned())
    };
    let numbered = refs.iter().filter_map(|one| Some((number(one)?, one)));
    if let Some((_, last)) = numbered.max_by(|(one, _), (other, _)| by_value(one, other)) {
        return Ok(found(last, last.name.trim_start_matches("refs/tags/")));
    }
    if (7..40).contains(&wanted.len()) && wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(NoCommit::Short(wanted.to_owned()));
    }
    Err(NoCommit::Unknown(wanted.to_owned()))
}

/// Compares numbers of any length; of `1` and `01`, the shorter one counts as greater.
fn by_value(one: &str, other: &str) -> Ordering {
    let plain = |text: &str| text.trim_start_matches('0').to_owned();
    let (first, second) = (plain(one), plain(other));
    first.len().cmp(&second.len()).then(first.cmp(&second)).then(other.len().cmp(&one.len()))
}
