//! A random story on a simulated network: calls, registrations and polls between three endpoints
//! while the network misbehaves, addresses change and perhaps somebody means harm; then it heals,
//! everybody hangs up, and silence must fall.
//!
//! `plan` says what happens when, `calls` and `devices` what applications do, `watch` what they hear
//! and what must always hold, `judge` what must hold in the end.
//!
//! A seed decides everything, so a seed that fails can be told again.

mod calls;
mod devices;
mod judge;
mod plan;
mod watch;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use oneport_proto::{
    CallEnd, CallId, Device, EndpointConfig, PokeId, PrivateKey, RegistrationConfig,
    RegistrationId, RequestId, Secret, TokenRule, TransferKind, TrunkConfig,
};
use oneport_wire::CauseCode;

use super::adversary::Adversary;
use super::network::{Network, Taken};
use devices::Devices;
use plan::{Action, Planned};

/// Endpoints in a story.
const NODES: usize = 3;
/// When the network heals.
const HEALED: Duration = Duration::from_secs(60);
/// When the last application hangs up.
const LAST_HANGUP: Duration = Duration::from_secs(70);
/// By when all is over: the last HANGUP is given up after 32 s, and its number rests for 60 s.
const SILENCE: Duration = Duration::from_secs(240);

/// More steps than any story takes: somebody answers answers.
const MANY_STEPS: u32 = 1_000_000;

/// What went wrong, with all that was sent.
#[derive(Debug)]
pub struct Failure {
    /// In one sentence.
    pub what: String,
    /// Every datagram.
    pub transcript: String,
}

/// What one side knows of one call.
#[derive(Default)]
struct Record {
    digits_sent: String,
    digits_heard: String,
    /// Text and all that is passed on beside voice and digits.
    said: Vec<String>,
    told: Vec<String>,
    /// The caller holds what proves it: the right secret, or the right key where it has one.
    proves: bool,
    end: Option<CallEnd>,
}

/// A call as its application sees it.
struct Leg {
    key: u32,
    placed: bool,
    other: Option<CallId>,
    /// Nothing in the clear may be heard on it.
    secret: bool,
}

/// Who registers, as far as the other side sees it.
struct Asker {
    /// It cannot prove who it is.
    thief: bool,
    /// It ends its registration.
    leaves: bool,
    address: SocketAddr,
}

/// The applications of one story and what they saw.
struct Story {
    network: Network,
    plan: BinaryHeap<Reverse<Planned>>,
    serial: u64,
    legs: [HashMap<CallId, Leg>; NODES],
    /// By key, and whether it is the side that placed the call.
    records: BTreeMap<(u32, bool), Record>,
    /// The call from which a bridged call stems.
    roots: HashMap<u32, u32>,
    requests: [HashMap<RequestId, bool>; NODES],
    /// Who made them.
    askers: [HashMap<RequestId, Asker>; NODES],
    registrations: [HashMap<RegistrationId, bool>; NODES],
    pokes: [HashMap<PokeId, bool>; NODES],
    devices: Devices,
    /// Roots of calls that may be encrypted, so that what comes while keys change may be garbage.
    ciphered: BTreeSet<u32>,
    next_key: u32,
    /// The network never did anything but deliver.
    fair: bool,
    /// Calls last, and are sent on and joined.
    joins: bool,
    /// Who calls and registers is proved by RSA keys. It costs much, so few stories have it.
    signs: bool,
    /// Nothing is encrypted, so that it can be seen which frames are taken in.
    clear: bool,
    corrupt: bool,
    restarted: bool,
    /// Somebody's address changed.
    moved: bool,
    adversary: Adversary,
    /// Calls offered twice, because their NEW came from two addresses.
    doubled: BTreeSet<u32>,
    steps: u32,
    events: DefaultHasher,
}

/// What a story came to.
#[derive(PartialEq, Eq, Debug)]
pub struct Told {
    /// Of all that happened.
    pub digest: u64,
    /// Every datagram.
    pub transcript: String,
    /// Which kinds of frames were taken in, and how many of each.
    pub taken: Taken,
}

/// Tells the story of `seed` up to `until`, or to its end.
///
/// # Errors
/// A rule was broken.
pub fn tell(seed: u64, until: Option<Duration>) -> Result<Told, Box<Failure>> {
    let mut story = Story::new(seed);
    let result = story.run(until);
    let transcript = std::mem::take(&mut story.network.transcript);
    match result {
        Ok(()) => {
            transcript.hash(&mut story.events);
            let taken = std::mem::take(&mut story.network.taken);
            Ok(Told { digest: story.events.finish(), transcript, taken })
        }
        Err(what) => Err(Box::new(Failure { what, transcript })),
    }
}

/// The key that proves a site where keys do, and another.
static KEYS: LazyLock<[PrivateKey; 2]> =
    LazyLock::new(|| [1, 2].map(|seed| PrivateKey::generate([seed; 32]).expect("a key")));

fn config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config.call_token.users.insert("trusted".into(), TokenRule::No);
    config.call_token.users.insert("turning".into(), TokenRule::Auto);
    config.accept_transfers = true;
    config.accept_provisioning = true;
    config.key_rotation = Some(Duration::from_secs(3));
    config.firmware = vec![devices::image()];
    config.device = Device {
        device_type: Some(devices::DEVICE.into()),
        provisioning_version: Some(0),
        ..Device::default()
    };
    config
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut story = Self {
            network: Network::new(seed, vec![config(); NODES]),
            plan: BinaryHeap::new(),
            serial: 0,
            legs: Default::default(),
            records: BTreeMap::new(),
            roots: HashMap::new(),
            requests: Default::default(),
            askers: Default::default(),
            registrations: Default::default(),
            pokes: Default::default(),
            devices: Devices::default(),
            ciphered: BTreeSet::new(),
            next_key: 0,
            fair: seed.is_multiple_of(4),
            joins: seed % 16 >= 12,
            signs: [7, 12, 21].contains(&(seed % 128)),
            clear: [0, 3].contains(&(seed % 8)),
            corrupt: seed % 16 == 1,
            restarted: false,
            moved: false,
            adversary: match seed % 8 {
                2 | 4 => Adversary::OffPath,
                5 => Adversary::OnPath,
                _ => Adversary::None,
            },
            doubled: BTreeSet::new(),
            steps: 0,
            events: DefaultHasher::new(),
        };
        story.network.counts = story.clear;
        story.write();
        for node in 0..NODES {
            for to in 0..NODES {
                let timestamps = story.chance(50);
                if story.chance(30) {
                    let address = story.network.nodes[to].address;
                    let config = TrunkConfig { timestamps, ..TrunkConfig::default() };
                    story.network.nodes[node].endpoint.set_trunk(address, Some(config));
                }
            }
        }
        story
    }

    fn random(&mut self, bound: u32) -> u32 {
        self.network.random(bound)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random(100) < percent
    }

    fn millis(&mut self, least: u32, most: u32) -> Duration {
        Duration::from_millis(u64::from(least + self.random(most - least)))
    }

    fn run(&mut self, until: Option<Duration>) -> Result<(), String> {
        let origin = self.network.now();
        let end = origin + until.unwrap_or(SILENCE);
        loop {
            let due = self.plan.peek().map(|Reverse(planned)| planned.at);
            let stop = due.map_or(end, |due| due.min(end));
            // One step at a time: what is noticed may have consequences before that.
            if self.network.step(stop) {
                self.notice()?;
                self.steps += 1;
                if self.steps > MANY_STEPS {
                    return Err("it goes on without end".into());
                }
                continue;
            }
            self.notice()?;
            self.inspect()?;
            match self.plan.pop() {
                Some(Reverse(planned)) if planned.at <= end => {
                    self.act(planned.node, planned.action);
                }
                _ => break,
            }
        }
        for node in &self.network.nodes {
            self.network.taken.keys += node.endpoint.counters().key_changes;
        }
        if until.is_none() { self.judge() } else { Ok(()) }
    }

    fn act(&mut self, node: usize, action: Action) {
        let now = self.network.now();
        match action {
            Action::Place { to } => {
                let key = self.next_key;
                self.next_key += 1;
                self.roots.insert(key, key);
                self.place(node, to, key);
            }
            Action::Decide(call) => self.decide(node, call),
            Action::Answer(call) => {
                let endpoint = &mut self.network.nodes[node].endpoint;
                // The caller may be gone.
                let _ = endpoint.answer(now, call);
                if self.legs[node].contains_key(&call) {
                    self.plan(Duration::ZERO, node, Action::Talk(call));
                }
            }
            Action::Talk(call) => self.talk(node, call),
            Action::Transfer(call, other) => {
                let kind = if self.chance(50) { TransferKind::Full } else { TransferKind::Media };
                let now = self.network.now();
                // A call may be over, or encrypted.
                let _ = self.network.nodes[node].endpoint.transfer(now, call, other, kind);
            }
            Action::HangUp(call) => {
                let cause =
                    [CauseCode::NORMAL_CLEARING, CauseCode::NO_ANSWER][self.random(2) as usize];
                let _ = self.network.nodes[node].endpoint.hangup(now, call, cause, None);
            }
            Action::Poke { to } => {
                let to = self.network.nodes[to].address;
                let endpoint = &mut self.network.nodes[node].endpoint;
                let poke = endpoint.poke(now, to, Duration::from_secs(2)).expect("few pokes");
                self.pokes[node].insert(poke, false);
            }
            Action::Register { to } => {
                let right = self.chance(80);
                let key = self.signs.then(|| KEYS[usize::from(!right)].clone());
                let secret = Secret::from(if right || self.signs { "right" } else { "wrong" });
                let config = RegistrationConfig {
                    to: self.network.nodes[to].address,
                    others: Vec::new(),
                    username: if right { "site".into() } else { watch::THIEF.into() },
                    secret: Some(secret),
                    key,
                    allow_plaintext: false,
                    refresh: Duration::from_secs(20),
                };
                let id = self.network.nodes[node].endpoint.register(now, config);
                self.registrations[node].insert(id, false);
                let after = self.millis(0, 30_000);
                self.plan(after, node, Action::Unregister(id));
            }
            Action::Unregister(id) => self.network.nodes[node].endpoint.unregister(now, id),
            Action::Weather(weather) => self.network.weather = weather,
            Action::Move => {
                self.moved = true;
                let port = self.network.nodes[node].address.port() + 1;
                self.network.nodes[node].address.set_port(port);
            }
            Action::Fetch { to } => self.fetch(node, to),
            Action::SetUp { to } => self.set_up(node, to),
            Action::Attack => self.adversary.attack(&mut self.network, node),
            Action::Restart => {
                self.restarted = true;
                self.network.restart(node, config());
                self.legs[node].clear();
                self.requests[node].clear();
                self.askers[node].clear();
                self.registrations[node].clear();
                self.pokes[node].clear();
                self.devices.restart(node);
            }
        }
    }
}
