//! Runs that are stopped, superseded, overtaken by a push or a closing, and run again.

use std::time::Duration;

use docent::demo::forge::{Effect, Misbehaviour};
use docent::executor::scripted::Part;

use crate::GOOD;
use crate::stage::{REPOSITORY, Setting, Stage};

#[test]
fn cancel_while_the_commit_is_fetched() {
    let stage = Stage::start();
    stage.forge.misbehave(Misbehaviour::new(Effect::Hang(Duration::from_secs(600))).path("git-upload-pack"));
    stage.say("mira", "!testme");
    stage.until("fetch", |stage| {
        stage.forge.requests().iter().any(|request| request.service.as_deref() == Some("git-upload-pack"))
    });
    let stop = stage.say("mira", "!cancel");
    stage.expect_run(1, "CANCELLED unverified: ");
    stage.expect_fates(stop, &["answered"]);
    stage.expect_comment(&["### ■ cancelled", "cancelled by mira"]);
    stage.end();
}

#[test]
fn cancel_while_a_fetch_waits_to_be_tried_again() {
    let stage = Stage::start();
    stage.forge.misbehave(Misbehaviour::status(503).path("git-upload-pack"));
    stage.say("mira", "!testme");
    stage.until("second try", |stage| {
        let requests = stage.forge.requests();
        requests.iter().filter(|request| request.service.as_deref() == Some("git-upload-pack")).count() >= 2
    });
    stage.say("mira", "!cancel");
    stage.expect_run(1, "CANCELLED unverified: ");
    stage.expect_comment(&["### ■ cancelled"]);
    stage.end();
}

#[test]
fn cancel_while_a_tier_runs() {
    let stage = Stage::start();
    stage.executor.script("first", Part::exits(0).held());
    stage.say("mira", "!testme");
    stage.running("r1-first-1");
    stage.say("mira", "!cancel");
    stage.expect_run(1, "CANCELLED unverified: first-1 cancelled");
    stage.expect_comment(&["### ■ cancelled"]);
    stage.end();
}

#[test]
fn cancel_in_the_queue() {
    let stage = Stage::start_with(Setting { slots: 1, ..Setting::default() });
    let other = stage.pull("other");
    stage.executor.script("r1-first-1", Part::exits(0).held());
    stage.say("mira", "!testme");
    let running = stage.running("r1-first-1");
    let waiting = stage.say_on(REPOSITORY, other, "mira", "!testme");
    stage.expect_fates(waiting, &["accepted"]);
    stage.say_on(REPOSITORY, other, "mira", "!cancel");
    stage.expect_run(2, "CANCELLED unverified: ");
    stage.executor.let_end(&running);
    stage.expect_run(1, GOOD);
    stage.expect_comment(&["### ✔ pass"]);
    stage.expect_comment_on(REPOSITORY, other, &["### ■ cancelled"]);
    stage.end();
}

#[test]
fn a_stranger_cannot_stop_a_run_and_nothing_is_not_stopped() {
    let stage = Stage::start();
    let early = stage.say("mira", "!cancel");
    stage.expect_fates(early, &["refused"]);
    stage.executor.script("first", Part::exits(0).held());
    stage.say("mira", "!testme");
    let running = stage.running("r1-first-1");
    let stop = stage.say("guest", "!cancel");
    stage.expect_fates(stop, &["refused"]);
    stage.executor.let_end(&running);
    stage.expect_run(1, GOOD);
    stage.expect_comment(&["### ✔ pass", "refused (not-allowed)", "refused (nothing-to-cancel)"]);
    stage.end();
}

#[test]
fn retry_runs_what_was_not_good_again() {
    let stage = Stage::start();
    stage.executor.script("r1-second-1", Part::exits(1));
    stage.say("mira", "!testme");
    stage.expect_run(1, "COMPLETED fail: first-1 passed, second-1 failed");
    stage.say("mira", "!retry");
    stage.expect_run(2, GOOD);
    let in_vain = stage.say("mira", "!retry");
    stage.expect_fates(in_vain, &["refused"]);
    stage.expect_comment(&["### ✔ pass", "run 1 at", "refused (nothing-to-retry)"]);
    stage.end();
}

#[test]
fn a_later_command_takes_the_place_of_a_run() {
    let stage = Stage::start();
    stage.executor.script("r1-first-1", Part::exits(0).held());
    let first = stage.say("mira", "!testme");
    stage.running("r1-first-1");
    let same = stage.say("mira", "!testme");
    stage.expect_fates(same, &["accepted"]);
    stage.say("mira", "!testme --full");
    stage.expect_run(1, "CANCELLED unverified: first-1 cancelled");
    stage.expect_run(2, GOOD);
    stage.expect_fates(first, &["superseded"]);
    stage.expect_comment(&["### ✔ pass", "superseded by run 2"]);
    stage.end();
}

#[test]
fn closing_the_pull_request_stops_its_run() {
    let stage = Stage::start();
    stage.executor.script("first", Part::exits(0).held());
    stage.say("mira", "!testme");
    stage.running("r1-first-1");
    stage.let_forge_wait(2);
    stage.forge.close(REPOSITORY, stage.sample.pull);
    stage.expect_run(1, "CANCELLED unverified: first-1 cancelled");
    stage.expect_comment(&["### ■ cancelled", "the pull request was closed"]);
    stage.end();
}

#[test]
fn a_run_goes_on_when_the_head_moves_and_says_what_it_speaks_of() {
    let stage = Stage::start();
    stage.executor.script("r1-first-1", Part::exits(0).held());
    stage.say("mira", "!testme");
    let running = stage.running("r1-first-1");
    stage.let_forge_wait(2);
    let head = stage.forge.force_push(REPOSITORY, "flat-field-names", &[("note.txt", b"rewritten")]);
    stage.until("new head", |stage| {
        stage.seen_pull(REPOSITORY, stage.sample.pull).is_some_and(|pull| pull.now.head.as_str() == head)
    });
    stage.executor.let_end(&running);
    stage.expect_run(1, GOOD);
    assert_eq!(stage.run(1).unwrap().request.sha.unwrap().as_str(), stage.sample.head);
    stage.expect_comment(&["### ✔ pass", "The head has moved on"]);
    stage.say("mira", "!testme");
    stage.expect_run(2, GOOD);
    assert_eq!(stage.run(2).unwrap().request.sha.unwrap().as_str(), head);
    stage.expect_comment(&["Run 2 at", "run 1 at"]);
    stage.end();
}

#[test]
fn a_commit_that_was_pushed_away_before_it_was_fetched_is_not_replaced_by_another() {
    let stage = Stage::start();
    stage.forge.misbehave(Misbehaviour::status(503).path("git-upload-pack"));
    let comment = stage.say("mira", "!testme");
    stage.expect_fates(comment, &["accepted"]);
    stage.let_forge_wait(2);
    stage.forge.force_push(REPOSITORY, "flat-field-names", &[("note.txt", b"rewritten")]);
    stage.forge.behave();
    // The forge keeps what was once a head; whether it gives it or not, no other commit is run.
    stage.until("end", |stage| stage.run(1).is_some_and(|run| run.phase.is_ended()));
    assert_eq!(stage.run(1).unwrap().request.sha.unwrap().as_str(), stage.sample.head);
    stage.expect_run(1, &crate::stage::tell(&stage.run(1).unwrap()));
    stage.expect_comment(&["The head has moved on"]);
    stage.end();
}

#[test]
fn a_cancel_does_not_overtake_the_command_before_it() {
    let stage = Stage::start();
    // The forge stumbles over the first of the two comments only.
    stage.executor.script("first", Part::exits(0).held());
    stage.forge.misbehave(Misbehaviour::status(500).path("/issues/comments/").once());
    let test = stage.say("mira", "!testme");
    let cancel = stage.say("mira", "!cancel");
    stage.expect_fates(test, &["accepted"]);
    stage.expect_fates(cancel, &["answered"]);
    stage.expect_run(1, "CANCELLED unverified: ");
    stage.expect_comment(&["### ■ cancelled", "cancelled by mira"]);
    stage.end();
}
