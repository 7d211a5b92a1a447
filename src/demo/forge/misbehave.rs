//! What a forge does on a bad day, on demand.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

/// A change of a JSON answer.
type Patch = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// What goes wrong. But for [`Effect::Status`], [`Effect::TooMany`] and [`Effect::Redirect`] the request is carried out
/// first, so that a lost answer to a POST leaves the comment behind, as it does in life.
#[derive(Clone)]
pub enum Effect {
    /// Answers this instead.
    Status {
        /// The status code.
        code: u16,
        /// Further headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// Breaks the connection after so many bytes of the body.
    Cut {
        /// Bytes that still arrive.
        after: usize,
    },
    /// Answers a web page with status 200, as a proxy does.
    NotJson,
    /// Answers only after this time.
    Hang(Duration),
    /// Feeds and lists show changes only when they are this old, with the earlier time they had, as a transaction that commits late.
    Lag(Duration),
    /// 429.
    TooMany {
        /// Seconds in `Retry-After`.
        retry_after: u64,
    },
    /// 302 to this address.
    Redirect(String),
    /// Changes the JSON of the answer.
    OddJson(Patch),
    /// Leaves a header out (`Link`, `X-Total-Count`, `Date`).
    DropHeader(String),
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status { code, .. } => write!(f, "Status({code})"),
            Self::Cut { after } => write!(f, "Cut({after})"),
            Self::NotJson => f.write_str("NotJson"),
            Self::Hang(time) => write!(f, "Hang({time:?})"),
            Self::Lag(time) => write!(f, "Lag({time:?})"),
            Self::TooMany { retry_after } => write!(f, "TooMany({retry_after})"),
            Self::Redirect(to) => write!(f, "Redirect({to})"),
            Self::OddJson(_) => f.write_str("OddJson"),
            Self::DropHeader(name) => write!(f, "DropHeader({name})"),
        }
    }
}

/// A rule: which requests, how often, and what goes wrong.
#[derive(Debug, Clone)]
pub struct Misbehaviour {
    effect: Effect,
    method: Option<String>,
    path: Option<String>,
    account: Option<String>,
    skip: u64,
    times: Option<u64>,
}

impl Misbehaviour {
    /// Every request, for ever.
    pub fn new(effect: Effect) -> Self {
        Self { effect, method: None, path: None, account: None, skip: 0, times: None }
    }

    /// A plain error status with the forge's own kind of body.
    pub fn status(code: u16) -> Self {
        let body = r#"{"message":"misbehaving on demand"}"#.to_owned();
        let headers = vec![("content-type".to_owned(), "application/json;charset=utf-8".to_owned())];
        Self::new(Effect::Status { code, headers, body })
    }

    /// Changes JSON answers.
    pub fn odd_json(patch: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self::new(Effect::OddJson(Arc::new(patch)))
    }

    /// Only requests with this method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only requests whose path and query contain this.
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Only requests with a credential of this account.
    pub fn account(mut self, login: &str) -> Self {
        self.account = Some(login.to_owned());
        self
    }

    /// Lets the first so many fitting requests pass.
    pub fn after(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// So many times, then no more.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// One time, then no more.
    pub fn once(self) -> Self {
        self.times(1)
    }

    fn fits(&self, method: &str, path: &str, account: Option<&str>) -> bool {
        self.method.as_ref().is_none_or(|m| m.eq_ignore_ascii_case(method))
            && self.path.as_ref().is_none_or(|p| path.contains(p.as_str()))
            && self.account.as_ref().is_none_or(|a| account == Some(a.as_str()))
    }
}

#[derive(Default)]
pub(super) struct Rules(Vec<Misbehaviour>);

impl Rules {
    pub fn add(&mut self, rule: Misbehaviour) {
        self.0.push(rule);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What to do to this request, counting it.
    pub fn take(&mut self, method: &str, path: &str, account: Option<&str>) -> Option<Effect> {
        for rule in self.0.iter_mut().filter(|r| r.times != Some(0) && r.fits(method, path, account)) {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if let Some(times) = &mut rule.times {
                *times -= 1;
            }
            return Some(rule.effect.clone());
        }
        None
    }
}
