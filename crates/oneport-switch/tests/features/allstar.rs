//! Nodes of AllStarLink: looked up by DNS and in a list, called, and let in when they call.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::Path;
use std::task::Poll;

use oneport::{CauseCode, NewCall, Phone};
use oneport_testkit::name_server::{Entries, Entry, NameServer};

use crate::setting::*;

/// The zone of these tests.
const ZONE: &str = "nodes.example";

fn names(entries: Entries) -> NameServer {
    NameServer::start(SocketAddr::from(([127, 0, 0, 1], 0)), entries)
}

/// A node at this telephone.
fn node(server: &'static str, host: &'static str, phone: &Phone) -> Entries {
    let port = phone.local_addresses()[0].port();
    vec![(server, Entry::Server(10, port, host)), (host, Entry::Address([127, 0, 0, 1].into()))]
}

/// A switch that looks nodes up there: ann calls `2XXX`, and nodes call as `radio`.
fn setting(names: &NameServer, keys: &str) -> String {
    format!(
        "[peers.ann]\nsecret = \"a\"\n[peers.radio]\nallstar = true\ncodecs = [\"ulaw\"]\n\
         [allstar]\nzone = \"{ZONE}\"\nname_servers = [\"{}\"]\n{keys}\n\
         [[routes]]\npattern = \"_[23]XXX\"\nto = [\"allstar:radio\"]\n",
        names.address
    )
}

/// A call by a node of this number.
fn as_node(number: &str, to: &str) -> NewCall {
    let mut call = NewCall::to(to);
    call.username = Some("radio".into());
    call.calling_number = Some(number.into());
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_called_where_dns_says_it_is_and_asked_for_once() {
    let (node_2000, ann) = (phone(), phone());
    let names = names(node("_iax._udp.2000.nodes.example", "2000.nodes.example", &node_2000));
    let (_switch, to) = switch(&setting(&names, ""));
    for _ in 0..2 {
        let call = ann.call(to, from("ann", "2000")).await.expect("placed");
        let at_node = incoming(&node_2000).await;
        let offer = at_node.offer();
        assert_eq!(offer.called_number, "2000");
        assert_eq!(offer.username.as_deref(), Some("radio"), "as nodes call each other");
        drop((call, at_node));
    }
    assert_eq!(names.asked(), 2, "its server and that server's address, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_exist_is_not_asked_for_again_at_once() {
    let names = names(vec![("2001.nodes.example", Entry::Address([127, 0, 0, 1].into()))]);
    let (_switch, to) = switch(&setting(&names, ""));
    let ann = phone();
    for _ in 0..3 {
        assert_eq!(refused(&ann, to, from("ann", "2001")).await.cause, CauseCode::UNALLOCATED);
    }
    assert_eq!(names.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_name_server_is_silent_other_calls_go_on() {
    let names = names(vec![("_iax._udp.2000.nodes.example", Entry::Silence)]);
    let (_switch, to) = switch(&setting(&names, "timeout_ms = 10000"));
    let ann = phone();
    let mut waits = ann.call(to, from("ann", "2000")).await.expect("placed");
    until("the name server is asked", async || names.asked() > 0).await;
    let echo = answered(&ann, to, from("ann", "echo")).await;
    let mut answer = Box::pin(waits.answered());
    let now = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_ready())).await;
    assert!(!now, "echo was answered while the other call waited for its node");
    drop(echo);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_name_server_ends_the_wait_and_a_list_helps() {
    let (node_3000, ann) = (phone(), phone());
    let names = names(vec![
        ("_iax._udp.3000.nodes.example", Entry::Silence),
        ("_iax._udp.3001.nodes.example", Entry::Silence),
    ]);
    let directory = tempfile::tempdir().expect("a directory");
    let list = directory.path().join("rpt_extnodes");
    let at = node_3000.local_addresses()[0];
    let write = |node: &str| {
        let text = format!("[extnodes]\n{node}=club@{at}/77,{}\n", at.ip());
        std::fs::write(&list, text).expect("writable");
    };
    write("3000");
    let keys = format!("timeout_ms = 400\nlist = \"{}\"", list.display());
    let (_switch, to) = switch(&setting(&names, &keys));
    let call = ann.call(to, from("ann", "3000")).await.expect("placed");
    let at_node = incoming(&node_3000).await;
    assert_eq!(at_node.offer().called_number, "77", "what the list says");
    assert_eq!(at_node.offer().username.as_deref(), Some("club"));
    drop((call, at_node));
    let end = refused(&ann, to, from("ann", "3001")).await;
    assert_eq!(end.cause, CauseCode::TEMPORARY_FAILURE, "who does not answer has not said no");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_alone_does_and_is_read_again_when_it_changes() {
    let (node_2000, ann) = (phone(), phone());
    let names = names(Vec::new());
    let directory = tempfile::tempdir().expect("a directory");
    let list = directory.path().join("rpt_extnodes");
    let at = node_2000.local_addresses()[0];
    std::fs::write(&list, "[extnodes]\n").expect("writable");
    let keys = format!("dns = false\nnot_found_seconds = 5\nlist = \"{}\"", list.display());
    let (_switch, to) = switch(&setting(&names, &keys));
    assert_eq!(refused(&ann, to, from("ann", "2000")).await.cause, CauseCode::UNALLOCATED);
    std::fs::write(&list, format!("[extnodes]\n2000=radio@{at}/2000,NONE\n")).expect("writable");
    until("the list is read again", async || {
        let Ok(call) = ann.call(to, from("ann", "2000")).await else { return false };
        let ring =
            tokio::time::timeout(std::time::Duration::from_millis(500), node_2000.incoming());
        let rings = ring.await.is_ok();
        drop(call);
        rings
    })
    .await;
    assert_eq!(names.asked(), 0, "DNS is not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_calls_is_let_in_from_where_it_is_looked_up_and_nowhere_else() {
    let caller = phone();
    let here = node("_iax._udp.2000.nodes.example", "2000.nodes.example", &caller);
    let elsewhere = vec![
        ("_iax._udp.2001.nodes.example", Entry::Server(10, 4569, "2001.nodes.example")),
        ("2001.nodes.example", Entry::Address([192, 0, 2, 1].into())),
    ];
    let names = names([here, elsewhere].concat());
    let (_switch, to) = switch(&setting(&names, ""));
    drop(answered(&caller, to, as_node("2000", "echo")).await);
    for stranger in ["2001", "2002", "W1AW", ""] {
        let end = refused(&caller, to, as_node(stranger, "echo")).await;
        assert_eq!(end.cause, CauseCode::REJECTED, "as node {stranger:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_secret_a_node_need_not_be_looked_up() {
    let names = names(Vec::new());
    let text = setting(&names, "")
        .replace("allstar = true", "allstar = true\nallstar_check = false\nsecret = \"r\"");
    let (_switch, to) = switch(&text);
    let caller = phone();
    let mut call = as_node("W1AW", "echo");
    call.secret = Some(oneport::Secret::from("r"));
    drop(answered(&caller, to, call).await);
    let end = refused(&caller, to, as_node("2000", "echo")).await;
    assert_eq!(end.cause, CauseCode::FACILITY_NOT_SUBSCRIBED, "it has no secret to prove");
    assert_eq!(names.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_is_led_on_by_a_configuration_that_finds_its_node() {
    let (node_2000, ann) = (phone(), phone());
    let silent = names(vec![("_iax._udp.2000.nodes.example", Entry::Silence)]);
    let good = names(node("_iax._udp.2000.nodes.example", "2000.nodes.example", &node_2000));
    let (switch, to) = switch(&setting(&silent, "timeout_ms = 10000"));
    let _call = ann.call(to, from("ann", "2000")).await.expect("placed");
    until("the name server is asked", async || silent.asked() > 0).await;
    let text = format!(
        "[overload]\nenabled = false\n[server]\nlisten = [\"{to}\"]\n{}",
        setting(&good, "")
    );
    let config = oneport_switch::Config::parse(Path::new("test.toml"), &text).expect("good");
    switch
        .with(|endpoint, switch, now| switch.reload(endpoint, now, config))
        .await
        .expect("running");
    assert_eq!(incoming(&node_2000).await.offer().called_number, "2000");
}
