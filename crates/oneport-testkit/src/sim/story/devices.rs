//! Firmware, settings from afar, and messages that wait.

use std::collections::HashMap;
use std::net::SocketAddr;

use oneport_proto::{FirmwareId, FirmwareImage, ProvisionId, ProvisionOutcome, Settings};
use oneport_wire::{MessageCount, ProvisioningElement};

use super::plan::Action;
use super::watch::{MESSAGES, end_once};
use super::{NODES, Story};

/// The kind of device that there is firmware for.
pub(super) const DEVICE: &str = "iaxy";

/// Three blocks of firmware, the last of them short.
pub(super) fn image() -> FirmwareImage {
    let data: Vec<u8> = (0..600).map(|n: usize| (n * 7 % 251) as u8).collect();
    FirmwareImage::new(DEVICE, 23, &data).expect("an image")
}

/// What applications know of devices.
#[derive(Default)]
pub(super) struct Devices {
    /// Whether a fetch is over.
    fetches: [HashMap<FirmwareId, bool>; NODES],
    /// Whether setting up, or being set up, is over.
    provisions: [HashMap<ProvisionId, bool>; NODES],
    /// What a device was offered.
    offered: [HashMap<ProvisionId, Settings>; NODES],
    /// All settings that somebody has sent.
    sent: Vec<Settings>,
}

impl Devices {
    /// A node forgets everything.
    pub(super) fn restart(&mut self, node: usize) {
        self.fetches[node].clear();
        self.provisions[node].clear();
        self.offered[node].clear();
    }

    /// Whether something of a node goes on.
    pub(super) fn is_open(&self, node: usize) -> bool {
        let mut over = self.fetches[node].values().chain(self.provisions[node].values());
        over.any(|over| !over)
    }
}

impl Story {
    pub(super) fn fetch(&mut self, node: usize, to: usize) {
        let device = if self.chance(80) { DEVICE } else { "unheard of" };
        let (now, from) = (self.network.now(), self.network.nodes[to].address);
        let endpoint = &mut self.network.nodes[node].endpoint;
        let fetch = endpoint.fetch_firmware(now, from, device).expect("few fetches");
        self.devices.fetches[node].insert(fetch, false);
    }

    pub(super) fn fetched(
        &mut self,
        node: usize,
        fetch: FirmwareId,
        data: Option<&[u8]>,
    ) -> Result<(), String> {
        if data.is_some_and(|data| data != image().data()) && !self.is_disturbed() {
            return Err(format!("{fetch} is not what the server has"));
        }
        end_once(&mut self.devices.fetches[node], fetch)
    }

    /// Tells a device of messages, and sets it up. Few are in a call with the server, or registered
    /// there; the others refuse.
    pub(super) fn set_up(&mut self, node: usize, to: SocketAddr) {
        let now = self.network.now();
        let user = format!("user {}", self.devices.sent.len());
        let settings = Settings::new(&[ProvisioningElement::ServerUser(user.as_str().into())]);
        let settings = settings.expect("short");
        let endpoint = &mut self.network.nodes[node].endpoint;
        endpoint.tell_messages(now, to, MESSAGES).expect("a free number");
        let provision = endpoint.provision(now, to, &settings).expect("a free number");
        self.devices.sent.push(settings);
        self.devices.provisions[node].insert(provision, false);
    }

    /// A peer is registered here now: perhaps it is a device that wants to be set up.
    pub(super) fn greet(&mut self, node: usize, device: SocketAddr) {
        if self.chance(50) {
            let after = self.millis(200, 2_000);
            self.plan(after, node, Action::SetUp { to: device });
        }
    }

    pub(super) fn offered_settings(
        &mut self,
        node: usize,
        provision: ProvisionId,
        settings: Settings,
    ) {
        let now = self.network.now();
        self.devices.provisions[node].insert(provision, false);
        self.devices.offered[node].insert(provision, settings);
        let choice = self.random(10);
        let endpoint = &mut self.network.nodes[node].endpoint;
        let decided = match choice {
            // Nothing is ever decided.
            0 => Ok(()),
            1 => endpoint.reject_provision(now, provision),
            _ => endpoint.accept_provision(now, provision),
        };
        decided.expect("it waits for this");
    }

    /// Settings in force are those that a peer has sent, whoever pretends to be one.
    pub(super) fn settled(
        &mut self,
        node: usize,
        provision: ProvisionId,
        outcome: &ProvisionOutcome,
    ) -> Result<(), String> {
        if let Some(settings) = self.devices.offered[node].remove(&provision)
            && *outcome == ProvisionOutcome::Accepted
            && !self.devices.sent.contains(&settings)
            && !self.is_disturbed()
        {
            return Err(format!("{provision} has settings in force that no peer has sent"));
        }
        end_once(&mut self.devices.provisions[node], provision)
    }

    pub(super) fn told_messages(
        &self,
        node: usize,
        count: Option<MessageCount>,
    ) -> Result<(), String> {
        let right = count == Some(MESSAGES) || self.is_disturbed();
        right.then_some(()).ok_or_else(|| format!("node {node} is told of {count:?} messages"))
    }
}
