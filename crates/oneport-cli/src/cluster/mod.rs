//! `oneport cluster`: the switches with the same database.

mod config;

use clap::{Args, Subcommand};
use oneport_switch::cluster::{Forgotten, NotForgotten, Session, forget};
use oneport_switch::{DatabaseKind, DatabaseUrl, StorePlace};

use crate::api::ApiArgs;
use crate::cdr::Place;
use crate::exit::{Failure, failed, usage};
use crate::show::Show;
use crate::table::count;

/// Shows the switches with the same database and what they share, and forgets one that does not come back
#[derive(Args)]
#[command(after_help = "\
Examples:
  oneport cluster show
  oneport cluster config set shared.toml
  oneport cluster forget bonn --config /etc/oneport/oneport.toml          it was stopped or killed for good
  oneport cluster forget bonn --gone --config /etc/oneport/oneport.toml   its machine is gone for certain")]
pub(crate) struct Cluster {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Shows who is there, as a running switch knows it
    Show(Shown),
    Config(config::SharedConfig),
    /// Takes a dead switch out of the database: its slots of shared limits, and who was registered at it
    Forget(Forget),
}

#[derive(Args)]
struct Shown {
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Args)]
struct Forget {
    /// The switch; its calls must have ended
    name: String,
    /// Its machine is gone for certain: a session that the database still has with it is ended
    #[arg(long)]
    gone: bool,
    #[command(flatten)]
    place: Place,
}

/// The database at `place`, where switches can share it.
pub(crate) fn shared_by_switches(place: &StorePlace) -> Option<&DatabaseUrl> {
    match place {
        StorePlace::Server { url, .. } if url.kind() == DatabaseKind::Postgres => Some(url),
        _ => None,
    }
}

/// The database that switches share.
fn database(place: &Place) -> Result<DatabaseUrl, Failure> {
    shared_by_switches(&place.named()?).cloned().ok_or_else(|| {
        usage("switches share a database of PostgreSQL alone")
            .hint("--config names the file of one of them")
    })
}

impl Cluster {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.what {
            What::Show(Shown { json, api }) => Show::switches(json, api).run(),
            What::Config(config) => config.run().await,
            What::Forget(forget) => forget.run().await,
        }
    }
}

impl Forget {
    async fn run(self) -> Result<(), Failure> {
        let url = database(&self.place)?;
        let session = if self.gone { Session::IsLeftBehind } else { Session::MayLive };
        let Forgotten { limits, registrations } =
            forget(&url, &self.name, session).await.map_err(|error| match error {
                NotForgotten::Alive(..) => failed(error)
                    .hint("stop it first; one that is stopped gives back what it has by itself"),
                NotForgotten::Connected(_) => failed(error).hint(
                    "stop it first; where its machine has vanished, the database notices after an hour or \
                     two, and --gone says that it is so",
                ),
                NotForgotten::Unknown(_) => failed(error).hint("oneport cluster show names them"),
                _ => failed(error),
            })?;
        let registrations = usize::try_from(registrations).unwrap_or(usize::MAX);
        say!(
            "switch {} is forgotten: its slots of {}, and {} at it",
            self.name,
            count(limits, "limit"),
            count(registrations, "registration")
        );
        Ok(())
    }
}
