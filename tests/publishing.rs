//! Publishing in earnest: the real program with a real engine, killed between the upload and its record; and a tier that looks
//! for the publish credential wherever a container can look.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use axum::http::Method;
use docent::demo::forge::EmbeddedForge;
use docent::demo::sample;
use docent::executor::container::{Container, Settings};
use registry_double::{RegistryDouble, Wrong};
use secrecy::ExposeSecret;
use serde_json::Value;
use support::docent::Installation;

#[path = "hostile/mod.rs"]
mod hostile;
#[path = "support/registry_double.rs"]
mod registry_double;
mod support;

const SECRET: &str = "pusher:a-password-for-tests";

const SPEC: &str = r#"image_spec_header:
  image_name: Alpha
  deployment_name: alpha
  kernel_name: alpha
  valid_on: 2026-01-01
  expires_on: 2027-01-01
  python_version: "3.11"
repositories:
  other:
    url: OTHER
    ref: main
selected_notebooks:
  first:
    repo: other
    include_subdirs:
      - .
system:
  spec_version: 2.3
  spi:
    repo: https://github.com/example/images.git
    ref: main
"#;
const NOTEBOOK: &[u8] = br#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}"#;

const RECIPE: &str = r#"
name = "curating"
detect = []
specs = ["nbw-spec.yaml"]
image = "docent-test/tiny:1"
[limits]
memory = "64MiB"
disk = "64MiB"
[[tier]]
name = "validate"
[[tier]]
name = "lock"
run = ["sh", "/recipe/lock.sh"]
lock = "artifacts/lock"
gate = true
[[tier]]
name = "environment"
run = ["sh", "-c", "true"]
environment = "write"
gate = true
[[tier]]
name = "notebooks"
run = ["sh", "/recipe/notebooks.sh"]
environment = "read"
tests = "notebooks"
"#;

/// Resolves nothing, and looks for what it should not see. The pattern is written so that neither script nor search fits.
const LOCK: &str = r#"
mkdir -p "$DOCENT_OUT/artifacts" && cd "$DOCENT_OUT/artifacts" || exit 1
echo 'numpy==2.0' | tee lock >pip_compiler_output.txt
echo '{}' >nb_to_imports.json
echo '{"files": []}' >resolution.json
env | grep "a-[p]assword" && echo "SEEN in the environment"
cat /proc/*/environ /proc/*/cmdline 2>/dev/null | grep "a-[p]assword" && echo "SEEN in a process"
for folder in /repo /recipe /in /out /etc /run /tmp /root /home /var /dev/shm; do
  grep -rl "a-[p]assword" "$folder" 2>/dev/null && echo "SEEN in $folder"
done
echo "looked everywhere"
"#;
const NOTEBOOKS: &str = r#"
echo '{"tests": [{"name": "references/more/z.ipynb", "outcome": "passed"}]}' >"$DOCENT_OUT/outputs.json"
"#;

fn has_engine() -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ready = runtime.block_on(async {
        let engine =
            Container::connect(Settings::new("publishing")).await.map_err(|error| error.to_string())?;
        hostile::tiny::ensure_image(&engine).await
    });
    ready.map_err(|why| support::not_run("engine", &why)).is_ok()
}

/// What `docent runs …` says of an installation; nothing while there is no such run.
fn runs(place: &Path, arguments: &[&str]) -> Option<String> {
    let ran = Command::new(env!("CARGO_BIN_EXE_docent"))
        .arg("runs")
        .args(arguments)
        .arg("--config")
        .arg(place.join("docent.toml"))
        .output()
        .unwrap();
    ran.status.success().then(|| String::from_utf8(ran.stdout).unwrap())
}

fn run_1(place: &Path) -> Option<Value> {
    serde_json::from_str(&runs(place, &["show", "1", "--json"])?).ok()
}

fn until(what: &str, log: impl Fn() -> String, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < end, "there is still no {what}\n{}", log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_kill_between_the_upload_and_its_record_leaves_one_image_and_no_container_sees_the_credential() {
    if !has_engine() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let forge = runtime.block_on(EmbeddedForge::start(&folder.path().join("forge"), 0)).unwrap();
    let sample = sample::sample(&forge);
    forge.repository("astro", "more", false);
    forge.commit("astro/more", "main", &[("z.ipynb", NOTEBOOK)]);
    let registry = RegistryDouble::start();
    registry.misbehave(Method::PUT, "manifests/nbs_Alpha_prod_20260101-20270101_1", Wrong::Silent, 1);
    let installation = Installation::new(&format!(
        r#"
[executor]
kind = "container"
[[forge]]
name = "demo"
kind = "gitea"
url = "{forge}"
poll_interval = "1s"
watch_credential = "watch"
[[repository]]
forge = "demo"
name = "{repository}"
recipe = "curating"
branches = ["main"]
allow = ["mira:{maintainer}"]
[repository.publish]
to = "{registry}/astro/images"
publish_credential = "push"
"#,
        forge = forge.url(),
        repository = sample.repository,
        maintainer = sample.maintainer,
        registry = registry.address,
    ));
    installation.credential("watch", sample.watch_token.expose_secret());
    installation.credential("push", SECRET);
    installation.recipe("curating", RECIPE);
    let recipe = installation.path().join("recipes/curating");
    std::fs::write(recipe.join("lock.sh"), LOCK).unwrap();
    std::fs::write(recipe.join("notebooks.sh"), NOTEBOOKS).unwrap();

    let daemon = installation.serve();
    let has_polled = || {
        let state = rusqlite::Connection::open(installation.path().join("state/docent.db")).ok();
        let branches = state.and_then(|state| {
            state.query_row("SELECT count(*) FROM branch", [], |row| row.get::<_, i64>(0)).ok()
        });
        branches == Some(1)
    };
    until("first look", || daemon.said(), has_polled);
    let spec = SPEC.replace("OTHER", &format!("{}/astro/more.git", forge.url()));
    forge.commit(sample.repository, "main", &[("nbw-spec.yaml", spec.as_bytes())]);
    registry.wait_for_silence();
    assert_eq!(registry.tags().len(), 1, "the image is there");
    // SIGKILL.
    drop(daemon);
    let run = run_1(installation.path()).unwrap();
    assert_eq!((&run["verdict"], &run["publishing"]["state"]), (&"pass".into(), &"open".into()), "{run:#}");

    let mut daemon = installation.serve();
    let state = |run: Option<Value>| run.map(|run| run["publishing"]["state"].clone());
    until("record", || daemon.said(), || state(run_1(installation.path())) == Some("published".into()));
    let run = run_1(installation.path()).unwrap();
    let reference = format!("{}/astro/images:nbs_Alpha_prod_20260101-20270101_1", registry.address);
    assert_eq!(
        (&run["publishing"]["reference"], &run["publishing"]["was_there"]),
        (&reference.into(), &true.into())
    );
    let tags = registry.tags();
    assert!(tags.len() == 1 && run["publishing"]["digest"] == tags[0].1, "{tags:?} {run:#}");
    assert_eq!(registry.count(&Method::PUT, "/manifests/"), 1, "sent once");

    let log = runs(installation.path(), &["logs", "1"]).unwrap();
    assert!(log.contains("looked everywhere") && !log.contains("SEEN"), "{log}");
    let shown = runs(installation.path(), &["show", "1"]).unwrap();
    assert!(shown.contains("its curated spec is already published as"), "{shown}");
    assert!(daemon.stop().success());
    let password = SECRET.split(':').next_back().unwrap();
    assert!(!daemon.said().contains(password));
    let journal = installation.path().join("state");
    for entry in walkdir::WalkDir::new(journal).into_iter().filter_map(Result::ok) {
        if entry.file_type().is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            let is_there = bytes.windows(password.len()).any(|window| window == password.as_bytes());
            assert!(!is_there, "{}", entry.path().display());
        }
    }
    // The doctor asks the registry with it; the check does without.
    let docent = |command: &str| {
        let config = installation.path().join("docent.toml");
        let ran =
            Command::new(env!("CARGO_BIN_EXE_docent")).arg(command).arg("--config").arg(config).output();
        String::from_utf8(ran.unwrap().stdout).unwrap()
    };
    assert!(docent("doctor").contains("publish credential: "), "{}", docent("doctor"));
    std::fs::remove_file(installation.path().join("credentials/push")).unwrap();
    assert!(docent("doctor").contains("the credential push is missing"), "{}", docent("doctor"));
    assert!(docent("check").contains("no mistake"));
}
