//! All forges as one type, so that floor 3 names a driver once and everything else stays generic.

use url::Url;

use super::gitea::{Gitea, GiteaReporter, ProbedRight, WriteProbe};
use super::github::{GitHub, GitHubCredential, GitHubReporter};
use super::http::Bounds;
use super::{
    CloneSource, Cursor, Forge, ForgeError, ForgeErrorKind, Poll, Proof, Question, Reporter, Status, Watch,
};
use crate::core::id::{CommentId, PullId, Sha};
use crate::core::pull::{Actor, Examination, Repository};

/// Which driver speaks to a forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgeKind {
    /// github.com or a GitHub Enterprise server.
    GitHub,
    /// Gitea.
    Gitea,
    /// Forgejo: the same driver.
    Forgejo,
}

/// What a driver needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[[forge]] name`.
    pub name: String,
    /// `[[forge]] kind`.
    pub kind: ForgeKind,
    /// Its web address.
    pub url: Url,
    /// The credential, read. An App's is for GitHub only.
    pub credential: GitHubCredential,
    /// Number of the account that reports, where its token may not say.
    pub own_account: Option<u64>,
    /// How long and how much one answer may be.
    pub bounds: Bounds,
}

impl Settings {
    fn token(&self) -> Result<Option<secrecy::SecretString>, ForgeError> {
        match &self.credential {
            GitHubCredential::Anonymous => Ok(None),
            GitHubCredential::Token(token) => Ok(Some(token.clone())),
            GitHubCredential::App { .. } => Err(self.refusal("Apps are a thing of GitHub: use a token here")),
        }
    }

    fn refusal(&self, detail: &str) -> ForgeError {
        ForgeError {
            forge: self.name.clone(),
            kind: ForgeErrorKind::Refused,
            what: "setting up the forge".to_owned(),
            detail: detail.to_owned(),
            retry_after: None,
        }
    }
}

/// Any watch driver.
pub enum AnyForge {
    /// GitHub.
    GitHub(Box<GitHub>),
    /// Gitea and Forgejo.
    Gitea(Box<Gitea>),
}

impl AnyForge {
    /// The driver for `settings`, which hold the watch credential.
    pub fn new(settings: &Settings) -> Result<Self, ForgeError> {
        let Settings { name, kind, url, credential, bounds, .. } = settings;
        Ok(match kind {
            ForgeKind::GitHub => Self::GitHub(Box::new(GitHub::new(name, url, credential.clone(), *bounds)?)),
            ForgeKind::Gitea | ForgeKind::Forgejo => {
                Self::Gitea(Box::new(Gitea::new(name, url, settings.token()?, *bounds)?))
            }
        })
    }
}

/// Hands the call to whichever driver it is.
macro_rules! each {
    ($any:expr, $type:ident, $driver:ident => $call:expr) => {
        match $any {
            $type::GitHub($driver) => $call,
            $type::Gitea($driver) => $call,
        }
    };
}

impl Forge for AnyForge {
    fn name(&self) -> &str {
        each!(self, AnyForge, driver => driver.name())
    }

    async fn repository(&self, name: &str) -> Result<Repository, ForgeError> {
        each!(self, AnyForge, driver => driver.repository(name).await)
    }

    async fn poll(&self, watch: Watch<'_>, cursor: &Cursor) -> Result<Poll, ForgeError> {
        each!(self, AnyForge, driver => driver.poll(watch, cursor).await)
    }

    async fn examine(
        &self,
        repository: &Repository,
        comment: &CommentId,
        pull: u64,
        question: &Question,
    ) -> Result<Examination, ForgeError> {
        each!(self, AnyForge, driver => driver.examine(repository, comment, pull, question).await)
    }

    async fn prove(&self, repositories: &[Repository]) -> Result<Proof, ForgeError> {
        each!(self, AnyForge, driver => driver.prove(repositories).await)
    }

    async fn clone_source(
        &self,
        repository: &Repository,
        pull: Option<u64>,
    ) -> Result<(CloneSource, Option<String>), ForgeError> {
        each!(self, AnyForge, driver => driver.clone_source(repository, pull).await)
    }
}

/// Any report client.
pub enum AnyReporter {
    /// GitHub.
    GitHub(Box<GitHubReporter>),
    /// Gitea and Forgejo.
    Gitea(Box<GiteaReporter>),
}

impl AnyReporter {
    /// The report client for `settings`, which hold the report credential.
    pub fn new(settings: &Settings) -> Result<Self, ForgeError> {
        let Settings { name, kind, url, credential, own_account, bounds } = settings;
        Ok(match kind {
            ForgeKind::GitHub => {
                Self::GitHub(Box::new(GitHubReporter::new(name, url, credential.clone(), *bounds)?))
            }
            ForgeKind::Gitea | ForgeKind::Forgejo => {
                let token = settings.token()?;
                let token =
                    token.ok_or_else(|| settings.refusal("nobody can comment without a credential"))?;
                Self::Gitea(Box::new(GiteaReporter::new(name, url, token, *bounds)?.of_account(*own_account)))
            }
        })
    }
}

impl Reporter for AnyReporter {
    async fn account(&self) -> Result<Actor, ForgeError> {
        each!(self, AnyReporter, driver => driver.account().await)
    }

    async fn comment(
        &self,
        repository: &Repository,
        pull: &PullId,
        known: Option<u64>,
        marker: &str,
        body: &str,
    ) -> Result<u64, ForgeError> {
        each!(self, AnyReporter, driver => driver.comment(repository, pull, known, marker, body).await)
    }

    async fn status(&self, repository: &Repository, sha: &Sha, status: &Status) -> Result<(), ForgeError> {
        each!(self, AnyReporter, driver => driver.status(repository, sha, status).await)
    }

    fn comment_limit(&self) -> usize {
        each!(self, AnyReporter, driver => driver.comment_limit())
    }
}

/// What `docent doctor --probe-writes` asks of a forge: see [`WriteProbe`]. GitHub has no write that cannot succeed and
/// still tells, so it is not probed.
pub async fn probe_writes(settings: &Settings) -> Result<Option<Vec<ProbedRight>>, ForgeError> {
    match settings.kind {
        ForgeKind::GitHub => Ok(None),
        ForgeKind::Gitea | ForgeKind::Forgejo => {
            let probe = WriteProbe::new(&settings.name, &settings.url, settings.token()?, settings.bounds)?;
            probe.probe().await.map(Some)
        }
    }
}
