//! Runs git in an environment made from nothing, within a time and a size, and leaves no process behind.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use url::Url;

use super::{BasicCredential, FetchLimits, GitError, SCRATCH_PREFIX};
use crate::core::neutral;

/// Variables of docent's own environment that git keeps: how this machine reaches the outside.
const KEPT: [&str; 13] = [
    "PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "TMPDIR",
];

const VARIABLES: [(&str, &str); 13] = [
    ("LC_ALL", "C"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_SYSTEM", "/dev/null"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    // No helper program asks for a password either: git takes the answer of this one, which is always a no.
    ("GIT_ASKPASS", "false"),
    ("SSH_ASKPASS", "false"),
    ("GIT_LFS_SKIP_SMUDGE", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_PROTOCOL_FROM_USER", "0"),
];

const CONFIGURATION: [(&str, &str); 30] = [
    ("protocol.allow", "never"),
    // Version 2 gives any commit by its SHA on every stock server.
    ("protocol.version", "2"),
    ("http.followRedirects", "false"),
    ("http.userAgent", concat!("docent/", env!("CARGO_PKG_VERSION"))),
    ("http.lowSpeedLimit", "1"),
    ("credential.helper", ""),
    ("transfer.bundleURI", "false"),
    ("transfer.fsckObjects", "true"),
    ("fetch.fsckObjects", "true"),
    // Always keep the pack, whose growth is watched, instead of writing single objects.
    ("fetch.unpackLimit", "1"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("submodule.recurse", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("pack.threads", "1"),
    ("core.hooksPath", "/dev/null"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.symlinks", "false"),
    ("core.autocrlf", "false"),
    ("core.eol", "lf"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    // Larger files are streamed instead of held in memory.
    ("core.bigFileThreshold", "8m"),
    ("core.logAllRefUpdates", "false"),
    ("init.defaultBranch", "main"),
    ("advice.detachedHead", "false"),
];

/// Flaws of old histories that say nothing about the files: odd names, dates and modes that git itself once
/// wrote. Everything else that git checks stays an error, above all names of files that mean `.git` or lead
/// out of the tree.
const HARMLESS: [&str; 16] = [
    "badDate",
    "badDateOverflow",
    "badEmail",
    "badFilemode",
    "badName",
    "badTimezone",
    "gitmodulesParse",
    "missingAuthor",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "multipleAuthors",
    "nulInCommit",
    "zeroPaddedDate",
    "zeroPaddedFilemode",
];

const MIB: u64 = 1 << 20;

/// How often a growing directory is measured.
const MEASURE: Duration = Duration::from_millis(50);

/// Bytes of git's own words that are kept, from their end.
const WORDS: usize = 8 * 1024;

/// Everything a call of git is made of but its arguments.
pub(super) struct Environment {
    program: PathBuf,
    variables: Vec<(OsString, OsString)>,
    configuration: Vec<(String, SecretString)>,
    /// What must not appear in any text.
    secrets: Vec<SecretString>,
    timeout: Duration,
}

impl Environment {
    pub fn new(program: &Path, scratch: &Scratch) -> Self {
        let kept = KEPT.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
        let mut variables: Vec<_> = kept.collect();
        variables.extend(VARIABLES.iter().map(|(name, value)| (name.into(), value.into())));
        for name in ["HOME", "XDG_CONFIG_HOME"] {
            variables.push((name.into(), scratch.path().join("home").into()));
        }
        let mut environment = Self {
            program: program.to_owned(),
            variables,
            configuration: Vec::new(),
            secrets: Vec::new(),
            timeout: Duration::from_secs(30),
        };
        for (name, value) in CONFIGURATION {
            environment.configure(name, value);
        }
        for name in HARMLESS {
            environment.configure(&format!("fetch.fsck.{name}"), "ignore");
        }
        environment
    }

    /// A single allocation is limited too: the sizes in a pack are the sender's claims, and git believes
    /// them.
    pub fn limit(&mut self, limits: &FetchLimits) {
        self.timeout = limits.timeout;
        let memory = limits.max_bytes.clamp(64 * MIB, 512 * MIB);
        self.variables.push(("GIT_ALLOC_LIMIT".into(), memory.to_string().into()));
        self.configure("http.lowSpeedTime", &limits.timeout.as_secs().max(1).to_string());
    }

    pub fn allow(&mut self, url: &Url) {
        self.configure(&format!("protocol.{}.allow", url.scheme()), "always");
    }

    pub fn authenticate(&mut self, url: &Url, credential: &BasicCredential) {
        let encoded = credential.encoded();
        let origin = url.origin().ascii_serialization();
        self.configure(&format!("http.{origin}/.extraHeader"), &format!("Authorization: Basic {encoded}"));
        let token = credential.token.expose_secret();
        let in_url: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
        for secret in [encoded, token.to_owned(), in_url] {
            if !secret.is_empty() {
                self.secrets.push(secret.into());
            }
        }
    }

    pub fn configure(&mut self, name: &str, value: &str) {
        self.configuration.push((name.to_owned(), value.to_owned().into()));
    }

    /// What git prints, for calls that print little.
    pub async fn output<A: AsRef<OsStr>>(
        &self,
        cwd: &Path,
        args: &[A],
        deadline: Instant,
    ) -> Result<String, GitError> {
        let mut output = Vec::new();
        self.run(cwd, args, deadline, None, |bytes| {
            if output.len() < WORDS {
                output.extend_from_slice(bytes);
            }
            Ok(())
        })
        .await?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Runs to the end, or until `read` refuses what git prints, or until `watched` (a directory and its size
    /// in bytes) has grown too large, or until the deadline. In each of these cases all processes are killed.
    pub async fn run<A: AsRef<OsStr>>(
        &self,
        cwd: &Path,
        args: &[A],
        deadline: Instant,
        watched: Option<(&Path, u64)>,
        read: impl FnMut(&[u8]) -> Result<(), GitError>,
    ) -> Result<(), GitError> {
        let mut group = self.spawn(cwd, args)?;
        let (Some(stdout), Some(stderr)) = (group.child.stdout.take(), group.child.stderr.take()) else {
            return Err(GitError::Other { detail: "git was started without pipes".to_owned() });
        };
        let mut words = Vec::new();
        let work = async {
            let (read, _) =
                tokio::join!(pump(stdout, read), pump(stderr, |bytes| keep_end(&mut words, bytes)));
            read?;
            group.child.wait().await.map_err(GitError::disk("git was lost"))
        };
        let result = tokio::select! {
            status = work => status,
            error = watch(watched) => Err(error),
            () = tokio::time::sleep_until(deadline) => Err(GitError::TimedOut { after: self.timeout }),
        };
        match result {
            Ok(status) if status.success() => {
                group.id = None;
                // What arrives within one beat of the watch counts too.
                outgrown(watched).await.map_or(Ok(()), Err)
            }
            Ok(status) => Err(self.understand(&words, status)),
            Err(error) => {
                group.end().await;
                Err(error)
            }
        }
    }

    fn spawn<A: AsRef<OsStr>>(&self, cwd: &Path, args: &[A]) -> Result<Group, GitError> {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .current_dir(cwd)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("GIT_CONFIG_COUNT", self.configuration.len().to_string());
        for (at, (name, value)) in self.configuration.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{at}"), name);
            command.env(format!("GIT_CONFIG_VALUE_{at}"), value.expose_secret());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child =
            command.process_group(0).kill_on_drop(true).spawn().map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound if cwd.is_dir() => {
                    GitError::Missing { program: self.program.clone() }
                }
                _ => {
                    GitError::Disk { what: format!("{} could not be started", self.program.display()), error }
                }
            })?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Group { child, id })
    }

    fn understand(&self, words: &[u8], status: std::process::ExitStatus) -> GitError {
        let words = self.scrub(String::from_utf8_lossy(words).into_owned());
        let tail = String::from_utf8_lossy(&words.as_bytes()[words.len().saturating_sub(600)..]);
        let tail = if tail.trim().is_empty() { status.to_string() } else { tail.into_owned() };
        // Once more, because a server could have hidden a secret between terminal codes.
        let detail = self.scrub(neutral::plain(&tail, 600));
        GitError::from_words(&words, detail)
    }

    fn scrub(&self, mut words: String) -> String {
        for secret in &self.secrets {
            words = words.replace(secret.expose_secret(), "***");
        }
        words
    }
}

/// git and the programs that it starts.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    /// Kills all and waits until they are gone, so that none writes into a directory that is being removed.
    async fn end(&mut self) {
        self.kill();
        // A child that cannot be waited for is one that is gone.
        let _ = self.child.wait().await;
        for _ in 0..200 {
            if self.id.is_none_or(|id| killpg(id, None).is_err()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn kill(&self) {
        if let Some(id) = self.id {
            // Fails only if there is no such group any more.
            let _ = killpg(id, Signal::SIGKILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut read: impl FnMut(&[u8]) -> Result<(), GitError>,
) -> Result<(), GitError> {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(count) => read(&buffer[..count])?,
            Err(error) => return Err(GitError::Disk { what: "git's output broke off".to_owned(), error }),
        }
    }
}

fn keep_end(words: &mut Vec<u8>, bytes: &[u8]) -> Result<(), GitError> {
    words.extend_from_slice(bytes);
    let surplus = words.len().saturating_sub(WORDS);
    words.drain(..surplus);
    Ok(())
}

/// Returns when a directory has grown too large; never, if there is none to watch.
async fn watch(watched: Option<(&Path, u64)>) -> GitError {
    if watched.is_none() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(MEASURE).await;
        if let Some(error) = outgrown(watched).await {
            return error;
        }
    }
}

async fn outgrown(watched: Option<(&Path, u64)>) -> Option<GitError> {
    let (directory, limit) = watched?;
    let directory = directory.to_owned();
    let size = tokio::task::spawn_blocking(move || size_of(&directory)).await.unwrap_or(0);
    (size > limit).then(|| GitError::TooLarge { what: format!("more than {limit} bytes were received") })
}

fn size_of(directory: &Path) -> u64 {
    let files = walkdir::WalkDir::new(directory).into_iter().filter_map(Result::ok);
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// A directory that is removed when the fetch is over, however it ends.
pub(super) struct Scratch {
    directory: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl Scratch {
    pub fn new(parent: &Path) -> Result<Self, GitError> {
        let failed = |error| GitError::Disk {
            what: format!("no directory can be made in {}", parent.display()),
            error,
        };
        let parent = std::path::absolute(parent).map_err(failed)?;
        let directory = tempfile::Builder::new().prefix(SCRATCH_PREFIX).tempdir_in(&parent);
        let directory = directory.map_err(failed)?;
        std::fs::create_dir(directory.path().join("home")).map_err(failed)?;
        let path = directory.path().to_owned();
        Ok(Self { directory: Some(directory), path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    /// When the future is dropped, killed processes may still be writing their last.
    fn drop(&mut self) {
        let _ = self.directory.take().map(tempfile::TempDir::close);
        for _ in 0..50 {
            if std::fs::symlink_metadata(&self.path).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
            let _ = std::fs::remove_dir_all(&self.path);
        }
        tracing::warn!(path = %self.path.display(), "a directory of a fetch could not be removed");
    }
}
