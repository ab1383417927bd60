//! The same over real sockets and in real time: two telephones, and a bad link between them. A busy machine
//! adds causes of its own, which are true; what was provoked must be among those named.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as Clock};

use oneport::{
    Application, Call, CallStats, CauseCode, Diagnosis, Driver, DriverConfig, NewCall, Phone,
    PhoneConfig, Surroundings,
};
use oneport_proto::{CallId, Endpoint, Event, Instant, TrunkConfig};
use oneport_testkit::impairment::{Impairment, Stall};
use oneport_testkit::relay::Relay;

const fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

const GOOD: Impairment = Impairment::delayed(ms(10));

/// How often a [`Watch`] looks, and what is no delay of a machine with nothing else to do.
const GLANCE: Duration = ms(5);
const STILL: Duration = ms(30);

fn phone() -> (Phone, SocketAddr) {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let phone = Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound");
    let address = phone.local_addresses()[0];
    (phone, address)
}

/// So much of a tone.
fn tone(seconds: usize) -> Vec<i16> {
    (0..seconds * 8_000).map(|n| ((n as f64 / 8.0).sin() * 8_000.0) as i16).collect()
}

/// A call of so many seconds to an echo, over a link that does `there` and `back`; the caller's figures.
async fn call(there: Impairment, back: Impairment, seconds: usize) -> CallStats {
    let ((caller, _), (echo, far)) = (phone(), phone());
    let relay = Relay::start(far, there, back, 1).expect("started");
    let mut call = caller.call(relay.address(), NewCall::to("echo")).await.expect("placed");
    let answered = echo.incoming().await.expect("offered").answer().await.expect("answered");
    answered.echo().await.expect("up");
    call.answered().await.expect("answered");
    end_of(call, seconds).await
}

/// The same to somebody who speaks too.
async fn talk(there: Impairment, back: Impairment, seconds: usize) -> CallStats {
    let ((caller, _), (called, far)) = (phone(), phone());
    let relay = Relay::start(far, there, back, 1).expect("started");
    let mut call = caller.call(relay.address(), NewCall::to("talk")).await.expect("placed");
    let answered = called.incoming().await.expect("offered").answer().await.expect("answered");
    call.answered().await.expect("answered");
    let (speaker, said) = (answered.speaker().expect("accepted"), tone(seconds));
    tokio::join!(end_of(call, seconds), speaker.play(&said)).0
}

async fn end_of(mut call: Call, seconds: usize) -> CallStats {
    let speaker = call.speaker().expect("accepted");
    speaker.play(&tone(seconds)).await;
    call.hangup(CauseCode::NORMAL_CLEARING);
    *call.ended().await.expect("it ends").stats
}

/// How often a call is made at most until one of them shows what was provoked.
const TRIES: usize = 6;

/// What a link does to the time that frames take.
const DELAYS: [&str; 4] = ["jitter_here", "jitter_there", "bufferbloat_here", "clock_drift"];

/// Looks at the clock all the time, to see whether this machine stands still.
struct Watch {
    ends: Arc<AtomicBool>,
    sees: JoinHandle<Duration>,
}

impl Watch {
    fn begin() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let is_over = ends.clone();
        let sees = thread::spawn(move || {
            let (mut longest, mut last) = (Duration::ZERO, Clock::now());
            while !is_over.load(Ordering::Relaxed) {
                thread::sleep(GLANCE);
                longest = longest.max(last.elapsed().saturating_sub(GLANCE));
                last = Clock::now();
            }
            longest
        });
        Self { ends, sees }
    }

    /// For how long it stood still at most.
    fn end(self) -> Duration {
        self.ends.store(true, Ordering::Relaxed);
        self.sees.join().expect("it does not panic")
    }
}

fn names(stats: &CallStats) -> String {
    let found = Diagnosis::of(stats, &Surroundings::default()).map(|found| found.names());
    found.unwrap_or_default()
}

fn is_named(stats: &CallStats, name: &str) -> bool {
    names(stats).split(',').any(|one| one == name)
}

/// What calls show, each of them judged by `is`. A machine that stands still adds delays of its own and hides those of
/// a link: what is not shown by a call in which it did so is left to the next call, and to no other.
async fn shows(what: &str, call: impl AsyncFn() -> CallStats, is: impl Fn(&CallStats) -> bool) {
    for n in 1..=TRIES {
        let watch = Watch::begin();
        let stats = call().await;
        let stood_still = watch.end();
        if is(&stats) {
            return;
        }
        let names = names(&stats);
        assert!(
            n < TRIES && (stood_still >= STILL || stats.lateness.over_30_ms > 0),
            "{what}, call {n}, in which all stood still for {stood_still:?}: {names:?}: {stats:?}"
        );
    }
}

/// A call names all of these.
async fn assert_named(expected: &[&str], call: impl AsyncFn() -> CallStats) {
    shows(&format!("{expected:?} is not named"), call, |stats| {
        // Where this machine stood still again and again, that is what delays are laid to.
        let often = stats.lateness.over_100_ms >= 3 && is_named(stats, "late_scheduling");
        expected.iter().all(|name| is_named(stats, name) || often && DELAYS.contains(name))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_on_a_real_link_is_named() {
    let random = Impairment { loss: 0.06, ..GOOD };
    let bursts = Impairment { loss: 0.10, loss_run: 8.0, ..GOOD };
    tokio::join!(
        assert_named(&["random_loss_here"], async || call(GOOD, random, 20).await),
        assert_named(&["bursty_loss_here"], async || call(GOOD, bursts, 20).await),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jitter_on_a_real_link_is_named() {
    let jitter = Impairment { jitter: ms(120), ..GOOD };
    assert_named(&["jitter_here"], async || call(GOOD, jitter, 12).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_on_a_real_link_is_named() {
    // The echo of one call needs 80 kbit/s: the queue grows until it is full, in five seconds.
    let narrow = Impairment { bandwidth: Some(74_000), queue: ms(400), ..GOOD };
    assert_named(&["bufferbloat_here"], async || call(GOOD, narrow, 12).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_stalls_on_a_real_link_is_named() {
    let stalls = Some(Stall { every: ms(2_500), length: ms(400) });
    let stalling = Impairment { stalls, ..GOOD };
    assert_named(&["sender_stalls"], async || call(GOOD, stalling, 20).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_runs_apart_is_named_after_a_minute() {
    let slow = Impairment { clock_ppm: -1_500, ..GOOD };
    assert_named(&["clock_drift"], async || call(GOOD, slow, 100).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_and_stalls_at_once_are_both_named() {
    let stalls = Some(Stall { every: ms(2_500), length: ms(400) });
    let both = Impairment { stalls, loss: 0.06, ..GOOD };
    let call = async || call(GOOD, both, 20).await;
    assert_named(&["random_loss_here", "sender_stalls"], call).await;
}

/// What the far end misses it reports each 20 s.
#[tokio::test(flavor = "multi_thread")]
async fn loss_and_jitter_on_the_way_there_are_named_by_what_the_far_end_reports() {
    let there = async |name: &str, impairment: Impairment| {
        let alone = |stats: &CallStats| {
            let often = stats.lateness.over_100_ms >= 3 && is_named(stats, "late_scheduling");
            let named = is_named(stats, name) || often && DELAYS.contains(&name);
            named && !names(stats).contains("loss_here")
        };
        shows(name, async || talk(impairment, GOOD, 45).await, alone).await;
    };
    tokio::join!(
        there("loss_there", Impairment { loss: 0.08, ..GOOD }),
        there("jitter_there", Impairment { jitter: ms(250), ..GOOD }),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_link_has_no_fault_of_the_network() {
    shows(
        "a fault of the network",
        async || call(GOOD, GOOD, 12).await,
        |stats| {
            let faults = ["loss", "bufferbloat", "clock", "trunk"];
            !faults.iter().any(|fault| names(stats).contains(fault))
        },
    )
    .await;
}

/// Answers whoever calls, and lets it hear itself, by a trunk if there is one.
#[derive(Default)]
struct Echo {
    call: Option<CallId>,
    trunk: Option<TrunkConfig>,
}

impl Application for Echo {
    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        if let Event::CallOffered { call, .. } = event {
            let path = endpoint.call_path(call).expect("offered");
            endpoint.set_trunk(path.remote, self.trunk);
            endpoint.accept(now, call, oneport::Format::ULAW).expect("offered");
            endpoint.answer(now, call).expect("accepted");
            endpoint.link(call, call).expect("up");
            self.call = Some(call);
        }
    }
}

fn echo(echo: Echo) -> Driver<Echo> {
    let listen = vec!["127.0.0.1:0".parse().expect("one")];
    Driver::start(DriverConfig { listen, ..DriverConfig::default() }, echo).expect("started")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_holds_voice_is_named_beside_the_loss_of_its_link() {
    let trunk = Some(TrunkConfig { interval: ms(80), ..TrunkConfig::default() });
    let lossy = Impairment { loss: 0.06, ..GOOD };
    let call = async || {
        let driver = echo(Echo { trunk, ..Echo::default() });
        let relay = Relay::start(driver.local_addresses()[0], lossy, GOOD, 1).expect("started");
        let (caller, _) = phone();
        let mut call = caller.call(relay.address(), NewCall::to("echo")).await.expect("placed");
        call.answered().await.expect("answered");
        call.speaker().expect("accepted").play(&tone(20)).await;
        let stats = driver.with(|endpoint, echo, _| endpoint.call_stats(echo.call?));
        stats.await.expect("it runs").expect("the call is up")
    };
    assert_named(&["trunk", "random_loss_here"], call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_of_ours_that_is_held_up_says_so_itself() {
    // By its own figures, and by those of whoever is called: that one hears a sender that stalls, and is right.
    let figures = async || {
        let driver = echo(Echo::default());
        let (caller, _) = phone();
        let to = driver.local_addresses()[0];
        let mut call = caller.call(to, NewCall::to("echo")).await.expect("placed");
        call.answered().await.expect("answered");
        let holds = driver.clone();
        let holding = tokio::spawn(async move {
            for _ in 0..12 {
                tokio::time::sleep(ms(600)).await;
                // As a slow disk, or a neighbour that takes the processor, would.
                holds.post(|_, _, _| thread::sleep(ms(150)));
            }
            holds.with(|endpoint, echo, _| endpoint.call_stats(echo.call?)).await.expect("it runs")
        });
        let speaker = call.speaker().expect("accepted");
        speaker.play(&tone(10)).await;
        let stats = holding.await.expect("done").expect("the call is up");
        call.hangup(CauseCode::NORMAL_CLEARING);
        (stats, *call.ended().await.expect("it ends").stats)
    };
    let call = async || {
        let (here, far) = figures().await;
        assert!(here.lateness.over_100_ms >= 10, "{:?}", here.lateness);
        assert!(is_named(&here, "late_scheduling"), "{here:?}");
        far
    };
    assert_named(&["sender_stalls"], call).await;
}
