//! The report client: one comment, and a status where it may.

use docent::core::id::PullId;
use docent::core::pull::Repository;
use docent::forge::any::AnyReporter;
use docent::forge::{Forge, ForgeErrorKind, Reporter, Status, StatusState};
use serde_json::Value;

use crate::scene::Scene;
use crate::site::Site;

const MARKER: &str = "docent-contract-5f1c";

fn text(what: &str) -> String {
    format!("<!-- {MARKER} -->\n{what}")
}

struct Desk {
    repository: Repository,
    pull: PullId,
}

impl Desk {
    async fn at(scene: &Scene<'_>, pull: u64) -> Self {
        let forge = scene.site.watcher(&scene.watch_token().await);
        let repository = forge.repository(&scene.repository).await.unwrap();
        let pull = PullId { repository: repository.id.clone(), number: pull };
        Self { repository, pull }
    }

    async fn tell(&self, reporter: &AnyReporter, known: Option<u64>, what: &str) -> u64 {
        reporter.comment(&self.repository, &self.pull, known, MARKER, &text(what)).await.unwrap()
    }
}

/// The bodies of the comments under a pull request, with their numbers.
async fn told(scene: &Scene<'_>, pull: u64) -> Vec<(u64, String)> {
    let of = |comment: Value| (comment["id"].as_u64().unwrap(), comment["body"].as_str().unwrap().to_owned());
    scene.site.comments(&scene.repository, pull).await.into_iter().map(of).collect()
}

pub async fn the_comment_is_made_once_and_edited(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let desk = Desk::at(&scene, pull).await;
    let reporter = site.reporter(&scene.owner.token);
    assert_eq!(reporter.account().await.unwrap().number, scene.owner.id);
    let made = desk.tell(&reporter, None, "waits").await;
    assert_eq!(told(&scene, pull).await, [(made, text("waits"))]);
    assert_eq!(desk.tell(&reporter, Some(made), "runs").await, made);
    assert_eq!(desk.tell(&reporter, Some(made), "runs").await, made, "again changes nothing");
    let long = "é🔭".repeat(10_000);
    assert_eq!(desk.tell(&reporter, Some(made), &long).await, made);
    assert_eq!(told(&scene, pull).await, [(made, text(&long))]);
    assert!(reporter.comment_limit() > 20_100);
}

pub async fn the_comment_is_found_by_its_marker(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let desk = Desk::at(&scene, pull).await;
    scene.say(pull, "!testme").await;
    let made = desk.tell(&site.reporter(&scene.owner.token), None, "waits").await;
    scene.say(pull, "more").await;
    // The process died before it could write down which comment it made.
    let another = site.reporter(&scene.owner.token);
    assert_eq!(desk.tell(&another, None, "runs").await, made);
    let all = told(&scene, pull).await;
    assert_eq!(all.len(), 3);
    assert!(all.contains(&(made, text("runs"))));
}

pub async fn a_deleted_comment_is_made_anew(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let desk = Desk::at(&scene, pull).await;
    let reporter = site.reporter(&scene.owner.token);
    let made = desk.tell(&reporter, None, "waits").await;
    scene.delete_comment(made).await;
    let anew = desk.tell(&reporter, Some(made), "runs").await;
    assert_ne!(anew, made);
    assert_eq!(told(&scene, pull).await, [(anew, text("runs"))]);
}

pub async fn a_status_is_set(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, head) = scene.open("fix").await;
    let desk = Desk::at(&scene, pull).await;
    let reporter = site.reporter(&scene.owner.token);
    let states = [
        (StatusState::Pending, "pending"),
        (StatusState::Failure, "failure"),
        (StatusState::Error, "error"),
        (StatusState::Success, "success"),
    ];
    for (state, _) in states {
        let status = Status {
            state,
            context: "docent/notebook".to_owned(),
            description: "2 passed".to_owned(),
            target_url: Some("https://docent.example.org/runs/1".to_owned()),
        };
        reporter.status(&desk.repository, &head.parse().unwrap(), &status).await.unwrap();
    }
    let set = site.statuses(&scene.repository, &head).await;
    assert_eq!(set.len(), 4);
    for (_, word) in states {
        let is_it = |status: &&Value| status["status"] == word || status["state"] == word;
        let status = set.iter().find(is_it).unwrap_or_else(|| panic!("no {word} in {set:?}"));
        assert_eq!(status["context"], "docent/notebook");
        assert_eq!(status["target_url"], "https://docent.example.org/runs/1");
    }
}

pub async fn a_token_that_may_only_comment_is_enough(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let desk = Desk::at(&scene, pull).await;
    let account = site.person("docent").await;
    let token = site.narrow(&account, &["write:issue"]).await;
    let reporter = site.reporter(&token);
    assert_eq!(reporter.account().await.unwrap_err().kind, ForgeErrorKind::Forbidden, "it may not ask");
    let made = desk.tell(&reporter, None, "waits").await;
    assert_eq!(desk.tell(&reporter, Some(made), "runs").await, made);
    assert_eq!(desk.tell(&site.reporter(&token), None, "ends").await, made, "found by its marker");
    assert_eq!(told(&scene, pull).await, [(made, text("ends"))]);
    // Having commented, it knows whose comments its own are.
    assert_eq!(reporter.account().await.unwrap().number, account.id);
}

pub async fn a_copied_marker_is_not_taken_over(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let desk = Desk::at(&scene, pull).await;
    let stranger = site.person("stranger").await;
    let copy = site.comment(&stranger, &scene.repository, pull, &text("all is well")).await;
    let account = site.person("docent").await;
    for scopes in [&["write:issue"][..], &["write:issue", "read:user"]] {
        let reporter = site.reporter(&site.narrow(&account, scopes).await);
        let made = desk.tell(&reporter, None, "failed").await;
        assert_ne!(Some(made), copy["id"].as_u64());
    }
    let all = told(&scene, pull).await;
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!((&all[0].1, &all[1].1), (&text("all is well"), &text("failed")));
}

pub async fn a_locked_pull_request_refuses(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let desk = Desk::at(&scene, pull).await;
    let account = site.person("docent").await;
    let reporter = site.reporter(&site.narrow(&account, &["write:issue"]).await);
    let lock = format!("/repos/{}/issues/{pull}/lock", scene.repository);
    site.call(&scene.owner, reqwest::Method::PUT, &lock, Some(serde_json::json!({}))).await;
    let refused =
        reporter.comment(&desk.repository, &desk.pull, None, MARKER, &text("waits")).await.unwrap_err();
    assert_eq!(refused.kind, ForgeErrorKind::Forbidden);
    assert!(!refused.is_passing(), "trying again would not help");
    assert!(told(&scene, pull).await.is_empty());
    let owner = site.reporter(&site.narrow(&scene.owner, &["write:issue"]).await);
    desk.tell(&owner, None, "who may write may go on").await;
}

pub async fn a_status_needs_more_than_a_comment(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, head) = scene.open("fix").await;
    let desk = Desk::at(&scene, pull).await;
    let account = site.person("docent").await;
    let status = Status {
        state: StatusState::Pending,
        context: "docent".to_owned(),
        description: String::new(),
        target_url: None,
    };
    for (account, scopes, may) in [
        (&account, &["write:issue"][..], false),
        (&account, &["write:issue", "write:repository"], false),
        (&scene.owner, &["write:issue"], false),
        (&scene.owner, &["write:issue", "write:repository"], true),
    ] {
        let reporter = site.reporter(&site.narrow(account, scopes).await);
        let set = reporter.status(&desk.repository, &head.parse().unwrap(), &status).await;
        match set {
            Ok(()) => assert!(may, "{} with {scopes:?}", account.login),
            Err(error) => {
                assert!(!may, "{} with {scopes:?}: {error}", account.login);
                assert_eq!(error.kind, ForgeErrorKind::Forbidden);
            }
        }
    }
}
