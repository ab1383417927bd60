//! What a datagram must be to be looked at: a message of SIP in its outline (RFC 3261 §7, §8.1.1).
//!
//! The SIP library drops in silence what it cannot read, and takes much for good that is not. Here a
//! request that is malformed is answered as RFC 4475 wants it. Where a sender is merely careless, as
//! with blanks around a URI, it passes. It knows nothing of that library, and keeps nothing.

use std::fmt::Write as _;

/// What becomes of a datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is looked at.
    Passes,
    /// The same, with blanks taken out that the SIP library would stumble over.
    PassesAs(Vec<u8>),
    /// Nobody could be answered, or nobody waits for an answer.
    IsDropped,
    /// It is answered with this, and nothing else is done.
    IsAnswered(String),
}

/// What is wrong with a request: status and phrase of the answer.
type Fault = (u16, &'static str);

/// The longest start line or header that is quoted in an answer.
const LONGEST: usize = 2_048;

/// Names of headers in their short form (RFC 3261 §7.3.3), for those that are looked at here.
const SHORT: [(&str, &str); 6] = [
    ("v", "via"),
    ("f", "from"),
    ("t", "to"),
    ("i", "call-id"),
    ("l", "content-length"),
    ("m", "contact"),
];

/// Headers of which there is one at most.
const SINGLE: [&str; 6] = ["from", "to", "call-id", "cseq", "content-length", "max-forwards"];

/// Schemes of URIs that are known here.
const SCHEMES: [&str; 3] = ["sip", "sips", "tel"];

/// The head of a message: its start line and its headers, unfolded, with names in small letters.
struct Head {
    start: String,
    headers: Vec<(String, String)>,
}

impl Head {
    fn read(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let start = lines.next().filter(|line| !line.is_empty())?.to_string();
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = headers.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                continue;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            let name = name.trim().to_ascii_lowercase();
            let long = SHORT.iter().find(|(short, _)| *short == name);
            let name = long.map_or(name, |(_, long)| (*long).to_string());
            headers.push((name, value.trim().to_string()));
        }
        Some(Self { start, headers })
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The message with this head and body, if there are blanks in it where they may be and nobody puts
    /// any (RFC 3261 §7.3.1, §25.1).
    fn tidied(&self, body: &[u8]) -> Option<Vec<u8>> {
        let tidied = |name: &str, value: &str| match name {
            "via" | "from" | "to" => tidy(value),
            _ => value.to_string(),
        };
        if self.headers.iter().all(|(name, value)| tidied(name, value) == *value) {
            return None;
        }
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {}\r\n", tidied(name, value));
        }
        text.push_str("\r\n");
        Some([text.as_bytes(), body].concat())
    }

    /// Number and method of CSeq.
    fn sequence(&self) -> Option<(u32, &str)> {
        let mut words = self.first("cseq")?.split_ascii_whitespace();
        let number = words.next()?.parse::<u32>().ok().filter(|number| *number < 1 << 31)?;
        let method = words.next()?;
        words.next().is_none().then_some((number, method))
    }
}

/// To which call a message belongs, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Gist {
    pub(super) is_answer: bool,
    /// Of the request that it is, or answers.
    pub(super) method: String,
    pub(super) call_id: String,
    /// Whether it is part of a dialog: its To header has a tag.
    pub(super) is_in_dialog: bool,
    /// The Call-ID of the dialog whose place it is to take (RFC 3891).
    pub(super) replaces: Option<String>,
}

impl Gist {
    /// Reads it; `None` of what is no message.
    pub(super) fn read(datagram: &[u8]) -> Option<Self> {
        let end = datagram.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = Head::read(&String::from_utf8_lossy(datagram.get(..end)?))?;
        let (_, method) = head.sequence()?;
        let replaces = head.first("replaces").and_then(|value| value.split(';').next());
        Some(Self {
            is_answer: head.start.starts_with("SIP/"),
            method: method.into(),
            call_id: head.first("call-id")?.into(),
            is_in_dialog: head.first("to").is_some_and(has_tag),
            replaces: replaces.map(|call_id| call_id.trim().into()),
        })
    }
}

/// Looks at a datagram. `knows` says of a method whether it is one at all.
pub(super) fn look_at(datagram: &[u8], knows: impl Fn(&str) -> bool) -> Verdict {
    let end = datagram.windows(4).position(|four| four == b"\r\n\r\n");
    let Some((head, body)) =
        end.and_then(|end| Some((datagram.get(..end)?, datagram.get(end + 4..)?)))
    else {
        return Verdict::IsDropped;
    };
    let Some(head) = Head::read(&String::from_utf8_lossy(head)) else { return Verdict::IsDropped };
    if head.start.starts_with("SIP/") {
        let status = head.start.split_ascii_whitespace().nth(1);
        let good = status.and_then(|status| status.parse::<u16>().ok());
        let good = good.is_some_and(|status| (100..700).contains(&status));
        return if good && head.sequence().is_some() {
            Verdict::Passes
        } else {
            Verdict::IsDropped
        };
    }
    match fault(&head, body.len(), knows) {
        None => head.tidied(body).map_or(Verdict::Passes, Verdict::PassesAs),
        Some(_) if head.start.starts_with("ACK ") || head.first("via").is_none() => {
            Verdict::IsDropped
        }
        Some(fault) => Verdict::IsAnswered(answer(&head, fault)),
    }
}

/// What is wrong with a request, if something is.
fn fault(head: &Head, body: usize, knows: impl Fn(&str) -> bool) -> Option<Fault> {
    let malformed: Option<Fault> = Some((400, "Bad Request"));
    let mut words = head.start.split(' ');
    let (Some(method), Some(uri), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return malformed;
    };
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        let other = version.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("SIP/"));
        return if other { Some((505, "Version Not Supported")) } else { malformed };
    }
    let Some((scheme, rest)) = uri.split_once(':') else { return malformed };
    let plain = |one: u8| one.is_ascii_alphanumeric() || b"+-.".contains(&one);
    if scheme.is_empty() || !scheme.bytes().all(plain) {
        return malformed;
    }
    if !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Some((416, "Unsupported URI Scheme"));
    }
    // Headers in the URI of a request (§19.1.1).
    if rest.rsplit('@').next().is_some_and(|host| host.contains('?')) {
        return malformed;
    }
    if !knows(method) {
        return Some((501, "Not Implemented"));
    }
    let needed = ["via", "from", "to", "call-id", "cseq"];
    if needed.iter().any(|name| head.first(name).is_none_or(str::is_empty))
        || SINGLE.iter().any(|name| head.all(name).nth(1).is_some())
        || head.sequence().is_none_or(|(_, of)| of != method)
    {
        return malformed;
    }
    let length = head.first("content-length").map(str::parse::<usize>);
    let hops = head.first("max-forwards").map(str::parse::<u8>);
    if length.is_some_and(|length| length.map_or(true, |length| length > body))
        || hops.is_some_and(|hops| hops.is_err())
    {
        return malformed;
    }
    let named = ["from", "to", "contact"];
    if named.iter().any(|name| head.all(name).any(|value| !ends_what_it_quotes(value)))
        || ["via", "from", "to"].iter().any(|name| head.all(name).any(has_empty_parameter))
        || ["from", "to"].iter().any(|name| head.all(name).any(is_nobody))
        || !head.all("from").all(has_tag)
    {
        return malformed;
    }
    None
}

/// A value without blanks around its separators, and with one where there are more; what is quoted stays
/// as it is.
fn tidy(value: &str) -> String {
    const SEPARATORS: [char; 4] = ['/', ';', '=', ','];
    let mut text = String::with_capacity(value.len());
    let (mut quoted, mut escaped, mut blank) = (false, false, false);
    for one in value.chars() {
        if quoted {
            match one {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = false,
                _ => {}
            }
        } else if one == ' ' || one == '\t' {
            blank = true;
            continue;
        } else {
            let joins = SEPARATORS.contains(&one) || text.ends_with(SEPARATORS);
            if blank && !joins && !text.is_empty() {
                text.push(' ');
            }
            blank = false;
            quoted = one == '"';
        }
        text.push(one);
    }
    text
}

/// Whether each quotation mark has its other.
fn ends_what_it_quotes(value: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for one in value.chars() {
        match one {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
    }
    !quoted
}

/// Whether this names nobody who could call or be called: by a URI of another scheme, or with a comma
/// in a name that should be quoted.
fn is_nobody(value: &str) -> bool {
    let behind_name = behind_quotes(value);
    let (name, uri) = behind_name.split_once('<').unwrap_or(("", behind_name));
    let scheme = uri.split(':').next().unwrap_or_default().trim();
    name.contains(',') || !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// What stands behind the quoted name with which a value begins, if it does.
fn behind_quotes(value: &str) -> &str {
    let Some(quoted) = value.strip_prefix('"') else { return value };
    let mut escaped = false;
    let end = quoted.char_indices().find(|(_, one)| {
        let ends = *one == '"' && !escaped;
        escaped = *one == '\\' && !escaped;
        ends
    });
    end.and_then(|(at, _)| quoted.get(at + 1..)).unwrap_or_default()
}

/// Whether the sender has given this side of the call a tag, as everybody does since RFC 3261.
fn has_tag(value: &str) -> bool {
    let behind_uri = value.rsplit('>').next().unwrap_or_default().to_ascii_lowercase();
    behind_uri.split(';').any(|one| {
        one.trim_start().strip_prefix("tag").is_some_and(|rest| rest.trim_start().starts_with('='))
    })
}

/// Whether there is nothing between two separators, outside of quotation marks and URIs.
fn has_empty_parameter(value: &str) -> bool {
    let (mut quoted, mut escaped, mut inside, mut separated) = (false, false, false, false);
    for one in value.chars().filter(|one| !one.is_ascii_whitespace()) {
        match one {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '<' => inside = true,
            '>' => inside = false,
            ';' | ',' if !inside => {
                if separated {
                    return true;
                }
                separated = true;
                continue;
            }
            _ => {}
        }
        separated = false;
    }
    false
}

/// The answer that says so, to be sent to where the request has come from.
fn answer(head: &Head, (status, phrase): Fault) -> String {
    let mut text = format!("SIP/2.0 {status} {phrase}\r\n");
    let mut say = |name: &str, value: &str| {
        if value.len() <= LONGEST {
            let _ = write!(text, "{name}: {value}\r\n");
        }
    };
    for via in head.all("via") {
        say("Via", via);
    }
    say("From", head.first("from").unwrap_or_default());
    let to = head.first("to").unwrap_or_default();
    match has_tag(to) {
        true => say("To", to),
        false => say("To", &format!("{to};tag={:016x}", fastrand::u64(..))),
    }
    say("Call-ID", head.first("call-id").unwrap_or_default());
    say("CSeq", head.first("cseq").unwrap_or_default());
    text.push_str("Content-Length: 0\r\n\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request with one thing changed.
    fn request(from: &str, to: &str) -> String {
        let good = "INVITE sip:600@us SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
                    Max-Forwards: 70\r\nFrom: \"A \\\" B\" <sip:a@h;x>;tag=1\r\nTo: <sip:600@us>\r\n\
                    Call-ID: 1@h\r\nCSeq: 7 INVITE\r\nContent-Length: 3\r\n\r\nv=0";
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    }

    fn status(text: &str) -> u16 {
        match look_at(text.as_bytes(), |method| ["INVITE", "ACK", "OPTIONS"].contains(&method)) {
            Verdict::Passes | Verdict::PassesAs(_) => 0,
            Verdict::IsDropped => 1,
            Verdict::IsAnswered(answer) => {
                answer.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status")
            }
        }
    }

    #[test]
    fn what_is_malformed_is_refused_and_what_is_careless_is_not() {
        for (from, to, expected) in [
            ("600@us", "600@us", 0),
            ("INVITE sip", "INVITE  sip", 400),
            ("SIP/2.0\r\nV", "SIP/2.0 \r\nV", 400),
            ("sip:600@us S", "<sip:600@us> S", 400),
            ("sip:600@us S", "sip:6?0@us S", 0),
            ("sip:600@us S", "sip:600@us?Route=x S", 400),
            ("sip:600@us S", "http://us S", 416),
            ("sip:600@us S", "tel:+1 S", 0),
            ("us SIP/2.0", "us SIP/3.0", 505),
            ("us SIP/2.0", "us HTTP/1.1", 400),
            ("INVITE s", "JUMP s", 501),
            ("7 INVITE", "7 OPTIONS", 400),
            ("7 INVITE", "2147483648 INVITE", 400),
            ("7 INVITE", "0007\r\n  INVITE", 0),
            ("Length: 3", "Length: 4", 400),
            ("Length: 3", "Length: -3", 400),
            ("Length: 3", "Length: 2", 0),
            ("Content-Length: 3", "l: 3\r\nl: 3", 400),
            ("Max-Forwards: 70", "Max-Forwards: 256", 400),
            ("Max-Forwards: 70\r\n", "", 0),
            ("Call-ID: 1@h\r\n", "", 400),
            ("Call-ID: 1@h", "i: 1@h", 0),
            ("<sip:a@h;x>", "\"<sip:a@h>", 400),
            (";branch", ";;branch", 400),
            ("<sip:600@us>", "Bell, A. <sip:600@us>", 400),
            ("<sip:600@us>", "isbn:2983792873", 400),
            ("<sip:600@us>", "sip:600@us", 0),
            ("<sip:600@us>", "Bell <tel:600>", 0),
            ("<sip:600@us>", "\"B, \\\" <x\" <sip:600@us>;x=\"y\"", 0),
            (">;tag=1", ">;x=1", 400),
            (">;tag=1", "> ; Tag = 1", 0),
            ("<sip:600@us>", "\"Bell, A.\" <sip:600@us,x>", 0),
            ("<sip:600@us>", "<sip:600@us;;>", 0),
            ("<sip:600@us>", "< sip:600@us >", 0),
            ("INVITE s", "ACK s", 1),
            ("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n", "", 1),
            ("\r\n\r\n", "\r\n", 1),
        ] {
            assert_eq!(status(&request(from, to)), expected, "{from:?} as {to:?}");
        }
    }

    #[test]
    fn an_answer_names_whom_it_is_for() {
        let text = request("Content-Length: 3", "Content-Length: 99");
        let Verdict::IsAnswered(answer) = look_at(text.as_bytes(), |_| true) else {
            panic!("it passes")
        };
        assert!(answer.starts_with("SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP 192.0.2.1;branch"));
        for line in ["Call-ID: 1@h\r\n", "CSeq: 7 INVITE\r\n", "To: <sip:600@us>;tag="] {
            assert!(answer.contains(line), "{answer}");
        }
        assert!(answer.ends_with("Content-Length: 0\r\n\r\n"), "{answer}");
    }

    #[test]
    fn blanks_that_nobody_puts_are_taken_out() {
        for (value, expected) in [
            (
                "SIP  /   2.0  /UDP   192.0.2.2 ; branch =  x ,  SIP/2.0/TCP h",
                "SIP/2.0/UDP 192.0.2.2;branch=x,SIP/2.0/TCP h",
            ),
            ("\"a ; \\\" = b\"  <sip:a@h> ; tag = 1", "\"a ; \\\" = b\" <sip:a@h>;tag=1"),
            ("Bob Smith <sip:a@h>;tag=1", "Bob Smith <sip:a@h>;tag=1"),
        ] {
            assert_eq!(tidy(value), expected);
        }
        let text = request(";tag=1", " ;\r\n\ttag = 1");
        let Verdict::PassesAs(tidied) = look_at(text.as_bytes(), |_| true) else {
            panic!("it is not tidied")
        };
        let tidied = String::from_utf8(tidied).expect("text");
        assert!(tidied.contains("from: \"A \\\" B\" <sip:a@h;x>;tag=1\r\n"), "{tidied}");
        assert!(tidied.ends_with("content-length: 3\r\n\r\nv=0"), "{tidied}");
    }

    #[test]
    fn answers_that_are_none_are_dropped() {
        let response = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\nCSeq: 1 INVITE\r\n\r\n";
        assert_eq!(status(response), 0);
        for (from, to) in [(" 200 ", " 4294967301 "), (" 200 ", " 99 "), ("CSeq: 1", "CSeq: x")] {
            assert_eq!(status(&response.replacen(from, to, 1)), 1, "{to}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_judged(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600),
            at in 0_usize..200,
        ) {
            let _ = look_at(&bytes, |_| true);
            let mut good = request("600@us", "600@us").into_bytes();
            if let Some(spot) = good.get_mut(at) {
                *spot = bytes.first().copied().unwrap_or(0);
            }
            if let Verdict::IsAnswered(answer) = look_at(&good, |_| true) {
                proptest::prop_assert!(answer.len() < good.len() + 100);
            }
        }
    }
}
