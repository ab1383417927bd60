//! What happens, for whoever listens to the API. Nobody waits for a listener: what a slow one does not
//! fetch in time it misses, and is told how much.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use utoipa::ToSchema;

use crate::api::model::PeerState;

/// Events that wait for a slow listener.
const MOST_WAITING: usize = 1_024;

/// Something that happened.
///
/// ```
/// use oneport_switch::{News, What};
///
/// let line = r#"{"event_number": 7, "at": "2026-02-03T04:05:06Z",
///                "event": "call_ringing", "call": "1", "by": "bob"}"#;
/// let news: News = serde_json::from_str(line)?;
/// assert_eq!((news.number, news.what.name()), (7, "call_ringing"));
/// assert!(matches!(news.what, What::CallRinging { by: Some(by), .. } if by == "bob"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct News {
    /// Counts all events since the start of the switch, so that a listener sees what it has missed. Some events
    /// have the `number` called, so its name in JSON is another.
    #[serde(rename = "event_number")]
    pub number: u64,
    /// When, in UTC (RFC 3339).
    pub at: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
///
/// ```
/// use oneport_switch::What;
///
/// let what = What::Registration { peer: "ann".into(), address: Some("192.0.2.1:4569".into()) };
/// let json = serde_json::to_value(&what)?;
/// assert_eq!((&json["event"], &json["peer"]), (&what.name().into(), &"ann".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// A call has come in, and its caller is known.
    CallBegun {
        /// Its id.
        call: String,
        /// The peer that calls; null for a guest.
        from: Option<String>,
        /// The number called.
        number: String,
    },
    /// It rings at its destination.
    CallRinging {
        /// Its id.
        call: String,
        /// Where it rings.
        by: Option<String>,
    },
    /// It was answered.
    CallAnswered {
        /// Its id.
        call: String,
        /// By whom.
        by: Option<String>,
    },
    /// Its caller has fetched a call that was parked, and is part of that from now on.
    CallJoined {
        /// Its id.
        call: String,
        /// That of the call that was parked.
        into: String,
    },
    /// Its two ends speak different codecs: its voice is transcoded from now on.
    CallTranscoded {
        /// Its id.
        call: String,
        /// What the caller speaks and hears.
        caller: String,
        /// What who was called speaks and hears.
        called: String,
    },
    /// A leg of it is choppy, and a cause of that is new.
    CallChoppy {
        /// Its id.
        call: String,
        /// The peer of the leg; null for a guest.
        peer: Option<String>,
        /// Names of the causes, as docs/choppy.md lists them.
        causes: Vec<String>,
        /// The same as a sentence, with the figures that show it.
        why: String,
        /// The mean opinion score of what is heard here of the peer.
        mos: Option<f64>,
        /// The same of what the peer hears, as it says.
        mos_there: Option<f64>,
    },
    /// A member of a conference has begun to speak, or has ended.
    ConferenceTalker {
        /// The conference.
        room: String,
        /// The member's call.
        call: String,
        /// Who it is.
        who: String,
        /// Whether it speaks, muted or not.
        talks: bool,
    },
    /// On a leg of it voice flows one way only, or not at all.
    CallOneWay {
        /// Its id.
        call: String,
        /// The peer of the leg; null for a guest.
        peer: Option<String>,
        /// Who is not heard: `peer`, `other` (whoever it speaks with) or `both`.
        unheard: String,
        /// The name of the likeliest reason, as docs/media.md lists them.
        reason: String,
        /// The same as a sentence.
        why: String,
    },
    /// Behind that both are heard again.
    CallBothWays {
        /// Its id.
        call: String,
        /// The peer of the leg; null for a guest.
        peer: Option<String>,
        /// For how long they were not.
        seconds: f64,
    },
    /// It is over.
    CallEnded {
        /// Its id.
        call: String,
        /// Since it began.
        seconds: f64,
        /// The cause code (ITU-T Q.850).
        cause: u8,
        /// Who or what ended it.
        reason: String,
        /// The mean opinion score of what was heard here of the caller; null where nothing was.
        mos: Option<f64>,
        /// The same of what the caller heard, as its end says; null where it says nothing.
        mos_there: Option<f64>,
    },
    /// A call or registration was turned away.
    Refused {
        /// The call's id; null where nothing was kept of it.
        call: Option<String>,
        /// Who was turned away.
        from: String,
        /// The number called.
        number: Option<String>,
        /// The cause code sent, if any.
        cause: Option<u8>,
        /// Why, in words.
        why: String,
    },
    /// A peer has registered here, has moved, or is registered no more.
    Registration {
        /// The peer.
        peer: String,
        /// Where it is; null when it is gone.
        address: Option<String>,
    },
    /// A registration of ours elsewhere has changed.
    RegistrationElsewhere {
        /// The registrar.
        registrar: String,
        /// The name it knows us by.
        username: String,
        /// Whether it has us.
        registered: bool,
        /// In words.
        what: String,
    },
    /// A limit has come to its warning mark, is below it again, or was passed.
    Limit {
        /// The limit.
        limit: String,
        /// Calls up.
        used: usize,
        /// How many may be up.
        max: usize,
        /// Whether there is cause to worry.
        above: bool,
    },
    /// New calls are refused as there is more to do than can be done in time, or are taken again.
    Overload {
        /// Whether they are refused.
        refusing: bool,
        /// What was measured, or how many were refused.
        why: String,
    },
    /// A radio node at the far end of a leg is keyed, or is not any more.
    RadioKeyed {
        /// The call's id.
        call: String,
        /// The node.
        node: String,
        /// Whether it is keyed.
        keyed: bool,
        /// How long it was; null while it is.
        seconds: Option<f64>,
    },
    /// A radio node is linked with others than before, as it says.
    RadioLinks {
        /// The call's id.
        call: String,
        /// The node that says so.
        node: String,
        /// With how many others.
        count: usize,
        /// The first 100 of them.
        linked: Vec<String>,
    },
    /// A radio node has said something to people.
    RadioText {
        /// The call's id.
        call: String,
        /// The node at the far end of the leg.
        node: String,
        /// `message`, `telemetry`, `ident` or `disconnect`.
        kind: String,
        /// In words.
        said: String,
    },
    /// A peer is well, or is not any more.
    Peer {
        /// The peer.
        peer: String,
        /// What polls say of it.
        state: PeerState,
    },
}

impl What {
    /// The name of its kind.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CallBegun { .. } => "call_begun",
            Self::CallRinging { .. } => "call_ringing",
            Self::CallAnswered { .. } => "call_answered",
            Self::CallJoined { .. } => "call_joined",
            Self::CallTranscoded { .. } => "call_transcoded",
            Self::CallChoppy { .. } => "call_choppy",
            Self::ConferenceTalker { .. } => "conference_talker",
            Self::CallOneWay { .. } => "call_one_way",
            Self::CallBothWays { .. } => "call_both_ways",
            Self::CallEnded { .. } => "call_ended",
            Self::Refused { .. } => "refused",
            Self::Registration { .. } => "registration",
            Self::RegistrationElsewhere { .. } => "registration_elsewhere",
            Self::Limit { .. } => "limit",
            Self::Overload { .. } => "overload",
            Self::RadioKeyed { .. } => "radio_keyed",
            Self::RadioLinks { .. } => "radio_links",
            Self::RadioText { .. } => "radio_text",
            Self::Peer { .. } => "peer",
        }
    }
}

/// Tells whoever listens.
#[derive(Debug)]
pub(crate) struct Newsroom {
    sender: broadcast::Sender<Arc<News>>,
    number: u64,
}

impl Default for Newsroom {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(MOST_WAITING), number: 0 }
    }
}

impl Newsroom {
    /// Tells of something. Where nobody listens it is not even put into words.
    pub(crate) fn tell(&mut self, what: impl FnOnce() -> What) {
        self.number += 1;
        if self.sender.receiver_count() == 0 {
            return;
        }
        let news = News { number: self.number, at: Timestamp::now().to_string(), what: what() };
        // The last listener may just have gone.
        let _ = self.sender.send(Arc::new(news));
    }

    /// Listens from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<News>> {
        self.sender.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_listener_reads_is_what_was_told() {
        let begun = What::CallBegun { call: "x".into(), from: None, number: "600".into() };
        let refused = What::Refused {
            call: None,
            from: "192.0.2.1:4569".into(),
            number: Some("601".into()),
            cause: Some(34),
            why: "no".into(),
        };
        for what in [begun, refused] {
            let news = News { number: 7, at: "2026-02-03T04:05:06Z".into(), what };
            let text = serde_json::to_string(&news).expect("it is JSON");
            assert_eq!(serde_json::from_str::<News>(&text).expect(&text), news);
        }
    }
}
