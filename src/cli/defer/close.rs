//! `docent defer close`: an entry is closed by proof, not by word.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::super::Trouble;
use super::super::assemble::{self, open_store};
use super::{load, save, usage};
use crate::clock::Clock;
use crate::core::deferred::{RunSeen, at_head, close as close_entry, file_of, may_close};
use crate::core::result::{Document, Origin};
use crate::git::Git;

/// Runs of the daemon that are looked at, the newest ones.
const RUNS: u32 = 500;

/// What to close, and with which proof.
#[derive(Debug, clap::Args)]
pub struct Close {
    /// What it is called by.
    slug: String,
    /// The ported test, by its path in the repository: `extra/test_load.py::test_a`, or `notebooks/heavy.ipynb`.
    #[arg(long, value_name = "NAME")]
    test: String,
    /// A result.json of a run of the extra tests; can be repeated. Without one, the runs of the daemon are looked at, by
    /// its configuration.
    #[arg(long, value_name = "FILE")]
    result: Vec<PathBuf>,
    /// The file.
    #[arg(long, default_value = "DEFERRED.md")]
    file: PathBuf,
}

/// Closes the entry if the test is committed, is an extra test, and has passed in a green run of HEAD or before it.
pub async fn close(config: Option<&Path>, close: &Close) -> Result<ExitCode, Trouble> {
    let (text, _) = load(&close.file)?;
    let today = Clock::system().now().date_naive();
    // Before any proof: an entry that cannot be closed needs none.
    let closed =
        |how: &str| close_entry(&text, &close.slug, today, how).map_err(|error| usage(&close.file, &error));
    closed("…")?;
    let place = std::fs::canonicalize(&close.file)?;
    let folder = place.parent().unwrap_or(Path::new("/"));
    let local = Git::default().local(folder).await;
    let local = local.map_err(|error| usage(folder, &format!("no committed tree to look at: {error}")))?;
    let at_head = at_head(&close.test, local.file(file_of(&close.test)).await.as_deref());
    let mut runs = named_runs(close)?;
    if config.is_some() || close.result.is_empty() {
        runs.extend(runs_of_daemon(config, &close.test).await?);
    }
    for run in &mut runs {
        run.is_in_history = match &run.sha {
            Some(sha) if run.outcome.is_some() => local.has_in_history(sha).await,
            _ => false,
        };
    }
    let green = may_close(&close.test, at_head, &runs).map_err(|missing| {
        let missing: Vec<String> = missing.iter().map(|it| format!("\n{it}")).collect();
        Trouble::Refused(format!("{} stays open{}", close.slug, missing.concat()))
    })?;
    let sha = green.sha.as_ref().map(|sha| sha.short()).unwrap_or_default();
    let how = format!("`{}` passed in {} of the extra tests at {sha}", close.test, green.name);
    save(&close.file, &closed(&how)?)?;
    println!("{}: closed {}: {how}", close.file.display(), close.slug);
    Ok(ExitCode::SUCCESS)
}

fn named_runs(close: &Close) -> Result<Vec<RunSeen>, Trouble> {
    let mut runs = Vec::new();
    for file in &close.result {
        let text = std::fs::read_to_string(file).map_err(|error| usage(file, &error.to_string()))?;
        let run = RunSeen::of(&text, &close.test);
        runs.push(run.map_err(|error| usage(file, &format!("this is no result.json: {error}")))?);
    }
    Ok(runs)
}

/// What the daemon has run; nothing where none is configured here.
async fn runs_of_daemon(named: Option<&Path>, test: &str) -> Result<Vec<RunSeen>, Trouble> {
    if named.is_none() && crate::config::find(None).is_err() {
        return Ok(Vec::new());
    }
    let store = open_store(&assemble::load(named)?)?;
    let origin = Origin { docent: env!("CARGO_PKG_VERSION"), ..Origin::default() };
    let mut runs = Vec::new();
    for run in store.latest_runs(RUNS, None).await? {
        let document = serde_json::to_string(&Document::of(&run, origin))?;
        runs.push(RunSeen::of(&document, test).map_err(anyhow::Error::msg)?);
    }
    // Those that say nothing of the test would hide the ones that do.
    runs.retain(|run| run.outcome.is_some());
    Ok(runs)
}
