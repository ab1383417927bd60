//! Transfers with real Asterisks 22 as the ends. They follow a transfer, but never begin one.

use std::net::Ipv6Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use oneport::media::Codec;
use oneport::{Call, CallEvent, Driver, Phone};
use oneport_interop::{
    PATIENCE, PHONE, call_over, echo_is_exact_from, named, phone, speech, switch, switch_on_both,
    wait_for_silence,
};
use oneport_switch::api::Api;
use oneport_switch::{Config, Switch};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::tshark::Capture;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CALLED: &str = "
disallow=all
allow=ulaw
requirecalltoken=yes
[oneport]
type=user
auth=md5
secret=link
context=test
";

const EXTENSIONS: &str = "
[test]
exten => echo,1,Answer()
same => n,Echo()
exten => milliwatt,1,Answer()
same => n,Milliwatt(o)
exten => away,1,Answer()
same => n,Wait(1)
same => n,Transfer(IAX2/milliwatt)
same => n,Wait(5)
exten => led,1,Answer()
same => n,WaitExten(60)
exten => 5,1,Transfer(IAX2/mirror)
same => n,Wait(5)
";

/// An Asterisk calls the other's echo over our switch, for a telephone of ours.
struct Bridged {
    caller: Asterisk,
    called: Asterisk,
    driver: Driver<Switch>,
    call: Call,
    /// What the switch writes.
    state: TempDir,
    _phone: Phone,
}

impl Bridged {
    async fn new(transfer: &str) -> Self {
        let called = Asterisk::start(CALLED, EXTENSIONS);
        let iax = format!("disallow=all\nallow=ulaw\n{PHONE}");
        let caller = Asterisk::start(&iax, "[phone]\n");
        Self::between(transfer, caller, called).await
    }

    async fn between(transfer: &str, caller: Asterisk, called: Asterisk) -> Self {
        Self::calling("echo", transfer, caller, called).await
    }

    /// The same, to another number of the called Asterisk.
    async fn calling(number: &str, transfer: &str, caller: Asterisk, called: Asterisk) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let (driver, to) = switch_on_both(&format!(
            "[audio]\nrecord = {:?}\n[peers.ann]\nsecret = \"right\"\ntransfer = {transfer:?}\n\
             [peers.far]\naddress = \"{}\"\nusername = \"oneport\"\nsecret = \"link\"\n\
             transfer = {transfer:?}\n\
             [[routes]]\nnumber = \"{number}\"\nto = [\"peer:far\"]\n\
             [[routes]]\nnumber = \"mirror\"\nto = [\"builtin:echo\"]\n",
            state.path(),
            called.address()
        ));
        let (phone, _) = phone();
        let call = call_over(&phone, &caller, &format!("IAX2/ann:right@{to}/{number}")).await;
        Self { caller, called, driver, call, state, _phone: phone }
    }

    /// Speaks from the first moment, and hears all of it again but for the first second: then the
    /// echo misses what was on its way while the ends found each other, at most. Meanwhile `check`
    /// is asked until it says yes.
    async fn talks_on_until(self, what: &str, check: impl AsyncFn(&Self) -> bool) {
        let (mut reader, speaker) = self.call.audio().await.expect("accepted");
        let voice = tokio::spawn(async move {
            echo_is_exact_from(8_000, &mut reader, &speaker, &speech()).await;
        });
        let start = Instant::now();
        while !check(&self).await {
            assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        voice.await.expect("every byte comes back");
        assert!(check(&self).await, "{what}");
        drop(self.call);
        wait_for_silence(&self.caller);
        wait_for_silence(&self.called);
    }

    /// Voice frames that the switch relays in a second.
    async fn relayed(&self) -> u64 {
        let count = || self.driver.with(|endpoint, _, _| endpoint.counters().relayed);
        let before = count().await.expect("running");
        tokio::time::sleep(Duration::from_secs(1)).await;
        count().await.expect("running") - before
    }

    async fn calls_at_the_switch(&self) -> usize {
        self.driver.with(|endpoint, _, _| endpoint.calls()).await.expect("running")
    }
}

/// The numbers of its calls, own and far, as `iax2 show channels` says.
fn numbers(asterisk: &Asterisk) -> Vec<(u32, u32)> {
    let table = asterisk.cli("iax2 show channels");
    let pair = |row: &str| {
        row.split_whitespace().find_map(|word| {
            let (own, far) = word.split_once('/')?;
            Some((own.parse().ok()?, far.parse().ok()?))
        })
    };
    table.lines().filter_map(pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_asterisks_go_on_without_us() {
    let bridged = Bridged::new("yes").await;
    bridged
        .talks_on_until("the ends to be in one call", async |it| {
            // The caller has a call with the telephone besides.
            let far = numbers(&it.called).into_iter().next();
            let met = numbers(&it.caller).into_iter().any(|(own, other)| far == Some((other, own)));
            met && it.calls_at_the_switch().await == 0
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_voice_of_two_asterisks_goes_straight_and_signalling_stays() {
    let bridged = Bridged::new("media").await;
    let met = async |it: &Bridged| {
        let far = numbers(&it.called).into_iter().next();
        let met = numbers(&it.caller).into_iter().any(|(own, other)| far == Some((other, own)));
        assert!(!met, "each is in a call with us");
        it.relayed().await == 0 && it.calls_at_the_switch().await == 2
    };
    bridged.talks_on_until("their voice not to come here", met).await;
}

/// One of them is at an IPv4 address, the other at an IPv6 address, and both know nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_voice_of_two_asterisks_comes_back_for_a_recording() {
    let bridged = Bridged::new("media").await;
    let (mut reader, speaker) = bridged.call.audio().await.expect("accepted");
    let speaks = tokio::spawn(async move {
        loop {
            speaker.send(Codec::Ulaw.format(), &[0x2A; 160], 20);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let start = Instant::now();
    while bridged.relayed().await > 0 || bridged.calls_at_the_switch().await != 2 {
        assert!(start.elapsed() < PATIENCE, "the voice still comes here");
    }
    let text = "[server]\nlisten = [\"127.0.0.1:0\"]\n[api]\nlisten = \"127.0.0.1:0\"\n\
        [api.tokens.boss]\nsecret = \"boss-boss-boss-boss\"\nrole = \"admin\"\n";
    let config = Config::parse(Path::new("api.toml"), text).expect("it is good");
    let state = bridged.state.path();
    let api = Api::start(&config.api, &bridged.driver, None, None, None, state).expect("started");
    let ask = async |method: &str, path: &str| {
        let mut stream = TcpStream::connect(api.address()).await.expect("it listens");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Authorization: Bearer boss-boss-boss-boss\r\nContent-Length: 0\r\n\r\n",
            api.address()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    };
    let calls = ask("GET", "/v1/calls").await;
    let id = calls.split_once("\"id\":\"").and_then(|(_, rest)| rest.split('"').next());
    let path = format!("/v1/calls/{}/recording", id.expect("a call"));
    let begun = ask("POST", &path).await;
    assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
    let start = Instant::now();
    // Both ways.
    while bridged.relayed().await < 80 {
        assert!(start.elapsed() < PATIENCE, "the voice stays away: {}", bridged.caller.log());
    }
    let heard = async {
        while reader.next_frame().await.expect("the call lives").payload[..] != [0x2A; 160] {}
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("the echo is heard");
    let done = ask("DELETE", &path).await;
    assert!(done.contains("\"frames_left_out\":0"), "{done}");
    speaks.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_asterisks_that_cannot_reach_each_other_stay_with_us() {
    for transfer in ["yes", "media"] {
        let called = Asterisk::start_at(Ipv6Addr::LOCALHOST.into(), CALLED, EXTENSIONS);
        let iax = format!("disallow=all\nallow=ulaw\n{PHONE}");
        let caller = Asterisk::start(&iax, "[phone]\n");
        let capture = Capture::start(&[called.address().port(), caller.address().port()]);
        let bridged = Bridged::between(transfer, caller, called).await;
        let relays = async |it: &Bridged| {
            let relayed = it.driver.with(|endpoint, _, _| endpoint.counters().relayed).await;
            relayed.expect("running") >= 780 && it.calls_at_the_switch().await == 2
        };
        bridged.talks_on_until("the switch to relay all of it", relays).await;
        let packets = tokio::task::spawn_blocking(|| capture.finish()).await.expect("no panic");
        let said = |what: &str| packets.iter().any(|packet| packet.info.contains(what));
        assert!(said("TXREQ") && said("TXREJ"), "{transfer}: it was tried, and in vain");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leave_to_transfer_the_voice_stays_here() {
    let bridged = Bridged::new("no").await;
    let relays = async |it: &Bridged| {
        let relayed = it.driver.with(|endpoint, _, _| endpoint.counters().relayed).await;
        // Nearly all of the 400 frames, each way.
        relayed.expect("running") >= 780 && it.calls_at_the_switch().await == 2
    };
    bridged.talks_on_until("the switch to relay all of it", relays).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_transfers_its_party_to_another_number_of_ours() {
    let asterisk = Asterisk::start(CALLED, EXTENSIONS);
    let (_switch, to) = switch(&format!(
        "[peers.ann]\nsecret = \"right\"\n\
         [peers.far]\naddress = \"{}\"\nusername = \"oneport\"\nsecret = \"link\"\n\
         codecs = [\"ulaw\"]\n\
         [[routes]]\nnumber = \"away\"\nto = [\"peer:far\"]\n",
        asterisk.address()
    ));
    let (phone, _) = phone();
    let mut call = phone.call(to, named("away", "ann", "right")).await.expect("placed");
    call.answered().await.expect("answered");
    let (mut reader, _speaker) = call.audio().await.expect("accepted");
    // The milliwatt of our switch: a tone of eight samples, again and again.
    let mut tone = false;
    for _ in 0..100 {
        let frame = tokio::time::timeout(PATIENCE, reader.next_frame()).await;
        let frame = frame.expect("audio flows").expect("the call lives");
        tone = frame.payload[..8] == frame.payload[8..16] && frame.payload[0] != frame.payload[2];
        if tone {
            break;
        }
    }
    assert!(tone, "{}", asterisk.log());
    wait_for_silence(&asterisk);
}

/// The voice of two Asterisks goes straight; then the called one leads the caller to our echo. The
/// caller hears itself only if its voice comes back to us.
#[tokio::test(flavor = "multi_thread")]
async fn the_voice_of_an_asterisk_comes_back_when_it_is_led_to_another_number_of_ours() {
    let called = Asterisk::start(CALLED, EXTENSIONS);
    let iax = format!("disallow=all\nallow=ulaw\n{PHONE}");
    let caller = Asterisk::start(&iax, "[phone]\n");
    let bridged = Bridged::calling("led", "media", caller, called).await;
    let (mut reader, speaker) = bridged.call.audio().await.expect("accepted");
    let speaks = tokio::spawn(async move {
        loop {
            speaker.send(Codec::Ulaw.format(), &[0x2A; 160], 20);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let start = Instant::now();
    while bridged.relayed().await > 0 || bridged.calls_at_the_switch().await != 2 {
        assert!(start.elapsed() < PATIENCE, "the voice still comes here");
    }
    bridged.call.send_dtmf("5").await.expect("up");
    loop {
        let frame = tokio::time::timeout(PATIENCE, reader.next_frame()).await;
        let frame = frame.unwrap_or_else(|_| panic!("unheard: {}", bridged.caller.log()));
        if frame.expect("the call lives").payload[..] == [0x2A; 160] {
            break;
        }
    }
    assert!(bridged.relayed().await > 0, "it goes over the switch");
    speaks.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn we_transfer_asterisk_s_party_to_another_number_of_its() {
    let (called, address) = phone();
    let extensions =
        format!("{EXTENSIONS}exten => us,1,Dial(IAX2/{address}/s,20)\nsame => n,Hangup()\n");
    let asterisk = Asterisk::start(CALLED, &extensions);
    let (caller, _) = phone();
    let mut call =
        caller.call(asterisk.address(), named("us", "oneport", "link")).await.expect("placed");
    let incoming = called.incoming().await.expect("rings");
    let taken = incoming.answer().await.expect("up");
    call.answered().await.expect("answered");
    tokio::time::sleep(Duration::from_millis(500)).await;
    taken.transfer("milliwatt").await.expect("up");
    let (mut reader, _speaker) = call.audio().await.expect("accepted");
    let frame = tokio::time::timeout(PATIENCE, reader.next_frame()).await;
    let frame = frame.expect("audio flows").expect("the call lives");
    assert_eq!(frame.payload[..8], frame.payload[8..16], "{}", asterisk.log());
    let mut taken = taken;
    while !matches!(taken.next_event().await.expect("running"), CallEvent::Ended(_)) {}
}
