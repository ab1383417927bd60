//! Legs of the gateway towards the switch: calls of IAX2 over an inner address of this machine.
//!
//! It knows nothing of SIP. A call comes out of it as a [`Leg`] when the switch has proved that it
//! is the switch.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use oneport::{Application, Driver, DriverConfig, Host, StartError};
use oneport_proto::{
    CallEnd, CallId, Challenge, CommandError, DtmfPhase, Endpoint, EndpointConfig, Event, Instant,
    Media, NewCall, Offer, Progress, Secret,
};
use oneport_wire::{AuthMethods, CauseCode, Control, Format, frame_type};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::media::MediaRelay;

/// How long the number of a call that has ended rests: nothing is lost or late in here.
const NUMBER_RESTS: Duration = Duration::from_secs(5);

/// How long a call may wait for the first word of whoever is called: longer than any INVITE.
const DECISION: Duration = Duration::from_secs(240);

/// What happens on a leg.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum LegEvent {
    /// The switch has found somebody who speaks this.
    Accepted(Format),
    /// It goes on, short of an answer.
    Progress(Progress),
    /// Somebody has answered.
    Answered,
    /// A key.
    Key {
        /// ASCII.
        digit: u8,
        /// Pressed or released.
        phase: DtmfPhase,
    },
    /// The other end holds us, or takes us back.
    Held(bool),
    /// The other end wants us to go on with another number.
    Transfer {
        /// The number.
        number: String,
    },
    /// It is over.
    Ended(Box<CallEnd>),
}

/// A call that the switch places to a carrier.
pub(crate) struct Offered {
    pub(crate) leg: Leg,
    pub(crate) offer: Box<Offer>,
}

/// The application of the inner endpoint.
pub(crate) struct Lines {
    secret: Secret,
    /// Calls whose caller has not proved yet that it is the switch.
    unproved: HashMap<CallId, Box<Offer>>,
    /// Who is told of what happens on each.
    lines: HashMap<CallId, UnboundedSender<LegEvent>>,
    offers: UnboundedSender<(CallId, Box<Offer>, UnboundedReceiver<LegEvent>)>,
    /// Joins them with streams of RTP.
    relay: MediaRelay,
}

impl Lines {
    fn tell(&self, call: CallId, event: LegEvent) {
        if let Some(events) = self.lines.get(&call) {
            // Who has given up its leg wants to hear nothing.
            let _ = events.send(event);
        }
    }

    fn begin(&mut self, call: CallId) -> UnboundedReceiver<LegEvent> {
        let (events, receiver) = mpsc::unbounded_channel();
        self.lines.insert(call, events);
        receiver
    }
}

impl Application for Lines {
    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::CallOffered { call, offer } => {
                let challenge = Challenge {
                    methods: AuthMethods::MD5,
                    secrets: vec![self.secret.clone()],
                    ..Challenge::unknown(offer.username.as_deref().unwrap_or_default())
                };
                self.unproved.insert(call, offer);
                // Too many at once are refused by the engine; the end follows.
                let _ = endpoint.challenge_call(now, call, challenge);
            }
            Event::CallAuthenticated { call, .. } => {
                let Some(offer) = self.unproved.remove(&call) else { return };
                let events = self.begin(call);
                if self.offers.send((call, offer, events)).is_err() {
                    let _ = endpoint.reject(now, call, CauseCode::NETWORK_OUT_OF_ORDER, None);
                }
            }
            Event::CallAccepted { call, format } => self.tell(call, LegEvent::Accepted(format)),
            Event::CallProgress { call, progress } => self.tell(call, LegEvent::Progress(progress)),
            Event::CallAnswered { call } => self.tell(call, LegEvent::Answered),
            // Where the other side wants it so, it has left as a packet.
            Event::Dtmf { call, digit, phase } if self.relay.key(now, call, digit, phase) => {}
            Event::Dtmf { call, digit, phase } => self.tell(call, LegEvent::Key { digit, phase }),
            Event::Frame { call, frame_type: frame_type::CNG, subclass, .. } => {
                self.relay.pause(now, call, subclass);
            }
            Event::Control { call, control: Control::Hold, .. } => {
                self.tell(call, LegEvent::Held(true));
            }
            Event::Control { call, control: Control::Unhold, .. } => {
                self.tell(call, LegEvent::Held(false));
            }
            Event::TransferRequested { call, number, .. } => {
                self.tell(call, LegEvent::Transfer { number });
            }
            Event::Frame { call, frame_type, subclass, .. } => {
                let _ = endpoint.refuse_html(now, call, frame_type, subclass);
            }
            Event::RegisterRequested { request, .. } => drop(endpoint.refuse(now, request)),
            Event::CallEnded { call, end } => {
                self.unproved.remove(&call);
                self.relay.ended(call);
                self.tell(call, LegEvent::Ended(Box::new(end)));
                self.lines.remove(&call);
            }
            _ => {}
        }
    }

    fn handle_media(&mut self, now: Instant, call: CallId, media: Media<'_>) {
        // Before it is joined nobody hears it.
        self.relay.hear(now, call, media);
    }

    fn watched(&self) -> Option<BorrowedFd<'_>> {
        self.relay.watched()
    }

    fn handle_ready(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.relay.handle_ready(endpoint, now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.relay.poll_timeout()
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.relay.handle_timeout(endpoint, now);
    }
}

/// The inner endpoint.
#[derive(Clone)]
pub(crate) struct Inside {
    driver: Driver<Lines>,
    /// Where the switch is.
    switch: SocketAddr,
    secret: Secret,
}

/// Calls that the switch places.
pub(crate) struct Offers {
    inside: Inside,
    offers: UnboundedReceiver<(CallId, Box<Offer>, UnboundedReceiver<LegEvent>)>,
}

impl Offers {
    /// The next; `None` when the inner endpoint has stopped.
    pub(crate) async fn next(&mut self) -> Option<Offered> {
        let (id, offer, events) = self.offers.recv().await?;
        let leg = Leg { driver: self.inside.driver.clone(), id, events };
        Some(Offered { leg, offer })
    }
}

impl Inside {
    /// Listens beside `switch`, on its thread `host`; it proves itself by `secret`, and we to it.
    ///
    /// # Errors
    /// The system is short of something.
    pub(crate) fn start(
        switch: SocketAddr,
        secret: Secret,
        most_calls: usize,
        relay: MediaRelay,
        host: &Host,
    ) -> Result<(Self, Offers), StartError> {
        let endpoint = EndpointConfig {
            // Each call has a number that rests besides.
            max_calls: most_calls.saturating_mul(4),
            max_calls_per_address: usize::MAX,
            max_challenges_per_user: usize::MAX,
            number_quarantine: NUMBER_RESTS,
            // Carriers may take their time before they say anything.
            decision_timeout: DECISION,
            setup_timeout: DECISION,
            ..EndpointConfig::default()
        };
        let (sender, offers) = mpsc::unbounded_channel();
        let lines = Lines {
            secret: secret.clone(),
            unproved: HashMap::new(),
            lines: HashMap::new(),
            offers: sender,
            relay,
        };
        let listen = vec![SocketAddr::new(switch.ip(), 0)];
        let config = DriverConfig { listen, endpoint, ..DriverConfig::default() };
        let driver = Driver::start_beside(host, config, lines)?;
        let inside = Self { driver, switch, secret };
        let offers = Offers { inside: inside.clone(), offers };
        Ok((inside, offers))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.driver.local_addresses().first().copied().unwrap_or(self.switch)
    }

    /// Places a call to the switch, as the peer `name`.
    ///
    /// # Errors
    /// In words, why it cannot be placed.
    pub(crate) async fn call(&self, name: &str, mut call: NewCall) -> Result<Leg, String> {
        call.username = Some(name.into());
        call.secret = Some(self.secret.clone());
        let to = self.switch;
        let placed = self.driver.with(move |endpoint, lines, now| {
            let id = endpoint.place_call(now, to, call)?;
            Ok::<_, CommandError>((id, lines.begin(id)))
        });
        let (id, events) =
            placed.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(Leg { driver: self.driver.clone(), id, events })
    }

    /// Stops: all calls are hung up.
    pub(crate) async fn stop(self) {
        self.driver.stop().await;
    }
}

/// A call of the gateway, as the switch sees it. Dropping it hangs up.
pub(crate) struct Leg {
    driver: Driver<Lines>,
    id: CallId,
    events: UnboundedReceiver<LegEvent>,
}

impl Leg {
    /// The next event; `None` behind the last.
    pub(crate) async fn next_event(&mut self) -> Option<LegEvent> {
        self.events.recv().await
    }

    /// What is done to it, without waiting; a leg that has gone tells its end by itself.
    fn post(
        &self,
        act: impl FnOnce(&mut Endpoint, CallId, Instant) -> Result<(), CommandError> + Send + 'static,
    ) {
        let id = self.id;
        self.driver.post(move |endpoint, _, now| {
            let _ = act(endpoint, id, now);
        });
    }

    /// Media may flow in this format from now on.
    pub(crate) fn accept(&self, format: Format) {
        self.post(move |endpoint, id, now| endpoint.accept(now, id, format));
    }

    /// The other party is told how it goes.
    pub(crate) fn control(&self, control: Control) {
        self.post(move |endpoint, id, now| endpoint.send_control(now, id, control, &[]));
    }

    /// It rings.
    pub(crate) fn ringing(&self) {
        self.post(|endpoint, id, now| endpoint.ringing(now, id));
    }

    /// Somebody has answered.
    pub(crate) fn answer(&self) {
        self.post(|endpoint, id, now| endpoint.answer(now, id));
    }

    /// A key goes to the switch.
    pub(crate) fn key(&self, digit: u8, phase: DtmfPhase) {
        self.post(move |endpoint, id, now| match phase {
            DtmfPhase::Begin => endpoint.dtmf_begin(now, id, digit),
            DtmfPhase::End => endpoint.dtmf_end(now, id, digit),
        });
    }

    /// The switch leads its other party on to another number.
    pub(crate) fn transfer(&self, number: String) {
        self.post(move |endpoint, id, now| endpoint.blind_transfer(now, id, &number, None));
    }

    /// It is over.
    pub(crate) fn hang_up(&self, cause: CauseCode, text: Option<String>) {
        self.post(move |endpoint, id, now| endpoint.hangup(now, id, cause, text.as_deref()));
    }

    /// Its handle, by which media finds it.
    pub(crate) const fn id(&self) -> CallId {
        self.id
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        let id = self.id;
        self.driver.post(move |endpoint, lines, now| {
            let _ = endpoint.hangup(now, id, CauseCode::NORMAL_CLEARING, None);
            lines.lines.remove(&id);
        });
    }
}
