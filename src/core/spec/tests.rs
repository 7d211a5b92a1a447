//! Specs as people write them, broken ones with every mistake at its place, and what they select.

mod broken;
mod channels;
mod meaning;
mod overrides;
mod patterns;
mod policy;
mod random;
mod refs;
mod selecting;
mod values;

use super::*;

/// A spec without a mistake, of which the cases change one thing.
const GOOD: &str = "\
image_spec_header:
  image_name: Alpha 1.0
  deployment_name: wrangler
  kernel_name: alpha
  display_name: Alpha
  valid_on: '2026-01-01'
  expires_on: '2026-12-31'
  python_version: '3.12'
repositories:
  notes:
    url: https://github.com/example/notes.git
    ref: main
selected_notebooks:
  all:
    repo: notes
    root_directory: notebooks/
    include_subdirs:
      - .
extra_pip_packages:
  - numpy
system:
  spec_version: '2.3'
  spi:
    repo: https://github.com/example/images.git
";

/// The good spec with one text in place of another, which must stand in it once.
#[track_caller]
fn changed(old: &str, new: &str) -> String {
    assert_eq!(GOOD.matches(old).count(), 1, "{old:?}");
    GOOD.replace(old, new)
}

fn read(text: &str) -> Reading {
    Spec::read(text, "s", &Mode::default())
}

#[track_caller]
fn good(text: &str) -> Spec {
    let reading = read(text);
    reading.spec.unwrap_or_else(|| panic!("{:#?}", reading.mistakes))
}

fn texts(written: &[Written]) -> Vec<&str> {
    written.iter().map(|written| written.text.as_str()).collect()
}

#[test]
fn a_good_spec_has_no_mistake_and_no_warning() {
    let reading = read(GOOD);
    assert_eq!((reading.mistakes, reading.warnings), (Vec::new(), Vec::new()));
    let spec = reading.spec.unwrap();
    assert_eq!(spec.header.artifact_name, "Alpha-1.0_prod_20260101-20261231");
    assert_eq!(spec.header.moniker(), "Alpha-1.0");
    assert!(matches!(&spec.environment, Environment::Python { version, .. } if version.text == "3.12"));
    assert_eq!(spec.repositories[0].folder, "notes");
    assert_eq!(texts(&spec.packages.extra_pip), ["numpy"]);
    assert_eq!(spec.checksum, Checksum::Absent);
}
