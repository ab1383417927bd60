//! `Dial`: whom it calls, as destinations, and the peers that it takes.

use super::acl;
use super::conf::Place;
use super::expression;
use super::extensions::Step;
use super::iax::{split_port, written_address};
use super::plan::{Peer, list, text};
use super::routes::{Group, NOBODY, Next, Routes, Walk};

impl Routes<'_> {
    pub(super) fn dial(&mut self, walk: &mut Walk<'_>, step: &Step) -> Next {
        self.forget_announcement(walk);
        let place = &step.place;
        let empty = String::new();
        let argument = |index: usize| step.arguments.get(index).unwrap_or(&empty);
        let mut to = Vec::new();
        let mut failures = Vec::new();
        for target in expression::split(argument(0), '&') {
            let expanded = self.expand(walk, &target);
            match expanded.and_then(|expanded| self.destination(&target, &expanded, place)) {
                Ok(destination) if to.contains(&destination) => {}
                Ok(destination) => to.push(destination),
                Err(why) => failures.push(why),
            }
        }
        for why in &failures {
            self.ledger.dropped(place, why.clone());
        }
        if to.is_empty() {
            if failures.is_empty() {
                self.ledger.dropped(place, "it calls nobody");
            }
            let why = failures.pop().unwrap_or_else(|| "it calls nobody".into());
            // The next step may lead somewhere.
            walk.stopped = Some((why, place.clone()));
            return Next::Step;
        }
        walk.stopped = None;
        let timeout = match self.expand(walk, argument(1)) {
            Ok(seconds) if seconds.is_empty() => None,
            Ok(seconds) => match seconds.parse::<f64>() {
                Ok(seconds) if (1.0..1e6).contains(&seconds) => Some(seconds as u64),
                _ => None,
            },
            Err(why) => {
                self.ledger.changed(place, format!("it rings without end: {why}"));
                None
            }
        };
        match argument(2).as_str() {
            "" => self.ledger.kept(place),
            options => {
                let note = format!("without its options ({options}), which have no counterpart");
                self.ledger.changed(place, note);
            }
        }
        walk.groups.push(Group { to, timeout, place: place.clone() });
        Next::Step
    }

    /// `IAX2/[user[:secret[:key]]@]host[:port][/number[@context]][/options]` as a destination; as it
    /// is written it is `target`.
    fn destination(
        &mut self,
        target: &str,
        expanded: &str,
        place: &Place,
    ) -> Result<String, String> {
        let (technology, rest) = expanded.split_once('/').unwrap_or((expanded, ""));
        if !technology.eq_ignore_ascii_case("IAX2") && !technology.eq_ignore_ascii_case("IAX") {
            return Err(format!("{technology} is not spoken"));
        }
        let mut parts = rest.split('/');
        let device = parts.next().unwrap_or_default();
        // Without a number, Asterisk calls `s`.
        let number = parts.next().filter(|number| !number.is_empty()).unwrap_or("s");
        let (number, context) = number.split_once('@').unwrap_or((number, ""));
        if !context.is_empty() {
            let note = "calls name no context: the other side has one for us";
            self.ledger.changed(place, note);
        }
        if device.contains('{') {
            return Err("whom it calls depends on the number".into());
        }
        let peer = self.peer(target, device, place)?;
        match number {
            "{number}" => Ok(format!("peer:{peer}")),
            number => Ok(format!("peer:{peer}/{number}")),
        }
    }

    /// The peer that `[user[:secret[:key]]@]host[:port]` means; made, if there is none.
    fn peer(&mut self, target: &str, device: &str, place: &Place) -> Result<String, String> {
        let (user, host) = match device.rsplit_once('@') {
            Some((user, host)) => (user, host),
            None => ("", device),
        };
        let (host, port) = split_port(host).ok_or("its port is no number")?;
        let mut user = user.split(':').map(str::trim);
        let name = user.next().unwrap_or_default();
        let secret = user.next().unwrap_or_default();
        self.ledger.hide(secret);
        let known = self.plan.peers.iter().find(|peer| peer.name == host);
        match known {
            Some(peer) if !peer.dialable => {
                return Err(format!("{host} is a user, which cannot be called"));
            }
            Some(peer) => {
                if !name.is_empty() {
                    self.ledger.changed(place, "under the name and secret of the peer");
                }
                return Ok(peer.name.clone());
            }
            None => {}
        }
        let port = port.unwrap_or(oneport_wire::DEFAULT_PORT);
        let own =
            self.plan.peers.iter().find(|peer| peer.loop_port == Some(port) && peer.name == name);
        if let Some(own) = own {
            return Ok(own.name.clone());
        }
        let there =
            self.plan.peers.iter().find(|peer| {
                name.is_empty() && peer.address.as_ref() == Some(&(host.clone(), port))
            });
        if let Some(there) = there {
            return Ok(there.name.clone());
        }
        if let Some((_, made)) = self.outgoing.iter().find(|(known, _)| known == device) {
            return Ok(made.clone());
        }
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err("it names no host".into());
        }
        // A variable has a better name than an address.
        let variable = target.strip_prefix("${").and_then(|rest| rest.split_once('}'));
        let wanted = variable.map_or(host.as_str(), |(variable, _)| variable);
        let peer = self.outgoing_peer(wanted, &host, port, (name, secret), place);
        let made = peer.name.clone();
        self.outgoing.push((device.into(), made.clone()));
        self.plan.peers.push(peer);
        Ok(made)
    }

    /// A peer that is only called.
    fn outgoing_peer(
        &self,
        wanted: &str,
        host: &str,
        port: u16,
        (name, secret): (&str, &str),
        place: &Place,
    ) -> Peer {
        let mut keys = vec![("address", text(&written_address(host, port)))];
        if !name.is_empty() {
            keys.push(("username", text(name)));
        }
        if self.plan.plaintext && !secret.is_empty() {
            let networks: Vec<ipnet::IpNet> =
                host.parse::<std::net::IpAddr>().map(Into::into).into_iter().collect();
            if acl::may_be_plain(&self.options.trusted, &networks) {
                keys.push(("auth", list(["md5", "plaintext"])));
                keys.push(("permit", list(networks)));
            }
        }
        keys.push(("contexts", list([NOBODY])));
        Peer {
            name: self.plan.free_name(wanted),
            comments: vec![format!("called at {place}")],
            secret: (!secret.is_empty()).then(|| secret.to_string()),
            keys,
            address: Some((host.into(), port)),
            dialable: true,
            ..Peer::default()
        }
    }
}
