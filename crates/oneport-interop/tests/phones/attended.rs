//! Attended transfers: Asterisk's PJSIP is a phone that talks to two others and joins them (REFER with
//! Replaces), or takes the place of a call that is up (INVITE with Replaces).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oneport::{Call, CallEvent, CauseCode, Phone, Progress};
use oneport_interop::gateway::{System, gateway_with_records, loopback};
use oneport_interop::{
    PATIENCE, each_frame_returns, named, phone, speech, until_heard, wait_for_silence,
};
use oneport_switch::Cdr;
use oneport_switch::store::{CdrFilter, Order, Paging, SqliteStore, Store};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::wait_for;
use tokio::time::timeout;

/// Asterisk as the phone `desk`, which talks to Bob (700) and to Carl (800).
struct Scene {
    system: System,
    store: Arc<SqliteStore>,
    asterisk: Asterisk,
    bob: Phone,
    carl: Phone,
}

/// Each call says how its dialog is known, and waits.
const DIALPLAN: &str = "[desk]
exten => desk,1,Ringing()
same => n,Goto(rings,1)
exten => _[a-z].,1,Verbose(0,DIALOG ${EXTEN} ${CHANNEL(pjsip,call-id)} ${CHANNEL(pjsip,local_tag)} ${CHANNEL(pjsip,remote_tag)})
same => n,Wait(600)
";

impl Scene {
    async fn begin() -> Self {
        let (bob, bob_at) = phone();
        let (carl, carl_at) = phone();
        let (system, store) = gateway_with_records(&format!(
            "rtp_ports = \"34000-34999\"\n\
             [peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\ncodecs = [\"ulaw\"]\nqualify = false\n\
             [peers.bob]\naddress = \"{bob_at}\"\nqualify = false\n\
             [peers.carl]\naddress = \"{carl_at}\"\nqualify = false\n\
             [[routes]]\nnumber = \"600\"\nfrom = [\"desk\"]\nto = [\"builtin:echo\"]\n\
             [[routes]]\nnumber = \"700\"\nfrom = [\"desk\"]\nto = [\"peer:bob\"]\n\
             [[routes]]\nnumber = \"800\"\nfrom = [\"desk\"]\nto = [\"peer:carl\"]\n"
        ))
        .await;
        let asterisk = desk(loopback(), system.sip);
        wait_for("Asterisk to be registered", PATIENCE, || {
            asterisk.cli("pjsip show registrations").contains("Registered")
        });
        let _ = asterisk.cli("pjsip set logger on");
        Self { system, store, asterisk, bob, carl }
    }

    /// The desk calls a number, and is `extension` in that call.
    fn calls(&self, number: &str, extension: &str) {
        let extension = format!("{extension}@desk");
        self.asterisk.originate(&format!("PJSIP/{number}@oneport"), &extension);
    }

    /// The dialog of the call in which the desk is `extension`: Call-ID, Asterisk's tag and ours.
    fn dialog(&self, extension: &str) -> [String; 3] {
        let said = format!("DIALOG {extension} ");
        self.asterisk.wait_for_log(&said);
        let log = self.asterisk.log();
        // The log has it twice: as what is done, and as what was said.
        let words = log.rsplit(&said).next().unwrap_or_default().split_whitespace().take(3);
        let words: Vec<&str> = words.map(|word| word.trim_matches(['"', ')'])).collect();
        let [call_id, local, remote] = words[..] else { panic!("{words:?} in {log}") };
        [call_id, local, remote].map(String::from)
    }

    /// What the desk is told of its transfer: the status in the NOTIFY.
    fn told(&self) -> String {
        let mut status = String::new();
        wait_for("the desk to be told of its transfer", PATIENCE, || {
            let log = self.asterisk.log();
            let told = log.split("Content-Type: message/sipfrag").nth(1);
            let told = told.and_then(|told| told.split_once("SIP/2.0 "));
            status = told.map(|(_, told)| told.chars().take(3).collect()).unwrap_or_default();
            status.len() == 3
        });
        status
    }

    /// The desk asks for its call in which it is `extension` to be led to `number` in place of this dialog.
    fn transfers(&self, extension: &str, number: &str, [call_id, local, remote]: &[String; 3]) {
        let channels = self.asterisk.cli("core show channels concise");
        let line = channels.lines().find(|line| line.contains(&format!("!{extension}!")));
        let channel = line.and_then(|line| line.split('!').next());
        let channel = channel.unwrap_or_else(|| panic!("nobody is {extension}: {channels}"));
        self.asterisk.set_dialplan(&format!(
            "{DIALPLAN}[leads]\n\
             exten => on,1,Transfer(PJSIP/sip:{number}@{}?Replaces={call_id}%3Bto-tag%3D{remote}%3Bfrom-tag%3D{local})\n\
             same => n,Wait(600)\n",
            self.system.sip
        ));
        let _ = self.asterisk.cli(&format!("channel redirect {channel} leads,on,1"));
    }

    /// The desk calls, and wants the place of the call in which it is `extension`, with an echo; `only` behind its
    /// name.
    fn takes_the_place_of(&self, extension: &str, only: &str) {
        for module in ["res_pjsip_header_funcs.so", "app_stack.so"] {
            let loaded = self.asterisk.cli(&format!("module load {module}"));
            assert!(loaded.contains("Loaded"), "{loaded}");
        }
        let [call_id, local, remote] = self.dialog(extension);
        self.asterisk.set_dialplan(&format!(
            "{DIALPLAN}[takes]\n\
             exten => over,1,Dial(PJSIP/any@oneport,60,b(takes^says^1))\n\
             exten => says,1,Set(PJSIP_HEADER(add,Replaces)={call_id}\\;to-tag={remote}\\;from-tag={local}{only})\n\
             same => n,Return()\n\
             exten => echo,1,Answer()\n\
             same => n,Echo()\n"
        ));
        self.asterisk.originate("Local/over@takes/n", "echo@takes");
    }

    /// All records, when there are so many.
    async fn records(&self, count: usize) -> Vec<Cdr> {
        let all = Paging { order: Order::OldestFirst, after: None, most: Paging::MOST };
        let begun = Instant::now();
        loop {
            let found =
                self.store.cdrs(&CdrFilter::default(), all).await.expect("readable").records;
            if found.len() >= count {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{} of {count} records", found.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Asterisk as the phone `desk` at `own`, which registers at `to`.
fn desk(own: SocketAddr, to: SocketAddr) -> Asterisk {
    let config = format!(
        "[transport]\ntype=transport\nprotocol=udp\nbind={own}\n\
         [oneport]\ntype=registration\noutbound_auth=oneport\nserver_uri=sip:{to}\n\
         client_uri=sip:desk@{to}\ncontact_user=desk\nretry_interval=2\nexpiration=120\n\
         [oneport]\ntype=auth\nauth_type=digest\nusername=desk\npassword=secret\n\
         [oneport]\ntype=aor\ncontact=sip:{to}\n\
         [oneport]\ntype=endpoint\ncontext=desk\ndisallow=all\nallow=ulaw\naors=oneport\n\
         outbound_auth=oneport\nfrom_user=desk\n\
         [oneport]\ntype=identify\nendpoint=oneport\nmatch=127.0.0.0/8\n"
    );
    let rtp = "[general]\nrtpstart=33000\nrtpend=33999\n";
    let files: [(&str, &[u8]); 2] =
        [("etc/pjsip.conf", config.as_bytes()), ("etc/rtp.conf", rtp.as_bytes())];
    Asterisk::start_with("", DIALPLAN, &files)
}

async fn answers(phone: &Phone, asterisk: &Asterisk) -> Call {
    let incoming = timeout(PATIENCE, phone.incoming()).await;
    let incoming = incoming.unwrap_or_else(|_| panic!("no call; {}", asterisk.log()));
    incoming.expect("a call").answer().await.expect("answered")
}

/// What one says the other hears, byte for byte, and the other way round.
async fn talk(one: &Call, other: &Call) {
    other.echo().await.expect("it is up");
    let (mut reader, speaker) = one.audio().await.expect("accepted");
    each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_joins_the_two_it_talks_to_and_leaves_them() {
    let scene = Scene::begin().await;
    scene.calls("700", "first");
    let bob = answers(&scene.bob, &scene.asterisk).await;
    scene.calls("800", "second");
    let mut carl = answers(&scene.carl, &scene.asterisk).await;
    let dialog = scene.dialog("second");
    scene.transfers("first", "800", &dialog);
    assert_eq!(scene.told(), "200");
    talk(&bob, &carl).await;
    // Both its calls have been ended.
    wait_for_silence(&scene.asterisk);
    bob.hangup(CauseCode::NORMAL_CLEARING);
    timeout(PATIENCE, carl.ended()).await.expect("in time").expect("it ends");
    let records = scene.records(4).await;
    let of = |peer: &str| -> Vec<&Cdr> {
        records.iter().filter(|cdr| cdr.peer.as_deref() == Some(peer)).collect()
    };
    let (desk, bob, carl) = (of("desk"), of("bob"), of("carl"));
    assert_eq!((desk.len(), bob.len(), carl.len()), (2, 1, 1), "{records:#?}");
    assert_eq!(bob[0].call, carl[0].call, "they have become one call");
    assert!(desk.iter().any(|leg| leg.call == bob[0].call), "it is that of the first");
    assert!(records.iter().all(|leg| leg.answer.is_some() && leg.cause == 16), "{records:#?}");
    // Each leg has the number of its own within the call.
    let numbers: std::collections::BTreeSet<_> =
        records.iter().map(|leg| (leg.call, leg.leg)).collect();
    assert_eq!(numbers.len(), 4, "{records:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_led_to_a_number_that_ends_here_by_an_attended_transfer_is_led_there() {
    let scene = Scene::begin().await;
    scene.calls("700", "first");
    let bob = answers(&scene.bob, &scene.asterisk).await;
    // The echo.
    scene.calls("600", "second");
    let dialog = scene.dialog("second");
    scene.transfers("first", "600", &dialog);
    assert_eq!(scene.told(), "200");
    let (mut reader, speaker) = bob.audio().await.expect("accepted");
    each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
    wait_for_silence(&scene.asterisk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_to_a_call_that_there_is_not_is_refused_and_both_go_on() {
    let scene = Scene::begin().await;
    scene.calls("700", "first");
    let bob = answers(&scene.bob, &scene.asterisk).await;
    let [call_id, local, remote] = scene.dialog("first");
    let nobody = [format!("x{call_id}"), local, remote];
    scene.transfers("first", "800", &nobody);
    assert_eq!(scene.told(), "481");
    assert!(bob.stats().await.is_some(), "it goes on");
    assert!(scene.asterisk.cli("core show channels").contains("1 active channel"));
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_takes_the_place_of_a_call_that_is_up() {
    let scene = Scene::begin().await;
    scene.calls("700", "first");
    let bob = answers(&scene.bob, &scene.asterisk).await;
    scene.takes_the_place_of("first", "");
    // Bob hears the echo now, and the call from before has ended.
    let (mut reader, speaker) = bob.audio().await.expect("accepted");
    wait_for("the call before to end", PATIENCE, || {
        !scene.asterisk.cli("core show channels concise").contains("!first!")
    });
    until_heard(&mut reader, &speaker).await;
    each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
    bob.hangup(CauseCode::NORMAL_CLEARING);
    wait_for_silence(&scene.asterisk);
    let records = scene.records(3).await;
    assert!(records.iter().all(|leg| leg.answer.is_some() && leg.cause == 16), "{records:#?}");
    let calls: std::collections::BTreeSet<_> = records.iter().map(|leg| leg.call).collect();
    assert_eq!(calls.len(), 1, "it has become part of the call: {records:#?}");
}

/// The desk is at the echo; another of its calls is there then.
#[tokio::test(flavor = "multi_thread")]
async fn asterisk_takes_the_place_of_a_call_that_ends_here() {
    let scene = Scene::begin().await;
    scene.calls("600", "first");
    scene.takes_the_place_of("first", "");
    wait_for("the call before to end", PATIENCE, || {
        !scene.asterisk.cli("core show channels concise").contains("!first!")
    });
    let first = scene.records(1).await;
    assert_eq!((first.len(), first[0].cause), (1, 16), "{first:#?}");
    let _ = scene.asterisk.cli("channel request hangup all");
    wait_for_silence(&scene.asterisk);
    let records = scene.records(2).await;
    for leg in &records {
        assert_eq!(leg.destination.as_deref(), Some("builtin:echo"), "{records:#?}");
        assert!(leg.answer.is_some() && leg.cause == 16, "{records:#?}");
    }
}

/// Ann calls the desk, where it rings; the desk picks that up by another call.
#[tokio::test(flavor = "multi_thread")]
async fn asterisk_picks_up_a_call_that_rings() {
    let scene = Scene::begin().await;
    let (ann, _) = phone();
    let mut call = ann.call(scene.system.iax, named("desk", "ann", "a")).await.expect("placed");
    while !matches!(
        timeout(PATIENCE, call.next_event()).await.expect("in time").expect("it lives"),
        CallEvent::Progress(Progress::Ringing)
    ) {}
    scene.takes_the_place_of("rings", "\\;early-only");
    let answered = timeout(PATIENCE, call.answered()).await.expect("in time");
    answered.unwrap_or_else(|error| panic!("{error}; {}", scene.asterisk.log()));
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    until_heard(&mut reader, &speaker).await;
    each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
    // Where it rang, it was given up.
    wait_for("the ringing to end", PATIENCE, || {
        !scene.asterisk.cli("core show channels concise").contains("!rings!")
    });
    drop(call);
    wait_for_silence(&scene.asterisk);
    let records = scene.records(3).await;
    let calls: std::collections::BTreeSet<_> = records.iter().map(|leg| leg.call).collect();
    assert_eq!(calls.len(), 1, "it has become part of the call: {records:#?}");
    let mut causes: Vec<_> = records.iter().map(|leg| (leg.answer.is_some(), leg.cause)).collect();
    causes.sort_unstable();
    assert_eq!(causes, [(false, 26), (true, 16), (true, 16)], "{records:#?}");
}
