//! The services of a run: brought up before its tiers, looked at around each attempt, their logs kept before they go.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::Daemon;
use super::dispatch::{ours, passing};
use crate::core::event::{Event, Fault};
use crate::core::id::RunId;
use crate::core::outcome::Ending;
use crate::core::run::Run;
use crate::core::service::{Fallen, Service};
use crate::executor::{Deployment, Executor};
use crate::forge::{Forge, Reporter};

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// Brings up the services of a run, or takes up what is there.
    pub(super) async fn deploy(&self, id: RunId, token: &CancellationToken) -> Result<Event, Fault> {
        let Some(run) = self.0.store.run(id).await?.filter(Run::is_deploying) else {
            return Ok(Event::Settled { run: id });
        };
        let stopped = || ours("stopped on request");
        if run.cancel.is_some() {
            return Err(stopped());
        }
        tokio::select! {
            () = self.0.executor.ready() => {}
            () = token.cancelled() => return Err(stopped()),
        }
        let services: Vec<Service> = run.services.into_iter().map(|it| it.service).collect();
        let (extra, default): (Vec<Service>, Vec<Service>) =
            services.iter().cloned().partition(|service| service.is_opt_in);
        let recipe = run.recipe.map(|recipe| recipe.name).unwrap_or_default();
        let deployment = |services| Deployment { run: id, recipe: recipe.clone(), services };
        let fallen = match self.bring_up(&deployment(services), token).await {
            // It left nothing behind. Without those of the opt-in tiers, the default ones are as good as ever.
            Err(fault) if !extra.is_empty() && !fault.is_passing && !token.is_cancelled() => {
                if !default.is_empty() {
                    self.bring_up(&deployment(default), token).await?;
                }
                let ending = Some(Ending::NotStarted { why: fault.text });
                extra.into_iter().map(|it| Fallen { name: it.name, ending: ending.clone() }).collect()
            }
            brought_up => brought_up.map(|()| Vec::new())?,
        };
        Ok(Event::Deployed { run: id, fallen })
    }

    async fn bring_up(&self, deployment: &Deployment, token: &CancellationToken) -> Result<(), Fault> {
        let mut deploying = std::pin::pin!(self.0.executor.deploy(deployment));
        tokio::select! {
            deployed = &mut deploying => Ok(deployed?),
            () = token.cancelled() => {
                // Not dropped: what it is just making would be there after all.
                let (_, released) = tokio::join!(deploying, self.0.executor.release(deployment.run));
                released?;
                Err(ours("stopped on request"))
            }
        }
    }

    /// Services that an attempt of this run needs and that do not run any more.
    pub(super) async fn fallen(&self, run: &Run, is_opt_in: bool) -> Result<Vec<Fallen>, Fault> {
        let needed = run.services.iter().filter(|it| is_opt_in || !it.service.is_opt_in);
        let names: Vec<String> = needed.map(|it| it.service.name.clone()).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.0.executor.fallen(run.id, &names).await?)
    }

    /// Keeps what the services of this run wrote, of those that are there.
    pub(super) async fn keep_service_logs(&self, run: &Run) -> Result<(), Fault> {
        let mut logs = BTreeMap::new();
        let folder = self.work_dir(run.id);
        for service in run.services.iter().map(|it| &it.service) {
            let failed = |error: std::io::Error| passing(format!("the log of {}: {error}", service.name));
            tokio::fs::create_dir_all(&folder).await.map_err(failed)?;
            let (name, most) = (format!("service-{}.log", service.name), service.limits.log_bytes);
            let log = folder.join(&name);
            if self.0.executor.service_log(run.id, &service.name, &log, most).await? {
                let files = self.0.files.clone();
                let kept = tokio::task::spawn_blocking(move || files.keep(&log, &name));
                let kept = kept.await.map_err(|error| passing(error.to_string()))?.map_err(failed)?;
                logs.insert(service.name.clone(), kept);
            }
        }
        if !logs.is_empty() {
            self.step(Event::ServiceLogsKept { run: run.id, logs }, None).await?;
        }
        Ok(())
    }
}
