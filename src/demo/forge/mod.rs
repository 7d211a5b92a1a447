//! A forge inside the process: the API of Gitea 1.26 and git over HTTP, on a loopback port.
//!
//! `docent demo` shows the whole loop against it without any account, and the scenario tests drive it. It behaves as
//! the real one in everything that docent relies on, down to the words of a refusal, because the same cases run
//! against both. It can also be told to misbehave ([`Misbehaviour`]), and it writes down every request
//! ([`EmbeddedForge::requests`]), so that a test can prove what was *not* sent.
//!
//! It knows nothing of docent: whatever works here works by the API alone.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt as _;

mod api;
mod bare;
mod conversation;
mod git_http;
mod markdown;
mod misbehave;
mod pages;
mod push;
mod record;
mod scope;
mod serve;
mod setup;
mod state;
#[cfg(test)]
mod tests;

pub use conversation::{Comment, Status};
pub use misbehave::{Effect, Misbehaviour};
pub use record::RecordedRequest;
pub use state::Right;

/// What all parts of the forge share.
pub(crate) struct Shared {
    url: String,
    directory: PathBuf,
    state: Mutex<state::State>,
    /// Held while branches change, so that one change is followed to its end before the next. Taken before `state`.
    changes: Mutex<()>,
    record: Mutex<record::Record>,
    rules: Mutex<misbehave::Rules>,
    runtime: tokio::runtime::Handle,
}

impl Shared {
    fn git_directory(&self, repository: u64) -> PathBuf {
        self.directory.join(format!("{repository}.git"))
    }
}

/// A lock whose holder panicked is still a lock: the forge goes on answering.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A secret that nobody can guess, forty hexadecimal digits as the real forge makes them.
fn random_secret() -> String {
    let bytes: [u8; 20] = rand::rng().random();
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A running forge. When dropped, it stops: the port closes, requests under way are cut, git processes are killed.
pub struct EmbeddedForge {
    shared: Arc<Shared>,
    /// Its own, so that blocking set-up calls in a single-threaded test do not stop the server, and so that nothing outlives it.
    runtime: Option<tokio::runtime::Runtime>,
}

impl std::fmt::Debug for EmbeddedForge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedForge").field("url", &self.shared.url).finish_non_exhaustive()
    }
}

impl EmbeddedForge {
    /// Starts a forge without accounts on `127.0.0.1:port` (0: any free port) that keeps its git repositories in `directory`.
    ///
    /// # Errors
    /// The port is taken, the directory cannot be made, or there is no `git` program with `http-backend`.
    pub async fn start(directory: &Path, port: u16) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        let backend = git_http::find_backend()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("embedded-forge")
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            state: Mutex::new(state::State::new(url.clone())),
            url,
            directory,
            changes: Mutex::new(()),
            record: Mutex::default(),
            rules: Mutex::default(),
            runtime: runtime.handle().clone(),
        });
        let (served, guard) = (shared.clone(), runtime.enter());
        let listener = tokio::net::TcpListener::from_std(listener)?;
        drop(guard);
        runtime.spawn(async move {
            if let Err(error) = axum::serve(listener, serve::router(served, backend)).await {
                tracing::error!(%error, "the embedded forge stopped");
            }
        });
        Ok(Self { shared, runtime: Some(runtime) })
    }

    /// Where it answers: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Stops it and waits until nothing of it runs any more.
    pub async fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            let stopped =
                tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10)));
            if stopped.await.is_err() {
                tracing::warn!("the embedded forge did not stop cleanly");
            }
        }
    }

    /// Every request since the start, or since [`Self::forget_requests`], oldest first.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        lock(&self.shared.record).all()
    }

    /// Starts the record of requests anew.
    pub fn forget_requests(&self) {
        lock(&self.shared.record).forget();
    }

    /// From now on misbehaves as `rule` says, until it has done so as often as the rule says. The first rule that fits wins.
    pub fn misbehave(&self, rule: Misbehaviour) {
        lock(&self.shared.rules).add(rule);
    }

    /// Behaves again: drops all rules.
    pub fn behave(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Puts the forge's clock (its `Date` header and all its times) ahead of the machine's, or behind it.
    pub fn skew_clock(&self, ahead: chrono::Duration) {
        lock(&self.shared.state).skew = ahead;
    }

    /// Writes times in the zone that is this much east of Greenwich, as a server abroad does. Over 23 h is ignored.
    pub fn set_zone(&self, east: chrono::Duration) {
        if let Some(zone) =
            chrono::FixedOffset::east_opt(i32::try_from(east.num_seconds()).unwrap_or(i32::MAX))
        {
            lock(&self.shared.state).zone = zone;
        }
    }

    /// How much later than a push its event appears and `refs/pull/N/head` moves; at first at once.
    /// The real forge takes 0.4 to 2 seconds. A pull request asked for alone shows the new head at once.
    pub fn delay_pushes(&self, delay: Duration) {
        lock(&self.shared.state).push_delay = delay;
    }

    /// Whether the comments of a repository come in pages of 30 even when no page is asked for. Gitea 1.26 does so (the default here);
    /// earlier releases and Forgejo give all of them.
    pub fn page_comments(&self, paged: bool) {
        lock(&self.shared.state).pages_comments = paged;
    }
}

impl Drop for EmbeddedForge {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime must not wait for its threads where the caller's own runtime may need this one.
            runtime.shutdown_background();
        }
    }
}
