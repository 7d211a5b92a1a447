//! Attempts as containers of Docker or Podman. Each has a container, four volumes and, once docent ends it, a mark;
//! each run may have a volume for its environment and a network. All of it carries labels, by which it is found again.

mod connect;
mod files;
mod gate;
pub mod image;
mod logs;
mod meter;
mod names;
mod probe;
mod profile;
mod services;
mod sweep;
mod watch;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, NetworkCreateRequest, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListNetworksOptions, RemoveContainerOptionsBuilder, StartContainerOptions,
};
use tokio::sync::watch as channel;

use crate::core::id::{AttemptId, RunId};

use super::access::{Access, CERTIFICATES};
use super::{
    Ending, Environment, Executor, ExecutorError, Inventory, Job, Limits, Network, Observation, Probe,
    io_error,
};
pub use connect::Engine;
use connect::{absent_is_none, failed};
use names::{Names, Reason, Watched};
use profile::{Place, Profile};
use watch::{Scale, Watch, inspect, is_running};

/// Exit code of something that was killed.
const KILLED: i64 = 137;

/// What an executor of containers has to be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Random id of this installation: only what carries it is ever touched.
    pub instance: String,
    /// Address of the engine (`unix://…`, `tcp://…`); found by itself if absent.
    pub host: Option<String>,
    /// What attempts with a network are given of this host.
    pub access: Access,
    /// Time between TERM and KILL, 10 s at most.
    pub grace: Duration,
    /// Images with which limits may be tried out; the first that is there is taken.
    pub images: Vec<String>,
    /// Measure volumes by reading them where they can be read from here.
    pub may_read_volumes: bool,
    /// The way out of tiers with `network = "index"`.
    pub gate: super::gate::Settings,
}

impl Settings {
    /// The usual, for this installation.
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            host: None,
            access: Access::of_this_process(),
            grace: Duration::from_secs(10),
            images: Vec::new(),
            may_read_volumes: true,
            gate: super::gate::Settings::default(),
        }
    }
}

/// An engine in which attempts run. Clones share it.
#[derive(Debug, Clone)]
pub struct Container {
    engine: Engine,
    settings: Arc<Settings>,
    live: Arc<Live>,
}

/// What only this process knows.
#[derive(Debug, Default)]
struct Live {
    /// Watches by attempt; a watch dies with the executor.
    watches: Mutex<HashMap<AttemptId, Watching>>,
    /// What attempts write that nobody waits for yet.
    joined: Mutex<HashMap<AttemptId, logs::Joined>>,
    /// One submission or cancellation of an attempt at a time.
    turns: Mutex<HashMap<AttemptId, Arc<tokio::sync::Mutex<()>>>>,
    /// One deploy or release of a run at a time.
    deploys: Mutex<HashMap<RunId, Arc<services::Turn>>>,
    /// Engines accept two networks of one name.
    networks: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Watching {
    task: tokio::task::JoinHandle<()>,
    ended: channel::Receiver<bool>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Container {
    /// Finds the engine and agrees on a version of its interface.
    pub async fn connect(settings: Settings) -> Result<Self, ExecutorError> {
        let engine = connect::connect(settings.host.as_deref()).await?;
        Ok(Self { engine, settings: Arc::new(settings), live: Arc::default() })
    }

    /// The engine that answered.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether this image is there.
    pub async fn image_exists(&self, image: &str) -> Result<bool, ExecutorError> {
        let answer = absent_is_none(self.engine.docker.inspect_image(image).await);
        Ok(answer.map_err(failed(format!("looking for the image {image}")))?.is_some())
    }

    fn names(&self, attempt: &AttemptId) -> Names {
        Names::new(&self.settings.instance, attempt)
    }

    fn turn(&self, attempt: &AttemptId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.live.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(attempt.clone()).or_default().clone()
    }

    async fn start(&self, job: &Job, names: &Names) -> Result<(), ExecutorError> {
        let docker = &self.engine.docker;
        let places = Place::all(job.environment);
        if super::needs_environment(job) {
            let volume = names.volume(Place::Env { is_writable: false });
            let there = absent_is_none(docker.inspect_volume(&volume).await);
            there.map_err(failed("looking for an environment"))?.ok_or_else(|| super::gone(job))?;
        }
        futures_util::future::try_join_all(places.into_iter().map(|place| self.make_volume(names, place)))
            .await?;
        let access = match job.network {
            Network::None => Default::default(),
            Network::Index => {
                let address = gate::open(self, names).await?;
                super::gate::variables(&self.settings.access, &address)
            }
            Network::Egress => {
                self.ensure_network(names).await?;
                self.settings.access.variables()
            }
        };
        let mut profile = Profile {
            job,
            names,
            access,
            cores: self.engine.cores,
            user_processes: self.user_processes(),
            occupied: 0,
            hosts: self.hosts(job).await?,
        };
        match self.scale(names, job.environment, &job.image).await {
            // What comes in can be counted before it does, so the container is made while it is on its way.
            Scale::Directories(mut directories) => {
                directories.push(job.repo.clone());
                let scale = Scale::Directories(directories);
                profile.occupied = watch::measure(docker, names, &scale, u64::MAX).await?.unwrap_or(0);
                // Neither is broken off for the other's failure: what is asked for half is made perhaps, and found too late.
                let (loaded, made) = tokio::join!(self.load(&profile), self.make(&profile));
                loaded.and(made)?;
            }
            scale @ Scale::Meter { .. } => {
                self.load(&profile).await?;
                profile.occupied = watch::measure(docker, names, &scale, u64::MAX).await?.unwrap_or(0);
                self.make(&profile).await?;
            }
        }
        let name = names.container();
        self.join_services(job, &name).await?;
        // Podman lets nobody wait at a door that is not open yet.
        if !self.is_podman() {
            let joined = logs::join(docker, &name).await?;
            self.live
                .joined
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(job.attempt.clone(), joined);
        }
        let (started, unloaded) =
            tokio::join!(docker.start_container(&name, None::<StartContainerOptions>), self.unload(names));
        started.map_err(failed(format!("starting {}", job.attempt)))?;
        unloaded
    }

    async fn make(&self, profile: &Profile<'_>) -> Result<(), ExecutorError> {
        let options = CreateContainerOptionsBuilder::default().name(&profile.names.container()).build();
        let made = self.engine.docker.create_container(Some(options), profile.request()).await;
        made.map(drop).map_err(failed(format!("making the container of {}", profile.job.attempt)))
    }

    async fn make_volume(&self, names: &Names, place: Place) -> Result<(), ExecutorError> {
        let docker = &self.engine.docker;
        let request = VolumeCreateRequest {
            name: Some(names.volume(place)),
            labels: Some(names.labels_of_volume(place)),
            ..Default::default()
        };
        match docker.create_volume(request).await {
            Ok(_) => Ok(()),
            // The environment is there already; Podman refuses where Docker agrees.
            Err(_) if docker.inspect_volume(&names.volume(place)).await.is_ok() => Ok(()),
            Err(error) => Err(failed("making a volume")(error)),
        }
    }

    async fn load(&self, profile: &Profile<'_>) -> Result<(), ExecutorError> {
        let docker = &self.engine.docker;
        let loader = profile.names.loader();
        let options = CreateContainerOptionsBuilder::default().name(&loader).build();
        docker.create_container(Some(options), profile.loader()).await.map_err(failed("making a loader"))?;
        let mut inputs = profile.job.inputs.clone();
        if profile.job.network != Network::None
            && let Some(certificates) = &self.settings.access.certificates
        {
            inputs.insert(CERTIFICATES.trim_start_matches("/in/").to_owned(), certificates.clone());
        }
        files::upload(docker, &loader, profile.job, inputs, self.is_podman()).await
    }

    async fn unload(&self, names: &Names) -> Result<(), ExecutorError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = self.engine.docker.remove_container(&names.loader(), Some(options)).await;
        removed.map_err(failed("removing a loader"))
    }

    async fn ensure_network(&self, names: &Names) -> Result<(), ExecutorError> {
        let _alone = self.live.networks.lock().await;
        let docker = &self.engine.docker;
        if self.has_network(&names.network()).await? {
            return Ok(());
        }
        let request = NetworkCreateRequest {
            name: names.network(),
            driver: Some("bridge".to_owned()),
            labels: Some(names.labels_of_run()),
            // Attempts of one run have nothing to say to each other.
            options: (!self.is_podman()).then(|| {
                HashMap::from([("com.docker.network.bridge.enable_icc".to_owned(), "false".to_owned())])
            }),
            ..Default::default()
        };
        docker.create_network(request).await.map(drop).map_err(failed("making the network of a run"))
    }

    async fn has_network(&self, name: &str) -> Result<bool, ExecutorError> {
        let filters = HashMap::from([("name".to_owned(), vec![name.to_owned()])]);
        let options = ListNetworksOptions { filters: Some(filters) };
        let there = self.engine.docker.list_networks(Some(options)).await;
        let there = there.map_err(failed("listing networks"))?;
        Ok(there.iter().any(|network| network.name.as_deref() == Some(name)))
    }

    fn gate_policy(&self) -> Result<super::gate::Policy, ExecutorError> {
        let policy = self.settings.gate.policy(&self.settings.access);
        policy.map_err(|error| io_error("listing the addresses of this machine", error))
    }

    fn user_processes(&self) -> Option<i64> {
        const MANY: u64 = 1 << 15;
        let hard = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NPROC).ok()?.1;
        self.is_podman().then(|| i64::try_from(hard.min(MANY)).unwrap_or(i64::MAX))
    }

    fn is_podman(&self) -> bool {
        self.engine.name.starts_with("podman")
    }

    /// Directories if all of them can be read from here, else the meter.
    async fn scale(&self, names: &Names, environment: Environment, image: &str) -> Scale {
        let places = Place::all(environment).into_iter().filter(|place| place.is_writable());
        self.scale_of(places.map(|place| names.volume(place)).collect(), image).await
    }

    async fn scale_of(&self, volumes: Vec<String>, image: &str) -> Scale {
        if self.engine.is_local && self.settings.may_read_volumes {
            let looks = volumes.iter().map(|volume| self.engine.docker.inspect_volume(volume));
            let found = futures_util::future::join_all(looks).await.into_iter().flatten();
            let directories: Vec<PathBuf> = found.map(|volume| PathBuf::from(volume.mountpoint)).collect();
            if directories.len() == volumes.len()
                && directories.iter().all(|path| std::fs::read_dir(path).is_ok())
            {
                return Scale::Directories(directories);
            }
        }
        Scale::Meter { image: image.to_owned(), volumes }
    }

    /// Begins (or finds) the watch over a running attempt.
    async fn watch(
        &self,
        attempt: &AttemptId,
        container: &ContainerInspectResponse,
    ) -> channel::Receiver<bool> {
        if let Some(ended) = self.watching(attempt) {
            return ended;
        }
        let names = self.names(attempt);
        let config = container.config.clone().unwrap_or_default();
        let labels = config.labels.unwrap_or_default();
        // Ours always carry them; without, nothing could be enforced, so the least is.
        let watched = Watched::from_labels(&labels).unwrap_or(Watched {
            timeout_seconds: 0,
            disk_bytes: 0,
            occupied: 0,
        });
        let mounts = container.mounts.iter().flatten();
        let environment = match mounts
            .clone()
            .find(|mount| mount.destination.as_deref() == Some("/env"))
            .map(|mount| mount.rw)
        {
            Some(Some(true)) => Environment::Write,
            Some(_) => Environment::Read,
            None => Environment::None,
        };
        let scale = self.scale(&names, environment, &config.image.unwrap_or_default()).await;
        let watch =
            Watch { docker: self.engine.docker.clone(), names, watched, scale, grace: self.settings.grace };
        let (sender, ended) = channel::channel(false);
        let mut watches = self.live.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let watching = watches
            .entry(attempt.clone())
            .or_insert_with(|| Watching { task: tokio::spawn(watch.run(sender)), ended });
        watching.ended.clone()
    }

    fn watching(&self, attempt: &AttemptId) -> Option<channel::Receiver<bool>> {
        let watches = self.live.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.get(attempt).map(|watching| watching.ended.clone())
    }

    /// What the container that did the work says of its end, read with the reason for which docent ended it.
    async fn ending(
        &self,
        names: &Names,
        container: &ContainerInspectResponse,
    ) -> Result<Ending, ExecutorError> {
        if let Some(reason) = watch::marked(&self.engine.docker, names).await? {
            return Ok(reason.ending());
        }
        let state = container.state.clone().unwrap_or_default();
        let code = state.exit_code.unwrap_or(KILLED);
        // The engine says «killed for memory» also when only a child was and the program got over it.
        if state.oom_killed == Some(true) && code == KILLED {
            return Ok(Ending::OutOfMemory);
        }
        if let Some(why) = logs::never_began(&self.engine.docker, &names.container(), code).await? {
            return Ok(Ending::NotStarted { why });
        }
        Ok(Ending::Exited { code: i32::try_from(code).unwrap_or(i32::MAX) })
    }
}

/// Made and never started: what is left of a submission that did not come to its end.
fn is_unstarted(container: &ContainerInspectResponse) -> bool {
    matches!(
        container.state.as_ref().and_then(|state| state.status),
        Some(ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::REMOVING)
    )
}

impl Executor for Container {
    async fn probe(&self) -> Result<Probe, ExecutorError> {
        probe::probe(self).await
    }

    async fn submit(&self, job: &Job) -> Result<(), ExecutorError> {
        let turn = self.turn(&job.attempt);
        let _alone = turn.lock().await;
        let names = self.names(&job.attempt).with_environment_of(job.environment_of);
        let docker = &self.engine.docker;
        match inspect(docker, &names.container()).await? {
            Some(container) if !is_unstarted(&container) => {
                if is_running(&container) {
                    self.watch(&job.attempt, &container).await;
                }
                return Ok(());
            }
            _ => {}
        }
        // An earlier submission may have left something that did not come to its end.
        let (removed, image) = tokio::join!(self.remove(&job.attempt), self.image_exists(&job.image));
        removed?;
        if job.command.is_empty() {
            return Err(ExecutorError::Broken(format!("{} has no command: a tier needs `run`", job.attempt)));
        }
        if !image? {
            return Err(super::missing_image(job));
        }
        if let Err(error) = self.start(job, &names).await {
            if let Err(left) = self.remove(&job.attempt).await {
                tracing::warn!(attempt = %job.attempt, error = %left, "something may be left of a failed submission");
            }
            return Err(error);
        }
        if let Some(container) = inspect(docker, &names.container()).await? {
            self.watch(&job.attempt, &container).await;
        }
        Ok(())
    }

    async fn observe(&self, attempt: &AttemptId) -> Result<Observation, ExecutorError> {
        let names = self.names(attempt);
        match inspect(&self.engine.docker, &names.container()).await? {
            None => Ok(Observation::Unknown),
            Some(container) if is_unstarted(&container) => Ok(Observation::Unknown),
            Some(container) if is_running(&container) => {
                self.watch(attempt, &container).await;
                Ok(Observation::Running)
            }
            Some(container) => Ok(Observation::Ended(self.ending(&names, &container).await?)),
        }
    }

    async fn wait(&self, attempt: &AttemptId, limits: &Limits, path: &Path) -> Result<Ending, ExecutorError> {
        let names = self.names(attempt);
        let docker = &self.engine.docker;
        let name = names.container();
        let unknown = || ExecutorError::Broken(format!("there is no attempt {attempt} to wait for"));
        let container = inspect(docker, &name).await?.filter(|it| !is_unstarted(it)).ok_or_else(unknown)?;
        let ended = self.watch(attempt, &container).await;
        let joined = self.live.joined.lock().unwrap_or_else(PoisonError::into_inner).remove(attempt);
        let held = (!self.is_podman()).then(|| profile::held_log_bytes(limits.log_bytes));
        let log = logs::Log { docker, container: &name, limit: limits.log_bytes, held, path };
        log.follow(joined, ended).await?;
        gate::tell(docker, &names, path).await?;
        let container = inspect(docker, &name).await?.ok_or_else(unknown)?;
        self.ending(&names, &container).await
    }

    async fn cancel(&self, attempt: &AttemptId) -> Result<(), ExecutorError> {
        let turn = self.turn(attempt);
        let _alone = turn.lock().await;
        watch::end(&self.engine.docker, &self.names(attempt), Reason::Cancelled, self.settings.grace).await
    }

    async fn collect(&self, attempt: &AttemptId, into: &Path, max_bytes: u64) -> Result<(), ExecutorError> {
        let name = self.names(attempt).container();
        match inspect(&self.engine.docker, &name).await? {
            Some(container) if !is_running(&container) && !is_unstarted(&container) => {
                files::collect(&self.engine.docker, &name, into, max_bytes, self.is_podman()).await
            }
            Some(_) => {
                Err(ExecutorError::Broken(format!("{attempt} has not ended: nothing can be collected yet")))
            }
            None => Err(ExecutorError::Broken(format!("there is no attempt {attempt} to collect from"))),
        }
    }

    async fn remove(&self, attempt: &AttemptId) -> Result<(), ExecutorError> {
        self.live.watches.lock().unwrap_or_else(PoisonError::into_inner).remove(attempt);
        self.live.joined.lock().unwrap_or_else(PoisonError::into_inner).remove(attempt);
        sweep::attempt(&self.engine.docker, &self.settings.instance, attempt).await
    }

    async fn release(&self, run: RunId) -> Result<(), ExecutorError> {
        self.live
            .watches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|attempt, _| attempt.run != run);
        self.live
            .joined
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|attempt, _| attempt.run != run);
        self.live
            .turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|attempt, _| attempt.run != run);
        self.sweep_run(run).await
    }

    async fn drop_environment(&self, run: RunId) -> Result<(), ExecutorError> {
        sweep::environment(&self.engine.docker, &self.settings.instance, run).await
    }

    async fn environment_bytes(&self, attempt: &AttemptId) -> Result<Option<u64>, ExecutorError> {
        let (docker, names) = (&self.engine.docker, self.names(attempt));
        let container = inspect(docker, &names.container()).await?;
        let Some(image) = container.and_then(|it| it.config?.image) else { return Ok(None) };
        let volume = names.volume(Place::Env { is_writable: true });
        let scale = self.scale_of(vec![volume], &image).await;
        watch::measure(docker, &names, &scale, u64::MAX).await
    }

    async fn identify(&self, image: &str) -> Result<Option<String>, ExecutorError> {
        let answer = absent_is_none(self.engine.docker.inspect_image(image).await);
        Ok(answer.map_err(failed(format!("looking for the image {image}")))?.and_then(|image| image.id))
    }

    async fn list(&self) -> Result<Inventory, ExecutorError> {
        sweep::inventory(&self.engine.docker, &self.settings.instance).await
    }
}
