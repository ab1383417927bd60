//! The long-term prediction: what was, so many samples ago (§5.2.12, §5.2.18, §5.3.2).

use super::QUARTER;
use crate::fixed::multiply_rounded;

/// Table 5.3b.
pub(super) const GAINS: [i16; 4] = [3_277, 11_469, 21_299, 32_767];

/// The last 120 samples of what the short-term filter leaves.
#[derive(Clone, Debug)]
pub(super) struct Past([i16; 120]);

impl Default for Past {
    fn default() -> Self {
        Self([0; 120])
    }
}

impl Past {
    /// A quarter that began so many samples ago, 40 to 120.
    pub(super) fn ago(&self, lag: usize) -> &[i16] {
        &self.0[120 - lag..][..QUARTER]
    }

    /// What is expected of a quarter.
    pub(super) fn expected(&self, lag: i16, gain: i16) -> [i16; QUARTER] {
        let before = self.ago(lag as usize);
        std::array::from_fn(|n| multiply_rounded(GAINS[gain as usize], before[n]))
    }

    /// Goes on by a quarter.
    pub(super) fn push(&mut self, quarter: &[i16; QUARTER]) {
        self.0.rotate_left(QUARTER);
        self.0[120 - QUARTER..].copy_from_slice(quarter);
    }
}
