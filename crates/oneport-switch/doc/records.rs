// Records of calls: the examples of the documentation include this.

use oneport_switch::{Cdr, HungUpBy, LegDirection, Quality, Refusal, Stage, Utc};
use uuid::Uuid;

/// A call of `ann` to number 600, the echo: it rang for a second and was up for 8.9 s.
pub fn cdr() -> Cdr {
    Cdr {
        call: Uuid::nil(),
        leg: 1,
        switch: None,
        direction: LegDirection::In,
        peer: Some("ann".into()),
        address: "192.0.2.1:4569".into(),
        calling_number: Some("100".into()),
        calling_name: None,
        called_number: "600".into(),
        dnid: None,
        rdnis: None,
        route: None,
        destination: Some("builtin:echo".into()),
        start: Utc::from_unix_millis(0),
        answer: Some(Utc::from_unix_millis(1_000)),
        end: Utc::from_unix_millis(9_900),
        duration_ms: 9_900,
        billable_ms: 8_900,
        reason: "remote_hangup".into(),
        cause: 16,
        cause_text: None,
        hung_up_by: HungUpBy::Peer,
        codec: Some("ulaw".into()),
        transcoded: None,
        encrypted: false,
        trunk: false,
        limit: None,
        account_code: None,
        quality: Quality { frames: 445, lost: 5, ..Quality::default() },
    }
}

/// A limit stood against a call of `ann`.
pub fn refusal() -> Refusal {
    Refusal {
        call: Uuid::nil(),
        number: 1,
        switch: None,
        at: Utc::from_unix_millis(0),
        peer: Some("ann".into()),
        address: "192.0.2.1:4569".into(),
        calling_number: Some("100".into()),
        called_number: "900".into(),
        stage: Stage::Limit,
        kind: "limit_calls".into(),
        rule: Some("limit carrier".into()),
        value: Some("30 of 30 calls".into()),
        destination: None,
        ended_call: true,
        cause: Some(42),
        said: None,
        why: "limit carrier is full: 30 of 30 calls".into(),
        fix: Some("raise max_calls of limits.carrier".into()),
    }
}
