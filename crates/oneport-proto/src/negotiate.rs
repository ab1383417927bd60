//! Which format a call will use: the callee chooses (RFC 5456 §6.2.2, §8.6.8, §8.6.9).

use oneport_wire::{Format, FormatSet};

use crate::offer::Offer;

/// Whose order of preference counts, under the names Asterisk gives them.
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
