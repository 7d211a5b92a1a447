//! Whole specs, and nb-wrangler itself as the judge of how they are read: the same verdict, the same values, the same files.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use docent::core::spec::checksum::Checksum;
use docent::core::spec::policy::SpecPolicy;
use docent::core::spec::select::{Files, select};
use docent::core::spec::yaml::{Content, Node};
use docent::core::spec::{Mode, Reading, Spec};
use regex::Regex;
use serde_json::{Value, json};
use support::not_run;

/// The release that is asked. Another one may judge otherwise.
const JUDGE: &str = "nb-wrangler==0.9.3";
/// All that reading and selecting wants of what it depends on.
const PARTS: [&str; 3] = ["ruamel.yaml", "requests", "httpx"];

/// What the repositories of the specs here hold.
const CHECKOUTS: &[(&str, &[&str])] = &[
    (
        "lamp_notebooks",
        &[
            "README.md",
            "requirements.txt",
            "notebooks/beam/beam.ipynb",
            "notebooks/beam/requirements.txt",
            "notebooks/beam/x.ipynb",
            "notebooks/beam/.ipynb_checkpoints/beam-checkpoint.ipynb",
            "notebooks/.hidden/secret.ipynb",
            "notebooks/moonbeams/m.ipynb",
            "notebooks/lonely/requirements.txt",
            "notebooks/script.py",
            "notebooks/Ünïcode and blanks/n b.ipynb",
            "other/o.ipynb",
        ],
    ),
    (
        "tide_content",
        &[
            "root.ipynb",
            "content/notebooks/tutorial/t.ipynb",
            "content/notebooks/tutorial/deep/er/t.ipynb",
            "content/notebooks/tutorial/requirements.txt",
            "content/notebooks/data-access/a.ipynb",
            "content/notebooks/harbour/harbour.ipynb",
            "content/notebooks/harbour/requirements.txt",
            "content/notebooks/old/harbour/harbour.ipynb",
        ],
    ),
    ("harbour", &["q.ipynb", "quay/x", "quay/q.ipynb", "a.ipynb", "requirements.txt"]),
    (
        "river-notebooks",
        &["environment.yml", "notebooks/a.ipynb", "notebooks/b.ipynb", "notebooks/requirements.txt"],
    ),
];

/// Something in a spec of this folder, what takes its place, and whether docent and nb-wrangler then take the spec.
const VARIANTS: &[(&str, &str, &str, bool, bool)] = &[
    ("newest", "deployment_name: wrangler", "deployment: wrangler", false, false),
    ("newest", "  python_version: '3.13'\n", "  manager: x\n  python_version: '3.13'\n", true, true),
    ("newest", "  valid_on: '2026-09-15'\n", "", false, false),
    ("newest", "  python_version: '3.13'\n", "", false, false),
    ("newest", "  kernel_name: Lighthouse-2026.2\n  display", "  display", false, false),
    ("newest", "  display_name: Lighthouse Lab 2026.2\n", "", true, true),
    ("newest", "    ref: \"2026.2\"\n", "", true, true),
    ("newest", "    ref: \"2026.2\"\n", "    ref: \"2026.2\"\n    branch: x\n", false, false),
    (
        "newest",
        "    url: https://github.com/example/lamp_notebooks.git\n    ref: \"",
        "    ref: \"",
        false,
        false,
    ),
    ("newest", "  spec_version: '2.3'\n", "", false, false),
    ("newest", "spec_version: '2.3'", "spec_version: two", false, false),
    ("newest", "spec_version: '2.3'", "spec_version: 1", true, true),
    ("newest", "spec_version: '2.3'", "spec_version: 99.5", true, true),
    ("newest", "archive_format: .tar", "archive_format: .zip", true, true),
    ("newest", "archive_format: .tar", "archive: .tar", false, false),
    (
        "newest",
        "  nb-wrangler:\n    repo: https://github.com/example/wrangler.git\n",
        "  nb-wrangler:\n",
        false,
        false,
    ),
    ("newest", "    repo: lamp_notebooks\n", "    repo: lamps\n", false, false),
    ("newest", "    repo: lamp_notebooks\n", "", false, false),
    ("newest", "    include_subdirs:\n      - '.*'\n", "", false, false),
    ("newest", "    include_subdirs:\n", "    include: []\n    include_subdirs:\n", false, false),
    ("newest", "environment_vars:\n  PYTHONPATH", "environment:\n  PYTHONPATH", false, false),
    (
        "newest",
        "environment_vars:\n  PYTHONPATH",
        "environment_spec: {uri: x}\nenvironment_vars:\n  PYTHONPATH",
        false,
        false,
    ),
    ("newest", "dev_overrides:\n", "dev_overrides:\n  image_spec_header: {}\n", false, false),
    ("newest", "      ref: dev\n", "      branch: dev\n", false, false),
    ("newest", "dev_overrides:\n", "deactivated_dev_overrides: {out: {}}\ndev_overrides:\n", false, false),
    ("newest", "common_mamba_packages: []", "common_mamba_packages:", true, true),
    ("newest", "selected_notebooks:\n  lamp_all:\n", "selected_notebooks:\nx:\n  lamp_all:\n", false, false),
    ("newest", "out:\n  repositories", "out:\n  anything: at all\n  repositories", true, true),
    (
        "newest",
        "image_name: Lighthouse-2026.2\n",
        "image_name: Lighthouse-2026.2\n  image_name: x\n",
        false,
        false,
    ),
    (
        "newest",
        "      - source: assets/generic/menu.yaml",
        "\t- source: assets/generic/menu.yaml",
        false,
        false,
    ),
    ("newest", "  CI: \"true\"", "  CI: \"true", false, false),
    (
        "inline",
        "  deployment_name: \"wrangler\"\n",
        "  deployment_name: \"wrangler\"\n  kernel_name: x\n",
        false,
        false,
    ),
    (
        "inline",
        "  deployment_name: \"wrangler\"\n",
        "  deployment_name: \"wrangler\"\n  python_version: '3.12'\n",
        false,
        false,
    ),
    ("inline", "name: harbour-env\n", "", false, false),
    ("inline", "extra_pip_packages:\n", "channels: [x]\nextra_pip_packages:\n", true, true),
    ("uri", "  uri: uri-environment.yml\n", "  repo: harbour\n", false, false),
    ("uri", "  uri: uri-environment.yml\n", "  repo: harbour\n  path: e.yml\n", true, true),
    ("uri", "  uri: uri-environment.yml\n", "  repo: nowhere\n  path: e.yml\n", false, false),
    ("uri", "  uri: uri-environment.yml\n", "  uri: e.yml\n  path: e.yml\n", false, false),
    ("uri", "environment_spec:\n  uri: uri-environment.yml\n", "", false, false),
    ("uri", "environment_spec:\n  uri: uri-environment.yml\n", "environment_spec:\n", false, false),
    (
        "reference-data",
        "      data_path: demo_v1\n      data_url",
        "      data_path:\n      data_url",
        true,
        true,
    ),
    ("reference-data", "      data_path: demo_v1\n      data_url", "      data_url", false, false),
    ("reference-data", "      version: '1.0.0'\n", "      version: 1.0\n", true, true),
    ("reference-data", "      version: '1.0.0'\n", "      version: '1.0.0'\n      sha256: x\n", false, false),
    ("reference-data", "environment_variable: DEMO_PATH", "environment_variable: DEMO-PATH", false, false),
    ("reference-data", "install_path: ${HOME}/demo/", "install_path: /demo", false, false),
    ("reference-data", "install_path: ${HOME}/demo/", "install_path: ${HOME}/../demo", false, false),
    ("reference-data", "install_path: ${HOME}/demo/", "install_path: ${HOME}/my-demo", false, false),
    ("reference-data", "install_path: ${HOME}/demo/", "install_path: $HOME/a/b.c", true, true),
    ("reference-data", "https://example.org/data/demo.gz", "gopher://example.org/demo.gz", false, false),
    ("reference-data", "https://example.org/data/demo.gz", "s3://bucket/demo.gz", true, true),
    ("reference-data", "https://example.org/data/demo.gz", "file:///demo.gz", false, false),
    ("reference-data", "    DEMO_VAR: \"value\"\n", "    DEMO VAR: \"value\"\n", false, false),
    ("reference-data", "    DEMO_VAR: \"value\"\n", "    DEMO_VAR: \"two\\nlines\"\n", false, false),
    (
        "reference-data",
        "  other_variables:\n    DEMO_VAR: \"value\"\n\n",
        "  other_variables:\n\n",
        false,
        false,
    ),
    ("reference-data", "    include_subdirs: [tide]\n", "    include_subdirs: []\n", true, true),
    // What docent refuses on purpose.
    ("newest", "image_name: Lighthouse-2026.2", "image_name: .lighthouse", false, true),
    ("newest", "image_name: Lighthouse-2026.2", "image_name: light/house", false, true),
    ("newest", "kernel_name: Lighthouse-2026.2\n  display", "kernel_name: ../x\n  display", false, true),
    ("newest", "    include_subdirs:\n      - '.*'\n", "    include_subdirs: '.*'\n", false, true),
    ("newest", "      - '.*'\n", "      - '(?!x)'\n", false, true),
    ("newest", "      - '.*'\n", "      - '('\n", false, true),
    ("newest", "root_directory: notebooks/", "root_directory: ../x", false, true),
    ("newest", "ref: \"2026.2\"", "ref: --upload-pack=x", false, true),
    ("newest", "  - pip\n\ncommon", "  - [pip]\n\ncommon", false, true),
    ("newest", "  CI: \"true\"", "  C-I: \"true\"", false, true),
    ("newest", "python_version: '3.13'", "python_version: --help", false, true),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/specs")
}

/// Every spec of this folder, and of one more that `DOCENT_TEST_SPECS` names: name → text.
fn specs() -> BTreeMap<String, String> {
    let mut specs = BTreeMap::new();
    for folder in
        [Some(folder()), std::env::var_os("DOCENT_TEST_SPECS").map(PathBuf::from)].into_iter().flatten()
    {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "yaml") {
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                specs.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(specs.len() >= 6);
    specs
}

fn read(text: &str, name: &str) -> Reading {
    Spec::read(text, name, &Mode { dev: Some(false), ..Mode::default() })
}

fn variants(specs: &BTreeMap<String, String>) -> Vec<(String, String, bool, bool)> {
    let made = VARIANTS.iter().enumerate().map(|(at, (name, old, new, docent, judge))| {
        assert_eq!(specs[*name].matches(*old).count(), 1, "{name}: {old:?}");
        (format!("variant-{at}-{name}"), specs[*name].replace(*old, new), *docent, *judge)
    });
    made.collect()
}

#[test]
fn specs_of_all_layouts_are_read_and_allowed() {
    for (name, text) in specs() {
        let reading = read(&text, &name);
        let spec = reading.spec.unwrap_or_else(|| panic!("{:#?}", reading.mistakes));
        assert_eq!(SpecPolicy::default().judge(&spec), [], "{name}");
        let dev = Spec::read(&text, &name, &Mode { dev: Some(true), ..Mode::default() });
        assert_eq!(dev.mistakes, [], "{name}");
    }
    let legacy = read(&specs()["legacy"], "legacy");
    let warnings: Vec<&str> = legacy.warnings.iter().map(|warning| warning.name).collect();
    assert_eq!(warnings, ["checksum"]);
    let spec = legacy.spec.unwrap();
    assert!(matches!(spec.checksum, Checksum::Differs { .. }));
    assert_eq!(
        spec.header.description.unwrap().text,
        "A description that is longer than one line and therefore goes on in the next one."
    );
    let run: Vec<bool> = spec.selections.iter().map(|selection| selection.tests.papermill).collect();
    assert_eq!(run, [false, true, false]);
}

#[test]
fn every_variant_gets_its_verdict() {
    for (name, text, is_taken, _) in variants(&specs()) {
        let reading = read(&text, &name);
        assert_eq!(reading.spec.is_some(), is_taken, "{name}: {:#?}\n{text}", reading.mistakes);
    }
}

/// The files above, and those of which a spec says in its `out` that they were there.
fn checkouts<'a>(specs: impl Iterator<Item = &'a String>) -> Files {
    let mut files = Files::new();
    for (repository, paths) in CHECKOUTS {
        files.insert((*repository).to_owned(), paths.iter().map(ToString::to_string).collect());
    }
    let recorded = Regex::new(r"references/([\w.-]+)/([\w./ -]+(?:\.ipynb|/requirements\.txt))").unwrap();
    for found in specs.flat_map(|text| recorded.captures_iter(text)) {
        let paths = files.entry(found[1].to_owned()).or_default();
        if !paths.contains(&found[2].to_owned()) {
            paths.push(found[2].to_owned());
        }
    }
    files
}

/// What nb-wrangler's reader makes of the same text.
fn value(node: &Node) -> Value {
    match &node.content {
        Content::Scalar(_) if node.is_null() => Value::Null,
        Content::Scalar(scalar) => json!(scalar.meaning()),
        Content::List(items) => items.iter().map(value).collect(),
        Content::Map(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), value(&entry.value))).collect()
        }
    }
}

#[test]
fn nb_wrangler_judges_reads_and_selects_alike() {
    let python = match judge() {
        Ok(python) => python,
        Err(why) => return not_run("nb-wrangler", &why),
    };
    let desk = tempfile::tempdir().unwrap();
    let specs = specs();
    let mut all: Vec<(String, String, bool)> =
        specs.iter().map(|(name, text)| (name.clone(), text.clone(), true)).collect();
    all.extend(variants(&specs).into_iter().map(|(name, text, _, judge)| (name, text, judge)));
    let files = checkouts(specs.values());
    for (repository, paths) in &files {
        for path in paths {
            let path = desk.path().join("references").join(repository).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }
    for (name, text, _) in &all {
        fs::write(desk.path().join(name), text).unwrap();
    }
    let names: Vec<&str> = all.iter().map(|(name, ..)| name.as_str()).collect();
    let answers = ask(&python, desk.path(), &names);
    let mut compared = 0;
    for (name, text, is_taken) in &all {
        let answer = &answers[name];
        assert_eq!(answer["valid"], *is_taken, "{name}: {answer:#}\n{text}");
        let Some(spec) = read(text, name).spec.filter(|_| *is_taken) else { continue };
        assert_eq!(value(&spec.documents[0]), answer["values"][0], "{name}");
        let selected = select(&spec, &files);
        let listed = |list: &dyn Fn(&docent::core::spec::select::Found) -> Value| -> Value {
            selected.selections.iter().map(|found| json!({ found.selection.as_str(): list(found) })).collect()
        };
        assert_eq!(listed(&|found| json!(found.notebooks)), answer["notebooks"], "{name}");
        assert_eq!(listed(&|found| json!(found.requirements)), answer["requirements"], "{name}");
        compared += selected.notebooks().len();
    }
    println!("{} specs, {compared} selected notebooks compared", all.len());
    assert!(compared > 20, "hardly anything was selected: {compared}");
}

/// nb-wrangler's answers on these files, by name.
fn ask(python: &Path, desk: &Path, names: &[&str]) -> Value {
    let mut child = Command::new(python)
        .arg(folder().join("judge.py"))
        .current_dir(desk)
        .env("HOME", desk)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(json!(names).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str(last)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The Python that has nb-wrangler; installed once, without the notebook stack that reading does not use.
fn judge() -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(JUDGE);
    let python = home.join("bin/python");
    if python.exists() {
        return Ok(python);
    }
    let fresh = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|error| error.to_string())?;
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .output()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default().to_owned();
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("{} {}: {last}", program.display(), arguments.join(" ")))
        }
    };
    run(Path::new("python3"), &["-m", "venv", &fresh.path().to_string_lossy()])?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let installed = fresh.path().join("bin/python");
    run(&installed, &[&pip[..], &["--no-deps", JUDGE]].concat())?;
    run(&installed, &[&pip[..], &PARTS].concat())?;
    // Another test program may have been faster; then that one is taken.
    let _ = fs::rename(fresh.path(), &home);
    if python.exists() { Ok(python) } else { Err(format!("{} is not there", python.display())) }
}

/// What `docent spec` says, and its exit code.
fn docent(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_docent"))
        .arg("spec")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn the_command_tells_of_every_file_and_its_exit_code_of_the_worst() {
    let desk = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(desk.path().join(name), bytes).unwrap();
    let newest = specs()["newest"].clone();
    write("good.yaml", newest.as_bytes());
    write("evil.yaml", newest.replace("example/lamp", "example/-lamp").as_bytes());
    write("far.yaml", newest.replace("github.com/example/lamp", "evil.example/lamp").as_bytes());
    write("latin.yaml", b"a: b\nc: d\xe9\n");
    fs::File::create(desk.path().join("large.yaml")).unwrap().set_len(50 << 20).unwrap();
    let run = |arguments: &[&str]| docent(desk.path(), arguments);
    assert_eq!(
        run(&["validate", "good.yaml"]),
        (0, "good.yaml: Lighthouse-2026.2_prod_20260915-20270215, no checksum; no mistake\n".to_owned())
    );
    assert!(run(&["validate", "good.yaml", "--dev"]).1.contains("_dev_"));
    assert_eq!(run(&["validate", "far.yaml"]).0, 4);
    let (code, said) =
        run(&["validate", "gone.yaml", "large.yaml", "latin.yaml", "evil.yaml", "far.yaml", "good.yaml"]);
    assert_eq!(code, 2);
    for told in [
        "gone.yaml: cannot be read",
        "large.yaml: is larger than 4 MiB",
        "latin.yaml:2:5: is no UTF-8 from here on",
        "evil.yaml:18:10: repositories.lamp_notebooks: url",
        "far.yaml:18:10: refused: url",
        "good.yaml: Lighthouse",
    ] {
        assert!(said.contains(told), "{told}\n{said}");
    }
    let (_, said) = run(&["validate", "--json", "far.yaml", "latin.yaml"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said[0]["refusals"][0]["line"], 18);
    assert_eq!(said[0]["spec"]["checksum"], "absent");
    assert_eq!(said[1]["spec"], Value::Null);
    write("legacy.yaml", specs()["legacy"].as_bytes());
    assert_eq!(run(&["validate", "legacy.yaml"]).0, 0);
    assert_eq!(run(&["validate", "--strict", "legacy.yaml"]).0, 2);
    assert_eq!(run(&["diff", "good.yaml", "good.yaml"]), (0, "both mean the same\n".to_owned()));
    let (code, said) = run(&["diff", "--json", "good.yaml", "far.yaml"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, said["differences"][1]["path"].as_str()), (0, Some("repositories.lamp_notebooks.url")));
    assert_eq!(run(&["diff", "good.yaml", "latin.yaml"]).0, 2);
}
