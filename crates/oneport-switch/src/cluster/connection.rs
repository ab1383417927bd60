//! A connection to the database of the switches, by which a thread is told of what is new on a channel.

use std::time::Duration;

use sqlx::Error;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::runtime::{Builder, Runtime};
use tokio::time;
use url::Url;

use crate::store::postgres_options;

/// How long the database may take to look through a whole table.
const LONG: Duration = Duration::from_secs(60);

/// Why a connection is not served any more.
pub(super) enum Over {
    /// This switch goes.
    Left,
    /// The process goes on without being this switch.
    Succeeded,
    /// The connection is lost, or the database does not answer: for this reason.
    Lost(String),
}

impl From<Error> for Over {
    fn from(error: Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// Where the database is, and how long it may take.
pub(super) struct Database {
    pub(super) url: Url,
    /// For each answer.
    pub(super) patience: Duration,
}

async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Over> {
    match time::timeout(patience, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Over::Lost(format!("no answer within {} ms", patience.as_millis()))),
    }
}

impl Database {
    /// Waits for an answer as long as makes sense.
    pub(super) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Over> {
        within(self.patience, work).await
    }

    /// The same where a whole table is looked through, which takes as long as it is large.
    pub(super) async fn within_long<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Over> {
        within(self.patience.max(LONG), work).await
    }

    async fn connect(&self, channel: &str) -> Result<PgListener, Over> {
        let options = postgres_options(&self.url)?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(options);
        let mut connection = self.within(PgListener::connect_with(&pool)).await?;
        connection.eager_reconnect(false);
        self.within(connection.listen(channel)).await?;
        Ok(connection)
    }
}

/// A connection with a runtime of its own, which is closed at once when it is dropped. A [`PgListener`] by itself
/// stays open behind its owner's back until the server has taken a goodbye, which one that does not answer never does.
pub(super) struct Session {
    /// `None`: only while it is dropped.
    runtime: Option<Runtime>,
    connection: Option<PgListener>,
}

impl Session {
    /// Connects, with news of `channel`. The connection is not replaced by itself when it is lost.
    pub(super) fn open(database: &Database, channel: &str) -> Result<Self, Over> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Over::Lost(error.to_string()))?;
        let mut session = Self { runtime: Some(runtime), connection: None };
        if let Some(runtime) = &session.runtime {
            session.connection = Some(runtime.block_on(database.connect(channel))?);
        }
        Ok(session)
    }

    /// Does something with the connection.
    pub(super) fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgListener) -> Result<T, Over>,
    ) -> Result<T, Over> {
        match (&self.runtime, &mut self.connection) {
            (Some(runtime), Some(connection)) => runtime.block_on(work(connection)),
            _ => Err(Over::Lost("it is closed".into())),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let inside = runtime.enter();
        self.connection = None;
        drop(inside);
        runtime.shutdown_background();
    }
}
