//! The one HTTP client of all forge drivers, in two types that are apart on purpose.
//!
//! [`Watcher`] is what a watch driver holds: it can GET, and ask GraphQL a `query`. It has no method that writes, and
//! refuses a GraphQL text that is anything else. [`Writer`] is what a report driver holds, with a credential of its own.
//! Both speak to one host only: a redirect to another one is refused, so that a credential never travels; and all
//! clients of one host take turns, one request at a time.

pub mod answer;
mod clients;
mod limits;
mod turn;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base64::Engine;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::{ForgeError, ForgeErrorKind};
pub use answer::Answer;
pub use clients::{Watcher, Writer};
pub use limits::Budget;

/// Redirects followed for one request.
const HOPS: usize = 5;
/// Begins the text of the error of an answer that is larger than its bound.
const TOO_LARGE: &str = "the answer is larger than";

/// How long and how much one answer may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From the first byte sent to the last one read.
    pub time: Duration,
    /// Bytes of the body.
    pub body: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { time: Duration::from_secs(30), body: 32 << 20 }
    }
}

/// How a credential is shown to the forge.
#[derive(Debug, Clone)]
pub enum Authorisation {
    /// Not at all.
    Anonymous,
    /// `Authorization: <word> <secret>`.
    Token { word: &'static str, secret: SecretString },
    /// `Authorization: Basic …` with this account name.
    Basic { login: String, secret: SecretString },
}

/// The credential of a client. Shared by its clones and replaceable, because some forges' tokens live an hour.
#[derive(Clone)]
pub struct Credential(Arc<RwLock<Authorisation>>);

impl Credential {
    /// Holds `authorisation` until it is replaced.
    pub fn new(authorisation: Authorisation) -> Self {
        Self(Arc::new(RwLock::new(authorisation)))
    }

    /// Takes another one from the next request on.
    pub fn replace(&self, authorisation: Authorisation) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = authorisation;
    }

    fn now(&self) -> Authorisation {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where a client speaks to, and as whom.
#[derive(Clone)]
pub struct Line {
    forge: String,
    base: Url,
    client: reqwest::Client,
    credential: Credential,
    headers: Vec<(HeaderName, HeaderValue)>,
    bounds: Bounds,
    turn: turn::Turn,
    limits: Arc<Mutex<limits::Limits>>,
    requests: Arc<AtomicU64>,
}

impl Line {
    /// A line to `base` (the root of the API, with a slash at its end) for the forge called `forge`.
    pub fn new(forge: &str, base: Url, credential: Credential, bounds: Bounds) -> Result<Self, ForgeError> {
        let trouble = |detail: String| ForgeError {
            forge: forge.to_owned(),
            kind: ForgeErrorKind::Refused,
            what: "setting up the HTTP client".to_owned(),
            detail,
            retry_after: None,
        };
        let host = base.host_str().unwrap_or_default();
        if !matches!(base.scheme(), "http" | "https") || host.is_empty() {
            return Err(trouble(
                "the address must begin with https:// (or http://) and name a host".to_owned(),
            ));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(trouble("the address must not contain a credential; name one instead".to_owned()));
        }
        // A second call finds a provider installed, by us or by the embedding program: either will do.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("docent/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(bounds.time.min(Duration::from_secs(10)))
            .timeout(bounds.time)
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(1);
        if base.scheme() == "http" {
            // Redirects never leave the scheme, so a machine without certificates can still watch a forge beside it.
            builder = builder.tls_certs_only([]);
        }
        if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| trouble(answer::causes(&error.without_url())))?;
        Ok(Self {
            forge: forge.to_owned(),
            turn: turn::Turn::of(&base),
            base,
            client,
            credential,
            headers: vec![(ACCEPT, HeaderValue::from_static("application/json"))],
            bounds,
            limits: Arc::default(),
            requests: Arc::default(),
        })
    }

    /// Sends `value` as header `name` with every request, instead of what was sent before.
    pub fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// The text of the header and everything in it that must never be repeated.
    fn authorisation(&self) -> (Option<HeaderValue>, Vec<String>) {
        let (text, mut secrets) = match self.credential.now() {
            Authorisation::Anonymous => return (None, Vec::new()),
            Authorisation::Token { word, secret } => {
                let secret = secret.expose_secret().trim().to_owned();
                (format!("{word} {secret}"), vec![secret])
            }
            Authorisation::Basic { login, secret } => {
                let secret = secret.expose_secret().trim().to_owned();
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{login}:{secret}"));
                (format!("Basic {pair}"), vec![secret, pair])
            }
        };
        secrets.retain(|secret| !secret.is_empty());
        let header = HeaderValue::from_str(&text).ok().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        (header, secrets)
    }

    async fn send(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Answer, ForgeError> {
        let mut url = url;
        let what = format!("{method} {}", url.path());
        for _ in 0..=HOPS {
            let answer = self.send_once(&method, &url, body, &what).await?;
            let follows = match answer.status {
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => true,
                StatusCode::FOUND => method == Method::GET,
                _ => return Ok(answer),
            };
            let there = answer
                .headers
                .get(LOCATION)
                .and_then(|value| value.to_str().ok())
                .and_then(|location| url.join(location).ok());
            let Some(there) = there else {
                return Err(answer.error(ForgeErrorKind::Malformed, "a redirect that says not where to"));
            };
            if !follows {
                return Err(answer.error(ForgeErrorKind::Redirected, "a redirect of a request that writes"));
            }
            if !is_same_origin(&url, &there) {
                let detail = format!(
                    "redirects to {}, which is another host; set the forge's url to the address it answers at",
                    there.origin().ascii_serialization()
                );
                return Err(answer.error(ForgeErrorKind::Redirected, &detail));
            }
            url = there;
        }
        Err(self.error(ForgeErrorKind::Redirected, &what, format!("more than {HOPS} redirects in a row")))
    }

    async fn send_once(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&Value>,
        what: &str,
    ) -> Result<Answer, ForgeError> {
        let turn = self.turn.wait().await;
        if let Some(seconds) = self.limits().seconds_to_wait(Instant::now()) {
            let detail = format!("not asked: the forge wants no request for {seconds} s more");
            let mut error = self.error(ForgeErrorKind::Limited, what, detail);
            error.retry_after = Some(seconds);
            return Err(error);
        }
        let (authorisation, secrets) = self.authorisation();
        let mut request = self.client.request(method.clone(), url.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(value) = authorisation {
            request = request.header(AUTHORIZATION, value);
        } else if !secrets.is_empty() {
            let detail = "the credential has characters that no token has (a line end?)".to_owned();
            return Err(self.error(ForgeErrorKind::Unauthorised, what, detail));
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let unreachable = |error: reqwest::Error| {
            let detail = answer::scrub(&answer::causes(&error.without_url()), &secrets);
            self.error(ForgeErrorKind::Unreachable, what, detail)
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if bytes.len() + chunk.len() > self.bounds.body {
                let detail = format!("{TOO_LARGE} {} bytes", self.bounds.body);
                return Err(self.error(ForgeErrorKind::Malformed, what, detail));
            }
            bytes.extend_from_slice(&chunk);
        }
        drop(turn);
        let answer = Answer::new(
            &self.forge,
            what,
            response.status(),
            response.headers().clone(),
            bytes,
            began.elapsed(),
            secrets,
        );
        match self.limits().learn(&answer, Instant::now()) {
            Some(seconds) => {
                let mut error = answer.error(ForgeErrorKind::Limited, &answer.message());
                error.retry_after = Some(seconds);
                Err(error)
            }
            None => Ok(answer),
        }
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, limits::Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, kind: ForgeErrorKind, what: &str, detail: String) -> ForgeError {
        ForgeError { forge: self.forge.clone(), kind, what: what.to_owned(), detail, retry_after: None }
    }
}

/// The answer was refused for its size: a smaller page may do.
pub fn is_too_large(error: &ForgeError) -> bool {
    error.kind == ForgeErrorKind::Malformed && error.detail.starts_with(TOO_LARGE)
}

fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}
