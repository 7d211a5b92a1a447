//! What the machinery does wrong is tried once more, and never blamed on the author.

use docent::executor::ExecutorError;
use docent::executor::scripted::Part;

use crate::GOOD;
use crate::stage::{Setting, Stage};

#[test]
fn an_executor_that_refuses_is_asked_once_more() {
    let stage = Stage::start();
    stage.executor.refuse(ExecutorError::Broken("no space left on device".into()));
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED pass: first-1 errored, first-2 passed, second-1 passed");
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}

#[test]
fn an_executor_that_goes_on_refusing_leaves_the_run_unverified() {
    let stage = Stage::start();
    for _ in 0..2 {
        stage.executor.refuse(ExecutorError::Broken("no space left on device".into()));
    }
    stage.say("mira", "!testme");
    stage.expect_run(1, "FAILED unverified: first-1 errored, first-2 errored");
    let told = stage.expect_comment(&["### ? unverified", "no space left on device"]);
    assert!(!told.contains("fail"), "{told}");
    stage.end();
}

#[test]
fn an_image_that_is_missing_is_named_with_what_to_do() {
    let stage = Stage::start();
    for _ in 0..2 {
        let image = "docent-test/tiny:1".to_owned();
        stage.executor.refuse(ExecutorError::MissingImage { image, recipe: "trial".into() });
    }
    stage.say("mira", "!testme");
    stage.expect_run(1, "FAILED unverified: first-1 errored, first-2 errored");
    stage.expect_comment(&["### ? unverified", "docent recipe build trial"]);
    stage.end();
}

#[test]
fn an_executor_that_does_not_answer_is_waited_for() {
    let stage = Stage::start();
    stage.executor.set_down(true);
    stage.say("mira", "!testme");
    stage.until("first try", |stage| {
        stage.tap().points().iter().filter(|point| *point == "after submit").count() >= 1
    });
    stage.executor.set_down(false);
    stage.expect_run(1, GOOD);
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}

#[test]
fn an_attempt_that_is_gone_after_a_restart_is_tried_once_more() {
    let mut stage = Stage::start();
    stage.executor.script("r1-first-1", Part::exits(0).held());
    stage.say("mira", "!testme");
    let lost = stage.running("r1-first-1");
    stage.kill();
    stage.executor.lose(&lost);
    stage.raise();
    stage.expect_run(1, "COMPLETED pass: first-1 lost, first-2 passed, second-1 passed");
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}

#[test]
fn an_attempt_that_is_gone_twice_leaves_the_run_unverified() {
    let mut stage = Stage::start();
    stage.executor.script("first", Part::exits(0).held());
    stage.say("mira", "!testme");
    for attempt in ["r1-first-1", "r1-first-2"] {
        let lost = stage.running(attempt);
        stage.kill();
        stage.executor.lose(&lost);
        stage.raise();
    }
    stage.expect_run(1, "FAILED unverified: first-1 lost, first-2 lost");
    stage.expect_comment(&["### ? unverified"]);
    stage.end();
}

#[test]
fn an_attempt_that_runs_on_over_a_restart_is_adopted() {
    let mut stage = Stage::start();
    stage.executor.script("first", Part::exits(0).held());
    stage.say("mira", "!testme");
    let kept = stage.running("r1-first-1");
    stage.kill();
    stage.raise();
    stage.executor.let_end(&kept);
    stage.expect_run(1, GOOD);
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}

#[test]
fn what_nobody_knows_of_is_removed_at_the_next_start() {
    let mut stage = Stage::start_with(Setting { has_reports: false, ..Setting::default() });
    stage.executor.script("first", Part::exits(0).held());
    stage.say("mira", "!testme");
    stage.running("r1-first-1");
    stage.kill();
    for name in ["77", "78"] {
        std::fs::create_dir_all(stage.state().join("work").join(name).join("checkout")).unwrap();
    }
    stage.raise();
    stage.say("mira", "!cancel");
    stage.expect_run(1, "CANCELLED unverified: first-1 cancelled");
    stage.end();
}

#[test]
fn the_authors_failures_are_the_authors() {
    let stage = Stage::start();
    stage.executor.script("first", Part::exits(0));
    stage.executor.script("second", Part::ends(docent::core::outcome::Ending::OutOfMemory));
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED fail: first-1 passed, second-1 out of memory");
    stage.expect_comment(&["### ✘ fail", "killed at its memory limit"]);
    stage.end();
}

#[test]
fn a_failed_gate_leaves_what_comes_after_it_unverified() {
    let stage = Stage::start();
    stage.executor.script("first", Part::exits(3));
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED fail: first-1 failed");
    stage.expect_comment(&["### ✘ fail", "| second | ? unverified |", "ended with code 3"]);
    stage.end();
}
