//! What curating a spec asks of the tiers: everything that docent decided from the spec's text and from what it selects, as
//! the steps of a recipe find it in `plan.json`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, NaiveDateTime};
use serde::{Deserialize, Serialize};

use super::curated::{Out, OutRepository, OutSpi, plain_or_quoted};
use super::id::Sha;
use super::run::Run;
use super::spec::header::Environment;
use super::spec::select::Selected;
use super::spec::{Spec, Written};
use super::time::Time;
use super::verdict::Verdict;

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

/// What a spec wants of conda channels, as `micromamba` is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mamba {
    /// Names of channels, the first one first.
    pub channels: Vec<String>,
    /// Packages, in the order in which the original lists them.
    pub packages: Vec<PackageLine>,
    /// The same in words, for images that cannot bring it.
    pub parts: Vec<String>,
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
    /// What the spec wants of conda channels.
    #[serde(default)]
    pub mamba: Mamba,
    /// What the spec wants and no tier can bring, in words.
    pub unsupported: Vec<String>,
    /// Every notebook of the spec.
    pub selections: BTreeMap<String, NotebookTests>,
    /// What each selection found, in the order of the spec.
    #[serde(default)]
    pub found: Vec<(String, Vec<String>)>,
    /// What stands as the date in the curated spec: one that the spec itself names, so that the same input gives the same
    /// bytes whenever and wherever it is curated.
    #[serde(default)]
    pub date: Time,
    /// The image repository, as it is written.
    #[serde(default)]
    pub spi: (String, Option<String>),
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
        let inline_pip = match &spec.environment {
            Environment::Inline(inline) => lines(INLINE_PIP, &inline.pip),
            _ => Vec::new(),
        };
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
                inline_pip,
                lines("common_pip_packages", &packages.common_pip),
                lines("extra_pip_packages", &packages.extra_pip),
            ]
            .concat(),
            overrides: lines("override_pip_versions", &packages.override_pip),
            environment_vars: variables(&spec.environment_vars),
            test_environment_vars: variables(&spec.test_environment_vars),
            mamba: mamba(spec, &lines),
            unsupported: unsupported(spec).into_iter().collect(),
            selections: selections(selected),
            found: selected
                .selections
                .iter()
                .map(|found| (found.selection.clone(), found.notebooks.clone()))
                .collect(),
            date: date(spec),
            spi: (
                spec.system.spi.url.text.clone(),
                spec.system.spi.reference.as_ref().map(|reference| reference.text.clone()),
            ),
        }
    }
}

/// What the tiers of a run left that a curated spec is made of.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// What the resolver said.
    pub pip_compiler_output: String,
    /// Requirement lines by file or list.
    pub requirements: Vec<(String, Vec<String>)>,
    /// The modules that each notebook imports.
    pub nb_to_imports: BTreeMap<String, Vec<String>>,
}

/// Where packages come from unless the spec says otherwise.
const CHANNEL: &str = "conda-forge";
/// The lists that packages of channels stand in, and those of an environment in the spec itself.
const COMMON_MAMBA: &str = "common_mamba_packages";
const EXTRA_MAMBA: &str = "extra_mamba_packages";
const INLINE: &str = "dependencies";
const INLINE_PIP: &str = "dependencies: pip";

/// Packages that the original puts beside those of a spec.
const TARGET_PACKAGES: [&str; 7] = ["uv", "pip", "ipykernel", "jupyter", "cython", "setuptools", "wheel"];

impl Curation {
    /// Whether a run has found out all that its curated spec needs: what is proven by nobody is not written down.
    pub fn is_proven(run: &Run) -> bool {
        let has_spec = run.plan.as_ref().is_some_and(|plan| plan.curation.is_some());
        let options = &run.request.options;
        let is_whole = options.tiers.is_empty() && options.notebooks.is_none() && run.request.only.is_empty();
        has_spec && is_whole && run.verdict == Some(Verdict::Pass) && run.cancel.is_none()
    }

    /// What the original would write into `out`.
    pub fn out(&self, findings: Findings) -> Out {
        let repository = |source: &Source| {
            let commit = source.sha.as_ref().map(|sha| sha.as_str().to_owned()).unwrap_or_default();
            let resolved_ref = source.reference.clone();
            (source.name.clone(), OutRepository { url: source.url.clone(), commit, resolved_ref })
        };
        let kernel_name = self.kernel_name.clone().unwrap_or_default();
        let of_list = |name: &str| -> Vec<String> {
            let of_list = self.mamba.packages.iter().filter(|package| package.list == name);
            of_list.map(|package| package.line.clone()).collect()
        };
        let python = self.python_version.iter().map(|version| format!("python={version}"));
        let base: Vec<String> = python.chain(of_list(INLINE)).collect();
        let (common, extra) = (of_list(COMMON_MAMBA), of_list(EXTRA_MAMBA));
        let target: Vec<String> = TARGET_PACKAGES.map(str::to_owned).to_vec();
        let mamba_spec = self.mamba_spec(&kernel_name, [&base, &common, &extra, &target]);
        Out {
            repositories: self.repositories.iter().map(repository).collect(),
            spi: Some(OutSpi { repo: self.spi.0.clone(), reference: self.spi.1.clone() }),
            test_notebooks: self.found.clone(),
            nb_to_imports: findings.nb_to_imports,
            kernel_name,
            mamba_spec,
            mamba_package_map: vec![
                ("base_mamba_deps".to_owned(), base),
                (COMMON_MAMBA.to_owned(), common),
                (EXTRA_MAMBA.to_owned(), extra),
                ("spi_mamba_packages".to_owned(), Vec::new()),
                ("wrangler_target_packages".to_owned(), target),
            ],
            non_mamba_pip_package_files: findings.requirements,
            pip_compiler_output: findings.pip_compiler_output,
            data: None,
        }
    }

    /// The environment file that the original makes the environment from.
    fn mamba_spec(&self, name: &str, packages: [&Vec<String>; 4]) -> String {
        let item = |line: &String| format!("  - {}\n", plain_or_quoted(line));
        let channels: String = self.mamba.channels.iter().map(item).collect();
        let packages: String = packages.into_iter().flatten().map(item).collect();
        format!("name: {name}\nchannels:\n{channels}dependencies:\n{packages}")
    }
}

/// When it was last saved, else when it begins to hold.
fn date(spec: &Spec) -> Time {
    let saved = spec.system.date_updated.as_ref().map(|date| date.text.trim().to_owned());
    let saved =
        saved.and_then(|text: String| NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f").ok());
    let begins =
        || NaiveDate::parse_from_str(spec.header.valid_on.text.trim(), "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    saved.or_else(begins).map(|date| date.and_utc()).unwrap_or_default()
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

fn mamba(spec: &Spec, lines: &impl Fn(&str, &[Written]) -> Vec<PackageLine>) -> Mamba {
    let count = |name: &str, lines: &[Written]| {
        let many = if lines.len() == 1 { "1 line".to_owned() } else { format!("{} lines", lines.len()) };
        (!lines.is_empty()).then(|| format!("mamba packages: {name} ({many})"))
    };
    let packages = &spec.packages;
    let mut mamba = Mamba {
        channels: vec![CHANNEL.to_owned()],
        packages: [lines(COMMON_MAMBA, &packages.common_mamba), lines(EXTRA_MAMBA, &packages.extra_mamba)]
            .concat(),
        parts: [count(COMMON_MAMBA, &packages.common_mamba), count(EXTRA_MAMBA, &packages.extra_mamba)]
            .into_iter()
            .flatten()
            .collect(),
    };
    if let Environment::Inline(inline) = &spec.environment {
        if !inline.channels.is_empty() {
            mamba.channels = inline.channels.iter().map(|channel| channel.text.clone()).collect();
        }
        mamba.packages.splice(0..0, lines(INLINE, &inline.dependencies));
        mamba.parts.insert(0, format!("a mamba environment in the spec itself: {}", inline.name.text));
    }
    mamba
}

/// An environment that docent does not read.
fn unsupported(spec: &Spec) -> Option<String> {
    match &spec.environment {
        Environment::Inline(inline) if inline.has_variables => {
            Some(format!("the variables of the mamba environment {}", inline.name.text))
        }
        Environment::Python { .. } | Environment::Inline(_) => None,
        Environment::Uri(uri) => Some(format!("a mamba environment from {}", uri.text)),
        Environment::File { repository, path } => {
            Some(format!("a mamba environment from {} of {}", path.text, repository.text))
        }
    }
}
