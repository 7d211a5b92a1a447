//! What counts as a change of a spec.

use super::{GOOD, changed, good};

#[track_caller]
fn same(text: &str) {
    let (old, new) = (good(GOOD), good(text));
    assert_eq!(old.differences(&new), [], "\n{text}");
    assert_eq!(old.digest(), new.digest());
}

#[track_caller]
fn different(text: &str, expected: &[&str]) {
    let (old, new) = (good(GOOD), good(text));
    let told: Vec<String> = old.differences(&new).iter().map(ToString::to_string).collect();
    assert_eq!(told, expected);
    assert_ne!(old.digest(), new.digest());
}

#[test]
fn how_it_is_written_does_not_count() {
    same(&format!("# a comment\n{}\n\n", GOOD.replace("  - numpy", "  # why\n  - numpy  # because")));
    same(&GOOD.replace("'2026-01-01'", "2026-01-01").replace("'3.12'", "\"3.12\"").replace("'2.3'", "2.3"));
    let (head, rest) = GOOD.split_once("repositories:").unwrap();
    let (middle, system) = rest.split_once("system:").unwrap();
    same(&format!("system:{system}repositories:{middle}{head}"));
    same(&changed(
        "  notes:\n    url: https://github.com/example/notes.git\n    ref: main\n",
        "  notes: {ref: main, url: 'https://github.com/example/notes.git'}\n",
    ));
    same(&GOOD.replace('\n', "\r\n"));
}

#[test]
fn what_tools_write_does_not_count() {
    same(&format!("{GOOD}out:\n  kernel_name: x\n"));
    same(&changed(
        "  spec_version",
        "  spec_sha256: abc\n  date_updated: '2026-01-01T00:00:00'\n  spec_version",
    ));
    same(&format!(
        "{GOOD}common_pip_packages: []\nenvironment_vars:\ndeactivated_dev_overrides: {{environment_vars: {{A: b}}}}\n"
    ));
}

#[test]
fn what_it_says_counts_and_is_told_by_path() {
    different(&changed("ref: main", "ref: v1"), &["repositories.notes.ref: was \"main\", is \"v1\""]);
    different(
        &changed("  - numpy\n", "  - scipy\n  - pandas\n"),
        &[
            "extra_pip_packages: \"numpy\" is gone",
            "extra_pip_packages: \"scipy\" is new",
            "extra_pip_packages: \"pandas\" is new",
        ],
    );
    different(
        &changed("      - .\n", "      - .\n    tests: {papermill: 'False'}\n"),
        &["selected_notebooks.all.tests: {papermill} is new"],
    );
    different(
        &changed("  display_name: Alpha\n", ""),
        &["image_spec_header.display_name: \"Alpha\" is gone"],
    );
    different(
        &format!("{GOOD}dev_overrides:\n  extra_pip_packages: []\n"),
        &["dev_overrides: {extra_pip_packages} is new"],
    );
}

#[test]
fn the_order_of_a_list_counts_and_spellings_of_a_switch_do_not() {
    let two =
        |first: &str, second: &str| good(&changed("  - numpy\n", &format!("  - {first}\n  - {second}\n")));
    let (one, other) = (two("a", "b"), two("b", "a"));
    assert_ne!(one.digest(), other.digest());
    assert_eq!(
        one.differences(&other)[0].to_string(),
        "extra_pip_packages: was in another order, is in this one"
    );
    let switch = |value: &str| {
        good(&changed("      - .\n", &format!("      - .\n    tests: {{papermill: {value}}}\n"))).digest()
    };
    assert_eq!(switch("false"), switch("'no'"));
    assert_ne!(switch("false"), switch("true"));
}

/// Another digest would make every environment and every result look new.
#[test]
fn the_digest_stays_the_same_from_release_to_release() {
    assert_eq!(good(GOOD).digest(), "1ed037b8f368edb199917f33d513e902d5ae79ebf59d89afc1251db31f0b9eea");
}
