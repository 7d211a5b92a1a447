//! Whatever the forge does wrong on the way, the command is executed once, and told of once.

use std::time::Duration;

use docent::demo::forge::{Effect, Misbehaviour};

use crate::GOOD;
use crate::stage::{Setting, Stage};

/// What goes wrong, each of them twice in a row.
fn effects() -> Vec<Effect> {
    vec![
        Effect::Status { code: 500, headers: Vec::new(), body: "sorry".into() },
        Effect::TooMany { retry_after: 1 },
        Effect::Cut { after: 7 },
        Effect::NotJson,
    ]
}

/// Lets requests to `path` go wrong in every way, one way after the other, while one command is carried out.
#[track_caller]
fn in_spite_of(method: &str, path: &str) {
    for effect in effects() {
        let mut stage = Stage::set(Setting { patience: Duration::from_secs(5), ..Setting::default() });
        stage.raise();
        stage.until("first poll", |stage| stage.tap().polls() > 1);
        let rule = Misbehaviour::new(effect.clone()).method(method).path(path);
        stage.forge.misbehave(rule.times(2));
        let comment = stage.say("mira", "!testme");
        stage.until(&format!("run in spite of {effect:?} at {path}"), |stage| {
            stage.run(1).is_some_and(|run| run.phase.is_ended())
        });
        stage.expect_run(1, GOOD);
        stage.expect_fates(comment, &["accepted"]);
        stage.expect_comment(&["### ✔ pass"]);
        stage.end();
    }
}

#[test]
fn in_spite_of_the_search() {
    in_spite_of("GET", "/repos/issues/search");
}

#[test]
fn in_spite_of_the_list_of_comments() {
    in_spite_of("GET", "/issues/comments?");
}

#[test]
fn in_spite_of_the_comment() {
    in_spite_of("GET", "/issues/comments/");
}

#[test]
fn in_spite_of_the_pull_request() {
    in_spite_of("GET", "/pulls/1");
}

#[test]
fn in_spite_of_the_list_of_refs_of_git() {
    in_spite_of("GET", "info/refs");
}

#[test]
fn in_spite_of_the_pack_of_git() {
    in_spite_of("POST", "/git-upload-pack");
}

#[test]
fn in_spite_of_the_making_of_the_comment() {
    in_spite_of("POST", "/issues/1/comments");
}

#[test]
fn in_spite_of_the_editing_of_the_comment() {
    in_spite_of("PATCH", "/issues/comments/");
}

#[test]
fn in_spite_of_the_statuses() {
    in_spite_of("POST", "/statuses/");
}

#[test]
fn a_forge_that_is_down_at_the_start_is_waited_for() {
    let mut stage = Stage::set(Setting::default());
    stage.forge.misbehave(Misbehaviour::status(502));
    stage.raise();
    stage.until("some tries", |stage| stage.forge.requests().len() >= 3);
    stage.forge.behave();
    stage.until("first poll", |stage| stage.tap().polls() > 1);
    stage.say("mira", "!testme");
    stage.expect_run(1, GOOD);
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}

#[test]
fn what_docent_was_doing_goes_on_though_the_forge_is_down_at_the_next_start() {
    let mut stage = Stage::start();
    stage.executor.script("first", docent::executor::scripted::Part::exits(0).held());
    stage.say("mira", "!testme");
    let running = stage.running("r1-first-1");
    stage.kill();
    stage.executor.let_end(&running);
    stage.forge.misbehave(Misbehaviour::status(502));
    stage.raise();
    stage.expect_run(1, GOOD);
    stage.forge.behave();
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}

#[test]
fn what_is_said_while_the_forge_is_down_is_heard_afterwards() {
    let stage = Stage::start();
    stage.forge.misbehave(Misbehaviour::status(502));
    let before = stage.forge.requests().len();
    stage.say("mira", "!testme");
    stage.until("some tries", |stage| stage.forge.requests().len() >= before + 3);
    stage.forge.behave();
    stage.expect_run(1, GOOD);
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}

#[test]
fn a_fetch_that_never_succeeds_is_nobodys_fault() {
    let stage = Stage::start();
    stage.forge.misbehave(Misbehaviour::status(403).path("info/refs"));
    stage.say("mira", "!testme");
    stage.expect_run(1, "FAILED unverified: ");
    let told = stage.expect_comment(&["### ? unverified", "watch credential"]);
    assert!(!told.contains("✘"), "{told}");
    stage.end();
}
