//! A connection by TLS that is cut in the middle of a call.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use oneport_interop::{PATIENCE, each_frame_returns, phone, speech, wait_for_silence};
use oneport_testkit::name_server::Entry;
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::certificates::Authority;
use oneport_testkit::peers::{own_loopback, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::names::names;
use crate::shared::{ann, gateway};

/// A connection that is passed on: what cuts it, and when it has ended.
type Passing = (oneshot::Sender<()>, JoinHandle<()>);

/// Passes connections on, until they are cut.
struct Relay {
    open: Arc<Mutex<Vec<Passing>>>,
}

impl Relay {
    async fn start(at: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.expect("free");
        let open: Arc<Mutex<Vec<Passing>>> = Arc::default();
        let taken = open.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (cut, is_cut) = oneshot::channel();
                let passing = tokio::spawn(pass(near, to, is_cut));
                taken.lock().expect("nobody panics").push((cut, passing));
            }
        });
        Self { open }
    }

    /// Cuts all connections, and waits until whoever has opened them knows. How many there were.
    async fn cut(&self) -> usize {
        let open = std::mem::take(&mut *self.open.lock().expect("nobody panics"));
        let count = open.len();
        for (cut, passing) in open {
            // It may have ended by itself.
            let _ = cut.send(());
            timeout(PATIENCE, passing).await.expect("it is given up").expect("no panic");
        }
        count
    }
}

async fn pass(mut near: TcpStream, to: SocketAddr, cut: oneshot::Receiver<()>) {
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => return,
        _ = cut => {}
    }
    drop(far);
    let _ = near.shutdown().await;
    let mut rest = Vec::new();
    let _ = near.read_to_end(&mut rest).await;
}

/// A server that has proved its name, and not its address, proves its name again: the end of the call
/// reaches it by another connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_connection_is_cut_ends_at_the_carrier_too() {
    let authority = Authority::new();
    let theirs = authority.certificate("carrier", "DNS:sip.carrier.example");
    let (there, behind) = (own_loopback(), own_loopback());
    let relay = Relay::start((there, 5061).into(), (behind, 5061).into()).await;
    let names = names(vec![("sip.carrier.example", Entry::Address(there))]);
    let pjsip = format!(
        "[tls]\ntype=transport\nprotocol=tls\nbind={behind}:5061\nmethod=tlsv1_2\n\
         cert_file={{home}}/etc/carrier.pem\npriv_key_file={{home}}/etc/carrier.key\n\
         external_signaling_address={there}\nexternal_signaling_port=5061\n\
         [us]\ntype=endpoint\ntransport=tls\ncontext=carrier\ndisallow=all\nallow=ulaw\naors=us\n\
         [us]\ntype=aor\nmax_contacts=1\n\
         [us]\ntype=identify\nendpoint=us\nmatch=127.0.0.0/8\n"
    );
    let [certificate, key] =
        [theirs.certificate, theirs.key].map(|file| fs::read(file).expect("made"));
    let files: [(&str, &[u8]); 4] = [
        ("etc/pjsip.conf", pjsip.as_bytes()),
        ("etc/rtp.conf", b"[general]\nrtpstart=35000\nrtpend=35999\n"),
        ("etc/carrier.pem", &certificate),
        ("etc/carrier.key", &key),
    ];
    let dialplan = "[carrier]\nexten => 12125550100,1,Answer()\nsame => n,Echo()\n";
    let asterisk = Asterisk::start_with("", dialplan, &files);
    let _ = asterisk.cli("pjsip set logger on");
    let system = gateway(&format!(
        "authorities = {:?}\nname_servers = [\"{}\"]\nrtp_ports = \"36000-36999\"\n\
         [carriers.acme]\nhost = \"sip.carrier.example:5061\"\ntransport = \"tls\"\n\
         options_seconds = 0\ncodecs = [\"ulaw\"]\n\
         [[routes]]\nnumber = \"12125550100\"\nto = [\"carrier:acme\"]\n",
        authority.file(),
        names.address.ip(),
    ));
    let (phone, _) = phone();
    let begun = std::time::Instant::now();
    let call = loop {
        let mut call = phone.call(system.iax, ann("12125550100")).await.expect("placed");
        match timeout(PATIENCE, call.answered()).await.expect("in time") {
            Ok(_) => break call,
            Err(error) => {
                // Its host may be looked up just now.
                assert!(begun.elapsed() < PATIENCE, "{error}; {}", asterisk.log());
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    };
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
    assert_eq!(relay.cut().await, 1, "one connection carries the call");
    each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
    assert!(!asterisk.log().contains("BYE sip:"), "nobody has hung up yet");
    drop((reader, speaker, call));
    wait_for("the end of the call at the carrier", PATIENCE, || {
        asterisk.log().contains("BYE sip:")
    });
    wait_for_silence(&asterisk);
}
