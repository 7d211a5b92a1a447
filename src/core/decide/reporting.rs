//! When the forge is told. What it is told is made from the state at that moment, so a report is never about the past.

use super::Deciding;
use crate::core::action::Action;
use crate::core::id::{PullId, RepositoryId, RunId};
use crate::core::world::{Change, Posted};

impl Deciding<'_> {
    /// Asks for the comment of a pull request to be brought up to date, not sooner after the last edit than the policy allows.
    pub(super) fn report(&mut self, pull: &PullId) {
        if !self.has_reports(&pull.repository) {
            return;
        }
        // A pull request that the forge does not show has nowhere to be told.
        let Some(known) = self.world.pulls.get(pull) else { return };
        let posted = known.posted.as_ref();
        let at = posted.map_or(self.now, |posted| (posted.at + self.policy.report_interval).max(self.now));
        self.act_at(Action::Report { pull: pull.clone() }, at);
    }

    pub(super) fn report_run(&mut self, run: RunId) {
        let pull = self.world.runs.get(&run).and_then(|run| run.request.pull.clone());
        if let Some(pull) = pull {
            self.report(&pull);
        }
    }

    /// Something was remarked on a run that has ended.
    pub(super) fn tell(&mut self, run: RunId) {
        self.report_run(run);
        let repository = self.world.runs.get(&run).and_then(|run| run.request.repository().cloned());
        if let Some(repository) = repository {
            self.set_status(run, &repository);
        }
    }

    pub(super) fn set_status(&mut self, run: RunId, repository: &RepositoryId) {
        if self.has_reports(repository) {
            self.act(Action::SetStatus { run });
        }
    }

    pub(super) fn reported(&mut self, pull: &PullId, comment: u64, digest: &str) {
        let posted = Posted { comment, at: self.now, digest: digest.to_owned() };
        self.change(Change::ReportPosted { pull: pull.clone(), posted });
    }

    fn has_reports(&self, repository: &RepositoryId) -> bool {
        self.policy.repository(repository).is_some_and(|repository| repository.has_reports)
    }
}
