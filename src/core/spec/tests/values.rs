//! What values mean, and which of them are warned of.

use super::super::checksum::{Checksum, compute, unquoted};
use super::super::header::Environment;
use super::super::refdata;
use super::super::resolve_variables;
use super::{GOOD, Mode, Spec, changed, good, read, texts};
use std::collections::BTreeMap;

#[track_caller]
fn warned(text: &str) -> Vec<String> {
    let reading = read(text);
    assert_eq!(reading.mistakes, []);
    reading.warnings.iter().map(|warning| format!("{} [{}]", warning.mistake, warning.name)).collect()
}

#[test]
fn a_version_keeps_the_digits_of_the_source() {
    let text = changed("'3.12'", "3.10");
    assert!(matches!(good(&text).environment, Environment::Python { version, .. } if version.text == "3.10"));
    assert_eq!(
        warned(&text),
        ["s:8:19: without quotes nb-wrangler reads \"3.10\" as 3.1; write it in quotes [trailing-zero]"]
    );
    for fine in ["3.12", "3.11.13", "'3.10'", "\"3.10\""] {
        assert_eq!(warned(&changed("'3.12'", fine)), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn values_are_what_nb_wrangler_makes_of_them_but_for_lost_digits() {
    let text = changed(
        "extra_pip_packages:\n",
        "environment_vars: {A: true, B: no, C: 012, D: 2026-04-13, E: ~x, F: '', G: !!str 1.0, H: \"\\t\"}\nextra_pip_packages:\n",
    );
    let values: Vec<String> =
        good(&text).environment_vars.into_iter().map(|variable| variable.value.text).collect();
    assert_eq!(values, ["True", "no", "012", "2026-04-13", "~x", "", "1.0", "\t"]);
}

#[test]
fn papermill_is_switched_off_in_all_spellings() {
    let with =
        |value: &str| changed("      - .\n", &format!("      - .\n    tests: {{papermill: {value}}}\n"));
    let is_on = |value: &str| good(&with(value)).selections[0].tests.papermill;
    for off in ["false", "False", "'false'", "'False'", "no", "'no'", "0", "'0'", "off", "FALSE"] {
        assert!(!is_on(off), "{off}");
    }
    for on in ["true", "'True'", "yes", "1", "on", "", "~"] {
        assert!(is_on(on), "{on}");
    }
    assert!(is_on("never"));
    assert_eq!(
        warned(&with("never")),
        [
            "s:19:24: selected_notebooks.all.tests: papermill \"never\" is neither true nor false; taken for true [papermill]"
        ]
    );
    assert_eq!(
        warned(&changed("      - .\n", "      - .\n    tests: {papermil: no}\n")),
        [
            "s:19:13: selected_notebooks.all.tests: unknown key \"papermil\" (did you mean \"papermill\"?) [unknown-key]"
        ]
    );
}

#[test]
fn old_and_new_versions_and_formats_are_warned_of() {
    assert_eq!(
        warned(&changed("'2.3'", "1.9")),
        ["s:22:17: system: spec_version 1.9 is deprecated; the newest is 2.3 [spec-version]"]
    );
    assert!(warned(&changed("'2.3'", "'3'"))[0].contains("newer than 2.3"));
    assert!(
        warned(&changed("  spec_version", "  archive_format: .zip\n  spec_version"))[0]
            .contains("[archive-format]")
    );
    assert!(warned(&changed("  display_name: Alpha\n", ""))[0].contains("display_name is missing"));
    assert!(warned(&changed("'2026-12-31'", "'2025-12-31'"))[0].contains("before valid_on"));
}

#[test]
fn anchors_and_merged_maps_are_written_out() {
    let text = changed(
        "  notes:\n    url: https://github.com/example/notes.git\n    ref: main\n",
        "  notes: &notes\n    url: https://github.com/example/notes.git\n    ref: main\n  old:\n    <<: *notes\n    ref: v1\n  same: *notes\n",
    );
    let spec = good(&text);
    let refs: Vec<&str> =
        spec.repositories.iter().map(|repository| repository.reference.text.as_str()).collect();
    assert_eq!(refs, ["main", "v1", "main"]);
    assert!(spec.repositories[1].url.text.ends_with("notes.git"));
    assert_eq!(spec.repositories[2].url.span.line, 16, "an alias stands where it is written");
}

#[test]
fn the_other_ways_to_an_environment_are_read() {
    let without = changed("  kernel_name: alpha\n", "").replace("  python_version: '3.12'\n", "");
    let uri = good(&without.replace("repositories:", "environment_spec: {uri: env/e.yml}\nrepositories:"))
        .environment;
    assert!(matches!(&uri, Environment::Uri(uri) if uri.text == "env/e.yml"));
    let file = good(
        &without.replace("repositories:", "environment_spec: {repo: notes, path: e.yml}\nrepositories:"),
    )
    .environment;
    assert!(matches!(&file, Environment::File { path, .. } if path.text == "e.yml"));
    let inline =
        "---\nname: env\nchannels: [conda-forge]\ndependencies:\n  - python=3.11\n  - pip: [rich==13.7.0]\n";
    assert_eq!((uri.kernel_name(), file.kernel_name()), (None, None), "it stands in the file");
    let environment = good(&format!("{without}{inline}")).environment;
    assert_eq!(environment.kernel_name(), Some("env"));
    assert!(Environment::is_base("python3") && !Environment::is_base("env"));
    let Environment::Inline(inline) = environment else { panic!() };
    assert_eq!(
        (inline.name.text.as_str(), texts(&inline.dependencies), texts(&inline.pip)),
        ("env", vec!["python=3.11"], vec!["rich==13.7.0"])
    );
    let nameless = read(&format!("{without}---\nchannels: []\n"));
    assert_eq!(nameless.mistakes[0].to_string(), "s:24:1: the second document: name is missing");
}

#[test]
fn checkouts_with_the_same_last_part_are_kept_apart() {
    let with = |more: &str| {
        let text = changed("    ref: main\n", &format!("    ref: main\n{more}"));
        good(&text).repositories.into_iter().map(|repository| repository.folder).collect::<Vec<_>>()
    };
    let twin = with("  a:\n    url: https://github.com/other/notes\n");
    assert_eq!(twin[0], "notes");
    assert!(twin[1].starts_with("notes-") && twin[1].len() == "notes-".len() + 8, "{twin:?}");
    assert_eq!(
        with("  a:\n    url: https://github.com/example/notes/\n"),
        ["notes", "notes"],
        "one and the same"
    );
    let refs = with("  a:\n    url: https://github.com/example/notes\n    ref: v1\n");
    assert_ne!(refs[0], refs[1], "one repository at two commits");
}

#[test]
fn references_to_variables_are_resolved_as_in_a_shell() {
    let values: BTreeMap<String, String> =
        [("A", "one"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    for (text, expected) in [
        ("$A/${A}/{A}", "one/one/one"),
        ("${A:-two} ${B:-two} ${EMPTY:-two}", "one two two"),
        ("${B} $B {B}", "${B} $B {B}"),
        ("${} $ {} ${B:-", "${} $ {} ${B:-"),
        ("${B:-}x", "x"),
    ] {
        assert_eq!(resolve_variables(text, &values).0, expected, "{text}");
    }
    let text = changed("ref: main", "ref: ${TAG:-main}");
    assert_eq!(good(&text).repositories[0].reference.text, "main", "never docent's own environment");
    let listed = Mode { variables: [("TAG".into(), "v2".into())].into(), ..Mode::default() };
    assert_eq!(Spec::read(&text, "s", &listed).spec.unwrap().repositories[0].reference.text, "v2");
    let evil = Mode { variables: [("TAG".into(), "-x".into())].into(), ..Mode::default() };
    assert!(Spec::read(&text, "s", &evil).spec.is_none(), "a value is judged like what is written");
}

#[test]
fn the_checksum_is_that_of_the_text_with_two_quotes_in_its_place() {
    let text = changed("  spec_version", "  spec_sha256: ''\n  spec_version");
    let at = good(&text).documents[0].at(&["system", "spec_sha256"]).unwrap().span;
    let sum = compute(&text, at);
    assert_eq!(sum, "460ab889f83358b8c8c1822dbb0ba172c69db6a9c2a5cfd5630d17b1ba3d9c5f");
    let signed = text.replace("''", &sum);
    assert_eq!(good(&signed).checksum, Checksum::Fits { is_canonical: true });
    assert_eq!(
        good(&signed.replace(&sum, &format!("'{sum}'"))).checksum,
        Checksum::Fits { is_canonical: true }
    );
    let edited = signed.replace("numpy", "scipy");
    assert!(matches!(good(&edited).checksum, Checksum::Differs { .. }));
    assert!(
        warned(&edited)[0].starts_with("s:22:16: system: spec_sha256 does not fit"),
        "{:?}",
        warned(&edited)
    );
    let strict = Spec::read(&edited, "s", &Mode { strict: true, ..Mode::default() });
    assert!(strict.spec.is_none() && strict.mistakes[0].text.contains("does not fit"));
    assert!(Spec::read(&signed, "s", &Mode { strict: true, ..Mode::default() }).spec.is_some());
}

#[test]
fn what_nb_wrangler_would_rewrite_is_known_with_its_place() {
    let text = changed("'2026-01-01'", "2026-01-01")
        .replace("'2.3'", "2.3")
        .replace("- .\n", "- .\n    tests: {papermill: false}\n");
    let spec = good(&text);
    let found: Vec<(&str, String)> = unquoted(&spec.documents[0])
        .into_iter()
        .map(|(span, new)| (&text[span.start..span.end], new))
        .collect();
    let expected = [("2026-01-01", "2026-01-01"), ("false", "False"), ("2.3", "2.3")];
    assert_eq!(found, expected.map(|(old, new)| (old, new.to_owned())));
}

/// The place of a value must be exactly its text, or editing it in place would break the file.
#[test]
fn places_of_values_are_exact() {
    let text = "é: 'a b'\nb: \"x\\ny\"\nc: plain words  # comment\nd:\n  - one\n  - |\n    text\n  - long\n    folded\ne: {k: v}\n";
    let tree = super::yaml::parse(text);
    let root = &tree.documents[0];
    let cut = |path: &[&str]| {
        let span = root.at(path).unwrap().span;
        &text[span.start..span.end]
    };
    assert_eq!(
        (cut(&["é"]), cut(&["b"]), cut(&["c"]), cut(&["e", "k"])),
        ("'a b'", "\"x\\ny\"", "plain words", "v")
    );
    let items: Vec<&str> =
        root.value("d").unwrap().items().iter().map(|item| &text[item.span.start..item.span.end]).collect();
    assert_eq!((items[0], items[2]), ("one", "long\n    folded"));
    assert_eq!(root.value("b").unwrap().span.column, 4);
}

#[test]
fn files_of_reference_data_are_read_alone() {
    let file = "install_files:\n  data:\n    version: 2025.9\n    environment_variable: DATA\n    install_path: ${HOME}/refdata/\n    data_path: d/e\n    data_url: [https://example.org/d.tgz]\nother_variables: {A: b}\n";
    let (data, mistakes) = refdata::read_file(file, "r");
    assert_eq!(mistakes, []);
    assert_eq!(data.install_files[0].path(), "${HOME}/refdata/d/e");
    assert_eq!(refdata::read_file("", "r"), (refdata::Refdata::default(), Vec::new()));
    let (_, mistakes) = refdata::read_file("other_variables: {A-B: c}\nx: 1\n", "r");
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    let (other, _) = refdata::read_file("other_variables: {A: c}\n", "r");
    let conflict = refdata::conflicts(&data, &other);
    assert_eq!((conflict[0].0.value.text.as_str(), conflict[0].1.value.text.as_str()), ("b", "c"));
    assert!(refdata::conflicts(&data, &data).is_empty());
}

#[test]
fn lists_and_maps_that_are_empty_are_no_mistake() {
    let text = changed(
        "extra_pip_packages:\n",
        "common_mamba_packages: []\ncommon_pip_packages:\noverride_pip_versions:\napt_packages: []\nenvironment_vars:\nassets:\ndev_overrides:\nout:\nextra_pip_packages:\n",
    );
    assert_eq!(warned(&text), Vec::<String>::new());
    let nothing = GOOD.split("repositories:").next().unwrap().to_owned()
        + "repositories: {}\nsystem:"
        + GOOD.split("system:").nth(1).unwrap();
    assert!(good(&nothing).selections.is_empty());
}
