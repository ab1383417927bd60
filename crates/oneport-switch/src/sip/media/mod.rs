//! The media of SIP calls: streams of RTP (RFC 3550), each joined with a call of IAX2 or with another.
//!
//! [`MediaPlane`] is for those who signal: they [`open`](MediaPlane::open) ports, say what was agreed upon
//! and with whom a port is joined, from any thread. [`MediaRelay`] does the work. It belongs to the
//! application of the driver that the calls of IAX2 live on, and runs on its thread: a packet that comes is
//! read, made a frame and handed to the engine without a queue, a lock, an allocation or another thread's
//! waking up in between, and a frame that comes leaves as a packet at once. The driver wakes up for it
//! through one descriptor (`epoll`) with all sockets behind it.

mod handshakes;
mod keys;
mod latch;
mod line;
mod ports;
mod relay;
mod reports;
mod secrecy;
mod shaking;
mod stream;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneport_media::dtmf::Key;
use oneport_proto::{CallId, CallStats, DtmfPhase};
use oneport_wire::Format;
use rustix::event::{EventfdFlags, eventfd};
use thiserror::Error;
use tokio::sync::oneshot;

use super::dtls::{Identity, Insecure, NoIdentity, Secured};
use super::one_way::OneWay;
use super::sdp::{CryptoSuite, Fingerprint, Negotiated};
use handshakes::Part;
use ports::{Pair, Ports};

pub use relay::MediaRelay;

pub(crate) use crate::transcoding::Places;

/// So many events of a port wait to be looked at; others are lost.
const EVENTS: usize = 64;

/// Where media is spoken.
///
/// ```
/// use std::net::Ipv4Addr;
///
/// use oneport_switch::sip::media::{MediaConfig, MediaPlane};
///
/// let address = Ipv4Addr::LOCALHOST.into();
/// let config = MediaConfig { address, ports: 30_000..=30_009, ..MediaConfig::default() };
/// let (plane, _relay) = MediaPlane::start(config)?;
/// assert_eq!(plane.pairs(), (5, 5), "all are free");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaConfig {
    /// The address that sockets are bound to.
    pub address: IpAddr,
    /// The address under which others see that, where it is another one.
    pub public_address: Option<IpAddr>,
    /// Ports, the even ones for RTP.
    pub ports: RangeInclusive<u16>,
    /// So long nothing may come before that is told.
    pub timeout: Duration,
    /// Whether media goes where packets come from, rather than where descriptions say: most phones are
    /// behind a NAT.
    pub latching: bool,
    /// How long packets gather where many come, so that the driver does not wake up for each: 1 ms. Nothing where few
    /// come, and nothing of what is sent waits.
    pub gather: Duration,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            public_address: None,
            ports: 10_000..=20_000,
            timeout: Duration::from_secs(30),
            latching: true,
            gather: Duration::from_millis(1),
        }
    }
}

/// No port can be had.
///
/// ```
/// use oneport_switch::sip::media::NoPort;
///
/// let error = NoPort::AllInUse { pairs: 5 };
/// assert_eq!(error.to_string(), "all 5 pairs of media ports are in use");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NoPort {
    /// All pairs of the range are in use.
    #[error("all {pairs} pairs of media ports are in use")]
    AllInUse {
        /// How many there are.
        pairs: u16,
    },
    /// The system gives no socket.
    #[error("the system gives no socket for media: {0}")]
    System(#[from] io::Error),
    /// The thread that does the work has ended.
    #[error("media is not spoken any more")]
    Stopped,
}

/// Something happened to a stream.
///
/// ```
/// use oneport_switch::sip::media::{MediaEvent, MediaPort};
///
/// /// Waits until nothing comes any more; whether the call is to be hung up.
/// async fn watch(port: &mut MediaPort) -> bool {
///     while let Some(event) = port.next_event().await {
///         match event {
///             MediaEvent::OneWay(found) => println!("{found}"),
///             MediaEvent::TimedOut { silent_for } => return !silent_for.is_zero(),
///             _ => {}
///         }
///     }
///     false
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MediaEvent {
    /// The first packet has come, or the first from another address: media goes there from now on.
    Latched {
        /// Where the other side is.
        at: SocketAddr,
    },
    /// Voice comes before anything is described: it is heard, if the port is joined with somebody.
    Early {
        /// Its format.
        format: Format,
    },
    /// A key came as packets (RFC 4733). Whom the port is joined with has been told of it.
    Key(Key),
    /// Nothing has come for so long though something should.
    TimedOut {
        /// How long.
        silent_for: Duration,
    },
    /// One side is not heard.
    OneWay(OneWay),
    /// Both are heard again.
    Mended,
    /// The other side says that it leaves (BYE of RTCP).
    Left,
    /// A handshake (DTLS) has brought the keys.
    Secured {
        /// How media is encrypted from now on.
        suite: CryptoSuite,
    },
    /// It has not, and will not: nothing can be said or heard.
    Insecure(Insecure),
}

/// What was counted of a stream.
///
/// ```
/// use std::net::Ipv4Addr;
///
/// use oneport_switch::sip::media::{MediaConfig, MediaPlane};
///
/// let config = MediaConfig { address: Ipv4Addr::LOCALHOST.into(), ..MediaConfig::default() };
/// let (plane, _relay) = MediaPlane::start(config)?;
/// let figures = plane.open()?.figures();
/// assert_eq!((figures.stats.received.frames, figures.malformed), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Figures {
    /// As of any call: what was heard, what was sent, and what the other side says that it heard.
    pub stats: CallStats,
    /// Where the other side was found to be.
    pub found: Option<SocketAddr>,
    /// Whether voice is transcoded, or put into other frames.
    pub transcodes: bool,
    /// Who is not heard, if somebody is not.
    pub one_way: Option<OneWay>,
    /// Packets of payload types that were not agreed upon.
    pub unknown_payloads: u64,
    /// Packets that came from somewhere else.
    pub strangers: u64,
    /// Datagrams that make no sense.
    pub malformed: u64,
}

/// What a relay is asked for.
enum Command {
    Open {
        pair: Pair,
        events: tokio::sync::mpsc::Sender<MediaEvent>,
        figures: Arc<Mutex<Figures>>,
        ours: SocketAddr,
    },
    Agree {
        index: u16,
        agreed: Box<Negotiated>,
    },
    Expect {
        index: u16,
        expected: Box<Negotiated>,
    },
    ExpectHandshake {
        index: u16,
    },
    ExpectHost {
        index: u16,
        host: IpAddr,
    },
    Told {
        index: u16,
    },
    /// A handshake wants this to be sent.
    Shake {
        index: u16,
        part: Part,
        turn: u64,
        to: SocketAddr,
        datagram: Vec<u8>,
    },
    /// A handshake has brought keys.
    Secured {
        index: u16,
        part: Part,
        turn: u64,
        with: SocketAddr,
        secured: Box<Secured>,
    },
    /// A handshake is over without any.
    Insecure {
        index: u16,
        part: Part,
        turn: u64,
        why: Insecure,
    },
    Described {
        index: u16,
        ours: SocketAddr,
    },
    Attach {
        index: u16,
        call: CallId,
        format: Format,
    },
    Join {
        index: u16,
        other: u16,
    },
    Detach {
        index: u16,
    },
    Key {
        index: u16,
        digit: u8,
        phase: DtmfPhase,
    },
    Watch {
        index: u16,
        both_ways: bool,
    },
    Close {
        index: u16,
        tell: Option<oneshot::Sender<Figures>>,
    },
}

/// What all handles share.
struct Shared {
    config: MediaConfig,
    ports: Mutex<Ports>,
    commands: Sender<Command>,
    /// Wakes the relay.
    bell: OwnedFd,
    places: Places,
    /// Who we are in handshakes.
    identity: Arc<Identity>,
}

impl Shared {
    fn command(&self, command: Command) -> Result<(), NoPort> {
        self.commands.send(command).map_err(|_| NoPort::Stopped)?;
        // Only a counter that is full would not take it, and that wakes all the same.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        Ok(())
    }

    fn give_back(&self, index: u16) {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).give_back(index);
    }
}

/// Opens ports for media. Clones refer to the same range.
///
/// ```
/// use oneport_switch::sip::media::{MediaConfig, MediaPlane};
///
/// // The relay goes to the thread of the driver; the plane opens ports for whoever signals.
/// let (plane, _relay) = MediaPlane::start(MediaConfig::default())?;
/// println!("a=fingerprint:{}", plane.fingerprint());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MediaPlane(Arc<Shared>);

impl MediaPlane {
    /// A plane, and the relay that has to be run for it.
    ///
    /// # Errors
    /// The system is short of something.
    pub fn start(config: MediaConfig) -> io::Result<(Self, MediaRelay)> {
        Self::start_within(config, Places::default())
    }

    /// The same, with so many places for calls that are transcoded.
    ///
    /// # Errors
    /// The system is short of something.
    pub(crate) fn start_within(
        config: MediaConfig,
        places: Places,
    ) -> io::Result<(Self, MediaRelay)> {
        let identity = Identity::draw().map_err(|error: NoIdentity| io::Error::other(error))?;
        let identity = Arc::new(identity);
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (commands, receiver): (_, Receiver<Command>) = mpsc::channel();
        let ports = Mutex::new(Ports::new(config.address, &config.ports));
        let shared = Arc::new(Shared { config, ports, commands, bell, places, identity });
        let relay = MediaRelay::new(shared.clone(), receiver)?;
        Ok((Self(shared), relay))
    }

    /// Opens an even port for RTP and the next for RTCP.
    ///
    /// # Errors
    /// None is left, or the system gives none.
    pub fn open(&self) -> Result<MediaPort, NoPort> {
        let pair = self.0.ports.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let index = pair.index;
        let bound = pair.rtp.local_addr();
        let opened = bound.map_err(NoPort::System).and_then(|bound| {
            let local = SocketAddr::new(
                self.0.config.public_address.unwrap_or_else(|| bound.ip()),
                bound.port(),
            );
            let (events, receiver) = tokio::sync::mpsc::channel(EVENTS);
            let figures = Arc::new(Mutex::new(Figures::default()));
            let open = Command::Open { pair, events, figures: figures.clone(), ours: local };
            self.0.command(open)?;
            Ok(MediaPort {
                index,
                plane: self.0.clone(),
                local,
                events: receiver,
                figures,
                is_open: true,
            })
        });
        if opened.is_err() {
            self.0.give_back(index);
        }
        opened
    }

    /// By which certificate we prove who we are in handshakes: that of this plane, from its start on.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.identity.fingerprint()
    }

    /// Whether one more call may be transcoded.
    #[must_use]
    pub fn may_transcode(&self) -> bool {
        self.0.places.has_room()
    }

    /// How many pairs there are, and how many of them are free.
    #[must_use]
    pub fn pairs(&self) -> (usize, usize) {
        let ports = self.0.ports.lock().unwrap_or_else(PoisonError::into_inner);
        (ports.pairs().into(), ports.free())
    }
}

/// What is counted of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Meter(Arc<Mutex<Figures>>);

impl Meter {
    /// The figures, as of half a second ago or less.
    #[must_use]
    pub(crate) fn figures(&self) -> Figures {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A port of media. Dropping it closes it.
///
/// ```
/// use std::net::Ipv4Addr;
///
/// use oneport_switch::sip::media::{MediaConfig, MediaPlane};
/// use oneport_switch::sip::sdp::SrtpUse;
///
/// # mod voice { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/voice.rs")); } use voice::*;
/// let config = MediaConfig { address: Ipv4Addr::LOCALHOST.into(), ..MediaConfig::default() };
/// let (plane, _relay) = MediaPlane::start(config)?;
/// let mut port = plane.open()?;
/// assert_eq!(port.local().port() % 2, 0, "RTCP has the odd port behind it");
/// port.negotiated(&agreed(SrtpUse::Off));
/// assert!(port.poll_event().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MediaPort {
    index: u16,
    plane: Arc<Shared>,
    local: SocketAddr,
    events: tokio::sync::mpsc::Receiver<MediaEvent>,
    figures: Arc<Mutex<Figures>>,
    is_open: bool,
}

impl MediaPort {
    fn command(&self, command: Command) {
        // Where the relay has ended nobody speaks.
        let _ = self.plane.command(command);
    }

    /// Where RTP is to be sent, for a description. Where neither the address that sockets are bound to nor
    /// the public one is a certain one (`0.0.0.0`), only the port counts.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Takes what was agreed upon, at first or anew. What comes before is left out.
    pub fn negotiated(&self, agreed: &Negotiated) {
        self.command(Command::Agree { index: self.index, agreed: Box::new(agreed.clone()) });
    }

    /// What may come before the other side has described anything. It is heard if it comes from the host of
    /// its signalling, and nothing is sent until it is known where to.
    pub fn expect(&self, expected: &Negotiated) {
        self.command(Command::Expect { index: self.index, expected: Box::new(expected.clone()) });
    }

    /// Our description wants a handshake. It may begin before the other side has described anything.
    pub fn expect_handshake(&self) {
        self.command(Command::ExpectHandshake { index: self.index });
    }

    /// Our description has left: from now on the other side understands a handshake that we begin.
    pub fn told(&self) {
        self.command(Command::Told { index: self.index });
    }

    /// The host that the other side's signalling comes from: media from there is believed sooner.
    pub fn expect_host(&self, host: IpAddr) {
        self.command(Command::ExpectHost { index: self.index, host });
    }

    /// Our description names this address rather than [`local`](Self::local).
    pub fn described(&self, ours: SocketAddr) {
        self.command(Command::Described { index: self.index, ours });
    }

    /// Joins it with a call of IAX2 that speaks `format`, both ways, from now on: of the driver that runs
    /// the relay. It must not be linked.
    pub fn attach(&self, call: CallId, format: Format) {
        self.command(Command::Attach { index: self.index, call, format });
    }

    /// Joins it with another port, both ways.
    pub fn join(&self, other: &Self) {
        self.command(Command::Join { index: self.index, other: other.index });
    }

    /// Joins it with nobody.
    pub fn detach(&self) {
        self.command(Command::Detach { index: self.index });
    }

    /// Says a key as packets (RFC 4733), if the other side wants them so.
    pub fn key(&self, digit: u8, phase: DtmfPhase) {
        self.command(Command::Key { index: self.index, digit, phase });
    }

    /// Whether both sides should be heard now, so that one-way voice is told within three seconds: from the
    /// answer on, unless one side holds the other.
    pub fn watch_both_ways(&self, both_ways: bool) {
        self.command(Command::Watch { index: self.index, both_ways });
    }

    /// The next event. `None`: the relay has ended.
    pub async fn next_event(&mut self) -> Option<MediaEvent> {
        self.events.recv().await
    }

    /// An event that has happened, if there is one.
    pub fn poll_event(&mut self) -> Option<MediaEvent> {
        self.events.try_recv().ok()
    }

    /// What is counted, for somebody who wants to read it while the port is open.
    #[must_use]
    pub(crate) fn meter(&self) -> Meter {
        Meter(self.figures.clone())
    }

    /// What was counted, as of half a second ago or less.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes it, and gives what was counted to the end.
    pub async fn close(mut self) -> Figures {
        let (tell, told) = oneshot::channel();
        self.is_open = false;
        self.command(Command::Close { index: self.index, tell: Some(tell) });
        match told.await {
            Ok(figures) => figures,
            Err(_) => self.figures(),
        }
    }
}

impl Drop for MediaPort {
    fn drop(&mut self) {
        if self.is_open {
            self.command(Command::Close { index: self.index, tell: None });
        }
    }
}
