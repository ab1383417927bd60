use std::time::Duration;

use oneport_media::ilbc::Mode;
use oneport_media::transcode::{LONGEST_PAYLOAD, Said, Transcoder, Wishes};
use oneport_media::{Codec, tone};
use oneport_wire::Format;

use super::Input;

/// Frames at most that one payload becomes: a second of G.729, 10 ms each, and what waited.
const MOST_FRAMES: usize = 115;

/// A frame of an ordinary call, and how many of them are said at the end.
const FRAME_MS: u32 = 20;
const SANE_FRAMES: u32 = 50;

/// What must be heard of those: the beginning may still belong to what was before.
const HEARD_MS: usize = 800;

/// Formats of which something is known: those that are understood, and one that is only cut.
fn format(input: &mut Input<'_>) -> Format {
    let codecs = Codec::ALL.len();
    match usize::from(input.byte()) % (codecs + 1) {
        place if place < codecs => Codec::ALL[place].format(),
        _ => Format::G729,
    }
}

/// What was said of one payload. None of it may be empty or longer than a frame can be.
#[derive(Default)]
struct Heard {
    frames: usize,
    bytes: Vec<Vec<u8>>,
}

impl Heard {
    fn take(&mut self, said: Said<'_>) {
        self.frames += 1;
        match said {
            Said::Voice { payload, .. } => {
                assert!((1..=LONGEST_PAYLOAD).contains(&payload.len()), "{} bytes", payload.len());
                self.bytes.push(payload.to_vec());
            }
            Said::Pause { level, .. } => assert!(level <= 127, "{level}"),
        }
    }
}

/// Frames of any size with any timestamp in any order, in formats that change, with pauses and noise between
/// them: whatever is said is a frame, and not more than what came can be; and once sane frames come they are
/// said in full.
///
/// # Panics
/// When they are not.
pub fn transcoder(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (mut from, to) = (format(&mut input), format(&mut input));
    let wishes = Wishes {
        // What a configuration may say, and more.
        frame: input.bit().then(|| Duration::from_millis(10 + u64::from(input.byte() % 111))),
        silence_suppression: input.bit(),
        ilbc: [None, Some(Mode::Ms20), Some(Mode::Ms30)][input.below(3)],
    };
    let Some(mut transcoder) = Transcoder::new(from, to, wishes) else { return };
    let (mut stamp, mut taken) = (0_u32, 0_u64);
    while !input.is_empty() {
        let number = |input: &mut Input<'_>| u32::from_be_bytes([0; 4].map(|_: u8| input.byte()));
        let mut heard = Heard::default();
        match input.below(12) {
            0 => stamp = number(&mut input),
            1 => stamp = stamp.wrapping_add(u32::from(input.byte()) << (input.byte() % 24)),
            2 => stamp = stamp.wrapping_sub(input.byte().into()),
            3 => {
                transcoder.pause(stamp, input.byte() & 0x7F, &mut |said| heard.take(said));
            }
            4 => {
                let lasts = Duration::from_millis(1 + u64::from(input.byte() % 120));
                let says = transcoder.noise(lasts, &mut |said| heard.take(said));
                assert_eq!(says.is_some(), transcoder.makes_noise());
            }
            // The sender speaks something else: whoever owns this one takes another.
            5 => {
                let other = format(&mut input);
                if let Some(another) = Transcoder::new(other, to, wishes) {
                    (from, transcoder) = (other, another);
                }
            }
            choice => {
                let mut payload = input.bytes();
                if choice > 9 {
                    // Longer ones, up to what is too long.
                    let length = payload.len() * 16 + usize::from(input.byte());
                    payload = payload.iter().copied().cycle().take(length).collect();
                }
                transcoder.voice(stamp, &payload, &mut |said| heard.take(said));
                taken += 1;
                if input.bit() {
                    stamp = stamp.wrapping_add(FRAME_MS);
                }
            }
        }
        assert!(heard.frames <= MOST_FRAMES, "{from} to {to}: {} frames", heard.frames);
    }
    let left_out = transcoder.left_out();
    assert!(left_out.duplicates + left_out.late + left_out.malformed <= taken, "{left_out:?}");
    sane_frames_are_said(transcoder, stamp.wrapping_add(1 << 31));
}

/// A second of an ordinary call goes by, far from what was before.
fn sane_frames_are_said(mut transcoder: Transcoder, begins: u32) {
    let codecs = (Codec::for_format(transcoder.from()), Codec::for_format(transcoder.to()));
    let (Some(from), Some(to)) = codecs else { return };
    let (mut encoder, mut heard, mut payload) = (from.encoder(), Heard::default(), Vec::new());
    // Louder than any pause.
    let mut tone = tone::Sine::new(440.0, from.sample_rate(), 0.4);
    for n in 0..SANE_FRAMES {
        let samples: Vec<i16> = tone.by_ref().take(from.samples_in(20)).collect();
        payload.clear();
        encoder.encode(&samples, &mut payload);
        let stamp = begins.wrapping_add(n * FRAME_MS);
        transcoder.voice(stamp, &payload, &mut |said| heard.take(said));
    }
    let (mut decoder, mut samples) = (to.decoder(), Vec::new());
    heard.bytes.iter().for_each(|payload| decoder.decode(payload, &mut samples));
    // A decoder of a library may take longer to forget what it was told, and be soft as a pause until then.
    let least = if transcoder.wishes().silence_suppression { 0 } else { HEARD_MS };
    let (least, most) = (to.samples_in(1) * least, to.samples_in(1) * 1_120);
    let whole = samples.len();
    assert!((least..=most).contains(&whole), "{from:?} to {to:?}: {whole} samples");
}
