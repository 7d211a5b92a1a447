//! Between documents and rows: JSON text, and numbers as SQLite keeps them.

use std::path::Path;

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OptionalExtension, Params, ToSql};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use crate::core::time::Time;

/// What can go wrong inside a transaction, before the file's name is added.
#[derive(Debug)]
pub enum Trouble {
    Database(rusqlite::Error),
    Document { what: String, detail: String },
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl Trouble {
    pub fn in_file(self, file: &Path) -> StoreError {
        match self {
            Self::Database(source) => StoreError::Database { file: file.to_owned(), source },
            Self::Document { what, detail } => StoreError::Document { file: file.to_owned(), what, detail },
        }
    }
}

/// A forge's number, kept bit for bit in SQLite's signed 64 bits.
pub struct Number(pub u64);

impl ToSql for Number {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.cast_signed()))
    }
}

pub fn to_json<T: Serialize>(value: &T) -> Result<String, Trouble> {
    serde_json::to_string(value).map_err(|error| Trouble::Document {
        what: "a document to be kept".into(),
        detail: error.to_string(),
    })
}

pub fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Trouble> {
    serde_json::from_str(text)
        .map_err(|error| Trouble::Document { what: what.to_owned(), detail: error.to_string() })
}

/// The one document that `sql` finds in its first column.
pub fn document<T: DeserializeOwned>(
    connection: &Connection,
    what: &str,
    sql: &str,
    params: impl Params,
) -> Result<Option<T>, Trouble> {
    let text: Option<String> =
        connection.prepare_cached(sql)?.query_row(params, |row| row.get(0)).optional()?;
    text.map(|text| from_json(what, &text)).transpose()
}

/// All documents that `sql` finds in its first column.
pub fn documents<T: DeserializeOwned>(
    connection: &Connection,
    what: &str,
    sql: &str,
    params: impl Params,
) -> Result<Vec<T>, Trouble> {
    let mut statement = connection.prepare_cached(sql)?;
    let texts = statement.query_map(params, |row| row.get::<_, String>(0))?;
    texts.map(|text| from_json(what, &text?)).collect()
}

pub fn millis(time: Time) -> i64 {
    time.timestamp_millis()
}

pub fn time(millis: i64) -> Time {
    Time::from_timestamp_millis(millis).unwrap_or_default()
}
