//! Logs and artifacts: files named by their content. The database holds their digests.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::core::id::{AttemptId, RunId};
use crate::core::run::Kept;
use crate::core::time::Time;

/// The folder of kept files, and of the logs of attempts that run now.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// Files below `state`; the folders are made.
    pub fn open(state: &Path) -> io::Result<Self> {
        let files = Self { root: state.to_owned() };
        fs::create_dir_all(files.root.join("kept"))?;
        fs::create_dir_all(files.root.join("logs"))?;
        Ok(files)
    }

    /// Where the log of a running attempt grows.
    pub fn live_log(&self, attempt: &AttemptId) -> PathBuf {
        self.root.join("logs").join(format!("{attempt}.log"))
    }

    /// Attempts whose growing logs are there.
    pub fn live_logs(&self) -> Vec<AttemptId> {
        let entries = fs::read_dir(self.root.join("logs")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok()).collect()
    }

    /// Where a kept file is; none when `digest` is none.
    pub fn path(&self, digest: &str) -> Option<PathBuf> {
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then(|| self.root.join("kept").join(&digest[..2]).join(digest))
    }

    /// Keeps a copy of `from` under the digest of its content. Keeping the same content again is harmless.
    pub fn keep(&self, from: &Path, name: &str) -> io::Result<Kept> {
        let mut source = File::open(from)?;
        let mut copy = tempfile::NamedTempFile::new_in(self.root.join("kept"))?;
        let (mut digest, mut size) = (Sha256::new(), 0_u64);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = source.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            digest.update(&buffer[..read]);
            copy.write_all(&buffer[..read])?;
            size += read as u64;
        }
        let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let place = self.path(&digest).ok_or_else(|| io::Error::other("a digest that is none"))?;
        // What is there already is replaced by the same content: its age, by which it is pruned, begins anew.
        fs::create_dir_all(place.parent().unwrap_or(&self.root))?;
        copy.as_file().sync_all()?;
        copy.persist(&place).map_err(|error| error.error)?;
        Ok(Kept { name: name.to_owned(), digest, size })
    }

    /// Removes kept files, and what a crash left of unfinished ones, that were last kept before `before`. Gives how many.
    pub fn prune(&self, before: Time) -> io::Result<usize> {
        let mut count = 0;
        for entry in walkdir::WalkDir::new(self.root.join("kept")) {
            let entry = entry.map_err(io::Error::other)?;
            let kept_at = entry.metadata().map_err(io::Error::other)?.modified()?;
            if entry.file_type().is_file() && Time::from(kept_at) < before {
                fs::remove_file(entry.path())?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Keeps the log of an attempt that has ended; none when there is none.
    pub fn keep_log(&self, attempt: &AttemptId) -> io::Result<Option<Kept>> {
        match self.keep(&self.live_log(attempt), &format!("{attempt}.log")) {
            Ok(kept) => Ok(Some(kept)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the growing log of an attempt, once it is kept.
    pub fn drop_live_log(&self, attempt: &AttemptId) -> io::Result<()> {
        match fs::remove_file(self.live_log(attempt)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes the growing logs of a run that is torn down.
    pub fn drop_live_logs(&self, run: RunId) -> io::Result<()> {
        let mut of_run = self.live_logs().into_iter().filter(|attempt| attempt.run == run);
        of_run.try_for_each(|attempt| self.drop_live_log(&attempt))
    }

    /// Keeps every file below `folder`, named by its path there. Only regular files; nothing is followed.
    pub fn keep_folder(&self, folder: &Path) -> io::Result<Vec<Kept>> {
        let mut kept = Vec::new();
        for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
            let entry = entry.map_err(io::Error::other)?;
            if !entry.file_type().is_file() {
                continue;
            }
            let name = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            let parts = name.components().map(|part| part.as_os_str().to_string_lossy());
            let name = parts.collect::<Vec<_>>().join("/");
            kept.push(self.keep(entry.path(), &name)?);
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::Duration;

    #[test]
    fn the_same_content_is_kept_once_and_pruned_by_its_age() {
        let state = tempfile::tempdir().unwrap();
        let files = Files::open(state.path()).unwrap();
        let from = state.path().join("x");
        fs::write(&from, "hello").unwrap();
        let (one, two) = (files.keep(&from, "a").unwrap(), files.keep(&from, "b").unwrap());
        assert_eq!((one.digest.as_str(), one.size), (two.digest.as_str(), 5));
        let place = files.path(&one.digest).unwrap();
        let now = Time::from(fs::metadata(&place).unwrap().modified().unwrap());
        assert_eq!(files.prune(now - Duration::hours(1)).unwrap(), 0);
        assert_eq!((files.prune(now + Duration::hours(1)).unwrap(), place.exists()), (1, false));
        assert_eq!(files.path("../../etc/passwd"), None);
    }
}
