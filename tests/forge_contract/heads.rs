//! Heads of pull requests: pushes, forks, and what ends a pull request.

use crate::lookup::fetched;
use crate::scene::Scene;
use crate::site::Site;

pub async fn a_push_is_seen_as_the_new_head(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, first) = scene.open("fix").await;
    let mut eye = scene.watch().await;
    eye.until_pull("first head", pull, |pull| pull.head.as_str() == first).await;
    let second = scene.push("fix", "two").await;
    let seen = eye.until_pull("second head", pull, |pull| pull.head.as_str() == second).await;
    assert!(seen.is_open);
}

pub async fn a_force_push_is_seen_as_the_new_head(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, _) = scene.open("fix").await;
    let main = site.tip(&scene.repository, "main").await.unwrap();
    let mut eye = scene.watch().await;
    let forced = scene.force_push("fix", &main).await;
    let seen = eye.until_pull("forced head", pull, |pull| pull.head.as_str() == forced).await;
    assert!(seen.is_open);
    assert_eq!(seen.base.as_str(), main);
}

pub async fn closing_and_reopening_is_seen(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, head) = scene.open("fix").await;
    let mut eye = scene.watch().await;
    site.set_state(&scene.owner, &scene.repository, pull, "closed").await;
    let seen = eye.until_pull("closed pull request", pull, |pull| !pull.is_open).await;
    assert_eq!(seen.head.as_str(), head);
    site.set_state(&scene.owner, &scene.repository, pull, "open").await;
    eye.until_pull("open pull request", pull, |pull| pull.is_open).await;
}

pub async fn a_deleted_head_branch_closes(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, head) = scene.open("fix").await;
    let mut eye = scene.watch().await;
    site.delete_branch(&scene.owner, &scene.repository, "fix").await;
    let seen = eye.until_pull("closed pull request", pull, |pull| !pull.is_open).await;
    assert_eq!(seen.head.as_str(), head, "what it was about is still known");
    assert_eq!(fetched(&eye.forge, &eye.repository, pull, &head).await, "one", "and can be fetched");
}

/// A pull request from the fork of a stranger. Gives his account, the pull request and its head.
async fn from_fork(scene: &Scene<'_>) -> (crate::support::api::Account, String, u64, String) {
    let site = scene.site;
    let stranger = site.person("stranger").await;
    let fork = site.fork(&stranger, &scene.repository).await["full_name"].as_str().unwrap().to_owned();
    let head = site.push_files(&stranger, &fork, "idea", &[("notes.txt", "idea")]).await;
    let from = format!("{}:idea", stranger.login);
    let pull = site.pull(&stranger, &scene.repository, &from, "An idea").await["number"].as_u64().unwrap();
    scene.recorded(pull, &head).await;
    (stranger, fork, pull, head)
}

pub async fn a_fork_is_seen_and_fetched(site: &Site) {
    let scene = Scene::set(site).await;
    let mut eye = scene.watch().await;
    let (stranger, fork, pull, head) = from_fork(&scene).await;
    let seen = eye.until_pull("pull request of a fork", pull, |_| true).await;
    assert!(seen.is_from_fork);
    assert_eq!(seen.head_repository.as_deref(), Some(fork.as_str()));
    assert_eq!(seen.author.unwrap().number, stranger.id);
    assert_eq!(seen.head.as_str(), head);
    assert_eq!(fetched(&eye.forge, &eye.repository, pull, &head).await, "idea");
    let second = site.push_files(&stranger, &fork, "idea", &[("notes.txt", "better idea")]).await;
    eye.until_pull("second head of the fork", pull, |pull| pull.head.as_str() == second).await;
    scene.recorded(pull, &second).await;
    assert_eq!(fetched(&eye.forge, &eye.repository, pull, &second).await, "better idea");
}

pub async fn a_deleted_fork_closes(site: &Site) {
    let scene = Scene::set(site).await;
    let (stranger, fork, pull, head) = from_fork(&scene).await;
    let mut eye = scene.watch().await;
    eye.until_pull("open pull request", pull, |pull| pull.is_open).await;
    site.delete_repository(&stranger, &fork).await;
    let seen = eye.until_pull("closed pull request", pull, |pull| !pull.is_open).await;
    assert_eq!((seen.head.as_str(), seen.head_repository), (head.as_str(), None));
    assert!(seen.is_from_fork, "code of a fork stays code of a fork");
    // Commands can still be written there, and looking at one more closely is no error.
    let comment = scene.say(pull, "!testme").await;
    assert!(!eye.examine(comment, pull).await.pull.unwrap().is_open);
}
