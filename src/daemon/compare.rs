//! What a push changed: both commits are fetched into a folder of their own, compared, and forgotten.

use std::path::PathBuf;

use super::Daemon;
use super::dispatch::{ours, passing};
use crate::core::decide::Interest;
use crate::core::event::{Event, Fault};
use crate::core::id::{Line, Sha};
use crate::core::meaning;
use crate::executor::Executor;
use crate::forge::{Forge, Reporter};
use crate::git::{BasicCredential, FetchLimits, FetchSource, Judge, is_plain_ref};

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// Finds out which files a push changed in meaning.
    pub(super) async fn compare(&self, line: &Line, before: &Sha, after: &Sha) -> Result<Event, Fault> {
        let policy = self.policy();
        let id = line.repository();
        let (Some(watched), Some(repository), Some(rules)) =
            (self.0.forges.get(&id.forge), self.repository(id), policy.repository(id))
        else {
            return Err(ours("the repository is not watched any more"));
        };
        let pull = match line {
            Line::Pull(pull) => Some(pull.number),
            Line::Branch(_) => None,
        };
        let (source, head) = watched.forge.clone_source(&repository, pull).await?;
        let credential = source.credential.map(|(username, token)| BasicCredential { username, token });
        let fallback_ref = head.or_else(|| branch_ref(line));
        let source = FetchSource { url: source.url, credential, fallback_ref };
        let folder = self.compare_dir();
        tokio::fs::create_dir_all(&folder)
            .await
            .map_err(|error| passing(format!("{}: {error}", folder.display())))?;
        let interest = Interest::of(rules);
        let judge = Judge {
            wants: |path: &str| interest.takes(path) && meaning::has_meaning_free_parts(path),
            is_meaningful: |path: &str, before: &[u8], after: &[u8]| {
                meaning::is_meaningful(path, Some(before), Some(after))
            },
        };
        let git = &self.0.git;
        let limits = FetchLimits::default();
        let changed = git.compare(&source, before.as_str(), after.as_str(), &folder, &limits, judge).await?;
        tracing::debug!(%line, before = before.short(), after = after.short(), files = changed.len(), "compared");
        Ok(Event::Compared { line: line.clone(), before: before.clone(), after: after.clone(), changed })
    }

    /// Where comparisons work.
    fn compare_dir(&self) -> PathBuf {
        self.0.state_dir.join("compare")
    }

    /// Removes what comparisons of an earlier docent have left. Before any begins.
    pub(super) async fn clear_comparisons(&self) {
        let folder = self.compare_dir();
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(folder = %folder.display(), %error, "could not be removed yet");
            }
            _ => {}
        }
    }
}

/// The reference of a watched branch, where its name can be asked for.
pub(super) fn branch_ref(line: &Line) -> Option<String> {
    let Line::Branch(branch) = line else { return None };
    Some(format!("refs/heads/{}", branch.name)).filter(|name| is_plain_ref(name))
}
