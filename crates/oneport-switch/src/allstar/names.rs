//! Nodes by DNS, as AllStarLink publishes them: `_iax._udp.NODE.nodes.allstarlink.org` has an SRV record with the port,
//! and the name that this names has the address.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};

/// Nodes with fewer digits are private to their owner, and in no public zone.
const SHORTEST: usize = 4;

/// Asks name servers.
pub(super) struct Names {
    resolver: TokioResolver,
    zone: String,
}

/// Where a node is, and for how long that holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) address: SocketAddr,
    pub(super) holds: Duration,
}

impl Names {
    /// Asks these, or those of the system where there are none. `limit`: how long one question takes at most.
    ///
    /// # Errors
    /// In words: the system's settings cannot be read.
    pub(super) fn ask(servers: &[SocketAddr], zone: &str, limit: Duration) -> Result<Self, String> {
        let wrong =
            |error: &dyn std::fmt::Display| format!("name servers cannot be asked: {error}");
        let builder = match servers {
            [] => TokioResolver::builder_tokio().map_err(|error| wrong(&error))?,
            servers => {
                let mut config = ResolverConfig::default();
                for server in servers {
                    let mut known = NameServerConfig::udp_and_tcp(server.ip());
                    for connection in &mut known.connections {
                        connection.port = server.port();
                    }
                    config.add_name_server(known);
                }
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let mut builder = builder;
        let options: &mut ResolverOpts = builder.options_mut();
        // What is found is kept by who asks, with bounds of its own.
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        // A lost datagram is sent again within the limit.
        options.timeout = limit / 3;
        options.attempts = 2;
        let resolver = builder.build().map_err(|error| wrong(&error))?;
        Ok(Self { resolver, zone: zone.trim_matches('.').into() })
    }

    /// Where a node is; `None` where the zone does not have it.
    ///
    /// # Errors
    /// In words: nothing was to be learnt.
    pub(super) async fn node(&self, node: &str) -> Result<Option<Found>, String> {
        if node.len() < SHORTEST {
            return Ok(None);
        }
        let name = format!("_iax._udp.{node}.{}.", self.zone);
        let found = match self.resolver.lookup(name.as_str(), RecordType::SRV).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(None),
            Err(error) => return Err(format!("{name}: {error}")),
        };
        let servers = found.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(server) if server.port > 0 => Some(server),
            _ => None,
        });
        // There is one; of several the one that goes first (RFC 2782).
        let Some(server) = servers.min_by_key(|server| server.priority) else { return Ok(None) };
        let Some((ip, until)) = self.host(&server.target.to_string()).await? else {
            return Ok(None);
        };
        let until = until.min(found.valid_until());
        let address = SocketAddr::new(ip, server.port);
        Ok(Some(Found { address, holds: until.saturating_duration_since(Instant::now()) }))
    }

    /// The address of a host, and until when that holds.
    pub(super) async fn host(&self, host: &str) -> Result<Option<(IpAddr, Instant)>, String> {
        let found = match self.resolver.lookup_ip(host).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(None),
            Err(error) => return Err(format!("{host}: {error}")),
        };
        Ok(found.iter().next().map(|ip| (ip, found.valid_until())))
    }
}
