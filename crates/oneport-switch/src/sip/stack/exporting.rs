//! Copies of messages for whoever collects signalling, as they are on the wire.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use rsipstack::sip::SipMessage;
use rsipstack::transaction::endpoint::MessageInspector;
use rsipstack::transport::SipAddr;

use super::super::settings::Transport;
use super::doorway::{address_of, transport_of};
use super::local_towards;
use crate::hep::{Carrier, Exporter};

/// Who hands copies on; nobody before the switch has said so, or where it has nobody.
pub(crate) type Export = Arc<OnceLock<Exporter>>;

/// Copies what another inspector has done to a message that is sent, and what comes before it does anything.
pub(super) struct Copying<I> {
    pub(super) inner: I,
    pub(super) export: Export,
    /// Where we listen.
    pub(super) listens: Arc<[(Transport, SocketAddr)]>,
}

impl<I: MessageInspector> MessageInspector for Copying<I> {
    fn before_send(&self, message: SipMessage, to: Option<&SipAddr>) -> SipMessage {
        let message = self.inner.before_send(message, to);
        self.copy(&message, to, false);
        message
    }

    fn after_received(&self, message: SipMessage, from: Option<&SipAddr>) -> SipMessage {
        self.copy(&message, from, true);
        self.inner.after_received(message, from)
    }
}

impl<I> Copying<I> {
    fn copy(&self, message: &SipMessage, other: Option<&SipAddr>, incoming: bool) {
        let Some(exporter) = self.export.get() else { return };
        let text = message.to_string();
        let known = other.and_then(|other| Some((transport_of(other)?, address_of(other)?)));
        // An answer goes where its request has come from, which the topmost Via says; a request, such as the ACK of
        // a call that is taken, where its Route or its first line says.
        let via = || header(&text, "Via", "v").and_then(way_back);
        let known = known.or_else(|| match message {
            SipMessage::Response(_) => via(),
            SipMessage::Request(_) => {
                let uri = header(&text, "Route", "Route").or_else(|| text.split(' ').nth(1));
                Some((via()?.0, uri.and_then(host_of)?))
            }
        });
        let Some((transport, remote)) = known else { return };
        let local = self.local(transport, remote);
        let ways = if incoming { (remote, local) } else { (local, remote) };
        let carrier = if transport == Transport::Udp { Carrier::Udp } else { Carrier::Tcp };
        exporter.sip(ways, carrier, header(&text, "Call-ID", "i"), &text);
    }

    /// Where we speak with somebody from.
    fn local(&self, transport: Transport, remote: SocketAddr) -> SocketAddr {
        let same = |(known, _): &&(Transport, SocketAddr)| *known == transport;
        let listens = self.listens.iter().find(same).or_else(|| self.listens.first());
        let mut local = listens.map_or_else(|| ([0, 0, 0, 0], 0).into(), |(_, address)| *address);
        if local.ip().is_unspecified()
            && let Some(ip) = local_towards(remote)
        {
            local.set_ip(ip);
        }
        local
    }
}

/// The value of the first header of this name, or its short one.
fn header<'a>(text: &'a str, name: &str, short: &str) -> Option<&'a str> {
    let head = text.lines().skip(1).take_while(|line| !line.is_empty());
    let mut headers = head.filter_map(|line| line.split_once(':'));
    let is_it = |own: &str| own.eq_ignore_ascii_case(name) || own.eq_ignore_ascii_case(short);
    headers.find(|(own, _)| is_it(own.trim())).map(|(_, value)| value.trim())
}

/// The host of a URI, with its port, where it is an address.
fn host_of(uri: &str) -> Option<SocketAddr> {
    let (_, rest) = uri.split_once("sip:").or_else(|| uri.split_once("sips:"))?;
    let rest = rest.split(['>', ';', '?', ' ', ',']).next()?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let alone = || Some(SocketAddr::new(host.trim_matches(['[', ']']).parse().ok()?, 5060));
    host.parse().ok().or_else(alone)
}

/// Where an answer goes by its Via (RFC 3261 §18.2.2, RFC 3581).
fn way_back(via: &str) -> Option<(Transport, SocketAddr)> {
    let first = via.split(',').next()?;
    let (protocol, rest) = first.split_once(char::is_whitespace)?;
    let transport = Transport::named(&protocol.rsplit('/').next()?.to_ascii_lowercase())?;
    let mut parts = rest.split(';').map(str::trim);
    let sent_by = parts.next()?;
    let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
    let of = |name: &str| {
        let found = parameters.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    };
    let (host, port) = match sent_by.parse::<SocketAddr>() {
        Ok(address) => (address.ip().to_string(), address.port()),
        Err(_) => match sent_by.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host.to_string(), port),
            _ => (sent_by.to_string(), if transport == Transport::Tls { 5061 } else { 5060 }),
        },
    };
    let host = of("received").unwrap_or(&host).trim_matches(['[', ']']);
    let port = of("rport").and_then(|port| port.parse().ok()).unwrap_or(port);
    Some((transport, SocketAddr::new(host.parse().ok()?, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_by_either_name_and_only_in_the_head() {
        let text = "SIP/2.0 200 OK\r\nv: one\r\nVia: two\r\ncall-id : abc@x\r\n\r\nFrom: body\r\n";
        assert_eq!(header(text, "Via", "v"), Some("one"));
        assert_eq!(header(text, "Call-ID", "i"), Some("abc@x"));
        assert_eq!(header(text, "From", "f"), None);
    }

    #[test]
    fn a_request_goes_where_its_uri_says() {
        for (uri, expected) in [
            ("sip:100@192.0.2.1:5070;transport=udp", Some("192.0.2.1:5070")),
            ("<sip:192.0.2.1;lr>, <sip:192.0.2.2;lr>", Some("192.0.2.1:5060")),
            ("sip:a@[2001:db8::1]:5062", Some("[2001:db8::1]:5062")),
            ("sip:[2001:db8::1]", Some("[2001:db8::1]:5060")),
            ("sip:100@sip.example.org", None),
            ("tel:100", None),
        ] {
            assert_eq!(host_of(uri), expected.map(|one| one.parse().expect("an address")), "{uri}");
        }
    }

    #[test]
    fn an_answer_goes_where_its_via_says() {
        for (via, expected) in [
            ("SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1", "udp 192.0.2.1:5062"),
            ("SIP/2.0/UDP 10.0.0.1;received=192.0.2.1;rport=6000, x", "udp 192.0.2.1:6000"),
            ("SIP/2.0/TCP phone.invalid;rport=7;received=192.0.2.9", "tcp 192.0.2.9:7"),
            ("SIP/2.0/TLS 192.0.2.1;branch=1", "tls 192.0.2.1:5061"),
            ("SIP/2.0/UDP [2001:db8::1]:5060;rport", "udp [2001:db8::1]:5060"),
        ] {
            let (transport, address) = way_back(via).expect(via);
            assert_eq!(format!("{} {address}", transport.name()).to_lowercase(), expected);
        }
        for none in ["", "SIP/2.0/UDP", "SIP/2.0/UDP host", "SIP/2.0/XYZ 192.0.2.1"] {
            assert_eq!(way_back(none), None, "{none}");
        }
    }
}
