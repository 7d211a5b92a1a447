//! `out.data`: which reference data notebooks want, and the variables that lead to it. All of it is read, nothing downloaded: sizes and
//! checksums of files are kept from an earlier curation where the same files are still wanted, and never made up.

use std::collections::BTreeSet;

use super::value::Value;
use crate::core::spec::refdata::{Install, Refdata};

/// What the spec's own section is called among the folders of repositories.
pub const OWN: &str = "nbw-spec";

/// Reference data by the folder of the repository that wants it, in the order of the spec; the spec's own comes last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutData {
    /// The image's name without blanks.
    pub moniker: String,
    /// What is wanted.
    pub wanted: Vec<(String, Refdata)>,
}

impl OutData {
    /// As it is written. `old` is what stood there.
    pub fn value(&self, old: Option<&Value>) -> Value {
        let inputs = self.wanted.iter().map(|(folder, refdata)| {
            (format!("references/{folder}/refdata_dependencies.yaml"), inputs(refdata))
        });
        let mut all = vec![
            ("spec_inputs".to_owned(), Value::Map(inputs.collect())),
            ("spec_exports".to_owned(), self.exports(Install::path)),
            ("pantry_exports".to_owned(), self.exports(|install| self.in_pantry(install))),
        ];
        let metadata = self.metadata(old);
        if !metadata.is_empty() {
            all.push(("metadata".to_owned(), Value::Map(metadata)));
        }
        Value::Map(all)
    }

    /// Variables that lead to data, then all others; a name that comes again keeps its place and takes the later value.
    fn exports(&self, place: impl Fn(&Install) -> String) -> Value {
        let installs = self.wanted.iter().flat_map(|(_, refdata)| &refdata.install_files);
        let installs = installs.map(|install| (install.environment_variable.text.clone(), place(install)));
        let others = self.wanted.iter().flat_map(|(_, refdata)| &refdata.other_variables);
        let others = others.map(|variable| (variable.name.text.clone(), variable.value.text.clone()));
        let mut exports: Vec<(String, Value)> = Vec::new();
        for (name, value) in installs.chain(others) {
            let value = Value::Text(value);
            match exports.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = value,
                None => exports.push((name, value)),
            }
        }
        Value::Map(exports)
    }

    fn in_pantry(&self, install: &Install) -> String {
        let path = &install.data_path;
        if path.starts_with('/') {
            return path.clone();
        }
        let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
        let shelf = format!("${{NBW_PANTRY}}/shelves/{}/data", self.moniker);
        std::iter::once(shelf.as_str()).chain(parts).collect::<Vec<_>>().join("/")
    }

    /// Of what an earlier curation has seen of files, that of files that are still wanted.
    fn metadata(&self, old: Option<&Value>) -> Vec<(String, Value)> {
        let wanted: BTreeSet<String> = self.files().collect();
        let old = old.and_then(Value::entries).unwrap_or_default();
        let old = old.iter().find(|(key, _)| key == "metadata").and_then(|(_, value)| value.entries());
        old.unwrap_or_default().iter().filter(|(name, _)| wanted.contains(name)).cloned().collect()
    }

    /// `<folder>/<section>/<file>` of every archive.
    fn files(&self) -> impl Iterator<Item = String> {
        let installs = |(folder, refdata): &(String, Refdata)| {
            let of = |install: &Install| {
                let file = |url: &str| url.rsplit('/').next().unwrap_or_default().to_owned();
                let name = |url: &crate::core::spec::Written| {
                    format!("{folder}/{}/{}", install.name.text, file(url.text.trim()))
                };
                install.data_url.iter().map(name).collect::<Vec<_>>()
            };
            refdata.install_files.iter().flat_map(of).collect::<Vec<_>>()
        };
        self.wanted.iter().flat_map(installs).collect::<Vec<_>>().into_iter()
    }
}

fn inputs(refdata: &Refdata) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let install = |install: &Install| {
        let about = vec![
            ("version".to_owned(), text(&install.version.text)),
            ("environment_variable".to_owned(), text(&install.environment_variable.text)),
            ("install_path".to_owned(), text(&install.install_path.text)),
            ("data_path".to_owned(), text(&install.data_path)),
            ("data_url".to_owned(), Value::texts(install.data_url.iter().map(|url| url.text.clone()))),
        ];
        (install.name.text.clone(), Value::Map(about))
    };
    let mut about = Vec::new();
    if !refdata.install_files.is_empty() {
        about.push((
            "install_files".to_owned(),
            Value::Map(refdata.install_files.iter().map(install).collect()),
        ));
    }
    if !refdata.other_variables.is_empty() {
        let variables = refdata.other_variables.iter();
        let variables = variables.map(|it| (it.name.text.clone(), text(&it.value.text)));
        about.push(("other_variables".to_owned(), Value::Map(variables.collect())));
    }
    Value::Map(about)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::spec::refdata::read_file;

    const ROMAN: &str = "install_files:\n  pandeia:\n    version: 2026.1\n    data_url: [https://example.org/a/x.gz]\n    environment_variable: pandeia_refdata\n    install_path: ${HOME}/refdata/\n    data_path: pandeia-2026.1\n  synphot:\n    version: 1.6.0\n    data_url:\n      - https://example.org/one.tar\n    environment_variable: PYSYN_CDBS\n    install_path: ${HOME}/refdata/\n    data_path: grp/redcat/trds/\nother_variables:\n  CRDS_PATH: ${HOME}/crds_cache\n";
    const SPEC: &str = "other_variables:\n  CRDS_PATH: elsewhere\n  DEMO: value\n";

    fn data() -> OutData {
        let read = |text: &str| {
            let (refdata, mistakes) = read_file(text, "refdata_dependencies.yaml");
            assert_eq!(mistakes, vec![]);
            refdata
        };
        let wanted = vec![("roman".to_owned(), read(ROMAN)), (OWN.to_owned(), read(SPEC))];
        OutData { moniker: "Nexus-2026.2".to_owned(), wanted }
    }

    #[test]
    fn exports_are_those_of_the_original() {
        let mut written = String::new();
        super::super::write::entry(&mut written, "data", &data().value(None), 0);
        assert_eq!(
            written,
            "data:
  spec_inputs:
    references/roman/refdata_dependencies.yaml:
      install_files:
        pandeia:
          version: '2026.1'
          environment_variable: pandeia_refdata
          install_path: ${HOME}/refdata/
          data_path: pandeia-2026.1
          data_url:
            - https://example.org/a/x.gz
        synphot:
          version: 1.6.0
          environment_variable: PYSYN_CDBS
          install_path: ${HOME}/refdata/
          data_path: grp/redcat/trds/
          data_url:
            - https://example.org/one.tar
      other_variables:
        CRDS_PATH: ${HOME}/crds_cache
    references/nbw-spec/refdata_dependencies.yaml:
      other_variables:
        CRDS_PATH: elsewhere
        DEMO: value
  spec_exports:
    pandeia_refdata: ${HOME}/refdata/pandeia-2026.1
    PYSYN_CDBS: ${HOME}/refdata/grp/redcat/trds/
    CRDS_PATH: elsewhere
    DEMO: value
  pantry_exports:
    pandeia_refdata: ${NBW_PANTRY}/shelves/Nexus-2026.2/data/pandeia-2026.1
    PYSYN_CDBS: ${NBW_PANTRY}/shelves/Nexus-2026.2/data/grp/redcat/trds
    CRDS_PATH: elsewhere
    DEMO: value
"
        );
    }

    #[test]
    fn what_was_seen_of_files_is_kept_as_long_as_they_are_wanted() {
        let about = |size: &str| Value::Map(vec![("size".to_owned(), Value::Text(size.to_owned()))]);
        let metadata = vec![
            ("roman/pandeia/x.gz".to_owned(), about("1")),
            ("roman/pandeia/old.gz".to_owned(), about("2")),
        ];
        let old = Value::Map(vec![("metadata".to_owned(), Value::Map(metadata))]);
        let value = data().value(Some(&old));
        let (name, kept) = value.entries().and_then(<[_]>::last).unwrap();
        assert_eq!(
            (name.as_str(), kept),
            ("metadata", &Value::Map(vec![("roman/pandeia/x.gz".to_owned(), about("1"))]))
        );
    }
}
