//! Connections of TCP and TLS that others open.
//!
//! The library's own listeners would take any number of them and keep each for minutes, and would wait for
//! ever for somebody to begin with TLS. So it is told of ours, and given what has been let in.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream as Socket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transport::stream::StreamConnectionInner;
use rsipstack::transport::tcp::TcpConnection;
use rsipstack::transport::tcp_listener::{TcpListenerConnection, TcpListenerConnectionInner};
use rsipstack::transport::tls::TlsConnection;
use rsipstack::transport::{SipAddr, SipConnection};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use super::super::settings::Transport;
use super::super::streams::{Place, STRANGERS_TIME, Streams, Turned};
use super::flows::Flows;
use super::{Door, Stack, as_library};

/// How long it may take to agree upon TLS.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How often it is looked whether a stranger has become known.
const LOOK: Duration = Duration::from_millis(500);
/// How long nothing is accepted when the system has failed to, as where it has no descriptor left.
const RECOVERY: Duration = Duration::from_millis(100);
/// How often the log says that connections are turned away.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// How TLS is agreed upon with those who connect: by the certificates and the key in these files (PEM).
///
/// # Errors
/// In words, what is wrong with them.
pub(super) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    let wrong = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let read =
        |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(certificate)?).collect();
    let chain = chain.map_err(|error| wrong(certificate, &error))?;
    let own = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| wrong(key, &error))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, own);
    Ok(Arc::new(config.map_err(|error| wrong(certificate, &error))?).into())
}

/// An address that is ours, and that nobody is let in at yet.
pub(super) struct Bound {
    transport: Transport,
    pub(super) address: SocketAddr,
    /// Where others see it, if that is elsewhere.
    external: Option<SocketAddr>,
    acceptor: Option<TlsAcceptor>,
    listener: TcpListener,
}

impl Bound {
    /// What listens already, here or in another process.
    pub(super) fn new(
        transport: Transport,
        listener: std::net::TcpListener,
        external: Option<SocketAddr>,
        acceptor: Option<TlsAcceptor>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        Ok(Self { transport, address, external, acceptor, listener })
    }

    /// Takes connections from now on, whenever this process `reads`, until the gateway stops.
    pub(super) fn listen(
        self,
        stack: &Stack,
        door: Arc<dyn Door>,
        streams: Arc<Streams>,
        reads: watch::Receiver<bool>,
    ) {
        let Self { transport, address, external, acceptor, listener } = self;
        let (endpoint, stop) = (stack.endpoint.clone(), stack.stop.clone());
        let ours = announce(&endpoint, transport, address, external);
        let flows = stack.flows.clone();
        let all =
            Listening { transport, ours, acceptor, endpoint, door, streams, stop, reads, flows };
        tokio::spawn(all.run(listener));
    }
}

/// What all connections to one address have in common.
struct Listening {
    transport: Transport,
    /// Our address, as the library has it.
    ours: SipAddr,
    /// Where it is by TLS.
    acceptor: Option<TlsAcceptor>,
    endpoint: EndpointInnerRef,
    door: Arc<dyn Door>,
    streams: Arc<Streams>,
    stop: CancellationToken,
    reads: watch::Receiver<bool>,
    flows: Flows,
}

/// Tells the library that we are there, to be said in what it sends: as it has it.
fn announce(
    endpoint: &EndpointInnerRef,
    transport: Transport,
    bound: SocketAddr,
    external: Option<SocketAddr>,
) -> SipAddr {
    let of =
        |address: SocketAddr| SipAddr { r#type: Some(as_library(transport)), addr: address.into() };
    let inner = TcpListenerConnectionInner { local_addr: of(bound), external: external.map(of) };
    let known = TcpListenerConnection { inner: Arc::new(inner) };
    let ours = known.get_addr().clone();
    endpoint.transport_layer.add_transport(known.into());
    ours
}

impl Listening {
    /// Takes connections until the gateway stops.
    async fn run(self, listener: TcpListener) {
        let this = Arc::new(self);
        let mut told: Option<Instant> = None;
        let mut reads = this.reads.clone();
        loop {
            let is_accepting = *reads.borrow_and_update();
            let accepted = tokio::select! {
                biased;
                () = this.stop.cancelled() => return,
                Ok(()) = reads.changed() => continue,
                accepted = listener.accept(), if is_accepting => accepted,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("SIP: no connection can be taken: {error}");
                    tokio::time::sleep(RECOVERY).await;
                    continue;
                }
            };
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            let address = from.ip();
            if !this.door.knows(address) {
                continue;
            }
            let (lives, most) = (this.door.lives_at(address), this.door.most_connections());
            match this.streams.enter(address, lives, most) {
                Ok(place) => drop(tokio::spawn(this.clone().take(stream, from, place))),
                Err(why) if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) => {
                    let transport = this.transport.name();
                    let key = match why {
                        Turned::AddressFull => "sip.max_connections_per_address",
                        Turned::Full | Turned::Stranger => "sip.max_connections",
                    };
                    tracing::warn!(
                        "SIP: a connection by {transport} from {address} is turned away ({key}); what \
                         follows within a minute is only counted"
                    );
                    told = Some(Instant::now());
                }
                Err(_) => {}
            }
        }
    }

    /// Keeps one connection for as long as it may be there.
    async fn take(self: Arc<Self>, stream: TcpStream, from: SocketAddr, mut place: Place) {
        let stop = self.stop.child_token();
        let (connection, socket) = match self.connect(stream, from, stop.clone()).await {
            Ok(connected) => connected,
            Err(error) => return tracing::debug!("SIP: {from}: {error}"),
        };
        // When it has ended the library cancels what stops it.
        self.endpoint.transport_layer.add_connection(connection.clone());
        let ours = connection;
        let since = Instant::now();
        while !place.is_known() {
            if self.door.lives_at(from.ip()) {
                place.becomes_known();
                break;
            }
            if since.elapsed() >= STRANGERS_TIME {
                self.streams.turn(Turned::Stranger);
                tracing::debug!("SIP: {from}: nobody has registered in {STRANGERS_TIME:?}");
                // The library reads the end of it, and forgets it.
                let _ = socket.shutdown(Shutdown::Both);
                return;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        drop(socket);
        let mut reads = self.reads.clone();
        let is_left = async {
            loop {
                if reads.wait_for(|reads| !*reads).await.is_err() {
                    // The gateway stops, and all connections with it.
                    std::future::pending::<()>().await;
                }
                if !self.flows.are_with(from) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            // Whoever is there connects to the process that reads now.
            () = is_left => drop(ours.close().await),
        }
    }

    /// The connection as the library has it, and its socket.
    async fn connect(
        &self,
        stream: TcpStream,
        from: SocketAddr,
        stop: CancellationToken,
    ) -> io::Result<(SipConnection, Socket)> {
        let stream = stream.into_std()?;
        let socket = stream.try_clone()?;
        let stream = TcpStream::from_std(stream)?;
        let theirs = SipAddr { r#type: Some(as_library(self.transport)), addr: from.into() };
        let (ours, stop) = (self.ours.clone(), Some(stop));
        let connection = match &self.acceptor {
            None => {
                let (reads, writes) = tokio::io::split(stream);
                let inner = StreamConnectionInner::new(ours, theirs, reads, writes);
                SipConnection::Tcp(TcpConnection { inner: Arc::new(inner), cancel_token: stop })
            }
            Some(acceptor) => {
                let agreed = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
                let late = |_| io::Error::from(io::ErrorKind::TimedOut);
                let secured = agreed.map_err(late)??;
                let secured = TlsConnection::from_server_stream(secured, ours, theirs, stop).await;
                SipConnection::Tls(secured.map_err(io::Error::other)?)
            }
        };
        Ok((connection, socket))
    }
}
