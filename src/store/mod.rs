//! The store: one SQLite file that holds the state, the journal, the outbox and the cursors.
//!
//! One writer. Transactions are short, and no network or container call happens inside one: whatever they need is computed
//! by a synchronous function of what was loaded.

mod files;
mod migrate;
mod outbox;
mod read;
mod reuse;
mod rows;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use files::Files;
pub use outbox::{Done, Open};
pub use read::{JournalRow, PollRow};
pub use write::Recorded;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("{file}: {source}", file = file.display())]
    Database {
        file: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    /// The file was written by a later docent.
    #[error(
        "{file}: the state is of version {found}, this docent knows up to {known}: run a docent that is at least as new",
        file = file.display()
    )]
    TooNew { file: PathBuf, found: i64, known: i64 },
    /// The file is damaged.
    #[error("{file}: the state is damaged ({detail}): restore a backup made by `docent backup`", file = file.display())]
    Damaged { file: PathBuf, detail: String },
    /// A document in it cannot be read.
    #[error("{file}: {what} cannot be read: {detail}", file = file.display())]
    Document { file: PathBuf, what: String, detail: String },
    /// The thread that was to do it is gone.
    #[error("the store was closed")]
    Closed,
}

/// The store. Clones share it.
#[derive(Clone)]
pub struct Store {
    file: PathBuf,
    writer: Arc<Mutex<Connection>>,
    reader: Arc<Mutex<Connection>>,
}

impl Store {
    /// Opens the state file, making or upgrading it, and checks that it is sound.
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Database { file: file.to_owned(), source };
        let mut writer = Connection::open(file).map_err(failed)?;
        prepare(&writer).map_err(failed)?;
        migrate::check(&writer, file)?;
        migrate::migrate(&mut writer, file)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(file, flags).map_err(failed)?;
        reader.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
        Ok(Self {
            file: file.to_owned(),
            writer: Arc::new(Mutex::new(writer)),
            reader: Arc::new(Mutex::new(reader)),
        })
    }

    /// A store that is gone with the process, for `docent run`.
    pub fn in_memory() -> Result<Self, StoreError> {
        let file = PathBuf::from("(memory)");
        let failed = |source| StoreError::Database { file: file.clone(), source };
        let mut connection = Connection::open_in_memory().map_err(failed)?;
        prepare(&connection).map_err(failed)?;
        migrate::migrate(&mut connection, &file)?;
        let shared = Arc::new(Mutex::new(connection));
        Ok(Self { file, writer: Arc::clone(&shared), reader: shared })
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Runs `work` in one transaction; whatever it says, nothing is half done.
    async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> Result<T, rows::Trouble> + Send + 'static,
    {
        let (writer, file) = (Arc::clone(&self.writer), self.file.clone());
        let done = tokio::task::spawn_blocking(move || {
            let mut connection = writer.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(rows::Trouble::from)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        });
        done.await.map_err(|_| StoreError::Closed)?.map_err(|trouble: rows::Trouble| trouble.in_file(&file))
    }

    /// Runs `work` on a snapshot that no writer disturbs.
    async fn read<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, rows::Trouble> + Send + 'static,
    {
        let (reader, file) = (Arc::clone(&self.reader), self.file.clone());
        let done = tokio::task::spawn_blocking(move || {
            let connection = reader.lock().unwrap_or_else(PoisonError::into_inner);
            work(&connection)
        });
        done.await.map_err(|_| StoreError::Closed)?.map_err(|trouble| trouble.in_file(&file))
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")
}
