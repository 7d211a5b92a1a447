//! Signs with words: what a colour says, a word says too. *Failed* is the author's, *errored* is docent's, and the two
//! share neither.

use crate::core::outcome::Outcome;
use crate::core::run::{Phase, Run, TierRun};
use crate::core::verdict::Verdict;

/// A sign, a word and a colour that mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Badge {
    pub sign: &'static str,
    pub word: &'static str,
    /// Class of the style: `good`, `bad`, `ours`, `quiet`, `live`.
    pub tone: &'static str,
}

const fn badge(sign: &'static str, word: &'static str, tone: &'static str) -> Badge {
    Badge { sign, word, tone }
}

pub const RUNNING: Badge = badge("▶", "running", "live");
pub const WAITING: Badge = badge("○", "waiting", "quiet");
pub const DONE: Badge = badge("✔", "done", "good");
pub const NO_RESULT: Badge = badge("?", "no result", "ours");

impl From<Verdict> for Badge {
    fn from(verdict: Verdict) -> Self {
        let tone = match verdict {
            Verdict::Pass => "good",
            Verdict::Fail => "bad",
            Verdict::Skip => "quiet",
            Verdict::Unverified => "ours",
        };
        badge(verdict.sign(), verdict.word(), tone)
    }
}

impl From<Outcome> for Badge {
    fn from(outcome: Outcome) -> Self {
        let (sign, tone) = match outcome {
            Outcome::Passed => ("✔", "good"),
            Outcome::Skipped => ("–", "quiet"),
            Outcome::Failed | Outcome::TimedOut | Outcome::OutOfMemory | Outcome::OutOfDisk => ("✘", "bad"),
            Outcome::Errored | Outcome::Lost => ("!", "ours"),
            Outcome::Cancelled => ("■", "quiet"),
        };
        badge(sign, outcome.words(), tone)
    }
}

/// Where a run stands, or how it ended.
pub fn of_run(run: &Run) -> Badge {
    match run.phase {
        Phase::Offered => badge("○", "offered", "quiet"),
        Phase::Accepted | Phase::Waiting => WAITING,
        Phase::Preparing | Phase::Available | Phase::Releasing if run.cancel.is_some() => {
            badge("■", "stopping", "live")
        }
        Phase::Preparing | Phase::Available | Phase::Releasing => RUNNING,
        Phase::Completed | Phase::Failed => run.verdict.unwrap_or(Verdict::Unverified).into(),
        Phase::Rejected => badge("–", "turned down", "quiet"),
        Phase::Expired => badge("–", "expired", "quiet"),
        Phase::Cancelled => badge("■", "cancelled", "quiet"),
    }
}

/// Where a tier stands.
pub fn of_tier(tier: &TierRun) -> Badge {
    match tier.verdict {
        Some(verdict) => verdict.into(),
        None if tier.attempts.iter().any(|attempt| attempt.closed_at.is_none()) => RUNNING,
        None => WAITING,
    }
}
