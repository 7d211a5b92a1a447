//! What docent tells the forge, and what it does not.

use docent::core::verdict::Verdict;
use docent::executor::scripted::Part;

use crate::GOOD;
use crate::stage::{REPOSITORY, Setting, Stage};

#[test]
fn without_a_report_credential_docent_only_reads() {
    let stage = Stage::start_with(Setting { has_reports: false, ..Setting::default() });
    stage.executor.script("second", Part::exits(1).writing("it broke\n"));
    let wrong = stage.say("mira", "!tesme");
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED fail: first-1 passed, second-1 failed");
    stage.expect_fates(wrong, &["not understood"]);
    let requests = stage.forge.requests();
    let wrote: Vec<_> = requests.iter().filter(|request| !request.is_reading()).collect();
    assert!(requests.len() > 10 && wrote.is_empty(), "{wrote:#?}");
    let run = stage.run(1).unwrap();
    let log = run.tiers[1].attempts[0].log.clone().unwrap();
    let kept = docent::store::Files::open(&stage.state()).unwrap().path(&log.digest).unwrap();
    assert_eq!(
        (run.verdict, std::fs::read_to_string(kept).unwrap().as_str()),
        (Some(Verdict::Fail), "it broke\n")
    );
    stage.end();
}

#[test]
fn a_comment_that_somebody_deleted_is_made_anew_once() {
    let stage = Stage::start();
    stage.say("mira", "!testme");
    stage.expect_run(1, GOOD);
    stage.expect_comment(&["### ✔ pass"]);
    let first = stage.told(REPOSITORY, stage.sample.pull)[0].id;
    stage.forge.delete_comment(first);
    stage.say("mira", "!status");
    stage.expect_comment(&["### ✔ pass", "no run of this pull request is live"]);
    assert_ne!(stage.told(REPOSITORY, stage.sample.pull)[0].id, first);
    stage.end();
}

#[test]
fn every_test_of_the_report_is_told() {
    let stage = Stage::start();
    let outputs = r#"{"tests": [
        {"name": "notebooks/a.ipynb", "outcome": "passed", "seconds": 1.5},
        {"name": "notebooks/b.ipynb", "outcome": "failed", "class": "cell_error",
         "cell": {"index": 4, "code_index": 2, "execution_count": 2, "heading": "Flat field"},
         "exception": {"name": "KeyError", "value": "'flat_field'"}}]}"#;
    stage.executor.script("second", Part::exits(1).leaving("outputs.json", outputs));
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED fail: first-1 passed, second-1 failed");
    let told = stage.expect_comment(&["### ✘ fail: 1 passed, 1 failed"]);
    let told = told.replace(&stage.sample.head, "HEAD").replace(stage.forge.url(), "FORGE");
    let told = told.replace(&stage.sample.head[..7], "HEAD");
    let told: Vec<&str> = told.lines().filter(|line| !line.starts_with("Run 1 at")).collect();
    insta::assert_snapshot!(told.join("\n"));
    stage.end();
}

/// Names that mean something to a shell, to Markdown, to a terminal, or to a reader's eye.
const ODD: &str = "$(touch${IFS}x)`id`|@mira<img/src=x>\u{202e}gpj";

/// What a forge would take for text or markup.
fn outside_of_code(markdown: &str) -> String {
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
    let mut is_code = false;
    let events = Parser::new_ext(markdown, Options::all()).map(|event| {
        match event {
            Event::Start(Tag::CodeBlock(_)) => is_code = true,
            Event::End(TagEnd::CodeBlock) => is_code = false,
            Event::Text(text) if !is_code => return text.to_string(),
            Event::Html(text) | Event::InlineHtml(text) => return text.to_string(),
            _ => {}
        }
        String::from("\n")
    });
    events.collect()
}

#[test]
fn what_strangers_call_things_stays_text() {
    let stage = Stage::start();
    stage.let_forge_wait(2);
    let branch = "odd/$(touch${IFS}x)`id`;'\"@mira";
    let file = format!("notebooks/{ODD}.ipynb");
    let notebook = br##"{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}"##;
    stage.forge.commit_as(REPOSITORY, branch, Some("mira"), &[(&file, notebook)]);
    let title = format!("{ODD}\n\n!testme\n\ncloses #1 <script>alert(1)</script>");
    let pull = stage.forge.pull(REPOSITORY, "guest", &title, branch, "main");
    stage.until("pull request to be seen", |stage| stage.seen_pull(REPOSITORY, pull).is_some());
    let outputs = serde_json::json!({ "tests": [{
        "name": file, "outcome": "failed", "message": format!("{ODD}\n!testme\ncloses #1 <script>"),
    }]});
    stage.executor.script("second", Part::exits(1).leaving("outputs.json", outputs.to_string()));
    stage.say_on(REPOSITORY, pull, "mira", "!testme");
    stage.expect_run(1, "COMPLETED fail: first-1 passed, second-1 failed");
    let told = stage.expect_comment_on(REPOSITORY, pull, &["### ✘ fail"]);
    assert!(!told.contains('\u{202e}') && told.contains(r"\u{202e}"), "{told}");
    let outside: String = outside_of_code(&told);
    let read = docent::core::command::read(&told, &docent::core::command::Grammar::default());
    assert!(read.found.is_empty(), "{:?}", read.found);
    for bad in ["$(touch", "@mira", "<img", "<script", "closes #1"] {
        assert!(!outside.contains(bad), "{bad} outside of code in\n{told}");
    }
    let planned = &stage.run(1).unwrap().plan.unwrap().notebooks;
    assert!(planned.contains(&file), "{planned:?}");
    stage.end();
}
