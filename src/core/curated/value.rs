//! Values of `out`, and how a text must be written so that it is read as that text.

use std::sync::LazyLock;

use regex::Regex;

/// A value as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing after the colon.
    Null,
    /// A text in one line, or folded.
    Text(String),
    /// A text of several lines, kept as they are.
    Block(String),
    /// Several values.
    List(Vec<Value>),
    /// Values under keys, in this order.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// A list of texts.
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(|text| Self::Text(text.into())).collect())
    }

    /// Lines as a block: without blanks at their ends and with one line break at the end, so that no editor changes it.
    pub fn lines(text: &str) -> Self {
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let joined = lines.join("\n");
        match joined.trim_matches('\n') {
            "" => Self::Text(String::new()),
            text => Self::Block(format!("{text}\n")),
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Block(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn entries(&self) -> Option<&[(String, Value)]> {
        if let Self::Map(entries) = self { Some(entries) } else { None }
    }
}

/// What a parser of YAML 1.2 with dates takes a plain word for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Nothing.
    Null,
    /// True or false.
    Boolean(bool),
    /// A number, a date, or a sign with a meaning.
    Other,
}

/// Numbers and dates as the original's parser knows them.
static OTHER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^(?:
            [-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
            | [-+]?[0-9][0-9_]*[eE][-+]?[0-9]+
            | [-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?
            | [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN)
            | [-+]?0b[0-1_]+ | [-+]?0o?[0-7_]+ | [-+]?[0-9_]+ | [-+]?0x[0-9a-fA-F_]+
            | [0-9]{4}-[0-9]{2}-[0-9]{2}
            | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[\x20\t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?
              (?:[\x20\t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?
            | << | =
        )$",
    )
    .ok()
});

/// What a plain word is taken for.
pub(super) fn kind_of(word: &str) -> Kind {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Boolean(true),
        "false" | "False" | "FALSE" => Kind::Boolean(false),
        // Where a word begins with an underscore no number is looked for.
        _ if word.starts_with('_') => Kind::Text,
        _ if OTHER.as_ref().is_none_or(|other| other.is_match(word)) => Kind::Other,
        _ => Kind::Text,
    }
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
}

/// Plain where that is read as the same text, else in single quotes, and in double quotes what those cannot hold.
pub(super) fn style_of(text: &str) -> Style {
    let is_special = |c: char| {
        !matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
    };
    if text.chars().any(is_special) {
        Style::Double
    } else if is_plain(text) && kind_of(text) == Kind::Text {
        Style::Plain
    } else {
        Style::Single
    }
}

/// Whether nothing in it means something to YAML. Several blanks in a row would not survive folding.
fn is_plain(text: &str) -> bool {
    let mut characters = text.chars();
    let first = characters.next();
    let second_is_blank = characters.next().is_none_or(|c| c == ' ');
    let is_indicator = first.is_none_or(|c| "#,[]{}&*!|>'\"%@`".contains(c))
        || (second_is_blank && first.is_some_and(|c| "?:-".contains(c)));
    !(is_indicator
        || text.starts_with("---")
        || text.starts_with("...")
        || text.starts_with(' ')
        || text.ends_with(' ')
        || text.contains("  ")
        || text.contains(": ")
        || text.ends_with(':')
        || text.contains(" #"))
}

/// A short text as it stands in a line.
pub(in crate::core) fn plain_or_quoted(text: &str) -> String {
    match style_of(text) {
        Style::Plain => text.to_owned(),
        _ => format!("'{}'", text.replace('\'', "''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_the_originals_parser_takes_them_for() {
        for other in [
            "1",
            "012",
            "0o17",
            "0x1F",
            "-3",
            "+1_000",
            "3.10",
            ".5",
            "1e3",
            "1.5E-3",
            ".inf",
            "-.INF",
            ".nan",
            "2026-04-06",
            "2026-4-6 1:02:03",
            "2026-04-06T10:00:00.25Z",
            "2026-04-06t10:00:00 +2",
            "<<",
            "=",
            "0b1",
        ] {
            assert_eq!(kind_of(other), Kind::Other, "{other}");
        }
        for text in [
            "a",
            "yes",
            "no",
            "on",
            "1.2.3",
            "2026.1.x",
            "2026-4-6",
            "10:20",
            "1-2",
            "v1",
            "_1",
            "1e",
            "0x",
            "-",
            "tRUE",
            "2026-04-06 x",
            "nulls",
            "1 2",
        ] {
            assert_eq!(kind_of(text), Kind::Text, "{text}");
        }
        assert_eq!(kind_of("TRUE"), Kind::Boolean(true));
        assert_eq!(kind_of("false"), Kind::Boolean(false));
        assert_eq!(kind_of("~"), Kind::Null);
    }

    #[test]
    fn what_means_something_is_quoted() {
        for plain in
            ["a b", "a:b", "a#b", "-a", "?a", ":a", "numpy>=1.2", "git+https://x@y", "a,b", "a'b", "Röman"]
        {
            assert_eq!(style_of(plain), Style::Plain, "{plain}");
        }
        for single in [
            "", "1", "true", "null", "a: b", "a:", "a #b", "- a", "-", "*a", "'a", "[a", "a  b", " a",
            "--- a",
        ] {
            assert_eq!(style_of(single), Style::Single, "{single:?}");
        }
        for double in ["a\nb", "a\tb", "\u{1b}", "\u{85}", "\u{feff}a", "\u{2028}"] {
            assert_eq!(style_of(double), Style::Double, "{double:?}");
        }
    }

    #[test]
    fn lines_have_one_form() {
        assert_eq!(Value::lines("\n a \r\nb  \n\n\n"), Value::Block(" a\nb\n".to_owned()));
        assert_eq!(Value::lines("\n \n"), Value::Text(String::new()));
    }
}
