//! A store on a database server, whichever of those that are known: connections, tables, patience.
//!
//! The server need not be there when the store is made: each question looks for it, and the first that finds
//! it brings the tables to their newest form.

use std::io;
use std::time::Duration;

use sqlx::migrate::Migrate;
use sqlx::pool::PoolOptions;
use sqlx::{ConnectOptions, Connection, Database, Pool, Transaction};
use tokio::sync::OnceCell;
use tokio::time;
use url::Url;

use super::StoreError;
use super::columns::Row;
use super::migrations::{Forms, OF_A_NEWER_VERSION, OF_AN_OLDER_VERSION, Unused};
use super::sql::Engine;
use super::statement::{Dialect, Statement};

/// Connections that read at the same time.
const READERS: u32 = 4;

/// Connections that write: one for records, one for users of the console.
const WRITERS: u32 = 2;

/// How long a connection is waited for. A server that starts again refuses them meanwhile.
const CONNECTING: Duration = Duration::from_secs(3);

/// How long the server has for what it is asked.
const ANSWERING: Duration = Duration::from_secs(10);

/// How long a connection that is given back has to answer once more. One that does not, since its link is cut or what
/// is between here and the server has forgotten it, is closed, and leaves its place to a new one.
const RELEASING: Duration = Duration::from_secs(2);

/// Options of a connection.
pub(crate) type Options<S> = <<S as Database>::Connection as Connection>::Options;

/// A kind of database server.
pub(crate) trait Server: Database<Connection: Migrate> {
    const DIALECT: Dialect;

    /// The forms of its tables.
    const FORMS: &'static Forms;

    /// How it is reached.
    fn options(url: &Url) -> Result<Options<Self>, sqlx::Error>;

    /// Looks whether a server is one that nothing is lost in, and may say so in the log.
    fn examine(
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send + '_;

    /// Makes other switches that would change the tables too wait until this connection ends, where the migrator
    /// does not; and has this one wait for them, and for what else is locked, for a minute at most.
    fn hold_others_off(
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send + '_;

    /// Makes a connection write durably.
    fn prepare(
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send + '_;

    /// [`Engine::execute`].
    fn execute<'a>(
        connection: &'a mut Self::Connection,
        statement: &'a Statement,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send + 'a;

    /// [`Engine::fetch`].
    fn fetch<'a>(
        connection: &'a mut Self::Connection,
        statement: &'a Statement,
    ) -> impl Future<Output = Result<Vec<Row>, sqlx::Error>> + Send + 'a;
}

/// A database on a server.
///
/// ```no_run
/// use oneport_switch::store::{PostgresStore, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Nothing is changed there, neither records nor tables.
/// let store = PostgresStore::to_read(&"postgres://oneport:hush@db.example.org/oneport".parse()?)?;
/// for count in store.refusal_counts().await? {
///     println!("{}: {}", count.kind, count.count);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ServerStore<S: Database> {
    /// What it is, without its password.
    place: String,
    options: Options<S>,
    writers: Pool<S>,
    readers: Pool<S>,
    /// Whether it may change the tables.
    may_migrate: bool,
    /// Set once the tables have their newest form.
    ready: OnceCell<()>,
}

#[expect(private_bounds, reason = "which servers there are is decided here")]
impl<S: Server> ServerStore<S> {
    /// The database of `url`, `KIND://USER:PASSWORD@HOST:PORT/DATABASE`. Nothing is asked of the server yet.
    /// It must be made within a runtime of tokio.
    ///
    /// # Errors
    /// That is no such URL.
    pub fn new(url: &Url) -> Result<Self, StoreError> {
        Self::of(url, true)
    }

    /// The database of `url`, to read it. It must have the tables of this version.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn to_read(url: &Url) -> Result<Self, StoreError> {
        Self::of(url, false)
    }

    fn of(url: &Url, may_migrate: bool) -> Result<Self, StoreError> {
        let place = format!("{} {}", S::NAME, without_password(url));
        let options = S::options(url)
            .map_err(|why| StoreError::new(format!("cannot use {place}"), why))?
            .disable_statement_logging();
        let pool = |most| {
            PoolOptions::new()
                .max_connections(most)
                .acquire_timeout(CONNECTING)
                .after_connect(|connection, _| Box::pin(S::prepare(connection)))
                .after_release(|connection, _| Box::pin(answers::<S>(connection)))
                .connect_lazy_with(options.clone())
        };
        let (writers, readers) = (pool(WRITERS), pool(READERS));
        Ok(Self { place, options, writers, readers, may_migrate, ready: OnceCell::new() })
    }

    /// Looks whether the server is there, and gives the tables their newest form, or finds that they have it;
    /// `false`: it is not there now.
    ///
    /// # Errors
    /// It is there, and this will not mend itself: another password, no such database, other tables.
    pub async fn check(&self) -> Result<bool, StoreError> {
        match self.ready().await {
            Ok(()) => Ok(true),
            Err(why) if is_away(&why) => Ok(false),
            Err(why) if Unused::is_why(&why) => Err(StoreError::unused(self.opening())),
            Err(why) => Err(StoreError::new(self.opening(), why)),
        }
    }

    fn opening(&self) -> String {
        format!("cannot open {}", self.place)
    }

    async fn ready(&self) -> Result<(), sqlx::Error> {
        self.ready.get_or_try_init(|| self.make_ready()).await.copied()
    }

    async fn make_ready(&self) -> Result<(), sqlx::Error> {
        // A connection of its own: what holds others off while tables change ends with it.
        let pool = PoolOptions::new().max_connections(1).acquire_timeout(CONNECTING);
        let pool = pool.connect_lazy_with(self.options.clone());
        let made = self.make_ready_by(&pool).await;
        pool.close().await;
        made
    }

    async fn make_ready_by(&self, pool: &Pool<S>) -> Result<(), sqlx::Error> {
        let looked = time::timeout(ANSWERING, async {
            let mut connection = pool.acquire().await?;
            S::examine(&mut connection).await?;
            let version = version_of::<S>(&mut connection).await;
            Ok::<_, sqlx::Error>((connection, version))
        });
        let late = |_| sqlx::Error::Io(io::ErrorKind::TimedOut.into());
        let (mut connection, version) = looked.await.map_err(late)??;
        if !self.may_migrate {
            let version = version.map_err(|why| match has_no_tables(&why) {
                true => sqlx::Error::Configuration(Unused.into()),
                false => why,
            })?;
            if version != S::FORMS.newest() {
                let newer = version > S::FORMS.newest();
                let why = if newer { OF_A_NEWER_VERSION } else { OF_AN_OLDER_VERSION };
                return Err(sqlx::Error::Configuration(why.into()));
            }
        } else if !version.is_ok_and(|version| version == S::FORMS.newest()) {
            // Only now: whoever holds others off may have been cut off, and hold them off for long.
            S::hold_others_off(&mut connection).await?;
            drop(connection);
            S::FORMS.migrator().run(pool).await.map_err(|error| S::FORMS.why(error))?;
        }
        Ok(())
    }
}

/// The form of the tables. An error: there are none, or the server does not answer.
async fn version_of<S: Server>(connection: &mut S::Connection) -> Result<Option<i64>, sqlx::Error> {
    // A form that was begun and not ended is none.
    let text = "SELECT max(CASE WHEN success THEN version END) FROM _sqlx_migrations \
                HAVING count(*) = count(CASE WHEN success THEN 1 END)";
    let rows = S::fetch(connection, &Statement::new(S::DIALECT, text)).await?;
    let version: Result<Option<i64>, _> =
        rows.into_iter().next().map_or(Ok(None), |mut row| row.take(0));
    version.map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Whether the table is missing that was asked for: PostgreSQL's code of it, and that of MariaDB and MySQL.
fn has_no_tables(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("42P01" | "42S02"))
}

/// Whether a connection still answers, which has some time for it.
async fn answers<S: Server>(connection: &mut S::Connection) -> Result<bool, sqlx::Error> {
    let answered = time::timeout(RELEASING, connection.ping()).await;
    answered.map_err(|_| sqlx::Error::Io(io::ErrorKind::TimedOut.into()))?.map(|()| true)
}

/// Whether a server may be back by itself.
pub(crate) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        // It is about to start or to stop, gets over the death of one of its processes, has no room for one more
        // connection, or another holds what is waited for.
        sqlx::Error::Database(error) => {
            matches!(
                error.code().as_deref(),
                Some("57P01" | "57P02" | "57P03" | "53300" | "08004" | "55P03")
            )
        }
        _ => false,
    }
}

/// A URL as it may be shown.
fn without_password(url: &Url) -> Url {
    let mut url = url.clone();
    // Only URLs that have no user and host have nowhere to put one.
    let _ = url.set_password(None);
    url
}

impl<S: Server> Engine for ServerStore<S> {
    type Database = S;

    const DIALECT: Dialect = S::DIALECT;

    const PATIENCE: Option<Duration> = Some(ANSWERING);

    fn place(&self) -> String {
        self.place.clone()
    }

    async fn reader(&self) -> Result<&Pool<S>, sqlx::Error> {
        self.ready().await?;
        Ok(&self.readers)
    }

    async fn begin(&self) -> Result<Transaction<'static, S>, sqlx::Error> {
        self.ready().await?;
        self.writers.begin().await
    }

    async fn execute(
        connection: &mut S::Connection,
        statement: &Statement,
    ) -> Result<u64, sqlx::Error> {
        S::execute(connection, statement).await
    }

    async fn fetch(
        connection: &mut S::Connection,
        statement: &Statement,
    ) -> Result<Vec<Row>, sqlx::Error> {
        S::fetch(connection, statement).await
    }
}
