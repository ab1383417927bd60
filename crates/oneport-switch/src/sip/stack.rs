//! All that is known of the SIP library: requests out and in, dialogs, what happens in them.
//!
//! Its ways are kept in here, and what it leaves to others is done here: requests outside of dialogs
//! are answered, a dialog that is over is forgotten, and a re-INVITE that comes before the ACK of the
//! first answer is held back until that has come.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oneport_wire::CauseCode;
use rsipstack::EndpointBuilder;
use rsipstack::dialog::DialogId;
use rsipstack::dialog::authenticate::Credential;
use rsipstack::dialog::dialog::{
    Dialog as AnyDialog, DialogState, DialogStateReceiver, TransactionHandle,
};
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::dialog::invitation::{InviteAsyncResult, InviteOption};
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::dialog::registration::Registration;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{
    Header, Host, HostWithPort, Method, Param, Request, Response, Scheme, SipMessage, StatusCode,
    StatusCodeKind, Uri, typed,
};
use rsipstack::transaction::endpoint::{Endpoint, EndpointInnerRef, EndpointOption};
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::transaction::Transaction;
use rsipstack::transaction::{TransactionReceiver, make_tag};
use rsipstack::transport::tls::TlsConfig;
use rsipstack::transport::udp::UdpConnection;
use rsipstack::transport::{SipAddr, TransportLayer};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::causes;
use super::message::{Invitation, Party, Refused, unknown_in};
use super::replaces::DialogKey;
use super::secure::{Secured, usual_authorities};
use super::session_timer::{SessionTimer, Side};
use super::settings::{Login, SipConfig, Transport};
use super::socket::Screened;
use super::standing::Target;
use super::streams::Streams;

mod doorway;
mod listening;
mod names;
mod register;
mod reliable;
mod subscribe;

pub(crate) use doorway::Door;
use doorway::{Doorman, Postmark, source_of};
use listening::Listening;
use names::Names;
pub(crate) use register::RegisterRequest;
use reliable::{Acknowledgements, Reliable};
pub(crate) use subscribe::{SubscribeRequest, Subscriber};

/// What we can do, as an Allow header has it.
const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO, REFER, NOTIFY, SUBSCRIBE";
/// Extensions that those may use who call us, or are called (RFC 4028, RFC 3891).
const SUPPORTED: &str = "timer, replaces";
/// How long a BYE waits for what the other side is told before it.
const LAST_WORD: Duration = Duration::from_secs(2);
/// How long a re-INVITE waits for the ACK of the answer before it.
const ACK_PATIENCE: Duration = Duration::from_secs(2);
/// How often a change is tried that meets one of the other side's (RFC 3261 §14.1).
const MOST_GLARES: usize = 3;
/// How often it is looked whether the ACK has come.
const ACK_LOOK: Duration = Duration::from_millis(10);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call from outside, and what may be done with it.
pub(crate) struct Incoming {
    pub(crate) transport: Transport,
    pub(crate) from: SocketAddr,
    pub(crate) invitation: Invitation,
    /// The user part of its URI as it is written, and proofs of who sends it.
    pub(crate) user: String,
    pub(crate) proofs: Vec<String>,
    transaction: Transaction,
}

impl Incoming {
    /// The value of a header, by its name.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.transaction.original.header_value(name)
    }

    /// All values of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        register::values(&self.transaction.original, name)
    }
}

/// What comes from outside and is no part of a dialog.
pub(crate) struct Requests {
    pub(crate) calls: UnboundedReceiver<Incoming>,
    pub(crate) registers: UnboundedReceiver<RegisterRequest>,
    pub(crate) subscribes: UnboundedReceiver<SubscribeRequest>,
}

/// Those who take it.
struct Takers {
    calls: UnboundedSender<Incoming>,
    registers: UnboundedSender<RegisterRequest>,
    subscribes: UnboundedSender<SubscribeRequest>,
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
    names: Names,
    secured: Arc<Secured>,
    stop: CancellationToken,
    public: Option<IpAddr>,
    listens: Arc<[(Transport, SocketAddr)]>,
}

fn as_library(transport: Transport) -> rsipstack::sip::Transport {
    match transport {
        Transport::Udp => rsipstack::sip::Transport::Udp,
        Transport::Tcp => rsipstack::sip::Transport::Tcp,
        Transport::Tls => rsipstack::sip::Transport::Tls,
    }
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl Stack {
    /// Listens; calls come out of the receiver. To be called inside a runtime.
    ///
    /// # Errors
    /// An address or a certificate cannot be used: in words, which and why.
    pub(crate) async fn start(
        config: &SipConfig,
        door: Arc<dyn Door>,
        streams: Arc<Streams>,
    ) -> Result<(Self, Requests), String> {
        let stop = CancellationToken::new();
        let transports = TransportLayer::new(stop.clone());
        let listed = door.clone();
        transports.set_whitelist(move |address: IpAddr| {
            let door = listed.clone();
            async move { door.knows(address.to_canonical()) }
        });
        let read = |path: &std::path::Path| {
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let ca_certs = match &config.authorities {
            Some(authorities) => Some(read(authorities)?),
            None => usual_authorities(),
        };
        let tls = TlsConfig { ca_certs, ..TlsConfig::default() };
        transports.set_tls_config(tls.clone());
        let (mut listens, mut connected) = (Vec::new(), Vec::new());
        for (transport, address) in &config.listen {
            let wrong = |error: &dyn std::fmt::Display| {
                format!("cannot listen on {} {address} for SIP: {error}", transport.name())
            };
            let external = config.public_address.map(|ip| SocketAddr::new(ip, address.port()));
            match transport {
                Transport::Udp => {
                    let socket = Screened::bind(*address, door.clone());
                    let socket = Arc::new(socket.map_err(|error| wrong(&error))?);
                    let udp = UdpConnection::from_socket(socket, external, Some(stop.clone()));
                    let udp = udp.await.map_err(|error| wrong(&error))?;
                    listens.push((*transport, udp.get_addr().get_socketaddr().unwrap_or(*address)));
                    transports.add_transport(udp.into());
                }
                Transport::Tcp | Transport::Tls => {
                    let acceptor = match (transport, &config.certificate) {
                        (Transport::Tls, Some((certificate, key))) => {
                            Some(listening::acceptor(certificate, key)?)
                        }
                        _ => None,
                    };
                    let listener = listening::bind(*address).map_err(|error| wrong(&error))?;
                    let bound = listener.local_addr().map_err(|error| wrong(&error))?;
                    listens.push((*transport, bound));
                    connected.push((*transport, bound, external, acceptor, listener));
                }
            }
        }
        let host = config.public_address.map_or_else(|| "oneport".into(), |ip| ip.to_string());
        let option = EndpointOption { callid_suffix: Some(host), ..EndpointOption::default() };
        let endpoint: Endpoint = EndpointBuilder::new()
            .with_user_agent(concat!("oneport/", env!("CARGO_PKG_VERSION")))
            .with_cancel_token(stop.clone())
            .with_transport_layer(transports)
            .with_option(option)
            .with_inspector(Box::new(Postmark(door.clone())))
            .with_transport_inspector(Box::new(Doorman(door.clone())))
            .build();
        let requests = endpoint.incoming_transactions().map_err(|error| error.to_string())?;
        let stack = Self {
            secured: Arc::new(Secured::new(tls, stop.clone())),
            endpoint: endpoint.inner.clone(),
            layer: Arc::new(DialogLayer::new(endpoint.inner.clone())),
            causes: Arc::default(),
            acknowledgements: Acknowledgements::default(),
            changing: Arc::default(),
            names: Names::ask(&config.name_servers),
            stop,
            public: config.public_address,
            listens: listens.into(),
        };
        let (take_call, calls) = mpsc::unbounded_channel();
        let (take_register, registers) = mpsc::unbounded_channel();
        let (take_subscribe, subscribes) = mpsc::unbounded_channel();
        let takers =
            Takers { calls: take_call, registers: take_register, subscribes: take_subscribe };
        tokio::spawn(async move { endpoint.serve().await });
        // What the library knows when it begins to serve it would listen on itself.
        tokio::task::yield_now().await;
        for (transport, bound, external, acceptor, listener) in connected {
            let (endpoint, stop) = (stack.endpoint.clone(), stack.stop.clone());
            let (door, streams) = (door.clone(), streams.clone());
            let ours = listening::announce(&endpoint, transport, bound, external);
            let all = Listening { transport, ours, acceptor, endpoint, door, streams, stop };
            tokio::spawn(all.run(listener));
        }
        tokio::spawn(stack.clone().receive(requests, takers));
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

    /// Our address as somebody at `remote` sees it: the public one, else that from which the system
    /// sends there.
    pub(crate) fn address_towards(&self, remote: SocketAddr) -> Option<IpAddr> {
        if let Some(public) = self.public {
            return Some(public);
        }
        local_towards(remote)
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

    /// Takes requests until the endpoint stops.
    async fn receive(self, mut requests: TransactionReceiver, takers: Takers) {
        while let Some(transaction) = requests.recv().await {
            let is_in_dialog = transaction
                .original
                .to_header()
                .and_then(|to| to.tag())
                .is_ok_and(|tag| tag.is_some());
            match transaction.original.method {
                Method::Invite if !is_in_dialog => {
                    let Some((transport, from)) = source_of(&transaction.original) else {
                        continue;
                    };
                    let request = &transaction.original;
                    let user = request.uri.user().unwrap_or_default().to_string();
                    let invitation =
                        Invitation::read(&user, &request.body, |name| request.header_value(name));
                    let proofs = register::values(request, "Authorization");
                    let call = Incoming { transport, from, invitation, user, proofs, transaction };
                    if takers.calls.send(call).is_err() {
                        return;
                    }
                }
                Method::Register if !is_in_dialog => {
                    if let Some(request) = RegisterRequest::read(transaction) {
                        // A gateway that stops registers nobody.
                        let _ = takers.registers.send(request);
                    }
                }
                Method::Subscribe => {
                    if let Some(request) = SubscribeRequest::read(transaction) {
                        // A gateway that stops tells nobody anything.
                        let _ = takers.subscribes.send(request);
                    }
                }
                _ if is_in_dialog => drop(tokio::spawn(self.clone().handle(transaction))),
                _ => drop(tokio::spawn(answer_outside(transaction))),
            }
        }
    }

    /// A request inside a dialog.
    async fn handle(self, mut transaction: Transaction) {
        let method = transaction.original.method;
        let Some(mut dialog) = self.layer.match_dialog(&transaction) else {
            let status = match method {
                Method::Ack => return,
                // Of a call that is not answered yet, the library knows no dialogs.
                Method::Update if self.is_calling(&transaction.original) => {
                    StatusCode::RequestPending
                }
                Method::Bye
                | Method::Invite
                | Method::Update
                | Method::Info
                | Method::Refer
                | Method::Options
                | Method::PRack
                | Method::Notify
                | Method::Message
                | Method::Subscribe => StatusCode::CallTransactionDoesNotExist,
                _ => StatusCode::MethodNotAllowed,
            };
            let _ = transaction.reply(status).await;
            return;
        };
        if method == Method::Bye
            && let Some(cause) = reason_of(&transaction.original)
        {
            lock(&self.causes).insert(dialog.id().to_string(), cause);
        }
        if method == Method::PRack {
            let rack = transaction.original.header_value("RAck");
            if !self.acknowledgements.note(&dialog.id().to_string(), rack.as_deref()) {
                let _ = transaction.reply(StatusCode::CallTransactionDoesNotExist).await;
                return;
            }
        }
        let offers = match method {
            Method::Invite => true,
            Method::Update => !transaction.original.body.is_empty(),
            _ => false,
        };
        // RFC 3261 §14.2, RFC 3311 §5.2: there is an INVITE in progress, theirs or ours.
        let pending = offers && lock(&self.changing).contains(&dialog.id().to_string());
        if pending || method == Method::Invite && !self.is_acknowledged(&dialog).await {
            let _ = transaction.reply(StatusCode::RequestPending).await;
            while transaction.receive().await.is_some() {}
            return;
        }
        if let Err(error) = dialog.handle(&mut transaction).await {
            tracing::debug!("SIP: {method} in {}: {error}", dialog.id());
        }
    }

    /// Whether we call somebody under the Call-ID of this request.
    fn is_calling(&self, request: &Request) -> bool {
        request
            .call_id_header()
            .is_ok_and(|call| !self.layer.get_client_dialog_by_call_id(call.value()).is_empty())
    }

    /// Waits until the ACK of a dialog's first answer has come. The library would take what comes
    /// before it for that first INVITE, and never answer.
    async fn is_acknowledged(&self, dialog: &AnyDialog) -> bool {
        let looks = ACK_PATIENCE.as_millis() / ACK_LOOK.as_millis();
        for _ in 0..looks {
            match dialog.state() {
                DialogState::Confirmed(..) => return true,
                DialogState::Terminated(..) => return false,
                _ => tokio::time::sleep(ACK_LOOK).await,
            }
        }
        false
    }

    /// Answers a call from outside with a refusal, and keeps nothing of it.
    pub(crate) fn refuse(&self, incoming: Incoming, status: u16, retry_after: Option<u32>) {
        let header = retry_after.map(|seconds| ("Retry-After", seconds.to_string()));
        self.refuse_with(incoming, status, header);
    }

    /// The same with a header that says more.
    pub(crate) fn refuse_with(
        &self,
        mut incoming: Incoming,
        status: u16,
        header: Option<(&'static str, String)>,
    ) {
        tokio::spawn(async move {
            let headers = header.map(|(name, value)| Header::Other(name.into(), value));
            let headers = headers.into_iter().collect();
            let _ = incoming.transaction.reply_with(status.into(), headers, None).await;
            // The ACK of the refusal ends the transaction.
            while incoming.transaction.receive().await.is_some() {}
        });
    }

    /// Asks whoever calls from outside who it is, and keeps nothing of it.
    pub(crate) fn challenge(&self, mut incoming: Incoming, challenges: Vec<String>) {
        let header = |one: String| Header::Other("WWW-Authenticate".into(), one);
        let headers = challenges.into_iter().map(header).collect();
        tokio::spawn(async move {
            let _ = incoming.transaction.reply_with(StatusCode::Unauthorized, headers, None).await;
            while incoming.transaction.receive().await.is_some() {}
        });
    }

    /// Takes a call from outside on, to be answered later.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub(crate) fn take(
        &self,
        incoming: Incoming,
        user: &str,
        transport: Transport,
        server: Option<Server>,
    ) -> Result<Dialog, String> {
        let Incoming { from, invitation, mut transaction, .. } = incoming;
        let contact = self.contact(user, from, transport);
        let (sender, states) = self.layer.new_dialog_state_channel();
        let dialog = self
            .layer
            .get_or_create_server_invite(&transaction, sender, None, contact)
            .map_err(|error| error.to_string())?;
        let mut handled = dialog.clone();
        tokio::spawn(async move {
            if let Err(error) = handled.handle(&mut transaction).await {
                tracing::debug!("SIP: INVITE in {}: {error}", handled.id());
            }
        });
        let reliable =
            invitation.needs_prack.then(|| Reliable::begin(dialog.clone(), &self.acknowledgements));
        let (outcome, telling, stage) = (None, None, Stage::Early);
        let stack = self.clone();
        Ok(Dialog { stack, dialog, states, outcome, reliable, telling, stage, server })
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

    /// Calls somebody.
    ///
    /// # Errors
    /// In words, why that is not possible.
    pub(crate) fn call(&self, call: Call<'_>) -> Result<Dialog, String> {
        let contact = self
            .contact(call.our_user, call.to, call.transport)
            .ok_or_else(|| format!("there is no way to {}", call.to))?;
        let uri = |user: &str, host: &HostWithPort| Uri {
            scheme: Some(Scheme::Sip),
            auth: Some(super::message::escape(user).into()),
            host_with_port: host.clone(),
            params: Vec::new(),
            headers: Vec::new(),
        };
        let callee = match call.contact {
            Some(contact) => Uri::try_from(contact)
                .map_err(|error| format!("`{contact}` cannot be called: {error}"))?,
            None => {
                let mut callee = uri(&call.number, &host_of(call.host, call.port)?);
                if call.transport != Transport::Udp {
                    callee.params.push(Param::Transport(as_library(call.transport)));
                }
                callee
            }
        };
        let caller = uri(&call.from, &host_of(&call.domain, None)?);
        let mut headers: Vec<Header> = call
            .headers
            .iter()
            .map(|(name, value)| Header::Other((*name).to_string(), value.clone()))
            .collect();
        headers.push(Header::Other("Allow".into(), ALLOW.into()));
        headers.push(Header::Other("Supported".into(), "replaces".into()));
        let option = InviteOption {
            caller_display_name: call.from_name.as_deref().map(display_name),
            caller,
            callee,
            destination: Some(SipAddr {
                r#type: Some(as_library(call.transport)),
                addr: call.to.into(),
            }),
            offer: Some(call.sdp.into_bytes()),
            contact,
            credential: call.login.map(credential),
            headers: Some(headers),
            support_prack: true,
            call_id: Some(call.call_id),
            ..InviteOption::default()
        };
        let (sender, states) = self.layer.new_dialog_state_channel();
        let placed = self.layer.do_invite_async(option, sender);
        let (dialog, outcome) = placed.map_err(|error| error.to_string())?;
        let (outcome, reliable, telling) = (Some(outcome), None, None);
        // A phone is reached by the connection that it has opened, or not at all.
        let is_server = call.transport == Transport::Tls && call.contact.is_none();
        let server = is_server.then(|| Server { host: call.host.into(), address: call.to });
        let (stack, stage) = (self.clone(), Stage::Early);
        Ok(Dialog { stack, dialog, states, outcome, reliable, telling, stage, server })
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

    /// Asks whether somebody is there; any answer shows it. Its status, or none in time.
    pub(crate) async fn ask(
        &self,
        host: &str,
        port: Option<u16>,
        to: SocketAddr,
        transport: Transport,
    ) -> Option<u16> {
        if let Err(error) = self.reach(host, to, transport).await {
            tracing::debug!("SIP: {error}");
            return None;
        }
        let host = host_of(host, port).ok()?;
        let target = Uri { scheme: Some(Scheme::Sip), host_with_port: host, ..Uri::default() };
        self.ask_uri(target, to, transport).await
    }

    /// The same of somebody by the URI that it has named.
    pub(crate) async fn ask_at(
        &self,
        contact: &str,
        to: SocketAddr,
        transport: Transport,
    ) -> Option<u16> {
        self.ask_uri(Uri::try_from(contact).ok()?, to, transport).await
    }

    async fn ask_uri(&self, target: Uri, to: SocketAddr, transport: Transport) -> Option<u16> {
        let via = self.via(transport)?;
        let ours = self.contact("oneport", to, transport)?;
        let own = Uri { params: Vec::new(), ..ours.clone() };
        let from = typed::From { display_name: None, uri: own, params: Vec::new() };
        let named = typed::To { display_name: None, uri: target.clone(), params: vec![] };
        let mut request = self.endpoint.make_request(
            Method::Options,
            target,
            via,
            from.with_tag(make_tag()),
            named,
            self.layer.increment_last_seq(),
            None,
        );
        let contact = typed::Contact { display_name: None, uri: ours, params: Vec::new() };
        request.headers.push(Header::Contact(contact.into()));
        request.headers.push(Header::Accept("application/sdp".into()));
        request.headers.push(Header::ContentLength(0_u32.into()));
        let answer = self.transact(request, to, transport).await?;
        Some(answer.status_code.code())
    }

    /// Sends a request outside of the library's dialogs; its final answer, if one comes.
    async fn transact(
        &self,
        request: Request,
        to: SocketAddr,
        transport: Transport,
    ) -> Option<Response> {
        let key = TransactionKey::from_request(&request, TransactionRole::Client).ok()?;
        let mut transaction = Transaction::new_client(key, request, self.endpoint.clone(), None);
        transaction.destination =
            Some(SipAddr { r#type: Some(as_library(transport)), addr: to.into() });
        transaction.send().await.ok()?;
        while let Some(message) = transaction.receive().await {
            if let SipMessage::Response(response) = message
                && response.status_code.kind() != StatusCodeKind::Provisional
            {
                return Some(response);
            }
        }
        None
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

    /// A registration, to be begun and renewed.
    pub(crate) fn registration(
        &self,
        login: &Login,
        host: &str,
        to: SocketAddr,
        transport: Transport,
    ) -> Registering {
        let mut registration = Registration::new(self.endpoint.clone(), Some(credential(login)));
        registration.outbound_proxy = Some(to);
        if let Some(uri) = self.contact(&login.username, to, transport) {
            let contact = typed::Contact { display_name: None, uri, params: Vec::new() };
            registration.contact = Some(contact);
        }
        Registering { stack: self.clone(), host: host.into(), to, registration }
    }
}

/// A registration of ours.
pub(crate) struct Registering {
    stack: Stack,
    host: String,
    to: SocketAddr,
    registration: Registration,
}

impl Registering {
    /// Registers for `expires` seconds, 0 to end it: for how long that is granted.
    ///
    /// # Errors
    /// The answer that refuses it; 0 where none came.
    pub(crate) async fn register(
        &mut self,
        domain: &str,
        transport: Transport,
        expires: u32,
    ) -> Result<u32, (u16, String)> {
        let reached = self.stack.reach(&self.host, self.to, transport).await;
        reached.map_err(|error| (0, error))?;
        let host = host_of(domain, None).map_err(|error| (0, error))?;
        let mut server = Uri { scheme: Some(Scheme::Sip), host_with_port: host, ..Uri::default() };
        if transport != Transport::Udp {
            server.params.push(Param::Transport(as_library(transport)));
        }
        match self.registration.register(server, Some(expires)).await {
            Ok(response) if response.status_code.kind() == StatusCodeKind::Successful => {
                let granted = self.registration.granted_expires;
                Ok(granted.filter(|granted| *granted > 0).unwrap_or(expires))
            }
            Ok(response) => Err((response.status_code.code(), response.status_code.to_string())),
            Err(error) => Err((0, error.to_string())),
        }
    }
}

/// A call that is placed.
pub(crate) struct Call<'a> {
    pub(crate) to: SocketAddr,
    pub(crate) transport: Transport,
    /// Host and port of the number's URI.
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
    pub(crate) number: String,
    /// The URI that is called, where it is not made of the three.
    pub(crate) contact: Option<&'a str>,
    /// Who calls, for the From header.
    pub(crate) from: String,
    pub(crate) from_name: Option<String>,
    pub(crate) domain: String,
    /// Where we are called back.
    pub(crate) our_user: &'a str,
    pub(crate) login: Option<&'a Login>,
    pub(crate) call_id: String,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) sdp: String,
}

/// What happens in a dialog.
pub(crate) enum DialogEvent {
    /// It goes on, short of an answer: status and description, if there is one.
    Progress(u16, Option<String>),
    /// It was answered by the other side, with a description, and how long the session holds.
    Answered(Option<String>, Option<SessionTimer>),
    /// Our answer has arrived; what the other side described only then.
    Acknowledged(Option<String>),
    /// The other side wants something changed, or keeps the session up.
    Changed {
        /// What it describes now, if it does.
        sdp: Option<String>,
        /// Whether it wants to hear what we describe (INVITE, not UPDATE).
        asks: bool,
        /// What is due to it.
        reply: Reply,
    },
    /// Something is told: kind and content.
    Told(String, String, Reply),
    /// The other side wants us to go on with somebody else: `Refer-To`.
    Referred(String, Reply),
    /// The call was not taken.
    Refused(Refused),
    /// The other side has ended it, or given it up.
    Ended(CauseCode),
}

/// What is due to a request in a dialog. Dropping it refuses.
pub(crate) struct Reply {
    handle: TransactionHandle,
}

impl Reply {
    /// Answers, with a description where there is one.
    pub(crate) async fn answer(
        self,
        status: u16,
        sdp: Option<String>,
        headers: Vec<(&str, String)>,
    ) {
        let mut all: Vec<Header> = headers
            .into_iter()
            .map(|(name, value)| Header::Other(name.to_string(), value))
            .collect();
        if sdp.is_some() {
            all.push(Header::ContentType("application/sdp".into()));
        }
        let _ = self.handle.respond(status.into(), Some(all), sdp.map(String::into_bytes)).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Early,
    Answered,
    Over,
}

/// Whom a dialog is with by TLS, where we have opened the connection: by that name it proves itself again
/// when that is gone.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) address: SocketAddr,
}

/// A dialog. Dropping it ends the call.
pub(crate) struct Dialog {
    stack: Stack,
    dialog: InviteDialog,
    states: DialogStateReceiver,
    /// How our INVITE ends.
    outcome: Option<JoinHandle<InviteAsyncResult>>,
    /// For a caller who acknowledges provisional answers.
    reliable: Option<Reliable>,
    /// What it is being told of a transfer.
    telling: Option<JoinHandle<()>>,
    stage: Stage,
    server: Option<Server>,
}

impl Dialog {
    fn id(&self) -> DialogId {
        self.dialog.id()
    }

    /// Sees to it that there is a way to the other side. The library would want a server to prove its
    /// address, and not its name.
    fn way(&self) -> impl Future<Output = ()> + use<> {
        let (stack, server) = (self.stack.clone(), self.server.clone());
        async move {
            let Some(Server { host, address }) = server else { return };
            if let Err(error) = stack.reach(&host, address, Transport::Tls).await {
                tracing::debug!("SIP: {error}");
            }
        }
    }

    /// Its name in logs, the same on both sides.
    pub(crate) fn call_id(&self) -> String {
        self.id().call_id
    }

    /// The next event; `None` behind the last.
    pub(crate) async fn next_event(&mut self) -> Option<DialogEvent> {
        if self.stage == Stage::Over {
            return None;
        }
        loop {
            let state = match &mut self.outcome {
                Some(outcome) => tokio::select! {
                    biased;
                    state = self.states.recv() => state,
                    ended = outcome => {
                        self.outcome = None;
                        match self.invited(ended.map_err(other)) {
                            Some(event) => return Some(event),
                            None => continue,
                        }
                    }
                },
                None => self.states.recv().await,
            };
            let Some(state) = state else {
                self.stage = Stage::Over;
                return Some(DialogEvent::Ended(CauseCode::NORMAL_CLEARING));
            };
            if let Some(event) = self.event_of(state) {
                return Some(event);
            }
        }
    }

    /// Our INVITE has ended.
    fn invited(&mut self, ended: io::Result<InviteAsyncResult>) -> Option<DialogEvent> {
        let refused = match ended {
            Ok(Ok((_, Some(response)))) => {
                if response.status_code.kind() == StatusCodeKind::Successful {
                    return None;
                }
                let status = response.status_code.code();
                let contact = response.header_value("Contact").filter(|_| status < 400);
                let retry_after = response.header_value("Retry-After");
                Refused {
                    status,
                    reason: reason_in(&response),
                    silent: false,
                    instead: contact.as_deref().and_then(Party::read),
                    least_session: response
                        .header_value("Min-SE")
                        .and_then(|least| least.split(';').next()?.trim().parse().ok()),
                    retry_after: retry_after
                        .and_then(|after| after.split([';', '(', ' ']).next()?.parse().ok()),
                }
            }
            Ok(Ok((_, None))) => Refused::silent(408),
            Ok(Err(error)) => {
                tracing::debug!("SIP: {}: {error}", self.call_id());
                Refused::silent(503)
            }
            Err(_) => Refused::silent(500),
        };
        self.stage = Stage::Over;
        Some(DialogEvent::Refused(refused))
    }

    fn event_of(&mut self, state: DialogState) -> Option<DialogEvent> {
        let is_client = self.dialog.role() == TransactionRole::Client;
        match state {
            DialogState::Trying(_) if is_client => Some(DialogEvent::Progress(100, None)),
            DialogState::Early(_, response) if is_client => {
                Some(DialogEvent::Progress(response.status_code.code(), sdp_in(&response)))
            }
            DialogState::Confirmed(_, response) if self.stage == Stage::Early => {
                self.stage = Stage::Answered;
                if is_client {
                    let timer = response.header_value("Session-Expires");
                    let timer =
                        timer.and_then(|header| SessionTimer::read(&header, Side::Caller, ""));
                    return Some(DialogEvent::Answered(sdp_in(&response), timer));
                }
                let ack = self.dialog.last_remote_ack();
                let sdp = ack.filter(|ack| !ack.body.is_empty());
                let sdp = sdp.map(|ack| String::from_utf8_lossy(&ack.body).into_owned());
                Some(DialogEvent::Acknowledged(sdp))
            }
            DialogState::Updated(_, request, handle) => {
                let sdp = String::from_utf8_lossy(&request.body).into_owned();
                let sdp = Some(sdp).filter(|sdp| !sdp.is_empty());
                let asks = request.method == Method::Invite;
                Some(DialogEvent::Changed { sdp, asks, reply: Reply { handle } })
            }
            DialogState::Info(_, request, handle) => {
                let kind = request.header_value("Content-Type").unwrap_or_default();
                let body = String::from_utf8_lossy(&request.body).into_owned();
                Some(DialogEvent::Told(kind, body, Reply { handle }))
            }
            DialogState::Refer(_, request, handle) => {
                let to = request.header_value("Refer-To").unwrap_or_default();
                Some(DialogEvent::Referred(to, Reply { handle }))
            }
            DialogState::Options(_, _, handle) | DialogState::Notify(_, _, handle) => {
                let reply = Reply { handle };
                tokio::spawn(reply.answer(200, None, vec![("Allow", ALLOW.into())]));
                None
            }
            DialogState::Terminated(id, _) => {
                if is_client && self.stage == Stage::Early {
                    // How it was refused says its outcome.
                    return None;
                }
                self.stage = Stage::Over;
                let named = lock(&self.stack.causes).remove(&id.to_string());
                Some(DialogEvent::Ended(named.unwrap_or(CauseCode::NORMAL_CLEARING)))
            }
            _ => None,
        }
    }

    /// It rings here; with a description, what is heard comes already.
    pub(crate) fn ring(&self, sdp: Option<String>) {
        if let Some(reliable) = &self.reliable {
            return reliable.ring(sdp);
        }
        let headers = sdp.is_some().then(|| vec![Header::ContentType("application/sdp".into())]);
        self.tried(self.dialog.ringing(headers, sdp.map(String::into_bytes)));
    }

    /// Somebody has answered here.
    pub(crate) fn answer(&self, sdp: String, timer: Option<SessionTimer>) {
        let mut headers = vec![
            Header::ContentType("application/sdp".into()),
            Header::Other("Allow".into(), ALLOW.into()),
            Header::Other("Supported".into(), SUPPORTED.into()),
        ];
        if let Some(timer) = timer {
            headers.push(Header::Other("Session-Expires".into(), timer.header(Side::Called)));
            if !timer.ours {
                headers.push(Header::Other("Require".into(), "timer".into()));
            }
        }
        match &self.reliable {
            Some(reliable) => reliable.answer(headers, sdp.into_bytes()),
            None => self.tried(self.dialog.accept(Some(headers), Some(sdp.into_bytes()))),
        }
    }

    fn tried(&self, result: rsipstack::Result<()>) {
        if let Err(error) = result {
            tracing::debug!("SIP: {}: {error}", self.call_id());
        }
    }

    /// Changes the session to what this says, and gives the other side's description.
    pub(crate) fn change(
        &self,
        sdp: String,
        timer: Option<SessionTimer>,
    ) -> impl Future<Output = Option<String>> + use<> {
        let (dialog, stack, way) = (self.dialog.clone(), self.stack.clone(), self.way());
        async move {
            way.await;
            let mut headers = vec![Header::ContentType("application/sdp".into())];
            // In each request of its own we are the caller.
            headers.extend(
                timer.map(|timer| {
                    Header::Other("Session-Expires".into(), timer.header(Side::Caller))
                }),
            );
            for _ in 0..MOST_GLARES {
                let answer = {
                    let _changing = Changing::begin(&stack, &dialog.id());
                    dialog.reinvite(Some(headers.clone()), Some(sdp.clone().into_bytes())).await
                };
                let status = match &answer {
                    Ok(Some(response)) => response.status_code.clone(),
                    Ok(None) => return None,
                    Err(error) => {
                        tracing::debug!("SIP: {}: {error}", dialog.id());
                        return None;
                    }
                };
                if status.kind() == StatusCodeKind::Successful {
                    return answer.ok().flatten().as_ref().and_then(sdp_in);
                }
                if status != StatusCode::RequestPending {
                    return None;
                }
                // Both have begun at once; whoever has begun the call waits longer.
                let pause = match dialog.role() {
                    TransactionRole::Client => 2_100..4_000,
                    TransactionRole::Server => 0..2_000,
                };
                tokio::time::sleep(Duration::from_millis(fastrand::u64(pause))).await;
            }
            None
        }
    }

    /// Tells the other side a key (INFO with `application/dtmf-relay`).
    pub(crate) fn tell_key(&self, digit: char, millis: u64) {
        let (dialog, way) = (self.dialog.clone(), self.way());
        tokio::spawn(async move {
            way.await;
            let headers = vec![Header::ContentType("application/dtmf-relay".into())];
            let body = format!("Signal={digit}\r\nDuration={millis}\r\n");
            let _ = dialog.info(Some(headers), Some(body.into_bytes())).await;
        });
    }

    /// Tells the other side what has come of what it wanted (REFER, RFC 3515 §2.4.4).
    pub(crate) fn tell_referred(&mut self, status: u16) {
        let dialog = self.dialog.clone();
        let headers = vec![
            Header::Event("refer".into()),
            Header::SubscriptionState("terminated;reason=noresource".into()),
            Header::ContentType("message/sipfrag".into()),
        ];
        let body = format!("SIP/2.0 {}\r\n", StatusCode::from(status)).into_bytes();
        let way = self.way();
        self.telling = Some(tokio::spawn(async move {
            way.await;
            if let Err(error) = dialog.notify(Some(headers), Some(body)).await {
                tracing::debug!("SIP: {}: {error}", dialog.id());
            }
        }));
    }

    /// What it is known by.
    pub(crate) fn key(&self) -> DialogKey {
        let DialogId { call_id, local_tag, remote_tag } = self.id();
        DialogKey { call_id, our_tag: local_tag, their_tag: remote_tag }
    }

    /// Ends it: refuses a call from outside, gives one of ours up, or hangs up.
    pub(crate) fn hang_up(&mut self, cause: CauseCode) {
        if self.stage == Stage::Over {
            return;
        }
        let unanswered = self.stage == Stage::Early
            && self.dialog.role() == TransactionRole::Server
            && !matches!(
                self.dialog.state(),
                DialogState::WaitAck(..) | DialogState::Confirmed(..)
            );
        self.stage = Stage::Over;
        let reason = causes::reason(cause);
        if unanswered {
            let status = causes::status_for(cause);
            return self.tried(self.dialog.reject(Some(status.into()), Some(reason)));
        }
        let (dialog, stack, way) = (self.dialog.clone(), self.stack.clone(), self.way());
        let (outcome, telling) = (self.outcome.take(), self.telling.take());
        tokio::spawn(async move {
            if let Some(telling) = telling {
                // A dialog that is over cannot be told anything.
                let _ = tokio::time::timeout(LAST_WORD, telling).await;
            }
            way.await;
            let header = vec![Header::Reason(reason.into())];
            if let Err(error) = dialog.hangup_with_headers(Some(header)).await {
                tracing::debug!("SIP: {}: {error}", dialog.id());
            }
            if let Some(outcome) = outcome {
                // A final answer still comes, and is acknowledged.
                let _ = outcome.await;
            }
            stack.forget(&dialog.id());
        });
    }
}

/// A change of ours that the other side has not answered yet.
struct Changing {
    stack: Stack,
    dialog: String,
}

impl Changing {
    fn begin(stack: &Stack, dialog: &DialogId) -> Self {
        let changing = Self { stack: stack.clone(), dialog: dialog.to_string() };
        lock(&stack.changing).insert(changing.dialog.clone());
        changing
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        lock(&self.stack.changing).remove(&self.dialog);
    }
}

impl Drop for Dialog {
    fn drop(&mut self) {
        match self.stage {
            Stage::Over => self.stack.forget(&self.id()),
            _ => self.hang_up(CauseCode::NORMAL_CLEARING),
        }
    }
}

impl Stack {
    fn forget(&self, id: &DialogId) {
        self.layer.remove_dialog(id);
        lock(&self.causes).remove(&id.to_string());
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

/// A request outside of any dialog that begins no call.
async fn answer_outside(mut transaction: Transaction) {
    let allow = vec![Header::Other("Allow".into(), ALLOW.into())];
    let required = transaction.original.header_value("Require");
    let unknown = required.as_deref().and_then(unknown_in);
    let _ = match (transaction.original.method, unknown) {
        (Method::Ack, _) => Ok(()),
        (_, Some(unknown)) => {
            let unsupported = vec![Header::Unsupported(unknown.into())];
            transaction.reply_with(StatusCode::BadExtension, unsupported, None).await
        }
        (method, None) => answer_known(&mut transaction, method, allow).await,
    };
    while transaction.receive().await.is_some() {}
}

/// The same where it requires nothing that is not known here.
async fn answer_known(
    transaction: &mut Transaction,
    method: Method,
    allow: Vec<Header>,
) -> rsipstack::Result<()> {
    match method {
        Method::Options => {
            let mut headers = allow;
            headers.push(Header::Accept("application/sdp".into()));
            headers.push(Header::Other("Supported".into(), SUPPORTED.into()));
            transaction.reply_with(StatusCode::OK, headers, None).await
        }
        Method::Bye | Method::PRack | Method::Update | Method::Info | Method::Refer => {
            transaction.reply(StatusCode::CallTransactionDoesNotExist).await
        }
        Method::Notify => transaction.reply(StatusCode::OK).await,
        _ => transaction.reply_with(StatusCode::MethodNotAllowed, allow, None).await,
    }
}

fn reason_of(request: &Request) -> Option<CauseCode> {
    causes::cause_in_reason(&request.header_value("Reason")?)
}

fn reason_in(response: &Response) -> Option<CauseCode> {
    causes::cause_in_reason(&response.header_value("Reason")?)
}

fn sdp_in(response: &Response) -> Option<String> {
    let text = String::from_utf8_lossy(&response.body).into_owned();
    (!text.is_empty()).then_some(text)
}

fn credential(login: &Login) -> Credential {
    Credential {
        username: login.username.clone(),
        password: login.secret.expose().to_string(),
        realm: None,
        auth_username: login.auth_username.clone(),
    }
}

/// A name as the library has it, which puts it between quotation marks itself. For the requests that follow it
/// reads that again, and takes the first `<` for that of the URI and a mark at the end for its own.
fn display_name(name: &str) -> String {
    let quoted = super::message::quote(&name.replace(['<', '>'], "'"));
    let inside = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let mut inside = inside.unwrap_or_default().to_string();
    if inside.ends_with('"') {
        inside.push(' ');
    }
    inside
}

fn host_of(host: &str, port: Option<u16>) -> Result<HostWithPort, String> {
    let host = match host.parse::<IpAddr>() {
        Ok(ip) => Host::IpAddr(ip),
        Err(_) => Host::try_from(host).map_err(|error| format!("`{host}` is no host: {error}"))?,
    };
    Ok(HostWithPort { host, port: port.map(Into::into) })
}
