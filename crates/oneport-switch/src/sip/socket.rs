//! The socket of SIP over UDP, as the SIP library reads it: what strangers send, what is no message
//! of SIP, and what another process has the dialog of does not reach it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use rsipstack::Result;
use rsipstack::platform::net::UdpSocket as LibrarySocket;
use rsipstack::sip::Method;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Mutex, watch};

use super::elsewhere::{Elsewhere, Handed};
use super::screen::{Verdict, look_at};
use super::stack::Door;

/// What says that somebody is still there (RFC 5626 §3.5.1).
const KEEP_ALIVE: &[u8] = b"\r\n\r\n";

/// Where a datagram has come from, and how.
struct Came {
    length: usize,
    from: SocketAddr,
    /// Another process has received it, for us.
    is_handed: bool,
}

/// A socket that lets in what may come in.
pub(super) struct Screened {
    socket: UdpSocket,
    address: SocketAddr,
    door: Arc<dyn Door>,
    elsewhere: Arc<Elsewhere>,
    /// Whether this process reads it.
    reads: watch::Receiver<bool>,
    /// What another has read of it for us.
    handed: Mutex<UnboundedReceiver<Handed>>,
}

impl Screened {
    pub(super) fn new(
        socket: std::net::UdpSocket,
        door: Arc<dyn Door>,
        elsewhere: Arc<Elsewhere>,
        reads: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let address = socket.local_addr()?;
        let handed = Mutex::new(elsewhere.inlet(address));
        Ok(Self { socket, address, door, elsewhere, reads, handed })
    }

    /// The next datagram. The socket is not touched as long as another process reads it.
    async fn next(&self, buffer: &mut [u8]) -> io::Result<Came> {
        let mut handed = self.handed.lock().await;
        let mut reads = self.reads.clone();
        loop {
            let is_reading = *reads.borrow_and_update();
            tokio::select! {
                biased;
                Ok(()) = reads.changed() => {}
                Some((from, datagram)) = handed.recv() => {
                    // What is longer than any message that is read is none.
                    let Some(place) = buffer.get_mut(..datagram.len()) else { continue };
                    place.copy_from_slice(&datagram);
                    return Ok(Came { length: datagram.len(), from, is_handed: true });
                }
                ready = self.socket.readable(), if is_reading => {
                    ready?;
                    match self.socket.try_recv_from(buffer) {
                        Ok((length, from)) => return Ok(Came { length, from, is_handed: false }),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                else => std::future::pending().await,
            }
        }
    }

    async fn receive(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        loop {
            let Came { length, from, is_handed } = self.next(buffer).await?;
            let Some(datagram) = buffer.get(..length) else { continue };
            // Whoever has the dialog knows whom it lets in.
            if !is_handed && self.elsewhere.takes(self.address, from, datagram) {
                continue;
            }
            if !self.door.knows(from.ip().to_canonical()) {
                continue;
            }
            if datagram == KEEP_ALIVE || datagram.trim_ascii().is_empty() {
                return Ok((length, from));
            }
            match look_at(datagram, |method| method.parse::<Method>().is_ok()) {
                Verdict::Passes => {
                    if !is_handed {
                        self.elsewhere.shows(self.address, from, datagram);
                    }
                    return Ok((length, from));
                }
                Verdict::PassesAs(tidied) => match buffer.get_mut(..tidied.len()) {
                    Some(place) => {
                        place.copy_from_slice(&tidied);
                        return Ok((tidied.len(), from));
                    }
                    None => return Ok((length, from)),
                },
                Verdict::IsDropped => tracing::debug!("SIP: {from}: no message, or no request"),
                // Strangers hear nothing, whatever they send.
                Verdict::IsAnswered(_)
                    if !self.door.admits(from.ip().to_canonical(), false, None) => {}
                Verdict::IsAnswered(answer) => {
                    tracing::debug!("SIP: {from}: {}", answer.lines().next().unwrap_or_default());
                    // Whoever does not hear it asks again.
                    let _ = self.socket.send_to(answer.as_bytes(), from).await;
                }
            }
        }
    }
}

/// What the library calls; its trait is written for a macro that is not used here.
type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl LibrarySocket for Screened {
    fn recv_from<'socket, 'buffer, 'both>(
        &'socket self,
        buffer: &'buffer mut [u8],
    ) -> Later<'both, (usize, SocketAddr)>
    where
        'socket: 'both,
        'buffer: 'both,
    {
        Box::pin(self.receive(buffer))
    }

    fn send_to<'socket, 'buffer, 'both>(
        &'socket self,
        buffer: &'buffer [u8],
        to: SocketAddr,
    ) -> Later<'both, usize>
    where
        'socket: 'both,
        'buffer: 'both,
    {
        Box::pin(async move { Ok(self.socket.send_to(buffer, to).await?) })
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.address)
    }
}
