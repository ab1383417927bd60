//! `[allstar]`: how nodes of AllStarLink are looked up.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::error::ConfigError;
use super::source::Source;
use super::spanned::Spanned;
use super::timers::Range;
use crate::allstar::NodesConfig;

/// The port of name servers.
const DNS: u16 = 53;

const LIMIT: Range =
    Range::ms("the time for a look-up", 100, 10_000, "3000 is enough for a name server far away");
const NOT_FOUND: Range = Range::seconds(
    "the time for which a node is not looked up again",
    5,
    3_600,
    "30 as the zone's own",
);

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AllStarKeys {
    /// Whether name servers are asked (`node_lookup_method` of `app_rpt`: `dns`, or with a list `both`). What they say
    /// holds as long as they say, from 5 s to an hour.
    #[schemars(extend("default" = true))]
    dns: Option<bool>,
    /// The zone: node 2000 is `_iax._udp.2000.` in it.
    #[schemars(extend("default" = "nodes.allstarlink.org"))]
    zone: Option<Spanned<String>>,
    /// Name servers that are asked, with or without a port.
    #[schemars(extend("x-default" = "those of the system"))]
    name_servers: Vec<Spanned<String>>,
    /// A list of nodes as AllStarLink publishes it (`rpt_extnodes`): lines `2000=radio@192.0.2.1:4569/2000,192.0.2.1`
    /// in the section `[extnodes]`, 64 MiB at most. It is asked for nodes that DNS does not know, and for all where
    /// that does not answer. It is read again when it has changed.
    list: Option<Spanned<PathBuf>>,
    /// How long a look-up may take, the list included. Calls wait for it, and nothing else does.
    #[schemars(transform = LIMIT.schema(), extend("default" = 3000))]
    timeout_ms: Option<Spanned<u64>>,
    /// How long it holds that there is no such node.
    #[schemars(transform = NOT_FOUND.schema(), extend("default" = 30))]
    not_found_seconds: Option<Spanned<u64>>,
    /// Nodes that are kept in memory, found or not.
    #[schemars(range(min = 1, max = 1000000), extend("default" = 10000))]
    max_kept: Option<Spanned<usize>>,
}

impl AllStarKeys {
    pub(super) fn check(self, source: &Source<'_>) -> Result<NodesConfig, ConfigError> {
        let mut nodes = NodesConfig::default();
        nodes.dns = self.dns.unwrap_or(nodes.dns);
        if let Some(zone) = self.zone {
            let name = zone.get_ref().trim_matches('.');
            let is_label = |label: &str| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            };
            if name.len() > 200 || !name.split('.').all(is_label) {
                let what = format!("`{}` is no name of a zone", zone.get_ref());
                return Err(source.wrong(&zone, what).with_help("nodes.allstarlink.org is usual"));
            }
            nodes.zone = name.into();
        }
        for server in &self.name_servers {
            let written = server.get_ref();
            let ip = written.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS));
            nodes.servers.push(ip.or_else(|_| written.parse()).map_err(|_| {
                let what = format!("`{written}` is no address of a name server");
                source.wrong(server, what).with_help("write it as \"192.0.2.53\" or \"[::1]:5353\"")
            })?);
        }
        nodes.list = self.list.map(Spanned::into_inner);
        LIMIT.set(source, self.timeout_ms.as_ref(), &mut nodes.limit)?;
        NOT_FOUND.set(source, self.not_found_seconds.as_ref(), &mut nodes.not_found_holds)?;
        if let Some(most) = self.max_kept {
            if !(1..=1_000_000).contains(most.get_ref()) {
                let what = format!("{} nodes cannot be kept", most.get_ref());
                return Err(source.wrong(&most, what).with_help("choose 1 to 1000000"));
            }
            nodes.most_kept = *most.get_ref();
        }
        Ok(nodes)
    }
}
