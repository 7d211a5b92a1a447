//! Publishing a run's curated spec: the bytes that were kept, under the name that the spec gives itself.
//!
//! The registry is asked first what it has, so doing it again after a death finds the image and sends nothing.

use std::collections::BTreeMap;

use super::Daemon;
use super::dispatch::{ours, passing};
use crate::core::event::{Event, Fault};
use crate::core::id::RunId;
use crate::core::image_name::{NameError, SPEC_PREFIX, Tag};
use crate::core::publishing::Image;
use crate::core::run::Run;
use crate::executor::Executor;
use crate::forge::{Forge, Reporter};
use crate::publish::{PublishError, PublishErrorKind, Registry, build, title};

/// Registries by forge and configured name of the repository whose specs go there, each with its own credential.
pub type Registries = BTreeMap<(String, String), Registry>;

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// Publishes the curated spec of a run, if that is still to be done.
    pub(super) async fn publish(&self, id: RunId) -> Result<Event, Fault> {
        let is_open = |run: &Run| run.publishing.as_ref().is_some_and(|publishing| publishing.is_open());
        let Some(run) = self.0.store.run(id).await?.filter(is_open) else {
            return Ok(Event::Settled { run: id });
        };
        let gone = || ours("its repository publishes nothing any more");
        let place = run.request.repository().ok_or_else(gone)?;
        let policy = self.policy();
        let repository = policy.repository(place).ok_or_else(gone)?;
        let publish = repository.publish.as_ref().ok_or_else(gone)?;
        let key = (place.forge.clone(), repository.name.clone());
        let registry = self.0.registries.get(&key).ok_or_else(gone)?;

        let spec = self.curated_bytes(&run).await?;
        let name = run.plan.as_ref().and_then(|plan| plan.curation.as_ref());
        let name =
            name.map(|curation| format!("{SPEC_PREFIX}{}", curation.artifact_name)).unwrap_or_default();
        let unfit = |error: NameError| ours(error.to_string());
        let (name, aliases) =
            (Tag::new(name.as_str()).map_err(unfit)?, publish.aliases_of(&name).map_err(unfit)?);
        // No annotation says which commit or run it was: the same spec is the same image, whoever publishes it.
        let image = build(&spec, &BTreeMap::from([title()]))?;
        let published = registry.publish(&image, &name).await?;
        for alias in &aliases {
            registry.alias(&image, alias).await?;
        }
        let image = Image {
            reference: format!("{}:{}", publish.to, published.tag),
            digest: published.digest,
            was_there: published.is_known,
            aliases: aliases.iter().map(ToString::to_string).collect(),
        };
        tracing::info!(run = %id, reference = %image.reference, known = image.was_there, "published");
        Ok(Event::Published { run: id, image })
    }

    async fn curated_bytes(&self, run: &Run) -> Result<Vec<u8>, Fault> {
        let curated = run.curated.as_ref().and_then(|kept| self.0.files.path(&kept.digest));
        let file = curated.ok_or_else(|| ours("the run left no curated spec"))?;
        match tokio::fs::read(&file).await {
            Ok(spec) => Ok(spec),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(ours("the curated spec is not kept any more: it is older than `retention`"))
            }
            Err(error) => Err(passing(format!("{}: {error}", file.display()))),
        }
    }
}

impl From<PublishError> for Fault {
    fn from(error: PublishError) -> Self {
        // A number that somebody else took in the same moment is free no more; the next one is.
        let is_passing = error.kind.is_passing() || error.kind == PublishErrorKind::Taken;
        Self { is_passing, is_the_authors: false, retry_after: error.retry_after, text: error.to_string() }
    }
}
