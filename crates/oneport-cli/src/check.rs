//! `oneport check`: is a configuration right, and what would it do?

use std::path::{Path, PathBuf};

use clap::Args;
use oneport_switch::api::state_directory;
use oneport_switch::cluster::SharedOffer;
use oneport_switch::{Config, ConfigError, SharedText};

use crate::exit::{Failure, usage};
use crate::serve::explain;

/// Validates a configuration and tells what it would do
#[derive(Args)]
#[command(after_help = "\
Exit code 0: it can be served. 2: the mistake is shown at its place.
With [cluster] the newest of what switches share is read with it; where the database does not answer, that which \
this machine has kept.

Examples:
  oneport check --config /etc/oneport/oneport.toml
  oneport check --shared shared.toml                 whether it goes with this file, before it is set")]
pub(crate) struct Check {
    /// Configuration file; see docs/configuration.md
    #[arg(long, value_name = "FILE", default_value = "oneport.toml")]
    config: PathBuf,
    /// What switches are to share, in place of what they do
    #[arg(long, value_name = "FILE")]
    shared: Option<PathBuf>,
}

impl Check {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let shared = match &self.shared {
            Some(file) => {
                let text = std::fs::read_to_string(file);
                let text = text.map_err(|error| usage(format!("{}: {error}", file.display())))?;
                Some(SharedText { version: None, text })
            }
            None => offered(&self.config).await.map_err(|error| explain(&error))?,
        };
        let file = self.config.display();
        let (config, which) = match &shared {
            Some(shared) => {
                let config = Config::load_with(&self.config, shared);
                (config, format!("{file} with {} is", shared.name().display()))
            }
            None => (Config::load(&self.config), format!("{file} is")),
        };
        let config = config.map_err(|error| explain(&error))?;
        say!("{which} a good configuration.\n");
        say!("{}", config.summary());
        Ok(())
    }
}

/// What a switch with this file is to run of what switches share; it is told where that is not the newest, or where it
/// would start without it.
async fn offered(path: &Path) -> Result<Option<SharedText>, ConfigError> {
    let Some((cluster, url)) = Config::cluster_place(path)? else { return Ok(None) };
    let SharedOffer { newest, kept } = SharedOffer::of(&cluster, &url, &state_directory()).await;
    match (newest, kept) {
        (Ok(Some(newest)), Some(kept)) if newest != kept => {
            eprintln!("the switch of this machine has run {kept:?} last; {newest:?} is looked at");
            Ok(Some(newest))
        }
        (Ok(None), Some(kept)) => {
            eprintln!(
                "the database has no shared configuration: {kept:?} is looked at, which this machine has kept"
            );
            Ok(Some(kept))
        }
        (Ok(newest), _) => Ok(newest),
        (Err(why), Some(kept)) => {
            eprintln!("{why}: {kept:?} is looked at, which this machine has kept");
            Ok(Some(kept))
        }
        (Err(why), None) => {
            eprintln!("{why}: what switches share is not looked at");
            Ok(None)
        }
    }
}
