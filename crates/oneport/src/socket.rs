//! UDP sockets with batches in both directions.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use oneport_proto::Path;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Bytes asked for in each direction; the system may give less.
const BUFFER: usize = 8 << 20;
/// Room for one receive: 64 KiB, which the kernel may fill with many datagrams of one sender.
const RECEIVE: usize = 65_536;

/// One bound socket.
pub(crate) struct BatchSocket {
    io: UdpSocket,
    state: UdpSocketState,
    address: SocketAddr,
}

impl BatchSocket {
    /// Binds; must run inside a tokio runtime.
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        let io = UdpSocket::from_std(socket.into())?;
        let state = UdpSocketState::new((&io).into())?;
        let address = io.local_addr()?;
        Ok(Self { io, state, address })
    }

    /// Whether datagrams on `path` should leave here.
    fn suits(&self, path: &Path) -> bool {
        let own = self.address.ip();
        self.address.is_ipv4() == path.remote.is_ipv4()
            && (own.is_unspecified() || path.local.is_none_or(|local| local == own))
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_recv_ready(cx)
    }

    /// Receives what is there, up to one batch; `false` when nothing is.
    pub(crate) fn receive(
        &self,
        buffers: &mut ReceiveBuffers,
        mut take: impl FnMut(Path, &mut [u8]),
    ) -> bool {
        let ReceiveBuffers { bytes, metas } = buffers;
        let mut slices = bytes.chunks_exact_mut(RECEIVE).map(IoSliceMut::new);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
        let received = self
            .io
            .try_io(Interest::READABLE, || self.state.recv((&self.io).into(), &mut slices, metas));
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => {
                // Such as ICMP "port unreachable" for something sent before.
                tracing::debug!(%error, "receive");
                return true;
            }
        };
        for (meta, slice) in metas.iter().zip(&mut slices).take(count) {
            let path = Path { remote: meta.addr, local: meta.dst_ip };
            let stride = meta.stride.max(1);
            for datagram in slice[..meta.len].chunks_mut(stride) {
                take(path, datagram);
            }
        }
        true
    }

    /// Sends one batch. What cannot be sent is lost, as anywhere on the way; reliable frames are
    /// sent again.
    pub(crate) async fn send(&self, transmit: &oneport_proto::Transmit, bytes: &[u8]) {
        let local: Option<IpAddr> = transmit.path.local;
        let batch = Transmit {
            destination: transmit.path.remote,
            ecn: None,
            contents: bytes,
            segment_size: transmit.segment_size,
            src_ip: local,
        };
        loop {
            let sent = self
                .io
                .try_io(Interest::WRITABLE, || self.state.try_send((&self.io).into(), &batch));
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.io.writable().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, to = %transmit.path.remote, "send");
                    return;
                }
                Ok(()) => return,
            }
        }
    }

    /// How many datagrams one send may carry.
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }
}

/// The socket for a path among all.
pub(crate) fn choose<'a>(sockets: &'a [BatchSocket], path: &Path) -> Option<&'a BatchSocket> {
    let family = |socket: &&BatchSocket| socket.address.is_ipv4() == path.remote.is_ipv4();
    sockets.iter().find(|socket| socket.suits(path)).or_else(|| sockets.iter().find(family))
}

/// Waits until any of `sockets` can be read.
pub(crate) async fn readable(sockets: &[BatchSocket]) {
    std::future::poll_fn(|cx| {
        for socket in sockets {
            if socket.poll_readable(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    })
    .await;
}

/// Space for one batch.
pub(crate) struct ReceiveBuffers {
    bytes: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
}

impl ReceiveBuffers {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; RECEIVE * BATCH_SIZE], metas: [RecvMeta::default(); BATCH_SIZE] }
    }
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
