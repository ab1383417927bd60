//! Numbers as carriers write them, and as we do: digits of E.164 with what stands before them.

/// How a carrier writes numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct NumberRule {
    pub(crate) format: NumberFormat,
    /// Our country, without `+`: then national numbers are understood.
    pub(crate) country_code: Option<String>,
    /// What is dialled before a number of another country, such as `00` or `011`.
    pub(crate) international_prefix: String,
    /// What is dialled before a number of our own country, such as `0` or `1`.
    pub(crate) national_prefix: String,
}

/// In which form a number goes to a carrier.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum NumberFormat {
    /// As it was dialled.
    #[default]
    AsDialled,
    /// Digits of E.164: country code and number.
    E164,
    /// The same behind `+`.
    PlusE164,
}

impl NumberFormat {
    /// All, by the names that files have for them.
    pub(crate) const NAMES: [&str; 3] = ["as_dialled", "e164", "+e164"];

    /// By its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "as_dialled" => Some(Self::AsDialled),
            "e164" => Some(Self::E164),
            "+e164" => Some(Self::PlusE164),
            _ => None,
        }
    }
}

/// The most digits of a number (E.164 §6).
const MOST_DIGITS: usize = 15;
/// The fewest that are taken for a whole number rather than a short one.
const FEWEST_DIGITS: usize = 7;

impl NumberRule {
    /// The number for the carrier. What is none, as a short number or a name, stays as it is.
    pub(crate) fn outbound(&self, number: &str) -> String {
        match (self.format, self.digits(number)) {
            (NumberFormat::E164, Some(digits)) => digits,
            (NumberFormat::PlusE164, Some(digits)) => format!("+{digits}"),
            _ => number.into(),
        }
    }

    /// A number that the carrier names, as we have it: digits of E.164 where its numbers are such,
    /// else as it is.
    pub(crate) fn inbound(&self, number: &str) -> String {
        match self.format {
            NumberFormat::AsDialled => number.into(),
            NumberFormat::E164 | NumberFormat::PlusE164 => {
                self.digits(number).unwrap_or_else(|| number.into())
            }
        }
    }

    /// The digits of E.164, of a number in any of the forms in which it may be written.
    fn digits(&self, number: &str) -> Option<String> {
        let plain: String = number
            .chars()
            .filter(|one| !matches!(one, ' ' | '-' | '.' | '(' | ')' | '/'))
            .collect();
        let is_number = |digits: &str| {
            (FEWEST_DIGITS..=MOST_DIGITS).contains(&digits.len())
                && digits.bytes().all(|one| one.is_ascii_digit())
        };
        let checked = |digits: &str| is_number(digits).then(|| digits.to_string());
        if let Some(digits) = plain.strip_prefix('+') {
            return checked(digits);
        }
        if !plain.bytes().all(|one| one.is_ascii_digit()) {
            return None;
        }
        let behind = |prefix: &str| match prefix {
            "" => None,
            prefix => plain.strip_prefix(prefix),
        };
        if let Some(digits) = behind(&self.international_prefix) {
            return checked(digits);
        }
        let Some(country) = self.country_code.as_deref() else { return checked(&plain) };
        match behind(&self.national_prefix) {
            // A country code that is the national prefix as well, as in North America.
            Some(rest) if self.national_prefix == country => checked(&format!("{country}{rest}")),
            Some(rest) => checked(&format!("{country}{rest}")),
            None if plain.starts_with(country) => checked(&plain),
            // A number of our country without its prefix, as North America dials ten digits.
            None if self.national_prefix == country => checked(&format!("{country}{plain}")),
            None => checked(&plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(format: NumberFormat, country: &str, prefixes: (&str, &str)) -> NumberRule {
        NumberRule {
            format,
            country_code: (!country.is_empty()).then(|| country.into()),
            international_prefix: prefixes.0.into(),
            national_prefix: prefixes.1.into(),
        }
    }

    #[test]
    fn numbers_of_north_america_get_their_country() {
        let rule = rule(NumberFormat::PlusE164, "1", ("011", "1"));
        for (dialled, sent) in [
            ("2125550100", "+12125550100"),
            ("12125550100", "+12125550100"),
            ("+1 212-555-0100", "+12125550100"),
            ("011493012345678", "+493012345678"),
            ("911", "911"),
            ("*98", "*98"),
            ("alice", "alice"),
            ("+1", "+1"),
        ] {
            assert_eq!(rule.outbound(dialled), sent, "{dialled}");
        }
        assert_eq!(rule.inbound("+12125550100"), "12125550100");
        assert_eq!(rule.inbound("2125550100"), "12125550100");
    }

    #[test]
    fn numbers_of_germany_lose_their_zero() {
        let rule = rule(NumberFormat::E164, "49", ("00", "0"));
        for (dialled, sent) in [
            ("03012345678", "493012345678"),
            ("004412345678", "4412345678"),
            ("+493012345678", "493012345678"),
            ("493012345678", "493012345678"),
            ("110", "110"),
        ] {
            assert_eq!(rule.outbound(dialled), sent, "{dialled}");
        }
    }

    #[test]
    fn what_is_dialled_stays_as_it_is_where_nothing_is_said() {
        let rule = NumberRule::default();
        for number in ["+12125550100", "00441234567", "alice", ""] {
            assert_eq!(rule.outbound(number), number);
            assert_eq!(rule.inbound(number), number);
        }
    }

    #[test]
    fn a_number_that_is_too_long_is_none() {
        let rule = rule(NumberFormat::PlusE164, "", ("00", ""));
        assert_eq!(rule.outbound("001234567890123456"), "001234567890123456");
        assert_eq!(rule.outbound("00123456789012345"), "+123456789012345");
    }
}
