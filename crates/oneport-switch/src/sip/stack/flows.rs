//! Connections of TCP and TLS among processes: those with a call stay with the process that has it, and what comes for
//! that call by another, which only the newest process can take, is handed on and answered there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rsipstack::sip::SipMessage;
use rsipstack::transport::channel::ChannelConnection;
use rsipstack::transport::connection::TransportSender;
use rsipstack::transport::{SipAddr, SipConnection, TransportEvent};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::super::elsewhere::Streamed;
use super::super::settings::Transport;
use super::{Stack, as_library, lock};

/// So many connections of another process are known at once. Those that have been longest unknown give way: whoever is
/// there asks again.
const MOST: usize = 1_000;

/// Dialogs by connection.
#[derive(Clone, Default)]
pub(super) struct Flows(Arc<Mutex<HashMap<SocketAddr, usize>>>);

impl Flows {
    /// A dialog begins with somebody; `None`: by datagrams.
    pub(super) fn begin(&self, transport: Transport, with: SocketAddr) -> Option<Flow> {
        if transport == Transport::Udp {
            return None;
        }
        *lock(&self.0).entry(with).or_default() += 1;
        Some(Flow { flows: self.clone(), with })
    }

    /// Whether there is one with whoever is there.
    pub(super) fn are_with(&self, with: SocketAddr) -> bool {
        lock(&self.0).contains_key(&with)
    }
}

/// A dialog by a connection, until it is dropped.
pub(super) struct Flow {
    flows: Flows,
    with: SocketAddr,
}

impl Drop for Flow {
    fn drop(&mut self) {
        let mut dialogs = lock(&self.flows.0);
        if let Some(count) = dialogs.get_mut(&self.with) {
            *count -= 1;
            if *count == 0 {
                dialogs.remove(&self.with);
            }
        }
    }
}

/// A connection of another process, as the library has it here.
struct Mirror {
    connection: ChannelConnection,
    arrives: TransportSender,
}

impl Stack {
    /// Takes what has come by connections of another process for dialogs here, and what other processes want to be
    /// sent by connections of this one, until the endpoint stops.
    pub(super) async fn take_streamed(self, mut streamed: UnboundedReceiver<Streamed>) {
        let mut mirrors: HashMap<(Transport, SocketAddr), Mirror> = HashMap::new();
        while let Some(Streamed { transport, peer, bytes, is_answered }) = streamed.recv().await {
            let Ok(message) = SipMessage::try_from(bytes.as_slice()) else { continue };
            let address = SipAddr { r#type: Some(as_library(transport)), addr: peer.into() };
            if is_answered {
                self.send_for_another(message, &address).await;
                continue;
            }
            let place = (transport, peer);
            if !mirrors.contains_key(&place) {
                if mirrors.len() >= MOST {
                    mirrors.clear();
                }
                let Ok(mirror) = self.mirror(transport, peer, address.clone()).await else {
                    continue;
                };
                mirrors.insert(place, mirror);
            }
            let Some(mirror) = mirrors.get(&place) else { continue };
            let connection = SipConnection::Channel(mirror.connection.clone());
            // The library has closed it: nobody waits for it.
            let _ = mirror.arrives.send(TransportEvent::Incoming(message, connection, address));
        }
    }

    /// Sends what an older process says to somebody whose connection is here.
    async fn send_for_another(&self, message: SipMessage, to: &SipAddr) {
        let sent = match self.endpoint.transport_layer.lookup(to, None).await {
            Ok((connection, to)) => connection.send(message, Some(&to)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::debug!("SIP: {to}: {error}");
        }
    }

    async fn mirror(
        &self,
        transport: Transport,
        peer: SocketAddr,
        address: SipAddr,
    ) -> rsipstack::Result<Mirror> {
        let (arrives, arriving) = unbounded_channel();
        let (leaves, mut leaving) = unbounded_channel();
        let stop = Some(self.stop.child_token());
        let made = ChannelConnection::create_connection(arriving, leaves, address, stop);
        let connection = made.await?;
        self.endpoint.transport_layer.add_connection(SipConnection::Channel(connection.clone()));
        let elsewhere = self.elsewhere.clone();
        tokio::spawn(async move {
            while let Some(event) = leaving.recv().await {
                if let TransportEvent::Incoming(message, ..) = event {
                    elsewhere.answers(transport, peer, &message.to_bytes());
                }
            }
        });
        Ok(Mirror { connection, arrives })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_used_as_long_as_a_dialog_by_it_is_there() {
        let flows = Flows::default();
        let (one, other) = (([192, 0, 2, 1], 1).into(), ([192, 0, 2, 1], 2).into());
        assert!(flows.begin(Transport::Udp, one).is_none());
        let (first, second) = (flows.begin(Transport::Tcp, one), flows.begin(Transport::Tls, one));
        assert!(flows.are_with(one) && !flows.are_with(other));
        drop(first);
        assert!(flows.are_with(one));
        drop(second);
        assert!(!flows.are_with(one));
    }
}
