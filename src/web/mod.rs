//! The pages: what docent is doing, read from the store and shown to people without any script being needed.
//!
//! Everything here only reads. Almost every word on the pages is a stranger's, so three things hold everywhere: views
//! carry strangers' words as `text::Shown` alone, templates escape, and the browser is told to load and run nothing but
//! docent's own two files.

mod assets;
mod badge;
mod guard;
mod health;
mod kept;
mod link;
mod live;
mod pages;
mod problem;
mod text;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::store::{Files, Store};
use guard::Names;

/// Running logs that are followed at a time.
const FOLLOWERS: usize = 64;
/// How long answers under way may take after docent was asked to end.
const FAREWELL: Duration = Duration::from_secs(3);

/// What the pages show and where they read it.
#[derive(Clone)]
pub struct Pages {
    /// The state.
    pub store: Store,
    /// Logs and artifacts.
    pub files: Files,
    /// Tells how long ago something was.
    pub clock: Clock,
    /// Where people find the pages, for links in documents; no trailing slash.
    pub public_url: Option<String>,
    /// What is known of this docent now.
    pub about: watch::Receiver<About>,
}

/// What is known of this docent.
#[derive(Debug, Clone)]
pub struct About {
    /// Its version.
    pub version: String,
    /// What the executor's probe found: what, and how it is.
    pub executor: Vec<(String, String)>,
    /// What the report credential of each forge can do.
    pub reporting: BTreeMap<String, String>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// Why no run can begin now.
    pub trouble: Option<String>,
    /// Runs at a time.
    pub slots: usize,
}

/// What every answer is made from.
struct Site {
    pages: Pages,
    names: Names,
    closing: CancellationToken,
    followers: Arc<Semaphore>,
}

/// The pages as they answer on a loopback address: only under names that nobody else can own.
pub fn router(pages: Pages) -> Router {
    let names = local_names(&pages);
    routes(pages, names, CancellationToken::new())
}

/// Answers on `listener` until `shutdown`; followed logs then end, and what is under way gets a moment.
///
/// # Errors
/// The listener broke.
pub async fn serve(listener: TcpListener, pages: Pages, shutdown: CancellationToken) -> io::Result<()> {
    let names = match listener.local_addr()?.ip() {
        address if address.is_loopback() => local_names(&pages),
        IpAddr::V4(_) | IpAddr::V6(_) => Names::Any,
    };
    let router = routes(pages, names, shutdown.clone());
    let ending = shutdown.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(ending.cancelled_owned());
    tokio::select! {
        served = async { serving.await } => served,
        () = async { shutdown.cancelled().await; tokio::time::sleep(FAREWELL).await } => Ok(()),
    }
}

fn local_names(pages: &Pages) -> Names {
    let url = pages.public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
    Names::Local(url.and_then(|url| url.host_str().map(str::to_ascii_lowercase)))
}

fn routes(pages: Pages, names: Names, closing: CancellationToken) -> Router {
    let site = Arc::new(Site { pages, names, closing, followers: Arc::new(Semaphore::new(FOLLOWERS)) });
    Router::new()
        .route("/", get(pages::overview))
        .route("/runs", get(pages::runs))
        .route("/runs/{run}", get(pages::run))
        .route("/runs/{run}/result.json", get(kept::result))
        .route("/runs/{run}/log/{attempt}", get(live::log))
        .route("/runs/{run}/artifacts/{digest}", get(kept::artifact))
        .route("/commands", get(pages::commands))
        .route("/pulls/{forge}/{repository}/{number}", get(pages::pull))
        .route("/health", get(health::health))
        .route("/assets/{name}", get(assets::asset))
        .layer(from_fn_with_state(Arc::clone(&site), guard::guard))
        .with_state(site)
}
