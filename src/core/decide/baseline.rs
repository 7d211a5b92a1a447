//! Whether a failure was there before the change: what is known of the base is looked up, and where nothing is, the failed tests
//! are run there, behind everything that people wait for.

use std::collections::BTreeSet;

use super::Deciding;
use crate::core::action::Action;
use crate::core::authorise;
use crate::core::baseline::{self, Evidence, Waiter};
use crate::core::event::Fault;
use crate::core::id::{PullId, RunId};
use crate::core::run::{Party, Phase, Request, Run, RunChange, Trigger};

/// Why docent itself starts a run of a base.
const RULE: &str =
    "tests of a pull request failed, and whether they fail on the commit that it started from was not known";

impl Deciding<'_> {
    /// A run of a pull request has its results: what is known of its base is looked up.
    pub(super) fn seek_baseline(&mut self, run: RunId) {
        let Some(state) = self.world.runs.get(&run) else { return };
        let Some(pull) = &state.request.pull else { return };
        let known = self.world.pulls.get(pull).map(|known| &known.now);
        let is_now =
            |known: &&crate::core::pull::PullRequest| Some(&known.head) == state.request.sha.as_ref();
        let merge_base = known.filter(is_now).and_then(|known| known.merge_base.clone());
        let base = merge_base.or_else(|| state.request.base.clone());
        let is_ready = state.phase == Phase::Releasing && state.cancel.is_none();
        let Some(base) = base.filter(|base| Some(base) != state.request.sha.as_ref() && is_ready) else {
            return;
        };
        if !baseline::has_results(state) {
            return;
        }
        let recipe = state.recipe.as_ref().and_then(|used| self.policy.recipes.get(&used.name));
        let already_failing = recipe.map(|recipe| recipe.already_failing).unwrap_or_default();
        self.run(run, RunChange::BaselineSought { base, already_failing });
        self.act(Action::LookUpBase { run });
    }

    pub(super) fn base_looked_up(&mut self, run: RunId, evidence: &Evidence) {
        let Some(state) = self.world.runs.get(&run) else { return };
        let Some(sought) = state.baseline.as_ref().filter(|sought| !sought.is_concluded) else { return };
        // The end of that run is when to look again.
        if sought.by.is_some_and(|by| self.is_awaited(by, run)) {
            return;
        }
        let is_first = sought.by.is_none();
        let classes = baseline::classes(state, evidence);
        let unknown = baseline::unknown(state, evidence);
        // One that was at work when it was looked up, and is not any more, has told meanwhile.
        let has_told = |by: &RunId| !self.world.runs.get(by).is_some_and(is_at_work);
        if is_first && !unknown.is_empty() && evidence.asked.iter().any(has_told) {
            return self.act(Action::LookUpBase { run });
        }
        if is_first && self.start_baseline(run, &unknown, evidence.is_tip) {
            return;
        }
        let note = (!unknown.is_empty())
            .then(|| format!("of {} failed tests nothing is known before this change", unknown.len()));
        self.run(run, RunChange::BaselineConcluded { classes, note });
        self.tell(run);
    }

    pub(super) fn base_not_looked_up(&mut self, run: RunId, fault: &Fault) {
        let is_sought = |state: &&Run| state.baseline.as_ref().is_some_and(|sought| !sought.is_concluded);
        if self.world.runs.get(&run).filter(is_sought).is_some() {
            let note = Some(format!("what is known of the base could not be looked up: {}", fault.text));
            self.run(run, RunChange::BaselineConcluded { classes: Vec::new(), note });
            self.tell(run);
        }
    }

    fn is_awaited(&self, by: RunId, run: RunId) -> bool {
        let awaits = |state: &Run| state.awaited_by.iter().any(|waiter| waiter.run == run);
        self.world.runs.get(&by).is_some_and(|state| is_at_work(state) && awaits(state))
    }

    /// Has the failed tests run on the base, or joins a run that does. False: nothing of the kind is to be done.
    fn start_baseline(&mut self, run: RunId, unknown: &BTreeSet<String>, is_tip: bool) -> bool {
        let Some(state) = self.world.runs.get(&run) else { return false };
        let (Some(pull), Some(sought)) = (state.request.pull.clone(), &state.baseline) else { return false };
        let only: Vec<String> = unknown.iter().take(self.policy.baseline_tests).cloned().collect();
        if only.is_empty() || !self.is_current(state, &pull) {
            return false;
        }
        let mut options = state.request.options.clone();
        options.sha = None;
        options.extra_tests = false;
        let request = Request {
            pull: None,
            place: state.request.place.clone(),
            sha: Some(sought.base.clone()),
            base: None,
            is_untrusted: !is_tip,
            recipe: state.recipe.as_ref().map(|used| used.name.clone()),
            options,
            only,
            bundle: None,
            trigger: Trigger::Baseline { of: run, pull: pull.clone(), rule: RULE.to_owned() },
            by: Party::Docent,
        };
        let waiter = Waiter { run, pull };
        let serves = |other: &&Run| {
            let asked = &other.request;
            is_at_work(other)
                && asked.is_baseline()
                && asked.repository() == request.repository()
                && (&asked.sha, &asked.recipe, &asked.options)
                    == (&request.sha, &request.recipe, &request.options)
                && request.only.iter().all(|name| asked.only.contains(name))
        };
        let joined = self.world.runs.values().find(serves).map(|other| (other.id, other.awaited_by.clone()));
        let waiting = self.world.runs.values().filter(|other| {
            other.phase == Phase::Waiting
                && other.request.is_baseline()
                && other.request.repository() == request.repository()
        });
        let by = match joined {
            Some((by, mut awaited_by)) => {
                awaited_by.push(waiter);
                self.run(by, RunChange::Awaited { by: awaited_by });
                by
            }
            None if waiting.count() >= self.policy.queue_limit => return false,
            None => {
                let by = self.offer(request);
                self.run(by, RunChange::Awaited { by: vec![waiter] });
                self.accept(by, authorise::rule(RULE).authorise(()));
                by
            }
        };
        self.run(run, RunChange::BaselineStarted { by });
        self.report_run(run);
        true
    }

    /// Somebody still wants to know: it is the newest run of an open pull request's head.
    fn is_current(&self, run: &Run, pull: &PullId) -> bool {
        let is_head = self
            .world
            .pulls
            .get(pull)
            .is_some_and(|known| known.now.is_open && Some(&known.now.head) == run.request.sha.as_ref());
        let is_newer = |other: &Run| {
            other.id > run.id
                && other.request.pull.as_ref() == Some(pull)
                && (other.phase.is_live() || other.verdict.is_some())
        };
        is_head && !self.world.runs.values().any(is_newer)
    }

    /// A run of a base has come to its end, whatever it is: those that waited for it look again at what is known.
    pub(super) fn baseline_ended(&mut self, run: RunId) {
        let waiters = self.world.runs.get(&run).map(|run| run.awaited_by.clone()).unwrap_or_default();
        for waiter in waiters {
            self.act(Action::LookUpBase { run: waiter.run });
        }
    }

    /// Nobody waits any more for what failed in earlier runs of this pull request.
    pub(super) fn abandon_baselines(&mut self, pull: &PullId, why: &str) {
        let of_pull =
            |run: &&Run| is_at_work(run) && run.awaited_by.iter().any(|waiter| waiter.pull == *pull);
        let runs: Vec<(RunId, Vec<Waiter>)> =
            self.world.runs.values().filter(of_pull).map(|run| (run.id, run.awaited_by.clone())).collect();
        for (run, awaited_by) in runs {
            let (gone, rest): (Vec<Waiter>, Vec<Waiter>) =
                awaited_by.into_iter().partition(|waiter| waiter.pull == *pull);
            let is_idle = rest.is_empty();
            self.run(run, RunChange::Awaited { by: rest });
            for waiter in gone {
                self.act(Action::LookUpBase { run: waiter.run });
            }
            if is_idle {
                self.cancel(run, Party::Docent, why);
            }
        }
    }
}

/// It may still tell something.
fn is_at_work(run: &Run) -> bool {
    run.phase.is_live() && run.phase != Phase::Releasing && run.cancel.is_none()
}
