//! One file of a commit, without a checkout.

use std::path::Path;

use tokio::time::Instant;

use super::program::Scratch;
use super::{Fetch, FetchLimits, FetchSource, Git, GitError};

impl Git {
    /// The file `path` of the commit `sha`; none if there is no such file, or one too large to be looked at. Works in a
    /// directory below `folder`, which must exist; nothing is left there.
    ///
    /// # Errors
    /// See [`GitError`].
    pub async fn file(
        &self,
        source: &FetchSource,
        sha: &str,
        path: &str,
        folder: &Path,
        limits: &FetchLimits,
    ) -> Result<Option<Vec<u8>>, GitError> {
        let scratch = Scratch::new(folder)?;
        let deadline = Instant::now() + limits.timeout;
        let fetch = Fetch::new(self, source, sha, limits, deadline, &scratch)?;
        super::tree::prepare(&fetch.git_dir, &fetch.work_tree, sha.len() == 64)?;
        fetch.receive().await?;
        fetch.verify().await?;
        let found = fetch.run(&["ls-tree", "-z", "--full-tree", sha, "--", path]).await?;
        // `100644 blob ID<tab>PATH`: a link's text is no content.
        let head = found.split_once('\t').map_or("", |(head, _)| head);
        match head.strip_prefix("100").and_then(|head| head.split_once(" blob ")) {
            Some((_, id)) => fetch.blob(id).await,
            None => Ok(None),
        }
    }
}
