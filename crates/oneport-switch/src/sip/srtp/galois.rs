//! AES in Galois/counter mode (RFC 7714): what encrypts authenticates as well.

use aes::{Aes128, Aes256};
use aes_gcm::aead::{AeadInOut, Tag};
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit};

use super::super::rtp::HEADER_BYTES;
use super::super::sdp::MasterKey;
use super::derive::derive;
use super::{ENCRYPTED, INDEX, REPORT_HEADER, SrtpError, payload_begins};

/// Bytes of a tag (§5).
const TAG: usize = 16;

enum Cipher {
    Short(Box<Aes128Gcm>),
    Long(Box<Aes256Gcm>),
}

/// What is derived of a master key.
pub(super) struct Keys {
    cipher: Cipher,
    salt: [u8; 12],
}

impl Keys {
    /// With keys of 128 bits. There is no key for tags, so its label is left out (§11).
    pub(super) fn derive_128(master: &MasterKey, first_label: u8) -> Self {
        let (key, _) = master.key.split_at(16);
        let by = Aes128::new_from_slice(key).expect("16 bytes");
        let key: [u8; 16] = derive(&by, master, first_label);
        let cipher = Cipher::Short(Box::new(Aes128Gcm::new(&key.into())));
        Self { cipher, salt: derive(&by, master, first_label + 2) }
    }

    /// With keys of 256 bits.
    pub(super) fn derive_256(master: &MasterKey, first_label: u8) -> Self {
        let by = Aes256::new(&master.key.into());
        let key: [u8; 32] = derive(&by, master, first_label);
        let cipher = Cipher::Long(Box::new(Aes256Gcm::new(&key.into())));
        Self { cipher, salt: derive(&by, master, first_label + 2) }
    }

    /// What is used once with the key: two zeros, the source, and the number in 6 bytes (§8.1, §9.1).
    fn nonce(&self, source: u32, index: u64) -> [u8; 12] {
        let mut nonce = self.salt;
        for (byte, source) in nonce[2..6].iter_mut().zip(source.to_be_bytes()) {
            *byte ^= source;
        }
        for (byte, index) in nonce[6..].iter_mut().zip(&index.to_be_bytes()[2..]) {
            *byte ^= index;
        }
        nonce
    }

    fn encrypt(
        &self,
        nonce: [u8; 12],
        clear: &[u8],
        secret: &mut [u8],
    ) -> Result<[u8; TAG], SrtpError> {
        let nonce = nonce.into();
        let tag = match &self.cipher {
            Cipher::Short(cipher) => cipher.encrypt_inout_detached(&nonce, clear, secret.into()),
            Cipher::Long(cipher) => cipher.encrypt_inout_detached(&nonce, clear, secret.into()),
        };
        // Only what is longer than any datagram cannot be encrypted.
        Ok(tag.map_err(|_| SrtpError::Truncated)?.into())
    }

    fn decrypt(
        &self,
        nonce: [u8; 12],
        clear: &[u8],
        secret: &mut [u8],
        tag: &[u8],
    ) -> Result<(), SrtpError> {
        let nonce = nonce.into();
        let tag: &Tag<Aes128Gcm> = tag.try_into().map_err(|_| SrtpError::Truncated)?;
        let secret = secret.into();
        let opened = match &self.cipher {
            Cipher::Short(cipher) => cipher.decrypt_inout_detached(&nonce, clear, secret, tag),
            Cipher::Long(cipher) => cipher.decrypt_inout_detached(&nonce, clear, secret, tag),
        };
        opened.map_err(|_| SrtpError::NotAuthentic)
    }

    pub(super) fn protect(
        &self,
        source: u32,
        index: u64,
        packet: &mut Vec<u8>,
    ) -> Result<(), SrtpError> {
        let header = packet.split_at_mut_checked(HEADER_BYTES);
        let (header, payload) = header.ok_or(SrtpError::Truncated)?;
        let tag = self.encrypt(self.nonce(source, index), header, payload)?;
        packet.extend_from_slice(&tag);
        Ok(())
    }

    pub(super) fn unprotect(
        &self,
        source: u32,
        index: u64,
        packet: &mut [u8],
    ) -> Result<usize, SrtpError> {
        let length = packet.len().checked_sub(TAG).ok_or(SrtpError::Truncated)?;
        let (content, tag) = packet.split_at_mut(length);
        let begin = payload_begins(content).ok_or(SrtpError::Truncated)?;
        let parts = content.split_at_mut_checked(begin);
        let (header, payload) = parts.ok_or(SrtpError::Truncated)?;
        self.decrypt(self.nonce(source, index), header, payload, tag)?;
        Ok(length)
    }

    pub(super) fn protect_report(
        &self,
        source: u32,
        word: u32,
        packet: &mut Vec<u8>,
    ) -> Result<(), SrtpError> {
        let parts = packet.split_at_mut_checked(REPORT_HEADER);
        let (header, rest) = parts.ok_or(SrtpError::Truncated)?;
        let nonce = self.nonce(source, u64::from(word & !ENCRYPTED));
        let mut clear = [0; REPORT_HEADER + INDEX];
        clear[..REPORT_HEADER].copy_from_slice(header);
        clear[REPORT_HEADER..].copy_from_slice(&word.to_be_bytes());
        let tag = self.encrypt(nonce, &clear, rest)?;
        packet.extend_from_slice(&tag);
        packet.extend_from_slice(&word.to_be_bytes());
        Ok(())
    }

    pub(super) fn unprotect_report(
        &self,
        source: u32,
        packet: &mut [u8],
    ) -> Result<(usize, u64), SrtpError> {
        let behind = packet.len().checked_sub(TAG + INDEX);
        let length = behind.filter(|length| *length >= REPORT_HEADER);
        let length = length.ok_or(SrtpError::Truncated)?;
        let word = packet.last_chunk().ok_or(SrtpError::Truncated)?;
        let word = u32::from_be_bytes(*word);
        let index = u64::from(word & !ENCRYPTED);
        let nonce = self.nonce(source, index);
        let (content, behind) = packet.split_at_mut(length);
        // The number stands behind the tag, and belongs to what is authenticated.
        behind.rotate_left(TAG);
        if word & ENCRYPTED == 0 {
            let (clear, tag) = packet.split_at_mut(length + INDEX);
            self.decrypt(nonce, clear, &mut [], tag)?;
            return Ok((length, index));
        }
        let (number, tag) = behind.split_at_mut(INDEX);
        let (header, rest) = content.split_at_mut(REPORT_HEADER);
        let mut clear = [0; REPORT_HEADER + INDEX];
        clear[..REPORT_HEADER].copy_from_slice(header);
        clear[REPORT_HEADER..].copy_from_slice(number);
        self.decrypt(nonce, &clear, rest, tag)?;
        Ok((length, index))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::bytes;
    use super::*;

    /// The salt of the session that RFC 7714 §16 and §17 have, and the keys.
    fn keys() -> [Keys; 2] {
        let salt = bytes("517569642070726f2071756f").try_into().expect("12 bytes");
        let long: [u8; 32] = std::array::from_fn(|place| place as u8);
        let (short, _) = long.split_at(16);
        let short = Aes128Gcm::new_from_slice(short).expect("16 bytes");
        let long = Aes256Gcm::new(&long.into());
        [
            Keys { cipher: Cipher::Short(Box::new(short)), salt },
            Keys { cipher: Cipher::Long(Box::new(long)), salt },
        ]
    }

    #[test]
    fn packets_are_those_of_rfc_7714_16() {
        let plain = bytes(
            "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120
             696e2070 61727465 73207472 6573",
        );
        let sealed = [
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f
             42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3
             b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        ];
        for (keys, sealed) in keys().iter().zip(sealed) {
            let mut packet = plain.clone();
            keys.protect(0x5501_A0B2, 0xF17B, &mut packet).expect("a packet");
            assert_eq!(packet, bytes(sealed));
            let length = keys.unprotect(0x5501_A0B2, 0xF17B, &mut packet).expect("authentic");
            assert_eq!(packet[..length], plain);
        }
    }

    #[test]
    fn reports_are_those_of_rfc_7714_17() {
        let plain = bytes(
            "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef
             deadbeef deadbeef deadbeef deadbeef",
        );
        let sealed = [
            "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1
             730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
            "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1
             110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
        ];
        let [short, long] = keys();
        for (keys, sealed) in [&short, &long].into_iter().zip(sealed) {
            let mut packet = plain.clone();
            keys.protect_report(0x4D61_7273, 0x8000_05D4, &mut packet).expect("a report");
            assert_eq!(packet, bytes(sealed));
            let opened = keys.unprotect_report(0x4D61_7273, &mut packet).expect("authentic");
            assert_eq!((&packet[..opened.0], opened.1), (&plain[..], 0x5D4));
        }
        // One that is authenticated and not encrypted (§17.3).
        let behind = bytes("841dd968 3dd78ec9 2ae58790 125f62b3 000005d4");
        let mut packet = [plain.clone(), behind].concat();
        let opened = short.unprotect_report(0x4D61_7273, &mut packet).expect("authentic");
        assert_eq!((&packet[..opened.0], opened.1), (&plain[..], 0x5D4));
    }
}
