//! Encrypted media (SRTP, RFC 3711), keyed by SDP (RFC 4568) or by a handshake (RFC 5764).
//!
//! `counter`: AES in counter mode with HMAC-SHA1; `galois`: AES-GCM (RFC 7714); `derive`: the keys of both.
//! A packet is encrypted and decrypted where it stands; nothing is allocated for it, and what is kept of
//! senders is bounded. No clock, no socket.

mod counter;
mod derive;
mod galois;

use thiserror::Error;

use super::rtp::HEADER_BYTES;
use super::sdp::{CryptoSuite, MasterKey};

/// Bytes that SRTCP has behind a packet: whether it is encrypted, and its number.
const INDEX: usize = 4;

/// Bytes of a report that are never encrypted: its header and its source.
const REPORT_HEADER: usize = 8;

/// That a report is encrypted, in the word that has its number.
const ENCRYPTED: u32 = 1 << 31;

/// Packets behind the newest that may still come.
const WINDOW: u64 = 64;

/// Sources of which is known what came: one speaks at a time, and the ones before must not be played again.
const SOURCES: usize = 4;

/// A packet that cannot be used.
///
/// ```
/// use oneport_switch::sip::sdp::{CryptoSuite, MasterKey};
/// use oneport_switch::sip::srtp::{SrtpContext, SrtpError};
///
/// let key = MasterKey::from([7; 30]);
/// let mut context = SrtpContext::new(CryptoSuite::AesCm128HmacSha1_80, &key);
/// assert_eq!(context.unprotect(&mut [0x80, 0]), Err(SrtpError::Truncated));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SrtpError {
    /// It ends too early.
    #[error("the packet is cut off")]
    Truncated,
    /// Its tag is not that of its content: another key, or it was changed on its way.
    #[error("the packet is not authentic")]
    NotAuthentic,
    /// It has come before, or is too old to know.
    #[error("the packet has come before")]
    Replayed,
}

/// What is derived of a master key for one of RTP and RTCP (§4.3).
enum Keys {
    Counter(Box<counter::Keys>),
    Galois(galois::Keys),
}

impl Keys {
    /// By the labels that begin with this one; tags of so many bytes, where that may be chosen.
    fn derive(suite: CryptoSuite, master: &MasterKey, first_label: u8, tag: usize) -> Self {
        match suite {
            CryptoSuite::AesCm128HmacSha1_80 | CryptoSuite::AesCm128HmacSha1_32 => {
                Self::Counter(Box::new(counter::Keys::derive(master, first_label, tag)))
            }
            CryptoSuite::AeadAes128Gcm => {
                Self::Galois(galois::Keys::derive_128(master, first_label))
            }
            CryptoSuite::AeadAes256Gcm => {
                Self::Galois(galois::Keys::derive_256(master, first_label))
            }
        }
    }

    /// Encrypts the packet with this number of a source, and puts its tag behind it.
    fn protect(&self, source: u32, index: u64, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        match self {
            Self::Counter(keys) => keys.protect(source, index, packet),
            Self::Galois(keys) => keys.protect(source, index, packet)?,
        }
        Ok(())
    }

    /// Decrypts a packet, and gives its length.
    fn unprotect(&self, source: u32, index: u64, packet: &mut [u8]) -> Result<usize, SrtpError> {
        match self {
            Self::Counter(keys) => keys.unprotect(source, index, packet),
            Self::Galois(keys) => keys.unprotect(source, index, packet),
        }
    }

    /// Encrypts a report; `word`: its number, and that it is encrypted.
    fn protect_report(
        &self,
        source: u32,
        word: u32,
        packet: &mut Vec<u8>,
    ) -> Result<(), SrtpError> {
        match self {
            Self::Counter(keys) => keys.protect_report(source, word, packet),
            Self::Galois(keys) => keys.protect_report(source, word, packet)?,
        }
        Ok(())
    }

    /// Decrypts a report, and gives its length and its number.
    fn unprotect_report(&self, source: u32, packet: &mut [u8]) -> Result<(usize, u64), SrtpError> {
        match self {
            Self::Counter(keys) => keys.unprotect_report(source, packet),
            Self::Galois(keys) => keys.unprotect_report(source, packet),
        }
    }
}

/// The packets of a source that have come, or gone.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    source: u32,
    /// The highest number, made whole; the first turn is 0.
    highest: u64,
    /// Bit n: the one n before it was seen.
    seen: u64,
}

impl Seen {
    /// The whole number of a packet (§3.3.1).
    fn whole(&self, number: u16) -> u64 {
        if self.seen == 0 {
            return number.into();
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the number that is sent is its low 16 bits"
        )]
        let ahead = number.wrapping_sub(self.highest as u16).cast_signed();
        // Before the first turn there is nothing.
        self.highest.checked_add_signed(ahead.into()).unwrap_or_else(|| number.into())
    }

    fn has(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            _ if self.seen == 0 => false,
            None => false,
            Some(behind) => behind >= WINDOW || self.seen & 1 << behind != 0,
        }
    }

    fn note(&mut self, index: u64) {
        match index.checked_sub(self.highest) {
            _ if self.seen == 0 => (self.highest, self.seen) = (index, 1),
            Some(ahead) => {
                let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
                (self.highest, self.seen) = (index, self.seen.checked_shl(ahead).unwrap_or(0) | 1);
            }
            None => {
                self.seen |= 1_u64
                    .checked_shl(u32::try_from(self.highest - index).unwrap_or(64))
                    .unwrap_or(0)
            }
        }
    }
}

/// One direction of a stream: what is sent, or what comes.
///
/// ```
/// use oneport_switch::sip::rtp::Header;
/// use oneport_switch::sip::sdp::{CryptoSuite, MasterKey};
/// use oneport_switch::sip::srtp::{SrtpContext, SrtpError};
///
/// let context = || SrtpContext::new(CryptoSuite::AesCm128HmacSha1_80, &MasterKey::from([7; 30]));
/// let (mut sends, mut hears) = (context(), context());
/// let header = Header { marker: false, payload_type: 0, sequence: 1, timestamp: 160, source: 5 };
/// let plain = [&header.write()[..], &[0xFF; 160]].concat();
/// let mut packet = plain.clone();
/// sends.protect(&mut packet)?;
/// let mut copy = packet.clone();
/// let length = hears.unprotect(&mut packet)?;
/// assert_eq!(packet[..length], plain);
/// assert_eq!(hears.unprotect(&mut copy), Err(SrtpError::Replayed));
/// # Ok::<(), SrtpError>(())
/// ```
pub struct SrtpContext {
    suite: CryptoSuite,
    media: Keys,
    reports: Keys,
    /// The source that was seen last is first.
    sources: [Seen; SOURCES],
    /// The number of the next report that is sent, or the highest that came.
    report: Seen,
    next_report: u32,
}

impl std::fmt::Debug for SrtpContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpContext").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl SrtpContext {
    /// One with this key, which no other stream may have.
    #[must_use]
    pub fn new(suite: CryptoSuite, key: &MasterKey) -> Self {
        let tag = if suite == CryptoSuite::AesCm128HmacSha1_32 { 4 } else { counter::LONGEST_TAG };
        Self {
            suite,
            media: Keys::derive(suite, key, 0, tag),
            // Tags of SRTCP are never short (RFC 4568 §6.2.2).
            reports: Keys::derive(suite, key, 3, counter::LONGEST_TAG),
            sources: [Seen::default(); SOURCES],
            report: Seen::default(),
            next_report: 1,
        }
    }

    /// What is known of a source, and its place.
    fn source(&self, source: u32) -> (Option<usize>, Seen) {
        let known = self.sources.iter().position(|one| one.seen != 0 && one.source == source);
        let seen = known.and_then(|place| self.sources.get(place)).copied();
        (known, seen.unwrap_or_else(|| Seen { source, ..Seen::default() }))
    }

    fn remember(&mut self, place: Option<usize>, seen: Seen) {
        let place = place.unwrap_or(SOURCES - 1);
        if let Some(known) = self.sources.get_mut(..=place) {
            known.rotate_right(1);
        }
        if let Some(first) = self.sources.first_mut() {
            *first = seen;
        }
    }

    /// Encrypts a packet of RTP that begins with a header of 12 bytes, as all of ours do.
    ///
    /// # Errors
    /// It has no header.
    pub fn protect(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        let (number, source) = number_and_source(packet)?;
        let (place, mut seen) = self.source(source);
        let index = seen.whole(number);
        self.media.protect(source, index, packet)?;
        seen.note(index);
        self.remember(place, seen);
        Ok(())
    }

    /// Decrypts a packet of RTP, and gives its length.
    ///
    /// # Errors
    /// It is not authentic, or has come before.
    pub fn unprotect(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let (number, source) = number_and_source(packet)?;
        let (place, mut seen) = self.source(source);
        let index = seen.whole(number);
        if seen.has(index) {
            return Err(SrtpError::Replayed);
        }
        let length = self.media.unprotect(source, index, packet)?;
        seen.note(index);
        self.remember(place, seen);
        Ok(length)
    }

    /// Encrypts a packet of RTCP.
    ///
    /// # Errors
    /// It has no header.
    pub fn protect_report(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        let source = report_source(packet)?;
        let index = self.next_report;
        self.next_report = (index + 1) & !ENCRYPTED;
        self.reports.protect_report(source, index | ENCRYPTED, packet)
    }

    /// Decrypts a packet of RTCP, and gives its length.
    ///
    /// # Errors
    /// It is not authentic, or has come before.
    pub fn unprotect_report(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let source = report_source(packet)?;
        let (length, index) = self.reports.unprotect_report(source, packet)?;
        if self.report.has(index) {
            return Err(SrtpError::Replayed);
        }
        self.report.note(index);
        Ok(length)
    }
}

fn number_and_source(packet: &[u8]) -> Result<(u16, u32), SrtpError> {
    let header: &[u8; HEADER_BYTES] = packet.first_chunk().ok_or(SrtpError::Truncated)?;
    let [_, _, n0, n1, _, _, _, _, s0, s1, s2, s3] = *header;
    Ok((u16::from_be_bytes([n0, n1]), u32::from_be_bytes([s0, s1, s2, s3])))
}

fn report_source(packet: &[u8]) -> Result<u32, SrtpError> {
    let [_, _, _, _, s0, s1, s2, s3] = *packet.first_chunk().ok_or(SrtpError::Truncated)?;
    Ok(u32::from_be_bytes([s0, s1, s2, s3]))
}

/// Where the part of a packet begins that is encrypted: behind sources and extension.
fn payload_begins(packet: &[u8]) -> Option<usize> {
    let first = packet.first()?;
    let begin = HEADER_BYTES + usize::from(first & 0x0F) * 4;
    if first & 0x10 == 0 {
        return Some(begin);
    }
    let [_, _, high, low] = *packet.get(begin..)?.first_chunk()?;
    Some(begin + 4 + 4 * usize::from(u16::from_be_bytes([high, low])))
}

#[cfg(test)]
mod tests;
