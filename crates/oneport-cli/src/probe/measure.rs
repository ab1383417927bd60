//! Goes through a probe: polls, lengths, addresses, one call, more calls. Each part is bounded in time and
//! traffic, and the last ends as soon as voice suffers.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use oneport::probe::{Above, Baseline, Bundle, Load, MtuSearch, PathMtu, Returned, Ways};
use oneport::{CallEnd, CallId, CallStats, Driver, Format, LoadEffect, LoadMeter, NewCall};
use oneport_proto::{Endpoint, TrunkConfig};
use tokio::time;

use super::nat::{self, Lifetimes, Silence, Views};
use super::poll::{Outcome, Poller, Refusal, Why, headers};
use super::polls::Polls;
use super::prober::{Prober, Script, State};
use super::ramp::Ramp;
use crate::exit::{Failure, failed};

/// Between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// An answer that takes longer is as good as none.
const PATIENCE: Duration = Duration::from_secs(2);
/// If none of so many polls is answered, nobody is there.
const VAIN_POLLS: usize = 5;
/// Between two looks at calls.
const GLANCE: Duration = Duration::from_millis(50);
/// How long a call may take to be answered.
pub(super) const SET_UP: Duration = Duration::from_secs(8);
/// Before what is said counts, so that what comes with the beginning of a call does not.
const SETTLING: Duration = Duration::from_millis(500);
/// A call of which nothing came back in so long is not echoed.
const VAIN_SPEECH: Duration = Duration::from_secs(2);
/// One step of more calls, and a part of it after which it may end early.
const SLICE: Duration = Duration::from_millis(500);
const SLICES: usize = 4;
/// Per cent of the voice of a slice: then nobody is loaded any longer.
const MUCH_LOSS: f64 = 20.0;
/// Voice suffers where this much more of it is lost than of one call, per cent, and than chance explains, or
/// where it comes so much later.
const LEAST_LOSS: f64 = 1.0;
const LEAST_QUEUE: Duration = Duration::from_millis(80);
/// Sizes of IP packets that are tried: what each host must take, and the MTU of Ethernet.
const LEAST_PACKET: usize = 576;
const MOST_PACKET: usize = 1_500;
/// A long frame of voice is sent so often to see whether one comes back.
const LONG_FRAMES: u32 = 4;

/// What is wanted.
pub(super) struct Wishes {
    pub(super) to: SocketAddr,
    /// A second host that is asked where it sees us.
    pub(super) also: Option<SocketAddr>,
    pub(super) polls: u32,
    pub(super) lengths: bool,
    /// Numbers to call, in this order; none: no call.
    pub(super) numbers: Vec<String>,
    pub(super) call: NewCall,
    pub(super) script: Script,
    pub(super) duration: Duration,
    /// The most calls at once.
    pub(super) calls: usize,
    /// How long sockets are silent at most, to see whether a NAT forgets them.
    pub(super) deep: Option<Duration>,
}

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) polls: Polls,
    /// When each poll was sent, in s, and its round trip.
    pub(super) answers: Vec<(f64, Option<Duration>)>,
    pub(super) refusal: Option<Refusal>,
    /// Another address than the one that was asked answers.
    pub(super) stranger: Option<SocketAddr>,
    pub(super) mtu: Option<PathMtu>,
    pub(super) views: Option<Views>,
    pub(super) silences: Vec<Silence>,
    pub(super) call: CallFound,
    pub(super) ramp: Option<RampFound>,
    /// The same with voice in trunk frames.
    pub(super) trunk_ramp: Option<RampFound>,
}

/// What became of the call.
#[derive(Default)]
pub(super) enum CallFound {
    /// None was placed.
    #[default]
    NotTried,
    /// It was not answered; the last number that was tried, and how it ended. `None`: it rang, and
    /// nobody answered.
    Refused { number: String, end: Option<Box<CallEnd>> },
    /// It was answered, and of what was said nothing came back, or nothing but the full frames that
    /// begin a call.
    Unechoed { number: String, full_frames: bool, foreign: bool },
    /// It spoke.
    Spoke(Box<Spoke>),
}

/// A call that spoke.
pub(super) struct Spoke {
    pub(super) number: String,
    pub(super) format: Format,
    pub(super) frames: Vec<Returned>,
    pub(super) sent: u32,
    pub(super) ways: Ways,
    /// What the engine has counted of it.
    pub(super) stats: CallStats,
    /// Whether a frame as long as the way there lets through came back; `None`: not tried.
    pub(super) long_comes_back: Option<bool>,
}

/// What more calls did.
#[derive(Clone, Default)]
pub(super) struct RampFound {
    pub(super) steps: Vec<StepFound>,
    /// The most calls that did well.
    pub(super) good: usize,
    /// Why there were not more: the other end's words.
    pub(super) refused: Option<String>,
    /// How the delay of the way there follows what is sent.
    pub(super) effect: Option<LoadEffect>,
    /// Whether voice went there, and came back, in trunk frames.
    pub(super) trunked: [bool; 2],
}

/// One number of calls.
#[derive(Clone)]
pub(super) struct StepFound {
    pub(super) calls: usize,
    /// What they sent one way, with all headers.
    pub(super) kbits: f64,
    /// Lost of both ways together, and of each, per cent.
    pub(super) lost: f64,
    pub(super) lost_apart: Option<[f64; 2]>,
    /// How much longer than of one call 95 of 100 frames took at most.
    pub(super) above: Above,
    /// What came to the end of each way, in kbit/s with all headers; where they are not told apart both
    /// are what came back.
    pub(super) carried: [f64; 2],
    /// More loss than this, per cent, is suffering.
    pub(super) loss_limit: f64,
    /// And so is coming this much later: there, and back.
    late_limits: [Duration; 2],
    pub(super) did_well: bool,
}

/// What may be lost of `sent` frames before they have suffered, per cent, where one call has lost `lost` of
/// `all`: that much as a rule, twice the spread of both counts, and what is heard.
fn loss_limit(lost: u64, all: u64, sent: u32) -> f64 {
    let (lost, sent) = (lost as f64, f64::from(sent.max(1)));
    let share = (lost + 2.0 * (lost + 1.0).sqrt()) / all.max(1) as f64;
    (share + 2.0 * (share / sent).sqrt()) * 100.0 + LEAST_LOSS
}

impl StepFound {
    /// Which ways suffered: there, and back.
    pub(super) fn suffered(&self) -> [bool; 2] {
        let lost = self.lost_apart.unwrap_or([self.lost; 2]);
        let above = self.above.apart.unwrap_or([self.above.both; 2]);
        [0, 1].map(|way| lost[way] > self.loss_limit || above[way] >= self.late_limits[way])
    }
}

/// Goes through it; `tell` hears what is done now.
pub(super) async fn measure(wishes: &Wishes, tell: &dyn Fn(&str)) -> Result<Found, Failure> {
    let mut found = Found::default();
    let mut poller = Poller::new(wishes.to).map_err(failed)?;
    tell("polls");
    poll(&mut poller, wishes, &mut found).await?;
    if found.polls.received == 0 {
        return Ok(found);
    }
    let slowest = found.polls.rtt_max_ms.unwrap_or_default();
    let timeout = Duration::from_secs_f64(slowest * 3.0 / 1e3) + Duration::from_millis(250);
    let timeout = timeout.min(PATIENCE);
    let silences = match wishes.deep {
        Some(limit) => {
            tell("silence, to see whether a NAT forgets us");
            Some(Lifetimes::begin(wishes, limit, timeout).await)
        }
        None => None,
    };
    tell("addresses");
    found.views = look_from_outside(&mut poller, wishes, timeout).await.map_err(failed)?;
    if wishes.lengths {
        tell("lengths");
        let tries = if found.polls.lost_percent > 2.0 { 6 } else { 3 };
        found.mtu = Some(search(&mut poller, tries, timeout).await.map_err(failed)?);
    }
    if !wishes.numbers.is_empty() {
        speak(wishes, &mut found, tell).await?;
    }
    if let Some(silences) = silences {
        tell("silence, to see whether a NAT forgets us");
        found.silences = silences.end().await;
    }
    Ok(found)
}

async fn poll(poller: &mut Poller, wishes: &Wishes, found: &mut Found) -> Result<(), Failure> {
    let begun = time::Instant::now();
    let mut clock = time::interval(POLL_INTERVAL);
    clock.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    for n in 0..wishes.polls as usize {
        clock.tick().await;
        let at = begun.elapsed().as_secs_f64();
        let answer = match poller.poll(PATIENCE).await.map_err(failed)? {
            Outcome::Answered { rtt, from, .. } => {
                found.stranger = Some(from).filter(|from| *from != wishes.to);
                Some(rtt)
            }
            Outcome::Silence => None,
            Outcome::Refused(refusal) => {
                found.refusal = Some(refusal);
                None
            }
        };
        found.answers.push((at, answer));
        if n + 1 >= VAIN_POLLS && found.answers.iter().all(|(_, answer)| answer.is_none()) {
            break;
        }
    }
    let answers: Vec<Option<Duration>> = found.answers.iter().map(|(_, answer)| *answer).collect();
    found.polls = Polls::of(&answers);
    Ok(())
}

/// Asks where two ports of ours are seen. `None`: this peer does not say.
async fn look_from_outside(
    poller: &mut Poller,
    wishes: &Wishes,
    timeout: Duration,
) -> std::io::Result<Option<Views>> {
    let Some(own) = nat::own_address(wishes.to) else { return Ok(None) };
    let Some(first) = nat::seen_at(poller, timeout).await else { return Ok(None) };
    let mut second_poller = Poller::new(wishes.to)?;
    let Some(second) = nat::seen_at(&mut second_poller, timeout).await else { return Ok(None) };
    let elsewhere = match wishes.also {
        Some(also) => {
            poller.turn_to(also);
            let seen = nat::seen_at(poller, PATIENCE).await;
            poller.turn_to(wishes.to);
            seen
        }
        None => None,
    };
    let ports = [poller.port()?, second_poller.port()?];
    Ok(Some(Views { own, ports, seen: [first, second], elsewhere }))
}

async fn search(poller: &mut Poller, tries: u32, timeout: Duration) -> std::io::Result<PathMtu> {
    let mut search = MtuSearch::new(LEAST_PACKET, MOST_PACKET, tries);
    while let Some(size) = search.next() {
        match poller.poll_by(size, timeout).await? {
            Outcome::Answered { .. } => search.answered(size),
            Outcome::Refused(Refusal { why: Why::TooLong(fits), by }) => {
                search.too_long(size, by, fits);
            }
            Outcome::Silence | Outcome::Refused(_) => search.lost(size),
        }
    }
    Ok(search.found())
}

/// The calls of a probe, from outside of the driver's thread.
struct Calls<'a> {
    driver: Driver<Prober>,
    wishes: &'a Wishes,
    up: Vec<CallId>,
    /// The trunk in which voice leaves and comes, where it does.
    trunks: [Option<TrunkConfig>; 2],
}

/// What was said from here to there, by call.
type Spans = Vec<(CallId, Range<u32>)>;

impl Calls<'_> {
    async fn place(&self, number: &str) -> Result<CallId, Failure> {
        let mut call = self.wishes.call.clone();
        call.called_number = number.into();
        let place =
            move |endpoint: &mut _, prober: &mut Prober, now| prober.place(endpoint, now, call);
        self.driver.with(place).await.map_err(failed)?.map_err(failed)
    }

    async fn look(&self, calls: &[CallId]) -> Result<Vec<Option<State>>, Failure> {
        let calls = calls.to_vec();
        self.driver.with(move |_, prober, _| prober.look(&calls)).await.map_err(failed)
    }

    async fn state(&self, call: CallId) -> Result<State, Failure> {
        let state = self.look(&[call]).await?.pop().flatten();
        state.ok_or_else(|| failed("the call is not there"))
    }

    /// Waits for the answer or the end.
    async fn answered(&self, call: CallId) -> Result<State, Failure> {
        let begun = time::Instant::now();
        loop {
            let state = self.state(call).await?;
            if state.answered || state.end.is_some() || begun.elapsed() > SET_UP {
                return Ok(state);
            }
            time::sleep(GLANCE).await;
        }
    }

    /// What has been said so far, from where it was counted before.
    async fn spans(&self, before: Option<&Spans>) -> Result<Spans, Failure> {
        let states = self.look(&self.up).await?;
        let span = |(call, state): (&CallId, Option<State>)| {
            let until = state.map_or(0, |state| state.sequence);
            let since = before
                .and_then(|before| before.iter().find(|(one, _)| one == call))
                .map_or(until, |(_, span)| span.start);
            (*call, since..until)
        };
        Ok(self.up.iter().zip(states).map(span).collect())
    }

    async fn returned(&self, call: CallId, span: &Range<u32>) -> Result<Vec<Returned>, Failure> {
        let span = span.clone();
        self.driver.with(move |_, prober, _| prober.returned(call, &span)).await.map_err(failed)
    }

    /// Lets voice of calls from now on leave in trunk frames, and asks for the same in the first that is up.
    async fn bundle(&self, bundle: Bundle, is_asked: bool) -> Result<(), Failure> {
        let (to, asked_in) = (self.wishes.to, self.up.first().copied().filter(|_| is_asked));
        let begin = move |endpoint: &mut Endpoint, _: &mut Prober, now| {
            endpoint.set_trunk(to, Some(bundle.trunk()));
            // A call that has ended meanwhile is told of by its last event.
            asked_in.map(|call| endpoint.send_text(now, call, &bundle.to_string()));
        };
        self.driver.with(begin).await.map_err(failed)
    }

    /// How many trunk frames have come.
    async fn trunk_frames(&self) -> Result<u64, Failure> {
        let look =
            |endpoint: &mut Endpoint, _: &mut Prober, _| endpoint.counters().trunk_frames_received;
        self.driver.with(look).await.map_err(failed)
    }

    async fn hang_up(&self, calls: Vec<CallId>) {
        self.driver.post(move |endpoint, prober, now| prober.hang_up(endpoint, now, &calls));
    }
}

/// One call, and more of them.
async fn speak(wishes: &Wishes, found: &mut Found, tell: &dyn Fn(&str)) -> Result<(), Failure> {
    let config = super::driver_config(wishes.to);
    let driver = Driver::start(config, Prober::new(wishes.script.clone())).map_err(failed)?;
    let mut calls = Calls { driver: driver.clone(), wishes, up: Vec::new(), trunks: [None; 2] };
    let longest = found.polls.rtt_max_ms.unwrap_or_default();
    let drain = Duration::from_secs_f64(longest * 2.0 / 1e3) + Duration::from_millis(300);
    let drain = drain.min(Duration::from_secs(3));
    for number in &wishes.numbers {
        tell(&format!("a call to {number}"));
        let call = calls.place(number).await?;
        let state = calls.answered(call).await?;
        if !state.answered || state.end.is_some() {
            calls.hang_up(vec![call]).await;
            let end = state.end.map(Box::new);
            let is_final = end.as_ref().is_none_or(|end| !is_about_number(end));
            found.call = CallFound::Refused { number: number.clone(), end };
            if is_final {
                break;
            }
            continue;
        }
        calls.up = vec![call];
        found.call = converse(&calls, number, call, drain).await?;
        break;
    }
    if let CallFound::Spoke(spoke) = &mut found.call {
        if wishes.calls > 1 {
            let climb = Ramp::new(wishes.calls);
            found.ramp = ramp(&mut calls, spoke, drain, climb, tell).await?;
        }
        let longest = found.mtu.and_then(|mtu| mtu.passes);
        if let (Some(longest), Some(call)) = (longest, calls.up.first()) {
            spoke.long_comes_back = Some(speak_long(&calls, *call, longest, drain).await?);
        }
        if let Some(ramp) = &found.ramp {
            let bundle = Bundle::through(longest.unwrap_or(MOST_PACKET), headers(wishes.to));
            found.trunk_ramp =
                trunk_ramp(&mut calls, spoke, drain, (bundle, ramp.good), tell).await?;
        }
    }
    calls.hang_up(calls.up.clone()).await;
    driver.stop().await;
    Ok(())
}

/// Whether another number may do better.
fn is_about_number(end: &CallEnd) -> bool {
    use oneport::{CauseCode, EndReason};
    let unknown = [
        CauseCode::UNALLOCATED,
        CauseCode::NO_ROUTE,
        CauseCode::INVALID_NUMBER,
        CauseCode::REJECTED,
    ];
    matches!(end.reason, EndReason::RemoteReject | EndReason::RemoteHangup)
        && unknown.contains(&end.cause)
}

/// Speaks on one call for as long as was wanted.
async fn converse(
    calls: &Calls<'_>,
    number: &str,
    call: CallId,
    drain: Duration,
) -> Result<CallFound, Failure> {
    time::sleep(SETTLING).await;
    let before = calls.spans(None).await?;
    let duration = calls.wishes.duration;
    let vain = VAIN_SPEECH.min(duration) + drain;
    time::sleep(vain).await;
    let state = calls.state(call).await?;
    // The first frames of a call are full ones.
    let since_then = before.first().map_or(0..0, |(_, span)| span.start..state.sequence);
    if calls.returned(call, &since_then).await?.is_empty() {
        let (full_frames, foreign) = (state.came_back > 0, state.foreign > 0);
        return Ok(CallFound::Unechoed { number: number.into(), full_frames, foreign });
    }
    time::sleep(duration.saturating_sub(vain)).await;
    let spans = calls.spans(Some(&before)).await?;
    time::sleep(drain).await;
    let span = spans.first().map_or(0..0, |(_, span)| span.clone());
    let frames = calls.returned(call, &span).await?;
    let state = calls.state(call).await?;
    let stats = calls.driver.with(move |endpoint, prober, _| prober.stats(endpoint, call));
    let stats = stats.await.map_err(failed)?.unwrap_or_default();
    let frame_ms = calls.wishes.script.frame_ms;
    Ok(match Ways::of(&frames, span.clone(), frame_ms, state.format) {
        Some(ways) => {
            let sent = span.end - span.start;
            let (number, format) = (number.into(), state.format);
            let spoke = Spoke { number, format, frames, sent, ways, stats, long_comes_back: None };
            CallFound::Spoke(Box::new(spoke))
        }
        None => CallFound::Unechoed { number: number.into(), full_frames: true, foreign: false },
    })
}

/// More and more calls, until they suffer or there are as many as are wanted.
async fn ramp(
    calls: &mut Calls<'_>,
    spoke: &Spoke,
    drain: Duration,
    mut ramp: Ramp,
    tell: &dyn Fn(&str),
) -> Result<Option<RampFound>, Failure> {
    let Some(baseline) = Baseline::of(&spoke.frames, spoke.ways.clock) else { return Ok(None) };
    let trunked = calls.trunks.map(|trunk| trunk.is_some());
    let mut found = RampFound { trunked, ..RampFound::default() };
    let mut meter = LoadMeter::default();
    while let Some(wanted) = ramp.next() {
        let how = if trunked[0] { " in a trunk" } else { "" };
        tell(&format!("{wanted} calls{how}"));
        if let Some(refused) = call_up(calls, &spoke.number, wanted).await? {
            found.refused = Some(refused);
            break;
        }
        let surplus = calls.up.split_off(wanted.min(calls.up.len()));
        calls.hang_up(surplus).await;
        time::sleep(SETTLING).await;
        let step = step(calls, &baseline, spoke, drain, &mut meter).await?;
        let did_well = step.did_well;
        found.steps.push(step);
        ramp.judge(wanted, did_well);
        if !did_well {
            // What waits in queues is let out before the next step.
            let surplus = calls.up.split_off(1);
            calls.hang_up(surplus).await;
            time::sleep(SETTLING * 2).await;
        }
    }
    found.good = ramp.good();
    found.effect = meter.effect();
    Ok(Some(found))
}

/// More calls in a trunk, which begin with as many as did well without. A far end that is made for it is asked for one
/// as well; any other has its own mind.
async fn trunk_ramp(
    calls: &mut Calls<'_>,
    spoke: &Spoke,
    drain: Duration,
    (bundle, good): (Bundle, usize),
    tell: &dyn Fn(&str),
) -> Result<Option<RampFound>, Failure> {
    let is_asked = spoke.ways.apart.is_some();
    let trunk = bundle.trunk();
    calls.bundle(bundle, is_asked).await?;
    time::sleep(drain).await;
    // Calls of before stay outside of it, so that one of its own takes their place.
    let before = std::mem::take(&mut calls.up);
    let refused = call_up(calls, &spoke.number, 1).await?;
    if refused.is_none() {
        calls.bundle(bundle, is_asked).await?;
        time::sleep(drain).await;
    }
    calls.hang_up(before).await;
    if refused.is_some() {
        return Ok(Some(RampFound { refused, trunked: [true, false], ..RampFound::default() }));
    }
    let come = calls.trunk_frames().await?;
    time::sleep(SETTLING).await;
    let comes = calls.trunk_frames().await? > come;
    calls.trunks = [Some(trunk), comes.then_some(trunk)];
    ramp(calls, spoke, drain, Ramp::from(good, calls.wishes.calls), tell).await
}

/// Places calls until there are `wanted`. What the other end says if it does not want so many.
async fn call_up(
    calls: &mut Calls<'_>,
    number: &str,
    wanted: usize,
) -> Result<Option<String>, Failure> {
    let mut new = Vec::new();
    while calls.up.len() + new.len() < wanted {
        new.push(calls.place(number).await?);
        time::sleep(GLANCE / 2).await;
    }
    for (n, call) in new.iter().enumerate() {
        let state = calls.answered(*call).await?;
        if state.answered && state.end.is_none() {
            calls.up.push(*call);
            continue;
        }
        calls.hang_up(new[n..].to_vec()).await;
        return Ok(Some(state.end.map_or_else(
            || "it was not answered".into(),
            |end| end.text.clone().unwrap_or_else(|| end.cause.to_string()),
        )));
    }
    Ok(None)
}

/// Lets all calls that are up speak for a while.
async fn step(
    calls: &Calls<'_>,
    baseline: &Baseline,
    spoke: &Spoke,
    drain: Duration,
    meter: &mut LoadMeter,
) -> Result<StepFound, Failure> {
    let wishes = calls.wishes;
    let load = Load {
        frame_bytes: wishes.script.frame_bytes,
        frame_ms: wishes.script.frame_ms,
        headers: headers(wishes.to),
    };
    let kbits = load.kbits(calls.up.len(), calls.trunks[0]);
    let begun = calls.spans(None).await?;
    let mut slice = begun.clone();
    for _ in 0..SLICES {
        time::sleep(SLICE).await;
        let ended = calls.spans(Some(&slice)).await?;
        // Of the slice all is back that was not held up for longer than it lasted.
        let (sent, frames) = gather(calls, &ended).await?;
        meter.note(kbits, baseline.above(&frames.concat(), 50.0).both);
        let back = frames.iter().map(Vec::len).sum::<usize>();
        let on_their_way = spoke.ways.round_trip(95.0).as_secs_f64() / SLICE.as_secs_f64();
        let expected = sent as f64 * (1.0 - on_their_way).max(0.0);
        if (expected - back as f64) * 100.0
            > expected * (MUCH_LOSS + spoke.ways.both.lost_percent())
        {
            break;
        }
        slice = calls.spans(None).await?;
    }
    let spans = calls.spans(Some(&begun)).await?;
    time::sleep(drain + LEAST_QUEUE * 3).await;
    let (sent, frames) = gather(calls, &spans).await?;
    Ok(judge(&load, spoke, baseline, &spans, sent, &frames, calls.trunks))
}

/// How many frames were sent, and what came back of each call.
async fn gather(calls: &Calls<'_>, spans: &Spans) -> Result<(u32, Vec<Vec<Returned>>), Failure> {
    let (mut sent, mut frames) = (0, Vec::new());
    for (call, span) in spans {
        sent += span.end - span.start;
        frames.push(calls.returned(*call, span).await?);
    }
    Ok((sent, frames))
}

/// What a step shows.
fn judge(
    load: &Load,
    spoke: &Spoke,
    baseline: &Baseline,
    spans: &Spans,
    sent: u32,
    frames: &[Vec<Returned>],
    trunks: [Option<TrunkConfig>; 2],
) -> StepFound {
    let share = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
    let mut apart = [(0, 0); 2];
    for ((_, span), frames) in spans.iter().zip(frames) {
        let ways = Ways::of(frames, span.clone(), load.frame_ms, spoke.format);
        for (n, way) in ways.and_then(|ways| ways.apart).into_iter().flatten().enumerate() {
            apart[n].0 += way.stats.lost;
            apart[n].1 += way.stats.lost + way.stats.frames;
        }
    }
    let all = frames.concat();
    let lost = share(u64::from(sent).saturating_sub(all.len() as u64), sent.into());
    let knows_ways = spoke.ways.apart.is_some();
    let lost_apart = knows_ways.then(|| apart.map(|(lost, all)| share(lost, all)));
    // What one frame takes, and what came of them in the time from the first to the last.
    let count = spans.len();
    let kbits = trunks.map(|trunk| load.kbits(count, trunk));
    let frame_kbits = kbits.map(|kbits| kbits / count as f64 * f64::from(load.frame_ms) / 1e3);
    let rate = |way: usize, count: f64, times: Vec<u64>| {
        let (first, last) = (times.iter().min(), times.iter().max());
        let span = first.zip(last).map_or(0, |(first, last)| last - first);
        if span == 0 { 0.0 } else { count * frame_kbits[way] * 1e6 / span as f64 }
    };
    let back = rate(1, all.len() as f64, all.iter().map(|frame| frame.came).collect());
    let came_there: Vec<u64> = all.iter().filter_map(|frame| Some(frame.seen?.at)).collect();
    // Of those that came there some were lost on the way back.
    let there = match lost_apart {
        Some([_, here]) if here < 100.0 => {
            rate(0, all.len() as f64 / (1.0 - here / 100.0), came_there)
        }
        _ => rate(0, all.len() as f64, all.iter().map(|frame| frame.came).collect()),
    };
    let quiet = spoke.ways.both.stats;
    let loss_limit = loss_limit(quiet.lost, quiet.lost + quiet.frames, sent);
    let queue = baseline.above(&spoke.frames, 95.0).both;
    let above = baseline.above(&all, 95.0);
    // Voice waits in a trunk for company, which is no queue.
    let waits = trunks.map(|trunk| trunk.map_or(Duration::ZERO, |trunk| trunk.interval));
    let late_limit = LEAST_QUEUE + waits[0] + waits[1];
    let late_limits =
        if knows_ways { waits.map(|wait| LEAST_QUEUE + wait) } else { [late_limit; 2] };
    let is_late = above.both > queue + late_limit;
    StepFound {
        calls: count,
        kbits: kbits[0],
        lost,
        lost_apart,
        above,
        carried: [there, back],
        loss_limit,
        late_limits,
        did_well: !all.is_empty() && lost <= loss_limit && !is_late,
    }
}

/// Says frames as long as the way there lets through; whether any comes back.
async fn speak_long(
    calls: &Calls<'_>,
    call: CallId,
    packet: usize,
    drain: Duration,
) -> Result<bool, Failure> {
    // A mini frame's header has four bytes.
    let bytes = packet.saturating_sub(headers(calls.wishes.to) + 4);
    for _ in 0..LONG_FRAMES {
        let say = move |endpoint: &mut _, prober: &mut Prober, now| {
            prober.speak_long(endpoint, now, call, bytes)
        };
        let millis = calls.driver.with(say).await.map_err(failed)?;
        time::sleep(Duration::from_millis(millis.into())).await;
    }
    time::sleep(drain).await;
    let look = move |_: &mut _, prober: &mut Prober, _| prober.long_came_back(call);
    calls.driver.with(look).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_chance_loses_of_a_few_frames_is_no_suffering() {
        // A link that loses 1.8 % at random loses 3 of 400 frames now and 15 of 500 then.
        assert!(loss_limit(3, 400, 500) > 3.0);
        assert!(loss_limit(0, 500, 400) < 2.1, "{}", loss_limit(0, 500, 400));
        assert!(loss_limit(0, 500, 4_000) < loss_limit(0, 500, 400));
    }
}
