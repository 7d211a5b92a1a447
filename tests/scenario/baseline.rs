//! What failed is compared with the commit that the pull request started from: known from before, or run there once.

use docent::core::baseline::Class;
use docent::core::id::RunId;
use docent::executor::scripted::Part;

use crate::stage::{LOCKED, REPOSITORY, Setting, Stage};

const FLAT: &str = "notebooks/flat_field.ipynb";
const CURVE: &str = "notebooks/light_curve.ipynb";
const SURVEY: &str = "notebooks/survey_archive.ipynb";

const LENIENT: &str = r#"
name = "trial"
detect = []
image = "docent-test/tiny:1"
already_failing = "pass"
[[tier]]
name = "notebooks"
run = ["sh", "-c", "true"]
tests = "notebooks"
"#;

const ALL_FAILED: &str = "COMPLETED fail: lock-1 passed, environment-1 passed, notebooks-1 failed";

/// In the environment of an earlier run.
const REUSED_FAILED: &str = "COMPLETED fail: lock-1 passed, notebooks-1 failed";

fn stage_with(setting: Setting) -> Stage {
    let stage = Stage::start_with(Setting { baseline_tests: 20, ..setting });
    stage.executor.script("lock", Part::exits(0).leaving("artifacts/lock", "1"));
    stage
}

fn stage() -> Stage {
    stage_with(Setting { recipe: LOCKED, ..Setting::default() })
}

fn part(outcomes: &[(&str, &str)]) -> Part {
    let tests: Vec<_> = outcomes
        .iter()
        .map(|(name, outcome)| serde_json::json!({"name": name, "outcome": outcome}))
        .collect();
    let code = i32::from(outcomes.iter().any(|(_, outcome)| *outcome != "passed"));
    Part::exits(code).leaving("outputs.json", serde_json::json!({ "tests": tests }).to_string())
}

fn part_of(outcomes: &[(&str, &'static str)]) -> &'static str {
    outcomes.iter().map(|(_, outcome)| *outcome).find(|outcome| *outcome != "passed").unwrap_or("passed")
}

impl Stage {
    fn script_tests(&self, attempt: &str, outcomes: &[(&str, &str)]) {
        self.executor.script(attempt, part(outcomes));
    }

    /// Waits until the comparison of a run has come to its end. Gives the class of each test that has one.
    #[track_caller]
    fn expect_classes(&self, run: i64, expected: &[(&str, Class)]) {
        self.until(&format!("comparison of run {run}"), |stage| {
            stage.run(run).unwrap().baseline.is_some_and(|baseline| baseline.is_concluded)
        });
        let run = self.run(run).unwrap();
        let classes = run.baseline.unwrap().classes;
        let mut classes: Vec<(&str, Class)> = classes.iter().map(|it| (it.name.as_str(), it.class)).collect();
        classes.sort();
        assert_eq!(classes, expected);
    }

    /// Closes the sample's pull request.
    fn close(&self) {
        self.let_forge_wait(2);
        self.forge.close(REPOSITORY, self.sample.pull);
    }
}

#[test]
fn a_failure_that_the_base_does_not_have_is_new() {
    let stage = stage();
    stage.script_tests("r1-notebooks-1", &[(FLAT, "failed"), (CURVE, "passed"), (SURVEY, "passed")]);
    stage.script_tests("r2-notebooks-1", &[(FLAT, "passed")]);
    stage.say("mira", "!testme");
    stage.expect_run(1, ALL_FAILED);
    stage.expect_run(2, "COMPLETED pass: lock-1 passed, notebooks-1 passed");
    stage.expect_classes(1, &[(FLAT, Class::NewFailure)]);
    let asked = stage.run(2).unwrap().request;
    assert_eq!(asked.only, [FLAT]);
    assert!(asked.pull.is_none() && asked.is_untrusted, "main is not watched: {asked:?}");
    assert_eq!(asked.sha, stage.run(1).unwrap().baseline.unwrap().base.into());
    let body = stage.expect_comment(&["### ✘ fail: 1 new failure, 2 passed", "failed · new failure"]);
    assert!(!body.contains("run 2"), "docent's own question is no run of the pull request: {body}");
    let ended_at = stage.run(1).unwrap().ended_at;
    assert_eq!(ended_at, stage.run(1).unwrap().phases.last().map(|entered| entered.at));

    // Known now: the same again asks nothing.
    stage.push("Something else.");
    stage.script_tests("r3-notebooks-1", &[(FLAT, "failed"), (CURVE, "passed"), (SURVEY, "passed")]);
    stage.say("mira", "!testme");
    stage.expect_run(3, REUSED_FAILED);
    stage.expect_classes(3, &[(FLAT, Class::NewFailure)]);
    stage.expect_comment(&["Run 3", "1 new failure"]);
    stage.end();
}

#[test]
fn a_failure_that_the_base_has_was_there_before() {
    let stage = stage();
    stage.script_tests("r1-notebooks-1", &[(FLAT, "failed"), (CURVE, "timed_out"), (SURVEY, "passed")]);
    stage.script_tests("r2-notebooks-1", &[(FLAT, "passed"), (CURVE, "failed")]);
    stage.say("mira", "!testme");
    stage.expect_run(1, ALL_FAILED);
    stage.expect_run(2, "COMPLETED fail: lock-1 passed, notebooks-1 failed");
    stage.expect_classes(1, &[(FLAT, Class::NewFailure), (CURVE, Class::AlreadyFailing)]);
    stage.expect_comment(&[
        "### ✘ fail: 1 new failure, 1 already failing, 1 passed",
        "timed out · already failing before this change",
    ]);
    assert_eq!(stage.run(1).unwrap().verdict.unwrap().word(), "fail", "a remark moves no verdict");
    stage.end();
}

#[test]
fn a_test_that_fails_on_the_base_alone_was_fixed() {
    let watching = Setting { branches: vec!["main".into()], recipe: LOCKED, ..Setting::default() };
    let stage = stage_with(watching);
    stage.until("first look", |stage| !stage.branches().is_empty());
    stage.script_tests("r1-notebooks-1", &[(FLAT, "failed"), (CURVE, "passed"), (SURVEY, "passed")]);
    stage.let_forge_wait(2);
    let base = stage.forge.commit(REPOSITORY, "main", &[("data.csv", b"1")]);
    stage.expect_run(1, ALL_FAILED);
    assert!(stage.run(1).unwrap().baseline.is_none(), "a branch has no base");
    // A branch that starts there.
    let pull = stage.pull("repair");
    stage.script_tests("r2-notebooks-1", &[(FLAT, "passed"), (CURVE, "passed"), (SURVEY, "passed")]);
    stage.say_on(REPOSITORY, pull, "mira", "!testme");
    stage.expect_run(2, "COMPLETED pass: lock-1 passed, environment-1 passed, notebooks-1 passed");
    assert_eq!(stage.run(2).unwrap().baseline.unwrap().base.as_str(), base);
    stage.expect_classes(2, &[(FLAT, Class::Fixed)]);
    stage.expect_comment_on(
        REPOSITORY,
        pull,
        &["### ✔ pass: 3 passed", "Fixed by this change: ", "flat_field"],
    );
    stage.end();
}

#[test]
fn what_the_same_code_does_both_ways_is_flaky() {
    let stage = stage();
    let good = [(FLAT, "passed"), (CURVE, "passed"), (SURVEY, "passed")];
    stage.script_tests("r1-notebooks-1", &good);
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED pass: lock-1 passed, environment-1 passed, notebooks-1 passed");
    stage.script_tests("r2-notebooks-1", &[(FLAT, "failed"), (CURVE, "passed"), (SURVEY, "passed")]);
    stage.say("mira", "!testme --full");
    stage.expect_run(2, ALL_FAILED);
    stage.expect_classes(2, &[(FLAT, Class::Flaky)]);
    stage.expect_comment(&[
        "### ✘ fail: 1 flaky, 2 passed",
        "flaky: the same code has both passed and failed",
    ]);
    stage.end();
}

#[test]
fn a_recipe_may_let_pass_what_failed_before_and_nothing_else() {
    let lenient = || stage_with(Setting { recipe: LENIENT, ..Setting::default() });
    // How two notebooks do here and on the base, and the light that it comes to.
    for (here, on_base, light) in [
        (["failed", "passed"], vec![(FLAT, "failed")], "success"),
        (["failed", "passed"], vec![(FLAT, "passed")], "failure"),
        (["failed", "failed"], vec![(FLAT, "failed"), (CURVE, "passed")], "failure"),
        (["failed", "failed"], vec![(FLAT, "failed")], "failure"),
    ] {
        let stage = lenient();
        stage.script_tests("r1-notebooks-1", &[(FLAT, here[0]), (CURVE, here[1]), (SURVEY, "passed")]);
        stage.executor.script("r2-notebooks-1", part(&on_base).held());
        stage.say("mira", "!testme");
        stage.expect_run(1, "COMPLETED fail: notebooks-1 failed");
        let running = stage.running("r2-notebooks-1");
        let head = stage.run(1).unwrap().request.sha.unwrap();
        let last = |stage: &Stage| stage.forge.statuses(REPOSITORY, head.as_str()).pop().map(|it| it.state);
        stage.expect_comment(&["Run 2 finds out"]);
        assert_eq!(last(&stage).as_deref(), Some("pending"), "not told before it is known");
        stage.executor.let_end(&running);
        stage.expect_run(
            2,
            match part_of(&on_base) {
                "passed" => "COMPLETED pass: notebooks-1 passed",
                _ => "COMPLETED fail: notebooks-1 failed",
            },
        );
        stage.until("status", |stage| last(stage).as_deref() == Some(light));
        assert_eq!(stage.run(1).unwrap().verdict.unwrap().word(), "fail");
        stage.end();
    }
}

#[test]
fn the_budget_bounds_what_is_asked() {
    let stage = Stage::start_with(Setting { recipe: LOCKED, baseline_tests: 1, ..Setting::default() });
    stage.executor.script("lock", Part::exits(0).leaving("artifacts/lock", "1"));
    stage.script_tests("r1-notebooks-1", &[(FLAT, "failed"), (CURVE, "failed"), (SURVEY, "failed")]);
    stage.script_tests("r2-notebooks-1", &[(FLAT, "failed")]);
    stage.say("mira", "!testme");
    stage.expect_run(1, ALL_FAILED);
    stage.expect_run(2, "COMPLETED fail: lock-1 passed, notebooks-1 failed");
    stage.expect_classes(1, &[(FLAT, Class::AlreadyFailing)]);
    stage.expect_comment(&["1 already failing, 2 failed", "of 2 failed tests nothing is known"]);
    stage.end();

    let stage = Stage::start_with(Setting { recipe: LOCKED, baseline_tests: 0, ..Setting::default() });
    stage.executor.script("lock", Part::exits(0).leaving("artifacts/lock", "1"));
    stage.script_tests("r1-notebooks-1", &[(FLAT, "failed"), (CURVE, "passed"), (SURVEY, "passed")]);
    stage.say("mira", "!testme");
    stage.expect_run(1, ALL_FAILED);
    stage.expect_classes(1, &[]);
    stage.expect_comment(&["### ✘ fail: 2 passed, 1 failed"]);
    stage.end();
}

#[test]
fn a_newer_run_or_a_closing_ends_what_nobody_waits_for() {
    let stage = stage();
    stage.script_tests("r1-notebooks-1", &[(FLAT, "failed"), (CURVE, "passed"), (SURVEY, "passed")]);
    stage.executor.script("r2-notebooks-1", part(&[(FLAT, "failed")]).held());
    stage.say("mira", "!testme");
    stage.running("r2-notebooks-1");
    stage.script_tests("r3-notebooks-1", &[(FLAT, "failed"), (CURVE, "passed"), (SURVEY, "passed")]);
    stage.executor.script("r4-notebooks-1", part(&[(FLAT, "failed")]).held());
    stage.push("More.");
    stage.say("mira", "!testme");
    stage.expect_run(1, ALL_FAILED);
    stage.expect_run(2, "CANCELLED unverified: lock-1 passed, notebooks-1 cancelled");
    stage.expect_classes(1, &[]);
    stage.running("r4-notebooks-1");
    stage.close();
    stage.expect_run(3, REUSED_FAILED);
    stage.expect_run(4, "CANCELLED unverified: lock-1 passed, notebooks-1 cancelled");
    stage.expect_classes(3, &[]);
    stage.expect_comment(&["Run 3"]);
    stage.end();
}

#[test]
fn a_death_in_between_loses_no_comparison() {
    let mut stage = stage();
    stage.script_tests("r1-notebooks-1", &[(FLAT, "failed"), (CURVE, "passed"), (SURVEY, "passed")]);
    stage.executor.script("r2-notebooks-1", part(&[(FLAT, "failed")]).held());
    stage.say("mira", "!testme");
    let running = stage.running("r2-notebooks-1");
    stage.expect_run(1, ALL_FAILED);
    stage.kill();
    stage.raise();
    stage.executor.let_end(&running);
    stage.expect_run(2, "COMPLETED fail: lock-1 passed, notebooks-1 failed");
    stage.expect_classes(1, &[(FLAT, Class::AlreadyFailing)]);
    stage.expect_comment(&["### ✘ fail: 1 already failing, 2 passed"]);
    stage.end();
}

#[test]
fn two_pull_requests_ask_a_base_once() {
    let stage = stage();
    let other = stage.pull("other");
    let bad = [(FLAT, "failed"), (CURVE, "passed"), (SURVEY, "passed")];
    stage.script_tests("r1-notebooks-1", &bad);
    stage.executor.script("r2-notebooks-1", part(&[(FLAT, "failed")]).held());
    stage.script_tests("r3-notebooks-1", &bad);
    stage.say("mira", "!testme");
    let running = stage.running("r2-notebooks-1");
    stage.say_on(REPOSITORY, other, "mira", "!testme");
    stage.expect_run(1, ALL_FAILED);
    stage.expect_run(3, REUSED_FAILED);
    stage.until("second waiter", |stage| stage.run(2).unwrap().awaited_by.len() == 2);
    // The first one gives up; the second still wants to know.
    stage.close();
    stage.until("one waiter", |stage| stage.run(2).unwrap().awaited_by.len() == 1);
    stage.executor.let_end(&running);
    stage.expect_run(2, "COMPLETED fail: lock-1 passed, notebooks-1 failed");
    stage.expect_classes(3, &[(FLAT, Class::AlreadyFailing)]);
    assert_eq!(stage.run(3).unwrap().baseline.unwrap().by, Some(RunId(2)));
    stage.expect_comment(&["Run 1"]);
    stage.expect_comment_on(REPOSITORY, other, &["1 already failing"]);
    stage.end();
}
