//! This switch as one of several processes at the same port, each of which has taken over from the one before:
//! the newest takes what begins, and older ones end their calls.
//!
//! What they say to each other are [`Word`]s in JSON, over the connections of the driver. The newest knows
//! which places under limits the older ones hold; each knows who is registered where; and the newest asks older
//! ones about their calls. Fields that are not known are left out, and so are whole words, so that versions of
//! the program may differ.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

use oneport::{Generation, Step, To};
use oneport_proto::{Endpoint, Instant};
use oneport_wire::CauseCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{oneshot, watch};

use super::drain::Life;
use super::leg::LeaseId;
use super::snapshot::{CallFilter, Page};
use super::table::TableQuery;
use super::{Standing, Switch};
use crate::api::model::OlderView;
use crate::limits::Place;
use crate::registrar::{GRACE, Proved};
use crate::sip::SipWord;
use crate::store::StoredRegistration;

/// Places of so many legs, or so many registrations, are told at once.
const AT_ONCE: usize = 50;

/// Which process this is.
///
/// ```
/// use oneport_switch::Succession;
///
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let driver = start("");
/// let succession = driver.with(|_, switch, _| switch.watch_succession()).await?;
/// assert_eq!(*succession.borrow(), Succession::Newest, "nobody has taken over");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Succession {
    /// The newest: it takes what begins.
    #[default]
    Newest,
    /// An heir that does not serve yet.
    Waits,
    /// The newest, and its heir is being started.
    HasHeir,
    /// A newer one takes what begins.
    Retired,
    /// The newer one has said that all is to end.
    Ends,
}

/// What one process says to another.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    /// An older process, as it is now.
    Process(OlderView),
    /// Places under limits of legs; none: the leg is over.
    Places(Vec<(u64, Vec<Place>)>),
    /// Who has registered where.
    Registered(Vec<StoredRegistration>),
    /// Who has not, any more.
    Unregistered(String),
    /// A question to an older process.
    Ask(u64, Question),
    /// Its answer.
    Answer(u64, Value),
    /// Of one gateway to SIP to that of another process.
    Sip(SipWord),
    /// All is to end: calls are hung up.
    End,
}

/// What the newest process asks an older one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Question {
    /// For a page of calls.
    Calls(CallFilter, Page<u64>),
    /// For one, by its id.
    Call(String),
    /// For how one has sounded since it began.
    Timeline(String),
    /// For rows of the table of calls.
    Rows(TableQuery),
    /// For a page of legs.
    Legs(Page<u64>),
    /// That it hangs a call up; whether there is one.
    HangUp(String, u8),
}

/// What is known of the other processes.
#[derive(Default)]
pub(super) struct Others {
    own: Generation,
    standing: watch::Sender<Succession>,
    /// Those that still have calls.
    older: BTreeMap<Generation, OlderView>,
    to_say: VecDeque<(To, Vec<u8>)>,
    /// What was said of this process last.
    told: Option<usize>,
    /// Who waits for answers, by the number of the question.
    asked: HashMap<u64, oneshot::Sender<Value>>,
    questions: u64,
    /// It takes calls, or has taken some.
    started: bool,
    /// It was being drained when another process took over.
    was_drained: bool,
}

impl Others {
    fn say(&mut self, to: To, word: &Word) {
        match serde_json::to_vec(word) {
            Ok(text) => self.to_say.push_back((to, text)),
            Err(error) => tracing::error!("nothing is said to other processes: {error}"),
        }
    }

    fn standing(&self) -> Succession {
        *self.standing.borrow()
    }

    /// Whether anybody wants to know what changes.
    fn are_told(&self) -> bool {
        self.started && (self.standing() != Succession::Newest || !self.older.is_empty())
    }
}

impl Switch {
    /// This switch is the heir of another, of this generation.
    pub fn inherit(&mut self, generation: Generation) {
        self.others.own = generation;
        self.others.standing.send_replace(Succession::Waits);
        self.next_lease = LeaseId::before(generation).0;
    }

    /// Which process this is, for those who wait until it is another.
    #[must_use]
    pub fn watch_succession(&self) -> watch::Receiver<Succession> {
        self.others.standing.subscribe()
    }

    /// Whether a newer process takes what begins.
    pub(super) fn is_retired(&self) -> bool {
        matches!(self.others.standing(), Succession::Retired | Succession::Ends)
    }

    /// The generation of this one.
    pub(super) fn others_own(&self) -> Generation {
        self.others.own
    }

    /// The number of this process, where it is an older one.
    pub(super) fn older_process(&self) -> Option<u32> {
        self.is_retired().then(std::process::id)
    }

    /// Older processes that still have calls.
    pub(crate) fn older(&self) -> Vec<OlderView> {
        self.others.older.values().cloned().collect()
    }

    /// How many there are, and legs of their calls.
    pub(super) fn count_older(&self) -> (usize, usize) {
        // The newest alone waits for them.
        let older = self.others.older.values().filter(|_| !self.is_retired());
        (older.clone().count(), older.map(|process| process.legs).sum())
    }

    /// This process as others see it.
    pub fn this_process(&self) -> OlderView {
        OlderView {
            generation: self.others.own.0,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            legs: self.legs.len(),
            calls: self.count_calls(),
        }
    }

    /// Lets all older processes hang up their calls and end.
    pub fn end_older(&mut self) {
        self.others.say(To::AllOlder, &Word::End);
    }

    /// Asks all older processes, the oldest first.
    pub(crate) fn ask_older(
        &mut self,
        question: &Question,
    ) -> Vec<(u64, oneshot::Receiver<Value>)> {
        let others = &mut self.others;
        let older: Vec<Generation> = others.older.keys().copied().collect();
        // Whoever has waited in vain waits no more.
        others.asked.retain(|_, waits| !waits.is_closed());
        let mut answers = Vec::new();
        for generation in older {
            others.questions += 1;
            let number = others.questions;
            others.say(To::Older(generation), &Word::Ask(number, question.clone()));
            let (answer, waits) = oneshot::channel();
            others.asked.insert(number, answer);
            answers.push((LeaseId::before(generation).0, waits));
        }
        answers
    }

    /// What calls begin behind that began here, as pages of calls count.
    pub(crate) fn first_call(&self) -> u64 {
        LeaseId::before(self.others.own).0
    }

    /// What is to be said next.
    pub(super) fn next_word(&mut self, now: Instant) -> Option<(To, Vec<u8>)> {
        if self.others.are_told() {
            self.tell_places();
            self.tell_registrations(now);
            self.tell_process();
            if let Some(link) = &self.gateway {
                link.tell_calls();
            }
        }
        self.others.to_say.pop_front()
    }

    fn tell_places(&mut self) {
        let changed = self.limits.take_changes();
        for places in changed.chunks(AT_ONCE) {
            let places = places.iter().map(|(lease, places)| (lease.0, places.clone()));
            self.others.say(To::Newest, &Word::Places(places.collect()));
        }
    }

    fn tell_registrations(&mut self, now: Instant) {
        for name in self.registrar.take_changes() {
            let word = match self.registration(now, &name) {
                Some(registration) => Word::Registered(vec![registration]),
                None => Word::Unregistered(name),
            };
            self.others.say(To::Newest, &word);
            if !self.is_retired() {
                self.others.say(To::AllOlder, &word);
            }
        }
    }

    fn tell_process(&mut self) {
        let others = &self.others;
        if others.standing() == Succession::Newest {
            return;
        }
        let legs = self.legs.len();
        if self.others.told.replace(legs) != Some(legs) {
            let this = self.this_process();
            self.others.say(To::Newest, &Word::Process(this));
        }
    }

    fn registration(&self, now: Instant, name: &str) -> Option<StoredRegistration> {
        let address = self.registrar.find(now, name)?;
        let left = self.registrar.left(now, name)?;
        let registered = self.registrar.date(name)?;
        Some(StoredRegistration {
            peer: name.into(),
            address: address.to_string(),
            registered,
            expires: self.book.now().after(left),
            contact: self.telephones.contact(name),
            switch: self.book.switch().map(Into::into),
        })
    }

    /// The switch begins, or its heir does: whoever is older is told what changes.
    pub(super) fn others_start(&mut self, now: Instant) {
        self.others.started = true;
        if self.others.standing() == Succession::Waits {
            self.others.standing.send_replace(Succession::Newest);
        }
        self.note_for_others();
        // Its gateway may have been there before.
        self.place_phones(now);
        self.let_gateway_serve();
    }

    /// The gateway to SIP serves as soon as the switch does.
    pub(super) fn let_gateway_serve(&self) {
        if let Some(link) = self.gateway.as_ref().filter(|_| self.others.started) {
            link.serve();
        }
    }

    /// The gateway says something to that of another process.
    pub(super) fn say_of_sip(&mut self, to: To, word: SipWord) {
        self.others.say(to, &Word::Sip(word));
    }

    /// Whether a call from `from` may begin though this process only ends its calls: the gateway had taken it before
    /// another took what begins.
    pub(super) fn takes_yet(&self, from: SocketAddr) -> bool {
        let inside = self.gateway.as_ref().map(|link| link.address);
        self.others.standing() == Succession::Retired
            && !self.others.was_drained
            && inside == Some(from)
    }

    fn note_for_others(&mut self) {
        let on = self.others.are_told();
        self.limits.note_changes(on);
        self.registrar.note_changes(on);
    }

    /// What becomes of this process among the others.
    pub(super) fn step(&mut self, endpoint: &mut Endpoint, now: Instant, step: Step) {
        match step {
            Step::Begins => {
                self.others.standing.send_replace(Succession::HasHeir);
                self.note_for_others();
                self.tell_all(now);
            }
            Step::Retired => self.retire(endpoint, now),
            Step::Alone => self.is_alone(endpoint, now),
            Step::Gone(older) => {
                let known = self.others.older.remove(&older);
                let pid = known.map_or(0, |known| known.pid);
                if let Some(link) = &self.gateway {
                    link.is_gone(older);
                }
                tracing::info!("the older process {pid} has ended");
                let theirs = |lease: &LeaseId| lease.generation() == older;
                let gone: Vec<LeaseId> =
                    self.limits.holders().map(|(lease, _)| lease).filter(theirs).collect();
                for lease in gone {
                    self.limits.release(now, lease);
                }
                self.tell_of_limits();
                self.legs_have_changed();
            }
        }
    }

    /// An heir is told what it cannot know.
    fn tell_all(&mut self, now: Instant) {
        self.others.told = None;
        for older in self.others.older.values().cloned().collect::<Vec<_>>() {
            self.others.say(To::Newest, &Word::Process(older));
        }
        let held: Vec<(u64, Vec<Place>)> =
            self.limits.holders().map(|(lease, places)| (lease.0, places)).collect();
        for places in held.chunks(AT_ONCE) {
            self.others.say(To::Newest, &Word::Places(places.to_vec()));
        }
        // Where there is a store, the heir reads them there.
        if self.book.ledger().is_none() {
            let names: Vec<String> =
                self.registrar.all(now).map(|(name, ..)| name.into()).collect();
            for names in names.chunks(AT_ONCE) {
                let all = names.iter().filter_map(|name| self.registration(now, name));
                let word = Word::Registered(all.collect());
                self.others.say(To::Newest, &word);
            }
        }
    }

    /// A newer process takes what begins: what is not of calls ends here.
    fn retire(&mut self, endpoint: &mut Endpoint, now: Instant) {
        tracing::info!(
            "a new process serves; {} legs of calls stay with process {} until they end",
            self.legs.len(),
            std::process::id()
        );
        endpoint.leave_registrations(now);
        self.registrations.clear();
        self.qualify.forget_all();
        self.look_at_mailboxes = None;
        self.others.standing.send_replace(Succession::Retired);
        self.hand_leases_over();
        self.note_for_others();
        self.others.was_drained = self.life() != Life::Serving;
        self.set_life(true);
        if let Some(link) = &self.gateway {
            link.leave();
        }
    }

    /// The newer process, or the heir, has ended.
    fn is_alone(&mut self, endpoint: &mut Endpoint, now: Instant) {
        if self.others.standing() == Succession::Ends {
            return;
        }
        let was_retired = self.is_retired();
        self.others.standing.send_replace(Succession::Newest);
        self.note_for_others();
        if !was_retired {
            tracing::warn!("the new process has ended before it served; this one goes on");
            return;
        }
        tracing::error!("the new process has ended; process {} serves again", std::process::id());
        self.set_life(self.others.was_drained);
        self.take_leases_back();
        if let Some(link) = &self.gateway {
            link.serve_again();
        }
        self.watch_peers(now);
        self.watch_mailboxes(now);
        for registration in self.config.registrations.clone() {
            let id = endpoint.register(now, registration.clone());
            self.registrations.insert(id, Standing::new(registration));
        }
    }

    /// Another process says something; `None`: the newest.
    pub(super) fn hear_word(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        from: Option<Generation>,
        text: &[u8],
    ) {
        // What a later version says that is not known here concerns nobody here.
        let Ok(word) = serde_json::from_slice::<Word>(text) else { return };
        let is_of_older = from.is_some();
        let for_heir = matches!(word, Word::Process(_) | Word::Places(_));
        if is_of_older && for_heir && self.others.standing() == Succession::HasHeir {
            self.others.to_say.push_back((To::Newest, text.to_vec()));
        }
        match word {
            Word::Process(view) if is_of_older => {
                self.others.older.insert(Generation(view.generation), view);
                self.legs_have_changed();
                if self.others.older.len() == 1 {
                    self.note_for_others();
                }
            }
            Word::Places(legs) if is_of_older => {
                for (lease, places) in legs {
                    self.limits.hold(now, LeaseId(lease), places);
                }
                self.tell_of_limits();
            }
            Word::Registered(all) => {
                for registration in all {
                    self.hear_registration(endpoint, now, registration);
                }
                self.keep_quiet(is_of_older);
            }
            Word::Unregistered(name) => {
                self.restored.retain(|known| known.peer != name);
                self.qualify.forget(&name);
                self.registrar.release(&name);
                self.phone_gone(&name);
                self.keep_quiet(is_of_older);
            }
            Word::Ask(number, question) if !is_of_older => {
                let answer = self.answer(endpoint, now, question);
                self.others.say(To::Newest, &Word::Answer(number, answer));
            }
            Word::Answer(number, answer) if is_of_older => {
                if let Some(waits) = self.others.asked.remove(&number) {
                    let _ = waits.send(answer);
                }
            }
            Word::Sip(word) => {
                if let Some(link) = &self.gateway {
                    link.hear(from, word);
                }
            }
            Word::End if !is_of_older => {
                self.others.standing.send_replace(Succession::Ends);
            }
            _ => {}
        }
    }

    /// What the newest has said is known to it.
    fn keep_quiet(&mut self, is_of_older: bool) {
        if !is_of_older {
            drop(self.registrar.take_changes());
        }
    }

    fn hear_registration(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        registration: StoredRegistration,
    ) {
        if !self.others.started {
            self.restored.retain(|known| known.peer != registration.peer);
            self.restored.push(registration);
            return;
        }
        let name = registration.peer.clone();
        let left = registration.expires.since(self.book.now());
        let Ok(address) = registration.address.parse() else { return };
        if !self.config.peers.contains_key(&name) || left <= GRACE {
            return;
        }
        let proved = Proved { at: now, date: registration.registered };
        if !self.is_registered_at(endpoint, (proved, now), &name, address, left) {
            return;
        }
        if let Some(contact) = registration.contact {
            self.telephones.restore(&name, contact);
        }
        self.place_phones(now);
    }

    fn answer(&self, endpoint: &mut Endpoint, now: Instant, question: Question) -> Value {
        let value = match question {
            Question::Calls(filter, page) => {
                serde_json::to_value(self.calls(endpoint, now, &filter, &page))
            }
            Question::Call(id) => {
                let found = self.find_call(&id);
                serde_json::to_value(found.and_then(|call| self.show_call(endpoint, now, call)))
            }
            Question::Timeline(id) => {
                let found = self.find_call(&id);
                serde_json::to_value(found.and_then(|call| self.show_timeline(endpoint, now, call)))
            }
            Question::Rows(query) => serde_json::to_value(self.call_rows(endpoint, now, &query)),
            Question::Legs(page) => serde_json::to_value(self.legs(endpoint, now, &page)),
            Question::HangUp(id, cause) => {
                let call = self.find_call(&id);
                let cause = CauseCode(cause);
                let hung = call.and_then(|call| endpoint.hangup(now, call, cause, None).ok());
                Ok(Value::Bool(hung.is_some()))
            }
        };
        value.unwrap_or_default()
    }
}
