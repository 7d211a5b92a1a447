//! Looking for the executor, and trying out what binds, while docent is watching already.
//!
//! An engine that is down for a moment must not change where untrusted code runs: once a docent has run with one, `auto`
//! waits for it instead of falling back to the sandbox.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use super::assemble;
use crate::clock::Clock;
use crate::config::{Config, ExecutorKind};
use crate::core::recipe::Recipe;
use crate::core::time::{Time, for_people};
use crate::executor::any::AnyExecutor;
use crate::executor::awaited::{Awaited, Word};
use crate::executor::{Executor, ExecutorError, TRIAL};
use crate::recipes::Shelf;
use crate::store::{Store, StoreError};
use crate::web::About;

/// The setting that says what the last executor was.
const LAST: &str = "executor";
const CONTAINER: &str = "container";
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a trial under way may take to be put away when docent ends: a busy engine lets go of a container slowly.
const FAREWELL: Duration = Duration::from_secs(30);
/// How long an engine may still be at work on a request that was given up.
const AFTERMATH: Duration = Duration::from_millis(500);

/// What is looked for, and who is told.
pub struct Search {
    kind: ExecutorKind,
    socket: Option<String>,
    index_hosts: Vec<crate::core::index::IndexHost>,
    state_dir: PathBuf,
    instance: String,
    shelf: Shelf,
    /// Recipes that may come to run, whose images should be there.
    wanted: Vec<Recipe>,
    store: Store,
    about: watch::Sender<About>,
    since: Option<Time>,
    pause: Duration,
}

impl Search {
    /// By this configuration.
    pub fn new(
        config: &Config,
        instance: &str,
        shelf: &Shelf,
        store: &Store,
        about: watch::Sender<About>,
    ) -> Self {
        let wanted = shelf.recipes.values().filter(|recipe| is_wanted(config, recipe));
        Self {
            kind: config.executor,
            socket: config.socket.clone(),
            index_hosts: config.index_hosts.clone(),
            state_dir: config.state_dir.clone(),
            instance: instance.to_owned(),
            wanted: wanted.cloned().collect(),
            shelf: shelf.clone(),
            store: store.clone(),
            about,
            since: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Asks once.
    pub async fn once(&self) -> Result<AnyExecutor, ExecutorError> {
        let kind = if self.has_run_with_an_engine().await { ExecutorKind::Container } else { self.kind };
        let socket = self.socket.as_deref();
        assemble::executor(kind, socket, &self.index_hosts, &self.state_dir, &self.instance, &self.shelf)
            .await
    }

    /// Looks until it answers, unless it is given already; tries it out, and gives the word.
    pub async fn run(mut self, given: Option<AnyExecutor>, word: Word<AnyExecutor>) {
        let executor = match given {
            Some(executor) => executor,
            None => self.until_it_answers().await,
        };
        if let Err(error) = self.remember(&executor).await {
            tracing::error!(%error, "which executor this is could not be recorded");
        }
        word.found(executor.clone());
        let probe = loop {
            let name = name(&executor);
            tracing::info!(engine = %name, "limits are being tried");
            self.show(vec![(
                "engine".to_owned(),
                format!("{name}: its limits are being tried, then runs begin"),
            )]);
            // What a trial of an earlier docent has left goes first: it may have the names of this one's.
            let tried = match executor.release(TRIAL).await {
                Ok(()) => executor.probe().await,
                Err(error) => Err(error),
            };
            match tried {
                Ok(probe) => break assemble::probe_lines(&probe),
                Err(error @ ExecutorError::Unreachable(_)) => self.wait_after(&error).await,
                Err(error) => {
                    break vec![("engine".to_owned(), format!("{name} could not be probed: {error}"))];
                }
            }
        };
        for (what, how) in &probe {
            tracing::info!(%what, %how, "executor");
        }
        self.look_for_images(&executor).await;
        self.show(probe);
        word.tried();
        tracing::info!("runs can begin");
    }

    async fn until_it_answers(&mut self) -> AnyExecutor {
        loop {
            match self.once().await {
                Ok(executor) => return executor,
                Err(error) => self.wait_after(&error).await,
            }
        }
    }

    async fn wait_after(&mut self, error: &ExecutorError) {
        let since = for_people(*self.since.get_or_insert_with(|| Clock::system().now()));
        let advice = if self.has_run_with_an_engine().await {
            "docent ran with an engine before, so it waits for it: to run without one, say kind = \"sandbox\" under \
             [executor]"
        } else {
            "it is asked again"
        };
        tracing::warn!(%since, %error, advice, "the engine does not answer: runs wait");
        let text = format!("no engine has answered since {since}, and runs wait: {error}; {advice}");
        self.about.send_modify(|about| {
            about.executor = vec![("engine".to_owned(), format!("has not answered since {since}"))];
            about.trouble = Some(text);
        });
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn show(&mut self, executor: Vec<(String, String)>) {
        self.since = None;
        self.about.send_modify(|about| {
            about.executor = executor;
            about.trouble = None;
        });
    }

    async fn look_for_images(&self, executor: &AnyExecutor) {
        for recipe in &self.wanted {
            if !assemble::has_image(executor, &recipe.image).await.unwrap_or(false) {
                let text = format!(
                    "the image {} is missing: make it with `docent recipe build {}`",
                    recipe.image, recipe.name
                );
                tracing::warn!("{text}");
                self.about.send_modify(|about| about.warnings.push(text));
            }
        }
    }

    async fn has_run_with_an_engine(&self) -> bool {
        if self.kind != ExecutorKind::Auto {
            return false;
        }
        self.store.setting(LAST, String::new).await.is_ok_and(|last| last == CONTAINER)
    }

    async fn remember(&self, executor: &AnyExecutor) -> Result<(), StoreError> {
        let word = match executor {
            AnyExecutor::Container(_) => CONTAINER,
            AnyExecutor::Sandbox(_) => "sandbox",
            AnyExecutor::Scripted(_) => "scripted",
        };
        self.store.set(LAST, word.to_owned()).await
    }
}

/// Puts away what was tried when docent ended. What cannot be, the next start removes.
pub async fn put_away(executor: &Awaited<AnyExecutor>) {
    let Some(executor) = executor.now() else { return };
    let released = tokio::time::timeout(FAREWELL, async {
        executor.release(TRIAL).await?;
        tokio::time::sleep(AFTERMATH).await;
        executor.release(TRIAL).await
    });
    match released.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the trial of limits could not be put away"),
        Err(_) => tracing::warn!("the trial of limits could not be put away in time"),
    }
}

fn name(executor: &AnyExecutor) -> String {
    match executor {
        AnyExecutor::Container(container) => container.engine().name.clone(),
        AnyExecutor::Sandbox(_) => "the sandbox".to_owned(),
        AnyExecutor::Scripted(_) => "nothing".to_owned(),
    }
}

/// Whether a watched repository may come to run this recipe: one names it, or one names none and it may fit.
fn is_wanted(config: &Config, recipe: &Recipe) -> bool {
    config.repositories.iter().any(|repository| match &repository.recipe {
        Some(name) => *name == recipe.name,
        None => !recipe.detect.is_empty(),
    })
}
