//! What a member of a conference costs: the table of docs/media.md.
//! `cargo bench -p oneport-testkit --bench mixer`.

use std::time::{Duration, Instant};

use oneport_media::mixer::{Input, MemberId, Mixer};
use oneport_media::{Codec, Encoder, Rate};
use oneport_testkit::audio::speech::{Voice, synthesize};

/// How many are in a conference.
const MEMBERS: [usize; 4] = [2, 10, 50, 200];
/// Turns of 20 ms of each run.
const TURNS: u32 = 250;
/// Of so many runs the fastest counts: the others were disturbed.
const RUNS: usize = 5;

struct Member {
    id: MemberId,
    input: Input,
    encoder: Box<dyn Encoder>,
    to_codec: Rate,
}

/// The time of a turn for each member, in µs.
fn cost(codec: Codec, rate: u32, members: usize) -> f64 {
    let speech = synthesize(1, Voice::Low, codec.sample_rate(), TURNS * 20);
    let mut encoder = codec.encoder();
    let payloads: Vec<Vec<u8>> = speech
        .chunks_exact(codec.samples_in(20))
        .map(|frame| {
            let mut payload = Vec::new();
            encoder.encode(frame, &mut payload);
            payload
        })
        .collect();
    let mut fastest = Duration::MAX;
    for _ in 0..RUNS {
        let mut mixer = Mixer::new(rate);
        let mut all: Vec<Member> = (0..members)
            .map(|_| Member {
                id: mixer.join(),
                input: Input::new(rate),
                encoder: codec.encoder(),
                to_codec: Rate::between(rate, codec.sample_rate()),
            })
            .collect();
        let (mut samples, mut mix, mut payload) = (Vec::new(), vec![0; mixer.frame()], Vec::new());
        let begun = Instant::now();
        for (turn, said) in (0..TURNS).zip(&payloads) {
            let now = Duration::from_millis(u64::from(turn) * 20);
            for member in &mut all {
                member.input.hear(now, codec.format(), turn * 20, said);
            }
            mixer.turn();
            for member in &mut all {
                samples.clear();
                member.input.pull(now + Duration::from_millis(10), &mut samples);
                mixer.say(member.id, &samples);
            }
            for member in &mut all {
                mixer.mix(member.id, &mut mix);
                samples.clear();
                member.to_codec.pass(&mix, &mut samples);
                payload.clear();
                member.encoder.encode(&samples, &mut payload);
                std::hint::black_box(&payload);
            }
        }
        fastest = fastest.min(begun.elapsed());
    }
    fastest.as_secs_f64() * 1e6 / f64::from(TURNS) / members as f64
}

/// The time of a turn in the filters between both rates alone, there and back, in µs.
fn filters(codec: Codec, rate: u32) -> f64 {
    let speech = synthesize(1, Voice::Low, codec.sample_rate(), TURNS * 20);
    let (mut mixed, mut back) = (Vec::new(), Vec::new());
    let mut fastest = Duration::MAX;
    for _ in 0..RUNS {
        let mut to_ours = Rate::between(codec.sample_rate(), rate);
        let mut to_codec = Rate::between(rate, codec.sample_rate());
        let begun = Instant::now();
        for frame in speech.chunks_exact(codec.samples_in(20)) {
            mixed.clear();
            back.clear();
            to_ours.pass(frame, &mut mixed);
            to_codec.pass(&mixed, &mut back);
            std::hint::black_box(&back);
        }
        fastest = fastest.min(begun.elapsed());
    }
    fastest.as_secs_f64() * 1e6 / f64::from(TURNS)
}

fn main() {
    println!("µs of a member in a turn of 20 ms, all of whom speak:\n");
    print!("| codec | mixed at |");
    for members in MEMBERS {
        print!(" {members} members |");
    }
    println!(" filters alone |\n| --- | --- |{}", " --- |".repeat(MEMBERS.len() + 1));
    for codec in [Codec::Ulaw, Codec::Slin16, Codec::G722, Codec::Gsm] {
        for rate in [8_000, 16_000, 48_000] {
            print!("| `{}` | {} kHz |", codec.format(), rate / 1000);
            for members in MEMBERS {
                print!(" {:.1} |", cost(codec, rate, members));
            }
            println!(" {:.1} |", filters(codec, rate));
        }
    }
}
