//! Telephones that register here by SIP, and call: peers whose `protocol` is `sip`.
//!
//! Who is registered says the switch, which keeps that: it is told here where a phone is, from its
//! store as well. What is here is how a phone proves who it is, who is heard at all, and whether a
//! phone answers.
//!
//! - [`digest`]: challenges and proofs; [`guard`]: who is not heard;
//! - [`messages`]: phones that are told of their messages;
//! - [`registering`]: REGISTER; [`watching`]: whether a phone answers (OPTIONS).

pub(crate) mod digest;
pub(crate) mod guard;
pub(in crate::sip) mod messages;
pub(crate) mod registering;
pub(crate) mod watching;

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::caller::Identity;
use super::numbers::NumberRule;
use super::settings::{Carrier, PhoneConfig, Transport};
use crate::caller_id::CallerIdRule;
use crate::polls::Polls;
use crate::qualify::Status;
use digest::{Algorithm, Asked, Authorization, Proof, Prover};
use guard::Guard;

/// Where a phone is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Binding {
    pub(crate) transport: Transport,
    /// Where packets go: where its own come from, as a NAT lets nothing else in.
    pub(crate) address: SocketAddr,
    /// The URI by which it wants to be called.
    pub(crate) contact: String,
}

impl Binding {
    /// Transport and URI in one text, as it is stored beside the address.
    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.transport.name(), self.contact)
    }

    /// Reads it again.
    pub(crate) fn read(address: SocketAddr, text: &str) -> Option<Self> {
        let (transport, contact) = text.split_once(' ')?;
        Some(Self { transport: Transport::named(transport)?, address, contact: contact.into() })
    }
}

/// Who keeps registrations: the switch.
pub(crate) trait Registry: Send + Sync {
    /// A phone that has proved who it is is there for so long; `None`: it is no more. The answer says
    /// whether that is kept.
    fn register(&self, name: &str, binding: Option<(Binding, Duration)>)
    -> oneshot::Receiver<bool>;

    /// Somebody could not prove to be this phone.
    fn refused(&self, name: &str, from: SocketAddr);

    /// A phone answers, or does not any more.
    fn seen(&self, name: &str, status: Status);
}

struct Entry {
    config: Arc<PhoneConfig>,
    binding: Option<Binding>,
    status: Status,
    polls: Polls,
    /// Calls that are up.
    calls: usize,
    /// Where it was last.
    last: Option<IpAddr>,
}

impl Entry {
    /// Whether it is there, or has a call that it may still speak of.
    const fn is_here(&self) -> bool {
        self.binding.is_some() || self.calls > 0
    }
}

#[derive(Default)]
struct Table {
    entries: BTreeMap<String, Entry>,
    /// How many phones are at each address.
    at: HashMap<IpAddr, usize>,
}

impl Table {
    /// Changes an entry, and counts anew where it is.
    fn change<R>(&mut self, name: &str, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let entry = self.entries.get_mut(name)?;
        let before = entry.last.filter(|_| entry.is_here());
        let result = change(entry);
        let now = entry.last.filter(|_| entry.is_here());
        self.moved(before, now);
        Some(result)
    }

    fn moved(&mut self, before: Option<IpAddr>, now: Option<IpAddr>) {
        if before == now {
            return;
        }
        if let Some(now) = now {
            *self.at.entry(now).or_default() += 1;
        }
        if let Some(before) = before
            && let Some(count) = self.at.get_mut(&before)
        {
            *count -= 1;
            if *count == 0 {
                self.at.remove(&before);
            }
        }
    }
}

/// Who sends a request.
pub(crate) enum Sender {
    /// This phone.
    Phone(String),
    /// It has to prove who it is: challenges.
    Unproved(Vec<String>),
    /// Nobody that may.
    Nobody,
}

/// A request whose sender is to be known.
pub(crate) struct Claim<'a> {
    pub(crate) asked: Asked<'a>,
    /// Whom it names as its sender.
    pub(crate) name: &'a str,
    pub(crate) from: SocketAddr,
    /// Its Authorization headers.
    pub(crate) proofs: &'a [String],
}

/// All phones.
pub(crate) struct Phones {
    table: Mutex<Table>,
    guard: Guard,
    prover: Prover,
    born: Instant,
    salt: RandomState,
    registry: Box<dyn Registry>,
    /// Names of those that have come, gone or moved.
    changes: mpsc::UnboundedSender<String>,
}

impl Phones {
    /// With a key that nobody else knows. Names of phones that have come, gone or moved come out of the
    /// receiver.
    pub(crate) fn new(
        key: [u8; 64],
        registry: Box<dyn Registry>,
    ) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (changes, changed) = mpsc::unbounded_channel();
        let born = Instant::now();
        let phones = Self {
            table: Mutex::default(),
            guard: Guard::new(born),
            prover: Prover::new(key),
            born,
            salt: RandomState::new(),
            registry,
            changes,
        };
        (phones, changed)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, name: &str) {
        // A gateway that has stopped watches nobody.
        let _ = self.changes.send(name.into());
    }

    /// These phones and no others. Those that stay are where they were.
    pub(crate) fn replace(&self, mut phones: BTreeMap<String, PhoneConfig>) {
        let mut table = self.lock();
        let known: Vec<String> = table.entries.keys().cloned().collect();
        let mut changed = Vec::new();
        for name in known {
            match phones.remove(&name).map(Arc::new) {
                Some(config) => drop(table.change(&name, |entry| {
                    let before = &entry.config;
                    if (before.watch, before.mwi) != (config.watch, config.mwi) {
                        changed.push(name.clone());
                    }
                    entry.config = config;
                })),
                None => {
                    table.change(&name, |entry| (entry.binding, entry.calls) = (None, 0));
                    table.entries.remove(&name);
                    changed.push(name);
                }
            }
        }
        for (name, config) in phones {
            let config = Arc::new(config);
            let (status, polls) = (Status::Unknown, Polls::default());
            let entry = Entry { config, binding: None, status, polls, calls: 0, last: None };
            table.entries.insert(name, entry);
        }
        drop(table);
        changed.iter().for_each(|name| self.tell(name));
    }

    /// The switch knows where a phone is; `None`: it is gone.
    pub(crate) fn place(&self, name: &str, binding: Option<Binding>) {
        let changed = self.lock().change(name, |entry| {
            if entry.binding == binding {
                return false;
            }
            let address = |binding: &Option<Binding>| {
                binding.as_ref().map(|binding| (binding.transport, binding.address))
            };
            let moved = address(&entry.binding) != address(&binding);
            if moved {
                entry.status = Status::Unknown;
            }
            entry.last = binding.as_ref().map(|binding| binding.address.ip()).or(entry.last);
            entry.binding = binding;
            moved
        });
        if changed == Some(true) {
            self.tell(name);
        }
    }

    /// A phone, and where it is.
    pub(crate) fn find(&self, name: &str) -> Option<(Arc<PhoneConfig>, Option<Binding>)> {
        let table = self.lock();
        table.entries.get(name).map(|entry| (entry.config.clone(), entry.binding.clone()))
    }

    /// The names of all.
    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().entries.keys().cloned().collect()
    }

    /// Whether it answers.
    pub(crate) fn status(&self, name: &str) -> Status {
        self.lock().entries.get(name).map_or(Status::Unknown, |entry| entry.status)
    }

    /// Its last polls: seconds since, and the milliseconds that the answer took if one came.
    pub(crate) fn polls(&self, name: &str) -> Vec<(f64, Option<f64>)> {
        let table = self.lock();
        let entry = table.entries.get(name);
        entry.map_or_else(Vec::new, |entry| entry.polls.tell(self.born.elapsed()))
    }

    /// Whether a phone is at this address.
    pub(crate) fn are_at(&self, address: IpAddr) -> bool {
        self.lock().at.contains_key(&address)
    }

    /// Whether a phone has registered from just there.
    pub(crate) fn is_from(&self, transport: Transport, from: SocketAddr) -> bool {
        let table = self.lock();
        table.at.contains_key(&from.ip())
            && table
                .entries
                .values()
                .filter_map(|entry| entry.binding.as_ref())
                .any(|binding| binding.address == from && binding.transport == transport)
    }

    /// Whether anything that comes from there is looked at.
    pub(crate) fn may_come_from(&self, address: IpAddr) -> bool {
        let table = self.lock();
        if table.at.contains_key(&address) {
            return true;
        }
        table.entries.values().any(|entry| entry.config.permits(address))
            && !self.guard.is_shut_out(Instant::now(), address)
    }

    /// Whether a request from there is looked at, that registers a phone or is another's; `most`: so
    /// many a second.
    pub(crate) fn admits(
        &self,
        from: IpAddr,
        registers: bool,
        user_agent: Option<&str>,
        most: u32,
    ) -> bool {
        (registers || self.are_at(from))
            && !user_agent.is_some_and(guard::is_scanner)
            && self.may_come_from(from)
            && self.guard.admits(Instant::now(), from, most)
    }

    /// The ways in which a name may prove itself. A name that does not exist is asked in one of the ways
    /// of those that do, in the same each time, so that strangers do not learn which exist.
    fn ways(&self, name: &str, known: Option<&PhoneConfig>) -> Vec<Algorithm> {
        if let Some(config) = known {
            return config.digests.clone();
        }
        let table = self.lock();
        let count = table.entries.len() as u64;
        let chosen = self.salt.hash_one(name).checked_rem(count).unwrap_or_default();
        let chosen = usize::try_from(chosen).unwrap_or_default();
        let one = table.entries.values().nth(chosen);
        one.map_or_else(|| vec![Algorithm::Md5], |entry| entry.config.digests.clone())
    }

    /// Who has sent a request.
    pub(crate) fn sender(&self, realm: &str, claim: &Claim<'_>) -> Sender {
        let answer = claim.proofs.iter().find_map(|proof| Authorization::read(proof));
        let name = answer.as_ref().map_or(claim.name, |answer| answer.username.as_str());
        let known = self.find(name).map(|(config, _)| config);
        let known = known.filter(|config| config.permits(claim.from.ip()));
        let ways = self.ways(name, known.as_deref());
        let now = self.born.elapsed();
        let proof = match &answer {
            None => Proof::Missing,
            Some(answer) => {
                let secrets = known.as_ref().map_or(&[][..], |config| &config.secrets);
                self.prover.check(now, realm, &ways, secrets, claim.asked, answer)
            }
        };
        match proof {
            Proof::Good => Sender::Phone(name.into()),
            Proof::Missing | Proof::Stale => {
                let stale = proof == Proof::Stale;
                Sender::Unproved(self.prover.challenge(now, realm, &ways, stale))
            }
            Proof::Wrong => {
                self.registry.refused(name, claim.from);
                if self.guard.failed(Instant::now(), claim.from.ip()) {
                    let ip = claim.from.ip();
                    tracing::warn!("SIP: {ip} has guessed too often, and is not heard for a while");
                }
                Sender::Nobody
            }
        }
    }
}

/// How we speak with a phone, in the words of what we tell carriers.
pub(crate) fn line(config: &PhoneConfig, binding: &Binding, ours: IpAddr) -> Carrier {
    Carrier {
        host: binding.address.ip().to_string(),
        port: Some(binding.address.port()),
        transport: Some(binding.transport),
        domain: ours.to_string(),
        login: None,
        register: None,
        keep_alive: None,
        networks: Vec::new(),
        codecs: config.codecs.clone(),
        caller_id: CallerIdRule::default(),
        identity: Identity::None,
        headers: Vec::new(),
        numbers: NumberRule::default(),
        session: Some(SESSION),
        srtp: config.srtp,
        ilbc: config.ilbc,
        keys: config.keys,
    }
}

/// How long a call with a phone holds without its session being renewed (RFC 4028), where the phone can
/// do that.
const SESSION: Duration = Duration::from_secs(1_800);

/// A call of a phone that is up, counted until it is dropped: so long the phone is heard.
pub(crate) struct OnCall {
    phones: Arc<Phones>,
    name: String,
}

impl OnCall {
    pub(crate) fn begin(phones: &Arc<Phones>, name: &str) -> Self {
        phones.lock().change(name, |entry| entry.calls += 1);
        Self { phones: phones.clone(), name: name.into() }
    }
}

impl Drop for OnCall {
    fn drop(&mut self) {
        self.phones.lock().change(&self.name, |entry| entry.calls = entry.calls.saturating_sub(1));
    }
}
