//! `oneport completions`: what shells complete by.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::Arguments;
use crate::exit::{Failure, failed};

/// Prints what a shell completes commands and options by
#[derive(Args)]
#[command(after_help = "\
Examples:
  oneport completions bash > ~/.local/share/bash-completion/completions/oneport
  oneport completions fish > ~/.config/fish/completions/oneport.fish
  oneport completions zsh > \"${fpath[1]}/_oneport\"")]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        // Writing straight to a pipe that is closed would be a panic of the generator.
        let mut text = Vec::new();
        generate(self.shell, &mut Arguments::command(), "oneport", &mut text);
        let text = String::from_utf8(text).map_err(failed)?;
        say!("{}", text.trim_end());
        Ok(())
    }
}
