//! Asterisk's PJSIP as a phone whose voice is encrypted by the keys of a handshake (DTLS-SRTP).

use oneport_interop::gateway::{gateway, loopback};
use oneport_interop::{
    PATIENCE, each_frame_returns, named, phone, speech, until_heard, wait_for_silence,
};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::wait_for;
use tokio::time::timeout;

use crate::pjsip::{DIALPLAN, pjsip};

/// It is called and calls; of `srtp = "dtls"` both offer a handshake, of `"allowed"` its calls alone do.
#[tokio::test(flavor = "multi_thread")]
async fn asterisk_is_called_and_calls_with_keys_of_a_handshake() {
    for srtp in ["dtls", "allowed"] {
        let (bob, bob_at) = phone();
        let system = gateway(&format!(
            "rtp_ports = \"34000-34999\"\n\
             [peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\ncodecs = [\"ulaw\"]\n\
             srtp = \"{srtp}\"\nqualify = false\n\
             [peers.bob]\naddress = \"{bob_at}\"\nqualify = false\n\
             [[routes]]\nnumber = \"700\"\nfrom = [\"desk\"]\nto = [\"peer:bob\"]\n"
        ));
        let config = pjsip(loopback(), system.sip, "udp", "MD5").replace(
            "from_user=desk\n",
            "from_user=desk\nmedia_encryption=dtls\ndtls_verify=fingerprint\n\
             dtls_auto_generate_cert=yes\ndtls_setup=actpass\n",
        );
        let files: [(&str, &[u8]); 2] = [
            ("etc/pjsip.conf", config.as_bytes()),
            ("etc/rtp.conf", b"[general]\nrtpstart=33000\nrtpend=33999\n"),
        ];
        let asterisk = Asterisk::start_with("", DIALPLAN, &files);
        let _ = asterisk.cli("pjsip set logger on");
        wait_for("Asterisk to be registered", PATIENCE, || {
            asterisk.cli("pjsip show registrations").contains("Registered")
        });
        if srtp == "dtls" {
            let (ann, _) = phone();
            let mut call = ann.call(system.iax, named("desk", "ann", "a")).await.expect("placed");
            let answered = timeout(PATIENCE, call.answered()).await.expect("in time");
            if let Err(error) = answered {
                panic!("{error}; Asterisk's log:\n{}", asterisk.log());
            }
            let (mut reader, speaker) = call.audio().await.expect("accepted");
            until_heard(&mut reader, &speaker).await;
            each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
            drop(call);
            wait_for_silence(&asterisk);
        }
        asterisk.originate("Local/out@desk/n", "here@desk");
        let incoming = timeout(PATIENCE, bob.incoming()).await;
        let incoming = incoming.unwrap_or_else(|_| panic!("no call; {}", asterisk.log()));
        let call = incoming.expect("a call").answer().await.expect("answered");
        let (mut reader, speaker) = call.audio().await.expect("accepted");
        until_heard(&mut reader, &speaker).await;
        each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
        drop(call);
        wait_for_silence(&asterisk);
        assert!(asterisk.log().contains("UDP/TLS/RTP/SAVP 0"), "{}", asterisk.log());
    }
}
