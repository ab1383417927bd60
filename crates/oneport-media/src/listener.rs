//! Understanding somebody who may change to another codec at any time.

use oneport_wire::Format;

use crate::{Codec, Decoder};

/// Understands what one party says, in whatever it is said. A codec that is gone back to has heard
/// nothing yet.
///
/// ```
/// use oneport_media::{Codec, Listener};
/// use oneport_wire::Format;
///
/// let (mut listener, mut samples) = (Listener::default(), Vec::new());
/// assert_eq!(listener.hear(Format::ALAW, &[0xD5; 160], &mut samples), Some(Codec::Alaw));
/// // The same party goes on at another rate.
/// assert_eq!(listener.hear(Format::G722, &[0; 160], &mut samples), Some(Codec::G722));
/// assert_eq!(samples.len(), 160 + 320);
/// assert_eq!(listener.hear(Format::G729, &[0; 20], &mut samples), None);
/// ```
#[derive(Default, Debug)]
pub struct Listener {
    decoder: Option<(Codec, Box<dyn Decoder>)>,
}

impl Listener {
    /// Appends the samples of the payload that follows the last one. `None`, and nothing is appended:
    /// the format is not spoken here.
    pub fn hear(&mut self, format: Format, payload: &[u8], out: &mut Vec<i16>) -> Option<Codec> {
        let codec = match &self.decoder {
            Some((codec, _)) if codec.format() == format => *codec,
            _ => Codec::for_format(format)?,
        };
        let spoken = self.decoder.take().filter(|(spoken, _)| *spoken == codec);
        let (_, decoder) = self.decoder.insert(spoken.unwrap_or_else(|| (codec, codec.decoder())));
        decoder.decode(payload, out);
        Some(codec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Sine;

    #[test]
    fn a_change_of_codec_is_followed_and_the_same_codec_goes_on() {
        let tone: Vec<i16> = Sine::new(440.0, 8_000, 0.5).take(320).collect();
        let (mut listener, mut heard) = (Listener::default(), Vec::new());
        let mut payload = Vec::new();
        Codec::Adpcm.encode(&tone, &mut payload);
        for part in payload.chunks(80) {
            assert_eq!(listener.hear(Format::ADPCM, part, &mut heard), Some(Codec::Adpcm));
        }
        let mut whole = Vec::new();
        Codec::Adpcm.decode(&payload, &mut whole);
        assert_eq!(heard, whole);
        heard.clear();
        assert_eq!(listener.hear(Format::ULAW, &[0x80; 10], &mut heard), Some(Codec::Ulaw));
        assert_eq!(heard, [32_124; 10]);
        assert_eq!(listener.hear(Format::G729, &[0; 20], &mut heard), None);
        assert_eq!(heard.len(), 10);
    }
}
