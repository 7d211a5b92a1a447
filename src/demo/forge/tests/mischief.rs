//! Misbehaving on demand.

use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn goes_wrong_as_told_and_then_behaves() {
    let scene = Scene::with_pull().await;
    let path = "/repos/astro/notebooks";
    scene.forge.misbehave(Misbehaviour::status(502).path("/repos/").after(1).once());
    assert_eq!(scene.see(path, "").await.status, 200);
    assert_eq!(scene.see(path, "").await.status, 502);
    assert_eq!(scene.see(path, "").await.status, 200);

    scene.forge.misbehave(Misbehaviour::new(Effect::TooMany { retry_after: 7 }));
    let limited = scene.see(path, "").await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, "7"));
    scene.forge.behave();
    scene.forge.misbehave(Misbehaviour::new(Effect::NotJson).once());
    let page = scene.see(path, "").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    scene.forge.misbehave(Misbehaviour::new(Effect::Redirect("http://elsewhere.example/".to_owned())).once());
    assert_eq!(scene.see(path, "").await.header("location"), "http://elsewhere.example/");
    scene.forge.misbehave(Misbehaviour::odd_json(|json| json["id"] = "seven".into()).once());
    assert_eq!(scene.see(path, "").await.json["id"], "seven");
    scene.forge.misbehave(Misbehaviour::new(Effect::DropHeader("X-Total-Count".to_owned())).once());
    assert_eq!(scene.see("/repos/search", "").await.header("x-total-count"), "");
    assert_eq!(scene.see("/repos/search", "").await.header("x-total-count"), "1");
}

#[tokio::test]
async fn a_cut_answer_leaves_the_comment_behind() {
    let scene = Scene::with_pull().await;
    let guest = scene.forge.token("guest", &["write:issue"]);
    let rule = Misbehaviour::new(Effect::Cut { after: 10 }).method("POST").account("guest").once();
    scene.forge.misbehave(rule);
    let url = scene.url("/repos/astro/notebooks/issues/1/comments");
    let request = scene.http.post(url).header("authorization", format!("token {guest}"));
    let cut = match request.json(&json!({"body": "once"})).send().await {
        Ok(response) => response.text().await.is_err(),
        Err(_) => true,
    };
    assert!(cut, "the answer came whole");
    assert_eq!(scene.forge.comments("astro/notebooks", 1).len(), 1);
    let last = scene.forge.requests().pop().unwrap();
    assert_eq!((last.status, last.account.as_deref()), (Some(201), Some("guest")));
}

#[tokio::test]
async fn a_late_feed_shows_the_change_with_its_own_time() {
    let scene = Scene::with_pull().await;
    let reading = scene.forge.token("docent", &["read:issue", "read:repository"]);
    scene.forge.misbehave(Misbehaviour::new(Effect::Lag(Duration::from_millis(1500))));
    let id = scene.forge.comment("astro/notebooks", 1, "guest", "!testme");
    let made = scene.forge.comments("astro/notebooks", 1)[0].created_at;
    let comments = "/repos/astro/notebooks/issues/comments";
    assert_eq!(scene.see(comments, &reading).await.json, json!([]));
    let start = Instant::now();
    loop {
        let seen = scene.see(comments, &reading).await.json;
        if seen[0]["id"] == id {
            let shown =
                chrono::DateTime::parse_from_rfc3339(seen[0]["created_at"].as_str().unwrap()).unwrap();
            assert_eq!(shown, made);
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "never shown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn hangs_only_as_long_as_told() {
    let scene = Scene::new().await;
    scene.forge.misbehave(Misbehaviour::new(Effect::Hang(Duration::from_secs(3600))).once());
    let url = scene.url("/api/v1/version");
    let asked = scene.http.get(url).timeout(Duration::from_millis(300)).send().await;
    assert!(asked.unwrap_err().is_timeout());
    assert_eq!(scene.see("/api/v1/version", "").await.status, 200);
}
