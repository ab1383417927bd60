//! Calls whose voice is encrypted, through an upgrade: the keys stay with the process that has the call.

use std::time::Duration;

use oneport::CauseCode;
use oneport_interop::{phone, speech};

use crate::carrier::{speak, talk, with_asterisk};
use crate::installed::older;

/// One call out and one in, with an upgrade while both are spoken on, and two more at the newest behind it.
async fn are_heard_whole(endpoint: &str, srtp: &str) {
    let (asterisk, installed) = with_asterisk(endpoint, &format!("srtp = \"{srtp}\"\n"));
    let (phone, _) = phone();
    let speech = speech();
    let mut up = Vec::new();
    for round in 0..2 {
        let (out, back) = (format!("212554{round}000"), format!("212555{round}000"));
        up.push(talk(&phone, installed.listen, &out, Some("a")).await);
        up.push(talk(&phone, asterisk.address(), &back, None).await);
        let upgrading = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            tokio::task::block_in_place(|| installed.upgrade());
        };
        tokio::join!(speak((&asterisk, &installed), &up, &speech[..16_000]), upgrading);
        speak((&asterisk, &installed), &up, &speech[..4_000]).await;
        let status = installed.status();
        assert_eq!(older(&status), vec![2; round + 1], "{status}");
    }
    for call in up {
        call.hangup(CauseCode::NORMAL_CLEARING);
    }
    installed.until("older processes end", |status| older(status).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_of_the_description_they_are_heard_whole() {
    are_heard_whole("media_encryption=sdes\n", "required").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_of_a_handshake_they_are_heard_whole() {
    let endpoint = "media_encryption=dtls\ndtls_verify=fingerprint\ndtls_auto_generate_cert=yes\n\
                    dtls_setup=actpass\nrtcp_mux=yes\n";
    are_heard_whole(endpoint, "dtls").await;
}
