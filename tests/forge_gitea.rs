//! The Gitea and Forgejo driver against answers of every kind, over real sockets.

mod forge_double;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use docent::core::id::{CommentId, CommentKind, PullId, RepositoryId};
use docent::core::pull::{Order, Permission, PushRecord, Repository};
use docent::core::time::Time;
use docent::forge::gitea::{Gitea, GiteaReporter, WriteProbe};
use docent::forge::http::Bounds;
use docent::forge::{
    Cursor, Forge, ForgeErrorKind, Observation, Poll, Proof, Question, Reporter, RepositoryCursor, Status,
    StatusState, Watch,
};
use forge_double::{Asked, Double, Reply, nonsense};
use serde_json::{Value, json};

const API: &str = "/api/v1";

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
        node: String::new(),
        default_branch: "main".into(),
        clone_url: "http://elsewhere.example/astro/pipe.git".into(),
        page_url: String::new(),
        is_writable: false,
        is_archived: false,
    }
}

fn both() -> Vec<Repository> {
    vec![repository(19, "astro/pipe"), repository(20, "astro/maps")]
}

const SEEN: &str = "2026-03-02T08:14:00Z";

fn cursor() -> Cursor {
    let entry = RepositoryCursor {
        read_to: time(SEEN),
        is_behind: false,
        reconciled_at: None,
        branches: Default::default(),
        unreadable: None,
    };
    Cursor {
        feeds: BTreeMap::from([("owner:3".to_owned(), time(SEEN))]),
        repositories: BTreeMap::from([(19, entry.clone()), (20, entry)]),
    }
}

fn user() -> Value {
    json!({"id": 7, "login": "mira", "full_name": ""})
}

fn changed(number: u64, repository: u64, name: &str, state: &str) -> Value {
    json!({"id": 800 + number, "number": number, "title": "t", "state": state, "user": user(),
        "updated_at": "2026-03-02T09:15:40+01:00", "pull_request": {"merged": false},
        "repository": {"id": repository, "name": "x", "owner": "astro", "full_name": name}})
}

fn pull(number: u64, repository: u64, name: &str, state: &str) -> Value {
    json!({"id": 300, "number": number, "title": "Fix", "user": user(), "state": state, "draft": false,
        "html_url": format!("http://f/{name}/pulls/{number}"), "updated_at": "2026-03-02T09:15:40+01:00",
        "base": {"label": "main", "ref": "main", "sha": "b".repeat(40), "repo_id": repository,
            "repo": {"id": repository, "full_name": name}},
        "head": {"label": "fix", "ref": "fix", "sha": "c".repeat(40), "repo_id": 23,
            "repo": {"id": 23, "full_name": "mira/pipe"}}})
}

fn comment(number: u64, pull: u64, body: &str) -> Value {
    json!({"id": number, "html_url": "h", "pull_request_url": format!("http://f/astro/x/pulls/{pull}"),
        "issue_url": "", "user": user(), "body": body, "assets": [],
        "created_at": "2026-03-02T09:15:40+01:00", "updated_at": "2026-03-02T08:15:40Z"})
}

/// Two repositories with one changed pull request and one comment each.
fn world(asked: &Asked) -> Reply {
    let path = asked.path.strip_prefix(API).unwrap_or(&asked.path);
    match path {
        "/repos/issues/search" => {
            Reply::json(json!([changed(41, 19, "astro/pipe", "open"), changed(42, 20, "astro/maps", "open")]))
                .with("X-Total-Count", "2")
        }
        "/repos/astro/pipe" => Reply::json(json!({"id": 19, "full_name": "astro/pipe", "owner": {"id": 3}})),
        "/repos/astro/maps" => Reply::json(json!({"id": 20, "full_name": "astro/maps", "owner": {"id": 3}})),
        "/repos/astro/pipe/pulls/41" => Reply::json(pull(41, 19, "astro/pipe", "open")),
        "/repos/astro/maps/pulls/42" => Reply::json(pull(42, 20, "astro/maps", "open")),
        "/repos/astro/pipe/pulls" if asked.param("state") == Some("open") => {
            Reply::json(json!([pull(41, 19, "astro/pipe", "open")])).with("X-Total-Count", "1")
        }
        "/repos/astro/maps/pulls" if asked.param("state") == Some("open") => {
            Reply::json(json!([pull(42, 20, "astro/maps", "open")])).with("X-Total-Count", "1")
        }
        "/repos/astro/pipe/issues/comments" => Reply::json(json!([comment(51, 41, "!testme")])),
        "/repos/astro/maps/issues/comments" => Reply::json(json!([comment(52, 42, "!testme")])),
        path if path.ends_with("/reviews") || path.ends_with("/pulls") => Reply::json(json!([])),
        _ => Reply::message(404, "not found"),
    }
}

fn forge(double: &Double) -> Gitea {
    let bounds = Bounds { time: Duration::from_secs(5), ..Bounds::default() };
    Gitea::new("f", &double.url, Some("s3cret-t0ken".into()), bounds).unwrap()
}

async fn poll_of(gitea: &Gitea, cursor: &Cursor, reconcile: &[RepositoryId]) -> Poll {
    gitea.poll(Watch { repositories: &both(), reconcile, branches: &[] }, cursor).await.unwrap()
}

fn pulls(poll: &Poll) -> Vec<u64> {
    let number = |seen: &Observation| match seen {
        Observation::Pull { pull, .. } => Some(pull.id.number),
        Observation::Branch { .. } | Observation::Comment(_) => None,
    };
    poll.observations.iter().filter_map(number).collect()
}

fn comments(poll: &Poll) -> Vec<(CommentKind, u64)> {
    let number = |seen: &Observation| match seen {
        Observation::Comment(comment) => Some((comment.id.kind, comment.id.number)),
        Observation::Branch { .. } | Observation::Pull { .. } => None,
    };
    poll.observations.iter().filter_map(number).collect()
}

#[tokio::test]
async fn a_poll_reads_what_changed_and_moves_on() {
    let double = Double::start(world).await;
    let poll = poll_of(&forge(&double), &cursor(), &[]).await;
    assert!(poll.failures.is_empty(), "{:?}", poll.failures);
    assert_eq!(pulls(&poll), [41, 42]);
    assert_eq!(comments(&poll), [(CommentKind::Comment, 51), (CommentKind::Comment, 52)]);
    assert_eq!(poll.requests, 7);
    assert!(poll.cursor.feeds["owner:3"] >= time("2026-03-02T08:15:50Z"));
    assert!(poll.cursor.repositories.values().all(|entry| !entry.is_behind && entry.read_to > time(SEEN)));
    let search = &double.asked()[0];
    assert_eq!(search.param("since"), Some("2026-03-02T08:12:30Z"), "the overlap, in UTC");
    assert_eq!(search.header("authorization"), Some("token s3cret-t0ken"));
    assert!(search.header("user-agent").is_some_and(|agent| agent.starts_with("docent/")));
    assert!(double.asked().iter().all(|asked| asked.method == "GET"));
    let Observation::Pull { pull, observed_at } = &poll.observations[0] else { panic!() };
    assert_eq!(*observed_at, time("2026-03-02T08:16:00Z"));
    assert!(pull.is_from_fork && pull.is_open);
    assert_eq!(pull.updated_at, time("2026-03-02T08:15:40Z"), "the offset counts");
}

#[tokio::test]
async fn a_thousand_idle_repositories_cost_one_request() {
    let double = Double::start(|_| Reply::json(json!([])).with("X-Total-Count", "0")).await;
    let many: Vec<Repository> = (1..=1000).map(|n| repository(n, &format!("astro/r{n}"))).collect();
    let entry = RepositoryCursor {
        read_to: time(SEEN),
        is_behind: false,
        reconciled_at: None,
        branches: Default::default(),
        unreadable: None,
    };
    let cursor = Cursor {
        feeds: BTreeMap::from([("owner:3".to_owned(), time(SEEN))]),
        repositories: (1..=1000).map(|n| (n, entry.clone())).collect(),
    };
    let gitea = forge(&double);
    let poll =
        gitea.poll(Watch { repositories: &many, reconcile: &[], branches: &[] }, &cursor).await.unwrap();
    assert_eq!((poll.requests, double.asked().len()), (1, 1));
    let first = gitea
        .poll(Watch { repositories: &many, reconcile: &[], branches: &[] }, &Cursor::default())
        .await
        .unwrap();
    assert_eq!(first.requests, 1, "the first start asks what is open at all");
    assert_eq!(first.cursor.repositories.len(), 1000);
}

#[tokio::test]
async fn the_first_start_observes_what_is_open_and_no_comment() {
    let double = Double::start(|asked| match asked.param("since") {
        Some(_) if asked.path.ends_with("/issues/search") => {
            let mut entry = changed(41, 19, "astro/pipe", "open");
            entry["updated_at"] = json!("2026-03-02T08:16:00Z");
            Reply::json(json!([entry, changed(42, 20, "astro/maps", "open")]))
        }
        _ => world(asked),
    })
    .await;
    let gitea = forge(&double);
    let poll = poll_of(&gitea, &Cursor::default(), &[]).await;
    assert_eq!((pulls(&poll), comments(&poll)), (vec![41, 42], vec![]));
    assert_eq!(double.asked()[0].param("state"), Some("open"));
    // The comments of the world are 20 s old: a second poll must not report them although the overlap reaches back.
    double.forget();
    poll_of(&gitea, &poll.cursor, &[]).await;
    let asked = double.asked();
    let read = asked.iter().find(|asked| asked.path.ends_with("/issues/comments")).unwrap();
    assert!(time(read.param("since").unwrap()) >= time("2026-03-02T08:15:58Z"), "{read:?}");
    assert_eq!(read.path, "/api/v1/repos/astro/pipe/issues/comments");
}

#[tokio::test]
async fn closed_pull_requests_and_reviews_are_observed() {
    let double = Double::start(|asked| match asked.path.as_str() {
        "/api/v1/repos/issues/search" => Reply::json(json!([changed(41, 19, "astro/pipe", "closed")])),
        "/api/v1/repos/astro/pipe/pulls/41" => Reply::json(pull(41, 19, "astro/pipe", "closed")),
        "/api/v1/repos/astro/pipe/pulls/41/reviews" => Reply::json(json!([
            {"id": 1, "user": user(), "state": "COMMENT", "body": "!testme", "html_url": "h",
             "submitted_at": "2026-03-02T08:15:41Z", "updated_at": "2026-03-02T08:15:41Z"},
            {"id": 2, "user": user(), "state": "REQUEST_REVIEW", "body": "",
             "submitted_at": "2026-03-02T08:15:41Z", "updated_at": "2026-03-02T08:15:41Z"},
            {"id": 3, "user": null, "state": "NEW_WORD", "body": "old",
             "submitted_at": "2025-03-02T08:15:41Z", "updated_at": "2025-03-02T08:15:41Z"},
            {"id": 4, "user": user(), "state": "APPROVED", "body": "begun before it was sent",
             "submitted_at": "2026-03-02T08:15:01Z", "updated_at": "2026-03-02T08:15:41Z"},
        ])),
        "/api/v1/repos/astro/pipe/issues/41/timeline" => Reply::json(json!([
            {"id": 90, "type": "review", "review_id": 4, "body": "begun before it was sent",
             "created_at": "2026-03-02T08:15:41Z", "updated_at": "2026-03-02T08:15:41Z"}])),
        _ => world(asked),
    })
    .await;
    let poll = poll_of(&forge(&double), &cursor(), &[]).await;
    assert!(poll.failures.is_empty(), "{:?}", poll.failures);
    let seen = comments(&poll);
    assert!(seen.contains(&(CommentKind::Review, 1)) && seen.contains(&(CommentKind::Review, 4)), "{seen:?}");
    assert_eq!(seen.len(), 3);
    let is_open =
        poll.observations.iter().any(|seen| matches!(seen, Observation::Pull { pull, .. } if pull.is_open));
    assert!(!is_open);
    let edited = |seen: &&Observation| matches!(seen, Observation::Comment(comment) if comment.is_edited);
    assert_eq!(poll.observations.iter().filter(edited).count(), 0);
}

#[tokio::test]
async fn many_pages_with_and_without_link_are_all_read() {
    for with_link in [true, false] {
        let double = Double::start(move |asked| {
            if !asked.path.ends_with("/issues/search") {
                return world(asked);
            }
            let page: u64 = asked.param("page").unwrap().parse().unwrap();
            // The server clamps the asked size to three.
            let all: Vec<Value> = (1..=8).map(|n| changed(n, 19, "astro/pipe", "open")).collect();
            let from = (page as usize - 1) * 3;
            let items = all.get(from..(from + 3).min(all.len())).unwrap_or_default();
            let reply = Reply::json(json!(items));
            match with_link {
                true if page < 3 => {
                    reply.with("Link", "<http://localhost:3211/api/v1/x?page=2>; rel=\"next\"")
                }
                true => reply.with("Link", "<http://localhost:3211/api/v1/x?page=1>; rel=\"first\""),
                false => reply,
            }
        })
        .await;
        poll_of(&forge(&double), &cursor(), &[]).await;
        let pages: Vec<String> = double
            .asked()
            .iter()
            .filter(|asked| asked.path.ends_with("/issues/search"))
            .map(|asked| asked.param("page").unwrap().to_owned())
            .collect();
        let expected: &[&str] = if with_link { &["1", "2", "3", "1"] } else { &["1", "2", "3", "4", "1"] };
        assert_eq!(pages, expected, "the first page is read again, for what shifted");
    }
}

#[tokio::test]
async fn pages_without_an_end_do_not_move_the_cursor() {
    let double = Double::start(|asked| match asked.path.ends_with("/issues/search") {
        true => world(asked).with("Link", "<http://x/?page=9>; rel=next"),
        false => world(asked),
    })
    .await;
    let error = forge(&double)
        .poll(Watch { repositories: &both(), reconcile: &[], branches: &[] }, &cursor())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ForgeErrorKind::Malformed);
    assert!(double.asked().len() < 20);
}

/// Bad answers to one question about the repository `pipe`.
fn bad_answers() -> Vec<(String, &'static str, Reply)> {
    let mut table = Vec::new();
    let questions = [
        "/repos/astro/pipe/pulls/41",
        "/repos/astro/pipe/issues/comments",
        "/repos/astro/pipe/pulls/41/reviews",
    ];
    for question in questions {
        for (what, body) in nonsense() {
            table.push((format!("{question}: {what}"), question, Reply::text(200, body)));
        }
        for status in [400, 403, 409, 418, 422, 451, 500, 502, 503, 504] {
            table.push((format!("{question}: {status}"), question, Reply::message(status, "no")));
        }
        let cut = Reply::text(200, "[{\"id\":1}]").cut(5);
        table.push((format!("{question}: cut"), question, cut));
        let large = Reply::text(200, vec![b' '; 40 << 20]);
        table.push((format!("{question}: too large"), question, large));
    }
    for (what, change) in [
        ("head null", json!({"head": null})),
        ("head text", json!({"head": "x"})),
        ("head sha short", json!({"head": {"ref": "x", "sha": "abc"}})),
        ("head sha null", json!({"head": {"ref": "x", "sha": null}})),
        ("head ref number", json!({"head": {"ref": 7, "sha": "c".repeat(40)}})),
        ("base null", json!({"base": null})),
        ("base of nobody", json!({"base": {"ref": "main", "sha": "b".repeat(40), "repo_id": 0}})),
        ("number nought", json!({"number": 0})),
        ("number below nought", json!({"number": -41})),
        ("number huge", json!({"number": 1e30})),
        ("number text", json!({"number": "41"})),
        ("state null", json!({"state": null})),
        ("time yesterday", json!({"updated_at": "yesterday"})),
        ("time number", json!({"updated_at": 1_700_000_000})),
        ("time far", json!({"updated_at": "999999-01-01T00:00:00Z"})),
        ("time null", json!({"updated_at": null})),
        ("user text", json!({"user": "mira"})),
        ("user id text", json!({"user": {"id": "7", "login": "mira"}})),
        ("title list", json!({"title": []})),
    ] {
        let mut bad = pull(41, 19, "astro/pipe", "open");
        bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        table.push((format!("pull: {what}"), questions[0], Reply::json(bad)));
    }
    for (what, change) in [
        ("id nought", json!({"id": 0})),
        ("id half", json!({"id": 1.5})),
        ("id text", json!({"id": "51"})),
        ("body number", json!({"body": 9})),
        ("created never", json!({"created_at": null})),
        ("updated empty", json!({"updated_at": ""})),
        ("user list", json!({"user": []})),
        ("user id huge", json!({"user": {"id": u64::MAX, "login": "x"}})),
        ("address number", json!({"pull_request_url": 41})),
    ] {
        let mut bad = comment(51, 41, "!testme");
        bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        table.push((format!("comment: {what}"), questions[1], Reply::json(json!([bad]))));
    }
    table
}

#[tokio::test]
async fn a_malformed_answer_costs_its_own_repository_only() {
    let table = bad_answers();
    assert!(table.len() >= 40, "{}", table.len());
    for (what, question, reply) in table {
        let double = Double::start(move |asked| match asked.path.strip_prefix(API) {
            Some(path) if path == question => reply.clone(),
            _ => world(asked),
        })
        .await;
        let poll = poll_of(&forge(&double), &cursor(), &[]).await;
        // An empty list of one sort of things is an answer; everything else in the table is none.
        let entry = &poll.cursor.repositories[&19];
        assert!(entry.is_behind && entry.read_to == time(SEEN), "{what}: {entry:?}, {:?}", poll.failures);
        assert!(poll.failures.iter().any(|(whose, _)| *whose == Some(id(19))), "{what}");
        assert!(comments(&poll).contains(&(CommentKind::Comment, 52)), "{what}: the other is served");
        let other = &poll.cursor.repositories[&20];
        assert!(!other.is_behind && other.read_to > time(SEEN), "{what}: {other:?}");
        assert!(poll.cursor.feeds["owner:3"] > time(SEEN), "{what}");
        for (_, error) in &poll.failures {
            assert!(!error.to_string().contains("s3cret") && error.detail.len() < 900, "{what}: {error}");
        }
    }
}

#[tokio::test]
async fn what_can_never_be_read_is_asked_for_ever_more_seldom_and_hides_nothing_else() {
    /// The search shows number 41 first, later once number 43, else nothing; 41 is malformed until it is mended.
    static SHOWN: AtomicUsize = AtomicUsize::new(41);
    static IS_MENDED: AtomicBool = AtomicBool::new(false);
    let pull_41 = || match IS_MENDED.load(Ordering::SeqCst) {
        true => pull(41, 19, "astro/pipe", "open"),
        false => json!({"number": 41, "base": {"repo_id": 19}}),
    };
    let double = Double::start(move |asked| match asked.path.strip_prefix(API).unwrap() {
        "/repos/issues/search" => match SHOWN.load(Ordering::SeqCst) as u64 {
            0 => Reply::json(json!([])),
            number => Reply::json(json!([changed(number, 19, "astro/pipe", "open")])),
        },
        "/repos/astro/pipe/pulls/41" => Reply::json(pull_41()),
        "/repos/astro/pipe/pulls/43" => Reply::json(pull(43, 19, "astro/pipe", "open")),
        "/repos/astro/pipe/pulls" if asked.param("state") == Some("open") => {
            Reply::json(json!([pull_41(), pull(43, 19, "astro/pipe", "open")])).with("X-Total-Count", "2")
        }
        "/repos/astro/pipe/issues/comments" => {
            Reply::json(json!([comment(51, 41, "!testme"), comment(53, 43, "!testme")]))
        }
        _ => world(asked),
    })
    .await;
    let gitea = forge(&double);
    let mut cursor = cursor();
    let is_read_whole = async |cursor: &mut Cursor| {
        double.forget();
        let poll = poll_of(&gitea, cursor, &[]).await;
        *cursor = poll.cursor.clone();
        (double.asked().iter().any(|asked| asked.path.ends_with("/pipe/pulls")), poll)
    };
    let mut whole = Vec::new();
    for number in 0..40 {
        let (is_whole, poll) = is_read_whole(&mut cursor).await;
        SHOWN.store(0, Ordering::SeqCst);
        assert_eq!(poll.failures.len(), 1, "it goes on being told: {:?}", poll.failures);
        assert!(cursor.repositories[&19].is_behind && cursor.repositories[&19].read_to == time(SEEN));
        whole.extend(is_whole.then_some(number));
    }
    assert_eq!(whole, [1, 3, 7, 15, 31]);

    SHOWN.store(43, Ordering::SeqCst);
    let (is_whole, poll) = is_read_whole(&mut cursor).await;
    SHOWN.store(0, Ordering::SeqCst);
    assert!(!is_whole && pulls(&poll) == [43], "{:?}", pulls(&poll));
    assert!(comments(&poll).contains(&(CommentKind::Comment, 53)), "a rest is no rest for the others");
    assert!(cursor.repositories[&19].is_behind && cursor.repositories[&19].read_to == time(SEEN));

    IS_MENDED.store(true, Ordering::SeqCst);
    let mut polls = 0;
    while cursor.repositories[&19].is_behind {
        polls += 1;
        let (is_whole, poll) = is_read_whole(&mut cursor).await;
        assert_eq!(is_whole, poll.failures.is_empty());
        assert_eq!(
            is_whole,
            comments(&poll).contains(&(CommentKind::Comment, 51)),
            "what was missed is seen"
        );
    }
    assert!(polls <= 16, "{polls}");
    assert_eq!(cursor.repositories[&19].unreadable, None);
}

#[tokio::test]
async fn a_malformed_search_moves_no_cursor() {
    let mut table = nonsense();
    table.push(("an object", b"{}".to_vec()));
    table.push(("an entry of nobody", b"[{\"number\":41,\"state\":\"open\"}]".to_vec()));
    for (what, body) in table {
        let reply = Reply::text(200, body);
        let double = Double::start(move |asked| match asked.path.ends_with("/issues/search") {
            true => reply.clone(),
            false => world(asked),
        })
        .await;
        let watch = both();
        let reconcile = [id(20)];
        let poll = forge(&double)
            .poll(Watch { repositories: &watch, reconcile: &reconcile, branches: &[] }, &cursor())
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(poll.cursor.feeds["owner:3"], time(SEEN), "{what}");
        assert!(!poll.failures.is_empty(), "{what}");
        assert_eq!(comments(&poll), [(CommentKind::Comment, 52)], "{what}: the slow lane goes on");
    }
}

#[tokio::test]
async fn an_unreadable_entry_that_names_its_repository_is_read_another_way() {
    let double = Double::start(|asked| match asked.path.ends_with("/issues/search") {
        true => Reply::json(json!([
            {"number": "?", "repository": {"id": 19}},
            changed(42, 20, "astro/maps", "open")
        ])),
        false => world(asked),
    })
    .await;
    let poll = poll_of(&forge(&double), &cursor(), &[]).await;
    assert_eq!(pulls(&poll), [41, 42]);
    assert_eq!(comments(&poll).len(), 2);
    assert_eq!(poll.failures.len(), 1);
    assert!(poll.cursor.feeds["owner:3"] > time(SEEN));
}

#[tokio::test]
async fn a_repository_that_is_behind_is_read_whole_from_where_it_was() {
    let double = Double::start(|asked| match asked.path.ends_with("/issues/search") {
        true => Reply::json(json!([])),
        false => world(asked),
    })
    .await;
    let mut cursor = cursor();
    let entry = cursor.repositories.get_mut(&19).unwrap();
    (entry.is_behind, entry.read_to) = (true, time("2026-03-01T08:14:00Z"));
    let poll = poll_of(&forge(&double), &cursor, &[]).await;
    assert_eq!((pulls(&poll), comments(&poll)), (vec![41], vec![(CommentKind::Comment, 51)]));
    let asked = double.asked();
    let read = asked.iter().find(|asked| asked.path.ends_with("/issues/comments")).unwrap();
    assert_eq!(read.param("since"), Some("2026-03-01T08:12:30Z"));
    let entry = &poll.cursor.repositories[&19];
    assert!(!entry.is_behind && entry.reconciled_at.is_some());
    assert!(asked.iter().any(|asked| asked.param("state") == Some("closed")), "what was closed meanwhile");
}

#[tokio::test]
async fn statuses_have_their_kinds() {
    for (status, kind) in [
        (401, ForgeErrorKind::Unauthorised),
        (403, ForgeErrorKind::Forbidden),
        (404, ForgeErrorKind::NotFound),
        (410, ForgeErrorKind::NotFound),
        (429, ForgeErrorKind::Limited),
        (422, ForgeErrorKind::Refused),
        (500, ForgeErrorKind::Broken),
        (503, ForgeErrorKind::Broken),
        (304, ForgeErrorKind::Redirected),
    ] {
        let double = Double::start(move |_| Reply::message(status, "no s3cret-t0ken here")).await;
        let error = forge(&double).repository("astro/pipe").await.unwrap_err();
        assert_eq!(error.kind, kind, "{status}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert_eq!(error.what, "GET /api/v1/repos/astro/pipe");
    }
}

#[tokio::test]
async fn limits_are_heeded_until_they_end() {
    for (value, seconds) in
        [("7", 7), ("Mon, 02 Mar 2026 08:16:30 GMT", 30), ("soon", 60), ("99999999", 3600)]
    {
        let double =
            Double::start(move |_| Reply::message(429, "slow down").with("Retry-After", value)).await;
        let gitea = forge(&double);
        let error = gitea.repository("astro/pipe").await.unwrap_err();
        assert_eq!((error.kind, error.retry_after), (ForgeErrorKind::Limited, Some(seconds)), "{value}");
        let again = gitea.repository("astro/pipe").await.unwrap_err();
        assert_eq!(again.kind, ForgeErrorKind::Limited);
        assert_eq!(double.asked().len(), 1, "a limited forge is not asked again");
    }
    let double = Double::start(|asked| match asked.path.ends_with("/pulls/41") {
        true => Reply::message(429, "slow down").with("Retry-After", "40"),
        false => world(asked),
    })
    .await;
    let poll = poll_of(&forge(&double), &cursor(), &[]).await;
    assert_eq!(poll.pause.map(|pause| pause.num_seconds()), Some(40));
    assert!(poll.cursor.repositories.values().all(|entry| entry.is_behind && entry.read_to == time(SEEN)));
    assert_eq!(double.asked().len(), 2, "the rest of the poll is left");
}

#[tokio::test]
async fn a_dead_forge_is_not_asked_a_thousand_times() {
    let double = Double::start(|asked| match asked.path.ends_with("/issues/search") {
        true => Reply::json(json!(
            (1..=100).map(|n| changed(n, n, &format!("astro/r{n}"), "open")).collect::<Vec<_>>()
        ))
        .with("X-Total-Count", "100"),
        false => Reply::message(502, "bad gateway"),
    })
    .await;
    let many: Vec<Repository> = (1..=100).map(|n| repository(n, &format!("astro/r{n}"))).collect();
    let entry = RepositoryCursor {
        read_to: time(SEEN),
        is_behind: false,
        reconciled_at: None,
        branches: Default::default(),
        unreadable: None,
    };
    let cursor = Cursor {
        feeds: BTreeMap::from([("owner:3".to_owned(), time(SEEN))]),
        repositories: (1..=100).map(|n| (n, entry.clone())).collect(),
    };
    let poll = forge(&double)
        .poll(Watch { repositories: &many, reconcile: &[], branches: &[] }, &cursor)
        .await
        .unwrap();
    assert!(double.asked().len() < 20, "{}", double.asked().len());
    assert!(poll.cursor.repositories.values().all(|entry| entry.is_behind));
}

#[tokio::test]
async fn a_forge_that_is_not_there_is_an_error_and_the_caller_keeps_its_cursor() {
    let url = Double::start(|_| Reply::json(json!([]))).await.url.clone();
    let gitea = Gitea::new("f", &url, None, Bounds::default()).unwrap();
    let error = gitea
        .poll(Watch { repositories: &both(), reconcile: &[], branches: &[] }, &cursor())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ForgeErrorKind::Unreachable);
}

#[tokio::test]
async fn a_slow_forge_is_given_up_and_an_answer_without_a_clock_is_none() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url::Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let bounds = Bounds { time: Duration::from_millis(300), body: 1000 };
    let error = Gitea::new("f", &url, None, bounds).unwrap().repository("a/b").await.unwrap_err();
    assert_eq!(error.kind, ForgeErrorKind::Unreachable);

    let double = Double::start(|asked| world(asked).with("Date", "")).await;
    let error = forge(&double)
        .poll(Watch { repositories: &both(), reconcile: &[], branches: &[] }, &cursor())
        .await
        .unwrap_err();
    assert!(error.detail.contains("Date"), "{error}");
}

#[tokio::test]
async fn a_redirect_to_another_host_gets_nothing() {
    let other = Double::start(world).await;
    let there = other.url.clone();
    let double = Double::start(move |asked| {
        Reply::text(301, "").with("Location", there.join(&asked.path).unwrap().to_string())
    })
    .await;
    let error = forge(&double).repository("astro/pipe").await.unwrap_err();
    assert_eq!(error.kind, ForgeErrorKind::Redirected);
    assert!(other.asked().is_empty(), "the other host was not asked at all");

    let double = Double::start(|_| Reply::text(302, "").with("Location", "/around")).await;
    assert_eq!(forge(&double).repository("astro/pipe").await.unwrap_err().kind, ForgeErrorKind::Redirected);
    assert_eq!(double.asked().len(), 6);
}

#[tokio::test]
async fn a_rename_is_followed_and_told() {
    for status in [301, 307] {
        let double = Double::start(move |asked| match asked.path.as_str() {
            "/api/v1/repos/astro/pipe" => {
                Reply::text(status, "").with("Location", "/api/v1/repos/astro/tube")
            }
            "/api/v1/repos/astro/tube" => {
                Reply::json(json!({"id": 19, "full_name": "astro/tube", "owner": {"id": 3}}))
            }
            "/api/v1/repos/issues/search" => Reply::json(json!([changed(41, 19, "astro/tube", "open")])),
            "/api/v1/repos/astro/tube/pulls/41" => Reply::json(pull(41, 19, "astro/tube", "open")),
            "/api/v1/repos/astro/tube/issues/comments" => Reply::json(json!([comment(51, 41, "!testme")])),
            _ => world(asked),
        })
        .await;
        let gitea = forge(&double);
        assert_eq!(gitea.repository("astro/pipe").await.unwrap().name, "astro/tube");
        let poll = poll_of(&gitea, &cursor(), &[]).await;
        assert_eq!(poll.renamed, [(19, "astro/tube".to_owned())]);
        assert_eq!(comments(&poll), [(CommentKind::Comment, 51)]);
    }
}

#[tokio::test]
async fn a_name_that_now_means_another_repository_is_not_believed() {
    let double = Double::start(|asked| match asked.path.as_str() {
        "/api/v1/repos/issues/search" => Reply::json(json!([])),
        "/api/v1/repos/astro/pipe/pulls" => Reply::json(json!([pull(41, 77, "astro/pipe", "open")])),
        _ => world(asked),
    })
    .await;
    let poll = poll_of(&forge(&double), &cursor(), &[id(19)]).await;
    assert!(poll.observations.is_empty(), "{:?}", poll.observations);
    assert!(poll.cursor.repositories[&19].is_behind);
    assert!(poll.failures[0].1.detail.contains("repository 77"), "{:?}", poll.failures);
}

#[tokio::test]
async fn a_renamed_owner_is_found_by_his_repositories() {
    let double = Double::start(|asked| match asked.path.as_str() {
        "/api/v1/repos/issues/search" => Reply::message(400, "user does not exist"),
        "/api/v1/repos/astro/pipe" => Reply::text(307, "").with("Location", "/api/v1/repos/space/pipe"),
        "/api/v1/repos/space/pipe" => {
            Reply::json(json!({"id": 19, "full_name": "space/pipe", "owner": {"id": 3}}))
        }
        _ => world(asked),
    })
    .await;
    let poll = poll_of(&forge(&double), &cursor(), &[id(20)]).await;
    assert_eq!(poll.renamed, [(19, "space/pipe".to_owned())]);
    assert_eq!(poll.cursor.feeds["owner:3"], time(SEEN));
}

#[tokio::test]
async fn large_and_many_comments_are_read() {
    let double = Double::start(|asked| match asked.path.as_str() {
        "/api/v1/repos/astro/pipe/issues/comments" => {
            Reply::json((1..=10_000).map(|n| comment(n, 41, "text")).collect())
        }
        "/api/v1/repos/astro/maps/issues/comments" => {
            Reply::json(json!([comment(52, 42, &"<".repeat(1_000_000))]))
        }
        _ => world(asked),
    })
    .await;
    let poll = poll_of(&forge(&double), &cursor(), &[]).await;
    assert!(poll.failures.is_empty());
    assert_eq!(comments(&poll).len(), 10_001);
}

#[tokio::test]
async fn what_is_too_large_in_one_answer_is_read_in_pages_and_one_monster_costs_itself() {
    let double = Double::start(|asked| {
        if asked.path != "/api/v1/repos/astro/pipe/issues/comments" {
            return world(asked);
        }
        let body = |n| if n == 7 { 60_000 } else { 8_000 };
        let all: Vec<Value> = (1..=12).map(|n| comment(n, 41, &"x".repeat(body(n)))).collect();
        let Some(page) = asked.param("page") else { return Reply::json(json!(all)) };
        let limit: usize = asked.param("limit").unwrap().parse().unwrap();
        let from = (page.parse::<usize>().unwrap() - 1) * limit;
        let items = all.get(from..(from + limit).min(12)).unwrap_or_default();
        Reply::json(json!(items)).with("X-Total-Count", "12")
    })
    .await;
    let gitea = Gitea::new("f", &double.url, None, Bounds { body: 50_000, ..Bounds::default() }).unwrap();
    let poll = poll_of(&gitea, &cursor(), &[]).await;
    let read: Vec<u64> = comments(&poll).iter().map(|(_, number)| *number).filter(|n| *n < 50).collect();
    assert_eq!(read, [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12]);
    assert!(poll.cursor.repositories[&19].is_behind);
    assert!(!poll.cursor.repositories[&20].is_behind);
}

fn push(id: u64, ids: &[&str], is_force: bool) -> Value {
    let body = json!({"is_force_push": is_force, "commit_ids": ids}).to_string();
    json!({"id": id, "type": "pull_push", "body": body, "review_id": 0, "user": user(),
        "created_at": "2026-03-02T08:15:00Z", "updated_at": "2026-03-02T08:15:00Z"})
}

async fn examined(timeline: Reply, kind: CommentKind) -> docent::core::pull::Examination {
    let double = Double::start(move |asked| match asked.path.strip_prefix(API).unwrap() {
        "/repos/astro/pipe/issues/comments/51" => Reply::json(comment(51, 41, "!testme")),
        "/repos/astro/pipe/pulls/41/reviews/51" => {
            Reply::json(json!({"id": 51, "user": user(), "state": "COMMENT",
            "body": "!testme", "submitted_at": "2026-03-02T08:15:41Z", "updated_at": "2026-03-02T08:15:41Z"}))
        }
        "/repos/astro/pipe/issues/41/timeline" => timeline.clone(),
        "/repos/astro/pipe/collaborators/mira/permission" => {
            Reply::json(json!({"permission": "owner", "user": user()}))
        }
        "/orgs/astro/teams" => Reply::json(json!([{"id": 5, "name": "Curators"}])),
        "/teams/5/members/mira" => Reply::json(user()),
        _ => world(asked),
    })
    .await;
    let comment = CommentId { repository: id(19), kind, number: 51 };
    let question = Question {
        permission: true,
        teams: vec!["astro/curators".into(), "astro/nobody".into(), "other/team".into(), "bad".into()],
        author: None,
    };
    forge(&double).examine(&both()[0], &comment, 41, &question).await.unwrap()
}

#[tokio::test]
async fn the_order_is_proven_by_the_record_or_not_at_all() {
    let (c, d) = ("c".repeat(40), "d".repeat(40));
    let review = json!({"id": 60, "type": "review", "review_id": 51, "body": "!testme",
        "created_at": "2026-03-02T08:15:41Z", "updated_at": "2026-03-02T08:15:41Z"});
    let edited = json!({"id": 60, "type": "review", "review_id": 51, "body": "!testme --full",
        "created_at": "2026-03-02T08:15:41Z", "updated_at": "2026-03-02T08:15:49Z"});
    let of = |items: Value| Reply::json(items);
    let kind = CommentKind::Comment;
    for (what, timeline, kind, order) in [
        ("push before", of(json!([push(50, &[&d, &c], false)])), kind, Order::HeadFirst),
        (
            "force push before",
            of(json!([push(49, &[&d], false), push(50, &[&d, &c], true)])),
            kind,
            Order::HeadFirst,
        ),
        (
            "push after",
            of(json!([push(50, &[&d], false), push(52, &[&c], false)])),
            kind,
            Order::CommentFirst,
        ),
        ("another head", of(json!([push(50, &[&d], false)])), kind, Order::Unproven),
        ("no push", of(json!([])), kind, Order::Unproven),
        ("null", of(Value::Null), kind, Order::Unproven),
        ("no commits", of(json!([push(50, &[], false)])), kind, Order::Unproven),
        (
            "unreadable newest",
            of(json!([push(40, &[&c], false), push(50, &["?"], false)])),
            kind,
            Order::Unproven,
        ),
        ("bad entry", of(json!([push(50, &[&c], false), {"id": "x"}])), kind, Order::Unproven),
        ("broken", Reply::message(500, "x"), kind, Order::Unproven),
        ("review", of(json!([push(55, &[&c], false), review])), CommentKind::Review, Order::HeadFirst),
        (
            "review first",
            of(json!([push(65, &[&c], false), review])),
            CommentKind::Review,
            Order::CommentFirst,
        ),
        ("review unlisted", of(json!([push(50, &[&c], false)])), CommentKind::Review, Order::Unproven),
    ] {
        let seen = examined(timeline, kind).await;
        assert_eq!(seen.order, order, "{what}");
        assert!(!seen.comment.unwrap().is_edited, "{what}");
        assert_eq!(seen.permission, Some(Permission::Admin));
        assert_eq!(seen.teams, ["astro/curators"]);
    }
    let seen = examined(of(json!([edited])), CommentKind::Review).await;
    assert!(seen.comment.unwrap().is_edited);
}

#[tokio::test]
async fn who_pushed_the_head_is_told_where_the_record_says_so() {
    let (c, d) = ("c".repeat(40), "d".repeat(40));
    let without = |user: Value| {
        let mut push = push(52, &[&c], false);
        push["user"] = user;
        push
    };
    let mira = PushRecord { by: 7, recorded_at: time("2026-03-02T08:15:00Z") };
    for (what, timeline, told) in [
        ("after the comment", json!([push(50, &[&d], false), push(52, &[&c], false)]), Some(mira.clone())),
        ("before it", json!([push(50, &[&c], false)]), Some(mira)),
        ("another head", json!([push(50, &[&c], false), push(52, &[&d], false)]), None),
        ("nobody", json!([without(Value::Null)]), None),
        ("a ghost", json!([without(json!({"id": -1}))]), None),
        ("number 0", json!([without(json!({"id": 0}))]), None),
    ] {
        assert_eq!(examined(Reply::json(timeline), CommentKind::Comment).await.push, told, "{what}");
    }
}

#[tokio::test]
async fn examining_what_is_gone_or_not_answered() {
    let comment_id = CommentId { repository: id(19), kind: CommentKind::Comment, number: 51 };
    let question = Question { permission: true, teams: vec!["astro/curators".into()], author: None };
    for status in [404, 204, 410] {
        let double = Double::start(move |asked| match asked.path.contains("/comments/51") {
            true => Reply::text(status, ""),
            false => world(asked),
        })
        .await;
        let seen = forge(&double).examine(&both()[0], &comment_id, 41, &question).await.unwrap();
        assert!(seen.comment.is_none() && seen.pull.is_some() && seen.teams.is_empty(), "{status}");
    }
    // Refused and foreign answers on permission and teams stay unanswered.
    for reply in [
        Reply::message(403, "Only admins can query all permissions"),
        Reply::message(500, "x"),
        Reply::json(json!({"permission": "admin", "user": {"id": 8, "login": "mira"}})),
        Reply::json(json!({"permission": "admin"})),
        Reply::json(json!({"permission": "emperor", "user": user()})),
    ] {
        let double = Double::start(move |asked| match asked.path.strip_prefix(API).unwrap() {
            "/repos/astro/pipe/issues/comments/51" => Reply::json(comment(51, 41, "!testme")),
            path if path.ends_with("/permission") || path.starts_with("/orgs/") => reply.clone(),
            _ => world(asked),
        })
        .await;
        let seen = forge(&double).examine(&both()[0], &comment_id, 41, &question).await.unwrap();
        assert_eq!((seen.permission, seen.teams.len()), (None, 0));
    }
    // A forge that is down is not «deleted»; a comment of another pull request is not the one asked for.
    let double = Double::start(|_| Reply::message(502, "x")).await;
    assert!(forge(&double).examine(&both()[0], &comment_id, 41, &question).await.is_err());
    let double = Double::start(|asked| match asked.path.contains("/comments/51") {
        true => Reply::json(comment(51, 99, "!testme")),
        false => world(asked),
    })
    .await;
    let seen = forge(&double).examine(&both()[0], &comment_id, 41, &question).await.unwrap();
    assert!(seen.comment.is_none());
}

async fn proven(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Proof {
    let double = Double::start(answer).await;
    let mut repositories = both();
    repositories[0].is_writable = true;
    let proof = forge(&double).prove(&repositories).await.unwrap();
    assert!(double.asked().iter().all(|asked| asked.method == "GET"), "the proof is made by GET alone");
    proof
}

const ABSENT: &str =
    "token does not have at least one of required scope(s), required=[read:admin], token scope=";
const OLD: &str = "token does not have at least one of required scope(s): [read:admin]";

#[tokio::test]
async fn a_token_is_proven_by_the_scopes_that_the_forge_names() {
    let gitea = |scopes: &'static str| move |_: &Asked| Reply::message(403, &format!("{ABSENT}{scopes}"));
    let Proof::ReadOnly { evidence } = proven(gitea("read:issue,read:repository")).await else { panic!() };
    assert!(evidence.contains("read:issue") && evidence.contains("astro/pipe"), "{evidence}");
    assert!(matches!(proven(gitea("public-only,read:issue")).await, Proof::ReadOnly { .. }));
    let Proof::CanWrite { rights, .. } = proven(gitea("write:issue")).await else { panic!() };
    assert_eq!(rights, ["write:issue"]);
    let Proof::CanWrite { rights, .. } = proven(gitea("read:issue,write:issue,write:repository")).await
    else {
        panic!()
    };
    assert_eq!(rights, ["write:issue", "write:repository"]);
    assert!(matches!(proven(gitea("all")).await, Proof::CanWrite { .. }));
    assert!(matches!(proven(gitea("")).await, Proof::Unproven { .. }));
    assert!(matches!(proven(gitea("read:issue,fly")).await, Proof::Unproven { .. }));
    let Proof::CanWrite { rights, .. } =
        proven(|_| Reply::message(403, "user should be the site admin")).await
    else {
        panic!()
    };
    assert!(rights[0].contains("all"));
    let Proof::CanWrite { rights, .. } = proven(|_| Reply::json(json!([]))).await else { panic!() };
    assert_eq!(rights, ["administrator"]);
    let admin = |asked: &Asked| match asked.path.as_str() {
        "/api/v1/user" => Reply::json(json!({"id": 1, "login": "root", "is_admin": true})),
        _ => Reply::message(403, &format!("{ABSENT}read:issue,read:user")),
    };
    assert!(matches!(proven(admin).await, Proof::CanWrite { .. }));
    // An administrator's token that may not ask whose it is gives itself away by what it is told of others.
    let told = |of_mira: &'static str| {
        move |asked: &Asked| match asked.path.ends_with("/assignees") {
            true => Reply::json(json!([
                {"id": 2, "login": "mira", "last_login": of_mira},
                {"id": 5, "login": "owner1", "last_login": "2026-03-02T08:15:40Z"},
                {"id": 6, "login": "new", "last_login": null}
            ])),
            false => Reply::message(403, &format!("{ABSENT}read:issue,read:repository")),
        }
    };
    assert!(matches!(proven(told("1970-01-01T00:00:00Z")).await, Proof::CanWrite { .. }));
    assert!(matches!(proven(told("0001-01-01T00:00:00Z")).await, Proof::ReadOnly { .. }));
}

#[tokio::test]
async fn a_forge_that_names_no_scopes_is_asked_for_the_list_of_tokens() {
    assert!(matches!(proven(|_| Reply::message(403, OLD)).await, Proof::Unproven { .. }));
    let list = |scopes: Value, needs_basic: bool| {
        move |asked: &Asked| match asked.path.as_str() {
            "/api/v1/user" => Reply::json(json!({"id": 4, "login": "docent"})),
            "/api/v1/users/docent/tokens" => {
                let is_basic = asked.header("authorization").is_some_and(|value| value.starts_with("Basic "));
                if needs_basic && !is_basic {
                    return Reply::message(401, "auth required");
                }
                Reply::json(json!([
                    {"id": 1, "name": "other", "token_last_eight": "00000000", "scopes": ["all"]},
                    {"id": 2, "name": "watch", "token_last_eight": "et-t0ken", "scopes": scopes},
                ]))
            }
            _ => Reply::message(403, OLD),
        }
    };
    for needs_basic in [false, true] {
        let proof = proven(list(json!(["read:issue", "read:user"]), needs_basic)).await;
        assert!(matches!(proof, Proof::ReadOnly { .. }), "{proof:?}");
        let proof = proven(list(json!(["read:user", "write:issue"]), needs_basic)).await;
        assert!(matches!(proof, Proof::CanWrite { .. }), "{proof:?}");
        assert!(matches!(proven(list(Value::Null, needs_basic)).await, Proof::Unproven { .. }));
    }
    let double = Double::start(|_| Reply::message(401, "bad token")).await;
    assert_eq!(forge(&double).prove(&[]).await.unwrap_err().kind, ForgeErrorKind::Unauthorised);
}

#[tokio::test]
async fn writes_are_probed_by_a_client_of_its_own_at_nobody() {
    let double = Double::start(|asked| match asked.path.ends_with("/statuses/0") {
        true => {
            Reply::message(403, "token does not have at least one of required scope(s): [write:repository]")
        }
        false => Reply::message(404, "GetUserByName"),
    })
    .await;
    let rights = WriteProbe::new("f", &double.url, Some("t".into()), Bounds::default())
        .unwrap()
        .probe()
        .await
        .unwrap();
    let held: Vec<_> = rights.iter().map(|right| (right.right, right.is_held)).collect();
    assert_eq!(held, [("write:repository", Some(false)), ("write:issue", Some(true))]);
    assert!(double.asked().iter().all(|asked| asked.path.contains("-docent-no-such-owner-")));
}

#[tokio::test]
async fn git_is_sent_to_the_forge_itself_only() {
    let double = Double::start(world).await;
    let (source, reference) = forge(&double).clone_source(&both()[0], Some(41)).await.unwrap();
    assert_eq!(source.url, double.url.join("/astro/pipe.git").unwrap());
    assert_eq!(reference.as_deref(), Some("refs/pull/41/head"));
    assert!(source.credential.is_some());
    assert!(!format!("{source:?}").contains("s3cret"));
}

const MARKER: &str = "<!-- docent:1f3a -->";

fn reporter(double: &Double) -> GiteaReporter {
    GiteaReporter::new("f", &double.url, "s3cret-t0ken".into(), Bounds::default()).unwrap()
}

fn pull_id() -> PullId {
    PullId { repository: id(19), number: 41 }
}

/// A forge with comments by the account 40 (docent) and by strangers; a token without `read:user`.
fn comments_of(authors: &'static [(u64, u64)]) -> impl Fn(&Asked) -> Reply + Send + Sync {
    let made = AtomicUsize::new(0);
    move |asked| {
        let own = |number: u64| {
            json!({"id": number, "user": {"id": 40, "login": "docent"}, "body": MARKER, "pull_request_url": "",
                "created_at": "2026-03-02T08:15:41Z", "updated_at": "2026-03-02T08:15:41Z"})
        };
        match (asked.method.as_str(), asked.path.strip_prefix(API).unwrap()) {
            ("GET", "/user") => Reply::message(403, "scope"),
            ("GET", "/repos/astro/pipe/issues/41/comments") => {
                let list: Vec<Value> = authors
                    .iter()
                    .map(|(number, author)| {
                        let mut comment = own(*number);
                        comment["user"]["id"] = json!(author);
                        comment
                    })
                    .collect();
                Reply::json(json!(list))
            }
            ("POST", "/repos/astro/pipe/issues/41/comments") => {
                let number = 900 + made.fetch_add(1, Ordering::SeqCst) as u64;
                let mut reply = Reply::json(own(number));
                reply.status = 201;
                reply
            }
            ("PATCH", path) => {
                let number: u64 = path.rsplit('/').next().unwrap().parse().unwrap();
                match authors.iter().find(|(known, _)| *known == number) {
                    Some((_, 40)) => Reply::json(own(number)),
                    Some(_) => Reply::text(403, ""),
                    None => Reply::message(404, "not found"),
                }
            }
            _ => Reply::message(404, "not found"),
        }
    }
}

#[tokio::test]
async fn one_comment_is_found_edited_or_made_anew() {
    for (authors, known, expected) in [
        (&[(7, 40)][..], Some(7), 7),
        (&[(7, 40)], None, 7),
        // A stranger copied the marker before docent ever wrote: refused, so the next one is tried.
        (&[(5, 9), (7, 40)], None, 7),
        (&[(5, 9), (6, 9)], None, 900),
        // The known one was deleted.
        (&[(7, 40)], Some(3), 7),
        (&[], Some(3), 900),
        (&[], None, 900),
    ] {
        let double = Double::start(comments_of(authors)).await;
        let reporter = reporter(&double);
        let number = reporter.comment(&both()[0], &pull_id(), known, MARKER, "text").await.unwrap();
        assert_eq!(number, expected, "{authors:?} {known:?}");
        let writes = double.asked().iter().filter(|asked| asked.method == "POST").count();
        assert_eq!(writes, usize::from(expected == 900));
    }
    let double = Double::start(comments_of(&[])).await;
    let reporter = reporter(&double);
    assert_eq!(reporter.account().await.unwrap_err().kind, ForgeErrorKind::Forbidden);
    reporter.comment(&both()[0], &pull_id(), None, MARKER, "text").await.unwrap();
    assert_eq!(reporter.account().await.unwrap().number, 40, "learnt from the comment that was made");
}

#[tokio::test]
async fn a_status_is_set_or_refused() {
    let double = Double::start(|asked| match asked.path.contains("/statuses/") {
        true => Reply::message(403, "user should have a permission to write to a repo"),
        false => Reply::message(404, "x"),
    })
    .await;
    let status = Status {
        state: StatusState::Pending,
        context: "docent/notebook".into(),
        description: "queued".into(),
        target_url: Some("https://d/runs/1".into()),
    };
    let sha = "c".repeat(40).parse().unwrap();
    let error = reporter(&double).status(&both()[0], &sha, &status).await.unwrap_err();
    assert_eq!(error.kind, ForgeErrorKind::Forbidden);
    let asked = &double.asked()[0];
    assert_eq!(asked.path, format!("/api/v1/repos/astro/pipe/statuses/{sha}"));
    assert_eq!(
        (asked.body["state"].as_str(), asked.body["context"].as_str()),
        (Some("pending"), Some("docent/notebook"))
    );
}

#[tokio::test]
async fn a_thousand_quiet_repositories_with_branches_cost_two_requests() {
    let quiet = json!({"id": 5, "full_name": "astro/r5", "updated_at": "2026-03-02T08:00:00Z"});
    let double = Double::start(move |asked| match asked.path.strip_prefix(API).unwrap_or_default() {
        "/repos/issues/search" => Reply::json(json!([])).with("X-Total-Count", "0"),
        "/repos/search" => Reply::json(json!({"ok": true, "data": [quiet]})),
        path if path.contains("/git/refs/") => Reply::json(json!([
            {"ref": "refs/heads/main2", "object": {"sha": "b".repeat(40)}},
            {"ref": "refs/heads/main", "object": {"sha": "a".repeat(40)}}])),
        _ => Reply::message(404, "not found"),
    })
    .await;
    let many: Vec<Repository> = (1..=1000).map(|n| repository(n, &format!("astro/r{n}"))).collect();
    let watched: Vec<(u64, Vec<String>)> = (1..=1000).map(|n| (n, vec!["main".to_owned()])).collect();
    let known = "a".repeat(40).parse().ok();
    let entry = RepositoryCursor {
        read_to: time(SEEN),
        is_behind: false,
        reconciled_at: None,
        branches: BTreeMap::from([("main".to_owned(), known)]),
        unreadable: None,
    };
    let mut cursor = Cursor {
        feeds: ["owner:3", "pushes:3"].into_iter().map(|key| (key.to_owned(), time(SEEN))).collect(),
        repositories: (1..=1000).map(|n| (n, entry.clone())).collect(),
    };
    let gitea = forge(&double);
    let watch = || Watch { repositories: &many, reconcile: &[], branches: &watched };
    let poll = gitea.poll(watch(), &cursor).await.unwrap();
    assert_eq!((poll.requests, poll.observations.len(), poll.failures), (2, 0, vec![]));
    let search = double.asked().into_iter().find(|asked| asked.path.ends_with("/repos/search")).unwrap();
    assert_eq!((search.param("uid"), search.param("exclusive")), (Some("3"), Some("true")));
    // A branch that was never looked at is, whatever the search says.
    cursor.repositories.get_mut(&7).unwrap().branches.clear();
    let poll = gitea.poll(watch(), &cursor).await.unwrap();
    assert_eq!(poll.requests, 3);
    let Observation::Branch { branch, head, .. } = &poll.observations[0] else { panic!() };
    assert_eq!((branch.repository.number, head.as_ref().unwrap().short()), (7, "aaaaaaa"));
}

#[tokio::test]
async fn a_branch_that_cannot_be_read_is_read_in_the_next_poll() {
    let double = Double::start(|asked| match asked.path.strip_prefix(API).unwrap_or_default() {
        "/repos/search" => Reply::json(json!({"ok": true, "data": [
            {"id": 19, "full_name": "astro/pipe", "updated_at": "2026-03-02T08:15:00Z"}, "nonsense"]})),
        path if path.contains("/git/refs/") => Reply::message(500, "no"),
        _ => world(asked),
    })
    .await;
    let watched = [(19, vec!["main".to_owned()])];
    let watch = Watch { repositories: &both(), reconcile: &[], branches: &watched };
    let poll = forge(&double).poll(watch, &cursor()).await.unwrap();
    assert_eq!(poll.failures.len(), 1, "{:?}", poll.failures);
    assert!(poll.cursor.repositories[&19].is_behind && !poll.cursor.repositories[&20].is_behind);
    assert_eq!(pulls(&poll), [41, 42], "nothing else suffers");
}
