//! From the bytes of a file to text that JSON's grammar takes.

use std::borrow::Cow;

use super::NotebookFault;
use crate::core::mistake::position;

/// The text of a notebook's file, without a byte order mark. Python writes numbers that JSON does not have (`NaN`, `Infinity`)
/// and reads them again; here they become zeros of the same length, so that every place stays where it was.
pub(super) fn of(bytes: &[u8]) -> Result<Cow<'_, str>, NotebookFault> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        let (line, column) = position(before, before.len());
        NotebookFault { line, column, text: "not UTF-8 text from here on".to_owned() }
    })?;
    Ok(without_odd_numbers(text).map_or(Cow::Borrowed(text), Cow::Owned))
}

fn without_odd_numbers(text: &str) -> Option<String> {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return None;
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    let mut is_in_string = false;
    while let Some(at) = rest.find(['"', '\\', 'N', 'I']) {
        let (before, here) = rest.split_at(at);
        plain.push_str(before);
        let odd = ["NaN", "Infinity"].into_iter().find(|odd| !is_in_string && here.starts_with(odd));
        let taken = match (odd, here.as_bytes()[0]) {
            (Some(odd), _) => {
                plain.push('0');
                plain.extend(std::iter::repeat_n(' ', odd.len() - 1));
                rest = &here[odd.len()..];
                continue;
            }
            // An escaped character is one or two bytes away from its backslash; the next look begins after it.
            (_, b'\\') => 1 + here[1..].chars().next().map_or(0, char::len_utf8),
            (_, byte) => {
                is_in_string ^= byte == b'"';
                1
            }
        };
        plain.push_str(&here[..taken]);
        rest = &here[taken..];
    }
    plain.push_str(rest);
    Some(plain)
}

/// Why a text is no JSON, at its place.
pub(super) fn fault(text: &str, error: &serde_json::Error) -> NotebookFault {
    let line_start: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    // serde_json counts bytes, from 1, and names the end of an unfinished line 0.
    let (line, column) = position(text, line_start + error.column().saturating_sub(1));
    let said = error.to_string();
    let what = said.rsplit_once(" at line ").map_or(said.as_str(), |(what, _)| what);
    NotebookFault { line, column, text: format!("not JSON: {what}") }
}
