//! A carrier that wants everything encrypted, by Asterisk's PJSIP: TLS, SRTP with keys in the
//! description, and digests of SHA-256.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use oneport_interop::gateway::gateway_with_records;
use oneport_interop::{PATIENCE, each_frame_returns, phone, speech, until_heard, wait_for_silence};
use oneport_switch::store::{Order, Paging, RefusalFilter, Store};
use oneport_testkit::name_server::Entry;
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::certificates::Authority;
use oneport_testkit::peers::{own_loopback, wait_for};
use tokio::time::timeout;

use crate::names::names;
use crate::script::{Script, VOICE};
use crate::shared::{ann, calling, carrier, gateway, loopback};

const DIALPLAN: &str = "[carrier]
exten => _+X.,1,Answer()
same => n,Echo()
exten => did,1,Answer()
same => n,Dial(PJSIP/+12125550199@us,30)
";

#[tokio::test(flavor = "multi_thread")]
async fn signalling_voice_and_proofs_are_as_secret_as_a_carrier_wants_them() {
    let authority = Authority::new();
    // What it proves is its name, not its address.
    let theirs = authority.certificate("carrier", "DNS:sip.carrier.example");
    let ours = authority.certificate("us", "IP:127.0.0.1");
    let there = own_loopback();
    let names = names(vec![("sip.carrier.example", Entry::Address(there))]);
    let pjsip = format!(
        "[tls]\ntype=transport\nprotocol=tls\nbind={there}:5061\nmethod=tlsv1_2\n\
         cert_file={{home}}/etc/carrier.pem\npriv_key_file={{home}}/etc/carrier.key\n\
         ca_list_file={{home}}/etc/ca.pem\nverify_server=yes\n\
         [us]\ntype=endpoint\ntransport=tls\ncontext=carrier\ndisallow=all\nallow=ulaw\n\
         auth=us\naors=us\nmedia_encryption=sdes\n\
         [us]\ntype=auth\nauth_type=digest\nusername=us\npassword=secret\n\
         supported_algorithms_uas=SHA-256\n\
         [us]\ntype=aor\nmax_contacts=1\nremove_existing=yes\n"
    );
    let [certificate, key, authorities] = [&theirs.certificate, &theirs.key, &authority.file()]
        .map(|file| fs::read(file).expect("made"));
    let files: [(&str, &[u8]); 5] = [
        ("etc/pjsip.conf", pjsip.as_bytes()),
        ("etc/rtp.conf", b"[general]\nrtpstart=33000\nrtpend=33999\n"),
        ("etc/carrier.pem", &certificate),
        ("etc/carrier.key", &key),
        ("etc/ca.pem", &authorities),
    ];
    let asterisk = Asterisk::start_with("", DIALPLAN, &files);
    // A port of TCP that is free just now.
    let tls =
        TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("one is free");
    let tls: SocketAddr = tls;
    let (bob, bob_at) = phone();
    let (phone, _) = phone();
    let system = gateway(&format!(
        "tls = [\"{tls}\"]\ncertificate = {:?}\ncertificate_key = {:?}\nauthorities = {:?}\n\
         name_servers = [\"{}\"]\nrtp_ports = \"34000-34999\"\n\
         [carriers.acme]\nhost = \"sip.carrier.example:5061\"\ntransport = \"tls\"\n\
         username = \"us\"\nsecret = \"secret\"\nregister = true\nsrtp = \"required\"\n\
         number_format = \"+e164\"\ncountry_code = \"1\"\ncodecs = [\"ulaw\"]\n\
         [peers.bob]\naddress = \"{bob_at}\"\nqualify = false\n\
         [[routes]]\npattern = \"_NXXNXXXXXX\"\nfrom = [\"ann\"]\nto = [\"carrier:acme\"]\n\
         [[routes]]\nnumber = \"12125550199\"\nfrom = [\"carrier:acme\"]\nto = [\"peer:bob\"]\n",
        ours.certificate,
        ours.key,
        authority.file(),
        names.address.ip(),
    ));
    let _ = asterisk.cli("pjsip set logger on");
    wait_for("Asterisk to have us registered", PATIENCE, || {
        let contacts = asterisk.cli("pjsip show contacts");
        contacts.contains("us/sip:us@127.0.0.1")
    });
    let mut call = phone.call(system.iax, ann("2125550100")).await.expect("placed");
    let answered = timeout(PATIENCE, call.answered()).await.expect("in time");
    if let Err(error) = answered {
        panic!("{error}; Asterisk's log:\n{}", asterisk.log());
    }
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
    drop(call);
    wait_for_silence(&asterisk);
    asterisk.originate("Local/did@carrier/n", "+1999@carrier");
    let incoming = timeout(PATIENCE, bob.incoming()).await;
    let incoming = incoming.unwrap_or_else(|_| panic!("no call; {}", asterisk.log()));
    let call = incoming.expect("a call").answer().await.expect("answered");
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    until_heard(&mut reader, &speaker).await;
    each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
    drop(call);
    wait_for_silence(&asterisk);
}

/// A carrier's call gets 488, and its refusal says why: voice in the clear where it has to be encrypted, voice that
/// is encrypted where none is, and no codec in common are three things.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_refused_for_its_encryption_and_for_its_codecs_in_words_of_their_own() {
    let encrypted = "[local_ip] RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 \
                     inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5";
    let cases = [
        (
            "srtp = \"required\"",
            VOICE,
            "encryption_required",
            "it offers no voice that is encrypted in the way that is required (SRTP): carriers.acme.srtp is \"required\"",
            ("carriers.acme.srtp", "required"),
        ),
        (
            "srtp = \"dtls\"",
            VOICE,
            "encryption_required",
            "it offers no voice that is encrypted in the way that is required (SRTP): carriers.acme.srtp is \"dtls\"",
            ("carriers.acme.srtp", "dtls"),
        ),
        (
            "",
            encrypted,
            "encryption_not_spoken",
            "it offers voice only as it is not encrypted here (SRTP): carriers.acme.srtp is \"off\"",
            ("carriers.acme.srtp", "off"),
        ),
        (
            "codecs = [\"alaw\"]",
            VOICE,
            "no_common_codec",
            "it offers no codec that carriers.acme.codecs has",
            ("carriers.acme.codecs", "alaw"),
        ),
    ];
    for (keys, voice, kind, why, (rule, value)) in cases {
        let from = loopback();
        let text = carrier("acme", from, keys);
        let (system, store) = gateway_with_records(&text).await;
        let script = Script::calls(&[], Some(voice)).may_hear(100).hears(488).acks_refusal(1);
        calling(script, from, system.sip, "600").finished();
        let all = Paging { order: Order::OldestFirst, after: None, most: Paging::MOST };
        let filter =
            RefusalFilter { peer: Some("carrier:acme".into()), ..RefusalFilter::default() };
        let mut found = Vec::new();
        let begun = std::time::Instant::now();
        while found.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "{keys}: no refusal is kept");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            found = store.refusals(&filter, all).await.expect("readable").records;
        }
        let refusal = &found[0];
        assert_eq!((refusal.kind.as_str(), refusal.why.as_str()), (kind, why), "{keys}");
        let decided = (refusal.rule.as_deref(), refusal.value.as_deref());
        assert_eq!(decided, (Some(rule), Some(value)));
        assert_eq!((refusal.called_number.as_str(), found.len()), ("600", 1));
        assert!(refusal.ended_call && refusal.fix.is_some(), "{refusal:?}");
    }
}
