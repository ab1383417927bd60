//! A call of IAX2 and a stream of RTP.

use std::time::Duration;

use oneport::Format;
use oneport::media::dtmf::Key;
use oneport::media::telephone_event::{EventReceiver, TelephoneEvent};
use oneport_proto::DtmfPhase;
use oneport_switch::sip::media::MediaEvent;
use oneport_switch::sip::sdp::{self, Capabilities, Direction};
use oneport_wire::frame_type;

use crate::setting::*;

fn plain() -> Capabilities {
    Capabilities { comfort_noise: true, ..Capabilities::default() }
}

fn formats(formats: &[Format]) -> Capabilities {
    Capabilities { formats: formats.to_vec(), ..plain() }
}

#[tokio::test]
async fn voice_of_one_codec_passes_untouched_both_ways_with_exact_times_over_gaps() {
    let mut scene = scene(Format::ULAW, &plain()).await;
    // Frame 3 is lost, and 5 comes before 4.
    let order = [0_u16, 1, 2, 5, 4, 6, 7];
    for n in order {
        scene.phone.sends(
            0,
            65_533_u16.wrapping_add(n),
            4_000 + u32::from(n) * 160,
            &[n as u8; 160],
        );
    }
    let first = scene.heard().await;
    assert_eq!(first.1, [0; 160]);
    for n in &order[1..] {
        let (ms, payload) = scene.heard().await;
        assert_eq!((ms.wrapping_sub(first.0), payload), (u32::from(*n) * 20, vec![*n as u8; 160]));
    }
    for n in order {
        scene.says(Format::ULAW, 9_000 + u32::from(n) * 20, vec![100 + n as u8; 160]);
    }
    let (begin, _) = scene.phone.heard();
    assert!(begin.marker);
    for n in &order[1..] {
        let (header, payload) = scene.phone.heard();
        assert_eq!(payload, [100 + *n as u8; 160]);
        assert_eq!(header.timestamp.wrapping_sub(begin.timestamp), u32::from(*n) * 160);
        assert_eq!(header.sequence.wrapping_sub(begin.sequence), *n, "what is lost leaves a gap");
        assert_eq!((header.source, header.payload_type, header.marker), (begin.source, 0, false));
    }
    let figures = scene.port.close().await;
    assert_eq!((figures.stats.received.frames, figures.stats.received.lost), (7, 1));
    assert_eq!((figures.stats.sent_frames, figures.transcodes), (7, false));
    assert_eq!(figures.found, Some(scene.phone.address()));
}

#[tokio::test]
async fn another_codec_and_another_frame_are_made_on_the_way() {
    let wants = Capabilities { ptime: Some(Duration::from_millis(40)), ..formats(&[Format::ALAW]) };
    let mut scene = scene(Format::GSM, &wants).await;
    for n in 0..8_u16 {
        scene.phone.sends(8, n, u32::from(n) * 160, &[0xD5; 160]);
    }
    let (first, _) = scene.heard().await;
    for n in 1..8 {
        let (ms, payload) = scene.heard().await;
        assert_eq!((ms.wrapping_sub(first), payload.len()), (n * 20, 33));
    }
    let gsm = {
        let mut payload = Vec::new();
        oneport::media::Codec::Gsm.encode(&[500; 160], &mut payload);
        payload
    };
    for n in 0..9 {
        scene.says(Format::GSM, n * 20, gsm.clone());
    }
    let (begin, payload) = scene.phone.heard();
    assert_eq!((payload.len(), begin.payload_type), (320, 8));
    for n in 1..4_u16 {
        let (header, payload) = scene.phone.heard();
        assert_eq!(payload.len(), 320);
        assert_eq!(header.sequence.wrapping_sub(begin.sequence), n);
        assert_eq!(header.timestamp.wrapping_sub(begin.timestamp), u32::from(n) * 320);
    }
    assert!(scene.port.close().await.transcodes);
}

#[tokio::test]
async fn keys_go_both_ways_as_packets_and_as_frames() {
    let mut scene = scene(Format::ULAW, &plain()).await;
    // Half of the packets of a key are lost.
    for (n, duration, end) in
        [(0_u16, 160_u16, false), (2, 480, false), (4, 800, true), (5, 800, true)]
    {
        let event = TelephoneEvent { event: 5, end, volume: 10, duration };
        scene.phone.sends(101, n, 8_000, &event.encode());
    }
    let key = |news| match news {
        News::Key(digit, phase) => Some((digit, phase)),
        _ => None,
    };
    assert_eq!(next(&mut scene.at_handset, key).await, (b'5', DtmfPhase::Begin));
    assert_eq!(next(&mut scene.at_handset, key).await, (b'5', DtmfPhase::End));
    let told = event(&mut scene.port, |event| match event {
        MediaEvent::Key(key) => Some(key),
        _ => None,
    });
    assert_eq!(told.await, Key::Pressed(b'5'));

    let call = scene.call;
    scene.handset.post(move |endpoint, _, now| {
        for digit in *b"9#" {
            endpoint.dtmf_begin(now, call, digit).expect("up");
            endpoint.dtmf_end(now, call, digit).expect("up");
        }
    });
    let (mut receiver, mut keys, mut n) = (EventReceiver::new(8_000), Vec::new(), 0);
    while keys.len() < 4 {
        let (header, payload) = scene.phone.heard();
        assert_eq!(header.payload_type, 101);
        let event = TelephoneEvent::decode(&payload).expect("an event");
        n += 20;
        receiver.receive(Duration::from_millis(n), header.timestamp, event, |key| keys.push(key));
    }
    let digits: Vec<u8> = keys
        .iter()
        .filter_map(|key| match key {
            Key::Pressed(digit) => Some(*digit),
            Key::Released { ms, .. } => {
                assert!(*ms >= 80, "{keys:?}");
                None
            }
        })
        .collect();
    assert_eq!(digits, b"9#");
}

#[tokio::test]
async fn a_key_whose_last_packets_are_lost_comes_up_all_the_same() {
    let mut scene = scene(Format::ULAW, &plain()).await;
    let event = TelephoneEvent { event: 7, end: false, volume: 10, duration: 400 };
    scene.phone.sends(101, 1, 8_000, &event.encode());
    let up = |news| matches!(news, News::Key(b'7', DtmfPhase::End)).then_some(());
    next(&mut scene.at_handset, up).await;
}

#[tokio::test]
async fn pauses_that_one_side_tells_are_told_to_the_other() {
    let mut scene = scene(Format::ULAW, &plain()).await;
    scene.phone.sends(0, 1, 160, &[1; 160]);
    scene.phone.sends(13, 2, 320, &[40]);
    let level = next(&mut scene.at_handset, |news| match news {
        News::Pause(level) => Some(level),
        _ => None,
    });
    assert_eq!(level.await, 40);
    scene.says(Format::ULAW, 0, vec![1; 160]);
    let call = scene.call;
    scene.handset.post(move |endpoint, _, now| {
        endpoint.send_frame(now, call, frame_type::CNG, 55, &[]).expect("up");
    });
    let (voice, _) = scene.phone.heard();
    let (noise, payload) = scene.phone.heard();
    assert_eq!((noise.payload_type, payload), (13, vec![55]));
    scene.says(Format::ULAW, 600, vec![2; 160]);
    let (behind, _) = scene.phone.heard();
    assert!(behind.marker);
    assert_eq!(behind.sequence.wrapping_sub(voice.sequence), 2, "a pause is no loss");
    assert_eq!(behind.timestamp.wrapping_sub(voice.timestamp), 600 * 8);
}

#[tokio::test]
async fn a_stream_follows_a_telephone_behind_a_nat_and_no_stranger() {
    let mut scene = scene(Format::ULAW, &plain()).await;
    // What the description says is the inside of a NAT; the packets come from elsewhere.
    let mut inside = scene.agreed.clone();
    inside.remote = Some("192.0.2.77:4000".parse().expect("an address"));
    scene.port.negotiated(&inside);
    settled(&scene.gateway.driver).await;
    for n in 0..3_u16 {
        scene.phone.sends(0, n, u32::from(n) * 160, &[n as u8; 160]);
    }
    let latched = event(&mut scene.port, |event| match event {
        MediaEvent::Latched { at } => Some(at),
        _ => None,
    });
    assert_eq!(latched.await, scene.phone.address());
    assert_eq!(scene.heard().await.1, [1; 160], "the first packet proves nothing");
    let stranger = Phone::new();
    stranger.to.set(scene.port.local());
    for n in 3..10_u16 {
        stranger.sends(0, n, u32::from(n) * 160, &[0xEE; 160]);
    }
    scene.phone.sends(0, 3, 480, &[3; 160]);
    assert_eq!(scene.heard().await.1, [2; 160]);
    assert_eq!(scene.heard().await.1, [3; 160]);
    scene.says(Format::ULAW, 0, vec![9; 160]);
    assert_eq!(scene.phone.heard().1, [9; 160]);
    let figures = scene.port.close().await;
    assert_eq!((figures.strangers, figures.found), (7, Some(scene.phone.address())));
}

#[tokio::test]
async fn who_is_on_hold_hears_nothing_and_who_holds_is_not_heard() {
    let mut scene = scene(Format::ULAW, &plain()).await;
    scene.says(Format::ULAW, 0, vec![1; 160]);
    assert_eq!(scene.phone.heard().1, [1; 160]);
    let mut held = scene.agreed.clone();
    held.direction = Direction::Inactive;
    scene.port.negotiated(&held);
    settled(&scene.gateway.driver).await;
    scene.says(Format::ULAW, 20, vec![2; 160]);
    scene.phone.sends(0, 1, 0, &[3; 160]);
    while scene.gateway.driver.with(|_, gate, _| gate.packets).await.expect("running") < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    settled(&scene.gateway.driver).await;
    scene.port.negotiated(&scene.agreed);
    settled(&scene.gateway.driver).await;
    scene.says(Format::ULAW, 400, vec![4; 160]);
    assert_eq!(scene.phone.heard().1, [4; 160]);
    scene.phone.sends(0, 2, 160, &[5; 160]);
    assert_eq!(scene.heard().await.1, [5; 160]);
}

#[tokio::test]
async fn a_stream_on_which_nothing_comes_is_told() {
    let mut config = media(0, 100);
    config.timeout = Duration::from_millis(300);
    let mut scene = scene_of(Format::ULAW, &plain(), config, || 0).await;
    let silent = event(&mut scene.port, |event| match event {
        MediaEvent::TimedOut { silent_for } => Some(silent_for),
        _ => None,
    });
    assert_eq!(silent.await, Duration::from_millis(300));
}

#[tokio::test]
async fn voice_that_comes_before_any_description_is_heard_from_the_host_of_the_signalling_alone() {
    let mut scene = scene_before(&plain()).await;
    scene.port.expect_host(loopback().ip());
    scene.port.expect(&sdp::expected(&plain()).expect("not encrypted"));
    settled(&scene.gateway.driver).await;
    let stranger = std::net::UdpSocket::bind("127.0.0.9:0").expect("bound");
    for n in 0..3_u16 {
        stranger
            .send_to(&packet(0, n, u32::from(n) * 160, &[0xEE; 160]), scene.port.local())
            .expect("sent");
    }
    for n in 0..3_u16 {
        scene.phone.sends(0, n, u32::from(n) * 160, &[n as u8; 160]);
    }
    let early = event(&mut scene.port, |event| match event {
        MediaEvent::Early { format } => Some(format),
        _ => None,
    });
    assert_eq!(early.await, Format::ULAW);
    for n in 0..3_u8 {
        assert_eq!(scene.heard().await.1, [n; 160]);
    }
    // Once it is known where the other side is, it goes on, and both ways.
    scene.phone.agree(&scene.port, &plain());
    settled(&scene.gateway.driver).await;
    scene.phone.sends(0, 3, 480, &[3; 160]);
    assert_eq!(scene.heard().await.1, [3; 160]);
    scene.says(Format::ULAW, 0, vec![9; 160]);
    assert_eq!(scene.phone.heard().1, [9; 160]);
}
