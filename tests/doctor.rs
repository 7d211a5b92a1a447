//! `docent doctor` as an operator runs it, on installations that are well and on others.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use docent::demo::forge::{EmbeddedForge, Right};
use serde_json::Value;

const WATCH: [&str; 2] = ["read:repository", "read:issue"];

/// An installation with these tokens, watching `repository`; what the doctor says of it, and its exit code.
fn doctor(forge: &EmbeddedForge, watch: &str, report: &str, repository: &str) -> (i32, Vec<Value>) {
    let place = tempfile::tempdir().unwrap();
    for (name, token) in [("watch", watch), ("report", report)] {
        let file = place.path().join(name);
        std::fs::write(&file, token).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let config = place.path().join("docent.toml");
    let text = format!(
        "state_dir = {:?}\ncredentials_dir = {:?}\n[executor]\nkind = \"container\"\n\
         socket = \"unix:///no/engine\"\n[[forge]]\nname = \"example\"\nkind = \"gitea\"\nurl = {:?}\n\
         watch_credential = \"watch\"\nreport_credential = \"report\"\nown_account = 3\n\
         [[repository]]\nforge = \"example\"\nname = {repository:?}\nallow = [\"mira:1\"]\n",
        place.path().join("state"),
        place.path(),
        forge.url(),
    );
    std::fs::write(&config, text).unwrap();
    said_by(&config)
}

fn said_by(config: &Path) -> (i32, Vec<Value>) {
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_docent"));
    let ran = doctor.args(["doctor", "--json", "--config"]).arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    let findings = serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (ran.status.code().unwrap(), findings)
}

/// The health of what is called so.
fn health<'a>(findings: &'a [Value], what: &str) -> (&'a str, &'a str) {
    let is_it = |finding: &&Value| finding["what"].as_str().is_some_and(|name| name.contains(what));
    let found = findings.iter().find(is_it).unwrap_or_else(|| panic!("no {what} in {findings:#?}"));
    (found["health"].as_str().unwrap(), found["how"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_what_keeps_an_installation_from_working() {
    let folder = tempfile::tempdir().unwrap();
    let forge = EmbeddedForge::start(&folder.path().join("forge"), 0).await.unwrap();
    tokio::task::block_in_place(|| {
        for login in ["mira", "watcher", "docent"] {
            forge.account(login);
        }
        forge.organisation("astro");
        forge.repository("astro", "notebooks", false);
        forge.permit("astro/notebooks", "docent", Right::Write);
        let (watch, report) = (forge.token("watcher", &WATCH), forge.token("docent", &["write:issue"]));

        let (code, well) = doctor(&forge, &watch, &report, "astro/notebooks");
        assert_eq!(health(&well, "watch credential").0, "good", "{well:#?}");
        assert_eq!(health(&well, "report credential").0, "good", "{well:#?}");
        // Nothing is wrong but the engine.
        let bad = |finding: &&Value| finding["health"] == "bad";
        assert_eq!(
            (code, well.iter().filter(bad).count(), health(&well, "executor").0),
            (3, 1, "bad"),
            "{well:#?}"
        );

        // A token that has lapsed answers nothing, whatever `own_account` says.
        let (code, dead) = doctor(&forge, &watch, "0123456789abcdef", "astro/notebooks");
        let (how_it_is, how) = health(&dead, "report credential");
        assert_eq!((code, how_it_is), (3, "bad"), "{dead:#?}");
        assert!(how.contains("401"), "{how}");

        let all = forge.token("watcher", &["all"]);
        let (code, writing) = doctor(&forge, &all, &report, "astro/notebooks");
        assert_eq!((code, health(&writing, "watch credential").0), (4, "refused"), "{writing:#?}");

        let (code, missing) = doctor(&forge, &watch, &report, "astro/notebook");
        assert_eq!((code, health(&missing, "astro/notebook").0), (3, "bad"), "{missing:#?}");
    });
    forge.stop().await;
}
