//! Keys of a session, made of a master key (RFC 3711 §4.3; RFC 6188 §3 for 256 bits).

use aes::cipher::BlockCipherEncrypt;

use super::super::sdp::MasterKey;

/// Key stream from a counter that begins with this block (§4.1.1).
pub(super) fn apply<Cipher>(cipher: &Cipher, mut block: [u8; 16], bytes: &mut [u8])
where
    Cipher: BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>,
{
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

/// The bytes of this label; the cipher has the master key.
pub(super) fn derive<Cipher, const BYTES: usize>(
    cipher: &Cipher,
    master: &MasterKey,
    label: u8,
) -> [u8; BYTES]
where
    Cipher: BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>,
{
    let mut block = [0; 16];
    // A salt of 12 bytes has zeros behind it (RFC 7714 §11).
    block[..14].copy_from_slice(&master.salt);
    block[7] ^= label;
    let mut derived = [0; BYTES];
    apply(cipher, block, &mut derived);
    derived
}

#[cfg(test)]
mod tests {
    use aes::Aes256;
    use aes::cipher::KeyInit;

    use super::super::tests::bytes;
    use super::*;

    #[test]
    fn keys_of_256_bits_are_derived_as_in_rfc_6188_7() {
        let key = bytes("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6");
        let master = MasterKey::new(&key, &bytes("3b04803de51ee7c96423ab5b78d2"));
        let by = Aes256::new_from_slice(&key).expect("32 bytes");
        assert_eq!(
            derive::<_, 32>(&by, &master, 0)[..],
            bytes("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4")
        );
        assert_eq!(derive::<_, 14>(&by, &master, 2)[..], bytes("fa31791685ca444a9e07c6c64e93"));
    }
}
