//! One answer of a forge: its clock, its pages, and its text turned into values or into an error that says where.

use std::error::Error;
use std::time::Duration;

use chrono::{DateTime, SubsecRound};
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use url::Url;

use crate::core::time::Time;
use crate::forge::{ForgeError, ForgeErrorKind};

/// Characters of a forge's own text that an error repeats.
const EXCERPT: usize = 200;

/// What a forge answered.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, bounded.
    pub body: Vec<u8>,
    /// The forge's clock when it answered.
    pub date: Option<Time>,
    /// The forge's clock when it was asked, or a little before.
    pub began: Option<Time>,
    /// What was asked, for errors.
    pub what: String,
    forge: String,
    secrets: Vec<String>,
}

impl Answer {
    pub(super) fn new(
        forge: &str,
        what: &str,
        status: StatusCode,
        headers: HeaderMap,
        body: Vec<u8>,
        took: Duration,
        secrets: Vec<String>,
    ) -> Self {
        let date = headers
            .get(header::DATE)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| DateTime::parse_from_rfc2822(text).ok())
            .map(|date| date.to_utc());
        let took = chrono::Duration::from_std(took).unwrap_or_default();
        // Whole seconds, as the forge stamps: what happened within this one must not seem older than it.
        let began = date.and_then(|date| date.checked_sub_signed(took)).map(|began| began.trunc_subsecs(0));
        Self { status, headers, body, date, began, what: what.to_owned(), forge: forge.to_owned(), secrets }
    }

    /// This answer if it is 2xx, else the error that it is.
    pub fn success(self) -> Result<Self, ForgeError> {
        let kind = match self.status.as_u16() {
            200..=299 => return Ok(self),
            401 => ForgeErrorKind::Unauthorised,
            403 => ForgeErrorKind::Forbidden,
            404 | 410 => ForgeErrorKind::NotFound,
            429 => ForgeErrorKind::Limited,
            500..=599 => ForgeErrorKind::Broken,
            300..=399 => ForgeErrorKind::Redirected,
            _ => ForgeErrorKind::Refused,
        };
        let mut error = self.error(kind, &self.message());
        error.retry_after = super::limits::retry_after(&self.headers, self.date.map(|date| date.timestamp()));
        Err(error)
    }

    /// An error about this answer. `detail` may be the forge's own words: it is scrubbed.
    pub fn error(&self, kind: ForgeErrorKind, detail: &str) -> ForgeError {
        let detail = match self.status.as_u16() {
            200..=299 => scrub(detail, &self.secrets),
            status => scrub(&format!("{status} {detail}"), &self.secrets),
        };
        ForgeError { forge: self.forge.clone(), kind, what: self.what.clone(), detail, retry_after: None }
    }

    /// What the forge says is wrong: its `message`, else the beginning of its text, unscrubbed and whole.
    pub fn message(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Message {
            message: String,
        }
        match serde_json::from_slice::<Message>(&self.body) {
            Ok(said) => said.message,
            Err(_) => String::from_utf8_lossy(&self.body[..self.body.len().min(EXCERPT * 4)]).into_owned(),
        }
    }

    /// The forge's clock at this answer. An answer without one cannot be used to decide what has been seen.
    pub fn clock(&self) -> Result<Time, ForgeError> {
        self.date.ok_or_else(|| {
            let detail = "no readable Date header: docent needs the forge's clock (does a proxy remove it?)";
            self.error(ForgeErrorKind::Malformed, detail)
        })
    }

    /// The body as `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ForgeError> {
        serde_json::from_slice(&self.body).map_err(|error| self.malformed(&self.body, &error))
    }

    /// The body as a list whose items are not looked into yet, so that one bad item spoils no other. `null` is the empty
    /// list: Go writes it so.
    pub fn items(&self) -> Result<Vec<&RawValue>, ForgeError> {
        serde_json::from_slice::<Option<Vec<&RawValue>>>(&self.body)
            .map(Option::unwrap_or_default)
            .map_err(|error| self.malformed(&self.body, &error))
    }

    /// One item of a list as `T`.
    pub fn item<T: DeserializeOwned>(&self, item: &RawValue) -> Result<T, ForgeError> {
        serde_json::from_str(item.get()).map_err(|error| self.malformed(item.get().as_bytes(), &error))
    }

    fn malformed(&self, text: &[u8], error: &serde_json::Error) -> ForgeError {
        let line = text.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
        let from = error.column().saturating_sub(30).min(line.len());
        let near = String::from_utf8_lossy(&line[from..(from + 60).min(line.len())]).into_owned();
        self.error(ForgeErrorKind::Malformed, &format!("not what was expected: {error}; near «{near}»"))
    }

    /// The address that `Link` names as the next page, wherever it is.
    pub fn next_page(&self) -> Option<Url> {
        self.headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok()).find_map(|links| {
            links.split(',').find_map(|link| {
                let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
                let is_next = parameters.split(';').any(|p| {
                    p.trim()
                        .strip_prefix("rel=")
                        .is_some_and(|rel| rel.trim_matches('"').eq_ignore_ascii_case("next"))
                });
                if is_next { Url::parse(address).ok() } else { None }
            })
        })
    }

    /// `Link` names a next page, or could have and is absent: then counting decides.
    pub fn has_link(&self) -> bool {
        self.headers.contains_key(header::LINK)
    }

    /// `X-Total-Count`: how many items all pages have.
    pub fn total(&self) -> Option<usize> {
        self.headers.get("x-total-count")?.to_str().ok()?.trim().parse().ok()
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({} {}, {} bytes)", self.what, self.status, self.body.len())
    }
}

/// `text` without the secrets, control and direction marks, cut to a readable length.
pub fn scrub(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        text = text.replace(secret.as_str(), "…");
    }
    let is_mark = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let clean: String = text.chars().map(|c| if c.is_control() || is_mark(c) { ' ' } else { c }).collect();
    let mut short: String = clean.chars().take(EXCERPT).collect();
    if clean.chars().count() > EXCERPT {
        short.push('…');
    }
    short.trim().to_owned()
}

/// An error with what caused it, in one line.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &'static str)], body: &str) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)))
            .collect();
        let secrets = vec!["s3cret".to_owned()];
        Answer::new("f", "GET /x", StatusCode::OK, headers, body.into(), Duration::from_secs(2), secrets)
    }

    #[test]
    fn the_clock_is_the_forges_and_goes_back_to_the_question() {
        let answer = answer(&[("date", "Sat, 21 Nov 2026 05:42:03 GMT")], "");
        assert_eq!(answer.clock().unwrap().to_rfc3339(), "2026-11-21T05:42:03+00:00");
        assert_eq!(answer.began.unwrap().to_rfc3339(), "2026-11-21T05:42:01+00:00");
    }

    #[test]
    fn links_are_read_in_every_order_of_their_parameters() {
        let link = r#"<https://a/x?page=1>; rel="prev", <https://a/x?page=3>; title=y; rel="next""#;
        let headers = [("link", Box::leak(link.to_owned().into_boxed_str()) as &'static str)];
        assert_eq!(answer(&headers, "").next_page().unwrap().as_str(), "https://a/x?page=3");
        assert_eq!(answer(&[("link", "<https://a/x>; rel=\"last\"")], "").next_page(), None);
        assert_eq!(answer(&[("link", "<<>;;,rel=next")], "").next_page(), None);
    }

    #[test]
    fn an_excerpt_shows_no_secret_and_no_control_character() {
        let error = answer(&[], "{\"a\":\"s3cret\u{202e}\"").json::<u8>().unwrap_err();
        assert_eq!(error.kind, ForgeErrorKind::Malformed);
        assert!(!error.detail.contains("s3cret") && !error.detail.contains('\u{202e}'), "{error}");
        assert!(error.detail.contains("line 1 column"), "{error}");
    }

    #[test]
    fn null_is_the_empty_list() {
        assert!(answer(&[], "null").items().unwrap().is_empty());
        assert!(answer(&[], "{}").items().is_err());
    }
}
