//! One request at a time per host, whichever driver and credential it is for: forges count and punish parallel ones.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turns, OwnedMutexGuard};
use url::Url;

static HOSTS: LazyLock<Mutex<HashMap<String, Weak<Turns<()>>>>> = LazyLock::new(Mutex::default);

/// A place in the queue of one host.
#[derive(Clone)]
pub struct Turn(Arc<Turns<()>>);

impl Turn {
    /// The queue of the host of `url`, shared with every other client of it.
    pub fn of(url: &Url) -> Self {
        let mut hosts = HOSTS.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|_, turns| turns.strong_count() > 0);
        let host = url.origin().ascii_serialization();
        if let Some(turns) = hosts.get(&host).and_then(Weak::upgrade) {
            return Self(turns);
        }
        let turns = Arc::default();
        hosts.insert(host, Arc::downgrade(&turns));
        Self(turns)
    }

    /// Waits for this client's turn, which lasts as long as what is given back.
    pub async fn wait(&self) -> OwnedMutexGuard<()> {
        self.0.clone().lock_owned().await
    }
}
