//! Which format a call will use: the callee chooses (RFC 5456 §6.2.2, §8.6.8, §8.6.9).

use oneport_wire::{Format, FormatSet};

use crate::offer::Offer;

/// Whose order of preference counts, under the names Asterisk gives them.
///
/// ```
/// use oneport_proto::{CodecPriority, NewCall, negotiate};
/// use oneport_wire::Format;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// let call = NewCall { formats: vec![Format::GSM, Format::ULAW], ..NewCall::to("100") };
/// # let (_, _, offer) = offered(now, &mut here, &mut there, call);
/// let ours = [Format::ULAW, Format::GSM];
/// assert_eq!(negotiate(CodecPriority::Host, &ours, &offer), Some(Format::ULAW));
/// assert_eq!(negotiate(CodecPriority::Caller, &ours, &offer), Some(Format::GSM));
/// assert_eq!(negotiate(CodecPriority::Caller, &[Format::G722], &offer), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CodecPriority {
    /// Ours, then the caller's.
    #[default]
    Host,
    /// The caller's, then ours.
    Caller,
    /// Nobody's: the format the caller asks for if we allow it, else the best by a fixed ranking.
    Disabled,
    /// Only the very format the caller asks for.
    RequestedOnly,
}

/// The format for a call, or `None` when there is no common one (REJECT, cause 58).
///
/// `ours` is our list, best first. Only audio is chosen.
#[must_use]
pub fn negotiate(priority: CodecPriority, ours: &[Format], offer: &Offer) -> Option<Format> {
    let our_set: FormatSet = ours.iter().copied().collect();
    let common = (our_set & offer.formats).audio();
    let requested = || {
        let wanted = (offer.wanted & our_set).audio();
        best_by_ranking(wanted)
    };
    let by_order = |order: &[Format]| order.iter().copied().find(|format| common.contains(*format));
    let by_caller = || by_order(&offer.preferences);
    match priority {
        CodecPriority::Host => by_order(ours),
        CodecPriority::Caller => by_caller().or_else(|| by_order(ours)),
        CodecPriority::Disabled => requested().or_else(|| best_by_ranking(common)),
        CodecPriority::RequestedOnly => requested(),
    }
}

/// The best of a set by the ranking all known peers share; unranked formats come last, by bit.
fn best_by_ranking(set: FormatSet) -> Option<Format> {
    let mut ranked = Format::FIXED_RANKING.iter().copied();
    ranked.find(|format| set.contains(*format)).or_else(|| set.iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_wire::{Element, ElementBuffer};

    const GSM: Format = Format::GSM;
    const ULAW: Format = Format::ULAW;
    const ALAW: Format = Format::ALAW;
    const OPUS: Format = Format::OPUS;

    /// Reads the offer from elements, as it comes from the wire.
    fn offer(wanted: &[Format], formats: &[Format], letters: &[u8]) -> Offer {
        let mut buffer = ElementBuffer::new();
        buffer.push(&Element::Format2(wanted.iter().copied().collect()));
        buffer.push(&Element::Capability2(formats.iter().copied().collect()));
        let letters = oneport_wire::CodecPreferences::new(letters);
        buffer.push(&Element::CodecPreferences(letters));
        let from = core::net::SocketAddr::from(([192, 0, 2, 1], 4569));
        Offer::read(from.into(), buffer.as_elements()).0
    }

    #[test]
    fn each_priority_chooses_by_its_own_order() {
        use CodecPriority::{Caller, Disabled, Host, RequestedOnly};
        let ours = [GSM, ALAW, ULAW];
        // The caller asks for A-law, can do three, and prefers opus, µ-law, then GSM.
        let theirs = [GSM, ALAW, ULAW, OPUS];
        let check = |letters: &[u8], expected: [Option<Format>; 4]| {
            let offer = offer(&[ALAW], &theirs, letters);
            let chosen = [Host, Caller, Disabled, RequestedOnly]
                .map(|priority| negotiate(priority, &ours, &offer));
            assert_eq!(chosen, expected, "{letters:?}");
        };
        check(b"fDC", [Some(GSM), Some(ULAW), Some(ALAW), Some(ALAW)]);
        check(b"", [Some(GSM), Some(GSM), Some(ALAW), Some(ALAW)]);
        // Unassigned letters, which would end a careless reader's list, are passed over.
        check(b"_`D", [Some(GSM), Some(ULAW), Some(ALAW), Some(ALAW)]);
        // Preferences that are not in the capability count for nothing.
        check(b"J", [Some(GSM), Some(GSM), Some(ALAW), Some(ALAW)]);
    }

    #[test]
    fn a_wish_we_do_not_allow_falls_back_to_the_ranking_or_to_nothing() {
        let offer = offer(&[OPUS], &[OPUS, GSM, ALAW], b"");
        let ours = [GSM, ALAW];
        assert_eq!(negotiate(CodecPriority::Disabled, &ours, &offer), Some(ALAW));
        assert_eq!(negotiate(CodecPriority::RequestedOnly, &ours, &offer), None);
    }

    #[test]
    fn video_is_never_chosen_and_no_common_format_is_none() {
        let both = offer(&[], &[Format::H264, ULAW], b"VD");
        let ours = [Format::H264, ULAW];
        assert_eq!(negotiate(CodecPriority::Caller, &ours, &both), Some(ULAW));
        let video = offer(&[Format::H264], &[Format::H264], b"V");
        for priority in [
            CodecPriority::Host,
            CodecPriority::Caller,
            CodecPriority::Disabled,
            CodecPriority::RequestedOnly,
        ] {
            assert_eq!(negotiate(priority, &ours, &video), None);
        }
    }
}
