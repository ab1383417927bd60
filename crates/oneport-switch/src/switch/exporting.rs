//! Copies of signalling for whoever collects it: which legs belong to which call, and when frames passed.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{CallId, Endpoint, Instant};

use super::Switch;
use crate::book::Book;
use crate::config::Config;
use crate::hep::{Exporter, Key};

/// How long the monotonic clock alone says what time it is: the other one may have been set meanwhile.
const DATED_FOR: Duration = Duration::from_secs(60);

/// The date at a moment; none before the first frame.
#[derive(Default, Debug)]
pub(super) struct Dated(Option<(Instant, u64)>);

impl Dated {
    /// Now, in µs since 1970.
    fn unix_micros(&mut self, now: Instant, book: &Book) -> u64 {
        let (at, unix_micros) = match self.0.filter(|(at, _)| now.since(*at) < DATED_FOR) {
            Some(dated) => dated,
            None => {
                let millis = u64::try_from(book.now().unix_millis()).unwrap_or(0);
                *self.0.insert((now, millis * 1_000))
            }
        };
        let since = u64::try_from(now.since(at).as_micros()).unwrap_or(0);
        unix_micros.saturating_add(since)
    }
}

/// Who hands copies on, where the configuration wants any.
pub(super) fn start(config: &Config) -> Option<(Exporter, Dated)> {
    let exporter = Exporter::start(config.hep.as_ref()?)?;
    Some((exporter, Dated::default()))
}

impl Switch {
    /// A datagram has come or gone.
    pub(super) fn export_frame(
        &mut self,
        now: Instant,
        incoming: bool,
        ways: (SocketAddr, SocketAddr),
        datagram: &[u8],
    ) {
        let Some((exporter, dated)) = &mut self.hep else { return };
        exporter.frame(dated.unix_micros(now, &self.book), incoming, ways, datagram);
    }

    /// A leg has begun. Of one at the gateway, its dialog is known by a word.
    pub(super) fn export_leg(&self, endpoint: &Endpoint, call: CallId) {
        let Some((exporter, _)) = &self.hep else { return };
        let Some(leg) = self.legs.get(&call) else { return };
        let Some((ours, theirs)) = endpoint.call_numbers(call) else { return };
        let mut keys = vec![Key::Ours(leg.address, ours)];
        keys.extend(theirs.map(|theirs| Key::Theirs(leg.address, theirs)));
        keys.extend(leg.marks.sip.as_deref().map(|word| Key::Word(word.into())));
        exporter.begun(leg.id, keys);
    }

    /// A leg that has begun is known to be at another address, or by a word of the gateway.
    pub(super) fn export_leg_again(&self, endpoint: &Endpoint, call: CallId) {
        let Some((exporter, _)) = &self.hep else { return };
        let Some(leg) = self.legs.get(&call) else { return };
        if let Some((ours, _)) = endpoint.call_numbers(call) {
            exporter.known(leg.id, Key::Ours(leg.address, ours));
        }
        if let Some(word) = &leg.marks.sip {
            exporter.known(leg.id, Key::Word(word.as_str().into()));
        }
    }
}
