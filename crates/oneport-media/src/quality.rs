//! What users will hear, as a number: the E-model (ITU-T G.107) reduced to what a network can
//! spoil, and the mean opinion score that goes with it (annex B).

use oneport_wire::Format;

/// Rating of a line without loss and delay, all other parameters at their defaults (G.107, §7.7).
const BEST_RATING: f64 = 93.2;

/// What a codec costs, and how well it takes loss (ITU-T G.113, appendix I): equipment impairment
/// Ie and loss robustness Bpl. Formats that are not listed there count as G.711.
fn impairment(format: Format) -> (f64, f64) {
    match format {
        Format::GSM => (20.0, 10.0),
        Format::G726 | Format::G726_AAL2 => (7.0, 10.0),
        Format::G729 => (11.0, 19.0),
        Format::G723 => (15.0, 16.1),
        Format::ILBC => (11.0, 32.0),
        _ => (0.0, 4.3),
    }
}

/// The rating R, 0 to 93.2, of audio in `format` of which `loss_percent` is lost at random and that
/// needs `delay_ms` from mouth to ear.
#[must_use]
pub fn rating(format: Format, loss_percent: f64, delay_ms: f64) -> f64 {
    let (ie, bpl) = impairment(format);
    let loss = loss_percent.clamp(0.0, 100.0);
    let equipment = ie + (95.0 - ie) * loss / (loss + bpl);
    let late = (delay_ms - 177.3).max(0.0);
    let delay = 0.024 * delay_ms.max(0.0) + 0.11 * late;
    (BEST_RATING - delay - equipment).max(0.0)
}

/// The mean opinion score, 1 (bad) to 4.5 (excellent), of a rating.
#[must_use]
pub fn mos(rating: f64) -> f64 {
    if rating <= 0.0 {
        1.0
    } else if rating >= 100.0 {
        4.5
    } else {
        let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
        score.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_recommendation() {
        // G.107, table B.1.
        for (rating, score) in
            [(93.2, 4.41), (90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (50.0, 2.58)]
        {
            assert!((mos(rating) - score).abs() < 0.01, "R {rating}: {}", mos(rating));
        }
    }

    #[test]
    fn loss_and_delay_spoil_it() {
        let clean = rating(Format::ULAW, 0.0, 0.0);
        assert!((clean - 93.2).abs() < 1e-9);
        // 95 × 1 / (1 + 4.3)
        assert!((rating(Format::ULAW, 1.0, 0.0) - (93.2 - 17.924_5)).abs() < 1e-3);
        // 0.024 × 200 + 0.11 × 22.7
        assert!((rating(Format::ULAW, 0.0, 200.0) - (93.2 - 7.297)).abs() < 1e-9);
        assert_eq!(rating(Format::GSM, 100.0, 5_000.0), 0.0);
    }
}
