//! Git over HTTP, with the real program on both sides.

use super::*;

fn clone(scene: &Scene, token: Option<&str>, name: &str) -> String {
    let url = scene.url(&format!("/{name}.git"));
    let target = name.replace('/', "-");
    scene.git_ok(token, &["clone", "--quiet", &url, &target]);
    target
}

fn push_change(scene: &Scene, token: &str, work: &str, branch: &str, content: &str, force: bool) -> String {
    std::fs::write(scene.directory.path().join(work).join("change.txt"), content).unwrap();
    scene.git_ok(None, &["-C", work, "add", "."]);
    scene.git_ok(None, &["-C", work, "commit", "--quiet", "-m", content]);
    let spec = format!("HEAD:refs/heads/{branch}");
    let mut arguments = vec!["-C", work, "push", "--quiet", "origin", &spec];
    if force {
        arguments.push("--force");
    }
    scene.git_ok(Some(token), &arguments);
    scene.git_ok(None, &["-C", work, "rev-parse", "HEAD"])
}

#[tokio::test]
async fn fetches_any_commit_by_its_number_and_leaves_a_record() {
    let scene = Scene::with_pull().await;
    let docent = scene.forge.token("docent", &["read:repository", "read:issue"]);
    let old = scene.forge.head("astro/notebooks", 1);
    let new = scene.forge.force_push("astro/notebooks", "flat", &[("flat.txt", b"2")]);
    scene.forge.fork("astro/notebooks", "guest");
    scene.forge.commit("guest/notebooks", "fix", &[("fix.txt", b"1")]);
    let number = scene.forge.pull("astro/notebooks", "guest", "From a fork", "guest:fix", "main");
    let of_fork = scene.forge.head("astro/notebooks", number);

    scene.forge.forget_requests();
    let url = scene.url("/astro/notebooks.git");
    scene.git_ok(None, &["init", "--quiet", "work"]);
    for sha in [&old, &new, &of_fork] {
        let fetch = ["-C", "work", "fetch", "--quiet", "--no-tags", "--depth=1", &url, sha];
        scene.git_ok(Some(&docent), &fetch);
        assert_eq!(&scene.git_ok(None, &["-C", "work", "rev-parse", "FETCH_HEAD"]), sha);
    }
    scene.git_ok(None, &["-C", "work", "fetch", "--quiet", &url, "refs/pull/2/head"]);
    assert_eq!(scene.git_ok(None, &["-C", "work", "rev-parse", "FETCH_HEAD"]), of_fork);
    let unknown = scene.git(Some(&docent), &["-C", "work", "fetch", &url, &"d".repeat(40)]);
    assert_eq!(unknown.status.code(), Some(128));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("not our ref"));

    let requests = scene.forge.requests();
    assert!(requests.iter().all(|r| r.is_reading() && r.service.as_deref() == Some("git-upload-pack")));
    assert!(requests.iter().any(|r| r.method == "POST" && r.account.as_deref() == Some("docent")));
}

#[tokio::test]
async fn a_push_moves_the_pull_and_writes_events() {
    let scene = Scene::with_pull().await;
    let mira = scene.forge.token("mira", &["write:repository"]);
    let work = clone(&scene, Some(&mira), "astro/notebooks");
    scene.git_ok(None, &["-C", &work, "checkout", "--quiet", "flat"]);
    let before = scene.forge.comment("astro/notebooks", 1, "guest", "!testme");
    let first = push_change(&scene, &mira, &work, "flat", "one", false);
    let reading = scene.forge.token("docent", &["read:repository", "read:issue"]);
    let pull = scene.see("/repos/astro/notebooks/pulls/1", &reading).await.json;
    assert_eq!(pull["head"]["sha"], first.as_str());
    let listed = scene.see("/repos/astro/notebooks/pulls?state=open", &reading).await.json;
    assert_eq!(listed[0]["head"]["sha"], first.as_str());
    let path = "/repos/astro/notebooks/issues/1/timeline";
    let timeline = scene.see(path, &reading).await.json;
    assert_eq!(kinds(&timeline), ["pull_push", "comment", "pull_push"]);
    assert_eq!(timeline[2]["body"], json!({"is_force_push": false, "commit_ids": [first]}).to_string());
    assert_eq!(timeline[2]["user"]["login"], "mira");
    assert!(timeline[2]["id"].as_u64().unwrap() > before);

    // Rewrites the last commit: its event vanishes, and a plain and a forced one come.
    scene.git_ok(None, &["-C", &work, "reset", "--quiet", "--hard", "HEAD^"]);
    let second = push_change(&scene, &mira, &work, "flat", "two", true);
    let timeline = scene.see(path, &reading).await.json;
    assert_eq!(kinds(&timeline), ["pull_push", "comment", "pull_push", "pull_push"]);
    assert_eq!(timeline[2]["body"], json!({"is_force_push": false, "commit_ids": [second]}).to_string());
    assert_eq!(
        timeline[3]["body"],
        json!({"is_force_push": true, "commit_ids": [first, second]}).to_string()
    );
}

#[tokio::test]
async fn a_push_event_can_be_late() {
    let scene = Scene::with_pull().await;
    let old = scene.forge.head("astro/notebooks", 1);
    scene.forge.delay_pushes(std::time::Duration::from_secs(1));
    let new = scene.forge.commit("astro/notebooks", "flat", &[("flat.txt", b"3")]);
    let reading = scene.forge.token("docent", &["read:repository", "read:issue"]);
    let alone = scene.see("/repos/astro/notebooks/pulls/1", &reading).await.json;
    let listed = scene.see("/repos/astro/notebooks/pulls", &reading).await.json;
    assert_eq!(alone["head"]["sha"], new.as_str());
    assert_eq!(listed[0]["head"]["sha"], old.as_str());
    let comment = scene.forge.comment("astro/notebooks", 1, "mira", "!testme");
    let mut timeline = Value::Null;
    for _ in 0..200 {
        timeline = scene.see("/repos/astro/notebooks/issues/1/timeline", &reading).await.json;
        if kinds(&timeline).len() == 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(kinds(&timeline), ["pull_push", "comment", "pull_push"]);
    assert!(timeline[2]["id"].as_u64().unwrap() > comment);
}

#[tokio::test]
async fn scopes_and_rights_hold_for_git() {
    let scene = Scene::new().await;
    let read = scene.forge.token("mira", &["read:repository"]);
    let issue = scene.forge.token("mira", &["write:issue"]);
    let public = scene.forge.token("mira", &["read:repository", "public-only"]);
    let stranger = scene.forge.token("guest", &["all"]);
    let work = clone(&scene, Some(&read), "astro/notebooks");
    for (token, what) in [(Some(&read), "403"), (Some(&stranger), "403"), (None, "could not read Username")] {
        let output =
            scene.git(token.map(String::as_str), &["-C", &work, "push", "origin", "HEAD:refs/heads/x"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(what), "{said}");
    }
    assert_eq!(scene.forge.branches("astro/notebooks").len(), 1);
    clone(&scene, Some(&read), "astro/hidden");
    let hidden = scene.url("/astro/hidden.git");
    for (token, what) in [(&issue, "403"), (&public, "403"), (&stranger, "not found")] {
        let output = scene.git(Some(token), &["ls-remote", &hidden]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(what), "{said}");
    }
    let public_repository = scene.url("/astro/notebooks.git");
    assert!(scene.git(Some(&issue), &["ls-remote", &public_repository]).status.success());
    assert!(!scene.git(Some("nonsense"), &["ls-remote", &public_repository]).status.success());
}

#[tokio::test]
async fn a_large_push_comes_through() {
    let scene = Scene::new().await;
    let mira = scene.forge.token("mira", &["write:repository"]);
    let work = clone(&scene, Some(&mira), "astro/notebooks");
    // More than git sends in one piece, and nothing that packs: it comes chunked.
    let bytes: Vec<u8> = (0..40).flat_map(|_| random_secret().into_bytes().repeat(1)).collect();
    let noise: Vec<u8> = (0..3_000_000_u32)
        .map(|i| bytes[i as usize % bytes.len()] ^ (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    std::fs::write(scene.directory.path().join(&work).join("large.bin"), noise).unwrap();
    let sha = push_change(&scene, &mira, &work, "large", "large", false);
    assert_eq!(scene.forge.branches("astro/notebooks")["large"], sha);
}

#[tokio::test]
async fn a_deleted_branch_closes_its_pull() {
    let scene = Scene::with_pull().await;
    let sha = scene.forge.head("astro/notebooks", 1);
    scene.forge.delete_branch("astro/notebooks", "flat");
    let pull = scene.see("/repos/astro/notebooks/pulls/1", "").await.json;
    assert_eq!((&pull["state"], &pull["head"]["ref"]), (&json!("closed"), &json!("refs/pull/1/head")));
    assert_eq!((&pull["head"]["sha"], &pull["head"]["label"]), (&json!(sha), &json!("flat")));
}

/// Processes that git's part of this forge started and that still run.
fn processes(directory: &std::path::Path) -> usize {
    let root = format!("GIT_PROJECT_ROOT={}", directory.canonicalize().unwrap().join("git").display());
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|p| std::fs::read(p.path().join("environ")).ok())
        .filter(|environ| environ.split(|b| *b == 0).any(|v| v == root.as_bytes()))
        .count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn git_dies_with_the_forge() {
    use std::io::Write as _;
    let scene = Scene::new().await;
    let address = scene.forge.url().trim_start_matches("http://").to_owned();
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /astro/notebooks.git/git-upload-pack HTTP/1.1\r\nhost: {address}\r\n\
         content-type: application/x-git-upload-pack-request\r\ncontent-length: 1000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let wait_for = async |wanted: fn(usize) -> bool| {
        for _ in 0..600 {
            if wanted(processes(scene.directory.path())) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{} processes of git", processes(scene.directory.path()));
    };
    wait_for(|count| count > 0).await;
    drop(scene.forge);
    wait_for(|count| count == 0).await;
}
