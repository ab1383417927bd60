//! A conference: each member hears all others, and not itself (mixing minus one).
//!
//! It works at any rate in turns of 20 ms, and has no clock: whoever owns it lets it go on by a
//! [`turn`](Mixer::turn) each 20 ms, and gives what each member says in that, such as an [`Input`] makes of
//! the frames that come. The same samples in the same turns give the same samples. Once members have joined,
//! nothing allocates.

mod input;
mod talker;

pub use input::{Input, InputStats};

use talker::Talker;

/// Turns in a second.
pub const TURNS_PER_SECOND: u32 = 50;

/// How much louder or softer a member can be made, in dB.
pub const GAINS_DB: std::ops::RangeInclusive<f32> = -40.0..=20.0;

/// A gain of one.
const UNITY: i32 = 1 << 12;

/// A member of a [`Mixer`]. One that has left finds nothing any more.
///
/// ```
/// use oneport_media::mixer::Mixer;
///
/// let mut mixer = Mixer::new(8_000);
/// let ann = mixer.join();
/// mixer.leave(ann);
/// // Bob gets the place of Ann, but what is done to Ann does nothing to Bob.
/// let bob = mixer.join();
/// mixer.set_muted(ann, true);
/// assert_eq!((mixer.is_muted(ann), mixer.is_muted(bob)), (None, Some(false)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemberId {
    place: usize,
    generation: u32,
}

#[derive(Debug)]
struct Member {
    generation: u32,
    muted: bool,
    /// In 4,096ths.
    gain: i32,
    gain_db: f32,
    talker: Talker,
    /// What the others hear of it in this turn.
    says: Vec<i16>,
    /// Whether that is anything but silence.
    speaks: bool,
}

/// A conference's audio.
///
/// ```
/// use oneport_media::mixer::Mixer;
///
/// let mut mixer = Mixer::new(8_000);
/// let members = [0; 3].map(|_| mixer.join());
/// mixer.turn();
/// for (member, sample) in members.into_iter().zip([100, 20, 3]) {
///     mixer.say(member, &[sample; 160]);
/// }
/// // Each hears the others.
/// let hears = members.map(|member| {
///     let mut out = [0; 160];
///     mixer.mix(member, &mut out);
///     out[80]
/// });
/// assert_eq!(hears, [23, 103, 120]);
/// ```
#[derive(Debug)]
pub struct Mixer {
    sample_rate: u32,
    members: Vec<Option<Member>>,
    generations: u32,
    /// What all say together in this turn.
    sum: Vec<i32>,
}

impl Mixer {
    /// An empty one, at `sample_rate`: 8, 16 or 48 kHz are usual.
    #[must_use]
    pub fn new(sample_rate: u32) -> Self {
        let frame = (sample_rate / TURNS_PER_SECOND) as usize;
        Self { sample_rate, members: Vec::new(), generations: 0, sum: vec![0; frame] }
    }

    /// Samples in a second.
    #[must_use]
    pub const fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Samples of one turn.
    #[must_use]
    pub const fn frame(&self) -> usize {
        self.sum.len()
    }

    /// Lets somebody in.
    pub fn join(&mut self) -> MemberId {
        self.generations = self.generations.wrapping_add(1);
        let member = Member {
            generation: self.generations,
            muted: false,
            gain: UNITY,
            gain_db: 0.0,
            talker: Talker::default(),
            says: vec![0; self.frame()],
            speaks: false,
        };
        let place = self.members.iter().position(Option::is_none).unwrap_or(self.members.len());
        match self.members.get_mut(place) {
            Some(free) => *free = Some(member),
            None => self.members.push(Some(member)),
        }
        MemberId { place, generation: self.generations }
    }

    /// Somebody leaves, and is heard no more from this moment on.
    pub fn leave(&mut self, id: MemberId) {
        if self.silence(id).is_some() {
            self.members[id.place] = None;
        }
    }

    /// How many are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.iter().flatten().count()
    }

    /// Whether nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn member(&self, id: MemberId) -> Option<&Member> {
        let member = self.members.get(id.place)?.as_ref()?;
        (member.generation == id.generation).then_some(member)
    }

    fn member_mut(&mut self, id: MemberId) -> Option<(&mut Vec<i32>, &mut Member)> {
        let Self { members, sum, .. } = self;
        let member = members.get_mut(id.place)?.as_mut()?;
        (member.generation == id.generation).then_some((sum, member))
    }

    /// Takes back what a member says in this turn.
    fn silence(&mut self, id: MemberId) -> Option<(&mut Vec<i32>, &mut Member)> {
        let (sum, member) = self.member_mut(id)?;
        if std::mem::take(&mut member.speaks) {
            for (sum, says) in sum.iter_mut().zip(&mut member.says) {
                *sum -= i32::from(std::mem::take(says));
            }
        }
        Some((sum, member))
    }

    /// Whether a member is heard by nobody. It goes on hearing the others.
    pub fn set_muted(&mut self, id: MemberId, muted: bool) {
        if let Some((_, member)) = self.member_mut(id) {
            member.muted = muted;
        }
        if muted {
            self.silence(id);
        }
    }

    /// Whether a member is muted; `None` for one that has left.
    #[must_use]
    pub fn is_muted(&self, id: MemberId) -> Option<bool> {
        self.member(id).map(|member| member.muted)
    }

    /// Makes a member louder or softer for the others from the next turn on, by so many dB
    /// ([`GAINS_DB`]).
    pub fn set_gain(&mut self, id: MemberId, db: f32) {
        let Some((_, member)) = self.member_mut(id) else { return };
        let db = if db.is_nan() { 0.0 } else { db.clamp(*GAINS_DB.start(), *GAINS_DB.end()) };
        member.gain_db = db;
        #[expect(clippy::cast_possible_truncation, reason = "a gain of 20 dB is ten")]
        let gain = (10.0_f32.powf(db / 20.0) * UNITY as f32).round() as i32;
        member.gain = gain;
    }

    /// By how many dB a member is louder than it speaks; `None` for one that has left.
    #[must_use]
    pub fn gain(&self, id: MemberId) -> Option<f32> {
        self.member(id).map(|member| member.gain_db)
    }

    /// Whether a member speaks, muted or not.
    #[must_use]
    pub fn talks(&self, id: MemberId) -> bool {
        self.member(id).is_some_and(|member| member.talker.talks())
    }

    /// Goes on by 20 ms, in which nobody has said anything yet.
    pub fn turn(&mut self) {
        self.sum.fill(0);
        for member in self.members.iter_mut().flatten() {
            if std::mem::take(&mut member.speaks) {
                member.says.fill(0);
            }
        }
    }

    /// What a member says in this turn. Behind the end of `samples` it is silent.
    pub fn say(&mut self, id: MemberId, samples: &[i16]) {
        let Some((sum, member)) = self.silence(id) else { return };
        member.talker.hear(samples);
        if member.muted {
            return;
        }
        let Member { says, gain, speaks, .. } = member;
        *speaks = true;
        let len = says.len().min(samples.len());
        if *gain == UNITY {
            says[..len].copy_from_slice(&samples[..len]);
        } else {
            for (says, sample) in says.iter_mut().zip(samples) {
                *says = clamped(i32::from(*sample) * *gain / UNITY);
            }
        }
        for (sum, says) in sum.iter_mut().zip(&*says) {
            *sum += i32::from(*says);
        }
    }

    /// Puts what a member hears in this turn into `out`: the sum of all others, no louder than 16 bits can
    /// say. Nobody hears silence.
    pub fn mix(&self, id: MemberId, out: &mut [i16]) {
        let Some(member) = self.member(id) else { return out.fill(0) };
        for ((out, sum), own) in out.iter_mut().zip(&self.sum).zip(&member.says) {
            *out = clamped(sum - i32::from(*own));
        }
    }
}

fn clamped(sample: i32) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped")]
    let sample = sample.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    sample
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: usize = 160;

    /// One turn, in which some speak.
    fn say(mixer: &mut Mixer, voices: &[(MemberId, i16)]) {
        mixer.turn();
        for (id, level) in voices {
            mixer.say(*id, &vec![*level; mixer.frame()]);
        }
    }

    fn hears(mixer: &Mixer, id: MemberId) -> i16 {
        let mut out = vec![1; mixer.frame()];
        mixer.mix(id, &mut out);
        assert_eq!(out, vec![out[0]; mixer.frame()]);
        out[0]
    }

    #[test]
    fn each_hears_all_others_and_not_itself_however_loud_they_are_at_each_rate() {
        for rate in [8_000, 16_000, 48_000] {
            let mut mixer = Mixer::new(rate);
            assert_eq!(mixer.frame(), rate as usize / 50);
            let [a, b, c] = [0; 3].map(|_| mixer.join());
            say(&mut mixer, &[(a, 100), (b, 20), (c, 3)]);
            assert_eq!([a, b, c].map(|id| hears(&mixer, id)), [23, 103, 120]);
            say(&mut mixer, &[(a, i16::MAX), (b, 30_000), (c, i16::MIN)]);
            // a + b is too loud for c; what c hears of itself would have hidden that.
            let expected = [30_000 + i32::from(i16::MIN), -1, i32::from(i16::MAX)];
            assert_eq!([a, b, c].map(|id| i32::from(hears(&mixer, id))), expected);
            // Who has nothing to say is silent.
            say(&mut mixer, &[(b, 20)]);
            assert_eq!([a, b, c].map(|id| hears(&mixer, id)), [20, 0, 20]);
        }
    }

    #[test]
    fn who_is_muted_is_not_heard_but_hears() {
        let mut mixer = Mixer::new(8_000);
        let [a, b] = [0; 2].map(|_| mixer.join());
        mixer.set_muted(a, true);
        say(&mut mixer, &[(a, 100), (b, 20)]);
        assert_eq!([a, b].map(|id| hears(&mixer, id)), [20, 0]);
        mixer.set_muted(a, false);
        say(&mut mixer, &[(a, 100)]);
        assert_eq!(hears(&mixer, b), 100);
        // At once, in the middle of a turn.
        mixer.set_muted(a, true);
        assert_eq!((hears(&mixer, b), mixer.is_muted(a)), (0, Some(true)));
    }

    #[test]
    fn a_gain_makes_a_member_louder_or_softer_for_the_others() {
        let mut mixer = Mixer::new(16_000);
        let [a, b] = [0; 2].map(|_| mixer.join());
        for (db, level) in
            [(6.0206, 2_000), (-6.0206, 500), (20.0, 10_000), (90.0, 10_000), (0.0, 1_000)]
        {
            mixer.set_gain(a, db);
            say(&mut mixer, &[(a, 1_000)]);
            assert!(hears(&mixer, b).abs_diff(level) <= 2, "{db} dB: {}", hears(&mixer, b));
        }
        mixer.set_gain(a, 20.0);
        say(&mut mixer, &[(a, -20_000)]);
        assert_eq!(
            (hears(&mixer, b), mixer.gain(a), mixer.gain(b)),
            (i16::MIN, Some(20.0), Some(0.0))
        );
        mixer.set_gain(a, f32::NAN);
        assert_eq!(mixer.gain(a), Some(0.0));
    }

    #[test]
    fn who_leaves_is_heard_no_more_and_its_place_is_another_s() {
        let mut mixer = Mixer::new(8_000);
        let [a, b] = [0; 2].map(|_| mixer.join());
        say(&mut mixer, &[(a, 100), (b, 20)]);
        mixer.leave(a);
        assert_eq!((hears(&mixer, b), mixer.len()), (0, 1));
        let c = mixer.join();
        assert_ne!(a, c);
        // What comes late of who has left is nobody's.
        mixer.say(a, &[100; FRAME]);
        mixer.set_muted(a, true);
        mixer.set_gain(a, 6.0);
        mixer.leave(a);
        assert_eq!((mixer.is_muted(a), mixer.is_muted(c), mixer.len()), (None, Some(false), 2));
        say(&mut mixer, &[(c, 7)]);
        assert_eq!((hears(&mixer, b), hears(&mixer, c), hears(&mixer, a)), (7, 0, 0));
    }

    proptest! {
        /// Whatever any of them says, each hears exactly the clamped sum of the others, sample by
        /// sample, whoever joins and leaves meanwhile, and however often it says something else.
        #[test]
        fn minus_one_holds_to_the_sample(
            voices in proptest::collection::vec(proptest::collection::vec(any::<i16>(), FRAME), 1..9),
            leaves in any::<proptest::sample::Index>(),
            mutes in any::<proptest::sample::Index>(),
        ) {
            let mut mixer = Mixer::new(8_000);
            let ids: Vec<MemberId> = voices.iter().map(|_| mixer.join()).collect();
            mixer.turn();
            for voice in [&voices[0], &voices[voices.len() - 1]] {
                mixer.say(ids[0], voice);
            }
            for (id, voice) in ids.iter().zip(&voices) {
                mixer.say(*id, voice);
            }
            let (left, muted) = (leaves.index(voices.len()), mutes.index(voices.len()));
            mixer.leave(ids[left]);
            mixer.set_muted(ids[muted], true);
            mixer.join();
            for (me, id) in ids.iter().enumerate().filter(|(me, _)| *me != left) {
                let mut out = [0; FRAME];
                mixer.mix(*id, &mut out);
                for (n, heard) in out.into_iter().enumerate() {
                    let others = voices.iter().enumerate().filter(|(other, _)| ![me, left, muted].contains(other));
                    let sum: i32 = others.map(|(_, voice)| i32::from(voice[n])).sum();
                    prop_assert_eq!(i32::from(heard), sum.clamp(-32_768, 32_767));
                }
            }
        }
    }
}
