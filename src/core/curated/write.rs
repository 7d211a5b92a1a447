//! Writing values as the original does, column by column, so that reading and writing them there changes nothing.
//!
//! Its style: maps indent by 2, items of a list stand 2 deeper than their key, lines break at 80 columns.

use super::value::{Style, Value, style_of};

/// Where lines break.
const WIDTH: usize = 80;
/// Keys from this length on are written with a question mark.
const LONG_KEY: usize = 128;

/// Writes `key: value` with the key at column `indent`.
pub fn entry(out: &mut String, key: &str, value: &Value, indent: usize) {
    pad(out, indent);
    rest_of_entry(out, key, value, indent);
}

/// As [`entry`], where the line is already filled up to the key.
fn rest_of_entry(out: &mut String, key: &str, value: &Value, indent: usize) {
    // A key that would be folded is put in quotes, where no key is.
    let is_foldable = key.contains(' ') && indent + key.chars().count() > WIDTH;
    let style = match style_of(key) {
        Style::Plain if is_foldable => Style::Single,
        style => style,
    };
    // The original adds the length of a tag that it does not write.
    let hidden = if style == Style::Plain { 0 } else { "!!str".len() };
    let is_short = key.chars().count() + hidden < LONG_KEY;
    if is_short && !key.contains(['\n', '\u{85}', '\u{2028}', '\u{2029}']) {
        match style {
            Style::Plain => out.push_str(key),
            Style::Single => out.push_str(&format!("'{}'", key.replace('\'', "''"))),
            Style::Double => double(out, key),
        }
        out.push(':');
        of_key(out, value, indent, None);
    } else {
        out.push('?');
        text(out, key, indent + 2, true);
        out.push('\n');
        pad(out, indent);
        out.push(':');
        of_key(out, value, indent, Some(indent + 2));
    }
}

/// Writes a value after its colon. After a long key lists and maps begin in the line of the colon, at `inside`.
fn of_key(out: &mut String, value: &Value, indent: usize, inside: Option<usize>) {
    match value {
        Value::Null => out.push('\n'),
        Value::List(items) if items.is_empty() => out.push_str(" []\n"),
        Value::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Value::Text(value) => {
            text(out, value, indent + 2, true);
            out.push('\n');
        }
        Value::Block(lines) => block(out, lines, indent + 2),
        Value::List(items) => {
            let at = inside.unwrap_or(indent);
            for (number, item) in items.iter().enumerate() {
                begin(out, at, inside.is_some() && number == 0);
                out.push_str("  - ");
                self::item(out, item, at + 4);
            }
        }
        Value::Map(entries) => {
            let at = inside.unwrap_or(indent + 2);
            for (number, (key, value)) in entries.iter().enumerate() {
                begin(out, at, inside.is_some() && number == 0);
                rest_of_entry(out, key, value, at);
            }
        }
    }
}

/// Begins a line of a list or map: a new one, or the one of the colon.
fn begin(out: &mut String, at: usize, is_in_line: bool) {
    if is_in_line {
        let missing = at.saturating_sub(column(out));
        out.push_str(&" ".repeat(missing));
    } else {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        pad(out, at);
    }
}

/// Writes an item of a list whose content begins here, at column `indent`.
fn item(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Null => {
            out.pop();
            out.push('\n');
        }
        Value::List(items) if items.is_empty() => out.push_str("[]\n"),
        Value::Map(entries) if entries.is_empty() => out.push_str("{}\n"),
        Value::Text(value) => {
            text(out, value, indent, false);
            out.push('\n');
        }
        Value::Block(lines) => {
            out.pop();
            block(out, lines, indent);
        }
        Value::Map(entries) => {
            for (number, (key, value)) in entries.iter().enumerate() {
                begin(out, indent, number == 0);
                rest_of_entry(out, key, value, indent);
            }
        }
        // Nothing of a spec is a list in a list.
        Value::List(items) => {
            for (number, value) in items.iter().enumerate() {
                begin(out, indent, number == 0);
                out.push_str("- ");
                item(out, value, indent + 2);
            }
        }
    }
}

/// Lines as they are, under `|`. What they cannot hold is written as a text.
fn block(out: &mut String, lines: &str, indent: usize) {
    let is_clean = |c: char| c == '\n' || style_of(c.encode_utf8(&mut [0; 4])) != Style::Double;
    if !lines.chars().all(is_clean) || lines.trim_matches([' ', '\n']).is_empty() {
        text(out, lines, indent, true);
        out.push('\n');
        return;
    }
    out.push_str(" |");
    if lines.starts_with([' ', '\n']) {
        out.push('2');
    }
    match lines.strip_suffix('\n') {
        None => out.push('-'),
        Some(rest) if rest.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    out.push('\n');
    for line in lines.strip_suffix('\n').unwrap_or(lines).split('\n') {
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// A text in its style. `indent` is where further lines of it begin; a blank comes first where it follows a sign.
fn text(out: &mut String, text: &str, indent: usize, is_after_sign: bool) {
    if is_after_sign {
        out.push(' ');
    }
    match style_of(text) {
        Style::Plain => plain(out, text, indent),
        Style::Single => single(out, text, indent),
        Style::Double => double(out, text),
    }
}

/// A word that would pass the last column begins a new line; the blank before it stays behind, unless that column is full.
fn plain(out: &mut String, text: &str, indent: usize) {
    let mut at = column(out);
    for (number, word) in text.split(' ').enumerate() {
        if number > 0 {
            if at >= WIDTH {
                at = new_line(out, indent);
            } else {
                out.push(' ');
                at += 1;
            }
        }
        let length = word.chars().count();
        if at + length > WIDTH && at > indent {
            at = new_line(out, indent);
        }
        out.push_str(word);
        at += length;
    }
}

/// In quotes a line ends with the word that passes the last column.
fn single(out: &mut String, text: &str, indent: usize) {
    out.push('\'');
    let mut at = column(out);
    let mut rest = text;
    while !rest.is_empty() {
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        let is_inside = rest.len() < text.len() && blanks < rest.len();
        if blanks == 1 && at > WIDTH && is_inside {
            at = new_line(out, indent);
        } else {
            out.push_str(&" ".repeat(blanks));
            at += blanks;
        }
        rest = rest.get(blanks..).unwrap_or("");
        let end = rest.find(' ').unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or("").replace('\'', "''");
        at += word.chars().count();
        out.push_str(&word);
        rest = rest.get(end..).unwrap_or("");
    }
    out.push('\'');
}

/// In one line, with signs for all that cannot be seen.
fn double(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if style_of(c.encode_utf8(&mut [0; 4])) != Style::Double => out.push(c),
            c if c <= '\u{ff}' => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => out.push_str(&format!("\\u{:04X}", u32::from(c))),
        }
    }
    out.push('"');
}

fn new_line(out: &mut String, indent: usize) -> usize {
    out.push('\n');
    pad(out, indent);
    indent
}

fn pad(out: &mut String, columns: usize) {
    out.push_str(&" ".repeat(columns));
}

fn column(out: &str) -> usize {
    out.rsplit('\n').next().unwrap_or("").chars().count()
}
