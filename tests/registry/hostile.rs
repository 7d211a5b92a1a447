//! Registries that are broken, full, slow or mean: whatever they answer, docent says what it was, and neither its
//! credential nor its memory is theirs.

use std::time::Duration;

use docent::core::image_name::Which;
use docent::publish::{Access, Bounds, Place, PublishError, PublishErrorKind as Kind, Registry, SpecImage};
use serde_json::json;
use wiremock::matchers::{any, method, path, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{access, image, tag};

const SECRET: &str = "hunter2-is-secret";
const MANIFEST: &str = "/v2/astro/images/manifests/x";

fn open(server: &MockServer) -> Registry {
    let access = Access {
        bounds: Bounds { time: Duration::from_secs(20), document: 64 << 10, layers: 256 << 10 },
        ..access(Some(SECRET))
    };
    open_with(server, &access)
}

fn open_with(server: &MockServer, access: &Access) -> Registry {
    let registry = server.address().to_string();
    Registry::new(Place { registry, repository: "astro/images".to_owned() }, access).unwrap()
}

async fn read(registry: &Registry) -> Result<Vec<u8>, PublishError> {
    registry.spec(&Which::Tag(tag("x"))).await.map(|found| found.spec)
}

async fn answer(server: &MockServer, at: &str, response: ResponseTemplate) {
    Mock::given(path(at)).respond_with(response).mount(server).await;
}

/// Serves this image as a registry should.
async fn serve(server: &MockServer, image: &SpecImage) {
    let raw = |bytes: &[u8]| ResponseTemplate::new(200).set_body_raw(bytes.to_vec(), "application/json");
    let manifest = raw(&image.manifest.bytes);
    let manifest = manifest.insert_header("Docker-Content-Digest", image.manifest.digest.as_str());
    answer(server, MANIFEST, manifest).await;
    answer(server, &format!("/v2/astro/images/blobs/{}", image.layer.digest), raw(&image.layer.bytes)).await;
}

/// The error has this kind and these words, and holds no secret.
#[track_caller]
fn assert_trouble<T: std::fmt::Debug>(result: Result<T, PublishError>, kind: Kind, words: &str) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind, kind, "{text}");
    assert!(text.contains(words), "{text}");
    assert!(!format!("{text} {error:?}").contains(SECRET));
    assert!(text.len() < 1000, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_server_is_fine_when_it_is_honest() {
    let server = MockServer::start().await;
    serve(&server, &image("a: 1\n")).await;
    assert_eq!(read(&open(&server)).await.unwrap(), b"a: 1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_says_what_it_is() {
    for (status, body, kind, words) in [
        (403, r#"{"errors":[{"code":"DENIED","message":"not you"}]}"#, Kind::Forbidden, "DENIED not you"),
        (404, "{}", Kind::NotFound, "there is no such image"),
        (429, "slow down", Kind::Limited, "wants no request for 17 s"),
        (500, "<html>oops</html>", Kind::Broken, "try again later"),
        (500, "write /data: no space left on device", Kind::Full, "make room there"),
        (507, "", Kind::Full, "it does not say why"),
        (413, "", Kind::Full, "raise the quota"),
        (400, "bad\u{1b}[2J", Kind::Refused, "bad [2J"),
        (401, "", Kind::Unauthorised, "the credential is refused"),
        (418, &"x".repeat(60_000), Kind::Refused, "418 xxx"),
    ] {
        let server = MockServer::start().await;
        let response = ResponseTemplate::new(status).set_body_string(body).insert_header("Retry-After", "17");
        Mock::given(any()).respond_with(response).mount(&server).await;
        assert_trouble(read(&open(&server)).await, kind, words);
        assert_trouble(
            open(&server).publish_as(&image("a: 1\n"), tag("y")).await,
            match kind {
                // What is not there yet may be published, which is then what is refused.
                Kind::NotFound => Kind::NotFound,
                kind => kind,
            },
            words,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_another_digest_is_used() {
    let (wanted, other) = (image("a: 1\n"), image("b: 2\n"));
    let raw = |bytes: &[u8]| ResponseTemplate::new(200).set_body_raw(bytes.to_vec(), "application/json");

    let server = MockServer::start().await;
    let manifest = raw(&wanted.manifest.bytes);
    answer(
        &server,
        MANIFEST,
        manifest.insert_header("Docker-Content-Digest", other.manifest.digest.as_str()),
    )
    .await;
    assert_trouble(read(&open(&server)).await, Kind::Malformed, "came for");

    let server = MockServer::start().await;
    answer(&server, MANIFEST, raw(&wanted.manifest.bytes)).await;
    answer(&server, &format!("/v2/astro/images/blobs/{}", wanted.layer.digest), raw(&other.layer.bytes))
        .await;
    assert_trouble(read(&open(&server)).await, Kind::Malformed, "a layer of digest");

    let server = MockServer::start().await;
    let at = format!("/v2/astro/images/manifests/{}", wanted.manifest.digest);
    answer(&server, &at, raw(&other.manifest.bytes)).await;
    let by_digest = open(&server).spec(&Which::Digest(wanted.manifest.digest.clone())).await;
    assert_trouble(by_digest, Kind::Malformed, "came for");

    // It took what was sent, and answers something else.
    let server = MockServer::start().await;
    Mock::given(method("HEAD")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    Mock::given(method("PUT")).respond_with(ResponseTemplate::new(201)).mount(&server).await;
    Mock::given(method("GET")).respond_with(raw(&other.manifest.bytes)).mount(&server).await;
    assert_trouble(open(&server).alias(&wanted, &tag("x")).await, Kind::Malformed, "was sent as");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_none_at_all_is_not_taken() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let layer = |size: u64| json!({ "layers": [{ "digest": digest, "size": size }] }).to_string();
    let many = vec![json!({ "digest": digest, "size": 1 }); 129];
    for (manifest, kind, words) in [
        (" ".repeat(70_000), Kind::TooLarge, "larger than 65536 bytes"),
        (layer(1 << 40), Kind::TooLarge, "no spec image is"),
        (layer(5), Kind::TooLarge, "larger than 262144 bytes"),
        (json!({ "layers": many }).to_string(), Kind::TooLarge, "129 layers"),
        ("nothing".to_owned(), Kind::Malformed, "its manifest is none"),
        ("[".repeat(60_000), Kind::Malformed, "its manifest is none"),
        ("{}".to_owned(), Kind::Malformed, "no layers"),
        (json!({ "layers": [] }).to_string(), Kind::NoSpec, "holds neither"),
        (json!({ "manifests": [] }).to_string(), Kind::NoSpec, "index of nothing"),
        (json!({ "layers": [{ "digest": "../../x", "size": 1 }] }).to_string(), Kind::Malformed, "no digest"),
        (json!({ "manifests": [{ "digest": "x", "size": 1 }] }).to_string(), Kind::Malformed, "no digest"),
    ] {
        let server = MockServer::start().await;
        answer(&server, MANIFEST, ResponseTemplate::new(200).set_body_string(manifest)).await;
        let huge = ResponseTemplate::new(200).set_body_bytes(vec![0; 300 << 10]);
        Mock::given(path_regex("/blobs/")).respond_with(huge).mount(&server).await;
        assert_trouble(read(&open(&server)).await, kind, words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_answer_is_not_waited_for() {
    let server = MockServer::start().await;
    answer(&server, MANIFEST, ResponseTemplate::new(200).set_delay(Duration::from_secs(600))).await;
    let bounds = Bounds { time: Duration::from_millis(300), ..Bounds::default() };
    let registry = open_with(&server, &Access { bounds, ..Access::default() });
    assert_trouble(read(&registry).await, Kind::Unreachable, "no whole answer within 300ms");
    let gone = Place { registry: "127.0.0.1:1".to_owned(), repository: "a".to_owned() };
    let gone = Registry::new(gone, &Access::default()).unwrap();
    assert_trouble(gone.tags().await, Kind::Unreachable, "look at the address and the network");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_never_carries_the_credential_elsewhere() {
    let (server, elsewhere) = (MockServer::start().await, MockServer::start().await);
    let wanted = image("a: 1\n");
    // Asks for the password, then sends whoever brings it to another place.
    let basic = ResponseTemplate::new(401).insert_header("WWW-Authenticate", "Basic realm=\"x\"");
    Mock::given(path(MANIFEST)).respond_with(basic).up_to_n_times(1).mount(&server).await;
    serve(&server, &wanted).await;
    let blob = format!("/v2/astro/images/blobs/{}", wanted.layer.digest);
    server.reset().await;
    let basic = ResponseTemplate::new(401).insert_header("WWW-Authenticate", "Basic realm=\"x\"");
    Mock::given(path(MANIFEST)).respond_with(basic).up_to_n_times(1).mount(&server).await;
    let to = format!("{}/stored", elsewhere.uri());
    answer(&server, &blob, ResponseTemplate::new(307).insert_header("Location", to.as_str())).await;
    let manifest = ResponseTemplate::new(200).set_body_raw(wanted.manifest.bytes.clone(), "application/json");
    answer(&server, MANIFEST, manifest).await;
    let stored = ResponseTemplate::new(200).set_body_bytes(wanted.layer.bytes.clone());
    answer(&elsewhere, "/stored", stored).await;

    assert_eq!(read(&open(&server)).await.unwrap(), b"a: 1\n", "a store beside the registry is usual");
    let shown = |requests: Vec<wiremock::Request>| {
        requests.iter().filter(|request| request.headers.contains_key("authorization")).count()
    };
    assert!(shown(server.received_requests().await.unwrap()) >= 2, "the registry itself was shown it");
    let there = elsewhere.received_requests().await.unwrap();
    assert_eq!((there.len(), shown(there)), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_cannot_lead_docent_astray() {
    let elsewhere = MockServer::start().await;
    for (header, value, words) in [
        ("Location", "file:///etc/passwd".to_owned(), "does not follow"),
        ("Location", "http://reg.example/x".to_owned(), "leads to http://reg.example"),
        ("Location", MANIFEST.to_owned(), "redirects in a row"),
        ("X-Nothing", "x".to_owned(), "says not where to"),
    ] {
        let server = MockServer::start().await;
        let response = ResponseTemplate::new(302).insert_header(header, value.as_str());
        answer(&server, MANIFEST, response).await;
        assert_trouble(read(&open(&server)).await, Kind::Astray, words);
    }
    // What is to be stored is stored there or not at all.
    let server = MockServer::start().await;
    let response = ResponseTemplate::new(307).insert_header("Location", elsewhere.uri().as_str());
    Mock::given(method("PUT")).respond_with(response).mount(&server).await;
    assert_trouble(open(&server).alias(&image("a: 1\n"), &tag("x")).await, Kind::Astray, "is redirected to");
    assert_eq!(elsewhere.received_requests().await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_goes_to_no_foreign_token_server() {
    let challenge = |realm: &str| {
        let text = format!("Bearer realm=\"{realm}\",service=\"reg\",scope=\"repository:else/where:*\"");
        ResponseTemplate::new(401).insert_header("WWW-Authenticate", text.as_str())
    };
    for (realm, kind, words) in [
        ("https://evil.example/token", Kind::Astray, "not its own: not sent"),
        ("http://evil.example/token", Kind::Astray, "does not follow"),
        ("nonsense", Kind::Malformed, "says not where"),
    ] {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(challenge(realm)).mount(&server).await;
        assert_trouble(read(&open(&server)).await, kind, words);
    }
    // Its own one is asked for what docent needs, not for what the registry proposes.
    let server = MockServer::start().await;
    let wanted = image("a: 1\n");
    let realm = format!("{}/token", server.uri());
    Mock::given(path(MANIFEST)).respond_with(challenge(&realm)).up_to_n_times(1).mount(&server).await;
    answer(&server, "/token", ResponseTemplate::new(200).set_body_json(json!({ "token": "for-a-while" })))
        .await;
    serve(&server, &wanted).await;
    assert_eq!(read(&open(&server)).await.unwrap(), b"a: 1\n");
    for request in server.received_requests().await.unwrap() {
        let shown = request.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        match request.url.path() {
            "/token" => {
                assert!(shown.unwrap().starts_with("Basic "));
                let query: Vec<_> = request.url.query_pairs().collect();
                assert_eq!(query[0], ("scope".into(), "repository:astro/images:pull".into()));
                assert_eq!(query[1], ("service".into(), "reg".into()));
            }
            _ => assert!(shown.is_none_or(|shown| shown == "Bearer for-a-while")),
        }
    }
    for token in ["{}", "{\"token\":\"a\\nb\"}", "x"] {
        let server = MockServer::start().await;
        answer(&server, MANIFEST, challenge(&format!("{}/token", server.uri()))).await;
        answer(&server, "/token", ResponseTemplate::new(200).set_body_string(token)).await;
        assert_trouble(read(&open(&server)).await, Kind::Malformed, "token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_uploaded_elsewhere_only_without_the_credential() {
    let (server, elsewhere) = (MockServer::start().await, MockServer::start().await);
    let basic = ResponseTemplate::new(401).insert_header("WWW-Authenticate", "Basic realm=\"x\"");
    Mock::given(method("HEAD")).respond_with(basic).up_to_n_times(1).mount(&server).await;
    Mock::given(method("HEAD")).respond_with(ResponseTemplate::new(404)).mount(&server).await;
    Mock::given(path(MANIFEST))
        .and(method("GET"))
        .respond_with(ResponseTemplate::new(404))
        .mount(&server)
        .await;
    let there = format!("{}/upload?state=1", elsewhere.uri());
    let accepted = ResponseTemplate::new(202).insert_header("Location", there.as_str());
    Mock::given(method("POST")).respond_with(accepted).mount(&server).await;
    Mock::given(method("PUT")).respond_with(ResponseTemplate::new(201)).mount(&elsewhere).await;
    Mock::given(method("PUT")).respond_with(ResponseTemplate::new(403)).mount(&server).await;
    assert_trouble(
        open(&server).publish_as(&image("a: 1\n"), tag("x")).await,
        Kind::Forbidden,
        "needs the right",
    );
    let uploads = elsewhere.received_requests().await.unwrap();
    assert_eq!(uploads.len(), 2);
    for upload in uploads {
        assert!(!upload.headers.contains_key("authorization"));
        assert!(upload.url.query().unwrap().starts_with("state=1&digest=sha256%3A"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_tags_end() {
    // Says the same page for ever, with names that no registry may have.
    let server = MockServer::start().await;
    let page = json!({ "name": "x", "tags": ["nbs_a_1", "a b", "../x", "\u{1b}[2J", "nbs_a_2"] });
    Mock::given(path("/v2/astro/images/tags/list"))
        .respond_with(ResponseTemplate::new(200).set_body_json(page))
        .mount(&server)
        .await;
    assert_eq!(open(&server).tags().await.unwrap(), [tag("nbs_a_1"), tag("nbs_a_2")]);

    // Has always one more.
    let server = MockServer::start().await;
    let count = std::sync::atomic::AtomicUsize::new(0);
    let more = move |_: &wiremock::Request| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        ResponseTemplate::new(200).set_body_json(json!({ "tags": [format!("nbs_a_{number}")] }))
    };
    Mock::given(any()).respond_with(more).mount(&server).await;
    assert_trouble(open(&server).tags().await, Kind::TooLarge, "pages of tags");
    let null = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "tags": null })))
        .mount(&null)
        .await;
    assert_eq!(open(&null).tags().await.unwrap(), []);
}
