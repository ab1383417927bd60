//! Datagrams from one endpoint of a thread to another: they cross without the kernel.

use std::net::{IpAddr, SocketAddr};

use oneport_proto::{Path, Transmit};
use smallvec::SmallVec;

/// What waits for the endpoints of a thread, each known by its place.
#[derive(Default)]
pub(super) struct Crossing {
    /// Where each listens that is reached so.
    addresses: SmallVec<[(SocketAddr, usize); 4]>,
    waiting: Vec<Waiting>,
}

/// What waits for one endpoint.
#[derive(Default)]
pub(super) struct Waiting {
    /// The bytes of all of them, one behind the other.
    bytes: Vec<u8>,
    bundles: Vec<Bundle>,
}

/// Datagrams that were sent at once.
struct Bundle {
    /// As the receiver sees it.
    path: Path,
    len: usize,
    /// Of each but the last.
    size: usize,
}

impl Crossing {
    /// An endpoint moves in at the next place; `addresses`: where it is reached so.
    pub(super) fn move_in(&mut self, addresses: impl Iterator<Item = SocketAddr>) {
        let place = self.waiting.len();
        self.addresses.extend(addresses.map(|address| (address, place)));
        self.waiting.push(Waiting::default());
    }

    /// The endpoint at this place has gone, and the ones behind it move up.
    pub(super) fn move_out(&mut self, gone: usize) {
        self.waiting.remove(gone);
        self.addresses.retain(|(_, place)| *place != gone);
        for (_, place) in &mut self.addresses {
            *place -= usize::from(*place > gone);
        }
    }

    /// Takes what the endpoint at `from` sends out of the socket at `local`, if an endpoint of this thread
    /// listens where it goes. Only on loopback addresses: there is no doubt by which address it would come.
    pub(super) fn take(
        &mut self,
        from: usize,
        local: SocketAddr,
        transmit: &Transmit,
        bytes: &[u8],
    ) -> bool {
        let to = transmit.path.remote;
        if !to.ip().is_loopback() {
            return false;
        }
        let found = self.addresses.iter().find(|(address, _)| reaches(to, *address));
        let Some((_, place)) = found.filter(|(_, place)| *place != from) else { return false };
        let Some(waiting) = self.waiting.get_mut(*place) else { return false };
        let ip = if local.ip().is_unspecified() { to.ip() } else { local.ip() };
        let remote = SocketAddr::new(ip, local.port());
        let path = Path { remote, local: Some(to.ip()), local_port: Some(to.port()) };
        let size = transmit.segment_size.unwrap_or(transmit.len).max(1);
        waiting.bytes.extend_from_slice(bytes);
        waiting.bundles.push(Bundle { path, len: bytes.len(), size });
        true
    }

    /// Whether nothing waits for anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.iter().all(|waiting| waiting.bundles.is_empty())
    }

    /// What waits for the endpoint at this place.
    pub(super) fn waiting(&mut self, place: usize) -> Option<Waiting> {
        let waiting = self.waiting.get_mut(place)?;
        (!waiting.bundles.is_empty()).then(|| std::mem::take(waiting))
    }

    /// Its space is used again, where nothing has come meanwhile.
    pub(super) fn give_back(&mut self, place: usize, mut used: Waiting) {
        if let Some(waiting) = self.waiting.get_mut(place)
            && waiting.bundles.is_empty()
        {
            used.bytes.clear();
            used.bundles.clear();
            *waiting = used;
        }
    }
}

/// Whether a socket at `address` gets what is sent to the loopback address `to`.
fn reaches(to: SocketAddr, address: SocketAddr) -> bool {
    let all = |ip: IpAddr| ip.is_unspecified() && address.is_ipv4() == to.is_ipv4();
    to.port() == address.port() && (to.ip() == address.ip() || all(address.ip()))
}

impl Waiting {
    /// Each datagram, and the way that it has come.
    pub(super) fn datagrams(&mut self) -> impl Iterator<Item = (Path, &mut [u8])> {
        let Self { bytes, bundles } = self;
        let mut rest = &mut bytes[..];
        bundles.iter().flat_map(move |bundle| {
            let (all, behind) = std::mem::take(&mut rest).split_at_mut(bundle.len);
            rest = behind;
            all.chunks_mut(bundle.size).map(|datagram| (bundle.path, datagram))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// Two endpoints: one listens everywhere, one on a loopback address.
    fn two() -> (Crossing, [SocketAddr; 2]) {
        let addresses = [address("0.0.0.0:4569"), address("127.0.0.1:5000")];
        let mut crossing = Crossing::default();
        for address in addresses {
            crossing.move_in([address].into_iter());
        }
        (crossing, addresses)
    }

    fn send(crossing: &mut Crossing, from: usize, local: SocketAddr, to: &str) -> bool {
        let bytes = [1, 1, 2, 2, 3];
        let path = Path::from(address(to));
        let transmit = Transmit { path, len: bytes.len(), segment_size: Some(2) };
        crossing.take(from, local, &transmit, &bytes)
    }

    #[test]
    fn bundles_arrive_datagram_by_datagram_from_where_the_kernel_would_say_that_they_come() {
        let (mut crossing, [host, guest]) = two();
        assert!(send(&mut crossing, 0, host, "127.0.0.1:5000"));
        assert!(send(&mut crossing, 1, guest, "127.0.0.1:4569"));
        for (place, remote, to) in [(1, "127.0.0.1:4569", guest), (0, "127.0.0.1:5000", host)] {
            let mut waiting = crossing.waiting(place).expect("some");
            let all: Vec<(Path, Vec<u8>)> =
                waiting.datagrams().map(|(path, bytes)| (path, bytes.to_vec())).collect();
            let [(path, one), (_, two), (_, three)] = &all[..] else { panic!("{all:?}") };
            assert_eq!((&one[..], &two[..], &three[..]), (&[1, 1][..], &[2, 2][..], &[3][..]));
            let local = Some(address("127.0.0.1:0").ip());
            let expected = Path { remote: address(remote), local, local_port: Some(to.port()) };
            assert_eq!(*path, expected);
            crossing.give_back(place, waiting);
        }
        assert!(crossing.is_empty());
    }

    #[test]
    fn what_goes_elsewhere_or_to_the_sender_itself_takes_the_socket() {
        let (mut crossing, [host, _]) = two();
        for to in ["127.0.0.1:5001", "192.0.2.1:5000", "127.0.0.2:5000", "127.0.0.1:4569"] {
            assert!(!send(&mut crossing, 0, host, to), "{to}");
        }
    }

    #[test]
    fn who_has_gone_is_not_reached_and_the_others_still_are() {
        let (mut crossing, [host, _]) = two();
        crossing.move_in([address("127.0.0.1:6000")].into_iter());
        crossing.move_out(1);
        assert!(!send(&mut crossing, 0, host, "127.0.0.1:5000"));
        assert!(send(&mut crossing, 0, host, "127.0.0.1:6000"));
        assert!(crossing.waiting(1).is_some_and(|mut waiting| waiting.datagrams().count() == 3));
    }
}
