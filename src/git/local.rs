//! A repository on this machine, read as it is committed. Nothing in it is followed: no hook, filter or configured program runs,
//! and nothing is fetched.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::program::{Environment, Scratch};
use super::{Git, GitError};
use crate::core::id::Sha;

/// For one question.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest file that is read.
const MAX_FILE: usize = 100 << 20;
/// Of the list of a commit's files.
const MAX_LIST: usize = 64 << 20;
/// Paths of one call.
const PATHS: usize = 200;

/// A repository, and what is checked out in it.
pub struct Local {
    environment: Environment,
    scratch: Scratch,
    git_dir: PathBuf,
    head: Sha,
}

impl Git {
    /// The repository that `folder` stands in.
    ///
    /// # Errors
    /// There is none, or no commit in it.
    pub async fn local(&self, folder: &Path) -> Result<Local, GitError> {
        let scratch = Scratch::new(&std::env::temp_dir())?;
        let mut environment = Environment::new(&self.program, &scratch);
        // Whose it is does not matter where nothing of it is obeyed.
        environment.configure("safe.directory", "*");
        let deadline = Instant::now() + PATIENCE;
        let args = ["rev-parse", "--absolute-git-dir", "--verify", "HEAD^{commit}"];
        let answer = environment.output(folder, &args, deadline).await?;
        let unknown = || GitError::Other { detail: format!("{} has no commit yet", folder.display()) };
        let (git_dir, head) = answer.trim_end().rsplit_once('\n').ok_or_else(unknown)?;
        let head = head.parse().map_err(|_| unknown())?;
        Ok(Local { environment, git_dir: git_dir.into(), scratch, head })
    }
}

impl Local {
    /// The commit that is checked out.
    pub fn head(&self) -> &Sha {
        &self.head
    }

    /// A file of that commit; none if there is none.
    pub async fn file(&self, path: &str) -> Option<Vec<u8>> {
        self.read(&["cat-file", "blob", &format!("{}:{path}", self.head)], MAX_FILE).await.ok()
    }

    /// Whether a commit is the one that is checked out, or one before it. One that is not here is neither.
    pub async fn has_in_history(&self, sha: &Sha) -> bool {
        let base = self.read(&["merge-base", sha.as_str(), self.head.as_str()], 1 << 10).await;
        base.is_ok_and(|base| base.trim_ascii() == sha.as_str().as_bytes())
    }

    /// Whether a folder holds the files of that commit, byte for byte, and no others. What holds submodules does not.
    ///
    /// # Errors
    /// See [`GitError`].
    pub async fn is_exactly(&self, folder: &Path) -> Result<bool, GitError> {
        let args = ["ls-tree", "-r", "-z", "--full-tree", self.head.as_str()];
        let listing = self.read(&args, MAX_LIST).await?;
        let mut committed = BTreeMap::new();
        for record in listing.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
            let Some((mode, id, path)) = entry(record) else { return Ok(false) };
            committed.insert(path.to_vec(), (mode, id));
        }
        let unreadable =
            |error| GitError::Disk { what: format!("{} cannot be read", folder.display()), error };
        let (mut paths, mut ids) = (Vec::new(), Vec::new());
        for found in walkdir::WalkDir::new(folder) {
            let found = found.map_err(|error| unreadable(error.into()))?;
            if found.file_type().is_dir() {
                continue;
            }
            let path = found.path().strip_prefix(folder).unwrap_or(found.path());
            let Some((mode, id)) = committed.remove(path.as_os_str().as_bytes()) else { return Ok(false) };
            if found.file_type().is_symlink() {
                let target = std::fs::read_link(found.path()).map_err(unreadable)?;
                let is_same = |text: Vec<u8>| text == target.as_os_str().as_bytes();
                if mode != "120000"
                    || !self.read(&["cat-file", "blob", &id], 1 << 16).await.is_ok_and(is_same)
                {
                    return Ok(false);
                }
                continue;
            }
            let permissions = found.metadata().map_err(|error| unreadable(error.into()))?.permissions();
            if mode != if permissions.mode() & 0o100 == 0 { "100644" } else { "100755" } {
                return Ok(false);
            }
            paths.push(path.to_owned());
            ids.push(id);
        }
        Ok(committed.is_empty() && self.are_stored_as(folder, &paths, &ids).await?)
    }

    /// Whether files would be stored under these names, as they are.
    async fn are_stored_as(
        &self,
        folder: &Path,
        paths: &[PathBuf],
        ids: &[String],
    ) -> Result<bool, GitError> {
        for (paths, ids) in paths.chunks(PATHS).zip(ids.chunks(PATHS)) {
            let mut args = self.args(&["hash-object", "--no-filters", "--"]);
            args.extend(paths.iter().map(|path| folder.join(path).into_os_string()));
            let mut found = Vec::new();
            let deadline = Instant::now() + PATIENCE;
            let keep = |bytes: &[u8]| {
                found.extend_from_slice(bytes);
                Ok(())
            };
            self.environment.run(self.scratch.path(), &args, deadline, None, keep).await?;
            if !String::from_utf8_lossy(&found).lines().eq(ids.iter().map(String::as_str)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn read(&self, args: &[&str], most: usize) -> Result<Vec<u8>, GitError> {
        let mut content = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        let keep = |bytes: &[u8]| {
            content.extend_from_slice(bytes);
            match content.len() > most {
                true => Err(GitError::TooLarge { what: format!("more than {most} bytes") }),
                false => Ok(()),
            }
        };
        self.environment.run(self.scratch.path(), &self.args(args), deadline, None, keep).await?;
        Ok(content)
    }

    fn args(&self, args: &[&str]) -> Vec<std::ffi::OsString> {
        let mut git_dir = std::ffi::OsString::from("--git-dir=");
        git_dir.push(&self.git_dir);
        [git_dir].into_iter().chain(args.iter().map(Into::into)).collect()
    }
}

/// `MODE TYPE ID<tab>PATH`; none for what is no file.
fn entry(record: &[u8]) -> Option<(String, String, &[u8])> {
    let tab = record.iter().position(|byte| *byte == b'\t')?;
    let head = std::str::from_utf8(&record[..tab]).ok()?;
    let (mode, rest) = head.split_once(' ')?;
    let id = rest.strip_prefix("blob ")?;
    Some((mode.to_owned(), id.to_owned(), &record[tab + 1..]))
}
