//! The socket of SIP over UDP, as the SIP library reads it: what strangers send, and what is no message
//! of SIP, does not reach it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use rsipstack::Result;
use rsipstack::platform::net::UdpSocket as LibrarySocket;
use rsipstack::sip::Method;
use tokio::net::UdpSocket;

use super::screen::{Verdict, look_at};
use super::stack::Door;

/// What says that somebody is still there (RFC 5626 §3.5.1).
const KEEP_ALIVE: &[u8] = b"\r\n\r\n";

/// A socket that lets in what may come in.
pub(super) struct Screened {
    socket: UdpSocket,
    door: Arc<dyn Door>,
}

impl Screened {
    pub(super) fn bind(address: SocketAddr, door: Arc<dyn Door>) -> std::io::Result<Self> {
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, door })
    }

    async fn receive(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        loop {
            let (length, from) = self.socket.recv_from(buffer).await?;
            let Some(datagram) = buffer.get(..length) else { continue };
            if !self.door.knows(from.ip().to_canonical()) {
                continue;
            }
            if datagram == KEEP_ALIVE || datagram.trim_ascii().is_empty() {
                return Ok((length, from));
            }
            match look_at(datagram, |method| method.parse::<Method>().is_ok()) {
                Verdict::Passes => return Ok((length, from)),
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
        Ok(self.socket.local_addr()?)
    }
}
