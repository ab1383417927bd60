//! What a SIP message says, in our words: who calls whom, and what of that may be shown.
//!
//! It knows nothing of dialogs or of the SIP library: headers come in as text.

use oneport_wire::CauseCode;

use super::causes;

/// Somebody, as a header names him: `"Name" <sip:user@host>`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Party {
    pub(crate) name: Option<String>,
    /// The part before `@`, or the number of a `tel` URI, without what stands behind `;`.
    pub(crate) user: String,
    pub(crate) host: String,
}

/// The longest name or number that is taken over from a header.
const LONGEST: usize = 128;

impl Party {
    /// Reads the first of a header's values; `None` where there is no URI in it.
    pub(crate) fn read(header: &str) -> Option<Self> {
        let header = header.trim();
        let (name, uri) = match header.strip_prefix('"') {
            Some(quoted) => {
                let (name, rest) = unquote(quoted)?;
                (Some(name), rest)
            }
            None => match header.split_once('<') {
                Some((name, _)) => (Some(name.trim().to_string()), header),
                None => (None, header),
            },
        };
        let uri = match uri.split_once('<') {
            Some((_, inside)) => inside.split('>').next()?,
            None => uri.split([';', ',']).next()?,
        };
        let (scheme, rest) = uri.trim().split_once(':')?;
        let (user, host) = match scheme.to_ascii_lowercase().as_str() {
            "sip" | "sips" => match rest.split_once('@') {
                Some((user, host)) => (user, host),
                None => ("", rest),
            },
            "tel" => (rest, ""),
            _ => return None,
        };
        let user = user.split([';', ':']).next().unwrap_or_default();
        let host = host.split([';', '?', ':']).next().unwrap_or_default();
        let name = name.map(|name| plain(&name)).filter(|name| !name.is_empty());
        Some(Self { name, user: plain(&unescape(user)), host: plain(host) })
    }
}

/// What stands before the quotation mark that ends a text, and what behind it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut escaped = false;
    for (at, one) in quoted.char_indices() {
        match one {
            _ if escaped => {
                text.push(one);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((text, quoted.get(at + 1..)?)),
            _ => text.push(one),
        }
    }
    None
}

/// Without control characters, and no longer than any name or number.
fn plain(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).take(LONGEST).collect()
}

/// `%40` is `@` (RFC 3261 §19.1.2). What is no such thing stays.
pub(crate) fn unescape(user: &str) -> String {
    let mut bytes = Vec::with_capacity(user.len());
    let mut rest = user.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escaped =
            hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A number or name as the user part of a URI (RFC 3261 §25.1).
pub(crate) fn escape(user: &str) -> String {
    let mut text = String::new();
    for byte in user.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => text.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' | b'&' | b'=' | b'+'
            | b'$' | b',' | b'/' => text.push(char::from(byte)),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

/// A name as a quoted text (RFC 3261 §25.1).
pub(crate) fn quote(name: &str) -> String {
    let mut text = String::from("\"");
    for one in name.chars().filter(|one| !one.is_control()) {
        if matches!(one, '"' | '\\') {
            text.push('\\');
        }
        text.push(one);
    }
    text.push('"');
    text
}

/// What a call from a carrier says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Invitation {
    /// The user part of the request's URI.
    pub(crate) request: String,
    /// To whom the call went at first.
    pub(crate) to: Party,
    pub(crate) from: Party,
    /// What the carrier vouches for (RFC 3325), or says in Remote-Party-ID.
    pub(crate) asserted: Option<Party>,
    /// Whether the caller wants to be unknown (RFC 3323).
    pub(crate) private: bool,
    /// Who has redirected the call (RFC 5806).
    pub(crate) diverted_by: Option<Party>,
    /// How many switches the call has come through, if it came from one of ours.
    pub(crate) hops: Option<u32>,
    /// How long the session is to hold (RFC 4028), and extensions that the caller knows.
    pub(crate) session: Option<String>,
    pub(crate) supported: String,
    /// Why it cannot be understood, or answered: the status that says so, and a header that says what
    /// could be.
    pub(crate) misfit: Option<(u16, (&'static str, String))>,
    /// Whether it wants to acknowledge provisional answers (RFC 3262).
    pub(crate) needs_prack: bool,
    pub(crate) sdp: Option<String>,
}

/// Extensions that are known here.
const KNOWN: [&str; 3] = ["timer", RELIABLE, "replaces"];
/// Provisional answers that are acknowledged (RFC 3262).
const RELIABLE: &str = "100rel";

/// Whether a header names an extension.
fn names(header: &str, extension: &str) -> bool {
    header.split(',').any(|one| one.trim().eq_ignore_ascii_case(extension))
}

/// The extensions in a Require header that are not known here.
pub(crate) fn unknown_in(require: &str) -> Option<String> {
    let unknown = require
        .split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty() && !KNOWN.iter().any(|known| one.eq_ignore_ascii_case(known)))
        .collect::<Vec<_>>()
        .join(", ");
    (!unknown.is_empty()).then_some(unknown)
}

/// Why an INVITE cannot be understood, or answered (RFC 3261 §8.2.2.3, §8.2.3).
fn misfit(
    body: &[u8],
    header: impl Fn(&str) -> Option<String>,
) -> Option<(u16, (&'static str, String))> {
    let require = header("Require").unwrap_or_default();
    if let Some(unknown) = unknown_in(&require) {
        return Some((420, ("Unsupported", unknown)));
    }
    if names(&require, RELIABLE) && body.is_empty() {
        // The first reliable answer would have to be an offer (RFC 3262 §5), which comes too early.
        return Some((420, ("Unsupported", RELIABLE.into())));
    }
    let is = |kind: &str, known: &[&str]| {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        known.contains(&kind.as_str())
    };
    let accept = || ("Accept", "application/sdp".to_string());
    let kind = header("Content-Type").filter(|_| !body.is_empty());
    let known = |kind: &String| {
        is(kind, &["application/sdp"]) || kind.to_ascii_lowercase().starts_with("multipart/")
    };
    if kind.is_some_and(|kind| !known(&kind)) {
        return Some((415, accept()));
    }
    let hears = ["application/sdp", "application/*", "*/*"];
    let deaf = header("Accept").is_some_and(|all| !all.split(',').any(|one| is(one, &hears)));
    deaf.then(|| (406, accept()))
}

/// The header in which a call takes along how many switches it has come through.
pub(crate) const HOPS_HEADER: &str = "X-Oneport-Hops";

impl Invitation {
    /// Reads one; `header` gives the values of headers by their names, and `request` is the user part
    /// of the request's URI.
    pub(crate) fn read(
        request: &str,
        body: &[u8],
        header: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let party = |name: &str| header(name).and_then(|value| Party::read(&value));
        let remote = header("Remote-Party-ID");
        let hidden = |value: &str| {
            value.split(';').any(|part| {
                part.trim()
                    .to_ascii_lowercase()
                    .strip_prefix("privacy=")
                    .is_some_and(|how| how != "off")
            })
        };
        let privacy = header("Privacy").is_some_and(|value| {
            value.split([';', ',']).any(|one| {
                ["id", "user", "header"].iter().any(|word| one.trim().eq_ignore_ascii_case(word))
            })
        });
        let from = party("From").unwrap_or_default();
        let anonymous = from.host.eq_ignore_ascii_case("anonymous.invalid")
            || from.user.eq_ignore_ascii_case("anonymous");
        let is_sdp = header("Content-Type")
            .is_none_or(|kind| kind.to_ascii_lowercase().starts_with("application/sdp"));
        Self {
            request: plain(&unescape(request.split([';', ':']).next().unwrap_or_default())),
            to: party("To").unwrap_or_default(),
            asserted: party("P-Asserted-Identity")
                .or_else(|| remote.as_deref().and_then(Party::read)),
            private: privacy || anonymous || remote.as_deref().is_some_and(hidden),
            diverted_by: party("Diversion"),
            session: header("Session-Expires"),
            supported: header("Supported").unwrap_or_default(),
            misfit: misfit(body, &header),
            needs_prack: header("Require").is_some_and(|require| names(&require, RELIABLE)),
            hops: header(HOPS_HEADER).and_then(|hops| hops.parse().ok()),
            sdp: (is_sdp && !body.is_empty()).then(|| String::from_utf8_lossy(body).into_owned()),
            from,
        }
    }

    /// Who calls: what the carrier vouches for, else what the caller says.
    pub(crate) fn caller(&self) -> &Party {
        self.asserted.as_ref().unwrap_or(&self.from)
    }
}

/// Why a call is over, as a final answer says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    /// The cause of Q.850, where a Reason header names one.
    pub(crate) reason: Option<CauseCode>,
    /// Nothing was heard at all.
    pub(crate) silent: bool,
    /// Who is to be called instead (`Contact` of 3xx).
    pub(crate) instead: Option<Party>,
    /// When it may be tried again, in seconds (`Retry-After`).
    pub(crate) retry_after: Option<u64>,
    /// For how many seconds a session must hold there at least (`Min-SE` of 422).
    pub(crate) least_session: Option<u64>,
}

impl Refused {
    /// Nothing came, or nothing that could be understood.
    pub(crate) const fn silent(status: u16) -> Self {
        Self {
            status,
            reason: None,
            silent: true,
            instead: None,
            retry_after: None,
            least_session: None,
        }
    }

    /// The cause that a caller is told.
    pub(crate) fn cause(&self) -> CauseCode {
        if self.silent {
            return CauseCode::DESTINATION_OUT_OF_ORDER;
        }
        self.reason.unwrap_or_else(|| causes::cause_for(self.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(name: Option<&str>, user: &str, host: &str) -> Option<Party> {
        Some(Party { name: name.map(Into::into), user: user.into(), host: host.into() })
    }

    #[test]
    fn parties_are_read_as_they_are_written() {
        for (header, read) in [
            ("<sip:100@192.0.2.1:5060>;tag=1", party(None, "100", "192.0.2.1")),
            ("sip:100@192.0.2.1;tag=1", party(None, "100", "192.0.2.1")),
            (
                "\"Alice \\\"A\\\" B\" <sip:+12125550100@example.org;user=phone>",
                party(Some("Alice \"A\" B"), "+12125550100", "example.org"),
            ),
            ("Bob <sips:bob@example.org>", party(Some("Bob"), "bob", "example.org")),
            ("<tel:+12125550100;ext=1>", party(None, "+12125550100", "")),
            ("<sip:%23100%2A@h>", party(None, "#100*", "h")),
            ("<sip:100%zz@h>", party(None, "100%zz", "h")),
            ("<sip:+1212;rn=+1999@h>", party(None, "+1212", "h")),
            ("\"no end <sip:100@h>", None),
            ("<http://h>", None),
            ("", None),
        ] {
            assert_eq!(Party::read(header), read, "{header}");
        }
    }

    #[test]
    fn what_is_escaped_is_read_as_it_was() {
        for user in ["+12125550100", "*98#", "a@b", "100%", "Ünter"] {
            let header = format!("{} <sip:{}@h>", quote("a \"b\" \\ c"), escape(user));
            assert_eq!(Party::read(&header), party(Some("a \"b\" \\ c"), user, "h"));
        }
    }

    fn invitation(headers: &[(&str, &str)]) -> Invitation {
        Invitation::read("600", b"v=0\r\n", |name| {
            let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| (*value).to_string())
        })
    }

    #[test]
    fn the_carrier_says_who_calls_and_the_caller_whether_it_is_shown() {
        let plain = invitation(&[("From", "\"A\" <sip:100@h>"), ("To", "<sip:600@us>")]);
        assert_eq!((plain.caller().user.as_str(), plain.private), ("100", false));
        assert_eq!(plain.sdp.as_deref(), Some("v=0\r\n"));
        let hidden = invitation(&[
            ("From", "\"Anonymous\" <sip:anonymous@anonymous.invalid>"),
            ("P-Asserted-Identity", "\"A\" <sip:+12125550100@h>"),
            ("Privacy", "id"),
        ]);
        assert_eq!((hidden.caller().user.as_str(), hidden.private), ("+12125550100", true));
        let old = invitation(&[
            ("From", "<sip:100@h>"),
            ("Remote-Party-ID", "<sip:200@h>;party=calling;privacy=full;screen=yes"),
            ("Diversion", "<sip:300@h>;reason=unconditional"),
        ]);
        assert_eq!((old.caller().user.as_str(), old.private), ("200", true));
        assert_eq!(old.diverted_by.map(|party| party.user).as_deref(), Some("300"));
        let shown = invitation(&[
            ("From", "<sip:100@h>"),
            ("Remote-Party-ID", "<sip:200@h>;privacy=off"),
            ("Privacy", "none"),
        ]);
        assert!(!shown.private);
    }

    #[test]
    fn a_body_that_is_no_description_is_none() {
        let text = invitation(&[("Content-Type", "text/plain")]);
        assert_eq!(text.sdp, None);
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        let misfit = |headers: &[(&str, &str)]| {
            invitation(headers)
                .misfit
                .map(|(status, (name, value))| format!("{status} {name}: {value}"))
        };
        for (header, expected) in [
            (("Require", "timer"), None),
            (("Require", "timer, 100rel"), None),
            (("Require", "timer, 100rel,x, y"), Some("420 Unsupported: x, y")),
            (("Content-Type", "Application/SDP; x=1"), None),
            (("Content-Type", "multipart/mixed; boundary=x"), None),
            (("Content-Type", "text/plain"), Some("415 Accept: application/sdp")),
            (("Accept", "text/plain, application/sdp;level=1"), None),
            (("Accept", "*/*"), None),
            (("Accept", "text/plain"), Some("406 Accept: application/sdp")),
        ] {
            assert_eq!(misfit(&[header]).as_deref(), expected, "{header:?}");
        }
    }

    #[test]
    fn silence_is_told_from_an_answer() {
        let refused =
            |status, reason| Refused { reason, silent: false, ..Refused::silent(status) }.cause();
        assert_eq!(Refused::silent(408).cause(), CauseCode::DESTINATION_OUT_OF_ORDER);
        assert_eq!(refused(486, None), CauseCode::USER_BUSY);
        assert_eq!(refused(480, Some(CauseCode::NO_ANSWER)), CauseCode::NO_ANSWER);
    }
}
