//! What a spec wants of conda channels, as the tiers get it and as the curated spec tells it.

use super::select::Selected;
use super::{changed, good};
use crate::core::curation::{Curation, Findings};

fn curation(text: &str) -> Curation {
    let nothing = Selected {
        selections: Vec::new(),
        tests: Default::default(),
        orphans: Vec::new(),
        warnings: Vec::new(),
    };
    Curation::new("s", &good(text), &nothing, Vec::new())
}

fn lines(curation: &Curation) -> Vec<(&str, &str, &str)> {
    let packages = curation.mamba.packages.iter();
    packages.map(|package| (package.list.as_str(), package.line.as_str(), package.place.as_str())).collect()
}

#[test]
fn lists_for_mamba_stand_beside_the_python_of_the_header() {
    let text = changed(
        "extra_pip_packages:\n",
        "extra_mamba_packages: [gdal, 'nodejs>=22.0']\ncommon_mamba_packages: [git]\nextra_pip_packages:\n",
    );
    let curation = curation(&text);
    assert_eq!(curation.mamba.channels, ["conda-forge"]);
    assert_eq!(
        lines(&curation),
        [
            ("common_mamba_packages", "git", "s:20:25"),
            ("extra_mamba_packages", "gdal", "s:19:24"),
            ("extra_mamba_packages", "nodejs>=22.0", "s:19:30"),
        ]
    );
    assert_eq!(
        curation.mamba.parts,
        ["mamba packages: common_mamba_packages (1 line)", "mamba packages: extra_mamba_packages (2 lines)"]
    );
    assert!(curation.unsupported.is_empty());
    let out = curation.out(Findings::default());
    assert!(
        out.mamba_spec.starts_with(
            "name: alpha\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.12\n  - git\n  - gdal\n  \
             - nodejs>=22.0\n  - uv\n"
        ),
        "{}",
        out.mamba_spec
    );
    let map: Vec<(&str, usize)> =
        out.mamba_package_map.iter().map(|(name, lines)| (name.as_str(), lines.len())).collect();
    assert_eq!(map[..3], [("base_mamba_deps", 1), ("common_mamba_packages", 1), ("extra_mamba_packages", 2)]);
}

#[test]
fn an_environment_in_the_spec_itself_brings_its_channels_its_python_and_lines_for_pip() {
    let without = changed("  python_version: '3.12'\n", "").replace("  kernel_name: alpha\n", "");
    let inline = "---\nname: env\nchannels: [conda-forge, astro]\ndependencies:\n  - python=3.11\n  - 'gdal >=3'\n  - pip: [rich==13.7.0]\n";
    let curation = curation(&format!("{without}{inline}"));
    assert_eq!((curation.python_version.as_deref(), curation.kernel_name.as_deref()), (None, Some("env")));
    assert_eq!(curation.mamba.channels, ["conda-forge", "astro"]);
    let told: Vec<(&str, &str)> = lines(&curation).into_iter().map(|(list, line, _)| (list, line)).collect();
    assert_eq!(told, [("dependencies", "python=3.11"), ("dependencies", "gdal >=3")]);
    let pip: Vec<&str> = curation.packages.iter().map(|package| package.line.as_str()).collect();
    assert_eq!(pip, ["rich==13.7.0", "numpy"]);
    assert_eq!(curation.mamba.parts, ["a mamba environment in the spec itself: env"]);
    let out = curation.out(Findings::default());
    assert!(
        out.mamba_spec.starts_with(
            "name: env\nchannels:\n  - conda-forge\n  - astro\ndependencies:\n  - python=3.11\n  - gdal >=3\n  - uv\n"
        ),
        "{}",
        out.mamba_spec
    );
}

#[test]
fn variables_of_an_environment_in_the_spec_are_said_to_be_unread() {
    let without = changed("  python_version: '3.12'\n", "").replace("  kernel_name: alpha\n", "");
    let inline = "---\nname: env\nchannels: [conda-forge]\nvariables: {A: b}\ndependencies: [python]\n";
    let curation = curation(&format!("{without}{inline}"));
    assert_eq!(curation.unsupported, ["the variables of the mamba environment env"]);
}

#[test]
fn an_environment_in_another_file_is_said_to_be_unread() {
    let without = changed("  python_version: '3.12'\n", "").replace("  kernel_name: alpha\n", "");
    for (given, said) in [
        ("{repo: notes, path: e.yml}", "a mamba environment from e.yml of notes"),
        ("{uri: env/e.yml}", "a mamba environment from env/e.yml"),
    ] {
        let text = without.replace("repositories:", &format!("environment_spec: {given}\nrepositories:"));
        let curation = curation(&text);
        assert_eq!((curation.unsupported, curation.mamba.parts), (vec![said.to_owned()], vec![]));
    }
}
