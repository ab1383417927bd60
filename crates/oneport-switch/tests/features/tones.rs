//! Tones that callers hear before an answer.

use std::time::Duration;

use oneport::media::{Codec, tone};
use oneport::{
    Application, AudioReader, Call, CallError, CallEvent, CauseCode, Driver, DriverConfig, Format,
    Progress,
};
use oneport_proto::{CallId, Endpoint, Event, Instant};

use crate::setting::*;

/// Ann hears German tones, before an answer too; Bob American ones, and no early ones.
const TONES: &str = "
[peers.ann]
secret = \"a\"
tones = \"de\"
early_tones = [\"ringback\", \"busy\", \"congestion\"]
[peers.bob]
secret = \"b\"
[peers.cid]
secret = \"c\"
early_tones = [\"ringback\"]
[[routes]]
number = \"1\"
to = [\"busy\"]
[[routes]]
number = \"2\"
to = [\"congestion\"]
";

/// Waits until a tone of these frequencies is heard, and nothing of the others.
async fn hears_tone(ear: &mut AudioReader, there: &[f64], away: &[f64]) {
    let mut heard = Vec::new();
    let waits = async {
        loop {
            let frame = ear.next_frame().await.expect("running");
            Codec::for_format(frame.format).expect("spoken").decode(&frame.payload, &mut heard);
            let Some(last) = heard.len().checked_sub(1_600) else { continue };
            let level = |frequency: &f64| tone::level_dbm0(&heard[last..], *frequency, 8_000);
            if there.iter().all(|one| level(one) > -16.0) {
                assert!(away.iter().all(|one| level(one) < -30.0), "another tone");
                return;
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waits).await.is_ok(), "{there:?} is not heard");
}

/// The next event but acceptance.
async fn progress(call: &mut Call) -> Option<CallEvent> {
    loop {
        match call.next_event().await {
            Some(CallEvent::Accepted(_)) => {}
            other => return other,
        }
    }
}

#[tokio::test]
async fn a_caller_hears_ringing_of_its_country_until_there_is_an_answer() {
    for (caller, there, away) in
        [("ann", &[425.0][..], &[480.0][..]), ("cid", &[440.0, 480.0], &[620.0, 350.0])]
    {
        let (_switch, to) = switch(TONES);
        let ((bob, _at), phone) = (registered(to, "bob").await, phone());
        let mut ours = phone.call(to, from(caller, "bob")).await.expect("placed");
        let mut rings = incoming(&bob).await;
        rings.ring().await.expect("the caller waits");
        let first = progress(&mut ours).await;
        assert_eq!(first, Some(CallEvent::Progress(Progress::Ringing)));
        let then = progress(&mut ours).await;
        assert_eq!(then, Some(CallEvent::Progress(Progress::EarlyMedia)));
        let (mut ear, _) = ours.audio().await.expect("accepted");
        hears_tone(&mut ear, there, away).await;
        let theirs = rings.answer().await.expect("the caller waits");
        tokio::time::timeout(PATIENCE, ours.answered()).await.expect("in time").expect("answered");
        tokio::select! {
            () = say(&theirs, 2_000) => {}
            () = hears(&mut ear, 2_000) => {}
        }
        // Nothing else is heard now.
        tokio::select! {
            () = say(&theirs, 2_000) => {}
            () = async {
                for _ in 0..20 {
                    let frame = ear.next_frame().await.expect("running");
                    let mut samples = Vec::new();
                    Codec::Ulaw.decode(&frame.payload, &mut samples);
                    assert!(samples.iter().all(|sample| sample.abs_diff(2_000) < 130));
                }
            } => {}
        }
    }
}

/// Rings, and says something after a second without having answered.
#[derive(Default)]
struct Ringer {
    call: Option<CallId>,
    next: Option<Instant>,
    payload: Vec<u8>,
}

impl Application for Ringer {
    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        if let Event::CallOffered { call, .. } = event {
            endpoint.accept(now, call, Format::ULAW).expect("offered");
            endpoint.ringing(now, call).expect("accepted");
            Codec::Ulaw.encode(&[3_000; 160], &mut self.payload);
            (self.call, self.next) = (Some(call), Some(now + Duration::from_secs(1)));
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        if let (Some(call), Some(next)) = (self.call, self.next.filter(|next| *next <= now)) {
            // The caller may have gone.
            let _ = endpoint.send_voice(now, call, Format::ULAW, &self.payload, 20);
            self.next = Some(next + Duration::from_millis(20));
        }
    }
}

#[tokio::test]
async fn a_destination_that_speaks_before_it_answers_is_heard_in_place_of_ringing() {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let config = DriverConfig { listen, ..DriverConfig::default() };
    let ringer = Driver::start(config, Ringer::default()).expect("started");
    let address = ringer.local_addresses()[0];
    let (_switch, to) = switch(&format!("{TONES}[peers.far]\naddress = \"{address}\"\n"));
    let ann = phone();
    let mut ours = ann.call(to, from("ann", "far")).await.expect("placed");
    assert_eq!(progress(&mut ours).await, Some(CallEvent::Progress(Progress::Ringing)));
    let (mut ear, _) = ours.audio().await.expect("accepted");
    hears_tone(&mut ear, &[425.0], &[]).await;
    hears(&mut ear, 3_000).await;
}

#[tokio::test]
async fn busy_and_congestion_are_heard_where_they_are_wanted_and_then_said() {
    let (_switch, to) = switch(TONES);
    let phone = phone();
    for (number, cause) in [("1", CauseCode::USER_BUSY), ("2", CauseCode::CIRCUIT_CONGESTION)] {
        let mut call = phone.call(to, from("ann", number)).await.expect("placed");
        assert!(matches!(call.next_event().await, Some(CallEvent::Accepted(_))));
        let (mut ear, _) = call.audio().await.expect("accepted");
        hears_tone(&mut ear, &[425.0], &[480.0, 620.0]).await;
        match tokio::time::timeout(PATIENCE, call.answered()).await.expect("in time") {
            Err(CallError::Ended(end)) => assert_eq!(end.cause, cause),
            other => panic!("{other:?}"),
        }
        // Who wants none is refused at once.
        let mut call = phone.call(to, from("bob", number)).await.expect("placed");
        match call.next_event().await {
            Some(CallEvent::Ended(end)) => assert_eq!(end.cause, cause),
            other => panic!("{other:?}"),
        }
    }
}
