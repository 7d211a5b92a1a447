//! The one description of a sandbox that docent can give to bubblewrap: nothing of the host is in it but a root
//! filesystem, read-only, and the attempt's own directories.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::executor::contract::{OPEN_FILES, USER, tmp_bytes, variables};
use crate::executor::gate::inside;
use crate::executor::{Environment, Job, Network};

use super::gate;

const SHARED_MEMORY: u64 = 64 << 20;

/// What `/` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// The root filesystem of an image.
    Image(PathBuf),
    /// Programs and libraries of this machine, where the operator allows it.
    Host,
}

/// The directories of one attempt.
#[derive(Debug, Clone)]
pub struct Places {
    /// All that is the attempt's.
    pub home: PathBuf,
    /// The run's environment.
    pub environment: PathBuf,
}

impl Places {
    /// One of the four, by its name.
    pub fn place(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Where bubblewrap notes what became of the program.
    pub fn status(&self) -> PathBuf {
        self.home.join("status")
    }

    /// What was written, capped.
    pub fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// How it ended, once it has.
    pub fn ending(&self) -> PathBuf {
        self.home.join("ending.json")
    }

    /// Where the attempt may write.
    pub fn writable(&self, environment: Environment) -> Vec<PathBuf> {
        let mut places = vec![self.place("repo"), self.place("out")];
        if environment == Environment::Write {
            places.push(self.environment.clone());
        }
        places
    }
}

/// Run by the shell of this machine before bubblewrap takes its place: it waits until it is in its control group, so
/// that nothing is ever born outside, and lowers what the kernel bounds per process.
/// Arguments: status file, blocks of 512 bytes, open files, processes (empty: bound by the group), kibibytes of
/// address space (likewise), then bubblewrap and its arguments.
pub const PRELUDE: &str = "read -r go || exit 70; status=$1; ulimit -c 0; ulimit -f \"$2\"; ulimit -n \"$3\" 2>/dev/null; \
    [ -z \"$4\" ] || ulimit -u \"$4\" 2>/dev/null || ulimit -p \"$4\"; [ -z \"$5\" ] || ulimit -v \"$5\"; shift 5; \
    exec \"$@\" </dev/null 3>\"$status\"";

/// Arguments of the shell that runs [`PRELUDE`].
pub fn shell(places: &Places, job: &Job, is_grouped: bool, bwrap: Vec<OsString>) -> Vec<OsString> {
    let limits = &job.limits;
    let unless_grouped = |number: u64| if is_grouped { String::new() } else { number.to_string() };
    let mut words: Vec<OsString> = vec!["-c".into(), PRELUDE.into(), "sh".into(), places.status().into()];
    words.push((limits.disk_bytes / 512).to_string().into());
    words.push(OPEN_FILES.to_string().into());
    words.push(unless_grouped(u64::from(limits.processes)).into());
    words.push(unless_grouped(limits.memory_bytes / 1024).into());
    words.extend(bwrap);
    words
}

/// Bubblewrap with its arguments.
pub fn command(
    program: &Path,
    can_disable_namespaces: bool,
    job: &Job,
    root: &Root,
    places: &Places,
    access: &BTreeMap<String, String>,
    gate: Option<&gate::Open>,
) -> Vec<OsString> {
    let mut words = Words(vec![program.into()]);
    for word in ["user", "ipc", "pid", "uts", "cgroup-try"] {
        words.add([format!("--unshare-{word}")]);
    }
    if job.network != Network::Egress {
        words.add(["--unshare-net"]);
    }
    if can_disable_namespaces {
        words.add(["--disable-userns"]);
    }
    words.add(["--die-with-parent", "--new-session", "--clearenv", "--hostname", "docent"]);
    words.add(["--cap-drop", "ALL", "--uid", &USER.to_string(), "--gid", &USER.to_string()]);
    match root {
        Root::Image(path) => words.bind("--ro-bind", path, "/"),
        Root::Host => words.host(),
    }
    words.add(["--proc", "/proc", "--dev", "/dev"]);
    words.add([
        "--perms",
        "1777",
        "--size",
        &SHARED_MEMORY.to_string(),
        "--tmpfs",
        "/dev/shm",
        "--remount-ro",
        "/dev",
    ]);
    words.add(["--perms", "1777", "--size", &tmp_bytes(&job.limits).to_string(), "--tmpfs", "/tmp"]);
    for (flag, name) in [("--bind", "repo"), ("--ro-bind", "recipe"), ("--ro-bind", "in"), ("--bind", "out")]
    {
        words.bind(flag, &places.place(name), &format!("/{name}"));
    }
    match job.environment {
        Environment::None => {}
        Environment::Read => words.bind("--ro-bind", &places.environment, "/env"),
        Environment::Write => words.bind("--bind", &places.environment, "/env"),
    }
    if let Some(gate) = gate {
        words.bind("--ro-bind", &gate.program, &format!("{}/{}", inside::HOME, inside::PROGRAM));
    }
    if job.network == Network::Egress {
        words.add(["--ro-bind-try", "/etc/resolv.conf", "/etc/resolv.conf"]);
    }
    if *root == Root::Host {
        words.add(["--remount-ro", "/"]);
    }
    for (name, value) in variables(job, access) {
        words.add(["--setenv".to_owned(), name, value]);
    }
    words.add(["--chdir", "/repo", "--json-status-fd", "3", "--"]);
    if let Some(gate) = gate {
        words.add(inside::prefix(gate.is_dynamic));
    }
    words.add(&job.command);
    words.0
}

struct Words(Vec<OsString>);

impl Words {
    fn add<T: Into<OsString>>(&mut self, words: impl IntoIterator<Item = T>) {
        self.0.extend(words.into_iter().map(Into::into));
    }

    fn bind(&mut self, flag: &str, from: &Path, to: &str) {
        self.0.extend([flag.into(), from.into(), to.into()]);
    }

    fn host(&mut self) {
        self.add(["--ro-bind", "/usr", "/usr", "--ro-bind-try", "/nix/store", "/nix/store"]);
        for name in ["/bin", "/sbin", "/lib", "/lib64"] {
            match std::fs::read_link(name) {
                Ok(target) => self.0.extend(["--symlink".into(), target.into(), name.into()]),
                Err(_) => self.add(["--ro-bind-try", name, name]),
            }
        }
        self.add(["--ro-bind-try", "/etc/alternatives", "/etc/alternatives"]);
        self.add(["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]);
    }
}
