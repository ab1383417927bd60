//! What every request passes: the name it came to, how often its sender comes, and its token.
//!
//! A browser sends what any page tells it to. So a request must name a host that is ours, which a
//! page that points its own name at us (DNS rebinding) cannot, and no page is let in by CORS. A cookie goes
//! with what other pages send, too, unless the browser keeps to SameSite; so a request by cookie must come
//! from the console's own page, and one that changes anything must know what that alone was told.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tracing::Span;
use uuid::Uuid;

use super::asker::Asker;
use super::error::Problem;
use super::listener::Client;
use super::token::Role;
use super::{Shared, paths};
use crate::console::Session;
use crate::switch::span_of;

/// Requests that an address may make at once, and how fast more are granted.
const BURST: f64 = 200.0;
const PER_SECOND: f64 = 100.0;

/// What a request with a wrong token costs: ten at once, then five in a second.
const COST_OF_WRONG_TOKEN: f64 = 20.0;

/// The header by which the console's page proves that it is the one.
const PROOF: &str = "x-oneport-proof";

/// Addresses of which this is kept. Where there are more, those that have been still longest are
/// forgotten, which costs an attacker more than it brings.
const MOST_ADDRESSES: usize = 1_024;

/// How much each address, or whatever else, may still ask for.
#[derive(Debug)]
pub(super) struct Rates<K = IpAddr> {
    burst: f64,
    per_second: f64,
    left: Mutex<HashMap<K, Allowance>>,
}

impl Default for Rates {
    fn default() -> Self {
        Self::new(BURST, PER_SECOND)
    }
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: f64,
    at: Instant,
}

impl<K: Clone + Eq + Hash> Rates<K> {
    /// Each may ask for `burst` at once, and for `per_second` more in each second.
    pub(super) fn new(burst: f64, per_second: f64) -> Self {
        Self { burst, per_second, left: Mutex::default() }
    }

    /// Takes `cost` from what `who` may have.
    ///
    /// # Errors
    /// It has not so much; then the time until it has.
    pub(super) fn take(&self, now: Instant, who: K, cost: f64) -> Result<(), Duration> {
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_ADDRESSES && !all.contains_key(&who) {
            let oldest = all.iter().min_by_key(|(_, one)| one.at).map(|(who, _)| who.clone());
            if let Some(oldest) = oldest {
                all.remove(&oldest);
            }
        }
        let one = all.entry(who).or_insert(Allowance { left: self.burst, at: now });
        let since = now.duration_since(one.at).as_secs_f64();
        one.left = (one.left + since * self.per_second).min(self.burst);
        one.at = now;
        if one.left < cost {
            return Err(Duration::from_secs_f64((cost - one.left) / self.per_second));
        }
        one.left -= cost;
        Ok(())
    }
}

/// Who counts as one sender: an address, or with IPv6 a network of 64 bits, of which each host has all the
/// addresses that it likes (RFC 4291, 2.5.1).
pub(super) fn sender(from: IpAddr) -> IpAddr {
    match from {
        IpAddr::V4(_) => from,
        IpAddr::V6(from) => Ipv6Addr::from_bits(from.to_bits() >> 64 << 64).into(),
    }
}

/// Whether `host`, as a request names it, is a name of ours: an address, `localhost`, or one that
/// is configured. An address cannot be rebound.
fn is_ours(host: &str, names: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|own| own.eq_ignore_ascii_case(name))
}

fn host_of(request: &Request) -> Option<&str> {
    let header = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    header.or_else(|| request.uri().host())
}

/// The token of a request: `Authorization: Bearer TOKEN`.
fn token_of(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a request comes from a page of this very site, or from no page, as far as a browser tells:
/// Sec-Fetch-Site (Fetch Metadata), else Origin (RFC 6454), which all of them send with what changes
/// anything.
pub(super) fn is_from_own_page(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text("host").unwrap_or_default();
    let origin =
        text("origin").map(|origin| origin.split_once("://").is_some_and(|(_, own)| own == host));
    let site = text("sec-fetch-site")
        .map(|site| site == "same-origin" || (site == "none" && method.is_safe()));
    match (site, origin) {
        (None, None) => method.is_safe(),
        (site, origin) => site != Some(false) && origin != Some(false),
    }
}

/// The session of a request's cookie.
fn session_of(shared: &Shared, now: Instant, request: &Request) -> Option<Session> {
    shared.sessions.find(now, cookie(shared, request.headers())?)
}

/// The cookie of the console's session. Cookies do not know ports, so its name does.
pub(super) fn cookie<'a>(shared: &Shared, headers: &'a HeaderMap) -> Option<&'a str> {
    let wanted = shared.cookie.as_str();
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        all.flat_map(|all| all.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

/// The call that a path names.
fn call_in(path: &str) -> Option<Uuid> {
    path.split('/').find_map(|part| Uuid::try_parse(part).ok())
}

/// What a request needs to be allowed; `None`: nothing.
fn needed(method: &Method, path: &str) -> Option<Role> {
    if paths::OPEN.contains(&path) || paths::is_of_console(path) {
        return None;
    }
    Some(match *method {
        _ if paths::is_of_users(path) || paths::CONFIGURATIONS.contains(&path) => Role::Admin,
        // It has what a capture has: keys that were pressed.
        Method::GET if path.ends_with(paths::LADDER) || path == paths::LOG => Role::Operator,
        Method::GET | Method::HEAD => Role::Viewer,
        _ if paths::ADMIN.contains(&path) => Role::Admin,
        _ => Role::Operator,
    })
}

/// Lets a request pass, or answers it.
pub(super) async fn guard(
    State(shared): State<Shared>,
    ConnectInfo(Client(from)): ConnectInfo<Client>,
    mut request: Request,
    next: Next,
) -> Response {
    let from = from.ip().to_canonical();
    match admit(&shared, from, &request) {
        Ok(Some(asker)) => {
            if !request.method().is_safe() {
                let (method, path) = (request.method(), request.uri().path());
                let span = call_in(path).map_or_else(Span::none, span_of);
                let _inside = span.enter();
                tracing::info!("API: {} ({from}): {method} {path}", asker.name());
            }
            request.extensions_mut().insert(asker);
        }
        Ok(None) => {}
        Err(problem) => return problem.into_response(),
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // Answers hold what nobody but the asker may see; files of the console hold nothing.
    headers.entry(header::CACHE_CONTROL).or_insert(header::HeaderValue::from_static("no-store"));
    let nosniff = header::HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

fn admit(shared: &Shared, from: IpAddr, request: &Request) -> Result<Option<Asker>, Problem> {
    let now = Instant::now();
    shared.rates.take(now, sender(from), 1.0).map_err(Problem::too_fast)?;
    if !host_of(request).is_some_and(|host| is_ours(host, &shared.hosts)) {
        return Err(Problem::other_host());
    }
    let Some(role) = needed(request.method(), request.uri().path()) else { return Ok(None) };
    let asker = match token_of(request.headers()) {
        Some(secret) => by_token(shared, now, from, secret)?,
        None => Asker::User(by_cookie(shared, now, request)?),
    };
    if asker.role() < role {
        return Err(Problem::not_allowed(&asker, role));
    }
    Ok(Some(asker))
}

fn by_token(shared: &Shared, now: Instant, from: IpAddr, secret: &str) -> Result<Asker, Problem> {
    // It is not even looked at where too many were wrong.
    let Some(token) = shared.tokens.identify(secret.as_bytes()) else {
        shared.rates.take(now, sender(from), COST_OF_WRONG_TOKEN).map_err(Problem::too_fast)?;
        tracing::warn!("API: a wrong token from {from}");
        return Err(Problem::wrong_token());
    };
    Ok(Asker::Token(token))
}

/// Whose page of the console has sent a request.
pub(super) fn by_cookie(
    shared: &Shared,
    now: Instant,
    request: &Request,
) -> Result<Session, Problem> {
    let session = session_of(shared, now, request).ok_or_else(Problem::no_token)?;
    let (method, headers) = (request.method(), request.headers());
    let proved = || headers.get(PROOF).is_some_and(|sent| session.is_proved_by(sent.as_bytes()));
    if !is_from_own_page(method, headers) || !(method.is_safe() || proved()) {
        return Err(Problem::of_another_page());
    }
    Ok(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_not_ours() {
        let names = ["pbx.example.org".to_string()];
        for ours in ["127.0.0.1:8569", "[::1]:8569", "localhost", "LocalHost:1", "192.0.2.1"] {
            assert!(is_ours(ours, &names), "{ours}");
        }
        assert!(is_ours("PBX.example.org:8569", &names) && !is_ours("PBX.example.org", &[]));
        for other in ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil", "["] {
            assert!(!is_ours(other, &names), "{other}");
        }
    }

    #[test]
    fn a_request_by_cookie_comes_from_our_own_page() {
        let check = |method: &Method, given: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert("host", header::HeaderValue::from_static("pbx.example.org"));
            for (name, value) in given {
                headers.insert(*name, header::HeaderValue::from_static(value));
            }
            is_from_own_page(method, &headers)
        };
        let (get, post) = (&Method::GET, &Method::POST);
        let (own, other) =
            (("origin", "https://pbx.example.org"), ("origin", "https://evil.example"));
        assert!(check(get, &[]) && !check(post, &[]), "no browser, or an old one");
        assert!(check(post, &[own]) && !check(post, &[other]) && !check(get, &[other]));
        assert!(!check(post, &[("origin", "null")]));
        assert!(check(post, &[("sec-fetch-site", "same-origin")]));
        assert!(
            check(get, &[("sec-fetch-site", "none")])
                && !check(post, &[("sec-fetch-site", "none")])
        );
        for site in ["same-site", "cross-site"] {
            assert!(!check(get, &[("sec-fetch-site", site)]), "{site}");
            assert!(!check(post, &[("sec-fetch-site", site), own]), "{site}");
        }
        assert!(!check(post, &[("sec-fetch-site", "same-origin"), other]));
    }

    #[test]
    fn a_host_with_many_addresses_is_one_sender() {
        let sent_by = |text: &str| sender(text.parse().expect("an address"));
        assert_eq!(sent_by("2001:db8:0:1::7"), sent_by("2001:db8:0:1:ffff::8"));
        assert_ne!(sent_by("2001:db8:0:1::7"), sent_by("2001:db8:0:2::7"));
        assert_ne!(sent_by("192.0.2.1"), sent_by("192.0.2.2"));
    }

    #[test]
    fn an_address_that_asks_too_fast_waits_and_no_other_does() {
        let rates = Rates::default();
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let now = Instant::now();
        assert!((0..200).all(|_| rates.take(now, address(1), 1.0).is_ok()));
        let wait = rates.take(now, address(1), 1.0).expect_err("that is too much");
        assert_eq!(wait, Duration::from_millis(10));
        assert_eq!(rates.take(now, address(2), COST_OF_WRONG_TOKEN), Ok(()));
        assert_eq!(rates.take(now + wait, address(1), 1.0), Ok(()));
        // Strangers in any number fill no memory.
        for n in 0..10_000_u32 {
            let _ = rates.take(now, IpAddr::from(n.to_be_bytes()), 1.0);
        }
        assert_eq!(rates.left.lock().expect("not poisoned").len(), MOST_ADDRESSES);
    }
}
