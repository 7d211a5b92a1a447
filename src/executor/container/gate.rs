//! The gate of an attempt as a container of docent's own program. The attempt stands on a network with nothing but the
//! gate: it is internal, and the machine has no address on its bridge. The gate stands on a plain one as well, with
//! nobody else. All of it goes with the attempt.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, ImageSummary, NetworkConnectRequest, NetworkCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListImagesOptions, LogsOptionsBuilder, RemoveImageOptions,
    StartContainerOptions,
};
use futures_util::{StreamExt, TryStreamExt};

use crate::executor::contract::USER;
use crate::executor::gate::HEARS;
use crate::executor::gate::bundle::{Bundle, command};
use crate::executor::{ExecutorError, io_error, log};

use super::Container;
use super::connect::failed;
use super::image;
use super::names::Names;
use super::profile::{hardened, log_config, ulimit};
use super::watch::inspect;

const REPOSITORY: &str = "docent/gate";
const DAY: i64 = 24 * 60 * 60;
const MEMORY: i64 = 64 << 20;
const PROCESSES: i64 = 32;
const FILES: i64 = 1024;
const LOG: u64 = 64 << 10;
/// A gate that does not hear by then is not going to.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens a gate for this attempt, and says at which address the attempt finds it.
pub async fn open(executor: &Container, names: &Names) -> Result<String, ExecutorError> {
    let docker = &executor.engine.docker;
    let (image, mut words) = ensure_image(executor).await?;
    let inner = closed(executor, names.inner(), names.labels_of_part());
    for request in [inner, outer(names)] {
        docker.create_network(request).await.map_err(failed("making the networks of an attempt"))?;
    }
    let policy = executor.gate_policy()?;
    let policy = serde_json::to_string(&policy).map_err(|error| ExecutorError::Broken(error.to_string()))?;
    words.extend(["gate".to_owned(), "serve".to_owned(), policy]);
    let name = names.gate();
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    docker
        .create_container(Some(options), small(image, words, names.outer(), names.labels_of_part()))
        .await
        .map_err(failed("making a gate"))?;
    let connect = NetworkConnectRequest { container: name.clone(), endpoint_config: None };
    docker.connect_network(&names.inner(), connect).await.map_err(failed("connecting a gate"))?;
    docker.start_container(&name, None::<StartContainerOptions>).await.map_err(failed("starting a gate"))?;
    until_it_hears(docker, &name).await?;
    let networks = inspect(docker, &name).await?.and_then(|it| it.network_settings?.networks);
    let address = networks.and_then(|mut networks| networks.remove(&names.inner())?.ip_address);
    address
        .filter(|address| !address.is_empty())
        .ok_or_else(|| ExecutorError::Broken(format!("the engine gives the gate {name} no address")))
}

/// What the gate refused, added to the log of its attempt. An attempt without a gate has nothing to tell.
pub async fn tell(docker: &Docker, names: &Names, path: &Path) -> Result<(), ExecutorError> {
    let name = names.gate();
    if inspect(docker, &name).await?.is_none() {
        return Ok(());
    }
    let options = LogsOptionsBuilder::default().stdout(true).build();
    let chunks: Vec<_> =
        docker.logs(&name, Some(options)).try_collect().await.map_err(failed("reading a log"))?;
    let text: String = chunks.iter().map(ToString::to_string).collect();
    let lines: Vec<String> = text.lines().filter(|line| *line != HEARS).map(str::to_owned).collect();
    log::add_lines(path, &lines)
        .map_err(|error| io_error(format!("writing the log {}", path.display()), error))
}

/// The image of docent's own program, made unless it is there, and the words that start it.
pub async fn ensure_image(executor: &Container) -> Result<(String, Vec<String>), ExecutorError> {
    let program = &executor.settings.gate.program;
    let broken = |error| io_error(format!("reading docent's own program {}", program.display()), error);
    let bundle = Bundle::of(program).map_err(broken)?;
    let name = format!("{REPOSITORY}:{}", bundle.digest);
    let words = command("/", bundle.is_dynamic());
    let _alone = executor.live.networks.lock().await;
    if !executor.image_exists(&name).await? {
        image::import_written(executor, &name, Vec::new(), move |writer| bundle.write(writer)).await?;
        forget_old(executor, &name).await;
    }
    Ok((name, words))
}

/// Images of builds that are older by more than a day: nobody is about to use them. Failing to is no harm.
async fn forget_old(executor: &Container, ours: &str) {
    let docker = &executor.engine.docker;
    let filters = HashMap::from([("reference".to_owned(), vec![REPOSITORY.to_owned()])]);
    let options = ListImagesOptions { filters: Some(filters), ..Default::default() };
    let images = docker.list_images(Some(options)).await.unwrap_or_default();
    let made =
        |image: &ImageSummary| image.repo_tags.iter().any(|tag| tag.ends_with(ours)).then_some(image.created);
    let Some(now) = images.iter().find_map(made) else { return };
    for image in images.iter().filter(|image| image.created < now - DAY) {
        for tag in image.repo_tags.iter().filter(|tag| tag.contains(REPOSITORY)) {
            let _ = docker.remove_image(tag, None::<RemoveImageOptions>, None).await;
        }
    }
}

/// A network that leads nowhere.
pub fn closed(executor: &Container, name: String, labels: HashMap<String, String>) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name,
        driver: Some("bridge".to_owned()),
        internal: Some(true),
        labels: Some(labels),
        // With an address on the bridge, the machine would be a neighbour. Podman knows no such wish.
        options: (!executor.is_podman()).then(|| {
            HashMap::from([("com.docker.network.bridge.inhibit_ipv4".to_owned(), "true".to_owned())])
        }),
        ..Default::default()
    }
}

fn outer(names: &Names) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: names.outer(),
        driver: Some("bridge".to_owned()),
        labels: Some(names.labels_of_part()),
        ..Default::default()
    }
}

/// A container in which docent's own program does something small.
pub fn small(
    image: String,
    mut words: Vec<String>,
    network: String,
    labels: HashMap<String, String>,
) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image),
        hostname: Some("gate".to_owned()),
        user: Some(format!("{USER}:{USER}")),
        working_dir: Some("/".to_owned()),
        entrypoint: Some(words.drain(..1).collect()),
        cmd: Some(words),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
        labels: Some(labels),
        host_config: Some(HostConfig {
            network_mode: Some(network),
            memory: Some(MEMORY),
            memory_swap: Some(MEMORY),
            pids_limit: Some(PROCESSES),
            ulimits: Some([("nofile", FILES), ("core", 0)].map(ulimit).to_vec()),
            log_config: Some(log_config(LOG)),
            ..hardened()
        }),
        ..Default::default()
    }
}

async fn until_it_hears(docker: &Docker, name: &str) -> Result<(), ExecutorError> {
    let options = LogsOptionsBuilder::default().follow(true).stdout(true).stderr(true).build();
    let mut said = String::new();
    let hears = async {
        let mut chunks = docker.logs(name, Some(options));
        while let Some(Ok(chunk)) = chunks.next().await {
            said.push_str(&chunk.to_string());
            if said.contains(HEARS) {
                return true;
            }
        }
        false
    };
    match tokio::time::timeout(PATIENCE, hears).await {
        Ok(true) => Ok(()),
        _ => Err(ExecutorError::Broken(format!("the gate {name} does not begin: {}", said.trim()))),
    }
}
