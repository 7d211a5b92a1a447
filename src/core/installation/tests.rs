//! What a spec may ask for when it is installed, and what it may not, however it is written.

use super::*;
use crate::core::curated;
use crate::core::spec::Mode;

const SPEC: &str = r#"image_spec_header:
  image_name: Alpha Survey
  deployment_name: alpha
  kernel_name: Alpha-1
  display_name: "Alpha \e[31m(prod)"
  valid_on: 2026-01-01
  expires_on: 2027-01-01
  python_version: "3.11"
repositories:
  own:
    url: https://github.com/astro/notebooks.git
    ref: main
selected_notebooks:
  first:
    repo: own
    include_subdirs:
      - .
environment_vars:
  DATA: ${HOME}/data
  LD_PRELOAD: /tmp/x.so
  pip_index_url: https://elsewhere.example.org
  PYTHONHASHSEED: '0'
system:
  spec_version: 2.3
  spi:
    repo: https://github.com/example/images.git
    ref: main
"#;

const LOCK: &str = "\
# This file was made by a program
NumPy[fast]==2.0.1 ; python_full_version < '3.13'
    # via
    #   -r requirements.txt
ipy_kernel==1!6.29.post1+local  # why
six==1.16.0
";

/// The spec, curated with this lock. `edit` is done before its checksum is made.
fn spec(lock: &str, edit: impl Fn(&str) -> String) -> Spec {
    let out = curated::Out { pip_compiler_output: lock.to_owned(), ..curated::Out::default() };
    let curated = curated::curate(&edit(SPEC), &out, Default::default()).unwrap();
    let reading = Spec::read(&curated.text, "spec", &Mode::default());
    reading.spec.unwrap_or_else(|| panic!("{:?}\n{}", reading.mistakes, curated.text))
}

fn plan(lock: &str) -> Result<Installation, Uninstallable> {
    Installation::of(&spec(lock, str::to_owned), None, Allowed::default())
}

#[test]
fn a_curated_spec_is_pins_a_kernel_and_variables() {
    let plan = plan(LOCK).unwrap();
    assert_eq!((plan.name.as_str(), plan.python.as_str()), ("alpha-1", "3.11"));
    assert!(plan.display_name.contains("(prod)") && !plan.display_name.contains('\u{1b}'), "{plan:?}");
    let pins = [
        "NumPy[fast]==2.0.1 ; python_full_version < '3.13'",
        "ipy_kernel==1!6.29.post1+local",
        "six==1.16.0",
    ];
    assert_eq!(plan.pins, pins);
    let limits =
        ["NumPy==2.0.1 ; python_full_version < '3.13'", "ipy_kernel==1!6.29.post1+local", "six==1.16.0"];
    assert_eq!(plan.limits(), limits);
    assert!(plan.has("numpy") && plan.has("ipy-kernel") && !plan.has("ipykernel"));
    let variables: Vec<(&str, &str)> =
        plan.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(variables, [("DATA", "${HOME}/data"), ("PYTHONHASHSEED", "0")]);
    assert_eq!(plan.notes.len(), 2, "{:?}", plan.notes);
}

#[test]
fn no_line_of_a_lock_is_more_than_a_package_at_a_version() {
    for (line, why) in [
        ("--index-url https://elsewhere.example.org", "options are not"),
        ("-r more.txt", "options are not"),
        ("-e .", "options are not"),
        ("-c limits.txt", "options are not"),
        ("six==1.16.0 --config-settings=x=y", "options are not"),
        ("six==1.16.0 --hash=sha256:00", "options are not"),
        ("six @ https://elsewhere.example.org/six.whl", "comes from an address"),
        ("six@git+https://elsewhere.example.org/six.git", "comes from an address"),
        ("https://elsewhere.example.org/six.whl", "comes from an address"),
        ("six @ file:///tmp/six.whl", "a path"),
        ("./six.whl", "a path"),
        ("/tmp/six", "a path"),
        ("six==${VERSION}", "a variable"),
        ("six>=1", "no package with one version"),
        ("six", "no package with one version"),
        ("six==1.*", "no package with one version"),
        ("six==1,>=0", "no package with one version"),
        ("six==1 ; x `id`", "no package with one version"),
        ("six==1 ; python_version < '3' @ https://x", ""),
    ] {
        let told = plan(&format!("six==1.16.0\n{line}\n")).unwrap_err();
        let Uninstallable::Refused(lines) = &told else { panic!("{line}: {told:?}") };
        assert!(lines.len() == 1 && lines[0].contains("line 2") && lines[0].contains(why), "{line}: {told}");
    }
    let all = plan("-r a\n-r b\n").unwrap_err().to_string();
    assert!(all.contains("line 1") && all.contains("line 2"), "all at once: {all}");
}

#[test]
fn addresses_are_taken_when_they_are_allowed_and_plain() {
    let allowed = Allowed { addresses: true, ..Allowed::default() };
    let of = |line: &str| Installation::of(&spec(line, str::to_owned), None, allowed);
    let address = "six @ git+https://git.example.org/six.git@0123";
    let plan = of(&format!("{address}\n")).unwrap();
    assert_eq!((plan.pins.as_slice(), plan.limits().len()), (&[address.to_owned()][..], 0));
    for line in [
        "six @ http://git.example.org/six.whl",
        "six @ git+ssh://git@git.example.org/six.git",
        "six @ https://me:secret@git.example.org/six.whl",
        "https://git.example.org/six.whl",
        "six @ https:///six.whl",
    ] {
        assert!(matches!(of(&format!("{line}\n")), Err(Uninstallable::Refused(_))), "{line}");
    }
}

#[test]
fn what_nobody_curated_is_not_installed() {
    let curated = spec(LOCK, str::to_owned);
    let read = |text: &str| Spec::read(text, "spec", &Mode::default()).spec.unwrap();
    let changed = read(&curated.text.replace("six==1.16.0", "six==1.15.0"));
    let of = |spec: &Spec, unverified| {
        Installation::of(spec, None, Allowed { unverified, ..Allowed::default() }).map(|plan| plan.pins.len())
    };
    for unverified in [false, true] {
        let told = of(&changed, unverified).unwrap_err().to_string();
        assert!(told.contains("does not fit"), "{told}");
    }
    let sum = curated.text.lines().find(|line| line.contains("spec_sha256")).unwrap();
    let without = read(&curated.text.replace(&format!("{sum}\n"), ""));
    assert!(of(&without, false).unwrap_err().to_string().contains("--unverified"));
    assert_eq!(of(&without, true), Ok(3));
    assert!(of(&read(SPEC), true).unwrap_err().to_string().contains("not curated"));
}

#[test]
fn a_kernels_name_leads_nowhere_else() {
    let of = |name: &str| Installation::of(&spec(LOCK, str::to_owned), Some(name), Allowed::default());
    for name in ["../x", "a/b", "", ".x", "-x", "a b", "ä", "x\n", &"x".repeat(101)] {
        assert!(matches!(of(name), Err(Uninstallable::Name(_))), "{name:?}");
    }
    assert!(matches!(of("Python3"), Err(Uninstallable::Jupyters(_))));
    assert_eq!(of("Nova.2").unwrap().name, "nova.2");
}

#[test]
fn the_environment_is_what_its_packages_are() {
    let one = plan(LOCK).unwrap();
    let renamed = Installation { name: "other".into(), variables: BTreeMap::new(), ..one.clone() };
    assert_eq!(one.digest(), renamed.digest());
    let mut other = one.clone();
    other.pins[2] = "six==1.15.0".into();
    assert_ne!(one.digest(), other.digest());
    assert_eq!(one.digest().len(), 16);
}

#[test]
fn mamba_packages_are_named_and_nothing_but_packages() {
    let with = |list: &str| spec(LOCK, |text| format!("{text}extra_mamba_packages:\n{list}"));
    let of = |list: &str| Installation::of(&with(list), None, Allowed::default());
    assert_eq!(of("  - hdf5>=1.12,<2\n").unwrap().mamba, ["hdf5>=1.12,<2"]);
    assert!(matches!(of("  - elsewhere::hdf5\n"), Err(Uninstallable::Refused(_))));
}
