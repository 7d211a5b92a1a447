//! `/commands`: the ledger. Every command that docent saw, what became of it, and how that was decided.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::row::{LOGIN, NAME};
use super::{Frame, Moment, page};
use crate::core::id::{PullId, RunId};
use crate::core::ledger::{Asked, Entry, Fate};
use crate::core::time::Time;
use crate::web::badge::Badge;
use crate::web::problem::Problem;
use crate::web::text::Shown;
use crate::web::{Site, link};

/// Commands on the page.
const COUNT: u32 = 100;

#[derive(Template)]
#[template(path = "commands.html")]
struct Commands {
    frame: Frame,
    commands: Vec<CommandRow>,
}

/// A command on one line.
pub struct CommandRow {
    /// Stays the same when other commands come.
    pub id: String,
    pub text: Shown,
    pub line: usize,
    pub badge: Badge,
    pub reason: Shown,
    pub code: Shown,
    pub run: Option<(i64, String)>,
    pub by: Shown,
    pub account: Option<u64>,
    pub written: Moment,
    pub comment: Option<String>,
    pub pull: (u64, String),
    pub is_edited: bool,
    pub path: Vec<Shown>,
}

pub async fn commands(State(site): State<Arc<Site>>) -> Result<Response, Problem> {
    let now = site.pages.clock.now();
    let entries = site.pages.store.latest_comments(COUNT).await?;
    let view = Commands {
        frame: Frame::new(&site, "/commands", "commands", "Commands").live(true),
        commands: rows(&entries, COUNT as usize, now),
    };
    page(&view)
}

/// The commands of comments, each on one line.
pub fn rows(entries: &[Entry], most: usize, now: Time) -> Vec<CommandRow> {
    let commands = entries.iter().flat_map(|entry| entry.commands.iter().map(move |asked| (entry, asked)));
    commands.take(most).map(|(entry, asked)| row(entry, asked, now)).collect()
}

fn row(entry: &Entry, asked: &Asked, now: Time) -> CommandRow {
    let run = |run: &RunId| Some((run.0, link::run(*run)));
    let (sign, tone, run, reason, code) = match &asked.fate {
        Fate::Pending => ("○", "live", None, "the forge is being asked", ""),
        Fate::Accepted { run: id } => ("✔", "good", run(id), "", ""),
        Fate::Offered { run: id, why } if why.is_empty() => {
            ("○", "quiet", run(id), "waits until somebody who may accepts it", "")
        }
        Fate::Offered { run: id, why } => ("○", "quiet", run(id), why.as_str(), ""),
        Fate::Answered { text } => ("✔", "good", None, text.as_str(), ""),
        Fate::Refused { refusal } => ("✘", "bad", None, refusal.text.as_str(), refusal.code.as_str()),
        Fate::NotUnderstood { text } => ("?", "bad", None, text.as_str(), ""),
        Fate::Superseded { by } => ("–", "quiet", run(by), "a later command took its place", ""),
        Fate::Ignored { why } => ("–", "quiet", None, why.as_str(), ""),
    };
    let author = entry.author.as_ref();
    let pull = PullId { repository: entry.id.repository.clone(), number: entry.pull };
    let comment = &entry.id;
    CommandRow {
        id: format!(
            "c-{}-{}-{}-{}",
            comment.repository.number,
            comment.kind.word(),
            comment.number,
            asked.line
        ),
        text: Shown::line(&asked.text, 160),
        line: asked.line,
        badge: Badge { sign, word: asked.fate.word(), tone },
        reason: Shown::line(reason, 600),
        code: Shown::line(code, NAME),
        run,
        by: Shown::line(author.map_or("(a deleted account)", |author| &author.login), LOGIN),
        account: author.map(|author| author.number),
        written: Moment::new(entry.created_at, now),
        comment: link::outside(&entry.page_url),
        pull: (entry.pull, link::pull(&pull)),
        is_edited: entry.edited_at.is_some(),
        path: asked.path.iter().map(|step| Shown::line(step, 300)).collect(),
    }
}
