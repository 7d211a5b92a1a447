//! The curated spec as text: the curator's file, and what curation found out.
//!
//! What a person wrote stays as it is, byte for byte, but for values that a YAML parser would turn into something else:
//! those are quoted. Only then does the original tool, which reads, rewrites and hashes, come to the same checksum as
//! whoever hashes the file. Everything that docent adds is written as that tool writes it (`write`), so that its rewriting
//! changes nothing. The same file, results and date give the same bytes on every machine.

mod data;
mod out;
mod source;
mod value;
mod write;

use sha2::{Digest, Sha256};

pub use data::{OWN, OutData};
pub use out::{Out, OutRepository, OutSpi};
pub use source::SourceFault;
use source::{Entry, Source};
pub use value::Value;
pub(in crate::core) use value::plain_or_quoted;

use crate::core::image_name::{NameError, NameParts, Tag};
use crate::core::time::Time;

/// A curated spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curated {
    /// Its text.
    pub text: String,
    /// The checksum in it.
    pub sha256: String,
    /// Why the original's own check must fail although the checksum fits the text; nothing if no reason is known.
    pub doubts: Vec<&'static str>,
}

/// Why a spec cannot be curated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CurateError {
    /// It is no YAML that docent reads.
    #[error(transparent)]
    Source(#[from] SourceFault),
    /// There is no place for what docent has to write.
    #[error("the spec has no map `system`, where date and checksum go")]
    NoSystem,
}

/// Why a spec has no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// It is no YAML that docent reads.
    #[error(transparent)]
    Source(#[from] SourceFault),
    /// What it says makes no name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Whether a file fits its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// It does.
    Fits,
    /// It has none.
    Absent,
    /// It was changed after it was written.
    Differs { stored: String, computed: String },
}

/// The curated spec of `original`. `date` stands in it, so it has to be that of what was curated, not the clock's.
pub fn curate(original: &str, out: &Out, date: Time) -> Result<Curated, CurateError> {
    let quoted = quote(original)?;
    let replaced = replace_out(&quoted, out)?;
    let date = format!("'{}'", date.format("%Y-%m-%dT%H:%M:%S%.6f"));
    let dated = set(&replaced, "date_updated", &date)?;
    let open = set(&dated, "spec_sha256", "''")?;
    let sha256 = hash(&open);
    let text = set(&open, "spec_sha256", &value::plain_or_quoted(&sha256))?;
    let doubts = doubts(original, &Source::read(&text)?);
    Ok(Curated { text, sha256, doubts })
}

/// Compares a file with the checksum in it.
pub fn verify(text: &str) -> Result<Verified, CurateError> {
    let source = Source::read(text)?;
    let stored = source.entry(&["system", "spec_sha256"]);
    let Some((entry, stored)) = stored.and_then(|entry| Some((entry, entry.value.as_text()?))) else {
        return Ok(Verified::Absent);
    };
    if stored.is_empty() {
        return Ok(Verified::Absent);
    }
    let mut open = text.to_owned();
    open.replace_range(entry.place.clone(), "''");
    let computed = hash(&open);
    match computed == stored {
        true => Ok(Verified::Fits),
        false => Ok(Verified::Differs { stored: stored.to_owned(), computed }),
    }
}

/// What an earlier curation has locked, as the resolver had said it.
pub fn locked(text: &str) -> Option<String> {
    let source = Source::read(text).ok()?;
    let locked = source.entry(&["out", "pip_compiler_output"])?.value.as_text()?.to_owned();
    (!locked.is_empty()).then_some(locked)
}

/// What an earlier curation knew of reference data.
pub fn data(text: &str) -> Option<Value> {
    Some(Source::read(text).ok()?.entry(&["out", "data"])?.value.clone())
}

/// The tag that the image of a spec has without its run number.
pub fn spec_tag(text: &str, is_development: bool) -> Result<Tag, NameFault> {
    let source = Source::read(text)?;
    let value = |key: &str| source.entry(&["image_spec_header", key]).and_then(|entry| entry.value.as_text());
    let overrides = source.entry(&["dev_overrides"]).and_then(|entry| entry.value.entries());
    let parts = NameParts {
        image_name: value("image_name").unwrap_or_default(),
        is_development: is_development && overrides.is_some_and(|entries| !entries.is_empty()),
        valid_on: value("valid_on"),
        expires_on: value("expires_on"),
    };
    Ok(parts.spec_tag()?)
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts quotes around every value of the hand-written part that a parser takes for a date, a number or a boolean.
fn quote(text: &str) -> Result<String, CurateError> {
    let source = Source::read(text)?;
    let old = source.entry(&["out"]).map(Entry::all);
    let mut text = text.to_owned();
    for place in source.plain.iter().rev() {
        if old.as_ref().is_some_and(|old| old.contains(&place.start)) {
            continue;
        }
        let Some(word) = text.get(place.clone()) else { continue };
        let quoted = match value::kind_of(word) {
            value::Kind::Text | value::Kind::Null => continue,
            value::Kind::Boolean(true) => "'True'".to_owned(),
            value::Kind::Boolean(false) => "'False'".to_owned(),
            value::Kind::Other => format!("'{word}'"),
        };
        text.replace_range(place.clone(), &quoted);
    }
    Ok(text)
}

/// Writes `out` in the place of the old one, else at the end of the spec.
fn replace_out(text: &str, out: &Out) -> Result<String, CurateError> {
    let source = Source::read(text)?;
    let old = source.entry(&["out"]);
    let kept = old.map(|entry| entry.value.clone());
    let mut block = String::new();
    write::entry(&mut block, "out", &out.value(kept.as_ref()), 0);
    let place = match old {
        Some(entry) => {
            let all = entry.all();
            all.start..line_end(text, all.end)
        }
        None => {
            let end = if source.is_last { text.len() } else { line_end(text, source.end) };
            end..end
        }
    };
    let mut text = text.to_owned();
    let needs_line = !text.get(..place.start).unwrap_or("").ends_with('\n') && place.start > 0;
    text.replace_range(place, &if needs_line { format!("\n{block}") } else { block });
    Ok(text)
}

/// Sets a value of `system`, at its end if it is not there.
fn set(text: &str, key: &str, value: &str) -> Result<String, CurateError> {
    let source = Source::read(text)?;
    let system = source.entry(&["system"]).ok_or(CurateError::NoSystem)?;
    let mut text = text.to_owned();
    if let Some(entry) = source.entry(&["system", key]) {
        // An empty value has no place of its own: the one right after the colon is it.
        let (place, value) = match entry.place.is_empty() {
            true => (entry.after_colon..entry.after_colon, format!(" {value}")),
            false => (entry.place.clone(), value.to_owned()),
        };
        text.replace_range(place, &value);
        return Ok(text);
    }
    let entries = system.value.entries().ok_or(CurateError::NoSystem)?;
    if system.is_flow {
        let inside = text.get(system.place.start + 1..system.place.end.saturating_sub(1)).unwrap_or("");
        let is_after_comma = inside.trim_end().is_empty() || inside.trim_end().ends_with(',');
        let at = system.place.start + 1 + inside.trim_end().len();
        text.insert_str(at, &format!("{}{key}: {value}", if is_after_comma { "" } else { ", " }));
        return Ok(text);
    }
    if entries.is_empty() {
        return Err(CurateError::NoSystem);
    }
    let end = line_end(&text, system.all().end);
    let is_open = !text.get(..end).unwrap_or("").ends_with('\n');
    let line = format!("{}{}{key}: {value}\n", if is_open { "\n" } else { "" }, " ".repeat(system.indent));
    text.insert_str(end, &line);
    Ok(text)
}

/// The end of the line that `at` stands in, its line break included; `at` itself if a line begins there.
fn line_end(text: &str, at: usize) -> usize {
    if at > 0 && text.as_bytes().get(at - 1) == Some(&b'\n') {
        return at;
    }
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| at + length + 1)
}

fn doubts(original: &str, source: &Source) -> Vec<&'static str> {
    let mut doubts = Vec::new();
    if !source.is_last {
        doubts.push("the spec has a second document, which the original does not rewrite as it reads it");
    }
    if source.entry(&["system"]).is_some_and(|system| system.is_flow) {
        doubts.push("`system` is written in braces, which the original wraps at 80 columns");
    }
    if source.has_null {
        doubts.push("a value is written `null` or `~`, which the original leaves out");
    }
    if original.contains('\r') {
        doubts.push("lines end with a carriage return, which the original removes");
    }
    if original.contains('\t') {
        doubts.push("there are tabs, which the original may rewrite");
    }
    doubts
}
