//! What GET cannot show, a person may ask for: `docent doctor --probe-writes`.
//!
//! Forgejo looks at the scope of a token before it looks for the repository. A write at a repository that cannot exist is
//! therefore refused for the scope (403) or for the repository (404), and changes nothing. The daemon never does this, and
//! the watch driver has no way to: this is a client of its own, made from the same credential.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use url::Url;

use super::line;
use crate::forge::http::{Bounds, Writer};
use crate::forge::{ForgeError, ForgeErrorKind};

/// A name that no forge gives to an account: it begins with a dash.
const NOBODY: &str = "-docent-no-such-owner-";

/// One right and whether the token has it; none when the answer does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbedRight {
    /// As the forge names it.
    pub right: &'static str,
    /// The token has it.
    pub is_held: Option<bool>,
    /// What the forge answered.
    pub evidence: String,
}

/// Probes what a credential may write, by writes that cannot succeed.
pub struct WriteProbe(Writer);

impl WriteProbe {
    /// For the forge at `url`, called `name`.
    pub fn new(
        name: &str,
        url: &Url,
        token: Option<SecretString>,
        bounds: Bounds,
    ) -> Result<Self, ForgeError> {
        Ok(Self(Writer::new(line(name, url, token, bounds)?, Duration::ZERO)))
    }

    /// Asks for each right in turn.
    pub async fn probe(&self) -> Result<Vec<ProbedRight>, ForgeError> {
        let repository = ["repos", NOBODY, NOBODY, "statuses", "0"];
        let issue = ["repos", NOBODY, NOBODY, "issues", "comments", "0", "reactions"];
        let mut rights = Vec::new();
        for (right, path) in [("write:repository", &repository[..]), ("write:issue", &issue[..])] {
            let (is_held, evidence) = match self.0.post(path, &json!({})).await {
                Ok(answer) => (Some(true), format!("{}", answer.status)),
                Err(error) => match error.kind {
                    ForgeErrorKind::NotFound | ForgeErrorKind::Refused => (Some(true), error.detail),
                    ForgeErrorKind::Forbidden => {
                        (error.detail.contains("scope").then_some(false), error.detail)
                    }
                    _ => return Err(error),
                },
            };
            rights.push(ProbedRight { right, is_held, evidence });
        }
        Ok(rights)
    }
}
