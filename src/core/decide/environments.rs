//! Which environment a run uses, how long it is kept, and what of its results is remembered.

use std::collections::BTreeMap;

use super::Deciding;
use crate::core::action::Action;
use crate::core::environment::{self, EnvironmentUse, KeptEnvironment};
use crate::core::id::RunId;
use crate::core::recipe::Environment;
use crate::core::reuse;
use crate::core::run::{Run, RunChange};
use crate::core::verdict::Verdict;
use crate::core::world::Change;

impl Deciding<'_> {
    /// Chooses the environment that `tier` would make, as soon as its lock is there. True: one is there already, and the tier is
    /// done with it.
    pub(super) fn choose_environment(&mut self, run: RunId, tier: &str) -> bool {
        let Some(state) = self.world.runs.get(&run) else { return false };
        let makes = state.tier(tier).is_some_and(|tier| tier.tier.environment == Environment::Write);
        let Some(key) = environment::key(state).filter(|_| makes && state.environment.is_none()) else {
            return false;
        };
        let is_kept = |kept: &&KeptEnvironment| kept.key == key && reuse::is_wanted(state);
        let of = self.world.environments.values().find(is_kept).map_or(run, |kept| kept.run);
        let chosen = EnvironmentUse { key, of, bytes: None };
        self.run(run, RunChange::EnvironmentChosen { environment: chosen, made_by: tier.to_owned() });
        if of == run {
            return false;
        }
        self.change(Change::EnvironmentUsed { run: of, at: self.now });
        self.run(run, RunChange::TierConcluded { tier: tier.to_owned(), verdict: Verdict::Pass });
        true
    }

    /// Keeps what a tier that has its verdict leaves for later runs: the environment that it made, the results of its tests.
    pub(super) fn keep_what_lasts(&mut self, run: RunId, tier: &str) {
        let Some(state) = self.world.runs.get(&run) else { return };
        let Some(tier) = state.tier(tier) else { return };
        let has_made = tier.tier.environment == Environment::Write && tier.verdict == Some(Verdict::Pass);
        let results = reuse::remember(state, tier);
        let made = state.environment.as_ref().filter(|used| has_made && used.of == run);
        let kept = made.map(|used| KeptEnvironment {
            key: used.key.clone(),
            run,
            made_at: self.now,
            used_at: self.now,
            bytes: used.bytes,
        });
        let name = tier.tier.name.clone();
        if !results.is_empty() {
            self.change(Change::ResultsKept { run, tier: name, results });
        }
        // Of two that were made side by side, one is enough.
        let is_new = |kept: &KeptEnvironment| !self.world.environments.values().any(|it| it.key == kept.key);
        if let Some(environment) = kept.filter(|kept| self.policy.environments > 0 && is_new(kept)) {
            self.change(Change::EnvironmentKept { environment });
            self.make_room();
        }
    }

    /// Drops what was not used for the longest time, never what a run uses.
    pub(super) fn make_room(&mut self) {
        let budget = (self.policy.environments, self.policy.environment_bytes);
        let is_used = |runs: &BTreeMap<RunId, Run>, kept: &KeptEnvironment| {
            let uses = |run: &Run| run.environment.as_ref().is_some_and(|used| used.of == kept.run);
            runs.values().any(|run| run.phase.is_live() && uses(run))
        };
        while let Some(run) = environment::superfluous(self.world.environments.values(), budget, |kept| {
            is_used(&self.world.runs, kept)
        }) {
            self.drop_environment(run);
        }
    }

    /// Forgets an environment and has it removed.
    pub(super) fn drop_environment(&mut self, run: RunId) {
        self.change(Change::EnvironmentDropped { run });
        self.act(Action::DropEnvironment { run });
    }

    /// An environment that should be there is not: nobody is to rely on it again.
    pub(super) fn environment_lost(&mut self, run: RunId) {
        if self.world.environments.contains_key(&run) {
            self.drop_environment(run);
        }
    }
}
