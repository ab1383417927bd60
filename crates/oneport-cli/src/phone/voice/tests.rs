//! A voice by hand, through a sound card of the test's own.

use std::sync::Mutex;

use oneport::AudioFrame;
use oneport::media::tone::Sine;

use super::*;

const LINE: LineId = LineId(1);
const MS: Duration = Duration::from_millis(1);

/// A card that takes a frame each 10 ms, and hears a tone.
struct Card {
    played: Vec<i16>,
    talked: usize,
    microphone: Sine,
    frames: u64,
    said: u64,
}

impl Card {
    fn new() -> Self {
        let microphone = Sine::new(1_000.0, RATE, 0.5);
        Self { played: Vec::new(), talked: 0, microphone, frames: 0, said: 0 }
    }
}

impl Sound for Card {
    fn wanted(&mut self, now: Duration) -> usize {
        (now.as_millis() as u64 / 10 - self.frames) as usize
    }

    fn heard_at(&self, _now: Duration) -> Duration {
        MS * 10 * self.frames as u32
    }

    fn play(&mut self, frame: &Samples, talking: bool) {
        self.frames += 1;
        self.played.extend_from_slice(frame);
        self.talked += usize::from(talking);
    }

    fn capture(&mut self, now: Duration, frame: &mut Samples) -> bool {
        if now.as_millis() as u64 / 10 <= self.said {
            return false;
        }
        self.said += 1;
        frame.fill_with(|| self.microphone.next().unwrap());
        true
    }
}

type Sent = Arc<Mutex<Vec<Vec<u8>>>>;

fn voice(codec: Codec) -> (Voice<Card>, Sent) {
    let mut voice = Voice::new(Card::new(), Arc::default(), Country::find("us").unwrap());
    let sent = Sent::default();
    let line = Arc::clone(&sent);
    let say: Say = Box::new(move |payload| line.lock().unwrap().push(payload.to_vec()));
    voice.told(ToVoice::Wire { line: LINE, codec, say });
    (voice, sent)
}

fn loudness(samples: &[i16]) -> f64 {
    let sum: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (sum / samples.len() as f64).sqrt() / 32_768.0
}

/// So many ms, with a tone from the other side.
fn pass(voice: &mut Voice<Card>, codec: Codec, from_ms: u32, to_ms: u32) {
    let mut tone = Sine::new(400.0, codec.sample_rate(), 0.5);
    let mut encoder = codec.encoder();
    for ms in (from_ms..to_ms).step_by(5) {
        if ms.is_multiple_of(20) {
            let samples: Vec<i16> = tone.by_ref().take(codec.samples_in(20)).collect();
            let mut payload = Vec::new();
            encoder.encode(&samples, &mut payload);
            let frame = AudioFrame {
                format: codec.format(),
                timestamp: oneport::Timestamp(ms),
                payload: payload.into(),
            };
            let heard = FromThem::Voice(frame);
            voice.told(ToVoice::Frame { line: LINE, at: MS * ms, heard });
        }
        voice.step(MS * ms);
    }
}

#[test]
fn both_sides_are_heard_in_codecs_of_either_rate_once_it_is_answered() {
    for codec in [Codec::Ulaw, Codec::G722, Codec::Slin16, Codec::Gsm] {
        let (mut voice, sent) = voice(codec);
        pass(&mut voice, codec, 0, 1_000);
        assert_eq!((voice.sound.talked, sent.lock().unwrap().len()), (0, 0), "{codec:?}");
        assert!(loudness(&voice.sound.played) < 1e-6, "nobody is talked to");
        voice.told(ToVoice::Talk(Some(LINE)));
        pass(&mut voice, codec, 1_000, 2_000);
        assert_eq!(sent.lock().unwrap().len(), 0, "{codec:?}: not answered yet");
        voice.told(ToVoice::Answered(LINE));
        pass(&mut voice, codec, 2_000, 3_000);
        let heard = loudness(&voice.sound.played[RATE as usize * 3 / 2..]);
        assert!((heard - 0.353).abs() < 0.03, "{codec:?}: {heard}");
        let sent = std::mem::take(&mut *sent.lock().unwrap());
        assert!(sent.len().abs_diff(50) <= 1, "{codec:?}: {} frames", sent.len());
        let (mut decoder, mut said) = (codec.decoder(), Vec::new());
        for payload in &sent {
            decoder.decode(payload, &mut said);
        }
        let said = loudness(&said[said.len() / 2..]);
        assert!((said - 0.353).abs() < 0.04, "{codec:?}: {said}");
        // The decoders of codecs that remember have met an encoder that begins anew.
        let (microphone, heard) = voice.gauges.levels();
        let right =
            (microphone + 9.0).abs() < 0.5 && (codec != Codec::Ulaw || (heard + 9.0).abs() < 1.0);
        assert!(right, "{codec:?}: {microphone} {heard}");
        assert_eq!(voice.gauges.levels(), (SILENT, SILENT), "each level is told once");
    }
}

#[test]
fn who_is_muted_is_silent_and_volume_is_what_it_says() {
    let codec = Codec::Slin;
    let (mut voice, sent) = voice(codec);
    voice.told(ToVoice::Talk(Some(LINE)));
    voice.told(ToVoice::Answered(LINE));
    voice.told(ToVoice::Mute(true));
    voice.told(ToVoice::Volume(-12));
    pass(&mut voice, codec, 0, 1_000);
    assert!(sent.lock().unwrap().len() > 45, "frames go on, lest the far end wonders");
    let silent = |payload: &Vec<u8>| payload.iter().all(|byte| *byte == 0);
    assert!(sent.lock().unwrap().iter().skip(1).all(silent));
    let heard = loudness(&voice.sound.played[RATE as usize / 2..]);
    assert!((20.0 * (heard / 0.353).log10() + 12.0).abs() < 0.5, "{heard}");
}

#[test]
fn a_line_that_is_over_or_on_hold_is_not_heard_and_the_next_begins_anew() {
    let codec = Codec::Ulaw;
    let (mut voice, sent) = voice(codec);
    voice.told(ToVoice::Talk(Some(LINE)));
    voice.told(ToVoice::Answered(LINE));
    pass(&mut voice, codec, 0, 500);
    assert!(voice.gauges.of(LINE).is_some_and(|(buffer, _)| buffer > MS * 10));
    voice.told(ToVoice::Talk(None));
    let (before, frames) = (sent.lock().unwrap().len(), voice.sound.talked);
    pass(&mut voice, codec, 500, 1_000);
    assert_eq!((sent.lock().unwrap().len(), voice.sound.talked), (before, frames));
    assert_eq!(voice.gauges.of(LINE), None);
    voice.told(ToVoice::Talk(Some(LINE)));
    pass(&mut voice, codec, 1_000, 1_500);
    assert!(sent.lock().unwrap().len() > before + 20);
    voice.told(ToVoice::Unwire(LINE));
    let frames = voice.sound.talked;
    pass(&mut voice, codec, 1_500, 2_000);
    assert_eq!(voice.sound.talked, frames);
}

#[test]
fn a_bell_rings_into_what_is_heard() {
    let (mut voice, _) = voice(Codec::Ulaw);
    voice.told(ToVoice::Alert(Alert::Ring));
    pass(&mut voice, Codec::Ulaw, 0, 500);
    assert!(loudness(&voice.sound.played) > 0.02);
    assert_eq!(voice.sound.talked, 0, "that is nobody's voice");
}
