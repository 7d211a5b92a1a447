//! `docent serve` as a process of its own, as an operator starts it: a configuration file, credentials in files, signals.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The place of one installation: configuration, credentials, recipes, state. Gone when it is dropped.
pub struct Installation {
    folder: tempfile::TempDir,
    /// Where its pages are: `http://127.0.0.1:PORT`.
    pub pages: String,
}

/// A running daemon. Killed when it is dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Installation {
    /// `configuration` is what comes after the places, which are chosen here.
    pub fn new(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap();
        let pages = format!("http://{address}");
        let place = folder.path().display();
        let text = format!(
            "state_dir = \"{place}/state\"\nlisten = \"{address}\"\npublic_url = \"{pages}\"\n\
             credentials_dir = \"{place}/credentials\"\nrecipe_path = [\"{place}/recipes\"]\n{configuration}"
        );
        fs::write(folder.path().join("docent.toml"), text).unwrap();
        for below in ["credentials", "recipes"] {
            fs::create_dir(folder.path().join(below)).unwrap();
        }
        Self { folder, pages }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a credential where only its owner can read it.
    pub fn credential(&self, name: &str, secret: &str) {
        let file = self.path().join("credentials").join(name);
        let _ = fs::remove_file(&file);
        let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(file).unwrap();
        std::io::Write::write_all(&mut file, secret.as_bytes()).unwrap();
    }

    /// Adds a recipe of one file.
    pub fn recipe(&self, name: &str, text: &str) {
        let folder = self.path().join("recipes").join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("recipe.toml"), text).unwrap();
    }

    /// Starts the daemon.
    pub fn serve(&self) -> Daemon {
        let log = self.path().join("log");
        let to = fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_docent"))
            .args(["serve", "--config"])
            .arg(self.path().join("docent.toml"))
            .current_dir(self.path())
            .env_remove("CREDENTIALS_DIRECTORY")
            .stdin(Stdio::null())
            .stdout(to.try_clone().unwrap())
            .stderr(to)
            .spawn()
            .unwrap();
        Daemon { child, log }
    }

    /// The id under which this installation is known at the engine, once it has been started.
    pub fn instance(&self) -> String {
        let state = rusqlite::Connection::open(self.path().join("state/docent.db")).unwrap();
        state.query_row("SELECT value FROM setting WHERE name = 'instance'", [], |row| row.get(0)).unwrap()
    }
}

impl Daemon {
    /// All that it said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Holds it as it is; it does not notice.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Asks it to end, as systemd does, and waits.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits for it to end by itself, for a minute at most.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "docent does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
