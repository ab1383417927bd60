use proptest::prelude::*;

use super::super::rtp::{Header, Report, read_compound, write_report};
use super::*;

pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |digit: u8| (digit as char).to_digit(16).expect("a digit") as u8;
    digits.chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}

fn master(key: &str, salt: &str) -> MasterKey {
    MasterKey::new(&bytes(key), &bytes(salt))
}

pub(super) fn key() -> MasterKey {
    master("E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6")
}

pub(super) fn packet(sequence: u16, source: u32) -> Vec<u8> {
    let header = Header { sequence, source, payload_type: 0, timestamp: 7, marker: false };
    [&header.write()[..], b"a frame of voice"].concat()
}

const ALL: [CryptoSuite; 4] = [
    CryptoSuite::AesCm128HmacSha1_80,
    CryptoSuite::AesCm128HmacSha1_32,
    CryptoSuite::AeadAes128Gcm,
    CryptoSuite::AeadAes256Gcm,
];

#[test]
fn a_packet_of_another_implementation_is_read_and_made() {
    // libsrtp's own tests (srtp_validate, srtp_validate_gcm).
    let galois = master("000102030405060708090a0b0c0d0e0f", "a0a1a2a3a4a5a6a7a8a9aaab");
    let plain = bytes("800f1234decafbadcafebabe abababababababababababababababab");
    for (suite, key, sealed) in [
        (
            CryptoSuite::AesCm128HmacSha1_80,
            key(),
            "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb",
        ),
        (
            CryptoSuite::AeadAes128Gcm,
            galois,
            "800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392",
        ),
    ] {
        let mut sent = plain.clone();
        SrtpContext::new(suite, &key).protect(&mut sent).expect("a packet");
        assert_eq!(sent, bytes(sealed), "{suite:?}");
        let mut context = SrtpContext::new(suite, &key);
        let length = context.unprotect(&mut sent).expect("authentic");
        assert_eq!(sent[..length], plain);
    }
}

#[test]
fn packets_are_read_over_turns_loss_and_disorder_and_each_once() {
    for suite in ALL {
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
    for suite in ALL {
        let mut sent = packet(9, 5);
        SrtpContext::new(suite, &key()).protect(&mut sent).expect("a packet");
        for place in 0..sent.len() {
            let mut changed = sent.clone();
            changed[place] ^= 4;
            let mut receiver = SrtpContext::new(suite, &key());
            let error = receiver.unprotect(&mut changed);
            // One that claims to have more sources than bytes has nothing that could be opened.
            assert!(
                matches!(error, Err(SrtpError::NotAuthentic | SrtpError::Truncated)),
                "{suite:?} {place}"
            );
            assert_eq!(receiver.unprotect(&mut sent.clone()), Ok(28), "it has changed nothing");
        }
        let mut other = key();
        other.key[0] ^= 1;
        let error = SrtpContext::new(suite, &other).unprotect(&mut sent.clone());
        assert_eq!(error, Err(SrtpError::NotAuthentic));
        for length in 0..sent.len() {
            let cut = SrtpContext::new(suite, &key()).unprotect(&mut sent[..length].to_vec());
            assert!(cut.is_err(), "{suite:?} {length}");
        }
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
fn reports_are_encrypted_read_and_never_read_twice() {
    for (suite, behind) in ALL.into_iter().zip([14, 14, 20, 20]) {
        let (mut sender, mut receiver) =
            (SrtpContext::new(suite, &key()), SrtpContext::new(suite, &key()));
        for _ in 0..3 {
            let mut bytes = Vec::new();
            write_report(&Report { source: 4, name: "somebody", ..Report::default() }, &mut bytes);
            let plain = bytes.clone();
            sender.protect_report(&mut bytes).expect("a report");
            assert_eq!(bytes.len(), plain.len() + behind);
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
}

proptest! {
    #[test]
    fn any_bytes_are_refused(mut bytes: Vec<u8>) {
        for suite in ALL {
            let mut context = SrtpContext::new(suite, &key());
            prop_assert!(context.unprotect(&mut bytes.clone()).is_err());
            prop_assert!(context.unprotect_report(&mut bytes).is_err());
        }
    }
}
