//! `oneport import`: an Asterisk configuration becomes one of ours.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use oneport_switch::Config;
use oneport_switch::import::{Files, Imported, Options, SecretPlace, import, music_folders};

use crate::exit::{Failure, failed, usage};

/// Turns an Asterisk configuration into one of ours, and tells what became of each line
#[derive(Args)]
#[command(after_help = "\
Reads iax.conf and what it includes, acl.conf, and the routes of a simple extensions.conf.

Examples:
  oneport import /etc/asterisk
  oneport import /etc/asterisk --output /etc/oneport/oneport.toml --trust 10.8.0.0/16
  oneport import /etc/asterisk --report json > report.json")]
pub(crate) struct Import {
    /// Directory with iax.conf
    directory: PathBuf,
    /// File to write; one that exists is left alone
    #[arg(short, long, value_name = "FILE", default_value = "oneport.toml")]
    output: PathBuf,
    /// Overwrites the file, and those of the secrets
    #[arg(long)]
    force: bool,
    /// How the fate of each line is told
    #[arg(long, value_name = "FORM", default_value = "text")]
    report: Form,
    /// Where secrets go: into files that only the owner may read, or into the file itself
    #[arg(long, value_name = "WHERE", default_value = "files")]
    secrets: Secrets,
    /// Network from which plaintext and missing call tokens are accepted, for peers whose own
    /// access lists and addresses name none; may be given several times
    #[arg(long, value_name = "NETWORK")]
    trust: Vec<IpNet>,
    /// Directory with Asterisk's RSA keys
    #[arg(long, value_name = "DIR", default_value = "/var/lib/asterisk/keys")]
    keys: PathBuf,
    /// Directory with the WAV files of Playback
    #[arg(long, value_name = "DIR", default_value = "/var/lib/asterisk/sounds/en")]
    sounds: PathBuf,
    /// Directory of Asterisk's data (astdatadir), where relative paths of music start
    #[arg(long, value_name = "DIR", default_value = "/var/lib/asterisk")]
    data: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Form {
    Text,
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Secrets {
    Files,
    Inline,
}

/// Larger files are no configuration.
const LARGEST: u64 = 4 << 20;

impl Import {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let files = read_directory(&self.directory)?;
        if !files.contains_key("iax.conf") {
            let what = format!("there is no iax.conf in {}", self.directory.display());
            return Err(usage(what).hint("name the directory of Asterisk's configuration"));
        }
        if self.output.exists() && !self.force {
            let what = format!("{} is there already", self.output.display());
            return Err(usage(what).hint("choose another --output, or --force"));
        }
        let output = std::path::absolute(&self.output).map_err(failed)?;
        let beside =
            format!("{}.secrets", output.file_stem().unwrap_or_default().to_string_lossy());
        let directory = output.with_file_name(beside);
        let imported = import(
            &files,
            &Options {
                secrets: match self.secrets {
                    Secrets::Files => SecretPlace::Files(directory.clone()),
                    Secrets::Inline => SecretPlace::Inline,
                },
                trusted: self.trust.clone(),
                key_directory: self.keys.clone(),
                keys: names_in(&self.keys),
                data_directory: self.data.clone(),
                music: music_folders(&files, &self.data)
                    .into_iter()
                    .filter(|folder| names_in(folder).iter().any(|name| name.ends_with(".wav")))
                    .collect(),
                sound_directory: self.sounds.clone(),
                sounds: names_in(&self.sounds),
            },
        );
        if !imported.secrets.is_empty() {
            self.write_secrets(&directory, &imported)?;
        }
        // Secrets may stand in it.
        write_private(&output, &imported.config, self.force)?;
        match self.report {
            Form::Text => say!("{}", imported.report),
            Form::Json => match serde_json::to_string_pretty(&imported.report) {
                Ok(report) => say!("{report}"),
                Err(error) => return Err(failed(error)),
            },
        }
        eprintln!("written: {}", output.display());
        // A name that cannot be found now may be found where it runs.
        if let Err(error) = Config::parse(&output, &imported.config) {
            eprintln!("not ready to run: {error}");
        }
        Ok(())
    }

    fn write_secrets(&self, directory: &Path, imported: &Imported) -> Result<(), Failure> {
        let said = |error: io::Error| failed(format!("{}: {error}", directory.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(said)?;
        for file in &imported.secrets {
            write_private(&file.path, file.secret.expose(), self.force)?;
        }
        Ok(())
    }
}

/// All texts below a directory, by their path in it.
pub(crate) fn read_directory(root: &Path) -> Result<Files, Failure> {
    let mut files = Files::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(directory) = left.pop() {
        let entries = fs::read_dir(&directory)
            .map_err(|error| failed(format!("{}: {error}", directory.display())))?;
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(about) = fs::metadata(&path) else { continue };
            if about.is_dir() && !path.is_symlink() {
                left.push(path);
            } else if about.is_file() && about.len() <= LARGEST {
                let Ok(name) = path.strip_prefix(root) else { continue };
                let text = fs::read(&path)
                    .map_err(|error| failed(format!("{}: {error}", path.display())))?;
                let text = String::from_utf8_lossy(&text).into_owned();
                files.insert(name.display().to_string(), text);
            }
        }
    }
    Ok(files)
}

fn names_in(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let said = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            usage(format!("{} is there already", path.display())).hint("--force overwrites it")
        }
        _ => failed(format!("{}: {error}", path.display())),
    };
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut file = options.open(path).map_err(said)?;
    // One that was there may have been open to others.
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(said)?;
    file.write_all(text.as_bytes()).map_err(said)
}
