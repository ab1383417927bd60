//! What formats are called in SDP: names, payload types and clocks (RFC 3551 and the RFC of each).

use oneport_media::ilbc::Mode;
use oneport_wire::Format;

/// A voice format as RTP carries it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoding {
    pub(super) format: Format,
    /// Its name in `a=rtpmap`; case does not count.
    pub(super) name: &'static str,
    /// Timestamps in a second.
    pub(super) clock_rate: u32,
    /// `2` for Opus, which is always called so (RFC 7587 §7).
    pub(super) channels: u8,
    /// What it has without `a=rtpmap`.
    static_type: Option<u8>,
    /// The payload type under which we offer it.
    pub(super) offered_as: u8,
    /// Parameters that we say of it. Those of iLBC are what is agreed upon.
    parameters: Option<&'static str>,
}

const fn fixed(format: Format, name: &'static str, payload_type: u8) -> Encoding {
    Encoding {
        format,
        name,
        clock_rate: 8_000,
        channels: 1,
        static_type: Some(payload_type),
        offered_as: payload_type,
        parameters: None,
    }
}

const fn dynamic(format: Format, name: &'static str, clock_rate: u32, offered_as: u8) -> Encoding {
    Encoding { clock_rate, static_type: None, ..fixed(format, name, offered_as) }
}

const ENCODINGS: [Encoding; 13] = [
    fixed(Format::ULAW, "PCMU", 0),
    fixed(Format::ALAW, "PCMA", 8),
    // Its clock counts 8,000 though it has 16,000 samples (RFC 3551 §4.5.2).
    fixed(Format::G722, "G722", 9),
    fixed(Format::GSM, "GSM", 3),
    Encoding { parameters: Some("annexb=no"), ..fixed(Format::G729, "G729", 18) },
    Encoding { parameters: Some("annexa=no"), ..fixed(Format::G723, "G723", 4) },
    // 2 was its number once, and some still use it.
    Encoding { static_type: Some(2), ..dynamic(Format::G726, "G726-32", 8_000, 111) },
    dynamic(Format::G726_AAL2, "AAL2-G726-32", 8_000, 112),
    dynamic(Format::ILBC, "iLBC", 8_000, 97),
    dynamic(Format::SPEEX, "speex", 8_000, 110),
    dynamic(Format::SPEEX16, "speex", 16_000, 117),
    Encoding {
        channels: 2,
        parameters: Some("useinbandfec=1"),
        ..dynamic(Format::OPUS, "opus", 48_000, 107)
    },
    dynamic(Format::SLIN, "L16", 8_000, 118),
];

impl Encoding {
    /// That of a format, if RTP has one for it that carries the same bytes as IAX2.
    pub(super) fn of(format: Format) -> Option<&'static Self> {
        ENCODINGS.iter().find(|encoding| encoding.format == format)
    }

    /// That of `a=rtpmap`.
    pub(super) fn named(name: &str, clock_rate: u32) -> Option<&'static Self> {
        ENCODINGS.iter().find(|encoding| {
            encoding.name.eq_ignore_ascii_case(name) && encoding.clock_rate == clock_rate
        })
    }

    /// That of a payload type without `a=rtpmap`.
    pub(super) fn fixed(payload_type: u8) -> Option<&'static Self> {
        ENCODINGS.iter().find(|encoding| encoding.static_type == Some(payload_type))
    }

    /// Parameters that we say of it (`a=fmtp`), where frames of iLBC are of this mode.
    pub(super) const fn parameters(&self, ilbc: Mode) -> Option<&'static str> {
        match (self.format, ilbc) {
            (Format::ILBC, Mode::Ms20) => Some("mode=20"),
            (Format::ILBC, Mode::Ms30) => Some("mode=30"),
            _ => self.parameters,
        }
    }
}

/// The mode of iLBC that parameters (`a=fmtp`) ask for: frames of 30 ms, unless they say 20 (RFC 3952 §5).
pub(super) fn ilbc_mode(parameters: &str) -> Mode {
    let is_short = |one: &str| {
        one.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("mode") && value.trim() == "20"
        })
    };
    if parameters.split(';').any(is_short) { Mode::Ms20 } else { Mode::Ms30 }
}

/// Under which payload type we offer telephone events with this clock: it has to be that of the voice
/// beside them (RFC 4733 §2.1).
pub(super) const fn telephone_event_as(clock_rate: u32) -> u8 {
    match clock_rate {
        16_000 => 102,
        48_000 => 103,
        _ => 101,
    }
}

/// The payload type of comfort noise (RFC 3389).
pub(super) const COMFORT_NOISE: u8 = 13;
