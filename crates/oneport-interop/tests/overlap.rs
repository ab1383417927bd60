//! Overlap dialling: a real Asterisk 22 asks us which numbers exist (`switch => IAX2/…`).

use std::time::Duration;

use oneport::media::Codec;
use oneport_interop::{find_exactly, named, phone, speech, switch_at};
use oneport_testkit::peers::asterisk::Asterisk;

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_finds_our_numbers_and_calls_them() {
    // Whatever port is written there, Asterisk asks at 4569.
    let (_switch, to) = switch_at("127.0.0.70:4569", "[peers.ann]\nsecret = \"right\"\n");
    let iax =
        "disallow=all\nallow=ulaw\n[oneport]\ntype=user\nauth=md5\nsecret=link\ncontext=far\n";
    let extensions = format!("[far]\nswitch => IAX2/ann:right@{to}\n");
    let asterisk = Asterisk::start(iax, &extensions);
    let (phone, _) = phone();
    let nowhere = named("no-such-number", "oneport", "link");
    let mut call = phone.call(asterisk.address(), nowhere).await.expect("placed");
    assert_eq!(call.ended().await.expect("running").cause.0, 3, "{}", asterisk.log());
    let echo = named("600", "oneport", "link");
    let mut call = phone.call(asterisk.address(), echo).await.expect("placed");
    call.answered().await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
    let (mut reader, speaker) = call.audio().expect("accepted");
    let sent = &speech()[..16_000];
    let mut samples = Vec::new();
    Codec::Ulaw.decode(sent, &mut samples);
    let listen = async {
        let mut heard = Vec::new();
        while heard.len() < sent.len() {
            let frame = tokio::time::timeout(Duration::from_secs(5), reader.next_frame()).await;
            heard.extend(frame.expect("audio flows").expect("the call lives").payload);
        }
        heard
    };
    let (heard, ()) = tokio::join!(listen, speaker.play(&samples));
    find_exactly(sent, &heard);
}
