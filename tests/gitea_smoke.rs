//! The helper that other tests trust: a real Gitea, told and asked everything the helper can tell and ask.

mod support;

use serde_json::json;
use support::api::Push;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_gitea_lives_through_a_pull_request() {
    let gitea = gitea_or_return!();
    let mira = gitea.user("mira").await;
    let otto = gitea.user("otto").await;
    let watcher = gitea.user("watcher").await;
    gitea.organisation(&mira, "astro").await;
    let repository = gitea.repository(&mira, "astro", "notebooks").await;
    assert_eq!(repository["full_name"], "astro/notebooks");
    gitea.collaborator(&mira, "astro/notebooks", "otto", "write").await;

    // A branch, its pull request, a push that moves its head, a force push that replaces it.
    let first = gitea
        .push_files(&otto, "astro/notebooks", "flat-fix", &[("a/flat.ipynb", "{}"), ("b.txt", "b")])
        .await;
    let pull = gitea.pull(&otto, "astro/notebooks", "flat-fix", "Fix the flat field").await;
    assert_eq!(pull["head"]["sha"], first.as_str());
    let number = pull["number"].as_u64().unwrap();
    let second = gitea.push_files(&otto, "astro/notebooks", "flat-fix", &[("b.txt", "c")]).await;
    gitea.wait_for_head("astro/notebooks", number, &second).await;
    let third = gitea
        .push(
            &otto,
            Push {
                repository: "astro/notebooks",
                branch: "flat-fix",
                onto: Some(&first),
                files: &[("b.txt", None)],
                force: true,
            },
        )
        .await;
    gitea.wait_for_head("astro/notebooks", number, &third).await;

    // Comments: made, edited, deleted; a review.
    let comment = gitea.comment(&mira, "astro/notebooks", number, "!testme").await;
    let id = comment["id"].as_u64().unwrap();
    assert_eq!(comment["user"]["id"], mira.id);
    gitea.edit_comment(&mira, "astro/notebooks", id, "!testme --full").await;
    assert_eq!(gitea.comments("astro/notebooks", number).await[0]["body"], "!testme --full");
    gitea.delete_comment(&mira, "astro/notebooks", id).await;
    assert!(gitea.comments("astro/notebooks", number).await.is_empty());
    gitea.review(&mira, "astro/notebooks", number, "COMMENT", "!status").await;

    // A fork's pull request.
    let stranger = gitea.user("stranger").await;
    gitea.fork(&stranger, "astro/notebooks").await;
    gitea.push_files(&stranger, "stranger/notebooks", "idea", &[("idea.txt", "x")]).await;
    let theirs = gitea.pull(&stranger, "astro/notebooks", "stranger:idea", "An idea").await;
    assert_eq!(theirs["head"]["repo"]["full_name"], "stranger/notebooks");

    // A token that may only read is refused what it may not do, and names its scopes.
    let mut narrow = watcher.clone();
    narrow.token = gitea.token(&watcher, &["read:repository", "read:issue"]).await;
    let path = format!("/repos/astro/notebooks/issues/{number}/comments");
    let (status, _) =
        gitea.try_call(&narrow, reqwest::Method::POST, &path, Some(json!({ "body": "no" }))).await;
    assert_eq!(status, 403);
    let (status, answer) = gitea.try_call(&narrow, reqwest::Method::GET, "/admin/cron", None).await;
    assert_eq!(status, 403);
    assert!(
        answer["message"].as_str().unwrap().contains("token scope=read:issue,read:repository"),
        "{answer}"
    );

    // What ends a pull request.
    gitea.set_state(&mira, "astro/notebooks", number, "closed").await;
    gitea.delete_branch(&otto, "astro/notebooks", "flat-fix").await;
    assert_eq!(gitea.tip("astro/notebooks", "flat-fix").await, None);
    gitea.rename(&mira, "astro/notebooks", "books").await;
    assert_eq!(gitea.pull_now("astro/books", number).await["state"], "closed");

    // The forge's own record of who asked for what.
    let accesses = gitea.accesses().await;
    let of = |login: &str| accesses.iter().filter(|access| access.account == login).collect::<Vec<_>>();
    assert!(
        of("watcher").iter().any(|access| access.method == "POST" && access.status == 403),
        "{accesses:?}"
    );
    assert!(of("otto").iter().any(|access| access.path.ends_with("/git-receive-pack")), "{accesses:?}");

    let folder = gitea.folder().to_owned();
    let url = gitea.url.clone();
    drop(gitea);
    assert!(!folder.exists(), "it leaves nothing behind");
    assert!(reqwest::get(url).await.is_err(), "it has ended");
}
