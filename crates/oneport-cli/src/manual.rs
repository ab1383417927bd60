//! `oneport manual`: pages for `man`, made of the same text as `--help`.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::Arguments;
use crate::exit::{Failure, failed};

/// Writes pages for man, one for each command
#[derive(Args)]
pub(crate) struct Manual {
    /// Where to; it is made when missing
    directory: PathBuf,
}

impl Manual {
    pub(crate) fn run(self) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.directory).map_err(failed)?;
        clap_mangen::generate_to(Arguments::command(), &self.directory).map_err(failed)
    }
}
