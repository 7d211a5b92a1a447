//! What a stranger wrote stays text.
//!
//! docent repeats words from repositories, notebooks, logs and comments on forges, where text has power: it
//! pings people, closes issues, loads pictures, and commands other bots. Everything that comes from outside
//! passes through here first. The result is Markdown in which the stranger's text stands only inside code
//! spans and fenced blocks, the two places in which every forge leaves text alone.
//!
//! Characters that hide, reorder or act (controls, bidirectional marks, zero-width characters) are written
//! out as `\u{202e}`, so that what a reviewer reads is what is there. Terminal escape sequences are removed.

/// Longest path that [`path`] shows whole, in characters.
const PATH_CHARS: usize = 160;

/// Put before a line in a block that another bot could take for a command: bots that search the raw text of a
/// comment line by line do not know of fences.
const DISARM: &str = "› ";

/// Whether a character hides, reorders or acts instead of being read.
pub fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// One line without markup of any kind, for places that escape by themselves (pages, logs, error texts).
/// White space is folded into single spaces. At most `max` characters, the last one `…` if something was cut.
pub fn plain(text: &str, max: usize) -> String {
    let text = without_terminal_codes(cut_bytes(text, max.saturating_mul(16).saturating_add(256)));
    let mut line = String::new();
    for word in text.split(char::is_whitespace).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        push_shown(&mut line, word);
    }
    cut_chars(line, max)
}

/// A code span on one line that carries at most `max` characters of `text`.
pub fn inline(text: &str, max: usize) -> String {
    span(&plain(text, max))
}

/// Like [`inline`], for a cell of a Markdown table, where `|` ends the cell even inside a code span.
pub fn cell(text: &str, max: usize) -> String {
    let mut shown = String::new();
    for c in plain(text, max).chars() {
        match c {
            // Forges disagree on what a backslash before an escaped bar means.
            '|' if shown.ends_with('\\') => shown.push('¦'),
            '|' => shown.push_str("\\|"),
            c => shown.push(c),
        }
    }
    span(&shown)
}

/// A code span with a file's path. White space is kept, line ends are written out, and of a very long path
/// the end is shown, because that is where the file's name is.
pub fn path(text: &str) -> String {
    let mut shown = String::new();
    for c in cut_bytes_front(text, PATH_CHARS * 16).chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c => push_shown(&mut shown, c.encode_utf8(&mut [0; 4])),
        }
    }
    let surplus = shown.chars().count().saturating_sub(PATH_CHARS);
    if surplus > 0 {
        shown = std::iter::once('…').chain(shown.chars().skip(surplus + 1)).collect();
    }
    span(&shown)
}

/// A fenced code block with the last lines of `text`: at most `max_lines` lines and about `max_bytes` bytes.
///
/// The end is kept because that is where programs say why they stopped. What was left out is said below the
/// block. A line that a program overwrote by carriage returns shows as it was left.
pub fn block(text: &str, max_lines: usize, max_bytes: usize) -> String {
    let text = text.trim_end_matches(['\n', '\r']);
    let mut lines: Vec<String> = Vec::new();
    let mut bytes = 0;
    let mut kept_from = text.len();
    let mut is_cut = false;
    while kept_from > 0 && lines.len() < max_lines.max(1) {
        let end = if lines.is_empty() { kept_from } else { kept_from - 1 };
        let start = text[..end].rfind('\n').map_or(0, |at| at + 1);
        let mut line = block_line(&text[start..end], max_bytes);
        if bytes + line.len() > max_bytes {
            if !lines.is_empty() {
                break;
            }
            line = format!("{}…", cut_bytes(&line, max_bytes));
            is_cut = true;
        }
        bytes += line.len() + 1;
        lines.push(line);
        kept_from = start;
    }
    lines.reverse();
    let shown = lines.join("\n");
    let fence = "`".repeat(longest_run(&shown).max(2) + 1);
    let mut block = format!("{fence}text\n{shown}\n{fence}\n");
    if kept_from > 0 {
        let count = text[..kept_from].matches('\n').count();
        let noun = if count == 1 { "line" } else { "lines" };
        block.push_str(&format!("\nLeft out above: {count} {noun}, {kept_from} bytes.\n"));
    }
    if is_cut {
        block.push_str("\nThe last line is cut at its end.\n");
    }
    block
}

fn block_line(raw: &str, max_bytes: usize) -> String {
    let raw = cut_bytes(raw, max_bytes.saturating_mul(4).saturating_add(4096));
    let last = raw.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or("");
    let mut line = String::new();
    push_shown(&mut line, without_terminal_codes(last).trim_end());
    if line.trim_start().starts_with(['!', '/', '@']) {
        line.insert_str(0, DISARM);
    }
    without_markers(&line)
}

/// Tabs become spaces here because the stripping would drop them, being control characters.
fn without_terminal_codes(text: &str) -> String {
    let text = text.replace('\t', "    ");
    if text.contains('\u{1b}') {
        strip_ansi_escapes::strip_str(text.replace(['\n', '\r'], " "))
    } else {
        text
    }
}

fn push_shown(line: &mut String, text: &str) {
    for c in text.chars() {
        if is_treacherous(c) {
            line.extend(c.escape_unicode());
        } else {
            line.push(c);
        }
    }
}

/// The hidden marker by which docent finds its own comment must never be found in a stranger's words, so the
/// start of an HTML comment is broken up although code would show it as text.
fn without_markers(shown: &str) -> String {
    shown.replace("<!--", "<!- -")
}

fn span(shown: &str) -> String {
    let shown = if shown.is_empty() { "(empty)" } else { shown };
    let shown = without_markers(shown);
    let fence = "`".repeat(longest_run(&shown) + 1);
    let touches = |c: Option<char>| matches!(c, Some('`' | ' '));
    let pad = if touches(shown.chars().next()) || touches(shown.chars().last()) { " " } else { "" };
    format!("{fence}{pad}{shown}{pad}{fence}")
}

fn longest_run(text: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

fn cut_chars(line: String, max: usize) -> String {
    match line.char_indices().nth(max) {
        None => line,
        Some(_) if max == 0 => String::new(),
        Some(_) => line.chars().take(max - 1).chain(std::iter::once('…')).collect(),
    }
}

/// At most the first `max` bytes, cut between characters.
fn cut_bytes(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// At most the last `max` bytes, cut between characters.
fn cut_bytes_front(text: &str, max: usize) -> &str {
    let mut start = text.len().saturating_sub(max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests;
