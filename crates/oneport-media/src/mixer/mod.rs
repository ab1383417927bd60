//! A conference: each member hears all others, and not itself (mixing minus one).
//!
//! It works at 8 kHz in frames of 20 ms, and has no clock: whoever owns it calls
//! [`turn`](Mixer::turn) each 20 ms. The same frames in the same turns give the same samples. Once
//! members have joined, nothing allocates.

mod buffer;

pub use buffer::Heard;

use buffer::JitterBuffer;

/// Samples in a second.
pub const SAMPLE_RATE: u32 = 8_000;

/// Samples of one turn: 20 ms.
pub const FRAME: usize = 160;

/// A member of a [`Mixer`]. One that has left finds nothing any more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemberId {
    place: usize,
    generation: u32,
}

#[derive(Debug)]
struct Member {
    generation: u32,
    muted: bool,
    buffer: JitterBuffer,
    /// What it says in this turn; silence while it is muted.
    says: [i16; FRAME],
}

/// A conference's audio.
#[derive(Debug)]
pub struct Mixer {
    members: Vec<Option<Member>>,
    generations: u32,
    /// What all say together in this turn.
    sum: [i32; FRAME],
}

impl Default for Mixer {
    fn default() -> Self {
        Self { members: Vec::new(), generations: 0, sum: [0; FRAME] }
    }
}

impl Mixer {
    /// Lets somebody in.
    pub fn join(&mut self) -> MemberId {
        self.generations = self.generations.wrapping_add(1);
        let member = Member {
            generation: self.generations,
            muted: false,
            buffer: JitterBuffer::default(),
            says: [0; FRAME],
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
        if let Some(member) = self.member(id) {
            let says = member.says;
            self.subtract(&says);
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

    fn member_mut(&mut self, id: MemberId) -> Option<&mut Member> {
        let member = self.members.get_mut(id.place)?.as_mut()?;
        (member.generation == id.generation).then_some(member)
    }

    fn subtract(&mut self, says: &[i16; FRAME]) {
        for (sum, says) in self.sum.iter_mut().zip(says) {
            *sum -= i32::from(*says);
        }
    }

    /// Takes what a member has said: samples at 8 kHz, with its own clock's `timestamp` in ms. They are
    /// heard about 40 ms later.
    pub fn push(&mut self, id: MemberId, timestamp: u32, samples: &[i16]) {
        if let Some(member) = self.member_mut(id) {
            member.buffer.put(timestamp, samples);
        }
    }

    /// Whether a member is heard by nobody. It goes on hearing the others.
    pub fn set_muted(&mut self, id: MemberId, muted: bool) {
        let Some(member) = self.member_mut(id) else { return };
        member.muted = muted;
        if muted {
            let says = std::mem::replace(&mut member.says, [0; FRAME]);
            self.subtract(&says);
        }
    }

    /// Whether a member is muted; `None` for one that has left.
    #[must_use]
    pub fn is_muted(&self, id: MemberId) -> Option<bool> {
        self.member(id).map(|member| member.muted)
    }

    /// What was heard of a member so far.
    #[must_use]
    pub fn heard(&self, id: MemberId) -> Option<Heard> {
        self.member(id).map(|member| member.buffer.heard())
    }

    /// Goes on by 20 ms: takes a frame of each member. Of one that is muted it is thrown away.
    pub fn turn(&mut self) {
        self.sum = [0; FRAME];
        for member in self.members.iter_mut().flatten() {
            member.buffer.take(&mut member.says);
            if member.muted {
                member.says = [0; FRAME];
            }
            for (sum, says) in self.sum.iter_mut().zip(&member.says) {
                *sum += i32::from(*says);
            }
        }
    }

    /// What a member hears in this turn: the sum of all others, no louder than 16 bits can say. Nobody
    /// hears silence.
    pub fn mix(&self, id: MemberId, out: &mut [i16; FRAME]) {
        let Some(member) = self.member(id) else { return out.fill(0) };
        for ((out, sum), own) in out.iter_mut().zip(&self.sum).zip(&member.says) {
            let others = sum - i32::from(*own);
            #[expect(clippy::cast_possible_truncation, reason = "clamped")]
            let loud = others.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
            *out = loud;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Frames of `level`, until they are heard.
    fn say(mixer: &mut Mixer, voices: &[(MemberId, i16)]) {
        for n in 0..6 {
            for (id, level) in voices {
                mixer.push(*id, n * 20, &[*level; FRAME]);
            }
            mixer.turn();
        }
    }

    fn hears(mixer: &Mixer, id: MemberId) -> i16 {
        let mut out = [1; FRAME];
        mixer.mix(id, &mut out);
        assert_eq!(out, [out[0]; FRAME]);
        out[0]
    }

    #[test]
    fn each_hears_all_others_and_not_itself_however_loud_they_are() {
        let mut mixer = Mixer::default();
        let [a, b, c] = [0; 3].map(|_| mixer.join());
        say(&mut mixer, &[(a, 100), (b, 20), (c, 3)]);
        assert_eq!([a, b, c].map(|id| hears(&mixer, id)), [23, 103, 120]);
        let mut mixer = Mixer::default();
        let [a, b, c] = [0; 3].map(|_| mixer.join());
        say(&mut mixer, &[(a, i16::MAX), (b, 30_000), (c, i16::MIN)]);
        // a + b is too loud for c; what c hears of itself would have hidden that.
        let expected = [30_000 + i32::from(i16::MIN), -1, i32::from(i16::MAX)];
        assert_eq!([a, b, c].map(|id| i32::from(hears(&mixer, id))), expected);
    }

    #[test]
    fn who_is_muted_is_not_heard_but_hears() {
        let mut mixer = Mixer::default();
        let [a, b] = [0; 2].map(|_| mixer.join());
        mixer.set_muted(a, true);
        say(&mut mixer, &[(a, 100), (b, 20)]);
        assert_eq!([a, b].map(|id| hears(&mixer, id)), [20, 0]);
        mixer.set_muted(a, false);
        say(&mut mixer, &[]);
        for n in 12..18 {
            mixer.push(a, n * 20, &[100; FRAME]);
            mixer.turn();
        }
        assert_eq!(hears(&mixer, b), 100);
        // At once, in the middle of a turn.
        mixer.set_muted(a, true);
        assert_eq!((hears(&mixer, b), mixer.is_muted(a)), (0, Some(true)));
    }

    #[test]
    fn who_leaves_is_heard_no_more_and_its_place_is_another_s() {
        let mut mixer = Mixer::default();
        let [a, b] = [0; 2].map(|_| mixer.join());
        say(&mut mixer, &[(a, 100), (b, 20)]);
        mixer.leave(a);
        assert_eq!((hears(&mixer, b), mixer.len()), (0, 1));
        let c = mixer.join();
        assert_ne!(a, c);
        // What comes late of who has left is nobody's.
        mixer.push(a, 0, &[100; FRAME]);
        mixer.set_muted(a, true);
        mixer.leave(a);
        assert_eq!((mixer.is_muted(a), mixer.is_muted(c), mixer.len()), (None, Some(false), 2));
        say(&mut mixer, &[(c, 7)]);
        assert_eq!((hears(&mixer, b), hears(&mixer, c), hears(&mixer, a)), (7, 0, 0));
    }

    proptest! {
        /// Whatever any of them says, each hears exactly the clamped sum of the others, sample by
        /// sample, whoever joins and leaves meanwhile.
        #[test]
        fn minus_one_holds_to_the_sample(
            voices in proptest::collection::vec(proptest::collection::vec(any::<i16>(), FRAME), 1..9),
            leaves in any::<proptest::sample::Index>(),
            mutes in any::<proptest::sample::Index>(),
        ) {
            let mut mixer = Mixer::default();
            let ids: Vec<MemberId> = voices.iter().map(|_| mixer.join()).collect();
            for n in 0..4 {
                for (id, voice) in ids.iter().zip(&voices) {
                    mixer.push(*id, n * 20, voice);
                }
                mixer.turn();
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
