//! Codecs, jitter buffers, and a conference in its steady state, allocate nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use oneport_media::dtmf::{Detector, KEYS, Key, Keyer};
use oneport_media::jitter_buffer::{JitterBuffer, JitterConfig};
use oneport_media::mixer::{Input, MemberId, Mixer};
use oneport_media::transcode::Wishes;
use oneport_media::{Codec, Decoder, Encoder, Rate, Transcoder};
use oneport_wire::Format;

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
    for rate in [8_000, 48_000] {
        let mut mixer = Mixer::new(rate);
        let mut members: Vec<(MemberId, Input, Rate)> =
            (0..20).map(|_| (mixer.join(), Input::new(rate), Rate::between(rate, 8_000))).collect();
        let mut hears = vec![0; mixer.frame()];
        let (mut samples, mut narrow) = (Vec::with_capacity(1_000), Vec::with_capacity(1_000));
        let (mut encoder, mut payload) = (Codec::Ulaw.encoder(), Vec::with_capacity(1_000));
        let mut turn = |n: u32| {
            let now = Duration::from_millis(u64::from(n) * 20);
            for ((_, input, _), level) in members.iter_mut().zip(0_u8..) {
                // Some frames are lost, and some clocks jump.
                if !(n + u32::from(level)).is_multiple_of(13) {
                    input.hear(now, Format::ULAW, n * 20 + n / 500 * 70_000, &[level; 160]);
                }
            }
            mixer.turn();
            for (member, input, _) in &mut members {
                samples.clear();
                input.pull(now, &mut samples);
                mixer.say(*member, &samples);
            }
            for (member, _, to_codec) in &mut members {
                mixer.mix(*member, &mut hears);
                narrow.clear();
                to_codec.pass(&hears, &mut narrow);
                payload.clear();
                encoder.encode(&narrow, &mut payload);
            }
        };
        // Until each has said something.
        (0..20).for_each(&mut turn);
        let before = ALLOCATIONS.with(Cell::get);
        (20..2_020).for_each(&mut turn);
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "{rate} Hz");
    }
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

#[cfg(feature = "codec2")]
#[test]
fn no_mode_of_codec_2_allocates_for_a_frame() {
    use oneport_media::codec2::{Codec2Decoder, Codec2Encoder, Mode};
    for mode in Mode::ALL {
        let (mut encoder, mut decoder) = (Codec2Encoder::new(mode), Codec2Decoder::new(mode));
        let (mut payload, mut heard) = (Vec::with_capacity(100), Vec::with_capacity(2_048));
        let before = ALLOCATIONS.with(Cell::get);
        encoder.encode(&[1_000; 640], &mut payload);
        decoder.decode(&payload, &mut heard);
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "{mode:?}");
    }
}

#[test]
fn no_transcoder_allocates_for_a_frame_whatever_is_lost() {
    for from in Codec::ALL {
        let mut payload = Vec::with_capacity(2_048);
        let samples = from.samples_in(20).next_multiple_of(from.frame_samples());
        from.encode(&vec![3_000; samples], &mut payload);
        for to in Codec::ALL {
            for (frame, silence_suppression) in [(None, false), (Some(30), true), (Some(60), false)]
            {
                let frame = frame.map(Duration::from_millis);
                let wishes = Wishes { frame, silence_suppression, ilbc: None };
                let Some(mut transcoder) = Transcoder::new(from.format(), to.format(), wishes)
                else {
                    continue;
                };
                let mut said = 0;
                transcoder.voice(0, &payload, &mut |_| said += 1);
                let before = ALLOCATIONS.with(Cell::get);
                for n in (1..200_u32).filter(|n| n % 7 != 0) {
                    transcoder.voice(n * 20, &payload, &mut |_| said += 1);
                    if n % 50 == 1 {
                        transcoder.pause(n * 20 + 20, 50, &mut |_| said += 1);
                        let _ = transcoder.noise(Duration::from_millis(20), &mut |_| said += 1);
                    }
                }
                let made = ALLOCATIONS.with(Cell::get) - before;
                assert_eq!(made, 0, "{from:?} to {to:?}, {wishes:?}");
                assert!(said >= 10, "{from:?} to {to:?}, {wishes:?}: {said}");
            }
        }
    }
}

#[test]
fn ten_thousand_frames_through_a_jitter_buffer_allocate_nothing_whatever_the_network_does() {
    for (rate, codec) in [(8_000, Codec::Ulaw), (16_000, Codec::Slin16)] {
        let mut buffer = JitterBuffer::new(JitterConfig::new(rate));
        let payload =
            |level: u8| vec![level; codec.samples_in(20) * if rate == 8_000 { 1 } else { 2 }];
        let payloads: Vec<Vec<u8>> = (0..7).map(|n| payload(n * 30)).collect();
        let mut out = vec![0; codec.samples_in(10)];
        let mut decoder = codec.decoder();
        let before = ALLOCATIONS.with(Cell::get);
        for n in 0..10_000_u32 {
            let now = Duration::from_millis(u64::from(n) * 20 + 100);
            let jumps = n / 3_000 * 70_000_000;
            // Some are lost, overtaken, doubled or late, and now and then nobody speaks for a second.
            if !n.is_multiple_of(29) && n % 1_000 < 950 {
                for frame in [n, n.wrapping_sub(n % 3 * (n % 5)), n ^ 1] {
                    let _ = buffer.insert(
                        now,
                        frame.wrapping_mul(20).wrapping_add(jumps),
                        &payloads[frame as usize % 7],
                    );
                }
            }
            for half in 0..2 {
                buffer.pull(now + Duration::from_millis(half * 10), &mut *decoder, &mut out);
            }
        }
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
        let stats = buffer.stats();
        assert!(stats.frames > 5_000 && stats.concealed > 0 && stats.restarts > 0, "{stats:?}");
    }
}

#[test]
fn keys_are_said_and_heard_without_allocating() {
    for rate in [8_000, 16_000, 48_000] {
        let (mut keyer, mut detector) = (Keyer::new(rate), Detector::new(rate).expect("a rate"));
        let mut frame = vec![0; rate as usize / 50];
        let mut heard = 0;
        let mut turn = |n: usize| {
            if n.is_multiple_of(10) {
                keyer.press(KEYS[n / 10 % 16]);
                keyer.release();
            }
            keyer.fill(&mut frame);
            detector.hear(&frame, |key| heard += usize::from(matches!(key, Key::Pressed(_))));
        };
        (0..10).for_each(&mut turn);
        let before = ALLOCATIONS.with(Cell::get);
        (10..320).for_each(&mut turn);
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "{rate} Hz");
        assert_eq!(heard, 32);
    }
}
