//! Whom to call, as people write it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use oneport_proto::Place;
use oneport_wire::DEFAULT_PORT;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use thiserror::Error;

use crate::names::{Names, addresses};

/// How long a name server may take to answer one question.
const LIMIT: Duration = Duration::from_secs(2);
/// What need not be written as `%XX` in a user, number or context.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const NUMBER: &AsciiSet = &PLAIN.remove(b'*').remove(b'+').remove(b'!');

/// A destination: `iax:[user@]host[:port][/number[?context]]` (RFC 5456 §5, whose "username" and
/// "number" these are), or the same without `iax:`.
///
/// Two are equal if they lead to the same, as RFC 5456 §5.2 has it: only in the user's name is the
/// case of letters of account. A name and its address are never equal.
///
/// ```
/// use oneport::Target;
///
/// let target: Target = "iax:ann@pbx.example.org/600?office".parse()?;
/// assert_eq!(target.user.as_deref(), Some("ann"));
/// assert_eq!((target.host.as_str(), target.port), ("pbx.example.org", 4569));
/// assert_eq!(target.number.as_deref(), Some("600"));
/// assert_eq!(target.context.as_deref(), Some("office"));
/// # Ok::<(), oneport::TargetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Target {
    /// The name under which we want to be known there.
    pub user: Option<String>,
    /// A host name or an address.
    pub host: String,
    /// The UDP port; 4569 where none is written.
    pub port: u16,
    /// The number or name to call.
    pub number: Option<String>,
    /// The context to look it up in.
    pub context: Option<String>,
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        fn alike(one: Option<&str>, other: Option<&str>) -> bool {
            match (one, other) {
                (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
                _ => one == other,
            }
        }
        self.user == other.user
            && self.host.eq_ignore_ascii_case(&other.host)
            && self.port == other.port
            && alike(self.number.as_deref(), other.number.as_deref())
            && alike(self.context.as_deref(), other.context.as_deref())
    }
}

impl Eq for Target {}

/// A destination is written wrongly.
///
/// ```
/// use oneport::{Target, TargetError};
///
/// let wrong = "pbx.example.org:0/600".parse::<Target>();
/// assert!(matches!(wrong, Err(TargetError::BadPort(port)) if port == "0"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TargetError {
    /// There is no host.
    #[error("no host in {0:?}; write host/number, such as pbx.example.org/600")]
    NoHost(String),
    /// The port is not a number from 1 to 65535.
    #[error("{0:?} is not a port; it is a number from 1 to 65535")]
    BadPort(String),
    /// An IPv6 address lacks its closing bracket, or something stands behind it.
    #[error("{0:?} is not an address in brackets; write it as [2001:db8::1]")]
    BadBrackets(String),
    /// Another scheme.
    #[error("{0:?} is not an IAX2 address; it begins with iax: or with the host")]
    WrongScheme(String),
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("{0:?} is not properly %-encoded")]
    BadEncoding(String),
    /// A secret, which others could read in the list of processes.
    #[error(
        "a secret must not stand in the address; put it into a file (--secret-file) or into the \
         environment (ONEPORT_SECRET)"
    )]
    HoldsSecret,
}

/// A host name leads nowhere.
///
/// ```no_run
/// # async fn example() -> Result<(), oneport::TargetError> {
/// use oneport::Target;
///
/// let target: Target = "pbx.example.org/600".parse()?;
/// match target.resolve().await {
///     Ok(address) => println!("{address}"),
///     Err(error) => println!("{error}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Error)]
pub enum ResolveError {
    /// The system's resolver says no.
    #[error("{host} cannot be found: {source}")]
    Lookup {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The name has no address.
    #[error("{0} has no address")]
    NoAddress(String),
}

impl Target {
    /// Looks the host up, and gives the first place of all that [`resolve_all`](Self::resolve_all) finds.
    ///
    /// # Errors
    /// It cannot be found.
    pub async fn resolve(&self) -> Result<SocketAddr, ResolveError> {
        let places = self.resolve_all().await?;
        let first = places.first().map(|place| place.address);
        first.ok_or_else(|| ResolveError::NoAddress(self.host.clone()))
    }

    /// All places that it leads to, in the order in which they are to be tried: those of its SRV entries
    /// (`_iax._udp`, RFC 2782) where it is a name without a port that has some, else its addresses, IPv4 before IPv6.
    ///
    /// # Errors
    /// It cannot be found.
    pub async fn resolve_all(&self) -> Result<Vec<Place>, ResolveError> {
        match Names::ask(&[], LIMIT) {
            Ok(names) => names.places(self).await,
            Err(_) => addresses(self).await,
        }
    }
}

fn decode(text: &str) -> Result<String, TargetError> {
    let bad = || TargetError::BadEncoding(text.into());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
        if byte == b'%' && !(hex(rest.next()) && hex(rest.next())) {
            return Err(bad());
        }
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| bad())?;
    Ok(decoded.into_owned())
}

fn filled(text: &str) -> Result<Option<String>, TargetError> {
    if text.is_empty() { Ok(None) } else { decode(text).map(Some) }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let rest = match text.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("iax") => rest,
            Some((scheme, rest))
                if ["iax2", "sip", "sips", "tel", "http", "https"]
                    .iter()
                    .any(|other| scheme.eq_ignore_ascii_case(other))
                    && !rest.starts_with(|first: char| first.is_ascii_digit()) =>
            {
                return Err(TargetError::WrongScheme(text.into()));
            }
            _ => text,
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, path),
            None => (rest, ""),
        };
        let (number, context) = path.split_once('?').unwrap_or((path, ""));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(TargetError::HoldsSecret),
            Some((user, host)) => (filled(user)?, host),
            None => (None, authority),
        };
        let (host, port) = split_port(host)?;
        if host.is_empty() {
            return Err(TargetError::NoHost(text.into()));
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => match port.parse() {
                Ok(port) if port != 0 => port,
                _ => return Err(TargetError::BadPort(port.into())),
            },
        };
        let host = host.to_string();
        Ok(Self { user, host, port, number: filled(number)?, context: filled(context)? })
    }
}

/// Host and port; brackets around an IPv6 address are taken off.
fn split_port(text: &str) -> Result<(&str, Option<&str>), TargetError> {
    let bad = || TargetError::BadBrackets(text.into());
    if let Some(inside) = text.strip_prefix('[') {
        let (address, rest) = inside.split_once(']').ok_or_else(bad)?;
        if !matches!(address.parse(), Ok(IpAddr::V6(_))) {
            return Err(bad());
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address, Some(port))),
            None if rest.is_empty() => Ok((address, None)),
            None => Err(bad()),
        };
    }
    match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Err(bad()),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

/// The URI form.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("iax:")?;
        if let Some(user) = &self.user {
            write!(f, "{}@", utf8_percent_encode(user, PLAIN))?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if self.port != DEFAULT_PORT {
            write!(f, ":{}", self.port)?;
        }
        if let Some(number) = &self.number {
            write!(f, "/{}", utf8_percent_encode(number, NUMBER))?;
            if let Some(context) = &self.context {
                write!(f, "?{}", utf8_percent_encode(context, PLAIN))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn both_forms_are_read() {
        let full = target("iax:dialer@pbx.example.org:4570/*98%23?from-site");
        assert_eq!(full.user.as_deref(), Some("dialer"));
        assert_eq!((full.host.as_str(), full.port), ("pbx.example.org", 4570));
        assert_eq!(full.number.as_deref(), Some("*98#"));
        assert_eq!(full.context.as_deref(), Some("from-site"));
        let short = target("127.0.0.1/echo");
        assert_eq!((short.host.as_str(), short.port), ("127.0.0.1", 4569));
        assert_eq!(short.number.as_deref(), Some("echo"));
        let v6 = target("iax:[2001:db8::1]:4569/600");
        assert_eq!(v6.host, "2001:db8::1");
        assert_eq!(target("localhost:5000").number, None);
    }

    #[test]
    fn the_uris_of_the_rfc_are_read() {
        for (uri, user, host, port, number, context) in [
            ("iax:example.com/alice", None, "example.com", 4569, "alice", None),
            ("iax:example.com:4569/alice", None, "example.com", 4569, "alice", None),
            (
                "iax:example.com:4570/alice?friends",
                None,
                "example.com",
                4570,
                "alice",
                Some("friends"),
            ),
            ("iax:192.0.2.4:4569/alice?friends", None, "192.0.2.4", 4569, "alice", Some("friends")),
            (
                "iax:[2001:db8::1]:4569/alice?friends",
                None,
                "2001:db8::1",
                4569,
                "alice",
                Some("friends"),
            ),
            ("iax:example.com/12022561414", None, "example.com", 4569, "12022561414", None),
            (
                "iax:johnQ@example.com/12022561414",
                Some("johnQ"),
                "example.com",
                4569,
                "12022561414",
                None,
            ),
        ] {
            let read = target(uri);
            assert_eq!((read.user.as_deref(), read.host.as_str()), (user, host), "{uri}");
            assert_eq!((read.port, read.number.as_deref()), (port, Some(number)), "{uri}");
            assert_eq!(read.context.as_deref(), context, "{uri}");
            assert_eq!(target(&read.to_string()), read, "{uri}");
        }
    }

    #[test]
    fn uris_are_compared_as_the_rfc_says() {
        for alike in [
            &["iax:atlanta.com/alice", "iax:AtLaNtA.com/ALicE", "iax:atlanta.com:4569/alice"][..],
            &["iax:alice@atlanta.com/alice", "IAX:alice@AtLaNtA.com:4569/ALicE"],
            &["iax:atlanta.com/a?Friends", "iax:atlanta.com/a?friends"],
        ] {
            assert!(alike.iter().all(|uri| target(uri) == target(alike[0])), "{alike:?}");
        }
        for (one, other) in [
            ("iax:ALICE@atlanta.com/alice", "iax:alice@atlanta.com/alice"),
            ("iax:atlanta.com/alice", "iax:atlanta.com:4570/alice"),
            ("iax:atlanta.com/alice", "iax:alice@atlanta.com/alice"),
            ("iax:atlanta.com/alice", "iax:atlanta.com/alice?friends"),
            ("iax:localhost/alice", "iax:127.0.0.1/alice"),
        ] {
            assert_ne!(target(one), target(other));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| text.parse::<Target>().unwrap_err();
        assert_eq!(error("iax:/600"), TargetError::NoHost("iax:/600".into()));
        assert_eq!(error("host:99999/1"), TargetError::BadPort("99999".into()));
        assert_eq!(error("host:0"), TargetError::BadPort("0".into()));
        assert_eq!(error("[::1/600"), TargetError::BadBrackets("[::1".into()));
        assert_eq!(error("::1/600"), TargetError::BadBrackets("::1".into()));
        assert_eq!(error("sip:a@host"), TargetError::WrongScheme("sip:a@host".into()));
        assert_eq!(error("host/1%2"), TargetError::BadEncoding("1%2".into()));
        assert_eq!(error("iax:a:b@host/1"), TargetError::HoldsSecret);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            user in proptest::option::of("\\PC{1,8}"),
            host in "[a-z][a-z0-9.-]{0,12}",
            port in 1_u16..,
            number in proptest::option::of("\\PC{1,8}"),
        ) {
            let target = Target { user, host, port, number, context: None };
            let again: Target = target.to_string().parse().unwrap();
            // To the letter, and not only as URIs are compared.
            prop_assert_eq!(format!("{again:?}"), format!("{target:?}"));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = text.parse::<Target>();
        }
    }
}
