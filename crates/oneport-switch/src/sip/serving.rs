//! What the gateway does as long as it runs: it takes what comes from either side, and, while it is that of the newest
//! process, watches over carriers and phones.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use oneport::{Generation, To};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::heritage::{Legacy, SipWord};
use super::inner::Offers;
use super::phones::messages::Messages;
use super::phones::registering;
use super::phones::watching::Watched as WatchedPhones;
use super::stack::Requests;
use super::{Behind, Command, Shared, inbound, outbound, watching};

/// How often, and how often in all, it is looked whether all dialogs have ended when the gateway stops.
const FAREWELL_LOOK: Duration = Duration::from_millis(50);
const FAREWELL_LOOKS: usize = 40;

/// How long a process that serves waits until the one before has said that it reads no more.
const LEGACY_PATIENCE: Duration = Duration::from_secs(2);

/// Tasks that watch one carrier.
struct Watched {
    watching: AbortHandle,
    /// Ends the registration.
    stop: CancellationToken,
    registering: JoinHandle<()>,
}

impl Watched {
    fn begin(shared: &Shared, name: &str) -> Option<Self> {
        let (carrier, _) = shared.carriers.find(name)?;
        let (stack, carriers) = (shared.stack.clone(), shared.carriers.clone());
        let stop = CancellationToken::new();
        let watching =
            watching::watch(stack.clone(), carriers.clone(), name.into(), carrier.clone());
        let registering = watching::register(stack, carriers, name.into(), carrier, stop.clone());
        Some(Self {
            watching: tokio::spawn(watching).abort_handle(),
            stop,
            registering: tokio::spawn(registering),
        })
    }

    fn end(self) -> JoinHandle<()> {
        self.watching.abort();
        self.stop.cancel();
        self.registering
    }

    /// Another process does it: the registration stays.
    fn leave(self) {
        self.watching.abort();
        self.registering.abort();
    }
}

/// What the gateway is told: by those outside, by the switch, of phones, and by whoever runs it.
pub(super) struct Told {
    pub(super) requests: Requests,
    pub(super) offers: Offers,
    /// Names of phones that have come, gone or moved.
    pub(super) moved: mpsc::UnboundedReceiver<String>,
    pub(super) orders: mpsc::UnboundedReceiver<Command>,
}

/// Whose turn it is to read, and to watch over carriers and phones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// It is that of the process before.
    Waits {
        /// Whether there is one that will say when it is over.
        predecessor: bool,
    },
    /// Ours.
    Leads,
    /// A newer process's.
    Left,
}

/// A gateway that runs.
pub(super) struct Serving {
    shared: Arc<Shared>,
    own: Generation,
    /// Whether the sockets are read.
    reads: watch::Sender<bool>,
    turn: Turn,
    /// When it begins, though nobody has said that it may.
    impatient: Option<Instant>,
    messages: Messages,
    watched: HashMap<String, Watched>,
    watched_phones: WatchedPhones,
}

impl Serving {
    pub(super) fn new(
        shared: Arc<Shared>,
        own: Generation,
        reads: watch::Sender<bool>,
        turn: Turn,
    ) -> Self {
        Self {
            shared,
            own,
            reads,
            turn,
            impatient: None,
            messages: Messages::default(),
            watched: HashMap::new(),
            watched_phones: WatchedPhones::default(),
        }
    }

    /// Runs until it is stopped.
    pub(super) async fn run(
        mut self,
        carriers: Vec<String>,
        told: Told,
        mut stopped: oneshot::Receiver<()>,
    ) {
        let Told { requests, mut offers, mut moved, mut orders } = told;
        let Requests { mut calls, mut registers, mut subscribes } = requests;
        if self.turn == Turn::Leads {
            self.watch_carriers(carriers);
        }
        let shared = self.shared.clone();
        loop {
            let waits = matches!(self.turn, Turn::Waits { .. });
            let impatient = self.impatient.filter(|_| waits);
            tokio::select! {
                _ = &mut stopped => break,
                () = sleep_until(impatient.unwrap_or_else(Instant::now)), if impatient.is_some() => {
                    tracing::warn!("SIP: the process before has not said what it leaves");
                    self.lead_at_last();
                }
                // Who is called may answer only when we read.
                Some(offered) = offers.next(), if !waits => {
                    tokio::spawn(outbound::take(shared.clone(), offered));
                }
                Some(incoming) = calls.recv() => {
                    tokio::spawn(inbound::take(shared.clone(), incoming));
                }
                Some(request) = registers.recv() => {
                    tokio::spawn(registering::take(shared.clone(), request));
                }
                Some(request) = subscribes.recv() => self.messages.take(&shared, request),
                Some(name) = moved.recv() => self.moved(name),
                Some(order) = orders.recv() => self.obey(order),
                else => break,
            }
        }
        self.end().await;
    }

    fn obey(&mut self, order: Command) {
        match order {
            Command::Reconfigure(behind) => self.reconfigure(*behind),
            Command::Messages(name, count) if self.turn == Turn::Leads => {
                self.messages.wait(&self.shared, &name, count);
            }
            Command::Messages(name, count) => self.messages.count(&name, count),
            Command::Serve => match self.turn {
                Turn::Waits { predecessor: true } => {
                    self.impatient = Some(Instant::now() + LEGACY_PATIENCE);
                }
                Turn::Waits { predecessor: false } => self.lead(),
                Turn::Leads | Turn::Left => {}
            },
            Command::Inherit(legacy) => self.inherit(*legacy),
            Command::Leave => self.leave(),
            Command::Return => self.lead(),
            // It has left nothing.
            Command::Gone(older) if older.0 + 1 == self.own.0 => self.lead_at_last(),
            Command::Gone(_) => {}
        }
    }

    fn moved(&mut self, name: String) {
        if self.turn == Turn::Leads {
            self.messages.moved(&self.shared, &name);
            self.watched_phones.changed(&self.shared.stack, &self.shared.phones, name);
        }
    }

    fn watch_carriers(&mut self, names: Vec<String>) {
        for name in names {
            let watched = Watched::begin(&self.shared, &name);
            self.watched.extend(watched.map(|one| (name, one)));
        }
    }

    fn reconfigure(&mut self, Behind { config, carriers, .. }: Behind) {
        let (changed, gone) = self.shared.carriers.replace(carriers);
        for name in gone.iter().chain(&changed) {
            drop(self.watched.remove(name).map(Watched::end));
        }
        if self.turn == Turn::Leads {
            self.watch_carriers(changed);
        }
        *self.shared.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Reads, and watches over everybody.
    fn lead(&mut self) {
        if self.turn == Turn::Leads {
            return;
        }
        self.turn = Turn::Leads;
        self.shared.elsewhere.resume();
        self.reads.send_replace(true);
        let carriers = self.shared.carriers.all().into_iter();
        self.watch_carriers(carriers.map(|(name, ..)| name).collect());
        for name in self.shared.phones.names() {
            self.moved(name);
        }
    }

    /// The same where the process before should have said so.
    fn lead_at_last(&mut self) {
        if matches!(self.turn, Turn::Waits { .. }) {
            self.lead();
        }
    }

    /// Goes on with what the process before has left.
    fn inherit(&mut self, Legacy { carriers, subscriptions, .. }: Legacy) {
        self.shared.carriers.inherit(carriers);
        self.messages.inherit(&self.shared, subscriptions);
        self.lead();
    }

    /// A newer process reads: it is told what it has to know. What was sent and is not answered yet has its answer by
    /// that process.
    fn leave(&mut self) {
        if self.turn != Turn::Leads {
            return;
        }
        self.turn = Turn::Left;
        // All of this is one task among others of one thread: nothing is read from here on.
        self.reads.send_replace(false);
        self.watched.drain().for_each(|(_, watched)| watched.leave());
        self.watched_phones.forget_all();
        let mut up = self.shared.elsewhere.counts();
        up.push((self.own.0, self.shared.carriers.calls()));
        let legacy = Legacy {
            subscriptions: self.messages.leave(),
            carriers: self.shared.carriers.known(),
            calls: self.shared.elsewhere.retire(self.own, self.shared.stack.call_ids()),
            up,
        };
        self.shared.board.say(To::Newest, SipWord::Leaves(Box::new(legacy)));
    }

    async fn end(self) {
        let Self { shared, watched, .. } = self;
        let ending: Vec<_> = watched.into_values().map(Watched::end).collect();
        shared.inside.clone().stop().await;
        // Carriers are told of the end of their calls, too.
        for _ in 0..FAREWELL_LOOKS {
            if shared.stack.held().0 == 0 {
                break;
            }
            tokio::time::sleep(FAREWELL_LOOK).await;
        }
        for registration in ending {
            let _ = registration.await;
        }
        shared.stack.stop();
    }
}
