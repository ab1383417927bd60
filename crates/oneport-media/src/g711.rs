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
static ALAW_OF_ULAW: [u8; 256] = table!(exchange_ulaw);
static ULAW_OF_ALAW: [u8; 256] = table!(exchange_alaw);

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

const fn exchange_ulaw(byte: u8) -> u8 {
    linear_to_alaw(expand_ulaw(byte))
}

const fn exchange_alaw(byte: u8) -> u8 {
    linear_to_ulaw(expand_alaw(byte))
}

/// One µ-law byte in A-law, as decoding and encoding gives it.
#[must_use]
#[inline]
pub fn ulaw_to_alaw(byte: u8) -> u8 {
    ALAW_OF_ULAW[usize::from(byte)]
}

/// One A-law byte in µ-law, as decoding and encoding gives it.
#[must_use]
#[inline]
pub fn alaw_to_ulaw(byte: u8) -> u8 {
    ULAW_OF_ALAW[usize::from(byte)]
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

    /// Where codes begin (tables 1a and 2a of G.711, column "decision value"): in the unit of the
    /// first steps, eight segments of sixteen, each with steps twice as wide as the one before, but
    /// for A-law's second.
    fn decisions(first: i32, widths: [i32; 8]) -> Vec<i32> {
        let mut decisions = vec![0, first];
        for (segment, width) in widths.into_iter().enumerate() {
            let steps = if segment == 0 { 15 } else { 16 };
            for _ in 0..steps {
                decisions.push(decisions[decisions.len() - 1] + width);
            }
        }
        decisions
    }

    /// Checks a law against its table: `unit` is the table's unit in 16-bit audio, `invert` what is
    /// done to the bits at last.
    fn is_the_table(
        decisions: &[i32],
        unit: i32,
        zero: i32,
        invert: u8,
        encode: fn(i16) -> u8,
        decode: fn(u8) -> i16,
    ) {
        assert_eq!(decisions.len(), 129);
        for sample in i16::MIN..=i16::MAX {
            // The reference software takes the bits of what is negative, inverted.
            let magnitude = i32::from(if sample < 0 { !sample } else { sample }) / unit;
            let code = decisions[1..128].iter().filter(|least| magnitude >= **least).count() as u8;
            let sign = if sample < 0 { 0 } else { 0x80 };
            assert_eq!(encode(sample), (code | sign) ^ invert, "{sample}");
        }
        for code in 0..128_u8 {
            let (from, to) = (decisions[usize::from(code)], decisions[usize::from(code) + 1]);
            let value = if code == 0 { zero } else { unit * (from + to) / 2 };
            assert_eq!(i32::from(decode((code | 0x80) ^ invert)), value, "{code}");
            assert_eq!(i32::from(decode(code ^ invert)), -value, "{code}");
        }
    }

    #[test]
    fn each_code_is_that_of_the_recommendation_s_tables() {
        let ulaw = decisions(1, [2, 4, 8, 16, 32, 64, 128, 256]);
        assert_eq!((ulaw[16], ulaw[32], ulaw[128]), (31, 95, 8_159));
        is_the_table(&ulaw, 4, 0, 0x7F, linear_to_ulaw, ulaw_to_linear);
        let alaw = decisions(2, [2, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!((alaw[32], alaw[48], alaw[128]), (64, 128, 4_096));
        is_the_table(&alaw, 8, 8, 0x55, linear_to_alaw, alaw_to_linear);
    }

    #[test]
    fn one_law_becomes_the_other_as_by_way_of_linear_audio() {
        for byte in 0..=255 {
            assert_eq!(ulaw_to_alaw(byte), linear_to_alaw(ulaw_to_linear(byte)));
            assert_eq!(alaw_to_ulaw(byte), linear_to_ulaw(alaw_to_linear(byte)));
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
