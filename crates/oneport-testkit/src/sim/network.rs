//! Endpoints joined by a network that loses, delays, repeats and reorders as a seed says. Time
//! jumps from one thing that happens to the next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{
    CallId, Endpoint, EndpointConfig, Event, Handled, Instant, Media, MediaSink, Path, Speech,
    TransmitBuffer, Video,
};
use oneport_wire::{Datagram, Format, frame_type};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::impairment::{Fate, Link};

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Chance that a datagram is lost, in 1/1000.
    pub loss: u32,
    /// Chance that it arrives twice, in 1/1000.
    pub duplication: u32,
    /// Chance that one of its bits is changed, in 1/1000. (UDP's checksum makes this rare.)
    pub corruption: u32,
    /// Least time on the way.
    pub delay: Duration,
    /// Time that may be added; more than the distance of two datagrams reorders them.
    pub jitter: Duration,
    /// Nothing arrives at all.
    pub cut: bool,
}

impl Weather {
    /// 10 ms, and nothing ever goes wrong.
    pub const FAIR: Self = Self {
        loss: 0,
        duplication: 0,
        corruption: 0,
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
        cut: false,
    };
}

/// One endpoint and its address.
pub struct Node {
    /// The engine.
    pub endpoint: Endpoint,
    /// Where it is.
    pub address: SocketAddr,
    heard: Heard,
}

/// Voice that reached an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardVoice {
    /// The call.
    pub call: CallId,
    /// The sender's whole timestamp.
    pub timestamp: u32,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Video that reached an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenVideo {
    /// The call.
    pub call: CallId,
    /// Its format.
    pub format: Format,
    /// The sender's whole timestamp.
    pub timestamp: u32,
    /// Whether it ends a picture.
    pub mark: bool,
    /// The payload.
    pub payload: Vec<u8>,
}

#[derive(Default)]
struct Heard {
    voice: Vec<HeardVoice>,
    video: Vec<SeenVideo>,
}

impl MediaSink for Heard {
    fn media(&mut self, call: CallId, media: Media<'_>) {
        let timestamp = media.timestamp.0;
        self.voice.push(HeardVoice { call, timestamp, payload: media.payload.to_vec() });
    }

    fn video(&mut self, call: CallId, video: Video<'_>) {
        let Video { format, timestamp, mark, payload } = video;
        let (timestamp, payload) = (timestamp.0, payload.to_vec());
        self.video.push(SeenVideo { call, format, timestamp, mark, payload });
    }

    /// The other language has the same words, spelt backwards.
    fn translate(
        &mut self,
        _now: Instant,
        _from: CallId,
        _to: CallId,
        heard: Speech<'_>,
        say: &mut dyn FnMut(Speech<'_>),
    ) {
        let Speech::Voice(media) = heard else { return say(heard) };
        let payload: Vec<u8> = media.payload.iter().rev().copied().collect();
        say(Speech::Voice(Media { payload: &payload, ..media }));
    }
}

/// Bytes of a full frame without payload, encrypted: numbers, 24 bytes of padding, and the 8 that are left of it.
const ENCRYPTED_ACK: usize = 36;

/// A datagram under way: (arrival in µs, serial number), receiver and sender, bytes.
type OnTheWay = Reverse<((u64, u64), usize, SocketAddr, Vec<u8>)>;

/// Decides about one datagram; `false` loses it.
type Filter = Box<dyn FnMut(usize, &Datagram<'_>) -> bool>;

/// What an address that proved nothing has sent, and got.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Datagrams sent by it.
    pub datagrams_in: usize,
    /// Their bytes.
    pub bytes_in: usize,
    /// Datagrams sent to it.
    pub datagrams_out: usize,
    /// Their bytes.
    pub bytes_out: usize,
    /// Those of them that have voice or video.
    pub media_out: usize,
}

/// Which kinds of frames were taken in, not dropped, and how many of each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// Full frames by type and subclass.
    pub full: BTreeMap<(u8, u8), u64>,
    /// Voice mini frames.
    pub mini: u64,
    /// Video mini frames.
    pub video_mini: u64,
    /// Trunk frames.
    pub trunk: u64,
    /// New keys of encrypted calls, as far as they were sent.
    pub keys: u64,
}

impl Taken {
    /// Adds those of another network.
    pub fn add(&mut self, other: &Self) {
        for (kind, count) in &other.full {
            *self.full.entry(*kind).or_default() += count;
        }
        self.mini += other.mini;
        self.video_mini += other.video_mini;
        self.trunk += other.trunk;
        self.keys += other.keys;
    }

    fn note(&mut self, datagram: &Datagram<'_>) {
        match datagram {
            Datagram::Full(frame) => {
                *self.full.entry((frame.frame_type, frame.subclass)).or_default() += 1;
            }
            Datagram::Mini(_) => self.mini += 1,
            Datagram::VideoMini(_) => self.video_mini += 1,
            Datagram::Trunk(_) => self.trunk += 1,
        }
    }
}

/// Datagrams kept of those that passed.
const CAPTURED: usize = 64;

/// The simulated network.
pub struct Network {
    /// Its members.
    pub nodes: Vec<Node>,
    /// What happens to datagrams from now on.
    pub weather: Weather,
    /// What happens on the ways from one member to another that have a [`Link`] of their own, in place of
    /// the weather.
    pub links: BTreeMap<(usize, usize), Link>,
    /// Loses chosen datagrams; told who sends.
    pub filter: Option<Filter>,
    /// Every datagram sent, one line each.
    pub transcript: String,
    /// Datagrams sent.
    pub sent: u64,
    /// Whether somebody on the way keeps what passes.
    pub watched: bool,
    /// What passed last: who gets it, who sent it, and the bytes.
    pub captured: VecDeque<(usize, SocketAddr, Vec<u8>)>,
    /// Addresses that are nobody's, as far as datagrams came from them.
    pub strangers: BTreeMap<SocketAddr, Traffic>,
    /// Those of them that named a user of whom no call token is asked, so that they were let in.
    pub let_in: BTreeSet<SocketAddr>,
    /// Whether the kinds of frames that are taken in are counted: frames that are encrypted would be
    /// taken for others.
    pub counts: bool,
    /// Which were taken in.
    pub taken: Taken,
    /// Datagrams to addresses where no member is, and those addresses.
    pub strays: Vec<(SocketAddr, Vec<u8>)>,
    now: u64,
    rng: ChaCha12Rng,
    queue: BinaryHeap<OnTheWay>,
    serial: u64,
    buffer: TransmitBuffer,
}

/// Names of nodes in transcripts.
const NAMES: [char; 6] = ['A', 'B', 'C', 'D', 'E', 'F'];

impl Network {
    /// A network of one endpoint for each of `configs`, at 10.0.0.1, 10.0.0.2, … port 4569.
    #[must_use]
    pub fn new(seed: u64, configs: Vec<EndpointConfig>) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let mut rng = ChaCha12Rng::from_seed(bytes);
        let nodes = configs.into_iter().enumerate().map(|(n, config)| {
            let last = u8::try_from(n + 1).expect("few nodes");
            let address = SocketAddr::from(([10, 0, 0, last], 4569));
            let mut own = [0; 32];
            rng.fill_bytes(&mut own);
            let endpoint = Endpoint::new(config, own, Instant::from_micros(0));
            Node { endpoint, address, heard: Heard::default() }
        });
        let nodes = nodes.collect();
        Self {
            nodes,
            weather: Weather::FAIR,
            links: BTreeMap::new(),
            filter: None,
            transcript: String::new(),
            sent: 0,
            watched: false,
            captured: VecDeque::new(),
            strangers: BTreeMap::new(),
            let_in: BTreeSet::new(),
            counts: false,
            taken: Taken::default(),
            strays: Vec::new(),
            now: 0,
            rng,
            queue: BinaryHeap::new(),
            serial: 0,
            buffer: TransmitBuffer::with_capacity(65_536, 1),
        }
    }

    /// Two endpoints of default configuration.
    #[must_use]
    pub fn pair(seed: u64) -> Self {
        Self::new(seed, vec![EndpointConfig::default(); 2])
    }

    /// The moment.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    /// A random number below `bound`.
    pub fn random(&mut self, bound: u32) -> u32 {
        self.rng.next_u32() % bound.max(1)
    }

    /// Restarts a node: it forgets everything.
    pub fn restart(&mut self, node: usize, config: EndpointConfig) {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let now = self.now();
        self.nodes[node].endpoint = Endpoint::new(config, seed, now);
        let _ = writeln!(self.transcript, "{now:?} {} restarts", NAMES[node]);
    }

    /// The next event of a node.
    pub fn event(&mut self, node: usize) -> Option<Event> {
        self.nodes[node].endpoint.poll_event()
    }

    /// The voice that reached a node since the last time.
    pub fn heard(&mut self, node: usize) -> Vec<HeardVoice> {
        std::mem::take(&mut self.nodes[node].heard.voice)
    }

    /// The video that reached a node since the last time.
    pub fn seen(&mut self, node: usize) -> Vec<SeenVideo> {
        std::mem::take(&mut self.nodes[node].heard.video)
    }

    /// Puts what the endpoints have to send on its way.
    pub fn flush(&mut self) {
        for node in 0..self.nodes.len() {
            while let Some(transmit) = self.nodes[node].endpoint.poll_transmit(&mut self.buffer) {
                assert_eq!(transmit.len, self.buffer.as_bytes().len());
                let bytes = self.buffer.as_bytes().to_vec();
                self.send(node, transmit.path.remote, bytes);
            }
        }
    }

    fn send(&mut self, from: usize, to: SocketAddr, mut bytes: Vec<u8>) {
        self.sent += 1;
        let receiver = self.nodes.iter().position(|node| node.address == to);
        let weather = self.weather;
        let datagram = Datagram::decode(&bytes).expect("an endpoint sends what decodes");
        let wanted = self.filter.as_mut().is_none_or(|filter| filter(from, &datagram));
        let now = Duration::from_micros(self.now);
        let way = receiver.and_then(|receiver| self.links.get_mut(&(from, receiver)));
        let fate = way.map(|link| link.pass(now, bytes.len()));
        let lost = match fate {
            Some(fate) => !wanted || fate.arrives.is_none(),
            None => !wanted || weather.cut || self.rng.next_u32() % 1000 < weather.loss,
        };
        let name = receiver.and_then(|n| NAMES.get(n)).copied().unwrap_or('?');
        let mark = if lost { "x" } else { ">" };
        let now = Instant::from_micros(self.now);
        let _ = writeln!(self.transcript, "{now:?} {}-{mark}{name} {datagram}", NAMES[from]);
        if let Some(traffic) = self.strangers.get_mut(&to) {
            traffic.datagrams_out += 1;
            traffic.bytes_out += bytes.len();
            // The type of an encrypted frame shows whatever it likes; this is how long an ACK is.
            let signalling = bytes.len() == ENCRYPTED_ACK
                || matches!(&datagram, Datagram::Full(frame)
                    if ![frame_type::VOICE, frame_type::VIDEO].contains(&frame.frame_type)
                        || frame.payload.is_empty());
            traffic.media_out += usize::from(!signalling);
        }
        if let (true, Some(receiver)) = (self.watched, receiver) {
            self.captured.truncate(CAPTURED - 1);
            self.captured.push_front((receiver, self.nodes[from].address, bytes.clone()));
        }
        if lost {
            return;
        }
        let Some(receiver) = receiver else { return self.strays.push((to, bytes)) };
        if let Some(Fate { arrives, copy }) = fate {
            for at in [arrives, copy].into_iter().flatten() {
                let at = u64::try_from(at.as_micros()).expect("soon");
                self.put(at, receiver, self.nodes[from].address, bytes.clone());
            }
            return;
        }
        if self.rng.next_u32() % 1000 < weather.corruption {
            let bit = self.rng.next_u32() as usize % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let copies = 1 + u32::from(self.rng.next_u32() % 1000 < weather.duplication);
        for _ in 0..copies {
            let jitter = u64::try_from(weather.jitter.as_micros()).expect("short") + 1;
            let delay = u64::try_from(weather.delay.as_micros()).expect("short");
            let at = self.now + delay + self.rng.next_u64() % jitter;
            self.put(at, receiver, self.nodes[from].address, bytes.clone());
        }
    }

    fn put(&mut self, at: u64, receiver: usize, sender: SocketAddr, bytes: Vec<u8>) {
        self.serial += 1;
        self.queue.push(Reverse(((at, self.serial), receiver, sender, bytes)));
    }

    /// Puts a datagram of somebody else on its way, as if it came from `from`.
    pub fn slip_in(&mut self, receiver: usize, from: SocketAddr, bytes: Vec<u8>) {
        if self.nodes.iter().all(|node| node.address.ip() != from.ip()) {
            let traffic = self.strangers.entry(from).or_default();
            traffic.datagrams_in += 1;
            traffic.bytes_in += bytes.len();
        }
        let shown = Datagram::decode(&bytes)
            .map_or_else(|_| format!("{} bytes", bytes.len()), |datagram| datagram.to_string());
        let now = Instant::from_micros(self.now);
        let _ = writeln!(self.transcript, "{now:?} {from}->{} {shown}", NAMES[receiver]);
        self.put(self.now + 5_000, receiver, from, bytes);
    }

    /// When something happens next.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let arrival = self.queue.peek().map(|Reverse(((at, _), ..))| Instant::from_micros(*at));
        let timeouts = self.nodes.iter().filter_map(|node| node.endpoint.poll_timeout());
        timeouts.chain(arrival).min()
    }

    /// Goes on to the next thing that happens by itself, but not beyond `until`. `false`: that
    /// moment is reached and nothing is left to do before it.
    pub fn step(&mut self, until: Instant) -> bool {
        self.flush();
        let Some(next) = self.next().filter(|next| *next <= until) else {
            self.now = self.now.max(until.as_micros());
            return false;
        };
        self.now = self.now.max(next.as_micros());
        let now = self.now();
        for node in &mut self.nodes {
            if node.endpoint.poll_timeout().is_some_and(|at| at <= now) {
                node.endpoint.handle_timeout(now);
                let missed = node.endpoint.counters().deadlines_missed;
                assert_eq!(missed, 0, "a deadline is still past after it was dealt with");
            }
        }
        while let Some(Reverse(((at, _), ..))) = self.queue.peek()
            && *at <= self.now
        {
            let Some(Reverse((_, receiver, sender, mut bytes))) = self.queue.pop() else { break };
            let Node { endpoint, heard, .. } = &mut self.nodes[receiver];
            let shown = self.counts.then(|| bytes.clone());
            endpoint.prefetch(std::iter::once((sender, &bytes[..])));
            let handled = endpoint.handle_datagram(now, Path::from(sender), &mut bytes, heard);
            let taken = shown.filter(|_| !matches!(handled, Handled::Dropped(_)));
            if let Some(Ok(datagram)) = taken.as_deref().map(Datagram::decode) {
                self.taken.note(&datagram);
            }
        }
        self.flush();
        true
    }

    /// Lets `duration` pass, whatever happens.
    ///
    /// # Panics
    /// The tables of an endpoint do not agree then.
    pub fn run(&mut self, duration: Duration) {
        let until = self.now() + duration;
        while self.step(until) {}
        for node in &self.nodes {
            assert_eq!(node.endpoint.inconsistency(), None);
        }
    }

    /// Hands a node a datagram as if it came from `from`, and returns what it sends at once.
    pub fn inject(&mut self, node: usize, from: SocketAddr, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.flush();
        let now = self.now();
        let Node { endpoint, heard, .. } = &mut self.nodes[node];
        endpoint.handle_datagram(now, Path::from(from), &mut datagram.to_vec(), heard);
        let mut answers = Vec::new();
        while endpoint.poll_transmit(&mut self.buffer).is_some() {
            answers.push(self.buffer.as_bytes().to_vec());
        }
        answers
    }
}
