//! What a curator is told besides the verdict, and what repeats it on a machine that knows no forge.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use docent::bundle::unpack;
use docent::clock::Clock;
use docent::core::bundle::Unpacked;
use docent::core::event::{Ask, Event};
use docent::core::id::RunId;
use docent::core::lock::Since;
use docent::core::run::{Party, Request, Run, Trigger};
use docent::daemon::{Daemon, Parts};
use docent::executor::scripted::{Part, Scripted};
use docent::forge::any::{AnyForge, AnyReporter};
use docent::git::Git;
use docent::recipes::Shelf;
use docent::store::{Files, Store};
use tokio_util::sync::CancellationToken;

use crate::curating;
use crate::stage::{LOCKED, LOCKED_WITH_SPECS, REPOSITORY, Setting, Stage, tell};

const GOOD: &str = "COMPLETED pass: lock-1 passed, environment-1 passed, notebooks-1 passed";
const NOTEBOOKS: [&str; 3] =
    ["notebooks/flat_field.ipynb", "notebooks/light_curve.ipynb", "notebooks/survey_archive.ipynb"];

fn script(executor: &Scripted, attempt: &str, tests: &serde_json::Value) {
    let is_bad = tests.as_array().unwrap().iter().any(|test| test["outcome"] != "passed");
    let outputs = serde_json::json!({ "tests": tests }).to_string();
    executor.script(attempt, Part::exits(i32::from(is_bad)).leaving("outputs.json", outputs));
}

fn lock(stage: &Stage, attempt: &str, lock: &str) {
    stage.executor.script(attempt, Part::exits(0).leaving("artifacts/lock", lock));
}

/// Three notebooks that pass, and one thing or another that is notable of each.
fn tests(flat_field: &str) -> serde_json::Value {
    serde_json::json!([
        {"name": NOTEBOOKS[0], "outcome": flat_field, "seconds": 2.0, "peak_memory_bytes": 3_000_000},
        {"name": NOTEBOOKS[1], "outcome": "passed", "seconds": 40.5},
        {"name": NOTEBOOKS[2], "outcome": "passed", "seconds": 1.0, "wrote": ["a|b.csv", "c.png"], "wrote_more": 3},
    ])
}

/// The inputs of the resolving attempt of a run.
fn inputs(executor: &Scripted, run: i64) -> BTreeMap<String, Vec<u8>> {
    let jobs = executor.submissions();
    let job = jobs.into_iter().find(|job| job.attempt.run == RunId(run) && job.attempt.tier == "lock");
    job.expect("submitted").inputs
}

#[test]
fn what_changed_since_the_lock_of_the_branch_is_told() {
    let branches = vec!["main".to_owned()];
    let stage = Stage::start_with(Setting { recipe: LOCKED, branches, ..Setting::default() });
    script(&stage.executor, "notebooks", &tests("passed"));
    lock(&stage, "r1-lock-1", "numpy==1.26 \\\n    --hash=sha256:00\nsix==1\nold==1\n");
    stage.let_forge_wait(2);
    stage.forge.commit(REPOSITORY, "main", &[("data.csv", b"1")]);
    stage.expect_run(1, GOOD);
    assert_eq!(stage.run(1).unwrap().lock_changes, None, "nothing was before");

    lock(
        &stage,
        "r2-lock-1",
        "numpy==2.0 \\\n    --hash=sha256:11\nsix==1\nnew==1 ; sys_platform == 'linux'\n",
    );
    stage.say("mira", "!testme");
    stage.expect_run(2, GOOD);
    let told = stage.expect_comment(&[
        "### ✔ pass: 3 passed",
        "came to tier notebooks",
        "<details><summary>3 packages differ from run 1</summary>",
        "- `numpy` `1.26` → `2.0`",
        "- `new` `1` added",
        "- `old` `1` removed",
        "<details><summary>the slowest 3</summary>\n\n- `notebooks/light_curve.ipynb` 40.5 s\n- `notebooks/flat_field.ipynb` 2.0 s, 3 MiB",
        "<details><summary>1 notebook wrote files</summary>\n\n- `notebooks/survey_archive.ipynb` wrote `a|b.csv`, `c.png`, 3 more",
    ]);
    assert!(!told.contains("repeat it"), "nothing to repeat:\n{told}");
    // The run of the pull request is nothing that trusted code is compared with.
    lock(&stage, "r3-lock-1", "numpy==2.0\nsix==1\nold==1\n");
    stage.let_forge_wait(2);
    stage.forge.commit(REPOSITORY, "main", &[("data.csv", b"2")]);
    stage.expect_run(3, GOOD);
    let changes = stage.run(3).unwrap().lock_changes.unwrap();
    assert_eq!((changes.since, changes.count()), (Since::Run { run: RunId(1) }, 1));
    stage.end();
}

#[test]
fn a_sticky_resolution_is_handed_the_lock_before() {
    let recipe = format!("{LOCKED}\n[settings]\nresolution = \"sticky\"\n");
    let branches = vec!["main".to_owned()];
    let recipe: &'static str = Box::leak(recipe.into_boxed_str());
    let stage = Stage::start_with(Setting { recipe, branches, ..Setting::default() });
    script(&stage.executor, "notebooks", &tests("passed"));
    lock(&stage, "lock", "numpy==1.26\n");
    stage.let_forge_wait(2);
    stage.forge.commit(REPOSITORY, "main", &[("data.csv", b"1")]);
    stage.expect_run(1, GOOD);
    stage.say("mira", "!testme");
    stage.expect_run(2, GOOD);
    stage.say("mira", "!testme --full");
    stage.expect_run(3, GOOD);
    let handed = |run| inputs(&stage.executor, run).get("previous.lock").cloned();
    assert_eq!((handed(1), handed(2), handed(3)), (None, Some(b"numpy==1.26\n".to_vec()), None));
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}

#[test]
fn environments_beyond_their_budget_go() {
    let setting = Setting { recipe: LOCKED, environment_bytes: 150, ..Setting::default() };
    let stage = Stage::start_with(setting);
    stage.executor.weigh_environments(100);
    script(&stage.executor, "notebooks", &tests("passed"));
    for (run, lock_text) in [(1, "a==1\n"), (2, "a==2\n")] {
        lock(&stage, "lock", lock_text);
        stage.say("mira", "!testme");
        stage.expect_run(run, GOOD);
    }
    stage.until("the first one to go", |stage| stage.environments() == [RunId(2)]);
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}

/// The bundle of a run, unpacked below `folder`.
fn bundle(stage: &Stage, run: i64, folder: &Path) -> Unpacked {
    let kept = stage.run(run).unwrap().bundle.expect("a run that was not good leaves a bundle");
    assert_eq!(kept.name, "reproduce.tar.gz");
    let files = Files::open(&stage.state()).unwrap();
    unpack(&files.path(&kept.digest).unwrap(), &folder.join("bundle")).unwrap()
}

/// What the bundle comes to on another machine, which knows no forge and reaches none.
fn repeat(unpacked: Unpacked, recipe: &str, executor: &Scripted, folder: &Path, only: &[&str]) -> Run {
    let (state, recipes) = (folder.join("state"), folder.join("recipes/trial"));
    std::fs::create_dir_all(&state).unwrap();
    std::fs::create_dir_all(&recipes).unwrap();
    std::fs::write(recipes.join("recipe.toml"), recipe).unwrap();
    let shelf = Shelf::load(&[folder.join("recipes")], &state.join("shipped"), &BTreeMap::new()).unwrap();
    let config = docent::config::parse("(none)", "").unwrap();
    let request = Request {
        pull: None,
        place: unpacked.bundle.place.clone(),
        sha: unpacked.bundle.sha.clone(),
        base: None,
        is_untrusted: true,
        recipe: Some(unpacked.bundle.recipe.name.clone()),
        options: unpacked.bundle.options.clone(),
        only: only.iter().map(|name| (*name).to_owned()).collect(),
        bundle: Some(Box::new(unpacked)),
        trigger: Trigger::CommandLine,
        by: Party::Operator,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::in_memory().unwrap();
        let daemon: Daemon<AnyForge, AnyReporter, Scripted> = Daemon::new(Parts {
            registries: Default::default(),
            store: store.clone(),
            files: Files::open(&state).unwrap(),
            policy: docent::core::policy::Policy {
                repositories: BTreeMap::new(),
                recipes: shelf.recipes.clone(),
                own_accounts: BTreeMap::new(),
                marker: "docent-elsewhere".to_owned(),
                grammar: config.grammar,
                slots: 1,
                queue_limit: 1,
                environments: 0,
                environment_bytes: 1 << 40,
                bundle_bytes: 1 << 20,
                specs: config.specs,
                baseline_tests: 0,
                offer_lifetime: config.offer_lifetime,
                report_interval: config.report_interval,
                public_url: None,
            },
            state_dir: state,
            retention: config.retention,
            clock: Clock::system(),
            shelf,
            forges: BTreeMap::new(),
            reporters: BTreeMap::new(),
            executor: executor.clone(),
            git: Git::default(),
        });
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (daemon, stop) = (daemon.clone(), stop.clone());
            async move { daemon.run(stop).await }
        });
        let ask = Ask::Run { request: Box::new(request) };
        daemon.step(Event::OperatorAsked { ask }, None).await.unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        let run = loop {
            let run = store.run(RunId(1)).await.unwrap();
            if let Some(run) = run.filter(|run| run.phase.is_ended()) {
                break run;
            }
            assert!(Instant::now() < end, "the run does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        stop.cancel();
        running.await.unwrap().unwrap();
        run
    })
}

#[test]
fn a_bundle_comes_to_the_same_verdict_without_a_forge() {
    let stage = Stage::start_with(Setting { recipe: LOCKED, ..Setting::default() });
    lock(&stage, "lock", "numpy==1.26\n");
    script(&stage.executor, "notebooks", &tests("failed"));
    let sha = stage.push_files(&[("run.sh", b"#!/bin/sh\n")]);
    stage.say("mira", "!testme");
    let story = "COMPLETED fail: lock-1 passed, environment-1 passed, notebooks-1 failed";
    stage.expect_run(1, story);
    let command = format!("docent run {}/{REPOSITORY}.git --sha={sha} --recipe=trial", stage.forge.url());
    let told = stage.expect_comment(&["<details><summary>repeat it</summary>"]);
    assert!(told.contains(&format!("{command} --test=notebooks/flat_field.ipynb")), "{told}");

    let folder = tempfile::tempdir().unwrap();
    let unpacked = bundle(&stage, 1, folder.path());
    assert_eq!(unpacked.bundle.sha.as_ref().map(|sha| sha.as_str()), Some(sha.as_str()));
    assert!(!folder.path().join("bundle/repo/.git").exists());
    // The lock is that of the bundle, and the step is told so; it would leave another one by itself.
    let elsewhere = Scripted::new();
    elsewhere.script("lock", Part::exits(0).leaving("artifacts/lock", "numpy==1.26\n"));
    script(&elsewhere, "notebooks", &tests("failed"));
    let run = repeat(unpacked.clone(), LOCKED, &elsewhere, folder.path(), &[]);
    assert_eq!(tell(&run), story);
    assert_eq!(inputs(&elsewhere, 1)["requirements.lock"], b"numpy==1.26\n");
    assert_eq!(run.plan.as_ref().unwrap().warnings, Vec::<String>::new(), "all is the same");
    assert_eq!(run.plan.as_ref().unwrap().notebooks, stage.run(1).unwrap().plan.unwrap().notebooks);
    let digest = |run: &Run| run.bundle.as_ref().map(|kept| kept.digest.clone());
    assert_eq!(digest(&run), digest(&stage.run(1).unwrap()), "and so is the bundle, byte for byte");

    let only = tempfile::tempdir().unwrap();
    script(&elsewhere, "notebooks", &serde_json::json!([{"name": NOTEBOOKS[0], "outcome": "failed"}]));
    let other = LOCKED.replace("trial\"\n", "trial\"\ndescription = \"another\"\n");
    let run = repeat(unpacked, &other, &elsewhere, only.path(), &[NOTEBOOKS[0]]);
    assert_eq!(tell(&run), story);
    let plan = run.plan.unwrap();
    assert_eq!(plan.notebooks, [NOTEBOOKS[0]]);
    assert!(
        plan.warnings.iter().any(|text| text.contains("another one than in the run")),
        "{:?}",
        plan.warnings
    );
    stage.end();
}

#[test]
fn a_bundle_of_a_spec_has_all_its_repositories() {
    let stage = curating::stage();
    let text = curating::spec(&stage) + "out:\n  pip_compiler_output: |\n    numpy==1.0\n    gone==1\n";
    stage.push_files(&[("nbw-spec.yaml", text.as_bytes())]);
    let names = [
        "references/more/y/z.ipynb",
        "references/more/z.ipynb",
        "references/notebooks/notebooks/flat_field.ipynb",
        "references/notebooks/notebooks/light_curve.ipynb",
    ];
    let tests = |bad: usize| -> serde_json::Value {
        let outcome = |number| if number == bad { "failed" } else { "passed" };
        names
            .iter()
            .enumerate()
            .map(|(at, name)| serde_json::json!({"name": name, "outcome": outcome(at)}))
            .collect()
    };
    script(&stage.executor, "notebooks", &tests(0));
    lock(&stage, "lock", "numpy==2.0\n");
    stage.say("mira", "!testme");
    let story = "COMPLETED fail: validate-1 passed, lock-1 passed, environment-1 passed, notebooks-1 failed";
    stage.expect_run(1, story);
    stage.expect_comment(&[
        "2 packages differ from what the spec had locked",
        "- `numpy` `1.0` → `2.0`",
        "- `gone` `1` removed",
    ]);
    let folder = tempfile::tempdir().unwrap();
    let unpacked = bundle(&stage, 1, folder.path());
    assert!(folder.path().join("bundle/references/more/z.ipynb").is_file());
    assert!(!folder.path().join("bundle/references/notebooks").exists(), "the commit itself is there once");
    let known = stage.run(1).unwrap();
    stage.end();

    let elsewhere = Scripted::new();
    elsewhere.script("lock", Part::exits(0).leaving("artifacts/lock", "numpy==2.0\n"));
    script(&elsewhere, "notebooks", &tests(0));
    let run = repeat(unpacked, LOCKED_WITH_SPECS, &elsewhere, folder.path(), &[]);
    assert_eq!(tell(&run), story, "{:?} {:?}", run.reason, run.tiers[0].tests);
    let (here, there) = (run.plan.unwrap(), known.plan.unwrap());
    assert_eq!(here.curation, there.curation, "resolved as it was");
    assert_eq!(here.prints, there.prints, "every file is the same");
    assert_eq!(run.bundle.map(|kept| kept.digest), known.bundle.map(|kept| kept.digest));
}
