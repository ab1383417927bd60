//! Runs an [`Endpoint`] on real sockets and real time, on a thread of its own.

mod among;
mod crossing;
mod gathering;
mod shard;
mod thread;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use oneport_proto::{
    CallId, DropNotice, DropReason, Endpoint, EndpointConfig, Event, Generation, Instant, Media,
    Speech, Video,
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use self::shard::{Bound, Shard};
pub use self::thread::Host;
use self::thread::{Builder, Pace};
use crate::bad_link::BadNetwork;
use crate::socket::{self, BatchSocket};
use crate::succession::{Inheritance, Step, To};
use crate::waker::{WakeAtLast, Waker};
use crate::workload::Workload;

/// Which datagrams an [`Application`] wants to see.
///
/// ```
/// use std::net::SocketAddr;
///
/// use oneport::{Application, Sees};
/// use oneport_proto::{Endpoint, Event, Instant};
///
/// /// Counts the signalling that comes, and lets voice pass unseen.
/// #[derive(Default)]
/// struct Counter(u64);
///
/// impl Application for Counter {
///     fn handle_event(&mut self, _: &mut Endpoint, _: Instant, _: Event) {}
///
///     fn sees(&self) -> Sees {
///         Sees::FullFrames
///     }
///
///     fn see_received(&mut self, _: Instant, _: SocketAddr, _: SocketAddr, _datagram: &[u8]) {
///         self.0 += 1;
///     }
/// }
/// assert_eq!(Counter::default().sees(), Sees::FullFrames);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sees {
    /// None.
    Nothing,
    /// Full frames.
    FullFrames,
    /// All.
    All,
}

impl Sees {
    fn wants(self, datagram: &[u8]) -> bool {
        match self {
            Self::Nothing => false,
            Self::FullFrames => datagram.first().is_some_and(|first| first & 0x80 != 0),
            Self::All => true,
        }
    }
}

/// What an endpoint works for: it decides about calls. It runs on the driver's thread, so nothing
/// in it may block.
///
/// ```
/// use oneport::{Application, Driver, DriverConfig};
/// use oneport_proto::{Endpoint, Event, Instant};
///
/// /// Tells of each event, and does nothing.
/// struct Watcher;
///
/// impl Application for Watcher {
///     fn handle_event(&mut self, _endpoint: &mut Endpoint, _now: Instant, event: Event) {
///         println!("{event:?}");
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), oneport::StartError> {
/// let listen = vec![([127, 0, 0, 1], 0).into()];
/// let driver = Driver::start(DriverConfig { listen, ..DriverConfig::default() }, Watcher)?;
/// assert_eq!(driver.local_addresses().len(), 1);
/// driver.stop().await;
/// # Ok(())
/// # }
/// ```
pub trait Application: Send + 'static {
    /// Is told once that the endpoint listens.
    fn start(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let _ = (endpoint, now);
    }

    /// Takes an event; commands may be given to `endpoint` at once.
    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event);

    /// Takes voice of a call that is not linked, which came at `now`.
    fn handle_media(&mut self, now: Instant, call: CallId, media: Media<'_>) {
        let _ = (now, call, media);
    }

    /// Sees voice of a call that is tapped (`Endpoint::tap`), linked or not.
    fn handle_tapped(&mut self, now: Instant, call: CallId, media: Media<'_>) {
        let _ = (now, call, media);
    }

    /// Whether the frame of a tapped call that was just seen goes its way.
    fn passes(&mut self, call: CallId) -> bool {
        let _ = call;
        true
    }

    /// Says in the words of `to` what was heard of `from`; they are linked by
    /// `Endpoint::link_translated`.
    fn handle_translated(
        &mut self,
        now: Instant,
        from: CallId,
        to: CallId,
        heard: Speech<'_>,
        say: &mut dyn FnMut(Speech<'_>),
    ) {
        let _ = (now, from, to, heard, say);
    }

    /// Is told how long [`handle_translated`](Self::handle_translated) took, of the same `now`, `from` and
    /// `to`, with the sending of what was said.
    fn translated(&mut self, now: Instant, from: CallId, to: CallId, took: Duration) {
        let _ = (now, from, to, took);
    }

    /// Takes video of a call that is not linked, if it carries any.
    fn handle_video(&mut self, call: CallId, video: Video<'_>) {
        let _ = (call, video);
    }

    /// For which datagrams [`see_received`](Self::see_received) and [`see_sent`](Self::see_sent) are
    /// wanted now.
    fn sees(&self) -> Sees {
        Sees::Nothing
    }

    /// Sees a datagram that has come from `remote`, before the engine does.
    fn see_received(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) {
        let _ = (now, local, remote, datagram);
    }

    /// Sees a datagram that was sent to `remote`.
    fn see_sent(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) {
        let _ = (now, local, remote, datagram);
    }

    /// What the application itself has dropped since it was last asked, one reason and call at a
    /// time: why, how often, and of which call.
    fn poll_drops(&mut self) -> Option<(DropReason, u64, Option<CallId>)> {
        None
    }

    /// Takes a notice of what was dropped, here or on the way to the system. By default it becomes
    /// a line of the log: a warning, or less where it is ordinary.
    fn handle_notice(&mut self, notice: &DropNotice) {
        if notice.reason.is_ordinary() {
            tracing::debug!("{notice}");
        } else {
            tracing::warn!("{notice}");
        }
    }

    /// Is told how busy the thread was since this was last called, a few times a second at most; more
    /// seldom where nothing wakes it. What has come meanwhile is handed over behind it.
    fn handle_workload(&mut self, endpoint: &mut Endpoint, now: Instant, workload: &Workload) {
        let _ = (endpoint, now, workload);
    }

    /// A descriptor of the application's own: when it can be read, the thread wakes up and
    /// [`handle_ready`](Self::handle_ready) is called. An `epoll` with more behind it is one too.
    fn watched(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Reads what there is to be read of [`watched`](Self::watched).
    fn handle_ready(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let _ = (endpoint, now);
    }

    /// What is to be said to other processes that serve the same port, one word after the other.
    fn poll_word(&mut self, now: Instant) -> Option<(To, Vec<u8>)> {
        let _ = now;
        None
    }

    /// Takes a word of another process: of an older one; `None`: of the newest.
    fn handle_word(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        from: Option<Generation>,
        word: &[u8],
    ) {
        let _ = (endpoint, now, from, word);
    }

    /// Is told what becomes of this process among those that serve the same port.
    fn handle_step(&mut self, endpoint: &mut Endpoint, now: Instant, step: Step) {
        let _ = (endpoint, now, step);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Does what is due.
    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let _ = (endpoint, now);
    }
}

/// What a driver is told at its start.
///
/// ```
/// use oneport::{Application, Driver, DriverConfig, EndpointConfig};
/// use oneport_proto::{Endpoint, Event, Instant};
///
/// struct Deaf;
///
/// impl Application for Deaf {
///     fn handle_event(&mut self, _: &mut Endpoint, _: Instant, _: Event) {}
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = DriverConfig {
///     // Two ports, which the system chooses.
///     listen: vec!["127.0.0.1:0".parse()?, "127.0.0.1:0".parse()?],
///     endpoint: EndpointConfig { max_calls: 100, ..EndpointConfig::default() },
///     ..DriverConfig::default()
/// };
/// let driver = Driver::start(config, Deaf)?;
/// assert_eq!(driver.local_addresses().len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct DriverConfig {
    /// Addresses to listen on; calls leave from there too.
    pub listen: Vec<SocketAddr>,
    /// The engine's limits and timers.
    pub endpoint: EndpointConfig,
    /// Sends each datagram by itself, as most other systems do, where the kernel could take many to
    /// one peer at once (UDP_SEGMENT). It costs more; it is for measuring.
    pub one_by_one: bool,
    /// How long the thread, while there are calls, looks for what arrives without a rest before it sleeps. Frames
    /// then pass without the delay of a wake-up, and most of a core is used by it. Zero: it sleeps at once. The
    /// thread of [`Driver::start_beside`] goes on as it does.
    pub busy_poll: Duration,
    /// How long datagrams gather before they are taken, where so much media comes that four datagrams or more are
    /// there in that time: a wake-up, a receive and a send are then shared by them. Each waits so long, and what the
    /// system's timers add, at most, and what is due waits with them; commands do not. Never longer than 100 ms, nor
    /// for more than some 256 of them. Zero: not at all, which [`busy_poll`](Self::busy_poll) means too. The thread of
    /// [`Driver::start_beside`] goes on as it does.
    pub gather: Duration,
    /// A bad network, for tests: what leaves and what comes is lost, late or overtaken as it says.
    pub bad_network: Option<BadNetwork>,
}

/// A driver could not start.
///
/// ```
/// use oneport::{Phone, PhoneConfig, StartError};
///
/// let nowhere = PhoneConfig { listen: Vec::new(), ..PhoneConfig::default() };
/// assert!(matches!(Phone::bind(nowhere), Err(StartError::NoAddress)));
/// ```
#[derive(Debug, Error)]
pub enum StartError {
    /// An address cannot be used.
    #[error("cannot listen on UDP {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No address was given.
    #[error("no address to listen on was given")]
    NoAddress,
    /// The system gave no thread or no random bytes.
    #[error("the system is short of something: {0}")]
    System(io::Error),
}

/// The driver has stopped.
///
/// ```
/// # use oneport::{Application, Driver, DriverConfig, Stopped};
/// # use oneport_proto::{Endpoint, Event, Instant};
/// # struct Deaf;
/// # impl Application for Deaf {
/// #     fn handle_event(&mut self, _: &mut Endpoint, _: Instant, _: Event) {}
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listen = vec!["127.0.0.1:0".parse()?];
/// let driver = Driver::start(DriverConfig { listen, ..DriverConfig::default() }, Deaf)?;
/// let other = driver.clone();
/// assert_eq!(other.with(|endpoint, _, _| endpoint.calls()).await, Ok(0));
/// driver.stop().await;
/// assert_eq!(other.with(|endpoint, _, _| endpoint.calls()).await, Err(Stopped));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the driver has stopped")]
pub struct Stopped;

type Act<A> = Box<dyn FnOnce(&mut Endpoint, &mut A, Instant) + Send>;

/// What concerns sockets and other processes.
type Turn<A> = Box<dyn FnOnce(&mut Shard<A>) + Send>;

/// What a driver's thread is asked for.
enum Command<A> {
    Act(Act<A>),
    Turn(Turn<A>),
    Stop,
}

/// A running endpoint. Clones refer to the same one; when the last is dropped it stops.
///
/// ```no_run
/// # async fn example<A: oneport::Application>(driver: oneport::Driver<A>) {
/// // On the driver's thread, between two datagrams.
/// let calls = driver.with(|endpoint, _application, _now| endpoint.calls()).await;
/// println!("{calls:?}");
/// # }
/// ```
pub struct Driver<A> {
    commands: mpsc::UnboundedSender<Command<A>>,
    /// Dropped behind the one above: the thread finds that nobody commands it any more.
    waker: WakeAtLast,
    host: Host,
    addresses: Arc<[SocketAddr]>,
    /// Closes when the thread has ended.
    ended: Arc<tokio::sync::Mutex<Option<oneshot::Receiver<()>>>>,
}

impl<A> Clone for Driver<A> {
    fn clone(&self) -> Self {
        Self {
            commands: self.commands.clone(),
            waker: self.waker.clone(),
            host: self.host.clone(),
            addresses: self.addresses.clone(),
            ended: self.ended.clone(),
        }
    }
}

/// A running endpoint, for those who must not keep it running: what the application itself has
/// begun, and reports to it.
///
/// ```no_run
/// # fn example<A: oneport::Application>(driver: &oneport::Driver<A>) {
/// // What the application has begun by itself does not keep it running.
/// let weak = driver.downgrade();
/// std::thread::spawn(move || weak.post(|endpoint, _, _| println!("{} calls", endpoint.calls())));
/// # }
/// ```
pub struct WeakDriver<A> {
    commands: mpsc::WeakUnboundedSender<Command<A>>,
    waker: Waker,
}

impl<A> Clone for WeakDriver<A> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone(), waker: self.waker.clone() }
    }
}

impl<A: Application> WeakDriver<A> {
    /// Runs `act` on the driver's thread, soon, if there is still a [`Driver`].
    pub fn post(&self, act: impl FnOnce(&mut Endpoint, &mut A, Instant) + Send + 'static) {
        if let Some(commands) = self.commands.upgrade() {
            // A driver that has stopped has no calls to act on.
            let _ = commands.send(Command::Act(Box::new(act)));
            drop(commands);
            self.waker.wake();
        }
    }
}

impl<A: Application> Driver<A> {
    /// Binds the addresses and starts.
    ///
    /// # Errors
    /// An address cannot be used, or the system is short of something.
    pub fn start(config: DriverConfig, application: A) -> Result<Self, StartError> {
        Self::start_on(config, Vec::new(), application)
    }

    /// Starts on sockets that somebody else has bound, beside the addresses.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn start_on(
        config: DriverConfig,
        sockets: Vec<UdpSocket>,
        application: A,
    ) -> Result<Self, StartError> {
        Self::begin(config, sockets, None, application, None)
    }

    /// Starts on the thread of another driver. What the two send each other on loopback addresses goes
    /// neither through the kernel nor to another thread; to everybody else they are as any two endpoints.
    /// Work of the one waits for that of the other. If the other stops, this one goes on.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn start_beside(
        host: &Host,
        config: DriverConfig,
        application: A,
    ) -> Result<Self, StartError> {
        Self::begin(config, Vec::new(), None, application, Some(host))
    }

    /// Starts as the heir of a process that serves the port now. It reads nothing before it was told to be
    /// [`ready`](Self::ready); only then the application starts.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn inherit(
        config: DriverConfig,
        mut inheritance: Inheritance,
        application: A,
    ) -> Result<Self, StartError> {
        let sockets = std::mem::take(&mut inheritance.sockets);
        Self::begin(config, sockets, Some(inheritance), application, None)
    }

    fn begin(
        config: DriverConfig,
        given: Vec<UdpSocket>,
        inheritance: Option<Inheritance>,
        application: A,
        host: Option<&Host>,
    ) -> Result<Self, StartError> {
        if config.listen.is_empty() && given.is_empty() {
            return Err(StartError::NoAddress);
        }
        let mut sockets = Vec::new();
        for socket in given {
            sockets.push(BatchSocket::taken_over(socket).map_err(StartError::System)?);
        }
        for address in config.listen {
            let bound = socket::bind(address).and_then(BatchSocket::new);
            sockets.push(bound.map_err(|source| StartError::Bind { address, source })?);
        }
        let addresses = sockets.iter().map(BatchSocket::address).collect();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| StartError::System(error.into()))?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let bound = Bound {
            config: config.endpoint,
            seed,
            sockets,
            one_by_one: config.one_by_one,
            bad_network: config.bad_network,
            inheritance,
            commands: receiver,
            end,
        };
        let builder: Builder = Box::new(move || Box::new(Shard::new(bound, application)));
        let host = match host {
            Some(host) => {
                host.move_in(builder);
                host.clone()
            }
            None => {
                let pace = Pace { busy_poll: config.busy_poll, gather: config.gather };
                Host::start(builder, pace).map_err(StartError::System)?
            }
        };
        let ended = Arc::new(tokio::sync::Mutex::new(Some(ended)));
        let waker = WakeAtLast(host.waker.clone());
        Ok(Self { commands, waker, host, addresses, ended })
    }

    /// The thread that it lives on.
    #[must_use]
    pub fn host(&self) -> Host {
        self.host.clone()
    }

    /// The addresses listened on, with the ports the system chose where 0 was asked for.
    #[must_use]
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Runs `act` on the driver's thread, soon.
    pub fn post(&self, act: impl FnOnce(&mut Endpoint, &mut A, Instant) + Send + 'static) {
        self.command(Command::Act(Box::new(act)));
    }

    fn command(&self, command: Command<A>) {
        // A driver that has stopped has no calls to act on.
        let _ = self.commands.send(command);
        self.waker.0.wake();
    }

    /// Runs `act` on the driver's thread and gives its result.
    ///
    /// # Errors
    /// The driver has stopped.
    pub async fn with<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Endpoint, &mut A, Instant) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let (answer, result) = oneshot::channel();
        self.post(move |endpoint, application, now| {
            let _ = answer.send(act(endpoint, application, now));
        });
        result.await.map_err(|_| Stopped)
    }

    /// Begins to hand the port over to an heir, at whose end of `connection` waits
    /// [`Inheritance::receive`]. It is told what this process holds, gets `word` and `descriptors` for its
    /// application, and reads once it is ready; until then nothing changes here, nor if it ends before.
    ///
    /// # Errors
    /// There is an heir already, too many older processes live, or the system hands nothing over.
    pub async fn begin_succession(
        &self,
        connection: OwnedFd,
        word: Vec<u8>,
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<()> {
        let (tell, told) = oneshot::channel();
        self.command(Command::Turn(Box::new(move |shard| {
            let _ = tell.send(shard.begin_succession(connection, &word, &descriptors));
        })));
        told.await.map_err(|_| io::Error::other(Stopped))?
    }

    /// The heir of a running process may be told to read.
    pub fn ready(&self) {
        self.command(Command::Turn(Box::new(Shard::ready)));
    }

    /// The same endpoint, without keeping it running.
    #[must_use]
    pub fn downgrade(&self) -> WeakDriver<A> {
        WeakDriver { commands: self.commands.downgrade(), waker: self.waker.0.clone() }
    }

    /// Hangs up all calls and stops, when what was posted before is done and the last frames are
    /// acknowledged, which may take two seconds. What is posted meanwhile is still done; other
    /// clones find that the driver has stopped.
    pub async fn stop(self) {
        self.command(Command::Stop);
        if let Some(ended) = self.ended.lock().await.take() {
            let _ = ended.await;
        }
    }
}
