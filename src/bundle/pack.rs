//! Making a bundle.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use super::{ABOUT, BundleError, MOST_FILES, disk, stays_inside};
use crate::core::bundle::{Bundle, Carried};

/// Paths that are named as left out.
const NAMED: usize = 20;

/// A folder or a file, and what it is called in the bundle.
#[derive(Debug, Clone)]
pub struct Part {
    /// Where it is.
    pub from: PathBuf,
    /// Its place in the bundle.
    pub name: String,
}

struct Found {
    name: PathBuf,
    from: PathBuf,
    size: u64,
    what: What,
}

enum What {
    File { is_executable: bool },
    Link { target: PathBuf },
}

/// Writes a bundle of `lock`, which is always carried, and of `files`, which are carried together if they have no more than `most`
/// bytes, else not at all: it then says why. Gives what it says of itself.
pub fn pack(
    bundle: Bundle,
    lock: &[Part],
    files: &[Part],
    most: u64,
    into: &Path,
) -> Result<Bundle, BundleError> {
    let mut left_out = Vec::new();
    let mut found = Vec::new();
    for part in lock {
        let size = part.from.metadata().map_err(disk(part.from.display()))?.len();
        let what = What::File { is_executable: false };
        found.push(Found { name: PathBuf::from(&part.name), from: part.from.clone(), size, what });
    }
    let mut carried = Vec::new();
    for part in files {
        walk(part, &mut carried, &mut left_out)?;
    }
    let bytes: u64 = carried.iter().map(|file| file.size).sum();
    let files = if bytes > most || carried.len() > MOST_FILES {
        let why = format!("{} files of {bytes} bytes are more than a bundle carries", carried.len());
        Carried::Nothing { why }
    } else {
        found.extend(carried);
        left_out.sort();
        left_out.truncate(NAMED);
        Carried::Whole { left_out }
    };
    let bundle = Bundle { files, ..bundle };
    found.sort_by(|a, b| a.name.cmp(&b.name));
    write(&bundle, &found, into).map_err(disk(into.display()))?;
    Ok(bundle)
}

fn walk(part: &Part, found: &mut Vec<Found>, left_out: &mut Vec<String>) -> Result<(), BundleError> {
    for entry in walkdir::WalkDir::new(&part.from).sort_by_file_name() {
        let entry = entry.map_err(|error| disk(part.from.display())(io::Error::other(error)))?;
        let inner = entry.path().strip_prefix(&part.from).unwrap_or(entry.path());
        let meta = entry.metadata().map_err(|error| disk(entry.path().display())(io::Error::other(error)))?;
        let name = Path::new(&part.name).join(inner);
        let from = entry.path().to_owned();
        if meta.is_file() {
            let is_executable = meta.permissions().mode() & 0o100 != 0;
            found.push(Found { name, from, size: meta.len(), what: What::File { is_executable } });
        } else if meta.is_symlink() {
            let target = std::fs::read_link(&from).map_err(disk(from.display()))?;
            if stays_inside(inner.components().count().saturating_sub(1), &target) {
                found.push(Found { name, from, size: 0, what: What::Link { target } });
            } else {
                left_out.push(inner.to_string_lossy().into_owned());
            }
        }
    }
    Ok(())
}

fn write(bundle: &Bundle, found: &[Found], into: &Path) -> io::Result<()> {
    // Neither a name nor a time, nor which system it was made on.
    let compressed =
        GzBuilder::new().operating_system(255).write(File::create(into)?, Compression::default());
    let mut archive = Builder::new(compressed);
    let about = serde_json::to_vec_pretty(bundle)?;
    let mut header = header(EntryType::Regular, 0o644, about.len() as u64);
    archive.append_data(&mut header, ABOUT, about.as_slice())?;
    for file in found {
        match &file.what {
            What::File { is_executable } => {
                let mode = if *is_executable { 0o755 } else { 0o644 };
                let mut header = self::header(EntryType::Regular, mode, file.size);
                archive.append_data(&mut header, &file.name, File::open(&file.from)?)?;
            }
            What::Link { target } => {
                let mut header = self::header(EntryType::Symlink, 0o777, 0);
                archive.append_link(&mut header, &file.name, target)?;
            }
        }
    }
    archive.into_inner()?.finish()?.flush()
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}
