//! iLBC as ffmpeg understands it, whose decoder was written by others and has no part that a decoder may have as it
//! likes: no enhancer.

use std::path::Path;
use std::process::Command;

use oneport::media::ilbc::{IlbcDecoder, IlbcEncoder, Mode};
use oneport::media::{Decoder, Encoder};
use oneport_testkit::audio::similarity::compare;
use oneport_testkit::audio::speech::{Voice, synthesize};
use oneport_testkit::peers::program_of;

const MODES: [Mode; 2] = [Mode::Ms20, Mode::Ms30];
const RATE: u32 = 8_000;

/// Samples in the beginning of which ffmpeg (5.1) makes noise as loud as can be, unless they are silent: its first
/// frame, and the echo of that.
const BEGINNING: usize = 960;

/// What ffmpeg hears of frames, which it is given in a file (RFC 3952 §4.1).
fn heard_by_ffmpeg(directory: &Path, mode: Mode, frames: &[u8]) -> Vec<i16> {
    program_of("ffmpeg", "ffmpeg").unwrap_or_else(|missing| panic!("{missing}"));
    let file = directory.join("speech.lbc");
    let head: &[u8] = match mode {
        Mode::Ms20 => b"#!iLBC20\n",
        Mode::Ms30 => b"#!iLBC30\n",
    };
    std::fs::write(&file, [head, frames].concat()).expect("written");
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-f", "ilbc", "-i"])
        .arg(file)
        .args(["-f", "s16le", "-"])
        .output()
        .expect("ffmpeg runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect()
}

fn heard_by(mut decoder: IlbcDecoder, mode: Mode, frames: &[u8]) -> Vec<i16> {
    let mut heard = Vec::new();
    frames.chunks(mode.bytes()).for_each(|frame| decoder.decode(frame, &mut heard));
    heard
}

/// How much louder the samples are than what the others have apart from them, in dB.
fn likeness(samples: &[i16], others: &[i16]) -> f64 {
    let power = |samples: &mut dyn Iterator<Item = f64>| samples.map(|a| a * a).sum::<f64>();
    let both = || samples.iter().zip(others).skip(BEGINNING);
    let apart = power(&mut both().map(|(a, b)| f64::from(*a) - f64::from(*b)));
    10.0 * (power(&mut both().map(|(a, _)| f64::from(*a))) / apart.max(1.0)).log10()
}

/// The same speech with such a peak.
fn loud(speech: &[i16], peak: i16) -> Vec<i16> {
    let loudest = speech.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or_default();
    let gain = f64::from(peak) / f64::from(loudest);
    speech.iter().map(|sample| (f64::from(*sample) * gain) as i16).collect()
}

/// ffmpeg reckons with 16 bits, and the softer the speech is the more is apart for that: of speech of −40 dBov it leaves
/// little, which is no measure of ours.
#[test]
fn ffmpeg_hears_what_our_encoder_says_and_our_decoder_hears_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    for mode in MODES {
        for (voice, peak) in [(Voice::Low, 8_000), (Voice::High, 8_000), (Voice::Low, 30_000)] {
            let speech = loud(&synthesize(3, voice, RATE, 6_000), peak);
            let mut frames = Vec::new();
            IlbcEncoder::new(mode).encode(&speech, &mut frames);
            let theirs = heard_by_ffmpeg(directory.path(), mode, &frames);
            let ours = heard_by(IlbcDecoder::plain(), mode, &frames);
            assert_eq!((ours.len(), theirs.len()), (speech.len(), speech.len()));
            let likeness = likeness(&ours, &theirs);
            let enhanced = heard_by(IlbcDecoder::default(), mode, &frames);
            let scores = [&theirs, &ours, &enhanced].map(|heard| {
                let heard = [&heard[BEGINNING..], &[0; 1_600]].concat();
                compare(&speech[BEGINNING..], &heard, RATE, 150).score
            });
            let found =
                format!("{mode:?}, {voice:?}, up to {peak}: {likeness:.1} dB, {scores:.2?}");
            eprintln!("{found}");
            assert!(likeness > 20.0, "{found}");
            assert!(scores.iter().all(|score| *score > 3.6), "{found}");
        }
    }
}
