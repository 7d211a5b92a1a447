//! What repeats a run elsewhere: everything that its verdict depends on and that a machine without its forge does not have.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::command::TestOptions;
use super::curation::Source;
use super::environment::digest;
use super::id::Sha;
use super::run::{RecipeUse, Run};
use super::verdict::Verdict;

/// Which contract a bundle keeps.
pub const FORMAT: &str = "docent.bundle.1";
/// What it is called beside other results.
pub const NAME: &str = "reproduce.tar.gz";

/// What a bundle says of itself, as its first file. There is neither a time nor a number of a run in it: the same work gives the
/// same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// [`FORMAT`].
    pub format: String,
    /// What people call the repository.
    pub place: String,
    /// Where git fetches it; none for a local folder.
    pub repository: Option<String>,
    /// The commit; none for a local folder.
    pub sha: Option<Sha>,
    /// What was asked for.
    pub options: TestOptions,
    /// Only these tests; empty: all.
    pub only: Vec<String>,
    /// The recipe and the image.
    pub recipe: RecipeUse,
    /// Settings of the recipe, the operator's included.
    pub settings: Map<String, Value>,
    /// Repositories of the spec, as they were resolved; empty for a plain repository.
    pub repositories: Vec<Source>,
    /// The files.
    pub files: Carried,
}

/// What of the files is in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Carried {
    /// All of them, but for those named: links that lead out.
    Whole {
        /// Their paths, the first of them.
        left_out: Vec<String>,
    },
    /// None: they are fetched from the repository.
    Nothing {
        /// Why, for people.
        why: String,
    },
}

/// A bundle that was unpacked here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    /// Where.
    pub folder: String,
    /// What it says.
    pub bundle: Bundle,
}

impl Unpacked {
    /// The files are there, too.
    pub fn has_files(&self) -> bool {
        matches!(self.bundle.files, Carried::Whole { .. })
    }

    /// A repository of the spec, as it was resolved.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.bundle.repositories.iter().find(|source| source.name == name)
    }
}

/// Whether a run leaves a bundle: something of it was not good, and it came far enough for it to be repeated.
pub fn is_wanted(run: &Run) -> bool {
    let is_bad = |verdict: Option<Verdict>| matches!(verdict, Some(Verdict::Fail | Verdict::Unverified));
    let is_known = run.recipe.is_some() && run.plan.is_some();
    let is_own = run.cancel.is_none() && !run.request.is_baseline();
    is_known && is_own && (is_bad(run.verdict) || is_bad(run.extra_verdict))
}

/// Settings as a bundle has them, where the recipe here knows them: a bundle adds none, and changes the kind of none.
pub fn settings(own: &Map<String, Value>, bundled: &Map<String, Value>) -> Map<String, Value> {
    let chosen = |name: &String, own: &Value| {
        let same = |value: &&Value| std::mem::discriminant(*value) == std::mem::discriminant(own);
        bundled.get(name).filter(same).unwrap_or(own).clone()
    };
    own.iter().map(|(name, value)| (name.clone(), chosen(name, value))).collect()
}

/// The identity of settings.
pub fn settings_digest(settings: &Map<String, Value>) -> String {
    digest(&[&Value::Object(settings.clone()).to_string()])
}

/// What is another thing here than it was in the run that is repeated, for people.
pub fn differences(bundle: &Bundle, here: &RecipeUse) -> Vec<String> {
    let there = &bundle.recipe;
    let is_other =
        |one: &Option<String>, other: &Option<String>| one.is_some() && other.is_some() && one != other;
    let mut differences = Vec::new();
    if there.name != here.name || there.digest != here.digest {
        differences.push(format!("the recipe {} is another one than in the run that is repeated", here.name));
    } else if there.settings_digest != here.settings_digest {
        differences
            .push(format!("the recipe {} has other settings than in the run that is repeated", here.name));
    }
    if is_other(&there.image_identity, &here.image_identity) {
        differences.push(format!("the image {} is another one than in the run that is repeated", here.image));
    }
    if let Carried::Whole { left_out } = &bundle.files
        && !left_out.is_empty()
    {
        differences
            .push(format!("links that lead out of the repository are not there: {}", left_out.join(", ")));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_changes_settings_and_adds_none() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let own = map(serde_json::json!({"cell_timeout": 600, "hosts": [], "flag": false}));
        let bundled = map(serde_json::json!({"cell_timeout": 5, "hosts": "all", "more": 1}));
        let chosen = settings(&own, &bundled);
        assert_eq!(Value::Object(chosen), serde_json::json!({"cell_timeout": 5, "hosts": [], "flag": false}));
    }

    #[test]
    fn what_is_another_thing_here_is_told() {
        let recipe = RecipeUse {
            name: "notebook".into(),
            digest: "d".into(),
            image: "i".into(),
            image_identity: Some("1".into()),
            settings_digest: "s".into(),
        };
        let bundle = Bundle {
            format: FORMAT.into(),
            place: "a/b".into(),
            repository: None,
            sha: None,
            options: TestOptions::default(),
            only: vec![],
            recipe: recipe.clone(),
            settings: Map::new(),
            repositories: vec![],
            files: Carried::Whole { left_out: vec![] },
        };
        assert_eq!(differences(&bundle, &recipe), Vec::<String>::new());
        let unknown = RecipeUse { image_identity: None, ..recipe.clone() };
        assert_eq!(differences(&bundle, &unknown), Vec::<String>::new());
        let other =
            RecipeUse { settings_digest: "t".into(), image_identity: Some("2".into()), ..recipe.clone() };
        assert_eq!(differences(&bundle, &other).len(), 2);
        let other = RecipeUse { digest: "e".into(), settings_digest: "t".into(), ..recipe };
        assert_eq!(differences(&bundle, &other).len(), 1, "another recipe has other settings anyway");
    }
}
