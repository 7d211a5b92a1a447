//! A git server for tests: `git http-backend` behind axum, with Basic authentication, a record of all
//! requests, and bad manners on demand.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use base64::Engine as _;
use tokio::io::AsyncWriteExt as _;

pub struct GitServer {
    pub address: std::net::SocketAddr,
    state: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    root: PathBuf,
    wanted: Option<String>,
    manners: Mutex<Manners>,
    requests: Mutex<Vec<Seen>>,
    has_listed: AtomicBool,
}

/// How the server behaves towards requests for repositories.
#[derive(Clone, Debug, Default)]
pub enum Manners {
    #[default]
    Good,
    /// Never answers.
    Hang,
    /// Sends endless bytes of a pack.
    Flood,
    /// Answers with a redirect to this address and the request's own path.
    RedirectTo(String),
    Status(u16),
    /// Repeats what it was sent in its errors, the credential included.
    Echo,
    /// Closes in the middle of the pack.
    Cut,
    NotGit,
    /// Knows no commit by its SHA until its refs have been listed.
    OnlyByRef,
    /// Speaks the first version of the protocol, which gives only what refs name.
    OldProtocol,
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub target: String,
    pub authorization: Option<String>,
}

impl GitServer {
    /// Serves the bare repositories below `root`; with `credential`, only to who knows it.
    pub async fn start(root: &Path, credential: Option<(&str, &str)>) -> Self {
        let encode = |(user, token): (&str, &str)| {
            let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{token}"));
            format!("Basic {encoded}")
        };
        let state = Arc::new(Shared {
            root: root.to_owned(),
            wanted: credential.map(encode),
            manners: Mutex::default(),
            requests: Mutex::default(),
            has_listed: AtomicBool::new(false),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new().fallback(answer).with_state(state.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, state, task }
    }

    pub fn url(&self, repository: &str) -> url::Url {
        format!("http://{}/{repository}", self.address).parse().unwrap()
    }

    pub fn behave(&self, manners: Manners) {
        *self.state.manners.lock().unwrap() = manners;
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(state): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let authorization = parts.headers.get(header::AUTHORIZATION).map(|v| v.to_str().unwrap().to_owned());
    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let seen =
        Seen { method: parts.method.clone(), target: target.clone(), authorization: authorization.clone() };
    state.requests.lock().unwrap().push(seen);
    let manners = state.manners.lock().unwrap().clone();
    let is_pack = parts.method == Method::POST && has_fetch(&parts.headers);
    match manners {
        Manners::Good => {}
        Manners::Hang => std::future::pending().await,
        Manners::RedirectTo(to) => {
            return response(StatusCode::MOVED_PERMANENTLY)
                .header(header::LOCATION, to + &target)
                .body(Body::empty())
                .unwrap();
        }
        Manners::Status(code) => return plain(StatusCode::from_u16(code).unwrap(), "no"),
        Manners::Echo => {
            let said = authorization.unwrap_or_default();
            let decoded = base64::engine::general_purpose::STANDARD.decode(said.trim_start_matches("Basic "));
            let token = String::from_utf8(decoded.unwrap_or_default()).unwrap();
            let token = token.split_once(':').map(|(_, token)| token.to_owned()).unwrap_or_default();
            let packet = format!("ERR you sent {said} that is {token}");
            let body = format!("001e# service=git-upload-pack\n0000{:04x}{packet}", packet.len() + 4);
            let content = "application/x-git-upload-pack-advertisement";
            return response(StatusCode::OK).header(header::CONTENT_TYPE, content).body(body.into()).unwrap();
        }
        Manners::NotGit => return plain(StatusCode::OK, "<html>Welcome</html>"),
        Manners::Flood | Manners::Cut | Manners::OnlyByRef | Manners::OldProtocol => {}
    }
    if state.wanted.is_some() && state.wanted != authorization {
        let refusal =
            response(StatusCode::UNAUTHORIZED).header(header::WWW_AUTHENTICATE, "Basic realm=\"git\"");
        return refusal.body(Body::empty()).unwrap();
    }
    let mut headers = parts.headers;
    if matches!(manners, Manners::OldProtocol) {
        headers.remove("git-protocol");
    }
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    if body.windows(15).any(|part| part == b"command=ls-refs") {
        state.has_listed.store(true, Ordering::Relaxed);
    }
    let is_pack = is_pack && body.windows(13).any(|part| part == b"command=fetch");
    if matches!(manners, Manners::OnlyByRef) && is_pack && !state.has_listed.load(Ordering::Relaxed) {
        let content = "application/x-git-upload-pack-result";
        let error = pkt(b"ERR upload-pack: not our ref");
        return response(StatusCode::OK).header(header::CONTENT_TYPE, content).body(error.into()).unwrap();
    }
    let (status, headers, body) = backend(&state.root, &parts.method, &parts.uri, &headers, body).await;
    let mut built = Response::builder().status(status);
    for (name, value) in headers {
        built = built.header(name, value);
    }
    match manners {
        Manners::Flood if is_pack => built.body(Body::from_stream(flood())).unwrap(),
        Manners::Cut if is_pack => {
            let half = body.slice(..body.len() / 2);
            let broken = Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
            built.body(Body::from_stream(futures_util::stream::iter([Ok(half), broken]))).unwrap()
        }
        _ => built.body(Body::from(body)).unwrap(),
    }
}

fn has_fetch(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|v| v == "application/x-git-upload-pack-request")
}

/// A pack that says it has one blob of four gigabytes that cannot be compressed, and goes on sending it.
fn flood() -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    let mut start = b"PACK\x00\x00\x00\x02\x00\x00\x00\x01".to_vec();
    start.extend([0xb0, 0x80, 0x80, 0x80, 0x80, 0x01]);
    start.extend([0x78, 0x01]);
    let first = [pkt(b"packfile\n"), side_band(&start)].concat();
    let block = [&[0x00, 0xff, 0xff, 0x00, 0x00][..], &[0x55; 65_535]].concat();
    let packets = block.chunks(60_000).map(side_band).collect::<Vec<_>>().concat();
    let more = futures_util::stream::repeat_with(move || Ok(Bytes::from(packets.clone())));
    futures_util::StreamExt::chain(futures_util::stream::iter([Ok(Bytes::from(first))]), more)
}

fn pkt(content: &[u8]) -> Vec<u8> {
    [format!("{:04x}", content.len() + 4).as_bytes(), content].concat()
}

fn side_band(content: &[u8]) -> Vec<u8> {
    pkt(&[&[1], content].concat())
}

fn response(status: StatusCode) -> axum::http::response::Builder {
    Response::builder().status(status)
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    response(status).header(header::CONTENT_TYPE, "text/html").body(Body::from(text)).unwrap()
}

type Answer = (StatusCode, Vec<(String, String)>, Bytes);

/// Common Gateway Interface, as far as `git http-backend` wants it.
async fn backend(
    root: &Path,
    method: &Method,
    uri: &axum::http::Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Answer {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("REQUEST_METHOD", method.as_str())
        .env("PATH_INFO", uri.path())
        .env("QUERY_STRING", uri.query().unwrap_or(""))
        .env("CONTENT_TYPE", text("content-type"))
        .env("HTTP_CONTENT_ENCODING", text("content-encoding"))
        .env("GIT_PROTOCOL", text("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed = async move {
        let _ = stdin.write_all(&body).await;
        drop(stdin);
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feed);
    let output = output.unwrap().stdout;
    let end = output.windows(4).position(|part| part == b"\r\n\r\n").unwrap_or(0);
    let mut status = StatusCode::OK;
    let mut headers = Vec::new();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        if name == "Status" {
            status = value[..3].parse().unwrap();
        } else {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    (status, headers, Bytes::from(output).slice(end + 4..))
}
