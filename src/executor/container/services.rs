//! Services as containers on a network of the run's own, which leads nowhere else: it is internal, and the machine has no address
//! on its bridge. They have the profile of attempts. What they write stays in memory and goes with them.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecOptions};
use bollard::models::{ContainerInspectResponse, NetworkConnectRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    WaitContainerOptions,
};
use futures_util::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use crate::core::id::RunId;
use crate::executor::services::{Deployment, Fallen, Service, Services};
use crate::executor::{Ending, ExecutorError, Job, Network, io_error};

use super::connect::{absent_is_none, failed, status};
use super::names::RunNames;
use super::watch::{inspect, is_running};
use super::{Container, gate, is_unstarted, logs, profile, sweep};

/// Between two looks at a service that is not healthy yet.
const PAUSE: Duration = Duration::from_millis(300);
/// Between two looks at a command that asks a service for its health.
const MOMENT: Duration = Duration::from_millis(50);
/// Lines of a log that are told, and characters of each.
const LAST_LINES: usize = 3;
const LAST_CHARACTERS: usize = 160;

/// One deploy or release of a run at a time; a release ends a deploy that is under way.
#[derive(Debug, Default)]
pub(super) struct Turn {
    alone: tokio::sync::Mutex<()>,
    stop: CancellationToken,
}

impl Container {
    fn service_turn(&self, run: RunId) -> Arc<Turn> {
        let mut turns = self.live.deploys.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(run).or_default().clone()
    }

    fn run_names(&self, run: RunId) -> RunNames {
        RunNames::new(&self.settings.instance, run)
    }

    /// Removes everything of the run but its environment, once no deploy of it can make anything more.
    pub(super) async fn sweep_run(&self, run: RunId) -> Result<(), ExecutorError> {
        let turn = self.service_turn(run);
        turn.stop.cancel();
        let _alone = turn.alone.lock().await;
        sweep::run(&self.engine.docker, &self.settings.instance, run).await?;
        self.live.deploys.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
        Ok(())
    }

    async fn bring_up(&self, deployment: &Deployment, stop: &CancellationToken) -> Result<(), ExecutorError> {
        for service in &deployment.services {
            if !self.image_exists(&service.image).await? {
                let (image, recipe) = (service.image.clone(), deployment.recipe.clone());
                return Err(ExecutorError::MissingImage { image, recipe });
            }
        }
        let names = self.run_names(deployment.run);
        self.ensure_private_network(&names).await?;
        let mut hosts = Vec::new();
        for service in &deployment.services {
            if stop.is_cancelled() {
                return Err(stopped());
            }
            self.start_service(&names, service, &hosts).await?;
            self.until_healthy(&names, service, stop).await?;
            // It may have ended right after.
            let Some(address) = self.address(&names, &service.name).await? else {
                return Err(self.ended_early(&names, service).await?);
            };
            hosts.push(format!("{}:{address}", service.name));
        }
        Ok(())
    }

    async fn start_service(
        &self,
        names: &RunNames,
        service: &Service,
        hosts: &[String],
    ) -> Result<(), ExecutorError> {
        let docker = &self.engine.docker;
        let name = names.service(&service.name);
        match inspect(docker, &name).await? {
            Some(container) if is_unstarted(&container) => self.remove_container(&name).await?,
            Some(_) => return Ok(()),
            None => {}
        }
        let image = docker.inspect_image(&service.image).await.map_err(failed("looking at an image"))?;
        let volumes = image.config.and_then(|config| config.volumes).unwrap_or_default();
        let made =
            profile::service(service, names, hosts, &volumes, self.engine.cores, self.user_processes());
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let what = |what: &str| format!("{what} the service {}", service.name);
        docker.create_container(Some(options), made).await.map_err(failed(what("making")))?;
        let started = docker.start_container(&name, None::<StartContainerOptions>).await;
        started.map_err(failed(what("starting")))
    }

    /// Returns when the service is healthy; it is an error if it ends before, or takes too long.
    async fn until_healthy(
        &self,
        names: &RunNames,
        service: &Service,
        stop: &CancellationToken,
    ) -> Result<(), ExecutorError> {
        let name = names.service(&service.name);
        // What is made is not broken off: it would be there after all, and found too late.
        if service.health.is_empty() {
            self.look_from_beside(names, service).await?;
        }
        let healthy = async {
            match service.health.is_empty() {
                true => self.until_it_accepts(names, service).await,
                false => self.until_it_says_so(&name, service).await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => Err(stopped()),
            healthy = healthy => healthy,
            ended = self.until_ended(&name) => {
                ended?;
                Err(self.ended_early(names, service).await?)
            }
            () = tokio::time::sleep(Duration::from_secs(service.health_seconds)) => {
                let words = self.last_words(&name).await?;
                let Service { name, health_seconds, .. } = service;
                let text = format!("the service {name} was not healthy within {health_seconds} s: {words}");
                Err(ExecutorError::Broken(text))
            }
        }
    }

    async fn ended_early(&self, names: &RunNames, service: &Service) -> Result<ExecutorError, ExecutorError> {
        let name = names.service(&service.name);
        let fallen = Fallen { name: service.name.clone(), ending: self.service_ending(&name).await? };
        let (how, words) = (fallen.words(), self.last_words(&name).await?);
        Ok(ExecutorError::Broken(format!("{how} before it was healthy: {words}")))
    }

    /// Has somebody beside the service try its port: whatever is in its image, and by the way that attempts take.
    async fn look_from_beside(&self, names: &RunNames, service: &Service) -> Result<(), ExecutorError> {
        let docker = &self.engine.docker;
        let (image, mut words) = gate::ensure_image(self).await?;
        let Some(address) = self.address(names, &service.name).await? else {
            // It has ended, which is seen next.
            return Ok(());
        };
        let place = format!("{address}:{}", service.port);
        words.extend(["gate".to_owned(), "reach".to_owned(), place, service.health_seconds.to_string()]);
        let name = names.reach(&service.name);
        // Of a docent that died meanwhile.
        self.remove_container(&name).await?;
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let made = gate::small(image, words, names.network(), names.labels());
        docker.create_container(Some(options), made).await.map_err(failed("making a look at a service"))?;
        let started = docker.start_container(&name, None::<StartContainerOptions>).await;
        started.map_err(failed("looking at a service"))
    }

    async fn until_it_accepts(&self, names: &RunNames, service: &Service) -> Result<(), ExecutorError> {
        let name = names.reach(&service.name);
        self.until_ended(&name).await?;
        match self.service_ending(&name).await? {
            Some(Ending::Exited { code: 0 }) => self.remove_container(&name).await,
            // It has ended, or its time is up: what is waited for beside this tells it better.
            _ => std::future::pending().await,
        }
    }

    async fn until_it_says_so(&self, name: &str, service: &Service) -> Result<(), ExecutorError> {
        while !self.is_healthy(name, service).await? {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn is_healthy(&self, name: &str, service: &Service) -> Result<bool, ExecutorError> {
        let docker = &self.engine.docker;
        let options = CreateExecOptions { cmd: Some(service.health.clone()), ..Default::default() };
        let made = match docker.create_exec(name, options).await {
            Ok(made) => made,
            // It has ended, which is seen elsewhere.
            Err(error) if status(&error) == Some(409) => return Ok(false),
            Err(error) => return Err(failed("asking a service for its health")(error)),
        };
        let detached = StartExecOptions { detach: true, ..Default::default() };
        match docker.start_exec(&made.id, Some(detached)).await {
            Ok(_) => {}
            // Not to be started there: no such program, no process left.
            Err(error) if status(&error).is_some() => return Ok(false),
            Err(error) => return Err(failed("asking a service for its health")(error)),
        }
        loop {
            let seen = absent_is_none(docker.inspect_exec(&made.id).await);
            let Some(seen) = seen.map_err(failed("asking a service for its health"))? else {
                return Ok(false);
            };
            if seen.running != Some(true) {
                return Ok(seen.exit_code == Some(0));
            }
            tokio::time::sleep(MOMENT).await;
        }
    }

    async fn until_ended(&self, name: &str) -> Result<(), ExecutorError> {
        loop {
            // A code other than 0 comes as an error; what the engine says of the container decides.
            let _ = self.engine.docker.wait_container(name, None::<WaitContainerOptions>).next().await;
            match inspect(&self.engine.docker, name).await? {
                Some(container) if is_running(&container) => tokio::time::sleep(PAUSE).await,
                _ => return Ok(()),
            }
        }
    }

    /// How a service that does not run any more has ended; none: it is gone.
    async fn service_ending(&self, name: &str) -> Result<Option<Ending>, ExecutorError> {
        let Some(container) = inspect(&self.engine.docker, name).await? else { return Ok(None) };
        if is_unstarted(&container) {
            return Ok(None);
        }
        let state = container.state.unwrap_or_default();
        let code = state.exit_code.unwrap_or(super::KILLED);
        if state.oom_killed == Some(true) && code == super::KILLED {
            return Ok(Some(Ending::OutOfMemory));
        }
        if let Some(why) = logs::never_began(&self.engine.docker, name, code).await? {
            return Ok(Some(Ending::NotStarted { why }));
        }
        Ok(Some(Ending::Exited { code: i32::try_from(code).unwrap_or(i32::MAX) }))
    }

    async fn last_words(&self, name: &str) -> Result<String, ExecutorError> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("20").build();
        let chunks: Vec<_> = self
            .engine
            .docker
            .logs(name, Some(options))
            .try_collect()
            .await
            .map_err(failed("reading the log of a service"))?;
        let text: String = chunks.iter().map(ToString::to_string).collect();
        Ok(last_of(&text))
    }

    /// The address of a service; none unless it runs.
    async fn address(&self, names: &RunNames, service: &str) -> Result<Option<String>, ExecutorError> {
        let container = inspect(&self.engine.docker, &names.service(service)).await?;
        Ok(container.and_then(|container| address_in(container, &names.network())))
    }

    /// What an attempt has in its `/etc/hosts` of the services that it names.
    pub(super) async fn hosts(&self, job: &Job) -> Result<Vec<String>, ExecutorError> {
        let names = self.run_names(job.attempt.run);
        let mut hosts = Vec::new();
        for service in &job.services {
            let address = self.address(&names, service).await?;
            let gone = || ExecutorError::Broken(format!("the service {service} is not there any more"));
            hosts.push(format!("{service}:{}", address.ok_or_else(gone)?));
        }
        Ok(hosts)
    }

    /// Puts an attempt that was made, and not started, on the network of its run's services. One without any other network
    /// is made there.
    pub(super) async fn join_services(&self, job: &Job, container: &str) -> Result<(), ExecutorError> {
        if job.services.is_empty() || job.network == Network::None {
            return Ok(());
        }
        let network = self.run_names(job.attempt.run).network();
        let connect = NetworkConnectRequest { container: container.to_owned(), endpoint_config: None };
        let connected = self.engine.docker.connect_network(&network, connect).await;
        connected.map_err(failed("connecting an attempt with its services"))
    }

    async fn ensure_private_network(&self, names: &RunNames) -> Result<(), ExecutorError> {
        let _alone = self.live.networks.lock().await;
        if self.has_network(&names.network()).await? {
            return Ok(());
        }
        let request = gate::closed(self, names.network(), names.labels());
        let made = self.engine.docker.create_network(request).await;
        made.map(drop).map_err(failed("making the network of a run's services"))
    }

    async fn remove_container(&self, name: &str) -> Result<(), ExecutorError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = absent_is_none(self.engine.docker.remove_container(name, Some(options)).await);
        removed.map(drop).map_err(failed(format!("removing {name}")))
    }
}

impl Services for Container {
    async fn deploy(&self, deployment: &Deployment) -> Result<(), ExecutorError> {
        let turn = self.service_turn(deployment.run);
        let _alone = turn.alone.lock().await;
        let done = self.bring_up(deployment, &turn.stop).await;
        if done.is_err()
            && let Err(left) = sweep::run(&self.engine.docker, &self.settings.instance, deployment.run).await
        {
            tracing::warn!(run = %deployment.run, error = %left, "something may be left of a failed deploy");
        }
        done
    }

    async fn fallen(&self, run: RunId, names: &[String]) -> Result<Vec<Fallen>, ExecutorError> {
        let of_run = self.run_names(run);
        let mut fallen = Vec::new();
        for name in names {
            let container = of_run.service(name);
            let found = inspect(&self.engine.docker, &container).await?;
            if !found.as_ref().is_some_and(is_running) {
                let ending = self.service_ending(&container).await?;
                fallen.push(Fallen { name: name.clone(), ending });
            }
        }
        Ok(fallen)
    }

    async fn service_log(
        &self,
        run: RunId,
        name: &str,
        into: &Path,
        most: u64,
    ) -> Result<bool, ExecutorError> {
        let container = self.run_names(run).service(name);
        if inspect(&self.engine.docker, &container).await?.is_none() {
            return Ok(false);
        }
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        let mut chunks = self.engine.docker.logs(&container, Some(options));
        let (mut kept, mut left_out) = (VecDeque::<u8>::new(), 0_u64);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(failed("reading the log of a service"))?;
            kept.extend(chunk.as_ref());
            let beyond = kept.len().saturating_sub(most);
            kept.drain(..beyond);
            left_out += beyond as u64;
        }
        let mut text = Vec::new();
        if left_out > 0 {
            text.extend(format!("[docent: {left_out} bytes left out]\n").into_bytes());
        }
        text.extend(kept);
        let written = tokio::fs::write(into, text).await;
        written.map_err(|error| io_error(format!("writing {}", into.display()), error))?;
        Ok(true)
    }
}

fn stopped() -> ExecutorError {
    ExecutorError::Broken("the run was released before its services were there".to_owned())
}

fn address_in(container: ContainerInspectResponse, network: &str) -> Option<String> {
    let mut networks: HashMap<_, _> = container.network_settings?.networks?;
    networks.remove(network)?.ip_address.filter(|address| !address.is_empty())
}

/// The last lines that say something, on one.
fn last_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut last = String::new();
    for line in lines.iter().skip(lines.len().saturating_sub(LAST_LINES)) {
        let between = if last.is_empty() { "" } else { " / " };
        let line: String = line.chars().take(LAST_CHARACTERS).collect();
        let _ = write!(last, "{between}{line}");
    }
    if last.is_empty() { "it wrote nothing".to_owned() } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_fit_on_a_line() {
        assert_eq!(last_of(" \n\n"), "it wrote nothing");
        assert_eq!(last_of("one\ntwo\n\nthree\n  four\n"), "two / three / four");
        assert_eq!(last_of(&"x".repeat(9000)).len(), LAST_CHARACTERS);
    }
}
