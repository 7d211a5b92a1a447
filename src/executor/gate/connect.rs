//! The far side of the gate: a name is resolved once, every address of it is judged, and exactly what was judged is
//! connected to. A second look-up could answer otherwise.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use axum::body::Body;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::policy::{Policy, Refusal, Way};

const PATIENCE: Duration = Duration::from_secs(15);

/// Bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Why nothing came of a request.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It may not pass.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It may, and the other side does not answer.
    #[error("{0}")]
    Failed(String),
}

fn failed(what: &str, error: impl std::fmt::Display) -> Trouble {
    Trouble::Failed(format!("{what}: {error}"))
}

/// A tunnel's far end.
pub async fn tunnel(policy: &Policy, way: &Way) -> Result<Box<dyn Duplex>, Trouble> {
    match way {
        Way::Named { host, port, upstream: Some(proxy) } => {
            let near = dial(&proxy.0, proxy.1, |_| Ok(())).await?;
            through(near, &authority(host, *port)).await
        }
        _ => Ok(Box::new(straight(policy, way).await?)),
    }
}

/// Sends a plain request on, and answers with what comes.
pub async fn plain(
    policy: &Policy,
    way: &Way,
    mut request: Request<Body>,
) -> Result<Response<Incoming>, Trouble> {
    let Way::Named { host, port, upstream } = way else {
        return Err(Trouble::Failed("only named hosts are reached without TLS".to_owned()));
    };
    let far = match upstream {
        Some(proxy) => dial(&proxy.0, proxy.1, |_| Ok(())).await?,
        None => straight(policy, way).await?,
    };
    let what = authority(host, *port);
    if upstream.is_none() {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|error| failed(&what, error))?;
    }
    request.headers_mut().insert(HOST, what.parse().map_err(|error| failed(&what, error))?);
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(far)).await.map_err(|error| failed(&what, error))?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| failed(&what, error))
}

async fn straight(policy: &Policy, way: &Way) -> Result<TcpStream, Trouble> {
    match way {
        Way::Named { host, port, .. } => dial(host, *port, |_| Ok(())).await,
        Way::Public { host, port } => {
            dial(host, *port, |addresses| policy.pass_addresses(host, addresses)).await
        }
    }
}

async fn dial(
    host: &str,
    port: u16,
    judge: impl Fn(&[IpAddr]) -> Result<(), Refusal>,
) -> Result<TcpStream, Trouble> {
    let what = authority(host, port);
    let found = timeout(PATIENCE, look_up(host.to_owned(), port)).await;
    let places = found.map_err(|error| failed(&what, error))?.map_err(|error| failed(&what, error))?;
    let addresses: Vec<IpAddr> = places.iter().map(SocketAddr::ip).collect();
    judge(&addresses)?;
    let mut why = "it has no address".to_owned();
    for place in places {
        match timeout(PATIENCE, TcpStream::connect(place)).await {
            Ok(Ok(stream)) => {
                // Only slower without.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => why = error.to_string(),
            Err(error) => why = error.to_string(),
        }
    }
    Err(failed(&what, why))
}

/// The system's resolver cannot be called off. Names that take it long hold threads, but few: the daemon needs its own.
async fn look_up(host: String, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    static THREADS: Semaphore = Semaphore::const_new(8);
    let permit = THREADS.acquire().await.map_err(std::io::Error::other)?;
    let looking = tokio::task::spawn_blocking(move || {
        let _held = permit;
        (host.as_str(), port).to_socket_addrs().map(Iterator::collect)
    });
    looking.await.map_err(std::io::Error::other)?
}

/// A tunnel through the operator's own proxy.
async fn through(near: TcpStream, to: &str) -> Result<Box<dyn Duplex>, Trouble> {
    let what = format!("{to} through the proxy");
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(near)).await.map_err(|error| failed(&what, error))?;
    tokio::spawn(connection.with_upgrades());
    let request = Request::connect(to).header(HOST, to).body(Body::empty());
    let request = request.map_err(|error| failed(&what, error))?;
    let answer = timeout(PATIENCE, sender.send_request(request)).await;
    let answer = answer.map_err(|error| failed(&what, error))?.map_err(|error| failed(&what, error))?;
    if !answer.status().is_success() {
        return Err(failed(&what, answer.status()));
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(|error| failed(&what, error))?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
