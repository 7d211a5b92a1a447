//! `docent check`: the configuration and the recipes, offline and without secrets.

use std::path::Path;
use std::process::ExitCode;

use super::Trouble;
use super::assemble::{load, load_shelf};

/// Names every mistake, or says that there is none.
pub fn check(named: Option<&Path>) -> Result<ExitCode, Trouble> {
    let config = load(named)?;
    // Shipped recipes are unpacked to be read; a check leaves nothing behind.
    let scratch = tempfile::tempdir()?;
    let shelf = load_shelf(&config, scratch.path())?;
    for warning in &config.warnings {
        println!("warning: {warning}");
    }
    println!(
        "{}: {} forges, {} repositories, {} recipes; no mistake",
        config.file.display(),
        config.forges.len(),
        config.repositories.len(),
        shelf.recipes.len()
    );
    Ok(ExitCode::SUCCESS)
}
