//! What frames, datagrams and beginnings of calls cost of the CPU, fitted to what was measured: a linear
//! regression with a weak expectation (ridge), which forgets what is old.
//!
//! Where the measurements cannot tell two things apart, as frames and datagrams where no call is in a trunk,
//! the expectation decides how the cost is split, and the uncertainty of each alone says so; the cost of both
//! together is known well.

/// How many things cost something.
const N: usize = 4;

/// What is remembered of an older window when a new one comes: half of it after about 23.
const MEMORY: f64 = 0.97;

/// What a window's share of the CPU may be off: so much, and so much of it.
const NOISE: (f64, f64) = (0.001, 0.03);

/// What the thread needs when nothing is to be done: expected, and how sure that is.
const IDLE: (f64, f64) = (0.002, 0.005);

/// How the cost is expected to be split, of frames, datagrams and beginnings.
const SPLIT: [f64; 3] = [0.45, 0.45, 0.1];

type Vector = [f64; N];
type Matrix = [[f64; N]; N];

/// What was done in one second, or by one call in one second.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Work {
    /// Frames of media passed on.
    pub(crate) frames: f64,
    /// Datagrams received.
    pub(crate) datagrams: f64,
    /// Legs that have begun.
    pub(crate) begun: f64,
}

impl Work {
    const fn vector(self, idle: f64) -> Vector {
        [idle, self.frames, self.datagrams, self.begun]
    }
}

/// A cost of the CPU, in shares of all of one thread's time, and its standard error.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Cost {
    pub(crate) share: f64,
    pub(crate) error: f64,
}

/// What was measured, summed up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fit {
    /// Σ w·x·xᵀ and Σ w·x·y of all windows.
    products: Matrix,
    results: Vector,
}

impl Fit {
    /// Takes a window: what was done in each second, and the share of the CPU that it took.
    pub(crate) fn note(&mut self, work: Work, share: f64) {
        let x = work.vector(1.0);
        let error = NOISE.0 + NOISE.1 * share;
        let weight = 1.0 / (error * error);
        for (row, one) in self.products.iter_mut().zip(x) {
            for (cell, other) in row.iter_mut().zip(x) {
                *cell = *cell * MEMORY + weight * one * other;
            }
        }
        for (result, one) in self.results.iter_mut().zip(x) {
            *result = *result * MEMORY + weight * one * share;
        }
    }

    /// What so much work costs in each second; `None`: nothing was measured.
    pub(crate) fn cost(&self, work: Work) -> Option<Cost> {
        let weight = self.products[0][0];
        if weight <= 0.0 {
            return None;
        }
        let mean_share = self.results[0] / weight;
        let busy = (mean_share - IDLE.0).max(0.0);
        let mut matrix = self.products;
        let mut right = self.results;
        for n in 0..N {
            let mean = self.products[0][n] / weight;
            let (expected, error) = match n {
                0 => IDLE,
                // What was never seen to be done has no cost that could be told.
                _ if mean <= 0.0 => (0.0, f64::EPSILON),
                _ => {
                    let expected = SPLIT[n - 1] * busy / mean;
                    (expected, expected.max(f64::EPSILON))
                }
            };
            let certainty = 1.0 / (error * error);
            matrix[n][n] += certainty;
            right[n] += certainty * expected;
        }
        let costs = solve(matrix, right)?;
        let x = work.vector(0.0);
        let spread = solve(matrix, x)?;
        let dot = |one: Vector, other: Vector| one.iter().zip(other).map(|(a, b)| a * b).sum();
        // Nothing gives time back.
        let share: f64 = dot(x, costs.map(|cost| cost.max(0.0)));
        let variance: f64 = dot(x, spread);
        Some(Cost { share, error: variance.max(0.0).sqrt() })
    }
}

/// The solution of a symmetric positive definite system (Gauss, with scaled unknowns since they differ by
/// many orders of magnitude); `None`: it has none.
fn solve(mut matrix: Matrix, mut right: Vector) -> Option<Vector> {
    let scale: Vector = std::array::from_fn(|n| 1.0 / matrix[n][n].sqrt());
    for (n, row) in matrix.iter_mut().enumerate() {
        for (cell, other) in row.iter_mut().zip(scale) {
            *cell *= scale[n] * other;
        }
        right[n] *= scale[n];
    }
    for pivot in 0..N {
        let (above, below) = matrix.split_at_mut(pivot + 1);
        let own = above[pivot];
        if own[pivot].is_nan() || own[pivot] <= f64::EPSILON {
            return None;
        }
        for (n, row) in below.iter_mut().enumerate() {
            let factor = row[pivot] / own[pivot];
            for (cell, other) in row.iter_mut().zip(own) {
                *cell -= factor * other;
            }
            right[pivot + 1 + n] -= factor * right[pivot];
        }
    }
    for pivot in (0..N).rev() {
        let known: f64 = (pivot + 1..N).map(|n| matrix[pivot][n] * right[n]).sum();
        right[pivot] = (right[pivot] - known) / matrix[pivot][pivot];
    }
    Some(std::array::from_fn(|n| right[n] * scale[n]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINI: Work = Work { frames: 100.0, datagrams: 100.0, begun: 0.0 };
    const TRUNKED: Work = Work { frames: 100.0, datagrams: 0.0, begun: 0.0 };

    /// The share that so many calls of both kinds take, where a frame costs 2 µs and a datagram 3 µs.
    fn truth(mini: f64, trunked: f64) -> (Work, f64) {
        let (frames, datagrams) = (100.0 * (mini + trunked), 100.0 * mini + 2.0 * trunked.sqrt());
        let work = Work { frames, datagrams, begun: 0.0 };
        (work, 0.001 + frames * 2e-6 + datagrams * 3e-6)
    }

    fn close(one: f64, other: f64, part: f64) {
        assert!((one - other).abs() <= part * other, "{one} is not {other}");
    }

    #[test]
    fn nothing_measured_costs_nothing_that_could_be_told() {
        assert_eq!(Fit::default().cost(MINI), None);
    }

    #[test]
    fn calls_of_one_kind_cost_what_they_were_measured_to() {
        let mut fit = Fit::default();
        for calls in [50.0, 80.0, 120.0, 200.0, 210.0, 190.0] {
            let (work, share) = truth(calls, 0.0);
            fit.note(work, share);
        }
        let cost = fit.cost(MINI).expect("measured");
        close(cost.share, 500e-6, 0.03);
        assert!(cost.error < 0.05 * cost.share, "{cost:?}");
        let unknown = fit.cost(TRUNKED).expect("measured");
        assert!(unknown.error > 0.3 * unknown.share, "frames alone were not seen: {unknown:?}");
    }

    #[test]
    fn kinds_that_come_in_different_numbers_are_told_apart() {
        let mut fit = Fit::default();
        for (mini, trunked) in [(100.0, 10.0), (100.0, 400.0), (20.0, 400.0), (200.0, 100.0)] {
            for _ in 0..5 {
                let (work, share) = truth(mini, trunked);
                fit.note(work, share);
            }
        }
        close(fit.cost(MINI).expect("measured").share, 500e-6, 0.05);
        close(fit.cost(TRUNKED).expect("measured").share, 200e-6, 0.08);
    }

    #[test]
    fn what_has_changed_is_followed() {
        let mut fit = Fit::default();
        for factor in [1.0, 2.0] {
            for n in 0..120 {
                let (work, share) = truth(100.0 + f64::from(n % 7) * 20.0, 0.0);
                fit.note(work, factor * share);
            }
            close(fit.cost(MINI).expect("measured").share, factor * 500e-6, 0.05);
        }
    }

    #[test]
    fn beginnings_of_calls_have_their_own_cost() {
        let mut fit = Fit::default();
        for (calls, begun) in [(100.0, 5.0), (100.0, 60.0), (200.0, 5.0), (200.0, 80.0)] {
            for _ in 0..5 {
                let (work, share) = truth(calls, 0.0);
                fit.note(Work { begun, ..work }, share + begun * 400e-6);
            }
        }
        let begins = Work { begun: 1.0, ..Work::default() };
        close(fit.cost(begins).expect("measured").share, 400e-6, 0.1);
    }
}
