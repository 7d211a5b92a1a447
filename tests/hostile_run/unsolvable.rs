//! Requirements that no environment can meet: what clashes is named by file and line, and the notebooks stay unverified.

use std::fs;
use std::path::Path;

use crate::bench::{Bench, NOTEBOOK};
use crate::hostile::not_run;

struct Fault {
    name: &'static str,
    /// Requirement files and their lines.
    files: &'static [(&'static str, &'static str)],
    /// What whoever reads the verdict must find in it.
    places: &'static [&'static str],
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "conflict",
        files: &[
            ("one/requirements.txt", "certifi>=2024\n"),
            ("two/requirements.txt", "idna\ncertifi<2024\n"),
        ],
        places: &["one/requirements.txt:1", "two/requirements.txt:2"],
    },
    Fault {
        name: "unknown",
        files: &[("requirements.txt", "certifi==1.0.0.0.1\n")],
        places: &["requirements.txt:1", "certifi"],
    },
];

/// Twice at once, with the same end.
pub fn is_named(executor: &'static str) {
    let bench = match Bench::new(executor, NOTEBOOK) {
        Ok(bench) => bench,
        Err(why) => return not_run(if executor == "container" { "engine" } else { executor }, &why),
    };
    for Fault { name, files, places } in FAULTS {
        let repo = bench.path(name);
        for (path, lines) in *files {
            let place = repo.join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(&place, lines).unwrap();
            notebook(place.parent().unwrap());
        }
        let runs = [(); 2].map(|()| bench.start(&repo, "notebook", "resolve", "", &[]));
        for ran in runs.map(|running| running.wait(300)) {
            assert_eq!((ran.code, ran.result["verdict"].as_str()), (1, Some("fail")), "{}", ran.said);
            let resolve = ran.tier("resolve");
            let test = &resolve["tests"][0];
            assert_eq!(
                (&resolve["verdict"], &test["class"]),
                (&"fail".into(), &"unsolvable".into()),
                "{test:#}"
            );
            for place in *places {
                assert!(test["message"].as_str().unwrap().contains(place), "{place}: {}", test["message"]);
            }
            assert_eq!(ran.tier("notebooks")["verdict"], "unverified");
        }
    }
}

/// What is beside no notebook is not asked for.
fn notebook(folder: &Path) {
    let text = r#"{"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [
        {"cell_type": "code", "metadata": {}, "execution_count": null, "outputs": [], "source": "1 + 1"}]}"#;
    fs::write(folder.join("notebook.ipynb"), text).unwrap();
}
