//! Where a host is, by what name servers say of it (RFC 3263): which transports it prefers (NAPTR), its servers for
//! each (SRV), and their addresses.

use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use rsipstack::resolver::SipResolver;
use rsipstack::sip::Domain;

use super::super::settings::Transport;
use super::super::standing::Target;
use super::as_library;

/// So many NAPTR entries of a host are followed.
const MOST_POINTERS: usize = 8;

/// Asks name servers.
#[derive(Clone)]
pub(super) struct Names {
    servers: SipResolver,
    /// `None`: the system's settings cannot be read, and the system itself is asked, which knows no NAPTR.
    pointers: Option<TokioResolver>,
}

/// What a NAPTR entry says.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pointer {
    order: u16,
    preference: u16,
    flags: String,
    service: String,
    /// The name of its SRV entries.
    to: String,
}

impl Names {
    /// Asks these, or those of the system where there are none.
    pub(super) fn ask(name_servers: &[IpAddr]) -> Self {
        if name_servers.is_empty() {
            let builder = TokioResolver::builder_tokio().ok();
            let pointers = builder.and_then(|builder| builder.build().ok());
            return Self { servers: SipResolver::new(), pointers };
        }
        let mut config = ResolverConfig::default();
        for address in name_servers {
            config.add_name_server(NameServerConfig::udp_and_tcp(*address));
        }
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        Self {
            servers: SipResolver::with_nameservers(name_servers.to_vec()),
            pointers: builder.build().ok(),
        }
    }

    /// The servers of a host, in the order in which they are to be tried. `transport`: by this one alone;
    /// `None`: by those that the host prefers, and UDP where it says nothing.
    ///
    /// # Errors
    /// In words, why it has none.
    pub(super) async fn look_up(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Result<Vec<Target>, String> {
        if transport.is_some() || port.is_some() {
            return self.by_transport(host, port, transport.unwrap_or(Transport::Udp)).await;
        }
        let mut found = Vec::new();
        for (transport, domain) in preferred(self.pointers_of(host).await) {
            // Another of them may be there.
            let servers = self.by_transport(&domain, None, transport).await.unwrap_or_default();
            found.extend(servers);
        }
        if !found.is_empty() {
            return Ok(found);
        }
        let domain = Domain::from(host);
        let found = self.servers.lookup(&domain, None, None, false).await?;
        let each = found.into_iter().filter_map(|target| {
            let known = [Transport::Udp, Transport::Tcp, Transport::Tls];
            let transport = known.into_iter().find(|one| as_library(*one) == target.transport)?;
            Some(Target { transport, address: target.addr })
        });
        Ok(each.collect())
    }

    async fn by_transport(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Transport,
    ) -> Result<Vec<Target>, String> {
        let (domain, secure) = (Domain::from(host), transport == Transport::Tls);
        let wanted = Some(as_library(transport));
        let found = self.servers.lookup(&domain, port.map(Into::into), wanted, secure).await?;
        Ok(found.into_iter().map(|target| Target { transport, address: target.addr }).collect())
    }

    async fn pointers_of(&self, host: &str) -> Vec<Pointer> {
        let Some(resolver) = &self.pointers else { return Vec::new() };
        // That there are none is no fault.
        let Ok(found) = resolver.lookup(host, RecordType::NAPTR).await else { return Vec::new() };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let each = found.answers().iter().filter_map(|record| match &record.data {
            RData::NAPTR(naptr) => Some(Pointer {
                order: naptr.order,
                preference: naptr.preference,
                flags: text(&naptr.flags),
                service: text(&naptr.services),
                to: naptr.replacement.to_string(),
            }),
            _ => None,
        });
        each.collect()
    }
}

/// Transports and the domains of their servers, the best first, of entries that are about SIP.
fn preferred(mut pointers: Vec<Pointer>) -> Vec<(Transport, String)> {
    pointers.sort_by_key(|pointer| (pointer.order, pointer.preference));
    let each = pointers.into_iter().filter_map(|pointer| {
        let (transport, prefix) = match pointer.service.to_ascii_uppercase().as_str() {
            "SIP+D2U" => (Transport::Udp, "_sip._udp."),
            "SIP+D2T" => (Transport::Tcp, "_sip._tcp."),
            "SIPS+D2T" => (Transport::Tls, "_sips._tcp."),
            _ => return None,
        };
        // What it leads to are SRV entries, of a name that begins so (RFC 3263 §4.1).
        let name = pointer.to.to_ascii_lowercase();
        let domain = name.strip_prefix(prefix)?.trim_end_matches('.');
        let is_srv = pointer.flags.eq_ignore_ascii_case("s") && !domain.is_empty();
        is_srv.then(|| (transport, domain.to_string()))
    });
    each.take(MOST_POINTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_prefers_is_tried_in_its_order_and_what_is_not_sip_is_left_out() {
        let pointer = |order, preference, flags: &str, service: &str, to: &str| Pointer {
            order,
            preference,
            flags: flags.into(),
            service: service.into(),
            to: to.into(),
        };
        let found = preferred(vec![
            pointer(50, 50, "s", "SIP+D2U", "_sip._udp.example.org."),
            pointer(20, 60, "S", "sip+d2t", "_SIP._tcp.Pop.example.org."),
            pointer(20, 10, "s", "SIPS+D2T", "_sips._tcp.example.org."),
            pointer(1, 1, "u", "E2U+sip", "example.org."),
            pointer(1, 2, "s", "SIP+D2U", "_sip._tcp.example.org."),
            pointer(1, 3, "a", "SIP+D2U", "_sip._udp.example.org."),
            pointer(1, 4, "s", "SIP+D2U", "."),
            pointer(1, 5, "s", "SIP+D2S", "_sip._sctp.example.org."),
        ]);
        let expected = [
            (Transport::Tls, "example.org"),
            (Transport::Tcp, "pop.example.org"),
            (Transport::Udp, "example.org"),
        ];
        assert_eq!(found, expected.map(|(transport, domain)| (transport, domain.to_string())));
        let many = (0..100).map(|n| pointer(n, 0, "s", "SIP+D2U", "_sip._udp.example.org."));
        assert_eq!(preferred(many.collect()).len(), MOST_POINTERS);
    }
}
