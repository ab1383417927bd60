//! Which addresses get voice in trunk frames, and for whose sake: several peers may be at one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use oneport_proto::{CallId, Endpoint, TrunkConfig};

/// For whose sake an address has a trunk. Where there are several, the settings of the first in this
/// order hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Owner {
    /// The peer of this name has this address by the configuration.
    Configured(String),
    /// It has registered there.
    Registered(String),
    /// A call of a peer that proved who it is came from there.
    Call(CallId),
    /// A probe calls from there, and asks for it.
    Probe(CallId),
}

/// All owners of trunks.
#[derive(Debug, Default)]
pub(crate) struct Trunks {
    owners: BTreeMap<SocketAddr, BTreeMap<Owner, TrunkConfig>>,
    at: BTreeMap<Owner, SocketAddr>,
    changed: BTreeSet<SocketAddr>,
}

impl Trunks {
    /// `owner` wants a trunk to one address, and to no other any more; `None`: to none at all.
    /// [`apply`](Self::apply) follows.
    pub(crate) fn set(&mut self, owner: Owner, wanted: Option<(SocketAddr, TrunkConfig)>) {
        if let Some(before) = self.at.remove(&owner)
            && let Some(owners) = self.owners.get_mut(&before)
        {
            owners.remove(&owner);
            if owners.is_empty() {
                self.owners.remove(&before);
            }
            self.changed.insert(before);
        }
        if let Some((address, config)) = wanted {
            self.at.insert(owner.clone(), address);
            self.owners.entry(address).or_default().insert(owner, config);
            self.changed.insert(address);
        }
    }

    /// Tells the engine of what has changed.
    pub(crate) fn apply(&mut self, endpoint: &mut Endpoint) {
        while let Some(address) = self.changed.pop_first() {
            endpoint.set_trunk(address, self.config(address));
        }
    }

    /// How voice to an address is bundled; `None`: not at all.
    fn config(&self, address: SocketAddr) -> Option<TrunkConfig> {
        self.owners.get(&address)?.values().next().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 4569))
    }

    fn every(ms: u64) -> TrunkConfig {
        TrunkConfig { interval: Duration::from_millis(ms), ..TrunkConfig::default() }
    }

    #[test]
    fn a_trunk_lasts_as_long_as_one_of_its_owners() {
        let mut trunks = Trunks::default();
        let (ann, bob) = (Owner::Configured("ann".into()), Owner::Registered("bob".into()));
        trunks.set(ann.clone(), Some((address(1), every(20))));
        trunks.set(bob.clone(), Some((address(1), every(40))));
        assert_eq!(trunks.config(address(1)), Some(every(20)));
        trunks.set(ann, None);
        assert_eq!(trunks.config(address(1)), Some(every(40)), "it is bob's");
        trunks.set(bob.clone(), Some((address(2), every(40))));
        let configs = [1, 2].map(|last| trunks.config(address(last)));
        assert_eq!(configs, [None, Some(every(40))], "he has moved");
        trunks.set(bob, None);
        assert_eq!(trunks.config(address(2)), None);
        assert!(trunks.owners.is_empty() && trunks.at.is_empty());
        assert_eq!(trunks.changed.len(), 2);
    }
}
