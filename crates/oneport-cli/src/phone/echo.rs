//! Takes out of what the microphone hears what the loudspeaker says, so that the other side does not
//! hear itself.
//!
//! The work is done by `sonora`, WebRTC's AEC3 in Rust: it finds the delay between the two by itself, up
//! to half a second, and lets somebody be heard who speaks at the same time.

use sonora::config::EchoCanceller;
use sonora::{AudioProcessing, Config, StreamConfig};

use super::sound::{RATE, Samples};

/// An echo canceller for one loudspeaker and one microphone.
pub(super) struct Echo {
    process: AudioProcessing,
    input: [f32; RATE as usize / 100],
    output: [f32; RATE as usize / 100],
}

impl Echo {
    pub(super) fn new() -> Self {
        let echo_canceller = Some(EchoCanceller::default());
        let config = Config { echo_canceller, ..Config::default() };
        let stream = StreamConfig::new(RATE, 1);
        let process = AudioProcessing::builder()
            .config(config)
            .capture_config(stream)
            .render_config(stream)
            .build();
        let silence = [0.0; RATE as usize / 100];
        Self { process, input: silence, output: silence }
    }

    fn take(&mut self, frame: &Samples) {
        for (value, sample) in self.input.iter_mut().zip(frame) {
            *value = f32::from(*sample) / 32_768.0;
        }
    }

    /// Hears what is going to the loudspeaker.
    pub(super) fn played(&mut self, frame: &Samples) {
        self.take(frame);
        // It refuses only frames of other lengths.
        let _ = self.process.process_render_f32(&[&self.input], &mut [&mut self.output]);
    }

    /// Takes that out of what comes from the microphone.
    pub(super) fn clean(&mut self, frame: &mut Samples) {
        self.take(frame);
        let cleaned = self.process.process_capture_f32(&[&self.input], &mut [&mut self.output]);
        if cleaned.is_err() {
            return;
        }
        for (sample, value) in frame.iter_mut().zip(&self.output) {
            #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
            let linear = (value * 32_768.0).round() as i16;
            *sample = linear;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_testkit::audio::speech::{Dice, Voice, synthesize};

    const SECOND: usize = RATE as usize;
    /// From the loudspeaker's driver to the microphone's.
    const DELAY_MS: usize = 90;

    /// What a microphone hears of a loudspeaker in a room with 0.2 s of reverberation, 6 dB softer.
    fn in_a_room(far: &[i16]) -> Vec<f64> {
        let mut dice = Dice::new(5);
        let decay = SECOND as f64 * 0.03;
        let room: Vec<f64> =
            (0..SECOND / 8).map(|n| dice.normal() * (-(n as f64) / decay).exp()).collect();
        let energy: f64 = room.iter().map(|tap| tap * tap).sum();
        let delay = DELAY_MS * SECOND / 1_000;
        let mut heard = vec![0.0; far.len()];
        for (n, sample) in far.iter().enumerate().filter(|(_, sample)| **sample != 0) {
            let Some(rest) = heard.get_mut(n + delay..) else { continue };
            for (value, tap) in rest.iter_mut().zip(&room) {
                *value += f64::from(*sample) * tap * 0.5 / energy.sqrt();
            }
        }
        heard
    }

    fn level(samples: &[i16]) -> f64 {
        let sum: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        20.0 * ((sum / samples.len() as f64).sqrt() / 32_768.0).max(1e-6).log10()
    }

    /// What the microphone hears, and what is left of it.
    fn through(far: &[i16], near: &[i16]) -> (Vec<i16>, Vec<i16>) {
        let mut echo = Echo::new();
        let (mut heard, mut left) = (Vec::new(), Vec::new());
        let room = in_a_room(far);
        let mut microphone = room.iter().zip(near).map(|(echo, near)| {
            #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
            let sample = (echo + f64::from(*near)).round() as i16;
            sample
        });
        for played in far.chunks_exact(RATE as usize / 100) {
            echo.played(played.try_into().unwrap());
            let mut frame = [0; RATE as usize / 100];
            frame.fill_with(|| microphone.next().unwrap());
            heard.extend_from_slice(&frame);
            echo.clean(&mut frame);
            left.extend_from_slice(&frame);
        }
        (heard, left)
    }

    /// Prints what docs/phone.md says: the echo, and what is left of it.
    #[test]
    fn an_echo_is_softer_than_a_pause_within_a_second() {
        let far = synthesize(1, Voice::Low, RATE, 12_000);
        let (heard, left) = through(&far, &vec![0; far.len()]);
        for second in 0..12 {
            let part = second * SECOND..(second + 1) * SECOND;
            let (before, after) = (level(&heard[part.clone()]), level(&left[part]));
            println!("second {second}: {before:.1} dB of echo, {after:.1} dB left");
            assert!(second == 0 || after < -55.0, "second {second}: {before:.1} to {after:.1} dB");
            assert!(second < 4 || before - after > 40.0, "{second}: {before:.1} to {after:.1} dB");
        }
    }

    #[test]
    fn somebody_who_speaks_meanwhile_is_still_heard() {
        let far = synthesize(1, Voice::Low, RATE, 14_000);
        let mut near = synthesize(7, Voice::High, RATE, 14_000);
        near[..4 * SECOND].fill(0);
        let (_, left) = through(&far, &near);
        let part = 5 * SECOND..13 * SECOND;
        let (said, after) = (level(&near[part.clone()]), level(&left[part]));
        println!("what is said into an echo: {said:.1} dB, and {after:.1} dB without that");
        assert!((said - after).abs() < 5.0, "{said:.1} dB, {after:.1} dB");
    }
}
