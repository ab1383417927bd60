//! Figures and events as people read them.

use std::time::Duration;

use oneport_switch::What;
use oneport_switch::api::model::{CallState, PeerState};

use super::list::Tone;

/// 1,234,567.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The same of what is counted with more bits.
pub(crate) fn many(number: u64) -> String {
    usize::try_from(number).map_or_else(|_| number.to_string(), count)
}

/// Seconds as 1:05, or 2:03:09.
pub(crate) fn clock(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    match seconds / 3_600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// Seconds as 12 min, or 3 d 4 h.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

pub(crate) fn bytes(number: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let megabytes = number as f64 / 1e6;
    if megabytes < 1_000.0 {
        format!("{megabytes:.0} MB")
    } else {
        format!("{:.1} GB", megabytes / 1e3)
    }
}

/// A share with as many digits as fit in five columns.
pub(crate) fn percent(share: f64) -> String {
    if share < 9.95 { format!("{share:.1}%") } else { format!("{share:.0}%") }
}

/// How a mean opinion score sounds, by the classes of ITU-T G.109.
pub(crate) fn sound(mos: f64) -> Tone {
    match mos {
        4.03.. => Tone::Good,
        3.6.. => Tone::Plain,
        3.1.. => Tone::Fair,
        _ => Tone::Bad,
    }
}

/// How much loss people hear.
pub(crate) fn loss(percent: f64) -> Tone {
    match percent {
        5.0.. => Tone::Bad,
        1.0.. => Tone::Fair,
        _ => Tone::Plain,
    }
}

pub(crate) const fn call_state(state: CallState) -> (&'static str, Tone) {
    match state {
        CallState::Identifying => ("identifying", Tone::Busy),
        CallState::Dialling => ("dialling", Tone::Busy),
        CallState::Calling => ("calling", Tone::Busy),
        CallState::Ringing => ("ringing", Tone::Fair),
        CallState::Answered => ("answered", Tone::Good),
        CallState::Parked => ("parked", Tone::Fair),
    }
}

pub(crate) const fn peer_state(state: PeerState) -> Tone {
    match state {
        PeerState::Unmonitored | PeerState::Unknown => Tone::Quiet,
        PeerState::Ok => Tone::Good,
        PeerState::Lagged => Tone::Fair,
        PeerState::Unreachable => Tone::Bad,
    }
}

/// An event as a sentence, how it is meant, and the call it is about.
pub(crate) fn event(what: &What) -> (String, Tone, Option<&str>) {
    let who = |who: &Option<String>| who.as_deref().unwrap_or("a guest").to_string();
    let (words, tone, call) = match what {
        What::CallBegun { call, from, number } => {
            (format!("{} calls {number}", who(from)), Tone::Plain, Some(call))
        }
        What::CallRinging { call, by } => {
            let by = by.as_deref().unwrap_or("the destination");
            (format!("{by} rings"), Tone::Plain, Some(call))
        }
        What::CallAnswered { call, by } => {
            let by = by.as_deref().unwrap_or("the destination");
            (format!("{by} answers"), Tone::Good, Some(call))
        }
        What::CallJoined { call, into } => {
            (format!("its caller has fetched the parked call {into}"), Tone::Plain, Some(call))
        }
        What::CallTranscoded { call, caller, called } => {
            (format!("transcoded, {caller} to {called}"), Tone::Quiet, Some(call))
        }
        What::CallChoppy { call, peer, why, .. } => {
            (format!("choppy, {}: {why}", who(peer)), Tone::Fair, Some(call))
        }
        What::ConferenceTalker { room, call, who, talks } => {
            let does = if *talks { "speaks" } else { "is silent" };
            (format!("{who} {does} in conference {room}"), Tone::Quiet, Some(call))
        }
        What::CallOneWay { call, peer, why, .. } => {
            (format!("not heard, {}: {why}", who(peer)), Tone::Bad, Some(call))
        }
        What::CallBothWays { call, peer, seconds } => {
            (format!("{} is heard again after {seconds:.0} s", who(peer)), Tone::Good, Some(call))
        }
        What::CallEnded { call, seconds, cause, reason, mos, .. } => {
            let mos = mos.map(|mos| format!(", MOS {mos:.1}")).unwrap_or_default();
            let reason = reason.replace('_', " ");
            (
                format!("{reason} after {}, cause {cause}{mos}", clock(*seconds)),
                Tone::Quiet,
                Some(call),
            )
        }
        What::Refused { call, from, number, why, .. } => {
            let to = number.as_ref().map(|number| format!(" to {number}")).unwrap_or_default();
            (format!("{from}{to}: {why}"), Tone::Bad, call.as_ref())
        }
        What::Registration { peer, address: Some(address) } => {
            (format!("{peer} is registered at {address}"), Tone::Good, None)
        }
        What::Registration { peer, address: None } => {
            (format!("{peer} is registered no more"), Tone::Fair, None)
        }
        What::RegistrationElsewhere { registrar, username, registered, what } => {
            let tone = if *registered { Tone::Good } else { Tone::Bad };
            (format!("{username} at {registrar}: {what}"), tone, None)
        }
        What::Limit { limit, used, max, above } => {
            let (tone, does) = match above {
                true => (Tone::Bad, "is nearly full"),
                false => (Tone::Good, "has room again"),
            };
            (format!("limit {limit} {does}: {used} of {max}"), tone, None)
        }
        What::Overload { refusing: true, why } => {
            (format!("new calls are refused: {why}"), Tone::Bad, None)
        }
        What::Overload { refusing: false, why } => {
            (format!("new calls are taken again: {why}"), Tone::Good, None)
        }
        What::Peer { peer, state } => {
            let word = crate::show::state_word(*state);
            (format!("{peer} is {word}"), peer_state(*state), None)
        }
        What::RadioKeyed { call, node, keyed: true, .. } => {
            (format!("node {node} is keyed"), Tone::Good, Some(call))
        }
        What::RadioKeyed { call, node, seconds, .. } => {
            let lasted = seconds.map(|seconds| format!(", after {seconds:.1} s"));
            let lasted = lasted.unwrap_or_default();
            (format!("node {node} is keyed no more{lasted}"), Tone::Quiet, Some(call))
        }
        What::RadioLinks { call, node, count, .. } => {
            (format!("node {node} is linked with {count} others"), Tone::Plain, Some(call))
        }
        What::RadioText { call, said, .. } => (said.clone(), Tone::Plain, Some(call)),
        other => (other.name().replace('_', " "), Tone::Plain, None),
    };
    (words, tone, call.map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_at_a_glance() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([5.9, 65.0, 7_389.0, -1.0].map(clock), ["0:05", "1:05", "2:03:09", "0:00"]);
        assert_eq!([59, 720, 7_260, 273_600].map(span), ["59 s", "12 min", "2 h 1 min", "3 d 4 h"]);
        assert_eq!([0.04, 9.94, 9.96, 100.0].map(percent), ["0.0%", "9.9%", "10%", "100%"]);
    }

    #[test]
    fn an_event_is_a_sentence_and_leads_to_its_call() {
        let ended = What::CallEnded {
            call: "x".into(),
            seconds: 65.2,
            cause: 16,
            reason: "remote_hangup".into(),
            mos: Some(4.31),
            mos_there: None,
        };
        let (words, _, call) = event(&ended);
        assert_eq!(words, "remote hangup after 1:05, cause 16, MOS 4.3");
        assert_eq!(call, Some("x"));
        let peer = What::Peer { peer: "box".into(), state: PeerState::Unreachable };
        assert_eq!(event(&peer), ("box is UNREACHABLE".into(), Tone::Bad, None));
    }
}
