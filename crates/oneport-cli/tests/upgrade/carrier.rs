//! An Asterisk that is a carrier of a switch, and calls with it in both directions.

use std::net::SocketAddr;

use oneport::{Call, Format, NewCall, Phone};
use oneport_interop::{each_frame_returns, echo, phone, until_heard};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::{free_port, wait_for};

use crate::installed::{Installed, free};
use crate::serving::PATIENCE;

/// The switch leads 212554XXXX to it, which leads to an echo, and echoes 212555XXXX from it. `endpoint` and `carrier` are what stands
/// beside the rest in Asterisk's endpoint and in the switch's `[carriers.acme]`.
///
/// The echo is a telephone's behind IAX2, since that of an Asterisk in RTP may lose a packet: see [`each_frame_returns`].
pub(crate) fn with_asterisk(endpoint: &str, carrier: &str) -> (Asterisk, Installed) {
    let (telephone, echo_at) = phone();
    tokio::spawn(echo(telephone.into()));
    let (at, their_sip) = (free(), free_port());
    let phone_of =
        "disallow=all\nallow=ulaw\n[phone]\ntype=user\ncontext=agents\nrequirecalltoken=no\n";
    let pjsip = format!(
        "[transport]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:{their_sip}\n\
         [us]\ntype=endpoint\ncontext=carrier\ndisallow=all\nallow=ulaw\nauth=us\naors=us\n{endpoint}\
         [us]\ntype=auth\nauth_type=userpass\nusername=us\npassword=secret\n\
         [us]\ntype=aor\nmax_contacts=1\nremove_existing=yes\n\
         [us]\ntype=identify\nendpoint=us\nmatch=127.0.0.1\n"
    );
    let files: [(&str, &[u8]); 2] = [
        ("etc/pjsip.conf", pjsip.as_bytes()),
        ("etc/rtp.conf", b"[general]\nrtpstart=40000\nrtpend=41999\n"),
    ];
    let dialplan = format!(
        "[carrier]\nexten => _212554XXXX,1,Dial(IAX2/{echo_at}/echo,60)\n\
         [agents]\nexten => _212555XXXX,1,Dial(PJSIP/${{EXTEN}}@us,60)\n\
         same => n,Hangup(${{HANGUPCAUSE}})\n"
    );
    let asterisk = Asterisk::start_with(phone_of, &dialplan, &files);
    let installed = Installed::start_with(&format!(
        "{}rtp_ports = \"44000-45999\"\n\
         [carriers.acme]\nhost = \"127.0.0.1:{their_sip}\"\nusername = \"us\"\nsecret = \"secret\"\n\
         register = true\ncodecs = [\"ulaw\"]\n{carrier}\
         [[routes]]\npattern = \"_212554XXXX\"\nto = [\"carrier:acme\"]\n\
         [[routes]]\npattern = \"_212555XXXX\"\nfrom = [\"carrier:acme\"]\nto = [\"builtin:echo\"]\n",
        format_args!("[sip]\nudp = [\"{at}\"]\n")
    ));
    wait_for("the carrier to have us registered", PATIENCE, || {
        asterisk.cli("pjsip show contacts").contains("us/sip:us@127.0.0.1")
    });
    (asterisk, installed)
}

/// A call of Ann's, or through an Asterisk, that has been answered.
pub(crate) async fn talk(
    phone: &Phone,
    to: SocketAddr,
    number: &str,
    secret: Option<&str>,
) -> Call {
    let mut call = NewCall::to(number);
    call.username = Some(if secret.is_some() { "ann" } else { "phone" }.into());
    call.secret = secret.map(Into::into);
    call.formats = vec![Format::ULAW];
    let mut call = phone.call(to, call).await.expect("placed");
    let answered = tokio::time::timeout(PATIENCE, call.answered()).await;
    match answered.unwrap_or_else(|_| panic!("{number}: nobody answers")) {
        Ok(_) => call,
        Err(error) => panic!("{number}: {error}"),
    }
}

/// Frames that may be on their way: with one none overtakes another in an Asterisk, and a busy machine loses none.
const AHEAD: usize = 1;

/// Speaks on all of them, and hears all of it.
///
/// # Panics
/// With what is known of a call where something is missing.
pub(crate) async fn speak(
    (asterisk, installed): (&Asterisk, &Installed),
    calls: &[Call],
    spoken: &[u8],
) {
    let mut speaking = Vec::new();
    for call in calls {
        let (mut reader, speaker) = call.audio().await.expect("accepted");
        let spoken = spoken.to_vec();
        speaking.push(tokio::spawn(async move {
            // An Asterisk answers before its echo listens.
            until_heard(&mut reader, &speaker).await;
            each_frame_returns(&mut reader, &speaker, &spoken, AHEAD).await;
        }));
    }
    for (n, heard) in speaking.into_iter().enumerate() {
        let Err(error) = heard.await else { continue };
        let stats = calls[n].stats().await;
        let (status, streams) = (installed.status(), asterisk.cli("pjsip show channelstats"));
        let log = asterisk.log();
        panic!("call {n} of {}: {error}; {stats:#?}\n{status:#}\n{streams}\n{log}", calls.len());
    }
}
