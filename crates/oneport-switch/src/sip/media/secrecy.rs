//! How the packets of a stream are encrypted.

use crate::sip::sdp::{CryptoSuite, MasterKey};
use crate::sip::srtp::{SrtpContext, SrtpError};

/// Whether packets are encrypted, and by what.
#[derive(Debug, Default)]
pub(super) enum Secrecy {
    /// They are not.
    #[default]
    Plain,
    /// They have to be, and a handshake has yet to bring the keys: nothing passes until then.
    Awaited,
    /// They are.
    Keyed(Crypto),
}

/// A packet that is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unopened {
    /// It comes twice on many a network.
    Twice,
    /// It is none of theirs, or nobody can tell yet.
    NotTheirs,
}

impl Secrecy {
    /// With these keys. One that stays goes on where it was, since no number may be used twice with it.
    pub(super) fn keyed(self, suite: CryptoSuite, ours: &MasterKey, theirs: &MasterKey) -> Self {
        let before = match self {
            Self::Keyed(crypto) if crypto.suite == suite => Some((crypto.ours, crypto.theirs)),
            _ => None,
        };
        let (before_ours, before_theirs) = before.unzip();
        let context = |before: Option<Keyed>, key: &MasterKey| {
            let kept = before.filter(|before| before.key == *key);
            kept.unwrap_or_else(|| Keyed {
                key: key.clone(),
                context: Box::new(SrtpContext::new(suite, key)),
            })
        };
        let (ours, theirs) = (context(before_ours, ours), context(before_theirs, theirs));
        Self::Keyed(Crypto { suite, ours, theirs })
    }

    /// Whether keys are still to come.
    pub(super) const fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited)
    }

    /// Decrypts a packet.
    pub(super) fn open<'a>(&mut self, packet: &'a mut [u8]) -> Result<&'a [u8], Unopened> {
        self.open_by(packet, SrtpContext::unprotect)
    }

    /// Decrypts a report.
    pub(super) fn open_report<'a>(&mut self, packet: &'a mut [u8]) -> Result<&'a [u8], Unopened> {
        self.open_by(packet, SrtpContext::unprotect_report)
    }

    fn open_by<'a>(
        &mut self,
        packet: &'a mut [u8],
        open: fn(&mut SrtpContext, &mut [u8]) -> Result<usize, SrtpError>,
    ) -> Result<&'a [u8], Unopened> {
        let length = match self {
            Self::Plain => packet.len(),
            Self::Awaited => return Err(Unopened::NotTheirs),
            Self::Keyed(crypto) => match open(&mut crypto.theirs.context, packet) {
                Ok(length) => length,
                Err(SrtpError::Replayed) => return Err(Unopened::Twice),
                Err(_) => return Err(Unopened::NotTheirs),
            },
        };
        packet.get(..length).ok_or(Unopened::NotTheirs)
    }

    /// Encrypts a packet; `false`: it must not be sent.
    pub(super) fn seal(&mut self, packet: &mut Vec<u8>) -> bool {
        self.seal_by(packet, SrtpContext::protect)
    }

    /// Encrypts a report; `false`: it must not be sent.
    pub(super) fn seal_report(&mut self, packet: &mut Vec<u8>) -> bool {
        self.seal_by(packet, SrtpContext::protect_report)
    }

    fn seal_by(
        &mut self,
        packet: &mut Vec<u8>,
        seal: fn(&mut SrtpContext, &mut Vec<u8>) -> Result<(), SrtpError>,
    ) -> bool {
        match self {
            Self::Plain => true,
            Self::Awaited => false,
            Self::Keyed(crypto) => seal(&mut crypto.ours.context, packet).is_ok(),
        }
    }
}

/// Keys of both ways.
#[derive(Debug)]
pub(super) struct Crypto {
    suite: CryptoSuite,
    ours: Keyed,
    theirs: Keyed,
}

/// A key and what was done with it.
#[derive(Debug)]
struct Keyed {
    key: MasterKey,
    context: Box<SrtpContext>,
}
