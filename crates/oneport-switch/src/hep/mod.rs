//! Copies of signalling for Homer and what else takes HEP3: full frames of IAX2, messages of SIP, each with
//! the id of its call, so that all legs of a call stand in one ladder.
//!
//! Whoever hands something on never waits: a bounded queue leads to a thread, which alone knows to which call
//! what belongs ([`desk`]), writes frames as text where that is wanted ([`text`]), writes packets ([`packet`]) and sends them ([`wire`]). What finds the queue full is
//! left out, and counted.

mod desk;
mod packet;
pub(crate) mod secrecy;
mod text;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use oneport_wire::CallNumber;
use uuid::Uuid;

use crate::config::HepConfig;
use crate::sent::Sent;
use crate::utc::Utc;
use desk::Desk;
use wire::Wire;

/// Messages and news of calls that wait for the thread; about 2 MB of usual ones.
const QUEUE: usize = 8_192;

/// The clock may be set back by less than this without messages that are older than those before, in µs.
const SET_BACK: u64 = 1_000_000;

/// What has only one number, or none, is no full frame.
const FULL_HEADER: usize = 12;

/// Which protocol a message is of, as HEP3 numbers them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    Sip = 1,
    Iax = 10,
}

/// What carried it, as IP numbers them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carrier {
    Tcp = 6,
    Udp = 17,
}

/// By what a message or a leg is known to belong to a call.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Key {
    /// The leg with this number of ours.
    Ours(SocketAddr, CallNumber),
    /// The leg that begins with this number of theirs, as nobody has one of ours yet.
    Theirs(SocketAddr, CallNumber),
    /// The dialog of SIP with this Call-ID.
    Dialog(Box<str>),
    /// The word by which the switch and its gateway speak of a leg.
    Word(Box<str>),
}

/// A message on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    pub(crate) protocol: Protocol,
    pub(crate) carrier: Carrier,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// When it passed, in µs since 1970. No two have the same moment: collectors sort by it.
    pub(crate) unix_micros: u64,
    pub(crate) key: Option<Key>,
    pub(crate) content: Box<[u8]>,
    /// Whether it is a frame that nobody can read without the secret.
    pub(crate) is_sealed: bool,
}

/// What the thread is told.
#[derive(Debug)]
enum Told {
    Message(Message),
    /// A leg of a call has begun, and is known by these.
    Begun(Uuid, Vec<Key>),
    /// A leg is known by this too.
    Known(Uuid, Key),
    /// A leg of a call is over.
    Over(Uuid),
    /// A dialog is the leg that is spoken of by this word.
    Named {
        dialog: Box<str>,
        word: Box<str>,
    },
}

/// Hands copies to the thread that sends them, which ends with the last of these.
#[derive(Clone, Debug)]
pub(crate) struct Exporter {
    queue: SyncSender<Told>,
    counts: Arc<Sent>,
    /// The moment of the last message.
    last: Arc<AtomicU64>,
}

impl Exporter {
    /// Starts the thread; `None`: the system has none.
    pub(crate) fn start(config: &HepConfig) -> Option<Self> {
        let (queue, told) = sync_channel(QUEUE);
        let counts = Arc::new(Sent::default());
        let (config, shared) = (config.clone(), counts.clone());
        let body = move || run(&config, &told, &shared);
        match std::thread::Builder::new().name("hep".into()).spawn(body) {
            Ok(_) => Some(Self { queue, counts, last: Arc::default() }),
            Err(error) => {
                tracing::error!("no thread for HEP: {error}");
                None
            }
        }
    }

    pub(crate) fn counts(&self) -> &Sent {
        &self.counts
    }

    /// A datagram has come or gone. Only full frames are handed on.
    pub(crate) fn frame(
        &self,
        incoming: bool,
        (local, remote): (SocketAddr, SocketAddr),
        datagram: &[u8],
    ) {
        let [a, b, c, d, .., kind, subclass] = datagram.get(..FULL_HEADER).unwrap_or_default()
        else {
            return;
        };
        if a & 0x80 == 0 {
            return;
        }
        let number = |high: u8, low: u8| CallNumber::from_bits(u16::from_be_bytes([high, low]));
        let (source, destination) = (number(*a, *b), number(*c, *d));
        let (ours, theirs) = match incoming {
            true => (destination, source),
            false => (source, destination),
        };
        // NEW, and CALLTOKEN in answer to one, come before there is a leg.
        let key = match (kind, subclass) {
            (6, 1) if incoming => Key::Theirs(remote, theirs),
            (6, 40) if !incoming => Key::Theirs(remote, theirs),
            _ => Key::Ours(remote, ours),
        };
        let (from, to) = if incoming { (remote, local) } else { (local, remote) };
        self.tell(Told::Message(Message {
            protocol: Protocol::Iax,
            carrier: Carrier::Udp,
            from,
            to,
            unix_micros: self.moment(),
            key: Some(key),
            content: secrecy::frame(datagram),
            is_sealed: false,
        }));
    }

    /// A message of SIP has come or gone.
    pub(crate) fn sip(
        &self,
        (from, to): (SocketAddr, SocketAddr),
        carrier: Carrier,
        dialog: Option<&str>,
        text: &str,
    ) {
        self.tell(Told::Message(Message {
            protocol: Protocol::Sip,
            carrier,
            from,
            to,
            unix_micros: self.moment(),
            key: dialog.map(|dialog| Key::Dialog(dialog.into())),
            content: secrecy::sip(text).into_bytes().into(),
            is_sealed: false,
        }));
    }

    /// A leg of a call has begun.
    pub(crate) fn begun(&self, call: Uuid, keys: Vec<Key>) {
        self.tell(Told::Begun(call, keys));
    }

    /// A leg of a call is known by this too.
    pub(crate) fn known(&self, call: Uuid, key: Key) {
        self.tell(Told::Known(call, key));
    }

    /// A leg of a call is over.
    pub(crate) fn over(&self, call: Uuid) {
        self.tell(Told::Over(call));
    }

    /// The gateway has a dialog for the leg of this word.
    pub(crate) fn named(&self, dialog: &str, word: &str) {
        self.tell(Told::Named { dialog: dialog.into(), word: word.into() });
    }

    /// The moment of a message that is told of now.
    fn moment(&self) -> u64 {
        let now = Utc::micros_now();
        let next = |last| Some(after(last, now));
        let (Ok(last) | Err(last)) =
            self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        after(last, now)
    }

    fn tell(&self, told: Told) {
        let is_message = matches!(told, Told::Message(_));
        // News of a call that do not fit cost the id in its messages, and nothing else.
        if self.queue.try_send(told).is_err() && is_message {
            self.counts.left_out(1);
        }
    }
}

/// The moment of a message behind one of `last`. Where the clock is set back by a lot, it is right.
const fn after(last: u64, now: u64) -> u64 {
    if now <= last && last - now < SET_BACK { last + 1 } else { now }
}

/// The thread.
fn run(config: &HepConfig, told: &Receiver<Told>, counts: &Sent) {
    let mut desk = Desk::default();
    let mut wire = Wire::new(config.to.clone(), config.tcp);
    loop {
        let wait = desk.next().map(|at| at.saturating_duration_since(Instant::now()));
        let news = match told.recv_timeout(wait.unwrap_or(Duration::from_secs(3_600))) {
            Ok(news) => Some(news),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let now = Instant::now();
        if let Some(news) = news {
            desk.take(now, news);
        }
        desk.expire(now);
        while let Some((mut message, call)) = desk.poll() {
            if config.text && message.protocol == Protocol::Iax {
                let text = text::frame(&message.content, message.is_sealed);
                message.content = text.into_bytes().into();
            }
            let call = call.map(|call| call.to_string());
            let packet = packet::write(&message, call.as_deref(), config);
            match wire.send(now, &packet) {
                true => counts.sent(1),
                false => counts.left_out(1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_the_thread_and_what_it_does_not_take_is_counted() {
        // Nobody takes anything out of this queue.
        let (queue, told) = sync_channel(2);
        let exporter = Exporter { queue, counts: Arc::default(), last: Arc::default() };
        let here = SocketAddr::from(([127, 0, 0, 1], 4569));
        let frame = |datagram: &[u8]| exporter.frame(true, (here, here), datagram);
        let full = [0x80, 9, 0, 5, 0, 0, 0, 0, 0, 0, 6, 4];
        for other in [&[0, 9, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9][..], &[0x80; 11], &[]] {
            frame(other);
        }
        assert_eq!(exporter.counts().read(), (0, 0), "mini frames are not handed on");
        for _ in 0..5 {
            frame(&full);
        }
        exporter.over(Uuid::nil());
        assert_eq!(exporter.counts().read(), (0, 3));
        assert_eq!(told.try_iter().count(), 2);
    }

    #[test]
    fn messages_sort_by_their_moments_as_they_were_told_of_whoever_tells_and_whatever_the_clock_does()
     {
        let (queue, told) = sync_channel(4_000);
        let exporter = Exporter { queue, counts: Arc::default(), last: Arc::default() };
        let here = SocketAddr::from(([127, 0, 0, 1], 4569));
        let full = [0x80, 9, 0, 5, 0, 0, 0, 0, 0, 0, 6, 4];
        for _ in 0..1_000 {
            exporter.frame(true, (here, here), &full);
            exporter.sip((here, here), Carrier::Udp, None, "BYE");
        }
        let moments: Vec<u64> = told
            .try_iter()
            .filter_map(|told| match told {
                Told::Message(message) => Some(message.unix_micros),
                _ => None,
            })
            .collect();
        assert_eq!(moments.len(), 2_000);
        assert!(moments.is_sorted_by(|earlier, later| earlier < later), "{moments:?}");
        let day = 86_400_000_000;
        for (last, now, expected) in [
            (0, day, day),
            (day, day + 1, day + 1),
            (day, day, day + 1),
            (day, day - SET_BACK / 2, day + 1),
            (day, day - SET_BACK, day - SET_BACK),
            (2 * day, day, day),
        ] {
            assert_eq!(after(last, now), expected);
        }
    }
}
