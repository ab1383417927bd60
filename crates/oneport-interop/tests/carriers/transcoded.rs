//! Calls that the gateway or the switch transcodes, and how many of them there may be.

use oneport::{CallEvent, CauseCode, Format, NewCall};
use oneport_interop::{PATIENCE, named, phone};
use oneport_testkit::peers::own_loopback;
use oneport_testkit::peers::sipp::{Scenario, Sipp};
use tokio::time::timeout;

use crate::script::Script;
use crate::shared::{carrier, gateway, refusal, route, seen, talk};

/// What is offered first is taken while it rings; the answer is another.
const ALAW: &str = "[local_ip] RTP/AVP 8 101\na=rtpmap:8 PCMA/8000";

fn ann_in(number: &str, formats: &[Format]) -> NewCall {
    let mut call = named(number, "ann", "a");
    call.formats = formats.to_vec();
    call
}

/// One place is for the call that the gateway transcodes, since its carrier has answered in another codec
/// than what it was accepted in; as long as it is up, neither gateway nor switch has another.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_gateway_and_switch_transcode_are_limited_together() {
    // Those that are refused here are answered first, and hung up.
    let script = Script::is_called()
        .answers(0, "180 Ringing", &[], None)
        .answers(0, "200 OK", &[], Some(ALAW))
        .receives("ACK")
        .gets_bye();
    let xml = script.xml();
    let listen = (own_loopback(), 5060).into();
    let mut sipp =
        Sipp::start(&Scenario { xml: &xml, calls: (3, 3), listen, to: None, arguments: &[] });
    let (bob, bob_at) = phone();
    let system = gateway(&format!(
        "[audio]\nmax_transcoded_calls = 1\n\
         [peers.bob]\naddress = \"{bob_at}\"\nqualify = false\ncodecs = [\"ulaw\"]\n\
         [[routes]]\nnumber = \"600\"\nto = [\"peer:bob\"]\n{}{}",
        carrier("acme", listen, "codecs = [\"ulaw\", \"alaw\"]"),
        route("\"carrier:acme\"")
    ));
    let (ann, _) = phone();
    let first = talk(&ann, &system).await;
    let (_reader, speaker) = first.audio().await.expect("accepted");
    let begun = std::time::Instant::now();
    // It takes its place with the first of its voice.
    while system.held().transcoded == 0 {
        assert!(begun.elapsed() < PATIENCE, "it is not transcoded");
        speaker.send(Format::ULAW, &[0xD5; 160], 20);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // The gateway's second.
    let cause = refusal(&ann, system.iax, "12125550177").await;
    assert_eq!(cause, CauseCode::BEARER_NOT_AVAILABLE);
    seen(&sipp, "BYE sip:").await;
    // The switch's own.
    let mut linear = ann.call(system.iax, ann_in("600", &[Format::SLIN])).await.expect("placed");
    match timeout(PATIENCE, linear.answered()).await.expect("in time") {
        Err(oneport::CallError::Ended(end)) => {
            assert_eq!(end.cause, CauseCode::RESOURCE_UNAVAILABLE);
        }
        other => panic!("{other:?}"),
    }
    // Its end makes room.
    drop((first, speaker));
    let begun = std::time::Instant::now();
    let bobs = loop {
        let mut call = ann.call(system.iax, ann_in("600", &[Format::SLIN])).await.expect("placed");
        let rings = tokio::select! {
            incoming = bob.incoming() => Some(incoming.expect("a call")),
            ended = call.next_event() => {
                let over = matches!(ended, Some(CallEvent::Ended(_)) | None);
                assert!(!over || begun.elapsed() < PATIENCE, "no place is given back");
                None
            }
        };
        if let Some(incoming) = rings {
            let answered = incoming.answer().await.expect("answered");
            timeout(PATIENCE, call.answered()).await.expect("in time").expect("answered");
            break (call, answered);
        }
    };
    // The switch's own keeps the gateway from it.
    let cause = refusal(&ann, system.iax, "12125550177").await;
    assert_eq!(cause, CauseCode::BEARER_NOT_AVAILABLE);
    drop(bobs);
    sipp.finished();
}
