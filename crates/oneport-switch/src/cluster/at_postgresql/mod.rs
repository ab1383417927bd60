//! What the simulated fleets have in place of the database, beside the database itself: both are told the same, drawn by
//! lot, and must say the same.

mod ledgers;
mod registrations;

use std::sync::Arc;

use oneport_testkit::peers::database::{DatabaseServer, Kind, PASSWORD};
use sqlx::postgres::{PgConnection, PgListener};
use sqlx::{Connection as _, Executor as _};
use url::Url;

use crate::store::PostgresStore;

/// A database of its own.
struct Place {
    _server: Arc<DatabaseServer>,
    url: Url,
}

impl Place {
    /// With all tables.
    async fn new() -> Self {
        let server = DatabaseServer::shared(Kind::Postgres);
        let mut url: Url = server.new_database().parse().unwrap();
        url.set_password(Some(PASSWORD)).unwrap();
        let store = PostgresStore::new(&url).unwrap();
        while !store.check().await.unwrap() {}
        Self { _server: server, url }
    }

    async fn connection(&self) -> PgConnection {
        let mut connection = PgConnection::connect(self.url.as_str()).await.unwrap();
        // Nobody kills this server, and so nothing waits for its disk; nor does anything for a lock, but by mistake.
        let settings = "SET synchronous_commit = off; SET lock_timeout = '60 s'";
        connection.execute(settings).await.unwrap();
        connection
    }

    /// As the threads of a switch have one.
    async fn listener(&self) -> PgListener {
        let mut listener = PgListener::connect(self.url.as_str()).await.unwrap();
        listener.execute("SET synchronous_commit = off").await.unwrap();
        listener
    }
}
