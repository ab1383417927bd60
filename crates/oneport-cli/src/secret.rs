//! Secrets: from a file, the environment or a prompt; never from the command line, where others
//! can read them.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use oneport::{PrivateKey, Secret};

use crate::exit::{Failure, usage};

/// Where the secret is.
#[derive(Args, Debug)]
pub(crate) struct SecretArgs {
    /// File with the secret; its line end does not count. Without it ONEPORT_SECRET is used, or on
    /// a terminal it is asked for when a user is given
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// RSA key (PEM) that proves who we are to a peer that takes RSA
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Lets the secret be sent in the clear to a peer that asks for it so
    #[arg(long)]
    pub(crate) allow_plaintext: bool,
}

impl SecretArgs {
    /// The RSA key, if there is one.
    pub(crate) fn read_key(&self) -> Result<Option<PrivateKey>, Failure> {
        let Some(path) = &self.key else { return Ok(None) };
        let wrong = |error: String| {
            usage(format!("{}: {error}", path.display()))
                .hint("check --key; `oneport key generate NAME` makes a pair")
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        PrivateKey::from_pem(&text).map(Some).map_err(|error| wrong(error.to_string()))
    }

    /// The secret of `user`, if there is one.
    pub(crate) fn read(&self, user: Option<&str>) -> Result<Option<Secret>, Failure> {
        if let Some(path) = &self.secret_file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                usage(format!("{}: {error}", path.display())).hint("check --secret-file")
            })?;
            return Ok(Some(Secret::from(text.trim_end_matches(['\r', '\n']))));
        }
        if let Ok(text) = std::env::var("ONEPORT_SECRET") {
            return Ok(Some(Secret::from(text)));
        }
        match user {
            Some(user)
                if self.key.is_none()
                    && std::io::stdin().is_terminal()
                    && std::io::stderr().is_terminal() =>
            {
                let text = rpassword::prompt_password(format!("secret of {user}: "));
                text.map(|text| Some(Secret::from(text))).map_err(crate::exit::failed)
            }
            _ => Ok(None),
        }
    }
}
