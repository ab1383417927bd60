//! UDP sockets with batches in both directions.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, IoSliceMut, Read as _};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use oneport_proto::Path;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;
use smallvec::SmallVec;
use socket2::{Domain, Protocol, Socket, Type};

use crate::succession::Channel;
use crate::waker::WakeUps;
use crate::workload::thread_cpu;

/// Bytes asked for in each direction; the system may give less.
const BUFFER: usize = 8 << 20;
/// Room for one receive: 64 KiB, which the kernel may fill with many datagrams of one sender.
const RECEIVE: usize = 65_536;
/// Addresses to which bundles do not go, of which no more are remembered.
const ONE_BY_ONE: usize = 1_024;

/// One bound socket.
pub(crate) struct BatchSocket {
    io: UdpSocket,
    state: UdpSocketState,
    address: SocketAddr,
    kernel: KernelDrops,
    /// Where bundles do not go: a network card or the IPsec on the way cannot take them apart, or its datagrams are
    /// smaller.
    one_by_one: RefCell<HashSet<SocketAddr>>,
    /// Whether something has arrived, as [`wait`] has seen it.
    pub(crate) is_readable: bool,
}

impl BatchSocket {
    /// Takes a socket of [`bind`].
    ///
    /// # Errors
    /// The system does not tell its address, or cannot batch.
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        let io = UdpSocket::from(socket);
        let address = io.local_addr()?;
        #[cfg(target_os = "linux")]
        let state = {
            ask_for(&io, address.is_ipv6())?;
            // By what it learns of another socket: on this one it would have the kernel tell, of each datagram, when it
            // came and its class of traffic, which nobody reads, and forbid to take apart what is too long.
            let other =
                Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
            UdpSocketState::new((&other).into())?
        };
        #[cfg(not(target_os = "linux"))]
        let state = UdpSocketState::new((&io).into())?;
        let kernel = KernelDrops::of(&io, address.is_ipv6());
        let one_by_one = RefCell::default();
        Ok(Self { io, state, address, kernel, one_by_one, is_readable: true })
    }

    /// Takes a socket that another process has bound, or had. What was dropped at it before was told before.
    ///
    /// # Errors
    /// The system does not tell its address, or cannot batch.
    pub(crate) fn taken_over(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = Socket::from(socket);
        // Less than asked for is no error.
        let _ = socket.set_recv_buffer_size(BUFFER);
        let _ = socket.set_send_buffer_size(BUFFER);
        let mut socket = Self::new(socket)?;
        let _ = socket.new_kernel_drops();
        Ok(socket)
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether datagrams on `path` should leave here.
    fn suits(&self, path: &Path) -> bool {
        let own = self.address.ip();
        self.address.is_ipv4() == path.remote.is_ipv4()
            && path.local_port.is_none_or(|port| port == self.address.port())
            && (own.is_unspecified() || path.local.is_none_or(|local| local == own))
    }

    /// Our end of a path over this socket, as far as it is known.
    pub(crate) fn local_of(&self, path: &Path) -> SocketAddr {
        let ip = path.local.unwrap_or_else(|| self.address.ip());
        SocketAddr::new(ip, self.address.port())
    }

    /// Receives what is there, up to one batch, and gives the number of bundles in `buffers`. No
    /// datagram is cut: the room is that of the largest there is.
    ///
    /// # Errors
    /// The system reports one, such as ICMP "port unreachable" for something sent before.
    pub(crate) fn receive(&self, buffers: &mut ReceiveBuffers) -> io::Result<usize> {
        let ReceiveBuffers { bytes, metas } = buffers;
        let mut slices = bytes.chunks_exact_mut(RECEIVE).map(IoSliceMut::new);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
        match self.state.recv((&self.io).into(), &mut slices, metas) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => {
                tracing::debug!(%error, "receive");
                Err(error)
            }
            Ok(count) => Ok(count),
        }
    }

    /// How many datagrams the kernel has dropped since this was last asked, because the socket's
    /// buffer was full; 0 where it does not say.
    pub(crate) fn new_kernel_drops(&mut self) -> u64 {
        self.kernel.new_drops()
    }

    /// The path of what came from `meta`.
    pub(crate) fn path_of(&self, meta: &RecvMeta) -> Path {
        Path { remote: meta.addr, local: meta.dst_ip, local_port: Some(self.address.port()) }
    }

    /// Sends one batch. What cannot be sent is lost, as anywhere on the way; reliable frames are
    /// sent again. A bundle that the system refuses leaves one datagram by one, there and from then on.
    ///
    /// # Errors
    /// The system would not send it, or not all of it.
    pub(crate) fn send(&self, transmit: &oneport_proto::Transmit, bytes: &[u8]) -> io::Result<()> {
        let to = transmit.path.remote;
        let Some(size) = transmit.segment_size else { return self.send_as(transmit, bytes, None) };
        if !self.one_by_one.borrow().contains(&to) {
            match self.send_as(transmit, bytes, Some(size)) {
                Err(error) if refuses_bundles(&error) => {
                    tracing::debug!(%to, "bundles are refused");
                    let mut known = self.one_by_one.borrow_mut();
                    if known.len() >= ONE_BY_ONE {
                        known.clear();
                    }
                    known.insert(to);
                }
                result => return result,
            }
        }
        let mut result = Ok(());
        for datagram in bytes.chunks(size.max(1)) {
            // Those behind one that is lost leave all the same.
            let sent = self.send_as(transmit, datagram, None);
            result = result.and(sent);
        }
        result
    }

    fn send_as(
        &self,
        transmit: &oneport_proto::Transmit,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        let local: Option<IpAddr> = transmit.path.local;
        let destination = transmit.path.remote;
        let batch = Transmit { destination, ecn: None, contents, segment_size, src_ip: local };
        loop {
            match self.state.try_send((&self.io).into(), &batch) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.io, PollFlags::OUT)], None)?;
                }
                Err(error) => {
                    tracing::debug!(%error, to = %destination, "send");
                    return Err(error);
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    /// How many datagrams one send may carry.
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }
}

/// Whether a bundle may have been refused because it is one.
fn refuses_bundles(error: &io::Error) -> bool {
    let errors = [Errno::IO, Errno::INVAL, Errno::MSGSIZE];
    errors.iter().any(|one| error.raw_os_error() == Some(one.raw_os_error()))
}

/// Asks the kernel for bundles of what comes, and for our end of its way. Lets it learn how large datagrams may be on
/// each way, and take apart what is larger, as it does for any socket: a full frame may be longer than a network takes
/// (RFC 5456 knows no limit), and must not stay here.
#[cfg(target_os = "linux")]
fn ask_for(io: &UdpSocket, is_ipv6: bool) -> io::Result<()> {
    use nix::sys::socket::setsockopt;
    use nix::sys::socket::sockopt::{
        Ipv4PacketInfo, Ipv6DontFrag, Ipv6RecvPacketInfo, UdpGroSegment,
    };
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
    };

    // A kernel that has no bundles hands over one by one.
    let _ = setsockopt(io, UdpGroSegment, &true);
    if is_ipv6 {
        setsockopt(io, Ipv6RecvPacketInfo, &true)?;
        set_ipv6_mtu_discover(io, Ipv6PathMtuDiscovery::WANT)?;
        setsockopt(io, Ipv6DontFrag, &false)?;
    } else {
        setsockopt(io, Ipv4PacketInfo, &true)?;
        set_ip_mtu_discover(io, Ipv4PathMtuDiscovery::WANT)?;
    }
    Ok(())
}

/// The socket for a path among all.
pub(crate) fn choose<'a>(sockets: &'a [BatchSocket], path: &Path) -> Option<&'a BatchSocket> {
    let family = |socket: &&BatchSocket| socket.address.is_ipv4() == path.remote.is_ipv4();
    sockets.iter().find(|socket| socket.suits(path)).or_else(|| sockets.iter().find(family))
}

impl AsFd for BatchSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

/// What an endpoint waits for.
pub(crate) struct Watched<'a> {
    pub(crate) sockets: &'a mut [BatchSocket],
    pub(crate) channels: SmallVec<[&'a mut Channel; 4]>,
    /// What its application waits for besides.
    pub(crate) other: Option<BorrowedFd<'a>>,
}

/// Leaves all alone until `wake_ups` is woken, or the time is over.
pub(crate) fn rest(wake_ups: &WakeUps, longest: Duration) {
    let longest = Timespec::try_from(longest).ok();
    // A signal ends it as well.
    let _ = poll(&mut [PollFd::new(wake_ups, PollFlags::IN)], longest.as_ref());
}

/// Waits until something has arrived for one of these, `wake_ups` is woken or the time is over, and does not sleep
/// in the first of it, `sleepless`; notes which of the sockets and channels can be read. Gives of each whether
/// `other` can, and the CPU time that went by without sleep.
pub(crate) fn wait(
    mut all: SmallVec<[Watched<'_>; 2]>,
    wake_ups: &WakeUps,
    longest: Duration,
    sleepless: Duration,
) -> (SmallVec<[bool; 2]>, Duration) {
    let mut polled: SmallVec<[PollFd<'_>; 8]> = SmallVec::new();
    for one in &all {
        polled.extend(one.sockets.iter().map(|socket| PollFd::new(&socket.io, PollFlags::IN)));
        polled.extend(one.channels.iter().map(|channel| {
            let room = if channel.is_flushed() { PollFlags::empty() } else { PollFlags::OUT };
            PollFd::new(&**channel, PollFlags::IN | room)
        }));
        polled.extend(one.other.map(|other| PollFd::from_borrowed_fd(other, PollFlags::IN)));
    }
    polled.push(PollFd::new(wake_ups, PollFlags::IN));
    let (found, looked) = look_for(&mut polled, longest.min(sleepless));
    // An error, or a signal, ends it as an arrival does: the next look at the sockets tells.
    let failed = match found {
        Ok(0) => {
            let rest = Timespec::try_from(longest.saturating_sub(sleepless)).ok();
            poll(&mut polled, rest.as_ref()).is_err()
        }
        found => found.is_err(),
    };
    let ready: SmallVec<[bool; 8]> =
        polled.iter().map(|polled| failed || !polled.revents().is_empty()).collect();
    drop(polled);
    if ready.last() == Some(&true) {
        wake_ups.clear();
    }
    let mut ready = ready.into_iter();
    let mut next = || ready.next().unwrap_or_default();
    let look = |one: &mut Watched<'_>| {
        one.sockets.iter_mut().for_each(|socket| socket.is_readable = next());
        one.channels.iter_mut().for_each(|channel| channel.is_readable = next());
        one.other.is_some() && next()
    };
    (all.iter_mut().map(look).collect(), looked)
}

/// Looks for arrivals, again and again without a rest, until there is one or the time is over. Gives how many, and
/// the CPU time of it.
fn look_for(polled: &mut [PollFd<'_>], longest: Duration) -> (Result<usize, Errno>, Duration) {
    let mut found = Ok(0);
    if longest.is_zero() {
        return (found, Duration::ZERO);
    }
    let (begun, cpu) = (Instant::now(), thread_cpu());
    while found == Ok(0) && begun.elapsed() < longest {
        found = poll(polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    }
    let used = thread_cpu().zip(cpu).map(|(cpu, before)| cpu.saturating_sub(before));
    (found, used.unwrap_or_default())
}

/// Space for one batch.
pub(crate) struct ReceiveBuffers {
    bytes: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
}

impl ReceiveBuffers {
    /// Bundles that one receive takes at most.
    pub(crate) const BUNDLES: usize = BATCH_SIZE;

    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; RECEIVE * BATCH_SIZE], metas: [RecvMeta::default(); BATCH_SIZE] }
    }

    /// How many of the first `count` bundles are media: they begin with a mini frame or a meta frame, and no full
    /// frame (RFC 5456, 8.1).
    pub(crate) fn of_media(&self, count: usize) -> u32 {
        let bundles = self.metas.iter().zip(self.bytes.chunks_exact(RECEIVE)).take(count);
        let is_media = |(meta, bytes): (&RecvMeta, &[u8])| {
            meta.len > 0 && bytes.first().is_some_and(|first| first & 0x80 == 0)
        };
        bundles.map(|bundle| u32::from(is_media(bundle))).sum()
    }

    /// The datagrams of the first bundles, `count` of them, with all that is known of their way.
    pub(crate) fn datagrams(
        &mut self,
        count: usize,
    ) -> impl Iterator<Item = (&RecvMeta, &mut [u8])> {
        let bundles = self.metas.iter().zip(self.bytes.chunks_exact_mut(RECEIVE)).take(count);
        bundles.flat_map(|(meta, bytes)| {
            let all = bytes[..meta.len].chunks_mut(meta.stride.max(1));
            all.map(move |datagram| (meta, datagram))
        })
    }
}

/// What the kernel says it has dropped of one socket: the last column of Linux's `/proc/net/udp`.
struct KernelDrops {
    inode: Option<u64>,
    table: &'static str,
    /// Of the table, so that nothing is allocated at each look.
    text: String,
    known: u64,
}

impl KernelDrops {
    fn of(io: &UdpSocket, is_ipv6: bool) -> Self {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", io.as_raw_fd())).ok();
        let inode = link.as_deref().and_then(|link| {
            link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        });
        let table =
            if is_ipv6 { "/proc/thread-self/net/udp6" } else { "/proc/thread-self/net/udp" };
        Self { inode, table, text: String::new(), known: 0 }
    }

    fn new_drops(&mut self) -> u64 {
        let Some(inode) = self.inode else { return 0 };
        self.text.clear();
        // What cannot be read has no line of this socket.
        let _ = File::open(self.table).and_then(|mut table| table.read_to_string(&mut self.text));
        let Some(drops) = drops_in(&self.text, inode) else { return 0 };
        // The column has 32 bits.
        let new = drops.checked_sub(self.known).unwrap_or(drops);
        self.known = drops;
        new
    }
}

/// The count of the socket `inode` in a table of `/proc/net/udp`.
fn drops_in(table: &str, inode: u64) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let own = columns.nth(9)?.parse() == Ok(inode);
        own.then(|| columns.last()?.parse().ok()).flatten()
    })
}

/// Binds a socket of our kind: IPv6 apart from IPv4, large buffers, not blocking.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // Less than asked for is no error.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CloneFlags, unshare};

    #[test]
    fn a_wait_ends_with_what_arrives_or_its_time_whether_it_sleeps_or_not() {
        let bound = bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        let mut sockets = [BatchSocket::new(bound).expect("a socket")];
        let address = sockets[0].address();
        let (waker, wake_ups) = crate::waker::pair().expect("descriptors");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let mut buffers = ReceiveBuffers::new();
        let mut arrived = |sleepless, longest| {
            let all = Watched { sockets: &mut sockets, channels: SmallVec::new(), other: None };
            let (_, looked) = wait(smallvec::smallvec![all], &wake_ups, longest, sleepless);
            let [socket] = &mut sockets;
            let count =
                if socket.is_readable { socket.receive(&mut buffers).expect("read") } else { 0 };
            (count, looked.is_zero())
        };
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(600));
        // At once, in the part without sleep, and behind it.
        for (sleepless, sleeps) in [(Duration::ZERO, true), (long, false), (short, false)] {
            assert_eq!(arrived(sleepless, short), (0, sleeps), "nothing has come");
            sender.send_to(&[0; 12], address).expect("sent");
            assert_eq!(arrived(sleepless, long).0, 1);
            waker.wake();
            assert_eq!(arrived(sleepless, long).0, 0, "woken, and nothing came");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_tells_what_is_read_and_no_more() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let bound = || bind(any.parse().expect("an address")).expect("bound");
            let [receiver, sender] =
                [bound(), bound()].map(|socket| BatchSocket::new(socket).expect("a socket"));
            let path = Path::from(receiver.address());
            let mut buffers = ReceiveBuffers::new();
            for first in [0x00, 0x80] {
                let transmit = oneport_proto::Transmit { path, len: 24, segment_size: Some(12) };
                sender.send(&transmit, &[first; 24]).expect("sent");
                assert_eq!(receiver.receive(&mut buffers).expect("read"), 1, "one bundle, {any}");
                assert_eq!(buffers.datagrams(1).count(), 2, "{any}");
                assert_eq!(buffers.of_media(1), u32::from(first == 0), "{any}");
                let told = buffers.metas[0];
                assert_eq!(told.dst_ip, Some(receiver.address().ip()), "{any}");
                assert_eq!((told.timestamp, told.ecn), (None, None), "{any}");
            }
        }
    }

    #[test]
    fn what_the_kernel_drops_is_counted() {
        let bound = bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        bound.set_recv_buffer_size(8_192).expect("a size");
        let mut socket = BatchSocket::new(bound).expect("a socket");
        if socket.kernel.inode.is_none() {
            // Systems other than Linux do not say.
            return;
        }
        assert_eq!(socket.new_kernel_drops(), 0);
        let sender = UdpSocket::bind("127.0.0.1:0").expect("bound");
        for _ in 0..100 {
            sender.send_to(&[0; 1_000], socket.address).expect("sent");
        }
        let mut buffers = ReceiveBuffers::new();
        let mut received = 0_u64;
        while let count @ 1.. = socket.receive(&mut buffers).expect("no error") {
            received += buffers.datagrams(count).count() as u64;
        }
        assert!(received < 100, "all {received} were held");
        assert_eq!(socket.new_kernel_drops(), 100 - received);
        assert_eq!(socket.new_kernel_drops(), 0, "each is told once");
    }

    /// A network of its own, whose only link takes datagrams of 1,280 bytes: what is done there is done on a thread.
    fn in_a_small_network(work: impl FnOnce() + Send + 'static) {
        oneport_testkit::peers::program_of("ip", "iproute2").expect("iproute2");
        let there = move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("namespaces: this needs root");
            let link = ["link", "set", "lo", "up", "mtu", "1280"];
            assert!(std::process::Command::new("ip").args(link).status().expect("runs").success());
            work();
        };
        std::thread::spawn(there).join().expect("no panic");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn bundles_and_datagrams_larger_than_the_network_takes_arrive() {
        in_a_small_network(|| {
            for any in ["127.0.0.1:0", "[::1]:0"] {
                let bound = || bind(any.parse().expect("an address")).expect("bound");
                let receiver = BatchSocket::new(bound()).expect("a socket");
                let sender = BatchSocket::new(bound()).expect("a socket");
                let mut buffers = ReceiveBuffers::new();
                let mut lengths = || {
                    let mut lengths = Vec::new();
                    while let count @ 1.. = receiver.receive(&mut buffers).expect("no error") {
                        lengths.extend(buffers.datagrams(count).map(|(_, bytes)| bytes.len()));
                    }
                    lengths
                };
                let path = Path::from(receiver.address());
                let send = |len: usize, segment_size| {
                    let transmit = oneport_proto::Transmit { path, len, segment_size };
                    sender.send(&transmit, &vec![7; len]).expect("sent");
                };
                // Trunk frames of 1,364 bytes, twice, and a full frame of the longest that there is.
                for round in 0..2 {
                    send(10 * 1_364 + 100, Some(1_364));
                    let whole = [vec![1_364; 10], vec![100]].concat();
                    assert_eq!(lengths(), whole, "{any}, round {round}");
                }
                assert!(sender.one_by_one.borrow().contains(&receiver.address()), "{any}");
                send(4_012, None);
                assert_eq!(lengths(), [4_012], "{any}");
                // What is small enough still leaves in bundles.
                sender.one_by_one.borrow_mut().clear();
                send(5 * 172, Some(172));
                assert_eq!((lengths(), sender.one_by_one.borrow().len()), (vec![172; 5], 0));
            }
        });
    }

    #[test]
    fn answers_leave_from_the_port_that_was_asked() {
        let bound = || bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        let sockets: Vec<BatchSocket> =
            (0..3).map(|_| BatchSocket::new(bound()).expect("a socket")).collect();
        let remote = "127.0.0.1:9".parse().expect("an address");
        for socket in &sockets {
            let local = Some(socket.address.ip());
            let path = Path { remote, local, local_port: Some(socket.address.port()) };
            let chosen = choose(&sockets, &path).expect("one of them");
            assert_eq!(chosen.address, socket.address);
        }
        let any = choose(&sockets, &Path::from(remote)).expect("one of them");
        assert_eq!(any.address, sockets[0].address);
    }
}
