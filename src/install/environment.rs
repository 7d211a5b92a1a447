//! Making an environment with the programs that are there. They are told which packages to take from files that docent has
//! written, and nothing else of a spec; where packages come from is the user's own setting.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::Flock;

use super::{InstallError, io};
use crate::core::installation::Installation;

/// Stands in an environment that is whole.
const MARK: &str = "docent-environment.json";
/// Lines of a program's complaint that are told.
const TOLD: usize = 12;
/// Settings of the user by which the programs would write elsewhere, or use another Python.
const ASIDE: [&str; 11] = [
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "PIP_REQUIREMENT",
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    "UV_PROJECT_ENVIRONMENT",
];
const NO_BUILDS: &str =
    " (packages are taken as wheels only, because building one runs its code; --allow-builds lifts this)";

/// How an environment is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// By uv, with this Python, or with the one that uv finds or gets.
    Uv { uv: PathBuf, python: Option<PathBuf> },
    /// By this Python alone.
    Venv { python: PathBuf },
    /// Python and conda packages by micromamba, the rest by the Python that it brings.
    Micromamba { micromamba: PathBuf },
}

impl Means {
    /// One word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Uv { .. } => "uv",
            Self::Venv { .. } => "venv",
            Self::Micromamba { .. } => "micromamba",
        }
    }
}

/// The programs, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// How environments are made.
    pub means: Means,
    /// Packages may be built from source here.
    pub may_build: bool,
}

impl Tools {
    /// Chooses among the programs of `path`. `python` is the one that the user names.
    pub fn find(
        plan: &Installation,
        path: Option<&OsStr>,
        python: Option<&Path>,
        may_build: bool,
    ) -> Result<Self, InstallError> {
        let with = |means| Ok(Self { means, may_build });
        if !plan.mamba.is_empty() {
            let Some(micromamba) = on(path, "micromamba") else {
                return Err(InstallError::Missing(format!(
                    "the spec wants packages that only conda channels have ({}), and there is no micromamba on PATH: its \
                     documentation says how to get it",
                    plan.mamba.join(", ")
                )));
            };
            return with(Means::Micromamba { micromamba });
        }
        if let Some(python) = python {
            check_version(python, &plan.python)?;
        }
        if let Some(uv) = on(path, "uv") {
            return with(Means::Uv { uv, python: python.map(Path::to_owned) });
        }
        let names = [format!("python{}", plan.python), "python3".to_owned(), "python".to_owned()];
        let found = names.iter().filter_map(|name| on(path, name));
        let mut fitting = found.filter(|python| check_version(python, &plan.python).is_ok());
        match python.map(Path::to_owned).or_else(|| fitting.next()) {
            Some(python) => with(Means::Venv { python }),
            None => Err(InstallError::Missing(format!(
                "Python {0} is missing: install uv, which gets it (`pip install uv`), or name a Python {0} with --python",
                plan.python
            ))),
        }
    }
}

fn on(path: Option<&OsStr>, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path?).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Pins are for one version of Python, so no other will do.
fn check_version(python: &Path, wanted: &str) -> Result<(), InstallError> {
    let told = Command::new(python)
        .args(["-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"])
        .output();
    let told = told.map_err(io(python))?;
    let version = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    if told.status.success() && (version == wanted || version.starts_with(&format!("{wanted}."))) {
        return Ok(());
    }
    let version =
        if version.is_empty() { "no Python that runs".to_owned() } else { format!("Python {version}") };
    Err(InstallError::Missing(format!("{} is {version}; the spec wants Python {wanted}", python.display())))
}

/// Whether an environment was made to its end.
pub fn is_whole(environment: &Path) -> bool {
    environment.join(MARK).is_file() && python_of(environment).exists()
}

/// The Python of an environment.
pub fn python_of(environment: &Path) -> PathBuf {
    environment.join("bin/python")
}

/// Makes an environment in a folder that is not there yet. The mark is its last file.
pub fn make(
    plan: &Installation,
    environment: &Path,
    tools: &Tools,
    lock: &Flock<File>,
    say: &dyn Fn(&str),
) -> Result<(), InstallError> {
    let files = tempfile::tempdir().map_err(io(environment))?;
    let list = |name: &str, lines: &[String]| {
        let file = files.path().join(name);
        fs::write(&file, lines.join("\n") + "\n").map_err(io(&file)).map(|()| file)
    };
    let (pins, limits) = (list("pins.txt", &plan.pins)?, list("limits.txt", &plan.limits())?);
    let run = Run { folder: files.path(), lock, may_build: tools.may_build };

    say(&format!("making an environment with Python {} by {}", plan.python, tools.means.word()));
    run.base(plan, environment, &tools.means)?;
    if !plan.pins.is_empty() {
        say(&format!("installing {} packages", plan.pins.len()));
        // The lock is whole: what it does not name was not tested.
        let pins = ["--no-deps".as_ref(), "-r".as_ref(), pins.as_os_str()];
        run.install("installing packages", environment, &tools.means, &pins)?;
    }
    if !plan.has("ipykernel") {
        say("installing ipykernel, which the spec does not name, within its versions");
        let words = ["-c".as_ref(), limits.as_os_str(), "ipykernel".as_ref()];
        run.install("installing ipykernel", environment, &tools.means, &words)?;
    }
    if !has_kernel(environment) {
        return Err(InstallError::NoKernel(environment.to_owned()));
    }
    let mark = environment.join(MARK);
    let about = serde_json::json!({ "kernel": plan.name, "python": plan.python, "packages": plan.pins });
    let half = environment.join(format!("{MARK}.new"));
    fs::write(&half, format!("{about:#}\n")).and_then(|()| fs::rename(&half, &mark)).map_err(io(&mark))
}

/// Looks for the files of the kernel; running it would run code of the packages, which is for the user to begin.
fn has_kernel(environment: &Path) -> bool {
    let libraries = fs::read_dir(environment.join("lib")).into_iter().flatten().flatten();
    let mut sites = libraries.map(|library| library.path().join("site-packages"));
    sites.any(|site| site.join("ipykernel_launcher.py").is_file() && site.join("ipykernel").is_dir())
}

struct Run<'a> {
    folder: &'a Path,
    lock: &'a Flock<File>,
    may_build: bool,
}

impl Run<'_> {
    fn base(&self, plan: &Installation, environment: &Path, means: &Means) -> Result<(), InstallError> {
        let mut command;
        match means {
            Means::Uv { uv, python } => {
                command = Command::new(uv);
                let python = python.as_deref().map_or(OsStr::new(&plan.python), Path::as_os_str);
                command.args(["venv", "--no-project", "--python"]).arg(python).arg(environment);
            }
            Means::Venv { python } => {
                command = Command::new(python);
                command.args(["-I", "-m", "venv"]).arg(environment);
            }
            Means::Micromamba { micromamba } => {
                command = Command::new(micromamba);
                command.args([
                    "create",
                    "--yes",
                    "--no-rc",
                    "--override-channels",
                    "--channel",
                    "conda-forge",
                ]);
                command.arg("--prefix").arg(environment).arg(format!("python={}", plan.python)).arg("pip");
                command.args(&plan.mamba);
            }
        }
        self.run("making the environment", &mut command)
    }

    fn install(
        &self,
        doing: &str,
        environment: &Path,
        means: &Means,
        words: &[&OsStr],
    ) -> Result<(), InstallError> {
        let python = python_of(environment);
        let mut command = match means {
            Means::Uv { uv, .. } => {
                let mut command = Command::new(uv);
                command.args(["pip", "install", "--python"]).arg(python);
                command
            }
            Means::Venv { .. } | Means::Micromamba { .. } => {
                let mut command = Command::new(python);
                command.args(["-I", "-m", "pip", "install", "--no-input", "--no-warn-script-location"]);
                command
            }
        };
        if !self.may_build {
            command.args(["--only-binary", ":all:"]);
        }
        self.run(doing, command.args(words))
    }

    fn run(&self, doing: &str, command: &mut Command) -> Result<(), InstallError> {
        let program = PathBuf::from(command.get_program());
        let lock = self.lock.try_clone().map_err(io(&program))?;
        // Standard input is the lock: whoever inherits it holds the name until it ends.
        command.current_dir(self.folder).stdin(lock).stdout(Stdio::null());
        for name in ASIDE {
            command.env_remove(name);
        }
        let is_shown = std::io::stderr().is_terminal();
        command.stderr(if is_shown { Stdio::inherit() } else { Stdio::piped() });
        let ended = command.spawn().and_then(std::process::Child::wait_with_output).map_err(io(&program))?;
        if ended.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&ended.stderr);
        let lines: Vec<&str> = said.lines().collect();
        let from = lines.len().saturating_sub(TOLD);
        let clean = |line: &&str| format!("  {}", crate::core::neutral::plain(line, 300));
        Err(InstallError::Program {
            doing: doing.to_owned(),
            program: program.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            code: ended.status.to_string(),
            hint: if self.may_build { "" } else { NO_BUILDS },
            said: lines.iter().skip(from).map(clean).collect::<Vec<_>>().join("\n"),
        })
    }
}
