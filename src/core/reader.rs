//! Reading a TOML table strictly: every mistake is collected with its place, and reading goes on.
//!
//! serde stops at the first mistake; people want all of them. Pure: text in, values and mistakes out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, position};
use super::time::Duration;

/// A file being read: its name, its text and the mistakes so far.
#[derive(Debug)]
pub struct Source<'a> {
    name: String,
    text: &'a str,
    mistakes: RefCell<Vec<Mistake>>,
}

impl<'a> Source<'a> {
    /// A file that nobody has read yet.
    pub fn new(name: &str, text: &'a str) -> Self {
        Self { name: name.to_owned(), text, mistakes: RefCell::default() }
    }

    /// Its table, if it is TOML.
    pub fn parse(&self) -> Option<Spanned<DeTable<'a>>> {
        match DeTable::parse(self.text) {
            Ok(table) => Some(table),
            Err(error) => {
                self.mistake(error.span().unwrap_or(0..0), error.message().trim());
                None
            }
        }
    }

    /// Notes a mistake at this place.
    pub fn mistake(&self, span: Range<usize>, text: impl Into<String>) {
        let (line, column) = position(self.text, span.start);
        self.mistakes.borrow_mut().push(Mistake { file: self.name.clone(), line, column, text: text.into() });
    }

    /// All mistakes, in the order of the file.
    pub fn into_mistakes(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort();
        mistakes.dedup();
        mistakes
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

    /// Where it is.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
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
        let span = self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span);
        self.source.mistake(span, format!("{}: {}", self.what, text.as_ref()));
    }

    fn typed<T>(&self, key: &str, kind: &str, read: impl FnOnce(&'t DeValue<'a>) -> Option<T>) -> Option<T> {
        let value = self.value(key)?;
        let read = read(value.get_ref());
        if read.is_none() {
            self.mistake(key, format!("{key} must be {kind}"));
        }
        read
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<String> {
        self.typed(key, "a text in quotes", |value| value.as_str().map(str::to_owned))
    }

    /// A text that must be there and say something.
    pub fn required(&self, key: &str) -> Option<String> {
        if self.value(key).is_none() {
            self.mistake(key, format!("{key} is missing"));
        }
        let text = self.text(key)?;
        if text.trim().is_empty() {
            self.mistake(key, format!("{key} is empty"));
            return None;
        }
        Some(text)
    }

    /// true or false.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.typed(key, "true or false", DeValue::as_bool)
    }

    /// A whole number of at least `least`.
    pub fn number(&self, key: &str, least: u64) -> Option<u64> {
        let number =
            self.typed(key, "a whole number", |value| value.as_integer()?.to_string().parse::<i64>().ok())?;
        let fitting = u64::try_from(number).ok().filter(|number| *number >= least);
        if fitting.is_none() {
            self.mistake(key, format!("{key} must be at least {least}"));
        }
        fitting
    }

    /// A number above zero.
    pub fn fraction(&self, key: &str) -> Option<f64> {
        let read = |value: &DeValue<'_>| match value {
            DeValue::Integer(number) => number.to_string().parse::<f64>().ok(),
            DeValue::Float(number) => number.to_string().parse::<f64>().ok(),
            _ => None,
        };
        let number = self.typed(key, "a number", read)?;
        if !(number.is_finite() && number > 0.0) {
            self.mistake(key, format!("{key} must be above zero"));
            return None;
        }
        Some(number)
    }

    /// A length of time: `90s`, `5m`, `24h`, `30d`.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        let text = self.text(key)?;
        let read = duration(&text);
        if read.is_none() {
            self.mistake(
                key,
                format!("{key} must be a length of time such as \"90s\", \"5m\", \"24h\" or \"30d\""),
            );
        }
        read
    }

    /// A size: `512MiB`, `2GiB`.
    pub fn size(&self, key: &str) -> Option<u64> {
        let text = self.text(key)?;
        let read = size(&text);
        if read.is_none() {
            self.mistake(key, format!("{key} must be a size such as \"64KiB\", \"512MiB\" or \"2GiB\""));
        }
        read
    }

    /// A list of texts, each with its place.
    pub fn texts(&self, key: &str) -> Option<Vec<(String, Range<usize>)>> {
        let list = self.typed(key, "a list of texts", DeValue::as_array)?;
        let mut texts = Vec::new();
        for item in list.iter() {
            match item.get_ref().as_str() {
                Some(text) => texts.push((text.to_owned(), item.span())),
                None => self
                    .source
                    .mistake(item.span(), format!("{}: {key} must hold texts in quotes", self.what)),
            }
        }
        Some(texts)
    }

    /// A table below this one.
    pub fn table(&self, key: &str) -> Option<Table<'s, 'a, 't>> {
        let table = self.typed(key, "a table", DeValue::as_table)?;
        let span = self.table.get(key).map_or(0..0, Spanned::span);
        Some(Table::new(self.source, format!("[{key}]"), span, table))
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
                None => self.source.mistake(value.span(), format!("{}: {name} must be a table", self.what)),
            }
        }
        tables
    }

    /// Everything in it, as it is.
    pub fn free(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut map = serde_json::Map::new();
        for (key, value) in self.table {
            self.asked.borrow_mut().insert(key.get_ref().to_string());
            map.insert(key.get_ref().to_string(), json(value.get_ref()));
        }
        map
    }

    /// Notes every key that nobody asked for.
    pub fn close(self) {
        let asked = self.asked.borrow();
        for key in self.table.keys().filter(|key| !asked.contains(key.get_ref().as_ref())) {
            let name = key.get_ref();
            let near = asked.iter().map(|known| (strsim::osa_distance(known, name), known)).min();
            let hint = match near {
                Some((distance, known)) if distance <= 3 => format!(" (did you mean {known}?)"),
                _ => String::new(),
            };
            self.source.mistake(key.span(), format!("{}: unknown key {name}{hint}", self.what));
        }
    }
}

fn json(value: &DeValue<'_>) -> serde_json::Value {
    use serde_json::Value;
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Integer(number) => number.to_string().parse::<i64>().map_or(Value::Null, Value::from),
        DeValue::Float(number) => number.to_string().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(list) => list.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect()
        }
    }
}

/// A length of time with one unit: s, m, h or d.
pub fn duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let number: i64 = text[..at].parse().ok()?;
    let seconds = match &text[at..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Duration::try_seconds(number.checked_mul(seconds)?)
}

/// A size in bytes with one binary unit.
pub fn size(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..at].parse().ok()?;
    let unit: u64 = match &text[at..] {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_one_unit() {
        assert_eq!(duration("90s"), Some(Duration::seconds(90)));
        assert_eq!(duration("30d"), Some(Duration::days(30)));
        assert_eq!(size("2GiB"), Some(2 << 30));
        for bad in ["", "5", "s", "-5s", "5 m", "1.5h", "99999999999999999999d", "9223372036854775807d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        for bad in ["", "5", "5MB", "-1MiB", "99999999999TiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_mistake_is_noted_with_its_place() {
        let text = "name = 3\ncolour = \"red\"\n\n[[item]]\nsize = \"5 apples\"\nsise = 1\n";
        let source = Source::new("x.toml", text);
        let parsed = source.parse().unwrap();
        let table = Table::new(&source, "file", 0..0, parsed.get_ref());
        assert_eq!(table.text("name"), None);
        for item in table.tables("item") {
            assert_eq!(item.size("size"), None);
            item.close();
        }
        table.close();
        let mistakes: Vec<String> = source.into_mistakes().iter().map(ToString::to_string).collect();
        assert_eq!(
            mistakes,
            [
                "x.toml:1:8: file: name must be a text in quotes",
                "x.toml:2:1: file: unknown key colour",
                "x.toml:5:8: item 1: size must be a size such as \"64KiB\", \"512MiB\" or \"2GiB\"",
                "x.toml:6:1: item 1: unknown key sise (did you mean size?)",
            ]
        );
    }
}
