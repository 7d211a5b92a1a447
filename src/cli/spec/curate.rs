//! `docent spec curate`: a run of one spec, here and now, of which the curated spec is what one wants.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::super::Trouble;
use super::super::run::{self, RunHere};

/// Which, and where to.
#[derive(Debug, clap::Args)]
pub struct Curate {
    /// The spec.
    file: PathBuf,
    /// Where result.json, the curated spec, logs and artifacts go.
    #[arg(long, default_value = "docent-result")]
    output: PathBuf,
    /// Ignore results that could be reused.
    #[arg(long)]
    full: bool,
    /// Begin with nothing of earlier runs, and leave nothing to later ones: no environment, no result.
    #[arg(long)]
    forget: bool,
    /// Where untrusted code runs.
    #[arg(long, value_parser = ["auto", "container", "sandbox"], default_value = "auto")]
    executor: String,
}

/// Runs the spec by itself, without the folder that it lies in: everything that it needs, it names.
pub async fn curate(config: Option<&Path>, arguments: &Curate) -> Result<ExitCode, Trouble> {
    let file = &arguments.file;
    let trouble = |error: std::io::Error| Trouble::Usage(format!("{}: {error}", file.display()));
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Trouble::Usage(format!("{} names no file", file.display())))?;
    let folder = tempfile::Builder::new().prefix("docent-spec-").tempdir()?;
    std::fs::copy(file, folder.path().join(name)).map_err(trouble)?;
    let mut here = RunHere::of_spec(folder.path(), name, &arguments.executor, &arguments.output);
    (here.full, here.forget) = (arguments.full, arguments.forget);
    run::run(config, &here).await
}
