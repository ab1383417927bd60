//! What a frame says, and its 33 bytes.

/// Bytes of a frame: four bits that mark it, and 260.
pub(super) const BYTES: usize = 33;

/// The four bits before those that the standard knows.
const MARK: u32 = 0xD;

/// Bits of the eight log area ratios.
const RATIO_BITS: [u32; 8] = [6, 6, 5, 5, 4, 4, 3, 3];

/// A quarter of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Quarter {
    /// How many samples ago the voice was like this, and how much so.
    pub(super) lag: i16,
    pub(super) gain: i16,
    /// The first of every third value that is sent.
    pub(super) grid: i16,
    /// The greatest of them, and each against that.
    pub(super) greatest: i16,
    pub(super) pulses: [i16; 13],
}

/// A frame, in the order of table 1.1.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Parameters {
    pub(super) ratios: [i16; 8],
    pub(super) quarters: [Quarter; 4],
}

/// Bits, the first of them the highest.
struct Bits {
    bytes: [u8; BYTES],
    at: usize,
}

impl Bits {
    fn put(&mut self, value: i16, count: u32) {
        for n in (0..count).rev() {
            let bit = (value >> n & 1) as u8;
            self.bytes[self.at / 8] |= bit << (7 - self.at % 8);
            self.at += 1;
        }
    }

    fn take(&mut self, count: u32) -> i16 {
        (0..count).fold(0, |value, _| {
            let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
            self.at += 1;
            value << 1 | i16::from(bit)
        })
    }
}

impl Parameters {
    pub(super) fn pack(&self) -> [u8; BYTES] {
        let mut bits = Bits { bytes: [0; BYTES], at: 0 };
        bits.put(MARK as i16, 4);
        for (ratio, count) in self.ratios.iter().zip(RATIO_BITS) {
            bits.put(*ratio, count);
        }
        for quarter in &self.quarters {
            bits.put(quarter.lag, 7);
            bits.put(quarter.gain, 2);
            bits.put(quarter.grid, 2);
            bits.put(quarter.greatest, 6);
            for pulse in quarter.pulses {
                bits.put(pulse, 3);
            }
        }
        bits.bytes
    }

    /// `None`: it does not bear the mark.
    pub(super) fn unpack(bytes: [u8; BYTES]) -> Option<Self> {
        let mut bits = Bits { bytes, at: 0 };
        if bits.take(4) != MARK as i16 {
            return None;
        }
        let ratios = RATIO_BITS.map(|count| bits.take(count));
        let quarters = [(); 4].map(|()| Quarter {
            lag: bits.take(7),
            gain: bits.take(2),
            grid: bits.take(2),
            greatest: bits.take(6),
            pulses: [(); 13].map(|()| bits.take(3)),
        });
        Some(Self { ratios, quarters })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_again() {
        let mut bytes: [u8; BYTES] = std::array::from_fn(|n| (n * 37 + 11) as u8);
        assert_eq!(Parameters::unpack(bytes), None);
        bytes[0] = bytes[0] & 0x0F | 0xD0;
        let parameters = Parameters::unpack(bytes).unwrap();
        assert_eq!(parameters.pack(), bytes);
    }
}
