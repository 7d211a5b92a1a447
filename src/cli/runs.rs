//! `docent runs`: looking at the runs of a daemon, and asking it for something.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::Trouble;
use super::assemble::{load, open_files, open_store};
use crate::clock::Clock;
use crate::core::event::Ask;
use crate::core::id::RunId;
use crate::core::neutral;
use crate::core::report::headline;
use crate::core::result::{Document, Origin};
use crate::core::run::{Attempt, Phase, Run, Trigger};
use crate::core::time::for_people;
use crate::store::{Files, Store};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Runs {
    /// The latest runs.
    List {
        /// How many.
        #[arg(long, default_value_t = 20)]
        count: u32,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// One run.
    Show {
        id: i64,
        /// As JSON: the same document as result.json.
        #[arg(long)]
        json: bool,
    },
    /// What the attempts of a run wrote.
    Logs {
        id: i64,
        /// Go on until the run has ended.
        #[arg(long)]
        follow: bool,
    },
    /// Stop a run.
    Cancel { id: i64 },
    /// Run again what was not good.
    Retry { id: i64 },
    /// Accept an offer.
    Accept { id: i64 },
    /// The record of what happened.
    #[command(subcommand)]
    Audit(Audit),
}

/// What to do with the record.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check that no row of the journal was changed.
    Verify,
}

/// Carries it out.
pub async fn runs(config: Option<&Path>, command: &Runs) -> Result<ExitCode, Trouble> {
    let config = load(config)?;
    let store = open_store(&config)?;
    match command {
        Runs::List { count, json } => list(&store, *count, *json).await,
        Runs::Show { id, json } => show(&store, RunId(*id), *json).await,
        Runs::Logs { id, follow } => logs(&store, &open_files(&config)?, RunId(*id), *follow).await,
        Runs::Cancel { id } => ask(&store, RunId(*id), Ask::Cancel { run: RunId(*id) }).await,
        Runs::Retry { id } => ask(&store, RunId(*id), Ask::Retry { run: RunId(*id) }).await,
        Runs::Accept { id } => ask(&store, RunId(*id), Ask::Accept { run: RunId(*id) }).await,
        Runs::Audit(Audit::Verify) => verify(&store).await,
    }
}

async fn found(store: &Store, id: RunId) -> Result<Run, Trouble> {
    store.run(id).await?.ok_or_else(|| Trouble::Usage(format!("there is no run {id}")))
}

async fn list(store: &Store, count: u32, json: bool) -> Result<ExitCode, Trouble> {
    let runs = store.latest_runs(count, None).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&runs)?);
        return Ok(ExitCode::SUCCESS);
    }
    for run in &runs {
        let sha = run.request.sha.as_ref().map_or("-------", |sha| sha.short());
        let place = neutral::plain(&run.request.place, 40);
        let line = match (&run.request.pull, run.request.branch()) {
            (Some(pull), _) => format!("#{}", pull.number),
            (None, Some(branch)) => format!(" {}", neutral::plain(&branch.name, 40)),
            (None, None) => String::new(),
        };
        println!(
            "{:>5}  {:<10} {sha}  {place}{line}  {}",
            run.id.0,
            run.phase.word(),
            neutral::plain(&headline(run), 80)
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(store: &Store, id: RunId, json: bool) -> Result<ExitCode, Trouble> {
    let run = found(store, id).await?;
    if json {
        let origin = Origin { docent: env!("CARGO_PKG_VERSION"), ..Origin::default() };
        println!("{}", serde_json::to_string_pretty(&Document::of(&run, origin))?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("run {id}: {} ({})", headline(&run), run.phase.word());
    println!(
        "  asked for by {} at {}",
        neutral::plain(run.request.by.name(), 60),
        for_people(run.requested_at)
    );
    if let Trigger::Push { rule, .. } | Trigger::Baseline { rule, .. } = &run.request.trigger {
        println!("  because {}", neutral::plain(rule, 400));
    }
    if let Some(reason) = &run.reason {
        println!("  {}", neutral::plain(reason, 400));
    }
    if let Some(publishing) = &run.publishing {
        println!("  its curated spec is {}", neutral::plain(&publishing.line(), 600));
    }
    for tier in &run.tiers {
        let verdict = tier.verdict.map_or("…", |verdict| verdict.word());
        println!("  {:<12} {verdict}", tier.tier.name);
        for test in tier.tests.iter().filter(|test| test.outcome.is_bad()) {
            println!(
                "    {} {}: {}",
                neutral::plain(&test.name, 120),
                test.outcome.words(),
                neutral::plain(&test.message, 200)
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn logs(store: &Store, files: &Files, id: RunId, follow: bool) -> Result<ExitCode, Trouble> {
    let mut printed = std::collections::BTreeMap::new();
    loop {
        let run = found(store, id).await?;
        for attempt in run.tiers.iter().flat_map(|tier| &tier.attempts) {
            let bytes = log_of(files, attempt);
            let from: &mut usize = printed.entry(attempt.id.clone()).or_default();
            if *from == 0 && !bytes.is_empty() {
                println!("== {}", attempt.id);
            }
            for line in String::from_utf8_lossy(bytes.get(*from..).unwrap_or_default()).lines() {
                println!("{}", neutral::plain(line, 4000));
            }
            *from = bytes.len().max(*from);
        }
        if !follow || run.phase.is_ended() {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn log_of(files: &Files, attempt: &Attempt) -> Vec<u8> {
    let kept = attempt.log.as_ref().and_then(|log| files.path(&log.digest));
    std::fs::read(kept.unwrap_or_else(|| files.live_log(&attempt.id))).unwrap_or_default()
}

/// Leaves the question where the daemon finds it, and waits until it has been taken.
async fn ask(store: &Store, id: RunId, ask: Ask) -> Result<ExitCode, Trouble> {
    let run = found(store, id).await?;
    let fits = match &ask {
        Ask::Cancel { .. } => run.phase.is_live(),
        Ask::Retry { .. } => run.phase.is_ended(),
        Ask::Accept { .. } => run.phase == Phase::Offered,
        Ask::Run { .. } => true,
    };
    if !fits {
        return Err(Trouble::Refused(format!("run {id} is {}", run.phase.word())));
    }
    let number = store.ask(ask, Clock::system().now()).await?;
    for _ in 0..50 {
        if !store.is_asked(number).await? {
            println!("done: run {id}");
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("no daemon has taken it yet; the next one that starts will");
    Ok(ExitCode::SUCCESS)
}

async fn verify(store: &Store) -> Result<ExitCode, Trouble> {
    match store.verify_journal().await? {
        Ok(rows) => {
            println!("{rows} rows, each as it was written");
            Ok(ExitCode::SUCCESS)
        }
        Err(row) => {
            println!("row {row} is not as it was written, or one before it is missing");
            Ok(ExitCode::from(1))
        }
    }
}
