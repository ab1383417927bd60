//! Where the other side of a stream is: where its packets come from, since what its description says may
//! be the inside of a NAT (symmetric RTP, RFC 4961). No clock, no socket.
//!
//! Whoever knows a port can send to it, so an address is learned with care: the one that was described is
//! believed at once, others by two packets of one stream that follow each other, and none takes a stream
//! that another speaks on.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use oneport_proto::Instant;

/// A stream whose sender was silent for so long may go on from somewhere else.
const SILENCE: Duration = Duration::from_secs(3);

/// One that goes on with the same source, as behind a NAT that has forgotten it, may do so sooner.
const SHORT_SILENCE: Duration = Duration::from_secs(1);

/// How sure it is that an address is theirs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Trust {
    /// Nothing but its packets speaks for it.
    Packets,
    /// The description, or the signalling, has the same host.
    Host,
    /// The description has this address, or they have proved in a handshake that it is theirs.
    Described,
}

/// Who a stream is bound to.
#[derive(Clone, Copy, Debug)]
struct Bound {
    address: SocketAddr,
    source: u32,
    heard: Instant,
    trust: Trust,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// It is theirs.
    Theirs,
    /// It is, and from now on this is where they are.
    Latched,
    /// It may be: one more that follows it will tell.
    Candidate,
    /// It is somebody else's.
    Stranger,
}

/// Finds out where the other side is.
#[derive(Clone, Debug)]
pub(crate) struct Latch {
    /// Whether it learns; else nothing counts but the description.
    learns: bool,
    described: Option<SocketAddr>,
    /// Where they were in a handshake that proved that it was them.
    proved: Option<SocketAddr>,
    /// The host that signalling comes from.
    host: Option<IpAddr>,
    bound: Option<Bound>,
    /// Who may be next: from where, of which source, and with which number it would go on.
    candidate: Option<(SocketAddr, u32, u16)>,
}

impl Latch {
    /// One that learns, or believes nothing but descriptions.
    #[must_use]
    pub(crate) const fn new(learns: bool) -> Self {
        Self { learns, described: None, proved: None, host: None, bound: None, candidate: None }
    }

    /// Signalling comes from this host.
    pub(crate) const fn expect_host(&mut self, host: IpAddr) {
        self.host = Some(host);
    }

    /// Takes what a description says. One that says something new frees the stream: its next packet
    /// tells where they are now. Until then media goes where the description says.
    pub(crate) fn describe(&mut self, described: Option<SocketAddr>) {
        if self.described != described {
            (self.described, self.bound, self.candidate) = (described, None, None);
            self.proved = None;
        }
    }

    /// They have proved to be there.
    pub(crate) const fn prove(&mut self, at: SocketAddr) {
        self.proved = Some(at);
    }

    /// How sure it is that they are there; `None`: not at all.
    pub(super) fn believes(&self, from: SocketAddr) -> Option<Trust> {
        let trust = self.trust(from);
        (self.learns || trust == Trust::Described).then_some(trust)
    }

    /// Where media is to be sent.
    #[must_use]
    pub(crate) fn target(&self) -> Option<SocketAddr> {
        self.bound.map(|bound| bound.address).or(self.proved).or(self.described)
    }

    /// Where they were found.
    #[must_use]
    pub(crate) fn found(&self) -> Option<SocketAddr> {
        self.bound.map(|bound| bound.address)
    }

    fn trust(&self, from: SocketAddr) -> Trust {
        if self.described == Some(from) || self.proved == Some(from) {
            return Trust::Described;
        }
        let host = self.described.map(|described| described.ip());
        match host == Some(from.ip()) || self.host == Some(from.ip()) {
            true => Trust::Host,
            false => Trust::Packets,
        }
    }

    /// Takes a packet that can be used.
    pub(crate) fn enter(
        &mut self,
        now: Instant,
        from: SocketAddr,
        source: u32,
        number: u16,
    ) -> Entry {
        if let Some(bound) = &mut self.bound
            && bound.address == from
        {
            (bound.heard, bound.source) = (now, source);
            return Entry::Theirs;
        }
        let Some(trust) = self.believes(from) else { return Entry::Stranger };
        if let Some(bound) = &self.bound {
            let patience = if bound.source == source { SHORT_SILENCE } else { SILENCE };
            if trust <= bound.trust && now.since(bound.heard) < patience {
                return Entry::Stranger;
            }
        }
        let follows = self.candidate == Some((from, source, number));
        if trust == Trust::Packets && !follows {
            self.candidate = Some((from, source, number.wrapping_add(1)));
            return Entry::Candidate;
        }
        self.candidate = None;
        self.bound = Some(Bound { address: from, source, heard: now, trust });
        Entry::Latched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    const INSIDE: &str = "192.168.0.2:4000";
    const NAT: &str = "203.0.113.5:61000";
    const EVIL: &str = "198.51.100.66:1";

    fn latch() -> Latch {
        let mut latch = Latch::new(true);
        latch.describe(Some(address(INSIDE)));
        latch
    }

    #[test]
    fn the_described_address_is_believed_at_once_and_another_by_two_packets_that_follow() {
        let mut latch = latch();
        assert_eq!(latch.enter(at(0), address(INSIDE), 1, 5), Entry::Latched);
        assert_eq!(latch.enter(at(20), address(INSIDE), 1, 6), Entry::Theirs);
        let mut latch = Latch { bound: None, ..latch };
        assert_eq!(latch.enter(at(0), address(NAT), 1, 5), Entry::Candidate);
        assert_eq!((latch.target(), latch.found()), (Some(address(INSIDE)), None));
        assert_eq!(latch.enter(at(20), address(NAT), 1, 7), Entry::Candidate, "one is missing");
        assert_eq!(latch.enter(at(40), address(NAT), 2, 8), Entry::Candidate, "another source");
        assert_eq!(latch.enter(at(60), address(NAT), 2, 9), Entry::Latched);
        assert_eq!(latch.target(), Some(address(NAT)));
    }

    #[test]
    fn a_stranger_cannot_take_a_stream_that_is_spoken_on() {
        let mut latch = latch();
        for number in 0..2 {
            latch.enter(at(0), address(NAT), 1, number);
        }
        for n in 2..500_u16 {
            assert_eq!(latch.enter(at(u64::from(n) * 20), address(NAT), 1, n), Entry::Theirs);
            // It knows source and numbers even.
            assert_eq!(
                latch.enter(at(u64::from(n) * 20), address(EVIL), 1, n + 1),
                Entry::Stranger
            );
        }
        assert_eq!(latch.target(), Some(address(NAT)));
    }

    #[test]
    fn a_stranger_that_was_first_is_displaced_by_whoever_the_description_names() {
        let mut latch = latch();
        for number in 0..2 {
            latch.enter(at(0), address(EVIL), 1, number);
        }
        assert_eq!(latch.target(), Some(address(EVIL)));
        latch.expect_host(address(NAT).ip());
        assert_eq!(
            latch.enter(at(20), address(NAT), 2, 1),
            Entry::Latched,
            "signalling comes from there"
        );
        assert_eq!(latch.enter(at(40), address(EVIL), 1, 3), Entry::Stranger);
        assert_eq!(latch.enter(at(60), address(INSIDE), 2, 2), Entry::Latched, "it is described");
        assert_eq!(latch.enter(at(80), address(NAT), 2, 3), Entry::Stranger);
    }

    #[test]
    fn behind_a_silence_or_a_new_description_another_address_is_learned() {
        let mut latch = latch();
        latch.enter(at(0), address(INSIDE), 1, 1);
        let other = address("203.0.113.5:61001");
        assert_eq!(latch.enter(at(900), other, 1, 2), Entry::Stranger);
        assert_eq!(latch.enter(at(1_000), other, 1, 3), Entry::Candidate, "the same source");
        assert_eq!(latch.enter(at(1_020), other, 1, 4), Entry::Latched);
        assert_eq!(latch.enter(at(3_000), address(EVIL), 9, 1), Entry::Stranger, "another source");
        assert_eq!(latch.enter(at(4_020), address(EVIL), 9, 2), Entry::Candidate);
        latch.describe(Some(address(INSIDE)));
        assert_eq!(latch.target(), Some(other), "the same again says nothing");
        latch.describe(Some(address(NAT)));
        assert_eq!((latch.target(), latch.found()), (Some(address(NAT)), None));
        assert_eq!(latch.enter(at(4_030), address(NAT), 1, 5), Entry::Latched);
    }

    #[test]
    fn where_they_have_proved_to_be_they_are_until_they_describe_another_place() {
        let mut latch = latch();
        latch.prove(address(NAT));
        assert_eq!((latch.target(), latch.found()), (Some(address(NAT)), None));
        assert_eq!(latch.enter(at(0), address(NAT), 1, 1), Entry::Latched, "at once");
        assert_eq!(latch.enter(at(20), address(EVIL), 2, 1), Entry::Stranger);
        latch.describe(Some(address(EVIL)));
        assert_eq!(latch.target(), Some(address(EVIL)));
    }

    #[test]
    fn where_nothing_is_learned_only_the_described_address_counts() {
        let mut latch = Latch::new(false);
        latch.describe(Some(address(NAT)));
        for number in 0..3 {
            assert_eq!(latch.enter(at(0), address(INSIDE), 1, number), Entry::Stranger);
        }
        assert_eq!(latch.enter(at(0), address(NAT), 1, 9), Entry::Latched);
    }
}
