//! What a run has had before is not done again, and nothing that changed is taken for the same.

use docent::core::id::RunId;
use docent::executor::scripted::Part;

use crate::stage::{LOCKED, Setting, Stage};

/// All but the one that is run only when asked for.
const NOTEBOOKS: [&str; 3] =
    ["notebooks/flat_field.ipynb", "notebooks/light_curve.ipynb", "notebooks/survey_archive.ipynb"];

/// A stage on which every notebook passes in an environment of this lock.
fn stage() -> Stage {
    let stage = Stage::start_with(Setting { recipe: LOCKED, ..Setting::default() });
    lock(&stage, "1");
    pass(&stage, "notebooks", &NOTEBOOKS);
    stage
}

/// That attempt finds that these pass.
fn pass(stage: &Stage, attempt: &str, names: &[&str]) {
    // A step that claims to have reused something is not believed.
    let tests: Vec<_> = names
        .iter()
        .map(|name| serde_json::json!({"name": name, "outcome": "passed", "seconds": 1.0, "reused_from": 99}))
        .collect();
    let outputs = serde_json::json!({ "tests": tests }).to_string();
    stage.executor.script(attempt, Part::exits(0).leaving("outputs.json", outputs));
}

fn lock(stage: &Stage, lock: &str) {
    stage.executor.script("lock", Part::exits(0).leaving("artifacts/lock", lock));
}

/// Which attempts a run has really submitted, and which notebooks it was told to run.
fn submitted(stage: &Stage, run: i64) -> (Vec<String>, Vec<String>) {
    let jobs: Vec<_> =
        stage.executor.submissions().into_iter().filter(|job| job.attempt.run == RunId(run)).collect();
    let told = jobs.last().filter(|job| job.attempt.tier == "notebooks").map(|job| {
        let plan: serde_json::Value = serde_json::from_slice(&job.inputs["plan.json"]).unwrap();
        let mut names: Vec<String> = serde_json::from_value(plan["notebooks"].clone()).unwrap();
        names.sort();
        names
    });
    (jobs.iter().map(|job| job.attempt.tier.clone()).collect(), told.unwrap_or_default())
}

#[test]
fn the_same_again_is_taken_from_before() {
    let stage = stage();
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED pass: lock-1 passed, environment-1 passed, notebooks-1 passed");
    assert_eq!(submitted(&stage, 1).1, NOTEBOOKS);

    stage.say("mira", "!testme");
    stage.expect_run(2, "COMPLETED pass: lock-1 passed, notebooks-1 passed");
    assert_eq!(submitted(&stage, 2).0, ["lock"], "neither the environment nor a notebook was made again");
    stage.expect_comment(&["from run 1", "3 reused"]);
    let reused = stage.run(2).unwrap().tier("notebooks").unwrap().tests.clone();
    assert!(reused.iter().all(|test| test.reused_from == Some(RunId(1))), "{reused:?}");

    stage.say("mira", "!testme --full");
    stage.expect_run(3, "COMPLETED pass: lock-1 passed, environment-1 passed, notebooks-1 passed");
    assert_eq!(submitted(&stage, 3).0, ["lock", "environment", "notebooks"]);
    assert!(
        stage.run(3).unwrap().tier("notebooks").unwrap().tests.iter().all(|test| test.reused_from.is_none())
    );
    stage.end();
}

#[test]
fn only_what_changed_is_run() {
    let stage = stage();
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED pass: lock-1 passed, environment-1 passed, notebooks-1 passed");

    let code = r#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": null, "source": "1 + 1"}]}"#;
    pass(&stage, "r2-notebooks-1", &["notebooks/flat_field.ipynb"]);
    stage.push_files(&[("notebooks/flat_field.ipynb", code.as_bytes()), ("README.md", b"New prose.")]);
    stage.say("mira", "!testme");
    stage.expect_run(2, "COMPLETED pass: lock-1 passed, notebooks-1 passed");
    assert_eq!(submitted(&stage, 2).1, ["notebooks/flat_field.ipynb"]);
    stage.expect_comment(&["2 reused"]);

    // A file that notebooks may read changes what all of them see; another lock does too.
    stage.push_files(&[("data.csv", b"1,2")]);
    stage.say("mira", "!testme");
    stage.expect_run(3, "COMPLETED pass: lock-1 passed, notebooks-1 passed");
    assert_eq!(submitted(&stage, 3).1, NOTEBOOKS);
    lock(&stage, "2");
    stage.say("mira", "!testme");
    stage.expect_run(4, "COMPLETED pass: lock-1 passed, environment-1 passed, notebooks-1 passed");
    assert_eq!(submitted(&stage, 4).1, NOTEBOOKS);
    stage.end();
}

#[test]
fn a_failure_is_looked_at_again() {
    let stage = stage();
    let outputs = serde_json::json!({"tests": NOTEBOOKS.map(|name| {
        let outcome = if name.contains("flat") { "failed" } else { "passed" };
        serde_json::json!({"name": name, "outcome": outcome})
    })});
    stage.executor.script("r1-notebooks-1", Part::exits(1).leaving("outputs.json", outputs.to_string()));
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED fail: lock-1 passed, environment-1 passed, notebooks-1 failed");
    pass(&stage, "r2-notebooks-1", &["notebooks/flat_field.ipynb"]);
    stage.say("mira", "!testme");
    stage.expect_run(2, "COMPLETED pass: lock-1 passed, notebooks-1 passed");
    assert_eq!(submitted(&stage, 2).1, ["notebooks/flat_field.ipynb"]);
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}

#[test]
fn an_environment_that_somebody_removed_is_built_again() {
    let mut stage = stage();
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED pass: lock-1 passed, environment-1 passed, notebooks-1 passed");
    stage.kill();
    stage.executor.lose_environments();
    stage.raise();
    stage.until("the loss noticed", |stage| stage.environments().is_empty());
    stage.say("mira", "!testme");
    stage.expect_run(2, "COMPLETED pass: lock-1 passed, environment-1 passed, notebooks-1 passed");
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}
