//! Slots, the order of the queue, and several repositories.

use docent::demo::forge::Misbehaviour;
use docent::executor::scripted::Part;

use crate::GOOD;
use crate::stage::{REPOSITORY, Setting, Stage};

#[test]
fn runs_wait_for_a_slot_in_the_order_in_which_they_were_asked_for() {
    let stage = Stage::start_with(Setting { slots: 1, ..Setting::default() });
    let (second, third) = (stage.pull("second"), stage.pull("third"));
    stage.executor.script("r1-first-1", Part::exits(0).held());
    stage.say("mira", "!testme");
    let running = stage.running("r1-first-1");
    for pull in [second, third] {
        let comment = stage.say_on(REPOSITORY, pull, "mira", "!testme");
        stage.expect_fates(comment, &["accepted"]);
    }
    stage.say_on(REPOSITORY, third, "mira", "!status");
    stage.expect_comment_on(REPOSITORY, third, &["run 3 waits at place 2 of the queue"]);
    stage.executor.let_end(&running);
    (1..4).for_each(|run| stage.expect_run(run, GOOD));
    let order: Vec<i64> = stage.executor.submissions().iter().map(|job| job.attempt.run.0).collect();
    assert_eq!(order, [1, 1, 2, 2, 3, 3]);
    stage.expect_comment(&["### ✔ pass"]);
    stage.expect_comment_on(REPOSITORY, second, &["### ✔ pass"]);
    stage.expect_comment_on(REPOSITORY, third, &["### ✔ pass"]);
    stage.end();
}

#[test]
fn a_full_queue_says_so() {
    let stage = Stage::start_with(Setting { slots: 1, queue_limit: 1, ..Setting::default() });
    let (second, third) = (stage.pull("second"), stage.pull("third"));
    stage.executor.script("r1-first-1", Part::exits(0).held());
    stage.say("mira", "!testme");
    let running = stage.running("r1-first-1");
    let waits = stage.say_on(REPOSITORY, second, "mira", "!testme");
    stage.expect_fates(waits, &["accepted"]);
    let too_many = stage.say_on(REPOSITORY, third, "mira", "!testme");
    stage.expect_fates(too_many, &["refused"]);
    stage.executor.let_end(&running);
    (1..3).for_each(|run| stage.expect_run(run, GOOD));
    stage.expect_comment(&["### ✔ pass"]);
    stage.expect_comment_on(REPOSITORY, second, &["### ✔ pass"]);
    stage.expect_comment_on(REPOSITORY, third, &["refused (queue-full)"]);
    stage.end();
}

#[test]
fn a_broken_repository_does_not_keep_the_others_waiting() {
    let stage = Stage::start_with(Setting { others: vec!["mira/broken".into()], ..Setting::default() });
    stage.forge.misbehave(Misbehaviour::status(500).path("/repos/mira/broken/"));
    let held_up = stage.say_on("mira/broken", 1, "mira", "!testme");
    stage.say("mira", "!testme");
    stage.expect_run(1, GOOD);
    assert!(stage.entry(held_up).is_none(), "it could not be read");
    stage.forge.behave();
    stage.expect_run(2, GOOD);
    stage.expect_comment(&["### ✔ pass"]);
    stage.expect_comment_on("mira/broken", 1, &["### ✔ pass"]);
    stage.end();
}

#[test]
fn a_missing_repository_does_not_keep_the_others_waiting() {
    let stage = Stage::start_with(Setting { others: vec!["astro/missing".into()], ..Setting::default() });
    stage.say("mira", "!testme");
    stage.expect_run(1, GOOD);
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}
