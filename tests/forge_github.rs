//! The GitHub driver against answers of every kind, over real sockets.

mod forge_double;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use docent::core::id::{CommentId, CommentKind, PullId, RepositoryId};
use docent::core::pull::{Order, Permission, PushRecord, Repository};
use docent::core::time::Time;
use docent::forge::github::{GitHub, GitHubCredential, GitHubReporter};
use docent::forge::http::{Authorisation, Bounds, Credential, Line, Watcher};
use docent::forge::{
    Cursor, Forge, ForgeErrorKind, Observation, Poll, Proof, Question, Reporter, RepositoryCursor, Watch,
};
use forge_double::{Asked, Double, Reply, nonsense};
use serde_json::{Value, json};

const REST: &str = "/api/v3";
const GRAPHQL: &str = "/api/graphql";
const SEEN: &str = "2026-03-02T08:14:00Z";
/// Of interest when read from `SEEN` on, but not from the first poll on.
const JUST_SEEN: &str = "2026-03-02T08:13:50Z";

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn id(number: u64) -> RepositoryId {
    RepositoryId { forge: "f".into(), number }
}

fn repository(number: u64, name: &str) -> Repository {
    Repository {
        id: id(number),
        name: name.into(),
        owner: 3,
        node: format!("R_{number}"),
        default_branch: "main".into(),
        clone_url: String::new(),
        page_url: String::new(),
        is_writable: false,
        is_archived: false,
    }
}

fn both() -> Vec<Repository> {
    vec![repository(19, "astro/pipe"), repository(20, "astro/maps")]
}

fn cursor() -> Cursor {
    let entry = RepositoryCursor {
        read_to: time(SEEN),
        is_behind: false,
        reconciled_at: None,
        branches: Default::default(),
        unreadable: None,
    };
    Cursor {
        feeds: BTreeMap::from([("pulls".to_owned(), time(SEEN))]),
        repositories: BTreeMap::from([(19, entry.clone()), (20, entry)]),
    }
}

fn name_of(number: u64) -> &'static str {
    if number == 19 { "astro/pipe" } else { "astro/maps" }
}

/// The answer of one repository to «what changed?».
fn changed(number: u64) -> Value {
    json!({"id": format!("R_{number}"), "databaseId": number, "nameWithOwner": name_of(number),
        "pullRequests": {"nodes": [
            {"id": format!("PR_{number}"), "number": number + 22, "updatedAt": "2026-03-02T08:15:41Z"},
            {"id": format!("PR_old{number}"), "number": 1, "updatedAt": "2025-03-02T08:15:41Z"}],
            "pageInfo": {"hasNextPage": true, "endCursor": "x"}}})
}

fn text(number: u64, body: &str) -> Value {
    json!({"fullDatabaseId": number.to_string(), "body": body, "createdAt": "2026-03-02T08:15:41Z",
        "updatedAt": "2026-03-02T08:15:41Z", "lastEditedAt": null, "url": "u",
        "author": {"__typename": "User", "login": "mira", "databaseId": 7}})
}

fn pull(number: u64) -> Value {
    json!({"id": format!("PR_{number}"), "number": number + 22, "title": "Fix", "state": "OPEN",
        "updatedAt": "2026-03-02T08:15:41Z", "url": "u", "headRefOid": "c".repeat(40), "headRefName": "fix",
        "isCrossRepository": true, "headRepository": null, "baseRefOid": "b".repeat(40), "baseRefName": "main",
        "repository": {"databaseId": number}, "author": null,
        "comments": {"nodes": [text(number + 5_000_000_000, "!testme")], "pageInfo": {"hasPreviousPage": false}},
        "reviews": {"nodes": [], "pageInfo": {"hasPreviousPage": false}}})
}

fn number_of(id: &Value) -> u64 {
    id.as_str().unwrap().trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap()
}

/// GraphQL of a world with one change and one comment in each repository; `change` may spoil the data of number 19.
fn graphql(asked: &Asked, spoil: impl Fn(&str, &mut Value)) -> Reply {
    let text = asked.body["query"].as_str().unwrap();
    assert!(text.starts_with("query"), "{text}");
    let is_list = text.contains("pullRequests(");
    if asked.body["variables"]["after"] == "x" {
        let mut node = changed(number_of(&asked.body["variables"]["id"]));
        node["pullRequests"]["pageInfo"]["hasNextPage"] = json!(false);
        return Reply::json(json!({"data": {"node": node}}));
    }
    let ids = asked.body["variables"]["ids"].as_array().cloned().unwrap_or_default();
    let nodes = ids.iter().map(number_of).map(|number| {
        let mut node = if is_list { changed(number) } else { pull(number) };
        if number == 19 {
            spoil(if is_list { "list" } else { "pull" }, &mut node);
        }
        node
    });
    Reply::json(json!({"data": {"nodes": nodes.collect::<Vec<_>>(),
        "rateLimit": {"cost": 1, "remaining": 4990, "resetAt": "2026-03-02T09:00:00Z"}}}))
}

fn world(asked: &Asked) -> Reply {
    match asked.path.as_str() {
        GRAPHQL => graphql(asked, |_, _| {}),
        _ => Reply::message(404, "Not Found"),
    }
}

fn forge(double: &Double) -> GitHub {
    let credential = GitHubCredential::Token("ghp_s3cret".into());
    GitHub::new("f", &double.url, credential, Bounds::default()).unwrap()
}

async fn poll_of(github: &GitHub, cursor: &Cursor, reconcile: &[RepositoryId]) -> Poll {
    github.poll(Watch { repositories: &both(), reconcile, branches: &[] }, cursor).await.unwrap()
}

fn comments(poll: &Poll) -> Vec<u64> {
    let number = |seen: &Observation| match seen {
        Observation::Comment(comment) => Some(comment.id.number),
        Observation::Branch { .. } | Observation::Pull { .. } => None,
    };
    poll.observations.iter().filter_map(number).collect()
}

fn pulls(poll: &Poll) -> Vec<u64> {
    let number = |seen: &Observation| match seen {
        Observation::Pull { pull, .. } => Some(pull.id.number),
        Observation::Branch { .. } | Observation::Comment(_) => None,
    };
    poll.observations.iter().filter_map(number).collect()
}

const PIPE: u64 = 5_000_000_019;
const MAPS: u64 = 5_000_000_020;

#[tokio::test]
async fn two_queries_read_what_changed() {
    let double = Double::start(world).await;
    let poll = poll_of(&forge(&double), &cursor(), &[]).await;
    assert!(poll.failures.is_empty(), "{:?}", poll.failures);
    assert_eq!((pulls(&poll), comments(&poll), poll.requests), (vec![41, 42], vec![PIPE, MAPS], 2));
    assert!(poll.cursor.feeds["pulls"] > time(SEEN));
    let Observation::Pull { pull, .. } = &poll.observations[0] else { panic!() };
    assert!(pull.head_repository.is_none() && pull.author.is_none() && pull.is_from_fork);
    assert_eq!(double.asked()[0].header("authorization"), Some("Bearer ghp_s3cret"));
}

#[tokio::test]
async fn a_thousand_idle_repositories_cost_ten_queries() {
    let double = Double::start(|asked| {
        let ids = asked.body["variables"]["ids"].as_array().unwrap();
        let idle = |id: &Value| {
            let number = number_of(id);
            json!({"databaseId": number, "nameWithOwner": format!("a/r{number}"),
                "pullRequests": {"nodes": [], "pageInfo": {"hasNextPage": false}}})
        };
        Reply::json(json!({"data": {"nodes": ids.iter().map(idle).collect::<Vec<_>>()}}))
    })
    .await;
    let many: Vec<Repository> = (1..=1000).map(|n| repository(n, &format!("a/r{n}"))).collect();
    let github = forge(&double);
    let first = github
        .poll(Watch { repositories: &many, reconcile: &[], branches: &[] }, &Cursor::default())
        .await
        .unwrap();
    assert_eq!((first.requests, first.cursor.repositories.len()), (10, 1000));
    let second = github
        .poll(Watch { repositories: &many, reconcile: &[], branches: &[] }, &first.cursor)
        .await
        .unwrap();
    assert_eq!(second.requests, 10);
    assert_eq!(
        second.cursor.repositories, first.cursor.repositories,
        "an idle poll writes down the feed only"
    );
}

#[tokio::test]
async fn the_first_start_reports_no_comment() {
    let double = Double::start(world).await;
    let poll = poll_of(&forge(&double), &Cursor::default(), &[]).await;
    assert!(comments(&poll).is_empty());
    assert!(poll.failures.is_empty(), "{:?}", poll.failures);
    assert!(pulls(&poll).contains(&41));
    let from = time("2026-03-02T08:15:50Z") + docent::core::time::Duration::seconds(90);
    assert!(poll.cursor.repositories[&19].read_to > from, "the overlap must not reach back before the start");
    assert_eq!(double.asked()[0].body["variables"]["states"], json!(["OPEN"]));
}

/// Changes that spoil the data of one repository.
fn spoilt() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("list: null", "list", Value::Null),
        ("list: text", "list", json!("x")),
        ("list: empty", "list", json!({})),
        ("list: list", "list", json!([])),
        ("list: id nought", "list", json!({"databaseId": 0})),
        ("list: id text", "list", json!({"databaseId": "19"})),
        ("list: id huge", "list", json!({"databaseId": 1e30})),
        ("list: another repository", "list", json!({"databaseId": 77})),
        ("list: no name", "list", json!({"nameWithOwner": null})),
        ("list: no pulls", "list", json!({"pullRequests": null})),
        ("list: a hole", "list", json!({"pullRequests": {"nodes": [null], "pageInfo": {}}})),
        ("list: no page", "list", json!({"pullRequests": {"nodes": []}})),
        ("list: a number", "list", json!({"pullRequests": {"nodes": [7], "pageInfo": {}}})),
        (
            "list: bad time",
            "list",
            json!({"pullRequests": {"nodes": [{"id": "x", "updatedAt": "soon"}], "pageInfo": {}}}),
        ),
        ("list: no id", "list", json!({"pullRequests": {"nodes": [{"updatedAt": SEEN}], "pageInfo": {}}})),
        ("pull: null", "pull", Value::Null),
        ("pull: empty", "pull", json!({})),
        ("pull: number", "pull", json!(5)),
        ("pull: number nought", "pull", json!({"number": 0})),
        ("pull: number negative", "pull", json!({"number": -41})),
        ("pull: number text", "pull", json!({"number": "41"})),
        ("pull: number half", "pull", json!({"number": 1.5})),
        ("pull: no state", "pull", json!({"state": null})),
        ("pull: head null", "pull", json!({"headRefOid": null})),
        ("pull: head short", "pull", json!({"headRefOid": "abc"})),
        ("pull: head lines", "pull", json!({"headRefOid": format!("{}\n", "c".repeat(40))})),
        ("pull: base null", "pull", json!({"baseRefOid": null})),
        ("pull: branch number", "pull", json!({"headRefName": 7})),
        ("pull: fork word", "pull", json!({"isCrossRepository": "yes"})),
        ("pull: time", "pull", json!({"updatedAt": 1_700_000_000})),
        ("pull: of another", "pull", json!({"repository": {"databaseId": 77}})),
        ("pull: of none", "pull", json!({"repository": null})),
        ("pull: author text", "pull", json!({"author": "mira"})),
        ("pull: title list", "pull", json!({"title": []})),
        ("pull: no comments", "pull", json!({"comments": null})),
        ("pull: no reviews", "pull", json!({"reviews": null})),
        ("pull: comments text", "pull", json!({"comments": "x"})),
        ("pull: a hole", "pull", json!({"comments": {"nodes": [null], "pageInfo": {}}})),
        ("text: empty", "pull", json!({"comments": {"nodes": [{}], "pageInfo": {}}})),
        ("text: id word", "pull", with_text(json!({"fullDatabaseId": "many"}))),
        ("text: id nought", "pull", with_text(json!({"fullDatabaseId": "0"}))),
        ("text: id null", "pull", with_text(json!({"fullDatabaseId": null}))),
        ("text: id beyond", "pull", with_text(json!({"fullDatabaseId": "99999999999999999999999"}))),
        ("text: body null", "pull", with_text(json!({"body": null}))),
        ("text: body number", "pull", with_text(json!({"body": 3}))),
        ("text: created never", "pull", with_text(json!({"createdAt": null}))),
        ("text: updated soon", "pull", with_text(json!({"updatedAt": "soon"}))),
        ("text: edited word", "pull", with_text(json!({"lastEditedAt": "yes"}))),
        ("text: author list", "pull", with_text(json!({"author": []}))),
    ]
}

fn with_text(change: Value) -> Value {
    let mut bad = text(5, "!testme");
    bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    json!({"reviews": {"nodes": [bad], "pageInfo": {}}})
}

#[tokio::test]
async fn a_malformed_part_costs_its_own_repository_only() {
    let table = spoilt();
    assert!(table.len() >= 40, "{}", table.len());
    for (what, stage, change) in table {
        let double = Double::start(move |asked| {
            graphql(asked, |now, node| {
                if now == stage {
                    match (change.as_object(), node.as_object_mut()) {
                        (Some(change), Some(node)) if !change.is_empty() => node.extend(change.clone()),
                        _ => *node = change.clone(),
                    }
                }
            })
        })
        .await;
        let poll = poll_of(&forge(&double), &cursor(), &[]).await;
        let entry = &poll.cursor.repositories[&19];
        assert!(entry.is_behind && entry.read_to == time(SEEN), "{what}: {entry:?} {:?}", poll.failures);
        assert!(poll.failures.iter().all(|(whose, _)| *whose == Some(id(19))), "{what}: {:?}", poll.failures);
        assert!(!poll.failures.is_empty(), "{what}");
        assert!(comments(&poll).contains(&MAPS), "{what}: the other is served");
        assert!(!poll.cursor.repositories[&20].is_behind, "{what}");
        assert!(poll.cursor.feeds["pulls"] > time(SEEN), "{what}");
    }
}

#[tokio::test]
async fn what_can_never_be_read_is_asked_for_ever_more_seldom() {
    static IS_MENDED: AtomicBool = AtomicBool::new(false);
    let double = Double::start(|asked| {
        graphql(asked, |now, node| {
            let is_since_last = asked.body["variables"]["states"].is_null();
            match now {
                // It changed before the first poll, not since.
                "list" if is_since_last => node["pullRequests"]["nodes"][0]["updatedAt"] = json!(JUST_SEEN),
                "pull" if !IS_MENDED.load(Ordering::SeqCst) => node["headRefOid"] = json!(5),
                _ => {}
            }
        })
    })
    .await;
    let github = forge(&double);
    let mut cursor = cursor();
    let read = async |cursor: &mut Cursor| {
        double.forget();
        let poll = poll_of(&github, cursor, &[]).await;
        *cursor = poll.cursor.clone();
        let asked = double.asked();
        (asked.iter().any(|asked| !asked.body["variables"]["states"].is_null()), poll)
    };
    let mut whole = Vec::new();
    for number in 0..20 {
        let (is_whole, poll) = read(&mut cursor).await;
        assert!(!poll.failures.is_empty(), "it goes on being told");
        assert!(cursor.repositories[&19].is_behind && cursor.repositories[&19].read_to == time(SEEN));
        whole.extend(is_whole.then_some(number));
    }
    assert_eq!(whole, [1, 3, 7, 15]);
    IS_MENDED.store(true, Ordering::SeqCst);
    let mut polls = 0;
    while cursor.repositories[&19].is_behind {
        polls += 1;
        let (is_whole, poll) = read(&mut cursor).await;
        assert_eq!(is_whole, comments(&poll).contains(&PIPE), "what was missed is seen");
    }
    assert!(polls <= 16, "{polls}");
    assert_eq!(cursor.repositories[&19].unreadable, None);
}

#[tokio::test]
async fn a_malformed_whole_moves_no_cursor() {
    let mut table: Vec<(String, Reply)> =
        nonsense().into_iter().map(|(what, body)| (what.to_owned(), Reply::text(200, body))).collect();
    for body in [
        json!({}),
        json!({"data": null}),
        json!({"data": {"nodes": null}}),
        json!({"data": {"nodes": []}}),
        json!({"data": {"nodes": [null, null, null]}}),
        json!({"errors": [{"message": "Something went wrong"}]}),
        json!({"data": null, "errors": [{"type": "UNKNOWN_WORD", "message": "x", "path": [1, 2]}]}),
        json!({"errors": []}),
    ] {
        table.push((body.to_string(), Reply::json(body)));
    }
    table.push(("cut".into(), Reply::text(200, "{\"data\":{}}").cut(4)));
    for status in [400, 401, 418, 422, 500, 502, 503, 504] {
        table.push((status.to_string(), Reply::message(status, "no ghp_s3cret")));
    }
    for (what, reply) in table {
        let double = Double::start(move |_| reply.clone()).await;
        let github = forge(&double);
        let error = github
            .poll(Watch { repositories: &both(), reconcile: &[], branches: &[] }, &cursor())
            .await
            .unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{what}: {error}");
        assert!(double.asked().len() < 12, "{what}: {}", double.asked().len());
    }
}

#[tokio::test]
async fn an_error_beside_the_data_concerns_its_item() {
    let double = Double::start(|asked| {
        let mut reply = graphql(asked, |stage, node| {
            if stage == "list" {
                *node = Value::Null;
            }
        });
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
        if asked.body["variables"]["first"].is_number() {
            body["errors"] =
                json!([{"type": "NOT_FOUND", "path": ["nodes", 0], "message": "Could not resolve"}]);
        }
        reply.body = body.to_string().into_bytes();
        reply
    })
    .await;
    let poll = poll_of(&forge(&double), &cursor(), &[]).await;
    assert_eq!(comments(&poll), [MAPS]);
    assert_eq!(poll.failures.len(), 1);
    assert_eq!((poll.failures[0].1.kind, &poll.failures[0].0), (ForgeErrorKind::NotFound, &Some(id(19))));
}

#[tokio::test]
async fn what_is_too_much_for_github_is_halved() {
    let double = Double::start(|asked| {
        let ids = asked.body["variables"]["ids"].as_array().unwrap();
        if ids.len() > 1 {
            let error = json!({"type": "RESOURCE_LIMITS_EXCEEDED", "message": "Resource limits exceeded"});
            return Reply::json(json!({"data": {"nodes": [null, null]}, "errors": [error]}));
        }
        world(asked)
    })
    .await;
    let poll = poll_of(&forge(&double), &cursor(), &[]).await;
    assert!(poll.failures.is_empty(), "{:?}", poll.failures);
    assert_eq!((comments(&poll), poll.requests), (vec![PIPE, MAPS], 6));
}

#[tokio::test]
async fn limits_are_heeded() {
    let headers = |reply: Reply| {
        reply
            .with("x-ratelimit-limit", "5000")
            .with("x-ratelimit-remaining", "0")
            .with("x-ratelimit-reset", (time("2026-03-02T08:16:00Z").timestamp() + 90).to_string())
    };
    let limited = json!({"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]});
    for (reply, seconds) in [
        (headers(Reply::message(403, "API rate limit exceeded")), 90),
        (headers(Reply::message(429, "x")), 90),
        (headers(Reply::json(limited.clone())), 90),
        (Reply::json(limited), 60),
        (Reply::message(403, "You have exceeded a secondary rate limit"), 60),
        (Reply::message(403, "x").with("Retry-After", "33"), 33),
        (
            Reply::json(json!({"message": "You have exceeded a secondary rate limit."}))
                .with("Retry-After", "5"),
            5,
        ),
    ] {
        let double = Double::start(move |_| reply.clone()).await;
        let github = forge(&double);
        let error = github
            .poll(Watch { repositories: &both(), reconcile: &[], branches: &[] }, &cursor())
            .await
            .unwrap_err();
        assert_eq!((error.kind, error.retry_after), (ForgeErrorKind::Limited, Some(seconds)));
        github
            .poll(Watch { repositories: &both(), reconcile: &[], branches: &[] }, &cursor())
            .await
            .unwrap_err();
        assert_eq!(double.asked().len(), 1, "not asked again");
    }
    // A budget that runs out slows the polls.
    let double = Double::start(|asked| {
        let reset = (time("2026-03-02T08:16:00Z").timestamp() + 200).to_string();
        world(asked)
            .with("x-ratelimit-limit", "5000")
            .with("x-ratelimit-remaining", "40")
            .with("x-ratelimit-reset", reset)
    })
    .await;
    let pause = poll_of(&forge(&double), &cursor(), &[]).await.pause.unwrap().num_seconds();
    assert!((100..=200).contains(&pause), "{pause}");
}

#[tokio::test]
async fn earlier_texts_are_paged_while_they_are_new() {
    let double = Double::start(|asked| {
        let query = asked.body["query"].as_str().unwrap();
        if query.contains("texts:comments") {
            let page = asked.body["variables"]["before"].as_str().unwrap().to_owned();
            let number: u64 = if page == "p1" { 2 } else { 1 };
            let mut said = text(number, "older");
            if number == 1 {
                said["updatedAt"] = json!("2025-01-01T00:00:00Z");
            }
            return Reply::json(json!({"data": {"node": {"texts": {"nodes": [said],
                "pageInfo": {"hasPreviousPage": true, "startCursor": "p2"}}}}}));
        }
        graphql(asked, |stage, node| {
            if stage == "pull" {
                node["comments"]["pageInfo"] = json!({"hasPreviousPage": true, "startCursor": "p1"});
                let mut review = text(77, "!testme");
                review["lastEditedAt"] = json!("2026-03-02T08:15:50Z");
                review["author"] = json!({"__typename": "Bot", "login": "robot", "databaseId": 9});
                let empty = text(78, "");
                let mut pending = text(79, "not yet");
                pending["state"] = json!("PENDING");
                node["reviews"]["nodes"] = json!([review, empty, pending]);
            }
        })
    })
    .await;
    let poll = poll_of(&forge(&double), &cursor(), &[]).await;
    assert!(poll.failures.is_empty(), "{:?}", poll.failures);
    assert_eq!(comments(&poll), [2, 77, PIPE, MAPS]);
    let review = poll.observations.iter().find_map(|seen| match seen {
        Observation::Comment(comment) if comment.id.kind == CommentKind::Review => Some(comment),
        _ => None,
    });
    let review = review.unwrap();
    assert!(review.is_edited && review.author.as_ref().is_some_and(|author| author.is_bot));
}

fn rest_pull(number: u64, repository: u64) -> Value {
    json!({"number": number, "title": "t", "state": "open", "user": null, "html_url": "u",
        "updated_at": "2026-03-02T08:15:41Z", "head": {"ref": "fix", "sha": "c".repeat(40), "repo": null},
        "base": {"ref": "main", "sha": "b".repeat(40), "repo": {"id": repository, "full_name": "a/b"}}})
}

fn rest_comment(number: u64, pull: u64) -> Value {
    json!({"id": number, "node_id": "IC", "html_url": format!("https://x/a/b/pull/{pull}#issuecomment-{number}"),
        "issue_url": format!("https://x/repos/a/b/issues/{pull}"), "body": "!testme",
        "user": {"id": 7, "login": "mira", "type": "User"},
        "created_at": "2026-03-02T08:15:41Z", "updated_at": "2026-03-02T08:15:41Z"})
}

fn rest_world(asked: &Asked) -> Reply {
    let Some(path) = asked.path.strip_prefix(REST) else { return Reply::message(404, "no GraphQL here") };
    match path {
        "/repos/astro/pipe/pulls" => Reply::json(json!([rest_pull(41, 19)])),
        "/repos/astro/maps/pulls" => Reply::json(json!([rest_pull(42, 20)])),
        "/repos/astro/pipe/issues/comments" => {
            let mut issue = rest_comment(50, 9);
            issue["html_url"] = json!("https://x/a/b/issues/9#issuecomment-50");
            Reply::json(json!([rest_comment(51, 41), issue]))
        }
        "/repos/astro/maps/issues/comments" => Reply::json(json!([rest_comment(52, 42)])),
        "/repos/astro/pipe" => Reply::json(json!({"id": 19, "full_name": "astro/pipe", "owner": {"id": 3}})),
        "/repos/astro/maps" => Reply::json(json!({"id": 20, "full_name": "astro/maps", "owner": {"id": 3}})),
        path if path.ends_with("/reviews") => {
            Reply::json(json!([{"id": 3, "node_id": "n", "body": "!testme",
            "state": "COMMENTED", "user": null, "submitted_at": "2026-03-02T08:15:41Z"}]))
        }
        _ => Reply::message(404, "Not Found"),
    }
}

#[tokio::test]
async fn where_graphql_is_refused_rest_serves() {
    let double = Double::start(rest_world).await;
    let github = forge(&double);
    for round in 0..2 {
        let poll = poll_of(&github, &cursor(), &[]).await;
        assert!(poll.failures.is_empty(), "{:?}", poll.failures);
        assert_eq!((pulls(&poll), comments(&poll)), (vec![41, 42], vec![3, 51, 3, 52]), "{round}");
    }
    let posts = double.asked().iter().filter(|asked| asked.method == "POST").count();
    assert_eq!(posts, 1, "GraphQL is not tried again");
    // One bad repository, by REST too.
    for (what, body) in nonsense() {
        let double = Double::start(move |asked| match asked.path.ends_with("/pipe/issues/comments") {
            true => Reply::text(200, body.clone()),
            false => rest_world(asked),
        })
        .await;
        let poll = poll_of(&forge(&double), &cursor(), &[]).await;
        assert!(poll.cursor.repositories[&19].is_behind, "{what}");
        assert!(comments(&poll).contains(&52), "{what}");
    }
}

#[tokio::test]
async fn rest_pages_follow_links_of_the_same_host_only() {
    let other = Double::start(rest_world).await;
    let elsewhere = other.url.to_string();
    let pages = AtomicUsize::new(0);
    let double = Double::start(move |asked| {
        if !asked.path.ends_with("/pipe/pulls") {
            return rest_world(asked);
        }
        let host = asked.header("host").unwrap();
        match pages.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::json(json!([rest_pull(41, 19)]))
                .with("Link", format!("<http://{host}{}?page=2>; rel=\"next\"", asked.path)),
            _ => Reply::json(json!([rest_pull(43, 19)]))
                .with("Link", format!("<{elsewhere}api/v3/repos/astro/pipe/pulls?page=3>; rel=\"next\"")),
        }
    })
    .await;
    let github = GitHub::new("f", &double.url, GitHubCredential::Anonymous, Bounds::default()).unwrap();
    let poll = poll_of(&github, &cursor(), &[]).await;
    assert_eq!(pulls(&poll), [41, 43, 42]);
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn the_watch_client_refuses_a_mutation_and_every_other_host() {
    let double = Double::start(world).await;
    let credential = Credential::new(Authorisation::Token { word: "Bearer", secret: "ghp_s3cret".into() });
    let watcher = Watcher::new(Line::new("f", double.url.clone(), credential, Bounds::default()).unwrap());
    let there = double.url.join(GRAPHQL).unwrap();
    for text in ["mutation{addStar(input:{}){id}}", "query{a} mutation{b}", "subscription{x}"] {
        let error = watcher.query(&there, text, json!({})).await.unwrap_err();
        assert!(error.detail.contains("queries only"), "{error}");
    }
    let elsewhere = url::Url::parse("http://127.0.0.2/graphql").unwrap();
    assert_eq!(
        watcher.query(&elsewhere, "query{a}", json!({})).await.unwrap_err().kind,
        ForgeErrorKind::Refused
    );
    assert!(double.asked().is_empty());

    let other = Double::start(world).await;
    let there = other.url.join(GRAPHQL).unwrap().to_string();
    let double = Double::start(move |_| Reply::text(307, "").with("Location", there.clone())).await;
    let github = forge(&double);
    let error = github
        .poll(Watch { repositories: &both(), reconcile: &[], branches: &[] }, &cursor())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ForgeErrorKind::Redirected);
    assert_eq!(github.repository("astro/pipe").await.unwrap_err().kind, ForgeErrorKind::Redirected);
    assert!(other.asked().is_empty());
}

async fn examined(activity: Reply) -> docent::core::pull::Examination {
    let double = Double::start(move |asked| match asked.path.strip_prefix(REST) {
        Some("/repos/astro/pipe/issues/comments/51") => Reply::json(rest_comment(51, 41)),
        Some("/repos/astro/pipe/pulls/41") => {
            let mut pull = rest_pull(41, 19);
            pull["head"]["repo"] = json!({"id": 23, "full_name": "mira/pipe"});
            Reply::json(pull)
        }
        Some("/repos/mira/pipe/activity") if asked.param("ref") == Some("refs/heads/fix") => activity.clone(),
        Some(path)
            if path == format!("/repos/astro/pipe/compare/{}...{}", "b".repeat(40), "c".repeat(40)) =>
        {
            assert_eq!(asked.param("page"), Some("2"), "the files are on the first page");
            Reply::json(json!({"merge_base_commit": {"sha": "e".repeat(40)}, "commits": []}))
        }
        Some("/repos/astro/pipe/collaborators/mira/permission") => Reply::json(
            json!({"permission": "write", "role_name": "maintain", "user": {"id": 7, "login": "mira"}}),
        ),
        Some("/orgs/astro/teams/curators/memberships/mira") => Reply::json(json!({"state": "active"})),
        Some("/orgs/astro/teams/guests/memberships/mira") => Reply::json(json!({"state": "pending"})),
        Some("/users/mira") => Reply::json(json!({"id": 7, "login": "mira"})),
        _ => world(asked),
    })
    .await;
    let comment = CommentId { repository: id(19), kind: CommentKind::Comment, number: 51 };
    let teams = vec!["astro/curators".into(), "astro/guests".into(), "astro/none".into()];
    let question = Question { permission: true, teams, author: None };
    forge(&double).examine(&both()[0], &comment, 41, &question).await.unwrap()
}

#[tokio::test]
async fn the_order_is_proven_by_the_record_of_the_head_branch() {
    let entry =
        |id: u64, after: &str, at: &str| json!({"id": id, "after": after.repeat(40), "timestamp": at});
    for (what, reply, order) in [
        ("before", Reply::json(json!([entry(1, "c", "2026-03-02T08:15:40Z")])), Order::HeadFirst),
        ("same second", Reply::json(json!([entry(1, "c", "2026-03-02T08:15:41Z")])), Order::Unproven),
        ("after", Reply::json(json!([entry(1, "c", "2026-03-02T08:15:42Z")])), Order::CommentFirst),
        (
            "newest is another",
            Reply::json(json!([
                entry(1, "c", "2026-03-02T08:15:30Z"),
                entry(2, "d", "2026-03-02T08:15:40Z")
            ])),
            Order::Unproven,
        ),
        ("none", Reply::json(json!([])), Order::Unproven),
        ("refused", Reply::message(403, "x"), Order::Unproven),
        ("nonsense", Reply::json(json!([{"id": "x"}])), Order::Unproven),
    ] {
        let seen = examined(reply).await;
        assert_eq!(seen.order, order, "{what}");
        assert_eq!(seen.permission, Some(Permission::Write));
        assert_eq!(seen.teams, ["astro/curators"]);
        assert_eq!(seen.pull.unwrap().merge_base.unwrap().as_str(), "e".repeat(40));
    }
}

#[tokio::test]
async fn who_pushed_the_head_is_told_where_the_record_says_so() {
    let entry = |after: &str, actor: Value| json!([{"id": 1, "after": after.repeat(40), "timestamp": "2026-03-02T08:15:42Z", "actor": actor}]);
    let mira = PushRecord { by: 7, recorded_at: time("2026-03-02T08:15:42Z") };
    for (what, reply, told) in [
        ("the head", entry("c", json!({"id": 7, "login": "mira"})), Some(mira)),
        ("another head", entry("d", json!({"id": 7, "login": "mira"})), None),
        ("nobody", entry("c", Value::Null), None),
    ] {
        assert_eq!(examined(Reply::json(reply)).await.push, told, "{what}");
    }
}

const KEY: &str = include_str!("forge_double/app-key-for-tests-only.pem");

fn app() -> GitHubCredential {
    GitHubCredential::App { app: "1234".into(), installation: 99, key: KEY.into() }
}

fn minted(asked: &Asked, granted: Value, of_app: Value, life: i64) -> Reply {
    let is_signed = asked.header("authorization").is_some_and(|value| value.matches('.').count() == 2);
    match (asked.method.as_str(), asked.path.strip_prefix(REST)) {
        ("POST", Some("/app/installations/99/access_tokens")) if is_signed => {
            let expires = time("2026-03-02T08:16:00Z") + docent::core::time::Duration::seconds(life);
            let mut reply =
                Reply::json(json!({"token": "ghs_minted", "expires_at": expires, "permissions": granted}));
            reply.status = 201;
            reply
        }
        ("GET", Some("/app")) if is_signed => Reply::json(json!({"slug": "docent", "permissions": of_app})),
        _ => world(asked),
    }
}

#[tokio::test]
async fn an_app_polls_with_a_minted_token_and_is_judged_by_its_key_too() {
    let read = json!({"metadata": "read", "contents": "read", "issues": "read", "pull_requests": "read"});
    let granted = read.clone();
    let double = Double::start(move |asked| minted(asked, granted.clone(), granted.clone(), 3600)).await;
    let github = GitHub::new("f", &double.url, app(), Bounds::default()).unwrap();
    for _ in 0..2 {
        assert_eq!(comments(&poll_of(&github, &cursor(), &[]).await), [PIPE, MAPS]);
    }
    let mints: Vec<Asked> =
        double.asked().into_iter().filter(|a| a.path.ends_with("/access_tokens")).collect();
    assert_eq!(mints.len(), 1, "one token serves until it is about to expire");
    assert_eq!(mints[0].body, json!({ "permissions": read }));
    let queries = double.asked().into_iter().filter(|asked| asked.path == GRAPHQL);
    assert!(
        queries
            .map(|q| q.header("authorization").unwrap().to_owned())
            .all(|held| held == "Bearer ghs_minted")
    );
    assert!(matches!(github.prove(&both()).await.unwrap(), Proof::ReadOnly { .. }));

    let granted = read.clone();
    let double = Double::start(move |asked| {
        minted(asked, granted.clone(), json!({"metadata": "read", "contents": "write"}), 3600)
    })
    .await;
    let github = GitHub::new("f", &double.url, app(), Bounds::default()).unwrap();
    let Proof::CanWrite { rights, .. } = github.prove(&both()).await.unwrap() else { panic!() };
    assert_eq!(rights, ["contents: write (App)"]);

    let double = Double::start(|asked| minted(asked, json!({"metadata": "read"}), json!({}), 0)).await;
    let github = GitHub::new("f", &double.url, app(), Bounds::default()).unwrap();
    for _ in 0..2 {
        poll_of(&github, &cursor(), &[]).await;
    }
    let mints = double
        .lines()
        .iter()
        .filter(|line| line.starts_with("POST") && line.ends_with("/access_tokens"))
        .count();
    assert_eq!(mints, 2, "a token that is over is made anew");

    let bad = GitHubCredential::App { app: "1".into(), installation: 1, key: "no key".into() };
    let error = GitHub::new("f", &double.url, bad, Bounds::default()).err().unwrap();
    assert!(error.detail.contains("PEM"), "{error}");
    let double = Double::start(|_| Reply::json(json!({"token": "ghs_leaky", "expires_at": 5}))).await;
    let github = GitHub::new("f", &double.url, app(), Bounds::default()).unwrap();
    let error = github.repository("a/b").await.unwrap_err();
    assert!(!format!("{error:?}").contains("ghs_leaky"), "{error:?}");
}

#[tokio::test]
async fn tokens_are_judged_by_what_github_says_of_them() {
    for (scopes, kind) in
        [(Some(" "), "read"), (Some("read:org"), "read"), (Some("repo, read:org"), "write"), (None, "?")]
    {
        let double = Double::start(move |_| {
            let reply = Reply::json(json!({"resources": {}}));
            match scopes {
                Some(scopes) => reply.with("X-OAuth-Scopes", scopes),
                None => reply,
            }
        })
        .await;
        let seen = match forge(&double).prove(&both()).await.unwrap() {
            Proof::ReadOnly { .. } => "read",
            Proof::CanWrite { .. } => "write",
            Proof::Unproven { .. } => "?",
        };
        assert_eq!(seen, kind, "{scopes:?}");
    }
    let double = Double::start(rest_world).await;
    let fine = GitHubCredential::Token("github_pat_x".into());
    let github = GitHub::new("f", &double.url, fine, Bounds::default()).unwrap();
    assert!(matches!(github.prove(&both()).await.unwrap(), Proof::Unproven { .. }));
    assert!(double.asked().iter().all(|asked| asked.method == "GET"));
}

#[tokio::test]
async fn one_comment_is_found_over_pages_edited_or_made_anew() {
    let answer = |asked: &Asked| {
        let path = asked.path.strip_prefix(REST).unwrap();
        let own = |number: u64, author: u64| {
            let mut comment = rest_comment(number, 41);
            comment["body"] = json!("<!-- docent:1f3a -->");
            comment["user"] = json!({"id": author, "login": "docent[bot]", "type": "Bot"});
            comment
        };
        match (asked.method.as_str(), path) {
            ("GET", "/user") => Reply::json(json!({"id": 40, "login": "docent"})),
            ("GET", "/repos/astro/pipe/issues/41/comments") if asked.param("page").is_none() => {
                let next =
                    format!("<http://{}{}?page=2>; rel=\"next\"", asked.header("host").unwrap(), asked.path);
                Reply::json(json!([own(5, 9)])).with("Link", next)
            }
            ("GET", "/repos/astro/pipe/issues/41/comments") => Reply::json(json!([own(7, 40)])),
            ("GET", "/repos/astro/maps/issues/42/comments") => Reply::json(json!([])),
            ("PATCH", "/repos/astro/pipe/issues/comments/7") => Reply::json(own(7, 40)),
            ("POST", "/repos/astro/maps/issues/42/comments") => Reply::json(own(900, 40)),
            _ => Reply::message(404, "Not Found"),
        }
    };
    let double = Double::start(answer).await;
    let reporter =
        GitHubReporter::new("f", &double.url, GitHubCredential::Token("t".into()), Bounds::default())
            .unwrap();
    let marker = "<!-- docent:1f3a -->";
    let began = std::time::Instant::now();
    let pull = PullId { repository: id(19), number: 41 };
    for known in [None, Some(7), Some(3)] {
        assert_eq!(reporter.comment(&both()[0], &pull, known, marker, "text").await.unwrap(), 7, "{known:?}");
    }
    let pull = PullId { repository: id(20), number: 42 };
    assert_eq!(reporter.comment(&both()[1], &pull, None, marker, "text").await.unwrap(), 900);
    assert!(began.elapsed() >= std::time::Duration::from_secs(4), "a second between two of the five writes");
    assert_eq!(reporter.comment_limit(), 60_000);
}

/// A repository with watched branches, as GraphQL gives it: each has all branches that were asked for.
fn with_branches(asked: &Asked, tip: impl Fn(u64, &str) -> Value) -> Reply {
    let variables = &asked.body["variables"];
    let text = asked.body["query"].as_str().unwrap();
    let nodes = variables["ids"].as_array().unwrap().iter().map(number_of).map(|number| {
        let mut node = json!({"databaseId": number, "nameWithOwner": format!("a/r{number}"),
            "pullRequests": {"nodes": [], "pageInfo": {"hasNextPage": false}}});
        for index in 0..10 {
            let name = format!("b{index}");
            if let Some(branch) = variables[&name].as_str() {
                assert!(text.contains(&format!("b{index}:ref(qualifiedName:$b{index})")), "{text}");
                node[&name] = tip(number, branch);
            }
        }
        node
    });
    Reply::json(json!({"data": {"nodes": nodes.collect::<Vec<_>>()}}))
}

fn branches(poll: &Poll) -> Vec<(u64, String, Option<char>)> {
    let branch = |seen: &Observation| match seen {
        Observation::Branch { branch, head, .. } => Some((
            branch.repository.number,
            branch.name.clone(),
            head.as_ref().and_then(|sha| sha.as_str().chars().next()),
        )),
        Observation::Pull { .. } | Observation::Comment(_) => None,
    };
    poll.observations.iter().filter_map(branch).collect()
}

#[tokio::test]
async fn branches_come_with_the_question_that_is_asked_anyway() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let is_pushed = std::sync::Arc::new(AtomicBool::new(false));
    let pushed = is_pushed.clone();
    let double = Double::start(move |asked| {
        with_branches(asked, |number, branch| match branch {
            "refs/heads/main" if number == 7 && pushed.load(Ordering::SeqCst) => {
                json!({"target": {"oid": "b".repeat(40)}})
            }
            "refs/heads/main" => json!({"target": {"oid": "a".repeat(40)}}),
            _ => Value::Null,
        })
    })
    .await;
    let many: Vec<Repository> = (1..=1000).map(|n| repository(n, &format!("a/r{n}"))).collect();
    let names = |n: u64| if n == 8 { vec!["main".into(), "dev".into()] } else { vec!["main".into()] };
    let watched: Vec<(u64, Vec<String>)> = (1..=1000).map(|n| (n, names(n))).collect();
    let watch = || Watch { repositories: &many, reconcile: &[], branches: &watched };
    let github = forge(&double);
    let first = github.poll(watch(), &Cursor::default()).await.unwrap();
    assert_eq!((first.requests, branches(&first).len()), (10, 1001));
    assert!(branches(&first).contains(&(8, "dev".into(), None)), "a branch that is not there");
    let second = github.poll(watch(), &first.cursor).await.unwrap();
    assert_eq!((second.requests, branches(&second)), (10, vec![]));
    is_pushed.store(true, Ordering::SeqCst);
    let third = github.poll(watch(), &second.cursor).await.unwrap();
    assert_eq!((third.requests, branches(&third)), (10, vec![(7, "main".into(), Some('b'))]));
}

#[tokio::test]
async fn a_branch_without_an_answer_costs_its_repository_only() {
    let double = Double::start(|asked| {
        with_branches(asked, |number, _| match number {
            19 => json!("nonsense"),
            _ => json!({"target": {"oid": "a".repeat(40)}}),
        })
    })
    .await;
    let watched = [(19, vec!["main".to_owned()]), (20, vec!["main".to_owned()])];
    let watch = Watch { repositories: &both(), reconcile: &[], branches: &watched };
    let poll = forge(&double).poll(watch, &cursor()).await.unwrap();
    assert_eq!(branches(&poll), [(20, "main".into(), Some('a'))]);
    assert!(poll.cursor.repositories[&19].is_behind && !poll.cursor.repositories[&20].is_behind);
}

#[tokio::test]
async fn branches_are_read_by_rest_where_graphql_is_not_to_be_had() {
    let double = Double::start(|asked| match asked.path.as_str() {
        "/api/v3/repos/astro/pipe/git/matching-refs/heads/release/1" => Reply::json(json!([
            {"ref": "refs/heads/release/10", "object": {"sha": "b".repeat(40)}},
            {"ref": "refs/heads/release/1", "object": {"sha": "a".repeat(40)}}])),
        "/api/v3/repos/astro/pipe/git/matching-refs/heads/gone" => Reply::json(json!([])),
        path if path.ends_with("/pulls") => Reply::json(json!([])),
        _ => Reply::message(404, "Not Found"),
    })
    .await;
    let github = GitHub::new("f", &double.url, GitHubCredential::Anonymous, Bounds::default()).unwrap();
    let watched = [(19, vec!["release/1".to_owned(), "gone".to_owned()])];
    let watch = Watch { repositories: &both()[..1], reconcile: &[], branches: &watched };
    let poll = github.poll(watch, &cursor()).await.unwrap();
    assert_eq!(poll.failures, []);
    assert_eq!(branches(&poll), [(19, "release/1".into(), Some('a')), (19, "gone".into(), None)]);
}
