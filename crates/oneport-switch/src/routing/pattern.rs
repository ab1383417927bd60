//! What a route looks for in the called number.

use std::cmp::Ordering;
use std::fmt;

use regex::Regex;

/// What a route looks for in the called number: the whole of it, its beginning, a pattern as
/// Asterisk writes them, or a regular expression.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// As it is written in the configuration.
    text: String,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Places(Vec<Place>),
    Regex(Regex),
}

/// One place of a pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// This character.
    One(char),
    /// Any of these ASCII characters, a bit for each.
    Of(u128),
    /// All that follows, at least one character (`.`).
    More,
    /// All that follows, if anything does (`!`, or the end of a prefix).
    Rest,
}

impl Place {
    /// How many characters it stands for: the fewer, the more particular the pattern.
    fn breadth(self) -> u32 {
        match self {
            Self::One(_) => 1,
            Self::Of(set) => set.count_ones(),
            Self::More => 1_000,
            Self::Rest => 2_000,
        }
    }

    /// Whether it takes each character that `other` takes.
    fn holds(self, other: Self) -> bool {
        let set = |place| match place {
            Self::One(character) if character.is_ascii() => Some(bit(character)),
            Self::Of(set) => Some(set),
            _ => None,
        };
        match (set(self), set(other)) {
            (Some(own), Some(others)) => own & others == others,
            _ => self == other,
        }
    }

    fn takes(self, character: char) -> bool {
        match self {
            Self::One(own) => own == character,
            Self::Of(set) => character.is_ascii() && set & bit(character) != 0,
            Self::More | Self::Rest => true,
        }
    }
}

const fn bit(character: char) -> u128 {
    1 << (character as u32 & 0x7F)
}

/// The bits of `first` to `last`.
fn range(first: char, last: char) -> u128 {
    (first..=last).map(bit).fold(0, |all, one| all | one)
}

impl Pattern {
    /// The whole number.
    pub(crate) fn number(text: &str) -> Self {
        let places = text.chars().map(Place::One).collect();
        Self { text: text.into(), what: What::Places(places) }
    }

    /// The beginning of the number.
    pub(crate) fn prefix(text: &str) -> Self {
        let places = text.chars().map(Place::One).chain([Place::Rest]).collect();
        Self { text: format!("{text}…"), what: What::Places(places) }
    }

    /// A pattern as Asterisk writes them: behind `_`, `X` is a digit, `Z` 1 to 9, `N` 2 to 9,
    /// `[1-5*]` one of these, `.` anything but nothing, `!` anything; hyphens are for the eye.
    ///
    /// # Errors
    /// What is wrong with it, and how to mend that.
    pub(crate) fn asterisk(text: &str) -> Result<Self, (String, String)> {
        let Some(body) = text.strip_prefix('_') else {
            let what = format!("the pattern `{text}` does not begin with `_`");
            return Err((what, format!("write pattern = \"_{text}\", or number = \"{text}\"")));
        };
        let mut places = Vec::new();
        let mut characters = body.chars();
        while let Some(character) = characters.next() {
            if let Some(Place::More | Place::Rest) = places.last() {
                let what = format!("nothing can follow `.` or `!` in `{text}`");
                return Err((what, "leave out what stands behind it".into()));
            }
            places.push(match character {
                'X' | 'x' => Place::Of(range('0', '9')),
                'Z' | 'z' => Place::Of(range('1', '9')),
                'N' | 'n' => Place::Of(range('2', '9')),
                '.' => Place::More,
                '!' => Place::Rest,
                '-' | ' ' => continue,
                '[' => Place::Of(read_set(text, &mut characters)?),
                other => Place::One(other),
            });
        }
        Ok(Self { text: text.into(), what: What::Places(places) })
    }

    /// A regular expression that fits the whole number.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn regex(text: &str) -> Result<Self, String> {
        // By itself first: with the parentheses around it `a)|(b` would be good, and mean otherwise.
        Regex::new(text).map_err(|error| error.to_string())?;
        let regex = Regex::new(&format!("^(?:{text})$")).map_err(|error| error.to_string())?;
        Ok(Self { text: format!("/{text}/"), what: What::Regex(regex) })
    }

    /// The groups of a regular expression that fits, the whole number first; for other patterns
    /// that fit, just that. `None`: it does not fit.
    pub(crate) fn groups<'a>(&self, number: &'a str) -> Option<Vec<&'a str>> {
        match &self.what {
            What::Places(places) => fits(places, number).then(|| vec![number]),
            What::Regex(regex) => {
                let groups = regex.captures(number)?;
                Some(groups.iter().map(|group| group.map_or("", |found| found.as_str())).collect())
            }
        }
    }

    /// How many groups a number template may name: those of a regular expression.
    pub(crate) fn group_count(&self) -> usize {
        match &self.what {
            What::Places(_) => 0,
            What::Regex(regex) => regex.captures_len() - 1,
        }
    }

    /// `Less`: this one is more particular than `other`, and goes before it. As in Asterisk, from
    /// left to right the place that stands for fewer characters decides. Regular expressions go
    /// behind all others.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let (What::Places(own), What::Places(others)) = (&self.what, &other.what) else {
            let is_regex = |pattern: &Self| matches!(pattern.what, What::Regex(_));
            return is_regex(self).cmp(&is_regex(other));
        };
        let breadths = |places: &[Place]| -> Vec<u32> {
            places.iter().map(|place| place.breadth()).chain([0]).collect()
        };
        breadths(own).cmp(&breadths(others))
    }

    /// Whether more than one number fits.
    pub(crate) fn fits_many(&self) -> bool {
        match &self.what {
            What::Places(places) => places.iter().any(|place| !matches!(place, Place::One(_))),
            What::Regex(_) => true,
        }
    }

    /// Whether every number that fits `other` fits this one too, as far as can be told.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (&self.what, &other.what) {
            (What::Places(own), What::Places(others)) => covers(own, others),
            (What::Places(own), What::Regex(_)) => matches!(own.as_slice(), [Place::Rest]),
            (What::Regex(_), _) => false,
        }
    }

    /// Whether a number that begins with `start`, and is longer, may fit.
    pub(crate) fn may_grow_from(&self, start: &str) -> bool {
        let What::Places(places) = &self.what else { return false };
        let mut places = places.iter();
        for character in start.chars() {
            match places.next() {
                Some(Place::More | Place::Rest) => return true,
                Some(place) if place.takes(character) => {}
                _ => return false,
            }
        }
        places.next().is_some()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn covers(own: &[Place], others: &[Place]) -> bool {
    match (own, others) {
        ([Place::Rest, ..], _) => true,
        ([Place::More, ..], [other, ..]) => *other != Place::Rest,
        ([one, own @ ..], [other, others @ ..]) => one.holds(*other) && covers(own, others),
        ([], []) => true,
        _ => false,
    }
}

fn fits(places: &[Place], number: &str) -> bool {
    let mut characters = number.chars();
    for place in places {
        match place {
            Place::More => return characters.next().is_some(),
            Place::Rest => return true,
            place => match characters.next() {
                Some(character) if place.takes(character) => {}
                _ => return false,
            },
        }
    }
    characters.next().is_none()
}

/// What stands between `[` and `]`.
fn read_set(text: &str, characters: &mut std::str::Chars<'_>) -> Result<u128, (String, String)> {
    let wrong = |what: &str, help: &str| Err((format!("{what} in `{text}`"), help.into()));
    let Some((inside, rest)) = characters.as_str().split_once(']') else {
        return wrong("`[` is not closed", "write for example [2-5]");
    };
    *characters = rest.chars();
    let mut inside: Vec<char> = inside.chars().collect();
    if inside.is_empty() || !inside.iter().all(char::is_ascii) {
        return wrong("`[…]` needs ASCII characters", "write for example [2-5] or [13579]");
    }
    let mut set = 0;
    while !inside.is_empty() {
        let taken = match *inside.as_slice() {
            [first, '-', last, ..] if first <= last => {
                set |= range(first, last);
                3
            }
            [_, '-', _, ..] => return wrong("a range runs backwards", "swap its ends"),
            [one, ..] => {
                set |= bit(one);
                1
            }
            [] => break,
        };
        inside.drain(..taken);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asterisk(text: &str) -> Pattern {
        Pattern::asterisk(text).unwrap()
    }

    fn fits(pattern: &Pattern, number: &str) -> bool {
        pattern.groups(number).is_some()
    }

    #[test]
    fn asterisk_s_letters_mean_what_they_mean_there() {
        let local = asterisk("_NXX-XXXX");
        assert!(fits(&local, "5551234") && fits(&local, "2000000"));
        assert!(!fits(&local, "1551234") && !fits(&local, "555123") && !fits(&local, "55512345"));
        let outside = asterisk("_9.");
        assert!(fits(&outside, "90") && !fits(&outside, "9") && !fits(&outside, "80"));
        let anything = asterisk("_9!");
        assert!(fits(&anything, "9") && fits(&anything, "9123"));
        let some = asterisk("_Z[1-36*]");
        for (number, whether) in
            [("11", true), ("16", true), ("1*", true), ("01", false), ("14", false)]
        {
            assert_eq!(fits(&some, number), whether, "{number}");
        }
        let octets = asterisk("_010*010*010*016*.");
        assert!(fits(&octets, "010*010*010*016*8600051") && !fits(&octets, "010*010*010*016*"));
    }

    #[test]
    fn what_is_no_pattern_is_explained() {
        for (text, what) in [
            ("NXX", "does not begin with `_`"),
            ("_[1-5", "is not closed"),
            ("_[5-1]", "runs backwards"),
            ("_[]", "needs ASCII"),
            ("_9.1", "nothing can follow"),
        ] {
            let (message, help) = Pattern::asterisk(text).unwrap_err();
            assert!(message.contains(what) && !help.is_empty(), "{text}: {message}");
        }
        assert!(Pattern::regex("(").is_err());
        assert!(Pattern::regex("a)|(b").is_err(), "it would match what only begins with a");
    }

    #[test]
    fn the_more_particular_goes_first() {
        let inorder = [
            Pattern::number("911"),
            asterisk("_911!"),
            Pattern::prefix("91"),
            asterisk("_9[12]X"),
            asterisk("_9NX"),
            asterisk("_9XX"),
            asterisk("_9."),
            Pattern::prefix("9"),
            asterisk("_NXX"),
            asterisk("_XXX"),
            asterisk("_."),
            Pattern::prefix(""),
            Pattern::regex(".*").unwrap(),
        ];
        for (n, one) in inorder.iter().enumerate() {
            for (m, other) in inorder.iter().enumerate() {
                assert_eq!(one.compare(other), n.cmp(&m), "{one} and {other}");
            }
        }
    }

    #[test]
    fn the_groups_of_a_regular_expression_are_given() {
        let pattern = Pattern::regex(r"00(\d\d)(\d+)?").unwrap();
        assert_eq!(pattern.groups("0049"), Some(vec!["0049", "49", ""]));
        assert_eq!(pattern.groups("004989"), Some(vec!["004989", "49", "89"]));
        assert_eq!(pattern.groups("1004989"), None, "the whole number must fit");
        assert_eq!(pattern.group_count(), 2);
    }

    #[test]
    fn a_number_may_grow_as_long_as_something_longer_fits() {
        let pattern = asterisk("_9XX");
        for (start, grows) in [("", true), ("9", true), ("91", true), ("911", false), ("8", false)]
        {
            assert_eq!(pattern.may_grow_from(start), grows, "{start:?}");
        }
        assert!(Pattern::prefix("9").may_grow_from("912") && asterisk("_9.").may_grow_from("9"));
        assert!(!Pattern::number("9").may_grow_from("9"));
    }

    #[test]
    fn a_pattern_covers_those_whose_numbers_all_fit_it() {
        let number = Pattern::number;
        assert!(Pattern::prefix("").covers(&asterisk("_X.")));
        assert!(Pattern::prefix("9").covers(&number("9")));
        assert!(asterisk("_X.").covers(&asterisk("_NXX")));
        assert!(asterisk("_2XX").covers(&number("215")));
        assert!(asterisk("_2XX").covers(&asterisk("_2[1-5]X")));
        assert!(!asterisk("_2[1-5]X").covers(&asterisk("_2XX")));
        assert!(!asterisk("_2XX").covers(&number("2155")));
        assert!(!asterisk("_9.").covers(&asterisk("_9!")));
        assert!(!number("100").covers(&Pattern::prefix("100")));
        assert!(Pattern::prefix("").covers(&Pattern::regex("a+").unwrap()));
        assert!(!Pattern::regex("a+").unwrap().covers(&number("a")));
        assert!(asterisk("_1X").fits_many() && !number("12").fits_many());
    }
}
