//! Who has registered, from where, and until when; and who has at another switch with the same database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::Instant;

use crate::deadlines::Deadlines;
use crate::flaw;
use crate::utc::Utc;

/// A registration holds a little longer than was granted, so that a renewal which is late by a
/// lost packet finds it still there.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// When a peer proved who it is and where: what is granted for it is written first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Proved {
    /// By the clock that nobody sets.
    pub(crate) at: Instant,
    /// As the record has it, by which the database of several switches knows this registration.
    pub(crate) date: Utc,
}

/// Where a peer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Binding {
    address: SocketAddr,
    proved: Proved,
    expires: Instant,
}

/// What the database of several switches says of a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shared {
    pub(crate) peer: String,
    /// At which switch it is registered; `None`: nowhere.
    pub(crate) switch: Option<String>,
    /// The latest of its registrations at this switch that it has had a later one than elsewhere, whether that one
    /// still holds or not. The database alone says which of two is the later.
    pub(crate) lost: Option<Utc>,
}

/// What is known of a peer that is not here, or may be so no more.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Elsewhere {
    /// At which switch it is.
    switch: Option<String>,
    lost: Option<Utc>,
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
    /// Nothing: it has registered at another switch since.
    Superseded,
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
    /// What the database of several switches says of peers, as far as that is not that they are here.
    elsewhere: HashMap<String, Elsewhere>,
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

    /// What was known of registrations at other switches is out of date: all that there are come now.
    pub(crate) fn forget_elsewhere(&mut self) {
        self.elsewhere.clear();
    }

    /// Takes what the database says of a peer; `true`: its registration here counts no more.
    pub(crate) fn hear(&mut self, shared: Shared) -> bool {
        let Shared { peer, switch, lost } = shared;
        let here = self.bindings.get(&peer).map(|binding| binding.proved.date);
        let is_over = here.is_some_and(|here| lost.is_some_and(|lost| here <= lost))
            && !flaw::KeepsSuperseded.is_there();
        if is_over {
            self.release(&peer);
        }
        if switch.is_some() || lost.is_some() {
            self.elsewhere.insert(peer, Elsewhere { switch, lost });
        } else {
            self.elsewhere.remove(&peer);
        }
        is_over
    }

    /// The other switch at which `name` is registered, as far as the database has said.
    pub(crate) fn elsewhere(&self, name: &str) -> Option<&str> {
        self.elsewhere.get(name)?.switch.as_deref()
    }

    /// How many are registered at other switches.
    pub(crate) fn count_elsewhere(&self) -> usize {
        self.elsewhere.values().filter(|there| there.switch.is_some()).count()
    }

    /// Binds `name` to `address`, where it proved to be, for `granted`; unless it has registered at another switch
    /// since.
    pub(crate) fn bind(
        &mut self,
        (proved, now): (Proved, Instant),
        name: &str,
        address: SocketAddr,
        granted: Duration,
    ) -> Change {
        self.hold((proved, now), name, address, granted + GRACE)
    }

    /// The same, where it holds for `left` and no longer.
    pub(crate) fn hold(
        &mut self,
        (proved, now): (Proved, Instant),
        name: &str,
        address: SocketAddr,
        left: Duration,
    ) -> Change {
        let lost = self.elsewhere.get(name).and_then(|there| there.lost);
        if lost.is_some_and(|lost| proved.date <= lost) {
            return Change::Superseded;
        }
        let binding = Binding { address, proved, expires: now + left };
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
        (binding.expires > now || flaw::FindsExpired.is_there()).then_some(binding.address)
    }

    /// Since when `name` is where it is.
    pub(crate) fn since(&self, name: &str) -> Option<Instant> {
        Some(self.bindings.get(name)?.proved.at)
    }

    /// The date of that.
    pub(crate) fn date(&self, name: &str) -> Option<Utc> {
        Some(self.bindings.get(name)?.proved.date)
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

    /// Forgets and names what has expired, with the date of each.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<(String, Utc)> {
        let mut expired = Vec::new();
        while let Some(name) = self.expiry.pop_due(now) {
            if let Some(binding) = self.bindings.remove(&name) {
                expired.push((name, binding.proved.date));
            }
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

    fn proved(seconds: u64) -> Proved {
        Proved { at: at(seconds), date: date(seconds) }
    }

    fn date(seconds: u64) -> Utc {
        Utc::from_unix_millis(0).after(Duration::from_secs(seconds))
    }

    #[test]
    fn whoever_has_said_something_is_known_from_that_on() {
        let mut registrar = Registrar::default();
        registrar.note_releases(true);
        let address = SocketAddr::from(([192, 0, 2, 1], 4569));
        for name in ["comes", "goes"] {
            registrar.bind((proved(0), at(0)), name, address, Duration::from_secs(60));
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
        assert_eq!(registrar.bind((proved(0), at(0)), "site", address, granted), Change::New);
        assert_eq!(registrar.find(at(69), "site"), Some(address));
        assert_eq!(registrar.next_expiry(), Some(at(70)));
        assert_eq!(registrar.find(at(70), "site"), None);
        assert_eq!(registrar.expire(at(69)), []);
        assert_eq!(registrar.expire(at(70)), [("site".to_string(), date(0))]);
        assert_eq!(registrar.next_expiry(), None);
        registrar.hold((proved(0), at(65)), "site", address, Duration::from_secs(5));
        assert_eq!(
            registrar.next_expiry(),
            Some(at(70)),
            "what goes on holds no longer than before"
        );
    }

    #[test]
    fn renewal_move_and_release_are_told_apart() {
        let mut registrar = Registrar::default();
        let home = SocketAddr::from(([192, 0, 2, 1], 4569));
        let away = SocketAddr::from(([192, 0, 2, 2], 4569));
        let granted = Duration::from_secs(60);
        registrar.bind((proved(0), at(0)), "site", home, granted);
        assert_eq!(registrar.bind((proved(50), at(50)), "site", home, granted), Change::Renewed);
        assert_eq!(
            registrar.bind((proved(90), at(90)), "site", away, granted),
            Change::Moved { from: home }
        );
        assert_eq!(registrar.find(at(100), "site"), Some(away));
        assert!(registrar.release("site") && !registrar.release("site"));
        assert_eq!(registrar.bind((proved(101), at(101)), "site", home, granted), Change::New);
    }

    #[test]
    fn what_has_lost_against_another_switch_is_not_here_whichever_is_heard_of_first() {
        let address = SocketAddr::from(([192, 0, 2, 1], 4569));
        let granted = Duration::from_secs(60);
        let bonn = |lost| Shared {
            peer: "site".into(),
            switch: Some("bonn".into()),
            lost: Some(date(lost)),
        };
        let mut registrar = Registrar::default();
        registrar.bind((proved(10), at(10)), "site", address, granted);
        assert!(
            !registrar.hear(bonn(9)),
            "it came here again, which the database does not know yet"
        );
        assert_eq!(registrar.find(at(20), "site"), Some(address));
        assert!(registrar.hear(bonn(10)));
        assert_eq!(
            (registrar.find(at(20), "site"), registrar.elsewhere("site")),
            (None, Some("bonn"))
        );
        assert_eq!(
            registrar.bind((proved(10), at(20)), "site", address, granted),
            Change::Superseded
        );
        assert_eq!(registrar.bind((proved(11), at(20)), "site", address, granted), Change::New);
        // It has left Bonn since, and is nowhere.
        assert!(registrar.hear(Shared { switch: None, ..bonn(11) }));
        assert_eq!((registrar.find(at(20), "site"), registrar.elsewhere("site")), (None, None));
        assert_eq!(registrar.count_elsewhere(), 0);
    }
}
