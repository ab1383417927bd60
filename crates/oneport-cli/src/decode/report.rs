//! What is said of calls that are over: as text and as JSON.

use std::time::Duration;

use oneport::{CallStats, Score};
use oneport_decode::{Fault, FoldedFault, Kind, Outcome, Sealed, SideStory, Story, Time, Weight};
use serde_json::{Value, json};

use super::printable;
use crate::live::millis;
use crate::table::clock;

/// A fault for programs.
pub(crate) fn fault_json(fault: &Fault) -> Value {
    json!({
        "fault": fault.kind.name(),
        "weight": weight(fault.kind.weight()),
        "packet": fault.packet,
        "exchange": fault.exchange,
        "sentence": fault.kind.sentence(),
        "detail": fault.detail,
        "hint": fault.kind.hint(),
    })
}

const fn weight(weight: Weight) -> &'static str {
    match weight {
        Weight::Notice => "notice",
        Weight::Problem => "problem",
    }
}

/// Faults of one kind, for programs.
pub(crate) fn folded_json(fault: &FoldedFault) -> Value {
    let mut record = fault_json(&fault.first);
    if let Value::Object(record) = &mut record {
        record.insert("count".into(), fault.count.into());
    }
    record
}

/// What the voice of a side is worth where it was captured.
pub(crate) fn score(story: &Story, side: &SideStory) -> Option<Score> {
    let both = story.sides.iter().map(|side| side.round_trips.mean());
    let rtt = both.flatten().reduce(|one, other| one + other);
    let format = side.format.or(story.format);
    Score::here(&CallStats { format, rtt, received: side.voice, ..CallStats::default() })
}

pub(crate) fn loss_percent(side: &SideStory) -> f64 {
    let (lost, frames) = (side.voice.lost, side.voice.frames);
    lost as f64 * 100.0 / (lost + frames).max(1) as f64
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn ms(duration: Duration) -> f64 {
    round(millis(duration))
}

/// A call, registration or poll, for programs.
pub(crate) fn json(story: &Story) -> Value {
    let moment = |time: Option<Time>| time.map(Time::seconds);
    let side = |side: &SideStory| {
        let voice = &side.voice;
        json!({
            "address": side.address.to_string(),
            "call_number": side.number.map(|number| number.get()),
            "codec": side.format.map(|format| format.to_string()),
            "frames": voice.frames,
            "lost": voice.lost,
            "lost_percent": round(loss_percent(side)),
            "late": voice.late,
            "out_of_order": voice.out_of_order,
            "duplicates": voice.duplicates,
            "jitter_ms": ms(voice.jitter),
            "late_p50_ms": ms(voice.delay.p50),
            "late_p95_ms": ms(voice.delay.p95),
            "late_p99_ms": ms(voice.delay.p99),
            "late_max_ms": ms(voice.delay.greatest),
            "frame_ms": ms(voice.frame),
            "mos": score(story, side).map(|score| round(score.mos)),
            "trunk_entries": side.trunk_entries,
            "full_frames": side.full_frames,
            "repeated": side.repeated,
            "unread": side.sealed,
            "digits": side.digits,
            "answers_within_ms": side.round_trips.mean().map(ms),
            "answers_within_max_ms": (side.round_trips.count > 0).then(|| ms(side.round_trips.greatest)),
            "hears": side.report.map(|report| json!({
                "frames": report.frames,
                "lost": report.lost,
                "lost_percent": report.lost_percent,
                "jitter_ms": ms(report.jitter),
                "delay_ms": ms(report.delay),
                "dropped": report.dropped,
                "out_of_order": report.out_of_order,
            })),
        })
    };
    json!({
        "record": story.kind.name(),
        "exchange": story.number,
        "outcome": story.outcome.name(),
        "begun_before": story.begun_before,
        "called": story.called,
        "context": story.context,
        "calling": story.calling,
        "calling_name": story.calling_name,
        "username": story.username,
        "proof": story.proof,
        "call_token": story.token,
        "encrypted": story.sealed.name(),
        "codec": story.format.map(|format| format.to_string()),
        "began": story.began.seconds(),
        "accepted": moment(story.accepted),
        "ringing": moment(story.ringing),
        "answered": moment(story.answered),
        "ended": moment(story.ended),
        "seconds": round(story.duration().as_secs_f64()),
        "ended_by": story.ended_by,
        "cause": story.cause.map(|cause| cause.0),
        "cause_name": story.cause.map(|cause| cause.name()),
        "cause_text": story.cause_text,
        "refresh_seconds": story.refresh,
        "sides": story.sides.each_ref().map(side),
        "faults": story.faults.iter().map(folded_json).collect::<Vec<Value>>(),
    })
}

/// What it is, in a line: who wanted what of whom, and what became of it.
pub(crate) fn headline(story: &Story) -> String {
    let name = |text: &Option<String>| text.as_deref().map(printable);
    let [one, other] = &story.sides;
    let (from, to) = (super::short(one.address), super::short(other.address));
    let what = match story.kind {
        Kind::Call => {
            let caller = name(&story.calling).or_else(|| name(&story.username));
            let caller = caller.map_or_else(String::new, |caller| format!("{caller} at "));
            let called =
                name(&story.called).map_or_else(String::new, |number| format!("{number} at "));
            format!("call {caller}{from} > {called}{to}")
        }
        Kind::Registration => {
            let who = name(&story.username).map_or_else(String::new, |who| format!("{who} at "));
            format!("registration {who}{from} > {to}")
        }
        Kind::Poll => format!("poll {from} > {to}"),
        Kind::Device => format!("device {from} > {to}"),
    };
    format!("#{} {what}", story.number)
}

/// How it went, in a line.
pub(crate) fn course(story: &Story) -> String {
    let mut parts: Vec<String> = Vec::new();
    let outcome = match story.outcome {
        Outcome::GivenUp => "ended before anybody answered".into(),
        Outcome::Up => "still up where the capture ends".into(),
        Outcome::Invalid => "not known to the other side".into(),
        Outcome::Unanswered => "nobody answers".into(),
        Outcome::Registered => match story.refresh {
            Some(seconds) => format!("registered for {seconds} s"),
            None => "done".into(),
        },
        outcome => outcome.name().to_string(),
    };
    parts.push(outcome);
    if story.begun_before {
        parts.push("begun before the capture".into());
    }
    if let Some(cause) = story.cause {
        parts.push(cause.to_string());
    }
    if let Some(text) = &story.cause_text {
        parts.push(format!("\"{}\"", printable(text)));
    }
    if let (Some(side), Kind::Call) = (story.ended_by, story.kind) {
        parts.push(if side == 0 { "by the caller".into() } else { "by the called side".into() });
    }
    if story.kind == Kind::Call {
        if let Some(format) = story.format {
            parts.push(format.to_string());
        }
        if let Some(answered) = story.answered {
            parts
                .push(format!("answered after {:.1} s", answered.since(story.began).as_secs_f64()));
            parts.push(format!("up for {}", clock(story.duration().as_secs_f64())));
        }
    }
    if let Some(proof) = story.proof {
        parts.push(format!("proof by {proof}"));
    }
    match story.sealed {
        Sealed::Not => {}
        Sealed::Opened => parts.push("encrypted".into()),
        Sealed::Closed => parts.push("encrypted, and not read".into()),
    }
    parts.join(", ")
}

/// What came of a side, in a line; nothing where it said nothing.
pub(crate) fn voice(story: &Story, side: &SideStory) -> Option<String> {
    let voice = &side.voice;
    let mut parts: Vec<String> = Vec::new();
    if voice.frames > 0 {
        let codec = side.format.map(|format| format.to_string()).unwrap_or_default();
        parts.push(format!("{} frames of {codec}", voice.frames));
        parts.push(format!("lost {:.1} %", loss_percent(side)));
        parts.push(format!("jitter {:.1} ms", millis(voice.jitter)));
        parts.push(format!("late up to {:.0} ms (p95)", millis(voice.delay.p95)));
        for (count, what) in [(voice.out_of_order, "out of order"), (voice.duplicates, "twice")] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        if let Some(score) = score(story, side) {
            parts.push(format!("MOS {:.1}", score.mos));
        }
    }
    if side.trunk_entries > 0 {
        parts.push(format!("{} in trunk frames", side.trunk_entries));
    }
    if side.sealed > 0 {
        parts.push(format!("{} frames not read", side.sealed));
    }
    if let Some(mean) = side.round_trips.mean() {
        parts.push(format!("answers within {:.1} ms", millis(mean)));
    }
    if side.repeated > 0 {
        parts.push(format!("{} sent again", side.repeated));
    }
    if !side.digits.is_empty() {
        parts.push(format!("keys {}", side.digits));
    }
    if let Some(report) = side.report.filter(|report| report.frames > 0) {
        parts.push(format!(
            "hears {} frames, lost {} %, jitter {} ms",
            report.frames,
            report.lost_percent,
            report.jitter.as_millis()
        ));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// All that is said of one for people: a headline, and what is known below it.
pub(crate) fn text(story: &Story) -> Vec<String> {
    let mut lines = vec![headline(story), format!("    {}", course(story))];
    for side in &story.sides {
        if let Some(voice) = voice(story, side) {
            lines.push(format!("    {}: {voice}", super::short(side.address)));
        }
    }
    lines
}

/// Faults of one kind for people: what, where, and what helps.
pub(crate) fn fault_text(fault: &FoldedFault) -> Vec<String> {
    let mark = match fault.first.kind.weight() {
        Weight::Problem => '!',
        Weight::Notice => '-',
    };
    let times = match fault.count {
        1 => format!("packet {}", fault.first.packet),
        count => format!("{count} times, first in packet {}", fault.first.packet),
    };
    let said = printable(&fault.first.to_string());
    vec![format!("    {mark} {said} ({times})"), format!("      hint: {}", fault.first.kind.hint())]
}
