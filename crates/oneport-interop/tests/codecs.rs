//! Every codec passes through a real Asterisk 22 bit for bit, where it need not understand it, and
//! linear audio has the byte order that it takes it for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use oneport::media::Codec;
use oneport::{Application, CallId, Driver, DriverConfig, EndpointConfig, Format, NewCall};
use oneport_interop::{BEGINNING, PATIENCE, PHONE, phone, switch};
use oneport_proto::{Endpoint, Event, Instant, Media};
use oneport_testkit::peers::asterisk::Asterisk;
use tokio::sync::mpsc;

/// A format, the bytes of a frame and the milliseconds it lasts.
const FORMATS: [(Format, usize, u16); 12] = [
    (Format::ULAW, 160, 20),
    (Format::ALAW, 160, 20),
    (Format::GSM, 33, 20),
    (Format::SLIN, 320, 20),
    (Format::SLIN16, 640, 20),
    (Format::G726, 80, 20),
    (Format::G726_AAL2, 80, 20),
    (Format::ADPCM, 80, 20),
    (Format::ILBC, 38, 20),
    (Format::ILBC, 50, 30),
    (Format::G722, 160, 20),
    (Format::G729, 20, 20),
];

/// A party that has no codecs: it speaks and hears payloads.
struct Party {
    events: mpsc::UnboundedSender<Event>,
    voice: mpsc::UnboundedSender<(Format, Vec<u8>)>,
}

impl Application for Party {
    fn handle_event(&mut self, _: &mut Endpoint, _: Instant, event: Event) {
        let _ = self.events.send(event);
    }

    fn handle_media(&mut self, _: Instant, _: CallId, media: Media<'_>) {
        let _ = self.voice.send((media.format, media.payload.to_vec()));
    }
}

/// Calls `name`'s echo at `to` and has it return two seconds of frames that are unlike each other.
async fn every_frame_returns(to: SocketAddr, name: &str, format: Format, bytes: usize, ms: u16) {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let (events, mut happens) = mpsc::unbounded_channel();
    let (voice, mut heard) = mpsc::unbounded_channel();
    let config =
        DriverConfig { listen, endpoint: EndpointConfig::default(), ..DriverConfig::default() };
    let driver = Driver::start(config, Party { events, voice }).expect("started");
    let mut call = NewCall::to(format!("echo*{name}"));
    call.username = Some(name.into());
    call.formats = vec![format];
    let placed = driver.with(move |endpoint, _, now| endpoint.place_call(now, to, call)).await;
    let call = placed.expect("running").expect("free");
    loop {
        match tokio::time::timeout(PATIENCE, happens.recv()).await.expect("an answer") {
            Some(Event::CallAnswered { .. }) => break,
            Some(Event::CallEnded { end, .. }) => panic!("{format}: {end:?}"),
            _ => {}
        }
    }
    let mut state = 0x1234_5678_u32;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    });
    let noise: Vec<u8> = noise.take(100 * bytes).collect();
    let mut clock = tokio::time::interval(Duration::from_millis(ms.into()));
    for frame in noise.chunks(bytes) {
        clock.tick().await;
        let frame = frame.to_vec();
        driver.post(move |endpoint, _, now| {
            endpoint.send_voice(now, call, format, &frame, ms).expect("up");
        });
    }
    let spoken: HashMap<&[u8], usize> = noise.chunks(bytes).zip(0..).collect();
    let mut order = Vec::new();
    while order.len() < spoken.len() {
        let frame = tokio::time::timeout(PATIENCE, heard.recv()).await;
        let (heard_as, payload) = frame.expect("audio flows").expect("running");
        assert_eq!(heard_as, format);
        let n = spoken.get(payload.as_slice());
        order.push(*n.unwrap_or_else(|| panic!("{format}, behind {order:?}: {payload:02x?}")));
    }
    // In the beginning they may have overtaken each other in Asterisk, which gives full frames to
    // another thread than mini frames.
    order[..BEGINNING].sort_unstable();
    assert!(order.iter().copied().eq(0..spoken.len()), "{format}: {order:?}");
    driver.stop().await;
}

/// A user for each format, who may speak no other.
fn users() -> String {
    let user = |(format, bytes, _): &(Format, usize, u16)| {
        let format = format.name();
        format!("[{format}-{bytes}]\ntype=user\ncontext=test\ndisallow=all\nallow={format}\n")
    };
    FORMATS.iter().map(user).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_comes_back_from_asterisk_bit_for_bit() {
    let extensions = "[test]\nexten => _echo*.,1,Answer()\nsame => n,Echo()\n";
    let asterisk = Asterisk::start(&users(), extensions);
    for (format, bytes, ms) in FORMATS {
        let name = format!("{}-{bytes}", format.name());
        every_frame_returns(asterisk.address(), &name, format, bytes, ms).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_goes_through_asterisk_to_our_echo_and_back_bit_for_bit() {
    let peer = |(format, bytes, _): &(Format, usize, u16)| {
        let format = format.name();
        format!("[peers.{format}-{bytes}]\nsecret = \"right\"\ncodecs = [{format:?}]\n")
    };
    let peers: String = FORMATS.iter().map(peer).collect();
    let (_switch, to) = switch(&peers);
    let entry = |(format, bytes, _): &(Format, usize, u16)| {
        let format = format.name();
        format!(
            "[to-{format}-{bytes}]\ntype=peer\nhost={}\nport={}\nusername={format}-{bytes}\n\
             secret=right\nauth=md5\ndisallow=all\nallow={format}\n",
            to.ip(),
            to.port()
        )
    };
    let entries: String = FORMATS.iter().map(entry).collect();
    let extensions = "[test]\nexten => _echo*.,1,Dial(IAX2/to-${EXTEN:5}/echo,60)\n";
    let asterisk = Asterisk::start(&format!("{}{entries}", users()), extensions);
    for (format, bytes, ms) in FORMATS {
        let name = format!("{}-{bytes}", format.name());
        every_frame_returns(asterisk.address(), &name, format, bytes, ms).await;
    }
}

/// The greatest step between two samples.
fn greatest_step(samples: &[i16]) -> u32 {
    let steps =
        samples.windows(2).map(|two| (i32::from(two[0]) - i32::from(two[1])).unsigned_abs());
    steps.max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn linear_audio_is_big_endian_at_8_khz_and_little_endian_at_16() {
    let iax = format!(
        "disallow=all\nallow=slin\nallow=slin16\n{PHONE}disallow=all\nallow=slin\nallow=slin16\n"
    );
    let extensions = "[phone]\nexten => milliwatt,1,Answer()\nsame => n,Milliwatt()\n";
    let asterisk = Asterisk::start(&iax, extensions);
    let (phone, _) = phone();
    for codec in [Codec::Slin, Codec::Slin16] {
        let mut call = NewCall::to("milliwatt");
        call.username = Some("phone".into());
        call.formats = vec![codec.format()];
        let mut call = phone.call(asterisk.address(), call).await.expect("placed");
        call.answered().await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
        let (mut reader, _) = call.audio().await.expect("accepted");
        let mut samples = Vec::new();
        // The beginning of a tone that was resampled is not smooth.
        for n in 0..30 {
            let frame = tokio::time::timeout(PATIENCE, reader.next_frame()).await;
            let frame = frame.expect("audio flows").expect("the call lives");
            assert_eq!(frame.format, codec.format());
            if n >= 10 {
                codec.decode(&frame.payload, &mut samples);
            }
        }
        let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or_default();
        let swapped: Vec<i16> = samples.iter().map(|sample| sample.swap_bytes()).collect();
        // A sine of 1 kHz moves by its amplitude times 2π/8 from one sample to the next at most.
        assert!((1_000..32_000).contains(&loudest), "{codec:?}: {loudest}");
        assert!(greatest_step(&samples) < u32::from(loudest), "{codec:?}: {samples:?}");
        assert!(greatest_step(&swapped) > 40_000, "{codec:?}: in the other order it is noise");
    }
}
