use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::core::bundle::{Bundle, Carried, FORMAT, Unpacked};
use crate::core::command::TestOptions;
use crate::core::run::RecipeUse;

fn about() -> Bundle {
    Bundle {
        format: FORMAT.to_owned(),
        place: "astro/notebooks".to_owned(),
        repository: Some("https://git.example.org/astro/notebooks.git".to_owned()),
        sha: "0123456789012345678901234567890123456789".parse().ok(),
        options: TestOptions::default(),
        only: Vec::new(),
        recipe: RecipeUse::default(),
        settings: serde_json::Map::new(),
        repositories: Vec::new(),
        files: Carried::Whole { left_out: Vec::new() },
    }
}

/// A repository with a program, a link that stays and two that lead out, and a lock.
fn repository(folder: &Path) -> (Vec<Part>, Vec<Part>) {
    let repo = folder.join("from");
    fs::create_dir_all(repo.join("a/b")).unwrap();
    fs::write(repo.join("a/b/n.ipynb"), "{}").unwrap();
    fs::write(repo.join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(repo.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("../../run.sh", repo.join("a/b/stays")).unwrap();
    symlink("../../../run.sh", repo.join("a/b/out")).unwrap();
    symlink("/etc/passwd", repo.join("absolute")).unwrap();
    fs::write(folder.join("lock.txt"), "numpy==2\n").unwrap();
    let lock = Part { from: folder.join("lock.txt"), name: "lock/requirements.lock".to_owned() };
    (vec![lock], vec![Part { from: repo, name: REPO.to_owned() }])
}

#[test]
fn the_same_files_make_the_same_bytes_and_come_out_as_they_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let (lock, files) = repository(folder.path());
    let (one, two) = (folder.path().join("1"), folder.path().join("2"));
    let packed = pack(about(), &lock, &files, 1 << 20, &one).unwrap();
    assert_eq!(packed.files, Carried::Whole { left_out: vec!["a/b/out".into(), "absolute".into()] });
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(90);
    fs::File::open(folder.path().join("from/run.sh")).unwrap().set_modified(later).unwrap();
    pack(about(), &lock, &files, 1 << 20, &two).unwrap();
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap(), "neither times nor names of files are in it");

    let into = folder.path().join("into");
    let unpacked = unpack(&one, &into).unwrap();
    assert_eq!(unpacked, Unpacked { folder: into.to_string_lossy().into_owned(), bundle: packed });
    assert_eq!(fs::read_to_string(into.join("lock/requirements.lock")).unwrap(), "numpy==2\n");
    assert_eq!(fs::read_to_string(into.join("repo/a/b/stays")).unwrap(), "#!/bin/sh\n");
    assert_eq!(fs::metadata(into.join("repo/run.sh")).unwrap().permissions().mode() & 0o111, 0o111);
    assert!(!into.join("repo/absolute").is_symlink() && !into.join("repo/a/b/out").is_symlink());
}

#[test]
fn a_bundle_that_would_be_too_large_names_the_commit_instead() {
    let folder = tempfile::tempdir().unwrap();
    let (lock, files) = repository(folder.path());
    let file = folder.path().join("1");
    let packed = pack(about(), &lock, &files, 5, &file).unwrap();
    let Carried::Nothing { why } = &packed.files else { panic!("{:?}", packed.files) };
    assert!(why.contains("12 bytes"), "{why}");
    let unpacked = unpack(&file, &folder.path().join("into")).unwrap();
    assert!(!unpacked.has_files() && !folder.path().join("into/repo").exists());
    assert!(folder.path().join("into/lock/requirements.lock").exists(), "the lock is small");
}

/// A bundle by somebody else: these entries behind a `bundle.json`.
fn forged(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(compressed);
    let text = serde_json::to_string(&about()).unwrap();
    let mut put = |name: &str, kind: tar::EntryType, text: &str| {
        let mut header = tar::Header::new_gnu();
        // By hand: the library refuses to write what must be refused when it is read.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        let is_link = matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link);
        if is_link {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_size(if is_link { 0 } else { text.len() as u64 });
        header.set_cksum();
        archive.append(&header, if is_link { &b""[..] } else { text.as_bytes() }).unwrap();
    };
    put(ABOUT, tar::EntryType::Regular, &text);
    for (name, kind, text) in entries {
        put(name, *kind, text);
    }
    archive.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_bundle_that_leads_astray_is_refused() {
    use tar::EntryType::{Char, Link, Regular, Symlink};
    type Entries<'a> = &'a [(&'a str, tar::EntryType, &'a str)];
    let cases: &[(Entries<'_>, &str)] = &[
        (&[("../x", Regular, "x")], "leads out"),
        (&[("/tmp/x", Regular, "x")], "leads out"),
        (&[("repo/../../x", Regular, "x")], "leads out"),
        (&[("elsewhere/x", Regular, "x")], "leads out"),
        (&[("repo", Regular, "x")], "leads out"),
        (&[("references/x", Symlink, "y")], "leads out"),
        (&[("repo/x", Symlink, "/etc/passwd")], "leads out"),
        (&[("repo/x", Symlink, "../lock")], "leads out"),
        (&[("repo/a/x", Symlink, "b/../../../y")], "leads out"),
        (&[("references/one/x", Symlink, "../two/x")], "leads out"),
        (&[("repo/x", Symlink, "a"), ("repo/x/y", Regular, "x")], "below a link"),
        (&[("repo/x/y", Regular, "x"), ("repo/x", Symlink, "a")], "below a link"),
        (&[("repo/x", Regular, "a"), ("repo/x", Regular, "b")], "twice"),
        (&[("repo/x", Link, "/etc/passwd")], "is a Link"),
        (&[("repo/x", Char, "")], "is a Char"),
    ];
    for (entries, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let (file, into) = (folder.path().join("b"), folder.path().join("into"));
        fs::write(&file, forged(entries)).unwrap();
        let error = unpack(&file, &into).unwrap_err().to_string();
        assert!(error.contains(expected), "{entries:?}: {error}");
        assert!(!folder.path().join("x").exists());
    }
}

#[test]
fn what_is_no_bundle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = serde_json::to_string(&about()).unwrap().replace(FORMAT, "docent.bundle.9");
    let packed = |text: &str| {
        let compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut archive = tar::Builder::new(compressed);
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, ABOUT, text.as_bytes()).unwrap();
        archive.into_inner().unwrap().finish().unwrap()
    };
    let mut cut = forged(&[("repo/x", tar::EntryType::Regular, "x")]);
    cut.truncate(cut.len() / 2);
    let cases =
        [b"<html>".to_vec(), Vec::new(), packed("{}"), packed(&other), cut, b"\x1f\x8b\x08\x00".to_vec()];
    for (number, bytes) in cases.iter().enumerate() {
        let file = folder.path().join(number.to_string());
        fs::write(&file, bytes).unwrap();
        let error = unpack(&file, &folder.path().join("into")).unwrap_err();
        assert!(matches!(error, BundleError::Unfit(_)), "{number}: {error}");
    }
}
