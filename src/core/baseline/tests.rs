use super::*;

const PASSED: Outcome = Outcome::Passed;
const FAILED: Outcome = Outcome::Failed;

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

/// `+` passed, `-` the author's failure, ` ` nothing of the test's own.
fn sign(outcome: Outcome) -> char {
    match outcome {
        Outcome::Passed => '+',
        Outcome::Failed | Outcome::TimedOut | Outcome::OutOfMemory | Outcome::OutOfDisk => '-',
        Outcome::Skipped | Outcome::Errored | Outcome::Cancelled | Outcome::Lost => ' ',
    }
}

#[test]
fn every_combination_has_its_class_or_none() {
    use Class::*;
    for here in ALL {
        for there in ALL {
            for same in [None, Some(PASSED), Some(FAILED), Some(Outcome::Errored), Some(Outcome::TimedOut)] {
                let signs = (sign(here), sign(there), same.map_or(' ', sign));
                let expected = match signs {
                    (' ', _, _) => None,
                    ('+', _, '-') | ('-', _, '+') => Some(Flaky),
                    ('-', '+', _) => Some(NewFailure),
                    ('-', '-', _) => Some(AlreadyFailing),
                    ('+', '-', _) => Some(Fixed),
                    _ => None,
                };
                let same: Vec<Outcome> = same.into_iter().collect();
                assert_eq!(class(here, &[there], false, &same), expected, "{here:?} {there:?} {same:?}");
            }
        }
    }
}

#[test]
fn without_evidence_there_is_no_class() {
    for here in ALL {
        assert_eq!(class(here, &[], false, &[]), None);
        assert_eq!(class(here, &[], false, &[here]), None);
    }
}

#[test]
fn a_failure_of_what_was_not_there_is_new_and_a_base_that_went_both_ways_tells_nothing() {
    assert_eq!(class(FAILED, &[], true, &[]), Some(Class::NewFailure));
    assert_eq!(class(PASSED, &[], true, &[]), None);
    for here in [PASSED, FAILED] {
        assert_eq!(class(here, &[PASSED, FAILED], false, &[]), Some(Class::Flaky));
        assert_eq!(class(here, &[PASSED, FAILED], true, &[]), Some(Class::Flaky));
    }
    // What the machinery did on the base is no word of the test.
    assert_eq!(class(FAILED, &[Outcome::Errored, FAILED], false, &[]), Some(Class::AlreadyFailing));
    // Another run of the base that found it skipped does not make it absent.
    assert_eq!(class(FAILED, &[Outcome::Skipped], false, &[]), None);
}
