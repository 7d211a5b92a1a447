//! Publishing: after the end of a run, once, and in nobody's way.

use super::*;
use crate::core::publishing::{Image, PublishPolicy, PublishingEnd};
use crate::core::run::TierRun;

const TO: &str = "registry.example.org/astro/images";

fn bench() -> Bench {
    let mut bench = super::pushes::bench(&["main"], &[]);
    let watched = bench.policy.repositories.get_mut(&repository()).unwrap();
    watched.publish = Some(policy());
    bench.push(Some('a'));
    bench
}

pub(super) fn policy() -> PublishPolicy {
    PublishPolicy { to: TO.into(), branches: vec!["main".into()], aliases: vec!["latest".into()] }
}

/// What a registry makes of an action.
pub(super) fn answered(action: Action, tries: u32, byte: u8) -> Event {
    let Action::Publish { run, .. } = &action else { panic!("{action:?}") };
    if byte.is_multiple_of(2) {
        return Event::Published { run: *run, image: image(byte.is_multiple_of(4)) };
    }
    let is_passing = byte.is_multiple_of(3);
    let fault = Fault { is_passing, is_the_authors: false, retry_after: None, text: "x".into() };
    Event::ActionFailed { action, tries, fault }
}

/// Whatever happened: only trusted runs of the branch that passed whole were ever to be published, and each at most once.
pub(super) fn check(bench: &Bench) {
    for run in bench.world.runs.values().filter(|run| run.publishing.is_some()) {
        assert!(run.request.branch().is_some() && !run.request.is_untrusted && run.request.pull.is_none());
        assert_eq!((run.phase, run.verdict), (Phase::Completed, Some(Verdict::Pass)));
        let is_whole = |tier: &TierRun| tier.tier.is_opt_in || tier.verdict == Some(Verdict::Pass);
        assert!(run.tiers.iter().all(is_whole) && run.cancel.is_none());
    }
    for change in ["publishing_begun", "published"] {
        let mut seen = std::collections::BTreeSet::new();
        for entry in &bench.journal {
            let Change::Run { run, change: happened, .. } = entry else { continue };
            let is_it = serde_json::to_value(happened).unwrap()["change"] == change;
            assert!(!is_it || seen.insert(*run), "run {run}: {change} twice");
        }
    }
}

fn action(run: i64) -> Action {
    Action::Publish { run: RunId(run), to: TO.into() }
}

impl Bench {
    /// A run of a push, to its end. Says whether its curated spec is to be published.
    fn run_of_push(&mut self, id: i64, head: char, is_curated: bool) -> bool {
        self.push(Some(head));
        self.compare(&["a.ipynb"]);
        self.prepare(id, &["a.ipynb"]);
        self.end(id, exited(0), vec![]);
        self.end(id, exited(0), vec![test("a.ipynb", Outcome::Passed)]);
        if is_curated {
            let curated = Kept { name: "spec".into(), digest: "d".into(), size: 1 };
            self.event(&Event::Curated { run: RunId(id), curated });
        }
        assert!(!self.outbox.contains_key(&action(id).key()), "published before everything is released");
        self.release(id);
        self.outbox.contains_key(&action(id).key())
    }
}

fn image(was_there: bool) -> Image {
    Image { reference: format!("{TO}:nbs_a_1"), digest: "sha256:0".into(), was_there, aliases: vec![] }
}

#[test]
fn a_proven_run_of_a_push_publishes_once_and_says_so() {
    let mut bench = bench();
    assert!(!bench.run_of_push(1, 'b', false), "nothing was curated");
    assert!(bench.run_of_push(2, 'c', true));
    let status = Action::SetStatus { run: RunId(2) }.key();
    bench.outbox.remove(&status);
    let published = Event::Published { run: RunId(2), image: image(false) };
    bench.event(&published);
    assert!(bench.outbox.contains_key(&status), "the status tells");
    let (_, line) = crate::core::report::status(bench.run(2));
    assert!(line.ends_with("; published as nbs_a_1"), "{line}");
    let decided = bench.event(&published);
    assert_eq!((decided.changes.len(), decided.actions.len()), (0, 0), "delivered twice");
}

#[test]
fn a_registry_that_is_not_well_is_tried_again_and_its_end_is_docents_fault() {
    let mut bench = bench();
    assert!(bench.run_of_push(1, 'b', true));
    let fault =
        |is_passing| Fault { is_passing, is_the_authors: false, retry_after: Some(90), text: "full".into() };
    let failed =
        |tries, is_passing| Event::ActionFailed { action: action(1), tries, fault: fault(is_passing) };
    let decided = bench.event(&failed(0, true));
    assert_eq!(
        decided.actions[0].at,
        at(bench.now) + Duration::seconds(90),
        "not before it wants to be asked"
    );
    assert!(bench.run(1).publishing.as_ref().unwrap().is_open());
    let before = (bench.run(1).phase, bench.run(1).verdict, crate::core::report::status(bench.run(1)).0);
    bench.event(&failed(300, true));
    let end = bench.run(1).publishing.clone().unwrap().end;
    assert_eq!(end, Some(PublishingEnd::Errored { why: "full".into() }));
    let (light, line) = crate::core::report::status(bench.run(1));
    assert_eq!((bench.run(1).phase, bench.run(1).verdict, light), before);
    assert!(line.ends_with("; publishing errored"), "{line}");
    let late = bench.event(&Event::Published { run: RunId(1), image: image(false) });
    assert_eq!(late.changes, [], "what has ended ends once");
}

#[test]
fn what_is_published_to_one_place_is_published_in_turn() {
    let other = Action::Publish { run: RunId(2), to: "registry.example.org/other/images".into() };
    assert_eq!(action(1).lane(), action(2).lane());
    assert_ne!(action(2).lane(), other.lane());
    assert!(action(1).lane().is_some() && action(1).key() != action(2).key());
}
