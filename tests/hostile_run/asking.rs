//! Extra tests are asked for in four ways, which are one request.

use std::fs;
use std::process::Command;

use docent::core::command::{self, Grammar, TestOptions};
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::hostile::{not_run, tiny};

const RECIPE: &str = r#"
name = "trial"
detect = []
image = "docent-test/tiny:1"
[limits]
memory = "64MiB"
cpus = 1.0
processes = 64
disk = "32MiB"
timeout = "60s"
[[tier]]
name = "usual"
run = ["sh", "-c", "true"]
[[tier]]
name = "heavy"
run = ["sh", "-c", "exit 3"]
opt_in = true
"#;

/// Flags and variables, and what they ask for in a comment.
type Way = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static str);

const WAYS: &[Way] = &[
    (&[], &[], "!testme"),
    (&["--extra-tests"], &[], "!testme --extra-tests"),
    (&[], &[("EXTRA_TESTS", "1")], "!testme --extra-tests"),
    (&[], &[("STAGES", "extra")], "!testme --extra-tests"),
    (&[], &[("STAGES", "default extra"), ("EXTRA_TESTS", "0")], "!testme --extra-tests"),
    (&[], &[("STAGES", "default"), ("EXTRA_TESTS", "false")], "!testme"),
];

/// What result.json says of this command's options.
fn options(comment: &str) -> Value {
    let reading = command::read(comment, &Grammar::default());
    let Ok(command::Command::Test(asked)) = &reading.found[0].command else { panic!("{reading:?}") };
    let TestOptions { extra_tests, tiers, notebooks, spec, full, sha } = asked.clone();
    assert_eq!(sha, None);
    json!({"extra_tests": extra_tests, "tiers": tiers, "notebooks": notebooks, "spec": spec, "full": full})
}

pub fn is_one_request_in_four_ways(executor: &'static str) {
    let bench = match Bench::new(executor, tiny::TINY) {
        Ok(bench) => bench,
        Err(why) => return not_run(if executor == "container" { "engine" } else { executor }, &why),
    };
    fs::create_dir(bench.path("recipes/trial")).unwrap();
    fs::write(bench.path("recipes/trial/recipe.toml"), RECIPE).unwrap();
    let repo = bench.path("repo");
    fs::create_dir(&repo).unwrap();
    for (flags, variables, comment) in WAYS {
        let ran = bench.start_with(&repo, "trial", "usual", "", flags, variables).wait(120);
        let expected = options(comment);
        assert_eq!(ran.result["options"], expected, "{flags:?} {variables:?}: {}", ran.said);
        let is_extra = expected["extra_tests"] == true;
        let tiers = ran.result["tiers"].as_array().unwrap().len();
        assert_eq!(tiers, if is_extra { 2 } else { 1 }, "{flags:?} {variables:?}");
        // A red extra tier leaves the default verdict, and so the exit code, as it is.
        assert_eq!((ran.code, &ran.result["verdict"]), (0, &json!("pass")), "{}", ran.said);
        assert_eq!(ran.result["extra_verdict"], if is_extra { json!("fail") } else { Value::Null });
        assert_eq!(ran.said.contains("extra tests: fail"), is_extra, "{}", ran.said);
    }
    let wrong = Command::new(env!("CARGO_BIN_EXE_docent"))
        .args(["run", "--recipe", "trial"])
        .env("STAGES", "extra,slow")
        .current_dir(&repo)
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains(r#"there is no stage "slow": there are default, extra"#), "{said}");
}
