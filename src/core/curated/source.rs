//! The curator's file, read for the places in it that are changed. The one file here that knows the parser.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

use super::value::{Kind, Value, kind_of};
use crate::core::mistake::position;

/// How deep lists and maps may stand in each other.
const MAX_DEPTH: usize = 64;
/// Values in all.
const MAX_NODES: usize = 200_000;
/// The largest file that is read, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// Why the file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {why}")]
pub struct SourceFault {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    /// What is wrong.
    pub why: String,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    path: Vec<String>,
    /// Where the key begins.
    start: usize,
    /// Where the value stands; empty where there is none.
    pub place: Range<usize>,
    /// The end of the last thing in it that is written.
    end: usize,
    /// Right behind the colon.
    pub after_colon: usize,
    /// The column of the keys in it.
    pub indent: usize,
    /// Written in braces or brackets.
    pub is_flow: bool,
    /// What it is.
    pub value: Value,
}

impl Entry {
    /// From the key to the end of the last thing that is written.
    pub fn all(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Source {
    /// Entries of the first document, two keys deep.
    entries: Vec<Entry>,
    /// Plain values of the first document, in order.
    pub plain: Vec<Range<usize>>,
    /// The end of the first document's last value.
    pub end: usize,
    /// No other document follows, and no mark of the end.
    pub is_last: bool,
    /// Nothing is written in a word somewhere: `null`, `~`.
    pub has_null: bool,
}

impl Source {
    /// Reads a file.
    pub fn read(text: &str) -> Result<Self, SourceFault> {
        let fault = |at: usize, why: &str| {
            let (line, column) = position(text, at);
            SourceFault { line, column, why: why.to_owned() }
        };
        if text.len() > MAX_BYTES {
            return Err(fault(0, "the file is larger than 16 MiB"));
        }
        let mut options = granit_parser::options! {
            flow_nesting_limit: MAX_DEPTH + 1,
            block_nesting_limit: MAX_DEPTH + 1,
            block_scalar_eof_without_line_feed: true,
        };
        options.set_emit_comments(false);
        let mut parser = Parser::new_from_str_with_options(text, options);
        let mut walk = Walk::default();
        let mut nodes = 0;
        while let Some(next) = parser.next_event() {
            let (event, span) = next.map_err(|error| SourceFault {
                line: error.marker().line().max(1),
                column: error.marker().col() + 1,
                why: format!("this is no YAML: {}", error.info()),
            })?;
            let start = span.start.byte_offset().unwrap_or_default();
            let end = span.end.byte_offset().unwrap_or(start).max(start);
            nodes += 1;
            if nodes > MAX_NODES {
                return Err(fault(start, "there are more than 200000 values"));
            }
            if walk.take(text, event, start..end, span.start.col()) {
                break;
            }
        }
        let rest = text.get(walk.end..).unwrap_or("");
        let is_mark = |line: &str| line.starts_with("---") || line.starts_with("...");
        let is_last = !rest.lines().skip(usize::from(walk.end > 0)).any(is_mark);
        let entries = match walk.root {
            Some(_) => walk.entries,
            None => return Err(fault(0, "the file is empty")),
        };
        Ok(Self { entries, plain: walk.plain, end: walk.end, is_last, has_null: walk.has_null })
    }

    /// The entry at a path of one or two keys.
    pub fn entry(&self, path: &[&str]) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.path.iter().map(String::as_str).eq(path.iter().copied()))
    }
}

/// A list or map that has begun.
struct Open {
    is_map: bool,
    is_flow: bool,
    start: usize,
    key: Option<Key>,
    /// The column of its first key.
    indent: Option<usize>,
    items: Vec<Value>,
    keyed: Vec<(String, Value)>,
}

#[derive(Clone)]
struct Key {
    text: String,
    place: Range<usize>,
}

#[derive(Default)]
struct Walk {
    open: Vec<Open>,
    entries: Vec<Entry>,
    plain: Vec<Range<usize>>,
    end: usize,
    root: Option<Value>,
    has_null: bool,
}

impl Walk {
    /// Takes one event; answers whether the first document has ended.
    fn take(&mut self, text: &str, event: Event<'_>, place: Range<usize>, column: usize) -> bool {
        match event {
            Event::Scalar(value, style, _, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                let is_null = is_plain && kind_of(&value) == Kind::Null;
                // The parser names nothing `~`, at a place that may be empty.
                let is_written =
                    text.get(place.clone()).is_some_and(|word| word == value && !word.is_empty());
                self.has_null |= is_null && is_written;
                let place = if is_null && !is_written { place.start..place.start } else { place };
                let is_key = self.open.last().is_some_and(|open| open.is_map && open.key.is_none());
                if is_plain && tag.is_none() && !is_key && !place.is_empty() {
                    self.plain.push(place.clone());
                }
                if !place.is_empty() {
                    // Blank lines behind a block are nobody's.
                    let written = text.get(place.clone()).unwrap_or("");
                    self.end = place.start + written.trim_end().len();
                }
                let value = match style {
                    _ if is_null => Value::Null,
                    ScalarStyle::Literal | ScalarStyle::Folded => Value::Block(value.into_owned()),
                    _ => Value::Text(value.into_owned()),
                };
                self.put(text, value, place, column, false, None);
            }
            Event::SequenceStart(style, ..) => self.begin(false, style, place.start),
            Event::MappingStart(style, ..) => self.begin(true, style, place.start),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return false };
                let value = if open.is_map { Value::Map(open.keyed) } else { Value::List(open.items) };
                // Only a bracket ends where it stands; everything else ends with what was last in it.
                if open.is_flow {
                    self.end = place.end;
                }
                let place = open.start..self.end.max(open.start);
                self.put(text, value, place, column, open.is_flow, open.indent);
            }
            Event::Alias(..) | Event::UnresolvedAlias(..) => {
                self.end = place.end;
                self.put(text, Value::Null, place, column, false, None);
            }
            Event::DocumentEnd => return true,
            _ => {}
        }
        false
    }

    fn begin(&mut self, is_map: bool, style: StructureStyle, start: usize) {
        let is_flow = style == StructureStyle::Flow;
        let (key, indent) = (None, None);
        self.open.push(Open { is_map, is_flow, start, key, indent, items: Vec::new(), keyed: Vec::new() });
    }

    fn put(
        &mut self,
        text: &str,
        value: Value,
        place: Range<usize>,
        column: usize,
        is_flow: bool,
        indent: Option<usize>,
    ) {
        let end = self.end;
        let depth = self.open.len();
        let outer = match self.open.first() {
            Some(first) if depth == 2 => first.key.as_ref().map(|key| key.text.clone()),
            _ => None,
        };
        let Some(open) = self.open.last_mut() else {
            self.root = Some(value);
            return;
        };
        if !open.is_map {
            open.items.push(value);
            return;
        }
        let Some(key) = open.key.take() else {
            open.indent.get_or_insert(column);
            let text = value.as_text().unwrap_or_default().to_owned();
            open.key = Some(Key { text, place });
            return;
        };
        if depth == 1 || outer.is_some() {
            let behind = text.get(key.place.end..).and_then(|rest| rest.find(':'));
            let after_colon = behind.map_or(key.place.end, |length| key.place.end + length + 1);
            self.entries.push(Entry {
                path: outer.into_iter().chain([key.text.clone()]).collect(),
                start: key.place.start,
                end: end.max(after_colon),
                place,
                after_colon,
                indent: indent.unwrap_or_default(),
                is_flow,
                value: value.clone(),
            });
        }
        open.keyed.push((key.text, value));
    }
}
