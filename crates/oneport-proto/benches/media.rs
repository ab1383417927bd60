//! What one frame of voice costs in the engine: taken in, and relayed to another address.

use std::net::SocketAddr;
use std::time::Duration;

use divan::counter::ItemsCount;
use oneport_proto::{
    CallId, Endpoint, EndpointConfig, Event, Instant, NewCall, Path, TransmitBuffer, TrunkConfig,
};
use oneport_wire::{
    CallNumber, Datagram, Format, MiniFrame, MiniTimestamp, Timestamp, TrunkWriter,
};

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 4569))
}

/// Endpoints between which `calls` calls are up, and the callers' numbers.
struct Scene {
    endpoint: Endpoint,
    calls: Vec<(CallNumber, CallId)>,
    now: Instant,
    buffer: TransmitBuffer,
}

/// Lets an endpoint do all that is due, however much it is.
fn time_out(endpoint: &mut Endpoint, now: Instant) {
    while endpoint.poll_timeout().is_some_and(|at| at <= now) {
        endpoint.handle_timeout(now);
    }
}

fn scene(calls: usize, relayed: bool, trunk: Option<TrunkConfig>) -> Scene {
    let start = Instant::from_micros(0);
    // Polls are not what is measured here. There is one at the beginning of each call.
    let (ping_interval, lag_interval) = (Duration::from_hours(24), Duration::from_hours(24));
    let max_calls_per_address = calls + 1;
    let config = EndpointConfig {
        ping_interval,
        lag_interval,
        max_calls_per_address,
        ..EndpointConfig::default()
    };
    let mut caller = Endpoint::new(config.clone(), [1; 32], start);
    let mut called = Endpoint::new(config, [2; 32], start);
    called.set_trunk(address(1), trunk);
    let mut buffer = TransmitBuffer::with_capacity(65_000, 64);
    let mut placed = Vec::new();
    let mut up = Vec::new();
    for _ in 0..calls {
        placed.push(caller.place_call(start, address(2), NewCall::to("1")).expect("free"));
    }
    let mut now = start;
    for round in 0..12 {
        now = now + Duration::from_millis(if round < 6 { 5 } else { 200 });
        time_out(&mut caller, now);
        time_out(&mut called, now);
        while caller.poll_transmit(&mut buffer).is_some() {
            let mut bytes = buffer.as_bytes().to_vec();
            let number = match Datagram::decode(&bytes) {
                Ok(Datagram::Full(frame)) => frame.header.source,
                _ => continue,
            };
            called.handle_datagram(now, Path::from(address(1)), &mut bytes, &mut ());
            while let Some(event) = called.poll_event() {
                if let Event::CallOffered { call, .. } = event {
                    called.accept(now, call, Format::ULAW).expect("offered");
                    up.push((number, call));
                }
            }
        }
        while called.poll_transmit(&mut buffer).is_some() {
            let mut bytes = buffer.as_bytes().to_vec();
            caller.handle_datagram(now, Path::from(address(2)), &mut bytes, &mut ());
        }
        if round == 3 {
            for call in &placed {
                caller.send_voice(now, *call, Format::ULAW, &[1; 160], 20).expect("up");
            }
        }
    }
    assert_eq!(up.len(), calls);
    if relayed {
        for (_, call) in &up {
            called.link(*call, *call).expect("accepted");
        }
    }
    Scene { endpoint: called, calls: up, now, buffer }
}

/// Frames that the driver takes in before it sends, at most: 16 batches of 32.
const BATCH: usize = 512;

/// One frame of each call, 20 ms later than the last.
fn round(scene: &mut Scene, n: &mut u32, datagram: &mut [u8; 164]) {
    *n += 1;
    scene.now = scene.now + Duration::from_millis(20);
    let path = Path::from(address(1));
    for batch in scene.calls.chunks(BATCH) {
        for (number, _) in batch {
            let header = MiniFrame::encode_header(*number, Timestamp(100 + *n * 20).low16());
            datagram[..4].copy_from_slice(&header);
            scene.endpoint.handle_datagram(scene.now, path, datagram, &mut ());
        }
        while scene.endpoint.poll_transmit(&mut scene.buffer).is_some() {}
    }
}

#[divan::bench(args = [100, 1_000, 2_000])]
fn mini_frame_in(bencher: divan::Bencher<'_, '_>, calls: usize) {
    let (mut scene, mut n, mut datagram) = (scene(calls, false, None), 0, [0x55; 164]);
    let bencher = bencher.counter(ItemsCount::new(calls));
    bencher.bench_local(|| round(&mut scene, &mut n, &mut datagram));
}

#[divan::bench(args = [100, 1_000, 2_000])]
fn mini_frame_relayed(bencher: divan::Bencher<'_, '_>, calls: usize) {
    let (mut scene, mut n, mut datagram) = (scene(calls, true, None), 0, [0x55; 164]);
    let bencher = bencher.counter(ItemsCount::new(calls));
    bencher.bench_local(|| round(&mut scene, &mut n, &mut datagram));
}

/// Bytes that everything else on a machine reads between two frames of a call: more than a processor keeps.
const OTHERS: usize = 64 << 20;

/// Datagrams that the driver looks at together.
const GROUP: usize = 16;

/// Voice by trunk frames, in and out, when the calls are not in the cache any more, as between two frames of a
/// switch that waits for the next ones.
#[divan::bench(args = [100, 1_000, 4_000], sample_size = 1, sample_count = 300)]
fn trunk_entry_relayed_cold(bencher: divan::Bencher<'_, '_>, calls: usize) {
    let (mut scene, mut n, others) =
        (scene(calls, true, Some(TrunkConfig::default())), 0_u32, vec![1_u8; OTHERS]);
    let path = Path::from(address(1));
    let mut writer = TrunkWriter::new(true, 1_400);
    let bencher = bencher.counter(ItemsCount::new(calls)).with_inputs(|| {
        n += 1;
        let stamp = Timestamp(100 + n * 20);
        let frames: Vec<Vec<u8>> = scene
            .calls
            .chunks(8)
            .map(|calls| {
                writer.clear();
                for (number, _) in calls {
                    let MiniTimestamp(low) = stamp.low16();
                    assert!(writer.push(*number, MiniTimestamp(low.max(1)), &[0x55; 160]));
                }
                writer.finish(stamp).to_vec()
            })
            .collect();
        divan::black_box(others.chunks(64).map(|line| u32::from(line[0])).sum::<u32>());
        frames
    });
    let (endpoint, buffer, mut uneven) = (&mut scene.endpoint, &mut scene.buffer, false);
    bencher.bench_local_values(|mut frames| {
        // As it comes through a network, a little late or early.
        uneven = !uneven;
        scene.now = scene.now + Duration::from_millis(if uneven { 17 } else { 23 });
        for bundle in frames.chunks_mut(GROUP) {
            endpoint.prefetch(bundle.iter().map(|frame| (path.remote, &frame[..])));
            for frame in bundle {
                endpoint.handle_datagram(scene.now, path, frame, &mut ());
            }
            while endpoint.poll_transmit(buffer).is_some() {}
        }
        time_out(endpoint, scene.now + Duration::from_millis(5));
        while endpoint.poll_transmit(buffer).is_some() {}
    });
}
