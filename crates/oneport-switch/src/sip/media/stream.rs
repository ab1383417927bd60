//! One stream of RTP, both ways: what comes is made voice, pauses and keys; what is said is made packets.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneport_media::dtmf::Key;
use oneport_media::telephone_event::{EventReceiver, TelephoneEvent};
use oneport_proto::{CallId, Instant, VoiceMeter};
use oneport_wire::Format;
use tokio::sync::mpsc;

use super::keys::Keys;
use super::latch::{Entry, Latch};
use super::line::{Line, Passed, is_silent, lasts};
use super::reports::Reports;
use super::secrecy::{Secrecy, Unopened};
use super::shaking::Shaking;
use super::{Figures, MediaEvent};
use crate::sip::one_way::{Evidence, Watch};
use crate::sip::rtp::{Come, Header, Packet, SenderClock, Sequence, Spacing, is_rtcp};
use crate::sip::sdp::{Negotiated, Payload};
use crate::transcoding::Ticket;

/// Of so many frames one is looked at for silence.
const MEASURED: u64 = 4;

/// What a packet says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heard<'a> {
    /// A frame of voice; when it began by its sender's clock.
    Voice { format: Format, ms: u32, payload: &'a [u8] },
    /// A pause of so many −dBov begins.
    Pause { ms: u32, level: u8 },
    /// A key.
    Key(Key),
}

/// With whom a stream is joined.
#[derive(Debug)]
pub(super) enum Partner {
    /// A call of IAX2, and the way to what it speaks.
    Call(CallId, Line),
    /// Another stream.
    Stream(u16),
}

/// What comes.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Whose stream it is.
    pub(super) source: Option<u32>,
    pub(super) sequence: Sequence,
    clock: SenderClock,
    pub(super) meter: VoiceMeter,
    pub(super) keys: EventReceiver,
    /// The clock of the voice that comes.
    pub(super) rate: u32,
    pub(super) format: Option<Format>,
    /// When the newest frame began, and how long it lasts.
    newest: Option<(u32, u32)>,
    /// A pause was told, and goes on.
    pub(super) is_pause: bool,
}

/// What is said.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) source: u32,
    pub(super) spacing: Spacing,
    pub(super) line: Option<Line>,
    pub(super) keys: Keys,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// When the last packet left.
    pub(super) sent: Option<Instant>,
    /// A pause was told, and goes on.
    pub(super) is_pause: bool,
}

/// A stream and all that is known of it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    pub(super) agreed: Option<Box<Negotiated>>,
    /// What may come before something is.
    pub(super) expected: Option<Box<Negotiated>>,
    pub(super) secrecy: Secrecy,
    /// That of reports, where they have a port and a handshake of their own.
    pub(super) secrecy_of_reports: Option<Secrecy>,
    pub(super) shaking: Shaking,
    pub(super) partner: Option<Partner>,
    /// By that its voice may be transcoded.
    pub(super) ticket: Arc<Ticket>,
    pub(super) latch: Latch,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    pub(super) reports: Reports,
    pub(super) evidence: Evidence,
    pub(super) watch: Watch,
    /// So long nothing may come before that is told.
    pub(super) patience: Duration,
    /// Since when something should come, and whether it was told that nothing does.
    pub(super) waiting: Option<(Instant, bool)>,
    pub(super) events: mpsc::Sender<MediaEvent>,
    pub(super) figures: Arc<Mutex<Figures>>,
}

/// What a payload type means.
enum Meaning {
    Voice(Payload, Format),
    Event,
    Noise,
}

fn meaning(agreed: &Negotiated, payload_type: u8) -> Option<Meaning> {
    let is = |payload: &&Payload| payload.payload_type == payload_type;
    if let Some((payload, format)) = agreed.receives.iter().find(|(payload, _)| is(&payload)) {
        return Some(Meaning::Voice(*payload, *format));
    }
    if agreed.comfort_noise == Some(payload_type) {
        return Some(Meaning::Noise);
    }
    agreed.receives_events.iter().find(is).map(|_| Meaning::Event)
}

/// The moment as those count who know no calls.
pub(super) const fn since_start(now: Instant) -> Duration {
    Duration::from_micros(now.as_micros())
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self {
            source: None,
            sequence: Sequence::default(),
            clock: SenderClock::new(8_000),
            meter: VoiceMeter::default(),
            keys: EventReceiver::new(8_000),
            rate: 8_000,
            format: None,
            newest: None,
            is_pause: false,
        }
    }

    /// Another source speaks.
    fn begin(&mut self, source: u32) {
        (self.source, self.sequence) = (Some(source), Sequence::default());
        self.meter.begin_anew();
        self.newest = None;
    }
}

impl Stream {
    pub(super) fn tell(&self, event: MediaEvent) {
        // Who does not listen, or not fast enough, does without.
        let _ = self.events.try_send(event);
    }

    /// Takes what both sides have agreed upon.
    pub(super) fn agree(&mut self, now: Instant, agreed: Box<Negotiated>) {
        self.latch.describe(agreed.remote);
        self.evidence.theirs = agreed.remote;
        let lengths = (agreed.frame(), agreed.ilbc);
        if self.outgoing.line.as_ref().is_none_or(|line| !line.fits(agreed.format, lengths)) {
            let ticket = self.ticket.clone();
            self.outgoing.line = Some(Line::new(agreed.format, lengths, ticket));
        }
        self.outgoing.spacing.set_rate(now, agreed.sends.clock_rate);
        let rate = agreed.receives_events.first().map_or(8_000, |payload| payload.clock_rate);
        let before = self.agreed.as_ref().map(|before| before.receives_events.clone());
        if before.is_none_or(|before| before != agreed.receives_events) {
            self.incoming.keys = EventReceiver::new(rate);
        }
        // Who may not send has no reason to be heard.
        self.waiting = agreed.direction.receives().then_some((now, false));
        let flow = |agreed: &Negotiated| (agreed.remote, agreed.direction, agreed.format);
        if self.agreed.as_deref().map(flow) != Some(flow(&agreed)) {
            self.watch.begin(now, &self.evidence);
        }
        self.encrypt(&agreed);
        self.agreed = Some(agreed);
        self.expected = None;
    }

    /// Whether both sides should be heard from now on.
    pub(super) const fn watch_both_ways(&mut self, now: Instant, both_ways: bool) {
        if both_ways && !self.evidence.both_ways {
            self.watch.begin(now, &self.evidence);
        }
        self.evidence.both_ways = both_ways;
    }

    /// Takes a datagram that has come to the port of RTP.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
        hear: &mut dyn FnMut(Heard<'_>),
    ) {
        // Before it is said where they are, only the host of their signalling is likely to be theirs.
        let is_early = self.agreed.is_none();
        if is_early && self.evidence.host != Some(from.ip()) {
            return;
        }
        let Some(agreed) = self.agreed.as_ref().or(self.expected.as_ref()) else { return };
        if agreed.rtcp_mux && is_rtcp(datagram) {
            return self.receive_report(now, from, datagram);
        }
        let datagram = match self.secrecy.open(datagram) {
            Ok(datagram) => datagram,
            Err(Unopened::Twice) => return,
            Err(Unopened::NotTheirs) => {
                self.evidence.malformed += 1;
                return;
            }
        };
        let Ok(Packet { header, payload }) = Packet::read(datagram) else {
            self.evidence.malformed += 1;
            return;
        };
        let Some(meaning) = meaning(agreed, header.payload_type) else {
            self.evidence.unknown_payloads += 1;
            self.evidence.unknown_payload = header.payload_type;
            return;
        };
        let receives = agreed.direction.receives();
        match self.latch.enter(now, from, header.source, header.sequence) {
            Entry::Theirs => {}
            Entry::Latched => {
                self.evidence.found = Some(from);
                self.tell(MediaEvent::Latched { at: from });
            }
            Entry::Candidate => return,
            Entry::Stranger => {
                self.evidence.strangers += 1;
                self.evidence.stranger = Some(from);
                return;
            }
        }
        let incoming = &mut self.incoming;
        let mut begins = incoming.source != Some(header.source);
        if begins {
            incoming.begin(header.source);
        }
        let come = incoming.sequence.take(header.sequence);
        match come {
            Come::Twice | Come::Stray => return,
            Come::Begins => begins = true,
            Come::New { .. } | Come::Late => {}
        }
        self.evidence.heard = Some(now);
        if let Some(waiting) = &mut self.waiting {
            *waiting = (now, false);
        }
        if !receives {
            return;
        }
        match meaning {
            Meaning::Event => {
                if let Some(event) = TelephoneEvent::decode(payload) {
                    let events = &self.events;
                    incoming.keys.receive(since_start(now), header.timestamp, event, |key| {
                        // Who does not listen, or not fast enough, does without.
                        let _ = events.try_send(MediaEvent::Key(key));
                        hear(Heard::Key(key));
                    });
                }
                incoming.is_pause = true;
            }
            Meaning::Noise => {
                let Some(level) = payload.first() else { return };
                let ms = incoming.clock.stamp(now, incoming.rate, header.timestamp, begins);
                (incoming.is_pause, incoming.newest) = (true, None);
                incoming.meter.pause();
                hear(Heard::Pause { ms, level: level & 0x7F });
            }
            Meaning::Voice(Payload { clock_rate, .. }, format) => {
                if is_early && self.incoming.format.is_none() {
                    self.tell(MediaEvent::Early { format });
                }
                if !payload.is_empty() {
                    self.receive_voice(
                        now,
                        (header, begins, come),
                        (clock_rate, format),
                        payload,
                        hear,
                    );
                }
            }
        }
    }

    fn receive_voice(
        &mut self,
        now: Instant,
        (header, begins, come): (Header, bool, Come),
        (rate, format): (u32, Format),
        payload: &[u8],
        hear: &mut dyn FnMut(Heard<'_>),
    ) {
        let incoming = &mut self.incoming;
        (incoming.rate, incoming.format, incoming.is_pause) = (rate, Some(format), false);
        let ms = incoming.clock.stamp(now, rate, header.timestamp, begins);
        // A step without a missing number is a pause, and no loss.
        if let (Some((newest, lasts)), Come::New { missing: 0 }) = (incoming.newest, come)
            && ms.wrapping_sub(newest) > lasts + lasts / 2
        {
            incoming.meter.pause();
        }
        if !matches!(come, Come::Late) {
            incoming.newest = lasts(format, payload.len()).map(|lasts| (ms, lasts));
        }
        incoming.meter.receive(now, ms, format, payload.len());
        self.evidence.received += 1;
        if self.evidence.received.is_multiple_of(MEASURED)
            && let Some(silent) = is_silent(format, payload)
        {
            self.evidence.measured.0 += MEASURED;
            self.evidence.audible_in += u64::from(!silent) * MEASURED;
        }
        hear(Heard::Voice { format, ms, payload });
    }

    /// Whether what is said has somewhere to go, and where.
    fn target(&self) -> Option<SocketAddr> {
        let sends = self.agreed.as_ref().is_some_and(|agreed| agreed.direction.sends());
        self.latch.target().filter(|_| sends)
    }

    /// Says a frame of voice that began at `ms` of its own clock.
    pub(super) fn say(
        &mut self,
        now: Instant,
        (format, ms, payload): (Format, u32, &[u8]),
        packet: &mut Vec<u8>,
    ) {
        self.evidence.said += 1;
        self.evidence.spoke = Some(now);
        if self.evidence.said.is_multiple_of(MEASURED)
            && let Some(silent) = is_silent(format, payload)
        {
            self.evidence.measured.1 += MEASURED;
            self.evidence.audible_out += u64::from(!silent) * MEASURED;
        }
        self.outgoing.is_pause = false;
        let Some(payload_type) = self.agreed.as_ref().map(|agreed| agreed.sends.payload_type)
        else {
            return;
        };
        let Some(to) = self.target() else {
            self.outgoing.spacing.pause();
            return;
        };
        // While a key is down its packets stand in for the voice (RFC 4733 §2.5.1.3).
        if !self.outgoing.keys.is_idle() {
            self.outgoing.spacing.pause();
            return;
        }
        let Self { rtp, outgoing, evidence, secrecy, .. } = self;
        let Outgoing { source, spacing, line, packets, bytes, sent, .. } = outgoing;
        let Some(line) = line else { return };
        let speaks = line.to();
        let passed = line.pass(format, ms, payload, |ms, payload| {
            let lasts = lasts(speaks, payload.len()).unwrap_or(20);
            let Some(departing) = spacing.voice(now, ms, lasts) else { return };
            let header = Header {
                marker: departing.marker,
                payload_type,
                sequence: departing.sequence,
                timestamp: departing.timestamp,
                source: *source,
            };
            if send(rtp, secrecy, to, &header, payload, packet) {
                (*packets, *bytes, *sent) =
                    (*packets + 1, *bytes + payload.len() as u64, Some(now));
                evidence.sent += 1;
            } else {
                evidence.unsent += 1;
            }
        });
        if passed != Passed::Said {
            evidence.untranslated.1 += 1;
            evidence.translating(format, speaks, passed == Passed::NoRoom);
        }
    }

    /// A pause of `level` −dBov begins in what is said.
    pub(super) fn pause(&mut self, now: Instant, level: u8, packet: &mut Vec<u8>) {
        self.outgoing.is_pause = true;
        let noise = self.agreed.as_ref().and_then(|agreed| agreed.comfort_noise);
        if let (Some(payload_type), Some(to)) = (noise, self.target()) {
            let header = Header {
                marker: false,
                payload_type,
                sequence: self.outgoing.spacing.number(),
                timestamp: self.outgoing.spacing.timestamp(now),
                source: self.outgoing.source,
            };
            self.send(now, to, &header, &[level & 0x7F], packet);
        }
        self.outgoing.spacing.pause();
    }

    /// Whether keys can be said as packets.
    pub(super) fn says_keys(&self) -> bool {
        self.agreed.as_ref().is_some_and(|agreed| agreed.sends_events.is_some())
    }

    /// Whether packets of keys are on their way, out or in: then [`pace`](Self::pace) is wanted.
    pub(super) fn has_keys(&self) -> bool {
        !self.outgoing.keys.is_idle() || self.incoming.keys.poll_timeout().is_some()
    }

    /// Says the next packet of a key. Gives the key of which nothing comes any more, if there is one: it
    /// comes up.
    pub(super) fn pace(&mut self, now: Instant, packet: &mut Vec<u8>) -> Option<Key> {
        let mut ended = None;
        self.incoming.keys.handle_timeout(since_start(now), |key| ended = Some(key));
        if let Some(key) = ended {
            self.tell(MediaEvent::Key(key));
        }
        self.say_key(now, packet);
        ended
    }

    fn say_key(&mut self, now: Instant, packet: &mut Vec<u8>) {
        let events = self.agreed.as_ref().and_then(|agreed| agreed.sends_events);
        let timestamp = self.outgoing.spacing.timestamp(now);
        let Some(event) = self.outgoing.keys.packet(now, timestamp) else { return };
        if let (Some(Payload { payload_type, .. }), Some(to)) = (events, self.target()) {
            let header = Header {
                marker: event.marker,
                payload_type,
                sequence: self.outgoing.spacing.number(),
                timestamp: event.timestamp,
                source: self.outgoing.source,
            };
            self.send(now, to, &header, &event.payload.encode(), packet);
        }
        self.outgoing.spacing.pause();
    }

    fn send(
        &mut self,
        now: Instant,
        to: SocketAddr,
        header: &Header,
        payload: &[u8],
        packet: &mut Vec<u8>,
    ) {
        if send(&self.rtp, &mut self.secrecy, to, header, payload, packet) {
            self.outgoing.packets += 1;
            self.outgoing.bytes += payload.len() as u64;
            self.outgoing.sent = Some(now);
        }
    }
}

/// Sends a packet, put together in `packet`.
fn send(
    socket: &UdpSocket,
    secrecy: &mut Secrecy,
    to: SocketAddr,
    header: &Header,
    payload: &[u8],
    packet: &mut Vec<u8>,
) -> bool {
    packet.clear();
    packet.extend_from_slice(&header.write());
    packet.extend_from_slice(payload);
    if !secrecy.seal(packet) {
        return false;
    }
    match socket.send_to(packet, to) {
        Ok(_) => true,
        // That tells of a packet before; this one has not been sent yet.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            socket.send_to(packet, to).is_ok()
        }
        Err(_) => false,
    }
}
