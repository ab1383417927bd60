//! The switch: identifies callers, routes their calls, keeps registrations.

mod capturing;
mod carriers;
mod changes;
mod device;
mod dialling;
mod drain;
mod entering;
mod events;
mod exporting;
mod extensions;
mod forecasting;
mod forwarding;
mod holding;
mod hunting;
mod identity;
mod joining;
mod judging;
mod keys;
mod leading;
mod leg;
mod listening;
mod meeting;
mod nodes;
mod notice;
mod noting;
mod one_way;
mod originating;
mod overloading;
mod parking;
mod phones;
mod radio;
pub(crate) mod realtime;
mod records;
mod registering;
mod reload;
mod rooms;
mod saying_no;
mod sharing;
mod siblings;
pub(crate) mod snapshot;
mod spans;
mod succession;
pub(crate) mod table;
mod taping;
mod tones;
mod traced;
mod transcoding;
mod transfer;
mod waking;
mod wording;

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;
use oneport::Diagnosis;
use oneport::probe::Reflector;
use oneport_proto::{
    CallEnd, CallId, Endpoint, Instant, ProvisionId, Register, RegistrationId, RequestId,
};
use oneport_wire::{CauseCode, MessageCount};
use tokio::sync::watch;

use crate::allstar::Nodes;
use crate::book::Book;
use crate::builtin::{Builtin, Player, Read, Reader};
use crate::capacity::Meter;
use crate::capture::Captures;
use crate::conference::Conferences;
use crate::config::Config;
use crate::deadlines::Deadlines;
use crate::decoy::Decoy;
use crate::guests::Guests;
use crate::hep::Exporter;
use crate::inband::Inband;
use crate::limits::{LimitUsage, Limits, Notice};
use crate::live::Live;
use crate::mailbox::Mailboxes;
use crate::news::Newsroom;
use crate::overload::Overload;
use crate::parking::Parking;
use crate::qualify::Qualify;
use crate::radio::Radio;
use crate::recording::Recordings;
use crate::registrar::Registrar;
use crate::sip::Link;
use crate::store::StoredRegistration;
use crate::tally::Tally;
use crate::taps::Taps;
use crate::transcoding::Transcodings;
use crate::trunks::{Owner, Trunks};
use crate::watch::Watches;

pub use drain::Life;
pub(crate) use hunting::{contexts_of, wall_time};
use judging::Judging;
use leg::{LeaseId, Leg, State};
use meeting::AtTheDoor;
use noting::news_of_limit;
pub(crate) use originating::NotPlaced;
pub use parking::ParkedCall;
use phones::Telephones;
use realtime::RealtimeRows;
use registering::Standing;
use sharing::Sharing;
pub(crate) use sharing::boot_clock;
use siblings::Siblings;
pub(crate) use spans::span_of;
use succession::Others;
pub(crate) use succession::Question;
pub use succession::Succession;
pub use traced::LastTraces;
use waking::Wakes;
use wording::{log_end, printable};

/// The switch as an application of the engine.
///
/// ```
/// use std::path::Path;
///
/// use oneport::{Driver, DriverConfig};
/// use oneport_switch::{Config, Switch};
///
/// let text = "[server]\nlisten = [\"127.0.0.1:0\"]\n[peers.ann]\nsecret = \"a b c\"";
/// let config = Config::parse(Path::new("oneport.toml"), text)?;
/// let (listen, endpoint) = (config.listen.clone(), config.endpoint.clone());
/// let driver = DriverConfig { listen, endpoint, ..DriverConfig::default() };
/// let driver = Driver::start(driver, Switch::new(config))?;
/// println!("telephones register at {}", driver.local_addresses()[0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Switch {
    config: Config,
    /// Whether it takes calls.
    life: watch::Sender<Life>,
    registrar: Registrar,
    qualify: Qualify,
    guests: Guests,
    decoy: Decoy,
    trunks: Trunks,
    /// Side by side: a hash table that holds them itself is half empty, and takes twice their memory.
    legs: IndexMap<CallId, Leg>,
    /// When legs are ended from here.
    ends: Deadlines<CallId>,
    limits: Limits<LeaseId>,
    /// How much the driver's thread has to do.
    overload: Overload,
    /// What calls cost of the driver's thread.
    capacity: Meter,
    next_lease: u64,
    /// Built-in destinations that speak now.
    players: BTreeMap<CallId, Player>,
    /// Calls that are probes, whose far end this is.
    reflectors: HashMap<CallId, Reflector>,
    /// Polls that they have asked for.
    wakes: Wakes,
    /// Reads files for playback.
    reader: Reader,
    /// One that has been read, for the call that is led on.
    read: Option<Read>,
    recordings: Recordings,
    /// Calls whose datagrams somebody looks at.
    captures: Captures<CallId>,
    /// Who hands copies of signalling on, and the date.
    hep: Option<Exporter>,
    /// Calls that are up and recorded.
    taps: Taps,
    /// Calls whose legs speak different codecs, or want frames of another length.
    transcodings: Transcodings,
    /// Calls that somebody listens to.
    live: Live,
    /// Answered calls that must not last too long, or be silent.
    watches: Watches<CallId>,
    /// How calls that are up sound.
    judging: Judging,
    /// Lines of the log about voice that flows one way only.
    one_way_lines: one_way::Lines,
    conferences: Conferences,
    /// Who has not said the PIN of its conference yet.
    at_the_door: HashMap<CallId, AtTheDoor>,
    parking: Parking<CallId>,
    /// Where nodes of AllStarLink are.
    nodes: Nodes,
    /// Who is linked with whom there, and who is keyed.
    radio: Radio<CallId>,
    /// Keys that are tones in the voice of legs.
    inband: Inband,
    book: Book,
    /// Registrations of an earlier life, until this one begins.
    restored: Vec<StoredRegistration>,
    /// Requests to register that wait for their proof.
    requests: HashMap<RequestId, Register>,
    /// Where we register.
    registrations: HashMap<RegistrationId, Standing>,
    /// Devices being set up.
    provisions: HashMap<ProvisionId, String>,
    mailboxes: Mailboxes,
    /// What registered peers have been told of their messages (MWI), and when to look again.
    told: BTreeMap<String, MessageCount>,
    look_at_mailboxes: Option<Instant>,
    /// The SIP gateway, if there is one.
    gateway: Option<Link>,
    telephones: Telephones,
    tally: Tally,
    news: Newsroom,
    payload: Vec<u8>,
    /// Other processes of this switch.
    others: Others,
    /// Other switches with the same database.
    siblings: Siblings,
    sharing: Sharing,
    /// Peers out of tables of Asterisk.
    rows: RealtimeRows,
}

impl Switch {
    /// A switch that has heard of nobody yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut decoy = Decoy::default();
        decoy.learn(&config);
        let hep = config.hep.as_ref().and_then(Exporter::start);
        let mut book = Book::default();
        book.set_switch(config.cluster.as_ref().map(|own| own.name.clone()));
        *book.traces_mut() = traced::start(&config);
        Self {
            limits: sharing::limits_of(&config),
            overload: Overload::default(),
            capacity: Meter::default(),
            next_lease: 0,
            nodes: Nodes::new(config.nodes.clone()),
            radio: Radio::default(),
            config,
            life: watch::Sender::default(),
            registrar: Registrar::default(),
            qualify: Qualify::default(),
            guests: Guests::default(),
            decoy,
            trunks: Trunks::default(),
            ends: Deadlines::default(),
            legs: IndexMap::new(),
            players: BTreeMap::new(),
            reflectors: HashMap::new(),
            wakes: Wakes::default(),
            reader: Reader::default(),
            read: None,
            recordings: Recordings::start(),
            captures: Captures::default(),
            hep,
            taps: Taps::default(),
            transcodings: Transcodings::default(),
            live: Live::default(),
            watches: Watches::default(),
            judging: Judging::default(),
            one_way_lines: one_way::Lines::default(),
            conferences: Conferences::default(),
            at_the_door: HashMap::new(),
            parking: Parking::default(),
            inband: Inband::default(),
            book,
            restored: Vec::new(),
            requests: HashMap::new(),
            registrations: HashMap::new(),
            provisions: HashMap::new(),
            mailboxes: Mailboxes::default(),
            told: BTreeMap::new(),
            look_at_mailboxes: None,
            gateway: None,
            telephones: Telephones::default(),
            tally: Tally::default(),
            news: Newsroom::default(),
            payload: Vec::new(),
            others: Others::default(),
            siblings: Siblings::default(),
            sharing: Sharing::default(),
            rows: RealtimeRows::default(),
        }
    }

    /// What is in use of each limit.
    pub fn limit_usage(&mut self, now: Instant) -> Vec<LimitUsage> {
        self.limits.usage(now)
    }

    fn new_lease(&mut self) -> LeaseId {
        self.next_lease += 1;
        LeaseId(self.next_lease)
    }

    /// Forgets a leg and gives back its places.
    fn remove_leg(&mut self, now: Instant, call: CallId) -> Option<Leg> {
        self.release(now, call);
        let leg = self.legs.swap_remove(&call)?;
        if let Some(exporter) = &self.hep {
            exporter.over(leg.id);
        }
        self.legs_have_changed();
        Some(leg)
    }

    /// Gives back the places of a leg that is about to end, and waits for nothing of it any more.
    fn release(&mut self, now: Instant, call: CallId) {
        let Some(lease) = self.legs.get(&call).map(|leg| leg.lease) else { return };
        self.ends.clear(&call);
        self.transcodings.leave(call);
        self.trunks.set(Owner::Call(call), None);
        self.trunks.set(Owner::Probe(call), None);
        self.watches.end(call);
        self.limits.release(now, lease);
        self.tell_of_limits();
    }

    /// Logs what is to be said of limits.
    fn tell_of_limits(&mut self) {
        for notice in self.limits.notices() {
            self.news.tell(|| news_of_limit(&notice));
            match notice {
                Notice::Mark { limit, used, max, above: true } => {
                    tracing::warn!("limit {limit}: {used} of {max} calls");
                }
                Notice::Mark { limit, used, max, above: false } => {
                    tracing::info!("limit {limit}: {used} of {max} calls again");
                }
                Notice::Passed(full) => tracing::warn!("soft {full}; the call goes on"),
            }
        }
    }

    /// Ends a caller's leg because of what the log says.
    fn refuse(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        cause: CauseCode,
        why: &str,
    ) {
        self.tell_refusal(now, call, cause, why);
        self.end_untaken(endpoint, now, call, cause, None);
    }

    /// Logs that a caller's leg is refused; its end is not told again.
    fn tell_refusal(&mut self, now: Instant, call: CallId, cause: CauseCode, why: &str) {
        if let Some(leg) = self.legs.get_mut(&call) {
            let to = leg.to.take().unwrap_or_default();
            let who = leg.who();
            tracing::info!("{call}: {who} to {to}: refused, {cause}: {why}");
        }
        self.call_refused(call, cause, why);
        self.book.refused_for(now, call, cause, records::no_way_on(cause, why));
    }

    fn ended(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        end: &CallEnd,
        diagnosis: Option<&Diagnosis>,
    ) {
        let Some(leg) = self.remove_leg(now, call) else { return };
        self.players.remove(&call);
        self.reflectors.remove(&call);
        self.hear_no_more(endpoint, now, call);
        self.captures.over(now, call);
        log_end(now, call, &leg, end, diagnosis);
        match leg.state {
            State::Builtin(place) => match place.builtin {
                Builtin::Record => self.recordings.end(call),
                Builtin::Conference => self.leave_room(call),
                _ => {}
            },
            State::Parked(_) => drop(self.parking.leave(call)),
            State::Caller(caller) => {
                for called in caller.called {
                    self.book.follows(called);
                    let _ = endpoint.hangup(now, called, end.cause, None);
                }
            }
            State::Called { caller } => {
                self.called_ended(endpoint, now, caller, (call, &leg), end);
            }
            _ => {}
        }
        if leg.peer.is_none() {
            self.guests.leave(leg.came_from);
        }
    }

    /// Whether what one leg says of who is connected is passed to another: old systems end a call
    /// because of it, so both peers must be known to understand it.
    fn tells_parties(&self, from: CallId, to: CallId) -> bool {
        let rule = |call: CallId| {
            let name = self.legs.get(&call)?.peer.as_ref()?;
            Some(self.config.peers.get(name)?.connected_line)
        };
        rule(from).is_some_and(|rule| rule.receives) && rule(to).is_some_and(|rule| rule.sends)
    }

    /// A leg's time is up.
    fn end_overdue(&mut self, endpoint: &mut Endpoint, now: Instant) {
        while let Some(call) = self.ends.pop_due(now) {
            let Some(leg) = self.legs.get(&call) else { continue };
            let _inside = leg.span.clone().entered();
            let cause = match leg.state {
                State::Parked(_) => {
                    self.return_parked(endpoint, now, call);
                    continue;
                }
                // It has rung long enough.
                State::Called { .. } | State::Originated(_) => CauseCode::NO_ANSWER,
                _ => leg.marks.refused_with.unwrap_or(CauseCode::NORMAL_CLEARING),
            };
            let _ = endpoint.hangup(now, call, cause, None);
        }
    }
}
