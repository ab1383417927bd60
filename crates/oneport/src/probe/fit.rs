//! What calls cost of a line, and how many fit: arithmetic over lengths of headers.

use oneport_proto::TrunkConfig;

/// Bytes of a mini frame's header (RFC 5456 §8.1.2).
const MINI: usize = 4;
/// Bytes of a trunk frame's header, and of one entry with a timestamp, before its voice (§8.1.3.2).
const TRUNK: usize = 8;
const ENTRY: usize = 6;
/// Entries without timestamps say length and call alone.
const ENTRY_WITHOUT_TIME: usize = 4;

/// The voice of one call, one way.
///
/// ```
/// use oneport::probe::Load;
/// use oneport_proto::TrunkConfig;
///
/// // G.711 in frames of 20 ms, over IPv4.
/// let load = Load { frame_bytes: 160, frame_ms: 20, headers: 28 };
/// assert_eq!(load.kbits(1, None), 76.8);
/// // How many calls does a line of 1 Mbit/s carry? Trunk frames save headers.
/// assert_eq!(load.fitting(1_000.0, None), 13);
/// assert_eq!(load.fitting(1_000.0, Some(TrunkConfig::default())), 14);
/// assert_eq!(load.datagrams(14, Some(TrunkConfig::default())), 100.0);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// Bytes of a frame of voice.
    pub frame_bytes: usize,
    /// How long a frame lasts, in ms; not 0.
    pub frame_ms: u16,
    /// Bytes of headers of IP and UDP: 28, or 48 of IPv6.
    pub headers: usize,
}

impl Load {
    /// Datagrams in a frame's time that so many calls take, and their bytes with all headers.
    fn in_a_frame(&self, calls: usize, trunk: Option<TrunkConfig>) -> (usize, usize) {
        let Some(trunk) = trunk else {
            return (calls, calls * (self.headers + MINI + self.frame_bytes));
        };
        let entry = if trunk.timestamps { ENTRY } else { ENTRY_WITHOUT_TIME } + self.frame_bytes;
        let in_one = (trunk.max_datagram.saturating_sub(TRUNK) / entry).max(1);
        let datagrams = calls.div_ceil(in_one);
        (datagrams, datagrams * (self.headers + TRUNK) + calls * entry)
    }

    /// What so many calls take one way, in kbit/s with all headers from IP upwards, as mini frames or in
    /// trunk frames.
    #[must_use]
    pub fn kbits(&self, calls: usize, trunk: Option<TrunkConfig>) -> f64 {
        self.in_a_frame(calls, trunk).1 as f64 * 8.0 / f64::from(self.frame_ms.max(1))
    }

    /// Datagrams in a second that so many calls take one way.
    #[must_use]
    pub fn datagrams(&self, calls: usize, trunk: Option<TrunkConfig>) -> f64 {
        self.in_a_frame(calls, trunk).0 as f64 * 1e3 / f64::from(self.frame_ms.max(1))
    }

    /// How many calls fit into so many kbit/s.
    #[must_use]
    pub fn fitting(&self, kbits: f64, trunk: Option<TrunkConfig>) -> usize {
        // What calls take grows with them, so the border is found by halves.
        let (mut fits, mut too_many) = (0, 1);
        while self.kbits(too_many, trunk) <= kbits && too_many < MOST_CALLS {
            (fits, too_many) = (too_many, too_many * 2);
        }
        while too_many - fits > 1 {
            let middle = fits + (too_many - fits) / 2;
            match self.kbits(middle, trunk) <= kbits {
                true => fits = middle,
                false => too_many = middle,
            }
        }
        fits
    }
}

/// No address has numbers for more.
const MOST_CALLS: usize = 32_768;

#[cfg(test)]
mod tests {
    use super::*;

    const ULAW: Load = Load { frame_bytes: 160, frame_ms: 20, headers: 28 };
    const TRUNKED: Option<TrunkConfig> = Some(TrunkConfig {
        timestamps: true,
        max_datagram: 1_240,
        interval: std::time::Duration::from_millis(20),
        gather: std::time::Duration::ZERO,
    });

    #[test]
    fn a_hundred_calls_of_g711_save_datagrams_in_a_trunk_rather_than_bits() {
        assert_eq!(ULAW.kbits(100, None), 7_680.0);
        assert_eq!(ULAW.datagrams(100, None), 5_000.0);
        // Seven calls in a datagram of 1,240 bytes: fifteen datagrams for a hundred.
        assert_eq!(ULAW.datagrams(100, TRUNKED), 750.0);
        assert_eq!(ULAW.kbits(100, TRUNKED), (15.0 * 36.0 + 100.0 * 166.0) * 0.4);
    }

    #[test]
    fn as_many_fit_as_a_line_carries_and_no_more() {
        assert_eq!(ULAW.fitting(1_000.0, None), 13);
        assert_eq!(ULAW.fitting(70.0, None), 0);
        for kbits in [100.0, 999.0, 10_000.0] {
            for trunk in [None, TRUNKED] {
                let fits = ULAW.fitting(kbits, trunk);
                assert!(ULAW.kbits(fits, trunk) <= kbits && ULAW.kbits(fits + 1, trunk) > kbits);
            }
        }
        let g729 = Load { frame_bytes: 20, ..ULAW };
        assert_eq!((g729.fitting(1_000.0, None), g729.fitting(1_000.0, TRUNKED)), (48, 93));
    }
}
