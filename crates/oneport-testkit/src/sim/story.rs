//! A random story on a simulated network: calls, registrations and polls between three endpoints
//! while the network misbehaves, addresses change and perhaps somebody means harm; then it heals,
//! everybody hangs up, and silence must fall.
//!
//! A seed decides everything, so a seed that fails can be told again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use oneport_proto::{
    CallEnd, CallId, Challenge, CommandError, DtmfPhase, EncryptionPolicy, EndReason,
    EndpointConfig, Event, Grant, Instant, NewCall, PokeId, RegistrationConfig, RegistrationId,
    RequestId, Secret, TokenRule, TransferKind, TrunkConfig,
};
use oneport_wire::{CauseCode, Control, DialplanStatus, Format, frame_type};

use super::adversary::{Adversary, MARK};
use super::network::{Network, Weather};

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

/// What an application does at a moment set before.
enum Action {
    Place {
        to: usize,
    },
    Decide(CallId),
    Answer(CallId),
    Talk(CallId),
    HangUp(CallId),
    Transfer(CallId, CallId),
    Poke {
        to: usize,
    },
    Register {
        to: usize,
    },
    Unregister(RegistrationId),
    Weather(Weather),
    Restart,
    /// The node's port changes, as behind a NAT that forgets.
    Move,
    Attack,
}

struct Planned {
    at: Instant,
    serial: u64,
    node: usize,
    action: Action,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}
impl Eq for Planned {}
impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
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
    registrations: [HashMap<RegistrationId, bool>; NODES],
    pokes: [HashMap<PokeId, bool>; NODES],
    next_key: u32,
    /// The network never did anything but deliver.
    fair: bool,
    /// Calls last, and are sent on and joined.
    joins: bool,
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

/// Tells the story of `seed` up to `until`, or to its end. Returns a digest of all that happened, and
/// every datagram.
///
/// # Errors
/// A rule was broken.
pub fn tell(seed: u64, until: Option<Duration>) -> Result<(u64, String), Box<Failure>> {
    let mut story = Story::new(seed);
    let result = story.run(until);
    let transcript = std::mem::take(&mut story.network.transcript);
    match result {
        Ok(()) => {
            transcript.hash(&mut story.events);
            Ok((story.events.finish(), transcript))
        }
        Err(what) => Err(Box::new(Failure { what, transcript })),
    }
}

fn config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config.call_token.users.insert("trusted".into(), TokenRule::No);
    config.accept_transfers = true;
    config.key_rotation = Some(Duration::from_secs(3));
    config.call_token.users.insert("turning".into(), TokenRule::Auto);
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
            registrations: Default::default(),
            pokes: Default::default(),
            next_key: 0,
            fair: seed.is_multiple_of(4),
            joins: seed % 16 >= 12,
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

    fn plan(&mut self, after: Duration, node: usize, action: Action) {
        let at = self.network.now() + after;
        self.serial += 1;
        self.plan.push(Reverse(Planned { at, serial: self.serial, node, action }));
    }

    /// Plans what begins without a cause.
    fn write(&mut self) {
        for _ in 0..1 + self.random(8) {
            let node = self.random(3) as usize;
            let to = self.random(3) as usize;
            let after = self.millis(0, 40_000);
            self.plan(after, node, Action::Place { to });
        }
        for _ in 0..self.random(3) {
            let (node, to) = (self.random(3) as usize, self.random(3) as usize);
            let after = self.millis(0, 30_000);
            self.plan(after, node, Action::Register { to });
        }
        for _ in 0..self.random(3) {
            let (node, to) = (self.random(3) as usize, self.random(3) as usize);
            let after = self.millis(0, 50_000);
            self.plan(after, node, Action::Poke { to });
        }
        if !self.fair {
            for _ in 0..1 + self.random(4) {
                let weather = self.bad_weather();
                let after = self.millis(0, 40_000);
                self.plan(after, 0, Action::Weather(weather));
            }
            if self.chance(10) {
                let node = self.random(3) as usize;
                let after = self.millis(5_000, 50_000);
                self.plan(after, node, Action::Restart);
            }
            if self.chance(20) {
                let node = self.random(3) as usize;
                let after = self.millis(1_000, 50_000);
                self.plan(after, node, Action::Move);
            }
        }
        if self.adversary != Adversary::None {
            self.network.watched = true;
            for _ in 0..10 + self.random(50) {
                let node = self.random(3) as usize;
                let after = self.millis(0, 60_000);
                self.plan(after, node, Action::Attack);
            }
        }
        self.plan(HEALED, 0, Action::Weather(Weather::FAIR));
    }

    fn bad_weather(&mut self) -> Weather {
        Weather {
            loss: [0, 10, 100, 300, 500][self.random(5) as usize],
            duplication: [0, 10, 100][self.random(3) as usize],
            corruption: if self.corrupt { 100 } else { 0 },
            delay: self.millis(1, 200),
            jitter: self.millis(0, 400),
            cut: self.chance(10),
        }
    }

    fn run(&mut self, until: Option<Duration>) -> Result<(), String> {
        let origin = self.network.now();
        let end = origin + until.unwrap_or(SILENCE);
        loop {
            let due = self.plan.peek().map(|Reverse(planned)| planned.at);
            let stop = due.map_or(end, |due| due.min(end));
            while self.network.step(stop) {
                self.notice()?;
                self.steps += 1;
                if self.steps > MANY_STEPS {
                    return Err("it goes on without end".into());
                }
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
                let secret = if self.chance(80) { "right" } else { "wrong" };
                let config = RegistrationConfig {
                    to: self.network.nodes[to].address,
                    username: "site".into(),
                    secret: Some(Secret::from(secret)),
                    key: None,
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
            Action::Attack => self.adversary.attack(&mut self.network, node),
            Action::Restart => {
                self.restarted = true;
                self.network.restart(node, config());
                self.legs[node].clear();
                self.requests[node].clear();
                self.registrations[node].clear();
                self.pokes[node].clear();
            }
        }
    }

    fn place(&mut self, node: usize, to: usize, key: u32) -> Option<CallId> {
        let mut call = NewCall::to("600");
        call.calling_number = Some(key.to_string());
        call.username = match self.random(4) {
            0 => None,
            1 => Some("trusted".into()),
            2 => Some("turning".into()),
            _ => Some("site".into()),
        };
        call.secret = match self.random(8) {
            0 => None,
            1 => Some(Secret::from("wrong")),
            _ => Some(Secret::from("right")),
        };
        call.encryption = self.encryption();
        let secret = call.encryption == EncryptionPolicy::Required;
        if self.chance(30) {
            call.formats = vec![Format::GSM, Format::ULAW];
        }
        let now = self.network.now();
        let address = self.network.nodes[to].address;
        let id = self.network.nodes[node].endpoint.place_call(now, address, call).ok()?;
        self.legs[node].insert(id, Leg { key, placed: true, other: None, secret });
        self.records.insert((key, true), Record::default());
        self.plan_hangup(node, id);
        Some(id)
    }

    fn encryption(&mut self) -> EncryptionPolicy {
        match self.random(8) {
            0 | 1 => EncryptionPolicy::Allowed,
            2 => EncryptionPolicy::Required,
            _ => EncryptionPolicy::Off,
        }
    }

    /// Sooner or later this side hangs up, and not after the last moment.
    fn plan_hangup(&mut self, node: usize, call: CallId) {
        let latest = Instant::from_micros(0) + LAST_HANGUP;
        let left = latest.since(self.network.now());
        let patience = if self.joins { 2 } else { self.random(3) };
        let wished = match patience {
            0 => self.millis(0, 500),
            1 => self.millis(500, 5_000),
            _ => self.millis(5_000, 60_000),
        };
        self.plan(wished.min(left), node, Action::HangUp(call));
    }

    /// The called application makes up its mind.
    fn decide(&mut self, node: usize, call: CallId) {
        let now = self.network.now();
        let choice = self.random(10);
        let to = self.random(3) as usize;
        let Some(leg) = self.legs[node].get(&call) else { return };
        let root = self.roots[&leg.key];
        let choice = match self.joins {
            true if leg.key == root => 6,
            true => 8,
            false => choice,
        };
        // A call is sent on to the third, so that the two ends can find each other.
        let caller = self.network.nodes[node].endpoint.call_path(call).map(|path| path.remote);
        let nodes = &self.network.nodes;
        let third = nodes.iter().position(|one| Some(one.address) == caller);
        let to = third.filter(|caller| *caller != node).map_or(to, |caller| 3 - node - caller);
        let endpoint = &mut self.network.nodes[node].endpoint;
        match choice {
            0 => {
                let _ = endpoint.reject(now, call, CauseCode::NO_ROUTE, Some("nobody here"));
            }
            // Nothing is ever decided.
            1 => {}
            2 => {
                let _ = endpoint.busy(now, call);
            }
            3 => {
                if endpoint.accept(now, call, Format::ULAW).is_ok() {
                    let _ = endpoint.congestion(now, call);
                }
            }
            4 | 5 => {
                let _ = endpoint.accept(now, call, Format::ULAW);
                let _ = endpoint.answer(now, call);
                let _ = endpoint.link(call, call);
            }
            6 | 7 if self.next_key < 20 => {
                let key = self.next_key;
                self.next_key += 1;
                self.roots.insert(key, root);
                let _ = endpoint.accept(now, call, Format::ULAW);
                let other = self.place(node, to, key);
                if let Some(leg) = self.legs[node].get_mut(&call) {
                    leg.other = other;
                }
                if let Some(leg) = other.and_then(|other| self.legs[node].get_mut(&other)) {
                    leg.other = Some(call);
                }
            }
            _ => {
                let _ = endpoint.accept(now, call, Format::ULAW);
                let _ = endpoint.ringing(now, call);
                let after = self.millis(0, 3_000);
                self.plan(after, node, Action::Answer(call));
            }
        }
        self.plan_hangup(node, call);
    }

    /// Sends a digit, a text, a control frame or some voice; more follows.
    fn talk(&mut self, node: usize, call: CallId) {
        let now = self.network.now();
        let choice = self.random(8);
        let count = 1 + self.random(30);
        let Some(leg) = self.legs[node].get(&call) else { return };
        let root = self.roots[&leg.key];
        let record = self.records.entry((leg.key, leg.placed)).or_default();
        let endpoint = &mut self.network.nodes[node].endpoint;
        match choice {
            0 | 1 => {
                let digit = b"0123456789ABCD*#"[count as usize % 16];
                if endpoint.dtmf_begin(now, call, digit).is_ok() {
                    record.digits_sent.push('(');
                    record.digits_sent.push(char::from(digit));
                }
                if endpoint.dtmf_end(now, call, digit).is_ok() {
                    record.digits_sent.push(char::from(digit));
                    record.digits_sent.push(')');
                }
            }
            2 => {
                let text = format!("{root}:{}", record.said.len());
                if endpoint.send_text(now, call, &text).is_ok() {
                    record.said.push(text);
                }
            }
            3 | 4 => {
                let word = format!("{root}:{}", record.said.len());
                let (kind, sent) = match count % 9 {
                    0 => ("hold", endpoint.send_control(now, call, Control::Hold, word.as_bytes())),
                    1 => {
                        ("flash", endpoint.send_control(now, call, Control::Flash, word.as_bytes()))
                    }
                    2 => ("quelch", endpoint.quelch(now, call, true)),
                    3 => ("unquelch", endpoint.quelch(now, call, false)),
                    4 => ("query", endpoint.dialplan_query(now, call, &word)),
                    5 => ("dial", endpoint.dial(now, call, &word)),
                    6 => ("transfer", endpoint.blind_transfer(now, call, &word, None)),
                    7 => {
                        let kind = frame_type::IMAGE;
                        ("frame", endpoint.send_frame(now, call, kind, 0x90, word.as_bytes()))
                    }
                    _ => {
                        let kind = frame_type::HTML;
                        ("frame", endpoint.send_frame(now, call, kind, 1, word.as_bytes()))
                    }
                };
                if sent.is_ok() {
                    let word = if kind.ends_with("quelch") { "" } else { &word };
                    record.said.push(format!("{kind} {word}"));
                }
            }
            _ => {
                let mut payload = [0x7F; 160];
                payload[..4].copy_from_slice(&root.to_be_bytes());
                for _ in 0..count {
                    let _ = endpoint.send_voice(now, call, Format::ULAW, &payload, 20);
                }
            }
        }
        let after = self.millis(10, 4_000);
        self.plan(after, node, Action::Talk(call));
    }

    /// Looks at what the endpoints have to tell.
    fn notice(&mut self) -> Result<(), String> {
        if self.steps.is_multiple_of(64) {
            self.inspect()?;
        }
        for node in 0..NODES {
            for voice in self.network.heard(node) {
                let Some(leg) = self.legs[node].get(&voice.call) else {
                    return Err(format!("voice for {} which is over", voice.call));
                };
                let key = voice.payload.first_chunk().copied().map(u32::from_be_bytes);
                // Who sees a call in the clear can be heard on it, or make it hear another.
                let legs = self.roots.values().filter(|root| **root == self.roots[&leg.key]);
                let sealed = leg.secret && legs.count() == 1;
                let open = self.adversary == Adversary::OnPath && !sealed;
                if key == Some(MARK) && !open {
                    return Err(format!("call {} heard an adversary", leg.key));
                }
                let disturbed = !self.fair || self.adversary == Adversary::OnPath;
                let garbage = disturbed && key.is_none_or(|key| !self.roots.contains_key(&key));
                if key != Some(self.roots[&leg.key]) && !self.corrupt && !open && !garbage {
                    return Err(format!("call {} heard voice of call {key:?}", leg.key));
                }
            }
            while let Some(event) = self.network.event(node) {
                format!("{event:?}").hash(&mut self.events);
                self.react(node, event)?;
            }
        }
        Ok(())
    }

    /// Tables agree, and whoever has proved nothing got no more than one answer for each datagram, and
    /// three times its bytes.
    fn inspect(&self) -> Result<(), String> {
        for (n, node) in self.network.nodes.iter().enumerate() {
            if let Some(what) = node.endpoint.inconsistency() {
                return Err(format!("node {n}: {what}"));
            }
        }
        for (address, told) in &self.network.strangers {
            if told.datagrams_out > told.datagrams_in || told.bytes_out > 3 * told.bytes_in {
                return Err(format!("{address} was answered too much: {told:?}"));
            }
        }
        Ok(())
    }

    fn react(&mut self, node: usize, event: Event) -> Result<(), String> {
        let now = self.network.now();
        match event {
            Event::CallOffered { call, offer } => {
                let number = offer.calling_number.as_deref().and_then(|key| key.parse().ok());
                let key = match number {
                    Some(key) if self.roots.contains_key(&key) => key,
                    _ if self.is_disturbed() => return Ok(()),
                    other => return Err(format!("an offer nobody made: {other:?}")),
                };
                let leg = Leg { key, placed: false, other: None, secret: false };
                self.legs[node].insert(call, leg);
                if self.records.insert((key, false), Record::default()).is_some() {
                    self.doubled.insert(key);
                }
                if offer.username.as_deref() == Some("site") && !self.chance(10) {
                    let encryption = self.encryption();
                    if let Some(leg) = self.legs[node].get_mut(&call) {
                        leg.secret = encryption == EncryptionPolicy::Required;
                    }
                    let secret = Secret::from("right");
                    let challenge = Challenge { encryption, ..Challenge::md5("site", secret) };
                    let endpoint = &mut self.network.nodes[node].endpoint;
                    return match endpoint.challenge_call(now, call, challenge) {
                        Err(CommandError::EncryptionNotOffered) => {
                            endpoint.reject(now, call, CauseCode::FACILITY_NOT_SUBSCRIBED, None)
                        }
                        result => result,
                    }
                    .map_err(|error| error.to_string());
                }
                let after = self.millis(0, 300);
                self.plan(after, node, Action::Decide(call));
            }
            Event::CallAuthenticated { call, .. } => {
                let after = self.millis(0, 300);
                self.plan(after, node, Action::Decide(call));
            }
            Event::CallAccepted { call, .. } => {
                let leg = self.leg(node, call)?;
                if let Some(other) = leg.other {
                    let endpoint = &mut self.network.nodes[node].endpoint;
                    // The first leg may be gone, or speak another format.
                    let _ = endpoint.link(call, other);
                    let _ = endpoint.answer(now, other);
                }
            }
            Event::CallAnswered { call } => {
                let other = self.leg(node, call)?.other;
                let often = if self.joins { 80 } else { 40 };
                if let Some(other) = other.filter(|_| self.chance(often)) {
                    let after = self.millis(0, 2_000);
                    self.plan(after, node, Action::Transfer(call, other));
                }
                self.plan(Duration::ZERO, node, Action::Talk(call));
            }
            Event::Dtmf { call, digit, phase } => {
                let record = self.record(node, call)?;
                match phase {
                    DtmfPhase::Begin => {
                        record.digits_heard.extend(['(', char::from(digit)]);
                    }
                    DtmfPhase::End => record.digits_heard.extend([char::from(digit), ')']),
                }
            }
            Event::Text { call, text } => self.record(node, call)?.told.push(text),
            Event::CallProgress { call, .. } => {
                self.leg(node, call)?;
            }
            Event::Control { call, control, payload } => {
                let kind = if control == Control::Hold { "hold" } else { "flash" };
                self.hear(node, call, kind, &String::from_utf8_lossy(&payload))?;
            }
            Event::Quelched { call, quelched, .. } => {
                self.hear(node, call, if quelched { "quelch" } else { "unquelch" }, "")?;
            }
            Event::Dialled { call, number, .. } => self.hear(node, call, "dial", &number)?,
            Event::TransferRequested { call, number, .. } => {
                self.hear(node, call, "transfer", &number)?;
            }
            Event::Frame { call, payload, .. } => {
                self.hear(node, call, "frame", &String::from_utf8_lossy(&payload))?;
            }
            Event::DialplanQueried { call, number } => {
                self.hear(node, call, "query", &number)?;
                let endpoint = &mut self.network.nodes[node].endpoint;
                let (status, refresh) = (DialplanStatus::EXISTS, Duration::from_secs(600));
                if endpoint.dialplan_reply(now, call, &number, status, refresh).is_ok() {
                    self.record(node, call)?.said.push(format!("reply {number}"));
                }
            }
            Event::DialplanReply { call, number, .. } => self.hear(node, call, "reply", &number)?,
            Event::CallEnded { call, end } => {
                let Some(leg) = self.legs[node].remove(&call) else {
                    let untold = self.is_disturbed();
                    return untold.then_some(()).ok_or_else(|| format!("{call} ended twice"));
                };
                self.records.entry((leg.key, leg.placed)).or_default().end = Some(end);
            }
            Event::RegisterRequested { request, .. } => {
                self.requests[node].insert(request, false);
                let challenge = Challenge::md5("site", Secret::from("right"));
                let endpoint = &mut self.network.nodes[node].endpoint;
                let challenged = endpoint.challenge_request(now, request, challenge);
                challenged.map_err(|error| error.to_string())?;
            }
            Event::RegisterAuthenticated { request, .. } => {
                let grant = Grant { refresh: Duration::from_secs(20), ..Grant::default() };
                let granted = self.network.nodes[node].endpoint.grant(now, request, &grant);
                granted.map_err(|error| error.to_string())?;
            }
            Event::RegisterEnded { request, .. } => {
                end_once(&mut self.requests[node], request)?;
            }
            Event::Registered { registration, .. }
            | Event::RegistrationFailed { registration, .. } => {
                let over = self.registrations[node].get(&registration) != Some(&false);
                return (!over).then_some(()).ok_or_else(|| format!("{registration} goes on"));
            }
            Event::Unregistered { registration } => {
                end_once(&mut self.registrations[node], registration)?;
            }
            Event::Pong { poke, .. } | Event::PokeTimedOut { poke } => {
                end_once(&mut self.pokes[node], poke)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The network, or somebody on it, changes what is said.
    fn is_disturbed(&self) -> bool {
        self.corrupt || self.adversary == Adversary::OnPath
    }

    fn hear(&mut self, node: usize, call: CallId, kind: &str, what: &str) -> Result<(), String> {
        self.record(node, call)?.told.push(format!("{kind} {what}"));
        Ok(())
    }

    fn leg(&self, node: usize, call: CallId) -> Result<&Leg, String> {
        self.legs[node].get(&call).ok_or_else(|| format!("{call} is over and goes on"))
    }

    fn record(&mut self, node: usize, call: CallId) -> Result<&mut Record, String> {
        let leg = self.leg(node, call)?;
        let key = (leg.key, leg.placed);
        Ok(self.records.entry(key).or_default())
    }

    /// All is over: nothing may be left, and both sides must agree on what happened.
    fn judge(&self) -> Result<(), String> {
        for node in 0..NODES {
            if !self.network.nodes[node].endpoint.is_quiescent() {
                return Err(format!("node {node} is not silent at the end"));
            }
            if let Some(call) = self.legs[node].keys().next() {
                return Err(format!("{call} of node {node} never ended"));
            }
            let open = |over: &bool| !over;
            if self.requests[node].values().any(open)
                || self.registrations[node].values().any(open)
                || self.pokes[node].values().any(open)
            {
                return Err(format!("a request, registration or poll of node {node} never ended"));
            }
        }
        if self.is_disturbed() || self.restarted {
            return Ok(());
        }
        for ((key, placed), caller) in &self.records {
            if !placed || self.doubled.contains(key) {
                continue;
            }
            let callee = self.records.get(&(*key, false));
            self.compare(caller, callee).map_err(|what| format!("call {key}: {what}"))?;
        }
        Ok(())
    }

    fn compare(&self, caller: &Record, callee: Option<&Record>) -> Result<(), String> {
        let ours = caller.end.as_ref().ok_or("no end")?;
        let Some(callee) = callee else {
            let unseen = matches!(ours.reason, EndReason::LocalHangup)
                || !self.fair && ours.reason == EndReason::TimedOut
                // Its token was for another address than it came from.
                || self.moved && ours.reason == EndReason::RemoteReject;
            return unseen.then_some(()).ok_or_else(|| format!("{:?}, never offered", ours.reason));
        };
        let theirs = callee.end.as_ref().ok_or("no end at the called side")?;
        if [ours.reason, theirs.reason].contains(&EndReason::Transferred) {
            // It went on without one of the two, who knows nothing of what was said since.
            return Ok(());
        }
        check_prefix(&caller.digits_sent, &callee.digits_heard, "digits")?;
        check_prefix(&callee.digits_sent, &caller.digits_heard, "digits")?;
        if !caller.said.starts_with(&callee.told) || !callee.said.starts_with(&caller.told) {
            let (one, other) = ((&caller.said, &callee.told), (&callee.said, &caller.told));
            return Err(format!("said and told differ: {one:?}, {other:?}"));
        }
        if self.moved {
            // One side may look for the other where it is no more.
            return Ok(());
        }
        use EndReason as End;
        let agreed = match (ours.reason, theirs.reason) {
            (End::LocalHangup, End::RemoteHangup) => {
                ours.cause == theirs.cause && caller.digits_sent == callee.digits_heard
            }
            (End::RemoteHangup, End::LocalHangup) => {
                ours.cause == theirs.cause && callee.digits_sent == caller.digits_heard
            }
            (End::RemoteReject, End::LocalReject) => ours.cause == theirs.cause,
            (End::RemoteReject, End::Undecided | End::AuthenticationFailed) => true,
            // Both at once.
            (
                End::LocalHangup,
                End::LocalHangup | End::LocalReject | End::Undecided | End::AuthenticationFailed,
            ) => true,
            (
                End::CannotAuthenticate | End::EncryptionRefused,
                End::RemoteHangup | End::Undecided | End::LocalHangup | End::LocalReject,
            ) => true,
            (End::TimedOut | End::SetupTimedOut, _) | (_, End::TimedOut) => !self.fair,
            // HANGUP was lost until it was given up; who comes back later hears that all is over.
            (
                End::LocalHangup | End::CannotAuthenticate | End::EncryptionRefused,
                End::Invalidated,
            )
            | (End::Invalidated, End::LocalHangup) => !self.fair,
            _ => false,
        };
        agreed.then_some(()).ok_or_else(|| {
            let mut what = String::new();
            let _ = write!(what, "caller: {:?} {}, ", ours.reason, ours.cause);
            let _ = write!(what, "called: {:?} {}", theirs.reason, theirs.cause);
            what
        })
    }
}

/// Notes the end of something of which there must be just one.
fn end_once<Id: Copy + Eq + Hash + std::fmt::Display>(
    over: &mut HashMap<Id, bool>,
    id: Id,
) -> Result<(), String> {
    let first = over.insert(id, true) == Some(false);
    first.then_some(()).ok_or_else(|| format!("{id} ended twice"))
}

fn check_prefix(sent: &str, heard: &str, what: &str) -> Result<(), String> {
    sent.starts_with(heard)
        .then_some(())
        .ok_or_else(|| format!("{what}: sent {sent}, heard {heard}"))
}

/// Tells the stories of many seeds on all processors, each twice. The first failure, if any, comes
/// back with the command that replays it.
///
/// # Errors
/// A rule was broken, or a seed told two different stories.
pub fn tell_many(seeds: std::ops::Range<u64>) -> Result<(), String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let seeds = seeds.clone();
                scope.spawn(move || {
                    seeds.filter(|seed| seed % threads == worker).try_for_each(tell_twice)
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(_) => Err("a story panicked; see above for its seed".into()),
        })
    })
}

fn tell_twice(seed: u64) -> Result<(), String> {
    let told = std::panic::catch_unwind(|| (tell(seed, None), tell(seed, None)));
    let replay = format!("replay it with: cargo xtask sim --seed {seed}");
    match told {
        Ok((Ok(once), Ok(again))) if once == again => Ok(()),
        Ok((Ok(_), Ok(_))) => Err(format!("seed {seed} told two stories; {replay}")),
        Ok((Err(failure), _) | (_, Err(failure))) => {
            Err(format!("seed {seed}: {}; {replay}", failure.what))
        }
        Err(_) => Err(format!("seed {seed} panicked; {replay}")),
    }
}
