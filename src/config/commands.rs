//! `[commands]`: how comments ask.

use super::whole;
use crate::core::command::{Grammar, GrammarMistake};
use crate::core::reader::Table;

/// The grammar of this docent, mistakes noted at the keys that make them.
pub(super) fn grammar(table: &Table<'_, '_, '_>) -> Grammar {
    let mut grammar = Grammar::default();
    let Some(table) = table.table("commands") else { return grammar };
    if let Some(marker) = table.text("marker") {
        let mut characters = marker.chars();
        match (characters.next(), characters.next()) {
            (Some(one), None) => grammar.marker = one,
            _ => table.mistake("marker", "marker must be one character"),
        }
    }
    if let Some(count) = whole(&table, "max_commands", 1, 100) {
        grammar.max_commands = count;
    }
    let words = &mut grammar.words;
    let mut chosen = Vec::new();
    for (key, word) in [
        ("testme", &mut words.testme),
        ("retry", &mut words.retry),
        ("cancel", &mut words.cancel),
        ("status", &mut words.status),
        ("help", &mut words.help),
        ("accept", &mut words.accept),
        ("reject", &mut words.reject),
    ] {
        if let Some(text) = table.text(key) {
            chosen.push((text.clone(), key));
            *word = text;
        }
    }
    for mistake in grammar.mistakes() {
        let key = match &mistake {
            GrammarMistake::Marker(_) => "marker",
            GrammarMistake::Word(wrong) | GrammarMistake::Twice(wrong) => {
                let last = chosen.iter().rfind(|(word, _)| word == wrong);
                last.map_or("", |(_, key)| *key)
            }
        };
        table.mistake(key, mistake.to_string());
    }
    table.close();
    grammar
}
