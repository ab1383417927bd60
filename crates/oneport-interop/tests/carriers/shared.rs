//! A switch with a gateway, and what is around it.

use std::net::SocketAddr;

use oneport::{Call, CallError, CallEvent, CauseCode, Control, NewCall, Phone};
pub(crate) use oneport_interop::gateway::{System, gateway, loopback};
use oneport_interop::{PATIENCE, named};
use oneport_testkit::peers::sipp::{Scenario, Sipp};
use tokio::time::timeout;

use crate::script::Script;

/// A sipp that is called, so often.
pub(crate) fn callee(xml: &str, calls: u32) -> Sipp {
    let listen = loopback();
    Sipp::start(&Scenario { xml, calls: (calls, calls), listen, to: None, arguments: &[] })
}

/// A sipp that is called once and holds this conversation.
pub(crate) fn called(script: Script) -> Sipp {
    callee(&script.xml(), 1)
}

/// A sipp at `from` that calls a number once and holds this conversation.
pub(crate) fn calling(script: Script, from: SocketAddr, to: SocketAddr, number: &str) -> Sipp {
    let xml = script.xml();
    let arguments = ["-s", number];
    let scenario =
        Scenario { xml: &xml, calls: (1, 1), listen: from, to: Some(to), arguments: &arguments };
    Sipp::start(&scenario)
}

/// A carrier at this address that is not asked whether it is there.
pub(crate) fn carrier(name: &str, address: SocketAddr, more: &str) -> String {
    format!("[carriers.{name}]\nhost = \"{address}\"\noptions_seconds = 0\n{more}\n")
}

/// A route for all numbers.
pub(crate) fn route(to: &str) -> String {
    format!("[[routes]]\npattern = \"_X.\"\nto = [{to}]\n")
}

/// A call of Ann's that has been answered.
pub(crate) async fn talk(phone: &Phone, system: &System) -> Call {
    let mut call = phone.call(system.iax, ann("12125550100")).await.expect("placed");
    let answered = timeout(PATIENCE, call.answered()).await.expect("in time");
    answered.unwrap_or_else(|error| panic!("{error}"));
    call
}

/// Waits for a sipp to have seen this.
pub(crate) async fn seen(sipp: &Sipp, text: &str) {
    seen_times(1, sipp, text).await;
}

/// Waits for a sipp to have seen this so often, in what it has sent and in what has come.
pub(crate) async fn seen_times(times: usize, sipp: &Sipp, text: &str) {
    let begun = std::time::Instant::now();
    while sipp.messages().matches(text).count() < times {
        assert!(begun.elapsed() < PATIENCE, "no {text:?} in {}", sipp.messages());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Waits for a call to be put on hold, or to be taken back.
pub(crate) async fn control(call: &mut Call, awaited: Control) {
    loop {
        let event = timeout(PATIENCE, call.next_event()).await;
        let event = event.unwrap_or_else(|_| panic!("no {awaited:?}")).expect("it lives");
        assert!(!matches!(event, CallEvent::Ended(_)), "{event:?}");
        if matches!(event, CallEvent::Control { control, .. } if control == awaited) {
            return;
        }
    }
}

/// A call of Ann's.
pub(crate) fn ann(number: &str) -> NewCall {
    named(number, "ann", "a")
}

/// Why a call of Ann's is refused.
pub(crate) async fn refusal(phone: &Phone, to: SocketAddr, number: &str) -> CauseCode {
    let mut call = phone.call(to, ann(number)).await.expect("placed");
    match call.answered().await {
        Err(CallError::Ended(end)) => end.cause,
        other => panic!("{other:?}"),
    }
}
