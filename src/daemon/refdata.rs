//! Reference data that a spec and its repositories want: read from the files, never downloaded.

use std::path::Path;

use super::curate::REFERENCES;
use crate::core::curated::{OWN, OutData};
use crate::core::curation::Source;
use crate::core::spec::Spec;
use crate::core::spec::refdata::{self, Refdata};

/// At the root of a repository that wants some.
const FILE: &str = "refdata_dependencies.yaml";
/// The largest such file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Mistakes of one file that are told.
const MISTAKES: usize = 3;

/// What is wanted, none if nothing is, and what a person should know of it: a file that is wrong is left out.
pub(super) fn wanted(spec: &Spec, sources: &[Source], workspace: &Path) -> (Option<OutData>, Vec<String>) {
    let (mut wanted, mut remarks): (Vec<(String, Refdata)>, _) = (Vec::new(), Vec::new());
    for source in sources {
        let name = format!("{REFERENCES}/{}/{FILE}", source.folder);
        match read(&workspace.join(&name), &name) {
            Ok(Some(refdata)) => wanted.push((source.folder.clone(), refdata)),
            Ok(None) => {}
            Err(mistakes) => remarks.extend(
                mistakes.into_iter().take(MISTAKES).map(|it| format!("reference data is left out: {it}")),
            ),
        }
    }
    if spec.refdata != Refdata::default() {
        wanted.push((OWN.to_owned(), spec.refdata.clone()));
    }
    for (number, (folder, one)) in wanted.iter().enumerate() {
        for (other_folder, other) in wanted.iter().skip(number + 1) {
            remarks.extend(refdata::conflicts(one, other).into_iter().map(|(here, there)| {
                let (name, here, there) = (&here.name.text, &here.value.text, &there.value.text);
                format!("reference data: {name} is {here:?} in {folder} and {there:?} in {other_folder}")
            }));
        }
    }
    let data = (!wanted.is_empty()).then(|| OutData { moniker: spec.header.moniker(), wanted });
    (data, remarks)
}

/// Said where there is data that nobody has looked at.
pub(super) fn not_downloaded(data: Option<&OutData>) -> Option<String> {
    let wants = |(_, refdata): &(String, Refdata)| !refdata.install_files.is_empty();
    let is_wanted = data.is_some_and(|data| data.wanted.iter().any(wants));
    is_wanted.then(|| {
        "reference data is not downloaded: the curated spec says where it is, and nothing new of its size and checksum"
            .to_owned()
    })
}

fn read(file: &Path, name: &str) -> Result<Option<Refdata>, Vec<String>> {
    let Ok(meta) = std::fs::symlink_metadata(file) else { return Ok(None) };
    if !meta.is_file() || meta.len() > MAX_FILE {
        return Err(vec![format!("{name} is no regular file of at most {MAX_FILE} bytes")]);
    }
    let text = std::fs::read_to_string(file).map_err(|error| vec![format!("{name}: {error}")])?;
    let (refdata, mistakes) = refdata::read_file(&text, name);
    match mistakes.is_empty() {
        true => Ok(Some(refdata).filter(|refdata| *refdata != Refdata::default())),
        false => Err(mistakes.iter().map(ToString::to_string).collect()),
    }
}
