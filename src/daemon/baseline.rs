//! What is known of the commit that a pull request started from: looked up, never guessed.

use super::Daemon;
use crate::core::baseline;
use crate::core::event::{Event, Fault};
use crate::core::id::RunId;
use crate::core::reuse;
use crate::executor::Executor;
use crate::forge::{Forge, Reporter};

/// Runs of one commit that are looked at.
const LOOKED_AT: u32 = 20;

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// Gathers what runs of the base say of the tests of a run, and what tests of the same identity did elsewhere.
    pub(super) async fn look_up_base(&self, id: RunId) -> Result<Event, Fault> {
        let store = &self.0.store;
        let Some(run) = store.run(id).await? else { return Ok(Event::Settled { run: id }) };
        let (Some(pull), Some(sought)) = (&run.request.pull, &run.baseline) else {
            return Ok(Event::Settled { run: id });
        };
        let of_base = store.runs_of_commit(&pull.repository, &sought.base, LOOKED_AT).await?;
        let keys = run.tiers.iter().flat_map(|tier| {
            let mut keys = reuse::keys(&run, &tier.tier);
            keys.retain(|name, _| tier.tests.iter().any(|test| test.name == *name));
            keys.into_values()
        });
        let candidates = store.kept_results(keys.collect()).await?;
        let policy = self.policy();
        let watched = policy.repository(&pull.repository).map(|policy| policy.branches.as_slice());
        let is_tip = store.branches().await?.iter().any(|(branch, known)| {
            branch.repository == pull.repository
                && watched.is_some_and(|watched| watched.contains(&branch.name))
                && known.head.as_ref() == Some(&sought.base)
        });
        let evidence = baseline::evidence(&run, &of_base, &candidates, is_tip);
        Ok(Event::BaseLookedUp { run: id, pull: pull.clone(), evidence })
    }
}
