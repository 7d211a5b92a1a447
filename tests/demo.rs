//! `docent demo` as a new user meets it: a process, two pages, a real browser. Everything in it is real: the forge answers
//! over HTTP, commits travel by git, notebooks run in an executor.

mod chromium;
mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use chromium::Browser;
use docent::store::Store;
use serde_json::{Value, json};
use support::not_run;

/// Two cores carry one demo at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
/// The first demo of a machine makes an image.
const PATIENCE: Duration = Duration::from_secs(900);
/// The demo polls every two seconds; the rest is for a machine that is busy.
const POLL_AND_SLACK: Duration = Duration::from_secs(2 + 10);
/// A step has ten seconds after TERM.
const CANCELLED_WITHIN: Duration = Duration::from_secs(12);

fn succeeds(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    match output.map_err(|error| format!("{program}: {error}"))? {
        output if output.status.success() => Ok(()),
        output => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn has_engine() -> Result<(), String> {
    succeeds("docker", &["version"])
}

fn has_sandbox() -> Result<(), String> {
    succeeds("bwrap", &["--unshare-all", "--ro-bind", "/", "/", "true"])
}

/// A place for all that a demo keeps in files, with the images that this machine has: making them takes a minute.
fn scratch() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    // Sandboxes of root run as nobody, who must be able to pass.
    std::fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    for folder in ["tmp", "docent"] {
        std::fs::create_dir(scratch.path().join(folder)).unwrap();
    }
    let home =
        std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).unwrap_or_else(|| match nix::unistd::geteuid()
            .is_root()
        {
            true => PathBuf::from("/var/cache"),
            false => PathBuf::from(std::env::var_os("HOME").unwrap()).join(".local/state"),
        });
    let images = home.join("docent/images");
    std::fs::create_dir_all(&images).unwrap();
    std::os::unix::fs::symlink(images, scratch.path().join("docent/images")).unwrap();
    scratch
}

/// A demo in a process of its own. All that it keeps in files is below `scratch`.
struct Demo {
    process: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Demo {
    fn start(scratch: &Path, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_docent"))
            .args(["demo", "--port", "0"])
            .args(arguments)
            .env("TMPDIR", scratch.join("tmp"))
            .env("XDG_STATE_HOME", scratch)
            .env_remove("DOCENT_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(process.stdout.take().unwrap()), Box::new(process.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self { process, lines, said: Vec::new() }
    }

    /// The rest of the first line that begins so.
    fn told(&mut self, beginning: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("never said {beginning:?}: {:#?}", self.said));
            self.said.push(line.clone());
            if let Some(rest) = line.trim_start().strip_prefix(beginning) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Its exit code, and everything that it said.
    fn end(&mut self) -> (Option<i32>, String) {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.said.push(line);
        }
        (self.process.wait().unwrap().code(), self.said.join("\n"))
    }

    fn interrupt(&self) {
        let process = nix::unistd::Pid::from_raw(self.process.id().cast_signed());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGINT).unwrap();
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if self.process.try_wait().ok().flatten().is_none() {
            drop(self.process.kill());
            drop(self.process.wait());
        }
    }
}

async fn once(executor: &str, what: &str, is_there: Result<(), String>) {
    if let Err(why) = is_there {
        return not_run(what, &why);
    }
    let _alone = ALONE.lock().await;
    let scratch = scratch();
    let (code, said) = Demo::start(scratch.path(), &["--once", "--executor", executor]).end();
    assert_eq!(code, Some(1), "the sample has a notebook that fails\n{said}");
    for expected in [
        "### ✘ fail: 1 new failure, 1 passed, 1 skipped",
        "#### ✘ `notebooks/flat_field.ipynb` — failed · new failure",
        "cell 4 (code cell 2, In [2]) under `Normalise the flat field`",
        "`KeyError: 'flat_field'`",
        "- `notebooks/light_curve.ipynb` passed",
        "- `notebooks/survey_archive.ipynb` skipped",
        "`!testme` by `mira`: accepted as run 1",
    ] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
    for noise in ["WARN", "INFO", "<!--"] {
        assert!(!said.contains(noise), "{noise} in\n{said}");
    }
    nothing_is_left(scratch.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn once_in_containers_fails_for_the_notebook_that_fails() {
    once("container", "engine", has_engine()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_in_the_sandbox_fails_for_the_notebook_that_fails() {
    once("sandbox", "sandbox", has_sandbox()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_asks_follows_stops_and_reads_and_nothing_is_left() {
    let executor = match (has_engine(), has_sandbox()) {
        (Ok(()), _) => "container",
        (_, Ok(())) => "sandbox",
        (Err(no_engine), Err(no_sandbox)) => {
            return not_run("sandbox", &format!("no place to run: {no_engine}; {no_sandbox}"));
        }
    };
    let _alone = ALONE.lock().await;
    let scratch = scratch();
    let mut demo = Demo::start(scratch.path(), &["--executor", executor]);
    let pull = demo.told("the pull request");
    let pages = demo.told("docent's pages");
    let instance = instance(scratch.path()).await;
    wait_for_a_poll(&pages).await;

    let Some(mut browser) = Browser::start() else {
        demo.interrupt();
        demo.end();
        return;
    };
    browser.look(1200, "light");
    browser.open(&pull);
    write(&mut browser, "!testme");
    let asked = Instant::now();
    run(&pages, 1, |_| true).await;
    assert!(asked.elapsed() < POLL_AND_SLACK, "a run only after {:?}", asked.elapsed());

    browser.open(&format!("{pages}/runs/1"));
    browser.value("window.isTheSame = true");
    // What comes next may be in the same log, or in that of the next tier if this one has ended meanwhile.
    let log = "(document.querySelector('#live-log pre')?.textContent ?? '')";
    browser.wait_for(&format!("{log} !== ''"));
    let seen = browser.value(log);
    browser.wait_for(&format!("{log} !== '' && {log} !== {seen}"));
    assert_eq!(browser.value("window.isTheSame"), true, "the log grew without the page being loaded again");
    browser.open(&pull);
    write(&mut browser, "!cancel");
    let asked = Instant::now();
    let stopped = run(&pages, 1, has_ended).await;
    assert!(asked.elapsed() < CANCELLED_WITHIN, "stopped only after {:?}", asked.elapsed());
    assert_eq!(stopped["phase"], "CANCELLED");
    nothing_is_left_at_the_engine(executor, &instance);
    nothing_of_a_run_is_left(scratch.path());
    browser.wait_for("document.body.textContent.includes('stopping run 1')");
    drop(browser);

    // What was stopped is no reason to do less when asked again, and the page shows the report without being loaded anew.
    let Some(mut browser) = Browser::start() else { return };
    browser.look(1000, "light");
    browser.open(&pull);
    write(&mut browser, "!testme");
    browser.value("window.isTheSame = true");
    let report = run(&pages, 2, has_ended).await;
    assert_eq!((&report["phase"], &report["verdict"]), (&json!("COMPLETED"), &json!("fail")));
    browser.wait_for("document.querySelector('#comments').textContent.includes('✘ fail')");
    assert_eq!(
        browser.value("document.querySelectorAll('#comments h3').length"),
        1,
        "one comment a pull request"
    );
    assert_eq!(
        browser.value("window.isTheSame"),
        true,
        "the report came without the page being loaded again"
    );
    browser.wait_for("document.querySelector('#comments').textContent.includes('took')");
    browser.picture("demo-pull");
    picture_of_report(&mut browser);
    comes_to_the_same_elsewhere(&report, executor);

    // Whether it failed before the change was seen by a run of docent's own.
    run(&pages, 3, has_ended).await;
    write(&mut browser, "!testme --full");
    run(&pages, 4, |run| run["phase"] == "AVAILABLE").await;
    demo.interrupt();
    let (code, said) = demo.end();
    assert_eq!(code, Some(0), "{said}");
    nothing_is_left(scratch.path());
    nothing_is_left_at_the_engine(executor, &instance);
}

/// The command of a failure, as somebody pastes it into a terminal, with nothing of the first docent but its page.
fn comes_to_the_same_elsewhere(report: &Value, executor: &str) {
    let failed = |document: &Value| {
        let tiers = document["tiers"].as_array().unwrap().iter();
        let tests = tiers.flat_map(|tier| tier["tests"].as_array().unwrap());
        let mut bad = tests.filter(|test| test["outcome"] == "failed");
        let test = bad.next().unwrap_or_else(|| panic!("nothing failed: {document:#}")).clone();
        assert_eq!(bad.next(), None);
        test
    };
    let (first, elsewhere) = (failed(report), scratch());
    let output = elsewhere.path().join("tmp/result");
    let command = first["reproduce"].as_str().unwrap();
    assert!(command.starts_with("docent run http://127.0.0.1:"), "{command}");
    let programs = Path::new(env!("CARGO_BIN_EXE_docent")).parent().unwrap();
    let ran = Command::new("sh")
        .arg("-c")
        .arg(format!("{command} --forget --executor {executor} --output {}", output.display()))
        .current_dir(elsewhere.path())
        .env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()))
        .env("TMPDIR", elsewhere.path().join("tmp"))
        .env("XDG_STATE_HOME", elsewhere.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{command}: {said}");
    let document: Value =
        serde_json::from_slice(&std::fs::read(output.join("result.json")).unwrap()).unwrap();
    let again = failed(&document);
    for part in ["name", "outcome", "class", "message", "cell", "exception"] {
        assert_eq!(again[part], first[part], "{part}: {said}");
    }
    assert_eq!(document["verdict"], report["verdict"], "{said}");
    drop(std::fs::remove_dir_all(&output));
    nothing_is_left(elsewhere.path());
}

/// Writes a comment as a person does: into the field, then a click on the button.
fn write(browser: &mut Browser, text: &str) {
    let count = "document.querySelectorAll('#comments article').length";
    let before = browser.value(count).as_u64().unwrap();
    browser.value("document.querySelector('textarea').focus()");
    browser.call("Input.insertText", json!({ "text": text }));
    let place = browser.value(
        "(() => { const b = document.querySelector('form button'); b.scrollIntoView(); \
         const r = b.getBoundingClientRect(); return { x: r.x + r.width / 2, y: r.y + r.height / 2 }; })()",
    );
    for kind in ["mousePressed", "mouseReleased"] {
        let (x, y) = (&place["x"], &place["y"]);
        let click = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
        browser.call("Input.dispatchMouseEvent", click);
    }
    browser.wait_for(&format!("document.readyState === 'complete' && {count} > {before}"));
}

/// For `docs/report.png`: the comment alone.
fn picture_of_report(browser: &mut Browser) {
    let Some(folder) = std::env::var_os("DOCENT_SCREENSHOTS") else { return };
    let clip = browser.value(
        "(() => { const r = [...document.querySelectorAll('#comments article')] \
         .find((a) => a.querySelector('h3')).getBoundingClientRect(); \
         return { x: r.x + scrollX - 8, y: r.y + scrollY - 8, width: r.width + 16, height: r.height + 16, scale: 1 }; })()",
    );
    let answer =
        browser.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true, "clip": clip }));
    let bytes =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, answer["data"].as_str().unwrap());
    std::fs::write(Path::new(&folder).join("report.png"), bytes.unwrap()).unwrap();
}

fn client() -> reqwest::Client {
    // A second test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// A comment counts for a head that docent had seen in an earlier second.
async fn wait_for_a_poll(pages: &str) {
    let client = client();
    support::eventually("poll", || async {
        let health: Value = client.get(format!("{pages}/health")).send().await.ok()?.json().await.ok()?;
        let age = health["polls"].get(0)?["age_seconds"].as_u64();
        age.filter(|age| *age >= 1).map(|_| ())
    })
    .await;
}

fn has_ended(run: &Value) -> bool {
    ["COMPLETED", "CANCELLED", "FAILED"].contains(&run["phase"].as_str().unwrap_or_default())
}

/// What docent says of a run, once that is so.
async fn run(pages: &str, number: u64, is_so: impl Fn(&Value) -> bool) -> Value {
    let client = client();
    let end = Instant::now() + PATIENCE;
    let mut last = Value::Null;
    while Instant::now() < end {
        let answer = client.get(format!("{pages}/runs/{number}/result.json")).send().await;
        if let Ok(answer) = answer.and_then(reqwest::Response::error_for_status) {
            last = answer.json().await.unwrap();
            if is_so(&last) {
                return last;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("run {number} stays as it is: {last}")
}

/// By what its things can be told from those of others at the same engine.
async fn instance(scratch: &Path) -> String {
    let demo = std::fs::read_dir(scratch.join("docent")).unwrap().map(|entry| entry.unwrap().path());
    let demo = demo.into_iter().find(|path| path.join("docent.db").exists()).unwrap();
    let store = Store::open(&demo.join("docent.db")).unwrap();
    store.setting("instance", || panic!("a demo that runs has a name")).await.unwrap()
}

/// No workspace and no growing log, while docent is still there.
fn nothing_of_a_run_is_left(scratch: &Path) {
    let places = walkdir::WalkDir::new(scratch.join("docent")).max_depth(2).into_iter().flatten();
    let places = places.filter(|place| ["work", "logs"].iter().any(|name| place.path().ends_with(name)));
    let left = places.flat_map(|place| std::fs::read_dir(place.path()).unwrap().flatten());
    let left: Vec<_> = left.map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// No directory, and no process that has one of them in its command.
fn nothing_is_left(scratch: &Path) {
    let below = |folder: &str| std::fs::read_dir(scratch.join(folder)).into_iter().flatten();
    let left = below("tmp").chain(below("docent")).map(|entry| entry.unwrap().path());
    // Images stay, for the next demo.
    let left: Vec<_> =
        left.filter(|path| !path.ends_with("docent/images") && !path.ends_with("docent/recipes")).collect();
    assert!(left.is_empty(), "{left:?}");
    let place = scratch.to_string_lossy().into_owned();
    let commands = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let command = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).replace('\0', " "))
    });
    let left: Vec<String> = commands.filter(|command| command.contains(&place)).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn nothing_is_left_at_the_engine(executor: &str, instance: &str) {
    if executor != "container" {
        return;
    }
    let label = format!("label=docent.instance={instance}");
    for list in [&["ps", "--all", "--quiet"][..], &["volume", "ls", "--quiet"], &["network", "ls", "--quiet"]]
    {
        let output = Command::new("docker").args(list).args(["--filter", &label]).output().unwrap();
        assert!(output.status.success(), "{list:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty(), "{list:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
