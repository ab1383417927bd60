//! What a driver's thread does for one endpoint: its sockets, its timers, its application and its commands.

use std::net::SocketAddr;
use std::time::{self, Duration};

use oneport_proto::{
    CallId, DropReason, Endpoint, EndpointConfig, Instant, Media, MediaSink, Path, Speech,
    Transmit, TransmitBuffer, Video,
};
use oneport_wire::CauseCode;
use smallvec::SmallVec;
use tokio::sync::mpsc::{UnboundedReceiver, error::TryRecvError};
use tokio::sync::oneshot;

use super::among::{Among, HandedOn};
use super::thread::{Common, Resident};
use super::{Application, Command, Sees};
use crate::bad_link::{BadLink, BadNetwork, Way};
use crate::socket::{self, BatchSocket, ReceiveBuffers, Watched};
use crate::succession::{Channel, Inheritance, Role};
use crate::workload::Workload;

/// Batches received from one socket before timers and commands get their turn.
pub(super) const RECEIVE_TURNS: usize = 16;
/// Deadlines are dealt with for so long at least, if so much is due, before the sockets get their turn; and else for as
/// long as these took.
const DEADLINES_TURN: Duration = Duration::from_millis(2);
/// Datagrams whose calls are looked at together before they are handed over. Those of more, of full
/// trunk frames, would not stay in the cache of a core until they are.
const GROUP: usize = 16;
/// Commands carried out before the sockets get their turn.
const COMMAND_TURNS: usize = 1024;
/// Time between two looks at what the kernel has dropped. A look reads a table of all sockets of the machine,
/// so that it may take long; then it has to wait: it costs a thousandth of the time at most.
const KERNEL_PERIODS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
const KERNEL_SHARE: u32 = 1_000;
/// How long the last frames are repeated after the driver is told to stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// Lets an application hear and see what comes at a moment.
pub(super) struct Ear<'a, A>(pub(super) &'a mut A, pub(super) Instant);

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

/// The next datagrams whose calls are looked at together; `None`: there are no more.
fn next_group<T>(datagrams: &mut impl Iterator<Item = T>) -> Option<SmallVec<[T; GROUP]>> {
    let group: SmallVec<_> = datagrams.take(GROUP).collect();
    (!group.is_empty()).then_some(group)
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

/// What an endpoint needs of the system before it starts, and what it is told.
pub(super) struct Bound<A> {
    pub(super) config: EndpointConfig,
    pub(super) seed: [u8; 32],
    pub(super) sockets: Vec<BatchSocket>,
    pub(super) one_by_one: bool,
    pub(super) bad_network: Option<BadNetwork>,
    pub(super) inheritance: Option<Inheritance>,
    pub(super) commands: UnboundedReceiver<Command<A>>,
    /// Closes when it has stopped.
    pub(super) end: oneshot::Sender<()>,
}

/// What belongs to one endpoint.
pub(super) struct Shard<A> {
    pub(super) endpoint: Endpoint,
    pub(super) application: A,
    pub(super) sockets: Vec<BatchSocket>,
    commands: UnboundedReceiver<Command<A>>,
    /// When it stops, if it was told to, whatever is left.
    stops: Option<time::Instant>,
    origin: time::Instant,
    /// When the kernel was last asked what it has dropped, and how long behind that it is asked again.
    watched: time::Instant,
    next_look: Duration,
    transmit: TransmitBuffer,
    bad_link: Option<BadLink>,
    pub(super) among: Among,
    _end: oneshot::Sender<()>,
}

impl<A: Application> Shard<A> {
    /// Begins to be, on the thread where it lives.
    pub(super) fn new(bound: Bound<A>, application: A) -> Self {
        let Bound { config, seed, sockets, one_by_one, bad_network, inheritance, commands, end } =
            bound;
        // Monotonic: steps of the wall clock do not reach the engine.
        let origin = time::Instant::now();
        let segments = match one_by_one {
            true => 1,
            false => sockets.iter().map(BatchSocket::max_segments).min().unwrap_or(1),
        };
        Self {
            endpoint: Endpoint::new(config, seed, Instant::from_micros(0)),
            application,
            sockets,
            commands,
            stops: None,
            origin,
            watched: origin,
            next_look: KERNEL_PERIODS[0],
            transmit: TransmitBuffer::with_capacity(65_000, segments),
            bad_link: bad_network.as_ref().map(BadLink::new),
            among: Among::of(inheritance),
            _end: end,
        }
    }

    pub(super) fn now(&self) -> Instant {
        let micros = self.origin.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Does what is asked for.
    fn carry_out(&mut self) -> Done {
        let now = self.now();
        for _ in 0..COMMAND_TURNS {
            match self.commands.try_recv() {
                Ok(Command::Act(act)) => act(&mut self.endpoint, &mut self.application, now),
                Ok(Command::Turn(turn)) => turn(self),
                Err(TryRecvError::Empty) => return Done::All,
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Done::Stop,
            }
        }
        Done::Some
    }

    /// Takes what has arrived; `true` when there may be more.
    fn receive(&mut self, common: &mut Common) -> bool {
        let Common { received, gathering, .. } = common;
        let now = self.now();
        let since_start = self.origin.elapsed();
        let Self { endpoint, application, sockets, bad_link, among, .. } = self;
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
                gathering.note(received.of_media(count));
                let mut datagrams = received.datagrams(count);
                while let Some(group) = next_group(&mut datagrams) {
                    endpoint.prefetch(group.iter().map(|(meta, bytes)| (meta.addr, &**bytes)));
                    for (meta, datagram) in group {
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
                }
                // What comes meanwhile is seen by the next wait.
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

    /// Whether a deadline of the endpoint is past.
    fn is_overdue(&self) -> bool {
        let now = self.now();
        self.endpoint.poll_timeout().is_some_and(|at| at <= now)
    }

    /// Does what is due. Where that is much, what comes of it is sent in between, and the sockets, which took so long,
    /// get their turn before the rest: neither must wait for all of the other. How late the rest is says nothing of how
    /// busy the thread is: polls of many calls share a moment, and take a while.
    fn time_out(&mut self, received_for: Duration, common: &mut Common) {
        let begun = time::Instant::now();
        while self.is_overdue() {
            let now = self.now();
            self.endpoint.handle_timeout(now);
            if !self.is_overdue() {
                break;
            }
            self.hand_out(now, common);
            if begun.elapsed() >= received_for.max(DEADLINES_TURN) {
                break;
            }
        }
        let now = self.now();
        if self.application.poll_timeout().is_some_and(|at| at <= now) {
            self.application.handle_timeout(&mut self.endpoint, now);
        }
    }

    /// Hands out events and sends datagrams until there are none, and tells what the kernel lost.
    fn flush(&mut self, common: &mut Common) {
        let now = self.now();
        self.hand_out(now, common);
        while self.leave_bad_link() {
            self.hand_out(now, common);
        }
        self.watch_kernel(common);
        while let Some((reason, count, call)) = self.application.poll_drops() {
            self.endpoint.report_drops(reason, count, None, call);
        }
        while let Some(notice) = self.endpoint.poll_notice(now) {
            self.application.handle_notice(&notice);
        }
    }

    /// Hands out events and sends datagrams, or lets them enter the bad network.
    fn hand_out(&mut self, now: Instant, common: &mut Common) {
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
            let bytes = self.transmit.as_bytes();
            let failed = match socket::choose(&self.sockets, &transmit.path) {
                None => DropReason::NoSocket,
                Some(socket) => {
                    let local = socket.local_of(&transmit.path);
                    let sent = common.crossing.take(common.place, local, &transmit, bytes)
                        || socket.send(&transmit, bytes).is_ok();
                    if sent {
                        let sees = self.application.sees();
                        if sees != Sees::Nothing {
                            let size = transmit.segment_size.unwrap_or(transmit.len).max(1);
                            let all = bytes.chunks(size);
                            for datagram in all.filter(|datagram| sees.wants(datagram)) {
                                let remote = transmit.path.remote;
                                self.application.see_sent(now, local, remote, datagram);
                            }
                        }
                        continue;
                    }
                    DropReason::SendFailed
                }
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
    fn watch_kernel(&mut self, common: &mut Common) {
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
        common.work.note_overflow(all, since);
        let [least, most] = KERNEL_PERIODS;
        self.next_look = (begun.elapsed() * KERNEL_SHARE).clamp(least, most);
    }
}

impl<A: Application> Resident for Shard<A> {
    fn begin(&mut self, common: &mut Common) {
        // On a bad network nothing is spared.
        let reached = self.sockets.iter().filter(|_| self.bad_link.is_none());
        common.crossing.move_in(reached.map(BatchSocket::address));
        if self.among.reads {
            let now = self.now();
            self.application.start(&mut self.endpoint, now);
        }
        for channel in &self.among.channels {
            if let Role::Older(older) | Role::Predecessor(older) = channel.role {
                self.endpoint.older_lives(older);
            }
        }
    }

    fn work(&mut self, common: &mut Common, ready: bool) -> bool {
        self.hear();
        let begun = time::Instant::now();
        let mut more = self.receive(common);
        if ready {
            let now = self.now();
            self.application.handle_ready(&mut self.endpoint, now);
        }
        self.time_out(begun.elapsed(), common);
        match self.carry_out() {
            Done::All => {}
            Done::Some => more = true,
            Done::Stop if self.stops.is_none() => {
                let now = self.now();
                self.endpoint.hangup_all(now, CauseCode::NORMAL_CLEARING);
                self.stops = Some(time::Instant::now() + FAREWELL);
            }
            Done::Stop => {}
        }
        self.flush(common);
        more
    }

    fn receive_crossed(&mut self, common: &mut Common) {
        let place = common.place;
        let Some(mut waiting) = common.crossing.waiting(place) else { return };
        let now = self.now();
        let Self { endpoint, application, .. } = self;
        let sees = application.sees();
        for (path, datagram) in waiting.datagrams() {
            if sees.wants(datagram)
                && let Path { local: Some(ip), local_port: Some(port), .. } = path
            {
                application.see_received(now, SocketAddr::new(ip, port), path.remote, datagram);
            }
            endpoint.handle_datagram(now, path, datagram, &mut Ear(application, now));
        }
        common.crossing.give_back(place, waiting);
        self.flush(common);
    }

    fn has_stopped(&self) -> bool {
        self.stops.is_some_and(|stops| self.endpoint.is_settled() || time::Instant::now() >= stops)
    }

    fn until_next_timeout(&self) -> Duration {
        let notice = self.endpoint.notice_due();
        let next = [self.endpoint.poll_timeout(), self.application.poll_timeout(), notice];
        let next = next.into_iter().flatten().min();
        // Without anything to wait for, an hour is as good as any time.
        let wait = next.map_or(Duration::from_secs(3600), |at| at.since(self.now()));
        let leaves = self.bad_link.as_ref().and_then(BadLink::next);
        let wait = leaves.map_or(wait, |at| wait.min(at.saturating_sub(self.origin.elapsed())));
        let stop = self.stops.map(|stops| stops.saturating_duration_since(time::Instant::now()));
        stop.map_or(wait, |stop| wait.min(stop))
    }

    fn is_busy(&self) -> bool {
        self.endpoint.calls() > 0 || !self.among.channels.is_empty()
    }

    fn watched(&mut self) -> Watched<'_> {
        let Among { reads, channels, .. } = &mut self.among;
        Watched {
            channels: channels.iter_mut().filter(|channel| channel.is_heard(*reads)).collect(),
            sockets: if *reads { &mut self.sockets[..] } else { &mut [] },
            other: self.application.watched(),
        }
    }

    fn report_lateness(&mut self, late: Duration) {
        self.endpoint.report_lateness(late);
    }

    fn handle_workload(&mut self, workload: &Workload) {
        let now = self.now();
        self.application.handle_workload(&mut self.endpoint, now, workload);
    }
}
