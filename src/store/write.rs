//! One event, one transaction: load what it concerns, decide, record.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, Transaction, params};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::outbox::{self, Done};
use super::reuse::{keep_results, save_environment};
use super::rows::{Number, Trouble, document, documents, from_json, millis, to_json};
use super::{Store, StoreError};
use crate::core::decide::Decision;
use crate::core::environment::KeptEnvironment;
use crate::core::event::{Ask, Concern, Event};
use crate::core::id::{BranchId, CommentId, PullId, RepositoryId, RunId};
use crate::core::ledger::Entry;
use crate::core::run::{Run, Trigger};
use crate::core::time::Time;
use crate::core::world::{Change, World};

/// Ended runs of a pull request that are at hand for a decision.
const REMEMBERED_RUNS: u32 = 5;
/// The latest runs of a repository among which those with extra tests are counted.
const COUNTED_RUNS: u32 = 500;

/// A decision that has been recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// What was decided.
    pub decision: Decision,
}

impl Store {
    /// Loads what `event` concerns, lets `decide` decide, and records all of it: state, journal, outbox. `done` is the action
    /// that the event closes.
    pub async fn step(
        &self,
        event: Event,
        done: Option<Done>,
        now: Time,
        decide: impl FnOnce(&World, &Event) -> Decision + Send + 'static,
    ) -> Result<Recorded, StoreError> {
        self.write(move |transaction| {
            let mut world = load(transaction, &event.concern())?;
            let decision = decide(&world, &event);
            record(transaction, &mut world, &event, &decision, now)?;
            // After it: an action that is asked for again keeps its place among the others.
            if let Some(done) = &done {
                outbox::close(transaction, done)?;
            }
            Ok(Recorded { decision })
        })
        .await
    }

    /// Records how a poll went and, if it brought something, where to go on.
    pub async fn polled(
        &self,
        forge: String,
        cursor: Option<impl Serialize + Send + 'static>,
        last: impl Serialize + Send + 'static,
        began_at: Time,
    ) -> Result<(), StoreError> {
        self.write(move |transaction| {
            let cursor = cursor.as_ref().map(to_json).transpose()?;
            transaction
                .prepare_cached(
                    "INSERT INTO poll (forge, cursor, last, began_at) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (forge) DO UPDATE SET cursor = coalesce(excluded.cursor, poll.cursor),
                        last = excluded.last, began_at = excluded.began_at",
                )?
                .execute(params![forge, cursor, to_json(&last)?, millis(began_at)])?;
            Ok(())
        })
        .await
    }

    /// Remembers what the forge says of a configured repository.
    pub async fn keep_repository(
        &self,
        name: String,
        repository: crate::core::pull::Repository,
    ) -> Result<(), StoreError> {
        self.write(move |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO repository (forge, name, document) VALUES (?1, ?2, ?3)
                     ON CONFLICT (forge, name) DO UPDATE SET document = excluded.document",
                )?
                .execute(params![repository.id.forge, name, to_json(&repository)?])?;
            Ok(())
        })
        .await
    }

    /// The value of a setting, made by `make` when there is none yet.
    pub async fn setting(
        &self,
        name: &'static str,
        make: impl FnOnce() -> String + Send + 'static,
    ) -> Result<String, StoreError> {
        self.write(move |transaction| {
            let found: Option<String> = transaction
                .query_row("SELECT value FROM setting WHERE name = ?1", [name], |row| row.get(0))
                .optional()?;
            if let Some(value) = found {
                return Ok(value);
            }
            let value = make();
            transaction.execute("INSERT INTO setting (name, value) VALUES (?1, ?2)", params![name, value])?;
            Ok(value)
        })
        .await
    }

    /// Gives a setting this value.
    pub async fn set(&self, name: &'static str, value: String) -> Result<(), StoreError> {
        self.write(move |transaction| {
            let sql = "INSERT INTO setting (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
            transaction.execute(sql, params![name, value])?;
            Ok(())
        })
        .await
    }

    /// Puts what a person asks for where a running docent finds it.
    pub async fn ask(&self, ask: Ask, now: Time) -> Result<i64, StoreError> {
        self.write(move |transaction| {
            transaction.execute(
                "INSERT INTO inbox (at, ask) VALUES (?1, ?2)",
                params![millis(now), to_json(&ask)?],
            )?;
            Ok(transaction.last_insert_rowid())
        })
        .await
    }

    /// Takes the oldest thing asked for at the command line and decides on it, in one transaction. None: nothing was asked.
    pub async fn step_inbox(
        &self,
        now: Time,
        decide: impl FnOnce(&World, &Event) -> Decision + Send + 'static,
    ) -> Result<Option<Recorded>, StoreError> {
        self.write(move |transaction| {
            let oldest: Option<(i64, String)> = transaction
                .query_row("SELECT id, ask FROM inbox ORDER BY id LIMIT 1", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let Some((id, text)) = oldest else { return Ok(None) };
            transaction.execute("DELETE FROM inbox WHERE id = ?1", [id])?;
            // What another version of docent left and this one cannot read is dropped, not kept in everybody's way.
            let Ok(ask) = from_json("a question in the inbox", &text) else {
                return Ok(Some(Recorded { decision: Decision::default() }));
            };
            let event = Event::OperatorAsked { ask };
            let mut world = load(transaction, &event.concern())?;
            let decision = decide(&world, &event);
            record(transaction, &mut world, &event, &decision, now)?;
            Ok(Some(Recorded { decision }))
        })
        .await
    }
}

/// All runs that have not ended with their pull requests and the comments that they stand for, and what `concern` names.
fn load(transaction: &Transaction<'_>, concern: &Concern) -> Result<World, Trouble> {
    let mut world = World::default();
    let last: i64 = transaction.query_row("SELECT coalesce(max(id), 0) FROM run", [], |row| row.get(0))?;
    world.next_run = last + 1;

    let environments: Vec<KeptEnvironment> =
        documents(transaction, "an environment", "SELECT document FROM environment", [])?;
    world.environments = environments.into_iter().map(|kept| (kept.run, kept)).collect();
    let mut runs: Vec<Run> =
        documents(transaction, "a run", "SELECT document FROM run WHERE is_ended = 0", [])?;
    if let Some(run) = concern.run {
        runs.extend(document(transaction, "a run", "SELECT document FROM run WHERE id = ?1", [run.0])?);
    }
    let pulls_of_runs = runs.iter().filter_map(|run| run.request.pull.clone());
    let pulls: BTreeSet<PullId> = pulls_of_runs.chain(concern.pull.clone()).collect();
    if let Some(pull) = &concern.pull {
        let sql =
            "SELECT document FROM run WHERE forge = ?1 AND repository = ?2 AND pull = ?3 AND is_ended = 1
                     AND json_extract(document, '$.phase') NOT IN ('EXPIRED', 'REJECTED')
                   ORDER BY id DESC LIMIT ?4";
        let key = params![
            pull.repository.forge,
            Number(pull.repository.number),
            Number(pull.number),
            REMEMBERED_RUNS
        ];
        runs.extend(documents::<Run>(transaction, "a run", sql, key)?);
    }
    let comments: BTreeSet<CommentId> =
        runs.iter().filter_map(comment_of).chain(concern.comment.clone()).collect();
    world.runs = runs.into_iter().map(|run| (run.id, run)).collect();

    for id in pulls {
        let sql = "SELECT document FROM pull WHERE forge = ?1 AND repository = ?2 AND number = ?3";
        let key = params![id.repository.forge, Number(id.repository.number), Number(id.number)];
        if let Some(pull) = document(transaction, "a pull request", sql, key)? {
            world.pulls.insert(id, pull);
        }
    }
    if let Some(id) = &concern.branch {
        let sql = "SELECT document FROM branch WHERE forge = ?1 AND repository = ?2 AND name = ?3";
        let key = params![id.repository.forge, Number(id.repository.number), id.name];
        if let Some(branch) = document(transaction, "a branch", sql, key)? {
            world.branches.insert(id.clone(), branch);
        }
    }
    for id in comments {
        let sql =
            "SELECT document FROM comment WHERE forge = ?1 AND repository = ?2 AND kind = ?3 AND number = ?4";
        let key =
            params![id.repository.forge, Number(id.repository.number), id.kind.word(), Number(id.number)];
        if let Some(entry) = document::<Entry>(transaction, "a comment", sql, key)? {
            if concern.comment.as_ref() == Some(&id) && entry.may_ask_for_extras() {
                load_extras(transaction, &id.repository, &mut world)?;
            }
            world.comments.insert(id, entry);
        }
    }
    Ok(world)
}

/// Runs with extra tests are counted, so those of a repository that may count yet are at hand.
fn load_extras(
    transaction: &Transaction<'_>,
    repository: &RepositoryId,
    world: &mut World,
) -> Result<(), Trouble> {
    let sql = "SELECT document FROM (SELECT id, document FROM run WHERE forge = ?1 AND repository = ?2
                                     ORDER BY id DESC LIMIT ?3)
               WHERE json_extract(document, '$.request.options.extra_tests')";
    let key = params![repository.forge, Number(repository.number), COUNTED_RUNS];
    for run in documents::<Run>(transaction, "a run", sql, key)? {
        world.runs.entry(run.id).or_insert(run);
    }
    Ok(())
}

fn comment_of(run: &Run) -> Option<CommentId> {
    match &run.request.trigger {
        Trigger::Comment { comment, .. } => Some(comment.clone()),
        Trigger::Push { .. } | Trigger::Baseline { .. } | Trigger::CommandLine => None,
    }
}

fn record(
    transaction: &Transaction<'_>,
    world: &mut World,
    event: &Event,
    decision: &Decision,
    now: Time,
) -> Result<(), Trouble> {
    let (mut pulls, mut branches, mut comments) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut runs, mut environments) = (BTreeSet::new(), BTreeSet::new());
    for change in &decision.changes {
        world.apply(change).map_err(|defect| Trouble::Document {
            what: "a decision".to_owned(),
            detail: defect.to_string(),
        })?;
        append(transaction, event, change, now)?;
        match change {
            Change::PullObserved { pull, .. } => pulls.insert(pull.id.clone()),
            Change::ReportPosted { pull, .. } | Change::ExtrasSuggested { pull, .. } => {
                pulls.insert(pull.clone())
            }
            Change::BranchObserved { branch, .. }
            | Change::BranchJudged { branch, .. }
            | Change::BranchUnjudged { branch, .. } => branches.insert(branch.clone()),
            Change::CommentRecorded { entry } => comments.insert(entry.id.clone()),
            Change::CommentEdited { comment, .. } | Change::CommandDecided { comment, .. } => {
                comments.insert(comment.clone())
            }
            Change::RunOffered { run, .. } | Change::Run { run, .. } => runs.insert(*run),
            Change::EnvironmentKept { environment: KeptEnvironment { run, .. } }
            | Change::EnvironmentUsed { run, .. }
            | Change::EnvironmentDropped { run } => environments.insert(*run),
            Change::ResultsKept { run, tier, results } => {
                keep_results(transaction, world, *run, tier, results)?;
                false
            }
        };
    }
    for id in &pulls {
        save_pull(transaction, world, id)?;
    }
    for id in &branches {
        save_branch(transaction, world, id)?;
    }
    for id in &comments {
        save_comment(transaction, world, id)?;
    }
    for id in &runs {
        save_run(transaction, world, *id)?;
    }
    for run in &environments {
        save_environment(transaction, world, *run)?;
    }
    for due in &decision.actions {
        outbox::put(transaction, due)?;
    }
    Ok(())
}

fn append(transaction: &Transaction<'_>, event: &Event, change: &Change, now: Time) -> Result<(), Trouble> {
    let last: Option<(i64, String)> = transaction
        .prepare_cached("SELECT sequence, digest FROM journal ORDER BY sequence DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (sequence, before) = last.map_or((1, String::new()), |(sequence, digest)| (sequence + 1, digest));
    let (at, text) = (millis(now), to_json(change)?);
    let digest = chain(&before, sequence, at, event.word(), &text);
    transaction
        .prepare_cached(
            "INSERT INTO journal (sequence, at, event, change, digest) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![sequence, at, event.word(), text, digest])?;
    Ok(())
}

/// The digest of a journal row: it covers the one before it.
pub(super) fn chain(before: &str, sequence: i64, at: i64, event: &str, change: &str) -> String {
    let digest = Sha256::digest(format!("{before}\n{sequence}\n{at}\n{event}\n{change}").as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn save_pull(transaction: &Transaction<'_>, world: &World, id: &PullId) -> Result<(), Trouble> {
    let Some(pull) = world.pulls.get(id) else { return Ok(()) };
    transaction
        .prepare_cached(
            "INSERT INTO pull (forge, repository, number, document) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (forge, repository, number) DO UPDATE SET document = excluded.document",
        )?
        .execute(params![
            id.repository.forge,
            Number(id.repository.number),
            Number(id.number),
            to_json(pull)?
        ])?;
    Ok(())
}

fn save_branch(transaction: &Transaction<'_>, world: &World, id: &BranchId) -> Result<(), Trouble> {
    let Some(branch) = world.branches.get(id) else { return Ok(()) };
    transaction
        .prepare_cached(
            "INSERT INTO branch (forge, repository, name, document) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (forge, repository, name) DO UPDATE SET document = excluded.document",
        )?
        .execute(params![id.repository.forge, Number(id.repository.number), id.name, to_json(branch)?])?;
    Ok(())
}

fn save_comment(transaction: &Transaction<'_>, world: &World, id: &CommentId) -> Result<(), Trouble> {
    let Some(entry) = world.comments.get(id) else { return Ok(()) };
    transaction
        .prepare_cached(
            "INSERT INTO comment (forge, repository, kind, number, pull, seen_at, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (forge, repository, kind, number) DO UPDATE SET document = excluded.document",
        )?
        .execute(params![
            id.repository.forge,
            Number(id.repository.number),
            id.kind.word(),
            Number(id.number),
            Number(entry.pull),
            millis(entry.seen_at),
            to_json(entry)?
        ])?;
    Ok(())
}

fn save_run(transaction: &Transaction<'_>, world: &World, id: RunId) -> Result<(), Trouble> {
    let Some(run) = world.runs.get(&id) else { return Ok(()) };
    let (pull, repository) = (run.request.pull.as_ref(), run.request.repository());
    transaction
        .prepare_cached(
            "INSERT INTO run (id, is_ended, forge, repository, pull, branch, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (id) DO UPDATE SET is_ended = excluded.is_ended, document = excluded.document",
        )?
        .execute(params![
            id.0,
            run.phase.is_ended(),
            repository.map(|repository| repository.forge.clone()),
            repository.map(|repository| Number(repository.number)),
            pull.map(|pull| Number(pull.number)),
            run.request.branch().map(|branch| branch.name.clone()),
            to_json(run)?
        ])?;
    Ok(())
}
