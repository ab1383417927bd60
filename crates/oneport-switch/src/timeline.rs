//! How one leg has sounded since its beginning, in a few hundred bytes however long it lasts: a point for each
//! look, and where there are too many, two become one. A point tells the worst of its time, so that a burst is
//! still seen an hour later.

use std::time::Duration;

use oneport_proto::{CallStats, Instant};

/// Points of a leg at most. With a look in ten seconds they are four minutes, then eight, and so on.
const MOST_POINTS: usize = 24;

/// Points for which room is made at once.
const ROOM: usize = 4;

/// Figures of a time, the worst of each; `UNKNOWN` where there are none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Point {
    /// Frames lost, in hundredths of a per cent.
    lost: u16,
    /// In tenths of a millisecond.
    jitter: u16,
    /// How late the newest frame was behind the fastest, in tenths of a millisecond.
    late: u16,
    /// In tenths of a millisecond.
    round_trip: u16,
    /// What the other side says: frames lost in hundredths of a per cent, jitter and the delay of its buffer
    /// in milliseconds.
    lost_there: u16,
    jitter_there: u16,
    buffer_there: u16,
}

const UNKNOWN: u16 = u16::MAX;

const NOTHING: Point = Point {
    lost: UNKNOWN,
    jitter: UNKNOWN,
    late: UNKNOWN,
    round_trip: UNKNOWN,
    lost_there: UNKNOWN,
    jitter_there: UNKNOWN,
    buffer_there: UNKNOWN,
};

impl Point {
    /// The worst of both.
    fn with(self, other: Self) -> Self {
        let worst = |a: u16, b: u16| if a == UNKNOWN || b == UNKNOWN { a.min(b) } else { a.max(b) };
        Self {
            lost: worst(self.lost, other.lost),
            jitter: worst(self.jitter, other.jitter),
            late: worst(self.late, other.late),
            round_trip: worst(self.round_trip, other.round_trip),
            lost_there: worst(self.lost_there, other.lost_there),
            jitter_there: worst(self.jitter_there, other.jitter_there),
            buffer_there: worst(self.buffer_there, other.buffer_there),
        }
    }
}

/// Frames that came and that were lost, up to a look. Two years of them fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Frames {
    came: u32,
    lost: u32,
}

impl Frames {
    fn new(came: u64, lost: u64) -> Self {
        let fits = |frames: u64| u32::try_from(frames).unwrap_or(u32::MAX);
        Self { came: fits(came), lost: fits(lost) }
    }

    /// What was lost since `before`, in hundredths of a per cent of what should have come.
    fn lost_since(self, before: Self) -> u16 {
        let came = u64::from(self.came.saturating_sub(before.came));
        let lost = u64::from(self.lost.saturating_sub(before.lost));
        let share = (lost * 10_000).checked_div(came + lost);
        share.map_or(UNKNOWN, |share| small(u128::from(share)))
    }
}

/// A figure in its 16 bits; what is too great is the greatest.
fn small(figure: u128) -> u16 {
    u16::try_from(figure).unwrap_or(UNKNOWN).min(UNKNOWN - 1)
}

fn tenths(duration: Duration) -> u16 {
    small((duration.as_micros() + 50) / 100)
}

/// What is told of a part of a leg's life.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Part {
    /// How long ago it ended, in seconds.
    pub(crate) seconds_ago: f64,
    pub(crate) lost_percent: Option<f64>,
    pub(crate) jitter_ms: Option<f64>,
    pub(crate) late_ms: Option<f64>,
    pub(crate) round_trip_ms: Option<f64>,
    pub(crate) lost_percent_there: Option<f64>,
    pub(crate) jitter_ms_there: Option<f64>,
    pub(crate) buffer_ms_there: Option<f64>,
}

/// All of a leg's life.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// The last look at the leg.
    looked: Option<Instant>,
    /// Oldest first.
    points: Vec<Point>,
    looks: u32,
    here: Frames,
    there: Frames,
    /// What the other side has lost between its last two reports, which hold until the next.
    lost_there: u16,
    /// Of so many looks is a point, and the newest of so many so far.
    looks_of_point: u16,
    looks_of_newest: u16,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            looked: None,
            points: Vec::new(),
            looks: 0,
            here: Frames::default(),
            there: Frames::default(),
            lost_there: UNKNOWN,
            looks_of_point: 1,
            looks_of_newest: 0,
        }
    }
}

impl Timeline {
    /// Takes what a look at the leg shows; looks come at even distances.
    pub(crate) fn note(&mut self, now: Instant, stats: &CallStats) {
        self.looked = Some(now);
        self.looks += 1;
        let received = &stats.received;
        let here = Frames::new(received.frames, received.lost);
        let mut point = Point {
            lost: here.lost_since(self.here),
            round_trip: stats.rtt.map_or(UNKNOWN, tenths),
            ..NOTHING
        };
        if here.came > self.here.came {
            point.jitter = tenths(received.jitter);
            point.late = tenths(received.delay.now);
        }
        self.here = here;
        if let Some(report) = &stats.remote {
            let there = Frames { came: report.frames, lost: report.lost };
            if there != self.there {
                self.lost_there = there.lost_since(self.there);
            }
            point.lost_there = self.lost_there;
            point.jitter_there = small(report.jitter.as_millis());
            point.buffer_there = small(report.delay.as_millis());
            self.there = there;
        }
        self.add(point);
    }

    fn add(&mut self, point: Point) {
        match self.points.last_mut() {
            Some(newest) if self.looks_of_newest < self.looks_of_point => {
                *newest = newest.with(point);
                self.looks_of_newest += 1;
            }
            _ => {
                if self.points.len() == MOST_POINTS {
                    self.halve();
                }
                if self.points.len() == self.points.capacity() {
                    self.points.reserve_exact(ROOM);
                }
                self.points.push(point);
                self.looks_of_newest = 1;
            }
        }
    }

    /// Each two points become one.
    fn halve(&mut self) {
        let pairs = self.points.chunks(2);
        self.points = pairs.filter_map(|pair| pair.iter().copied().reduce(Point::with)).collect();
        self.looks_of_point = self.looks_of_point.saturating_mul(2);
    }

    /// The greater loss of both directions in each part, per cent, oldest first.
    pub(crate) fn losses(&self) -> Vec<Option<f64>> {
        let greater = |point: &Point| {
            let known = [point.lost, point.lost_there].into_iter().filter(|lost| *lost != UNKNOWN);
            known.max().map(|lost| f64::from(lost) / 100.0)
        };
        self.points.iter().map(greater).collect()
    }

    /// What is known by now of a leg that began then, oldest first.
    pub(crate) fn tell(&self, begun: Instant, now: Instant) -> Vec<Part> {
        let Some(looked) = self.looked else { return Vec::new() };
        let look = looked.since(begun).as_secs_f64() / f64::from(self.looks.max(1));
        let mut ago = now.since(looked).as_secs_f64();
        let mut length = look * f64::from(self.looks_of_newest);
        let known = |figure: u16, unit: f64| (figure != UNKNOWN).then(|| f64::from(figure) / unit);
        let mut parts = Vec::with_capacity(self.points.len());
        for point in self.points.iter().rev() {
            parts.push(Part {
                seconds_ago: (ago * 10.0).round() / 10.0,
                lost_percent: known(point.lost, 100.0),
                jitter_ms: known(point.jitter, 10.0),
                late_ms: known(point.late, 10.0),
                round_trip_ms: known(point.round_trip, 10.0),
                lost_percent_there: known(point.lost_there, 100.0),
                jitter_ms_there: known(point.jitter_there, 1.0),
                buffer_ms_there: known(point.buffer_there, 1.0),
            });
            ago += length;
            length = look * f64::from(self.looks_of_point);
        }
        parts.reverse();
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_proto::RemoteReport;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    /// A leg of 50 frames a second, of which those of the eleventh ten seconds are lost, looked at so often.
    fn looked_at(looks: u64) -> Timeline {
        let mut timeline = Timeline::default();
        let mut stats = CallStats::default();
        for look in 1..=looks {
            match look {
                11 => stats.received.lost += 500,
                _ => stats.received.frames += 500,
            }
            stats.received.jitter = Duration::from_micros(look * 100);
            stats.rtt = (look > 1).then_some(Duration::from_millis(20));
            timeline.note(at(look * 10), &stats);
        }
        timeline
    }

    #[test]
    fn a_point_tells_what_has_happened_since_the_one_before() {
        let parts = looked_at(12).tell(at(0), at(123));
        let ago: Vec<f64> = parts.iter().map(|part| part.seconds_ago).collect();
        let expected: Vec<f64> = (0..12_u32).rev().map(|n| 3.0 + 10.0 * f64::from(n)).collect();
        assert_eq!(ago, expected);
        let lost: Vec<_> = parts.iter().filter_map(|part| part.lost_percent).collect();
        assert_eq!(lost, [[0.0; 10].as_slice(), &[100.0, 0.0]].concat());
        assert_eq!((parts[10].jitter_ms, parts[11].jitter_ms), (None, Some(1.2)), "nothing came");
        assert_eq!((parts[0].round_trip_ms, parts[1].round_trip_ms), (None, Some(20.0)));
        assert_eq!(parts[3].lost_percent_there, None, "it says nothing");
        let losses = looked_at(12).losses();
        assert_eq!((losses.len(), losses[10], losses[11]), (12, Some(100.0), Some(0.0)));
    }

    #[test]
    fn all_of_it_takes_400_bytes_at_most() {
        let most = size_of::<Timeline>() + MOST_POINTS * size_of::<Point>();
        assert!(most <= 400, "{most} bytes");
    }

    #[test]
    fn a_day_takes_no_more_room_than_minutes_and_its_worst_moment_is_still_seen() {
        for looks in [25, 100, 8_640] {
            let timeline = looked_at(looks);
            assert!(timeline.points.capacity() <= MOST_POINTS, "{looks}");
            assert!(timeline.points.len() > MOST_POINTS / 2, "{looks}");
            let parts = timeline.tell(at(0), at(looks * 10));
            let worst = parts.iter().filter(|part| part.lost_percent == Some(100.0));
            let ago: Vec<f64> = worst.map(|part| part.seconds_ago).collect();
            let [ago] = ago.as_slice() else { panic!("{looks}: {ago:?}") };
            let (truth, part) = (looks as f64 * 10.0 - 110.0, looks as f64 * 20.0 / 12.0);
            assert!((ago - truth).abs() <= part, "{looks}: {ago}, and it was {truth}");
        }
    }

    #[test]
    fn what_the_other_side_says_is_told_as_it_changes() {
        let mut timeline = Timeline::default();
        let report = |frames, lost| {
            let (jitter, delay) = (Duration::from_millis(7), Duration::from_millis(60));
            Some(RemoteReport { frames, lost, jitter, delay, ..RemoteReport::default() })
        };
        let reports = [report(90, 10), report(90, 10), report(190, 10), report(5, 0)];
        for (n, remote) in (1..).zip(reports) {
            timeline.note(at(n * 10), &CallStats { remote, ..CallStats::default() });
        }
        let parts = timeline.tell(at(0), at(40));
        let lost: Vec<_> = parts.iter().map(|part| part.lost_percent_there).collect();
        let expected = [Some(10.0), Some(10.0), Some(0.0), None];
        assert_eq!(lost, expected, "it holds until the next report, and begins anew");
        assert_eq!((parts[0].jitter_ms_there, parts[0].buffer_ms_there), (Some(7.0), Some(60.0)));
    }
}
