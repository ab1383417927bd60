//! A dialer, Oneport and a carrier, each a process of its own; the dialer is an Asterisk that speaks
//! IAX2, trunked, and the carrier one that speaks SIP. Many calls are up at once, out and in; what is
//! said on each is heard on the other side of all three, and their records tell the same.
//!
//! `ONEPORT_SCENE_CALLS` is how many calls are up at once in each direction, 20 where nothing is said.

mod boxes;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use boxes::{CDR, PATIENCE, Serve, agrees, asterisk, exported, records, text};
use oneport::{Call, Format, NewCall, Phone, PhoneConfig};
use oneport_interop::{echo_is_exact, speech};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::{free_port, wait_for};
use serde_json::Value;

/// So many are spoken on at a time.
const SPOKEN: usize = 10;

/// A call through three boxes, of which the first is at `to`, that has been answered.
async fn talk(phone: &Phone, to: SocketAddr, caller: &str, number: &str) -> Call {
    let mut call = NewCall::to(number);
    call.username = Some("phone".into());
    call.calling_number = Some(caller.into());
    call.formats = vec![Format::ULAW];
    let mut call = phone.call(to, call).await.expect("placed");
    let answered = tokio::time::timeout(PATIENCE, call.answered()).await;
    match answered.unwrap_or_else(|_| panic!("{caller} to {number}: nobody answers")) {
        Ok(_) => call,
        Err(error) => panic!("{caller} to {number}: {error}"),
    }
}

/// Puts up so many calls, and then speaks on each: what is said comes back as it was. Each caller and
/// the number that he called.
async fn through(
    phone: &Phone,
    to: SocketAddr,
    calls: usize,
    caller: &str,
    number: &str,
) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut up = Vec::new();
    for n in 0..calls {
        let (caller, number) = (format!("{caller}{n:04}"), format!("{number}{n:04}"));
        up.push(talk(phone, to, &caller, &number).await);
        names.insert(caller, number);
    }
    let speech = speech();
    for some in up.chunks(SPOKEN) {
        let mut speaking = tokio::task::JoinSet::new();
        for call in some {
            let (mut reader, speaker) = call.audio().await.expect("accepted");
            let spoken = speech[..8_000].to_vec();
            speaking.spawn(async move {
                echo_is_exact(&mut reader, &speaker, &spoken).await;
            });
        }
        while let Some(heard) = speaking.join_next().await {
            heard.expect("it is heard");
        }
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_out_and_in_through_a_carrier_are_heard_and_recorded_alike_on_all_boxes() {
    let calls = std::env::var("ONEPORT_SCENE_CALLS").ok().and_then(|calls| calls.parse().ok());
    let calls: usize = calls.unwrap_or(20);
    let (own, own_sip, their_sip) = (free_port(), free_port(), free_port());
    let phone_of =
        "disallow=all\nallow=ulaw\n[phone]\ntype=user\ncontext=agents\nrequirecalltoken=no\n";
    let dialer = asterisk(
        &format!(
            "{phone_of}[oneport]\ntype=peer\nhost=127.0.0.1\nport={own}\nusername=dialer\n\
             secret=outer\nauth=md5\ntrunk=yes\n\
             [gateway]\ntype=user\nsecret=outer\nauth=md5\ncontext=in\ntrunk=yes\n"
        ),
        "[agents]\nexten => _212554XXXX,1,Dial(IAX2/oneport/${EXTEN},60)\n\
         same => n,Hangup(${HANGUPCAUSE})\n\
         [in]\nexten => _212555XXXX,1,Answer()\nsame => n,Echo()\n",
    );
    let pjsip = format!(
        "[transport]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:{their_sip}\n\
         [us]\ntype=endpoint\ncontext=carrier\ndisallow=all\nallow=ulaw\nauth=us\naors=us\n\
         [us]\ntype=auth\nauth_type=userpass\nusername=us\npassword=secret\n\
         [us]\ntype=aor\nmax_contacts=1\nremove_existing=yes\n\
         [us]\ntype=identify\nendpoint=us\nmatch=127.0.0.1\n"
    );
    let files: [(&str, &[u8]); 3] = [
        ("etc/cdr.conf", CDR),
        ("etc/pjsip.conf", pjsip.as_bytes()),
        ("etc/rtp.conf", b"[general]\nrtpstart=40000\nrtpend=41999\n"),
    ];
    let dialplan = "[carrier]\nexten => _212554XXXX,1,Answer()\nsame => n,Echo()\n\
                    [agents]\nexten => _212555XXXX,1,Dial(PJSIP/${EXTEN}@us,60)\n\
                    same => n,Hangup(${HANGUPCAUSE})\n";
    let carrier = Asterisk::start_with(phone_of, dialplan, &files);
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name);
    let config = format!(
        "[overload]\nenabled = false\n[server]\nlisten = [\"127.0.0.1:{own}\"]\n\
         [store]\npath = {:?}\n\
         [sip]\nudp = [\"127.0.0.1:{own_sip}\"]\nrtp_ports = \"42000-43999\"\n\
         max_invites_per_second = 10000\n\
         [carriers.acme]\nhost = \"127.0.0.1:{their_sip}\"\nusername = \"us\"\nsecret = \"secret\"\n\
         register = true\ncodecs = [\"ulaw\"]\n\
         [peers.dialer]\nsecret = \"outer\"\naddress = \"{}\"\nusername = \"gateway\"\ntrunk = true\n\
         [[routes]]\npattern = \"_212554XXXX\"\nfrom = [\"dialer\"]\nto = [\"carrier:acme\"]\n\
         [[routes]]\npattern = \"_212555XXXX\"\nfrom = [\"carrier:acme\"]\nto = [\"peer:dialer\"]\n",
        file("oneport.db"),
        dialer.address(),
    );
    fs::write(file("oneport.toml"), config).expect("writable");
    let _serve = Serve::start(&file("oneport.toml"), &file("log"));
    wait_for("the carrier to have us registered", PATIENCE, || {
        carrier.cli("pjsip show contacts").contains("us/sip:us@127.0.0.1")
    });
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let phone = Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound");
    let mut names = through(&phone, dialer.address(), calls, "213557", "212554").await;
    names.extend(through(&phone, carrier.address(), calls, "213558", "212555").await);

    let mut legs = Vec::new();
    wait_for("all calls to be on record", PATIENCE, || {
        legs = exported(&file("oneport.toml"));
        legs.len() == 4 * calls
            && records(&dialer).len() == 2 * calls
            && records(&carrier).len() == 2 * calls
    });
    let by_caller = |direction: &str, peer: &str| -> BTreeMap<String, &Value> {
        let own = |leg: &&Value| leg["direction"] == direction && leg["peer"] == peer;
        legs.iter().filter(own).map(|leg| (text(leg, "calling_number").into(), leg)).collect()
    };
    for (asterisk, out, peer) in [(&dialer, "in", "dialer"), (&carrier, "out", "carrier:acme")] {
        let back = if out == "in" { "out" } else { "in" };
        let (ours, others) = (by_caller(out, peer), by_caller(back, peer));
        assert_eq!((ours.len(), others.len()), (calls, calls), "{peer}");
        for record in records(asterisk) {
            let leg = ours.get(&record.caller).or_else(|| others.get(&record.caller));
            agrees(leg.unwrap_or_else(|| panic!("{peer}: nothing of {record:?}")), &record);
            assert_eq!(names.get(&record.caller), Some(&record.called), "{record:?}");
        }
    }
    for (caller, leg) in by_caller("in", "dialer") {
        assert_eq!(leg["call"], by_caller("out", "carrier:acme")[&caller]["call"], "{caller}");
    }
}
