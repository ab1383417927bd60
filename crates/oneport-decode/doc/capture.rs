// Captures, and what is told of them: the examples of the documentation include this.

use std::ops::ControlFlow;

use oneport_decode::{CaptureError, Datagrams, Hear, Story, Tracker, UdpDatagram, read};

/// Asterisk and a phone at UDP port 24569: a registration, a call, and one to a number that is none. Nobody speaks.
pub const CAPTURE: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../testdata/asterisk-register-call-reject.pcap"
));

/// A modem at UDP port 24570: it registers, is called, answers with its tone, and registers no more.
const MODEM: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../testdata/iaxmodem-register-call.pcap"
));

/// Shows each datagram of `CAPTURE`.
pub fn each_datagram(show: impl FnMut(UdpDatagram<'_>)) -> Result<(), CaptureError> {
    each_datagram_of(CAPTURE, 24_569, show)
}

fn each_datagram_of(
    capture: &[u8],
    port: u16,
    mut show: impl FnMut(UdpDatagram<'_>),
) -> Result<(), CaptureError> {
    let mut datagrams = Datagrams::new(vec![port]);
    read(capture, |packet| {
        datagrams.find(&packet, &mut show);
        ControlFlow::Continue(())
    })?;
    Ok(())
}

/// What is told of the exchanges of `CAPTURE`.
pub fn stories() -> Result<Vec<Story>, CaptureError> {
    let mut tracker = Tracker::default();
    each_datagram(|datagram| {
        tracker.see(&datagram, &mut ());
    })?;
    Ok(tracker.finish())
}

/// Hears the call of the modem.
pub fn hear_modem(ear: &mut impl Hear) -> Result<(), CaptureError> {
    let mut tracker = Tracker::default();
    each_datagram_of(MODEM, 24_570, |datagram| {
        tracker.see(&datagram, ear);
    })
}
