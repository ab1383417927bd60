//! A dialer, Oneport and two media boxes, each a process of its own; the dialer and the boxes are real
//! Asterisks. Whatever becomes of a call, all of them tell the same of it in their records.

mod boxes;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use boxes::{PATIENCE, Serve, agrees, asterisk, exported, records, text};
use oneport::{Call, CallError, CallEvent, CauseCode, Format, NewCall, Phone, PhoneConfig};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::{free_port, wait_for};
use serde_json::Value;

/// An agent's telephone at the dialer.
struct Agents<'a> {
    phone: Phone,
    dialer: &'a Asterisk,
}

impl Agents<'_> {
    /// Dials a DID as the agent of this number.
    async fn dial(&self, agent: &str, did: &str) -> Call {
        let mut call = NewCall::to(did);
        call.username = Some("phone".into());
        call.calling_number = Some(agent.into());
        call.formats = vec![Format::ULAW];
        self.phone.call(self.dialer.address(), call).await.expect("placed")
    }

    async fn talk(&self, agent: &str, did: &str) -> Call {
        let mut call = self.dial(agent, did).await;
        let answered = tokio::time::timeout(PATIENCE, call.answered()).await;
        match answered.unwrap_or_else(|_| panic!("{agent} to {did}: nobody answers")) {
            Ok(_) => call,
            Err(error) => panic!("{agent} to {did}: {error}"),
        }
    }

    /// The cause with which a call is refused.
    async fn refused(&self, agent: &str, did: &str) -> CauseCode {
        let mut call = self.dial(agent, did).await;
        match tokio::time::timeout(PATIENCE, call.answered()).await.expect("in time") {
            Err(CallError::Ended(end)) => end.cause,
            other => panic!("{agent} to {did}: {other:?}"),
        }
    }
}

/// Waits for the other side to hang up.
async fn ended(mut call: Call) {
    let end = async {
        while let Some(event) = call.next_event().await {
            if let CallEvent::Ended(_) = event {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, end).await.expect("it ends");
}

#[tokio::test]
async fn the_records_of_three_boxes_and_a_spare_one_tell_the_same_of_every_call() {
    let own = free_port();
    let media_box = |answers: &str| {
        asterisk(
            "disallow=all\nallow=ulaw\n[oneport]\ntype=user\nauth=md5\nsecret=inner\ncontext=in\n",
            &format!(
                "[in]\nexten => 5551001,1,Answer()\nsame => n,Wait(2)\nsame => n,Hangup()\n\
                 exten => _555100[25-9],1,Answer()\nsame => n,Echo()\n\
                 exten => 5551003,1,Hangup(17)\n\
                 exten => 5551004,1,{answers}\n"
            ),
        )
    };
    let mut media = media_box("Ringing()\nsame => n,Wait(60)");
    let spare = media_box("Answer()\nsame => n,Echo()");
    let dialer = asterisk(
        &format!(
            "disallow=all\nallow=ulaw\n[phone]\ntype=user\ncontext=agents\nrequirecalltoken=no\n\
             [oneport]\ntype=peer\nhost=127.0.0.1\nport={own}\nusername=dialer\nsecret=outer\n\
             auth=md5\ntrunk=yes\n"
        ),
        "[agents]\nexten => _555XXXX,1,Dial(IAX2/oneport/${EXTEN},60)\n\
         same => n,Set(CDR_PROP(disable)=1)\nsame => n,Hangup(${HANGUPCAUSE})\n",
    );
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name);
    let config = format!(
        "[overload]\nenabled = false\n[server]\nlisten = [\"127.0.0.1:{own}\"]\n\
         [store]\npath = {:?}\n\
         [timers]\nlag_seconds = 1\ngive_up_seconds = 6\nautokill_ms = 3000\n\
         [peers.dialer]\nsecret = \"outer\"\naddress = \"127.0.0.1:{}\"\ntrunk = true\n\
         [peers.media]\naddress = \"{}\"\nusername = \"oneport\"\nsecret = \"inner\"\n\
         [peers.spare]\naddress = \"{}\"\nusername = \"oneport\"\nsecret = \"inner\"\n\
         [[routes]]\nname = \"DIDs\"\npattern = \"_5551XXX\"\nto = [\"peer:media\", \"peer:spare\"]\n\
         timeout_seconds = 3\ncontinue_on = [\"no_answer\"]\n\
         [[limits]]\nname = \"DID\"\nnumbers = \"_555100[5-9]\"\neach_number = true\n\
         max_calls = 1\n",
        file("oneport.db"),
        dialer.address().port(),
        media.address(),
        spare.address(),
    );
    fs::write(file("oneport.toml"), config).expect("writable");
    let _serve = Serve::start(&file("oneport.toml"), &file("log"));
    wait_for("the switch to listen", PATIENCE, || {
        fs::read_to_string(file("log")).is_ok_and(|log| log.contains("listening"))
    });
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let phone = Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound");
    let agents = Agents { phone, dialer: &dialer };

    // The media box hangs up, or the agent does.
    ended(agents.talk("3001", "5551001").await).await;
    let call = agents.talk("3002", "5551002").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(call);
    assert_eq!(agents.refused("3003", "5551003").await, CauseCode::USER_BUSY);
    // One call is all that this DID takes, and the next takes its own.
    let first = agents.talk("3004", "5551005").await;
    assert_eq!(agents.refused("3005", "5551005").await, CauseCode::CIRCUIT_CONGESTION);
    drop(agents.talk("3006", "5551006").await);
    drop(first);
    // Nobody answers there in time, but in the spare box.
    drop(agents.talk("3007", "5551004").await);
    // The media box dies with calls on it, which end; the next go to the spare one. What it has written
    // before counts: 3007, which rang there, ends a little after it was answered elsewhere.
    let doomed = [agents.talk("3008", "5551007").await, agents.talk("3009", "5551008").await];
    wait_for("the media box to have written of six calls", PATIENCE, || records(&media).len() == 6);
    media.kill();
    for call in doomed {
        ended(call).await;
    }
    drop(agents.talk("3010", "5551002").await);
    drop(agents.talk("3011", "5551007").await);

    let mut legs = Vec::new();
    wait_for("all calls to be on record", PATIENCE, || {
        legs = exported(&file("oneport.toml"));
        // A leg outward ends, and is on record, a little after that inward.
        let to_spare = |leg: &&Value| leg["direction"] == "out" && leg["peer"] == "spare";
        legs.iter().filter(|leg| leg["direction"] == "in").count() == 11
            && legs.iter().filter(to_spare).count() == 3
            && records(&dialer).len() == 11
            && records(&spare).len() == 3
    });
    let by_caller = |direction: &str, peer: &str| -> BTreeMap<String, &Value> {
        let own = |leg: &&Value| leg["direction"] == direction && leg["peer"] == peer;
        legs.iter().filter(own).map(|leg| (text(leg, "calling_number").into(), leg)).collect()
    };
    for (asterisk, direction, peer, calls) in [
        (&dialer, "in", "dialer", 11),
        // Those under which it died are in nobody's records but ours.
        (&media, "out", "media", 6),
        (&spare, "out", "spare", 3),
    ] {
        let (ours, theirs) = (by_caller(direction, peer), records(asterisk));
        assert_eq!(theirs.len(), calls, "{peer}: {theirs:?}");
        for record in theirs {
            let leg = ours.get(&record.caller);
            agrees(leg.unwrap_or_else(|| panic!("{peer}: nothing of {record:?}")), &record);
        }
    }
    // Both legs of a call bear its id, and what was refused names the limit.
    let calls = by_caller("in", "dialer");
    for (caller, leg) in by_caller("out", "spare") {
        assert_eq!(leg["call"], calls[&caller]["call"], "{caller}");
    }
    assert_eq!(calls["3005"]["limit"], "DID (5551005)");
}
