//! What one gateway leaves to that of a newer process: its sockets, and what is known of calls, carriers and those who
//! want to be told of something. Dialogs stay where they are (`elsewhere`).

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use super::settings::Transport;

/// A socket of SIP that goes over to another process.
///
/// ```
/// use std::net::UdpSocket;
///
/// use oneport_switch::sip::SipSocket;
///
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// let address = socket.local_addr()?;
/// let inherited = SipSocket::inherited("udp", address, socket.into()).ok_or("unknown")?;
/// assert_eq!((inherited.transport, inherited.address), ("udp", address));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SipSocket {
    /// What it carries, by its name.
    pub transport: &'static str,
    /// Its address, as it was configured.
    pub address: SocketAddr,
    /// Its descriptor.
    pub socket: OwnedFd,
}

impl SipSocket {
    /// One that another process has handed over; `None`: this one knows no such transport.
    #[must_use]
    pub fn inherited(transport: &str, address: SocketAddr, socket: OwnedFd) -> Option<Self> {
        Some(Self { transport: Transport::named(transport)?.name(), address, socket })
    }
}

/// What gateways of several processes say to each other.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum SipWord {
    /// Of an older process: it reads no more, and the newest may.
    Leaves(Box<Legacy>),
    /// Of an older one: Call-IDs of calls that it has begun since.
    Begun(Vec<String>),
    /// Of an older one: so many calls are up.
    Calls(usize),
    /// Of the newest: what has come at a socket, in Base64, and from where.
    Datagram {
        /// Our address.
        at: SocketAddr,
        /// Theirs.
        from: SocketAddr,
        /// Itself.
        bytes: String,
    },
    /// Of the newest: what has come by a connection of its own, in Base64.
    Streamed {
        /// What carries it, by its name.
        transport: String,
        /// Who is at the other end.
        peer: SocketAddr,
        /// Itself.
        bytes: String,
    },
    /// Of an older one: what is to be sent by such a connection.
    Answered {
        /// What carries it, by its name.
        transport: String,
        /// Who is at the other end.
        peer: SocketAddr,
        /// Itself.
        bytes: String,
    },
}

/// What a gateway leaves when it stops reading.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Legacy {
    /// Call-IDs of each process.
    pub(crate) calls: Vec<(u32, Vec<String>)>,
    /// How many calls each has.
    pub(crate) up: Vec<(u32, usize)>,
    pub(crate) carriers: Vec<KnownCarrier>,
    pub(crate) subscriptions: Vec<Subscription>,
}

/// How a carrier stood.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct KnownCarrier {
    pub(crate) name: String,
    /// Transports and addresses of its servers, those that answer first.
    pub(crate) servers: Vec<(String, SocketAddr)>,
    pub(crate) answers: Option<bool>,
}

/// Somebody who is told of something, and how (RFC 6665): headers and URIs as they are written.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Subscription {
    /// Whose it is.
    pub(crate) name: String,
    pub(crate) call_id: String,
    pub(crate) our_tag: String,
    pub(crate) their_tag: String,
    pub(crate) us: String,
    pub(crate) them: String,
    pub(crate) target: String,
    pub(crate) contact: String,
    pub(crate) transport: String,
    pub(crate) address: SocketAddr,
    /// Of the last request of ours.
    pub(crate) sequence: u32,
    /// For so many seconds yet.
    pub(crate) left: u32,
}
