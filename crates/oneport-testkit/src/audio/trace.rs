//! How long each frame of a call takes through networks of several kinds, made by rule from a seed.
//!
//! The rules give the shape that measurements of such networks show; the numbers are ours.

use super::speech::Dice;

/// Milliseconds between frames.
pub const FRAME_MS: u32 = 20;

/// The fate of each frame of a call.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The network.
    pub name: &'static str,
    /// The delay of each frame in ms; `None` for one that is lost.
    pub delays: Vec<Option<f64>>,
}

/// A link that loses frames in bursts (E. Gilbert, 1960).
struct Bursts {
    begins: f64,
    ends: f64,
    bad: bool,
}

impl Bursts {
    /// Loses `share` of all frames, so many in a row on average.
    fn new(share: f64, length: f64) -> Self {
        let ends = 1.0 / length;
        Self { begins: ends * share / (1.0 - share), ends, bad: false }
    }

    fn loses(&mut self, dice: &mut Dice) -> bool {
        let changes = if self.bad { self.ends } else { self.begins };
        self.bad ^= dice.happens(changes);
        self.bad
    }
}

/// No frame overtakes another: one that is held up holds up those behind it.
fn in_order(delays: &mut [Option<f64>]) {
    let mut earliest = 0.0_f64;
    for (n, delay) in delays.iter_mut().enumerate() {
        let sent = f64::from(FRAME_MS) * n as f64;
        if let Some(delay) = delay {
            *delay = delay.max(earliest - sent);
            earliest = sent + *delay;
        }
    }
}

fn exponential(dice: &mut Dice, mean: f64) -> f64 {
    -mean * (1.0 - dice.unit()).ln()
}

/// A wire of one's own.
fn clean(count: usize, dice: &mut Dice) -> Vec<Option<f64>> {
    (0..count).map(|_| Some(2.0 + exponential(dice, 0.2))).collect()
}

/// Repetitions on the air, and stations that wait: mostly some ms, now and then a tenth of a second.
fn wifi(count: usize, dice: &mut Dice) -> Vec<Option<f64>> {
    let mut delays: Vec<Option<f64>> = (0..count)
        .map(|_| {
            let repeats = if dice.happens(0.08) { exponential(dice, 12.0) } else { 0.0 };
            let waits = if dice.happens(0.008) { dice.between(40.0, 160.0) } else { 0.0 };
            let delay = 3.0 + exponential(dice, 2.0) + repeats + waits;
            (!dice.happens(0.004)).then_some(delay)
        })
        .collect();
    in_order(&mut delays);
    delays
}

/// A grid of scheduling, repetitions of 8 ms, load that comes and goes, a change of cell each 15 s.
fn lte(count: usize, dice: &mut Dice) -> Vec<Option<f64>> {
    let (mut load, mut handover) = (10.0_f64, 300_usize);
    let mut delays: Vec<Option<f64>> = (0..count)
        .map(|_| {
            load = (load + 1.5 * dice.normal()).clamp(0.0, 40.0);
            let mut repeats = 0.0;
            while repeats < 32.0 && dice.happens(0.1) {
                repeats += 8.0;
            }
            let mut delay = 30.0 + load * dice.unit() + repeats + dice.between(0.0, 5.0);
            handover = handover.saturating_sub(1);
            if handover == 0 {
                handover = dice.between(500.0, 1_000.0) as usize;
                delay += dice.between(120.0, 300.0);
            }
            (!dice.happens(0.002)).then_some(delay)
        })
        .collect();
    in_order(&mut delays);
    delays
}

/// Somebody uploads from time to time: the queue before the modem fills, is full for a while, and drains.
fn dsl(count: usize, dice: &mut Dice) -> Vec<Option<f64>> {
    let (mut queue, mut uploads, mut left) = (0.0_f64, false, 200_u32);
    let mut delays: Vec<Option<f64>> = (0..count)
        .map(|_| {
            left = left.saturating_sub(1);
            if left == 0 {
                uploads = !uploads;
                left = dice.between(100.0, 400.0) as u32;
            }
            queue += if uploads { dice.between(-4.0, 9.0) } else { -dice.between(4.0, 16.0) };
            queue = queue.max(0.0);
            let full = queue > 220.0;
            if full {
                // One of the uploading connections sees a loss, and sends half as fast for a while.
                queue -= dice.between(20.0, 90.0);
            }
            let delay = 12.0 + queue + exponential(dice, 1.5);
            (!(full && dice.happens(0.4))).then_some(delay)
        })
        .collect();
    in_order(&mut delays);
    delays
}

/// Slots of 40 ms on a link 36,000 km long, and rain.
fn satellite(count: usize, dice: &mut Dice) -> Vec<Option<f64>> {
    let mut rain = Bursts::new(0.015, 2.0);
    (0..count)
        .map(|n| {
            let sent = f64::from(FRAME_MS) * n as f64;
            let slot = (sent / 40.0).ceil() * 40.0 - sent;
            let delay = 270.0 + slot + exponential(dice, 3.0);
            (!rain.loses(dice)).then_some(delay)
        })
        .collect()
}

/// Trunk frames each 20 ms over a busy line: what is lost is lost in bursts, and senders stall.
fn trunk(count: usize, dice: &mut Dice) -> Vec<Option<f64>> {
    let mut bursts = Bursts::new(0.03, 3.0);
    let mut delays: Vec<Option<f64>> = (0..count)
        .map(|_| {
            let stall = if dice.happens(0.01) { dice.between(20.0, 70.0) } else { 0.0 };
            let delay = 15.0 + dice.between(0.0, 20.0) + stall;
            (!bursts.loses(dice)).then_some(delay)
        })
        .collect();
    in_order(&mut delays);
    delays
}

/// One frame in eight goes another way, 35 ms longer, and is overtaken.
fn two_ways(count: usize, dice: &mut Dice) -> Vec<Option<f64>> {
    (0..count)
        .map(|_| {
            let way = if dice.happens(0.125) { 55.0 } else { 20.0 };
            let delay = way + exponential(dice, 2.0);
            (!dice.happens(0.01)).then_some(delay)
        })
        .collect()
}

/// Traces of all networks, so many frames long; the same for the same seed.
#[must_use]
pub fn all(seed: u64, count: usize) -> Vec<Trace> {
    type Make = fn(usize, &mut Dice) -> Vec<Option<f64>>;
    let kinds: [(&str, Make); 7] = [
        ("clean", clean),
        ("Wi-Fi", wifi),
        ("LTE", lte),
        ("DSL, bufferbloat", dsl),
        ("satellite", satellite),
        ("trunk, bursts", trunk),
        ("two ways", two_ways),
    ];
    let trace = |(name, make): (&'static str, Make)| Trace {
        name,
        delays: make(count, &mut Dice::new(seed.wrapping_mul(1_000_003))),
    };
    kinds.into_iter().map(trace).collect()
}

impl Trace {
    /// The frames that come, by the order in which they do: when, in ms since the first was sent, and which.
    #[must_use]
    pub fn arrivals(&self) -> Vec<(f64, usize)> {
        let came = |(n, delay): (usize, &Option<f64>)| {
            delay.map(|delay| (f64::from(FRAME_MS) * n as f64 + delay, n))
        };
        let mut arrivals: Vec<(f64, usize)> =
            self.delays.iter().enumerate().filter_map(came).collect();
        arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
        arrivals
    }

    /// The delay of the fastest frame, in ms.
    #[must_use]
    pub fn least_ms(&self) -> f64 {
        self.delays.iter().flatten().copied().fold(f64::INFINITY, f64::min)
    }

    /// How much of it is lost, in percent.
    #[must_use]
    pub fn loss_percent(&self) -> f64 {
        let lost = self.delays.iter().filter(|delay| delay.is_none()).count();
        100.0 * lost as f64 / self.delays.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_repeat_themselves_and_look_like_their_networks() {
        let traces = all(1, 5_000);
        assert_eq!(traces[1].delays, all(1, 5_000)[1].delays);
        for trace in &traces {
            let arrivals = trace.arrivals();
            let overtakes = arrivals.windows(2).filter(|pair| pair[0].1 > pair[1].1).count();
            let loss = trace.loss_percent();
            let most = trace.delays.iter().flatten().fold(0.0_f64, |most, delay| most.max(*delay));
            let jitter = most - trace.least_ms();
            let (loss_range, jitter_range) = match trace.name {
                "clean" => (0.0..0.1, 0.0..5.0),
                "Wi-Fi" => (0.1..1.0, 100.0..250.0),
                "LTE" => (0.1..1.0, 200.0..450.0),
                "DSL, bufferbloat" => (0.1..3.0, 200.0..400.0),
                "satellite" => (0.8..2.5, 40.0..80.0),
                "trunk, bursts" => (2.0..4.5, 60.0..120.0),
                _ => (0.5..1.5, 35.0..80.0),
            };
            assert!(loss_range.contains(&loss), "{}: {loss} % lost", trace.name);
            assert!(jitter_range.contains(&jitter), "{}: jitter {jitter} ms", trace.name);
            // Two frames of one slot of a satellite are as good as simultaneous.
            let may_overtake = ["satellite", "two ways"].contains(&trace.name);
            assert_eq!(overtakes > 0, may_overtake, "{}", trace.name);
        }
    }
}
