//! The one description of a container that docent can give. Nothing dangerous can be said in it: there is no field for
//! a host path, a capability, a device, a user, a port or a privilege.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use crate::executor::contract::{OPEN_FILES, USER, tmp_bytes, variables};
use crate::executor::{Environment, Job, Limits, Network};

use super::names::Names;

const SHARED_MEMORY: i64 = 64 << 20;
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
            Network::None => "none".to_owned(),
            Network::Index => self.names.inner(),
            Network::Egress => self.names.network(),
        };
        ContainerCreateBody {
            host_config: Some(HostConfig {
                mounts: Some(mounts),
                network_mode: Some(network),
                // Engines ask for names on behalf of containers, some even for those on an internal network.
                dns: (self.job.network == Network::Index).then(|| vec![NOBODY.to_owned()]),
                dns_options: (self.job.network == Network::Index)
                    .then(|| ["timeout:1", "attempts:1"].map(str::to_owned).to_vec()),
                memory: Some(memory),
                memory_swap: Some(memory),
                nano_cpus: Some((cpus.clamp(0.01, self.cores) * 1e9) as i64),
                pids_limit: Some(i64::from(processes)),
                ulimits: Some(self.ulimits()),
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
            ..self.body()
        }
    }

    fn ulimits(&self) -> Vec<ResourcesUlimits> {
        let fixed =
            [("fsize", number(self.job.limits.disk_bytes)), ("nofile", i64::from(OPEN_FILES)), ("core", 0)];
        fixed.into_iter().chain(self.user_processes.map(|count| ("nproc", count))).map(ulimit).collect()
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
            ..self.body()
        }
    }

    fn body(&self) -> ContainerCreateBody {
        ContainerCreateBody {
            image: Some(self.job.image.clone()),
            hostname: Some("docent".to_owned()),
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
