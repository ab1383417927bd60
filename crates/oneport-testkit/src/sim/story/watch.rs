//! What applications hear, and what must hold at every moment.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use oneport_proto::{
    CallId, Challenge, CommandError, DtmfPhase, EncryptionPolicy, Event, Grant, RequestOutcome,
    Secret,
};
use oneport_wire::{
    AuthMethods, CauseCode, Control, DialplanStatus, Format, FormatSet, MessageCount, frame_type,
};

use super::super::adversary::{Adversary, MARK};
use super::plan::Action;
use super::{Asker, KEYS, Leg, NODES, Record, Story};

/// The name of a site that has not what proves who it is.
pub(super) const THIEF: &str = "thief";

/// Messages that wait for everybody.
pub(super) const MESSAGES: MessageCount = MessageCount { old: 2, new: 5 };

impl Story {
    /// Looks at what the endpoints have to tell.
    pub(super) fn notice(&mut self) -> Result<(), String> {
        if self.steps.is_multiple_of(64) {
            self.inspect()?;
        }
        for node in 0..NODES {
            for voice in self.network.heard(node) {
                self.judge_media(node, voice.call, &voice.payload)?;
            }
            for video in self.network.seen(node) {
                self.judge_media(node, video.call, &video.payload)?;
            }
            while let Some(event) = self.network.event(node) {
                format!("{event:?}").hash(&mut self.events);
                self.react(node, event)?;
            }
        }
        Ok(())
    }

    /// Voice or video that an application was handed belongs to its call.
    fn judge_media(&self, node: usize, call: CallId, payload: &[u8]) -> Result<(), String> {
        let Some(leg) = self.legs[node].get(&call) else {
            return Err(format!("media for {call} which is over"));
        };
        if payload.is_empty() {
            // It stands for one that was not to be heard where it was sent.
            return Ok(());
        }
        let root = self.roots[&leg.key];
        let key = payload.first_chunk().copied().map(u32::from_be_bytes);
        // Who sees a call in the clear can be heard on it, or make it hear another.
        let legs = self.roots.values().filter(|other| **other == root);
        let sealed = leg.secret && legs.count() == 1;
        let open = self.adversary == Adversary::OnPath && !sealed;
        if key == Some(MARK) && !open {
            return Err(format!("call {} heard an adversary", leg.key));
        }
        // While keys change, and a frame that says so is lost.
        let disturbed = !self.fair || self.adversary == Adversary::OnPath;
        let nonsense = key.is_none_or(|key| !self.roots.contains_key(&key));
        let garbage = disturbed && nonsense && self.ciphered.contains(&root);
        if key != Some(root) && !self.corrupt && !open && !garbage {
            return Err(format!("call {} heard media of call {key:?}", leg.key));
        }
        Ok(())
    }

    /// Tables agree, and whoever has proved nothing got no media, no more than one answer for each
    /// datagram, and three times its bytes.
    pub(super) fn inspect(&self) -> Result<(), String> {
        for (n, node) in self.network.nodes.iter().enumerate() {
            if let Some(what) = node.endpoint.inconsistency() {
                return Err(format!("node {n}: {what}"));
            }
        }
        for (address, told) in &self.network.strangers {
            if told.media_out > 0 {
                return Err(format!("{address} was sent media"));
            }
            if self.network.let_in.contains(address) {
                continue;
            }
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
                if offer.formats.contains(Format::H264) && self.chance(70) {
                    let formats: FormatSet = [Format::H264].into_iter().collect();
                    // The caller may be gone.
                    let _ = self.network.nodes[node].endpoint.allow_video(call, formats);
                }
                if offer.username.as_deref() == Some("site") && !self.chance(10) {
                    let encryption = self.encryption();
                    if let Some(leg) = self.legs[node].get_mut(&call) {
                        leg.secret = encryption == EncryptionPolicy::Required;
                    }
                    let challenge = Challenge { encryption, ..self.challenge("site") };
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
            Event::CallAuthenticated { call, method } => {
                let key = self.leg(node, call)?.key;
                let proves = self.records.get(&(key, true)).is_some_and(|record| record.proves);
                let wanted = if self.signs { AuthMethods::RSA } else { AuthMethods::MD5 };
                if method != wanted || !proves && !self.is_disturbed() {
                    return Err(format!("call {key} is authenticated without a proof"));
                }
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
                let kind = match control {
                    Control::Hold => "hold",
                    Control::Unhold => "unhold",
                    _ => "flash",
                };
                self.hear(node, call, kind, &String::from_utf8_lossy(&payload))?;
            }
            Event::Keyed { call, data } => {
                self.hear(node, call, "key", &String::from_utf8_lossy(&data))?;
            }
            Event::Unkeyed { call } => self.hear(node, call, "unkey", "")?,
            Event::Frame { call, frame_type: frame_type::CNG, .. } => {
                self.hear(node, call, "noise", "")?;
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
            Event::RegisterRequested { request, register } => {
                self.requests[node].insert(request, false);
                let asker = Asker {
                    thief: register.username == THIEF,
                    leaves: register.release,
                    address: register.path.remote,
                };
                self.askers[node].insert(request, asker);
                let challenge = self.challenge(&register.username);
                let endpoint = &mut self.network.nodes[node].endpoint;
                let challenged = endpoint.challenge_request(now, request, challenge);
                challenged.map_err(|error| error.to_string())?;
            }
            Event::RegisterAuthenticated { request, method } => {
                let wanted = if self.signs { AuthMethods::RSA } else { AuthMethods::MD5 };
                if method != wanted
                    || self.askers[node].get(&request).is_none_or(|asker| asker.thief)
                {
                    return Err(format!("{request} is authenticated without a proof"));
                }
                let refresh = Duration::from_secs(20);
                let grant = Grant { refresh, messages: Some(MESSAGES), ..Grant::default() };
                let granted = self.network.nodes[node].endpoint.grant(now, request, &grant);
                granted.map_err(|error| error.to_string())?;
            }
            Event::RegisterEnded { request, outcome } => {
                end_once(&mut self.requests[node], request)?;
                let asker = self.askers[node].remove(&request).filter(|asker| !asker.leaves);
                if let Some(asker) = asker.filter(|_| outcome == RequestOutcome::Granted) {
                    self.greet(node, asker.address);
                }
            }
            Event::FirmwareFetched { fetch, data } => self.fetched(node, fetch, Some(&data))?,
            Event::FirmwareFailed { fetch, .. } => self.fetched(node, fetch, None)?,
            Event::ProvisionOffered { provision, settings, .. } => {
                self.offered_settings(node, provision, settings);
            }
            Event::ProvisionEnded { provision, outcome } => {
                self.settled(node, provision, &outcome)?;
            }
            Event::MessagesWaiting { count, .. } => self.told_messages(node, count)?,
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

    /// What a peer must prove: its secret, or in some stories its key and nothing else.
    fn challenge(&self, username: &str) -> Challenge {
        let challenge = Challenge::md5(username, Secret::from("right"));
        match self.signs {
            true => {
                Challenge { methods: AuthMethods::RSA, keys: vec![KEYS[0].public()], ..challenge }
            }
            false => challenge,
        }
    }

    /// The network, or somebody on it, changes what is said.
    pub(super) fn is_disturbed(&self) -> bool {
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
}

/// Notes the end of something of which there must be just one.
pub(super) fn end_once<Id: Copy + Eq + Hash + std::fmt::Display>(
    over: &mut HashMap<Id, bool>,
    id: Id,
) -> Result<(), String> {
    let first = over.insert(id, true) == Some(false);
    first.then_some(()).ok_or_else(|| format!("{id} ended twice"))
}
