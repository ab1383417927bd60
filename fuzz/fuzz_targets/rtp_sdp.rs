//! Any bytes are a description, a packet or a report, or none; what is answered can be read.
//!
//! The first byte says what the others are.
#![no_main]

use oneport_switch::sip::rtp::{Packet, Sequence, read_compound};
use oneport_switch::sip::sdp::{
    self, Capabilities, CryptoSuite, Fingerprint, KEY_BYTES, Local, MasterKey, SrtpUse,
};
use oneport_switch::sip::srtp::SrtpContext;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => describe(&String::from_utf8_lossy(bytes)),
        1 => {
            let mut sequence = Sequence::default();
            for datagram in bytes.chunks(24) {
                if let Ok(packet) = Packet::read(datagram) {
                    assert!(packet.payload.len() < datagram.len());
                    sequence.take(packet.header.sequence);
                    sequence.report();
                }
            }
        }
        2 => drop(read_compound(bytes, 1)),
        _ => {
            let key = MasterKey::from([7; KEY_BYTES]);
            for suite in [CryptoSuite::AesCm128HmacSha1_80, CryptoSuite::AeadAes128Gcm] {
                let mut context = SrtpContext::new(suite, &key);
                assert!(context.unprotect(&mut bytes.to_vec()).is_err());
                assert!(context.unprotect_report(&mut bytes.to_vec()).is_err());
            }
        }
    }
});

fn describe(text: &str) {
    let address = "192.0.2.1:4000".parse().expect("an address");
    let local = Local {
        key: Some(MasterKey::from([1; KEY_BYTES])),
        fingerprint: Some(Fingerprint::of(b"ours")),
        ..Local::new(address, 1)
    };
    for srtp in [SrtpUse::Off, SrtpUse::Accepted, SrtpUse::Required, SrtpUse::Handshake] {
        let capabilities = Capabilities { srtp, comfort_noise: true, ..Capabilities::default() };
        let _ = sdp::accept(text, &capabilities, &local, None);
        let Ok((answer, agreed)) = sdp::answer(text, &capabilities, &local) else { continue };
        // Whoever reads the answer finds one line that is spoken, in the codec that was agreed upon.
        let (_, back) = sdp::answer(&answer, &capabilities, &local).expect("an answer can be read");
        assert_eq!(back.format, agreed.format);
        assert_eq!(back.lines.len(), agreed.lines.len());
    }
}
