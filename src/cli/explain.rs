//! `docent explain COMMENT`: the path of the decision on a comment, or on what was last pushed to a watched branch.

use std::path::Path;
use std::process::ExitCode;

use super::Trouble;
use super::assemble::{load, open_store};
use crate::core::id::{RepositoryId, Sha};
use crate::core::ledger::{Entry, Fate};
use crate::core::neutral;
use crate::core::pull::Repository;
use crate::core::time::for_people;
use crate::store::Store;

/// Which comment.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The number of the comment, or its address; of a watched branch, `owner/name@branch`.
    comment: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Prints what docent saw in a comment and why it did what it did.
pub async fn explain(config: Option<&Path>, arguments: &Explain) -> Result<ExitCode, Trouble> {
    if let Some((place, branch)) = arguments.comment.split_once('@').filter(|(place, _)| !place.contains(':'))
    {
        let store = open_store(&load(config)?)?;
        return explain_branch(&store, place, branch, arguments.json).await;
    }
    let digits: String = arguments.comment.chars().rev().take_while(char::is_ascii_digit).collect();
    let number: u64 = digits.chars().rev().collect::<String>().parse().map_err(|_| {
        Trouble::Usage(format!(
            "{:?} does not end in the number of a comment, and is no owner/name@branch",
            arguments.comment
        ))
    })?;
    let store = open_store(&load(config)?)?;
    let entries = store.comments_numbered(number).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&entries)?);
        return Ok(ExitCode::SUCCESS);
    }
    if entries.is_empty() {
        println!(
            "docent has seen no command in a comment with the number {number}. It looks at comments made after it first saw \
             the repository, at commands at the start of a line, and never at its own."
        );
    }
    for entry in &entries {
        print(entry);
    }
    Ok(ExitCode::SUCCESS)
}

async fn explain_branch(store: &Store, place: &str, name: &str, json: bool) -> Result<ExitCode, Trouble> {
    let repositories = store.repositories().await?;
    let is_it = |(configured, found): &&(String, Repository)| configured == place || found.name == place;
    let numbers: Vec<RepositoryId> =
        repositories.iter().filter(is_it).map(|(_, found)| found.id.clone()).collect();
    let branches = store.branches().await?;
    let found: Vec<_> =
        branches.into_iter().filter(|(id, _)| id.name == name && numbers.contains(&id.repository)).collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        println!(
            "docent has not looked at a branch {name:?} of {place:?}. Name it in `branches` of the [[repository]]; it is then \
             seen by the next poll, and counts from there."
        );
    }
    for (id, known) in &found {
        let short = |sha: &Option<Sha>| sha.as_ref().map_or("nowhere", |sha| sha.short()).to_owned();
        println!("branch {} of {}", neutral::plain(&id.name, 120), id.repository);
        println!("  at {}, seen {}", short(&known.head), for_people(known.observed_at));
        println!("  judged up to {}", short(&known.judged));
        if !known.why.is_empty() {
            println!("    - {}", neutral::plain(&known.why, 400));
        }
        for run in store.runs_of_branch(id, 5).await? {
            let sha = run.request.sha.as_ref().map_or("-------", |sha| sha.short());
            println!("    = run {} of {sha}: {}", run.id, run.phase.word());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(entry: &Entry) {
    let who = entry.author.as_ref().map_or("a gone account".to_owned(), |actor| {
        format!("{} (account {})", neutral::plain(&actor.login, 60), actor.number)
    });
    println!("{} on pull request {} of {}", entry.id.kind.word(), entry.pull, entry.id.repository);
    println!("  written {} by {who}, seen {}", for_people(entry.created_at), for_people(entry.seen_at));
    if let Some(edited) = entry.edited_at {
        println!("  edited afterwards (seen {}); edits do nothing", for_people(edited));
    }
    for asked in &entry.commands {
        println!("  line {}: {}", asked.line, neutral::plain(&asked.text, 120));
        for step in &asked.path {
            println!("    - {}", neutral::plain(step, 300));
        }
        println!("    = {}{}", asked.fate.word(), detail(&asked.fate));
    }
}

fn detail(fate: &Fate) -> String {
    let plain = |text: &str| format!(": {}", neutral::plain(text, 400));
    match fate {
        Fate::Pending => String::new(),
        Fate::Accepted { run } | Fate::Offered { run, .. } | Fate::Superseded { by: run } => {
            format!(": run {run}")
        }
        Fate::Answered { text } | Fate::NotUnderstood { text } => plain(text),
        Fate::Refused { refusal } => format!(" ({}){}", refusal.code, plain(&refusal.text)),
        Fate::Ignored { why } => plain(why),
    }
}
