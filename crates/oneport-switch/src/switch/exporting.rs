//! Copies of signalling for whoever collects it: which legs belong to which call.

use oneport_proto::{CallId, Endpoint};

use super::Switch;
use crate::hep::Key;

impl Switch {
    /// A leg has begun. Of one at the gateway, its dialog is known by a word.
    pub(super) fn export_leg(&self, endpoint: &Endpoint, call: CallId) {
        let Some(exporter) = &self.hep else { return };
        let Some(leg) = self.legs.get(&call) else { return };
        let Some((ours, theirs)) = endpoint.call_numbers(call) else { return };
        let mut keys = vec![Key::Ours(leg.address, ours)];
        keys.extend(theirs.map(|theirs| Key::Theirs(leg.address, theirs)));
        keys.extend(leg.marks.sip.as_deref().map(|word| Key::Word(word.into())));
        exporter.begun(leg.id, keys);
    }

    /// A leg that has begun is known to be at another address, or by a word of the gateway.
    pub(super) fn export_leg_again(&self, endpoint: &Endpoint, call: CallId) {
        let Some(exporter) = &self.hep else { return };
        let Some(leg) = self.legs.get(&call) else { return };
        if let Some((ours, _)) = endpoint.call_numbers(call) {
            exporter.known(leg.id, Key::Ours(leg.address, ours));
        }
        if let Some(word) = &leg.marks.sip {
            exporter.known(leg.id, Key::Word(word.as_str().into()));
        }
    }
}
