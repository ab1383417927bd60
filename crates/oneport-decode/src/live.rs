//! Listening at an interface, as long as it is asked for (Linux, packet sockets). It takes root, or the capability
//! `CAP_NET_RAW`.

use std::io::{self, ErrorKind, IoSliceMut};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
    recvmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use socket2::{SockFilter, Socket};
use thiserror::Error;

use crate::datagram::RAW;
use crate::file::Packet;
use crate::time::Time;

/// How often is looked whether to go on where nothing comes.
const TICK: Duration = Duration::from_millis(200);

/// Room for packets in the kernel.
const RECEIVE_BUFFER: usize = 8 << 20;

/// The longest datagram.
const LONGEST: usize = 65_536;

/// Name that stands for all interfaces.
const ANY: &str = "any";

/// Why an interface cannot be listened at.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use oneport_decode::live::{LiveError, listen};
///
/// let error = listen("no such one", |_| ControlFlow::Break(())).err();
/// assert!(matches!(error, Some(LiveError::NoInterface(name)) if name == "no such one"));
/// ```
#[derive(Debug, Error)]
pub enum LiveError {
    /// There is no such interface.
    #[error("there is no interface `{0}`")]
    NoInterface(String),
    /// Only root may, or whoever has `CAP_NET_RAW`.
    #[error("only root may listen at an interface")]
    NotAllowed,
    /// The system says no.
    #[error(transparent)]
    Failed(#[from] io::Error),
}

/// Listens at an interface, or at `any`, and shows each packet of IP that may be UDP; without one, now and then nothing,
/// so that whoever listens can end it. Gives back how many packets the kernel had no room for.
///
/// # Errors
/// There is no such interface, or it may not be listened at.
pub fn listen(
    interface: &str,
    mut each: impl FnMut(Option<Packet<'_>>) -> ControlFlow<()>,
) -> Result<u64, LiveError> {
    let index = match interface {
        ANY => None,
        name => Some(if_nametoindex(name).map_err(|_| LiveError::NoInterface(interface.into()))?),
    };
    let family = AddressFamily::Packet;
    let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
        .map_err(|error| match error {
        Errno::EPERM | Errno::EACCES => LiveError::NotAllowed,
        error => LiveError::Failed(error.into()),
    })?;
    let socket = Socket::from(socket);
    socket.attach_filter(&filter(index))?;
    // As much as the system lets us have.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_read_timeout(Some(TICK))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true).map_err(io::Error::from)?;
    setsockopt(&socket, sockopt::RxqOvfl, &1).map_err(io::Error::from)?;
    let mut buffer = vec![0; LONGEST];
    let mut control = nix::cmsg_space!(TimeSpec, u32);
    let (mut number, mut dropped, mut last) = (0, 0, Time::default());
    loop {
        let mut pieces = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::empty();
        let received =
            recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut pieces, Some(&mut control), flags);
        let length = match received {
            Ok(message) => {
                // What came before the filter was there is of other interfaces, too.
                let from =
                    message.address.and_then(|address| u32::try_from(address.ifindex()).ok());
                if index.is_some() && from.is_some() && from != index {
                    continue;
                }
                for said in message.cmsgs().map_err(io::Error::from)? {
                    match said {
                        ControlMessageOwned::ScmTimestampns(at) => last = moment(at),
                        ControlMessageOwned::RxqOvfl(count) => dropped = count.into(),
                        _ => {}
                    }
                }
                message.bytes
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {
                if each(None).is_break() {
                    return Ok(dropped);
                }
                continue;
            }
            Err(error) => {
                let error = io::Error::from(error);
                // It went down: there may be more to come.
                if error.kind() == ErrorKind::NetworkDown {
                    continue;
                }
                return Err(error.into());
            }
        };
        number += 1;
        let data = buffer.get(..length).unwrap_or_default();
        if each(Some(Packet { number, time: last, link: RAW, data })).is_break() {
            return Ok(dropped);
        }
    }
}

fn moment(at: TimeSpec) -> Time {
    let seconds = u64::try_from(at.tv_sec()).unwrap_or_default();
    let nanos = u64::try_from(at.tv_nsec()).unwrap_or_default();
    Time(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// The filter of the kernel: of this interface, and of the loopback not the copies that leave, only IP. What follows
/// its first instruction that does not fit is not looked at.
fn filter(index: Option<u32>) -> Vec<SockFilter> {
    /// `A <- what is asked about the packet`, `if A == k`, `return k`.
    const LOAD: u16 = 0x20;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// Where what is not in the packet is asked for: its protocol, kind, interface.
    const ANCILLARY: u32 = 0xFFFF_F000;
    const PROTOCOL: u32 = ANCILLARY;
    const KIND: u32 = ANCILLARY + 4;
    const INTERFACE: u32 = ANCILLARY + 8;
    const HARDWARE: u32 = ANCILLARY + 28;
    const OUTGOING: u32 = 4;
    const LOOPBACK: u32 = 772;
    let step = SockFilter::new;
    let mut steps = Vec::new();
    if let Some(index) = index {
        steps.push(step(LOAD, 0, 0, INTERFACE));
        steps.push(step(IF_EQUAL, 1, 0, index));
        steps.push(step(RETURN, 0, 0, 0));
    }
    steps.extend([
        // The loopback shows each packet as it leaves and as it comes.
        step(LOAD, 0, 0, HARDWARE),
        step(IF_EQUAL, 0, 3, LOOPBACK),
        step(LOAD, 0, 0, KIND),
        step(IF_EQUAL, 0, 1, OUTGOING),
        step(RETURN, 0, 0, 0),
        step(LOAD, 0, 0, PROTOCOL),
        step(IF_EQUAL, 1, 0, 0x0800),
        step(IF_EQUAL, 0, 1, 0x86DD),
        step(RETURN, 0, 0, u32::MAX),
        step(RETURN, 0, 0, 0),
    ]);
    steps
}
