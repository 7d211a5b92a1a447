//! One full scenario, in which docent dies before and after each effect and before each transaction of a poll, and is started
//! again on the same database, the same executor and the same forge: each time it ends with one run, one comment and the
//! right verdict, and nothing is left.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use docent::executor::scripted::Part;
use stage::{Setting, Stage};

#[path = "support/stage/mod.rs"]
mod stage;

/// Scenarios at a time: they mostly wait.
const AT_ONCE: usize = 4;

/// Plays the scenario with a death at the point of that number. Gives the name of the point; none when it was not reached.
fn play(crash_at: usize, act: fn(&mut Stage, bool)) -> Option<String> {
    let mut stage = Stage::set(Setting::default());
    stage.raise(0);
    stage.until("first poll", |stage| stage.tap().polls() > 1);
    stage.kill();
    stage.raise(crash_at);
    act(&mut stage, true);
    stage.until("crash or end", |stage| stage.tap().has_crashed() || stage.is_at_rest());
    let mut point = None;
    if stage.tap().has_crashed() {
        point = stage.kill().points().pop();
        stage.raise(0);
    }
    act(&mut stage, false);
    stage.end();
    point
}

/// Plays it with a death at each point, until there is none of that number any more.
fn play_all(act: fn(&mut Stage, bool)) {
    let (next, points) = (AtomicUsize::new(1), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let crash_at = next.fetch_add(1, Ordering::SeqCst);
            let point = play(crash_at, act);
            let Some(point) = point else { return };
            points.lock().unwrap().push((crash_at, point));
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).map(|_| scope.spawn(work)).collect::<Vec<_>>().clear());
    let mut points = points.into_inner().unwrap();
    points.sort();
    for (number, point) in &points {
        println!("died {number}: {point}");
    }
    for effect in ["examine", "fetch", "submit", "wait", "collect", "remove", "release", "comment", "status"]
    {
        for side in ["before", "after"] {
            let name = format!("{side} {effect}");
            assert!(points.iter().any(|(_, point)| *point == name), "it never died {name}");
        }
    }
}

#[test]
fn a_run_that_fails_survives_a_death_at_every_point() {
    play_all(|stage, is_first| {
        if is_first {
            stage.executor.script("second", Part::exits(1).writing("it broke\n"));
            stage.say("mira", "!testme");
            return;
        }
        stage.expect_run(1, "COMPLETED fail: first-1 passed, second-1 failed");
        stage.expect_comment(&["### ✘ fail", "accepted as run 1"]);
        assert_eq!(stage.executor.submissions().len(), 2, "each attempt was started once");
    });
}

#[test]
fn a_run_that_is_cancelled_survives_a_death_at_every_point() {
    let cancel = |stage: &mut Stage, is_first: bool| {
        if is_first {
            stage.executor.script("second", Part::exits(0).held());
            stage.say("mira", "!testme");
            stage.until("second tier, or a death", |stage| {
                stage.tap().has_crashed() || stage.executor.submissions().len() == 2
            });
            stage.say("mira", "!cancel");
            return;
        }
        // What the command finds is what it stops: a run that was not there yet cannot be.
        stage.until("decisions", |stage| stage.runs().first().is_some_and(|run| run.phase.is_ended()));
        let told = stage::tell(&stage.run(1).unwrap());
        assert!(told.starts_with("CANCELLED unverified"), "{told}");
        stage.expect_run(1, &told);
        stage.expect_comment(&["### ■ cancelled", "cancelled by mira", "stopping run 1"]);
    };
    let (next, points) = (AtomicUsize::new(1), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let crash_at = next.fetch_add(1, Ordering::SeqCst);
            let Some(point) = play(crash_at, cancel) else { return };
            points.lock().unwrap().push((crash_at, point));
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).map(|_| scope.spawn(work)).collect::<Vec<_>>().clear());
    let points = points.into_inner().unwrap();
    for effect in ["before cancel", "after cancel"] {
        assert!(points.iter().any(|(_, point)| point == effect), "it never died {effect}");
    }
}
