//! What a probe asks its far end for.

use std::time::Duration;

use oneport::NewCall;
use oneport::probe::Wake;
use tokio::net::UdpSocket;

use crate::setting::*;

/// Datagrams that come to a socket until none has come for a while: their IAX subclasses.
async fn arrive(socket: &UdpSocket) -> Vec<u8> {
    let mut kinds = Vec::new();
    let mut buffer = [0; 1_500];
    // The first comes when its time is up.
    let mut patience = PATIENCE;
    while let Ok(got) = tokio::time::timeout(patience, socket.recv_from(&mut buffer)).await {
        assert!(got.expect("readable").0 >= 12, "a full frame");
        kinds.push(buffer[11]);
        patience = Duration::from_secs(2);
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_polled_at_the_port_that_it_names_and_so_often_at_most() {
    let (_switch, to) = switch("");
    let phone = phone();
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let port = socket.local_addr().expect("bound").port();
    let wake = |after| Wake { port, after: Duration::from_secs(after) }.to_string();
    // Who only hears an echo asks in vain.
    let echo = answered(&phone, to, NewCall::to("echo")).await;
    echo.send_text(wake(0)).await.expect("up");
    let call = answered(&phone, to, NewCall::to("probe")).await;
    for _ in 0..40 {
        call.send_text(wake(6)).await.expect("up");
    }
    const POKE: u8 = 30;
    assert_eq!(arrive(&socket).await, [POKE; 32]);
}
