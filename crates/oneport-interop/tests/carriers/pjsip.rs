//! Asterisk's PJSIP as a carrier.

use oneport_interop::{PATIENCE, each_frame_returns, phone, speech, wait_for_silence};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::{free_port, wait_for};
use tokio::time::timeout;

use crate::shared::{ann, gateway};

/// A carrier: it knows the customer `us` by a secret, and calls where `us` has registered.
fn pjsip(port: u16) -> String {
    format!(
        "[transport]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:{port}\n\
         [us]\ntype=endpoint\ncontext=carrier\ndisallow=all\nallow=ulaw\nauth=us\naors=us\n\
         dtmf_mode=rfc4733\n\
         [us]\ntype=auth\nauth_type=userpass\nusername=us\npassword=secret\n\
         [us]\ntype=aor\nmax_contacts=1\nremove_existing=yes\n"
    )
}

const DIALPLAN: &str = "[carrier]
exten => _+X.,1,Verbose(0,called ${EXTEN} by ${CALLERID(num)})
same => n,Answer()
same => n,Echo()
exten => busy,1,Busy(1)
exten => did,1,Answer()
same => n,Set(CALLERID(num)=2125550177)
same => n,Dial(PJSIP/us/sip:+12125550199@127.0.0.1:US,30)
";

/// A call out to Asterisk by the number that it wants, whose audio comes back as it was; then one in, from
/// Asterisk, to the number that is ours; both with a registration and digests.
#[tokio::test(flavor = "multi_thread")]
async fn asterisk_registers_us_takes_a_call_and_places_one() {
    let port = free_port();
    let rtp = "[general]\nrtpstart=31000\nrtpend=31999\n";
    let files: [(&str, &[u8]); 2] =
        [("etc/pjsip.conf", &pjsip(port).into_bytes()), ("etc/rtp.conf", rtp.as_bytes())];
    let asterisk = Asterisk::start_with("", DIALPLAN, &files);
    let (bob, bob_at) = phone();
    let (phone, _) = phone();
    let system = gateway(&format!(
        "rtp_ports = \"32000-32999\"\n\
         [carriers.acme]\nhost = \"127.0.0.1:{port}\"\nusername = \"us\"\nsecret = \"secret\"\n\
         register = true\nnumber_format = \"+e164\"\ncountry_code = \"1\"\ncodecs = [\"ulaw\"]\n\
         [peers.bob]\naddress = \"{bob_at}\"\nqualify = false\n\
         [[routes]]\npattern = \"_NXXNXXXXXX\"\nfrom = [\"ann\"]\nto = [\"carrier:acme\"]\n\
         [[routes]]\nnumber = \"12125550199\"\nfrom = [\"carrier:acme\"]\nto = [\"peer:bob\"]\n"
    ));
    wait_for("Asterisk to have us registered", PATIENCE, || {
        asterisk.cli("pjsip show contacts").contains("us/sip:us@127.0.0.1")
    });
    let mut call = phone.call(system.iax, ann("2125550100")).await.expect("placed");
    let answered = timeout(PATIENCE, call.answered()).await.expect("in time");
    if let Err(error) = answered {
        panic!("{error}; Asterisk's log:\n{}", asterisk.log());
    }
    assert!(asterisk.log().contains("called +12125550100"), "{}", asterisk.log());
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
    drop(call);
    wait_for_silence(&asterisk);
    // The other way.
    let own = system.sip.port().to_string();
    asterisk.set_dialplan(&DIALPLAN.replace("US,30", &format!("{own},30")));
    asterisk.originate("Local/did@carrier/n", "+1999@carrier");
    let incoming = timeout(PATIENCE, bob.incoming()).await;
    let incoming = incoming.unwrap_or_else(|_| panic!("no call; {}", asterisk.log()));
    let incoming = incoming.expect("a call");
    assert_eq!(incoming.offer().called_number, "12125550199");
    assert_eq!(incoming.offer().calling_number.as_deref(), Some("12125550177"));
    let call = incoming.answer().await.expect("answered");
    // What comes before Asterisk has joined its two ends is heard by nobody.
    wait_for("Asterisk to join them", PATIENCE, || {
        asterisk.log().matches("joined 'simple_bridge'").count() == 2
    });
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
    drop(call);
    wait_for_silence(&asterisk);
}
