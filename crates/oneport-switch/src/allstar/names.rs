//! Nodes by DNS, as AllStarLink publishes them: `_iax._udp.NODE.nodes.allstarlink.org` has an SRV record with the port,
//! and the name that this names has the address.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use oneport::Server;

/// Nodes with fewer digits are private to their owner, and in no public zone.
const SHORTEST: usize = 4;

/// Asks name servers.
pub(super) struct Names {
    names: oneport::Names,
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
        let names = oneport::Names::ask(servers, limit)?;
        Ok(Self { names, zone: zone.trim_matches('.').into() })
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
        let Some(found) = self.names.servers(&name).await? else { return Ok(None) };
        // There is one; of several the one that goes first.
        let Some(server) = found.all.iter().find(|server| server.port > 0) else { return Ok(None) };
        let Server { host, port, .. } = server;
        let Some((ip, until)) = self.host(host).await? else { return Ok(None) };
        let until = until.min(found.until);
        let address = SocketAddr::new(ip, *port);
        Ok(Some(Found { address, holds: until.saturating_duration_since(Instant::now()) }))
    }

    /// The address of a host, and until when that holds.
    pub(super) async fn host(&self, host: &str) -> Result<Option<(IpAddr, Instant)>, String> {
        let found = self.names.host(host).await?;
        Ok(found.and_then(|found| Some((*found.all.first()?, found.until))))
    }
}
