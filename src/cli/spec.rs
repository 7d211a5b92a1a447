//! `docent spec`: what is done with specs outside of runs.

mod curate;
mod image;
mod install;
mod read;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use super::Trouble;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Spec {
    #[command(flatten)]
    Read(read::ReadCommand),
    /// Lock, run and complete a spec, as docent would for a pull request.
    Curate(curate::Curate),
    /// Make the environment of a curated spec here, and register its kernel.
    Install(install::Install),
    #[command(flatten)]
    Image(image::ImageCommand),
}

/// Carries it out.
pub async fn spec(config: Option<&Path>, command: &Spec) -> Result<ExitCode, Trouble> {
    match command {
        Spec::Read(command) => read::carry_out(command),
        Spec::Curate(arguments) => curate::curate(config, arguments).await,
        Spec::Install(arguments) => install::carry_out(config, arguments).await,
        Spec::Image(command) => image::image(config, command).await,
    }
}
