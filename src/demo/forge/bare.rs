//! The bare git repositories behind the forge, by the `git` program.
//!
//! Blocking on purpose: a call takes a few milliseconds, and set-up code in tests stays a plain list of lines.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::state::Time;

/// Who and when a commit says it is by.
pub(super) struct Signature<'a> {
    pub name: &'a str,
    pub email: &'a str,
    pub at: Time,
}

/// The environment of every git process of the forge: nothing of the person's own configuration, no questions.
pub(super) fn environment(directory: &Path) -> [(&'static str, PathBuf); 5] {
    [
        ("HOME", directory.to_owned()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
        ("GIT_TERMINAL_PROMPT", "0".into()),
        ("LC_ALL", "C".into()),
    ]
}

fn git(directory: &Path, arguments: &[&str], input: Option<&[u8]>) -> io::Result<String> {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .current_dir(directory)
        .envs(environment(directory))
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // Input is small beside a pipe's buffer only by luck, and git may answer before it has read all of it.
    let writer = child
        .stdin
        .take()
        .zip(input.map(<[u8]>::to_vec))
        .map(|(mut stdin, input)| std::thread::spawn(move || stdin.write_all(&input)));
    let output = child.wait_with_output()?;
    if let Some(writer) = writer {
        // A process that ended early explains itself on stderr; that message is the better one.
        let _ = writer.join();
    }
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("git {}: {}", arguments.join(" "), said.trim())))
    }
}

/// Makes an empty repository that serves and takes everything that the forge allows.
pub(super) fn init(directory: &Path, default_branch: &str) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    git(directory, &["init", "--quiet", "--bare", "--initial-branch", default_branch, "."], None)?;
    // Nothing is collected: a head that was force-pushed away can still be fetched, as on the real forge.
    for (key, value) in [
        ("http.receivepack", "true"),
        ("uploadpack.allowFilter", "true"),
        ("uploadpack.allowAnySHA1InWant", "true"),
        ("receive.autogc", "false"),
        ("gc.auto", "0"),
        ("core.hooksPath", "/dev/null"),
    ] {
        git(directory, &["config", key, value], None)?;
    }
    Ok(())
}

/// Copies all branches of one repository into another.
pub(super) fn copy_branches(from: &Path, to: &Path) -> io::Result<()> {
    let from = from.to_string_lossy();
    git(to, &["fetch", "--quiet", "--no-tags", &from, "+refs/heads/*:refs/heads/*"], None).map(drop)
}

/// Makes `reference` in `to` hold `sha` of `from`, with its objects.
pub(super) fn copy_commit(from: &Path, sha: &str, to: &Path, reference: &str) -> io::Result<()> {
    if from != to {
        let (from, spec) = (from.to_string_lossy(), format!("+{sha}:{reference}"));
        return git(to, &["fetch", "--quiet", "--no-tags", &from, &spec], None).map(drop);
    }
    git(to, &["update-ref", reference, sha], None).map(drop)
}

/// Branch → commit.
pub(super) fn branches(directory: &Path) -> io::Result<BTreeMap<String, String>> {
    let listed = git(directory, &["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/"], None)?;
    Ok(listed
        .lines()
        .filter_map(|line| line.split_once(" refs/heads/"))
        .map(|(sha, name)| (name.to_owned(), sha.to_owned()))
        .collect())
}

/// Points a tag at a commit.
pub(super) fn set_tag(directory: &Path, tag: &str, sha: &str) -> io::Result<()> {
    git(directory, &["update-ref", &format!("refs/tags/{tag}"), sha], None).map(drop)
}

/// Points `branch` at `sha`, whatever it held.
pub(super) fn set_branch(directory: &Path, branch: &str, sha: &str) -> io::Result<()> {
    git(directory, &["update-ref", &format!("refs/heads/{branch}"), sha], None).map(drop)
}

pub(super) fn delete_branch(directory: &Path, branch: &str) -> io::Result<()> {
    git(directory, &["update-ref", "-d", &format!("refs/heads/{branch}")], None).map(drop)
}

/// Resolves a commit by its full or short name.
pub(super) fn resolve(directory: &Path, name: &str) -> Option<String> {
    if name.starts_with('-') {
        return None;
    }
    let found =
        git(directory, &["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")], None).ok()?;
    Some(found.trim().to_owned())
}

pub(super) fn merge_base(directory: &Path, one: &str, other: &str) -> Option<String> {
    git(directory, &["merge-base", one, other], None).ok().map(|s| s.trim().to_owned())
}

/// The commits that `arguments` select, oldest first.
pub(super) fn commits(directory: &Path, arguments: &[&str]) -> Vec<String> {
    let mut all = vec!["rev-list", "--reverse"];
    all.extend(arguments);
    let listed = git(directory, &all, None).unwrap_or_default();
    listed.lines().map(str::to_owned).collect()
}

/// Whether `new` no longer contains `old`.
pub(super) fn is_forced(directory: &Path, old: &str, new: &str) -> bool {
    git(directory, &["merge-base", "--is-ancestor", old, new], None).is_err()
}

/// Lines added, lines removed, files changed between two commits.
pub(super) fn size(directory: &Path, from: &str, to: &str) -> (u64, u64, u64) {
    let listed = git(directory, &["diff", "--numstat", from, to], None).unwrap_or_default();
    listed.lines().fold((0, 0, 0), |(added, removed, files), line| {
        let mut numbers = line.split('\t').map(|n| n.parse::<u64>().unwrap_or(0));
        (added + numbers.next().unwrap_or(0), removed + numbers.next().unwrap_or(0), files + 1)
    })
}

/// Message and author of a commit: (name, email, seconds since 1970, message).
pub(super) fn describe(directory: &Path, sha: &str) -> Option<(String, String, i64, String)> {
    let shown = git(directory, &["log", "-1", "--format=%an%n%ae%n%at%n%B", sha], None).ok()?;
    let mut lines = shown.splitn(4, '\n');
    let (name, email) = (lines.next()?.to_owned(), lines.next()?.to_owned());
    let at = lines.next()?.parse().ok()?;
    Some((name, email, at, format!("{}\n", lines.next().unwrap_or_default().trim_end())))
}

pub(super) fn has_file(directory: &Path, commit: &str, path: &str) -> bool {
    git(directory, &["cat-file", "-e", &format!("{commit}:{path}")], None).is_ok()
}

/// A change of one file: its path, and its new content, or none to take it away.
pub(super) type FileChange<'a> = (&'a str, Option<&'a [u8]>);

/// Makes one commit on `branch` with `parent` (none: a first commit), whatever the branch held. Gives the commit.
pub(super) fn commit(
    directory: &Path,
    branch: &str,
    parent: Option<&str>,
    by: &Signature<'_>,
    message: &str,
    files: &[FileChange<'_>],
) -> io::Result<String> {
    let mut stream = Vec::new();
    // fast-import has no way to quote these in a name.
    let clean = |s: &str| s.replace(['<', '>', '\n', '\0'], "");
    writeln!(stream, "commit refs/heads/{branch}")?;
    writeln!(stream, "committer {} <{}> {} +0000", clean(by.name), clean(by.email), by.at.timestamp())?;
    writeln!(stream, "data {}\n{message}", message.len())?;
    if let Some(parent) = parent {
        writeln!(stream, "from {parent}")?;
    }
    for (path, content) in files {
        let path = path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        match content {
            Some(content) => {
                writeln!(stream, "M 100644 inline \"{path}\"\ndata {}", content.len())?;
                stream.extend_from_slice(content);
                stream.push(b'\n');
            }
            None => writeln!(stream, "D \"{path}\"")?,
        }
    }
    git(directory, &["fast-import", "--quiet", "--force"], Some(&stream))?;
    resolve(directory, &format!("refs/heads/{branch}")).ok_or_else(|| io::Error::other("git made no commit"))
}
