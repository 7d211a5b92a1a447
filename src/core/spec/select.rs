//! Which files of the checkouts a spec selects: a pure function of their lists.

use std::collections::{BTreeMap, BTreeSet};

use super::section::shown;
use super::selections::{Selection, Tests};
use super::{Spec, Warning, Written};
use crate::core::mistake::Mistake;

/// Files of each repository, by its name in the spec: paths from its root, links to folders not followed.
pub type Files = BTreeMap<String, Vec<String>>;

/// What a spec selects. All paths begin with `references/`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selected {
    /// What each selection found, in the order of the spec.
    pub selections: Vec<Found>,
    /// How each notebook is tested: as the last selection that names it says.
    pub tests: BTreeMap<String, Tests>,
    /// Selected requirement files whose folder has no notebook. They count like the others.
    pub orphans: Vec<String>,
    /// What should be known.
    pub warnings: Vec<Warning>,
}

/// What one selection found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The selection, by its name in the spec.
    pub selection: String,
    /// Its notebooks, sorted.
    pub notebooks: Vec<String>,
    /// Its requirement files, sorted.
    pub requirements: Vec<String>,
}

impl Selected {
    /// Every notebook once, sorted.
    pub fn notebooks(&self) -> Vec<&str> {
        self.tests.keys().map(String::as_str).collect()
    }

    /// Every requirement file once, sorted.
    pub fn requirements(&self) -> Vec<&str> {
        let all: BTreeSet<&str> =
            self.selections.iter().flat_map(|found| &found.requirements).map(String::as_str).collect();
        all.into_iter().collect()
    }

    /// The selections that found this file.
    pub fn selections_of(&self, path: &str) -> Vec<&str> {
        let has = |found: &&Found| {
            let is_in = |files: &[String]| files.binary_search_by(|file| file.as_str().cmp(path)).is_ok();
            is_in(&found.notebooks) || is_in(&found.requirements)
        };
        self.selections.iter().filter(has).map(|found| found.selection.as_str()).collect()
    }
}

/// What `spec` selects among these files.
pub fn select(spec: &Spec, files: &Files) -> Selected {
    let mut selected = Selected::default();
    for selection in &spec.selections {
        let found = find(spec, selection, files);
        if found.notebooks.is_empty() && found.requirements.is_empty() {
            let text =
                format!("selected_notebooks.{}: no file fits this selection", shown(&selection.name.text));
            selected.warnings.push(warning(spec, "empty-selection", &selection.name, text));
        } else if found.notebooks.is_empty() {
            let text = format!(
                "selected_notebooks.{}: no notebook fits this selection",
                shown(&selection.name.text)
            );
            selected.warnings.push(warning(spec, "empty-selection", &selection.name, text));
        }
        for notebook in &found.notebooks {
            selected.tests.insert(notebook.clone(), selection.tests.clone());
        }
        selected.selections.push(found);
    }
    let with_notebooks: BTreeSet<String> = spec
        .repositories
        .iter()
        .flat_map(|repository| {
            let files = files.get(&repository.name.text).map(Vec::as_slice).unwrap_or_default();
            let notebooks = files.iter().filter(|path| path.ends_with(".ipynb"));
            notebooks.map(|path| folder(&full(&repository.folder, path)).to_owned())
        })
        .collect();
    let orphans = selected.requirements().into_iter().filter(|path| !with_notebooks.contains(folder(path)));
    selected.orphans = orphans.map(str::to_owned).collect();
    let left = requirements_left_out(spec, files, &selected);
    selected.warnings.extend(left);
    selected
}

fn warning(spec: &Spec, name: &'static str, at: &Written, text: String) -> Warning {
    Warning { name, mistake: Mistake::new(spec.place(at.span), text) }
}

fn full(folder: &str, path: &str) -> String {
    format!("references/{folder}/{path}")
}

/// The folder of a path; empty at the root.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn find(spec: &Spec, selection: &Selection, files: &Files) -> Found {
    let mut found =
        Found { selection: selection.name.text.clone(), notebooks: Vec::new(), requirements: Vec::new() };
    let Some(repository) = spec.repository(&selection.repository.text) else { return found };
    let root = &selection.root_directory;
    let is_below = |path: &str| {
        root.is_empty() || path.strip_prefix(root.as_str()).is_some_and(|rest| rest.starts_with('/'))
    };
    for path in files.get(&repository.name.text).into_iter().flatten().filter(|path| is_below(path)) {
        let is_notebook = path.ends_with(".ipynb");
        if !is_notebook && name(path) != "requirements.txt" {
            continue;
        }
        let full = full(&repository.folder, path);
        let is_included = selection.include.iter().any(|pattern| pattern.is_in(&full));
        let is_excluded = selection.exclude.iter().any(|pattern| pattern.is_in(&full));
        if !is_included || is_excluded {
            continue;
        }
        if !is_notebook {
            found.requirements.push(full);
        } else if !folder(path).split('/').any(|part| part == ".ipynb_checkpoints") {
            found.notebooks.push(full);
        }
    }
    for list in [&mut found.notebooks, &mut found.requirements] {
        list.sort();
        list.dedup();
    }
    found
}

/// A notebook whose own folder has requirements that no selection took will miss them.
fn requirements_left_out(spec: &Spec, files: &Files, selected: &Selected) -> Vec<Warning> {
    let taken: BTreeSet<&str> = selected.requirements().into_iter().collect();
    let mut left = BTreeSet::new();
    for repository in &spec.repositories {
        for path in files.get(&repository.name.text).into_iter().flatten() {
            let full = full(&repository.folder, path);
            if name(path) == "requirements.txt" && !taken.contains(full.as_str()) {
                left.insert(full);
            }
        }
    }
    let mut warnings = Vec::new();
    let mut told = BTreeSet::new();
    for (found, selection) in selected.selections.iter().zip(&spec.selections) {
        for notebook in &found.notebooks {
            let file = format!("{}/requirements.txt", folder(notebook));
            if left.contains(&file) && told.insert((&found.selection, file.clone())) {
                let text = format!(
                    "selected_notebooks.{}: {} is selected, and {} of its folder is not; name the folder, not the notebook",
                    shown(&found.selection),
                    shown(notebook),
                    shown(&file)
                );
                warnings.push(warning(spec, "requirements-left-out", &selection.name, text));
            }
        }
    }
    warnings
}
