//! `docent serve` as a process of its own, against the embedded forge in this one, watched through its database.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use docent::demo::forge::EmbeddedForge;
use docent::demo::sample::{self, Sample};
use secrecy::ExposeSecret;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// Two tiers that take a moment.
const RECIPE: &str = r#"
name = "slow"
detect = []
image = "docent-test/tiny:1"
[limits]
memory = "64MiB"
disk = "64MiB"
[[tier]]
name = "first"
run = ["sh", "-c", "sleep 0.3; echo hi"]
environment = "write"
gate = true
[[tier]]
name = "second"
run = ["sh", "-c", "sleep 0.3; echo hi"]
environment = "read"
"#;

/// docent's state as its database shows it at one moment.
#[derive(Debug, Default)]
pub struct Sight {
    /// Keys of open actions.
    pub open: Vec<String>,
    /// All runs.
    pub runs: Vec<Value>,
    /// Commands that were seen.
    pub comments: Vec<Value>,
    /// The forge was polled at least once.
    pub has_polled: bool,
}

impl Sight {
    pub fn is_open(&self, start: &str) -> bool {
        self.open.iter().any(|key| key.starts_with(start))
    }

    /// Whether the executor has taken the first attempt of a tier.
    pub fn has_started(&self, tier: &str) -> bool {
        let tiers = self.runs.iter().filter_map(|run| run["tiers"].as_array()).flatten();
        tiers
            .filter(|it| it["tier"]["name"] == tier)
            .any(|it| it["attempts"][0]["started_at"].is_string() && it["attempts"][0]["closed_at"].is_null())
    }

    pub fn has_ended(&self) -> bool {
        !self.runs.is_empty() && self.runs.iter().all(|run| run["ended_at"].is_string())
    }
}

pub struct Served {
    pub forge: EmbeddedForge,
    pub sample: Sample,
    pub folder: tempfile::TempDir,
    child: RefCell<Option<Child>>,
    /// Length of the log when the present docent was started.
    log_before: Cell<usize>,
}

impl Served {
    /// Everything ready, and docent running and watching. `images` is where a sandbox finds its root filesystems.
    pub fn start(executor: &str, images: Option<&Path>) -> Self {
        Self::start_at(&format!("kind = \"{executor}\""), images)
    }

    /// The same, with this table for the executor. `ROOT` in it stands for this docent's own folder.
    pub fn start_at(executor: &str, images: Option<&Path>) -> Self {
        Self::start_with(executor, images, RECIPE)
    }

    /// The same, with this recipe, which is called `slow`.
    pub fn start_with(executor: &str, images: Option<&Path>, recipe: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let forge = runtime.block_on(EmbeddedForge::start(&folder.path().join("forge"), 0)).unwrap();
        let sample = sample::sample(&forge);
        let served = Self { forge, sample, folder, child: RefCell::default(), log_before: Cell::new(0) };
        served.configure(executor, recipe);
        if let Some(images) = images {
            std::os::unix::fs::symlink(images, served.state().join("images")).unwrap();
        }
        served.raise();
        served.until("first poll", |served| served.look().is_some_and(|sight| sight.has_polled));
        served
    }

    fn configure(&self, executor: &str, recipe: &str) {
        let root = self.folder.path();
        for folder in ["state", "credentials", "recipes/slow"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::write(root.join("recipes/slow/recipe.toml"), recipe).unwrap();
        for (name, token) in [("watch", &self.sample.watch_token), ("report", &self.sample.report_token)] {
            let file = root.join("credentials").join(name);
            std::fs::write(&file, token.expose_secret()).unwrap();
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let text = format!(
            r#"
            state_dir = "{root}/state"
            credentials_dir = "{root}/credentials"
            recipe_path = ["{root}/recipes"]
            listen = "127.0.0.1:0"
            [executor]
            {executor}
            [limits]
            report_interval = "1s"
            [[forge]]
            name = "demo"
            kind = "gitea"
            url = "{url}"
            poll_interval = "1s"
            watch_credential = "watch"
            report_credential = "report"
            own_account = {reporter}
            [[repository]]
            forge = "demo"
            name = "{repository}"
            recipe = "slow"
            allow = ["mira:{maintainer}"]
            "#,
            executor = executor.replace("ROOT", &root.display().to_string()),
            root = root.display(),
            url = self.forge.url(),
            reporter = self.sample.reporter,
            repository = self.sample.repository,
            maintainer = self.sample.maintainer,
        );
        std::fs::write(root.join("docent.toml"), text).unwrap();
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Starts docent.
    pub fn raise(&self) {
        self.log_before.set(self.log().len());
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_docent"))
            .arg("serve")
            .arg("--config")
            .arg(self.folder.path().join("docent.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        assert!(self.child.replace(Some(child)).is_none(), "docent is running already");
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Whether the present docent has said that it begins to watch.
    pub fn is_ready(&self) -> bool {
        self.log()[self.log_before.get()..].contains(" ready ")
    }

    #[allow(dead_code, reason = "not every test program looks at it")]
    pub fn overview(&self) -> String {
        self.page("/")
    }

    /// What a page says. Pages are where the log of the present docent says.
    #[allow(dead_code, reason = "not every test program looks at one")]
    pub fn page(&self, path: &str) -> String {
        use std::io::{Read, Write};
        let log = self.log();
        let address = log.rsplit_once("http://").expect("docent is ready").1;
        let address: String =
            address.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
        let mut connection = std::net::TcpStream::connect(&address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    /// `kill -9`.
    pub fn kill(&self) {
        let mut child = self.child.take().expect("docent is running");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks docent to end, and gives its exit code.
    pub fn stop(&self) -> Option<i32> {
        let mut child = self.child.take().expect("docent is running");
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        child.wait().unwrap().code()
    }

    /// Writes a comment, clearly later than all that was before.
    pub fn say(&self, body: &str) {
        self.forge.skew_clock(docent::core::time::Duration::seconds(2));
        self.forge.comment(self.sample.repository, self.sample.pull, sample::MAINTAINER, body);
        self.forge.skew_clock(docent::core::time::Duration::seconds(4));
    }

    /// What the database says; none while it cannot be read.
    pub fn look(&self) -> Option<Sight> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let mut database =
            rusqlite::Connection::open_with_flags(self.state().join("docent.db"), flags).ok()?;
        // All of it at one moment.
        let database = database.transaction().ok()?;
        let column = |sql: &str| -> Option<Vec<String>> {
            let mut statement = database.prepare(sql).ok()?;
            let rows = statement.query_map([], |row| row.get(0)).ok()?;
            rows.collect::<Result<_, _>>().ok()
        };
        let documents = |sql: &str| -> Option<Vec<Value>> {
            column(sql)?.iter().map(|text| serde_json::from_str(text).ok()).collect()
        };
        Some(Sight {
            open: column("SELECT key FROM outbox")?,
            runs: documents("SELECT document FROM run ORDER BY id")?,
            comments: documents("SELECT document FROM comment")?,
            has_polled: !column("SELECT forge FROM poll WHERE cursor IS NOT NULL")?.is_empty(),
        })
    }

    /// The random id of this installation.
    pub fn instance(&self) -> String {
        let database = rusqlite::Connection::open(self.state().join("docent.db")).unwrap();
        database.query_row("SELECT value FROM setting WHERE name = 'instance'", [], |row| row.get(0)).unwrap()
    }

    #[track_caller]
    pub fn until(&self, what: &str, is_there: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_there(self) {
            if Instant::now() >= end {
                panic!("there is still no {what}\n{:#?}\n{}", self.look(), self.log());
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// What is left below the state that should not be.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let folders = ["work", "logs"].map(|name| self.state().join(name));
        folders.iter().flat_map(std::fs::read_dir).flatten().flatten().map(|entry| entry.path()).collect()
    }

    /// Processes, whoever started them, that know of this place.
    pub fn processes(&self) -> Vec<String> {
        let place = self.folder.path().display().to_string();
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let arguments = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        arguments
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(&place))
            .collect()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
