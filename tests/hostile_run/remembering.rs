//! What one `docent run` finds is there for the next: on a laptop, too, only what has changed is made again.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::bench::{Bench, NOTEBOOK, Ran};
use crate::hostile::not_run;

pub fn only_what_has_changed_is_made_again(executor: &'static str) {
    let bench = match Bench::new(executor, NOTEBOOK) {
        Ok(bench) => bench,
        Err(why) => return not_run(if executor == "container" { "engine" } else { executor }, &why),
    };
    let repo = bench.path("repo");
    fs::create_dir(&repo).unwrap();
    notebook(&repo, "a.ipynb", "print('a')");
    notebook(&repo, "b.ipynb", "print('b')");
    let run = |more: &[&str]| {
        let ran = bench.start_remembering(&repo, "notebook", "environment", "", more).wait(300);
        assert_eq!((ran.code, &ran.result["verdict"]), (0, &json!("pass")), "{}", ran.said);
        ran
    };
    let first = run(&[]);
    assert_eq!(reused(&first), [("a.ipynb", false), ("b.ipynb", false)]);
    let number = first.result["run"].clone();

    // The usual place for results is in the folder that is run: what lies there is not the person's.
    let copied = Command::new("cp").arg("-r").arg(&first.output).arg(repo.join("docent-result")).status();
    assert!(copied.unwrap().success() && repo.join("docent-result/result.json").is_file());
    let second = run(&[]);
    assert_eq!(reused(&second), [("a.ipynb", true), ("b.ipynb", true)], "{}", second.said);
    assert!(notebooks(&second).iter().all(|test| test["reused_from"] == number));
    assert_eq!(second.tier("environment")["attempts"], json!([]), "it is there already");
    assert!(!second.output.join("r1-notebooks-1").exists());

    notebook(&repo, "b.ipynb", "print('b, changed')");
    assert_eq!(reused(&run(&[])), [("a.ipynb", true), ("b.ipynb", false)]);
    assert_eq!(reused(&run(&["--full"])), [("a.ipynb", false), ("b.ipynb", false)]);
    assert_eq!(reused(&run(&["--forget"])), [("a.ipynb", false), ("b.ipynb", false)]);

    // One that is killed is not gone on with, and leaves nothing but what the others had left.
    notebook(&repo, "b.ipynb", "import time; time.sleep(30)");
    bench.start_remembering(&repo, "notebook", "notebooks", "", &[]).die_saying("runs tier notebooks");
    notebook(&repo, "b.ipynb", "print('b')");
    assert_eq!(reused(&run(&[])), [("a.ipynb", true), ("b.ipynb", true)]);
    let work = bench.path("state/here/work");
    assert_eq!(fs::read_dir(work).map(Iterator::count).unwrap_or(0), 0);
    bench.forget();
}

fn notebooks(ran: &Ran) -> &Vec<Value> {
    ran.tier("notebooks")["tests"].as_array().unwrap()
}

fn reused(ran: &Ran) -> Vec<(&str, bool)> {
    let of_test = |test: &'_ Value| test["reused_from"].is_u64();
    let mut reused: Vec<(&str, bool)> =
        notebooks(ran).iter().map(|test| (test["name"].as_str().unwrap(), of_test(test))).collect();
    reused.sort_unstable();
    reused
}

fn notebook(repo: &Path, name: &str, code: &str) {
    let cell =
        json!({"cell_type": "code", "metadata": {}, "source": code, "outputs": [], "execution_count": null});
    let document = json!({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [cell]});
    fs::write(repo.join(name), document.to_string()).unwrap();
}
