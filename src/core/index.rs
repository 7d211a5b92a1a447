//! A package index that the operator names: what tiers with `network = "index"` may reach.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const HTTPS: u16 = 443;
const HTTP: u16 = 80;

/// One host and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct IndexHost {
    /// Its name or address in lower case, an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// It speaks plain http.
    pub is_plain: bool,
}

/// What a host is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no host of an index: write \"index.example.org\", \"index.example.org:8443\" or, without TLS, \
     \"http://index.example.org\""
)]
pub struct NoIndexHost(pub String);

impl FromStr for IndexHost {
    type Err = NoIndexHost;

    fn from_str(text: &str) -> Result<Self, NoIndexHost> {
        let wrong = || NoIndexHost(text.to_owned());
        let (is_plain, rest) = match text.split_once("://") {
            Some(("http", rest)) => (true, rest),
            Some(("https", rest)) => (false, rest),
            Some(_) => return Err(wrong()),
            None => (false, text),
        };
        let (host, port) = split(rest.trim_end_matches('/'));
        let port = match port {
            Some(digits) => digits.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?,
            None if is_plain => HTTP,
            None => HTTPS,
        };
        let host = normal(host);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        let is_host = !host.is_empty() && !host.starts_with(['.', '-']) && host.chars().all(is_name);
        if is_host { Ok(Self { host, port, is_plain }) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for IndexHost {
    type Error = NoIndexHost;

    fn try_from(text: String) -> Result<Self, NoIndexHost> {
        text.parse()
    }
}

impl From<IndexHost> for String {
    fn from(host: IndexHost) -> Self {
        host.to_string()
    }
}

impl fmt::Display for IndexHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_plain { "http://" } else { "" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.port, self.is_plain) {
            (HTTPS, false) | (HTTP, true) => write!(f, "{scheme}{host}"),
            (port, _) => write!(f, "{scheme}{host}:{port}"),
        }
    }
}

/// The form in which hosts are compared: lower case, without brackets, without the dot of the root.
pub fn normal(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// `host` and, after the last colon outside of brackets, the port.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_and_shown() {
        for (text, shown) in [
            ("index.example.org", "index.example.org"),
            ("Index.Example.ORG.", "index.example.org"),
            ("https://index.example.org/", "index.example.org"),
            ("files.example.org:8443", "files.example.org:8443"),
            ("http://mirror:8080", "http://mirror:8080"),
            ("http://mirror", "http://mirror"),
            ("[fd00::1]:8443", "[fd00::1]:8443"),
            ("fd00::1", "[fd00::1]"),
            ("10.0.0.1:443", "10.0.0.1"),
        ] {
            let host: IndexHost = text.parse().unwrap();
            assert_eq!(host.to_string(), shown, "{text}");
            assert_eq!(host.to_string().parse(), Ok(host), "{text}");
        }
        for text in [
            "",
            ":443",
            "a b",
            "ftp://a",
            "https://a/simple",
            "a:0",
            "a:http",
            "a:65536",
            "user@a",
            "*.example.org",
            "-a",
            ".a",
            "a?b",
            "http://",
        ] {
            assert!(text.parse::<IndexHost>().is_err(), "{text}");
        }
    }
}
