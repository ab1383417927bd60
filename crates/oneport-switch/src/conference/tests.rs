use oneport_media::Decoder;
use oneport_media::comfort_noise::level_of;
use oneport_media::tone::{Sine, level_dbm0};
use oneport_proto::{Endpoint, NewCall};

use super::*;

const TURN_US: u64 = 20_000;

/// A member that says a tone, and all that it hears.
struct Somebody {
    call: CallId,
    codec: Codec,
    encoder: Box<dyn Encoder>,
    decoder: Box<dyn Decoder>,
    frequency: f64,
    tone: Sine,
    speaks: bool,
    /// Time between two frames of it, by the clock of the room.
    every_us: u64,
    next_us: u64,
    frames: u32,
    heard: Vec<i16>,
}

/// A room with members, in a time that goes on when it is told to.
struct Meeting {
    rooms: Conferences,
    all: Vec<Somebody>,
    now_us: u64,
    talkers: Vec<(usize, bool)>,
}

impl Meeting {
    fn new(rate: u32, members: &[(Codec, f64)]) -> Self {
        let start = Instant::from_micros(0);
        let mut endpoint = Endpoint::new(Default::default(), [0; 32], start);
        let config = RoomConfig { announce: false, rate, ..RoomConfig::default() };
        let mut rooms = Conferences::default();
        let mut join = |(codec, frequency): &(Codec, f64)| {
            let to = std::net::SocketAddr::from(([192, 0, 2, 1], 4569));
            let call = endpoint.place_call(start, to, NewCall::to("1")).expect("placed");
            let who = format!("{frequency} Hz");
            rooms.join(start, "main", &config, call, *codec, who).expect("there is room");
            Somebody {
                call,
                codec: *codec,
                encoder: codec.encoder(),
                decoder: codec.decoder(),
                frequency: *frequency,
                tone: Sine::new(*frequency, codec.sample_rate(), 0.1),
                speaks: true,
                every_us: TURN_US,
                next_us: 0,
                frames: 0,
                heard: Vec::new(),
            }
        };
        let all = members.iter().map(&mut join).collect();
        Self { rooms, all, now_us: 0, talkers: Vec::new() }
    }

    /// So many ms go by. What is heard before is forgotten.
    fn run(&mut self, ms: u64) {
        let Self { rooms, all, now_us, talkers } = self;
        for one in &mut *all {
            one.heard.clear();
        }
        let end = *now_us + ms * 1_000;
        while *now_us < end {
            *now_us += TURN_US;
            for one in &mut *all {
                while one.next_us < *now_us {
                    let at = Instant::from_micros(one.next_us);
                    let timestamp = one.frames.wrapping_mul(20);
                    one.next_us += one.every_us;
                    one.frames += 1;
                    let frame = one.tone.by_ref().take(one.codec.samples_in(20));
                    let frame: Vec<i16> = frame.collect();
                    if one.speaks {
                        let mut payload = Vec::new();
                        one.encoder.encode(&frame, &mut payload);
                        assert!(rooms.hear(at, one.call, one.codec.format(), timestamp, &payload));
                    }
                }
            }
            rooms.turn(Instant::from_micros(*now_us), |call, format, payload| {
                let one = all.iter_mut().find(|one| one.call == call).expect("a member");
                assert_eq!(format, one.codec.format());
                one.decoder.decode(payload, &mut one.heard);
            });
            for talker in rooms.talkers() {
                let place = all.iter().position(|one| one.call == talker.call).expect("a member");
                assert_eq!(talker.who, format!("{} Hz", all[place].frequency));
                talkers.push((place, talker.talks));
            }
        }
    }

    /// How loud a member hears a tone, in dBm0.
    fn level(&self, who: usize, frequency: f64) -> f64 {
        level_dbm0(&self.all[who].heard, frequency, self.all[who].codec.sample_rate())
    }

    fn member(&self, who: usize) -> ConferenceMember {
        let call = self.all[who].call;
        let members = self.rooms.members("main");
        members.into_iter().find(|member| member.call == call).expect("a member")
    }
}

/// A tenth of full scale.
fn said() -> f64 {
    let tone: Vec<i16> = Sine::new(500.0, 8_000, 0.1).take(8_000).collect();
    level_dbm0(&tone, 500.0, 8_000)
}

#[test]
fn each_hears_all_others_and_not_itself_whatever_they_speak_and_at_each_rate() {
    let members = [
        (Codec::Ulaw, 500.0),
        (Codec::G722, 750.0),
        (Codec::Slin16, 1_000.0),
        (Codec::G726, 1_250.0),
        (Codec::Alaw, 1_500.0),
    ];
    for rate in [8_000, 16_000, 48_000] {
        let mut meeting = Meeting::new(rate, &members);
        meeting.run(1_000);
        meeting.run(2_000);
        for (me, (codec, own)) in members.iter().enumerate() {
            for (_, frequency) in members {
                let level = meeting.level(me, frequency);
                if frequency == *own {
                    let heard = format!("{codec:?} hears itself at {rate} Hz: {level}");
                    assert!(level < said() - 25.0, "{heard}");
                } else {
                    let heard = format!("{codec:?} hears {frequency} Hz at {rate} Hz: {level}");
                    assert!((level - said()).abs() < 1.0, "{heard}");
                }
            }
            let heard = meeting.member(me).heard;
            assert_eq!((heard.late, heard.concealed_ms), (0, 0), "{codec:?} at {rate} Hz");
            assert_eq!(heard.frames, 150);
        }
    }
}

#[test]
fn a_wide_voice_is_wide_in_a_room_that_is_and_narrow_where_it_is_not() {
    for rate in [8_000, 16_000, 48_000] {
        let mut meeting = Meeting::new(rate, &[(Codec::Slin16, 5_500.0), (Codec::Slin16, 700.0)]);
        meeting.run(1_000);
        meeting.run(1_000);
        let level = meeting.level(1, 5_500.0);
        match rate {
            8_000 => assert!(level < said() - 40.0, "{level}"),
            _ => assert!((level - said()).abs() < 0.5, "at {rate} Hz: {level}"),
        }
        // Nor is it heard as anything else.
        assert!(meeting.level(1, 2_500.0) < said() - 40.0, "at {rate} Hz");
    }
}

#[test]
fn a_gain_is_heard_by_the_others_to_the_decibel_and_a_muted_member_is_silence() {
    for rate in [8_000, 16_000, 48_000] {
        let mut meeting = Meeting::new(rate, &[(Codec::Slin, 500.0), (Codec::Slin16, 900.0)]);
        let ann = meeting.all[0].call;
        for db in [0.0, 12.0, 6.0, -6.0, -20.0] {
            assert!(meeting.rooms.set_gain(ann, db));
            meeting.run(500);
            meeting.run(1_000);
            let louder = meeting.level(1, 500.0) - said();
            assert!((louder - f64::from(db)).abs() < 0.2, "{db} dB at {rate} Hz: {louder}");
            assert_eq!(meeting.member(0).gain_db, db);
            // What it hears itself is as loud as before.
            assert!((meeting.level(0, 900.0) - said()).abs() < 0.2, "{db} dB at {rate} Hz");
        }
        assert_eq!(meeting.rooms.mute(ann, Some(true)), Some(true));
        meeting.run(100);
        meeting.run(1_000);
        assert!(meeting.all[1].heard.iter().all(|sample| *sample == 0), "at {rate} Hz");
        assert!((meeting.level(0, 900.0) - said()).abs() < 0.2, "who is muted hears on");
        assert_eq!(meeting.rooms.mute(ann, None), Some(false));
        meeting.run(100);
        meeting.run(1_000);
        assert!(meeting.level(1, 500.0) > said() - 21.0);
    }
}

#[test]
fn who_speaks_is_named_when_it_begins_and_ends_muted_or_not() {
    let mut meeting = Meeting::new(16_000, &[(Codec::Ulaw, 500.0), (Codec::G722, 900.0)]);
    meeting.all[0].speaks = false;
    meeting.all[1].speaks = false;
    meeting.run(1_000);
    assert_eq!(meeting.talkers, []);
    meeting.all[1].speaks = true;
    meeting.run(500);
    assert_eq!(meeting.talkers, [(1, true)]);
    assert_eq!([0, 1].map(|who| meeting.member(who).talks), [false, true]);
    meeting.rooms.mute(meeting.all[0].call, Some(true));
    meeting.all[0].speaks = true;
    meeting.all[1].speaks = false;
    meeting.run(2_000);
    assert_eq!(meeting.talkers, [(1, true), (0, true), (1, false)]);
    assert_eq!([0, 1].map(|who| meeting.member(who).talks), [true, false]);
}

#[test]
fn a_member_whose_clock_is_200_millionths_off_is_heard_without_a_gap() {
    for every_us in [TURN_US - 4, TURN_US + 4] {
        let mut meeting = Meeting::new(8_000, &[(Codec::Slin, 500.0), (Codec::Slin, 900.0)]);
        meeting.all[0].every_us = every_us;
        meeting.run(1_000);
        // Ten minutes, in which the clocks part by six frames.
        for second in 0..600 {
            meeting.run(1_000);
            for frame in meeting.all[1].heard.chunks(160) {
                let level = level_dbm0(frame, 500.0, 8_000);
                assert!((level - said()).abs() < 1.0, "{every_us}: second {second}: {level}");
            }
        }
        let heard = meeting.member(0).heard;
        assert_eq!((heard.late, heard.concealed_ms), (0, 0), "{every_us}");
    }
}

#[test]
fn who_tells_of_a_pause_is_heard_as_noise_until_it_speaks() {
    let mut meeting = Meeting::new(8_000, &[(Codec::Slin, 500.0), (Codec::Slin, 900.0)]);
    meeting.run(1_000);
    let ann = meeting.all[0].call;
    for level in [40, 55] {
        meeting.rooms.pause(ann, meeting.all[0].frames * 20, level);
        meeting.all[0].speaks = false;
        // What was said before is heard first.
        meeting.run(200);
        for _ in 0..5 {
            meeting.run(1_000);
            let heard = level_of(&meeting.all[1].heard);
            assert!(heard.abs_diff(level) <= 2, "{heard} for {level}");
        }
    }
    meeting.all[0].speaks = true;
    meeting.run(500);
    meeting.run(1_000);
    assert!((meeting.level(1, 500.0) - said()).abs() < 0.5);
    assert_eq!(meeting.member(0).heard.concealed_ms, 0, "a pause is nothing that is missing");
}
