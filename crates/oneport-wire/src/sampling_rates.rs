//! SAMPLINGRATE: the rates at which a caller can hear (RFC 5456 §8.6.32).

/// The rates of bits 0 to 5, as Asterisk has them, in Hz.
const OF_BITS: [u32; 6] = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000];

/// The least that is taken for a rate in Hz.
const LEAST_HZ: u16 = 4_000;

/// The content of SAMPLINGRATE, as it came.
///
/// The RFC has one rate in Hz, Asterisk a mask of six bits. The two cannot be confused: a mask is
/// below 64, and no audio has so few samples in a second.
///
/// ```
/// use oneport_wire::SamplingRates;
///
/// // As the RFC has it, and as Asterisk does.
/// assert!(SamplingRates(16_000).iter().eq([16_000]));
/// assert!(SamplingRates(0b10_0101).iter().eq([8_000, 16_000, 48_000]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SamplingRates(pub u16);

impl SamplingRates {
    /// The rates in Hz, rising; none where the content means nothing.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        let mask = if self.0 < 64 { self.0 } else { 0 };
        let of_mask = OF_BITS.into_iter().enumerate();
        let of_mask = of_mask.filter(move |(bit, _)| mask >> bit & 1 != 0).map(|(_, rate)| rate);
        let plain = (self.0 >= LEAST_HZ).then_some(self.0.into());
        of_mask.chain(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn sampling_rates_are_read_as_bits_and_as_hertz() {
        let check = |content: u16, rates: &[u32]| {
            assert_eq!(SamplingRates(content).iter().collect::<Vec<_>>(), rates, "{content}");
        };
        check(0x0001, &[8_000]);
        check(0x0025, &[8_000, 16_000, 48_000]);
        check(0x003F, &OF_BITS);
        check(8_000, &[8_000]);
        check(48_000, &[48_000]);
        for nothing in [0, 64, 65, 3_999] {
            check(nothing, &[]);
        }
    }
}
