//! The API: words and numbers as recorded from the real forge.

use super::*;

const READ: [&str; 2] = ["read:repository", "read:issue"];

#[tokio::test]
async fn refuses_by_scope_before_it_looks() {
    let scene = Scene::new().await;
    let read = scene.forge.token("docent", &READ);
    let nowhere = "/repos/no-such-owner/no-such-repo";
    for (method, path, required) in [
        ("POST", format!("{nowhere}/statuses/0"), "write:repository"),
        ("POST", format!("{nowhere}/issues/comments/0/reactions"), "write:issue"),
        ("DELETE", "/api/v1/orgs/no-such-org/members/nobody".to_owned(), "write:organization"),
        ("PATCH", "/api/v1/notifications/threads/0".to_owned(), "write:notification"),
        ("DELETE", "/api/v1/packages/no-such-owner/generic/x/1".to_owned(), "write:package"),
        ("GET", "/admin/cron".to_owned(), "read:admin"),
        ("GET", "/user".to_owned(), "read:user"),
        ("GET", "/users/docent/tokens".to_owned(), "read:user"),
    ] {
        let reply = scene.send(method, &path, &read, None).await;
        let message = format!(
            "token does not have at least one of required scope(s), required=[{required}], token scope=read:issue,read:repository"
        );
        assert_eq!((reply.status, reply.message()), (403, message.as_str()), "{method} {path}");
    }

    let write = scene.forge.token("docent", &["write:issue", "write:repository"]);
    let reply = scene.send("POST", &format!("{nowhere}/statuses/0"), &write, None).await;
    assert_eq!((reply.status, reply.message()), (404, "GetUserByName"));
    assert_eq!(reply.json["errors"], json!(["user redirect does not exist [name: no-such-owner]"]));

    let all = scene.forge.token("docent", &["all"]);
    let reply = scene.see("/admin/cron", &all).await;
    assert_eq!((reply.status, reply.message()), (403, "user should be the site admin"));
    let all = scene.forge.token("root", &["all"]);
    assert_eq!(scene.see("/admin/cron", &all).await.status, 200);
    let reply = scene.send("DELETE", "/api/v1/orgs/no-such-org/members/x", &all, None).await;
    assert_eq!((reply.status, reply.message()), (404, "GetOrgByName"));
}

#[tokio::test]
async fn lists_tokens_for_a_password_only() {
    let scene = Scene::new().await;
    let token = scene.forge.token("docent", &["read:user", "read:issue"]);
    let reply = scene.see("/users/docent/tokens", &token).await;
    assert_eq!((reply.status, reply.message()), (401, "auth required"));

    let url = scene.url("/users/docent/tokens");
    let asked = scene.http.get(&url).basic_auth("docent", Some(&token)).send().await.unwrap();
    let reply = Reply::of(asked).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json[0]["scopes"], json!(["read:issue", "read:user"]));
    assert!(token.ends_with(reply.json[0]["token_last_eight"].as_str().unwrap()));
    assert!(!reply.text.contains(&token));

    let password = scene.forge.password("docent");
    let wish = json!({"name": "fresh", "scopes": ["read:repository", "public-only"]});
    let asked = scene.http.post(&url).basic_auth("docent", Some(&password)).json(&wish).send().await.unwrap();
    let reply = Reply::of(asked).await;
    assert_eq!(reply.status, 201);
    let fresh = reply.json["sha1"].as_str().unwrap();
    assert_eq!(scene.see("/repos/astro/notebooks", fresh).await.status, 200);
    scene.forge.permit("astro/hidden", "docent", Right::Read);
    assert_eq!(scene.see("/repos/astro/hidden", fresh).await.status, 404);
    assert_eq!(scene.see("/repos/astro/notebooks", "nonsense").await.status, 401);
}

#[tokio::test]
async fn hides_what_is_private_and_shows_the_right_of_the_account() {
    let scene = Scene::new().await;
    let docent = scene.forge.token("docent", &READ);
    let reply = scene.see("/repos/astro/hidden", &docent).await;
    assert_eq!((reply.status, reply.message()), (404, "not found"));
    assert_eq!(reply.json["errors"], Value::Null);

    let mira = scene.forge.token("mira", &READ);
    let reply = scene.see("/repos/astro/hidden", &mira).await;
    assert_eq!(reply.json["permissions"], json!({"admin": false, "push": true, "pull": true}));
    let reply = scene.see("/repos/astro/notebooks", "").await;
    assert_eq!(reply.json["permissions"], json!({"admin": false, "push": false, "pull": true}));

    let reader = scene.see("/repos/astro/notebooks/collaborators/mira/permission", &docent).await;
    assert_eq!(reader.status, 403);
    assert!(reader.message().starts_with("Only admins can query all permissions"));
    let owner = scene.forge.token("owner", &READ);
    for (login, right) in [("mira", "write"), ("guest", "read"), ("owner", "owner")] {
        let path = format!("/repos/astro/notebooks/collaborators/{login}/permission");
        assert_eq!(scene.see(&path, &owner).await.json["permission"], right);
    }
    let path = "/repos/astro/notebooks/collaborators";
    assert_eq!(scene.see(&format!("{path}/mira"), &docent).await.status, 204);
    assert_eq!(scene.see(&format!("{path}/owner"), &docent).await.status, 404);
    let unknown = scene.see(&format!("{path}/nobody-here"), &docent).await;
    assert_eq!((unknown.status, unknown.message()), (422, "user does not exist [uid: 0, name: nobody-here]"));
}

#[tokio::test]
async fn a_comment_bumps_and_an_edit_does_not() {
    let scene = Scene::with_pull().await;
    // Times are whole seconds; let this pull request be old.
    scene.forge.skew_clock(chrono::Duration::seconds(60));
    let (guest, docent) =
        (scene.forge.token("guest", &["write:issue"]), scene.forge.token("docent", &["read:issue"]));
    let since = |seconds: i64| {
        let at = chrono::Utc::now() + chrono::Duration::seconds(seconds);
        at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    let feed = format!("/repos/issues/search?type=pulls&state=all&owner=astro&since={}", since(30));
    assert_eq!(scene.see(&feed, &docent).await.json, json!([]));

    let comments = "/repos/astro/notebooks/issues/1/comments";
    let made = scene.send("POST", comments, &guest, Some(json!({"body": "!testme"}))).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.json["created_at"], made.json["updated_at"]);
    assert_eq!(made.json["user"]["email"], "3+guest@noreply.localhost");
    let seen = scene.see(&feed, &docent).await;
    assert_eq!(seen.json[0]["number"], 1);
    assert_eq!(seen.json[0]["repository"]["full_name"], "astro/notebooks");
    assert_eq!(seen.header("x-total-count"), "1");

    scene.forge.skew_clock(chrono::Duration::seconds(120));
    let feed = format!("/repos/issues/search?type=pulls&state=all&owner=astro&since={}", since(90));
    let of_repository = format!("/repos/astro/notebooks/issues/comments?since={}", since(90));
    let id = made.json["id"].as_u64().unwrap();
    let one = format!("/repos/astro/notebooks/issues/comments/{id}");
    let edited = scene.send("PATCH", &one, &guest, Some(json!({"body": "other"}))).await;
    assert_eq!(edited.status, 200);
    assert_ne!(edited.json["created_at"], edited.json["updated_at"]);
    assert_eq!(scene.see(&feed, &docent).await.json, json!([]));
    assert_eq!(scene.see(&of_repository, &docent).await.json[0]["body"], "other");

    let other = scene.forge.token("docent", &["write:issue"]);
    let refused = scene.send("PATCH", &one, &other, Some(json!({"body": "mine"}))).await;
    assert_eq!((refused.status, refused.text.as_str()), (403, ""));
    let writer = scene.forge.token("mira", &["write:issue"]);
    let by_writer = scene.send("PATCH", &one, &writer, Some(json!({"body": "ours"}))).await;
    assert_eq!((by_writer.status, &by_writer.json["user"]["login"]), (200, &json!("guest")));
    assert_eq!(scene.send("DELETE", &one, &guest, None).await.status, 204);
    let gone = scene.see(&one, &docent).await;
    assert_eq!(gone.json["errors"], json!([format!("comment does not exist [id: {id}, issue_id: 0]")]));

    scene.forge.lock_pull("astro/notebooks", 1, true);
    let locked = scene.send("POST", comments, &guest, Some(json!({"body": "x"}))).await;
    assert_eq!((locked.status, locked.message()), (403, "You cannot comment on a locked issue."));
    let long = "x".repeat(1_000_000);
    assert_eq!(scene.send("POST", comments, &writer, Some(json!({"body": long}))).await.status, 201);
}

#[tokio::test]
async fn pages_as_the_real_one_does() {
    let scene = Scene::with_pull().await;
    let docent = scene.forge.token("docent", &READ);
    for n in 0..55 {
        scene.forge.comment("astro/notebooks", 1, "guest", &format!("{n}"));
        scene.forge.commit("astro/notebooks", &format!("b{n}"), &[("f", b"x")]);
        scene.forge.pull("astro/notebooks", "mira", "more", &format!("b{n}"), "main");
    }
    let search = "/repos/issues/search?type=pulls&limit=50";
    let first = scene.see(search, &docent).await;
    assert_eq!((first.json.as_array().unwrap().len(), first.header("x-total-count")), (50, "56"));
    assert_eq!(first.json[0]["number"], 56);
    let next = format!("{}/api/v1/repos/issues/search?limit=50&page=2&type=pulls", scene.forge.url());
    assert!(first.header("link").starts_with(&format!("<{next}>; rel=\"next\"")), "{}", first.header("link"));
    let second = scene.see(&format!("{search}&page=2"), &docent).await;
    assert_eq!(second.json.as_array().unwrap().len(), 6);
    assert!(!second.header("link").contains("next"));
    // A limit over the cap is cut, and its links are made as if it were not.
    let over = scene.see("/repos/issues/search?type=pulls&limit=100", &docent).await;
    assert_eq!((over.json.as_array().unwrap().len(), over.header("link")), (50, ""));

    let comments = "/repos/astro/notebooks/issues/comments";
    let paged = scene.see(comments, &docent).await;
    assert_eq!((paged.json.as_array().unwrap().len(), paged.header("x-total-count")), (30, "55"));
    assert_eq!((&paged.json[0]["body"], paged.header("link")), (&json!("0"), ""));
    scene.forge.page_comments(false);
    assert_eq!(scene.see(comments, &docent).await.json.as_array().unwrap().len(), 55);
    let of_pull = scene.see("/repos/astro/notebooks/issues/1/comments", &docent).await;
    assert_eq!(of_pull.json.as_array().unwrap().len(), 55);
}

#[tokio::test]
async fn a_bad_time_is_refused_and_a_zone_is_kept() {
    let scene = Scene::with_pull().await;
    let docent = scene.forge.token("docent", &READ);
    let bad = scene.see("/repos/issues/search?type=pulls&since=2026-11-21T05:00:00+01:00", &docent).await;
    let message = "parsing time \"2026-11-21T05:00:00 01:00\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \" 01:00\" as \"Z07:00\"";
    assert_eq!((bad.status, bad.message()), (422, message));
    scene.forge.set_zone(chrono::Duration::hours(2));
    let repository = scene.see("/repos/astro/notebooks", &docent).await;
    assert!(repository.json["updated_at"].as_str().unwrap().ends_with("+02:00"));
    scene.forge.skew_clock(chrono::Duration::days(400));
    let late = scene.see("/api/v1/version", "").await;
    let date = chrono::DateTime::parse_from_rfc2822(late.header("date")).unwrap();
    assert!(date.with_timezone(&chrono::Utc) > chrono::Utc::now() + chrono::Duration::days(399));
}

#[tokio::test]
async fn statuses_need_the_scope_and_the_right() {
    let scene = Scene::with_pull().await;
    let sha = scene.forge.head("astro/notebooks", 1);
    let path = format!("/repos/astro/notebooks/statuses/{sha}");
    let wish = json!({"state": "pending", "context": "docent/test", "description": "queued", "target_url": "http://127.0.0.1:1/x"});
    let issue_only = scene.forge.token("docent", &["write:issue"]);
    assert_eq!(scene.send("POST", &path, &issue_only, Some(wish.clone())).await.status, 403);
    let stranger = scene.forge.token("guest", &["write:repository"]);
    let refused = scene.send("POST", &path, &stranger, Some(wish.clone())).await;
    assert_eq!(
        (refused.status, refused.message()),
        (403, "user should have a permission to write to a repo")
    );
    let mira = scene.forge.token("mira", &["write:repository"]);
    let made = scene.send("POST", &path, &mira, Some(wish)).await;
    assert_eq!((made.status, &made.json["status"], &made.json["id"]), (201, &json!("pending"), &json!(1)));
    assert_eq!(scene.forge.statuses("astro/notebooks", &sha)[0].context, "docent/test");
    let listed = scene.see(&format!("/repos/astro/notebooks/commits/{sha}/statuses"), &stranger).await;
    assert_eq!(listed.json[0]["description"], "queued");
}

#[tokio::test]
async fn reviews_react_rename_and_the_rest() {
    let scene = Scene::with_pull().await;
    let guest = scene.forge.token("guest", &["write:issue", "write:repository"]);
    let review = json!({"body": "!testme", "event": "COMMENT"});
    let made = scene.send("POST", "/repos/astro/notebooks/pulls/1/reviews", &guest, Some(review)).await;
    assert_eq!((made.status, &made.json["state"], &made.json["id"]), (200, &json!("COMMENT"), &json!(1)));
    let of_repository = scene.see("/repos/astro/notebooks/issues/comments", &guest).await;
    assert_eq!(of_repository.json, json!([]));
    let timeline = scene.see("/repos/astro/notebooks/issues/1/timeline", &guest).await;
    assert_eq!(kinds(&timeline.json), ["pull_push", "review"]);

    let comment = scene.forge.comment("astro/notebooks", 1, "mira", "hello");
    let path = format!("/repos/astro/notebooks/issues/comments/{comment}/reactions");
    for status in [201, 200] {
        assert_eq!(scene.send("POST", &path, &guest, Some(json!({"content": "eyes"}))).await.status, status);
    }
    assert_eq!(scene.forge.reactions(comment), [("guest".to_owned(), "eyes".to_owned())]);

    scene.forge.rename("astro/notebooks", "books");
    let moved = scene.see("/repos/astro/notebooks", &guest).await;
    assert_eq!((moved.status, moved.header("location")), (301, "/api/v1/repos/astro/books"));
    let refs = scene.see("/repos/astro/books/git/refs/heads/main", &guest).await;
    assert_eq!((refs.status, &refs.json[0]["ref"]), (200, &json!("refs/heads/main")));
    let branch = scene.see("/repos/astro/books/branches/main", &guest).await;
    assert_eq!(branch.json["commit"]["id"], refs.json[0]["object"]["sha"]);
}

#[tokio::test]
async fn everything_is_made_by_the_api_alone() {
    let scene = Scene::new().await;
    let owner = scene.forge.token("owner", &["all"]);
    let guest = scene.forge.token("guest", &["all"]);
    let made = scene.send("POST", "/api/v1/orgs", &owner, Some(json!({"username": "lab"}))).await;
    assert_eq!(made.status, 201);
    let wish = json!({"name": "sky", "auto_init": true, "default_branch": "main"});
    let made = scene.send("POST", "/api/v1/orgs/lab/repos", &owner, Some(wish)).await;
    assert_eq!((made.status, &made.json["full_name"]), (201, &json!("lab/sky")));
    let by_id = scene
        .see(&format!("/repositories/{}", made.json["id"]).replace("/repos", "/api/v1/repos"), &owner)
        .await;
    assert_eq!(by_id.json["full_name"], "lab/sky");

    let content = base64::engine::general_purpose::STANDARD.encode("1");
    let fork = scene.send("POST", "/repos/lab/sky/forks", &guest, Some(json!({}))).await;
    assert_eq!((fork.status, &fork.json["parent"]["full_name"]), (202, &json!("lab/sky")));
    let file = json!({"content": content, "message": "add", "branch": "main", "new_branch": "fix"});
    let file = scene.send("POST", "/repos/guest/sky/contents/a/b.txt", &guest, Some(file)).await;
    assert_eq!(file.status, 201, "{}", file.text);
    let wish = json!({"title": "From a fork", "head": "guest:fix", "base": "main"});
    let pull = scene.send("POST", "/repos/lab/sky/pulls", &guest, Some(wish.clone())).await;
    assert_eq!((pull.status, &pull.json["head"]["repo"]["full_name"]), (201, &json!("guest/sky")));
    assert_eq!(pull.json["head"]["sha"], file.json["commit"]["sha"]);
    assert_eq!((&pull.json["additions"], &pull.json["changed_files"]), (&json!(1), &json!(1)));
    assert_eq!(scene.send("POST", "/repos/lab/sky/pulls", &guest, Some(wish)).await.status, 409);

    let closed =
        scene.send("PATCH", "/repos/lab/sky/pulls/1", &guest, Some(json!({"state": "closed"}))).await;
    assert_eq!((closed.status, &closed.json["state"]), (201, &json!("closed")));
    let reopened =
        scene.send("PATCH", "/repos/lab/sky/issues/1", &owner, Some(json!({"state": "open"}))).await;
    assert_eq!((reopened.status, &reopened.json["state"]), (201, &json!("open")));

    assert_eq!(scene.send("DELETE", "/repos/guest/sky", &guest, None).await.status, 204);
    let orphan = scene.see("/repos/lab/sky/pulls/1", &owner).await.json;
    assert_eq!((&orphan["state"], &orphan["head"]["repo"]), (&json!("closed"), &Value::Null));
    assert_eq!(
        (&orphan["head"]["ref"], &orphan["head"]["repo_id"]),
        (&json!("refs/pull/1/head"), &json!(-1))
    );
    assert_eq!(orphan["head"]["sha"], file.json["commit"]["sha"]);
}
