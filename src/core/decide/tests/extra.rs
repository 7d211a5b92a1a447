//! Extra tests: who decides that they run now, which slots they may hold, and what is told of them before they end.

use super::*;
use crate::core::extra::{ExtraPolicy, ExtraRule};
use crate::core::report::{Light, extra_status, headline, status};

const EXTRAS: &str = "!testme --extra-tests aaaaaaa";

fn bench(rule: ExtraRule, per_day: Option<usize>) -> Bench {
    let mut bench = Bench::new();
    let watched = bench.policy.repositories.get_mut(&repository()).unwrap();
    watched.extra = ExtraPolicy { rule, per_day };
    for number in 1..=3 {
        bench.see(number, 'a');
    }
    bench
}

fn offered(fates: &[Fate]) -> (i64, String) {
    match fates {
        [Fate::Offered { run, why }] => (run.0, why.clone()),
        other => panic!("{other:?}"),
    }
}

impl Bench {
    /// The default tiers pass, and the extra one is at work.
    fn come_to_extras(&mut self, id: i64) {
        self.prepare(id, &["a.ipynb"]);
        self.end(id, exited(0), vec![]);
        self.end(id, exited(0), vec![test("a.ipynb", Outcome::Passed)]);
    }
}

#[test]
fn code_from_outside_needs_its_commit_named() {
    let mut bench = bench(ExtraRule::Run, None);
    for who in [MIRA, GUEST] {
        let fates = bench.say(who, 1, who, "!testme --extra-tests");
        let [Fate::Refused { refusal }] = &fates[..] else { panic!("{fates:?}") };
        assert_eq!(refusal.code, "extra-needs-sha");
        assert!(refusal.text.ends_with("write !testme --extra-tests aaaaaaaaaaaa"), "{}", refusal.text);
    }
    assert_eq!(bench.say(1, 1, MIRA, EXTRAS), [Fate::Accepted { run: RunId(1) }]);
}

#[test]
fn beyond_the_quota_a_request_waits_for_somebody_who_accepts_it() {
    let mut bench = bench(ExtraRule::Run, Some(1));
    assert_eq!(bench.say(1, 1, MIRA, EXTRAS), [Fate::Accepted { run: RunId(1) }]);
    // A default run takes nothing of it.
    assert_eq!(bench.say(2, 2, MIRA, "!testme aaaaaaa"), [Fate::Accepted { run: RunId(2) }]);
    let (run, why) = offered(&bench.say(3, 3, MIRA, EXTRAS));
    assert!(why.starts_with("of 1 runs with extra tests in 24 hours none is left"), "{why}");
    // To ask again is not to accept.
    assert_eq!(offered(&bench.say(4, 3, MIRA, EXTRAS)), (run, why));
    assert_eq!(code(&bench.say(5, 3, GUEST, "!accept aaaaaaa")), "not-allowed");
    assert_eq!(bench.say(6, 3, MIRA, "!accept aaaaaaa"), [Fate::Accepted { run: RunId(run) }]);
    bench.now += 24 * 3600;
    bench.see(4, 'a');
    assert!(matches!(bench.say(7, 4, MIRA, EXTRAS)[..], [Fate::Accepted { .. }]), "a day later");
}

#[test]
fn what_never_began_counts_for_nothing() {
    let mut bench = bench(ExtraRule::Run, Some(1));
    bench.say(1, 1, MIRA, "!testme aaaaaaa");
    assert_eq!(bench.say(2, 2, MIRA, EXTRAS), [Fate::Accepted { run: RunId(2) }]);
    bench.say(3, 2, MIRA, "!cancel");
    assert_eq!(bench.run(2).phase, Phase::Cancelled);
    assert!(matches!(bench.say(4, 3, MIRA, EXTRAS)[..], [Fate::Accepted { .. }]));
}

#[test]
fn the_operator_may_want_an_offer_each_time_or_no_extra_tests() {
    let mut asks = bench(ExtraRule::Offer, None);
    let (run, _) = offered(&asks.say(1, 1, MIRA, EXTRAS));
    assert_eq!(asks.say(2, 1, MIRA, "!accept aaaaaaa"), [Fate::Accepted { run: RunId(run) }]);
    let mut never = bench(ExtraRule::Never, None);
    assert_eq!(code(&never.say(1, 1, MIRA, EXTRAS)), "no-extra-tests");
    assert_eq!(code(&never.say(2, 1, GUEST, EXTRAS)), "no-extra-tests");
    assert_eq!(never.say(3, 1, MIRA, "!testme aaaaaaa"), [Fate::Accepted { run: RunId(1) }]);
}

#[test]
fn a_long_extra_test_keeps_no_default_run_of_another_repository_waiting() {
    // Slots; and the runs that hold one when three with extra tests and then one without were asked for.
    for (slots, running) in [(1, &[1][..]), (2, &[1, 4]), (3, &[1, 2, 4]), (4, &[1, 2, 3, 4])] {
        let mut bench = bench(ExtraRule::Run, None);
        bench.policy.slots = slots;
        for number in 1..=3 {
            bench.say(number, number, MIRA, EXTRAS);
        }
        let place = "astro/other";
        let request = Request {
            pull: None,
            place: place.into(),
            options: Default::default(),
            trigger: Trigger::CommandLine,
            by: Party::Operator,
            ..bench.run(1).request.clone()
        };
        bench.event(&Event::OperatorAsked { ask: Ask::Run { request: Box::new(request) } });
        let held = bench.world.runs.values().filter(|run| run.phase.is_running());
        assert_eq!(held.map(|run| run.id.0).collect::<Vec<_>>(), running, "{slots} slots");
    }
}

#[test]
fn the_default_status_is_told_before_the_extra_tests_end_and_stays_as_it_is() {
    let mut bench = bench(ExtraRule::Run, None);
    bench.say(1, 1, MIRA, EXTRAS);
    bench.outbox.clear();
    bench.come_to_extras(1);
    assert!(bench.outbox.contains_key("status/1"), "{:?}", bench.outbox.keys());
    let run = bench.run(1);
    assert_eq!((run.verdict, headline(run).as_str()), (None, "pass: 1 passed; runs tier extra"));
    assert_eq!(status(run).0, Light::Green);
    assert_eq!(extra_status(run).unwrap().0, Light::Pending);
    bench.end(1, exited(1), vec![test("extra/test_a.py::test_a", Outcome::Failed)]);
    let run = bench.run(1);
    assert_eq!((run.verdict, run.extra_verdict), (Some(Verdict::Pass), Some(Verdict::Fail)));
    assert_eq!(status(run), (Light::Green, "pass: 1 passed".into()));
    assert_eq!(extra_status(run), Some((Light::Red, "fail: 1 failed".into())));
}

#[test]
fn a_default_failure_waits_for_its_comparison_and_a_run_without_extras_has_no_such_status() {
    let mut bench = bench(ExtraRule::Run, None);
    bench.say(1, 1, MIRA, EXTRAS);
    bench.prepare(1, &["a.ipynb"]);
    bench.end(1, exited(0), vec![]);
    bench.end(1, exited(1), vec![test("a.ipynb", Outcome::Failed)]);
    assert_eq!(status(bench.run(1)).0, Light::Pending);
    bench.end(1, exited(0), vec![test("extra/test_a.py::test_a", Outcome::Passed)]);
    assert_eq!(status(bench.run(1)).0, Light::Red);
    assert_eq!(extra_status(bench.run(1)).unwrap().0, Light::Green);
    bench.release(1);
    bench.say(2, 2, MIRA, "!testme aaaaaaa");
    bench.prepare(2, &[]);
    assert_eq!(extra_status(bench.run(2)), None);
}

#[test]
fn extra_tiers_come_last_and_a_gate_among_them_shuts_no_default_one() {
    let mut bench = bench(ExtraRule::Run, None);
    let tiers = &mut bench.policy.recipes.get_mut("notebook").unwrap().tiers;
    tiers.insert(0, tier("heavy", true, true, None));
    bench.say(1, 1, MIRA, EXTRAS);
    bench.come_to_extras(1);
    assert_eq!(bench.run(1).open_attempt().unwrap().id.tier, "heavy");
    bench.end(1, exited(1), vec![]);
    let names: Vec<&str> = bench.run(1).tiers.iter().map(|tier| tier.tier.name.as_str()).collect();
    assert_eq!(names, ["resolve", "notebooks", "heavy", "extra"]);
    assert_eq!(
        (bench.run(1).verdict, bench.run(1).extra_verdict),
        (Some(Verdict::Pass), Some(Verdict::Fail))
    );
}

/// What the open comparison of a pull request found. False: none is open.
fn compare(bench: &mut Bench, changed: &[&str]) -> bool {
    let due = bench.outbox.values().find(|due| matches!(due.action, Action::Compare { .. })).cloned();
    let Some(Action::Compare { line, before, after }) = due.map(|due| due.action) else { return false };
    bench.outbox.retain(|_, due| !matches!(due.action, Action::Compare { .. }));
    let changed = changed.iter().map(ToString::to_string).collect();
    bench.event(&Event::Compared { line, before, after, changed });
    true
}

/// The lines of the comment that suggest extra tests.
fn suggestions(bench: &Bench) -> Vec<String> {
    let mut runs: Vec<Run> = bench.world.runs.values().cloned().collect();
    runs.reverse();
    let view = crate::core::report::View {
        clone_url: None,
        publish: None,
        pull: &bench.world.pulls[&pull_id(1)],
        comments: &[],
        runs: &runs,
        public_url: None,
        accept: "!accept",
    };
    let text = crate::core::report::comment(&view, "hidden", 60_000);
    text.lines().filter(|line| line.contains("--extra-tests")).map(str::to_owned).collect()
}

#[test]
fn what_extra_tests_cover_is_told_once() {
    let covering = || {
        let mut bench = bench(ExtraRule::Run, None);
        bench.policy.recipes.get_mut("notebook").unwrap().tiers[2].covers = vec!["src/**".into()];
        bench
    };
    let mut told = covering();
    told.say(1, 1, MIRA, "!testme aaaaaaa");
    assert!(compare(&mut told, &["README.md", "src/a.py", "src/b.py"]));
    assert_eq!(
        suggestions(&told),
        ["This changes what extra tests cover (`src/a.py`): `!testme --extra-tests aaaaaaa` runs them."]
    );
    // The next push, and the next run, ask for nothing more.
    told.see(1, 'b');
    told.say(2, 1, MIRA, "!testme bbbbbbb");
    assert!(!compare(&mut told, &[]));
    assert_eq!(suggestions(&told).len(), 1);
    told.say(3, 1, MIRA, "!testme --extra-tests bbbbbbb");
    assert_eq!(suggestions(&told), [] as [&str; 0]);

    let mut other = covering();
    other.say(1, 1, MIRA, "!testme aaaaaaa");
    assert!(compare(&mut other, &["README.md"]));
    assert_eq!(suggestions(&other), [] as [&str; 0]);

    let mut never = covering();
    never.policy.repositories.get_mut(&repository()).unwrap().extra.rule = ExtraRule::Never;
    let mut nothing = bench(ExtraRule::Run, None);
    for bench in [&mut never, &mut nothing] {
        bench.say(1, 1, MIRA, "!testme aaaaaaa");
        assert!(!compare(bench, &["src/a.py"]), "nobody asks what changed");
    }
}

#[test]
fn stopping_the_extra_tests_takes_nothing_from_what_the_default_ones_came_to() {
    let mut bench = bench(ExtraRule::Run, None);
    bench.say(1, 1, MIRA, EXTRAS);
    bench.come_to_extras(1);
    let green = |bench: &Bench| status(bench.run(1)).0;
    assert_eq!(green(&bench), Light::Green);
    bench.say(2, 1, MIRA, "!cancel");
    assert_eq!(green(&bench), Light::Green);
    bench.end(1, Ending::Cancelled, vec![]);
    bench.release(1);
    assert_eq!((bench.run(1).phase, green(&bench)), (Phase::Cancelled, Light::Green));
    assert_eq!(headline(bench.run(1)), "pass: 1 passed; its extra tests were stopped");
    assert_eq!(extra_status(bench.run(1)).unwrap(), (Light::Grey, "cancelled".to_owned()));
}

#[test]
fn a_retry_repeats_the_tests_that_were_not_good_and_no_others() {
    for (default, extra, expected) in [
        (Outcome::Passed, Outcome::Failed, (vec!["extra/t.py::test_a"], true)),
        (Outcome::Failed, Outcome::Passed, (vec!["a.ipynb"], false)),
        (Outcome::Failed, Outcome::Failed, (vec!["a.ipynb", "extra/t.py::test_a"], true)),
    ] {
        let mut bench = bench(ExtraRule::Run, None);
        bench.say(1, 1, MIRA, EXTRAS);
        bench.prepare(1, &["a.ipynb"]);
        let ending = |outcome| exited(u8::from(outcome != Outcome::Passed).into());
        bench.end(1, exited(0), vec![]);
        bench.end(1, ending(default), vec![test("a.ipynb", default)]);
        bench.end(1, ending(extra), vec![test("extra/t.py::test_a", extra)]);
        bench.release(1);
        bench.say(2, 1, MIRA, "!retry");
        let request = &bench.run(2).request;
        let only: Vec<&str> = request.only.iter().map(String::as_str).collect();
        assert_eq!((only, request.options.extra_tests), expected);
    }
}
