//! `docent run`: the same request, the same tiers, the same document, without a forge.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::Trouble;
use super::assemble;
use super::bundled;
use super::outcome::code_of;
use super::recipe::kind_of;
use super::scratch::{Scratch, sweep};
use crate::config::{self, Config};
use crate::core::bundle;
use crate::core::command::TestOptions;
use crate::core::event::{Ask, Event};
use crate::core::extra;
use crate::core::id::{AttemptId, RunId};
use crate::core::neutral;
use crate::core::report::{extra_status, headline};
use crate::core::result::{Document, Origin};
use crate::core::run::{Kept, Party, Request, Run, Trigger};
use crate::daemon::{CURATED, Daemon, has_results};
use crate::executor::awaited::Awaited;
use crate::store::{Files, Store};

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub struct RunHere {
    /// A folder, the address of a repository (with --sha), or a bundle: a file, or its address.
    #[arg(default_value = ".")]
    pub(super) place: String,
    /// The commit; a folder is run as it is without it.
    #[arg(long)]
    sha: Option<String>,
    /// The recipe; else the one that fits.
    #[arg(long)]
    recipe: Option<String>,
    /// The opt-in tiers too.
    #[arg(long, env = "EXTRA_TESTS", value_parser = clap::builder::FalseyValueParser::new())]
    extra_tests: bool,
    /// Only up to this tier.
    #[arg(long)]
    tier: Vec<String>,
    /// Only notebooks that fit this pattern.
    #[arg(long)]
    notebooks: Option<String>,
    /// Only this test, by its name; several times for several.
    #[arg(long, value_name = "NAME")]
    test: Vec<String>,
    /// The spec to curate, by its path in the repository, where there are several.
    #[arg(long, value_name = "PATH")]
    spec: Option<String>,
    /// Ignore results that could be reused.
    #[arg(long)]
    pub(super) full: bool,
    /// Begin with nothing of earlier runs, and leave nothing to later ones: no environment, no result.
    #[arg(long)]
    pub(super) forget: bool,
    /// Where result.json, logs and artifacts go.
    #[arg(long, default_value = "docent-result")]
    output: PathBuf,
    /// Where untrusted code runs.
    #[arg(long, value_parser = ["auto", "container", "sandbox"], default_value = "auto")]
    executor: String,
}

impl RunHere {
    /// A run of the spec of this name in this folder.
    pub fn of_spec(folder: &Path, name: &str, executor: &str, output: &Path) -> Self {
        Self {
            place: folder.to_string_lossy().into_owned(),
            sha: None,
            recipe: Some("notebook".to_owned()),
            extra_tests: false,
            tier: Vec::new(),
            notebooks: None,
            test: Vec::new(),
            spec: Some(name.to_owned()),
            full: false,
            forget: false,
            output: output.to_owned(),
            executor: executor.to_owned(),
        }
    }
}

/// The configuration if there is one, else what suits a laptop: state in the person's own state folder, no forge. Root's
/// sandboxes run as another user, who cannot look into root's home: there it is a folder that everybody may enter.
pub fn here_config(named: Option<&Path>) -> Result<Config, Trouble> {
    // Not ./docent.toml: the folder may hold the code under test, and policy never comes from there.
    let installed = Path::new("/etc/docent/docent.toml");
    if named.is_some() || installed.is_file() {
        return assemble::load(named.or(Some(installed)));
    }
    let mut config =
        config::parse("(none)", "").map_err(|_| Trouble::Usage("no configuration".to_owned()))?;
    config.state_dir = own_state_dir();
    std::fs::create_dir_all(&config.state_dir)?;
    Ok(config)
}

/// Where a person's own images and the like are kept.
pub fn own_state_dir() -> PathBuf {
    let named = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = if nix::unistd::geteuid().is_root() {
        // Sandboxes of root run as nobody, who must be able to reach their images.
        named.unwrap_or_else(|| PathBuf::from("/var/cache"))
    } else {
        let own = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        named.or(own).unwrap_or_else(std::env::temp_dir)
    };
    home.join("docent")
}

/// Runs, shows progress, and leaves the results in the output folder.
pub async fn run(named: Option<&Path>, arguments: &RunHere) -> Result<ExitCode, Trouble> {
    let config = here_config(named)?;
    let arguments = &with_stages(arguments.clone(), std::env::var(STAGES).ok().as_deref())?;
    let mut shelf = assemble::load_shelf(&config, &config.state_dir)?;
    let scratch = Scratch::new(&config.state_dir)?;
    let bundle = bundled::open(&arguments.place, arguments.sha.is_some(), scratch.path()).await?;
    let request = match bundle {
        Some(unpacked) => bundled::request(arguments, unpacked, &mut shelf)?,
        None => request(arguments)?,
    };
    if let Some(name) = request.recipe.as_ref().filter(|name| !shelf.recipes.contains_key(*name)) {
        return Err(Trouble::Usage(format!("there is no recipe {name:?}")));
    }
    if let Some(pattern) = &request.options.notebooks {
        crate::core::select::pattern(pattern)
            .map_err(|error| Trouble::Usage(format!("--notebooks: {error}")))?;
    }
    if let Some(recipe) = request.recipe.as_ref().and_then(|name| shelf.recipes.get(name)) {
        crate::core::plan::tiers(recipe, &request.options)
            .map_err(|error| Trouble::Usage(format!("--tier: {error}")))?;
    }
    sweep(&config.state_dir, config.socket.as_deref(), &shelf).await;
    let kind = kind_of(&arguments.executor, config.executor);
    let socket = config.socket.as_deref();
    let memory = if arguments.forget { None } else { remembered(&config.state_dir)? };
    let (memory, store) = match memory {
        Some((memory, store)) => (Some(memory), store),
        None => (None, Store::in_memory()?),
    };
    let place = memory.as_ref().unwrap_or(&scratch);
    let (home, instance) = (place.path(), place.instance());
    let executor = assemble::executor(kind, socket, &config.index_hosts, home, instance, &shelf).await?;
    // Forges have no part in this: what they say does not change what runs here.
    let local = Config {
        forges: Vec::new(),
        repositories: Vec::new(),
        // Where nothing is remembered, nobody comes after this run.
        environments: if memory.is_some() { config.environments } else { 0 },
        state_dir: home.to_owned(),
        ..config
    };
    let executor = Awaited::here(executor);
    let parts = assemble::parts(&local, store.clone(), shelf, executor, instance).await?;
    let files = parts.files.clone();
    let daemon = Daemon::new(parts);
    // What was killed is not gone on with: its place is needed, and nobody waits for it.
    for run in store.open_runs().await? {
        daemon.step(Event::OperatorAsked { ask: Ask::Cancel { run: run.id } }, None).await?;
    }
    let stop = CancellationToken::new();
    let running = {
        let (daemon, stop) = (daemon.clone(), stop.clone());
        tokio::spawn(async move { daemon.run(stop).await })
    };
    daemon.step(Event::OperatorAsked { ask: Ask::Run { request: Box::new(request) } }, None).await?;
    let asked = store.latest_runs(1, None).await?.first().map(|run| run.id);
    let asked = asked.ok_or_else(|| Trouble::Machinery(anyhow::anyhow!("the run is not on record")))?;
    let run = follow(&daemon, &store, &files, asked).await?;
    stop.cancel();
    running.await??;
    save(&run, &files, &arguments.output)?;
    println!("{} {}", run.verdict.map_or("■", |verdict| verdict.sign()), headline(&run));
    if let Some((_, line)) = extra_status(&run) {
        println!("extra tests: {line}");
    }
    if let Some(reason) = &run.reason {
        println!("{}", neutral::plain(reason, 500));
    }
    for fell in run.services.iter().filter_map(|service| service.fell.as_ref()) {
        println!("  {}", neutral::plain(fell, 200));
    }
    for test in run.tiers.iter().flat_map(|tier| &tier.tests).filter(|test| test.outcome.is_bad()) {
        let (name, why) = (neutral::plain(&test.name, 120), neutral::plain(&test.message, 200));
        let known = crate::core::deferred::known(&run, test).map(|known| format!(" ({})", known.words()));
        println!("  {name} {}: {why}{}", test.outcome.words(), known.unwrap_or_default());
    }
    println!("results: {}", arguments.output.join("result.json").display());
    Ok(code_of(&run))
}

/// What earlier runs have left, and where; none where that cannot be had, which is said.
fn remembered(home: &Path) -> Result<Option<(Scratch, Store)>, Trouble> {
    const NOTHING: &str = "this run starts from nothing, and nothing of it is remembered";
    let Some(memory) = Scratch::memory(home)? else {
        println!("another run is under way: {NOTHING}");
        return Ok(None);
    };
    match Store::open(&memory.path().join("docent.db")) {
        Ok(store) => Ok(Some((memory, store))),
        Err(error) => {
            println!("{error}: {NOTHING}; to begin anew, remove {}", memory.path().display());
            Ok(None)
        }
    }
}

/// Asks for extra tests as well: for those who already have it in their scripts.
const STAGES: &str = "STAGES";

fn with_stages(arguments: RunHere, stages: Option<&str>) -> Result<RunHere, Trouble> {
    let stages = stages.map(extra::stages).transpose();
    let in_stages = stages.map_err(|error| Trouble::Usage(format!("{STAGES}: {error}")))?.unwrap_or(false);
    Ok(RunHere { extra_tests: arguments.extra_tests || in_stages, ..arguments })
}

fn request(arguments: &RunHere) -> Result<Request, Trouble> {
    let is_address = bundled::is_address(&arguments.place);
    let sha = arguments.sha.as_deref().map(str::parse).transpose();
    let sha = sha.map_err(|error| Trouble::Usage(format!("--sha: {error}")))?;
    if !is_address && sha.is_some() {
        return Err(Trouble::Usage(
            "--sha is for an address; a folder is run as it is: check the commit out first".to_owned(),
        ));
    }
    let place = if is_address {
        arguments.place.clone()
    } else {
        let folder = std::fs::canonicalize(&arguments.place)
            .map_err(|error| Trouble::Usage(format!("{}: {error}", arguments.place)))?;
        folder.to_string_lossy().into_owned()
    };
    Ok(Request { place, sha, ..asked(arguments) })
}

/// What the flags say, of no place yet.
pub(super) fn asked(arguments: &RunHere) -> Request {
    Request {
        pull: None,
        place: String::new(),
        sha: None,
        base: None,
        is_untrusted: true,
        recipe: arguments.recipe.clone(),
        options: TestOptions {
            extra_tests: arguments.extra_tests,
            tiers: arguments.tier.clone(),
            notebooks: arguments.notebooks.clone(),
            spec: arguments.spec.clone(),
            full: arguments.full,
            sha: None,
        },
        only: arguments.test.clone(),
        bundle: None,
        trigger: Trigger::CommandLine,
        by: Party::Operator,
    }
}

/// Shows what the run is doing until it has ended; the first interrupt cancels it.
async fn follow(
    daemon: &super::serve::AnyDaemon,
    store: &Store,
    files: &Files,
    asked: RunId,
) -> Result<Run, Trouble> {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    let mut shown: Option<String> = None;
    // Listened to without a break: what came while this looks at the run would be lost.
    let interrupt = super::demo::interrupted()?;
    tokio::pin!(interrupt);
    let mut interrupted = false;
    let mut lines = Lines::default();
    loop {
        let Some(run) = store.run(asked).await? else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        for line in lines.new_ones(&run, files) {
            bar.suspend(|| println!("  {line}"));
        }
        let now = headline(&run);
        if shown.as_ref() != Some(&now) {
            // How it ended is said below, on a terminal and elsewhere.
            if bar.is_hidden() && !run.phase.is_ended() {
                println!("{now}");
            }
            bar.set_message(now.clone());
            shown = Some(now);
        }
        if run.phase.is_ended() {
            bar.finish_and_clear();
            return Ok(run);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(150)) => {}
            () = &mut interrupt, if !interrupted => {
                interrupted = true;
                daemon.step(Event::OperatorAsked { ask: Ask::Cancel { run: asked } }, None).await?;
            }
        }
    }
}

/// The lines of the live log that were not shown yet.
#[derive(Default)]
struct Lines {
    shown: std::collections::BTreeMap<String, usize>,
}

impl Lines {
    fn new_ones(&mut self, run: &Run, files: &Files) -> Vec<String> {
        let mut lines = Vec::new();
        for attempt in run.tiers.iter().flat_map(|tier| &tier.attempts) {
            let kept = attempt.log.as_ref().and_then(|log| files.path(&log.digest));
            let bytes =
                std::fs::read(kept.unwrap_or_else(|| files.live_log(&attempt.id))).unwrap_or_default();
            let from = self.shown.entry(attempt.id.to_string()).or_default();
            let rest = bytes.get(*from..).unwrap_or_default();
            let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let text = String::from_utf8_lossy(&rest[..whole]).into_owned();
            lines.extend(text.lines().map(|line| neutral::plain(line, 300)));
            *from += whole;
        }
        lines
    }
}

/// Where logs of services go.
const SERVICES: &str = "services";

/// Writes result.json, and copies logs and artifacts beside it, in the place of those of an earlier run.
fn save(run: &Run, files: &Files, output: &Path) -> Result<(), Trouble> {
    std::fs::create_dir_all(output)?;
    clear(output)?;
    let origin =
        Origin { docent: env!("CARGO_PKG_VERSION"), bundle: Some(bundle::NAME), ..Origin::default() };
    let document = serde_json::to_string_pretty(&Document::of(run, origin))?;
    std::fs::write(output.join("result.json"), document + "\n")?;
    for kept in run.curated.iter().chain(&run.bundle) {
        copy(files, kept, output)?;
    }
    for log in run.services.iter().filter_map(|service| service.log.as_ref()) {
        copy(files, log, &output.join(SERVICES))?;
    }
    for attempt in run.tiers.iter().flat_map(|tier| &tier.attempts) {
        let folder = output.join(attempt.id.to_string());
        for kept in attempt.log.iter().chain(&attempt.artifacts) {
            copy(files, kept, &folder)?;
        }
    }
    Ok(())
}

/// Removes what an earlier run has left there; nothing where there was no such run.
fn clear(output: &Path) -> std::io::Result<()> {
    if !has_results(output) {
        return Ok(());
    }
    for entry in std::fs::read_dir(output)? {
        let (entry, names) = (entry?, [bundle::NAME, CURATED]);
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let is_folder = entry.file_type()?.is_dir();
        if is_folder && (name.parse::<AttemptId>().is_ok() || name == SERVICES) {
            std::fs::remove_dir_all(entry.path())?;
        } else if !is_folder && names.contains(&name.as_str()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn copy(files: &Files, kept: &Kept, folder: &Path) -> Result<(), Trouble> {
    let parts = kept.name.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    let to = parts.fold(folder.to_owned(), |path, part| path.join(part));
    let Some(from) = files.path(&kept.digest) else { return Ok(()) };
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::copy(from, to)?;
    Ok(())
}
