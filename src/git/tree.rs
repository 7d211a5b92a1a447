//! From the list of a commit's files to a directory in which nothing leads astray.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{Checkout, FetchLimits, GitError};
use crate::core::neutral;

/// Bytes of one path; the final directory's own path comes before it, and the system takes 4096.
const MAX_PATH: usize = 2048;

/// Bytes of one name, as file systems have it.
const MAX_NAME: usize = 255;

/// Bytes of a link's text that can be a path.
const MAX_LINK: u64 = 4095;

/// Stands above the repository's own `.gitattributes`: files are written as they were committed. Line ends,
/// `$Id$` and encodings would make other bytes than the SHA names, and filters would ask for programs.
const ATTRIBUTES: &str = "* -text -crlf -ident -filter -working-tree-encoding\n";

/// All that an empty repository is, as gitrepository-layout(5) has it: no program has to be started for that.
const HEAD: &str = "ref: refs/heads/main\n";
const CONFIGURATION: &str = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";
const CONFIGURATION_SHA256: &str = "[core]\n\trepositoryformatversion = 1\n\tfilemode = true\n\tbare = true\n\
                                    [extensions]\n\tobjectformat = sha256\n";

/// Makes an empty repository, with attributes of docent's own, and the directory for the files.
pub(super) fn prepare(git_dir: &Path, work_tree: &Path, is_sha256: bool) -> Result<(), GitError> {
    let failed =
        |error| GitError::Disk { what: "the directories of a fetch cannot be made".to_owned(), error };
    for directory in ["info", "objects", "refs"] {
        std::fs::create_dir_all(git_dir.join(directory)).map_err(failed)?;
    }
    let configuration = if is_sha256 { CONFIGURATION_SHA256 } else { CONFIGURATION };
    for (name, text) in [("HEAD", HEAD), ("config", configuration), ("info/attributes", ATTRIBUTES)] {
        std::fs::write(git_dir.join(name), text).map_err(failed)?;
    }
    std::fs::create_dir(work_tree).map_err(failed)
}

/// What `git ls-tree -r -l -z` prints, read while it is printed, so that a tree of billions of files is
/// refused early.
pub(super) struct Listing {
    limits: FetchLimits,
    pending: Vec<u8>,
    paths: HashSet<Vec<u8>>,
    links: Vec<(Vec<u8>, u64)>,
    checkout: Checkout,
}

impl Listing {
    pub fn new(limits: &FetchLimits) -> Self {
        Self {
            limits: *limits,
            pending: Vec::new(),
            paths: HashSet::new(),
            links: Vec::new(),
            checkout: Checkout::default(),
        }
    }

    pub fn read(&mut self, bytes: &[u8]) -> Result<(), GitError> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| *b == 0) {
            self.pending.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let record = std::mem::take(&mut self.pending);
            self.entry(&record)?;
        }
        self.pending.extend_from_slice(rest);
        if self.pending.len() > MAX_PATH + 256 {
            return Err(unsafe_path(&self.pending, "is too long"));
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Self, GitError> {
        if !self.pending.is_empty() {
            return Err(GitError::Other { detail: "the list of files broke off".to_owned() });
        }
        // Where a file stands, no directory of the same name may be meant by another path.
        for path in &self.paths {
            let mut ancestors =
                path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| &path[..at]);
            if ancestors.any(|ancestor| self.paths.contains(ancestor)) {
                return Err(unsafe_path(path, "leads through a file"));
            }
        }
        Ok(self)
    }

    /// `MODE TYPE SHA SIZE<tab>PATH`
    fn entry(&mut self, record: &[u8]) -> Result<(), GitError> {
        let unknown = || GitError::Other { detail: "the list of files cannot be read".to_owned() };
        let tab = record.iter().position(|b| *b == b'\t').ok_or_else(unknown)?;
        let (head, path) = (&record[..tab], &record[tab + 1..]);
        let head = std::str::from_utf8(head).map_err(|_| unknown())?;
        let fields: Vec<&str> = head.split_ascii_whitespace().collect();
        let &[mode, _, _, size] = fields.as_slice() else { return Err(unknown()) };
        check_path(path)?;
        if mode == "160000" {
            self.checkout.submodules.push(String::from_utf8_lossy(path).into_owned());
        } else {
            let size: u64 = size.parse().map_err(|_| unknown())?;
            match mode {
                "120000" => self.links.push((path.to_owned(), size)),
                mode if mode.starts_with("100") => {}
                _ => return Err(unsafe_path(path, "is neither file nor link")),
            }
            self.checkout.bytes = self.checkout.bytes.saturating_add(size);
        }
        self.checkout.files += 1;
        if self.checkout.files > self.limits.max_files {
            return Err(GitError::TooLarge { what: format!("more than {} files", self.limits.max_files) });
        }
        if self.checkout.bytes > self.limits.max_bytes {
            return Err(GitError::TooLarge {
                what: format!("its files have more than {} bytes", self.limits.max_bytes),
            });
        }
        if !self.paths.insert(path.to_owned()) {
            return Err(unsafe_path(path, "stands there twice"));
        }
        Ok(())
    }

    /// git wrote links as files with the link's text. Those that stay inside the tree become links now that
    /// nothing is written any more.
    pub fn link(mut self, work_tree: &Path) -> Result<Checkout, GitError> {
        for (path, size) in std::mem::take(&mut self.links) {
            let file = work_tree.join(OsStr::from_bytes(&path));
            let shown = || neutral::plain(&String::from_utf8_lossy(&path), 200);
            let failed =
                |error| GitError::Disk { what: format!("the link {} cannot be made", shown()), error };
            let target = if size <= MAX_LINK { std::fs::read(&file).map_err(failed)? } else { Vec::new() };
            if stays_inside(&path, &target) {
                std::fs::remove_file(&file).map_err(failed)?;
                std::os::unix::fs::symlink(OsStr::from_bytes(&target), &file).map_err(failed)?;
            } else {
                self.checkout.withheld_links.push(String::from_utf8_lossy(&path).into_owned());
            }
        }
        self.checkout.files -= self.checkout.submodules.len() as u64;
        Ok(self.checkout)
    }
}

/// Whether a link can lead nowhere but into the tree, whatever other such links there are.
///
/// `..` is allowed only at the beginning, where it starts from directories that are no links; behind a name
/// it could start from wherever another link leads.
fn stays_inside(path: &[u8], target: &[u8]) -> bool {
    if target.is_empty() || target.len() as u64 > MAX_LINK || target.contains(&0) || target.starts_with(b"/")
    {
        return false;
    }
    let mut depth = path.iter().filter(|b| **b == b'/').count();
    let mut has_name = false;
    for part in target.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if has_name || depth == 0 => return false,
            b".." => depth -= 1,
            _ => has_name = true,
        }
    }
    true
}

fn check_path(path: &[u8]) -> Result<(), GitError> {
    if path.len() > MAX_PATH {
        return Err(unsafe_path(path, "is too long"));
    }
    for name in path.split(|b| *b == b'/') {
        if matches!(name, b"" | b"." | b"..") {
            return Err(unsafe_path(path, "leads elsewhere"));
        }
        if name.len() > MAX_NAME {
            return Err(unsafe_path(path, "has a name that is too long"));
        }
        if means_git(name) {
            return Err(unsafe_path(path, "would be taken for git's own directory"));
        }
    }
    Ok(())
}

/// `.git` as any file system may read it: in either case, with ignored characters or endings, or by its short
/// name.
fn means_git(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name);
    let name: String =
        name.chars().filter(|c| !neutral::is_treacherous(*c)).collect::<String>().to_ascii_lowercase();
    let name = name.split([':', '\\']).next().unwrap_or("").trim_end_matches(['.', ' ']);
    matches!(name, ".git" | "git~1")
}

fn unsafe_path(path: &[u8], why: &str) -> GitError {
    GitError::Unsafe {
        what: format!("the path {} {why}", neutral::plain(&String::from_utf8_lossy(path), 200)),
    }
}

/// The checkout that an earlier fetch left, counted anew.
pub(super) fn existing(into: &Path) -> Result<Option<Checkout>, GitError> {
    match std::fs::symlink_metadata(into) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(GitError::Disk { what: format!("{} cannot be read", into.display()), error });
        }
        Ok(found) if !found.is_dir() => {
            let error = std::io::Error::from(std::io::ErrorKind::NotADirectory);
            return Err(GitError::Disk { what: format!("{} is in the way", into.display()), error });
        }
        Ok(_) => {}
    }
    let mut checkout = Checkout { existed: true, ..Checkout::default() };
    for entry in walkdir::WalkDir::new(into).follow_links(false) {
        let metadata = entry.and_then(|entry| entry.metadata()).map_err(std::io::Error::from);
        let metadata = metadata.map_err(GitError::disk(format!("{} cannot be read", into.display())))?;
        if !metadata.is_dir() {
            checkout.files += 1;
            checkout.bytes += metadata.len();
        }
    }
    Ok(Some(checkout))
}

/// Another fetch of the same commit may have been quicker: then its checkout stays, which is the same.
pub(super) fn move_into_place(from: &Path, into: &Path) -> Result<(), GitError> {
    match std::fs::rename(from, into) {
        Ok(()) => Ok(()),
        Err(_) if into.is_dir() => Ok(()),
        Err(error) => {
            Err(GitError::Disk { what: format!("{} cannot be moved into place", into.display()), error })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_kept_only_if_they_stay_inside() {
        for (path, target, expected) in [
            ("a", "b", true),
            ("a", "./b/c", true),
            ("d/a", "../b", true),
            ("d/e/a", "../../b", true),
            ("d/a", "..", true),
            ("a", "b/", true),
            ("a", "not there", true),
            ("a", "..", false),
            ("a", "../b", false),
            ("d/a", "../../b", false),
            ("d/a", "x/../../b", false),
            // Harmless by its words alone, but `b` may be a link that leads up.
            ("a", "b/../c", false),
            ("a", "/etc/passwd", false),
            ("a", "//etc", false),
            ("a", "", false),
            ("a", "b\0c", false),
        ] {
            assert_eq!(stays_inside(path.as_bytes(), target.as_bytes()), expected, "{path} -> {target}");
        }
    }

    #[test]
    fn paths_that_mean_something_else_are_refused() {
        for path in [
            "a",
            "a/b.ipynb",
            "-rf",
            "a\nb",
            "\"",
            ".gitignore",
            ".github/x",
            "git",
            "é",
            "a b",
            "..a",
            "a\\b",
        ] {
            assert!(check_path(path.as_bytes()).is_ok(), "{path:?}");
        }
        for path in [
            "",
            "..",
            "a/../b",
            "./a",
            "/a",
            "a//b",
            "a/",
            ".git",
            "a/.git/config",
            ".GIT",
            ".gIt",
            "git~1",
            "GIT~1",
            ".git ",
            ".git.",
            ".git. .",
            ".git::$INDEX_ALLOCATION",
            ".g\u{200c}it",
            ".git\u{200b}",
            ".git\\x",
        ] {
            assert!(matches!(check_path(path.as_bytes()), Err(GitError::Unsafe { .. })), "{path:?}");
        }
        assert!(check_path(&[b'a'; 256]).is_err());
        assert!(check_path("a/".repeat(1500).as_bytes()).is_err());
        assert!(check_path(b"latin-\xe9").is_ok());
    }

    fn listing(max_bytes: u64, max_files: u64, output: &str) -> Result<Checkout, GitError> {
        let limits = FetchLimits { max_bytes, max_files, ..FetchLimits::default() };
        let mut listing = Listing::new(&limits);
        for byte in output.bytes() {
            listing.read(&[byte])?;
        }
        Ok(listing.finish()?.checkout)
    }

    #[test]
    fn a_list_of_files_is_read_byte_by_byte_and_within_limits() {
        let two = "100644 blob 00       7\ta\x00120000 blob 00       1\tb\x00160000 commit 00       -\tc\0";
        let checkout = listing(8, 3, two).unwrap();
        assert_eq!((checkout.files, checkout.bytes, checkout.submodules), (3, 8, vec!["c".to_owned()]));
        assert!(matches!(listing(7, 3, two), Err(GitError::TooLarge { .. })));
        assert!(matches!(listing(8, 2, two), Err(GitError::TooLarge { .. })));
        assert!(matches!(
            listing(8, 3, "100644 blob 00 1\ta\x00100644 blob 00 1\ta\0"),
            Err(GitError::Unsafe { .. })
        ));
        assert!(matches!(
            listing(8, 3, "120000 blob 00 1\ta\x00100644 blob 00 1\ta/b\0"),
            Err(GitError::Unsafe { .. })
        ));
        assert!(matches!(listing(8, 3, "040000 tree 00 -\ta\0"), Err(GitError::Other { .. })));
        assert!(matches!(listing(8, 3, "100644 blob 00 1\ta"), Err(GitError::Other { .. })));
        assert!(matches!(listing(8, 3, &"x".repeat(9000)), Err(GitError::Unsafe { .. })));
    }
}
