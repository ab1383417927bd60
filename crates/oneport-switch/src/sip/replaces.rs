//! Calls that are to take the place of one that is up (RFC 3891), as in an attended transfer (RFC 5589), and
//! which dialogs there are to be named so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::message::unescape;

/// What a dialog is known by on our side of it (RFC 3261 §12).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct DialogKey {
    pub(crate) call_id: String,
    pub(crate) our_tag: String,
    pub(crate) their_tag: String,
}

/// A Replaces header: the dialog that is to end, as whoever is asked to end it knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Replaces {
    pub(crate) dialog: DialogKey,
    /// Only if it is not answered yet.
    pub(crate) early_only: bool,
}

impl Replaces {
    /// Reads a header; `None`: it lacks something.
    pub(crate) fn read(header: &str) -> Option<Self> {
        let mut parts = header.split(';').map(str::trim);
        let call_id = parts.next().filter(|call_id| !call_id.is_empty())?.to_string();
        let (mut our_tag, mut their_tag, mut early_only) = (None, None, false);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "to-tag" => our_tag = Some(value.trim().to_string()),
                "from-tag" => their_tag = Some(value.trim().to_string()),
                "early-only" => early_only = true,
                _ => {}
            }
        }
        let dialog = DialogKey { call_id, our_tag: our_tag?, their_tag: their_tag? };
        Some(Self { dialog, early_only })
    }

    /// That in the URI of a Refer-To header, `<sip:100@host?Replaces=…>`, if there is one.
    ///
    /// # Errors
    /// There is one, and it lacks something.
    pub(crate) fn in_refer_to(header: &str) -> Result<Option<Self>, Malformed> {
        let uri = match header.split_once('<') {
            Some((_, inside)) => inside.split('>').next().unwrap_or_default(),
            None => header,
        };
        let Some((_, headers)) = uri.split_once('?') else { return Ok(None) };
        let mut each = headers.split('&').filter_map(|one| one.split_once('='));
        let replaces = each.find(|(name, _)| name.trim().eq_ignore_ascii_case("Replaces"));
        let Some((_, value)) = replaces else { return Ok(None) };
        Self::read(&unescape(value)).map(Some).ok_or(Malformed)
    }
}

/// What is written there is no Replaces header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// A call that may be named in a Replaces header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Known {
    /// The word by which the switch knows its leg.
    pub(crate) word: String,
    /// With whom it is: a peer's name.
    pub(crate) peer: String,
    pub(crate) stage: Stage,
}

/// How far a call is that may be named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// The other side has begun it, and nobody has answered here.
    Calls,
    /// We have begun it, and it rings on the other side.
    Rings,
    /// It is answered.
    Answered,
}

impl Known {
    /// Whether a call may take its place that says so.
    ///
    /// # Errors
    /// The status that refuses it (RFC 3891 §3): one that the other side has begun is not replaced before it is
    /// answered, and one that is answered not where only one that rings is wanted.
    pub(crate) const fn may_be_replaced(&self, by: &Replaces) -> Result<(), u16> {
        match self.stage {
            Stage::Calls => Err(481),
            Stage::Answered if by.early_only => Err(486),
            Stage::Rings | Stage::Answered => Ok(()),
        }
    }
}

/// All calls of the gateway that the other side has a dialog for.
#[derive(Default)]
pub(crate) struct Talks(Mutex<HashMap<DialogKey, Known>>);

impl Talks {
    fn lock(&self) -> MutexGuard<'_, HashMap<DialogKey, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, until what is given back is dropped.
    pub(crate) fn enter(self: &Arc<Self>, key: DialogKey, known: Known) -> Entered {
        self.lock().insert(key.clone(), known);
        Entered { talks: self.clone(), key }
    }

    /// The call of a dialog.
    pub(crate) fn find(&self, key: &DialogKey) -> Option<Known> {
        self.lock().get(key).cloned()
    }
}

/// A call among those that may be named.
pub(crate) struct Entered {
    talks: Arc<Talks>,
    key: DialogKey,
}

impl Entered {
    /// What it is known by.
    pub(crate) const fn key(&self) -> &DialogKey {
        &self.key
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.talks.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaces(call_id: &str, our_tag: &str, their_tag: &str, early_only: bool) -> Replaces {
        let [call_id, our_tag, their_tag] = [call_id, our_tag, their_tag].map(Into::into);
        Replaces { dialog: DialogKey { call_id, our_tag, their_tag }, early_only }
    }

    #[test]
    fn a_dialog_is_named_as_its_other_side_knows_it() {
        for (header, read) in [
            ("98732@h;from-tag=r33;to-tag=x5", Some(replaces("98732@h", "x5", "r33", false))),
            (" a@h ; To-Tag = 1 ;from-tag=2;early-only", Some(replaces("a@h", "1", "2", true))),
            ("a@h;to-tag=1;from-tag=2;x=3", Some(replaces("a@h", "1", "2", false))),
            ("a@h;to-tag=1", None),
            ("a@h;from-tag=1", None),
            (";to-tag=1;from-tag=2", None),
            ("", None),
        ] {
            assert_eq!(Replaces::read(header), read, "{header}");
        }
    }

    #[test]
    fn a_transfer_names_it_in_the_uri_of_whom_it_leads_to() {
        for (header, read) in [
            ("<sip:100@h>", Ok(None)),
            ("sip:100@h", Ok(None)),
            ("<sip:100@h?Subject=x>;y=1", Ok(None)),
            (
                "\"B\" <sip:100@h;transport=udp?Require=x&Replaces=a@h%3Bto-tag%3D1%3Bfrom-tag%3D2>",
                Ok(Some(replaces("a@h", "1", "2", false))),
            ),
            (
                "sip:100@h?replaces=a%40h%3Bto-tag%3D1%3Bfrom-tag%3D2&Require=replaces",
                Ok(Some(replaces("a@h", "1", "2", false))),
            ),
            ("<sip:100@h?Replaces=a%40h>", Err(Malformed)),
        ] {
            assert_eq!(Replaces::in_refer_to(header), read, "{header}");
        }
    }

    #[test]
    fn a_call_is_replaced_where_it_rings_on_the_other_side_or_is_answered() {
        for (stage, early_only, answer) in [
            (Stage::Calls, false, Err(481)),
            (Stage::Calls, true, Err(481)),
            (Stage::Rings, false, Ok(())),
            (Stage::Rings, true, Ok(())),
            (Stage::Answered, false, Ok(())),
            (Stage::Answered, true, Err(486)),
        ] {
            let known = Known { word: "7".into(), peer: "desk".into(), stage };
            let replaces = replaces("a@h", "1", "2", early_only);
            assert_eq!(known.may_be_replaced(&replaces), answer, "{stage:?} {early_only}");
        }
    }

    #[test]
    fn a_call_is_known_until_it_is_over() {
        let talks = Arc::new(Talks::default());
        let key = replaces("a@h", "1", "2", false).dialog;
        let known = Known { word: "7".into(), peer: "desk".into(), stage: Stage::Rings };
        let entered = talks.enter(key.clone(), known.clone());
        assert_eq!(talks.find(&key), Some(known));
        assert_eq!(entered.key(), &key);
        let turned = DialogKey {
            our_tag: key.their_tag.clone(),
            their_tag: key.our_tag.clone(),
            ..key.clone()
        };
        assert_eq!(talks.find(&turned), None, "the tags are not each other's");
        drop(entered);
        assert_eq!(talks.find(&key), None);
    }
}
