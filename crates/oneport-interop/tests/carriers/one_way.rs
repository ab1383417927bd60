//! Carriers that are not heard, or do not hear: what is kept of their calls says why.

use std::net::SocketAddr;
use std::time::Duration;

use oneport::CauseCode;
use oneport_interop::gateway::gateway_with_records;
use oneport_interop::{PATIENCE, phone, wait_for_silence};
use oneport_switch::store::{CdrFilter, Order, Paging, Store};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::free_port;
use tokio::time::timeout;

use crate::shared::{ann, callee};

const ANSWERS: &str = include_str!("scenarios/uas_answers.xml");

/// Ann calls this carrier and speaks for so long; what its leg's record says of one-way voice: names of reasons,
/// the first as a sentence, for how long, and how long the leg was up.
async fn call_of(
    carrier: SocketAddr,
    sip: &str,
    number: &str,
    seconds: usize,
) -> (String, String, u64, u64) {
    let (system, store) = gateway_with_records(&format!(
        "{sip}\n\
         [carriers.acme]\nhost = \"{carrier}\"\noptions_seconds = 0\ncodecs = [\"ulaw\"]\n\
         [[routes]]\npattern = \"_X.\"\nto = [\"carrier:acme\"]\n"
    ))
    .await;
    let (phone, _) = phone();
    let mut call = phone.call(system.iax, ann(number)).await.expect("placed");
    timeout(PATIENCE, call.answered()).await.expect("in time").expect("answered");
    let speaker = call.speaker().expect("accepted");
    let tone: Vec<i16> =
        (0..seconds * 8_000).map(|n| ((n as f64 / 8.0).sin() * 8_000.0) as i16).collect();
    speaker.play(&tone).await;
    call.hangup(CauseCode::NORMAL_CLEARING);
    call.ended().await.expect("it ends");
    let all = Paging { order: Order::OldestFirst, after: None, most: Paging::MOST };
    let filter = CdrFilter { peer: Some("carrier:acme".into()), ..CdrFilter::default() };
    loop {
        let found = store.cdrs(&filter, all).await.expect("readable").records;
        if let Some(cdr) = found.first() {
            let quality = &cdr.quality;
            return (
                quality.one_way.clone().unwrap_or_default(),
                quality.one_way_why.clone().unwrap_or_default(),
                quality.one_way_ms.unwrap_or_default(),
                cdr.duration_ms,
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// sipp answers with a description that names an address inside of its own network, and never sends.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_in_the_answer_is_named_where_no_packet_comes() {
    let mut sipp = callee(&ANSWERS.replace("[media_ip]", "192.168.77.5"), 1);
    let public = "public_address = \"203.0.113.9\"";
    let (reasons, why, ..) = call_of(sipp.address(), public, "12125550100", 5).await;
    sipp.finished();
    assert_eq!(reasons, "their_private_address");
    assert!(why.contains("192.168.77.5"), "{why}");
}

/// sipp answers with a port at which nobody listens: what is sent there comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_at_which_nobody_listens_is_named() {
    let closed = free_port();
    let mut sipp = callee(&ANSWERS.replace("[media_port]", &closed.to_string()), 1);
    let (reasons, why, ..) = call_of(sipp.address(), "", "12125550100", 5).await;
    sipp.finished();
    assert_eq!(reasons, "port_unreachable");
    assert!(why.contains(&format!("127.0.0.1:{closed}")), "{why}");
}

/// Asterisk answers, sends nothing while it waits, and then what it hears.
#[tokio::test(flavor = "multi_thread")]
async fn asterisk_that_sends_nothing_at_first_is_named_until_it_speaks() {
    let port = free_port();
    let pjsip = format!(
        "[transport]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:{port}\n\
         [us]\ntype=endpoint\ncontext=carrier\ndisallow=all\nallow=ulaw\naors=us\n\
         [us]\ntype=aor\nmax_contacts=1\n\
         [us]\ntype=identify\nendpoint=us\nmatch=127.0.0.1\n"
    );
    let rtp = "[general]\nrtpstart=33000\nrtpend=33999\n";
    let files: [(&str, &[u8]); 2] =
        [("etc/pjsip.conf", pjsip.as_bytes()), ("etc/rtp.conf", rtp.as_bytes())];
    let dialplan = "[carrier]\nexten => _X.,1,Answer()\nsame => n,Wait(6)\nsame => n,Echo()\n";
    let asterisk = Asterisk::start_with("", dialplan, &files);
    let carrier = SocketAddr::from(([127, 0, 0, 1], port));
    let (reasons, why, lasted, all) = call_of(carrier, "", "12125550100", 12).await;
    assert_eq!(reasons, "no_packet", "{why}; {}", asterisk.log());
    assert!(lasted > 0 && lasted < all, "{lasted} of {all} ms");
    wait_for_silence(&asterisk);
}
