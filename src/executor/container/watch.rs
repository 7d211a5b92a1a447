//! What docent enforces itself, for engines cannot: time and disk. One task per attempt, begun when the attempt is
//! submitted or first seen again after a restart, ended with it.

use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, VolumeCreateRequest};
use bollard::query_parameters::{InspectContainerOptions, StopContainerOptionsBuilder, WaitContainerOptions};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::executor::{ExecutorError, usage};

use super::connect::{absent_is_none, failed};
use super::meter;
use super::names::{Names, Reason, Watched};

const LOOK: Duration = Duration::from_secs(1);
const LOOK_THROUGH_METER: Duration = Duration::from_secs(5);
const MOMENT: Duration = Duration::from_millis(50);
const BETWEEN_STATES: u32 = 200;
const RETRY: Duration = Duration::from_secs(2);

/// How the volumes of an attempt are measured.
#[derive(Debug, Clone)]
pub enum Scale {
    /// They are directories that this process may read.
    Directories(Vec<PathBuf>),
    /// They are out of reach: a container that sees nothing else counts them.
    Meter { image: String, volumes: Vec<String> },
}

/// One attempt under watch.
#[derive(Debug, Clone)]
pub struct Watch {
    pub docker: Docker,
    pub names: Names,
    pub watched: Watched,
    pub scale: Scale,
    pub grace: Duration,
}

impl Watch {
    /// Enforces until the container has ended, then says so.
    pub async fn run(self, ended: watch::Sender<bool>) {
        loop {
            match self.until_ended().await {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(container = self.names.container(), %error, "cannot watch; trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        ended.send_replace(true);
    }

    async fn until_ended(&self) -> Result<(), ExecutorError> {
        let name = self.names.container();
        let Some(container) = inspect(&self.docker, &name).await? else { return Ok(()) };
        if !is_running(&container) {
            return Ok(());
        }
        let deadline = Instant::now() + self.time_left(&container).await?;
        let mut gone = std::pin::pin!(self.docker.wait_container(&name, None::<WaitContainerOptions>));
        let mut looks = tokio::time::interval(match self.scale {
            Scale::Directories(_) => LOOK,
            Scale::Meter { .. } => LOOK_THROUGH_METER,
        });
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let reason = tokio::select! {
                // Whatever the answer, or its absence, the next look at the container decides.
                _ = gone.next() => return self.confirm_ended(&name).await,
                () = tokio::time::sleep_until(deadline) => Reason::TimedOut,
                _ = looks.tick() => {
                    if self.is_within_disk().await? { continue }
                    Reason::OutOfDisk
                }
            };
            return end(&self.docker, &self.names, reason, self.grace).await;
        }
    }

    async fn confirm_ended(&self, name: &str) -> Result<(), ExecutorError> {
        match inspect(&self.docker, name).await? {
            Some(container) if is_running(&container) => {
                Err(ExecutorError::Unreachable("the engine stopped telling about the container".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// By the engine's own clock, which may be another than ours.
    async fn time_left(&self, container: &ContainerInspectResponse) -> Result<Duration, ExecutorError> {
        let info = self.docker.info().await.map_err(failed("asking the engine for the time"))?;
        let started =
            container.state.as_ref().and_then(|state| state.started_at.as_deref()).and_then(instant);
        let passed = match (started, info.system_time.as_deref().and_then(instant)) {
            (Some(started), Some(now)) => (now - started).to_std().unwrap_or_default(),
            _ => Duration::ZERO,
        };
        Ok(Duration::from_secs(self.watched.timeout_seconds).saturating_sub(passed))
    }

    async fn is_within_disk(&self) -> Result<bool, ExecutorError> {
        let allowed = self.watched.occupied.saturating_add(self.watched.disk_bytes);
        Ok(measure(&self.docker, &self.names, &self.scale, allowed)
            .await?
            .is_some_and(|bytes| bytes <= allowed))
    }
}

/// Bytes in the writable volumes, counted until there are enough; nothing if a part is hidden.
pub async fn measure(
    docker: &Docker,
    names: &Names,
    scale: &Scale,
    enough: u64,
) -> Result<Option<u64>, ExecutorError> {
    match scale {
        Scale::Directories(directories) => {
            let directories = directories.clone();
            tokio::task::spawn_blocking(move || usage::occupied(&directories, enough))
                .await
                .map_err(|error| ExecutorError::Broken(format!("measuring the volumes: {error}")))
        }
        Scale::Meter { image, volumes } => meter::measure(docker, names, image, volumes).await,
    }
}

/// Ends a running attempt for this reason: the reason is written down first, so that it outlives docent; the first
/// reason stays. When it returns no process of the attempt is left.
pub async fn end(
    docker: &Docker,
    names: &Names,
    reason: Reason,
    grace: Duration,
) -> Result<(), ExecutorError> {
    let name = names.container();
    match inspect(docker, &name).await? {
        Some(container) if is_running(&container) => {}
        _ => return Ok(()),
    }
    mark(docker, names, reason).await?;
    let seconds = i32::try_from(grace.as_secs()).unwrap_or(10);
    let options = StopContainerOptionsBuilder::default().t(seconds).build();
    // The engine sends TERM, waits, sends KILL and waits again. Ended in between: what we wanted.
    let stopped = absent_is_none(docker.stop_container(&name, Some(options)).await);
    match inspect(docker, &name).await? {
        Some(container) if is_running(&container) => {
            stopped.map_err(failed(format!("stopping {name}")))?;
            Err(ExecutorError::Broken(format!("{name} runs on though it was stopped")))
        }
        _ => Ok(()),
    }
}

async fn mark(docker: &Docker, names: &Names, reason: Reason) -> Result<(), ExecutorError> {
    if marked(docker, names).await?.is_some() {
        return Ok(());
    }
    let request = VolumeCreateRequest {
        name: Some(names.mark()),
        labels: Some(names.labels_of_mark(reason)),
        ..Default::default()
    };
    match docker.create_volume(request).await {
        Ok(_) => Ok(()),
        // Podman refuses what Docker answers with the volume that is there.
        Err(_) if marked(docker, names).await?.is_some() => Ok(()),
        Err(error) => Err(failed("noting why an attempt is ended")(error)),
    }
}

/// Why docent ended the attempt, if it did.
pub async fn marked(docker: &Docker, names: &Names) -> Result<Option<Reason>, ExecutorError> {
    let volume = absent_is_none(docker.inspect_volume(&names.mark()).await)
        .map_err(failed("looking why an attempt was ended"))?;
    Ok(volume.and_then(|volume| Reason::from_labels(&volume.labels)))
}

/// The container, if there is one.
pub async fn inspect(docker: &Docker, name: &str) -> Result<Option<ContainerInspectResponse>, ExecutorError> {
    for _ in 0..BETWEEN_STATES {
        match docker.inspect_container(name, None::<InspectContainerOptions>).await {
            // Podman, for a moment, is in a state («stopped») that Docker does not know, nor our library.
            Err(bollard::errors::Error::JsonDataError { .. }) => tokio::time::sleep(MOMENT).await,
            answer => return absent_is_none(answer).map_err(failed(format!("looking at {name}"))),
        }
    }
    Err(ExecutorError::Broken(format!("the engine says what cannot be read of {name}")))
}

/// It has processes.
pub fn is_running(container: &ContainerInspectResponse) -> bool {
    container.state.as_ref().and_then(|state| state.running).unwrap_or(false)
}

fn instant(text: &str) -> Option<chrono::DateTime<chrono::FixedOffset>> {
    chrono::DateTime::parse_from_rfc3339(text).ok()
}
