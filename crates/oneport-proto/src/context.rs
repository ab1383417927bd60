//! What all exchanges of an endpoint share.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use core::time::Duration;

use oneport_wire::{CallNumber, Elements, FullHeader, IaxSubclass, Message, Seq};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use crate::clock::{Instant, Timekeeper};
use crate::config::EndpointConfig;
use crate::crypt::{Crypt, Epoch};
use crate::drop_reason::{Counters, DropReason, Limit};
use crate::event::Event;
use crate::index::Index;
use crate::moved::Numbers;
use crate::path::Path;
use crate::timer::Timers;
use crate::token::TokenMint;
use crate::transmit::Outbox;
use crate::trunk::{TrunkPlace, Trunks};

/// Events kept for an application that does not fetch them. Those that end something are kept
/// beyond it: their number is bounded by that of calls.
const EVENT_LIMIT: usize = 65_536;

/// Configuration, queues and tables; no calls.
pub(crate) struct Context {
    pub(crate) config: EndpointConfig,
    pub(crate) time: Timekeeper,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) mint: TokenMint,
    pub(crate) index: Index,
    pub(crate) timers: Timers,
    pub(crate) outbox: Outbox,
    pub(crate) trunks: Trunks,
    pub(crate) counters: Counters,
    events: VecDeque<Event>,
    /// Challenges unanswered now, by user name.
    challenges: BTreeMap<String, usize>,
    /// Encoding space, kept to save allocations.
    scratch: Vec<u8>,
    /// Space for a frame as it is encrypted.
    pub(crate) sealed: Vec<u8>,
    /// Space for a frame as it is decrypted.
    pub(crate) opened: Vec<u8>,
    /// Calls by their numbers alone.
    pub(crate) numbers: Numbers,
    refused_told: RefusalsTold,
}

/// How many refusals were told in the present second, and how many were not.
#[derive(Default)]
struct RefusalsTold {
    since: Option<Instant>,
    told: u8,
    untold: u64,
}

impl Context {
    pub(crate) fn new(config: EndpointConfig, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        Self {
            mint: TokenMint::new(config.call_token_lifetime, &mut rng, now),
            index: Index::new(&mut rng),
            trunks: Trunks::new(&mut rng),
            timers: Timers::default(),
            outbox: Outbox::new(config.transmit_buffer),
            counters: Counters::default(),
            events: VecDeque::with_capacity(64),
            challenges: BTreeMap::new(),
            scratch: Vec::with_capacity(2048),
            sealed: Vec::with_capacity(2048),
            opened: Vec::with_capacity(2048),
            numbers: Numbers::default(),
            refused_told: RefusalsTold::default(),
            config,
            time: Timekeeper::new(now),
            rng,
        }
    }

    /// Queues an event that says something is over, or begins: never dropped.
    pub(crate) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Queues an event of which a peer can cause any number: dropped when nobody fetches them.
    pub(crate) fn tell_detail(&mut self, event: Event) {
        if self.events.len() < EVENT_LIMIT {
            self.events.push_back(event);
        } else {
            self.counters.drop(DropReason::EventQueueFull);
        }
    }

    /// Tells of a request turned away, ten times a second at most.
    pub(crate) fn tell_refused(
        &mut self,
        now: Instant,
        from: Path,
        username: Option<String>,
        reason: DropReason,
        limit: Option<Limit>,
    ) {
        let RefusalsTold { since, told, untold } = &mut self.refused_told;
        let second = Duration::from_secs(1);
        if since.is_none_or(|since| since > now || now.since(since) >= second) {
            (*since, *told) = (Some(now), 0);
        }
        self.counters.told_by_event();
        if *told < 10 {
            *told += 1;
            let untold = core::mem::take(untold);
            self.tell_detail(Event::Refused { from, username, reason, limit, untold });
        } else {
            *untold += 1;
        }
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Counts a challenge under way for `username`; `false` when there are too many.
    pub(crate) fn challenge_begins(&mut self, username: &str) -> bool {
        let count = self.challenges.entry(username.into()).or_default();
        if *count >= self.config.max_challenges_per_user {
            return false;
        }
        *count += 1;
        true
    }

    pub(crate) fn challenge_ends(&mut self, username: &str) {
        if let Some(count) = self.challenges.get_mut(username) {
            *count -= 1;
            if *count == 0 {
                self.challenges.remove(username);
            }
        }
    }

    /// Encodes one full frame.
    pub(crate) fn encode(&mut self, header: &FullHeader, message: &Message<'_>) -> &[u8] {
        self.scratch.clear();
        message.encode(header, &mut self.scratch);
        &self.scratch
    }

    /// Sends one full frame that is not kept, encrypted where there is a key.
    pub(crate) fn send_once(
        &mut self,
        path: Path,
        crypt: Option<&Crypt>,
        header: &FullHeader,
        message: &Message<'_>,
    ) {
        self.scratch.clear();
        message.encode(header, &mut self.scratch);
        let scratch = core::mem::take(&mut self.scratch);
        self.send(path, crypt, crypt.map_or(Epoch::CLEAR, Crypt::epoch), &scratch);
        self.scratch = scratch;
    }

    /// Sends what waits on a trunk, so that what follows comes behind it.
    pub(crate) fn flush_trunk(&mut self, now: Instant, place: Option<TrunkPlace>) {
        if let Some(place) = place {
            self.trunks.flush(&mut self.outbox, &mut self.counters, now, place);
        }
    }

    /// Sends one encoded full frame with the key of `epoch`.
    pub(crate) fn send(
        &mut self,
        path: Path,
        crypt: Option<&Crypt>,
        epoch: Epoch,
        datagram: &[u8],
    ) {
        let cipher = crypt.filter(|_| epoch != Epoch::CLEAR).and_then(|crypt| crypt.cipher(epoch));
        match cipher {
            None => self.outbox.push(path, datagram),
            Some(cipher) => {
                cipher.seal(&mut self.rng, datagram, &[], &mut self.sealed);
                self.outbox.push(path, &self.sealed);
            }
        }
    }

    /// Answers a request without keeping anything of it: from call number 1, with its timestamp.
    pub(crate) fn reply_stateless(
        &mut self,
        path: Path,
        request: &FullHeader,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) {
        let header = FullHeader {
            source: CallNumber::STATELESS,
            destination: request.source,
            retransmission: false,
            timestamp: request.timestamp,
            oseq: Seq::ZERO,
            iseq: request.oseq.next(),
        };
        self.send_once(path, None, &header, &Message::iax(subclass, elements));
    }

    /// Whether nothing is queued or remembered.
    pub(crate) fn is_quiescent(&self) -> bool {
        self.index.is_empty()
            && self.outbox.is_empty()
            && self.trunks.next().is_none()
            && self.events.is_empty()
            && self.challenges.is_empty()
    }
}
