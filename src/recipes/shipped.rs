//! The shipped recipes travel inside the program and are unpacked where they are used.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rust_embed::Embed;
use sha2::{Digest, Sha256};

use super::folder::hex;

/// What another process needs to unpack is far less; a folder older than this is what a killed one left.
const STALE: Duration = Duration::from_secs(3600);
const UNPACKING: &str = ".unpacking-";

#[derive(Embed)]
#[folder = "recipes/"]
#[exclude = "**/__pycache__/*"]
#[exclude = "**/*.pyc"]
struct Shipped;

/// Puts the shipped recipes into a folder below `below` that is named by their content, whole or not at all. What stands there
/// already is used if it is unharmed, and replaced otherwise.
pub(super) fn unpack(below: &Path) -> io::Result<PathBuf> {
    let mut files: Vec<_> =
        Shipped::iter().filter_map(|name| Some((name.to_string(), Shipped::get(&name)?.data))).collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    let mut digest = Sha256::new();
    for (name, content) in &files {
        digest.update(format!("{name}\n{}\n", content.len()));
        digest.update(content);
    }
    let place = below.join(&hex(&digest.finalize())[..16]);
    let is_whole = |(name, content): &(String, _)| {
        fs::read(place.join(name)).is_ok_and(|found| found == *AsRef::<[u8]>::as_ref(content))
    };
    if files.iter().all(is_whole) {
        return Ok(place);
    }
    fs::create_dir_all(below)?;
    remove_stale(below)?;
    let partial = tempfile::Builder::new().prefix(UNPACKING).tempdir_in(below)?;
    let new = partial.path().join("new");
    for (name, content) in &files {
        let to = new.join(name);
        fs::create_dir_all(to.parent().unwrap_or(&new))?;
        fs::write(&to, content)?;
    }
    if place.exists() {
        fs::rename(&place, partial.path().join("harmed"))?;
    }
    match fs::rename(&new, &place) {
        // Another process was faster.
        Err(_) if files.iter().all(is_whole) => Ok(place),
        Err(error) => Err(error),
        Ok(()) => Ok(place),
    }
}

fn remove_stale(below: &Path) -> io::Result<()> {
    for entry in fs::read_dir(below)? {
        let entry = entry?;
        let is_ours = entry.file_name().to_string_lossy().starts_with(UNPACKING);
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
        if is_ours && age.is_some_and(|age| age > STALE) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
