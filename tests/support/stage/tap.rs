//! Adapters that count what passes through them, and that can die at any point: for a crash in the process.
//!
//! A crashed daemon must do nothing more. Its adapters then never answer, and its clock, which every transaction reads
//! first, ends the task that asks.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use docent::clock::Clock;
use docent::core::id::{AttemptId, CommentId, PullId, RunId, Sha};
use docent::core::outcome::Ending;
use docent::core::pull::{Actor, Examination, Repository};
use docent::core::recipe::Limits;
use docent::core::time::Time;
use docent::executor::{
    Deployment, Executor, ExecutorError, Fallen, Inventory, Job, Observation, Probe, Services,
};
use docent::forge::{CloneSource, Cursor, Forge, ForgeError, Poll, Proof, Question, Reporter, Status, Watch};

/// Where to die: at which passing of which point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// `transaction`, `before submit`, `after submit`, ….
    pub name: String,
    /// Counted from 1.
    pub count: usize,
}

/// What one life of a daemon passes through. Clones are the same one.
#[derive(Clone)]
pub struct Tap(Arc<Inner>);

struct Inner {
    crash_at: Mutex<Option<Point>>,
    points: Mutex<Vec<String>>,
    has_crashed: AtomicBool,
    /// Something new was polled: transactions are points too until the next poll.
    is_taking_in: AtomicBool,
    polls: AtomicUsize,
}

impl Tap {
    /// Crashes at that point.
    pub fn new(crash_at: Option<Point>) -> Self {
        Self(Arc::new(Inner {
            crash_at: Mutex::new(crash_at),
            points: Mutex::default(),
            has_crashed: AtomicBool::new(false),
            is_taking_in: AtomicBool::new(false),
            polls: AtomicUsize::new(0),
        }))
    }

    /// No crash from now on. Says whether there was one.
    pub fn disarm(&self) -> bool {
        // Under the lock that every point takes, so that none is passed in between.
        let _points = self.0.points.lock().unwrap();
        *self.0.crash_at.lock().unwrap() = None;
        self.has_crashed()
    }

    pub fn has_crashed(&self) -> bool {
        self.0.has_crashed.load(Ordering::SeqCst)
    }

    /// The points passed so far, in order.
    pub fn points(&self) -> Vec<String> {
        self.0.points.lock().unwrap().clone()
    }

    /// Polls that were answered.
    pub fn polls(&self) -> usize {
        self.0.polls.load(Ordering::SeqCst)
    }

    /// A clock that is a point before each transaction of a poll that brought something.
    pub fn clock(&self, read: impl Fn() -> Time + Send + Sync + 'static) -> Clock {
        let tap = self.clone();
        Clock::new(move || {
            if tap.0.is_taking_in.load(Ordering::SeqCst) {
                tap.pass("transaction");
            }
            if tap.has_crashed() {
                // Not `panic!`: nobody needs to read of it.
                std::panic::resume_unwind(Box::new("crashed"));
            }
            read()
        })
    }

    fn pass(&self, name: &str) {
        let mut points = self.0.points.lock().unwrap();
        if self.has_crashed() {
            return;
        }
        points.push(name.to_owned());
        let count = points.iter().filter(|point| *point == name).count();
        let crash_at = self.0.crash_at.lock().unwrap();
        if crash_at.as_ref().is_some_and(|point| point.name == name && point.count == count) {
            self.0.has_crashed.store(true, Ordering::SeqCst);
        }
    }

    async fn point(&self, name: &str) {
        self.pass(name);
        if self.has_crashed() {
            std::future::pending::<()>().await;
        }
    }
}

/// An adapter with a tap on it.
pub struct Tapped<T> {
    pub inner: T,
    pub tap: Tap,
}

impl<T> Tapped<T> {
    async fn around<O>(&self, name: &str, call: impl Future<Output = O>) -> O {
        self.tap.point(&format!("before {name}")).await;
        let answer = call.await;
        self.tap.point(&format!("after {name}")).await;
        answer
    }
}

impl<F: Forge> Forge for Tapped<F> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn repository(&self, name: &str) -> Result<Repository, ForgeError> {
        self.inner.repository(name).await
    }

    async fn poll(&self, watch: Watch<'_>, cursor: &Cursor) -> Result<Poll, ForgeError> {
        self.tap.0.is_taking_in.store(false, Ordering::SeqCst);
        let poll = self.inner.poll(watch, cursor).await;
        if self.tap.has_crashed() {
            std::future::pending::<()>().await;
        }
        let is_news = poll.as_ref().is_ok_and(|poll| !poll.observations.is_empty());
        self.tap.0.is_taking_in.store(is_news, Ordering::SeqCst);
        self.tap.0.polls.fetch_add(1, Ordering::SeqCst);
        poll
    }

    async fn examine(
        &self,
        repository: &Repository,
        comment: &CommentId,
        pull: u64,
        question: &Question,
    ) -> Result<Examination, ForgeError> {
        self.around("examine", self.inner.examine(repository, comment, pull, question)).await
    }

    async fn prove(&self, repositories: &[Repository]) -> Result<Proof, ForgeError> {
        self.inner.prove(repositories).await
    }

    async fn clone_source(
        &self,
        repository: &Repository,
        pull: Option<u64>,
    ) -> Result<(CloneSource, Option<String>), ForgeError> {
        self.around("fetch", self.inner.clone_source(repository, pull)).await
    }
}

impl<R: Reporter> Reporter for Tapped<R> {
    async fn account(&self) -> Result<Actor, ForgeError> {
        self.inner.account().await
    }

    async fn comment(
        &self,
        repository: &Repository,
        pull: &PullId,
        known: Option<u64>,
        marker: &str,
        body: &str,
    ) -> Result<u64, ForgeError> {
        self.around("comment", self.inner.comment(repository, pull, known, marker, body)).await
    }

    async fn status(&self, repository: &Repository, sha: &Sha, status: &Status) -> Result<(), ForgeError> {
        self.around("status", self.inner.status(repository, sha, status)).await
    }

    fn comment_limit(&self) -> usize {
        self.inner.comment_limit()
    }
}

impl<E: Executor> Services for Tapped<E> {
    async fn deploy(&self, deployment: &Deployment) -> Result<(), ExecutorError> {
        self.around("deploy", self.inner.deploy(deployment)).await
    }

    async fn fallen(&self, run: RunId, names: &[String]) -> Result<Vec<Fallen>, ExecutorError> {
        self.around("fallen", self.inner.fallen(run, names)).await
    }

    async fn service_log(
        &self,
        run: RunId,
        name: &str,
        into: &Path,
        most: u64,
    ) -> Result<bool, ExecutorError> {
        self.around("service_log", self.inner.service_log(run, name, into, most)).await
    }
}

impl<E: Executor> Executor for Tapped<E> {
    async fn probe(&self) -> Result<Probe, ExecutorError> {
        self.inner.probe().await
    }

    async fn submit(&self, job: &Job) -> Result<(), ExecutorError> {
        self.around("submit", self.inner.submit(job)).await
    }

    async fn observe(&self, attempt: &AttemptId) -> Result<Observation, ExecutorError> {
        self.around("observe", self.inner.observe(attempt)).await
    }

    async fn wait(&self, attempt: &AttemptId, limits: &Limits, log: &Path) -> Result<Ending, ExecutorError> {
        self.around("wait", self.inner.wait(attempt, limits, log)).await
    }

    async fn cancel(&self, attempt: &AttemptId) -> Result<(), ExecutorError> {
        self.around("cancel", self.inner.cancel(attempt)).await
    }

    async fn collect(&self, attempt: &AttemptId, into: &Path, max_bytes: u64) -> Result<(), ExecutorError> {
        self.around("collect", self.inner.collect(attempt, into, max_bytes)).await
    }

    async fn remove(&self, attempt: &AttemptId) -> Result<(), ExecutorError> {
        self.around("remove", self.inner.remove(attempt)).await
    }

    async fn release(&self, run: RunId) -> Result<(), ExecutorError> {
        self.around("release", self.inner.release(run)).await
    }

    async fn drop_environment(&self, run: RunId) -> Result<(), ExecutorError> {
        self.around("drop_environment", self.inner.drop_environment(run)).await
    }

    async fn environment_bytes(&self, attempt: &AttemptId) -> Result<Option<u64>, ExecutorError> {
        self.inner.environment_bytes(attempt).await
    }

    async fn identify(&self, image: &str) -> Result<Option<String>, ExecutorError> {
        self.inner.identify(image).await
    }

    async fn list(&self) -> Result<Inventory, ExecutorError> {
        self.inner.list().await
    }
}
