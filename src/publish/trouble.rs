//! What can go wrong with a registry, said so that somebody can do something about it.

use std::fmt;

use crate::core::image_name::NameError;

/// Characters of a registry's own text that an error repeats.
const EXCERPT: usize = 200;

/// Why an image could not be read or published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishErrorKind {
    /// There is no such image or repository.
    NotFound,
    /// The credential is missing or refused.
    Unauthorised,
    /// The credential may not do this.
    Forbidden,
    /// Too many requests.
    Limited,
    /// No room is left for it.
    Full,
    /// The registry is broken for now.
    Broken,
    /// The registry refuses this.
    Refused,
    /// The name is that of another image, which docent does not replace.
    Taken,
    /// The answer is not what it has to be: another digest, no manifest.
    Malformed,
    /// The answer is larger than docent reads.
    TooLarge,
    /// The registry sends docent where it does not go.
    Astray,
    /// No answer, or none in time.
    Unreachable,
    /// The image is whole and holds no spec.
    NoSpec,
    /// What was given to publish, or its name, cannot be.
    Unfit,
}

impl PublishErrorKind {
    /// Trying again later may help: it is the registry, or the way there, that is not well.
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            Self::Limited | Self::Full | Self::Broken | Self::Malformed | Self::TooLarge | Self::Unreachable
        )
    }
}

/// Why an image could not be read or published: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishError {
    /// What kind.
    pub kind: PublishErrorKind,
    /// The registry or the image.
    pub place: String,
    /// What is wrong. Never holds a secret.
    pub detail: String,
    /// Seconds that the registry wants to be left alone for.
    pub retry_after: Option<u64>,
}

impl PublishError {
    /// `detail` may hold a registry's own words: they are made harmless and short.
    pub fn new(kind: PublishErrorKind, place: impl Into<String>, detail: impl AsRef<str>) -> Self {
        Self { kind, place: place.into(), detail: plain(detail.as_ref()), retry_after: None }
    }

    fn advice(&self) -> &'static str {
        match self.kind {
            PublishErrorKind::Unauthorised => {
                "; name a credential (LOGIN:TOKEN in a file, or a token alone) that this registry knows"
            }
            PublishErrorKind::Forbidden => "; the credential needs the right to do this in this repository",
            PublishErrorKind::Limited | PublishErrorKind::Broken => "; try again later",
            PublishErrorKind::Full => "; make room there, or raise the quota",
            PublishErrorKind::Unreachable => "; look at the address and the network",
            PublishErrorKind::Malformed | PublishErrorKind::TooLarge | PublishErrorKind::Astray => {
                "; nothing of it was used"
            }
            PublishErrorKind::NotFound
            | PublishErrorKind::Refused
            | PublishErrorKind::Taken
            | PublishErrorKind::NoSpec
            | PublishErrorKind::Unfit => "",
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.detail)?;
        if let Some(seconds) = self.retry_after {
            write!(f, " (it wants no request for {seconds} s)")?;
        }
        f.write_str(self.advice())
    }
}

impl std::error::Error for PublishError {}

impl From<NameError> for PublishError {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Nothing { ref place, .. } => {
                Self::new(PublishErrorKind::NotFound, place.clone(), error.to_string())
            }
            _ => Self::new(PublishErrorKind::Unfit, "the name", error.to_string()),
        }
    }
}

/// Text without what a terminal would obey, cut to a readable length.
fn plain(text: &str) -> String {
    let is_mark = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let clean: String = text.chars().map(|c| if c.is_control() || is_mark(c) { ' ' } else { c }).collect();
    let mut short: String = clean.chars().take(3 * EXCERPT).collect();
    if short.len() < clean.len() {
        short.push('…');
    }
    short.trim().to_owned()
}

/// What a registry says is wrong: the messages of its error document, else the beginning of its text.
pub(super) fn said(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Document {
        errors: Vec<Said>,
    }
    #[derive(serde::Deserialize)]
    struct Said {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Document>(body) {
        Ok(document) => {
            let lines = document.errors.iter().take(3).map(|said| format!("{} {}", said.code, said.message));
            lines.collect::<Vec<_>>().join("; ")
        }
        Err(_) => String::from_utf8_lossy(body.get(..4 * EXCERPT).unwrap_or(body)).into_owned(),
    };
    let mut short: String = text.trim().chars().take(EXCERPT).collect();
    if short.is_empty() {
        short.push_str("it does not say why");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_words_are_short_and_harmless() {
        let json =
            br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m","detail":{"x":[1]}},{"message":"b"}]}"#;
        let error = PublishError::new(PublishErrorKind::Forbidden, "reg/a", said(json));
        assert_eq!(
            error.to_string(),
            "reg/a: DENIED no [31m;  b; the credential needs the right to do this in this repository"
        );
        assert_eq!(said(b"<html>oops"), "<html>oops");
        assert_eq!(said(b""), "it does not say why");
        assert_eq!(said(&[b'x'; 10_000]).len(), EXCERPT);
        assert_eq!(said(br#"{"errors":null}"#), r#"{"errors":null}"#);
    }
}
