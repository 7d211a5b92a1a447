//! What a failure has to do with the change: whether the same test failed before it too. Nothing is concluded without evidence:
//! a test of which nothing is known on the base has no class.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::id::{PullId, RunId, Sha};
use super::outcome::{Outcome, TestResult};
use super::recipe::AlreadyFailing;
use super::reuse::{self, Candidate};
use super::run::{Phase, Run, TierRun};
use super::time::Duration;
use super::verdict::{self, Verdict};

/// A test on the base against the same test here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It fails here, and passes on the base or is not there.
    NewFailure,
    /// It fails here and on the base.
    AlreadyFailing,
    /// It passes here and fails on the base.
    Fixed,
    /// The same code has both passed and failed: neither says anything on the change.
    Flaky,
}

impl Class {
    /// For people, behind an outcome.
    pub fn words(self) -> &'static str {
        match self {
            Self::NewFailure => "new failure",
            Self::AlreadyFailing => "already failing before this change",
            Self::Fixed => "fixed by this change",
            Self::Flaky => "flaky: the same code has both passed and failed",
        }
    }

    /// For people, behind a number.
    pub fn counted(self, count: usize) -> String {
        match self {
            Self::NewFailure if count == 1 => "1 new failure".to_owned(),
            Self::NewFailure => format!("{count} new failures"),
            Self::AlreadyFailing => format!("{count} already failing"),
            Self::Fixed => format!("{count} fixed"),
            Self::Flaky => format!("{count} flaky"),
        }
    }
}

/// A class of one test of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classed {
    /// The tier.
    pub tier: String,
    /// The test.
    pub name: String,
    /// The class.
    pub class: Class,
    /// The run that says how it is on the base.
    pub told_by: Option<RunId>,
}

/// A run of a pull request that waits for what a run of its base will say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// The run.
    pub run: RunId,
    /// Its pull request.
    pub pull: PullId,
}

/// How a run of a pull request compares with its base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The commit that it is compared with.
    pub base: Sha,
    /// What the recipe makes of a failure that was there before.
    pub already_failing: AlreadyFailing,
    /// The run of the base that was started for it.
    pub by: Option<RunId>,
    /// The comparison has come to its end.
    pub is_concluded: bool,
    /// What it came to.
    pub classes: Vec<Classed>,
    /// Why it says less than it could, for people.
    pub note: Option<String>,
}

impl Baseline {
    /// A comparison that begins.
    pub fn sought(base: Sha, already_failing: AlreadyFailing) -> Self {
        Self { base, already_failing, by: None, is_concluded: false, classes: Vec::new(), note: None }
    }

    /// The class of one test.
    pub fn class(&self, tier: &str, name: &str) -> Option<Class> {
        self.classes.iter().find(|it| it.tier == tier && it.name == name).map(|it| it.class)
    }
}

/// What is known of one test besides its result here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clue {
    /// The tier.
    pub tier: String,
    /// The test.
    pub name: String,
    /// How it ended on the base.
    pub on_base: Vec<Outcome>,
    /// The base was looked at, and it is not there.
    pub is_absent: bool,
    /// How it ended wherever it saw the same things as here.
    pub same: Vec<Outcome>,
    /// The latest run that says how it is on the base.
    pub told_by: Option<RunId>,
}

/// All that is known of the tests of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Of each test of which something is known.
    pub clues: Vec<Clue>,
    /// Tests that a run of the base was started for already, whatever it came to.
    pub tried: BTreeSet<String>,
    /// Runs of the base that were still at work on such a question.
    pub asked: Vec<RunId>,
    /// The base is the tip of a watched branch, as last seen.
    pub is_tip: bool,
}

/// The author's result: the test itself said so, not the machinery.
fn is_told(outcome: Outcome) -> bool {
    outcome == Outcome::Passed || is_failure(outcome)
}

fn is_failure(outcome: Outcome) -> bool {
    outcome.is_bad() && !outcome.is_ours() && outcome != Outcome::Cancelled
}

fn both_ways(outcomes: impl Iterator<Item = Outcome> + Clone) -> bool {
    outcomes.clone().any(is_failure) && outcomes.into_iter().any(|outcome| outcome == Outcome::Passed)
}

/// The class of a test that ended `here`; `on_base` and `same` as in [`Clue`].
pub fn class(here: Outcome, on_base: &[Outcome], is_absent: bool, same: &[Outcome]) -> Option<Class> {
    if !is_told(here) {
        return None;
    }
    if both_ways(same.iter().copied().chain([here])) || both_ways(on_base.iter().copied()) {
        return Some(Class::Flaky);
    }
    match (is_failure(here), on_base.iter().copied().find(|outcome| is_told(*outcome)).map(is_failure)) {
        (true, Some(false)) => Some(Class::NewFailure),
        (true, Some(true)) => Some(Class::AlreadyFailing),
        (false, Some(true)) => Some(Class::Fixed),
        (false, Some(false)) => None,
        (true, None) if is_absent => Some(Class::NewFailure),
        (_, None) => None,
    }
}

/// The world outside moves on (indexes, data services), so a result of another environment counts for this long.
const FRESH: Duration = Duration::hours(24);

/// Whether a result of `other`, a run of the base, can be held against one of `run`.
fn is_comparable(run: &Run, other: &Run) -> bool {
    let (Some(used), Some(others)) = (&run.recipe, &other.recipe) else { return false };
    let key = |run: &Run| run.environment.as_ref().map(|used| used.key.clone());
    let is_of_this_time = || match (run.started_at, other.started_at) {
        (Some(here), Some(there)) => (here - there).abs() <= FRESH,
        _ => false,
    };
    used == others
        && run.id != other.id
        && ((key(run).is_some() && key(run) == key(other)) || is_of_this_time())
}

/// What is known of the tests of `run`: from runs of its base (the newest first) and from results of the same identity.
pub fn evidence(run: &Run, of_base: &[Run], candidates: &[Candidate], is_tip: bool) -> Evidence {
    let is_question = |other: &Run| other.request.is_baseline() && other.cancel.is_none();
    let has_ended = |other: &Run| other.phase == Phase::Releasing || other.phase.is_ended();
    let asked = of_base.iter().filter(|other| is_question(other) && !has_ended(other));
    let asked = asked.map(|other| other.id).collect();
    let of_base: Vec<&Run> = of_base.iter().filter(|other| is_comparable(run, other)).collect();
    let clues = run.tiers.iter().flat_map(|tier| {
        let keys = reuse::keys(run, &tier.tier);
        let of_base = &of_base;
        tier.tests.iter().map(move |test| {
            let key = keys.get(&test.name);
            let is_same = |it: &&Candidate| Some(&it.kept.key) == key && it.kept.name == test.name;
            let found = of_base.iter().flat_map(|other| Some((other.id, result(other, tier, test)?)));
            let found: Vec<(RunId, Outcome)> = found.collect();
            let absent_in = of_base.iter().find(|other| is_absent(other, tier, &test.name));
            Clue {
                tier: tier.tier.name.clone(),
                name: test.name.clone(),
                told_by: found.first().map(|(run, _)| *run).or(absent_in.map(|other| other.id)),
                on_base: found.into_iter().map(|(_, outcome)| outcome).collect(),
                is_absent: absent_in.is_some(),
                same: candidates.iter().filter(is_same).map(|it| it.kept.outcome).collect(),
            }
        })
    });
    let clues = clues.filter(|clue| !clue.on_base.is_empty() || clue.is_absent || !clue.same.is_empty());
    let told = of_base.iter().filter(|other| is_question(other) && has_ended(other));
    Evidence {
        clues: clues.collect(),
        tried: told.flat_map(|other| other.request.only.iter().cloned()).collect(),
        asked,
        is_tip,
    }
}

fn result(other: &Run, tier: &TierRun, test: &TestResult) -> Option<Outcome> {
    let tier = other.tier(&tier.tier.name).filter(|tier| tier.verdict.is_some())?;
    let outcome = tier.tests.iter().find(|it| it.name == test.name)?.outcome;
    (is_told(outcome) || outcome == Outcome::Skipped).then_some(outcome)
}

/// Whether `other` has looked for this notebook in its commit, as widely as it was done here, and not found it.
fn is_absent(other: &Run, tier: &TierRun, name: &String) -> bool {
    let Some(plan) = &other.plan else { return false };
    let asked = &other.request;
    let has_looked = asked.options.notebooks.is_none()
        && (asked.options.extra_tests || !tier.tier.is_opt_in)
        && (asked.only.is_empty() || asked.only.contains(name));
    let is_there = plan.prints.notebooks.contains_key(name)
        || plan.findings.iter().any(|finding| finding.name == *name)
        || plan.notebooks.contains(name)
        || plan.extra_notebooks.contains(name);
    // Whether a case of another kind is there, only its tier can say. Where no prints were taken, nobody has looked.
    tier.planned.contains(name) && has_looked && !is_there && !plan.prints.files.is_empty()
}

/// The classes of the tests of a run.
pub fn classes(run: &Run, evidence: &Evidence) -> Vec<Classed> {
    let outcome =
        |clue: &Clue| Some(run.tier(&clue.tier)?.tests.iter().find(|test| test.name == clue.name)?.outcome);
    let classed = |clue: &Clue| {
        let class = class(outcome(clue)?, &clue.on_base, clue.is_absent, &clue.same)?;
        let told_by = clue.told_by;
        Some(Classed { tier: clue.tier.clone(), name: clue.name.clone(), class, told_by })
    };
    evidence.clues.iter().filter_map(classed).collect()
}

/// Failures of planned tests of which the base says nothing yet, and of which it was not asked: what a run of the base could tell.
pub fn unknown(run: &Run, evidence: &Evidence) -> BTreeSet<String> {
    let is_known = |tier: &TierRun, test: &TestResult| {
        let clue = evidence.clues.iter().find(|it| it.tier == tier.tier.name && it.name == test.name);
        let is_flaky = |clue: &Clue| class(test.outcome, &[], false, &clue.same) == Some(Class::Flaky);
        clue.is_some_and(|clue| !clue.on_base.is_empty() || clue.is_absent || is_flaky(clue))
    };
    let failures = run.tiers.iter().flat_map(|tier| tier.tests.iter().map(move |test| (tier, test)));
    failures
        // Extra tests run when somebody asks for them, on a base as well.
        .filter(|(tier, _)| !tier.tier.is_opt_in)
        .filter(|(tier, test)| is_failure(test.outcome) && tier.planned.contains(&test.name))
        .filter(|(tier, test)| !is_known(tier, test) && !evidence.tried.contains(&test.name))
        .map(|(_, test)| test.name.clone())
        .collect()
}

/// There is something to compare: a test came to an end of its own.
pub fn has_results(run: &Run) -> bool {
    run.tiers.iter().flat_map(|tier| &tier.tests).any(|test| is_told(test.outcome))
}

/// The verdict is *fail*, and every failure behind it is proven to have been there before the change: nothing else stands in the
/// way of a pass. It says nothing on whether the recipe lets that pass.
pub fn is_nothing_new(run: &Run) -> bool {
    let Some(baseline) = run.baseline.as_ref().filter(|baseline| baseline.is_concluded) else { return false };
    let is_old = |tier: &TierRun| {
        let mut bad = tier.tests.iter().filter(|test| test.outcome.is_bad()).peekable();
        let is_of_tests = matches!(
            tier.attempts.last().and_then(|attempt| attempt.outcome),
            Some(Outcome::Failed | Outcome::Passed)
        );
        let is_known =
            |test: &TestResult| baseline.class(&tier.tier.name, &test.name) == Some(Class::AlreadyFailing);
        is_of_tests
            && bad.peek().is_some()
            && bad.all(is_known)
            && verdict::covers(&tier.tests, &tier.planned)
    };
    let mut tiers = run.tiers.iter().filter(|tier| !tier.tier.is_opt_in);
    run.verdict == Some(Verdict::Fail)
        && run.cancel.is_none()
        && tiers.all(|tier| match tier.verdict {
            Some(Verdict::Pass | Verdict::Skip) => true,
            Some(Verdict::Fail) => is_old(tier),
            Some(Verdict::Unverified) | None => false,
        })
        && run.tiers.iter().any(|tier| !tier.tier.is_opt_in && tier.verdict == Some(Verdict::Fail))
}

/// The recipe may let this run pass, once the comparison has come to its end.
pub fn is_open(run: &Run) -> bool {
    let is_lenient = |it: &&Baseline| it.already_failing == AlreadyFailing::Pass && !it.is_concluded;
    run.baseline.as_ref().filter(is_lenient).is_some() && run.verdict == Some(Verdict::Fail)
}

/// The recipe lets this run pass: nothing new fails.
pub fn is_let_pass(run: &Run) -> bool {
    let is_lenient = |it: &Baseline| it.already_failing == AlreadyFailing::Pass;
    run.baseline.as_ref().is_some_and(is_lenient) && is_nothing_new(run)
}

#[cfg(test)]
mod tests;
