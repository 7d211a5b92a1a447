//! Environments that outlive the run that built them: the same lock gives the same environment, so it is built once.
//!
//! What a stranger's pull request has built never serves trusted code: packages built from source run code while they are
//! built.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::id::RunId;
use super::run::{Kept, Run};
use super::time::Time;

/// An environment that stays with the executor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptEnvironment {
    /// What it was made from.
    pub key: String,
    /// The run that made it; it bears that run's name.
    pub run: RunId,
    /// When it was made.
    pub made_at: Time,
    /// When a run last began to use it.
    pub used_at: Time,
}

/// Which environment a run uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentUse {
    /// What it is made from.
    pub key: String,
    /// The run that made it: this one, or an earlier one.
    pub of: RunId,
}

/// What the environment of this run is made from, once its lock is there: two runs with the same key may share one. None as
/// long as that is not known, or where it cannot be told which image it is built in.
pub fn key(run: &Run) -> Option<String> {
    let recipe = run.recipe.as_ref()?;
    let image = recipe.image_identity.as_ref()?;
    let lock = &lock(run)?.digest;
    let trust = if run.request.is_untrusted { "untrusted" } else { "trusted" };
    Some(digest(&["docent.environment.1", trust, image, &recipe.digest, &recipe.settings_digest, lock]))
}

/// The lock that a tier of this run has left.
pub fn lock(run: &Run) -> Option<&Kept> {
    run.tiers.iter().find_map(|tier| {
        let name = tier.tier.lock.as_ref()?;
        let attempt = tier.attempts.last()?;
        attempt.artifacts.iter().find(|kept| kept.name == *name)
    })
}

/// SHA-256 over the parts, none of which can run into the next; hexadecimal.
pub fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
