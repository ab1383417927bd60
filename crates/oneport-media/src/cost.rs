//! What transcoding costs, so that the cheapest pair of codecs can be chosen.

use oneport_wire::Format;

use crate::Codec;

/// Changing the rate of 20 ms, in tenths of a microsecond.
const RATE: u32 = 160;

/// µ-law to A-law or back by a table, for 20 ms.
const TABLE: u32 = 1;

/// Encoding and decoding 20 ms, in tenths of a microsecond on the machine that printed the tables of
/// docs/media.md (`cargo bench -p oneport-testkit --bench codecs`). Only their relations matter.
const fn work(codec: Codec) -> (u32, u32) {
    match codec {
        Codec::Ulaw => (2, 1),
        Codec::Alaw => (4, 1),
        Codec::Slin | Codec::Slin16 => (1, 1),
        Codec::G722 => (154, 120),
        Codec::G726 | Codec::G726Aal2 => (118, 100),
        Codec::Adpcm => (19, 9),
        Codec::Gsm => (72, 51),
        #[cfg(feature = "speex")]
        Codec::Speex16 => (1_431, 181),
        #[cfg(feature = "speex")]
        Codec::Speex => (614, 94),
        #[cfg(feature = "opus")]
        Codec::Opus => (4_178, 172),
    }
}

/// What it costs to make 20 ms of `to` of 20 ms of `from`; the unit is of no account. The same codec
/// costs nothing.
#[must_use]
pub const fn cost(from: Codec, to: Codec) -> u32 {
    match (from, to) {
        (Codec::Ulaw, Codec::Alaw) | (Codec::Alaw, Codec::Ulaw) => TABLE,
        _ if from as u8 == to as u8 => 0,
        _ => {
            let rate = if from.sample_rate() == to.sample_rate() { 0 } else { RATE };
            work(from).1 + rate + work(to).0
        }
    }
}

/// What a pair of formats costs in both directions; `None`: one of them is not understood here.
fn both_ways(one: Format, other: Format) -> Option<u32> {
    let (one, other) = (Codec::for_format(one)?, Codec::for_format(other)?);
    Some(cost(one, other) + cost(other, one))
}

/// The formats of `there` in which somebody can be spoken with who speaks one of `here`, the cheapest
/// in both directions first; of those that cost the same, the one that is named first.
#[must_use]
pub fn by_cost(here: &[Format], there: &[Format]) -> Vec<Format> {
    let least = |there: Format| here.iter().filter_map(|here| both_ways(*here, there)).min();
    let mut formats: Vec<(u32, Format)> =
        there.iter().filter_map(|there| Some((least(*there)?, *there))).collect();
    formats.sort_by_key(|(cost, _)| *cost);
    formats.into_iter().map(|(_, format)| format).collect()
}

/// The format of `here` that costs least together with `there`, in both directions; of those that cost
/// the same, the one that is named first. `None`: there is none that is understood here.
#[must_use]
pub fn cheapest(here: &[Format], there: Format) -> Option<Format> {
    by_cost(&[there], here).first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_codec_is_free_a_table_is_cheap_and_other_rates_are_dear() {
        for codec in Codec::ALL {
            assert_eq!(cost(*codec, *codec), 0, "{codec:?}");
        }
        assert!(cost(Codec::Ulaw, Codec::Alaw) < cost(Codec::Ulaw, Codec::Adpcm));
        assert!(cost(Codec::Slin16, Codec::Ulaw) > cost(Codec::Slin16, Codec::G722));
        assert!(cost(Codec::Gsm, Codec::G722) > cost(Codec::Gsm, Codec::Ulaw));
    }

    #[test]
    fn the_cheapest_pair_is_taken_and_of_equals_the_first() {
        assert_eq!(cheapest(&[Format::GSM, Format::ALAW], Format::ULAW), Some(Format::ALAW));
        assert_eq!(cheapest(&[Format::GSM, Format::SLIN16], Format::G722), Some(Format::SLIN16));
        let both = [Format::G726_AAL2, Format::G726];
        assert_eq!(cheapest(&both, Format::GSM), Some(Format::G726_AAL2));
        assert_eq!(cheapest(&[Format::G729, Format::GSM], Format::ULAW), Some(Format::GSM));
        assert_eq!(cheapest(&[Format::ULAW], Format::G729), None);
        assert_eq!(cheapest(&[], Format::ULAW), None);
    }

    #[test]
    fn formats_are_offered_by_what_they_cost() {
        let all = [Format::G722, Format::G729, Format::GSM, Format::ALAW, Format::ULAW];
        let ulaw = [Format::ULAW, Format::ALAW, Format::GSM, Format::G722];
        assert_eq!(by_cost(&[Format::ULAW], &all), ulaw);
        assert_eq!(
            by_cost(&[Format::G729, Format::SLIN16], &[Format::GSM, Format::G722])[0],
            Format::G722
        );
        assert_eq!(by_cost(&[Format::G729], &all), []);
    }
}
