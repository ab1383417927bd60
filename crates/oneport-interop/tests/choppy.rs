//! A real Asterisk behind a bad link: what ails the call is named by what we hear, and by what it reports.

use std::time::Duration;

use oneport::{CallStats, CauseCode, Diagnosis, NewCall, Surroundings};
use oneport_interop::phone;
use oneport_testkit::impairment::Impairment;
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::relay::Relay;

/// With a jitter buffer Asterisk counts what it hears, and reports it.
const IAX: &str = "
requirecalltoken=no
jitterbuffer=yes
forcejitterbuffer=yes
disallow=all
allow=ulaw
[open]
type=user
context=test
";

const ECHO: &str = "[test]\nexten => echo,1,Answer()\nsame => n,Echo()\n";

const GOOD: Impairment = Impairment::delayed(Duration::from_millis(10));

/// A call of so many seconds to Asterisk's echo over a link that does `there` and `back`. Asterisk comes along, as it
/// shows its log where a test fails.
async fn call(there: Impairment, back: Impairment, seconds: usize) -> (CallStats, Asterisk) {
    let asterisk = Asterisk::start(IAX, ECHO);
    let relay = Relay::start(asterisk.address(), there, back, 1).expect("started");
    let (phone, _) = phone();
    let mut new = NewCall::to("echo");
    new.username = Some("open".into());
    let mut call = phone.call(relay.address(), new).await.expect("placed");
    call.answered().await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
    let speaker = call.speaker().expect("accepted");
    let tone: Vec<i16> =
        (0..seconds * 8_000).map(|n| ((n as f64 / 8.0).sin() * 8_000.0) as i16).collect();
    speaker.play(&tone).await;
    call.hangup(CauseCode::NORMAL_CLEARING);
    (*call.ended().await.expect("it ends").stats, asterisk)
}

fn names(stats: &CallStats) -> Vec<String> {
    let found = Diagnosis::of(stats, &Surroundings::default());
    let names = found.map(|found| found.names()).unwrap_or_default();
    names.split(',').map(Into::into).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_on_the_way_from_asterisk_is_named_as_bursts_here() {
    let bursts = Impairment { loss: 0.12, loss_run: 8.0, ..GOOD };
    let (stats, _asterisk) = call(GOOD, bursts, 20).await;
    let names = names(&stats);
    assert!(names.contains(&"bursty_loss_here".into()), "{names:?}: {stats:?}");
    assert!(!names.contains(&"loss_there".into()), "{names:?}: {stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_on_the_way_to_asterisk_is_named_by_what_it_reports() {
    let random = Impairment { loss: 0.12, ..GOOD };
    // Its count comes with the answer to our poll, each 20 s.
    let (stats, _asterisk) = call(random, GOOD, 45).await;
    let names = names(&stats);
    assert!(names.contains(&"loss_there".into()), "{names:?}: {stats:?}");
}
