//! Random stories keep every rule of the engine.

use oneport_testkit::sim::tell_many;

#[test]
fn ten_thousand_stories_end_in_silence_and_agreement() {
    if let Err(failure) = tell_many(0..10_000) {
        panic!("{failure}");
    }
}
