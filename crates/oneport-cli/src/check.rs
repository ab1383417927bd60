//! `oneport check`: is a configuration right, and what would it do?

use std::path::PathBuf;

use clap::Args;
use oneport_switch::Config;

use crate::exit::Failure;
use crate::serve::explain;

/// Validates a configuration and tells what it would do
#[derive(Args)]
#[command(after_help = "\
Exit code 0: it can be served. 2: the mistake is shown at its place.

Example:
  oneport check --config /etc/oneport/oneport.toml")]
pub(crate) struct Check {
    /// Configuration file; see docs/configuration.md
    #[arg(long, value_name = "FILE", default_value = "oneport.toml")]
    config: PathBuf,
}

impl Check {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = Config::load(&self.config).map_err(|error| explain(&error))?;
        say!("{} is a good configuration.\n", self.config.display());
        say!("{}", config.summary());
        Ok(())
    }
}
