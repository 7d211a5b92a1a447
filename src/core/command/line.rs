//! One line: whether it looks like a command, and what it asks for.

use super::misunderstanding::{Misunderstanding, ShaProblem};
use super::{Command, Grammar, ShaPrefix, TestOptions, Verb};
use crate::core::neutral;

/// Bytes of a line with a command. No honest one comes near.
const MAX_LINE: usize = 2048;

const MAX_GLOB: usize = 256;
const MAX_TIER: usize = 64;

const FLAGS: [&str; 5] = ["--extra-tests", "--tier", "--notebooks", "--spec", "--full"];

/// What a line seems to hold.
#[derive(Debug)]
pub(super) enum Look<'a> {
    AtStart(Start<'a>),
    /// A known word behind markup, so not at the start of the line.
    Elsewhere,
}

/// What the start of a line seems to be.
#[derive(Debug)]
pub(super) enum Start<'a> {
    /// A known word; `word` as written, `rest` all that follows it.
    Known { verb: Verb, word: &'a str, rest: &'a str },
    /// A word that is almost a known one.
    Near { word: &'a str, known: String },
    /// A known word, spoilt by a character that people don't see or see as another.
    Strange { found: char },
}

/// What a line seems to hold, and at which byte the marker stands.
pub(super) fn look<'a>(line: &'a str, grammar: &Grammar) -> Option<(usize, Look<'a>)> {
    let start = line.len() - line.trim_start_matches(' ').len();
    if start <= 3
        && let Some(after) = line[start..].strip_prefix(grammar.marker)
    {
        return at_start(after, grammar).map(|found| (start, Look::AtStart(found)));
    }
    let wide = char::from_u32(u32::from(grammar.marker) + 0xfee0).unwrap_or(grammar.marker);
    let bare = line.trim_start_matches(|c| c != grammar.marker && is_markup(c) || is_strange(c));
    let after = bare.strip_prefix([grammar.marker, wide])?;
    let (word, rest) = split_word(after);
    grammar.verb(word).filter(|_| !rest.starts_with(char::is_alphanumeric))?;
    let at = line.len() - bare.len();
    let before = &line[..at];
    let strange = before.chars().chain(bare.chars().take(1)).find(|c| is_strange(*c) || *c == wide);
    match strange {
        Some(found) if before.chars().all(|c| c == ' ' || is_strange(c)) => {
            Some((at, Look::AtStart(Start::Strange { found })))
        }
        _ => Some((at, Look::Elsewhere)),
    }
}

fn at_start<'a>(after: &'a str, grammar: &Grammar) -> Option<Start<'a>> {
    let (word, rest) = split_word(after);
    let next = rest.chars().next();
    if next.is_some_and(char::is_alphanumeric) {
        return None;
    }
    if let Some(verb) = grammar.verb(word) {
        return Some(Start::Known { verb, word, rest });
    }
    let known = grammar.nearest(word).filter(|_| matches!(next, None | Some(' ' | '\t')))?;
    Some(Start::Near { word, known })
}

/// Markup that may stand before a word that somebody quotes, lists or formats.
fn is_markup(c: char) -> bool {
    c.is_ascii_digit() || " \t>-*+#.)|`~_[]^(\"'=:".contains(c)
}

fn is_strange(c: char) -> bool {
    c != '\t' && neutral::is_treacherous(c) || !c.is_ascii() && c.is_whitespace()
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

impl Grammar {
    fn verb(&self, word: &str) -> Option<Verb> {
        self.words.all().iter().find(|(_, known)| word.eq_ignore_ascii_case(known)).map(|(verb, _)| *verb)
    }

    /// Close enough that nobody else's word is meant: one slip, or two in a long word that begins alike.
    fn nearest(&self, word: &str) -> Option<String> {
        if word.len() > 40 {
            return None;
        }
        let word = word.to_ascii_lowercase();
        let distance = |known: &str| strsim::osa_distance(&word, known);
        let near = |known: &str| match distance(known) {
            0 | 1 => known.len() >= 4,
            2 => known.len() >= 6 && known.as_bytes().first() == word.as_bytes().first(),
            _ => false,
        };
        let words = self.words.all();
        let nearest = words.iter().map(|(_, known)| *known).filter(|known| near(known));
        nearest.min_by_key(|known| distance(known)).map(str::to_owned)
    }
}

/// The command of a line that looks like one in a place where it counts.
pub(super) fn command(start: &Start<'_>, grammar: &Grammar) -> Result<Command, Misunderstanding> {
    let marker = grammar.marker;
    match start {
        Start::Known { verb, word, rest } => arguments(*verb, &format!("{marker}{word}"), rest),
        Start::Near { word, known } => Err(Misunderstanding::UnknownWord {
            word: format!("{marker}{word}"),
            suggestion: format!("{marker}{known}"),
        }),
        Start::Strange { found } => Err(Misunderstanding::StrangeCharacter { found: *found }),
    }
}

fn arguments(verb: Verb, command: &str, rest: &str) -> Result<Command, Misunderstanding> {
    if rest.len() > MAX_LINE {
        return Err(Misunderstanding::LineTooLong { limit: MAX_LINE });
    }
    if let Some(found) = rest.chars().find(|c| is_strange(*c)) {
        return Err(Misunderstanding::StrangeCharacter { found });
    }
    let trailing = |words: &str| {
        Err(Misunderstanding::TrailingWords { command: command.to_owned(), words: words.trim().to_owned() })
    };
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return trailing(rest);
    }
    let alone = |alone: Command| if rest.trim().is_empty() { Ok(alone) } else { trailing(rest) };
    match verb {
        Verb::Test => test_options(command, rest).map(Command::Test),
        Verb::Retry => alone(Command::Retry),
        Verb::Cancel => alone(Command::Cancel),
        Verb::Status => alone(Command::Status),
        Verb::Help => alone(Command::Help),
        Verb::Reject => alone(Command::Reject),
        Verb::Accept => match tokens(rest)?.as_slice() {
            [] => {
                let what = "the SHA of the commit that you accept";
                Err(Misunderstanding::MissingValue { after: command.to_owned(), what })
            }
            [sha] => parse_sha(&sha.text).map(Command::Accept),
            [_, more, ..] => trailing(&more.text),
        },
    }
}

fn test_options(command: &str, rest: &str) -> Result<TestOptions, Misunderstanding> {
    let mut options = TestOptions::default();
    let mut tokens = tokens(rest)?.into_iter();
    while let Some(token) = tokens.next() {
        if !token.is_flag() {
            let looks_like_sha = token.text.bytes().all(|b| b.is_ascii_hexdigit()) && !token.text.is_empty();
            if !looks_like_sha || options.sha.is_some() {
                let (command, words) = (command.to_owned(), token.text);
                return Err(Misunderstanding::TrailingWords { command, words });
            }
            options.sha = Some(parse_sha(&token.text)?);
            continue;
        }
        let (name, attached) = match token.text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (token.text.as_str(), None),
        };
        let mut value = |what: &'static str| {
            let value = match &attached {
                Some(value) => Some(value.clone()),
                None => tokens.next().filter(|token| !token.is_flag()).map(|token| token.text),
            };
            let missing = || Misunderstanding::MissingValue { after: name.to_owned(), what };
            value.filter(|value| !value.is_empty()).ok_or_else(missing)
        };
        match name {
            "--extra-tests" if attached.is_none() => options.extra_tests = true,
            "--full" if attached.is_none() => options.full = true,
            "--extra-tests" => return Err(Misunderstanding::UnwantedValue { flag: "--extra-tests" }),
            "--full" => return Err(Misunderstanding::UnwantedValue { flag: "--full" }),
            "--tier" => {
                let tier = parse_tier(value("the name of a tier")?)?;
                if !options.tiers.contains(&tier) {
                    options.tiers.push(tier);
                }
            }
            "--spec" if options.spec.is_some() => return Err(Misunderstanding::Repeated { flag: "--spec" }),
            "--spec" => {
                options.spec = Some(parse_path(value("the path of a spec, such as `specs/a.yaml`")?)?)
            }
            "--notebooks" if options.notebooks.is_some() => {
                return Err(Misunderstanding::Repeated { flag: "--notebooks" });
            }
            "--notebooks" => {
                options.notebooks = Some(parse_glob(value("a glob such as `notebooks/*.ipynb`")?)?)
            }
            _ => {
                let suggestion = nearest_flag(name);
                return Err(Misunderstanding::UnknownFlag { flag: name.to_owned(), suggestion });
            }
        }
    }
    Ok(options)
}

/// Phones turn two hyphens into a dash, so dashes of all kinds begin a flag, if only to be answered.
fn is_dash(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}')
}

fn nearest_flag(name: &str) -> Option<&'static str> {
    let bare = name.trim_start_matches(is_dash).to_lowercase();
    if bare.is_empty() || bare.len() > 40 {
        return None;
    }
    let distance = |flag: &&'static str| strsim::osa_distance(&bare, &flag[2..]);
    let extends = |flag: &&'static str| {
        bare.len() >= 3 && (flag[2..].starts_with(&bare) || bare.starts_with(&flag[2..]))
    };
    FLAGS.into_iter().filter(|flag| distance(flag) <= 2 || extends(flag)).min_by_key(distance)
}

fn parse_sha(text: &str) -> Result<ShaPrefix, Misunderstanding> {
    let problem = |problem: ShaProblem| Misunderstanding::BadSha { given: text.to_owned(), problem };
    ShaPrefix::parse(text).map_err(problem)
}

fn parse_tier(name: String) -> Result<String, Misunderstanding> {
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if is_name && name.len() <= MAX_TIER { Ok(name) } else { Err(Misunderstanding::BadTier { name }) }
}

fn parse_path(path: String) -> Result<String, Misunderstanding> {
    let problem = if path.len() > MAX_GLOB {
        format!("it is longer than {MAX_GLOB} bytes")
    } else if path.starts_with(['/', '-']) || path.split('/').any(|part| part == "..") {
        "it must stay inside the repository".to_owned()
    } else if path.contains('`') {
        "write it without backticks".to_owned()
    } else {
        return Ok(path);
    };
    Err(Misunderstanding::BadPath { path, problem })
}

fn parse_glob(glob: String) -> Result<String, Misunderstanding> {
    let problem = if glob.len() > MAX_GLOB {
        Some(format!("it is longer than {MAX_GLOB} bytes"))
    } else if glob.starts_with('/') || glob.split('/').any(|part| part == "..") {
        Some("it must stay inside the repository".to_owned())
    } else if glob.contains('`') {
        Some("write it without backticks".to_owned())
    } else {
        let parsed = globset::GlobBuilder::new(&glob).literal_separator(true).build();
        parsed.err().map(|error| error.kind().to_string())
    };
    match problem {
        Some(problem) => Err(Misunderstanding::BadGlob { glob, problem }),
        None => Ok(glob),
    }
}

struct Token {
    text: String,
    /// Whether it begins with a quotation mark: then it is never a flag.
    is_quoted: bool,
}

impl Token {
    fn is_flag(&self) -> bool {
        !self.is_quoted && self.text.starts_with(is_dash)
    }
}

/// Splits at spaces and tabs; `'…'` and `"…"` keep them, as in a shell. There are no escapes: a backslash
/// belongs to the glob.
fn tokens(rest: &str) -> Result<Vec<Token>, Misunderstanding> {
    let mut tokens = Vec::new();
    let mut current: Option<Token> = None;
    let mut quote: Option<char> = None;
    for c in rest.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => current.get_or_insert_with(Token::bare).text.push(c),
            (None, ' ' | '\t') => tokens.extend(current.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                current.get_or_insert(Token { text: String::new(), is_quoted: true });
            }
            (None, '\u{2018}'..='\u{201f}') => return Err(Misunderstanding::StrangeCharacter { found: c }),
            (None, c) => current.get_or_insert_with(Token::bare).text.push(c),
        }
    }
    if quote.is_some() {
        return Err(Misunderstanding::OpenQuote);
    }
    tokens.extend(current);
    Ok(tokens)
}

impl Token {
    fn bare() -> Self {
        Self { text: String::new(), is_quoted: false }
    }
}
