//! Which files a spec selects.

use super::super::select::{Files, Selected, select};
use super::{changed, good};

fn files(paths: &[&str]) -> Files {
    [("notes".to_owned(), paths.iter().map(ToString::to_string).collect())].into()
}

#[track_caller]
fn selected(include: &str, paths: &[&str]) -> Selected {
    let spec = good(&changed("    include_subdirs:\n      - .\n", include));
    select(&spec, &files(paths))
}

const TREE: [&str; 9] = [
    "README.md",
    "notebooks/.hidden/h.ipynb",
    "notebooks/alpha/.ipynb_checkpoints/a-checkpoint.ipynb",
    "notebooks/alpha/a.ipynb",
    "notebooks/alpha/requirements.txt",
    "notebooks/alphabet/x.ipynb",
    "notebooks/lonely/requirements.txt",
    "notebooks/script.py",
    "other/o.ipynb",
];

#[track_caller]
fn notebooks(include: &str, expected: &[&str]) {
    let selected = selected(include, &TREE);
    let short: Vec<&str> = selected
        .notebooks()
        .iter()
        .map(|path| path.trim_start_matches("references/notes/notebooks/"))
        .collect();
    assert_eq!(short, expected, "{include}");
}

#[test]
fn patterns_are_found_anywhere_in_the_whole_path() {
    let all = [".hidden/h.ipynb", "alpha/a.ipynb", "alphabet/x.ipynb"];
    notebooks("    include_subdirs: [.]\n", &all);
    notebooks("    include_subdirs: ['.*']\n", &all);
    notebooks("    include_subdirs: [notes]\n", &all);
    notebooks("    include_subdirs: [^references]\n", &all);
    notebooks("    include_subdirs: [alpha]\n", &["alpha/a.ipynb", "alphabet/x.ipynb"]);
    notebooks("    include_subdirs: [alpha/]\n", &["alpha/a.ipynb"]);
    notebooks("    include_subdirs: [^alpha]\n", &[]);
    notebooks("    include_subdirs: [.]\n    exclude_subdirs: ['alphabet|\\.hidden']\n", &["alpha/a.ipynb"]);
    notebooks("    include_subdirs: []\n", &[]);
}

#[test]
fn requirement_files_follow_the_same_rules_and_what_is_left_out_is_told() {
    let folder = selected("    include_subdirs: [.]\n", &TREE);
    assert_eq!(
        folder.requirements(),
        [
            "references/notes/notebooks/alpha/requirements.txt",
            "references/notes/notebooks/lonely/requirements.txt"
        ]
    );
    assert_eq!(folder.orphans, ["references/notes/notebooks/lonely/requirements.txt"]);
    assert!(folder.warnings.is_empty());
    let one = selected("    include_subdirs: [alpha/a.ipynb]\n", &TREE);
    assert!(one.requirements().is_empty());
    let told: Vec<String> = one.warnings.iter().map(|warning| warning.mistake.to_string()).collect();
    assert_eq!(
        told,
        ["s:14:3: selected_notebooks.all: references/notes/notebooks/alpha/a.ipynb is selected, and \
          references/notes/notebooks/alpha/requirements.txt of its folder is not; name the folder, not the notebook"]
    );
    assert_eq!(one.selections_of("references/notes/notebooks/alpha/a.ipynb"), ["all"]);
}

#[test]
fn a_selection_that_finds_nothing_is_told() {
    let nothing = selected("    include_subdirs: [nowhere]\n", &TREE);
    let told: Vec<String> = nothing.warnings.iter().map(|warning| warning.mistake.to_string()).collect();
    assert_eq!(told, ["s:14:3: selected_notebooks.all: no file fits this selection"]);
}

#[test]
fn a_notebook_of_two_selections_is_listed_in_both_and_tested_as_the_later_one_says() {
    let later = "    include_subdirs: [.]\n  later:\n    repo: notes\n    include_subdirs: [alpha/a]\n    tests: {papermill: no}\n";
    let both = selected(later, &TREE);
    let counts: Vec<usize> = both.selections.iter().map(|found| found.notebooks.len()).collect();
    assert_eq!(counts, [3, 1]);
    let run: Vec<bool> = both.tests.values().map(|tests| tests.papermill).collect();
    assert_eq!(run, [true, false, true]);
}
