//! What a notebook's file says, seen without running anything of it.
//!
//! A file may have 100 MB and come from a stranger: values are cut out of the text as they are and only what matters is
//! read, so that time and memory stay proportional to the file, and nothing in outputs can spoil the rest. What is taken and
//! what is refused agrees with the harness of the notebook recipe, which reads with Python.

mod meaning;
mod text;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::mistake::position;
use super::outcome::{Outcome, TestResult};

pub use meaning::{Meaning, meaning};

/// What matters of a notebook before it is run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotebookFacts {
    /// Version of the format: major, minor.
    pub format: (u64, u64),
    /// Cells with code.
    pub code_cells: usize,
    /// Digest of what is run: code, its tags, the kernel. Prose and outputs do not count.
    pub code_digest: String,
    /// Its code names notebooks, which it may read or run.
    pub is_curious: bool,
    /// Name of its kernel, a stranger's text.
    pub kernel: Option<String>,
    /// Its programming language, a stranger's text.
    pub language: Option<String>,
    /// Its author declared that it is not to be run.
    pub is_skipped: bool,
    /// Marked `docent-extra`: only with the extra tests.
    pub is_extra: bool,
}

/// Why a file is no notebook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {text}")]
pub struct NotebookFault {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    /// What is wrong.
    pub text: String,
}

impl NotebookFault {
    fn whole(text: impl Into<String>) -> Self {
        Self { line: 1, column: 1, text: text.into() }
    }

    /// A file that is not even read.
    pub fn too_large(size: u64, most: u64) -> Self {
        Self::whole(format!("{size} bytes are more than the {most} that a notebook may have"))
    }
}

/// An object of the file, its values as they were written. Of a doubled key the last one counts, as in Python.
type Object<'a> = BTreeMap<String, &'a RawValue>;

/// Reads a notebook. Tolerant where Jupyter is: unknown keys, missing ids, version 3, `NaN` in outputs.
pub fn inspect(bytes: &[u8]) -> Result<NotebookFacts, NotebookFault> {
    let text = text::of(bytes)?;
    let source = Source(&text);
    let notebook: Object<'_> = source.read(source.whole()?, "a notebook is a JSON object")?;
    let major = number(notebook.get("nbformat"));
    let major = match (major, notebook.get("nbformat")) {
        (Some(major @ 3..=4), _) => major,
        (Some(other), Some(at)) => {
            let text = format!("nbformat {other} is not supported: save the notebook as version 4");
            return Err(source.fault(at, text));
        }
        (None, Some(at)) => return Err(source.fault(at, "nbformat is no whole number")),
        (_, None) => return Err(NotebookFault::whole("nbformat is missing: this is no notebook")),
    };
    let metadata = Metadata::of(notebook.get("metadata"));
    let mut facts = NotebookFacts {
        format: (major, number(notebook.get("nbformat_minor")).unwrap_or(0)),
        code_cells: 0,
        code_digest: String::new(),
        is_curious: false,
        kernel: metadata.text("kernelspec", "name"),
        language: metadata.text("kernelspec", "language").or_else(|| metadata.text("language_info", "name")),
        is_skipped: metadata.says_skip() || metadata.has_tag("skip-execution"),
        is_extra: metadata.has_tag("docent-extra"),
    };
    let mut code = Code::new(&metadata);
    for (index, cell) in source.cells(&notebook, major)?.into_iter().enumerate() {
        let object: Object<'_> = source.read(cell, &format!("cell {index} is no JSON object"))?;
        let kind = object.get("cell_type").and_then(|raw| String::deserialize(*raw).ok());
        let Some(kind) = kind else {
            return Err(source.fault(cell, format!("cell {index} has no cell_type")));
        };
        let key = if major == 3 && kind == "code" { "input" } else { "source" };
        if let Some(written) = object.get(key).filter(|raw| !is_text(raw)) {
            return Err(source.fault(written, format!("cell {index} has no text as its {key}")));
        }
        let cell = Metadata::of(object.get("metadata"));
        if kind == "code" {
            facts.code_cells += 1;
            code.add(&cell, &object.get(key).map(|raw| whole_text(raw)).unwrap_or_default());
        }
        facts.is_extra |= cell.has_tag("docent-extra");
    }
    facts.is_curious = code.is_curious;
    facts.code_digest = code.digest();
    Ok(facts)
}

/// The text of the file, which knows where each of its values stands.
struct Source<'a>(&'a str);

impl<'a> Source<'a> {
    fn fault(&self, at: &RawValue, text: impl Into<String>) -> NotebookFault {
        let offset = at.get().as_ptr().addr().saturating_sub(self.0.as_ptr().addr());
        let (line, column) = position(self.0, offset);
        NotebookFault { line, column, text: text.into() }
    }

    fn whole(&self) -> Result<&'a RawValue, NotebookFault> {
        serde_json::from_str(self.0).map_err(|error| text::fault(self.0, &error))
    }

    /// A part, as something; the text says what is wrong if it is something else.
    fn read<T: Deserialize<'a>>(&self, at: &'a RawValue, otherwise: &str) -> Result<T, NotebookFault> {
        serde_json::from_str(at.get()).map_err(|_| self.fault(at, otherwise))
    }

    fn cells(&self, notebook: &Object<'a>, major: u64) -> Result<Vec<&'a RawValue>, NotebookFault> {
        let list = |object: &Object<'a>, key: &str| match object.get(key) {
            Some(at) => self.read::<Vec<&RawValue>>(at, &format!("{key} is no list")),
            None => Err(NotebookFault::whole(format!("{key} is missing: this is no notebook"))),
        };
        if major == 4 {
            return list(notebook, "cells");
        }
        let mut cells = Vec::new();
        for sheet in list(notebook, "worksheets")? {
            cells.extend(list(&self.read(sheet, "a worksheet is no JSON object")?, "cells")?);
        }
        Ok(cells)
    }
}

fn number(raw: Option<&&RawValue>) -> Option<u64> {
    raw.and_then(|raw| u64::deserialize(*raw).ok())
}

/// A text, or a list of texts: both are how cells keep their source.
fn is_text(raw: &RawValue) -> bool {
    let is_string = |raw: &RawValue| raw.get().starts_with('"');
    is_string(raw)
        || serde_json::from_str::<Vec<&RawValue>>(raw.get())
            .is_ok_and(|lines| lines.iter().all(|line| is_string(line)))
}

/// The text of a cell, however it is kept.
fn whole_text(raw: &RawValue) -> String {
    let lines = || serde_json::from_str::<Vec<String>>(raw.get()).map(|lines| lines.concat());
    serde_json::from_str::<String>(raw.get()).or_else(|_| lines()).unwrap_or_default()
}

/// What is run of a notebook, as a digest.
struct Code {
    hasher: Sha256,
    is_curious: bool,
}

/// What code holds that may look at other notebooks.
const CURIOUS: [&str; 6] = [".ipynb", "glob.", "glob(", "listdir", "iterdir", "walk("];
/// Tags that decide how a cell is run; of all others no harness takes notice.
const TAGS: [&str; 3] = ["skip-execution", "raises-exception", "docent-extra"];

impl Code {
    fn new(notebook: &Metadata<'_>) -> Self {
        let mut code = Self { hasher: Sha256::new(), is_curious: false };
        code.part(&notebook.value("kernelspec").map(|value| value.to_string()).unwrap_or_default());
        code.metadata(notebook);
        code
    }

    fn add(&mut self, metadata: &Metadata<'_>, text: &str) {
        self.is_curious |= CURIOUS.iter().any(|word| text.contains(word));
        self.metadata(metadata);
        self.part(text);
    }

    fn metadata(&mut self, metadata: &Metadata<'_>) {
        let tags = TAGS.map(|tag| if metadata.has_tag(tag) { tag } else { "" });
        self.part(&tags.join(" "));
        self.part(&metadata.value("docent").map(|value| value.to_string()).unwrap_or_default());
    }

    /// None can run into the next.
    fn part(&mut self, text: &str) {
        self.hasher.update((text.len() as u64).to_be_bytes());
        self.hasher.update(text.as_bytes());
    }

    fn digest(self) -> String {
        self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Metadata of a notebook or a cell. What is of another kind than it should be says nothing.
struct Metadata<'a>(Object<'a>);

impl<'a> Metadata<'a> {
    fn of(raw: Option<&&'a RawValue>) -> Self {
        Self(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default())
    }

    fn value(&self, key: &str) -> Option<Value> {
        self.0.get(key).and_then(|raw| serde_json::from_str(raw.get()).ok())
    }

    fn has_tag(&self, tag: &str) -> bool {
        let tags = self.value("tags");
        let tags = tags.as_ref().and_then(Value::as_array);
        tags.is_some_and(|tags| tags.iter().any(|has| has.as_str() == Some(tag)))
    }

    fn text(&self, key: &str, below: &str) -> Option<String> {
        let text = self.value(key)?.get(below)?.as_str()?.to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// `docent.skip`: true, or the reason.
    fn says_skip(&self) -> bool {
        match self.value("docent").as_ref().and_then(|docent| docent.get("skip")) {
            Some(Value::Bool(says)) => *says,
            Some(Value::String(reason)) => !reason.is_empty(),
            _ => false,
        }
    }
}

/// What the built-in tier `validate` says of one notebook.
pub fn finding(path: &str, seen: &Result<NotebookFacts, NotebookFault>) -> TestResult {
    match seen {
        Ok(facts) if facts.is_skipped => {
            TestResult::plain(path, Outcome::Skipped, "skipped", "declared not to be run")
        }
        Ok(_) => TestResult::plain(path, Outcome::Passed, "", ""),
        Err(fault) => TestResult::plain(path, Outcome::Failed, "invalid_notebook", fault.to_string()),
    }
}

#[cfg(test)]
mod tests;
