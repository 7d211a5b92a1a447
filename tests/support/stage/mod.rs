//! One stage for every scenario: the real daemon, a real database file, the embedded forge over HTTP, scripted attempts.
//!
//! A test sets a stage, says things on the pull request, and names what it expects. [`Stage::end`] fails on every run,
//! comment, status, attempt, folder or undecided command that was not expected; a stage that is not ended fails too.
#![allow(dead_code, reason = "every test program compiles all of it and uses some")]

mod end;
pub mod tap;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use docent::clock::Clock;
use docent::core::command::Grammar;
use docent::core::event::Event;
use docent::core::extra::ExtraPolicy;
use docent::core::id::{AttemptId, PullId, RepositoryId, RunId};
use docent::core::ledger::Entry;
use docent::core::policy::{Allow, Policy, RepositoryPolicy};
use docent::core::publishing::PublishPolicy;
use docent::core::run::Run;
use docent::core::time;
use docent::daemon::{Daemon, Parts, Registries, Watched};
use docent::demo::forge::EmbeddedForge;
use docent::demo::sample::{self, Sample};
use docent::executor::scripted::Scripted;
use docent::forge::any::{AnyForge, AnyReporter, ForgeKind, Settings};
use docent::forge::github::GitHubCredential;
use docent::forge::http::Bounds;
use docent::git::Git;
use docent::publish::{self, Access, Credential, Place, Registry};
use docent::recipes::Shelf;
use docent::store::{Files, Store};
use secrecy::SecretString;
use tap::{Point, Tap, Tapped};
use tokio_util::sync::CancellationToken;

pub const REPOSITORY: &str = sample::REPOSITORY;
pub const FORGE: &str = "demo";
/// Stands hidden in every comment of docent.
pub const MARKER: &str = "docent-0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(90);

type StagedDaemon = Daemon<Tapped<AnyForge>, Tapped<AnyReporter>, Tapped<Scripted>>;

/// The recipe of all scenarios: two tiers, and one that has to be asked for.
const RECIPE: &str = r#"
name = "trial"
detect = []
image = "docent-test/tiny:1"
[[tier]]
name = "first"
run = ["sh", "-c", "true"]
environment = "write"
gate = true
[[tier]]
name = "second"
run = ["sh", "-c", "true"]
environment = "read"
[[tier]]
name = "extra"
run = ["sh", "-c", "true"]
opt_in = true
"#;

/// A recipe with two services.
pub const WITH_SERVICES: &str = r#"
name = "trial"
detect = []
image = "docent-test/tiny:1"
[[service]]
name = "cache"
image = "docent-test/tiny:1"
port = 6379
after = ["db"]
[[service]]
name = "db"
image = "docent-test/tiny:1"
port = 5432
[[tier]]
name = "first"
run = ["sh", "-c", "true"]
[[tier]]
name = "extra"
run = ["sh", "-c", "true"]
opt_in = true
"#;

/// A recipe that locks, builds an environment from the lock, and runs notebooks in it.
pub const LOCKED: &str = r#"
name = "trial"
detect = []
image = "docent-test/tiny:1"
[[tier]]
name = "lock"
run = ["sh", "-c", "true"]
lock = "artifacts/lock"
gate = true
[[tier]]
name = "environment"
run = ["sh", "-c", "true"]
environment = "write"
gate = true
[[tier]]
name = "notebooks"
run = ["sh", "-c", "true"]
environment = "read"
tests = "notebooks"
reuse = true
"#;

/// The same, for specs.
pub const LOCKED_WITH_SPECS: &str = r#"
name = "trial"
detect = []
specs = ["**/nbw-spec.yaml"]
image = "docent-test/tiny:1"
[[tier]]
name = "validate"
[[tier]]
name = "lock"
run = ["sh", "-c", "true"]
lock = "artifacts/lock"
gate = true
[[tier]]
name = "environment"
run = ["sh", "-c", "true"]
environment = "write"
gate = true
[[tier]]
name = "notebooks"
run = ["sh", "-c", "true"]
environment = "read"
tests = "notebooks"
reuse = true
"#;

/// What can differ between stages.
#[derive(Debug, Clone)]
pub struct Setting {
    /// There is a report credential.
    pub has_reports: bool,
    /// Runs at a time.
    pub slots: usize,
    /// Runs that may wait.
    pub queue_limit: usize,
    /// Failed tests that are run on the base as well.
    pub baseline_tests: usize,
    /// What kept environments may take together.
    pub environment_bytes: u64,
    /// Watched besides the sample's repository.
    pub others: Vec<String>,
    /// Branches whose pushes start runs.
    pub branches: Vec<String>,
    /// Paths whose changes start runs.
    pub paths: Vec<String>,
    /// Where curated specs go: registry and repository; none: nowhere. What branches publish, all of `branches` do.
    pub publish_to: Option<String>,
    /// With which credential.
    pub publish_credential: String,
    /// Whether and how often extra tests run.
    pub extra: ExtraPolicy,
    /// How long an answer of the forge, or of a registry, may take.
    pub patience: Duration,
    /// The recipe `trial`.
    pub recipe: &'static str,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            has_reports: true,
            slots: 2,
            queue_limit: 50,
            baseline_tests: 0,
            environment_bytes: 1 << 40,
            others: Vec::new(),
            branches: Vec::new(),
            paths: Vec::new(),
            publish_to: None,
            publish_credential: String::new(),
            extra: ExtraPolicy::default(),
            patience: Duration::from_secs(20),
            recipe: RECIPE,
        }
    }
}

struct Life {
    runtime: tokio::runtime::Runtime,
    daemon: StagedDaemon,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<bool>,
    tap: Tap,
}

/// What the test has named so far.
#[derive(Default)]
struct Expected {
    runs: BTreeSet<RunId>,
    comments: BTreeSet<(String, u64)>,
}

pub struct Stage {
    pub forge: EmbeddedForge,
    pub executor: Scripted,
    pub sample: Sample,
    pub setting: Setting,
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    store: Store,
    life: Option<Life>,
    /// Seconds by which the forge's clock is ahead: each thing said is clearly later than all that was before it.
    ahead: Cell<i64>,
    /// Seconds by which docent's clock is ahead.
    lead: Arc<AtomicI64>,
    expected: RefCell<Expected>,
    has_ended: bool,
}

impl Stage {
    /// A stage with docent running and watching.
    pub fn start() -> Self {
        Self::start_with(Setting::default())
    }

    pub fn start_with(setting: Setting) -> Self {
        let mut stage = Self::set(setting);
        stage.raise();
        stage.until("first poll", |stage| stage.has_polled());
        stage
    }

    /// A stage on which docent does not run yet.
    pub fn set(setting: Setting) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let forge = runtime.block_on(EmbeddedForge::start(&folder.path().join("forge"), 0)).unwrap();
        let sample = sample::sample(&forge);
        for name in &setting.others {
            let (owner, name) = name.split_once('/').unwrap();
            if name != "missing" {
                forge.repository(owner, name, false);
                let full = format!("{owner}/{name}");
                forge.permit(&full, sample::REPORTER, docent::demo::forge::Right::Write);
                forge.commit(&full, "main", &[("a.txt", b"a")]);
                forge.commit(&full, "change", &[("a.txt", b"b")]);
                forge.pull(&full, sample::MAINTAINER, "Change it", "change", "main");
            }
        }
        let recipe = folder.path().join("recipes/trial");
        std::fs::create_dir_all(&recipe).unwrap();
        std::fs::create_dir_all(folder.path().join("state")).unwrap();
        std::fs::write(recipe.join("recipe.toml"), setting.recipe).unwrap();
        let store = Store::open(&folder.path().join("state/docent.db")).unwrap();
        Self {
            forge,
            executor: Scripted::new(),
            sample,
            setting,
            folder,
            runtime,
            store,
            life: None,
            ahead: Cell::new(0),
            lead: Arc::default(),
            expected: RefCell::default(),
            has_ended: false,
        }
    }

    /// Brings docent to life.
    pub fn raise(&mut self) {
        self.raise_to_die(None);
    }

    /// Brings docent to life, to die at that point.
    pub fn raise_to_die(&mut self, crash_at: Option<Point>) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let tap = Tap::new(crash_at);
        let daemon = Daemon::new(self.parts(&tap));
        let (stop, running) = (CancellationToken::new(), daemon.clone());
        let stopped = stop.clone();
        let running = runtime.spawn(async move { running.run(stopped).await.is_ok() });
        self.life = Some(Life { runtime, daemon, stop, running, tap });
    }

    fn parts(&self, tap: &Tap) -> Parts<Tapped<AnyForge>, Tapped<AnyReporter>, Tapped<Scripted>> {
        let state_dir = self.state();
        let shelf =
            Shelf::load(&[self.folder.path().join("recipes")], &state_dir.join("recipes"), &BTreeMap::new())
                .unwrap();
        let settings = |token: &SecretString| Settings {
            name: FORGE.to_owned(),
            kind: ForgeKind::Gitea,
            url: self.forge.url().parse().unwrap(),
            credential: GitHubCredential::Token(token.clone()),
            own_account: Some(self.sample.reporter),
            bounds: Bounds { time: self.setting.patience, ..Bounds::default() },
        };
        let names = std::iter::once(REPOSITORY.to_owned()).chain(self.setting.others.iter().cloned());
        let repositories = names.map(|name| {
            let allow =
                vec![Allow::Account { login: sample::MAINTAINER.into(), number: self.sample.maintainer }];
            let has_reports = self.setting.has_reports;
            let policy = RepositoryPolicy {
                name: name.clone(),
                recipe: Some("trial".into()),
                allow,
                branches: self.setting.branches.clone(),
                paths: self.setting.paths.clone(),
                extra: self.setting.extra,
                has_reports,
                publish: self.setting.publish_to.clone().map(|to| PublishPolicy {
                    to,
                    branches: self.setting.branches.clone(),
                    aliases: vec!["{name}_last".into()],
                }),
            };
            (name, policy)
        });
        let watched = Watched {
            forge: Tapped {
                inner: AnyForge::new(&settings(&self.sample.watch_token)).unwrap(),
                tap: tap.clone(),
            },
            poll_interval: Duration::from_millis(100),
            repositories: repositories.collect(),
            allowed_rights: Vec::new(),
        };
        let mut reporters = BTreeMap::new();
        if self.setting.has_reports {
            let inner = AnyReporter::new(&settings(&self.sample.report_token)).unwrap();
            reporters.insert(FORGE.to_owned(), Tapped { inner, tap: tap.clone() });
        }
        let (clock, lead) = (Clock::system(), Arc::clone(&self.lead));
        Parts {
            store: Store::open(&state_dir.join("docent.db")).unwrap(),
            files: Files::open(&state_dir).unwrap(),
            clock: tap.clock(move || clock.now() + time::Duration::seconds(lead.load(Ordering::SeqCst))),
            policy: Policy {
                repositories: BTreeMap::new(),
                recipes: shelf.recipes.clone(),
                own_accounts: BTreeMap::from([(FORGE.to_owned(), vec![self.sample.reporter])]),
                marker: MARKER.to_owned(),
                grammar: Grammar::default(),
                slots: self.setting.slots,
                queue_limit: self.setting.queue_limit,
                environments: 2,
                environment_bytes: self.setting.environment_bytes,
                bundle_bytes: 1 << 20,
                specs: Default::default(),
                baseline_tests: self.setting.baseline_tests,
                offer_lifetime: time::Duration::hours(24),
                report_interval: time::Duration::milliseconds(100),
                public_url: None,
            },
            retention: time::Duration::days(90),
            state_dir,
            shelf,
            forges: BTreeMap::from([(FORGE.to_owned(), watched)]),
            reporters,
            registries: self.registries(),
            executor: Tapped { inner: self.executor.clone(), tap: tap.clone() },
            git: Git::default(),
        }
    }

    fn registries(&self) -> Registries {
        let Some(to) = &self.setting.publish_to else { return Registries::new() };
        let (registry, repository) = to.split_once('/').unwrap();
        let place = Place { registry: registry.to_owned(), repository: repository.to_owned() };
        let secret = SecretString::from(self.setting.publish_credential.clone());
        let access = Access {
            credential: Some(Credential::read(&secret)),
            bounds: publish::Bounds { time: self.setting.patience, ..publish::Bounds::default() },
            ..Access::default()
        };
        let registry = Registry::new(place, &access).unwrap();
        Registries::from([((FORGE.to_owned(), REPOSITORY.to_owned()), registry)])
    }

    /// A file that docent keeps, by its digest.
    pub fn file(&self, digest: &str) -> Vec<u8> {
        let files = Files::open(&self.state()).unwrap();
        std::fs::read(files.path(digest).unwrap()).unwrap()
    }

    /// Ends docent at once, as a crash does: whatever it was doing is not done.
    pub fn kill(&mut self) -> Tap {
        let life = self.life.take().expect("docent is alive");
        life.runtime.shutdown_timeout(Duration::from_secs(20));
        life.tap
    }

    pub fn tap(&self) -> Tap {
        self.life.as_ref().expect("docent is alive").tap.clone()
    }

    /// Says something on the sample's pull request, clearly later than all that was before. Gives the comment's number.
    pub fn say(&self, author: &str, body: &str) -> u64 {
        self.say_on(REPOSITORY, self.sample.pull, author, body)
    }

    pub fn say_on(&self, repository: &str, pull: u64, author: &str, body: &str) -> u64 {
        self.let_forge_wait(2);
        let comment = self.forge.comment(repository, pull, author, body);
        self.let_forge_wait(2);
        comment
    }

    /// Lets seconds pass on the forge's clock.
    pub fn let_forge_wait(&self, seconds: i64) {
        self.ahead.set(self.ahead.get() + seconds);
        self.forge.skew_clock(time::Duration::seconds(self.ahead.get()));
    }

    /// Lets time pass for docent, and tells it.
    pub fn let_pass(&self, length: time::Duration) {
        self.lead.fetch_add(length.num_seconds(), Ordering::SeqCst);
        let life = self.life.as_ref().expect("docent is alive");
        life.runtime.block_on(life.daemon.step(Event::TimePassed, None)).unwrap();
    }

    /// Pushes a commit to the sample's pull request. Gives it.
    pub fn push(&self, text: &str) -> String {
        self.let_forge_wait(2);
        let files = [("note.txt", text.as_bytes())];
        self.forge.commit_as(REPOSITORY, "flat-field-names", Some(sample::MAINTAINER), &files)
    }

    /// Pushes these files to the pull request.
    pub fn push_files(&self, files: &[(&str, &[u8])]) -> String {
        self.let_forge_wait(2);
        self.forge.commit_as(REPOSITORY, "flat-field-names", Some(sample::MAINTAINER), files)
    }

    /// Environments that docent keeps for later runs.
    pub fn environments(&self) -> Vec<RunId> {
        let kept = self.runtime.block_on(self.store.environments()).unwrap();
        kept.into_iter().map(|kept| kept.run).collect()
    }

    /// Opens one more pull request. Gives its number.
    pub fn pull(&self, branch: &str) -> u64 {
        self.let_forge_wait(2);
        self.forge.commit_as(
            REPOSITORY,
            branch,
            Some(sample::MAINTAINER),
            &[("note.txt", branch.as_bytes())],
        );
        let pull = self.forge.pull(REPOSITORY, sample::MAINTAINER, "Another", branch, "main");
        self.until("pull request to be seen", |stage| stage.seen_pull(REPOSITORY, pull).is_some());
        pull
    }

    /// Waits for something, and says how everything stands when it does not come.
    #[track_caller]
    pub fn until(&self, what: &str, is_there: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_there(self) {
            assert!(Instant::now() < end, "there is still no {what}\n{}", self.standing());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a run has ended, and compares: `COMPLETED pass: first-1 passed, second-1 passed`.
    #[track_caller]
    pub fn expect_run(&self, run: i64, story: &str) {
        self.expected.borrow_mut().runs.insert(RunId(run));
        self.until(&format!("end of run {run}"), |stage| {
            stage.run(run).is_some_and(|run| run.phase.is_ended())
        });
        assert_eq!(tell(&self.run(run).unwrap()), story, "run {run}\n{}", self.standing());
    }

    /// Waits until an attempt (`r1-first-1`) runs.
    #[track_caller]
    pub fn running(&self, attempt: &str) -> AttemptId {
        let id: AttemptId = attempt.parse().unwrap();
        self.until(attempt, |stage| {
            stage.run(id.run.0).is_some_and(|run| run.attempt(&id).is_some_and(|it| it.started_at.is_some()))
        });
        id
    }

    /// Waits until docent's one comment on the sample's pull request says all of this. Gives it.
    #[track_caller]
    pub fn expect_comment(&self, parts: &[&str]) -> String {
        self.expect_comment_on(REPOSITORY, self.sample.pull, parts)
    }

    #[track_caller]
    pub fn expect_comment_on(&self, repository: &str, pull: u64, parts: &[&str]) -> String {
        self.expected.borrow_mut().comments.insert((repository.to_owned(), pull));
        let body = |stage: &Self| stage.told(repository, pull).pop().map(|comment| comment.body);
        self.until(&format!("comment that says {parts:?}"), |stage| {
            body(stage).is_some_and(|body| parts.iter().all(|part| body.contains(part)))
        });
        body(self).unwrap()
    }

    /// Waits until every command of a comment is decided, and compares the words for their fates.
    #[track_caller]
    pub fn expect_fates(&self, comment: u64, fates: &[&str]) -> Entry {
        let is_decided = |entry: &Entry| entry.commands.iter().all(|asked| asked.fate.word() != "pending");
        self.until(&format!("decision on comment {comment}"), |stage| {
            stage.entry(comment).is_some_and(|entry| is_decided(&entry))
        });
        let entry = self.entry(comment).unwrap();
        let words: Vec<&str> = entry.commands.iter().map(|asked| asked.fate.word()).collect();
        assert_eq!(words, fates, "{entry:#?}");
        entry
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn run(&self, run: i64) -> Option<Run> {
        self.runtime.block_on(self.store.run(RunId(run))).unwrap()
    }

    pub fn entry(&self, comment: u64) -> Option<Entry> {
        self.runtime.block_on(self.store.comments_numbered(comment)).unwrap().pop()
    }

    pub fn has_polled(&self) -> bool {
        let cursor = self.runtime.block_on(self.store.cursor::<serde_json::Value>(FORGE.to_owned()));
        cursor.unwrap().is_some()
    }

    /// What docent has on record of a pull request.
    pub fn seen_pull(&self, repository: &str, pull: u64) -> Option<docent::core::world::Pull> {
        let known = self.runtime.block_on(self.store.repositories()).unwrap();
        let (_, found) = known.into_iter().find(|(name, _)| name == repository)?;
        let repository = RepositoryId { forge: FORGE.to_owned(), number: found.id.number };
        self.runtime.block_on(self.store.pull(&PullId { repository, number: pull })).unwrap()
    }

    /// What docent has on record of watched branches.
    pub fn branches(&self) -> Vec<(docent::core::id::BranchId, docent::core::world::Branch)> {
        self.runtime.block_on(self.store.branches()).unwrap()
    }

    /// docent's comments on a pull request.
    pub fn told(&self, repository: &str, pull: u64) -> Vec<docent::demo::forge::Comment> {
        let comments = self.forge.comments(repository, pull).into_iter();
        comments.filter(|comment| comment.author == sample::REPORTER).collect()
    }
}

/// A run in one line.
pub fn tell(run: &Run) -> String {
    let attempts = run.tiers.iter().flat_map(|tier| &tier.attempts).map(|attempt| {
        let outcome = attempt.outcome.map_or("runs", |outcome| outcome.words());
        format!("{}-{} {outcome}", attempt.id.tier, attempt.id.number)
    });
    let attempts: Vec<String> = attempts.collect();
    let verdict = run.verdict.map_or("-", |verdict| verdict.word());
    format!("{} {verdict}: {}", run.phase.word(), attempts.join(", "))
}
