//! What a linked call keeps of the call it is linked to, and forgets with the link.

use std::time::Duration;

use oneport_proto::{
    CallId, Challenge, CommandError, EncryptionPolicy, EndpointConfig, Event, NewCall, Secret,
    TransferKind,
};
use oneport_testkit::sim::Network;
use oneport_wire::{CauseCode, Format, frame_type};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A call with video from one node to another, answered.
fn call_up(network: &mut Network, from: usize, to: usize) -> (CallId, CallId) {
    let mut new = NewCall::to("1");
    new.formats.push(Format::H264);
    let (now, address) = (network.now(), network.nodes[to].address);
    let ours = network.nodes[from].endpoint.place_call(now, address, new).expect("free");
    network.run(ms(100));
    let events = network.events(to);
    let Some(Event::CallOffered { call: theirs, .. }) = events.last() else { panic!("{events:?}") };
    let now = network.now();
    let endpoint = &mut network.nodes[to].endpoint;
    endpoint.allow_video(*theirs, [Format::H264].into_iter().collect()).expect("offered");
    endpoint.accept(now, *theirs, Format::ULAW).expect("offered");
    endpoint.answer(now, *theirs).expect("accepted");
    network.run(ms(100));
    (ours, *theirs)
}

/// Sends ten frames of voice, or ten pictures of one packet; the times at which C gets them.
fn play(network: &mut Network, call: CallId, video: bool) -> Vec<u32> {
    for _ in 0..10 {
        let now = network.now();
        let endpoint = &mut network.nodes[A].endpoint;
        if video {
            endpoint.send_video(now, call, Format::H264, &[1; 9], true).expect("up");
        } else {
            endpoint.send_voice(now, call, Format::ULAW, &[1; 160], 20).expect("up");
        }
        network.run(ms(20));
    }
    network.run(ms(50));
    match video {
        true => network.seen(C).iter().map(|one| one.timestamp).collect(),
        false => network.heard(C).iter().map(|one| one.timestamp).collect(),
    }
}

#[test]
fn a_younger_call_linked_in_place_of_another_is_heard_and_seen_at_its_own_time() {
    for (video, hangs_up) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut network = Network::new(1, vec![EndpointConfig::default(); 3]);
        let (elder, elder_here) = call_up(&mut network, A, B);
        let (out, _) = call_up(&mut network, B, C);
        network.run(ms(1_000));
        // Its clock is a second and more behind.
        let (younger, younger_here) = call_up(&mut network, A, B);
        network.nodes[B].endpoint.link(elder_here, out).expect("up");
        let first = play(&mut network, elder, video);
        if hangs_up {
            let now = network.now();
            let cause = CauseCode::NORMAL_CLEARING;
            network.nodes[A].endpoint.hangup(now, elder, cause, None).expect("up");
            network.run(ms(50));
        }
        network.nodes[B].endpoint.link(younger_here, out).expect("up");
        let then = play(&mut network, younger, video);
        assert_eq!((first.len(), then.len()), (10, 10));
        let all = [first, then].concat();
        assert!(all.is_sorted_by(|one, next| one < next), "{video} {hangs_up}: {all:?}");
        let passed = all[10] - all[9];
        assert!((20..=150).contains(&passed), "the pause between them, {video}: {all:?}");
    }
}

#[test]
fn a_key_that_is_due_changes_right_behind_the_next_voice_that_is_relayed() {
    let key_rotation = Some(Duration::from_secs(5));
    let config = EndpointConfig { key_rotation, ..EndpointConfig::default() };
    let mut network = Network::new(1, vec![config; 3]);
    let mut new = NewCall::to("1");
    (new.username, new.secret) = (Some("site".into()), Some(Secret::from("right")));
    new.encryption = EncryptionPolicy::Required;
    let (now, to) = (network.now(), network.nodes[B].address);
    network.nodes[A].endpoint.place_call(now, to, new).expect("free");
    network.run(ms(100));
    let events = network.events(B);
    let [Event::CallOffered { call, .. }] = events[..] else { panic!("{events:?}") };
    let challenge = Challenge {
        encryption: EncryptionPolicy::Required,
        ..Challenge::md5("site", Secret::from("right"))
    };
    let now = network.now();
    network.nodes[B].endpoint.challenge_call(now, call, challenge).expect("offered");
    network.run(ms(100));
    let (out, far) = network.call_up(B, C, NewCall::to("2"));
    let now = network.now();
    network.nodes[B].endpoint.accept(now, call, Format::ULAW).expect("proved");
    network.nodes[B].endpoint.answer(now, call).expect("accepted");
    network.run(ms(100));
    network.nodes[B].endpoint.link(call, out).expect("both are accepted");
    let speak = |network: &mut Network| {
        let now = network.now();
        let endpoint = &mut network.nodes[C].endpoint;
        endpoint.send_voice(now, far, Format::ULAW, &[7; 160], 20).expect("up");
        network.run(ms(25));
        network.nodes[B].endpoint.counters().key_changes
    };
    assert_eq!(speak(&mut network), 0, "a full frame, and no key is due");
    // Due since 400 ms, and not overdue: that is after a second.
    network.run(ms(5_275));
    assert_eq!(network.nodes[B].endpoint.counters().key_changes, 0);
    assert_eq!(speak(&mut network), 1, "{}", network.transcript);
    network.run(ms(20));
    assert_eq!(network.heard(A).len(), 2);
}

#[test]
fn what_is_withheld_from_a_call_is_replaced_and_its_own_voice_goes_on() {
    let mut network = Network::new(1, vec![EndpointConfig::default(); 3]);
    let (from, here) = call_up(&mut network, A, B);
    let (out, there) = call_up(&mut network, B, C);
    network.nodes[B].endpoint.link(here, out).expect("up");
    assert_eq!(play(&mut network, from, false).len(), 10);
    network.nodes[B].endpoint.withhold(out, true).expect("up");
    assert_eq!(play(&mut network, from, false), []);
    let now = network.now();
    network.nodes[B].endpoint.send_voice(now, out, Format::ULAW, &[7; 160], 20).expect("up");
    network.nodes[C].endpoint.send_voice(now, there, Format::ULAW, &[9; 160], 20).expect("up");
    network.run(ms(50));
    let heard = [A, C].map(|node| network.heard(node));
    let payloads = heard.map(|frames| frames.iter().map(|one| one.payload[0]).collect::<Vec<u8>>());
    assert_eq!(payloads, [vec![9], vec![7]]);
    network.nodes[B].endpoint.withhold(out, false).expect("up");
    let again = play(&mut network, from, false);
    assert!(again.len() == 10 && again.is_sorted_by(|one, next| one < next), "{again:?}");
}

#[test]
fn what_is_translated_keeps_its_distances_and_what_was_lost_stays_missing() {
    let mut network = Network::new(1, vec![EndpointConfig::default(); 3]);
    let (caller, here) = call_up(&mut network, A, B);
    let (out, _) = call_up(&mut network, B, C);
    network.nodes[B].endpoint.link_translated(here, out).expect("up");
    for n in 0..30_u8 {
        let now = network.now();
        let endpoint = &mut network.nodes[A].endpoint;
        let lost = (10..22).contains(&n);
        let format = Format::ULAW;
        if !lost {
            endpoint.send_voice(now, caller, format, &[n, 1], 20).expect("up");
        }
        network.run(ms(20));
    }
    network.run(ms(50));
    let heard = network.heard(C);
    let words: Vec<_> = heard.iter().map(|one| (one.payload[0], one.payload[1])).collect();
    let expected = (0..30).filter(|n| !(10..22).contains(n)).map(|n| (1, n));
    assert_eq!(words, expected.collect::<Vec<_>>());
    let steps = heard.windows(2).map(|two| two[1].timestamp - two[0].timestamp);
    let steps: Vec<u32> = steps.filter(|step| *step != 20).collect();
    assert_eq!(steps, [260]);
}

#[test]
fn a_pause_is_translated_like_voice_and_is_no_loss() {
    let mut network = Network::new(1, vec![EndpointConfig::default(); 3]);
    let (caller, here) = call_up(&mut network, A, B);
    let (out, _) = call_up(&mut network, B, C);
    network.nodes[B].endpoint.link_translated(here, out).expect("up");
    play(&mut network, caller, false);
    let now = network.now();
    network.nodes[A].endpoint.send_frame(now, caller, frame_type::CNG, 50, &[]).expect("up");
    network.run(ms(600));
    let frames = |events: Vec<Event>| -> Vec<(u8, u8)> {
        let frame = |event| match event {
            Event::Frame { frame_type, subclass, .. } => Some((frame_type, subclass)),
            _ => None,
        };
        events.into_iter().filter_map(frame).collect()
    };
    assert_eq!(frames(network.events(C)), [(frame_type::CNG, 50)]);
    assert_eq!(frames(network.events(B)), [], "it is passed on, and no news");
    let times = play(&mut network, caller, false);
    assert_eq!(times.len(), 10);
    let heard = network.nodes[B].endpoint.call_stats(out).expect("up");
    assert_eq!(heard.sent_frames, 20);
    // Where no link is, it is an event as ever.
    network.nodes[B].endpoint.unlink(here);
    let now = network.now();
    network.nodes[A].endpoint.send_frame(now, caller, frame_type::CNG, 40, &[]).expect("up");
    network.run(ms(100));
    assert_eq!(frames(network.events(B)), [(frame_type::CNG, 40)]);
}

#[test]
fn calls_whose_voice_is_translated_cannot_be_left_to_themselves() {
    let mut network = Network::new(1, vec![EndpointConfig::default(); 3]);
    let (_, here) = call_up(&mut network, A, B);
    let (out, _) = call_up(&mut network, B, C);
    let now = network.now();
    let endpoint = &mut network.nodes[B].endpoint;
    endpoint.link_translated(here, out).expect("up");
    let transfer = endpoint.transfer(now, here, out, TransferKind::Full);
    assert_eq!(transfer, Err(CommandError::FormatsDiffer));
    endpoint.link(here, out).expect("they speak the same");
    endpoint.transfer(now, here, out, TransferKind::Full).expect("now they can");
}
