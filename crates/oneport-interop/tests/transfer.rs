//! Transfers with real Asterisks 22 as the ends. They follow a transfer, but never begin one.

use std::fs;
use std::time::Duration;

use oneport::{CallEvent, Driver};
use oneport_interop::{find_exactly, named, phone, playing_and_recording, speech, switch};
use oneport_switch::Switch;
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::wait_for;

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
";

/// An Asterisk calls the other's echo over our switch, and records what it hears. `check` is
/// called in the middle.
fn caller_hears(transfer: &str, check: impl FnOnce(&Asterisk, &Asterisk, &Driver<Switch>)) {
    let called = Asterisk::start(CALLED, EXTENSIONS);
    let caller = Asterisk::start("disallow=all\nallow=ulaw\n", "[test]\n");
    let (driver, to) = switch(&format!(
        "[peers.ann]\nsecret = \"right\"\ntransfer = {transfer:?}\n\
         [peers.far]\naddress = \"{}\"\nusername = \"oneport\"\nsecret = \"link\"\n\
         transfer = {transfer:?}\n\
         [[routes]]\nnumber = \"echo\"\nto = [\"peer:far\"]\n",
        called.address()
    ));
    let heard = playing_and_recording(&caller);
    caller.originate(&format!("IAX2/ann:right@{to}/echo"), "play@test");
    std::thread::sleep(Duration::from_secs(4));
    check(&caller, &called, &driver);
    wait_for("the end of the call", Duration::from_secs(20), || {
        [&caller, &called]
            .iter()
            .all(|asterisk| asterisk.cli("core show channels").contains("0 active channels"))
    });
    // The echo misses what was on its way while the ends found each other, at most.
    find_exactly(&speech()[8_000..7 * 8_000], &fs::read(heard).expect("a recording"));
}

/// The first call's numbers, own and far, as `iax2 show channels` says.
fn numbers(asterisk: &Asterisk) -> (u32, u32) {
    let table = asterisk.cli("iax2 show channels");
    let row = table.lines().nth(1).unwrap_or_default();
    let pair = row
        .split_whitespace()
        .find_map(|word| word.split_once('/').filter(|(a, _)| a.parse::<u32>().is_ok()));
    let (own, far) = pair.unwrap_or_else(|| panic!("no call in:\n{table}"));
    (own.parse().expect("a number"), far.parse().expect("a number"))
}

async fn caller_hears_while(
    transfer: &'static str,
    check: fn(&Asterisk, &Asterisk, &Driver<Switch>),
) {
    let call = tokio::task::spawn_blocking(move || caller_hears(transfer, check));
    call.await.expect("no panic");
}

/// Voice frames that the switch relays in a second.
fn relayed(driver: &Driver<Switch>) -> u64 {
    let runtime = tokio::runtime::Handle::current();
    let count = || {
        let relayed = driver.with(|endpoint, _, _| endpoint.counters().relayed);
        runtime.block_on(relayed).expect("running")
    };
    let before = count();
    std::thread::sleep(Duration::from_secs(1));
    count() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn two_asterisks_go_on_without_us() {
    caller_hears_while("yes", |caller, called, driver| {
        let ((own, far), (other_own, other_far)) = (numbers(caller), numbers(called));
        assert_eq!((own, far), (other_far, other_own), "they are in one call");
        assert_eq!(relayed(driver), 0);
        let calls = driver.with(|endpoint, _, _| endpoint.calls());
        assert_eq!(tokio::runtime::Handle::current().block_on(calls), Ok(0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_voice_of_two_asterisks_goes_straight_and_signalling_stays() {
    caller_hears_while("media", |caller, called, driver| {
        assert_ne!(numbers(caller).1, numbers(called).0, "each is in a call with us");
        assert_eq!(relayed(driver), 0, "their voice does not come here");
        let calls = driver.with(|endpoint, _, _| endpoint.calls());
        assert_eq!(tokio::runtime::Handle::current().block_on(calls), Ok(2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leave_to_transfer_the_voice_stays_here() {
    caller_hears_while("no", |_, _, driver| {
        assert!((90..=110).contains(&relayed(driver)), "fifty frames a second each way");
    })
    .await;
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
    let (mut reader, _speaker) = call.audio().expect("accepted");
    // The milliwatt of our switch: a tone of eight samples, again and again.
    let mut tone = false;
    for _ in 0..100 {
        let frame = tokio::time::timeout(Duration::from_secs(5), reader.next_frame()).await;
        let frame = frame.expect("audio flows").expect("the call lives");
        tone = frame.payload[..8] == frame.payload[8..16] && frame.payload[0] != frame.payload[2];
        if tone {
            break;
        }
    }
    assert!(tone, "{}", asterisk.log());
    wait_for("Asterisk to be out", Duration::from_secs(10), || {
        asterisk.cli("core show channels").contains("0 active channels")
    });
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
    let (mut reader, _speaker) = call.audio().expect("accepted");
    let frame = tokio::time::timeout(Duration::from_secs(5), reader.next_frame()).await;
    let frame = frame.expect("audio flows").expect("the call lives");
    assert_eq!(frame.payload[..8], frame.payload[8..16], "{}", asterisk.log());
    let mut taken = taken;
    while !matches!(taken.next_event().await.expect("running"), CallEvent::Ended(_)) {}
}
