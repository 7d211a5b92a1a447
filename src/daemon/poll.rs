//! Watching: prove the credential, learn what the repositories are, then poll for ever.
//!
//! A forge is not polled before its watch credential has been judged. Every observation is an event of its own; the cursor moves
//! only after all of them are recorded, so that a death in between shows the same things again.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{Daemon, Watched};
use crate::core::decide::says_nothing;
use crate::core::event::{Event, Heartbeat};
use crate::core::id::RepositoryId;
use crate::core::pull::Repository;
use crate::core::reconcile::{self, Enrolling};
use crate::core::time;
use crate::executor::Executor;
use crate::forge::{Cursor, Forge, Observation, Poll, Proof, Reporter, Watch};
use crate::store::StoreError;

/// The longest wait after polls that failed.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// What is known of a forge before it is polled.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// `[[forge]] name`.
    pub forge: String,
    /// What its watch credential can do.
    pub proof: Proof,
    /// Repositories that could not be looked up, and why.
    pub missing: Vec<String>,
}

/// What was last asked of a forge besides its news.
#[derive(Debug, Clone, Default)]
pub(super) struct Enrolled {
    judged: Option<time::Time>,
    looked: Option<time::Time>,
    missing: Vec<String>,
}

/// Why a forge is not watched.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// The watch credential can write.
    #[error(
        "the watch credential of {forge} can write ({rights}): {evidence}. Give docent a token that can only read, or name \
         each right in `allow_write_credential` of this forge"
    )]
    CanWrite { forge: String, rights: String, evidence: String },
    /// The forge cannot be asked now.
    #[error(transparent)]
    Forge(#[from] crate::forge::ForgeError),
    /// The state cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// Judges the watch credential of a forge and looks its repositories up.
    pub async fn enrol(&self, name: &str) -> Result<Enrolment, NotStarted> {
        let Some(watched) = self.0.forges.get(name) else {
            let proof = Proof::Unproven { why: "there is no such forge".to_owned() };
            return Ok(Enrolment { forge: name.to_owned(), proof, missing: Vec::new() });
        };
        let missing = self.look_up(name, watched).await?;
        let repositories = self.repositories_of(name);
        let proof = watched.forge.prove(&repositories).await?;
        judge(name, &proof, &watched.allowed_rights)?;
        self.0.proofs.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), proof.clone());
        self.enrolled(name, |enrolled| enrolled.judged = Some(self.0.clock.now()));
        Ok(Enrolment { forge: name.to_owned(), proof, missing })
    }

    /// Looks up what is not known yet. Gives what could not be found.
    async fn look_up(&self, name: &str, watched: &Watched<F>) -> Result<Vec<String>, NotStarted> {
        self.enrolled(name, |enrolled| enrolled.looked = Some(self.0.clock.now()));
        let mut missing = Vec::new();
        let mut passing = None;
        for (repository, policy) in &watched.repositories {
            if self.is_fresh(name, repository) {
                continue;
            }
            match watched.forge.repository(repository).await {
                Ok(found) => {
                    if !found.name.eq_ignore_ascii_case(repository) {
                        tracing::warn!(forge = name, configured = %repository, now = %found.name, "renamed: please update the configuration");
                    }
                    self.0.store.keep_repository(repository.clone(), found.clone()).await?;
                    self.adopt(name, repository, found, policy);
                    let mut fresh = self.0.fresh.lock().unwrap_or_else(PoisonError::into_inner);
                    fresh.insert((name.to_owned(), repository.clone()));
                }
                Err(error) => {
                    missing.push(format!("{repository}: {error}"));
                    if error.is_passing() {
                        passing = Some(error);
                    }
                }
            }
        }
        self.enrolled(name, |enrolled| enrolled.missing.clone_from(&missing));
        match passing {
            Some(error) if missing.len() == watched.repositories.len() => Err(error.into()),
            _ => Ok(missing),
        }
    }

    /// Asks what has to be asked before a poll. Repositories that are missing are told at each one.
    async fn enrol_if_due(&self, name: &str, watched: &Watched<F>) -> Result<Vec<String>, NotStarted> {
        let is_judged = self.is_judged(name);
        let is_whole = watched.repositories.keys().all(|repository| self.is_fresh(name, repository));
        let last = self.enrolled(name, |enrolled| enrolled.clone());
        let now = self.0.clock.now();
        let judged = last.judged.filter(|_| is_judged).map(|at| now - at);
        match reconcile::enrolling(judged, last.looked.map(|at| now - at), is_whole) {
            Enrolling::Nothing => return Ok(last.missing),
            Enrolling::LookUp => {
                let missing = self.look_up(name, watched).await?;
                if missing.len() >= last.missing.len() {
                    return Ok(missing);
                }
                // What a credential can do may be another thing for a repository that was not there.
            }
            Enrolling::All => {}
        }
        Ok(self.enrol(name).await?.missing)
    }

    fn is_judged(&self, name: &str) -> bool {
        self.0.proofs.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    fn enrolled<T>(&self, name: &str, f: impl FnOnce(&mut Enrolled) -> T) -> T {
        let mut enrolled = self.0.enrolled.lock().unwrap_or_else(PoisonError::into_inner);
        f(enrolled.entry(name.to_owned()).or_default())
    }

    fn adopt(
        &self,
        forge: &str,
        name: &str,
        found: Repository,
        policy: &crate::core::policy::RepositoryPolicy,
    ) {
        {
            let mut held = self.0.policy.write().unwrap_or_else(PoisonError::into_inner);
            let mut changed = (**held).clone();
            changed.repositories.insert(found.id.clone(), policy.clone());
            *held = Arc::new(changed);
        }
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(forge.to_owned()).or_default().insert(name.to_owned(), found);
    }

    fn is_fresh(&self, forge: &str, name: &str) -> bool {
        let fresh = self.0.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.contains(&(forge.to_owned(), name.to_owned()))
    }

    /// Takes repositories to be what they were before the restart, until the forge has been asked: what is under way goes on
    /// although the forge may be down.
    pub(super) async fn remember_repositories(&self) -> Result<(), StoreError> {
        for (name, repository) in self.0.store.repositories().await? {
            let forge = repository.id.forge.clone();
            let configured = self.0.forges.get(&forge).and_then(|watched| watched.repositories.get(&name));
            if let Some(policy) = configured {
                self.adopt(&forge, &name, repository, policy);
            }
        }
        Ok(())
    }

    fn repositories_of(&self, forge: &str) -> Vec<Repository> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(forge).map(|known| known.values().cloned().collect()).unwrap_or_default()
    }

    /// Watches one forge for ever.
    pub(super) async fn watch(&self, name: &str) {
        let Some(watched) = self.0.forges.get(name) else { return };
        let mut failures = 0_u32;
        loop {
            let (began, began_at) = (Instant::now(), self.0.clock.now());
            let (mut heartbeat, cursor, asked) = self.poll_once(name, watched).await;
            let is_well = cursor.is_some();
            failures = if is_well { 0 } else { failures.saturating_add(1) };
            let pause = self.pause(name, watched.poll_interval, failures, heartbeat.requests, asked).await;
            heartbeat.milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            heartbeat.next_at = time::Duration::from_std(pause).ok().map(|pause| self.0.clock.now() + pause);
            heartbeat.proof = self.proof_in_words(name);
            for text in &heartbeat.failures {
                tracing::warn!(forge = name, %text, "could not be read");
            }
            if let Err(error) = self.0.store.polled(name.to_owned(), cursor, heartbeat, began_at).await {
                tracing::error!(forge = name, %error, "the poll could not be recorded; it will be repeated");
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// One poll. The cursor is none when nothing was read or not all of it was recorded.
    async fn poll_once(
        &self,
        name: &str,
        watched: &Watched<F>,
    ) -> (Heartbeat, Option<Cursor>, Option<Duration>) {
        let mut heartbeat = Heartbeat::default();
        match self.enrol_if_due(name, watched).await {
            Ok(missing) => heartbeat.failures.extend(missing),
            Err(error) => {
                heartbeat.failures.push(error.to_string());
                if matches!(error, NotStarted::CanWrite { .. }) {
                    self.0.proofs.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
                }
                if !self.is_judged(name) {
                    return (heartbeat, None, None);
                }
            }
        }
        match self.read(name, watched).await {
            Ok((poll, before)) => {
                heartbeat.requests = poll.requests;
                heartbeat.observations = poll.observations.len() as u64;
                for (repository, error) in &poll.failures {
                    let place = repository.as_ref().map(|id| self.name_of(id)).unwrap_or_default();
                    heartbeat.failures.push(format!("{place} {error}").trim().to_owned());
                }
                let pause = poll.pause.and_then(|pause| pause.to_std().ok());
                match self.take_in(name, watched, poll, &before).await {
                    Ok(cursor) => (heartbeat, Some(cursor), pause),
                    Err(error) => {
                        heartbeat.failures.push(error.to_string());
                        (heartbeat, None, pause)
                    }
                }
            }
            Err(NotStarted::Forge(error)) => {
                let pause = error.retry_after.map(Duration::from_secs);
                heartbeat.failures.push(error.to_string());
                (heartbeat, None, pause)
            }
            Err(error) => {
                heartbeat.failures.push(error.to_string());
                (heartbeat, None, None)
            }
        }
    }

    /// One poll, and from where it went on.
    async fn read(&self, name: &str, watched: &Watched<F>) -> Result<(Poll, Cursor), NotStarted> {
        let mut cursor: Cursor = self.0.store.cursor(name.to_owned()).await?.unwrap_or_default();
        let repositories = self.repositories_of(name);
        // What is watched again after a pause begins anew: nobody waits for answers to comments of that time.
        cursor.repositories.retain(|number, _| repositories.iter().any(|known| known.id.number == *number));
        let branches = self.watched_branches(&repositories);
        for (number, seen) in &mut cursor.repositories {
            let watched = branches.iter().find(|(of, _)| of == number).map(|(_, names)| names);
            seen.branches.retain(|name, _| watched.is_some_and(|names| names.contains(name)));
        }
        let reconcile = self.slow_lane(&cursor, &repositories);
        let watch = Watch { repositories: &repositories, reconcile: &reconcile, branches: &branches };
        let poll = watched.forge.poll(watch, &cursor).await?;
        Ok((poll, cursor))
    }

    fn watched_branches(&self, repositories: &[Repository]) -> Vec<(u64, Vec<String>)> {
        let policy = self.policy();
        let of = |repository: &Repository| {
            let names = policy.repository(&repository.id)?.branches.clone();
            (!names.is_empty()).then_some((repository.id.number, names))
        };
        repositories.iter().filter_map(of).collect()
    }

    /// The repository whose turn it is to be read whole.
    fn slow_lane(&self, cursor: &Cursor, repositories: &[Repository]) -> Vec<RepositoryId> {
        let due = reconcile::due(&read_before(cursor, repositories), self.0.clock.now());
        repositories.iter().map(|it| &it.id).filter(|id| Some(id.number) == due).cloned().collect()
    }

    async fn take_in(
        &self,
        forge: &str,
        watched: &Watched<F>,
        poll: Poll,
        before: &Cursor,
    ) -> Result<Cursor, StoreError> {
        for (number, name) in &poll.renamed {
            tracing::warn!(number, now = %name, "a repository was renamed: please update the configuration");
            self.rename(forge, watched, *number, name).await?;
        }
        let policy = self.policy();
        for observation in poll.observations {
            let event = match observation {
                Observation::Pull { pull, observed_at } => {
                    let is_first = before.is_first(&pull.id.repository);
                    Event::PullSeen { pull, observed_at, is_first }
                }
                Observation::Branch { branch, head, observed_at } => {
                    Event::BranchSeen { branch, head, observed_at }
                }
                Observation::Comment(comment) if says_nothing(&comment, &policy) => continue,
                Observation::Comment(comment) => Event::CommentSeen { comment },
            };
            self.step(event, None).await?;
        }
        Ok(poll.cursor)
    }

    /// From now on uses the new name: git and requests that write follow no redirect. Where the forge does not answer under it,
    /// the next poll says so again.
    async fn rename(
        &self,
        forge: &str,
        watched: &Watched<F>,
        number: u64,
        name: &str,
    ) -> Result<(), StoreError> {
        let configured = {
            let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
            let mut known = known.get(forge).into_iter().flatten();
            known.find(|(_, repository)| repository.id.number == number).map(|(name, _)| name.clone())
        };
        let (Some(configured), Ok(found)) = (configured, watched.forge.repository(name).await) else {
            return Ok(());
        };
        if found.id.number != number {
            return Ok(());
        }
        self.0.store.keep_repository(configured.clone(), found.clone()).await?;
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(forge.to_owned()).or_default().insert(configured, found);
        Ok(())
    }

    /// Faster where a run is live, slower after failures, and never before the forge's own time.
    async fn pause(
        &self,
        name: &str,
        interval: Duration,
        failures: u32,
        requests: u64,
        asked: Option<Duration>,
    ) -> Duration {
        let runs = self.0.store.open_runs().await.unwrap_or_default();
        let is_live = runs.iter().any(|run| {
            run.phase.is_live() && run.request.repository().is_some_and(|repository| repository.forge == name)
        });
        let usual = if is_live { interval.min(reconcile::lively(requests)) } else { interval };
        let backed_off = usual.saturating_mul(1 << failures.min(6)).min(MAX_PAUSE.max(interval));
        backed_off.max(asked.unwrap_or_default())
    }

    fn name_of(&self, id: &RepositoryId) -> String {
        self.repository(id).map_or_else(|| id.to_string(), |repository| repository.name)
    }

    fn proof_in_words(&self, name: &str) -> String {
        let proofs = self.0.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        match proofs.get(name) {
            Some(Proof::ReadOnly { evidence }) => format!("proven read-only: {evidence}"),
            Some(Proof::CanWrite { rights, .. }) => {
                format!("can write, as the operator has allowed: {}", rights.join(", "))
            }
            Some(Proof::Unproven { why }) => format!("unproven: {why}"),
            None => "not judged yet".to_owned(),
        }
    }
}

/// When each repository was last read whole. One that is not begun yet is read as far as it needs to be when it begins, and one
/// that is behind when its cursor says: neither must take the turn of the others.
fn read_before(cursor: &Cursor, repositories: &[Repository]) -> Vec<(u64, Option<time::Time>)> {
    let seen = |repository: &Repository| {
        let number = repository.id.number;
        let entry = cursor.repositories.get(&number).filter(|entry| !entry.is_behind)?;
        Some((number, entry.reconciled_at))
    };
    repositories.iter().filter_map(seen).collect()
}

/// A credential that can write is refused, unless the operator named each of its rights.
fn judge(forge: &str, proof: &Proof, allowed: &[String]) -> Result<(), NotStarted> {
    let Proof::CanWrite { rights, evidence } = proof else { return Ok(()) };
    if !rights.is_empty() && rights.iter().all(|right| allowed.contains(right)) {
        return Ok(());
    }
    Err(NotStarted::CanWrite {
        forge: forge.to_owned(),
        rights: rights.join(", "),
        evidence: evidence.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::forge::RepositoryCursor;

    #[test]
    fn what_is_behind_does_not_take_the_turn_of_the_others_to_be_read_whole() {
        let repository = |number| Repository {
            id: RepositoryId { forge: "f".into(), number },
            name: format!("a/r{number}"),
            owner: 1,
            node: String::new(),
            default_branch: "main".into(),
            clone_url: String::new(),
            page_url: String::new(),
            is_writable: false,
            is_archived: false,
        };
        let now = time::Time::default() + time::Duration::days(1);
        let entry = |hours: Option<i64>, is_behind| RepositoryCursor {
            read_to: now,
            is_behind,
            reconciled_at: hours.map(|hours| now - time::Duration::hours(hours)),
            branches: BTreeMap::new(),
            unreadable: None,
        };
        let cursor = Cursor {
            feeds: BTreeMap::new(),
            repositories: BTreeMap::from([
                (1, entry(None, true)),
                (2, entry(Some(9), true)),
                (3, entry(Some(2), false)),
            ]),
        };
        let watched: Vec<Repository> = (1..=4).map(repository).collect();
        assert_eq!(reconcile::due(&read_before(&cursor, &watched), now), Some(3));
    }
}
