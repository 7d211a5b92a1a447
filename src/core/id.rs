//! Identities. A name is for the reader; a number or a digest decides.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The full object id of one commit: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha(String);

/// Why a text is no commit id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a full commit id (40 or 64 hexadecimal digits): {0:?}")]
pub struct NotASha(String);

impl Sha {
    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl FromStr for Sha {
    type Err = NotASha;

    fn from_str(text: &str) -> Result<Self, NotASha> {
        let lower = text.to_ascii_lowercase();
        if matches!(lower.len(), 40 | 64) && lower.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(lower))
        } else {
            Err(NotASha(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for Sha {
    type Error = NotASha;

    fn try_from(text: String) -> Result<Self, NotASha> {
        text.parse()
    }
}

impl From<Sha> for String {
    fn from(sha: Sha) -> Self {
        sha.0
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha({})", self.short())
    }
}

/// A repository: the operator's name of the forge and the forge's own number, which survives a rename.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RepositoryId {
    /// `[[forge]] name` of the configuration.
    pub forge: String,
    /// The forge's number of the repository.
    pub number: u64,
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.forge, self.number)
    }
}

/// A pull request of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PullId {
    /// The repository into which it would merge.
    pub repository: RepositoryId,
    /// Its number there.
    pub number: u64,
}

impl fmt::Display for PullId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.repository, self.number)
    }
}

/// A branch of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BranchId {
    /// The repository.
    pub repository: RepositoryId,
    /// Its name, without `refs/heads/`.
    pub name: String,
}

impl fmt::Display for BranchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.name)
    }
}

/// What a push moves: a watched branch, or the head of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// A watched branch.
    Branch(BranchId),
    /// The head of a pull request.
    Pull(PullId),
}

impl Line {
    /// The repository in which it is watched.
    pub fn repository(&self) -> &RepositoryId {
        match self {
            Self::Branch(branch) => &branch.repository,
            Self::Pull(pull) => &pull.repository,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(branch) => branch.fmt(f),
            Self::Pull(pull) => pull.fmt(f),
        }
    }
}

/// Where a text with commands stands; comments and reviews are numbered apart on some forges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommentKind {
    /// A comment in the conversation of a pull request.
    Comment,
    /// The top-level text of a review.
    Review,
}

impl CommentKind {
    /// The word used in keys and on pages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Comment => "comment",
            Self::Review => "review",
        }
    }
}

/// One comment or review text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommentId {
    /// The repository in which it was written.
    pub repository: RepositoryId,
    /// Comment or review.
    pub kind: CommentKind,
    /// The forge's number of it.
    pub number: u64,
}

impl fmt::Display for CommentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.repository, self.kind.word(), self.number)
    }
}

/// A run. Numbers rise in the order in which runs were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One numbered try of one job: also the name of its container and of its directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptId {
    /// The run it belongs to.
    pub run: RunId,
    /// The tier (and job) it executes; letters, digits, `-` and `_` only.
    pub tier: String,
    /// Counted from 1.
    pub number: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}-{}-{}", self.run, self.tier, self.number)
    }
}

impl FromStr for AttemptId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (run, rest) = text.strip_prefix('r').and_then(|rest| rest.split_once('-')).ok_or(())?;
        let (tier, number) = rest.rsplit_once('-').ok_or(())?;
        Ok(Self {
            run: RunId(run.parse().map_err(drop)?),
            tier: tier.to_owned(),
            number: number.parse().map_err(drop)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_commit_ids_are_taken() {
        assert!("A".repeat(40).parse::<Sha>().is_ok_and(|sha| sha.as_str() == "a".repeat(40)));
        for bad in ["", "abc1234", &"g".repeat(40), &"a".repeat(41), "é", &format!("{}\n", "a".repeat(40))] {
            assert!(bad.parse::<Sha>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_attempt_id_survives_its_text() {
        let id = AttemptId { run: RunId(12), tier: "extra-long_one".into(), number: 2 };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("docent".parse::<AttemptId>(), Err(()));
    }
}
