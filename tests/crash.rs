//! One full scenario, in which docent dies before and after each effect and before each transaction of a poll, and is started
//! again on the same database, the same executor and the same forge: each time it ends with one run, one comment and the
//! right verdict, and nothing is left.

use std::sync::Mutex;

use docent::executor::scripted::Part;
use stage::tap::Point;
use stage::{Setting, Stage};

#[path = "support/stage/mod.rs"]
mod stage;

/// Scenarios at a time: they mostly wait.
const AT_ONCE: usize = 6;

/// Deaths at one point. Only the transactions of polls are more, and those beyond are of polls that bring nothing new.
const MOST: usize = 20;

/// A scenario: what happens until the death, and what is expected after it.
#[derive(Clone, Copy)]
struct Play {
    recipe: Option<&'static str>,
    before: fn(&Stage),
    after: fn(&Stage),
}

impl Play {
    /// Plays with a death at that point. Says whether it was reached.
    fn once(self, point: &Point) -> bool {
        let recipe = self.recipe.unwrap_or(Setting::default().recipe);
        let mut stage = Stage::set(Setting { recipe, ..Setting::default() });
        stage.raise();
        stage.until("first poll", |stage| stage.tap().polls() > 1);
        stage.kill();
        stage.raise_to_die(Some(point.clone()));
        (self.before)(&stage);
        stage.until("death or end", |stage| stage.tap().has_crashed() || stage.is_at_rest());
        let has_died = stage.tap().disarm();
        if has_died {
            stage.kill();
            stage.raise();
        }
        (self.after)(&stage);
        stage.end();
        has_died
    }

    /// Plays with a death at each passing of each of these points.
    fn at_all(self, names: &[&str]) {
        let names = Mutex::new(names.to_vec());
        let work = || {
            while let Some(name) = { names.lock().unwrap().pop() } {
                let deaths =
                    (1..=MOST).take_while(|count| self.once(&Point { name: name.to_owned(), count: *count }));
                let deaths = deaths.count();
                println!("died {deaths} times at: {name}");
                assert!(deaths > 0, "never came to: {name}");
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(work);
            }
        });
    }
}

fn around(effects: &[&str]) -> Vec<String> {
    effects.iter().flat_map(|effect| [format!("before {effect}"), format!("after {effect}")]).collect()
}

#[test]
fn a_run_that_fails_survives_a_death_at_every_point() {
    let play = Play {
        recipe: None,
        before: |stage| {
            stage.executor.script("second", Part::exits(1).writing("it broke\n"));
            stage.say("mira", "!testme");
        },
        after: |stage| {
            stage.expect_run(1, "COMPLETED fail: first-1 passed, second-1 failed");
            stage.expect_comment(&["### ✘ fail", "accepted as run 1"]);
            assert_eq!(stage.executor.submissions().len(), 2, "each attempt was started once");
        },
    };
    let effects = ["examine", "fetch", "submit", "wait", "collect", "remove", "release", "comment", "status"];
    let mut points = around(&effects);
    points.push("transaction".to_owned());
    play.at_all(&points.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_run_that_is_cancelled_survives_a_death_at_every_point() {
    let play = Play {
        recipe: None,
        before: |stage| {
            stage.executor.script("first", Part::exits(0).held());
            stage.say("mira", "!testme");
            stage.running("r1-first-1");
            stage.say("mira", "!cancel");
        },
        after: |stage| {
            stage.expect_run(1, "CANCELLED unverified: first-1 cancelled");
            stage.expect_comment(&["### ■ cancelled", "cancelled by mira", "stopping run 1"]);
        },
    };
    let points = around(&["cancel", "collect", "remove", "release"]);
    play.at_all(&points.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_run_with_services_survives_a_death_at_every_point() {
    let play = Play {
        recipe: Some(stage::WITH_SERVICES),
        before: |stage| {
            stage.say("mira", "!testme --extra-tests");
        },
        after: |stage| {
            stage.expect_run(1, "COMPLETED pass: first-1 passed, extra-1 passed");
            stage.expect_comment(&["### ✔ pass"]);
            assert_eq!(stage.executor.deployments().len(), 1, "the services were brought up once");
            let run = stage.run(1).unwrap();
            assert!(run.deploys == 1 && run.services.iter().all(|it| it.log.is_some()), "{run:?}");
        },
    };
    let points = around(&["deploy", "fallen", "submit", "service_log", "release"]);
    play.at_all(&points.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_run_that_is_cancelled_while_services_come_up_survives_a_death_at_every_point() {
    let play = Play {
        recipe: Some(stage::WITH_SERVICES),
        before: |stage| {
            stage.executor.hold_deploys(true);
            stage.say("mira", "!testme");
            stage.until("deploy or death", |stage| {
                !stage.executor.deployments().is_empty() || stage.tap().has_crashed()
            });
            stage.say("mira", "!cancel");
        },
        after: |stage| {
            stage.expect_run(1, "CANCELLED unverified: ");
            stage.expect_comment(&["### ■ cancelled"]);
        },
    };
    let points = ["before deploy", "before release", "after release"];
    play.at_all(&points);
}
