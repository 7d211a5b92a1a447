//! An executor that may not be there yet: docent watches and answers while its engine is looked for and tried out.

use std::path::Path;

use tokio::sync::watch;

use crate::core::id::{AttemptId, RunId};

use super::{
    Deployment, Ending, Executor, ExecutorError, Fallen, Inventory, Job, Limits, Observation, Probe, Services,
};

/// How far it is.
#[derive(Debug, Clone)]
enum Stage<E> {
    Absent,
    Found(E),
    Tried(E),
}

/// An executor that is waited for: whatever it is asked waits until it is found. Clones wait for the same one.
#[derive(Debug, Clone)]
pub struct Awaited<E>(watch::Receiver<Stage<E>>);

/// The word that the executor is there.
#[derive(Debug)]
pub struct Word<E>(watch::Sender<Stage<E>>);

/// An executor to wait for, and the word to be given.
pub fn awaited<E>() -> (Word<E>, Awaited<E>) {
    let (sender, receiver) = watch::channel(Stage::Absent);
    (Word(sender), Awaited(receiver))
}

impl<E> Word<E> {
    /// It answers: what runs at it already is taken up.
    pub fn found(&self, executor: E) {
        self.0.send_replace(Stage::Found(executor));
    }

    /// It is known which limits bind: attempts may be started.
    pub fn tried(&self) {
        self.0.send_modify(|stage| {
            if let Stage::Found(executor) = std::mem::replace(stage, Stage::Absent) {
                *stage = Stage::Tried(executor);
            }
        });
    }
}

impl<E: Clone> Awaited<E> {
    /// One that is there, for what does not wait.
    pub fn here(executor: E) -> Self {
        Self(watch::channel(Stage::Tried(executor)).1)
    }

    /// The executor, if it has been found.
    pub fn now(&self) -> Option<E> {
        match &*self.0.borrow() {
            Stage::Absent => None,
            Stage::Found(executor) | Stage::Tried(executor) => Some(executor.clone()),
        }
    }

    async fn found(&self) -> E {
        self.until(|stage| !matches!(stage, Stage::Absent)).await;
        match self.now() {
            Some(executor) => executor,
            // Nothing takes an executor away again.
            None => std::future::pending().await,
        }
    }

    async fn until(&self, is_so: impl FnMut(&Stage<E>) -> bool) {
        let mut stages = self.0.clone();
        // Nobody is left to give the word: docent is ending.
        if stages.wait_for(is_so).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl<E: Executor + Clone + 'static> Services for Awaited<E> {
    async fn deploy(&self, deployment: &Deployment) -> Result<(), ExecutorError> {
        self.found().await.deploy(deployment).await
    }

    async fn fallen(&self, run: RunId, names: &[String]) -> Result<Vec<Fallen>, ExecutorError> {
        self.found().await.fallen(run, names).await
    }

    async fn service_log(
        &self,
        run: RunId,
        name: &str,
        into: &Path,
        most: u64,
    ) -> Result<bool, ExecutorError> {
        self.found().await.service_log(run, name, into, most).await
    }
}

impl<E: Executor + Clone + 'static> Executor for Awaited<E> {
    async fn ready(&self) {
        self.until(|stage| matches!(stage, Stage::Tried(_))).await;
    }

    async fn probe(&self) -> Result<Probe, ExecutorError> {
        self.found().await.probe().await
    }

    async fn submit(&self, job: &Job) -> Result<(), ExecutorError> {
        self.found().await.submit(job).await
    }

    async fn observe(&self, attempt: &AttemptId) -> Result<Observation, ExecutorError> {
        self.found().await.observe(attempt).await
    }

    async fn wait(&self, attempt: &AttemptId, limits: &Limits, log: &Path) -> Result<Ending, ExecutorError> {
        self.found().await.wait(attempt, limits, log).await
    }

    async fn cancel(&self, attempt: &AttemptId) -> Result<(), ExecutorError> {
        self.found().await.cancel(attempt).await
    }

    async fn collect(&self, attempt: &AttemptId, into: &Path, max_bytes: u64) -> Result<(), ExecutorError> {
        self.found().await.collect(attempt, into, max_bytes).await
    }

    async fn remove(&self, attempt: &AttemptId) -> Result<(), ExecutorError> {
        self.found().await.remove(attempt).await
    }

    async fn release(&self, run: RunId) -> Result<(), ExecutorError> {
        self.found().await.release(run).await
    }

    async fn drop_environment(&self, run: RunId) -> Result<(), ExecutorError> {
        self.found().await.drop_environment(run).await
    }

    async fn environment_bytes(&self, attempt: &AttemptId) -> Result<Option<u64>, ExecutorError> {
        self.found().await.environment_bytes(attempt).await
    }

    async fn identify(&self, image: &str) -> Result<Option<String>, ExecutorError> {
        // A commit is looked at while the engine is down; what an engine would say of its images is not waited for.
        match self.now() {
            Some(executor) => executor.identify(image).await,
            None => Ok(None),
        }
    }

    async fn list(&self) -> Result<Inventory, ExecutorError> {
        self.found().await.list().await
    }
}
