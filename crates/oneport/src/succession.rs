//! Several processes that serve the same port one after the other, while calls go on.
//!
//! A process begins it ([`Driver::begin_succession`](crate::Driver::begin_succession)): the heir is told which
//! numbers its calls have and what the application says, and gets its sockets. When the heir is ready
//! ([`Driver::ready`](crate::Driver::ready)), the process stops reading, and the heir begins. From then on the
//! heir hands on what comes for calls of the older process, which still sends by the same sockets itself.
//! The end of either process is seen by the other, whichever way it ends: numbers of an older one are free then,
//! and an older one whose heir is gone reads again.
//!
//! Each process has one connection with the newest, a pair of sockets of `SOCK_SEQPACKET`. The newest hands its
//! own ends to its heir, so that the older processes notice nothing of that. On it go records, the first byte of which
//! says what they are:
//!
//! ```text
//! H  to the heir, first: its generation, its sockets, the other processes (with descriptors)
//! N  of the older one: numbers that it holds, or no more
//! W  a word of the application; w: all but the last part of a long one
//! R  of the heir: it is ready
//! G  to the heir: it reads from now on; keys of call tokens
//! S  of the heir: it reads
//! D  datagrams: of the newest for calls of the older one, of the older one what begins
//! ```

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use oneport_proto::{CallTokenKeys, Generation, Held, HeldChange, Instant, Path};
use oneport_wire::CallNumber;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use socket2::SockRef;

/// The longest record. Longer ones the kernel would cut in two.
pub(crate) const RECORD: usize = 30_000;
/// Bytes asked for in each direction; the system may give less.
const BUFFER: usize = 8 << 20;
/// Descriptors that are handed over at once.
const DESCRIPTORS: usize = 120;
/// How long the first record may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A step in the life of a process among others of the same port.
///
/// ```
/// use oneport::{Application, Step};
/// use oneport_proto::{Endpoint, Event, Instant};
/// use oneport_wire::CauseCode;
///
/// /// Ends when another process has taken over.
/// #[derive(Default)]
/// struct Server {
///     retired: bool,
/// }
///
/// impl Application for Server {
///     fn handle_event(&mut self, _: &mut Endpoint, _: Instant, _: Event) {}
///
///     fn handle_step(&mut self, _: &mut Endpoint, _: Instant, step: Step) {
///         match step {
///             Step::Retired => self.retired = true,
///             // The heir has failed: all is as it was.
///             Step::Alone => self.retired = false,
///             Step::Begins | Step::Gone(_) => {}
///         }
///     }
/// }
/// # let now = Instant::from_micros(0);
/// # let mut endpoint = Endpoint::new(Default::default(), [1; 32], now);
/// # let mut server = Server::default();
/// server.handle_step(&mut endpoint, now, Step::Retired);
/// assert!(server.retired);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// An heir is being started, and is told what is said from now on.
    Begins,
    /// It reads: this process only ends its calls.
    Retired,
    /// The heir has ended, before it read or since: this process is the newest, as it was before.
    Alone,
    /// An older process has ended.
    Gone(Generation),
}

/// To whom an application says something.
///
/// ```
/// use oneport::{Application, To};
/// use oneport_proto::{Endpoint, Event, Generation, Instant};
///
/// /// Asks older processes how many calls they have left, and is told.
/// #[derive(Default)]
/// struct Newest {
///     asked: bool,
///     left: usize,
/// }
///
/// impl Application for Newest {
///     fn handle_event(&mut self, _: &mut Endpoint, _: Instant, _: Event) {}
///
///     fn poll_word(&mut self, _: Instant) -> Option<(To, Vec<u8>)> {
///         let first = !std::mem::replace(&mut self.asked, true);
///         first.then(|| (To::AllOlder, b"calls?".to_vec()))
///     }
///
///     fn handle_word(&mut self, _: &mut Endpoint, _: Instant, _: Option<Generation>, word: &[u8]) {
///         let count = str::from_utf8(word).ok().and_then(|count| count.parse().ok());
///         self.left += count.unwrap_or(0);
///     }
/// }
/// # let mut newest = Newest::default();
/// let word = newest.poll_word(Instant::from_micros(0));
/// assert_eq!(word, Some((To::AllOlder, b"calls?".to_vec())));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum To {
    /// To the newer process, or the heir that starts.
    Newest,
    /// To one that is older.
    Older(Generation),
    /// To all that are older.
    AllOlder,
}

/// Why no heir can be told of anything.
///
/// ```
/// # use oneport::{Application, Driver, DriverConfig, SuccessionError, succession_connection};
/// # use oneport_proto::{Endpoint, Event, Instant};
/// # struct Deaf;
/// # impl Application for Deaf {
/// #     fn handle_event(&mut self, _: &mut Endpoint, _: Instant, _: Event) {}
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listen = vec!["127.0.0.1:0".parse()?];
/// # let driver = Driver::start(DriverConfig { listen, ..DriverConfig::default() }, Deaf)?;
/// let (ours, _heirs) = succession_connection()?;
/// driver.begin_succession(ours, Vec::new(), Vec::new()).await?;
/// // There is one heir at a time.
/// let (ours, _others) = succession_connection()?;
/// let again = driver.begin_succession(ours, Vec::new(), Vec::new()).await;
/// let error = again.err().and_then(|error| error.downcast::<SuccessionError>().ok());
/// assert_eq!(error, Some(SuccessionError::UnderWay));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SuccessionError {
    /// There is one.
    #[error("another process is being started already, or has taken over")]
    UnderWay,
    /// Too many older processes live.
    #[error("{0} older processes still have calls, and no more may")]
    TooMany(usize),
    /// One lives whose numbers this process would have.
    #[error("the process of generation {0} still has calls")]
    OldOneLives(u32),
}

/// Older processes that may live at the same time.
pub const MOST_OLDER: usize = 32;

/// A pair of connected sockets: one for [`Driver::begin_succession`](crate::Driver::begin_succession), the
/// other for [`Inheritance::receive`] in the heir.
///
/// # Errors
/// The system gives none.
pub fn connection() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// What an heir gets.
///
/// ```
/// # use oneport::{Application, Driver, DriverConfig, Generation, Inheritance, succession_connection};
/// # use oneport_proto::{Endpoint, Event, Instant};
/// # struct Deaf;
/// # impl Application for Deaf {
/// #     fn handle_event(&mut self, _: &mut Endpoint, _: Instant, _: Event) {}
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listen = vec!["127.0.0.1:0".parse()?];
/// # let old = Driver::start(DriverConfig { listen, ..DriverConfig::default() }, Deaf)?;
/// // As a rule both ends of the connection are in different processes.
/// let (ours, heirs) = succession_connection()?;
/// old.begin_succession(ours, b"since Monday".to_vec(), Vec::new()).await?;
///
/// let inheritance = Inheritance::receive(heirs)?;
/// assert_eq!(inheritance.word, b"since Monday");
/// assert_eq!(inheritance.sockets.len(), 1);
/// let new = Driver::inherit(DriverConfig::default(), inheritance, Deaf)?;
/// new.ready();
/// assert_eq!(new.local_addresses(), old.local_addresses());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Inheritance {
    /// Its own.
    pub generation: Generation,
    /// The sockets of the port.
    pub sockets: Vec<UdpSocket>,
    /// What the application has added: bytes and descriptors.
    pub word: Vec<u8>,
    /// See `word`.
    pub descriptors: Vec<OwnedFd>,
    pub(crate) predecessor: Channel,
    pub(crate) older: Vec<Channel>,
}

impl Inheritance {
    /// Waits for it on its end of a [`connection`].
    ///
    /// # Errors
    /// Nothing has come, or nothing of this kind.
    pub fn receive(connection: OwnedFd) -> io::Result<Self> {
        let socket = UnixDatagram::from(connection);
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut bytes = vec![0; RECORD];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let mut descriptors = VecDeque::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        let odd = || io::Error::new(io::ErrorKind::InvalidData, "what came is no inheritance");
        let mut reader = Reader(bytes.get(..received.bytes).ok_or_else(odd)?);
        if reader.byte() != Some(b'H') {
            return Err(odd());
        }
        let generation = Generation(reader.u32().ok_or_else(odd)?);
        let sockets = reader.u16().ok_or_else(odd)?;
        let older = reader.u16().ok_or_else(odd)?;
        let mut take = || descriptors.pop_front().ok_or_else(odd);
        let sockets: io::Result<Vec<UdpSocket>> =
            (0..sockets).map(|_| Ok(UdpSocket::from(take()?))).collect();
        let older: io::Result<Vec<Channel>> = (0..older)
            .map(|_| {
                let role = Role::Older(Generation(reader.u32().ok_or_else(odd)?));
                Channel::new(take()?, role)
            })
            .collect();
        let before = Generation(generation.0.checked_sub(1).ok_or_else(odd)?);
        socket.set_read_timeout(None)?;
        Ok(Self {
            generation,
            sockets: sockets?,
            older: older?,
            word: reader.0.to_vec(),
            descriptors: descriptors.into(),
            predecessor: Channel::new(socket.into(), Role::Predecessor(before))?,
        })
    }
}

/// Sends an heir its inheritance.
pub(crate) fn bequeath(
    channel: &Channel,
    heir: Generation,
    sockets: &[BorrowedFd<'_>],
    older: &[(Generation, BorrowedFd<'_>)],
    word: &[u8],
    descriptors: &[OwnedFd],
) -> io::Result<()> {
    let mut record = vec![b'H'];
    record.extend(heir.0.to_be_bytes());
    let count = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
    record.extend(count(sockets.len()));
    record.extend(count(older.len()));
    for (generation, _) in older {
        record.extend(generation.0.to_be_bytes());
    }
    record.extend(word);
    let mut all: Vec<BorrowedFd<'_>> = sockets.to_vec();
    all.extend(older.iter().map(|(_, channel)| *channel));
    all.extend(descriptors.iter().map(AsFd::as_fd));
    let too_much = || io::Error::new(io::ErrorKind::InvalidInput, "that is too much to hand over");
    if all.len() > DESCRIPTORS || record.len() > RECORD {
        return Err(too_much());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&all)) {
        return Err(too_much());
    }
    let sent =
        sendmsg(&channel.socket, &[IoSlice::new(&record)], &mut ancillary, SendFlags::NOSIGNAL)?;
    if sent == record.len() { Ok(()) } else { Err(too_much()) }
}

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// One whose calls are still up.
    Older(Generation),
    /// The one that reads until we are ready.
    Predecessor(Generation),
    /// The heir.
    Newer(Generation, Stage),
}

/// How far the heir is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Starts,
    Ready,
    /// It was told to read, at this moment.
    Told(Instant),
    Reads,
}

/// A record that has come.
#[derive(Debug)]
pub(crate) enum Record<'a> {
    Numbers(Numbers<'a>),
    Word(Vec<u8>),
    Ready,
    Go(CallTokenKeys),
    Reads,
    Datagrams(&'a mut [u8]),
    /// A part of something, or nothing that is known here.
    None,
}

/// What became of a look for a record.
pub(crate) enum Received {
    Nothing,
    /// So many bytes are in the buffer.
    Record(usize),
    /// The other end is closed.
    Closed,
}

/// A connection with another process.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: UnixDatagram,
    pub(crate) role: Role,
    /// Whether something has arrived.
    pub(crate) is_readable: bool,
    /// The other end is gone.
    pub(crate) is_closed: bool,
    /// Records that wait for room.
    waiting: VecDeque<Vec<u8>>,
    /// Datagrams that are handed on at the end of this turn, and how many.
    batch: Vec<u8>,
    batched: u64,
    /// The beginning of a word.
    partial: Vec<u8>,
}

impl Channel {
    pub(crate) fn new(socket: OwnedFd, role: Role) -> io::Result<Self> {
        let socket = UnixDatagram::from(socket);
        socket.set_nonblocking(true)?;
        // Less than asked for is no error.
        let _ = SockRef::from(&socket).set_send_buffer_size(BUFFER);
        let batch = Vec::with_capacity(RECORD);
        Ok(Self {
            socket,
            role,
            is_readable: true,
            is_closed: false,
            waiting: VecDeque::new(),
            batch,
            batched: 0,
            partial: Vec::new(),
        })
    }

    /// Whether all of what was said to it has left.
    pub(crate) fn is_flushed(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether half of a word has come.
    pub(crate) fn is_between(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Sends a record, when there is room.
    pub(crate) fn send(&mut self, record: Vec<u8>) {
        self.waiting.push_back(record);
        self.flush();
    }

    /// Sends what waits, as far as there is room. That nobody is there is seen when it is read.
    pub(crate) fn flush(&mut self) {
        while let Some(record) = self.waiting.front() {
            match self.socket.send(record) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => drop(self.waiting.pop_front()),
            }
        }
    }

    /// Says a word of the application.
    pub(crate) fn say(&mut self, word: &[u8]) {
        let mut parts = word.chunks(RECORD - 1).peekable();
        while let Some(part) = parts.next() {
            let kind = if parts.peek().is_some() { b'w' } else { b'W' };
            self.send([&[kind], part].concat());
        }
    }

    /// Tells which numbers are held, or no more.
    pub(crate) fn tell_numbers(&mut self, changes: &[(Generation, HeldChange)]) {
        for changes in changes.chunks((RECORD - 1) / NUMBER) {
            let mut record = Vec::with_capacity(1 + changes.len() * NUMBER);
            record.push(b'N');
            for (generation, change) in changes {
                write_number(&mut record, *generation, *change);
            }
            self.send(record);
        }
    }

    /// Tells the heir to read.
    pub(crate) fn go(&mut self, keys: &CallTokenKeys) {
        self.send([&b"G"[..], &keys.to_bytes()].concat());
    }

    /// A record of one byte.
    pub(crate) fn signal(&mut self, kind: u8) {
        self.send(vec![kind]);
    }

    /// Adds a datagram to what is handed on; how many were dropped for it, since there was no room.
    pub(crate) fn hand_on(&mut self, path: Path, datagram: &[u8]) -> u64 {
        let needs = HEAD + datagram.len();
        if needs + 1 > RECORD {
            return 1;
        }
        let dropped = match self.batch.len() + needs > RECORD {
            true => self.send_batch(),
            false => 0,
        };
        if self.batch.is_empty() {
            self.batch.push(b'D');
        }
        write_head(&mut self.batch, path, datagram.len());
        self.batch.extend_from_slice(datagram);
        self.batched += 1;
        dropped
    }

    /// Sends what is to be handed on; how many datagrams were dropped, since there was no room.
    pub(crate) fn send_batch(&mut self) -> u64 {
        let count = std::mem::take(&mut self.batched);
        if count == 0 {
            return 0;
        }
        let sent = self.socket.send(&self.batch);
        self.batch.clear();
        match sent {
            Ok(_) => 0,
            Err(_) => count,
        }
    }

    /// Takes one record into `buffer`.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Received {
        match self.socket.recv(buffer) {
            Ok(0) => Received::Closed,
            Ok(len) => Received::Record(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Received::Nothing,
            Err(_) => Received::Closed,
        }
    }

    /// What a record says.
    pub(crate) fn read<'a>(&mut self, record: &'a mut [u8]) -> Record<'a> {
        let Some((kind, rest)) = record.split_first_mut() else { return Record::None };
        match *kind {
            b'N' => Record::Numbers(Numbers(Reader(rest))),
            b'w' => {
                self.partial.extend_from_slice(rest);
                Record::None
            }
            b'W' => {
                let mut word = std::mem::take(&mut self.partial);
                word.extend_from_slice(rest);
                Record::Word(word)
            }
            b'R' => Record::Ready,
            b'G' => CallTokenKeys::from_bytes(rest).map_or(Record::None, Record::Go),
            b'S' => Record::Reads,
            b'D' => Record::Datagrams(rest),
            _ => Record::None,
        }
    }

    /// Whether what comes on it is for this process: the newest alone hears the older ones.
    pub(crate) fn is_heard(&self, is_newest: bool) -> bool {
        is_newest || !matches!(self.role, Role::Older(_))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Reads numbers that have their most significant byte first.
#[derive(Debug)]
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn address(&mut self) -> Option<SocketAddr> {
        let ip = Ipv6Addr::from(self.array::<16>()?).to_canonical();
        Some(SocketAddr::new(ip, self.u16()?))
    }
}

/// 16 bytes; IPv4 as its mapped IPv6 form.
fn write_ip(record: &mut Vec<u8>, ip: IpAddr) {
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    record.extend(ip.octets());
}

fn write_address(record: &mut Vec<u8>, address: SocketAddr) {
    write_ip(record, address.ip());
    record.extend(address.port().to_be_bytes());
}

/// Bytes of a number in a record: generation, kind (bit 7: held no more), address, port, two numbers.
const NUMBER: usize = 4 + 1 + 16 + 2 + 2 + 2;

fn write_number(record: &mut Vec<u8>, generation: Generation, change: HeldChange) {
    let none = CallNumber::from_bits(0);
    let (kind, remote, first, second) = match change.held {
        Held::Ours(remote, number) => (0, remote, number, none),
        Held::Theirs(remote, number) => (1, remote, number, none),
        Held::Both(remote, ours, theirs) => (2, remote, ours, theirs),
        Held::Openings(remote) => (3, remote, none, none),
    };
    record.extend(generation.0.to_be_bytes());
    record.push(kind | if change.is_held { 0 } else { 0x80 });
    write_address(record, remote);
    record.extend(first.get().to_be_bytes());
    record.extend(second.get().to_be_bytes());
}

/// Numbers in a record.
#[derive(Debug)]
pub(crate) struct Numbers<'a>(Reader<'a>);

impl Iterator for Numbers<'_> {
    type Item = (Generation, HeldChange);

    fn next(&mut self) -> Option<Self::Item> {
        let generation = Generation(self.0.u32()?);
        let kind = self.0.byte()?;
        let remote = self.0.address()?;
        let first = CallNumber::from_bits(self.0.u16()?);
        let second = CallNumber::from_bits(self.0.u16()?);
        let held = match kind & 0x7F {
            0 => Held::Ours(remote, first),
            1 => Held::Theirs(remote, first),
            2 => Held::Both(remote, first, second),
            _ => Held::Openings(remote),
        };
        Some((generation, HeldChange { held, is_held: kind & 0x80 == 0 }))
    }
}

/// Bytes before a datagram: its length, the peer's address and port, ours (0: not known).
const HEAD: usize = 2 + 18 + 18;

fn write_head(record: &mut Vec<u8>, path: Path, len: usize) {
    record.extend(u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
    write_address(record, path.remote);
    write_ip(record, path.local.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
    record.extend(path.local_port.unwrap_or_default().to_be_bytes());
}

/// The datagrams of a record, each with its way.
pub(crate) struct Datagrams<'a>(pub(crate) &'a mut [u8]);

impl<'a> Iterator for Datagrams<'a> {
    type Item = (Path, &'a mut [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let record = std::mem::take(&mut self.0);
        let (head, rest) = record.split_at_mut_checked(HEAD)?;
        let mut reader = Reader(head);
        let len = reader.u16()?;
        let (remote, local) = (reader.address()?, reader.address()?);
        let (datagram, rest) = rest.split_at_mut_checked(len.into())?;
        self.0 = rest;
        let path = Path {
            remote,
            local: Some(local.ip()).filter(|ip| !ip.is_unspecified()),
            local_port: Some(local.port()).filter(|port| *port != 0),
        };
        Some((path, datagram))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Channel, Channel) {
        let (here, there) = connection().expect("a pair");
        let older = Channel::new(here, Role::Newer(Generation(1), Stage::Starts));
        let newer = Channel::new(there, Role::Predecessor(Generation(0)));
        (older.expect("a channel"), newer.expect("a channel"))
    }

    fn path(last: u8) -> Path {
        Path {
            remote: SocketAddr::from(([192, 0, 2, last], 4569)),
            local: (last > 1).then_some([192, 0, 2, 99].into()),
            local_port: Some(4570),
        }
    }

    #[test]
    fn datagrams_come_with_their_way_and_in_their_order() {
        let (mut newest, older) = pair();
        let sent: Vec<(Path, Vec<u8>)> =
            (1..=200_u8).map(|n| (path(n), vec![n; 1 + usize::from(n) * 7])).collect();
        let dropped: u64 = sent.iter().map(|(path, bytes)| newest.hand_on(*path, bytes)).sum();
        assert_eq!(dropped + newest.send_batch(), 0);
        let (mut came, mut buffer) = (Vec::new(), vec![0; RECORD]);
        let mut reader = pair().0;
        while let Received::Record(len) = older.receive(&mut buffer) {
            let Record::Datagrams(bytes) = reader.read(&mut buffer[..len]) else {
                panic!("no datagrams")
            };
            came.extend(Datagrams(bytes).map(|(path, bytes)| (path, bytes.to_vec())));
        }
        assert_eq!(came, sent);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_costs_nobody_else() {
        let (mut newest, older) = pair();
        let (mut dropped, mut handed) = (0, 0);
        // The system may give eight megabytes, of which each record takes a little more than it has.
        while dropped == 0 && handed < 100_000 {
            dropped += newest.hand_on(path(2), &[7; 1_400]);
            handed += 1;
        }
        assert!(dropped > 0, "{handed} found room");
        let mut buffer = vec![0; RECORD];
        while let Received::Record(_) = older.receive(&mut buffer) {}
        let _ = newest.send_batch();
        assert_eq!(newest.hand_on(path(2), &[7; 1_400]) + newest.send_batch(), 0, "there is room");
    }

    #[test]
    fn long_words_and_numbers_arrive_whole_even_where_they_have_to_wait() {
        let (mut older, mut newest) = pair();
        let word: Vec<u8> = (0..3 * RECORD).map(|n| (n % 251) as u8).collect();
        let number = |n: u16| {
            let number = CallNumber::from_bits(n);
            let remote = path((n % 200) as u8).remote;
            let held = match n % 4 {
                0 => Held::Ours(remote, number),
                1 => Held::Theirs(remote, number),
                2 => Held::Both(remote, number, CallNumber::from_bits(n + 1)),
                _ => Held::Openings(remote),
            };
            (Generation(n.into()), HeldChange { held, is_held: n.is_multiple_of(3) })
        };
        let numbers: Vec<_> = (2..30_000).map(number).collect();
        for _ in 0..20 {
            older.say(&word);
            older.tell_numbers(&numbers);
        }
        let (mut words, mut told, mut buffer) = (0, Vec::new(), vec![0; RECORD]);
        loop {
            match newest.receive(&mut buffer) {
                Received::Nothing if older.is_flushed() => break,
                Received::Nothing => older.flush(),
                Received::Closed => panic!("it is open"),
                Received::Record(len) => match newest.read(&mut buffer[..len]) {
                    Record::Word(came) => {
                        assert!(came == word, "another word");
                        words += 1;
                    }
                    Record::Numbers(numbers) => told.extend(numbers),
                    _ => {}
                },
            }
        }
        assert!(!newest.is_between());
        assert_eq!((words, told.len()), (20, 20 * numbers.len()));
        assert!(told.chunks(numbers.len()).all(|told| told == numbers));
        drop(older);
        assert!(matches!(newest.receive(&mut buffer), Received::Closed));
    }

    #[test]
    fn an_heir_gets_the_very_sockets_and_what_was_said() {
        let (here, there) = connection().expect("a pair");
        let channel = Channel::new(here, Role::Newer(Generation(3), Stage::Starts));
        let channel = channel.expect("a channel");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let other = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let old = pair();
        let extra = [OwnedFd::from(other.try_clone().expect("a copy"))];
        let olders = [(Generation(1), old.0.as_fd())];
        bequeath(&channel, Generation(3), &[socket.as_fd()], &olders, b"said", &extra)
            .expect("sent");
        let Inheritance { generation, sockets, word, descriptors, predecessor, older } =
            Inheritance::receive(there).expect("received");
        assert_eq!((generation, word.as_slice()), (Generation(3), &b"said"[..]));
        let address = |socket: &UdpSocket| socket.local_addr().expect("bound");
        assert_eq!(sockets.iter().map(address).collect::<Vec<_>>(), [address(&socket)]);
        let others: Vec<UdpSocket> = descriptors.into_iter().map(UdpSocket::from).collect();
        assert_eq!(others.iter().map(address).collect::<Vec<_>>(), [address(&other)]);
        assert_eq!(predecessor.role, Role::Predecessor(Generation(2)));
        assert_eq!(older[0].role, Role::Older(Generation(1)));
    }
}
