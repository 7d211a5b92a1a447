//! Which limits bind here: tried in a sandbox, where an image of docent's (or this machine's own root) allows it.

use crate::executor::gate::{bundle::Bundle, inside};
use crate::executor::trial::{self, bound, unbound};
use crate::executor::{Binding, ExecutorError, Probe, io_error};

use super::Sandbox;
use super::cgroup::Groups;

/// Tries the limits out.
pub async fn probe(executor: &Sandbox) -> Result<Probe, ExecutorError> {
    let mut limits = trial::own(
        "watched from outside every second, beside a limit on each file; what is written between two looks is not held \
         back",
    );
    let images = &executor.settings.images;
    let image = images.iter().find(|image| executor.image_exists(image)).cloned();
    match image.or_else(|| executor.settings.host_root.then(String::new)) {
        Some(image) => {
            limits.extend(trial::try_out(executor, &image).await?);
            let index = index(executor, &image).await;
            let index = index.unwrap_or_else(|error| unbound(format!("could not be tried: {error}")));
            limits.insert("network-index".to_owned(), index);
        }
        None => {
            limits.extend(trial::untried());
            limits.insert("network-index".to_owned(), unbound("not tried: no image is here yet".to_owned()));
        }
    }
    if let Groups::Nowhere { why } = &executor.groups {
        let only = "bound for each process alone, not for all together";
        for name in ["memory", "processes", "cpus"] {
            limits.insert(name.to_owned(), unbound(format!("{only}: no control group can be made: {why}")));
        }
    }
    limits.insert(
        "user-namespaces".to_owned(),
        if executor.can_disable_namespaces {
            bound("bubblewrap forbids more of them inside")
        } else {
            unbound("this bubblewrap cannot forbid them inside: 0.8 or later can".to_owned())
        },
    );
    limits.insert(
        "system-calls".to_owned(),
        unbound("bubblewrap filters none; an engine's default profile does".to_owned()),
    );
    Ok(Probe { engine: format!("bwrap {}", executor.version), limits })
}

async fn index(executor: &Sandbox, image: &str) -> Result<Binding, ExecutorError> {
    let bundle = Bundle::of(&executor.settings.gate.program)
        .map_err(|error| io_error("reading docent's own program", error))?;
    let policy = executor.settings.gate.policy(&executor.settings.access);
    let policy = policy.map_err(|error| io_error("listing the addresses of this machine", error))?;
    trial::try_index(executor, image, inside::program(bundle.is_dynamic()), &policy).await
}
