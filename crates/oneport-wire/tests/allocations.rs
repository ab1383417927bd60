//! Decoding allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use oneport_wire::{
    CallNumber, Datagram, Element, ElementBuffer, Format, FullHeader, IaxSubclass, Message,
    MiniTimestamp, Seq, Timestamp, TrunkWriter,
};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator can only be counted by being one")]
// SAFETY: both calls go to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, hence from the system allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn decoding_allocates_nothing() {
    let mut elements = ElementBuffer::new();
    elements.push(&Element::Version(2));
    elements.push(&Element::CalledNumber("600".into()));
    elements.push_codec_preferences(&[Format::ULAW]);
    elements.push(&Element::Capability2(Format::all().collect()));
    let mut new = Vec::new();
    let header = FullHeader {
        source: CallNumber::from_bits(2),
        destination: CallNumber::NONE,
        retransmission: false,
        timestamp: Timestamp(3),
        oseq: Seq::ZERO,
        iseq: Seq::ZERO,
    };
    Message::iax(IaxSubclass::New, elements.as_elements()).encode(&header, &mut new);
    let mut trunk = TrunkWriter::new(true, 1_400);
    while trunk.push(CallNumber::from_bits(7), MiniTimestamp(20), &[0; 160]) {}
    let trunk = trunk.finish(Timestamp(40)).to_vec();
    let mini = [0, 2, 0, 20, 1, 2, 3];

    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for bytes in [new.as_slice(), trunk.as_slice(), mini.as_slice()] {
        match black_box(Datagram::decode(black_box(bytes))) {
            Ok(Datagram::Full(frame)) => {
                let Ok(Message::Iax { elements, .. }) = frame.message() else { panic!() };
                assert_eq!(elements.iter().map(black_box).count(), 4);
            }
            Ok(Datagram::Trunk(frame)) => assert_eq!(frame.entries().map(black_box).count(), 8),
            Ok(Datagram::Mini(frame)) => assert_eq!(frame.payload.len(), 3),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
}
