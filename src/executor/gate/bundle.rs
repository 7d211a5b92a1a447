//! Docent's own program with the libraries that it needs, so that it can be started where nothing else is: in an image of
//! its own, and in a sandbox beside somebody else's root filesystem.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

/// What starts the program with its libraries; not there if it needs none.
pub const LOADER: &str = "loader";
const PROGRAM: &str = "docent";
const LIBRARIES: &str = "lib";
/// Libraries that the resolver of older C libraries asks for by name, once it runs.
const OF_THE_RESOLVER: [&str; 3] = ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"];

/// The files, each by its path in the bundle.
#[derive(Debug, Clone)]
pub struct Bundle {
    files: Vec<(String, PathBuf)>,
    /// The same program has the same name, another build another.
    pub digest: String,
}

/// The words that start the program of a bundle in this folder.
pub fn command(folder: &str, is_dynamic: bool) -> Vec<String> {
    let folder = folder.trim_end_matches('/');
    let program = format!("{folder}/{PROGRAM}");
    if !is_dynamic {
        return vec![program];
    }
    vec![format!("{folder}/{LOADER}"), "--library-path".to_owned(), format!("{folder}/{LIBRARIES}"), program]
}

impl Bundle {
    /// Of this program, as its own loader says.
    pub fn of(program: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(program)?;
        let mut hash = Sha256::new();
        // Of what a build changes, not of every byte: this is no protection, and is asked for each attempt.
        let facts = [metadata.dev(), metadata.ino(), metadata.size()];
        for fact in facts.iter().copied().chain([metadata.mtime() as u64, metadata.mtime_nsec() as u64]) {
            hash.update(fact.to_le_bytes());
        }
        let mut files = vec![(PROGRAM.to_owned(), program.to_owned())];
        for (name, place) in libraries(program)? {
            hash.update(place.as_os_str().as_encoded_bytes());
            if name.starts_with("ld-") || name.starts_with("ld64") || name.starts_with("ld.") {
                files.push((LOADER.to_owned(), place.clone()));
            }
            files.push((format!("{LIBRARIES}/{name}"), place));
        }
        let digest = hash.finalize();
        let digest = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { files, digest })
    }

    /// It needs a loader.
    pub fn is_dynamic(&self) -> bool {
        self.files.iter().any(|(name, _)| name == LOADER)
    }

    /// Makes it a folder below `parent`, unless it is there; whole or not at all. Those of other builds go.
    pub fn place(&self, parent: &Path) -> io::Result<PathBuf> {
        let folder = parent.join(&self.digest);
        if folder.is_dir() {
            return Ok(folder);
        }
        fs::create_dir_all(parent)?;
        fs::set_permissions(parent, Permissions::from_mode(0o755))?;
        let new = tempfile::Builder::new().prefix("new-").tempdir_in(parent)?;
        fs::set_permissions(new.path(), Permissions::from_mode(0o755))?;
        fs::create_dir(new.path().join(LIBRARIES))?;
        fs::set_permissions(new.path().join(LIBRARIES), Permissions::from_mode(0o755))?;
        for (name, place) in &self.files {
            let to = new.path().join(name);
            io::copy(&mut File::open(place)?, &mut File::create_new(&to)?)?;
            fs::set_permissions(&to, Permissions::from_mode(0o755))?;
        }
        for old in fs::read_dir(parent)?.flatten().filter(|old| old.path() != new.path()) {
            let _ = fs::remove_dir_all(old.path());
        }
        match fs::rename(new.path(), &folder) {
            // Somebody else was quicker.
            Err(_) if folder.is_dir() => Ok(folder),
            Err(error) => Err(error),
            Ok(()) => {
                let _ = new.keep();
                Ok(folder)
            }
        }
    }

    /// Writes it as an archive.
    pub fn write(&self, writer: &mut dyn Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(io::BufWriter::with_capacity(256 << 10, writer));
        for (name, place) in &self.files {
            let file = File::open(place)?;
            let mut header = tar::Header::new_gnu();
            header.set_size(file.metadata()?.len());
            header.set_mode(0o755);
            header.set_mtime(0);
            tar.append_data(&mut header, name, file)?;
        }
        tar.into_inner()?.flush()
    }
}

/// The libraries of a program, by the names under which it asks for them; none if it is static. This is what `ldd` does: the
/// loader is asked to say what it would load, and to run nothing.
fn libraries(program: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let output = Command::new(program)
        // A static program has no loader to ask and runs: this much of it, it may.
        .arg("--version")
        .env_clear()
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found: Vec<(String, PathBuf)> = text.lines().filter_map(library).collect();
    let beside =
        found.iter().find(|(name, _)| name.starts_with("libc.so")).and_then(|(_, place)| place.parent());
    let more: Vec<_> = beside
        .into_iter()
        .flat_map(|folder| OF_THE_RESOLVER.map(|name| (name.to_owned(), folder.join(name))))
        .filter(|(name, place)| place.is_file() && !found.iter().any(|(there, _)| there == name))
        .collect();
    found.extend(more);
    Ok(found)
}

/// `libc.so.6 => /lib/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn library(line: &str) -> Option<(String, PathBuf)> {
    let line = line.trim().rsplit_once(" (0x")?.0;
    let place = PathBuf::from(line.rsplit_once(" => ").map_or(line, |(_, place)| place).trim());
    let wanted = line.split_once(" => ").map_or(line, |(name, _)| name);
    let name = Path::new(wanted.trim()).file_name()?.to_str()?.to_owned();
    place.is_absolute().then_some((name, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_loader_says_is_read() {
        let read = |line| library(line).map(|(name, place)| format!("{name} {}", place.display()));
        assert_eq!(read("\tlinux-vdso.so.1 (0x00007ffd)"), None);
        assert_eq!(
            read("\tlibc.so.6 => /lib/a/libc.so.6 (0x00007f)").as_deref(),
            Some("libc.so.6 /lib/a/libc.so.6")
        );
        assert_eq!(read("\t/lib64/ld-x.so.2 (0x00007f)").as_deref(), Some("ld-x.so.2 /lib64/ld-x.so.2"));
        assert_eq!(
            read("\t/lib64/ld-x.so.2 => /nix/store/a/ld-x.so.2 (0x00007f)").as_deref(),
            Some("ld-x.so.2 /nix/store/a/ld-x.so.2")
        );
        assert_eq!(read("docent 0.1.0"), None);
    }

    #[test]
    fn a_bundle_is_placed_once_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = Bundle::of(&std::env::current_exe().unwrap()).unwrap();
        fs::create_dir_all(dir.path().join("gate/old/lib")).unwrap();
        let folder = bundle.place(&dir.path().join("gate")).unwrap();
        assert_eq!(bundle.place(&dir.path().join("gate")).unwrap(), folder);
        assert_eq!(fs::read_dir(dir.path().join("gate")).unwrap().count(), 1);
        let words = command(&folder.display().to_string(), bundle.is_dynamic());
        let output = Command::new(&words[0]).args(&words[1..]).arg("--help").env_clear().output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
