//! Says keys as tones, one behind the other.

use std::collections::VecDeque;

use super::Generator;

/// A tone is no shorter, and neither is the pause behind it: twice what Q.24 asks of those who hear it.
const LEAST_MS: u32 = 80;

/// A tone is no longer, so that a key whose release is lost does not sound for ever.
const MOST_MS: u32 = 10_000;

/// Keys that wait at most.
const MOST_WAITING: usize = 64;

/// One key that waits or sounds.
#[derive(Clone, Copy, Debug)]
struct Pressed {
    digit: u8,
    released: bool,
}

/// Makes tones of keys that are pressed and released. A tone lasts as long as its key is down, and
/// no less than 80 ms; a key that comes sooner waits.
///
/// ```
/// use oneport_media::dtmf::{Detector, Key, Keyer};
///
/// // All at once; each tone lasts 80 ms nonetheless.
/// let mut keyer = Keyer::new(8_000);
/// for digit in *b"4711" {
///     assert!(keyer.press(digit));
///     keyer.release();
/// }
/// let (mut samples, mut heard) = (vec![0; 8_000], Vec::new());
/// keyer.fill(&mut samples);
/// let mut detector = Detector::new(8_000).expect("a usual rate");
/// detector.hear(&samples, |key| {
///     let Key::Pressed(digit) = key else { return };
///     heard.push(digit);
/// });
/// assert_eq!(heard, b"4711");
/// ```
#[derive(Debug)]
pub struct Keyer {
    sample_rate: u32,
    /// The first is the one that sounds.
    keys: VecDeque<Pressed>,
    sounds: Option<Generator>,
    /// Samples since the present tone began, or since the last one ended.
    since: u32,
}

impl Keyer {
    /// One that has nothing to say, at `sample_rate`.
    #[must_use]
    pub fn new(sample_rate: u32) -> Self {
        let keys = VecDeque::with_capacity(MOST_WAITING);
        Self { sample_rate, keys, sounds: None, since: u32::MAX }
    }

    /// A key goes down. `false`: there is no such key, or too many wait.
    pub fn press(&mut self, digit: u8) -> bool {
        self.release();
        let is_key = Generator::new(digit, self.sample_rate).is_some();
        if is_key && self.keys.len() < MOST_WAITING {
            self.keys.push_back(Pressed { digit, released: false });
            return true;
        }
        false
    }

    /// The key that is down comes up.
    pub fn release(&mut self) {
        if let Some(last) = self.keys.back_mut() {
            last.released = true;
        }
    }

    /// Whether nothing is left to be said, and the pause behind it is over.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.keys.is_empty() && self.since >= self.samples_in(LEAST_MS)
    }

    const fn samples_in(&self, ms: u32) -> u32 {
        self.sample_rate / 1000 * ms
    }

    /// Puts what follows into `out`: tones, and silence between them.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            *sample = self.step();
        }
    }

    fn step(&mut self) -> i16 {
        self.since = self.since.saturating_add(1);
        let least = self.samples_in(LEAST_MS);
        let most = self.samples_in(MOST_MS);
        let Some(generator) = &mut self.sounds else {
            if self.since > least
                && let Some(key) = self.keys.front()
            {
                self.sounds = Generator::new(key.digit, self.sample_rate);
                self.since = 0;
            }
            return 0;
        };
        let up = self.keys.front().is_none_or(|key| key.released);
        if (up && self.since >= least) || self.since >= most {
            generator.release();
        }
        generator.next().unwrap_or_else(|| {
            self.sounds = None;
            self.keys.pop_front();
            self.since = 0;
            0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::{Detector, Key};

    fn hear(keyer: &mut Keyer, ms: usize, heard: &mut Vec<Key>, detector: &mut Detector) {
        for _ in 0..ms / 20 {
            let mut frame = [0; 160];
            keyer.fill(&mut frame);
            detector.hear(&frame, |key| heard.push(key));
        }
    }

    fn digits(heard: &[Key]) -> String {
        let pressed = heard.iter().filter_map(|key| match key {
            Key::Pressed(digit) => Some(char::from(*digit)),
            Key::Released { .. } => None,
        });
        pressed.collect()
    }

    #[test]
    fn keys_that_are_hit_at_once_sound_one_behind_the_other() {
        let (mut keyer, mut heard) = (Keyer::new(8_000), Vec::new());
        let mut detector = Detector::new(8_000).expect("a rate");
        assert!(keyer.is_idle());
        for digit in *b"0011#" {
            assert!(keyer.press(digit));
            keyer.release();
        }
        hear(&mut keyer, 1_000, &mut heard, &mut detector);
        assert_eq!(digits(&heard), "0011#");
        assert!(keyer.is_idle() && !keyer.press(b'x'));
        assert_eq!((0..100).filter(|_| keyer.press(b'1')).count(), MOST_WAITING);
    }

    #[test]
    fn a_key_sounds_as_long_as_it_is_down_but_not_for_ever() {
        let (mut keyer, mut heard) = (Keyer::new(8_000), Vec::new());
        let mut detector = Detector::new(8_000).expect("a rate");
        keyer.press(b'7');
        hear(&mut keyer, 500, &mut heard, &mut detector);
        assert_eq!(heard, [Key::Pressed(b'7')]);
        keyer.release();
        hear(&mut keyer, 100, &mut heard, &mut detector);
        let [_, Key::Released { digit: b'7', ms }] = heard[..] else { panic!("{heard:?}") };
        assert!((480..=520).contains(&ms), "{ms}");
        // The release of this one is lost.
        keyer.press(b'8');
        hear(&mut keyer, 12_000, &mut heard, &mut detector);
        assert!(heard.len() == 4 && keyer.is_idle(), "{heard:?}");
    }
}
