//! Services beside tiers: one deploy, one teardown, and what does not come up or falls is named.

use docent::core::id::RunId;
use docent::core::outcome::Ending;
use docent::executor::ExecutorError;
use docent::executor::scripted::Part;

use crate::stage::{Setting, Stage, WITH_SERVICES};

const RUN: RunId = RunId(1);
const WHOLE: &str = "COMPLETED pass: first-1 passed, extra-1 passed";

fn start() -> Stage {
    Stage::start_with(Setting { recipe: WITH_SERVICES, ..Setting::default() })
}

#[test]
fn the_tiers_of_a_run_share_one_deploy_and_are_told_where_it_is() {
    let stage = start();
    stage.say("mira", "!testme --extra-tests");
    stage.expect_run(1, WHOLE);
    stage.expect_comment(&["### ✔ pass"]);
    let deployments = stage.executor.deployments();
    let names: Vec<&str> = deployments[0].services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!((deployments.len(), names), (1, vec!["db", "cache"]), "in the order in which they come up");
    for job in stage.executor.submissions() {
        assert_eq!(job.variables["DOCENT_SERVICE_CACHE"], "cache:6379");
        assert_eq!(job.services, ["db", "cache"]);
        let plan: serde_json::Value = serde_json::from_slice(&job.inputs["plan.json"]).unwrap();
        let db = serde_json::json!({"address": "db:5432", "host": "db", "port": 5432});
        assert_eq!(plan["services"]["db"], db);
    }
    let run = stage.run(1).unwrap();
    assert_eq!(run.deploys, 1);
    assert!(run.services.iter().all(|service| service.log.is_some() && service.fell.is_none()));
    stage.end();
}

#[test]
fn a_service_that_is_never_healthy_is_named_and_the_author_is_not_blamed() {
    let stage = start();
    let text = "the service db was not healthy within 60 s: no space left";
    stage.executor.refuse_deploy(ExecutorError::Broken(text.into()));
    stage.say("mira", "!testme");
    stage.expect_run(1, "FAILED unverified: ");
    let told = stage.expect_comment(&["### ? unverified", text]);
    assert!(!told.contains("✘"), "{told}");
    assert_eq!(stage.run(1).unwrap().deploys, 0);
    stage.end();
}

#[test]
fn an_engine_that_does_not_answer_is_asked_again() {
    let stage = start();
    stage.executor.refuse_deploy(ExecutorError::Unreachable("it sleeps".into()));
    stage.say("mira", "!testme --extra-tests");
    stage.expect_run(1, WHOLE);
    stage.expect_comment(&["### ✔ pass"]);
    assert_eq!(stage.run(1).unwrap().deploys, 1);
    stage.end();
}

#[test]
fn a_run_can_be_cancelled_while_its_services_come_up() {
    let stage = start();
    stage.executor.hold_deploys(true);
    stage.say("mira", "!testme");
    stage.until("deploy", |stage| !stage.executor.deployments().is_empty());
    stage.say("mira", "!cancel");
    stage.expect_run(1, "CANCELLED unverified: ");
    stage.expect_comment(&["### ■ cancelled"]);
    stage.end();
}

#[test]
fn a_service_that_falls_is_named_and_no_tier_begins_without_it() {
    let stage = start();
    stage.executor.script("first", Part::exits(1).held());
    stage.say("mira", "!testme --extra-tests");
    let first = stage.running("r1-first-1");
    stage.executor.fall(RUN, "cache", Ending::OutOfMemory);
    stage.executor.let_end(&first);
    stage.expect_run(1, "COMPLETED fail: first-1 failed, extra-1 errored");
    let fell = "the service cache was killed at its memory limit";
    stage.expect_comment(&["### ✘ fail", &format!("{fell} meanwhile"), "no tier begins without it"]);
    assert_eq!(stage.run(1).unwrap().services[1].fell.as_deref(), Some(fell));
    stage.end();
}
