//! Gets what a batch of voice needs out of the memory at once.
//!
//! A call is looked at once in 20 ms, and by then everything else that runs on the machine has had the
//! cache. Frame by frame, each would wait for its lines of memory, one after the other; looked at
//! before, those of many calls are on their way at the same time.

use core::hint::black_box;
use core::net::SocketAddr;

use oneport_wire::{CallNumber, Datagram};

use crate::endpoint::Endpoint;
use crate::numbers::Remote;

/// Frames that are looked at together. More would push the first ones out again.
const FRAMES: usize = 64;

/// What is looked at together: at most [`FRAMES`].
struct Group<T> {
    members: [T; FRAMES],
    count: usize,
}

impl<T: Copy> Group<T> {
    /// None; `unused` stands where there is no member.
    const fn empty(unused: T) -> Self {
        Self { members: [unused; FRAMES], count: 0 }
    }

    /// Takes one; `true` when it was the last for which there is room.
    fn push(&mut self, member: T) -> bool {
        if let Some(free) = self.members.get_mut(self.count) {
            *free = member;
            self.count += 1;
        }
        self.count == FRAMES
    }

    fn iter(&self) -> impl Iterator<Item = T> {
        self.members.iter().copied().take(self.count)
    }
}

/// Whose voice a frame is, by whoever sent it.
type Source = (Remote, CallNumber);

impl Endpoint {
    /// Looks at the calls for which there is voice in `datagrams`, each with the address that it came
    /// from, so that handing those over ([`handle_datagram`](Self::handle_datagram)) soon after takes
    /// less time. It changes nothing, and may be left out.
    pub fn prefetch<'a>(&self, datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>) {
        let mut sources = Group::empty((Remote(0), CallNumber::NONE));
        let mut last = None;
        for (from, datagram) in datagrams {
            let [first, second, ..] = *datagram else { continue };
            if first & 0x80 != 0 {
                continue;
            }
            let remote = match last {
                Some((address, remote)) if address == from => remote,
                _ => self.cx.index.remote(from),
            };
            last = Some((from, remote));
            let Some(remote) = remote else { continue };
            let number = u16::from_be_bytes([first, second]);
            if number != 0 {
                self.add(&mut sources, (remote, CallNumber::from_bits(number)));
            } else if let Ok(Datagram::Trunk(trunk)) = Datagram::decode(datagram) {
                for entry in trunk.entries() {
                    self.add(&mut sources, (remote, entry.source));
                }
            }
        }
        self.look_at(&sources);
    }

    fn add(&self, sources: &mut Group<Source>, source: Source) {
        if sources.push(source) {
            self.look_at(sources);
            sources.count = 0;
        }
    }

    /// In three steps, in each of which the memory of many is waited for at once: the numbers, the calls that
    /// hear, and those to which they send it on.
    fn look_at(&self, sources: &Group<Source>) {
        let mut heard = Group::empty(0);
        for (remote, number) in sources.iter() {
            if let Some(place) = self.cx.index.find_theirs_of(remote, number) {
                heard.push(place);
            }
        }
        let mut linked = Group::empty(0);
        let mut seen = 0;
        for place in heard.iter() {
            if let Some(call) = self.slots.call(place) {
                seen ^= call.look_in();
                if let Some(other) = call.link {
                    linked.push(other.slot);
                }
            }
        }
        for place in linked.iter() {
            if let Some(call) = self.slots.call(place) {
                seen ^= call.look_out();
            }
        }
        black_box(seen);
    }
}
