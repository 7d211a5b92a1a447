//! The executors that there are, as one type.

use std::path::Path;

use crate::core::id::{AttemptId, RunId};

use super::container::Container;
use super::sandbox::Sandbox;
use super::scripted::Scripted;
use super::{
    Deployment, Ending, Executor, ExecutorError, Fallen, Inventory, Job, Limits, Observation, Probe, Services,
};

/// One of them.
#[derive(Debug, Clone)]
pub enum AnyExecutor {
    /// Docker or Podman.
    Container(Container),
    /// Bubblewrap.
    Sandbox(Sandbox),
    /// Nothing runs; for tests and the demonstration.
    Scripted(Scripted),
}

/// Calls the same method of whichever it is.
macro_rules! of {
    ($any:expr, $one:ident => $call:expr) => {
        match $any {
            AnyExecutor::Container($one) => $call.await,
            AnyExecutor::Sandbox($one) => $call.await,
            AnyExecutor::Scripted($one) => $call.await,
        }
    };
}

impl Services for AnyExecutor {
    async fn deploy(&self, deployment: &Deployment) -> Result<(), ExecutorError> {
        of!(self, it => it.deploy(deployment))
    }

    async fn fallen(&self, run: RunId, names: &[String]) -> Result<Vec<Fallen>, ExecutorError> {
        of!(self, it => it.fallen(run, names))
    }

    async fn service_log(
        &self,
        run: RunId,
        name: &str,
        into: &Path,
        most: u64,
    ) -> Result<bool, ExecutorError> {
        of!(self, it => it.service_log(run, name, into, most))
    }
}

impl Executor for AnyExecutor {
    async fn probe(&self) -> Result<Probe, ExecutorError> {
        of!(self, it => it.probe())
    }

    async fn submit(&self, job: &Job) -> Result<(), ExecutorError> {
        of!(self, it => it.submit(job))
    }

    async fn observe(&self, attempt: &AttemptId) -> Result<Observation, ExecutorError> {
        of!(self, it => it.observe(attempt))
    }

    async fn wait(&self, attempt: &AttemptId, limits: &Limits, log: &Path) -> Result<Ending, ExecutorError> {
        of!(self, it => it.wait(attempt, limits, log))
    }

    async fn cancel(&self, attempt: &AttemptId) -> Result<(), ExecutorError> {
        of!(self, it => it.cancel(attempt))
    }

    async fn collect(&self, attempt: &AttemptId, into: &Path, max_bytes: u64) -> Result<(), ExecutorError> {
        of!(self, it => it.collect(attempt, into, max_bytes))
    }

    async fn remove(&self, attempt: &AttemptId) -> Result<(), ExecutorError> {
        of!(self, it => it.remove(attempt))
    }

    async fn release(&self, run: RunId) -> Result<(), ExecutorError> {
        of!(self, it => it.release(run))
    }

    async fn drop_environment(&self, run: RunId) -> Result<(), ExecutorError> {
        of!(self, it => it.drop_environment(run))
    }

    async fn environment_bytes(&self, attempt: &AttemptId) -> Result<Option<u64>, ExecutorError> {
        of!(self, it => it.environment_bytes(attempt))
    }

    async fn identify(&self, image: &str) -> Result<Option<String>, ExecutorError> {
        of!(self, it => it.identify(image))
    }

    async fn list(&self) -> Result<Inventory, ExecutorError> {
        of!(self, it => it.list())
    }
}
