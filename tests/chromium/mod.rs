//! A real Chromium, driven through its debugging pipe: JSON messages that end with a zero byte, on descriptors 3 and 4.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use base64::Engine;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

/// After this long a browser that does not answer is ended, and with it the test.
const PATIENCE: Duration = Duration::from_secs(180);

pub struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    session: String,
    next: u64,
    /// What the page did meanwhile.
    pub events: Vec<Value>,
    _watch: mpsc::Sender<()>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// None when there is no Chromium and none is required.
    pub fn start() -> Option<Self> {
        let is_there =
            Command::new("chromium").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if is_there.is_err() {
            let required = std::env::var("DOCENT_REQUIRE").unwrap_or_default();
            assert!(
                !required.split(',').any(|word| word == "browser"),
                "a browser is required and there is no chromium"
            );
            eprintln!("not run: no chromium");
            return None;
        }
        let profile = tempfile::tempdir().unwrap();
        let (to, from) = (profile.path().join("to"), profile.path().join("from"));
        mkfifo(&to, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        mkfifo(&from, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let child = Command::new("sh")
            .arg("-c")
            .arg(
                "exec chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                 --remote-debugging-pipe --user-data-dir=\"$1/profile\" 3<\"$1/to\" 4>\"$1/from\"",
            )
            .arg("sh")
            .arg(profile.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let to = OpenOptions::new().write(true).open(to).unwrap();
        let from = BufReader::new(File::open(from).unwrap());
        let (watch, over) = mpsc::channel::<()>();
        let process = nix::unistd::Pid::from_raw(child.id().cast_signed());
        std::thread::spawn(move || {
            if over.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL);
            }
        });
        let mut browser = Self {
            child,
            to,
            from,
            session: String::new(),
            next: 0,
            events: Vec::new(),
            _watch: watch,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Sends one message and waits for its answer.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.to.write_all(message.to_string().as_bytes()).unwrap();
        self.to.write_all(&[0]).unwrap();
        loop {
            let mut answer = Vec::new();
            self.from.read_until(0, &mut answer).unwrap();
            assert_eq!(answer.pop(), Some(0), "the browser ended while it was asked for {method}");
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            match answer["id"].as_u64() {
                Some(id) if id == self.next => {
                    assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                    return answer["result"].clone();
                }
                _ => self.events.push(answer),
            }
        }
    }

    /// The value of a JavaScript expression on the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub fn wait_for(&mut self, expression: &str) {
        let begin = Instant::now();
        while self.value(expression) != json!(true) {
            assert!(begin.elapsed() < Duration::from_secs(60), "never true: {expression}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Goes to a page and waits until all of it is there.
    pub fn open(&mut self, address: &str) {
        self.call("Page.navigate", json!({ "url": address }));
        let address = json!(address);
        self.wait_for(&format!("location.href === {address} && document.readyState === 'complete'"));
    }

    /// Makes the window as wide as a telephone or a desk, light or dark.
    pub fn look(&mut self, width: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// A picture of the whole page, for people, where `DOCENT_SCREENSHOTS` names a folder.
    pub fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("DOCENT_SCREENSHOTS") else { return };
        let answer = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(answer["data"].as_str().unwrap()).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
