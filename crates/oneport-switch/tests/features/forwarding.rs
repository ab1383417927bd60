//! Calls that a peer forwards, and audio before an answer.

use std::time::Duration;

use oneport::{Application, CallEvent, CauseCode, Driver, DriverConfig, Format, Progress};
use oneport_proto::{CallId, Endpoint, Event, Instant};

use crate::setting::*;

#[tokio::test]
async fn a_peer_that_forwards_always_does_not_ring_and_the_number_dialled_is_told() {
    let text = format!(
        "{THREE_PEERS}forward_always = \"peer:bob\"\n\
         [[routes]]\nnumber = \"203\"\nto = [\"peer:cid\"]\n"
    );
    let (_switch, to) = switch(&text);
    let ((bob, _b), (cid, _c), ann) =
        (registered(to, "bob").await, registered(to, "cid").await, phone());
    let call = ann.call(to, from("ann", "203")).await.expect("placed");
    let at_bob = incoming(&bob).await;
    assert_eq!(at_bob.offer().called_number, "203");
    assert_eq!(at_bob.offer().rdnis.as_deref(), Some("203"));
    drop((call, at_bob));
    let never = tokio::time::timeout(Duration::from_millis(200), cid.incoming()).await;
    assert!(never.is_err(), "cid rang");
}

#[tokio::test]
async fn busy_unanswered_and_absent_peers_are_forwarded_each_to_its_own_place() {
    let text = "
[peers.ann]
secret = \"a\"
[peers.bob]
secret = \"b\"
forward_busy = \"builtin:echo\"
forward_no_answer = \"peer:cid/9{number}\"
rings_seconds = 1
[peers.cid]
secret = \"c\"
";
    let (_switch, to) = switch(text);
    let ((bob, at), (cid, _c), ann) =
        (registered(to, "bob").await, registered(to, "cid").await, phone());
    let busy = tokio::join!(answered(&ann, to, from("ann", "bob")), async {
        incoming(&bob).await.reject(CauseCode::USER_BUSY);
    });
    drop(busy);
    // He lets it ring.
    let call = ann.call(to, from("ann", "bob")).await.expect("placed");
    let mut ringing = incoming(&bob).await;
    ringing.ring().await.expect("the caller waits");
    let at_cid = incoming(&cid).await;
    assert_eq!(at_cid.offer().called_number, "9bob");
    assert!(ringing.answer().await.is_err(), "bob rings no more");
    drop((call, at_cid));
    // He declines: that is his word.
    let declined = tokio::join!(refused(&ann, to, from("ann", "bob")), async {
        incoming(&bob).await.reject(CauseCode::REJECTED);
    });
    assert_eq!(declined.0.cause, CauseCode::REJECTED);
    // He is not there.
    at.unregister().await;
    let _call = ann.call(to, from("ann", "bob")).await.expect("placed");
    assert_eq!(incoming(&cid).await.offer().called_number, "9bob");
}

#[tokio::test]
async fn peers_that_forward_to_each_other_end_the_call_as_a_circle() {
    let text = "
[peers.ann]
secret = \"a\"
[peers.bob]
secret = \"b\"
forward_always = \"peer:cid\"
[peers.cid]
secret = \"c\"
forward_always = \"peer:bob\"
[peers.dan]
secret = \"d\"
forward_no_answer = \"peer:eve\"
[peers.eve]
secret = \"e\"
forward_no_answer = \"peer:dan\"
";
    let (_switch, to) = switch(text);
    let ann = phone();
    for name in ["bob", "dan"] {
        assert_eq!(refused(&ann, to, from("ann", name)).await.cause.0, 25, "{name}");
    }
}

/// Takes a call and announces something, again and again, without answering it.
#[derive(Default)]
struct Announcer {
    says: Option<(CallId, Instant)>,
}

impl Application for Announcer {
    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        if let Event::CallOffered { call, .. } = event {
            let _ = endpoint.accept(now, call, Format::ULAW);
            let _ = endpoint.ringing(now, call);
            let _ = endpoint.progress(now, call);
            self.says = Some((call, now));
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.says.map(|(_, at)| at)
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        if let Some((call, at)) = &mut self.says {
            let _ = endpoint.send_voice(now, *call, Format::ULAW, &[0x33; 160], 20);
            *at = now + Duration::from_millis(20);
        }
    }
}

#[tokio::test]
async fn what_is_said_before_the_answer_is_heard_while_it_rings() {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let config = DriverConfig { listen, ..DriverConfig::default() };
    let announcer = Driver::start(config, Announcer::default()).expect("started");
    let text = format!(
        "{THREE_PEERS}[peers.dan]\naddress = \"{}\"\nqualify = false\n",
        announcer.local_addresses()[0]
    );
    let (_switch, to) = switch(&text);
    let ann = phone();
    let mut call = ann.call(to, from("ann", "dan")).await.expect("placed");
    let (mut rings, mut speaks) = (false, false);
    while !(rings && speaks) {
        match call.next_event().await {
            Some(CallEvent::Progress(Progress::Ringing)) => rings = true,
            Some(CallEvent::Progress(Progress::EarlyMedia)) => speaks = true,
            Some(CallEvent::Accepted(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    let (mut ear, _) = call.audio().await.expect("accepted");
    let frame = tokio::time::timeout(PATIENCE, ear.next_frame()).await.expect("in time");
    assert_eq!(frame.expect("running").payload.as_slice(), [0x33; 160]);
}
