//! `oneport serve`: the switch.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use miette::{LabeledSpan, NamedSource, miette};
use oneport::{Driver, DriverConfig, StartError};
use oneport_switch::{Builtin, Config, ConfigError, Switch};
use tracing_subscriber::EnvFilter;

use crate::exit::{Code, Failure, failed};
use crate::reload::Reloads;

/// Runs the switch
#[derive(Args)]
#[command(after_help = "\
Examples:
  oneport serve                           port 4569, echo and milliwatt for everybody
  oneport serve --config oneport.toml     peers, routes and registrations of a file

The file is read again when it changes, and on SIGHUP; calls go on, and a file with a mistake changes
nothing. The log goes to standard error; ONEPORT_LOG=debug says more.")]
pub(crate) struct Serve {
    /// Configuration file; see docs/configuration.md
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on in place of the configured ones; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<SocketAddr>,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let filter = EnvFilter::try_from_env("ONEPORT_LOG");
        tracing_subscriber::fmt()
            .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info")))
            .with_writer(io::stderr)
            .with_ansi(crate::style::is_colourful())
            .with_target(false)
            .init();
        let mut config = match &self.config {
            None => Config::default(),
            Some(path) => Config::load(path).map_err(|error| explain(&error))?,
        };
        // Where nobody chose the addresses, a system without IPv6 is no failure.
        let chosen = self.config.is_some() || !self.listen.is_empty();
        if !self.listen.is_empty() {
            config.listen = self.listen;
        }
        let driver = start(config, chosen)?;
        let mut reloads = self.config.as_deref().map(Reloads::of).transpose().map_err(failed)?;
        greet(driver.local_addresses());
        let mut stopped = std::pin::pin!(stopped());
        loop {
            let reload = async {
                match &mut reloads {
                    Some(reloads) => reloads.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut stopped => break,
                () = reload => {}
            }
            if let Some(reloads) = &reloads {
                reloads.carry_out(&driver).await;
            }
        }
        drop(reloads);
        tracing::info!("stopping; calls are hung up");
        driver.stop().await;
        Ok(())
    }
}

fn start(config: Config, chosen: bool) -> Result<Driver<Switch>, Failure> {
    let mut listen = config.listen.clone();
    loop {
        let driver = DriverConfig { listen: listen.clone(), endpoint: config.endpoint.clone() };
        match Driver::start(driver, Switch::new(config.clone())) {
            Ok(driver) => return Ok(driver),
            Err(StartError::Bind { address, source })
                if !chosen && address.is_ipv6() && source.kind() != io::ErrorKind::AddrInUse =>
            {
                tracing::warn!("no IPv6: {source}");
                listen.retain(|other| *other != address);
            }
            Err(error) => {
                let failure = Failure::new(Code::Failed, &error);
                return Err(match error {
                    StartError::Bind { source, .. }
                        if source.kind() == io::ErrorKind::AddrInUse =>
                    {
                        failure.hint(
                            "another program, perhaps Asterisk, uses that port; --listen \
                             127.0.0.1:4570 takes another",
                        )
                    }
                    _ => failure,
                });
            }
        }
    }
}

/// What it listens on, and what to try next.
fn greet(addresses: &[SocketAddr]) {
    let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let names: Vec<String> =
        Builtin::ALL.iter().map(|one| format!("{one} ({})", one.number())).collect();
    let at = match addresses.first().map_or(0, SocketAddr::port) {
        oneport::DEFAULT_PORT => String::new(),
        port => format!(":{port}"),
    };
    let text = format!(
        "oneport is listening on UDP {}
built-in destinations: {}; guests reach echo and milliwatt
try next, in another terminal:
  oneport call 127.0.0.1{at}/milliwatt --record first.wav --duration 3s
or from Asterisk's console:
  channel originate IAX2/127.0.0.1{at}/600 application Milliwatt
",
        list.join(" and "),
        names.join(", "),
    );
    // That nobody reads it is no reason not to serve.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Waits for Ctrl-C or SIGTERM.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Shows the place at which a configuration is wrong.
pub(crate) fn show(error: &ConfigError) {
    let shown =
        miette!(labels = vec![LabeledSpan::at(error.span.clone(), "here")], "{}", error.message);
    if !error.source_text.is_empty() {
        let name = error.file.display().to_string();
        let source = NamedSource::new(name, error.source_text.to_string());
        eprint!("{:?}", shown.with_source_code(source));
    }
}

/// A configuration error with the place it stands at.
pub(crate) fn explain(error: &ConfigError) -> Failure {
    show(error);
    let failure = Failure::new(Code::Usage, error);
    match &error.help {
        Some(help) => failure.hint(help.clone()),
        None => failure,
    }
}
