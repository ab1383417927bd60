//! Trunks with a real Asterisk 22: many calls in few datagrams.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_interop::{each_frame_returns, named, phone, speech, switch_at};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::free_port;
use oneport_testkit::peers::tshark::Capture;

const CALLS: usize = 100;

/// A telephone calls Asterisk's echo through our switch, and hears every byte again.
///
/// Each call speaks another part of the speech, so that a mix-up shows.
async fn echo_through(switch: SocketAddr, start: usize) {
    let (phone, _) = phone();
    tokio::time::sleep(Duration::from_millis(30) * u32::try_from(start).expect("few")).await;
    let mut call = phone.call(switch, named("echo", "ann", "right")).await.expect("placed");
    call.answered().await.unwrap_or_else(|error| panic!("call {start}: {error}"));
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    let speech = speech();
    let offset = start * 331 % 40_000;
    // Asterisk sends the first frame, a full one, on another thread than the trunk: one that comes
    // with it may overtake it, and nobody knows yet what it says. So the first goes alone.
    let (first, sent) = speech[offset..offset + 24_000].split_at(160);
    each_frame_returns(&mut reader, &speaker, first, 1).await;
    each_frame_returns(&mut reader, &speaker, sent, 2).await;
}

/// Counts of trunk frames and mini frames from one port, out of a capture.
fn count(capture: &[u8], from: u16) -> (usize, usize) {
    let (mut trunk, mut mini) = (0, 0);
    let mut rest = &capture[24..];
    while rest.len() > 16 {
        let len = u32::from_le_bytes(rest[8..12].try_into().expect("four")) as usize;
        let packet = &rest[16..16 + len];
        rest = &rest[16 + len..];
        // Ethernet, IPv4 and UDP headers.
        let (ip, udp) = (&packet[14..], &packet[34..]);
        if ip[0] != 0x45 || u16::from_be_bytes([udp[0], udp[1]]) != from {
            continue;
        }
        match udp[8..12] {
            [0, 0, 1, _] => trunk += 1,
            [first, ..] if first & 0x80 == 0 => mini += 1,
            _ => {}
        }
    }
    (trunk, mini)
}

async fn a_hundred_calls_share_a_trunk(timestamps: &str) {
    let port = free_port();
    let iax = format!(
        "trunktimestamps={timestamps}\nrequirecalltoken=yes\ndisallow=all\nallow=ulaw\n\
         [oneport]\ntype=user\nauth=md5\nsecret=link\ncontext=test\nmaxauthreq=0\n\
         [trunk]\ntype=peer\nhost=127.0.0.1\nport={port}\ntrunk=yes\n"
    );
    let asterisk = Asterisk::start(&iax, "[test]\nexten => echo,1,Answer()\nsame => n,Echo()\n");
    let (_switch, switch) = switch_at(
        &format!("127.0.0.1:{port}"),
        &format!(
            "[peers.ann]\nsecret = \"right\"\n\
             [peers.media]\naddress = \"{}\"\nusername = \"oneport\"\nsecret = \"link\"\n\
             trunk = true\ntrunk_timestamps = {}\n\
             [[routes]]\nnumber = \"echo\"\nto = [\"peer:media\"]\n",
            asterisk.address(),
            timestamps == "yes",
        ),
    );
    let capture = Capture::start(&[asterisk.address().port()]);
    let calls: Vec<_> = (0..CALLS).map(|start| tokio::spawn(echo_through(switch, start))).collect();
    for call in calls {
        call.await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
    }
    let bytes = tokio::task::spawn_blocking(|| capture.into_bytes()).await.expect("no panic");
    // Three seconds, fifty times each, of a hundred calls: 15,000 frames of voice each way.
    let (ours, our_minis) = count(&bytes, port);
    let (theirs, their_minis) = count(&bytes, asterisk.address().port());
    println!("trunk frames: {ours} of ours, {theirs} of theirs; minis {our_minis}, {their_minis}");
    // In few datagrams: the busier the machine, the more frames share one.
    assert!((300..6_000).contains(&ours) && our_minis < 200, "{ours}, {our_minis} minis");
    assert!((300..6_000).contains(&theirs), "{theirs}, {their_minis} minis");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_share_a_trunk_with_timestamps() {
    a_hundred_calls_share_a_trunk("yes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_share_a_trunk_without_timestamps() {
    a_hundred_calls_share_a_trunk("no").await;
}
