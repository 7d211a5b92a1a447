//! The command line: names the concrete adapters, and nothing else.

mod assemble;
mod backup;
mod check;
mod demo;
mod doctor;
mod explain;
mod outcome;
mod recipe;
mod run;
mod runs;
mod serve;
mod spec;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use outcome::Trouble;

/// A CI orchestrator for notebook repositories that looks and never touches.
#[derive(Debug, Parser)]
#[command(name = "docent", version, arg_required_else_help = true)]
struct Arguments {
    /// The configuration; else docent.toml here, else /etc/docent/docent.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The daemon.
    Serve,
    /// The whole loop against an embedded forge: no account, no configuration.
    Demo(demo::Demo),
    /// The same tiers, here and now.
    Run(run::RunHere),
    /// The configuration and the recipes, offline and without secrets: every mistake with line and column.
    Check,
    /// What the credentials can do, and what this machine has.
    Doctor(doctor::Doctor),
    /// Runs of the daemon.
    #[command(subcommand)]
    Runs(runs::Runs),
    /// Why a comment did or did not start a run.
    Explain(explain::Explain),
    /// Recipes.
    #[command(subcommand)]
    Recipe(recipe::RecipeCommand),
    /// Specs, and their images in registries.
    #[command(subcommand)]
    Spec(spec::Spec),
    /// A consistent copy of the state while the daemon runs.
    Backup(backup::Backup),
}

/// Runs the command of this process. The exit code says what came of it: 0 passed, 1 the work failed, 2 usage or
/// configuration, 3 the machinery errored, 4 refused by policy.
pub async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = arguments.config.as_deref();
    let done = match arguments.command {
        Command::Serve => serve::serve(config).await,
        Command::Demo(demo) => demo::demo(&demo).await,
        Command::Run(here) => run::run(config, &here).await,
        Command::Check => check::check(config),
        Command::Doctor(doctor) => doctor::doctor(config, &doctor).await,
        Command::Runs(runs) => runs::runs(config, &runs).await,
        Command::Explain(explain) => explain::explain(config, &explain).await,
        Command::Recipe(command) => recipe::recipe(config, &command).await,
        Command::Spec(spec) => spec::spec(config, &spec).await,
        Command::Backup(backup) => backup::backup(config, &backup).await,
    };
    match done {
        Ok(code) => code,
        Err(trouble) => {
            eprintln!("docent: {trouble:#}");
            trouble.code()
        }
    }
}
