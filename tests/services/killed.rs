//! `kill -9` while services come up, stand, and go: the next docent ends with one run, one deploy, and nothing left.

use serde_json::Value;

use crate::left_at_the_engine;
use crate::redis;
use crate::served::{Served, Sight};

type IsNow = fn(&Served, &Sight) -> bool;

const MOMENTS: [(&str, IsNow); 6] = [
    ("the services are to be brought up", |_, sight| sight.is_open("deploy/")),
    ("the first service is there", |served, sight| sight.is_open("deploy/") && has(served, ".service.cache")),
    ("the last service is there", |served, sight| {
        sight.is_open("deploy/") && has(served, ".service.other-cache")
    }),
    ("the first attempt runs", |_, sight| sight.has_started("first")),
    ("the second attempt is to be started", |_, sight| sight.is_open("execute/r1-second")),
    ("the run is to be torn down", |_, sight| sight.is_open("release/")),
];

fn has(served: &Served, name: &str) -> bool {
    let instance = served.instance();
    let output = std::process::Command::new("docker")
        .args([
            "ps",
            "-a",
            "--format",
            "{{.Names}}",
            "--filter",
            &format!("label=docent.instance={instance}"),
        ])
        .output();
    output.is_ok_and(|it| String::from_utf8_lossy(&it.stdout).lines().any(|line| line.ends_with(name)))
}

/// Waits until all is done, and looks for what should not be there.
fn end(served: Served, wanted: (&str, &str)) {
    served.until("end of the run", |served| {
        let sight = served.look();
        sight.is_some_and(|sight| sight.has_ended() && sight.open.is_empty()) && served.leftovers().is_empty()
    });
    assert_eq!(served.stop(), Some(0));
    let (sight, log) = (served.look().unwrap(), served.log());
    let runs: Vec<(&Value, &Value, &Value)> =
        sight.runs.iter().map(|run| (&run["phase"], &run["verdict"], &run["extra_verdict"])).collect();
    assert!(
        runs.len() == 1 && (runs[0].0, runs[0].1) == (&wanted.0.into(), &wanted.1.into()),
        "{runs:?}\n{log}"
    );
    if wanted.1 == "pass" {
        assert_eq!((runs[0].2, &sight.runs[0]["deploys"]), (&"pass".into(), &1.into()), "{log}");
        let services = sight.runs[0]["services"].as_array().unwrap();
        assert!(services.iter().all(|service| service["log"]["size"].as_u64() > Some(0)), "{services:#?}");
    }
    assert!(!log.contains("please report this"), "{log}");
    assert_eq!(left_at_the_engine(&format!("docent.instance={}", served.instance())), "");
}

fn start() -> Served {
    Served::start_with("kind = \"container\"", None, redis::RECIPE)
}

#[test]
fn a_kill_at_each_moment_leaves_one_run_one_deploy_and_nothing_else() {
    if !redis::has_image() {
        return;
    }
    let mut deaths = 0;
    for (moment, is_now) in MOMENTS {
        let served = start();
        served.say("!testme --extra-tests");
        let has_died = std::cell::Cell::new(false);
        served.until(moment, |served| {
            let Some(sight) = served.look() else { return false };
            has_died.set(is_now(served, &sight));
            has_died.get() || (sight.has_ended() && sight.open.is_empty())
        });
        if has_died.get() {
            served.kill();
            served.raise();
        }
        println!("{}: {moment}", if has_died.get() { "died when" } else { "too quick to be seen" });
        deaths += usize::from(has_died.get());
        end(served, ("COMPLETED", "pass"));
    }
    assert!(deaths * 3 >= MOMENTS.len() * 2, "only {deaths} of {} moments were seen", MOMENTS.len());
}

#[test]
fn a_run_that_is_cancelled_while_its_services_come_up_ends_at_once() {
    if !redis::has_image() {
        return;
    }
    // Whoever asks for its health waits.
    let health = "health = [\"redis-cli\", \"ping\"]";
    assert!(redis::RECIPE.contains(health));
    let stuck = redis::RECIPE.replace(health, "health_timeout = \"10m\"\nhealth = [\"sleep\", \"1000\"]");
    let served = Served::start_with("kind = \"container\"", None, &stuck);
    served.say("!testme");
    served.until("a service that comes up", |served| has(served, ".service.cache"));
    served.say("!cancel");
    served.until("a run that is to stop", |served| {
        served.look().is_some_and(|sight| sight.runs.first().is_some_and(|run| run["cancel"].is_object()))
    });
    // Long before the service would be given up.
    end(served, ("CANCELLED", "unverified"));
}
