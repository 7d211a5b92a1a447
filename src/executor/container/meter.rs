//! Measures volumes that this process cannot read, through a container that sees them read-only and nothing else. It
//! runs the image's own `du`, never anything that the attempt wrote.

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    WaitContainerOptions,
};
use futures_util::{StreamExt, TryStreamExt};

use crate::executor::ExecutorError;
use crate::executor::contract::{PATH, USER};

use super::connect::{absent_is_none, failed};
use super::names::Names;
use super::profile;

/// Bytes in these volumes; nothing if a part is hidden.
pub async fn measure(
    docker: &Docker,
    names: &Names,
    image: &str,
    volumes: &[String],
) -> Result<Option<u64>, ExecutorError> {
    let name = names.meter();
    remove(docker, &name).await?;
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    docker
        .create_container(Some(options), request(names, image, volumes))
        .await
        .map_err(failed("measuring volumes"))?;
    let measured = run(docker, &name).await;
    remove(docker, &name).await?;
    measured.map_err(failed("measuring volumes"))
}

async fn run(docker: &Docker, name: &str) -> Result<Option<u64>, bollard::errors::Error> {
    docker.start_container(name, None::<StartContainerOptions>).await?;
    // A code other than 0 comes as an error; what was printed decides.
    let _ = docker.wait_container(name, None::<WaitContainerOptions>).next().await;
    let options = LogsOptionsBuilder::default().stdout(true).stderr(false).build();
    let chunks: Vec<_> = docker.logs(name, Some(options)).try_collect().await?;
    let text: String = chunks.iter().map(ToString::to_string).collect();
    let total = text.lines().rev().find(|line| line.ends_with("total"));
    let kibibytes =
        total.and_then(|line| line.split_whitespace().next()).and_then(|word| word.parse::<u64>().ok());
    Ok(kibibytes.map(|number| number.saturating_mul(1024)))
}

fn request(names: &Names, image: &str, volumes: &[String]) -> ContainerCreateBody {
    let targets: Vec<String> = (0..volumes.len()).map(|index| format!("/mnt/{index}")).collect();
    let mounts = volumes.iter().zip(&targets).map(|(volume, target)| Mount {
        source: Some(volume.clone()),
        target: Some(target.clone()),
        typ: Some(MountType::VOLUME),
        read_only: Some(true),
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..Default::default() }),
        ..Default::default()
    });
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec!["du".to_owned(), "-s".to_owned(), "-c".to_owned(), "-k".to_owned()]),
        cmd: Some(targets.clone()),
        env: Some(vec![format!("PATH={PATH}")]),
        user: Some(format!("{USER}:{USER}")),
        working_dir: Some("/".to_owned()),
        labels: Some(names.labels_of_part()),
        host_config: Some(HostConfig {
            mounts: Some(mounts.collect()),
            network_mode: Some("none".to_owned()),
            memory: Some(256 << 20),
            memory_swap: Some(256 << 20),
            pids_limit: Some(16),
            ..profile::hardened()
        }),
        ..Default::default()
    }
}

async fn remove(docker: &Docker, name: &str) -> Result<(), ExecutorError> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    absent_is_none(docker.remove_container(name, Some(options)).await)
        .map(drop)
        .map_err(failed("removing the container that measures"))
}
