//! Headers of a carrier's own that are variables of a call on our side (IAX2 VARIABLE): those of a list, and no
//! others.

/// So many a carrier may have.
pub(crate) const MOST: usize = 16;

/// The longest name, and the longest value, in bytes. What is longer is cut.
pub(crate) const LONGEST_NAME: usize = 64;
const LONGEST_VALUE: usize = 200;

/// What the gateway says itself, or what decides how a message is taken: nobody else puts that into one.
const OURS: &[&str] = &[
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Allow",
    "Allow-Events",
    "Authentication-Info",
    "Authorization",
    "Call-ID",
    "Contact",
    "CSeq",
    "Date",
    "Diversion",
    "Event",
    "Expires",
    "From",
    "Identity",
    "Max-Breadth",
    "Max-Forwards",
    "MIME-Version",
    "Min-Expires",
    "Min-SE",
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Path",
    "Privacy",
    "RAck",
    "Reason",
    "Record-Route",
    "Refer-Sub",
    "Refer-To",
    "Referred-By",
    "Remote-Party-ID",
    "Replaces",
    "Require",
    "Retry-After",
    "Route",
    "RSeq",
    "Server",
    "Service-Route",
    "Session-Expires",
    "Subscription-State",
    "Supported",
    "Timestamp",
    "To",
    "Unsupported",
    "User-Agent",
    "Via",
    "Warning",
    "WWW-Authenticate",
    "X-Oneport-Hops",
];

/// Whether a header may be on a list: a token (RFC 3261 §25.1) that is not the gateway's own, nor the short
/// form of one.
pub(crate) fn may_be_listed(name: &str) -> bool {
    let is_token =
        name.bytes().all(|one| one.is_ascii_alphanumeric() || b"-_.!%*+`'~".contains(&one));
    let begins =
        |with: &str| name.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    is_token
        && (2..=LONGEST_NAME).contains(&name.len())
        && !OURS.iter().any(|own| own.eq_ignore_ascii_case(name))
        && !begins("Content-")
        && !begins("Proxy-")
}

/// Whether a variable may be on a list: a word that the switch does not use itself.
pub(crate) fn may_be_variable(name: &str) -> bool {
    use super::settings::{HOPS, LEG, REPLACES, SOURCE};
    let is_word = name.bytes().all(|one| one.is_ascii_alphanumeric() || one == b'_');
    let taken = [HOPS, LEG, SOURCE, REPLACES, super::inbound::CALL_ID];
    is_word && (1..=LONGEST_NAME).contains(&name.len()) && !taken.contains(&name)
}

/// A value as it may stand in a header or a variable: on one line and not too long; `None`: nothing is left
/// of it.
fn plain(value: &str) -> Option<String> {
    let mut text: String = value.chars().filter(|one| !one.is_control()).collect();
    let mut end = text.len().min(LONGEST_VALUE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    let text = text.trim();
    (!text.is_empty()).then(|| text.into())
}

/// The headers of `list`, header and variable each, that a call with these variables has.
pub(crate) fn to_carrier<'a>(
    list: &'a [(String, String)],
    variables: &[(String, String)],
) -> Vec<(&'a str, String)> {
    let each = list.iter().filter_map(|(header, variable)| {
        let (_, value) = variables.iter().find(|(name, _)| name == variable)?;
        Some((header.as_str(), plain(value)?))
    });
    each.collect()
}

/// The variables of `list` that a message with these headers has.
pub(crate) fn from_carrier(
    list: &[(String, String)],
    header: impl Fn(&str) -> Option<String>,
) -> Vec<(String, String)> {
    let each =
        list.iter().filter_map(|(name, variable)| Some((variable.clone(), plain(&header(name)?)?)));
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_says_itself_cannot_be_listed_in_any_spelling() {
        for name in ["X-Account", "P-Charge-Info", "User-to-User", "Subject", "x_y"] {
            assert!(may_be_listed(name), "{name}");
        }
        let long = "x".repeat(65);
        for name in [
            "via",
            "VIA",
            "v",
            "i",
            "Call-Id",
            "cseq",
            "Content-Length",
            "content-type",
            "Route",
            "proxy-authorization",
            "X-Oneport-Hops",
            "p-asserted-identity",
            "X: y",
            "X\r\nVia",
            "",
            "X Y",
            "Ü-X",
            &long,
        ] {
            assert!(!may_be_listed(name), "{name:?}");
        }
        for name in ["ACCOUNT", "a_1"] {
            assert!(may_be_variable(name), "{name}");
        }
        for name in [
            "",
            "SIPLEG",
            "ONEPORT_HOPS",
            "SIPADDRESS",
            "SIPCALLID",
            "SIPREPLACES",
            "A B",
            "A=B",
            "A\0",
        ] {
            assert!(!may_be_variable(name), "{name:?}");
        }
    }

    #[test]
    fn values_pass_both_ways_on_one_line_and_no_others() {
        let list = [("X-Account".to_string(), "ACCOUNT".to_string()), ("X-B".into(), "B".into())];
        let variable = |name: &str, value: &str| (name.to_string(), value.to_string());
        let variables = [
            variable("SECRET", "1"),
            variable("ACCOUNT", " 42\r\nVia: SIP/2.0/UDP evil\0 "),
            variable("B", "\r\n"),
        ];
        let expected = [("X-Account", "42Via: SIP/2.0/UDP evil".to_string())];
        assert_eq!(to_carrier(&list, &variables), expected);
        let headers = |name: &str| match name {
            "X-Account" => Some("ü".repeat(150)),
            _ => Some("\t".into()),
        };
        assert_eq!(from_carrier(&list, headers), [variable("ACCOUNT", &"ü".repeat(100))]);
    }
}
