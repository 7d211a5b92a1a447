//! Which notebooks of a commit are run, and which requirement files belong to them.

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobMatcher};

use super::command::TestOptions;
use super::notebook::{NotebookFacts, NotebookFault, finding};
use super::plan::Plan;

/// What looking at each notebook gave, by path.
pub type Seen = BTreeMap<String, Result<NotebookFacts, NotebookFault>>;

/// A path pattern as people write it: `*` stops at `/`, `**` does not.
pub fn pattern(text: &str) -> Result<GlobMatcher, globset::Error> {
    Ok(GlobBuilder::new(text).literal_separator(true).build()?.compile_matcher())
}

/// A notebook that could be run: none in hidden folders, which hold checkpoints and the like.
pub fn is_candidate(path: &str) -> bool {
    let is_hidden = |part: &str| part.starts_with('.');
    path.ends_with(".ipynb") && !path.split('/').any(is_hidden)
}

/// In a folder named `extra`.
fn is_in_extra_folder(path: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(folder, _)| folder.split('/').any(|part| part == "extra"))
}

/// The plan for a commit with these files. Every selected notebook stands in exactly one of the two lists, those that cannot
/// be read included: they leave a result too.
pub fn plan(paths: &[String], seen: &Seen, options: &TestOptions, only: &[String]) -> Plan {
    let mut plan = Plan::default();
    let glob = options.notebooks.as_deref().map(pattern);
    let glob = match glob.transpose() {
        Ok(glob) => glob,
        Err(error) => {
            plan.warnings.push(format!("the pattern for notebooks cannot be used: {error}"));
            return plan;
        }
    };
    let is_wanted = |path: &str| {
        glob.as_ref().is_none_or(|glob| glob.is_match(path))
            && (only.is_empty() || only.iter().any(|wanted| wanted == path))
    };
    for (path, facts) in seen.iter().filter(|(path, _)| is_candidate(path) && is_wanted(path)) {
        let is_extra = is_in_extra_folder(path) || facts.as_ref().is_ok_and(|facts| facts.is_extra);
        if is_extra && !options.extra_tests {
            continue;
        }
        plan.findings.push(finding(path, facts));
        if is_extra {
            plan.extra_notebooks.push(path.clone());
        } else {
            plan.notebooks.push(path.clone());
        }
    }
    plan.requirements = requirements(paths, plan.notebooks.iter().chain(&plan.extra_notebooks));
    if plan.notebooks.is_empty() && plan.extra_notebooks.is_empty() {
        plan.warnings.push(match &options.notebooks {
            Some(pattern) => format!("no notebook fits {pattern}"),
            None => "there is no notebook to run".to_owned(),
        });
    }
    plan
}

/// The `requirements.txt` files in the folders of these notebooks and in all folders above them.
fn requirements<'a>(paths: &[String], notebooks: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut wanted: BTreeSet<String> = BTreeSet::from(["requirements.txt".to_owned()]);
    for notebook in notebooks {
        let mut folder = notebook.as_str();
        while let Some((above, _)) = folder.rsplit_once('/') {
            wanted.insert(format!("{above}/requirements.txt"));
            folder = above;
        }
    }
    paths.iter().filter(|path| wanted.contains(*path)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(paths: &[&str]) -> (Vec<String>, Seen) {
        let all: Vec<String> = paths.iter().map(ToString::to_string).collect();
        let facts = |path: &String| (path.clone(), Ok(NotebookFacts::default()));
        let notebooks = all.iter().filter(|path| path.ends_with(".ipynb")).map(facts).collect();
        (all, notebooks)
    }

    #[test]
    fn hidden_folders_hold_no_notebooks_and_extra_ones_wait_to_be_asked_for() {
        let (paths, facts) = seen(&[
            "a.ipynb",
            "b/.ipynb_checkpoints/a.ipynb",
            "b/c.ipynb",
            "extra/slow.ipynb",
            "requirements.txt",
            "b/requirements.txt",
            "d/requirements.txt",
        ]);
        let default = plan(&paths, &facts, &TestOptions::default(), &[]);
        assert_eq!(default.notebooks, ["a.ipynb", "b/c.ipynb"]);
        assert_eq!(default.requirements, ["requirements.txt", "b/requirements.txt"]);
        assert!(default.extra_notebooks.is_empty());
        let asked = TestOptions { extra_tests: true, ..TestOptions::default() };
        assert_eq!(plan(&paths, &facts, &asked, &[]).extra_notebooks, ["extra/slow.ipynb"]);
    }

    #[test]
    fn a_pattern_and_a_retry_narrow_the_choice() {
        let (paths, facts) = seen(&["a.ipynb", "b/c.ipynb", "b/d/e.ipynb"]);
        let with = |pattern: &str| TestOptions { notebooks: Some(pattern.into()), ..TestOptions::default() };
        assert_eq!(plan(&paths, &facts, &with("b/*.ipynb"), &[]).notebooks, ["b/c.ipynb"]);
        assert_eq!(plan(&paths, &facts, &with("b/**"), &[]).notebooks, ["b/c.ipynb", "b/d/e.ipynb"]);
        let nothing = plan(&paths, &facts, &with("x*"), &[]);
        assert_eq!(nothing.warnings, ["no notebook fits x*"]);
        let retried = plan(&paths, &facts, &TestOptions::default(), &["a.ipynb".into()]);
        assert_eq!(retried.notebooks, ["a.ipynb"]);
    }
}
