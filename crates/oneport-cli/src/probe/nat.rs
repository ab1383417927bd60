//! What lies between our address and the one that the other end sees, and for how long it remembers us.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use oneport::probe::Wake;
use oneport::{NewCall, Phone, PhoneConfig};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

use super::measure::{SET_UP, Wishes};
use super::poll::{Outcome, Poller, any_towards};

/// How long sockets are silent to see whether a NAT forgets them, in seconds.
const SILENCES: [u64; 11] = [5, 10, 20, 30, 45, 60, 90, 120, 180, 240, 300];

/// A silence that no NAT ends: whether the other end does what it is asked for.
const CONTROL: u64 = 1;

/// How long behind the first the second datagram comes that ends a silence.
const AGAIN: Duration = Duration::from_millis(300);

/// How long a call lasts behind the last that is said in it.
const UNTIL_HEARD: Duration = Duration::from_secs(1);

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
    /// The way to it was there afterwards.
    pub(crate) is_remembered: bool,
    /// The other end found that out: it sent something unasked, or saw another address. Else it was seen at the same
    /// address, which may have been given out anew.
    pub(crate) is_proved: bool,
}

/// A socket that is silent.
struct Silent {
    poller: Poller,
    seconds: u64,
    since: Instant,
    seen: SocketAddr,
}

/// What a socket that was silent has found.
struct Found {
    seconds: u64,
    was_woken: bool,
    is_seen_there: bool,
}

/// Sockets that are silent for unequal times, all at once.
pub(crate) struct Lifetimes(JoinSet<Option<Found>>);

impl Lifetimes {
    /// Begins to be silent, for `limit` at most. The other end is asked by a call to the first of `numbers` that takes it,
    /// which is over when this returns, to send something unasked to each socket when its time is up.
    pub(crate) async fn begin(wishes: &Wishes, limit: Duration, timeout: Duration) -> Self {
        let mut silents = Vec::new();
        let seconds = SILENCES.into_iter().filter(|seconds| Duration::from_secs(*seconds) <= limit);
        for seconds in [CONTROL].into_iter().chain(seconds) {
            let Ok(mut poller) = Poller::new(wishes.to) else { continue };
            let Some(seen) = seen_at(&mut poller, timeout).await else { continue };
            silents.push(Silent { poller, seconds, since: Instant::now(), seen });
        }
        ask_to_be_woken(wishes, &silents).await;
        let mut silences = JoinSet::new();
        for silent in silents {
            silences.spawn(silent.wait(timeout));
        }
        Self(silences)
    }

    /// What became of them, the shortest first; those whose polls were lost are left out.
    pub(crate) async fn end(mut self) -> Vec<Silence> {
        let mut found = Vec::new();
        while let Some(silence) = self.0.join_next().await {
            found.extend(silence.ok().flatten());
        }
        judge(found)
    }
}

/// Where the shortest silence was ended by the other end, it does what it is asked for.
fn judge(mut found: Vec<Found>) -> Vec<Silence> {
    found.sort_unstable_by_key(|silence| silence.seconds);
    let wakes = found.iter().any(|silence| silence.seconds == CONTROL && silence.was_woken);
    let each = found.into_iter().filter(|silence| silence.seconds != CONTROL);
    each.map(|Found { seconds, was_woken, is_seen_there }| Silence {
        seconds,
        is_remembered: if wakes { was_woken } else { is_seen_there },
        is_proved: wakes || !is_seen_there,
    })
    .collect()
}

/// Places a call, and says in it when each socket is to be woken: twice, as datagrams are lost.
async fn ask_to_be_woken(wishes: &Wishes, silents: &[Silent]) {
    let config = super::driver_config(wishes.to);
    let config =
        PhoneConfig { listen: config.listen, endpoint: config.endpoint, ..PhoneConfig::default() };
    let Ok(phone) = Phone::bind(config) else { return };
    for number in &wishes.numbers {
        let call = NewCall { called_number: number.clone(), ..wishes.call.clone() };
        let Ok(mut call) = phone.call(wishes.to, call).await else { continue };
        if !matches!(time::timeout(SET_UP, call.answered()).await, Ok(Ok(_))) {
            continue;
        }
        for silent in silents {
            let due = Duration::from_secs(silent.seconds).saturating_sub(silent.since.elapsed());
            for after in [due, due + AGAIN] {
                let wake = Wake { port: silent.seen.port(), after };
                let _ = call.send_text(wake.to_string()).await;
            }
        }
        time::sleep(UNTIL_HEARD).await;
        break;
    }
    phone.stop().await;
}

impl Silent {
    async fn wait(mut self, timeout: Duration) -> Option<Found> {
        let patience = AGAIN + timeout + Duration::from_secs(1);
        let until = self.since + Duration::from_secs(self.seconds) + patience;
        let was_woken = self.poller.is_polled(until).await;
        let is_seen_there = seen_at(&mut self.poller, timeout).await? == self.seen;
        Some(Found { seconds: self.seconds, was_woken, is_seen_there })
    }
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
        let silence = |seconds, is_remembered| Silence { seconds, is_remembered, is_proved: true };
        let found = [silence(10, true), silence(30, true), silence(60, false), silence(90, false)];
        assert_eq!(forgets(&found), Some((30, 60)));
        assert_eq!(forgets(&found[..2]), None);
        assert_eq!(forgets(&found[2..]), Some((0, 60)));
    }

    #[test]
    fn only_what_comes_unasked_proves_that_a_nat_remembers() {
        let of = |found: &[(u64, bool, bool)]| -> Vec<(u64, bool, bool)> {
            let found = found.iter().map(|(seconds, was_woken, is_seen_there)| Found {
                seconds: *seconds,
                was_woken: *was_woken,
                is_seen_there: *is_seen_there,
            });
            let judged = judge(found.collect()).into_iter();
            judged.map(|one| (one.seconds, one.is_remembered, one.is_proved)).collect()
        };
        // It keeps the port, and forgot the way between 5 and 10 s.
        let keeps = [(10, false, true), (1, true, true), (5, true, true)];
        assert_eq!(of(&keeps), [(5, true, true), (10, false, true)]);
        // The other end wakes nobody: what is seen has to do.
        let alone = [(1, false, true), (5, false, true), (10, false, false)];
        assert_eq!(of(&alone), [(5, true, false), (10, false, true)]);
    }
}
