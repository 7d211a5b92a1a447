//! Makes the tokens of a GitHub App's installation.
//!
//! This is the one place outside the report clients where docent sends a POST that is no query: an installation token can
//! only be had that way, and asking for it is also what narrows it to reading. The type can do this, and ask the App about
//! itself, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;
use url::Url;

use crate::core::time::Time;
use crate::forge::http::{Authorisation, Bounds, Credential, Writer};
use crate::forge::{ForgeError, ForgeErrorKind};

/// A token is renewed so long before it expires: the longest clone of a run must not outlive it by much.
const EARLY: Duration = Duration::from_secs(600);

/// What a token is minted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Watch,
    Report,
}

impl Purpose {
    /// From what is wanted to what must do.
    fn permissions(self) -> Vec<serde_json::Value> {
        match self {
            Self::Watch => {
                vec![
                    json!({"metadata": "read", "contents": "read", "issues": "read", "pull_requests": "read"}),
                ]
            }
            Self::Report => vec![
                json!({"metadata": "read", "pull_requests": "write", "statuses": "write"}),
                json!({"metadata": "read", "pull_requests": "write"}),
                json!({"metadata": "read", "issues": "write"}),
            ],
        }
    }
}

/// What GitHub says that a token, or an App, may do.
pub type Rights = BTreeMap<String, String>;

pub struct Mint {
    name: String,
    writer: Writer,
    credential: Credential,
    app: String,
    installation: u64,
    key: EncodingKey,
    purpose: Purpose,
    minted: tokio::sync::Mutex<Option<Minted>>,
    /// The forge's clock, in seconds, and when it was read.
    clock: tokio::sync::Mutex<Option<(i64, Instant)>>,
}

#[derive(Clone)]
struct Minted {
    token: SecretString,
    rights: Rights,
    good_until: Instant,
}

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
}

#[derive(Deserialize)]
struct MintedAnswer {
    token: String,
    expires_at: Time,
    #[serde(default)]
    permissions: Rights,
}

/// The App, as it describes itself.
#[derive(Deserialize)]
pub struct App {
    pub slug: String,
    #[serde(default)]
    pub permissions: Rights,
}

impl Mint {
    pub fn new(
        name: &str,
        api: &Url,
        app: String,
        installation: u64,
        key: &SecretString,
        purpose: Purpose,
        bounds: Bounds,
    ) -> Result<Self, ForgeError> {
        let key = EncodingKey::from_rsa_pem(key.expose_secret().as_bytes()).map_err(|error| ForgeError {
            forge: name.to_owned(),
            kind: ForgeErrorKind::Unauthorised,
            what: "reading the App's private key".to_owned(),
            detail: format!("no RSA key in PEM form ({error}); take the file as GitHub gives it"),
            retry_after: None,
        })?;
        let credential = Credential::new(Authorisation::Anonymous);
        let writer = Writer::new(super::line(name, api, credential.clone(), bounds)?, Duration::ZERO);
        let (minted, clock) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self { name: name.to_owned(), writer, credential, app, installation, key, purpose, minted, clock })
    }

    /// A token that is good for some minutes at least.
    pub async fn token(&self) -> Result<SecretString, ForgeError> {
        self.minted().await.map(|minted| minted.token)
    }

    /// What the token may do, by the answer that made it.
    pub async fn rights(&self) -> Result<Rights, ForgeError> {
        self.minted().await.map(|minted| minted.rights)
    }

    /// What the App says of itself: what whoever holds its key could do.
    pub async fn app(&self) -> Result<App, ForgeError> {
        self.sign().await?;
        self.writer.get(&["app"], &[]).await?.json()
    }

    async fn minted(&self) -> Result<Minted, ForgeError> {
        let mut held = self.minted.lock().await;
        if let Some(minted) = held.as_ref().filter(|minted| minted.good_until > Instant::now()) {
            return Ok(minted.clone());
        }
        let installation = self.installation.to_string();
        let path = ["app", "installations", installation.as_str(), "access_tokens"];
        let mut refused = None;
        for permissions in self.purpose.permissions() {
            self.sign().await?;
            let asked = Instant::now();
            match self.writer.post(&path, &json!({ "permissions": permissions })).await {
                Ok(answer) => {
                    let made: MintedAnswer = answer.json().map_err(|mut error| {
                        // The answer holds a token: nothing of it may be repeated.
                        error.detail = "the answer that should hold a token cannot be understood".to_owned();
                        error
                    })?;
                    let life = (made.expires_at - answer.clock()?).to_std().unwrap_or_default();
                    let minted = Minted {
                        token: made.token.into(),
                        rights: made.permissions,
                        good_until: asked + life.saturating_sub(EARLY).max(life / 2),
                    };
                    *held = Some(minted.clone());
                    return Ok(minted);
                }
                // The App was not given one of these permissions.
                Err(error) if error.kind == ForgeErrorKind::Refused => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refused
            .unwrap_or_else(|| self.trouble("minting a token", "no permissions to ask for".to_owned())))
    }

    /// Signs the App's own short-lived credential, dated by the forge's clock: this machine's may be wrong, and GitHub
    /// refuses what is from the future by its own.
    async fn sign(&self) -> Result<(), ForgeError> {
        let mut clock = self.clock.lock().await;
        let (then, read) = match *clock {
            Some(known) => known,
            None => *clock.insert((self.writer.forge_clock().await?.timestamp(), Instant::now())),
        };
        let now = then.saturating_add(i64::try_from(read.elapsed().as_secs()).unwrap_or_default());
        let claims = Claims { iat: now - 60, exp: now + 540, iss: &self.app };
        let signed = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map_err(|error| self.trouble("signing as the App", error.to_string()))?;
        self.credential.replace(Authorisation::Token { word: "Bearer", secret: signed.into() });
        Ok(())
    }

    fn trouble(&self, what: &str, detail: String) -> ForgeError {
        ForgeError {
            forge: self.name.clone(),
            kind: ForgeErrorKind::Unauthorised,
            what: what.to_owned(),
            detail,
            retry_after: None,
        }
    }
}
