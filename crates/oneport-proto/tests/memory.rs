//! What an established, linked call leg holds: at most 2 KiB.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{Endpoint, EndpointConfig, Event, Instant, NewCall, Path, TransmitBuffer};
use oneport_wire::{Format, MiniFrame, Timestamp};

/// Counts what is held by one of several endpoints: only while that one is at work.
struct Counting;

thread_local! {
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    if AT_WORK.get() {
        HELD.set(HELD.get() + bytes);
    }
}

fn size_of(layout: Layout) -> i64 {
    i64::try_from(layout.size()).unwrap_or(i64::MAX)
}

#[expect(unsafe_code, reason = "an allocator cannot be written otherwise")]
// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size_of(layout));
        // SAFETY: the caller's promise is the one this needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-size_of(layout));
        // SAFETY: the caller's promise is the one this needs.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the endpoint under test does is counted, and what it hands out is dropped before the end.
fn at_work<R>(act: impl FnOnce() -> R) -> R {
    AT_WORK.set(true);
    let result = act();
    AT_WORK.set(false);
    result
}

fn path(last: u8) -> Path {
    Path::from(SocketAddr::from(([10, 0, 0, last], 4569)))
}

/// Calls that begin together, and datagrams that come at once.
const BATCH: usize = 32;

/// Bytes that an endpoint holds with so many calls that are up, linked in pairs, and have relayed
/// voice.
fn held_with(calls: usize) -> i64 {
    HELD.set(0);
    let mut now = Instant::from_micros(0);
    let config = EndpointConfig { max_calls_per_address: calls + 1, ..EndpointConfig::default() };
    let mut caller = Endpoint::new(config.clone(), [1; 32], now);
    let mut switch = at_work(|| Endpoint::new(config, [2; 32], now));
    let mut buffer = TransmitBuffer::with_capacity(65_000, 64);
    let (mut placed, mut up) = (Vec::with_capacity(calls), Vec::with_capacity(calls));
    // As a driver does it, who takes what is to be sent after each batch that came.
    let mut out = at_work(|| TransmitBuffer::with_capacity(65_000, 64));
    let mut answers = Vec::new();
    while placed.len() < calls {
        for _ in 0..BATCH.min(calls - placed.len()) {
            let call = caller.place_call(now, path(2).remote, NewCall::to("1"));
            placed.push(call.expect("free"));
        }
        for _ in 0..8 {
            now = now + Duration::from_millis(5);
            while caller.poll_transmit(&mut buffer).is_some() {
                let mut bytes = buffer.as_bytes().to_vec();
                at_work(|| {
                    switch.handle_datagram(now, path(1), &mut bytes, &mut ());
                    while let Some(event) = switch.poll_event() {
                        if let Event::CallOffered { call, .. } = event {
                            switch.accept(now, call, Format::ULAW).expect("offered");
                            switch.answer(now, call).expect("accepted");
                            up.push(call);
                        }
                    }
                });
            }
            at_work(|| switch.handle_timeout(now));
            while at_work(|| switch.poll_transmit(&mut out)).is_some() {
                answers.push(out.as_bytes().to_vec());
            }
            for mut bytes in answers.drain(..) {
                caller.handle_datagram(now, path(2), &mut bytes, &mut ());
            }
            caller.handle_timeout(now);
        }
    }
    assert_eq!(up.len(), calls);
    at_work(|| {
        for pair in up.chunks_exact(2) {
            switch.link(pair[0], pair[1]).expect("accepted");
        }
    });
    for batch in placed.chunks(BATCH) {
        for call in batch {
            caller.send_voice(now, *call, Format::ULAW, &[1; 160], 20).expect("up");
        }
        while caller.poll_transmit(&mut buffer).is_some() {
            let mut bytes = buffer.as_bytes().to_vec();
            at_work(|| switch.handle_datagram(now, path(1), &mut bytes, &mut ()));
        }
        while at_work(|| switch.poll_transmit(&mut out)).is_some() {
            let mut bytes = out.as_bytes().to_vec();
            caller.handle_datagram(now, path(2), &mut bytes, &mut ());
        }
    }
    for n in 0..50 {
        now = now + Duration::from_millis(20);
        for batch in placed.chunks(BATCH) {
            for call in batch {
                let (number, _) = caller.call_numbers(*call).expect("up");
                let header = MiniFrame::encode_header(number, Timestamp(100 + n * 20).low16());
                let mut bytes = [&header[..], &[0x55; 160]].concat();
                at_work(|| switch.handle_datagram(now, path(1), &mut bytes, &mut ()));
            }
            while at_work(|| switch.poll_transmit(&mut out)).is_some() {
                let mut bytes = out.as_bytes().to_vec();
                caller.handle_datagram(now, path(2), &mut bytes, &mut ());
            }
            while caller.poll_transmit(&mut buffer).is_some() {
                let mut bytes = buffer.as_bytes().to_vec();
                at_work(|| switch.handle_datagram(now, path(1), &mut bytes, &mut ()));
            }
        }
        at_work(|| switch.handle_timeout(now));
    }
    assert!(switch.counters().relayed >= 50 * calls as u64, "the calls are linked");
    HELD.get()
}

#[test]
fn a_linked_call_leg_holds_two_kibibytes_at_most() {
    let nothing = held_with(0);
    // Just above a power of two, where tables that grow by doubling are emptiest.
    for calls in [128, 1_030, 2_060, 4_100] {
        let each = (held_with(calls) - nothing) / i64::try_from(calls).expect("few");
        println!("{calls} legs hold {each} bytes each");
        assert!(each <= 2_048, "{calls} legs hold {each} bytes each");
    }
}
