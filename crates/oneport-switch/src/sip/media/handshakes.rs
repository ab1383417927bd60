//! Handshakes of all streams, on a thread of their own: what they compute takes a millisecond or more, and no
//! voice waits for it. Sockets stay with the relay, which hands datagrams over and sends what is to be sent.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use std::{io, thread};

use super::latch::Trust;
use super::shaking::Begin;
use super::{Command, Shared};
use crate::sip::dtls::{Association, Identity, Insecure, Step, begins_handshake};
use crate::sip::sdp::Handshake;

/// So many datagrams wait at most, of all streams.
const MOST_WAITING: usize = 1_024;

/// So long a handshake that is complete is kept, for a side that has lost its end: longer than any repeats it.
const LINGERS: Duration = Duration::from_secs(60);

/// Between two looks at one handshake, at least.
const SHORTEST: Duration = Duration::from_millis(1);

/// What a stream has a handshake for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Part {
    /// Media, and reports where they come to the same port.
    Media,
    /// Reports that come to a port of their own.
    Reports,
}

/// Where a handshake is, and which one of that stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Place {
    pub(super) index: u16,
    pub(super) part: Part,
}

/// What the thread is told.
enum Order {
    /// A handshake is to be had.
    Begin(Begin),
    /// This has come.
    Datagram { place: Place, from: SocketAddr, trust: Trust, datagram: Vec<u8> },
    /// The stream is over.
    End { index: u16 },
}

/// Hands handshakes over to their thread, which ends with this.
pub(super) struct Handshakes {
    orders: Sender<Order>,
    waiting: Arc<AtomicUsize>,
}

impl Handshakes {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives none.
    pub(super) fn start(identity: Arc<Identity>, shared: &Arc<Shared>) -> io::Result<Self> {
        let (orders, receiver) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let worker = Worker {
            identity,
            relay: Arc::downgrade(shared),
            waiting: waiting.clone(),
            works: HashMap::new(),
            due: BTreeSet::new(),
        };
        let run = move || worker.run(&receiver);
        thread::Builder::new().name("oneport-dtls".into()).spawn(run)?;
        Ok(Self { orders, waiting })
    }

    pub(super) fn begin(&self, begin: Begin) {
        self.order(Order::Begin(begin));
    }

    /// Takes a datagram. What is too much is lost, and comes again.
    pub(super) fn receive(
        &self,
        place: Place,
        (from, trust): (SocketAddr, Trust),
        datagram: &[u8],
    ) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.order(Order::Datagram { place, from, trust, datagram: datagram.to_vec() });
    }

    pub(super) fn end(&self, index: u16) {
        self.order(Order::End { index });
    }

    fn order(&self, order: Order) {
        // The thread outlives this.
        let _ = self.orders.send(order);
    }
}

/// One handshake and with whom it is.
struct Work {
    turn: u64,
    handshake: Handshake,
    /// With whom, and how sure it is that it is them.
    with: Option<(SocketAddr, Trust)>,
    /// `None`: nobody has begun it, or it was complete long ago.
    association: Option<Association>,
    /// Since when it is complete.
    complete: Option<Instant>,
    /// It has brought keys, this time or before.
    keyed: bool,
    due: Option<Instant>,
}

struct Worker {
    identity: Arc<Identity>,
    relay: Weak<Shared>,
    waiting: Arc<AtomicUsize>,
    works: HashMap<Place, Work>,
    due: BTreeSet<(Instant, Place)>,
}

impl Worker {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = match self.due.first() {
                Some((due, _)) => {
                    orders.recv_timeout(due.saturating_duration_since(Instant::now()))
                }
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let now = Instant::now();
            match order {
                Ok(order) => self.take(now, order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Some((due, place)) = self.due.first().copied().filter(|(due, _)| *due <= now)
            {
                self.due.remove(&(due, place));
                self.go_on(now, place, |association| association.handle_timeout(now));
            }
        }
    }

    fn take(&mut self, now: Instant, order: Order) {
        match order {
            Order::Begin(Begin { place, turn, handshake, to }) => {
                self.forget(place);
                let with = to.map(|to| (to, Trust::Described));
                let association = with.map(|_| Association::new(&self.identity, &handshake, now));
                let (complete, keyed, due) = (None, false, None);
                let work = Work { turn, handshake, with, association, complete, keyed, due };
                self.works.insert(place, work);
                self.go_on(now, place, |_| {});
            }
            Order::Datagram { place, from, trust, datagram } => {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                self.receive(now, place, (from, trust), &datagram);
            }
            Order::End { index } => {
                self.forget(Place { index, part: Part::Media });
                self.forget(Place { index, part: Part::Reports });
            }
        }
    }

    fn forget(&mut self, place: Place) {
        let due = self.works.remove(&place).and_then(|work| work.due);
        if let Some(due) = due {
            self.due.remove(&(due, place));
        }
    }

    fn receive(&mut self, now: Instant, place: Place, from: (SocketAddr, Trust), datagram: &[u8]) {
        let Some(work) = self.works.get_mut(&place) else { return };
        let known = work.with.is_some_and(|(with, _)| with == from.0);
        let surer = work.with.is_none_or(|(_, trust)| from.1 > trust);
        let begins = !work.handshake.begins && begins_handshake(datagram);
        // Whoever is likelier to be them takes the place of somebody who is not. Them it may be who begin
        // again once it is complete: the keys from before hold until there are others.
        let anew = match work.complete {
            None => begins && !known && surer,
            Some(_) => begins && (known || surer),
        };
        if anew {
            (work.with, work.complete) = (Some(from), None);
            work.association = Some(Association::new(&self.identity, &work.handshake, now));
        } else if !known {
            return;
        }
        self.go_on(now, place, |association| association.receive(now, datagram));
    }

    /// Lets a handshake go on with something that happens to it.
    fn go_on(&mut self, now: Instant, place: Place, happens: impl FnOnce(&mut Association)) {
        let Some(work) = self.works.get_mut(&place) else { return };
        if let Some(due) = work.due.take() {
            self.due.remove(&(due, place));
        }
        let (Some(association), Some((with, trust))) = (&mut work.association, work.with) else {
            return;
        };
        // Where the relay has ended so does this, in a moment.
        let Some(relay) = self.relay.upgrade() else { return };
        let Place { index, part } = place;
        let turn = work.turn;
        let command = |command| drop(relay.command(command));
        happens(association);
        let due = loop {
            match association.step() {
                Step::Send(datagram) => {
                    let datagram = datagram.to_vec();
                    command(Command::Shake { index, part, turn, to: with, datagram });
                }
                Step::Secured(secured) => {
                    (work.complete, work.keyed) = (Some(now), true);
                    command(Command::Secured { index, part, turn, with, secured });
                }
                Step::Wait(at) => break at,
                Step::Over(why) => {
                    work.association = None;
                    self.failed(place, trust, why);
                    return;
                }
            }
        };
        let due = match work.complete {
            Some(complete) if now >= complete + LINGERS => {
                work.association = None;
                return;
            }
            Some(complete) => due.min(complete + LINGERS),
            None => due,
        };
        let due = due.max(now + SHORTEST);
        work.due = Some(due);
        self.due.insert((due, place));
    }

    /// A handshake is over without keys.
    fn failed(&mut self, place: Place, trust: Trust, why: Insecure) {
        let Place { index, part } = place;
        let Some(work) = self.works.get_mut(&place) else { return };
        let (Some(relay), Some((with, _))) = (self.relay.upgrade(), work.with) else { return };
        tracing::debug!("DTLS with {with}: {why}");
        if work.keyed {
            // Those keys hold, whoever has begun again.
            return;
        }
        // Whoever only knows the port ends nobody's call.
        if trust == Trust::Packets {
            tracing::warn!(
                "SIP: media: a handshake with {with}, which is described nowhere: {why}"
            );
            work.with = None;
            return;
        }
        let turn = work.turn;
        drop(relay.command(Command::Insecure { index, part, turn, why }));
    }
}
