//! The least that a relay can be: datagrams of one party go to the other as they came, and nothing is
//! looked at. What a switch costs more than this is what it does with them.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::sys::socket::sockopt::{RcvBuf, SndBuf, UdpGroSegment};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, recvmsg,
    sendmmsg, sendmsg, setsockopt,
};

/// Datagrams taken and sent by one system call.
const BATCH: usize = 64;
/// Bytes of the greatest datagram that is relayed, and of the greatest bundle of them.
const DATAGRAM: usize = 2_048;
/// Bytes that one system call may send, headers left out.
const LONGEST_RUN: usize = 65_000;
const BUNDLE: usize = 65_536;
/// Bytes asked for in each direction, as by the switch.
const BUFFER: usize = 8 << 20;

/// How it asks the kernel for datagrams.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Way {
    /// Many datagrams a system call (`recvmmsg`, `sendmmsg`).
    Batches,
    /// Many datagrams a system call coming in (`recvmmsg`), and as many as fit to one party in one
    /// going out (`UDP_SEGMENT`).
    Gathered,
    /// Bundles that the kernel puts together and takes apart (`UDP_GRO`, `UDP_SEGMENT`).
    Bundles,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Batches, Self::Gathered, Self::Bundles];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Batches => "batches",
            Self::Gathered => "gathered",
            Self::Bundles => "bundles",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }
}

/// Relays between whoever calls `listen` and `callee`, until the process is killed.
pub(crate) fn run(listen: SocketAddrV4, callee: SocketAddrV4, way: Way) -> nix::Result<()> {
    let socket = UdpSocket::bind(SocketAddr::V4(listen)).expect("a free address");
    // Less than asked for is no error.
    let _ = setsockopt(&socket, RcvBuf, &BUFFER);
    let _ = setsockopt(&socket, SndBuf, &BUFFER);
    let callee = SockaddrIn::from(callee);
    match way {
        Way::Batches => batches(&socket, callee, false),
        Way::Gathered => batches(&socket, callee, true),
        Way::Bundles => bundles(&socket, callee),
    }
}

/// Where a datagram from `from` goes; the caller is whoever is not the callee.
fn other(from: SockaddrIn, callee: SockaddrIn, caller: &mut SockaddrIn) -> SockaddrIn {
    if from == callee {
        return *caller;
    }
    *caller = from;
    callee
}

fn batches(socket: &UdpSocket, callee: SockaddrIn, gather: bool) -> nix::Result<()> {
    let fd = socket.as_raw_fd();
    let mut caller = callee;
    let mut room = vec![[0_u8; DATAGRAM]; BATCH];
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut sending = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    loop {
        let mut lengths = Vec::with_capacity(BATCH);
        {
            let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                room.iter_mut().map(|datagram| [IoSliceMut::new(datagram)]).collect();
            let flags = MsgFlags::MSG_WAITFORONE;
            for message in recvmmsg(fd, &mut headers, slices.iter_mut(), flags, None)? {
                let from = message.address.expect("datagrams have senders");
                lengths.push((message.bytes, other(from, callee, &mut caller)));
            }
        }
        let slices: Vec<[IoSlice<'_>; 1]> = room
            .iter()
            .zip(&lengths)
            .map(|(datagram, (bytes, _))| [IoSlice::new(&datagram[..*bytes])])
            .collect();
        if gather {
            // Runs of the same length to the same party; the last of a run may be shorter.
            let mut rest = room.as_slice();
            let run_length = |run: &[(usize, SockaddrIn)]| LONGEST_RUN / run[0].0.max(1);
            let runs = lengths.chunk_by(|a, b| a == b);
            for run in runs.flat_map(|run| run.chunks(run_length(run))) {
                let (datagrams, behind) = rest.split_at(run.len());
                rest = behind;
                let slices: Vec<IoSlice<'_>> =
                    datagrams.iter().map(|datagram| IoSlice::new(&datagram[..run[0].0])).collect();
                let size = u16::try_from(run[0].0).ok().filter(|_| run.len() > 1);
                let control = size.as_ref().map(ControlMessage::UdpGsoSegments);
                let to = Some(&run[0].1);
                sendmsg(fd, &slices, control.as_slice(), MsgFlags::empty(), to)?;
            }
            continue;
        }
        let to: Vec<Option<SockaddrIn>> = lengths.iter().map(|(_, to)| Some(*to)).collect();
        sendmmsg(fd, &mut sending, &slices, &to, [], MsgFlags::empty())?;
    }
}

fn bundles(socket: &UdpSocket, callee: SockaddrIn) -> nix::Result<()> {
    setsockopt(socket, UdpGroSegment, &true)?;
    let fd = socket.as_raw_fd();
    let mut caller = callee;
    let mut room = vec![0_u8; BUNDLE];
    let mut control = cmsg_space!(i32);
    loop {
        let (bytes, segment, to) = {
            let mut slices = [IoSliceMut::new(&mut room)];
            let flags = MsgFlags::empty();
            let message = recvmsg::<SockaddrIn>(fd, &mut slices, Some(&mut control), flags)?;
            let segment = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::UdpGroSegments(size) => u16::try_from(size).ok(),
                _ => None,
            });
            let from = message.address.expect("datagrams have senders");
            (message.bytes, segment, other(from, callee, &mut caller))
        };
        let slices = [IoSlice::new(&room[..bytes])];
        let size = segment.filter(|size| usize::from(*size) < bytes);
        let control = size.as_ref().map(ControlMessage::UdpGsoSegments);
        sendmsg(fd, &slices, control.as_slice(), MsgFlags::empty(), Some(&to))?;
    }
}
