//! Two streams of RTP joined with each other, and reports.

use oneport::Format;
use oneport_switch::sip::media::MediaEvent;
use oneport_switch::sip::rtp::{
    Block, Ntp, Packet, Reception, Report, SenderInfo, read_compound, write_report,
};
use oneport_switch::sip::sdp::{Capabilities, Srtp, SrtpUse};
use oneport_switch::sip::srtp::SrtpContext;

use crate::setting::*;

fn formats(formats: &[Format]) -> Capabilities {
    Capabilities { formats: formats.to_vec(), ..Capabilities::default() }
}

#[tokio::test]
async fn two_streams_hear_each_other_in_one_codec_and_in_two() {
    for (one_speaks, other_speaks, types, length) in
        [(Format::ULAW, Format::ULAW, (0, 0), 160), (Format::ULAW, Format::GSM, (0, 3), 33)]
    {
        let gateway = gateway(Format::ULAW, media(140, 20), || 0);
        let (one, other) =
            (gateway.plane.open().expect("free"), gateway.plane.open().expect("free"));
        let (ann, bob) = (Phone::new(), Phone::new());
        ann.agree(&one, &formats(&[one_speaks]));
        bob.agree(&other, &formats(&[other_speaks]));
        one.join(&other);
        settled(&gateway.driver).await;
        for n in 0..3_u16 {
            ann.sends(types.0, n, u32::from(n) * 160, &[0x80; 160]);
        }
        let (begin, _) = bob.heard();
        for n in 1..3 {
            let (header, payload) = bob.heard();
            assert_eq!((header.payload_type, payload.len()), (types.1, length));
            assert_eq!(header.sequence.wrapping_sub(begin.sequence), n);
            assert_eq!(header.timestamp.wrapping_sub(begin.timestamp), u32::from(n) * 160);
        }
        drop(one);
        settled(&gateway.driver).await;
        bob.sends(types.1, 0, 0, &[0; 33]);
        settled(&gateway.driver).await;
        assert_eq!(other.close().await.stats.received.frames, 1, "it is joined with nobody");
    }
}

#[tokio::test]
async fn reports_go_both_ways_and_feed_the_figures() {
    let mut scene = scene(Format::ULAW, &Capabilities::default()).await;
    for n in [0_u16, 1, 2, 4] {
        scene.phone.sends(0, n, u32::from(n) * 160, &[1; 160]);
    }
    for n in 0..4 {
        scene.says(Format::ULAW, n * 20, vec![2; 160]);
    }
    let (begin, _) = scene.phone.heard();
    let mut buffer = [0; 1_024];
    let length = scene.phone.rtcp.recv(&mut buffer).expect("a report in time");
    let compound = read_compound(&buffer[..length], 0x0102_0304).expect("a compound packet");
    assert_eq!(compound.source, begin.source);
    let about = compound.about_us.expect("it has heard us");
    assert_eq!((about.reception.highest, about.reception.lost), (4, 1));
    let sender = compound.sender.expect("it has sent");
    assert_eq!((sender.packets, sender.bytes), (4, 640));

    let mut report = Vec::new();
    let reception = Reception { fraction_lost: 64, lost: 1, highest: begin.sequence.into() };
    let heard = Block {
        source: begin.source,
        reception,
        jitter: 80,
        last_report: sender.ntp.middle(),
        delay: 0,
    };
    let info = SenderInfo { ntp: Ntp(1 << 40), timestamp: 5, packets: 4, bytes: 640 };
    let ours = Report {
        source: 0x0102_0304,
        sender: Some(info),
        heard: Some(heard),
        name: "x",
        leaves: true,
    };
    write_report(&ours, &mut report);
    let mut rtcp = scene.port.local();
    rtcp.set_port(rtcp.port() + 1);
    scene.phone.rtcp.send_to(&report, rtcp).expect("sent");
    event(&mut scene.port, |event| (event == MediaEvent::Left).then_some(())).await;
    let stats = scene.port.close().await.stats;
    let remote = stats.remote.expect("it says what it heard");
    assert_eq!((remote.lost, remote.lost_percent, remote.frames), (1, 25, 3));
    assert_eq!(remote.jitter.as_millis(), 10);
    assert!(stats.rtt.is_some());
    assert!(oneport::Score::there(&stats).is_some_and(|score| score.mos > 1.0));
}

#[tokio::test]
async fn an_encrypted_stream_takes_what_is_authentic_once_and_sends_nothing_in_the_clear() {
    let secure = Capabilities { srtp: SrtpUse::Required, ..Capabilities::default() };
    let mut scene = scene(Format::ULAW, &secure).await;
    let Some(Srtp::Described(keys)) = scene.agreed.srtp.clone() else { panic!("not encrypted") };
    let mut sends = SrtpContext::new(keys.suite, &keys.theirs);
    let mut hears = SrtpContext::new(keys.suite, &keys.ours);
    let send = |packet: &[u8]| {
        scene.phone.rtp.send_to(packet, scene.port.local()).expect("sent");
    };
    for n in 0..3_u16 {
        let plain = packet(0, n, u32::from(n) * 160, &[n as u8; 160]);
        let mut sealed = plain.clone();
        sends.protect(&mut sealed).expect("a packet");
        let mut forged = sealed.clone();
        forged[20] ^= 1;
        for one in [&plain, &forged, &sealed, &sealed] {
            send(one);
        }
    }
    for n in 0..3 {
        assert_eq!(scene.heard().await.1, [n; 160]);
    }
    // The same description again: the keys go on where they were.
    scene.port.negotiated(&scene.agreed);
    settled(&scene.gateway.driver).await;
    for n in 0..3_u8 {
        scene.says(Format::ULAW, u32::from(n) * 20, vec![n; 160]);
    }
    let mut buffer = [0; 1_024];
    for n in 0..3 {
        let length = scene.phone.rtp.recv(&mut buffer).expect("a packet in time");
        assert_eq!(length, 12 + 160 + 10);
        assert_ne!(buffer[12..172], [n; 160]);
        let length = hears.unprotect(&mut buffer[..length]).expect("authentic");
        assert_eq!(Packet::read(&buffer[..length]).map(|packet| packet.payload), Ok(&[n; 160][..]));
    }
    let length = scene.phone.rtcp.recv(&mut buffer).expect("a report in time");
    let length = hears.unprotect_report(&mut buffer[..length]).expect("authentic");
    let report = read_compound(&buffer[..length], 0x0102_0304).expect("a report");
    assert_eq!(report.about_us.map(|about| about.reception.highest), Some(2));
    let figures = scene.port.close().await;
    assert_eq!((figures.stats.received.frames, figures.malformed), (3, 6));
}
