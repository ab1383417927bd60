//! Calls of a capture, for the same list and ladder as those of a switch.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use oneport_decode::{
    Datagrams, End, Kind, Outcome, Packet, Sealed, SideStory, Story, Time, Tracker, TrackerConfig,
};
use oneport_switch::api::model::Ladder;

use super::detail::{Fact, fact};
use super::list::{Cell, Column, Item, Tone};
use super::words;
use crate::decode::ladders::{Ladders, scenes};
use crate::decode::source::{Reached, packets};
use crate::decode::{report, short};
use crate::exit::Failure;
use crate::live::millis;

/// Calls that are shown; of a larger capture the rest is counted.
const MOST_CALLS: usize = 10_000;

pub(crate) const COLUMNS: [Column; 12] = [
    Column::left(" ", 1),
    Column::left("STATE", 11),
    Column::right("BEGAN", 8),
    Column::left("FROM", 11).grows(),
    Column::left("NUMBER", 11).grows(),
    Column::left("TO", 11).grows(),
    Column::right("TIME", 7),
    Column::right("MOS", 4),
    Column::right("LOSS", 5),
    Column::right("JITTER", 7).from(100),
    Column::right("RTT", 6).from(100),
    Column::left("CODEC", 9).from(110),
];

/// The column of when calls began.
pub(crate) const BEGAN: usize = 2;

pub(crate) const FILTERS: [&str; 7] =
    ["all", "ill", "completed", "up", "rejected", "no answer", "registrations"];

/// A call, or a registration.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) item: Item,
    pub(crate) facts: Vec<Fact>,
    pub(crate) ladder: Ladder,
    /// What its legs meet at.
    pub(crate) here: String,
    /// What is said of its messages, by their place.
    pub(crate) notes: BTreeMap<usize, Vec<String>>,
}

/// All that is in a capture.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    pub(crate) calls: Vec<Captured>,
    /// What there is in all, in two lines.
    pub(crate) about: Vec<String>,
}

/// Reads a capture of IAX2 at these ports.
///
/// # Errors
/// It is none, or cannot be opened.
pub(crate) fn read(path: &Path, ports: &[u16]) -> Result<Capture, Failure> {
    let mut reading = Reading {
        datagrams: Datagrams::new(ports.to_vec()),
        tracker: Tracker::new(TrackerConfig::default()),
        ladders: Ladders::default(),
        began: None,
        last: Time::default(),
        left_out: 0,
        capture: Capture::default(),
    };
    let end = packets(path, |packet| {
        let Reading { datagrams, tracker, ladders, .. } = &mut reading;
        datagrams.find(&packet, |whole| {
            for datagram in whole.parts(tracker.stride(&whole)) {
                let seen = tracker.see(&datagram, &mut ());
                ladders.take(&datagram, &seen);
            }
        });
        reading.began.get_or_insert(packet.time);
        reading.last = packet.time;
        while let Some(story) = reading.tracker.poll_finished() {
            reading.tell(&story);
        }
        ControlFlow::Continue(())
    })?;
    for story in reading.tracker.finish() {
        reading.tell(&story);
    }
    Ok(reading.finish(&end))
}

/// Reads a capture again, and hands on the packets of one call, by its number in it.
///
/// # Errors
/// It cannot be read any more.
pub(crate) fn packets_of(
    path: &Path,
    ports: &[u16],
    call: u64,
    mut each: impl FnMut(&Packet<'_>),
) -> Result<(), Failure> {
    let mut datagrams = Datagrams::new(ports.to_vec());
    let mut tracker = Tracker::new(TrackerConfig::default());
    packets(path, |packet| {
        let mut is_of_it = false;
        datagrams.find(&packet, |whole| {
            for datagram in whole.parts(tracker.stride(&whole)) {
                let seen = tracker.see(&datagram, &mut ());
                is_of_it |= seen.exchange == Some(call) || seen.entries.contains(&Some(call));
            }
        });
        while tracker.poll_finished().is_some() {}
        if is_of_it {
            each(&packet);
        }
        ControlFlow::Continue(())
    })?;
    Ok(())
}

struct Reading {
    datagrams: Datagrams,
    tracker: Tracker,
    ladders: Ladders,
    began: Option<Time>,
    last: Time,
    left_out: usize,
    capture: Capture,
}

impl Reading {
    fn tell(&mut self, story: &Story) {
        let wanted = matches!(story.kind, Kind::Call | Kind::Registration);
        if !wanted || self.capture.calls.len() >= MOST_CALLS {
            self.left_out += usize::from(wanted);
            self.ladders.forget(story.number);
            return;
        }
        let began = self.began.unwrap_or_default();
        let drawn = self.ladders.end(story);
        let scene = drawn.and_then(|drawn| scenes(vec![drawn]).pop());
        let (ladder, here, notes) = match scene {
            Some(scene) => (scene.ladder, scene.here, scene.notes),
            None => {
                (Ladder { legs: Vec::new(), messages: Vec::new() }, String::new(), BTreeMap::new())
            }
        };
        let (item, facts) = (item(story, began), facts(story, began));
        self.capture.calls.push(Captured { item, facts, ladder, here, notes });
    }

    fn finish(mut self, end: &Reached) -> Capture {
        let counts = self.datagrams.counts();
        let kind = |call: &&Captured| call.item.kinds.contains(&"registrations");
        let registrations = self.capture.calls.iter().filter(kind).count();
        let calls = self.capture.calls.len() - registrations;
        let span = self.last.since(self.began.unwrap_or_default()).as_secs_f64();
        let mut what = format!(
            "calls {}  registrations {}  packets {}  in {}",
            words::count(calls),
            words::count(registrations),
            words::many(counts.packets),
            words::clock(span),
        );
        match end {
            Reached::End(End::Cut) => what.push_str("  it ends in the middle of a packet"),
            Reached::End(_) => {}
            Reached::Damaged(error) => what.push_str(&format!("  {error}")),
        }
        self.capture.about.push(what);
        let ill = self.capture.calls.iter().filter(|call| call.item.remark.is_some()).count();
        let mut how = format!("something ails {} of them", words::count(ill));
        if self.left_out > 0 {
            let left_out = words::count(self.left_out);
            how.push_str(&format!("; {left_out} more are left out: `oneport decode` has all"));
        }
        self.capture.about.push(how);
        self.capture
    }
}

/// The word for what became of it, how that is meant, and the filter that it passes.
fn outcome(story: &Story) -> (&'static str, Tone, &'static str) {
    match story.outcome {
        Outcome::Completed => ("completed", Tone::Good, "completed"),
        Outcome::Up => ("up", Tone::Busy, "up"),
        Outcome::Rejected => ("rejected", Tone::Bad, "rejected"),
        Outcome::Unanswered => ("unanswered", Tone::Bad, "no answer"),
        Outcome::GivenUp => ("given up", Tone::Fair, "no answer"),
        Outcome::Invalid => ("invalid", Tone::Bad, "rejected"),
        Outcome::Registered => ("registered", Tone::Good, "completed"),
        Outcome::Refused => ("refused", Tone::Bad, "rejected"),
        Outcome::Answered => ("answered", Tone::Good, "completed"),
        Outcome::Unknown => ("unknown", Tone::Quiet, "all"),
    }
}

fn side(side: &SideStory, name: Option<&str>) -> String {
    let address = short(side.address);
    name.map_or_else(|| address.clone(), |name| format!("{name} {address}"))
}

fn item(story: &Story, began: Time) -> Item {
    let (state, tone, kind) = outcome(story);
    let [one, other] = &story.sides;
    let spoken = || story.sides.iter().filter(|side| side.voice.frames > 0);
    let scores = spoken().filter_map(|side| report::score(story, side).map(|score| score.mos));
    let mos = scores.min_by(f64::total_cmp);
    let loss = spoken().map(report::loss_percent).max_by(f64::total_cmp);
    let jitter = spoken().map(|side| millis(side.voice.jitter)).max_by(f64::total_cmp);
    let trips = story.sides.iter().filter_map(|side| side.round_trips.mean());
    let trip = trips.reduce(|one, other| one + other).map(millis);
    let fixed = |value: f64| format!("{value:.1}");
    let at = story.began.since(began).as_secs_f64();
    let up = story.duration().as_secs_f64();
    let ill = story.faults.first().map(|fault| fault.first.to_string());
    let mut kinds = vec![kind];
    if ill.is_some() {
        kinds.push("ill");
    }
    let number = match story.kind {
        Kind::Registration => {
            kinds.push("registrations");
            Cell::text("(registration)").toned(Tone::Quiet)
        }
        _ => Cell::said(story.called.as_deref()),
    };
    let caller = story.calling.as_deref().or(story.username.as_deref());
    Item {
        key: story.number.to_string(),
        cells: vec![
            Cell::text(if ill.is_some() { "!" } else { "" }).toned(Tone::Bad),
            Cell::text(state).toned(tone),
            Cell::number(at, format!("{at:.3}")),
            Cell::text(side(one, caller.filter(|caller| !caller.is_empty()))),
            number,
            Cell::text(side(other, None)),
            Cell::number(up, words::clock(up)),
            Cell::known(mos, fixed).toned(mos.map_or(Tone::Quiet, words::sound)),
            Cell::known(loss, words::percent).toned(loss.map_or(Tone::Quiet, words::loss)),
            Cell::known(jitter, fixed),
            Cell::known(trip, fixed),
            Cell::said(story.format.map(|format| format.to_string()).as_deref()),
        ],
        call: Some(story.number.to_string()),
        remark: ill,
        kinds,
    }
}

/// All that is known of it, as `oneport decode` says it.
fn facts(story: &Story, began: Time) -> Vec<Fact> {
    let at = |time: Time| format!("{:.3} s", time.since(began).as_secs_f64());
    let mut facts = vec![
        fact("what", report::headline(story)),
        fact("became of it", report::course(story)).toned(outcome(story).1),
        fact("began", at(story.began)),
    ];
    let moments = [
        ("accepted", story.accepted),
        ("rang", story.ringing),
        ("answered", story.answered),
        ("ended", story.ended),
    ];
    let known = moments.into_iter().filter_map(|(name, time)| Some(fact(name, at(time?))));
    facts.extend(known);
    if let Some(name) = &story.calling_name {
        facts.push(fact("caller's name", name));
    }
    if story.sealed != Sealed::Not {
        facts.push(fact("encrypted", format!("yes, {}", story.sealed.name())));
    }
    for (name, one) in ["voice of caller", "voice of called"].into_iter().zip(&story.sides) {
        if let Some(voice) = report::voice(story, one) {
            facts.push(fact(name, format!("{}: {voice}", short(one.address))));
        }
    }
    for fault in &story.faults {
        let times = if fault.count > 1 { format!("{} x  ", fault.count) } else { String::new() };
        facts.push(fact("fault", format!("{times}{}", fault.first)).toned(Tone::Bad));
        facts.push(fact("", fault.first.kind.hint()));
    }
    facts
}
