//! Why a command was not understood, said so that its writer can do better at once.

use crate::core::neutral;

/// Characters of a stranger's word that an answer repeats.
const SHOWN: usize = 60;

/// What was evidently meant as a command and is none. The text of each fits an answer on a forge: what it
/// repeats of the comment is neutralised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misunderstanding {
    #[error("there is no command {}; did you mean `{suggestion}`?", shown(.word))]
    UnknownWord { word: String, suggestion: String },
    #[error("there is no flag {}{}", shown(.flag), did_you_mean(.suggestion))]
    UnknownFlag { flag: String, suggestion: Option<&'static str> },
    #[error("{} needs {what} after it", shown(.after))]
    MissingValue { after: String, what: &'static str },
    #[error("`{flag}` takes no value")]
    UnwantedValue { flag: &'static str },
    #[error("`{flag}` may stand only once")]
    Repeated { flag: &'static str },
    #[error("`{command}` does not understand {}; please put other words on a line of their own", shown(.words))]
    TrailingWords { command: String, words: String },
    #[error("{} is no commit: {problem}", shown(.given))]
    BadSha { given: String, problem: ShaProblem },
    #[error("{} is no glob for notebooks: {}", shown(.glob), neutral::plain(.problem, SHOWN))]
    BadGlob { glob: String, problem: String },
    #[error("{} is no path of a spec: {}", shown(.path), neutral::plain(.problem, SHOWN))]
    BadPath { path: String, problem: String },
    #[error("{} is no name of a tier: letters, digits, `-` and `_`, at most 64", shown(.name))]
    BadTier { name: String },
    #[error("a quotation mark is opened and not closed")]
    OpenQuote,
    #[error("{}", strange(*.found))]
    StrangeCharacter { found: char },
    #[error("the line is longer than {limit} bytes")]
    LineTooLong { limit: usize },
    #[error("only the first {limit} commands of a comment are taken; left out from here on: {more}")]
    TooMany { limit: usize, more: usize },
    #[error(
        "only the first {limit} bytes of a comment are read, and this stands beyond; write it in a new comment"
    )]
    BeyondLimit { limit: usize },
}

/// What is wrong with a commit's SHA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShaProblem {
    #[error("at least 7 of its digits are needed")]
    TooShort,
    #[error("a full one has 40 digits, or 64")]
    TooLong,
    #[error("7 to 64 digits from `0` to `9` and `a` to `f` are needed")]
    NotHex,
}

impl Misunderstanding {
    /// A stable name for the ledger and for JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownWord { .. } => "unknown_word",
            Self::UnknownFlag { .. } => "unknown_flag",
            Self::MissingValue { .. } => "missing_value",
            Self::UnwantedValue { .. } => "unwanted_value",
            Self::Repeated { .. } => "repeated",
            Self::TrailingWords { .. } => "trailing_words",
            Self::BadSha { .. } => "bad_sha",
            Self::BadGlob { .. } => "bad_glob",
            Self::BadPath { .. } => "bad_path",
            Self::BadTier { .. } => "bad_tier",
            Self::OpenQuote => "open_quote",
            Self::StrangeCharacter { .. } => "strange_character",
            Self::LineTooLong { .. } => "line_too_long",
            Self::TooMany { .. } => "too_many",
            Self::BeyondLimit { .. } => "beyond_limit",
        }
    }
}

fn shown(text: &str) -> String {
    neutral::inline(text, SHOWN)
}

fn did_you_mean(suggestion: &Option<&'static str>) -> String {
    suggestion.map(|flag| format!("; did you mean `{flag}`?")).unwrap_or_default()
}

/// People who paste such a character don't see it, so its number and the way out are said.
fn strange(found: char) -> String {
    let number = u32::from(found);
    let what = match found {
        '\u{a0}' | '\u{202f}' => "a no-break space",
        '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => "an invisible character",
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' => {
            "a mark that changes the reading direction"
        }
        '\u{2018}'..='\u{201f}' => "a curly quotation mark",
        '\u{ff01}'..='\u{ff5e}' => "a full-width character",
        c if c.is_control() => "a control character",
        _ => "an unusual character",
    };
    format!("there is {what} (U+{number:04X}) in the command; please type it with plain characters")
}
