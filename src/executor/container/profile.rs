//! The one description of a container that docent can give. Nothing dangerous can be said in it: there is no field for
//! a host path, a capability, a device, a user, a port or a privilege.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use crate::core::service::Service;
use crate::executor::contract::{OPEN_FILES, PATH, USER, tmp_bytes, variables};
use crate::executor::{Environment, Job, Limits, Network};

use super::names::{Names, RunNames};

const SHARED_MEMORY: i64 = 64 << 20;
/// Where a service keeps its data.
const DATA: &str = "/data";
/// An address that nobody has.
const NOBODY: &str = "240.0.0.1";

/// One of the places that an attempt sees; each is a volume of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `/repo`, writable.
    Repo,
    /// `/recipe`, read-only.
    Recipe,
    /// `/in`, read-only.
    In,
    /// `/out`, writable.
    Out,
    /// `/env`, the run's, writable or not.
    Env { is_writable: bool },
}

impl Place {
    /// What an attempt with this environment sees.
    pub fn all(environment: Environment) -> Vec<Self> {
        let mut places = vec![Self::Repo, Self::Recipe, Self::In, Self::Out];
        match environment {
            Environment::None => {}
            Environment::Read => places.push(Self::Env { is_writable: false }),
            Environment::Write => places.push(Self::Env { is_writable: true }),
        }
        places
    }

    /// Its name, without the slash.
    pub fn name(self) -> &'static str {
        match self {
            Self::Repo => "repo",
            Self::Recipe => "recipe",
            Self::In => "in",
            Self::Out => "out",
            Self::Env { .. } => "env",
        }
    }

    /// Whether the attempt may write there.
    pub fn is_writable(self) -> bool {
        matches!(self, Self::Repo | Self::Out | Self::Env { is_writable: true })
    }

    fn mount(self, names: &Names, read_only: bool) -> Mount {
        Mount {
            target: Some(format!("/{}", self.name())),
            source: Some(names.volume(self)),
            typ: Some(MountType::VOLUME),
            read_only: Some(read_only),
            volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..Default::default() }),
            ..Default::default()
        }
    }
}

/// What one attempt's container is made from.
#[derive(Debug)]
pub struct Profile<'a> {
    /// The work.
    pub job: &'a Job,
    /// What everything of it is called.
    pub names: &'a Names,
    /// Variables that come with a network (certificates, indexes, proxies); none without.
    pub access: BTreeMap<String, String>,
    /// Cores of the machine: more cannot be promised.
    pub cores: f64,
    /// Processes of the user on the whole machine, where the engine sets a limit of its own if none is given (Podman
    /// does, a higher one than it may where it lacks CAP_SYS_RESOURCE).
    pub user_processes: Option<i64>,
    /// Bytes in the writable places before it starts.
    pub occupied: u64,
    /// The services that it reaches: `name:address`.
    pub hosts: Vec<String>,
}

impl Profile<'_> {
    /// The container in which the work runs.
    pub fn request(&self) -> ContainerCreateBody {
        let Limits { memory_bytes, cpus, processes, log_bytes, .. } = self.job.limits;
        let memory = number(memory_bytes);
        let mounts = Place::all(self.job.environment)
            .into_iter()
            .map(|place| place.mount(self.names, !place.is_writable()))
            .collect();
        let network = match self.job.network {
            Network::None if self.job.services.is_empty() => "none".to_owned(),
            Network::None => self.names.services(),
            Network::Index => self.names.inner(),
            Network::Egress => self.names.network(),
        };
        let is_closed = match self.job.network {
            Network::None => !self.job.services.is_empty(),
            Network::Index => true,
            Network::Egress => false,
        };
        ContainerCreateBody {
            host_config: Some(HostConfig {
                mounts: Some(mounts),
                network_mode: Some(network),
                dns: is_closed.then(no_name_server),
                dns_options: is_closed.then(soon_given_up),
                extra_hosts: Some(self.hosts.clone()),
                memory: Some(memory),
                memory_swap: Some(memory),
                nano_cpus: Some((cpus.clamp(0.01, self.cores) * 1e9) as i64),
                pids_limit: Some(i64::from(processes)),
                ulimits: Some(ulimits(&self.job.limits, self.user_processes)),
                tmpfs: Some(HashMap::from([("/tmp".to_owned(), tmp_options(&self.job.limits))])),
                shm_size: Some(SHARED_MEMORY.min(memory)),
                log_config: Some(log_config(log_bytes)),
                ..hardened()
            }),
            entrypoint: Some(self.job.command.iter().take(1).cloned().collect()),
            cmd: Some(self.job.command.iter().skip(1).cloned().collect()),
            env: Some(
                variables(self.job, &self.access)
                    .into_iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
            ),
            working_dir: Some("/repo".to_owned()),
            labels: Some(self.names.labels_of_attempt(&self.job.limits, self.occupied)),
            ..body(&self.job.image, "docent")
        }
    }

    /// A container that never runs: through it, files are put into the volumes.
    pub fn loader(&self) -> ContainerCreateBody {
        let mounts = Place::all(self.job.environment)
            .into_iter()
            .map(|place| place.mount(self.names, false))
            .collect();
        ContainerCreateBody {
            host_config: Some(HostConfig {
                mounts: Some(mounts),
                network_mode: Some("none".to_owned()),
                // An upload into a read-only root is refused, and nothing ever runs in this one.
                readonly_rootfs: Some(false),
                ..hardened()
            }),
            entrypoint: Some(vec!["/never-started".to_owned()]),
            cmd: Some(Vec::new()),
            labels: Some(self.names.labels_of_part()),
            ..body(&self.job.image, "docent")
        }
    }
}

/// The container of a service. `hosts` are the services before it, `volumes` the places that its image declares to be written to:
/// each is in memory, as `/data` is, for a volume of the engine's would know no bound.
pub fn service(
    service: &Service,
    names: &RunNames,
    hosts: &[String],
    volumes: &[String],
    cores: f64,
    user_processes: Option<i64>,
) -> ContainerCreateBody {
    let Limits { memory_bytes, cpus, processes, log_bytes, disk_bytes, .. } = service.limits;
    let memory = number(memory_bytes);
    let places = volumes.iter().map(String::as_str).chain([DATA]);
    let mut tmpfs: HashMap<String, String> =
        places.map(|place| (place.to_owned(), data_options(disk_bytes))).collect();
    tmpfs.insert("/tmp".to_owned(), tmp_options(&service.limits));
    let mut variables = service.variables.clone();
    let fixed = [("PATH", PATH), ("HOME", "/tmp"), ("LANG", "C.UTF-8")];
    variables.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let (program, arguments) = service.run.split_at(service.run.len().min(1));
    ContainerCreateBody {
        host_config: Some(HostConfig {
            network_mode: Some(names.network()),
            dns: Some(no_name_server()),
            dns_options: Some(soon_given_up()),
            extra_hosts: Some(hosts.to_vec()),
            memory: Some(memory),
            memory_swap: Some(memory),
            nano_cpus: Some((cpus.clamp(0.01, cores) * 1e9) as i64),
            pids_limit: Some(i64::from(processes)),
            ulimits: Some(ulimits(&service.limits, user_processes)),
            tmpfs: Some(tmpfs),
            shm_size: Some(SHARED_MEMORY.min(memory)),
            log_config: Some(log_config(log_bytes)),
            ..hardened()
        }),
        entrypoint: (!program.is_empty()).then(|| program.to_vec()),
        cmd: (!program.is_empty()).then(|| arguments.to_vec()),
        env: Some(variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: Some(DATA.to_owned()),
        labels: Some(names.labels()),
        ..body(&service.image, &service.name)
    }
}

/// The user's own: a mode alone would be replaced by that of the folder below it.
fn data_options(bytes: u64) -> String {
    format!("rw,noexec,nosuid,nodev,uid={USER},gid={USER},mode=700,size={bytes}")
}

fn ulimits(limits: &Limits, user_processes: Option<i64>) -> Vec<ResourcesUlimits> {
    let fixed = [("fsize", number(limits.disk_bytes)), ("nofile", i64::from(OPEN_FILES)), ("core", 0)];
    fixed.into_iter().chain(user_processes.map(|count| ("nproc", count))).map(ulimit).collect()
}

/// Engines ask for names on behalf of containers, some even for those on an internal network.
fn no_name_server() -> Vec<String> {
    vec![NOBODY.to_owned()]
}

fn soon_given_up() -> Vec<String> {
    ["timeout:1", "attempts:1"].map(str::to_owned).to_vec()
}

fn body(image: &str, hostname: &str) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.to_owned()),
        hostname: Some(hostname.to_owned()),
        user: Some(format!("{USER}:{USER}")),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
        stop_signal: Some("SIGTERM".to_owned()),
        attach_stdin: Some(false),
        attach_stdout: Some(false),
        attach_stderr: Some(false),
        tty: Some(false),
        open_stdin: Some(false),
        ..Default::default()
    }
}

/// What every container of ours is.
pub fn hardened() -> HostConfig {
    HostConfig {
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        init: Some(true),
        ipc_mode: Some("private".to_owned()),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        auto_remove: Some(false),
        ..Default::default()
    }
}

/// `/tmp` counts as memory, so it gets half of it at most. Programs may be run from there: notebooks compile.
fn tmp_options(limits: &Limits) -> String {
    format!("rw,exec,nosuid,nodev,mode=1777,size={}", tmp_bytes(limits))
}

/// The engine's own log may grow to some times docent's cap, so that the whole of a log below the cap can be read
/// again; beyond, the engine throws old parts away rather than fill its disk.
pub fn log_config(log_bytes: u64) -> HostConfigLogConfig {
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(HashMap::from([
            ("max-size".to_owned(), held_log_bytes(log_bytes).to_string()),
            ("max-file".to_owned(), "2".to_owned()),
        ])),
    }
}

/// What the engine's file of a log with this cap can hold before anything is thrown away.
pub fn held_log_bytes(log_bytes: u64) -> u64 {
    log_bytes.saturating_mul(4).saturating_add(1 << 20)
}

/// A limit that cannot be raised.
pub fn ulimit((name, value): (&str, i64)) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) }
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
