//! `docent serve`: the daemon and its pages.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing_subscriber::EnvFilter;

use super::Trouble;
use super::assemble;
use super::search::{self, Search};
use crate::clock::Clock;
use crate::config::{Config, ExecutorKind};
use crate::daemon::{Daemon, NotStarted};
use crate::executor::any::AnyExecutor;
use crate::executor::awaited::{Awaited, awaited};
use crate::forge::Proof;
use crate::forge::any::{AnyForge, AnyReporter};
use crate::web::{About, Pages};

/// A daemon of real adapters.
pub type AnyDaemon = Daemon<AnyForge, AnyReporter, Awaited<AnyExecutor>>;

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
    let started = start(&config, Down::Wait).await?;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let watchdog = keep_watchdog(stop.clone());
    let served = started.run(stop).await;
    watchdog.abort();
    served.map(|()| ExitCode::SUCCESS)
}

/// What to do when a forge or an engine does not answer at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// Go on, and use it when it answers.
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
    executor: Awaited<AnyExecutor>,
    search: AbortOnDropHandle<()>,
    _lock: nix::fcntl::Flock<std::fs::File>,
}

/// Makes everything ready: state, recipes, forges, pages; and judges every watch credential. The executor is found and
/// tried out meanwhile and after; until then no run begins.
pub async fn start(config: &Config, down: Down) -> Result<Started, Trouble> {
    let lock = assemble::lock(&config.state_dir)?;
    let store = assemble::open_store(config)?;
    let instance = store.setting("instance", assemble::random_id).await?;
    let shelf = assemble::load_shelf(config, &config.state_dir)?;
    let about = About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        executor: vec![("engine".to_owned(), "is being looked for".to_owned())],
        warnings: config.warnings.iter().map(ToString::to_string).collect(),
        reporting: BTreeMap::new(),
        trouble: None,
        slots: config.slots,
    };
    let (told, about) = watch::channel(about);
    let version =
        crate::git::Git::default().version().await.map_err(|error| Trouble::Usage(error.to_string()))?;
    tracing::info!(git = %version, state = %config.state_dir.display(), "starting");

    let search = Search::new(config, &instance, &shelf, &store, told.clone());
    // Waiting does not install a sandbox.
    let given = match config.executor {
        ExecutorKind::Container | ExecutorKind::Auto if down == Down::Wait => None,
        _ => Some(search.once().await?),
    };
    let (word, executor) = awaited();
    let search = AbortOnDropHandle::new(tokio::spawn(search.run(given, word)));
    let parts = assemble::parts(config, store.clone(), shelf, executor.clone(), &instance).await?;
    for forge in config.forges.iter().filter(|forge| parts.reporters.contains_key(&forge.name)) {
        if parts.policy.own_accounts.get(&forge.name).is_none_or(Vec::is_empty) {
            let text = assemble::unknown_account(&forge.name);
            tracing::warn!("{text}");
            told.send_modify(|about| about.warnings.push(text));
        }
    }
    let files = parts.files.clone();
    let daemon = Daemon::new(parts);
    for forge in &config.forges {
        enrol(&daemon, &forge.name, down, &told).await?;
    }
    tell_report_rights(config, &told).await?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| Trouble::Usage(format!("listen = \"{}\": {error}", config.listen)))?;
    tracing::info!(pages = %format!("http://{}", listener.local_addr()?), "ready");
    let pages = Pages { store, files, clock: Clock::system(), public_url: config.public_url.clone(), about };
    Ok(Started { daemon, listener, pages, executor, search, _lock: lock })
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
        if !self.search.is_finished() {
            self.search.abort();
            let _ = self.search.await;
            search::put_away(&self.executor).await;
        }
        pages.await??;
        Ok(ran?)
    }
}

async fn enrol(
    daemon: &AnyDaemon,
    forge: &str,
    down: Down,
    told: &watch::Sender<About>,
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
                    told.send_modify(|about| about.warnings.push(text));
                }
                Proof::Unproven { why } => {
                    let text = format!("the watch credential of {forge} is unproven: {why}");
                    tracing::warn!("{text}");
                    told.send_modify(|about| about.warnings.push(text));
                }
            }
            for missing in enrolment.missing {
                tracing::warn!(forge, %missing, "a repository could not be looked up; it will be tried again");
            }
            Ok(())
        }
        Err(error @ NotStarted::CanWrite { .. }) => Err(Trouble::Refused(error.to_string())),
        Err(NotStarted::Forge(error)) if down == Down::Wait => {
            tracing::warn!(forge, %error, "the forge cannot be asked yet; it is not watched before its credential is judged");
            Ok(())
        }
        Err(error) => Err(Trouble::Machinery(error.into())),
    }
}

/// Says what each report credential can do. A forge that does not answer now keeps docent from nothing.
async fn tell_report_rights(config: &Config, told: &watch::Sender<About>) -> Result<(), Trouble> {
    let secrets = assemble::secrets(config);
    for forge in &config.forges {
        let text = match assemble::prove_reporter(forge, &secrets).await? {
            None => continue,
            Some(Ok(proof)) => {
                let (is_odd, how) = assemble::reporting_rights(&proof);
                if is_odd {
                    tracing::warn!(forge = forge.name, %how, "the report credential");
                    let text = format!("the report credential of {} {how}", forge.name);
                    told.send_modify(|about| about.warnings.push(text));
                } else {
                    tracing::info!(forge = forge.name, %how, "the report credential");
                }
                how
            }
            Some(Err(error)) => {
                tracing::warn!(forge = forge.name, %error, "what the report credential can do is not known yet");
                format!("not known yet: {error}")
            }
        };
        told.send_modify(|about| drop(about.reporting.insert(forge.name.clone(), text)));
    }
    Ok(())
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
