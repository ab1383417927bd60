//! Dialogs of other processes at the same addresses of SIP. The newest process reads; older ones keep the dialogs that
//! they have, send for them by the same sockets, and are handed what comes for them.
//!
//! A message is for a dialog by its Call-ID. An older process tells those that it has when it stops reading, and each
//! that it begins later. What nobody has told of is the newest's; a response of that kind is shown to older ones as
//! well, since it may have come faster than the word of the request. It knows nothing of the SIP library.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use oneport::{Generation, To};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Switchboard;
use super::heritage::SipWord;
use super::screen::Gist;
use super::settings::Transport;

/// How long an INVITE may be repeated, or be answered once more (64 × T1 and something).
const REMEMBERED: Duration = Duration::from_secs(40);

/// A datagram that another process has received, and where it is from.
pub(super) type Handed = (SocketAddr, Vec<u8>);

/// A message by a connection of another process, or for one of ours.
pub(super) struct Streamed {
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
    pub(super) bytes: Vec<u8>,
    /// It is an older process's, and leaves here.
    pub(super) is_answered: bool,
}

#[derive(Default)]
struct Table {
    /// Of older processes, by Call-ID.
    calls: HashMap<String, Generation>,
    /// Older processes that have SIP, and how many calls each has.
    older: BTreeMap<Generation, usize>,
    /// Call-IDs of calls that have begun here lately, the oldest first.
    begun: VecDeque<(Instant, String)>,
    /// A newer process reads.
    is_retired: bool,
    /// How many calls were told to it.
    told: Option<usize>,
    /// Sockets that read for this process, and where they take what others have read for them.
    inlets: Vec<(SocketAddr, UnboundedSender<Handed>)>,
    /// The same for connections.
    streamed: Option<UnboundedSender<Streamed>>,
}

/// What is known of other processes.
pub(crate) struct Elsewhere {
    table: Mutex<Table>,
    board: Arc<dyn Switchboard>,
}

impl Elsewhere {
    pub(super) fn new(board: Arc<dyn Switchboard>) -> Self {
        Self { table: Mutex::default(), board }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a socket takes what other processes have read for it.
    pub(super) fn inlet(&self, at: SocketAddr) -> UnboundedReceiver<Handed> {
        let (sender, receiver) = unbounded_channel();
        self.lock().inlets.push((at, sender));
        receiver
    }

    /// The same for what comes by connections.
    pub(super) fn streamed(&self) -> UnboundedReceiver<Streamed> {
        let (sender, receiver) = unbounded_channel();
        self.lock().streamed = Some(sender);
        receiver
    }

    /// A call begins here. A newer process has to know it before the other side can speak of it.
    pub(super) fn begins(&self, call_id: &str) {
        let mut table = self.lock();
        let now = Instant::now();
        while table.begun.front().is_some_and(|(at, _)| now.duration_since(*at) > REMEMBERED) {
            table.begun.pop_front();
        }
        table.begun.push_back((now, call_id.into()));
        if table.is_retired {
            self.board.say(To::Newest, SipWord::Begun(vec![call_id.into()]));
        }
    }

    /// From now on a newer process reads: all Call-IDs that it has to know, those of older processes among them, beside
    /// these of dialogs here, which is of generation `own`.
    pub(super) fn retire(
        &self,
        own: Generation,
        dialogs: impl IntoIterator<Item = String>,
    ) -> Vec<(u32, Vec<String>)> {
        let mut table = self.lock();
        table.is_retired = true;
        table.told = None;
        let mut known: BTreeMap<Generation, Vec<String>> =
            table.older.keys().map(|older| (*older, Vec::new())).collect();
        for (call_id, whose) in &table.calls {
            known.entry(*whose).or_default().push(call_id.clone());
        }
        let here = known.entry(own).or_default();
        here.extend(dialogs);
        here.extend(table.begun.iter().map(|(_, call_id)| call_id.clone()));
        let sorted = known.into_iter().map(|(whose, mut calls)| {
            calls.sort_unstable();
            calls.dedup();
            (whose.0, calls)
        });
        sorted.collect()
    }

    /// Whether a newer process reads, and knows all.
    pub(super) fn has_told(&self) -> bool {
        self.lock().is_retired
    }

    /// The newer process has ended: this one reads again.
    pub(super) fn resume(&self) {
        self.lock().is_retired = false;
    }

    /// Whether a call that is not known here may be that of another process.
    pub(super) fn may_have(&self, call_id: &str) -> bool {
        let table = self.lock();
        table.is_retired || table.calls.contains_key(call_id)
    }

    /// An older process has these.
    pub(super) fn learn(&self, whose: Generation, calls: Vec<String>) {
        let mut table = self.lock();
        table.older.entry(whose).or_default();
        table.calls.extend(calls.into_iter().map(|call_id| (call_id, whose)));
    }

    /// So many calls are up at an older process; how many are at all of them.
    pub(super) fn count(&self, whose: Generation, calls: usize) -> usize {
        let mut table = self.lock();
        table.older.insert(whose, calls);
        table.older.values().sum()
    }

    /// How many calls are up at each.
    pub(super) fn counts(&self) -> Vec<(u32, usize)> {
        self.lock().older.iter().map(|(whose, calls)| (whose.0, *calls)).collect()
    }

    /// An older process has ended; how many calls all others have.
    pub(super) fn forget(&self, gone: Generation) -> usize {
        let mut table = self.lock();
        table.older.remove(&gone);
        table.calls.retain(|_, whose| *whose != gone);
        table.older.values().sum()
    }

    /// So many calls are up here: a newer process is told, if there is one and it does not know.
    pub(super) fn tell_calls(&self, calls: usize) {
        let mut table = self.lock();
        if table.is_retired && table.told.replace(calls) != Some(calls) {
            self.board.say(To::Newest, SipWord::Calls(calls));
        }
    }

    /// A datagram that has come at a socket of ours: hands it on to the older process whose it is; `false` where it is
    /// to be looked at here.
    pub(super) fn takes(&self, at: SocketAddr, from: SocketAddr, datagram: &[u8]) -> bool {
        if self.lock().older.is_empty() {
            return false;
        }
        let Some(gist) = Gist::read(datagram) else { return false };
        match self.whose(&gist) {
            Some(older) => {
                self.hand_on(To::Older(older), at, from, datagram);
                true
            }
            None => false,
        }
    }

    /// Shows older processes an answer that nobody has told of.
    pub(super) fn shows(&self, at: SocketAddr, from: SocketAddr, datagram: &[u8]) {
        if self.lock().older.is_empty() {
            return;
        }
        let answers = |gist: &Gist| {
            // Those that are retired ask nobody whether it is there, and register nowhere.
            gist.is_answer && !["OPTIONS", "REGISTER"].contains(&gist.method.as_str())
        };
        if Gist::read(datagram).as_ref().is_some_and(answers) {
            self.hand_on(To::AllOlder, at, from, datagram);
        }
    }

    /// Whose message it is; `None`: ours, or that of nobody who has told of it.
    fn whose(&self, gist: &Gist) -> Option<Generation> {
        let mut table = self.lock();
        let begins = !gist.is_answer && !gist.is_in_dialog;
        // Phones renew a registration under one Call-ID for days.
        if begins && !["INVITE", "ACK", "CANCEL", "PRACK"].contains(&gist.method.as_str()) {
            return None;
        }
        if let Some(whose) = table.calls.get(&gist.call_id) {
            return Some(*whose);
        }
        // It takes the place of a call that is there.
        let replaced = gist.replaces.as_ref().filter(|_| begins)?;
        let whose = *table.calls.get(replaced)?;
        table.calls.insert(gist.call_id.clone(), whose);
        Some(whose)
    }

    fn hand_on(&self, to: To, at: SocketAddr, from: SocketAddr, datagram: &[u8]) {
        let bytes = Base64::encode_string(datagram);
        self.board.say(to, SipWord::Datagram { at, from, bytes });
    }

    /// A message that has come by a connection of ours: hands it on to the older process whose it is; `false` where it
    /// is to be looked at here.
    pub(super) fn takes_streamed(
        &self,
        transport: Transport,
        peer: SocketAddr,
        message: impl FnOnce() -> Vec<u8>,
    ) -> bool {
        if self.lock().older.is_empty() {
            return false;
        }
        let message = message();
        let Some(older) = Gist::read(&message).and_then(|gist| self.whose(&gist)) else {
            return false;
        };
        let (transport, bytes) = (transport.name().into(), Base64::encode_string(&message));
        self.board.say(To::Older(older), SipWord::Streamed { transport, peer, bytes });
        true
    }

    /// What is said here to somebody whose connection the newest process has.
    pub(super) fn answers(&self, transport: Transport, peer: SocketAddr, message: &[u8]) {
        let (transport, bytes) = (transport.name().into(), Base64::encode_string(message));
        self.board.say(To::Newest, SipWord::Answered { transport, peer, bytes });
    }

    /// Takes what another process hands on, or wants to be sent.
    pub(super) fn is_streamed(
        &self,
        transport: &str,
        peer: SocketAddr,
        bytes: &str,
        is_answered: bool,
    ) {
        let Some(transport) = Transport::named(transport) else { return };
        let Ok(bytes) = Base64::decode_vec(bytes) else { return };
        if let Some(taker) = &self.lock().streamed {
            // A gateway that has stopped takes nothing.
            let _ = taker.send(Streamed { transport, peer, bytes, is_answered });
        }
    }

    /// Takes a datagram that the newest process has received.
    pub(super) fn is_handed(&self, at: SocketAddr, from: SocketAddr, bytes: &str) {
        let Ok(datagram) = Base64::decode_vec(bytes) else { return };
        let table = self.lock();
        if let Some((_, inlet)) = table.inlets.iter().find(|(known, _)| *known == at) {
            // A gateway that has stopped reads nothing.
            let _ = inlet.send((from, datagram));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Switchboard;

    /// Keeps what is said.
    #[derive(Default)]
    struct Board(Mutex<Vec<(To, SipWord)>>);

    impl Switchboard for Board {
        fn one_way(&self, _: &str, _: Option<crate::sip::one_way::OneWay>) {}

        fn turned_away(&self, _: &str, _: SocketAddr, _: &str, _: crate::refusal::Reason) {}

        fn join(&self, _: [String; 2]) -> tokio::sync::oneshot::Receiver<Result<(), String>> {
            tokio::sync::oneshot::channel().1
        }

        fn say(&self, to: To, word: SipWord) {
            self.0.lock().expect("whole").push((to, word));
        }
    }

    fn here() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 5060))
    }

    fn message(start: &str, call_id: &str, to: &str, rest: &str) -> Vec<u8> {
        let method = start.split(' ').next().filter(|word| !word.starts_with("SIP/"));
        let method = method.unwrap_or("INVITE");
        format!(
            "{start}\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: {to}\r\nCall-ID: {call_id}\r\nCSeq: 7 {method}\r\n{rest}\r\n"
        )
        .into_bytes()
    }

    #[test]
    fn what_is_of_a_call_of_an_older_process_goes_to_it_and_what_begins_does_not() {
        let board = Arc::new(Board::default());
        let elsewhere = Elsewhere::new(board.clone());
        let check = |datagram: Vec<u8>, whose: Option<u32>| {
            let taken = elsewhere.takes(here(), here(), &datagram);
            let said = board.0.lock().expect("whole").pop().map(|(to, _)| to);
            let expected = whose.map(|whose| To::Older(Generation(whose)));
            let text = String::from_utf8_lossy(&datagram).into_owned();
            assert_eq!((taken, said), (whose.is_some(), expected), "{text}");
        };
        let us = "<sip:us@h>";
        let in_dialog = "<sip:us@h>;tag=2";
        check(message("INVITE sip:600@h SIP/2.0", "1", us, ""), None);
        elsewhere.learn(Generation(4), vec!["1".into()]);
        elsewhere.learn(Generation(5), vec!["2".into()]);
        check(message("INVITE sip:600@h SIP/2.0", "1", us, ""), Some(4));
        check(message("CANCEL sip:600@h SIP/2.0", "1", us, ""), Some(4));
        check(message("ACK sip:600@h SIP/2.0", "1", us, ""), Some(4));
        check(message("BYE sip:us@h SIP/2.0", "2", in_dialog, ""), Some(5));
        check(message("SIP/2.0 200 OK", "2", in_dialog, ""), Some(5));
        check(message("REGISTER sip:h SIP/2.0", "1", us, ""), None);
        assert!(elsewhere.may_have("1") && !elsewhere.may_have("3"));
        check(message("INVITE sip:600@h SIP/2.0", "3", us, ""), None);
        check(message("BYE sip:us@h SIP/2.0", "3", in_dialog, ""), None);
        let takes_its_place = "Replaces: 2;to-tag=2;from-tag=1\r\n";
        check(message("INVITE sip:600@h SIP/2.0", "4", us, takes_its_place), Some(5));
        check(message("CANCEL sip:600@h SIP/2.0", "4", us, ""), Some(5));
        elsewhere.forget(Generation(5));
        check(message("BYE sip:us@h SIP/2.0", "2", in_dialog, ""), None);
        check(b"no message".to_vec(), None);
    }

    #[test]
    fn an_answer_that_nobody_has_told_of_is_shown_to_all_that_are_older() {
        let board = Arc::new(Board::default());
        let elsewhere = Elsewhere::new(board.clone());
        let answer = message("SIP/2.0 180 Ringing", "9", "<sip:us@h>;tag=2", "");
        elsewhere.shows(here(), here(), &answer);
        assert!(board.0.lock().expect("whole").is_empty(), "nobody is older");
        elsewhere.learn(Generation(4), Vec::new());
        elsewhere.shows(here(), here(), &answer);
        let request = message("BYE sip:us@h SIP/2.0", "9", "<sip:us@h>;tag=2", "");
        elsewhere.shows(here(), here(), &request);
        let said = std::mem::take(&mut *board.0.lock().expect("whole"));
        let [(To::AllOlder, SipWord::Datagram { at, from, bytes })] = &said[..] else {
            panic!("{said:?}")
        };
        let mut inlet = elsewhere.inlet(here());
        elsewhere.is_handed(*at, *from, bytes);
        assert_eq!(inlet.try_recv().ok(), Some((here(), answer)));
    }

    #[test]
    fn a_process_that_is_retired_tells_of_what_it_has_and_of_what_it_begins() {
        let board = Arc::new(Board::default());
        let elsewhere = Elsewhere::new(board.clone());
        elsewhere.learn(Generation(1), vec!["older".into()]);
        elsewhere.begins("begun");
        let known = elsewhere.retire(Generation(2), ["dialog".into(), "begun".into()]);
        let expected = [(1, vec!["older"]), (2, vec!["begun", "dialog"])];
        let expected = expected.map(|(n, calls)| (n, calls.into_iter().map(Into::into).collect()));
        assert_eq!(known, expected);
        assert!(board.0.lock().expect("whole").is_empty());
        assert!(elsewhere.may_have("that the newest may have"));
        elsewhere.begins("later");
        elsewhere.tell_calls(3);
        elsewhere.tell_calls(3);
        let said = std::mem::take(&mut *board.0.lock().expect("whole"));
        let [(To::Newest, SipWord::Begun(begun)), (To::Newest, SipWord::Calls(3))] = &said[..]
        else {
            panic!("{said:?}")
        };
        assert_eq!(*begun, ["later"]);
        elsewhere.resume();
        elsewhere.begins("last");
        assert!(board.0.lock().expect("whole").is_empty());
    }
}
