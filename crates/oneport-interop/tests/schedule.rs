//! Peers that say nothing: how often a call is asked for again, our schedule beside Asterisk's off real
//! packets; and an Asterisk that is killed.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use oneport::{Call, CauseCode, EndReason, EndpointConfig, NewCall, Phone, PhoneConfig};
use oneport_interop::{echo_is_exact, phone, speech};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_wire::{Datagram, IaxSubclass, Seq, Timestamp};

/// One copy of NEW: when it came behind the first, and what tells copies apart.
#[derive(Debug)]
struct Copy {
    after: Duration,
    retransmission: bool,
    timestamp: Timestamp,
    oseq: Seq,
    iseq: Seq,
}

/// All copies of NEW that come to `hole`, which answers none, until none came for `silence`.
fn copies(hole: &UdpSocket, silence: Duration) -> Vec<Copy> {
    hole.set_read_timeout(Some(silence)).expect("a time");
    let (mut copies, mut first) = (Vec::new(), None);
    let mut bytes = [0; 2048];
    while let Ok(len) = hole.recv(&mut bytes) {
        let after = first.get_or_insert_with(Instant::now).elapsed();
        let Ok(Datagram::Full(frame)) = Datagram::decode(&bytes[..len]) else { continue };
        let header = frame.header;
        if IaxSubclass::from_subclass(frame.subclass) == IaxSubclass::New {
            copies.push(Copy {
                after,
                retransmission: header.retransmission,
                timestamp: header.timestamp,
                oseq: header.oseq,
                iseq: header.iseq,
            });
        }
    }
    copies
}

fn hole() -> (UdpSocket, String) {
    let hole = UdpSocket::bind("127.0.0.1:0").expect("the loopback has ports");
    let at = hole.local_addr().expect("it is bound").to_string();
    (hole, at)
}

/// What both have in common: one timestamp, one number, and the R bit on all but the first.
fn check(whose: &str, copies: &[Copy], expected: &[u64]) {
    let all = format!("{whose}: {copies:?}");
    println!("{all}");
    assert_eq!(copies.len(), expected.len(), "{all}");
    for (copy, expected) in copies.iter().zip(expected) {
        assert_eq!(copy.timestamp, copies[0].timestamp, "{all}");
        assert_eq!((copy.oseq, copy.iseq), (Seq(0), Seq(0)), "nothing came: {all}");
        // The order of magnitude: the machine may be busy.
        let after = copy.after.as_secs_f64();
        let expected = *expected as f64;
        assert!((expected * 0.5..=expected * 2.0 + 1.0).contains(&after), "{all}");
    }
    let marks: Vec<bool> = copies.iter().map(|copy| copy.retransmission).collect();
    assert_eq!(marks, (0..copies.len()).map(|n| n > 0).collect::<Vec<_>>(), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_schedule_of_repetition_beside_asterisk_s() {
    let asterisk = Asterisk::start("autokill=no\n", "[test]\nexten => s,1,Wait(60)\n");
    let ((ours, to_ours), (theirs, to_theirs)) = (hole(), hole());
    let silence = Duration::from_secs(14);
    let ours = tokio::task::spawn_blocking(move || copies(&ours, silence));
    let theirs = tokio::task::spawn_blocking(move || copies(&theirs, silence));
    let (phone, _) = phone();
    let to = to_ours.parse().expect("an address");
    let mut call = phone.call(to, NewCall::to("1")).await.expect("placed");
    asterisk.originate(&format!("IAX2/{to_theirs}/1"), "s@test");
    let end = call.ended().await.expect("running");
    assert_eq!(end.reason, EndReason::TimedOut);
    check("Oneport", &ours.await.expect("listened"), &[0, 1, 3, 7, 15, 25]);
    check("Asterisk", &theirs.await.expect("listened"), &[0, 2, 12, 22]);
}

/// A call to the echo of an Asterisk.
async fn echo(phone: &Phone, asterisk: &Asterisk) -> Call {
    let mut call = phone.call(asterisk.address(), NewCall::to("echo")).await.expect("placed");
    call.answered().await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_is_killed_in_a_call_and_called_again_when_it_is_back() {
    let guests = "[guest]\ntype=user\ncontext=test\n";
    let extensions = "[test]\nexten => echo,1,Answer()\nsame => n,Echo()\n";
    let mut asterisk = Asterisk::start(guests, extensions);
    let lag_interval = Duration::from_secs(1);
    let mut endpoint = EndpointConfig { lag_interval, ..EndpointConfig::default() };
    endpoint.retransmission.give_up = Duration::from_secs(4);
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let phone = Phone::bind(PhoneConfig { listen, endpoint, ..PhoneConfig::default() });
    let phone = phone.expect("bound");
    let mut call = echo(&phone, &asterisk).await;
    asterisk.kill();
    asterisk.start_again();
    // It says nothing to frames of calls that it does not know any more.
    let end = tokio::time::timeout(Duration::from_secs(60), call.ended()).await;
    let end = end.expect("our side ends it").expect("running");
    assert_eq!((end.reason, end.cause), (EndReason::TimedOut, CauseCode::DESTINATION_OUT_OF_ORDER));
    let call = echo(&phone, &asterisk).await;
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    echo_is_exact(&mut reader, &speaker, &speech()[..16_000]).await;
}
