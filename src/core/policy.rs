//! What the operator decided. Policy never comes from the code under test.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::Grammar;
use super::extra::ExtraPolicy;
use super::id::RepositoryId;
use super::publishing::PublishPolicy;
use super::pull::Permission;
use super::recipe::Recipes;
use super::spec::policy::SpecPolicy;
use super::time::Duration;

/// One line of `allow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allow {
    /// `mira:1042`: the number decides, the name is for the reader.
    Account { login: String, number: u64 },
    /// `team:astro/curators`: the forge is asked.
    Team(String),
    /// `permission:write`: whoever has at least this right by the forge's own answer.
    Permission(Permission),
}

/// What holds for one repository.
#[derive(Debug, Clone)]
pub struct RepositoryPolicy {
    /// `owner/name`, for people.
    pub name: String,
    /// The recipe; none: detected from the files.
    pub recipe: Option<String>,
    /// Who may start runs. An empty list is nobody.
    pub allow: Vec<Allow>,
    /// Branches whose pushes start runs.
    pub branches: Vec<String>,
    /// Patterns of paths whose changes start runs. Empty: any change of a watched branch, and none of a pull request.
    pub paths: Vec<String>,
    /// Whether and how often extra tests run.
    pub extra: ExtraPolicy,
    /// There is a report credential for its forge.
    pub has_reports: bool,
    /// Where its curated specs are published; none: nowhere.
    pub publish: Option<PublishPolicy>,
}

/// What holds for this docent.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Watched repositories.
    pub repositories: BTreeMap<RepositoryId, RepositoryPolicy>,
    /// Recipes that can be used.
    pub recipes: Recipes,
    /// Accounts of docent's own, by forge: their comments never do anything.
    pub own_accounts: BTreeMap<String, Vec<u64>>,
    /// Stands in every comment of this docent, hidden.
    pub marker: String,
    /// How commands are written.
    pub grammar: Grammar,
    /// Runs at a time.
    pub slots: usize,
    /// Runs that may wait, for one repository.
    pub queue_limit: usize,
    /// Environments that are kept for later runs.
    pub environments: usize,
    /// What they may take together, in bytes.
    pub environment_bytes: u64,
    /// The files of a commit that a bundle carries, in bytes; 0: none.
    pub bundle_bytes: u64,
    /// What specs may make this docent do.
    pub specs: SpecPolicy,
    /// Failed tests of one run that are run on its base as well; 0: none.
    pub baseline_tests: usize,
    /// How long an offer stands.
    pub offer_lifetime: Duration,
    /// The shortest time between two edits of one comment.
    pub report_interval: Duration,
    /// Where the pages are, for links; no trailing slash.
    pub public_url: Option<String>,
}

impl Policy {
    /// The policy of a repository, if it is watched.
    pub fn repository(&self, id: &RepositoryId) -> Option<&RepositoryPolicy> {
        self.repositories.get(id)
    }
}
