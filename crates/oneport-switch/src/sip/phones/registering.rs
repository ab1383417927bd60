//! REGISTER (RFC 3261 §10.3): a phone says where it is, and for how long.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::digest::Asked;
use super::{Binding, Claim, Sender};
use crate::sip::Shared;
use crate::sip::message::Party;
use crate::sip::settings::Transport;
use crate::sip::stack::RegisterRequest;

/// For how long a phone is registered that does not say it (RFC 3261 §10.2), within its bounds.
const UNSAID: Duration = Duration::from_secs(3_600);
/// The longest URI by which a phone may want to be called.
const LONGEST_CONTACT: usize = 512;

/// What a Contact header says.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Contact {
    /// `*`: all there are.
    All,
    One {
        uri: String,
        expires: Option<u64>,
    },
}

/// What a phone wants.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Wish {
    /// To be at this URI, for so long.
    Be(String, Duration),
    /// To be nowhere any more: at this URI, or at all.
    Leave(Option<String>),
    /// To know where we take it to be.
    Ask,
}

/// The contacts of a request, in their order; `None`: one cannot be read.
fn contacts(values: &[String]) -> Option<Vec<Contact>> {
    values.iter().flat_map(|value| parts(value, ',')).map(contact).collect()
}

/// What stands between separators that are neither quoted nor within angle brackets.
fn parts(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut quoted, mut escaped, mut inside) = (false, false, false);
    for (at, one) in text.char_indices() {
        match one {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => inside = true,
            '>' if !quoted => inside = false,
            one if one == separator && !quoted && !inside => {
                parts.extend(text.get(begin..at));
                begin = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.extend(text.get(begin..));
    parts
}

fn contact(text: &str) -> Option<Contact> {
    let text = text.trim();
    if text == "*" {
        return Some(Contact::All);
    }
    let mut parts = parts(text, ';').into_iter();
    let first = parts.next()?.trim();
    let uri = match first.split_once('<') {
        Some((_, rest)) => rest.split_once('>')?.0,
        None => first,
    };
    // What is no address of SIP, or has control characters, cannot be called.
    let scheme = uri.split_once(':')?.0.to_ascii_lowercase();
    let usable = matches!(scheme.as_str(), "sip" | "sips")
        && uri.len() <= LONGEST_CONTACT
        && !uri.chars().any(|one| one.is_control() || one.is_whitespace());
    let expires = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("expires").then(|| value.trim().parse().ok())?
    });
    usable.then(|| Contact::One { uri: uri.into(), expires })
}

/// What a request wants; `Err`: the answer that says what is wrong with it.
fn wish(values: &[String], expires: Option<&str>) -> Result<Wish, u16> {
    let contacts = contacts(values).ok_or(400_u16)?;
    // RFC 3261 §20.19: what is no number is taken for 3600.
    let header = expires.map(|value| value.trim().parse().unwrap_or(UNSAID.as_secs()));
    if contacts.contains(&Contact::All) {
        return match (contacts.as_slice(), header) {
            ([Contact::All], Some(0)) => Ok(Wish::Leave(None)),
            _ => Err(400),
        };
    }
    let mut leaves = None;
    let mut is = None;
    for contact in contacts {
        let Contact::One { uri, expires } = contact else { continue };
        match expires.or(header).unwrap_or(UNSAID.as_secs()) {
            0 => leaves = Some(uri),
            // A phone that has moved names the old place and the new one; of several the last holds.
            seconds => is = Some((uri, Duration::from_secs(seconds))),
        }
    }
    Ok(match (is, leaves) {
        (Some((uri, wanted)), _) => Wish::Be(uri, wanted),
        (None, Some(uri)) => Wish::Leave(Some(uri)),
        (None, None) => Wish::Ask,
    })
}

/// Where packets for a phone go that has registered from `from`: there, as a NAT lets nothing else in.
/// A phone that knows its address as we see it, and hears at another port, is believed.
fn destination(transport: Transport, from: SocketAddr, contact: &str) -> SocketAddr {
    let host = contact.rsplit_once('@').map_or_else(
        || contact.split_once(':').map_or(contact, |(_, rest)| rest),
        |(_, host)| host,
    );
    let host = host.split([';', '?']).next().unwrap_or_default();
    let written: Option<SocketAddr> = host.parse().ok().or_else(|| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        Some(SocketAddr::new(bare.parse::<IpAddr>().ok()?, transport.port()))
    });
    match written {
        Some(written) if transport == Transport::Udp && written.ip() == from.ip() => written,
        _ => from,
    }
}

/// Takes a request to register.
pub(in crate::sip) async fn take(shared: Arc<Shared>, request: RegisterRequest) {
    let realm = shared.realm();
    let claim = Claim {
        asked: Asked { method: "REGISTER", user: &request.user },
        name: &request.to.user,
        from: request.from,
        proofs: &request.proofs,
    };
    let name = match shared.phones.sender(&realm, &claim) {
        // Nobody registers another.
        Sender::Phone(name) if name == request.to.user => name,
        Sender::Phone(_) | Sender::Nobody => return request.answer(403, Vec::new()),
        Sender::Unproved(challenges) => {
            let headers = challenges.into_iter().map(|one| ("WWW-Authenticate", one)).collect();
            return request.answer(401, headers);
        }
    };
    let Some((config, binding)) = shared.phones.find(&name) else {
        return request.answer(403, Vec::new());
    };
    let wish = match wish(&request.contacts, request.expires.as_deref()) {
        Ok(wish) => wish,
        Err(status) => return request.answer(status, Vec::new()),
    };
    let (least, most) = config.refresh;
    let wanted = match wish {
        Wish::Be(_, wanted) if wanted < least => {
            let headers = vec![("Min-Expires", least.as_secs().to_string())];
            return request.answer(423, headers);
        }
        Wish::Be(uri, wanted) => {
            let address = destination(request.transport, request.from, &uri);
            let binding = Binding { transport: request.transport, address, contact: uri };
            Some((binding, wanted.min(most)))
        }
        // What it leaves it may have left already, as far as we know.
        Wish::Leave(uri) => {
            let here = binding.as_ref().is_some_and(|binding| {
                uri.as_ref().is_none_or(|uri| Party::read(uri) == Party::read(&binding.contact))
            });
            if !here {
                return request.answer(200, contact_of(binding.as_ref().map(|one| (one, None))));
            }
            None
        }
        Wish::Ask => {
            return request.answer(200, contact_of(binding.as_ref().map(|one| (one, None))));
        }
    };
    let kept = shared.phones.registry.register(&name, wanted.clone()).await;
    if kept != Ok(true) {
        return request.answer(503, vec![("Retry-After", RETRY_AFTER.to_string())]);
    }
    let held = wanted.as_ref().map(|(binding, granted)| (binding, Some(*granted)));
    request.answer(200, contact_of(held));
}

/// When a phone may try again whose registration cannot be kept now, in seconds.
const RETRY_AFTER: u32 = 10;

/// What is said of where a phone is.
fn contact_of(held: Option<(&Binding, Option<Duration>)>) -> Vec<(&'static str, String)> {
    let Some((binding, granted)) = held else { return Vec::new() };
    let expires =
        granted.map(|granted| format!(";expires={}", granted.as_secs())).unwrap_or_default();
    let mut headers = vec![("Contact", format!("<{}>{expires}", binding.contact))];
    headers.extend(granted.map(|granted| ("Expires", granted.as_secs().to_string())));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(values: &[&str], expires: Option<&str>) -> Result<Wish, u16> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_string()).collect();
        wish(&values, expires)
    }

    fn be(uri: &str, seconds: u64) -> Result<Wish, u16> {
        Ok(Wish::Be(uri.into(), Duration::from_secs(seconds)))
    }

    #[test]
    fn a_phone_says_where_it_is_and_for_how_long() {
        let ann = "sip:ann@192.0.2.5:5062;transport=tcp";
        for (values, expires, wish) in [
            (vec!["<sip:ann@192.0.2.5:5062;transport=tcp>"], None, be(ann, 3_600)),
            (vec!["<sip:ann@192.0.2.5:5062;transport=tcp>"], Some("120"), be(ann, 120)),
            (
                vec!["\"A, \\\"B\" <sip:ann@192.0.2.5:5062;transport=tcp>;q=1;expires=90"],
                Some("120"),
                be(ann, 90),
            ),
            (vec!["sip:ann@192.0.2.5;expires=60"], None, be("sip:ann@192.0.2.5", 60)),
            (vec!["<sip:ann@192.0.2.5>"], Some("soon"), be("sip:ann@192.0.2.5", 3_600)),
            (vec!["<sip:a@h>;expires=0, <sip:b@h>;expires=70"], None, be("sip:b@h", 70)),
            (vec!["<sip:a@h>;expires=0", "<sip:b@h>"], Some("80"), be("sip:b@h", 80)),
            (vec!["<sip:a@h>"], Some("0"), Ok(Wish::Leave(Some("sip:a@h".into())))),
            (vec!["*"], Some("0"), Ok(Wish::Leave(None))),
            (vec!["*"], Some("60"), Err(400)),
            (vec!["*", "<sip:a@h>"], Some("0"), Err(400)),
            (vec![], Some("60"), Ok(Wish::Ask)),
            (vec!["<tel:+1212>"], None, Err(400)),
            (vec!["<sip:a@h\u{1}>"], None, Err(400)),
            (vec!["<sip:a@h"], None, Err(400)),
            (vec!["nonsense"], None, Err(400)),
        ] {
            assert_eq!(asks(&values, expires), wish, "{values:?} {expires:?}");
        }
        let long = format!("<sip:{}@h>", "a".repeat(LONGEST_CONTACT));
        assert_eq!(asks(&[&long], None), Err(400));
    }

    #[test]
    fn packets_go_where_they_come_from_but_for_a_phone_that_knows_its_address() {
        let from: SocketAddr = "192.0.2.5:40001".parse().expect("an address");
        for (transport, contact, expected) in [
            (Transport::Udp, "sip:ann@10.0.0.5:5060", "192.0.2.5:40001"),
            (Transport::Udp, "sip:ann@phone.example.org", "192.0.2.5:40001"),
            (Transport::Udp, "sip:ann@192.0.2.5:5062;ob", "192.0.2.5:5062"),
            (Transport::Udp, "sip:192.0.2.5", "192.0.2.5:5060"),
            (Transport::Tcp, "sip:ann@192.0.2.5:5062", "192.0.2.5:40001"),
        ] {
            let expected: SocketAddr = expected.parse().expect("an address");
            assert_eq!(destination(transport, from, contact), expected, "{contact}");
        }
    }
}
