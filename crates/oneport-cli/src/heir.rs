//! `oneport serve` hands over to another process of the program: on SIGUSR2, and when the API is asked to.
//!
//! The heir is the program as it lies at its path now, with the same arguments. Its standard input is the
//! connection between the two, by which it gets the sockets; nothing else of it is needed, and nobody else can
//! reach it. Standard output and error, and so the log, are the same.

use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oneport::{Driver, Inheritance, succession_connection};
use oneport_switch::api::model::{OlderView, UpgradeView};
use oneport_switch::api::{Api, USUAL_PATIENCE, UpgradeRequest, Upgrades};
use oneport_switch::sip::{Gateway, SipSocket};
use oneport_switch::{Succession, Switch};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::exit::{Failure, failed};

/// Says to a process that its standard input is a connection with the one before it.
const HEIR: &str = "ONEPORT_HEIR";
/// Between the end of a process's connections and the moment at which it can be waited for.
const GRACE: Duration = Duration::from_millis(200);
/// How often it is looked whether the heir still lives.
const LOOK: Duration = Duration::from_millis(50);
/// Requests that may wait.
const REQUESTS: usize = 4;

/// What an heir is told of the sockets that it gets.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Estate {
    /// Addresses of the port, as they were configured.
    listen: Vec<SocketAddr>,
    /// Whether the listener of the API comes along.
    api: bool,
    /// The hash of the token that was made for it.
    token: Option<[u8; 32]>,
    /// Transports and addresses of SIP, as they were configured.
    #[serde(default)]
    sip: Vec<(String, SocketAddr)>,
}

/// What this process has from the one before, if there is one.
pub(crate) struct Heritage {
    pub(crate) inheritance: Inheritance,
    /// Addresses that need not be bound.
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) api: Option<TcpListener>,
    pub(crate) token: Option<[u8; 32]>,
    pub(crate) sip: Vec<SipSocket>,
}

impl Heritage {
    /// Takes it, where this process was started as an heir.
    pub(crate) fn take() -> Result<Option<Self>, Failure> {
        if std::env::var_os(HEIR).is_none() {
            return Ok(None);
        }
        let taken = || {
            let connection = io::stdin().as_fd().try_clone_to_owned()?;
            let inheritance = Inheritance::receive(connection)?;
            let estate: Estate = serde_json::from_slice(&inheritance.word)?;
            Ok::<_, io::Error>((inheritance, estate))
        };
        let (mut inheritance, estate) = taken().map_err(|error| {
            failed(format!("nothing is taken over: {error}"))
                .hint("ONEPORT_HEIR is for processes that another one starts")
        })?;
        let mut descriptors = std::mem::take(&mut inheritance.descriptors).into_iter();
        let api = if estate.api { descriptors.next().map(TcpListener::from) } else { None };
        let (listen, token) = (estate.listen, estate.token);
        let sip = estate.sip.into_iter().zip(descriptors);
        let sip = sip.filter_map(|((transport, address), socket)| {
            SipSocket::inherited(&transport, address, socket)
        });
        Ok(Some(Self { inheritance, listen, api, token, sip: sip.collect() }))
    }
}

/// Sockets that systemd has bound for this process (LISTEN_FDS): the first for TCP is that of the API.
#[derive(Default)]
pub(crate) struct Activated {
    pub(crate) udp: Vec<UdpSocket>,
    pub(crate) api: Option<TcpListener>,
}

impl Activated {
    pub(crate) fn take() -> Result<Self, Failure> {
        let mut given = listenfd::ListenFd::from_env();
        let mut activated = Self::default();
        for n in 0..given.len() {
            if let Ok(Some(socket)) = given.take_udp_socket(n) {
                activated.udp.push(socket);
            } else if activated.api.is_none()
                && let Ok(Some(listener)) = given.take_tcp_listener(n)
            {
                activated.api = Some(listener);
            } else {
                return Err(failed(format!("the {n}th socket of LISTEN_FDS is of no use here"))
                    .hint(
                        "ListenDatagram= names addresses of the port, one ListenStream= the API",
                    ));
            }
        }
        Ok(activated)
    }
}

/// An heir under way, or one that has taken over.
struct Heir {
    child: Child,
}

impl Heir {
    /// What became of one that has let go of its connection: it is about to end, or is ended.
    fn end(mut self) -> String {
        let until = Instant::now() + GRACE;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return format!("the new process has ended: {status}");
            }
            std::thread::sleep(GRACE / 20);
        }
        self.kill();
        "the new process was ended".into()
    }

    fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What of a process an heir gets something of.
#[derive(Clone, Copy)]
pub(crate) struct Process<'a> {
    pub(crate) driver: &'a Driver<Switch>,
    pub(crate) api: Option<&'a Api>,
    pub(crate) gateway: Option<&'a Gateway>,
}

/// Starts heirs.
pub(crate) struct Heirs {
    /// Where the program is; an error where nobody says it, as without `/proc`: everything else works there.
    program: Result<PathBuf, String>,
    arguments: Vec<OsString>,
    /// Addresses of the port, as they were configured.
    listen: Vec<SocketAddr>,
    succession: watch::Receiver<Succession>,
    signal: Signal,
    upgrades: Upgrades,
    requests: mpsc::Receiver<UpgradeRequest>,
    under_way: Option<JoinHandle<Result<(Heir, OlderView), String>>>,
    answer: Option<oneshot::Sender<Result<UpgradeView, String>>>,
    heir: Option<Heir>,
}

/// What has come of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// Nothing yet.
    None,
    /// The heir serves; it is the process of this number.
    Retired(u32),
    /// The heir that served has ended, and this process serves again.
    Back,
    /// The newest process ends, and so does this one.
    Ends,
}

impl Heirs {
    pub(crate) async fn of(
        driver: &Driver<Switch>,
        listen: Vec<SocketAddr>,
    ) -> Result<Self, Failure> {
        let (upgrades, requests) = mpsc::channel(REQUESTS);
        let succession =
            driver.with(|_, switch, _| switch.watch_succession()).await.map_err(failed)?;
        Ok(Self {
            // Where the program is now: by then another may lie there.
            program: std::env::current_exe().map_err(|error| error.to_string()),
            arguments: std::env::args_os().skip(1).collect(),
            listen,
            succession,
            signal: signal(SignalKind::user_defined2()).map_err(failed)?,
            upgrades,
            requests,
            under_way: None,
            answer: None,
            heir: None,
        })
    }

    /// For whoever asks for one.
    pub(crate) fn upgrades(&self) -> Upgrades {
        self.upgrades.clone()
    }

    /// Waits until this process serves.
    pub(crate) async fn serves(&mut self) -> Result<(), Failure> {
        let serves = self.succession.wait_for(|is| *is != Succession::Waits).await;
        serves.map(drop).map_err(failed)
    }

    /// Waits for something to do, and does it. Whoever waits for something else at the same time may give it
    /// up at any moment.
    pub(crate) async fn next(&mut self, process: Process<'_>) -> Turn {
        let under_way = async {
            match &mut self.under_way {
                Some(under_way) => under_way.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = under_way => {
                self.under_way = None;
                let outcome = ended.unwrap_or_else(|error| Err(error.to_string()));
                self.concluded(outcome)
            }
            Some(()) = self.signal.recv() => {
                self.begin(process, USUAL_PATIENCE, None);
                Turn::None
            }
            Some(UpgradeRequest { patience, answer }) = self.requests.recv() => {
                self.begin(process, patience, Some(answer));
                Turn::None
            }
            Ok(()) = self.succession.changed() => {
                let is = *self.succession.borrow_and_update();
                match (is, self.heir.take()) {
                    (Succession::Ends, _) => Turn::Ends,
                    (Succession::Newest, Some(heir)) => {
                        tracing::error!("{}", heir.end());
                        Turn::Back
                    }
                    (_, heir) => {
                        self.heir = heir;
                        Turn::None
                    }
                }
            }
            else => std::future::pending().await,
        }
    }

    fn begin(
        &mut self,
        process: Process<'_>,
        patience: Duration,
        answer: Option<oneshot::Sender<Result<UpgradeView, String>>>,
    ) {
        let busy = "another process is being started already, or has taken over";
        let sip = process.gateway.map(Gateway::sockets).transpose();
        let program = match (&sip, &self.program) {
            _ if self.under_way.is_some() || self.heir.is_some() => Err(busy.to_string()),
            (Err(error), _) => Err(error.to_string()),
            (Ok(_), Err(error)) => Err(format!("where this program is cannot be told: {error}")),
            (Ok(_), Ok(program)) => Ok(program.clone()),
        };
        let program = match program {
            Ok(program) => program,
            Err(why) => {
                tracing::warn!("no upgrade: {why}");
                let _ = answer.map(|answer| answer.send(Err(why)));
                return;
            }
        };
        let mut estate = Estate { listen: self.listen.clone(), ..Estate::default() };
        let mut descriptors = Vec::new();
        if let Some(Ok((listener, token))) = process.api.map(Api::leave) {
            (estate.api, estate.token) = (true, token);
            descriptors.push(OwnedFd::from(listener));
        }
        for SipSocket { transport, address, socket } in sip.ok().flatten().into_iter().flatten() {
            estate.sip.push((transport.into(), address));
            descriptors.push(socket);
        }
        let mut command = Command::new(&program);
        command.args(&self.arguments).env(HEIR, "1");
        // What systemd has said was said to this process.
        for name in ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(name);
        }
        tracing::info!("upgrade: {} is started", program.display());
        let (driver, succession) = (process.driver.clone(), self.succession.clone());
        let run = upgrade(driver, command, estate, descriptors, succession, patience);
        self.under_way = Some(tokio::spawn(run));
        self.answer = answer;
    }

    fn concluded(&mut self, outcome: Result<(Heir, OlderView), String>) -> Turn {
        let answer = self.answer.take();
        self.succession.mark_unchanged();
        match outcome {
            Err(why) => {
                tracing::error!("no upgrade: {why}; this process goes on");
                let _ = answer.map(|answer| answer.send(Err(why)));
                Turn::None
            }
            Ok((heir, older)) => {
                let pid = heir.child.id();
                self.heir = Some(heir);
                let _ = answer.map(|answer| answer.send(Ok(UpgradeView { pid, older })));
                Turn::Retired(pid)
            }
        }
    }
}

/// Starts a process and waits until it serves; in words, why it does not.
async fn upgrade(
    driver: Driver<Switch>,
    mut command: Command,
    estate: Estate,
    descriptors: Vec<OwnedFd>,
    mut succession: watch::Receiver<Succession>,
    patience: Duration,
) -> Result<(Heir, OlderView), String> {
    let word = serde_json::to_vec(&estate).map_err(|error| error.to_string())?;
    let (here, there) = succession_connection().map_err(|error| error.to_string())?;
    let child = command.stdin(Stdio::from(there)).spawn();
    // With the command goes the other end of the connection, which is to be the child's alone.
    let program = command.get_program().to_owned();
    drop(command);
    let child = child.map_err(|error| format!("{}: {error}", program.display()))?;
    let mut heir = Heir { child };
    if let Err(error) = driver.begin_succession(here, word, descriptors).await {
        // One that ends at once may have done so before it was told anything.
        return Err(format!("{}: {error}", heir.end()));
    }
    let until = Instant::now() + patience;
    // Until an heir is begun with it is as it was.
    let mut begun = false;
    loop {
        let is = *succession.borrow_and_update();
        match is {
            Succession::HasHeir => begun = true,
            Succession::Retired => {
                let this = driver.with(|_, switch, _| switch.this_process()).await;
                return this.map(|this| (heir, this)).map_err(|error| error.to_string());
            }
            Succession::Newest if begun => return Err(heir.end()),
            Succession::Ends => return Err(heir.end()),
            _ => {}
        }
        if let Ok(Some(status)) = heir.child.try_wait()
            && is != Succession::HasHeir
        {
            return Err(format!("the new process has ended: {status}"));
        }
        if Instant::now() >= until {
            heir.kill();
            return Err(format!("the new process was not ready within {patience:?}"));
        }
        let _ = tokio::time::timeout(LOOK, succession.changed()).await;
    }
}
