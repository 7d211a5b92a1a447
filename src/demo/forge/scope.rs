//! What a token may do: the real forge's scopes, checked before anything is looked up.

use std::collections::BTreeMap;

/// Everything a scope can name.
const CATEGORIES: [&str; 9] = [
    "activitypub",
    "admin",
    "issue",
    "misc",
    "notification",
    "organization",
    "package",
    "repository",
    "user",
];

/// How much of a category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Read,
    Write,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// The scopes of one token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scopes {
    has_all: bool,
    pub is_public_only: bool,
    levels: BTreeMap<&'static str, Level>,
}

impl Scopes {
    /// From the words of a request. The error is the word that is none.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut scopes = Self::default();
        for word in words {
            match word {
                "all" => scopes.has_all = true,
                "public-only" => scopes.is_public_only = true,
                _ => {
                    let (level, category) = word.split_once(':').ok_or(word)?;
                    let level = match level {
                        "read" => Level::Read,
                        "write" => Level::Write,
                        _ => return Err(word.to_owned()),
                    };
                    let category = CATEGORIES.into_iter().find(|c| *c == category).ok_or(word)?;
                    let known = scopes.levels.entry(category).or_insert(level);
                    *known = level.max(*known);
                }
            }
        }
        if CATEGORIES.iter().all(|c| scopes.levels.get(c) == Some(&Level::Write)) {
            scopes.has_all = true;
        }
        Ok(scopes)
    }

    pub fn has(&self, level: Level, category: &str) -> bool {
        self.has_all || self.levels.get(category).is_some_and(|l| *l >= level)
    }

    pub fn is_empty(&self) -> bool {
        !self.has_all && self.levels.is_empty() && !self.is_public_only
    }

    /// As the forge lists them: in the order of the alphabet.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.has_all {
            words.push("all".to_owned());
        }
        if self.is_public_only {
            words.push("public-only".to_owned());
        }
        if !self.has_all {
            words.extend(self.levels.iter().map(|(category, level)| format!("{}:{category}", level.word())));
        }
        words.sort();
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_covers_read_and_the_words_are_sorted() {
        let scopes = Scopes::parse(["write:issue", "read:issue", "read:repository", "public-only"]).unwrap();
        assert!(scopes.has(Level::Read, "issue") && scopes.has(Level::Write, "issue"));
        assert!(!scopes.has(Level::Write, "repository") && !scopes.has(Level::Read, "user"));
        assert_eq!(scopes.words(), ["public-only", "read:repository", "write:issue"]);
        assert_eq!(Scopes::parse(["write:everything"]), Err("write:everything".to_owned()));
        assert_eq!(Scopes::parse(["all"]).unwrap().words(), ["all"]);
    }
}
