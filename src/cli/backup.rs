//! `docent backup FILE`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Trouble;
use super::assemble::{load, open_store};

/// What to back up to.
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The copy; must not exist.
    file: PathBuf,
}

/// Copies the state into a file of its own, while a daemon may be running.
pub async fn backup(config: Option<&Path>, arguments: &Backup) -> Result<ExitCode, Trouble> {
    if arguments.file.exists() {
        return Err(Trouble::Usage(format!("{} exists already", arguments.file.display())));
    }
    let store = open_store(&load(config)?)?;
    store.backup(&arguments.file).await?;
    println!("{}", arguments.file.display());
    Ok(ExitCode::SUCCESS)
}
