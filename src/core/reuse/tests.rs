use super::*;
use crate::core::command::TestOptions;
use crate::core::environment::EnvironmentUse;
use crate::core::plan::{self, Plan};
use crate::core::recipe::{Limits, Network, TestSet};
use crate::core::run::{Party, RecipeUse, Request, Trigger};
use crate::core::time::Time;
use crate::core::verdict::Verdict;

const LIMITS: Limits =
    Limits { memory_bytes: 1, cpus: 1.0, processes: 1, disk_bytes: 1, log_bytes: 1, timeout_seconds: 1 };

fn tier() -> Tier {
    Tier {
        name: "notebooks".into(),
        run: vec!["true".into()],
        network: Network::None,
        environment: Environment::Read,
        is_gate: false,
        is_opt_in: false,
        tests: Some(TestSet::Notebooks),
        lock: None,
        is_reusable: true,
        covers: vec![],
        limits: LIMITS,
    }
}

/// A run that has run `a.ipynb` and `b.ipynb`, and passed.
fn run(id: i64) -> Run {
    let request = Request {
        pull: None,
        place: "astro/notebooks".into(),
        sha: None,
        base: None,
        is_untrusted: true,
        recipe: None,
        options: TestOptions::default(),
        only: vec![],
        bundle: None,
        trigger: Trigger::CommandLine,
        by: Party::Operator,
    };
    let mut run = Run::offered(RunId(id), request, Time::UNIX_EPOCH, Time::UNIX_EPOCH);
    let names = ["a.ipynb", "b.ipynb"];
    let plan = Plan {
        notebooks: names.map(str::to_owned).to_vec(),
        prints: Prints {
            notebooks: names.map(|name| (name.to_owned(), format!("code of {name}"))).into(),
            curious: BTreeSet::new(),
            files: "files".into(),
        },
        ..Plan::default()
    };
    run.recipe = Some(RecipeUse {
        name: "notebook".into(),
        digest: "recipe".into(),
        image: "image".into(),
        image_identity: Some("image 1".into()),
        settings_digest: "settings".into(),
    });
    run.environment = Some(EnvironmentUse { key: "lock".into(), of: RunId(1), bytes: None });
    run.tiers = plan::begin(vec![tier()], &plan);
    run.tiers[0].tests = names.map(|name| TestResult::plain(name, Outcome::Passed, "", "")).to_vec();
    run.tiers[0].verdict = Some(Verdict::Pass);
    run.plan = Some(plan);
    run
}

fn candidates(of: &Run) -> Vec<Candidate> {
    let kept = remember(of, &of.tiers[0]).into_iter();
    kept.map(|kept| Candidate {
        kept,
        run: of.id,
        tier: "notebooks".into(),
        is_untrusted: of.request.is_untrusted,
    })
    .collect()
}

/// Names of what `now` takes from `before`, and how many memories were not true.
fn taken(now: &Run, before: &[&Run]) -> (Vec<String>, usize) {
    let candidates: Vec<Candidate> = before.iter().flat_map(|run| candidates(run)).collect();
    let sources = before.iter().map(|run| (run.id, (*run).clone())).collect();
    let reuse = choose(now, &now.tiers[0], &candidates, &sources);
    assert!(reuse.results.iter().all(|test| test.outcome == Outcome::Passed && test.reused_from.is_some()));
    (reuse.results.into_iter().map(|test| test.name).collect(), reuse.inconsistent.len())
}

fn all() -> Vec<String> {
    vec!["a.ipynb".into(), "b.ipynb".into()]
}

#[test]
fn what_sees_the_same_is_taken_and_whatever_differs_is_run() {
    let before = run(1);
    assert_eq!(taken(&run(2), &[&before]), (all(), 0));
    type Differ = fn(&mut Run);
    let differences: [(&str, Differ, &[&str]); 12] = [
        ("code", |run| drop(prints(run).notebooks.insert("a.ipynb".into(), "other".into())), &["b.ipynb"]),
        ("files", |run| prints(run).files = "other".into(), &[]),
        ("environment", |run| run.environment.as_mut().unwrap().key = "other".into(), &[]),
        ("no environment", |run| run.environment = None, &[]),
        ("image", |run| run.recipe.as_mut().unwrap().image_identity = Some("image 2".into()), &[]),
        ("an image that nobody knows", |run| run.recipe.as_mut().unwrap().image_identity = None, &[]),
        ("recipe", |run| run.recipe.as_mut().unwrap().digest = "other".into(), &[]),
        ("settings", |run| run.recipe.as_mut().unwrap().settings_digest = "other".into(), &[]),
        ("limits", |run| run.tiers[0].tier.limits.memory_bytes = 2, &[]),
        ("--full", |run| run.request.options.full = true, &[]),
        ("!retry", |run| run.request.only = vec!["a.ipynb".into()], &[]),
        ("trust", |run| run.request.is_untrusted = false, &[]),
    ];
    for (what, differ, wanted) in differences {
        let mut now = run(2);
        differ(&mut now);
        let (names, inconsistent) = taken(&now, &[&before]);
        assert_eq!((names.as_slice(), inconsistent), (wanted.map_names().as_slice(), 0), "{what}");
    }
}

trait Names {
    fn map_names(&self) -> Vec<String>;
}

impl Names for &[&str] {
    fn map_names(&self) -> Vec<String> {
        self.iter().map(ToString::to_string).collect()
    }
}

fn prints(run: &mut Run) -> &mut Prints {
    &mut run.plan.as_mut().unwrap().prints
}

#[test]
fn trusted_results_serve_strangers() {
    let mut before = run(1);
    before.request.is_untrusted = false;
    assert_eq!(taken(&run(2), &[&before]), (all(), 0));
}

#[test]
fn what_ever_failed_in_the_same_state_is_run_again() {
    let (passed, mut failed) = (run(1), run(2));
    failed.tiers[0].tests[0].outcome = Outcome::TimedOut;
    assert_eq!(taken(&run(3), &[&failed]).0, ["b.ipynb"]);
    assert_eq!(taken(&run(3), &[&passed, &failed]).0, ["b.ipynb"]);
    // What the machinery did says nothing of the notebook.
    failed.tiers[0].tests[0].outcome = Outcome::Errored;
    assert_eq!(taken(&run(3), &[&passed, &failed]).0, all());
}

#[test]
fn a_reused_result_is_not_passed_on_in_its_own_name() {
    let (before, mut between) = (run(1), run(2));
    between.tiers[0].tests[0].reused_from = Some(RunId(1));
    assert_eq!(remember(&between, &between.tiers[0]).len(), 1);
    let candidates: Vec<Candidate> = [&before, &between].into_iter().flat_map(candidates).collect();
    let sources = [(before.id, before.clone()), (between.id, between)].into();
    let now = run(3);
    let from: Vec<_> = choose(&now, &now.tiers[0], &candidates, &sources)
        .results
        .iter()
        .map(|test| test.reused_from)
        .collect();
    assert_eq!(from, [Some(RunId(1)), Some(RunId(2))]);
}

#[test]
fn a_memory_that_is_not_true_is_named_and_not_trusted() {
    let before = run(1);
    let candidates = candidates(&before);
    let now = run(2);
    let mut changed = before.clone();
    changed.tiers[0].tests[0].outcome = Outcome::Failed;
    let mut other = before.clone();
    prints(&mut other).files = "other".into();
    for (what, sources, wanted) in [
        ("gone", BTreeMap::new(), 2),
        ("failed in truth", [(changed.id, changed)].into(), 1),
        ("of another state", [(other.id, other)].into(), 2),
    ] {
        let reuse = choose(&now, &now.tiers[0], &candidates, &sources);
        assert_eq!((reuse.inconsistent.len(), reuse.results.len()), (wanted, 2 - wanted), "{what}");
    }
}

#[test]
fn one_that_may_read_others_is_run_when_another_changes() {
    let curious = |id| {
        let mut run = run(id);
        prints(&mut run).curious.insert("a.ipynb".into());
        run
    };
    let (before, mut now) = (curious(1), curious(2));
    assert_eq!(taken(&now, &[&before]), (all(), 0));
    prints(&mut now).notebooks.insert("c.ipynb".into(), "new".into());
    assert_eq!(taken(&now, &[&before]).0, ["b.ipynb"]);
}

#[test]
fn what_was_run_counts_more_than_what_was_remembered() {
    let failed = TestResult::plain("a", Outcome::Failed, "", "");
    let old = ["a", "b"].map(|name| TestResult::plain(name, Outcome::Passed, "", "")).to_vec();
    let merged = merge(vec![failed.clone()], old.clone());
    assert_eq!(merged, [failed, old[1].clone()]);
}

#[test]
fn prose_does_not_count() {
    for path in
        ["README.md", "docs/a.rst", "LICENSE", ".github/workflows/ci.yml", "a/CHANGELOG.txt", ".gitignore"]
    {
        assert!(is_prose(path), "{path}");
    }
    for path in ["data.csv", "a.py", "requirements.txt", "x/readme.md.py", "md", "github/x"] {
        assert!(!is_prose(path), "{path}");
    }
}
