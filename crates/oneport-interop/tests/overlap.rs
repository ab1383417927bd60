//! Overlap dialling: a real Asterisk 22 asks us which numbers exist (`switch => IAX2/…`).

use oneport_interop::{each_frame_returns, named, phone, speech, switch_at};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::own_loopback;

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_finds_our_numbers_and_calls_them() {
    // Whatever port is written there, Asterisk asks at 4569.
    let own = format!("{}:4569", own_loopback());
    let (_switch, to) = switch_at(&own, "[peers.ann]\nsecret = \"right\"\n");
    // The thread that has a call waits until another has got the answer of the far dial plan.
    let iax = "iaxthreadcount=10\niaxmaxthreadcount=100\ndisallow=all\nallow=ulaw\n[oneport]\ntype=user\nauth=md5\nsecret=link\ncontext=far\n";
    let extensions = format!("[far]\nswitch => IAX2/ann:right@{to}\n");
    let asterisk = Asterisk::start(iax, &extensions);
    let (phone, _) = phone();
    let nowhere = named("no-such-number", "oneport", "link");
    let mut call = phone.call(asterisk.address(), nowhere).await.expect("placed");
    assert_eq!(call.ended().await.expect("running").cause.0, 3, "{}", asterisk.log());
    let echo = named("600", "oneport", "link");
    let mut call = phone.call(asterisk.address(), echo).await.expect("placed");
    call.answered().await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    let sent = &speech()[..16_000];
    each_frame_returns(&mut reader, &speaker, sent, 1).await;
}
