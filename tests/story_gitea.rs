//! The whole story on a real Gitea, with `docent serve` as a process of its own: what curators, strangers and operators
//! see when they use it, told by the comments on the forge, by docent's pages and by the forge's own access log.

#[path = "hostile/tiny.rs"]
mod tiny;

mod support;

use std::time::{Duration, Instant};

use docent::executor::container::{Container, Settings};
use docent::executor::{Executor, Inventory};
use support::api::{Account, Push};
use support::docent::{Daemon, Installation};
use support::gitea::Gitea;
use support::{eventually, not_run};

/// One tier in a tiny container: what it does is written in the repository.
const RECIPE: &str = r#"
name = "told"
description = "Does what notes.txt says"
detect = []
image = "docent-test/tiny:1"

[limits]
memory = "64MiB"
cpus = 1.0
processes = 64
disk = "64MiB"
log = "1MiB"
timeout = "4m"

[[tier]]
name = "check"
run = ["sh", "-c", "cat notes.txt; case $(cat notes.txt) in slow*) trap 'exit 1' TERM; sleep 200 & wait;; bad*) exit 1;; esac"]
"#;

const NOTEBOOKS: &str = "mira/notebooks";
const RENAMED: &str = "mira/atlas";

/// Everybody who takes part.
struct Story {
    gitea: Gitea,
    mira: Account,
    stranger: Account,
    docent: Account,
    installation: Installation,
}

/// A pull request of the story.
struct Thread<'a> {
    story: &'a Story,
    repository: String,
    number: u64,
    branch: String,
}

impl Story {
    /// A forge with people and two repositories, and a docent that may watch and comment. None where something is absent.
    async fn begin() -> Option<Self> {
        let engine =
            match Container::connect(Settings::new(format!("{:08x}-story", std::process::id()))).await {
                Ok(engine) => engine,
                Err(error) => {
                    not_run("engine", &error.to_string());
                    return None;
                }
            };
        tiny::ensure_image(&engine).await.unwrap();
        let gitea = Gitea::start().await?;
        let (mira, stranger) = (gitea.user("mira").await, gitea.user("stranger").await);
        let (watcher, docent) = (gitea.user("watcher").await, gitea.user("docent").await);
        for name in ["notebooks", "charts"] {
            gitea.repository(&mira, "mira", name).await;
        }
        let configuration = format!(
            r#"
[executor]
kind = "container"
slots = 4

[limits]
report_interval = "1s"

[[forge]]
name = "ours"
kind = "gitea"
url = "{}"
poll_interval = "1s"
watch_credential = "watch"
report_credential = "report"

[[repository]]
forge = "ours"
name = "mira/notebooks"
recipe = "told"
allow = ["mira:{id}"]

[[repository]]
forge = "ours"
name = "mira/charts"
recipe = "told"
allow = ["mira:{id}"]
"#,
            gitea.url,
            id = mira.id,
        );
        let installation = Installation::new(&configuration);
        installation.recipe("told", RECIPE);
        installation.credential("watch", &gitea.token(&watcher, &["read:repository", "read:issue"]).await);
        installation.credential("report", &gitea.token(&docent, &["write:issue"]).await);
        Some(Self { gitea, mira, stranger, docent, installation })
    }

    /// Starts docent and waits until it has polled once, so that everything said from now on is new to it.
    async fn serve(&self) -> Daemon {
        let mut daemon = self.installation.serve();
        eventually("first poll", || {
            assert!(daemon.is_running(), "docent ended: {}", daemon.said());
            async { self.page("/health").await.filter(|health| health.contains("\"age_seconds\"")) }
        })
        .await;
        daemon
    }

    /// One of docent's own pages.
    async fn page(&self, path: &str) -> Option<String> {
        let answer = reqwest::get(format!("{}{path}", self.installation.pages)).await.ok()?;
        if answer.status().is_success() { answer.text().await.ok() } else { None }
    }

    /// A pull request from a branch of its own, whose notes say this.
    async fn open(&self, branch: &str, notes: &str) -> (Thread<'_>, String) {
        self.open_in(NOTEBOOKS, branch, notes).await
    }

    async fn open_in(&self, repository: &str, branch: &str, notes: &str) -> (Thread<'_>, String) {
        let files = [("notes.txt", notes)];
        let sha = self.gitea.push_files(&self.mira, repository, branch, &files).await;
        let pull = self.gitea.pull(&self.mira, repository, branch, branch).await;
        let number = pull["number"].as_u64().unwrap();
        let thread =
            Thread { story: self, repository: repository.to_owned(), number, branch: branch.to_owned() };
        thread.recorded(&sha).await;
        (thread, sha)
    }
}

impl Thread<'_> {
    async fn say(&self, by: &Account, body: &str) -> u64 {
        let said = self.story.gitea.comment(by, &self.repository, self.number, body).await;
        said["id"].as_u64().unwrap()
    }

    async fn push(&self, notes: &str) -> String {
        let files = [("notes.txt", notes)];
        self.story.gitea.push_files(&self.story.mira, &self.repository, &self.branch, &files).await
    }

    /// Waits until the forge has this head on its own record.
    async fn recorded(&self, sha: &str) {
        self.story.gitea.wait_for_head(&self.repository, self.number, sha).await;
        eventually("record of the push", || async {
            let path = format!("/repos/{}/issues/{}/timeline", self.repository, self.number);
            let gitea = &self.story.gitea;
            let timeline = gitea.call(&gitea.admin, reqwest::Method::GET, &path, None).await;
            let is_it = |entry: &serde_json::Value| {
                entry["type"] == "pull_push" && entry["body"].as_str().is_some_and(|body| body.contains(sha))
            };
            timeline.as_array()?.iter().any(is_it).then_some(())
        })
        .await;
    }

    /// How much later than the comment the push is on the forge's record.
    async fn seconds_on_record_after(&self, sha: &str, comment: u64) -> i64 {
        let path = format!("/repos/{}/issues/{}/timeline", self.repository, self.number);
        let gitea = &self.story.gitea;
        let timeline = gitea.call(&gitea.admin, reqwest::Method::GET, &path, None).await;
        let entry = |is_it: &dyn Fn(&serde_json::Value) -> bool| -> docent::core::time::Time {
            let entry = timeline.as_array().unwrap().iter().find(|entry| is_it(entry)).unwrap();
            entry["created_at"].as_str().unwrap().parse().unwrap()
        };
        let pushed = entry(&|entry| {
            entry["type"] == "pull_push" && entry["body"].as_str().is_some_and(|body| body.contains(sha))
        });
        (pushed - entry(&|entry| entry["id"] == comment)).num_seconds()
    }

    /// docent's comment: its number and its text. There is never more than one.
    async fn report(&self) -> Option<(u64, String)> {
        let comments = self.story.gitea.comments(&self.repository, self.number).await;
        let mut own = comments.iter().filter(|comment| comment["user"]["login"] == "docent");
        let report = own
            .next()
            .map(|comment| (comment["id"].as_u64().unwrap(), comment["body"].as_str().unwrap().to_owned()));
        assert_eq!(own.next(), None, "a second comment: {comments:#?}");
        report
    }

    /// Waits until the report says all of this.
    async fn until(&self, what: &[&str]) -> (u64, String) {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let report = self.report().await;
            if let Some((number, text)) = &report
                && what.iter().all(|what| text.contains(what))
            {
                return (*number, text.clone());
            }
            let log =
                || std::fs::read_to_string(self.story.installation.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < end, "no {what:?} in {report:#?} of {}\n{}", self.branch, log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// `at `1234567``: how a report names the commit of a run.
fn at(sha: &str) -> String {
    format!("at `{}`", &sha[..7])
}

/// The number of the run that a report is about.
fn run_of(report: &str) -> u64 {
    let after = report.split("\nRun ").nth(1).unwrap_or_else(|| panic!("no run in {report}"));
    after.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_story() {
    let Some(story) = Story::begin().await else { return };
    let before = story.gitea.accesses().await.len();
    let mut daemon = story.serve().await;
    tokio::join!(
        a_maintainer_is_served(&story),
        a_strangers_command_is_an_offer(&story),
        a_fork_is_tested(&story),
        a_closed_pull_request_ends_its_run(&story),
        a_deleted_branch_ends_its_run(&story),
        a_force_push_is_not_what_was_tested(&story),
        a_renamed_repository_goes_on(&story),
        a_push_and_a_command_in_one_breath(&story),
    );
    a_push_after_the_comment_is_asked_about(&story, &daemon).await;
    // A report is sent before the run is torn down.
    let engine = Container::connect(Settings::new(story.installation.instance())).await.unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while engine.list().await.unwrap() != Inventory::default() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let status = daemon.stop();
    assert!(status.success(), "{status}: {}", daemon.said());

    // The forge's own record of what the accounts of docent did.
    let accesses = story.gitea.accesses().await.split_off(before);
    let watched: Vec<_> = accesses.iter().filter(|access| access.account == "watcher").collect();
    assert!(watched.len() > 50, "{watched:?}");
    for access in &watched {
        let fetches = access.method == "POST" && access.path.ends_with("/git-upload-pack");
        assert!(access.method == "GET" || fetches, "{access:?}");
    }
    assert!(watched.iter().any(|access| access.method == "POST"), "it fetched with its own credential");
    let is_comment = |path: &str| path.contains("/issues/") && path.contains("/comments");
    for access in accesses.iter().filter(|access| access.account == "docent" && access.method != "GET") {
        let sets_status = access.path.contains("/statuses/") && access.status == 403;
        assert!(is_comment(&access.path) || sets_status, "{access:?}");
    }

    // Nothing of it is left at the engine.
    assert_eq!(engine.list().await.unwrap(), Inventory::default());
    let label = format!("label=docent.instance={}", story.installation.instance());
    for kind in [&["ps", "-a"][..], &["volume", "ls"], &["network", "ls"]] {
        let listed =
            std::process::Command::new("docker").args(kind).args(["-q", "--filter", &label]).output();
        // The engine's own client is asked as well, where there is one.
        let Ok(listed) = listed else { continue };
        assert_eq!(String::from_utf8_lossy(&listed.stdout), "", "{kind:?}");
    }
    for secret in ["watch", "report"] {
        let secret =
            std::fs::read_to_string(story.installation.path().join("credentials").join(secret)).unwrap();
        assert!(!daemon.said().contains(&secret), "a credential is in the log");
    }
}

async fn a_maintainer_is_served(story: &Story) {
    let (thread, first) = story.open("good", "good").await;
    let command = thread.say(&story.mira, "Looks fine.\n\n!testme").await;
    let (report, text) = thread.until(&["pass", &at(&first)]).await;
    assert!(text.contains("accepted as run"), "{text}");
    let run = run_of(&text);
    let page = story.page(&format!("/runs/{run}")).await.expect("the page of the run");
    assert!(page.contains(&first[..7]) && page.contains("pass") && page.contains("check"), "{page}");
    let result = story.page(&format!("/runs/{run}/result.json")).await.expect("the result of the run");
    assert!(result.contains(&first), "{result}");

    // An edit of the comment does nothing, not even when it becomes another command.
    story.gitea.edit_comment(&story.mira, NOTEBOOKS, command, "!testme --full").await;

    // A push, which the forge has on record, and then a command: it runs on what was pushed. The same comment tells.
    let second = thread.push("good again").await;
    thread.recorded(&second).await;
    thread.say(&story.mira, "!testme").await;
    let (again, text) = thread.until(&["pass", &at(&second)]).await;
    assert_eq!(again, report);
    assert!(!text.contains("which-commit") && !text.contains("--full"), "{text}");

    // And what fails is the author's.
    let third = thread.push("bad").await;
    thread.recorded(&third).await;
    thread.say(&story.mira, "!testme").await;
    let (again, text) = thread.until(&["### ✘", &at(&third)]).await;
    assert_eq!(again, report);
    assert!(text.contains("check"), "{text}");
    let comments = story.gitea.comments(NOTEBOOKS, thread.number).await;
    let own = comments.iter().find(|comment| comment["id"] == report).unwrap();
    assert_ne!(own["created_at"], own["updated_at"], "it was edited in place");
    assert_eq!(own["user"]["id"], story.docent.id);
}

async fn a_strangers_command_is_an_offer(story: &Story) {
    let (thread, sha) = story.open("offered", "good").await;
    thread.say(&story.stranger, "!testme").await;
    let (report, text) = thread.until(&["**Offer ", "`stranger` asks"]).await;
    assert!(text.contains(&format!("!accept {}", &sha[..7])) && !text.contains("\nRun "), "{text}");
    // Not his to accept.
    thread.say(&story.stranger, &format!("!accept {sha}")).await;
    let (_, text) = thread.until(&["refused"]).await;
    assert!(text.contains("**Offer "), "{text}");
    thread.say(&story.mira, &format!("!accept {}", &sha[..7])).await;
    let (again, _) = thread.until(&["pass", &at(&sha)]).await;
    assert_eq!(again, report);
}

async fn a_fork_is_tested(story: &Story) {
    let fork = story.gitea.fork(&story.stranger, NOTEBOOKS).await["full_name"].as_str().unwrap().to_owned();
    let files = [("notes.txt", "good from afar")];
    let sha = story.gitea.push_files(&story.stranger, &fork, "idea", &files).await;
    let pull = story.gitea.pull(&story.stranger, NOTEBOOKS, "stranger:idea", "An idea").await;
    let number = pull["number"].as_u64().unwrap();
    let thread = Thread { story, repository: NOTEBOOKS.to_owned(), number, branch: "idea".to_owned() };
    thread.recorded(&sha).await;
    thread.say(&story.mira, "!testme").await;
    thread.until(&["pass", &at(&sha)]).await;
}

async fn a_closed_pull_request_ends_its_run(story: &Story) {
    let (thread, _) = story.open("closed", "slow").await;
    thread.say(&story.mira, "!testme").await;
    thread.until(&["runs tier check"]).await;
    story.gitea.set_state(&story.mira, NOTEBOOKS, thread.number, "closed").await;
    thread.until(&["### ■ cancelled", "the pull request was closed"]).await;
    thread.say(&story.mira, "!testme").await;
    thread.until(&["refused (closed)"]).await;
}

async fn a_deleted_branch_ends_its_run(story: &Story) {
    let (thread, _) = story.open("deleted", "slow").await;
    thread.say(&story.mira, "!testme").await;
    thread.until(&["runs tier check"]).await;
    story.gitea.delete_branch(&story.mira, NOTEBOOKS, "deleted").await;
    thread.until(&["### ■ cancelled", "the pull request was closed"]).await;
}

async fn a_force_push_is_not_what_was_tested(story: &Story) {
    let (thread, slow) = story.open("forced", "slow").await;
    thread.say(&story.mira, "!testme").await;
    thread.until(&["runs tier check", &at(&slow)]).await;
    let main = story.gitea.tip(NOTEBOOKS, "main").await.unwrap();
    let push = Push {
        repository: NOTEBOOKS,
        branch: "forced",
        onto: Some(&main),
        files: &[("notes.txt", Some("good"))],
        force: true,
    };
    let forced = story.gitea.push(&story.mira, push).await;
    thread.recorded(&forced).await;
    thread.until(&[&at(&slow), &format!("The head has moved on to `{}`", &forced[..7])]).await;
    thread.say(&story.mira, "!testme").await;
    // The newer command takes the older run's place, and that one ends.
    let (_, text) = thread.until(&["pass", &at(&forced), "superseded by run"]).await;
    assert!(!text.contains("The head has moved on"), "{text}");
    thread.until(&[&format!("{}`: cancelled", &slow[..7])]).await;
}

async fn a_renamed_repository_goes_on(story: &Story) {
    let (mut thread, first) = story.open_in("mira/charts", "renamed", "good").await;
    thread.say(&story.mira, "!testme").await;
    let (report, _) = thread.until(&["pass", &at(&first)]).await;
    story.gitea.rename(&story.mira, "mira/charts", "atlas").await;
    thread.repository = RENAMED.to_owned();
    let second = thread.push("good again").await;
    thread.recorded(&second).await;
    thread.say(&story.mira, "!testme").await;
    let (again, _) = thread.until(&["pass", &at(&second)]).await;
    assert_eq!(again, report);
}

async fn a_push_and_a_command_in_one_breath(story: &Story) {
    let (thread, _) = story.open("breath", "good").await;
    let pushed = thread.push("good again").await;
    let said = thread.say(&story.mira, "!testme").await;
    thread.recorded(&pushed).await;
    // The forge writes the push down up to two seconds after it, so that its record may show the comment first. Beyond one
    // second it looks as if she had pushed afterwards: then docent asks, and with the SHA it runs.
    let late = thread.seconds_on_record_after(&pushed, said).await;
    println!("on record {late} s after the comment");
    let text = eventually("answer", || async {
        let (_, text) = thread.report().await?;
        ["accepted as run", "which-commit"].iter().any(|answer| text.contains(answer)).then_some(text)
    })
    .await;
    assert_eq!(text.contains("which-commit"), late > 1, "{late} s: {text}");
    if late > 1 {
        thread.say(&story.mira, &format!("!testme {pushed}")).await;
    }
    thread.until(&["pass", &at(&pushed)]).await;
}

async fn a_push_after_the_comment_is_asked_about(story: &Story, daemon: &Daemon) {
    let (thread, _) = story.open("moved", "good").await;
    // docent looks away, as it does between two polls.
    daemon.pause();
    thread.say(&story.mira, "!testme").await;
    // Long enough for the record to show it: what she pushes in the same breath she knows.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let pushed = thread.push("good, but other than what she saw").await;
    thread.recorded(&pushed).await;
    daemon.resume();
    let (_, text) = thread.until(&["which-commit"]).await;
    assert!(text.contains("the head moved after the comment"), "{text}");
    assert!(!text.contains("\nRun "), "nothing has run: {text}");
    thread.say(&story.mira, &format!("!testme {}", &pushed[..10])).await;
    thread.until(&["pass", &at(&pushed)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_credential_that_can_write_is_refused_by_name() {
    let Some(story) = Story::begin().await else { return };
    let watcher = story.gitea.user("writer").await;
    let admin = story.gitea.admin.clone();
    story.gitea.collaborator(&story.mira, NOTEBOOKS, "stranger", "write").await;
    let read = ["read:repository", "read:issue"];
    for (right, token) in [
        ("write:issue", story.gitea.token(&watcher, &["read:repository", "write:issue"]).await),
        ("all", story.gitea.token(&watcher, &["all"]).await),
        ("administrator", story.gitea.token(&admin, &["all"]).await),
        ("administrator", story.gitea.token(&admin, &read).await),
        ("administrator", story.gitea.token(&admin, &["read:repository", "read:issue", "read:user"]).await),
    ] {
        story.installation.credential("watch", &token);
        let _ = std::fs::remove_file(story.installation.path().join("log"));
        let mut daemon = story.installation.serve();
        let status = daemon.wait();
        let said = daemon.said();
        assert_eq!(status.code(), Some(4), "{right}: {said}");
        assert!(
            said.contains(&format!("the watch credential of ours can write ({right})")),
            "{right}: {said}"
        );
        assert!(said.contains("allow_write_credential") && !said.contains(&token), "{said}");
    }
}
