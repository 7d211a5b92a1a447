//! The one place that reads the clock. Everything else is given the time.

use std::sync::Arc;

use crate::core::time::Time;

/// A clock; clones show the same time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Time + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Arc::new(chrono::Utc::now))
    }

    /// A clock that shows what `read` says, for tests.
    pub fn new(read: impl Fn() -> Time + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The time now.
    pub fn now(&self) -> Time {
        (self.0)()
    }
}
