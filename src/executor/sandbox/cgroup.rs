//! Control groups of our own, where this process may make them: what binds memory, processes and cores of a whole
//! tree. Version 1 has a hierarchy per controller, version 2 one for all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::executor::Limits;

const PERIOD_MICROSECONDS: u64 = 100_000;
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// Where groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// The directories of the controllers `memory`, `pids` and `cpu`.
    V1 { memory: PathBuf, pids: PathBuf, cpu: PathBuf },
    /// One directory whose children have these controllers.
    V2 { parent: PathBuf },
    /// Nowhere, for this reason.
    Nowhere { why: String },
}

impl Groups {
    /// Where this process may make groups, found by making one.
    pub fn find() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut tried = Vec::new();
        for candidate in candidates(&own, &mounts) {
            match candidate.try_out() {
                Ok(()) => return candidate,
                Err(why) => tried.push(why),
            }
        }
        let tried =
            if tried.is_empty() { "no control groups are mounted".to_owned() } else { tried.join("; ") };
        Self::Nowhere {
            why: format!("{tried}. Under systemd, `Delegate=yes` and `DelegateSubgroup=daemon` allow it"),
        }
    }

    fn try_out(&self) -> Result<(), String> {
        let name = format!("docent-trial-{}", std::process::id());
        let group = self.group(&name);
        let limits = Limits {
            memory_bytes: 64 << 20,
            cpus: 1.0,
            processes: 64,
            disk_bytes: 0,
            log_bytes: 0,
            timeout_seconds: 0,
        };
        let made = group.make(&limits).map_err(|(path, error)| format!("{}: {error}", path.display()));
        group.remove();
        made
    }

    /// The group of this name, made or not.
    pub fn group(&self, name: &str) -> Group {
        let directories = match self {
            Self::V1 { memory, pids, cpu } => [memory, pids, cpu].map(|parent| parent.join(name)).to_vec(),
            Self::V2 { parent } => vec![parent.join(name)],
            Self::Nowhere { .. } => Vec::new(),
        };
        Group { directories, is_v2: matches!(self, Self::V2 { .. }) }
    }
}

/// The group of one attempt. Without a place for groups it has no directories, and binds nothing.
#[derive(Debug, Clone)]
pub struct Group {
    directories: Vec<PathBuf>,
    is_v2: bool,
}

type Failure = (PathBuf, io::Error);

impl Group {
    /// Makes it with these limits; what failed, if something did.
    pub fn make(&self, limits: &Limits) -> Result<(), Failure> {
        for directory in &self.directories {
            match fs::create_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err((directory.clone(), error));
                }
                _ => {}
            }
        }
        let quota = ((limits.cpus.max(0.01) * PERIOD_MICROSECONDS as f64) as u64).to_string();
        let memory = limits.memory_bytes.to_string();
        // The program that makes the sandbox, and the first process in it, count as well.
        let processes = u64::from(limits.processes).saturating_add(2).to_string();
        if let ([directory], true) = (self.directories.as_slice(), self.is_v2) {
            write(directory, "memory.max", &memory)?;
            write_if_there(directory, "memory.swap.max", "0")?;
            write(directory, "pids.max", &processes)?;
            write(directory, "cpu.max", &format!("{quota} {PERIOD_MICROSECONDS}"))
        } else if let [of_memory, of_pids, of_cpu] = self.directories.as_slice() {
            write(of_memory, "memory.limit_in_bytes", &memory)?;
            write_if_there(of_memory, "memory.memsw.limit_in_bytes", &memory)?;
            write(of_pids, "pids.max", &processes)?;
            write(of_cpu, "cpu.cfs_period_us", &PERIOD_MICROSECONDS.to_string())?;
            write(of_cpu, "cpu.cfs_quota_us", &quota)
        } else {
            Ok(())
        }
    }

    /// Puts a process into it; its children will be born there.
    pub fn take(&self, pid: u32) -> Result<(), Failure> {
        self.directories.iter().try_for_each(|directory| write(directory, "cgroup.procs", &pid.to_string()))
    }

    /// How many processes were killed for memory.
    pub fn killed_for_memory(&self) -> u64 {
        let Some(directory) = self.directories.first() else { return 0 };
        let file = if self.is_v2 { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Kills everything in it, until nothing is left; false if something does not go.
    pub fn kill(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let members = self.members();
            if members.is_empty() {
                return true;
            }
            for member in members {
                // Gone in between is what we want.
                let _ = kill(Pid::from_raw(member), Signal::SIGKILL);
            }
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Removes it, once nothing is in it; no error if it is not there.
    pub fn remove(&self) {
        let deadline = Instant::now() + PATIENCE;
        for directory in &self.directories {
            while let Err(error) = fs::remove_dir(directory) {
                if error.kind() == io::ErrorKind::NotFound || Instant::now() > deadline {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn members(&self) -> Vec<i32> {
        let mut members: Vec<i32> = self
            .directories
            .iter()
            .filter_map(|directory| fs::read_to_string(directory.join("cgroup.procs")).ok())
            .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>())
            .collect();
        members.sort_unstable();
        members.dedup();
        members
    }
}

/// What the kernel's two lists allow, the likeliest first.
fn candidates(own: &str, mounts: &str) -> Vec<Groups> {
    let path_of = |controller: &str| {
        own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?;
            let path = parts.next()?;
            controllers.split(',').any(|it| it == controller).then(|| path.to_owned())
        })
    };
    let v1 = |controller: &str| {
        let (root, mount) = mount_of(mounts, "cgroup", Some(controller))?;
        Some(below(&root, &mount, &path_of(controller)?))
    };
    let mut candidates = Vec::new();
    if let (Some(memory), Some(pids), Some(cpu)) = (v1("memory"), v1("pids"), v1("cpu")) {
        candidates.push(Groups::V1 { memory, pids, cpu });
    }
    if let (Some((root, mount)), Some(path)) = (mount_of(mounts, "cgroup2", None), path_of("")) {
        let own = below(&root, &mount, &path);
        // Under systemd with a subgroup of its own, the daemon sits in a leaf and its parent is delegated.
        let parent = own.parent().filter(|parent| parent.starts_with(&mount)).map(Path::to_owned);
        candidates.push(Groups::V2 { parent: own });
        candidates.extend(parent.map(|parent| Groups::V2 { parent }));
    }
    candidates
}

fn below(root: &str, mount: &Path, path: &str) -> PathBuf {
    let inside = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
    mount.join(inside.trim_start_matches('/'))
}

/// Root and mount point of this hierarchy.
fn mount_of(mounts: &str, kind: &str, controller: Option<&str>) -> Option<(String, PathBuf)> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, mount) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let is_kind = right.next()? == kind;
        let options = right.nth(1)?;
        let has = controller.is_none_or(|controller| options.split(',').any(|it| it == controller));
        (is_kind && has).then(|| (root.to_owned(), PathBuf::from(mount)))
    })
}

fn write(directory: &Path, file: &str, value: &str) -> Result<(), Failure> {
    let path = directory.join(file);
    fs::write(&path, value).map_err(|error| (path, error))
}

fn write_if_there(directory: &Path, file: &str, value: &str) -> Result<(), Failure> {
    if directory.join(file).exists() { write(directory, file, value) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found_in_the_kernels_lists() {
        let own = "5:pids:/\n4:memory:/box/a\n2:cpu,cpuacct:/\n0::/system.slice/docent.service/daemon\n";
        let mounts = "30 29 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            31 29 0:27 /box /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
            32 29 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
            33 29 0:29 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n";
        let path = PathBuf::from;
        assert_eq!(
            candidates(own, mounts),
            [
                Groups::V1 {
                    memory: path("/sys/fs/cgroup/memory/a"),
                    pids: path("/sys/fs/cgroup/pids/"),
                    cpu: path("/sys/fs/cgroup/cpu,cpuacct/"),
                },
                Groups::V2 { parent: path("/sys/fs/cgroup/unified/system.slice/docent.service/daemon") },
                Groups::V2 { parent: path("/sys/fs/cgroup/unified/system.slice/docent.service") },
            ]
        );
    }
}
