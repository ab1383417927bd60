//! Inputs that the fuzzer has kept, run as plain tests.

use std::fs;
use std::path::Path;

use oneport_testkit::fuzz;

fn replay(target: &str, mut body: impl FnMut(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&directory).expect("a kept corpus").flatten();
    let inputs: Vec<Vec<u8>> =
        entries.map(|entry| fs::read(entry.path()).expect("readable")).collect();
    assert!(inputs.len() >= 20, "{} inputs for {target}", inputs.len());
    inputs.iter().for_each(|input| body(input));
}

#[test]
fn kept_datagrams_are_read_or_refused() {
    replay("datagram", fuzz::datagram);
}

#[test]
fn kept_captures_are_followed_to_their_ends() {
    replay("capture", fuzz::capture);
}

#[test]
fn spoiled_captures_are_followed_to_their_ends() {
    let mut random = fastrand::Rng::with_seed(5);
    replay("capture", |input| {
        for _ in 0..20 {
            let mut spoiled = input.to_vec();
            for _ in 0..random.usize(1..20) {
                let place = random.usize(0..spoiled.len());
                spoiled[place] = random.u8(..);
            }
            spoiled.truncate(random.usize(0..=spoiled.len()));
            fuzz::capture(&spoiled);
        }
    });
}

#[test]
fn kept_stories_of_one_endpoint_end_in_silence() {
    replay("endpoint", fuzz::endpoint);
}

#[test]
fn kept_stories_of_an_encrypted_call_end_in_silence() {
    replay("encrypted", fuzz::encrypted);
}

#[test]
fn kept_stories_of_a_meeting_end_in_silence() {
    replay("meeting", fuzz::meeting);
}

#[test]
fn kept_frames_of_any_kind_leave_a_jitter_buffer_that_works() {
    replay("jitter_buffer", fuzz::jitter_buffer);
}

#[test]
fn kept_payloads_are_heard_by_each_codec() {
    replay("codecs", fuzz::codecs);
}

#[test]
fn kept_sounds_and_packets_are_keys_that_come_up_once() {
    replay("keys", fuzz::keys);
}

#[test]
fn kept_frames_of_any_kind_leave_a_transcoder_that_works() {
    replay("transcoder", fuzz::transcoder);
}
