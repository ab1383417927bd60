//! What goes wrong is noticed, and told of with what matters: conversations made of frames, one fault each.

use std::net::SocketAddr;

use oneport_decode::{
    Fault, FaultKind, Hear, Kind, Outcome, Part, Sealed, Story, Time, Tracker, TrackerConfig,
    UdpDatagram,
};
use oneport_wire::{
    CallNumber, CauseCode, Control, Element, ElementBuffer, Format, FormatSet, FullHeader,
    IaxSubclass, Message, MiniFrame, MiniTimestamp, Seq, Timestamp, TrunkWriter,
};

/// Frames between a caller with the number 2 and a called side with the number 3.
struct Talk {
    tracker: Tracker,
    now: u64,
    packet: u64,
    /// Next OSeqno and ISeqno of both.
    seqs: [(u8, u8); 2],
    /// Timestamps of the last full frames of voice.
    spoken: [u32; 2],
    faults: Vec<Fault>,
    heard: Heard,
}

#[derive(Default)]
struct Heard(Vec<(u64, usize, u32)>);

impl Hear for Heard {
    fn hear(&mut self, part: &Part<'_>) {
        self.0.push((part.call, part.side, part.timestamp.0));
    }
}

const CALLER: usize = 0;
const CALLED: usize = 1;

fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(side + 1).expect("small")], 4569))
}

impl Talk {
    fn new() -> Self {
        Self {
            tracker: Tracker::new(TrackerConfig::default()),
            now: 1_000_000_000_000,
            packet: 0,
            seqs: [(0, 0); 2],
            spoken: [0; 2],
            faults: Vec::new(),
            heard: Heard::default(),
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now += millis * 1_000_000;
    }

    fn datagram(&mut self, side: usize, payload: &[u8]) {
        self.packet += 1;
        let datagram = UdpDatagram {
            number: self.packet,
            time: Time(self.now),
            source: address(side),
            destination: address(1 - side),
            payload,
            missing: 0,
        };
        for datagram in datagram.parts(self.tracker.stride(&datagram)) {
            let seen = self.tracker.see(&datagram, &mut self.heard);
            self.faults.extend_from_slice(seen.faults);
        }
        self.wait(10);
    }

    fn header(&self, side: usize, stamp: u32) -> FullHeader {
        let numbers = [2, 3].map(CallNumber::from_bits);
        let (oseq, iseq) = self.seqs[side];
        let first = side == CALLER && self.seqs[CALLED].0 == 0;
        FullHeader {
            source: numbers[side],
            destination: if first { CallNumber::NONE } else { numbers[1 - side] },
            retransmission: false,
            timestamp: Timestamp(stamp),
            oseq: Seq(oseq),
            iseq: Seq(iseq),
        }
    }

    fn write(&mut self, side: usize, stamp: u32, message: &Message<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.encode(&self.header(side, stamp), &mut bytes);
        if message.takes_sequence_number() {
            self.seqs[side].0 += 1;
            self.seqs[1 - side].1 += 1;
        }
        bytes
    }

    /// Where the clocks of both stand.
    fn stamp(&self) -> u32 {
        u32::try_from(self.now / 1_000_000 % 1_000_000).expect("small")
    }

    /// Says something in order.
    fn say(&mut self, side: usize, message: &Message<'_>) -> Vec<u8> {
        let stamp = self.stamp();
        if let Message::Voice { .. } = message {
            self.spoken[side] = stamp;
        }
        let bytes = self.write(side, stamp, message);
        self.datagram(side, &bytes);
        bytes
    }

    fn iax(&mut self, side: usize, subclass: IaxSubclass, elements: &[Element<'_>]) -> Vec<u8> {
        let mut buffer = ElementBuffer::new();
        for element in elements {
            buffer.push(element);
        }
        self.say(side, &Message::iax(subclass, buffer.as_elements()))
    }

    fn ack(&mut self, side: usize) {
        self.iax(side, IaxSubclass::Ack, &[]);
    }

    /// A call that is answered, with a full frame of voice of both.
    fn answered(&mut self) {
        let ulaw = FormatSet(Format::ULAW.mask());
        self.iax(
            CALLER,
            IaxSubclass::New,
            &[Element::Version(2), Element::CalledNumber("600".into()), Element::Capability(ulaw)],
        );
        self.iax(CALLED, IaxSubclass::Accept, &[Element::Format(ulaw)]);
        self.ack(CALLER);
        self.say(CALLED, &Message::control(Control::Answer));
        self.ack(CALLER);
        for side in [CALLED, CALLER] {
            self.say(side, &Message::voice(Format::ULAW, &[0xFF; 160]));
            self.ack(1 - side);
        }
    }

    fn hang_up(&mut self) {
        let cause = Element::CauseCode(CauseCode::NORMAL_CLEARING);
        self.iax(CALLER, IaxSubclass::Hangup, &[cause]);
        self.ack(CALLED);
    }

    /// Voice of both for so long.
    fn voice(&mut self, sides: &[usize], frames: u64) {
        for n in 1..=frames {
            for side in sides {
                let stamp = u64::from(self.spoken[*side]) + n * 20;
                let stamp = u16::try_from(stamp & 0xFFFF).expect("16 bits");
                let number = CallNumber::from_bits(2 + u16::try_from(*side).expect("small"));
                let header = MiniFrame::encode_header(number, MiniTimestamp(stamp));
                self.datagram(*side, &[&header[..], &[0xFF; 160]].concat());
                self.now -= 10_000_000;
            }
            self.wait(20);
        }
        for side in sides {
            self.spoken[*side] += u32::try_from(frames * 20).expect("small");
        }
    }

    fn finish(mut self) -> (Vec<Story>, Vec<Fault>) {
        self.wait(60_000);
        // Something else passes much later, so that nothing is recent.
        self.datagram(CALLER, &[0x80, 9, 0, 0, 0, 0, 0, 0, 0, 0, 6, 30]);
        let mut stories = self.tracker.finish();
        stories.pop();
        let mut faults = self.faults;
        faults.extend(self.tracker.take_late_faults());
        faults.retain(|fault| {
            stories.iter().any(|story| Some(story.number) == fault.exchange)
                || fault.exchange.is_none()
        });
        (stories, faults)
    }
}

#[track_caller]
fn only(faults: &[Fault], kind: FaultKind) -> String {
    let kinds: Vec<FaultKind> = faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [kind], "{faults:#?}");
    faults[0].detail.clone()
}

#[test]
fn a_good_call_has_no_fault_and_its_voice_is_counted_and_heard() {
    let mut talk = Talk::new();
    talk.answered();
    talk.voice(&[CALLER, CALLED], 500);
    talk.hang_up();
    let heard = std::mem::take(&mut talk.heard.0);
    assert_eq!(heard.len(), 1_002);
    let (stories, faults) = talk.finish();
    assert_eq!(faults, []);
    let [story] = &stories[..] else { panic!("{stories:#?}") };
    assert_eq!(
        (story.kind, story.outcome, story.sealed),
        (Kind::Call, Outcome::Completed, Sealed::Not)
    );
    assert_eq!(story.called.as_deref(), Some("600"));
    assert_eq!((story.ended_by, story.format), (Some(CALLER), Some(Format::ULAW)));
    for side in &story.sides {
        assert_eq!((side.voice.frames, side.voice.lost), (501, 0));
        assert_eq!(side.round_trips.mean().map(|mean| mean.as_millis()), Some(10));
    }
}

#[test]
fn datagrams_that_the_sender_s_card_parts_are_parted() {
    let mut talk = Talk::new();
    talk.answered();
    let begin = u64::from(talk.spoken[CALLER]) + 20;
    let stamp = |n: u64| MiniTimestamp(u16::try_from((begin + n * 20) & 0xFFFF).expect("16 bits"));
    let mini = |n: u64, bytes: usize| {
        let header = MiniFrame::encode_header(CallNumber::from_bits(2), stamp(n));
        [&header[..], &vec![0xFF; bytes]].concat()
    };
    // The last may be shorter.
    talk.datagram(CALLER, &[mini(0, 160), mini(1, 160), mini(2, 80)].concat());
    talk.wait(50);
    let trunk = |n: u64| {
        let mut writer = TrunkWriter::new(true, 1_000);
        assert!(writer.push(CallNumber::from_bits(2), stamp(n), &[0xFF; 160]));
        writer.finish(Timestamp(u32::try_from(n * 20).expect("small"))).to_vec()
    };
    talk.datagram(CALLER, &[trunk(3), trunk(4), trunk(5)].concat());
    talk.hang_up();
    let stamps: Vec<u32> =
        talk.heard.0.iter().filter(|one| one.1 == CALLER).map(|one| one.2).collect();
    let begin = u32::try_from(begin).expect("small");
    assert_eq!(stamps[1..], [0, 1, 2, 3, 4, 5].map(|n| begin + n * 20));
    let (stories, faults) = talk.finish();
    assert_eq!(faults, []);
    assert_eq!(stories[0].sides[CALLER].trunk_entries, 3);
}

#[test]
fn a_frame_sent_again_says_where_it_was_lost() {
    let mut talk = Talk::new();
    talk.answered();
    let again = |mut bytes: Vec<u8>| {
        bytes[2] |= 0x80;
        bytes
    };
    // It passed here and nobody answered; then its ACK passed here and did not arrive.
    let text = talk.say(CALLER, &Message::text(b"hello"));
    talk.wait(1_000);
    talk.datagram(CALLER, &again(text.clone()));
    talk.ack(CALLED);
    talk.wait(1_000);
    talk.datagram(CALLER, &again(text));
    // It never came here.
    let lost = talk.write(CALLED, talk.stamp(), &Message::text(b"lost"));
    talk.datagram(CALLED, &again(lost));
    talk.ack(CALLER);
    talk.hang_up();
    let (stories, faults) = talk.finish();
    let details: Vec<&str> = faults
        .iter()
        .filter(|fault| fault.kind == FaultKind::Repeated)
        .map(|fault| fault.detail.as_str())
        .collect();
    assert_eq!(details.len(), 3, "{faults:#?}");
    assert!(details[0].contains("it, or its answer, was lost behind"), "{}", details[0]);
    assert!(details[1].contains("acknowledges it"), "{}", details[1]);
    assert!(details[2].contains("lost before this place"), "{}", details[2]);
    assert_eq!(stories[0].sides.each_ref().map(|side| side.repeated), [2, 1]);
}

#[test]
fn the_same_packet_at_two_interfaces_is_no_repetition() {
    let mut talk = Talk::new();
    talk.answered();
    let text = talk.say(CALLER, &Message::text(b"hello"));
    talk.now -= 9_999_000;
    talk.datagram(CALLER, &text);
    talk.ack(CALLED);
    talk.hang_up();
    let (_, faults) = talk.finish();
    only(&faults, FaultKind::Copied);
}

#[test]
fn a_gap_in_the_numbers_tells_how_many_are_missing_and_one_that_comes_late_is_told_apart() {
    let mut talk = Talk::new();
    talk.answered();
    let missing = talk.write(CALLER, talk.stamp(), &Message::text(b"one"));
    talk.write(CALLER, talk.stamp(), &Message::text(b"two"));
    talk.say(CALLER, &Message::text(b"three"));
    talk.datagram(CALLER, &missing);
    talk.ack(CALLED);
    talk.hang_up();
    let (_, faults) = talk.finish();
    let kinds: Vec<FaultKind> = faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds[..2], [FaultKind::Gap, FaultKind::OutOfOrder], "{faults:#?}");
    assert!(faults[0].detail.contains("2 frames before TEXT three"), "{faults:#?}");
}

#[test]
fn a_request_that_nobody_answers_is_unanswered() {
    let mut talk = Talk::new();
    let new = talk.iax(CALLER, IaxSubclass::New, &[Element::CalledNumber("600".into())]);
    for _ in 0..3 {
        talk.wait(2_000);
        let mut again = new.clone();
        again[2] |= 0x80;
        talk.datagram(CALLER, &again);
    }
    let (stories, faults) = talk.finish();
    assert_eq!((stories.len(), stories[0].outcome), (1, Outcome::Unanswered));
    let last = faults.last().expect("one");
    assert_eq!(last.kind, FaultKind::Unanswered);
    assert!(last.detail.contains("4 frames to 192.0.2.2:4569"), "{}", last.detail);
}

#[test]
fn frames_that_nobody_acknowledges_are_named() {
    let mut talk = Talk::new();
    talk.answered();
    talk.say(CALLED, &Message::text(b"hello"));
    talk.say(CALLED, &Message::DtmfEnd(b'5'));
    let (stories, faults) = talk.finish();
    let detail = only(&faults, FaultKind::Unacknowledged);
    assert_eq!(detail, "TEXT , DTMF 5 from 192.0.2.2:4569");
    assert_eq!(stories[0].sides[CALLED].digits, "5");
    assert_eq!(stories[0].outcome, Outcome::Up);
}

#[test]
fn a_refusal_is_explained_by_its_cause_and_by_what_came_before() {
    let refused = |proof: bool, cause: CauseCode| {
        let mut talk = Talk::new();
        talk.iax(CALLER, IaxSubclass::New, &[]);
        if proof {
            talk.iax(CALLED, IaxSubclass::AuthReq, &[Element::Challenge(b"123456789")]);
            talk.iax(CALLER, IaxSubclass::AuthRep, &[Element::Md5Result("00".into())]);
        }
        talk.iax(CALLED, IaxSubclass::Reject, &[Element::CauseCode(cause)]);
        talk.ack(CALLER);
        let (stories, faults) = talk.finish();
        assert_eq!((stories[0].outcome, stories[0].cause), (Outcome::Rejected, Some(cause)));
        assert_eq!(faults.len(), 1, "{faults:#?}");
        faults[0].kind
    };
    assert_eq!(refused(true, CauseCode::FACILITY_NOT_SUBSCRIBED), FaultKind::ProofRefused);
    assert_eq!(refused(false, CauseCode::FACILITY_NOT_SUBSCRIBED), FaultKind::Rejected);
    assert_eq!(refused(false, CauseCode::NO_ROUTE), FaultKind::NoSuchNumber);
    assert_eq!(refused(false, CauseCode::BEARER_NOT_AVAILABLE), FaultKind::NoCodec);
    assert_eq!(refused(false, CauseCode::SWITCH_CONGESTION), FaultKind::Congested);
    assert_eq!(refused(false, CauseCode::USER_BUSY), FaultKind::Busy);
}

/// An answer of a side that keeps nothing: from the number 1.
fn stateless(talk: &mut Talk, subclass: IaxSubclass, elements: &[Element<'_>]) {
    let mut buffer = ElementBuffer::new();
    for element in elements {
        buffer.push(element);
    }
    let header = FullHeader {
        source: CallNumber::STATELESS,
        destination: CallNumber::from_bits(2),
        retransmission: false,
        timestamp: Timestamp(1),
        oseq: Seq(0),
        iseq: Seq(1),
    };
    let mut bytes = Vec::new();
    Message::iax(subclass, buffer.as_elements()).encode(&header, &mut bytes);
    talk.datagram(CALLED, &bytes);
}

#[test]
fn a_call_token_that_never_comes_or_is_not_taken_is_told_of() {
    let asked = |token: &'static [u8]| {
        let mut talk = Talk::new();
        talk.iax(CALLER, IaxSubclass::New, &[Element::CallToken(b"")]);
        stateless(&mut talk, IaxSubclass::CallToken, &[Element::CallToken(b"1?abc")]);
        if !token.is_empty() {
            talk.seqs = [(0, 0); 2];
            talk.iax(CALLER, IaxSubclass::New, &[Element::CallToken(token)]);
        }
        talk
    };
    let (_, faults) = asked(b"").finish();
    only(&faults, FaultKind::NoToken);
    let mut talk = asked(b"1?wrong");
    stateless(&mut talk, IaxSubclass::Reject, &[]);
    let (stories, faults) = talk.finish();
    only(&faults, FaultKind::TokenRefused);
    assert_eq!((stories.len(), stories[0].outcome), (1, Outcome::Rejected));
    // All is well with one that is taken.
    let mut talk = asked(b"1?abc");
    talk.iax(CALLED, IaxSubclass::Accept, &[]);
    talk.ack(CALLER);
    talk.hang_up();
    let (stories, faults) = talk.finish();
    assert_eq!(faults, []);
    assert!(stories[0].token);
}

#[test]
fn inval_vnak_and_unsupport_are_explained() {
    let mut talk = Talk::new();
    talk.answered();
    talk.iax(CALLED, IaxSubclass::Vnak, &[]);
    talk.iax(CALLED, IaxSubclass::Unsupport, &[Element::IaxUnknown(31)]);
    talk.ack(CALLER);
    talk.iax(CALLED, IaxSubclass::Inval, &[]);
    let (stories, faults) = talk.finish();
    let kinds: Vec<FaultKind> = faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::Vnak, FaultKind::Unsupported, FaultKind::Inval]);
    assert_eq!(faults[1].detail, "PAGE");
    assert_eq!(stories[0].outcome, Outcome::Invalid);
}

#[test]
fn a_frame_for_another_call_number_is_noticed() {
    let mut talk = Talk::new();
    talk.answered();
    let mut text = talk.write(CALLER, talk.stamp(), &Message::text(b"hello"));
    text[3] = 9;
    talk.datagram(CALLER, &text);
    talk.ack(CALLED);
    talk.hang_up();
    let (stories, faults) = talk.finish();
    assert!(only(&faults, FaultKind::WrongNumber).contains('9'));
    assert_eq!(stories.len(), 1);
}

#[test]
fn voice_of_one_side_alone_and_loss_are_heard() {
    let mut talk = Talk::new();
    let ulaw = FormatSet(Format::ULAW.mask());
    talk.iax(CALLER, IaxSubclass::New, &[Element::Capability(ulaw)]);
    talk.iax(CALLED, IaxSubclass::Accept, &[Element::Format(ulaw)]);
    talk.say(CALLED, &Message::control(Control::Answer));
    talk.ack(CALLER);
    talk.say(CALLER, &Message::voice(Format::ULAW, &[0xFF; 160]));
    talk.ack(CALLED);
    talk.voice(&[CALLER], 200);
    talk.spoken[CALLER] += 100;
    talk.wait(100);
    talk.voice(&[CALLER], 200);
    talk.hang_up();
    let (stories, faults) = talk.finish();
    let kinds: Vec<FaultKind> = faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::Loss, FaultKind::OneWay], "{faults:#?}");
    assert!(faults[1].detail.contains("nothing from 192.0.2.2"), "{}", faults[1].detail);
    assert!((4..=6).contains(&stories[0].sides[CALLER].voice.lost), "{stories:#?}");
}

#[test]
fn entries_of_a_trunk_belong_to_their_calls_and_others_are_told_of() {
    for timestamps in [true, false] {
        let mut talk = Talk::new();
        talk.answered();
        let begin = u64::from(talk.spoken[CALLER]) + 20;
        for n in 0..100_u64 {
            let mut writer = TrunkWriter::new(timestamps, 1_000);
            let stamp = u16::try_from((begin + n * 20) & 0xFFFF).expect("16 bits");
            assert!(writer.push(CallNumber::from_bits(2), MiniTimestamp(stamp), &[0xFF; 160]));
            if n == 50 {
                assert!(writer.push(CallNumber::from_bits(77), MiniTimestamp(1), &[0xFF; 160]));
            }
            let mut bytes =
                writer.finish(Timestamp(u32::try_from(n * 20).expect("small"))).to_vec();
            if n == 60 {
                // An entry that says more than there is.
                bytes.extend([0, 200, 0, 200, 0, 1, 2]);
            }
            talk.datagram(CALLER, &bytes);
            talk.wait(10);
        }
        talk.hang_up();
        let heard = talk.heard.0.iter().filter(|(call, side, _)| (*call, *side) == (1, CALLER));
        assert_eq!(heard.count(), 101);
        let (stories, faults) = talk.finish();
        let caller = &stories[0].sides[CALLER];
        assert_eq!((caller.trunk_entries, caller.voice.frames), (100, 101), "{timestamps}");
        assert_eq!(caller.voice.lost, 0, "{timestamps}: {:?}", caller.voice);
        let kinds: Vec<FaultKind> = faults.iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds, [FaultKind::UnknownTrunkEntry, FaultKind::TrunkRemainder], "{faults:#?}");
        assert!(faults[0].detail.contains("call 77 of 192.0.2.1"), "{}", faults[0].detail);
    }
}

#[test]
fn a_password_in_the_clear_and_a_codec_that_was_not_offered_are_told_of() {
    let mut talk = Talk::new();
    talk.iax(CALLER, IaxSubclass::New, &[Element::Capability(FormatSet(Format::ULAW.mask()))]);
    talk.iax(CALLED, IaxSubclass::AuthReq, &[]);
    talk.iax(CALLER, IaxSubclass::AuthRep, &[Element::Password("hunter2".into())]);
    talk.iax(CALLED, IaxSubclass::Accept, &[Element::Format(FormatSet(Format::GSM.mask()))]);
    talk.ack(CALLER);
    talk.hang_up();
    let (_, faults) = talk.finish();
    let kinds: Vec<FaultKind> = faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::PasswordInClear, FaultKind::FormatNotOffered]);
    assert!(!format!("{faults:?}").contains("hunter2"));
    assert_eq!(faults[1].detail, "gsm of ulaw");
}

#[test]
fn a_number_that_is_used_again_is_another_call() {
    let mut talk = Talk::new();
    talk.answered();
    talk.hang_up();
    talk.wait(3_000);
    talk.seqs = [(0, 0); 2];
    talk.answered();
    talk.hang_up();
    // The called side calls back, and the caller answers under its old number.
    let (stories, faults) = talk.finish();
    assert_eq!(faults, []);
    assert_eq!(stories.iter().map(|story| story.number).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn calls_that_are_over_are_told_of_and_forgotten_and_a_flood_is_bounded() {
    let config = TrackerConfig { most_exchanges: 100, ..TrackerConfig::default() };
    let mut talk = Talk::new();
    talk.answered();
    talk.hang_up();
    talk.wait(20_000);
    talk.datagram(CALLER, &[0x80, 9, 0, 0, 0, 0, 0, 0, 0, 0, 6, 30]);
    let story = talk.tracker.poll_finished().expect("the first is over");
    assert_eq!(story.number, 1);
    let mut tracker = Tracker::new(config);
    let mut told = 0;
    for n in 0..10_000_u16 {
        let [high, low] = (n + 2).to_be_bytes();
        let poke = [0x80 | high, low, 0, 0, 0, 0, 0, 0, 0, 0, 6, 30];
        let datagram = UdpDatagram {
            number: n.into(),
            time: Time(u64::from(n)),
            source: address(0),
            destination: address(1),
            payload: &poke,
            missing: 0,
        };
        tracker.see(&datagram, &mut ());
        while tracker.poll_finished().is_some() {
            told += 1;
        }
    }
    assert!(told >= 9_900, "{told}");
    assert!(tracker.finish().len() <= 100);
}
