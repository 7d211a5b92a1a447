//! YAML as a tree in which every node knows where it stands, so that mistakes can be shown and text be edited in place.
//!
//! The one file that knows the parser. Scalars keep the text of the source, because `3.10` read as a number is `3.1`. A
//! text from a stranger is bounded in every direction before it is trusted with memory or time.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span as EventSpan, StrInput, Tag};

use crate::core::mistake::position;

/// The largest file that is read, in bytes. Real specs have 80 KiB.
pub const MAX_BYTES: usize = 4 << 20;
/// How deep lists and maps may stand in each other.
const MAX_DEPTH: usize = 64;
const TOO_DEEP: &str = "lists and maps stand more than 64 deep in each other";
/// How many nodes there may be after every alias is written out.
const MAX_NODES: usize = 200_000;
/// How much text there may be after every alias is written out.
const MAX_TEXT: usize = 2 * MAX_BYTES;
/// How many aliases are written out.
const MAX_ALIASES: usize = 1000;
/// How many mistakes are told before reading ends.
const MAX_MISTAKES: usize = 200;

/// Where something stands: bytes `start..end` of the text; line and column, in characters, count from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands. Of an alias: where the alias does.
    pub span: Span,
    /// What it is.
    pub content: Content,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// One value.
    Scalar(Scalar),
    /// Several values.
    List(Vec<Node>),
    /// Values under keys, in the order of the file.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, as text.
    pub key: String,
    /// Where the key stands.
    pub span: Span,
    /// Its value.
    pub value: Node,
}

/// A value that is no list and no map.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// The text, without quotes and folds.
    pub text: String,
    /// What a YAML 1.2 parser takes it for.
    pub kind: Kind,
}

/// What a scalar is to a YAML 1.2 parser that also knows dates. Whatever is quoted is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Nothing.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number, whole or not.
    Number,
    /// A date, with or without a time.
    Date,
}

impl Scalar {
    /// Its text as a spec means it: what nb-wrangler would make of it, but that numbers keep the digits of the source.
    pub fn meaning(&self) -> &str {
        match self.kind {
            Kind::Boolean(true) => "True",
            Kind::Boolean(false) => "False",
            Kind::Null => "",
            Kind::Text | Kind::Number | Kind::Date => &self.text,
        }
    }
}

impl Node {
    /// The value under `key`, if this is a map that has one.
    pub fn value(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The value at the end of a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.value(key))
    }

    /// Its keys and values; none if it is no map.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Its items; none if it is no list.
    pub fn items(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    /// What it is if it is a scalar.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.content {
            Content::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// Nothing is written there, or `null`.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.kind == Kind::Null)
    }

    /// How many nodes it is made of, and of how many bytes of text.
    fn weight(&self) -> (usize, usize) {
        let sum =
            |(nodes, text): (usize, usize), (more, longer): (usize, usize)| (nodes + more, text + longer);
        match &self.content {
            Content::Scalar(scalar) => (1, scalar.text.len()),
            Content::List(items) => items.iter().map(Self::weight).fold((1, 0), sum),
            Content::Map(entries) => {
                entries.iter().map(|entry| sum(entry.value.weight(), (1, entry.key.len()))).fold((1, 0), sum)
            }
        }
    }

    fn move_to(&mut self, span: Span) {
        self.span = span;
        match &mut self.content {
            Content::Scalar(_) => {}
            Content::List(items) => items.iter_mut().for_each(|item| item.move_to(span)),
            Content::Map(entries) => {
                for entry in entries {
                    entry.span = span;
                    entry.value.move_to(span);
                }
            }
        }
    }
}

/// What a text holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Documents {
    /// Its documents, as far as they could be read.
    pub documents: Vec<Node>,
    /// What is wrong with it as YAML.
    pub mistakes: Vec<(Span, String)>,
    /// Reading ended early: what is missing may stand there.
    pub is_broken: bool,
}

/// Reads a text. Never fails: mistakes are part of what is found.
pub fn parse(text: &str) -> Documents {
    let mut found = Documents::default();
    let first = Span { line: 1, column: 1, ..Span::default() };
    if text.len() > MAX_BYTES {
        let most = MAX_BYTES >> 20;
        found
            .mistakes
            .push((first, format!("the file has {} bytes, and at most {most} MiB are read", text.len())));
        found.is_broken = true;
        return found;
    }
    // What YAML forbids would reach terminals and programs through every value.
    if let Some((at, sign)) = text.char_indices().find(|(_, sign)| is_forbidden(*sign)) {
        let (line, column) = position(text, at);
        let span = Span { start: at, end: at + sign.len_utf8(), line, column };
        found.mistakes.push((span, format!("the character {sign:?} must not stand in YAML; remove it")));
        found.is_broken = true;
        return found;
    }
    let mut builder = Builder { found, ..Builder::default() };
    let mut options = granit_parser::options! {
        block_scalar_eof_without_line_feed: true,
    };
    options.set_emit_comments(false);
    let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str_with_options(text, options);
    while let Some(next) = parser.next_event() {
        let step = match next {
            Ok((event, at)) => builder.take(event, span_of(&at)),
            Err(error) => {
                let mark = error.marker();
                let at = mark.byte_offset().unwrap_or_default();
                let span = Span { start: at, end: at, line: mark.line().max(1), column: mark.col() + 1 };
                Err((
                    span,
                    match error.kind() {
                        ErrorKind::RecursionLimitExceeded => TOO_DEEP.to_owned(),
                        _ => format!("this is no YAML: {}", error.info()),
                    },
                ))
            }
        };
        if let Err(mistake) = step {
            builder.found.mistakes.push(mistake);
            builder.found.is_broken = true;
        }
        if builder.found.is_broken || builder.found.mistakes.len() >= MAX_MISTAKES {
            builder.found.is_broken = true;
            break;
        }
    }
    builder.found
}

/// Control characters but for tab and line breaks.
fn is_forbidden(sign: char) -> bool {
    (sign.is_control() && !matches!(sign, '\t' | '\n' | '\r' | '\u{85}'))
        || matches!(sign, '\u{fffe}' | '\u{ffff}')
}

fn span_of(at: &EventSpan) -> Span {
    let start = at.start.byte_offset().unwrap_or_default();
    let end = at.end.byte_offset().unwrap_or(start).max(start);
    Span { start, end, line: at.start.line().max(1), column: at.start.col() + 1 }
}

/// A list or map that has begun and not ended.
#[derive(Debug)]
enum Open {
    List { span: Span, anchor: usize, items: Vec<Node> },
    Map { span: Span, anchor: usize, entries: Vec<Entry>, keys: Keys, key: Option<Key> },
}

/// The keys of a map, each with its number and whether it was only merged in.
type Keys = HashMap<String, (usize, bool)>;

/// A key that waits for its value.
#[derive(Debug)]
struct Key {
    /// Nothing if it is no text: then the value counts for nothing.
    text: Option<String>,
    span: Span,
    /// `<<`: the value is put in place of the key.
    is_merge: bool,
}

#[derive(Debug, Default)]
struct Builder {
    found: Documents,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    text: usize,
    aliases: usize,
}

type Step = Result<(), (Span, String)>;

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Step {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(1, text.len(), span)?;
                let kind = self.kind(&text, style, tag.as_deref(), span);
                let is_merge = style == ScalarStyle::Plain && text == "<<";
                let node = Node { span, content: Content::Scalar(Scalar { text: text.into_owned(), kind }) };
                self.remember(anchor, &node);
                self.put(node, is_merge)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.judge_tag(tag, &["seq"], span);
                self.begin(Open::List { span, anchor, items: Vec::new() }, span)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.judge_tag(tag, &["map"], span);
                let (entries, keys) = Default::default();
                self.begin(Open::Map { span, anchor, entries, keys, key: None }, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(id) => {
                self.aliases += 1;
                if self.aliases > MAX_ALIASES {
                    return Err((
                        span,
                        format!("there are more than {MAX_ALIASES} aliases; write the values out"),
                    ));
                }
                let Some(mut node) = self.anchors.get(&id).cloned() else {
                    return Err((
                        span,
                        "this alias stands inside of what it repeats; write the value out".into(),
                    ));
                };
                let (nodes, text) = node.weight();
                self.spend(nodes, text, span)?;
                node.move_to(span);
                self.put(node, false)
            }
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn spend(&mut self, nodes: usize, text: usize, span: Span) -> Step {
        self.nodes += nodes;
        self.text += text;
        if self.nodes > MAX_NODES {
            return Err((
                span,
                format!("there are more than {MAX_NODES} values, with all aliases written out"),
            ));
        }
        if self.text > MAX_TEXT {
            let most = MAX_TEXT >> 20;
            return Err((
                span,
                format!("there are more than {most} MiB of text, with all aliases written out"),
            ));
        }
        Ok(())
    }

    /// Anchors that nothing repeats cost a copy, so copies count as well.
    fn remember(&mut self, anchor: usize, node: &Node) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }

    fn begin(&mut self, open: Open, span: Span) -> Step {
        self.spend(1, 0, span)?;
        if self.open.len() >= MAX_DEPTH {
            return Err((span, TOO_DEEP.to_owned()));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self, end: Span) -> Step {
        let (node, anchor) = match self.open.pop() {
            Some(Open::List { span, anchor, items }) => (
                Node { span: Span { end: end.end.max(span.end), ..span }, content: Content::List(items) },
                anchor,
            ),
            Some(Open::Map { span, anchor, entries, .. }) => (
                Node { span: Span { end: end.end.max(span.end), ..span }, content: Content::Map(entries) },
                anchor,
            ),
            None => return Ok(()),
        };
        if anchor != 0 {
            let (nodes, text) = node.weight();
            self.spend(nodes, text, node.span)?;
        }
        self.remember(anchor, &node);
        self.put(node, false)
    }

    /// Puts a complete node where it belongs.
    fn put(&mut self, node: Node, is_merge: bool) -> Step {
        let mistakes = &mut self.found.mistakes;
        match self.open.last_mut() {
            None => self.found.documents.push(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { key: waiting @ None, .. }) => {
                let text = match &node.content {
                    Content::Scalar(scalar) => Some(scalar.text.clone()),
                    _ => {
                        mistakes.push((node.span, "a key must be a text, no list and no map".into()));
                        None
                    }
                };
                *waiting = Some(Key { text, span: node.span, is_merge });
            }
            Some(Open::Map { entries, keys, key, .. }) => {
                let Some(key) = key.take() else { return Ok(()) };
                let Some(text) = key.text else { return Ok(()) };
                let entry = Entry { key: text, span: key.span, value: node };
                if key.is_merge {
                    merge(entries, keys, entry.value, mistakes);
                    return Ok(());
                }
                match keys.get_mut(&entry.key) {
                    None => {
                        keys.insert(entry.key.clone(), (entries.len(), false));
                        entries.push(entry);
                    }
                    // What is written wins over what was merged in.
                    Some((at, is_merged @ true)) => {
                        *is_merged = false;
                        if let Some(merged) = entries.get_mut(*at) {
                            *merged = entry;
                        }
                    }
                    Some(_) => {
                        let text =
                            format!("the key {:?} stands here a second time; keep one of them", entry.key);
                        mistakes.push((entry.span, text));
                    }
                }
            }
        }
        Ok(())
    }

    fn kind(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Kind {
        match tag {
            Some(tag) if tag.is_yaml_core_schema() && tag.core_suffix() == Some("str") => return Kind::Text,
            // `!` alone says «no guessing».
            Some(tag) if tag.original() == "!" => return Kind::Text,
            Some(tag) => {
                let known = ["null", "bool", "int", "float", "timestamp"];
                self.judge_tag(Some(Cow::Borrowed(tag)), &known, span);
            }
            None => {}
        }
        if style == ScalarStyle::Plain { plain_kind(text) } else { Kind::Text }
    }

    /// Tags other than these would make objects of other programs.
    fn judge_tag(&mut self, tag: Option<Cow<'_, Tag>>, known: &[&str], span: Span) {
        let Some(tag) = tag else { return };
        if !tag.core_suffix().is_some_and(|suffix| known.contains(&suffix)) {
            let name: String = tag.original().chars().take(40).collect();
            self.found.mistakes.push((span, format!("the tag {name:?} means nothing here; remove it")));
        }
    }
}

/// `<<: *base`: the keys of other maps, where this one has none of its own.
fn merge(entries: &mut Vec<Entry>, keys: &mut Keys, from: Node, mistakes: &mut Vec<(Span, String)>) {
    let span = from.span;
    let maps = match from.content {
        Content::Map(entries) => vec![entries],
        Content::List(items) if items.iter().all(|item| matches!(item.content, Content::Map(_))) => items
            .into_iter()
            .filter_map(|item| if let Content::Map(entries) = item.content { Some(entries) } else { None })
            .collect(),
        _ => {
            mistakes.push((span, "`<<` takes a map, or a list of maps".into()));
            return;
        }
    };
    for entry in maps.into_iter().flatten() {
        if !keys.contains_key(&entry.key) {
            keys.insert(entry.key.clone(), (entries.len(), true));
            entries.push(entry);
        }
    }
}

/// What a plain scalar is, by the rules of YAML 1.2 as nb-wrangler's reader keeps them.
fn plain_kind(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Boolean(true),
        "false" | "False" | "FALSE" => Kind::Boolean(false),
        _ if is_whole(text) || is_fraction(text) => Kind::Number,
        _ if is_date(text) => Kind::Date,
        _ => Kind::Text,
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn all(text: &str, fits: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(fits)
}

fn is_digit(sign: char) -> bool {
    sign.is_ascii_digit() || sign == '_'
}

fn is_whole(text: &str) -> bool {
    let text = unsigned(text);
    let of_base = |prefix, base| {
        text.strip_prefix(prefix).is_some_and(|rest| all(rest, |sign| sign.is_digit(base) || sign == '_'))
    };
    all(text, is_digit) && text != "_" || of_base("0b", 2) || of_base("0o", 8) || of_base("0x", 16)
}

fn is_fraction(text: &str) -> bool {
    let text = unsigned(text);
    if matches!(text, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(unsigned(exponent))),
        None => (text, None),
    };
    if exponent.is_some_and(|exponent| !all(exponent, |sign| sign.is_ascii_digit())) {
        return false;
    }
    let begins = |text: &str| text.starts_with(|sign: char| sign.is_ascii_digit()) && all(text, is_digit);
    match number.split_once('.') {
        Some(("", after)) => all(after, is_digit),
        Some((before, after)) => begins(before) && (after.is_empty() || all(after, is_digit)),
        None => exponent.is_some() && begins(number),
    }
}

/// `2026-04-13`, alone or followed by a time.
fn is_date(text: &str) -> bool {
    let (date, time) = match text.split_once(['T', 't', ' ', '\t']) {
        Some((date, time)) => (date, Some(time.trim_start())),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let digits = |text: &str| all(text, |sign| sign.is_ascii_digit());
    if year.len() != 4 || !digits(year) || !digits(month) || !digits(day) {
        return false;
    }
    match time {
        None => month.len() == 2 && day.len() == 2,
        Some(time) => {
            let is_of_time =
                |sign: char| sign.is_ascii_digit() || matches!(sign, ':' | '.' | '+' | '-' | 'Z' | ' ');
            month.len() <= 2 && day.len() <= 2 && time.matches(':').count() >= 2 && all(time, is_of_time)
        }
    }
}
