//! The part of the OCI distribution protocol that spec images take: tags, manifests, blobs, and logging in.

use std::sync::{Mutex, PoisonError};

use base64::Engine;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use http_auth::parser::ChallengeParser;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::image::{Blob, MANIFEST_TYPE};
use super::line::{Answer, Line, Request};
use super::trouble::{PublishError, PublishErrorKind as Kind};

/// Manifests that docent reads.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// How an account shows itself to a registry.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Its login. Registries that take tokens take any.
    pub login: String,
    /// Its password or token.
    pub secret: SecretString,
}

impl Credential {
    /// `LOGIN:SECRET`, or a token alone.
    pub fn read(text: &SecretString) -> Self {
        let (login, secret) =
            text.expose_secret().split_once(':').unwrap_or(("docent", text.expose_secret()));
        Self { login: login.to_owned(), secret: SecretString::from(secret) }
    }

    fn header(&self) -> Option<HeaderValue> {
        let pair = format!("{}:{}", self.login, self.secret.expose_secret());
        sensitive(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
    }
}

/// One repository, spoken to.
pub(super) struct Repository {
    pub line: Line,
    name: String,
    credential: Option<Credential>,
    /// What to show, once the registry has said how: to read, or to read and write.
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    header: Option<HeaderValue>,
    may_write: bool,
}

/// What is about to be done, and so what the token has to allow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Read,
    Write,
}

impl Repository {
    pub(super) fn new(line: Line, name: String, credential: Option<Credential>) -> Self {
        Self { line, name, credential, shown: Mutex::default() }
    }

    /// One page of tags, after `last`.
    pub(super) async fn tags(&self, count: usize, last: Option<&str>) -> Result<Vec<String>, PublishError> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut url = self.url("tags/list");
        url.query_pairs_mut().append_pair("n", &count.to_string());
        if let Some(last) = last {
            url.query_pairs_mut().append_pair("last", last);
        }
        let answer = self.call(Wish::Read, Method::GET, url, HeaderMap::new(), &[]).await?;
        let page: Page = self.json(&answer.body, "its list of tags")?;
        Ok(page.tags.unwrap_or_default())
    }

    /// The bytes of a manifest, by tag or digest, and what the registry says their digest is.
    pub(super) async fn manifest(&self, reference: &str) -> Result<(Vec<u8>, Option<String>), PublishError> {
        let url = self.url(&format!("manifests/{reference}"));
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(MANIFESTS))]);
        let answer = self.call(Wish::Read, Method::GET, url, headers, &[]).await?;
        let said = answer.headers.get("docker-content-digest").and_then(|value| value.to_str().ok());
        Ok((answer.body, said.map(str::to_owned)))
    }

    /// Stores a manifest under a tag.
    pub(super) async fn store_manifest(&self, tag: &str, manifest: &Blob) -> Result<(), PublishError> {
        let url = self.url(&format!("manifests/{tag}"));
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(MANIFEST_TYPE))]);
        self.call(Wish::Write, Method::PUT, url, headers, &manifest.bytes).await.map(drop)
    }

    /// The bytes that are stored under a digest.
    pub(super) async fn blob(&self, digest: &str) -> Result<Vec<u8>, PublishError> {
        let url = self.url(&format!("blobs/{digest}"));
        Ok(self.call(Wish::Read, Method::GET, url, HeaderMap::new(), &[]).await?.body)
    }

    /// Stores a blob, unless it is there.
    pub(super) async fn store_blob(&self, blob: &Blob) -> Result<(), PublishError> {
        let known = self.url(&format!("blobs/{}", blob.digest));
        let answer = self.call(Wish::Write, Method::HEAD, known, HeaderMap::new(), &[]).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        let start = self.url("blobs/uploads/");
        let answer = self.call(Wish::Write, Method::POST, start.clone(), HeaderMap::new(), &[]).await?;
        let there = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(mut there) = there.and_then(|there| start.join(there).ok()) else {
            return Err(self.line.error(Kind::Malformed, "it says not where to store a blob"));
        };
        there.query_pairs_mut().append_pair("digest", &blob.digest);
        let kind = HeaderValue::from_static("application/octet-stream");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        self.call(Wish::Write, Method::PUT, there, headers, &blob.bytes).await.map(drop)
    }

    fn url(&self, path: &str) -> Url {
        self.line.url(&format!("/v2/{}/{path}", self.name))
    }

    /// Asks, and logs in and asks again if that is what the registry wants.
    async fn call(
        &self,
        wish: Wish,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: &[u8],
    ) -> Result<Answer, PublishError> {
        let request = |shown: Option<HeaderValue>| {
            let mut headers = headers.clone();
            headers.extend(shown.map(|value| (AUTHORIZATION, value)));
            Request { method: method.clone(), url: url.clone(), headers, body: body.to_vec() }
        };
        let shown = {
            let known = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            known.header.clone().filter(|_| wish == Wish::Read || known.may_write)
        };
        let answer = self.line.send(request(shown)).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let header = self.log_in(wish, &answer.headers).await?;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) =
            Shown { header: Some(header.clone()), may_write: wish == Wish::Write };
        self.line.send(request(Some(header))).await
    }

    /// Answers a challenge: with the credential itself, or with a token that is got for it.
    async fn log_in(&self, wish: Wish, asked: &HeaderMap) -> Result<HeaderValue, PublishError> {
        let challenges = asked.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<_> =
            challenges.flat_map(|text| ChallengeParser::new(text).map_while(Result::ok)).collect();
        let own = self.credential.as_ref().map(|credential| {
            let unfit =
                || self.line.error(Kind::Unauthorised, "the credential has signs that no header takes");
            credential.header().ok_or_else(unfit)
        });
        let own = own.transpose()?;
        if let Some(bearer) = challenges.iter().find(|c| c.scheme.eq_ignore_ascii_case("bearer")) {
            let parameter = |name: &str| {
                let found = bearer.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            return self.token(wish, parameter("realm"), parameter("service"), own).await;
        }
        let is_basic = challenges.iter().any(|c| c.scheme.eq_ignore_ascii_case("basic"));
        match own {
            Some(own) if is_basic => Ok(own),
            None if is_basic => {
                Err(self.line.error(Kind::Unauthorised, "it wants a credential, and none was given"))
            }
            _ => {
                Err(self.line.error(Kind::Unauthorised, "it wants a way to log in that docent does not know"))
            }
        }
    }

    async fn token(
        &self,
        wish: Wish,
        realm: Option<String>,
        service: Option<String>,
        own: Option<HeaderValue>,
    ) -> Result<HeaderValue, PublishError> {
        #[derive(Deserialize)]
        struct Given {
            token: Option<String>,
            access_token: Option<String>,
        }
        let realm = realm.and_then(|realm| Url::parse(&realm).ok());
        let Some(mut url) = realm else {
            return Err(self.line.error(Kind::Malformed, "it says not where its tokens are to be had"));
        };
        // Never what the registry proposes: the token must be good for this repository and no more.
        let actions = if wish == Wish::Write { "pull,push" } else { "pull" };
        let scope = format!("repository:{}:{actions}", self.name);
        url.query_pairs_mut().append_pair("scope", &scope);
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", &service);
        }
        let headers = own.into_iter().map(|value| (AUTHORIZATION, value)).collect();
        let request = Request { method: Method::GET, url, headers, body: Vec::new() };
        let answer = self.line.send(request).await?;
        let given: Given = self.json(&answer.body, "its token")?;
        given.token.or(given.access_token).and_then(|token| sensitive(&format!("Bearer {token}"))).ok_or_else(
            || self.line.error(Kind::Malformed, "its token server gives no token that can be used"),
        )
    }

    fn json<'a, T: Deserialize<'a>>(&self, body: &'a [u8], what: &str) -> Result<T, PublishError> {
        serde_json::from_slice(body)
            .map_err(|error| self.line.error(Kind::Malformed, format!("{what} cannot be read: {error}")))
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
