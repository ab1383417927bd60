//! What a switch says, for tests.

use oneport_switch::api::model::{
    CallState, CallView, Heard, HeardThere, LegView, PeerState, PeerView,
};

/// A leg with a peer, that hears and is heard well.
pub(crate) fn leg(peer: &str, number: u16, incoming: bool) -> LegView {
    let json = serde_json::json!({
        "call": "", "channel": format!("IAX2/{peer}-{number}"), "incoming": incoming,
        "peer": peer, "address": "192.0.2.7:4569", "our_number": number, "their_number": 9,
        "codec": "ulaw", "encrypted": false, "seconds": 312.0, "rtt_ms": 42.0, "lag_ms": 41.0,
        "lag_least_ms": 40.0, "lag_greatest_ms": 60.0, "lag_here_ms": 1.0, "lag_there_ms": 2.0,
        "heard": heard(15_600, 31), "heard_there": heard_there(),
        "causes": [], "diagnosis": null, "remedies": [], "one_way": null,
        "sent_frames": 15_590, "retransmissions": 1, "sent_sequence": 9, "received_sequence": 11,
        "first_message": "Rx:NEW", "last_message": "Rx:ACK"
    });
    serde_json::from_value(json).expect("a leg")
}

fn heard(frames: u64, lost: u64) -> Heard {
    let json = serde_json::json!({
        "frames": frames, "lost": lost, "late": 2, "out_of_order": 0, "duplicates": 0,
        "jitter_ms": 3.4, "late_p50_ms": 1.0, "late_p95_ms": 12.0, "late_p99_ms": 20.0,
        "late_max_ms": 44.0, "late_now_ms": 2.0, "bursts": 1, "burst_ms": 60.0, "gap_ms": 9_000.0,
        "burst_loss_percent": 30.0, "gap_loss_percent": 0.1, "burst_ratio": 1.1, "clock_ppm": null,
        "rating": 92.0, "mos": 4.37
    });
    serde_json::from_value(json).expect("what was heard")
}

fn heard_there() -> HeardThere {
    HeardThere {
        frames: 15_580,
        lost: 1_090,
        lost_percent: 7,
        dropped: 3,
        out_of_order: 0,
        jitter_ms: 19,
        delay_ms: 60,
        rating: Some(64.0),
        mos: Some(3.31),
    }
}

/// A call from Ann to a box.
pub(crate) fn call(id: &str) -> CallView {
    let mut called = leg("box", 7, false);
    called.causes = vec!["loss".into()];
    called.diagnosis = Some("7 % of what is sent to it is lost on the way".into());
    called.remedies = vec!["look at the link between, and at its queue".into()];
    CallView {
        id: id.into(),
        process: None,
        state: CallState::Answered,
        number: "912125550100".into(),
        calling_number: Some("701".into()),
        route: Some("9".into()),
        destination: Some("peer:box/12125550100".into()),
        seconds: 312.0,
        recording: None,
        listeners: Vec::new(),
        transcoded: None,
        caller: leg("ann", 5, true),
        called: vec![called],
    }
}

/// A trunk that is well.
pub(crate) fn peer(name: &str) -> PeerView {
    PeerView {
        name: name.into(),
        state: PeerState::Ok,
        latency_ms: Some(12.3),
        address: Some("192.0.2.7:4569".into()),
        registers: false,
        expires_seconds: None,
        username: None,
        trunk: true,
        encryption: "off".into(),
        codec_priority: "host".into(),
        codecs: vec!["ulaw".into(), "alaw".into()],
        contexts: vec!["default".into()],
        auth: vec!["md5".into()],
        restricted: false,
        calls_in: 3,
        calls_out: 12,
        limits: vec!["carrier".into()],
    }
}
