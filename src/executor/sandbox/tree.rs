//! Directories of an attempt: copied in, given to the user of the sandbox, removed whatever became of them.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use walkdir::WalkDir;

use crate::executor::contract::USER;

/// Whose a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Docent's: the sandbox may read.
    Docent,
    /// The sandbox's.
    Sandbox,
}

/// Makes an empty directory.
pub fn make(path: &Path, owner: Owner) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    if owner == Owner::Sandbox { give(path) } else { Ok(()) }
}

/// Copies a tree: files, directories, and links as links. On this host nothing follows them.
pub fn copy(from: &Path, to: &Path, owner: Owner) -> io::Result<()> {
    make(to, owner)?;
    for entry in WalkDir::new(from).min_depth(1).follow_links(false) {
        let entry = entry?;
        let place = to.join(entry.path().strip_prefix(from).map_err(io::Error::other)?);
        let kind = entry.file_type();
        if kind.is_dir() {
            make(&place, owner)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &place)?;
            if owner == Owner::Sandbox {
                give(&place)?;
            }
        } else if kind.is_file() {
            let mut source = File::options()
                .read(true)
                .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
                .open(entry.path())?;
            let is_program = source.metadata()?.permissions().mode() & 0o111 != 0;
            io::copy(&mut source, &mut File::create_new(&place)?)?;
            fs::set_permissions(&place, Permissions::from_mode(if is_program { 0o755 } else { 0o644 }))?;
            if owner == Owner::Sandbox {
                give(&place)?;
            }
        }
    }
    Ok(())
}

/// Gives it to the user of the sandbox, where that is another than docent's own.
pub fn give(path: &Path) -> io::Result<()> {
    if nix::unistd::geteuid().is_root() { lchown(path, Some(USER), Some(USER)) } else { Ok(()) }
}

/// Removes it, however deep it was made and whatever was done to its permissions; no error if it is not there.
pub fn remove(path: &Path) -> io::Result<()> {
    if let Err(error) = fs::symlink_metadata(path) {
        return if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) };
    }
    // Programs, because the library's own removal recurses, and a hostile tree is deeper than a stack.
    let quiet = |program: &str, words: &[&str]| {
        Command::new(program)
            .args(words)
            .arg("--")
            .arg(path)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
    };
    if !quiet("rm", &["-rf", "--one-file-system"])?.success() {
        quiet("chmod", &["-R", "u+rwX"])?;
        quiet("rm", &["-rf", "--one-file-system"])?;
    }
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(io::Error::other("something in it cannot be removed")),
    }
}
