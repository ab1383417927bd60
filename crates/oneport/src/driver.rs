//! Runs an [`Endpoint`] on real sockets and real time, on a thread of its own.

mod among;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{self, Duration};

use oneport_proto::{
    CallId, DropNotice, DropReason, Endpoint, EndpointConfig, Event, Generation, Instant, Lateness,
    Media, MediaSink, Speech, Transmit, TransmitBuffer, Video,
};
use oneport_wire::CauseCode;
use smallvec::SmallVec;
use thiserror::Error;
use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::sync::oneshot;

use self::among::{Among, HandedOn};
use crate::bad_link::{BadLink, BadNetwork, Way};
use crate::socket::{self, BatchSocket, ReceiveBuffers};
use crate::succession::{Channel, Inheritance, Role, Step, To};
use crate::waker::{WakeAtLast, WakeUps, Waker};
use crate::workload::{WorkMeter, Workload};

/// Batches received from one socket before timers and commands get their turn.
const RECEIVE_TURNS: usize = 16;
/// Commands carried out before the sockets get their turn.
const COMMAND_TURNS: usize = 1024;
/// Time between two looks at what the kernel has dropped. A look reads a table of all sockets of the machine,
/// so that it may take long; then it has to wait: it costs a thousandth of the time at most.
const KERNEL_PERIODS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
const KERNEL_SHARE: u32 = 1_000;
/// While there are calls the thread sleeps no longer than this, so that it sees how late the system wakes
/// it: twenty looks a second show a tenth of a second surely, and half of what takes 25 ms.
const GLANCE: Duration = Duration::from_millis(50);
/// How long the last frames are repeated after the driver is told to stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// Which datagrams an [`Application`] wants to see.
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

/// Lets an application hear and see what comes at a moment.
struct Ear<'a, A>(&'a mut A, Instant);

impl<A: Application> MediaSink for Ear<'_, A> {
    fn media(&mut self, call: CallId, media: Media<'_>) {
        self.0.handle_media(self.1, call, media);
    }

    fn tapped(&mut self, now: Instant, call: CallId, media: Media<'_>) {
        self.0.handle_tapped(now, call, media);
    }

    fn passes(&mut self, call: CallId) -> bool {
        self.0.passes(call)
    }

    fn translate(
        &mut self,
        now: Instant,
        from: CallId,
        to: CallId,
        heard: Speech<'_>,
        say: &mut dyn FnMut(Speech<'_>),
    ) {
        let begun = time::Instant::now();
        self.0.handle_translated(now, from, to, heard, say);
        self.0.translated(now, from, to, begun.elapsed());
    }

    fn video(&mut self, call: CallId, video: Video<'_>) {
        self.0.handle_video(call, video);
    }
}

/// What a driver is told at its start.
#[derive(Clone, Debug, Default)]
pub struct DriverConfig {
    /// Addresses to listen on; calls leave from there too.
    pub listen: Vec<SocketAddr>,
    /// The engine's limits and timers.
    pub endpoint: EndpointConfig,
    /// Sends each datagram by itself, as most other systems do, where the kernel could take many to
    /// one peer at once (UDP_SEGMENT). It costs more; it is for measuring.
    pub one_by_one: bool,
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
    addresses: Arc<[SocketAddr]>,
    /// Closes when the thread has ended.
    ended: Arc<tokio::sync::Mutex<Option<oneshot::Receiver<()>>>>,
}

impl<A> Clone for Driver<A> {
    fn clone(&self) -> Self {
        Self {
            commands: self.commands.clone(),
            waker: self.waker.clone(),
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
        Self::begin(config, sockets, None, application)
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
        Self::begin(config, sockets, Some(inheritance), application)
    }

    fn begin(
        config: DriverConfig,
        given: Vec<UdpSocket>,
        inheritance: Option<Inheritance>,
        application: A,
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
        let (waker, wake_ups) = crate::waker::pair().map_err(StartError::System)?;
        let (end, ended) = oneshot::channel();
        let endpoint_config = config.endpoint;
        let body = move || {
            let _end = end;
            // Monotonic: steps of the wall clock do not reach the engine.
            let origin = time::Instant::now();
            let endpoint = Endpoint::new(endpoint_config, seed, Instant::from_micros(0));
            let segments = match config.one_by_one {
                true => 1,
                false => sockets.iter().map(BatchSocket::max_segments).min().unwrap_or(1),
            };
            let mut shard = Shard {
                endpoint,
                application,
                sockets,
                origin,
                watched: origin,
                next_look: KERNEL_PERIODS[0],
                work: WorkMeter::start(),
                received: ReceiveBuffers::new(),
                transmit: TransmitBuffer::with_capacity(65_000, segments),
                bad_link: config.bad_network.as_ref().map(BadLink::new),
                among: Among::of(inheritance),
            };
            shard.run(receiver, &wake_ups);
        };
        let builder = thread::Builder::new().name("oneport".into());
        builder.spawn(body).map_err(StartError::System)?;
        let ended = Arc::new(tokio::sync::Mutex::new(Some(ended)));
        Ok(Self { commands, waker: WakeAtLast(waker), addresses, ended })
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

/// What became of the commands that waited.
enum Done {
    /// They are carried out.
    All,
    /// So are some of them; others wait.
    Some,
    /// They were, up to one that says to stop, or nobody is left to give any.
    Stop,
}

/// What the thread owns.
struct Shard<A> {
    endpoint: Endpoint,
    application: A,
    sockets: Vec<BatchSocket>,
    origin: time::Instant,
    /// When the kernel was last asked what it has dropped, and how long behind that it is asked again.
    watched: time::Instant,
    next_look: Duration,
    work: WorkMeter,
    received: ReceiveBuffers,
    transmit: TransmitBuffer,
    bad_link: Option<BadLink>,
    among: Among,
}

impl<A: Application> Shard<A> {
    fn now(&self) -> Instant {
        let micros = self.origin.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn run(&mut self, mut commands: mpsc::UnboundedReceiver<Command<A>>, wake_ups: &WakeUps) {
        let mut stops = None;
        if self.among.reads {
            let now = self.now();
            self.application.start(&mut self.endpoint, now);
        }
        for channel in &self.among.channels {
            if let Role::Older(older) | Role::Predecessor(older) = channel.role {
                self.endpoint.older_lives(older);
            }
        }
        let mut woke = time::Instant::now();
        let mut ready = true;
        loop {
            self.hear();
            let mut more = self.receive();
            if ready {
                let now = self.now();
                self.application.handle_ready(&mut self.endpoint, now);
            }
            self.time_out();
            match self.carry_out(&mut commands) {
                Done::All => {}
                Done::Some => more = true,
                Done::Stop if stops.is_none() => {
                    let now = self.now();
                    self.endpoint.hangup_all(now, CauseCode::NORMAL_CLEARING);
                    stops = Some(time::Instant::now() + FAREWELL);
                }
                Done::Stop => {}
            }
            self.flush();
            if let Some(stops) = stops
                && (self.endpoint.is_settled() || time::Instant::now() >= stops)
            {
                return;
            }
            let mut wait = if more { Duration::ZERO } else { self.until_next_timeout(stops) };
            if self.endpoint.calls() > 0 || !self.among.channels.is_empty() {
                wait = wait.min(GLANCE);
            }
            // Others have waited while it worked.
            let slept = time::Instant::now();
            self.note_lateness(slept - woke);
            ready = self.wait(wake_ups, wait);
            woke = time::Instant::now();
            self.note_lateness((woke - slept).saturating_sub(wait));
            if let Some(workload) = self.work.sample(woke) {
                let now = self.now();
                self.application.handle_workload(&mut self.endpoint, now, &workload);
            }
        }
    }

    /// Waits until there is something to do; whether what the application watches can be read.
    fn wait(&mut self, wake_ups: &WakeUps, longest: Duration) -> bool {
        let Among { reads, channels, .. } = &mut self.among;
        let mut heard: SmallVec<[&mut Channel; 4]> =
            channels.iter_mut().filter(|channel| channel.is_heard(*reads)).collect();
        let sockets = if *reads { &mut self.sockets[..] } else { &mut [] };
        socket::wait(sockets, &mut heard, wake_ups, self.application.watched(), longest)
    }

    /// It came so much later than it was wanted.
    fn note_lateness(&mut self, late: Duration) {
        self.work.note_lateness(late);
        if late >= Lateness::LEAST {
            self.endpoint.report_lateness(late);
        }
    }

    /// Does what is asked for.
    fn carry_out(&mut self, commands: &mut mpsc::UnboundedReceiver<Command<A>>) -> Done {
        let now = self.now();
        for _ in 0..COMMAND_TURNS {
            match commands.try_recv() {
                Ok(Command::Act(act)) => act(&mut self.endpoint, &mut self.application, now),
                Ok(Command::Turn(turn)) => turn(self),
                Err(TryRecvError::Empty) => return Done::All,
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Done::Stop,
            }
        }
        Done::Some
    }

    /// Takes what has arrived; `true` when there may be more.
    fn receive(&mut self) -> bool {
        let now = self.now();
        let since_start = self.origin.elapsed();
        let Self { endpoint, application, sockets, received, bad_link, among, .. } = self;
        let mut more = false;
        if !among.reads {
            return more;
        }
        let mut counts = HandedOn::default();
        let sees = application.sees();
        for socket in sockets.iter().filter(|socket| socket.is_readable) {
            let mut failed = 0;
            let drained = (0..RECEIVE_TURNS).any(|_| {
                let Ok(count) = socket.receive(received) else {
                    failed += 1;
                    return false;
                };
                endpoint.prefetch(received.datagrams(count));
                for (meta, datagram) in received.datagrams_mut(count) {
                    let path = socket.path_of(meta);
                    if let Some(link) = bad_link {
                        link.enter(since_start, Way::In, path, datagram);
                        continue;
                    }
                    let whose = endpoint.whose(path.remote, datagram);
                    if among.hand_on(whose, path, datagram, &mut counts) {
                        continue;
                    }
                    if sees.wants(datagram) {
                        let local = socket.local_of(&path);
                        application.see_received(now, local, path.remote, datagram);
                    }
                    endpoint.handle_datagram(now, path, datagram, &mut Ear(application, now));
                }
                // What comes meanwhile ends the next wait at once.
                count < ReceiveBuffers::BUNDLES
            });
            more |= !drained;
            endpoint.report_drops(DropReason::ReceiveFailed, failed, None, None);
        }
        if counts.handed > 0 {
            counts.dropped += among.channels.iter_mut().map(Channel::send_batch).sum::<u64>();
            endpoint.report_handed_on(counts.handed - counts.dropped);
            endpoint.report_drops(DropReason::OlderBehind, counts.dropped, None, None);
        }
        more
    }

    fn time_out(&mut self) {
        let now = self.now();
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(now);
        }
        if self.application.poll_timeout().is_some_and(|at| at <= now) {
            self.application.handle_timeout(&mut self.endpoint, now);
        }
    }

    /// Hands out events and sends datagrams until there are none, and tells what the kernel lost.
    fn flush(&mut self) {
        let now = self.now();
        self.hand_out(now);
        while self.leave_bad_link() {
            self.hand_out(now);
        }
        self.watch_kernel();
        while let Some((reason, count, call)) = self.application.poll_drops() {
            self.endpoint.report_drops(reason, count, None, call);
        }
        while let Some(notice) = self.endpoint.poll_notice(now) {
            self.application.handle_notice(&notice);
        }
    }

    /// Hands out events and sends datagrams, or lets them enter the bad network.
    fn hand_out(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            self.application.handle_event(&mut self.endpoint, now, event);
        }
        // Whose a number is must be known before anybody answers to it.
        self.speak();
        while let Some(transmit) = self.endpoint.poll_transmit(&mut self.transmit) {
            if let Some(link) = &mut self.bad_link {
                let size = transmit.segment_size.unwrap_or(transmit.len).max(1);
                for datagram in self.transmit.as_bytes().chunks(size) {
                    link.enter(self.origin.elapsed(), Way::Out, transmit.path, datagram);
                }
                continue;
            }
            let failed = match socket::choose(&self.sockets, &transmit.path) {
                None => DropReason::NoSocket,
                Some(socket) => match socket.send(&transmit, self.transmit.as_bytes()) {
                    Ok(()) => {
                        let sees = self.application.sees();
                        if sees != Sees::Nothing {
                            let local = socket.local_of(&transmit.path);
                            let size = transmit.segment_size.unwrap_or(transmit.len).max(1);
                            let all = self.transmit.as_bytes().chunks(size);
                            for datagram in all.filter(|datagram| sees.wants(datagram)) {
                                let remote = transmit.path.remote;
                                self.application.see_sent(now, local, remote, datagram);
                            }
                        }
                        continue;
                    }
                    Err(_) => DropReason::SendFailed,
                },
            };
            let count = transmit.segment_size.map_or(1, |size| transmit.len.div_ceil(size));
            self.endpoint.report_drops(failed, count as u64, Some(transmit.path), None);
        }
    }

    /// Takes and sends what comes out of the bad network now, if there is one; `true`: something has come.
    fn leave_bad_link(&mut self) -> bool {
        let now = self.now();
        let Self { endpoint, application, sockets, bad_link: Some(link), origin, .. } = self else {
            return false;
        };
        let mut came = false;
        let sees = application.sees();
        while let Some(mut one) = link.leave(origin.elapsed()) {
            let (path, remote) = (one.path, one.path.remote);
            let socket = socket::choose(sockets, &path);
            let local = socket.map(|socket| socket.local_of(&path));
            let wants = local.filter(|_| sees.wants(&one.bytes));
            match one.way {
                Way::In => {
                    came = true;
                    if let Some(local) = wants {
                        application.see_received(now, local, remote, &one.bytes);
                    }
                    endpoint.handle_datagram(now, path, &mut one.bytes, &mut Ear(application, now));
                }
                Way::Out => {
                    let transmit = Transmit { path, len: one.bytes.len(), segment_size: None };
                    let sent = socket.is_some_and(|to| to.send(&transmit, &one.bytes).is_ok());
                    match wants {
                        Some(local) if sent => {
                            application.see_sent(now, local, remote, &one.bytes);
                        }
                        _ if !sent => {
                            let failed = DropReason::SendFailed;
                            endpoint.report_drops(failed, 1, Some(path), None);
                        }
                        _ => {}
                    }
                }
            }
        }
        came
    }

    /// Now and then asks the kernel what it has dropped because we were too slow.
    fn watch_kernel(&mut self) {
        let since = self.watched.elapsed();
        // The newest tells of all that was dropped at the sockets.
        if since < self.next_look || !self.among.reads {
            return;
        }
        let begun = time::Instant::now();
        self.watched = begun;
        let mut all = 0;
        for socket in &mut self.sockets {
            let dropped = socket.new_kernel_drops();
            all += dropped;
            self.endpoint.report_drops(DropReason::SocketBufferFull, dropped, None, None);
        }
        self.work.note_overflow(all, since);
        let [least, most] = KERNEL_PERIODS;
        self.next_look = (begun.elapsed() * KERNEL_SHARE).clamp(least, most);
    }

    /// How long nothing is to be done, unless something arrives.
    fn until_next_timeout(&self, stops: Option<time::Instant>) -> Duration {
        let notice = self.endpoint.notice_due();
        let next = [self.endpoint.poll_timeout(), self.application.poll_timeout(), notice];
        let next = next.into_iter().flatten().min();
        // Without anything to wait for, an hour is as good as any time.
        let wait = next.map_or(Duration::from_secs(3600), |at| at.since(self.now()));
        let leaves = self.bad_link.as_ref().and_then(BadLink::next);
        let wait = leaves.map_or(wait, |at| wait.min(at.saturating_sub(self.origin.elapsed())));
        let stop = stops.map(|stops| stops.saturating_duration_since(time::Instant::now()));
        stop.map_or(wait, |stop| wait.min(stop))
    }
}
