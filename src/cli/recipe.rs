//! `docent recipe`: which there are, which fits, and making their images.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::Trouble;
use super::assemble;
use super::run::here_config;
use crate::config::ExecutorKind;
use crate::executor::any::AnyExecutor;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum RecipeCommand {
    /// Recipes that can be used.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// One recipe, as JSON.
    Show { name: String },
    /// Which recipe fits a folder.
    Detect { path: PathBuf },
    /// Make the images of a recipe and of its services.
    Build {
        name: String,
        /// For which executor; else the one that would be used.
        #[arg(long, value_parser = ["auto", "container", "sandbox"], default_value = "auto")]
        executor: String,
    },
}

/// Carries it out.
pub async fn recipe(named: Option<&Path>, command: &RecipeCommand) -> Result<ExitCode, Trouble> {
    // These are the operator's: the configuration in this folder counts, as it does for the daemon.
    let found = named.map(Path::to_owned).or_else(|| crate::config::find(None).ok());
    let config = here_config(found.as_deref())?;
    let shelf = assemble::load_shelf(&config, &config.state_dir)?;
    match command {
        RecipeCommand::List { json: true } => {
            println!("{}", serde_json::to_string_pretty(&shelf.recipes)?);
        }
        RecipeCommand::List { json: false } => {
            for recipe in shelf.recipes.values() {
                println!("{:<12} {}", recipe.name, recipe.description);
            }
        }
        RecipeCommand::Show { name } => {
            println!("{}", serde_json::to_string_pretty(known(&shelf, name)?)?);
        }
        RecipeCommand::Detect { path } => {
            let walk = walkdir::WalkDir::new(path).into_iter().filter_map(Result::ok);
            let files = walk.filter(|entry| entry.file_type().is_file());
            let paths: Vec<String> = files
                .filter_map(|entry| Some(entry.path().strip_prefix(path).ok()?.to_str()?.to_owned()))
                .collect();
            let recipe = shelf.detect(&paths).map_err(|error| Trouble::Usage(error.to_string()))?;
            println!("{}", recipe.name);
        }
        RecipeCommand::Build { name, executor } => {
            known(&shelf, name)?;
            if shelf.builds(name).next().is_none() {
                return Err(Trouble::Usage(format!(
                    "the recipe {name} names its image and carries nothing to build it from"
                )));
            }
            let kind = kind_of(executor, config.executor);
            let executor = assemble::executor(
                kind,
                config.socket.as_deref(),
                &config.index_hosts,
                &config.state_dir,
                "build",
                &shelf,
            )
            .await?;
            let place = match &executor {
                AnyExecutor::Container(_) => "the container engine".to_owned(),
                _ => config.state_dir.display().to_string(),
            };
            for build in shelf.builds(name) {
                println!("making {} for {place}", build.image);
                assemble::build_image(&executor, build, &config.state_dir, &mut |line| println!("  {line}"))
                    .await?;
                println!("{} is ready", build.image);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn known<'a>(
    shelf: &'a crate::recipes::Shelf,
    name: &str,
) -> Result<&'a crate::core::recipe::Recipe, Trouble> {
    shelf.recipes.get(name).ok_or_else(|| {
        let known = shelf.recipes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Trouble::Usage(format!("there is no recipe {name:?}: there are {known}"))
    })
}

/// The executor named on the command line, else the configured one.
pub fn kind_of(named: &str, configured: ExecutorKind) -> ExecutorKind {
    match named {
        "container" => ExecutorKind::Container,
        "sandbox" => ExecutorKind::Sandbox,
        _ => configured,
    }
}
