//! What a pull request would be told of a run: the comment is made from the results that the run really left.

use docent::core::id::{PullId, RepositoryId, RunId, Sha};
use docent::core::neutral;
use docent::core::outcome::TestResult;
use docent::core::pull::PullRequest;
use docent::core::recipe::{Environment, Limits, Network, TestSet, Tier};
use docent::core::report::{self, View};
use docent::core::run::{Party, Phase, Request, Run, TierRun, Trigger};
use docent::core::time::Time;
use docent::core::verdict::Verdict;
use docent::core::world::Pull;

/// Failures that a comment tells in full.
const SHOWN: usize = 10;

/// Asserts that each bad test stands in the comment with its name, its outcome and its cell.
pub fn names(tier: &str, tests: Vec<TestResult>) {
    let pull = pull();
    let run = run(&pull, tier, tests.clone());
    let view = View {
        pull: &pull,
        comments: &[],
        runs: &[run],
        public_url: None,
        clone_url: None,
        accept: "!accept",
        publish: None,
    };
    let comment = report::comment(&view, "docent-test", 65_536);
    let bad: Vec<&TestResult> = tests.iter().filter(|test| test.outcome.is_bad()).collect();
    if bad.len() > SHOWN {
        assert!(comment.contains(&format!("… and {} more.", bad.len() - SHOWN)), "{comment}");
    }
    for test in bad.into_iter().take(SHOWN) {
        let head = format!("#### ✘ {} — {}\n\nTier {tier}", neutral::path(&test.name), test.outcome.words());
        let (_, rest) = comment.split_once(&head).unwrap_or_else(|| panic!("{head}\n\n{comment}"));
        let own = rest.split("\n#### ").next().unwrap();
        if let Some(cell) = &test.cell {
            assert!(own.starts_with(&format!(", cell {} (code cell", cell.index)), "{own}");
        }
        match &test.exception {
            Some(exception) => assert!(own.contains(&exception.name), "{own}"),
            None => assert!(own.contains(&neutral::inline(&test.message, 400)), "{own}"),
        }
    }
    for test in tests.iter().filter(|test| !test.outcome.is_bad()) {
        assert!(comment.contains(&format!("- {} {}", neutral::path(&test.name), test.outcome.words())));
    }
}

fn pull() -> Pull {
    let sha: Sha = "1".repeat(40).parse().unwrap();
    let now = PullRequest {
        id: PullId { repository: RepositoryId { forge: "example".into(), number: 1 }, number: 1 },
        title: String::new(),
        author: None,
        is_open: true,
        head: sha.clone(),
        head_branch: String::new(),
        head_repository: None,
        is_from_fork: true,
        base: sha,
        base_branch: "main".into(),
        merge_base: None,
        page_url: String::new(),
        updated_at: Time::UNIX_EPOCH,
    };
    Pull { now, heads: Vec::new(), posted: None, suggested: None }
}

fn run(pull: &Pull, tier: &str, tests: Vec<TestResult>) -> Run {
    let request = Request {
        pull: Some(pull.now.id.clone()),
        place: "astro/notebooks".into(),
        sha: Some(pull.now.head.clone()),
        base: None,
        is_untrusted: true,
        recipe: None,
        options: Default::default(),
        only: Vec::new(),
        bundle: None,
        trigger: Trigger::CommandLine,
        by: Party::Operator,
    };
    let tier = Tier {
        name: tier.to_owned(),
        run: vec!["true".into()],
        network: Network::None,
        environment: Environment::Read,
        is_gate: false,
        is_opt_in: false,
        tests: Some(TestSet::Notebooks),
        lock: None,
        is_reusable: false,
        covers: vec![],
        limits: Limits {
            memory_bytes: 0,
            cpus: 1.0,
            processes: 1,
            disk_bytes: 0,
            log_bytes: 0,
            timeout_seconds: 1,
        },
    };
    let planned = tests.iter().map(|test| test.name.clone()).collect();
    let mut run = Run::offered(RunId(1), request, Time::UNIX_EPOCH, Time::UNIX_EPOCH);
    run.phase = Phase::Completed;
    run.verdict = Some(Verdict::Fail);
    run.tiers = vec![TierRun {
        tier,
        planned,
        attempts: Vec::new(),
        tests,
        verdict: Some(Verdict::Fail),
        reused_from: None,
    }];
    run
}
