//! Repositories by name, and their commits.

use docent::core::pull::Repository;
use docent::forge::any::AnyForge;
use docent::forge::{Forge, ForgeErrorKind};
use docent::git::{BasicCredential, FetchLimits, FetchSource, Git};

use crate::scene::{READ, Scene};
use crate::site::Site;

pub async fn a_repository_is_found(site: &Site) {
    let scene = Scene::set(site).await;
    let forge = site.watcher(&scene.watch_token().await);
    let found = forge.repository(&scene.repository).await.unwrap();
    assert_eq!(found.name, scene.repository);
    assert_eq!(found.owner, scene.owner.id);
    assert_eq!(found.default_branch, "main");
    assert!(!found.is_archived);
    assert_eq!(found.is_writable, site.is_live(), "the watching account has no right here");
    assert!(found.page_url.ends_with(&scene.repository), "{}", found.page_url);
    assert_eq!(forge.repository(&scene.repository).await.unwrap().id, found.id);
}

pub async fn a_renamed_repository_is_found_by_its_old_name(site: &Site) {
    let mut scene = Scene::set(site).await;
    let forge = site.watcher(&scene.watch_token().await);
    let before = forge.repository(&scene.repository).await.unwrap();
    let old = scene.repository.clone();
    let short = format!("{}-renamed", old.split_once('/').unwrap().1);
    site.rename(&scene.owner, &old, &short).await;
    scene.repository = format!("{}/{short}", scene.owner.login);
    let after = forge.repository(&old).await.unwrap();
    assert_eq!((after.id, after.name), (before.id, scene.repository.clone()));
}

pub async fn a_missing_repository_is_not_found(site: &Site) {
    let scene = Scene::set(site).await;
    let forge = site.watcher(&scene.watch_token().await);
    for name in [format!("{}-not", scene.repository), "docent-nobody-has-this-name/nothing".to_owned()] {
        assert_eq!(forge.repository(&name).await.unwrap_err().kind, ForgeErrorKind::NotFound, "{name}");
    }
}

pub async fn a_private_repository_does_not_exist_for_strangers(site: &Site) {
    let scene = Scene::set(site).await;
    site.make_private(&scene.owner, &scene.repository, true).await;
    let stranger = site.watcher(&scene.watch_token().await);
    let refused = stranger.repository(&scene.repository).await.unwrap_err();
    assert_eq!(refused.kind, ForgeErrorKind::NotFound);
    let owner = site.watcher(&site.narrow(&scene.owner, &READ).await);
    assert_eq!(owner.repository(&scene.repository).await.unwrap().name, scene.repository);
    let public = site.watcher(&site.narrow(&scene.owner, &["public-only", READ[0], READ[1]]).await);
    assert_eq!(public.repository(&scene.repository).await.unwrap_err().kind, ForgeErrorKind::NotFound);
}

/// Fetches as the daemon does. Gives what is in `notes.txt`.
pub async fn fetched(forge: &AnyForge, repository: &Repository, pull: u64, sha: &str) -> String {
    let (source, fallback_ref) = forge.clone_source(repository, Some(pull)).await.unwrap();
    assert!(source.url.password().is_none() && source.url.username().is_empty());
    let credential = source.credential.map(|(username, token)| BasicCredential { username, token });
    let source = FetchSource { url: source.url, credential, fallback_ref };
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join(sha);
    Git::default().fetch(&source, sha, &into, &FetchLimits::default()).await.unwrap();
    std::fs::read_to_string(into.join("notes.txt")).unwrap()
}

pub async fn a_commit_is_fetched_by_its_sha(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, first) = scene.open("fix").await;
    let second = scene.push("fix", "two").await;
    scene.recorded(pull, &second).await;
    let eye = scene.watch().await;
    assert_eq!(fetched(&eye.forge, &eye.repository, pull, &second).await, "two");
    assert_eq!(
        fetched(&eye.forge, &eye.repository, pull, &first).await,
        "one",
        "also one that is not the head"
    );
}

pub async fn a_private_repository_is_fetched_with_a_read_token(site: &Site) {
    let scene = Scene::set(site).await;
    let (pull, sha) = scene.open("fix").await;
    site.make_private(&scene.owner, &scene.repository, true).await;
    let forge = site.watcher(&site.narrow(&scene.owner, &READ).await);
    let repository = forge.repository(&scene.repository).await.unwrap();
    assert_eq!(fetched(&forge, &repository, pull, &sha).await, "one");
}
