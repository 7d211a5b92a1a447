//! `selected_notebooks`: which files of which repository, and how they are tested.

use std::collections::BTreeSet;

use super::pattern::Pattern;
use super::repositories::Repository;
use super::section::{Section, quoted};
use super::yaml::{Content, Entry, Node};
use super::{Written, name};

/// How many patterns a spec may have. Each costs memory, and time with each file.
const MAX_PATTERNS: usize = 300;

/// One choice of notebooks.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// What the spec calls it.
    pub name: Written,
    /// The repository, by its name in the spec.
    pub repository: Written,
    /// The folder in it, without `/` at its ends; empty for all of it.
    pub root_directory: String,
    /// A file is chosen if one of these is found in its path.
    pub include: Vec<Pattern>,
    /// And none of these.
    pub exclude: Vec<Pattern>,
    /// How its notebooks are tested.
    pub tests: Tests,
}

/// How notebooks are tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tests {
    /// They are executed.
    pub papermill: bool,
    /// A script for a browser, which nb-wrangler takes and leaves.
    pub playwright: Option<Written>,
}

impl Default for Tests {
    fn default() -> Self {
        Self { papermill: true, playwright: None }
    }
}

/// The section `selected_notebooks`.
pub fn read(top: &Section<'_>, repositories: &[Repository]) -> Vec<Selection> {
    let Some(section) = top.section_or_nothing("selected_notebooks") else { return Vec::new() };
    let patterns = |entry: &Entry| {
        let lists =
            ["include_subdirs", "exclude_subdirs"].into_iter().filter_map(|key| entry.value.value(key));
        lists.map(|list| list.items().len()).sum::<usize>()
    };
    let count: usize = section.entries().iter().map(patterns).sum();
    if count > MAX_PATTERNS {
        section.mistake(
            section.span,
            format!("there are {count} patterns in all, and at most {MAX_PATTERNS} are taken"),
        );
        return Vec::new();
    }
    let known: BTreeSet<&str> = repositories.iter().map(|repository| repository.name.text.as_str()).collect();
    let named = section.named_sections().into_iter();
    named.filter_map(|(name, entry)| selection(name, entry, &known)).collect()
}

fn selection(name: Written, section: Section<'_>, known: &BTreeSet<&str>) -> Option<Selection> {
    let repository = section.required_text("repo");
    let root = section.text("root_directory");
    let include = patterns(&section, "include_subdirs");
    if section.required("include_subdirs").is_some_and(|list| list.content == Content::List(Vec::new())) {
        section.warning("empty-selection", section.span, "include_subdirs is empty: nothing is selected");
    }
    let exclude = patterns(&section, "exclude_subdirs");
    let tests = section.section_or_nothing("tests").map(tests).unwrap_or_default();
    if let Some(repository) =
        repository.as_ref().filter(|repository| !known.contains(repository.text.as_str()))
    {
        let is_short = |name: &&str| name.len() <= 64;
        let near = Some(repository.text.as_str())
            .filter(|name| is_short(name) && !section.notes.is_full())
            .map(|wrong| {
                crate::core::mistake::did_you_mean(wrong, known.iter().copied().filter(is_short).take(20))
            });
        let near = near.unwrap_or_default();
        section.mistake(
            repository.span,
            format!("repo {} is none of the repositories{near}", quoted(&repository.text)),
        );
    }
    let mut root_directory = String::new();
    if let Some(root) = root {
        if let Some(why) = name::escape(&root.text) {
            let shown = quoted(&root.text);
            section
                .mistake(root.span, format!("root_directory {shown} {why}; give a folder of the repository"));
        }
        let parts: Vec<&str> = root.text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        root_directory = parts.join("/");
    }
    section.close();
    Some(Selection { name, repository: repository?, root_directory, include, exclude, tests })
}

fn patterns(section: &Section<'_>, key: &'static str) -> Vec<Pattern> {
    let texts = section.texts(key).into_iter();
    let patterns = texts.filter_map(|text| match Pattern::new(&text.text) {
        Ok(pattern) => Some(pattern),
        Err(fault) => {
            section.mistake(text.span, format!("{key} {}: {fault}", quoted(&text.text)));
            None
        }
    });
    patterns.collect()
}

fn tests(section: Section<'_>) -> Tests {
    let papermill = section.value("papermill").is_none_or(|value| is_on(&section, value));
    let playwright = section.text("playwright");
    section.close_loosely();
    Tests { papermill, playwright }
}

/// How «off» and «on» are spelt. nb-wrangler takes every spelling of «off» for «on».
pub fn switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "false" | "no" | "off" | "0" => Some(false),
        "" | "true" | "yes" | "on" | "1" => Some(true),
        _ => None,
    }
}

fn is_on(section: &Section<'_>, value: &Node) -> bool {
    let Some(written) = section.written("papermill", value) else { return true };
    switch(&written.text).unwrap_or_else(|| {
        let shown = quoted(&written.text);
        section.warning(
            "papermill",
            written.span,
            format!("papermill {shown} is neither true nor false; taken for true"),
        );
        true
    })
}
