//! What has to be proven, and what closing writes.

use super::*;
use crate::core::outcome::Outcome;

const TEST: &str = "extra/test_load.py::TestAll::test_a[x]";
const SHA: &str = "1111111111111111111111111111111111111111";

#[test]
fn closing_ticks_the_box_and_adds_one_line() {
    let how = "`extra/test_compress.py::test_all` passed in run 7 at 1a2b3c4";
    let closed = close(SAMPLE, "matrix-synapse-compress-state-sh-port", day("2026-11-27"), how).unwrap();
    let expected = SAMPLE.replacen("- [ ] **What:** Port", "- [x] **What:** Port", 1).replacen(
        "BACKLOG:** IDEAS.md\n",
        &format!("BACKLOG:** IDEAS.md\n- **Closed:** 2026-11-27: {how}\n"),
        1,
    );
    assert_eq!(closed, expected);
    assert_eq!(mistakes(&closed), "");

    let refused = |name| close(SAMPLE, name, day("2026-11-27"), how).unwrap_err();
    assert_eq!(refused("closed-in-place"), "closed-in-place is closed already (line 30)");
    assert_eq!(
        refused("matrix"),
        "there is no entry matrix (did you mean \"matrix-synapse-compress-state-sh-port\"?): \
                `docent defer list --all` shows them"
    );
}

#[test]
fn a_test_is_looked_for_in_its_file() {
    let there = |is_extra| AtHead::There { is_extra };
    let python = "class TestAll:\n    async  def test_a(self, x): ...\n\ndef test_b():\n    pass\n# def test_c(): ...\n";
    let notebook = |tag: &str| {
        format!(r#"{{"nbformat": 4, "nbformat_minor": 5, "metadata": {{"tags": ["{tag}"]}}, "cells": []}}"#)
    };
    let table = [
        (TEST, Some(python.to_owned()), there(true)),
        ("tests/test_load.py::test_b", Some(python.to_owned()), there(false)),
        ("tests/test_load.py::test_c", Some(python.to_owned()), AtHead::NoTest),
        ("tests/test_load.py::test_", Some(python.to_owned()), AtHead::NoTest),
        ("tests/test_load.py::TestOther::test_b", Some(python.to_owned()), AtHead::NoTest),
        ("tests/test_load.py", Some(python.to_owned()), AtHead::NoTest),
        (TEST, None, AtHead::NoFile),
        ("n/a.ipynb", Some(notebook("docent-extra")), there(true)),
        ("n/a.ipynb", Some(notebook("other")), there(false)),
        ("extra/a.ipynb", Some(notebook("other")), there(true)),
        ("extra/a.ipynb", Some("{}".to_owned()), AtHead::NoTest),
    ];
    for (test, content, expected) in table {
        assert_eq!(at_head(test, content.as_deref().map(str::as_bytes)), expected, "{test} in {content:?}");
    }
}

fn document(extra_verdict: &str, is_opt_in: bool, name: &str, outcome: &str) -> String {
    serde_json::json!({
        "schema": "docent.result.1", "run": 7, "phase": "COMPLETED", "head_sha": SHA, "extra_verdict": extra_verdict,
        "later": 1, "tiers": [{"is_opt_in": is_opt_in, "tests": [{"name": name, "outcome": outcome, "message": ""}]}],
    })
    .to_string()
}

fn seen(document: &str, is_in_history: bool) -> RunSeen {
    RunSeen { is_in_history, ..RunSeen::of(document, TEST).unwrap() }
}

#[test]
fn the_document_of_a_run_says_what_became_of_the_test() {
    let run = seen(&document("pass", true, TEST, "passed"), false);
    assert_eq!((run.name.as_str(), run.outcome), ("run 7", Some(Outcome::Passed)));
    assert_eq!((run.sha, run.extra_verdict), (SHA.parse().ok(), Some(Verdict::Pass)));
    let junit = seen(&document("pass", true, "extra.test_load.TestAll.test_a[x]", "failed"), false);
    assert_eq!(junit.outcome, Some(Outcome::Failed));
    let default_tier = seen(&document("pass", false, TEST, "passed"), false);
    assert_eq!(default_tier.outcome, None);
    let stopped = document("pass", true, TEST, "passed").replace("COMPLETED", "CANCELLED");
    assert_eq!(seen(&stopped, true).extra_verdict, None);
    assert!(RunSeen::of("{}", TEST).is_err());
    let newer = document("pass", true, TEST, "passed").replace("result.1", "result.2");
    assert!(RunSeen::of(&newer, TEST).unwrap_err().contains("docent.result.2"));
    let twice = r#"{"schema": "docent.result.1", "run": 1, "phase": "COMPLETED", "head_sha": null, "extra_verdict": "pass",
        "tiers": [{"is_opt_in": true, "tests": [{"name": "a", "outcome": "passed"}, {"name": "a", "outcome": "failed"}]}]}"#;
    assert_eq!(RunSeen::of(twice, "a").unwrap().outcome, Some(Outcome::Failed));
}

/// What is missing, by name.
fn missing(at_head: AtHead, runs: &[RunSeen]) -> Vec<&'static str> {
    let name = |missing: &Missing| match missing {
        Missing::Test(_) => "test",
        Missing::Discovery(_) => "discovery",
        Missing::Green(_) => "green",
    };
    may_close(TEST, at_head, runs).err().unwrap_or_default().iter().map(name).collect()
}

#[test]
fn each_of_the_three_proofs_is_needed() {
    let there = AtHead::There { is_extra: true };
    let green = seen(&document("pass", true, TEST, "passed"), true);
    assert_eq!(missing(there, std::slice::from_ref(&green)), [""; 0]);
    assert_eq!(may_close(TEST, there, std::slice::from_ref(&green)), Ok(&green));
    assert_eq!(missing(AtHead::NoFile, std::slice::from_ref(&green)), ["test"]);
    assert_eq!(missing(AtHead::NoTest, std::slice::from_ref(&green)), ["test"]);
    assert_eq!(missing(there, &[]), ["discovery", "green"]);
    let table = [
        (
            document("pass", true, TEST, "passed"),
            false,
            vec!["discovery", "green"],
            "is neither HEAD nor before it",
        ),
        (
            document("fail", true, TEST, "passed"),
            true,
            vec!["green"],
            "the verdict of its extra tests is fail",
        ),
        (document("unverified", true, TEST, "passed"), true, vec!["green"], "is unverified"),
        (document("pass", true, TEST, "skipped"), true, vec!["green"], "the test is skipped in it"),
        (document("fail", true, TEST, "failed"), true, vec!["green"], "the test is failed in it"),
        (document("pass", true, "other", "passed"), true, vec!["discovery", "green"], "in no opt-in tier"),
        (document("pass", false, TEST, "passed"), true, vec!["discovery", "green"], "in no opt-in tier"),
        (
            document("pass", true, TEST, "passed").replace(&format!("\"{SHA}\""), "null"),
            false,
            vec!["discovery", "green"],
            "not exactly a commit",
        ),
    ];
    for (document, is_in_history, expected, words) in table {
        let run = seen(&document, is_in_history);
        assert_eq!(missing(there, std::slice::from_ref(&run)), expected, "{document}");
        let told = may_close(TEST, there, std::slice::from_ref(&run)).unwrap_err();
        assert!(told.last().unwrap().to_string().contains(words), "{told:?}");
        assert_eq!(missing(there, &[run, green.clone()]), [""; 0], "a green one among others is enough");
    }
}

#[test]
fn a_notebook_is_found_by_its_tag_or_folder() {
    let green = || RunSeen {
        name: "run 1".to_owned(),
        sha: SHA.parse().ok(),
        is_in_history: true,
        extra_verdict: Some(Verdict::Fail),
        outcome: None,
    };
    let told = |is_extra| may_close("n/a.ipynb", AtHead::There { is_extra }, &[green()]).unwrap_err();
    assert_eq!(told(true).len(), 1);
    assert_eq!(told(false).len(), 2);
}
