//! The handshake of a stream: which one it is, when it begins, and what it does to what passes.

use std::net::SocketAddr;

use oneport_proto::Instant;

use super::MediaEvent;
use super::handshakes::{Part, Place};
use super::latch::Trust;
use super::secrecy::Secrecy;
use super::stream::Stream;
use crate::sip::dtls::{Insecure, PATIENCE, Secured};
use crate::sip::sdp::{Handshake, Negotiated, Srtp};

/// So many datagrams of handshakes a stream takes from one look to the next.
const MOST_TAKEN: usize = 16;

/// So many of them wait for the description that says whose they are.
const MOST_EARLY: usize = 4;

/// What is known of a stream's handshake.
#[derive(Debug)]
pub(super) struct Shaking {
    /// The one that was agreed upon, if one was.
    agreed: Option<Handshake>,
    /// Whether it has begun, of media and of reports.
    begun: [bool; 2],
    /// Which one it is of all on this relay: what comes of one before counts no more.
    turn: u64,
    /// Our description has left, so that a handshake of ours can be understood.
    told: bool,
    /// Our description wants a handshake, and theirs has not come yet.
    expected: bool,
    early: Vec<Early>,
    taken: usize,
    /// Since when a call that is answered has had no keys, and whether that was told.
    waiting: Option<(Instant, bool)>,
}

/// A datagram that has come before it was known whose it is.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) part: Part,
    pub(super) from: SocketAddr,
    pub(super) datagram: Vec<u8>,
}

/// A handshake to be begun.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) place: Place,
    pub(super) turn: u64,
    pub(super) handshake: Handshake,
    /// Where it goes, if we begin it.
    pub(super) to: Option<SocketAddr>,
}

impl Shaking {
    /// That of the stream that is opened as the one with this number: each has its own turns.
    pub(super) const fn new(opened: u32) -> Self {
        Self {
            agreed: None,
            begun: [false; 2],
            turn: (opened as u64) << 32,
            told: false,
            expected: false,
            early: Vec::new(),
            taken: 0,
            waiting: None,
        }
    }

    /// Which handshake it is.
    pub(super) const fn turn(&self) -> u64 {
        self.turn
    }

    /// Our description wants a handshake: they may begin before theirs has come (RFC 5763 §5).
    pub(super) const fn expect(&mut self) {
        self.expected = true;
    }

    /// Our description has left.
    pub(super) const fn told(&mut self) {
        self.told = true;
    }

    /// What has come early, to be looked at again.
    pub(super) fn early(&mut self) -> Vec<Early> {
        std::mem::take(&mut self.early)
    }

    /// As many datagrams as before may come.
    pub(super) const fn refill(&mut self) {
        self.taken = 0;
    }
}

impl Stream {
    /// Takes a datagram of a handshake: whether it is to be handed on, and as whose.
    pub(super) fn shake(
        &mut self,
        part: Part,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<(SocketAddr, Trust)> {
        let shaking = &mut self.shaking;
        shaking.taken += 1;
        if shaking.taken > MOST_TAKEN {
            return None;
        }
        if shaking.agreed.is_none() {
            if shaking.expected && shaking.early.len() < MOST_EARLY {
                shaking.early.push(Early { part, from, datagram: datagram.to_vec() });
            }
            return None;
        }
        let trust = self.latch.believes(from);
        if trust.is_none() {
            self.evidence.strangers += 1;
            self.evidence.stranger = Some(from);
        }
        Some((from, trust?))
    }

    /// Handshakes of the stream at `index` that are to be begun now.
    pub(super) fn begins(&mut self, index: u16) -> Vec<Begin> {
        let Shaking { agreed: shaken, begun, turn, told, .. } = &mut self.shaking;
        let (Some(handshake), Some(agreed)) = (shaken, &self.agreed) else { return Vec::new() };
        let places = [
            (Part::Media, true, self.latch.target()),
            (Part::Reports, !agreed.rtcp_mux, agreed.remote_rtcp),
        ];
        let begins = places.into_iter().zip(begun).filter_map(|((part, wanted, to), begun)| {
            let to = to.filter(|_| handshake.begins && *told);
            let begins = wanted && !*begun && (!handshake.begins || to.is_some());
            *begun |= begins;
            let place = Place { index, part };
            begins.then(|| Begin { place, turn: *turn, handshake: handshake.clone(), to })
        });
        begins.collect()
    }

    /// One has brought keys.
    pub(super) fn secured(&mut self, part: Part, turn: u64, with: SocketAddr, secured: &Secured) {
        if turn != self.shaking.turn || self.shaking.agreed.is_none() {
            return;
        }
        let Secured { suite, ours, theirs } = secured;
        let keyed = |before: Secrecy| before.keyed(*suite, ours, theirs);
        match part {
            Part::Media => {
                self.latch.prove(with);
                self.secrecy = keyed(std::mem::take(&mut self.secrecy));
                self.evidence.unsecured = false;
                self.tell(MediaEvent::Secured { suite: *suite });
            }
            // It may be agreed upon meanwhile that they come with the media.
            Part::Reports => {
                self.secrecy_of_reports = self.secrecy_of_reports.take().map(keyed);
            }
        }
    }

    /// One has brought none.
    pub(super) fn insecure(&self, part: Part, turn: u64, why: Insecure) {
        // Without reports a call is still a call.
        if turn == self.shaking.turn && part == Part::Media {
            self.tell(MediaEvent::Insecure(why));
        }
    }

    /// Tells, once, that an answered call has had no keys for longer than any handshake takes: of one that they are
    /// to begin, and do not, nothing else tells.
    pub(super) fn miss_handshake(&mut self, now: Instant) {
        if !(self.evidence.unsecured && self.evidence.both_ways) {
            self.shaking.waiting = None;
            return;
        }
        let (since, told) = self.shaking.waiting.get_or_insert((now, false));
        if !*told && now.since(*since) >= PATIENCE {
            *told = true;
            self.tell(MediaEvent::Insecure(Insecure::NotInTime));
        }
    }

    /// Sees to it that packets are encrypted as was agreed upon, from now on.
    pub(super) fn encrypt(&mut self, agreed: &Negotiated) {
        let before = std::mem::take(&mut self.secrecy);
        let before_of_reports = self.secrecy_of_reports.take();
        let handshake = match &agreed.srtp {
            None => None,
            Some(Srtp::Described(keys)) => {
                self.secrecy = before.keyed(keys.suite, &keys.ours, &keys.theirs);
                None
            }
            Some(Srtp::Handshake(handshake)) => {
                let same = self.shaking.agreed.as_ref() == Some(handshake);
                self.secrecy = if same { before } else { Secrecy::Awaited };
                let of_reports = before_of_reports.filter(|_| same).unwrap_or(Secrecy::Awaited);
                self.secrecy_of_reports = (!agreed.rtcp_mux).then_some(of_reports);
                Some(handshake)
            }
        };
        let shaking = &mut self.shaking;
        if shaking.agreed.as_ref() != handshake {
            shaking.agreed = handshake.cloned();
            (shaking.begun, shaking.turn) = ([false; 2], shaking.turn.wrapping_add(1));
        }
        shaking.expected = false;
        self.evidence.unsecured = self.secrecy.is_awaited();
    }

    /// Decrypts a report, where it is encrypted; `None`: it is none of theirs.
    pub(super) fn open_report<'a>(&mut self, datagram: &'a mut [u8]) -> Option<&'a [u8]> {
        let secrecy = self.secrecy_of_reports.as_mut().unwrap_or(&mut self.secrecy);
        secrecy.open_report(datagram).ok()
    }

    /// Encrypts a report of ours, where it has to be; `false`: it cannot be sent.
    pub(super) fn seal_report(&mut self, packet: &mut Vec<u8>) -> bool {
        let secrecy = self.secrecy_of_reports.as_mut().unwrap_or(&mut self.secrecy);
        secrecy.seal_report(packet)
    }
}
