//! Bodies of the fuzz targets in `fuzz/`: each takes any bytes at all. Inputs that once led
//! somewhere are kept in `fuzz/corpus/` and run as tests.

mod capture;
mod codecs;
mod datagram;
mod encrypted;
mod endpoint;
mod jitter_buffer;
mod keys;
mod meeting;
mod transcoder;

pub use capture::capture;
pub use codecs::codecs;
pub use datagram::datagram;
pub use encrypted::encrypted;
pub use endpoint::endpoint;
pub use jitter_buffer::jitter_buffer;
pub use keys::keys;
pub use meeting::meeting;
pub use transcoder::transcoder;

/// Input as a row of decisions; behind its end all of them are 0.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u8) -> usize {
        usize::from(self.byte() % bound)
    }

    fn bit(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Up to 255 bytes, their count first.
    fn bytes(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken.to_vec()
    }

    /// Puts some of `bytes` wrong: up to three of them, and their length.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.below(4) {
            let (at, value) = (usize::from(self.byte()), self.byte());
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        match self.byte() {
            len @ 1..=100 => bytes.truncate(len.into()),
            101..=110 => bytes.extend(self.bytes()),
            _ => {}
        }
    }
}
