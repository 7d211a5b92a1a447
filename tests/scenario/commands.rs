//! From a comment to the fate of its commands.

use std::time::Instant;

use docent::core::time;

use crate::GOOD;
use crate::stage::{MARKER, REPOSITORY, Stage};

#[test]
fn a_command_becomes_one_run_and_one_comment() {
    let stage = Stage::start();
    let comment = stage.say("mira", "Looks fine to me.\n\n!testme");
    stage.expect_run(1, GOOD);
    stage.expect_fates(comment, &["accepted"]);
    stage.expect_comment(&["### ✔ pass", "| first | ✔ pass |", "accepted as run 1"]);
    stage.end();
}

#[test]
fn an_offer_waits_for_somebody_who_may() {
    let stage = Stage::start();
    let offer = stage.say("guest", "!testme");
    stage.expect_fates(offer, &["offered"]);
    stage.expect_comment(&["**Offer 1**", "`guest` asks to run"]);
    let by_the_same = stage.say("guest", &format!("!accept {}", stage.sample.head));
    stage.expect_fates(by_the_same, &["refused"]);
    stage.say("mira", &format!("!accept {}", &stage.sample.head[..10]));
    stage.expect_run(1, GOOD);
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}

#[test]
fn an_offer_can_be_turned_down() {
    let stage = Stage::start();
    stage.say("guest", "!testme");
    stage.expect_comment(&["**Offer 1**"]);
    let answer = stage.say("mira", "!reject");
    stage.expect_fates(answer, &["answered"]);
    stage.expect_run(1, "REJECTED -: ");
    stage.expect_comment(&["offer 1 turned down"]);
    stage.end();
}

#[test]
fn an_offer_lapses() {
    let stage = Stage::start();
    stage.say("guest", "!testme");
    stage.expect_comment(&["**Offer 1**"]);
    stage.let_pass(time::Duration::hours(25));
    stage.expect_run(1, "EXPIRED -: ");
    let late = stage.say("mira", &format!("!accept {}", stage.sample.head));
    stage.expect_fates(late, &["refused"]);
    stage.expect_comment(&["refused (no-offer)"]);
    stage.end();
}

#[test]
fn an_offer_is_for_one_commit() {
    let stage = Stage::start();
    stage.say("guest", "!testme");
    stage.expect_comment(&["**Offer 1**"]);
    stage.push("something worse");
    stage.expect_run(1, "EXPIRED -: ");
    let late = stage.say("mira", &format!("!accept {}", stage.sample.head));
    stage.expect_fates(late, &["refused"]);
    stage.expect_comment(&["refused (no-offer)"]);
    stage.end();
}

#[test]
fn a_deleted_comment_does_nothing() {
    let stage = Stage::start();
    // The comment is there in the poll and gone when docent looks again.
    let rule = docent::demo::forge::Misbehaviour::status(404).path("/issues/comments/");
    stage.forge.misbehave(rule);
    let comment = stage.say("mira", "!testme");
    stage.until("the comment on record", |stage| stage.entry(comment).is_some());
    stage.forge.delete_comment(comment);
    stage.forge.behave();
    stage.expect_fates(comment, &["refused"]);
    stage.expect_comment(&["refused (deleted)"]);
    stage.end();
}

#[test]
fn a_comment_that_was_edited_before_it_was_seen_never_counts() {
    let mut stage = Stage::start();
    stage.kill();
    let comment = stage.say("mira", "Looks fine.");
    stage.let_forge_wait(2);
    stage.forge.edit_comment(comment, "!testme");
    stage.raise();
    stage.expect_fates(comment, &["ignored"]);
    stage.expect_comment(&["edited before docent saw it"]);
    stage.end();
}

#[test]
fn a_comment_that_is_edited_later_is_recorded_and_not_obeyed() {
    let stage = Stage::start();
    let comment = stage.say("mira", "!status");
    stage.expect_fates(comment, &["answered"]);
    stage.let_forge_wait(2);
    stage.forge.edit_comment(comment, "!testme");
    let after = stage.say("mira", "!help");
    stage.expect_fates(after, &["answered"]);
    stage.expect_fates(comment, &["answered"]);
    stage.expect_comment(&["no run of this pull request is live"]);
    stage.end();
}

#[test]
fn a_comment_with_docents_own_mark_does_nothing() {
    let stage = Stage::start();
    let marked = stage.say("mira", &format!("<!-- {MARKER} -->\n!testme"));
    let own = stage.say("docent", "!testme");
    let seen = stage.say("mira", "!status");
    stage.expect_fates(seen, &["answered"]);
    assert!(stage.entry(marked).is_none() && stage.entry(own).is_none());
    stage.forge.delete_comment(own);
    stage.expect_comment(&["no run of this pull request is live"]);
    stage.end();
}

#[test]
fn commands_of_one_comment_are_taken_in_order() {
    let stage = Stage::start();
    let comment = stage.say("mira", "!status\n!testme\n\n> !cancel\n\n!help");
    stage.expect_fates(comment, &["answered", "accepted", "ignored", "answered"]);
    stage.expect_run(1, GOOD);
    stage.expect_comment(&["### ✔ pass", "you may start and stop runs here"]);
    stage.end();
}

#[test]
fn what_cannot_be_understood_gets_one_answer() {
    let stage = Stage::start();
    let flag = stage.say("mira", "!testme --fulll");
    let word = stage.say("guest", "!tesme");
    stage.expect_fates(flag, &["not understood"]);
    stage.expect_fates(word, &["not understood"]);
    stage.expect_comment(&["not understood", "--full"]);
    stage.end();
}

#[test]
fn a_tier_that_the_recipe_does_not_have_is_refused() {
    let stage = Stage::start();
    let comment = stage.say("mira", "!testme --tier third");
    stage.expect_fates(comment, &["refused"]);
    stage.expect_comment(&["refused (unknown-tier)", "first, second, extra"]);
    stage.end();
}

#[test]
fn extra_tests_have_a_verdict_of_their_own() {
    let stage = Stage::start();
    stage.executor.script("extra", docent::executor::scripted::Part::exits(1));
    stage.say("mira", "!testme --extra-tests");
    stage.expect_run(1, "COMPLETED pass: first-1 passed, second-1 passed, extra-1 failed");
    stage.expect_comment(&["### ✔ pass", "#### ✘ Extra tests: fail", "ended with code 1"]);
    stage.end();
}

#[test]
fn ten_thousand_comments_in_one_answer_cost_little_and_only_commands_stay() {
    ten_thousand_comments(false);
}

#[test]
fn ten_thousand_comments_in_pages_cost_little_and_only_commands_stay() {
    ten_thousand_comments(true);
}

fn ten_thousand_comments(are_paged: bool) {
    let mut stage = Stage::start();
    stage.forge.page_comments(are_paged);
    stage.kill();
    stage.let_forge_wait(2);
    for number in 0..10_000 {
        stage.forge.comment(REPOSITORY, stage.sample.pull, "guest", &format!("Word {number} of many."));
    }
    let comment = stage.say("mira", "!testme");
    // Beyond the overlap within which docent reads again what it has read.
    stage.let_forge_wait(300);
    let began = Instant::now();
    stage.raise();
    stage.expect_run(1, GOOD);
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    stage.expect_fates(comment, &["accepted"]);
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}

#[test]
fn a_comment_of_a_megabyte_is_read_to_its_limit() {
    let stage = Stage::start();
    let long = "All work and no play makes a dull comment.\n".repeat(25_000);
    let first = stage.say("mira", &format!("!status\n{long}"));
    let last = stage.say("mira", &format!("{long}\n!testme"));
    stage.expect_fates(first, &["answered"]);
    stage.expect_fates(last, &["not understood"]);
    stage.expect_comment(&["not understood"]);
    stage.end();
}
