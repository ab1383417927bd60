//! Streams whose keys a handshake brings (DTLS-SRTP).

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use oneport::Format;
use oneport::media::ilbc::Mode;
use oneport_switch::sip::dtls::{Association, Identity, Insecure, Secured, Step, is_handshake};
use oneport_switch::sip::media::{MediaEvent, MediaPort};
use oneport_switch::sip::rtp::{Packet, is_rtcp, read_compound};
use oneport_switch::sip::sdp::{
    self, Capabilities, CryptoSuite, Fingerprint, Handshake, Local, Negotiated, SrtpUse,
};
use oneport_switch::sip::srtp::SrtpContext;

use crate::setting::*;

const SECURE: Capabilities = Capabilities {
    formats: Vec::new(),
    order: sdp::Order::Theirs,
    telephone_event: true,
    comfort_noise: false,
    ptime: None,
    ilbc: Mode::Ms30,
    rtcp_mux: false,
    srtp: SrtpUse::Handshake,
    direction: sdp::Direction::SendRecv,
};

/// What the phone says of itself.
#[derive(Clone, Copy)]
struct Says<'a> {
    setup: &'a str,
    mux: bool,
    print: Fingerprint,
    id: &'a str,
}

/// What a port agrees upon with a phone that says this.
fn agreed(scene: &Scene, says: Says<'_>) -> Negotiated {
    let capabilities = Capabilities { formats: vec![Format::ULAW], ..SECURE };
    let local = Local { fingerprint: Some(says.print), ..Local::new(scene.phone.address(), 1) };
    let mut offer = sdp::offer(&capabilities, &local)
        .replace("a=setup:actpass", &format!("a=tls-id:{}\r\na=setup:{}", says.id, says.setup));
    if !says.mux {
        offer = offer.replace("a=rtcp-mux\r\n", "");
    }
    let print = Some(scene.gateway.plane.fingerprint());
    let local = Local { fingerprint: print, ..Local::new(scene.port.local(), 2) };
    sdp::answer(&offer, &capabilities, &local).expect("answered").1
}

/// An end of the phone's: nothing but handshakes comes to it until it has its keys.
struct End<'a> {
    socket: &'a UdpSocket,
    to: SocketAddr,
    association: Association,
}

impl<'a> End<'a> {
    fn new(
        (identity, socket, to): (&Identity, &'a UdpSocket, SocketAddr),
        begins: bool,
        theirs: Fingerprint,
    ) -> Self {
        let handshake = Handshake { begins, theirs: vec![theirs], id: None };
        let association = Association::new(identity, &handshake, Instant::now());
        Self { socket, to, association }
    }

    /// Sends what is to be sent now.
    fn step(&mut self) -> Option<Result<Secured, Insecure>> {
        loop {
            match self.association.step() {
                Step::Send(datagram) => drop(self.socket.send_to(datagram, self.to)),
                Step::Secured(secured) => return Some(Ok(*secured)),
                Step::Over(why) => return Some(Err(why)),
                Step::Wait(_) => return None,
            }
        }
    }

    /// Goes on until it has keys, or has failed.
    fn run(mut self) -> Result<Secured, Insecure> {
        let begun = Instant::now();
        self.socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
        let mut buffer = [0; 2_048];
        let ended = loop {
            if let Some(ended) = self.step() {
                break ended;
            }
            assert!(begun.elapsed() < PATIENCE, "it never ends");
            if let Ok(length) = self.socket.recv(&mut buffer) {
                assert!(is_handshake(&buffer[..length]), "before there are keys: {buffer:?}");
                self.association.receive(Instant::now(), &buffer[..length]);
            }
            self.association.handle_timeout(Instant::now());
        };
        // What is still to be sent is.
        assert!(self.step().is_none_or(|again| again.is_err()));
        self.socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        ended
    }
}

/// A phone that is joined with somebody, and its keys.
pub(crate) struct Line {
    pub(crate) scene: Scene,
    sends: SrtpContext,
    hears: SrtpContext,
}

fn rtcp_of(port: &MediaPort) -> SocketAddr {
    let rtp = port.local();
    SocketAddr::new(rtp.ip(), rtp.port() + 1)
}

impl Line {
    fn new(scene: Scene, secured: &Secured) -> Self {
        let sends = SrtpContext::new(secured.suite, &secured.ours);
        let hears = SrtpContext::new(secured.suite, &secured.theirs);
        Self { scene, sends, hears }
    }

    /// One with the keys of a handshake that the phone has begun.
    pub(crate) async fn secured(mut scene: Scene) -> Self {
        let identity = Identity::draw().expect("randomness");
        let says = Says { setup: "active", mux: true, print: identity.fingerprint(), id: "one" };
        scene.port.negotiated(&agreed(&scene, says));
        let secured = shaken(&mut scene, &identity, true).await;
        Self::new(scene, &secured)
    }

    /// Sends a packet that is encrypted.
    pub(crate) fn sends(&mut self, number: u16, payload: &[u8]) {
        let mut sealed = packet(0, number, u32::from(number) * 160, payload);
        self.sends.protect(&mut sealed).expect("a packet");
        self.scene.phone.rtp.send_to(&sealed, self.scene.phone.to.get()).expect("sent");
    }

    /// The payload of the next packet that comes, which is encrypted.
    pub(crate) fn hears(&mut self) -> Vec<u8> {
        let mut buffer = [0; 2_048];
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "nothing comes but reports");
            let length = self.scene.phone.rtp.recv(&mut buffer).expect("a packet in time");
            let sealed = &mut buffer[..length];
            if is_handshake(sealed) || is_rtcp(sealed) {
                continue;
            }
            let before = sealed.to_vec();
            let length = self.hears.unprotect(sealed).expect("authentic");
            let packet = Packet::read(&sealed[..length]).expect("RTP");
            assert_ne!(before[12..length], *packet.payload, "it is in the clear");
            return packet.payload.to_vec();
        }
    }

    /// Both are heard, each by the other, and nothing that was said before.
    async fn speaks_both_ways(&mut self, first: u16) {
        for n in first..first + 3 {
            let fill = n as u8;
            self.sends(n, &[fill; 160]);
            assert_eq!(self.scene.heard().await.1, [fill; 160]);
            // Behind what was said too early.
            self.scene.says(Format::ULAW, 1_000 + u32::from(n) * 20, vec![!fill; 160]);
            assert_eq!(self.hears(), [!fill; 160]);
        }
    }
}

/// The keys that the phone gets by a handshake on its port of RTP, when the port has them as well.
async fn shaken(scene: &mut Scene, identity: &Identity, begins: bool) -> Secured {
    let theirs = scene.gateway.plane.fingerprint();
    let end = End::new((identity, &scene.phone.rtp, scene.port.local()), begins, theirs);
    let secured = end.run().expect("it succeeds");
    let suite = event(&mut scene.port, |event| match event {
        MediaEvent::Secured { suite } => Some(suite),
        _ => None,
    });
    assert_eq!(suite.await, secured.suite);
    secured
}

/// Both sides say something before there are keys: nobody is to hear it.
async fn speak_too_early(scene: &Scene) {
    for n in 0..5_u16 {
        scene.phone.sends(0, 900 + n, 0, &[0x55; 160]);
        scene.says(Format::ULAW, u32::from(n) * 20, vec![0xAA; 160]);
    }
    settled(&scene.gateway.driver).await;
}

#[tokio::test]
async fn nothing_passes_before_a_handshake_and_everything_is_encrypted_behind_it() {
    for (setup, mux, begins) in
        [("active", true, true), ("passive", false, false), ("actpass", true, true)]
    {
        let mut scene = scene_before(&Capabilities::default()).await;
        let identity = Identity::draw().expect("randomness");
        let says = Says { setup, mux, print: identity.fingerprint(), id: "one" };
        scene.port.negotiated(&agreed(&scene, says));
        speak_too_early(&scene).await;
        scene.port.told();
        let secured = shaken(&mut scene, &identity, begins).await;
        assert_eq!(secured.suite, CryptoSuite::AeadAes256Gcm);
        let mut line = Line::new(scene, &secured);
        line.speaks_both_ways(1).await;
        // Reports have the same keys where they come to the same port, else those of their own handshake.
        let mut buffer = [0; 2_048];
        let report = match mux {
            true => loop {
                let length = line.scene.phone.rtp.recv(&mut buffer).expect("a report in time");
                if is_rtcp(&buffer[..length]) {
                    break line.hears.unprotect_report(&mut buffer[..length]);
                }
            },
            false => {
                let (phone, port) = (&line.scene.phone, &line.scene.port);
                let theirs = line.scene.gateway.plane.fingerprint();
                let end = End::new((&identity, &phone.rtcp, rtcp_of(port)), begins, theirs);
                let own = end.run().expect("it succeeds");
                assert_ne!(own, secured);
                let mut hears = SrtpContext::new(own.suite, &own.theirs);
                let length = phone.rtcp.recv(&mut buffer).expect("a report in time");
                hears.unprotect_report(&mut buffer[..length])
            }
        };
        let length = report.expect("authentic");
        assert!(read_compound(&buffer[..length], 0x0102_0304).is_some(), "{setup}");
        let figures = line.scene.port.close().await;
        assert_eq!((figures.stats.received.frames, figures.malformed), (3, 5), "{setup}");
    }
}

#[tokio::test]
async fn a_description_of_the_same_handshake_keeps_its_keys_and_one_of_another_does_not() {
    let mut scene = scene_before(&Capabilities::default()).await;
    let identity = Identity::draw().expect("randomness");
    let says = Says { setup: "active", mux: true, print: identity.fingerprint(), id: "one" };
    scene.port.negotiated(&agreed(&scene, says));
    let secured = shaken(&mut scene, &identity, true).await;
    let mut line = Line::new(scene, &secured);
    line.speaks_both_ways(1).await;
    line.scene.port.negotiated(&agreed(&line.scene, says));
    settled(&line.scene.gateway.driver).await;
    line.speaks_both_ways(4).await;
    // They say that it is another one.
    line.scene.port.negotiated(&agreed(&line.scene, Says { id: "two", ..says }));
    settled(&line.scene.gateway.driver).await;
    line.sends(7, &[7; 160]);
    speak_too_early(&line.scene).await;
    let mut scene = line.scene;
    let secured = shaken(&mut scene, &identity, true).await;
    Line::new(scene, &secured).speaks_both_ways(8).await;
}

#[tokio::test]
async fn whoever_begins_again_with_the_same_certificate_gets_other_keys() {
    let scene = scene_before(&Capabilities::default()).await;
    let identity = Identity::draw().expect("randomness");
    let says = Says { setup: "active", mux: true, print: identity.fingerprint(), id: "one" };
    scene.port.negotiated(&agreed(&scene, says));
    let mut scene = scene;
    let first = shaken(&mut scene, &identity, true).await;
    let second = shaken(&mut scene, &identity, true).await;
    assert_ne!(first.ours, second.ours);
    Line::new(scene, &second).speaks_both_ways(1).await;
}

#[tokio::test]
async fn a_certificate_that_is_not_the_described_one_is_named_and_nothing_passes() {
    for (setup, begins) in [("active", true), ("passive", false)] {
        let mut scene = scene_before(&Capabilities::default()).await;
        let (identity, other) = (Identity::draw(), Identity::draw().expect("randomness"));
        let identity = identity.expect("randomness");
        let says = Says { setup, mux: true, print: other.fingerprint(), id: "one" };
        scene.port.negotiated(&agreed(&scene, says));
        scene.port.told();
        let theirs = scene.gateway.plane.fingerprint();
        let ends = (&identity, &scene.phone.rtp, scene.port.local());
        let mut end = End::new(ends, begins, theirs);
        let why = {
            let mut buffer = [0; 2_048];
            let begun = Instant::now();
            scene.phone.rtp.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
            loop {
                assert!(begun.elapsed() < PATIENCE, "nothing is told");
                end.step();
                if let Ok(length) = scene.phone.rtp.recv(&mut buffer) {
                    assert!(is_handshake(&buffer[..length]));
                    end.association.receive(Instant::now(), &buffer[..length]);
                }
                end.association.handle_timeout(Instant::now());
                if let Some(MediaEvent::Insecure(why)) = scene.port.poll_event() {
                    break why;
                }
            }
        };
        assert_eq!(why, Insecure::WrongCertificate(identity.fingerprint()), "{setup}");
        speak_too_early(&scene).await;
        let figures = scene.port.figures();
        assert_eq!((figures.stats.received.frames, figures.stats.sent_frames), (0, 0));
    }
}

#[tokio::test]
async fn a_handshake_that_comes_before_the_answer_waits_for_it() {
    let scene = scene_before(&Capabilities::default()).await;
    let identity = Identity::draw().expect("randomness");
    scene.port.expect_handshake();
    settled(&scene.gateway.driver).await;
    let theirs = scene.gateway.plane.fingerprint();
    let ends = (&identity, &scene.phone.rtp, scene.port.local());
    let mut end = End::new(ends, true, theirs);
    assert!(end.step().is_none());
    settled(&scene.gateway.driver).await;
    let says = Says { setup: "active", mux: true, print: identity.fingerprint(), id: "one" };
    scene.port.negotiated(&agreed(&scene, says));
    // Time stands still for the phone: it repeats nothing.
    let mut buffer = [0; 2_048];
    let now = Instant::now();
    loop {
        let length = scene.phone.rtp.recv(&mut buffer).expect("an answer in time");
        end.association.receive(now, &buffer[..length]);
        if let Some(ended) = end.step() {
            assert!(ended.is_ok());
            break;
        }
    }
}

#[tokio::test]
async fn somebody_who_only_knows_the_port_neither_gets_keys_nor_ends_the_call() {
    let mut scene = scene_before(&Capabilities::default()).await;
    let (identity, stranger) = (Identity::draw(), Identity::draw().expect("randomness"));
    let identity = identity.expect("randomness");
    let says = Says { setup: "active", mux: true, print: identity.fingerprint(), id: "one" };
    scene.port.negotiated(&agreed(&scene, says));
    let theirs = scene.gateway.plane.fingerprint();
    let elsewhere = UdpSocket::bind("127.0.0.9:0").expect("an address of this machine");
    let mut end = End::new((&stranger, &elsewhere, scene.port.local()), true, theirs);
    // It comes so far as to show its certificate.
    elsewhere.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut buffer = [0; 2_048];
    for _ in 0..2 {
        end.step();
        let length = elsewhere.recv(&mut buffer).expect("an answer in time");
        end.association.receive(Instant::now(), &buffer[..length]);
    }
    assert!(end.step().is_none());
    let secured = shaken(&mut scene, &identity, true).await;
    Line::new(scene, &secured).speaks_both_ways(1).await;
}
