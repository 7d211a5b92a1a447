//! Fetches one commit with the `git` program, and gives the repository no say in how.
//!
//! What arrives was written by strangers, and git has many features that let a repository decide what happens
//! on the machine that checks it out: hooks, filters, submodules, LFS, replacement refs, links out of the
//! tree. None of them is needed to read files, so all are switched off: git runs in an empty environment with
//! configuration by environment variables only, may speak nothing but HTTP(S) to the one address it was
//! given, and writes plain bytes. Links are made by docent itself, and only those that stay inside the tree.
//!
//! The credential travels in an environment variable and nowhere else: arguments can be read by every user of
//! the machine, files outlive their use, URLs end up in logs. Redirects are not followed, so it reaches one
//! host only.
//!
//! A checkout appears at its final place by one rename or not at all. It survives the death of this process;
//! against a power failure the caller must drop what is younger than the last boot.

mod compare;
mod error;
mod file;
mod local;
mod program;
mod refs;
mod tree;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use url::Url;

pub use compare::Judge;
pub use error::GitError;
pub use local::Local;

use program::{Environment, Scratch};

/// First part of the name of a directory in which a fetch works, beside the final one. What is left of it
/// after a crash may be removed at any time when no fetch runs.
pub const SCRATCH_PREFIX: &str = ".docent-fetch-";

/// Where the fetched commit is kept while git works; any name that no repository can advertise does.
const FETCHED: &str = "refs/docent/fetched";

/// The `git` program.
#[derive(Debug, Clone)]
pub struct Git {
    program: PathBuf,
}

/// Where a commit comes from.
#[derive(Debug, Clone)]
pub struct FetchSource {
    /// The repository over HTTP or HTTPS, without user name and password.
    pub url: Url,
    pub credential: Option<BasicCredential>,
    /// A ref whose tip may be the commit when the forge does not give the commit by its SHA,
    /// such as `refs/pull/7/head`. Taken only if it is that very commit.
    pub fallback_ref: Option<String>,
}

/// What forges take for git over HTTP: a token as the password of Basic authentication.
#[derive(Debug, Clone)]
pub struct BasicCredential {
    pub username: String,
    pub token: SecretString,
}

/// What a fetch may cost.
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// For everything together.
    pub timeout: Duration,
    /// For what is received, and again for the files that come of it.
    pub max_bytes: u64,
    pub max_files: u64,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(600), max_bytes: 2 << 30, max_files: 100_000 }
    }
}

/// What stands in the directory after a fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkout {
    /// Files and links.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
    /// The directory was there before. The lists below are then empty.
    pub existed: bool,
    /// Links that would lead out of the tree; files with the link's text stand in their place.
    pub withheld_links: Vec<String>,
    /// Places of submodules, which are not fetched and are empty directories.
    pub submodules: Vec<String>,
}

/// A version of git.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitVersion {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl GitVersion {
    /// The first that takes its configuration from numbered environment variables.
    pub const OLDEST: Self = Self { major: 2, minor: 31, patch: 0 };
}

impl std::fmt::Display for GitVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Default for Git {
    fn default() -> Self {
        Self::new("git")
    }
}

impl Git {
    /// `program` is a path, or a name to be found in `PATH`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// The version of the program.
    ///
    /// # Errors
    /// [`GitError::Missing`] if there is none, [`GitError::TooOld`] if it cannot be used safely.
    pub async fn version(&self) -> Result<GitVersion, GitError> {
        let scratch = Scratch::new(&std::env::temp_dir())?;
        let environment = Environment::new(&self.program, &scratch);
        let deadline = Instant::now() + Duration::from_secs(30);
        let text = environment.output(scratch.path(), &["--version"], deadline).await?;
        let version = parse_version(&text)
            .ok_or_else(|| GitError::Other { detail: format!("unknown answer to --version: {text:?}") })?;
        if version < GitVersion::OLDEST {
            return Err(GitError::TooOld { found: version, oldest: GitVersion::OLDEST });
        }
        Ok(version)
    }

    /// Puts the files of the commit `sha` (a full one) into the directory `into`, which must be named by that
    /// SHA: when it exists already, it is taken as done. Otherwise it comes into being whole, by a rename,
    /// and its parent must exist.
    ///
    /// Calling this twice, at once or after a crash, is harmless. Dropping the future ends all processes.
    ///
    /// # Errors
    /// See [`GitError`]; nothing is left behind.
    pub async fn fetch(
        &self,
        source: &FetchSource,
        sha: &str,
        into: &Path,
        limits: &FetchLimits,
    ) -> Result<Checkout, GitError> {
        if let Some(checkout) = tree::existing(into)? {
            return Ok(checkout);
        }
        let deadline = Instant::now() + limits.timeout;
        let parent = into.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let scratch = Scratch::new(parent)?;
        let fetch = Fetch::new(self, source, sha, limits, deadline, &scratch)?;
        tree::prepare(&fetch.git_dir, &fetch.work_tree, sha.len() == 64)?;
        fetch.receive().await?;
        // Both only read. Whether it is the right commit comes first: what else is wrong with another is nobody's concern.
        let (verified, listing) = tokio::join!(fetch.verify(), fetch.list());
        verified?;
        let checkout = fetch.check_out(listing?).await?;
        tree::move_into_place(&fetch.work_tree, into)?;
        Ok(checkout)
    }
}

impl FetchSource {
    fn check(&self) -> Result<(), GitError> {
        let other = |detail: String| Err(GitError::Other { detail });
        if !matches!(self.url.scheme(), "http" | "https") {
            return other(format!("{:?} is not fetched from: http and https only", self.url.scheme()));
        }
        if !self.url.username().is_empty() || self.url.password().is_some() {
            return other("a repository's address must not contain a user name or password".to_owned());
        }
        Ok(())
    }
}

/// One fetch under way.
struct Fetch<'a> {
    source: &'a FetchSource,
    sha: &'a str,
    limits: &'a FetchLimits,
    deadline: Instant,
    environment: Environment,
    /// Outside the work tree, so that no `.git` ever stands beside the files.
    git_dir: PathBuf,
    work_tree: PathBuf,
}

impl<'a> Fetch<'a> {
    fn new(
        git: &Git,
        source: &'a FetchSource,
        sha: &'a str,
        limits: &'a FetchLimits,
        deadline: Instant,
        scratch: &Scratch,
    ) -> Result<Self, GitError> {
        let other = |detail: String| GitError::Other { detail };
        if !is_full_sha(sha) {
            return Err(other(format!("{sha:?} is no full SHA in lower case")));
        }
        source.check()?;
        if let Some(name) = &source.fallback_ref
            && !is_plain_ref(name)
        {
            return Err(other(format!("{name:?} is no name of a ref")));
        }
        let mut environment = Environment::new(&git.program, scratch);
        environment.limit(limits);
        environment.allow(&source.url);
        if let Some(credential) = &source.credential {
            environment.authenticate(&source.url, credential);
        }
        let git_dir = scratch.path().join("git");
        let work_tree = scratch.path().join("tree");
        Ok(Self { source, sha, limits, deadline, environment, git_dir, work_tree })
    }

    /// The commit by its SHA; if the forge does not give it so, by the ref that should end in it.
    async fn receive(&self) -> Result<(), GitError> {
        match (self.receive_one(self.sha, FETCHED).await, &self.source.fallback_ref) {
            (Err(GitError::NotFound { .. }), Some(name)) => self.receive_one(name, FETCHED).await,
            (done, _) => done,
        }
    }

    async fn verify(&self) -> Result<(), GitError> {
        let found = self.commit_at(FETCHED).await?;
        if found != self.sha {
            let detail = format!("the forge gave {found} instead");
            return Err(GitError::NotFound { sha: self.sha.to_owned(), detail });
        }
        Ok(())
    }

    /// The commit that was received under this name.
    async fn commit_at(&self, name: &str) -> Result<String, GitError> {
        let commit = format!("{name}^{{commit}}");
        Ok(self.run(&["rev-parse", "--verify", "--quiet", &commit]).await?.trim().to_owned())
    }

    async fn receive_one(&self, what: &str, into: &str) -> Result<(), GitError> {
        let refspec = format!("+{what}:{into}");
        let url = self.source.url.as_str();
        let args = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--depth=1",
            "--refmap=",
            url,
            &refspec,
        ];
        let args = self.args(&args);
        let watched = Some((self.git_dir.as_path(), self.limits.max_bytes));
        self.environment
            .run(&self.work_tree, &args, self.deadline, watched, |_| Ok(()))
            .await
            .map_err(|error| error.about(self.sha))
    }

    /// All files of the commit, refused before a single one is written if there are too many or too much.
    async fn list(&self) -> Result<tree::Listing, GitError> {
        let mut listing = tree::Listing::new(self.limits);
        let args = self.args(&["ls-tree", "-r", "-l", "-z", "--full-tree", self.sha]);
        self.environment
            .run(&self.work_tree, &args, self.deadline, None, |bytes| listing.read(bytes))
            .await?;
        listing.finish()
    }

    async fn check_out(&self, listing: tree::Listing) -> Result<Checkout, GitError> {
        self.run(&["read-tree", "--reset", "-u", self.sha]).await?;
        let work_tree = self.work_tree.clone();
        let made = tokio::task::spawn_blocking(move || listing.link(&work_tree)).await;
        made.map_err(|error| GitError::Other { detail: error.to_string() })?
    }

    async fn run(&self, args: &[&str]) -> Result<String, GitError> {
        self.environment.output(&self.work_tree, &self.args(args), self.deadline).await
    }

    fn args(&self, args: &[&str]) -> Vec<std::ffi::OsString> {
        let mut all = Vec::with_capacity(args.len() + 2);
        for (flag, path) in [("--git-dir=", &self.git_dir), ("--work-tree=", &self.work_tree)] {
            let mut arg = std::ffi::OsString::from(flag);
            arg.push(path);
            all.push(arg);
        }
        all.extend(args.iter().map(OsStr::new).map(OsStr::to_owned));
        all
    }
}

impl BasicCredential {
    fn encoded(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(format!(
            "{}:{}",
            self.username,
            self.token.expose_secret()
        ))
    }
}

fn is_full_sha(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Only what forges themselves name; git's own rules allow more.
pub fn is_plain_ref(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    name.starts_with("refs/") && name.chars().all(is_plain) && !name.contains("..") && name.len() <= 255
}

fn parse_version(text: &str) -> Option<GitVersion> {
    let numbers = text.trim().strip_prefix("git version ")?;
    let mut parts = numbers.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    let (major, minor) = (parts.next()??, parts.next()??);
    Some(GitVersion { major, minor, patch: parts.next().flatten().unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_kinds_are_read() {
        let version = |major, minor, patch| Some(GitVersion { major, minor, patch });
        assert_eq!(parse_version("git version 2.39.5\n"), version(2, 39, 5));
        assert_eq!(parse_version("git version 2.50.1 (Apple Git-155)"), version(2, 50, 1));
        assert_eq!(parse_version("git version 2.51.0.windows.1"), version(2, 51, 0));
        assert_eq!(parse_version("git version 2.52-rc1"), version(2, 52, 0));
        assert_eq!(parse_version("hub version 1"), None);
        assert_eq!(parse_version(""), None);
    }

    #[test]
    fn only_plain_refs_are_asked_for() {
        assert!(is_plain_ref("refs/pull/7/head"));
        for name in
            ["HEAD", "-x", "refs/a:refs/b", "refs/*", "refs/a..b", "refs/a b", "refs/\u{e9}", "+refs/x"]
        {
            assert!(!is_plain_ref(name), "{name}");
        }
    }
}
