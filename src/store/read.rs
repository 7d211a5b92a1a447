//! What pages, reports and the command line read.

use std::path::Path;

use rusqlite::params;
use rusqlite::types::Value;
use serde::de::DeserializeOwned;

use super::rows::{Number, document, documents, from_json, time};
use super::write::chain;
use super::{Store, StoreError};
use crate::core::id::{BranchId, PullId, RepositoryId, RunId, Sha};
use crate::core::ledger::Entry;
use crate::core::pull::Repository;
use crate::core::run::Run;
use crate::core::time::Time;
use crate::core::world::{Branch, Pull};

/// How the last poll of a forge went.
#[derive(Debug, Clone, PartialEq)]
pub struct PollRow<T> {
    /// `[[forge]] name`.
    pub forge: String,
    /// When it began.
    pub began_at: Time,
    /// How it went.
    pub last: Option<T>,
}

/// One change of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRow {
    /// Its number.
    pub sequence: i64,
    /// When it was recorded.
    pub at: Time,
    /// The event that led to it.
    pub event: String,
    /// The change, as JSON.
    pub change: String,
}

impl Store {
    /// A run.
    pub async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        self.read(move |connection| {
            document(connection, "a run", "SELECT document FROM run WHERE id = ?1", [id.0])
        })
        .await
    }

    /// Runs that have not ended, the oldest first.
    pub async fn open_runs(&self) -> Result<Vec<Run>, StoreError> {
        self.read(|connection| {
            documents(connection, "a run", "SELECT document FROM run WHERE is_ended = 0 ORDER BY id", [])
        })
        .await
    }

    /// The latest runs, the newest first, before `before` if given.
    pub async fn latest_runs(&self, count: u32, before: Option<RunId>) -> Result<Vec<Run>, StoreError> {
        let before = before.map_or(i64::MAX, |run| run.0);
        self.read(move |connection| {
            let sql = "SELECT document FROM run WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
            documents(connection, "a run", sql, params![before, count])
        })
        .await
    }

    /// The latest runs of a pull request, the newest first.
    pub async fn runs_of_pull(&self, pull: &PullId, count: u32) -> Result<Vec<Run>, StoreError> {
        let key = pull_key(pull);
        self.read(move |connection| {
            let sql = "SELECT document FROM run WHERE forge = ?1 AND repository = ?2 AND pull = ?3
                       ORDER BY id DESC LIMIT ?4";
            documents(connection, "a run", sql, params![key.0, key.1, key.2, count])
        })
        .await
    }

    /// The latest runs of a watched branch, the newest first.
    pub async fn runs_of_branch(&self, branch: &BranchId, count: u32) -> Result<Vec<Run>, StoreError> {
        let id = branch.clone();
        self.read(move |connection| {
            let sql = "SELECT document FROM run WHERE forge = ?1 AND repository = ?2 AND branch = ?3
                       ORDER BY id DESC LIMIT ?4";
            let key = params![id.repository.forge, Number(id.repository.number), id.name, count];
            documents(connection, "a run", sql, key)
        })
        .await
    }

    /// The latest runs of trusted code of a repository before `before`, the newest first; those of pull requests are not among
    /// them.
    pub async fn trusted_runs(
        &self,
        repository: &RepositoryId,
        before: RunId,
        count: u32,
    ) -> Result<Vec<Run>, StoreError> {
        let repository = repository.clone();
        self.read(move |connection| {
            let sql = "SELECT document FROM run
                       WHERE forge = ?1 AND repository = ?2 AND pull IS NULL AND id < ?3
                         AND json_extract(document, '$.request.is_untrusted') = 0
                       ORDER BY id DESC LIMIT ?4";
            let key = params![repository.forge, Number(repository.number), before.0, count];
            documents(connection, "a run", sql, key)
        })
        .await
    }

    /// The latest runs of a commit, the newest first.
    pub async fn runs_of_commit(
        &self,
        repository: &RepositoryId,
        sha: &Sha,
        count: u32,
    ) -> Result<Vec<Run>, StoreError> {
        let (repository, sha) = (repository.clone(), sha.clone());
        self.read(move |connection| {
            let sql = "SELECT document FROM run WHERE forge = ?1 AND repository = ?2
                         AND json_extract(document, '$.request.sha') = ?3
                       ORDER BY id DESC LIMIT ?4";
            let key = params![repository.forge, Number(repository.number), sha.as_str(), count];
            documents(connection, "a run", sql, key)
        })
        .await
    }

    /// Watched branches as they were last seen.
    pub async fn branches(&self) -> Result<Vec<(BranchId, Branch)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT forge, repository, name, document FROM branch ORDER BY forge, repository, name",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                ))
            })?;
            rows.map(|row| {
                let (forge, number, name, text) = row?;
                let repository = RepositoryId { forge, number: number.cast_unsigned() };
                Ok((BranchId { repository, name }, from_json("a branch", &text)?))
            })
            .collect()
        })
        .await
    }

    /// A pull request.
    pub async fn pull(&self, pull: &PullId) -> Result<Option<Pull>, StoreError> {
        let key = pull_key(pull);
        self.read(move |connection| {
            let sql = "SELECT document FROM pull WHERE forge = ?1 AND repository = ?2 AND number = ?3";
            document(connection, "a pull request", sql, params![key.0, key.1, key.2])
        })
        .await
    }

    /// The latest comments with commands of a pull request, the newest first.
    pub async fn comments_of_pull(&self, pull: &PullId, count: u32) -> Result<Vec<Entry>, StoreError> {
        let key = pull_key(pull);
        self.read(move |connection| {
            let sql = "SELECT document FROM comment WHERE forge = ?1 AND repository = ?2 AND pull = ?3
                       ORDER BY seen_at DESC, number DESC LIMIT ?4";
            documents(connection, "a comment", sql, params![key.0, key.1, key.2, count])
        })
        .await
    }

    /// The latest comments with commands anywhere, the newest first.
    pub async fn latest_comments(&self, count: u32) -> Result<Vec<Entry>, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT document FROM comment ORDER BY seen_at DESC, number DESC LIMIT ?1";
            documents(connection, "a comment", sql, [count])
        })
        .await
    }

    /// Comments with this number on any forge, for `docent explain`.
    pub async fn comments_numbered(&self, number: u64) -> Result<Vec<Entry>, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT document FROM comment WHERE number = ?1 ORDER BY seen_at DESC";
            documents(connection, "a comment", sql, params![Number(number)])
        })
        .await
    }

    /// Watched repositories as the forges last described them, with their configured names.
    pub async fn repositories(&self) -> Result<Vec<(String, Repository)>, StoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT name, document FROM repository ORDER BY forge, name")?;
            let rows =
                statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            rows.map(|row| {
                let (name, text) = row?;
                Ok((name, from_json("a repository", &text)?))
            })
            .collect()
        })
        .await
    }

    /// Where the polls of a forge have come to.
    pub async fn cursor<T>(&self, forge: String) -> Result<Option<T>, StoreError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.read(move |connection| {
            let sql = "SELECT cursor FROM poll WHERE forge = ?1 AND cursor IS NOT NULL";
            document(connection, "a cursor", sql, [forge])
        })
        .await
    }

    /// How the last poll of each forge went.
    pub async fn polls<T>(&self) -> Result<Vec<PollRow<T>>, StoreError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT forge, began_at, last FROM poll ORDER BY forge")?;
            let rows = statement.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<String>>(2)?))
            })?;
            rows.map(|row| {
                let (forge, began_at, last) = row?;
                let last = last.map(|text| from_json("a poll", &text)).transpose()?;
                Ok(PollRow { forge, began_at: time(began_at), last })
            })
            .collect()
        })
        .await
    }

    /// The journal, the oldest first, after `after`.
    pub async fn journal(&self, after: i64, count: u32) -> Result<Vec<JournalRow>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT sequence, at, event, change FROM journal WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
            )?;
            let rows = statement.query_map(params![after, count], |row| {
                let at: i64 = row.get(1)?;
                Ok(JournalRow { sequence: row.get(0)?, at: time(at), event: row.get(2)?, change: row.get(3)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Whether what was asked at the command line waits to be taken.
    pub async fn is_asked(&self, number: i64) -> Result<bool, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT count(*) FROM inbox WHERE id = ?1";
            Ok(connection.query_row(sql, [number], |row| row.get::<_, i64>(0))? > 0)
        })
        .await
    }

    /// Checks the chain of the journal. Gives the number of rows, or the first row that is not as it was written.
    pub async fn verify_journal(&self) -> Result<Result<i64, i64>, StoreError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare("SELECT sequence, at, event, change, digest FROM journal ORDER BY sequence")?;
            let mut rows = statement.query([])?;
            let (mut before, mut count) = (String::new(), 0);
            while let Some(row) = rows.next()? {
                let (sequence, at): (i64, i64) = (row.get(0)?, row.get(1)?);
                let (event, change): (String, String) = (row.get(2)?, row.get(3)?);
                let digest: String = row.get(4)?;
                count += 1;
                if sequence != count || digest != chain(&before, sequence, at, &event, &change) {
                    return Ok(Err(sequence));
                }
                before = digest;
            }
            Ok(Ok(count))
        })
        .await
    }

    /// Writes a consistent copy of the whole state while docent runs.
    pub async fn backup(&self, into: &Path) -> Result<(), StoreError> {
        let into = into.to_owned();
        self.read(move |connection| {
            let mut copy = rusqlite::Connection::open(&into)?;
            let backup = rusqlite::backup::Backup::new(connection, &mut copy)?;
            // In one step: in several, each write of the daemon would begin it anew.
            backup.step(-1)?;
            Ok(())
        })
        .await
    }
}

fn pull_key(pull: &PullId) -> (String, Value, Value) {
    let number = |number: u64| Value::Integer(number.cast_signed());
    (pull.repository.forge.clone(), number(pull.repository.number), number(pull.number))
}
