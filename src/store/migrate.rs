//! Bringing the file to this version: ordered SQL files, guarded by `user_version`. A released one never changes.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_reuse.sql"),
    include_str!("migrations/0003_branches.sql"),
    include_str!("migrations/0004_commits.sql"),
    include_str!("migrations/0005_faults.sql"),
];

/// Refuses a damaged file, before anything is written to it.
pub fn check(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    let damaged = |detail: String| StoreError::Damaged { file: file.to_owned(), detail };
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| damaged(error.to_string()))?;
    if found == "ok" { Ok(()) } else { Err(damaged(found)) }
}

/// Applies what is missing, all or nothing.
pub fn migrate(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Database { file: file.to_owned(), source };
    // Asked inside of it: of two processes that open a new file at once, the second finds the first one's work.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known || found < 0 {
        return Err(StoreError::TooNew { file: file.to_owned(), found, known });
    }
    for sql in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(sql).map_err(failed)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(failed)?;
    transaction.commit().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_file_of_every_earlier_version_becomes_one_of_this() {
        for version in 1..MIGRATIONS.len() {
            let mut connection = Connection::open_in_memory().unwrap();
            for sql in &MIGRATIONS[..version] {
                connection.execute_batch(sql).unwrap();
            }
            connection.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
            connection
                .execute_batch(
                    "INSERT INTO run (id, is_ended, forge, repository, pull, document) VALUES (7, 1, 'f', 1, 3, '{}');
                     INSERT INTO journal VALUES (1, 0, 'e', 'c', 'd');",
                )
                .unwrap();
            for _ in 0..2 {
                migrate(&mut connection, Path::new("(memory)")).unwrap();
            }
            let kept: (i64, Option<String>) = connection
                .query_row("SELECT pull, branch FROM run WHERE id = 7", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .unwrap();
            assert_eq!(kept, (3, None), "from version {version}");
            let branches: i64 =
                connection.query_row("SELECT count(*) FROM branch", [], |row| row.get(0)).unwrap();
            let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
            assert_eq!((branches, found), (0, i64::try_from(MIGRATIONS.len()).unwrap()));
        }
    }

    #[test]
    fn a_file_of_a_later_docent_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 9_999).unwrap();
        let refused = migrate(&mut connection, Path::new("x"));
        assert!(matches!(refused, Err(StoreError::TooNew { found: 9_999, .. })));
    }
}
