//! The log of a container: taken from the program itself while it runs, and from the engine's own file where docent was
//! not there to take it.
//!
//! The engine throws away the oldest of a log that outgrows its file, perhaps before anybody has read it. So docent
//! joins a container before it starts, and what is not taken yet holds the program back. After a restart of docent there
//! is only the file, and what docent itself had written.

use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::{AttachContainerOptionsBuilder, LogsOptionsBuilder};
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio::sync::watch;

use crate::executor::log::CappedLog;
use crate::executor::{ExecutorError, io_error};

use super::connect::failed;

/// A stream that says nothing for so long after the end is not going to.
const SILENCE: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_secs(1);

/// What one piece of a log takes in the engine's file beside its text, at most.
const WRAPPING: u64 = 120;
const GAP: &str = "docent was restarted here, and the engine had thrown old parts of the log away: what follows is what it \
                   still had, so lines may be missing or repeated";

/// All that a program writes, from its first byte on. Until it is followed or dropped, the program can write no more
/// than fits into the engine's buffers.
pub struct Joined(Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>);

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Joined")
    }
}

/// Joins a container that has not been started.
pub async fn join(docker: &Docker, container: &str) -> Result<Joined, ExecutorError> {
    let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
    let joined = docker.attach_container(container, Some(options)).await;
    Ok(Joined(joined.map_err(failed("joining a container"))?.output))
}

/// The log of one container.
#[derive(Debug)]
pub struct Log<'a> {
    pub docker: &'a Docker,
    pub container: &'a str,
    /// What is kept of it.
    pub limit: u64,
    /// Of what is written in one piece, the engine's file holds so much for sure; none if it may hold nothing.
    pub held: Option<u64>,
    pub path: &'a Path,
}

impl Log<'_> {
    /// Writes what the container writes until it has ended.
    pub async fn follow(
        &self,
        joined: Option<Joined>,
        mut ended: watch::Receiver<bool>,
    ) -> Result<(), ExecutorError> {
        if let Some(joined) = joined {
            let mut log = CappedLog::create(self.path, self.limit).map_err(|error| self.broken(error))?;
            if self.take(joined, &mut log, &mut ended).await? {
                return log.finish().map_err(|error| self.broken(error));
            }
            // Engines do so under load. Nothing is lost by it that the log would not say.
            tracing::debug!(container = self.container, "the engine stopped telling a log; it is read again");
        }
        self.read_again(ended).await
    }

    /// Whether all of it has come: a connection may break before the container ends.
    async fn take(
        &self,
        Joined(mut chunks): Joined,
        log: &mut CappedLog,
        ended: &mut watch::Receiver<bool>,
    ) -> Result<bool, ExecutorError> {
        loop {
            let chunk = tokio::select! {
                chunk = chunks.next() => chunk,
                () = silence_after(ended) => return Ok(false),
            };
            match chunk {
                Some(Ok(output)) => log.append(output.as_ref()).map_err(|error| self.broken(error))?,
                Some(Err(_)) => return Ok(false),
                None => {
                    return Ok(tokio::time::timeout(SILENCE, ended.wait_for(|ended| *ended)).await.is_ok());
                }
            }
        }
    }

    /// Reads the engine's file. What it may have thrown away is kept as far as an earlier docent had written it.
    async fn read_again(&self, mut ended: watch::Receiver<bool>) -> Result<(), ExecutorError> {
        let mut log = if self.is_whole().await? {
            CappedLog::create(self.path, self.limit)
        } else {
            CappedLog::resume(self.path, self.limit, GAP)
        }
        .map_err(|error| self.broken(error))?;
        let mut taken = 0;
        loop {
            let has_ended = *ended.borrow();
            let mut chunks = Box::pin(self.chunks(!has_ended));
            let mut skip = taken;
            loop {
                let chunk = tokio::select! {
                    chunk = chunks.next() => chunk,
                    () = silence_after(&mut ended), if !has_ended => None,
                };
                match chunk {
                    Some(Ok(output)) => {
                        let bytes = output.as_ref();
                        let known = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
                        let (_, new) = bytes.split_at(known);
                        skip -= known as u64;
                        taken += new.len() as u64;
                        log.append(new).map_err(|error| self.broken(error))?;
                    }
                    Some(Err(error)) if has_ended => return Err(error),
                    Some(Err(_)) | None => break,
                }
            }
            // Following loses a last line without a newline (moby issue 43860): what has ended is read once more. With
            // more than fits, nothing is to be gained.
            if has_ended || (*ended.borrow() && log.is_full()) {
                return log.finish().map_err(|error| self.broken(error));
            }
            if !*ended.borrow() {
                let _ = tokio::time::timeout(RETRY, ended.wait_for(|ended| *ended)).await;
            }
        }
    }

    /// Whether the engine's file still begins where the log began: because it cannot have outgrown its size, or because it
    /// begins with what an earlier docent had written.
    async fn is_whole(&self) -> Result<bool, ExecutorError> {
        let known = match tokio::fs::read(self.path).await {
            Ok(mut known) => {
                known.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
                known
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(self.broken(error)),
        };
        // Nobody can tell, and so it is when a program is followed from its start.
        let Some(held) = self.held else { return Ok(known.is_empty() || self.begins_with(&known).await?) };
        let mut weight = 0;
        let mut chunks = Box::pin(self.chunks(false));
        while let Some(output) = chunks.try_next().await? {
            weight += weight_of(output.as_ref());
            if weight >= held {
                return Ok(!known.is_empty() && self.begins_with(&known).await?);
            }
        }
        Ok(true)
    }

    async fn begins_with(&self, known: &[u8]) -> Result<bool, ExecutorError> {
        let mut rest = known;
        let mut chunks = Box::pin(self.chunks(false));
        while let Some(output) = chunks.try_next().await? {
            let bytes = output.as_ref();
            let (here, after) = rest.split_at(rest.len().min(bytes.len()));
            if !bytes.starts_with(here) {
                return Ok(false);
            }
            rest = after;
            if rest.is_empty() {
                return Ok(true);
            }
        }
        // The engine writes a line down when it ends.
        Ok(!rest.contains(&b'\n'))
    }

    fn chunks(&self, follow: bool) -> impl Stream<Item = Result<LogOutput, ExecutorError>> + use<> {
        let options = LogsOptionsBuilder::default().follow(follow).stdout(true).stderr(true).build();
        self.docker.logs(self.container, Some(options)).map_err(|error| failed("reading the log")(error))
    }

    fn broken(&self, error: std::io::Error) -> ExecutorError {
        io_error(format!("writing the log {}", self.path.display()), error)
    }
}

/// What a piece of a log takes in the engine's file, at most: what is not plain is written as `\u0000`.
fn weight_of(bytes: &[u8]) -> u64 {
    let odd = bytes.iter().filter(|byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'<' | b'>' | b'&'));
    WRAPPING + bytes.len() as u64 + 5 * odd.count() as u64
}

async fn silence_after(ended: &mut watch::Receiver<bool>) {
    // Without a sender the watch is gone, and with it the attempt.
    let _ = ended.wait_for(|ended| *ended).await;
    tokio::time::sleep(SILENCE).await;
}

/// The init of the container could not start the program: it says so in the only line of the log.
pub async fn never_began(
    docker: &Docker,
    container: &str,
    code: i64,
) -> Result<Option<String>, ExecutorError> {
    // Docker's init answers 127 or 126, Podman's 1.
    if !matches!(code, 1 | 126 | 127) {
        return Ok(None);
    }
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("2").build();
    let chunks: Vec<_> =
        docker.logs(container, Some(options)).try_collect().await.map_err(failed("reading the log"))?;
    let text: String = chunks.iter().map(ToString::to_string).collect();
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let is_of_init = ["[FATAL tini", "ERROR (catatonit:"].iter().any(|start| first.starts_with(start));
    Ok((is_of_init && lines.next().is_none()).then(|| first.to_owned()))
}
