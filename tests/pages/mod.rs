//! A store filled by the real rules with the worst that strangers can write, and the pages over it.
// Each test program uses a part of this.
#![allow(dead_code)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use chrono::TimeZone;
use docent::clock::Clock;
use docent::core::action::Action;
use docent::core::command::Grammar;
use docent::core::decide::decide;
use docent::core::deferred::Known;
use docent::core::event::{AttemptEnding, Event, Fault, Heartbeat};
use docent::core::id::{AttemptId, CommentId, CommentKind, PullId, RepositoryId, RunId, Sha};
use docent::core::outcome::{Cell, Ending, Exception, Outcome, TestResult};
use docent::core::plan::Plan;
use docent::core::policy::{Allow, Policy, RepositoryPolicy};
use docent::core::pull::{Actor, Comment, Examination, Order, PullRequest, Repository};
use docent::core::recipe::{Environment, Limits, Network, Recipe, TestSet, Tier};
use docent::core::run::{Kept, RecipeUse};
use docent::core::time::{Duration, Time};
use docent::store::{Files, Store};
use docent::web::{About, Pages};

/// What must never be more than text. It would change the title if it ever ran.
pub const HOSTILE: &str = "<script>document.title='RAN'</script><img src=x onerror=\"document.title='RAN'\">\
    <svg onload=document.title='RAN'></svg></style></title></pre></textarea>\" autofocus onfocus=\"document.title='RAN'\" \
    '-->]]>{{7*7}}&lt;b&gt; javascript:document.title='RAN' \u{202e}gnol\u{200b}\u{1b}[31mred\u{1b}[0m\u{1b}]0;RAN\u{7}\u{9b}2J\u{0}";

/// HOSTILE, and long.
pub fn endless() -> String {
    format!("{HOSTILE}{}", "long ".repeat(2000))
}

pub const CURATOR: u64 = 1042;
pub const STRANGER: u64 = 7;

pub struct Museum {
    pub folder: tempfile::TempDir,
    pub store: Store,
    pub files: Files,
    pub policy: Policy,
    pub now: Arc<Mutex<Time>>,
    comments: u64,
}

pub fn begin() -> Time {
    chrono::Utc.with_ymd_and_hms(2026, 3, 1, 10, 0, 0).unwrap()
}

pub fn repository() -> RepositoryId {
    RepositoryId { forge: "example".into(), number: 5 }
}

pub fn pull_id(number: u64) -> PullId {
    PullId { repository: repository(), number }
}

pub fn sha(letter: char) -> Sha {
    letter.to_string().repeat(40).parse().unwrap()
}

impl Museum {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("docent.sqlite")).unwrap();
        let files = Files::open(folder.path()).unwrap();
        Self { folder, store, files, policy: policy(), now: Arc::new(Mutex::new(begin())), comments: 0 }
    }

    pub fn pages(&self) -> Pages {
        let now = Arc::clone(&self.now);
        Pages {
            store: self.store.clone(),
            files: self.files.clone(),
            clock: Clock::new(move || *now.lock().unwrap()),
            public_url: Some("https://docent.example.org".into()),
            about: tokio::sync::watch::channel(About {
                version: "0.1.0".into(),
                executor: vec![
                    ("engine".into(), "docker 20.10".into()),
                    ("disk".into(), format!("not bound: {HOSTILE}")),
                ],
                warnings: vec![format!("example: the credential is unproven {HOSTILE}")],
                reporting: [("example".into(), format!("can write (write:issue) {HOSTILE}"))].into(),
                trouble: None,
                slots: 1,
            })
            .1,
        }
    }

    pub fn now(&self) -> Time {
        *self.now.lock().unwrap()
    }

    pub fn pass(&self, seconds: i64) {
        *self.now.lock().unwrap() += Duration::seconds(seconds);
    }

    pub async fn step(&self, event: Event) {
        let (policy, now) = (self.policy.clone(), self.now());
        let decided = move |world: &_, event: &_| decide(world, event, &policy, now);
        let recorded = self.store.step(event, None, now, decided).await.unwrap();
        assert_eq!(recorded.decision.defects, []);
    }

    pub async fn watched(&self) {
        let repository = Repository {
            id: repository(),
            name: "astro/notebooks".into(),
            owner: 1,
            node: String::new(),
            default_branch: "main".into(),
            clone_url: "https://forge.example.org/astro/notebooks.git".into(),
            page_url: "https://forge.example.org/astro/notebooks".into(),
            is_writable: true,
            is_archived: false,
        };
        let other = Repository {
            id: RepositoryId { forge: "example".into(), number: 6 },
            name: endless(),
            page_url: "javascript:document.title='RAN'".into(),
            ..repository.clone()
        };
        self.store.keep_repository("astro/notebooks".into(), repository).await.unwrap();
        self.store.keep_repository("astro/other".into(), other).await.unwrap();
        let heartbeat = Heartbeat {
            requests: 3,
            observations: 12,
            milliseconds: 412,
            failures: vec![endless()],
            next_at: Some(self.now() + Duration::seconds(30)),
            proof: format!("proven read-only {HOSTILE}"),
        };
        self.store.polled("example".into(), None::<String>, heartbeat, self.now()).await.unwrap();
    }

    pub fn pull(&self, number: u64, head: char) -> PullRequest {
        PullRequest {
            id: pull_id(number),
            title: endless(),
            author: Some(actor(STRANGER)),
            is_open: true,
            head: sha(head),
            head_branch: HOSTILE.into(),
            head_repository: Some(HOSTILE.into()),
            is_from_fork: true,
            base: sha('f'),
            base_branch: "main".into(),
            merge_base: None,
            page_url: format!(
                "https://forge.example.org/astro/notebooks/pulls/{number}?q=\"><script>x</script>"
            ),
            updated_at: self.now(),
        }
    }

    /// A comment on a pull request is seen, examined and decided.
    pub async fn comment(&mut self, pull: u64, head: char, by: u64, body: &str) {
        self.comments += 1;
        let page_url = match self.comments % 2 {
            0 => "javascript:document.title='RAN'".to_owned(),
            _ => format!(
                "https://forge.example.org/astro/notebooks/pulls/{pull}#issuecomment-{}",
                self.comments
            ),
        };
        let pull = self.pull(pull, head);
        let comment = Comment {
            id: CommentId { repository: repository(), kind: CommentKind::Comment, number: self.comments },
            pull: pull.id.number,
            author: Some(actor(by)),
            body: body.into(),
            created_at: self.now(),
            updated_at: self.now(),
            is_edited: false,
            page_url,
        };
        self.step(Event::PullSeen {
            pull: pull.clone(),
            observed_at: self.now() - Duration::seconds(60),
            is_first: false,
        })
        .await;
        self.step(Event::CommentSeen { comment: comment.clone() }).await;
        let examination = Examination {
            comment: Some(comment.clone()),
            pull: Some(pull),
            observed_at: self.now(),
            order: Order::HeadFirst,
            push: None,
            permission: None,
            teams: Vec::new(),
        };
        let examined = Event::CommentExamined { comment: comment.id, examination: Box::new(examination) };
        self.step(examined).await;
    }

    pub async fn prepare(&self, run: i64) {
        let plan = Plan {
            notebooks: vec![
                "good.ipynb".into(),
                "bad.ipynb".into(),
                HOSTILE.into(),
                "forgotten.ipynb".into(),
            ],
            warnings: vec![endless()],
            deferred: vec![Known {
                slug: HOSTILE.into(),
                since: "2026-11-02".parse().unwrap(),
                tests: vec!["bad.ipynb".into(), "good.ipynb".into()],
                is_own_word: true,
            }],
            ..Plan::default()
        };
        let recipe = RecipeUse {
            name: "notebook".into(),
            digest: "d".repeat(64),
            image: format!("docent/notebook {HOSTILE}"),
            image_identity: None,
            settings_digest: String::new(),
        };
        self.step(Event::Prepared { run: RunId(run), recipe, plan }).await;
    }

    pub fn attempt(run: i64, tier: &str, number: u32) -> AttemptId {
        AttemptId { run: RunId(run), tier: tier.into(), number }
    }

    pub async fn start(&self, attempt: &AttemptId) {
        self.step(Event::AttemptStarted { attempt: attempt.clone() }).await;
    }

    pub fn write(&self, attempt: &AttemptId, text: &str) {
        use std::io::Write;
        let path = self.files.live_log(attempt);
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub fn keep(&self, name: &str, content: &str) -> Kept {
        let from = self.folder.path().join("scratch");
        std::fs::write(&from, content).unwrap();
        self.files.keep(&from, name).unwrap()
    }

    pub async fn end(&self, attempt: &AttemptId, code: i32, tests: Vec<TestResult>, artifacts: Vec<Kept>) {
        let log = self.files.keep_log(attempt).unwrap();
        let ending = AttemptEnding::Ended { ending: Ending::Exited { code } };
        self.step(Event::AttemptEnded {
            attempt: attempt.clone(),
            ending,
            tests,
            log,
            artifacts,
            fallen: vec![],
        })
        .await;
        self.files.drop_live_log(attempt).unwrap();
    }

    /// Everything that the pages can show, with hostile words wherever a stranger's can stand. Run 1 has ended with a
    /// fail, run 2 runs its tier `notebooks`, run 3 waits, run 4 is an offer.
    pub async fn filled() -> Self {
        let mut museum = Self::new();
        museum.watched().await;
        museum.comment(1, 'a', CURATOR, &format!("!testme --extra-tests {}", "a".repeat(12))).await;
        museum.pass(2);
        museum.prepare(1).await;
        museum.passes(1).await;
        let attempt = Self::attempt(1, "notebooks", 1);
        let why = format!("the engine went away {HOSTILE}");
        let lost = AttemptEnding::Errored { why };
        museum.start(&attempt).await;
        museum
            .step(Event::AttemptEnded {
                attempt,
                ending: lost,
                tests: vec![],
                log: None,
                artifacts: vec![],
                fallen: vec![],
            })
            .await;
        let attempt = Self::attempt(1, "notebooks", 2);
        museum.start(&attempt).await;
        museum.write(&attempt, &format!("collecting\n10%\r99%\r100%\n{HOSTILE}\nend"));
        museum.pass(62);
        let artifacts = vec![
            museum.keep("outputs.json", "{\"html\": \"<script>\"}"),
            museum.keep(&format!("artifacts/{HOSTILE}.html"), "<script>document.title='RAN'</script>"),
        ];
        museum.end(&attempt, 1, notebook_results(), artifacts).await;
        let extra = Self::attempt(1, "extra", 1);
        museum.start(&extra).await;
        museum.pass(3);
        museum.end(&extra, 0, vec![TestResult::plain("extra.ipynb", Outcome::Passed, "", "")], vec![]).await;
        museum.step(Event::Released { run: RunId(1) }).await;

        museum.pass(600);
        museum.comment(2, 'b', CURATOR, "!testme").await;
        museum.prepare(2).await;
        museum.passes(2).await;
        museum.start(&Self::attempt(2, "notebooks", 1)).await;
        museum.comment(3, 'c', CURATOR, "!testme --notebooks <b>*.ipynb").await;
        museum.comment(4, 'd', STRANGER, "!testme").await;
        museum
            .comment(
                4,
                'd',
                STRANGER,
                "!cancel\n\n!testme --<script>alert(1)</script>\n\n> !testme\n\n!status",
            )
            .await;
        let fault =
            Fault { is_passing: true, is_the_authors: false, retry_after: None, text: HOSTILE.into() };
        let action = Action::Report { pull: pull_id(2) };
        museum.step(Event::ActionFailed { action, tries: 2, fault }).await;
        museum.pass(4);
        museum.watched().await;
        museum.pass(3);
        museum
    }

    async fn passes(&self, run: i64) {
        let attempt = Self::attempt(run, "validate", 1);
        self.start(&attempt).await;
        self.pass(1);
        self.end(&attempt, 0, vec![], vec![]).await;
    }

    pub fn live_log(&self, run: i64) -> PathBuf {
        self.files.live_log(&Self::attempt(run, "notebooks", 1))
    }
}

fn actor(number: u64) -> Actor {
    Actor { number, login: format!("mira{HOSTILE}"), is_bot: false }
}

pub fn notebook_results() -> Vec<TestResult> {
    let good = TestResult {
        seconds: 12.4,
        peak_memory_bytes: Some(312 << 20),
        ..TestResult::plain("good.ipynb", Outcome::Passed, "", "")
    };
    let bad = TestResult {
        cell: Some(Cell {
            index: 4,
            code_index: Some(3),
            execution_count: Some(3),
            heading: Some(format!("Reading the spectra {HOSTILE}")),
            excerpt: Some(format!(
                "for name in names:\n    spectrum = read(name)  # {HOSTILE}\n    plot(spectrum)"
            )),
            line: Some(2),
        }),
        exception: Some(Exception {
            name: "FileNotFoundError".into(),
            value: endless(),
            traceback: vec![HOSTILE.into(), "    raise FileNotFoundError(name)".into(), endless()],
        }),
        stderr: format!("warning: {HOSTILE}\n{}", endless()),
        seconds: f64::MAX,
        cell_seconds: Some(0.2),
        peak_memory_bytes: Some(u64::MAX),
        ..TestResult::plain("bad.ipynb", Outcome::Failed, "cell_error", endless())
    };
    let hostile = TestResult::plain(HOSTILE, Outcome::OutOfMemory, HOSTILE, HOSTILE);
    let skipped = TestResult::plain("skipped.ipynb", Outcome::Skipped, "", "has no code");
    vec![good, bad, hostile, skipped]
}

fn policy() -> Policy {
    let tier = |name: &str, run: &[&str], tests, is_opt_in| Tier {
        name: name.into(),
        run: run.iter().map(ToString::to_string).collect(),
        network: Network::None,
        environment: Environment::Read,
        is_gate: name == "validate",
        is_opt_in,
        tests,
        lock: None,
        is_reusable: false,
        covers: vec![],
        limits: Limits {
            memory_bytes: 1 << 30,
            cpus: 1.0,
            processes: 100,
            disk_bytes: 1 << 30,
            log_bytes: 1 << 20,
            timeout_seconds: 600,
        },
    };
    let recipe = Recipe {
        name: "notebook".into(),
        description: "notebooks".into(),
        detect: vec!["*.ipynb".into()],
        specs: vec![],
        already_failing: Default::default(),
        image: "docent/notebook".into(),
        settings: serde_json::Map::new(),
        tiers: vec![
            tier("validate", &[], None, false),
            tier("notebooks", &["python", "/recipe/run.py"], Some(TestSet::Notebooks), false),
            tier("extra", &["python", "/recipe/extra.py"], None, true),
        ],
        digest: "d".repeat(64),
        services: vec![],
    };
    let repository_policy = RepositoryPolicy {
        name: "astro/notebooks".into(),
        recipe: Some("notebook".into()),
        allow: vec![Allow::Account { login: "mira".into(), number: CURATOR }],
        branches: vec![],
        paths: vec![],
        extra: Default::default(),
        has_reports: true,
        publish: None,
    };
    Policy {
        repositories: [(repository(), repository_policy)].into(),
        recipes: [("notebook".to_owned(), recipe)].into(),
        own_accounts: Default::default(),
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
