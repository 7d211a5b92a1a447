//! `docent defer` as people use it: the program, a real repository, and exit codes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use docent::git::Git;
use serde_json::{Value, json};

const TEST: &str = "extra/test_load.py::test_a_thousand_readers";
const CODE: &str = "def test_a_thousand_readers():\n    pass\n";
const REGISTER: &str = "# Deferred\r\n\r\n## Open deferrals\r\n\r\n### 2026-11-02 — load-test\r\n\r\n- [ ] **What:** a\r\n\
    - **Filed by:** b  \r\n- **Reason for deferral:** c\r\n\r\n## Closed deferrals";

/// A repository with a DEFERRED.md.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(desk.path("repo")).unwrap();
        desk.git(&["init", "-q", "-b", "main", "."]);
        desk.write("repo/DEFERRED.md", REGISTER);
        desk.commit();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    fn register(&self) -> String {
        fs::read_to_string(self.path("repo/DEFERRED.md")).unwrap()
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=mira", "-c", "user.email=mira@example.org"]).args(args);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        let output = command.current_dir(self.path("repo")).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "test"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn defer(&self, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_docent"));
        command.arg("defer").args(args).current_dir(self.path("repo"));
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    fn result(&self, sha: Option<&str>, verdict: &str, outcome: &str) {
        let document = json!({
            "schema": "docent.result.1", "run": 7, "phase": "COMPLETED", "head_sha": sha, "extra_verdict": verdict,
            "tiers": [{"is_opt_in": true, "tests": [{"name": TEST, "outcome": outcome}]}],
        });
        self.write("result.json", &document.to_string());
    }

    fn close(&self) -> (i32, String) {
        self.defer(&["close", "load-test", "--test", TEST, "--result", "../result.json"])
    }
}

#[test]
fn what_is_put_off_is_listed_checked_and_added() {
    let desk = Desk::new();
    assert_eq!(desk.defer(&["check"]), (0, "DEFERRED.md: 1 open, 0 closed; no mistake\n".to_owned()));
    assert_eq!(desk.defer(&["list"]), (0, "2026-11-02  open    load-test  a\n".to_owned()));
    assert_eq!(desk.defer(&["list", "--closed"]), (0, String::new()));

    let add = ["add", "--slug", "soak", "--what", "`x` and\n- y", "--filed-by", "me", "--reason", "time"];
    let added = desk.defer(&add);
    assert_eq!(added, (0, "DEFERRED.md: added soak\n".to_owned()));
    let text = desk.register();
    let (before, after) = REGISTER.split_at(REGISTER.find("\r\n## Closed").unwrap());
    let lines = text.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).unwrap();
    assert!(
        lines.starts_with("\r\n### 2") && lines.contains("— soak\r\n\r\n- [ ] **What:** `x` and - y\r\n"),
        "{lines:?}"
    );
    assert_eq!(
        desk.defer(&add),
        (2, "docent: DEFERRED.md: there is an entry soak already, in line 11\n".to_owned())
    );
    assert_eq!(desk.register(), text, "what is refused changes nothing");

    let (code, said) = desk.defer(&["list", "--all", "--json"]);
    let listed: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, listed.as_array().unwrap().len()), (0, 2));
    assert_eq!((&listed[0]["slug"], &listed[0]["line"]), (&json!("load-test"), &json!(5)));
    assert_eq!((&listed[1]["what"], &listed[1]["tests"]), (&json!("`x` and - y"), &json!(["x"])));

    desk.write("repo/broken.md", &REGISTER.replace("[ ] ", "").replace("11-02", "11-32"));
    let (code, said) = desk.defer(&["check", "broken.md"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("broken.md:5:1: 2026-11-32 is no day\nbroken.md:7:1: «What» has no box"), "{said}");
    assert_eq!(desk.defer(&["list", "--file", "nowhere.md"]).0, 2);
    assert_eq!(desk.defer(&["add", "--slug", "a"]).0, 2, "the rest is missing");
}

#[test]
fn an_entry_is_closed_by_three_proofs_and_with_one_line() {
    let desk = Desk::new();
    let before = desk.commit();
    desk.result(Some(&before), "pass", "passed");
    let is_refused = |words: &[&str]| {
        let (code, said) = desk.close();
        assert_eq!(code, 4, "{said}");
        assert!(said.contains("load-test stays open") && words.iter().all(|it| said.contains(it)), "{said}");
        assert_eq!(said.matches("missing: ").count(), words.len(), "{said}");
        assert_eq!(desk.register(), REGISTER);
    };
    // The file is there, but nobody has committed it.
    desk.write("repo/extra/test_load.py", CODE);
    is_refused(&["missing: the test at HEAD: there is no file extra/test_load.py in the committed tree"]);
    let ported = desk.commit();
    let (code, said) = desk.defer(&["close", "load-test", "--test", TEST]);
    assert_eq!((code, said.matches("missing: ").count()), (4, 2), "{said}");
    assert!(said.contains("there is no run to look at. `docent run --extra-tests"), "{said}");

    desk.result(Some(&ported), "fail", "passed");
    is_refused(&["a green run of the extra tests: run 7: the verdict of its extra tests is fail"]);
    desk.result(Some(&ported), "pass", "skipped");
    is_refused(&["run 7: the test is skipped in it"]);
    desk.result(None, "pass", "passed");
    is_refused(&["found as an extra test: no run of HEAD", "it ran a folder that was not exactly a commit"]);
    desk.result(Some("1111111111111111111111111111111111111111"), "pass", "passed");
    is_refused(&["found as an extra test", "its commit 1111111 is neither HEAD nor before it"]);
    desk.git(&["checkout", "-q", "-b", "other"]);
    let beside = desk.commit();
    desk.git(&["checkout", "-q", "main"]);
    desk.result(Some(&beside), "pass", "passed");
    is_refused(&["found as an extra test", "is neither HEAD nor before it"]);
    desk.write("result.json", "{}");
    assert_eq!(desk.close().0, 2);
    desk.write("repo/extra/test_load.py", "def test_other(): pass\n");
    let renamed = desk.commit();
    desk.result(Some(&renamed), "pass", "passed");
    is_refused(&[
        "extra/test_load.py is committed, and extra/test_load.py::test_a_thousand_readers is not in it",
    ]);

    // HEAD has moved on since the green run.
    desk.write("repo/extra/test_load.py", CODE);
    let green = desk.commit();
    desk.commit();
    desk.result(Some(&green), "pass", "passed");
    let (code, said) = desk.close();
    assert_eq!(code, 0, "{said}");
    let how = format!("`{TEST}` passed in run 7 of the extra tests at {}", &green[..7]);
    assert_eq!(said, format!("DEFERRED.md: closed load-test: {how}\n"));
    let text = desk.register();
    let line = text.lines().find(|line| line.starts_with("- **Closed:** 2")).unwrap();
    assert!(line.ends_with(&format!(": {how}")), "{line}");
    assert_eq!(text.replacen(&format!("{line}\r\n"), "", 1).replacen("[x]", "[ ]", 1), REGISTER);
    assert_eq!(desk.git(&["diff", "--numstat"]), "2\t1\tDEFERRED.md");

    assert_eq!(desk.close(), (2, "docent: DEFERRED.md: load-test is closed already (line 5)\n".to_owned()));
    assert_eq!(desk.defer(&["close", "load", "--test", TEST]).0, 2, "there is no such entry");
    assert_eq!(desk.defer(&["check"]), (0, "DEFERRED.md: 0 open, 1 closed; no mistake\n".to_owned()));
}

#[test]
fn without_a_repository_nothing_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("DEFERRED.md"), REGISTER).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_docent"));
    command.args(["defer", "close", "load-test", "--test", TEST]).current_dir(folder.path());
    let output = command.env("GIT_CEILING_DIRECTORIES", folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), said.contains("no committed tree to look at")),
        (Some(2), true),
        "{said}"
    );
}

/// What spoils a folder.
type Change = fn(&Path);

/// A copy without `.git`, as `docent run` makes one.
fn copy(desk: &Desk, name: &str) -> PathBuf {
    let to = desk.path(name);
    let done = Command::new("cp").arg("-a").arg(desk.path("repo")).arg(&to).status().unwrap();
    assert!(done.success());
    fs::remove_dir_all(to.join(".git")).unwrap();
    to
}

#[tokio::test]
async fn a_folder_is_a_commit_only_if_it_is_so_byte_for_byte() {
    let desk = Desk::new();
    desk.write("repo/extra/test_load.py", CODE);
    desk.write("repo/run.sh", "true\n");
    fs::set_permissions(desk.path("repo/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("run.sh", desk.path("repo/link")).unwrap();
    // What the repository configures is not obeyed: this filter would make other bytes the same.
    desk.write("repo/.gitattributes", "*.txt filter=same\n");
    desk.write("repo/a.txt", "a\n");
    desk.git(&["config", "filter.same.clean", "echo same"]);
    let sha = desk.commit();
    let local = Git::default().local(&desk.path("repo")).await.unwrap();
    assert_eq!(local.head().as_str(), sha);
    assert_eq!(local.file("extra/test_load.py").await.as_deref(), Some(CODE.as_bytes()));
    assert_eq!(local.file("extra").await, None);
    assert_eq!(local.file("a.txt").await.as_deref(), Some("same\n".as_bytes()));

    desk.write("repo/a.txt", "same\n");
    assert!(local.is_exactly(&copy(&desk, "same")).await.unwrap());
    let changes: [(&str, Change); 6] = [
        ("a byte", |folder| fs::write(folder.join("a.txt"), "sam3\n").unwrap()),
        ("one more", |folder| fs::write(folder.join("more"), "").unwrap()),
        ("one less", |folder| fs::remove_file(folder.join("a.txt")).unwrap()),
        ("mode", |folder| {
            fs::set_permissions(folder.join("run.sh"), fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("link", |folder| {
            fs::remove_file(folder.join("link")).unwrap();
            std::os::unix::fs::symlink("a.txt", folder.join("link")).unwrap();
        }),
        ("file for link", |folder| {
            fs::remove_file(folder.join("link")).unwrap();
            fs::write(folder.join("link"), "run.sh").unwrap();
        }),
    ];
    for (what, change) in changes {
        let folder = copy(&desk, what);
        change(&folder);
        assert!(!local.is_exactly(&folder).await.unwrap(), "{what}");
    }
    let head = local.head().clone();
    assert!(local.has_in_history(&head).await);
    assert!(Git::default().local(desk.folder.path()).await.is_err(), "there is no repository");
}
