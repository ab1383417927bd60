//! A carrier whose voice is encrypted by the keys of a handshake (DTLS-SRTP), by Asterisk's PJSIP.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneport::CallError;
use oneport_interop::gateway::gateway_with_records;
use oneport_interop::{
    PATIENCE, each_frame_returns, named, phone, speech, until_heard, wait_for_silence,
};
use oneport_switch::store::{CdrFilter, Order, Paging, Store};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::certificates::Authority;
use oneport_testkit::peers::tshark::Capture;
use oneport_testkit::peers::{free_port, wait_for};
use tokio::time::timeout;

use crate::shared::{ann, gateway};

const DIALPLAN: &str = "[carrier]
exten => _+X.,1,Answer()
same => n,Echo()
exten => did,1,Answer()
same => n,Dial(PJSIP/+12125550199@us,30)
";

/// A carrier at this port, with this in its endpoint.
fn carrier(port: u16, endpoint: &str) -> Asterisk {
    let pjsip = format!(
        "[transport]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:{port}\n\
         [us]\ntype=endpoint\ncontext=carrier\ndisallow=all\nallow=ulaw\nauth=us\naors=us\n\
         media_encryption=dtls\ndtls_verify=fingerprint\n{endpoint}\n\
         [us]\ntype=auth\nauth_type=userpass\nusername=us\npassword=secret\n\
         [us]\ntype=aor\nmax_contacts=1\nremove_existing=yes\n"
    );
    let authority = Authority::new();
    let made = authority.certificate("media", "DNS:carrier.example");
    let [certificate, key] =
        [&made.certificate, &made.key].map(|file| fs::read(file).expect("made"));
    let files: [(&str, &[u8]); 4] = [
        ("etc/pjsip.conf", pjsip.as_bytes()),
        ("etc/rtp.conf", b"[general]\nrtpstart=33000\nrtpend=33999\n"),
        ("etc/media.pem", &certificate),
        ("etc/media.key", &key),
    ];
    Asterisk::start_with("", DIALPLAN, &files)
}

/// Ports of media that nobody else uses now: the first of a few. The system gives them to nobody who asks for just any,
/// whose voice in the clear would be taken for what is looked at here.
fn own_ports() -> u16 {
    30_000 + 8 * u16::try_from(std::process::id() % 340).expect("small")
}

/// Calls out and in with each of Asterisk's ways to begin a handshake, with reports beside the voice and on a port
/// of their own, and with a certificate that it makes and one that it is given. Both hear each other, and nothing of
/// what they say is on the wire.
#[tokio::test(flavor = "multi_thread")]
async fn asterisk_and_we_hear_each_other_and_nobody_else_does() {
    for (endpoint, mux) in [
        ("dtls_auto_generate_cert=yes\ndtls_setup=actpass\nrtcp_mux=yes", true),
        (
            "dtls_cert_file={home}/etc/media.pem\ndtls_private_key={home}/etc/media.key\n\
             dtls_setup=passive\nrtcp_mux=no",
            false,
        ),
    ] {
        let port = free_port();
        let asterisk = carrier(port, endpoint);
        let first = own_ports();
        let capture = Capture::start(&(first..first + 8).collect::<Vec<_>>());
        let (bob, bob_at) = phone();
        let (phone, _) = phone();
        let system = gateway(&format!(
            "rtp_ports = \"{first}-{}\"\n\
             [carriers.acme]\nhost = \"127.0.0.1:{port}\"\nusername = \"us\"\nsecret = \"secret\"\n\
             register = true\nnumber_format = \"+e164\"\ncountry_code = \"1\"\ncodecs = [\"ulaw\"]\n\
             srtp = \"dtls\"\n\
             [peers.bob]\naddress = \"{bob_at}\"\nqualify = false\n\
             [[routes]]\npattern = \"_NXXNXXXXXX\"\nfrom = [\"ann\"]\nto = [\"carrier:acme\"]\n\
             [[routes]]\nnumber = \"12125550199\"\nfrom = [\"carrier:acme\"]\nto = [\"peer:bob\"]\n",
            first + 7
        ));
        let _ = asterisk.cli("pjsip set logger on");
        wait_for("Asterisk to have us registered", PATIENCE, || {
            asterisk.cli("pjsip show contacts").contains("us/sip:us@127.0.0.1")
        });
        let mut call = phone.call(system.iax, ann("2125550100")).await.expect("placed");
        let answered = timeout(PATIENCE, call.answered()).await.expect("in time");
        if let Err(error) = answered {
            panic!("{endpoint}: {error}; Asterisk's log:\n{}", asterisk.log());
        }
        let (mut reader, speaker) = call.audio().await.expect("accepted");
        until_heard(&mut reader, &speaker).await;
        each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
        drop(call);
        wait_for_silence(&asterisk);
        asterisk.originate("Local/did@carrier/n", "+1999@carrier");
        let incoming = timeout(PATIENCE, bob.incoming()).await;
        let incoming = incoming.unwrap_or_else(|_| panic!("no call; {}", asterisk.log()));
        let call = incoming.expect("a call").answer().await.expect("answered");
        let (mut reader, speaker) = call.audio().await.expect("accepted");
        until_heard(&mut reader, &speaker).await;
        each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
        drop(call);
        wait_for_silence(&asterisk);
        check(&capture.datagrams(), &asterisk, mux);
    }
}

/// What has passed is handshakes and packets that are encrypted.
fn check(datagrams: &[Vec<u8>], asterisk: &Asterisk, mux: bool) {
    let sdp = asterisk.log();
    for wanted in ["UDP/TLS/RTP/SAVP", "a=fingerprint:", "a=setup:"] {
        assert!(sdp.contains(wanted), "{wanted}: {sdp}");
    }
    assert!(!sdp.contains("a=crypto:"), "{sdp}");
    assert_eq!(sdp.contains("a=rtcp-mux") && mux, mux, "{sdp}");
    let shaken = datagrams.iter().filter(|one| matches!(one.first(), Some(20..=63))).count();
    assert!(shaken >= 4, "{shaken} datagrams of handshakes");
    let said = speech();
    let said: Vec<&[u8]> = said[..8_000].chunks(160).collect();
    // Two calls of 50 frames and more, there and back, with tags behind them.
    let voice: Vec<_> = datagrams.iter().filter(|one| one.first() == Some(&0x80)).collect();
    let sealed = voice.iter().filter(|one| one.len() == 12 + 160 + 10).count();
    assert!(sealed >= 200, "{sealed} packets of {}", voice.len());
    for datagram in datagrams {
        let part = |frame: &&[u8]| datagram.windows(16).any(|window| window == &frame[..16]);
        assert!(!said.iter().any(part), "what was said is on the wire");
    }
}

/// Stands between us and a carrier, and changes in what the carrier describes the last digit of its certificate's
/// fingerprint.
fn forge(carrier: SocketAddr) -> SocketAddr {
    let (near, far) = (UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0"));
    let (near, far) = (near.expect("a port"), Arc::new(far.expect("a port")));
    let address = near.local_addr().expect("bound");
    let us = Arc::new(Mutex::new(None::<SocketAddr>));
    let near = Arc::new(near);
    let forward = (near.clone(), far.clone(), us.clone());
    std::thread::spawn(move || {
        let (near, far, us) = forward;
        let mut buffer = [0; 8_192];
        while let Ok((length, from)) = near.recv_from(&mut buffer) {
            *us.lock().expect("nobody has panicked") = Some(from);
            let _ = far.send_to(&buffer[..length], carrier);
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 8_192];
        while let Ok(length) = far.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            let lines = text.split_inclusive("\r\n").map(|line| {
                if !line.starts_with("a=fingerprint:") {
                    return line.to_string();
                }
                let (known, last) = line.trim_end().split_at(line.trim_end().len() - 1);
                format!("{known}{}\r\n", if last == "0" { "1" } else { "0" })
            });
            let changed: String = lines.collect();
            if let Some(us) = *us.lock().expect("nobody has panicked") {
                let _ = near.send_to(changed.as_bytes(), us);
            }
        }
    });
    address
}

/// A certificate that is not the one of the description: the call ends, the record of its leg says why, and nothing
/// was said.
#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_has_another_certificate_than_it_describes_is_refused_and_named() {
    for endpoint in [
        "dtls_auto_generate_cert=yes\ndtls_setup=actpass\nrtcp_mux=yes",
        "dtls_auto_generate_cert=yes\ndtls_setup=passive\nrtcp_mux=yes",
    ] {
        let port = free_port();
        let asterisk = carrier(port, &format!("{endpoint}\nidentify_by=ip,username"));
        let forged = forge(SocketAddr::from(([127, 0, 0, 1], port)));
        let (phone, _) = phone();
        let (system, store) = gateway_with_records(&format!(
            "rtp_ports = \"34000-34999\"\n\
             [carriers.acme]\nhost = \"{forged}\"\nusername = \"us\"\nsecret = \"secret\"\n\
             options_seconds = 0\ncodecs = [\"ulaw\"]\nsrtp = \"dtls\"\n\
             [[routes]]\npattern = \"_+X.\"\nto = [\"carrier:acme\"]\n"
        ))
        .await;
        let mut call =
            phone.call(system.iax, named("+12125550100", "ann", "a")).await.expect("placed");
        let ended = async {
            match call.answered().await {
                Ok(_) => call.ended().await.expect("an end"),
                Err(CallError::Ended(end)) => *end,
                Err(error) => panic!("{error}; {}", asterisk.log()),
            }
        };
        let end = timeout(PATIENCE, ended).await.expect("in time");
        assert_eq!(end.stats.received.frames, 0, "nothing is heard");
        let all = Paging { order: Order::OldestFirst, after: None, most: Paging::MOST };
        let filter = CdrFilter { peer: Some("carrier:acme".into()), ..CdrFilter::default() };
        let cdr = loop {
            let found = store.cdrs(&filter, all).await.expect("readable").records;
            if let Some(cdr) = found.into_iter().next() {
                break cdr;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let why = format!("{cdr:?}");
        assert!(
            why.contains("its certificate is not that of its description, but has sha-256 "),
            "{why}"
        );
        wait_for_silence(&asterisk);
    }
}
