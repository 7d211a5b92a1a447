//! Publishing: what a push has proven goes into a registry once, whatever the registry does; nothing else ever does.

#[path = "../support/registry_double.rs"]
mod registry_double;

use std::path::Path;
use std::time::Duration;

use axum::http::Method;
use docent::core::image_name::{Tag, Which};
use docent::core::publishing::{Image, Publishing, PublishingEnd};
use docent::core::verdict::Verdict;
use docent::executor::scripted::Part;
use docent::publish::{Access, Credential, Place, Registry};
use registry_double::{RegistryDouble, Wrong};

use crate::stage::{LOCKED_WITH_SPECS, REPOSITORY, Setting, Stage, tell};
use crate::support::registry::{LOGIN, PASSWORD, RegistryServer};

const SPEC: &str = r#"image_spec_header:
  image_name: Alpha Survey
  deployment_name: alpha
  kernel_name: alpha
  display_name: Alpha
  valid_on: 2026-01-01
  expires_on: 2027-01-01
  python_version: "3.11"
repositories:
  other:
    url: OTHER
    ref: v1
selected_notebooks:
  first:
    repo: other
    include_subdirs:
      - .
extra_pip_packages:
  - numpy>=1
system:
  spec_version: 2.3
  spi:
    repo: https://github.com/example/images.git
    ref: main
"#;
const NAME: &str = "nbs_Alpha-Survey_prod_20260101-20270101";
const NOTEBOOK: &[u8] = br#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}"#;

/// A stage whose pushes to `main` curate a spec and publish it at `address`.
fn stage(address: &str, patience: Duration) -> Stage {
    let mut stage = Stage::set(Setting {
        recipe: LOCKED_WITH_SPECS,
        branches: vec!["main".into()],
        publish_to: Some(format!("{address}/astro/images")),
        publish_credential: format!("{LOGIN}:{PASSWORD}"),
        patience,
        ..Setting::default()
    });
    stage.forge.repository("astro", "more", false);
    let commit = stage.forge.commit("astro/more", "main", &[("z.ipynb", NOTEBOOK)]);
    stage.forge.tag("astro/more", "v1", &commit);
    let outputs = r#"{"tests": [{"name": "references/more/z.ipynb", "outcome": "passed"}]}"#;
    stage.executor.script("notebooks", Part::exits(0).leaving("outputs.json", outputs));
    locks(&stage, "numpy==2.0\n");
    stage.raise();
    stage.until("first look", |stage| !stage.branches().is_empty());
    stage
}

/// From now on, resolving comes to this.
fn locks(stage: &Stage, compiled: &str) {
    let left = Part::exits(0)
        .leaving("artifacts/lock", compiled)
        .leaving("artifacts/pip_compiler_output.txt", compiled)
        .leaving("artifacts/nb_to_imports.json", "{}")
        .leaving(
            "artifacts/resolution.json",
            r#"{"files": [{"path": "extra_pip_packages", "lines": ["numpy>=1"]}]}"#,
        );
    stage.executor.script("lock", left);
}

fn spec(stage: &Stage) -> String {
    SPEC.replace("OTHER", &format!("{}/astro/more.git", stage.forge.url()))
}

/// Pushes the spec and a note to `main`. Gives the commit.
fn push(stage: &Stage, note: &str) -> String {
    stage.let_forge_wait(2);
    let spec = spec(stage);
    stage.forge.commit(
        REPOSITORY,
        "main",
        &[("nbw-spec.yaml", spec.as_bytes()), ("note.txt", note.as_bytes())],
    )
}

/// Waits until the publishing of a run has ended.
#[track_caller]
fn published(stage: &Stage, run: i64) -> Publishing {
    let of = |stage: &Stage| stage.run(run).and_then(|run| run.publishing);
    stage.until(&format!("end of the publishing of run {run}"), |stage| {
        of(stage).is_some_and(|it| !it.is_open())
    });
    let ended = stage.run(run).unwrap();
    assert_eq!((ended.phase.word(), ended.verdict), ("COMPLETED", Some(Verdict::Pass)), "{}", tell(&ended));
    stage.expect_run(run, &tell(&ended));
    of(stage).unwrap()
}

fn image(publishing: &Publishing) -> &Image {
    publishing.image().unwrap_or_else(|| panic!("{publishing:?}"))
}

/// Files below a folder that hold a text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let files = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    let files = files.filter(|entry| entry.file_type().is_file());
    let holds = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    files.filter(|entry| holds(entry.path())).map(|entry| entry.path().display().to_string()).collect()
}

#[test]
fn what_a_push_has_proven_is_published_and_nothing_else_is() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let Some(server) = runtime.block_on(RegistryServer::start(true)) else { return };
    let stage = stage(&server.address, Duration::from_secs(20));
    let secret = secrecy::SecretString::from(format!("{LOGIN}:{PASSWORD}"));
    let access = Access { credential: Some(Credential::read(&secret)), ..Access::default() };
    let place = Place { registry: server.address.clone(), repository: "astro/images".into() };
    let registry = Registry::new(place, &access).unwrap();
    let tags = || {
        let tags = runtime.block_on(registry.tags()).unwrap();
        let mut tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
        tags.sort();
        tags
    };
    let last = format!("{NAME}_last");

    // What a pull request proves is curated, and stays here.
    let text = spec(&stage);
    stage.push_files(&[("nbw-spec.yaml", text.as_bytes())]);
    stage.say("mira", "!testme");
    stage.until("end of run 1", |stage| stage.run(1).is_some_and(|run| run.phase.is_ended()));
    let run = stage.run(1).unwrap();
    stage.expect_run(1, &tell(&run));
    assert!(run.curated.is_some() && run.publishing.is_none(), "{run:#?}");
    let pull = format!("docent spec pull '{}/astro/images:{NAME}_*'", server.address);
    stage.expect_comment(&["### ✔ pass", "is curated as", "Once this has passed on `main` too", &pull]);
    assert_eq!(tags(), Vec::<String>::new());

    let sha = push(&stage, "one");
    let first = published(&stage, 2);
    let reference = format!("{}/astro/images:{NAME}_1", server.address);
    assert_eq!((image(&first).reference.as_str(), image(&first).was_there), (reference.as_str(), false));
    assert_eq!(tags(), [format!("{NAME}_1"), last.clone()]);
    let kept = stage.run(2).unwrap().curated.unwrap();
    let curated = stage.file(&kept.digest);
    for tag in [format!("{NAME}_1"), last.clone()] {
        let found = runtime.block_on(registry.spec(&Which::Tag(Tag::new(tag).unwrap()))).unwrap();
        assert!(found.spec == curated && found.digest == image(&first).digest);
    }
    stage.until("status that tells", |stage| {
        let told = stage.forge.statuses(REPOSITORY, &sha).pop();
        told.is_some_and(|status| status.description.ends_with(&format!("; published as {NAME}_1")))
    });

    // The same spec again is the same image, and keeps its number.
    push(&stage, "two");
    let again = published(&stage, 3);
    assert_eq!((image(&again).reference.as_str(), image(&again).was_there), (reference.as_str(), true));
    // Another lock is another image; the alias moves.
    locks(&stage, "numpy==2.1\n");
    push(&stage, "three");
    let other = published(&stage, 4);
    assert!(image(&other).reference.ends_with("_2") && !image(&other).was_there);
    assert_eq!(tags(), [format!("{NAME}_1"), format!("{NAME}_2"), last.clone()]);
    let found = runtime.block_on(registry.spec(&Which::Tag(Tag::new(last).unwrap()))).unwrap();
    assert_eq!(found.digest, image(&other).digest);

    // A failure publishes nothing.
    stage.executor.script("notebooks", Part::exits(1));
    locks(&stage, "numpy==2.2\n");
    push(&stage, "four");
    stage.until("end of run 5", |stage| stage.run(5).is_some_and(|run| run.phase.is_ended()));
    let failed = stage.run(5).unwrap();
    stage.expect_run(5, &tell(&failed));
    assert_eq!(
        (failed.verdict == Some(Verdict::Pass), &failed.publishing),
        (false, &None),
        "{}",
        tell(&failed)
    );
    assert_eq!(tags().len(), 3);

    // The credential went to the registry, and nowhere else.
    let jobs = stage.executor.submissions();
    assert!(jobs.len() > 8 && jobs.iter().all(|job| !format!("{job:?}").contains(PASSWORD)));
    let in_inputs = |input: &Vec<u8>| String::from_utf8_lossy(input).contains(PASSWORD);
    assert!(jobs.iter().all(|job| !job.inputs.values().any(in_inputs)));
    assert_eq!(holding(&stage.state(), PASSWORD), Vec::<String>::new());
    stage.end();
}

#[test]
fn a_registry_that_is_not_well_is_tried_until_it_is() {
    let (get, put, post) = (Method::GET, Method::PUT, Method::POST);
    let table = [
        ("down", get.clone(), "tags", Wrong::Status(503, "sorry"), 2),
        ("busy", post.clone(), "uploads", Wrong::Status(429, "slow down"), 1),
        ("full", put.clone(), "manifests", Wrong::Status(507, "no space left on device"), 2),
        ("slow", put.clone(), "uploads", Wrong::Late(Duration::from_secs(1)), 1),
        ("silent", put.clone(), "manifests", Wrong::Silent, 1),
        ("mistaken", get.clone(), "_1", Wrong::Other, 1),
    ];
    for (what, method, part, wrong, times) in table {
        println!("{what}");
        let registry = RegistryDouble::start();
        registry.misbehave(method, part, wrong, times);
        let stage = stage(&registry.address.to_string(), Duration::from_secs(3));
        push(&stage, "one");
        let publishing = published(&stage, 1);
        let tags = registry.tags();
        let names: Vec<&str> = tags.iter().map(|(tag, _)| tag.as_str()).collect();
        assert_eq!(names, [format!("{NAME}_1"), format!("{NAME}_last")], "{what}");
        assert!(tags.iter().all(|(_, digest)| *digest == image(&publishing).digest), "{what}");
        stage.end();
    }
}

#[test]
fn a_registry_that_refuses_is_docents_trouble_and_no_failure() {
    let registry = RegistryDouble::start();
    registry.misbehave(Method::POST, "uploads", Wrong::Status(403, "read-only\u{1b}[2J <b>@mira</b>"), 100);
    let stage = stage(&registry.address.to_string(), Duration::from_secs(3));
    let sha = push(&stage, "one");
    let publishing = published(&stage, 1);
    let Some(PublishingEnd::Errored { why }) = &publishing.end else { panic!("{publishing:?}") };
    assert!(why.contains("read-only") && why.contains("needs the right") && !why.contains('\u{1b}'), "{why}");
    assert!(
        registry.tags().is_empty() && registry.count(&Method::POST, "uploads") == 1,
        "a no is not asked again"
    );
    stage.until("status that tells", |stage| {
        let told = stage.forge.statuses(REPOSITORY, &sha).pop();
        told.is_some_and(|status| {
            status.state == "success" && status.description.ends_with("; publishing errored")
        })
    });
    assert!(stage.run(1).unwrap().curated.is_some(), "what was proven is kept");
    stage.end();
}

/// The image is there, and docent dies before it knows.
#[test]
fn a_death_between_the_push_and_its_record_publishes_nothing_twice() {
    let (image_of_run, alias) = (format!("{NAME}_1"), format!("{NAME}_last"));
    for (what, part) in [("the image", "_1"), ("the alias", "_last")] {
        println!("dies when {what} was sent");
        let registry = RegistryDouble::start();
        registry.misbehave(Method::PUT, part, Wrong::Silent, 1);
        let mut stage = stage(&registry.address.to_string(), Duration::from_secs(60));
        push(&stage, "one");
        registry.wait_for_silence();
        assert!(registry.tags().iter().any(|(tag, _)| tag.ends_with(part)), "it is there");
        stage.kill();
        assert!(stage.run(1).unwrap().publishing.unwrap().is_open(), "and docent does not know");
        // Somebody else's spec of the same name waits for its turn.
        locks(&stage, "numpy==2.1\n");
        push(&stage, "two");
        stage.raise();
        let publishing = published(&stage, 1);
        assert!(image(&publishing).reference.ends_with(&image_of_run) && image(&publishing).was_there);
        let second = published(&stage, 2);
        assert!(image(&second).reference.ends_with("_2"), "{second:?}");
        let names: Vec<String> = registry.tags().into_iter().map(|(tag, _)| tag).collect();
        assert_eq!(names, [image_of_run.clone(), format!("{NAME}_2"), alias.clone()]);
        stage.end();
    }
}
