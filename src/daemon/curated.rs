//! The curated spec of a run: the curator's own text, completed with what the run has found out. It is kept beside the results
//! and never written into a repository.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Daemon;
use super::dispatch::{ours, passing};
use super::refdata;
use crate::core::curated::{self, Out};
use crate::core::curation::{Curation, Findings};
use crate::core::event::Fault;
use crate::core::id::RunId;
use crate::core::run::{Kept, Run};
use crate::core::spec::{Mode, Spec};
use crate::executor::Executor;
use crate::forge::{Forge, Reporter};

/// What it is called among the artifacts, as the original calls it in its images.
pub const NAME: &str = "nbw-wrangler-spec.yaml";
/// What steps leave, of which it is made.
const COMPILED: &str = "artifacts/pip_compiler_output.txt";
const RESOLUTION: &str = "artifacts/resolution.json";
const IMPORTS: &str = "artifacts/nb_to_imports.json";
/// The largest of these that is read, in bytes.
const MAX_ARTIFACT: u64 = 16 << 20;

/// The modules that each notebook names.
type Imports = BTreeMap<String, Vec<String>>;

#[derive(Deserialize)]
struct Resolution {
    files: Vec<ResolvedFile>,
}

#[derive(Deserialize)]
struct ResolvedFile {
    path: String,
    lines: Vec<String>,
}

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// Makes and keeps the curated spec, if this run has proven one and has none yet.
    pub(super) async fn keep_curated(&self, run: &Run) -> Result<Option<Kept>, Fault> {
        let curation = run.plan.as_ref().and_then(|plan| plan.curation.as_ref());
        let Some(curation) = curation.filter(|_| run.curated.is_none() && Curation::is_proven(run)) else {
            return Ok(None);
        };
        let file = self.checkout_dir(run).join(&curation.spec);
        let original = match tokio::fs::read_to_string(&file).await {
            Ok(text) => text,
            Err(error) => return Err(passing(format!("{}: {error}", file.display()))),
        };
        let findings = match self.findings(run).await {
            Ok(findings) => findings,
            Err(why) => {
                tracing::warn!(run = %run.id, %why, "no curated spec can be made of what the steps left");
                return Ok(None);
            }
        };
        let spec = Spec::read(&original, &curation.spec, &Mode::default()).spec;
        let data =
            spec.and_then(|spec| refdata::wanted(&spec, &curation.repositories, &self.curation_dir(run)).0);
        let old = curated::data(&original);
        let data = data.map(|data| data.value(old.as_ref()));
        let out = Out { data, ..curation.out(findings) };
        let text = match curated::curate(&original, &out, curation.date) {
            Ok(curated) => curated.text,
            Err(error) => {
                tracing::warn!(run = %run.id, why = %error, "no curated spec can be made of what the steps left");
                return Ok(None);
            }
        };
        let folder = self.work_dir(run.id).join("curated");
        let files = self.0.files.clone();
        let kept = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join(NAME), text)?;
            files.keep(&folder.join(NAME), NAME)
        });
        let kept = kept.await.map_err(|error| ours(error.to_string()))?;
        kept.map(Some).map_err(|error| passing(format!("the curated spec could not be kept: {error}")))
    }

    async fn findings(&self, run: &Run) -> Result<Findings, String> {
        let resolution: Resolution = self.artifact(run, RESOLUTION).await?;
        let nb_to_imports = self.imports(run).await?;
        let compiled = self.bytes(run, COMPILED).await?;
        Ok(Findings {
            pip_compiler_output: String::from_utf8(compiled)
                .map_err(|_| format!("{COMPILED} is not UTF-8"))?,
            requirements: resolution.files.into_iter().map(|file| (file.path, file.lines)).collect(),
            nb_to_imports,
        })
    }

    /// The imports of each notebook: as this run's step left them, or, where that was not begun because all of its results were
    /// had before, as the steps of those runs did. The same results are of the same code.
    async fn imports(&self, run: &Run) -> Result<Imports, String> {
        let missing = match self.artifact(run, IMPORTS).await {
            Ok(imports) => return Ok(imports),
            Err(why) => why,
        };
        let mut known: BTreeMap<RunId, Imports> = BTreeMap::new();
        let mut imports = Imports::new();
        let reused = run.tiers.iter().filter(|tier| tier.tests.iter().all(|test| test.reused_from.is_some()));
        for (name, source) in
            reused.flat_map(|tier| &tier.tests).filter_map(|test| Some((&test.name, test.reused_from?)))
        {
            if let Entry::Vacant(place) = known.entry(source) {
                let run = self.0.store.run(source).await.map_err(|error| error.to_string())?;
                let run = run.ok_or_else(|| format!("{missing}, and run {source} is not there"))?;
                place.insert(self.artifact(&run, IMPORTS).await?);
            }
            let found = known.get(&source).and_then(|imports| imports.get(name));
            imports.extend(found.map(|found| (name.clone(), found.clone())));
        }
        if imports.is_empty() { Err(missing) } else { Ok(imports) }
    }

    async fn artifact<T: DeserializeOwned>(&self, run: &Run, name: &str) -> Result<T, String> {
        serde_json::from_slice(&self.bytes(run, name).await?).map_err(|error| format!("{name}: {error}"))
    }

    /// The artifact of that name of the tier that left it last.
    async fn bytes(&self, run: &Run, name: &str) -> Result<Vec<u8>, String> {
        let attempts = run.tiers.iter().rev().filter_map(|tier| tier.attempts.last());
        let kept = attempts.flat_map(|attempt| &attempt.artifacts).find(|kept| kept.name == name);
        let kept =
            kept.filter(|kept| kept.size <= MAX_ARTIFACT).ok_or_else(|| format!("no step left {name}"))?;
        let path = self.0.files.path(&kept.digest).ok_or_else(|| format!("{name} has no digest"))?;
        tokio::fs::read(&path).await.map_err(|error| format!("{}: {error}", path.display()))
    }
}
