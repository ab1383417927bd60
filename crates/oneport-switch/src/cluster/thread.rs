//! The thread that talks with the database: joins, gives signs of life, hears of changes, and begins anew when
//! the connection is lost.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, MissedTickBehavior};
use url::Url;

use super::connection::{Database, Over, Session};
use super::registrations::{self, Reader};
use super::switches::{self, CHANNEL};
use super::{Ask, SharedConfiguration, Sibling, Told, configuration};
use crate::config::ClusterConfig;
use crate::store::PostgresStore;

/// How the switch is told.
pub(super) type Tell = Box<dyn Fn(Told) + Send>;

/// Time between two searches for what is too old to be kept. It looks through all registrations.
const PRUNING: Duration = Duration::from_secs(600);

/// Least time from one look at registrations to the next: many change at once when a switch comes or goes.
const GATHERING: Duration = Duration::from_millis(10);

/// How long a goodbye may take: the process is about to end.
const GOODBYE: Duration = Duration::from_secs(1);

/// Begins; the receiver ends with the thread.
pub(super) fn start(
    config: ClusterConfig,
    url: Url,
    shared: SharedConfiguration,
    asked: mpsc::UnboundedReceiver<Ask>,
    tell: Tell,
) -> io::Result<oneshot::Receiver<()>> {
    let (end, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // It waits no longer than a switch may be without a sign of life.
    let database = Database { url, patience: config.dead_after / 2 };
    let body = move || {
        let _end = end;
        let (incarnation, others, replaced) = (None, None, false);
        let registrations = Reader::default();
        let member = Member {
            config,
            database,
            shared,
            asked,
            tell,
            incarnation,
            others,
            replaced,
            registrations,
        };
        member.work(&runtime);
    };
    std::thread::Builder::new().name("cluster".into()).spawn(body)?;
    Ok(ended)
}

/// This switch as the database knows it.
struct Member {
    config: ClusterConfig,
    database: Database,
    shared: SharedConfiguration,
    asked: mpsc::UnboundedReceiver<Ask>,
    tell: Tell,
    /// The number of this run, once the database has given it one.
    incarnation: Option<i64>,
    /// The others as they were told last; `None`: not since the database was away.
    others: Option<Vec<Sibling>>,
    /// The last sign of life was not taken, since another process has the name.
    replaced: bool,
    registrations: Reader,
}

impl Member {
    /// `idle` is for times without a connection.
    fn work(mut self, idle: &Runtime) {
        let mut cut_off = false;
        loop {
            let over = Session::open(&self.database, CHANNEL).and_then(|mut session| {
                session.run(async |connection| self.join(connection).await)?;
                cut_off = false;
                session.run(async |connection| self.serve(connection).await)
            });
            let Err(Over::Lost(why)) = over else { return };
            if !std::mem::replace(&mut cut_off, true) {
                tracing::warn!(
                    "{} is cut off from the database of the switches: {why}; it goes on with what it knows",
                    self.config.name
                );
                self.others = None;
                (self.tell)(Told::CutOff(why));
            }
            let heartbeat = self.config.heartbeat;
            let asked = idle.block_on(async { time::timeout(heartbeat, self.asked.recv()).await });
            if asked.is_ok() {
                return;
            }
        }
    }

    /// This switch joins the others by this connection.
    async fn join(&mut self, connection: &mut PgListener) -> Result<(), Over> {
        // Whoever finds the database first makes its tables.
        if self.incarnation.is_none() {
            let store =
                PostgresStore::new(&self.database.url).map_err(|error| Over::Lost(error.why))?;
            match store.check().await {
                Ok(true) => {}
                Ok(false) => return Err(Over::Lost("it does not answer".into())),
                Err(error) => return Err(Over::Lost(error.why)),
            }
        }
        let joined = switches::join(connection, &self.config, self.incarnation);
        let incarnation = self.database.within(joined).await?;
        let incarnation = incarnation.ok_or_else(|| Over::Lost(self.has_a_double()))?;
        self.database.within_long(registrations::claim(connection, &self.config.name)).await?;
        if self.incarnation.replace(incarnation).is_none() {
            tracing::info!("{} has joined the switches of its database", self.config.name);
        } else {
            tracing::info!("{} is back with the switches of its database", self.config.name);
        }
        (self.tell)(Told::Joined { incarnation });
        Ok(())
    }

    /// Serves by this connection as long as it holds, or until the switch wants to go.
    async fn serve(&mut self, connection: &mut PgListener) -> Result<(), Over> {
        let Ask::Leave = self.served(connection).await?;
        if let Some(incarnation) = self.incarnation {
            let goodbye = switches::leave(connection, &self.config, incarnation);
            // Whoever is not told finds out.
            let _ = time::timeout(GOODBYE, goodbye).await;
        }
        Err(Over::Left)
    }

    /// Gives signs of life and looks at what is new, until the switch wants to go.
    async fn served(&mut self, connection: &mut PgListener) -> Result<Ask, Over> {
        let interval = |period| {
            let mut interval = time::interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let (mut beats, mut prunes) = (interval(self.config.heartbeat), interval(PRUNING));
        self.look(connection).await?;
        self.look_at_registrations(connection).await?;
        self.look_at_configuration(connection).await?;
        loop {
            tokio::select! {
                _ = beats.tick() => self.beat(connection).await?,
                _ = prunes.tick() => {
                    self.database.within_long(registrations::prune(connection)).await?;
                }
                told = connection.try_recv() => match told? {
                    None => return Err(Over::Lost("the connection has ended".into())),
                    Some(told) => self.told(connection, told).await?,
                },
                asked = self.asked.recv() => return asked.ok_or(Over::Succeeded),
            }
        }
    }

    /// Looks at what is said to be new, with all that was said meanwhile.
    async fn told(
        &mut self,
        connection: &mut PgListener,
        first: PgNotification,
    ) -> Result<(), Over> {
        time::sleep(GATHERING).await;
        let mut kinds = BTreeSet::from([first.payload().to_string()]);
        while let Some(more) = connection.next_buffered() {
            kinds.insert(more.payload().into());
        }
        if kinds.contains(switches::CHANGED) {
            self.look(connection).await?;
        }
        if kinds.contains(registrations::CHANGED) {
            self.look_at_registrations(connection).await?;
        }
        if kinds.contains(configuration::CHANGED) {
            self.look_at_configuration(connection).await?;
        }
        Ok(())
    }

    async fn beat(&mut self, connection: &mut PgListener) -> Result<(), Over> {
        let Some(incarnation) = self.incarnation else { return Ok(()) };
        let runs = self.shared.standing().running;
        let beat = switches::beat(connection, &self.config, incarnation, runs);
        if self.database.within(beat).await? {
            self.replaced = false;
        } else if std::mem::replace(&mut self.replaced, true) {
            return Err(Over::Lost(self.has_a_double()));
        }
        self.look(connection).await
    }

    /// Two switches of one name are a mistake. A new process of this switch, to which this one hands over,
    /// has its name for a moment as well.
    fn has_a_double(&self) -> String {
        let name = &self.config.name;
        format!("another process is switch {name} as well; give each a name of its own")
    }

    /// Looks at the others, and tells of them where something is new.
    async fn look(&mut self, connection: &mut PgListener) -> Result<(), Over> {
        let others = self.database.within(switches::others(connection, &self.config)).await?;
        if self.others.as_ref() != Some(&others) {
            self.others = Some(others.clone());
            (self.tell)(Told::Switches(others));
        }
        Ok(())
    }

    /// Looks whether there is a newer version of the shared configuration.
    async fn look_at_configuration(&self, connection: &mut PgListener) -> Result<(), Over> {
        let newest = configuration::newest(connection, self.shared.heard_of());
        self.shared.learn(self.database.within(newest).await?);
        Ok(())
    }

    /// Looks where peers are registered, and tells what is new.
    async fn look_at_registrations(&mut self, connection: &mut PgListener) -> Result<(), Over> {
        let mut reader = std::mem::take(&mut self.registrations);
        let (whole, peers) =
            self.database.within_long(reader.read(connection, &self.config.name)).await?;
        self.registrations = reader;
        if whole || !peers.is_empty() {
            (self.tell)(Told::Registrations { whole, peers });
        }
        Ok(())
    }
}
