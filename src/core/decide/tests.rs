//! The rules as tables: no runtime, no clock, no mocks.

use chrono::TimeZone;

use super::*;
use crate::core::command::Grammar;
use crate::core::event::AttemptEnding;
use crate::core::id::{CommentId, CommentKind, RepositoryId, Sha};
use crate::core::ledger::Fate;
use crate::core::outcome::{Ending, TestResult};
use crate::core::plan::Plan;
use crate::core::policy::{Allow, RepositoryPolicy};
use crate::core::pull::{Actor, Comment, Examination, Order, PullRequest};
use crate::core::recipe::{Environment, Limits, Network, Recipe, TestSet, Tier};
use crate::core::run::{Kept, RecipeUse, Request, Run, Trigger};
use crate::core::time::Duration;
use crate::core::verdict::Verdict;

pub(super) const MIRA: u64 = 1042;
pub(super) const GUEST: u64 = 77;
const BOT: u64 = 9;

pub(super) fn at(second: i64) -> Time {
    chrono::Utc.timestamp_opt(1_700_000_000 + second, 0).unwrap()
}

fn sha(letter: char) -> Sha {
    letter.to_string().repeat(40).parse().unwrap()
}

fn repository() -> RepositoryId {
    RepositoryId { forge: "f".into(), number: 1 }
}

fn pull_id(number: u64) -> PullId {
    PullId { repository: repository(), number }
}

pub(super) fn pull(number: u64, head: char, is_open: bool) -> PullRequest {
    PullRequest {
        id: pull_id(number),
        title: "Flat field".into(),
        author: None,
        is_open,
        head: sha(head),
        head_branch: "flat".into(),
        head_repository: None,
        is_from_fork: false,
        base: sha('0'),
        base_branch: "main".into(),
        merge_base: None,
        page_url: String::new(),
        updated_at: at(0),
    }
}

pub(super) fn comment(number: u64, pull: u64, who: u64, body: &str, second: i64) -> Comment {
    Comment {
        id: CommentId { repository: repository(), kind: CommentKind::Comment, number },
        pull,
        author: Some(Actor { number: who, login: format!("account{who}"), is_bot: false }),
        body: body.into(),
        created_at: at(second),
        updated_at: at(second),
        is_edited: false,
        page_url: String::new(),
    }
}

fn tier(name: &str, is_gate: bool, is_opt_in: bool, tests: Option<TestSet>) -> Tier {
    Tier {
        name: name.into(),
        run: vec!["true".into()],
        network: Network::None,
        environment: Environment::None,
        is_gate,
        is_opt_in,
        tests,
        lock: None,
        is_reusable: false,
        covers: vec![],
        limits: Limits {
            memory_bytes: 1,
            cpus: 1.0,
            processes: 1,
            disk_bytes: 1,
            log_bytes: 1,
            timeout_seconds: 1,
        },
    }
}

pub(super) fn policy() -> Policy {
    let recipe = Recipe {
        name: "notebook".into(),
        description: String::new(),
        detect: vec![],
        specs: vec![],
        image: "image".into(),
        settings: serde_json::Map::new(),
        tiers: vec![
            tier("resolve", true, false, None),
            tier("notebooks", false, false, Some(TestSet::Notebooks)),
            tier("extra", false, true, None),
        ],
        digest: String::new(),
        services: vec![],
        already_failing: Default::default(),
    };
    let repository_policy = RepositoryPolicy {
        name: "astro/notebooks".into(),
        recipe: Some("notebook".into()),
        allow: vec![Allow::Account { login: "mira".into(), number: MIRA }],
        branches: vec![],
        paths: vec![],
        extra: Default::default(),
        has_reports: true,
        publish: None,
    };
    Policy {
        repositories: [(repository(), repository_policy)].into(),
        recipes: [("notebook".to_owned(), recipe)].into(),
        own_accounts: [("f".to_owned(), vec![BOT])].into(),
        marker: "docent-marker".into(),
        grammar: Grammar::default(),
        slots: 1,
        queue_limit: 10,
        environments: 2,
        environment_bytes: 1 << 40,
        bundle_bytes: 1 << 20,
        specs: Default::default(),
        baseline_tests: 2,
        offer_lifetime: Duration::hours(24),
        report_interval: Duration::seconds(15),
        public_url: None,
    }
}

/// A docent without anything around it: events in, the outbox by key, and a journal.
pub(super) struct Bench {
    pub world: World,
    pub policy: Policy,
    pub outbox: std::collections::BTreeMap<String, Due>,
    pub journal: Vec<Change>,
    pub now: i64,
    pub order: Order,
    pub is_first: bool,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            world: World::default(),
            policy: policy(),
            outbox: Default::default(),
            journal: vec![],
            now: 100,
            order: Order::Unproven,
            is_first: false,
        }
    }

    pub fn event(&mut self, event: &Event) -> Decision {
        let decision = decide(&self.world, event, &self.policy, at(self.now));
        assert_eq!(decision.defects, [], "{event:?}");
        for change in &decision.changes {
            self.world.apply(change).unwrap();
            self.journal.push(change.clone());
        }
        for due in &decision.actions {
            self.outbox.insert(due.action.key(), due.clone());
        }
        decision
    }

    pub fn see(&mut self, number: u64, head: char) {
        self.event(&Event::PullSeen {
            pull: pull(number, head, true),
            observed_at: at(self.now),
            is_first: self.is_first,
        });
        self.now += 10;
    }

    pub fn say(&mut self, id: u64, number: u64, who: u64, body: &str) -> Vec<Fate> {
        let said = comment(id, number, who, body, self.now);
        self.event(&Event::CommentSeen { comment: said.clone() });
        self.now += 1;
        if self.outbox.remove(&Action::Examine { comment: said.id.clone(), pull: number }.key()).is_some() {
            let known = self.world.pulls.get(&pull_id(number)).map(|pull| pull.now.clone());
            let examination = Examination {
                comment: Some(said.clone()),
                pull: known,
                observed_at: at(self.now),
                order: self.order,
                push: None,
                permission: None,
                teams: vec![],
            };
            self.event(&Event::CommentExamined {
                comment: said.id.clone(),
                examination: Box::new(examination),
            });
        }
        self.fates(id)
    }

    pub fn fates(&self, id: u64) -> Vec<Fate> {
        let id = CommentId { repository: repository(), kind: CommentKind::Comment, number: id };
        let entry = self.world.comments.get(&id);
        entry.map(|entry| entry.commands.iter().map(|asked| asked.fate.clone()).collect()).unwrap_or_default()
    }

    pub fn run(&self, id: i64) -> &Run {
        &self.world.runs[&RunId(id)]
    }

    pub fn prepare(&mut self, id: i64, notebooks: &[&str]) {
        let recipe = RecipeUse { name: "notebook".into(), ..RecipeUse::default() };
        let notebooks = notebooks.iter().map(ToString::to_string).collect();
        self.outbox.remove(&Action::Prepare { run: RunId(id) }.key());
        self.event(&Event::Prepared { run: RunId(id), recipe, plan: Plan { notebooks, ..Plan::default() } });
    }

    pub fn end(&mut self, id: i64, ending: Ending, tests: Vec<TestResult>) {
        let Some(open) = self.run(id).open_attempt() else { panic!("run {id} has no open attempt") };
        let attempt = open.id.clone();
        self.outbox.remove(&Action::Execute { attempt: attempt.clone() }.key());
        self.event(&Event::AttemptEnded {
            attempt,
            ending: AttemptEnding::Ended { ending },
            tests,
            log: None,
            artifacts: vec![],
            fallen: vec![],
        });
    }

    pub fn release(&mut self, id: i64) {
        let run = RunId(id);
        assert!(
            self.outbox.remove(&Action::Release { run }.key()).is_some(),
            "run {id} is not to be released"
        );
        self.event(&Event::Released { run });
    }
}

pub(super) fn exited(code: i32) -> Ending {
    Ending::Exited { code }
}

pub(super) fn test(name: &str, outcome: Outcome) -> TestResult {
    TestResult::plain(name, outcome, "", "")
}

fn code(fates: &[Fate]) -> String {
    match fates {
        [Fate::Refused { refusal }] => refusal.code.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_maintainers_command_becomes_a_run_and_a_verdict() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    assert_eq!(bench.say(1, 1, MIRA, "!testme"), [Fate::Accepted { run: RunId(1) }]);
    assert_eq!(bench.run(1).phase, Phase::Preparing);
    bench.prepare(1, &["a.ipynb"]);
    bench.end(1, exited(0), vec![]);
    bench.end(1, exited(1), vec![test("a.ipynb", Outcome::Failed)]);
    assert_eq!((bench.run(1).phase, bench.run(1).verdict), (Phase::Releasing, Some(Verdict::Fail)));
    bench.release(1);
    assert_eq!(bench.run(1).phase, Phase::Completed);
    assert_eq!(bench.run(1).tiers.len(), 2, "extra tests only when asked for");
}

#[test]
fn a_strangers_command_is_an_offer_that_somebody_who_may_accepts() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    assert_eq!(bench.say(1, 1, GUEST, "!testme"), [Fate::Offered { run: RunId(1), why: String::new() }]);
    assert_eq!(code(&bench.say(2, 1, GUEST, "!accept aaaaaaa")), "not-allowed");
    assert_eq!(code(&bench.say(3, 1, GUEST, "!cancel")), "not-allowed");
    assert_eq!(code(&bench.say(4, 1, MIRA, "!accept bbbbbbb")), "unknown-sha");
    assert_eq!(bench.run(1).phase, Phase::Offered);
    assert_eq!(bench.say(5, 1, MIRA, "!accept aaaaaaa"), [Fate::Accepted { run: RunId(1) }]);
    assert_eq!(bench.run(1).phase, Phase::Preparing);
}

#[test]
fn an_offer_lapses_with_time_and_with_a_new_head() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    bench.say(1, 1, GUEST, "!testme");
    bench.see(1, 'b');
    assert_eq!(bench.run(1).phase, Phase::Expired);
    bench.say(2, 1, GUEST, "!testme");
    bench.now += 86_400 + 60;
    assert_eq!(code(&bench.say(3, 1, MIRA, "!accept bbbbbbb")), "offer-expired");
    bench.event(&Event::TimePassed);
    assert_eq!(bench.run(2).phase, Phase::Expired);
    bench.say(4, 1, GUEST, "!testme");
    bench.say(5, 1, MIRA, "!reject");
    assert_eq!(bench.run(3).phase, Phase::Rejected);
}

#[test]
fn what_moved_after_the_comment_is_asked_about() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    bench.order = Order::CommentFirst;
    assert_eq!(code(&bench.say(1, 1, MIRA, "!testme")), "which-commit");
    assert_eq!(bench.say(2, 1, MIRA, "!testme aaaaaaa"), [Fate::Accepted { run: RunId(1) }]);
    assert_eq!(code(&bench.say(3, 1, MIRA, "!testme bbbbbbb")), "unknown-sha");
}

#[test]
fn edited_own_and_repeated_comments_do_nothing() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    let mut edited = comment(1, 1, MIRA, "!testme", 120);
    edited.is_edited = true;
    bench.event(&Event::CommentSeen { comment: edited });
    assert!(matches!(&bench.fates(1)[..], [Fate::Ignored { why }] if why.contains("edited")));
    assert!(bench.say(2, 1, BOT, "!testme").is_empty());
    assert!(bench.say(3, 1, MIRA, "<!-- docent-marker -->\n!testme").is_empty());
    assert_eq!(bench.world.runs.len(), 0);
    bench.say(4, 1, MIRA, "!testme");
    bench.event(&Event::CommentSeen { comment: comment(4, 1, MIRA, "!testme --full", 130) });
    assert_eq!(bench.world.runs.len(), 1, "a later edit is recorded and never executed");
    let entry = bench.world.comments.values().find(|entry| entry.id.number == 4).unwrap();
    assert!(entry.edited_at.is_some());
}

#[test]
fn what_says_nothing_is_what_nothing_follows_from() {
    let bodies = [
        "Nice.",
        "",
        "not a !testme",
        "> !testme\n\nIndeed.",
        "```\n!testme\n```",
        "!testme",
        "!tsetme",
        "!accept x",
    ];
    for body in bodies {
        let mut bench = Bench::new();
        bench.see(1, 'a');
        let mut said = comment(1, 1, MIRA, body, 120);
        let nothing = says_nothing(&said, &bench.policy);
        let event = Event::CommentSeen { comment: said.clone() };
        let decision = decide(&bench.world, &event, &bench.policy, at(130));
        assert_eq!(nothing, decision.changes.is_empty() && decision.actions.is_empty(), "{body:?}");
        said.is_edited = true;
        assert!(!says_nothing(&said, &bench.policy), "{body:?}: it may have been a command before");
    }
}

#[test]
fn the_forge_is_asked_again_before_anything_happens() {
    type Spoil = fn(&mut Examination);
    let cases: [(&str, Spoil); 4] = [
        ("deleted", |seen| seen.comment = None),
        ("edited", |seen| seen.comment.as_mut().unwrap().body.push('x')),
        ("no-pull", |seen| seen.pull = None),
        ("closed", |seen| seen.pull.as_mut().unwrap().is_open = false),
    ];
    for (code_wanted, spoil) in cases {
        let mut bench = Bench::new();
        bench.see(1, 'a');
        let said = comment(1, 1, MIRA, "!testme", bench.now);
        bench.event(&Event::CommentSeen { comment: said.clone() });
        let mut examination = Examination {
            comment: Some(said.clone()),
            pull: Some(pull(1, 'a', true)),
            observed_at: at(bench.now),
            order: Order::HeadFirst,
            push: None,
            permission: None,
            teams: vec![],
        };
        spoil(&mut examination);
        bench.event(&Event::CommentExamined { comment: said.id, examination: Box::new(examination) });
        assert_eq!(code(&bench.fates(1)), code_wanted);
        assert!(bench.world.runs.is_empty());
    }
}

#[test]
fn cancelling_ends_a_run_wherever_it_is() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    bench.see(2, 'b');
    bench.say(1, 1, MIRA, "!testme");
    bench.say(2, 2, MIRA, "!testme");
    assert_eq!(bench.run(2).phase, Phase::Waiting, "one slot");
    bench.say(3, 2, MIRA, "!cancel");
    assert_eq!(bench.run(2).phase, Phase::Cancelled);
    bench.prepare(1, &[]);
    bench.say(4, 1, MIRA, "!cancel");
    assert!(bench.outbox.contains_key("stop/1"));
    bench.end(1, Ending::Cancelled, vec![]);
    bench.release(1);
    assert_eq!(bench.run(1).phase, Phase::Cancelled);
    assert_eq!(code(&bench.say(5, 1, MIRA, "!cancel")), "nothing-to-cancel");
}

#[test]
fn what_is_to_stop_is_not_tried_again() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    bench.say(1, 1, MIRA, "!testme");
    bench.say(2, 1, MIRA, "!cancel");
    let fault = Fault { is_passing: true, is_the_authors: false, retry_after: None, text: "down".into() };
    bench.event(&Event::ActionFailed { action: Action::Prepare { run: RunId(1) }, tries: 0, fault });
    assert_eq!(bench.run(1).phase, Phase::Releasing);
}

#[test]
fn a_newer_run_takes_the_place_of_an_older_one() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    bench.say(1, 1, MIRA, "!testme");
    assert_eq!(
        bench.say(2, 1, MIRA, "!testme"),
        [Fate::Accepted { run: RunId(1) }],
        "the same is not run twice"
    );
    bench.see(1, 'b');
    assert_eq!(bench.run(1).cancel, None, "a push alone stops nothing");
    bench.say(3, 1, MIRA, "!testme");
    assert_eq!(bench.fates(1), [Fate::Superseded { by: RunId(2) }]);
    assert_eq!(bench.run(2).phase, Phase::Waiting, "the old one still holds its place");
    bench.prepare(1, &[]);
    bench.release(1);
    assert_eq!((bench.run(1).phase, bench.run(2).phase), (Phase::Cancelled, Phase::Preparing));
}

#[test]
fn closing_the_pull_request_stops_its_runs() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    bench.say(1, 1, MIRA, "!testme");
    bench.event(&Event::PullSeen { pull: pull(1, 'a', false), observed_at: at(bench.now), is_first: false });
    assert!(bench.run(1).cancel.is_some() && bench.outbox.contains_key("stop/1"));
}

#[test]
fn the_machinery_is_tried_twice_and_a_failed_gate_leaves_the_rest_unverified() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    bench.say(1, 1, MIRA, "!testme");
    bench.prepare(1, &["a.ipynb"]);
    bench.end(1, Ending::NotStarted { why: "no such file".into() }, vec![]);
    assert_eq!(bench.run(1).tiers[0].attempts.len(), 2);
    bench.end(1, Ending::NotStarted { why: "no such file".into() }, vec![]);
    let verdicts: Vec<_> = bench.run(1).tiers.iter().map(|tier| tier.verdict).collect();
    assert_eq!(verdicts, [Some(Verdict::Unverified), Some(Verdict::Unverified)]);
    bench.release(1);
    assert_eq!(bench.run(1).phase, Phase::Failed);
}

#[test]
fn extra_tests_never_move_the_default_verdict() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    bench.say(1, 1, MIRA, "!testme --extra-tests aaaaaaa");
    bench.prepare(1, &["a.ipynb"]);
    bench.end(1, exited(0), vec![]);
    bench.end(1, exited(0), vec![test("a.ipynb", Outcome::Passed)]);
    bench.end(1, exited(1), vec![]);
    assert_eq!(
        (bench.run(1).verdict, bench.run(1).extra_verdict),
        (Some(Verdict::Pass), Some(Verdict::Fail))
    );
}

#[test]
fn a_retry_runs_what_was_not_good() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    assert_eq!(code(&bench.say(1, 1, MIRA, "!retry")), "nothing-to-retry");
    bench.say(2, 1, MIRA, "!testme");
    bench.prepare(1, &["a.ipynb", "b.ipynb"]);
    bench.end(1, exited(0), vec![]);
    bench.end(1, exited(1), vec![test("a.ipynb", Outcome::Passed), test("b.ipynb", Outcome::Failed)]);
    bench.release(1);
    assert_eq!(bench.say(3, 1, MIRA, "!retry"), [Fate::Accepted { run: RunId(2) }]);
    assert_eq!(bench.run(2).request.only, ["b.ipynb"]);
}

#[test]
fn a_report_waits_its_turn_and_a_lost_examination_is_answered() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    bench.say(1, 1, MIRA, "!testme");
    bench.event(&Event::Reported { pull: pull_id(1), comment: 5, digest: "d".into() });
    bench.prepare(1, &[]);
    let due = &bench.outbox["report/f:1#1"];
    assert_eq!(due.at, at(bench.now) + Duration::seconds(15));

    let said = comment(2, 1, MIRA, "!status", bench.now);
    bench.event(&Event::CommentSeen { comment: said.clone() });
    let action = Action::Examine { comment: said.id, pull: 1 };
    let fault = Fault { is_passing: true, is_the_authors: false, retry_after: None, text: "down".into() };
    bench.event(&Event::ActionFailed { action: action.clone(), tries: 0, fault: fault.clone() });
    assert_eq!(bench.outbox[&action.key()].tries, 1);
    bench.event(&Event::ActionFailed { action, tries: 99, fault });
    assert_eq!(code(&bench.fates(2)), "not-examined");
}

#[test]
fn a_full_queue_refuses_and_slots_are_shared_by_repositories() {
    let mut bench = Bench::new();
    bench.policy.queue_limit = 2;
    for number in 1..=4 {
        bench.see(number, 'a');
    }
    for number in 1..=3 {
        assert!(
            matches!(bench.say(number, number, MIRA, "!testme")[..], [Fate::Accepted { .. }]),
            "{number}"
        );
    }
    assert_eq!(code(&bench.say(4, 4, MIRA, "!testme")), "queue-full");
}

#[test]
fn accepting_twice_or_too_late_changes_nothing() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    bench.say(1, 1, GUEST, "!testme");
    for _ in 0..2 {
        bench.event(&Event::OperatorAsked { ask: Ask::Accept { run: RunId(1) } });
    }
    assert_eq!((bench.run(1).phase, &bench.run(1).cancel), (Phase::Preparing, &None));
    bench.see(2, 'b');
    bench.say(2, 2, GUEST, "!testme");
    bench.see(2, 'c');
    bench.say(3, 2, MIRA, "!testme");
    bench.event(&Event::OperatorAsked { ask: Ask::Accept { run: RunId(2) } });
    assert_eq!((bench.run(2).phase, &bench.run(3).cancel), (Phase::Expired, &None));
}

#[test]
fn digits_that_fit_two_heads_accept_nothing() {
    let mut bench = Bench::new();
    let twin = |digit: char| -> Sha { format!("abc1234{}", digit.to_string().repeat(33)).parse().unwrap() };
    for digit in ['0', '1'] {
        let seen = PullRequest { head: twin(digit), ..pull(1, 'a', true) };
        bench.event(&Event::PullSeen { pull: seen, observed_at: at(bench.now), is_first: false });
        bench.now += 10;
        bench.say(bench.now.unsigned_abs(), 1, GUEST, "!testme");
    }
    assert_eq!(code(&bench.say(1, 1, MIRA, "!accept abc1234")), "ambiguous-sha");
    assert_eq!(bench.say(2, 1, MIRA, "!accept abc12341"), [Fate::Accepted { run: RunId(2) }]);
}

#[test]
fn an_offer_is_not_swapped_under_the_person_who_accepts_it() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    bench.say(1, 1, GUEST, "!testme");
    assert_eq!(code(&bench.say(2, 1, GUEST, "!testme --tier resolve")), "offer-stands");
    assert!(bench.run(1).request.options.tiers.is_empty());
}

#[test]
fn a_retry_leaves_nothing_out_that_never_ran() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    bench.say(1, 1, MIRA, "!testme");
    bench.prepare(1, &["a.ipynb", "b.ipynb", "c.ipynb"]);
    bench.end(1, exited(0), vec![]);
    bench.end(1, Ending::TimedOut, vec![test("a.ipynb", Outcome::Failed), test("c.ipynb", Outcome::Passed)]);
    bench.release(1);
    bench.say(2, 1, MIRA, "!retry");
    assert_eq!(bench.run(2).request.only, ["a.ipynb", "b.ipynb"]);
}

#[test]
fn a_part_of_a_recipe_and_a_run_of_nothing_get_no_full_light() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    bench.say(1, 1, MIRA, "!testme --tier resolve");
    bench.prepare(1, &["a.ipynb"]);
    bench.end(1, exited(0), vec![]);
    bench.release(1);
    assert_eq!(bench.run(1).verdict, Some(Verdict::Pass));
    assert_eq!(crate::core::report::status(bench.run(1)).0, crate::core::report::Light::Grey);
    bench.say(2, 1, MIRA, "!testme");
    bench.prepare(2, &[]);
    bench.end(2, exited(0), vec![]);
    bench.end(2, exited(77), vec![]);
    assert_eq!(bench.run(2).verdict, Some(Verdict::Skip), "an environment made for nothing proves nothing");
}

#[test]
fn a_command_below_a_quote_of_docents_comment_counts() {
    let mut bench = Bench::new();
    bench.see(1, 'a');
    let fates = bench.say(1, 1, MIRA, "> <!-- docent-marker -->\n> fail\n\n!testme");
    assert_eq!(fates.last(), Some(&Fate::Accepted { run: RunId(1) }));
}

#[test]
fn the_operator_may_without_a_forge() {
    let mut bench = Bench::new();
    let request = Request {
        pull: None,
        place: ".".into(),
        sha: None,
        base: None,
        is_untrusted: false,
        recipe: None,
        options: Default::default(),
        only: vec![],
        bundle: None,
        trigger: Trigger::CommandLine,
        by: Party::Operator,
    };
    bench.event(&Event::OperatorAsked { ask: Ask::Run { request: Box::new(request) } });
    assert_eq!((bench.run(1).phase, &bench.run(1).accepted_by), (Phase::Preparing, &Some(Party::Operator)));
    bench.event(&Event::OperatorAsked { ask: Ask::Cancel { run: RunId(1) } });
    assert!(bench.run(1).cancel.is_some());
}

mod extra;
mod publishing;
mod pushes;

#[test]
fn an_environment_is_built_once_for_a_lock_and_never_passed_from_strangers_to_trusted_code() {
    let mut bench = Bench::new();
    let recipe = bench.policy.recipes.get_mut("notebook").unwrap();
    recipe.tiers[0].lock = Some("lock".into());
    recipe
        .tiers
        .insert(1, Tier { environment: Environment::Write, ..tier("environment", true, false, None) });
    // Which run's environment each of these uses, one after the other: lock, trust, options.
    let runs = [
        ("a", true, false, 1),
        ("a", true, false, 1),
        ("b", true, false, 3),
        ("a", false, false, 4),
        ("a", false, false, 4),
        ("a", true, true, 6),
        ("a", true, false, 6),
    ];
    let mut seen = Vec::new();
    for (index, (lock, is_untrusted, full, _)) in runs.iter().enumerate() {
        let id = i64::try_from(index).unwrap() + 1;
        let request = Request {
            pull: None,
            place: "p".into(),
            sha: None,
            base: None,
            is_untrusted: *is_untrusted,
            recipe: Some("notebook".into()),
            options: crate::core::command::TestOptions { full: *full, ..Default::default() },
            only: vec![],
            bundle: None,
            trigger: Trigger::CommandLine,
            by: Party::Operator,
        };
        bench.event(&Event::OperatorAsked { ask: Ask::Run { request: Box::new(request) } });
        let recipe = RecipeUse {
            name: "notebook".into(),
            image_identity: Some("image".into()),
            ..RecipeUse::default()
        };
        bench.event(&Event::Prepared { run: RunId(id), recipe, plan: Plan::default() });
        while let Some(open) = bench.run(id).open_attempt() {
            bench.event(&Event::AttemptEnded {
                attempt: open.id.clone(),
                ending: AttemptEnding::Ended { ending: exited(0) },
                tests: vec![],
                log: None,
                artifacts: vec![Kept { name: "lock".into(), digest: (*lock).into(), size: 0 }],
                fallen: vec![],
            });
        }
        assert_eq!(bench.run(id).verdict, Some(Verdict::Pass));
        let attempts = bench.run(id).tier("environment").unwrap().attempts.len();
        let of = bench.run(id).environment.as_ref().unwrap().of.0;
        assert_eq!(attempts, usize::from(of == id), "built by run {id} though run {of} has");
        seen.push(of);
        bench.event(&Event::Released { run: RunId(id) });
    }
    // Two are kept: when the third came, that of run 1 was dropped, so run 6 built it again, and would have in any case.
    assert_eq!(seen, runs.map(|(_, _, _, of)| of));
}

#[test]
fn what_people_wait_for_goes_before_a_question_to_a_base_and_a_closing_ends_it() {
    let mut bench = Bench::new();
    for number in 1..4 {
        bench.see(number, 'a');
    }
    bench.say(1, 1, MIRA, "!testme");
    bench.prepare(1, &["n/a.ipynb"]);
    bench.end(1, exited(0), vec![]);
    bench.end(1, exited(1), vec![test("n/a.ipynb", Outcome::Failed)]);
    bench.say(2, 2, MIRA, "!testme");
    let look = Action::LookUpBase { run: RunId(1) };
    assert!(bench.outbox.contains_key(&look.key()));
    let evidence = crate::core::baseline::Evidence::default();
    bench.event(&Event::BaseLookedUp { run: RunId(1), pull: pull_id(1), evidence });
    let asked = &bench.run(3).request;
    assert_eq!((asked.only.as_slice(), asked.sha.as_ref()), (&["n/a.ipynb".to_owned()][..], Some(&sha('0'))));
    assert!(asked.is_untrusted && asked.is_baseline());
    bench.say(3, 3, MIRA, "!testme");
    assert!(bench.run(1).phase == Phase::Releasing, "it holds the one slot");
    bench.release(1);
    assert_eq!([2, 3, 4].map(|id| bench.run(id).phase), [Phase::Preparing, Phase::Waiting, Phase::Waiting]);
    bench.say(4, 2, MIRA, "!cancel");
    bench.outbox.remove(&Action::Prepare { run: RunId(2) }.key());
    bench.prepare(2, &[]);
    bench.release(2);
    assert_eq!(
        [3, 4].map(|id| bench.run(id).phase),
        [Phase::Waiting, Phase::Preparing],
        "it came later, and goes first"
    );
    let status = Action::SetStatus { run: RunId(3) };
    assert!(!bench.outbox.contains_key(&status.key()));
    bench.event(&Event::PullSeen { pull: pull(1, 'a', false), observed_at: at(bench.now), is_first: false });
    assert_eq!(bench.run(3).phase, Phase::Cancelled);
}

mod random {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Move {
        See(u64, char, bool),
        Push(Option<char>),
        Say(u64, u64, u64, &'static str),
        Work(bool, u8),
        Time(i64),
        Fail(u8),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let bodies = prop::sample::select(vec![
            "!testme",
            "!testme --full",
            "!cancel",
            "!retry",
            "!accept aaaaaaa",
            "!accept bbbbbbb",
            "!reject",
            "!status",
            "!testme bbbbbbb",
            "!help\n!testme\n!cancel",
            "hello",
            "!testme --extra-tests",
            "!testme --extra-tests aaaaaaa",
            "!tesme",
        ]);
        let one = prop_oneof![
            (1..4_u64, prop::sample::select(vec!['a', 'b', 'c']), any::<bool>())
                .prop_map(|(n, h, o)| Move::See(n, h, o)),
            (1..30_u64, 1..4_u64, prop::sample::select(vec![MIRA, GUEST, BOT]), bodies)
                .prop_map(|(c, n, w, b)| Move::Say(c, n, w, b)),
            prop::option::of(prop::sample::select(vec!['a', 'b', 'c', 'd'])).prop_map(Move::Push),
            (any::<bool>(), any::<u8>()).prop_map(|(twice, ending)| Move::Work(twice, ending)),
            (0..100_000_i64).prop_map(Move::Time),
            any::<u8>().prop_map(Move::Fail),
        ];
        prop::collection::vec(one, 1..60)
    }

    fn main_branch() -> crate::core::id::BranchId {
        crate::core::id::BranchId { repository: repository(), name: "main".into() }
    }

    fn ending(byte: u8) -> Ending {
        match byte % 8 {
            0..4 => exited(0),
            4 => exited(1),
            5 => Ending::TimedOut,
            6 => Ending::Cancelled,
            _ => Ending::NotStarted { why: "x".into() },
        }
    }

    /// Does the first open action, as an adapter would, and says with which event it came back.
    fn work(bench: &mut Bench, byte: u8) -> Option<Event> {
        let due = bench.outbox.values().nth(usize::from(byte) % bench.outbox.len().max(1))?.clone();
        bench.outbox.remove(&due.action.key());
        Some(match due.action {
            Action::Examine { comment, pull } => {
                let known = bench.world.pulls.get(&pull_id(pull)).map(|pull| pull.now.clone());
                let entry = &bench.world.comments[&comment];
                let said = Comment {
                    id: comment.clone(),
                    pull,
                    author: entry.author.clone(),
                    body: "!testme".into(),
                    created_at: entry.created_at,
                    updated_at: entry.created_at,
                    is_edited: false,
                    page_url: String::new(),
                };
                let examination = Examination {
                    comment: Some(said),
                    pull: known,
                    observed_at: at(bench.now),
                    order: Order::HeadFirst,
                    push: None,
                    permission: None,
                    teams: vec![],
                };
                Event::CommentExamined { comment, examination: Box::new(examination) }
            }
            Action::Compare { line, before, after } => {
                let changed = if byte.is_multiple_of(3) { vec![] } else { vec!["n/a.ipynb".to_owned()] };
                Event::Compared { line, before, after, changed }
            }
            Action::Prepare { run } => Event::Prepared {
                run,
                recipe: RecipeUse {
                    name: "notebook".into(),
                    image_identity: Some("image".into()),
                    ..RecipeUse::default()
                },
                plan: Plan { notebooks: vec!["n/a.ipynb".into(), "n/b.ipynb".into()], ..Plan::default() },
            },
            Action::Deploy { run } => Event::Deployed { run, fallen: Vec::new() },
            Action::LookUpBase { run } => looked_up(bench, run, byte),
            Action::Execute { attempt } => Event::AttemptEnded {
                attempt,
                ending: AttemptEnding::Ended { ending: ending(byte) },
                tests: match byte % 8 {
                    4 => vec![test("n/a.ipynb", Outcome::Failed), test("n/b.ipynb", Outcome::TimedOut)],
                    _ => vec![test("n/a.ipynb", Outcome::Passed), test("n/b.ipynb", Outcome::Passed)],
                },
                log: Some(Kept { name: "log".into(), digest: String::new(), size: 0 }),
                artifacts: vec![Kept { name: "lock".into(), digest: (byte % 5).to_string(), size: 0 }],
                fallen: vec![],
            },
            Action::Stop { run } => Event::Settled { run },
            Action::Release { run } => {
                // Whatever came of it, as if a curated spec had been kept: what may go out is not decided by that.
                if bench.run(run.0).phase == Phase::Releasing {
                    let curated = Kept { name: "spec".into(), digest: "d".into(), size: 1 };
                    bench.event(&Event::Curated { run, curated });
                }
                Event::Released { run }
            }
            action @ Action::Publish { .. } => super::publishing::answered(action, due.tries, byte),
            Action::DropEnvironment { run } => Event::Settled { run },
            Action::Report { pull } => Event::Reported { pull, comment: 1, digest: String::new() },
            Action::SetStatus { run } => Event::StatusSet { run },
        })
    }

    /// What the store would find.
    fn looked_up(bench: &Bench, run: RunId, byte: u8) -> Event {
        let Some((state, pull, sought)) = bench
            .world
            .runs
            .get(&run)
            .and_then(|state| Some((state, state.request.pull.clone()?, state.baseline.as_ref()?)))
        else {
            return Event::Settled { run };
        };
        let of_base = bench.world.runs.values().rev();
        let of_base: Vec<Run> =
            of_base.filter(|run| run.request.sha.as_ref() == Some(&sought.base)).cloned().collect();
        let evidence = crate::core::baseline::evidence(state, &of_base, &[], byte.is_multiple_of(2));
        Event::BaseLookedUp { run, pull, evidence }
    }

    /// One question to a base at a time, never in the place of a run that somebody wants, and never told on the forge.
    fn check_baselines(bench: &Bench) {
        let runs = || bench.world.runs.values();
        let live: Vec<&Run> = runs()
            .filter(|run| run.request.is_baseline() && run.phase.is_live() && run.phase != Phase::Releasing)
            .filter(|run| run.cancel.is_none())
            .collect();
        for run in &live {
            let twins = live.iter().filter(|other| {
                (&other.request.sha, &other.request.only, &other.request.options)
                    == (&run.request.sha, &run.request.only, &run.request.options)
            });
            assert_eq!(twins.count(), 1, "the same was asked twice");
            let wants = |pull: &PullId| bench.world.pulls.get(pull).is_some_and(|pull| pull.now.is_open);
            assert!(run.awaited_by.iter().any(|waiter| wants(&waiter.pull)), "nobody wants to know");
        }
        for run in runs().filter(|run| run.request.is_baseline()) {
            assert!(!bench.outbox.contains_key(&Action::SetStatus { run: run.id }.key()));
            assert!(run.baseline.is_none(), "a question that asks another");
        }
        for run in runs().filter(|run| run.phase.is_ended()) {
            let entered = run.phases.last().map(|entered| entered.at);
            assert_eq!(run.ended_at, entered, "what is remarked does not end a run again");
        }
    }

    fn play(bench: &mut Bench, next: &Move) {
        match next {
            Move::See(number, head, is_open) => {
                let mut seen = pull(*number, *head, *is_open);
                // The third is a stranger's.
                seen.head_repository = (*number < 3).then(|| "astro/notebooks".to_owned());
                bench.event(&Event::PullSeen { pull: seen, observed_at: at(bench.now), is_first: false });
            }
            Move::Push(head) => {
                let branch = main_branch();
                let head = head.map(sha);
                bench.event(&Event::BranchSeen { branch, head, observed_at: at(bench.now) });
            }
            Move::Say(id, number, who, body) => {
                bench.say(*id, *number, *who, body);
            }
            Move::Work(twice, byte) => {
                if let Some(event) = work(bench, *byte) {
                    bench.event(&event);
                    if *twice && !matches!(event, Event::Released { .. }) {
                        let before = (bench.world.clone(), bench.journal.len());
                        bench.event(&event);
                        if !matches!(event, Event::Reported { .. }) {
                            assert_eq!(before.0, bench.world, "delivered twice: {event:?}");
                        }
                    }
                }
            }
            Move::Time(seconds) => {
                bench.now += seconds;
                bench.event(&Event::TimePassed);
            }
            Move::Fail(byte) => {
                let due = bench.outbox.values().nth(usize::from(*byte) % bench.outbox.len().max(1)).cloned();
                if let Some(due) = due {
                    bench.outbox.remove(&due.action.key());
                    let fault = Fault {
                        is_passing: byte % 2 == 0,
                        is_the_authors: byte % 3 == 0,
                        retry_after: None,
                        text: "x".into(),
                    };
                    bench.event(&Event::ActionFailed { action: due.action, tries: due.tries, fault });
                }
            }
        }
    }

    /// Environments are made from locks, kept for later runs, and dropped when there are too many.
    fn lock_environments(policy: &mut Policy) {
        let recipe = policy.recipes.get_mut("notebook").unwrap();
        recipe.tiers[0].lock = Some("lock".into());
        let environment = Tier { environment: Environment::Write, ..tier("environment", true, false, None) };
        recipe.tiers.insert(1, environment);
    }

    /// No tier begins before the services are there, and they are brought up once.
    fn check_services(bench: &Bench) {
        for run in bench.world.runs.values().filter(|run| !run.services.is_empty()) {
            let has_begun = run.tiers.iter().any(|tier| !tier.attempts.is_empty());
            let was_stopped = run.deploys == 1 && run.cancel.is_some();
            assert!(run.deploys == u32::from(has_begun) || was_stopped, "{run:?}");
        }
    }

    fn check_environments(bench: &Bench) {
        let kept = &bench.world.environments;
        let live = || bench.world.runs.values().filter(|run| run.phase.is_live());
        let used = |of: &RunId| live().any(|run| run.environment.as_ref().is_some_and(|used| used.of == *of));
        assert!(
            kept.keys().filter(|run| !used(run)).count() <= bench.policy.environments,
            "more than there is room for"
        );
        for run in live() {
            let other = run.environment.as_ref().map(|used| used.of).filter(|of| *of != run.id);
            assert!(
                other.is_none_or(|of| kept.contains_key(&of)),
                "an environment was dropped while it was used"
            );
        }
        let keys: std::collections::BTreeSet<_> = kept.values().map(|kept| &kept.key).collect();
        assert_eq!(keys.len(), kept.len(), "two environments of one lock");
    }

    fn check(bench: &Bench) {
        check_environments(bench);
        super::publishing::check(bench);
        check_services(bench);
        check_baselines(bench);
        for number in 1..4 {
            let of_pull = |run: &&Run| run.request.pull == Some(pull_id(number));
            let running =
                bench.world.runs.values().filter(of_pull).filter(|run| run.phase.is_running()).count();
            assert!(running <= 1, "two running runs of pull request {number}");
            let waiting =
                bench.world.runs.values().filter(of_pull).filter(|run| run.phase == Phase::Waiting).count();
            assert!(waiting <= 1, "two waiting runs of pull request {number}");
        }
        let of_branch = |run: &&Run| run.request.branch() == Some(&main_branch());
        for phase in [Phase::Preparing, Phase::Available, Phase::Waiting] {
            let live = bench.world.runs.values().filter(of_branch).filter(|run| run.phase == phase).count();
            assert!(live <= 1, "two {} runs of a branch", phase.word());
        }
        let pushed = bench.world.runs.values().filter(of_branch).filter_map(|run| run.request.sha.as_ref());
        let pushed: Vec<&Sha> = pushed.collect();
        assert!(pushed.iter().all(|sha| pushed.iter().filter(|other| other == &sha).count() == 1));
        let held = bench.world.runs.values().filter(|run| run.phase.is_running()).count();
        assert!(held <= bench.policy.slots, "more runs than slots");
        for run in bench.world.runs.values() {
            let by = run.accepted_by.as_ref();
            assert!(run.tiers.is_empty() || by.is_some(), "a job without an acceptance");
            assert!(by.is_none_or(|by| match by {
                Party::Operator => true,
                Party::Account { actor, .. } => actor.number == MIRA,
                // docent itself: by its rule on pushes only, and never for a stranger's.
                Party::Docent => match &run.request.trigger {
                    Trigger::Push { rule, .. } =>
                        !rule.is_empty() && run.request.pull.as_ref().is_none_or(|pull| pull.number < 3),
                    Trigger::Baseline { rule, .. } => !rule.is_empty() && run.request.pull.is_none(),
                    _ => false,
                },
            }));
            let is_of_pull = run.request.pull.is_some();
            assert!(run.request.is_baseline() || run.request.is_untrusted == is_of_pull);
        }
        let mut again = World::default();
        for change in &bench.journal {
            again.apply(change).unwrap();
        }
        assert_eq!(again, bench.world, "replaying the journal gives the state");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn whatever_happens_the_promises_hold(moves in moves()) {
            let mut bench = Bench::new();
            lock_environments(&mut bench.policy);
            if moves.len() % 2 == 1 {
                let recipe = bench.policy.recipes.get_mut("notebook").unwrap();
                recipe.services = vec![crate::core::service::tests::service("db", &[])];
            }
            let watched = bench.policy.repositories.get_mut(&repository()).unwrap();
            (watched.branches, watched.paths) = (vec!["main".into()], vec!["n/**".into()]);
            watched.publish = Some(super::publishing::policy());
            for next in &moves {
                play(&mut bench, next);
                check(&bench);
            }
            // Whatever is left comes to its end when every action is done.
            for step in 0..2000 {
                if bench.outbox.is_empty() { break }
                if let Some(event) = work(&mut bench, u8::try_from(step % 4).unwrap()) { bench.event(&event); }
                check(&bench);
            }
            prop_assert!(bench.outbox.is_empty());
            prop_assert!(bench.world.runs.values().all(|run| run.phase.is_ended() || run.phase == Phase::Offered), "a run is stuck");
            prop_assert!(bench.world.runs.values().all(|run| run.baseline.as_ref().is_none_or(|it| it.is_concluded)), "a comparison without an end");
            prop_assert!(bench.world.runs.values().all(|run| run.publishing.as_ref().is_none_or(|it| !it.is_open())), "a publishing without an end");
            let pending = bench.world.comments.values().flat_map(|entry| &entry.commands).filter(|asked| asked.fate == Fate::Pending);
            prop_assert_eq!(pending.count(), 0, "a command without a fate");
        }
    }
}
