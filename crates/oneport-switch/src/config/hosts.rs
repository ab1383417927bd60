//! Hosts of hosts, looked up all at once, so that a name server that does not answer costs its time
//! once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use oneport::{Names, Place, Target};
use oneport_wire::DEFAULT_PORT;

use super::addresses::read_listen;

/// Look-ups at the same time.
const AT_ONCE: usize = 16;

/// How long name servers may take over one question about registrars.
const LIMIT: Duration = Duration::from_secs(2);

/// Where names led when they were last found.
///
/// ```
/// use oneport_switch::KnownHosts;
///
/// let known = KnownHosts::from([("pbx.example.org".to_string(), [192, 0, 2, 1].into())]);
/// assert!(!known.is_empty());
/// ```
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct KnownHosts {
    /// The addresses of hosts of peers.
    pub(crate) addresses: BTreeMap<String, IpAddr>,
    /// All places of registrars, as they are written.
    pub(crate) registrars: BTreeMap<String, Vec<Place>>,
}

impl KnownHosts {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.registrars.is_empty()
    }
}

impl<const N: usize> From<[(String, IpAddr); N]> for KnownHosts {
    fn from(addresses: [(String, IpAddr); N]) -> Self {
        Self { addresses: addresses.into(), registrars: BTreeMap::new() }
    }
}

/// What the system says of the names in a configuration.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    found: BTreeMap<String, Result<IpAddr, String>>,
    registrars: BTreeMap<String, Result<Vec<Place>, String>>,
    /// Those that were asked for and have no address.
    missing: RefCell<BTreeSet<String>>,
}

/// `host`, `host:port`, an address, or one with its port in brackets, as host and port.
pub(super) fn host_and_port(written: &str) -> Option<(&str, u16)> {
    match written.rsplit_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((written, DEFAULT_PORT)),
    }
}

fn look_up(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = (host, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    Ok(found.map(|address| address.ip()).collect())
}

/// All places of registrars, by their SRV entries where they have some.
fn look_up_places(written: &[&str]) -> Vec<Result<Vec<Place>, String>> {
    let begin = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let names = {
            let _inside = runtime.enter();
            Names::ask(&[], LIMIT)
        };
        names.map(|names| (runtime, names))
    };
    let look_up = |written: &str| {
        let target = written.parse::<Target>().map_err(|error| error.to_string())?;
        let (runtime, names) = begin()?;
        runtime.block_on(names.places(&target)).map_err(|error| error.to_string())
    };
    std::thread::scope(|scope| {
        let asked: Vec<_> =
            written.iter().map(|written| scope.spawn(|| look_up(written))).collect();
        let answers = asked.into_iter().map(|answer| answer.join());
        answers.map(|answer| answer.unwrap_or_else(|_| Err("no answer".into()))).collect()
    })
}

impl Hosts {
    /// Looks up the hosts of `written` addresses of peers, and all places of `registrars`. A name that has the address that
    /// is `known` keeps it, as does one that cannot be found.
    pub(super) fn of<'a>(
        written: impl Iterator<Item = &'a str>,
        registrars: impl Iterator<Item = &'a str>,
        known: &KnownHosts,
    ) -> Self {
        let registrars: BTreeSet<&str> =
            registrars.filter(|written| read_listen(written).is_none()).collect();
        let registrars: Vec<&str> = registrars.into_iter().collect();
        let mut hosts = Self::by(written, &known.addresses, look_up);
        for some in registrars.chunks(AT_ONCE) {
            for (written, answer) in some.iter().zip(look_up_places(some)) {
                let answer = chosen_places(answer, known.registrars.get(*written));
                hosts.registrars.insert((*written).into(), answer);
            }
        }
        hosts
    }

    fn by<'a>(
        written: impl Iterator<Item = &'a str>,
        known: &BTreeMap<String, IpAddr>,
        look_up: impl Fn(&str) -> Result<Vec<IpAddr>, String> + Sync,
    ) -> Self {
        let named = written.filter(|written| read_listen(written).is_none());
        let hosts: BTreeSet<&str> = named.filter_map(host_and_port).map(|(host, _)| host).collect();
        let hosts: Vec<&str> = hosts.into_iter().collect();
        let mut found = BTreeMap::new();
        for some in hosts.chunks(AT_ONCE) {
            std::thread::scope(|scope| {
                let asked: Vec<_> =
                    some.iter().map(|host| (*host, scope.spawn(|| look_up(host)))).collect();
                for (host, answer) in asked {
                    let answer = answer.join().unwrap_or_else(|_| Err("no answer".into()));
                    found.insert(host.to_string(), chosen(answer, known.get(host)));
                }
            });
        }
        Self { found, ..Self::default() }
    }

    /// The address of what is written: one, or that of a host that was looked up.
    ///
    /// # Errors
    /// In words, why it has none.
    pub(super) fn address(&self, written: &str) -> Result<SocketAddr, String> {
        if let Some(address) = read_listen(written) {
            return Ok(address);
        }
        let (host, port) =
            host_and_port(written).ok_or_else(|| format!("`{written}` is no address"))?;
        match self.found.get(host) {
            Some(Ok(ip)) => Ok(SocketAddr::new(*ip, port)),
            Some(Err(why)) => {
                self.missing.borrow_mut().insert(host.into());
                Err(format!("`{host}` cannot be found: {why}"))
            }
            None => Err(format!("`{host}` was not looked up")),
        }
    }

    /// All places of a registrar, in the order in which they are tried. Never none.
    ///
    /// # Errors
    /// In words, why it has none.
    pub(super) fn places(&self, written: &str) -> Result<Vec<Place>, String> {
        if let Some(address) = read_listen(written) {
            return Ok(vec![Place { address, rank: 0 }]);
        }
        let (host, _) =
            host_and_port(written).ok_or_else(|| format!("`{written}` is no address"))?;
        match self.registrars.get(written) {
            Some(Ok(places)) => Ok(places.clone()),
            Some(Err(why)) => {
                self.missing.borrow_mut().insert(written.into());
                Err(format!("`{host}` cannot be found: {why}"))
            }
            None => Err(format!("`{host}` was not looked up")),
        }
    }

    /// Hosts with their addresses, and those that were asked for and have none.
    pub(super) fn into_known(self) -> (KnownHosts, BTreeSet<String>) {
        fn found<T>(all: BTreeMap<String, Result<T, String>>) -> BTreeMap<String, T> {
            all.into_iter().filter_map(|(host, one)| Some((host, one.ok()?))).collect()
        }
        let known = KnownHosts { addresses: found(self.found), registrars: found(self.registrars) };
        (known, self.missing.into_inner())
    }
}

/// Of several addresses the first, unless there is one that is known: their order changes.
fn chosen(answer: Result<Vec<IpAddr>, String>, known: Option<&IpAddr>) -> Result<IpAddr, String> {
    match (answer, known) {
        (Ok(found), Some(known)) if found.contains(known) => Ok(*known),
        (Ok(found), _) => found.first().copied().ok_or_else(|| "it has no address".into()),
        (Err(_), Some(known)) => Ok(*known),
        (Err(why), None) => Err(why),
    }
}

/// The same places stay in the order that is known, and those that cannot be found stay as well.
fn chosen_places(
    answer: Result<Vec<Place>, String>,
    known: Option<&Vec<Place>>,
) -> Result<Vec<Place>, String> {
    let Some(known) = known else { return answer };
    let same = |found: &Vec<Place>| {
        found.len() == known.len() && found.iter().all(|place| known.contains(place))
    };
    match answer {
        Ok(found) if !same(&found) => Ok(found),
        _ => Ok(known.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_name_keeps_its_address_while_it_has_it_or_cannot_be_found() {
        let known = BTreeMap::from([("two".into(), ip(2)), ("gone".into(), ip(9))]);
        let look_up = |host: &str| match host {
            "one" => Ok(vec![ip(1)]),
            "two" => Ok(vec![ip(1), ip(2)]),
            "nothing" => Ok(Vec::new()),
            _ => Err("no such host".to_string()),
        };
        let written = ["one", "two:4570", "gone", "new", "nothing", "192.0.2.7", "[::1]:4569"];
        let hosts = Hosts::by(written.into_iter(), &known, look_up);
        let address = |written| hosts.address(written).map(|address| address.to_string());
        assert_eq!(address("one"), Ok("192.0.2.1:4569".into()));
        assert_eq!(address("two:4570"), Ok("192.0.2.2:4570".into()), "not the first of them");
        assert_eq!(address("gone"), Ok("192.0.2.9:4569".into()), "as it was");
        assert_eq!(address("new"), Err("`new` cannot be found: no such host".into()));
        assert_eq!(address("nothing"), Err("`nothing` cannot be found: it has no address".into()));
        assert_eq!(address("192.0.2.7"), Ok("192.0.2.7:4569".into()));
        assert_eq!(address("[::1]:4569"), Ok("[::1]:4569".into()));
        assert_eq!(address("host:port"), Err("`host:port` is no address".into()));
        let (known, missing) = hosts.into_known();
        assert_eq!(known.addresses.keys().collect::<Vec<_>>(), ["gone", "one", "two"]);
        assert_eq!(missing.into_iter().collect::<Vec<_>>(), ["new", "nothing"]);
    }

    #[test]
    fn a_name_that_has_moved_gets_its_new_address() {
        let known = BTreeMap::from([("host".into(), ip(1))]);
        let hosts = Hosts::by(["host"].into_iter(), &known, |_| Ok(vec![ip(5)]));
        assert_eq!(hosts.into_known().0.addresses["host"], ip(5));
    }

    #[test]
    fn places_stay_in_the_order_that_is_known_until_they_are_others() {
        let places = |last: &[u8]| -> Vec<Place> {
            let place = |last: &u8| Place { address: SocketAddr::new(ip(*last), 4569), rank: 0 };
            last.iter().map(place).collect()
        };
        let known = places(&[1, 2]);
        assert_eq!(chosen_places(Ok(places(&[2, 1])), Some(&known)), Ok(places(&[1, 2])));
        assert_eq!(chosen_places(Ok(places(&[2, 3])), Some(&known)), Ok(places(&[2, 3])));
        assert_eq!(chosen_places(Ok(places(&[2])), Some(&known)), Ok(places(&[2])));
        assert_eq!(chosen_places(Err("no answer".into()), Some(&known)), Ok(known));
        assert_eq!(chosen_places(Err("no answer".into()), None), Err("no answer".into()));
    }
}
