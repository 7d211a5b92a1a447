//! Unpacking a bundle that anybody may have made: nothing in it leads out of its folder, and none is larger than docent makes them.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};

use super::{
    ABOUT, BundleError, LOCK, MOST_ABOUT, MOST_BYTES, MOST_FILES, REFERENCES, REPO, disk, stays_inside,
};
use crate::core::bundle::{Bundle, Carried, FORMAT, Unpacked};

/// Unpacks `file` into the folder `into`, which is made.
pub fn unpack(file: &Path, into: &Path) -> Result<Unpacked, BundleError> {
    let compressed = File::open(file).map_err(disk(file.display()))?;
    // One byte more than there may be, so that a bundle of all too many is told from one that ends there.
    let mut archive = Archive::new(GzDecoder::new(compressed).take(MOST_BYTES + (64 << 20)));
    let mut entries = archive.entries().map_err(unfit)?;
    let about = match entries.next() {
        Some(Ok(first)) if first.path_bytes().as_ref() == ABOUT.as_bytes() => read_about(first)?,
        Some(Err(error)) => return Err(unfit(error)),
        _ => return Err(BundleError::Unfit(format!("its first file is not {ABOUT}"))),
    };
    std::fs::create_dir_all(into).map_err(disk(into.display()))?;
    let (mut bytes, mut links, mut seen) = (0_u64, Vec::new(), BTreeSet::new());
    for entry in entries {
        let mut entry = entry.map_err(unfit)?;
        let name = place(&entry.path().map_err(unfit)?)?;
        if !seen.insert(name.clone()) {
            return Err(BundleError::Unfit(format!("{} is in it twice", name.display())));
        }
        if seen.len() > MOST_FILES {
            return Err(BundleError::TooLarge(format!("{MOST_FILES} files")));
        }
        match entry.header().entry_type() {
            EntryType::Regular => {
                bytes = bytes.saturating_add(entry.size());
                if bytes > MOST_BYTES {
                    return Err(BundleError::TooLarge(format!("{MOST_BYTES} bytes")));
                }
                let mode = if entry.header().mode().unwrap_or(0) & 0o100 != 0 { 0o755 } else { 0o644 };
                write(&mut entry, &into.join(&name), mode)?;
            }
            EntryType::Symlink => {
                let target = entry.link_name().map_err(unfit)?.unwrap_or_default().into_owned();
                links.push((name, target));
            }
            kind => return Err(BundleError::Unfit(format!("{} is a {kind:?}", name.display()))),
        }
    }
    make_links(&links, &seen, into)?;
    if matches!(about.files, Carried::Whole { .. }) {
        let repo = into.join(REPO);
        std::fs::create_dir_all(&repo).map_err(disk(repo.display()))?;
    }
    Ok(Unpacked { folder: into.to_string_lossy().into_owned(), bundle: about })
}

fn unfit(error: std::io::Error) -> BundleError {
    BundleError::Unfit(error.to_string())
}

fn read_about(entry: impl Read) -> Result<Bundle, BundleError> {
    let mut text = String::new();
    entry.take(MOST_ABOUT).read_to_string(&mut text).map_err(unfit)?;
    let about: Bundle =
        serde_json::from_str(&text).map_err(|error| BundleError::Unfit(format!("{ABOUT}: {error}")))?;
    match about.format.as_str() {
        FORMAT => Ok(about),
        other => Err(BundleError::Unfit(format!(
            "it is a {other:?}, and this docent knows {FORMAT}: a newer one may know it"
        ))),
    }
}

/// A path of plain names below one of the folders that a bundle has.
fn place(name: &Path) -> Result<PathBuf, BundleError> {
    let astray = || BundleError::Unfit(format!("{} leads out of it", name.display()));
    let is_plain = |component: Component<'_>| matches!(component, Component::Normal(_));
    if !name.components().all(is_plain) {
        return Err(astray());
    }
    let mut components = name.components();
    let first = components.next().map(|first| first.as_os_str().to_owned());
    let rest = components.count();
    let least = match first.as_ref().and_then(|first| first.to_str()) {
        Some(LOCK | REPO) => 1,
        Some(REFERENCES) => 2,
        _ => return Err(astray()),
    };
    if rest < least { Err(astray()) } else { Ok(name.to_owned()) }
}

fn write(from: &mut impl Read, to: &Path, mode: u32) -> Result<(), BundleError> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(disk(folder.display()))?;
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(to).map_err(disk(to.display()))?;
    std::io::copy(from, &mut file).map_err(disk(to.display()))?;
    Ok(())
}

/// Links come last, so that nothing was written through one; none stands in the place of a folder of another.
fn make_links(
    links: &[(PathBuf, PathBuf)],
    seen: &BTreeSet<PathBuf>,
    into: &Path,
) -> Result<(), BundleError> {
    let names: BTreeSet<&Path> = links.iter().map(|(name, _)| name.as_path()).collect();
    for name in seen {
        if name.ancestors().skip(1).any(|above| names.contains(above)) {
            return Err(BundleError::Unfit(format!("{} is below a link", name.display())));
        }
    }
    for (name, target) in links {
        let above = if name.starts_with(REFERENCES) { 2 } else { 1 };
        let depth = name.components().count().saturating_sub(above + 1);
        if !stays_inside(depth, target) {
            return Err(BundleError::Unfit(format!("the link {} leads out of it", name.display())));
        }
        let to = into.join(name);
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(disk(folder.display()))?;
        }
        std::os::unix::fs::symlink(target, &to).map_err(disk(to.display()))?;
    }
    Ok(())
}
