//! From a run to a workspace and a plan: fetch the commit, look at it, decide what to run. Nothing of it is executed here.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::Daemon;
use super::compare::branch_ref;
use super::dispatch::{ours, passing};
use crate::bundle::REPO;
use crate::core::bundle;
use crate::core::event::{Event, Fault};
use crate::core::id::{Line, RepositoryId, RunId};
use crate::core::notebook;
use crate::core::result::SCHEMA;
use crate::core::reuse::{self, Prints};
use crate::core::run::{Phase, RecipeUse, Run};
use crate::core::select;
use crate::executor::Executor;
use crate::forge::{Forge, Reporter};
use crate::git::{BasicCredential, FetchLimits, FetchSource, GitError};

/// The largest notebook that is read on the host, in bytes.
const MAX_NOTEBOOK: u64 = 100 << 20;

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// Fetches the commit of a run and looks at it.
    pub(super) async fn prepare(&self, id: RunId, token: &CancellationToken) -> Result<Event, Fault> {
        let is_waited_for = |run: &Run| run.phase == Phase::Preparing && !run.is_deploying();
        let Some(run) = self.0.store.run(id).await?.filter(is_waited_for) else {
            return Ok(Event::Settled { run: id });
        };
        if run.cancel.is_some() {
            return Err(ours("stopped on request"));
        }
        tokio::select! {
            fetched = self.fetch(&run) => fetched?,
            () = token.cancelled() => return Err(ours("stopped on request")),
        }
        let checkout = self.checkout_dir(&run);
        let looked = tokio::task::spawn_blocking(move || look(&checkout, select::is_candidate));
        let seen = looked.await.map_err(|error| passing(error.to_string()))??;
        let policy = self.policy();
        let name = match &run.request.recipe {
            Some(name) => name.clone(),
            None => {
                self.0.shelf.detect(&seen.paths).map_err(|error| authors(error.to_string()))?.name.clone()
            }
        };
        let recipe = policy
            .recipes
            .get(&name)
            .ok_or_else(|| ours(format!("the recipe {name} is not there any more")))?;
        let options = &run.request.options;
        let mut plan = match select::spec_of(&seen.paths, recipe, options).map_err(authors)? {
            Some(spec) => self.curate(&run, &spec, token).await?,
            None => {
                let mut plan =
                    select::plan_of_repository(&seen.paths, &seen.notebooks, options, &run.request.only);
                plan.prints = seen.prints;
                plan
            }
        };
        let (deferred, unknown) = tokio::select! {
            told = self.deferred(&run) => told,
            () = token.cancelled() => return Err(ours("stopped on request")),
        };
        plan.deferred = deferred;
        plan.warnings.extend(unknown);
        plan.commit = self.commit_of(&run).await?;
        // Where nobody can tell which image it is, nothing is reused.
        let image_identity = self.0.executor.identify(&recipe.image).await;
        let recipe = RecipeUse {
            name: recipe.name.clone(),
            digest: recipe.digest.clone(),
            image: recipe.image.clone(),
            image_identity: image_identity.unwrap_or_default(),
            settings_digest: bundle::settings_digest(&recipe.settings),
        };
        if let Some(unpacked) = &run.request.bundle {
            plan.warnings.extend(bundle::differences(&unpacked.bundle, &recipe));
        }
        Ok(Event::Prepared { run: id, recipe, plan })
    }

    /// Where the commit of a run is, whole, once it is prepared.
    pub(super) fn checkout_dir(&self, run: &Run) -> PathBuf {
        let name = run.request.sha.as_ref().map_or("tree", |sha| sha.as_str());
        self.work_dir(run.id).join(name)
    }

    async fn fetch(&self, run: &Run) -> Result<(), Fault> {
        let folder = self.work_dir(run.id);
        tokio::fs::create_dir_all(&folder)
            .await
            .map_err(|error| passing(format!("{}: {error}", folder.display())))?;
        let into = self.checkout_dir(run);
        if let Some(unpacked) = run.request.bundle.as_ref().filter(|unpacked| unpacked.has_files()) {
            let from = Path::new(&unpacked.folder).join(REPO);
            let state = self.0.state_dir.clone();
            let copied = tokio::task::spawn_blocking(move || copy(&from, &into, &state, Results::Copied));
            return copied.await.map_err(|error| passing(error.to_string()))?;
        }
        let (repository, sha) = match (run.request.repository(), &run.request.sha) {
            (Some(repository), Some(sha)) => (repository, sha),
            (None, Some(sha)) => {
                let url = url::Url::parse(&run.request.place).map_err(|error| ours(error.to_string()))?;
                let source = FetchSource { url, credential: None, fallback_ref: None };
                self.0.git.fetch(&source, sha.as_str(), &into, &FetchLimits::default()).await?;
                return Ok(());
            }
            (_, None) => {
                let from = PathBuf::from(&run.request.place);
                let state = self.0.state_dir.canonicalize().unwrap_or_else(|_| self.0.state_dir.clone());
                let copied =
                    tokio::task::spawn_blocking(move || copy(&from, &into, &state, Results::LeftOut));
                return copied.await.map_err(|error| passing(error.to_string()))?;
            }
        };
        let source = self.source(run, repository).await?;
        let checkout = self.0.git.fetch(&source, sha.as_str(), &into, &FetchLimits::default()).await?;
        tracing::info!(run = %run.id, files = checkout.files, bytes = checkout.bytes, "fetched");
        Ok(())
    }

    /// Where the commit of a run comes from.
    pub(super) async fn source(&self, run: &Run, repository: &RepositoryId) -> Result<FetchSource, Fault> {
        let (Some(watched), Some(repository)) =
            (self.0.forges.get(&repository.forge), self.repository(repository))
        else {
            return Err(ours("the repository is not watched any more"));
        };
        let pull = run.request.pull.as_ref().map(|pull| pull.number);
        let (source, fallback_ref) = watched.forge.clone_source(&repository, pull).await?;
        let fallback_ref = fallback_ref.or_else(|| branch_ref(&Line::Branch(run.request.branch()?.clone())));
        let credential = source.credential.map(|(username, token)| BasicCredential { username, token });
        Ok(FetchSource { url: source.url, credential, fallback_ref })
    }
}

/// What is in a checkout, seen without following or running anything.
pub(super) struct Seen {
    paths: Vec<String>,
    pub notebooks: BTreeMap<String, Result<notebook::NotebookFacts, notebook::NotebookFault>>,
    pub prints: Prints,
}

pub(super) fn look(checkout: &Path, is_notebook: impl Fn(&str) -> bool) -> Result<Seen, Fault> {
    let unreadable = |error: &dyn std::fmt::Display| passing(format!("the checkout cannot be read: {error}"));
    let mut seen = Seen { paths: Vec::new(), notebooks: BTreeMap::new(), prints: Prints::default() };
    let mut files = Sha256::new();
    for entry in walkdir::WalkDir::new(checkout).sort_by_file_name() {
        let entry = entry.map_err(|error| unreadable(&error))?;
        let relative = entry.path().strip_prefix(checkout).unwrap_or(entry.path());
        let is_wanted = relative.to_str().is_some_and(|path| path.ends_with(".ipynb") && is_notebook(path));
        if !is_wanted && !relative.to_str().is_some_and(reuse::is_prose) {
            print_of(&entry, relative, &mut files).map_err(|error| unreadable(&error))?;
        }
        if !entry.file_type().is_file() {
            continue;
        }
        let Some(path) = relative.to_str().map(str::to_owned) else { continue };
        if is_wanted {
            let size = entry.metadata().map(|meta| meta.len()).unwrap_or(u64::MAX);
            let facts = if size > MAX_NOTEBOOK {
                Err(notebook::NotebookFault::too_large(size, MAX_NOTEBOOK))
            } else {
                notebook::inspect(&std::fs::read(entry.path()).map_err(|error| unreadable(&error))?)
            };
            if let Ok(facts) = &facts {
                seen.prints.notebooks.insert(path.clone(), facts.code_digest.clone());
                if facts.is_curious {
                    seen.prints.curious.insert(path.clone());
                }
            }
            seen.notebooks.insert(path.clone(), facts);
        }
        seen.paths.push(path);
    }
    seen.prints.files = files.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(seen)
}

fn digest_of_file(path: &Path) -> std::io::Result<sha2::digest::Output<Sha256>> {
    let mut file = std::io::BufReader::with_capacity(256 << 10, std::fs::File::open(path)?);
    let mut hasher = Sha256::new();
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(hasher.finalize());
        }
        hasher.update(bytes);
        let count = bytes.len();
        file.consume(count);
    }
}

/// Adds what a test can see of a file, a folder or a link: its name, its kind, whether it can be executed, its content.
fn print_of(entry: &walkdir::DirEntry, relative: &Path, into: &mut Sha256) -> std::io::Result<()> {
    let (kind, content) = if entry.file_type().is_symlink() {
        (b'l', Sha256::digest(std::fs::read_link(entry.path())?.as_os_str().as_encoded_bytes()))
    } else if entry.file_type().is_file() {
        let is_executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
        (if is_executable { b'x' } else { b'f' }, digest_of_file(entry.path())?)
    } else {
        (b'd', Sha256::digest([]))
    };
    let name = relative.as_os_str().as_encoded_bytes();
    into.update((name.len() as u64).to_be_bytes());
    into.update(name);
    into.update([kind]);
    into.update(content);
    Ok(())
}

/// What is done about results of earlier runs in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Results {
    /// They belong to it, like everything of a commit.
    Copied,
    /// A person's runs have left them there.
    LeftOut,
}

/// Copies a local folder as it is, but for `.git` and for docent's own state; links stay links.
pub(super) fn copy(from: &Path, into: &Path, state: &Path, results: Results) -> Result<(), Fault> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| ours(format!("{}: {error}", path.display()));
    if into.exists() {
        return Ok(());
    }
    let partial = into.with_extension("partial");
    let _ = std::fs::remove_dir_all(&partial);
    let is_theirs = |entry: &walkdir::DirEntry| {
        let is_left = results == Results::LeftOut && entry.depth() > 0 && has_results(entry.path());
        let is_own = entry.path() == state || is_left;
        entry.file_name() != ".git" && !is_own
    };
    let walk = walkdir::WalkDir::new(from).into_iter().filter_entry(is_theirs);
    for entry in walk {
        let entry = entry.map_err(|error| failed(from, &error))?;
        let to = partial.join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
        let kind = entry.file_type();
        let done = if kind.is_dir() {
            std::fs::create_dir_all(&to)
        } else if kind.is_symlink() {
            std::fs::read_link(entry.path()).and_then(|target| std::os::unix::fs::symlink(target, &to))
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &to).map(drop)
        } else {
            Ok(())
        };
        done.map_err(|error| failed(entry.path(), &error))?;
    }
    std::fs::rename(&partial, into).map_err(|error| failed(into, &error))
}

/// Whether this is a folder that `docent run` has left its results in: the notebooks there are copies that were executed.
pub fn has_results(folder: &Path) -> bool {
    let mut head = [0; 256];
    let read = std::fs::File::open(folder.join("result.json")).and_then(|mut file| file.read(&mut head));
    let schema = format!("\"schema\": \"{SCHEMA}\"");
    read.is_ok_and(|length| String::from_utf8_lossy(head.get(..length).unwrap_or_default()).contains(&schema))
}

pub(super) fn authors(text: impl Into<String>) -> Fault {
    Fault { is_the_authors: true, ..ours(text) }
}

impl From<GitError> for Fault {
    fn from(error: GitError) -> Self {
        let (text, is_retryable) = (error.to_string(), error.is_retryable());
        match error {
            GitError::TooLarge { .. } | GitError::Unsafe { .. } => authors(text),
            _ if is_retryable => passing(text),
            _ => ours(text),
        }
    }
}
