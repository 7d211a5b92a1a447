//! A registry in this process, which does what registries do wrong: on request, at a request, a number of times.
#![allow(dead_code, reason = "every test program compiles all of it and uses some")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::Notify;

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Wrong {
    /// Answers with this code and text, and `Retry-After: 1`.
    Status(u16, &'static str),
    /// Answers late.
    Late(Duration),
    /// Does what it is asked, and never says so.
    Silent,
    /// Gives another manifest than it has.
    Other,
}

#[derive(Default)]
struct Inner {
    blobs: Mutex<BTreeMap<String, Bytes>>,
    manifests: Mutex<BTreeMap<String, Bytes>>,
    wrongs: Mutex<Vec<(Method, &'static str, Wrong, usize)>>,
    requests: Mutex<Vec<(Method, String)>>,
    /// A request was answered with silence.
    silence: Notify,
}

/// The registry; gone when it is dropped.
pub struct RegistryDouble {
    /// `127.0.0.1:PORT`.
    pub address: SocketAddr,
    inner: Arc<Inner>,
    _runtime: tokio::runtime::Runtime,
}

impl RegistryDouble {
    pub fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inner: Arc<Inner> = Arc::default();
        let application = axum::Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, application).await });
        Self { address, inner, _runtime: runtime }
    }

    /// Requests of this method to paths with this part go wrong, so often.
    pub fn misbehave(&self, method: Method, part: &'static str, wrong: Wrong, times: usize) {
        self.inner.wrongs.lock().unwrap().push((method, part, wrong, times));
    }

    /// Waits until a request was answered with silence.
    pub fn wait_for_silence(&self) {
        self._runtime.block_on(self.inner.silence.notified());
    }

    /// Tags and the digests that they name.
    pub fn tags(&self) -> Vec<(String, String)> {
        let manifests = self.inner.manifests.lock().unwrap();
        manifests.iter().map(|(tag, bytes)| (tag.clone(), digest(bytes))).collect()
    }

    /// Requests of this method to paths with this part.
    pub fn count(&self, method: &Method, part: &str) -> usize {
        let requests = self.inner.requests.lock().unwrap();
        requests.iter().filter(|(of, path)| of == method && path.contains(part)).count()
    }
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let (method, path) = (parts.method, parts.uri.path().to_owned());
    inner.requests.lock().unwrap().push((method.clone(), path.clone()));
    let wrong = {
        let mut wrongs = inner.wrongs.lock().unwrap();
        let found = wrongs
            .iter_mut()
            .find(|(of, part, _, times)| *of == method && path.contains(*part) && *times > 0);
        found.map(|(_, _, wrong, times)| {
            *times -= 1;
            wrong.clone()
        })
    };
    match wrong {
        None => inner.obey(&method, &path, parts.uri.query().unwrap_or_default(), body),
        Some(Wrong::Status(code, text)) => {
            (StatusCode::from_u16(code).unwrap(), [("Retry-After", "1")], text).into_response()
        }
        Some(Wrong::Late(length)) => {
            tokio::time::sleep(length).await;
            inner.obey(&method, &path, parts.uri.query().unwrap_or_default(), body)
        }
        Some(Wrong::Silent) => {
            inner.obey(&method, &path, parts.uri.query().unwrap_or_default(), body);
            inner.silence.notify_one();
            std::future::pending().await
        }
        Some(Wrong::Other) => "{\"schemaVersion\": 2, \"layers\": []}".into_response(),
    }
}

impl Inner {
    fn obey(&self, method: &Method, path: &str, query: &str, body: Bytes) -> Response {
        let last = path.rsplit('/').next().unwrap().to_owned();
        let (mut blobs, mut manifests) = (self.blobs.lock().unwrap(), self.manifests.lock().unwrap());
        let found = |bytes: Option<&Bytes>| match bytes {
            Some(bytes) => bytes.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        };
        match method.as_str() {
            "GET" if path.ends_with("/tags/list") => {
                let tags: Vec<&String> = manifests.keys().collect();
                serde_json::json!({ "name": "x", "tags": tags }).to_string().into_response()
            }
            "GET" | "HEAD" if path.contains("/blobs/") => found(blobs.get(&last)),
            "GET" | "HEAD" => found(manifests.get(&last)),
            "POST" => {
                (StatusCode::ACCEPTED, [("Location", "/v2/astro/images/blobs/uploads/1")]).into_response()
            }
            "PUT" if path.contains("/blobs/") => {
                assert!(query.contains("digest=sha256"), "{query}");
                blobs.insert(digest(&body), body);
                StatusCode::CREATED.into_response()
            }
            "PUT" => {
                manifests.insert(last, body);
                StatusCode::CREATED.into_response()
            }
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        }
    }
}
