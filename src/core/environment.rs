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
    /// How large it was when it was made; none where nobody could tell.
    #[serde(default)]
    pub bytes: Option<u64>,
}

/// Which environment a run uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentUse {
    /// What it is made from.
    pub key: String,
    /// The run that made it: this one, or an earlier one.
    pub of: RunId,
    /// How large it is, where this run has made it and that is known.
    #[serde(default)]
    pub bytes: Option<u64>,
}

/// The environment that goes next, for the rest to be no more than so many of no more than so many bytes together: the one that nobody
/// has used for the longest time, and none that is in use. One whose size nobody knows weighs nothing.
pub fn superfluous<'a>(
    kept: impl Iterator<Item = &'a KeptEnvironment> + Clone,
    (most, most_bytes): (usize, u64),
    is_used: impl Fn(&KeptEnvironment) -> bool,
) -> Option<RunId> {
    let bytes = kept.clone().fold(0_u64, |sum, it| sum.saturating_add(it.bytes.unwrap_or(0)));
    let too_many = kept.clone().count() > most;
    // It would not help to drop what weighs nothing.
    let helps = |it: &&KeptEnvironment| too_many || it.bytes.is_some_and(|bytes| bytes > 0);
    let idle = kept.filter(|it| (too_many || bytes > most_bytes) && !is_used(it)).filter(helps);
    idle.min_by_key(|it| (it.used_at, it.run)).map(|it| it.run)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_used_for_the_longest_time_goes_and_nothing_in_use() {
        // Run, minute of the last use, bytes.
        type Kept<'a> = &'a [(i64, i64, Option<u64>)];
        type Case<'a> = (Kept<'a>, (usize, u64), &'a [i64], Option<i64>);
        let cases: &[Case<'_>] = &[
            (&[], (0, 0), &[], None),
            (&[(1, 1, Some(5)), (2, 2, Some(5))], (2, 10), &[], None),
            (&[(1, 1, Some(5)), (2, 2, Some(5))], (1, 10), &[], Some(1)),
            (&[(1, 2, Some(5)), (2, 1, Some(5))], (1, 10), &[], Some(2)),
            (&[(1, 1, Some(5)), (2, 2, Some(6))], (2, 10), &[], Some(1)),
            (&[(1, 1, Some(5)), (2, 2, Some(6))], (2, 10), &[1], Some(2)),
            (&[(1, 1, Some(5)), (2, 2, Some(6))], (0, 0), &[1, 2], None),
            (&[(1, 1, None), (2, 2, Some(11))], (2, 10), &[], Some(2)),
            (&[(1, 1, None), (2, 2, Some(11))], (1, 10), &[], Some(1)),
            (&[(1, 1, Some(u64::MAX)), (2, 2, Some(u64::MAX))], (2, 10), &[], Some(1)),
        ];
        for (number, (kept, budget, used, expected)) in cases.iter().enumerate() {
            let kept: Vec<KeptEnvironment> = kept
                .iter()
                .map(|(run, minute, bytes)| KeptEnvironment {
                    key: run.to_string(),
                    run: RunId(*run),
                    made_at: Time::default(),
                    used_at: Time::default() + crate::core::time::Duration::minutes(*minute),
                    bytes: *bytes,
                })
                .collect();
            let goes = superfluous(kept.iter(), *budget, |kept| used.contains(&kept.run.0));
            assert_eq!(goes.map(|run| run.0), *expected, "case {number}");
        }
    }
}
