//! What a run should know of deferrals, found while it is prepared.
//!
//! Of a pull request it is the file of the commit that it would merge into: what announces a failure comes from where
//! somebody has reviewed it, so no pull request excuses itself. Of everything else it is the commit's own, and where nobody
//! has reviewed that, the words say so.

use std::path::Path;

use super::Daemon;
use super::dispatch::passing;
use crate::core::deferred::{FILE, Known, MAX_BYTES, read_bytes};
use crate::core::event::Fault;
use crate::core::id::{RepositoryId, Sha};
use crate::core::run::Run;
use crate::executor::Executor;
use crate::forge::{Forge, Reporter};
use crate::git::{FetchLimits, FetchSource};

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// The open deferrals that name tests. That they cannot be told stops no run: the second is what is said of it.
    pub(super) async fn deferred(&self, run: &Run) -> (Vec<Known>, Option<String>) {
        let own = own(&self.checkout_dir(run));
        let known = Known::of(&read_bytes(&own, FILE), run.request.is_untrusted);
        let (Some(pull), Some(base)) = (&run.request.pull, &run.request.base) else { return (known, None) };
        // Where the change knows of none, fetching the base would be for nothing.
        if known.is_empty() {
            return (known, None);
        }
        match self.reviewed(run, &pull.repository, base).await {
            Ok(reviewed) => (Known::of(&read_bytes(&reviewed, FILE), false), None),
            Err(fault) => {
                let base = base.short();
                let said =
                    format!("which failures are deferred is not known: {FILE} at {base}: {}", fault.text);
                (Vec::new(), Some(said))
            }
        }
    }

    /// The file as it is in the commit that a pull request would merge into; empty where there is none.
    async fn reviewed(&self, run: &Run, repository: &RepositoryId, base: &Sha) -> Result<Vec<u8>, Fault> {
        // A pull request's own ref does not lead to its base.
        let source = FetchSource { fallback_ref: None, ..self.source(run, repository).await? };
        let folder = self.work_dir(run.id);
        let found = self.0.git.file(&source, base.as_str(), FILE, &folder, &FetchLimits::default()).await?;
        Ok(found.unwrap_or_default())
    }

    /// The commit whose files a local folder holds, if it holds exactly those of one.
    pub(super) async fn commit_of(&self, run: &Run) -> Result<Option<Sha>, Fault> {
        let folder = Path::new(&run.request.place);
        if run.request.sha.is_some() || !folder.join(".git").exists() {
            return Ok(None);
        }
        let Ok(local) = self.0.git.local(folder).await else { return Ok(None) };
        let is_exactly = local.is_exactly(&self.checkout_dir(run)).await;
        let is_exactly = is_exactly.map_err(|error| passing(error.to_string()))?;
        Ok(is_exactly.then(|| local.head().clone()))
    }
}

/// The file in a checkout, of which nothing is followed; empty where there is none that can be used.
fn own(checkout: &Path) -> Vec<u8> {
    let file = checkout.join(FILE);
    let is_usable = |meta: std::fs::Metadata| meta.is_file() && meta.len() <= MAX_BYTES as u64;
    match std::fs::symlink_metadata(&file).is_ok_and(is_usable) {
        true => std::fs::read(&file).unwrap_or_default(),
        false => Vec::new(),
    }
}
