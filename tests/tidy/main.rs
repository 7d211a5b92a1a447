//! Keeps the rules of the house that no compiler keeps: the floors, the purity of the core, one reader of the clock,
//! no way to panic, the words, and a tree that names no machine. Every complaint says file, line and what to do.

mod source;
mod text;

use std::path::Path;
use std::process::Command;

use source::complaints_about_source;
use text::{complaints_about_links, complaints_about_text};

#[test]
fn the_sources_keep_the_rules_of_the_house() {
    let complaints: Vec<String> = tree()
        .iter()
        .filter(|(path, _)| path.starts_with("src/") && path.ends_with(".rs"))
        .flat_map(|(path, text)| complaints_about_source(path, text))
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_tree_names_no_machine_and_no_registry() {
    let complaints: Vec<String> =
        tree().iter().flat_map(|(path, text)| complaints_about_text(path, text)).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let complaints: Vec<String> = tree()
        .iter()
        .filter(|(path, _)| path.ends_with(".md"))
        .flat_map(|(path, text)| complaints_about_links(path, text, |target| root.join(target).exists()))
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Every text file that git knows or would add: path → content.
fn tree() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listing = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .expect("git is needed to list the tree");
    assert!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
    let files: Vec<(String, String)> = String::from_utf8(listing.stdout)
        .expect("paths are UTF-8")
        .split_terminator('\0')
        .filter_map(|path| Some((path.to_owned(), std::fs::read_to_string(root.join(path)).ok()?)))
        .collect();
    assert!(files.iter().any(|(path, _)| path == "src/lib.rs"), "the listing of the tree is empty");
    files
}

/// Asserts that planted text draws exactly one complaint, at that line and with those words.
#[track_caller]
pub fn assert_caught(complaints: Vec<String>, at: &str, about: &str) {
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].starts_with(at) && complaints[0].contains(about), "{complaints:?}");
}
