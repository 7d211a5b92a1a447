//! What an attempt leaves in `/out`, taken over without trusting a single name or type in it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

/// Written beside what was collected if something could not be.
pub const LEFT_OUT: &str = "docent-left-out.txt";

/// More entries than this are left out.
const MOST_ENTRIES: usize = 20_000;
/// Deeper paths than this are left out.
const DEEPEST: usize = 32;
/// Names of what was left out that are told one by one.
const MOST_NAMED: usize = 100;

/// A directory being filled with what an attempt left.
#[derive(Debug)]
pub struct Harvest {
    into: PathBuf,
    room: u64,
    entries: usize,
    left_out: Vec<String>,
    more_left_out: usize,
}

impl Harvest {
    /// Begins with an empty directory.
    pub fn begin(into: &Path, max_bytes: u64) -> io::Result<Self> {
        match fs::remove_dir_all(into) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(into)?,
        }
        Ok(Self {
            into: into.to_owned(),
            room: max_bytes,
            entries: 0,
            left_out: Vec::new(),
            more_left_out: 0,
        })
    }

    /// A directory of this path below `/out`.
    pub fn directory(&mut self, path: &Path) -> io::Result<()> {
        match self.place(path) {
            Ok(place) => fs::create_dir_all(place),
            Err(why) => {
                self.leave_out(path, why);
                Ok(())
            }
        }
    }

    /// A regular file of this path below `/out`; whole or not at all.
    pub fn file(&mut self, path: &Path, size: u64, content: impl Read) -> io::Result<()> {
        let place = match self.place(path) {
            Ok(_) if size > self.room => Err("there is no room for it"),
            place => place,
        };
        let place = match place {
            Ok(place) => place,
            Err(why) => {
                self.leave_out(path, why);
                return Ok(());
            }
        };
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = match File::create_new(&place) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.leave_out(path, "it is there twice");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.room -= io::copy(&mut content.take(size), &mut file)?;
        Ok(())
    }

    /// Neither a regular file nor a directory, or not readable.
    pub fn leave_out(&mut self, path: &Path, why: &str) {
        if self.left_out.len() < MOST_NAMED {
            self.left_out.push(format!("{:?}: {why}", path.to_string_lossy()));
        } else {
            self.more_left_out += 1;
        }
    }

    /// Nothing more comes: names what was left out, if anything was.
    pub fn finish(self) -> io::Result<()> {
        if self.left_out.is_empty() {
            return Ok(());
        }
        let place = self.into.join(LEFT_OUT);
        if place.is_dir() {
            fs::remove_dir_all(&place)?;
        }
        let mut file = File::create(place)?;
        for line in &self.left_out {
            writeln!(file, "{line}")?;
        }
        if self.more_left_out > 0 {
            writeln!(file, "and {} more", self.more_left_out)?;
        }
        Ok(())
    }

    fn place(&mut self, path: &Path) -> Result<PathBuf, &'static str> {
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err("it leads elsewhere");
        }
        if path.components().count() > DEEPEST {
            return Err("it is too deep");
        }
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err("there are too many");
        }
        Ok(self.into.join(path))
    }
}

/// Takes over a tar stream whose entries stand below `top`. Stops reading when it has passed over as much as it was
/// allowed to take: a sparse file costs its writer nothing and its reader everything.
pub fn unpack(archive: impl Read, top: &str, into: &Path, max_bytes: u64) -> io::Result<()> {
    let mut harvest = Harvest::begin(into, max_bytes)?;
    let mut passed = 0u64;
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        let below =
            path.strip_prefix(top).map(Path::to_owned).unwrap_or_else(|_| Path::new("..").join(&path));
        let size = entry.size();
        let kind = entry.header().entry_type();
        passed = passed.saturating_add(size);
        if passed > max_bytes.saturating_mul(2).saturating_add(1 << 20) {
            harvest.leave_out(&below, "it and all after it: there is no room");
            break;
        }
        if kind.is_dir() {
            harvest.directory(&below)?;
        } else if kind.is_file() {
            harvest.file(&below, size, entry)?;
        } else {
            harvest.leave_out(&below, "neither a file nor a directory");
        }
    }
    harvest.finish()
}

/// Takes over a directory of this host in which nobody writes any more.
pub fn copy(from: &Path, into: &Path, max_bytes: u64) -> io::Result<()> {
    let mut harvest = Harvest::begin(into, max_bytes)?;
    for entry in walkdir::WalkDir::new(from)
        .min_depth(1)
        .max_depth(DEEPEST + 1)
        .follow_links(false)
        .sort_by_file_name()
    {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path =
                    error.path().and_then(|path| path.strip_prefix(from).ok()).unwrap_or(Path::new("?"));
                harvest.leave_out(path, "it cannot be read");
                continue;
            }
        };
        let below = entry.path().strip_prefix(from).unwrap_or(Path::new("..")).to_owned();
        let kind = entry.file_type();
        if kind.is_dir() {
            harvest.directory(&below)?;
        } else if kind.is_file() {
            match (File::open(entry.path()), entry.metadata()) {
                (Ok(file), Ok(metadata)) => harvest.file(&below, metadata.len(), file)?,
                _ => harvest.leave_out(&below, "it cannot be read"),
            }
        } else {
            harvest.leave_out(&below, "neither a file nor a directory");
        }
        if harvest.entries > MOST_ENTRIES {
            break;
        }
    }
    harvest.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header whose name is written as it is, as no honest program would.
    fn header(name: &str, kind: tar::EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        header
    }

    #[test]
    fn only_files_and_directories_inside_are_taken() {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, kind, content) in [
            ("out/", tar::EntryType::Directory, ""),
            ("out/a/good.txt", tar::EntryType::Regular, "good"),
            ("out/a/good.txt", tar::EntryType::Regular, "twice"),
            ("out/../../escaped", tar::EntryType::Regular, "bad"),
            ("/escaped", tar::EntryType::Regular, "bad"),
            ("elsewhere/file", tar::EntryType::Regular, "bad"),
            ("out/link", tar::EntryType::Symlink, ""),
            ("out/hard", tar::EntryType::Link, ""),
            ("out/fifo", tar::EntryType::Fifo, ""),
            ("out/device", tar::EntryType::Char, ""),
            ("out/link/through", tar::EntryType::Regular, "in a real directory"),
            ("out/large", tar::EntryType::Regular, &"x".repeat(2000)),
            ("out/small", tar::EntryType::Regular, "still fits"),
        ] {
            tar.append(&header(name, kind, content.len() as u64), content.as_bytes()).unwrap();
        }
        let bytes = tar.into_inner().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("a/b");
        unpack(bytes.as_slice(), "out", &into, 1000).unwrap();

        let mut there: Vec<String> = walkdir::WalkDir::new(dir.path())
            .into_iter()
            .map(Result::unwrap)
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| entry.path().strip_prefix(&into).unwrap().display().to_string())
            .collect();
        there.sort();
        assert_eq!(there, ["a/good.txt", LEFT_OUT, "link/through", "small"]);
        assert_eq!(fs::read_to_string(into.join("a/good.txt")).unwrap(), "good");
        assert_eq!(fs::read_to_string(into.join(LEFT_OUT)).unwrap().lines().count(), 9);
    }

    #[test]
    fn an_endless_archive_is_not_read_to_its_end() {
        let mut bytes = header("out/sparse", tar::EntryType::Regular, 1 << 32).as_bytes().to_vec();
        bytes.extend([0; 512]);
        let dir = tempfile::tempdir().unwrap();
        unpack(bytes.as_slice().chain(io::repeat(0)), "out", &dir.path().join("x"), 1000).unwrap();
        assert!(fs::read_to_string(dir.path().join("x").join(LEFT_OUT)).unwrap().contains("no room"));
    }
}
