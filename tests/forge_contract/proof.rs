//! What a token can do, by GET alone.

use docent::forge::{Forge, ForgeErrorKind, Proof};

use crate::scene::{READ, Scene};
use crate::site::Site;

async fn proven(site: &Site, scene: &Scene<'_>, token: &str) -> Proof {
    let forge = site.watcher(token);
    let repository = forge.repository(&scene.repository).await.unwrap();
    forge.prove(&[repository]).await.unwrap()
}

/// The rights that are named of a token that can write.
async fn rights(site: &Site, scene: &Scene<'_>, token: &str) -> Vec<String> {
    match proven(site, scene, token).await {
        Proof::CanWrite { rights, .. } => rights,
        other => panic!("{other:?}"),
    }
}

pub async fn a_token_that_reads_is_proven(site: &Site) {
    let scene = Scene::set(site).await;
    let stranger = scene.watch_token().await;
    let of_owner = site.narrow(&scene.owner, &READ).await;
    let public = site.narrow(&scene.owner, &["public-only", READ[0], READ[1]]).await;
    for token in [&stranger, &of_owner, &public] {
        let Proof::ReadOnly { evidence } = proven(site, &scene, token).await else { panic!("not proven") };
        assert!(evidence.contains("read:issue"), "{evidence}");
        assert!(!evidence.contains(token.as_str()), "the token itself is in the evidence");
    }
}

pub async fn a_token_that_writes_is_named(site: &Site) {
    let scene = Scene::set(site).await;
    let watcher = site.person("watcher").await;
    for writing in ["write:issue", "write:repository", "write:user", "write:organization"] {
        let token = site.narrow(&watcher, &["read:repository", "read:issue", writing]).await;
        assert_eq!(rights(site, &scene, &token).await, [writing]);
    }
}

pub async fn a_token_for_everything_is_named(site: &Site) {
    let scene = Scene::set(site).await;
    let token = site.person("watcher").await.token;
    assert_eq!(rights(site, &scene, &token).await, ["all"]);
}

pub async fn an_administrator_is_named(site: &Site) {
    let scene = Scene::set(site).await;
    assert_eq!(rights(site, &scene, &site.admin.token).await, ["administrator"]);
    // Reading scopes do not make an administrator a reader: what the account may do is one setting away. On a repository
    // with a second person who may write, the forge shows him more than it shows others.
    let second = site.person("otto").await;
    site.collaborator(&scene.owner, &scene.repository, &second.login, "write").await;
    let with_user = site.narrow(&site.admin, &["read:repository", "read:issue", "read:user"]).await;
    assert_eq!(rights(site, &scene, &with_user).await, ["administrator"]);
}

pub async fn a_bad_token_is_refused(site: &Site) {
    let scene = Scene::set(site).await;
    let forge = site.watcher(&"0".repeat(40));
    let refused = forge.repository(&scene.repository).await.unwrap_err();
    assert_eq!(refused.kind, ForgeErrorKind::Unauthorised);
    assert_eq!(forge.prove(&[]).await.unwrap_err().kind, ForgeErrorKind::Unauthorised);
}
