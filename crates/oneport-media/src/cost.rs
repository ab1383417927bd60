//! What transcoding costs, so that the cheapest pair of codecs can be chosen.

use oneport_wire::Format;

use crate::Codec;

/// Changing the rate of 20 ms, in tenths of a microsecond.
const RATE: u32 = 27;

/// µ-law to A-law or back by a table, for 20 ms: least of all.
const TABLE: u32 = 1;

/// Encoding and decoding 20 ms, in tenths of a microsecond on the machine that printed the tables of
/// docs/media.md (`cargo bench -p oneport-testkit --bench codecs`), at least one; a test compares the two. Only
/// their relations matter.
const fn work(codec: Codec) -> (u32, u32) {
    match codec {
        Codec::Ulaw => (2, 1),
        Codec::Alaw => (3, 1),
        Codec::Slin | Codec::Slin16 => (1, 1),
        Codec::G722 => (84, 60),
        Codec::G726 => (54, 43),
        Codec::G726Aal2 => (54, 43),
        Codec::Adpcm => (14, 5),
        Codec::Gsm => (42, 33),
        Codec::Ilbc => (457, 80),
        #[cfg(feature = "speex")]
        Codec::Speex16 => (618, 68),
        #[cfg(feature = "speex")]
        Codec::Speex => (251, 37),
        #[cfg(feature = "opus")]
        Codec::Opus => (2_152, 84),
        #[cfg(feature = "lpc10")]
        Codec::Lpc10 => (38, 32),
    }
}

/// Whether little is left of a voice: a score below [`A_VOICE`] in those tables.
const fn leaves_little(codec: Codec) -> bool {
    match codec {
        #[cfg(feature = "lpc10")]
        Codec::Lpc10 => true,
        _ => false,
    }
}

/// What has less is understood, and is nobody's voice.
#[cfg(test)]
const A_VOICE: f64 = 4.0;

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

/// What speaking in a pair of formats costs; the order is that of what weighs most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Price {
    leaves_little: bool,
    /// Changing the rate costs little, but half of what is heard of a voice at 16 kHz is gone then.
    changes_rate: bool,
    both_ways: u32,
}

/// `None`: one of them is not understood here.
fn price(one: Format, other: Format) -> Option<Price> {
    let (one, other) = (Codec::for_format(one)?, Codec::for_format(other)?);
    Some(Price {
        leaves_little: leaves_little(one) || leaves_little(other),
        changes_rate: one.sample_rate() != other.sample_rate(),
        both_ways: cost(one, other) + cost(other, one),
    })
}

/// The formats of `there` in which somebody can be spoken with who speaks one of `here`: those that leave a voice
/// what it is before LPC-10, then those of the same rate, and of these the cheapest in both directions; of those
/// that cost the same, the one that is named first.
#[must_use]
pub fn by_cost(here: &[Format], there: &[Format]) -> Vec<Format> {
    let least = |there: Format| here.iter().filter_map(|here| price(*here, there)).min();
    let mut formats: Vec<(Price, Format)> =
        there.iter().filter_map(|there| Some((least(*there)?, *there))).collect();
    formats.sort_by_key(|(price, _)| *price);
    formats.into_iter().map(|(_, format)| format).collect()
}

/// The format of `here` that is best together with `there`, as [`by_cost`] has it. `None`: there is none that is
/// understood here.
#[must_use]
pub fn cheapest(here: &[Format], there: Format) -> Option<Format> {
    by_cost(&[there], here).first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_codec_is_free_a_table_is_cheap_and_another_rate_costs_more() {
        for codec in Codec::ALL {
            assert_eq!(cost(*codec, *codec), 0, "{codec:?}");
        }
        assert!(cost(Codec::Ulaw, Codec::Alaw) < cost(Codec::Ulaw, Codec::Adpcm));
        assert!(cost(Codec::Slin16, Codec::Ulaw) > cost(Codec::Slin, Codec::Ulaw));
        assert!(cost(Codec::Gsm, Codec::G722) > cost(Codec::Gsm, Codec::Ulaw));
    }

    /// What docs/media.md has in µs, as it stands here.
    fn tenths(micros: &str) -> u32 {
        let micros: f64 = micros.parse().expect("a number");
        ((micros * 10.0).round() as u32).max(1)
    }

    #[test]
    fn costs_are_those_that_the_documentation_prints() {
        let document = include_str!("../../../docs/media.md");
        for codec in Codec::ALL.iter().copied() {
            let begins = format!("| `{}` |", codec.format().name());
            let rows = document.lines().filter(|line| line.starts_with(&begins));
            let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
            // Format, kbit/s, encoding, decoding, score, and nothing at both ends.
            let row =
                cells.into_iter().find(|cells| cells.len() == 7 && cells[2].parse::<f64>().is_ok());
            let row = row.unwrap_or_else(|| panic!("{codec:?} has no row"));
            assert_eq!(work(codec), (tenths(row[3]), tenths(row[4])), "{codec:?}");
            let score: f64 = row[5].parse().expect("a number");
            assert_eq!(leaves_little(codec), score < A_VOICE, "{codec:?}");
        }
        let between = document.lines().find(|line| line.starts_with("Rate up: ")).expect("a line");
        let figures: Vec<&str> =
            between.split(' ').filter(|word| word.parse::<f64>().is_ok()).collect();
        let [up, down] = figures[..] else { panic!("{between}") };
        assert_eq!(RATE, (tenths(up) + tenths(down)).div_ceil(2), "{between}");
    }

    #[test]
    fn the_cheapest_pair_is_taken_and_of_equals_the_first() {
        assert_eq!(cheapest(&[Format::GSM, Format::ALAW], Format::ULAW), Some(Format::ALAW));
        // GSM would cost less, and be narrow.
        assert_eq!(cheapest(&[Format::GSM, Format::SLIN16], Format::G722), Some(Format::SLIN16));
        let both = [Format::G726_AAL2, Format::G726];
        assert_eq!(cheapest(&both, Format::GSM), Some(Format::G726_AAL2));
        assert_eq!(cheapest(&[Format::G729, Format::GSM], Format::ULAW), Some(Format::GSM));
        assert_eq!(cheapest(&[Format::ULAW], Format::G729), None);
        assert_eq!(cheapest(&[], Format::ULAW), None);
    }

    #[cfg(feature = "lpc10")]
    #[test]
    fn what_leaves_little_of_a_voice_is_taken_where_nothing_else_can_be() {
        let all = [Format::LPC10, Format::GSM, Format::G722];
        assert!(cost(Codec::Ulaw, Codec::Lpc10) < cost(Codec::Ulaw, Codec::Gsm), "it is cheaper");
        assert_eq!(by_cost(&[Format::ULAW], &all), [Format::GSM, Format::G722, Format::LPC10]);
        // It is what the other side speaks that loses: then the cheapest is as good as any.
        assert_eq!(by_cost(&[Format::LPC10], &[Format::GSM, Format::ULAW])[0], Format::ULAW);
        assert_eq!(cheapest(&[Format::LPC10], Format::ULAW), Some(Format::LPC10));
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
