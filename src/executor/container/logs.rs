//! The log of a container: live while it runs, and whole when it has ended.

use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::watch;

use crate::executor::log::CappedLog;
use crate::executor::{ExecutorError, io_error};

use super::connect::failed;

/// A stream that says nothing for so long after the end is not going to.
const SILENCE: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_secs(1);

/// Writes what the container writes until it has ended.
pub async fn follow(
    docker: &Docker,
    container: &str,
    mut ended: watch::Receiver<bool>,
    limit: u64,
    path: &Path,
) -> Result<(), ExecutorError> {
    let broken = |error| io_error(format!("writing the log {}", path.display()), error);
    let mut log = CappedLog::create(path, limit).map_err(broken)?;
    loop {
        let has_ended = *ended.borrow();
        let mut chunks = Box::pin(chunks(docker, container, !has_ended, log.seen()));
        loop {
            let chunk = tokio::select! {
                chunk = chunks.next() => chunk,
                () = silence_after(&mut ended), if !has_ended => None,
            };
            match chunk {
                Some(Ok(bytes)) => log.append(bytes.as_ref()).map_err(broken)?,
                Some(Err(error)) if has_ended => return Err(error),
                Some(Err(_)) | None => break,
            }
        }
        // Following loses a last line without a newline (moby issue 43860): what has ended is read once more. With
        // more than fits, nothing is to be gained.
        if has_ended || (*ended.borrow() && log.is_full()) {
            return log.finish().map_err(broken);
        }
        if !*ended.borrow() {
            let _ = tokio::time::timeout(RETRY, ended.wait_for(|ended| *ended)).await;
        }
    }
}

async fn silence_after(ended: &mut watch::Receiver<bool>) {
    // Without a sender the watch is gone, and with it the attempt.
    let _ = ended.wait_for(|ended| *ended).await;
    tokio::time::sleep(SILENCE).await;
}

/// What was written, but for the first `skip` bytes.
fn chunks(
    docker: &Docker,
    container: &str,
    follow: bool,
    mut skip: u64,
) -> impl futures_util::Stream<Item = Result<impl AsRef<[u8]>, ExecutorError>> {
    let options = LogsOptionsBuilder::default().follow(follow).stdout(true).stderr(true).build();
    docker
        .logs(container, Some(options))
        .map_ok(move |output| {
            let mut bytes = output.into_bytes();
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            skip -= known as u64;
            bytes.split_off(known)
        })
        .map_err(|error| failed("reading the log")(error))
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
