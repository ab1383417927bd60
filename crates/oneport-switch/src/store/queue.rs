//! Records that wait on this machine's disk for a database that does not answer: a SQLite file, in the order
//! in which they came. What is in it is durable.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, SqlitePool};

use super::{Record, StoreError, sqlite};

/// Records in one INSERT.
const ROWS: usize = 500;

/// The file.
#[derive(Debug)]
pub(super) struct Queue {
    path: PathBuf,
    pool: SqlitePool,
}

/// Some of those that wait.
pub(super) struct Batch {
    /// The number of the last of them.
    pub(super) last: i64,
    /// They themselves, in their order.
    pub(super) records: Vec<Record>,
}

impl Queue {
    /// Opens the file, or makes it, readable for its owner alone.
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let doing = format!("cannot open the queue {}", path.display());
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        if let Err(error) = made
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(StoreError::new(doing, error));
        }
        let options = SqliteConnectOptions::new()
            .disable_statement_logging()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options);
        // AUTOINCREMENT: a number is never given again, so that what was taken out stays out.
        let sql = "CREATE TABLE IF NOT EXISTS waiting \
                   (id INTEGER PRIMARY KEY AUTOINCREMENT, record TEXT NOT NULL) STRICT";
        let made = async {
            sqlx::query(sql).execute(&pool).await?;
            let sql = "CREATE TABLE IF NOT EXISTS set_aside \
                       (id INTEGER PRIMARY KEY, record TEXT NOT NULL) STRICT";
            sqlx::query(sql).execute(&pool).await
        };
        made.await.map_err(|why| StoreError::new(doing, why))?;
        Ok(Self { path: path.into(), pool })
    }

    /// How many wait.
    pub(super) async fn count(&self) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM waiting")
            .fetch_one(&self.pool)
            .await
            .map_err(|why| self.wrong("read", &why))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Puts all of `records` behind the others, or none of them.
    pub(super) async fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        let texts: Result<Vec<String>, _> = records.iter().map(serde_json::to_string).collect();
        let texts = texts.map_err(|why| self.wrong("write", &why))?;
        let written = async {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            for some in texts.chunks(ROWS) {
                let marks = vec!["(?)"; some.len()].join(", ");
                let sql = format!("INSERT INTO waiting (record) VALUES {marks}");
                let mut query = sqlx::query(AssertSqlSafe(sql));
                for text in some {
                    query = query.bind(text);
                }
                query.execute(&mut *transaction).await?;
            }
            transaction.commit().await
        };
        written.await.map_err(|why: sqlx::Error| self.wrong("write", &why))
    }

    /// The first that wait behind the number `after`, `most` at most; `None`: none does. What cannot be read is set
    /// aside, so that the others do not wait for it.
    pub(super) async fn first(&self, after: i64, most: u32) -> Result<Option<Batch>, StoreError> {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT id, record FROM waiting WHERE id > ? ORDER BY id LIMIT ?")
                .bind(after)
                .bind(most)
                .fetch_all(&self.pool)
                .await
                .map_err(|why| self.wrong("read", &why))?;
        let Some((last, _)) = rows.last() else { return Ok(None) };
        let last = *last;
        let mut records = Vec::with_capacity(rows.len());
        for (id, text) in &rows {
            match serde_json::from_str(text) {
                Ok(record) => records.push(record),
                Err(why) => {
                    self.set_aside(*id).await.map_err(|why| self.wrong("write", &why))?;
                    tracing::error!(
                        "record {id} of the queue {} cannot be read, and is now in its table set_aside: {why}",
                        self.path.display()
                    );
                }
            }
        }
        Ok(Some(Batch { last, records }))
    }

    async fn set_aside(&self, id: i64) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let copy = "INSERT OR IGNORE INTO set_aside SELECT id, record FROM waiting WHERE id = ?";
        for sql in [copy, "DELETE FROM waiting WHERE id = ?"] {
            sqlx::query(sql).bind(id).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// Takes out those up to the number `last`, and says how many wait then.
    pub(super) async fn remove(&self, last: i64) -> Result<u64, StoreError> {
        let removed = sqlx::query("DELETE FROM waiting WHERE id <= ?").bind(last);
        removed.execute(&self.pool).await.map_err(|why| self.wrong("write", &why))?;
        self.count().await
    }

    /// Ends the connection to the file.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        sqlite::close(&self.pool, &self.pool).await.map_err(|why| self.wrong("close", &why))
    }

    fn wrong(&self, what: &str, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::new(format!("cannot {what} the queue {}", self.path.display()), why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(peer: &str) -> Record {
        Record::Unregistered { peer: peer.into(), switch: None, registered: None }
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_set_aside_and_the_others_do_not_wait_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let queue = Queue::open(&directory.path().join("queue.db")).await.unwrap();
        for peer in ["ann", "bob", "zoe"] {
            queue.append(&[over(peer)]).await.unwrap();
        }
        let damage = "UPDATE waiting SET record = '{' WHERE id = 2";
        sqlx::query(damage).execute(&queue.pool).await.unwrap();
        let batch = queue.first(0, 10).await.unwrap().unwrap();
        assert_eq!((batch.last, &batch.records[..]), (3, &[over("ann"), over("zoe")][..]));
        assert_eq!(queue.count().await.unwrap(), 2);
        let kept = sqlx::query_as::<_, (i64, String)>("SELECT id, record FROM set_aside");
        assert_eq!(kept.fetch_all(&queue.pool).await.unwrap(), [(2, "{".to_string())]);
        assert_eq!(queue.remove(batch.last).await.unwrap(), 0);
    }
}
