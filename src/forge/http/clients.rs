//! The two clients over one line: one that can only read, and one that may write.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;
use url::Url;

use super::{Answer, Budget, Credential, Line, is_same_origin};
use crate::core::time::Time;
use crate::forge::{ForgeError, ForgeErrorKind};

/// A client that reads. There is no method here that writes.
#[derive(Clone)]
pub struct Watcher(Line);

impl Watcher {
    /// Reads over `line`.
    pub fn new(line: Line) -> Self {
        Self(line)
    }

    /// The same client with a counter of its own that starts at nought.
    pub fn counting(&self) -> Self {
        Self(Line { requests: Arc::default(), ..self.0.clone() })
    }

    /// The same client showing its credential in another way.
    pub fn with_credential(&self, credential: Credential) -> Self {
        Self(Line { credential, ..self.0.clone() })
    }

    /// What the forge is called in the configuration.
    pub fn forge(&self) -> &str {
        &self.0.forge
    }

    /// Requests made by this client and its clones.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// What the forge last said of its rate budget.
    pub fn budget(&self) -> Option<Budget> {
        self.0.limits().budget()
    }

    /// Seconds for which the forge wants no request.
    pub fn seconds_to_wait(&self) -> Option<u64> {
        self.0.limits().seconds_to_wait(Instant::now())
    }

    /// GET; any answer but 2xx is an error.
    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, ForgeError> {
        self.ask(path, query).await?.success()
    }

    /// GET; gives answers of every status but those that say «too many requests».
    pub async fn ask(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, ForgeError> {
        self.0.send(Method::GET, self.0.url(path, query), None).await
    }

    /// GET of the page that an answer's `Link` names as the next one; none when there is no next one, or it is elsewhere.
    pub async fn follow(&self, answer: &Answer) -> Option<Result<Answer, ForgeError>> {
        let next = answer.next_page().filter(|next| is_same_origin(&self.0.base, next))?;
        Some(self.0.send(Method::GET, next, None).await.and_then(Answer::success))
    }

    /// Asks GraphQL at `url` (same host). Refuses a text that is not one `query`; follows no redirect.
    pub async fn query(&self, url: &Url, text: &str, variables: Value) -> Result<Answer, ForgeError> {
        let what = "GraphQL query";
        if !is_query(text) {
            let detail = "refused by docent: the watch client sends queries only".to_owned();
            return Err(self.0.error(ForgeErrorKind::Refused, what, detail));
        }
        if !is_same_origin(&self.0.base, url) {
            let detail = "refused by docent: GraphQL is asked at the forge's own host only".to_owned();
            return Err(self.0.error(ForgeErrorKind::Refused, what, detail));
        }
        let body = serde_json::json!({ "query": text, "variables": variables });
        let answer = self.0.send_once(&Method::POST, url, Some(&body), what).await?;
        if answer.status.is_redirection() {
            return Err(answer.error(ForgeErrorKind::Redirected, "a redirect of a GraphQL query"));
        }
        answer.success()
    }
}

/// The text holds exactly one operation, and that is a query. Strings, comments and block strings are not used in
/// docent's own queries, so a text that has any of them is refused as well: nothing can hide in what is absent.
fn is_query(text: &str) -> bool {
    if text.contains(['"', '#']) {
        return false;
    }
    let mut depth = 0usize;
    let mut top = String::new();
    for letter in text.chars() {
        match letter {
            '{' | '(' => depth += 1,
            '}' | ')' => match depth.checked_sub(1) {
                Some(less) => {
                    depth = less;
                    top.push(' ');
                }
                None => return false,
            },
            _ if depth == 0 => top.push(letter),
            _ => {}
        }
    }
    let words: Vec<&str> =
        top.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
    let operations = words.iter().filter(|w| matches!(**w, "query" | "mutation" | "subscription")).count();
    depth == 0 && operations == 1 && words.first() == Some(&"query")
}

/// A client that may write: what a report driver holds.
#[derive(Clone)]
pub struct Writer {
    line: Line,
    pace: Duration,
    last: Arc<tokio::sync::Mutex<Option<tokio::time::Instant>>>,
}

impl Writer {
    /// Writes over `line`, leaving at least `pace` between two writes.
    pub fn new(line: Line, pace: Duration) -> Self {
        Self { line, pace, last: Arc::default() }
    }

    /// GET; any answer but 2xx is an error.
    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, ForgeError> {
        self.line.send(Method::GET, self.line.url(path, query), None).await?.success()
    }

    /// GET of the page that an answer's `Link` names as the next one, on the same host.
    pub async fn follow(&self, answer: &Answer) -> Option<Result<Answer, ForgeError>> {
        let next = answer.next_page().filter(|next| is_same_origin(&self.line.base, next))?;
        Some(self.line.send(Method::GET, next, None).await.and_then(Answer::success))
    }

    /// What the forge's clock shows, by whatever it answers at its root.
    pub async fn forge_clock(&self) -> Result<Time, ForgeError> {
        self.line.send(Method::GET, self.line.url(&[], &[]), None).await?.clock()
    }

    /// POST; any answer but 2xx is an error. After [`ForgeErrorKind::Unreachable`] it may have been done or not.
    pub async fn post(&self, path: &[&str], body: &Value) -> Result<Answer, ForgeError> {
        self.write(Method::POST, path, body).await
    }

    /// PATCH; any answer but 2xx is an error.
    pub async fn patch(&self, path: &[&str], body: &Value) -> Result<Answer, ForgeError> {
        self.write(Method::PATCH, path, body).await
    }

    async fn write(&self, method: Method, path: &[&str], body: &Value) -> Result<Answer, ForgeError> {
        let mut last = self.last.lock().await;
        if let Some(last) = *last {
            tokio::time::sleep_until(last + self.pace).await;
        }
        let answer = self.line.send(method, self.line.url(path, &[]), Some(body)).await;
        *last = Some(tokio::time::Instant::now());
        answer?.success()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_query_is_a_query() {
        for good in [
            "query{viewer{login}}",
            " query Name($ids:[ID!]!){nodes(ids:$ids){id}}",
            "query { mutation { id } }",
        ] {
            assert!(is_query(good), "{good}");
        }
        for bad in [
            "mutation{addComment(input:{}){id}}",
            "subscription{x}",
            "{viewer{login}}",
            "query{a} mutation{b}",
            "query A{a} query B{b}",
            "query{a}} mutation {b",
            "query{a(x:\"}\")}",
            "# query\nmutation{b}",
            "fragment f on Q{a} mutation{b}",
            "",
        ] {
            assert!(!is_query(bad), "{bad}");
        }
    }
}
