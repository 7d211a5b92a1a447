//! The outbox: actions not yet done. One key, one open action; asking for an action again gives it a new generation, never used
//! before, so that finishing what was begun before does not close what was asked for since.

use rusqlite::{Connection, Transaction, params};

use super::rows::{Trouble, from_json, millis, time, to_json};
use super::{Store, StoreError};
use crate::core::action::Action;
use crate::core::decide::Due;
use crate::core::time::Time;

/// An action that is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// What to do.
    pub action: Action,
    /// Not before.
    pub due_at: Time,
    /// How often it was tried in vain.
    pub tries: u32,
    /// Why the last try was in vain.
    pub fault: Option<String>,
    /// Which asking this answers.
    pub generation: i64,
}

/// An open action that has been done, or has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Its key.
    pub key: String,
    /// The generation that was begun.
    pub generation: i64,
}

impl Open {
    /// The mark to hand in with the event that closes it.
    pub fn done(&self) -> Done {
        Done { key: self.action.key(), generation: self.generation }
    }
}

/// Closes what was done, unless it was asked for again since.
pub(super) fn close(transaction: &Transaction<'_>, done: &Done) -> Result<(), Trouble> {
    transaction
        .prepare_cached("DELETE FROM outbox WHERE key = ?1 AND generation = ?2")?
        .execute(params![done.key, done.generation])?;
    Ok(())
}

pub(super) fn put(transaction: &Transaction<'_>, due: &Due) -> Result<(), Trouble> {
    transaction
        .prepare_cached(
            "INSERT INTO outbox (key, action, due_at, tries, fault, generation) VALUES (?1, ?2, ?3, ?4, ?5, random())
             ON CONFLICT (key) DO UPDATE SET action = excluded.action, due_at = excluded.due_at,
                tries = excluded.tries, fault = excluded.fault, generation = excluded.generation",
        )?
        .execute(params![due.action.key(), to_json(&due.action)?, millis(due.at), due.tries, due.fault])?;
    Ok(())
}

fn all(connection: &Connection) -> Result<Vec<Open>, Trouble> {
    let sql = "SELECT action, due_at, tries, fault, generation FROM outbox ORDER BY rowid";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut open = Vec::new();
    while let Some(row) = rows.next()? {
        open.push(Open {
            action: from_json("an action", &row.get::<_, String>(0)?)?,
            due_at: time(row.get(1)?),
            tries: row.get(2)?,
            fault: row.get(3)?,
            generation: row.get(4)?,
        });
    }
    Ok(open)
}

impl Store {
    /// All open actions, in the order in which they were asked for; what is tried again keeps its place.
    pub async fn open_actions(&self) -> Result<Vec<Open>, StoreError> {
        self.read(all).await
    }
}
