//! Overrides, which apply on development runs only.

use super::{Mode, Spec, changed, texts};

const OVERRIDES: &str = "\
dev_overrides:
  repositories:
    notes: {ref: dev}
    more: {url: https://github.com/example/more}
  extra_pip_packages: [scipy]
  common_pip_packages: []
  environment_vars: {A: dev, C: new}
  override_pip_versions: [x==1]
  system:
    spi: {ref: dev}
    commands: {pip: evil}
    primary_repo: example/dev
common_pip_packages: [pytest]
environment_vars: {A: prod, B: prod}
extra_pip_packages:
";

fn spec(dev: Option<bool>) -> Spec {
    let text = changed("extra_pip_packages:\n", OVERRIDES);
    let reading = Spec::read(&text, "s", &Mode { dev, ..Mode::default() });
    assert_eq!(reading.mistakes, []);
    reading.spec.unwrap()
}

fn variables(spec: &Spec) -> Vec<String> {
    spec.environment_vars
        .iter()
        .map(|variable| format!("{}={}", variable.name.text, variable.value.text))
        .collect()
}

#[test]
fn without_development_nothing_of_them_shows() {
    let spec = spec(Some(false));
    assert!(!spec.is_development);
    assert_eq!(spec.header.artifact_name, "Alpha-1.0_prod_20260101-20261231");
    assert_eq!(spec.repositories.len(), 1);
    assert_eq!(spec.repositories[0].reference.text, "main");
    assert_eq!(
        (texts(&spec.packages.extra_pip), texts(&spec.packages.common_pip)),
        (vec!["numpy"], vec!["pytest"])
    );
    assert_eq!(variables(&spec), ["A=prod", "B=prod"]);
    assert!(spec.system.spi.reference.is_none() && spec.system.primary_repo.is_none());
}

#[test]
fn on_development_maps_merge_and_lists_replace() {
    for dev in [Some(true), None] {
        let spec = spec(dev);
        assert!(spec.is_development);
        assert_eq!(spec.header.artifact_name, "Alpha-1.0_dev_20260101-20261231");
        let refs: Vec<&str> =
            spec.repositories.iter().map(|repository| repository.reference.text.as_str()).collect();
        assert_eq!(refs, ["dev", "main"]);
        assert!(spec.repositories[0].url.text.contains("notes"));
        assert_eq!(texts(&spec.packages.extra_pip), ["scipy"]);
        assert!(texts(&spec.packages.common_pip).is_empty(), "an empty list clears");
        assert_eq!(variables(&spec), ["A=dev", "B=prod", "C=new"]);
        let spi = &spec.system.spi;
        assert_eq!(spi.reference.as_ref().unwrap().text, "dev");
        assert!(spi.url.text.contains("images"));
        assert_eq!(spec.system.primary_repo.as_ref().unwrap().text, "example/dev");
        assert!(
            spec.packages.override_pip.is_empty() && spec.system.commands.is_empty(),
            "these have no effect"
        );
    }
}

#[test]
fn mistakes_in_overrides_stand_where_they_are_written_and_count_when_they_apply() {
    let text = changed(
        "extra_pip_packages:\n",
        "dev_overrides: {repositories: {notes: {ref: -x}}}\nextra_pip_packages:\n",
    );
    let told = |dev| Spec::read(&text, "s", &Mode { dev: Some(dev), ..Mode::default() }).mistakes;
    assert!(told(false).is_empty());
    assert!(
        told(true)[0].to_string().starts_with("s:19:45: repositories.notes: ref \"-x\""),
        "{:?}",
        told(true)
    );
}

#[test]
fn deactivated_and_empty_ones_never_apply() {
    for section in [
        "deactivated_dev_overrides: {repositories: {notes: {ref: dev}}}",
        "dev_overrides: {}",
        "dev_overrides:",
    ] {
        let text = changed("extra_pip_packages:\n", &format!("{section}\nextra_pip_packages:\n"));
        let spec = Spec::read(&text, "s", &Mode { dev: Some(true), ..Mode::default() }).spec.unwrap();
        assert!(!spec.is_development, "{section}");
        assert_eq!(spec.repositories[0].reference.text, "main");
    }
}
