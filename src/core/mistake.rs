//! Mistakes in what people write: where, what, and what to do; all of them at once.

use std::fmt;

/// Where something was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named.
    pub file: String,
    /// Counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
}

impl Place {
    /// A file as a whole: one that cannot be read, or a folder.
    pub fn whole(file: impl fmt::Display) -> Self {
        Self { file: file.to_string(), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it is.
    pub place: Place,
    /// What is wrong and what to do.
    pub text: String,
}

impl Mistake {
    /// A mistake that was found here.
    pub fn new(place: Place, text: impl Into<String>) -> Self {
        Self { place, text: text.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Mistakes as people read them: one a line.
pub fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// ` (did you mean "slots"?)` if one of `known` is near to `wrong`, else nothing.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let plain = |word: &str| word.replace(['-', '_'], "").to_lowercase();
    let wrong = plain(wrong);
    let most = wrong.chars().count().div_ceil(4);
    let distance = |known: &str| {
        let known = plain(known);
        let is_part =
            wrong.len().min(known.len()) >= 4 && (known.starts_with(&wrong) || wrong.starts_with(&known));
        if is_part { 1 } else { strsim::osa_distance(&known, &wrong) }
    };
    let near = known.into_iter().map(|known| (distance(known), known)).min();
    match near {
        Some((distance, known)) if distance <= most && wrong.len() > 1 => {
            format!(" (did you mean {known:?}?)")
        }
        _ => String::new(),
    }
}

/// The line and column, both from 1, of a byte of `text`.
pub fn position(text: &str, byte: usize) -> (usize, usize) {
    let mut end = byte.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = ["url", "slots", "queue_limit", "poll_interval"];
        let hint = |wrong| did_you_mean(wrong, known);
        assert_eq!(hint("pol_interval"), " (did you mean \"poll_interval\"?)");
        assert_eq!(hint("pollInterval"), " (did you mean \"poll_interval\"?)");
        assert_eq!(hint("slot"), " (did you mean \"slots\"?)");
        assert_eq!(hint("queue"), " (did you mean \"queue_limit\"?)");
        for far in ["x", "", "colour", "api"] {
            assert_eq!(hint(far), "", "{far}");
        }
    }

    #[test]
    fn columns_count_characters_and_nothing_lies_outside() {
        assert_eq!(position("a\nöö x", 7), (2, 4));
        assert_eq!(position("", 9), (1, 1));
        assert_eq!(position("ö", 1), (1, 1), "inside a character is at it");
    }
}
