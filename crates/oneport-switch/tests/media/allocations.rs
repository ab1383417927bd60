//! Nothing is allocated for a packet, whichever way it goes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use oneport::Format;
use oneport_switch::sip::sdp::Capabilities;

use crate::handshakes::Line;
use crate::setting::*;

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

#[tokio::test]
async fn packets_allocate_nothing_either_way_relayed_or_transcoded() {
    for speaks in [Format::ULAW, Format::GSM] {
        let capabilities = Capabilities { formats: vec![speaks], ..Capabilities::default() };
        let config = media(160, 20);
        let mut scene = scene_of(Format::ULAW, &capabilities, config, || ALLOCATIONS.get()).await;
        let (payload_type, payload) = match speaks {
            Format::GSM => (3, vec![0xD0; 33]),
            _ => (0, vec![0x80; 160]),
        };
        let mut base = 0;
        let begun = std::time::Instant::now();
        for n in 0..320_u32 {
            // Who is further ahead of time has another clock.
            while begun.elapsed().as_millis() + 1_000 < u128::from(n) * 20 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            if n == 20 {
                base = scene
                    .gateway
                    .driver
                    .with(|_, gate, _| gate.allocations)
                    .await
                    .expect("running");
            }
            scene.phone.sends(payload_type, n as u16, n * 160, &payload);
            scene.heard().await;
            scene.says(Format::ULAW, n * 20, vec![0x80; 160]);
            scene.phone.heard();
        }
        let (allocations, packets) = scene
            .gateway
            .driver
            .with(|_, gate, _| (gate.allocations, gate.packets))
            .await
            .expect("running");
        assert_eq!((allocations - base, packets), (0, 320), "{speaks}");
    }
}

#[tokio::test]
async fn packets_with_keys_of_a_handshake_allocate_nothing_either_way() {
    let scene = counted_scene_before(|| ALLOCATIONS.get()).await;
    let mut line = Line::secured(scene).await;
    let mut base = 0;
    let begun = std::time::Instant::now();
    let payload = [0x80; 160];
    for n in 0..320_u32 {
        // Who is further ahead of time has another clock.
        while begun.elapsed().as_millis() + 1_000 < u128::from(n) * 20 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        if n == 20 {
            let allocations = line.scene.gateway.driver.with(|_, gate, _| gate.allocations);
            base = allocations.await.expect("running");
        }
        line.sends(n as u16, &payload);
        line.scene.heard().await;
        line.scene.says(Format::ULAW, n * 20, payload.to_vec());
        line.hears();
    }
    let counts = line.scene.gateway.driver.with(|_, gate, _| (gate.allocations, gate.packets));
    let (allocations, packets) = counts.await.expect("running");
    assert_eq!((allocations - base, packets), (0, 320));
}
