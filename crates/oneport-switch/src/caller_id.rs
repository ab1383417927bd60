//! What a peer may say of who calls.

use oneport_proto::Offer;

use crate::routing::Pattern;

/// Presentation of a number that is not there (RFC 5456 §8.6.29).
const NOT_AVAILABLE: u8 = 0x43;

/// How a caller's number is presented (RFC 5456 §8.6.29).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Presentation {
    /// It may be shown.
    Allowed,
    /// It is not to be shown.
    Restricted,
}

impl Presentation {
    const fn byte(self) -> u8 {
        match self {
            Self::Allowed => 0x00,
            Self::Restricted => 0x20,
        }
    }
}

/// Numbers that a peer may call from.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) written: Vec<String>,
    pub(crate) patterns: Vec<Pattern>,
}

impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

/// What becomes of what a peer says of its callers.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct CallerIdRule {
    /// The number in place of what it says; with `allow`, in place of what it may not say.
    pub(crate) number: Option<String>,
    /// The name in place of what it says.
    pub(crate) name: Option<String>,
    /// What it may say; `None`: anything, where no number stands in its place.
    pub(crate) allow: Option<Numbers>,
    pub(crate) presentation: Option<Presentation>,
}

impl CallerIdRule {
    /// Whether a number is let through.
    fn lets(&self, number: &str) -> bool {
        match &self.allow {
            Some(allow) => allow.patterns.iter().any(|pattern| pattern.groups(number).is_some()),
            None => self.number.is_none(),
        }
    }

    /// Makes of what a caller says what goes on. The number to be billed (ANI) is held to the same.
    pub(crate) fn apply(&self, offer: &mut Offer) {
        let lets = |number: &Option<String>| number.as_deref().is_some_and(|one| self.lets(one));
        if !lets(&offer.calling_number) {
            let said = offer.calling_number.is_some();
            offer.calling_number.clone_from(&self.number);
            if said && self.number.is_none() {
                offer.calling_presentation = Some(NOT_AVAILABLE);
            }
        }
        if offer.calling_ani.is_some() && !lets(&offer.calling_ani) {
            offer.calling_ani.clone_from(&self.number);
        }
        if let Some(name) = &self.name {
            offer.calling_name = Some(name.clone());
        }
        if let Some(presentation) = self.presentation {
            offer.calling_presentation = Some(presentation.byte());
        }
    }
}
