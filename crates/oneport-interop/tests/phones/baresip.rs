//! baresip as a phone.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use oneport::media::Codec;
use oneport_interop::gateway::{gateway, loopback_for_tcp};
use oneport_interop::{PATIENCE, named, phone};
use oneport_testkit::audio::tone::{read_wav, share_of, tone, write_wav};
use oneport_testkit::peers::baresip::{Baresip, Encryption, Telephone};
use oneport_testkit::peers::certificates::Authority;
use oneport_testkit::peers::wait_for;
use tokio::time::timeout;

/// A call to it and one from it: what it says is heard here, and what is said here it hears.
#[tokio::test(flavor = "multi_thread")]
async fn baresip_registers_is_called_and_calls_with_voice_both_ways() {
    speaks_both_ways("", "", None, None).await;
}

/// The same by TLS, and with its voice encrypted, of which neither side takes any other.
#[tokio::test(flavor = "multi_thread")]
async fn baresip_does_the_same_by_tls_with_its_voice_encrypted() {
    let authority = Authority::new();
    let tls = SocketAddr::new(loopback_for_tcp().ip(), 5061);
    let ours = authority.certificate("us", &format!("IP:{}", tls.ip()));
    let listens = format!(
        "tls = [\"{tls}\"]\ncertificate = {:?}\ncertificate_key = {:?}\n",
        ours.certificate, ours.key
    );
    let file = authority.file();
    let described = Some(Encryption::Described);
    speaks_both_ways(&listens, "srtp = \"required\"\n", Some((tls, &file)), described).await;
}

/// Its certificate for handshakes is RSA, of which none is spoken here: no voice passes, and the call ends and says
/// why.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_with_the_certificate_of_baresip_comes_to_nothing_and_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let says = directory.path().join("tone.wav");
    write_wav(&says, &tone(440.0, 60 * 8_000));
    let (ann, _) = phone();
    let system = gateway(
        "[peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\ncodecs = [\"ulaw\"]\nsrtp = \"dtls\"\n",
    );
    let told = Telephone {
        registrar: system.sip,
        login: ("desk", "secret"),
        transport: "udp",
        authority: None,
        encrypts: Some(Encryption::Handshake),
        listen: loopback_for_tcp(),
        says: &says,
        dials: None,
    };
    let telephone = Baresip::start(&[], &told);
    wait_for("baresip to be registered", PATIENCE, || telephone.log().contains("200 OK"));
    let mut call = ann.call(system.iax, named("desk", "ann", "a")).await.expect("placed");
    timeout(PATIENCE, call.answered()).await.expect("in time").expect("answered");
    let end = timeout(2 * PATIENCE, call.ended()).await.expect("in time").expect("running");
    let why = end.text.as_deref().unwrap_or_default();
    assert!(why.starts_with("voice cannot be encrypted: the handshake (DTLS)"), "{end:?}");
    assert_eq!(end.stats.received.frames, 0);
}

/// `listens` and `keys` are for the switch and for the peer; with an authority, the phone registers there by TLS.
async fn speaks_both_ways(
    listens: &str,
    keys: &str,
    by_tls: Option<(SocketAddr, &Path)>,
    encrypts: Option<Encryption>,
) {
    let directory = tempfile::tempdir().expect("a directory");
    let says = directory.path().join("tone.wav");
    write_wav(&says, &tone(440.0, 60 * 8_000));
    let (bob, bob_at) = phone();
    let system = gateway(&format!(
        "{listens}[peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\ncodecs = [\"ulaw\"]\n{keys}\
         [peers.bob]\naddress = \"{bob_at}\"\nqualify = false\n\
         [[routes]]\nnumber = \"700\"\nfrom = [\"desk\"]\nto = [\"peer:bob\"]\n"
    ));
    let told = Telephone {
        registrar: by_tls.map_or(system.sip, |(tls, _)| tls),
        login: ("desk", "secret"),
        transport: if by_tls.is_some() { "tls" } else { "udp" },
        authority: by_tls.map(|(_, authority)| authority),
        encrypts,
        // It listens by TCP as well.
        listen: loopback_for_tcp(),
        says: &says,
        dials: None,
    };
    let telephone = Baresip::start(&[], &told);
    wait_for("baresip to be registered", PATIENCE, || telephone.log().contains("200 OK"));
    let (ann, _) = phone();
    let mut call = ann.call(system.iax, named("desk", "ann", "a")).await.expect("placed");
    timeout(PATIENCE, call.answered()).await.expect("in time").expect("answered");
    hears_and_is_heard(&call, &telephone).await;
    drop((call, telephone));
    let told = Telephone { listen: loopback_for_tcp(), dials: Some("700"), ..told };
    let telephone = Baresip::start(&[], &told);
    let incoming = timeout(PATIENCE, bob.incoming()).await;
    let incoming = incoming.unwrap_or_else(|_| panic!("no call; {}", telephone.log()));
    let incoming = incoming.expect("a call");
    assert_eq!(incoming.offer().calling_number.as_deref(), Some("desk"));
    let call = incoming.answer().await.expect("answered");
    hears_and_is_heard(&call, &telephone).await;
}

/// It subscribes to its mailbox, and is told of a message that comes while it is registered.
#[tokio::test(flavor = "multi_thread")]
async fn baresip_is_told_of_the_messages_in_its_mailbox() {
    let directory = tempfile::tempdir().expect("a directory");
    let says = directory.path().join("silence.wav");
    write_wav(&says, &[0; 8_000]);
    let mailbox = directory.path().join("100");
    for (folder, message) in
        [("INBOX", "msg0000.txt"), ("Old", "msg0000.txt"), ("Old", "msg0001.txt")]
    {
        std::fs::create_dir_all(mailbox.join(folder)).expect("writable");
        std::fs::write(mailbox.join(folder).join(message), "").expect("writable");
    }
    let system = gateway(&format!(
        "[peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\nmailbox = {mailbox:?}\n"
    ));
    let telephone = Baresip::start(
        &[],
        &Telephone {
            registrar: system.sip,
            login: ("desk", "secret"),
            transport: "udp",
            authority: None,
            encrypts: None,
            listen: loopback_for_tcp(),
            says: &says,
            dials: None,
        },
    );
    wait_for("baresip to be told of its message", PATIENCE, || {
        telephone.log().contains("Voice-Message: 1/2")
    });
    std::fs::write(mailbox.join("INBOX/msg0001.txt"), "").expect("writable");
    wait_for("baresip to be told of another message", PATIENCE, || {
        telephone.log().contains("Voice-Message: 2/2")
    });
    std::fs::remove_dir_all(mailbox.join("INBOX")).expect("it is there");
    wait_for("baresip to be told that none is new", PATIENCE, || {
        telephone.log().contains("Messages-Waiting: no")
    });
}

/// Speaks a tone of 1,000 Hz until baresip has heard a second of it, and hears its own of 440 Hz.
async fn hears_and_is_heard(call: &oneport::Call, telephone: &Baresip) {
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    let spoken = tone(1_000.0, 160);
    let mut heard = Vec::new();
    let start = Instant::now();
    loop {
        speaker.play(&spoken).await;
        while heard.len() < 16_000 {
            let frame = timeout(Duration::from_millis(5), reader.next_frame()).await;
            let Ok(Some(frame)) = frame else { break };
            let mut samples = Vec::new();
            Codec::Ulaw.decode(&frame.payload, &mut samples);
            heard.extend(samples);
        }
        let files = telephone.heard();
        let there =
            files.iter().map(|path| read_wav(path)).max_by_key(Vec::len).unwrap_or_default();
        let late = &there[there.len().saturating_sub(8_000)..];
        if heard.len() >= 16_000 && late.len() == 8_000 && share_of(late, 1_000.0) > 0.8 {
            break;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{} samples heard here, {} there, {} of them ours; {}",
            heard.len(),
            there.len(),
            share_of(late, 1_000.0),
            telephone.log()
        );
    }
    let share = share_of(&heard[8_000..16_000], 440.0);
    assert!(share > 0.8, "{share} of what it says is its tone");
}
