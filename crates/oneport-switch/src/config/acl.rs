//! Lists of who may come from where.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks that are let in and networks that are not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Acl {
    /// `None`: all; an empty list: none.
    pub(crate) permit: Option<Vec<IpNet>>,
    pub(crate) deny: Vec<IpNet>,
}

impl Acl {
    /// Whether it says nothing: everybody is let in.
    pub(crate) const fn is_open(&self) -> bool {
        self.permit.is_none() && self.deny.is_empty()
    }

    /// Whether `address` is let in. Of the networks that it is in the smallest decides, and `deny`
    /// where both have the same. In none of them, it is let in only where nothing is permitted by
    /// name.
    pub(crate) fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let smallest = |networks: &[IpNet]| {
            let holding = networks.iter().filter(|network| network.contains(&address));
            holding.map(IpNet::prefix_len).max()
        };
        let permitted = self.permit.as_deref().map(smallest);
        match (permitted, smallest(&self.deny)) {
            (None, denied) => denied.is_none(),
            (Some(None), _) => false,
            (Some(Some(permitted)), denied) => denied.is_none_or(|denied| permitted > denied),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(permit: Option<&[&str]>, deny: &[&str], address: &str) -> bool {
        let read = |networks: &[&str]| {
            networks.iter().map(|network| network.parse().unwrap()).collect::<Vec<IpNet>>()
        };
        let acl = Acl { permit: permit.map(read), deny: read(deny) };
        acl.permits(address.parse().unwrap())
    }

    #[test]
    fn the_smallest_network_decides_and_what_is_not_named_stays_out() {
        assert!(check(None, &[], "192.0.2.1"));
        assert!(!check(None, &["192.0.2.0/24"], "192.0.2.1"));
        assert!(check(None, &["192.0.2.0/24"], "192.0.3.1"));
        assert!(check(Some(&["192.0.2.0/24"]), &["0.0.0.0/0"], "192.0.2.1"));
        assert!(!check(Some(&["192.0.2.0/24"]), &["0.0.0.0/0"], "192.0.3.1"));
        assert!(!check(Some(&["192.0.2.0/24"]), &["192.0.2.1/32"], "192.0.2.1"));
        assert!(check(Some(&["192.0.2.0/24"]), &["192.0.2.1/32"], "192.0.2.2"));
        assert!(!check(Some(&["192.0.2.1/32"]), &["192.0.2.1/32"], "192.0.2.1"));
        assert!(!check(Some(&[]), &[], "192.0.2.1"), "a list of nobody lets nobody in");
        assert!(
            !check(Some(&["192.0.2.0/24"]), &[], "2001:db8::1"),
            "the other family is not named"
        );
        assert!(check(Some(&["192.0.2.0/24"]), &[], "::ffff:192.0.2.1"), "IPv4 on an IPv6 socket");
    }
}
