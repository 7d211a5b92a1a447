//! After a run has its results and nothing else of it is left: its curated spec is published, where it may be.

use super::Deciding;
use crate::core::action::Action;
use crate::core::event::Fault;
use crate::core::id::RunId;
use crate::core::publishing::{self, Image};
use crate::core::run::{Run, RunChange};

impl Deciding<'_> {
    /// A run has come to its end: what it has proven is published.
    pub(super) fn publish(&mut self, run: RunId) {
        let Some(state) = self.world.runs.get(&run).filter(|run| run.publishing.is_none()) else { return };
        let repository = state.request.repository().and_then(|id| self.policy.repository(id));
        let publish = repository.and_then(|repository| repository.publish.as_ref());
        let Ok(publish) = publishing::destination(state, publish) else { return };
        let to = publish.to.clone();
        self.run(run, RunChange::PublishingBegun { to: to.clone() });
        self.act(Action::Publish { run, to });
    }

    pub(super) fn published(&mut self, run: RunId, image: &Image) {
        if self.is_publishing(run) {
            self.run(run, RunChange::Published { image: image.clone() });
            self.tell(run);
        }
    }

    pub(super) fn not_published(&mut self, run: RunId, fault: &Fault) {
        if self.is_publishing(run) {
            self.run(run, RunChange::PublishingErrored { why: fault.text.clone() });
            self.tell(run);
        }
    }

    fn is_publishing(&self, run: RunId) -> bool {
        let is_open = |run: &Run| run.publishing.as_ref().is_some_and(|publishing| publishing.is_open());
        self.world.runs.get(&run).is_some_and(is_open)
    }
}
