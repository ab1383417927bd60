//! A real Asterisk 22 understands what our encoders say, and ours what its say: between a telephone that
//! speaks a codec and one that speaks linear audio it decodes one way and encodes the other.

use std::fmt::Write as _;
use std::time::Duration;

use oneport::media::Codec;
use oneport::{AudioReader, AudioWriter, Call, NewCall, Phone, PhoneConfig};
use oneport_interop::{PATIENCE, phone};
#[cfg(any(feature = "speex", feature = "opus", feature = "lpc10"))]
use oneport_testkit::audio::similarity::compare;
use oneport_testkit::audio::speech::{Voice, synthesize};
use oneport_testkit::peers::asterisk::Asterisk;

/// Frames of each side that are compared: three seconds.
const FRAMES: usize = 150;

/// Frames that may be lost before Asterisk has connected both sides.
const BEGINNING: usize = 50;

/// How long a frame is waited for before it has connected them.
const CONNECTING: Duration = Duration::from_millis(200);

const MS: u16 = 20;

/// Codecs of a standard that says each bit, or of which there is one implementation.
const EXACT: [Codec; 9] = [
    Codec::Ulaw,
    Codec::Alaw,
    Codec::Slin,
    Codec::Slin16,
    Codec::G722,
    Codec::G726,
    Codec::G726Aal2,
    Codec::Adpcm,
    Codec::Gsm,
];

/// The linear codec of the same rate.
fn linear(codec: Codec) -> Codec {
    if codec.sample_rate() == 16_000 { Codec::Slin16 } else { Codec::Slin }
}

/// An Asterisk that has all codecs, with a user for each of them; to each of two numbers it calls a
/// telephone on the same machine.
fn asterisk(codecs: &[Codec], callee: u16) -> Asterisk {
    let mut iax = String::new();
    for name in codecs.iter().map(|codec| codec.format().name()) {
        let _ = write!(iax, "[{name}]\ntype=user\ncontext=test\ndisallow=all\nallow={name}\n");
    }
    for name in ["slin", "slin16"] {
        let _ = write!(
            iax,
            "[to-{name}]\ntype=peer\nhost=127.0.0.1\nport={callee}\ndisallow=all\nallow={name}\n"
        );
    }
    let dial = |name| format!("exten => {name},1,Dial(IAX2/to-{name}/somebody,60)\n");
    let extensions = format!("[test]\n{}{}", dial("slin"), dial("slin16"));
    // What libspeex does unless it is told otherwise, and we.
    let codecs = "[speex]\nquality => 8\n";
    let files = [("etc/codecs.conf", codecs.as_bytes())];
    let asterisk = Asterisk::start_with(&iax, &extensions, &files);
    for module in ["a_mu", "g722", "g726", "adpcm", "speex", "opus_open_source", "lpc10"] {
        let answer = asterisk.cli(&format!("module load codec_{module}.so"));
        assert!(answer.contains("Loaded"), "{module}: {answer}");
    }
    asterisk
}

/// A telephone that takes calls in linear audio.
fn linear_phone() -> (Phone, u16) {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let formats = vec![Codec::Slin.format(), Codec::Slin16.format()];
    let phone = Phone::bind(PhoneConfig { listen, formats, ..PhoneConfig::default() });
    let phone = phone.expect("bound");
    let port = phone.local_addresses()[0].port();
    (phone, port)
}

/// One side: it speaks, and keeps what it sent and heard.
struct Side {
    codec: Codec,
    reader: AudioReader,
    writer: AudioWriter,
    #[cfg(any(feature = "speex", feature = "opus"))]
    says: Vec<i16>,
    sent: Vec<Vec<u8>>,
    heard: Vec<Vec<u8>>,
    /// Which of the other side's frames was the first that was heard.
    first: usize,
    _call: Call,
}

impl Side {
    async fn new(codec: Codec, call: Call, says: Vec<i16>) -> Self {
        let (reader, writer) = call.audio().await.expect("accepted");
        let mut encoder = codec.encoder();
        let frames = says.chunks_exact(codec.samples_in(MS)).map(|frame| {
            let mut payload = Vec::new();
            encoder.encode(frame, &mut payload);
            payload
        });
        let sent = frames.collect();
        Self {
            codec,
            reader,
            writer,
            #[cfg(any(feature = "speex", feature = "opus"))]
            says,
            sent,
            heard: Vec::new(),
            first: 0,
            _call: call,
        }
    }

    fn send(&self, n: usize) {
        self.writer.send(self.codec.format(), &self.sent[n], MS);
    }

    /// Waits for what the other side has just sent; before anything was heard it may be lost.
    async fn hear(&mut self, n: usize) {
        let patience = if self.heard.is_empty() { CONNECTING } else { PATIENCE };
        match tokio::time::timeout(patience, self.reader.next_frame()).await {
            Ok(frame) => {
                let frame = frame.expect("the call lives");
                assert_eq!(frame.format, self.codec.format());
                if self.heard.is_empty() {
                    self.first = n;
                }
                self.heard.push(frame.payload.to_vec());
            }
            Err(_) => {
                assert!(self.heard.is_empty(), "{:?}: silence", self.codec);
            }
        }
    }
}

/// A call from `codec` to linear audio, in which each frame is heard before the next is sent, so that
/// none overtakes another.
async fn converse(asterisk: &Asterisk, codec: Codec, callee: &Phone) -> [Side; 2] {
    let (caller, _) = phone();
    let other = linear(codec);
    let mut call = NewCall::to(other.format().name());
    call.username = Some(codec.format().name().into());
    call.formats = vec![codec.format()];
    let mut call = caller.call(asterisk.address(), call).await.expect("placed");
    let incoming = tokio::time::timeout(PATIENCE, callee.incoming()).await;
    let incoming = incoming.unwrap_or_else(|_| panic!("nobody rings\n{}", asterisk.log()));
    let answered = incoming.expect("running").answer().await.expect("it waits");
    call.answered().await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
    let ms = (FRAMES + BEGINNING) as u32 * u32::from(MS);
    let rate = codec.sample_rate();
    let mut caller_side = Side::new(codec, call, synthesize(1, Voice::Low, rate, ms)).await;
    let mut callee_side = Side::new(other, answered, synthesize(2, Voice::High, rate, ms)).await;
    let mut clock = tokio::time::interval(Duration::from_millis(MS.into()));
    for n in 0..FRAMES + BEGINNING {
        clock.tick().await;
        caller_side.send(n);
        callee_side.send(n);
        tokio::join!(caller_side.hear(n), callee_side.hear(n));
        if caller_side.heard.len().min(callee_side.heard.len()) >= FRAMES {
            break;
        }
    }
    [caller_side, callee_side]
}

/// What `to` makes of what `from` says, beginning with one of its first frames: which was the first that
/// Asterisk heard is not known.
fn expected(from: &Side, to: &Side) -> impl Iterator<Item = Vec<Vec<u8>>> {
    let count = to.heard.len();
    (0..=from.sent.len() - count).map(move |first| {
        let (mut decoder, mut encoder) = (from.codec.decoder(), to.codec.encoder());
        let frames = from.sent[first..first + count].iter().map(|frame| {
            let (mut samples, mut payload) = (Vec::new(), Vec::new());
            decoder.decode(frame, &mut samples);
            encoder.encode(&samples, &mut payload);
            payload
        });
        frames.collect()
    })
}

/// How many frames at most are as we expect them.
fn frames_alike(from: &Side, to: &Side) -> usize {
    let alike = |frames: Vec<Vec<u8>>| {
        frames.iter().zip(&to.heard).take_while(|(expected, heard)| expected == heard).count()
    };
    expected(from, to).map(alike).max().unwrap_or_default()
}

/// The score of what `to` heard of what `from` said, and of what it would hear of us alone. A frame that
/// was lost before the two were connected counts in neither.
#[cfg(any(feature = "speex", feature = "opus"))]
fn scores(from: &Side, to: &Side) -> [f64; 2] {
    let decoded = |codec: Codec, frames: &[Vec<u8>]| {
        let (mut decoder, mut samples) = (codec.decoder(), Vec::new());
        frames.iter().for_each(|frame| decoder.decode(frame, &mut samples));
        samples
    };
    let heard = decoded(to.codec, &to.heard);
    let first = from.sent.len().min(to.first) * to.codec.samples_in(MS);
    let said = &from.says[first..first + heard.len()];
    let (mut ours, codec) = (Vec::new(), if from.codec == linear(from.codec) { to } else { from });
    let mut encoder = codec.codec.encoder();
    let frames: Vec<Vec<u8>> = said
        .chunks(codec.codec.samples_in(MS))
        .map(|frame| {
            let mut payload = Vec::new();
            encoder.encode(frame, &mut payload);
            payload
        })
        .collect();
    ours.extend(decoded(codec.codec, &frames));
    [heard, ours].map(|heard| compare(said, &heard, to.codec.sample_rate(), 60).score)
}

#[cfg(any(feature = "speex", feature = "opus"))]
#[tokio::test(flavor = "multi_thread")]
async fn speech_through_asterisk_is_as_good_as_through_us_alone() {
    // Frame by frame.
    let fits = |codec: &Codec| codec.samples_in(MS).is_multiple_of(codec.frame_samples());
    let lossy = |codec: &Codec| !EXACT.contains(codec) && fits(codec);
    let codecs: Vec<Codec> = Codec::ALL.iter().copied().filter(lossy).collect();
    let (callee, port) = linear_phone();
    let asterisk = asterisk(&codecs, port);
    let mut worse = String::new();
    for codec in codecs {
        let [caller, callee] = converse(&asterisk, codec, &callee).await;
        for (from, to) in [(&caller, &callee), (&callee, &caller)] {
            let [score, ours] = scores(from, to);
            let text = format!("{:?} to {:?}: {score:.2}, ours {ours:.2}", from.codec, to.codec);
            println!("{text}");
            if score < ours - 0.3 || ours < 3.0 {
                let _ = writeln!(worse, "{text}");
            }
        }
    }
    assert!(worse.is_empty(), "{worse}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_decodes_and_encodes_each_exact_codec_to_the_bit_as_we_do() {
    let (callee, port) = linear_phone();
    let asterisk = asterisk(&EXACT, port);
    let mut differences = String::new();
    for codec in EXACT {
        let [caller, callee] = converse(&asterisk, codec, &callee).await;
        for (from, to) in [(&caller, &callee), (&callee, &caller)] {
            let alike = frames_alike(from, to);
            if alike < FRAMES {
                let (of, first) = (to.heard.len(), to.first);
                let _ = writeln!(
                    differences,
                    "{:?} to {:?}: {alike} of {of} frames from {first} on are as ours",
                    from.codec, to.codec
                );
            }
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

/// What is heard of a call while something is said in it, and what follows at once.
#[cfg(feature = "lpc10")]
async fn talk(call: &Call, codec: Codec, says: &[i16]) -> Vec<i16> {
    let (mut reader, writer) = call.audio().await.expect("accepted");
    let (mut encoder, mut decoder) = (codec.encoder(), codec.decoder());
    let (mut payload, mut heard) = (Vec::new(), Vec::new());
    let mut clock = tokio::time::interval(Duration::from_millis(MS.into()));
    let mut frames = says.chunks_exact(codec.samples_in(MS));
    let mut after = 0;
    while after < BEGINNING {
        tokio::select! {
            frame = reader.next_frame() => {
                decoder.decode(&frame.expect("the call lives").payload, &mut heard);
            }
            _ = clock.tick() => match frames.next() {
                Some(frame) => {
                    payload.clear();
                    encoder.encode(frame, &mut payload);
                    writer.send(codec.format(), &payload, MS);
                }
                None => after += 1,
            }
        }
    }
    heard
}

/// Its frames are 22.5 ms long: no number of milliseconds.
#[cfg(feature = "lpc10")]
#[tokio::test(flavor = "multi_thread")]
async fn asterisk_and_we_understand_each_other_in_lpc_10() {
    let (callee, port) = linear_phone();
    let asterisk = asterisk(&[Codec::Lpc10], port);
    let (caller, _) = phone();
    let mut call = NewCall::to("slin");
    call.username = Some("lpc10".into());
    call.formats = vec![Codec::Lpc10.format()];
    let mut call = caller.call(asterisk.address(), call).await.expect("placed");
    let incoming = tokio::time::timeout(PATIENCE, callee.incoming()).await;
    let incoming = incoming.unwrap_or_else(|_| panic!("nobody rings\n{}", asterisk.log()));
    let answered = incoming.expect("running").answer().await.expect("it waits");
    call.answered().await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
    let says = [(1, Voice::Low), (2, Voice::High)]
        .map(|(seed, voice)| synthesize(seed, voice, 8_000, 6_000));
    let [[here, there], [low, high]] = [
        <[_; 2]>::from(tokio::join!(
            talk(&call, Codec::Lpc10, &says[0]),
            talk(&answered, Codec::Slin, &says[1])
        )),
        says.clone().map(|says| {
            let (mut payload, mut heard) = (Vec::new(), Vec::new());
            Codec::Lpc10.encode(&says, &mut payload);
            let mut decoder = Codec::Lpc10.decoder();
            payload.chunks(70).for_each(|part| decoder.decode(part, &mut heard));
            heard
        }),
    ];
    for (side, said, heard, ours) in [
        ("what Asterisk decodes", &says[0], there, low),
        ("what Asterisk encodes", &says[1], here, high),
    ] {
        let score = |said: &[i16], heard: &[i16]| compare(said, heard, 8_000, 500).score;
        let (alike, good) = (score(&ours, &heard), score(said, &heard));
        let text = format!(
            "{side}: {good:.2}, ours {:.2}, one beside the other {alike:.2}",
            score(said, &ours)
        );
        println!("{text}");
        // Bits in another order leave 1.0 of what was said.
        assert!(alike > 2.2 && good > 1.6, "{text}");
    }
}
