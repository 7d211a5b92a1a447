//! YAML as a tree in which every node knows where it stands, so that mistakes can be shown and text be edited in place.
//!
//! The one file that knows the parser. Scalars keep the text of the source, because `3.10` read as a number is `3.1`. A
//! text from a stranger is bounded in every direction before it is trusted with memory or time.

mod kind;
mod node;

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span as EventSpan, StrInput, Tag};

use crate::core::mistake::position;
use kind::plain_kind;

pub use node::{Content, Entry, Kind, Node, Scalar, Span};

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
