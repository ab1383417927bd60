//! To which call a message belongs. It knows neither sockets nor clocks: time is handed in.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Key, Message, Told};
use crate::sealed::{may_be_sealed, seals};

/// How long a message that may begin a call waits until somebody says which.
const PATIENCE: Duration = Duration::from_secs(2);

/// Messages that wait so; with more, the oldest go without.
const MOST_WAITING: usize = 1_024;

/// How long what belonged to a call that is over is still laid to it: SIP repeats itself for 32 seconds
/// (RFC 3261 §17.1.1.2).
const BEHIND_THE_END: Duration = Duration::from_secs(32);

/// Words of legs whose dialogs were named before they were themselves.
const MOST_UNKNOWN: usize = 1_024;

#[derive(Default)]
struct Call {
    /// Legs that are up.
    legs: usize,
    keys: Vec<Key>,
}

/// What is known of calls, and the messages that wait for more.
#[derive(Default)]
pub(super) struct Desk {
    known: HashMap<Key, Uuid>,
    calls: HashMap<Uuid, Call>,
    /// Calls without legs, and when they are forgotten.
    leaving: VecDeque<(Instant, Uuid)>,
    /// Words of which nothing is known yet, and their dialogs.
    unknown: VecDeque<(Box<str>, Box<str>)>,
    /// Messages, and until when they wait.
    waiting: VecDeque<(Instant, Message)>,
    ready: VecDeque<(Message, Option<Uuid>)>,
    /// Legs that are encrypted, behind their challenges.
    sealed: HashSet<Key>,
}

impl Desk {
    pub(super) fn take(&mut self, now: Instant, told: Told) {
        match told {
            Told::Message(message) => self.message(now, message),
            Told::Begun(call, keys) => {
                self.calls.entry(call).or_default().legs += 1;
                for key in keys {
                    self.learn(call, key);
                }
            }
            Told::Known(call, key) => {
                let is_sealed = self.is_sealed_elsewhere(call, &key);
                self.learn(call, key.clone());
                if is_sealed {
                    self.sealed.insert(key);
                }
            }
            Told::Over(call) => {
                let Some(over) = self.calls.get_mut(&call) else { return };
                over.legs = over.legs.saturating_sub(1);
                if over.legs == 0 {
                    self.leaving.push_back((now + BEHIND_THE_END, call));
                }
            }
            Told::Named { dialog, word } => match self.known.get(&Key::Word(word.clone())) {
                Some(call) => self.learn(*call, Key::Dialog(dialog)),
                None => {
                    if self.unknown.len() >= MOST_UNKNOWN {
                        self.unknown.pop_front();
                    }
                    self.unknown.push_back((word, dialog));
                }
            },
        }
    }

    fn message(&mut self, now: Instant, mut message: Message) {
        let Some(key) = &message.key else { return self.ready.push_back((message, None)) };
        // The number with which somebody begins may have been that of an earlier call.
        let is_beginning = matches!(key, Key::Theirs(..));
        let call = self.known.get(key).copied().filter(|_| !is_beginning);
        let may_be_told = is_beginning || matches!(key, Key::Dialog(_));
        if call.is_some() || !may_be_told {
            // The challenge itself is in the clear.
            if seals(&message.content) {
                if call.is_some() {
                    self.sealed.insert(key.clone());
                }
            } else {
                message.is_sealed = may_be_sealed(&message.content) && self.sealed.contains(key);
            }
            return self.ready.push_back((message, call));
        }
        if self.waiting.len() >= MOST_WAITING {
            self.let_go();
        }
        self.waiting.push_back((now + PATIENCE, message));
    }

    /// The message that has waited longest goes with what is known.
    fn let_go(&mut self) {
        let Some((_, message)) = self.waiting.pop_front() else { return };
        let call = message.key.as_ref().and_then(|key| self.known.get(key)).copied();
        self.ready.push_back((message, call));
    }

    /// Whether the leg whose number of ours stands in `key` is encrypted, at another address of its.
    fn is_sealed_elsewhere(&self, call: Uuid, key: &Key) -> bool {
        let Key::Ours(_, ours) = key else { return false };
        let same = |one: &&Key| matches!(one, Key::Ours(_, number) if number == ours);
        let keys = self.calls.get(&call).map_or(&[][..], |call| &call.keys);
        keys.iter().filter(same).any(|one| self.sealed.contains(one))
    }

    fn learn(&mut self, call: Uuid, key: Key) {
        if let Key::Word(word) = &key {
            let unknown = std::mem::take(&mut self.unknown);
            let (named, unknown): (Vec<_>, _) =
                unknown.into_iter().partition(|(own, _)| own == word);
            self.unknown = unknown.into();
            for (_, dialog) in named {
                self.learn(call, Key::Dialog(dialog));
            }
        }
        let of_key = |(_, message): &(Instant, Message)| message.key.as_ref() == Some(&key);
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let (released, waiting): (Vec<_>, _) = waiting.partition(of_key);
        self.waiting = waiting.into();
        self.ready.extend(released.into_iter().map(|(_, message)| (message, Some(call))));
        self.calls.entry(call).or_default().keys.push(key.clone());
        // The number may have been that of another call.
        self.sealed.remove(&key);
        self.known.insert(key, call);
    }

    /// When something is to be done.
    pub(super) fn next(&self) -> Option<Instant> {
        let waiting = self.waiting.front().map(|(until, _)| *until);
        waiting.into_iter().chain(self.leaving.front().map(|(until, _)| *until)).min()
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while self.waiting.front().is_some_and(|(until, _)| *until <= now) {
            self.let_go();
        }
        while let Some((_, call)) = self.leaving.pop_front_if(|(until, _)| *until <= now) {
            // It may have got another leg meanwhile.
            if self.calls.get(&call).is_none_or(|one| one.legs > 0) {
                continue;
            }
            for key in self.calls.remove(&call).into_iter().flat_map(|one| one.keys) {
                if self.known.get(&key) == Some(&call) {
                    self.known.remove(&key);
                    self.sealed.remove(&key);
                }
            }
        }
    }

    /// The next message that may go, and its call.
    pub(super) fn poll(&mut self) -> Option<(Message, Option<Uuid>)> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use oneport_wire::CallNumber;

    use super::super::{Carrier, Protocol};
    use super::*;

    const CALL: Uuid = Uuid::from_u128(7);
    const OTHER: Uuid = Uuid::from_u128(8);

    fn remote() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 4569))
    }

    fn ours(number: u16) -> Key {
        Key::Ours(remote(), CallNumber::from_bits(number))
    }

    fn theirs(number: u16) -> Key {
        Key::Theirs(remote(), CallNumber::from_bits(number))
    }

    fn message(name: u8, key: Option<Key>) -> Told {
        Told::Message(Message {
            protocol: Protocol::Iax,
            carrier: Carrier::Udp,
            from: remote(),
            to: remote(),
            unix_micros: 0,
            key,
            content: [name].into(),
            is_sealed: false,
        })
    }

    /// A frame of IAX, of a leg.
    fn iax(subclass: u8, elements: &[u8], key: Key) -> Told {
        let Told::Message(message) = message(0, Some(key)) else { unreachable!() };
        let header = [0x80, 9, 0, 5, 0, 0, 0, 0, 0, 0, 6, subclass];
        Told::Message(Message { content: [&header, elements].concat().into(), ..message })
    }

    /// Which messages that may go are taken for encrypted.
    fn sealed(desk: &mut Desk) -> Vec<bool> {
        std::iter::from_fn(|| desk.poll()).map(|(message, _)| message.is_sealed).collect()
    }

    /// Names of messages that may go, and their calls.
    fn ready(desk: &mut Desk) -> Vec<(u8, Option<Uuid>)> {
        let ready = std::iter::from_fn(|| desk.poll());
        ready.map(|(message, call)| (message.content[0], call)).collect()
    }

    #[test]
    fn what_begins_a_call_waits_until_it_is_known_which_and_goes_before_the_rest() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        desk.take(now, message(1, Some(theirs(9))));
        desk.take(now, message(2, Some(theirs(9))));
        desk.take(now, message(3, Some(theirs(10))));
        assert_eq!(ready(&mut desk), []);
        desk.take(now, Told::Begun(CALL, vec![ours(5), theirs(9)]));
        desk.take(now, message(4, Some(ours(5))));
        assert_eq!(ready(&mut desk), [(1, Some(CALL)), (2, Some(CALL)), (4, Some(CALL))]);
        // Nobody says whose the third is.
        assert_eq!(desk.next(), Some(now + PATIENCE));
        desk.expire(now + PATIENCE);
        assert_eq!(ready(&mut desk), [(3, None)]);
    }

    #[test]
    fn the_number_of_an_earlier_call_is_not_taken_for_it() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        desk.take(now, Told::Begun(CALL, vec![ours(5), theirs(9)]));
        desk.take(now, Told::Over(CALL));
        desk.take(now, message(1, Some(theirs(9))));
        desk.take(now, Told::Begun(OTHER, vec![ours(6), theirs(9)]));
        assert_eq!(ready(&mut desk), [(1, Some(OTHER))]);
        // What still comes for the first is its own.
        desk.take(now, message(2, Some(ours(5))));
        assert_eq!(ready(&mut desk), [(2, Some(CALL))]);
        desk.expire(now + BEHIND_THE_END);
        desk.take(now, message(3, Some(ours(5))));
        desk.take(now, message(4, Some(ours(6))));
        assert_eq!(ready(&mut desk), [(3, None), (4, Some(OTHER))]);
        // A NEW that is repeated is that of the call, which nobody says again.
        desk.take(now, message(5, Some(theirs(9))));
        desk.expire(now + PATIENCE);
        assert_eq!(ready(&mut desk), [(5, Some(OTHER))]);
    }

    #[test]
    fn a_dialog_of_sip_is_of_its_leg_s_call_whoever_is_told_of_first() {
        let dialog = |name: &str| Key::Dialog(name.into());
        for word_first in [true, false] {
            let (mut desk, now) = (Desk::default(), Instant::now());
            desk.take(now, message(1, Some(dialog("abc@x"))));
            let word = || Told::Begun(CALL, vec![ours(5), Key::Word("17".into())]);
            let named = || Told::Named { dialog: "abc@x".into(), word: "17".into() };
            let both = if word_first { [word(), named()] } else { [named(), word()] };
            assert_eq!(ready(&mut desk), []);
            for told in both {
                desk.take(now, told);
            }
            desk.take(now, message(2, Some(dialog("abc@x"))));
            assert_eq!(ready(&mut desk), [(1, Some(CALL)), (2, Some(CALL))]);
        }
    }

    #[test]
    fn nothing_is_kept_of_calls_that_are_over_nor_more_messages_than_may_wait() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        for n in 0..1_000_u16 {
            let call = Uuid::from_u128(n.into());
            desk.take(now, Told::Begun(call, vec![ours(n), theirs(n)]));
            desk.take(now, Told::Begun(call, vec![ours(n + 2_000)]));
            desk.take(now, Told::Over(call));
            desk.take(now, Told::Over(call));
        }
        desk.expire(now + BEHIND_THE_END);
        assert!(desk.known.is_empty() && desk.calls.is_empty() && desk.leaving.is_empty());
        for _ in 0..2 * MOST_WAITING {
            desk.take(now, message(1, Some(theirs(1))));
        }
        assert_eq!((desk.waiting.len(), ready(&mut desk).len()), (MOST_WAITING, MOST_WAITING));
        for n in 0..2 * MOST_UNKNOWN {
            let word = n.to_string().into();
            desk.take(now, Told::Named { dialog: "x".into(), word });
        }
        assert_eq!(desk.unknown.len(), MOST_UNKNOWN);
    }

    #[test]
    fn frames_are_encrypted_behind_a_challenge_that_says_so_wherever_the_leg_goes() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        let there = SocketAddr::from(([192, 0, 2, 9], 4569));
        let elsewhere = || Key::Ours(there, CallNumber::from_bits(5));
        // Whole blocks both.
        let blocks = [7; 24];
        let asks = [&[43, 2, 0, 1, 6, 18][..], &[b'a'; 18]].concat();
        desk.take(now, Told::Begun(CALL, vec![ours(5), theirs(9), ours(6)]));
        for told in [
            iax(9, &blocks, ours(5)),
            iax(8, &asks, ours(5)),
            iax(9, &blocks, ours(5)),
            // What is not whole blocks is in the clear, and so is the other leg.
            iax(4, &[], ours(5)),
            iax(4, &blocks, ours(6)),
            Told::Known(CALL, elsewhere()),
            iax(4, &blocks, elsewhere()),
        ] {
            desk.take(now, told);
        }
        assert_eq!(sealed(&mut desk), [false, false, true, false, false, true]);
        // The number is another call's now, which is not encrypted.
        desk.take(now, Told::Begun(OTHER, vec![ours(5)]));
        desk.take(now, iax(4, &blocks, ours(5)));
        assert_eq!(sealed(&mut desk), [false]);
        for call in [CALL, OTHER] {
            desk.take(now, Told::Over(call));
        }
        desk.expire(now + BEHIND_THE_END);
        assert!(desk.sealed.is_empty());
    }
}
