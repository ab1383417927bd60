//! Encrypted calls whose keys change while frames are late, lost or repeated: two engines, and every
//! datagram between them in the test's hands.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{
    CallId, Challenge, EncryptionPolicy, Endpoint, EndpointConfig, Event, Instant, Media,
    MediaSink, NewCall, Path, Secret, TransmitBuffer,
};
use oneport_wire::Format;

const A: usize = 0;
const B: usize = 1;

struct Side {
    endpoint: Endpoint,
    address: SocketAddr,
    heard: Heard,
}

#[derive(Default)]
struct Heard(Vec<Vec<u8>>);

impl MediaSink for Heard {
    fn media(&mut self, _: CallId, media: Media<'_>) {
        self.0.push(media.payload.to_vec());
    }
}

/// What a test does with a datagram: delivers what it gives back.
type Hand<'a> = &'a mut dyn FnMut(usize, Vec<u8>) -> Vec<Vec<u8>>;

struct Pair {
    sides: [Side; 2],
    ms: u64,
    events: [Vec<Event>; 2],
}

fn deliver(_: usize, datagram: Vec<u8>) -> Vec<Vec<u8>> {
    vec![datagram]
}

impl Pair {
    /// A changes its key so often; B never.
    fn new(rotation: Option<Duration>) -> Self {
        let side = |n: u8, key_rotation| {
            let config = EndpointConfig { key_rotation, ..EndpointConfig::default() };
            let endpoint = Endpoint::new(config, [n; 32], Instant::from_micros(0));
            let address = SocketAddr::from(([10, 0, 0, n], 4569));
            Side { endpoint, address, heard: Heard::default() }
        };
        Self { sides: [side(1, rotation), side(2, None)], ms: 0, events: [vec![], vec![]] }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.ms * 1_000)
    }

    /// A millisecond passes.
    fn step(&mut self, hand: Hand<'_>) {
        self.ms += 1;
        let now = self.now();
        let mut buffer = TransmitBuffer::with_capacity(65_536, 1);
        for from in [A, B] {
            let endpoint = &mut self.sides[from].endpoint;
            endpoint.handle_timeout(now);
            let mut sent = Vec::new();
            while endpoint.poll_transmit(&mut buffer).is_some() {
                sent.push(buffer.as_bytes().to_vec());
            }
            let path = Path::from(self.sides[from].address);
            for datagram in sent {
                for mut datagram in hand(from, datagram) {
                    let Side { endpoint, heard, .. } = &mut self.sides[1 - from];
                    endpoint.handle_datagram(now, path, &mut datagram, heard);
                }
            }
        }
        for (side, events) in self.sides.iter_mut().zip(&mut self.events) {
            events.extend(std::iter::from_fn(|| side.endpoint.poll_event()));
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.step(&mut deliver);
        }
    }

    /// A calls B, and the call is encrypted.
    fn call_up(&mut self) -> CallId {
        self.call_up_with(&mut deliver)
    }

    fn call_up_with(&mut self, hand: Hand<'_>) -> CallId {
        let mut call = NewCall::to("1");
        call.username = Some("ann".into());
        call.secret = Some(Secret::from("right"));
        call.encryption = EncryptionPolicy::Required;
        let (now, to) = (self.now(), self.sides[B].address);
        let ours = self.sides[A].endpoint.place_call(now, to, call).expect("free");
        for _ in 0..3_000 {
            self.step(hand);
            let now = self.now();
            for event in std::mem::take(&mut self.events[B]) {
                let endpoint = &mut self.sides[B].endpoint;
                match event {
                    Event::CallOffered { call, .. } => {
                        let challenge = Challenge {
                            encryption: EncryptionPolicy::Required,
                            ..Challenge::md5("ann", Secret::from("right"))
                        };
                        endpoint.challenge_call(now, call, challenge).expect("offered");
                    }
                    Event::CallAuthenticated { call, .. } => {
                        endpoint.accept(now, call, Format::ULAW).expect("proved");
                        endpoint.answer(now, call).expect("accepted");
                    }
                    _ => {}
                }
            }
        }
        assert!(self.events[A].iter().any(|event| matches!(event, Event::CallAnswered { .. })));
        ours
    }

    fn key_changes(&self) -> u64 {
        self.sides[A].endpoint.counters().key_changes
    }

    /// A speaks for 20 ms.
    fn speak(&mut self, call: CallId, n: usize, hand: Hand<'_>) {
        let now = self.now();
        let voice = [n as u8; 160];
        self.sides[A].endpoint.send_voice(now, call, Format::ULAW, &voice, 20).expect("up");
        for _ in 0..20 {
            self.step(hand);
        }
    }

    fn heard(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.sides[B].heard.0)
    }

    fn texts(&self) -> Vec<&str> {
        let texts = self.events[B].iter().filter_map(|event| match event {
            Event::Text { text, .. } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }
}

#[test]
fn voice_that_overtakes_its_new_key_is_heard_when_that_comes_and_never_as_noise() {
    let mut pair = Pair::new(Some(Duration::from_secs(1)));
    let call = pair.call_up();
    let mut held: Vec<(u64, Vec<u8>)> = Vec::new();
    for n in 0..500 {
        let clock = n as u64 * 20;
        let mut hand = |from: usize, datagram: Vec<u8>| {
            // All full frames of A come 70 ms late, so each RTKEY does: three frames of voice
            // under the new key overtake it.
            if from == A && datagram[0] & 0x80 != 0 && n > 0 {
                held.push((clock + 70, datagram));
                return Vec::new();
            }
            let mut now = vec![datagram];
            let late = held.extract_if(.., |(at, _)| *at <= clock).map(|(_, datagram)| datagram);
            now.splice(0..0, late);
            now
        };
        pair.speak(call, n, &mut hand);
    }
    let changes = pair.key_changes();
    assert!(changes >= 5, "{changes} changes");
    let heard = pair.heard();
    for voice in &heard {
        assert!(voice.len() == 160 && voice.iter().all(|byte| *byte == voice[0]), "noise");
    }
    let lost = 500 - heard.len() as u64;
    assert_eq!(lost, 0, "in {changes} changes");
}

#[test]
fn a_late_copy_under_the_key_before_is_not_taken_twice_and_harms_nothing() {
    let mut pair = Pair::new(Some(Duration::from_secs(1)));
    let call = pair.call_up();
    pair.speak(call, 0, &mut deliver);
    let mut copies = Vec::new();
    let now = pair.now();
    pair.sides[A].endpoint.send_text(now, call, "once").expect("up");
    pair.step(&mut |from, datagram| {
        if from == A {
            copies.push(datagram.clone());
        }
        vec![datagram]
    });
    let before = pair.key_changes();
    let mut n = 1;
    while pair.key_changes() == before {
        pair.speak(call, n, &mut deliver);
        n += 1;
    }
    pair.speak(call, n, &mut deliver);
    assert!(!copies.is_empty());
    let path = Path::from(pair.sides[A].address);
    let now = pair.now();
    for mut copy in copies {
        let Side { endpoint, heard, .. } = &mut pair.sides[B];
        endpoint.handle_datagram(now, path, &mut copy, heard);
    }
    pair.heard();
    pair.speak(call, 7, &mut deliver);
    assert_eq!(pair.heard(), [[7; 160]]);
    let now = pair.now();
    pair.sides[A].endpoint.send_text(now, call, "and again").expect("up");
    pair.run(500);
    assert_eq!(pair.texts(), ["once", "and again"]);
}

#[test]
fn a_new_repeated_behind_the_challenge_harms_no_encrypted_call() {
    let mut pair = Pair::new(None);
    let mut news: Vec<Vec<u8>> = Vec::new();
    let mut repeated = 0;
    let call = pair.call_up_with(&mut |from, datagram| {
        if from == B {
            return vec![datagram];
        }
        // Type IAX, subclass NEW: in the clear.
        if datagram.get(10..12) == Some(&[6, 1]) {
            news.push(datagram.clone());
            return vec![datagram];
        }
        // In front of the first frame that follows, and so behind AUTHREQ, both come again.
        repeated += news.len();
        let mut again = std::mem::take(&mut news);
        again.push(datagram);
        again
    });
    assert_eq!(repeated, 2, "one that asks for a token, one that has it");
    pair.speak(call, 3, &mut deliver);
    assert_eq!(pair.heard(), [[3; 160]]);
}

#[test]
fn keys_change_where_they_shall_and_stay_where_not() {
    for (rotation, changes) in [(None, 0..1), (Some(Duration::from_secs(5)), 5..13)] {
        let mut pair = Pair::new(rotation);
        let call = pair.call_up();
        for n in 0..3_000 {
            pair.speak(call, n, &mut deliver);
        }
        assert!(changes.contains(&pair.key_changes()), "{rotation:?}: {}", pair.key_changes());
        assert_eq!(pair.heard().len(), 3_000, "no gap, {rotation:?}");
    }
}

#[test]
fn a_video_mini_frame_shorter_than_its_header_harms_no_encrypted_call() {
    let mut pair = Pair::new(None);
    let call = pair.call_up();
    pair.speak(call, 1, &mut deliver);
    let path = Path::from(pair.sides[A].address);
    let (number, _) = pair.sides[A].endpoint.call_numbers(call).expect("up");
    let [high, low] = number.get().to_be_bytes();
    let whole = [&[0, 0, high | 0x80, low, 0, 1][..], &[9; 60]].concat();
    let now = pair.now();
    for len in 0..whole.len() {
        let Side { endpoint, heard, .. } = &mut pair.sides[B];
        endpoint.handle_datagram(now, path, &mut whole[..len].to_vec(), heard);
    }
    pair.heard();
    pair.speak(call, 2, &mut deliver);
    assert_eq!(pair.heard(), [[2; 160]]);
}
