//! Finding an engine that answers: Docker or Podman, by the sockets they are known to listen on.

use std::path::Path;

use bollard::{API_DEFAULT_VERSION, Docker};

use crate::executor::ExecutorError;

/// Seconds to wait for an answer. An upload of a large repository is one request.
const PATIENCE: u64 = 600;

/// A connection to an engine.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The connection.
    pub docker: Docker,
    /// `docker 20.10.24`, `podman 4.3.1`.
    pub name: String,
    /// It runs on this machine, so its volumes may be readable here.
    pub is_local: bool,
    /// Cores it has.
    pub cores: f64,
}

/// The engine at this address (`unix://…`, `tcp://…`), or else the first that answers.
pub async fn connect(host: Option<&str>) -> Result<Engine, ExecutorError> {
    let candidates = match host {
        Some(host) => vec![host.to_owned()],
        None => known_sockets(),
    };
    let mut silent = Vec::new();
    for candidate in candidates {
        match try_one(&candidate).await {
            Ok(engine) => return Ok(engine),
            Err(why) => silent.push(format!("{candidate}: {why}")),
        }
    }
    Err(ExecutorError::Unreachable(format!(
        "no container engine answers ({}). Start Docker or Podman, let this user use its socket, or set DOCKER_HOST",
        silent.join("; ")
    )))
}

fn known_sockets() -> Vec<String> {
    if let Some(host) = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()) {
        return vec![host];
    }
    let of_user = std::env::var("XDG_RUNTIME_DIR").ok().map(|dir| format!("unix://{dir}/podman/podman.sock"));
    std::iter::once("unix:///var/run/docker.sock".to_owned())
        .chain(of_user)
        .chain(std::iter::once("unix:///run/podman/podman.sock".to_owned()))
        .collect()
}

async fn try_one(host: &str) -> Result<Engine, String> {
    let socket = host.strip_prefix("unix://");
    if socket.is_some_and(|socket| !Path::new(socket).exists()) {
        return Err("there is no such socket".to_owned());
    }
    let docker = if socket.is_some() {
        Docker::connect_with_unix(host, PATIENCE, API_DEFAULT_VERSION)
    } else {
        Docker::connect_with_host(host)
    };
    let docker = docker.map_err(|error| chain(&error))?;
    let docker = docker.negotiate_version().await.map_err(|error| chain(&error))?;
    let version = docker.version().await.map_err(|error| chain(&error))?;
    let is_podman =
        version.components.iter().flatten().any(|component| component.name.to_lowercase().contains("podman"));
    let info = docker.info().await.map_err(|error| chain(&error))?;
    Ok(Engine {
        docker,
        name: format!(
            "{} {}",
            if is_podman { "podman" } else { "docker" },
            version.version.as_deref().unwrap_or("of unknown version")
        ),
        is_local: socket.is_some(),
        cores: info.ncpu.unwrap_or(1).max(1) as f64,
    })
}

/// The error with what caused it: the outermost alone often says nothing («client error (Connect)»).
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}

/// Says what docent wanted of the engine when this went wrong.
pub fn failed(what: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> ExecutorError {
    use bollard::errors::Error;
    let what = what.into();
    move |error| match error {
        Error::DockerResponseServerError { status_code, message } => {
            ExecutorError::Broken(format!("{what}: the engine answers {status_code}: {}", message.trim()))
        }
        error @ (Error::IOError { .. }
        | Error::HyperResponseError { .. }
        | Error::HyperLegacyError { .. }
        | Error::RequestTimeoutError
        | Error::SocketNotFoundError(_)) => ExecutorError::Unreachable(format!("{what}: {}", chain(&error))),
        error => ExecutorError::Broken(format!("{what}: {}", chain(&error))),
    }
}

/// The status that the engine answered with.
pub fn status(error: &bollard::errors::Error) -> Option<u16> {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Not being there is an answer, not an error.
pub fn absent_is_none<T>(
    answer: Result<T, bollard::errors::Error>,
) -> Result<Option<T>, bollard::errors::Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}
