//! Recipes as values: what is done to a commit, in which order, within which limits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::mistake::Place;
use super::service::Service;

/// What an attempt may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nothing, not even the host.
    None,
    /// Package indexes.
    Index,
    /// The internet.
    Egress,
}

/// What the run's environment (`/env`, kept between the attempts of a run) is to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Not there.
    None,
    /// Read-only.
    Read,
    /// Writable.
    Write,
}

/// Limits of one attempt. All of them bind, or the executor's probe says which do not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory in bytes, swap included.
    pub memory_bytes: u64,
    /// Cores.
    pub cpus: f64,
    /// Processes and threads.
    pub processes: u32,
    /// What may be written, in bytes, over all writable places together.
    pub disk_bytes: u64,
    /// Standard output and error together, in bytes; what is beyond is dropped and counted.
    pub log_bytes: u64,
    /// Time in seconds; then TERM, the grace, KILL.
    pub timeout_seconds: u64,
}

/// A set of tests that docent plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestSet {
    /// The notebooks of the default tiers.
    Notebooks,
    /// The notebooks of the opt-in tiers.
    ExtraNotebooks,
}

/// One ordered level of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tier {
    /// Its name: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Program and arguments; empty for a tier that is built into docent.
    pub run: Vec<String>,
    /// What it may reach.
    pub network: Network,
    /// What the run's environment is to it.
    pub environment: Environment,
    /// A failure leaves the later tiers unverified.
    pub is_gate: bool,
    /// Only when asked for (`--extra-tests`); has a verdict of its own that never moves the default one.
    pub is_opt_in: bool,
    /// Which of the planned notebooks must leave a result here; none: whatever the step reports counts.
    pub tests: Option<TestSet>,
    /// The artifact that says exactly what an environment is to be made of: the same lock, the same environment.
    #[serde(default)]
    pub lock: Option<String>,
    /// Results of tests that see the same things as before may be taken from an earlier run.
    #[serde(default)]
    pub is_reusable: bool,
    /// Of an opt-in tier: patterns of paths whose change makes it worth asking for.
    #[serde(default)]
    pub covers: Vec<String>,
    /// Its limits.
    pub limits: Limits,
}

impl Tier {
    /// Executed by docent itself, statically: no third-party code runs.
    pub fn is_built_in(&self) -> bool {
        self.run.is_empty()
    }
}

/// What a recipe makes of a failure that is proven to have been there before the change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlreadyFailing {
    /// It keeps the status of the pull request red.
    #[default]
    Fail,
    /// It does not.
    Pass,
}

/// A recipe, read and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Path patterns; a repository with a matching file is of this kind.
    pub detect: Vec<String>,
    /// Path patterns of specs that it curates; none: it works on plain repositories only.
    #[serde(default)]
    pub specs: Vec<String>,
    /// The image in which its tiers run.
    pub image: String,
    /// Handed to the steps as they are.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// What becomes of a pull request in which nothing fails that did not fail before.
    #[serde(default)]
    pub already_failing: AlreadyFailing,
    /// In the order in which they are brought up.
    #[serde(default)]
    pub services: Vec<Service>,
    /// In the order in which they run.
    pub tiers: Vec<Tier>,
    /// SHA-256 over all files of its folder: which recipe it really was.
    pub digest: String,
}

/// One setting as it was written, times in seconds and sizes in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its value.
    pub value: serde_json::Value,
    /// Where its value stands.
    pub place: Place,
}

/// What the operator set for one recipe, in the place of the recipe's own settings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Where they stand.
    pub place: Place,
    /// By name of the setting.
    pub values: BTreeMap<String, Setting>,
}

/// What the operator set, by name of the recipe.
pub type Settings = BTreeMap<String, Overrides>;

/// Recipes by name.
pub type Recipes = BTreeMap<String, Recipe>;
