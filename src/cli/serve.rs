//! `docent serve`: the daemon and its pages.

use std::path::Path;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::Trouble;
use super::assemble;
use crate::clock::Clock;
use crate::config::Config;
use crate::core::recipe::Recipe;
use crate::daemon::{Daemon, NotStarted};
use crate::executor::any::AnyExecutor;
use crate::forge::Proof;
use crate::forge::any::{AnyForge, AnyReporter};
use crate::web::{About, Pages};

/// A daemon of real adapters.
pub type AnyDaemon = Daemon<AnyForge, AnyReporter, AnyExecutor>;

/// Logs to standard error; `DOCENT_LOG` says how much (`info`, `docent=debug`, …), else `usual` does.
pub fn log(usual: &str) {
    let filter = EnvFilter::try_from_env("DOCENT_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let logging =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    let _ = logging.try_init();
}

/// Serves until TERM or INT.
pub async fn serve(named: Option<&Path>) -> Result<ExitCode, Trouble> {
    log("info");
    let config = assemble::load(named)?;
    let stop = CancellationToken::new();
    let signals = stop.clone();
    tokio::spawn(async move {
        wait_for_signal().await;
        signals.cancel();
    });
    let started = start(&config, ForgesDown::Wait).await?;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let watchdog = keep_watchdog(stop.clone());
    let served = started.run(stop).await;
    watchdog.abort();
    served.map(|()| ExitCode::SUCCESS)
}

/// What to do when a forge does not answer at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgesDown {
    /// Go on, and judge it when it answers.
    Wait,
    /// Give up.
    Fail,
}

/// A docent that is ready to run.
pub struct Started {
    /// The daemon.
    pub daemon: AnyDaemon,
    listener: TcpListener,
    pages: Pages,
    _lock: nix::fcntl::Flock<std::fs::File>,
}

/// Makes everything ready: state, executor, recipes, forges, pages; and judges every watch credential.
pub async fn start(config: &Config, down: ForgesDown) -> Result<Started, Trouble> {
    let lock = assemble::lock(&config.state_dir)?;
    let store = assemble::open_store(config)?;
    let instance = store.setting("instance", assemble::random_id).await?;
    let shelf = assemble::load_shelf(config, &config.state_dir)?;
    let mut warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    let version =
        crate::git::Git::default().version().await.map_err(|error| Trouble::Usage(error.to_string()))?;
    tracing::info!(git = %version, state = %config.state_dir.display(), "starting");

    let socket = config.socket.as_deref();
    let executor = assemble::executor(
        config.executor,
        socket,
        &config.index_hosts,
        &config.state_dir,
        &instance,
        &shelf,
    )
    .await?;
    let probe = assemble::probe(&executor).await;
    for (what, how) in &probe {
        tracing::info!(%what, %how, "executor");
    }
    for recipe in shelf.recipes.values().filter(|recipe| is_wanted(config, recipe)) {
        if !assemble::has_image(&executor, &recipe.image).await.unwrap_or(false) {
            let text = format!(
                "the image {} is missing: make it with `docent recipe build {}`",
                recipe.image, recipe.name
            );
            tracing::warn!("{text}");
            warnings.push(text);
        }
    }
    let parts = assemble::parts(config, store.clone(), shelf, executor, &instance).await?;
    let files = parts.files.clone();
    let daemon = Daemon::new(parts);
    for forge in &config.forges {
        enrol(&daemon, &forge.name, down, &mut warnings).await?;
    }
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| Trouble::Usage(format!("listen = \"{}\": {error}", config.listen)))?;
    tracing::info!(pages = %format!("http://{}", listener.local_addr()?), "ready");
    let pages = Pages {
        store,
        files,
        clock: Clock::system(),
        public_url: config.public_url.clone(),
        about: About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            executor: probe,
            warnings,
            slots: config.slots,
        },
    };
    Ok(Started { daemon, listener, pages, _lock: lock })
}

impl Started {
    /// Where the pages are.
    pub fn address(&self) -> Result<std::net::SocketAddr, Trouble> {
        Ok(self.listener.local_addr()?)
    }

    /// Runs until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Trouble> {
        let pages = tokio::spawn(crate::web::serve(self.listener, self.pages, stop.clone()));
        let ran = self.daemon.run(stop.clone()).await;
        stop.cancel();
        pages.await??;
        Ok(ran?)
    }
}

async fn enrol(
    daemon: &AnyDaemon,
    forge: &str,
    down: ForgesDown,
    warnings: &mut Vec<String>,
) -> Result<(), Trouble> {
    match daemon.enrol(forge).await {
        Ok(enrolment) => {
            match &enrolment.proof {
                Proof::ReadOnly { evidence } => {
                    tracing::info!(forge, %evidence, "the watch credential is proven read-only");
                }
                Proof::CanWrite { rights, evidence } => {
                    let text = format!(
                        "the watch credential of {forge} can write ({}), as you have allowed",
                        rights.join(", ")
                    );
                    tracing::warn!(%evidence, "{text}");
                    warnings.push(text);
                }
                Proof::Unproven { why } => {
                    let text = format!("the watch credential of {forge} is unproven: {why}");
                    tracing::warn!("{text}");
                    warnings.push(text);
                }
            }
            for missing in enrolment.missing {
                tracing::warn!(forge, %missing, "a repository could not be looked up; it will be tried again");
            }
            Ok(())
        }
        Err(error @ NotStarted::CanWrite { .. }) => Err(Trouble::Refused(error.to_string())),
        Err(NotStarted::Forge(error)) if down == ForgesDown::Wait => {
            tracing::warn!(forge, %error, "the forge cannot be asked yet; it is not watched before its credential is judged");
            Ok(())
        }
        Err(error) => Err(Trouble::Machinery(error.into())),
    }
}

/// Whether a watched repository may come to run this recipe: one names it, or one names none and it may fit.
fn is_wanted(config: &Config, recipe: &Recipe) -> bool {
    config.repositories.iter().any(|repository| match &repository.recipe {
        Some(name) => *name == recipe.name,
        None => !recipe.detect.is_empty(),
    })
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

fn keep_watchdog(stop: CancellationToken) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let Some(interval) = sd_notify::watchdog_enabled() else { return };
        while !stop.is_cancelled() {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            tokio::time::sleep(interval / 3).await;
        }
    })
}
