//! Which waiting run is next: fair to repositories first, then in order of arrival; docent's own
//! questions last.

use std::collections::BTreeMap;

use super::Deciding;
use crate::core::action::Action;
use crate::core::extra;
use crate::core::id::{BranchId, PullId, RunId};
use crate::core::run::{Phase, Run, RunChange};

impl Deciding<'_> {
    /// Fills free slots.
    pub(super) fn schedule(&mut self) {
        while let Some(run) = self.next_of_queue() {
            self.run(run, RunChange::Started);
            self.act(Action::Prepare { run });
        }
    }

    /// What people wait for goes before docent's own questions. Of that, the waiting run of the repository that holds the fewest slots; among those, the oldest. A pull request has one
    /// running run, and so has a branch.
    fn next_of_queue(&self) -> Option<RunId> {
        let running: Vec<&Run> = self.world.runs.values().filter(|run| run.phase.is_running()).collect();
        if running.len() >= self.policy.slots {
            return None;
        }
        let mut held: BTreeMap<&str, usize> = BTreeMap::new();
        for run in &running {
            *held.entry(run.request.place.as_str()).or_default() += 1;
        }
        let busy: Vec<&PullId> = running.iter().filter_map(|run| run.request.pull.as_ref()).collect();
        let pushed: Vec<&BranchId> = running.iter().filter_map(|run| run.request.branch()).collect();
        // Extra tests may take hours: where there are several slots, one is left for what does not.
        let has_extras = |run: &&Run| run.request.options.extra_tests;
        let is_full =
            running.iter().filter(|run| has_extras(run)).count() >= extra::most_slots(self.policy.slots);
        let waiting =
            self.world.runs.values().filter(|run| run.phase == Phase::Waiting && run.cancel.is_none());
        waiting
            .filter(|run| !is_full || !has_extras(run))
            .filter(|run| run.request.pull.as_ref().is_none_or(|pull| !busy.contains(&pull)))
            .filter(|run| run.request.branch().is_none_or(|branch| !pushed.contains(&branch)))
            .min_by_key(|run| {
                (
                    run.request.is_baseline(),
                    held.get(run.request.place.as_str()).copied().unwrap_or(0),
                    run.id,
                )
            })
            .map(|run| run.id)
    }

    /// The place of a waiting run in the queue, counted from 1, in order of arrival.
    pub(super) fn place_of(&self, run: RunId) -> usize {
        let waiting = self.world.runs.values().filter(|other| other.phase == Phase::Waiting);
        let is_last = self.world.runs.get(&run).is_some_and(|run| run.request.is_baseline());
        waiting.filter(|other| (other.request.is_baseline(), other.id) <= (is_last, run)).count()
    }
}
