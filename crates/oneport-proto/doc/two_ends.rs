// Two endpoints and what lies between them: the examples of the documentation include this.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use oneport_proto::{
    CallId, Endpoint, EndpointConfig, Event, Instant, MediaSink, NewCall, Offer, Path,
    TransmitBuffer,
};
use oneport_wire::{
    CallNumber, Element, ElementBuffer, Format, FullHeader, IaxSubclass, Message, Seq, Timestamp,
};

pub const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 4569);
pub const THERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 4569);

/// Two endpoints with the default configuration: one at `HERE`, one at `THERE`.
pub fn two_ends(now: Instant) -> (Endpoint, Endpoint) {
    let end = |seed| Endpoint::new(EndpointConfig::default(), [seed; 32], now);
    (end(1), end(2))
}

/// Hands on all datagrams between the two until none is left.
pub fn exchange(now: Instant, here: &mut Endpoint, there: &mut Endpoint) {
    exchange_with(now, here, there, &mut ());
}

/// The same with somebody who takes the media.
pub fn exchange_with(
    now: Instant,
    here: &mut Endpoint,
    there: &mut Endpoint,
    media: &mut impl MediaSink,
) {
    deliver(now, &mut [(HERE, here), (THERE, there)], media);
}

/// Hands on all datagrams between several endpoints at their addresses.
pub fn deliver(now: Instant, ends: &mut [(SocketAddr, &mut Endpoint)], media: &mut impl MediaSink) {
    let mut out = TransmitBuffer::with_capacity(1_500, 1);
    loop {
        let mut flying = Vec::new();
        for (address, end) in ends.iter_mut() {
            while let Some(transmit) = end.poll_transmit(&mut out) {
                flying.push((*address, transmit.path.remote, out.as_bytes().to_vec()));
            }
        }
        if flying.is_empty() {
            return;
        }
        for (from, to, mut datagram) in flying {
            for (_, end) in ends.iter_mut().filter(|(address, _)| *address == to) {
                end.handle_datagram(now, Path::from(from), &mut datagram, media);
            }
        }
    }
}

/// A call from `here` that is offered there: both handles, and the offer.
pub fn offered(
    now: Instant,
    here: &mut Endpoint,
    there: &mut Endpoint,
    call: NewCall,
) -> (CallId, CallId, Box<Offer>) {
    let ours = here.place_call(now, THERE, call).expect("the call can be placed");
    exchange(now, here, there);
    match there.poll_event() {
        Some(Event::CallOffered { call, offer }) => (ours, call, offer),
        other => panic!("no call is offered, but {other:?}"),
    }
}

/// A call in µ-law that is answered; what was heard of it so far is fetched.
pub fn call_up(now: Instant, here: &mut Endpoint, there: &mut Endpoint) -> (CallId, CallId) {
    let (ours, theirs, offer) = offered(now, here, there, NewCall::to("100"));
    there.accept(now, theirs, offer.preferences[0]).expect("it is offered");
    there.answer(now, theirs).expect("it is accepted");
    exchange(now, here, there);
    while here.poll_event().is_some() {}
    (ours, theirs)
}

/// The NEW of a phone that knows no call tokens.
pub fn old_phone(username: &str) -> Vec<u8> {
    let mut elements = ElementBuffer::new();
    elements.push(&Element::Version(2));
    elements.push(&Element::CalledNumber("100".into()));
    elements.push(&Element::Username(username.into()));
    elements.push(&Element::Capability([Format::ULAW].into_iter().collect()));
    let header = FullHeader {
        source: CallNumber::from_bits(7),
        destination: CallNumber::NONE,
        retransmission: false,
        timestamp: Timestamp(3),
        oseq: Seq::ZERO,
        iseq: Seq::ZERO,
    };
    let mut datagram = Vec::new();
    Message::iax(IaxSubclass::New, elements.as_elements()).encode(&header, &mut datagram);
    datagram
}
