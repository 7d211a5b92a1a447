//! The pages: all that strangers wrote stays text, all that is kept can be found, and nothing can be changed.

mod pages;

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use futures_util::StreamExt;
use regex::Regex;
use serde_json::Value;
use tower::ServiceExt;

use docent::core::event::{Ask, Event};
use docent::core::id::{BranchId, RunId};
use docent::core::outcome::{Outcome, TestResult};
use docent::core::run::{Party, Request as RunRequest, Trigger};
use docent::web;
use pages::{HOSTILE, Museum, pull_id};

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

async fn ask(router: &Router, method: Method, host: &str, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header(header::HOST, host);
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = tokio::time::timeout(Duration::from_secs(60), to_bytes(body, 64 << 20)).await;
    let body = body.expect("the answer ends").unwrap();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.into()).unwrap() }
}

async fn read(router: &Router, path: &str) -> Answer {
    ask(router, Method::GET, "localhost:8440", path).await
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

const ALL_PAGES: [&str; 11] = [
    "/",
    "/runs",
    "/runs?before=3",
    "/runs/1",
    "/runs/2",
    "/runs/3",
    "/runs/4",
    "/commands",
    "/pulls/example/5/1",
    "/pulls/example/5/4",
    "/no/such/page",
];

#[tokio::test]
async fn what_strangers_wrote_stays_text_on_every_page() {
    let museum = Museum::filled().await;
    let router = web::router(museum.pages());
    for path in ALL_PAGES {
        let answer = read(&router, path).await;
        let expected = if path == "/no/such/page" { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(answer.status, expected, "{path}");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert_tame(path, &answer.body);
    }
    // The texts are there, and not left out.
    let run = read(&router, "/runs/1").await.body;
    let shown = "&#60;script&#62;document.title=&#39;RAN&#39;&#60;/script&#62;";
    assert!(run.matches(shown).count() >= 10, "{}", run.matches(shown).count());
    assert_eq!(
        run.matches("known: deferred as ").count(),
        1,
        "beside the failure, and not beside what passed"
    );
    assert!(
        run.contains("\\u{202e}gnol\\u{200b}red"),
        "marks that reorder are written out, colours are gone"
    );
}

/// Only the templates' own elements and attributes, no address but docent's own and the forge's, nothing that hides.
fn assert_tame(path: &str, html: &str) {
    let tags = Regex::new(r"<(/?)([a-zA-Z!][^\s>/]*)([^<>]*)>").unwrap();
    let attributes = Regex::new(r#"([^\s="]+)(?:="([^"]*)")?"#).unwrap();
    let known_tags: Vec<&str> = "!DOCTYPE html head meta title link script noscript body a header nav main p section h1 h2 h3 h4 \
        ul ol li span strong article table thead tbody tr th td details summary dl dt dd time code pre div footer"
        .split_whitespace()
        .collect();
    let known_attributes: Vec<&str> = "html lang charset name content http-equiv rel href type src defer class id role hidden \
        title datetime aria-label aria-hidden aria-current data-label data-refresh data-log data-state tabindex open download colspan"
        .split_whitespace()
        .collect();
    for tag in tags.captures_iter(html) {
        assert!(known_tags.contains(&&tag[2]), "{path}: {}", &tag[0]);
        for attribute in attributes.captures_iter(tag[3].trim_end_matches('/')) {
            let value = attribute.get(2).map_or("", |value| value.as_str());
            assert!(known_attributes.contains(&&attribute[1]), "{path}: {} in {}", &attribute[1], &tag[0]);
            match &attribute[1] {
                "src" => {
                    assert!(value.ends_with("assets/docent.js") && value.starts_with('.'), "{path}: {value}")
                }
                "href" if &tag[2] == "link" => assert!(value.starts_with('.'), "{path}: {value}"),
                "href" if value.contains(':') => {
                    assert!(value.starts_with("https://forge.example.org/"), "{path}: {value}");
                }
                _ => {}
            }
        }
    }
    let bare = tags.replace_all(html, "");
    assert!(!bare.contains(['<', '>']), "{path}: a bracket that is no tag: {bare}");
    let hidden = html.chars().find(|c| *c != '\n' && docent::core::neutral::is_treacherous(*c));
    assert_eq!(hidden, None, "{path}");
    let longest = html.split(['<', '>', '\n']).map(str::len).max().unwrap_or(0);
    assert!(longest < 9000, "{path}: a name of {longest} bytes");
    assert!(html.len() < 400_000, "{path}: {} bytes", html.len());
}

#[tokio::test]
async fn every_answer_tells_the_browser_to_be_careful() {
    let museum = Museum::filled().await;
    let router = web::router(museum.pages());
    let others =
        ["/assets/docent.css", "/assets/docent.js", "/assets/docent.svg", "/health", "/runs/1/result.json"];
    for path in ALL_PAGES.into_iter().chain(others).chain(["/runs/1/log/r1-notebooks-2", "/assets/x"]) {
        let answer = read(&router, path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
    }
    for path in ["/assets/docent.css", "/assets/docent.js", "/assets/docent.svg"] {
        let own = read(&router, path).await.body.replace("http://www.w3.org/2000/svg", "");
        for outside in ["http:", "https:", "//cdn", "@import", "url(", "eval(", "innerHTML"] {
            assert!(!own.contains(outside), "{path}: {outside}");
        }
    }
}

#[tokio::test]
async fn the_pages_only_read() {
    let museum = Museum::filled().await;
    let router = web::router(museum.pages());
    let before = museum.store.journal(0, 10_000).await.unwrap();
    for path in ALL_PAGES
        .into_iter()
        .filter(|path| *path != "/no/such/page")
        .chain(["/health", "/runs/1/result.json"])
    {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let answer = ask(&router, method.clone(), "localhost", path).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.header("allow"), "GET,HEAD", "{method} {path}");
        }
        let head = ask(&router, Method::HEAD, "localhost", path).await;
        assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""), "{path}");
    }
    assert_eq!(museum.store.journal(0, 10_000).await.unwrap(), before);
}

#[tokio::test]
async fn only_docents_own_names_are_answered() {
    let museum = Museum::filled().await;
    let router = web::router(museum.pages());
    for host in ["localhost:8440", "127.0.0.1:8440", "[::1]:8440", "docent.example.org"] {
        assert_eq!(ask(&router, Method::GET, host, "/").await.status, StatusCode::OK, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:8440"] {
        let answer = ask(&router, Method::GET, host, "/runs/1").await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
        assert!(!answer.body.contains("notebooks"), "{host}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_page_that_says_so() {
    let museum = Museum::filled().await;
    let router = web::router(museum.pages());
    let long = format!("/runs/{}", "9".repeat(5000));
    for path in [
        "/runs/99",
        "/runs/-1",
        "/runs/x",
        "/runs/%FF",
        "/runs/1/",
        "/runs?before=x",
        "/runs/1/log/r2-notebooks-1",
        "/runs/1/log/..%2F..%2Fdocent.sqlite",
        "/runs/99/result.json",
        "/runs/1/artifacts/..%2Fdocent.sqlite",
        "/runs/1/artifacts/x",
        "/pulls/example/5/99",
        "/pulls/other/5/1",
        "/pulls/example/x/1",
        "/assets/..%2Fmod.rs",
        "/%3Cscript%3E",
        &long,
    ] {
        let answer = read(&router, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.body.contains("To the overview"), "{path}");
        assert_tame(path, &answer.body);
        assert!(!answer.body.contains("sqlite") && !answer.body.contains("src/"), "{path}: insides");
    }
}

#[tokio::test]
async fn links_of_a_page_lead_somewhere() {
    let museum = Museum::filled().await;
    let router = web::router(museum.pages());
    let href = Regex::new(r#"(?:href|src|data-log)="([^"]+)""#).unwrap();
    let mut followed = std::collections::BTreeSet::new();
    for path in ALL_PAGES {
        let base = url::Url::parse(&format!("http://localhost{path}")).unwrap();
        for found in href.captures_iter(&read(&router, path).await.body) {
            let address = base.join(&found[1].replace("&#38;", "&").replace("&amp;", "&")).unwrap();
            if address.host_str() != Some("localhost")
                || address.fragment().is_some()
                || address.query().is_some_and(|query| query.contains("follow"))
            {
                continue;
            }
            let target = address[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
            if followed.insert(target.clone()) {
                assert_eq!(read(&router, &target).await.status, StatusCode::OK, "{target} on {path}");
            }
        }
    }
    assert!(followed.len() > 20, "{followed:?}");
}

#[tokio::test]
async fn an_artifact_belongs_to_its_run_and_is_never_rendered() {
    let museum = Museum::filled().await;
    let router = web::router(museum.pages());
    let run = museum.store.run(RunId(1)).await.unwrap().unwrap();
    let attempt = run.tier("notebooks").unwrap().attempts.last().unwrap().clone();
    for kept in attempt.artifacts.iter().chain(&attempt.log) {
        let answer = read(&router, &format!("/runs/1/artifacts/{}", kept.digest)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", kept.name);
        assert!(answer.header("content-security-policy").contains("sandbox"), "{}", kept.name);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        let (kind, shown) = match kept.name.as_str() {
            "outputs.json" => ("text/plain; charset=utf-8", "inline; filename=\"outputs.json\""),
            _ => ("application/octet-stream", "attachment; filename=\""),
        };
        assert_eq!(answer.header("content-type"), kind, "{}", kept.name);
        assert!(answer.header("content-disposition").starts_with(shown), "{}", kept.name);
        let of_another = read(&router, &format!("/runs/2/artifacts/{}", kept.digest)).await;
        assert_eq!(of_another.status, StatusCode::NOT_FOUND, "{}", kept.name);
    }
    // Kept, but left by no run.
    let secret = museum.keep("secret.txt", "nobody's");
    assert_eq!(
        read(&router, &format!("/runs/1/artifacts/{}", secret.digest)).await.status,
        StatusCode::NOT_FOUND
    );
    // Left by the run, but not kept any more.
    let path = museum.files.path(&attempt.artifacts[0].digest).unwrap();
    std::fs::remove_file(path).unwrap();
    let gone = read(&router, &format!("/runs/1/artifacts/{}", attempt.artifacts[0].digest)).await;
    assert_eq!(gone.status, StatusCode::GONE);
}

#[tokio::test]
async fn a_log_is_text_without_power_over_terminals() {
    let museum = Museum::filled().await;
    let router = web::router(museum.pages());
    let answer = read(&router, "/runs/1/log/r1-notebooks-2").await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert!(answer.body.starts_with("collecting\n100%\n<script>"), "{}", answer.body);
    assert!(answer.body.ends_with("\nend\n"));
    assert!(!answer.body.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\r', '\0']));
    let tail = read(&router, "/runs/1/log/r1-notebooks-2?tail=6").await.body;
    assert!(tail.starts_with("… ") && tail.ends_with(" above\nend\n"), "{tail}");
    let none = read(&router, "/runs/1/log/r1-notebooks-1").await.body;
    assert_eq!(none, "(this attempt left no log)\n");
}

#[tokio::test]
async fn a_followed_log_grows_and_ends_with_its_attempt() {
    let museum = Museum::filled().await;
    let router = web::router(museum.pages());
    let attempt = Museum::attempt(2, "notebooks", 1);
    assert_eq!(
        read(&router, "/runs/2/log/r2-notebooks-1").await.body,
        "",
        "nothing so far, and it does not wait"
    );

    let uri = "/runs/2/log/r2-notebooks-1?follow=1";
    let request = Request::builder().uri(uri).header(header::HOST, "localhost").body(Body::empty()).unwrap();
    let mut stream = router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    let mut next = async || {
        let piece = tokio::time::timeout(Duration::from_secs(60), stream.next()).await.expect("it goes on");
        piece.map(|piece| String::from_utf8(piece.unwrap().into()).unwrap())
    };
    museum.write(&attempt, "one\n");
    assert_eq!(next().await.as_deref(), Some("one\n"));
    museum.write(&attempt, "two \u{1b}[32mgreen\u{1b}[0m\nthr");
    assert_eq!(next().await.as_deref(), Some("two green\n"));
    museum.write(&attempt, "ee\nlast words");
    let result = TestResult::plain("good.ipynb", Outcome::Passed, "", "");
    museum.end(&attempt, 0, vec![result], vec![]).await;
    let mut rest = String::new();
    while let Some(piece) = next().await {
        rest.push_str(&piece);
    }
    assert_eq!(rest, "three\nlast words\n");
}

#[tokio::test]
async fn a_server_that_ends_ends_what_follows_it() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let museum = Museum::filled().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let serving = tokio::spawn(web::serve(listener, museum.pages(), shutdown.clone()));
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = "GET /runs/2/log/r2-notebooks-1?follow=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut beginning = [0; 12];
    connection.read_exact(&mut beginning).await.unwrap();
    assert_eq!(&beginning, b"HTTP/1.1 200");
    shutdown.cancel();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(60), connection.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the answer is whole");
    tokio::time::timeout(Duration::from_secs(60), serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn the_overview_says_who_waits_for_what() {
    let museum = Museum::filled().await;
    let router = web::router(museum.pages());
    let page = read(&router, "/").await.body;
    let text = Regex::new(r"\s+")
        .unwrap()
        .replace_all(&Regex::new("<[^>]*>").unwrap().replace_all(&page, " "), " ")
        .into_owned();
    for expected in [
        "Running 1 of 1 slots",
        "run 2 of astro/notebooks #2",
        "✔ validate pass",
        "▶ notebooks running",
        "the slot is taken",
        "Offers that wait",
        "in 23 h",
        "! with failures example polled 3 s ago",
        "Credential: proven read-only",
        "the watching account may push here",
        "report/example:5#2",
        "✘ fail",
        "docker 20.10",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    museum.pass(3600);
    assert!(read(&router, "/").await.body.contains("late"), "a heartbeat that has stopped is said");
    museum.pass(24 * 3600);
    assert!(!read(&router, "/").await.body.contains("Offers that wait"), "an offer that has lapsed is none");
}

#[tokio::test]
async fn the_run_page_names_the_worst_first_and_what_is_missing() {
    let museum = Museum::filled().await;
    let router = web::router(museum.pages());
    let page = read(&router, "/runs/1").await.body;
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not on the page"));
    let order = [">bad.ipynb<", ">forgotten.ipynb<", ">good.ipynb<", ">skipped.ipynb<"];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{:?}", order.map(at));
    for text in [
        "code cell 3 (In [3]), line 2",
        "Reading the spectra",
        "FileNotFoundError",
        "no result",
        "2 tests failed",
    ] {
        at(text);
    }
    at("extra tests: <span class=\"badge good\">");
    at("docent run https://forge.example.org/astro/notebooks.git --sha=aaaaaaa");
    at("https://forge.example.org/astro/notebooks/commit/aaaaaaa");
}

#[tokio::test]
async fn the_ledger_tells_fates_and_reasons() {
    let museum = Museum::filled().await;
    let router = web::router(museum.pages());
    for path in ["/commands", "/pulls/example/5/4"] {
        let page = read(&router, path).await.body;
        for text in [
            "offered",
            "refused",
            "not-allowed",
            "not understood",
            "ignored",
            "answered",
            "path of the decision",
        ] {
            assert!(page.contains(text), "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn health_is_for_monitors() {
    let museum = Museum::filled().await;
    let router = web::router(museum.pages());
    let answer = read(&router, "/health").await;
    let health: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(health["ok"], true);
    assert_eq!(health["version"], "0.1.0");
    assert_eq!(health["polls"][0]["forge"], "example");
    assert_eq!(health["polls"][0]["age_seconds"], 3);
    assert_eq!(health["polls"][0]["failures"], 1);
}

/// A run of a watched branch, pushed to by somebody with an odd taste in names.
fn pushed() -> Event {
    let branch = BranchId { repository: pages::repository(), name: format!("release/1{HOSTILE}") };
    let rule = format!("a push to release/1 changed {HOSTILE}");
    let request = RunRequest {
        pull: None,
        place: "astro/notebooks".into(),
        sha: Some(pages::sha('f')),
        base: None,
        is_untrusted: false,
        recipe: None,
        options: Default::default(),
        only: vec![],
        bundle: None,
        trigger: Trigger::Push { branch, changed: vec![HOSTILE.into()], rule },
        by: Party::Docent,
    };
    Event::OperatorAsked { ask: Ask::Run { request: Box::new(request) } }
}

#[tokio::test]
async fn a_run_of_a_branch_is_shown_by_its_branch() {
    let museum = Museum::filled().await;
    museum.step(pushed()).await;
    let router = web::router(museum.pages());
    for path in ["/", "/runs", "/runs/5"] {
        let page = read(&router, path).await.body;
        assert_tame(path, &page);
        assert!(page.contains("release/1"), "{path}");
    }
    let page = read(&router, "/runs/5").await.body;
    assert!(page.contains("after a push") && page.contains("a push to release/1 changed"), "{page}");
    assert!(page.contains("trusted") && !page.contains("untrusted: from a pull request"));
}

#[tokio::test]
async fn result_json_keeps_its_schema_in_every_phase() {
    let museum = Museum::filled().await;
    let request = RunRequest {
        pull: None,
        place: format!("-{HOSTILE}"),
        sha: None,
        base: None,
        is_untrusted: false,
        recipe: None,
        options: Default::default(),
        only: vec![HOSTILE.into()],
        bundle: None,
        trigger: Trigger::CommandLine,
        by: Party::Operator,
    };
    museum.step(Event::OperatorAsked { ask: Ask::Run { request: Box::new(request) } }).await;
    museum.step(Event::OperatorAsked { ask: Ask::Cancel { run: RunId(3) } }).await;
    museum.step(pushed()).await;
    let router = web::router(museum.pages());

    let schema: Value = serde_json::from_str(include_str!("../docs/schema/result.schema.json")).unwrap();
    let mut compiler = boon::Compiler::new();
    compiler.enable_format_assertions();
    compiler.add_resource("urn:docent:result:1", schema).unwrap();
    let mut schemas = boon::Schemas::new();
    let result = compiler.compile("urn:docent:result:1", &mut schemas).unwrap();
    for run in 1..=6 {
        let answer = read(&router, &format!("/runs/{run}/result.json")).await;
        assert_eq!(answer.header("content-type"), "application/json");
        let document: Value = serde_json::from_str(&answer.body).unwrap();
        if let Err(error) = schemas.validate(&document, result) {
            panic!("run {run}: {error}\n{document:#}");
        }
        let mut spoilt = document.clone();
        spoilt["unknown"] = Value::Null;
        assert!(schemas.validate(&spoilt, result).is_err(), "the schema is strict");
    }

    let document: Value = serde_json::from_str(&read(&router, "/runs/1/result.json").await.body).unwrap();
    assert_eq!(document["phase"], "COMPLETED");
    assert_eq!(document["verdict"], "fail");
    assert_eq!(document["extra_verdict"], "pass");
    assert_eq!(document["page_url"], "https://docent.example.org/runs/1");
    assert_eq!(document["tiers"][1]["attempts"][0]["outcome"], "errored");
    assert_eq!(document["tiers"][1]["attempts"][1]["seconds"], 62.0);
    assert_eq!(document["tiers"][1]["tests"][1]["name"], "bad.ipynb");
    assert_eq!(document["actor"]["number"], 1042);
    let phases: Vec<&str> = document["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entered| entered["phase"].as_str().unwrap())
        .collect();
    let expected = ["OFFERED", "ACCEPTED", "WAITING", "PREPARING", "AVAILABLE", "RELEASING", "COMPLETED"];
    assert_eq!(phases, expected);
    assert_eq!(museum.store.runs_of_pull(&pull_id(1), 9).await.unwrap().len(), 1);
}
