//! Follows all calls, registrations and polls of a capture: finds to which one a frame belongs, and forgets those that are
//! over.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hashbrown::HashMap;
use oneport_proto::Secret;
use oneport_wire::{
    CallNumber, Datagram, DecodeError, Format, FullFrame, IaxSubclass, MiniFrame, Timestamp,
    TrunkFrame, VideoMiniFrame, frame_type,
};

use crate::datagram::UdpDatagram;
use crate::exchange::{Exchange, Noticed};
use crate::fault::{Fault, FaultKind, Faults, FoldedFault};
use crate::story::{Kind, Story};
use crate::time::Time;

/// How long one that is over is remembered: frames on their way, and those sent again.
const LINGER: Duration = Duration::from_secs(10);

/// One of which nothing was seen for so long is over: calls are polled every 20 s or so.
const IDLE: Duration = Duration::from_secs(300);

/// Voice that comes so soon behind the end of its call was on its way.
const ON_THEIR_WAY: Duration = Duration::from_millis(500);

/// What a trunk frame begins with.
const TRUNK: [u8; 3] = [0, 0, 1];

/// How often is looked for those that are over.
const SWEEP: Duration = Duration::from_secs(5);

/// Whether frames of an exchange are encrypted.
///
/// ```
/// use oneport_decode::Sealed;
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// for story in stories()? {
///     match story.sealed {
///         Sealed::Not => {}
///         Sealed::Opened => println!("{} could be read with a secret", story.number),
///         Sealed::Closed => println!("{} is of a secret that was not given", story.number),
///     }
///     assert_eq!(story.sealed.name(), "no");
/// }
/// # Ok::<(), oneport_decode::CaptureError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Sealed {
    /// No.
    #[default]
    Not,
    /// Yes, and a secret reads them.
    Opened,
    /// Yes, and they cannot be read.
    Closed,
}

impl Sealed {
    /// Its name, for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Not => "no",
            Self::Opened => "read",
            Self::Closed => "unread",
        }
    }
}

/// What a tracker is told.
///
/// Where memory for one exchange must do, each is told of when the next begins:
///
/// ```
/// use oneport_decode::{Tracker, TrackerConfig};
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// let config = TrackerConfig { most_exchanges: 1, ..TrackerConfig::default() };
/// let mut tracker = Tracker::new(config);
/// let mut told = 0;
/// each_datagram(|datagram| {
///     tracker.see(&datagram, &mut ());
///     told += std::iter::from_fn(|| tracker.poll_finished()).count();
/// })?;
/// assert!(told >= 2);
/// assert_eq!(tracker.finish().len(), 1);
/// # Ok::<(), oneport_decode::CaptureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrackerConfig {
    /// Secrets that encrypted calls may have.
    pub secrets: Vec<Secret>,
    /// Exchanges that are followed at once. Where there are more, those that were silent for longest are told of as
    /// they are, and forgotten.
    pub most_exchanges: usize,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self { secrets: Vec::new(), most_exchanges: 65_536 }
    }
}

/// Voice of a call, as it was sent.
///
/// ```
/// use oneport_decode::{Hear, Part};
/// use oneport_wire::Format;
///
/// /// How many ms each side has spoken.
/// #[derive(Default)]
/// struct Spoken([usize; 2]);
///
/// impl Hear for Spoken {
///     fn hear(&mut self, part: &Part<'_>) {
///         assert_eq!(part.format, Format::ULAW);
///         self.0[part.side] += part.payload.len() / 8;
///     }
/// }
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// let mut spoken = Spoken::default();
/// // A modem is called, and answers with its tone.
/// hear_modem(&mut spoken)?;
/// assert_eq!(spoken.0, [0, 1_980]);
/// # Ok::<(), oneport_decode::CaptureError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The call's number in the capture.
    pub call: u64,
    /// Whose it is: 0 of who began the call, 1 of the other.
    pub side: usize,
    /// The sender's address.
    pub from: SocketAddr,
    /// The sender's clock, in ms.
    pub timestamp: Timestamp,
    /// The codec.
    pub format: Format,
    /// Encoded audio, decrypted where it had to be.
    pub payload: &'a [u8],
}

/// Whoever wants to hear voice.
///
/// ```
/// use oneport_decode::{Hear, Part};
///
/// /// In which calls somebody spoke.
/// #[derive(Default)]
/// struct Calls(std::collections::BTreeSet<u64>);
///
/// impl Hear for Calls {
///     fn hear(&mut self, part: &Part<'_>) {
///         self.0.insert(part.call);
///     }
/// }
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// let mut calls = Calls::default();
/// // A modem registers, is called, and registers no more.
/// hear_modem(&mut calls)?;
/// assert_eq!(calls.0.into_iter().collect::<Vec<_>>(), [2]);
/// # Ok::<(), oneport_decode::CaptureError>(())
/// ```
pub trait Hear {
    /// Hears some.
    fn hear(&mut self, part: &Part<'_>);
}

/// Hears nothing.
impl Hear for () {
    fn hear(&mut self, _: &Part<'_>) {}
}

/// What a datagram was found to be.
///
/// ```
/// use oneport_decode::{Kind, Tracker};
/// use oneport_wire::{Datagram, IaxSubclass, Message};
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// let mut tracker = Tracker::default();
/// let mut calls = 0;
/// each_datagram(|datagram| {
///     let seen = tracker.see(&datagram, &mut ());
///     let Ok(Datagram::Full(frame)) = seen.frame else { return };
///     let is_new = matches!(frame.message(), Ok(Message::Iax { subclass: IaxSubclass::New, .. }));
///     if is_new && seen.kind == Some(Kind::Call) {
///         // Who sends a NEW has begun the call.
///         assert_eq!(seen.side, 0);
///         calls += 1;
///     }
/// })?;
/// // Each begins twice, the second time with a call token.
/// assert_eq!(calls, 4);
/// # Ok::<(), oneport_decode::CaptureError>(())
/// ```
#[derive(Debug)]
pub struct Seen<'a> {
    /// The frame, decrypted where it had to be; `Err` where its bytes are none, or cannot be decrypted.
    pub frame: Result<Datagram<'a>, Unread>,
    /// Whether it was encrypted.
    pub sealed: Sealed,
    /// The exchange that it belongs to, by its number in the capture.
    pub exchange: Option<u64>,
    /// What that is.
    pub kind: Option<Kind>,
    /// Who sent it: 0 who began the exchange, 1 the other.
    pub side: usize,
    /// For each entry of a trunk frame the call that it belongs to.
    pub entries: &'a [Option<u64>],
    /// What is wrong.
    pub faults: &'a [Fault],
}

/// Why a datagram shows no frame.
///
/// ```
/// use oneport_decode::{Tracker, Unread};
/// # use oneport_decode::{Time, UdpDatagram};
///
/// # let mut datagram = UdpDatagram {
/// #     number: 17, time: Time(0), source: "192.0.2.1:4569".parse()?, destination: "192.0.2.2:4569".parse()?,
/// #     payload: &[], missing: 0,
/// # };
/// datagram.payload = &[0x80, 1, 2];
/// let mut tracker = Tracker::default();
/// let seen = tracker.see(&datagram, &mut ());
/// assert!(matches!(seen.frame, Err(Unread::Malformed(_))));
/// assert_eq!(Unread::Sealed.to_string(), "encrypted");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unread {
    /// Its bytes are none.
    Malformed(DecodeError),
    /// It is encrypted, and no secret that is known reads it.
    Sealed,
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "malformed: {error}"),
            Self::Sealed => f.write_str("encrypted"),
        }
    }
}

/// Who sends to whom under which number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Key([u8; 38]);

impl Key {
    fn new(from: SocketAddr, to: SocketAddr, number: CallNumber) -> Self {
        let mut key = [0; 38];
        let address = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let (front, number_field) = key.split_at_mut(36);
        let (one, other) = front.split_at_mut(18);
        for (place, end) in [(one, from), (other, to)] {
            let (ip, port) = place.split_at_mut(16);
            ip.copy_from_slice(&address(end));
            port.copy_from_slice(&end.port().to_be_bytes());
        }
        number_field.copy_from_slice(&number.get().to_be_bytes());
        Self(key)
    }
}

/// Where an exchange is, and which side of it has sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    slot: usize,
    side: usize,
}

/// Follows exchanges.
///
/// ```
/// use oneport_decode::Tracker;
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// let mut tracker = Tracker::default();
/// each_datagram(|datagram| {
///     let seen = tracker.see(&datagram, &mut ());
///     if let (Ok(frame), Some(exchange)) = (seen.frame, seen.exchange) {
///         println!("{:>5} {exchange:>3} {frame}", datagram.number);
///     }
/// })?;
/// assert_eq!(tracker.exchanges(), 3);
/// assert!(tracker.loose_faults().is_empty());
/// assert_eq!(tracker.finish().len(), 3);
/// # Ok::<(), oneport_decode::CaptureError>(())
/// ```
#[derive(Debug, Default)]
pub struct Tracker {
    config: TrackerConfig,
    slots: Vec<Option<Box<Exchange>>>,
    free: Vec<usize>,
    index: HashMap<Key, Place, foldhash::fast::RandomState>,
    count: u64,
    swept: Time,
    now: Time,
    finished: VecDeque<Story>,
    /// Faults at the frame that is looked at, and those that only the end of an exchange shows.
    told: Vec<Fault>,
    late: Vec<Fault>,
    /// Faults of no exchange.
    loose: Faults,
    entries: Vec<Option<u64>>,
    opened: Vec<u8>,
}

/// What came of looking at a datagram.
struct Found {
    place: Option<Place>,
    sealed: Sealed,
    is_closed: bool,
}

impl Found {
    const NOTHING: Self = Self { place: None, sealed: Sealed::Not, is_closed: false };

    const fn at(place: Place) -> Self {
        Self { place: Some(place), ..Self::NOTHING }
    }
}

impl Tracker {
    /// One that is told something.
    #[must_use]
    pub fn new(config: TrackerConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// How many bytes of a payload are the first frame: all of them, as a rule. A capture on the host that sends may show
    /// several datagrams with voice as one, where segmentation offload parts them only behind the place of the
    /// capture; all but the last have this length.
    #[must_use]
    pub fn stride(&self, datagram: &UdpDatagram<'_>) -> usize {
        let payload = datagram.payload;
        self.first_length(datagram).filter(|first| *first < payload.len()).unwrap_or(payload.len())
    }

    fn first_length(&self, datagram: &UdpDatagram<'_>) -> Option<usize> {
        let (ends, payload) = ((datagram.source, datagram.destination), datagram.payload);
        let number_at = |part: &[u8]| {
            let bytes = part.first_chunk::<2>()?;
            Some(u16::from_be_bytes(*bytes)).filter(|number| *number != 0 && number & 0x8000 == 0)
        };
        let is_known = |number: u16| {
            let key = Key::new(ends.0, ends.1, CallNumber::from_bits(number));
            self.index.get(&key).copied()
        };
        match Datagram::decode(payload).ok()? {
            Datagram::Mini(_) => {
                let place = is_known(number_at(payload)?)?;
                let length = self.exchange(place.slot)?.sides.get(place.side)?.mini_length?;
                let mut parts = payload.chunks(length.max(MiniFrame::HEADER_LEN));
                let fits = parts.all(|part| number_at(part).and_then(is_known).is_some());
                fits.then_some(length)
            }
            Datagram::Trunk(trunk) => {
                // A call has no number 0, but another trunk frame begins with one.
                let mut length = TrunkFrame::HEADER_LEN;
                let header = if trunk.timestamps { 6 } else { 4 };
                for entry in trunk.entries() {
                    let rest = payload.get(length..)?;
                    if rest.starts_with(&TRUNK) {
                        let same = payload.chunks(length).all(|part| part.starts_with(&TRUNK));
                        return same.then_some(length);
                    }
                    length += header + entry.payload.len();
                }
                None
            }
            _ => None,
        }
    }

    /// Takes a datagram; `ear` hears the voice in it.
    pub fn see<'a>(&'a mut self, datagram: &UdpDatagram<'a>, ear: &mut impl Hear) -> Seen<'a> {
        self.now = datagram.time;
        self.told.clear();
        self.entries.clear();
        if self.now.since(self.swept) >= SWEEP || self.now < self.swept {
            self.sweep();
        }
        let decoded = Datagram::decode(datagram.payload);
        let found = match &decoded {
            Ok(Datagram::Full(frame)) => self.full(datagram, frame, ear),
            Ok(Datagram::Mini(frame)) => self.mini(datagram, frame, ear),
            Ok(Datagram::VideoMini(frame)) => self.video(datagram, frame),
            Ok(Datagram::Trunk(frame)) => self.trunk(datagram, frame, ear),
            Err(error) => {
                self.loose_fault(datagram.number, FaultKind::Malformed, || error.to_string());
                Found::NOTHING
            }
        };
        if datagram.missing > 0 {
            let detail = || format!("{} bytes are missing", datagram.missing);
            match found.place.and_then(|place| self.slots.get_mut(place.slot)?.as_mut()) {
                Some(exchange) => {
                    let mut noticed = Noticed { packet: datagram.number, told: &mut self.told };
                    exchange.fault(&mut noticed, FaultKind::Cut, detail);
                }
                None => self.loose_fault(datagram.number, FaultKind::Cut, detail),
            }
        }
        let exchange = found.place.and_then(|place| self.exchange(place.slot));
        let frame = match (found.sealed, found.is_closed) {
            (_, true) => Err(Unread::Sealed),
            (Sealed::Opened, _) => Datagram::decode(&self.opened).map_err(Unread::Malformed),
            _ => decoded.map_err(Unread::Malformed),
        };
        Seen {
            frame,
            sealed: found.sealed,
            exchange: exchange.map(|exchange| exchange.number),
            kind: exchange.map(|exchange| exchange.kind),
            side: found.place.map_or(0, |place| place.side),
            entries: &self.entries,
            faults: &self.told,
        }
    }

    /// The next of those that are over.
    pub fn poll_finished(&mut self) -> Option<Story> {
        self.finished.pop_front()
    }

    /// What only the end of exchanges has shown since the last time.
    pub fn take_late_faults(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.late)
    }

    /// Faults of no exchange.
    #[must_use]
    pub fn loose_faults(&self) -> Vec<FoldedFault> {
        self.loose.clone().into_sorted()
    }

    /// How many exchanges there were so far.
    #[must_use]
    pub const fn exchanges(&self) -> u64 {
        self.count
    }

    /// The capture ends: tells of all that are left, in the order of their beginnings.
    pub fn finish(&mut self) -> Vec<Story> {
        let end = self.now;
        let mut left: Vec<Box<Exchange>> = self.slots.drain(..).flatten().collect();
        left.sort_by_key(|exchange| exchange.number);
        self.index.clear();
        self.free.clear();
        let mut stories: Vec<Story> = self.finished.drain(..).collect();
        for exchange in left {
            stories.push(exchange.finish(Some(end), &mut self.late));
        }
        stories
    }

    fn exchange(&self, slot: usize) -> Option<&Exchange> {
        self.slots.get(slot)?.as_deref()
    }

    fn loose_fault(&mut self, packet: u64, kind: FaultKind, detail: impl FnOnce() -> String) {
        let mut fault = Fault { kind, packet, exchange: None, detail: String::new() };
        if self.loose.count(kind) < 8 {
            fault.detail = detail();
        }
        if self.loose.take(&fault) {
            self.told.push(fault);
        }
    }

    /// Forgets those that are over.
    fn sweep(&mut self) {
        self.swept = self.now;
        let now = self.now;
        self.retire(|exchange| {
            let silent = now.since(exchange.last);
            silent >= IDLE || exchange.ended.is_some() && silent >= LINGER
        });
    }

    /// Makes room: half of the exchanges, those that were silent for longest, are told of as they are.
    fn make_room(&mut self) {
        let mut times: Vec<Time> =
            self.slots.iter().flatten().map(|exchange| exchange.last).collect();
        let middle = times.len() / 2;
        let (_, oldest, _) = times.select_nth_unstable(middle);
        let oldest = *oldest;
        self.retire(|exchange| exchange.last <= oldest);
    }

    fn retire(&mut self, is_over: impl Fn(&Exchange) -> bool) {
        for slot in 0..self.slots.len() {
            let place = self.slots.get_mut(slot);
            let Some(exchange) = place.and_then(|place| place.take_if(|one| is_over(one))) else {
                continue;
            };
            let [one, other] = &exchange.sides;
            for (from, to) in [(one, other), (other, one)] {
                let Some(number) = from.number else { continue };
                let key = Key::new(from.address, to.address, number);
                // A later exchange may have the number by now.
                if self.index.get(&key).is_some_and(|place| place.slot == slot) {
                    self.index.remove(&key);
                }
            }
            self.free.push(slot);
            let story = exchange.finish(None, &mut self.late);
            self.finished.push_back(story);
        }
    }

    /// A new exchange; the number of who begins it is `from`'s.
    fn begin(
        &mut self,
        datagram: &UdpDatagram<'_>,
        kind: Kind,
        begun_before: bool,
        (from, to): (CallNumber, Option<CallNumber>),
        stamp: Timestamp,
    ) -> Place {
        if self.slots.len() - self.free.len() >= self.config.most_exchanges.max(1) {
            self.make_room();
        }
        self.count += 1;
        let ends = (datagram.source, datagram.destination);
        let mut exchange =
            Exchange::new(self.count, kind, datagram.time, datagram.number, ends, begun_before);
        exchange.first_stamp = stamp.0;
        let exchange = Some(Box::new(exchange));
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        if let Some(place) = self.slots.get_mut(slot) {
            *place = exchange;
        }
        self.learn(Place { slot, side: 0 }, from);
        if let Some(to) = to {
            self.learn(Place { slot, side: 1 }, to);
        }
        Place { slot, side: 0 }
    }

    /// A side has this number.
    fn learn(&mut self, place: Place, number: CallNumber) {
        let Some(Some(exchange)) = self.slots.get_mut(place.slot) else { return };
        let [one, other] = &mut exchange.sides;
        let (side, peer) = if place.side == 0 { (one, other) } else { (other, one) };
        side.number = Some(number);
        self.index.insert(Key::new(side.address, peer.address, number), place);
    }

    /// The exchange of a full frame, which may begin with it.
    fn locate(&mut self, datagram: &UdpDatagram<'_>, frame: &FullFrame<'_>) -> Place {
        let header = &frame.header;
        let (from, to) = (datagram.source, datagram.destination);
        let by_sender = || self.index.get(&Key::new(from, to, header.source)).copied();
        let by_receiver = || {
            let found = self.index.get(&Key::new(to, from, header.destination)).copied()?;
            Some(Place { side: 1 - found.side, ..found })
        };
        let is_over =
            |place: Place| self.exchange(place.slot).is_none_or(|one| one.ended.is_some());
        let number_of = |place: Place| {
            let exchange = self.exchange(place.slot)?;
            exchange.sides.get(place.side)?.number
        };
        if header.source == CallNumber::STATELESS
            && let Some(place) = by_receiver()
        {
            return place;
        }
        if header.destination == CallNumber::NONE {
            let is_another = |place: Place| {
                self.exchange(place.slot).is_none_or(|one| {
                    is_over(place)
                        && one.first_stamp != header.timestamp.0
                        && begins(frame).is_some()
                        && !header.retransmission
                })
            };
            return match by_sender() {
                Some(place) if !is_another(place) => place,
                _ => {
                    let (kind, before) =
                        begins(frame).map_or_else(|| (guess(frame), true), |kind| (kind, false));
                    let numbers = (header.source, None);
                    self.begin(datagram, kind, before, numbers, header.timestamp)
                }
            };
        }
        match (by_sender(), by_receiver()) {
            (Some(sender), Some(receiver)) if sender.slot == receiver.slot => sender,
            // The number of an earlier exchange; this is the first answer in another.
            (_, Some(receiver)) if number_of(receiver).is_none() => {
                self.learn(receiver, header.source);
                receiver
            }
            (Some(sender), _) if !is_over(sender) => {
                let peer = Place { side: 1 - sender.side, ..sender };
                if number_of(peer).is_none() {
                    self.learn(peer, header.destination);
                } else {
                    self.wrong_number(datagram, sender, header.destination);
                }
                sender
            }
            (None, Some(receiver)) if !is_over(receiver) => {
                self.wrong_number(datagram, receiver, header.source);
                receiver
            }
            (Some(sender), _) if number_of(Place { side: 1 - sender.side, ..sender }).is_none() => {
                sender
            }
            _ => {
                let numbers = (header.source, Some(header.destination));
                self.begin(datagram, guess(frame), true, numbers, header.timestamp)
            }
        }
    }

    fn wrong_number(&mut self, datagram: &UdpDatagram<'_>, place: Place, number: CallNumber) {
        let Some(Some(exchange)) = self.slots.get_mut(place.slot) else { return };
        let mut noticed = Noticed { packet: datagram.number, told: &mut self.told };
        exchange.fault(&mut noticed, FaultKind::WrongNumber, || {
            format!("it says {number}, which is none of the call's")
        });
    }

    fn full(
        &mut self,
        datagram: &UdpDatagram<'_>,
        frame: &FullFrame<'_>,
        ear: &mut impl Hear,
    ) -> Found {
        let place = self.locate(datagram, frame);
        let mut opened = std::mem::take(&mut self.opened);
        let found = self.full_at(datagram, place, frame, &mut opened, ear);
        self.opened = opened;
        found
    }

    fn full_at(
        &mut self,
        datagram: &UdpDatagram<'_>,
        place: Place,
        frame: &FullFrame<'_>,
        opened: &mut Vec<u8>,
        ear: &mut impl Hear,
    ) -> Found {
        let Self { slots, told, config, .. } = self;
        let Some(Some(exchange)) = slots.get_mut(place.slot) else { return Found::NOTHING };
        exchange.last = datagram.time;
        let sealed = open(exchange, place.side, datagram, &config.secrets, opened);
        if let Some(side) = exchange.sides.get_mut(place.side) {
            side.frames += 1;
        }
        let mut noticed = Noticed { packet: datagram.number, told };
        let frame = match sealed {
            Sealed::Not => *frame,
            Sealed::Opened => match Datagram::decode(opened) {
                Ok(Datagram::Full(frame)) => frame,
                _ => return Found::at(place),
            },
            Sealed::Closed => {
                exchange.fault(&mut noticed, FaultKind::NotDecrypted, String::new);
                return Found { sealed, is_closed: true, ..Found::at(place) };
            }
        };
        exchange.take(place.side, datagram.time, &frame, &config.secrets, &mut noticed);
        if let (frame_type::VOICE, Some(side)) = (frame.frame_type, exchange.sides.get(place.side))
            && let Some(format) = side.format
        {
            ear.hear(&Part {
                call: exchange.number,
                side: place.side,
                from: side.address,
                timestamp: frame.header.timestamp,
                format,
                payload: frame.payload,
            });
        }
        Found { sealed, ..Found::at(place) }
    }

    fn mini(
        &mut self,
        datagram: &UdpDatagram<'_>,
        frame: &MiniFrame<'_>,
        ear: &mut impl Hear,
    ) -> Found {
        let key = Key::new(datagram.source, datagram.destination, frame.source);
        let Some(place) = self.index.get(&key).copied() else {
            self.loose_fault(datagram.number, FaultKind::UnknownCall, || {
                format!("call {} of {}", frame.source, datagram.source)
            });
            return Found::NOTHING;
        };
        let mut opened = std::mem::take(&mut self.opened);
        let found = self.mini_at(datagram, place, frame, &mut opened, ear);
        self.opened = opened;
        found
    }

    fn mini_at(
        &mut self,
        datagram: &UdpDatagram<'_>,
        place: Place,
        frame: &MiniFrame<'_>,
        opened: &mut Vec<u8>,
        ear: &mut impl Hear,
    ) -> Found {
        let Self { slots, told, config, .. } = self;
        let Some(Some(exchange)) = slots.get_mut(place.slot) else { return Found::NOTHING };
        let sealed = open(exchange, place.side, datagram, &config.secrets, opened);
        let mut noticed = Noticed { packet: datagram.number, told };
        let frame = match sealed {
            Sealed::Not => *frame,
            Sealed::Opened => match Datagram::decode(opened) {
                Ok(Datagram::Mini(frame)) => frame,
                _ => return Found::at(place),
            },
            Sealed::Closed => {
                if let Some(side) = exchange.sides.get_mut(place.side) {
                    side.frames += 1;
                    side.mini_length.get_or_insert(datagram.payload.len());
                }
                exchange.last = datagram.time;
                exchange.fault(&mut noticed, FaultKind::NotDecrypted, String::new);
                return Found { sealed, is_closed: true, ..Found::at(place) };
            }
        };
        let stamp = exchange.sides.get_mut(place.side).map(|side| {
            side.mini_length = Some(datagram.payload.len());
            side.unwrap(frame.timestamp)
        });
        speak(exchange, place.side, datagram, stamp, frame.payload, &mut noticed, ear);
        Found { sealed, ..Found::at(place) }
    }

    fn video(&mut self, datagram: &UdpDatagram<'_>, frame: &VideoMiniFrame<'_>) -> Found {
        let key = Key::new(datagram.source, datagram.destination, frame.source);
        let Some(place) = self.index.get(&key).copied() else {
            self.loose_fault(datagram.number, FaultKind::UnknownCall, || {
                format!("video of call {} of {}", frame.source, datagram.source)
            });
            return Found::NOTHING;
        };
        if let Some(Some(exchange)) = self.slots.get_mut(place.slot) {
            exchange.last = datagram.time;
            if let Some(side) = exchange.sides.get_mut(place.side) {
                side.frames += 1;
            }
        }
        Found::at(place)
    }

    fn trunk(
        &mut self,
        datagram: &UdpDatagram<'_>,
        trunk: &TrunkFrame<'_>,
        ear: &mut impl Hear,
    ) -> Found {
        let mut entries = trunk.entries();
        for entry in entries.by_ref() {
            let key = Key::new(datagram.source, datagram.destination, entry.source);
            let Some(place) = self.index.get(&key).copied() else {
                self.entries.push(None);
                self.loose_fault(datagram.number, FaultKind::UnknownTrunkEntry, || {
                    format!("call {} of {}", entry.source, datagram.source)
                });
                continue;
            };
            let Some(Some(exchange)) = self.slots.get_mut(place.slot) else { continue };
            self.entries.push(Some(exchange.number));
            let stamp = exchange.sides.get_mut(place.side).map(|side| {
                side.count_trunk_entry();
                match entry.timestamp {
                    // 0 is said for "absent".
                    Some(stamp) if stamp.0 != 0 => side.unwrap(stamp),
                    _ => side.of_trunk(datagram.time, trunk.timestamp),
                }
            });
            let mut noticed = Noticed { packet: datagram.number, told: &mut self.told };
            speak(exchange, place.side, datagram, stamp, entry.payload, &mut noticed, ear);
        }
        let rest = entries.remainder().len();
        if rest > 0 {
            self.loose_fault(datagram.number, FaultKind::TrunkRemainder, || {
                format!("{rest} bytes from {} belong to no entry", datagram.source)
            });
        }
        Found::NOTHING
    }
}

/// Voice in a mini frame or an entry of a trunk.
fn speak(
    exchange: &mut Exchange,
    side: usize,
    datagram: &UdpDatagram<'_>,
    stamp: Option<Timestamp>,
    payload: &[u8],
    noticed: &mut Noticed<'_>,
    ear: &mut impl Hear,
) {
    let (Some(stamp), number) = (stamp, exchange.number) else { return };
    if let Some(ended) = exchange.ended {
        if datagram.time.since(ended) > ON_THEIR_WAY {
            exchange.fault(noticed, FaultKind::BehindEnd, String::new);
        }
        return;
    }
    exchange.last = datagram.time;
    let Some(sender) = exchange.sides.get_mut(side) else { return };
    sender.frames += 1;
    let Some(format) = sender.format else {
        exchange.fault(noticed, FaultKind::NoFormat, String::new);
        return;
    };
    sender.speak(datagram.time, stamp, format, payload.len());
    let from = sender.address;
    ear.hear(&Part { call: number, side, from, timestamp: stamp, format, payload });
}

/// Decrypts a datagram of a call that is encrypted: all of it but its call numbers.
fn open(
    exchange: &mut Exchange,
    side: usize,
    datagram: &UdpDatagram<'_>,
    secrets: &[Secret],
    opened: &mut Vec<u8>,
) -> Sealed {
    if exchange.sealed == Sealed::Not {
        return Sealed::Not;
    }
    let is_full = datagram.payload.first().is_some_and(|first| first & 0x80 != 0);
    let length = datagram.payload.len().saturating_sub(if is_full { 4 } else { 2 });
    if length < 32 || !length.is_multiple_of(16) {
        return Sealed::Not;
    }
    let Some(sender) = exchange.sides.get_mut(side) else { return Sealed::Not };
    let clock = sender.voice_clock(datagram.time);
    // Anything makes sense as a mini frame; a full frame of voice comes before and proves the key.
    let read = match &mut sender.keys {
        Some(keys) if is_full || clock.is_some() => keys.open(datagram.payload, clock, opened),
        _ => false,
    };
    let can_be = match Datagram::decode(opened) {
        Ok(Datagram::Full(frame)) if read => exchange.can_be(datagram.time, frame.header.timestamp),
        _ => read,
    };
    let Some(sender) = exchange.sides.get_mut(side) else { return Sealed::Not };
    if can_be {
        sender.is_read = true;
        exchange.sealed = Sealed::Opened;
        return Sealed::Opened;
    }
    let was_deceived = read && !sender.is_read;
    // What was sent before the key was agreed upon comes again in the clear.
    if let Ok(Datagram::Full(frame)) = Datagram::decode(datagram.payload)
        && (1..=12).contains(&frame.frame_type)
        && frame.message().is_ok()
        && frame.header.oseq.0 < 8
        && frame.header.iseq.0 < 8
    {
        return Sealed::Not;
    }
    sender.sealed += 1;
    if was_deceived {
        // A wrong key made sense by chance: none is believed yet.
        exchange.begin_reading(side, secrets);
    }
    Sealed::Closed
}

/// What a frame without a destination begins.
fn begins(frame: &FullFrame<'_>) -> Option<Kind> {
    if frame.frame_type != frame_type::IAX {
        return None;
    }
    match IaxSubclass::from_subclass(frame.subclass) {
        IaxSubclass::New => Some(Kind::Call),
        IaxSubclass::RegReq | IaxSubclass::RegRel => Some(Kind::Registration),
        IaxSubclass::Poke => Some(Kind::Poll),
        IaxSubclass::FwDownl | IaxSubclass::Provision => Some(Kind::Device),
        _ => None,
    }
}

/// What a frame is of, whose beginning was not captured.
fn guess(frame: &FullFrame<'_>) -> Kind {
    if frame.frame_type != frame_type::IAX {
        return Kind::Call;
    }
    match IaxSubclass::from_subclass(frame.subclass) {
        IaxSubclass::RegReq
        | IaxSubclass::RegAuth
        | IaxSubclass::RegAck
        | IaxSubclass::RegRej
        | IaxSubclass::RegRel => Kind::Registration,
        IaxSubclass::FwDownl | IaxSubclass::FwData | IaxSubclass::Provision => Kind::Device,
        _ => Kind::Call,
    }
}
