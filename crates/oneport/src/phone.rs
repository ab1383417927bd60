//! A telephone: places and takes calls, registers, asks peers whether they are there.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use oneport_proto::{
    CallId, CodecPriority, CommandError, Counters, DropReason, Endpoint, EndpointConfig, Event,
    FirmwareFailure, FirmwareId, Instant, Media, NewCall, Place, PokeId, ProvisionId,
    ProvisionOutcome, RegistrationConfig, RegistrationId, Settings, TransferKind, Video, negotiate,
};
use oneport_wire::{CauseCode, ConnectedLine, Control, Format, Redirecting, Str, frame_type};
use thiserror::Error;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::audio::Heard;
use crate::call::{Call, CallError, CallEvent, IncomingCall};
use crate::driver::{Application, Driver, DriverConfig, StartError, Stopped};
use crate::registration::{Registration, RegistrationEvent};
use crate::video::VideoFrame;
use crate::wall_clock::date_time;

/// Offered calls kept for an application that does not look at them; more are turned away.
const OFFERS: usize = 1_024;

/// Events kept for an application that does not read those of a call or registration.
const EVENTS: usize = 256;

/// The same of settings.
const PROVISIONS: usize = 4;

/// What a phone is told at its start.
///
/// ```
/// use oneport::{Format, PhoneConfig};
///
/// let listen = vec!["127.0.0.1:4569".parse()?];
/// let formats = vec![Format::G722, Format::ULAW];
/// let config = PhoneConfig { listen, formats, ..PhoneConfig::default() };
/// assert_eq!(config.formats[0], Format::G722);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PhoneConfig {
    /// Addresses to listen on. By default any port, on IPv4 and, where the system has it, IPv6.
    pub listen: Vec<SocketAddr>,
    /// What it speaks, best first: µ-law and A-law. Video among it means that calls it takes may
    /// carry that; those it places carry what their [`NewCall`] offers.
    pub formats: Vec<Format>,
    /// Whose preference counts for calls it takes.
    pub codec_priority: CodecPriority,
    /// The engine's limits and timers.
    pub endpoint: EndpointConfig,
}

impl Default for PhoneConfig {
    fn default() -> Self {
        let mut listen = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))];
        let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        if crate::socket::bind(v6).is_ok() {
            listen.push(v6);
        }
        Self {
            listen,
            formats: vec![Format::ULAW, Format::ALAW],
            codec_priority: CodecPriority::Host,
            endpoint: EndpointConfig::default(),
        }
    }
}

/// A telephone on one UDP port. Dropping it, and what came of it, ends its calls.
///
/// ```
/// use oneport::{NewCall, Phone, PhoneConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let here = || PhoneConfig { listen: vec![([127, 0, 0, 1], 0).into()], ..PhoneConfig::default() };
/// let (ann, bob) = (Phone::bind(here())?, Phone::bind(here())?);
///
/// let mut call = ann.call(bob.local_addresses()[0], NewCall::to("600")).await?;
/// let incoming = bob.incoming().await.ok_or("bob has stopped")?;
/// assert_eq!(incoming.offer().called_number, "600");
/// let _answered = incoming.answer().await?;
/// println!("they speak {}", call.answered().await?);
/// # Ok(())
/// # }
/// ```
pub struct Phone {
    driver: Driver<Lines>,
    offers: Mutex<mpsc::Receiver<OfferedCall>>,
    provisions: Mutex<mpsc::Receiver<OfferedProvision>>,
}

/// A POKE failed.
///
/// ```no_run
/// # async fn example(phone: oneport::Phone) {
/// use std::time::Duration;
///
/// use oneport::PingError;
///
/// let peer = ([192, 0, 2, 1], 4569).into();
/// match phone.ping(peer, Duration::from_secs(2)).await {
///     Ok(round_trip) => println!("{round_trip:?}"),
///     Err(PingError::TimedOut) => println!("nobody there, or nothing gets through"),
///     Err(other) => println!("{other}"),
/// }
/// # }
/// ```
#[derive(Clone, PartialEq, Debug, Error)]
pub enum PingError {
    /// No answer came in time.
    #[error("no answer")]
    TimedOut,
    /// The engine refuses.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The phone has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Firmware could not be fetched.
///
/// ```no_run
/// # async fn example(phone: oneport::Phone) {
/// use oneport::FirmwareFetchError;
///
/// let server = ([192, 0, 2, 1], 4569).into();
/// match phone.fetch_firmware(server, "iaxy").await {
///     Ok(image) => println!("{} bytes", image.len()),
///     Err(FirmwareFetchError::Failed(why)) => println!("the server has none: {why:?}"),
///     Err(other) => println!("{other}"),
/// }
/// # }
/// ```
#[derive(Clone, PartialEq, Debug, Error)]
pub enum FirmwareFetchError {
    /// The server, or the way to it.
    #[error("the server sent none")]
    Failed(FirmwareFailure),
    /// The engine refuses.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The phone has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Settings that a registrar wants this phone to have (PROVISION). They come in the clear. They are
/// in force when [`accept`](Self::accept) returns `true`.
///
/// ```no_run
/// # async fn example(phone: oneport::Phone) {
/// while let Some(offer) = phone.provision().await {
///     println!("{} sends {:?}", offer.from(), offer.settings());
///     if offer.accept().await {
///         println!("they are in force");
///     }
/// }
/// # }
/// ```
pub struct ProvisionOffer {
    driver: Driver<Lines>,
    id: ProvisionId,
    from: SocketAddr,
    settings: Settings,
    outcome: oneshot::Receiver<ProvisionOutcome>,
}

impl ProvisionOffer {
    /// Who sent them.
    #[must_use]
    pub const fn from(&self) -> SocketAddr {
        self.from
    }

    /// What they are.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes them; `true`: the server has acknowledged that, so it is what it says, and they are in
    /// force. `false`: forget them.
    pub async fn accept(self) -> bool {
        let id = self.id;
        self.driver.post(move |endpoint, _, now| {
            // Where it has ended meanwhile, its outcome is here.
            let _ = endpoint.accept_provision(now, id);
        });
        self.outcome.await == Ok(ProvisionOutcome::Accepted)
    }

    /// Refuses them.
    pub fn reject(self) {
        let id = self.id;
        self.driver.post(move |endpoint, _, now| {
            let _ = endpoint.reject_provision(now, id);
        });
    }
}

struct OfferedProvision {
    id: ProvisionId,
    from: SocketAddr,
    settings: Settings,
    outcome: oneshot::Receiver<ProvisionOutcome>,
}

struct OfferedCall {
    id: CallId,
    offer: Box<oneport_proto::Offer>,
    format: Format,
    events: mpsc::Receiver<CallEvent>,
}

impl Phone {
    /// Binds and starts.
    ///
    /// # Errors
    /// An address cannot be used.
    pub fn bind(config: PhoneConfig) -> Result<Self, StartError> {
        let PhoneConfig { listen, formats, codec_priority, endpoint } = config;
        let (sender, offers) = mpsc::channel(OFFERS);
        let (provision_sender, provisions) = mpsc::channel(PROVISIONS);
        let lines = Lines {
            calls: HashMap::new(),
            registrations: HashMap::new(),
            pokes: HashMap::new(),
            fetches: HashMap::new(),
            outcomes: HashMap::new(),
            provisions: provision_sender,
            formats,
            codec_priority,
            offers: sender,
            drops: Vec::with_capacity(8),
        };
        let driver =
            Driver::start(DriverConfig { listen, endpoint, ..DriverConfig::default() }, lines)?;
        Ok(Self { driver, offers: Mutex::new(offers), provisions: Mutex::new(provisions) })
    }

    /// The addresses listened on.
    #[must_use]
    pub fn local_addresses(&self) -> &[SocketAddr] {
        self.driver.local_addresses()
    }

    /// Places a call. The call is there at once; its events say what becomes of it. Where it says no
    /// date and time, it says that of the system. Its events must be read: where 256 wait, it is hung
    /// up.
    ///
    /// # Errors
    /// No format, a limit, or the phone has stopped.
    pub async fn call(&self, to: SocketAddr, mut call: NewCall) -> Result<Call, CallError> {
        call.date_time.get_or_insert_with(date_time);
        let (sender, events) = mpsc::channel(EVENTS);
        let place = self.driver.with(move |endpoint, lines, now| {
            let id = endpoint.place_call(now, to, call)?;
            lines.calls.insert(id, Line { events: sender, audio: None, video: None });
            Ok::<_, CommandError>(id)
        });
        let id = place.await??;
        Ok(Call::new(self.driver.clone(), id, events, None))
    }

    /// The next call offered to us; `None` when the phone has stopped. Calls that have no format in
    /// common with us never get here.
    pub async fn incoming(&self) -> Option<IncomingCall> {
        let OfferedCall { id, offer, format, events } = self.offers.lock().await.recv().await?;
        let call = Call::new(self.driver.clone(), id, events, None);
        Some(IncomingCall::new(call, offer, format))
    }

    /// Connects the parties of two accepted calls with each other, by their [`Call::id`]s: an attended
    /// transfer. Their voice is relayed here at once. Where both are answered and of different peers,
    /// these are asked to go on without us, and if they can, both calls end as
    /// [`Transferred`](crate::EndReason::Transferred).
    ///
    /// # Errors
    /// A call is not accepted, or they carry different formats; or the phone has stopped.
    pub async fn connect(&self, a: CallId, b: CallId) -> Result<(), CallError> {
        let connect = self.driver.with(move |endpoint, _, now| {
            endpoint.link(a, b)?;
            // Where they cannot find each other, they stay connected through here.
            let _ = endpoint.transfer(now, a, b, TransferKind::Full);
            Ok::<_, CommandError>(())
        });
        Ok(connect.await??)
    }

    /// Registers, again and again until the registration is given back.
    ///
    /// # Errors
    /// The phone has stopped.
    pub async fn register(&self, config: RegistrationConfig) -> Result<Registration, Stopped> {
        let (sender, events) = mpsc::channel(EVENTS);
        let register = self.driver.with(move |endpoint, lines, now| {
            let id = endpoint.register(now, config);
            lines.registrations.insert(id, sender);
            id
        });
        Ok(Registration::new(self.driver.clone(), register.await?, events))
    }

    /// Asks a peer whether it is there (POKE), and gives the round trip.
    ///
    /// # Errors
    /// No answer in time.
    pub async fn ping(&self, to: SocketAddr, timeout: Duration) -> Result<Duration, PingError> {
        let (answer, result) = oneshot::channel();
        let poke = self.driver.with(move |endpoint, lines, now| {
            let id = endpoint.poke(now, to, timeout)?;
            lines.pokes.insert(id, answer);
            Ok::<_, CommandError>(())
        });
        poke.await??;
        result.await.map_err(|_| Stopped)?.ok_or(PingError::TimedOut)
    }

    /// The first of several places, such as [`Target::resolve_all`](crate::Target::resolve_all) gives, that answers a POKE
    /// within `patience`; they are asked one after the other. Where none does, it is the first, and a single one is not asked.
    ///
    /// # Errors
    /// There are none, the engine refuses, or the phone has stopped.
    pub async fn first_there(
        &self,
        places: &[Place],
        patience: Duration,
    ) -> Result<SocketAddr, PingError> {
        let first = places.first().ok_or(PingError::TimedOut)?.address;
        if places.len() == 1 {
            return Ok(first);
        }
        for place in places {
            match self.ping(place.address, patience).await {
                Ok(_) => return Ok(place.address),
                Err(PingError::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(first)
    }

    /// Fetches the firmware of `device` from a server (FWDOWNL): the image as the server has it.
    /// Nothing proves that it is genuine.
    ///
    /// # Errors
    /// The server has none, does not serve any, or does not answer.
    pub async fn fetch_firmware(
        &self,
        from: SocketAddr,
        device: &str,
    ) -> Result<Vec<u8>, FirmwareFetchError> {
        let (answer, result) = oneshot::channel();
        let device = device.to_string();
        let fetch = self.driver.with(move |endpoint, lines, now| {
            let id = endpoint.fetch_firmware(now, from, &device)?;
            lines.fetches.insert(id, answer);
            Ok::<_, CommandError>(())
        });
        fetch.await??;
        result.await.map_err(|_| Stopped)?.map_err(FirmwareFetchError::Failed)
    }

    /// The next settings that a registrar, or the peer of a call, wants this phone to have; `None`
    /// when the phone has stopped. There are none unless
    /// [`EndpointConfig::accept_provisioning`] is set.
    pub async fn provision(&self) -> Option<ProvisionOffer> {
        let offered = self.provisions.lock().await.recv().await?;
        let OfferedProvision { id, from, settings, outcome } = offered;
        Some(ProvisionOffer { driver: self.driver.clone(), id, from, settings, outcome })
    }

    /// Calls that have not ended.
    ///
    /// # Errors
    /// The phone has stopped.
    pub async fn calls(&self) -> Result<usize, Stopped> {
        self.driver.with(|endpoint, _, _| endpoint.calls()).await
    }

    /// What the engine has counted since the start, dropped datagrams and frames among it.
    ///
    /// # Errors
    /// The phone has stopped.
    pub async fn counters(&self) -> Result<Counters, Stopped> {
        self.driver.with(|endpoint, _, _| endpoint.counters().clone()).await
    }

    /// Hangs up all calls and stops, when the last frames are acknowledged, which may take two
    /// seconds. Calls and registrations of it must be gone, or it waits for them too.
    pub async fn stop(self) {
        self.driver.stop().await;
    }
}

struct Line {
    events: mpsc::Sender<CallEvent>,
    audio: Option<mpsc::Sender<Heard>>,
    video: Option<mpsc::Sender<VideoFrame>>,
}

/// Who waits for what: the [`Application`] of a phone.
pub(crate) struct Lines {
    calls: HashMap<CallId, Line>,
    registrations: HashMap<RegistrationId, mpsc::Sender<RegistrationEvent>>,
    pokes: HashMap<PokeId, oneshot::Sender<Option<Duration>>>,
    fetches: HashMap<FirmwareId, oneshot::Sender<Result<Vec<u8>, FirmwareFailure>>>,
    /// Who waits for the end of being set up.
    outcomes: HashMap<ProvisionId, oneshot::Sender<ProvisionOutcome>>,
    provisions: mpsc::Sender<OfferedProvision>,
    formats: Vec<Format>,
    codec_priority: CodecPriority,
    offers: mpsc::Sender<OfferedCall>,
    /// Voice dropped since the driver last asked.
    drops: Vec<(DropReason, u64, CallId)>,
}

impl Lines {
    pub(crate) fn listen(&mut self, call: CallId, audio: mpsc::Sender<Heard>) {
        if let Some(line) = self.calls.get_mut(&call) {
            line.audio = Some(audio);
        }
    }

    /// Hands on what comes of a call's voice, if anybody listens.
    fn hear(&mut self, call: CallId, heard: impl FnOnce() -> Heard) {
        let audio = self.calls.get(&call).and_then(|line| line.audio.as_ref());
        let reason = match audio {
            None => DropReason::NobodyListens,
            Some(audio) => match audio.try_send(heard()) {
                Ok(()) => return,
                Err(TrySendError::Full(_)) => DropReason::MediaQueueFull,
                Err(TrySendError::Closed(_)) => DropReason::NobodyListens,
            },
        };
        self.count_drop(reason, call);
    }

    pub(crate) fn watch(&mut self, call: CallId, video: mpsc::Sender<VideoFrame>) {
        if let Some(line) = self.calls.get_mut(&call) {
            line.video = Some(video);
        }
    }

    pub(crate) fn forget_call(&mut self, call: CallId) {
        self.calls.remove(&call);
    }

    /// Counts media that was dropped here.
    fn count_drop(&mut self, reason: DropReason, call: CallId) {
        match self.drops.last_mut() {
            Some((last, count, of)) if (*last, *of) == (reason, call) => *count += 1,
            _ => self.drops.push((reason, 1, call)),
        }
    }

    /// Tells a call's holder. One that reads nothing must not cost memory without end, for it is the
    /// other side that sends: its call is ended. The last place is kept to say so.
    fn tell_call(&self, endpoint: &mut Endpoint, now: Instant, call: CallId, event: CallEvent) {
        let Some(line) = self.calls.get(&call) else { return };
        if line.events.capacity() > 1 {
            // Nobody listens any more: the call is being dropped.
            let _ = line.events.try_send(event);
        } else if endpoint.hangup(now, call, CauseCode::SWITCH_CONGESTION, None).is_ok() {
            tracing::warn!("{call}: ended, for {EVENTS} events wait that nobody reads");
        }
    }

    fn tell_registration(&self, id: RegistrationId, event: RegistrationEvent) {
        if let Some(events) = self.registrations.get(&id) {
            // Where nobody reads, what is told first stays.
            let _ = events.try_send(event);
        }
    }

    fn offer_provision(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        id: ProvisionId,
        from: SocketAddr,
        settings: Settings,
    ) {
        let (sender, outcome) = oneshot::channel();
        match self.provisions.try_send(OfferedProvision { id, from, settings, outcome }) {
            Ok(()) => drop(self.outcomes.insert(id, sender)),
            Err(_) => drop(endpoint.reject_provision(now, id)),
        }
    }

    fn offer(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        id: CallId,
        offer: Box<oneport_proto::Offer>,
    ) {
        let format = negotiate(self.codec_priority, &self.formats, &offer);
        let Some(format) = format else {
            let cause = CauseCode::BEARER_NOT_AVAILABLE;
            let (from, offered) = (offer.path, offer.formats);
            tracing::info!("{id}: call from {from} rejected, {cause}: it offers {offered} only");
            let _ = endpoint.reject(now, id, cause, Some("no common codec"));
            return;
        };
        // It is there: it was offered just now.
        let _ = endpoint.allow_video(id, self.formats.iter().copied().collect());
        let (sender, events) = mpsc::channel(EVENTS);
        let line = Line { events: sender, audio: None, video: None };
        match self.offers.try_send(OfferedCall { id, offer, format, events }) {
            Ok(()) => drop(self.calls.insert(id, line)),
            Err(refused) => {
                let cause = CauseCode::SWITCH_CONGESTION;
                let from = refused.into_inner().offer.path;
                tracing::warn!(
                    "{id}: call from {from} rejected, {cause}: the application takes no calls, \
                     {OFFERS} of {OFFERS} wait"
                );
                let _ = endpoint.reject(now, id, cause, None);
            }
        }
    }
}

/// What a control frame means to a call.
fn control_event(control: Control, payload: Vec<u8>) -> CallEvent {
    let text = |text: Option<Str<'_>>| text.map(|text| text.to_string());
    match control {
        Control::ConnectedLine => {
            let ConnectedLine { number, name, .. } = ConnectedLine::read(&payload);
            CallEvent::ConnectedLine { number: text(number), name: text(name) }
        }
        Control::Redirecting => {
            let Redirecting { from_number, to_number, count, .. } = Redirecting::read(&payload);
            CallEvent::Redirecting { from: text(from_number), to: text(to_number), count }
        }
        control => CallEvent::Control { control, payload },
    }
}

impl Application for Lines {
    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::CallOffered { call, offer } => self.offer(endpoint, now, call, offer),
            Event::CallAuthenticated { call, .. } => {
                self.tell_call(endpoint, now, call, CallEvent::Authenticated)
            }
            Event::CallAccepted { call, format } => {
                self.tell_call(endpoint, now, call, CallEvent::Accepted(format));
            }
            Event::CallProgress { call, progress } => {
                self.tell_call(endpoint, now, call, CallEvent::Progress(progress));
            }
            Event::CallAnswered { call } => {
                self.tell_call(endpoint, now, call, CallEvent::Answered)
            }
            Event::Dtmf { call, digit, phase } => {
                self.tell_call(endpoint, now, call, CallEvent::Dtmf { digit, phase });
            }
            Event::Text { call, text } => {
                self.tell_call(endpoint, now, call, CallEvent::Text(text))
            }
            Event::Control { call, control, payload } => {
                self.tell_call(endpoint, now, call, control_event(control, payload));
            }
            Event::Keyed { call, data } => {
                self.tell_call(endpoint, now, call, CallEvent::Keyed(data))
            }
            Event::Unkeyed { call } => self.tell_call(endpoint, now, call, CallEvent::Unkeyed),
            Event::TransferRequested { call, number, context } => {
                self.tell_call(
                    endpoint,
                    now,
                    call,
                    CallEvent::TransferRequested { number, context },
                );
            }
            Event::CallTransferred { call, path } => {
                self.tell_call(endpoint, now, call, CallEvent::Transferred(path.remote));
            }
            Event::CallEnded { call, end } => {
                if let Some(line) = self.calls.remove(&call) {
                    let _ = line.events.try_send(CallEvent::Ended(Box::new(end)));
                }
            }
            Event::Registered {
                registration,
                registrar,
                refresh,
                apparent_address,
                messages,
                firmware_version,
            } => {
                let event = RegistrationEvent::Registered {
                    registrar,
                    refresh,
                    apparent_address,
                    messages,
                    firmware_version,
                };
                self.tell_registration(registration, event);
            }
            Event::RegistrationFailed { registration, registrar, failure, retry_in } => {
                let event = RegistrationEvent::Failed { registrar, failure, retry_in };
                self.tell_registration(registration, event);
            }
            Event::Unregistered { registration } => {
                self.tell_registration(registration, RegistrationEvent::Unregistered);
                self.registrations.remove(&registration);
            }
            Event::Frame { call, frame_type: frame_type::CNG, subclass, timestamp, .. } => {
                self.hear(call, || Heard::Pause { timestamp, level: subclass });
            }
            // A phone shows no pages.
            Event::Frame { call, frame_type, subclass, .. } => {
                let _ = endpoint.refuse_html(now, call, frame_type, subclass);
            }
            // A phone is no registrar.
            Event::RegisterRequested { request, .. } => drop(endpoint.refuse(now, request)),
            Event::Pong { poke, rtt } => {
                if let Some(answer) = self.pokes.remove(&poke) {
                    let _ = answer.send(Some(rtt));
                }
            }
            Event::PokeTimedOut { poke } => {
                if let Some(answer) = self.pokes.remove(&poke) {
                    let _ = answer.send(None);
                }
            }
            Event::FirmwareFetched { fetch, data } => {
                if let Some(answer) = self.fetches.remove(&fetch) {
                    let _ = answer.send(Ok(data));
                }
            }
            Event::FirmwareFailed { fetch, failure } => {
                if let Some(answer) = self.fetches.remove(&fetch) {
                    let _ = answer.send(Err(failure));
                }
            }
            Event::ProvisionOffered { provision, from, settings } => {
                self.offer_provision(endpoint, now, provision, from.remote, settings);
            }
            Event::ProvisionEnded { provision, outcome } => {
                if let Some(waiting) = self.outcomes.remove(&provision) {
                    let _ = waiting.send(outcome);
                }
            }
            Event::MessagesWaiting { from, count } => {
                let waiting = RegistrationEvent::MessagesWaiting { from: from.remote, count };
                for events in self.registrations.values() {
                    let _ = events.try_send(waiting.clone());
                }
            }
            _ => {}
        }
    }

    fn handle_media(&mut self, _now: Instant, call: CallId, media: Media<'_>) {
        self.hear(call, || Heard::Voice(media.into()));
    }

    fn handle_video(&mut self, call: CallId, video: Video<'_>) {
        let screen = self.calls.get(&call).and_then(|line| line.video.as_ref());
        let reason = match screen {
            None => DropReason::NobodyListens,
            Some(screen) => match screen.try_send(VideoFrame::from(video)) {
                Ok(()) => return,
                Err(TrySendError::Full(_)) => DropReason::MediaQueueFull,
                Err(TrySendError::Closed(_)) => DropReason::NobodyListens,
            },
        };
        self.count_drop(reason, call);
    }

    fn poll_drops(&mut self) -> Option<(DropReason, u64, Option<CallId>)> {
        self.drops.pop().map(|(reason, count, call)| (reason, count, Some(call)))
    }
}
