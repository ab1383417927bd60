//! iaxmodem, whose library is from before call tokens: it registers and takes a call.

use std::time::Duration;

use oneport_interop::{named, phone, switch_at};
use oneport_testkit::peers::iaxmodem::IaxModem;
use oneport_testkit::peers::own_loopback;
use oneport_testkit::peers::tshark::Capture;

#[tokio::test(flavor = "multi_thread")]
async fn iaxmodem_registers_and_takes_a_call() {
    // It knows no port but 4569; the address is nobody else's.
    let (_switch, to) = switch_at(
        &format!("{}:4569", own_loopback()),
        "[peers.modem]\nsecret = \"right\"\ncall_token = \"optional\"\ncodecs = [\"ulaw\"]\n\
         [peers.ann]\nsecret = \"a\"\n",
    );
    let capture = Capture::start(&[to.port()]);
    let modem = IaxModem::start(to.ip(), "modem", "right");
    assert!(modem.command("AT", "OK").contains("OK"));
    let (phone, _) = phone();
    // It registers soon after its start; until then the switch does not know where it is.
    let mut call = None;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut placed = phone.call(to, named("modem", "ann", "a")).await.expect("placed");
        let event = tokio::time::timeout(Duration::from_secs(2), placed.next_event()).await;
        if matches!(event, Ok(Some(oneport::CallEvent::Accepted(_)))) {
            call = Some(placed);
            break;
        }
    }
    let mut call = call.expect("the modem registers and accepts");
    let answering = tokio::task::spawn_blocking(move || {
        modem.command("", "RING");
        modem.command("AT+FCLASS=1", "OK");
        // It answers and hears no modem; what matters is that the call is up.
        std::thread::spawn({
            let device = modem.device().to_path_buf();
            move || std::fs::write(device, "ATA\r")
        });
        std::thread::sleep(Duration::from_secs(4));
        modem
    });
    let answered = tokio::time::timeout(Duration::from_secs(60), call.answered()).await;
    answered.expect("it rings and is answered").expect("the modem answers");
    let (mut reader, _) = call.audio().await.expect("accepted");
    let frame = tokio::time::timeout(Duration::from_secs(10), reader.next_frame()).await;
    assert_eq!(frame.expect("it sends its tone").expect("the call lives").payload.len(), 160);
    drop(call);
    let modem = answering.await.expect("no panic");
    let packets = tokio::task::spawn_blocking(|| capture.finish()).await.expect("no panic");
    for packet in packets.iter().filter(|packet| packet.from_port == to.port()) {
        assert!(!packet.malformed, "{packet:?}");
    }
    drop(modem);
}
