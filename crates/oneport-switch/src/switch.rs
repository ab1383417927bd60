//! The switch: identifies callers, routes their calls, keeps registrations.

mod device;
mod dialling;
mod drain;
mod extensions;
mod forwarding;
mod holding;
mod hunting;
mod meeting;
mod notice;
mod noting;
mod parking;
mod records;
mod reload;
pub(crate) mod snapshot;
mod transfer;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use oneport::Application;
use oneport_media::Codec;
use oneport_proto::{
    Agreement, CallEnd, CallId, Challenge, CodecPriority, CommandError, DropNotice, DropReason,
    EndReason, Endpoint, Event, Grant, Instant, Limit, Media, Offer, ProvisionId, Register,
    RegistrationConfig, RegistrationId, RequestId, negotiate,
};
use oneport_wire::{CauseCode, Control, Format, FormatSet, MessageCount};
use tokio::sync::watch;
use uuid::Uuid;

use crate::book::Book;
use crate::bridge;
use crate::builtin::{Builtin, FRAME_MS, Place, Player, Sound};
use crate::conference::Conferences;
use crate::config::{Config, Peer};
use crate::deadlines::Deadlines;
use crate::decoy::Decoy;
use crate::guests::Guests;
use crate::limits::{Attempt, Direction, LimitUsage, Limits, Notice};
use crate::mailbox::Mailboxes;
use crate::news::{Newsroom, What};
use crate::parking::Parking;
use crate::qualify::Qualify;
use crate::recording::Recordings;
use crate::refusal::{Reason, Stage};
use crate::registrar::{Change, Registrar};
use crate::routing::Target;
use crate::store::StoredRegistration;
use crate::tally::Tally;
use crate::trunks::{Owner, Trunks};
use crate::watch::{Bounds, Ending, Watches};

pub use drain::Life;
use forwarding::Forwarded;
use meeting::AtTheDoor;
pub use parking::ParkedCall;
use parking::{Parked, Slot, TransferredBy};

use hunting::Plan;
pub(crate) use hunting::{contexts_of, wall_time};
use noting::news_of_limit;

/// How long a player waits behind its last frame before it hangs up, so that the far end's jitter
/// buffer plays all of it.
const AFTER_PLAYBACK: Duration = Duration::from_millis(500);

/// The class of music that is played where none is named.
const DEFAULT_MUSIC: &str = "default";

/// What a peer that registers without saying for how long gets, within its limits (RFC 5456
/// §6.1.1).
const UNSAID_REFRESH: Duration = Duration::from_secs(60);

/// The switch as an application of the engine.
pub struct Switch {
    config: Config,
    /// Whether it takes calls.
    life: watch::Sender<Life>,
    registrar: Registrar,
    qualify: Qualify,
    guests: Guests,
    decoy: Decoy,
    trunks: Trunks,
    legs: HashMap<CallId, Leg>,
    /// When legs are ended from here.
    ends: Deadlines<CallId>,
    limits: Limits<LeaseId>,
    next_lease: u64,
    /// Built-in destinations that speak now.
    players: BTreeMap<CallId, Player>,
    recordings: Recordings,
    /// Answered calls that must not last too long, or be silent.
    watches: Watches<CallId>,
    conferences: Conferences,
    /// Who has not said the PIN of its conference yet.
    at_the_door: HashMap<CallId, AtTheDoor>,
    parking: Parking<CallId>,
    /// What is heard of congestion where no file is named.
    congestion: Arc<Sound>,
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
    tally: Tally,
    news: Newsroom,
    payload: Vec<u8>,
}

/// A registration of ours elsewhere.
struct Standing {
    config: RegistrationConfig,
    /// Whether it has us; `None` until it has said so or refused.
    registered: Option<bool>,
    /// For how long it last had us.
    granted: Option<Duration>,
    /// Where it sees us.
    seen_at: Option<SocketAddr>,
    /// Why it has not, in words.
    failure: Option<String>,
}

impl Standing {
    /// A registration of which the registrar has not said anything yet.
    const fn new(config: RegistrationConfig) -> Self {
        Self { config, registered: None, granted: None, seen_at: None, failure: None }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "registration as {} at {}", self.config.username, self.config.to)
    }
}

/// What a leg holds its places under limits by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct LeaseId(u64);

/// One leg of a call.
struct Leg {
    /// The call, the same for all its legs.
    id: Uuid,
    lease: LeaseId,
    /// Where it was when it came; its address may change.
    came_from: IpAddr,
    /// The peer's name; `None` for a guest.
    peer: Option<String>,
    address: SocketAddr,
    begun: Instant,
    /// Where it leads, for the log; none once the log has told of it.
    to: Option<String>,
    state: State,
    marks: Marks,
}

/// What has come over a leg.
#[derive(Debug, Default)]
struct Marks {
    /// Why this switch has ended it.
    ending: Option<Ending>,
    /// It has put its other party on hold.
    holds: bool,
    /// Its voice goes straight to the far end of its other leg.
    direct: bool,
    /// Who has led it to where it is.
    transferred_by: Option<TransferredBy>,
    /// It is refused with this as soon as it has heard why.
    refused_with: Option<CauseCode>,
    /// It was called, and has said that it rings.
    rings: bool,
    /// When the call of this caller was answered.
    answered: Option<Instant>,
}

enum State {
    /// The caller must prove who it is.
    Identifying(Box<Offer>),
    /// It dials digit by digit.
    Dialling { offer: Box<Offer>, format: Format },
    /// It has come to where it wanted.
    Builtin(Builtin),
    /// It waits for, or is linked to, another leg.
    Caller(Box<Caller>),
    /// It waits until somebody fetches it.
    Parked(Box<Parked>),
    /// We placed it for a caller, or it has fetched one that was parked.
    Called { caller: CallId },
    /// It changes from one of these to another.
    Gone,
}

/// A caller that is being bridged.
struct Caller {
    offer: Box<Offer>,
    /// Legs placed for it: several while they ring at once, one when it is answered.
    called: Vec<CallId>,
    /// Destinations not tried yet; those of one entry ring at once.
    left: VecDeque<Vec<Target>>,
    /// How long one of them may ring.
    timeout: Option<Duration>,
    /// Causes behind which the next is tried, beside the usual ones.
    continue_on: Vec<CauseCode>,
    /// Whether its route may lead back to where it came from.
    may_return: bool,
    accepted: Option<Format>,
    answered: bool,
    /// What its route holds it to.
    bounds: Bounds,
    forwarded: Forwarded,
    /// What it hears where there is no room.
    notice: Option<Arc<Sound>>,
}

impl Leg {
    fn other(&self) -> Option<CallId> {
        match &self.state {
            State::Caller(caller) => match *caller.called {
                [called] => Some(called),
                _ => None,
            },
            State::Called { caller } => Some(*caller),
            _ => None,
        }
    }

    /// Who it is, for the log.
    fn who(&self) -> String {
        match &self.peer {
            Some(name) => format!("{name} ({})", self.address),
            None => format!("guest {}", self.address),
        }
    }
}

impl Switch {
    /// A switch that has heard of nobody yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut decoy = Decoy::default();
        decoy.learn(&config);
        Self {
            limits: Limits::new(config.limits.clone()),
            next_lease: 0,
            config,
            life: watch::Sender::default(),
            registrar: Registrar::default(),
            qualify: Qualify::default(),
            guests: Guests::default(),
            decoy,
            trunks: Trunks::default(),
            ends: Deadlines::default(),
            legs: HashMap::new(),
            players: BTreeMap::new(),
            recordings: Recordings::start(),
            watches: Watches::default(),
            conferences: Conferences::default(),
            at_the_door: HashMap::new(),
            parking: Parking::default(),
            congestion: Arc::new(Sound::congestion()),
            book: Book::default(),
            restored: Vec::new(),
            requests: HashMap::new(),
            registrations: HashMap::new(),
            provisions: HashMap::new(),
            mailboxes: Mailboxes::default(),
            told: BTreeMap::new(),
            look_at_mailboxes: None,
            tally: Tally::default(),
            news: Newsroom::default(),
            payload: Vec::new(),
        }
    }

    /// What is in use of each limit.
    pub fn limit_usage(&mut self, now: Instant) -> Vec<LimitUsage> {
        self.limits.usage(now)
    }

    /// A call comes in: who is it?
    fn offered(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        mut offer: Box<Offer>,
    ) {
        // Both go into logs, and no peer or number has control characters.
        offer.called_number = printable(&offer.called_number);
        offer.username = offer.username.as_deref().map(printable);
        let id = self.book.offered(now, call, &offer);
        if self.refuse_draining(endpoint, now, call, &offer) {
            return;
        }
        let address = offer.path.remote;
        let to = Some(offer.called_number.clone());
        let lease = self.new_lease();
        let leg = |peer, state| Leg {
            id,
            lease,
            came_from: address.ip(),
            peer,
            address,
            begun: now,
            to,
            state,
            marks: Marks::default(),
        };
        let Some(username) = offer.username.clone() else {
            let peer = self.peer_at(address);
            self.legs.insert(call, leg(peer, State::Identifying(offer)));
            return self.identified(endpoint, now, call);
        };
        let known = self.config.peers.get(&username);
        let known = known.filter(|peer| peer.permits(address.ip()));
        let challenge = match known {
            Some(peer) if !peer.has_proof() => {
                // It is known by its address alone.
                if peer.address.map(|own| own.ip()) == Some(address.ip()) {
                    self.legs.insert(call, leg(Some(username), State::Identifying(offer)));
                    return self.identified(endpoint, now, call);
                }
                self.decoy.challenge(&username)
            }
            Some(peer) => challenge(peer, &username),
            None => self.decoy.challenge(&username),
        };
        self.legs.insert(call, leg(Some(username), State::Identifying(offer)));
        match endpoint.challenge_call(now, call, challenge) {
            Ok(()) => {}
            Err(error @ CommandError::EncryptionNotOffered) => {
                let why = format!("{error}: set encryption=yes there, or encryption = \"allowed\"");
                let reason =
                    Reason::new(Stage::Identification, "encryption_not_offered", error.to_string())
                        .decided_by("encryption", "required")
                        .fix("set encryption=yes there, or encryption = \"allowed\" here");
                self.book.because(call, reason);
                self.refuse(endpoint, now, call, CauseCode::FACILITY_NOT_SUBSCRIBED, &why);
            }
            Err(error) => {
                let cause = CauseCode::SWITCH_CONGESTION;
                let reason =
                    Reason::new(Stage::Identification, "too_many_proofs", error.to_string())
                        .decided_by("server.max_challenges_per_user", error.to_string());
                self.book.because(call, reason);
                self.refuse(endpoint, now, call, cause, &error.to_string());
            }
        }
    }

    fn new_lease(&mut self) -> LeaseId {
        self.next_lease += 1;
        LeaseId(self.next_lease)
    }

    /// Forgets a leg and gives back its places.
    fn remove_leg(&mut self, now: Instant, call: CallId) -> Option<Leg> {
        let leg = self.legs.remove(&call)?;
        self.ends.clear(&call);
        self.trunks.set(Owner::Call(call), None);
        self.legs_have_changed();
        self.watches.end(call);
        self.limits.release(now, leg.lease);
        self.tell_of_limits();
        Some(leg)
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

    /// The peer that is known to be at `address` and has no secret. Where none has this port, as
    /// behind a NAT, it is the one that has the IP address, if there is only one.
    fn peer_at(&self, address: SocketAddr) -> Option<String> {
        let known = self.config.peers.iter().filter_map(|(name, peer)| {
            let own = peer.address.filter(|own| own.ip() == address.ip())?;
            (!peer.has_proof() && peer.permits(address.ip())).then_some((name, own))
        });
        let known: Vec<_> = known.collect();
        let exact = known.iter().find(|(_, own)| *own == address);
        let only = known.first().filter(|_| known.len() == 1);
        exact.or(only).map(|(name, _)| (*name).clone())
    }

    /// The caller is who it says: where does it want to go?
    fn identified(&mut self, endpoint: &mut Endpoint, now: Instant, call: CallId) {
        let Some(leg) = self.legs.get_mut(&call) else { return };
        let State::Identifying(offer) = &leg.state else { return };
        let mut offer = offer.clone();
        let peer = leg.peer.clone();
        let known = peer.as_ref().and_then(|name| self.config.peers.get(name));
        if let Some(peer) = known {
            peer.caller_id.apply(&mut offer);
        }
        // It may be the middle that lets us go, as we may be for it.
        let transfers = known.is_some_and(|peer| peer.transfer.is_some());
        let _ = endpoint.allow_transfer(call, transfers);
        if let Some(trunk) = known.and_then(|peer| peer.trunk) {
            self.trunks.set(Owner::Call(call), Some((leg.address, trunk)));
            self.trunks.apply(endpoint);
        }
        if peer.is_none() {
            let limits = &self.config.guests;
            if let Err(why) = self.guests.enter(limits, leg.address.ip()) {
                let cause = CauseCode::REJECTED;
                // It is not among the guests, so it must not be counted out.
                let path = offer.path;
                self.remove_leg(now, call);
                let reason = Reason::new(Stage::Limit, "guests", why.to_string())
                    .decided_by("guests", why.to_string())
                    .fix("raise the limits of [guests], or give the caller a peer with a secret");
                self.book.refused_for(call, cause, reason);
                tracing::info!("{call}: guest {path} refused, {cause}: {why}");
                let _ = endpoint.reject(now, call, cause, Some("not allowed"));
                return;
            }
            self.ends.set(call, now + limits.duration);
        }
        if let Some(name) = &peer {
            self.set_up(endpoint, now, name, offer.path.remote, &offer.device);
        }
        if let Err((cause, why)) = self.begin_record(endpoint, call) {
            return self.refuse(endpoint, now, call, cause, &why);
        }
        self.call_begun(call, &offer.called_number);
        self.route(endpoint, now, call, peer, offer, None);
    }

    /// Leads a call to where its number says, by the rights of `peer`. `accepted` is its format, if
    /// it has one already.
    fn route(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        peer: Option<String>,
        offer: Box<Offer>,
        accepted: Option<Format>,
    ) {
        let number = offer.called_number.as_str();
        let plan = match peer.as_deref().map(|peer| self.plan(peer, &offer)) {
            Some(Err(why)) => {
                let rule = format!("peers.{}.contexts", peer.as_deref().unwrap_or_default());
                let reason = Reason::new(Stage::Route, "context", why.clone())
                    .decided_by(rule.clone(), offer.called_context.clone().unwrap_or_default())
                    .fix(format!("add the context to {rule}, or ask for none at the other end"));
                self.book.because(call, reason);
                return self.refuse(endpoint, now, call, CauseCode::NO_ROUTE, &why);
            }
            Some(Ok(plan)) => plan,
            None => None,
        };
        let Some(leg) = self.legs.get_mut(&call) else { return };
        let Plan { mut left, timeout, continue_on, route, may_return, bounds, notice } =
            plan.unwrap_or_default();
        let attempt = Attempt {
            peer: leg.peer.as_deref(),
            direction: Direction::In,
            number,
            route: route.as_deref(),
        };
        self.book.routed(call, number, route.as_deref());
        let taken = self.limits.take(now, leg.lease, &attempt);
        self.tell_of_limits();
        let extension = peer.as_deref().filter(|_| left.is_empty()).and_then(|peer| {
            let contexts = contexts_of(&self.config, peer, offer.called_context.as_deref()).ok()?;
            self.extension(now, &contexts, number).map(ToString::to_string)
        });
        let Some(leg) = self.legs.get_mut(&call) else { return };
        if let Err(full) = taken {
            self.book.because(call, records::full_limit(&full));
            if let Some(heard) = full.notice.clone().or(notice)
                && self.notify(endpoint, now, call, full.cause, heard)
            {
                return self.tell_refusal(call, full.cause, &full.to_string());
            }
            return self.refuse(endpoint, now, call, full.cause, &full.to_string());
        }
        if left.is_empty() {
            if let Some(name) = extension {
                left.push_back(vec![Target::Peer { name, number: number.into() }]);
            } else if let Some(place) = Place::find(number) {
                left.push_back(vec![Target::Builtin(place)]);
            } else if peer.is_some() && self.config.peers.contains_key(number) {
                left.push_back(vec![Target::Peer { name: number.into(), number: number.into() }]);
            }
        }
        if number == dialling::TO_BE_DIALLED && accepted.is_none() && peer.is_some() {
            // It dials digit by digit: accepted now, led on when it has dialled.
            return self.begin_dialling(endpoint, now, call);
        }
        match left.front().map(Vec::as_slice) {
            None if peer.is_none() => {
                let why = "guests reach echo and milliwatt only; give the caller a peer with a \
                           secret";
                self.refuse(endpoint, now, call, CauseCode::NO_ROUTE, why);
            }
            None => self.refuse(endpoint, now, call, CauseCode::NO_ROUTE, "no route"),
            Some([Target::Builtin(place)]) if peer.is_none() && !place.builtin.is_for_guests() => {
                let why = "guests reach echo and milliwatt only; give the caller a peer with a \
                           secret";
                self.refuse(endpoint, now, call, CauseCode::REJECTED, why);
            }
            Some(_) => {
                let called = Vec::new();
                let answered = false;
                let caller = Caller {
                    offer,
                    called,
                    left,
                    timeout,
                    continue_on,
                    may_return,
                    accepted,
                    answered,
                    bounds,
                    forwarded: Forwarded::default(),
                    notice,
                };
                leg.state = State::Caller(Box::new(caller));
                self.try_next(endpoint, now, call, CauseCode::NO_ROUTE);
            }
        }
    }

    /// Answers a call here.
    fn enter_builtin(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        place: &Place,
    ) -> Result<(), (CauseCode, String)> {
        let builtin = place.builtin;
        let Some(leg) = self.legs.get(&call) else { return Ok(()) };
        let State::Caller(caller) = &leg.state else { return Ok(()) };
        // What the route names goes before what was dialled.
        let dialled = Place::find(&caller.offer.called_number);
        let dialled = dialled.filter(|dialled| dialled.builtin == builtin);
        let argument = place.argument.clone().or_else(|| dialled?.argument);
        let slot = match builtin {
            Builtin::Park => Some(self.parking_slot(call, argument.as_deref())?),
            _ => None,
        };
        if let Some(Slot::Taken(waits)) = slot {
            return self.fetch(endpoint, now, call, waits);
        }
        let room = match builtin {
            Builtin::Conference => Some(self.room_for_one(argument.as_deref())?),
            _ => None,
        };
        let peer = leg.peer.as_ref().and_then(|name| self.config.peers.get(name));
        let format = caller.accepted.or_else(|| {
            let mut ours = peer.map_or_else(default_formats, |peer| peer.codecs.clone());
            if builtin.needs_codec() {
                ours.retain(|format| Codec::for_format(*format).is_some());
            }
            let priority = peer.map_or(CodecPriority::Host, |peer| peer.priority);
            negotiate(priority, &ours, &caller.offer)
        });
        let no_codec = || (CauseCode::BEARER_NOT_AVAILABLE, "no common codec".to_string());
        let format = format.ok_or_else(no_codec)?;
        let codec = Codec::for_format(format);
        let (bounds, accepted) = (caller.bounds.clone(), caller.accepted.is_some());
        let files = &self.config.files;
        let player = match (builtin, codec) {
            (Builtin::Milliwatt, Some(codec)) => Some(Player::milliwatt(codec, now)),
            (Builtin::Playback, Some(codec)) => {
                let player =
                    Player::playback(codec, now, files.playback.as_deref(), argument.as_deref());
                Some(player.map_err(|why| (CauseCode::UNALLOCATED, why))?)
            }
            (Builtin::Music, Some(codec)) => {
                let name = argument.as_deref().unwrap_or(DEFAULT_MUSIC);
                let no_music = || (CauseCode::UNALLOCATED, format!("there is no music `{name}`"));
                let class = self.config.music.get(name).cloned().ok_or_else(no_music)?;
                Some(Player::music(codec, now, class))
            }
            (Builtin::Congestion, Some(codec)) => {
                Some(Player::sound(codec, now, self.congestion.clone()))
            }
            (Builtin::Park, Some(codec)) => self.parking_music(now, codec),
            (Builtin::Echo | Builtin::Park, _)
            | (Builtin::Record | Builtin::Conference, Some(_)) => None,
            _ => return Err(no_codec()),
        };
        let video = match (builtin, peer) {
            (Builtin::Echo, Some(peer)) => peer.video,
            _ => FormatSet::EMPTY,
        };
        let _ = endpoint.allow_video(call, video);
        let Some(leg) = self.legs.get_mut(&call) else { return Ok(()) };
        tracing::debug!("{call}: {} calls {builtin}, {format}", leg.who());
        leg.to = Some(match &argument {
            Some(argument) => format!("{builtin}/{argument}, {format}"),
            None => format!("{builtin}, {format}"),
        });
        if !accepted {
            // The caller may have gone; then its end follows.
            let _ = endpoint.accept(now, call, format);
        }
        let _ = endpoint.answer(now, call);
        let state = std::mem::replace(&mut leg.state, State::Builtin(builtin));
        self.book.led_to(call, format!("builtin:{builtin}"));
        self.book.answered(now, call);
        let mut bounds = peer.map(|peer| peer.bounds.clone()).unwrap_or_default().and(bounds);
        if player.is_some() || builtin == Builtin::Park {
            // Who listens need not speak.
            bounds.silence = None;
        }
        self.watches.begin(now, call, bounds);
        if let Some(player) = player {
            self.players.insert(call, player);
        }
        match (builtin, codec) {
            (Builtin::Echo, _) => drop(endpoint.link(call, call)),
            (Builtin::Record, Some(codec)) => {
                self.ends.set(call, now + files.longest_recording);
                self.recordings.begin(call, codec, files.record.clone());
            }
            (Builtin::Conference, Some(codec)) => {
                self.come_to_room(endpoint, now, call, room.unwrap_or_default(), codec);
            }
            (Builtin::Park, _) => {
                if let (Some(Slot::Free(slot)), State::Caller(caller)) = (slot, state) {
                    self.park(now, call, slot, Parked { caller, format });
                }
            }
            _ => {}
        }
        self.call_answered(now, call);
        Ok(())
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
        self.tell_refusal(call, cause, why);
        self.end_untaken(endpoint, now, call, cause, None);
    }

    /// Logs that a caller's leg is refused; its end is not told again.
    fn tell_refusal(&mut self, call: CallId, cause: CauseCode, why: &str) {
        if let Some(leg) = self.legs.get_mut(&call) {
            let to = leg.to.take().unwrap_or_default();
            let (id, who) = (leg.id, leg.who());
            tracing::info!(call = %id, "{call}: {who} to {to}: refused, {cause}: {why}");
        }
        self.call_refused(call, cause, why);
        self.book.refused_for(call, cause, records::no_way_on(cause, why));
    }

    fn ended(&mut self, endpoint: &mut Endpoint, now: Instant, call: CallId, end: &CallEnd) {
        let Some(leg) = self.remove_leg(now, call) else { return };
        self.players.remove(&call);
        log_end(now, call, &leg, end);
        match leg.state {
            State::Builtin(Builtin::Record) => self.recordings.end(call),
            State::Builtin(Builtin::Conference) => self.leave_room(call),
            State::Parked(_) => drop(self.parking.leave(call)),
            State::Caller(caller) => {
                for called in caller.called {
                    self.book.follows(called);
                    let _ = endpoint.hangup(now, called, end.cause, None);
                }
            }
            State::Called { caller } => {
                self.called_ended(endpoint, now, caller, call, leg.peer.as_deref(), end);
            }
            _ => {}
        }
        if leg.peer.is_none() {
            self.guests.leave(leg.came_from);
        }
    }

    fn register_requested(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        request: RequestId,
        mut register: Register,
    ) {
        register.username = printable(&register.username);
        let known = self.config.peers.get(&register.username);
        let known = known.filter(|peer| peer.permits(register.path.remote.ip()));
        let challenge = match known {
            Some(peer) if peer.has_proof() => challenge(peer, &register.username),
            // Who does not exist, may not come from there, or never registers, is asked all the
            // same: strangers do not learn which names exist.
            _ => self.decoy.challenge(&register.username),
        };
        if endpoint.challenge_request(now, request, challenge).is_ok() {
            self.requests.insert(request, register);
        } else {
            let _ = endpoint.refuse(now, request);
        }
    }

    /// Does what a peer has asked for that has proved who it is, and says so.
    fn grant_registration(&mut self, endpoint: &mut Endpoint, now: Instant, request: RequestId) {
        let Some(register) = self.requests.get(&request) else { return };
        let Some(peer) = self.config.peers.get(&register.username) else {
            // It is gone since it asked.
            let name = register.username.clone();
            self.book.forget_registration(&name);
            let _ = endpoint.refuse(now, request);
            return;
        };
        let (least, most) = peer.refresh;
        let refresh = register.refresh.unwrap_or(UNSAID_REFRESH).clamp(least, most);
        let (name, address) = (register.username.as_str(), register.path.remote);
        if register.release {
            self.qualify.forget(name);
            if !self.registrar.release(name) {
                // It has expired since it asked.
                let _ = endpoint.refuse(now, request);
                return;
            }
            self.trunks.set(Owner::Registered(name.into()), None);
            tracing::info!("{name} unregistered from {address}");
            self.news.tell(|| What::Registration { peer: name.into(), address: None });
        } else {
            let seconds = refresh.as_secs();
            let change = self.registrar.bind(now, name, address, refresh);
            if let Some(qualify) = peer.qualify {
                self.qualify.watch(now, name, address, qualify);
                self.qualify.poll(endpoint, now);
            }
            let trunk = peer.trunk.map(|trunk| (address, trunk));
            self.trunks.set(Owner::Registered(name.into()), trunk);
            match change {
                Change::New => tracing::info!("{name} registered at {address} for {seconds} s"),
                Change::Moved { from } => tracing::info!("{name} moved from {from} to {address}"),
                Change::Renewed => tracing::debug!("{name} renewed at {address}"),
            }
            if change != Change::Renewed {
                let address = Some(address.to_string());
                self.news.tell(|| What::Registration { peer: name.into(), address });
            }
        }
        let date_time = Some(oneport::date_time());
        let messages = self.mailboxes.messages(name);
        if let Some(messages) = messages {
            self.told.insert(name.into(), messages);
        }
        let (name, release) = (name.to_string(), register.release);
        let device = register.device.clone();
        let grant = Grant { refresh, messages, date_time, ..Grant::default() };
        let _ = endpoint.grant(now, request, &grant);
        if !release {
            self.set_up(endpoint, now, &name, address, &device);
        }
    }

    fn register_ended(&mut self, request: RequestId, outcome: oneport_proto::RequestOutcome) {
        use oneport_proto::RequestOutcome;
        let Some(register) = self.requests.remove(&request) else { return };
        if outcome == RequestOutcome::AuthenticationFailed {
            let Register { username, path, .. } = register;
            let peer = self.config.peers.get(&username);
            let why = records::unproved(&username, peer, path.remote.ip()).why;
            tracing::warn!("registration of {username} from {path} refused: {why}");
            self.registration_refused(path, &why);
        }
    }

    /// A registrar has answered; `change` notes what it said.
    fn registration_changed(
        &mut self,
        id: RegistrationId,
        what: &str,
        change: impl FnOnce(&mut Standing),
    ) {
        let Some(standing) = self.registrations.get_mut(&id) else { return };
        let before = standing.registered;
        change(standing);
        if standing.registered != before {
            tracing::info!("{standing}: {what}");
            let standing: &Standing = standing;
            self.news.tell(|| What::RegistrationElsewhere {
                registrar: standing.config.to.to_string(),
                username: standing.config.username.clone(),
                registered: standing.registered == Some(true),
                what: what.into(),
            });
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
            let cause = match leg.state {
                State::Parked(_) => {
                    self.return_parked(endpoint, now, call);
                    continue;
                }
                // It has rung long enough.
                State::Called { .. } => CauseCode::NO_ANSWER,
                _ => leg.marks.refused_with.unwrap_or(CauseCode::NORMAL_CLEARING),
            };
            let _ = endpoint.hangup(now, call, cause, None);
        }
    }

    fn play(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let mut done = Vec::new();
        for (call, player) in &mut self.players {
            while player.next <= now {
                if !player.frame(now, &mut self.payload) {
                    done.push((*call, player.hangs_up));
                    break;
                }
                let format = player.codec.format();
                // The call may have ended; then its end follows.
                let _ = endpoint.send_voice(now, *call, format, &self.payload, FRAME_MS);
            }
        }
        for (call, hangs_up) in done {
            self.players.remove(&call);
            if hangs_up && self.legs.contains_key(&call) {
                self.ends.set(call, now + AFTER_PLAYBACK);
            }
        }
    }
}

/// Text of a stranger as it may stand in a log: on one line, and as it is.
fn printable(text: &str) -> String {
    let plain = |character: char| if character.is_control() { '\u{FFFD}' } else { character };
    text.chars().map(plain).collect()
}

/// What a guest may speak.
fn default_formats() -> Vec<Format> {
    vec![Format::ULAW, Format::ALAW, Format::SLIN, Format::SLIN16, Format::GSM, Format::G722]
}

fn challenge(peer: &Peer, username: &str) -> Challenge {
    Challenge {
        methods: peer.methods,
        secrets: peer.secrets.clone(),
        keys: peer.keys.clone(),
        encryption: peer.encryption,
        ..Challenge::unknown(username)
    }
}

/// Why somebody was turned away, and what mends it.
fn refusal_line(reason: DropReason, limit: Option<Limit>, untold: u64) -> String {
    let limit = limit.map(|limit| format!(" ({limit})")).unwrap_or_default();
    let remedy = reason.remedy().map(|remedy| format!("; {remedy}")).unwrap_or_default();
    let more = match untold {
        0 => String::new(),
        untold => format!("; {untold} others before it went untold"),
    };
    format!("{}{limit}{remedy}{more}", reason.sentence())
}

/// One line for each call, told by its caller's leg. Called legs are told on request.
fn log_end(now: Instant, call: CallId, leg: &Leg, end: &CallEnd) {
    let seconds = now.since(leg.begun).as_secs_f64();
    let text = end.text.as_deref().map(|text| format!(" ({text:?})")).unwrap_or_default();
    let who = leg.who();
    if leg.to.is_none()
        && let State::Called { .. } = leg.state
    {
        let how = end.reason.sentence();
        tracing::debug!(call = %leg.id, "{call}: {who} ended after {seconds:.1} s: {how}, {}{text}", end.cause);
        return;
    }
    let Some(to) = &leg.to else { return };
    if end.reason == EndReason::AuthenticationFailed {
        let (why, remedy) = (end.reason.sentence(), end.reason.remedy().unwrap_or_default());
        let cause = end.cause;
        tracing::warn!(call = %leg.id, "{call}: {who} to {to}: refused, {cause}: {why}; {remedy}");
        return;
    }
    let how = match &leg.marks.ending {
        Some(ending) => ending.to_string(),
        None => end.reason.sentence().into(),
    };
    let heard = &end.stats.received;
    let there = end
        .stats
        .remote
        .map(|there| format!("; heard there {} frames, {} lost", there.frames, there.lost));
    // What is as it should be needs no words.
    let agreement = match end.stats.agreement {
        Agreement::Unreported | Agreement::Agrees => String::new(),
        agreement => format!("; {agreement}"),
    };
    tracing::info!(
        call = %leg.id,
        "{call}: {who} to {to}: {seconds:.1} s, {}, {}{text}; heard {} frames, {} lost, {} late, \
         {} out of order, {} twice, jitter {:.1} ms; sent {}{}{agreement}",
        how,
        end.cause,
        heard.frames,
        heard.lost,
        heard.late,
        heard.out_of_order,
        heard.duplicates,
        heard.jitter.as_secs_f64() * 1e3,
        end.stats.sent_frames,
        there.unwrap_or_default(),
    );
}

impl Application for Switch {
    fn start(&mut self, endpoint: &mut Endpoint, now: Instant) {
        for (name, peer) in &self.config.peers {
            if let (Some(address), Some(qualify)) = (peer.address, peer.qualify) {
                self.qualify.watch(now, name, address, qualify);
            }
            self.trunks.set(Owner::Configured(name.clone()), peer.address.zip(peer.trunk));
        }
        self.trunks.apply(endpoint);
        self.watch_mailboxes(now);
        self.restore_registrations(endpoint, now);
        for registration in self.config.registrations.clone() {
            let id = endpoint.register(now, registration.clone());
            self.registrations.insert(id, Standing::new(registration));
        }
    }

    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        let other = |call: CallId| self.legs.get(&call).and_then(Leg::other);
        match event {
            Event::CallOffered { call, offer } => self.offered(endpoint, now, call, offer),
            Event::CallAuthenticated { call, .. } => self.identified(endpoint, now, call),
            Event::CallAccepted { call, format } => {
                self.called_accepted(endpoint, now, call, format);
            }
            Event::CallProgress { call, progress } => {
                if let Some(other) = other(call) {
                    bridge::pass_progress(endpoint, now, other, progress);
                }
                self.call_progress(call, progress);
            }
            Event::CallAnswered { call } => self.called_answered(endpoint, now, call),
            Event::Dtmf { call, digit, phase } if self.is_in_room(call) => {
                self.key_in_room(endpoint, now, call, digit, phase);
            }
            Event::Dtmf { call, digit, phase } => {
                if let Some(other) = other(call) {
                    bridge::pass_digit(endpoint, now, other, digit, phase);
                }
            }
            Event::Text { call, text } => {
                if let Some(other) = other(call) {
                    let result = endpoint.send_text(now, other, &text);
                    bridge::passed(endpoint, other, result);
                }
            }
            Event::Control {
                call,
                control: control @ (Control::ConnectedLine | Control::Redirecting),
                payload,
            } => {
                if let Some(other) = other(call).filter(|other| self.tells_parties(call, *other)) {
                    let _ = endpoint.send_control(now, other, control, &payload);
                }
            }
            Event::Control { call, control: Control::Hold, payload } => {
                let class = String::from_utf8_lossy(&payload);
                self.hold(endpoint, now, call, class.trim_end_matches('\0'));
            }
            Event::Control { call, control: Control::Unhold, .. } => {
                self.unhold(endpoint, now, call);
            }
            Event::Quelched { call, quelched, music } => {
                self.quelched(endpoint, now, call, quelched.then(|| music.unwrap_or_default()));
            }
            Event::Control { call, control, payload } => {
                if let Some(other) = other(call) {
                    bridge::pass_control(endpoint, now, other, control, &payload);
                }
            }
            Event::Keyed { call, data } => {
                if let Some(other) = other(call) {
                    let _ = endpoint.key(now, other, &data);
                }
            }
            Event::Unkeyed { call } => {
                if let Some(other) = other(call) {
                    let _ = endpoint.unkey(now, other);
                }
            }
            Event::Frame { call, frame_type, subclass, .. } if other(call).is_none() => {
                let _ = endpoint.refuse_html(now, call, frame_type, subclass);
            }
            Event::Frame { call, frame_type, subclass, payload } => {
                if let Some(other) = other(call) {
                    let result = endpoint.send_frame(now, other, frame_type, subclass, &payload);
                    bridge::passed(endpoint, other, result);
                }
            }
            Event::DialplanQueried { call, number } => {
                self.dialplan_queried(endpoint, now, call, &number);
            }
            Event::Dialled { call, number, context } => {
                self.dialled(endpoint, now, call, printable(&number), context);
            }
            Event::TransferRequested { call, number, context } => {
                self.blind_transfer(endpoint, now, call, printable(&number), context);
            }
            Event::CallMoved { call, from, to } => {
                self.book.moved(call, to.remote);
                if let Some(leg) = self.legs.get_mut(&call) {
                    leg.address = to.remote;
                    tracing::info!("{call}: moved from {from} to {to}");
                }
            }
            Event::Pong { poke, rtt } => {
                self.tally.rtt.note(rtt, None);
                if let Some((name, status)) = self.qualify.result(now, poke, Some(rtt)) {
                    tracing::info!("{name} is {status}");
                    self.news.tell(|| What::Peer { peer: name, state: status.into() });
                }
            }
            Event::PokeTimedOut { poke } => {
                if let Some((name, status)) = self.qualify.result(now, poke, None) {
                    tracing::warn!("{name} is {status}");
                    self.news.tell(|| What::Peer { peer: name, state: status.into() });
                }
            }
            Event::MediaTransferred { call } => {
                self.media_is_elsewhere(call);
                tracing::debug!("{call}: its voice goes straight to the other end");
            }
            Event::TransferFailed { call, failure } => {
                tracing::debug!("{call}: stays here: {}", failure.sentence());
            }
            Event::CallEnded { call, end } => {
                self.call_over(now, call, &end);
                self.end_record(now, call, &end);
                self.ended(endpoint, now, call, &end);
            }
            Event::RegisterRequested { request, register } => {
                self.register_requested(endpoint, now, request, *register);
            }
            Event::RegisterAuthenticated { request, .. } => {
                self.register_proved(endpoint, now, request);
            }
            Event::RegisterEnded { request, outcome } => self.register_ended(request, outcome),
            Event::Registered { registration, refresh, apparent_address, .. } => {
                let what = format!("registered for {} s", refresh.as_secs());
                self.registration_changed(registration, &what, |standing| {
                    standing.registered = Some(true);
                    (standing.granted, standing.seen_at) = (Some(refresh), apparent_address);
                    standing.failure = None;
                });
            }
            Event::RegistrationFailed { registration, failure, retry_in } => {
                let again = retry_in.as_secs();
                let what = format!("failed: {failure}; again every {again} s or more");
                self.registration_changed(registration, &what, |standing| {
                    standing.registered = Some(false);
                    standing.failure = Some(failure.to_string());
                });
            }
            Event::ProvisionEnded { provision, outcome } => self.set_up_ended(provision, &outcome),
            Event::Refused { from, username, reason, limit, untold } => {
                let who = username.as_deref().map_or_else(|| "guest".into(), printable);
                let line = refusal_line(reason, limit, untold);
                let refusal = records::turned_away(reason, limit);
                self.book.turned_away(from.remote, username.as_deref(), refusal);
                tracing::warn!("{who} at {from} refused: {line}");
                self.opening_refused(&who, from, reason);
            }
            _ => {}
        }
        self.trunks.apply(endpoint);
    }

    fn handle_notice(&mut self, notice: &DropNotice) {
        let leg = notice.call.and_then(|call| self.legs.get(&call));
        let who = leg.map(|leg| format!(" ({})", leg.who())).unwrap_or_default();
        if notice.reason.is_ordinary() {
            tracing::debug!("{notice}{who}");
        } else {
            tracing::warn!("{notice}{who}");
        }
    }

    fn handle_media(&mut self, call: CallId, media: Media<'_>) {
        if let Some(State::Builtin(Builtin::Record)) = self.legs.get(&call).map(|leg| &leg.state) {
            self.recordings.frame(call, media.timestamp.0, media.payload);
        } else if self.is_in_room(call) {
            self.conferences.hear(call, media.format, media.timestamp.0, media.payload);
        }
    }

    fn poll_drops(&mut self) -> Option<(DropReason, u64, Option<CallId>)> {
        let (call, count) = self.recordings.poll_left_out()?;
        Some((DropReason::MediaQueueFull, count, Some(call)))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let players = self.players.values().map(|player| player.next);
        let players = players.chain(self.qualify.next()).chain(self.look_at_mailboxes);
        let players = players.chain(self.watches.next()).chain(self.conferences.next());
        players.chain(self.ends.next()).chain(self.registrar.next_expiry()).min()
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.qualify.poll(endpoint, now);
        self.play(endpoint, now);
        self.mix(endpoint, now);
        self.end_overdue(endpoint, now);
        self.end_watched(endpoint, now);
        self.tell_of_messages(endpoint, now);
        for name in self.registrar.expire(now) {
            self.qualify.forget(&name);
            self.trunks.set(Owner::Registered(name.clone()), None);
            tracing::info!("registration of {name} expired");
            self.news.tell(|| What::Registration { peer: name, address: None });
        }
        self.trunks.apply(endpoint);
    }
}
