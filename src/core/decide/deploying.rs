//! The services of a run: brought up once, before its first tier, and named where they fall.

use super::Deciding;
use crate::core::event::Fault;
use crate::core::id::RunId;
use crate::core::run::RunChange;
use crate::core::service::Fallen;

impl Deciding<'_> {
    /// All of them are healthy but these, which only opt-in tiers need: the tiers begin.
    pub(super) fn deployed(&mut self, run: RunId, fallen: &[Fallen]) {
        let Some(state) = self.world.runs.get(&run).filter(|run| run.is_deploying()) else { return };
        let cancel = state.cancel.clone();
        self.run(run, RunChange::Deployed);
        self.services_fell(run, fallen);
        match cancel {
            Some(cancel) => self.conclude(run, Some(cancel.why)),
            None => self.go_on(run),
        }
    }

    /// One of them did not come up, which proves nothing against the author's work.
    pub(super) fn deploy_failed(&mut self, run: RunId, fault: &Fault) {
        let Some(state) = self.world.runs.get(&run).filter(|run| run.is_deploying()) else { return };
        let why = state.cancel.as_ref().map_or(&fault.text, |cancel| &cancel.why).clone();
        self.conclude(run, Some(why));
    }

    /// Notes on the run that these have ended before it.
    pub(super) fn services_fell(&mut self, run: RunId, fallen: &[Fallen]) {
        for service in fallen {
            let how = service.words();
            self.run(run, RunChange::ServiceFell { name: service.name.clone(), how });
        }
    }
}

/// What is noted on an attempt during which these have ended.
pub(super) fn noted(note: String, fallen: &[Fallen]) -> String {
    let notes = (!note.is_empty()).then_some(note).into_iter();
    let notes = notes.chain(fallen.iter().map(|service| format!("{} meanwhile", service.words())));
    notes.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use crate::core::action::Action;
    use crate::core::decide::tests::{Bench, MIRA, exited, policy, test};
    use crate::core::event::{AttemptEnding, Event};
    use crate::core::outcome::{Ending, Outcome};
    use crate::core::policy::Policy;
    use crate::core::pull::Order;
    use crate::core::run::Phase;
    use crate::core::service::tests::service;
    use crate::core::verdict::Verdict;

    use super::*;

    const RUN: RunId = RunId(1);
    /// The commit is named, because it comes from outside.
    const EXTRA: &str = "!testme --extra-tests aaaaaaaaaaaa";

    fn with_services() -> Policy {
        let mut policy = policy();
        let recipe = policy.recipes.get_mut("notebook").unwrap();
        let extra = crate::core::service::Service { is_opt_in: true, ..service("load", &["db"]) };
        recipe.services = vec![service("db", &[]), extra];
        policy
    }

    fn asked(policy: Policy, text: &str) -> Bench {
        let mut bench = Bench { policy, order: Order::HeadFirst, ..Bench::new() };
        bench.see(1, 'a');
        bench.say(1, 1, MIRA, text);
        bench
    }

    /// A run that was asked for and prepared.
    fn prepared(text: &str) -> Bench {
        let mut bench = asked(with_services(), text);
        bench.prepare(1, &["a.ipynb"]);
        bench
    }

    fn names(bench: &Bench) -> Vec<&str> {
        bench.run(1).services.iter().map(|it| it.service.name.as_str()).collect()
    }

    fn deploy(bench: &mut Bench) {
        bench.outbox.remove(&Action::Deploy { run: RUN }.key()).expect("services are to be brought up");
        bench.event(&Event::Deployed { run: RUN, fallen: Vec::new() });
    }

    fn fault(text: &str) -> Fault {
        Fault { is_passing: false, is_the_authors: false, retry_after: None, text: text.into() }
    }

    #[test]
    fn tiers_begin_when_the_services_are_there_and_there_is_one_deploy() {
        let mut bench = prepared("!testme");
        assert_eq!((bench.run(1).phase, bench.run(1).open_attempt()), (Phase::Preparing, None));
        assert_eq!((names(&bench), bench.run(1).deploys), (vec!["db"], 0));
        deploy(&mut bench);
        assert_eq!(bench.run(1).phase, Phase::Available);
        for _ in 0..2 {
            bench.end(1, exited(0), vec![test("a.ipynb", Outcome::Passed)]);
            // Told once more, perhaps after a restart: nothing happens.
            bench.event(&Event::Deployed { run: RUN, fallen: Vec::new() });
        }
        bench.release(1);
        assert_eq!((bench.run(1).verdict, bench.run(1).deploys), (Some(Verdict::Pass), 1));
    }

    #[test]
    fn services_of_the_opt_in_tiers_come_with_them() {
        assert_eq!(names(&prepared(EXTRA)), ["db", "load"]);
    }

    #[test]
    fn without_services_nothing_is_brought_up() {
        let mut bench = asked(policy(), "!testme");
        bench.prepare(1, &["a.ipynb"]);
        assert!(bench.run(1).open_attempt().is_some());
        assert_eq!(bench.run(1).deploys, 0);
    }

    #[test]
    fn a_service_that_does_not_come_up_leaves_the_run_unverified() {
        let mut bench = prepared(EXTRA);
        let action = Action::Deploy { run: RUN };
        bench.outbox.remove(&action.key());
        let text = "the service db was not healthy within 60 s: no space";
        bench.event(&Event::ActionFailed { action, tries: 0, fault: fault(text) });
        let run = bench.run(1);
        assert_eq!((run.verdict, run.extra_verdict), (Some(Verdict::Unverified), Some(Verdict::Unverified)));
        assert_eq!((run.reason.as_deref(), run.deploys), (Some(text), 0));
        bench.release(1);
        assert_eq!(bench.run(1).phase, Phase::Failed);
    }

    #[test]
    fn a_service_of_the_opt_in_tiers_that_does_not_come_up_leaves_the_others_as_they_are() {
        let mut bench = prepared(EXTRA);
        bench.outbox.remove(&Action::Deploy { run: RUN }.key());
        let why = "not healthy within 60 s".to_owned();
        let fallen = vec![Fallen { name: "load".into(), ending: Some(Ending::NotStarted { why }) }];
        bench.event(&Event::Deployed { run: RUN, fallen });
        assert_eq!((bench.run(1).phase, bench.run(1).deploys), (Phase::Available, 1));
        let (default, opt_in) = (bench.run(1).fallen_before(false), bench.run(1).fallen_before(true));
        assert_eq!(default, []);
        assert_eq!(opt_in.len(), 1);
        let how = "the service load did not begin: not healthy within 60 s";
        assert_eq!(bench.run(1).services[1].fell.as_deref(), Some(how));
    }

    #[test]
    fn a_run_that_is_cancelled_meanwhile_ends_however_the_deploy_does() {
        for event in [
            Event::Deployed { run: RUN, fallen: Vec::new() },
            Event::ActionFailed { action: Action::Deploy { run: RUN }, tries: 0, fault: fault("stopped") },
        ] {
            let mut bench = prepared("!testme");
            bench.say(2, 1, MIRA, "!cancel");
            assert!(bench.outbox.contains_key(&Action::Stop { run: RUN }.key()));
            assert!(bench.outbox.remove(&Action::Deploy { run: RUN }.key()).is_some());
            assert!(!bench.outbox.contains_key(&Action::Prepare { run: RUN }.key()), "it is prepared");
            bench.event(&event);
            bench.release(1);
            assert_eq!(bench.run(1).phase, Phase::Cancelled);
            assert!(bench.run(1).tiers.iter().all(|tier| tier.attempts.is_empty()));
        }
    }

    #[test]
    fn a_service_that_falls_is_named_and_nothing_is_tried_again_without_it() {
        let mut bench = prepared("!testme");
        deploy(&mut bench);
        let mut end = |ending: AttemptEnding, fallen: Vec<Fallen>| {
            let attempt = bench.run(1).open_attempt().unwrap().id.clone();
            let (tests, artifacts) = (vec![], vec![]);
            bench.event(&Event::AttemptEnded { attempt, ending, tests, log: None, artifacts, fallen });
        };
        let fallen = || vec![Fallen { name: "db".into(), ending: Some(Ending::OutOfMemory) }];
        end(AttemptEnding::Ended { ending: exited(0) }, fallen());
        let why = crate::core::service::refusal(&fallen()).unwrap();
        end(AttemptEnding::Errored { why }, fallen());
        let run = bench.run(1);
        let tiers: Vec<_> = run.tiers.iter().map(|tier| (tier.attempts.len(), tier.verdict)).collect();
        assert_eq!(tiers, [(1, Some(Verdict::Pass)), (1, Some(Verdict::Unverified))]);
        let how = "the service db was killed at its memory limit";
        assert_eq!(run.tiers[0].attempts[0].note, format!("{how} meanwhile"));
        assert_eq!(run.services[0].fell.as_deref(), Some(how));
        assert_eq!(run.verdict, Some(Verdict::Unverified));
    }
}
