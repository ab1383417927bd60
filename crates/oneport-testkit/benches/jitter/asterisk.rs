//! Asterisk's own jitter buffers on the same traces: a call for each comes to it over IAX2 with its frames
//! at the times of the trace, passes a buffer, is decoded (`genericplc`), and goes out to us again.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::iter;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant as Clock};

use oneport_media::Codec;
use oneport_proto::{
    CallId, Endpoint, EndpointConfig, Event, Instant, Media, MediaSink, NewCall, Path,
    TransmitBuffer,
};
use oneport_testkit::audio::trace::{FRAME_MS, Trace};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_wire::{CauseCode, Format};

use super::{FRAME, RATE};

/// How far a frame may be from the end of the one before it, in ms, to follow it without a seam: whoever
/// plays what Asterisk sends has so much of a buffer, at no cost.
const SEAM_MS: f64 = 10.0;

const PATIENCE: Duration = Duration::from_secs(30);

/// Its buffers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Buffer {
    /// That of the IAX2 channel, `jitterbuffer` and `forcejitterbuffer`.
    Channel,
    /// `JITTERBUFFER(adaptive)` of the dial plan.
    Adaptive,
    /// `JITTERBUFFER(fixed)`, which delays by as much as it is told.
    Fixed,
}

impl Buffer {
    pub(super) const ALL: [Self; 3] = [Self::Channel, Self::Adaptive, Self::Fixed];

    /// Whether the IAX2 channel of a call for it has a jitter buffer.
    const fn is_of_channel(self) -> bool {
        matches!(self, Self::Channel)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Channel => "Asterisk, `jitterbuffer=yes`",
            Self::Adaptive => "Asterisk, `JITTERBUFFER(adaptive)`",
            Self::Fixed => "Asterisk, `JITTERBUFFER(fixed)`",
        }
    }
}

/// A trace that goes through one of its buffers.
pub(super) struct Passage<'a> {
    pub(super) trace: &'a Trace,
    pub(super) buffer: Buffer,
    /// What a fixed buffer delays by, in ms.
    pub(super) delay_ms: u32,
}

impl Passage<'_> {
    /// What an extension does with a call.
    fn dial_plan(&self, extension: &str) -> String {
        let set = match self.buffer {
            Buffer::Channel => "NoOp()".into(),
            Buffer::Adaptive => "Set(JITTERBUFFER(adaptive)=default)".into(),
            Buffer::Fixed => format!("Set(JITTERBUFFER(fixed)={})", self.delay_ms),
        };
        let dial = "Dial(IAX2/back/${EXTEN},60)";
        format!("exten => {extension},1,{set}\nexten => {extension},2,{dial}\n")
    }
}

/// What became of one call.
#[derive(Default)]
pub(super) struct Played {
    /// When frames left for Asterisk, in ms since the first was due, and which.
    pub(super) sent: Vec<(f64, usize)>,
    /// What came back, from when the first frame was due.
    pub(super) heard: Vec<i16>,
    /// Frames that Asterisk says it dropped since they were late, of all it says it received.
    pub(super) late: Option<(u32, u32)>,
}

/// What came, by call.
#[derive(Default)]
struct Heard {
    now: f64,
    frames: HashMap<CallId, Vec<(f64, Vec<i16>)>>,
}

impl MediaSink for Heard {
    fn media(&mut self, call: CallId, media: Media<'_>) {
        let mut samples = Vec::new();
        if media.format == Format::SLIN {
            Codec::Slin.decode(media.payload, &mut samples);
        }
        self.frames.entry(call).or_default().push((self.now, samples));
    }
}

/// Both ends of all calls, on one port.
struct Ends {
    socket: UdpSocket,
    endpoint: Endpoint,
    began: Clock,
    buffer: TransmitBuffer,
    heard: Heard,
    /// Datagrams that leave later.
    held: BTreeMap<(u64, u64), (SocketAddr, Vec<u8>)>,
    count: u64,
    events: Vec<Event>,
}

impl Ends {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_nonblocking(true).expect("possible");
        let now = Instant::from_micros(1);
        Self {
            socket,
            endpoint: Endpoint::new(EndpointConfig::default(), [7; 32], now),
            began: Clock::now(),
            buffer: TransmitBuffer::with_capacity(2_048, 1),
            heard: Heard::default(),
            held: BTreeMap::new(),
            count: 0,
            events: Vec::new(),
        }
    }

    fn micros(&self) -> u64 {
        1 + self.began.elapsed().as_micros() as u64
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.micros())
    }

    /// Sends what the engine has made, at a moment of the future or now.
    fn flush(&mut self, at: Option<u64>) {
        while let Some(transmit) = self.endpoint.poll_transmit(&mut self.buffer) {
            let bytes = &self.buffer.as_bytes()[..transmit.len];
            match at {
                None => drop(self.socket.send_to(bytes, transmit.path.remote)),
                Some(at) => {
                    self.count += 1;
                    self.held.insert((at, self.count), (transmit.path.remote, bytes.to_vec()));
                }
            }
        }
    }

    /// Throws away what the engine has made.
    fn lose(&mut self) {
        while self.endpoint.poll_transmit(&mut self.buffer).is_some() {}
    }

    /// Does what is to be done now.
    fn turn(&mut self) {
        while let Some(first) = self.held.first_entry() {
            if first.key().0 > self.began.elapsed().as_micros() as u64 + 1 {
                break;
            }
            let (to, bytes) = first.remove();
            let _ = self.socket.send_to(&bytes, to);
        }
        let mut datagram = [0; 2_048];
        loop {
            match self.socket.recv_from(&mut datagram) {
                Ok((len, from)) => {
                    self.heard.now = self.micros() as f64 / 1e3;
                    let now = self.now();
                    let bytes = &mut datagram[..len];
                    self.endpoint.handle_datagram(now, Path::from(from), bytes, &mut self.heard);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {}
            }
        }
        if self.endpoint.poll_timeout().is_some_and(|due| due <= self.now()) {
            let now = self.now();
            self.endpoint.handle_timeout(now);
        }
        while let Some(event) = self.endpoint.poll_event() {
            self.events.push(event);
        }
        self.flush(None);
    }

    fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let start = Clock::now();
        loop {
            self.turn();
            if let Some(found) = done(self) {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "{what}: {:?}", self.events);
            std::thread::sleep(Duration::from_micros(300));
        }
    }
}

/// A call to `extension`, and the one by which Asterisk brings it back.
fn call(ends: &mut Ends, asterisk: &Asterisk, extension: &str) -> (CallId, CallId) {
    let mut new = NewCall::to(extension);
    new.username = Some("caller".into());
    new.formats = vec![Format::ULAW];
    let now = ends.now();
    let out = ends.endpoint.place_call(now, asterisk.address(), new).expect("placed");
    let back = ends.until("Asterisk calls back", |ends| {
        ends.events.iter().find_map(|event| match event {
            Event::CallOffered { call, .. } => Some(*call),
            _ => None,
        })
    });
    let now = ends.now();
    ends.endpoint.accept(now, back, Format::SLIN).expect("offered");
    ends.endpoint.answer(now, back).expect("accepted");
    ends.until("Asterisk answers", |ends| {
        ends.events.iter().any(|event| matches!(event, Event::CallAnswered { .. })).then_some(())
    });
    ends.events.clear();
    (out, back)
}

/// Puts frames where they came, and lets the next wait that comes too early.
fn timeline(frames: &[(f64, Vec<i16>)], began: f64, len: usize) -> Vec<i16> {
    let mut heard = vec![0; len];
    let mut end = f64::MIN;
    let per_ms = f64::from(RATE) / 1e3;
    for (came, samples) in frames {
        let at = if came - end > SEAM_MS { *came } else { end };
        end = at + samples.len() as f64 / per_ms;
        let place = (at - began) * per_ms;
        for (n, sample) in samples.iter().enumerate() {
            if let Some(out) = heard.get_mut((place.max(0.0) as usize) + n) {
                *out = *sample;
            }
        }
    }
    heard
}

/// Its iax.conf: who calls, with or without a jitter buffer of the channel, and ourselves at `port`.
fn configuration(port: u16, is_buffered: bool) -> String {
    let buffer = if is_buffered { "yes" } else { "no" };
    format!(
        "transfer=no\nrequirecalltoken=no\ndisallow=all\nallow=ulaw\nallow=slin\n\
         [caller]\ntype=user\ncontext=trace\njitterbuffer={buffer}\n\
         forcejitterbuffer={buffer}\ntransfer=no\ndisallow=all\nallow=ulaw\n\
         [back]\ntype=peer\nhost=127.0.0.1\nport={port}\njitterbuffer=no\ntransfer=no\n\
         disallow=all\nallow=slin\n",
    )
}

/// What conceals: its codecs.conf.
const CONCEALS: &str = "[plc]\ngenericplc=>true\ngenericplc_on_equal_codecs=>true\n";

/// Plays all at once through an Asterisk whose channels have a jitter buffer and one whose dial plan has, in the time that
/// they take. Also says which Asterisk it is. They are two, as the buffers of the dial plan do worse where several threads
/// change the order of frames, and with that of the channel one thread is not enough.
pub(super) fn play(passages: &[Passage<'_>], payloads: &[Vec<u8>]) -> (Vec<Played>, String) {
    let mut ends = Ends::new();
    let port = ends.socket.local_addr().expect("bound").port();
    let extension = |n: usize| format!("trace{n}");
    let plan = passages.iter().enumerate().map(|(n, passage)| passage.dial_plan(&extension(n)));
    let plan: String = iter::once("[trace]\n".into()).chain(plan).collect();
    let files: [(&str, &[u8]); 1] = [("etc/codecs.conf", CONCEALS.as_bytes())];
    let [bare, buffered] = [false, true]
        .map(|is_buffered| Asterisk::start_with(&configuration(port, is_buffered), &plan, &files));
    let calls = passages.iter().enumerate();
    let calls: Vec<(CallId, CallId)> = calls
        .map(|(n, passage)| {
            let asterisk = if passage.buffer.is_of_channel() { &buffered } else { &bare };
            call(&mut ends, asterisk, &extension(n))
        })
        .collect();
    let began = ends.micros() + 200_000;
    let mut played: Vec<Played> = passages.iter().map(|_| Played::default()).collect();
    for (n, payload) in payloads.iter().enumerate() {
        let due = began + n as u64 * u64::from(FRAME_MS) * 1000;
        ends.until("the next frame is due", |ends| (ends.micros() >= due).then_some(()));
        for (k, (passage, (out, _))) in passages.iter().zip(&calls).enumerate() {
            ends.flush(None);
            let now = ends.now();
            ends.endpoint
                .send_voice(now, *out, Format::ULAW, payload, FRAME_MS as u16)
                .expect("the call is up");
            match passage.trace.delays.get(n).copied().flatten() {
                None => ends.lose(),
                Some(delay) => {
                    let delay = (delay * 1e3) as u64;
                    ends.flush(Some(due + delay));
                    let at = (due + delay).max(ends.micros()) - began;
                    played[k].sent.push((at as f64 / 1e3, n));
                }
            }
        }
    }
    let end = began + payloads.len() as u64 * u64::from(FRAME_MS) * 1000 + 1_000_000;
    ends.until("all comes back", |ends| (ends.micros() >= end).then_some(()));
    let channels = [&bare, &buffered].map(|asterisk| asterisk.cli("iax2 show netstats")).concat();
    for (k, (out, back)) in calls.iter().enumerate() {
        let frames = ends.heard.frames.get(back).map(Vec::as_slice).unwrap_or_default();
        let len = payloads.len() * FRAME + RATE as usize;
        played[k].heard = timeline(frames, began as f64 / 1e3, len);
        let stats = ends.endpoint.call_stats(*out).expect("the call is up");
        played[k].late = stats.remote.map(|remote| (remote.dropped, remote.frames));
        played[k].sent.sort_by(|a, b| a.0.total_cmp(&b.0));
        if std::env::var_os("ONEPORT_SHOW").is_some() {
            let Passage { trace, buffer, .. } = &passages[k];
            eprintln!("{}, {buffer:?}: {} frames, {:?}", trace.name, frames.len(), stats.remote);
        }
    }
    if std::env::var_os("ONEPORT_SHOW").is_some() {
        eprintln!("{channels}");
    }
    for (out, _) in &calls {
        let now = ends.now();
        let _ = ends.endpoint.hangup(now, *out, CauseCode::NORMAL_CLEARING, None);
    }
    ends.turn();
    (played, bare.version())
}
