//! Which files differ between two commits, seen from git's own tree objects: nothing is checked out, and only files that can
//! change without changing their meaning are read at all.

use std::path::Path;

use tokio::time::Instant;

use super::{Fetch, FetchLimits, FetchSource, Git, GitError, is_full_sha};
use crate::git::program::Scratch;

/// Where the commit before is kept while git works.
const BEFORE: &str = "refs/docent/before";

/// The largest file that is read to be judged; a larger one counts as changed.
const MAX_BLOB: usize = 32 << 20;
/// What is read altogether; what is beyond counts as changed.
const MAX_READ: usize = 256 << 20;

/// How a change is judged where bytes alone do not decide.
#[derive(Debug, Clone, Copy)]
pub struct Judge<W, M> {
    /// Whether the file has to be read to know.
    pub wants: W,
    /// Whether it differs in meaning.
    pub is_meaningful: M,
}

/// A file that differs.
struct Difference {
    path: String,
    before: String,
    after: String,
    /// A plain file on both sides.
    is_plain: bool,
}

impl Git {
    /// The paths of files that differ between the commits `before` and `after`. Where the forge has no `before` any more, these
    /// are all files of `after`. Works in a directory below `folder`, which must exist; nothing is left there.
    ///
    /// # Errors
    /// See [`GitError`].
    pub async fn compare<W, M>(
        &self,
        source: &FetchSource,
        before: &str,
        after: &str,
        folder: &Path,
        limits: &FetchLimits,
        judge: Judge<W, M>,
    ) -> Result<Vec<String>, GitError>
    where
        W: Fn(&str) -> bool + Send,
        M: Fn(&str, &[u8], &[u8]) -> bool + Send,
    {
        if !is_full_sha(before) {
            return Err(GitError::Other { detail: format!("{before:?} is no full SHA in lower case") });
        }
        let deadline = Instant::now() + limits.timeout;
        let scratch = Scratch::new(folder)?;
        let fetch = Fetch::new(self, source, after, limits, deadline, &scratch)?;
        super::tree::prepare(&fetch.git_dir, &fetch.work_tree, fetch.sha.len() == 64)?;
        fetch.receive().await?;
        let from = match fetch.receive_one(before, BEFORE).await {
            Ok(()) => (fetch.commit_at(BEFORE).await? == before).then_some(before),
            Err(GitError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        let from = from.unwrap_or_else(|| empty_tree(after));
        let differences = fetch.differences(from).await?;
        fetch.judge(differences, judge).await
    }
}

impl Fetch<'_> {
    async fn differences(&self, from: &str) -> Result<Vec<Difference>, GitError> {
        let args = ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-ext-diff", "--full-index"];
        let args = self.args(&[&args[..], &["--no-commit-id", from, self.sha, "--"]].concat());
        let mut listing = Listing { most: self.limits.max_files, ..Listing::default() };
        self.environment
            .run(&self.work_tree, &args, self.deadline, None, |bytes| listing.read(bytes))
            .await?;
        listing.finish()
    }

    async fn judge<W, M>(
        &self,
        differences: Vec<Difference>,
        judge: Judge<W, M>,
    ) -> Result<Vec<String>, GitError>
    where
        W: Fn(&str) -> bool + Send,
        M: Fn(&str, &[u8], &[u8]) -> bool + Send,
    {
        let (mut changed, mut read) = (Vec::new(), 0);
        for difference in differences {
            let Difference { path, before, after, is_plain } = difference;
            if is_plain && read < MAX_READ && (judge.wants)(&path) {
                let (before, after) = (self.blob(&before).await?, self.blob(&after).await?);
                if let (Some(before), Some(after)) = (before, after) {
                    read += before.len() + after.len();
                    if !(judge.is_meaningful)(&path, &before, &after) {
                        continue;
                    }
                }
            }
            changed.push(path);
        }
        Ok(changed)
    }

    /// The content of a file; none if it is too large to be looked at.
    pub(super) async fn blob(&self, id: &str) -> Result<Option<Vec<u8>>, GitError> {
        let mut content = Vec::new();
        let args = self.args(&["cat-file", "blob", id]);
        let read = self.environment.run(&self.work_tree, &args, self.deadline, None, |bytes| {
            content.extend_from_slice(bytes);
            match content.len() > MAX_BLOB {
                true => Err(GitError::TooLarge { what: "a file that was to be compared".to_owned() }),
                false => Ok(()),
            }
        });
        match read.await {
            Ok(()) => Ok(Some(content)),
            Err(GitError::TooLarge { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The tree without files, which every git knows.
fn empty_tree(sha: &str) -> &'static str {
    match sha.len() {
        64 => "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74de5321ef",
        _ => "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    }
}

/// What `git diff-tree -z --raw` prints, read while it is printed: `:MODE MODE SHA SHA LETTER<nul>PATH<nul>`, again and again.
#[derive(Default)]
struct Listing {
    most: u64,
    pending: Vec<u8>,
    head: Option<String>,
    found: Vec<Difference>,
}

impl Listing {
    fn read(&mut self, bytes: &[u8]) -> Result<(), GitError> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            self.pending.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let record = String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned();
            match self.head.take() {
                None => self.head = Some(record),
                Some(head) => self.found.push(difference(&head, record)?),
            }
        }
        self.pending.extend_from_slice(rest);
        match self.pending.len() > 64 * 1024 || self.found.len() as u64 > self.most {
            true => Err(GitError::TooLarge { what: format!("more than {} files differ", self.most) }),
            false => Ok(()),
        }
    }

    fn finish(self) -> Result<Vec<Difference>, GitError> {
        match self.pending.is_empty() && self.head.is_none() {
            true => Ok(self.found),
            false => Err(GitError::Other { detail: "the list of differences broke off".to_owned() }),
        }
    }
}

fn difference(head: &str, path: String) -> Result<Difference, GitError> {
    let fields: Vec<&str> = head.trim_start_matches(':').split(' ').collect();
    let &[mode_before, mode_after, before, after, _] = fields.as_slice() else {
        return Err(GitError::Other { detail: "the list of differences cannot be read".to_owned() });
    };
    let is_plain = mode_before.starts_with("100") && mode_after.starts_with("100");
    Ok(Difference { path, before: before.to_owned(), after: after.to_owned(), is_plain })
}
