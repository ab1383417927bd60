//! Random stories keep every rule of the engine, and every message takes part in them.

use std::sync::LazyLock;

use oneport_testkit::sim::{Taken, tell_many};
use oneport_wire::{Control, IaxSubclass, frame_type};

static TAKEN: LazyLock<Result<Taken, String>> = LazyLock::new(|| tell_many(0..10_000));

fn taken() -> &'static Taken {
    TAKEN.as_ref().unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn ten_thousand_stories_end_in_silence_and_agreement() {
    assert!(taken().mini > 0);
}

#[test]
fn every_message_is_taken_in_by_some_of_the_stories() {
    let taken = taken();
    assert!(taken.video_mini > 0 && taken.trunk > 0);
    assert!(taken.keys > 0, "no story changes keys");
    let is_taken = |kind, subclass: u8| taken.full.contains_key(&(kind, subclass));
    // PAGE is reserved, and UNSUPPORT answers what none of us sends. New keys travel encrypted, and
    // are counted apart.
    let absent = [IaxSubclass::Page, IaxSubclass::Unsupport, IaxSubclass::RtKey];
    let iax = (1..=40).map(IaxSubclass::from_subclass).filter(|iax| !absent.contains(iax));
    let missing: Vec<_> = iax.filter(|iax| !is_taken(frame_type::IAX, iax.subclass())).collect();
    assert_eq!(missing, []);
    let controls = [
        Control::Ringing,
        Control::Answer,
        Control::Busy,
        Control::Congestion,
        Control::Proceeding,
        Control::Flash,
        Control::Hold,
        Control::Unhold,
        Control::RadioKey,
        Control::RadioUnkey,
    ];
    let is_missing = |control: &Control| !is_taken(frame_type::CONTROL, control.subclass());
    assert_eq!(controls.into_iter().filter(is_missing).collect::<Vec<_>>(), []);
    let types = (1..=12).filter(|kind| ![frame_type::NULL, frame_type::IAX].contains(kind));
    let missing: Vec<u8> =
        types.filter(|kind| !taken.full.keys().any(|(taken, _)| taken == kind)).collect();
    assert_eq!(missing, []);
}
