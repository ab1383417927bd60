//! All that is known of one thing, as lines: a name, and what there is to say.

use std::collections::BTreeMap;

use oneport_switch::api::model::{CallView, CarrierView, LegView, LimitView, PeerView};
use oneport_switch::store::CallStory;
use oneport_switch::{Cdr, Refusal};

use super::list::Tone;
use super::state::{Facts, Known, Tab};
use super::{rows, words};
use crate::show::{registration_word, state_word};

/// A line.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Fact {
    /// Empty: it goes on with the line before.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

pub(crate) fn fact(name: &str, text: impl Into<String>) -> Fact {
    Fact { name: name.into(), text: text.into(), tone: Tone::Plain }
}

impl Fact {
    pub(crate) const fn toned(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
}

/// A name, and the lines of it; the name stands once.
fn listed(name: &str, lines: impl IntoIterator<Item = Fact>) -> Vec<Fact> {
    let mut lines: Vec<Fact> = lines.into_iter().collect();
    if let Some(first) = lines.first_mut() {
        first.name = name.into();
    }
    lines
}

fn or_dash(text: Option<&str>) -> &str {
    text.filter(|text| !text.is_empty()).unwrap_or("-")
}

fn millis(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".into(), |ms| format!("{ms:.1} ms"))
}

/// What is known of a row of a list; `None`: it is there no more.
pub(crate) fn of(known: &Known, facts: &Facts) -> Option<Vec<Fact>> {
    match facts.tab {
        Tab::Trunks | Tab::Peers => {
            let peer = known.peers.iter().find(|peer| peer.name == facts.key);
            peer.map(|peer| of_peer(known, peer)).or_else(|| of_elsewhere(known, &facts.key))
        }
        Tab::Carriers => {
            let carrier = known.carriers.iter().find(|carrier| carrier.name == facts.key)?;
            Some(of_carrier(known, carrier))
        }
        Tab::Limits => known.limits.iter().find(|limit| limit.name == facts.key).map(of_limit),
        Tab::Calls => known.captured.get(&facts.key).map(|call| call.facts.clone()),
        Tab::Events => None,
    }
}

fn of_peer(known: &Known, peer: &PeerView) -> Vec<Fact> {
    let latency = peer.latency_ms.map(|ms| format!(", {ms:.1} ms")).unwrap_or_default();
    let expires = peer.expires_seconds.map(words::span);
    let registers = match (peer.registers, expires) {
        (false, _) => "no, its address is configured".into(),
        (true, Some(span)) => format!("yes, for {span} more"),
        (true, None) => "yes, but it is not registered now".into(),
    };
    let mut facts = vec![
        fact("state", format!("{}{latency}", state_word(peer.state)))
            .toned(words::peer_state(peer.state)),
        fact("address", or_dash(peer.address.as_deref())),
        fact("registers", registers),
        fact("calls in, out", format!("{}, {}", peer.calls_in, peer.calls_out)),
        fact("voice", if peer.trunk { "in trunk frames" } else { "in mini frames" }),
        fact("codecs", peer.codecs.join(", ")),
        fact("encryption", &peer.encryption),
        fact("proof", or_dash(Some(&peer.auth.join(", ")))),
        fact("contexts", or_dash(Some(&peer.contexts.join(", ")))),
    ];
    if let Some(username) = &peer.username {
        facts.push(fact("called as", username));
    }
    if peer.restricted {
        facts.push(fact("networks", "some only"));
    }
    facts.extend(limits_on(known, &peer.limits));
    facts.extend(capacity_of(known, &peer.name));
    facts.extend(refusals_by(known, &peer.name));
    facts
}

fn of_elsewhere(known: &Known, key: &str) -> Option<Vec<Fact>> {
    let there = known.elsewhere.iter().find(|there| rows::key_of(there) == key)?;
    let mut facts = vec![
        fact("registrar", &there.registrar),
        fact("as", &there.username),
        fact("state", registration_word(there.state)),
        fact("for", words::span(there.refresh_seconds)),
        fact("seen at", or_dash(there.apparent_address.as_deref())),
    ];
    if let Some(failure) = &there.failure {
        facts.push(fact("failure", failure).toned(Tone::Bad));
    }
    Some(facts)
}

fn of_carrier(known: &Known, carrier: &CarrierView) -> Vec<Fact> {
    let latency = carrier.latency_ms.map(|ms| format!("{ms:.1} ms, ")).unwrap_or_default();
    let since = words::span(carrier.since_seconds);
    let mut facts = vec![
        fact("state", format!("{}, {latency}for {since}", state_word(carrier.state)))
            .toned(words::peer_state(carrier.state)),
    ];
    if let Some(down) = &carrier.down {
        facts.push(fact("no call goes there", down).toned(Tone::Bad));
    }
    facts.push(fact("host", format!("{} by {}", carrier.host, carrier.transport)));
    facts.push(fact("addresses", or_dash(Some(&carrier.addresses.join(", ")))));
    let registration = carrier.registration.map(registration_word);
    let span = carrier.registered_seconds.map(|seconds| format!(" for {}", words::span(seconds)));
    let registration =
        registration.map(|word| format!("{word}{}", span.clone().unwrap_or_default()));
    facts.push(fact("registration", or_dash(registration.as_deref())));
    if let Some(failure) = &carrier.registration_failure {
        facts.push(fact("", failure).toned(Tone::Bad));
    }
    facts.push(fact("calls in, out", format!("{}, {}", carrier.calls_in, carrier.calls_out)));
    facts.push(fact("turned away", words::many(carrier.turned_away)));
    facts.push(fact("codecs", carrier.codecs.join(", ")));
    let name = format!("carrier:{}", carrier.name);
    if let Some(peer) = known.peers.iter().find(|peer| peer.name == name) {
        facts.extend(limits_on(known, &peer.limits));
    }
    facts.extend(capacity_of(known, &name));
    facts.extend(refusals_by(known, &name));
    facts
}

fn limits_on(known: &Known, names: &[String]) -> Vec<Fact> {
    let own = known.limits.iter().filter(|limit| names.contains(&limit.name));
    let lines = own.filter_map(|limit| {
        let most = limit.max_calls?;
        let tone = if limit.used >= most { Tone::Bad } else { Tone::Plain };
        let (used, peak, name) = (limit.used, limit.peak, &limit.name);
        Some(fact("", format!("{name}: {used} of {most}, at most {peak} so far")).toned(tone))
    });
    match listed("limits", lines) {
        lines if lines.is_empty() => vec![fact("limits", "none is on it")],
        lines => lines,
    }
}

fn capacity_of(known: &Known, peer: &str) -> Vec<Fact> {
    let capacity = known.capacity.as_ref();
    let of_it = capacity.and_then(|capacity| capacity.peers.iter().find(|one| one.peer == peer));
    let Some(one) = of_it else { return Vec::new() };
    let words = one
        .forecast
        .as_ref()
        .map(|told| format!("{} ({} to {})", told.words, told.at_least, told.at_most));
    words
        .or_else(|| one.why_not.clone())
        .map(|words| fact("more calls", words))
        .into_iter()
        .collect()
}

/// Why a destination did not take calls, the most frequent first.
fn refusals_by(known: &Known, peer: &str) -> Vec<Fact> {
    let Some(refusals) = &known.refusals else { return Vec::new() };
    let by_it = |refusal: &&Refusal| {
        let destination = refusal.destination.as_deref().unwrap_or_default();
        let rest = destination.strip_prefix("peer:").and_then(|name| name.strip_prefix(peer));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for refusal in refusals.iter().filter(by_it) {
        let cause = refusal.cause.map(|cause| format!("{cause}: ")).unwrap_or_default();
        *counts.entry(format!("{cause}{}", refusal.why)).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let lines = counts.into_iter().map(|(why, count)| fact("", format!("{count} x  {why}")));
    match listed("did not take", lines) {
        lines if lines.is_empty() => {
            vec![fact(
                "did not take",
                format!("none of the last {} refusals was by it", refusals.len()),
            )]
        }
        lines => lines,
    }
}

fn of_limit(limit: &LimitView) -> Vec<Fact> {
    let most = |most: Option<usize>| most.map_or_else(|| "no limit".into(), words::count);
    let mut facts = vec![
        fact("calls up", format!("{} of {}", words::count(limit.used), most(limit.max_calls))),
        fact(
            "begun in a second",
            format!("{} of {}", limit.begun_within_second, most(limit.max_calls_per_second)),
        ),
        fact("the most at once", words::count(limit.peak)),
        fact("refused", words::many(limit.refused)),
        fact("full for", words::clock(limit.at_cap_seconds)),
    ];
    if limit.soft {
        facts.push(fact("kind", "soft: it warns, and refuses nothing"));
    }
    let users = limit.top.iter().map(|user| fact("", format!("{:>6}  {}", user.calls, user.name)));
    facts.extend(listed("who uses it", users));
    facts
}

/// What ails a call, and what is known of it beside the figures of its legs.
pub(crate) fn of_call(call: &CallView) -> Vec<Fact> {
    let mut facts = Vec::new();
    for leg in std::iter::once(&call.caller).chain(&call.called) {
        facts.extend(ails(leg));
    }
    if facts.is_empty() {
        let heard = call.caller.heard.mos.is_some();
        let words = if heard { "nothing ails it" } else { "no voice was heard yet" };
        facts.push(fact("diagnosis", words));
    }
    facts.extend(so_far(call));
    facts
}

fn ails(leg: &LegView) -> Vec<Fact> {
    let who = leg.peer.as_deref().unwrap_or(&leg.address);
    let mut facts = Vec::new();
    if let Some(one_way) = &leg.one_way {
        facts.push(fact("not heard", format!("{who}: {}", one_way.why)).toned(Tone::Bad));
    }
    if let Some(diagnosis) = &leg.diagnosis {
        facts.push(fact("choppy", format!("{who}: {diagnosis}")).toned(Tone::Fair));
        facts.extend(listed("mended by", leg.remedies.iter().map(|remedy| fact("", remedy))));
    }
    facts
}

/// The record of a call, as far as there is one.
fn so_far(call: &CallView) -> Vec<Fact> {
    let mut facts = vec![
        fact("route", or_dash(call.route.as_deref())),
        fact("destination", or_dash(call.destination.as_deref())),
    ];
    if let Some(both) = &call.transcoded {
        facts.push(fact("transcoded", format!("{} to {}", both.caller, both.called)));
    }
    if let Some(recording) = &call.recording {
        let span = words::clock(recording.seconds);
        let failed = if recording.failed { ", FAILED" } else { "" };
        facts.push(fact("recorded", format!("{} for {span}{failed}", recording.file)));
    }
    if !call.listeners.is_empty() {
        facts.push(fact("listened to by", call.listeners.join(", ")));
    }
    for leg in std::iter::once(&call.caller).chain(&call.called) {
        let sent = words::many(leg.sent_frames);
        let again = usize::try_from(leg.retransmissions).unwrap_or(usize::MAX);
        let again = crate::table::count(again, "message");
        let (first, last) = (&leg.first_message, &leg.last_message);
        facts.push(fact(
            &leg.channel,
            format!("{first} ... {last}; {sent} frames of voice sent, {again} sent again"),
        ));
    }
    facts
}

/// What is kept of a call that is over.
pub(crate) fn of_story(story: &CallStory) -> Vec<Fact> {
    let mut facts = Vec::new();
    for refusal in &story.refusals {
        let rule = refusal.rule.as_ref().map(|rule| format!(", {rule}")).unwrap_or_default();
        let cause = refusal.cause.map(|cause| format!(", cause {cause}")).unwrap_or_default();
        facts.push(fact("refused", &refusal.why).toned(Tone::Bad));
        facts.push(fact("", format!("{}{rule}{cause}", refusal.stage)));
        if let Some(fix) = &refusal.fix {
            facts.push(fact("mended by", fix));
        }
    }
    for leg in &story.legs {
        facts.extend(record(leg));
    }
    facts
}

fn record(leg: &Cdr) -> Vec<Fact> {
    let who = leg.peer.as_deref().unwrap_or("a guest");
    let quality = &leg.quality;
    let score = |mos: Option<f64>| mos.map_or_else(|| "-".into(), |mos| format!("{mos:.2}"));
    let cause = leg.cause_text.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "parts of a second are not shown")]
    let span = |ms: u64| words::clock(ms as f64 / 1e3);
    let mut facts = vec![
        fact(&format!("leg {} {}", leg.leg, leg.direction), format!("{who} at {}", leg.address)),
        fact(
            "number",
            format!("{} -> {}", or_dash(leg.calling_number.as_deref()), leg.called_number),
        ),
        fact("began", leg.start.to_string()),
        fact("answered", leg.answer.map_or_else(|| "no".into(), |at| at.to_string())),
        fact("ended", format!("{} by {}", leg.end, leg.hung_up_by)),
        fact("lasted, talked", format!("{}, {}", span(leg.duration_ms), span(leg.billable_ms))),
        fact("why", format!("{}, cause {}{cause}", leg.reason.replace('_', " "), leg.cause)),
        fact("route", or_dash(leg.route.as_deref())),
        fact("destination", or_dash(leg.destination.as_deref())),
        fact("codec", or_dash(leg.codec.as_deref())),
        fact("MOS", format!("{} here, {} there", score(quality.mos), score(quality.remote_mos))),
        fact(
            "lost",
            format!(
                "{} of {}",
                words::many(quality.lost),
                words::many(quality.lost + quality.frames)
            ),
        ),
    ];
    if let Some(diagnosis) = &quality.diagnosis {
        facts.push(fact("choppy", diagnosis).toned(Tone::Fair));
    }
    if let Some(why) = &quality.one_way_why {
        facts.push(fact("not heard", why).toned(Tone::Bad));
    }
    facts
}

/// Figures of a leg: a name, as we hear it, as the other side does, and how each is meant.
pub(crate) type Figure = (&'static str, (String, Tone), (String, Tone));

/// How both sides of a leg hear each other.
pub(crate) fn figures(leg: &LegView) -> Vec<Figure> {
    let there = leg.heard_there.as_ref();
    let plain = |text: String| (text, Tone::Plain);
    let score = |mos: Option<f64>| match mos {
        Some(mos) => (format!("{mos:.2}"), words::sound(mos)),
        None => ("-".into(), Tone::Quiet),
    };
    let all = leg.heard.frames + leg.heard.lost;
    #[expect(clippy::cast_precision_loss, reason = "it is a share")]
    let lost = (all > 0).then(|| leg.heard.lost as f64 * 100.0 / all as f64);
    let lost_here = match lost {
        Some(percent) => {
            let lost = words::many(leg.heard.lost);
            (format!("{lost} ({})", words::percent(percent)), words::loss(percent))
        }
        None => ("-".into(), Tone::Quiet),
    };
    let lost_there = there.map_or_else(
        || ("-".into(), Tone::Quiet),
        |there| {
            let percent = f64::from(there.lost_percent);
            (format!("{} ({percent:.0}%)", there.lost), words::loss(percent))
        },
    );
    let says = |value: Option<String>| plain(value.unwrap_or_else(|| "-".into()));
    vec![
        ("MOS", score(leg.heard.mos), score(there.and_then(|there| there.mos))),
        (
            "frames",
            plain(words::many(leg.heard.frames)),
            says(there.map(|one| words::count(one.frames as usize))),
        ),
        ("lost", lost_here, lost_there),
        (
            "jitter",
            plain(format!("{:.1} ms", leg.heard.jitter_ms)),
            says(there.map(|there| format!("{} ms", there.jitter_ms))),
        ),
        ("late, 95 %", plain(millis(Some(leg.heard.late_p95_ms))), says(None)),
        ("round trip", plain(millis(leg.rtt_ms)), says(None)),
    ]
}
