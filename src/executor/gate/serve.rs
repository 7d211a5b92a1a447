//! The near side of the gate: what an attempt asks, answered. HTTP is read by a library; what is asked is judged by the
//! policy; what does not pass is told in one line, to the tool that asked and for the attempt's log.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::connect::{self, Duplex, Trouble};
use super::policy::Policy;

/// Connections at once; more wait.
const CONNECTIONS: usize = 128;
/// A request's head has this long to come.
const HEAD: Duration = Duration::from_secs(30);
const HEAD_BYTES: usize = 16 << 10;
/// A tunnel in which nothing moves for so long is closed.
const IDLE: Duration = Duration::from_secs(180);
const CHUNK: usize = 16 << 10;
/// Different refusals that are told.
const TOLD: usize = 20;

/// What a plain request may carry on: nothing that says who asks.
const CARRIED: [HeaderName; 8] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CACHE_CONTROL,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::RANGE,
    header::USER_AGENT,
];

/// What belongs to one connection, not to the answer.
const OF_THE_CONNECTION: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The refusals of one gate, each once.
#[derive(Debug, Clone, Default)]
pub struct Told {
    lines: Arc<Mutex<Vec<String>>>,
    is_aloud: bool,
}

impl Told {
    /// Each is also written to the standard output.
    pub fn aloud() -> Self {
        Self { is_aloud: true, ..Self::default() }
    }

    /// What was refused so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, line: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < TOLD && !lines.iter().any(|it| it == line) {
            lines.push(line.to_owned());
            if self.is_aloud {
                println!("{line}");
            }
        }
    }
}

/// A gate for one attempt.
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    told: Told,
}

impl Gate {
    /// One that lets pass what this policy does, and tells here what it does not.
    pub fn new(policy: Policy, told: Told) -> Self {
        Self { policy, told }
    }

    /// Answers who comes, until it is stopped; then nothing of it is left.
    pub async fn serve(self, mut listener: impl Listener, stop: CancellationToken) {
        let gate = Arc::new(self);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let next = async {
                let place = places.clone().acquire_owned().await;
                (place, listener.accept().await.0)
            };
            let Some((Ok(place), near)) = stop.run_until_cancelled(next).await else { return };
            let (gate, stop) = (gate.clone(), stop.clone());
            tokio::spawn(async move {
                let visit = Visit { gate, place: Arc::new(place), stop: stop.clone() };
                let service = service_fn(move |request| {
                    let visit = visit.clone();
                    async move { Ok::<_, Infallible>(visit.answer(request).await) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .max_buf_size(HEAD_BYTES)
                    // Who has asked may be silent from then on, and still wants the answer.
                    .half_close(true)
                    .serve_connection(TokioIo::new(near), service)
                    .with_upgrades();
                // Who breaks off is nobody's concern.
                let _ = stop.run_until_cancelled(connection).await;
            });
        }
    }
}

/// One connection to the gate.
#[derive(Debug, Clone)]
struct Visit {
    gate: Arc<Gate>,
    place: Arc<OwnedSemaphorePermit>,
    stop: CancellationToken,
}

impl Visit {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let what = format!("{} {}", request.method(), request.uri());
        let done = if request.method() == Method::CONNECT {
            self.tunnel(request).await
        } else {
            self.plain(request).await
        };
        match done {
            Ok(response) => response,
            Err(Trouble::Refused(why)) => {
                self.gate.told.note(&format!("docent's gate refused: {why}"));
                denied(StatusCode::FORBIDDEN, &format!("docent's gate: {why}"))
            }
            Err(Trouble::Failed(why)) => {
                tracing::debug!(what, why, "the gate reaches nobody");
                denied(StatusCode::BAD_GATEWAY, &format!("docent's gate: {why}"))
            }
        }
    }

    async fn tunnel(&self, request: Request<Incoming>) -> Result<Response<Body>, Trouble> {
        let policy = &self.gate.policy;
        let to = request.uri().authority().cloned();
        let (host, port) = to.as_ref().map_or(("", 0), |to| (to.host(), to.port_u16().unwrap_or(0)));
        let way = policy.way(true, host, port)?;
        let far = connect::tunnel(policy, &way).await?;
        let (place, stop) = (self.place.clone(), self.stop.clone());
        tokio::spawn(async move {
            let both = async {
                if let Ok(near) = hyper::upgrade::on(request).await {
                    join(TokioIo::new(near), far).await;
                }
            };
            stop.run_until_cancelled(both).await;
            drop(place);
        });
        Ok(Response::new(Body::empty()))
    }

    async fn plain(&self, request: Request<Incoming>) -> Result<Response<Body>, Trouble> {
        let policy = &self.gate.policy;
        let uri = request.uri().clone();
        let is_plain =
            uri.scheme_str() == Some("http") && matches!(*request.method(), Method::GET | Method::HEAD);
        // Whatever else it is, the policy of tunnels has words for what may be done instead.
        let port = uri.port_u16().unwrap_or(if is_plain { 80 } else { 0 });
        let way = policy.way(!is_plain, uri.host().unwrap_or_default(), port)?;
        let mut onward = Request::new(Body::empty());
        *onward.method_mut() = request.method().clone();
        *onward.uri_mut() = uri;
        *onward.headers_mut() = carried(request.headers());
        let (mut head, body) = connect::plain(policy, &way, onward).await?.into_parts();
        for name in OF_THE_CONNECTION {
            head.headers.remove(name);
        }
        head.version = hyper::Version::HTTP_11;
        Ok(Response::from_parts(head, Body::new(body)))
    }
}

fn carried(headers: &HeaderMap) -> HeaderMap {
    let kept = CARRIED.into_iter().filter_map(|name| Some((name.clone(), headers.get(&name)?.clone())));
    kept.collect()
}

/// The line is in the body and in the status line: of a tunnel that is refused, most tools show no more than that.
fn denied(status: StatusCode, line: &str) -> Response<Body> {
    let line: String = line.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    let mut response = Response::new(Body::from(format!("{line}\n")));
    *response.status_mut() = status;
    if let Ok(reason) = ReasonPhrase::try_from(line.into_bytes()) {
        response.extensions_mut().insert(reason);
    }
    response
}

/// Copies in both directions until both have ended, or nothing moves.
async fn join(near: impl AsyncRead + AsyncWrite + Unpin, far: Box<dyn Duplex>) {
    let moved = Mutex::new(Instant::now());
    let (near_reads, near_writes) = tokio::io::split(near);
    let (far_reads, far_writes) = tokio::io::split(far);
    tokio::join!(copy(near_reads, far_writes, &moved), copy(far_reads, near_writes, &moved));
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, moved: &Mutex<Instant>) {
    let mut buffer = vec![0; CHUNK];
    let last = || *moved.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let count = match timeout(IDLE, from.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => count,
            Err(_) if last().elapsed() < IDLE => continue,
            _ => break,
        };
        *moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let Some(bytes) = buffer.get(..count) else { break };
        if !matches!(timeout(IDLE, to.write_all(bytes)).await, Ok(Ok(()))) {
            break;
        }
    }
    // The other side learns that no more comes; it may be gone already.
    let _ = to.shutdown().await;
}
