//! `docent defer`: what maintainers have put off, in DEFERRED.md.

mod close;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::Trouble;
use crate::clock::Clock;
use crate::core::deferred::{Deferral, NewDeferral, Register, add, read_bytes};
use crate::core::mistake::lines;
use crate::core::neutral;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Defer {
    /// What is put off, the open ones only.
    List {
        /// The closed ones instead.
        #[arg(long)]
        closed: bool,
        /// The closed ones too.
        #[arg(long)]
        all: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// The file.
        #[arg(long, default_value = "DEFERRED.md")]
        file: PathBuf,
    },
    /// Every mistake of the file, with line and column.
    Check {
        /// The file.
        #[arg(default_value = "DEFERRED.md")]
        file: PathBuf,
    },
    /// Put something off.
    Add(Add),
    /// Close an entry, with proof.
    Close(close::Close),
}

/// What to put off.
#[derive(Debug, clap::Args)]
pub struct Add {
    /// What it is called by: lower case, digits and hyphens.
    #[arg(long)]
    slug: String,
    /// What is put off. A test that is to fail until then stands in it as code, by its exact name.
    #[arg(long)]
    what: String,
    /// Who puts it off, or which work.
    #[arg(long)]
    filed_by: String,
    /// Why.
    #[arg(long)]
    reason: String,
    /// What would bring it back.
    #[arg(long)]
    trigger: Option<String>,
    /// Where it is spoken of elsewhere.
    #[arg(long)]
    linked: Option<String>,
    /// The file.
    #[arg(long, default_value = "DEFERRED.md")]
    file: PathBuf,
}

/// Carries it out.
pub async fn defer(config: Option<&Path>, command: &Defer) -> Result<ExitCode, Trouble> {
    match command {
        Defer::List { closed, all, json, file } => {
            let wanted = |deferral: &&Deferral| *all || deferral.is_closed == *closed;
            list(file, wanted, *json)
        }
        Defer::Check { file } => check(file),
        Defer::Add(new) => put_off(new),
        Defer::Close(close) => close::close(config, close).await,
    }
}

fn list(file: &Path, wanted: impl Fn(&&Deferral) -> bool, as_json: bool) -> Result<ExitCode, Trouble> {
    let (_, register) = load(file)?;
    let entries = register.entries.iter().filter(|entry| wanted(&&entry.deferral));
    if as_json {
        let mut values = Vec::new();
        for entry in entries {
            let mut value = serde_json::to_value(&entry.deferral)?;
            value["line"] = json!(entry.line);
            values.push(value);
        }
        println!("{}", serde_json::to_string_pretty(&values)?);
        return Ok(ExitCode::SUCCESS);
    }
    for Deferral { slug, since, is_closed, what, .. } in entries.map(|entry| &entry.deferral) {
        let state = if *is_closed { "closed" } else { "open" };
        println!("{since}  {state:<6}  {}  {}", neutral::plain(slug, 60), neutral::plain(what, 100));
    }
    Ok(ExitCode::SUCCESS)
}

fn check(file: &Path) -> Result<ExitCode, Trouble> {
    let (_, register) = load(file)?;
    let open = register.deferrals().filter(|deferral| !deferral.is_closed).count();
    let closed = register.entries.len() - open;
    println!("{}: {open} open, {closed} closed; no mistake", file.display());
    Ok(ExitCode::SUCCESS)
}

fn put_off(new: &Add) -> Result<ExitCode, Trouble> {
    let (text, _) = load(&new.file)?;
    let deferral = NewDeferral {
        slug: new.slug.clone(),
        what: new.what.clone(),
        filed_by: new.filed_by.clone(),
        reason: new.reason.clone(),
        trigger: new.trigger.clone(),
        linked: new.linked.clone(),
    };
    let added = add(&text, &deferral, Clock::system().now().date_naive());
    save(&new.file, &added.map_err(|error| usage(&new.file, &error))?)?;
    println!("{}: added {}", new.file.display(), new.slug);
    Ok(ExitCode::SUCCESS)
}

fn usage(file: &Path, what: &str) -> Trouble {
    Trouble::Usage(format!("{}: {what}", file.display()))
}

/// The file without mistakes, and its text.
fn load(file: &Path) -> Result<(String, Register), Trouble> {
    let bytes = std::fs::read(file).map_err(|error| usage(file, &error.to_string()))?;
    let register = read_bytes(&bytes, &file.display().to_string());
    match register.mistakes.as_slice() {
        [] => Ok((String::from_utf8(bytes)?, register)),
        mistakes => Err(Trouble::Usage(format!("this has mistakes:\n{}", lines(mistakes)))),
    }
}

/// Puts the text in the place of the file, whole or not at all.
fn save(file: &Path, text: &str) -> Result<(), Trouble> {
    let place = std::fs::canonicalize(file)?;
    let folder = place.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(std::fs::metadata(&place)?.permissions())?;
    new.persist(&place)?;
    Ok(())
}
