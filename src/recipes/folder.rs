//! A recipe's folder as a whole: what it holds, and that it holds all of it.

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use walkdir::{DirEntry, WalkDir};

use crate::core::mistake::{Mistake, Place};

/// SHA-256 over the names and contents of all files of a folder, links by where they lead. What Python leaves behind is
/// no part of it.
///
/// # Errors
/// What cannot be read, or is neither file nor folder; and links out of the folder, which would lead to nothing, or to something
/// else, where the steps run.
pub(super) fn digest(place: &Path) -> Result<String, Vec<Mistake>> {
    let mut digest = Sha256::new();
    let mut mistakes = Vec::new();
    let root = fs::canonicalize(place).unwrap_or_else(|_| place.to_owned());
    let walk = WalkDir::new(&root).sort_by_file_name().into_iter().filter_entry(is_source);
    for entry in walk {
        let mut wrong = |text: String| {
            let path = entry.as_ref().map_or(root.as_path(), DirEntry::path);
            let path = place.join(path.strip_prefix(&root).unwrap_or(path));
            mistakes.push(Mistake::new(Place::whole(path.display()), text));
        };
        match &entry {
            Err(error) => wrong(format!("cannot be read: {error}")),
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) => match content(entry, &root) {
                Ok(content) => {
                    let name = entry.path().strip_prefix(&root).unwrap_or(entry.path());
                    digest.update(format!("{}\n{}\n", name.display(), content.len()));
                    digest.update(&content);
                }
                Err(text) => wrong(text),
            },
        }
    }
    if mistakes.is_empty() { Ok(hex(&digest.finalize())) } else { Err(mistakes) }
}

fn is_source(entry: &DirEntry) -> bool {
    entry.file_name() != "__pycache__" && entry.path().extension().is_none_or(|kind| kind != "pyc")
}

fn content(entry: &DirEntry, root: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("cannot be read: {error}");
    if entry.file_type().is_file() {
        return fs::read(entry.path()).map_err(failed);
    }
    if !entry.file_type().is_symlink() {
        return Err("is neither a file nor a folder: a recipe may hold nothing else".to_owned());
    }
    let target = fs::read_link(entry.path()).map_err(failed)?;
    let end = fs::canonicalize(entry.path())
        .map_err(|error| format!("is a link that leads nowhere ({}): {error}", target.display()))?;
    if target.is_absolute() || !end.starts_with(root) {
        return Err(format!("is a link out of the recipe ({}): put the file itself here", target.display()));
    }
    Ok(target.into_os_string().into_encoded_bytes())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
