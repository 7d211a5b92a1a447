//! The lock before a run's own: what is told of the changes since, and what a sticky resolution begins with.

use std::collections::BTreeMap;
use std::path::Path;

use super::Daemon;
use super::dispatch::passing;
use crate::bundle;
use crate::core::curated;
use crate::core::environment;
use crate::core::event::Fault;
use crate::core::lock::{self, LockChanges, Since};
use crate::core::recipe::Recipe;
use crate::core::run::{Kept, Run};
use crate::core::spec::yaml::MAX_BYTES;
use crate::executor::Executor;
use crate::forge::{Forge, Reporter};

/// What was resolved in the run that a bundle repeats, as it stands in the bundle and in `/in`.
pub(super) const GIVEN: [&str; 2] = [super::execute::LOCK, "pip_compiler_output.txt"];
/// The lock that a sticky resolution begins with, in `/in`.
const BEFORE: &str = "previous.lock";
/// Earlier runs among which one with a lock is looked for.
const LOOKED_AT: u32 = 50;
/// The largest lock that is read, in bytes: steps write no larger one.
const MAX_LOCK: u64 = 16 << 20;

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// What has changed since the lock before, if this run has a lock, there is one before it, and nobody has looked yet.
    pub(super) async fn lock_changes(&self, run: &Run) -> Result<Option<LockChanges>, Fault> {
        let Some(own) = environment::lock(run).filter(|_| run.lock_changes.is_none()) else {
            return Ok(None);
        };
        let Some((since, before)) = self.lock_before(run).await? else { return Ok(None) };
        let own = self.lock_text(own).await;
        Ok(own.map(|own| lock::compare(&before, &own, since)))
    }

    /// The lock before that of `run`, and whose it is: of the latest trusted run of the same branch and spec, else what stands in
    /// the spec itself.
    pub(super) async fn lock_before(&self, run: &Run) -> Result<Option<(Since, String)>, Fault> {
        if let Some(repository) = run.request.repository() {
            let branch = match (&run.request.pull, run.request.branch()) {
                (Some(pull), _) => self.0.store.pull(pull).await?.map(|pull| pull.now.base_branch),
                (None, branch) => branch.map(|branch| branch.name.clone()),
            };
            for earlier in self.0.store.trusted_runs(repository, run.id, LOOKED_AT).await? {
                let kept = environment::lock(&earlier);
                let Some(kept) = kept.filter(|_| lock::may_precede(&earlier, run, branch.as_deref())) else {
                    continue;
                };
                // Locks are kept no longer than other artifacts.
                if let Some(text) = self.lock_text(kept).await {
                    return Ok(Some((Since::Run { run: earlier.id }, text)));
                }
            }
        }
        Ok(self.lock_in_spec(run).await.map(|text| (Since::Spec, text)))
    }

    /// What a tier that resolves finds in `/in`: what was resolved in the run that is repeated, or the lock that a sticky resolution
    /// begins with.
    pub(super) async fn lock_inputs(
        &self,
        run: &Run,
        recipe: &Recipe,
    ) -> Result<BTreeMap<String, Vec<u8>>, Fault> {
        let mut inputs = BTreeMap::new();
        if let Some(unpacked) = &run.request.bundle {
            let folder = Path::new(&unpacked.folder).join(bundle::LOCK);
            for name in GIVEN {
                match tokio::fs::read(folder.join(name)).await {
                    Ok(bytes) => drop(inputs.insert(name.to_owned(), bytes)),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(passing(format!("{}: {error}", folder.join(name).display()))),
                }
            }
        }
        if inputs.is_empty()
            && lock::is_sticky(recipe)
            && !run.request.options.full
            && let Some((_, before)) = self.lock_before(run).await?
        {
            inputs.insert(BEFORE.to_owned(), before.into_bytes());
        }
        Ok(inputs)
    }

    async fn lock_text(&self, kept: &Kept) -> Option<String> {
        let path = self.0.files.path(&kept.digest).filter(|_| kept.size <= MAX_LOCK)?;
        String::from_utf8(tokio::fs::read(path).await.ok()?).ok()
    }

    async fn lock_in_spec(&self, run: &Run) -> Option<String> {
        let curation = run.plan.as_ref()?.curation.as_ref()?;
        let file = self.checkout_dir(run).join(&curation.spec);
        let meta = tokio::fs::symlink_metadata(&file).await.ok()?;
        if !meta.is_file() || meta.len() > MAX_BYTES as u64 {
            return None;
        }
        curated::locked(&tokio::fs::read_to_string(file).await.ok()?)
    }
}
