//! Watched branches: where they are, whatever is done to them, at the cost of what changed.

use docent::core::time::Duration;

use crate::scene::Scene;
use crate::site::Site;

pub async fn a_push_to_a_watched_branch_is_seen(site: &Site) {
    let scene = Scene::set(site).await;
    let main = site.tip(&scene.repository, "main").await.unwrap();
    let mut eye = scene.watch().await;
    eye.branches = vec!["main".into(), "not/there".into()];
    eye.poll().await;
    assert_eq!(eye.branch("main"), Some(Some(main)), "a branch is read as soon as it is watched");
    assert_eq!(eye.branch("not/there"), Some(None), "and it is seen that there is none");
    scene.push("unwatched", "one").await;
    let pushed = scene.push("main", "two").await;
    eye.until_branch("main", Some(&pushed)).await;
    assert_eq!(eye.branch("unwatched"), None);
}

pub async fn a_force_push_and_a_deletion_of_a_branch_are_seen(site: &Site) {
    let scene = Scene::set(site).await;
    let main = site.tip(&scene.repository, "main").await.unwrap();
    let first = scene.push("release/1", "one").await;
    let twin = scene.push("release/10", "ten").await;
    let mut eye = scene.watch().await;
    eye.branches = vec!["release/1".into()];
    eye.until_branch("release/1", Some(&first)).await;
    let forced = scene.force_push("release/1", &main).await;
    eye.until_branch("release/1", Some(&forced)).await;
    site.delete_branch(&scene.owner, &scene.repository, "release/1").await;
    eye.until_branch("release/1", None).await;
    let again = scene.push("release/1", "again").await;
    eye.until_branch("release/1", Some(&again)).await;
    assert_ne!(again, twin);
}

pub async fn a_quiet_poll_with_branches_is_cheap(site: &Site) {
    let scene = Scene::set(site).await;
    let mut eye = scene.watch().await;
    eye.branches = vec!["main".into()];
    eye.poll().await;
    let pushed = scene.push("main", "two").await;
    eye.until_branch("main", Some(&pushed)).await;
    eye.rest(Duration::seconds(200));
    let quiet = eye.poll().await;
    assert!((1..=2).contains(&quiet.requests), "{} requests where nothing happened", quiet.requests);
    assert_eq!(quiet.observations, []);
}

pub async fn a_branch_of_a_renamed_repository_is_still_seen(site: &Site) {
    let mut scene = Scene::set(site).await;
    let mut eye = scene.watch().await;
    eye.branches = vec!["main".into()];
    eye.poll().await;
    let short = format!("{}-renamed", scene.repository.split_once('/').unwrap().1);
    site.rename(&scene.owner, &scene.repository, &short).await;
    scene.repository = format!("{}/{short}", scene.owner.login);
    let pushed = scene.push("main", "under the new name").await;
    eye.until_branch("main", Some(&pushed)).await;
}

pub async fn a_pull_request_tells_where_it_left_its_base(site: &Site) {
    let scene = Scene::set(site).await;
    let left = site.tip(&scene.repository, "main").await.unwrap();
    let (pull, _) = scene.open("fix").await;
    let moved = scene.push("main", "meanwhile").await;
    let mut eye = scene.watch().await;
    let seen = eye.until_pull("pull request", pull, |_| true).await;
    // GitHub does not say; then the base itself has to do.
    if site.kind != docent::forge::any::ForgeKind::GitHub {
        assert_eq!(seen.merge_base.as_ref().map(|sha| sha.as_str()), Some(left.as_str()));
    }
    assert_ne!(left, moved);
    assert!(seen.is_of_its_repository());
}

/// Whoever may read can push to `refs/for/…`; the forge then shows the repository itself as the head's.
pub async fn code_pushed_for_review_is_a_strangers(site: &Site) {
    if !site.takes_pushes_for_review() {
        println!("not run: this forge takes no pushes for review");
        return;
    }
    let scene = Scene::set(site).await;
    let stranger = site.person("stranger").await;
    let files = [("notes.txt", "idea")];
    let head = site.push_files(&stranger, &scene.repository, "refs/for/main/idea", &files).await;
    let mut eye = scene.watch().await;
    let seen = eye.until_pull("pull request", 1, |pull| pull.head.as_str() == head).await;
    assert!(!seen.is_of_its_repository(), "{seen:#?}");
    println!("{seen:#?}");
}
