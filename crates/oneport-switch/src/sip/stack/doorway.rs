//! What is done to each message before anything else: who is unknown is not heard, and what is heard
//! says where it has come from.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use oneport_wire::CauseCode;
use rsipstack::sip::prelude::{HeadersExt, ToTypedHeader};
use rsipstack::sip::{Contact, Header, Headers, Method, Param, Request, SipMessage};
use rsipstack::transaction::endpoint::{MessageInspector, TransportEventInspector};
use rsipstack::transport::{SipAddr, SipConnection, TransportEvent};

use super::super::elsewhere::Elsewhere;
use super::super::settings::Transport;
use super::super::streams::Most;
use super::super::{causes, challenges};
use super::as_library;

/// Who may speak to us at all.
pub(crate) trait Door: Send + Sync + 'static {
    /// Whether anything that comes from this address is looked at.
    fn knows(&self, address: IpAddr) -> bool;

    /// Whether a request from there is; `registers`: it is a REGISTER.
    fn admits(&self, from: IpAddr, registers: bool, user_agent: Option<&str>) -> bool;

    /// Whether whoever is there may be behind a NAT, so that it is called back where its packets come
    /// from.
    fn is_called_back(&self, address: IpAddr) -> bool;

    /// Whether a carrier is there, or a phone that has registered.
    fn lives_at(&self, address: IpAddr) -> bool;

    /// How many connections others may have here.
    fn most_connections(&self) -> Most;
}

/// Where a message has come from.
pub(super) fn address_of(from: &SipAddr) -> Option<SocketAddr> {
    let address = from.get_socketaddr().ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// Drops what is not to be heard, before the library keeps or answers anything of it.
pub(super) struct Doorman(pub(super) Arc<dyn Door>, pub(super) Arc<Elsewhere>);

impl Doorman {
    fn admits(&self, message: &SipMessage, from: &SipAddr) -> bool {
        let SipMessage::Request(request) = message else { return true };
        let Some(from) = address_of(from) else { return false };
        let registers = request.method == Method::Register;
        let user_agent = request.header_value("User-Agent");
        self.0.admits(from.ip(), registers, user_agent.as_deref())
    }

    /// Whether it has come by a connection of ours, and is for a dialog of another process, which gets it.
    fn is_elsewhere(
        &self,
        message: &SipMessage,
        connection: &SipConnection,
        from: &SipAddr,
    ) -> bool {
        let is_stream = matches!(connection, SipConnection::Tcp(_) | SipConnection::Tls(_));
        let place = transport_of(from).zip(address_of(from)).filter(|_| is_stream);
        place.is_some_and(|(transport, from)| {
            self.1.takes_streamed(transport, from, || message.to_bytes())
        })
    }

    /// Notes which call begins with it, if one does.
    fn note(&self, message: &SipMessage) {
        let SipMessage::Request(request) = message else { return };
        let begins = request.method == Method::Invite
            && request.to_header().and_then(|to| to.tag()).is_ok_and(|tag| tag.is_none());
        if let Ok(call_id) = request.call_id_header()
            && begins
        {
            self.1.begins(call_id.value());
        }
    }
}

impl TransportEventInspector for Doorman {
    fn handle<'a, 'b>(
        &'a self,
        event: TransportEvent,
    ) -> std::pin::Pin<Box<dyn Future<Output = Option<TransportEvent>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let event = match &event {
            TransportEvent::Incoming(message, connection, from)
                if self.is_elsewhere(message, connection, from) =>
            {
                None
            }
            TransportEvent::Incoming(message, _, from) if !self.admits(message, from) => None,
            TransportEvent::Incoming(message, ..) => {
                self.note(message);
                Some(event)
            }
            _ => Some(event),
        };
        Box::pin(std::future::ready(event))
    }
}

/// The header in which a request says where it has come from, on its way through the library.
const SOURCE: &str = "X-Oneport-Source";

/// Writes on each request where it has come from: a sender could write anything into its Via. Of
/// whoever may be behind a NAT the Contact is made to say the same, since the library goes by it.
/// Challenges that come and proofs that go are made readable for whom they are, and whoever is refused as
/// the switch has too much to do is told when to try again, which the library's dialogs cannot say.
pub(super) struct Postmark(pub(super) Arc<dyn Door>);

impl MessageInspector for Postmark {
    fn before_send(&self, mut message: SipMessage, _: Option<&SipAddr>) -> SipMessage {
        if let SipMessage::Response(response) = &mut message
            && response.status_code.code() == 503
        {
            tell_when_to_try_again(&mut response.headers);
        }
        if let SipMessage::Request(request) = &mut message {
            for header in request.headers.iter_mut() {
                match header {
                    Header::Authorization(proof) => {
                        if let Some(sent) = challenges::sent(proof.value()) {
                            *proof = sent.into();
                        }
                    }
                    Header::ProxyAuthorization(proof) => {
                        if let Some(sent) = challenges::sent(proof.value()) {
                            *proof = sent.into();
                        }
                    }
                    _ => {}
                }
            }
        }
        message
    }

    fn after_received(&self, mut message: SipMessage, from: Option<&SipAddr>) -> SipMessage {
        let from = from.and_then(|from| Some((transport_of(from)?, address_of(from)?)));
        let called_back = from.filter(|(_, from)| self.0.is_called_back(from.ip()));
        match &mut message {
            SipMessage::Request(request) => {
                request.headers.retain(|header| !header.name().eq_ignore_ascii_case(SOURCE));
                if let Some((transport, from)) = from {
                    let text = format!("{} {from}", transport.name());
                    request.headers.push(Header::Other(SOURCE.into(), text));
                }
                // A phone that registers is told what it has said itself.
                if let Some(from) = called_back.filter(|_| request.method != Method::Register) {
                    call_back(&mut request.headers, from);
                }
            }
            SipMessage::Response(response) => {
                response.headers.0.retain_mut(is_readable);
                // Elsewhere a Contact is somebody else: whom to call instead.
                let of_dialog = (101..300).contains(&response.status_code.code());
                if let Some(from) = called_back.filter(|_| of_dialog) {
                    call_back(&mut response.headers, from);
                }
            }
        }
        message
    }
}

/// How long somebody who is refused with cause 42 leaves us alone, in seconds: it is the time that a switch
/// needs, where nothing else is configured, to see that it has less to do.
const AGAIN: u32 = 5;

/// Adds Retry-After (RFC 3261 §21.5.4) to a refusal whose cause is congestion of the switch itself.
fn tell_when_to_try_again(headers: &mut Headers) {
    let congested = headers.iter().any(|header| match header {
        Header::Reason(reason) => {
            causes::cause_in_reason(reason.value()) == Some(CauseCode::SWITCH_CONGESTION)
        }
        _ => false,
    });
    let told = headers.iter().any(|header| header.name().eq_ignore_ascii_case("Retry-After"));
    if congested && !told {
        headers.push(Header::Other("Retry-After".into(), AGAIN.to_string()));
    }
}

/// Whether a header can be read by the library; a challenge is rewritten for it, or else left out.
fn is_readable(header: &mut Header) -> bool {
    let (challenge, is_of_proxy) = match header {
        Header::WwwAuthenticate(challenge) => (challenge.value(), false),
        Header::ProxyAuthenticate(challenge) => (challenge.value(), true),
        _ => return true,
    };
    let Some(readable) = challenges::readable(challenge) else { return false };
    *header = match is_of_proxy {
        false => Header::WwwAuthenticate(readable.into()),
        true => Header::ProxyAuthenticate(readable.into()),
    };
    true
}

/// Makes the Contact say where a message has come from.
fn call_back(headers: &mut Headers, (transport, from): (Transport, SocketAddr)) {
    // Behind a proxy it is for the proxy to say.
    if headers.iter().any(|header| matches!(header, Header::RecordRoute(_))) {
        return;
    }
    for header in headers.iter_mut() {
        let Header::Contact(written) = header else { continue };
        let Ok(mut contact) = written.typed() else { continue };
        let host = contact.uri.host_with_port.to_string();
        let knows_itself = host.parse::<SocketAddr>().is_ok_and(|own| own.ip() == from.ip());
        if transport == Transport::Udp && knows_itself {
            continue;
        }
        contact.uri.host_with_port = from.into();
        contact.uri.params.retain(|param| !matches!(param, Param::Transport(_)));
        if transport != Transport::Udp {
            contact.uri.params.push(Param::Transport(as_library(transport)));
        }
        *header = Contact::from(contact).into();
    }
}

pub(super) fn transport_of(from: &SipAddr) -> Option<Transport> {
    [Transport::Udp, Transport::Tcp, Transport::Tls]
        .into_iter()
        .find(|transport| from.r#type == Some(as_library(*transport)))
}

/// Where a request has come from.
pub(super) fn source_of(request: &Request) -> Option<(Transport, SocketAddr)> {
    let source = request.header_value(SOURCE)?;
    let (transport, address) = source.split_once(' ')?;
    Some((Transport::named(transport)?, address.parse().ok()?))
}
