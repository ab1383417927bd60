//! What a probe asks of its far end in a text: to send voice back in trunk frames, where it would send mini frames. How
//! many calls a line carries in a trunk shows only where both ways have one.

use std::fmt;

use oneport_proto::TrunkConfig;

/// How a text begins that asks for it.
const BEGINS: &str = "oneport-probe trunk ";

/// Greatest trunk frames that may be asked for, in bytes without headers of IP and UDP.
const LENGTHS: std::ops::RangeInclusive<usize> = 200..=1_472;

/// Such a wish, which holds for calls that come from the same address while the one lasts in which it was said. It
/// prints as the text.
///
/// ```
/// use oneport::probe::Bundle;
///
/// // Through a tunnel that takes IP packets of 1,280 bytes, with 28 of headers.
/// let bundle = Bundle::through(1_280, 28);
/// assert_eq!(bundle.to_string(), "oneport-probe trunk 1252");
/// assert_eq!(Bundle::parse("oneport-probe trunk 1252"), Some(bundle));
/// assert_eq!(bundle.trunk().max_datagram, 1_252);
/// // Longer than Ethernet carries.
/// assert_eq!(Bundle::parse("oneport-probe trunk 9000"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bundle {
    /// Greatest trunk frame, in bytes without headers of IP and UDP.
    pub max_datagram: usize,
}

impl Bundle {
    /// What a text asks for; `None` where it is no such text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let max_datagram = text.strip_prefix(BEGINS)?.parse().ok()?;
        LENGTHS.contains(&max_datagram).then_some(Self { max_datagram })
    }

    /// For a way that lets through IP packets of so many bytes, with so many of headers: as other trunks are, or shorter.
    #[must_use]
    pub fn through(packet: usize, headers: usize) -> Self {
        let longest = TrunkConfig::default().max_datagram.min(packet.saturating_sub(headers));
        Self { max_datagram: longest.max(*LENGTHS.start()) }
    }

    /// The trunk that is meant.
    #[must_use]
    pub fn trunk(self) -> TrunkConfig {
        TrunkConfig { max_datagram: self.max_datagram, ..TrunkConfig::default() }
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BEGINS}{}", self.max_datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_as_it_was_written_and_nothing_else_is_one() {
        let bundle = Bundle { max_datagram: 1_372 };
        assert_eq!(bundle.to_string(), "oneport-probe trunk 1372");
        assert_eq!(Bundle::parse(&bundle.to_string()), Some(bundle));
        for strange in ["", "199", "1473", "-1", "1372 1", " 1372", "many"] {
            assert_eq!(Bundle::parse(&format!("{BEGINS}{strange}")), None, "{strange:?}");
        }
        assert_eq!(Bundle::parse("oneport-probe wake 1372 1"), None);
    }

    #[test]
    fn frames_are_as_long_as_others_or_as_the_way_lets_through() {
        let through = |packet, headers| Bundle::through(packet, headers).trunk().max_datagram;
        assert_eq!(through(1_500, 28), TrunkConfig::default().max_datagram);
        assert_eq!((through(1_300, 28), through(1_300, 48)), (1_272, 1_252));
        assert_eq!(through(0, 28), 200);
    }
}
