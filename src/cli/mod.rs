//! The command line: names the concrete adapters, and nothing else.

mod assemble;
mod backup;
mod bundled;
mod check;
mod defer;
mod demo;
mod doctor;
mod explain;
mod gate;
mod outcome;
mod recipe;
mod run;
mod runs;
mod scratch;
mod search;
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
    /// DEFERRED.md: what maintainers have put off.
    #[command(subcommand)]
    Defer(defer::Defer),
    /// Recipes.
    #[command(subcommand)]
    Recipe(recipe::RecipeCommand),
    /// Wrangler specs, and their images in registries.
    #[command(subcommand)]
    Spec(spec::Spec),
    /// A consistent copy of the state while the daemon runs.
    Backup(backup::Backup),
    /// A part of an attempt's gate: for docent itself.
    #[command(subcommand, hide = true)]
    Gate(gate::Part),
}

/// Runs the command of this process. The exit code says what came of it: 0 passed, 1 the work failed, 2 usage or
/// configuration, 3 the machinery errored, 4 refused by policy.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::Gate(part) = &arguments.command {
        // Before there is a runtime: it stands in sandboxes, and is as small as it can be.
        return gate::gate(part);
    }
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run_command(arguments)),
        Err(error) => {
            eprintln!("docent: this machine lets no program wait for the network: {error}");
            ExitCode::from(3)
        }
    }
}

async fn run_command(arguments: Arguments) -> ExitCode {
    let config = arguments.config.as_deref();
    let done = match arguments.command {
        Command::Serve => serve::serve(config).await,
        Command::Demo(demo) => demo::demo(&demo).await,
        Command::Run(here) => run::run(config, &here).await,
        Command::Check => check::check(config),
        Command::Doctor(doctor) => doctor::doctor(config, &doctor).await,
        Command::Runs(runs) => runs::runs(config, &runs).await,
        Command::Explain(explain) => explain::explain(config, &explain).await,
        Command::Defer(command) => defer::defer(config, &command).await,
        Command::Recipe(command) => recipe::recipe(config, &command).await,
        Command::Spec(spec) => spec::spec(config, &spec).await,
        Command::Backup(backup) => backup::backup(config, &backup).await,
        Command::Gate(part) => Ok(gate::gate(&part)),
    };
    match done {
        Ok(code) => code,
        Err(trouble) => {
            eprintln!("docent: {trouble:#}");
            trouble.code()
        }
    }
}
