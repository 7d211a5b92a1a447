//! Failures that an open deferral announced: they are told as such, by the word of the base only, and stay red.

use docent::core::deferred::RunSeen;
use docent::core::outcome::Outcome;
use docent::core::result::{Document, Origin};
use docent::executor::scripted::Part;

use crate::stage::{REPOSITORY, Setting, Stage};

const FAILED: &str = "COMPLETED fail: first-1 passed, second-1 failed";
const OUTPUTS: &str = r#"{"tests": [
    {"name": "extra/test_load.py::test_a", "outcome": "failed", "message": "too slow"},
    {"name": "extra/test_load.py::test_b", "outcome": "failed", "message": "too slow"}]}"#;

/// A file with one open entry for this test.
fn register(slug: &str, test: &str) -> String {
    format!(
        "## Open deferrals\n\n### 2026-11-02 {slug}\n\n- [ ] **What**: `{test}` passes.\n- **Filed by**: mira\n\
         - **Reason for deferral**: slow.\n\n## Closed deferrals\n"
    )
}

fn stage() -> Stage {
    let stage = Stage::start_with(Setting::default());
    stage.executor.script("second", Part::exits(1).leaving("outputs.json", OUTPUTS));
    stage
}

#[test]
fn a_failure_that_the_base_announces_says_so_and_stays_red() {
    let stage = stage();
    let text = register("load", "extra/test_load.py::test_a");
    stage.let_forge_wait(2);
    let base = stage.forge.commit(REPOSITORY, "main", &[("DEFERRED.md", text.as_bytes())]);
    // Its own file names the other test too, and a pull request does not excuse itself.
    let own = text.replace("` passes", "` and `extra/test_load.py::test_b` pass").replace(" load", " mine");
    stage.push_files(&[("DEFERRED.md", own.as_bytes())]);
    stage.until("the new base", |stage| {
        let pull = stage.seen_pull(REPOSITORY, stage.sample.pull);
        pull.is_some_and(|pull| pull.now.base.as_str() == base)
    });
    stage.say("mira", "!testme");
    stage.expect_run(1, FAILED);
    let told = stage.expect_comment(&["### ✘ fail: 2 failed", "known: deferred as load since 2026-11-02"]);
    assert_eq!(told.matches("known: deferred").count(), 1, "{told}");
    let (a, b) = (told.find("test_a").unwrap(), told.find("test_b").unwrap());
    let known = told.find("known: deferred").unwrap();
    assert!(a < known && known < b, "it stands beside the test that it is about: {told}");

    let run = stage.run(1).unwrap();
    assert_eq!(run.plan.as_ref().unwrap().deferred.len(), 1);
    let document = serde_json::to_value(Document::of(&run, Origin::default())).unwrap();
    let tests = &document["tiers"][1]["tests"];
    let expected = serde_json::json!({"slug": "load", "since": "2026-11-02", "is_own_word": false});
    assert_eq!((&tests[0]["deferred"], tests[1].get("deferred")), (&expected, None));
    // What docent writes of a run is what `defer close` reads.
    let mut document = document;
    document["tiers"][1]["is_opt_in"] = true.into();
    let seen = RunSeen::of(&document.to_string(), "extra/test_load.py::test_b").unwrap();
    assert_eq!((seen.name.as_str(), seen.outcome), ("run 1", Some(Outcome::Failed)));
    assert_eq!(seen.sha, run.request.sha);
    stage.end();
}

#[test]
fn a_pull_request_does_not_excuse_itself() {
    let stage = stage();
    stage.push_files(&[("DEFERRED.md", register("mine", "extra/test_load.py::test_a").as_bytes())]);
    stage.say("mira", "!testme");
    stage.expect_run(1, FAILED);
    let told = stage.expect_comment(&["### ✘ fail: 2 failed"]);
    assert!(!told.contains("deferred"), "{told}");
    assert_eq!(stage.run(1).unwrap().plan.unwrap().deferred, []);
    stage.end();
}
