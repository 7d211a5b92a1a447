//! A wrangler spec the whole way: from the address of a repository to a curated spec that the original takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use docent::core::curated::{Verified, verify};
use docent::demo::forge::EmbeddedForge;
use serde_json::json;

use crate::bench::{Bench, NOTEBOOK};
use crate::hostile::not_run;

const SPEC: &str = r#"# A curator's own remark.
image_spec_header:
  image_name: Alpha Survey
  deployment_name: alpha
  kernel_name: alpha
  display_name: Alpha
  valid_on: 2026-01-01
  expires_on: 2027-01-01
  python_version: "3.11"
repositories:
  nb: {url: ADDRESS, ref: main}
selected_notebooks:
  on:
    repo: nb
    root_directory: notebooks
    include_subdirs: [.]
    exclude_subdirs: ["off"]
  "off":
    repo: nb
    root_directory: notebooks
    include_subdirs: [off.ipynb]
    tests: {papermill: "False"}
extra_pip_packages:
  - certifi
environment_vars:
  SURVEY: alpha
system:
  spec_version: 2.3
  spi:
    repo: https://github.com/example/images.git
    ref: main
"#;

fn notebook(cells: &[&str]) -> Vec<u8> {
    let cells: Vec<_> = cells
        .iter()
        .enumerate()
        .map(|(at, source)| {
            json!({"cell_type": "code", "id": format!("c{at}"), "metadata": {}, "outputs": [],
                   "execution_count": null, "source": source})
        })
        .collect();
    json!({"nbformat": 4, "nbformat_minor": 5, "cells": cells,
           "metadata": {"kernelspec": {"name": "alpha", "display_name": "Alpha", "language": "python"}}})
    .to_string()
    .into_bytes()
}

/// `is_judged`: by the original as well, which is the same text from either executor.
pub fn a_spec_becomes_a_curated_spec(executor: &'static str, is_judged: bool) {
    let bench = match Bench::new(executor, NOTEBOOK) {
        Ok(bench) => bench,
        Err(why) => return not_run(if executor == "container" { "engine" } else { executor }, &why),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let forge = runtime.block_on(EmbeddedForge::start(&bench.path("forge"), 0)).unwrap();
    forge.account("astro");
    forge.repository("astro", "nb", false);
    let address = format!("{}/astro/nb.git", forge.url());
    let spec = SPEC.replace("ADDRESS", &address);
    let good = notebook(&["import idna", "import os\nassert os.environ['SURVEY'] == 'alpha'"]);
    let sha = forge.commit(
        "astro/nb",
        "main",
        &[
            ("specs/alpha.yaml", spec.as_bytes()),
            ("notebooks/good.ipynb", &good),
            ("notebooks/off.ipynb", &notebook(&["1 / 0"])),
            ("notebooks/requirements.txt", b"idna>=3\n"),
        ],
    );
    let tier = format!("curated-{}", bench.mark);
    recipe(&bench, &tier);
    let host = forge.url().trim_start_matches("http://").to_owned();
    let settings = format!("[specs]\nhosts = [{host:?}, \"github.com\"]\nplain_http = true\n");
    let more = ["--sha", sha.as_str(), "--spec", "specs/alpha.yaml"];
    let ran = bench.start(Path::new(&address), "curated", &tier, &settings, &more).wait(600);
    assert_eq!((ran.code, ran.result["verdict"].as_str()), (0, Some("pass")), "{}", ran.said);
    let ends: Vec<_> = ran.tier(&tier)["tests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|test| (test["name"].as_str().unwrap(), test["outcome"].as_str().unwrap()))
        .collect();
    assert!(ends.contains(&("references/nb/notebooks/good.ipynb", "passed")), "{ends:?}");
    assert!(ends.contains(&("references/nb/notebooks/off.ipynb", "skipped")), "{ends:?}");

    let used = &ran.result["spec"];
    assert_eq!(
        (used["repositories"][0]["sha"].as_str(), used["path"].as_str()),
        (Some(&*sha), Some("specs/alpha.yaml"))
    );
    let curated = ran.output.join("nbw-wrangler-spec.yaml");
    let text = fs::read_to_string(&curated).unwrap();
    assert_eq!(verify(&text), Ok(Verified::Fits));
    for part in [
        "# A curator's own remark.",
        &sha,
        "idna==",
        "valid_on: '2026-01-01'",
        "- references/nb/notebooks/off.ipynb",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    if is_judged {
        judge(&bench, &curated);
    }
    bench.assert_no_secret(&ran);
    bench.assert_nothing_left(&[&ran]);
    if is_judged {
        // What has nothing to run has the same curated spec.
        let again =
            || bench.start_remembering(Path::new(&address), "curated", &tier, &settings, &more).wait(600);
        let (_, second) = (again(), again());
        let imports = second.tier("imports")["tests"].as_array().unwrap();
        assert!(imports.iter().all(|test| test["reused_from"].is_u64()), "{}", second.said);
        let again = fs::read_to_string(second.output.join("nbw-wrangler-spec.yaml"));
        assert_eq!(again.unwrap_or_else(|error| panic!("{error}: {}", second.said)), text);
        bench.forget();
    }
    runtime.block_on(forge.stop());
}

/// The shipped recipe with a name of its own for one tier, by which this run is told from others on this machine.
fn recipe(bench: &Bench, tier: &str) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/notebook");
    let place = bench.path("recipes/curated");
    assert!(Command::new("cp").arg("-a").args([&shipped, &place]).status().unwrap().success());
    let file = place.join("recipe.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("name = \"notebook\"", "name = \"curated\"");
    fs::write(&file, text.replace("name = \"notebooks\"", &format!("name = {tier:?}"))).unwrap();
}

/// The original's own judgement: its validation, checksum included, and its making of the environment from the spec alone.
fn judge(bench: &Bench, curated: &Path) {
    let program: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("wrangler/bin/nbw");
    if !program.is_file() {
        return not_run("nb-wrangler", "no nb-wrangler (scripts/setup wrangler installs it)");
    }
    let place = bench.path("wrangler");
    fs::create_dir_all(place.join("home")).unwrap();
    // It writes into the spec.
    let spec = place.join("spec.yaml");
    fs::copy(curated, &spec).unwrap();
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    for what in ["--spec-validate", "--reinstall"] {
        let judged = Command::new(&program)
            .arg(&spec)
            .arg(what)
            .current_dir(&place)
            .env("HOME", place.join("home"))
            .env("NBW_ROOT", place.join("live"))
            .env("NBW_PANTRY", place.join("pantry"))
            .env("NBW_MAMBA_CMD", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/micromamba"))
            .env("PATH", &path)
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&judged.stderr).into_owned() + &String::from_utf8_lossy(&judged.stdout);
        assert!(judged.status.success() && said.contains("Errors: 0"), "{what}: {said}");
    }
    let packages = fs::read_dir(place.join("live/mm/envs/alpha/lib")).unwrap().flatten();
    let installed = packages.flat_map(|python| fs::read_dir(python.path().join("site-packages")).unwrap());
    assert!(installed.flatten().any(|entry| entry.file_name() == "certifi"), "what the spec locks is there");
}
