//! Extra tests: heavy ones that run only when somebody asks for them. How they are asked for, who decides that they run now,
//! and what they come to; the default verdict never moves with them.

use serde::{Deserialize, Serialize};

use super::command::{Grammar, TestOptions};
use super::id::Sha;
use super::ledger::Refusal;
use super::pull::PullRequest;
use super::run::{Phase, Run, TierRun};
use super::time::{Duration, Time, for_people};
use super::verdict::{self, Verdict};

/// What `STAGES` may name: the tiers that always run, and the opt-in ones.
const STAGES: [&str; 2] = ["default", "extra"];

/// Whether a list of stages, separated by commas or blanks, asks for the extra tests.
///
/// # Errors
/// A name that is no stage: the sentence says which there are.
pub fn stages(list: &str) -> Result<bool, String> {
    let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
    let named: Vec<&str> = list.split(is_separator).filter(|name| !name.is_empty()).collect();
    match named.iter().find(|name| !STAGES.contains(name)) {
        Some(name) => Err(format!("there is no stage {name:?}: there are {}", STAGES.join(", "))),
        None => Ok(named.contains(&"extra")),
    }
}

/// What becomes of a request for extra tests by somebody who may start runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtraRule {
    /// It is a run at once.
    #[default]
    Run,
    /// It is an offer, for somebody who may to accept.
    Offer,
    /// It is refused.
    Never,
}

/// What the operator decided on extra tests, for one repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExtraPolicy {
    /// What becomes of a request.
    pub rule: ExtraRule,
    /// Runs with extra tests within 24 hours; what is beyond becomes an offer. None: any number.
    pub per_day: Option<usize>,
}

/// Whether a request may be a run at once (none), or has to be an offer, and why. `used` are the times at which runs with extra
/// tests were asked for, in any order.
///
/// # Errors
/// The operator wants no extra tests here.
pub fn judge(policy: &ExtraPolicy, used: &[Time], now: Time) -> Result<Option<String>, Refusal> {
    match policy.rule {
        ExtraRule::Never => {
            let text = "the operator lets no extra tests run here: ask without --extra-tests";
            return Err(Refusal::new("no-extra-tests", text));
        }
        ExtraRule::Offer => {
            return Ok(Some("extra tests wait for somebody who may to accept them".to_owned()));
        }
        ExtraRule::Run => {}
    }
    let Some(most) = policy.per_day else { return Ok(None) };
    let mut counted: Vec<Time> = used.iter().copied().filter(|at| *at + DAY > now).collect();
    counted.sort();
    let Some(beyond) = counted.len().checked_sub(most) else { return Ok(None) };
    // Free again when so many have become old that one more fits.
    let free = counted.get(beyond).map(|at| format!(", the next is free at {}", for_people(*at + DAY)));
    let text =
        format!("of {most} runs with extra tests in 24 hours none is left{}", free.unwrap_or_default());
    Ok(Some(text))
}

/// What a quota counts over.
const DAY: Duration = Duration::hours(24);

/// When a run counted against the quota; none: it never held anything, or nobody asked for it.
pub fn used_at(run: &Run) -> Option<Time> {
    let counts = run.request.options.extra_tests
        && !run.request.is_baseline()
        && (run.phase.is_live() || run.started_at.is_some());
    counts.then_some(run.requested_at)
}

/// Extra tests of strangers' code are heavy and are the strangers': whoever asks for them names the commit.
///
/// # Errors
/// None is named; the sentence holds the command to write.
pub fn bind(options: &TestOptions, pull: &PullRequest, grammar: &Grammar) -> Result<(), Refusal> {
    if !options.extra_tests || options.sha.is_some() || pull.is_of_its_repository() {
        return Ok(());
    }
    let text = format!(
        "the code comes from outside of the repository: extra tests of it need the commit that you looked at: write {}",
        spelt(options, &pull.head, grammar)
    );
    Err(Refusal::new("extra-needs-sha", text))
}

/// The command that asks for just this, of this commit.
fn spelt(options: &TestOptions, sha: &Sha, grammar: &Grammar) -> String {
    let mut words = vec![format!("{}{}", grammar.marker, grammar.words.testme)];
    let quoted = |value: &str| {
        if !value.contains(char::is_whitespace) {
            return value.to_owned();
        }
        let quote = if value.contains('"') { '\'' } else { '"' };
        format!("{quote}{value}{quote}")
    };
    words.extend(options.extra_tests.then(|| "--extra-tests".to_owned()));
    words.extend(options.tiers.iter().map(|tier| format!("--tier {}", quoted(tier))));
    words.extend(options.notebooks.iter().map(|glob| format!("--notebooks {}", quoted(glob))));
    words.extend(options.spec.iter().map(|path| format!("--spec {}", quoted(path))));
    words.extend(options.full.then(|| "--full".to_owned()));
    words.extend(sha.as_str().get(..12).map(str::to_owned));
    words.join(" ")
}

/// Runs with extra tests may hold this many of so many slots: one is left for others, where there are several.
pub fn most_slots(slots: usize) -> usize {
    slots.saturating_sub(1).max(1)
}

/// The verdict over the opt-in tiers, or over all others. An environment that was made for nothing proves nothing.
pub fn verdict(tiers: &[TierRun], is_opt_in: bool) -> Verdict {
    let tiers = || tiers.iter().filter(move |tier| tier.tier.is_opt_in == is_opt_in);
    let mut tests = tiers().filter(|tier| tier.tier.tests.is_some()).peekable();
    let whole = verdict::of_all(tiers().map(|tier| tier.verdict.unwrap_or(Verdict::Unverified)));
    let is_idle = tests.peek().is_some() && tests.all(|tier| tier.verdict == Some(Verdict::Skip));
    if is_idle && whole == Verdict::Pass { Verdict::Skip } else { whole }
}

/// The default verdict of a run whose extra tests are still at work, or were stopped at it. Only a good one: what failed may yet turn out to have
/// failed before, which is looked up at the end.
pub fn verdict_before_extras(run: &Run) -> Option<Verdict> {
    let (extras, others): (Vec<&TierRun>, Vec<&TierRun>) =
        run.tiers.iter().partition(|tier| tier.tier.is_opt_in);
    let is_waiting = run.phase == Phase::Available
        && extras.iter().any(|tier| tier.verdict.is_none())
        && others.iter().all(|tier| tier.verdict.is_some());
    let good = |verdict: &Verdict| matches!(verdict, Verdict::Pass | Verdict::Skip);
    is_waiting.then(|| verdict(&run.tiers, false)).filter(good)
}

/// Whether the default tests of a run had passed before somebody stopped it at its extra ones.
pub fn is_stopped_after_a_pass(run: &Run) -> bool {
    let has_extra = run.tiers.iter().any(|tier| tier.tier.is_opt_in);
    run.phase == Phase::Cancelled && has_extra && run.verdict == Some(Verdict::Pass)
}

#[cfg(test)]
mod tests;
