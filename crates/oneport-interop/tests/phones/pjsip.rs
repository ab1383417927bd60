//! Asterisk's PJSIP as a phone: it registers here, calls and is called.

use std::fs;
use std::net::SocketAddr;

use oneport_interop::gateway::{gateway, loopback, loopback_for_tcp};
use oneport_interop::{
    PATIENCE, each_frame_returns, named, phone, speech, until_heard, wait_for_silence,
};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::certificates::Authority;
use oneport_testkit::peers::wait_for;
use tokio::time::timeout;

/// A phone at `own` that registers as `desk` at `to`.
pub(crate) fn pjsip(own: SocketAddr, to: SocketAddr, transport: &str, algorithm: &str) -> String {
    let to = format!("{to}\\;transport={transport}");
    let believes = match transport {
        "tls" => "method=tlsv1_2\nca_list_file={home}/etc/ca.pem\nverify_server=yes\n",
        _ => "",
    };
    format!(
        "[transport]\ntype=transport\nprotocol={transport}\nbind={own}\n{believes}\
         [oneport]\ntype=registration\noutbound_auth=oneport\nserver_uri=sip:{to}\n\
         client_uri=sip:desk@{to}\ncontact_user=desk\nretry_interval=2\nexpiration=120\n\
         [oneport]\ntype=auth\nauth_type=digest\nusername=desk\npassword=secret\n\
         supported_algorithms_uac={algorithm}\n\
         [oneport]\ntype=aor\ncontact=sip:{to}\n\
         [oneport]\ntype=endpoint\ncontext=desk\ndisallow=all\nallow=ulaw\naors=oneport\n\
         outbound_auth=oneport\nfrom_user=desk\n\
         [oneport]\ntype=identify\nendpoint=oneport\nmatch=127.0.0.0/8\n"
    )
}

pub(crate) const DIALPLAN: &str = "[desk]
exten => desk,1,Verbose(0,called by ${CALLERID(num)})
same => n,Answer()
same => n,Echo()
exten => out,1,Answer()
same => n,Dial(PJSIP/700@oneport,30)
exten => here,1,Answer()
same => n,Echo()
";

/// It proves itself by either digest and over each transport; then a call to it comes back as it was
/// spoken, and one from it reaches a phone of IAX2 and comes back as well.
#[tokio::test(flavor = "multi_thread")]
async fn asterisk_registers_as_a_phone_is_called_and_calls() {
    let authority = Authority::new();
    let ca = fs::read(authority.file()).expect("made");
    for (transport, digest, algorithm) in
        [("udp", "md5", "MD5"), ("tcp", "sha256", "SHA-256"), ("tls", "sha256", "SHA-256")]
    {
        let tcp = loopback_for_tcp();
        let tls = SocketAddr::new(tcp.ip(), 5061);
        let ours = authority.certificate(transport, &format!("IP:{}", tls.ip()));
        let rtp = "[general]\nrtpstart=33000\nrtpend=33999\n";
        let (bob, bob_at) = phone();
        let system = gateway(&format!(
            "tcp = [\"{tcp}\"]\ntls = [\"{tls}\"]\ncertificate = {:?}\ncertificate_key = {:?}\n\
             rtp_ports = \"34000-34999\"\n\
             [peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\nauth = [\"{digest}\"]\n\
             codecs = [\"ulaw\"]\nqualify_seconds = 2\n\
             [peers.bob]\naddress = \"{bob_at}\"\nqualify = false\n\
             [[routes]]\nnumber = \"700\"\nfrom = [\"desk\"]\nto = [\"peer:bob\"]\n",
            ours.certificate, ours.key
        ));
        let (own, to) = match transport {
            "udp" => (loopback(), system.sip),
            "tcp" => (loopback_for_tcp(), tcp),
            _ => (loopback_for_tcp(), tls),
        };
        let config = pjsip(own, to, transport, algorithm).into_bytes();
        let files: [(&str, &[u8]); 3] =
            [("etc/pjsip.conf", &config), ("etc/rtp.conf", rtp.as_bytes()), ("etc/ca.pem", &ca)];
        let asterisk = Asterisk::start_with("", DIALPLAN, &files);
        wait_for("Asterisk to be registered", PATIENCE, || {
            asterisk.cli("pjsip show registrations").contains("Registered")
        });
        let connections = if transport == "udp" { (0, 0) } else { (1, 0) };
        wait_for("its connection to be that of somebody who is known", PATIENCE, || {
            system.connections() == connections
        });
        let (ann, _) = phone();
        let mut call = ann.call(system.iax, named("desk", "ann", "a")).await.expect("placed");
        let answered = timeout(PATIENCE, call.answered()).await.expect("in time");
        if let Err(error) = answered {
            panic!("{transport}: {error}; Asterisk's log:\n{}", asterisk.log());
        }
        let (mut reader, speaker) = call.audio().await.expect("accepted");
        until_heard(&mut reader, &speaker).await;
        each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
        drop(call);
        wait_for_silence(&asterisk);
        asterisk.originate("Local/out@desk/n", "here@desk");
        let incoming = timeout(PATIENCE, bob.incoming()).await;
        let incoming = incoming.unwrap_or_else(|_| panic!("no call; {}", asterisk.log()));
        let incoming = incoming.expect("a call");
        assert_eq!(incoming.offer().called_number, "700");
        assert_eq!(incoming.offer().calling_number.as_deref(), Some("desk"));
        let call = incoming.answer().await.expect("answered");
        let (mut reader, speaker) = call.audio().await.expect("accepted");
        until_heard(&mut reader, &speaker).await;
        each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
        drop(call);
        wait_for_silence(&asterisk);
        assert_eq!(system.connections(), connections, "all of it by one connection");
    }
}

/// It does not subscribe, and is told all the same: when it registers, and at each change.
#[tokio::test(flavor = "multi_thread")]
async fn asterisk_is_told_of_its_messages_without_asking() {
    let directory = tempfile::tempdir().expect("a directory");
    let new = directory.path().join("INBOX");
    fs::create_dir_all(&new).expect("writable");
    fs::write(new.join("msg0000.txt"), "").expect("writable");
    let system = gateway(&format!(
        "[peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\nmailbox = {:?}\n",
        directory.path()
    ));
    let config = pjsip(loopback(), system.sip, "udp", "MD5");
    let config =
        config.replace("from_user=desk\n", "from_user=desk\nincoming_mwi_mailbox=1@here\n");
    let plan = "[desk]\nexten => light,hint,MWI:1@here\n";
    let files: [(&str, &[u8]); 1] = [("etc/pjsip.conf", config.as_bytes())];
    let asterisk = Asterisk::start_with("", plan, &files);
    let loaded = asterisk.cli("module load res_mwi_devstate.so");
    assert!(loaded.contains("Loaded"), "{loaded}");
    let _ = asterisk.cli("pjsip set logger on");
    let shines = |yes: bool| {
        let state = if yes { "State:InUse" } else { "State:Idle" };
        wait_for(state, PATIENCE, || asterisk.cli("core show hints").contains(state));
    };
    shines(true);
    fs::remove_file(new.join("msg0000.txt")).expect("it is there");
    shines(false);
    fs::write(new.join("msg0000.txt"), "").expect("writable");
    shines(true);
    assert!(!asterisk.log().contains("SUBSCRIBE sip:"), "it has not asked");
}
