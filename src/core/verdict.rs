//! Verdicts: what docent concludes. A verdict may understate, never overstate: what should have run and did not is
//! *unverified*, and blocks.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::outcome::{Outcome, TestResult};

/// docent's conclusion for a job, a tier or a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All that should have run did, and passed.
    Pass,
    /// The work failed.
    Fail,
    /// Nothing was to be run, as declared.
    Skip,
    /// It should have been run and was not, or not to its end.
    Unverified,
}

impl Verdict {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Unverified => "unverified",
        }
    }

    /// A shape, so that colour never speaks alone.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Pass => "✔",
            Self::Fail => "✘",
            Self::Skip => "–",
            Self::Unverified => "?",
        }
    }
}

/// The verdict of one tier: what its attempt came to, what its tests say, and which tests were planned.
///
/// An exit code of 0 never outweighs a failed test, and a test that was planned and left no result is not a pass.
pub fn of_tier(outcome: Outcome, tests: &[TestResult], planned: &[String]) -> Verdict {
    let has = |wanted: &dyn Fn(Outcome) -> bool| tests.iter().any(|test| wanted(test.outcome));
    if has(&|outcome| outcome.is_bad() && !outcome.is_ours() && outcome != Outcome::Cancelled) {
        return Verdict::Fail;
    }
    match outcome {
        Outcome::Failed if has(&Outcome::is_ours) && !tests.is_empty() => Verdict::Unverified,
        Outcome::Failed | Outcome::TimedOut | Outcome::OutOfMemory | Outcome::OutOfDisk => Verdict::Fail,
        Outcome::Errored | Outcome::Lost | Outcome::Cancelled => Verdict::Unverified,
        Outcome::Skipped if tests.iter().all(|test| test.outcome == Outcome::Skipped) => {
            if planned.is_empty() || covers(tests, planned) { Verdict::Skip } else { Verdict::Unverified }
        }
        // The step skipped all that was left for it; what it was not given has passed before.
        Outcome::Skipped if covers(tests, planned) && tests.iter().all(is_skipped_or_known) => Verdict::Pass,
        Outcome::Skipped => Verdict::Unverified,
        Outcome::Passed if has(&Outcome::is_bad) || !covers(tests, planned) => Verdict::Unverified,
        Outcome::Passed if !tests.is_empty() && tests.iter().all(|test| test.outcome == Outcome::Skipped) => {
            Verdict::Skip
        }
        Outcome::Passed => Verdict::Pass,
    }
}

fn is_skipped_or_known(test: &TestResult) -> bool {
    match test.outcome {
        Outcome::Skipped => true,
        Outcome::Passed => test.reused_from.is_some(),
        _ => false,
    }
}

/// Every planned test has left a result.
pub(super) fn covers(tests: &[TestResult], planned: &[String]) -> bool {
    let seen: BTreeSet<&str> = tests.iter().map(|test| test.name.as_str()).collect();
    planned.iter().all(|name| seen.contains(name.as_str()))
}

/// The verdict over several: any fail is a fail, any unverified leaves the whole unverified, all skipped is a skip.
/// Of nothing, nothing is known.
pub fn of_all(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let mut any = false;
    let (mut fail, mut unverified, mut pass) = (false, false, false);
    for verdict in verdicts {
        any = true;
        match verdict {
            Verdict::Fail => fail = true,
            Verdict::Unverified => unverified = true,
            Verdict::Pass => pass = true,
            Verdict::Skip => {}
        }
    }
    match (fail, unverified, pass) {
        (true, _, _) => Verdict::Fail,
        (_, true, _) => Verdict::Unverified,
        (_, _, true) => Verdict::Pass,
        _ if any => Verdict::Skip,
        _ => Verdict::Unverified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Outcome; 9] = [
        Outcome::Passed,
        Outcome::Skipped,
        Outcome::Failed,
        Outcome::TimedOut,
        Outcome::OutOfMemory,
        Outcome::OutOfDisk,
        Outcome::Errored,
        Outcome::Cancelled,
        Outcome::Lost,
    ];

    fn test(name: &str, outcome: Outcome) -> TestResult {
        TestResult::plain(name, outcome, "", "")
    }

    #[test]
    fn a_pass_needs_a_good_attempt_good_tests_and_all_that_was_planned() {
        let planned = vec!["a".to_owned(), "b".to_owned()];
        for attempt in ALL {
            for a in ALL {
                for b in ALL {
                    let verdict = of_tier(attempt, &[test("a", a), test("b", b)], &planned);
                    let clean = attempt == Outcome::Passed && !a.is_bad() && !b.is_bad();
                    let passed = a == Outcome::Passed || b == Outcome::Passed;
                    assert_eq!(verdict == Verdict::Pass, clean && passed, "{attempt:?} {a:?} {b:?}");
                }
                let partial = of_tier(attempt, &[test("a", a)], &planned);
                assert!(matches!(partial, Verdict::Fail | Verdict::Unverified), "{attempt:?} {a:?}");
            }
        }
    }

    #[test]
    fn a_step_that_skips_the_rest_of_what_has_passed_before_leaves_a_pass() {
        let planned = vec!["a".to_owned(), "b".to_owned()];
        let known =
            |name| TestResult { reused_from: Some(crate::core::id::RunId(3)), ..test(name, Outcome::Passed) };
        let skipped = || test("b", Outcome::Skipped);
        let of = |tests: &[TestResult]| of_tier(Outcome::Skipped, tests, &planned);
        assert_eq!(of(&[known("a"), skipped()]), Verdict::Pass);
        assert_eq!(of(&[known("a")]), Verdict::Unverified, "not all that was planned");
        assert_eq!(of(&[test("a", Outcome::Passed), skipped()]), Verdict::Unverified, "it says two things");
        assert_eq!(of(&[test("a", Outcome::Skipped), skipped()]), Verdict::Skip);
    }

    #[test]
    fn the_machinery_is_never_the_authors_failure() {
        for outcome in [Outcome::Errored, Outcome::Lost, Outcome::Cancelled] {
            assert_eq!(of_tier(outcome, &[], &[]), Verdict::Unverified);
        }
        let errored = [test("a", Outcome::Errored), test("b", Outcome::Passed)];
        assert_eq!(of_tier(Outcome::Failed, &errored, &[]), Verdict::Unverified);
    }

    #[test]
    fn a_worse_part_never_makes_a_better_whole() {
        use Verdict::*;
        let rank = |verdict| match verdict {
            Fail => 0,
            Unverified => 1,
            Skip => 2,
            Pass => 3,
        };
        for a in [Pass, Fail, Skip, Unverified] {
            for b in [Pass, Fail, Skip, Unverified] {
                let whole = of_all([a, b]);
                if [a, b].contains(&Fail) || [a, b].contains(&Unverified) {
                    assert_eq!(rank(whole), rank(a).min(rank(b)));
                }
            }
        }
        assert_eq!(of_all([]), Unverified);
        assert_eq!(of_all([Skip, Skip]), Skip);
    }
}
