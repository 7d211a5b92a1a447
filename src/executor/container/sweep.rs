//! Finding everything of an attempt or a run by its labels, and removing it until nothing is left.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptions, ListVolumesOptions, RemoveContainerOptionsBuilder,
    RemoveVolumeOptionsBuilder,
};
use tokio::time::Instant;

use crate::core::id::{AttemptId, RunId};
use crate::executor::{ExecutorError, Inventory};

use super::connect::{failed, status};
use super::names::{ATTEMPT, ENVIRONMENT, INSTANCE, RUN, enter};

/// An engine needs a moment to let go of a volume.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

type Labels = HashMap<String, String>;

/// What there is of something.
#[derive(Debug, Default)]
struct Found {
    containers: Vec<(String, Labels)>,
    volumes: Vec<(String, Labels)>,
    networks: Vec<(String, Labels)>,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.volumes.is_empty() && self.networks.is_empty()
    }

    fn names(&self) -> String {
        let all = self.containers.iter().chain(&self.volumes).chain(&self.networks);
        all.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Removes everything of the attempt.
pub async fn attempt(docker: &Docker, instance: &str, attempt: &AttemptId) -> Result<(), ExecutorError> {
    remove(docker, vec![format!("{INSTANCE}={instance}"), format!("{ATTEMPT}={attempt}")]).await
}

/// Removes everything of the run but its environment.
pub async fn run(docker: &Docker, instance: &str, run: RunId) -> Result<(), ExecutorError> {
    remove(docker, vec![format!("{INSTANCE}={instance}"), format!("{RUN}={run}")]).await
}

/// Removes the environment of the run.
pub async fn environment(docker: &Docker, instance: &str, run: RunId) -> Result<(), ExecutorError> {
    remove(docker, vec![format!("{INSTANCE}={instance}"), format!("{ENVIRONMENT}={run}")]).await
}

/// Everything of this installation.
pub async fn inventory(docker: &Docker, instance: &str) -> Result<Inventory, ExecutorError> {
    let found = find(docker, &[format!("{INSTANCE}={instance}")]).await?;
    let mut inventory = Inventory::default();
    for (_, labels) in found.containers.iter().chain(&found.volumes).chain(&found.networks) {
        enter(&mut inventory, labels);
    }
    inventory.attempts.sort();
    inventory.runs.sort();
    inventory.environments.sort();
    Ok(inventory)
}

async fn remove(docker: &Docker, labels: Vec<String>) -> Result<(), ExecutorError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = find(docker, &labels).await?;
        if found.is_empty() {
            return Ok(());
        }
        let refused = remove_once(docker, &found).await?;
        if refused.is_none() {
            continue;
        }
        if Instant::now() > deadline {
            return Err(ExecutorError::Broken(format!(
                "cannot remove {}: {}",
                found.names(),
                refused.unwrap_or_default()
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Tries all of it once; says what was refused, which may succeed a moment later.
async fn remove_once(docker: &Docker, found: &Found) -> Result<Option<String>, ExecutorError> {
    let mut refused = None;
    let mut note = |answer: Result<(), bollard::errors::Error>| match answer {
        Ok(()) => Ok(()),
        Err(error) if status(&error) == Some(404) => Ok(()),
        Err(error) if status(&error).is_some() => {
            refused = Some(error.to_string());
            Ok(())
        }
        Err(error) => Err(failed("removing what is left")(error)),
    };
    for (name, _) in &found.containers {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        note(docker.remove_container(name, Some(options)).await)?;
    }
    for (name, _) in &found.volumes {
        let options = RemoveVolumeOptionsBuilder::default().force(true).build();
        note(docker.remove_volume(name, Some(options)).await)?;
    }
    for (name, _) in &found.networks {
        note(docker.remove_network(name).await)?;
    }
    Ok(refused)
}

async fn find(docker: &Docker, labels: &[String]) -> Result<Found, ExecutorError> {
    let filters: HashMap<String, Vec<String>> = HashMap::from([("label".to_owned(), labels.to_vec())]);
    let of_containers = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let of_volumes = ListVolumesOptions { filters: Some(filters.clone()) };
    let of_networks = ListNetworksOptions { filters: Some(filters) };
    let (containers, volumes, networks) = tokio::join!(
        docker.list_containers(Some(of_containers)),
        docker.list_volumes(Some(of_volumes)),
        docker.list_networks(Some(of_networks)),
    );
    let containers = containers.map_err(failed("listing containers"))?;
    let volumes = volumes.map_err(failed("listing volumes"))?;
    let networks = networks.map_err(failed("listing networks"))?;
    let found = Found {
        containers: containers
            .into_iter()
            .filter_map(|it| Some((it.id?, it.labels.unwrap_or_default())))
            .collect(),
        volumes: volumes.volumes.unwrap_or_default().into_iter().map(|it| (it.name, it.labels)).collect(),
        networks: networks
            .into_iter()
            .filter_map(|it| Some((it.id?, it.labels.unwrap_or_default())))
            .collect(),
    };
    Ok(found.only(labels))
}

impl Found {
    /// An engine that overlooks a filter must not make docent remove what is somebody else's.
    fn only(mut self, wanted: &[String]) -> Self {
        let carries = |(_, labels): &(String, Labels)| {
            wanted.iter().all(|pair| {
                pair.split_once('=')
                    .is_some_and(|(name, value)| labels.get(name).is_some_and(|it| it == value))
            })
        };
        self.containers.retain(carries);
        self.volumes.retain(carries);
        self.networks.retain(carries);
        self
    }
}
