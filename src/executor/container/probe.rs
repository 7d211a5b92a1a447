//! Which limits bind here: tried in a container, where an image of docent's allows it.

use crate::executor::trial::{self, unbound};
use crate::executor::{ExecutorError, Probe};

use super::Container;

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
        unbound(
            "a bridge network reaches whatever this machine reaches, its own services and the metadata address of a \
             cloud included: block those with the firewall of the machine (chain DOCKER-USER)"
                .to_owned(),
        ),
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
