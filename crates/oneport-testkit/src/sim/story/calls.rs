//! What applications do with calls.

use oneport_proto::{CallId, EncryptionPolicy, NewCall, Secret};
use oneport_wire::{CauseCode, Control, Format, frame_type};

use super::plan::Action;
use super::{KEYS, Leg, Record, Story};

impl Story {
    pub(super) fn place(&mut self, node: usize, to: usize, key: u32) -> Option<CallId> {
        let mut call = NewCall::to("600");
        call.calling_number = Some(key.to_string());
        call.username = match self.random(4) {
            0 => None,
            1 => Some("trusted".into()),
            2 => Some("turning".into()),
            _ => Some("site".into()),
        };
        let right = match self.random(8) {
            0 => None,
            1 => Some(false),
            _ => Some(true),
        };
        // Where keys prove it, the secret does not, but encryption needs it.
        call.key = right.filter(|_| self.signs).map(|right| KEYS[usize::from(!right)].clone());
        call.secret =
            right.map(|right| Secret::from(if right || self.signs { "right" } else { "wrong" }));
        call.encryption = self.encryption();
        let secret = call.encryption == EncryptionPolicy::Required;
        if call.encryption != EncryptionPolicy::Off {
            self.ciphered.insert(self.roots[&key]);
        }
        if self.chance(30) {
            call.formats = vec![Format::GSM, Format::ULAW];
        }
        if self.chance(30) {
            call.formats.push(Format::H264);
        }
        let now = self.network.now();
        let address = self.network.nodes[to].address;
        let id = self.network.nodes[node].endpoint.place_call(now, address, call).ok()?;
        self.legs[node].insert(id, Leg { key, placed: true, other: None, secret });
        let record = Record { proves: right == Some(true), ..Record::default() };
        self.records.insert((key, true), record);
        self.plan_hangup(node, id);
        Some(id)
    }

    pub(super) fn encryption(&mut self) -> EncryptionPolicy {
        match self.random(8) {
            _ if self.clear => EncryptionPolicy::Off,
            0 | 1 => EncryptionPolicy::Allowed,
            2 => EncryptionPolicy::Required,
            _ => EncryptionPolicy::Off,
        }
    }

    /// The called application makes up its mind.
    pub(super) fn decide(&mut self, node: usize, call: CallId) {
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
                // Before ACCEPT only the cause says it.
                if leg.key % 2 == 0 {
                    let _ = endpoint.accept(now, call, Format::ULAW);
                }
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
                let _ = endpoint.proceeding(now, call);
                let _ = endpoint.ringing(now, call);
                let after = self.millis(0, 3_000);
                self.plan(after, node, Action::Answer(call));
            }
        }
        self.plan_hangup(node, call);
    }

    /// Sends a digit, a text, a control frame or some voice; more follows.
    pub(super) fn talk(&mut self, node: usize, call: CallId) {
        let now = self.network.now();
        let choice = self.random(9);
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
                let data = word.as_bytes();
                let (kind, sent) = match count % 14 {
                    0 => ("hold", endpoint.send_control(now, call, Control::Hold, data)),
                    1 => ("unhold", endpoint.send_control(now, call, Control::Unhold, data)),
                    2 => ("flash", endpoint.send_control(now, call, Control::Flash, data)),
                    3 => ("key", endpoint.key(now, call, data)),
                    4 => ("unkey", endpoint.unkey(now, call)),
                    5 => ("quelch", endpoint.quelch(now, call, true)),
                    6 => ("unquelch", endpoint.quelch(now, call, false)),
                    7 => ("query", endpoint.dialplan_query(now, call, &word)),
                    8 => ("dial", endpoint.dial(now, call, &word)),
                    9 => ("transfer", endpoint.blind_transfer(now, call, &word, None)),
                    10 => {
                        let kind = frame_type::IMAGE;
                        ("frame", endpoint.send_frame(now, call, kind, 0x90, data))
                    }
                    11 => ("noise", endpoint.send_frame(now, call, frame_type::CNG, 7, &[])),
                    12 => ("frame", endpoint.send_frame(now, call, frame_type::MODEM, 1, data)),
                    _ => ("frame", endpoint.send_frame(now, call, frame_type::HTML, 1, data)),
                };
                if sent.is_ok() {
                    let bare = ["unkey", "quelch", "unquelch", "noise"].contains(&kind);
                    record.said.push(format!("{kind} {}", if bare { "" } else { &word }));
                }
            }
            5 => {
                let picture = [root.to_be_bytes(), [0x5A; 4]].concat();
                for n in 0..count {
                    // Many calls carry none.
                    let _ = endpoint.send_video(now, call, Format::H264, &picture, n % 3 == 2);
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
}
