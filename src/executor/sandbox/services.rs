//! A sandbox has a network of its own with nobody else on it, so no service can stand beside an attempt: a recipe that wants one is
//! refused before anything of it runs.

use std::path::Path;

use crate::core::id::RunId;
use crate::executor::{Deployment, ExecutorError, Fallen, Services};

use super::Sandbox;

impl Services for Sandbox {
    async fn deploy(&self, deployment: &Deployment) -> Result<(), ExecutorError> {
        let names: Vec<&str> = deployment.services.iter().map(|service| service.name.as_str()).collect();
        let Some(first) = names.first() else { return Ok(()) };
        let all = if names.len() > 1 { format!(" ({} in all)", names.len()) } else { String::new() };
        Err(ExecutorError::Broken(format!(
            "the recipe {} wants the service {first}{all} beside its tiers, and sandboxes reach no service: use a container \
             engine (`kind = \"container\"` under [executor], or `--executor container`)",
            deployment.recipe
        )))
    }

    async fn fallen(&self, _run: RunId, names: &[String]) -> Result<Vec<Fallen>, ExecutorError> {
        Ok(names.iter().map(|name| Fallen { name: name.clone(), ending: None }).collect())
    }

    async fn service_log(
        &self,
        _run: RunId,
        _name: &str,
        _into: &Path,
        _most: u64,
    ) -> Result<bool, ExecutorError> {
        Ok(false)
    }
}
