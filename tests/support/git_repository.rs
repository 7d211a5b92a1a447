//! Bare repositories for tests, down to objects that git itself would not write.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Repository {
    path: PathBuf,
}

impl Repository {
    pub fn new(path: &Path) -> Self {
        Self::with_format(path, "sha1")
    }

    pub fn with_format(path: &Path, format: &str) -> Self {
        let repository = Self { path: path.to_owned() };
        std::fs::create_dir(path).unwrap();
        repository.git(&["init", "--quiet", "--bare", &format!("--object-format={format}"), "."]);
        repository
    }

    pub fn git(&self, args: &[&str]) -> String {
        self.feed(args, &[])
    }

    pub fn feed(&self, args: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .args(args)
            .current_dir(&self.path)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_NAME", "Mira")
            .env("GIT_AUTHOR_EMAIL", "mira@example.org")
            .env("GIT_COMMITTER_NAME", "Mira")
            .env("GIT_COMMITTER_EMAIL", "mira@example.org")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {args:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn blob(&self, content: &[u8]) -> String {
        self.raw("blob", content)
    }

    /// Any object, checked by nobody.
    pub fn raw(&self, kind: &str, content: &[u8]) -> String {
        self.feed(&["hash-object", "-t", kind, "-w", "--literally", "--stdin"], content)
    }

    pub fn tree(&self, entries: &[(&str, &str, &str)]) -> String {
        self.raw_tree(entries)
    }

    /// A tree as it is written here: any name, any order, any mode.
    pub fn raw_tree(&self, entries: &[(&str, &str, &str)]) -> String {
        let mut content = Vec::new();
        for (mode, name, sha) in entries {
            content.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            let bytes = (0..sha.len()).step_by(2).map(|at| u8::from_str_radix(&sha[at..at + 2], 16).unwrap());
            content.extend(bytes);
        }
        self.raw("tree", &content)
    }

    pub fn commit_tree(&self, name: &str, tree: &str) -> String {
        let sha = self.git(&["commit-tree", "-m", "test", tree]);
        self.git(&["update-ref", name, &sha]);
        sha
    }

    /// A commit on top of a ref with just these files: mode, path, content (of a submodule: the SHA).
    pub fn commit(&self, name: &str, files: &[(&str, &str, &[u8])]) -> String {
        let mut stream = Vec::new();
        let mut say = |bytes: &[u8]| stream.extend_from_slice(bytes);
        say(format!("commit {name}\ncommitter Mira <mira@example.org> 1700000000 +0000\ndata 4\ntest\n")
            .as_bytes());
        let exists = Command::new("git")
            .args(["show-ref", "--verify", "--quiet", name])
            .current_dir(&self.path)
            .status()
            .unwrap()
            .success();
        if exists {
            say(format!("from {name}^0\n").as_bytes());
        }
        say(b"deleteall\n");
        for (mode, path, content) in files {
            let quoted = path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            if *mode == "160000" {
                say(format!("M {mode} {} \"{quoted}\"\n", String::from_utf8_lossy(content)).as_bytes());
            } else {
                say(format!("M {mode} inline \"{quoted}\"\ndata {}\n", content.len()).as_bytes());
                say(content);
                say(b"\n");
            }
        }
        self.feed(&["fast-import", "--quiet", "--force"], &stream);
        self.git(&["rev-parse", name])
    }
}

/// A directory as docent would keep its state in.
pub struct State {
    directory: tempfile::TempDir,
}

impl State {
    pub fn new() -> Self {
        Self { directory: tempfile::Builder::new().prefix("docent-state-").tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn assert_without(&self, secrets: &[&str]) {
        for entry in walkdir::WalkDir::new(self.path()).into_iter().filter_map(Result::ok) {
            let Ok(content) = std::fs::read(entry.path()) else { continue };
            let content = String::from_utf8_lossy(&content);
            for secret in secrets {
                assert!(!content.contains(secret), "a secret in {}", entry.path().display());
            }
        }
    }
}
