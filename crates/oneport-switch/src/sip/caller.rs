//! Who calls, as a carrier is told of it: `From`, and by configuration `P-Asserted-Identity` (RFC 3325) or
//! `Remote-Party-ID`, `Privacy` (RFC 3323), and who has redirected the call (`Diversion`, RFC 5806).

use oneport_proto::Offer;

use super::message::{escape, quote};
use super::settings::Carrier;

/// The presentation of a number (RFC 5456 §8.6.29): not to be shown, the bits that say so, and that which says
/// that it is right.
const RESTRICTED: u8 = 0x20;
const PRESENTATION: u8 = 0x60;
const SCREENED: u8 = 0x01;

/// In which headers a carrier is told of the caller's number, beside `From`: for one that has to know a
/// number even where it must not show it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Identity {
    /// In none: a number that is not to be shown is not told at all.
    None,
    /// `P-Asserted-Identity`.
    Asserted,
    /// `Remote-Party-ID`.
    RemoteParty,
    /// Both.
    Both,
}

impl Identity {
    /// All, by the names that files have for them.
    pub(crate) const NAMES: [&str; 4] = ["none", "p_asserted_identity", "remote_party_id", "both"];

    /// By its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "p_asserted_identity" => Some(Self::Asserted),
            "remote_party_id" => Some(Self::RemoteParty),
            "both" => Some(Self::Both),
            _ => None,
        }
    }
}

/// A caller in headers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Caller {
    /// The user part of `From`.
    pub(crate) from: String,
    /// The name in it.
    pub(crate) name: Option<String>,
    /// Its host.
    pub(crate) domain: String,
    /// The other headers.
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// What is said of a caller.
struct Said<'a> {
    number: Option<&'a str>,
    name: Option<&'a str>,
    presentation: u8,
    /// Who has redirected the call.
    rdnis: Option<&'a str>,
}

impl Caller {
    /// That of a call, as this carrier is told of it.
    pub(crate) fn of(carrier: &Carrier, offer: &Offer) -> Self {
        let mut said = offer.clone();
        carrier.caller_id.apply(&mut said);
        let said = Said {
            number: said.calling_number.as_deref(),
            name: said.calling_name.as_deref(),
            presentation: said.calling_presentation.unwrap_or(0),
            rdnis: said.rdnis.as_deref(),
        };
        Self::told(carrier, &said)
    }

    fn told(carrier: &Carrier, said: &Said<'_>) -> Self {
        let restricted = said.presentation & PRESENTATION == RESTRICTED;
        let there = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_string);
        let outbound = |number: String| carrier.numbers.outbound(&number);
        let number = there(said.number).map(outbound);
        let name = there(said.name);
        let domain = carrier.domain.clone();
        let mut headers = Vec::new();
        if restricted {
            headers.push(("Privacy", "id".to_string()));
        }
        if let Some(number) = &number {
            let name = name.as_deref().map(|name| format!("{} ", quote(name))).unwrap_or_default();
            let party = format!("{name}<sip:{}@{domain}>", escape(number));
            if matches!(carrier.identity, Identity::Asserted | Identity::Both) {
                headers.push(("P-Asserted-Identity", party.clone()));
            }
            if matches!(carrier.identity, Identity::RemoteParty | Identity::Both) {
                let privacy = if restricted { "full" } else { "off" };
                // Looked at and passed, or the network's own.
                let screen = if said.presentation & SCREENED != 0 { "yes" } else { "no" };
                let party = format!("{party};party=calling;screen={screen};privacy={privacy}");
                headers.push(("Remote-Party-ID", party));
            }
        }
        if let Some(rdnis) = there(said.rdnis).map(outbound) {
            let user = escape(&rdnis);
            headers.push(("Diversion", format!("<sip:{user}@{domain}>;reason=unknown")));
        }
        let (from, name, domain) = match (restricted, number) {
            (true, _) => ("anonymous".into(), Some("Anonymous".into()), "anonymous.invalid".into()),
            (false, Some(number)) => (number, name, domain),
            (false, None) => (carrier.own_name().into(), name, domain),
        };
        Self { from, name, domain, headers }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    /// What a carrier with such an identity is told of a call with this presentation.
    fn told(identity: &str, presentation: u8) -> Caller {
        let text = format!(
            "[carriers.acme]\nhost = \"sip.example.org\"\nnumber_format = \"+e164\"\n\
             country_code = \"49\"\nidentity = \"{identity}\"\n"
        );
        let config = Config::parse(Path::new("x.toml"), &text).expect("good");
        let (number, name) = (Some("03012345"), Some("Ann \"A\"\r\nVia: x"));
        let said = Said { number, name, presentation, rdnis: Some("030999") };
        Caller::told(&config.carriers["acme"], &said)
    }

    const PARTY: &str = "\"Ann \\\"A\\\"Via: x\" <sip:+493012345@sip.example.org>";
    const DIVERTED: &str = "<sip:+4930999@sip.example.org>;reason=unknown";

    #[test]
    fn a_number_that_may_be_shown_is_in_each_header_that_is_asked_for() {
        let from = |caller: &Caller| (caller.from.clone(), caller.domain.clone());
        let shown = told("none", 0x01);
        assert_eq!(from(&shown), ("+493012345".into(), "sip.example.org".into()));
        assert_eq!(shown.headers, [("Diversion", DIVERTED.to_string())]);
        let both = told("both", 0x01);
        assert_eq!(from(&both), from(&shown));
        let remote = format!("{PARTY};party=calling;screen=yes;privacy=off");
        let expected = [
            ("P-Asserted-Identity", PARTY.to_string()),
            ("Remote-Party-ID", remote),
            ("Diversion", DIVERTED.to_string()),
        ];
        assert_eq!(both.headers, expected);
    }

    #[test]
    fn a_number_that_is_not_to_be_shown_is_told_to_nobody_but_whom_the_configuration_trusts() {
        let hidden = told("none", 0x20);
        assert_eq!(hidden.from, "anonymous");
        let everything = format!("{hidden:?}");
        assert!(!everything.contains("3012345") && !everything.contains("Ann"), "{everything}");
        assert!(hidden.headers.contains(&("Privacy", "id".into())));
        let asserted = told("p_asserted_identity", 0x20);
        assert_eq!(
            (asserted.from.as_str(), asserted.domain.as_str()),
            ("anonymous", "anonymous.invalid")
        );
        let expected = [
            ("Privacy", "id".into()),
            ("P-Asserted-Identity", PARTY.into()),
            ("Diversion", DIVERTED.into()),
        ];
        assert_eq!(asserted.headers, expected);
        let remote = told("remote_party_id", 0x20).headers;
        assert!(remote.iter().any(|(name, value)| *name == "Remote-Party-ID"
            && value.ends_with(";party=calling;screen=no;privacy=full")));
    }
}
