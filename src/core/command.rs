//! From the text of a comment to the commands in it.
//!
//! A comment is Markdown that people quote, paste logs into and edit on phones. A command counts only where a
//! reader sees it as the writer's own plain words: at the start of a line, outside code, quotes, lists, HTML,
//! links, tables, footnotes and struck-out text. The structure comes from a Markdown parser run over the raw
//! text; the command itself is read from the raw line, because to Markdown the `*` of a glob is markup.
//!
//! Every doubt is resolved towards *no run*: only ordinary spaces and tabs separate words, one unknown word
//! spoils the command. But whoever evidently meant a command gets one sentence that says what to write
//! instead, and what looks like a command in a place where it doesn't count is listed with the reason, so
//! that nothing is silent.
//!
//! What is decided here, and easily decided otherwise:
//!
//! - Up to three spaces may stand before the marker (that is still a paragraph in Markdown). Underlined headings
//!   count as plain text, since people sign with `--` below their last line.
//! - A line right below a quote or a list item, without an empty line between, belongs to it and is ignored.
//! - Words are taken in either case (`!TestMe`), flags are not.
//! - A lone carriage return, U+2028 and their like end no line.
//! - Wrong commands count towards the limit, so that a comment cannot ask for a thousand answers.

mod line;
mod misunderstanding;
mod place;

pub use misunderstanding::{Misunderstanding, ShaProblem};

use serde::{Deserialize, Serialize};

use line::{Look, Start};
use place::Place;

/// Rows that ignored commands of one comment may fill; beyond it they are only counted.
const MAX_IGNORED: usize = 20;

/// Characters of a line that are kept to show what was written.
const EXCERPT_CHARS: usize = 120;

/// How commands are spelt, and how much of a comment is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grammar {
    /// The character before each word.
    pub marker: char,
    pub words: Words,
    /// Commands of one comment that are taken, wrong ones included; the first beyond it is answered.
    pub max_commands: usize,
    /// Bytes of a comment that are read, to the last whole line. A command that begins beyond it is answered
    /// once and not executed.
    pub max_bytes: usize,
}

/// The word of each command, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    pub testme: String,
    pub retry: String,
    pub cancel: String,
    pub status: String,
    pub help: String,
    pub accept: String,
    pub reject: String,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            testme: "testme".into(),
            retry: "retry".into(),
            cancel: "cancel".into(),
            status: "status".into(),
            help: "help".into(),
            accept: "accept".into(),
            reject: "reject".into(),
        }
    }
}

impl Default for Grammar {
    fn default() -> Self {
        Self { marker: '!', words: Words::default(), max_commands: 5, max_bytes: 64 * 1024 }
    }
}

/// Why a grammar cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrammarMistake {
    #[error("the command marker {0:?} has a meaning in Markdown or in words: take one of ! / ? % ^ .")]
    Marker(char),
    #[error(
        "the command word {0:?} must be 2 to 32 lower-case letters, digits or hyphens, and begin with a letter"
    )]
    Word(String),
    #[error("the command word {0:?} stands for two commands")]
    Twice(String),
}

impl Grammar {
    /// Every mistake in an operator's choice of marker and words.
    pub fn mistakes(&self) -> Vec<GrammarMistake> {
        let mut mistakes = Vec::new();
        if !matches!(self.marker, '!' | '/' | '?' | '%' | '^' | '.') {
            mistakes.push(GrammarMistake::Marker(self.marker));
        }
        let words = self.words.all();
        for (at, (_, word)) in words.iter().enumerate() {
            let is_plain = word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !is_plain
                || !(2..=32).contains(&word.len())
                || !word.starts_with(|c: char| c.is_ascii_lowercase())
            {
                mistakes.push(GrammarMistake::Word((*word).to_owned()));
            }
            if words[..at].iter().any(|(_, earlier)| earlier == word) {
                mistakes.push(GrammarMistake::Twice((*word).to_owned()));
            }
        }
        mistakes
    }
}

/// What a word asks for, before its arguments are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Test,
    Retry,
    Cancel,
    Status,
    Help,
    Accept,
    Reject,
}

impl Words {
    fn all(&self) -> [(Verb, &str); 7] {
        [
            (Verb::Test, &self.testme),
            (Verb::Retry, &self.retry),
            (Verb::Cancel, &self.cancel),
            (Verb::Status, &self.status),
            (Verb::Help, &self.help),
            (Verb::Accept, &self.accept),
            (Verb::Reject, &self.reject),
        ]
    }
}

/// What a comment asks for. Kept in the ledger, so it has a form in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Run the recipe.
    Test(TestOptions),
    /// Run again what failed or errored in the last run of this head.
    Retry,
    /// Stop the live run.
    Cancel,
    /// Say where the run stands.
    Status,
    /// Say what this person may run here.
    Help,
    /// Let an offered run of this commit begin.
    Accept(ShaPrefix),
    /// Turn an offer down.
    Reject,
}

/// How a run was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestOptions {
    pub extra_tests: bool,
    /// Only these tiers, in the order of the comment, without doubles. Empty: all.
    pub tiers: Vec<String>,
    /// Only notebooks whose path matches this glob (checked to be one; `*` stops at `/`, `**` does not).
    pub notebooks: Option<String>,
    /// The spec to curate, by its path, where the repository has several.
    #[serde(default)]
    pub spec: Option<String>,
    /// Ignore results that could be reused.
    pub full: bool,
    /// The commit meant, if one was named.
    pub sha: Option<ShaPrefix>,
}

/// The beginning of a commit's SHA as a person writes it: 7 to 64 hexadecimal digits, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShaPrefix(String);

impl ShaPrefix {
    pub fn parse(text: &str) -> Result<Self, ShaProblem> {
        if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ShaProblem::NotHex);
        }
        match text.len() {
            0..7 => Err(ShaProblem::TooShort),
            7..=64 => Ok(Self(text.to_ascii_lowercase())),
            _ => Err(ShaProblem::TooLong),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a full SHA begins with this.
    pub fn matches(&self, sha: &str) -> bool {
        sha.as_bytes().get(..self.0.len()).is_some_and(|start| start.eq_ignore_ascii_case(self.0.as_bytes()))
    }
}

impl std::fmt::Display for ShaPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// All that a comment holds in commands, in the order of its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    pub found: Vec<Found>,
    pub ignored: Vec<IgnoredCommand>,
    /// Ignored commands beyond those listed.
    pub more_ignored: usize,
}

/// A command, or what was evidently meant to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Line in the comment, from 1.
    pub line: usize,
    /// The line as written, shortened: still a stranger's text.
    pub text: String,
    pub command: Result<Command, Misunderstanding>,
}

/// A well-formed command word in a place where it does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoredCommand {
    /// Line in the comment, from 1.
    pub line: usize,
    /// The line as written, shortened: still a stranger's text.
    pub text: String,
    pub reason: Ignored,
}

/// Why what looks like a command is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    #[error("it stands in a quote; an empty line ends a quote")]
    Quoted,
    #[error("it stands in code")]
    InCode,
    #[error("it stands in HTML")]
    InHtml,
    #[error("it stands in a link or an image")]
    InLink,
    #[error("it stands in a list; an empty line and no indentation end a list")]
    InList,
    #[error("it stands in a table")]
    InTable,
    #[error("it stands in a footnote")]
    InFootnote,
    #[error("it stands in a formula")]
    InMath,
    #[error("it is struck out")]
    StruckOut,
    #[error("it is not at the start of a line")]
    NotAtLineStart,
    #[error("it is not part of the comment's visible text")]
    Hidden,
    #[error("the comment nests quotes and lists too deeply to be read")]
    TooDeep,
}

impl Ignored {
    /// A stable name for the ledger and for JSON.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Quoted => "quoted",
            Self::InCode => "in_code",
            Self::InHtml => "in_html",
            Self::InLink => "in_link",
            Self::InList => "in_list",
            Self::InTable => "in_table",
            Self::InFootnote => "in_footnote",
            Self::InMath => "in_math",
            Self::StruckOut => "struck_out",
            Self::NotAtLineStart => "not_at_line_start",
            Self::Hidden => "hidden",
            Self::TooDeep => "too_deep",
        }
    }
}

/// Reads all commands of a comment. Takes time in proportion to the length of the part that is read.
pub fn read(body: &str, grammar: &Grammar) -> Reading {
    let (head, rest) = split_at_line(body, grammar.max_bytes);
    let seen: Vec<Seen> = lines(head).filter_map(|line| Seen::look(line, grammar)).collect();
    let offsets: Vec<usize> = seen.iter().map(|seen| seen.marker_at).collect();
    let places = place::places(head, &offsets);

    let mut reading = Reading::default();
    let mut beyond_limit = 0;
    for (seen, place) in seen.iter().zip(places) {
        match (place.ignored(), &seen.look) {
            (None, Look::AtStart(start)) => {
                if reading.found.len() < grammar.max_commands {
                    reading.found.push(seen.found(line::command(start, grammar)));
                } else {
                    if beyond_limit == 0 {
                        let error = Misunderstanding::TooMany { limit: grammar.max_commands, more: 0 };
                        reading.found.push(seen.found(Err(error)));
                    }
                    beyond_limit += 1;
                }
            }
            (None, Look::Elsewhere) => reading.ignore(seen, Ignored::NotAtLineStart),
            (Some(reason), Look::AtStart(Start::Known { .. }) | Look::Elsewhere) => {
                reading.ignore(seen, reason)
            }
            (Some(_), Look::AtStart(Start::Near { .. } | Start::Strange { .. })) => {}
        }
    }
    if let Some(Found { command: Err(Misunderstanding::TooMany { more, .. }), .. }) = reading.found.last_mut()
    {
        *more = beyond_limit;
    }
    reading.found.extend(unread_command(head, rest, grammar));
    reading
}

impl Reading {
    fn ignore(&mut self, seen: &Seen<'_>, reason: Ignored) {
        if self.ignored.len() < MAX_IGNORED {
            self.ignored.push(IgnoredCommand {
                line: seen.line.number,
                text: excerpt(seen.line.text),
                reason,
            });
        } else {
            self.more_ignored += 1;
        }
    }
}

/// The rest of an overlong comment is searched as plain text, just to say that it was not read.
fn unread_command(head: &str, rest: &str, grammar: &Grammar) -> Option<Found> {
    let seen = lines(rest)
        .filter_map(|line| Seen::look(line, grammar))
        .find(|seen| matches!(seen.look, Look::AtStart(Start::Known { .. })))?;
    let mut found = seen.found(Err(Misunderstanding::BeyondLimit { limit: grammar.max_bytes }));
    found.line += lines(head).count();
    Some(found)
}

/// A line on which a command word was seen, before its place in the Markdown is known.
struct Seen<'a> {
    line: Line<'a>,
    marker_at: usize,
    look: Look<'a>,
}

impl<'a> Seen<'a> {
    fn look(line: Line<'a>, grammar: &Grammar) -> Option<Self> {
        let (at, look) = line::look(line.text, grammar)?;
        Some(Self { marker_at: line.start + at, line, look })
    }

    fn found(&self, command: Result<Command, Misunderstanding>) -> Found {
        Found { line: self.line.number, text: excerpt(self.line.text), command }
    }
}

struct Line<'a> {
    number: usize,
    start: usize,
    text: &'a str,
}

fn lines(body: &str) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    body.split_inclusive('\n').enumerate().map(move |(at, whole)| {
        let text = whole.strip_suffix('\n').unwrap_or(whole);
        let line = Line { number: at + 1, start, text: text.strip_suffix('\r').unwrap_or(text) };
        start += whole.len();
        line
    })
}

/// Cuts at the end of a line, so that no command is read half.
fn split_at_line(body: &str, max_bytes: usize) -> (&str, &str) {
    if body.len() <= max_bytes {
        return (body, "");
    }
    let end = body.as_bytes()[..max_bytes].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    body.split_at(end)
}

fn excerpt(line: &str) -> String {
    let line = line.trim();
    match line.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

impl Place {
    fn ignored(self) -> Option<Ignored> {
        match self {
            Self::Plain => None,
            Self::Ignored(reason) => Some(reason),
        }
    }
}

#[cfg(test)]
mod tests;
