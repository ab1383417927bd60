//! A gateway that joins each call with a port; a telephone of IAX2; a telephone of SIP that signals not,
//! but knows what was agreed upon.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use oneport::{Application, Driver, DriverConfig, Format, NewCall};
use oneport_proto::{CallId, DtmfPhase, Endpoint, Event, Instant, Media, Speech};
use oneport_switch::sip::media::{MediaConfig, MediaEvent, MediaPlane, MediaPort, MediaRelay};
use oneport_switch::sip::rtp::{Header, Packet};
use oneport_switch::sip::sdp::{self, Capabilities, KEY_BYTES, Local, MasterKey, Negotiated};
use oneport_wire::{Timestamp, frame_type};
use tokio::sync::mpsc;

/// Longer than anything takes, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// What happens at an end of IAX2.
#[derive(Debug)]
pub(crate) enum News {
    Up(CallId),
    Voice { ms: u32, payload: Vec<u8> },
    Pause(u8),
    Key(u8, DtmfPhase),
}

/// The gateway: it runs the relay, and takes every call.
pub(crate) struct Gate {
    pub(crate) relay: MediaRelay,
    speaks: Format,
    news: mpsc::UnboundedSender<News>,
    /// Is told how often the allocator was asked while a datagram was handled.
    pub(crate) count: fn() -> u64,
    pub(crate) allocations: u64,
    pub(crate) packets: u64,
}

impl Application for Gate {
    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::CallOffered { call, .. } => {
                endpoint.accept(now, call, self.speaks).expect("offered");
                endpoint.answer(now, call).expect("accepted");
                let _ = self.news.send(News::Up(call));
            }
            Event::Dtmf { call, digit, phase } => drop(self.relay.key(now, call, digit, phase)),
            Event::Frame { call, frame_type: frame_type::CNG, subclass, .. } => {
                self.relay.pause(now, call, subclass);
            }
            Event::CallEnded { call, .. } => self.relay.ended(call),
            _ => {}
        }
    }

    fn handle_media(&mut self, now: Instant, call: CallId, media: Media<'_>) {
        let before = (self.count)();
        self.relay.hear(now, call, media);
        self.allocations += (self.count)() - before;
        self.packets += 1;
    }

    fn watched(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.relay.watched()
    }

    fn handle_ready(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let before = (self.count)();
        self.relay.handle_ready(endpoint, now);
        self.allocations += (self.count)() - before;
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.relay.poll_timeout()
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.relay.handle_timeout(endpoint, now);
    }
}

/// A telephone of IAX2.
pub(crate) struct Handset {
    news: mpsc::UnboundedSender<News>,
}

impl Application for Handset {
    fn handle_event(&mut self, _: &mut Endpoint, _: Instant, event: Event) {
        match event {
            Event::CallAnswered { call } => drop(self.news.send(News::Up(call))),
            Event::Dtmf { digit, phase, .. } => drop(self.news.send(News::Key(digit, phase))),
            Event::Frame { frame_type: frame_type::CNG, subclass, .. } => {
                let _ = self.news.send(News::Pause(subclass));
            }
            Event::CallEnded { end, .. } => panic!("{end:?}"),
            _ => {}
        }
    }

    fn handle_media(&mut self, _: Instant, _: CallId, media: Media<'_>) {
        let payload = media.payload.to_vec();
        let _ = self.news.send(News::Voice { ms: media.timestamp.0, payload });
    }
}

/// Waits for something.
pub(crate) async fn next<N, T>(
    news: &mut mpsc::UnboundedReceiver<N>,
    mut wanted: impl FnMut(N) -> Option<T>,
) -> T {
    loop {
        let one = tokio::time::timeout(PATIENCE, news.recv()).await;
        if let Some(found) = wanted(one.expect("in time").expect("running")) {
            return found;
        }
    }
}

/// Waits until an event of a port is the one.
pub(crate) async fn event<T>(
    port: &mut MediaPort,
    mut wanted: impl FnMut(MediaEvent) -> Option<T>,
) -> T {
    loop {
        let one = tokio::time::timeout(PATIENCE, port.next_event()).await;
        if let Some(found) = wanted(one.expect("in time").expect("running")) {
            return found;
        }
    }
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) driver: Driver<Gate>,
    pub(crate) plane: MediaPlane,
    pub(crate) news: mpsc::UnboundedReceiver<News>,
}

pub(crate) fn gateway(speaks: Format, config: MediaConfig, count: fn() -> u64) -> Gateway {
    let (plane, relay) = MediaPlane::start(config).expect("started");
    let (sender, news) = mpsc::unbounded_channel();
    let gate = Gate { relay, speaks, news: sender, count, allocations: 0, packets: 0 };
    let config = DriverConfig { listen: vec![loopback()], ..DriverConfig::default() };
    Gateway { driver: Driver::start(config, gate).expect("started"), plane, news }
}

/// Media over the loopback, at `count` ports of those of this process: others may run the same tests now.
pub(crate) fn media(first: u16, count: u16) -> MediaConfig {
    let place = u16::try_from(std::process::id() % 60).expect("small");
    let first = 20_000 + 200 * place + first;
    let ports = first..=first + count - 1;
    MediaConfig { address: loopback().ip(), ports, ..MediaConfig::default() }
}

/// A call of IAX2 that is up and joined with a port that agreed with a telephone of SIP.
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) port: MediaPort,
    pub(crate) handset: Driver<Handset>,
    pub(crate) call: CallId,
    pub(crate) at_handset: mpsc::UnboundedReceiver<News>,
    pub(crate) phone: Phone,
    pub(crate) agreed: Negotiated,
}

pub(crate) async fn scene(iax: Format, capabilities: &Capabilities) -> Scene {
    scene_of(iax, capabilities, media(0, 100), || 0).await
}

/// The same before anything has been described.
pub(crate) async fn scene_before(capabilities: &Capabilities) -> Scene {
    joined(Format::ULAW, capabilities, media(0, 100), || 0).await
}

/// The same, while allocations are counted.
pub(crate) async fn counted_scene_before(count: fn() -> u64) -> Scene {
    joined(Format::ULAW, &Capabilities::default(), media(180, 20), count).await
}

pub(crate) async fn scene_of(
    iax: Format,
    capabilities: &Capabilities,
    config: MediaConfig,
    count: fn() -> u64,
) -> Scene {
    let scene = joined(iax, capabilities, config, count).await;
    scene.port.negotiated(&scene.agreed);
    settled(&scene.gateway.driver).await;
    scene
}

/// A call that is joined with a port that has agreed upon nothing yet.
async fn joined(
    iax: Format,
    capabilities: &Capabilities,
    config: MediaConfig,
    count: fn() -> u64,
) -> Scene {
    let mut gateway = gateway(iax, config, count);
    let (sender, mut at_handset) = mpsc::unbounded_channel();
    let config = DriverConfig { listen: vec![loopback()], ..DriverConfig::default() };
    let handset = Driver::start(config, Handset { news: sender }).expect("started");
    let to = gateway.driver.local_addresses()[0];
    let mut new = NewCall::to("1");
    new.formats = vec![iax];
    let placed = handset.with(move |endpoint, _, now| endpoint.place_call(now, to, new));
    let call = placed.await.expect("running").expect("free");
    let up = |news| match news {
        News::Up(call) => Some(call),
        _ => None,
    };
    let inner = next(&mut gateway.news, up).await;
    next(&mut at_handset, up).await;
    // Voice leaves for nobody who has not shown that it is there: the answer is acknowledged first.
    let is_unheard = move |endpoint: &mut Endpoint, _: &mut Gate, _| {
        endpoint.call_stats(inner).is_some_and(|stats| stats.rtt.is_none())
    };
    while gateway.driver.with(is_unheard).await.expect("running") {}

    let port = gateway.plane.open().expect("a port");
    let phone = Phone::new();
    let agreed = phone.agreed(&port, capabilities);
    port.attach(inner, iax);
    settled(&gateway.driver).await;
    Scene { gateway, port, handset, call, at_handset, phone, agreed }
}

/// What was asked of the relay before has been done.
pub(crate) async fn settled(driver: &Driver<Gate>) {
    for _ in 0..2 {
        driver
            .with(|endpoint, gate, now| gate.relay.handle_ready(endpoint, now))
            .await
            .expect("running");
    }
}

impl Scene {
    /// The handset says a frame that began at `ms` of its clock.
    pub(crate) fn says(&self, format: Format, ms: u32, payload: Vec<u8>) {
        let call = self.call;
        self.handset.post(move |endpoint, _, now| {
            let media = Media { format, timestamp: Timestamp(ms), payload: &payload };
            endpoint.send_translated(now, call, Speech::Voice(media)).expect("up");
        });
    }

    /// The next frame that the handset hears.
    pub(crate) async fn heard(&mut self) -> (u32, Vec<u8>) {
        next(&mut self.at_handset, |news| match news {
            News::Voice { ms, payload } => Some((ms, payload)),
            _ => None,
        })
        .await
    }
}

/// A packet of a telephone.
pub(crate) fn packet(payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let header = Header { marker: false, payload_type, sequence, timestamp, source: 0x0102_0304 };
    [&header.write()[..], payload].concat()
}

/// A telephone of SIP: sockets for RTP and RTCP.
pub(crate) struct Phone {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    /// Where media goes.
    pub(crate) to: std::cell::Cell<SocketAddr>,
}

impl Phone {
    pub(crate) fn new() -> Self {
        // Two ports behind each other, the first of them even.
        let pair = (0..1_000).find_map(|_| {
            let rtp = UdpSocket::bind(loopback()).ok()?;
            let port = rtp.local_addr().ok()?.port();
            let next = SocketAddr::new(loopback().ip(), port.checked_add(1)?);
            (port % 2 == 0).then_some((rtp, UdpSocket::bind(next).ok()?))
        });
        let (rtp, rtcp) = pair.expect("two ports");
        for socket in [&rtp, &rtcp] {
            socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        }
        Self { rtp, rtcp, to: std::cell::Cell::new(loopback()) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.rtp.local_addr().expect("bound")
    }

    /// Offers, and gives what a port has agreed upon.
    pub(crate) fn agree(&self, port: &MediaPort, capabilities: &Capabilities) -> Negotiated {
        let agreed = self.agreed(port, capabilities);
        port.negotiated(&agreed);
        agreed
    }

    /// What a port would agree upon.
    fn agreed(&self, port: &MediaPort, capabilities: &Capabilities) -> Negotiated {
        // Keys are of use only where both want them.
        let key = |byte| Some(MasterKey::from([byte; KEY_BYTES]));
        let ours = Local { key: key(1), ..Local::new(self.address(), 1) };
        let theirs = Local { key: key(2), ..Local::new(port.local(), 2) };
        let offer = sdp::offer(capabilities, &ours);
        let (_, agreed) = sdp::answer(&offer, capabilities, &theirs).expect("answered");
        self.to.set(port.local());
        agreed
    }

    /// Sends a packet.
    pub(crate) fn sends(&self, payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) {
        let packet = packet(payload_type, sequence, timestamp, payload);
        self.rtp.send_to(&packet, self.to.get()).expect("sent");
    }

    /// The next packet.
    pub(crate) fn heard(&self) -> (Header, Vec<u8>) {
        let mut buffer = [0; 2_048];
        let length = self.rtp.recv(&mut buffer).expect("a packet in time");
        let packet = Packet::read(&buffer[..length]).expect("RTP");
        (packet.header, packet.payload.to_vec())
    }
}
