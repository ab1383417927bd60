//! The work: packets in, frames out, and the other way round.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use oneport_media::dtmf::Key;
use oneport_media::ilbc::Mode;
use oneport_proto::{CallId, DtmfPhase, Endpoint, Instant, Media, Speech};
use oneport_wire::{Format, Timestamp};
use rustix::event::epoll;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, recvmsg};
use rustix::time::Timespec;
use tokio::sync::mpsc;

use super::handshakes::{Handshakes, Part, Place};
use super::keys::{Keys, PACE};
use super::latch::Latch;
use super::line::{Line, Passed};
use super::ports::Pair;
use super::reports::Reports;
use super::secrecy::Secrecy;
use super::shaking::{Early, Shaking};
use super::stream::{Heard, Incoming, Outgoing, Partner, Stream};
use super::{Command, Figures, MediaEvent, Shared};
use crate::sip::dtls::is_handshake;
use crate::sip::one_way::{Evidence, PATIENCE, Watch};
use crate::sip::rtp::Spacing;
use crate::transcoding::Ticket;

/// Sockets that one look at the descriptor tells of.
const READY: usize = 256;

/// Such looks before others get their turn.
const TURNS: usize = 16;

/// Each stream is looked at twice in a second: a fifth of them at a time.
const LOOK: Duration = Duration::from_millis(100);
const PARTS: usize = 5;

/// So many packets come in each gathering, or none is worth its delay.
const WORTHWHILE: u32 = 4;

/// Errors of one socket that one look at the descriptor tells of.
const ERRORS: usize = 64;

/// The largest datagram that is taken; a longer one is cut, and is no voice.
const LONGEST: usize = 4_096;

/// The descriptor's word for the bell.
const BELL: u64 = u64::MAX;

/// Does the work of a [`MediaPlane`](super::MediaPlane): see there. Its owner hands it what the driver
/// hands to the owner.
///
/// ```
/// use oneport_switch::sip::media::{MediaConfig, MediaPlane};
///
/// let (_plane, relay) = MediaPlane::start(MediaConfig::default())?;
/// // An application hands it what its driver hands on: see `watched`, `hear` and `handle_timeout`.
/// assert_eq!((relay.streams(), relay.poll_timeout()), (0, None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MediaRelay {
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    epoll: OwnedFd,
    streams: Vec<Option<Box<Stream>>>,
    calls: HashMap<CallId, u16>,
    next_look: Option<Instant>,
    part: usize,
    /// Packets since the last look, and whether so many come that they gather.
    packets: u32,
    gathers: bool,
    /// Until then packets gather, and nothing is read.
    next_reading: Option<Instant>,
    /// When something was heard last, on any stream.
    heard: Option<Instant>,
    /// Streams with keys on their way, and when they are due.
    keyed: Vec<u16>,
    next_key: Option<Instant>,
    datagram: Box<[u8; LONGEST]>,
    packet: Vec<u8>,
    handshakes: Handshakes,
    /// How many streams there have been.
    opened: u32,
}

impl MediaRelay {
    pub(super) fn new(shared: Arc<Shared>, commands: Receiver<Command>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &shared.bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
        let handshakes = Handshakes::start(shared.identity.clone(), &shared)?;
        Ok(Self {
            shared,
            commands,
            epoll,
            streams: Vec::new(),
            calls: HashMap::new(),
            next_look: None,
            part: 0,
            packets: 0,
            gathers: false,
            next_reading: None,
            heard: None,
            keyed: Vec::new(),
            next_key: None,
            datagram: Box::new([0; LONGEST]),
            packet: Vec::with_capacity(LONGEST + 64),
            handshakes,
            opened: 0,
        })
    }

    /// What the driver has to watch, but while packets gather:
    /// [`Application::watched`](oneport::Application::watched).
    #[must_use]
    pub fn watched(&self) -> Option<BorrowedFd<'_>> {
        self.next_reading.is_none().then(|| self.epoll.as_fd())
    }

    /// How many streams there are.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.iter().flatten().count()
    }

    /// Reads what has come: [`Application::handle_ready`](oneport::Application::handle_ready).
    pub fn handle_ready(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.next_reading = self.gathers.then(|| now + self.shared.config.gather);
        let mut room = [const { MaybeUninit::<epoll::Event>::uninit() }; READY];
        for _ in 0..TURNS {
            let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
            // A signal ends it as no arrival does: the next look tells.
            let Ok((ready, _)) = epoll::wait(&self.epoll, &mut room[..], Some(&nothing)) else {
                return;
            };
            let found = ready.len();
            for event in ready {
                match event.data.u64() {
                    BELL => self.carry_out(endpoint, now),
                    socket => {
                        let flags = event.flags;
                        let has_errors = flags.contains(epoll::EventFlags::ERR);
                        self.read(endpoint, now, socket, has_errors);
                    }
                }
            }
            if found < READY {
                return;
            }
        }
    }

    /// Reads one datagram. Where there are more the descriptor says so again, so that nobody starves the
    /// others.
    fn read(&mut self, endpoint: &mut Endpoint, now: Instant, socket: u64, has_errors: bool) {
        let Ok(index) = u16::try_from(socket >> 1) else { return };
        let Some(mut stream) = self.take(index) else { return };
        let is_report = socket & 1 == 1;
        if has_errors && !is_report {
            come_back(now, &mut stream);
        }
        let from = if is_report { &stream.rtcp } else { &stream.rtp };
        let Ok((length, from)) = from.recv_from(&mut self.datagram[..]) else {
            return self.put(index, stream);
        };
        self.packets = self.packets.saturating_add(1);
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let datagram = self.datagram.get_mut(..length).unwrap_or_default();
        if is_handshake(datagram) {
            let part = if is_report { Part::Reports } else { Part::Media };
            if let Some(whose) = stream.shake(part, from, datagram) {
                self.handshakes.receive(Place { index, part }, whose, datagram);
            }
            return self.put(index, stream);
        }
        if is_report {
            stream.receive_report(now, from, datagram);
            return self.put(index, stream);
        }
        let mut partner = stream.partner.take();
        let Self { streams, packet, datagram, keyed, next_key, .. } = self;
        let datagram = datagram.get_mut(..length).unwrap_or_default();
        let mut untranslated = None;
        stream.receive(now, from, datagram, &mut |heard| match &mut partner {
            Some(Partner::Call(call, line)) => {
                untranslated = pass(endpoint, now, (*call, line), heard);
            }
            Some(Partner::Stream(other)) => {
                if let Some(other_stream) = stream_at(streams, *other) {
                    hand_over(other_stream, now, heard, packet);
                    if other_stream.has_keys() {
                        begin_keys(keyed, next_key, now, *other);
                    }
                }
            }
            None => {}
        });
        if let Some((from, to, why)) = untranslated {
            stream.evidence.untranslated.0 += 1;
            stream.evidence.translating(from, to, why == Passed::NoRoom);
        }
        if stream.evidence.heard == Some(now) {
            self.heard = Some(now);
        }
        if stream.has_keys() {
            begin_keys(&mut self.keyed, &mut self.next_key, now, index);
        }
        stream.partner = partner;
        self.put(index, stream);
    }

    fn take(&mut self, index: u16) -> Option<Box<Stream>> {
        self.streams.get_mut(usize::from(index))?.take()
    }

    fn put(&mut self, index: u16, stream: Box<Stream>) {
        if let Some(place) = self.streams.get_mut(usize::from(index)) {
            *place = Some(stream);
        }
    }

    /// Takes a frame of a call: [`Application::handle_media`](oneport::Application::handle_media). `false`:
    /// the call is joined with no stream.
    pub fn hear(&mut self, now: Instant, call: CallId, media: Media<'_>) -> bool {
        let Some(stream) =
            self.calls.get(&call).and_then(|index| stream_at(&mut self.streams, *index))
        else {
            return false;
        };
        let voice = (media.format, media.timestamp.0, media.payload);
        stream.say(now, voice, &mut self.packet);
        true
    }

    /// A call that is joined with a stream tells of a pause of `level` −dBov (a frame of comfort noise).
    /// `false`: it is joined with none.
    pub fn pause(&mut self, now: Instant, call: CallId, level: u8) -> bool {
        let Some(stream) =
            self.calls.get(&call).and_then(|index| stream_at(&mut self.streams, *index))
        else {
            return false;
        };
        stream.pause(now, level, &mut self.packet);
        true
    }

    /// A key of a call leaves as packets on the stream that it is joined with. `false`: it is joined with
    /// none, or the other side does not want them so.
    pub fn key(&mut self, now: Instant, call: CallId, digit: u8, phase: DtmfPhase) -> bool {
        self.calls.get(&call).copied().is_some_and(|index| self.key_at(now, index, digit, phase))
    }

    fn key_at(&mut self, now: Instant, index: u16, digit: u8, phase: DtmfPhase) -> bool {
        let Some(stream) = stream_at(&mut self.streams, index) else { return false };
        let says = stream.says_keys();
        match phase {
            DtmfPhase::Begin if says => drop(stream.outgoing.keys.press(digit)),
            DtmfPhase::Begin => {}
            // The other side may have ceased to want them while it was down.
            DtmfPhase::End if says => stream.outgoing.keys.release(),
            DtmfPhase::End => stream.outgoing.keys.let_go(),
        }
        if stream.has_keys() {
            begin_keys(&mut self.keyed, &mut self.next_key, now, index);
        }
        says
    }

    /// A call has ended: its stream is joined with nobody.
    pub fn ended(&mut self, call: CallId) {
        if let Some(index) = self.calls.remove(&call)
            && let Some(stream) = stream_at(&mut self.streams, index)
        {
            stream.partner = None;
            stream.outgoing.keys.let_go();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.next_look, self.next_key, self.next_reading].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        if self.next_reading.is_some_and(|next| next <= now) {
            self.handle_ready(endpoint, now);
        }
        if self.next_key.is_some_and(|next| next <= now) {
            self.go_on_with_keys(endpoint, now);
        }
        if let Some(due) = self.next_look.filter(|next| *next <= now) {
            let gather = self.shared.config.gather;
            let gatherings = LOOK.as_micros().checked_div(gather.as_micros());
            let packets = core::mem::take(&mut self.packets);
            let many =
                gatherings.is_some_and(|many| u128::from(packets) >= u128::from(WORTHWHILE) * many);
            let (streams, packet) = (&mut self.streams, &mut self.packet);
            // Whoever is not heard for so long is somebody else than who was.
            let others = self.heard.is_some_and(|heard| now.since(heard) < PATIENCE);
            for stream in streams.iter_mut().skip(self.part).step_by(PARTS).flatten() {
                stream.evidence.others_heard = others;
                stream.shaking.refill();
                stream.look(now, packet);
            }
            self.part = (self.part + 1) % PARTS;
            // The pace is kept where this was late, unless it was very late.
            let next = if now.since(due) < LOOK { due + LOOK } else { now + LOOK };
            self.next_look = streams.iter().any(Option::is_some).then_some(next);
            // What came last may have come for the last stream.
            self.gathers = many && self.next_look.is_some();
        }
    }

    fn go_on_with_keys(&mut self, endpoint: &mut Endpoint, now: Instant) {
        for place in (0..self.keyed.len()).rev() {
            let Some(index) = self.keyed.get(place).copied() else { continue };
            let Some(mut stream) = self.take(index) else {
                self.keyed.swap_remove(place);
                continue;
            };
            let mut partner = stream.partner.take();
            let ended = stream.pace(now, &mut self.packet);
            match (ended, &mut partner) {
                (Some(key), Some(Partner::Call(call, _))) => say_key(endpoint, now, *call, key),
                (Some(key), Some(Partner::Stream(other))) => {
                    if let Some(other) = stream_at(&mut self.streams, *other) {
                        hand_over(other, now, Heard::Key(key), &mut self.packet);
                    }
                }
                _ => {}
            }
            if !stream.has_keys() {
                self.keyed.swap_remove(place);
            }
            stream.partner = partner;
            self.put(index, stream);
        }
        self.next_key = match self.keyed.is_empty() {
            true => None,
            // The pace is kept where this was late, unless it was very late.
            false => {
                let next = self.next_key.unwrap_or(now) + PACE;
                Some(if next <= now { now + PACE } else { next })
            }
        };
    }

    /// Does what is asked for.
    fn carry_out(&mut self, endpoint: &mut Endpoint, now: Instant) {
        // What is asked for from here on rings again.
        let _ = rustix::io::read(&self.shared.bell, &mut [0_u8; 8]);
        while let Ok(command) = self.commands.try_recv() {
            self.command(endpoint, now, command);
        }
    }

    fn command(&mut self, endpoint: &mut Endpoint, now: Instant, command: Command) {
        match command {
            Command::Open { pair, events, figures, ours } => {
                if let Err(error) = self.open(now, pair, (events, figures), ours) {
                    // Whoever asked for it has the port until it is closed.
                    tracing::warn!("a media port cannot be watched: {error}");
                }
            }
            Command::Agree { index, agreed } => {
                if let Some(stream) = stream_at(&mut self.streams, index) {
                    stream.agree(now, agreed);
                }
                self.begin_handshakes(index);
            }
            Command::ExpectHandshake { index } => {
                if let Some(stream) = stream_at(&mut self.streams, index) {
                    stream.shaking.expect();
                }
            }
            Command::Told { index } => {
                if let Some(stream) = stream_at(&mut self.streams, index) {
                    stream.shaking.told();
                }
                self.begin_handshakes(index);
            }
            Command::Shake { index, part, turn, to, datagram } => {
                if let Some(stream) = stream_at(&mut self.streams, index)
                    && stream.shaking.turn() == turn
                {
                    let socket = match part {
                        Part::Media => &stream.rtp,
                        Part::Reports => &stream.rtcp,
                    };
                    // What is lost is sent again.
                    let _ = socket.send_to(&datagram, to);
                }
            }
            Command::Secured { index, part, turn, with, secured } => {
                if let Some(stream) = stream_at(&mut self.streams, index) {
                    stream.secured(part, turn, with, &secured);
                }
            }
            Command::Insecure { index, part, turn, why } => {
                if let Some(stream) = stream_at(&mut self.streams, index) {
                    stream.insecure(part, turn, why);
                }
            }
            Command::Expect { index, expected } => {
                if let Some(stream) = stream_at(&mut self.streams, index) {
                    stream.expected = Some(expected);
                }
            }
            Command::ExpectHost { index, host } => {
                if let Some(stream) = stream_at(&mut self.streams, index) {
                    stream.latch.expect_host(host);
                    stream.evidence.host = Some(host);
                }
            }
            Command::Described { index, ours } => {
                if let Some(stream) = stream_at(&mut self.streams, index) {
                    stream.evidence.ours = Some(ours);
                }
            }
            Command::Attach { index, call, format } => self.attach(index, call, format),
            Command::Join { index, other } => self.join(index, other),
            Command::Detach { index } => self.detach(index),
            Command::Key { index, digit, phase } => drop(self.key_at(now, index, digit, phase)),
            Command::Watch { index, both_ways } => {
                if let Some(stream) = stream_at(&mut self.streams, index) {
                    stream.watch_both_ways(now, both_ways);
                }
            }
            Command::Close { index, tell } => {
                self.release_keys(endpoint, now, index);
                self.detach(index);
                let Some(mut stream) = self.take(index) else {
                    return self.shared.give_back(index);
                };
                stream.report(now, true, &mut self.packet);
                let figures = stream.known_figures();
                self.handshakes.end(index);
                // Its sockets are closed before anybody else gets the ports.
                drop(stream);
                self.shared.give_back(index);
                if let Some(tell) = tell {
                    let _ = tell.send(figures);
                }
            }
        }
    }

    /// Begins what handshakes a stream may begin now, with what has come of them already.
    fn begin_handshakes(&mut self, index: u16) {
        let Some(stream) = stream_at(&mut self.streams, index) else { return };
        for begin in stream.begins(index) {
            self.handshakes.begin(begin);
        }
        for Early { part, from, datagram } in stream.shaking.early() {
            if let Some(whose) = stream.shake(part, from, &datagram) {
                self.handshakes.receive(Place { index, part }, whose, &datagram);
            }
        }
    }

    /// A key that is down when its stream is closed comes up.
    fn release_keys(&mut self, endpoint: &mut Endpoint, now: Instant, index: u16) {
        let Some(stream) = stream_at(&mut self.streams, index) else { return };
        let Some(Partner::Call(call, _)) = &stream.partner else { return };
        let late = Duration::MAX;
        let call = *call;
        stream.incoming.keys.handle_timeout(late, |key| say_key(endpoint, now, call, key));
    }

    fn open(
        &mut self,
        now: Instant,
        pair: Pair,
        (events, figures): (mpsc::Sender<MediaEvent>, Arc<Mutex<Figures>>),
        ours: SocketAddr,
    ) -> io::Result<()> {
        let Pair { index, rtp, rtcp } = pair;
        self.opened = self.opened.wrapping_add(1);
        // What comes back (ICMP) is told, too.
        match rtp.local_addr()?.is_ipv6() {
            true => setsockopt(&rtp, sockopt::Ipv6RecvErr, &true)?,
            false => setsockopt(&rtp, sockopt::Ipv4RecvErr, &true)?,
        }
        for (socket, last) in [(&rtp, 0), (&rtcp, 1)] {
            let data = epoll::EventData::new_u64(u64::from(index) << 1 | last);
            epoll::add(&self.epoll, socket, data, epoll::EventFlags::IN)?;
        }
        let mut drawn = [0_u8; 18];
        getrandom::fill(&mut drawn)?;
        let [s0, s1, s2, s3, n0, n1, t0, t1, t2, t3, name @ ..] = drawn;
        let number = u16::from_be_bytes([n0, n1]);
        let timestamp = u32::from_be_bytes([t0, t1, t2, t3]);
        let stream = Stream {
            rtp,
            rtcp,
            agreed: None,
            expected: None,
            secrecy: Secrecy::Plain,
            secrecy_of_reports: None,
            shaking: Shaking::new(self.opened),
            partner: None,
            ticket: Arc::new(Ticket::new(&self.shared.places)),
            latch: Latch::new(self.shared.config.latching),
            incoming: Incoming::new(),
            outgoing: Outgoing {
                source: u32::from_be_bytes([s0, s1, s2, s3]),
                spacing: Spacing::new(now, 8_000, number, timestamp),
                line: None,
                keys: Keys::default(),
                packets: 0,
                bytes: 0,
                sent: None,
                is_pause: false,
            },
            reports: Reports::new(format!("{:016x}", u64::from_be_bytes(name))),
            evidence: Evidence { ours: Some(ours), ..Evidence::default() },
            watch: Watch::default(),
            patience: self.shared.config.timeout,
            waiting: None,
            events,
            figures,
        };
        let place = usize::from(index);
        if self.streams.len() <= place {
            self.streams.resize_with(place + 1, || None);
        }
        self.put(index, Box::new(stream));
        self.next_look.get_or_insert(now + LOOK);
        Ok(())
    }

    fn attach(&mut self, index: u16, call: CallId, format: Format) {
        let same = |stream: &mut Stream| matches!(&stream.partner, Some(Partner::Call(other, line)) if *other == call && line.to() == format);
        if stream_at(&mut self.streams, index).is_none_or(same) {
            return;
        }
        self.detach(index);
        if let Some(before) = self.calls.insert(call, index)
            && let Some(stream) = stream_at(&mut self.streams, before)
        {
            stream.partner = None;
        }
        if let Some(stream) = stream_at(&mut self.streams, index) {
            // Nothing in IAX2 tells how long frames of iLBC should be: 30 ms is what all understand.
            let line = Line::new(format, (None, Mode::Ms30), stream.ticket.clone());
            stream.partner = Some(Partner::Call(call, line));
        }
    }

    fn join(&mut self, index: u16, other: u16) {
        for (one, other) in [(index, other), (other, index)] {
            self.detach(one);
            if let Some(stream) = stream_at(&mut self.streams, one) {
                stream.partner = Some(Partner::Stream(other));
            }
        }
    }

    fn detach(&mut self, index: u16) {
        let Some(stream) = stream_at(&mut self.streams, index) else { return };
        stream.outgoing.keys.let_go();
        match stream.partner.take() {
            Some(Partner::Call(call, _)) => drop(self.calls.remove(&call)),
            Some(Partner::Stream(other)) => {
                if let Some(other) = stream_at(&mut self.streams, other)
                    && matches!(other.partner, Some(Partner::Stream(back)) if back == index)
                {
                    other.partner = None;
                }
            }
            None => {}
        }
    }
}

fn stream_at(streams: &mut [Option<Box<Stream>>], index: u16) -> Option<&mut Stream> {
    streams.get_mut(usize::from(index))?.as_deref_mut()
}

fn begin_keys(keyed: &mut Vec<u16>, next: &mut Option<Instant>, now: Instant, index: u16) {
    if !keyed.contains(&index) {
        keyed.push(index);
        next.get_or_insert(now);
    }
}

/// Takes note of packets that came back: what there was to tell of a socket waits in a queue of its own.
fn come_back(now: Instant, stream: &mut Stream) {
    for _ in 0..ERRORS {
        let mut datagram = [0; 1];
        let mut room = [IoSliceMut::new(&mut datagram)];
        let mut no_room = RecvAncillaryBuffer::default();
        let Ok(told) = recvmsg(&stream.rtp, &mut room, &mut no_room, RecvFlags::ERRQUEUE) else {
            return;
        };
        // The address is that to which the packet went.
        let to = told.address.and_then(|to| SocketAddr::try_from(to).ok());
        let to = to.map(|to| SocketAddr::new(to.ip().to_canonical(), to.port()));
        if to.is_some() && to == stream.latch.target() {
            stream.evidence.came_back(now);
        }
    }
}

/// Hands what was heard to a call. Gives what comes, what it should have become and why it has not, if so.
fn pass(
    endpoint: &mut Endpoint,
    now: Instant,
    (call, line): (CallId, &mut Line),
    heard: Heard<'_>,
) -> Option<(Format, Format, Passed)> {
    // A call that is over takes nothing, and its end is told by other ways.
    match heard {
        Heard::Voice { format, ms, payload } => {
            let to = line.to();
            let passed = line.pass(format, ms, payload, |ms, payload| {
                let media = Media { format: to, timestamp: Timestamp(ms), payload };
                let _ = endpoint.send_translated(now, call, Speech::Voice(media));
            });
            return (passed != Passed::Said).then_some((format, to, passed));
        }
        Heard::Pause { ms, level } => {
            let pause = Speech::Pause { timestamp: Timestamp(ms), level };
            let _ = endpoint.send_translated(now, call, pause);
        }
        Heard::Key(key) => say_key(endpoint, now, call, key),
    }
    None
}

fn say_key(endpoint: &mut Endpoint, now: Instant, call: CallId, key: Key) {
    let _ = match key {
        Key::Pressed(digit) => endpoint.dtmf_begin(now, call, digit),
        Key::Released { digit, .. } => endpoint.dtmf_end(now, call, digit),
    };
}

/// Hands what was heard to another stream.
fn hand_over(other: &mut Stream, now: Instant, heard: Heard<'_>, packet: &mut Vec<u8>) {
    match heard {
        Heard::Voice { format, ms, payload } => {
            other.say(now, (format, ms, payload), packet);
        }
        Heard::Pause { level, .. } => other.pause(now, level, packet),
        Heard::Key(Key::Pressed(digit)) => drop(other.outgoing.keys.press(digit)),
        Heard::Key(Key::Released { .. }) => other.outgoing.keys.release(),
    }
}
