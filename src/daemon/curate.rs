//! From a spec in a commit to a workspace and a plan: judge it, resolve and fetch its repositories, lay them side by side as
//! the spec knows them, and see what it selects. Nothing of it is executed here.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use url::Url;

use super::Daemon;
use super::dispatch::{ours, passing};
use super::prepare::{Results, authors, copy, look};
use super::refdata;
use crate::bundle;
use crate::core::curation::{Curation, Source};
use crate::core::event::Fault;
use crate::core::mistake::{Mistake, Place};
use crate::core::plan::Plan;
use crate::core::run::Run;
use crate::core::select;
use crate::core::spec::policy::SpecPolicy;
use crate::core::spec::repositories::Repository;
use crate::core::spec::select::{Files, Selected, select};
use crate::core::spec::yaml::MAX_BYTES;
use crate::core::spec::{Mode, Spec, refs};
use crate::executor::Executor;
use crate::forge::{Forge, Reporter};
use crate::git::{FetchLimits, FetchSource};

/// The largest requirement file that is looked at on the host, in bytes; what is larger is judged where it is resolved.
const MAX_REQUIREMENTS: u64 = 1 << 20;
/// Folder of the fetched repositories in the workspace, as specs write it.
pub(super) const REFERENCES: &str = "references";
/// The copy of the commit under test among the fetched repositories; all others are named by their commits.
const OWN: &str = "own";

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// The plan of a run that curates the spec at `path`.
    pub(super) async fn curate(
        &self,
        run: &Run,
        path: &str,
        token: &CancellationToken,
    ) -> Result<Plan, Fault> {
        let file = self.checkout_dir(run).join(path);
        let spec = match read(&file, path).await? {
            Ok(spec) => spec,
            Err(mistakes) => return Ok(select::plan_of_mistakes(&mistakes)),
        };
        let (policy, own) = self.address_of(run).await?;
        let refusals = policy.judge(&spec);
        if !refusals.is_empty() {
            return Ok(select::plan_of_mistakes(&refusals));
        }
        let mut sources = Vec::new();
        for repository in &spec.repositories {
            let fetched = tokio::select! {
                fetched = self.bring(run, &spec, repository, own.as_ref()) => fetched?,
                () = token.cancelled() => return Err(ours("stopped on request")),
            };
            match fetched {
                Ok(source) => sources.push(source),
                Err(mistake) => return Ok(select::plan_of_mistakes(&[mistake])),
            }
        }
        let (parts, workspace) = (self.parts_dir(run), self.curation_dir(run));
        let options = run.request.options.clone();
        let (path, only) = (path.to_owned(), run.request.only.clone());
        let planned = tokio::task::spawn_blocking(move || {
            lay_out(&file, &sources, &parts, &workspace)?;
            plan(&path, &spec, sources, &workspace, &policy, &options, &only)
        });
        planned.await.map_err(|error| passing(error.to_string()))?
    }

    /// Where attempts find the repositories of a spec side by side.
    pub(super) fn curation_dir(&self, run: &Run) -> PathBuf {
        self.work_dir(run.id).join("curation")
    }

    /// Where repositories are fetched to, one by one.
    fn parts_dir(&self, run: &Run) -> PathBuf {
        self.work_dir(run.id).join("repositories")
    }

    /// What specs may do here, and the address of the repository under test: it is fetched already, and its forge is known.
    async fn address_of(&self, run: &Run) -> Result<(SpecPolicy, Option<Url>), Fault> {
        let mut policy = self.policy().specs.clone();
        let url = match run.request.repository() {
            Some(id) => {
                let (Some(watched), Some(repository)) = (self.0.forges.get(&id.forge), self.repository(id))
                else {
                    return Err(ours("the repository is not watched any more"));
                };
                Some(watched.forge.clone_source(&repository, None).await?.0.url)
            }
            None => Url::parse(&run.request.place).ok().filter(|url| url.has_host()),
        };
        let bundled = run.request.bundle.iter().flat_map(|unpacked| &unpacked.bundle.repositories);
        let bundled = bundled.filter_map(|source| Url::parse(&source.url).ok());
        for url in url.iter().cloned().chain(bundled) {
            policy.allow(&url);
        }
        Ok((policy, url))
    }

    /// Fetches one repository of a spec. It is read by nobody's right but the public's: what docent may read besides is not
    /// for the author of a spec to show around.
    async fn bring(
        &self,
        run: &Run,
        spec: &Spec,
        repository: &Repository,
        own: Option<&Url>,
    ) -> Result<Result<Source, Mistake>, Fault> {
        let place = || spec.place(repository.url.span);
        let mistake = |text: String| Ok(Err(Mistake::new(place(), text)));
        let folder = self.parts_dir(run).join(&repository.folder);
        let source = |sha, reference| Source {
            name: repository.name.text.clone(),
            url: repository.url.text.clone(),
            sha,
            reference,
            folder: repository.folder.clone(),
        };
        if let Some(given) =
            run.request.bundle.as_ref().and_then(|unpacked| unpacked.source(&repository.name.text))
        {
            return self.bring_given(run, given).await.map(Ok);
        }
        let Ok(url) = Url::parse(&repository.url.text) else {
            return mistake(format!("{:?} is no address", repository.url.text));
        };
        if own.is_some_and(|own| is_same(own, &url)) {
            self.bring_copy(self.checkout_dir(run), folder).await?;
            return Ok(Ok(source(run.request.sha.clone(), None)));
        }
        tokio::fs::create_dir_all(&folder).await.map_err(|error| passing(error.to_string()))?;
        let from = FetchSource { url, credential: None, fallback_ref: None };
        let limits = FetchLimits::default();
        let refs = match self.0.git.refs(&from, &folder, &limits).await {
            Ok(refs) => refs,
            Err(error) if error.is_retryable() => return Err(error.into()),
            Err(error) => return mistake(format!("{} cannot be read: {error}", repository.url.text)),
        };
        let found = match refs::resolve(&refs, &repository.reference.text) {
            Ok(found) => found,
            Err(error) => {
                let text = format!("{}: {error}", repository.url.text);
                return Ok(Err(Mistake::new(spec.place(repository.reference.span), text)));
            }
        };
        match self.0.git.fetch(&from, found.sha.as_str(), &folder.join(found.sha.as_str()), &limits).await {
            Ok(_) => Ok(Ok(source(Some(found.sha), found.name))),
            Err(error) if error.is_retryable() => Err(error.into()),
            Err(error) => mistake(format!("{} at {}: {error}", repository.url.text, found.sha.short())),
        }
    }

    /// Brings a repository as it was in the run that is repeated: what it resolves to was decided there.
    async fn bring_given(&self, run: &Run, given: &Source) -> Result<Source, Fault> {
        let folder = self.parts_dir(run).join(&given.folder);
        let unpacked = run.request.bundle.as_ref().filter(|unpacked| unpacked.has_files());
        let there = unpacked.map(|it| Path::new(&it.folder).join(bundle::REFERENCES).join(&given.folder));
        match (there.filter(|there| there.is_dir()), &given.sha) {
            (Some(there), _) => self.bring_copy(there, folder).await?,
            (None, Some(sha)) if unpacked.is_none() && given.sha != run.request.sha => {
                tokio::fs::create_dir_all(&folder).await.map_err(|error| passing(error.to_string()))?;
                let url = Url::parse(&given.url).map_err(|error| ours(format!("{}: {error}", given.url)))?;
                let from = FetchSource { url, credential: None, fallback_ref: given.reference.clone() };
                let into = folder.join(sha.as_str());
                self.0.git.fetch(&from, sha.as_str(), &into, &FetchLimits::default()).await?;
            }
            // What is not there besides is the repository under test itself.
            (None, _) => self.bring_copy(self.checkout_dir(run), folder).await?,
        }
        Ok(given.clone())
    }

    async fn bring_copy(&self, from: PathBuf, folder: PathBuf) -> Result<(), Fault> {
        let (into, state) = (folder.join(OWN), self.0.state_dir.clone());
        let copied = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&folder).map_err(|error| passing(error.to_string()))?;
            copy(&from, &into, &state, Results::Copied)
        });
        copied.await.map_err(|error| passing(error.to_string()))?
    }
}

/// Addresses of one repository, however they are written.
fn is_same(one: &Url, other: &Url) -> bool {
    let path = |url: &Url| url.path().trim_end_matches('/').trim_end_matches(".git").to_ascii_lowercase();
    one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
        && path(one) == path(other)
}

/// The spec, or all that is wrong with it.
async fn read(file: &Path, path: &str) -> Result<Result<Spec, Vec<Mistake>>, Fault> {
    let whole = |text: String| Ok(Err(vec![Mistake::new(Place::whole(path), text)]));
    let size =
        tokio::fs::symlink_metadata(file).await.map_err(|error| authors(format!("{path}: {error}")))?;
    if !size.is_file() {
        return whole("is no regular file".to_owned());
    }
    if size.len() > MAX_BYTES as u64 {
        return whole(format!("{} bytes are more than the {MAX_BYTES} that a spec may have", size.len()));
    }
    let bytes = tokio::fs::read(file).await.map_err(|error| passing(format!("{path}: {error}")))?;
    let Ok(text) = String::from_utf8(bytes) else {
        return whole("is not UTF-8: save it as UTF-8".to_owned());
    };
    let reading = Spec::read(&text, path, &Mode::default());
    Ok(reading.spec.ok_or(reading.mistakes))
}

/// Puts exactly what was resolved side by side, whole or not at all. What an earlier try has laid out is laid out anew: a
/// branch may have moved since.
fn lay_out(spec: &Path, sources: &[Source], parts: &Path, workspace: &Path) -> Result<(), Fault> {
    let failed = |error: std::io::Error| passing(format!("{}: {error}", workspace.display()));
    let partial = workspace.with_extension("partial");
    let references = partial.join(REFERENCES);
    for old in [workspace, &partial] {
        match std::fs::remove_dir_all(old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    std::fs::create_dir_all(&references).map_err(failed)?;
    for source in sources {
        let folder = parts.join(&source.folder);
        let own = folder.join(OWN);
        let commit = source.sha.as_ref().map(|sha| folder.join(sha.as_str()));
        let from = commit.filter(|_| !own.exists()).unwrap_or(own);
        std::fs::rename(from, references.join(&source.folder)).map_err(failed)?;
    }
    if let Some(name) = spec.file_name() {
        std::fs::copy(spec, partial.join(name)).map_err(failed)?;
    }
    std::fs::rename(&partial, workspace).map_err(failed)
}

fn plan(
    path: &str,
    spec: &Spec,
    sources: Vec<Source>,
    workspace: &Path,
    policy: &SpecPolicy,
    options: &crate::core::command::TestOptions,
    only: &[String],
) -> Result<Plan, Fault> {
    let files: Files = sources
        .iter()
        .map(|source| (source.name.clone(), files_below(&workspace.join(REFERENCES).join(&source.folder))))
        .collect();
    let selected = select(spec, &files);
    let refusals = refused_requirements(&selected, workspace, policy);
    if !refusals.is_empty() {
        return Ok(select::plan_of_mistakes(&refusals));
    }
    let seen = look(workspace, |path| selected.tests.contains_key(path))?;
    let (data, mut remarks) = refdata::wanted(spec, &sources, workspace);
    remarks.extend(refdata::not_downloaded(data.as_ref()));
    let curation = Curation::new(path, spec, &selected, sources);
    let mut plan = select::plan_of_spec(curation, &selected, &seen.notebooks, options, only);
    plan.prints = seen.prints;
    plan.warnings.extend(remarks);
    Ok(plan)
}

/// Regular files, as paths from the folder.
fn files_below(folder: &Path) -> Vec<String> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(Result::ok);
    let files = walk.filter(|entry| entry.file_type().is_file());
    files.filter_map(|entry| Some(entry.path().strip_prefix(folder).ok()?.to_str()?.to_owned())).collect()
}

fn refused_requirements(selected: &Selected, workspace: &Path, policy: &SpecPolicy) -> Vec<Mistake> {
    let mut refusals = Vec::new();
    for path in selected.requirements() {
        let file = workspace.join(path);
        let is_small = std::fs::metadata(&file).is_ok_and(|meta| meta.len() <= MAX_REQUIREMENTS);
        if let Some(bytes) = is_small.then(|| std::fs::read(&file).ok()).flatten() {
            refusals.extend(policy.judge_requirements(&String::from_utf8_lossy(&bytes), path));
        }
    }
    refusals
}
