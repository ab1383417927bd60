//! Asterisk's access lists, in which the last rule that fits decides and nothing that fits means
//! yes, as the set of networks they let in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// `permit` or `deny`, and of which network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    pub(crate) permit: bool,
    pub(crate) network: IpNet,
}

/// The networks that the rules let in; `None`: everybody. Where only IPv4 is spoken of, IPv6 is
/// left out, which Asterisk would let in.
pub(crate) fn allowed(rules: &[Rule]) -> Option<Vec<IpNet>> {
    if !rules.iter().any(|rule| !rule.permit) {
        // Only permits: in Asterisk they change nothing, but they name where the peer should be.
        let named: Vec<IpNet> = rules.iter().map(|rule| rule.network).collect();
        let everywhere = named.is_empty() || named.iter().any(|network| network.prefix_len() == 0);
        return (!everywhere).then(|| IpNet::aggregate(&named));
    }
    let mut set = vec![IpNet::from(Ipv4Net::default())];
    if rules.iter().any(|rule| matches!(rule.network, IpNet::V6(_))) {
        set.push(IpNet::from(Ipv6Net::default()));
    }
    for rule in rules {
        if rule.permit {
            set.push(rule.network);
        } else {
            set = set.into_iter().flat_map(|network| without(network, rule.network)).collect();
        }
    }
    let set = IpNet::aggregate(&set);
    let everywhere = set.iter().any(|network| network.prefix_len() == 0);
    (!everywhere).then_some(set)
}

/// What is left of `network` without `hole`.
fn without(network: IpNet, hole: IpNet) -> Vec<IpNet> {
    let apart = !network.contains(&hole) && !hole.contains(&network);
    if apart {
        return vec![network];
    }
    if hole.contains(&network) {
        return Vec::new();
    }
    let halves = network.subnets(network.prefix_len() + 1).into_iter().flatten();
    halves.flat_map(|half| without(half, hole)).collect()
}

/// The rules of a `permit` or `deny`, or the words in it that are no network.
pub(crate) fn read_rules<'a>(
    key: &str,
    value: &'a str,
) -> impl Iterator<Item = Result<Rule, &'a str>> + use<'a> {
    let permit = match key {
        "permit" => Some(true),
        "deny" => Some(false),
        _ => None,
    };
    let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.filter_map(move |word| {
        let (word, permit) = match word.strip_prefix('!') {
            Some(word) => (word, !permit?),
            None => (word, permit?),
        };
        let network = read_network(word);
        Some(network.map(|network| Rule { permit, network }).ok_or(word))
    })
}

/// A network as Asterisk writes it: `address`, `address/bits`, `address/mask`, with `!` in front in
/// lists; several behind commas are the caller's matter.
pub(crate) fn read_network(text: &str) -> Option<IpNet> {
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address.trim(), Some(mask.trim())),
        None => (text.trim(), None),
    };
    let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
    let bits = match mask {
        None => IpNet::from(address).prefix_len(),
        Some(mask) => match mask.parse::<u8>() {
            Ok(bits) => bits,
            Err(_) => mask_bits(mask.parse().ok()?)?,
        },
    };
    IpNet::new(address, bits).ok().map(|network| network.trunc())
}

/// The bits of a mask whose ones stand in front.
fn mask_bits(mask: IpAddr) -> Option<u8> {
    match mask {
        IpAddr::V4(mask) => ipnet::ip_mask_to_prefix(IpAddr::V4(mask)).ok(),
        IpAddr::V6(mask) => ipnet::ip_mask_to_prefix(IpAddr::V6(mask)).ok(),
    }
}

/// Whether it is an address that a packet from the public network cannot come from.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(own) => {
            let [first, second, ..] = own.octets();
            // RFC 1918, RFC 6598 (carriers' own networks), loopback and link.
            let shared = first == 100 && second & 0xC0 == 64;
            own.is_private() || own.is_loopback() || own.is_link_local() || shared
        }
        IpAddr::V6(own) => {
            own.is_loopback() || own.is_unique_local() || own.is_unicast_link_local()
        }
    }
}

/// Whether all of a network is private.
pub(crate) fn is_private_network(network: IpNet) -> bool {
    is_private(network.network()) && is_private(network.broadcast())
}

/// Whether a secret may be sent in the clear to all of these networks: they are private, or named
/// for it.
pub(crate) fn may_be_plain(trusted: &[IpNet], networks: &[IpNet]) -> bool {
    let named = |network: &IpNet| trusted.iter().any(|trusted| trusted.contains(network));
    let may = |network: &IpNet| is_private_network(*network) || named(network);
    !networks.is_empty() && networks.iter().all(may)
}

/// Everybody.
pub(crate) fn is_everywhere(network: IpNet) -> bool {
    let address = network.addr();
    network.prefix_len() == 0
        || address == IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        || address == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &str, expected: Option<&str>) {
        let rules: Vec<Rule> = rules
            .split_whitespace()
            .map(|rule| {
                let (sign, network) = rule.split_at(1);
                Rule { permit: sign == "+", network: read_network(network).unwrap() }
            })
            .collect();
        let found = allowed(&rules)
            .map(|set| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(found.as_deref(), expected, "{rules:?}");
    }

    #[test]
    fn the_last_rule_that_fits_decides() {
        check("", None);
        check("-0.0.0.0/0 +192.0.2.0/255.255.255.0", Some("192.0.2.0/24"));
        check("+192.0.2.0/24 -0.0.0.0/0", Some(""));
        check("-0.0.0.0/0.0.0.0 +0.0.0.0/0.0.0.0", None);
        check("-0.0.0.0/0 +10.0.0.0/8 -10.0.0.0/9 +10.0.0.1", Some("10.0.0.1/32 10.128.0.0/9"));
        check("-0.0.0.0/0 -::/0 +2001:db8::/32", Some("2001:db8::/32"));
    }

    #[test]
    fn a_single_address_taken_out_leaves_all_others() {
        let rules = [Rule { permit: false, network: read_network("192.0.2.7").unwrap() }];
        let set = allowed(&rules).unwrap();
        assert_eq!(set.len(), 32);
        let holds = |address: &str| {
            let address: IpAddr = address.parse().unwrap();
            set.iter().any(|network| network.contains(&address))
        };
        assert!(!holds("192.0.2.7") && holds("192.0.2.6") && holds("192.0.2.8"));
    }

    #[test]
    fn a_permit_alone_names_where_the_peer_should_be() {
        check("+10.0.0.0/8", Some("10.0.0.0/8"));
        check("+0.0.0.0/0.0.0.0", None);
    }

    #[test]
    fn networks_are_read_as_asterisk_writes_them() {
        for (text, expected) in [
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("10.1.2.3", Some("10.1.2.3/32")),
            ("10.1.2.3/255.255.255.252", Some("10.1.2.0/30")),
            ("2001:db8::1/32", Some("2001:db8::/32")),
            ("10.0.0.0/255.0.255.0", None),
            ("10.0.0.0/33", None),
            ("pbx.example.org", None),
        ] {
            let found = read_network(text).map(|network| network.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn private_networks_are_told_from_public_ones() {
        for (network, private) in [
            ("10.0.0.0/8", true),
            ("127.0.0.1", true),
            ("100.64.0.0/10", true),
            ("172.16.0.0/11", false),
            ("192.0.2.0/24", false),
            ("fd00::/8", true),
            ("2001:db8::/32", false),
        ] {
            assert_eq!(is_private_network(read_network(network).unwrap()), private, "{network}");
        }
    }
}
