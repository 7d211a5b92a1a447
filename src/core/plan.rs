//! From a request and a recipe to the tiers of a run, and what docent found in the commit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::TestOptions;
use super::curation::Curation;
use super::deferred::Known;
use super::id::Sha;
use super::outcome::TestResult;
use super::recipe::{Recipe, TestSet, Tier};
use super::reuse::Prints;
use super::run::{Request, TierRun};
use super::service::ServiceRun;

/// What docent found in a commit by looking, and decided to run. It is handed to every step as `plan.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Notebooks of the default tiers, by path.
    pub notebooks: Vec<String>,
    /// Notebooks of the opt-in tiers, by path.
    pub extra_notebooks: Vec<String>,
    /// Requirement files, by path.
    pub requirements: Vec<String>,
    /// What the built-in tier `validate` found, one a notebook.
    pub findings: Vec<TestResult>,
    /// The spec under curation; none for a plain repository.
    #[serde(default)]
    pub curation: Option<Box<Curation>>,
    /// What was found leaves nothing to run: after the built-in tier, the others stay unverified.
    #[serde(default)]
    pub is_unusable: bool,
    /// What the tests see of the commit.
    #[serde(default)]
    pub prints: Prints,
    /// Of a local folder: the commit whose files it holds, exactly those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Sha>,
    /// Open deferrals that name tests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deferred: Vec<Known>,
    /// What a person should know: nothing selected, patterns that fit nothing, ….
    pub warnings: Vec<String>,
}

impl Plan {
    /// What the built-in tier tells: a default one, so that what is wrong with an extra notebook is told by the tier that runs it.
    pub fn default_findings(&self) -> Vec<TestResult> {
        let is_extra = |finding: &&TestResult| self.extra_notebooks.contains(&finding.name);
        self.findings.iter().filter(|finding| !is_extra(finding)).cloned().collect()
    }
}

/// The tests besides notebooks that are run: all of them (none), or those of these names.
pub fn other_tests(request: &Request) -> Option<Vec<String>> {
    let is_part = !request.only.is_empty() || request.options.notebooks.is_some();
    is_part.then(|| request.only.iter().filter(|name| is_other_test(name)).cloned().collect())
}

/// A name by which a test can be asked for that is no notebook: pytest's, which holds a file and what is in it.
pub fn is_other_test(name: &str) -> bool {
    name.contains("::")
}

/// The tiers of a run: those of the recipe, up to the last one asked for; the opt-in ones only when asked for, and last.
///
/// # Errors
/// A tier name that the recipe does not have, or an opt-in tier without the opt-in: the sentence says what would be right.
pub fn tiers(recipe: &Recipe, options: &TestOptions) -> Result<Vec<Tier>, String> {
    let names = || recipe.tiers.iter().map(|tier| tier.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut last = None;
    for wanted in &options.tiers {
        let Some(at) = recipe.tiers.iter().position(|tier| tier.name == *wanted) else {
            return Err(format!("the recipe {} has no tier {wanted}: it has {}", recipe.name, names()));
        };
        if recipe.tiers[at].is_opt_in && !options.extra_tests {
            return Err(format!("the tier {wanted} is opt-in: ask with --extra-tests"));
        }
        last = last.max(Some(at));
    }
    let count = last.map_or(recipe.tiers.len(), |at| at + 1);
    let tiers = recipe.tiers.iter().take(count);
    let mut tiers: Vec<Tier> = tiers.filter(|tier| !tier.is_opt_in || options.extra_tests).cloned().collect();
    // What nobody has to wait for comes after what everybody waits for, wherever it stands in the recipe.
    tiers.sort_by_key(|tier| tier.is_opt_in);
    Ok(tiers)
}

/// The services of a run with these tiers: those of the recipe, the opt-in ones only when asked for. None where nothing runs that
/// could reach them.
pub fn services(recipe: &Recipe, options: &TestOptions, tiers: &[Tier], plan: &Plan) -> Vec<ServiceRun> {
    if plan.is_unusable || tiers.iter().all(Tier::is_built_in) {
        return Vec::new();
    }
    let wanted = recipe.services.iter().filter(|service| !service.is_opt_in || options.extra_tests);
    wanted.cloned().map(ServiceRun::of).collect()
}

/// The tiers as a run begins them: nothing tried, and the tests that must leave a result written down.
pub fn begin(tiers: Vec<Tier>, plan: &Plan) -> Vec<TierRun> {
    let planned = |tier: &Tier| match tier.tests {
        Some(TestSet::Notebooks) => plan.notebooks.clone(),
        Some(TestSet::ExtraNotebooks) => plan.extra_notebooks.clone(),
        None => Vec::new(),
    };
    tiers
        .into_iter()
        .map(|tier| TierRun {
            planned: planned(&tier),
            tier,
            attempts: Vec::new(),
            tests: Vec::new(),
            verdict: None,
            reused_from: None,
        })
        .collect()
}

/// Tests in the order in which they are begun: those that took longest the last time first, and before them those of which
/// nothing is known, so that no long one begins when all others have ended. `lengths` are in seconds.
pub fn longest_first(mut names: Vec<String>, lengths: &BTreeMap<String, f64>) -> Vec<String> {
    let length = |name: &String| lengths.get(name).copied().unwrap_or(f64::INFINITY);
    names.sort_by(|a, b| length(b).total_cmp(&length(a)));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_and_the_unknown_begin_first() {
        let names = ["a", "b", "new", "c", "newer"].map(str::to_owned).to_vec();
        let lengths =
            [("a", 1.0), ("b", 30.0), ("c", 2.0)].map(|(name, took)| (name.to_owned(), took)).into();
        assert_eq!(longest_first(names, &lengths), ["new", "newer", "b", "c", "a"]);
    }
}
