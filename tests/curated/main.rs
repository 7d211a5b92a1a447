//! The curated spec before its judge: the original tool validates it, checksum included.

#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;

use docent::core::curated::{Out, OutRepository, OutSpi, Value, Verified, curate, verify};
use docent::core::time::Time;

fn date() -> Time {
    "2026-08-09T09:33:52.258563Z".parse().unwrap()
}

fn specs() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/curated/specs");
    let mut specs: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    specs.sort();
    assert!(specs.len() >= 7);
    specs
}

/// What a curation of some notebooks finds out.
fn usual() -> Out {
    let path = |name: &str| format!("references/nova_notebooks/notebooks/{name}.ipynb");
    let long = path(&"a_rather_long_folder/".repeat(5));
    let repository = |resolved: Option<&str>| OutRepository {
        url: "https://git.example.org/nova/nova_notebooks.git".to_owned(),
        commit: "d4455f5d4455f5d4455f5d4455f5d4455f5d4455".to_owned(),
        resolved_ref: resolved.map(str::to_owned),
    };
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Out {
        repositories: vec![
            ("nova_notebooks".to_owned(), repository(Some("2026.1"))),
            ("other".to_owned(), repository(None)),
        ],
        spi: Some(OutSpi {
            repo: "https://git.example.org/nova/images.git".to_owned(),
            reference: Some("main".to_owned()),
        }),
        test_notebooks: vec![
            ("all".to_owned(), vec![path("one"), path("with blanks in its name"), long.clone()]),
            ("none".to_owned(), Vec::new()),
        ],
        nb_to_imports: [
            (path("one"), texts(&["numpy", "astropy", "numpy"])),
            (path(&"x".repeat(60)), Vec::new()),
            (long, texts(&["lightkurve", "numpy"])),
        ]
        .into(),
        kernel_name: "nova-2026".to_owned(),
        mamba_spec: "name: nova\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.10\n  - true\n"
            .to_owned(),
        mamba_package_map: vec![
            ("base_mamba_deps".to_owned(), texts(&["python=3.10"])),
            ("wrangler_target_packages".to_owned(), texts(&["uv", "pip", "setuptools<81"])),
        ],
        non_mamba_pip_package_files: vec![
            (
                "references/nova_notebooks/notebooks/requirements.txt".to_owned(),
                texts(&[
                    "scipy ; python_version < \"3.13\" and sys_platform != 'win32' and platform_machine == 'x86_64'",
                    "numpy>=1.20 # a comment",
                    "jdaviz @ git+https://git.example.org/spacetelescope/a_project_with_a_long_name.git@2026.2.1",
                ]),
            ),
            ("extra_pip_packages".to_owned(), texts(&["-e .", "3.10", "*"])),
        ],
        pip_compiler_output: "numpy==2.0.0 ; python_full_version >= '3.10'  \n    # via\n    #   scipy\n\n\n"
            .to_owned(),
        data: None,
    }
}

/// Texts that stand at every edge of the writing rules, in every place that a text can have.
fn torture() -> Out {
    let mut texts: Vec<String> = [
        "",
        " ",
        "a",
        "1",
        "3.10",
        "true",
        "null",
        "~",
        "- a",
        "-",
        "?",
        "? a",
        ":",
        ":a",
        "a:",
        "a: b",
        "a #b",
        "#a",
        "'a'",
        "it's",
        "\"a\"",
        "*a",
        "&a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a",
        "[a]",
        "{a}",
        "a,b",
        ", a",
        "--- a",
        "...",
        "<<",
        "=",
        "a  b",
        " a",
        "a ",
        "2026-04-06",
        "0x1f",
        "1e3",
        ".5",
        "é ü",
        "日本語 テキスト",
        "\u{1f680} x",
        "a\tb",
        "a\nb",
        "\u{85}",
        "\u{feff}x",
        "\u{7f}",
        "a\\b",
        "yes",
        "no",
        "1_000",
        "=a",
        "a=b",
        "a'b c'd",
        "a: 'b'",
        "\u{a0}x",
    ]
    .map(str::to_owned)
    .into();
    // Lengths around the last column, in words of many lengths, plain and quoted.
    for length in 60..90 {
        texts.push("w".repeat(length));
        texts.push(format!("{} b", "w".repeat(length)));
        texts.push(format!("{} #b and more words", "w".repeat(length)));
        texts.push(format!("{} bb ccc dddd eeeee ffffff ggggggg hhhhhhhh", "w".repeat(length - 40)));
        texts.push(format!("# {} bb ccc it's eeeee ffffff ggggggg hhhhhhhh", "w".repeat(length - 40)));
        texts.push(format!("{} {} {}", "ö".repeat(length), "x".repeat(length + 5), "y".repeat(20)));
    }
    let long = |number: usize| format!("{number} {}", "k".repeat(110 + number % 40));
    let keyed = |text: &String| (format!("k {text}"), Value::Text(text.clone()));
    let inner = texts.iter();
    let maps: Vec<(String, Value)> = inner.clone().map(keyed).collect();
    let long_keys = (0..40).map(|number| {
        let value = match number % 5 {
            0 => Value::Null,
            1 => Value::Text(format!("{} x", "v".repeat(70 + number / 4))),
            2 => Value::texts(["a", "b c"]),
            3 => Value::List(Vec::new()),
            _ => Value::Map(vec![("a".to_owned(), Value::texts(["b"])), ("c".to_owned(), Value::Null)]),
        };
        (long(number), value)
    });
    let data = Value::Map(vec![
        ("texts".to_owned(), Value::texts(texts.clone())),
        ("keys".to_owned(), Value::Map(inner.map(|text| (text.clone(), Value::Null)).collect())),
        ("maps".to_owned(), Value::Map(maps.clone())),
        ("items".to_owned(), Value::List(maps.into_iter().map(|entry| Value::Map(vec![entry])).collect())),
        ("long".to_owned(), Value::Map(long_keys.collect())),
        (
            "blocks".to_owned(),
            Value::Map(vec![
                ("a".to_owned(), Value::Block("a\n\n  b\n".to_owned())),
                ("b".to_owned(), Value::Block("no end".to_owned())),
                ("c".to_owned(), Value::Block("  leading\n".to_owned())),
                ("d".to_owned(), Value::Block("# no comment\n--- x\n".to_owned())),
                ("e".to_owned(), Value::Block("a\u{7}b\nc\n".to_owned())),
                ("f".to_owned(), Value::Block(String::new())),
                ("g".to_owned(), Value::texts(["end"])),
            ]),
        ),
    ]);
    Out { data: Some(data), ..usual() }
}

#[test]
fn a_curated_spec_fits_its_checksum_and_curating_it_again_changes_nothing() {
    for (name, original) in specs() {
        for out in [usual(), torture()] {
            let curated = curate(&original, &out, date()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(verify(&curated.text).unwrap(), Verified::Fits, "{name}");
            assert_eq!(curated.doubts.is_empty(), name != "two_documents", "{name}: {:?}", curated.doubts);
            assert_eq!(curate(&curated.text, &out, date()).unwrap().text, curated.text, "{name}");
            let changed = curated.text.replacen("image_name", "image_name ", 1);
            assert!(matches!(verify(&changed).unwrap(), Verified::Differs { .. }), "{name}");
        }
    }
}

#[test]
fn the_original_accepts_what_docent_curates() {
    let Some(wrangler) = support::wrangler() else { return };
    let desk = tempfile::tempdir().unwrap();
    let mut refused = Vec::new();
    for (name, original) in specs() {
        for (kind, out) in [("usual", usual()), ("torture", torture())] {
            let file = desk.path().join(format!("{name}-{kind}.yaml"));
            std::fs::write(&file, curate(&original, &out, date()).unwrap().text).unwrap();
            let ran = Command::new(&wrangler)
                .arg(&file)
                .arg("--spec-validate")
                .current_dir(desk.path())
                .env("HOME", desk.path())
                .output()
                .unwrap();
            let is_accepted = ran.status.success();
            // The original writes a line between two documents that it does not read back.
            if is_accepted == (name == "two_documents") {
                let said = [ran.stdout, ran.stderr].concat();
                refused.push(format!("{name}-{kind}: {}", String::from_utf8_lossy(&said)));
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn what_the_original_would_rewrite_is_said_and_left_alone() {
    let spec = |text: &str| format!("{text}\nsystem:\n  spec_version: '2.0'\n");
    for (text, doubt) in
        [("a: null", "null"), ("a: ~", "null"), ("a: 1\r", "carriage return"), ("a: x\t# y", "tabs")]
    {
        let original = spec(text);
        let curated = curate(&original, &Out::default(), date()).unwrap();
        assert!(
            curated.doubts.len() == 1 && curated.doubts[0].contains(doubt),
            "{text:?}: {:?}",
            curated.doubts
        );
        assert_eq!(verify(&curated.text).unwrap(), Verified::Fits);
    }
    let flow = curate("system: {spec_version: '2.0'}\n", &Out::default(), date()).unwrap();
    let first = flow.text.lines().next().unwrap();
    assert!(first.starts_with(
        "system: {spec_version: '2.0', date_updated: '2026-08-09T09:33:52.258563', spec_sha256: "
    ));
    assert!(flow.doubts[0].contains("braces"));
    assert_eq!(verify(&flow.text).unwrap(), Verified::Fits);
}

#[test]
fn only_what_has_to_change_changes() {
    let (_, original) = specs().into_iter().find(|(name, _)| name == "written_by_hand").unwrap();
    let curated = curate(&original, &usual(), date()).unwrap().text;
    let written: Vec<&str> = curated.lines().collect();
    let changed: Vec<&str> = original.lines().filter(|line| !written.contains(line)).collect();
    let old_out = original.lines().skip_while(|line| !line.starts_with("out:")).take(14).collect::<Vec<_>>();
    let changed: Vec<&str> = changed.into_iter().filter(|line| !old_out.contains(line)).collect();
    assert_eq!(
        changed,
        [
            "  valid_on: 2026-04-06",
            "  expires_on: 2026-10-06",
            "  python_version: 3.10",
            "    ref: 2026.1",
            "      papermill: false",
            "  spec_version: 2.3",
            "  date_updated: 2026-01-02T03:04:05",
            "  NOVA_LEVEL: 3",
            "  NOVA_ON: true",
            "  NOVA_OFF: False",
            "  NOVA_TIME: 2026-01-02 03:04:05.5",
            "  NOVA_OCTAL: 0o17",
        ]
    );
    for line in [
        "  python_version: '3.10'",
        "      papermill: 'False'",
        "  NOVA_TIME: '2026-01-02 03:04:05.5'",
        "  date_updated: '2026-08-09T09:33:52.258563'",
        "  injector_url: https://git.example.org/kept",
        "      NOVA_DATA: ${HOME}/data/1.0",
        "  # The last comment of system.",
        "# A comment of the section that follows.",
    ] {
        assert!(written.contains(&line), "{line}\n{curated}");
    }
    assert!(
        curated.contains("      EMPTY:\n\n# A comment of the section"),
        "a blank line behind the old block"
    );
    assert!(!curated.contains("git.example.org/old") && !curated.contains("this comment goes"));
    insta::assert_snapshot!(curated);
}

#[test]
fn what_is_no_spec_is_refused_with_its_place() {
    for (text, words) in [
        ("a: [\n", "line "),
        ("", "the file is empty"),
        ("a: 1\n", "no map `system`"),
        ("system:\n", "no map `system`"),
        ("system: text\n", "no map `system`"),
        (&"[".repeat(100), "line 1"),
    ] {
        let error = curate(text, &Out::default(), date()).unwrap_err().to_string();
        assert!(error.contains(words), "{text:?}: {error}");
    }
    assert_eq!(verify("system:\n  spec_sha256: ''\n").unwrap(), Verified::Absent);
    assert_eq!(verify("a: 1\n").unwrap(), Verified::Absent);
}
