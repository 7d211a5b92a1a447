//! What executors promise of the services of a run.

use std::future::Future;
use std::path::Path;

use crate::core::id::RunId;
pub use crate::core::service::{Fallen, Service};

use super::ExecutorError;

/// What is brought up for a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// The run.
    pub run: RunId,
    /// Its recipe, for people.
    pub recipe: String,
    /// In the order in which they are brought up.
    pub services: Vec<Service>,
}

/// A place where services stand beside attempts. Every method may be called again after a crash at any point.
pub trait Services: Send + Sync {
    /// Brings the services up, one after the other, each as soon as those before it are healthy. When it returns all of them
    /// are, and the attempts of the run that name them find them at their addresses. What is there already is adopted as it
    /// is. If it fails nothing of them is left.
    ///
    /// A `release` of the run ends it: it fails then, and leaves nothing.
    fn deploy(&self, deployment: &Deployment) -> impl Future<Output = Result<(), ExecutorError>> + Send;

    /// Those of these services that do not run, in the order in which they are named.
    fn fallen(
        &self,
        run: RunId,
        names: &[String],
    ) -> impl Future<Output = Result<Vec<Fallen>, ExecutorError>> + Send;

    /// Writes what the service wrote to `into`, the last `most` bytes of it. False: there is no such service.
    fn service_log(
        &self,
        run: RunId,
        name: &str,
        into: &Path,
        most: u64,
    ) -> impl Future<Output = Result<bool, ExecutorError>> + Send;
}
