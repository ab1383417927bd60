//! Who has registered, from where, and until when.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::Instant;

use crate::deadlines::Deadlines;

/// A registration holds a little longer than was granted, so that a renewal which is late by a
/// lost packet finds it still there.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Where a peer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Binding {
    address: SocketAddr,
    /// When it proved to be there: what is granted is written first.
    since: Instant,
    expires: Instant,
}

/// What a registration changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// It was not registered before.
    New,
    /// It came again.
    Renewed,
    /// It came again from another address.
    Moved { from: SocketAddr },
}

/// All bindings.
#[derive(Debug, Default)]
pub(crate) struct Registrar {
    bindings: BTreeMap<String, Binding>,
    expiry: Deadlines<String>,
    /// Whose binding has changed, where another process wants to know.
    changed: Option<Vec<String>>,
    /// Whose binding has ended by its own word, as long as older ones may still be found.
    released: Option<BTreeSet<String>>,
}

impl Registrar {
    /// Begins to note whose binding changes, or ends that.
    pub(crate) fn note_changes(&mut self, on: bool) {
        self.changed = on.then(Vec::new);
    }

    /// Whose binding has changed since this was last asked, but for those that have expired.
    pub(crate) fn take_changes(&mut self) -> Vec<String> {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Begins to note who ends a binding, or ends that.
    pub(crate) fn note_releases(&mut self, on: bool) {
        self.released = on.then(BTreeSet::new);
    }

    /// Whether `name` has said something since that is noted: an older binding of it holds no more.
    pub(crate) fn is_newer(&self, name: &str) -> bool {
        let released = self.released.as_ref().is_some_and(|released| released.contains(name));
        released || self.bindings.contains_key(name)
    }

    fn has_changed(&mut self, name: &str) {
        if let Some(changed) = &mut self.changed {
            changed.push(name.into());
        }
    }

    /// Binds `name` to `address`, where it was `since`, for `granted`.
    pub(crate) fn bind(
        &mut self,
        (since, now): (Instant, Instant),
        name: &str,
        address: SocketAddr,
        granted: Duration,
    ) -> Change {
        let binding = Binding { address, since, expires: now + granted + GRACE };
        self.expiry.set(name.into(), binding.expires);
        self.has_changed(name);
        match self.bindings.insert(name.into(), binding) {
            Some(before) if before.expires > now && before.address == address => Change::Renewed,
            Some(before) if before.expires > now => Change::Moved { from: before.address },
            _ => Change::New,
        }
    }

    /// Forgets `name`; `true` if it was there.
    pub(crate) fn release(&mut self, name: &str) -> bool {
        self.expiry.clear(&name.into());
        let was_there = self.bindings.remove(name).is_some();
        if let Some(released) = self.released.as_mut().filter(|_| was_there) {
            released.insert(name.into());
        }
        if was_there {
            self.has_changed(name);
        }
        was_there
    }

    /// Where `name` is.
    pub(crate) fn find(&self, now: Instant, name: &str) -> Option<SocketAddr> {
        let binding = self.bindings.get(name)?;
        (binding.expires > now).then_some(binding.address)
    }

    /// Since when `name` is where it is.
    pub(crate) fn since(&self, name: &str) -> Option<Instant> {
        Some(self.bindings.get(name)?.since)
    }

    /// How long `name` is still known to be where it is.
    pub(crate) fn left(&self, now: Instant, name: &str) -> Option<Duration> {
        let binding = self.bindings.get(name)?;
        (binding.expires > now).then(|| binding.expires.since(now))
    }

    /// All that are registered, by name: where, and for how long yet.
    pub(crate) fn all(&self, now: Instant) -> impl Iterator<Item = (&str, SocketAddr, Duration)> {
        let held = self.bindings.iter().filter(move |(_, binding)| binding.expires > now);
        held.map(move |(name, binding)| {
            (name.as_str(), binding.address, binding.expires.since(now))
        })
    }

    /// When the next binding expires.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiry.next()
    }

    /// Forgets and names what has expired.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<String> {
        let mut expired = Vec::new();
        while let Some(name) = self.expiry.pop_due(now) {
            self.bindings.remove(&name);
            expired.push(name);
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn whoever_has_said_something_is_known_from_that_on() {
        let mut registrar = Registrar::default();
        registrar.note_releases(true);
        let address = SocketAddr::from(([192, 0, 2, 1], 4569));
        for name in ["comes", "goes"] {
            registrar.bind((at(0), at(0)), name, address, Duration::from_secs(60));
        }
        assert!(registrar.release("goes") && !registrar.release("silent"));
        let newer = ["comes", "goes", "silent"].map(|name| registrar.is_newer(name));
        assert_eq!(newer, [true, true, false]);
    }

    #[test]
    fn a_binding_holds_ten_seconds_longer_than_granted() {
        let mut registrar = Registrar::default();
        let address = SocketAddr::from(([192, 0, 2, 1], 4569));
        let granted = Duration::from_secs(60);
        assert_eq!(registrar.bind((at(0), at(0)), "site", address, granted), Change::New);
        assert_eq!(registrar.find(at(69), "site"), Some(address));
        assert_eq!(registrar.next_expiry(), Some(at(70)));
        assert_eq!(registrar.find(at(70), "site"), None);
        assert_eq!(registrar.expire(at(69)), [""; 0]);
        assert_eq!(registrar.expire(at(70)), ["site"]);
        assert_eq!(registrar.next_expiry(), None);
    }

    #[test]
    fn renewal_move_and_release_are_told_apart() {
        let mut registrar = Registrar::default();
        let home = SocketAddr::from(([192, 0, 2, 1], 4569));
        let away = SocketAddr::from(([192, 0, 2, 2], 4569));
        let granted = Duration::from_secs(60);
        registrar.bind((at(0), at(0)), "site", home, granted);
        assert_eq!(registrar.bind((at(50), at(50)), "site", home, granted), Change::Renewed);
        assert_eq!(
            registrar.bind((at(90), at(90)), "site", away, granted),
            Change::Moved { from: home }
        );
        assert_eq!(registrar.find(at(100), "site"), Some(away));
        assert!(registrar.release("site") && !registrar.release("site"));
        assert_eq!(registrar.bind((at(101), at(101)), "site", home, granted), Change::New);
    }
}
