//! What forges say of their limits: `Retry-After`, 429, and GitHub's primary and secondary limits.

use std::time::{Duration, Instant};

use chrono::DateTime;
use http::{HeaderMap, StatusCode};

use super::Answer;

/// Waiting time where the forge names none.
const UNNAMED: u64 = 60;
/// The longest time for which a forge is believed: after it, it is asked again.
const LONGEST: u64 = 3600;

/// What is left to spend until `resets_in`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Requests (or points) per period.
    pub limit: u64,
    /// Left in this period.
    pub remaining: u64,
    /// Seconds until the next one.
    pub resets_in: u64,
}

/// What one client has learnt.
#[derive(Debug, Default)]
pub struct Limits {
    pause_until: Option<Instant>,
    budget: Option<(Budget, Instant)>,
}

impl Limits {
    /// Seconds (at least one) until the next request is welcome; none when it is.
    pub fn seconds_to_wait(&self, now: Instant) -> Option<u64> {
        let left = self.pause_until?.checked_duration_since(now)?;
        (!left.is_zero()).then(|| left.as_secs() + u64::from(left.subsec_nanos() > 0))
    }

    /// What the forge last said, with the time that has passed since taken off.
    pub fn budget(&self) -> Option<Budget> {
        let (budget, said) = self.budget?;
        Some(Budget { resets_in: budget.resets_in.saturating_sub(said.elapsed().as_secs()), ..budget })
    }

    /// Takes note of an answer. Some when the forge refused it as one too many: the seconds to wait.
    pub fn learn(&mut self, answer: &Answer, now: Instant) -> Option<u64> {
        let headers = &answer.headers;
        let clock = answer.date.map(|date| date.timestamp());
        let reset = number(headers, "x-ratelimit-reset").and_then(|at| {
            let left = i64::try_from(at).ok()?.checked_sub(clock?)?;
            Some(u64::try_from(left).unwrap_or(0).min(LONGEST))
        });
        let remaining = number(headers, "x-ratelimit-remaining");
        if let (Some(limit), Some(remaining), Some(resets_in)) =
            (number(headers, "x-ratelimit-limit"), remaining, reset)
        {
            self.budget = Some((Budget { limit, remaining, resets_in }, now));
        }
        let retry_after = retry_after(headers, clock);
        let is_spent = remaining == Some(0);
        let is_refused = match answer.status {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::FORBIDDEN => is_spent || retry_after.is_some() || says_limit(answer),
            // GitHub's GraphQL says so with 200.
            StatusCode::OK => is_graphql_limit(answer),
            _ => false,
        };
        let wait = match (is_refused, retry_after, is_spent, reset) {
            (true, Some(named), _, _) => named,
            (true, None, true, Some(reset)) => reset.max(1),
            (true, None, _, _) => UNNAMED,
            // Spent, but this one was still answered: the next one would be refused.
            (false, _, true, Some(reset)) => reset,
            _ => return None,
        };
        self.pause_until = now.checked_add(Duration::from_secs(wait));
        is_refused.then_some(wait)
    }
}

/// `Retry-After` in seconds, whether the forge gave seconds or a date.
pub fn retry_after(headers: &HeaderMap, clock: Option<i64>) -> Option<u64> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let at = DateTime::parse_from_rfc2822(text).ok().map(|at| at.timestamp());
            match (at, clock) {
                (Some(at), Some(clock)) => u64::try_from(at.saturating_sub(clock)).unwrap_or(0),
                _ => UNNAMED,
            }
        }
    };
    Some(seconds.clamp(1, LONGEST))
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn says_limit(answer: &Answer) -> bool {
    let message = answer.message().to_ascii_lowercase();
    message.contains("rate limit") || message.contains("abuse detection")
}

/// The answer holds no data but an error of type `RATE_LIMITED`, or the text of the secondary limit.
fn is_graphql_limit(answer: &Answer) -> bool {
    if !answer.what.starts_with("GraphQL") || answer.body.len() > 64 << 10 {
        return false;
    }
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(&answer.body) else { return false };
    let is_limited = |error: &serde_json::Value| {
        let kind = error.get("type").and_then(|kind| kind.as_str()).unwrap_or_default();
        let text = error.get("message").and_then(|text| text.as_str()).unwrap_or_default();
        kind == "RATE_LIMITED" || kind == "RATE_LIMIT" || text.contains("secondary rate limit")
    };
    body.get("data").is_none_or(serde_json::Value::is_null)
        && (is_limited(&body)
            || body
                .get("errors")
                .and_then(|errors| errors.as_array())
                .is_some_and(|all| all.iter().any(is_limited)))
}
