//! What users will hear, as a number: the E-model (ITU-T G.107, 06/2015) with all that a network does
//! not spoil at its defaults, and the mean opinion score that goes with it (annex B).

use oneport_wire::Format;

/// What spoils the audio of one direction of a call.
///
/// ```
/// use oneport_media::quality::{Conditions, mos, rating};
/// use oneport_wire::Format;
///
/// let best = Conditions::best(Format::ULAW);
/// assert!((rating(&best) - 93.2).abs() < 0.1);
/// // Three frames of a hundred are lost, and it takes 200 ms from mouth to ear.
/// let worse = Conditions { loss_percent: 3.0, delay_ms: 200.0, ..best };
/// assert!(mos(rating(&best)) > 4.4 && mos(rating(&worse)) < 3.0);
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Conditions {
    /// How it is coded.
    pub format: Format,
    /// Frames that are not heard, lost or too late, per cent.
    pub loss_percent: f64,
    /// How much longer runs of lost frames are than loss at random would make them (`BurstR`): 1 where
    /// each frame is as likely to be lost as any other.
    pub burst_ratio: f64,
    /// From mouth to ear, in ms.
    pub delay_ms: f64,
}

impl Conditions {
    /// Audio of which nothing is lost, and that comes at once.
    #[must_use]
    pub const fn best(format: Format) -> Self {
        Self { format, loss_percent: 0.0, burst_ratio: 1.0, delay_ms: 0.0 }
    }
}

/// Loudness ratings of sender, receiver and the talker's own ear, and the level of the talker's echo,
/// all in dB (G.107, table 2).
const SLR: f64 = 8.0;
const RLR: f64 = 2.0;
const STMR: f64 = 15.0;
const TELR: f64 = 65.0;

/// The noise of line, rooms and floor at 0 dBr, in dBm0p (§7.2), with the defaults for each: the sum of
/// -70, -66.7, -64.2 and -62.
const NOISE: f64 = -61.179_214;

/// The ratio of signal to noise, Ro (§7.2).
const SIGNAL_TO_NOISE: f64 = 15.0 - 1.5 * (SLR + NOISE);

/// What loudness and quantizing cost, Iolr and Iq (§7.3), with one unit of distortion.
const LOUDNESS_AND_QUANTIZING: f64 = 0.440_178 + 0.974_105;

/// What a codec costs, and how well it takes loss: equipment impairment Ie and loss robustness Bpl.
///
/// ITU-T G.113, appendix I, has both for G.711 without concealment, G.729A and G.723.1. Of GSM full rate and G.726 it
/// has Ie alone. Their Bpl is that of the enhanced full rate there, which OPAL (`src/rtp/metrics.cxx`) takes for GSM
/// too; monitoring tools that take 43 do not say where that is from. Of iLBC it has nothing, and no source was found
/// for what stands here. What is not listed counts as G.711 without concealment.
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

/// The rating R, 0 (worst) to 93.2, of audio that is heard under `conditions`.
#[must_use]
pub fn rating(conditions: &Conditions) -> f64 {
    let delay = conditions.delay_ms.max(0.0);
    let best = SIGNAL_TO_NOISE - LOUDNESS_AND_QUANTIZING - sidetone(delay);
    (best - delayed(delay) - equipment(conditions)).max(0.0)
}

/// What the talker's own voice in the ear costs, Ist (§7.3), with the echo that comes with it.
fn sidetone(delay: f64) -> f64 {
    let level = -10.0
        * (10_f64.powf(-STMR / 10.0) + (-delay / 4.0).exp() * 10_f64.powf(-TELR / 10.0)).log10();
    let root = |offset: f64, width: f64, power: f64| {
        (1.0 + ((level + offset) / width).powf(power)).powf(power.recip())
    };
    12.0 * root(-13.0, 6.0, 8.0) - 28.0 * root(1.0, 19.4, 35.0) - 13.0 * root(-3.0, 33.0, 13.0)
        + 29.0
}

/// What delay costs, Id: the echo that the talker and the listener hear, and answers that come too
/// late for a conversation (§7.4, with sT = 1 and mT = 100).
fn delayed(delay: f64) -> f64 {
    let half_root =
        |difference: f64, add: f64| difference / 2.0 + (difference * difference / 4.0 + add).sqrt();
    let echo = TELR - 40.0 * ((1.0 + delay / 10.0) / (1.0 + delay / 150.0)).log10()
        + 6.0 * (-0.3 * delay * delay).exp();
    let talker = -1.5 * (NOISE - RLR) - (80.0 + 2.5 * (echo - 14.0));
    let talker = (half_root(talker, 100.0) - 1.0) * (1.0 - (-delay).exp());
    // The echo of the echo, with its path weakened by 110 dB.
    let listener = 10.5 * (110.0 + 7.0) * (2.0 * delay + 1.0).powf(-0.25);
    let listener = half_root(SIGNAL_TO_NOISE - listener, 169.0);
    let octaves = (delay / 100.0).log2();
    let late = if octaves > 0.0 {
        let root = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
        25.0 * (root(octaves) - 3.0 * root(octaves / 3.0) + 2.0)
    } else {
        0.0
    };
    talker + listener + late
}

/// What the codec and loss cost, Ie-eff (§7.5).
fn equipment(conditions: &Conditions) -> f64 {
    let (ie, bpl) = impairment(conditions.format);
    let loss = conditions.loss_percent.clamp(0.0, 100.0);
    ie + (95.0 - ie) * loss / (loss / conditions.burst_ratio.max(1.0) + bpl)
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

    fn with(format: Format, loss_percent: f64, burst_ratio: f64, delay_ms: f64) -> f64 {
        rating(&Conditions { format, loss_percent, burst_ratio, delay_ms })
    }

    #[test]
    fn scores_are_those_of_the_recommendation() {
        // G.107, table B.1.
        for (rating, score) in
            [(93.2, 4.41), (90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)]
        {
            assert!((mos(rating) - score).abs() < 0.01, "R {rating}: {}", mos(rating));
        }
    }

    #[test]
    fn the_noise_is_the_sum_of_its_four_sources() {
        // G.107, §7.2: line -70; rooms of 35 dB(A) at both ends; the floor of -64 behind the receiver.
        let olr = SLR + RLR;
        let sending = 35.0 - SLR - 3.0 - 100.0 + 0.004 * f64::powi(35.0 - olr - 3.0 - 14.0, 2);
        let heard = 35.0 + 10.0 * (1.0 + 10_f64.powf((10.0 - 18.0) / 10.0)).log10();
        let receiving = RLR - 121.0 + heard + 0.008 * f64::powi(heard - 35.0, 2);
        let sources = [-70.0, sending, receiving, -64.0 + RLR];
        let sum: f64 = sources.iter().map(|source| 10_f64.powf(source / 10.0)).sum();
        assert!((10.0 * sum.log10() - NOISE).abs() < 1e-6);
        // §7.3: loudness, and quantizing with qdu = 1.
        let loudness = (olr + 0.2 * (64.0 + NOISE - RLR)) / 8.0;
        let loudness = 20.0 * ((1.0 + loudness.powi(8)).powf(0.125) - loudness);
        let q = 37.0;
        let g = 1.07 + 0.258 * q + 0.0602 * q * q;
        let y = (SIGNAL_TO_NOISE - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0;
        let z = 46.0 / 30.0 - g / 40.0;
        let quantizing = 15.0 * (1.0 + 10_f64.powf(y) + 10_f64.powf(z)).log10();
        assert!((loudness + quantizing - LOUDNESS_AND_QUANTIZING).abs() < 1e-5);
    }

    #[test]
    fn a_line_at_its_defaults_has_93_2_and_delay_costs_as_in_g_114() {
        // G.107, §7.7, and the same with the delays of a conversation.
        for (delay, expected) in [
            (0.0, 93.206),
            (50.0, 91.756),
            (100.0, 90.664),
            (150.0, 89.539),
            (200.0, 85.805),
            (300.0, 72.666),
            (400.0, 62.247),
        ] {
            let found = with(Format::ULAW, 0.0, 1.0, delay);
            assert!((found - expected).abs() < 0.001, "{delay} ms: {found}");
        }
    }

    #[test]
    fn a_codec_under_loss_costs_what_measurements_say() {
        // G.113 (02/2001), appendix I: Ie of G.729A and G.723.1 (6.3 kbit/s), both with VAD, as it was found
        // by listening at these shares of loss, before G.107 had a formula for it.
        let loss = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0];
        for (format, published) in [
            (Format::G729, [11.0, 13.0, 15.0, 17.0, 19.0, 23.0, 26.0, 36.0, 49.0]),
            (Format::G723, [15.0, 17.0, 19.0, 22.0, 24.0, 27.0, 32.0, 41.0, 55.0]),
        ] {
            for (loss_percent, published) in loss.into_iter().zip(published) {
                let conditions = Conditions { loss_percent, ..Conditions::best(format) };
                let found = equipment(&conditions);
                assert!((found - published).abs() < 1.2, "{format}, {loss_percent} %: {found}");
            }
        }
        // Table I.1 of the same: without loss.
        for (format, published) in
            [(Format::ULAW, 0.0), (Format::ALAW, 0.0), (Format::G726, 7.0), (Format::GSM, 20.0)]
        {
            assert_eq!(equipment(&Conditions::best(format)), published, "{format}");
        }
    }

    #[test]
    fn delay_costs_what_a_well_known_line_through_the_recommendation_says() {
        // R. G. Cole and J. H. Rosenbluth, "Voice over IP performance monitoring", ACM SIGCOMM Computer
        // Communication Review 31(2), 2001: Id = 0.024 d + 0.11 (d - 177.3) from 177.3 ms on. It is a line through
        // the curve of G.107, within one unit up to 300 ms.
        let none = with(Format::ULAW, 0.0, 1.0, 0.0);
        for delay in [25.0, 50.0, 75.0, 100.0, 125.0, 150.0, 175.0, 200.0, 250.0, 300.0] {
            let published = 0.024 * delay + 0.11 * f64::max(delay - 177.3, 0.0);
            let found = none - with(Format::ULAW, 0.0, 1.0, delay);
            assert!((found - published).abs() < 1.0, "{delay} ms: {found}, and not {published}");
        }
    }

    #[test]
    fn loss_costs_more_in_bursts_and_less_with_a_codec_that_hides_it() {
        let clean = with(Format::ULAW, 0.0, 1.0, 0.0);
        // 95 × 1 / (1 + 4.3)
        assert!((clean - with(Format::ULAW, 1.0, 1.0, 0.0) - 17.924_5).abs() < 1e-3);
        // 95 × 5 / (5 / 2 + 4.3)
        assert!((clean - with(Format::ULAW, 5.0, 2.0, 0.0) - 69.852_9).abs() < 1e-3);
        // 11 + 84 × 5 / (5 + 32)
        assert!((clean - with(Format::ILBC, 5.0, 1.0, 0.0) - 22.351_4).abs() < 1e-3);
        // Less regular than at random does not count as better.
        assert_eq!(with(Format::ULAW, 2.0, 0.3, 0.0), with(Format::ULAW, 2.0, 1.0, 0.0));
        assert_eq!(with(Format::GSM, 100.0, 1.0, 5_000.0), 0.0);
        assert_eq!(with(Format::GSM, -1.0, 1.0, -5.0), with(Format::GSM, 0.0, 1.0, 0.0));
    }
}
