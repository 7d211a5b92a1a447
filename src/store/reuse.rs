//! What runs leave for later runs: environments, and results by the identity of their tests.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use super::rows::{Trouble, documents, from_json, to_json};
use super::{Store, StoreError};
use crate::core::environment::KeptEnvironment;
use crate::core::id::RunId;
use crate::core::reuse::{Candidate, KeptResult};
use crate::core::world::World;

impl Store {
    /// Whether the environment that this run has made is kept for later ones.
    pub async fn keeps_environment(&self, run: RunId) -> Result<bool, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT count(*) FROM environment WHERE run = ?1";
            Ok(connection.query_row(sql, [run.0], |row| row.get::<_, i64>(0))? > 0)
        })
        .await
    }

    /// The environments that are kept, in the order in which they were made.
    pub async fn environments(&self) -> Result<Vec<KeptEnvironment>, StoreError> {
        self.read(|connection| {
            documents(connection, "an environment", "SELECT document FROM environment ORDER BY run", [])
        })
        .await
    }

    /// What is remembered under these identities, the oldest run first.
    pub async fn kept_results(&self, keys: Vec<String>) -> Result<Vec<Candidate>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT run, tier, is_untrusted, document FROM kept_result WHERE key = ?1 ORDER BY run",
            )?;
            let mut candidates = Vec::new();
            for key in &keys {
                let mut rows = statement.query([key])?;
                while let Some(row) = rows.next()? {
                    let text: String = row.get(3)?;
                    candidates.push(Candidate {
                        kept: from_json("a remembered result", &text)?,
                        run: RunId(row.get(0)?),
                        tier: row.get(1)?,
                        is_untrusted: row.get(2)?,
                    });
                }
            }
            Ok(candidates)
        })
        .await
    }

    /// How long each of these tests took when it was last run at this place, in seconds.
    pub async fn lengths(
        &self,
        place: String,
        tier: String,
        names: Vec<String>,
    ) -> Result<BTreeMap<String, f64>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT document FROM kept_result WHERE place = ?1 AND tier = ?2 AND name = ?3
                 ORDER BY run DESC LIMIT 1",
            )?;
            let mut lengths = BTreeMap::new();
            for name in names {
                let mut rows = statement.query(params![place, tier, name])?;
                if let Some(row) = rows.next()? {
                    let kept: KeptResult = from_json("a remembered result", &row.get::<_, String>(0)?)?;
                    lengths.insert(name, kept.seconds);
                }
            }
            Ok(lengths)
        })
        .await
    }
}

/// Brings the row of an environment up to date.
pub(super) fn save_environment(
    transaction: &Transaction<'_>,
    world: &World,
    run: RunId,
) -> Result<(), Trouble> {
    match world.environments.get(&run) {
        Some(kept) => transaction
            .prepare_cached(
                "INSERT INTO environment (run, document) VALUES (?1, ?2)
                 ON CONFLICT (run) DO UPDATE SET document = excluded.document",
            )?
            .execute(params![run.0, to_json(kept)?])?,
        None => transaction.prepare_cached("DELETE FROM environment WHERE run = ?1")?.execute([run.0])?,
    };
    Ok(())
}

/// Remembers the results of a tier.
pub(super) fn keep_results(
    transaction: &Transaction<'_>,
    world: &World,
    run: RunId,
    tier: &str,
    results: &[KeptResult],
) -> Result<(), Trouble> {
    let Some(state) = world.runs.get(&run) else { return Ok(()) };
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO kept_result (key, run, tier, name, place, is_untrusted, document)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for kept in results {
        let request = &state.request;
        statement.execute(params![
            kept.key,
            run.0,
            tier,
            kept.name,
            request.place,
            request.is_untrusted,
            to_json(kept)?
        ])?;
    }
    Ok(())
}
