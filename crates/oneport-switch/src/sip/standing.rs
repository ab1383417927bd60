//! How carriers stand: where they are, whether they answer, whether we are registered there. It is
//! written by those who watch them and read by everybody, the switch among them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::heritage::KnownCarrier;
use super::media::{Figures, Meter};
use super::settings::{Carrier, Transport};
use crate::polls::Polls;

/// How long what was counted of a call is kept behind its end.
const LINGERS: Duration = Duration::from_secs(3);

/// Whether we are registered at a carrier.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Registered {
    /// It is not asked for.
    Unwanted,
    /// It has not been tried yet.
    Trying,
    /// For so long, since then.
    For(Duration, Instant),
    /// It was refused, or not answered: the answer, or 0, and in words.
    Failed(u16, String),
}

/// One of a carrier's servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    pub(crate) transport: Transport,
    pub(crate) address: SocketAddr,
}

/// How one carrier stands.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Standing {
    /// Its servers, those that answer first.
    pub(crate) addresses: Vec<Target>,
    /// Why it has none.
    pub(crate) lost: Option<String>,
    /// Whether it answers; `None` while that is not known, or not asked.
    pub(crate) answers: Option<bool>,
    /// How fast it answered the last time.
    pub(crate) round_trip: Option<Duration>,
    pub(crate) registered: Registered,
    /// Servers at which there was no room, and until when they are left alone.
    pub(crate) resting: Vec<(Target, Instant)>,
    /// Since when it is as it is, up or down.
    pub(crate) since: Instant,
    /// Calls that are up: to it, and from it.
    pub(crate) calls: (usize, usize),
    /// Requests that were turned away before they were calls: too many at once, or in a second.
    pub(crate) turned_away: u64,
}

impl Standing {
    fn new(registers: bool) -> Self {
        Self {
            addresses: Vec::new(),
            lost: None,
            answers: None,
            round_trip: None,
            registered: if registers { Registered::Trying } else { Registered::Unwanted },
            resting: Vec::new(),
            since: Instant::now(),
            calls: (0, 0),
            turned_away: 0,
        }
    }

    /// Its servers at which there is room, as far as is known.
    pub(crate) fn awake(&self) -> Vec<Target> {
        let now = Instant::now();
        let rests = |server: &Target| {
            self.resting.iter().any(|(resting, until)| resting == server && *until > now)
        };
        self.addresses.iter().copied().filter(|server| !rests(server)).collect()
    }

    /// Why no call can go there, if none can.
    pub(crate) fn down(&self) -> Option<String> {
        if let Some(why) = &self.lost {
            return Some(format!("its host cannot be found: {why}"));
        }
        if self.answers == Some(false) {
            return Some("it does not answer".to_string());
        }
        let full = !self.addresses.is_empty() && self.awake().is_empty();
        full.then(|| "it has no room, and said when it may be tried again".to_string())
    }
}

struct Entry {
    carrier: Carrier,
    standing: Standing,
    /// Its last polls, with times since it was first known.
    polls: (Instant, Polls),
    /// When its calls began within the last second.
    begun: VecDeque<Instant>,
}

/// All carriers, and what is counted of their calls.
#[derive(Default)]
pub(crate) struct Carriers {
    entries: Mutex<BTreeMap<String, Entry>>,
    /// By the word by which the switch knows the leg.
    meters: Mutex<HashMap<String, Meter>>,
    /// Calls of phones that are up.
    of_phones: AtomicUsize,
    /// Calls that are up at older processes.
    elsewhere: AtomicUsize,
}

/// Which way a call goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    ToCarrier,
    FromCarrier,
}

/// Why a call from a carrier is not looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TooMany {
    /// So many are up.
    Calls,
    /// So many have begun in this second.
    InASecond,
}

impl Carriers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These carriers, and no others. What is known of one that stays the same is kept. Those that are
    /// new or have changed, and those that are gone.
    pub(crate) fn replace(
        &self,
        carriers: BTreeMap<String, Carrier>,
    ) -> (Vec<String>, Vec<String>) {
        let mut entries = self.lock();
        let gone: Vec<String> =
            entries.keys().filter(|name| !carriers.contains_key(*name)).cloned().collect();
        for name in &gone {
            entries.remove(name);
        }
        let mut changed = Vec::new();
        for (name, carrier) in carriers {
            if entries.get(&name).is_some_and(|entry| entry.carrier == carrier) {
                continue;
            }
            let mut standing = Standing::new(carrier.register.is_some());
            let mut polls = (Instant::now(), Polls::default());
            if let Some(before) = entries.remove(&name) {
                standing.calls = before.standing.calls;
                polls = before.polls;
            }
            let begun = VecDeque::new();
            entries.insert(name.clone(), Entry { carrier, standing, polls, begun });
            changed.push(name);
        }
        (changed, gone)
    }

    /// A carrier, and where it is.
    pub(crate) fn find(&self, name: &str) -> Option<(Carrier, Standing)> {
        self.lock().get(name).map(|entry| (entry.carrier.clone(), entry.standing.clone()))
    }

    /// How all stand, by name.
    pub(crate) fn all(&self) -> Vec<(String, Carrier, Standing)> {
        let entries = self.lock();
        let each = |(name, entry): (&String, &Entry)| {
            (name.clone(), entry.carrier.clone(), entry.standing.clone())
        };
        entries.iter().map(each).collect()
    }

    /// A carrier was asked whether it is there, and has answered in so much time or not at all.
    pub(crate) fn polled(&self, name: &str, round_trip: Option<Duration>) {
        if let Some(entry) = self.lock().get_mut(name) {
            let (first, polls) = &mut entry.polls;
            polls.note(first.elapsed(), round_trip);
        }
    }

    /// The last polls of a carrier: seconds since, and the milliseconds that the answer took if one came.
    pub(crate) fn polls(&self, name: &str) -> Vec<(f64, Option<f64>)> {
        let entries = self.lock();
        entries.get(name).map_or_else(Vec::new, |Entry { polls: (first, polls), .. }| {
            polls.tell(first.elapsed())
        })
    }

    /// Changes what is known of a carrier; what `change` makes of it.
    pub(crate) fn note<R>(&self, name: &str, change: impl FnOnce(&mut Standing) -> R) -> Option<R> {
        self.lock().get_mut(name).map(|entry| change(&mut entry.standing))
    }

    fn meters(&self) -> MutexGuard<'_, HashMap<String, Meter>> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is counted of the media of a leg.
    pub(crate) fn figures(&self, leg: &str) -> Option<Figures> {
        self.meters().get(leg).map(Meter::figures)
    }

    /// Whose call comes from this address.
    pub(crate) fn at(&self, address: IpAddr) -> Option<String> {
        let entries = self.lock();
        let here = |(_, entry): &(&String, &Entry)| entry.holds(address);
        entries.iter().find(here).map(|(name, _)| name.clone())
    }

    /// Calls that are up, of all carriers and phones.
    fn up(&self, entries: &BTreeMap<String, Entry>) -> usize {
        let of_carriers = entries.values().map(|one| one.standing.calls.0 + one.standing.calls.1);
        of_carriers.sum::<usize>() + self.of_phones.load(Ordering::Relaxed)
    }

    /// Calls of this process that are up.
    pub(crate) fn calls(&self) -> usize {
        self.up(&self.lock())
    }

    /// So many are up at older processes, where they count as well.
    pub(crate) fn count_elsewhere(&self, calls: usize) {
        self.elsewhere.store(calls, Ordering::Relaxed);
    }

    /// Whether there are as many as there may be.
    fn are_full(&self, entries: &BTreeMap<String, Entry>, most: usize) -> bool {
        self.up(entries) + self.elsewhere.load(Ordering::Relaxed) >= most
    }

    /// How all stand, for a process that takes over.
    pub(super) fn known(&self) -> Vec<KnownCarrier> {
        let entries = self.lock();
        let each = |(name, Entry { standing, .. }): (&String, &Entry)| KnownCarrier {
            name: name.clone(),
            servers: standing
                .addresses
                .iter()
                .map(|server| (server.transport.name().into(), server.address))
                .collect(),
            answers: standing.answers,
        };
        entries.iter().map(each).collect()
    }

    /// They stood so at the process before. Where they are is looked up all the same.
    pub(super) fn inherit(&self, known: Vec<KnownCarrier>) {
        for KnownCarrier { name, servers, answers } in known {
            self.note(&name, |standing| {
                let servers = servers.into_iter().filter_map(|(transport, address)| {
                    Some(Target { transport: Transport::named(&transport)?, address })
                });
                if standing.addresses.is_empty() {
                    (standing.addresses, standing.answers) = (servers.collect(), answers);
                }
            });
        }
    }

    /// A call begins, unless there are too many of all carriers, or of this one in a second.
    pub(crate) fn begin(
        &self,
        name: &str,
        way: Way,
        most: usize,
        most_in_a_second: usize,
    ) -> Result<(), TooMany> {
        let mut entries = self.lock();
        let full = self.are_full(&entries, most);
        let Some(entry) = entries.get_mut(name) else { return Ok(()) };
        if full {
            entry.standing.turned_away += 1;
            return Err(TooMany::Calls);
        }
        if way == Way::FromCarrier {
            let now = Instant::now();
            let second = Duration::from_secs(1);
            while entry.begun.front().is_some_and(|begun| now.duration_since(*begun) >= second) {
                entry.begun.pop_front();
            }
            if entry.begun.len() >= most_in_a_second {
                entry.standing.turned_away += 1;
                return Err(TooMany::InASecond);
            }
            entry.begun.push_back(now);
        }
        match way {
            Way::ToCarrier => entry.standing.calls.0 += 1,
            Way::FromCarrier => entry.standing.calls.1 += 1,
        }
        Ok(())
    }

    /// A server has no room, and is left alone for a while.
    pub(crate) fn rest(&self, name: &str, server: Target, rest: Duration) {
        self.note(name, |standing| {
            let now = Instant::now();
            standing.resting.retain(|(one, until)| *one != server && *until > now);
            standing.resting.push((server, now + rest));
        });
    }

    /// A call that has begun is over.
    pub(crate) fn end(&self, name: &str, way: Way) {
        if let Some(entry) = self.lock().get_mut(name) {
            let (to, from) = &mut entry.standing.calls;
            let count = if way == Way::ToCarrier { to } else { from };
            *count = count.saturating_sub(1);
        }
    }
}

impl Entry {
    fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.standing.addresses.iter().any(|own| own.address.ip().to_canonical() == address)
            || self.carrier.networks.iter().any(|network| network.contains(&address))
    }
}

/// The meter of a leg, there for the switch to read until it is dropped.
pub(crate) struct Metered {
    carriers: Arc<Carriers>,
    leg: String,
}

impl Metered {
    /// Shows what is counted of a leg.
    pub(crate) fn begin(carriers: &Arc<Carriers>, leg: &str, meter: Meter) -> Self {
        carriers.meters().insert(leg.into(), meter);
        Self { carriers: carriers.clone(), leg: leg.into() }
    }
}

/// Keeps a meter until the switch has recorded the end of its leg.
pub(crate) async fn linger(metered: Option<Metered>) {
    if metered.is_some() {
        tokio::time::sleep(LINGERS).await;
    }
    drop(metered);
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.carriers.meters().remove(&self.leg);
    }
}

/// A place of a phone among all calls, given back when dropped.
pub(crate) struct PlaceOfPhone(Arc<Carriers>);

impl PlaceOfPhone {
    /// Takes one; `None`: `most` are taken.
    pub(crate) fn take(carriers: &Arc<Carriers>, most: usize) -> Option<Self> {
        let entries = carriers.lock();
        if carriers.are_full(&entries, most) {
            return None;
        }
        carriers.of_phones.fetch_add(1, Ordering::Relaxed);
        Some(Self(carriers.clone()))
    }
}

impl Drop for PlaceOfPhone {
    fn drop(&mut self) {
        self.0.of_phones.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place among the calls of a carrier, given back when dropped.
pub(crate) struct Place {
    carriers: Arc<Carriers>,
    name: String,
    way: Way,
}

impl Place {
    /// Takes one.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn take(
        carriers: &Arc<Carriers>,
        name: &str,
        way: Way,
        most: (usize, usize),
    ) -> Result<Self, TooMany> {
        carriers.begin(name, way, most.0, most.1)?;
        Ok(Self { carriers: carriers.clone(), name: name.into(), way })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.carriers.end(&self.name, self.way);
    }
}
