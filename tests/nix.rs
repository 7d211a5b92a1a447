//! The NixOS module and the unit for everybody else: every file parses, the module is evaluated, and the two units
//! allow the same.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `nix-instantiate` without a store of its own; `None`, said as «not run», where there is no Nix.
fn nix(arguments: &[&str]) -> Option<std::process::Output> {
    let state = tempfile::tempdir().unwrap();
    let ran = Command::new("nix-instantiate")
        .args(["--store", "dummy://"])
        .args(arguments)
        .current_dir(root())
        .env("NIX_STATE_DIR", state.path())
        .env("HOME", state.path())
        .output();
    if ran.is_err() {
        support::not_run("nix", "no nix-instantiate (scripts/setup nix installs it)");
    }
    ran.ok()
}

/// What the module makes of the systems in `nix/tests/evaluate.nix`.
fn evaluated() -> Option<Value> {
    let ran = nix(&["--eval", "--strict", "--json", "nix/tests/evaluate.nix"])?;
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Some(serde_json::from_slice(&ran.stdout).unwrap())
}

#[test]
fn every_nix_file_parses() {
    let files: Vec<PathBuf> = walkdir::WalkDir::new(root().join("nix"))
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "nix"))
        .chain([root().join("flake.nix")])
        .collect();
    assert!(files.len() > 4, "{files:?}");
    for file in files {
        let Some(ran) = nix(&["--parse", file.to_str().unwrap()]) else { return };
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn the_module_makes_a_unit_that_gets_its_credentials_from_systemd() {
    let Some(systems) = evaluated() else { return };
    assert_eq!(systems["off"], json!({}), "a module that is not enabled does nothing");

    let docker = &systems["docker"];
    assert_eq!(docker["refused"], json!([]));
    let unit = &docker["unit"];
    let service = &unit["serviceConfig"];
    assert_eq!(service["LoadCredential"], json!(["example-watch:/run/secrets/docent-watch"]));
    assert_eq!(service["ExecStart"], "/stub/docent/bin/docent serve --config /stub/docent-checked.toml");
    assert_eq!(service["SupplementaryGroups"], json!(["docker"]));
    assert_eq!(service["Type"], "notify");
    assert!(unit["after"].as_array().unwrap().contains(&json!("docker.socket")), "{unit}");
    assert!(
        docker["check"]
            .as_str()
            .unwrap()
            .contains("/stub/docent/bin/docent check --config /stub/docent.toml"),
        "{docker}"
    );
    assert_eq!(systems["podman"]["unit"]["environment"]["DOCKER_HOST"], "unix:///run/podman/podman.sock");

    let unchecked = &systems["unchecked"];
    assert_eq!(
        unchecked["unit"]["serviceConfig"]["ExecStart"],
        "/stub/docent/bin/docent serve --config /stub/docent.toml"
    );
    let settings = json!({ "state_dir": "/var/lib/docent", "listen": "127.0.0.1:8440",
        "executor": { "kind": "sandbox", "slots": 2 }, "forge": [], "repository": [] });
    assert_eq!(unchecked["written"], settings, "defaults without what is not set");
}

#[test]
fn the_module_refuses_what_would_leak_or_not_work() {
    let Some(systems) = evaluated() else { return };
    for (system, about) in [
        ("credentialInStore", "in the store"),
        ("credentialRelative", "not absolute"),
        ("credentialMissing", "example-watch"),
        ("publishMissing", "example-publish"),
        ("nowhere", "no place"),
    ] {
        let refused = systems[system]["refused"].as_array().unwrap();
        assert_eq!(refused.len(), 1, "{system}: {refused:?}");
        assert!(refused[0].as_str().unwrap().contains(about), "{system}: {refused:?}");
    }
    for system in ["pathAsCredential", "noSlots", "unknownExecutor"] {
        assert_eq!(systems[system], json!(true), "{system} is refused by its type");
    }
}

#[test]
fn the_package_is_the_crate() {
    let Some(systems) = evaluated() else { return };
    assert_eq!(systems["package"]["pname"], env!("CARGO_PKG_NAME"));
    assert_eq!(systems["package"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(systems["package"]["meta"]["mainProgram"], env!("CARGO_PKG_NAME"));
}

#[test]
fn the_unit_for_everybody_else_allows_what_the_module_allows() {
    let Some(systems) = evaluated() else { return };
    for (system, drop_in) in [("docker", "docker.conf"), ("sandbox", "sandbox.conf")] {
        let text = ["docent.service", drop_in]
            .map(|name| std::fs::read_to_string(root().join("deploy").join(name)).unwrap())
            .concat();
        let mut ours = service_section(&text);
        let mut theirs = of_module(&systems[system]["unit"]["serviceConfig"]);
        // Where the program is and which credentials there are is each machine's own.
        for key in ["ExecStart", "LoadCredential"] {
            ours.remove(key);
            theirs.remove(key);
        }
        assert_eq!(ours, theirs, "{system}: deploy/ and nix/hardening.nix have drifted apart");
        for key in ["DynamicUser", "NoNewPrivileges", "PrivateTmp"] {
            assert_eq!(ours[key], ["true"], "{system}: {key}");
        }
        assert_eq!(ours["ProtectSystem"], ["strict"]);
        assert_eq!(ours["CapabilityBoundingSet"], Vec::<String>::new());
    }
}

/// Key → words of the module's `serviceConfig`.
fn of_module(service: &Value) -> BTreeMap<String, Vec<String>> {
    let words = |value: &Value| -> Vec<String> {
        match value {
            Value::Array(values) => values.iter().map(|value| value.to_string().replace('"', "")).collect(),
            Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
            other => vec![other.to_string()],
        }
    };
    let service = service.as_object().unwrap().iter();
    // NixOS writes nothing at all for an empty list.
    service
        .filter(|(_, value)| **value != json!([]))
        .map(|(key, value)| (key.clone(), words(value)))
        .collect()
}

/// Key → words of `[Service]`, as systemd reads a unit and its drop-ins: lists grow and an empty value begins them anew,
/// all else is replaced.
fn service_section(text: &str) -> BTreeMap<String, Vec<String>> {
    let lists = ["SystemCallFilter", "RestrictAddressFamilies", "SupplementaryGroups"];
    let mut section = "";
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let Some((key, value)) = line.split_once('=') else {
            section = line;
            continue;
        };
        if section != "[Service]" {
            continue;
        }
        let words = value.split_whitespace().map(str::to_owned);
        let entry = keys.entry(key.to_owned()).or_default();
        if value.is_empty() || !lists.contains(&key) {
            entry.clear();
        }
        entry.extend(words);
    }
    keys
}

#[test]
fn a_drop_in_changes_what_it_names() {
    let unit = "[Unit]\nAfter=x\n[Service]\nDelegate=no\nSystemCallFilter=@a\nSystemCallFilter=~@b\n";
    assert_eq!(service_section(unit)["SystemCallFilter"], ["@a", "~@b"]);
    let changed = service_section(&format!(
        "{unit}[Service]\nDelegate=true\nSystemCallFilter=\nSystemCallFilter=@c @d\n"
    ));
    assert_eq!(changed["SystemCallFilter"], ["@c", "@d"]);
    assert_eq!(changed["Delegate"], ["true"]);
    assert!(!changed.contains_key("After"));
}
