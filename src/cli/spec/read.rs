//! `docent spec validate` and `diff`: reading wrangler specs, and comparing them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::Trouble;
use crate::core::mistake::{Mistake, Place, lines, position};
use crate::core::spec::checksum::Checksum;
use crate::core::spec::policy::SpecPolicy;
use crate::core::spec::yaml::MAX_BYTES;
use crate::core::spec::{Mode, Reading, Spec};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum ReadCommand {
    /// Every mistake of wrangler specs, with line and column.
    Validate {
        /// The specs.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// A checksum that does not fit is a mistake, not a warning.
        #[arg(long)]
        strict: bool,
        /// With the development overrides of the spec.
        #[arg(long)]
        dev: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// What changed from one spec to another, apart from how it is written.
    Diff {
        /// The spec as it was.
        old: PathBuf,
        /// The spec as it is.
        new: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Carries it out.
pub fn carry_out(command: &ReadCommand) -> Result<ExitCode, Trouble> {
    match command {
        ReadCommand::Validate { files, strict, dev, json } => {
            let mode = Mode { strict: *strict, dev: Some(*dev), variables: BTreeMap::new() };
            validate(files, &mode, *json)
        }
        ReadCommand::Diff { old, new, json } => diff(old, new, *json),
    }
}

/// Exit code 2 if one has a mistake, else 4 if policy refuses one.
fn validate(files: &[PathBuf], mode: &Mode, as_json: bool) -> Result<ExitCode, Trouble> {
    let policy = SpecPolicy::default();
    let (mut has_mistakes, mut has_refusals) = (false, false);
    let mut told = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let reading = read(file, mode);
        let refusals = reading.spec.as_ref().map(|spec| policy.judge(spec)).unwrap_or_default();
        has_mistakes |= !reading.mistakes.is_empty();
        has_refusals |= !refusals.is_empty();
        if as_json {
            told.push(as_value(&name, &reading, &refusals));
        } else {
            tell(&name, &reading, &refusals);
        }
    }
    if as_json {
        println!("{}", serde_json::to_string_pretty(&told)?);
    }
    Ok(match (has_mistakes, has_refusals) {
        (true, _) => ExitCode::from(2),
        (false, true) => ExitCode::from(4),
        (false, false) => ExitCode::SUCCESS,
    })
}

fn tell(name: &str, reading: &Reading, refusals: &[Mistake]) {
    for mistake in &reading.mistakes {
        println!("{mistake}");
    }
    for refusal in refusals {
        println!("{}: refused: {}", refusal.place, refusal.text);
    }
    for warning in &reading.warnings {
        println!("{}: warning: {} [{}]", warning.mistake.place, warning.mistake.text, warning.name);
    }
    if let Some(spec) = &reading.spec {
        let checksum = match spec.checksum {
            Checksum::Absent => "no checksum",
            Checksum::Fits { .. } => "its checksum fits",
            Checksum::Differs { .. } => "its checksum does not fit",
        };
        let verdict = if refusals.is_empty() { "no mistake" } else { "no mistake, and refused" };
        println!("{name}: {}, {checksum}; {verdict}", spec.header.artifact_name);
    }
}

fn as_value(name: &str, reading: &Reading, refusals: &[Mistake]) -> Value {
    let one = |mistake: &Mistake| json!({"line": mistake.place.line, "column": mistake.place.column, "text": mistake.text});
    let warnings = reading.warnings.iter().map(|warning| {
        let mut value = one(&warning.mistake);
        value["name"] = json!(warning.name);
        value
    });
    let spec = reading.spec.as_ref().map(|spec| {
        let checksum = match &spec.checksum {
            Checksum::Absent => "absent",
            Checksum::Fits { .. } => "fits",
            Checksum::Differs { .. } => "differs",
        };
        json!({"artifact_name": spec.header.artifact_name, "digest": spec.digest(), "checksum": checksum})
    });
    json!({
        "file": name,
        "spec": spec,
        "mistakes": reading.mistakes.iter().map(one).collect::<Vec<_>>(),
        "refusals": refusals.iter().map(one).collect::<Vec<_>>(),
        "warnings": warnings.collect::<Vec<_>>(),
    })
}

fn diff(old: &Path, new: &Path, as_json: bool) -> Result<ExitCode, Trouble> {
    let (old, new) = (load(old)?, load(new)?);
    let differences = old.differences(&new);
    if as_json {
        let list = differences.iter().map(|one| json!({"path": one.path, "old": one.old, "new": one.new}));
        let digests = [old.digest(), new.digest()];
        let value = json!({"old": digests[0], "new": digests[1], "differences": list.collect::<Vec<_>>()});
        println!("{}", serde_json::to_string_pretty(&value)?);
    } else if differences.is_empty() {
        println!("both mean the same");
    } else {
        differences.iter().for_each(|difference| println!("{difference}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn load(file: &Path) -> Result<Spec, Trouble> {
    // What is compared is what stands there, the overrides as such.
    let reading = read(file, &Mode { dev: Some(false), ..Mode::default() });
    reading.spec.ok_or_else(|| Trouble::Usage(format!("this is no spec:\n{}", lines(&reading.mistakes))))
}

/// Reads a file, but no more of it than is looked at. One that cannot be read is a mistake like others, so that all files
/// that were named are told of.
fn read(file: &Path, mode: &Mode) -> Reading {
    let name = file.display().to_string();
    let mistake = |place: Place, text: String| Reading {
        spec: None,
        mistakes: vec![Mistake::new(place, text)],
        warnings: Vec::new(),
    };
    let mut bytes = Vec::new();
    let taken = File::open(file).and_then(|open| open.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    if let Err(error) = taken {
        return mistake(Place::whole(&name), format!("cannot be read: {error}"));
    }
    if bytes.len() > MAX_BYTES {
        return mistake(
            Place::whole(&name),
            format!("is larger than {} MiB, which no spec is", MAX_BYTES >> 20),
        );
    }
    match String::from_utf8(bytes) {
        Ok(text) => Spec::read(&text, &name, mode),
        Err(error) => {
            let end = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let text = String::from_utf8_lossy(&bytes);
            let (line, column) = position(&text, end);
            mistake(
                Place { file: name, line, column },
                "is no UTF-8 from here on; save the file as UTF-8".to_owned(),
            )
        }
    }
}
