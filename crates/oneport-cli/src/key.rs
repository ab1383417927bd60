//! `oneport key`: makes and shows RSA keys.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use oneport::{PrivateKey, PublicKey};

use crate::exit::{Failure, failed, usage};

/// Makes and shows the RSA keys by which peers prove who they are
#[derive(Args)]
#[command(after_help = "\
The peer that calls keeps NAME.key (outkey), the peer that is called gets NAME.pub (inkeys).
Asterisk reads both from /var/lib/asterisk/keys and names them without their endings.

Examples:
  oneport key generate site
  oneport key show site.pub")]
pub(crate) struct Key {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Makes NAME.key, to be kept, and NAME.pub, to be given away
    Generate {
        /// Path without ending
        name: PathBuf,
    },
    /// Shows what a key file holds
    Show {
        /// A file made by `generate`, or one of Asterisk's
        file: PathBuf,
    },
}

impl Key {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Generate { name } => generate(&name),
            Action::Show { file } => show(&file),
        }
    }
}

fn generate(name: &Path) -> Result<(), Failure> {
    let ending = |ending: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(ending);
        PathBuf::from(path)
    };
    let (private, public) = (ending(".key"), ending(".pub"));
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(failed)?;
    let key = PrivateKey::generate(seed).map_err(failed)?;
    write_new(&private, 0o600, key.to_pem().map_err(failed)?.as_bytes())?;
    write_new(&public, 0o644, key.public().to_pem().map_err(failed)?.as_bytes())?;
    say!("{}  keep it, for `outkey` here", private.display());
    say!("{}  give it away, for `inkeys` there", public.display());
    Ok(())
}

/// Writes a file that is not there yet: a key overwritten is lost.
fn write_new(path: &Path, mode: u32, content: &[u8]) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(|error| {
        usage(format!("{}: {error}", path.display())).hint("choose another name")
    })?;
    file.write_all(content).map_err(failed)
}

fn show(file: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| usage(format!("{}: {error}", file.display())))?;
    let (kind, public) = match (PrivateKey::from_pem(&text), PublicKey::from_pem(&text)) {
        (Ok(key), _) => ("private", key.public()),
        (_, Ok(key)) => ("public", key),
        (Err(error), Err(_)) if text.contains("PRIVATE") => {
            return Err(usage(format!("{}: {error}", file.display())));
        }
        (_, Err(error)) => return Err(usage(format!("{}: {error}", file.display()))),
    };
    say!("{}: {kind} RSA key, {} bits; its public half:", file.display(), public.bits());
    say!("{}", public.to_pem().map_err(failed)?.trim_end());
    Ok(())
}
