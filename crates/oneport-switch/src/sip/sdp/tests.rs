use proptest::prelude::*;

use super::*;

fn local(address: &str) -> Local {
    Local::new(address.parse().expect("an address"), 77)
}

fn here() -> Local {
    local("203.0.113.1:10000")
}

fn there() -> Local {
    local("198.51.100.2:20000")
}

/// What the descriptions have agreed upon.
fn described(srtp: Option<Srtp>) -> DescribedKeys {
    match srtp {
        Some(Srtp::Described(keys)) => keys,
        other => panic!("{other:?}"),
    }
}

/// Which handshake the descriptions have agreed upon.
fn handshake(srtp: Option<Srtp>) -> Handshake {
    match srtp {
        Some(Srtp::Handshake(handshake)) => handshake,
        other => panic!("{other:?}"),
    }
}

fn key(byte: u8) -> Option<MasterKey> {
    Some(MasterKey::from([byte; KEY_BYTES]))
}

/// An offer with these lines behind the usual ones.
fn offer_of(lines: &[&str]) -> String {
    let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n";
    lines.iter().fold(head.to_string(), |text, line| text + line + "\r\n")
}

fn answered(lines: &[&str], capabilities: &Capabilities) -> Result<(String, Negotiated), SdpError> {
    answer(&offer_of(lines), capabilities, &here())
}

fn formats(formats: &[Format]) -> Capabilities {
    Capabilities { formats: formats.to_vec(), ..Capabilities::default() }
}

#[test]
fn an_offer_says_all_that_we_can_in_our_order() {
    let capabilities = Capabilities {
        comfort_noise: true,
        rtcp_mux: true,
        ptime: Some(Duration::from_millis(20)),
        ..formats(&[Format::G722, Format::OPUS, Format::ULAW, Format::G729, Format::SLIN16])
    };
    insta::assert_snapshot!(offer(&capabilities, &here()), @r"
    v=0
    o=- 77 1 IN IP4 203.0.113.1
    s=-
    c=IN IP4 203.0.113.1
    t=0 0
    m=audio 10000 RTP/AVP 9 107 0 18 13 101 103
    a=rtpmap:9 G722/8000
    a=rtpmap:107 opus/48000/2
    a=fmtp:107 useinbandfec=1
    a=rtpmap:0 PCMU/8000
    a=rtpmap:18 G729/8000
    a=fmtp:18 annexb=no
    a=rtpmap:13 CN/8000
    a=rtpmap:101 telephone-event/8000
    a=fmtp:101 0-16
    a=rtpmap:103 telephone-event/48000
    a=fmtp:103 0-16
    a=ptime:20
    a=rtcp-mux
    a=sendrecv
    ");
}

#[test]
fn an_answer_has_one_codec_and_keeps_the_numbers_and_lines_of_the_offer() {
    let lines = [
        "m=video 5000 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        "m=audio 4000 RTP/AVP 8 98 0 100",
        "a=rtpmap:98 speex/8000",
        "a=rtpmap:100 telephone-event/8000",
        "a=ptime:30",
        "a=maxptime:40",
        "m=audio 4010 RTP/AVP 0",
        "m=application 0 TCP/BFCP *",
    ];
    let (text, agreed) = answered(&lines, &Capabilities::default()).expect("answered");
    insta::assert_snapshot!(text, @r"
    v=0
    o=- 77 1 IN IP4 203.0.113.1
    s=-
    c=IN IP4 203.0.113.1
    t=0 0
    m=video 0 RTP/AVP 96
    m=audio 10000 RTP/AVP 8 100
    a=rtpmap:8 PCMA/8000
    a=rtpmap:100 telephone-event/8000
    a=fmtp:100 0-16
    a=sendrecv
    m=audio 0 RTP/AVP 0
    m=application 0 TCP/BFCP *
    ");
    let address = |text: &str| Some(text.parse().expect("an address"));
    assert_eq!(
        (agreed.remote, agreed.remote_rtcp),
        (address("192.0.2.9:4000"), address("192.0.2.9:4001"))
    );
    assert_eq!((agreed.format, agreed.sends.payload_type), (Format::ALAW, 8));
    assert_eq!(agreed.sends_events, Some(Payload { payload_type: 100, clock_rate: 8_000 }));
    assert_eq!(agreed.frame(), Some(Duration::from_millis(30)));
    assert_eq!((agreed.direction, agreed.their_version), (Direction::SendRecv, ("1".into(), 1)));
}

#[test]
fn the_order_of_codecs_is_theirs_or_ours() {
    let lines = ["m=audio 4000 RTP/AVP 3 8 0"];
    let mut capabilities = formats(&[Format::ULAW, Format::ALAW]);
    for (order, format) in [(Order::Theirs, Format::ALAW), (Order::Ours, Format::ULAW)] {
        capabilities.order = order;
        assert_eq!(answered(&lines, &capabilities).map(|(_, agreed)| agreed.format), Ok(format));
    }
    let (text, _) = answered(&lines, &formats(&[Format::GSM])).expect("answered");
    assert!(text.contains("m=audio 10000 RTP/AVP 3\r\n"), "{text}");
    let error = answered(&lines, &formats(&[Format::G729])).map(|(_, agreed)| agreed.format);
    assert_eq!(error, Err(SdpError::NoCommonCodec));
}

#[test]
fn hold_in_each_of_its_spellings_is_answered_by_its_opposite() {
    for (lines, direction) in [
        (&["m=audio 4000 RTP/AVP 0", "a=sendonly"][..], Direction::RecvOnly),
        (&["m=audio 4000 RTP/AVP 0", "a=recvonly"], Direction::SendOnly),
        (&["m=audio 4000 RTP/AVP 0", "a=inactive"], Direction::Inactive),
        (&["a=sendonly", "m=audio 4000 RTP/AVP 0"], Direction::RecvOnly),
        (&["a=inactive", "m=audio 4000 RTP/AVP 0", "a=sendrecv"], Direction::SendRecv),
        (&["m=audio 4000 RTP/AVP 0", "c=IN IP4 0.0.0.0"], Direction::RecvOnly),
        (&["m=audio 4000 RTP/AVP 0", "c=IN IP4 0.0.0.0", "a=inactive"], Direction::Inactive),
    ] {
        let (text, agreed) = answered(lines, &Capabilities::default()).expect("answered");
        assert_eq!(agreed.direction, direction, "{lines:?}");
        assert_eq!(agreed.is_held(), !direction.sends());
        assert!(text.contains(&format!("a={}\r\n", direction.name())), "{text}");
        let nowhere = lines.iter().any(|line| line.contains("0.0.0.0"));
        assert_eq!(agreed.remote.is_none(), nowhere);
    }
    let holding = Capabilities { direction: Direction::SendOnly, ..Capabilities::default() };
    let (_, agreed) = answered(&["m=audio 4000 RTP/AVP 0"], &holding).expect("answered");
    assert_eq!(agreed.direction, Direction::SendOnly);
}

#[test]
fn media_goes_where_the_line_says_over_ipv4_and_ipv6_and_rtcp_where_it_is_named() {
    for (lines, rtp, rtcp) in [
        (&["m=audio 4000 RTP/AVP 0"][..], "192.0.2.9:4000", "192.0.2.9:4001"),
        (&["m=audio 4000/2 RTP/AVP 0", "c=IN IP4 192.0.2.7"], "192.0.2.7:4000", "192.0.2.7:4001"),
        (
            &["m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::7"],
            "[2001:db8::7]:4000",
            "[2001:db8::7]:4001",
        ),
        (&["m=audio 4000 RTP/AVP 0", "a=rtcp:53020"], "192.0.2.9:4000", "192.0.2.9:53020"),
        (
            &["m=audio 4000 RTP/AVP 0", "a=rtcp:53020 IN IP4 192.0.2.8"],
            "192.0.2.9:4000",
            "192.0.2.8:53020",
        ),
        (&["m=audio 4000 RTP/AVP 0", "a=rtcp:0"], "192.0.2.9:4000", "192.0.2.9:4001"),
        (&["m=audio 4000 RTP/AVP 0", "a=rtcp-mux"], "192.0.2.9:4000", "192.0.2.9:4000"),
    ] {
        let mux = Capabilities { rtcp_mux: true, ..Capabilities::default() };
        let (_, agreed) = answered(lines, &mux).expect("answered");
        let address = |text: &str| Some(text.parse().expect("an address"));
        assert_eq!((agreed.remote, agreed.remote_rtcp), (address(rtp), address(rtcp)), "{lines:?}");
    }
    let (_, agreed) = answered(&["m=audio 4000 RTP/AVP 0", "a=rtcp-mux"], &Capabilities::default())
        .expect("answered");
    assert!(!agreed.rtcp_mux, "we do not want it");
}

#[test]
fn payload_types_mean_what_the_offer_says() {
    for (lines, format) in [
        (&["m=audio 4000 RTP/AVP 96", "a=rtpmap:96 pcma/8000"][..], Some(Format::ALAW)),
        // The number of PCMU, named otherwise.
        (&["m=audio 4000 RTP/AVP 0", "a=rtpmap:0 PCMA/8000"], Some(Format::ALAW)),
        (&["m=audio 4000 RTP/AVP 2"], Some(Format::G726)),
        (&["m=audio 4000 RTP/AVP 9", "a=rtpmap:9 G722/16000"], None),
        (&["m=audio 4000 RTP/AVP 96", "a=rtpmap:96 opus/48000/2"], Some(Format::OPUS)),
        (&["m=audio 4000 RTP/AVP 96", "a=rtpmap:96 opus/48000"], None),
        (&["m=audio 4000 RTP/AVP 96", "a=rtpmap:96 PCMU/8000/2"], None),
        (&["m=audio 4000 RTP/AVP 97", "a=rtpmap:97 iLBC/8000"], Some(Format::ILBC)),
        (
            &["m=audio 4000 RTP/AVP 97", "a=rtpmap:97 iLBC/8000", "a=fmtp:97 mode=20"],
            Some(Format::ILBC),
        ),
        (&["m=audio 4000 RTP/AVP 96", "a=rtpmap:96 speex/16000"], Some(Format::SPEEX16)),
        (&["m=audio 4000 RTP/AVP 96"], None),
    ] {
        let all = formats(&[
            Format::ULAW,
            Format::ALAW,
            Format::G726,
            Format::G722,
            Format::OPUS,
            Format::ILBC,
            Format::SPEEX,
            Format::SPEEX16,
        ]);
        let found = answered(lines, &all).map(|(_, agreed)| agreed.format);
        assert_eq!(found, format.ok_or(SdpError::NoCommonCodec), "{lines:?}");
    }
}

fn speaking_ilbc(ilbc: Mode) -> Capabilities {
    Capabilities { ilbc, ..formats(&[Format::ILBC]) }
}

#[test]
fn ilbc_has_frames_of_20_ms_where_both_say_so_and_else_of_30() {
    for (said, theirs) in [
        (Some("mode=20"), Mode::Ms20),
        (Some("MODE = 20 ; x=1"), Mode::Ms20),
        (Some("x=1;mode=20"), Mode::Ms20),
        (Some("mode=30"), Mode::Ms30),
        (Some("mode=0"), Mode::Ms30),
        (Some("mode"), Mode::Ms30),
        (Some("amode=20"), Mode::Ms30),
        (None, Mode::Ms30),
    ] {
        let mode = said.map(|said| format!("a=fmtp:98 {said}"));
        let lines = ["m=audio 4000 RTP/AVP 98", "a=rtpmap:98 ilbc/8000"];
        let lines: Vec<&str> = lines.into_iter().chain(mode.as_deref()).collect();
        for ours in [Mode::Ms20, Mode::Ms30] {
            let (text, agreed) = answered(&lines, &speaking_ilbc(ours)).expect("answered");
            let expected = if ours == theirs { ours } else { Mode::Ms30 };
            assert_eq!(agreed.ilbc, expected, "{said:?} and {ours:?}");
            let answer =
                if expected == Mode::Ms20 { "a=fmtp:98 mode=20" } else { "a=fmtp:98 mode=30" };
            assert!(text.contains(answer), "{text}");
            // The other way round: ours is the offer, and theirs the answer.
            let offered = offer(&speaking_ilbc(ours), &here());
            let mode = if ours == Mode::Ms20 { "a=fmtp:97 mode=20" } else { "a=fmtp:97 mode=30" };
            assert!(offered.contains(mode), "{offered}");
            let agreed = accept(&offer_of(&lines), &speaking_ilbc(ours), &here(), None);
            assert_eq!(agreed.expect("accepted").ilbc, expected, "{ours:?} and {said:?}");
        }
    }
}

#[test]
fn what_was_agreed_of_ilbc_is_said_again_and_may_change() {
    let ours = speaking_ilbc(Mode::Ms20);
    let lines = ["m=audio 4000 RTP/AVP 97", "a=rtpmap:97 iLBC/8000", "a=fmtp:97 mode=20"];
    let lower = [lines[0], lines[1], "a=fmtp:97 mode=30"];
    let agreed = accept(&offer_of(&lower), &ours, &here(), None).expect("accepted");
    assert_eq!(agreed.ilbc, Mode::Ms30);
    let again = offer_again(&ours, &here(), &agreed);
    assert!(again.contains("a=fmtp:97 mode=30"), "{again}");
    // Whoever says 20 to that has said 30 before, and 30 it stays.
    let kept = accept(&offer_of(&lines), &ours, &here(), Some(&agreed)).expect("accepted");
    assert_eq!(kept.ilbc, Mode::Ms30);
    // A new offer of theirs begins anew.
    assert_eq!(answered(&lines, &ours).expect("answered").1.ilbc, Mode::Ms20);
    // Where another codec is spoken, what we say of iLBC stays.
    let both = Capabilities { ilbc: Mode::Ms20, ..formats(&[Format::ULAW, Format::ILBC]) };
    let agreed = accept(&offer_of(&["m=audio 4000 RTP/AVP 0"]), &both, &here(), None);
    let again = offer_again(&both, &here(), &agreed.expect("accepted"));
    assert!(again.contains("a=fmtp:97 mode=20"), "{again}");
}

#[test]
fn descriptions_that_cannot_be_used_say_why() {
    let plain = Capabilities::default();
    for (text, error) in [
        (String::new(), SdpError::Malformed),
        ("v=1\r\n".into(), SdpError::Malformed),
        ("INVITE sip:x SIP/2.0\r\n".into(), SdpError::Malformed),
        (offer_of(&[]), SdpError::NoVoice),
        (offer_of(&["m=audio"]), SdpError::Malformed),
        (offer_of(&["m=audio 99999 RTP/AVP 0"]), SdpError::Malformed),
        (offer_of(&["m=audio 0 RTP/AVP 0"]), SdpError::NoVoice),
        (offer_of(&["m=image 4000 udptl t38"]), SdpError::NoVoice),
        (offer_of(&["m=audio 4000 TCP/TLS/RTP/SAVP 0"]), SdpError::NoVoice),
        (offer_of(&["m=audio 4000 UDP/TLS/RTP/SAVP 0"]), SdpError::EncryptionNotSpoken),
        (offer_of(&["m=audio 4000 RTP/AVP x"]), SdpError::NoCommonCodec),
        (offer_of(&["m=audio 4000 RTP/AVP 0", "c=IN IP4 example.org"]), SdpError::NoAddress),
        (offer_of(&["m=audio 4000 RTP/AVP 0", "c=IN IP4 224.2.1.1/127"]), SdpError::NoAddress),
        (offer_of(&["m=audio 4000 RTP/AVP 0", "c=IN IP4 255.255.255.255"]), SdpError::NoAddress),
        ("v=0\r\ns=-\r\nm=audio 4000 RTP/AVP 0\r\n".into(), SdpError::NoAddress),
        (offer_of(&["m=audio 4000 RTP/SAVP 0"]), SdpError::EncryptionNotSpoken),
        (offer_of(&["m=audio 1 RTP/AVP 0"; 17]), SdpError::TooManyMedia),
        (offer_of(&[&"a".repeat(LONGEST)]), SdpError::TooLong(LONGEST + offer_of(&[""]).len())),
    ] {
        assert_eq!(answer(&text, &plain, &here()).map(|(text, _)| text), Err(error), "{text}");
    }
}

#[test]
fn what_an_offer_says_twice_or_wrongly_is_left_out() {
    // From RFC 4475 §3.1.1.1 and what phones write: odd line ends, no session name, spaces.
    let text = "v=0\no=mhandley 29739 7272939 IN IP4 192.0.2.3\nc=IN IP4 192.0.2.4\n\
                m=audio 49217 RTP/AVP 0 12 0 101 101 300 abc\na=rtpmap:31 LPC\n\
                a=rtpmap:101 telephone-event/8000\na=rtpmap:12\na=ptime:0\na=maxptime:x\n\
                a=rtcp:notaport\na=crypto:\n";
    let (_, agreed) = answer(text, &Capabilities::default(), &here()).expect("answered");
    assert_eq!(agreed.receives.len() + agreed.receives_events.len(), 2);
    assert_eq!((agreed.ptime, agreed.max_ptime), (None, None));
    assert_eq!(agreed.remote_rtcp, Some("192.0.2.4:49218".parse().expect("an address")));
}

#[test]
fn keys_of_srtp_are_offered_answered_and_accepted() {
    let secure = Capabilities { srtp: SrtpUse::Required, ..Capabilities::default() };
    let ours = Local { key: key(1), ..here() };
    let theirs = Local { key: key(2), ..there() };
    let text = offer(&secure, &ours);
    assert!(text.contains("RTP/SAVP"), "{text}");
    assert!(text.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"), "{text}");
    let (answer_text, at_theirs) = answer(&text, &secure, &theirs).expect("answered");
    let at_ours = accept(&answer_text, &secure, &ours, None).expect("accepted");
    let (theirs, ours) = (described(at_theirs.srtp), described(at_ours.srtp));
    assert_eq!((&ours.ours, &ours.theirs), (&theirs.theirs, &theirs.ours));
    assert_eq!(ours.theirs, MasterKey::from([2; KEY_BYTES]));
    assert!(!format!("{ours:?}").contains("[1"), "keys are not printed");

    let plain = offer(&Capabilities::default(), &here());
    let refused = answer(&plain, &secure, &Local { key: key(2), ..there() });
    assert_eq!(refused.map(|(text, _)| text), Err(SdpError::EncryptionRequired));
}

#[test]
fn of_two_lines_the_encrypted_one_is_taken_and_keys_that_are_not_spoken_are_left_out() {
    let inline = "inline:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk";
    let good = format!("a=crypto:4 AES_CM_128_HMAC_SHA1_32 {inline}|2^20");
    let accepted = Capabilities { srtp: SrtpUse::Accepted, ..Capabilities::default() };
    let ours = Local { key: key(1), ..here() };
    let lines = ["m=audio 4000 RTP/AVP 0", "m=audio 4010 RTP/SAVP 0", &good];
    let (text, agreed) = answer(&offer_of(&lines), &accepted, &ours).expect("answered");
    let srtp = described(agreed.srtp);
    assert_eq!((srtp.tag, srtp.suite), (4, CryptoSuite::AesCm128HmacSha1_32));
    assert!(text.contains("m=audio 0 RTP/AVP 0\r\nm=audio 10000 RTP/SAVP 0\r\n"), "{text}");
    for wrong in [
        format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {inline}|2^20|1:4"),
        format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {inline} UNENCRYPTED_SRTP"),
        format!("a=crypto:1 F8_128_HMAC_SHA1_80 {inline}"),
        format!("a=crypto:x AES_CM_128_HMAC_SHA1_80 {inline}"),
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA".into(),
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80".into(),
    ] {
        let text = offer_of(&["m=audio 4000 RTP/SAVP 0", &wrong]);
        let found = answer(&text, &accepted, &ours).map(|(text, _)| text);
        assert_eq!(found, Err(SdpError::EncryptionNotSpoken), "{wrong}");
        let text = offer_of(&["m=audio 4000 RTP/SAVP 0", &wrong, &good]);
        assert!(answer(&text, &accepted, &ours).is_ok(), "{wrong}");
    }
}

#[test]
fn a_handshake_is_offered_answered_accepted_and_stays_the_same_in_the_session() {
    let secure = Capabilities { srtp: SrtpUse::Handshake, ..Capabilities::default() };
    let prints = [Fingerprint::of(b"ours"), Fingerprint::of(b"theirs")];
    let ours = Local { fingerprint: Some(prints[0]), ..here() };
    let theirs = Local { fingerprint: Some(prints[1]), ..there() };
    let text = offer(&secure, &ours);
    for line in ["UDP/TLS/RTP/SAVP 0", "a=setup:actpass\r\n", "a=rtcp-mux\r\n"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.contains(&format!("a=fingerprint:{}\r\n", prints[0])), "{text}");
    let (back, at_theirs) = answer(&text, &secure, &theirs).expect("answered");
    assert!(back.contains("a=setup:passive\r\n") && !back.contains("crypto"), "{back}");
    let at_ours = accept(&back, &secure, &ours, None).expect("accepted");
    let shaken = handshake(at_ours.srtp.clone());
    assert_eq!((shaken.begins, &shaken.theirs[..]), (true, &prints[1..]));
    assert!(!handshake(at_theirs.srtp.clone()).begins);

    // Offered again by either side it is the same one.
    let again = offer_again(&secure, &Local { version: 2, ..ours.clone() }, &at_ours);
    assert!(again.contains("a=setup:active\r\n"), "{again}");
    let told = Local { begins: Some(false), ..theirs.clone() };
    let (back, at_theirs_now) = answer(&again, &secure, &told).expect("answered");
    assert_eq!(at_theirs_now.srtp, at_theirs.srtp);
    let now = accept(&back, &secure, &ours, Some(&at_ours)).expect("accepted");
    assert_eq!(now.srtp, at_ours.srtp);
    // An offer that leaves it to us who begins changes nothing.
    let open = again.replace("a=setup:active", "a=setup:actpass");
    for begins in [false, true] {
        let told = Local { begins: Some(begins), ..theirs.clone() };
        let (_, agreed) = answer(&open, &secure, &told).expect("answered");
        assert_eq!(handshake(agreed.srtp).begins, begins);
    }
}

#[test]
fn who_begins_a_handshake_is_as_both_say_and_what_brings_none_is_refused() {
    let print = format!("a=fingerprint:{}", Fingerprint::of(b"theirs"));
    let local = Local { key: key(1), fingerprint: Some(Fingerprint::of(b"ours")), ..here() };
    let line = "m=audio 4000 UDP/TLS/RTP/SAVPF 0";
    let offered = |setup: &str, print: &str| offer_of(&[line, print, setup]);
    for srtp in [SrtpUse::Accepted, SrtpUse::Required, SrtpUse::Handshake] {
        let secure = Capabilities { srtp, ..Capabilities::default() };
        for (setup, begins) in [
            ("a=setup:active", false),
            ("a=setup:passive", true),
            ("a=setup:actpass", false),
            ("a=mid:0", false),
        ] {
            let (text, agreed) =
                answer(&offered(setup, &print), &secure, &local).expect("answered");
            let shaken = handshake(agreed.srtp);
            assert_eq!((shaken.begins, shaken.id), (begins, None), "{setup}");
            assert!(text.contains("UDP/TLS/RTP/SAVPF 0"), "{text}");
            assert!(text.contains(if begins { "a=setup:active" } else { "a=setup:passive" }));
        }
        for (setup, print) in [
            ("a=setup:holdconn", print.as_str()),
            ("a=setup:active", "a=fingerprint:sha-1 AB"),
            ("a=setup:active", "a=tls-id:x"),
        ] {
            let found = answer(&offered(setup, print), &secure, &local).map(|(text, _)| text);
            assert_eq!(found, Err(SdpError::EncryptionNotSpoken), "{setup} {print}");
        }
    }
    let off = Capabilities::default();
    let found = answer(&offered("a=setup:active", &print), &off, &local).map(|(text, _)| text);
    assert_eq!(found, Err(SdpError::EncryptionNotSpoken));

    let secure = Capabilities { srtp: SrtpUse::Handshake, ..Capabilities::default() };
    for (setup, begins) in [
        ("a=setup:active", Ok(false)),
        ("a=setup:passive", Ok(true)),
        ("a=mid:0", Ok(true)),
        ("a=setup:actpass", Err(SdpError::NotAnAnswer)),
    ] {
        let agreed = accept(&offered(setup, &print), &secure, &local, None);
        assert_eq!(agreed.map(|agreed| handshake(agreed.srtp).begins), begins, "{setup}");
    }
    let plain = accept(&offer_of(&["m=audio 4000 RTP/AVP 0"]), &secure, &local, None);
    assert_eq!(plain, Err(SdpError::EncryptionRequired));
}

#[test]
fn a_handshake_is_taken_before_keys_in_the_description_and_has_what_the_session_says() {
    let print = Fingerprint::of(b"theirs");
    let crypto =
        "a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk";
    let local = Local { key: key(1), fingerprint: Some(Fingerprint::of(b"ours")), ..here() };
    let accepted = Capabilities { srtp: SrtpUse::Accepted, ..Capabilities::default() };
    let text = offer_of(&[
        "m=audio 4000 RTP/AVP 0",
        "m=audio 4010 RTP/SAVP 0",
        crypto,
        "m=audio 4020 UDP/TLS/RTP/SAVP 0",
    ]);
    let of_session =
        format!("t=0 0\r\na=fingerprint:{print}\r\na=setup:active\r\na=tls-id:abc\r\n");
    let text = text.replacen("t=0 0\r\n", &of_session, 1);
    let (back, agreed) = answer(&text, &accepted, &local).expect("answered");
    assert_eq!(port(&back), [0, 0, 10_000]);
    let shaken = handshake(agreed.srtp);
    assert_eq!((shaken.theirs, shaken.id.as_deref()), (vec![print], Some("abc")));
    // Some write it without the transport that it has since RFC 5764.
    let line = format!("a=fingerprint:{print}");
    let old = offer_of(&["m=audio 4000 RTP/SAVPF 0", &line]);
    let (back, agreed) = answer(&old, &accepted, &local).expect("answered");
    assert!(back.contains("RTP/SAVPF 0") && !handshake(agreed.srtp).begins, "{back}");
    let both = offer_of(&["m=audio 4000 RTP/SAVP 0", &line, crypto]);
    let (_, agreed) = answer(&both, &accepted, &local).expect("answered");
    assert_eq!(described(agreed.srtp).tag, 4);
}

#[test]
fn an_answer_may_have_other_numbers_than_the_offer() {
    let capabilities = formats(&[Format::GSM, Format::SPEEX]);
    let lines = [
        "m=audio 4000 RTP/AVP 99 98",
        "a=rtpmap:99 speex/8000",
        "a=rtpmap:98 telephone-event/8000",
    ];
    let agreed = accept(&offer_of(&lines), &capabilities, &here(), None).expect("accepted");
    assert_eq!((agreed.format, agreed.sends.payload_type), (Format::SPEEX, 99));
    let numbers: Vec<u8> = agreed.receives.iter().map(|(one, _)| one.payload_type).collect();
    assert_eq!(numbers, [3, 110], "what comes has the numbers that we offered");
    assert_eq!(agreed.sends_events.map(|one| one.payload_type), Some(98));
    assert_eq!(agreed.receives_events[0].payload_type, 101);
}

#[test]
fn an_answer_that_does_not_fit_its_offer_is_none() {
    let plain = Capabilities::default();
    for (lines, error) in [
        (&["m=audio 0 RTP/AVP 0"][..], SdpError::Refused),
        (&["m=audio 4000 RTP/AVP 0", "m=video 5000 RTP/AVP 96"], SdpError::NotAnAnswer),
        (&[], SdpError::NotAnAnswer),
        (&["m=image 4000 udptl t38"], SdpError::NotAnAnswer),
        (&["m=audio 4000 RTP/AVP 18"], SdpError::NoCommonCodec),
        (&["m=audio 4000 RTP/SAVP 0"], SdpError::NotAnAnswer),
    ] {
        assert_eq!(accept(&offer_of(lines), &plain, &here(), None), Err(error), "{lines:?}");
    }
}

#[test]
fn an_offer_in_a_session_keeps_its_lines_and_numbers() {
    let lines = [
        "m=video 5000 RTP/AVP 96",
        "m=audio 4000 RTP/AVP 99 100",
        "a=rtpmap:99 G726-32/8000",
        "a=rtpmap:100 telephone-event/8000",
    ];
    let capabilities = formats(&[Format::G726, Format::ULAW]);
    let (_, agreed) = answered(&lines, &capabilities).expect("answered");
    let hold = Capabilities { direction: Direction::SendOnly, ..capabilities };
    let mut ours = here();
    ours.version = 2;
    let text = offer_again(&hold, &ours, &agreed);
    insta::assert_snapshot!(text, @r"
    v=0
    o=- 77 2 IN IP4 203.0.113.1
    s=-
    c=IN IP4 203.0.113.1
    t=0 0
    m=video 0 RTP/AVP 96
    m=audio 10000 RTP/AVP 99 100
    a=rtpmap:99 G726-32/8000
    a=rtpmap:100 telephone-event/8000
    a=fmtp:100 0-16
    a=sendonly
    ");
    let (back, theirs) = answer(&text, &formats(&[Format::G726]), &there()).expect("answered");
    assert_eq!(theirs.direction, Direction::RecvOnly);
    let again = accept(&back, &hold, &ours, Some(&agreed)).expect("accepted");
    assert_eq!((again.direction, again.format), (Direction::SendOnly, Format::G726));
    assert_eq!(again.lines, agreed.lines);
}

fn any_capabilities() -> impl Strategy<Value = Capabilities> {
    let known = [
        Format::ULAW,
        Format::ALAW,
        Format::G722,
        Format::GSM,
        Format::G729,
        Format::G723,
        Format::G726,
        Format::G726_AAL2,
        Format::ILBC,
        Format::SPEEX,
        Format::SPEEX16,
        Format::OPUS,
        Format::SLIN,
    ];
    let formats = proptest::sample::subsequence(known.to_vec(), 1..=known.len()).prop_shuffle();
    let directions =
        [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
    let uses = [SrtpUse::Off, SrtpUse::Accepted, SrtpUse::Required, SrtpUse::Handshake];
    (
        (formats, any::<bool>(), any::<[bool; 4]>()),
        (proptest::sample::select(directions.to_vec()), proptest::sample::select(uses.to_vec())),
        proptest::option::of(10..120_u64),
    )
        .prop_map(
            |(
                (formats, ours, [telephone_event, comfort_noise, rtcp_mux, short]),
                (direction, srtp),
                ptime,
            )| {
                let order = if ours { Order::Ours } else { Order::Theirs };
                let ptime = ptime.map(Duration::from_millis);
                Capabilities {
                    formats,
                    order,
                    telephone_event,
                    comfort_noise,
                    ptime,
                    ilbc: if short { Mode::Ms20 } else { Mode::Ms30 },
                    rtcp_mux,
                    srtp,
                    direction,
                }
            },
        )
}

fn port(text: &str) -> Vec<u16> {
    let session = sdp_types::Session::parse(text.as_bytes()).expect("a description");
    session.medias.iter().map(|media| media.port).collect()
}

proptest! {
    #[test]
    fn offer_answer_and_acceptance_agree(
        one in any_capabilities(), other in any_capabilities(), v6: bool,
    ) {
        let ours = if v6 { local("[2001:db8::1]:4000") } else { here() };
        let prints = [Fingerprint::of(b"ours"), Fingerprint::of(b"theirs")];
        let ours = Local { key: key(1), fingerprint: Some(prints[0]), ..ours };
        let theirs = Local { key: key(2), fingerprint: Some(prints[1]), ..there() };
        let text = offer(&one, &ours);
        match answer(&text, &other, &theirs) {
            Err(SdpError::NoCommonCodec) => {
                prop_assert!(one.formats.iter().all(|format| !other.formats.contains(format)));
            }
            Err(SdpError::EncryptionRequired) => {
                let plain = [SrtpUse::Off, SrtpUse::Accepted];
                prop_assert!(!plain.contains(&other.srtp) && plain.contains(&one.srtp));
            }
            Err(SdpError::EncryptionNotSpoken) => match one.srtp {
                SrtpUse::Handshake => prop_assert!(other.srtp == SrtpUse::Off),
                SrtpUse::Required => {
                    prop_assert!([SrtpUse::Off, SrtpUse::Handshake].contains(&other.srtp));
                }
                other => prop_assert!(false, "{other:?}"),
            },
            Err(error) => prop_assert!(false, "{error}"),
            Ok((back, at_theirs)) => {
                let at_ours = accept(&back, &one, &ours, None).expect("accepted");
                prop_assert_eq!(at_ours.format, at_theirs.format);
                prop_assert_eq!(at_ours.sends, at_theirs.sends);
                if at_ours.format == Format::ILBC {
                    prop_assert_eq!(at_ours.ilbc, at_theirs.ilbc);
                }
                prop_assert!(at_ours.receives.contains(&(at_theirs.sends, at_theirs.format)));
                prop_assert_eq!(at_ours.direction, at_theirs.direction.reversed());
                prop_assert_eq!(at_ours.rtcp_mux, at_theirs.rtcp_mux);
                prop_assert_eq!(at_ours.sends_events, at_theirs.sends_events);
                prop_assert_eq!(at_ours.comfort_noise, at_theirs.comfort_noise);
                prop_assert_eq!((at_ours.remote, at_theirs.remote), (Some(theirs.address), Some(ours.address)));
                prop_assert_eq!((at_ours.ptime, at_theirs.ptime), (other.ptime, one.ptime));
                match (at_ours.srtp, &at_theirs.srtp) {
                    (Some(Srtp::Described(ours)), Some(Srtp::Described(theirs))) => {
                        prop_assert_eq!((&ours.ours, &ours.theirs), (&theirs.theirs, &theirs.ours));
                    }
                    (Some(Srtp::Handshake(ours)), Some(Srtp::Handshake(theirs))) => {
                        prop_assert!(ours.begins != theirs.begins);
                        prop_assert_eq!((&ours.theirs[..], &theirs.theirs[..]), (&prints[1..], &prints[..1]));
                        prop_assert!(at_ours.rtcp_mux);
                    }
                    (ours, theirs) => prop_assert!(ours.is_none() && theirs.is_none()),
                }
                // And once more in the session.
                let theirs = Local { version: 2, ..theirs.clone() };
                let again = offer_again(&other, &theirs, &at_theirs);
                let (back, _) = answer(&again, &one, &ours).expect("answered again");
                let accepted = accept(&back, &other, &theirs, Some(&at_theirs)).expect("accepted");
                prop_assert_eq!(accepted.format, at_theirs.format);
                prop_assert_eq!(accepted.receives, at_theirs.receives);
            }
        }
    }

    #[test]
    fn an_answer_has_the_lines_of_its_offer_and_one_of_them_is_spoken(
        lines in proptest::collection::vec(
            proptest::sample::select(vec![
                "m=audio 4000 RTP/AVP 0 8 101", "m=audio 4000 RTP/AVP 96", "m=audio 0 RTP/AVP 0",
                "m=video 4000 RTP/AVP 31", "m=audio 4000 RTP/SAVP 8", "m=image 4000 udptl t38",
                "a=rtpmap:96 PCMA/8000", "a=rtpmap:101 telephone-event/8000", "a=sendonly", "a=inactive",
                "c=IN IP4 0.0.0.0", "c=IN IP6 ::1", "a=ptime:20", "a=rtcp-mux", "i=x", "b=AS:64",
            ]),
            0..12,
        ),
        capabilities in any_capabilities(),
    ) {
        let text = offer_of(&lines);
        if let Ok((back, agreed)) = answer(&text, &capabilities, &Local { key: key(1), ..here() }) {
            prop_assert!(back.len() < LONGEST);
            let (offered, answered) = (port(&text), port(&back));
            prop_assert_eq!(offered.len(), answered.len());
            prop_assert_eq!(answered.iter().filter(|port| **port != 0).count(), 1);
            prop_assert!(capabilities.formats.contains(&agreed.format));
            for (offered, answered) in offered.iter().zip(&answered) {
                prop_assert!(*offered != 0 || *answered == 0);
            }
        }
    }

    #[test]
    fn any_text_is_answered_or_refused(text: String) {
        let _ = answer(&text, &Capabilities::default(), &here());
        let _ = accept(&text, &Capabilities::default(), &here(), None);
    }

    #[test]
    fn a_description_with_bytes_changed_is_answered_or_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        capabilities in any_capabilities(),
    ) {
        let mut bytes = offer(&capabilities, &Local { key: key(1), ..here() }).into_bytes();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let text = String::from_utf8_lossy(&bytes);
        let _ = answer(&text, &capabilities, &there());
        let _ = accept(&text, &capabilities, &there(), None);
    }
}
