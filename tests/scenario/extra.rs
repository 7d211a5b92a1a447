//! Extra tests on a forge: a status and a block of their own, a quota that a crash does not reset.

use docent::core::extra::{ExtraPolicy, ExtraRule};
use docent::executor::scripted::Part;

use crate::stage::{REPOSITORY, Setting, Stage};

const RED: &str = r#"{"tests": [
    {"name": "tests/extra/test_a.py::test_good", "outcome": "passed", "seconds": 2.0},
    {"name": "tests/extra/test_a.py::test_bad", "outcome": "failed", "class": "test_failed",
     "message": "tests/extra/test_a.py:3: AssertionError: no such band"}]}"#;

/// The last state of each status of the pull request's head, by context.
fn statuses(stage: &Stage) -> Vec<(String, String)> {
    let mut last = std::collections::BTreeMap::new();
    for status in stage.forge.statuses(REPOSITORY, &stage.sample.head) {
        last.insert(status.context, status.state);
    }
    last.into_iter().collect()
}

fn are(stage: &Stage, expected: &[(&str, &str)]) -> bool {
    statuses(stage) == expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
}

#[test]
fn red_extra_tests_leave_the_default_status_green() {
    let stage = Stage::start();
    stage.executor.script("extra", Part::exits(1).leaving("outputs.json", RED).held());
    stage.say("mira", "!testme --extra-tests");
    let extra = stage.running("r1-extra-1");
    // Who waits for the default tiers waits no longer.
    stage.until("the default status", |stage| {
        are(stage, &[("docent", "success"), ("docent/extra", "pending")])
    });
    stage.executor.let_end(&extra);
    stage.expect_run(1, "COMPLETED pass: first-1 passed, second-1 passed, extra-1 failed");
    let told = stage.expect_comment(&[
        "### ✔ pass",
        "#### ✘ Extra tests: fail: 1 passed, 1 failed",
        "no such band",
        "extra tests that passed or were skipped",
    ]);
    let (default, _) = told.split_once("Extra tests:").unwrap();
    assert!(!default.contains("test_bad"), "{told}");
    stage.until("the statuses", |stage| are(stage, &[("docent", "success"), ("docent/extra", "failure")]));
    // A default run afterwards says nothing of them.
    stage.say("mira", "!testme --full");
    stage.expect_run(2, crate::GOOD);
    let told = stage.expect_comment(&["### ✔ pass", "earlier runs"]);
    assert!(!told.contains("Extra tests:"), "{told}");
    assert!(are(&stage, &[("docent", "success"), ("docent/extra", "failure")]));
    stage.end();
}

#[test]
fn a_quota_holds_after_a_crash_and_beyond_it_somebody_accepts() {
    let extra = ExtraPolicy { rule: ExtraRule::Run, per_day: Some(1) };
    let mut stage = Stage::start_with(Setting { extra, ..Setting::default() });
    let second = stage.pull("second");
    stage.say("mira", "!testme --extra-tests");
    let all = "COMPLETED pass: first-1 passed, second-1 passed, extra-1 passed";
    stage.expect_run(1, all);
    stage.expect_comment(&["### ✔ pass", "#### ✔ Extra tests: pass"]);
    stage.kill();
    stage.raise();
    let asked = stage.say_on(REPOSITORY, second, "mira", "!testme --extra-tests");
    stage.expect_fates(asked, &["offered"]);
    let why = ["**Offer 2**", "of 1 runs with extra tests in 24 hours none is left", "is free at"];
    stage.expect_comment_on(REPOSITORY, second, &why);
    let head = stage.seen_pull(REPOSITORY, second).unwrap().now.head.to_string();
    stage.say_on(REPOSITORY, second, "mira", &format!("!accept {head}"));
    stage.expect_run(2, all);
    stage.expect_comment_on(REPOSITORY, second, &["### ✔ pass", "#### ✔ Extra tests: pass"]);
    stage.end();
}

#[test]
fn extra_tests_keep_no_default_run_waiting() {
    let stage = Stage::start();
    let (second, third) = (stage.pull("second"), stage.pull("third"));
    stage.executor.script("r1-extra-1", Part::exits(0).held());
    stage.say("mira", "!testme --extra-tests");
    let extra = stage.running("r1-extra-1");
    let waits = stage.say_on(REPOSITORY, second, "mira", "!testme --extra-tests");
    stage.expect_fates(waits, &["accepted"]);
    stage.say_on(REPOSITORY, third, "mira", "!testme");
    stage.expect_run(3, crate::GOOD);
    assert!(stage.executor.submissions().iter().all(|job| job.attempt.run.0 != 2), "it waits for the first");
    stage.executor.let_end(&extra);
    for run in 1..=2 {
        stage.expect_run(run, "COMPLETED pass: first-1 passed, second-1 passed, extra-1 passed");
    }
    stage.expect_comment(&["### ✔ pass"]);
    stage.expect_comment_on(REPOSITORY, second, &["### ✔ pass"]);
    stage.expect_comment_on(REPOSITORY, third, &["### ✔ pass"]);
    stage.end();
}
