//! AES in counter mode with HMAC-SHA1 (RFC 3711).

use aes::Aes128;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use super::super::rtp::HEADER_BYTES;
use super::super::sdp::MasterKey;
use super::derive::{apply, derive};
use super::{ENCRYPTED, INDEX, REPORT_HEADER, SrtpError, payload_begins};

/// The longest tag: what HMAC-SHA1 gives is cut.
pub(super) const LONGEST_TAG: usize = 10;

/// What is derived of a master key.
pub(super) struct Keys {
    cipher: Aes128,
    mac: Hmac<Sha1>,
    salt: [u8; 14],
    /// Bytes of a tag.
    tag: usize,
}

impl Keys {
    pub(super) fn derive(master: &MasterKey, first_label: u8, tag: usize) -> Self {
        let (key, _) = master.key.split_at(16);
        let by = Aes128::new_from_slice(key).expect("16 bytes");
        let key: [u8; 16] = derive(&by, master, first_label);
        let mac: [u8; 20] = derive(&by, master, first_label + 1);
        let mac = <Hmac<Sha1> as KeyInit>::new_from_slice(&mac);
        Self {
            cipher: Aes128::new(&key.into()),
            mac: mac.expect("HMAC takes a key of any length"),
            salt: derive(&by, master, first_label + 2),
            tag,
        }
    }

    /// Encrypts, or decrypts, what has this number of a source.
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

    /// Whether a tag is that of a packet.
    fn is_authentic(&self, packet: &[u8], behind: &[u8], tag: &[u8]) -> Result<(), SrtpError> {
        let computed = self.tag(packet, behind);
        let (computed, _) = computed.split_at(self.tag);
        bool::from(computed.ct_eq(tag)).then_some(()).ok_or(SrtpError::NotAuthentic)
    }

    pub(super) fn protect(&self, source: u32, index: u64, packet: &mut Vec<u8>) {
        if let Some(payload) = packet.get_mut(HEADER_BYTES..) {
            self.apply(source, index, payload);
        }
        let tag = self.tag(packet, &turns(index));
        packet.extend_from_slice(&tag[..self.tag]);
    }

    pub(super) fn unprotect(
        &self,
        source: u32,
        index: u64,
        packet: &mut [u8],
    ) -> Result<usize, SrtpError> {
        let length = packet.len().checked_sub(self.tag).ok_or(SrtpError::Truncated)?;
        let (content, tag) = packet.split_at_mut(length);
        self.is_authentic(content, &turns(index), tag)?;
        let payload = payload_begins(content).and_then(|begin| content.get_mut(begin..));
        self.apply(source, index, payload.ok_or(SrtpError::Truncated)?);
        Ok(length)
    }

    pub(super) fn protect_report(&self, source: u32, word: u32, packet: &mut Vec<u8>) {
        if let Some(rest) = packet.get_mut(REPORT_HEADER..) {
            self.apply(source, u64::from(word & !ENCRYPTED), rest);
        }
        packet.extend_from_slice(&word.to_be_bytes());
        let tag = self.tag(packet, &[]);
        packet.extend_from_slice(&tag[..self.tag]);
    }

    pub(super) fn unprotect_report(
        &self,
        source: u32,
        packet: &mut [u8],
    ) -> Result<(usize, u64), SrtpError> {
        let authentic = packet.len().checked_sub(self.tag).ok_or(SrtpError::Truncated)?;
        let length = authentic.checked_sub(INDEX).filter(|length| *length >= REPORT_HEADER);
        let length = length.ok_or(SrtpError::Truncated)?;
        let (content, tag) = packet.split_at_mut(authentic);
        self.is_authentic(content, &[], tag)?;
        let word = content.get(length..).and_then(|word| word.first_chunk());
        let word = u32::from_be_bytes(*word.ok_or(SrtpError::Truncated)?);
        let index = u64::from(word & !ENCRYPTED);
        if word & ENCRYPTED != 0
            && let Some(rest) = content.get_mut(REPORT_HEADER..length)
        {
            self.apply(source, index, rest);
        }
        Ok((length, index))
    }
}

/// How often the number of a packet has turned, as the tag has it behind the packet.
fn turns(index: u64) -> [u8; 4] {
    let [_, _, a, b, c, d, ..] = index.to_be_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::super::super::rtp::Packet;
    use super::super::super::sdp::CryptoSuite;
    use super::super::SrtpContext;
    use super::super::tests::{bytes, key, packet};
    use super::*;

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
        let keys = Keys::derive(&key(), 0, LONGEST_TAG);
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

    #[test]
    fn sources_and_an_extension_stay_in_the_clear() {
        let suite = CryptoSuite::AesCm128HmacSha1_80;
        let mut plain = packet(1, 5);
        plain.truncate(12);
        plain[0] |= 0x11;
        plain.extend([1, 2, 3, 4, 0xBE, 0xDE, 0, 1, 5, 6, 7, 8]);
        plain.extend(b"voice");
        // Encrypted by hand: ours have neither.
        let keys = Keys::derive(&key(), 0, LONGEST_TAG);
        let mut sent = plain.clone();
        keys.apply(5, 1, &mut sent[24..]);
        let tag = keys.tag(&sent, &[0; 4]);
        sent.extend(&tag[..10]);
        let length = SrtpContext::new(suite, &key()).unprotect(&mut sent).expect("authentic");
        assert_eq!(Packet::read(&sent[..length]).map(|packet| packet.payload), Ok(&b"voice"[..]));
    }
}
