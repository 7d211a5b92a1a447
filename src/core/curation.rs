//! What curating a spec asks of the tiers: everything that docent decided from the spec's text and from what it selects, as
//! the steps of a recipe find it in `plan.json`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::id::Sha;
use super::spec::header::Environment;
use super::spec::select::Selected;
use super::spec::{Spec, Written};

/// A repository of the spec, resolved and fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What the spec calls it.
    pub name: String,
    /// Where it was fetched from.
    pub url: String,
    /// The commit; none for a local folder that is run as it is.
    pub sha: Option<Sha>,
    /// The branch or tag that led to it; none where the spec names the commit, or where it is the commit under test.
    pub reference: Option<String>,
    /// Its folder under `references/`.
    pub folder: String,
}

/// A requirement file, and whom it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirementFile {
    /// Its path.
    pub path: String,
    /// The selections that took it.
    pub selections: Vec<String>,
}

/// A line of one of the spec's own lists of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageLine {
    /// Which list.
    pub list: String,
    /// The line.
    pub line: String,
    /// Where it stands: `nbw-spec.yaml:40:5`.
    pub place: String,
}

/// How a selected notebook is tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotebookTests {
    /// The last selection that names it.
    pub selection: String,
    /// It is executed.
    pub papermill: bool,
}

/// A spec under curation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curation {
    /// Its path in the repository.
    pub spec: String,
    /// The identity of what it means.
    pub digest: String,
    /// What is published under.
    pub artifact_name: String,
    /// As the spec writes it; none where another environment than plain Python is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python_version: Option<String>,
    /// Of the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_name: Option<String>,
    /// Of the kernel, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// In the order of the spec.
    pub repositories: Vec<Source>,
    /// In the order in which they are resolved.
    pub requirements: Vec<RequirementFile>,
    /// Lines of the spec's own lists for pip.
    pub packages: Vec<PackageLine>,
    /// Lines that replace every other demand on their package.
    pub overrides: Vec<PackageLine>,
    /// For kernels and imports.
    pub environment_vars: BTreeMap<String, String>,
    /// While testing, over the others.
    pub test_environment_vars: BTreeMap<String, String>,
    /// What the spec wants and plain pip cannot do, in words.
    pub unsupported: Vec<String>,
    /// Every notebook of the spec.
    pub selections: BTreeMap<String, NotebookTests>,
}

impl Curation {
    /// What `spec`, read from `path`, asks for, with what it selects in these checkouts.
    pub fn new(path: &str, spec: &Spec, selected: &Selected, repositories: Vec<Source>) -> Self {
        let (python_version, kernel_name) = match &spec.environment {
            Environment::Python { version, kernel_name } => {
                (Some(version.text.clone()), Some(kernel_name.text.clone()))
            }
            Environment::Inline(inline) => (None, Some(inline.name.text.clone())),
            Environment::Uri(_) | Environment::File { .. } => (None, None),
        };
        let lines = |list: &str, lines: &[Written]| -> Vec<PackageLine> {
            let line = |line: &Written| PackageLine {
                list: list.to_owned(),
                line: line.text.clone(),
                place: spec.place(line.span).to_string(),
            };
            lines.iter().map(line).collect()
        };
        let packages = &spec.packages;
        let variables = |variables: &[super::spec::Variable]| {
            variables.iter().map(|it| (it.name.text.clone(), it.value.text.clone())).collect()
        };
        Self {
            spec: path.to_owned(),
            digest: spec.digest(),
            artifact_name: spec.header.artifact_name.clone(),
            python_version,
            kernel_name,
            display_name: spec.header.display_name.as_ref().map(|name| name.text.clone()),
            repositories,
            requirements: requirements(selected),
            packages: [
                lines("common_pip_packages", &packages.common_pip),
                lines("extra_pip_packages", &packages.extra_pip),
            ]
            .concat(),
            overrides: lines("override_pip_versions", &packages.override_pip),
            environment_vars: variables(&spec.environment_vars),
            test_environment_vars: variables(&spec.test_environment_vars),
            unsupported: unsupported(spec),
            selections: selections(selected),
        }
    }
}

fn requirements(selected: &Selected) -> Vec<RequirementFile> {
    let mut seen = BTreeSet::new();
    let files = selected.selections.iter().flat_map(|found| &found.requirements);
    files
        .filter(|path| seen.insert(path.as_str()))
        .map(|path| RequirementFile {
            path: path.clone(),
            selections: selected.selections_of(path).into_iter().map(str::to_owned).collect(),
        })
        .collect()
}

fn selections(selected: &Selected) -> BTreeMap<String, NotebookTests> {
    let tests = |(path, tests): (&String, &super::spec::selections::Tests)| {
        let selection =
            selected.selections_of(path).last().map(|name| (*name).to_owned()).unwrap_or_default();
        (path.clone(), NotebookTests { selection, papermill: tests.papermill })
    };
    selected.tests.iter().map(tests).collect()
}

/// Parts that only conda or mamba can bring.
fn unsupported(spec: &Spec) -> Vec<String> {
    let count = |name: &str, lines: &[Written]| {
        let many = if lines.len() == 1 { "1 line".to_owned() } else { format!("{} lines", lines.len()) };
        (!lines.is_empty()).then(|| format!("mamba packages: {name} ({many})"))
    };
    let environment = match &spec.environment {
        Environment::Python { .. } => None,
        Environment::Inline(inline) => {
            Some(format!("a mamba environment in the spec itself: {}", inline.name.text))
        }
        Environment::Uri(uri) => Some(format!("a mamba environment from {}", uri.text)),
        Environment::File { repository, path } => {
            Some(format!("a mamba environment from {} of {}", path.text, repository.text))
        }
    };
    let packages = &spec.packages;
    [
        environment,
        count("common_mamba_packages", &packages.common_mamba),
        count("extra_mamba_packages", &packages.extra_mamba),
    ]
    .into_iter()
    .flatten()
    .collect()
}
