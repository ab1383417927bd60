//! What libspeex will make of the bits of a payload. It writes a line to the error output of the process for each
//! frame that is none, at whoever's will sends such frames: they are not shown to it.

use super::Band;

/// Bits of a narrow-band frame, by its mode; the first is the layer's bit, the next four are the mode.
const NARROW: [usize; 9] = [5, 43, 119, 160, 220, 300, 364, 492, 79];
/// Bits of a layer for a wider band, by its mode; the first is 1, the next three are the mode.
const LAYER: [usize; 5] = [4, 36, 112, 192, 352];
/// In place of a mode: no more frames, a request to the decoder, one of the user's, each without a frame.
const END: usize = 15;
const REQUEST: usize = 14;
const USER: usize = 13;
/// Bits without which there is no frame.
const LEAST: usize = 5;

/// What is next in a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// A frame, or the beginning of one.
    Frame,
    /// Nothing more.
    End,
    /// What is no frame.
    Broken,
}

/// Bits, and how many of them are behind.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    const fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    /// The next bits; behind the end they are 0.
    fn take(&mut self, count: usize) -> usize {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8).copied().unwrap_or_default();
            value = value << 1 | usize::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        value
    }

    /// Passes a layer whose first bit is behind; `None`: it is none. That of no length is for a decoder of its band
    /// alone: others look at it again and again.
    fn passes_layer(&mut self) -> Option<()> {
        let mode = self.take(3);
        let bits = LAYER.get(mode).filter(|_| mode > 0)?;
        self.at += bits - 4;
        Some(())
    }
}

/// What is next behind so many bits.
pub(super) fn next(bytes: &[u8], at: usize, band: Band) -> Next {
    let mut bits = Reader { bytes, at };
    loop {
        // Layers for bands that are not heard here, two at most.
        for layers in 0..3 {
            // Behind two layers libspeex looks for a third however little is left.
            if layers < 2 && bits.left() < LEAST {
                return Next::End;
            }
            if bits.take(1) == 0 {
                break;
            }
            if layers == 2 || bits.passes_layer().is_none() {
                return Next::Broken;
            }
        }
        if bits.left() < LEAST - 1 {
            return Next::End;
        }
        match bits.take(4) {
            END => return Next::End,
            REQUEST => {
                bits.at += match bits.take(4) {
                    0 | 1 => 1,
                    2..8 => 4,
                    8 | 9 => 8,
                    10 | 11 => 16,
                    12 | 13 => 32,
                    _ => 64,
                };
            }
            USER => bits.at += 5 + 8 * bits.take(4),
            mode => {
                let Some(narrow) = NARROW.get(mode) else { return Next::Broken };
                bits.at += narrow - 5;
                let widened = band == Band::Wide && bits.left() > 0 && bits.take(1) == 1;
                let broken = widened && bits.take(3) >= LAYER.len();
                return if broken { Next::Broken } else { Next::Frame };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpeexEncoder;
    use super::*;
    use crate::Encoder;

    /// Bits as they are written, filled up with zeros.
    fn bytes(bits: &str) -> Vec<u8> {
        let bits: Vec<u8> = bits.bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
        let byte = |bits: &[u8]| (0..8).fold(0, |byte, n| byte << 1 | bits.get(n).unwrap_or(&0));
        bits.chunks(8).map(byte).collect()
    }

    #[test]
    fn what_is_no_frame_is_told_from_frames_and_ends() {
        use Next::{Broken, End, Frame};
        let (long, layer) = ("0".repeat(60), format!("1001 {}", "0".repeat(32)));
        for (bits, narrow, wide) in [
            ("", End, End),
            // Silence, and an end.
            ("00000 01111", Frame, Frame),
            ("01111", End, End),
            // A mode that there is not.
            ("01001 000", Broken, Broken),
            // A request of four bits, one of the user's of a byte, and a frame behind each.
            ("01110 0010 1010 00000", Frame, Frame),
            ("01101 0001 00000 11111111 00000", Frame, Frame),
            ("01101 0001 00000 11111111 01010", Broken, Broken),
            // One layer, two, and three, and a frame behind them.
            (&format!("{layer} 00000"), Frame, Frame),
            (&format!("{layer} {layer} 00000"), Frame, Frame),
            (&format!("{layer} {layer} {layer} 00000"), Broken, Broken),
            // One of no length before a frame, and behind it.
            ("1000 00000", Broken, Broken),
            ("00000 1000 00000", Frame, Frame),
            // A layer of a mode that there is not, before a frame and behind it.
            ("1101 00000", Broken, Broken),
            ("00000 1101 0000", Frame, Broken),
            ("00000 1001", Frame, Frame),
        ] {
            // What is behind it does not matter, where it is not the end.
            let behind = if narrow == End { "" } else { &long };
            let bytes = bytes(&format!("{bits}{behind}"));
            assert_eq!(next(&bytes, 0, Band::Narrow), narrow, "{bits}");
            assert_eq!(next(&bytes, 0, Band::Wide), wide, "{bits}");
        }
    }

    #[test]
    fn a_third_layer_is_none_even_where_its_mode_would_lie_behind_the_end() {
        let two = format!("1001 {} 1010 {}", "0".repeat(32), "0".repeat(108));
        for (left, expected) in [("1000", Next::Broken), ("0000", Next::End)] {
            let payload = bytes(&format!("{two} {left}"));
            assert_eq!(payload.len(), 19);
            assert_eq!(next(&payload, 0, Band::Narrow), expected, "{left}");
        }
    }

    #[test]
    fn frames_of_libspeex_are_frames() {
        for (band, bits) in [(Band::Narrow, 300), (Band::Wide, 556)] {
            let (mut encoder, mut payload) = (SpeexEncoder::new(band), Vec::new());
            encoder.encode(&vec![1_000; 3 * band.frame()], &mut payload);
            for n in 0..3 {
                assert_eq!(next(&payload, n * bits, band), Next::Frame, "{band:?}, {n}");
            }
            assert_eq!(next(&payload, 3 * bits, band), Next::End, "{band:?}");
        }
    }
}
