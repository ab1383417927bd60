//! What is being typed.

use super::LineId;

/// Characters of a number at most: those of its field on the screen.
const LONGEST: usize = 48;

/// A number that is being typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// To call.
    Dial { number: String, recalled: Option<usize> },
    /// To send the party of a line to.
    Transfer { line: LineId, number: String },
}

impl Entry {
    pub(super) fn dial(number: impl Into<String>) -> Self {
        Self::Dial { number: number.into(), recalled: None }
    }

    /// What stands there so far.
    pub(crate) fn number(&self) -> &str {
        match self {
            Self::Dial { number, .. } | Self::Transfer { number, .. } => number,
        }
    }

    pub(super) fn number_mut(&mut self) -> &mut String {
        match self {
            Self::Dial { number, .. } | Self::Transfer { number, .. } => number,
        }
    }

    /// Appends a character, if it can be one of a number or name.
    pub(super) fn push(&mut self, character: char) {
        let number = self.number_mut();
        if !character.is_control() && character != ' ' && number.chars().count() < LONGEST {
            number.push(character);
        }
    }
}
