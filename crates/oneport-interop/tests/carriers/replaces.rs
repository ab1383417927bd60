//! Calls that are to take the place of another (RFC 3891): one that rings, and where that is refused.

use std::net::SocketAddr;

use oneport::{CallEvent, Progress};
use oneport_interop::{PATIENCE, phone};
use oneport_testkit::peers::own_loopback;
use oneport_testkit::peers::sipp::{Scenario, Sipp};
use tokio::time::timeout;

use crate::script::{Script, VOICE};
use crate::shared::{ann, calling, carrier, gateway, loopback, route, seen};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_would_take_the_place_of_none_is_refused() {
    let named = "Replaces: nobody@nowhere;to-tag=1;from-tag=2";
    for (headers, status) in [
        (vec!["Require: replaces", named], 481),
        (vec!["Require: replaces", "Replaces: nobody@nowhere;to-tag=1"], 400),
        (vec!["Require: replaces", named, "Replaces: another@nowhere;to-tag=1;from-tag=2"], 400),
    ] {
        let from = loopback();
        let system = gateway(&format!(
            "{}[[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n",
            carrier("acme", from, "")
        ));
        let script = Script::calls(&headers, Some(VOICE)).may_hear(100).hears(status);
        calling(script.acks_refusal(1), from, system.sip, "600").finished();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_to_a_call_that_is_malformed_or_not_there_leaves_the_call_as_it_is() {
    for (to, word, told) in [
        ("<sip:700@host?Replaces=nobody%40nowhere%3Bto-tag%3D1%3Bfrom-tag%3D2>", 202, Some(481)),
        ("<sip:700@host?Replaces=nobody%40nowhere>", 400, None),
    ] {
        let from = loopback();
        let system = gateway(&format!(
            "{}[[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n",
            carrier("acme", from, "")
        ));
        let refer = format!("Refer-To: {to}");
        let mut script = Script::calls(&[], Some(VOICE)).may_hear(100).hears(200).acks(1);
        script = script.asks("REFER", 2, &[&refer], None).hears(word);
        if let Some(told) = told {
            let fragment = format!("SIP/2.0 {told} ");
            script = script.receives_with("NOTIFY", &["Event: refer", &fragment]).agrees();
        }
        calling(script.hangs_up(3), from, system.sip, "600").finished();
    }
}

/// What stands behind a word in what a sipp has sent and heard, for the first time.
async fn said(sipp: &Sipp, before: &str) -> String {
    seen(sipp, before).await;
    let messages = sipp.messages();
    let behind = messages.split(before).nth(1).unwrap_or_default();
    let word = behind.split([';', '>', ' ', '\r', '\n']).find(|word| !word.is_empty());
    word.unwrap_or_default().into()
}

/// The tag in the first header that begins so.
async fn tag(sipp: &Sipp, header: &str) -> String {
    let with = format!("\n{header}");
    seen(sipp, &with).await;
    let messages = sipp.messages();
    let lines = messages.lines().filter(|line| line.starts_with(header));
    let tag = lines.filter_map(|line| line.split(";tag=").nth(1)).next();
    tag.unwrap_or_else(|| panic!("no tag in {messages}")).trim().into()
}

/// A call that sipp has begun, and that was heard of, as whoever wants its place names it.
async fn begun_by(sipp: &Sipp) -> String {
    let (call, ours, theirs) = (said(sipp, "Call-ID: ").await, tag(sipp, "To: ").await, "1");
    format!("{call};to-tag={ours};from-tag={theirs}")
}

/// A call that rings at a sipp.
async fn rings_at(sipp: &Sipp) -> String {
    seen(sipp, "SIP/2.0 180").await;
    let (call, ours, theirs) = (said(sipp, "Call-ID: ").await, tag(sipp, "From: ").await, "a1");
    format!("{call};to-tag={ours};from-tag={theirs}")
}

/// A call from sipp that is up until it ends.
fn is_up(voice: &str) -> Script {
    Script::calls(&[], Some(voice)).may_hear(100).may_hear(180).hears(200).acks(1).gets_bye()
}

/// An address of a machine of its own: carriers are told by theirs.
fn elsewhere() -> SocketAddr {
    (own_loopback(), 5060).into()
}

const ECHO: &str = "[[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n";
/// A description of voice in A-law.
const ALAW: &str = "[local_ip] RTP/AVP 8 101\na=rtpmap:8 PCMA/8000";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_answered_is_not_replaced_by_one_that_wants_one_that_rings() {
    let (one, other) = (elsewhere(), elsewhere());
    let carriers = carrier("acme", one, "") + &carrier("other", other, "");
    let system = gateway(&(carriers + ECHO));
    let up = calling(is_up(VOICE), one, system.sip, "600");
    seen(&up, "ACK sip:").await;
    let replaces = format!("Replaces: {};early-only", begun_by(&up).await);
    let script = Script::calls(&[&replaces], Some(VOICE)).may_hear(100).hears(486);
    calling(script.acks_refusal(1), other, system.sip, "600").finished();
    assert!(!up.messages().contains("BYE sip:"), "it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_other_side_has_begun_is_not_replaced_before_it_is_answered() {
    let (one, other) = (elsewhere(), elsewhere());
    let (bob, at) = phone();
    let bobs = format!("[peers.bob]\naddress = \"{at}\"\nqualify = false\n");
    let carriers = carrier("acme", one, "") + &carrier("other", other, "");
    let system = gateway(&(carriers + &bobs + &route("\"peer:bob\"")));
    let rings = calling(is_up(VOICE), one, system.sip, "600");
    let mut incoming = timeout(PATIENCE, bob.incoming()).await.expect("in time").expect("a call");
    incoming.ring().await.expect("offered");
    seen(&rings, "SIP/2.0 180").await;
    let replaces = format!("Replaces: {}", begun_by(&rings).await);
    let script = Script::calls(&[&replaces], Some(VOICE)).may_hear(100).hears(481);
    calling(script.acks_refusal(1), other, system.sip, "600").finished();
    let call = incoming.answer().await.expect("answered: it still rang");
    seen(&rings, "ACK sip:").await;
    drop(call);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_transfers_to_the_call_of_another_is_told_that_it_may_not() {
    let (one, other) = (elsewhere(), elsewhere());
    let carriers = carrier("acme", one, "") + &carrier("other", other, "");
    let system = gateway(&(carriers + ECHO));
    let up = calling(is_up(VOICE), one, system.sip, "600");
    seen(&up, "ACK sip:").await;
    let named = begun_by(&up).await.replace('@', "%40").replace(';', "%3B").replace('=', "%3D");
    let refer = format!("Refer-To: <sip:600@host?Replaces={named}>");
    let script = Script::calls(&[], Some(VOICE)).may_hear(100).hears(200).acks(1);
    let script = script.asks("REFER", 2, &[&refer], None).hears(202);
    let script = script.receives_with("NOTIFY", &["Event: refer", "SIP/2.0 403 "]).agrees();
    calling(script.hangs_up(3), other, system.sip, "600").finished();
    assert!(!up.messages().contains("BYE sip:"), "it goes on");
}

/// A call of a carrier's with Bob, who speaks A-law alone, and another with Carl, who speaks µ-law alone, where
/// nothing is transcoded.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_share_no_codec_are_neither_joined_nor_replaced() {
    let from = elsewhere();
    let ((bob, bobs), (carl, carls)) = (phone(), phone());
    let system = gateway(&format!(
        "{}[peers.bob]\naddress = \"{bobs}\"\nqualify = false\ncodecs = [\"alaw\"]\ntranscoding = false\n\
         [peers.carl]\naddress = \"{carls}\"\nqualify = false\ncodecs = [\"ulaw\"]\ntranscoding = false\n\
         [[routes]]\nnumber = \"700\"\nto = [\"peer:bob\"]\n\
         [[routes]]\nnumber = \"800\"\nto = [\"peer:carl\"]\n",
        carrier("acme", from, "")
    ));
    let answers = async |phone: &oneport::Phone| {
        let incoming = timeout(PATIENCE, phone.incoming()).await.expect("in time");
        incoming.expect("a call").answer().await.expect("answered")
    };
    let first = calling(is_up(ALAW), from, system.sip, "700");
    let with_bob = answers(&bob).await;
    seen(&first, "ACK sip:").await;
    let named = begun_by(&first).await;
    let in_uri = named.replace('@', "%40").replace(';', "%3B").replace('=', "%3D");
    let refer = format!("Refer-To: <sip:700@host?Replaces={in_uri}>");
    let script = Script::calls(&[], Some(VOICE)).may_hear(100).may_hear(180).hears(200).acks(1);
    let script = script.asks("REFER", 2, &[&refer], None).hears(202);
    let script = script.receives_with("NOTIFY", &["Event: refer", "SIP/2.0 503 "]).agrees();
    let second = (from.ip(), 5061).into();
    let mut second = calling(script.hangs_up(3), second, system.sip, "800");
    let with_carl = answers(&carl).await;
    second.finished();
    drop(with_carl);
    let replaces = format!("Replaces: {named}");
    let script = Script::calls(&[&replaces], Some(VOICE)).may_hear(100).hears(503).acks_refusal(1);
    calling(script, (from.ip(), 5062).into(), system.sip, "700").finished();
    assert!(with_bob.stats().await.is_some(), "it goes on");
    assert!(!first.messages().contains("BYE sip:"), "it goes on");
}

/// Ann calls two carriers at once, and a third takes the place of one of them while both ring.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_rings_is_picked_up_by_one_that_takes_its_place() {
    for only in ["", ";early-only"] {
        let rings = || {
            let script = Script::is_called().answers(0, "180 Ringing", &[], None);
            let script = script.receives("CANCEL").agrees();
            let script = script.answers(0, "487 Request Terminated", &[], None).receives("ACK");
            let (xml, listen) = (script.xml(), elsewhere());
            Sipp::start(&Scenario { xml: &xml, calls: (1, 1), listen, to: None, arguments: &[] })
        };
        let ([mut first, mut second], from) = ([rings(), rings()], elsewhere());
        let system = gateway(&format!(
            "{}{}{}{}strategy = \"all\"\n",
            carrier("first", first.address(), ""),
            carrier("second", second.address(), ""),
            carrier("other", from, ""),
            route("\"carrier:first\", \"carrier:second\"")
        ));
        let (phone, _) = phone();
        let mut call = phone.call(system.iax, ann("12125550100")).await.expect("placed");
        while !matches!(
            timeout(PATIENCE, call.next_event()).await.expect("in time").expect("it lives"),
            CallEvent::Progress(Progress::Ringing)
        ) {}
        seen(&second, "SIP/2.0 180").await;
        let replaces = format!("Replaces: {}{only}", rings_at(&first).await);
        let script = Script::calls(&["Require: replaces", &replaces], Some(VOICE));
        let script = script.may_hear(100).hears(200).acks(1).gets_bye();
        let mut third = calling(script, from, system.sip, "anything");
        let answered = timeout(PATIENCE, call.answered()).await.expect("in time");
        answered.unwrap_or_else(|error| panic!("{error}: {}", third.messages()));
        // Those who rang ring no more.
        first.finished();
        second.finished();
        seen(&third, "ACK sip:").await;
        drop(call);
        third.finished();
    }
}
