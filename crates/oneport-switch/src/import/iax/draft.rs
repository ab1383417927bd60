//! A section on its way to a peer of ours.

use std::collections::BTreeSet;

use ipnet::IpNet;
use oneport_wire::{DEFAULT_PORT, Format};

use super::register::split_port;
use crate::import::conf::{Place, Section};
use crate::import::plan::Keys;
use crate::import::report::Ledger;

/// Who a section stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    User,
    Peer,
    Friend,
}

/// A section on its way to a peer.
pub(super) struct Draft<'a> {
    pub(super) section: &'a Section,
    pub(super) kind: Kind,
    pub(super) host: Option<&'a str>,
    pub(super) secret: Option<(String, Place)>,
    pub(super) has_keys: bool,
    pub(super) keys: Keys,
    pub(super) comments: Vec<String>,
    pub(super) contexts: Vec<(String, Place)>,
    pub(super) codecs: Option<Vec<Format>>,
    pub(super) priority: Option<(String, Place)>,
    pub(super) methods: BTreeSet<&'static str>,
    pub(super) auth: Option<Place>,
    /// What its access list lets in; `None`: everybody.
    pub(super) allowed: Option<Vec<IpNet>>,
    /// Where it may be weak.
    pub(super) trusted: Vec<IpNet>,
    /// It is weak, so it may come from there only.
    pub(super) narrow: bool,
    pub(super) trunk: bool,
    /// It is the box itself, through a relay on this port.
    pub(super) loop_port: Option<u16>,
    pub(super) extensions: Vec<String>,
    /// What it may say of who calls.
    pub(super) caller_id: Keys,
}

impl<'a> Draft<'a> {
    pub(super) fn new(section: &'a Section, kind: Kind) -> Self {
        let host = section.last("host").filter(|_| kind != Kind::User);
        Self {
            section,
            kind,
            host,
            secret: None,
            has_keys: false,
            keys: Vec::new(),
            comments: Vec::new(),
            contexts: Vec::new(),
            codecs: None,
            priority: None,
            methods: BTreeSet::new(),
            auth: None,
            allowed: None,
            trusted: Vec::new(),
            narrow: false,
            trunk: false,
            loop_port: None,
            extensions: Vec::new(),
            caller_id: Keys::new(),
        }
    }

    pub(super) fn is_dynamic(&self) -> bool {
        self.host.is_some_and(|host| host.eq_ignore_ascii_case("dynamic"))
    }

    /// Where it always is.
    pub(super) fn address(&self) -> Option<(String, u16)> {
        let host = self.host.filter(|_| !self.is_dynamic())?;
        let (host, port) = split_port(host)?;
        let own = self.section.last("port").and_then(|port| port.parse().ok());
        Some((host, own.or(port).unwrap_or(DEFAULT_PORT)))
    }

    /// Where it is allowed to come from because it is weak.
    pub(super) fn narrow_to(&self) -> Option<&[IpNet]> {
        (self.narrow && self.allowed.is_none()).then_some(&*self.trusted)
    }

    /// Why it cannot be a peer.
    pub(super) fn why_not(&self) -> Option<&'static str> {
        let proof = self.secret.is_some() || self.has_keys;
        match self.kind {
            _ if proof || self.address().is_some() => None,
            Kind::User => Some(
                "without a secret it lets in everybody who knows the name; callers without a name \
                 are guests here, and reach echo, milliwatt and probe ([guests])",
            ),
            _ if self.is_dynamic() => {
                Some("it registers without a secret or key, so everybody could in its place")
            }
            _ => Some("it has neither host nor secret, so nobody can be told to be it"),
        }
    }

    pub(super) fn set(&mut self, key: &'static str, value: String) {
        self.keys.retain(|(other, _)| *other != key);
        self.keys.push((key, value));
    }

    pub(super) fn keep(
        &mut self,
        ledger: &mut Ledger,
        place: &Place,
        key: &'static str,
        value: String,
    ) {
        self.set(key, value);
        ledger.kept(place);
    }
}
