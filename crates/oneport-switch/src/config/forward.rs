//! Where calls to a peer are forwarded, as it is written, and its check.

use std::time::Duration;

use super::error::ConfigError;
use super::routes::{Names, read_destination};
use super::source::Source;
use super::spanned::Spanned;
use crate::routing::{Destination, Pattern};

/// Where calls to a peer are forwarded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Forwarding {
    /// At once; the peer itself does not ring.
    pub(crate) always: Option<Destination>,
    /// When it is busy.
    pub(crate) busy: Option<Destination>,
    /// When it does not answer, or is not there.
    pub(crate) no_answer: Option<Destination>,
    /// How long it rings before it has not answered, where its route does not say it.
    pub(crate) rings: Option<Duration>,
}

/// How long a peer rings that is forwarded on no answer and says nothing else.
const RINGS: Duration = Duration::from_secs(20);

/// The keys of one peer.
pub(super) struct ForwardKeys {
    pub(super) always: Option<Spanned<String>>,
    pub(super) busy: Option<Spanned<String>>,
    pub(super) no_answer: Option<Spanned<String>>,
    pub(super) rings: Option<Spanned<u64>>,
}

impl ForwardKeys {
    pub(super) fn check(
        &self,
        source: &Source<'_>,
        peer: &str,
        names: &Names<'_>,
    ) -> Result<Forwarding, ConfigError> {
        let read = |key: &Option<Spanned<String>>| -> Result<Option<Destination>, ConfigError> {
            let Some(written) = key else { return Ok(None) };
            let to = read_destination(source, written, &Pattern::number(""), names)?;
            if matches!(&to, Destination::Peer { name, number: None } if name == peer) {
                let error = source.wrong(written, format!("{peer} is forwarded to itself"));
                return Err(error.with_help("name another peer, or a number there"));
            }
            Ok(Some(to))
        };
        let rings = match &self.rings {
            Some(seconds) if !(1..=600).contains(seconds.get_ref()) => {
                let what = format!("a peer cannot ring for {} s", seconds.get_ref());
                return Err(source
                    .wrong(seconds, what)
                    .with_help("choose 1 to 600 s; 20 is usual"));
            }
            Some(seconds) => Some(Duration::from_secs(*seconds.get_ref())),
            None => self.no_answer.as_ref().map(|_| RINGS),
        };
        Ok(Forwarding {
            always: read(&self.always)?,
            busy: read(&self.busy)?,
            no_answer: read(&self.no_answer)?,
            rings,
        })
    }
}
