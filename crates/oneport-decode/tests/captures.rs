//! What is told of the captures in `testdata/`.

use std::ops::ControlFlow;
use std::path::Path;

use oneport_decode::{
    Datagrams, End, FaultKind, Kind, Outcome, Sealed, Story, Tracker, TrackerConfig, read,
};
use oneport_wire::{CauseCode, Format};

/// The stories of a capture of `testdata/`.
fn stories(file: &str, port: u16) -> Vec<Story> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(file);
    let file = std::fs::File::open(path).expect("a capture");
    let mut datagrams = Datagrams::new(vec![port]);
    let mut tracker = Tracker::new(TrackerConfig::default());
    let end = read(file, |packet| {
        datagrams.find(&packet, |datagram| {
            let seen = tracker.see(&datagram, &mut ());
            assert!(seen.frame.is_ok() && seen.exchange.is_some(), "{datagram:?}");
        });
        ControlFlow::Continue(())
    });
    assert_eq!(end.expect("whole"), End::Whole);
    let counts = datagrams.counts();
    assert_eq!(counts.packets, counts.datagrams);
    tracker.finish()
}

fn kinds(story: &Story) -> Vec<FaultKind> {
    story.faults.iter().map(|fault| fault.first.kind).collect()
}

#[test]
fn asterisk_registers_calls_and_is_refused() {
    let all = stories("asterisk-register-call-reject.pcap", 24_569);
    let [registration, call, refused] = &all[..] else { panic!("{all:#?}") };
    assert_eq!(
        (registration.kind, registration.outcome),
        (Kind::Registration, Outcome::Registered)
    );
    assert_eq!(registration.username.as_deref(), Some("phone"));
    assert_eq!((registration.proof, registration.token), (Some("md5"), true));
    assert_eq!((call.kind, call.outcome), (Kind::Call, Outcome::Completed));
    assert_eq!((call.called.as_deref(), call.format), (Some("echo"), Some(Format::ULAW)));
    assert_eq!((call.sealed, call.cause), (Sealed::Not, Some(CauseCode::NORMAL_CLEARING)));
    assert!(call.answered > call.accepted && call.ended > call.answered);
    assert_eq!(kinds(call), [], "nothing was wrong");
    assert_eq!(refused.outcome, Outcome::Rejected);
    assert_eq!(refused.cause, Some(CauseCode::NO_ROUTE));
    assert_eq!(kinds(refused), [FaultKind::NoSuchNumber]);
}

#[test]
fn iaxmodem_registers_answers_and_lets_go() {
    let all = stories("iaxmodem-register-call.pcap", 24_570);
    let kinds: Vec<(Kind, Outcome)> = all.iter().map(|one| (one.kind, one.outcome)).collect();
    assert_eq!(
        kinds,
        [
            (Kind::Registration, Outcome::Registered),
            (Kind::Call, Outcome::Completed),
            (Kind::Registration, Outcome::Registered)
        ]
    );
    let voice = all[1].sides[1].voice;
    assert_eq!((voice.lost, voice.out_of_order, voice.duplicates), (0, 0, 0), "{voice:?}");
    assert!(voice.frames > 90, "{voice:?}");
    assert!(all[1].sides.iter().all(|side| side.round_trips.count > 0), "{all:#?}");
}
