//! The tree: values, each with its place in the text.

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
    pub(super) fn weight(&self) -> (usize, usize) {
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

    /// Puts all of it at one place: where an alias repeats it.
    pub(super) fn move_to(&mut self, span: Span) {
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
