//! Arithmetic on 16-bit fractions as the standards of codecs define it: what does not fit is the
//! greatest that does.

/// What does not fit 16 bits becomes the nearest that does.
#[inline]
pub(crate) const fn saturate(value: i32) -> i16 {
    if value > i16::MAX as i32 {
        i16::MAX
    } else if value < i16::MIN as i32 {
        i16::MIN
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "it is within bounds")]
        let value = value as i16;
        value
    }
}

/// The product of two fractions of 2¹⁵.
#[inline]
pub(crate) const fn multiply(a: i16, b: i16) -> i16 {
    saturate((a as i32 * b as i32) >> 15)
}

/// The same, rounded.
#[inline]
pub(crate) const fn multiply_rounded(a: i16, b: i16) -> i16 {
    saturate((a as i32 * b as i32 + 0x4000) >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_product_does_not_fit_and_is_the_greatest_that_does() {
        assert_eq!(multiply(i16::MIN, i16::MIN), i16::MAX);
        assert_eq!(multiply_rounded(i16::MIN, i16::MIN), i16::MAX);
        assert_eq!((multiply(3, 0x4000), multiply_rounded(3, 0x4000)), (1, 2));
        assert_eq!((multiply(-3, 0x4000), multiply_rounded(-3, 0x4000)), (-2, -1));
    }
}
