//! The media path allocates nothing per frame.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{
    CallId, Endpoint, EndpointConfig, Event, Instant, Media, MediaSink, NewCall, Path, Speech,
    TransmitBuffer, Video,
};
use oneport_wire::{
    CallNumber, Datagram, Format, FormatSet, MiniFrame, MiniTimestamp, Timestamp, TrunkWriter,
    VideoMiniFrame,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator cannot be written otherwise")]
// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the one this needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the one this needs.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Count(u64);

impl MediaSink for Count {
    fn media(&mut self, _call: CallId, _media: Media<'_>) {
        self.0 += 1;
    }

    fn tapped(&mut self, _now: Instant, _call: CallId, _media: Media<'_>) {
        self.0 += 1;
    }

    fn video(&mut self, _call: CallId, _video: Video<'_>) {
        self.0 += 1;
    }

    /// Each frame becomes two of half its length.
    fn translate(
        &mut self,
        _now: Instant,
        _from: CallId,
        _to: CallId,
        heard: Speech<'_>,
        say: &mut dyn FnMut(Speech<'_>),
    ) {
        let Speech::Voice(media) = heard else { return };
        let (first, second) = media.payload.split_at(media.payload.len() / 2);
        for (payload, later) in [(first, 0), (second, 10)] {
            self.0 += 1;
            let timestamp = Timestamp(media.timestamp.0 + later);
            say(Speech::Voice(Media { timestamp, payload, ..media }));
        }
    }
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 4569))
}

/// A called endpoint in a call with a calling one, and the caller's number.
struct Scene {
    endpoint: Endpoint,
    caller: SocketAddr,
    call: CallId,
    number: CallNumber,
    now: Instant,
    buffer: TransmitBuffer,
}

impl Scene {
    fn new() -> Self {
        let start = Instant::from_micros(0);
        let mut caller = Endpoint::new(EndpointConfig::default(), [1; 32], start);
        let mut called = Endpoint::new(EndpointConfig::default(), [2; 32], start);
        let mut buffer = TransmitBuffer::with_capacity(65_000, 64);
        let mut new = NewCall::to("1");
        new.formats.push(Format::H264);
        let placed = caller.place_call(start, address(2), new).expect("free");
        let mut number = CallNumber::NONE;
        let mut now = start;
        let mut accepted = None;
        for _ in 0..20 {
            now = now + Duration::from_millis(5);
            while caller.poll_transmit(&mut buffer).is_some() {
                let mut bytes = buffer.as_bytes().to_vec();
                if let Ok(Datagram::Full(frame)) = Datagram::decode(&bytes) {
                    number = frame.header.source;
                }
                called.handle_datagram(now, Path::from(address(1)), &mut bytes, &mut ());
            }
            while let Some(event) = called.poll_event() {
                if let Event::CallOffered { call, .. } = event {
                    let video: FormatSet = [Format::H264].into_iter().collect();
                    called.allow_video(call, video).expect("offered");
                    called.accept(now, call, Format::ULAW).expect("offered");
                    called.answer(now, call).expect("accepted");
                    accepted = Some(call);
                }
            }
            while called.poll_transmit(&mut buffer).is_some() {
                let mut bytes = buffer.as_bytes().to_vec();
                caller.handle_datagram(now, Path::from(address(2)), &mut bytes, &mut ());
            }
            if accepted.is_some() {
                let _ = caller.send_voice(now, placed, Format::ULAW, &[1; 160], 20);
                let _ = caller.send_video(now, placed, Format::H264, &[1; 160], true);
            }
        }
        let call = accepted.expect("offered");
        Self { endpoint: called, caller: address(1), call, number, now, buffer }
    }

    /// Allocations while `frame` is handled `count` times, 20 ms apart, after a warm-up.
    fn allocations(&mut self, count: u32, mut frame: impl FnMut(u32) -> Vec<u8>) -> (u64, u64) {
        let mut sink = Count(0);
        let mut allocations = 0;
        for n in 0..count + 500 {
            self.now = self.now + Duration::from_millis(20);
            let mut bytes = frame(n);
            let path = Path::from(self.caller);
            let before = ALLOCATIONS.with(Cell::get);
            self.endpoint.prefetch(std::iter::once((self.caller, &bytes[..])));
            self.endpoint.handle_datagram(self.now, path, &mut bytes, &mut sink);
            while self.endpoint.poll_transmit(&mut self.buffer).is_some() {}
            let made = ALLOCATIONS.with(Cell::get) - before;
            if n >= 500 {
                allocations += made;
            }
        }
        (allocations, sink.0)
    }
}

fn mini(number: CallNumber, n: u32) -> Vec<u8> {
    let stamp = Timestamp(100 + n * 20).low16();
    let mut bytes = MiniFrame::encode_header(number, stamp).to_vec();
    bytes.extend([n as u8; 160]);
    bytes
}

#[test]
fn ten_thousand_mini_frames_to_the_application_cost_no_allocation() {
    let mut scene = Scene::new();
    let number = scene.number;
    let (allocations, heard) = scene.allocations(10_000, |n| mini(number, n));
    assert_eq!((allocations, heard), (0, 10_500));
}

#[test]
fn ten_thousand_mini_frames_relayed_cost_no_allocation_but_for_full_frames() {
    let mut scene = Scene::new();
    scene.endpoint.link(scene.call, scene.call).expect("accepted");
    let number = scene.number;
    let (allocations, _) = scene.allocations(10_000, |n| mini(number, n));
    assert!(scene.endpoint.counters().relayed >= 10_500);
    // 200 s hold six half turns of the 16-bit clock; at each a full frame is kept to be repeated.
    assert!(allocations <= 24, "{allocations}");
}

#[test]
fn a_copy_of_what_is_relayed_costs_no_allocation_either() {
    let mut scene = Scene::new();
    scene.endpoint.link(scene.call, scene.call).expect("accepted");
    scene.endpoint.tap(scene.call, true).expect("it is up");
    let number = scene.number;
    let (allocations, seen) = scene.allocations(10_000, |n| mini(number, n));
    assert!(scene.endpoint.counters().relayed >= 10_500);
    assert!(allocations <= 24 && seen == 10_500, "{allocations}, {seen}");
    scene.endpoint.tap(scene.call, false).expect("it is up");
    let (_, seen) = scene.allocations(10_000, |n| mini(number, n));
    assert_eq!(seen, 0);
}

#[test]
fn ten_thousand_frames_that_are_translated_cost_no_allocation_but_for_full_frames() {
    let mut scene = Scene::new();
    scene.endpoint.link_translated(scene.call, scene.call).expect("accepted");
    let number = scene.number;
    let before = scene.endpoint.call_stats(scene.call).expect("up").sent_frames;
    let (allocations, said) = scene.allocations(10_000, |n| mini(number, n));
    let sent = scene.endpoint.call_stats(scene.call).expect("up").sent_frames - before;
    assert_eq!((said, sent), (21_000, 21_000));
    assert!(allocations <= 24, "{allocations}");
}

/// Two packets to a picture, of a length that is not the same twice in a row.
fn video_mini(number: CallNumber, n: u32) -> Vec<u8> {
    let timestamp = Timestamp(100 + n / 2 * 40).low15();
    let frame = VideoMiniFrame { source: number, mark: n % 2 == 1, timestamp, payload: &[] };
    let mut bytes = frame.encode_header().to_vec();
    bytes.extend(vec![n as u8; 900 + n as usize % 300]);
    bytes
}

#[test]
fn ten_thousand_packets_of_video_to_the_application_cost_no_allocation() {
    let mut scene = Scene::new();
    let number = scene.number;
    let (allocations, seen) = scene.allocations(10_000, |n| video_mini(number, n));
    assert_eq!((allocations, seen), (0, 10_500));
}

#[test]
fn ten_thousand_packets_of_video_relayed_cost_no_allocation_but_for_full_frames() {
    let mut scene = Scene::new();
    scene.endpoint.link(scene.call, scene.call).expect("accepted");
    let number = scene.number;
    let (allocations, _) = scene.allocations(10_000, |n| video_mini(number, n));
    assert!(scene.endpoint.counters().relayed >= 10_500);
    // 200 s hold six turns of the 15-bit clock; at each a full frame is kept to be repeated.
    assert!(allocations <= 24, "{allocations}");
}

#[test]
fn ten_thousand_trunk_entries_cost_no_allocation() {
    let mut scene = Scene::new();
    let number = scene.number;
    let mut writer = TrunkWriter::new(true, 2_000);
    let (allocations, heard) = scene.allocations(1_000, |n| {
        writer.clear();
        for entry in 0..10 {
            let stamp = Timestamp(100 + n * 20).low16().0.wrapping_add(entry * 2);
            assert!(writer.push(number, MiniTimestamp(stamp), &[7; 160]));
        }
        writer.finish(Timestamp(n * 20)).to_vec()
    });
    assert_eq!((allocations, heard), (0, 15_000));
}
