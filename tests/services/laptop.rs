//! `docent run` on a laptop, with services.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::redis;

/// Runs a recipe on an empty folder.
fn run(folder: &Path, recipe: &str, words: &[&str]) -> (Output, Value) {
    let config = redis::configure(folder);
    std::fs::create_dir_all(folder.join("repository")).unwrap();
    let output = folder.join("output");
    let ran = Command::new(env!("CARGO_BIN_EXE_docent"))
        .arg("run")
        .arg(folder.join("repository"))
        .args(["--recipe", recipe, "--config"])
        .arg(config)
        .arg("--output")
        .arg(&output)
        .args(words)
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let result = std::fs::read_to_string(output.join("result.json"));
    (ran, serde_json::from_str(&result.unwrap_or_else(|error| panic!("{error}: {said}"))).unwrap())
}

#[test]
fn extra_tests_find_what_the_default_tier_has_left_in_a_server() {
    if !redis::has_image() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (ran, result) = run(folder.path(), "slow", &["--executor", "container", "--extra-tests"]);
    assert_eq!(
        (&result["verdict"], &result["extra_verdict"]),
        (&"pass".into(), &"pass".into()),
        "{result:#}"
    );
    assert_eq!(ran.status.code(), Some(0));
    assert_eq!(result["deploys"], 1);
    let services: Vec<&str> =
        result["services"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(services, ["cache", "other-cache"], "in the order in which they came up");
    let output = folder.path().join("output");
    let log = std::fs::read_to_string(output.join("services/service-cache.log")).unwrap();
    assert!(log.contains("Ready to accept connections"), "{log}");
    let log = std::fs::read_to_string(output.join("r1-first-1/r1-first-1.log")).unwrap();
    assert!(log.contains("other-cache:6379"), "{log}");
}

#[test]
fn a_service_of_the_extra_tests_that_does_not_come_up_leaves_the_default_verdict_alone() {
    if !redis::has_image() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let health = "health = [\"redis-cli\", \"ping\"]";
    let ill = "health = [\"false\"]\nhealth_timeout = \"2s\"\nopt_in = true";
    let text =
        redis::RECIPE.replace("name = \"slow\"", "name = \"ill\"").replace("after = [\"cache\"]\n", "");
    let (text, default) = (text.replace(health, ill), "run = [\"sh\", \"-c\", \"echo fine\"]");
    let begin = text.find("run = [\"sh\"").unwrap();
    let end = begin + text[begin..].find('\n').unwrap();
    std::fs::create_dir_all(folder.path().join("recipes/ill")).unwrap();
    std::fs::write(
        folder.path().join("recipes/ill/recipe.toml"),
        format!("{}{default}{}", &text[..begin], &text[end..]),
    )
    .unwrap();
    let (ran, result) = run(folder.path(), "ill", &["--executor", "container", "--extra-tests"]);
    let verdicts = (&result["verdict"], &result["extra_verdict"]);
    assert_eq!(verdicts, (&"pass".into(), &"unverified".into()), "{result:#}");
    assert_eq!(ran.status.code(), Some(0));
    let fell = result["services"].as_array().unwrap().iter().find(|it| it["name"] == "cache").unwrap();
    assert!(fell["fell"].as_str().unwrap().contains("not healthy within 2 s"), "{fell}");
}

#[test]
fn a_sandbox_refuses_a_recipe_with_services_before_anything_runs() {
    if !Command::new("bwrap").arg("--version").output().is_ok_and(|it| it.status.success()) {
        return crate::hostile::not_run("sandbox", "no bwrap");
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (ran, result) = run(folder.path(), "slow", &["--executor", "sandbox"]);
    assert_eq!(ran.status.code(), Some(3), "{result:#}");
    let reason = result["reason"].as_str().unwrap();
    assert!(reason.contains("wants the service cache (2 in all)"), "{reason}");
    assert!(reason.contains("use a container engine"), "{reason}");
    assert_eq!((&result["verdict"], &result["deploys"]), (&"unverified".into(), &0.into()));
    assert!(result["tiers"].as_array().unwrap().iter().all(|tier| tier["attempts"] == serde_json::json!([])));
}

/// The example of the documentation, built and run as it says there.
#[test]
fn the_documented_recipe_works() {
    if !redis::has_image() {
        return;
    }
    let text = include_str!("../../docs/how-to/write-a-recipe.md");
    let (_, example) = text.split_once("```toml file=recipes/counter/recipe.toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = redis::configure(folder.path());
    std::fs::create_dir(folder.path().join("recipes/counter")).unwrap();
    std::fs::write(folder.path().join("recipes/counter/recipe.toml"), example).unwrap();
    let built = Command::new(env!("CARGO_BIN_EXE_docent"))
        .args(["recipe", "build", "counter", "--executor", "container", "--config"])
        .arg(config)
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    let (_, result) = run(folder.path(), "counter", &["--executor", "container", "--extra-tests"]);
    assert_eq!(
        (&result["verdict"], &result["extra_verdict"]),
        (&"pass".into(), &"pass".into()),
        "{result:#}"
    );
    assert_eq!(result["deploys"], 1);
}
