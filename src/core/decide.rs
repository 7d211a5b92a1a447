//! Every rule of docent: state, event and time in; changes and actions out.
//!
//! `decide` is total and synchronous. It never fails for outside reasons: a failure to do something comes in as an event.
//! What it decides is recorded in one transaction, and only then done.

mod baseline;
mod command;
mod deploying;
mod environments;
mod examined;
mod extras;
mod publishing;
mod reporting;
mod running;
mod schedule;
mod triggers;

use super::action::Action;
use super::backoff::{self, Retry};
use super::event::{Ask, Event, Fault};
use super::id::{PullId, RunId};
use super::ledger::Refusal;
use super::outcome::Outcome;
use super::policy::Policy;
use super::run::{Cancel, Party, Phase, RunChange};
use super::time::Time;
use super::world::{Change, Inapplicable, World};

pub use command::says_nothing;
pub use triggers::Interest;

/// An action and when it may be done first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// What to do.
    pub action: Action,
    /// Not before.
    pub at: Time,
    /// How often it was tried in vain.
    pub tries: u32,
    /// Why the last try was.
    pub fault: Option<String>,
}

/// What follows from an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// Recorded in the journal, in order.
    pub changes: Vec<Change>,
    /// Put into the outbox; a key that is open already is brought up to date.
    pub actions: Vec<Due>,
    /// Defects: changes that a rule wanted and the phase table refused. Never applied, always logged.
    pub defects: Vec<Inapplicable>,
}

/// Decides. `world` holds what `event` concerns, and all runs that have not ended.
pub fn decide(world: &World, event: &Event, policy: &Policy, now: Time) -> Decision {
    let mut deciding = Deciding { world: world.clone(), policy, now, decision: Decision::default() };
    match event {
        Event::PullSeen { pull, observed_at, is_first } => deciding.pull_seen(pull, *observed_at, *is_first),
        Event::BranchSeen { branch, head, observed_at } => {
            deciding.branch_seen(branch, head.as_ref(), *observed_at);
        }
        Event::Compared { line, before: _, after, changed } => deciding.compared(line, after, changed),
        Event::CommentSeen { comment } => deciding.comment_seen(comment),
        Event::CommentExamined { comment, examination } => deciding.comment_examined(comment, examination),
        Event::Prepared { run, recipe, plan } => deciding.prepared(*run, recipe, plan),
        Event::AttemptStarted { attempt } => deciding.attempt_started(attempt),
        Event::Deployed { run, fallen } => deciding.deployed(*run, fallen),
        Event::AttemptEnded { attempt, ending, tests, log, artifacts, fallen } => {
            deciding.attempt_ended(attempt, ending, tests, log.as_ref(), artifacts, fallen);
        }
        Event::EnvironmentLost { run } => deciding.environment_lost(*run),
        Event::Curated { run, curated } => {
            deciding.run(*run, RunChange::Curated { curated: curated.clone() });
        }
        Event::EnvironmentMeasured { run, bytes } => {
            deciding.run(*run, RunChange::EnvironmentMeasured { bytes: *bytes });
        }
        Event::LockCompared { run, changes } => {
            deciding.run(*run, RunChange::LockCompared { changes: changes.clone() });
        }
        Event::Bundled { run, bundle } => {
            deciding.run(*run, RunChange::Bundled { bundle: bundle.clone() });
        }
        Event::ServiceLogsKept { run, logs } => {
            deciding.run(*run, RunChange::ServiceLogsKept { logs: logs.clone() });
        }
        Event::BaseLookedUp { run, evidence, .. } => deciding.base_looked_up(*run, evidence),
        Event::Released { run } => {
            deciding.run(*run, RunChange::Released);
            deciding.publish(*run);
        }
        Event::Published { run, image } => deciding.published(*run, image),
        Event::Reported { pull, comment, digest } => deciding.reported(pull, *comment, digest),
        Event::StatusSet { .. } | Event::Settled { .. } => {}
        Event::ActionFailed { action, tries, fault } => deciding.action_failed(action, *tries, fault),
        Event::OperatorAsked { ask } => deciding.operator_asked(ask),
        Event::TimePassed => deciding.time_passed(),
    }
    deciding.schedule();
    deciding.decision
}

/// A decision in the making: the state as it will be, and what led there.
struct Deciding<'a> {
    world: World,
    policy: &'a Policy,
    now: Time,
    decision: Decision,
}

impl Deciding<'_> {
    fn change(&mut self, change: Change) {
        match self.world.apply(&change) {
            Ok(()) => self.decision.changes.push(change),
            Err(defect) => self.decision.defects.push(defect),
        }
    }

    fn run(&mut self, run: RunId, change: RunChange) {
        let before = self.world.runs.get(&run).map(|run| run.phase);
        self.change(Change::Run { run, at: self.now, change });
        let Some(run) = self.world.runs.get(&run) else { return };
        let (id, after, is_baseline) = (run.id, run.phase, run.request.is_baseline());
        if before == Some(after) {
            return;
        }
        if is_baseline {
            let has_told = |phase: Phase| phase == Phase::Releasing || phase.is_ended();
            if has_told(after) && !before.is_some_and(has_told) {
                self.baseline_ended(id);
            }
            return;
        }
        let repository = run.request.repository().cloned();
        self.report_run(id);
        if !matches!(after, Phase::Offered | Phase::Accepted | Phase::Rejected | Phase::Expired)
            && let Some(repository) = repository
        {
            self.set_status(id, &repository);
        }
    }

    fn act(&mut self, action: Action) {
        self.act_at(action, self.now);
    }

    fn act_at(&mut self, action: Action, at: Time) {
        self.put(Due { action, at, tries: 0, fault: None });
    }

    fn put(&mut self, due: Due) {
        let key = due.action.key();
        self.decision.actions.retain(|due| due.action.key() != key);
        self.decision.actions.push(due);
    }

    /// Stops a run, whatever it is doing; nothing for one that has ended or is being stopped already.
    fn cancel(&mut self, run: RunId, by: Party, why: &str) {
        let Some(state) = self.world.runs.get(&run) else { return };
        if state.cancel.is_some() || !state.phase.is_live() || state.phase == Phase::Releasing {
            return;
        }
        let was_running = state.phase.is_running();
        self.run(run, RunChange::CancelAsked { cancel: Cancel { by, why: why.to_owned() } });
        if was_running {
            self.act(Action::Stop { run });
            self.hasten(run);
            self.report_run(run);
        } else {
            self.conclude(run, Some(why.to_owned()));
        }
    }

    /// What waits to be tried again is tried now, sees that it is to stop, and ends.
    fn hasten(&mut self, run: RunId) {
        let Some(state) = self.world.runs.get(&run) else { return };
        match state.open_attempt().map(|attempt| attempt.id.clone()) {
            Some(attempt) => self.act(Action::Execute { attempt }),
            None if state.is_deploying() => self.act(Action::Deploy { run }),
            None if state.phase == Phase::Preparing => self.act(Action::Prepare { run }),
            None => {}
        }
    }

    fn action_failed(&mut self, action: &Action, tries: u32, fault: &Fault) {
        // What a push changed is of no interest once the next one is there.
        if let Action::Compare { line, after, .. } = action
            && !self.is_tip(line, after)
        {
            return;
        }
        // What is to stop is not tried again: it comes to its end now.
        let run = match action {
            Action::Prepare { run } | Action::Deploy { run } => Some(run),
            Action::Execute { attempt } => Some(&attempt.run),
            _ => None,
        };
        let is_to_stop = run.and_then(|run| self.world.runs.get(run)).is_some_and(|run| run.cancel.is_some());
        match backoff::after(action, tries, fault) {
            _ if is_to_stop => self.given_up(action, fault),
            Retry::After(wait) => self.put(Due {
                action: action.clone(),
                at: self.now + wait,
                tries: tries + 1,
                fault: Some(fault.text.clone()),
            }),
            Retry::Never => self.given_up(action, fault),
        }
    }

    fn given_up(&mut self, action: &Action, fault: &Fault) {
        match action {
            Action::Examine { comment, .. } => {
                let text = format!(
                    "the forge did not say enough to decide ({}): write the command again",
                    fault.text
                );
                self.refuse_all(comment, &Refusal::new("not-examined", text));
            }
            Action::Prepare { run } => self.preparation_failed(*run, fault),
            Action::Compare { line, after, .. } => self.not_compared(line, after, fault),
            Action::LookUpBase { run } => self.base_not_looked_up(*run, fault),
            Action::Publish { run, .. } => self.not_published(*run, fault),
            Action::Deploy { run } => self.deploy_failed(*run, fault),
            Action::Execute { attempt } => self.attempt_errored(attempt, &fault.text),
            Action::Report { .. }
            | Action::SetStatus { .. }
            | Action::Stop { .. }
            | Action::Release { .. }
            | Action::DropEnvironment { .. } => {}
        }
    }

    fn operator_asked(&mut self, ask: &Ask) {
        let operator = super::authorise::operator();
        match ask {
            Ask::Run { request } => {
                let run = self.offer((**request).clone());
                self.accept(run, operator.authorise(()));
            }
            Ask::Cancel { run } => self.cancel(*run, Party::Operator, "cancelled by the operator"),
            Ask::Retry { run } => {
                if let Some(request) = self.retry_request(*run, Party::Operator) {
                    let run = self.offer(request);
                    self.accept(run, operator.authorise(()));
                }
            }
            Ask::Accept { run } => self.accept(*run, operator.authorise(())),
        }
    }

    fn time_passed(&mut self) {
        let lapsed: Vec<RunId> =
            self.world.runs.values().filter(|run| is_lapsed(run, self.now)).map(|run| run.id).collect();
        for run in lapsed {
            self.run(run, RunChange::Expired { why: "it was not accepted in time".to_owned() });
        }
        self.make_room();
    }

    fn live_runs_of(&self, pull: &PullId) -> Vec<RunId> {
        let runs = self.world.runs.values();
        // One whose results are being saved has come to its end already.
        runs.filter(|run| run.phase.is_live() && run.phase != Phase::Releasing)
            .filter(|run| run.request.pull.as_ref() == Some(pull))
            .map(|run| run.id)
            .collect()
    }

    fn offers_of(&self, pull: &PullId) -> Vec<RunId> {
        let runs = self.world.runs.values();
        runs.filter(|run| run.phase == Phase::Offered && run.request.pull.as_ref() == Some(pull))
            .map(|run| run.id)
            .collect()
    }
}

/// An offer that nobody can accept any more. Expiry is decided on read, on write and by a sweep, always by this.
pub fn is_lapsed(run: &super::run::Run, now: Time) -> bool {
    run.phase == Phase::Offered && run.expires_at.is_some_and(|at| at <= now)
}

/// Only what is not good is run again.
fn is_worth_a_retry(outcome: Outcome) -> bool {
    outcome.is_bad()
}

#[cfg(test)]
mod tests;
