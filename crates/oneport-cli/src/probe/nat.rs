//! What lies between our address and the one that the other end sees, and for how long it remembers us.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time;

use super::poll::{Outcome, Poller, any_towards};

/// How long sockets are silent to see whether a NAT forgets them, in seconds.
const SILENCES: [u64; 11] = [5, 10, 20, 30, 45, 60, 90, 120, 180, 240, 300];

/// Two ports of ours, as we and as others see them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Views {
    /// Our address, as the system chooses it towards the other end.
    pub(crate) own: IpAddr,
    /// Our ports.
    pub(crate) ports: [u16; 2],
    /// Where the other end saw them.
    pub(crate) seen: [SocketAddr; 2],
    /// Where a second host saw the first of them, if one was asked and said so.
    pub(crate) elsewhere: Option<SocketAddr>,
}

/// What is between.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Nothing.
    None,
    /// A NAT that gives out our own ports.
    KeepsPorts,
    /// A NAT that gives out others.
    ChangesPorts,
    /// A NAT that gives out others for each destination: "symmetric".
    ByDestination,
    /// A NAT with several addresses, of which our ports have different ones.
    SeveralAddresses,
}

impl Views {
    pub(crate) fn kind(&self) -> Kind {
        let Self { own, ports, seen: [first, second], elsewhere } = *self;
        if first.ip() != second.ip() {
            return Kind::SeveralAddresses;
        }
        if elsewhere.is_some_and(|elsewhere| elsewhere != first) {
            return Kind::ByDestination;
        }
        match (first.ip() == own, [first.port(), second.port()] == ports) {
            (true, true) => Kind::None,
            (false, true) => Kind::KeepsPorts,
            (_, false) => Kind::ChangesPorts,
        }
    }
}

/// Our address towards `to`, of which nothing is sent.
pub(crate) fn own_address(to: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(any_towards(to)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// What became of a socket that was silent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Silence {
    pub(crate) seconds: u64,
    /// It was seen at the same address afterwards.
    pub(crate) is_remembered: bool,
}

/// Sockets that are silent for unequal times, all at once.
pub(crate) struct Lifetimes(JoinSet<Option<Silence>>);

impl Lifetimes {
    /// Begins to be silent, for `limit` at most.
    pub(crate) fn begin(to: SocketAddr, limit: Duration, timeout: Duration) -> Self {
        let mut silences = JoinSet::new();
        for seconds in SILENCES {
            if Duration::from_secs(seconds) <= limit {
                silences.spawn(be_silent(to, seconds, timeout));
            }
        }
        Self(silences)
    }

    /// What became of them, the shortest first; those whose polls were lost are left out.
    pub(crate) async fn end(mut self) -> Vec<Silence> {
        let mut found = Vec::new();
        while let Some(silence) = self.0.join_next().await {
            found.extend(silence.ok().flatten());
        }
        found.sort_unstable_by_key(|silence| silence.seconds);
        found
    }
}

async fn be_silent(to: SocketAddr, seconds: u64, timeout: Duration) -> Option<Silence> {
    let mut poller = Poller::new(to).ok()?;
    let before = seen_at(&mut poller, timeout).await?;
    time::sleep(Duration::from_secs(seconds)).await;
    let after = seen_at(&mut poller, timeout).await?;
    Some(Silence { seconds, is_remembered: before == after })
}

/// Where the other end sees a socket; asked twice where the first poll is lost.
pub(crate) async fn seen_at(poller: &mut Poller, timeout: Duration) -> Option<SocketAddr> {
    for _ in 0..2 {
        if let Ok(Outcome::Answered { seen_at, .. }) = poller.poll(timeout).await {
            return seen_at;
        }
    }
    None
}

/// Between how many seconds of silence the NAT forgets; `None`: it did not, as far as that shows.
pub(crate) fn forgets(silences: &[Silence]) -> Option<(u64, u64)> {
    let forgotten = silences.iter().find(|silence| !silence.is_remembered)?.seconds;
    let remembered =
        silences.iter().take_while(|silence| silence.is_remembered).last().map_or(0, |s| s.seconds);
    Some((remembered, forgotten))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(own: &str, seen: [&str; 2], elsewhere: Option<&str>) -> Kind {
        let address = |text: &str| text.parse().expect("an address");
        let views = Views {
            own: own.parse().expect("an address"),
            ports: [4_000, 4_001],
            seen: seen.map(address),
            elsewhere: elsewhere.map(address),
        };
        views.kind()
    }

    #[test]
    fn what_lies_between_is_told_by_what_others_see() {
        let (own, inside) = ("192.0.2.5", "10.0.0.5");
        assert_eq!(kind(own, ["192.0.2.5:4000", "192.0.2.5:4001"], None), Kind::None);
        let kept = ["192.0.2.9:4000", "192.0.2.9:4001"];
        assert_eq!(kind(inside, kept, None), Kind::KeepsPorts);
        assert_eq!(kind(inside, kept, Some("192.0.2.9:4000")), Kind::KeepsPorts);
        let changed = ["192.0.2.9:61000", "192.0.2.9:1025"];
        assert_eq!(kind(inside, changed, None), Kind::ChangesPorts);
        assert_eq!(kind(inside, changed, Some("192.0.2.9:61001")), Kind::ByDestination);
        let several = ["192.0.2.9:4000", "192.0.2.10:4001"];
        assert_eq!(kind(inside, several, None), Kind::SeveralAddresses);
    }

    #[test]
    fn a_nat_forgets_between_the_longest_silence_it_bears_and_the_next() {
        let silence = |seconds, is_remembered| Silence { seconds, is_remembered };
        let found = [silence(10, true), silence(30, true), silence(60, false), silence(90, false)];
        assert_eq!(forgets(&found), Some((30, 60)));
        assert_eq!(forgets(&found[..2]), None);
        assert_eq!(forgets(&found[2..]), Some((0, 60)));
    }
}
