//! The report client: one comment per pull request, edited in place, and commit statuses. GitHub punishes fast writers, so
//! a second passes between two writes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use url::Url;

use super::mint::Purpose;
use super::{Access, GitHubCredential, Kind, api, json, line};
use crate::core::id::{PullId, Sha};
use crate::core::pull::{Actor, Repository};
use crate::forge::http::{Bounds, Writer};
use crate::forge::name::split;
use crate::forge::{ForgeError, ForgeErrorKind, Reporter, Status, StatusState};

/// Between two writes.
const PACE: Duration = Duration::from_secs(1);
/// Characters of a status' description.
const DESCRIPTION: usize = 140;
/// Pages of a hundred comments that are looked through.
const MOST: usize = 200;

/// Comments and sets statuses on GitHub.
pub struct GitHubReporter {
    name: String,
    writer: Writer,
    access: Access,
    account: Mutex<Option<Actor>>,
}

impl GitHubReporter {
    /// Reports to the forge at `url`, called `name`.
    pub fn new(
        name: &str,
        url: &Url,
        credential: GitHubCredential,
        bounds: Bounds,
    ) -> Result<Self, ForgeError> {
        let access = Access::new(name, url, credential, Purpose::Report, bounds)?;
        let writer = Writer::new(line(name, &api(url), access.credential.clone(), bounds)?, PACE);
        Ok(Self { name: name.to_owned(), writer, access, account: Mutex::default() })
    }

    async fn own_comment(
        &self,
        owner: &str,
        name: &str,
        pull: u64,
        marker: &str,
        own: &Actor,
    ) -> Result<Option<u64>, ForgeError> {
        let path = ["repos", owner, name, "issues", &pull.to_string(), "comments"];
        let mut answer = self.writer.get(&path, &[("per_page", "100")]).await?;
        for _ in 0..MOST {
            for item in answer.items()? {
                // One that cannot be read is not one that docent made.
                let Ok(comment) = answer.item::<json::Comment>(item) else { continue };
                let is_own = comment.user.as_ref().is_some_and(|user| user.id == own.number);
                if is_own && comment.body.as_ref().is_some_and(|body| body.contains(marker)) {
                    return Ok(Some(comment.id.get()));
                }
            }
            match self.writer.follow(&answer).await {
                Some(next) => answer = next?,
                None => return Ok(None),
            }
        }
        Ok(None)
    }
}

impl Reporter for GitHubReporter {
    async fn account(&self) -> Result<Actor, ForgeError> {
        if let Some(account) = self.account.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(account);
        }
        self.access.token().await?;
        let answer = match &self.access.kind {
            Kind::App(mint) => {
                let login = format!("{}[bot]", mint.app().await?.slug);
                self.writer.get(&["users", login.as_str()], &[]).await?
            }
            _ => self.writer.get(&["user"], &[]).await?,
        };
        let account = answer.json::<json::RestUser>()?.into_actor();
        let account =
            account.ok_or_else(|| answer.error(ForgeErrorKind::Malformed, "an account without a number"))?;
        *self.account.lock().unwrap_or_else(PoisonError::into_inner) = Some(account.clone());
        Ok(account)
    }

    async fn comment(
        &self,
        repository: &Repository,
        pull: &PullId,
        known: Option<u64>,
        marker: &str,
        body: &str,
    ) -> Result<u64, ForgeError> {
        self.access.token().await?;
        let (owner, name) = split(&self.name, &repository.name)?;
        let text = json!({ "body": body });
        let mut candidate = known;
        for _ in 0..2 {
            if let Some(number) = candidate {
                let path = ["repos", owner, name, "issues", "comments", &number.to_string()];
                match self.writer.patch(&path, &text).await {
                    Ok(_) => return Ok(number),
                    Err(error)
                        if matches!(error.kind, ForgeErrorKind::NotFound | ForgeErrorKind::Forbidden) => {}
                    Err(error) => return Err(error),
                }
            }
            let own = self.account().await?;
            let found = self.own_comment(owner, name, pull.number, marker, &own).await?;
            if found.is_none() || found == candidate {
                break;
            }
            candidate = found;
        }
        let path = ["repos", owner, name, "issues", &pull.number.to_string(), "comments"];
        let made: json::Comment = self.writer.post(&path, &text).await?.json()?;
        Ok(made.id.get())
    }

    async fn status(&self, repository: &Repository, sha: &Sha, status: &Status) -> Result<(), ForgeError> {
        self.access.token().await?;
        let (owner, name) = split(&self.name, &repository.name)?;
        let state = match status.state {
            StatusState::Pending => "pending",
            StatusState::Success => "success",
            StatusState::Failure => "failure",
            StatusState::Error => "error",
        };
        let description: String = status.description.chars().take(DESCRIPTION).collect();
        let mut body = json!({ "state": state, "context": status.context, "description": description });
        if let Some(target) = &status.target_url {
            body["target_url"] = json!(target);
        }
        self.writer.post(&["repos", owner, name, "statuses", sha.as_str()], &body).await.map(drop)
    }

    fn comment_limit(&self) -> usize {
        60_000
    }
}
