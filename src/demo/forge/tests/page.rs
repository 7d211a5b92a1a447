//! The pages: what strangers wrote stays text, and other sites stay out.

use super::*;

async fn write(scene: &Scene, headers: &[(&str, &str)]) -> Reply {
    let mut request = scene
        .http
        .post(scene.url("/astro/notebooks/pulls/1/comments"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("author=guest&body=%21testme%0D%0Aagain");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Reply::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn shows_a_pull_and_takes_a_comment() {
    let scene = Scene::with_pull().await;
    let own = scene.forge.url().to_owned();
    let sent = write(&scene, &[("origin", &own), ("sec-fetch-site", "same-origin")]).await;
    assert_eq!(sent.status, 303);
    assert!(sent.header("location").starts_with("/astro/notebooks/pulls/1#comment-"));
    let comments = scene.forge.comments("astro/notebooks", 1);
    assert_eq!((comments[0].author.as_str(), comments[0].body.as_str()), ("guest", "!testme\nagain"));
    let index = scene.see("/", "").await;
    assert!(index.text.contains("astro/notebooks") && index.text.contains("Flat field"));
    assert!(!index.text.contains("hidden"));
    let page = scene.see("/astro/notebooks/pulls/1", "").await;
    assert!(page.text.contains(&scene.forge.head("astro/notebooks", 1)));
    assert!(page.text.contains("!testme"));
    assert_eq!(scene.see("/astro/hidden/pulls/1", "").await.status, 404);
}

#[tokio::test]
async fn what_a_stranger_wrote_stays_text() {
    let scene = Scene::with_pull().await;
    scene.forge.commit("astro/notebooks", "evil", &[("f", b"x")]);
    let title = "<script>alert(1)</script> \u{202e}safe";
    let number = scene.forge.pull("astro/notebooks", "guest", title, "evil", "main");
    let body =
        "<script>alert(2)</script>\n\n<img src=x onerror=alert(3)> [x](javascript:alert(4)) \u{202e}gnp";
    scene.forge.comment("astro/notebooks", number, "guest", body);
    for path in ["/".to_owned(), format!("/astro/notebooks/pulls/{number}")] {
        let page = scene.see(&path, "").await;
        assert!(!page.text.contains("<script>alert") && !page.text.contains("<img"), "{}", page.text);
        assert!(
            !page.text.contains("javascript:alert(4)\"") && !page.text.contains('\u{202e}'),
            "{}",
            page.text
        );
        assert!(page.text.contains("⟦U+202E⟧"));
        assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    }
}

#[tokio::test]
async fn other_sites_stay_out() {
    let scene = Scene::with_pull().await;
    for headers in [
        [("origin", "http://evil.example"), ("x-any", "1")],
        [("origin", "null"), ("x-any", "1")],
        [("sec-fetch-site", "cross-site"), ("x-any", "1")],
    ] {
        assert_eq!(write(&scene, &headers).await.status, 403, "{headers:?}");
    }
    // A name elsewhere that was made to point here.
    let rebound = write(&scene, &[("host", "evil.example"), ("origin", "http://evil.example")]).await;
    assert_eq!(rebound.status, 421);
    assert_eq!(scene.forge.comments("astro/notebooks", 1).len(), 0);
}

#[tokio::test]
async fn only_those_who_are_offered_can_write() {
    let scene = Scene::with_pull().await;
    scene.forge.write_as(&["mira"]);
    let page = scene.see("/astro/notebooks/pulls/1", "").await;
    assert!(page.text.contains("<option>mira</option>") && !page.text.contains("<option>guest</option>"));
    assert_eq!(write(&scene, &[]).await.status, 422);
    assert_eq!(scene.forge.comments("astro/notebooks", 1).len(), 0);
}
