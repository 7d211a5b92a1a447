//! The report client: one comment per pull request, edited in place, and commit statuses.
//!
//! It works with a token of `write:issue` alone. Such a token cannot ask who it belongs to, so the operator can say it, and
//! else the account is learnt from the first comment that is made. Until then a comment is recognised by its marker only.
//! Strangers can copy a marker, and an account that may push may edit anybody's comment: where it may not, the edit is
//! refused (403), which leads on to the next candidate and at last to a new comment.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use url::Url;

use super::{json, line};
use crate::core::id::{PullId, Sha};
use crate::core::pull::{Actor, Repository};
use crate::forge::http::{Answer, Bounds, Writer};
use crate::forge::name::split;
use crate::forge::{ForgeError, ForgeErrorKind, Reporter, Status, StatusState};

/// Candidates that are tried before a new comment is made.
const TRIES: usize = 5;

/// Comments and sets statuses on Gitea and Forgejo.
pub struct GiteaReporter {
    name: String,
    writer: Writer,
    account: Mutex<Option<Actor>>,
    /// Number of the account, as the operator says.
    stated: Option<u64>,
}

impl GiteaReporter {
    /// Reports to the forge at `url`, called `name`.
    pub fn new(name: &str, url: &Url, token: SecretString, bounds: Bounds) -> Result<Self, ForgeError> {
        let writer = Writer::new(line(name, url, Some(token), bounds)?, Duration::ZERO);
        Ok(Self { name: name.to_owned(), writer, account: Mutex::default(), stated: None })
    }

    /// Reports as this account, where the token may not say whose it is: no other account's comment is ever edited.
    pub fn of_account(self, number: Option<u64>) -> Self {
        Self { stated: number, ..self }
    }

    fn known_account(&self) -> Option<Actor> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, account: Option<Actor>) {
        if let Some(account) = account {
            self.account.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(account);
        }
    }

    async fn edit(&self, owner: &str, name: &str, number: u64, body: &str) -> Result<Answer, ForgeError> {
        let path = ["repos", owner, name, "issues", "comments", &number.to_string()];
        self.writer.patch(&path, &json!({ "body": body })).await
    }

    /// Numbers of the comments that may be docent's own, oldest first. Where the list is too large to be read, none:
    /// a second comment is better than no report.
    async fn candidates(
        &self,
        owner: &str,
        name: &str,
        pull: u64,
        marker: &str,
    ) -> Result<Vec<u64>, ForgeError> {
        let answer =
            self.writer.get(&["repos", owner, name, "issues", &pull.to_string(), "comments"], &[]).await;
        let answer = match answer {
            Err(error) if crate::forge::http::is_too_large(&error) => return Ok(Vec::new()),
            answer => answer?,
        };
        let own = self.known_account().map(|own| own.number).or(self.stated);
        let mut numbers = Vec::new();
        for item in answer.items()? {
            // One that cannot be read is not one that docent made.
            let Ok(comment) = answer.item::<json::Comment>(item) else { continue };
            let (number, author, body) = comment.author();
            let is_own = own.is_none_or(|own| author.is_some_and(|author| author.number == own));
            if is_own && body.contains(marker) {
                numbers.push(number);
            }
        }
        Ok(numbers)
    }
}

impl Reporter for GiteaReporter {
    async fn account(&self) -> Result<Actor, ForgeError> {
        if let Some(account) = self.known_account() {
            return Ok(account);
        }
        let answer = self.writer.get(&["user"], &[]).await?;
        let account = answer.json::<json::User>()?.into_actor();
        self.learn(account.clone());
        account.ok_or_else(|| answer.error(ForgeErrorKind::Malformed, "an account without a number"))
    }

    async fn comment(
        &self,
        repository: &Repository,
        pull: &PullId,
        known: Option<u64>,
        marker: &str,
        body: &str,
    ) -> Result<u64, ForgeError> {
        let (owner, name) = split(&self.name, &repository.name)?;
        if let Some(known) = known {
            match self.edit(owner, name, known, body).await {
                Ok(_) => return Ok(known),
                Err(error) if is_not_ours(&error) => {}
                Err(error) => return Err(error),
            }
        }
        if self.known_account().is_none() && self.stated.is_none() {
            // May be refused for the scope; then the marker has to do.
            match self.account().await {
                Ok(_) => {}
                Err(error) if !error.is_passing() => {}
                Err(error) => return Err(error),
            }
        }
        for number in self.candidates(owner, name, pull.number, marker).await?.into_iter().take(TRIES) {
            match self.edit(owner, name, number, body).await {
                Ok(_) => return Ok(number),
                Err(error) if is_not_ours(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let path = ["repos", owner, name, "issues", &pull.number.to_string(), "comments"];
        let made: json::Comment = self.writer.post(&path, &json!({ "body": body })).await?.json()?;
        let (number, author, _) = made.author();
        self.learn(author);
        Ok(number)
    }

    async fn status(&self, repository: &Repository, sha: &Sha, status: &Status) -> Result<(), ForgeError> {
        let (owner, name) = split(&self.name, &repository.name)?;
        let state = match status.state {
            StatusState::Pending => "pending",
            StatusState::Success => "success",
            StatusState::Failure => "failure",
            StatusState::Error => "error",
        };
        let mut body =
            json!({ "state": state, "context": status.context, "description": status.description });
        if let Some(target) = &status.target_url {
            body["target_url"] = json!(target);
        }
        self.writer.post(&["repos", owner, name, "statuses", sha.as_str()], &body).await.map(drop)
    }

    fn comment_limit(&self) -> usize {
        64 << 10
    }
}

/// The comment is gone, or somebody else's: another one has to be found or made.
fn is_not_ours(error: &ForgeError) -> bool {
    matches!(error.kind, ForgeErrorKind::NotFound | ForgeErrorKind::Forbidden)
}
