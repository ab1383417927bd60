//! Watches a carrier: finds its host, asks whether it is there (OPTIONS), and registers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::settings::{Carrier, Login, Transport};
use super::stack::{Registering, Stack};
use super::standing::{Carriers, Registered, Target};

/// How often a host is looked up again where nobody says it, and one that was not found.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(60);
/// How long an answer to OPTIONS may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often a carrier that does not answer is asked.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Pauses behind a registration that failed: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Keeps looking where a carrier is, and whether it answers, until it is aborted.
pub(crate) async fn watch(stack: Stack, carriers: Arc<Carriers>, name: String, carrier: Carrier) {
    loop {
        find(&stack, &carriers, &name, &carrier).await;
        let Some((_, standing)) = carriers.find(&name) else { return };
        let Some(interval) = carrier.keep_alive else {
            tokio::time::sleep(LOOK_UP_AGAIN).await;
            continue;
        };
        let mut answering = Vec::new();
        let mut silent = Vec::new();
        let mut round_trip = None;
        for server in standing.addresses {
            let asked = Instant::now();
            let Target { transport, address } = server;
            let answer = stack.ask(&carrier.host, carrier.port, address, transport);
            match tokio::time::timeout(PATIENCE, answer).await {
                Ok(Some(_)) => {
                    round_trip = round_trip.or_else(|| Some(asked.elapsed()));
                    answering.push(server);
                }
                _ => silent.push(server),
            }
        }
        let answers = !answering.is_empty();
        answering.append(&mut silent);
        carriers.polled(&name, round_trip);
        let changed = carriers.note(&name, |standing| {
            standing.addresses = answering;
            standing.round_trip = round_trip;
            let before = standing.answers.replace(answers);
            let changed = before != Some(answers);
            if changed {
                standing.since = Instant::now();
            }
            changed && standing.lost.is_none()
        });
        if changed == Some(true) {
            match answers {
                true => tracing::info!("carrier {name} answers"),
                false => tracing::warn!("carrier {name} does not answer"),
            }
        }
        tokio::time::sleep(if answers { interval } else { interval.min(ASK_AGAIN) }).await;
    }
}

/// Looks up its host.
async fn find(stack: &Stack, carriers: &Carriers, name: &str, carrier: &Carrier) {
    let found = match carrier.host.parse::<IpAddr>() {
        Ok(ip) => {
            let transport = carrier.transport.unwrap_or(Transport::Udp);
            let port = carrier.port.unwrap_or_else(|| transport.port());
            Ok(vec![Target { transport, address: SocketAddr::new(ip, port) }])
        }
        Err(_) => stack.look_up(&carrier.host, carrier.port, carrier.transport).await,
    };
    let told = carriers.note(name, |standing| match found {
        Ok(found) => {
            // Those that answer stay first.
            let mut addresses: Vec<Target> =
                standing.addresses.iter().copied().filter(|one| found.contains(one)).collect();
            addresses.extend(found.into_iter().filter(|one| !standing.addresses.contains(one)));
            standing.addresses = addresses;
            standing.lost = None;
            None
        }
        // Where it was once, it may still be.
        Err(_) if !standing.addresses.is_empty() => None,
        Err(why) => {
            let new = standing.lost.as_ref() != Some(&why);
            standing.lost = Some(why.clone());
            new.then_some(why)
        }
    });
    if let Some(Some(why)) = told {
        tracing::warn!("carrier {name}: {} cannot be found: {why}", carrier.host);
    }
}

/// Keeps registered at a carrier, until it is told to stop; then the registration is ended.
pub(crate) async fn register(
    stack: Stack,
    carriers: Arc<Carriers>,
    name: String,
    carrier: Carrier,
    stop: tokio_util::sync::CancellationToken,
) {
    let (Some(login), Some(expires)) = (&carrier.login, carrier.register) else { return };
    let mut pause = RETRY.0;
    let mut registering: Option<(Target, Registering)> = None;
    loop {
        let server =
            carriers.find(&name).and_then(|(_, standing)| standing.addresses.first().copied());
        let wait = match server {
            // It is looked up just now.
            None => Duration::from_millis(200),
            Some(server) => {
                if registering.as_ref().is_none_or(|(before, _)| *before != server) {
                    let new = begin(&stack, login, server, &carrier);
                    registering = Some((server, new));
                }
                let Some((_, now)) = &mut registering else { return };
                let seconds = u32::try_from(expires.as_secs()).unwrap_or(u32::MAX);
                let result = tokio::select! {
                    result = now.register(&carrier.domain, server.transport, seconds) => result,
                    () = stop.cancelled() => return,
                };
                match result {
                    Ok(granted) => {
                        let granted = Duration::from_secs(granted.into());
                        note(&carriers, &name, Registered::For(granted, Instant::now()));
                        pause = RETRY.0;
                        // Early enough for it to be tried again.
                        (granted * 3 / 4).max(Duration::from_secs(1))
                    }
                    Err((status, words)) => {
                        note(&carriers, &name, Registered::Failed(status, words));
                        let wait = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
                        pause = (pause * 2).min(RETRY.1);
                        // Another of its addresses may be there.
                        registering = None;
                        wait
                    }
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => break,
        }
    }
    if let Some((server, mut registering)) = registering {
        let end = registering.register(&carrier.domain, server.transport, 0);
        let _ = tokio::time::timeout(PATIENCE, end).await;
    }
}

fn begin(stack: &Stack, login: &Login, server: Target, carrier: &Carrier) -> Registering {
    stack.registration(login, &carrier.host, server.address, server.transport)
}

fn note(carriers: &Carriers, name: &str, registered: Registered) {
    let line = match &registered {
        Registered::For(granted, _) => format!("registered for {} s", granted.as_secs()),
        Registered::Failed(0, words) => format!("registration failed: {words}"),
        Registered::Failed(status, words) => {
            format!("registration refused: {status} {words}")
        }
        Registered::Unwanted | Registered::Trying => return,
    };
    let changed = carriers.note(name, |standing| {
        let same = match (&standing.registered, &registered) {
            (Registered::For(..), Registered::For(..)) => true,
            (before, now) => before == now,
        };
        let good = matches!(registered, Registered::For(..));
        standing.registered = registered;
        (!same).then_some(good)
    });
    match changed.flatten() {
        Some(true) => tracing::info!("carrier {name}: {line}"),
        Some(false) => tracing::warn!("carrier {name}: {line}"),
        None => {}
    }
}
