//! `system.spec_sha256`: the SHA-256 of the file as it stands, with that one value replaced by two single quotes.

use sha2::{Digest, Sha256};

use super::section::Notes;
use super::yaml::{Content, Kind, Node, Span};

/// Whether the stored checksum fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// There is none.
    Absent,
    /// It fits the text.
    Fits {
        /// Nothing in the hand-written part is known to change when nb-wrangler reads and writes it, so that its own check
        /// can succeed too.
        is_canonical: bool,
    },
    /// The file was changed after it was written.
    Differs {
        /// What stands there.
        stored: String,
        /// What should.
        computed: String,
    },
}

impl Checksum {
    /// Compares the checksum in `root` with the text it was read from.
    pub fn of(text: &str, root: &Node) -> Self {
        let Some(node) = root.at(&["system", "spec_sha256"]) else { return Self::Absent };
        let stored = node.scalar().map(|scalar| scalar.meaning().to_owned()).unwrap_or_default();
        if stored.is_empty() {
            return Self::Absent;
        }
        let computed = compute(text, node.span);
        if stored == computed {
            Self::Fits { is_canonical: unquoted(root).is_empty() }
        } else {
            Self::Differs { stored, computed }
        }
    }

    pub(super) fn tell(&self, notes: &Notes, root: &Node, is_strict: bool) {
        let Self::Differs { computed, .. } = self else { return };
        let span = root.at(&["system", "spec_sha256"]).map(|node| node.span).unwrap_or_default();
        let text = format!(
            "system: spec_sha256 does not fit: the file was changed after it was written; curate again, or remove it (computed {})",
            computed.get(..12).unwrap_or_default()
        );
        if is_strict { notes.mistake(span, text) } else { notes.warning("checksum", span, text) }
    }
}

/// The checksum of a text in which that of the file stands at `at`.
pub fn compute(text: &str, at: Span) -> String {
    let mut digest = Sha256::new();
    digest.update(text.get(..at.start).unwrap_or(text));
    digest.update("''");
    digest.update(text.get(at.end..).unwrap_or_default());
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What must be quoted in the hand-written part for nb-wrangler to leave it as it is, each with the text it then is: values
/// that YAML takes for a date, a number or a boolean.
pub fn unquoted(root: &Node) -> Vec<(Span, String)> {
    let mut found = Vec::new();
    let written = root.entries().iter().filter(|entry| entry.key != "out");
    let mut rest: Vec<&Node> = written.map(|entry| &entry.value).collect();
    while let Some(node) = rest.pop() {
        match &node.content {
            Content::List(items) => rest.extend(items),
            Content::Map(entries) => rest.extend(entries.iter().map(|entry| &entry.value)),
            Content::Scalar(scalar) if !matches!(scalar.kind, Kind::Text | Kind::Null) => {
                found.push((node.span, scalar.meaning().to_owned()));
            }
            Content::Scalar(_) => {}
        }
    }
    found.sort_by_key(|(span, _)| span.start);
    found
}
