//! `oneport cdr`: call detail records out of the store, and `oneport why`: what became of a call.

use std::io;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use oneport_switch::store::{CallStory, CdrFilter, ExportError, ExportFormat, Store, export};
use oneport_switch::{Config, StorePlace, Utc};

use crate::exit::{Code, Failure, failed, usage};
use crate::serve::explain;
use crate::storage;

/// Reads call detail records
#[derive(Args)]
pub(crate) struct Cdr {
    #[command(subcommand)]
    command: CdrCommand,
}

#[derive(Subcommand)]
enum CdrCommand {
    Export(Export),
}

/// Where the database is.
#[derive(Args)]
pub(crate) struct Place {
    /// Configuration file that names the database
    #[arg(long, value_name = "FILE", default_value = "oneport.toml")]
    config: PathBuf,
    /// SQLite file, in place of the database that the configuration names
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
}

/// Writes call detail records to standard output, the oldest first; the switch may run or not
#[derive(Args)]
#[command(after_help = "\
Examples:
  oneport cdr export --from 2026-02-01 --to 2026-03-01 > february.csv
  oneport cdr export --format json --number '+4930*' --cause 34")]
struct Export {
    #[command(flatten)]
    place: Place,
    /// How they are written: a table, or one JSON object a line
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only calls that ended then or later: 2026-02-03 (UTC) or 2026-02-03T04:05:06+01:00
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Utc>,
    /// Only calls that ended before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Utc>,
    /// Only legs of this peer
    #[arg(long)]
    peer: Option<String>,
    /// Only calls from or to this number; with * at its end, to any that begins so
    #[arg(long)]
    number: Option<String>,
    /// Only calls that ended with this cause
    #[arg(long)]
    cause: Option<u8>,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    #[default]
    Csv,
    Json,
}

/// Says what became of a call, and why it was refused
#[derive(Args)]
#[command(after_help = "\
Example:
  oneport why 019c1f6e-5b1a-7c3e-9d7a-0a1b2c3d4e5f")]
pub(crate) struct Why {
    /// The id of the call, as in its records and in the log
    call: String,
    #[command(flatten)]
    place: Place,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

/// A moment, or the beginning of a day in UTC.
fn moment(text: &str) -> Result<Utc, String> {
    let day = format!("{text}T00:00:00Z");
    text.parse()
        .or_else(|error: oneport_switch::NoMoment| day.parse().map_err(|_| error.to_string()))
}

impl Place {
    /// Where that is.
    pub(crate) fn named(&self) -> Result<StorePlace, Failure> {
        match &self.database {
            Some(path) => Ok(StorePlace::File(path.clone())),
            None => Config::store_place(&self.config).map_err(|error| explain(&error)),
        }
    }

    /// Opens it to read.
    pub(crate) async fn open(&self) -> Result<Box<dyn Store>, Failure> {
        let place = self.named()?;
        let store = storage::open_to_read(&place).await.map_err(|error| {
            let is_unused = error.is_unused;
            failed(error).hint(match &place {
                _ if is_unused => {
                    "if it is the right one, let `oneport serve` open it once, which makes its tables; otherwise \
                     name another by --config or --database"
                }
                StorePlace::Server { .. } => storage::hint(&place),
                _ => "--database names the file; it must be readable, and so must its -wal",
            })
        })?;
        store.ok_or_else(|| {
            usage(format!("{} keeps no records in a database", self.config.display()))
                .hint("set path or url in [store], or ask the running switch")
        })
    }
}

impl Cdr {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let CdrCommand::Export(export) = self.command;
        export.run().await
    }
}

impl Export {
    async fn run(self) -> Result<(), Failure> {
        let store = self.place.open().await?;
        let filter = CdrFilter {
            from: self.from,
            to: self.to,
            peer: self.peer,
            number: self.number,
            cause: self.cause,
            ..CdrFilter::default()
        };
        let format = match self.format {
            Format::Csv => ExportFormat::Csv,
            Format::Json => ExportFormat::Json,
        };
        match export(&*store, &filter, format, &mut io::stdout()).await {
            Ok(_) => Ok(()),
            // That nobody reads on is no failure.
            Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

impl Why {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let call = self.call.parse().map_err(|_| {
            usage(format!("`{}` is no id of a call", self.call))
                .hint("it is in the log, in the records, and looks like 019c1f6e-5b1a-7c3e-…")
        })?;
        let store = self.place.open().await?;
        let story = CallStory::find(&*store, call).await.map_err(failed)?;
        let story = story.ok_or_else(|| {
            Failure::new(Code::NoSuchNumber, format!("nothing is kept of call {call}")).hint(
                "of refusals the last 10,000 are kept; calls that are still up have no record",
            )
        })?;
        if self.json {
            say!("{}", serde_json::to_string(&story).map_err(failed)?);
        } else {
            say!("{}", story.to_string().trim_end());
        }
        Ok(())
    }
}
