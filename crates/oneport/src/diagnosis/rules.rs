//! From figures to causes. Each rule says what it wants to see; what one of this system's own faults
//! explains is not laid to the network.

use std::time::Duration;

use oneport_proto::{Agreement, CallStats, Lateness, RemoteReport, Stalls, VoiceStats};

use super::cause::{Cause, Shape, Way};
use super::{Diagnosis, Surroundings, Transcoding};
use crate::loss_bursts::{LossBursts, percent};

/// Less loss is hidden by concealment.
const LEAST_LOSS_PERCENT: f64 = 1.0;

/// Fewer frames show nothing.
const FEWEST_LOST: u64 = 5;

/// Runs of loss longer than at random by this factor are bursts.
const BURSTY: f64 = 1.5;

/// Where one frame of twenty is later than this, a stream is uneven.
const UNEVEN: Duration = Duration::from_millis(30);

/// [`Diagnosis::LEAST_JITTER`], as the other end's RR JITTER has it: an average over frames in their order, which
/// come closer together than they left by 20 ms at most. Where delays are spread over 60 ms it is 10 to 19 ms, over
/// 90 ms mostly 15 to 21, over 200 ms 20 to 36 (the simulated network, frames in order and not).
const LEAST_JITTER_THERE: Duration = Duration::from_millis(22);

/// A queue of this length is heard as an answer that comes late.
const LEAST_QUEUE: Duration = Duration::from_millis(80);

/// A delay moves slowly where it changes less than an eighth of its range from one frame to the next.
const SLOW: u32 = 8;

/// A sender stalls that does so twice, for this long.
const LEAST_STALL: Duration = Duration::from_millis(80);

/// While a stream is calm otherwise, half of its frames come within this.
const CALM: Duration = Duration::from_millis(15);

/// Clocks that run apart by less need a frame more or less every three minutes at most.
const LEAST_PPM: u32 = 100;

/// Lateness of less than this share of a call is what any machine has.
const LEAST_LATENESS_PERCENT: u128 = 1;

/// Voice held longer than this by a trunk is late for its listener.
const LONGEST_HOLD: Duration = Duration::from_millis(40);

/// Translating takes nearly all of the time; fewer frames show nothing of that.
const BUSY_PERCENT: f64 = 90.0;
const FEWEST_TRANSLATED: u64 = 50;

/// How long the voice of a call has lasted, by the frames of whichever side has sent more.
fn lasted(stats: &CallStats) -> Duration {
    let frame = match stats.received.frame {
        Duration::ZERO => Duration::from_millis(20),
        frame => frame,
    };
    let frames = (stats.received.frames + stats.received.lost).max(stats.sent_frames);
    frame.saturating_mul(u32::try_from(frames).unwrap_or(u32::MAX))
}

pub(super) fn causes(stats: &CallStats, surroundings: &Surroundings) -> Vec<Cause> {
    let mut causes = Vec::new();
    let late = late_scheduling(stats);
    let overload = surroundings.transcoding.and_then(|transcoding| overload(stats, &transcoding));
    // A thread that translates for too long is late for that alone.
    let explained = overload.is_some_and(|(_, busy)| busy * 2 >= stats.lateness.total);
    causes.extend(late.filter(|_| !explained));
    causes.extend(overload.map(|(cause, _)| cause));
    causes.extend(trunk(stats));
    causes.extend(not_sent(stats));
    let is_late = late.is_some();
    causes.extend(loss_here(stats, is_late));
    causes.extend(loss_there(stats));
    let stalls = stalls(stats, is_late);
    let queue = stalls.is_none().then(|| queue_here(&stats.received, stats, is_late)).flatten();
    if stalls.is_none() && queue.is_none() {
        causes.extend(jitter_here(stats, is_late));
    }
    causes.extend(queue);
    // What leaves late from here is late there.
    if !is_ours(stats, is_late) {
        let queue = queue_there(stats, surroundings);
        causes.extend(queue.or_else(|| jitter_there(stats)));
    }
    causes.extend(stalls);
    causes.extend(drift(stats, surroundings));
    causes
}

fn late_scheduling(stats: &CallStats) -> Option<Cause> {
    let Lateness { over_10_ms, over_30_ms, over_100_ms, total, overflowed } = stats.lateness;
    let much = total.as_micros() * 100 >= lasted(stats).as_micros() * LEAST_LATENESS_PERCENT;
    let often = over_30_ms >= 3 || over_100_ms >= 2;
    ((much && often) || overflowed >= FEWEST_LOST).then_some(Cause::LateScheduling {
        times: [over_10_ms, over_30_ms, over_100_ms],
        total,
        overflowed,
    })
}

/// Also how long the thread has worked at translating.
fn overload(stats: &CallStats, transcoding: &Transcoding) -> Option<(Cause, Duration)> {
    let Transcoding { time, busy, frames, late, longest } = *transcoding;
    let busy_percent = match time.as_secs_f64() {
        0.0 => 0.0,
        time => busy.as_secs_f64() * 100.0 / time,
    };
    let always = busy_percent >= BUSY_PERCENT && frames >= FEWEST_TRANSLATED;
    let often = percent(late, frames) >= LEAST_LOSS_PERCENT && late >= FEWEST_LOST;
    let overflowed = stats.lateness.overflowed;
    (always || often)
        .then_some((Cause::TranscodingOverload { busy_percent, late, longest, overflowed }, busy))
}

fn trunk(stats: &CallStats) -> Option<Cause> {
    let trunk = stats.trunk?;
    let dropped = trunk.dropped;
    let percent = percent(dropped, dropped + trunk.frames);
    let datagrams = u32::try_from(trunk.datagrams.max(1)).unwrap_or(u32::MAX);
    let held = trunk.held / datagrams;
    let drops = dropped >= FEWEST_LOST && percent >= LEAST_LOSS_PERCENT;
    (drops || held > LONGEST_HOLD).then_some(Cause::Trunk { dropped, percent, held })
}

fn not_sent(stats: &CallStats) -> Option<Cause> {
    let frames = stats.send_drops;
    let percent = percent(frames, frames + stats.sent_frames);
    (frames >= FEWEST_LOST && percent >= LEAST_LOSS_PERCENT)
        .then_some(Cause::NotSent { frames, percent })
}

fn loss_here(stats: &CallStats, is_late: bool) -> Option<Cause> {
    let heard = &stats.received;
    // What the sender left out was not lost on the way, nor what the system dropped as we were late.
    let mut lost = heard.lost.saturating_sub(heard.stalls.skipped_frames);
    if is_late {
        lost = lost.saturating_sub(stats.lateness.overflowed);
    }
    let percent = percent(lost, heard.frames + lost);
    if lost < FEWEST_LOST || percent < LEAST_LOSS_PERCENT {
        return None;
    }
    let bursts = LossBursts::of(heard);
    let shape = match bursts.burst_ratio >= BURSTY && bursts.bursts > 0 {
        true => Shape::Bursts {
            bursts: bursts.bursts,
            length: bursts.burst_length,
            density: bursts.burst_density,
        },
        false => Shape::Random,
    };
    Some(Cause::Loss { way: Way::Here, lost, percent, shape })
}

/// What the other end reports, if that can be.
fn report(stats: &CallStats) -> Option<&RemoteReport> {
    let possible = !matches!(stats.agreement, Agreement::Nonsense(_));
    stats.remote.as_ref().filter(|report| possible && report.frames > 0)
}

fn loss_there(stats: &CallStats) -> Option<Cause> {
    let report = report(stats)?;
    // What we did not have to send, since it was lost before, is missed there too.
    let lost = u64::from(report.lost).saturating_sub(stats.sent_gaps);
    let percent = percent(lost, u64::from(report.frames) + lost);
    (lost >= FEWEST_LOST && percent >= LEAST_LOSS_PERCENT).then_some(Cause::Loss {
        way: Way::There,
        lost,
        percent,
        shape: Shape::Untold,
    })
}

fn stalls(stats: &CallStats, is_late: bool) -> Option<Cause> {
    let heard = &stats.received;
    let Stalls {
        count,
        total,
        longest,
        frames,
        leaps,
        halts,
        halted,
        regained,
        skips,
        skipped,
        ..
    } = heard.stalls;
    // Where more frames are late than the stalls explain, the network is uneven by itself.
    let explained = heard.delay.p95 < UNEVEN || frames * 100 >= heard.frames * 3;
    let ours = is_late && stats.lateness.total * 2 >= total;
    let stops =
        count >= 2 && longest >= LEAST_STALL && heard.delay.p50 < CALM && explained && !ours;
    // A queue that grows takes many small steps.
    let halts =
        match halts >= 2 && leaps >= halts && halted >= LEAST_STALL && regained * 4 <= halted {
            true => (halts, halted),
            false => (0, Duration::ZERO),
        };
    let skips = match skips >= 2 && skipped >= LEAST_STALL {
        true => (skips, skipped),
        false => (0, Duration::ZERO),
    };
    let (gaps, missing) = (halts.0 + skips.0, halts.1 + skips.1);
    let (count, longest) = if stops { (count, longest) } else { (0, Duration::ZERO) };
    (count > 0 || gaps > 0).then_some(Cause::SenderStalls { count, longest, gaps, missing })
}

/// Whether our own lateness explains that frames are counted as late.
fn is_ours(stats: &CallStats, is_late: bool) -> bool {
    // Of the time, in which one frame of twenty is late.
    is_late && stats.lateness.total * 20 >= lasted(stats)
}

fn queue_here(heard: &VoiceStats, stats: &CallStats, is_late: bool) -> Option<Cause> {
    let delay = &heard.delay;
    let slow = delay.step * SLOW <= delay.p95;
    // Nothing overtakes in a queue.
    let is_queue = slow && percent(heard.out_of_order, heard.frames) < 2.0;
    (delay.p95 >= LEAST_QUEUE && is_queue && !is_ours(stats, is_late))
        .then_some(Cause::Bufferbloat { way: Way::Here, most: delay.greatest, load: None })
}

fn jitter_here(stats: &CallStats, is_late: bool) -> Option<Cause> {
    let heard = &stats.received;
    let late = heard.delay.p95;
    (late >= Diagnosis::LEAST_JITTER && !is_ours(stats, is_late)).then(|| Cause::Jitter {
        way: Way::Here,
        late,
        dropped_percent: 0.0,
        reordered_percent: percent(heard.out_of_order, heard.frames),
    })
}

fn queue_there(stats: &CallStats, surroundings: &Surroundings) -> Option<Cause> {
    let lag = &stats.lag;
    let grew = lag.greatest?.saturating_sub(lag.least?);
    // One poll that was slow is no queue.
    let lasts = lag.mean?.saturating_sub(lag.least?) >= LEAST_QUEUE / 4;
    // What the way here explains is not there. A single poll may be late by the worst of a jitter, which
    // is several times its average.
    // What the fastest takes is looked for anew all the time, so of a queue that fills over many seconds
    // the delay here shows the half.
    let here = stats.received.delay.greatest * 2;
    let most = grew.saturating_sub(here);
    let steady = report(stats).is_some_and(|report| report.jitter * 6 <= most);
    let follows = surroundings.load.is_some();
    (most >= LEAST_QUEUE && lasts && (steady || follows)).then_some(Cause::Bufferbloat {
        way: Way::There,
        most,
        load: surroundings.load,
    })
}

fn jitter_there(stats: &CallStats) -> Option<Cause> {
    let report = report(stats)?;
    let all = u64::from(report.frames);
    let dropped_percent = percent(report.dropped.into(), all);
    let late = report.jitter;
    let drops = dropped_percent >= LEAST_LOSS_PERCENT && u64::from(report.dropped) >= FEWEST_LOST;
    (late >= LEAST_JITTER_THERE || drops).then(|| Cause::Jitter {
        way: Way::There,
        late,
        dropped_percent,
        reordered_percent: percent(report.out_of_order.into(), all),
    })
}

fn drift(stats: &CallStats, surroundings: &Surroundings) -> Option<Cause> {
    let ppm = stats.received.delay.clock_ppm?;
    if ppm.unsigned_abs() < LEAST_PPM {
        return None;
    }
    // Others that are off as far, the same way, within a quarter.
    let ours = surroundings
        .other_clocks_ppm
        .is_some_and(|others| others.abs_diff(ppm) * 4 <= ppm.unsigned_abs());
    Some(Cause::ClockDrift { ppm, ours })
}

#[cfg(test)]
mod tests {
    use oneport_proto::{DelayVariation, RemoteReport, VoiceStats};

    use super::*;
    use crate::Score;

    const fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn names(stats: &CallStats) -> Vec<&'static str> {
        causes(stats, &Surroundings::default()).iter().map(Cause::name).collect()
    }

    /// A minute of which the other end says this.
    fn reported(jitter: u64, dropped: u32) -> CallStats {
        let report =
            RemoteReport { frames: 3_000, jitter: ms(jitter), dropped, ..RemoteReport::default() };
        CallStats { sent_frames: 3_000, remote: Some(report), ..CallStats::default() }
    }

    /// A minute in which frames came as late as this.
    fn heard(p95: u64, p99: u64) -> CallStats {
        let delay =
            DelayVariation { p95: ms(p95), p99: ms(p99), step: ms(p95 / 3), ..Default::default() };
        let received = VoiceStats { frames: 3_000, delay, ..VoiceStats::default() };
        CallStats { received, ..CallStats::default() }
    }

    #[test]
    fn jitter_that_a_buffer_holds_is_no_cause_and_what_it_costs_is_heard_by_nobody() {
        for jitter in [15, 21] {
            let stats = reported(jitter, 0);
            assert_eq!(names(&stats), [""; 0], "{jitter}");
            assert!(Score::there(&stats).is_some_and(|score| score.mos > 4.3), "{jitter}");
        }
        assert_eq!(names(&reported(22, 0)), ["jitter_there"]);
        for (p95, p99) in [(30, 45), (79, 99)] {
            let stats = heard(p95, p99);
            assert_eq!(names(&stats), [""; 0], "{p95}");
            assert!(Score::here(&stats).is_some_and(|score| score.mos > 4.3), "{p95}");
        }
        assert_eq!(names(&heard(80, 100)), ["jitter_here"]);
    }

    #[test]
    fn frames_that_come_too_late_there_are_a_cause_whatever_the_jitter() {
        // 29 of 3,000 are 0.97 %, 30 are 1.
        assert_eq!(names(&reported(15, 29)), [""; 0]);
        assert_eq!(names(&reported(15, 30)), ["jitter_there"]);
    }
}
