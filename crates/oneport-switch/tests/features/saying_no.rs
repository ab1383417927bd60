//! Peers that say that they are busy, or have no line, and do not hang up.

use oneport::{Application, CauseCode, Driver, DriverConfig, Format};
use oneport_proto::{Endpoint, Event, Instant};
use oneport_wire::Control;

use crate::setting::*;

/// It takes each call, says this, and waits, as Asterisk's `Busy` and `Congestion` do.
struct Naysayer(Control);

impl Application for Naysayer {
    fn start(&mut self, _: &mut Endpoint, _: Instant) {}

    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        if let Event::CallOffered { call, .. } = event {
            let _ = endpoint.accept(now, call, Format::ULAW);
            let _ = endpoint.send_control(now, call, self.0, &[]);
        }
    }
}

fn naysayer(says: Control) -> (Driver<Naysayer>, String) {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let config = DriverConfig { listen, ..DriverConfig::default() };
    let driver = Driver::start(config, Naysayer(says)).expect("started");
    let address = driver.local_addresses()[0];
    (driver, format!("address = \"{address}\"\nqualify = false\n"))
}

#[tokio::test]
async fn who_says_that_it_is_busy_and_waits_has_refused_the_call() {
    for (says, cause) in [
        (Control::Busy, CauseCode::USER_BUSY),
        (Control::Congestion, CauseCode::CIRCUIT_CONGESTION),
    ] {
        let (_there, at) = naysayer(says);
        let (_switch, to) = switch(&format!("{THREE_PEERS}[peers.dan]\n{at}"));
        let end = refused(&phone(), to, from("ann", "dan")).await;
        assert_eq!(end.cause, cause, "{says:?}");
    }
}

#[tokio::test]
async fn the_next_destination_is_tried_behind_one_that_says_no_and_waits() {
    let (_busy, busy) = naysayer(Control::Busy);
    let (_full, full) = naysayer(Control::Congestion);
    let text = format!(
        "{THREE_PEERS}[peers.dan]\n{busy}[peers.eve]\n{full}[peers.fay]\n{busy}\
         forward_busy = \"builtin:echo\"\n\
         [[routes]]\nnumber = \"1\"\nto = [\"peer:dan\", \"builtin:echo\"]\n\
         [[routes]]\nnumber = \"2\"\nto = [\"peer:dan\", \"builtin:echo\"]\n\
         continue_on = [\"busy\"]\n\
         [[routes]]\nnumber = \"3\"\nto = [\"peer:eve\", \"builtin:echo\"]\n\
         [[routes]]\nnumber = \"4\"\nto = [\"peer:dan\", \"peer:eve\"]\nstrategy = \"all\"\n"
    );
    let (_switch, to) = switch(&text);
    let ann = phone();
    // Whoever is busy does not want the call; that another is tried must be said.
    assert_eq!(refused(&ann, to, from("ann", "1")).await.cause, CauseCode::USER_BUSY);
    for number in ["2", "3", "fay"] {
        drop(answered(&ann, to, from("ann", number)).await);
    }
    let both = refused(&ann, to, from("ann", "4")).await.cause;
    assert!([CauseCode::USER_BUSY, CauseCode::CIRCUIT_CONGESTION].contains(&both), "{both}");
}
