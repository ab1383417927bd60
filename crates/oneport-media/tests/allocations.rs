//! Codecs, and a conference in its steady state, allocate nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use oneport_media::half_band::{Doubler, Halver};
use oneport_media::mixer::{FRAME, MemberId, Mixer};
use oneport_media::{Codec, Decoder, Encoder};

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

#[test]
fn two_thousand_turns_of_a_conference_allocate_nothing() {
    let mut mixer = Mixer::default();
    let members: Vec<MemberId> = (0..20).map(|_| mixer.join()).collect();
    let (mut halver, mut doubler) = (Halver::default(), Doubler::default());
    let (mut samples, mut wide) = (Vec::with_capacity(FRAME), Vec::with_capacity(2 * FRAME));
    let mut payload = Vec::with_capacity(FRAME);
    let (mut encoder, mut decoder) = (Codec::Ulaw.encoder(), Codec::Ulaw.decoder());
    let mut hears = [0; FRAME];
    let mut turn = |n: u32| {
        for (member, level) in members.iter().zip(0_u8..) {
            samples.clear();
            decoder.decode(&[level; FRAME], &mut samples);
            if level == 0 {
                wide.clear();
                doubler.double(&samples, &mut wide);
                samples.clear();
                halver.halve(&wide, &mut samples);
            }
            // Some frames are lost, and some clocks jump.
            if !(n + u32::from(level)).is_multiple_of(13) {
                mixer.push(*member, n * 20 + n / 500 * 70_000, &samples);
            }
        }
        mixer.turn();
        for member in &members {
            mixer.mix(*member, &mut hears);
            payload.clear();
            encoder.encode(&hears, &mut payload);
        }
    };
    turn(0);
    let before = ALLOCATIONS.with(Cell::get);
    (1..2_000).for_each(&mut turn);
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
}

#[test]
fn no_codec_allocates_for_a_frame() {
    for codec in Codec::ALL {
        let (mut encoder, mut decoder): (Box<dyn Encoder>, Box<dyn Decoder>) =
            (codec.encoder(), codec.decoder());
        let samples: Vec<i16> = (0..codec.samples_in(60) as i16).map(|n| n * 29).collect();
        let (mut payload, mut heard) = (Vec::with_capacity(2_048), Vec::with_capacity(2_048));
        let before = ALLOCATIONS.with(Cell::get);
        for lost in [false, true, false] {
            payload.clear();
            heard.clear();
            encoder.encode(&samples, &mut payload);
            match lost {
                true => drop(decoder.conceal(samples.len(), &mut heard)),
                false => decoder.decode(&payload, &mut heard),
            }
        }
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "{codec:?}");
    }
}
