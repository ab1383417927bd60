//! Encrypted media (SRTP, RFC 3711): AES in counter mode with HMAC-SHA1, keyed by SDP (RFC 4568).
//!
//! A packet is encrypted and decrypted where it stands; nothing is allocated for it, and what is kept of
//! senders is bounded. No clock, no socket.

use aes::Aes128;
use aes::cipher::BlockCipherEncrypt;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::rtp::HEADER_BYTES;
use super::sdp::{CryptoSuite, MasterKey};

/// The longest tag.
pub const LONGEST_TAG: usize = 10;

/// Bytes that SRTCP has behind a packet before the tag: whether it is encrypted, and its number.
const INDEX: usize = 4;

/// Packets behind the newest that may still come.
const WINDOW: u64 = 64;

/// Sources of which is known what came: one speaks at a time, and the ones before must not be played again.
const SOURCES: usize = 4;

/// A packet that cannot be used.
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
#[derive(Clone)]
struct Keys {
    cipher: Aes128,
    mac: Hmac<Sha1>,
    salt: [u8; 14],
}

/// Key stream from a counter that begins with this block (§4.1.1).
fn apply(cipher: &Aes128, mut block: [u8; 16], bytes: &mut [u8]) {
    for (count, chunk) in (0_u16..).zip(bytes.chunks_mut(16)) {
        let [.., high, low] = &mut block;
        [*high, *low] = count.to_be_bytes();
        let mut stream = block.into();
        cipher.encrypt_block(&mut stream);
        for (byte, key) in chunk.iter_mut().zip(stream) {
            *byte ^= key;
        }
    }
}

impl Keys {
    fn derive(master: &MasterKey, first_label: u8) -> Self {
        let (mut key, mut salt) = ([0; 16], [0; 14]);
        key.copy_from_slice(&master.0[..16]);
        salt.copy_from_slice(&master.0[16..]);
        let master = Aes128::new(&key.into());
        let derive = |label: u8, out: &mut [u8]| {
            let mut block = [0; 16];
            block[..14].copy_from_slice(&salt);
            block[7] ^= label;
            apply(&master, block, out);
        };
        let (mut key, mut mac, mut salt) = ([0; 16], [0; 20], [0; 14]);
        derive(first_label, &mut key);
        derive(first_label + 1, &mut mac);
        derive(first_label + 2, &mut salt);
        let mac = <Hmac<Sha1> as KeyInit>::new_from_slice(&mac);
        Self {
            cipher: Aes128::new(&key.into()),
            mac: mac.expect("HMAC takes a key of any length"),
            salt,
        }
    }

    /// Encrypts, or decrypts, the packet with this number of a source.
    fn apply(&self, source: u32, index: u64, bytes: &mut [u8]) {
        let mut block = [0; 16];
        block[..14].copy_from_slice(&self.salt);
        for (byte, source) in block[4..8].iter_mut().zip(source.to_be_bytes()) {
            *byte ^= source;
        }
        for (byte, index) in block[8..14].iter_mut().zip(&index.to_be_bytes()[2..]) {
            *byte ^= index;
        }
        apply(&self.cipher, block, bytes);
    }

    fn tag(&self, packet: &[u8], behind: &[u8]) -> [u8; 20] {
        let mut mac = self.mac.clone();
        mac.update(packet);
        mac.update(behind);
        mac.finalize().into_bytes().into()
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
        Self {
            suite,
            media: Keys::derive(key, 0),
            reports: Keys::derive(key, 3),
            sources: [Seen::default(); SOURCES],
            report: Seen::default(),
            next_report: 1,
        }
    }

    /// Bytes of a tag of RTP.
    const fn tag_bytes(&self) -> usize {
        match self.suite {
            CryptoSuite::AesCm128HmacSha1_80 => 10,
            CryptoSuite::AesCm128HmacSha1_32 => 4,
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
        if let Some(payload) = packet.get_mut(HEADER_BYTES..) {
            self.media.apply(source, index, payload);
        }
        let tag = self.media.tag(packet, &turns(index));
        packet.extend_from_slice(&tag[..self.tag_bytes()]);
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
        let length = packet.len().checked_sub(self.tag_bytes()).ok_or(SrtpError::Truncated)?;
        let (place, mut seen) = self.source(source);
        let index = seen.whole(number);
        if seen.has(index) {
            return Err(SrtpError::Replayed);
        }
        let (content, tag) = packet.split_at_mut(length);
        let computed = self.media.tag(content, &turns(index));
        if !bool::from(computed[..tag.len()].ct_eq(tag)) {
            return Err(SrtpError::NotAuthentic);
        }
        let payload = payload_begins(content).and_then(|begin| content.get_mut(begin..));
        self.media.apply(source, index, payload.ok_or(SrtpError::Truncated)?);
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
        self.next_report = (index + 1) & 0x7FFF_FFFF;
        if let Some(rest) = packet.get_mut(8..) {
            self.reports.apply(source, index.into(), rest);
        }
        packet.extend_from_slice(&(index | 0x8000_0000).to_be_bytes());
        let tag = self.reports.tag(packet, &[]);
        packet.extend_from_slice(&tag[..LONGEST_TAG]);
        Ok(())
    }

    /// Decrypts a packet of RTCP, and gives its length.
    ///
    /// # Errors
    /// It is not authentic, or has come before.
    pub fn unprotect_report(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let source = report_source(packet)?;
        let authentic = packet.len().checked_sub(LONGEST_TAG).ok_or(SrtpError::Truncated)?;
        let length = authentic.checked_sub(INDEX).filter(|length| *length >= 8);
        let length = length.ok_or(SrtpError::Truncated)?;
        let (content, tag) = packet.split_at_mut(authentic);
        let computed = self.reports.tag(content, &[]);
        if !bool::from(computed[..LONGEST_TAG].ct_eq(tag)) {
            return Err(SrtpError::NotAuthentic);
        }
        let word = content.get(length..).and_then(|word| word.first_chunk());
        let word = u32::from_be_bytes(*word.ok_or(SrtpError::Truncated)?);
        let index = u64::from(word & 0x7FFF_FFFF);
        if self.report.has(index) {
            return Err(SrtpError::Replayed);
        }
        self.report.note(index);
        if word & 0x8000_0000 != 0
            && let Some(rest) = content.get_mut(8..length)
        {
            self.reports.apply(source, index, rest);
        }
        Ok(length)
    }
}

/// How often the number of a packet has turned, as the tag has it behind the packet.
fn turns(index: u64) -> [u8; 4] {
    let [_, _, a, b, c, d, ..] = index.to_be_bytes();
    [a, b, c, d]
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
mod tests {
    use proptest::prelude::*;

    use super::super::rtp::{Header, Packet, Report, read_compound, write_report};
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let value = |digit: u8| (digit as char).to_digit(16).expect("a digit") as u8;
        digits.chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
    }

    fn master(key: &str, salt: &str) -> MasterKey {
        let all = [bytes(key), bytes(salt)].concat();
        MasterKey(all.try_into().expect("30 bytes"))
    }

    #[test]
    fn key_stream_is_that_of_rfc_3711_b_2() {
        let cipher =
            Aes128::new_from_slice(&bytes("2B7E151628AED2A6ABF7158809CF4F3C")).expect("16 bytes");
        let mut block = [0; 16];
        block.copy_from_slice(&bytes("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000"));
        let mut stream = vec![0; 0xFF02 * 16];
        apply(&cipher, block, &mut stream);
        assert_eq!(
            stream[..48],
            bytes(
                "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0"
            )
        );
        assert_eq!(
            stream[0xFEFF * 16..],
            bytes(
                "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44"
            )
        );
    }

    #[test]
    fn keys_are_derived_as_in_rfc_3711_b_3() {
        let master = master("E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6");
        let keys = Keys::derive(&master, 0);
        assert_eq!(keys.salt[..], bytes("30CBBC08863D8C85D49DB34A9AE1"));
        // The cipher's key by what it makes of a block, the other by a tag.
        let expected =
            Aes128::new_from_slice(&bytes("C61E7A93744F39EE10734AFE3FF7A087")).expect("16 bytes");
        let (mut one, mut other) = ([7; 16], [7; 16]);
        apply(&keys.cipher, [9; 16], &mut one);
        apply(&expected, [9; 16], &mut other);
        assert_eq!(one, other);
        // B.3 has 94 bytes of it; HMAC-SHA1 takes the first 20.
        let auth = bytes("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4");
        let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(&auth).expect("any length");
        mac.update(b"tagged");
        assert_eq!(keys.tag(b"tag", b"ged")[..], mac.finalize().into_bytes()[..]);
    }

    fn key() -> MasterKey {
        master("E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6")
    }

    fn packet(sequence: u16, source: u32) -> Vec<u8> {
        let header = Header { sequence, source, payload_type: 0, timestamp: 7, marker: false };
        [&header.write()[..], b"a frame of voice"].concat()
    }

    #[test]
    fn a_packet_of_another_implementation_is_read_and_made() {
        // libsrtp's own test of AES_CM_128_HMAC_SHA1_80 (srtp_validate).
        let plain = bytes("800f1234decafbadcafebabe abababababababababababababababab");
        let cipher =
            bytes("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb");
        let mut sent = plain.clone();
        SrtpContext::new(CryptoSuite::AesCm128HmacSha1_80, &key())
            .protect(&mut sent)
            .expect("a packet");
        assert_eq!(sent, cipher);
        let mut context = SrtpContext::new(CryptoSuite::AesCm128HmacSha1_80, &key());
        let length = context.unprotect(&mut sent).expect("authentic");
        assert_eq!(sent[..length], plain);
    }

    #[test]
    fn packets_are_read_over_turns_loss_and_disorder_and_each_once() {
        for suite in [CryptoSuite::AesCm128HmacSha1_80, CryptoSuite::AesCm128HmacSha1_32] {
            let (mut sender, mut receiver) =
                (SrtpContext::new(suite, &key()), SrtpContext::new(suite, &key()));
            let mut sent: Vec<Vec<u8>> = (0..200_000_u32)
                .step_by(997)
                .map(|n| {
                    let mut bytes = packet((n % 65_536) as u16, 5);
                    sender.protect(&mut bytes).expect("a packet");
                    bytes
                })
                .collect();
            sent.swap(70, 71);
            for (n, bytes) in sent.iter().enumerate() {
                // The later one of the two pushes the other out of the window: 997 apart.
                let expected = if n == 71 { Err(SrtpError::Replayed) } else { Ok(28) };
                assert_eq!(receiver.unprotect(&mut bytes.clone()), expected, "{n}");
                assert_eq!(receiver.unprotect(&mut bytes.clone()), Err(SrtpError::Replayed));
            }
        }
    }

    #[test]
    fn what_was_changed_or_has_another_key_is_not_authentic() {
        let suite = CryptoSuite::AesCm128HmacSha1_80;
        let mut sent = packet(9, 5);
        SrtpContext::new(suite, &key()).protect(&mut sent).expect("a packet");
        for place in 0..sent.len() {
            let mut changed = sent.clone();
            changed[place] ^= 4;
            let mut receiver = SrtpContext::new(suite, &key());
            assert_eq!(receiver.unprotect(&mut changed), Err(SrtpError::NotAuthentic), "{place}");
            assert_eq!(receiver.unprotect(&mut sent.clone()), Ok(28), "it has changed nothing");
        }
        let mut other = key();
        other.0[0] ^= 1;
        let error = SrtpContext::new(suite, &other).unprotect(&mut sent.clone());
        assert_eq!(error, Err(SrtpError::NotAuthentic));
        for length in 0..22 {
            let cut = SrtpContext::new(suite, &key()).unprotect(&mut sent[..length].to_vec());
            assert!(cut.is_err(), "{length}");
        }
    }

    #[test]
    fn a_source_that_spoke_before_another_cannot_be_played_again() {
        let suite = CryptoSuite::AesCm128HmacSha1_80;
        let (mut sender, mut receiver) =
            (SrtpContext::new(suite, &key()), SrtpContext::new(suite, &key()));
        let mut all = Vec::new();
        for source in [1, 2, 3, 1] {
            let mut bytes = packet(100 + all.len() as u16, source);
            sender.protect(&mut bytes).expect("a packet");
            assert_eq!(receiver.unprotect(&mut bytes.clone()), Ok(28));
            all.push(bytes);
        }
        for mut bytes in all {
            assert_eq!(receiver.unprotect(&mut bytes), Err(SrtpError::Replayed));
        }
    }

    #[test]
    fn sources_and_an_extension_stay_in_the_clear() {
        let suite = CryptoSuite::AesCm128HmacSha1_80;
        let mut plain = packet(1, 5);
        plain.truncate(12);
        plain[0] |= 0x11;
        plain.extend([1, 2, 3, 4, 0xBE, 0xDE, 0, 1, 5, 6, 7, 8]);
        plain.extend(b"voice");
        // Encrypted by hand: ours have neither.
        let keys = Keys::derive(&key(), 0);
        let mut sent = plain.clone();
        keys.apply(5, 1, &mut sent[24..]);
        let tag = keys.tag(&sent, &[0; 4]);
        sent.extend(&tag[..10]);
        let length = SrtpContext::new(suite, &key()).unprotect(&mut sent).expect("authentic");
        assert_eq!(Packet::read(&sent[..length]).map(|packet| packet.payload), Ok(&b"voice"[..]));
    }

    #[test]
    fn reports_are_encrypted_read_and_never_read_twice() {
        let suite = CryptoSuite::AesCm128HmacSha1_32;
        let (mut sender, mut receiver) =
            (SrtpContext::new(suite, &key()), SrtpContext::new(suite, &key()));
        for _ in 0..3 {
            let mut bytes = Vec::new();
            write_report(&Report { source: 4, name: "somebody", ..Report::default() }, &mut bytes);
            let plain = bytes.clone();
            sender.protect_report(&mut bytes).expect("a report");
            assert_eq!(bytes.len(), plain.len() + 14);
            assert_ne!(bytes[8..plain.len()], plain[8..]);
            let again = bytes.clone();
            let length = receiver.unprotect_report(&mut bytes).expect("authentic");
            assert_eq!(bytes[..length], plain);
            assert!(read_compound(&bytes[..length], 1).is_some());
            assert_eq!(receiver.unprotect_report(&mut again.clone()), Err(SrtpError::Replayed));
            let mut changed = again;
            changed[12] ^= 1;
            assert_eq!(receiver.unprotect_report(&mut changed), Err(SrtpError::NotAuthentic));
        }
        assert_eq!(receiver.unprotect_report(&mut [0; 21]), Err(SrtpError::Truncated));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(mut bytes: Vec<u8>) {
            let mut context = SrtpContext::new(CryptoSuite::AesCm128HmacSha1_80, &key());
            prop_assert!(context.unprotect(&mut bytes).is_err());
            prop_assert!(context.unprotect_report(&mut bytes).is_err());
        }
    }
}
