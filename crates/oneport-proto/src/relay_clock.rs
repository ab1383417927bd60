//! How the timestamps of a linked call become ours.

/// A relayed stream whose timestamps differ by more than this from the time that has passed has
/// begun anew.
const RELAY_JUMP_MS: u32 = 2_000;

/// Whether `a` is later than `b` on the 32-bit circle.
pub(crate) const fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).wrapping_sub(1) < u32::MAX / 2
}

/// How far apart two moments of the 32-bit circle are.
pub(crate) fn distance(a: u32, b: u32) -> u32 {
    a.wrapping_sub(b).min(b.wrapping_sub(a))
}

/// Moves the timestamps of a relayed stream by what lies between the two clocks: distances stay.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RelayClock(Option<Following>);

#[derive(Clone, Copy, Debug)]
struct Following {
    offset: u32,
    last_theirs: u32,
    last_real: u32,
}

impl RelayClock {
    /// The timestamp of what had `theirs` on the linked call; `real` is our clock, `first` the
    /// timestamp of a stream that begins now, or begins anew.
    pub(crate) fn stamp(&mut self, real: u32, theirs: u32, first: u32) -> u32 {
        let following = self.0.filter(|following| {
            let passed = real.wrapping_sub(following.last_real);
            distance(theirs, following.last_theirs.wrapping_add(passed)) <= RELAY_JUMP_MS
        });
        let offset = match following {
            Some(following) => following.offset,
            None => first.wrapping_sub(theirs),
        };
        self.0 = Some(Following { offset, last_theirs: theirs, last_real: real });
        theirs.wrapping_add(offset)
    }

    /// Where `theirs` lies by this clock, if it follows the linked call and that is near to `real`.
    pub(crate) fn place(&self, real: u32, theirs: u32) -> Option<u32> {
        let place = theirs.wrapping_add(self.0?.offset);
        (distance(place, real) <= RELAY_JUMP_MS).then_some(place)
    }

    /// Forgets the linked call's clock.
    pub(crate) fn forget(&mut self) {
        self.0 = None;
    }
}
