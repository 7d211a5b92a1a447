//! What curation found out, in the form and order in which the original writes it.

use std::collections::BTreeMap;

use super::value::Value;

/// A repository, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutRepository {
    /// Where it is.
    pub url: String,
    /// The commit.
    pub commit: String,
    /// The tag or branch that led to the commit; none where the spec named the commit.
    pub resolved_ref: Option<String>,
}

/// The image repository: resolved, or as it was written where it was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutSpi {
    /// Where it is.
    pub repo: String,
    /// The commit, or what was written.
    pub reference: Option<String>,
}

/// What curation found out. All paths are relative and begin with `references/<folder of the repository>/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Out {
    /// Repositories by name, in the order of the spec.
    pub repositories: Vec<(String, OutRepository)>,
    /// The image repository.
    pub spi: Option<OutSpi>,
    /// Selected notebooks by selection, in the order of the spec.
    pub test_notebooks: Vec<(String, Vec<String>)>,
    /// The modules that each notebook imports. Notebooks that cannot be read are not among them.
    pub nb_to_imports: BTreeMap<String, Vec<String>>,
    /// The kernel's name.
    pub kernel_name: String,
    /// The environment, as YAML.
    pub mamba_spec: String,
    /// Packages of the environment by where they come from, in the original's order.
    pub mamba_package_map: Vec<(String, Vec<String>)>,
    /// Requirement lines by file, in the order in which they were given to the resolver.
    pub non_mamba_pip_package_files: Vec<(String, Vec<String>)>,
    /// What the resolver said.
    pub pip_compiler_output: String,
    /// Reference data, where that was curated too; else what the file had is kept.
    pub data: Option<Value>,
}

/// Keys that a curation writes, in order.
const WRITTEN: [&str; 9] = [
    "repositories",
    "spi",
    "test_notebooks",
    "nb_to_imports",
    "kernel_name",
    "mamba_spec",
    "mamba_package_map",
    "non_mamba_pip_package_files",
    "pip_compiler_output",
];

impl Out {
    /// As it is written. Of the old one all that no curation writes is kept.
    pub(super) fn value(&self, old: Option<&Value>) -> Value {
        let text = |text: &str| Value::Text(text.to_owned());
        let repositories = self.repositories.iter().map(|(name, repository)| {
            let mut about =
                vec![("url".to_owned(), text(&repository.url)), ("ref".to_owned(), text(&repository.commit))];
            about.extend(repository.resolved_ref.iter().map(|name| ("resolved_ref".to_owned(), text(name))));
            (name.clone(), Value::Map(about))
        });
        let spi = self.spi.as_ref().map_or(Value::Null, |spi| {
            let mut about = vec![("repo".to_owned(), text(&spi.repo))];
            about.extend(spi.reference.iter().map(|name| ("ref".to_owned(), text(name))));
            Value::Map(about)
        });
        let imports = self.nb_to_imports.iter().map(|(path, modules)| {
            let mut modules = modules.clone();
            modules.sort();
            modules.dedup();
            (path.clone(), Value::texts(modules))
        });
        let packages =
            self.mamba_package_map.iter().map(|(name, all)| (name.clone(), Value::texts(all.clone())));
        let files = self.non_mamba_pip_package_files.iter().map(|(file, lines)| {
            let mut lines = lines.clone();
            lines.sort();
            (file.clone(), lines)
        });
        let values = [
            Value::Map(repositories.collect()),
            spi,
            one_key_maps(self.test_notebooks.iter().cloned()),
            Value::Map(imports.collect()),
            text(&self.kernel_name),
            Value::lines(&self.mamba_spec),
            Value::Map(packages.collect()),
            one_key_maps(files),
            Value::lines(&self.pip_compiler_output),
        ];
        let mut all: Vec<(String, Value)> = WRITTEN.map(str::to_owned).into_iter().zip(values).collect();
        all.extend(self.data.iter().map(|data| ("data".to_owned(), data.clone())));
        for (key, value) in old.and_then(Value::entries).unwrap_or_default() {
            if !all.iter().any(|(known, _)| known == key) {
                all.push((key.clone(), value.clone()));
            }
        }
        Value::Map(all)
    }
}

/// `- name: [texts]`, one after the other.
fn one_key_maps(entries: impl Iterator<Item = (String, Vec<String>)>) -> Value {
    Value::List(entries.map(|(name, texts)| Value::Map(vec![(name, Value::texts(texts))])).collect())
}
