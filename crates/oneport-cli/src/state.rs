//! `oneport state`: all that a switch keeps, out of its database, into another.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use oneport_switch::store::{
    QueuedStore, StateCounts, StateError, Store, copy_state, export_state, import_state,
};
use oneport_switch::{Config, StorePlace};

use crate::cdr::Place;
use crate::cluster::shared_by_switches;
use crate::exit::{Failure, failed, usage};
use crate::serve::explain;
use crate::storage;

/// Moves all that a switch keeps: records of calls, refusals, registrations, users, the shared configuration
#[derive(Args)]
#[command(after_help = "\
Examples:
  oneport state copy --database oneport.db --to-config oneport.toml   into the database that [store] names
  oneport state export > state.jsonl                                  into a file
  oneport state import state.jsonl                                    out of it")]
pub(crate) struct State {
    #[command(subcommand)]
    command: StateCommand,
}

#[derive(Subcommand)]
enum StateCommand {
    /// Copies it from one database into another, and compares both
    Copy(Copy),
    /// Writes it to standard output, one JSON object a line; hashes of passwords are in it, and secrets that are shared
    Export(Place),
    /// Puts what was exported into a database, beside what is there
    Import(Import),
}

#[derive(Args)]
struct Copy {
    #[command(flatten)]
    from: Place,
    /// Configuration file that names the database it goes to
    #[arg(long, value_name = "FILE", required_unless_present = "to_database")]
    to_config: Option<PathBuf>,
    /// SQLite file it goes to
    #[arg(long, value_name = "FILE", conflicts_with = "to_config")]
    to_database: Option<PathBuf>,
}

#[derive(Args)]
struct Import {
    /// What `oneport state export` wrote; `-` is standard input
    file: PathBuf,
    #[command(flatten)]
    to: Place,
}

impl State {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            StateCommand::Copy(copy) => copy.run().await,
            StateCommand::Export(place) => {
                let store = open_to_leave(&place).await?;
                match export_state(&*store, &mut BufWriter::new(io::stdout())).await {
                    // That nobody reads on is no failure.
                    Err(StateError::File(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
                    done => drop(done.map_err(failed)?),
                }
                Ok(())
            }
            StateCommand::Import(import) => import.run().await,
        }
    }
}

impl Copy {
    async fn run(self) -> Result<(), Failure> {
        let from = open_to_leave(&self.from).await?;
        let place = match (self.to_database, self.to_config) {
            (Some(path), _) => StorePlace::File(path),
            (None, config) => configured(&config.unwrap_or_default())?,
        };
        let to = open_to_fill(&place).await?;
        if from.describe() == to.describe() {
            return Err(usage(format!("{} is copied into itself", from.describe()))
                .hint("--database names the file it comes from"));
        }
        let counts = copy_state(&*from, &*to).await.map_err(failed)?;
        to.close().await.map_err(failed)?;
        say!("copied from {} to {}, and compared: {counts}", from.describe(), to.describe());
        tell_of_configuration(&place, counts);
        Ok(())
    }
}

impl Import {
    async fn run(self) -> Result<(), Failure> {
        let place = self.to.named()?;
        let store = open_to_fill(&place).await?;
        let counts = if self.file == Path::new("-") {
            import_state(&*store, &mut BufReader::new(io::stdin())).await
        } else {
            let file = File::open(&self.file)
                .map_err(|error| failed(format!("{}: {error}", self.file.display())))?;
            import_state(&*store, &mut BufReader::new(file)).await
        };
        let counts = counts.map_err(failed)?;
        store.close().await.map_err(failed)?;
        say!("put into {}: {counts}", store.describe());
        tell_of_configuration(&place, counts);
        Ok(())
    }
}

/// Peers and routes that no switch would have any more are not to be missed by the first call.
fn tell_of_configuration(place: &StorePlace, counts: StateCounts) {
    if counts.configurations > 0 && shared_by_switches(place).is_none() {
        eprintln!(
            "what switches shared of their configuration is kept there, and no switch runs it there: put what \
             `oneport cluster config show` prints into the file of the switch"
        );
    }
}

fn configured(file: &Path) -> Result<StorePlace, Failure> {
    Config::store_place(file).map_err(|error| explain(&error))
}

/// What is to be read, if all of it is there.
async fn open_to_leave(place: &Place) -> Result<Box<dyn Store>, Failure> {
    if let StorePlace::Server { queue, .. } = place.named()? {
        let waiting = QueuedStore::waiting_in(&queue).await.map_err(failed)?;
        if waiting > 0 {
            let what = format!("{waiting} records still wait in {}", queue.display());
            return Err(failed(what).hint("start the switch until its database has them"));
        }
    }
    place.open().await
}

async fn open_to_fill(place: &StorePlace) -> Result<Box<dyn Store>, Failure> {
    let store = storage::open_to_fill(place).await;
    let store = store.map_err(|error| failed(error).hint(storage::hint(place)))?;
    store.ok_or_else(|| {
        usage("the configuration keeps nothing in a database").hint("set path or url in [store]")
    })
}
