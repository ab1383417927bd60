//! µ-law and A-law (ITU-T G.711), bit for bit as the reference software of G.191 computes them.

macro_rules! table {
    ($expand:ident) => {{
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = $expand(byte as u8);
            byte += 1;
        }
        table
    }};
}

static ULAW: [i16; 256] = table!(expand_ulaw);
static ALAW: [i16; 256] = table!(expand_alaw);

/// 14 bits, a bias of 33, eight segments each twice as coarse as the one before.
const fn expand_ulaw(byte: u8) -> i16 {
    let code = !byte;
    let exponent = (code >> 4 & 7) as i16;
    let mantissa = (code & 0x0F) as i16;
    let step = 8 << exponent;
    let magnitude = (0x80 << exponent) + step * mantissa + step / 2 - 4 * 33;
    if byte & 0x80 == 0 { -magnitude } else { magnitude }
}

/// 13 bits; the two lowest segments are equally fine.
const fn expand_alaw(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let exponent = (code >> 4 & 7) as i16;
    let mantissa = (code & 0x0F) as i16;
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => (((mantissa + 16) << 4) + 8) << (exponent - 1),
    };
    if byte & 0x80 == 0 { -magnitude } else { magnitude }
}

/// One µ-law byte as 16-bit linear audio.
#[must_use]
#[inline]
pub fn ulaw_to_linear(byte: u8) -> i16 {
    ULAW[usize::from(byte)]
}

/// One A-law byte as 16-bit linear audio.
#[must_use]
#[inline]
pub fn alaw_to_linear(byte: u8) -> i16 {
    ALAW[usize::from(byte)]
}

/// One sample in µ-law.
#[must_use]
#[inline]
pub const fn linear_to_ulaw(sample: i16) -> u8 {
    let magnitude = if sample < 0 { !sample } else { sample } as u16;
    let biased = (magnitude >> 2) + 33;
    let biased = if biased > 0x1FFF { 0x1FFF } else { biased };
    // The bias makes bit 5 the lowest that can be the highest set.
    let segment = 10 - biased.leading_zeros() as u16;
    let code = segment << 4 | (biased >> (segment + 1) & 0x0F);
    let sign = if sample < 0 { 0 } else { 0x80 };
    (!code as u8 & 0x7F) | sign
}

/// One sample in A-law.
#[must_use]
#[inline]
pub const fn linear_to_alaw(sample: i16) -> u8 {
    let magnitude = (if sample < 0 { !sample } else { sample } as u16) >> 4;
    let code = if magnitude < 32 {
        magnitude
    } else {
        let shift = 11 - magnitude.leading_zeros() as u16;
        (shift << 4) + (magnitude >> shift)
    };
    let sign = if sample < 0 { 0 } else { 0x80 };
    (code as u8 | sign) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_decoding_and_encoding() {
        for byte in 0..=255_u8 {
            // µ-law has two zeros; the negative one comes back as the positive.
            let expected = if byte == 0x7F { 0xFF } else { byte };
            assert_eq!(linear_to_ulaw(ulaw_to_linear(byte)), expected, "µ-law {byte:#x}");
            assert_eq!(linear_to_alaw(alaw_to_linear(byte)), byte, "A-law {byte:#x}");
        }
    }

    /// A code stands for an interval around its value: half a step, a 32nd of the (biased) sample,
    /// to each side, and what the bits below the 14 or 12 that count are worth.
    #[test]
    fn every_sample_becomes_a_code_near_it() {
        for sample in i16::MIN..=i16::MAX {
            let clipped = i32::from(sample).clamp(-32_635, 32_635);
            let ulaw = i32::from(ulaw_to_linear(linear_to_ulaw(sample)));
            let most = 8 + (clipped.abs() + 132) / 32;
            assert!((ulaw - clipped).abs() <= most, "µ-law of {sample}: {ulaw}");
            let alaw = i32::from(alaw_to_linear(linear_to_alaw(sample)));
            let most = 16 + i32::from(sample).abs() / 32;
            assert!((alaw - i32::from(sample)).abs() <= most, "A-law of {sample}: {alaw}");
        }
    }

    #[test]
    fn encoding_never_falls_where_audio_rises() {
        for sample in i16::MIN..i16::MAX {
            let next = sample + 1;
            assert!(ulaw_to_linear(linear_to_ulaw(sample)) <= ulaw_to_linear(linear_to_ulaw(next)));
            assert!(alaw_to_linear(linear_to_alaw(sample)) <= alaw_to_linear(linear_to_alaw(next)));
        }
    }

    #[test]
    fn known_values() {
        for (byte, value) in [(0x00, -32124), (0x80, 32124), (0xFF, 0), (0x7F, 0), (0x8F, 16764)] {
            assert_eq!(ulaw_to_linear(byte), value, "{byte:#x}");
        }
        for (byte, value) in [(0xD5, 8), (0x55, -8), (0xAA, 32256), (0x2A, -32256)] {
            assert_eq!(alaw_to_linear(byte), value, "{byte:#x}");
        }
    }
}
