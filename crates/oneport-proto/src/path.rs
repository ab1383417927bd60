//! Where datagrams come from and go to.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// The two ends of a datagram's way: the peer's address and, where it is known, our own.
///
/// Answers leave from the address and port that received the question, or a peer behind a firewall,
/// one that dialled an alias such as 127.0.1.1, or one that called another of our ports never sees
/// them.
///
/// ```
/// use std::net::SocketAddr;
///
/// use oneport_proto::Path;
///
/// let peer: SocketAddr = "192.0.2.1:4569".parse()?;
/// // An answer has to leave from the address that was asked.
/// let path = Path { local: Some("198.51.100.7".parse()?), ..Path::from(peer) };
/// assert_eq!(path.to_string(), "192.0.2.1:4569");
/// assert_eq!(path.local_port, None);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Path {
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// Our address; `None` lets the system choose.
    pub local: Option<IpAddr>,
    /// Our port, where there are several; `None`: any.
    pub local_port: Option<u16>,
}

impl From<SocketAddr> for Path {
    fn from(remote: SocketAddr) -> Self {
        Self { remote, local: None, local_port: None }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.remote.fmt(f)
    }
}
