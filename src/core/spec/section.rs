//! Reading the maps of a spec strictly: every mistake is noted with its place, and reading goes on.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::yaml::{Content, Entry, Kind, Node, Span};
use super::{Warning, Written};
use crate::core::mistake::{Mistake, Place, did_you_mean};

/// Mistakes that are kept of one file, and as many warnings. Whoever hands in something that is no spec needs no more.
const MAX_NOTES: usize = 200;

/// What was found while a file is read.
#[derive(Debug)]
pub struct Notes {
    file: String,
    mistakes: RefCell<Vec<Mistake>>,
    warnings: RefCell<Vec<Warning>>,
}

impl Notes {
    /// None yet.
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), mistakes: RefCell::default(), warnings: RefCell::default() }
    }

    fn at(&self, span: Span, text: String) -> Mistake {
        Mistake::new(Place { file: self.file.clone(), line: span.line, column: span.column }, text)
    }

    /// Notes a mistake.
    pub fn mistake(&self, span: Span, text: impl Into<String>) {
        let mut mistakes = self.mistakes.borrow_mut();
        if mistakes.len() < MAX_NOTES {
            mistakes.push(self.at(span, text.into()));
        }
    }

    /// No more mistakes are kept, so that looking for what was meant is of no use.
    pub fn is_full(&self) -> bool {
        self.mistakes.borrow().len() >= MAX_NOTES
    }

    /// Notes what is no mistake and should be known.
    pub fn warning(&self, name: &'static str, span: Span, text: impl Into<String>) {
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() < MAX_NOTES {
            warnings.push(Warning { name, mistake: self.at(span, text.into()) });
        }
    }

    /// All of them, in the order of the file.
    pub fn into_lists(self) -> (Vec<Mistake>, Vec<Warning>) {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort();
        mistakes.dedup();
        let mut warnings = self.warnings.into_inner();
        warnings.sort_by(|one, other| one.mistake.cmp(&other.mistake));
        warnings.dedup();
        (mistakes, warnings)
    }
}

/// A map being read. Keys that nobody asked for are mistakes, noted by [`Section::close`].
#[derive(Debug)]
pub struct Section<'s> {
    /// Where its mistakes go.
    pub notes: &'s Notes,
    /// Its name for people.
    what: String,
    /// Where it stands, by its key where it has one.
    pub span: Span,
    node: &'s Node,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'s> Section<'s> {
    /// The map at `node`, called `what` and standing at `span`; a mistake if it is no map.
    pub fn new(notes: &'s Notes, what: impl Into<String>, span: Span, node: &'s Node) -> Option<Self> {
        let what = what.into();
        if !matches!(node.content, Content::Map(_)) {
            notes.mistake(place(node, span), format!("{what} must be a map: lines of `key: value`"));
            return None;
        }
        Some(Self { notes, what, span, node, asked: RefCell::default() })
    }

    /// Its keys and values.
    pub fn entries(&self) -> &'s [Entry] {
        self.node.entries()
    }

    /// The entry under `key`, asked for.
    pub fn entry(&self, key: &'static str) -> Option<&'s Entry> {
        self.asked.borrow_mut().insert(key);
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The key stands there, with whatever value.
    pub fn has(&self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// The value under `key`, unless nothing is written there.
    pub fn value(&self, key: &'static str) -> Option<&'s Node> {
        self.entry(key).map(|entry| &entry.value).filter(|value| !value.is_null())
    }

    /// Notes a mistake of this section.
    pub fn mistake(&self, span: Span, text: impl AsRef<str>) {
        self.notes.mistake(span, format!("{}: {}", self.what, text.as_ref()));
    }

    /// Notes a warning about this section.
    pub fn warning(&self, name: &'static str, span: Span, text: impl AsRef<str>) {
        self.notes.warning(name, span, format!("{}: {}", self.what, text.as_ref()));
    }

    /// The value under `key`; a mistake if there is none.
    pub fn required(&self, key: &'static str) -> Option<&'s Node> {
        match self.entry(key) {
            None => self.mistake(self.span, format!("{key} is missing")),
            Some(entry) if entry.value.is_null() => self.mistake(entry.span, format!("{key} has no value")),
            Some(entry) => return Some(&entry.value),
        }
        None
    }

    /// The text under `key`.
    pub fn text(&self, key: &'static str) -> Option<Written> {
        self.written(key, self.value(key)?)
    }

    /// The text under `key`; a mistake if there is none.
    pub fn required_text(&self, key: &'static str) -> Option<Written> {
        let text = self.written(key, self.required(key)?)?;
        if text.text.trim().is_empty() {
            self.mistake(text.span, format!("{key} is empty"));
            return None;
        }
        Some(text)
    }

    /// The text of a node that stands under `key`.
    pub fn written(&self, key: &str, node: &Node) -> Option<Written> {
        match node.scalar() {
            Some(scalar) => Some(Written { text: scalar.meaning().to_owned(), span: node.span }),
            None => {
                self.mistake(node.span, format!("{key} must be one value, no list and no map"));
                None
            }
        }
    }

    /// The map under `key`.
    pub fn section(&self, key: &'static str) -> Option<Section<'s>> {
        let entry = self.entry(key)?;
        let what = if self.what == TOP { key.to_owned() } else { format!("{}.{key}", self.what) };
        Section::new(self.notes, what, entry.span, &entry.value)
    }

    /// The map under `key`; nothing written there is no map, and no mistake.
    pub fn section_or_nothing(&self, key: &'static str) -> Option<Section<'s>> {
        self.value(key)?;
        self.section(key)
    }

    /// All maps of a map whose keys people choose, each with its key.
    pub fn named_sections(&self) -> Vec<(Written, Section<'s>)> {
        let named = self.entries().iter().filter_map(|entry| {
            let what = format!("{}.{}", self.what, shown(&entry.key));
            let section = Section::new(self.notes, what, entry.span, &entry.value)?;
            Some((Written { text: entry.key.clone(), span: entry.span }, section))
        });
        named.collect()
    }

    /// The texts of the list under `key`.
    pub fn texts(&self, key: &'static str) -> Vec<Written> {
        let Some(node) = self.value(key) else { return Vec::new() };
        if !matches!(node.content, Content::List(_)) {
            self.mistake(node.span, format!("{key} must be a list: lines of `- item`"));
            return Vec::new();
        }
        let mut texts = Vec::new();
        for item in node.items() {
            match item.scalar() {
                Some(scalar) if scalar.kind == Kind::Null || scalar.text.trim().is_empty() => {
                    self.mistake(item.span, format!("{key} holds an item without a value; remove it"));
                }
                Some(scalar) => texts.push(Written { text: scalar.meaning().to_owned(), span: item.span }),
                None => self.mistake(item.span, format!("{key} must hold texts, no lists and no maps")),
            }
        }
        texts
    }

    /// Says that these keys are known, without reading them.
    pub fn know(&self, keys: &[&'static str]) {
        self.asked.borrow_mut().extend(keys);
    }

    /// Notes every key that nobody asked for.
    pub fn close(self) {
        for (span, text) in self.unknown() {
            self.mistake(span, text);
        }
    }

    /// Notes every key that nobody asked for, where nb-wrangler takes all.
    pub fn close_loosely(self) {
        for (span, text) in self.unknown() {
            self.warning("unknown-key", span, text);
        }
    }

    fn unknown(&self) -> Vec<(Span, String)> {
        let asked = self.asked.borrow();
        let unknown = self.entries().iter().filter(|entry| !asked.contains(entry.key.as_str()));
        let told = unknown.take(MAX_NOTES).map(|entry| {
            // Long keys are no misspellings, and comparing them would take long.
            let near = if entry.key.len() > 64 || self.notes.is_full() {
                String::new()
            } else {
                did_you_mean(&entry.key, asked.iter().copied())
            };
            (entry.span, format!("unknown key {}{near}", quoted(&entry.key)))
        });
        told.collect()
    }
}

/// What the outermost map is called.
pub const TOP: &str = "the spec";

/// Where a value is; where its key is if nothing is written.
pub fn place(node: &Node, key: Span) -> Span {
    if node.is_null() { key } else { node.span }
}

/// As much of a text as fits into a message, without what a terminal would obey.
pub fn shown(text: &str) -> String {
    short(text).escape_debug().to_string()
}

/// The same in quotes.
pub fn quoted(text: &str) -> String {
    format!("{:?}", short(text))
}

fn short(text: &str) -> String {
    // Not all of a long text is looked at.
    let mut signs = text.chars();
    let mut begin: String = signs.by_ref().take(79).collect();
    match (signs.next(), signs.next()) {
        (Some(last), None) => begin.push(last),
        (Some(_), Some(_)) => begin.push('…'),
        _ => {}
    }
    begin
}
