//! How late frames come, and so how long they should wait.
//!
//! The transit of a frame is when it came by our clock minus when it was said by the sender's. Its least
//! value of late is the base; what a frame has above it is its delay. Since the base is looked for anew
//! all the time, it goes with clocks that drift apart.

use super::filling::Filling;

/// Width of a cell of the histogram, in µs.
const CELL_US: i64 = 2_500;
/// Its cells: delays up to 2 s.
const CELLS: usize = 800;

/// The base is the least transit of so many parts of the past,
const PARTS: usize = 10;
/// each of so many µs.
const PART_US: i64 = 1_000_000;

/// After so many frames one counts a third of what it did.
const MEMORY: f32 = 2_000.0;
/// The part of frames that may be later than what is aimed at. What is late by less than a frame is heard in
/// part, and there is a margin besides, so that far less of them are missed.
const LATER: f32 = 0.05;
/// Nothing is known at first: so many frames with no delay are supposed, so that a few are no rule.
const FIRST_WEIGHT: f32 = 100.0;

/// If this many frames in a row were late, those behind them will be.
const RECENT: usize = 6;
/// Frames that come so close to each other were held up together, and count as one, with the least delay of them:
/// when that is small again, it is over.
const TOGETHER_US: i64 = 10_000;

#[derive(Debug)]
pub(super) struct Arrivals {
    /// The least transit of each part; the present one is at `part`.
    least: [i64; PARTS],
    /// The most delay that nearly all frames needed in each.
    most: [i64; PARTS],
    part: usize,
    part_began: i64,
    histogram: Box<[f32]>,
    /// What a new frame counts; the rest becomes less by it.
    seen: f32,
    recent: [i64; RECENT],
    next_recent: usize,
    /// When the last of them came, or the first that came together with it.
    recent_came: i64,
    filling: Filling,
    target: i64,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        let mut new = Self {
            least: [i64::MAX; PARTS],
            most: [0; PARTS],
            part: 0,
            part_began: 0,
            histogram: vec![0.0; CELLS].into(),
            seen: 0.0,
            recent: [0; RECENT],
            next_recent: 0,
            recent_came: i64::MIN / 2,
            filling: Filling::new(),
            target: 0,
        };
        new.reset();
        new
    }

    /// The least transit of late, if there was any.
    pub(super) fn base(&self) -> Option<i64> {
        self.least.iter().copied().min().filter(|least| *least != i64::MAX)
    }

    /// How long after the base nearly all frames are there, in µs.
    pub(super) const fn target(&self) -> i64 {
        self.target
    }

    /// How long after the base frames will be there soon, in µs, where a queue on the way is filling.
    pub(super) const fn expected(&self) -> Option<i64> {
        self.filling.expected()
    }

    /// The clocks are others now; the network is the same.
    pub(super) fn restart(&mut self) {
        self.least = [i64::MAX; PARTS];
        self.recent = [0; RECENT];
        self.filling = Filling::new();
    }

    /// What was learned lately was wrong: begins anew.
    pub(super) fn reset(&mut self) {
        self.restart();
        self.histogram.fill(0.0);
        self.histogram[0] = 1.0;
        self.seen = FIRST_WEIGHT;
        self.most = [0; PARTS];
        self.target = CELL_US;
    }

    /// A frame has come.
    pub(super) fn arrived(&mut self, now: i64, transit: i64) {
        if now - self.part_began > PART_US {
            // One part only, however long nothing came: a pause says nothing of the base.
            self.part = (self.part + 1) % PARTS;
            self.least[self.part] = i64::MAX;
            self.most[self.part] = 0;
            self.part_began = now;
        }
        self.least[self.part] = self.least[self.part].min(transit);
        let delay = transit - self.base().unwrap_or(transit);
        self.count(delay);
        self.remember(now, delay);
        self.most[self.part] = self.most[self.part].max(self.quantile());
        let lasting = self.recent.iter().copied().min().unwrap_or_default();
        self.target = self.most.iter().copied().fold(lasting, i64::max);
    }

    fn remember(&mut self, now: i64, delay: i64) {
        if now - self.recent_came < TOGETHER_US {
            let last = (self.next_recent + RECENT - 1) % RECENT;
            self.recent[last] = self.recent[last].min(delay);
            self.filling.came_together(delay);
        } else {
            self.recent_came = now;
            self.recent[self.next_recent] = delay;
            self.next_recent = (self.next_recent + 1) % RECENT;
            self.filling.came(now, delay, self.target);
        }
    }

    fn count(&mut self, delay: i64) {
        let cell = usize::try_from(delay / CELL_US).unwrap_or_default().min(CELLS - 1);
        self.seen = (self.seen + 1.0).min(MEMORY);
        let new = 1.0 / self.seen;
        for part in &mut self.histogram {
            *part *= 1.0 - new;
        }
        self.histogram[cell] += new;
    }

    /// The end of the cell beyond which only few are.
    fn quantile(&self) -> i64 {
        let mut later = 0.0;
        let beyond = self.histogram.iter().rev().take_while(|part| {
            later += **part;
            later <= LATER
        });
        (CELLS - beyond.count()) as i64 * CELL_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames each 20 ms with these delays in ms.
    fn after(delays: impl IntoIterator<Item = i64>) -> Arrivals {
        let mut arrivals = Arrivals::new();
        for (n, delay) in (0..).zip(delays) {
            arrivals.arrived(n * 20_000 + delay * 1_000, 777_000 + delay * 1_000);
        }
        arrivals
    }

    #[test]
    fn steady_frames_need_not_wait() {
        let arrivals = after([0; 2_000]);
        assert_eq!((arrivals.base(), arrivals.target()), (Some(777_000), CELL_US));
    }

    #[test]
    fn the_target_is_what_nearly_all_frames_need() {
        // 0 to 99 ms, equally often.
        let arrivals = after((0..4_000).map(|n| n * 37 % 100));
        assert!((93_000..=97_000).contains(&arrivals.target()), "{}", arrivals.target());
    }

    #[test]
    fn what_was_needed_is_held_for_some_seconds_and_then_forgotten() {
        let late = || (0..500).map(|n| if n % 10 == 0 { 40 } else { 0 });
        let behind =
            |seconds: usize| after(late().chain(std::iter::repeat_n(0, 50 * seconds))).target();
        assert_eq!([behind(0), behind(8), behind(60)], [42_500, 42_500, CELL_US]);
    }

    #[test]
    fn frames_that_were_held_up_together_are_no_slower_network() {
        let spike = [120, 100, 80, 60, 40, 20];
        let once = std::iter::repeat_n(0, 2_000).chain(spike).chain([0; 50]);
        assert_eq!(after(once.clone().take(2_005)).target(), CELL_US);
        assert_eq!(after(once).target(), CELL_US);
    }

    #[test]
    fn the_base_goes_with_a_clock_that_drifts() {
        for drift in [-4, 4] {
            // 200 ppm: 4 µs in each 20 ms.
            let mut arrivals = Arrivals::new();
            for n in 0..100_000 {
                arrivals.arrived(n * 20_000, n * drift);
            }
            let base = arrivals.base().expect("frames came");
            assert!((base - 100_000 * drift).abs() <= 2_500, "{base}");
            assert!(arrivals.target() <= 2 * CELL_US);
        }
    }

    #[test]
    fn a_network_that_becomes_slower_is_believed_within_some_frames() {
        let arrivals = after(std::iter::repeat_n(0, 2_000).chain([200; RECENT]));
        assert_eq!(arrivals.target(), 200_000);
    }
}
