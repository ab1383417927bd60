//! All that is known of the SIP library: requests out and in, dialogs, what happens in them.
//!
//! Its ways are kept in here, and what it leaves to others is done here: requests outside of dialogs
//! are answered, a dialog that is over is forgotten, and a re-INVITE that comes before the ACK of the
//! first answer is held back until that has come.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oneport_wire::CauseCode;
use rsipstack::EndpointBuilder;
use rsipstack::dialog::authenticate::Credential;
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::sip::{Host, HostWithPort, Param, Scheme, Uri, typed};
use rsipstack::transaction::endpoint::{Endpoint, EndpointInnerRef, EndpointOption};
use rsipstack::transport::TransportLayer;
use rsipstack::transport::tls::TlsConfig;
use rsipstack::transport::udp::UdpConnection;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::elsewhere::Elsewhere;
use super::heritage::SipSocket;
use super::secure::{Secured, usual_authorities};
use super::settings::{Login, SipConfig, Transport};
use super::socket::Screened;
use super::standing::Target;
use super::streams::Streams;

mod dialog;
mod doorway;
mod events;
mod exporting;
mod flows;
mod listening;
mod names;
mod outgoing;
mod register;
mod registration;
mod reliable;
mod requests;
mod subscribe;

pub(crate) use dialog::{Dialog, Server};
pub(crate) use doorway::Door;
use doorway::{Doorman, Postmark};
pub(crate) use events::{DialogEvent, Reply};
use exporting::Copying;
pub(crate) use exporting::Export;
use flows::Flows;
use listening::Bound;
use names::Names;
pub(crate) use outgoing::Call;
pub(crate) use register::RegisterRequest;
pub(crate) use registration::Registering;
use reliable::Acknowledgements;
use requests::Takers;
pub(crate) use requests::{Incoming, Requests};
pub(crate) use subscribe::{SubscribeRequest, Subscriber};

/// What we can do, as an Allow header has it.
const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO, REFER, NOTIFY, SUBSCRIBE";
/// Extensions that those may use who call us, or are called (RFC 4028, RFC 3891).
const SUPPORTED: &str = "timer, replaces";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The library's endpoint.
#[derive(Clone)]
pub(crate) struct Stack {
    endpoint: EndpointInnerRef,
    layer: Arc<DialogLayer>,
    /// Causes that a BYE has named, by the id of its dialog, until the dialog is told of it.
    causes: Arc<Mutex<HashMap<String, CauseCode>>>,
    /// Dialogs in which a change of ours is not answered yet, by their ids.
    changing: Arc<Mutex<HashSet<String>>>,
    acknowledgements: Acknowledgements,
    elsewhere: Arc<Elsewhere>,
    flows: Flows,
    names: Names,
    secured: Arc<Secured>,
    stop: CancellationToken,
    public: Option<IpAddr>,
    listens: Arc<[(Transport, SocketAddr)]>,
    export: Export,
}

fn as_library(transport: Transport) -> rsipstack::sip::Transport {
    match transport {
        Transport::Udp => rsipstack::sip::Transport::Udp,
        Transport::Tcp => rsipstack::sip::Transport::Tcp,
        Transport::Tls => rsipstack::sip::Transport::Tls,
    }
}

/// What it stands on.
pub(crate) struct Ground {
    pub(crate) door: Arc<dyn Door>,
    pub(crate) streams: Arc<Streams>,
    /// Who gets copies of messages.
    pub(crate) export: Export,
    pub(crate) elsewhere: Arc<Elsewhere>,
    /// Whether this process reads its sockets.
    pub(crate) reads: watch::Receiver<bool>,
    pub(crate) sockets: Vec<SipSocket>,
}

/// The sockets that are configured, of which some are there already. Those that are there and not configured any more
/// stay: older processes still send by them.
///
/// # Errors
/// In words, which address cannot be used, and why.
pub(crate) fn sockets(
    config: &SipConfig,
    mut inherited: Vec<SipSocket>,
) -> Result<Vec<SipSocket>, String> {
    let mut sockets = Vec::new();
    for (transport, address) in &config.listen {
        let (name, address) = (transport.name(), *address);
        let known = |one: &SipSocket| (one.transport, one.address) == (name, address);
        if let Some(n) = inherited.iter().position(known) {
            sockets.push(inherited.remove(n));
            continue;
        }
        let bound = match transport {
            Transport::Udp => UdpSocket::bind(address).map(OwnedFd::from),
            Transport::Tcp | Transport::Tls => TcpListener::bind(address).map(OwnedFd::from),
        };
        let socket = bound.map_err(|error| cannot_listen(*transport, address, &error))?;
        sockets.push(SipSocket { transport: name, address, socket });
    }
    sockets.append(&mut inherited);
    Ok(sockets)
}

fn cannot_listen(
    transport: Transport,
    address: SocketAddr,
    error: &dyn std::fmt::Display,
) -> String {
    format!("cannot listen on {} {address} for SIP: {error}", transport.name())
}

impl Stack {
    /// Listens; calls come out of the receiver. To be called inside a runtime.
    ///
    /// # Errors
    /// An address or a certificate cannot be used: in words, which and why.
    pub(crate) async fn start(
        config: &SipConfig,
        ground: Ground,
    ) -> Result<(Self, Requests), String> {
        let Ground { door, streams, export, elsewhere, reads, sockets } = ground;
        let stop = CancellationToken::new();
        let transports = TransportLayer::new(stop.clone());
        let listed = door.clone();
        transports.set_whitelist(move |address: IpAddr| {
            let door = listed.clone();
            async move { door.knows(address.to_canonical()) }
        });
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let ca_certs = match &config.authorities {
            Some(authorities) => Some(read(authorities)?),
            None => usual_authorities(),
        };
        let tls = TlsConfig { ca_certs, ..TlsConfig::default() };
        transports.set_tls_config(tls.clone());
        let (mut listens, mut connected) = (Vec::new(), Vec::new());
        for SipSocket { transport, address, socket } in sockets {
            let Some(transport) = Transport::named(transport) else { continue };
            let wrong = |error: &dyn std::fmt::Display| cannot_listen(transport, address, error);
            let external = config.public_address.map(|ip| SocketAddr::new(ip, address.port()));
            if transport == Transport::Udp {
                let (door, elsewhere) = (door.clone(), elsewhere.clone());
                let socket = Screened::new(socket.into(), door, elsewhere, reads.clone());
                let socket = Arc::new(socket.map_err(|error| wrong(&error))?);
                let udp = UdpConnection::from_socket(socket, external, Some(stop.clone()));
                let udp = udp.await.map_err(|error| wrong(&error))?;
                listens.push((transport, udp.get_addr().get_socketaddr().unwrap_or(address)));
                transports.add_transport(udp.into());
                continue;
            }
            let certificate = config.certificate.as_ref().filter(|_| transport == Transport::Tls);
            let acceptor =
                certificate.map(|(certificate, key)| listening::acceptor(certificate, key));
            let acceptor = acceptor.transpose()?;
            if transport == Transport::Tls && acceptor.is_none() {
                // Another process had a certificate for it, and this one has none.
                continue;
            }
            let bound = Bound::new(transport, socket.into(), external, acceptor);
            let bound = bound.map_err(|error| wrong(&error))?;
            listens.push((transport, bound.address));
            connected.push(bound);
        }
        let host = config.public_address.map_or_else(|| "oneport".into(), |ip| ip.to_string());
        let listens: Arc<[(Transport, SocketAddr)]> = listens.into();
        let option = EndpointOption { callid_suffix: Some(host), ..EndpointOption::default() };
        let endpoint: Endpoint = EndpointBuilder::new()
            .with_user_agent(concat!("oneport/", env!("CARGO_PKG_VERSION")))
            .with_cancel_token(stop.clone())
            .with_transport_layer(transports)
            .with_option(option)
            .with_inspector(Box::new(Copying {
                inner: Postmark(door.clone()),
                export: export.clone(),
                listens: listens.clone(),
            }))
            .with_transport_inspector(Box::new(Doorman(door.clone(), elsewhere.clone())))
            .build();
        let requests = endpoint.incoming_transactions().map_err(|error| error.to_string())?;
        let stack = Self {
            secured: Arc::new(Secured::new(tls, stop.clone())),
            endpoint: endpoint.inner.clone(),
            layer: Arc::new(DialogLayer::new(endpoint.inner.clone())),
            causes: Arc::default(),
            acknowledgements: Acknowledgements::default(),
            changing: Arc::default(),
            elsewhere,
            flows: Flows::default(),
            names: Names::ask(&config.name_servers),
            stop,
            public: config.public_address,
            listens,
            export,
        };
        let (take_call, calls) = mpsc::unbounded_channel();
        let (take_register, registers) = mpsc::unbounded_channel();
        let (take_subscribe, subscribes) = mpsc::unbounded_channel();
        let takers =
            Takers { calls: take_call, registers: take_register, subscribes: take_subscribe };
        tokio::spawn(async move { endpoint.serve().await });
        // What the library knows when it begins to serve it would listen on itself.
        tokio::task::yield_now().await;
        for bound in connected {
            bound.listen(&stack, door.clone(), streams.clone(), reads.clone());
        }
        tokio::spawn(stack.clone().receive(requests, takers));
        let streamed = stack.elsewhere.streamed();
        tokio::spawn(stack.clone().take_streamed(streamed));
        Ok((stack, Requests { calls, registers, subscribes }))
    }

    /// Stops listening.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Dialogs and transactions that there are now, those among them that only keep an answer.
    pub(crate) fn held(&self) -> (usize, usize) {
        let stats = self.endpoint.get_stats();
        (self.layer.len(), stats.running_transactions + stats.finished_transactions)
    }

    /// Call-IDs of all dialogs.
    pub(crate) fn call_ids(&self) -> Vec<String> {
        let ids = self.layer.all_dialog_ids().into_iter();
        ids.filter_map(|id| Some(self.layer.get_dialog_with(&id)?.id().call_id)).collect()
    }

    /// Whether no dialog is left, and nothing that somebody has asked or was asked is without an answer.
    pub(crate) fn is_quiet(&self) -> bool {
        self.layer.is_empty() && self.endpoint.get_stats().running_transactions == 0
    }

    /// Our address as somebody at `remote` sees it: the public one, else that from which the system
    /// sends there.
    pub(crate) fn address_towards(&self, remote: SocketAddr) -> Option<IpAddr> {
        if let Some(public) = self.public {
            return Some(public);
        }
        local_towards(remote)
    }

    /// A dialog is the leg of which the switch speaks by this word.
    pub(crate) fn named(&self, dialog: &str, word: &str) {
        if let Some(exporter) = self.export.get() {
            exporter.named(dialog, word);
        }
    }

    /// Where we are called back, as `user`.
    fn contact(&self, user: &str, to: SocketAddr, transport: Transport) -> Option<Uri> {
        let ip = self.address_towards(to)?;
        let listens = self.listens.iter().find(|(known, _)| *known == transport);
        let port = listens.or_else(|| self.listens.first()).map(|(_, address)| address.port())?;
        let params = match transport {
            Transport::Udp => Vec::new(),
            other => vec![Param::Transport(as_library(other))],
        };
        Some(Uri {
            scheme: Some(Scheme::Sip),
            auth: Some(user.into()),
            host_with_port: SocketAddr::new(ip, port).into(),
            params,
            headers: Vec::new(),
        })
    }

    /// Sees to it that what is sent to `to` by TLS goes to a server that has proved to be `host`. To be
    /// called before anything is sent.
    ///
    /// # Errors
    /// In words, why nothing can go there.
    pub(crate) async fn reach(
        &self,
        host: &str,
        to: SocketAddr,
        transport: Transport,
    ) -> Result<(), String> {
        match transport {
            Transport::Tls => self.secured.reach(&self.endpoint.transport_layer, host, to).await,
            Transport::Udp | Transport::Tcp => Ok(()),
        }
    }

    /// The servers of a host, in the order in which they are to be tried (RFC 3263).
    ///
    /// # Errors
    /// In words, why it has none.
    pub(crate) async fn look_up(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Result<Vec<Target>, String> {
        self.names.look_up(host, port, transport).await
    }

    fn via(&self, transport: Transport) -> Option<typed::Via> {
        let wanted = as_library(transport);
        let ours = self.endpoint.transport_layer.get_listen_addrs();
        let address = ours.iter().find(|one| one.r#type == Some(wanted)).cloned().or_else(|| {
            let mut address = ours.first().cloned()?;
            address.r#type = Some(wanted);
            Some(address)
        });
        self.endpoint.get_via(address, None).ok()
    }
}

/// The address from which the system sends to `remote`.
fn local_towards(remote: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match remote {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    // That only chooses a way; nothing is sent.
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn credential(login: &Login) -> Credential {
    Credential {
        username: login.username.clone(),
        password: login.secret.expose().to_string(),
        realm: None,
        auth_username: login.auth_username.clone(),
    }
}

fn host_of(host: &str, port: Option<u16>) -> Result<HostWithPort, String> {
    let host = match host.parse::<IpAddr>() {
        Ok(ip) => Host::IpAddr(ip),
        Err(_) => Host::try_from(host).map_err(|error| format!("`{host}` is no host: {error}"))?,
    };
    Ok(HostWithPort { host, port: port.map(Into::into) })
}
