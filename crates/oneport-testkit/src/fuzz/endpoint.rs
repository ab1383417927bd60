use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{
    CallId, Challenge, Endpoint, EndpointConfig, Event, Grant, Instant, Network, NewCall, Path,
    RequestId, TransferKind, TransmitBuffer, TrunkConfig,
};
use oneport_wire::{CauseCode, Format};

use super::Input;

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last % 4], 4569))
}

/// An endpoint takes any sequence of datagrams, commands and time without panic, its tables agree,
/// and it falls silent when everything is hung up.
///
/// # Panics
/// When a rule is broken.
pub fn endpoint(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut config = EndpointConfig { accept_transfers: true, ..EndpointConfig::default() };
    // Half of the addresses need no call token.
    config.call_token.optional_networks.push(Network { address: [10, 0, 0, 0].into(), prefix: 31 });
    let mut now = Instant::from_micros(0);
    let mut endpoint = Endpoint::new(config, [7; 32], now);
    let mut buffer = TransmitBuffer::with_capacity(2_000, 1);
    let mut last: Option<(SocketAddr, Vec<u8>)> = None;
    let mut calls: Vec<CallId> = Vec::new();
    let mut requests: Vec<RequestId> = Vec::new();
    while !input.is_empty() {
        let choice = input.below(19);
        let call = calls.last().copied();
        match (choice, call) {
            (0, _) => {
                let from = address(input.byte());
                let mut datagram = input.bytes();
                endpoint.prefetch(std::iter::once((from, &datagram[..])));
                endpoint.handle_datagram(now, Path::from(from), &mut datagram, &mut ());
            }
            // Sent back to us, some bytes changed: this gets past call and sequence numbers.
            (1 | 2, _) => {
                let Some((from, mut datagram)) = last.clone() else { continue };
                if datagram.len() >= 4 {
                    datagram.swap(0, 2);
                    datagram.swap(1, 3);
                    datagram[0] |= 0x80;
                    datagram[2] &= 0x7F;
                }
                input.spoil(&mut datagram);
                endpoint.handle_datagram(now, Path::from(from), &mut datagram, &mut ());
            }
            // What was last sent comes from somewhere else.
            (3, _) => {
                let Some((_, mut datagram)) = last.clone() else { continue };
                let from = address(input.byte());
                endpoint.handle_datagram(now, Path::from(from), &mut datagram, &mut ());
            }
            (4, _) => {
                now = now + Duration::from_millis(u64::from(input.byte()) * 64);
                endpoint.handle_timeout(now);
            }
            (5, _) => {
                calls.extend(endpoint.place_call(now, address(input.byte()), NewCall::to("1")));
            }
            (6, Some(call)) => {
                let _ = endpoint.accept(now, call, Format::ULAW);
            }
            (7, Some(call)) => {
                let _ = endpoint.challenge_call(now, call, Challenge::unknown("x"));
            }
            (8, Some(call)) => {
                let _ = endpoint.answer(now, call);
            }
            (9, Some(call)) => {
                let _ = endpoint.dtmf_end(now, call, input.byte());
            }
            (10, Some(call)) => {
                let text = String::from_utf8_lossy(&input.bytes()).into_owned();
                let _ = endpoint.send_text(now, call, &text);
            }
            (11, Some(call)) => {
                let voice = input.bytes();
                let _ = endpoint.send_voice(now, call, Format::ULAW, &voice, 20);
            }
            (12, Some(call)) => {
                let _ = endpoint.link(calls[0], call);
            }
            (13, Some(call)) => {
                let kind = if input.bit() { TransferKind::Media } else { TransferKind::Full };
                let _ = endpoint.transfer(now, calls[0], call, kind);
            }
            (14, _) => {
                let config = TrunkConfig { timestamps: input.bit(), ..TrunkConfig::default() };
                endpoint.set_trunk(address(input.byte()), Some(config));
            }
            (15, Some(call)) => {
                let number = String::from_utf8_lossy(&input.bytes()).into_owned();
                let _ = endpoint.dial(now, call, &number);
            }
            (16, Some(call)) => {
                let (kind, subclass) = (input.byte(), input.byte());
                let _ = endpoint.send_frame(now, call, kind, subclass, &input.bytes());
            }
            (17, Some(call)) => {
                calls.pop();
                let _ = endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None);
            }
            (18, _) => {
                let Some(request) = requests.pop() else { continue };
                let _ = endpoint.grant(now, request, &Grant::default());
            }
            _ => {}
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
        assert_eq!(endpoint.inconsistency(), None);
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
    assert_eq!(endpoint.inconsistency(), None);
    assert!(endpoint.is_quiescent(), "something is left");
}
