//! Who publishes: a table. Whatever is not in its first line publishes nothing.

use super::*;
use crate::core::command::TestOptions;
use crate::core::id::{BranchId, PullId, RepositoryId, RunId};
use crate::core::plan;
use crate::core::plan::Plan;
use crate::core::recipe::{Environment, Limits, Network, Tier};
use crate::core::run::{Cancel, Kept, Party, Request, RunChange, Trigger};
use crate::core::time::Time;

fn repository() -> RepositoryId {
    RepositoryId { forge: "f".into(), number: 1 }
}

fn publish() -> PublishPolicy {
    PublishPolicy {
        to: "registry.example.org/astro/images".into(),
        branches: vec!["main".into()],
        aliases: vec!["{name}_latest".into(), "current".into()],
    }
}

fn push(branch: &str) -> Trigger {
    let branch = BranchId { repository: repository(), name: branch.into() };
    Trigger::Push { branch, changed: vec![], rule: "a push".into() }
}

/// A run of a branch whose every tier passed, with its curated spec.
fn proven() -> Run {
    let request = Request {
        pull: None,
        place: "astro/notebooks".into(),
        sha: None,
        base: None,
        is_untrusted: false,
        recipe: None,
        options: TestOptions::default(),
        only: vec![],
        bundle: None,
        trigger: push("main"),
        by: Party::Docent,
    };
    let mut run = Run::offered(RunId(1), request, Time::default(), Time::default());
    let tier = |name: &str, is_opt_in: bool| Tier {
        name: name.into(),
        run: vec![],
        network: Network::None,
        environment: Environment::None,
        is_gate: true,
        is_opt_in,
        covers: Vec::new(),
        tests: None,
        lock: None,
        is_reusable: false,
        limits: Limits {
            memory_bytes: 1,
            cpus: 1.0,
            processes: 1,
            disk_bytes: 1,
            log_bytes: 1,
            timeout_seconds: 1,
        },
    };
    run.tiers = plan::begin(vec![tier("resolve", false), tier("extra", true)], &Plan::default());
    run.tiers[0].verdict = Some(Verdict::Pass);
    run.tiers[1].verdict = Some(Verdict::Fail);
    run.phase = Phase::Completed;
    run.verdict = Some(Verdict::Pass);
    run.curated = Some(Kept { name: "nbw-wrangler-spec.yaml".into(), digest: "d".into(), size: 1 });
    run
}

type Bend = fn(&mut Run);

#[test]
fn only_a_proven_run_of_a_branch_publishes() {
    assert_eq!(destination(&proven(), Some(&publish())), Ok(&publish()), "opt-in tiers never move anything");
    assert_eq!(destination(&proven(), None), Err("its repository publishes nothing"));
    let table: [(&str, Bend, &str); 20] = [
        ("head of a fork", |run| of_pull(run, "theirs"), "no run of a branch"),
        ("head of a branch of the same name", |run| of_pull(run, "main"), "no run of a branch"),
        ("a comment's command", |run| run.request.trigger = comment(), "no run of a branch"),
        ("docent's question to a base", |run| run.request.trigger = baseline(), "no run of a branch"),
        ("the command line", |run| run.request.trigger = Trigger::CommandLine, "no run of a branch"),
        ("untrusted", |run| run.request.is_untrusted = true, "untrusted"),
        ("another branch", |run| run.request.trigger = push("dev"), "this branch"),
        (
            "cancelled",
            |run| run.cancel = Some(Cancel { by: Party::Operator, why: String::new() }),
            "cancelled",
        ),
        ("offered", |run| run.phase = Phase::Offered, "did not complete"),
        ("an expired offer", |run| run.phase = Phase::Expired, "did not complete"),
        ("a rejected offer", |run| run.phase = Phase::Rejected, "did not complete"),
        ("still being torn down", |run| run.phase = Phase::Releasing, "did not complete"),
        ("errored", |run| run.phase = Phase::Failed, "did not complete"),
        ("--tier", |run| run.request.options.tiers = vec!["resolve".into()], "a part"),
        ("--notebooks", |run| run.request.options.notebooks = Some("*".into()), "a part"),
        ("a retry of some tests", |run| run.request.only = vec!["a.ipynb".into()], "a part"),
        ("failed", |run| run.verdict = Some(Verdict::Fail), "passed"),
        ("skipped", |run| run.verdict = Some(Verdict::Skip), "passed"),
        ("an unverified tier", |run| run.tiers[0].verdict = Some(Verdict::Unverified), "passed"),
        ("nothing curated", |run| run.curated = None, "no curated spec"),
    ];
    for (what, bend, why) in table {
        let mut run = proven();
        bend(&mut run);
        let told = destination(&run, Some(&publish())).unwrap_err();
        assert!(told.contains(why), "{what}: {told}");
    }
}

fn of_pull(run: &mut Run, branch: &str) {
    run.request.pull = Some(PullId { repository: repository(), number: 3 });
    run.request.trigger = push(branch);
    run.request.is_untrusted = true;
}

fn comment() -> Trigger {
    use crate::core::id::{CommentId, CommentKind};
    let comment = CommentId { repository: repository(), kind: CommentKind::Comment, number: 1 };
    Trigger::Comment { comment, page_url: String::new() }
}

fn baseline() -> Trigger {
    let pull = PullId { repository: repository(), number: 3 };
    Trigger::Baseline { of: RunId(7), pull, rule: String::new() }
}

/// Its result.json is what the published schema says.
fn check_document(run: &Run) {
    let schema = include_str!("../../../docs/schema/result.schema.json");
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("urn:result", serde_json::from_str(schema).unwrap()).unwrap();
    let mut schemas = boon::Schemas::new();
    let result = compiler.compile("urn:result", &mut schemas).unwrap();
    let document = crate::core::result::Document::of(run, Default::default());
    let document = serde_json::to_value(&document).unwrap();
    assert!(document["publishing"]["to"].is_string());
    if let Err(error) = schemas.validate(&document, result) {
        panic!("{error}\n{document:#}");
    }
}

#[test]
fn an_alias_may_hold_the_name() {
    let aliases = publish().aliases_of("nbs_alpha_prod").unwrap();
    assert_eq!(aliases.iter().map(Tag::as_str).collect::<Vec<_>>(), ["nbs_alpha_prod_latest", "current"]);
    assert!(publish().aliases_of(&"x".repeat(127)).is_err());
}

#[test]
fn publishing_ends_once_and_moves_neither_phase_nor_verdict() {
    let mut run = proven();
    let image = |number: u32| Image {
        reference: format!("registry.example.org/astro/images:nbs_alpha_{number}"),
        digest: format!("sha256:{}", "0".repeat(64)),
        was_there: number == 2,
        aliases: vec![],
    };
    let now = Time::default();
    let published = |number| RunChange::Published { image: image(number) };
    assert!(run.apply(&published(1), now).is_err(), "nothing is published that was not to be");
    let begun = RunChange::PublishingBegun { to: publish().to };
    run.apply(&begun, now).unwrap();
    assert!(run.apply(&begun, now).is_err());
    let before = run.clone();
    run.apply(&published(2), now).unwrap();
    assert!(run.apply(&published(1), now).is_err());
    assert!(run.apply(&RunChange::PublishingErrored { why: "x".into() }, now).is_err());
    assert_eq!((run.phase, run.verdict, run.ended_at), (before.phase, before.verdict, before.ended_at));
    let publishing = run.publishing.as_ref().unwrap();
    assert_eq!(publishing.line(), "already published as registry.example.org/astro/images:nbs_alpha_2");
    assert_eq!(publishing.image().unwrap().tag(), "nbs_alpha_2");
    check_document(&before);
    check_document(&run);
    let mut errored = before;
    errored.apply(&RunChange::PublishingErrored { why: "full".into() }, now).unwrap();
    check_document(&errored);
    let again: Run = serde_json::from_str(&serde_json::to_string(&run).unwrap()).unwrap();
    assert_eq!(again, run);
    // A run of before there was publishing.
    let mut old = serde_json::to_value(&run).unwrap();
    old.as_object_mut().unwrap().remove("publishing");
    assert_eq!(serde_json::from_value::<Run>(old).unwrap().publishing, None);
}
