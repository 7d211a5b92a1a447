//! `docent spec install`: real environments and a real kernel where there is an index; and what happens when something goes
//! wrong half-way, with a uv that does nothing but write down what it was told.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use docent::core::curated::{Out, curate};
use docent::core::image_name::Tag;
use docent::publish::{Access, Place, Registry, build, title};
use support::not_run;
use support::registry::RegistryServer;

const SPEC: &str = r#"image_spec_header:
  image_name: Alpha Survey
  deployment_name: alpha
  kernel_name: alpha
  display_name: Alpha
  valid_on: 2026-01-01
  expires_on: 2027-01-01
  python_version: "PYTHON"
repositories:
  own:
    url: https://github.com/astro/notebooks.git
    ref: main
selected_notebooks:
  first:
    repo: own
    include_subdirs:
      - .
environment_vars:
  DATA: somewhere
  LD_PRELOAD: /nowhere.so
system:
  spec_version: 2.3
  spi:
    repo: https://github.com/example/images.git
    ref: main
"#;

/// A uv that makes an empty environment, writes down what it is told, and waits where there is a file that says so.
const FAKE_UV: &str = r#"#!/bin/sh
echo "uv $*" >>"$FAKE/log"
case $1 in
venv)
  for last; do :; done
  mkdir -p "$last/bin" "$last/lib/python3/site-packages/ipykernel"
  : >"$last/bin/python"
  : >"$last/lib/python3/site-packages/ipykernel_launcher.py"
  ;;
pip)
  while [ $# -gt 0 ]; do [ "$1" = -r ] && sed 's/^/  /' "$2" >>"$FAKE/log"; shift; done
  if [ -e "$FAKE/hold" ]; then : >"$FAKE/held"; while [ -e "$FAKE/hold" ]; do sleep 0.05; done; fi
  if [ -e "$FAKE/fail" ]; then echo "no wheel for six" >&2; exit 1; fi
  ;;
esac
"#;

/// A user's machine: a home, programs, specs.
struct Desk {
    folder: tempfile::TempDir,
    path: String,
}

impl Desk {
    /// With these folders of programs before the system's.
    fn new(programs: &[&Path]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut path: Vec<String> = programs.iter().map(|folder| folder.display().to_string()).collect();
        path.extend(["/usr/bin".to_owned(), "/bin".to_owned()]);
        Self { folder, path: path.join(":") }
    }

    /// With the uv that does nothing.
    fn with_fake() -> Self {
        let mut desk = Self::new(&[]);
        let uv = desk.path().join("uv");
        fs::write(&uv, FAKE_UV).unwrap();
        fs::set_permissions(&uv, fs::Permissions::from_mode(0o755)).unwrap();
        desk.path = format!("{}:{}", desk.path().display(), desk.path);
        desk
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a curated spec with this lock. Gives its name.
    fn spec(&self, python: &str, lock: &str) -> String {
        let out = Out { pip_compiler_output: lock.to_owned(), ..Out::default() };
        let text = curate(&SPEC.replace("PYTHON", python), &out, Default::default()).unwrap().text;
        fs::write(self.path().join("spec.yaml"), text).unwrap();
        "spec.yaml".to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.prepared(Command::new(env!("CARGO_BIN_EXE_docent")), arguments)
    }

    fn prepared(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(["spec", "install"]).args(arguments).current_dir(self.path());
        for name in ["XDG_DATA_HOME", "JUPYTER_DATA_DIR", "CREDENTIALS_DIRECTORY"] {
            command.env_remove(name);
        }
        command.env("HOME", self.path().join("home")).env("PATH", &self.path).env("FAKE", self.path());
        command
    }

    fn install(&self, arguments: &[&str]) -> (i32, String) {
        // What should have been refused may wait for what the test holds back.
        let mut patient = Command::new("timeout");
        patient.args(["300", env!("CARGO_BIN_EXE_docent")]);
        let ran = self.prepared(patient, arguments).output().unwrap();
        (ran.status.code().unwrap_or(-1), said(&ran))
    }

    fn kernel(&self) -> Option<serde_json::Value> {
        let file = self.path().join("home/.local/share/jupyter/kernels/alpha/kernel.json");
        Some(serde_json::from_slice(&fs::read(file).ok()?).unwrap())
    }

    /// The environment from which the kernel runs.
    fn environment(&self) -> PathBuf {
        PathBuf::from(self.kernel().unwrap()["metadata"]["docent"]["environment"].as_str().unwrap())
    }

    /// Folders of environments.
    fn environments(&self) -> Vec<String> {
        let home = self.path().join("home/.local/share/docent/environments/alpha");
        let entries = fs::read_dir(home).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    fn hold(&self) {
        fs::write(self.path().join("hold"), "").unwrap();
    }

    fn let_go(&self) {
        fs::remove_file(self.path().join("hold")).unwrap();
    }
}

fn said(ran: &Output) -> String {
    String::from_utf8_lossy(&[ran.stdout.as_slice(), ran.stderr.as_slice()].concat()).into_owned()
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "there is still no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_same_lock_is_installed_once_and_another_beside_it() {
    let desk = Desk::with_fake();
    let spec = desk.spec("3.11", "six==1.16.0  # why\n    # via\n    #   -r x\n");
    let (code, told) = desk.install(&[&spec]);
    assert_eq!(code, 0, "{told}");
    let first = desk.environment();
    let log = desk.log();
    for part in [
        &format!("uv venv --no-project --python 3.11 {}", first.display()),
        &format!("uv pip install --python {}/bin/python --only-binary :all: --no-deps -r ", first.display()),
        "\n  six==1.16.0\n",
        "ipykernel\n",
    ] {
        assert!(log.contains(part), "{part}\n{log}");
    }
    let kernel = desk.kernel().unwrap();
    assert_eq!(kernel["argv"][0], first.join("bin/python").to_str().unwrap());
    assert_eq!(kernel["env"], serde_json::json!({ "DATA": "somewhere" }), "and nothing that a loader obeys");
    assert!(told.contains("LD_PRELOAD is left out"), "{told}");

    let (code, told) = desk.install(&[&spec]);
    assert!(code == 0 && told.contains("was there already"), "{told}");
    assert_eq!(desk.log(), log, "nothing was done");

    let other = desk.spec("3.11", "six==1.17.0\n");
    assert_eq!(desk.install(&[&other]).0, 0);
    let second = desk.environment();
    assert!(first.is_dir() && second.is_dir() && first != second, "kernels may still run from the old one");
    desk.spec("3.11", "six==1.15.0\n");
    assert_eq!(desk.install(&[&other]).0, 0);
    assert!(!first.exists() && second.is_dir() && desk.environments().len() == 2);

    // What cannot be built leaves what there is.
    let third = desk.environment();
    fs::write(desk.path().join("fail"), "").unwrap();
    desk.spec("3.11", "six==1.14.0\n");
    let (code, told) = desk.install(&[&other]);
    assert!(code == 3 && told.contains("no wheel for six") && told.contains("--allow-builds"), "{told}");
    assert_eq!(desk.environment(), third);
    fs::remove_file(desk.path().join("fail")).unwrap();
    assert_eq!(desk.install(&[&other, "--allow-builds"]).0, 0);
    assert!(!desk.log().lines().last().unwrap().contains("--only-binary"));
}

#[test]
fn of_two_installs_of_one_name_the_second_is_told_who_holds_it() {
    let desk = Desk::with_fake();
    let spec = desk.spec("3.11", "six==1.16.0\n");
    desk.hold();
    let mut first = desk.command(&[&spec]).stderr(Stdio::null()).spawn().unwrap();
    until("program at work", || desk.path().join("held").exists());
    let (code, told) = desk.install(&[&spec]);
    assert!(code == 4 && told.contains(&format!("by process {}", first.id())), "{told}");
    let (code, told) = desk.install(&[&spec, "--name", "Beta", "--python", "/nowhere"]);
    assert!(code == 3 && told.contains("/nowhere"), "another name is another place: {told}");
    desk.let_go();
    assert!(first.wait().unwrap().success());
    assert_eq!(desk.install(&[&spec]).0, 0);
}

/// Also: as long as a program that it had started is at work, nobody else is.
#[test]
fn a_death_half_way_leaves_the_old_kernel_whole() {
    let desk = Desk::with_fake();
    let spec = desk.spec("3.11", "six==1.16.0\n");
    assert_eq!(desk.install(&[&spec]).0, 0);
    let (old, kernel) = (desk.environment(), desk.kernel());
    desk.spec("3.11", "six==1.17.0\n");
    desk.hold();
    let mut dying: Child = desk.command(&[&spec]).stderr(Stdio::null()).spawn().unwrap();
    until("program at work", || desk.path().join("held").exists());
    dying.kill().unwrap();
    dying.wait().unwrap();
    assert_eq!(
        (desk.environments().len(), desk.kernel()),
        (2, kernel),
        "half of the new one, and the old one"
    );
    assert!(old.join("docent-environment.json").is_file());
    let (code, told) = desk.install(&[&spec]);
    assert!(code == 4 && told.contains("being installed already"), "{told}");
    desk.let_go();
    until("end of the orphan", || desk.install(&[&spec]).0 == 0);
    assert_ne!(desk.environment(), old);
    assert!(desk.log().matches("uv venv").count() == 3, "what was half made was made anew\n{}", desk.log());
}

#[test]
fn what_is_somebody_elses_is_left_alone() {
    let desk = Desk::with_fake();
    let spec = desk.spec("3.11", "six==1.16.0\n");
    let kernel = desk.path().join("home/.local/share/jupyter/kernels/alpha");
    fs::create_dir_all(&kernel).unwrap();
    fs::write(kernel.join("kernel.json"), "{\"argv\": [\"mine\"]}").unwrap();
    let (code, told) = desk.install(&[&spec]);
    assert!(code == 4 && told.contains("did not make"), "{told}");
    assert_eq!(fs::read_to_string(kernel.join("kernel.json")).unwrap(), "{\"argv\": [\"mine\"]}");
    assert_eq!(desk.log(), "");
    // Below a prefix nothing of the user's is touched.
    let (code, told) = desk.install(&[&spec, "--prefix", "there"]);
    assert_eq!(code, 0, "{told}");
    assert!(desk.path().join("there/share/jupyter/kernels/alpha/kernel.json").is_file());
    // The same kernels with other environments are another place's.
    let kernels = desk.path().join("there/share/jupyter/kernels").display().to_string();
    let (code, told) = desk.install(&[&spec, "--kernel-dir", &kernels]);
    assert!(code == 4 && told.contains("did not make"), "{told}");
    fs::remove_dir_all(&kernel).unwrap();
    std::os::unix::fs::symlink(desk.path(), &kernel).unwrap();
    assert_eq!(desk.install(&[&spec]).0, 4);
}

#[test]
fn what_a_spec_may_not_ask_for_is_told_before_anything_is_done() {
    let desk = Desk::with_fake();
    let spec = desk.spec("3.11", "--index-url https://elsewhere.example.org/simple\n-e .\nsix==1.16.0\n");
    let (code, told) = desk.install(&[&spec]);
    assert!(code == 4 && told.contains("line 1") && told.contains("line 2"), "{told}");
    let spec = desk.spec("3.11", "six==1.16.0\n");
    let text = fs::read_to_string(desk.path().join(&spec)).unwrap();
    fs::write(desk.path().join(&spec), text.replace("1.16.0", "1.15.0")).unwrap();
    let (code, told) = desk.install(&[&spec, "--unverified"]);
    assert!(code == 2 && told.contains("checksum does not fit"), "{told}");
    let (code, told) = desk.install(&["missing.yaml"]);
    assert!(code == 2 && told.contains("missing.yaml"), "{told}");
    let spec = desk.spec("3.11", "six==1.16.0\n");
    let text = fs::read_to_string(desk.path().join(&spec)).unwrap();
    let with_mamba =
        text.split("out:\n").next().unwrap().replace("system:", "extra_mamba_packages:\n  - hdf5\nsystem:");
    let out = Out { pip_compiler_output: "six==1.16.0\n".into(), ..Out::default() };
    fs::write(desk.path().join(&spec), curate(&with_mamba, &out, Default::default()).unwrap().text).unwrap();
    let (code, told) = desk.install(&[&spec]);
    assert!(code == 2 && told.contains("hdf5") && told.contains("no micromamba"), "{told}");
    assert_eq!((desk.log().as_str(), desk.environments().len(), desk.kernel()), ("", 0, None));
    let spec = desk.spec("3.4", "six==1.16.0\n");
    let bare = Desk::new(&[]);
    fs::copy(desk.path().join(&spec), bare.path().join(&spec)).unwrap();
    let (code, told) = bare.install(&[&spec]);
    assert!(code == 2 && told.contains("Python 3.4 is missing: install uv"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_of_a_registry_is_installed_by_its_name() {
    let Some(server) = RegistryServer::start(false).await else { return };
    let desk = Desk::with_fake();
    let spec = desk.spec("3.11", "six==1.16.0\n");
    let place = Place { registry: server.address.clone(), repository: "astro/images".to_owned() };
    let registry = Registry::new(place, &Access::default()).unwrap();
    let bytes = fs::read(desk.path().join(&spec)).unwrap();
    let image = build(&bytes, &[title()].into()).unwrap();
    registry.publish(&image, &Tag::new("nbs_alpha").unwrap()).await.unwrap();
    fs::remove_file(desk.path().join(&spec)).unwrap();
    let (code, told) =
        desk.install(&["_1", "--registry", &server.address, "--project", "astro/images", "--name", "alpha"]);
    assert!(code == 0 && told.contains("astro/images:nbs_alpha_1"), "{told}");
    assert!(desk.log().contains("\n  six==1.16.0\n"));
}

/// Runs a cell in the kernel, as Jupyter does, and gives what it prints.
fn run_cell(desk: &Desk, code: &str) -> String {
    const CLIENT: &str = "
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name='alpha')
def tell(message):
    if message['msg_type'] == 'stream':
        print(message['content']['text'], end='')
    elif message['msg_type'] == 'error':
        print(message['content'])
client.execute_interactive(sys.argv[1], output_hook=tell, timeout=120)
client.stop_channels()
manager.shutdown_kernel(now=True)
";
    let ran = Command::new(desk.environment().join("bin/python"))
        .args(["-c", CLIENT, code])
        .env("HOME", desk.path().join("home"))
        .env_remove("JUPYTER_DATA_DIR")
        .env_remove("XDG_DATA_HOME")
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
    String::from_utf8(ran.stdout).unwrap()
}

fn real_kernel(desk: &Desk, python: &str, flags: &[&str]) {
    let spec = desk.spec(python, "six==1.16.0\n");
    let (code, told) = desk.install(&[&[spec.as_str()], flags].concat());
    assert_eq!(code, 0, "{told}");
    let cell = "import os, six\nprint(six.__version__, os.environ['DATA'])";
    assert_eq!(run_cell(desk, cell), "1.16.0 somewhere\n");
    let listed = Command::new(desk.environment().join("bin/jupyter-kernelspec"))
        .args(["list", "--json"])
        .env("HOME", desk.path().join("home"))
        .output()
        .unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["kernelspecs"]["alpha"]["spec"]["display_name"], "Alpha", "{listed}");
    desk.spec(python, "six==1.17.0\n");
    let (code, told) = desk.install(&[&[spec.as_str()], flags].concat());
    assert_eq!(code, 0, "{told}");
    assert_eq!(run_cell(desk, cell), "1.17.0 somewhere\n");
}

/// A Python with its `venv`, and its version; nothing, said as «not run», where there is none. An index has to answer.
fn python() -> Option<(PathBuf, String)> {
    let ask = "import sys, venv, ensurepip; print(sys.executable); print('%d.%d' % sys.version_info[:2])";
    let told = Command::new("python3").args(["-c", ask]).output().ok().filter(|ran| ran.status.success());
    let text = told.map(|ran| String::from_utf8(ran.stdout).unwrap());
    let found = text.as_deref().and_then(|text| text.trim().split_once('\n'));
    if found.is_none() {
        not_run("python", "no python3 with venv (scripts/setup python installs it)");
    }
    found.map(|(python, version)| (PathBuf::from(python), version.to_owned()))
}

#[test]
fn a_spec_becomes_a_kernel_that_runs_by_python_alone() {
    let Some((python, version)) = python() else { return };
    real_kernel(&Desk::new(&[]), &version, &["--python", python.to_str().unwrap()]);
}

#[test]
fn a_spec_becomes_a_kernel_that_runs_by_uv() {
    let Some((python, version)) = python() else { return };
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("install-uv");
    if !place.join("bin/uv").is_file() {
        let made = Command::new(&python).args(["-m", "venv"]).arg(&place).status().unwrap();
        assert!(made.success());
        let got = Command::new(place.join("bin/pip")).args(["install", "--quiet", "uv"]).output().unwrap();
        assert!(got.status.success(), "{}", said(&got));
    }
    real_kernel(&Desk::new(&[&place.join("bin")]), &version, &["--python", python.to_str().unwrap()]);
}
