//! The SIP gateway: calls to carriers and from them, and to telephones that register here by SIP.
//!
//! To the switch the gateway is a peer, or rather one peer for each carrier (`carrier:NAME`) and each
//! phone: it speaks IAX2 with it over an inner address of this machine, with a secret that is drawn at
//! the start. So routing, limits, records, refusals, recording and transcoding are those of any peer,
//! and a leg of the gateway is an ordinary leg. What is here is a back-to-back user agent: for each
//! call an inner leg on the one side and a dialog of SIP on the other.
//!
//! - `settings`: what it is told; `numbers`: numbers as carriers write them;
//! - `causes`: causes of ISDN and answers of SIP, one table for both directions;
//! - `message`: what a SIP message says; [`sdp`]: descriptions of sessions;
//! - [`media`], [`rtp`], [`srtp`], [`one_way`]: streams of voice, their packets, and whether both sides
//!   are heard;
//! - `inner`: legs towards the switch; `stack`: all that is known of the SIP library, `secure`: its TLS,
//!   `challenges`: its digests, `socket` and `screen`: what reaches it by UDP, `streams`: how many
//!   connections others may have;
//! - `outbound`, `inbound`: a call to a carrier, a call from one, until it is answered;
//!   `talking`: from then on; `session`: its description and its media;
//!   `session_timer`: how long it holds;
//! - `replaces`: calls that take the place of one that is up;
//! - `standing`, `watching`: whether a carrier is there, and how that is found out;
//! - `phones`: telephones that register here; `porter`: who is heard at all;
//! - `serving`: what the gateway does as long as it runs; `elsewhere`, `heritage`: other processes of this switch at
//!   the same addresses, and what one leaves to the next.

pub(crate) mod caller;
pub(crate) mod causes;
mod challenges;
pub mod dtls;
mod elsewhere;
pub(crate) mod headers;
mod heritage;
mod inbound;
mod inner;
pub mod media;
mod message;
pub(crate) mod numbers;
pub mod one_way;
mod outbound;
pub(crate) mod phones;
mod porter;
mod replaces;
pub mod rtp;
mod screen;
pub mod sdp;
pub(crate) mod secure;
mod serving;
mod session;
mod session_timer;
pub(crate) mod settings;
mod socket;
pub mod srtp;
mod stack;
pub(crate) mod standing;
pub(crate) mod streams;
mod talking;
mod watching;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use oneport::{Generation, Host, To};
use oneport_proto::Secret;
use oneport_wire::MessageCount;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use elsewhere::Elsewhere;
use heritage::Legacy;
pub use heritage::SipSocket;
pub(crate) use heritage::SipWord;
use inner::Inside;
use media::{MediaConfig, MediaPlane, Places};
use phones::{Phones, Registry};
use porter::Porter;
use replaces::Talks;
use serving::{Serving, Told, Turn};
use settings::{Carrier, PhoneConfig, SipConfig};
use stack::{Export, Ground, Stack};
use standing::Carriers;
use streams::Streams;

use crate::refusal::Reason;

/// The gateway cannot start.
///
/// ```no_run
/// use oneport_switch::Switch;
///
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// let config = config("[sip]\nudp = [\"127.0.0.1:5060\"]");
/// match Switch::start_gateway(&start(""), &config) {
///     Ok(gateway) => println!("SIP is spoken: {}", gateway.is_some()),
///     // Such as a port that another program has.
///     Err(error) => println!("{error}"),
/// }
/// ```
#[derive(Debug, Error)]
pub enum GatewayError {
    /// An address, a port or a certificate cannot be used.
    #[error("no SIP: {0}")]
    Unusable(String),
    /// The system gave no thread.
    #[error("no SIP: the system is short of something: {0}")]
    System(#[from] std::io::Error),
}

/// What the gateway tells the switch of legs, and wants of it, by the words by which both know them.
pub(crate) trait Switchboard: Send + Sync {
    /// The voice of a leg flows one way only; `None`: both are heard again.
    fn one_way(&self, word: &str, one_way: Option<one_way::OneWay>);

    /// Something is said to the gateway of another process.
    fn say(&self, to: To, word: SipWord);

    /// A call of this peer from there to this number was turned away before the switch was told of it.
    fn turned_away(&self, peer: &str, from: SocketAddr, number: &str, why: Reason);

    /// The far ends of two legs are to be joined, and the legs to end. Whether they are, or in words why not.
    fn join(&self, words: [String; 2]) -> oneshot::Receiver<Result<(), String>>;
}

/// What calls share.
struct Shared {
    stack: Stack,
    carriers: Arc<Carriers>,
    phones: Arc<Phones>,
    inside: Inside,
    plane: MediaPlane,
    config: Arc<Mutex<SipConfig>>,
    board: Arc<dyn Switchboard>,
    talks: Arc<Talks>,
    /// Other processes of this switch.
    elsewhere: Arc<Elsewhere>,
}

impl Shared {
    /// Calls at once, and calls that a carrier begins in a second.
    fn most(&self) -> (usize, usize) {
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        (config.max_calls, config.max_invites_per_second)
    }

    /// What phones are told whose users they are.
    fn realm(&self) -> String {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).realm.clone()
    }
}

/// What media is told: its sockets are where the first of SIP is.
fn media_of(config: &SipConfig) -> MediaConfig {
    let first = config.listen.first();
    MediaConfig {
        address: first.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |(_, address)| address.ip()),
        public_address: config.public_address,
        ports: config.rtp_ports.clone(),
        gather: config.rtp_gather,
        ..MediaConfig::default()
    }
}

/// What the gateway is told while it runs.
enum Command {
    Reconfigure(Box<Behind>),
    /// The switch of this process takes what begins, and so may the gateway, as soon as the process before reads no
    /// more.
    Serve,
    /// It reads no more, and has left this.
    Inherit(Box<Legacy>),
    /// A newer process reads from now on.
    Leave,
    /// It has ended: this one reads again.
    Return,
    /// An older process has ended.
    Gone(Generation),
    /// So many messages wait for a phone.
    Messages(String, MessageCount),
}

/// What the gateway is told of itself and of those behind it.
#[derive(Clone)]
pub(crate) struct Behind {
    pub(crate) config: SipConfig,
    pub(crate) carriers: BTreeMap<String, Carrier>,
    pub(crate) phones: BTreeMap<String, PhoneConfig>,
}

/// What others may know and want of the gateway.
#[derive(Clone)]
pub(crate) struct Link {
    /// Where it is inside of this machine.
    pub(crate) address: SocketAddr,
    /// Proves both ways who is who.
    pub(crate) secret: Secret,
    pub(crate) carriers: Arc<Carriers>,
    pub(crate) phones: Arc<Phones>,
    /// For calls that are transcoded, by the switch or by the gateway.
    pub(crate) places: Places,
    /// Connections that others have opened.
    pub(crate) streams: Arc<Streams>,
    /// Who hands copies of messages on.
    pub(crate) export: Export,
    commands: mpsc::UnboundedSender<Command>,
    elsewhere: Arc<Elsewhere>,
}

impl Link {
    fn command(&self, command: Command) {
        // A gateway that has stopped does nothing.
        let _ = self.commands.send(command);
    }

    /// The switch of this process takes what begins.
    pub(crate) fn serve(&self) {
        self.command(Command::Serve);
    }

    /// A newer process takes it.
    pub(crate) fn leave(&self) {
        self.command(Command::Leave);
    }

    /// That has ended.
    pub(crate) fn serve_again(&self) {
        self.command(Command::Return);
    }

    /// The gateway of another process says something; `None`: that of the newest.
    pub(crate) fn hear(&self, from: Option<Generation>, word: SipWord) {
        match (word, from) {
            (SipWord::Leaves(legacy), Some(_)) => {
                for (whose, calls) in &legacy.calls {
                    self.elsewhere.learn(Generation(*whose), calls.clone());
                }
                for (whose, calls) in &legacy.up {
                    self.carriers.count_elsewhere(self.elsewhere.count(Generation(*whose), *calls));
                }
                self.command(Command::Inherit(legacy));
            }
            (SipWord::Begun(calls), Some(older)) => self.elsewhere.learn(older, calls),
            (SipWord::Calls(calls), Some(older)) => {
                self.carriers.count_elsewhere(self.elsewhere.count(older, calls));
            }
            (SipWord::Streamed { transport, peer, bytes }, None) => {
                self.elsewhere.is_streamed(&transport, peer, &bytes, false);
            }
            (SipWord::Answered { transport, peer, bytes }, Some(_)) => {
                self.elsewhere.is_streamed(&transport, peer, &bytes, true);
            }
            (SipWord::Datagram { at, from, bytes }, None) => {
                self.elsewhere.is_handed(at, from, &bytes);
            }
            _ => {}
        }
    }

    /// An older process has ended.
    pub(crate) fn is_gone(&self, older: Generation) {
        self.carriers.count_elsewhere(self.elsewhere.forget(older));
        self.command(Command::Gone(older));
    }

    /// A newer process is told how many calls are up here.
    pub(crate) fn tell_calls(&self) {
        self.elsewhere.tell_calls(self.carriers.calls());
    }

    /// Other carriers and phones, or other limits, for calls from now on. Addresses stay as they are.
    pub(crate) fn reconfigure(&self, behind: Behind) {
        // It is known here at once, so that registrations that follow find their phones.
        self.phones.replace(behind.phones.clone());
        self.command(Command::Reconfigure(Box::new(behind)));
    }

    /// So many messages wait for a phone.
    pub(crate) fn messages(&self, name: &str, count: MessageCount) {
        self.command(Command::Messages(name.into(), count));
    }
}

/// What a gateway holds at a moment. All of it is none a while after the last call: answers are kept for
/// whoever asks again for 32 seconds (RFC 3261 §17).
///
/// ```
/// use oneport_switch::sip::{Gateway, Held};
///
/// /// Whether nothing is left of the calls that there were.
/// fn is_clean(gateway: &Gateway) -> bool {
///     let Held { dialogs, ports, calls, .. } = gateway.held();
///     (dialogs, ports, calls) == (0, 0, 0)
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// Dialogs of SIP.
    pub dialogs: usize,
    /// Transactions, and answers that are kept.
    pub transactions: usize,
    /// Pairs of media ports.
    pub ports: usize,
    /// Calls that have a place among those of their carriers.
    pub calls: usize,
    /// Places of calls that are transcoded, by the switch as well.
    pub transcoded: usize,
    /// Tasks of its runtime; a few run as long as it does.
    pub tasks: usize,
}

/// A running gateway. Dropping it stops it: its calls are hung up, and its registrations ended.
///
/// ```
/// use oneport_switch::Switch;
///
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// // Neither [sip] nor a carrier is configured.
/// let gateway = Switch::start_gateway(&start(""), &config(""))?;
/// assert!(gateway.is_none());
/// # Ok::<(), oneport_switch::sip::GatewayError>(())
/// ```
pub struct Gateway {
    link: Link,
    shared: Weak<Shared>,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// For another process.
    sockets: Vec<SipSocket>,
}

/// Which process a gateway is of.
pub(crate) struct Descent {
    pub(crate) own: Generation,
    /// What the process before has handed over; `None`: there was none, or none with SIP.
    pub(crate) sockets: Vec<SipSocket>,
    /// Whether there was one.
    pub(crate) is_heir: bool,
}

impl Gateway {
    /// Starts beside the switch that listens at `switch` and lives on the thread `host`.
    ///
    /// # Errors
    /// Something that it is told to use cannot be used.
    pub(crate) fn start(
        behind: Behind,
        (switch, host): (SocketAddr, &Host),
        registry: Box<dyn Registry>,
        board: Arc<dyn Switchboard>,
        descent: Descent,
    ) -> Result<Self, GatewayError> {
        let Behind { config, carriers, phones: telephones } = behind;
        let (mut drawn, mut key) = ([0; 32], [0; 64]);
        for bytes in [drawn.as_mut_slice(), &mut key] {
            getrandom::fill(bytes).map_err(|error| GatewayError::System(error.into()))?;
        }
        let secret: String = drawn.iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = Secret::from(secret);
        let unusable = |error: &dyn std::fmt::Display| GatewayError::Unusable(error.to_string());
        let places = Places::default();
        let (plane, relay) = MediaPlane::start_within(media_of(&config), places.clone())?;
        let inside = Inside::start(switch, secret.clone(), config.max_calls, relay, host);
        let (inside, offers) = inside.map_err(|error| unusable(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let known = Arc::new(Carriers::default());
        let (changed, _) = known.replace(carriers);
        let (phones, moved) = Phones::new(key, registry);
        let phones = Arc::new(phones);
        phones.replace(telephones);
        let shared_config = Arc::new(Mutex::new(config.clone()));
        let porter = Porter {
            carriers: known.clone(),
            phones: phones.clone(),
            config: shared_config.clone(),
        };
        let door: Arc<dyn stack::Door> = Arc::new(porter);
        let Descent { own, sockets, is_heir } = descent;
        // Where nobody has read, nobody has to be waited for.
        let turn = match (is_heir, sockets.is_empty()) {
            (false, _) => Turn::Leads,
            (true, true) => Turn::Waits { predecessor: false },
            (true, false) => Turn::Waits { predecessor: true },
        };
        let sockets = stack::sockets(&config, sockets).map_err(GatewayError::Unusable)?;
        let for_others = sockets.iter().map(copy).collect::<Result<Vec<_>, _>>()?;
        let elsewhere = Arc::new(Elsewhere::new(board.clone()));
        let reads = watch::Sender::new(turn == Turn::Leads);
        let (commands, orders) = mpsc::unbounded_channel();
        let address = inside.address();
        let carriers = known.clone();
        let streams = Arc::new(Streams::default());
        let export = Export::default();
        let link = Link {
            address,
            secret,
            carriers,
            phones: phones.clone(),
            places,
            streams: streams.clone(),
            export: export.clone(),
            commands,
            elsewhere: elsewhere.clone(),
        };
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        // All of it is on its own thread: whoever starts it may be inside a runtime already.
        let body = move || {
            runtime.block_on(async move {
                let reading = reads.subscribe();
                let ground = Ground {
                    door,
                    streams,
                    export,
                    elsewhere: elsewhere.clone(),
                    reads: reading,
                    sockets,
                };
                let (stack, requests) = match Stack::start(&config, ground).await {
                    Ok(started) => started,
                    Err(why) => return drop(tell.send(Err(why))),
                };
                let (carriers, config) = (known, shared_config);
                let talks = Arc::default();
                let shared = Shared {
                    stack,
                    carriers,
                    phones,
                    inside,
                    plane,
                    config,
                    board,
                    talks,
                    elsewhere,
                };
                let shared = Arc::new(shared);
                drop(tell.send(Ok(Arc::downgrade(&shared))));
                let told = Told { requests, offers, moved, orders };
                Serving::new(shared, own, reads, turn).run(changed, told, stopped).await;
            });
        };
        let thread = thread::Builder::new().name("oneport-sip".into()).spawn(body)?;
        let shared = match told.recv() {
            Ok(Ok(shared)) => shared,
            Ok(Err(why)) => return Err(GatewayError::Unusable(why)),
            Err(_) => return Err(GatewayError::Unusable("it has ended at once".into())),
        };
        Ok(Self {
            link,
            shared,
            runtime: handle,
            stop: Some(stop),
            thread: Some(thread),
            sockets: for_others,
        })
    }

    /// Its sockets, for a process that takes over.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn sockets(&self) -> std::io::Result<Vec<SipSocket>> {
        self.sockets.iter().map(copy).collect()
    }

    /// Whether nothing is to be done here any more, as another process reads: it knows all that it has to, no dialog is
    /// left, and nothing that somebody has asked or was asked is without an answer.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let over = |shared: Arc<Shared>| self.link.elsewhere.has_told() && shared.stack.is_quiet();
        self.shared.upgrade().is_none_or(over)
    }

    /// What it holds now.
    #[must_use]
    pub fn held(&self) -> Held {
        let Some(shared) = self.shared.upgrade() else { return Held::default() };
        let (dialogs, transactions) = shared.stack.held();
        let (pairs, free) = shared.plane.pairs();
        let calls = shared.carriers.all();
        let calls = calls.iter().map(|(.., standing)| standing.calls.0 + standing.calls.1).sum();
        let tasks = self.runtime.metrics().num_alive_tasks();
        let transcoded = self.link.places.taken();
        Held { dialogs, transactions, ports: pairs - free, calls, transcoded, tasks }
    }

    /// Connections by TCP and TLS that others have opened: carriers and phones that are registered, and
    /// strangers.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        let counts = self.link.streams.counts();
        (counts.known, counts.strangers)
    }

    pub(crate) const fn link(&self) -> &Link {
        &self.link
    }
}

fn copy(one: &SipSocket) -> std::io::Result<SipSocket> {
    let SipSocket { transport, address, socket } = one;
    Ok(SipSocket { transport, address: *address, socket: socket.try_clone()? })
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What it was busy with has been logged.
            let _ = thread.join();
        }
    }
}
