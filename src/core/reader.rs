//! Reading a TOML table strictly: every mistake is collected with its place, and reading goes on.
//!
//! serde stops at the first mistake; people want all of them. Pure: text in, values and mistakes out.

mod units;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Place, did_you_mean, position};
use super::recipe::Setting;
use super::time::Duration;
use units::{duration, json, size};

/// Mistakes that are kept of one file. Whoever hands in something that is no configuration at all needs no more.
const MAX_MISTAKES: usize = 200;

/// No length of time that people configure is longer, and sums with dates cannot overflow.
const LONGEST: Duration = Duration::days(3650);

/// A file being read: its name, its text and the mistakes so far.
#[derive(Debug)]
pub struct Source<'a> {
    name: String,
    text: &'a str,
    mistakes: RefCell<Vec<Mistake>>,
    /// Values that are no TOML.
    broken: RefCell<Vec<Range<usize>>>,
}

impl<'a> Source<'a> {
    /// A file that nobody has read yet.
    pub fn new(name: &str, text: &'a str) -> Self {
        Self { name: name.to_owned(), text, mistakes: RefCell::default(), broken: RefCell::default() }
    }

    /// Its table. Where it is no TOML, that is noted and the rest is read. Each broken value is told once, and of what is
    /// no value only the first: an open bracket swallows all that follows, which is no news.
    pub fn parse(&self) -> Spanned<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let mut values = Vec::new();
        collect_values(table.get_ref(), &mut values);
        let mut errors: Vec<_> =
            errors.into_iter().map(|error| (error.span().unwrap_or(0..0), error)).collect();
        errors.sort_by_key(|(span, _)| span.start);
        let mut is_lost = false;
        for (span, error) in errors {
            let value = values.iter().find(|value| value.start <= span.start && span.start <= value.end);
            if self.is_in_broken(&span) || (value.is_none() && is_lost) {
                continue;
            }
            is_lost |= value.is_none();
            self.mistake(span.clone(), error.message().trim());
            self.broken.borrow_mut().push(value.cloned().unwrap_or(span));
        }
        table
    }

    fn is_in_broken(&self, span: &Range<usize>) -> bool {
        self.broken.borrow().iter().any(|value| value.start <= span.start && span.start <= value.end)
    }

    /// Parts of it are no TOML: what seems to be missing may be there.
    pub fn is_broken(&self) -> bool {
        !self.broken.borrow().is_empty()
    }

    /// Where this is.
    pub fn place(&self, span: &Range<usize>) -> Place {
        let (line, column) = position(self.text, span.start);
        Place { file: self.name.clone(), line, column }
    }

    /// Notes a mistake at this place, unless it is known to be broken.
    pub fn mistake(&self, span: Range<usize>, text: impl Into<String>) {
        let mut mistakes = self.mistakes.borrow_mut();
        if mistakes.len() < MAX_MISTAKES && !self.is_in_broken(&span) {
            mistakes.push(Mistake::new(self.place(&span), text));
        }
    }

    /// Notes a mistake of another file that was found by reading this one.
    pub fn foreign(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    /// All mistakes, in the order of the file.
    pub fn into_mistakes(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort();
        mistakes.dedup();
        mistakes
    }
}

/// Where the values of `key = value` are. A table with a header of its own stands around its key instead of behind it.
fn collect_values(table: &DeTable<'_>, values: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        if key.span().end <= value.span().start {
            values.push(value.span());
            continue;
        }
        match value.get_ref() {
            DeValue::Table(table) => collect_values(table, values),
            DeValue::Array(list) => {
                list.iter()
                    .filter_map(|item| item.get_ref().as_table())
                    .for_each(|t| collect_values(t, values));
            }
            _ => {}
        }
    }
}

/// A table being read. Keys that nobody asked for are mistakes, noted by [`Table::close`].
#[derive(Debug)]
pub struct Table<'s, 'a, 't> {
    source: &'s Source<'a>,
    what: String,
    span: Range<usize>,
    table: &'t DeTable<'a>,
    asked: RefCell<BTreeSet<String>>,
}

impl<'s, 'a, 't> Table<'s, 'a, 't> {
    /// A table with its name for people (`forge "example"`).
    pub fn new(
        source: &'s Source<'a>,
        what: impl Into<String>,
        span: Range<usize>,
        table: &'t DeTable<'a>,
    ) -> Self {
        Self { source, what: what.into(), span, table, asked: RefCell::default() }
    }

    /// The file it is in.
    pub fn source(&self) -> &'s Source<'a> {
        self.source
    }

    /// Where the value of `key` is, or the table when it is absent.
    pub fn place(&self, key: &str) -> Place {
        self.source.place(&self.span_of(key))
    }

    fn span_of(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// Changes its name, once it is known.
    pub fn call(&mut self, what: impl Into<String>) {
        self.what = what.into();
    }

    /// The value of `key`, asked for.
    pub fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.table.get(key)
    }

    /// Notes a mistake at the value of `key`, or at the table when it is absent.
    pub fn mistake(&self, key: &str, text: impl AsRef<str>) {
        self.mistake_at(self.span_of(key), text);
    }

    /// Notes a mistake at this place of the table.
    pub fn mistake_at(&self, span: Range<usize>, text: impl AsRef<str>) {
        self.source.mistake(span, format!("{}: {}", self.what, text.as_ref()));
    }

    /// Notes that `key` is missing, unless it may stand where the file is broken.
    pub fn missing(&self, key: &str) {
        if !self.source.is_broken() {
            self.mistake(key, format!("{key} is missing"));
        }
    }

    fn typed<T>(&self, key: &str, kind: &str, read: impl FnOnce(&'t DeValue<'a>) -> Option<T>) -> Option<T> {
        let value = self.value(key)?;
        let read = read(value.get_ref());
        if read.is_none() {
            self.mistake(key, format!("{key} must be {kind}"));
        }
        read
    }

    /// A text that says something, on one line.
    pub fn text(&self, key: &str) -> Option<String> {
        let text = self.typed(key, "a text in quotes", DeValue::as_str)?;
        if text.trim().is_empty() {
            self.mistake(key, format!("{key} is empty"));
            return None;
        }
        if text.chars().any(char::is_control) {
            self.mistake(key, format!("{key} holds control characters"));
            return None;
        }
        Some(text.to_owned())
    }

    /// Any text, empty or of many lines.
    pub fn plain(&self, key: &str) -> Option<String> {
        let text = self.typed(key, "a text in quotes", DeValue::as_str)?;
        if text.contains('\0') {
            self.mistake(key, format!("{key} holds a NUL character"));
            return None;
        }
        Some(text.to_owned())
    }

    /// A text that must be there.
    pub fn required(&self, key: &str) -> Option<String> {
        if self.value(key).is_none() {
            self.missing(key);
        }
        self.text(key)
    }

    /// One of a few words, by what it stands for.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names = choices.iter().map(|(name, _)| *name);
            let list = names.clone().collect::<Vec<_>>().join(", ");
            let hint = did_you_mean(&text, names);
            self.mistake(key, format!("{key} must be one of {list}, not {text:?}{hint}"));
        }
        found
    }

    /// true or false.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.typed(key, "true or false", DeValue::as_bool)
    }

    /// A whole number in this range.
    pub fn number(&self, key: &str, least: u64, most: u64) -> Option<u64> {
        let number = self.typed(key, "a whole number", |value| {
            let number = value.as_integer()?;
            i128::from_str_radix(number.as_str(), number.radix()).ok()
        })?;
        if number < i128::from(least) {
            self.mistake(key, format!("{key} must be at least {least}"));
        } else if number > i128::from(most) {
            self.mistake(key, format!("{key} must be at most {most}"));
        }
        u64::try_from(number).ok().filter(|number| (least..=most).contains(number))
    }

    /// A number in this range, whole or not.
    pub fn fraction(&self, key: &str, least: f64, most: f64) -> Option<f64> {
        let read = |value: &DeValue<'_>| match value {
            DeValue::Integer(number) => number.to_string().parse::<f64>().ok(),
            DeValue::Float(number) => number.to_string().parse::<f64>().ok(),
            _ => None,
        };
        let number = self.typed(key, "a number", read)?;
        if !(least..=most).contains(&number) {
            self.mistake(key, format!("{key} must be between {least} and {most}"));
            return None;
        }
        Some(number)
    }

    /// A length of time, `90s`, `5m`, `24h` or `30d`, of at least `least` and at most ten years.
    pub fn duration(&self, key: &str, least: Duration) -> Option<Duration> {
        let text = self.text(key)?;
        match duration(&text) {
            None => self.mistake(
                key,
                format!("{key} must be a length of time such as \"90s\", \"5m\", \"24h\" or \"30d\""),
            ),
            Some(time) if time < least => {
                self.mistake(key, format!("{key} must be at least {}s", least.num_seconds()));
            }
            Some(time) if time > LONGEST => {
                self.mistake(key, format!("{key} must be at most {}d", LONGEST.num_days()));
            }
            Some(time) => return Some(time),
        }
        None
    }

    /// A size, `512MiB` or `2GiB`, of at least `least` bytes.
    pub fn size(&self, key: &str, least: u64) -> Option<u64> {
        let text = self.text(key)?;
        match size(&text) {
            None => {
                self.mistake(key, format!("{key} must be a size such as \"64KiB\", \"512MiB\" or \"2GiB\""));
            }
            Some(bytes) if bytes < least => {
                self.mistake(key, format!("{key} must be at least {least}B"));
            }
            Some(bytes) => return Some(bytes),
        }
        None
    }

    /// A program and its arguments; an argument may be empty.
    pub fn words(&self, key: &str) -> Option<Vec<String>> {
        let list = self.typed(key, "a list of texts", DeValue::as_array)?;
        let mut words = Vec::new();
        for item in list.iter() {
            match item.get_ref().as_str() {
                Some(text) if text.contains('\0') => {
                    self.mistake_at(item.span(), format!("{key} holds a text with a NUL character"));
                }
                Some("") if words.is_empty() => {
                    self.mistake_at(item.span(), format!("{key} begins with the program, which has a name"));
                    return None;
                }
                Some(text) => words.push(text.to_owned()),
                None => self.mistake_at(item.span(), format!("{key} must hold texts in quotes")),
            }
        }
        Some(words)
    }

    /// A list of texts, each with its place.
    pub fn texts(&self, key: &str) -> Option<Vec<(String, Range<usize>)>> {
        let list = self.typed(key, "a list of texts", DeValue::as_array)?;
        let mut texts = Vec::new();
        for item in list.iter() {
            match item.get_ref().as_str() {
                Some("") => self.mistake_at(item.span(), format!("{key} holds an empty text")),
                Some(text) if text.contains('\0') => {
                    self.mistake_at(item.span(), format!("{key} holds a text with a NUL character"));
                }
                Some(text) => texts.push((text.to_owned(), item.span())),
                None => self.mistake_at(item.span(), format!("{key} must hold texts in quotes")),
            }
        }
        Some(texts)
    }

    /// A table below this one.
    pub fn table(&self, key: &str) -> Option<Table<'s, 'a, 't>> {
        let table = self.typed(key, "a table", DeValue::as_table)?;
        Some(Table::new(self.source, format!("[{key}]"), self.span_of(key), table))
    }

    /// A list of tables: `[[key]]`.
    pub fn tables(&self, key: &str) -> Vec<Table<'s, 'a, 't>> {
        let Some(list) = self.typed(key, &format!("a list of tables: [[{key}]]"), DeValue::as_array) else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (at, item) in list.iter().enumerate() {
            let what = format!("{key} {}", at + 1);
            match item.get_ref().as_table() {
                Some(table) => tables.push(Table::new(self.source, what, item.span(), table)),
                None => self.source.mistake(item.span(), format!("{what} must be a table")),
            }
        }
        tables
    }

    /// All keys with their tables, for tables whose keys people choose.
    pub fn named_tables(&self) -> Vec<(String, Table<'s, 'a, 't>)> {
        let mut tables = Vec::new();
        for (key, value) in self.table {
            let name = key.get_ref().to_string();
            self.asked.borrow_mut().insert(name.clone());
            match value.get_ref().as_table() {
                Some(table) => {
                    let what = format!("{} {name:?}", self.what);
                    tables.push((name, Table::new(self.source, what, value.span(), table)));
                }
                None => self.mistake_at(value.span(), format!("{name} must be a table")),
            }
        }
        tables
    }

    /// Everything in it, for tables whose keys a recipe chooses. Texts of keys that end in `timeout` are times, and of
    /// those that end in `limit` sizes; they become seconds and bytes, so that steps need not read units.
    pub fn settings(&self) -> BTreeMap<String, Setting> {
        let mut settings = BTreeMap::new();
        for (key, value) in self.table {
            let name = key.get_ref().to_string();
            self.asked.borrow_mut().insert(name.clone());
            let is_text = value.get_ref().is_str();
            let read = match name.rsplit('_').next() {
                Some("timeout") if is_text => {
                    self.duration(&name, Duration::seconds(1)).map(|time| time.num_seconds().into())
                }
                Some("limit") if is_text => self.size(&name, 0).map(Into::into),
                _ => Some(json(value.get_ref())),
            };
            if let Some(value) = read {
                settings.insert(name.clone(), Setting { value, place: self.place(&name) });
            }
        }
        settings
    }

    /// Notes every key that nobody asked for.
    pub fn close(self) {
        let asked = self.asked.borrow();
        for key in self.table.keys().filter(|key| !asked.contains(key.get_ref().as_ref())) {
            let name = key.get_ref();
            let hint = did_you_mean(name, asked.iter().map(String::as_str));
            self.mistake_at(key.span(), format!("unknown key {name:?}{hint}"));
        }
    }
}

#[cfg(test)]
mod tests;
