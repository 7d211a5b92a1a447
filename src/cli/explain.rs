//! `docent explain COMMENT`: the path of the decision on a comment.

use std::path::Path;
use std::process::ExitCode;

use super::Trouble;
use super::assemble::{load, open_store};
use crate::core::ledger::{Entry, Fate};
use crate::core::neutral;
use crate::core::time::for_people;

/// Which comment.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The number of the comment, or its address.
    comment: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Prints what docent saw in a comment and why it did what it did.
pub async fn explain(config: Option<&Path>, arguments: &Explain) -> Result<ExitCode, Trouble> {
    let digits: String = arguments.comment.chars().rev().take_while(char::is_ascii_digit).collect();
    let number: u64 = digits.chars().rev().collect::<String>().parse().map_err(|_| {
        Trouble::Usage(format!("{:?} does not end in the number of a comment", arguments.comment))
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
        Fate::Accepted { run } | Fate::Offered { run } | Fate::Superseded { by: run } => {
            format!(": run {run}")
        }
        Fate::Answered { text } | Fate::NotUnderstood { text } => plain(text),
        Fate::Refused { refusal } => format!(" ({}){}", refusal.code, plain(&refusal.text)),
        Fate::Ignored { why } => plain(why),
    }
}
