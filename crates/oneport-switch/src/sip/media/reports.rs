//! Reports of a stream (RTCP), and what is told of it now and then: figures, one-way voice, silence.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{CallStats, Instant, RemoteReport};

use super::line::Line;
use super::stream::{Partner, Stream};
use super::{Figures, MediaEvent};
use crate::sip::one_way::{Evidence, Verdict};
use crate::sip::rtp::{Block, Compound, Ntp, Report, SenderInfo, read_compound, write_report};
use crate::sip::sdp::Negotiated;

/// Between two reports, on average (RFC 3550 §6.2); each is between a half and one and a half of it.
const INTERVAL: Duration = Duration::from_secs(5);

/// So many packets must have been sent for a report without a word of them to mean something.
const ENOUGH: u64 = 50;

/// A report this old says nothing of now.
const STALE: Duration = Duration::from_secs(20);

/// What was reported, both ways.
#[derive(Debug)]
pub(super) struct Reports {
    /// Who we are (CNAME): random for each call (RFC 7022).
    name: String,
    next: Option<Instant>,
    /// The middle of their last report of their own stream, and when it came.
    theirs: Option<(u32, Instant)>,
    /// What they last said of ours, and when.
    about_us: Option<(Block, Instant)>,
    round_trip: Option<Duration>,
    /// Where their reports came from.
    from: Option<SocketAddr>,
    /// Packets sent when they last said that nothing came.
    deaf: bool,
}

impl Reports {
    pub(super) const fn new(name: String) -> Self {
        Self {
            name,
            next: None,
            theirs: None,
            about_us: None,
            round_trip: None,
            from: None,
            deaf: false,
        }
    }
}

impl Stream {
    /// Takes a datagram that has come to the port of RTCP.
    pub(super) fn receive_report(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8]) {
        let ours = self.outgoing.source;
        let read = self.open_report(datagram).and_then(|datagram| read_compound(datagram, ours));
        let Some(Compound { source, sender, about_us, leaves }) = read else {
            self.evidence.malformed += 1;
            return;
        };
        // Whoever knows neither their source nor ours is somebody else.
        let known = self.incoming.source == Some(source) || about_us.is_some();
        let host = self.latch.target().map(|target| target.ip());
        if !known && host != Some(from.ip()) {
            self.evidence.strangers += 1;
            return;
        }
        let reports = &mut self.reports;
        reports.from = Some(from);
        if let Some(info) = sender {
            reports.theirs = Some((info.ntp.middle(), now));
            self.evidence.they_sent = Some(info.packets);
        }
        if let Some(block) = about_us {
            reports.about_us = Some((block, now));
            if let Some(trip) = block.round_trip(Ntp::from(now)) {
                let smooth = |before: Duration| (before * 7 + trip) / 8;
                reports.round_trip = Some(reports.round_trip.map_or(trip, smooth));
            }
            reports.deaf = false;
        } else {
            reports.deaf = reports.about_us.is_none() && self.outgoing.packets >= ENOUGH;
        }
        if leaves {
            self.tell(MediaEvent::Left);
        }
    }

    /// Looks at the stream, about twice a second.
    pub(super) fn look(&mut self, now: Instant, packet: &mut Vec<u8>) {
        if self.agreed.is_some() {
            match self.reports.next {
                None => self.reports.next = Some(now + INTERVAL / 2),
                Some(next) if next <= now => {
                    self.report(now, false, packet);
                    self.reports.next = Some(now + INTERVAL.mul_f64(0.5 + fastrand::f64()));
                }
                Some(_) => {}
            }
        }
        if let Some((since, told)) = &mut self.waiting
            && !*told
            && now.since(*since) >= self.patience
        {
            *told = true;
            self.tell(MediaEvent::TimedOut { silent_for: self.patience });
        }
        self.miss_handshake(now);
        let evidence = self.known(now);
        match self.watch.look(now, &evidence) {
            Some(Verdict::OneWay(one_way)) => self.tell(MediaEvent::OneWay(one_way)),
            Some(Verdict::Mended) => self.tell(MediaEvent::Mended),
            None => {}
        }
        // Who reads it now reads what was true half a second ago.
        if let Ok(mut figures) = self.figures.try_lock() {
            *figures = self.known_figures();
        }
    }

    fn known(&self, now: Instant) -> Evidence {
        let flows = |agreed: &Negotiated| agreed.direction.sends() && agreed.direction.receives();
        let reports = &self.reports;
        let fresh = reports.about_us.filter(|(_, came)| now.since(*came) < STALE);
        let highest = fresh.map(|(block, _)| block.reception.highest.max(1));
        Evidence {
            both_ways: self.evidence.both_ways && self.agreed.as_deref().is_some_and(flows),
            // Word of a pause is as good as voice.
            they_pause: self.incoming.is_pause,
            we_pause: self.outgoing.is_pause,
            reported: highest.or_else(|| reports.deaf.then_some(0)),
            ..self.evidence
        }
    }

    /// The figures up to now.
    pub(super) fn known_figures(&self) -> Figures {
        let remote = self.reports.about_us.map(|(block, _)| {
            let rate = self.agreed.as_ref().map_or(8_000, |agreed| agreed.sends.clock_rate).max(1);
            let lost = u32::try_from(block.reception.lost).unwrap_or(0);
            let micros = u64::from(block.jitter) * 1_000_000 / u64::from(rate);
            let sent = u32::try_from(self.outgoing.packets).unwrap_or(u32::MAX);
            RemoteReport {
                jitter: Duration::from_micros(micros),
                lost,
                lost_percent: u8::try_from(u32::from(block.reception.fraction_lost) * 100 / 256)
                    .unwrap_or(100),
                frames: sent.saturating_sub(lost),
                ..RemoteReport::default()
            }
        });
        let transcodes = Line::transcodes;
        let inward = match &self.partner {
            Some(Partner::Call(_, line)) => transcodes(line),
            _ => false,
        };
        Figures {
            stats: CallStats {
                format: self
                    .incoming
                    .format
                    .or_else(|| self.agreed.as_ref().map(|agreed| agreed.format)),
                rtt: self.reports.round_trip,
                received: self.incoming.meter.snapshot(),
                sent_frames: self.outgoing.packets,
                sent_bytes: self.outgoing.bytes,
                send_drops: self.evidence.unsent,
                remote,
                ..CallStats::default()
            },
            found: self.latch.found(),
            transcodes: inward || self.outgoing.line.as_ref().is_some_and(transcodes),
            one_way: self.watch.told(),
            unknown_payloads: self.evidence.unknown_payloads,
            strangers: self.evidence.strangers,
            malformed: self.evidence.malformed,
        }
    }

    /// Reports what was heard, and sent.
    pub(super) fn report(&mut self, now: Instant, leaves: bool, packet: &mut Vec<u8>) {
        let Some(agreed) = &self.agreed else { return };
        let Some(target) = self.latch.target() else { return };
        // Where media is found elsewhere than it was described, so are reports.
        let described = self.latch.found().is_none_or(|found| agreed.remote == Some(found));
        let to = match (agreed.rtcp_mux, self.reports.from, agreed.remote_rtcp) {
            (true, ..) => target,
            (false, Some(from), _) => from,
            (false, None, Some(named)) if described => named,
            _ => SocketAddr::new(target.ip(), target.port().wrapping_add(1)),
        };
        let incoming = &mut self.incoming;
        let rate = u64::from(incoming.rate);
        let heard = incoming.source.map(|source| {
            let jitter = incoming.meter.snapshot().jitter.as_micros();
            let jitter = u64::try_from(jitter).unwrap_or(u64::MAX).saturating_mul(rate) / 1_000_000;
            let (last_report, delay) = match self.reports.theirs {
                Some((middle, came)) => {
                    (middle, Ntp::from(Instant::from_micros(0) + now.since(came)).middle())
                }
                None => (0, 0),
            };
            Block {
                source,
                reception: incoming.sequence.report(),
                jitter: u32::try_from(jitter).unwrap_or(u32::MAX),
                last_report,
                delay,
            }
        });
        let outgoing = &self.outgoing;
        #[expect(clippy::cast_possible_truncation, reason = "RTCP counts in 32 bits, which turn")]
        let sender = outgoing.sent.map(|_| SenderInfo {
            ntp: Ntp::from(now),
            timestamp: outgoing.spacing.timestamp(now),
            packets: outgoing.packets as u32,
            bytes: outgoing.bytes as u32,
        });
        packet.clear();
        let report =
            Report { source: outgoing.source, sender, heard, name: &self.reports.name, leaves };
        write_report(&report, packet);
        let muxed = agreed.rtcp_mux;
        if !self.seal_report(packet) {
            return;
        }
        let socket = if muxed { &self.rtp } else { &self.rtcp };
        // What is lost is said again in five seconds.
        let _ = socket.send_to(packet, to);
    }
}
