//! The loop: polls bring events, events are decided in one transaction each, and what was decided is done from the outbox.
//!
//! Generic over the traits of the floor below, so that nothing here knows a forge or an engine by name.

mod baseline;
mod bundle;
mod compare;
mod curate;
mod curated;
mod deferred;
mod dispatch;
mod execute;
mod locks;
mod poll;
mod prepare;
mod publish;
mod recover;
mod refdata;
mod results;
mod services;
mod step;
mod tell;

pub use curated::NAME as CURATED;
pub use prepare::has_results;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::core::policy::{Policy, RepositoryPolicy};
use crate::core::pull::Repository;
use crate::executor::Executor;
use crate::forge::{Forge, Proof, Reporter};
use crate::git::Git;
use crate::recipes::Shelf;
use crate::store::{Files, Store, StoreError};

use poll::Enrolled;
pub use poll::{Enrolment, NotStarted};
pub use publish::Registries;

/// A forge to watch.
pub struct Watched<F> {
    /// Its watch client.
    pub forge: F,
    /// How often to poll when nothing is going on.
    pub poll_interval: Duration,
    /// Configured repositories by name, with their policies.
    pub repositories: BTreeMap<String, RepositoryPolicy>,
    /// Rights of the watch credential that the operator has named as exceptions.
    pub allowed_rights: Vec<String>,
}

/// What a daemon is made of.
pub struct Parts<F, R, E> {
    /// State.
    pub store: Store,
    /// Logs and artifacts.
    pub files: Files,
    /// Workspaces are made below this.
    pub state_dir: PathBuf,
    /// How long logs and artifacts are kept.
    pub retention: crate::core::time::Duration,
    /// Time.
    pub clock: Clock,
    /// What the operator decided; repositories are added as the forges say what they are.
    pub policy: Policy,
    /// Recipes and their folders.
    pub shelf: Shelf,
    /// Forges by name.
    pub forges: BTreeMap<String, Watched<F>>,
    /// Report clients by name of the forge.
    pub reporters: BTreeMap<String, R>,
    /// Where curated specs go.
    pub registries: Registries,
    /// Where untrusted code runs.
    pub executor: E,
    /// The git program.
    pub git: Git,
}

/// A daemon; clones are the same one.
pub struct Daemon<F, R, E>(Arc<Inner<F, R, E>>);

impl<F, R, E> Clone for Daemon<F, R, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<F, R, E> {
    store: Store,
    files: Files,
    state_dir: PathBuf,
    retention: crate::core::time::Duration,
    clock: Clock,
    policy: RwLock<Arc<Policy>>,
    shelf: Shelf,
    forges: BTreeMap<String, Watched<F>>,
    reporters: BTreeMap<String, R>,
    registries: Registries,
    executor: E,
    git: Git,
    /// What each forge's repositories are, by configured name: as the forge said last, now or before a restart.
    known: Mutex<BTreeMap<String, BTreeMap<String, Repository>>>,
    /// Repositories (forge, configured name) that the forge has described since the start.
    fresh: Mutex<BTreeSet<(String, String)>>,
    /// What each watch credential can do.
    proofs: Mutex<BTreeMap<String, Proof>>,
    /// What was last asked of each forge about its credential and its repositories.
    enrolled: Mutex<BTreeMap<String, Enrolled>>,
    /// Actions being done, with the means to interrupt them.
    flights: Mutex<HashMap<String, CancellationToken>>,
    /// This daemon is over: whatever it was doing is left to the next one.
    halt: CancellationToken,
    /// Something was put into the outbox.
    outbox: Notify,
}

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// A daemon that has not begun.
    pub fn new(parts: Parts<F, R, E>) -> Self {
        Self(Arc::new(Inner {
            store: parts.store,
            files: parts.files,
            state_dir: parts.state_dir,
            retention: parts.retention,
            clock: parts.clock,
            policy: RwLock::new(Arc::new(parts.policy)),
            shelf: parts.shelf,
            forges: parts.forges,
            reporters: parts.reporters,
            registries: parts.registries,
            executor: parts.executor,
            git: parts.git,
            known: Mutex::default(),
            fresh: Mutex::default(),
            proofs: Mutex::default(),
            enrolled: Mutex::default(),
            flights: Mutex::default(),
            halt: CancellationToken::new(),
            outbox: Notify::new(),
        }))
    }

    /// Runs until `stop` is cancelled. What is going on then is taken up again by the next start.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), StoreError> {
        self.recover_state().await?;
        let mut tasks = tokio::task::JoinSet::new();
        let daemon = self.clone();
        tasks.spawn(async move { daemon.clean_up_until_done().await });
        let daemon = self.clone();
        tasks.spawn(async move { daemon.dispatch().await });
        let daemon = self.clone();
        tasks.spawn(async move { daemon.sweep().await });
        for name in self.0.forges.keys() {
            let (daemon, name) = (self.clone(), name.clone());
            tasks.spawn(async move { daemon.watch(&name).await });
        }
        // None of the loops ends by itself, but for the clean-up: one that does has panicked, and docent with it.
        let died = loop {
            tokio::select! {
                () = stop.cancelled() => break false,
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a loop of docent died: please report this");
                        break true;
                    }
                }
            }
        };
        self.0.halt.cancel();
        tasks.shutdown().await;
        if died { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// The store, for what reads it.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// What holds now.
    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.0.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a forge says of a repository.
    fn repository(&self, id: &crate::core::id::RepositoryId) -> Option<Repository> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&id.forge)?.values().find(|repository| repository.id == *id).cloned()
    }

    fn work_dir(&self, run: crate::core::id::RunId) -> PathBuf {
        self.0.state_dir.join("work").join(run.to_string())
    }
}
