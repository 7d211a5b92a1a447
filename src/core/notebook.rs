//! What a notebook's file says, seen without running anything of it.

use serde_json::{Map, Value};

use super::outcome::{Outcome, TestResult};

/// What matters of a notebook before it is run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotebookFacts {
    /// Cells with code.
    pub code_cells: usize,
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
    fn new(text: impl Into<String>) -> Self {
        Self { line: 1, column: 1, text: text.into() }
    }

    /// A file that is not even read.
    pub fn too_large(size: u64, most: u64) -> Self {
        Self::new(format!("{size} bytes are more than the {most} that a notebook may have"))
    }
}

/// Reads a notebook. Tolerant where Jupyter is: unknown keys, missing ids, old minor versions.
pub fn inspect(bytes: &[u8]) -> Result<NotebookFacts, NotebookFault> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let value: Value = serde_json::from_slice(bytes).map_err(|error| NotebookFault {
        line: error.line().max(1),
        column: error.column().max(1),
        text: format!("not JSON: {error}"),
    })?;
    let Value::Object(notebook) = value else {
        return Err(NotebookFault::new("a notebook is a JSON object"));
    };
    match notebook.get("nbformat").and_then(Value::as_u64) {
        Some(4) => {}
        Some(other) => {
            return Err(NotebookFault::new(format!(
                "nbformat {other} is not supported: save the notebook as version 4"
            )));
        }
        None => return Err(NotebookFault::new("nbformat is missing or is no number")),
    }
    let Some(Value::Array(cells)) = notebook.get("cells") else {
        return Err(NotebookFault::new("cells is missing or is no list"));
    };
    let mut facts = NotebookFacts::default();
    let metadata = notebook.get("metadata").and_then(Value::as_object);
    let docent = metadata.and_then(|metadata| metadata.get("docent")).and_then(Value::as_object);
    let says_skip = docent.and_then(|docent| docent.get("skip")).and_then(Value::as_bool);
    facts.is_skipped = says_skip.unwrap_or(false) || has_tag(metadata, "skip-execution");
    facts.is_extra = has_tag(metadata, "docent-extra");
    for (index, cell) in cells.iter().enumerate() {
        let Some(cell) = cell.as_object() else {
            return Err(NotebookFault::new(format!("cell {index} is no JSON object")));
        };
        let Some(kind) = cell.get("cell_type").and_then(Value::as_str) else {
            return Err(NotebookFault::new(format!("cell {index} has no cell_type")));
        };
        facts.code_cells += usize::from(kind == "code");
        facts.is_extra |= has_tag(cell.get("metadata").and_then(Value::as_object), "docent-extra");
    }
    Ok(facts)
}

fn has_tag(metadata: Option<&Map<String, Value>>, tag: &str) -> bool {
    let tags = metadata.and_then(|metadata| metadata.get("tags")).and_then(Value::as_array);
    tags.is_some_and(|tags| tags.iter().any(|has| has.as_str() == Some(tag)))
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_and_metadata_are_seen() {
        let text = r#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {"docent": {"skip": true}},
            "cells": [{"cell_type": "code", "metadata": {"tags": ["docent-extra"]}}, {"cell_type": "markdown"}]}"#;
        let facts = NotebookFacts { code_cells: 1, is_skipped: true, is_extra: true };
        assert_eq!(inspect(text.as_bytes()), Ok(facts));
    }

    #[test]
    fn a_fault_says_where() {
        let fault = inspect(b"{\n  \"nbformat\": 4,\n  oops\n}").unwrap_err();
        assert_eq!((fault.line, fault.column), (3, 3));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"nbformat": 3}"#,
            r#"{"nbformat": 4}"#,
            r#"{"nbformat": 4, "cells": [1]}"#,
            r#"{"nbformat": 4, "cells": [{}]}"#,
            r#"{"nbformat": "4", "cells": []}"#,
        ] {
            assert!(inspect(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(inspect("[".repeat(100_000).as_bytes()).is_err(), "deep nesting is a fault, not a crash");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = inspect(&bytes);
        }
    }
}
