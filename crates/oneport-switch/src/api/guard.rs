//! What every request passes: the name it came to, how often its sender comes, and its token.
//!
//! A browser sends what any page tells it to. So a request must name a host that is ours, which a
//! page that points its own name at us (DNS rebinding) cannot, and no page is let in by CORS.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tracing::Span;
use uuid::Uuid;

use super::error::Problem;
use super::listener::Client;
use super::token::{Role, Token};
use super::{Shared, paths};
use crate::switch::span_of;

/// Requests that an address may make at once, and how fast more are granted.
const BURST: f64 = 200.0;
const PER_SECOND: f64 = 100.0;

/// What a request with a wrong token costs: ten at once, then five in a second.
const COST_OF_WRONG_TOKEN: f64 = 20.0;

/// Addresses of which this is kept. Where there are more, those that have been still longest are
/// forgotten, which costs an attacker more than it brings.
const MOST_ADDRESSES: usize = 1_024;

/// How much each address may still ask for.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<IpAddr, Allowance>>);

#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: f64,
    at: Instant,
}

impl Rates {
    /// Takes `cost` from what `address` may have.
    ///
    /// # Errors
    /// It has not so much; then the time until it has.
    fn take(&self, now: Instant, address: IpAddr, cost: f64) -> Result<(), Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_ADDRESSES && !all.contains_key(&address) {
            let oldest = all.iter().min_by_key(|(_, one)| one.at).map(|(address, _)| *address);
            if let Some(oldest) = oldest {
                all.remove(&oldest);
            }
        }
        let one = all.entry(address).or_insert(Allowance { left: BURST, at: now });
        let since = now.duration_since(one.at).as_secs_f64();
        one.left = (one.left + since * PER_SECOND).min(BURST);
        one.at = now;
        if one.left < cost {
            return Err(Duration::from_secs_f64((cost - one.left) / PER_SECOND));
        }
        one.left -= cost;
        Ok(())
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

/// The call that a path names.
fn call_in(path: &str) -> Option<Uuid> {
    path.split('/').find_map(|part| Uuid::try_parse(part).ok())
}

/// What a request needs to be allowed; `None`: nothing.
fn needed(method: &Method, path: &str) -> Option<Role> {
    if paths::OPEN.contains(&path) {
        return None;
    }
    Some(match *method {
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
        Ok(Some(token)) => {
            if !request.method().is_safe() {
                let (method, path) = (request.method(), request.uri().path());
                let span = call_in(path).map_or_else(Span::none, span_of);
                let _inside = span.enter();
                tracing::info!("API: {} ({from}): {method} {path}", token.name());
            }
            request.extensions_mut().insert(token);
        }
        Ok(None) => {}
        Err(problem) => return problem.into_response(),
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // Answers hold what nobody but the asker may see.
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    let nosniff = header::HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

fn admit(shared: &Shared, from: IpAddr, request: &Request) -> Result<Option<Token>, Problem> {
    let now = Instant::now();
    shared.rates.take(now, from, 1.0).map_err(Problem::too_fast)?;
    if !host_of(request).is_some_and(|host| is_ours(host, &shared.hosts)) {
        return Err(Problem::other_host());
    }
    let Some(role) = needed(request.method(), request.uri().path()) else { return Ok(None) };
    let Some(secret) = token_of(request.headers()) else { return Err(Problem::no_token()) };
    // It is not even looked at where too many were wrong.
    let Some(token) = shared.tokens.identify(secret.as_bytes()) else {
        shared.rates.take(now, from, COST_OF_WRONG_TOKEN).map_err(Problem::too_fast)?;
        tracing::warn!("API: a wrong token from {from}");
        return Err(Problem::wrong_token());
    };
    if token.role() < role {
        return Err(Problem::not_allowed(&token, role));
    }
    Ok(Some(token))
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
        assert_eq!(rates.0.lock().expect("not poisoned").len(), MOST_ADDRESSES);
    }
}
