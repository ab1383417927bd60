//! Runs a case against the engine.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{
    CallEnd, CallId, Challenge, DtmfPhase, EncryptionPolicy, Endpoint, EndpointConfig, Event,
    Grant, Instant, Media, MediaSink, NewCall, Path, RegistrationConfig, RegistrationId, Secret,
    TransmitBuffer,
};
use oneport_wire::{CauseCode, Datagram, Format, FullFrame, IaxSubclass, Message};

use super::case::{Answers, Case, From, State, Step, Then};
use super::peer::{Peer, SECRET};
use super::template::{expand, takes_number, unhex};

/// How long answers are waited for, in ms: longer than an acknowledgement is held back.
const PATIENCE: u64 = 60;

/// Frames that may go to an address which a peer of ours names.
const TO_THIRD_PARTIES: usize = 4;

/// Runs a case with random numbers of `seed`.
///
/// # Errors
/// The engine's answer differs from the right one, a rule that holds for all cases is broken, or
/// the case cannot be read.
pub fn run(case: &Case, seed: u64) -> Result<(), String> {
    let mut world = World::new(seed);
    world.set_up(case.state).map_err(|what| format!("{:?}: {what}", case.state))?;
    for (n, step) in case.step.iter().enumerate() {
        world.step(step).map_err(|what| format!("step {}: {what}", n + 1))?;
    }
    world.judge(case)
}

#[derive(Default)]
struct Heard(Vec<(CallId, Vec<u8>)>);

impl MediaSink for Heard {
    fn media(&mut self, call: CallId, media: Media<'_>) {
        self.0.push((call, media.payload.to_vec()));
    }
}

/// The system under test, its application, and those around it.
struct World {
    endpoint: Endpoint,
    now: u64,
    peer: Peer,
    bystander: Peer,
    heard: Heard,
    /// Datagrams of the system not looked at: to whom, and what.
    sent: Vec<(SocketAddr, Vec<u8>)>,
    told: Vec<String>,
    calls: Vec<CallId>,
    registration: Option<RegistrationId>,
    end: Option<CallEnd>,
    allows_transfer: bool,
    encrypted: bool,
    /// The peer has used a call token.
    validated: bool,
    /// Voice of the bystander so far.
    spoken: u32,
    to_third_parties: usize,
    buffer: TransmitBuffer,
}

fn peer_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4569))
}

fn bystander_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 50], 4569))
}

fn address(from: From) -> SocketAddr {
    match from {
        From::Peer => peer_address(),
        From::OtherPort => SocketAddr::from(([192, 0, 2, 1], 4570)),
        From::Elsewhere => SocketAddr::from(([198, 51, 100, 9], 4569)),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let config = EndpointConfig { key_rotation: None, ..EndpointConfig::default() };
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            endpoint: Endpoint::new(config, bytes, Instant::from_micros(0)),
            now: 0,
            peer: Peer::new(5),
            bystander: Peer::new(9),
            heard: Heard::default(),
            sent: Vec::new(),
            told: Vec::new(),
            calls: Vec::new(),
            registration: None,
            end: None,
            allows_transfer: false,
            encrypted: false,
            validated: false,
            spoken: 0,
            to_third_parties: 0,
            buffer: TransmitBuffer::with_capacity(65_536, 1),
        }
    }

    fn instant(&self) -> Instant {
        Instant::from_micros(self.now * 1000)
    }

    /// Sends a datagram to the system.
    fn send(&mut self, from: SocketAddr, datagram: &[u8]) {
        let now = self.instant();
        let mut bytes = datagram.to_vec();
        self.endpoint.handle_datagram(now, Path::from(from), &mut bytes, &mut self.heard);
        self.drain();
    }

    /// Sends a template of the peer.
    fn say(&mut self, template: &str) -> Result<(), String> {
        let bytes = expand(template, &self.peer)?;
        if takes_number(template) {
            self.peer.count(&bytes);
        }
        let bytes = if self.encrypted { self.peer.seal(&bytes, None) } else { bytes };
        self.send(peer_address(), &bytes);
        Ok(())
    }

    fn drain(&mut self) {
        while let Some(event) = self.endpoint.poll_event() {
            self.react(event);
        }
        while let Some(transmit) = self.endpoint.poll_transmit(&mut self.buffer) {
            self.sent.push((transmit.path.remote, self.buffer.as_bytes().to_vec()));
        }
    }

    /// The application.
    fn react(&mut self, event: Event) {
        let now = self.instant();
        let endpoint = &mut self.endpoint;
        match event {
            Event::CallOffered { call, offer } => {
                self.calls.push(call);
                if offer.username.as_deref() == Some("torture") {
                    let encryption = EncryptionPolicy::Allowed;
                    let challenge = Challenge::md5("torture", Secret::from(SECRET));
                    let challenge = Challenge { encryption, ..challenge };
                    // Too many may wait.
                    let _ = endpoint.challenge_call(now, call, challenge);
                } else if offer.called_number == "600"
                    && endpoint.accept(now, call, Format::ULAW).is_ok()
                {
                    let _ = endpoint.answer(now, call);
                }
            }
            Event::CallAuthenticated { call, .. } => {
                let _ = endpoint.accept(now, call, Format::ULAW);
                let _ = endpoint.answer(now, call);
            }
            Event::RegisterRequested { request, register } => {
                let challenge = match register.username.as_str() {
                    "torture" => Challenge::md5("torture", Secret::from(SECRET)),
                    other => Challenge::unknown(other),
                };
                let _ = endpoint.challenge_request(now, request, challenge);
            }
            Event::RegisterAuthenticated { request, .. } => {
                let _ = endpoint.grant(now, request, &Grant::default());
            }
            Event::CallEnded { call, end } if self.calls.get(1) == Some(&call) => {
                self.end = Some(end);
            }
            Event::Dtmf { digit, phase: DtmfPhase::End, .. } => {
                self.told.push(format!("digit {}", char::from(digit)));
            }
            Event::Text { text, .. } => self.told.push(format!("text {text}")),
            Event::Control { control, .. } => self.told.push(format!("control {control:?}")),
            Event::Quelched { quelched, .. } => {
                let word = if quelched { "quelch" } else { "unquelch" };
                self.told.push(word.into());
            }
            Event::TransferRequested { number, .. } => self.told.push(format!("transfer {number}")),
            Event::CallTransferred { .. } => self.told.push("transferred".into()),
            Event::CallMoved { .. } => self.told.push("moved".into()),
            Event::DialplanQueried { number, .. } => self.told.push(format!("query {number}")),
            Event::Dialled { number, .. } => self.told.push(format!("dialled {number}")),
            _ => {}
        }
    }

    /// Lets time pass.
    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        loop {
            let next = self.endpoint.poll_timeout().map(|at| at.as_micros().div_ceil(1000));
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            let now = self.instant();
            self.endpoint.handle_timeout(now);
            self.drain();
        }
        self.now = until;
        (self.peer.now, self.bystander.now) = (until, until);
    }

    /// Takes what the system has sent: answers what keeps exchanges alive, and returns what the
    /// peer, or anybody but the bystander, got for its datagram.
    fn collect(&mut self) -> Vec<(SocketAddr, Vec<u8>, bool)> {
        let mut got = Vec::new();
        while !self.sent.is_empty() {
            for (to, bytes) in std::mem::take(&mut self.sent) {
                let peer = if to == bystander_address() {
                    &mut self.bystander
                } else if to == peer_address() {
                    &mut self.peer
                } else {
                    got.push((to, bytes, false));
                    continue;
                };
                let received = peer.receive(&bytes);
                if to == peer_address() {
                    got.push((to, received.plain, received.unasked));
                }
                if let Some(reply) = received.reply {
                    self.send(to, &reply);
                }
            }
        }
        got
    }

    /// The bystander says something, and is heard.
    fn speak(&mut self) -> Result<(), String> {
        let Some(bystander) = self.calls.first().copied() else { return Ok(()) };
        self.spoken += 1;
        let mut payload = [0x55; 160];
        payload[..4].copy_from_slice(&self.spoken.to_be_bytes());
        let mini = self.bystander.mini(&payload);
        let before = self.heard.0.len();
        self.send(bystander_address(), &mini);
        let heard = &self.heard.0[before..];
        if heard != [(bystander, payload.to_vec())] {
            return Err(format!("the bystander was not heard: {} frames", heard.len()));
        }
        self.heard.0.truncate(before);
        Ok(())
    }

    fn set_up(&mut self, state: State) -> Result<(), String> {
        // The bystander calls first, by the same words.
        std::mem::swap(&mut self.peer, &mut self.bystander);
        self.call_in("03363030", bystander_address())?;
        self.talk_from(bystander_address())?;
        std::mem::swap(&mut self.peer, &mut self.bystander);
        self.pass(700);
        self.collect();
        self.speak()?;
        self.heard.0.clear();
        self.validated = false;
        match state {
            State::Stranger => {}
            State::Token => self.fetch_token(peer_address())?,
            State::Offered => self.call_in("03363031", peer_address())?,
            State::Challenged => self.call_as_user("")?,
            State::Accepted => self.accepted()?,
            State::Transferable => {
                self.allows_transfer = true;
                self.accepted()?;
            }
            State::Talking => {
                self.accepted()?;
                self.talk_from(peer_address())?;
            }
            State::Encrypted => {
                self.call_as_user("2b028001")?;
                self.peer.begin_encryption();
                (self.encrypted, self.peer.acknowledges) = (true, true);
                self.say("{S} {D} {t} {o} {i} 06 09 {md5}")?;
                self.settle();
                self.say("{S} {D} {t} {o} {i} 02 04 ff*160")?;
                self.settle();
            }
            State::Calling | State::Placed => {
                let now = self.instant();
                let call = self.endpoint.place_call(now, peer_address(), NewCall::to("1"));
                self.calls.push(call.map_err(|error| error.to_string())?);
                self.drain();
                self.collect();
                if state == State::Placed {
                    self.peer.acknowledges = true;
                    self.say("{S} {D} {t} {o} {i} 06 07 0904 00000004")?;
                    self.say("{S} {D} {t} {o} {i} 04 04")?;
                    self.settle();
                }
                self.validated = true;
            }
            State::Registering => {
                let config = RegistrationConfig {
                    to: peer_address(),
                    others: Vec::new(),
                    username: "torture".into(),
                    secret: Some(Secret::from(SECRET)),
                    key: None,
                    allow_plaintext: false,
                    refresh: Duration::from_secs(60),
                };
                let now = self.instant();
                self.registration = Some(self.endpoint.register(now, config));
                self.drain();
                self.collect();
                self.validated = true;
            }
            State::Requested => {
                self.fetch_token(peer_address())?;
                self.say("{S} 0000 {t} {o} 00 06 0d 0607746f7274757265 {token}")?;
                self.validated = true;
                self.pass(PATIENCE);
                self.collect();
            }
        }
        self.heard.0.clear();
        self.told.clear();
        Ok(())
    }

    fn settle(&mut self) {
        // The first LAGRQ leaves half a second after ACCEPT.
        for _ in 0..3 {
            self.pass(250);
            self.collect();
        }
    }

    fn accepted(&mut self) -> Result<(), String> {
        self.peer.acknowledges = true;
        self.call_in("03363030", peer_address())?;
        self.settle();
        if let Some(call) = self.calls.last()
            && self.allows_transfer
        {
            self.endpoint.allow_transfer(*call, true).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn fetch_token(&mut self, from: SocketAddr) -> Result<(), String> {
        let bytes = expand("{S} 0000 {t} 00 00 06 01 0b020002 3600", &self.peer)?;
        self.send(from, &bytes);
        for (_, bytes) in std::mem::take(&mut self.sent) {
            self.peer.receive(&bytes);
        }
        Ok(())
    }

    /// Calls a number: the data of CALLED_NUMBER behind its identifier, length first.
    fn call_in(&mut self, number: &str, from: SocketAddr) -> Result<(), String> {
        self.fetch_token(from)?;
        let new =
            format!("{{S}} 0000 {{t}} {{o}} 00 06 01 0b020002 01{number} 090400000004 {{token}}");
        let bytes = expand(&new, &self.peer)?;
        self.peer.count(&bytes);
        self.send(from, &bytes);
        self.pass(PATIENCE);
        self.validated = true;
        self.peer.acknowledges |= from == bystander_address();
        for (to, bytes) in std::mem::take(&mut self.sent) {
            let received = self.peer.receive(&bytes);
            if let Some(reply) = received.reply {
                self.send(to, &reply);
            }
        }
        self.peer.system.map(|_| ()).ok_or_else(|| "no answer to NEW".into())
    }

    /// Calls as the user with a secret, up to AUTHREQ.
    fn call_as_user(&mut self, more: &str) -> Result<(), String> {
        self.fetch_token(peer_address())?;
        self.say(&format!(
            "{{S}} 0000 {{t}} {{o}} 00 06 01 0b020002 0103363030 0607746f7274757265 {more} \
             090400000004 {{token}}"
        ))?;
        self.validated = true;
        self.pass(PATIENCE);
        self.collect();
        Ok(())
    }

    fn talk_from(&mut self, from: SocketAddr) -> Result<(), String> {
        let bytes = expand("{S} {D} {t} {o} {i} 02 04 ff*160", &self.peer)?;
        self.peer.count(&bytes);
        self.send(from, &bytes);
        Ok(())
    }

    /// Does one step and compares.
    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.pass(step.wait);
        self.collect();
        self.speak()?;
        self.heard.0.clear();
        self.told.clear();
        let from = address(step.from);
        let held = self.endpoint.held();
        let (mut bytes, mut stamp) = (0, None);
        self.validated |= step.from == From::Peer && step.send.contains("{token}");
        for _ in 0..step.times {
            let plain = expand(&step.send, &self.peer)?;
            stamp = plain
                .get(4..8)
                .map(|stamp| u32::from_be_bytes([stamp[0], stamp[1], stamp[2], stamp[3]]));
            if takes_number(&step.send) {
                self.peer.count(&plain);
            }
            let padding = step.padding.as_ref().map(|text| expand(text, &self.peer)).transpose()?;
            let datagram = if step.encrypt { self.peer.seal(&plain, padding) } else { plain };
            bytes += datagram.len();
            self.send(from, &datagram);
        }
        self.pass(PATIENCE);
        let got = self.collect();
        let mut answers = Vec::new();
        // What the sender's address gets, and what goes to neither it nor the peer.
        let (mut replies, mut answered, mut elsewhere) = (0, 0, 0);
        for (to, bytes, unasked) in got {
            elsewhere += usize::from(to != from && to != peer_address());
            if unasked {
                continue;
            }
            if to == from {
                replies += 1;
                answered += bytes.len();
            }
            answers.push((to, bytes));
        }
        if !(self.validated && step.from == From::Peer) {
            let most = step.times as usize;
            if replies > most || answered > 3 * bytes || elsewhere > 0 {
                return Err(format!(
                    "{replies} answers of {answered} bytes to {most} datagrams of {bytes}, and \
                     {elsewhere} to others"
                ));
            }
            if self.endpoint.held() > held {
                return Err("something is kept of who proved nothing".into());
            }
        }
        self.to_third_parties += elsewhere;
        if self.to_third_parties > TO_THIRD_PARTIES {
            return Err("a third party is flooded".into());
        }
        self.speak()?;
        if let Some(what) = self.endpoint.inconsistency() {
            return Err(what);
        }
        if let Answers::These(expected) = &step.get {
            self.compare(expected, &answers, from, stamp)?;
            let voice = self.heard.0.len();
            if voice != step.voice {
                return Err(format!("{voice} frames of voice heard, not {}", step.voice));
            }
        }
        if let Some(told) = &step.told
            && *told != self.told
        {
            return Err(format!("told {:?}, not {told:?}", self.told));
        }
        Ok(())
    }

    fn compare(
        &self,
        expected: &[String],
        answers: &[(SocketAddr, Vec<u8>)],
        from: SocketAddr,
        stamp: Option<u32>,
    ) -> Result<(), String> {
        let shown: Vec<String> = answers
            .iter()
            .map(|(_, bytes)| {
                Datagram::decode(bytes).map_or_else(|_| "?".into(), |datagram| datagram.to_string())
            })
            .collect();
        if expected.len() != answers.len() {
            return Err(format!("got {shown:?}, not {expected:?}"));
        }
        for ((rule, (to, bytes)), shown) in expected.iter().zip(answers).zip(shown) {
            self.fits(rule, *to, bytes, from, stamp)
                .map_err(|what| format!("got {shown}, not {rule:?}: {what}"))?;
        }
        Ok(())
    }

    /// Whether an answer says what the rule wants.
    fn fits(
        &self,
        rule: &str,
        to: SocketAddr,
        bytes: &[u8],
        from: SocketAddr,
        stamp: Option<u32>,
    ) -> Result<(), String> {
        let mut words = rule.split_whitespace();
        let name = words.next().ok_or("an empty rule")?;
        let mut wanted = from;
        let Ok(Datagram::Full(frame)) = Datagram::decode(bytes) else {
            return Err("no full frame".into());
        };
        if name != name_of(&frame) {
            return Err(format!("it is {}", name_of(&frame)));
        }
        for word in words {
            let (field, value) = word.split_once('=').unwrap_or((word, ""));
            let header = &frame.header;
            let have = match field {
                "to" => {
                    wanted = match value {
                        "peer" => address(From::Peer),
                        "elsewhere" => address(From::Elsewhere),
                        _ => return Err(format!("nobody is {value}")),
                    };
                    continue;
                }
                "source" => u32::from(header.source.get()),
                "destination" => u32::from(header.destination.get()),
                "timestamp" => header.timestamp.0,
                "oseq" => u32::from(header.oseq.0),
                "iseq" => u32::from(header.iseq.0),
                _ => {
                    element_fits(&frame, field, value)?;
                    continue;
                }
            };
            let want = match value {
                "sent" => stamp.ok_or("nothing was sent")?,
                _ if value.starts_with('{') => {
                    let bytes = expand(value, &self.peer)?;
                    let whole = bytes.iter().fold(0, |whole, byte| whole << 8 | u32::from(*byte));
                    if bytes.len() == 2 { whole & 0x7FFF } else { whole }
                }
                _ => value.parse().map_err(|_| format!("{value} is no number"))?,
            };
            if have != want {
                return Err(format!("{field} is {have}, not {want}"));
            }
        }
        if to == wanted { Ok(()) } else { Err(format!("it went to {to}")) }
    }

    /// All steps are done: what is left?
    fn judge(&mut self, case: &Case) -> Result<(), String> {
        self.pass(PATIENCE);
        self.collect();
        match case.then {
            Then::Nothing => {
                if self.endpoint.held() != 1 {
                    return Err(format!("{} things are kept", self.endpoint.held() - 1));
                }
            }
            Then::Lives | Then::Ends => {
                let lives = self.ping()?;
                if lives != (case.then == Then::Lives) {
                    let word = if lives { "goes on" } else { "is over" };
                    return Err(format!("it {word}; ended by {:?}", self.end));
                }
            }
            Then::Any => {}
        }
        if let Some(reason) = &case.reason {
            let end = self.end.as_ref().ok_or("no call has ended")?;
            let have = words_of(&format!("{:?}", end.reason));
            if have != *reason {
                return Err(format!("it ended by {have}, not {reason}"));
            }
            if let Some(cause) = case.cause
                && end.cause != CauseCode(cause)
            {
                return Err(format!("cause {}, not {cause}", end.cause));
            }
        }
        self.speak()?;
        self.fall_silent()
    }

    /// Whether the exchange answers PING.
    fn ping(&mut self) -> Result<bool, String> {
        if self.peer.system.is_none() {
            return Ok(false);
        }
        let stamp = u32::try_from(self.peer.clock()).map_err(|error| error.to_string())?;
        let plain = self.peer.full(stamp, 6, 2);
        self.peer.count(&plain);
        let bytes = if self.encrypted { self.peer.seal(&plain, None) } else { plain };
        self.send(peer_address(), &bytes);
        self.pass(PATIENCE);
        let pong = |bytes: &[u8]| match Datagram::decode(bytes) {
            Ok(Datagram::Full(frame)) => {
                name_of(&frame) == "PONG" && frame.header.timestamp.0 == stamp
            }
            _ => false,
        };
        Ok(self.collect().iter().any(|(_, bytes, _)| pong(bytes)))
    }

    /// Everybody hangs up and nobody answers any more: nothing may be left.
    fn fall_silent(&mut self) -> Result<(), String> {
        let now = self.instant();
        self.endpoint.hangup_all(now, CauseCode::NORMAL_CLEARING);
        if let Some(registration) = self.registration.take() {
            self.endpoint.unregister(now, registration);
        }
        for _ in 0..2_000 {
            self.drain();
            self.sent.clear();
            let Some(next) = self.endpoint.poll_timeout() else { break };
            self.now = self.now.max(next.as_micros().div_ceil(1000));
            let now = self.instant();
            self.endpoint.handle_timeout(now);
        }
        match self.endpoint.inconsistency() {
            Some(what) => Err(what),
            None if self.endpoint.is_quiescent() => Ok(()),
            None => Err("something is left".into()),
        }
    }
}

/// The name of a frame as the cases write it.
fn name_of(frame: &FullFrame<'_>) -> String {
    match frame.message() {
        Ok(Message::Iax { subclass, .. }) => match subclass {
            IaxSubclass::Unknown(_) => "UNKNOWN".into(),
            known => format!("{known:?}").to_uppercase(),
        },
        Ok(Message::Control { .. }) => "CONTROL".into(),
        Ok(Message::Voice { .. }) => "VOICE".into(),
        Ok(Message::Text { .. }) => "TEXT".into(),
        _ => "OTHER".into(),
    }
}

/// `CamelCase` as words joined by hyphens.
fn words_of(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push('-');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// `ie23` wants an element, `ie23=4d` its data, `no-ie23` that there is none.
fn element_fits(frame: &FullFrame<'_>, field: &str, value: &str) -> Result<(), String> {
    let (absent, id) = match field.strip_prefix("no-ie") {
        Some(id) => (true, id),
        None => (false, field.strip_prefix("ie").ok_or_else(|| format!("no field {field}"))?),
    };
    let id: u8 = id.parse().map_err(|_| format!("no element {id}"))?;
    let found = find_element(frame.payload, id);
    match (found, absent) {
        (None, true) => Ok(()),
        (Some(data), false) if value.is_empty() || unhex(value).as_deref() == Some(data) => Ok(()),
        (found, _) => Err(format!("element {id} is {found:02x?}")),
    }
}

fn find_element(mut elements: &[u8], wanted: u8) -> Option<&[u8]> {
    while let [id, len, rest @ ..] = elements {
        let (data, after) = rest.split_at_checked(usize::from(*len))?;
        if *id == wanted {
            return Some(data);
        }
        elements = after;
    }
    None
}
