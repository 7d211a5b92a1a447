//! Pushes: what changed decides whether there is a run, and where it was pushed decides whose word it needs.

use docent::executor::scripted::Part;

use crate::GOOD;
use crate::stage::{REPOSITORY, Setting, Stage};

const CLEAN: &str = r#"{"cells":[{"cell_type":"code","source":"a = 1","outputs":[],"execution_count":null,"metadata":{}}],
"metadata":{},"nbformat":4,"nbformat_minor":5}"#;
const EXECUTED: &str = r#"{"cells":[{"cell_type":"code","source":["a = 1"],"outputs":[{"output_type":"stream",
"name":"stdout","text":"1"}],"execution_count":7,"metadata":{"collapsed":true}}],
"metadata":{},"nbformat":4,"nbformat_minor":5}"#;
const CHANGED: &str = r#"{"cells":[{"cell_type":"code","source":"a = 2","outputs":[],"execution_count":null,"metadata":{}}],
"metadata":{},"nbformat":4,"nbformat_minor":5}"#;

fn watching() -> Setting {
    Setting { branches: vec!["main".into()], paths: vec!["notebooks/**".into()], ..Setting::default() }
}

impl Stage {
    fn push_to(&self, branch: &str, path: &str, content: &str) -> String {
        self.let_forge_wait(2);
        self.forge.commit(REPOSITORY, branch, &[(path, content.as_bytes())])
    }

    /// Waits until docent has judged that the branch is at this commit.
    #[track_caller]
    fn expect_judged(&self, branch: &str, sha: &str, why: &str) {
        self.until(&format!("judgement of {sha}"), |stage| {
            let known = stage.branches();
            known.iter().any(|(id, known)| {
                id.name == branch && known.judged.as_ref().is_some_and(|judged| judged.as_str() == sha)
            })
        });
        let known = self.branches().into_iter().find(|(id, _)| id.name == branch).unwrap().1;
        assert!(known.why.contains(why), "{known:?}");
    }
}

#[test]
fn a_push_of_a_watched_path_runs_and_nothing_else_does() {
    let stage = Stage::start_with(watching());
    let readme = stage.push_to("main", "README.md", "More.");
    stage.expect_judged("main", &readme, "nothing changed that is watched");
    let elsewhere = stage.push_to("dev", "notebooks/new.ipynb", CLEAN);
    let clean = stage.push_to("main", "notebooks/new.ipynb", CLEAN);
    stage.expect_run(1, GOOD);
    let run = stage.run(1).unwrap();
    assert_eq!(run.request.sha.as_ref().map(|sha| sha.as_str()), Some(clean.as_str()));
    assert!(!run.request.is_untrusted);
    stage.expect_judged("main", &clean, "a push to main changed notebooks/new.ipynb");
    let executed = stage.push_to("main", "notebooks/new.ipynb", EXECUTED);
    stage.expect_judged("main", &executed, "nothing changed that is watched");
    stage.push_to("main", "notebooks/new.ipynb", CHANGED);
    stage.expect_run(2, GOOD);
    let statuses = stage.forge.statuses(REPOSITORY, &clean);
    assert!(statuses.iter().all(|status| status.context == "docent/main"), "{statuses:#?}");
    assert!(stage.branches().iter().all(|(id, _)| id.name == "main"), "{elsewhere} is nobody's business");
    stage.end();
}

#[test]
fn what_was_pushed_while_docent_was_down_is_one_run_of_the_newest() {
    let mut stage = Stage::start_with(watching());
    stage.push_to("main", "README.md", "Known.");
    stage.until("first look", |stage| !stage.branches().is_empty());
    stage.kill();
    stage.push_to("main", "notebooks/new.ipynb", CLEAN);
    let last = stage.push_to("main", "README.md", "Unimportant, on top of what is not.");
    stage.raise();
    stage.expect_run(1, GOOD);
    assert_eq!(stage.run(1).unwrap().request.sha.unwrap().as_str(), last);
    stage.end();
}

#[test]
fn a_force_push_and_a_deletion_are_followed() {
    let stage = Stage::start_with(Setting { branches: vec!["main".into(), "dev".into()], ..watching() });
    stage.push_to("dev", "notebooks/new.ipynb", CLEAN);
    stage.until("branch to be seen", |stage| {
        stage.branches().iter().any(|(id, known)| id.name == "dev" && known.head.is_some())
    });
    stage.let_forge_wait(2);
    stage.executor.script("r1-first-1", Part::exits(0).held());
    let forced = stage.forge.force_push(REPOSITORY, "dev", &[("notebooks/new.ipynb", CHANGED.as_bytes())]);
    stage.running("r1-first-1");
    assert_eq!(stage.run(1).unwrap().request.sha.unwrap().as_str(), forced);
    stage.let_forge_wait(2);
    stage.forge.delete_branch(REPOSITORY, "dev");
    stage.expect_run(1, "CANCELLED unverified: first-1 cancelled");
    stage.end();
}

#[test]
fn a_new_head_of_the_repository_itself_runs() {
    let stage = Stage::start_with(watching());
    stage.let_forge_wait(2);
    let files = [("notebooks/new.ipynb", CLEAN.as_bytes())];
    let head = stage.forge.commit_as(REPOSITORY, "flat-field-names", None, &files);
    stage.expect_run(1, GOOD);
    let run = stage.run(1).unwrap();
    assert_eq!(run.request.sha.as_ref().map(|sha| sha.as_str()), Some(head.as_str()));
    assert!(run.request.is_untrusted && run.request.pull.is_some());
    stage.expect_comment(&["### ✔ pass"]);
    stage.end();
}

#[test]
fn a_new_head_of_a_fork_is_an_offer() {
    let stage = Stage::start_with(watching());
    stage.forge.fork(REPOSITORY, docent::demo::sample::STRANGER);
    let fork = format!("{}/notebooks", docent::demo::sample::STRANGER);
    stage.let_forge_wait(2);
    let head = stage.forge.commit(&fork, "idea", &[("notebooks/new.ipynb", CLEAN.as_bytes())]);
    let from = format!("{}:idea", docent::demo::sample::STRANGER);
    let pull = stage.forge.pull(REPOSITORY, docent::demo::sample::STRANGER, "An idea", &from, "main");
    stage.until("offer", |stage| stage.run(1).is_some());
    stage.expect_comment_on(REPOSITORY, pull, &["!accept"]);
    assert_eq!(stage.run(1).unwrap().phase.word(), "OFFERED");
    let accept = format!("!accept {}", &head[..10]);
    let comment = stage.say_on(REPOSITORY, pull, "mira", &accept);
    stage.expect_fates(comment, &["accepted"]);
    stage.expect_run(1, GOOD);
    stage.expect_comment_on(REPOSITORY, pull, &["### ✔ pass"]);
    stage.end();
}
