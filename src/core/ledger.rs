//! The ledger of commands: every command that was seen has one row with its fate and the reason.

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::id::{CommentId, RunId};
use super::pull::Actor;
use super::time::Time;

/// Why something was refused: a stable code for scripts, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable, documented in `docs/reference/codes.md`.
    pub code: String,
    /// What was wrong and what to do.
    pub text: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into() }
    }
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fate")]
pub enum Fate {
    /// The forge is being asked; decided within one poll.
    Pending,
    /// It started a run, or is what a waiting run stands for.
    Accepted { run: RunId },
    /// It became an offer.
    Offered {
        run: RunId,
        /// Why, where its author may start runs.
        #[serde(default)]
        why: String,
    },
    /// It was carried out, or answered, without a run.
    Answered { text: String },
    /// No, and why.
    Refused { refusal: Refusal },
    /// It cannot be understood; the sentence says what was meant, perhaps.
    NotUnderstood { text: String },
    /// A later command took its place.
    Superseded { by: RunId },
    /// It never counted: quoted, edited, ….
    Ignored { why: String },
}

impl Fate {
    /// The word for lists.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted { .. } => "accepted",
            Self::Offered { .. } => "offered",
            Self::Answered { .. } => "answered",
            Self::Refused { .. } => "refused",
            Self::NotUnderstood { .. } => "not understood",
            Self::Superseded { .. } => "superseded",
            Self::Ignored { .. } => "ignored",
        }
    }
}

/// One command of a comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Line in the comment, counted from 1.
    pub line: usize,
    /// The line, shortened; a stranger's text.
    pub text: String,
    /// What it says, if it could be understood.
    pub command: Option<Command>,
    /// What became of it.
    pub fate: Fate,
    /// How the decision came about, step by step, for `docent explain`.
    pub path: Vec<String>,
}

/// One comment with at least one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The comment.
    pub id: CommentId,
    /// Number of its pull request.
    pub pull: u64,
    /// Who wrote it.
    pub author: Option<Actor>,
    /// The forge's clock when it was made.
    pub created_at: Time,
    /// When docent first saw it.
    pub seen_at: Time,
    /// Its page.
    pub page_url: String,
    /// SHA-256 of the text as first seen.
    pub digest: String,
    /// When docent saw that it had been changed; the change does nothing.
    pub edited_at: Option<Time>,
    /// Its commands, in order.
    pub commands: Vec<Asked>,
}

impl Entry {
    /// One of its commands asks for extra tests, or repeats what may have asked for them.
    pub fn may_ask_for_extras(&self) -> bool {
        let asks = |command: &Command| match command {
            Command::Test(options) => options.extra_tests,
            Command::Retry => true,
            _ => false,
        };
        self.commands.iter().filter_map(|asked| asked.command.as_ref()).any(asks)
    }
}
