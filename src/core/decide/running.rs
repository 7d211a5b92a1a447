//! From an accepted run to its verdict: tier by tier, try by try.

use super::Deciding;
use super::deploying::noted;
use crate::core::action::Action;
use crate::core::event::{AttemptEnding, Fault};
use crate::core::extra;
use crate::core::id::{AttemptId, RunId};
use crate::core::outcome::{Ending, Outcome, TestResult};
use crate::core::plan::{self, Plan};
use crate::core::run::{Kept, Phase, RecipeUse, Run, RunChange, TierRun};
use crate::core::service::Fallen;
use crate::core::verdict::{self, Verdict};

/// Tries for one job: machinery errors are retried once.
const TRIES: usize = 2;

impl Deciding<'_> {
    pub(super) fn prepared(&mut self, run: RunId, recipe: &RecipeUse, plan: &Plan) {
        let is_waited_for = |run: &&Run| run.phase == Phase::Preparing && !run.is_deploying();
        let Some(state) = self.world.runs.get(&run).filter(is_waited_for) else { return };
        if let Some(cancel) = &state.cancel {
            let why = cancel.why.clone();
            return self.conclude(run, Some(why));
        }
        let options = &state.request.options;
        let tiers = match self.policy.recipes.get(&recipe.name) {
            Some(known) => {
                plan::tiers(known, options).map(|tiers| (plan::services(known, options, &tiers, plan), tiers))
            }
            None => Err(format!("the recipe {} is not known any more", recipe.name)),
        };
        match tiers {
            Ok((services, tiers)) => {
                let tiers = plan::begin(tiers, plan);
                let is_idle = state.request.is_baseline()
                    && plan.findings.is_empty()
                    && plan.notebooks.is_empty()
                    && plan.extra_notebooks.is_empty();
                let services = if is_idle { Vec::new() } else { services };
                let has_services = !services.is_empty();
                let (recipe, plan) = (recipe.clone(), Box::new(plan.clone()));
                self.run(run, RunChange::Prepared { recipe, plan, tiers, services });
                if is_idle {
                    let why = "none of these tests is in this commit".to_owned();
                    return self.conclude_as(run, Verdict::Skip, None, Some(why));
                }
                if has_services {
                    return self.act(Action::Deploy { run });
                }
                self.go_on(run);
            }
            Err(why) => self.conclude(run, Some(why)),
        }
    }

    pub(super) fn preparation_failed(&mut self, run: RunId, fault: &Fault) {
        let is_waited_for = |run: &&Run| run.phase == Phase::Preparing && !run.is_deploying();
        let Some(state) = self.world.runs.get(&run).filter(is_waited_for) else { return };
        let why = match &state.cancel {
            Some(cancel) => cancel.why.clone(),
            None => fault.text.clone(),
        };
        let is_the_authors = fault.is_the_authors && state.cancel.is_none();
        let verdict = if is_the_authors { Verdict::Fail } else { Verdict::Unverified };
        self.conclude_as(run, verdict, None, Some(why));
    }

    pub(super) fn attempt_started(&mut self, attempt: &AttemptId) {
        let Some(run) = self.world.runs.get(&attempt.run) else { return };
        let is_fresh = run
            .attempt(attempt)
            .is_some_and(|attempt| attempt.started_at.is_none() && attempt.closed_at.is_none());
        let is_cancelled = run.cancel.is_some();
        if is_fresh {
            self.run(attempt.run, RunChange::AttemptStarted { attempt: attempt.clone() });
            self.report_run(attempt.run);
        }
        if is_fresh && is_cancelled {
            self.act(Action::Stop { run: attempt.run });
        }
    }

    pub(super) fn attempt_ended(
        &mut self,
        attempt: &AttemptId,
        ending: &AttemptEnding,
        tests: &[TestResult],
        log: Option<&Kept>,
        artifacts: &[Kept],
        fallen: &[Fallen],
    ) {
        let Some(run) = self.world.runs.get(&attempt.run) else { return };
        let is_open = run.attempt(attempt).is_some_and(|attempt| attempt.closed_at.is_none());
        if !is_open {
            return;
        }
        let (outcome, note) = match ending {
            AttemptEnding::Ended { ending } => (Outcome::of(ending), noted(note(ending), fallen)),
            AttemptEnding::Lost { why } => (Outcome::Lost, why.clone()),
            AttemptEnding::Errored { why } => (Outcome::Errored, why.clone()),
        };
        let tries = run.tier(&attempt.tier).map_or(0, |tier| tier.attempts.len());
        let cancel = run.cancel.clone();
        self.run(
            attempt.run,
            RunChange::AttemptClosed {
                attempt: attempt.clone(),
                outcome,
                note,
                tests: tests.to_vec(),
                log: log.cloned(),
                artifacts: artifacts.to_vec(),
            },
        );
        self.services_fell(attempt.run, fallen);
        if let Some(cancel) = cancel {
            return self.conclude(attempt.run, Some(cancel.why));
        }
        // Without its services it would end no better.
        let is_whole = |run: &Run| run.services.iter().all(|it| it.fell.is_none());
        let is_worth_it = self.world.runs.get(&attempt.run).is_some_and(is_whole);
        if outcome.is_ours() && tries < TRIES && is_worth_it {
            return self.open_attempt(attempt.run, &attempt.tier);
        }
        if let Some(tier) = self.world.runs.get(&attempt.run).and_then(|run| run.tier(&attempt.tier)) {
            let verdict = verdict::of_tier(outcome, &tier.tests, &tier.planned);
            self.run(attempt.run, RunChange::TierConcluded { tier: attempt.tier.clone(), verdict });
            self.keep_what_lasts(attempt.run, &attempt.tier);
        }
        self.go_on(attempt.run);
    }

    pub(super) fn attempt_errored(&mut self, attempt: &AttemptId, why: &str) {
        let ending = AttemptEnding::Errored { why: why.to_owned() };
        self.attempt_ended(attempt, &ending, &[], None, &[], &[]);
    }

    /// Opens the next tier, or concludes. A failed gate leaves what comes after it unverified.
    pub(super) fn go_on(&mut self, run: RunId) {
        let Some(state) = self.world.runs.get(&run) else { return };
        // Of what cannot be used, only the tier that says so is run.
        let is_unusable = state.plan.as_ref().is_some_and(|plan| plan.is_unusable);
        let is_shut = state.tiers.iter().any(|tier| {
            (tier.tier.is_gate || is_unusable)
                && matches!(tier.verdict, Some(Verdict::Fail | Verdict::Unverified))
        });
        let open = |tier: &&TierRun| tier.verdict.is_none();
        let waiting: Vec<String> =
            state.tiers.iter().filter(open).map(|tier| tier.tier.name.clone()).collect();
        match waiting.first() {
            Some(next) if !is_shut => {
                let next = next.clone();
                if self.choose_environment(run, &next) {
                    return self.go_on(run);
                }
                self.open_attempt(run, &next);
                self.tell_before_extras(run);
            }
            _ => {
                for tier in waiting {
                    self.run(run, RunChange::TierConcluded { tier, verdict: Verdict::Unverified });
                }
                self.conclude(run, None);
            }
        }
        self.report_run(run);
    }

    /// Nobody who waits for the default tiers waits for the extra ones.
    fn tell_before_extras(&mut self, run: RunId) {
        let Some(state) = self.world.runs.get(&run) else { return };
        let is_known = extra::verdict_before_extras(state).is_some();
        if let Some(repository) = state.request.repository().filter(|_| is_known).cloned() {
            self.set_status(run, &repository);
        }
    }

    fn open_attempt(&mut self, run: RunId, tier: &str) {
        let tries =
            self.world.runs.get(&run).and_then(|run| run.tier(tier)).map_or(0, |tier| tier.attempts.len());
        let number = u32::try_from(tries).unwrap_or(u32::MAX).saturating_add(1);
        let attempt = AttemptId { run, tier: tier.to_owned(), number };
        self.run(run, RunChange::AttemptOpened { attempt: attempt.clone() });
        self.act(Action::Execute { attempt });
    }

    /// Ends a run with the verdict that its tiers give: opt-in tiers have one of their own.
    pub(super) fn conclude(&mut self, run: RunId, reason: Option<String>) {
        let Some(state) = self.world.runs.get(&run) else { return };
        let has_extra = state.tiers.iter().any(|tier| tier.tier.is_opt_in);
        let extra = has_extra.then(|| extra::verdict(&state.tiers, true));
        let default = extra::verdict(&state.tiers, false);
        self.conclude_as(run, default, extra, reason);
    }

    fn conclude_as(
        &mut self,
        run: RunId,
        verdict: Verdict,
        extra_verdict: Option<Verdict>,
        reason: Option<String>,
    ) {
        self.run(run, RunChange::Concluded { verdict, extra_verdict, reason });
        if self.world.runs.get(&run).is_some_and(|run| run.phase == Phase::Releasing) {
            self.act(Action::Release { run });
            self.seek_baseline(run);
        }
    }
}

fn note(ending: &Ending) -> String {
    match ending {
        Ending::Exited { code: 0 | crate::core::outcome::SKIPPED } => String::new(),
        Ending::Exited { code } if *code > 128 => format!("ended by signal {}", code - 128),
        Ending::Exited { code } => format!("ended with code {code}"),
        Ending::OutOfMemory => "killed at its memory limit".to_owned(),
        Ending::TimedOut => "killed at its time limit".to_owned(),
        Ending::OutOfDisk => "killed at its disk limit".to_owned(),
        Ending::Cancelled => "stopped on request".to_owned(),
        Ending::NotStarted { why } => why.clone(),
    }
}
