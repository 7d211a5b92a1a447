//! A place to run `docent run` in, with secrets lying all around it, and what is left afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use docent::executor::container::{self, Container};
use docent::executor::rootfs;
use docent::executor::sandbox::{self, Sandbox};
use serde_json::Value;

use crate::hostile::{processes, tiny};

/// Several of them are at work at once.
static BENCHES: AtomicUsize = AtomicUsize::new(10);

pub const NOTEBOOK: &str = "docent/notebook:2";

/// Where the fixture is.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/fixture").join(name)
}

/// One installation of docent, with one executor.
pub struct Bench {
    executor: &'static str,
    pub scratch: tempfile::TempDir,
    /// A number of seconds by which this bench's processes are found among all others.
    pub mark: String,
}

/// A run that has ended.
pub struct Ran {
    pub code: i32,
    /// What docent wrote to its terminal.
    pub said: String,
    pub result: Value,
    pub output: PathBuf,
    attempt: String,
    /// What it called itself at the engine.
    instance: Option<String>,
}

/// A run that goes on.
pub struct Running {
    child: Child,
    is_in_engine: bool,
    /// An attempt that no other docent of this machine has.
    attempt: String,
    said: PathBuf,
    output: PathBuf,
}

impl Bench {
    /// With this image in place, or why there is none.
    pub fn new(executor: &'static str, image: &str) -> Result<Self, String> {
        let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
        let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let bench = Self {
            executor,
            mark: format!("{}{:02}", std::process::id(), BENCHES.fetch_add(1, Ordering::Relaxed)),
            scratch,
        };
        for folder in ["state", "home/.docker", "credentials", "recipes"] {
            fs::create_dir_all(bench.path(folder)).unwrap();
        }
        bench.hide("state/secret", "state");
        bench.hide("credentials/watch", "credentials");
        bench.hide("home/.docker/config.json", "docker");
        bench.hide("home/.netrc", "netrc");
        match executor {
            "container" => runtime.block_on(image_in_engine(image))?,
            _ => bench.image_in_state(image)?,
        }
        Ok(bench)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// What must not be found where anybody can read it. No letter but of `[a-z0-9-]`, so that a hunter finds it whole.
    pub fn canary(&self, place: &str) -> String {
        format!("canary-{place}-{}", self.mark)
    }

    /// A file with a line that must not be found.
    fn hide(&self, name: &str, place: &str) {
        fs::write(self.path(name), format!("\n\"{}\"\n", self.canary(place))).unwrap();
    }

    fn image_in_state(&self, image: &str) -> Result<(), String> {
        Sandbox::connect(sandbox::Settings::new("hostile", self.path("state")))
            .map_err(|error| error.to_string())?;
        let made = if image == tiny::TINY { tiny::ensure_root()? } else { ensure_notebook_root()? };
        let place = rootfs::directory(&self.path("state"), image);
        fs::create_dir_all(place.parent().unwrap()).map_err(|error| error.to_string())?;
        // Links where that can be: nothing writes into a root filesystem.
        let copied = ["-al", "-a"].iter().any(|how| {
            let copy = Command::new("cp").arg(how).args([&made, &place]).stderr(Stdio::null()).status();
            copy.is_ok_and(|status| status.success())
        });
        if copied { Ok(()) } else { Err(format!("{} cannot be copied", made.display())) }
    }

    /// Begins a run of this folder. Among the tiers of the recipe is one of a name that no other docent has.
    pub fn start(&self, repo: &Path, recipe: &str, tier: &str, settings: &str, more: &[&str]) -> Running {
        self.start_with(repo, recipe, tier, settings, more, &[])
    }

    /// The same, with variables.
    pub fn start_with(
        &self,
        repo: &Path,
        recipe: &str,
        tier: &str,
        settings: &str,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Running {
        self.begin(repo, recipe, tier, settings, &[&["--forget"], more].concat(), variables)
    }

    /// Begins a run that finds what earlier ones have left, and leaves the same to later ones.
    pub fn start_remembering(
        &self,
        repo: &Path,
        recipe: &str,
        tier: &str,
        settings: &str,
        more: &[&str],
    ) -> Running {
        self.begin(repo, recipe, tier, settings, more, &[])
    }

    fn begin(
        &self,
        repo: &Path,
        recipe: &str,
        tier: &str,
        settings: &str,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Running {
        let name = format!("{recipe}-{}", fs::read_dir(self.scratch.path()).unwrap().count());
        let file = self.path(&format!("{name}.toml"));
        let config = format!(
            "state_dir = {:?}\ncredentials_dir = {:?}\nrecipe_path = [{:?}]\n{settings}\n[[forge]]\nname = \"example\"\n\
             kind = \"gitea\"\nurl = \"https://git.example.org\"\nwatch_credential = \"watch\"\n",
            self.path("state"),
            self.path("credentials"),
            self.path("recipes"),
        );
        fs::write(&file, config).unwrap();
        let (output, said) = (self.path(&format!("{name}-result")), self.path(&format!("{name}.said")));
        let log = fs::File::create(&said).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_docent"))
            .args(["run", "--recipe", recipe, "--executor", self.executor])
            .arg("--config")
            .arg(&file)
            .arg("--output")
            .arg(&output)
            .args(more)
            .arg(repo)
            .env("HOME", self.path("home"))
            .env("CREDENTIALS_DIRECTORY", self.path("credentials"))
            .env("GITHUB_TOKEN", self.canary("environment"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Running {
            child,
            is_in_engine: self.executor == "container",
            attempt: format!("r1-{tier}-1"),
            said,
            output,
        }
    }

    /// Removes what runs remember at the engine, which is environments and nothing else.
    pub fn forget(&self) {
        if self.executor != "container" {
            return;
        }
        let instance = fs::read_to_string(self.path("state/here/instance")).unwrap();
        let label = format!("label=docent.instance={instance}");
        let docker = |words: &[&str]| {
            let output = Command::new("docker").args(words).output().unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert_eq!(docker(&["ps", "-aq", "--filter", &label]), "");
        assert_eq!(docker(&["network", "ls", "-q", "--filter", &label]), "");
        let volumes = docker(&["volume", "ls", "-q", "--filter", &label]);
        assert!(
            volumes.lines().count() > 0 && volumes.lines().all(|name| name.ends_with("-env")),
            "{volumes}"
        );
        for volume in volumes.lines() {
            docker(&["volume", "rm", volume]);
        }
    }

    /// Asserts that no secret came out: not in what is kept, not in what was said.
    pub fn assert_no_secret(&self, ran: &Ran) {
        for place in ["state", "credentials", "docker", "netrc", "environment"] {
            let canary = self.canary(place);
            assert!(!ran.said.contains(&canary), "{place}: {}", ran.said);
            for entry in walkdir::WalkDir::new(&ran.output) {
                let entry = entry.unwrap();
                assert!(!entry.path_is_symlink(), "{}", entry.path().display());
                if entry.file_type().is_file() {
                    let content = fs::read(entry.path()).unwrap();
                    let text = String::from_utf8_lossy(&content);
                    assert!(!text.contains(&canary), "{place} in {}", entry.path().display());
                }
            }
        }
    }

    /// Asserts that nothing of these runs, which are all of this bench, is left on this machine.
    pub fn assert_nothing_left(&self, runs: &[&Ran]) {
        let end = Instant::now() + Duration::from_secs(30);
        while !processes(&self.mark).is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(processes(&self.mark), Vec::<String>::new());
        assert_eq!(processes(&self.scratch.path().display().to_string()), Vec::<String>::new());
        for ran in runs {
            match (&ran.instance, self.executor) {
                (Some(instance), _) => {
                    assert_eq!(labelled(&format!("docent.instance={instance}")), Vec::<String>::new());
                }
                (None, "container") => panic!("not seen at the engine: {}", ran.said),
                _ => {}
            }
            for entry in walkdir::WalkDir::new("/sys/fs/cgroup").max_depth(6).into_iter().flatten() {
                let name = entry.file_name().to_string_lossy();
                assert!(!name.contains(&ran.attempt), "{}", entry.path().display());
            }
        }
        let mut left: Vec<String> = fs::read_dir(self.path("state"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| !["images", "recipes", "secret"].contains(&name.as_str()))
            .collect();
        // Made by this bench when it tried the sandbox out.
        left.retain(|name| {
            name != "sandbox" || fs::read_dir(self.path("state/sandbox")).unwrap().count() > 0
        });
        assert_eq!(left, Vec::<String>::new());
    }
}

impl Running {
    /// Kills it when its attempt runs. Gives what it called itself at the engine.
    pub fn die(mut self) -> Option<String> {
        let end = Instant::now() + Duration::from_secs(120);
        let mut instance = None;
        while !fs::read_to_string(&self.said).unwrap_or_default().contains("runs tier")
            || (self.is_in_engine && instance.is_none())
        {
            assert!(Instant::now() < end, "it does not begin: {}", fs::read_to_string(&self.said).unwrap());
            instance =
                instance.or_else(|| self.is_in_engine.then(|| self::instance(&self.attempt)).flatten());
            std::thread::sleep(Duration::from_millis(100));
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        instance
    }

    /// Kills it when it has said this.
    pub fn die_saying(mut self, words: &str) {
        let end = Instant::now() + Duration::from_secs(120);
        let said = || fs::read_to_string(&self.said).unwrap_or_default();
        while !said().contains(words) {
            assert!(Instant::now() < end, "it does not say {words}: {}", said());
            std::thread::sleep(Duration::from_millis(100));
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its end, at most so many seconds from now.
    pub fn wait(mut self, seconds: u64) -> Ran {
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut instance = None;
        let status = loop {
            if self.is_in_engine && instance.is_none() {
                instance = self::instance(&self.attempt);
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > end {
                self.child.kill().unwrap();
                panic!("not over after {seconds} s: {}", fs::read_to_string(&self.said).unwrap());
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        let said = String::from_utf8_lossy(&fs::read(&self.said).unwrap()).into_owned();
        let document = fs::read(self.output.join("result.json")).unwrap_or_else(|_| panic!("{said}"));
        let code = status.code().unwrap_or(-1);
        let result = serde_json::from_slice(&document).unwrap();
        Ran { code, said, result, output: self.output, attempt: self.attempt, instance }
    }
}

impl Ran {
    pub fn tier(&self, name: &str) -> &Value {
        let tiers = self.result["tiers"].as_array().unwrap();
        tiers.iter().find(|tier| tier["name"] == name).unwrap_or_else(|| panic!("{name}: {}", self.said))
    }

    /// Outcome and note of the last try of a tier, and the tier's verdict.
    pub fn ending(&self, tier: &str) -> (String, String, String) {
        let tier = self.tier(tier);
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        let last = tier["attempts"].as_array().unwrap().last().cloned().unwrap_or_default();
        (text(&last["outcome"]), text(&last["note"]), text(&tier["verdict"]))
    }

    /// What a tier wrote.
    pub fn log(&self, tier: &str) -> String {
        let attempt = self.tier(tier)["attempts"].as_array().unwrap().last().cloned().unwrap_or_default();
        let place = self.output.join(attempt["id"].as_str().unwrap_or_default());
        let name = attempt["log"]["name"].as_str().unwrap_or("log").to_owned();
        fs::read(place.join(name)).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Names of what a tier left.
    pub fn artifacts(&self, tier: &str) -> Vec<String> {
        let attempts = self.tier(tier)["attempts"].as_array().unwrap();
        let kept = attempts.last().unwrap()["artifacts"].as_array().unwrap();
        kept.iter().map(|kept| kept["name"].as_str().unwrap().to_owned()).collect()
    }
}

async fn engine() -> Result<Container, String> {
    Container::connect(container::Settings::new("hostile")).await.map_err(|error| error.to_string())
}

async fn image_in_engine(image: &str) -> Result<(), String> {
    let engine = engine().await?;
    if image == tiny::TINY {
        return tiny::ensure_image(&engine).await;
    }
    if engine.image_exists(image).await.map_err(|error| error.to_string())? {
        return Ok(());
    }
    build("container")
}

/// Names of what the engine has with this label.
pub fn labelled(label: &str) -> Vec<String> {
    let mut found = Vec::new();
    for words in [&["ps", "-aq"][..], &["volume", "ls", "-q"], &["network", "ls", "-q"]] {
        let filter = format!("label={label}");
        let listed = Command::new("docker").args(words).args(["--filter", &filter]).output().unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        found.extend(String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned));
    }
    found
}

/// What the docent calls itself at the engine that runs this attempt.
fn instance(attempt: &str) -> Option<String> {
    let format = "{{.Label \"docent.instance\"}}";
    let filter = format!("label=docent.attempt={attempt}");
    let listed = Command::new("docker").args(["ps", "-a", "--filter", &filter, "--format", format]).output();
    let text = String::from_utf8_lossy(&listed.ok()?.stdout).into_owned();
    text.lines().next().map(str::to_owned)
}

/// Where images for sandboxes are kept between runs of these tests.
fn shelf() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile")
}

fn ensure_notebook_root() -> Result<PathBuf, String> {
    fs::create_dir_all(shelf()).map_err(|error| error.to_string())?;
    let lock = fs::File::create(shelf().join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let place = rootfs::directory(&shelf(), NOTEBOOK);
    if !place.is_dir() {
        build("sandbox")?;
    }
    Ok(place)
}

fn build(executor: &str) -> Result<(), String> {
    fs::create_dir_all(shelf()).map_err(|error| error.to_string())?;
    let config = shelf().join("docent.toml");
    fs::write(&config, format!("state_dir = {:?}\n", shelf())).map_err(|error| error.to_string())?;
    let built = Command::new(env!("CARGO_BIN_EXE_docent"))
        .args(["recipe", "build", "notebook", "--executor", executor, "--config"])
        .arg(config)
        .output()
        .map_err(|error| error.to_string())?;
    if built.status.success() {
        return Ok(());
    }
    Err(format!("the image {NOTEBOOK} cannot be made: {}", String::from_utf8_lossy(&built.stderr)))
}
