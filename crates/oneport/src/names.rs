//! Where names lead, by what name servers say: servers of a service (SRV, RFC 2782), and addresses of hosts.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use oneport_proto::Place;
use oneport_wire::DEFAULT_PORT;

use crate::target::{ResolveError, Target};

/// How long name servers may take to say which servers a host has; then its own addresses count.
const PATIENCE: Duration = Duration::from_secs(2);

/// Endings of names that no name server knows (RFC 6761, RFC 6762).
const LOCAL: [&str; 3] = ["invalid", "local", "localhost"];

/// What the choice among servers of one priority depends on beside their weights: the same as long as this process runs.
static DRAW: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Asks name servers.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use oneport::{Names, Target};
///
/// let names = Names::ask(&["192.0.2.53:53".parse()?], std::time::Duration::from_secs(2))?;
/// let target: Target = "iax:ann@example.org".parse()?;
/// for place in names.places(&target).await? {
///     println!("{} (rank {})", place.address, place.rank);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Names {
    resolver: TokioResolver,
}

/// What was found, in the order in which it is to be tried, and until when that holds.
///
/// ```no_run
/// # async fn example(names: oneport::Names) -> Result<(), String> {
/// use std::time::Instant;
///
/// if let Some(found) = names.host("pbx.example.org").await? {
///     // IPv4 comes before IPv6.
///     println!("{}", found.all[0]);
///     assert!(found.until > Instant::now(), "name servers say how long it holds");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found<T> {
    /// All of it; never nothing.
    pub all: Vec<T>,
    /// Until when.
    pub until: Instant,
}

/// One server of a service (SRV).
///
/// ```no_run
/// # async fn example(names: oneport::Names) -> Result<(), String> {
/// use oneport::Server;
///
/// if let Some(servers) = names.servers("_iax._udp.example.org.").await? {
///     for Server { priority, weight, port, host } in servers.all {
///         println!("{host}:{port}, {weight} of those of priority {priority}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// The lowest goes first.
    pub priority: u16,
    /// How large its share is among those of the same priority.
    pub weight: u16,
    /// The UDP port.
    pub port: u16,
    /// The name of its host.
    pub host: String,
}

impl Names {
    /// Asks these, or those of the system where there are none. `limit`: how long one question takes at most.
    ///
    /// # Errors
    /// In words: the system's settings cannot be read.
    pub fn ask(servers: &[SocketAddr], limit: Duration) -> Result<Self, String> {
        let wrong =
            |error: &dyn std::fmt::Display| format!("name servers cannot be asked: {error}");
        let mut builder = match servers {
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
        let options: &mut ResolverOpts = builder.options_mut();
        // What is found is kept by who asks, with bounds of its own.
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        // A lost datagram is sent again within the limit.
        options.timeout = limit / 3;
        options.attempts = 2;
        let resolver = builder.build().map_err(|error| wrong(&error))?;
        Ok(Self { resolver })
    }

    /// The servers of a service, such as `_iax._udp.example.org.`: by priority, and by weight within one (RFC 2782). `None`:
    /// there are no such entries.
    ///
    /// # Errors
    /// In words: nothing was to be learnt.
    pub async fn servers(&self, service: &str) -> Result<Option<Found<Server>>, String> {
        let found = match self.resolver.lookup(service, RecordType::SRV).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(None),
            Err(error) => return Err(format!("{service}: {error}")),
        };
        let mut all: Vec<Server> = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(server) => Some(Server {
                    priority: server.priority,
                    weight: server.weight,
                    port: server.port,
                    host: server.target.to_string(),
                }),
                _ => None,
            })
            .collect();
        put_in_order(&mut all, &*DRAW);
        Ok((!all.is_empty()).then(|| Found { all, until: found.valid_until() }))
    }

    /// The addresses of a host, IPv4 before IPv6. `None`: it has none.
    ///
    /// # Errors
    /// In words: nothing was to be learnt.
    pub async fn host(&self, host: &str) -> Result<Option<Found<IpAddr>>, String> {
        let found = match self.resolver.lookup_ip(host).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(None),
            Err(error) => return Err(format!("{host}: {error}")),
        };
        let all: Vec<IpAddr> = found.iter().collect();
        Ok((!all.is_empty()).then(|| Found { all, until: found.valid_until() }))
    }

    /// All places that a target leads to, in the order in which they are to be tried: those of its SRV entries
    /// (`_iax._udp`) where it is a name without a port, else its own addresses, as the system knows them.
    ///
    /// # Errors
    /// It cannot be found, or its SRV entries say that there is no such service.
    pub async fn places(&self, target: &Target) -> Result<Vec<Place>, ResolveError> {
        let asked = async {
            if !has_servers(target) {
                return Ok(None);
            }
            let host = target.host.trim_end_matches('.');
            self.servers(&format!("_iax._udp.{host}.")).await
        };
        let found = tokio::time::timeout(PATIENCE, asked).await;
        // Where nothing is to be learnt of servers, the host may be found all the same.
        let Ok(Ok(Some(servers))) = found else { return addresses(target).await };
        let mut places = Vec::new();
        let first = servers.all.first().map_or(0, |server| server.priority);
        for server in &servers.all {
            // One whose host cannot be found is left out: there are others.
            let Ok(Some(hosts)) = self.host(&server.host).await else { continue };
            places.extend(hosts.all.into_iter().map(|ip| Place {
                address: SocketAddr::new(ip, server.port),
                rank: server.priority - first,
            }));
        }
        if places.is_empty() {
            return Err(ResolveError::NoAddress(target.host.clone()));
        }
        Ok(places)
    }
}

/// Whether a target may have SRV entries. One with port 4569 is the same as one without a port (RFC 5456 §5.2).
fn has_servers(target: &Target) -> bool {
    let host = target.host.trim_end_matches('.');
    let end = host.rsplit_once('.').map(|(_, end)| end);
    target.port == DEFAULT_PORT
        && host.parse::<IpAddr>().is_err()
        && end.is_some_and(|end| !LOCAL.iter().any(|local| end.eq_ignore_ascii_case(local)))
}

/// The addresses that the system has for a target: each as good as the others.
pub(crate) async fn addresses(target: &Target) -> Result<Vec<Place>, ResolveError> {
    let lookup = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let failed = |source| ResolveError::Lookup { host: target.host.clone(), source };
    let mut places: Vec<Place> =
        lookup.map_err(failed)?.map(|address| Place { address, rank: 0 }).collect();
    places.sort_by_key(|place| place.address.is_ipv6());
    places.dedup();
    if places.is_empty() {
        return Err(ResolveError::NoAddress(target.host.clone()));
    }
    Ok(places)
}

/// By priority, and within one so that each is first as often as its weight says. Of the servers it depends, and of `draw`,
/// but not of the order in which the name server has named them.
fn put_in_order(servers: &mut [Server], draw: &impl BuildHasher) {
    // Who waits for the first of several independent events sees each first in proportion to its rate.
    let waits = |server: &Server| {
        let drawn = draw.hash_one((&server.host, server.port)) >> 11;
        let share = (drawn as f64 + 0.5) / (1_u64 << 53) as f64;
        // Weight 0 has "a very small chance of being selected" beside others.
        -share.ln() / f64::from(server.weight).max(0.01)
    };
    servers.sort_by(|one, other| {
        one.priority.cmp(&other.priority).then(waits(one).total_cmp(&waits(other)))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(priority: u16, weight: u16, host: &str) -> Server {
        Server { priority, weight, port: 4569, host: host.into() }
    }

    #[test]
    fn priority_goes_before_weight_and_weights_are_shares() {
        let (mut first, mut second) = ([0_u32; 3], 0);
        let names = ["a", "b", "c"];
        for _ in 0..4_000 {
            let mut servers = [
                server(20, 60_000, "late"),
                server(10, 10, "a"),
                server(10, 30, "b"),
                server(10, 0, "c"),
            ];
            put_in_order(&mut servers, &RandomState::new());
            assert_eq!(servers[3].host, "late");
            let at = names.iter().position(|name| *name == servers[0].host).expect("one of them");
            first[at] += 1;
            second += u32::from(servers[1].host == "c");
        }
        // 1,000, 3,000 and none to speak of; 150 is more than five times the standard deviation.
        assert!(first[0].abs_diff(1_000) < 150, "{first:?}");
        assert!(first[1].abs_diff(3_000) < 150, "{first:?}");
        assert!(first[2] < 20 && second < 20, "{first:?} {second}");
    }

    #[test]
    fn the_order_of_an_answer_is_of_no_account() {
        let draw = RandomState::new();
        let mut one = vec![server(1, 5, "a"), server(1, 5, "b"), server(0, 1, "c")];
        let mut other: Vec<Server> = one.iter().rev().cloned().collect();
        put_in_order(&mut one, &draw);
        put_in_order(&mut other, &draw);
        assert_eq!(one, other);
    }

    #[test]
    fn addresses_ports_and_local_names_have_no_servers() {
        for (text, asked) in [
            ("example.org", true),
            ("example.org:4569", true),
            ("example.org:4570", false),
            ("192.0.2.1", false),
            ("[2001:db8::1]", false),
            ("localhost", false),
            ("pbx", false),
            ("pbx.local", false),
            ("nobody.invalid.", false),
        ] {
            assert_eq!(has_servers(&text.parse().unwrap()), asked, "{text}");
        }
    }
}
