//! The wrangler spec: what a curator wrote, read as nb-wrangler reads it where that is right.
//!
//! Text in, values and mistakes out. All mistakes are told at once, each with its place. Values keep theirs too, so that
//! whoever judges them later can point at them, and so that a curated spec can be written into the text as it stands.

pub mod assets;
pub mod checksum;
pub mod header;
pub mod meaning;
pub mod name;
mod overrides;
pub mod packages;
pub mod pattern;
pub mod policy;
pub mod refdata;
pub mod refs;
pub mod repositories;
mod section;
pub mod select;
pub mod selections;
pub mod system;
mod variables;
pub mod yaml;

use std::collections::BTreeMap;

use super::mistake::{Mistake, Place};
use assets::Asset;
use checksum::Checksum;
use header::{Environment, Header};
use packages::Packages;
use refdata::Refdata;
use repositories::Repository;
use section::{Notes, Section, TOP, quoted};
use selections::Selection;
use system::System;
use yaml::{Content, Kind, Node, Span};

pub use variables::{Variable, resolve as resolve_variables};

/// A text with its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// What is meant by it.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// What is no mistake and should be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Which kind: `checksum`, `trailing-zero`, `spec-version`, …
    pub name: &'static str,
    /// Where and what.
    pub mistake: Mistake,
}

/// How a spec is read.
#[derive(Debug, Clone, Default)]
pub struct Mode {
    /// A checksum that does not fit is a mistake.
    pub strict: bool,
    /// Whether `dev_overrides` apply; if nobody says, they do where they exist, as for a curation by nb-wrangler.
    pub dev: Option<bool>,
    /// What `${NAME}` in a `ref` stands for: what the operator lists, and never docent's own environment.
    pub variables: BTreeMap<String, String>,
}

/// What reading a spec gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The spec, if there is no mistake.
    pub spec: Option<Spec>,
    /// What must be changed.
    pub mistakes: Vec<Mistake>,
    /// What should be known.
    pub warnings: Vec<Warning>,
}

/// A spec without a mistake.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// How the file was called.
    pub file: String,
    /// The text as it was read.
    pub text: String,
    /// Its documents as they stand there, `out` and all: the spec itself, and an inline environment if there is one.
    pub documents: Vec<Node>,
    /// `image_spec_header`.
    pub header: Header,
    /// Where the interpreter and its environment come from.
    pub environment: Environment,
    /// `repositories`, in the order of the file.
    pub repositories: Vec<Repository>,
    /// `selected_notebooks`, in the order of the file.
    pub selections: Vec<Selection>,
    /// The lists of packages.
    pub packages: Packages,
    /// `environment_vars`, in the order of the file.
    pub environment_vars: Vec<Variable>,
    /// `test_environment_vars`, in the order of the file.
    pub test_environment_vars: Vec<Variable>,
    /// `refdata_dependencies`.
    pub refdata: Refdata,
    /// `assets`, laid out flat.
    pub assets: Vec<Asset>,
    /// `dockerfile_aux_sh`.
    pub dockerfile_aux_sh: Option<Written>,
    /// `system`.
    pub system: System,
    /// `dev_overrides` were applied, and there are some.
    pub is_development: bool,
    /// Whether `system.spec_sha256` fits the text.
    pub checksum: Checksum,
}

impl Spec {
    /// Reads a spec. `file` is what people call it.
    pub fn read(text: &str, file: &str, mode: &Mode) -> Reading {
        let notes = Notes::new(file);
        let found = yaml::parse(text);
        for (span, text) in &found.mistakes {
            notes.mistake(*span, text.as_str());
        }
        let spec = if found.is_broken { None } else { read(text, file, mode, &notes, found.documents) };
        let (mistakes, warnings) = notes.into_lists();
        Reading { spec: spec.filter(|_| mistakes.is_empty()), mistakes, warnings }
    }

    /// The place of something that stands in this spec.
    pub fn place(&self, span: Span) -> Place {
        Place { file: self.file.clone(), line: span.line, column: span.column }
    }

    /// The spec itself as it stands in the text, without the inline environment.
    pub fn root(&self) -> Option<&Node> {
        self.documents.first()
    }

    /// The repository with this name.
    pub fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.iter().find(|repository| repository.name.text == name)
    }
}

/// The keys of a spec that are not read into a [`Spec`].
const UNREAD: [&str; 4] = ["out", "commands", "dev_overrides", "deactivated_dev_overrides"];

fn read(text: &str, file: &str, mode: &Mode, notes: &Notes, documents: Vec<Node>) -> Option<Spec> {
    let Some(written) = documents.first().filter(|root| !root.is_null()) else {
        notes.mistake(Span { line: 1, column: 1, ..Span::default() }, "the file holds no spec");
        return None;
    };
    if let Some(third) = documents.get(2) {
        notes.mistake(
            third.span,
            "there are more than two YAML documents; a spec has one, and one more for an environment",
        );
    }
    let inline = documents.get(1);
    let base = Section::new(notes, TOP, written.span, written)?;
    overrides::check(&base);
    let (root, is_development) = overrides::apply(written, mode.dev);
    let top = Section::new(notes, TOP, root.span, &root)?;
    top.know(&UNREAD);
    let repositories = repositories::read(&top, mode);
    let header = header::read(&top, is_development);
    let environment = header::environment(&top, inline, &repositories);
    let selections = selections::read(&top, &repositories);
    let packages = Packages::read(&top);
    let environment_vars = variables::read(&top, "environment_vars");
    let test_environment_vars = variables::read(&top, "test_environment_vars");
    let refdata = if top.has("refdata_dependencies") {
        top.section("refdata_dependencies").map(|section| refdata::read(section)).unwrap_or_default()
    } else {
        Refdata::default()
    };
    let assets = assets::read(&top);
    let dockerfile_aux_sh = top.text("dockerfile_aux_sh");
    let system = system::read(&top);
    // Next to an inline environment nb-wrangler takes any key.
    if inline.is_none() {
        top.close()
    } else {
        top.close_loosely()
    }
    warn_of_numbers(written, notes);
    let checksum = Checksum::of(text, written);
    checksum.tell(notes, written, mode.strict);
    Some(Spec {
        file: file.to_owned(),
        text: text.to_owned(),
        header: header?,
        environment: environment?,
        repositories,
        selections,
        packages,
        environment_vars,
        test_environment_vars,
        refdata,
        assets,
        dockerfile_aux_sh,
        system: system?,
        is_development,
        checksum,
        documents,
    })
}

/// Numbers of which a YAML reader loses a part: `3.10` is 3.1 to it.
fn warn_of_numbers(root: &Node, notes: &Notes) {
    let mut rest: Vec<&Node> =
        root.entries().iter().filter(|entry| entry.key != "out").map(|entry| &entry.value).collect();
    while let Some(node) = rest.pop() {
        match &node.content {
            Content::List(items) => rest.extend(items),
            Content::Map(entries) => rest.extend(entries.iter().map(|entry| &entry.value)),
            Content::Scalar(scalar) if scalar.kind == Kind::Number => {
                let text = scalar.text.as_str();
                let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
                let read = match (digits(text), text.contains('.')) {
                    (true, true) => text.parse::<f64>().ok().map(|number| format!("{number:?}")),
                    (true, false) => text.parse::<u64>().ok().map(|number| number.to_string()),
                    _ => None,
                };
                if let Some(read) = read.filter(|read| read != text) {
                    let text = quoted(text);
                    let advice =
                        format!("without quotes nb-wrangler reads {text} as {read}; write it in quotes");
                    notes.warning("trailing-zero", node.span, advice);
                }
            }
            Content::Scalar(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
