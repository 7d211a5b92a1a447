//! How much an attempt has written, watched from outside: neither ext4 nor a plain directory has quotas for it.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use walkdir::WalkDir;

/// What even an empty file costs: inodes are finite as well.
const SMALLEST: u64 = 1024;

/// Bytes that the trees below these directories occupy, counted until there are `enough`; or nothing if a part of them
/// is hidden from docent (paths too long to be read, directories that can be written and not listed): who hides is
/// over the limit.
pub fn occupied(directories: &[PathBuf], enough: u64) -> Option<u64> {
    let mut sum = 0u64;
    for directory in directories {
        for entry in WalkDir::new(directory).follow_links(false) {
            if sum > enough {
                return Some(sum);
            }
            match entry {
                Ok(entry) => {
                    if let Ok(metadata) = entry.metadata() {
                        sum = sum.saturating_add((metadata.blocks() * 512).max(SMALLEST));
                    }
                }
                Err(error) if is_hidden(&error) => return None,
                // Gone in between: the tree lives.
                Err(_) => {}
            }
        }
    }
    Some(sum)
}

fn is_hidden(error: &walkdir::Error) -> bool {
    let Some(kind) = error.io_error().map(std::io::Error::kind) else { return false };
    match kind {
        std::io::ErrorKind::PermissionDenied => error
            .path()
            .and_then(|path| std::fs::symlink_metadata(path).ok())
            .is_some_and(|metadata| metadata.mode() & 0o300 == 0o300),
        // A deep tree on purpose: its paths exceed what the system takes.
        std::io::ErrorKind::InvalidFilename => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_files_count_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let before = occupied(&[dir.path().to_owned()], u64::MAX).unwrap();
        for n in 0..10 {
            std::fs::write(dir.path().join(n.to_string()), "").unwrap();
        }
        std::os::unix::fs::symlink("/usr", dir.path().join("link")).unwrap();
        let after = occupied(&[dir.path().to_owned()], u64::MAX).unwrap();
        assert_eq!(after - before, 11 * SMALLEST);
    }

    #[test]
    fn a_tree_too_deep_to_be_read_counts_as_full() {
        let dir = tempfile::tempdir().unwrap();
        let script = "i=0; n=$(printf 'd%.0s' $(seq 200)); while [ $i -lt 30 ]; do mkdir $n; cd -P ./$n; i=$((i+1)); done";
        let made =
            std::process::Command::new("sh").args(["-c", script]).current_dir(dir.path()).status().unwrap();
        assert!(made.success());
        assert_eq!(occupied(&[dir.path().to_owned()], u64::MAX), None);
        assert!(std::process::Command::new("rm").arg("-rf").arg(dir.path()).status().unwrap().success());
    }
}
