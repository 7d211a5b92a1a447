//! The shipped notebook recipe, with notebooks that mean no good.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use docent::core::outcome::TestResult;
use serde_json::{Value, json};

use crate::bench::{Bench, NOTEBOOK, Ran, fixture};
use crate::hostile::not_run;
use crate::report;

/// Notebook, outcome, class.
const ENDS: &[(&str, &str, &str)] = &[
    ("beside_one.ipynb", "passed", "passed"),
    ("beside_two.ipynb", "passed", "passed"),
    ("broken.ipynb", "failed", "invalid_notebook"),
    ("deaf.ipynb", "timed_out", "timed_out"),
    ("endless.ipynb", "timed_out", "timed_out"),
    ("environment.ipynb", "passed", "passed"),
    ("expected.ipynb", "passed", "passed"),
    ("failing.ipynb", "failed", "cell_error"),
    ("flood.ipynb", "passed", "passed"),
    ("fork_bomb.ipynb", "failed", "cell_error"),
    ("fork_storm.ipynb", "timed_out", "timed_out"),
    ("huge_file.ipynb", "passed", "passed"),
    ("impostor.ipynb", "failed", "driver_killed"),
    ("leftover.ipynb", "passed", "passed"),
    ("liar.ipynb", "passed", "passed"),
    ("memory_hog.ipynb", "out_of_memory", "out_of_memory"),
    ("missing_import.ipynb", "failed", "cell_error"),
    ("other_kernel.ipynb", "failed", "missing_kernel"),
    ("passing.ipynb", "passed", "passed"),
    ("suicide.ipynb", "failed", "kernel_died"),
    ("token=hunter2 id_rsa $(id).ipynb", "passed", "passed"),
    ("widget.ipynb", "passed", "passed"),
];

/// Runs them twice at once: with the tiers that everybody gets, and with opt-in tiers of which each meets its own end.
pub fn are_contained_and_named(executor: &'static str) {
    let bench = match Bench::new(executor, NOTEBOOK) {
        Ok(bench) => bench,
        Err(why) => return not_run(if executor == "container" { "engine" } else { executor }, &why),
    };
    let repo = bench.path("repo");
    repository(&repo, &bench.mark);
    let (plain, more) = (format!("plain-{}", bench.mark), format!("more-{}", bench.mark));
    recipe(&bench, "plain", &plain, "");
    recipe(&bench, "more", &more, &fs::read_to_string(fixture("opt_in.toml")).unwrap());
    let settings = |name| {
        format!("[recipes.{name}.settings]\ncell_timeout = \"12s\"\noutput_limit = \"256KiB\"\nat_once = 1\n")
    };
    let once = bench.start(&repo, "plain", &plain, &settings("plain"), &[]);
    let again = bench.start(&repo, "more", &more, &settings("more"), &["--extra-tests"]);
    let once = std::thread::spawn(move || once.wait(600));
    let again = again.wait(600);
    let once = once.join().unwrap();

    let expected: BTreeMap<&str, (&str, &str)> =
        ENDS.iter().map(|(name, outcome, class)| (*name, (*outcome, *class))).collect();
    for (ran, tier) in [(&once, &plain), (&again, &more)] {
        assert_eq!(ends(ran, tier), expected, "{executor}: {}", ran.said);
        assert_eq!((ran.code, ran.result["verdict"].as_str()), (1, Some("fail")), "{}", ran.said);
        assert_eq!(ran.ending(tier), ("failed".into(), "ended with code 1".into(), "fail".into()));
        bench.assert_no_secret(ran);
        messages(ran, tier);
    }
    report::names(&plain, serde_json::from_value(once.tier(&plain)["tests"].clone()).unwrap());
    opt_in(&again);
    bench.assert_nothing_left(&[&once, &again]);
}

fn ends<'a>(ran: &'a Ran, tier: &str) -> BTreeMap<&'a str, (&'a str, &'a str)> {
    let text = |value: &'a Value| value.as_str().unwrap_or("none");
    let tests = ran.tier(tier)["tests"].as_array().unwrap();
    tests.iter().map(|test| (text(&test["name"]), (text(&test["outcome"]), text(&test["class"])))).collect()
}

fn test(ran: &Ran, tier: &str, name: &str) -> TestResult {
    let tests = ran.tier(tier)["tests"].as_array().unwrap();
    let found = tests.iter().find(|test| test["name"] == name).unwrap_or_else(|| panic!("{name}"));
    serde_json::from_value(found.clone()).unwrap()
}

fn messages(ran: &Ran, tier: &str) {
    for (name, message, cell) in [
        ("endless.ipynb", "cell 1 reached the limit of 12 s for a cell", Some(1)),
        ("deaf.ipynb", "cell 1 reached the limit of 12 s for a cell", Some(1)),
        ("failing.ipynb", "cell 1 raised ValueError: as it should", Some(1)),
        (
            "missing_import.ipynb",
            "cell 1 raised ModuleNotFoundError: No module named 'module_that_nobody_has'",
            Some(1),
        ),
        ("other_kernel.ipynb", "the kernel ir is not installed in the environment", None),
        ("memory_hog.ipynb", "the kernel was killed for memory in cell 1", Some(1)),
        ("suicide.ipynb", "the kernel was killed by SIGKILL in cell 0", Some(0)),
    ] {
        let test = test(ran, tier, name);
        assert_eq!((test.message.as_str(), test.cell.map(|cell| cell.index)), (message, cell), "{name}");
    }
    let import = test(ran, "imports", "missing_import.ipynb");
    assert_eq!((import.class.as_str(), import.cell.map(|cell| cell.index)), ("import_error", Some(1)));
}

/// The tiers that end as a whole: what was written in `/out` before is told, and believed for nothing.
fn opt_in(ran: &Ran) {
    for (tier, outcome, note) in [
        ("closer", "failed", "ended with code 1"),
        ("killer", "failed", "ended by signal 9"),
        ("filler", "out_of_disk", "killed at its disk limit"),
    ] {
        let expected = (outcome.to_owned(), note.to_owned(), "fail".to_owned());
        assert_eq!(ran.ending(tier), expected, "{tier}: {}", ran.log(tier));
    }
    assert_eq!(ran.result["extra_verdict"], "fail");
}

/// Every file of the fixture as a notebook, and one that is none.
fn repository(repo: &Path, mark: &str) {
    let from = fixture("notebooks");
    for entry in walkdir::WalkDir::new(&from).into_iter().map(Result::unwrap) {
        let path = entry.path().strip_prefix(&from).unwrap();
        if entry.file_type().is_dir() {
            fs::create_dir_all(repo.join(path)).unwrap();
            continue;
        }
        let is_extra = path.components().count() > 1;
        let text = fs::read_to_string(entry.path()).unwrap().replace("MARK", mark);
        fs::write(repo.join(path.with_extension("ipynb")), notebook(&text, is_extra)).unwrap();
    }
    fs::write(repo.join("broken.ipynb"), "{\"cells\": [").unwrap();
}

/// From a script: `# %% [TAG]` begins a cell, `# kernel: NAME` in the first line names another kernel.
fn notebook(text: &str, is_extra: bool) -> String {
    let (kernel, text) = match text.strip_prefix("# kernel: ").and_then(|rest| rest.split_once('\n')) {
        Some((name, rest)) => (name, rest),
        None => ("python3", text),
    };
    let mut cells: Vec<(Vec<&str>, String)> = vec![(Vec::new(), String::new())];
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("# %%") {
            Some(tag) => {
                let tag = tag.trim().trim_matches(['[', ']']);
                cells.push((Some(tag).filter(|tag| !tag.is_empty()).into_iter().collect(), String::new()));
            }
            None => cells.last_mut().unwrap().1.push_str(line),
        }
    }
    let cells: Vec<Value> = cells
        .into_iter()
        .filter(|(_, source)| !source.is_empty())
        .map(|(tags, source)| {
            json!({"cell_type": "code", "metadata": {"tags": tags}, "execution_count": null, "outputs": [],
                   "source": source})
        })
        .collect();
    let tags = if is_extra { json!(["docent-extra"]) } else { json!([]) };
    let language = if kernel == "python3" { "python" } else { "R" };
    let kernel = json!({"name": kernel, "display_name": kernel, "language": language});
    json!({"nbformat": 4, "nbformat_minor": 4, "cells": cells, "metadata": {"kernelspec": kernel, "tags": tags}})
        .to_string()
}

/// The shipped recipe under another name, with smaller limits where notebooks run, and with other opt-in tiers.
fn recipe(bench: &Bench, name: &str, tier: &str, opt_in: &str) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/notebook");
    let place = bench.path("recipes").join(name);
    assert!(Command::new("cp").arg("-r").arg(&shipped).arg(&place).status().unwrap().success());
    fs::copy(fixture("only.py"), place.join("harness/only.py")).unwrap();
    let text = fs::read_to_string(place.join("recipe.toml")).unwrap();
    let mut text = replaced(&text, "name = \"notebook\"\n", &format!("name = \"{name}\"\n"));
    text = replaced(&text, "name = \"notebooks\"\n", &format!("name = \"{tier}\"\n"));
    text = replaced(&text, "timeout = \"2h\"\n", "timeout = \"6m\"\nmemory = \"512MiB\"\nprocesses = 128\n");
    if !opt_in.is_empty() {
        let at = text.find("[[tier]]\nname = \"extra\"").expect("the shipped recipe has a tier `extra`");
        text.truncate(at);
        text.push_str(opt_in);
    }
    fs::write(place.join("recipe.toml"), text).unwrap();
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} in the shipped recipe");
    text.replace(from, to)
}
