//! Which limits bind here: tried in a container, where an image of docent's allows it.

use crate::executor::trial::{self, unbound};
use crate::executor::{Binding, ExecutorError, Probe};

use super::{Container, gate};

/// Tries the limits out.
pub async fn probe(executor: &Container) -> Result<Probe, ExecutorError> {
    let mut limits = trial::own(
        "watched from outside every second or few, beside a limit on each file; what is written between two looks is \
         not held back",
    );
    limits.extend(match image(executor).await? {
        Some(image) => trial::try_out(executor, &image).await?,
        None => trial::untried(),
    });
    limits.insert(
        "network-index".to_owned(),
        match index(executor).await {
            Ok(binding) => binding,
            Err(error) => unbound(format!("could not be tried: {error}")),
        },
    );
    Ok(Probe { engine: executor.engine.name.clone(), limits })
}

async fn image(executor: &Container) -> Result<Option<String>, ExecutorError> {
    for image in &executor.settings.images {
        if executor.image_exists(image).await? {
            return Ok(Some(image.clone()));
        }
    }
    Ok(None)
}

/// Tried with docent's own program, which needs no image of a recipe.
async fn index(executor: &Container) -> Result<Binding, ExecutorError> {
    let (image, program) = gate::ensure_image(executor).await?;
    let policy = executor.gate_policy()?;
    trial::try_index(executor, &image, program, &policy).await
}
