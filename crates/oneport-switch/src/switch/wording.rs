//! What the log says of calls and refusals.

use oneport::{Diagnosis, Score};
use oneport_proto::{Agreement, CallEnd, CallId, DropReason, EndReason, Instant, Limit};

use super::{Leg, State};

/// Text of a stranger as it may stand in a log: on one line, and as it is.
pub(super) fn printable(text: &str) -> String {
    let plain = |character: char| if character.is_control() { '\u{FFFD}' } else { character };
    text.chars().map(plain).collect()
}

/// Why somebody was turned away, and what mends it.
pub(super) fn refusal_line(reason: DropReason, limit: Option<Limit>, untold: u64) -> String {
    let limit = limit.map(|limit| format!(" ({limit})")).unwrap_or_default();
    let remedy = reason.remedy().map(|remedy| format!("; {remedy}")).unwrap_or_default();
    let more = match untold {
        0 => String::new(),
        untold => format!("; {untold} others before it went untold"),
    };
    format!("{}{limit}{remedy}{more}", reason.sentence())
}

/// One line for each call, told by its caller's leg. Called legs are told on request.
pub(super) fn log_end(
    now: Instant,
    call: CallId,
    leg: &Leg,
    end: &CallEnd,
    diagnosis: Option<&Diagnosis>,
) {
    let seconds = now.since(leg.begun).as_secs_f64();
    let text = end.text.as_deref().map(|text| format!(" ({text:?})")).unwrap_or_default();
    let who = leg.who();
    if leg.to.is_none()
        && let State::Called { .. } = leg.state
    {
        let how = end.reason.sentence();
        tracing::debug!("{call}: {who} ended after {seconds:.1} s: {how}, {}{text}", end.cause);
        return;
    }
    let Some(to) = &leg.to else { return };
    if end.reason == EndReason::AuthenticationFailed {
        let (why, remedy) = (end.reason.sentence(), end.reason.remedy().unwrap_or_default());
        let cause = end.cause;
        tracing::warn!("{call}: {who} to {to}: refused, {cause}: {why}; {remedy}");
        return;
    }
    let how = match &leg.marks.ending {
        Some(ending) => ending.to_string(),
        None => end.reason.sentence().into(),
    };
    let heard = &end.stats.received;
    let score = |score: Option<Score>| {
        score.map(|score| format!(", MOS {:.2}", score.mos)).unwrap_or_default()
    };
    let there = end.stats.remote.map(|there| {
        let mos = score(Score::there(&end.stats));
        format!("; heard there {} frames, {} lost{mos}", there.frames, there.lost)
    });
    let choppy = diagnosis.map(|diagnosis| format!("; choppy: {diagnosis}")).unwrap_or_default();
    // What is as it should be needs no words.
    let agreement = match end.stats.agreement {
        Agreement::Unreported | Agreement::Agrees => String::new(),
        agreement => format!("; {agreement}"),
    };
    tracing::info!(
        "{call}: {who} to {to}: {seconds:.1} s, {}, {}{text}; heard {} frames, {} lost, {} late, \
         {} out of order, {} twice, jitter {:.1} ms, 95 % within {:.0} ms{}; sent {}{}{agreement}{choppy}",
        how,
        end.cause,
        heard.frames,
        heard.lost,
        heard.late,
        heard.out_of_order,
        heard.duplicates,
        heard.jitter.as_secs_f64() * 1e3,
        heard.delay.p95.as_secs_f64() * 1e3,
        score(Score::here(&end.stats)),
        end.stats.sent_frames,
        there.unwrap_or_default(),
    );
}
