//! Datagrams of a batch that are handled one behind the other, while the memory that the next ones need is on its way.

use oneport_proto::Endpoint;
use quinn_udp::RecvMeta;
use smallvec::SmallVec;

/// What is got for so many frames of voice stays in the first caches of a core until they are handled.
const DATAGRAMS: usize = 32;

/// The same for trunk frames: about as many calls.
const BYTES: usize = 6_000;

/// Datagrams, each with what is known of its way.
pub(super) struct Group<'a>(SmallVec<[(&'a RecvMeta, &'a mut [u8]); DATAGRAMS]>);

impl<'a> Group<'a> {
    /// The next ones; none at the end.
    pub(super) fn of(coming: &mut impl Iterator<Item = (&'a RecvMeta, &'a mut [u8])>) -> Self {
        let (mut group, mut bytes) = (SmallVec::new(), 0);
        while group.len() < DATAGRAMS && bytes < BYTES {
            let Some((meta, datagram)) = coming.next() else { break };
            bytes += datagram.len();
            group.push((meta, datagram));
        }
        Self(group)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Asks for the memory of the calls for which there is voice.
    pub(super) fn prefetch(&self, endpoint: &Endpoint) {
        endpoint.prefetch(self.0.iter().map(|(meta, datagram)| (meta.addr, &**datagram)));
    }
}

impl<'a> IntoIterator for Group<'a> {
    type Item = (&'a RecvMeta, &'a mut [u8]);
    type IntoIter = smallvec::IntoIter<[Self::Item; DATAGRAMS]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
