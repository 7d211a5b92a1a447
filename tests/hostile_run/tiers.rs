//! A recipe that does everything that an untrusted repository may try, one tier for each, beside one that is calm.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bench::{Bench, Ran, fixture};
use crate::hostile::{not_run, tiny};

/// Tier, outcome, note, verdict.
const ENDINGS: &[(&str, &str, &str, &str)] = &[
    ("fork_bomb", "timed_out", "killed at its time limit", "fail"),
    ("many_processes", "failed", "ended with code 2", "fail"),
    ("memory_hog", "out_of_memory", "killed at its memory limit", "fail"),
    ("memory_hog_child", "failed", "ended with code 4", "fail"),
    ("tmp_filler", "failed", "ended with code 9", "fail"),
    ("disk_filler", "out_of_disk", "killed at its disk limit", "fail"),
    ("inode_filler", "out_of_disk", "killed at its disk limit", "fail"),
    ("large_file", "failed", "ended by signal 25", "fail"),
    ("log_flood", "passed", "", "pass"),
    ("orphans", "passed", "", "pass"),
    ("term_deaf", "timed_out", "killed at its time limit", "fail"),
    ("secrets_hunt", "passed", "", "pass"),
    ("probe", "passed", "", "pass"),
    ("planted", "failed", "ended with code 1", "fail"),
    ("forged", "failed", "ended with code 3", "fail"),
];

/// Runs both at once, and looks at what docent says of either.
pub fn are_contained_and_named(executor: &'static str) {
    let bench = match Bench::new(executor, tiny::TINY) {
        Ok(bench) => bench,
        Err(why) => return not_run(if executor == "container" { "engine" } else { executor }, &why),
    };
    for recipe in ["hostile", "calm"] {
        let copied = Command::new("cp").arg("-r").arg(fixture(recipe)).arg(bench.path("recipes")).status();
        assert!(copied.unwrap().success());
    }
    let (port, reached) = listen();
    let repo = bench.path("repo");
    fs::create_dir(&repo).unwrap();
    fs::write(repo.join("mark"), &bench.mark).unwrap();
    fs::write(repo.join("port"), port.to_string()).unwrap();
    fs::write(repo.join("decoy"), format!("\n{}\n", bench.canary("decoy"))).unwrap();

    let hostile = bench.start(&repo, "hostile", "fork_bomb", "", &[]);
    let calm = bench.start(&repo, "calm", "calm", "", &[]);
    let calm = std::thread::spawn(move || calm.wait(600));
    let hostile = hostile.wait(600);
    let calm = calm.join().unwrap();

    for (tier, outcome, note, verdict) in ENDINGS {
        let expected = (outcome.to_string(), note.to_string(), verdict.to_string());
        assert_eq!(hostile.ending(tier), expected, "{executor} {tier}: {}", hostile.log(tier));
        assert_eq!(hostile.tier(tier)["attempts"].as_array().unwrap().len(), 1, "{tier} was tried again");
    }
    assert_eq!((hostile.code, hostile.result["verdict"].as_str()), (1, Some("fail")), "{}", hostile.said);
    not_started(&hostile);
    logs_and_files(&bench, &hostile);
    assert_eq!(reached.load(Ordering::Relaxed), 0, "something reached this machine");

    for tier in ["calm", "two", "three", "four"] {
        assert_eq!(calm.ending(tier), ("passed".into(), String::new(), "pass".into()), "{}", calm.said);
    }
    assert_eq!((calm.code, calm.result["verdict"].as_str()), (0, Some("pass")), "{}", calm.said);
    let began = |ran: &Ran| ran.result["started_at"].as_str().unwrap().to_owned();
    let ended = |ran: &Ran| ran.result["ended_at"].as_str().unwrap().to_owned();
    assert!(began(&calm) < ended(&hostile) && began(&hostile) < ended(&calm), "they met");

    bench.assert_no_secret(&hostile);
    bench.assert_no_secret(&calm);
    bench.assert_nothing_left(&[&hostile, &calm]);
}

/// What never began is the machinery's, is tried twice, and blames nobody.
fn not_started(ran: &Ran) {
    let (outcome, note, verdict) = ran.ending("absent");
    assert_eq!((outcome.as_str(), verdict.as_str()), ("errored", "unverified"), "{note}");
    assert!(note.contains("/nosuch/program"), "{note}");
    assert_eq!(ran.tier("absent")["attempts"].as_array().unwrap().len(), 2);
}

fn logs_and_files(bench: &Bench, ran: &Ran) {
    assert!(!ran.log("many_processes").contains("all of them"), "300 processes under a limit of 64");
    // What the shell says of it comes by the other stream, and an engine does not tell which of two was first.
    let child = ran.log("memory_hog_child");
    assert!(child.lines().any(|line| line == "the child ended with 137"), "{child}");
    assert_eq!(ran.log("probe"), "");
    assert_eq!(ran.log("term_deaf"), "deaf\n");

    // A log that is too long keeps its beginning, is cut, and says so.
    let flood = ran.log("log_flood");
    assert!(flood.contains("xxx") && flood.contains("bytes left out]"), "{} bytes", flood.len());
    assert!(flood.len() < (256 << 10) + 100, "{} bytes", flood.len());

    // The hunter finds what it may find, so it would have found the rest.
    assert_eq!(ran.log("secrets_hunt").trim(), bench.canary("decoy"));
    assert_eq!(ran.artifacts("secrets_hunt"), ["artifacts/found.txt"]);

    let planted = ran.artifacts("planted");
    for name in ["artifacts/link", "artifacts/root", "artifacts/fifo", "outputs.json", "junit.xml"] {
        assert!(!planted.iter().any(|kept| kept.starts_with(name)), "{planted:?}");
    }
    // Half a file is believed for nothing, and what it may have hidden is no pass.
    let unreadable = ran.tier("unreadable")["tests"].as_array().cloned().unwrap_or_default();
    assert!(!unreadable.is_empty());
    assert!(unreadable.iter().all(|test| test["class"] == "unreadable_results"), "{unreadable:?}");
    // What a step says of itself never makes its failure a pass.
    assert_eq!(ran.tier("forged")["tests"][0]["outcome"], "passed");
}

/// A service of this machine that counts who reaches it.
fn listen() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let reached = Arc::new(AtomicUsize::new(0));
    let count = reached.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = (&connection).write_all(b"reached this machine\n");
        }
    });
    (port, reached)
}
