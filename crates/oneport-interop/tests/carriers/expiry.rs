//! Sessions that must be renewed (RFC 4028). What they wait for takes a minute, so they come first.

use oneport::CauseCode;
use oneport_interop::{PATIENCE, phone};
use tokio::time::timeout;

use crate::script::{Script, VOICE};
use crate::shared::{called, calling, carrier, gateway, loopback, route, seen, talk};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_renewed_in_time_and_ended_where_the_other_side_does_not() {
    let ours = ["Require: timer", "Session-Expires: 90;refresher=uac"];
    let mut renewed = called(
        Script::is_called()
            .answers(0, "200 OK", &ours, Some(VOICE))
            .receives("ACK")
            .receives_with("INVITE", &["Session-Expires: 90;refresher=uac"])
            .answers(2, "200 OK", &ours, Some(VOICE))
            .receives("ACK")
            .gets_bye(),
    );
    let (bob, address) = phone();
    let from = loopback();
    let text = format!(
        "[peers.bob]\naddress = \"{address}\"\nqualify = false\n{}{}{}\
         [[routes]]\nnumber = \"600\"\nto = [\"peer:bob\"]\n",
        carrier("acme", renewed.address(), ""),
        carrier("other", from, ""),
        route("\"carrier:acme\""),
    );
    let system = gateway(&text);
    let (phone, _) = phone();
    let call = talk(&phone, &system).await;
    // It says that it will renew the session, and does not.
    let theirs = ["Supported: timer", "Session-Expires: 90;refresher=uac"];
    let script = Script::calls(&theirs, Some(VOICE)).may_hear(100).may_hear(180).hears(200).acks(1);
    let mut silent = calling(script.gets_bye(), from, system.sip, "600");
    let incoming = timeout(PATIENCE, bob.incoming()).await.expect("in time").expect("a call");
    let mut answered = incoming.answer().await.expect("answered");
    seen(&renewed, "CSeq: 2 ACK").await;
    drop(call);
    renewed.finished();
    let end = timeout(PATIENCE, answered.ended()).await.expect("in time").expect("running");
    assert_eq!(end.cause, CauseCode::TIMER_EXPIRY);
    silent.finished();
}
