//! How many more calls fit, of all calls and of those of each peer: what is counted of the calls that are up,
//! for [`crate::capacity`] to reckon with.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use oneport::Workload;
use oneport_proto::{CallId, Endpoint, Instant};
use oneport_wire::Format;

use super::{State, Switch};
use crate::api::model::{CapacityView, ForecastView, PeerCapacityView, ThreadView};
use crate::capacity::{Bound, Counts, Forecast, Window, Work, about, forecast, in_proportion};
use crate::cdr::hundredths;
use crate::limits::{Direction, LimitUsage, Scope};
use crate::overload::Measure;

/// Calls that are answered and bridged, of all peers or of one.
#[derive(Clone, Debug, Default)]
struct Census {
    calls: usize,
    /// Legs whose voice comes in mini frames, not in trunk frames.
    mini_legs: usize,
    /// Calls whose legs speak different codecs.
    transcoded: usize,
    /// How many legs speak each codec.
    codecs: HashMap<Format, usize>,
    /// Legs of the peer that came in, and that went out.
    legs: (usize, usize),
}

impl Census {
    fn add(&mut self, formats: [Option<Format>; 2], mini_legs: usize) {
        self.calls += 1;
        self.mini_legs += mini_legs;
        self.transcoded += usize::from(formats[0] != formats[1]);
        for format in formats.into_iter().flatten() {
            *self.codecs.entry(format).or_default() += 1;
        }
    }

    /// The codec that most legs speak.
    fn codec(&self) -> Option<Format> {
        let most = self.codecs.iter().max_by_key(|(format, count)| (**count, format.name()));
        most.map(|(format, _)| *format)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few digits")]
fn part(count: usize, of: usize) -> f64 {
    count as f64 / of.max(1) as f64
}

/// What one call of `census` does in each second, where `all` do what was measured, and how much of the
/// thread's time transcoding takes for it.
#[expect(clippy::cast_precision_loss, reason = "counts of a few digits")]
fn work_of(census: &Census, all: &Census, window: &Window) -> (Work, f64) {
    let each = |rate: f64| rate / all.calls.max(1) as f64;
    let datagrams = match all.mini_legs {
        0 => each(window.work.datagrams),
        legs => {
            let of_a_leg = window.work.datagrams / legs as f64;
            of_a_leg * part(census.mini_legs, census.calls)
        }
    };
    let work = Work { frames: each(window.work.frames), datagrams, begun: each(window.work.begun) };
    let of_one = window.transcoding / all.transcoded.max(1) as f64;
    (work, of_one * part(census.transcoded, census.calls))
}

impl Switch {
    /// A sample of the driver's thread, for what calls cost.
    pub(super) fn measure_calls(&mut self, endpoint: &Endpoint, workload: &Workload) {
        let Some(cpu) = workload.cpu else { return };
        let counters = endpoint.counters();
        let counts = Counts {
            frames: counters.relayed,
            datagrams: counters.datagrams_received,
            begun: self.tally.begun.values().sum(),
            transcoding: self.transcodings.worked(),
        };
        self.capacity.take(workload.time, cpu, counts);
    }

    /// The calls that are up: all, and those of each peer.
    fn census(&self, endpoint: &Endpoint) -> (Census, BTreeMap<&str, Census>) {
        let mut all = Census::default();
        let mut by_peer: BTreeMap<&str, Census> = BTreeMap::new();
        for (call, leg) in &self.legs {
            let State::Caller(caller) = &leg.state else { continue };
            let [called] = *caller.called else { continue };
            if !caller.answered {
                continue;
            }
            let legs: [CallId; 2] = [*call, called];
            let peers = legs.map(|leg| self.legs.get(&leg).and_then(|leg| leg.peer.as_deref()));
            let formats = legs.map(|leg| endpoint.call_format(leg));
            let in_trunk =
                |name: &str| self.config.peers.get(name).is_some_and(|peer| peer.trunk.is_some());
            let mini = peers.iter().filter(|peer| !peer.is_some_and(in_trunk)).count();
            all.add(formats, mini);
            for (n, peer) in peers.into_iter().enumerate() {
                let Some(peer) = peer else { continue };
                let census = by_peer.entry(peer).or_default();
                if n == 0 || peers[0] != Some(peer) {
                    census.add(formats, mini);
                }
                match n {
                    0 => census.legs.0 += 1,
                    _ => census.legs.1 += 1,
                }
            }
        }
        (all, by_peer)
    }

    /// The mark of the CPU: 1 is all of a thread's time.
    fn mark(&self) -> f64 {
        self.config.overload.mark(Measure::Cpu) / 100.0
    }

    /// What bounds the calls of `census`, whosever they are.
    fn bounds(
        &self,
        endpoint: &Endpoint,
        census: &Census,
        all: &Census,
        usage: &[LimitUsage],
    ) -> Vec<(Bound, usize)> {
        let mut bounds = Vec::new();
        if self.overloaded(0).is_some() {
            bounds.push((Bound::Overload, 0));
        }
        let over = |measure| {
            let mark = self.config.overload.mark(measure);
            self.overload.value(measure).is_some_and(|value| value >= mark)
        };
        if over(Measure::Overflow) {
            bounds.push((Bound::Socket, 0));
        }
        if self.book.ledger().is_some_and(|ledger| ledger.is_full()) {
            bounds.push((Bound::Store, 0));
        }
        let free = self.config.endpoint.max_calls.saturating_sub(endpoint.calls());
        bounds.push((Bound::Engine, free / 2));
        if let Some(quota) = self.overload.value(Measure::Quota) {
            bounds.push((Bound::Quota, in_proportion(all.calls, quota / 100.0, self.mark())));
        }
        let free = self.config.max_transcoded_calls.saturating_sub(self.transcodings.count());
        let calls = (free * census.calls).checked_div(census.transcoded);
        bounds.extend(calls.map(|calls| (Bound::Transcoding, calls)));
        bounds.extend(self.limits_on(usage, |scope| matches!(scope, Scope::Switch), None));
        bounds
    }

    /// Places that are free under the limits on `wanted`, which calls of `direction` alone count under.
    fn limits_on(
        &self,
        usage: &[LimitUsage],
        wanted: impl Fn(&Scope) -> bool,
        direction: Option<Direction>,
    ) -> Vec<(Bound, usize)> {
        let limits = self.config.limits.iter().filter(|limit| {
            let counts = limit.direction.is_none() || limit.direction == direction;
            !limit.soft && counts && wanted(&limit.scope)
        });
        let free = limits.filter_map(|limit| {
            let used = usage.iter().find(|usage| usage.limit == limit.name)?.used;
            let free = limit.max_calls?.saturating_sub(used);
            Some((Bound::Limit(limit.name.clone()), free))
        });
        free.collect()
    }

    /// The same of one peer.
    fn bounds_of(
        &self,
        name: &str,
        census: &Census,
        usage: &[LimitUsage],
        by_address: &HashMap<IpAddr, usize>,
    ) -> Vec<(Bound, usize)> {
        let direction = match census.legs {
            (_, 0) => Some(Direction::In),
            (0, _) => Some(Direction::Out),
            _ => None,
        };
        let on_it = |scope: &Scope| match scope {
            Scope::Peers(names) => names.iter().any(|own| own == name),
            _ => false,
        };
        let mut bounds = self.limits_on(usage, on_it, direction);
        let of_it = self.legs.values().filter(|leg| leg.peer.as_deref() == Some(name));
        let exempt = self.config.endpoint.exempt_address;
        let busiest = of_it
            .map(|leg| leg.address.ip())
            .filter(|address| Some(*address) != exempt)
            .filter_map(|address| by_address.get(&address).copied())
            .max();
        if let Some(used) = busiest {
            let free = self.config.endpoint.max_calls_per_address.saturating_sub(used);
            bounds.push((Bound::Address, free));
        }
        bounds
    }

    fn forecast_of(
        &self,
        census: &Census,
        all: &Census,
        bounds: Vec<(Bound, usize)>,
    ) -> Result<Forecast, String> {
        let window = self.capacity.last().unwrap_or_default();
        let (work, transcoding) = work_of(census, all, &window);
        let cost = self.capacity.cost(all.calls, work, transcoding)?;
        Ok(forecast(cost, window.share, self.mark(), bounds))
    }

    /// How busy this switch is, and how many more calls fit.
    pub(crate) fn show_capacity(&mut self, endpoint: &Endpoint, now: Instant) -> CapacityView {
        let usage = self.limit_usage(now);
        let (all, by_peer) = self.census(endpoint);
        let mut by_address: HashMap<IpAddr, usize> = HashMap::new();
        for leg in self.legs.values() {
            *by_address.entry(leg.address.ip()).or_default() += 1;
        }
        let general = self.bounds(endpoint, &all, &all, &usage);
        let window = self.capacity.last().unwrap_or_default();
        let (work, transcoding) = work_of(&all, &all, &window);
        let cost = self.capacity.cost(all.calls, work, transcoding).ok();
        let kind = |census: &Census| census.codec().map(|codec| codec.name().to_string());
        let view = |told: &Result<Forecast, String>, what: &str| {
            told.as_ref().ok().map(|told| ForecastView {
                calls: told.calls,
                at_least: told.at_least,
                at_most: told.at_most,
                bound: told.bound.name().into(),
                words: format!("about {} more {what}, {}", about(told.calls), told.bound),
            })
        };
        let told = self.forecast_of(&all, &all, general);
        let peers = by_peer.iter().map(|(name, census)| {
            let mut bounds = self.bounds(endpoint, census, &all, &usage);
            bounds.extend(self.bounds_of(name, census, &usage, &by_address));
            let told = self.forecast_of(census, &all, bounds);
            let trunk = self.config.peers.get(*name).is_some_and(|peer| peer.trunk.is_some());
            let codec = kind(census);
            let way = if trunk { "trunk" } else { "peer" };
            let what = format!("{} calls on {way} {name}", codec.as_deref().unwrap_or("such"));
            PeerCapacityView {
                peer: (*name).into(),
                trunk,
                codec,
                calls: census.calls,
                transcoded: census.transcoded,
                forecast: view(&told, &what),
                why_not: told.err(),
            }
        });
        let peers = peers.collect();
        let load = self.load_figures();
        let percent = |share: f64| hundredths(share * 100.0);
        CapacityView {
            refusing: self.why_refusing(),
            threads: load
                .delay
                .map(|delay| ThreadView {
                    thread: "media".into(),
                    cpu_percent: load.cpu.map(percent),
                    delay_ms: hundredths(delay * 1e3),
                })
                .into_iter()
                .collect(),
            cpu_quota_percent: load.quota.map(percent),
            mark_percent: self.config.overload.cpu_percent,
            calls: all.calls,
            transcoded: all.transcoded,
            call_cpu_ms: cost.map(|cost| hundredths(cost.share * 1e3)),
            call_cpu_ms_error: cost.map(|cost| hundredths(cost.error * 1e3)),
            forecast: view(&told, "calls of the present mix"),
            why_not: told.err(),
            peers,
        }
    }
}
