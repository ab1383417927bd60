//! Where much is due at once, what has arrived is heard in between.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{Endpoint, EndpointConfig, Instant, NewCall, Path, TransmitBuffer};

fn path(last: u8) -> Path {
    Path::from(SocketAddr::from(([192, 0, 2, last], 4569)))
}

/// All that an endpoint has to send.
fn sent(endpoint: &mut Endpoint) -> Vec<Vec<u8>> {
    let mut out = TransmitBuffer::with_capacity(1_500, 1);
    let mut all = Vec::new();
    while endpoint.poll_transmit(&mut out).is_some() {
        all.push(out.as_bytes().to_vec());
    }
    all
}

/// An endpoint that has much to repeat when answers to it are there: it repeats a part, hears them, and has nothing to
/// repeat any more. One that repeats all of it first lets more answers come than its socket holds, so that they
/// are lost, and repeats it all again: it never gets out of that.
#[test]
fn answers_that_have_come_are_heard_before_all_is_repeated() {
    const CALLS: usize = 2_000;
    let mut now = Instant::from_micros(0);
    let config = EndpointConfig { max_calls_per_address: CALLS, ..EndpointConfig::default() };
    let mut caller = Endpoint::new(config.clone(), [1; 32], now);
    let mut callee = Endpoint::new(config, [2; 32], now);
    for _ in 0..CALLS {
        caller.place_call(now, path(2).remote, NewCall::to("100")).expect("there is room");
    }
    for mut datagram in sent(&mut caller) {
        callee.handle_datagram(now, path(1), &mut datagram, &mut ());
    }
    let answers = sent(&mut callee);
    assert_eq!(answers.len(), CALLS, "each is asked for its call token");

    // They come when all is due again.
    now = now + Duration::from_secs(2);
    assert!(caller.poll_timeout().is_some_and(|at| at <= now));
    caller.handle_timeout(now);
    let repeated = sent(&mut caller).len();
    assert!(
        (1..CALLS / 10).contains(&repeated),
        "{repeated} are repeated before anything is heard"
    );
    assert!(caller.poll_timeout().is_some_and(|at| at <= now), "more is due");
    for mut datagram in answers {
        caller.handle_datagram(now, path(2), &mut datagram, &mut ());
    }
    assert_eq!(sent(&mut caller).len(), CALLS, "each goes on with its call token");
    let mut turns = 0;
    while caller.poll_timeout().is_some_and(|at| at <= now) {
        caller.handle_timeout(now);
        turns += 1;
        assert!(turns <= CALLS, "it has an end");
    }
    assert_eq!(sent(&mut caller).len(), 0, "what is answered is not repeated");
}
