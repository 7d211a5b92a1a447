//! A stranger's text, made fit to be seen. Escaping is the templates'; this is about what survives escaping: terminal
//! sequences, marks that hide or reorder, lines without end.

use std::fmt;

use crate::core::neutral;

/// Bytes of one log line; what is longer is broken.
const LINE_BYTES: usize = 16 * 1024;

/// Text that may stand on a page once it is escaped. Views hold strangers' words as nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    /// One line of at most `max` characters; white space is folded.
    pub fn line(text: &str, max: usize) -> Self {
        Self(neutral::plain(text, max))
    }

    /// The last lines of a text: at most `max_lines`, of 500 characters each. Indentation stays.
    pub fn lines(text: &str, max_lines: usize) -> Self {
        let text = text.trim_end_matches(['\n', '\r']);
        let all = text.split('\n').count();
        let mut shown = String::new();
        if all > max_lines {
            shown.push_str(&format!("… {} lines above\n", all - max_lines));
        }
        for line in text.split('\n').skip(all.saturating_sub(max_lines)) {
            let cut: String = line.chars().take(2000).collect();
            let clean = clean_line(cut.as_bytes());
            shown.extend(clean.chars().take(500));
            if clean.chars().count() > 500 {
                shown.push('…');
            }
            shown.push('\n');
        }
        shown.truncate(shown.trim_end().len());
        Self(shown)
    }

    /// Nothing to see.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One line as a terminal would have left it, without the power that it has over terminals.
fn clean_line(raw: &[u8]) -> String {
    let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
    let is_blank = |part: &&[u8]| part.iter().all(u8::is_ascii_whitespace);
    let last = raw.rsplit(|byte| *byte == b'\r').find(|part| !is_blank(part)).unwrap_or_default();
    let text = String::from_utf8_lossy(last).replace('\t', "    ");
    let text = if text.contains('\u{1b}') { strip_ansi_escapes::strip_str(text) } else { text };
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if neutral::is_treacherous(c) {
            line.extend(c.escape_unicode());
        } else {
            line.push(c);
        }
    }
    line
}

/// Cleans a log that comes in pieces, line by line.
#[derive(Debug, Default)]
pub struct Cleaner {
    pending: Vec<u8>,
}

impl Cleaner {
    /// Takes the next piece; gives the lines that it completed.
    pub fn push(&mut self, piece: &[u8]) -> String {
        let mut out = String::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.pending.extend_from_slice(part);
            if let Some(line) = self.pending.strip_suffix(b"\n") {
                out.push_str(&clean_line(line));
                out.push('\n');
                self.pending.clear();
            }
            while self.pending.len() > LINE_BYTES {
                let rest = self.pending.split_off(character_boundary(&self.pending, LINE_BYTES));
                out.push_str(&clean_line(&self.pending));
                out.push('\n');
                self.pending = rest;
            }
        }
        out
    }

    /// What is left at the end: a last line without its end.
    pub fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.pending);
        if rest.is_empty() { String::new() } else { clean_line(&rest) + "\n" }
    }
}

/// The nearest place before `at` that is not inside a UTF-8 character.
fn character_boundary(bytes: &[u8], at: usize) -> usize {
    let is_inside = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    (at.saturating_sub(3)..=at).rev().find(|at| !is_inside(*at)).unwrap_or(at)
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_shows_as_a_terminal_left_it_wherever_it_was_cut() {
        let log = "10%\r50%\r100%\r\n\u{1b}[31mred\u{1b}[0m\tend\n\u{202e}abc\u{9b}2J\n<b>é</b>\nlast";
        let expected = "100%\nred    end\n\\u{202e}abc\\u{9b}2J\n<b>é</b>\nlast\n";
        for size in 1..log.len() {
            let mut cleaner = Cleaner::default();
            let mut out: String = log.as_bytes().chunks(size).map(|piece| cleaner.push(piece)).collect();
            out.push_str(&cleaner.finish());
            assert_eq!(out, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_costs_little_and_breaks_no_character() {
        let mut cleaner = Cleaner::default();
        let mut out = String::new();
        for _ in 0..20 {
            out.push_str(&cleaner.push("é".repeat(4000).as_bytes()));
            assert!(cleaner.pending.len() <= LINE_BYTES);
        }
        out.push_str(&cleaner.finish());
        assert_eq!(out.replace('\n', ""), "é".repeat(80_000));
    }

    #[test]
    fn an_excerpt_keeps_its_indentation_and_its_end() {
        assert_eq!(Shown::lines("def f():\n    return 1\n\n", 5).to_string(), "def f():\n    return 1");
        assert_eq!(Shown::lines("a\nb\nc", 2).to_string(), "… 1 lines above\nb\nc");
        assert!(Shown::lines(&"x".repeat(10_000), 2).to_string().chars().count() <= 501);
        assert!(Shown::lines("", 2).is_empty());
    }
}
