//! `oneport schema`: what a configuration may hold, for editors.

use clap::Args;

use crate::exit::Failure;

/// Prints the JSON Schema of the configuration file, by which editors complete and check keys
#[derive(Args)]
#[command(after_help = "\
Example:
  oneport schema > oneport.schema.json
and in the first line of oneport.toml:
  #:schema ./oneport.schema.json")]
pub(crate) struct Schema {}

impl Schema {
    #[expect(clippy::unused_self, reason = "as the other commands")]
    pub(crate) fn run(self) -> Result<(), Failure> {
        say!("{:#}", oneport_switch::config_schema());
        Ok(())
    }
}
