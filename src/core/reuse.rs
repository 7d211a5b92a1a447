//! Which results need not be made again: those of a test that sees the same things as one that has passed before.
//!
//! The identity of a test is a digest over all that can change its result: the notebook's code, the files beside it, the
//! environment, the image, the recipe and its settings. Prose and outputs are left out. Only a pass is reused, and only if
//! no run of the same identity ever ended otherwise: what sometimes fails is run again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::environment::digest;
use super::id::RunId;
use super::outcome::{Outcome, TestResult};
use super::recipe::{Environment, Tier};
use super::run::{Run, TierRun};

/// What the tests of a commit see of it, as digests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prints {
    /// The code of each notebook, by path.
    pub notebooks: BTreeMap<String, String>,
    /// Notebooks that may read other notebooks: their code names some.
    pub curious: BTreeSet<String>,
    /// All other files but prose.
    pub files: String,
}

/// A result as it is remembered: where to find it, and what to find it by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptResult {
    /// The identity of the test.
    pub key: String,
    /// Path of the notebook.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// A result that is remembered, and the run that has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// What is remembered.
    pub kept: KeptResult,
    /// The run.
    pub run: RunId,
    /// The tier.
    pub tier: String,
    /// The run was of a stranger's code.
    pub is_untrusted: bool,
}

/// What is taken from earlier runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reuse {
    /// The results, each with the run that it comes from.
    pub results: Vec<TestResult>,
    /// What is remembered and cannot be true, for the log: never trusted.
    pub inconsistent: Vec<String>,
}

/// Prose and housekeeping, which no code that is tested reads.
pub fn is_prose(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let is_page = [".md", ".rst"].iter().any(|end| name.ends_with(end));
    let is_housekeeping = [
        "license",
        "licence",
        "copying",
        "authors",
        "changelog",
        "citation.cff",
        ".gitignore",
        ".gitattributes",
    ]
    .iter()
    .any(|start| name.starts_with(start));
    is_page
        || is_housekeeping
        || path.starts_with(".github/")
        || path.starts_with(".gitea/")
        || path.starts_with(".forgejo/")
}

/// The identities of the tests of a tier, by name. Empty where nothing may be reused.
pub fn keys(run: &Run, tier: &Tier) -> BTreeMap<String, String> {
    let (Some(plan), Some(recipe)) = (&run.plan, &run.recipe) else { return BTreeMap::new() };
    // What a service answers is told by no digest, and later tiers look for what a test leaves there.
    if !run.services.is_empty() {
        return BTreeMap::new();
    }
    let Some(image) = recipe.image_identity.as_ref().filter(|_| tier.is_reusable) else {
        return BTreeMap::new();
    };
    let environment = match (&run.environment, tier.environment) {
        (_, Environment::None) => "none",
        (Some(environment), _) => environment.key.as_str(),
        (None, _) => return BTreeMap::new(),
    };
    let all = || {
        digest(
            &plan.prints.notebooks.iter().flat_map(|(name, code)| [name.as_str(), code]).collect::<Vec<_>>(),
        )
    };
    let others = if plan.prints.curious.is_empty() { String::new() } else { all() };
    let limits = serde_json::to_string(&tier.limits).unwrap_or_default();
    let key = |(name, code): (&String, &String)| {
        let others = if plan.prints.curious.contains(name) { others.as_str() } else { "" };
        let parts = [
            "docent.reuse.1",
            &recipe.digest,
            &recipe.settings_digest,
            image,
            environment,
            &tier.name,
            &limits,
            &plan.prints.files,
            name,
            code,
            others,
        ];
        (name.clone(), digest(&parts))
    };
    plan.prints.notebooks.iter().map(key).collect()
}

/// Whether this run may take results of others: not one that was asked to be whole, nor one that looks again at what was bad.
/// What a base does is asked for once; what is known of it is as good as another run.
pub fn is_wanted(run: &Run) -> bool {
    !run.request.options.full && (run.request.only.is_empty() || run.request.is_baseline())
}

/// What can be taken for the tests planned in `tier`. `sources` are the runs that the candidates name.
pub fn choose(run: &Run, tier: &TierRun, candidates: &[Candidate], sources: &BTreeMap<RunId, Run>) -> Reuse {
    let mut reuse = Reuse::default();
    if !is_wanted(run) {
        return reuse;
    }
    let keys = keys(run, &tier.tier);
    for name in &tier.planned {
        let Some(key) = keys.get(name) else { continue };
        let of_key = || candidates.iter().filter(|it| it.kept.key == *key && it.kept.name == *name);
        if of_key().any(|it| it.kept.outcome != Outcome::Passed) {
            continue;
        }
        let may_serve = |it: &&Candidate| run.request.is_untrusted || !it.is_untrusted;
        let Some(newest) = of_key().filter(may_serve).max_by_key(|it| it.run) else { continue };
        match found(newest, sources.get(&newest.run)) {
            Some(mut result) => {
                result.reused_from = Some(newest.run);
                reuse.results.push(result);
            }
            None => reuse.inconsistent.push(format!(
                "run {} is remembered to have passed {name} in tier {}, and has not: it is run again",
                newest.run, newest.tier
            )),
        }
    }
    reuse
}

/// The result itself, if the run that should have it does.
fn found(candidate: &Candidate, source: Option<&Run>) -> Option<TestResult> {
    let source = source.filter(|source| source.request.is_untrusted == candidate.is_untrusted)?;
    let tier = source.tier(&candidate.tier)?;
    let name = &candidate.kept.name;
    if keys(source, &tier.tier).get(name) != Some(&candidate.kept.key) {
        return None;
    }
    let result = tier.tests.iter().find(|test| test.name == *name)?;
    (result.outcome == Outcome::Passed && result.reused_from.is_none()).then(|| result.clone())
}

/// What is to be remembered of a tier that has come to its verdict: what the tests themselves did, not what the machinery did
/// to them, and nothing that was itself reused.
pub fn remember(run: &Run, tier: &TierRun) -> Vec<KeptResult> {
    let keys = keys(run, &tier.tier);
    let is_told = |test: &&TestResult| {
        test.reused_from.is_none()
            && !test.outcome.is_ours()
            && !matches!(test.outcome, Outcome::Cancelled | Outcome::Skipped)
    };
    let kept = |test: &TestResult| {
        let key = keys.get(&test.name)?.clone();
        Some(KeptResult { key, name: test.name.clone(), outcome: test.outcome, seconds: test.seconds })
    };
    tier.tests.iter().filter(is_told).filter_map(kept).collect()
}

/// The tests of a tier: those that were run, and those that were taken from elsewhere and not run.
pub fn merge(ran: Vec<TestResult>, reused: Vec<TestResult>) -> Vec<TestResult> {
    let seen: BTreeSet<String> = ran.iter().map(|test| test.name.clone()).collect();
    ran.into_iter().chain(reused.into_iter().filter(|test| !seen.contains(&test.name))).collect()
}

#[cfg(test)]
mod tests;
