//! Addresses, networks and access lists as they are written.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use oneport::Place;
use oneport_wire::DEFAULT_PORT;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Acl;
use super::error::ConfigError;
use super::hosts::host_and_port;
use super::source::{Beside, Source};
use super::spanned::Spanned;

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AclKeys {
    /// Networks that are let in. `[]`: nobody is.
    #[schemars(extend("x-default" = "everywhere"))]
    pub(super) permit: Option<Vec<Spanned<String>>>,
    /// Networks that are not.
    pub(super) deny: Vec<Spanned<String>>,
}

pub(super) fn read_listen(text: &str) -> Option<SocketAddr> {
    let bare = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, DEFAULT_PORT));
    text.parse().ok().or_else(bare)
}

pub(super) fn read_network(
    source: &Source<'_>,
    text: &Spanned<String>,
) -> Result<IpNet, ConfigError> {
    let written = text.get_ref();
    let single = || written.parse::<IpAddr>().ok().map(IpNet::from);
    written.parse().ok().or_else(single).ok_or_else(|| {
        source
            .wrong(text, format!("`{written}` is no network"))
            .with_help("write it as \"10.0.0.0/8\", \"2001:db8::/32\" or a single address")
    })
}

pub(super) fn read_acl(
    source: &Source<'_>,
    permit: Option<&[Spanned<String>]>,
    deny: &[Spanned<String>],
) -> Result<Acl, ConfigError> {
    let read = |networks: &[Spanned<String>]| {
        networks.iter().map(|network| read_network(source, network)).collect()
    };
    Ok(Acl { permit: permit.map(read).transpose()?, deny: read(deny)? })
}

/// The address of a peer or registrar; `None` where its host cannot be found, and a switch that runs
/// looks for it again.
pub(super) fn resolve(
    source: &Source<'_>,
    text: &Spanned<String>,
) -> Result<Option<SocketAddr>, ConfigError> {
    unless_lost(source, text, source.hosts.address(text.get_ref()))
}

/// All places of a registrar, under the same rules.
pub(super) fn resolve_registrar(
    source: &Source<'_>,
    text: &Spanned<String>,
) -> Result<Option<Vec<Place>>, ConfigError> {
    unless_lost(source, text, source.hosts.places(text.get_ref()))
}

fn unless_lost<T>(
    source: &Source<'_>,
    text: &Spanned<String>,
    found: Result<T, String>,
) -> Result<Option<T>, ConfigError> {
    match (found, source.beside) {
        (Ok(found), _) => Ok(Some(found)),
        (Err(_), Beside::MayBeMissing | Beside::Ignored)
            if host_and_port(text.get_ref()).is_some() =>
        {
            Ok(None)
        }
        (Err(what), _) => {
            let help = "write it as \"192.0.2.1:4569\" or \"pbx.example.org\"";
            Err(source.wrong(text, what).with_help(help))
        }
    }
}
