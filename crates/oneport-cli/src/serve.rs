//! `oneport serve`: the switch.

use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use miette::{LabeledSpan, NamedSource, miette};
use oneport::{Driver, DriverConfig, Inheritance, StartError};
use oneport_switch::api::{Api, ApiError, Given, Reloader, state_directory, token_file};
use oneport_switch::cluster::{Cluster, SharedConfiguration};
use oneport_switch::realtime::{Realtime, RealtimePeers};
use oneport_switch::store::Store;
use oneport_switch::{
    ApiConfig, Builtin, Config, ConfigError, KnownHosts, LogTail, StorePlace, Switch,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::drain::Drains;
use crate::exit::{Code, Failure, failed};
use crate::heir::{Activated, Heirs, Heritage, Process, Turn};
use crate::log::LogFormat;
use crate::notify;
use crate::reload::{self, Hosts, Reloads};
use crate::storage::{self, Storage};

/// Runs the switch
#[derive(Args)]
#[command(after_help = "\
Examples:
  oneport serve                           port 4569, echo, milliwatt and probe for everybody
  oneport serve --config oneport.toml     peers, routes and registrations of a file

The file is read again when it changes, and on SIGHUP; calls go on, and a file with a mistake \
changes nothing. SIGUSR1 drains: calls that are up go on, new ones are refused (cause 42); another \
SIGUSR1 takes calls again. SIGUSR2 starts the installed program, which takes over while calls go \
on. The log goes to standard error; ONEPORT_LOG=debug says more.")]
pub(crate) struct Serve {
    /// Configuration file; see docs/configuration.md
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on in place of the configured ones; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<SocketAddr>,
    /// TCP address of the HTTP API in place of the configured one
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_api")]
    api: Option<SocketAddr>,
    /// Serves without the HTTP API
    #[arg(long)]
    no_api: bool,
    /// How the log is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,
    /// Ends when it is drained and the last call has ended
    #[arg(long)]
    exit_when_drained: bool,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let log = crate::log::begin(self.log_format);
        let mut heritage = Heritage::take()?;
        let mut activated = match heritage {
            Some(_) => Activated::default(),
            None => Activated::take()?,
        };
        let (mut config, shared) = match &self.config {
            None => (Config::default(), SharedConfiguration::default()),
            Some(path) => {
                let (known, state) = (KnownHosts::new(), state_directory());
                let loaded = SharedConfiguration::at_start(path, &known, &state).await;
                loaded.map_err(|error| explain(&error))?
            }
        };
        for host in &config.lost_hosts {
            tracing::warn!("host {host} cannot be found; it is looked up again every minute");
        }
        // Where nobody chose the addresses, a system without IPv6 is no failure.
        let chosen = self.config.is_some() || !self.listen.is_empty();
        if !self.listen.is_empty() {
            config.listen = self.listen;
            config.chosen_by_command.listen = true;
        }
        if let Some(address) = self.api {
            (config.api.enabled, config.api.chosen, config.api.listen) = (true, true, address);
        }
        config.api.enabled &= !self.no_api;
        config.chosen_by_command.api = self.no_api || self.api.is_some();
        let storage = Storage::open(&config.store).await?;
        let is_heir = heritage.is_some();
        let mut given = Given { listener: activated.api.take(), ..Given::default() };
        let mut asked = config.listen.clone();
        let mut sip = None;
        let port = match heritage.take() {
            None if activated.udp.is_empty() => Port::Own,
            None => {
                // What systemd has bound is the port.
                asked = activated.udp.iter().filter_map(|udp| udp.local_addr().ok()).collect();
                Port::Activated(activated.udp)
            }
            Some(Heritage { inheritance, listen, api, token, sip: sockets }) => {
                sip = Some((inheritance.generation, sockets));
                (given.listener, given.token) = (api, token);
                let new = config.listen.iter().filter(|address| !listen.contains(address));
                let new: Vec<SocketAddr> = new.copied().collect();
                asked = [listen, new.clone()].concat();
                Port::Inherited(Box::new(inheritance), new)
            }
        };
        let rows = RealtimePeers::load(&config).await.map_err(|error| {
            let hint = "url of [realtime] names the database, peers and users its tables; \
                        docs/realtime.md says what is in them";
            failed(error).hint(hint)
        })?;
        let driver = start(config.clone(), chosen, port, &storage, &rows, &shared)?;
        let mut heirs = Heirs::of(&driver, asked).await?;
        given.upgrades = Some(heirs.upgrades());
        given.shared = shared.clone();
        let gateway = match sip {
            None => Switch::start_gateway(&driver, &config),
            Some((own, sockets)) => Switch::inherit_gateway(&driver, &config, own, sockets),
        };
        let gateway = gateway.map_err(failed)?;
        // Each signal has its listener before anybody learns of this process: one that nobody listens to
        // ends it at once, with its calls.
        let mut stops = Stops::new().map_err(failed)?;
        let file = self.config.as_deref();
        let mut reloads = file.map(Reloads::of).transpose().map_err(failed)?;
        let mut drains = Drains::of(&driver, self.exit_when_drained).await?;
        if is_heir {
            driver.ready();
            heirs.serves().await?;
        }
        let store = storage.store();
        let mut api = start_api(&config.api, &driver, store.clone(), file, log.clone(), given)?;
        let writer = storage.start(&driver).map_err(failed)?;
        let mut cluster = join(&config, &driver, &shared)?;
        let mut realtime = Realtime::start(&config, &driver).map_err(failed)?;
        let reloader_of = |api: Option<&Api>| match (api, file) {
            (Some(api), _) => api.reloader().cloned(),
            (None, Some(file)) => Some(Reloader::new(file, &driver, shared.clone())),
            (None, None) => None,
        };
        let mut reloader = reloader_of(api.as_ref());
        let watchdog = notify::watchdog(&driver);
        let listens: Vec<String> =
            driver.local_addresses().iter().map(ToString::to_string).collect();
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!("oneport {version} listens on UDP {}", listens.join(" and "));
        if !is_heir {
            greet(driver.local_addresses(), api.as_ref()).await;
        }
        notify::ready();
        let mut hosts = Hosts::default();
        // What the API of a process that has been succeeded left, in case it serves again.
        let mut left = None;
        loop {
            let reload = async {
                match &mut reloads {
                    Some(reloads) => reloads.next().await,
                    None => std::future::pending().await,
                }
            };
            let (api_now, gateway) = (api.as_ref(), gateway.as_ref());
            let process = Process { driver: &driver, api: api_now, gateway };
            tokio::select! {
                () = stops.next() => break,
                drained = drains.next(&driver, gateway) => match drained {
                    true => break,
                    false => continue,
                },
                turn = heirs.next(process) => {
                    match turn {
                        Turn::None => {}
                        Turn::Ends => break,
                        Turn::Retired(pid) => {
                            notify::succeeded_by(pid);
                            drains.succeeded(true);
                            left = api.as_ref().and_then(|api| api.leave().ok());
                            (reloads, reloader, api) = (None, None, None);
                            // The new process is this switch now.
                            (cluster, realtime) = (None, None);
                        }
                        Turn::Back => {
                            notify::succeeded_by(std::process::id());
                            drains.succeeded(false);
                            let (listener, token) = left.take().unzip();
                            let (upgrades, token) = (Some(heirs.upgrades()), token.flatten());
                            let given = Given { listener, token, upgrades, shared: shared.clone() };
                            api = start_api(&config.api, &driver, store.clone(), file, log.clone(), given)?;
                            reloads = file.map(Reloads::of).transpose().map_err(failed)?;
                            reloader = reloader_of(api.as_ref());
                            cluster = join(&config, &driver, &shared)?;
                            realtime = Realtime::start(&config, &driver).map_err(failed)?;
                        }
                    }
                    continue;
                }
                () = reload => {}
                () = shared.news() => {}
                () = hosts.moved(reloader.as_ref()) => {}
            }
            notify::reloading();
            if let Some(reloader) = &reloader {
                reload::carry_out(reloader).await;
            }
            notify::ready();
        }
        if !drains.is_succeeded() {
            notify::stopping();
            // Nobody would hand calls on to them.
            driver.post(|_, switch, _| switch.end_older());
        }
        if let Some(watchdog) = watchdog {
            watchdog.abort();
            // It is gone, and its hold on the driver with it.
            let _ = watchdog.await;
        }
        drop((reloads, reloader, api, left, heirs));
        tracing::info!("stopping; calls are hung up");
        let traces = driver.with(|_, switch, _| switch.last_traces()).await.ok().flatten();
        driver.stop().await;
        if let Some(cluster) = cluster {
            cluster.leave().await;
        }
        if let Some(realtime) = realtime {
            realtime.leave().await;
        }
        // The carriers have heard of the ends; now it leaves them.
        drop(gateway);
        if let Some(writer) = writer {
            writer.finished().await;
        }
        if let Some(traces) = traces {
            traces.sent().await;
        }
        if let Some(store) = store {
            storage::close(&*store).await;
        }
        Ok(())
    }
}

/// Where the sockets of the port come from.
enum Port {
    /// They are bound here.
    Own,
    /// From systemd.
    Activated(Vec<UdpSocket>),
    /// From the process before; others are bound beside.
    Inherited(Box<Inheritance>, Vec<SocketAddr>),
}

fn start(
    config: Config,
    chosen: bool,
    port: Port,
    storage: &Storage,
    rows: &RealtimePeers,
    shared: &SharedConfiguration,
) -> Result<Driver<Switch>, Failure> {
    let endpoint = config.endpoint.clone();
    let of = |listen: Vec<SocketAddr>| DriverConfig {
        listen,
        endpoint: endpoint.clone(),
        busy_poll: config.busy_poll,
        gather: config.gather,
        ..DriverConfig::default()
    };
    let switch = || {
        let mut switch = Switch::new(config.clone());
        storage.attach(&mut switch);
        rows.attach(&mut switch);
        switch.share_configuration(shared.clone());
        switch
    };
    let mut listen = match port {
        Port::Activated(sockets) => {
            return Driver::start_on(of(Vec::new()), sockets, switch()).map_err(failed);
        }
        Port::Inherited(inheritance, new) => {
            let mut heir = switch();
            heir.inherit(inheritance.generation);
            return Driver::inherit(of(new), *inheritance, heir).map_err(failed);
        }
        Port::Own => config.listen.clone(),
    };
    loop {
        match Driver::start(of(listen.clone()), switch()) {
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

/// Joins the other switches with the same database; `None`: it is alone.
fn join(
    config: &Config,
    driver: &Driver<Switch>,
    shared: &SharedConfiguration,
) -> Result<Option<Cluster>, Failure> {
    let (Some(cluster), StorePlace::Server { url, .. }) = (&config.cluster, &config.store.place)
    else {
        return Ok(None);
    };
    Cluster::join(cluster, url, driver, shared).map(Some).map_err(failed)
}

/// Starts the API. Where nobody chose its address, that another has it is no failure.
fn start_api(
    config: &ApiConfig,
    driver: &Driver<Switch>,
    store: Option<Arc<dyn Store>>,
    file: Option<&Path>,
    log: LogTail,
    given: Given,
) -> Result<Option<Api>, Failure> {
    if !config.enabled {
        return Ok(None);
    }
    match Api::start_with(config, driver, store, file, Some(log), &state_directory(), given) {
        Ok(api) => {
            tracing::info!("the API listens on http://{}", api.address());
            Ok(Some(api))
        }
        Err(error) if !config.chosen => {
            tracing::warn!("no API: {error}; --api or api.listen chooses another address");
            Ok(None)
        }
        Err(error) => {
            let hint = match &error {
                ApiError::Bind { .. } => "choose another address by --api or api.listen",
                ApiError::Token { .. } => {
                    "configure a token ([api.tokens.NAME]), or let STATE_DIRECTORY name a \
                     directory that can be written"
                }
                ApiError::System(_) => "give the process more threads",
            };
            Err(failed(error).hint(hint))
        }
    }
}

/// What it listens on, and what to try next.
async fn greet(addresses: &[SocketAddr], api: Option<&Api>) {
    let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let names: Vec<String> =
        Builtin::ALL.iter().map(|one| format!("{one} ({})", one.number())).collect();
    let at = match addresses.first() {
        // It is everywhere, so it is here.
        Some(all) if all.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], all.port())),
        Some(first) => *first,
        None => SocketAddr::from(([127, 0, 0, 1], oneport::DEFAULT_PORT)),
    };
    let at = match at.to_string() {
        at if at.ends_with(&format!(":{}", oneport::DEFAULT_PORT)) => at[..at.len() - 5].to_owned(),
        at => at,
    };
    let text = format!(
        "oneport is listening on UDP {}
built-in destinations: {}; guests reach echo, milliwatt and probe
try next, in another terminal:
  oneport call {at}/milliwatt --record first.wav --duration 3s
or from Asterisk's console:
  channel originate IAX2/{at}/600 application Milliwatt
",
        list.join(" and "),
        names.join(", "),
    );
    let api = match api {
        Some(api) => greeting_of(api).await,
        None => String::new(),
    };
    let text = text + &api;
    // That nobody reads it is no reason not to serve.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Where API and console are, and how one gets in.
async fn greeting_of(api: &Api) -> String {
    let file = token_file(&state_directory(), api.address().port());
    let token = match file.exists() {
        true => format!(" with the token in {}", file.display()),
        false => String::new(),
    };
    let console = match api.first_link().await {
        Some(link) => format!(
            "the console has no user yet; whoever opens this link makes the first:\n  {link}\n"
        ),
        None => format!("the console is at {}\n", api.console()),
    };
    format!(
        "the API listens on http://{}{token}; `oneport status` asks it\n{console}",
        api.address()
    )
}

/// Ctrl-C and SIGTERM.
struct Stops {
    interrupted: Signal,
    terminated: Signal,
}

impl Stops {
    /// Listens from now on.
    fn new() -> io::Result<Self> {
        let interrupted = signal(SignalKind::interrupt())?;
        Ok(Self { interrupted, terminated: signal(SignalKind::terminate())? })
    }

    /// Waits for one of them.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupted.recv() => {}
            _ = self.terminated.recv() => {}
        }
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
