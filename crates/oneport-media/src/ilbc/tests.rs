use super::lpc::HighPass;
use super::tables::{INPUT_FILTER, OUTPUT_FILTER};
use super::*;
use crate::tone::Sine;
use crate::{Decoder, Encoder};

const MODES: [Mode; 2] = [Mode::Ms20, Mode::Ms30];

fn through(mode: Mode, sent: &[i16]) -> Vec<i16> {
    let (mut payload, mut heard) = (Vec::new(), Vec::new());
    IlbcEncoder::new(mode).encode(sent, &mut payload);
    assert_eq!(payload.len(), sent.len() / mode.samples() * mode.bytes());
    let mut decoder = IlbcDecoder::default();
    payload.chunks(mode.bytes()).for_each(|frame| decoder.decode(frame, &mut heard));
    heard
}

fn power(samples: &[i16]) -> f64 {
    samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64
}

/// What the filters of both ends leave, which turn phases.
fn filtered(samples: &[i16]) -> Vec<i16> {
    let (mut input, mut output) = (HighPass::new(INPUT_FILTER), HighPass::new(OUTPUT_FILTER));
    samples.iter().map(|sample| output.pass(input.pass(f32::from(*sample))) as i16).collect()
}

/// A voice of sorts: pulses of a pitch that rises, through two resonances.
fn voice(len: usize) -> Vec<i16> {
    let (mut phase, mut first, mut second) = (0.0, [0.0; 2], [0.0; 2]);
    let resonance = |memory: &mut [f64; 2], sample: f64, hertz: f64, wide: f64| {
        let radius = (-std::f64::consts::PI * wide / 8_000.0).exp();
        let turn = 2.0 * (std::f64::consts::TAU * hertz / 8_000.0).cos();
        let out = sample + radius * turn * memory[0] - radius * radius * memory[1];
        *memory = [out, memory[0]];
        out
    };
    let sample = |n: usize| {
        phase += (100.0 + n as f64 / 200.0) / 8_000.0;
        let pulse = if phase >= 1.0 { 1_200.0 } else { 0.0 };
        phase %= 1.0;
        let out = resonance(&mut first, pulse, 600.0, 80.0);
        resonance(&mut second, out, 1_500.0, 120.0).round() as i16
    };
    (0..len).map(sample).collect()
}

#[test]
fn a_voice_is_heard_as_it_was_said_a_little_later() {
    for (mode, least) in [(Mode::Ms20, 12.0), (Mode::Ms30, 10.0)] {
        let sent = voice(9_600);
        let heard = through(mode, &sent);
        let delay = mode.delay();
        let (sent, heard) = (&filtered(&sent)[2_400..9_600 - delay], &heard[2_400 + delay..]);
        let noise: Vec<i16> = sent.iter().zip(heard).map(|(a, b)| a.saturating_sub(*b)).collect();
        let clarity = 10.0 * (power(sent) / power(&noise)).log10();
        assert!(clarity > least, "{mode:?}: {clarity:.1} dB");
    }
}

#[test]
fn silence_stays_silent_and_is_a_known_frame() {
    for (mode, golden) in [
        (
            Mode::Ms20,
            "ffa6360425e85555555555249209ccccccccccccccccccccf3cf3cf3c1ed06ddbb1b1b1b1616",
        ),
        (
            Mode::Ms30,
            "ffa63ffa633024ec49249249240000262e040210cf3cf3cf3cf3cf3cf3cffffffffffcd9a17dfbe2e2f8181c0c0961615856",
        ),
    ] {
        let mut payload = Vec::new();
        IlbcEncoder::new(mode).encode(&[0; 240][..mode.samples()], &mut payload);
        let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden);
        let heard = through(mode, &[0; 9_600]);
        assert!(heard.iter().all(|sample| sample.abs() <= 8), "{:?}", heard.iter().max());
    }
}

#[test]
fn what_is_as_loud_as_can_be_is_not_turned_over() {
    for mode in MODES {
        let sent: Vec<i16> = Sine::new(350.0, 8_000, 1.0).take(9_600).collect();
        let heard = through(mode, &sent);
        let (sent, heard) =
            (&filtered(&sent)[2_400..9_600 - mode.delay()], &heard[2_400 + mode.delay()..]);
        assert!((0.8..1.2).contains(&(power(heard) / power(sent))), "{mode:?}");
        let turned =
            sent.iter().zip(heard).filter(|(a, b)| a.abs() > 20_000 && (**a > 0) != (**b > 0));
        assert_eq!(turned.count(), 0, "{mode:?}");
        let square: Vec<i16> =
            (0..9_600).map(|n| if n / 20 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        assert!(power(&through(mode, &square)) > 1e8, "{mode:?}");
    }
}

#[test]
fn frames_of_both_lengths_are_understood_by_the_same_decoder() {
    let sent = voice(9_600);
    let (mut decoder, mut heard) = (IlbcDecoder::default(), Vec::new());
    let mut encoders = MODES.map(IlbcEncoder::new);
    for (n, part) in sent.chunks(480).enumerate() {
        let mut payload = Vec::new();
        // Both hear all, so that each knows what was before.
        let [mut other, mut this] = [Vec::new(), Vec::new()];
        encoders[n % 2].encode(part, &mut this);
        encoders[(n + 1) % 2].encode(part, &mut other);
        payload.extend(this);
        decoder.decode(&payload, &mut heard);
    }
    assert_eq!(heard.len(), sent.len());
    let (before, after) = (power(&sent[2_400..]), power(&heard[2_400..]));
    assert!((0.7..1.3).contains(&(after / before)), "{before} {after}");
    let loudest = |samples: &[i16]| samples.iter().map(|sample| sample.unsigned_abs()).max();
    assert!(loudest(&heard) < loudest(&sent).map(|loudest| loudest * 3 / 2), "nothing clicks");
}

#[test]
fn what_is_lost_goes_on_fades_and_is_joined_to_what_follows() {
    for mode in MODES {
        let (frames, len) = (40, mode.samples());
        let sent = voice(frames * len);
        let mut payload = Vec::new();
        IlbcEncoder::new(mode).encode(&sent, &mut payload);
        let hear = |lost: std::ops::Range<usize>, by_mark: bool| {
            let (mut decoder, mut heard) = (IlbcDecoder::default(), Vec::new());
            for (n, frame) in payload.chunks(mode.bytes()).enumerate() {
                match lost.contains(&n) {
                    true if by_mark => {
                        let mut marked = frame.to_vec();
                        marked[mode.bytes() - 1] |= 1;
                        decoder.decode(&marked, &mut heard);
                    }
                    true => assert!(decoder.conceal(len, &mut heard)),
                    false => decoder.decode(frame, &mut heard),
                }
            }
            assert_eq!(heard.len(), sent.len());
            heard
        };
        let all = hear(0..0, false);
        assert_eq!(hear(20..21, false), hear(20..21, true));
        let one = hear(20..21, false);
        let range = 20 * len + mode.delay()..21 * len + mode.delay();
        let likeness = power(&one[range.clone()]) / power(&all[range]);
        assert!((0.4..1.6).contains(&likeness), "{mode:?}: {likeness}");
        // Two frames later nothing is heard of it any more.
        let after = 24 * len..;
        let apart: Vec<i16> = all[after.clone()]
            .iter()
            .zip(&one[after.clone()])
            .map(|(a, b)| a.saturating_sub(*b))
            .collect();
        assert!(power(&apart) < power(&all[after]) / 1e3, "{mode:?}");
        let many = hear(20..32, false);
        assert!(many[30 * len..31 * len].iter().all(|sample| sample.abs() <= 1), "{mode:?}");
    }
}

#[test]
fn a_loss_before_the_first_frame_is_silence() {
    let (mut decoder, mut heard) = (IlbcDecoder::default(), Vec::new());
    assert!(decoder.conceal(241, &mut heard));
    assert_eq!(heard, [0; 480]);
}

#[test]
fn bytes_that_are_no_speech_do_no_harm_to_what_follows() {
    let mut dice = 7_u32;
    let mut next = || {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (dice >> 24) as u8
    };
    let (mut decoder, mut heard) = (IlbcDecoder::default(), Vec::new());
    for len in (0..2_000).map(|n| n * 37 % 152) {
        let payload: Vec<u8> = (0..len).map(|_| next()).collect();
        let (before, mode) = (heard.len(), decoder.mode());
        decoder.decode(&payload, &mut heard);
        let known = [(50, 240), (38, 160)].into_iter().find(|(bytes, _)| len % bytes == 0);
        let (bytes, samples) = known.unwrap_or_else(|| (mode.bytes(), mode.samples()));
        assert_eq!(heard.len() - before, len / bytes * samples, "{len}");
    }
    let (mut payload, mut fresh) = (Vec::new(), Vec::new());
    IlbcEncoder::default().encode(&voice(9_600), &mut payload);
    heard.clear();
    decoder.decode(&payload, &mut heard);
    IlbcDecoder::default().decode(&payload, &mut fresh);
    // Nothing is left of it but what becomes of the smallest bits of numbers.
    let apart = heard[4_800..].iter().zip(&fresh[4_800..]).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(apart <= Some(2), "{apart:?}");
}
