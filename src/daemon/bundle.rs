//! The bundle of a run that was not good: what repeats it on a machine without its forge.

use std::path::PathBuf;

use super::Daemon;
use super::dispatch::passing;
use super::locks::GIVEN;
use crate::bundle::{self, LOCK, Part, REFERENCES, REPO};
use crate::core::bundle::{Bundle, Carried, FORMAT, NAME, is_wanted};
use crate::core::curation::Source;
use crate::core::environment;
use crate::core::event::Fault;
use crate::core::run::{Kept, RecipeUse, Run};
use crate::executor::Executor;
use crate::forge::{Forge, Reporter};

/// What a step left beside the lock that a curated spec needs.
const COMPILED: &str = "artifacts/pip_compiler_output.txt";

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// Makes and keeps the bundle, if this run leaves one and has none yet. A run whose bundle cannot be made has its results all the
    /// same.
    pub(super) async fn keep_bundle(&self, run: &Run) -> Result<Option<Kept>, Fault> {
        let Some(recipe) = run.recipe.as_ref().filter(|_| run.bundle.is_none() && is_wanted(run)) else {
            return Ok(None);
        };
        let about = self.about(run, recipe);
        let (lock, parts) = (self.lock_parts(run), self.file_parts(run));
        let (files, most) = (self.0.files.clone(), self.policy().bundle_bytes);
        let into = self.work_dir(run.id).join(NAME);
        let made = tokio::task::spawn_blocking(move || {
            bundle::pack(about, &lock, &parts, most, &into).map_err(|error| error.to_string())?;
            files.keep(&into, NAME).map_err(|error| error.to_string())
        });
        match made.await.map_err(|error| passing(error.to_string()))? {
            Ok(kept) => Ok(Some(kept)),
            Err(why) => {
                tracing::warn!(run = %run.id, %why, "no bundle can be made of this run");
                Ok(None)
            }
        }
    }

    fn about(&self, run: &Run, recipe: &RecipeUse) -> Bundle {
        let request = &run.request;
        let watched = request.repository().and_then(|id| self.repository(id));
        let address = || url::Url::parse(&request.place).ok().filter(url::Url::has_host).map(String::from);
        let before = request.bundle.as_ref().and_then(|unpacked| unpacked.bundle.repository.clone());
        let settings = self.policy().recipes.get(&recipe.name).map(|recipe| recipe.settings.clone());
        let curation = run.plan.as_ref().and_then(|plan| plan.curation.as_ref());
        // A path of this machine says nothing elsewhere.
        let place = if request.place.starts_with('/') { "a local folder" } else { &request.place };
        Bundle {
            format: FORMAT.to_owned(),
            place: place.to_owned(),
            repository: watched.map(|repository| repository.clone_url).or(before).or_else(address),
            sha: request.sha.clone(),
            options: request.options.clone(),
            only: request.only.clone(),
            recipe: recipe.clone(),
            settings: settings.unwrap_or_default(),
            repositories: curation.map(|curation| curation.repositories.clone()).unwrap_or_default(),
            files: Carried::Whole { left_out: Vec::new() },
        }
    }

    /// What was resolved, where something was.
    fn lock_parts(&self, run: &Run) -> Vec<Part> {
        let Some(lock) = environment::lock(run) else { return Vec::new() };
        let artifacts =
            run.tiers.iter().filter_map(|tier| tier.attempts.last()).flat_map(|last| &last.artifacts);
        let compiled = artifacts.rev().find(|kept| kept.name == COMPILED);
        let part = |kept: &Kept, name: &str| {
            let from = self.0.files.path(&kept.digest)?;
            Some(Part { from, name: format!("{LOCK}/{name}") })
        };
        let given = [Some(lock), compiled].into_iter().zip(GIVEN);
        given.filter_map(|(kept, name)| part(kept?, name)).collect()
    }

    /// The commit, and what else its spec has fetched: the commit itself is not put in twice.
    fn file_parts(&self, run: &Run) -> Vec<Part> {
        let whole = Part { from: self.checkout_dir(run), name: REPO.to_owned() };
        let is_own = |source: &&Source| source.reference.is_none() && source.sha == run.request.sha;
        let curation = run.plan.as_ref().and_then(|plan| plan.curation.as_ref());
        let others = curation.iter().flat_map(|curation| &curation.repositories);
        let others = others.filter(|source| !is_own(source)).map(|source| {
            let from: PathBuf = self.curation_dir(run).join(REFERENCES).join(&source.folder);
            Part { from, name: format!("{REFERENCES}/{}", source.folder) }
        });
        std::iter::once(whole).chain(others).collect()
    }
}
