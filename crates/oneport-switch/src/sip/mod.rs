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
//! - `phones`: telephones that register here; `porter`: who is heard at all.

pub(crate) mod caller;
pub(crate) mod causes;
mod challenges;
pub mod dtls;
pub(crate) mod headers;
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
mod secure;
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

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use oneport::Workload;
use oneport_proto::Secret;
use oneport_wire::MessageCount;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use inner::{Inside, Offers};
use media::{MediaConfig, MediaPlane, Places};
use phones::messages::Messages;
use phones::watching::Watched as WatchedPhones;
use phones::{Phones, Registry, registering};
use porter::Porter;
use replaces::Talks;
use settings::{Carrier, PhoneConfig, SipConfig};
use stack::{Requests, Stack};
use standing::Carriers;
use streams::Streams;

/// How often, and how often in all, it is looked whether all dialogs have ended when the gateway stops.
const FAREWELL_LOOK: Duration = Duration::from_millis(50);
const FAREWELL_LOOKS: usize = 40;

/// The gateway cannot start.
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
    /// How busy the thread of the gateway's media was.
    fn loaded(&self, workload: Workload);

    /// The voice of a leg flows one way only; `None`: both are heard again.
    fn one_way(&self, word: &str, one_way: Option<one_way::OneWay>);

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
        ..MediaConfig::default()
    }
}

/// What the gateway is told while it runs.
enum Command {
    Reconfigure(Box<Behind>),
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
    commands: mpsc::UnboundedSender<Command>,
}

impl Link {
    /// Other carriers and phones, or other limits, for calls from now on. Addresses stay as they are.
    pub(crate) fn reconfigure(&self, behind: Behind) {
        // It is known here at once, so that registrations that follow find their phones.
        self.phones.replace(behind.phones.clone());
        // A gateway that has stopped has no carriers.
        let _ = self.commands.send(Command::Reconfigure(Box::new(behind)));
    }

    /// So many messages wait for a phone.
    pub(crate) fn messages(&self, name: &str, count: MessageCount) {
        let _ = self.commands.send(Command::Messages(name.into(), count));
    }
}

/// What a gateway holds at a moment. All of it is none a while after the last call: answers are kept for
/// whoever asks again for 32 seconds (RFC 3261 §17).
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
pub struct Gateway {
    link: Link,
    shared: Weak<Shared>,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    /// Starts beside the switch that listens at `switch`.
    ///
    /// # Errors
    /// Something that it is told to use cannot be used.
    pub(crate) fn start(
        behind: Behind,
        switch: SocketAddr,
        registry: Box<dyn Registry>,
        board: Arc<dyn Switchboard>,
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
        let inside = Inside::start(switch, secret.clone(), config.max_calls, relay, board.clone());
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
        let (commands, orders) = mpsc::unbounded_channel();
        let address = inside.address();
        let carriers = known.clone();
        let streams = Arc::new(Streams::default());
        let link = Link {
            address,
            secret,
            carriers,
            phones: phones.clone(),
            places,
            streams: streams.clone(),
            commands,
        };
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        // All of it is on its own thread: whoever starts it may be inside a runtime already.
        let body = move || {
            runtime.block_on(async move {
                let (stack, requests) = match Stack::start(&config, door, streams).await {
                    Ok(started) => started,
                    Err(why) => return drop(tell.send(Err(why))),
                };
                let (carriers, config) = (known, shared_config);
                let talks = Arc::default();
                let shared =
                    Shared { stack, carriers, phones, inside, plane, config, board, talks };
                let shared = Arc::new(shared);
                drop(tell.send(Ok(Arc::downgrade(&shared))));
                let told = Told { requests, offers, moved, orders };
                serve(shared, changed, told, stopped).await;
            });
        };
        let thread = thread::Builder::new().name("oneport-sip".into()).spawn(body)?;
        let shared = match told.recv() {
            Ok(Ok(shared)) => shared,
            Ok(Err(why)) => return Err(GatewayError::Unusable(why)),
            Err(_) => return Err(GatewayError::Unusable("it has ended at once".into())),
        };
        Ok(Self { link, shared, runtime: handle, stop: Some(stop), thread: Some(thread) })
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

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What it was busy with has been logged.
            let _ = thread.join();
        }
    }
}

/// Tasks that watch one carrier.
struct Watched {
    watching: AbortHandle,
    /// Ends the registration.
    stop: CancellationToken,
    registering: tokio::task::JoinHandle<()>,
}

impl Watched {
    fn begin(shared: &Shared, name: &str) -> Option<Self> {
        let (carrier, _) = shared.carriers.find(name)?;
        let (stack, carriers) = (shared.stack.clone(), shared.carriers.clone());
        let stop = CancellationToken::new();
        let watching =
            watching::watch(stack.clone(), carriers.clone(), name.into(), carrier.clone());
        let registering = watching::register(stack, carriers, name.into(), carrier, stop.clone());
        Some(Self {
            watching: tokio::spawn(watching).abort_handle(),
            stop,
            registering: tokio::spawn(registering),
        })
    }

    fn end(self) -> tokio::task::JoinHandle<()> {
        self.watching.abort();
        self.stop.cancel();
        self.registering
    }
}

/// What the gateway is told: by those outside, by the switch, of phones, and by whoever runs it.
struct Told {
    requests: Requests,
    offers: Offers,
    /// Names of phones that have come, gone or moved.
    moved: mpsc::UnboundedReceiver<String>,
    orders: mpsc::UnboundedReceiver<Command>,
}

async fn serve(
    shared: Arc<Shared>,
    carriers: Vec<String>,
    told: Told,
    mut stopped: oneshot::Receiver<()>,
) {
    let Told { requests, mut offers, mut moved, mut orders } = told;
    let Requests { mut calls, mut registers, mut subscribes } = requests;
    let mut messages = Messages::default();
    let mut watched_phones = WatchedPhones::default();
    let mut watched: HashMap<String, Watched> = HashMap::new();
    for name in carriers {
        watched.extend(Watched::begin(&shared, &name).map(|one| (name, one)));
    }
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(offered) = offers.next() => {
                tokio::spawn(outbound::take(shared.clone(), offered));
            }
            Some(incoming) = calls.recv() => {
                tokio::spawn(inbound::take(shared.clone(), incoming));
            }
            Some(request) = registers.recv() => {
                tokio::spawn(registering::take(shared.clone(), request));
            }
            Some(request) = subscribes.recv() => messages.take(&shared, request),
            Some(name) = moved.recv() => {
                messages.moved(&shared, &name);
                watched_phones.changed(&shared.stack, &shared.phones, name);
            }
            Some(order) = orders.recv() => {
                let behind = match order {
                    Command::Reconfigure(behind) => behind,
                    Command::Messages(name, count) => {
                        messages.wait(&shared, &name, count);
                        continue;
                    }
                };
                let Behind { config, carriers, .. } = *behind;
                let (changed, gone) = shared.carriers.replace(carriers);
                for name in gone.iter().chain(&changed) {
                    drop(watched.remove(name).map(Watched::end));
                }
                for name in changed {
                    watched.extend(Watched::begin(&shared, &name).map(|one| (name, one)));
                }
                *shared.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
            }
            else => break,
        }
    }
    let ending: Vec<_> = watched.into_values().map(Watched::end).collect();
    shared.inside.clone().stop().await;
    // Carriers are told of the end of their calls, too.
    for _ in 0..FAREWELL_LOOKS {
        if shared.stack.held().0 == 0 {
            break;
        }
        tokio::time::sleep(FAREWELL_LOOK).await;
    }
    for registration in ending {
        let _ = registration.await;
    }
    shared.stack.stop();
}
