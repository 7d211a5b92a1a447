//! Specs: what a run makes of one, before anything of it is executed.

use docent::core::id::RunId;
use docent::executor::scripted::Part;
use serde_json::Value;

use crate::stage::{LOCKED_WITH_SPECS, REPOSITORY, Setting, Stage};

pub const SPEC: &str = r#"image_spec_header:
  image_name: Alpha Survey
  deployment_name: alpha
  kernel_name: alpha
  display_name: Alpha
  valid_on: 2026-01-01
  expires_on: 2027-01-01
  python_version: "3.11"
repositories:
  own:
    url: URL
    ref: main
  other:
    url: OTHER
    ref: v1
selected_notebooks:
  first:
    repo: own
    root_directory: notebooks
    include_subdirs:
      - light_curve
      - flat_field
    tests:
      papermill: true
  second:
    repo: other
    include_subdirs:
      - .
    tests:
      papermill: false
extra_pip_packages:
  - numpy>=1
environment_vars:
  DATA: here
system:
  spec_version: 2.3
  spi:
    repo: https://github.com/example/images.git
    ref: main
"#;

const NOTEBOOK: &[u8] = br#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}"#;

/// A stage with a second repository that the spec takes a notebook from, at a tag by its begin.
pub fn stage() -> Stage {
    let mut stage = Stage::set(Setting { recipe: LOCKED_WITH_SPECS, ..Setting::default() });
    stage.forge.repository("astro", "more", false);
    let old =
        stage.forge.commit("astro/more", "main", &[("z.ipynb", NOTEBOOK), ("requirements.txt", b"scipy\n")]);
    stage.forge.tag("astro/more", "v1.2", &old);
    let new = stage.forge.commit("astro/more", "main", &[("y/z.ipynb", NOTEBOOK)]);
    stage.forge.tag("astro/more", "v1.10", &new);
    stage.forge.commit("astro/more", "main", &[("late.ipynb", NOTEBOOK)]);
    stage.executor.script("lock", Part::exits(0).leaving("artifacts/lock", "1"));
    stage.raise();
    stage.until("first poll", |stage| stage.has_polled());
    stage
}

pub fn spec(stage: &Stage) -> String {
    let url = |name: &str| format!("{}/{name}.git", stage.forge.url());
    SPEC.replace("URL", &url(REPOSITORY)).replace("OTHER", &url("astro/more"))
}

/// The `plan.json` of an attempt of run 1.
fn told(stage: &Stage, tier: &str) -> Value {
    let jobs = stage.executor.submissions();
    let job =
        jobs.iter().find(|job| job.attempt.run == RunId(1) && job.attempt.tier == tier).expect("submitted");
    serde_json::from_slice(&job.inputs["plan.json"]).unwrap()
}

#[test]
fn a_spec_decides_what_is_run() {
    let stage = stage();
    stage.push_files(&[
        ("nbw-spec.yaml", spec(&stage).as_bytes()),
        ("notebooks/requirements.txt", b"numpy\n"),
    ]);
    let names = [
        "references/more/y/z.ipynb",
        "references/more/z.ipynb",
        "references/notebooks/notebooks/flat_field.ipynb",
        "references/notebooks/notebooks/light_curve.ipynb",
    ];
    let tests: Vec<Value> =
        names.iter().map(|name| serde_json::json!({"name": name, "outcome": "passed"})).collect();
    let outputs = serde_json::json!({ "tests": tests }).to_string();
    stage.executor.script("notebooks", Part::exits(0).leaving("outputs.json", outputs));
    let left = Part::exits(0)
        .leaving("artifacts/lock", "1")
        .leaving("artifacts/pip_compiler_output.txt", "numpy==2.0\n")
        .leaving("artifacts/nb_to_imports.json", "{}")
        .leaving(
            "artifacts/resolution.json",
            r#"{"files": [{"path": "extra_pip_packages", "lines": ["numpy>=1"]}]}"#,
        );
    stage.executor.script("lock", left);
    stage.say("mira", "!testme");
    stage.expect_run(
        1,
        "COMPLETED pass: validate-1 passed, lock-1 passed, environment-1 passed, notebooks-1 passed",
    );
    stage.expect_comment(&["### ✔ pass", "Spec `nbw-spec.yaml` is curated as"]);
    assert!(stage.run(1).unwrap().curated.is_some_and(|kept| kept.name == "nbw-wrangler-spec.yaml"));

    let plan = told(&stage, "notebooks");
    let mut notebooks: Vec<String> = serde_json::from_value(plan["notebooks"].clone()).unwrap();
    notebooks.sort();
    assert_eq!(notebooks, names, "the highest number of the tag, and no later commit");
    let curation = &plan["curation"];
    assert_eq!(curation["python_version"], "3.11");
    assert_eq!(curation["selections"]["references/more/z.ipynb"]["papermill"], false);
    assert_eq!(curation["packages"][0]["place"], "nbw-spec.yaml:32:5");
    assert_eq!(curation["environment_vars"]["DATA"], "here");
    let own = &curation["repositories"][0];
    let head = stage.run(1).unwrap().request.sha.unwrap().to_string();
    assert_eq!(
        (own["sha"].as_str(), own["reference"].as_str()),
        (Some(head.as_str()), None),
        "the head under test"
    );
    assert_eq!(curation["repositories"][1]["reference"], "v1.10");
    let requirements: Vec<&str> = curation["requirements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(requirements, ["references/more/requirements.txt"], "that of the notebooks was not selected");
    assert!(
        stage.run(1).unwrap().plan.unwrap().warnings.iter().any(|text| text.contains("requirements.txt"))
    );
    let handed = stage
        .executor
        .submissions()
        .iter()
        .find(|job| job.attempt.tier == "environment")
        .unwrap()
        .inputs["requirements.lock"]
        .clone();
    assert_eq!(handed, b"1");
    stage.end();
}

#[test]
fn every_mistake_of_a_spec_is_told_and_nothing_of_it_is_run() {
    let stage = stage();
    let broken = spec(&stage)
        .replace("kernel_name: alpha", "kernel_nam: alpha")
        .replace("spec_version: 2.3", "spec_version: x");
    stage.push_files(&[("nbw-spec.yaml", broken.as_bytes())]);
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED fail: validate-1 failed");
    stage.expect_comment(&["### ✘ fail", "nbw-spec.yaml:4:3", "kernel_nam", "spec_version"]);
    assert!(stage.executor.submissions().is_empty());
    stage.end();
}

#[test]
fn what_a_spec_may_not_do_is_refused_before_anything_is_fetched() {
    let stage = stage();
    let elsewhere = spec(&stage)
        .replace(&format!("{}/astro/more.git", stage.forge.url()), "https://elsewhere.example.org/x.git");
    stage.push_files(&[("nbw-spec.yaml", elsewhere.as_bytes())]);
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED fail: validate-1 failed");
    stage.expect_comment(&["elsewhere.example.org", "does not list"]);
    assert!(stage.executor.submissions().is_empty());
    stage.end();
}

#[test]
fn a_ref_that_is_not_there_is_named() {
    let stage = stage();
    stage.push_files(&[("nbw-spec.yaml", spec(&stage).replace("ref: v1\n", "ref: v7\n").as_bytes())]);
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED fail: validate-1 failed");
    stage.expect_comment(&["there is no branch and no tag"]);
    stage.end();
}

#[test]
fn of_several_specs_one_has_to_be_named() {
    let stage = stage();
    let text = spec(&stage);
    stage.push_files(&[("a/nbw-spec.yaml", text.as_bytes()), ("b/nbw-spec.yaml", b"x: 1\n")]);
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED fail: ");
    stage.expect_comment(&["name one with --spec"]);
    stage.say("mira", "!testme --spec b/nbw-spec.yaml");
    stage.expect_run(2, "COMPLETED fail: validate-1 failed");
    stage.expect_comment(&["b/nbw-spec.yaml:"]);
    stage.end();
}

/// A spec may name any repository; what only docent may read must not come to light through it.
#[test]
fn a_repository_is_fetched_as_anybody_may_fetch_it() {
    let stage = stage();
    stage.forge.repository("astro", "secret", true);
    stage.forge.permit("astro/secret", docent::demo::sample::WATCHER, docent::demo::forge::Right::Read);
    stage.forge.commit("astro/secret", "main", &[("z.ipynb", NOTEBOOK)]);
    let text = spec(&stage).replace("astro/more.git", "astro/secret.git").replace("ref: v1\n", "ref: main\n");
    stage.push_files(&[("nbw-spec.yaml", text.as_bytes())]);
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED fail: validate-1 failed");
    stage.expect_comment(&["astro/secret.git cannot be read"]);
    stage.end();
}
