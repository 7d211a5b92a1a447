//! The way to one registry: what goes out, where to, with what credential, and how much may come back.
//!
//! Every request of `protocol` goes through here, so that no answer of a registry can send the credential elsewhere, keep
//! docent waiting for ever or fill its memory, and so that whatever is wrong is told in one way.

use std::net::IpAddr;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use url::Url;

use super::trouble::{PublishError, PublishErrorKind as Kind, said};

/// Redirects followed for one request.
const HOPS: usize = 5;

/// How long and how much a registry may answer.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// For one request, from the first byte sent to the last one read.
    pub time: Duration,
    /// Bytes of a manifest, a list of tags or a token.
    pub document: usize,
    /// Bytes of all layers of an image as they are stored.
    pub layers: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { time: Duration::from_secs(60), document: 4 << 20, layers: 32 << 20 }
    }
}

/// What is sent.
pub(super) struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// What came back, read to its end.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// The way to one registry.
pub(super) struct Line {
    registry: Url,
    client: reqwest::Client,
    bounds: Bounds,
    plain_http: bool,
    has_credential: bool,
}

impl Line {
    /// A line to `registry` (`host` or `host:port`). Plain HTTP is for this machine, or where the operator says so.
    pub(super) fn new(
        registry: &str,
        plain_http: bool,
        has_credential: bool,
        bounds: Bounds,
    ) -> Result<Self, PublishError> {
        let trouble = |detail: String| PublishError::new(Kind::Unfit, registry, detail);
        let mut url = Url::parse(&format!("https://{registry}/"))
            .map_err(|error| trouble(format!("it is no address of a registry: {error}")))?;
        if is_this_machine(&url) || plain_http {
            url = Url::parse(&format!("http://{registry}/")).map_err(|error| trouble(error.to_string()))?;
        }
        // A second call finds a provider installed, by us or by the embedding program: either will do.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("docent/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(bounds.time.min(Duration::from_secs(10)))
            .timeout(bounds.time);
        if is_this_machine(&url) {
            // Nothing beside this machine is asked then, so one without certificates will do.
            builder = builder.no_proxy().tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| trouble(causes(&error)))?;
        Ok(Self { registry: url, client, bounds, plain_http, has_credential })
    }

    /// Whether it speaks HTTP without TLS.
    pub(super) fn is_plain(&self) -> bool {
        self.registry.scheme() == "http"
    }

    /// An address of the registry.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.registry.clone();
        url.set_path(path);
        url
    }

    /// Sends a request. What comes back is a success, the answer 404 to a question by HEAD, or, once, the answer 401 that
    /// says how to log in.
    pub(super) async fn send(&self, request: Request) -> Result<Answer, PublishError> {
        let Request { method, mut url, mut headers, body } = request;
        self.guard(&method, &url, &mut headers)?;
        let what = format!("{method} {}", url.path());
        let most = if url.path().contains("/blobs/") { self.bounds.layers } else { self.bounds.document };
        for _ in 0..=HOPS {
            let request = self.client.request(method.clone(), url.clone()).headers(headers.clone());
            let answer = request.body(body.clone()).send().await;
            let answer = answer.map_err(|error| self.unreachable(&what, error))?;
            if !answer.status().is_redirection() {
                let is_logged_in = headers.contains_key(AUTHORIZATION);
                return self.judge(&method, &url, &what, answer, most, is_logged_in).await;
            }
            let there = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(there) = there.and_then(|there| url.join(there).ok()) else {
                return Err(self.error(Kind::Astray, format!("{what}: a redirect that says not where to")));
            };
            self.follow(&method, &what, &url, &there, &mut headers)?;
            url = there;
        }
        Err(self.error(Kind::Astray, format!("{what}: more than {HOPS} redirects in a row")))
    }

    /// Before the first step: the credential goes to the registry, or to the server that gives out its tokens.
    fn guard(&self, method: &Method, url: &Url, headers: &mut HeaderMap) -> Result<(), PublishError> {
        if is_same_origin(&self.registry, url) {
            return Ok(());
        }
        self.allowed(&format!("{method} {}", url.path()), url)?;
        if headers.contains_key(AUTHORIZATION) {
            if method != Method::GET {
                // A place to upload to that carries its own right in its address.
                headers.remove(AUTHORIZATION);
            } else if !is_relative(&self.registry, url) {
                let detail = format!(
                    "it wants the credential sent to {}, which is not its own: not sent",
                    url.origin().ascii_serialization()
                );
                return Err(self.error(Kind::Astray, detail));
            }
        }
        Ok(())
    }

    fn follow(
        &self,
        method: &Method,
        what: &str,
        from: &Url,
        there: &Url,
        headers: &mut HeaderMap,
    ) -> Result<(), PublishError> {
        let is_home = is_same_origin(from, there);
        if !matches!(*method, Method::GET | Method::HEAD) && !is_home {
            return Err(self.error(
                Kind::Astray,
                format!(
                    "{what}: what was to be stored is redirected to {}; name the registry by the address that it answers at",
                    there.origin().ascii_serialization()
                ),
            ));
        }
        if !is_home {
            self.allowed(what, there)?;
            headers.remove(AUTHORIZATION);
        }
        Ok(())
    }

    /// Plain HTTP only where the registry itself is spoken to so.
    fn allowed(&self, what: &str, there: &Url) -> Result<(), PublishError> {
        let is_allowed = match there.scheme() {
            "https" => true,
            "http" => self.is_plain() && (self.plain_http || is_this_machine(there)),
            _ => false,
        };
        if is_allowed && there.username().is_empty() && there.password().is_none() {
            return Ok(());
        }
        let there = there.origin().ascii_serialization();
        Err(self.error(Kind::Astray, format!("{what}: it leads to {there}, which docent does not follow")))
    }

    /// Reads an answer within its bounds, and makes an error of what is none that the library can go on with.
    async fn judge(
        &self,
        method: &Method,
        url: &Url,
        what: &str,
        answer: reqwest::Response,
        most: usize,
        is_logged_in: bool,
    ) -> Result<Answer, PublishError> {
        let mut answer = answer;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.unreachable(what, error))? {
            if bytes.len() + chunk.len() > most {
                return Err(
                    self.error(Kind::TooLarge, format!("{what}: the answer is larger than {most} bytes"))
                );
            }
            bytes.extend_from_slice(&chunk);
        }
        let status = answer.status();
        let is_challenge = status == StatusCode::UNAUTHORIZED
            && !is_logged_in
            && is_same_origin(&self.registry, url)
            && answer.headers().contains_key(WWW_AUTHENTICATE);
        let is_question = *method == Method::HEAD && status == StatusCode::NOT_FOUND;
        if !(status.is_success() || is_challenge || is_question) {
            return Err(self.refusal(url, what, status, answer.headers(), &bytes));
        }
        Ok(Answer { status, headers: answer.headers().clone(), body: bytes })
    }

    fn refusal(
        &self,
        url: &Url,
        what: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> PublishError {
        let words = said(body);
        let lower = words.to_lowercase();
        let is_full = ["no space left", "quota", "insufficient storage", "disk full"];
        let kind = match status.as_u16() {
            507 | 413 => Kind::Full,
            _ if status.as_u16() != 404 && is_full.iter().any(|word| lower.contains(word)) => Kind::Full,
            401 => Kind::Unauthorised,
            403 => Kind::Forbidden,
            404 => Kind::NotFound,
            429 => Kind::Limited,
            500..=599 => Kind::Broken,
            _ => Kind::Refused,
        };
        let why = match kind {
            Kind::Unauthorised if !is_same_origin(&self.registry, url) => {
                "its token server refuses the credential"
            }
            Kind::Unauthorised if self.has_credential => {
                "the credential is refused: wrong, no longer valid, or not for this"
            }
            Kind::Unauthorised => "it wants a credential, and none was given",
            Kind::NotFound => "there is no such image or repository, or it is hidden without a credential",
            Kind::Full => "it has no room",
            _ => "it refuses",
        };
        let mut error = self.error(kind, format!("{why} ({what}: {} {words})", status.as_u16()));
        error.retry_after = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.trim().parse().ok());
        error
    }

    fn unreachable(&self, what: &str, error: reqwest::Error) -> PublishError {
        let why = match error.is_timeout() {
            true => format!("no whole answer within {:?}", self.bounds.time),
            false => causes(&error.without_url()),
        };
        self.error(Kind::Unreachable, format!("{what}: {why}"))
    }

    pub(super) fn error(&self, kind: Kind, detail: impl AsRef<str>) -> PublishError {
        PublishError::new(kind, self.registry.authority(), detail)
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Whether a registry may have its tokens given out by `other`: the same host, the host above, or one beside it, as
/// `auth.example.org` and `example.org` are to `registry.example.org`.
fn is_relative(registry: &Url, other: &Url) -> bool {
    let (Some(here), Some(there)) = (registry.host_str(), other.host_str()) else { return false };
    if here == there {
        return registry.scheme() == other.scheme();
    }
    let is_name = |url: &Url| matches!(url.host(), Some(url::Host::Domain(_)));
    let above = |host: &str| {
        host.split_once('.').map(|(_, above)| above.to_owned()).filter(|above| above.contains('.'))
    };
    is_name(registry)
        && is_name(other)
        && other.scheme() == "https"
        && above(here)
            .is_some_and(|above_here| above_here == there || above(there) == Some(above_here.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_server_is_near_its_registry() {
        let url = |host: &str| Url::parse(&format!("https://{host}/x")).unwrap();
        for (registry, other, is_near) in [
            ("reg.example", "reg.example", true),
            ("reg.example", "reg.example:8443", true),
            ("registry.example.org", "auth.example.org", true),
            ("registry.example.org", "example.org", true),
            ("registry-1.hub.example.org", "auth.hub.example.org", true),
            ("registry.example.org", "example.net", false),
            ("registry.example.org", "auth.example.net", false),
            ("registry.example.org", "registry.example.org.evil.net", false),
            ("one.org", "two.org", false),
            ("10.0.0.1", "11.0.0.1", false),
        ] {
            assert_eq!(is_relative(&url(registry), &url(other)), is_near, "{registry} {other}");
        }
        let plain = Url::parse("http://registry.example.org/").unwrap();
        assert!(!is_relative(&url("registry.example.org"), &plain), "never without TLS where TLS was spoken");
    }

    #[test]
    fn plain_http_is_for_this_machine_or_by_order() {
        let line = |registry: &str, plain| Line::new(registry, plain, false, Bounds::default()).unwrap();
        assert!(line("127.0.0.1:5000", false).is_plain());
        assert!(line("localhost:5000", false).is_plain());
        assert!(line("[::1]:5000", false).is_plain());
        assert!(!line("reg.example", false).is_plain());
        assert!(!line("10.0.0.1:5000", false).is_plain());
        assert!(line("reg.example:5000", true).is_plain());
        assert!(Line::new("a b", false, false, Bounds::default()).is_err());
    }
}
