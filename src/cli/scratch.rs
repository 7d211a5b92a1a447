//! The state of `docent run` and `docent demo`: a folder that goes with its process, and is put away by the next one if that
//! process was killed. What runs remember for the next one is in a folder that stays, which one run at a time may have.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::Trouble;
use super::assemble::{self, random_id};
use crate::config::ExecutorKind;
use crate::executor::{Executor, ExecutorError};
use crate::recipes::Shelf;

const PREFIX: &str = "run-";
/// The folder that stays, and the file in it that has the instance.
const MEMORY: &str = "here";
const INSTANCE: &str = "instance";
/// Held by the process as long as it lives.
const ALIVE: &str = "alive";

/// A state of this process's own, with the images of everybody. Its attempts are called like those of any other run on this
/// machine, and a daemon's: in one folder each would remove the other's as leftovers.
pub struct Scratch {
    folder: PathBuf,
    instance: String,
    stays: bool,
    _alive: Flock<File>,
}

impl Scratch {
    /// A new one below `home`.
    pub fn new(home: &Path) -> Result<Self, Trouble> {
        std::fs::create_dir_all(home.join("images"))?;
        let home = std::fs::canonicalize(home)?;
        let instance = random_id();
        // Under its name only when it is held: until then it looks like one whose process was killed.
        let unfinished = home.join(format!("new-{instance}"));
        std::fs::create_dir(&unfinished)?;
        let alive = hold(&unfinished)?
            .ok_or_else(|| Trouble::Machinery(anyhow::anyhow!("{} is held", unfinished.display())))?;
        open_to_sandboxes(&unfinished)?;
        let folder = home.join(format!("{PREFIX}{instance}"));
        std::fs::rename(&unfinished, &folder)?;
        Ok(Self { folder, instance, stays: false, _alive: alive })
    }

    /// The one that stays; none while another run has it.
    pub fn memory(home: &Path) -> Result<Option<Self>, Trouble> {
        let folder = home.join(MEMORY);
        std::fs::create_dir_all(&folder)?;
        std::fs::create_dir_all(home.join("images"))?;
        let folder = std::fs::canonicalize(folder)?;
        let Some(alive) = hold(&folder)? else { return Ok(None) };
        open_to_sandboxes(&folder)?;
        let file = folder.join(INSTANCE);
        let instance = match known_instance(&folder) {
            Some(known) => known,
            None => {
                let new = random_id();
                let whole = folder.join(format!("{INSTANCE}.new"));
                std::fs::write(&whole, &new)?;
                std::fs::rename(whole, file)?;
                new
            }
        };
        Ok(Some(Self { folder, instance, stays: true, _alive: alive }))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// What tells its attempts from those of all others.
    pub fn instance(&self) -> &str {
        &self.instance
    }
}

/// Sandboxes of root run as nobody, who must be able to pass, and to reach everybody's images.
fn open_to_sandboxes(folder: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711))?;
    match std::os::unix::fs::symlink("../images", folder.join("images")) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// What the runs that remember are called at the engine: it becomes a part of the names of containers and folders.
fn known_instance(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(INSTANCE)).ok()?;
    let is_one = !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then_some(text)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "could not be put away");
        }
    }
}

/// Puts away what killed processes have left below `home`: their attempts, then their folders. What cannot be reached now
/// (an engine that does not answer) is left for the next time.
pub async fn sweep(home: &Path, socket: Option<&str>, shelf: &Shelf) {
    for entry in std::fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(instance) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let Ok(Some(held)) = hold(&entry.path()) else { continue };
        match put_away(&entry.path(), instance, socket, shelf).await {
            Ok(()) => {
                let _ = std::fs::remove_dir_all(entry.path());
            }
            Err(error) => tracing::warn!(%error, folder = %entry.path().display(), "cannot be put away yet"),
        }
        drop(held);
    }
    // Of runs that remember, environments stay.
    let memory = home.join(MEMORY);
    let is_left = std::fs::read_dir(memory.join("work")).is_ok_and(|mut work| work.next().is_some());
    if is_left
        && let (Some(instance), Ok(Some(_held))) = (known_instance(&memory), hold(&memory))
        && let Err(error) = put_away(&memory, &instance, socket, shelf).await
    {
        tracing::warn!(%error, folder = %memory.display(), "cannot be put away yet");
    }
}

async fn put_away(
    folder: &Path,
    instance: &str,
    socket: Option<&str>,
    shelf: &Shelf,
) -> Result<(), ExecutorError> {
    for kind in [ExecutorKind::Container, ExecutorKind::Sandbox] {
        // An executor that is not on this machine ran nothing here.
        let Ok(executor) = assemble::executor(kind, socket, &[], folder, instance, shelf).await else {
            continue;
        };
        let left = executor.list().await?;
        for attempt in &left.attempts {
            executor.remove(attempt).await?;
        }
        for run in &left.runs {
            executor.release(*run).await?;
        }
    }
    Ok(())
}

/// The folder's lock; none if a living process holds it.
fn hold(folder: &Path) -> std::io::Result<Option<Flock<File>>> {
    let file = File::options().create(true).append(true).open(folder.join(ALIVE))?;
    Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).ok())
}
