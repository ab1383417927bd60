//! Phones that are told how many messages wait for them (NOTIFY of `message-summary`, RFC 3842), because they want to
//! know (SUBSCRIBE), or without being asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneport_wire::MessageCount;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::digest::Asked;
use super::{Binding, Claim, Sender};
use crate::sip::Shared;
use crate::sip::heritage::Subscription;
use crate::sip::settings::Mwi;
use crate::sip::stack::{Stack, SubscribeRequest, Subscriber};

/// The name of the event, and what it is told in.
const EVENT: &str = "message-summary";
const KIND: &str = "application/simple-message-summary";
/// For how many seconds it may be asked for: at least, and at most, which is also what counts where nothing is said.
const SECONDS: (u32, u32) = (60, 3_600);
/// So many subscriptions a phone may have; the oldest gives way.
const MOST: usize = 4;

/// A subscription that runs. Dropping its sender ends it.
struct Running {
    subscriber: Arc<Subscriber>,
    /// Until when it holds.
    ends: Arc<Mutex<Instant>>,
    /// Renews it for so many seconds; 0 ends it.
    renewals: mpsc::UnboundedSender<u32>,
}

/// What is told without being asked. Dropping it ends that.
struct Unasked(AbortHandle);

impl Drop for Unasked {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who is told of what.
#[derive(Default)]
pub(in crate::sip) struct Messages {
    /// Each subscription has a receiver, and what is told without one.
    counts: HashMap<String, Arc<watch::Sender<MessageCount>>>,
    running: HashMap<String, Vec<Running>>,
    unasked: HashMap<String, Unasked>,
    /// Subscriptions of another process, until it is known how many messages wait.
    inherited: Vec<Subscription>,
}

impl Messages {
    /// So many wait for this phone.
    pub(in crate::sip) fn wait(&mut self, shared: &Shared, name: &str, count: MessageCount) {
        if let Some(known) = self.counts.get(name) {
            known.send_if_modified(|known| std::mem::replace(known, count) != count);
            return;
        }
        self.counts.insert(name.into(), Arc::new(watch::Sender::new(count)));
        self.moved(shared, name);
        self.go_on(shared);
    }

    /// So many wait, and another process tells it.
    pub(in crate::sip) fn count(&mut self, name: &str, count: MessageCount) {
        self.counts.entry(name.into()).or_default().send_replace(count);
    }

    /// Another process tells them from now on: the subscriptions that it goes on with.
    pub(in crate::sip) fn leave(&mut self) -> Vec<Subscription> {
        self.unasked.clear();
        let mut left = std::mem::take(&mut self.inherited);
        let now = Instant::now();
        for (name, running) in std::mem::take(&mut self.running) {
            let alive = running.into_iter().filter(|one| !one.renewals.is_closed());
            left.extend(alive.filter_map(|one| {
                let ends = *one.ends.lock().unwrap_or_else(PoisonError::into_inner);
                let seconds = ends.saturating_duration_since(now).as_secs();
                let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
                Some(one.subscriber.store(&name, seconds))
            }));
        }
        left.sort_unstable_by(|one, other| one.call_id.cmp(&other.call_id));
        left
    }

    /// Goes on with the subscriptions of another process.
    pub(in crate::sip) fn inherit(&mut self, shared: &Shared, left: Vec<Subscription>) {
        self.inherited.extend(left);
        self.go_on(shared);
    }

    fn go_on(&mut self, shared: &Shared) {
        let known = |one: &mut Subscription| self.counts.contains_key(&one.name);
        let ready: Vec<Subscription> = self.inherited.extract_if(.., known).collect();
        for one in ready {
            let seconds = one.left;
            if let Some(subscriber) = Subscriber::restore(&shared.stack, &one) {
                self.begin(&one.name, subscriber, seconds);
            }
        }
    }

    fn begin(&mut self, name: &str, subscriber: Subscriber, seconds: u32) {
        let Some(counts) = self.counts.get(name).map(|counts| counts.subscribe()) else { return };
        let running = self.running.entry(name.into()).or_default();
        if running.len() == MOST {
            running.remove(0);
        }
        let (renewals, renewed) = mpsc::unbounded_channel();
        let subscriber = Arc::new(subscriber);
        let ends = Arc::new(Mutex::new(Instant::now()));
        running.push(Running { subscriber: subscriber.clone(), ends: ends.clone(), renewals });
        tracing::debug!("{name} is told of its messages for {seconds} s");
        tokio::spawn(tell(subscriber, counts, renewed, seconds, ends));
    }

    /// A phone has come, gone or moved, or is to be told otherwise.
    pub(in crate::sip) fn moved(&mut self, shared: &Shared, name: &str) {
        self.unasked.remove(name);
        let Some((config, Some(binding))) = shared.phones.find(name) else { return };
        let always = match config.mwi {
            Some(Mwi::Unsolicited) => true,
            Some(Mwi::Auto) => false,
            Some(Mwi::Subscribed) | None => return,
        };
        let Some(counts) = self.counts.get(name) else { return };
        let told = tell_unasked(shared.stack.clone(), name.into(), binding, counts.clone(), always);
        self.unasked.insert(name.into(), Unasked(tokio::spawn(told).abort_handle()));
    }

    /// Takes a request to be told.
    pub(in crate::sip) fn take(&mut self, shared: &Arc<Shared>, request: SubscribeRequest) {
        let realm = shared.realm();
        let claim = Claim {
            asked: Asked { method: "SUBSCRIBE", user: &request.user },
            name: &request.sender.user,
            from: request.from,
            proofs: &request.proofs,
        };
        let name = match shared.phones.sender(&realm, &claim) {
            Sender::Phone(name) => name,
            Sender::Nobody => return request.answer(403, Vec::new()),
            Sender::Unproved(challenges) => {
                let headers = challenges.into_iter().map(|one| ("WWW-Authenticate", one)).collect();
                return request.answer(401, headers);
            }
        };
        if request.event != EVENT {
            return request.answer(489, vec![("Allow-Events", EVENT.into())]);
        }
        let seconds = request.expires.unwrap_or(SECONDS.1).min(SECONDS.1);
        if (1..SECONDS.0).contains(&seconds) {
            return request.answer(423, vec![("Min-Expires", SECONDS.0.to_string())]);
        }
        let running = self.running.entry(name.clone()).or_default();
        running.retain(|one| !one.renewals.is_closed());
        if let Some(renewed) = &request.renews {
            let Some(one) = running.iter().find(|one| one.subscriber.key() == renewed) else {
                return request.answer(481, Vec::new());
            };
            let _ = one.renewals.send(seconds);
            return request.answer(200, vec![("Expires", seconds.to_string())]);
        }
        let mwi = shared.phones.find(&name).and_then(|(config, _)| config.mwi);
        let may = mwi.is_some_and(|mwi| mwi != Mwi::Unsolicited);
        if !may || !self.counts.contains_key(&name) {
            return request.answer(404, Vec::new());
        }
        let Some(subscriber) = request.accept(&shared.stack, seconds) else { return };
        self.begin(&name, subscriber, seconds);
    }
}

/// Tells somebody how many messages wait, and each time that changes, until its time is up.
async fn tell(
    subscriber: Arc<Subscriber>,
    mut counts: watch::Receiver<MessageCount>,
    mut renewals: mpsc::UnboundedReceiver<u32>,
    mut seconds: u32,
    known: Arc<Mutex<Instant>>,
) {
    loop {
        let ends = Instant::now() + Duration::from_secs(seconds.into());
        *known.lock().unwrap_or_else(PoisonError::into_inner) = ends;
        loop {
            let left = ends.saturating_duration_since(Instant::now()).as_secs();
            let state = match left {
                0 => "terminated;reason=timeout".into(),
                left => format!("active;expires={left}"),
            };
            let count = *counts.borrow_and_update();
            let body = (KIND, summary(count));
            if !subscriber.tell(EVENT, &state, body).await || left == 0 {
                return;
            }
            tokio::select! {
                changed = counts.changed() => if changed.is_err() { return },
                () = sleep_until(ends) => {}
                renewed = renewals.recv() => match renewed {
                    Some(renewed) => { seconds = renewed; break }
                    None => return,
                },
            }
        }
    }
}

/// Tells a phone that has not asked how many messages wait, and each time that changes; unless `always`, not while it
/// has a subscription.
async fn tell_unasked(
    stack: Stack,
    name: String,
    binding: Binding,
    counts: Arc<watch::Sender<MessageCount>>,
    always: bool,
) {
    let mut changes = counts.subscribe();
    loop {
        let count = *changes.borrow_and_update();
        if always || counts.receiver_count() == 1 {
            let way = (binding.transport, binding.address);
            let told = Subscriber::unasked(&stack, &name, &binding.contact, way);
            let Some(told) = told else { return };
            if !told.tell(EVENT, "active", (KIND, summary(count))).await {
                tracing::debug!("{name} does not take what it is told of its messages");
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// What is told (RFC 3842 §5.2).
fn summary(MessageCount { new, old }: MessageCount) -> String {
    let waits = if new > 0 { "yes" } else { "no" };
    format!("Messages-Waiting: {waits}\r\nVoice-Message: {new}/{old}\r\n")
}
