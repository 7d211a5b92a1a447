//! What a notebook says, apart from what running it left in it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{NotebookFacts, NotebookFault, Object, Source, inspect, number, text};

/// What counts of a notebook: its cells in order, and what decides whether and how it is run. Outputs, execution counts, ids
/// and all other metadata do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    facts: NotebookFacts,
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    kind: String,
    source: String,
    /// Pictures that prose shows.
    attachments: Option<String>,
}

/// What the notebook means.
///
/// # Errors
/// It is no notebook.
pub fn meaning(bytes: &[u8]) -> Result<Meaning, NotebookFault> {
    let facts = NotebookFacts { format: (0, 0), ..inspect(bytes)? };
    let text = text::of(bytes)?;
    let source = Source(&text);
    let notebook: Object<'_> = source.read(source.whole()?, "a notebook is a JSON object")?;
    let major = number(notebook.get("nbformat")).unwrap_or(4);
    let mut cells = Vec::new();
    for raw in source.cells(&notebook, major)? {
        let object: Object<'_> = source.read(raw, "a cell is no JSON object")?;
        let kind = object.get("cell_type").and_then(|raw| String::deserialize(*raw).ok()).unwrap_or_default();
        let key = if major == 3 && kind == "code" { "input" } else { "source" };
        cells.push(Cell {
            source: object.get(key).map(|raw| joined(raw)).unwrap_or_default(),
            attachments: object.get("attachments").map(|raw| raw.get().to_owned()),
            kind,
        });
    }
    Ok(Meaning { facts, cells })
}

/// A text, whether it is kept as one or line by line.
fn joined(raw: &RawValue) -> String {
    serde_json::from_str::<Vec<String>>(raw.get())
        .map(|lines| lines.concat())
        .or_else(|_| serde_json::from_str::<String>(raw.get()))
        .unwrap_or_else(|_| raw.get().to_owned())
}
