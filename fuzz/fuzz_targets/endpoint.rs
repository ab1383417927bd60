//! An endpoint takes any sequence of datagrams, commands and time without panic, and falls silent
//! when everything is hung up.
#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use oneport_proto::{
    CallId, Challenge, Endpoint, EndpointConfig, Event, Grant, Instant, Network, NewCall, Path,
    RequestId, TransferKind, TransmitBuffer, TrunkConfig,
};
use oneport_wire::{CauseCode, Format};

#[derive(Arbitrary, Debug)]
enum Step {
    Datagram { from: u8, bytes: Vec<u8> },
    /// Sent back to us, some bytes changed: this gets past call numbers and sequence numbers.
    Reflect { change: Vec<(u8, u8)> },
    Wait { millis: u16 },
    Place { to: u8 },
    Accept,
    Challenge,
    Answer,
    Digit(u8),
    Text(String),
    Voice(Vec<u8>),
    Link,
    Transfer { media: bool },
    Trunk { to: u8, timestamps: bool },
    Move { from: u8 },
    Query(String),
    Frame { kind: u8, subclass: u8, bytes: Vec<u8> },
    HangUp,
    Grant,
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last % 4], 4569))
}

fuzz_target!(|steps: Vec<Step>| {
    let mut config = EndpointConfig { accept_transfers: true, ..EndpointConfig::default() };
    // Half of the addresses need no call token.
    config.call_token.optional_networks.push(Network { address: [10, 0, 0, 0].into(), prefix: 31 });
    let mut now = Instant::from_micros(0);
    let mut endpoint = Endpoint::new(config, [7; 32], now);
    let mut buffer = TransmitBuffer::with_capacity(2_000, 1);
    let mut last: Option<(SocketAddr, Vec<u8>)> = None;
    let mut calls: Vec<CallId> = Vec::new();
    let mut requests: Vec<RequestId> = Vec::new();
    for step in steps {
        let call = calls.last().copied();
        match step {
            Step::Datagram { from, mut bytes } => {
                endpoint.handle_datagram(now, Path::from(address(from)), &mut bytes, &mut ());
            }
            Step::Reflect { change } => {
                let Some((from, bytes)) = &last else { continue };
                let mut bytes = bytes.clone();
                if bytes.len() >= 4 {
                    bytes.swap(0, 2);
                    bytes.swap(1, 3);
                    bytes[0] |= 0x80;
                    bytes[2] &= 0x7F;
                }
                for (at, value) in change {
                    if let Some(byte) = bytes.get_mut(usize::from(at)) {
                        *byte = value;
                    }
                }
                endpoint.handle_datagram(now, Path::from(*from), &mut bytes, &mut ());
            }
            Step::Wait { millis } => {
                now = now + Duration::from_millis(millis.into());
                endpoint.handle_timeout(now);
            }
            Step::Place { to } => {
                calls.extend(endpoint.place_call(now, address(to), NewCall::to("1")));
            }
            Step::Accept => drop(call.map(|call| endpoint.accept(now, call, Format::ULAW))),
            Step::Challenge => {
                let challenge = Challenge::unknown("x");
                drop(call.map(|call| endpoint.challenge_call(now, call, challenge)));
            }
            Step::Answer => drop(call.map(|call| endpoint.answer(now, call))),
            Step::Digit(digit) => drop(call.map(|call| endpoint.dtmf_end(now, call, digit))),
            Step::Text(text) => drop(call.map(|call| endpoint.send_text(now, call, &text))),
            Step::Voice(voice) => {
                drop(call.map(|call| endpoint.send_voice(now, call, Format::ULAW, &voice, 20)));
            }
            Step::Link => {
                if let [first, .., second] = calls.as_slice() {
                    drop(endpoint.link(*first, *second));
                }
            }
            Step::Transfer { media } => {
                let kind = if media { TransferKind::Media } else { TransferKind::Full };
                if let [first, .., second] = calls.as_slice() {
                    drop(endpoint.transfer(now, *first, *second, kind));
                }
            }
            Step::Trunk { to, timestamps } => {
                let config = TrunkConfig { timestamps, ..TrunkConfig::default() };
                endpoint.set_trunk(address(to), Some(config));
            }
            // What was last sent comes back from somewhere else.
            Step::Move { from } => {
                let Some((_, bytes)) = &last else { continue };
                let mut bytes = bytes.clone();
                endpoint.handle_datagram(now, Path::from(address(from)), &mut bytes, &mut ());
            }
            Step::Query(number) => drop(call.map(|call| endpoint.dial(now, call, &number))),
            Step::Frame { kind, subclass, bytes } => {
                drop(call.map(|call| endpoint.send_frame(now, call, kind, subclass, &bytes)));
            }
            Step::HangUp => {
                let cause = CauseCode::NORMAL_CLEARING;
                drop(calls.pop().map(|call| endpoint.hangup(now, call, cause, None)));
            }
            Step::Grant => {
                let grant = Grant::default();
                drop(requests.pop().map(|request| endpoint.grant(now, request, &grant)));
            }
        }
        while let Some(event) = endpoint.poll_event() {
            match event {
                Event::CallOffered { call, .. } => calls.push(call),
                Event::RegisterRequested { request, .. } => requests.push(request),
                _ => {}
            }
        }
        while let Some(transmit) = endpoint.poll_transmit(&mut buffer) {
            last = Some((transmit.path.remote, buffer.as_bytes().to_vec()));
        }
    }
    endpoint.hangup_all(now, CauseCode::NORMAL_CLEARING);
    while let Some(next) = endpoint.poll_timeout() {
        now = next;
        endpoint.handle_timeout(now);
        while endpoint.poll_event().is_some() {}
        while endpoint.poll_transmit(&mut buffer).is_some() {}
    }
    while endpoint.poll_event().is_some() {}
    while endpoint.poll_transmit(&mut buffer).is_some() {}
    assert!(endpoint.is_quiescent(), "something is left");
});
