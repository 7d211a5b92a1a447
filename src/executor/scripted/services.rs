//! Services as a script has them: up at once, held, refused, or fallen when a test says.

use std::path::Path;

use crate::core::id::RunId;
use crate::executor::{Deployment, Ending, ExecutorError, Fallen, Services, io_error};

use super::Scripted;

/// The services of one run.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    deployment: Deployment,
    fallen: Vec<Fallen>,
}

impl Scripted {
    /// The next deploy fails with this; several queue up.
    pub fn refuse_deploy(&self, error: ExecutorError) {
        self.state().deploy_refusals.push(error);
    }

    /// Services do not become healthy from now on, or they do.
    pub fn hold_deploys(&self, is_held: bool) {
        self.state().are_deploys_held = is_held;
        self.changed();
    }

    /// A service ends like this.
    pub fn fall(&self, run: RunId, name: &str, ending: Ending) {
        if let Some(standing) = self.state().standing.get_mut(&run) {
            standing.fallen.push(Fallen { name: name.to_owned(), ending: Some(ending) });
        }
        self.changed();
    }

    /// Everything that was brought up, in order; adoptions are not.
    pub fn deployments(&self) -> Vec<Deployment> {
        self.state().deployments.clone()
    }
}

impl Services for Scripted {
    async fn deploy(&self, deployment: &Deployment) -> Result<(), ExecutorError> {
        let run = deployment.run;
        let mut changes = self.changes.subscribe();
        {
            let mut state = self.up()?;
            if !state.deploy_refusals.is_empty() {
                return Err(state.deploy_refusals.remove(0));
            }
            let is_there = state.standing.contains_key(&run);
            if !is_there {
                let standing = Standing { deployment: deployment.clone(), fallen: Vec::new() };
                state.standing.insert(run, standing);
                state.deployments.push(deployment.clone());
            }
        }
        self.changed();
        loop {
            {
                let state = self.up()?;
                if !state.standing.contains_key(&run) {
                    return Err(ExecutorError::Broken(format!("run {run} was released meanwhile")));
                }
                if !state.are_deploys_held {
                    return Ok(());
                }
            }
            let gone = |_| ExecutorError::Broken("nobody changes anything any more".to_owned());
            changes.changed().await.map_err(gone)?;
        }
    }

    async fn fallen(&self, run: RunId, names: &[String]) -> Result<Vec<Fallen>, ExecutorError> {
        let state = self.up()?;
        let standing = state.standing.get(&run);
        let fallen = names.iter().filter_map(|name| match standing {
            None => Some(Fallen { name: name.clone(), ending: None }),
            Some(standing) => standing.fallen.iter().find(|fallen| fallen.name == *name).cloned(),
        });
        Ok(fallen.collect())
    }

    async fn service_log(
        &self,
        run: RunId,
        name: &str,
        into: &Path,
        _most: u64,
    ) -> Result<bool, ExecutorError> {
        let is_there = {
            let state = self.up()?;
            let standing = state.standing.get(&run);
            standing.is_some_and(|it| it.deployment.services.iter().any(|service| service.name == name))
        };
        if is_there {
            let written = tokio::fs::write(into, format!("{name} listens\n")).await;
            written.map_err(|error| io_error(format!("writing {}", into.display()), error))?;
        }
        Ok(is_there)
    }
}
