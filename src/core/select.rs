//! Which notebooks of a commit are run, and which requirement files belong to them.

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobMatcher};

use super::command::TestOptions;
use super::curation::Curation;
use super::mistake::Mistake;
use super::notebook::{NotebookFacts, NotebookFault, finding};
use super::outcome::{Outcome, TestResult};
use super::plan::{Plan, is_other_test};
use super::recipe::Recipe;
use super::spec::select::Selected;

/// Mistakes of one spec that are told.
const MAX_MISTAKES: usize = 200;

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
pub fn is_in_extra_folder(path: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(folder, _)| folder.split('/').any(|part| part == "extra"))
}

/// The plan for a commit with these files. Every selected notebook stands in exactly one of the two lists, those that cannot
/// be read and those that are skipped included: they leave a result too. `only` narrows the choice to these paths; empty: all.
pub fn plan_of_repository(paths: &[String], seen: &Seen, options: &TestOptions, only: &[String]) -> Plan {
    plan(paths, seen, options, only, false)
}

fn plan(paths: &[String], seen: &Seen, options: &TestOptions, only: &[String], is_selected: bool) -> Plan {
    let mut plan = Plan::default();
    let glob = match options.notebooks.as_deref().map(pattern).transpose() {
        Ok(glob) => glob,
        Err(error) => {
            plan.warnings.push(format!("the pattern for notebooks cannot be used: {error}"));
            return plan;
        }
    };
    let only: BTreeSet<&str> = only.iter().map(String::as_str).collect();
    let is_wanted = |path: &str| {
        glob.as_ref().is_none_or(|glob| glob.is_match(path)) && (only.is_empty() || only.contains(path))
    };
    let mut not_asked_for = 0;
    for (path, facts) in
        seen.iter().filter(|(path, _)| (is_selected || is_candidate(path)) && is_wanted(path))
    {
        let is_extra = is_in_extra_folder(path) || facts.as_ref().is_ok_and(|facts| facts.is_extra);
        if is_extra && !options.extra_tests {
            not_asked_for += 1;
            continue;
        }
        plan.findings.push(finding(path, facts));
        if is_extra {
            plan.extra_notebooks.push(path.clone());
        } else {
            plan.notebooks.push(path.clone());
        }
    }
    // Not those of extra notebooks: with them, the lock would be another one as soon as somebody asks for extra tests.
    plan.requirements = requirements(paths, plan.notebooks.iter());
    let beside_extra = requirements(paths, plan.extra_notebooks.iter());
    let unused: Vec<&str> =
        beside_extra.iter().filter(|path| !plan.requirements.contains(path)).map(String::as_str).collect();
    if !unused.is_empty() {
        let what = "not installed, because only extra notebooks are beside it and the environment is that of the default tests";
        plan.warnings.push(format!("{what}: {}", unused.join(", ")));
    }
    let asks_for_other_tests = options.extra_tests && only.iter().any(|name| is_other_test(name));
    if plan.findings.is_empty() && !asks_for_other_tests {
        plan.warnings.push(match (&options.notebooks, not_asked_for) {
            (Some(pattern), 0) => format!("no notebook fits {pattern}"),
            (None, 0) => "there is no notebook to run".to_owned(),
            (Some(pattern), count) => {
                format!("only extra notebooks fit {pattern} ({count}): ask for them with --extra-tests")
            }
            (None, count) => {
                format!("there are only extra notebooks ({count}): ask for them with --extra-tests")
            }
        });
    }
    let gone: Vec<&str> =
        only.into_iter().filter(|name| !is_other_test(name) && !seen.contains_key(*name)).collect();
    if !gone.is_empty() {
        plan.warnings.push(format!("not there any more: {}", gone.join(", ")));
    }
    plan
}

/// The spec to curate: the one that was asked for, else the only one that the recipe knows by its name. None: the repository
/// is taken as it is.
///
/// # Errors
/// There is none of that name, or there are several to choose from.
pub fn spec_of(paths: &[String], recipe: &Recipe, options: &TestOptions) -> Result<Option<String>, String> {
    if recipe.specs.is_empty() {
        return match &options.spec {
            Some(_) => Err(format!("the recipe {} curates no specs", recipe.name)),
            None => Ok(None),
        };
    }
    if let Some(wanted) = &options.spec {
        let is_there = paths.contains(wanted);
        return is_there.then(|| Some(wanted.clone())).ok_or_else(|| format!("there is no file {wanted}"));
    }
    let patterns: Vec<GlobMatcher> = recipe.specs.iter().filter_map(|text| pattern(text).ok()).collect();
    let found: Vec<&String> =
        paths.iter().filter(|path| patterns.iter().any(|pattern| pattern.is_match(path))).collect();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        several => {
            let names: Vec<&str> = several.iter().take(5).map(|path| path.as_str()).collect();
            let more = if several.len() > 5 { ", …" } else { "" };
            Err(format!(
                "there are {} specs ({}{more}): name one with --spec",
                several.len(),
                names.join(", ")
            ))
        }
    }
}

/// The plan for a spec: its notebooks instead of all that there are. `seen` holds what looking at each of them gave.
pub fn plan_of_spec(
    curation: Curation,
    selected: &Selected,
    seen: &Seen,
    options: &TestOptions,
    only: &[String],
) -> Plan {
    let mut plan = plan(&[], seen, options, only, true);
    plan.requirements = selected.requirements().into_iter().map(str::to_owned).collect();
    plan.warnings.extend(selected.warnings.iter().map(|warning| warning.mistake.to_string()));
    plan.curation = Some(Box::new(curation));
    plan
}

/// The plan for a spec that cannot be used: every mistake of it, and nothing to run.
pub fn plan_of_mistakes(mistakes: &[Mistake]) -> Plan {
    let finding = |mistake: &Mistake| {
        TestResult::plain(mistake.place.to_string(), Outcome::Failed, "invalid_spec", mistake.text.clone())
    };
    Plan {
        findings: mistakes.iter().take(MAX_MISTAKES).map(finding).collect(),
        is_unusable: true,
        ..Plan::default()
    }
}

/// The `requirements.txt` files in the root, in the folders of these notebooks and in all folders between, the outer before the
/// inner ones.
fn requirements<'a>(paths: &[String], notebooks: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut wanted: BTreeSet<String> = BTreeSet::from(["requirements.txt".to_owned()]);
    for notebook in notebooks {
        let mut folder = notebook.as_str();
        while let Some((above, _)) = folder.rsplit_once('/') {
            // Whatever stands above a folder that is there already is there as well.
            if !wanted.insert(format!("{above}/requirements.txt")) {
                break;
            }
            folder = above;
        }
    }
    let there = paths.iter().filter(|path| wanted.contains(*path));
    let mut requirements: Vec<String> = there.cloned().collect();
    requirements.sort_by_cached_key(|path| (path.matches('/').count(), path.clone()));
    requirements.dedup();
    requirements
}

#[cfg(test)]
mod tests {
    use super::plan_of_repository as plan;
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
            ".github/x.ipynb",
            "b/c.ipynb",
            "extra/slow.ipynb",
            "b/requirements.txt",
            "b/dev-requirements.txt",
            "d/requirements.txt",
            "requirements.txt",
        ]);
        let default = plan(&paths, &facts, &TestOptions::default(), &[]);
        assert_eq!(default.notebooks, ["a.ipynb", "b/c.ipynb"]);
        assert_eq!(default.requirements, ["requirements.txt", "b/requirements.txt"]);
        assert!(default.extra_notebooks.is_empty());
        let asked = TestOptions { extra_tests: true, ..TestOptions::default() };
        assert_eq!(plan(&paths, &facts, &asked, &[]).extra_notebooks, ["extra/slow.ipynb"]);
    }

    #[test]
    fn extra_notebooks_change_neither_the_lock_nor_what_the_default_tiers_find() {
        let (paths, mut facts) =
            seen(&["a.ipynb", "extra/slow.ipynb", "extra/requirements.txt", "requirements.txt"]);
        let fault = NotebookFault { line: 1, column: 1, text: "no JSON".to_owned() };
        facts.insert("extra/broken.ipynb".to_owned(), Err(fault));
        let asked = TestOptions { extra_tests: true, ..TestOptions::default() };
        let (default, extra) =
            (plan(&paths, &facts, &TestOptions::default(), &[]), plan(&paths, &facts, &asked, &[]));
        assert_eq!(extra.requirements, default.requirements);
        assert!(extra.warnings[0].ends_with(": extra/requirements.txt"), "{:?}", extra.warnings);
        assert_eq!(extra.extra_notebooks, ["extra/broken.ipynb", "extra/slow.ipynb"]);
        assert_eq!(extra.default_findings(), default.findings);
    }

    #[test]
    fn a_test_of_pytest_is_asked_for_by_its_name_and_no_notebook_with_it() {
        let (paths, facts) = seen(&["a.ipynb"]);
        let asked = TestOptions { extra_tests: true, ..TestOptions::default() };
        let plan = plan(&paths, &facts, &asked, &["extra/test_a.py::test_b".into()]);
        assert_eq!((plan.notebooks.len(), plan.extra_notebooks.len(), plan.warnings.len()), (0, 0, 0));
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

    #[test]
    fn what_is_left_out_is_said() {
        let (paths, facts) = seen(&["extra/a.ipynb", "b.ipynb"]);
        let with = |pattern: &str| TestOptions { notebooks: Some(pattern.into()), ..TestOptions::default() };
        assert_eq!(
            plan(&paths, &facts, &with("extra/*"), &[]).warnings,
            ["only extra notebooks fit extra/* (1): ask for them with --extra-tests"]
        );
        assert_eq!(
            plan(&paths, &facts, &with("b[.ipynb"), &[]).warnings,
            [
                "the pattern for notebooks cannot be used: error parsing glob 'b[.ipynb': unclosed character class; missing ']'"
            ]
        );
        assert_eq!(
            plan(&[], &Seen::new(), &TestOptions::default(), &[]).warnings,
            ["there is no notebook to run"]
        );
        let gone = plan(&paths, &facts, &TestOptions::default(), &["b.ipynb".into(), "gone.ipynb".into()]);
        assert_eq!(
            (gone.notebooks, gone.warnings),
            (vec!["b.ipynb".into()], vec!["not there any more: gone.ipynb".into()])
        );
    }

    #[test]
    fn skipped_and_broken_notebooks_stay_planned_and_leave_a_finding() {
        let seen: Seen = [
            ("a.ipynb".to_owned(), Ok(NotebookFacts { is_skipped: true, ..NotebookFacts::default() })),
            ("b.ipynb".to_owned(), Err(NotebookFault::too_large(2, 1))),
            ("c.ipynb".to_owned(), Ok(NotebookFacts { is_extra: true, ..NotebookFacts::default() })),
        ]
        .into();
        let asked = TestOptions { extra_tests: true, ..TestOptions::default() };
        let plan = plan(&[], &seen, &asked, &[]);
        assert_eq!(
            (plan.notebooks.as_slice(), plan.extra_notebooks.as_slice()),
            (&["a.ipynb".to_owned(), "b.ipynb".to_owned()][..], &["c.ipynb".to_owned()][..])
        );
        let classes: Vec<&str> = plan.findings.iter().map(|finding| finding.class.as_str()).collect();
        assert_eq!(classes, ["skipped", "invalid_notebook", ""]);
    }

    #[test]
    fn a_large_repository_is_no_trouble() {
        // Comparing all with all would keep this test from ending.
        let paths: Vec<String> = (0..50_000).map(|n| format!("d{}/e{}/n{n}.ipynb", n % 100, n % 7)).collect();
        let seen: Seen = paths.iter().map(|path| (path.clone(), Ok(NotebookFacts::default()))).collect();
        let plan = plan(&paths, &seen, &TestOptions::default(), &paths);
        assert_eq!(plan.notebooks.len(), 50_000);
    }
}
