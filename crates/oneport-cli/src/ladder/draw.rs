//! Draws a ladder as lines of text with tones: for a terminal, and for screens that have colours of their own.

use std::collections::BTreeMap;

use oneport_switch::api::model::{Ladder, LadderMessage};

/// Columns for the time at the left.
const TIME: usize = 12;

/// The least columns between two lifelines.
const LEAST: usize = 14;

/// What a piece of text is, so that it may have a colour. What colours say is said in words, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tone {
    Plain,
    /// The names at the top.
    Heading,
    /// What comes all the time: acknowledgements, polls, voice.
    Quiet,
    /// The call goes on.
    Good,
    /// It was refused, or something is missing.
    Bad,
    /// Sent again.
    Again,
    /// What is said of a message.
    Note,
}

impl Tone {
    /// That of a message by what it says.
    pub(crate) fn of(message: &LadderMessage) -> Self {
        let mut words = message.message.split(' ');
        match words.next().unwrap_or_default() {
            "REJECT" | "REGREJ" | "TXREJ" | "INVAL" | "VNAK" | "UNSUPPORT" | "malformed"
            | "BUSY" | "CONGESTION" => Self::Bad,
            "HANGUP" if words.next().is_some() && !message.message.ends_with("(16)") => Self::Bad,
            _ if message.repeated => Self::Again,
            "ANSWER" | "ACCEPT" | "REGACK" => Self::Good,
            "ACK" | "PING" | "PONG" | "LAGRQ" | "LAGRP" | "voice" | "VOICE" => Self::Quiet,
            _ => Self::Plain,
        }
    }
}

/// A line: pieces of text, each with its tone.
pub(crate) type Line = Vec<(Tone, String)>;

/// How a ladder is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Whether there is more than ASCII.
    pub(crate) unicode: bool,
    /// Columns of the terminal. More are used where there are many legs.
    pub(crate) columns: usize,
}

struct Strokes {
    lifeline: char,
    shaft: char,
    right: char,
    left: char,
    cut: char,
}

const UNICODE: Strokes =
    Strokes { lifeline: '│', shaft: '─', right: '▶', left: '◀', cut: '…' };
const ASCII: Strokes = Strokes { lifeline: '|', shaft: '-', right: '>', left: '<', cut: '~' };

impl Look {
    fn strokes(self) -> &'static Strokes {
        if self.unicode { &UNICODE } else { &ASCII }
    }
}

/// Where the lifelines stand: the far end of the first leg, `here`, and the far ends of the others.
struct Lifelines {
    places: Vec<usize>,
}

impl Lifelines {
    fn new(legs: usize, columns: usize) -> Self {
        let gaps = legs.max(1);
        let room = columns.saturating_sub(TIME + 2).max(gaps * LEAST);
        Self { places: (0..=gaps).map(|n| TIME + 1 + room * n / gaps).collect() }
    }

    /// That of the far end of a leg.
    fn of_leg(&self, leg: usize) -> usize {
        let place = if leg == 0 { 0 } else { leg + 1 };
        self.places.get(place).copied().unwrap_or_default()
    }

    fn here(&self) -> usize {
        self.places.get(1).copied().unwrap_or_default()
    }
}

/// The first characters of a text; `cut` stands for those that have no room.
fn cut(text: &str, room: usize, cut: char) -> String {
    let printable = |c: char| if c.is_control() { '.' } else { c };
    if text.chars().count() <= room {
        return text.chars().map(printable).collect();
    }
    let mut short: String = text.chars().take(room.saturating_sub(1)).map(printable).collect();
    if room > 0 {
        short.push(cut);
    }
    short
}

/// The names over the lifelines: those at the edges begin and end there, the others stand in the middle.
fn headings(ladder: &Ladder, here: &str, lifelines: &Lifelines, strokes: &Strokes) -> Line {
    let mut names: Vec<&str> = Vec::with_capacity(ladder.legs.len() + 1);
    names.extend(ladder.legs.first().map(String::as_str));
    names.push(here);
    names.extend(ladder.legs.iter().skip(1).map(String::as_str));
    let places = &lifelines.places;
    let gap = places.get(1).zip(places.first()).map_or(LEAST, |(one, zero)| one - zero);
    let last = names.len().saturating_sub(1);
    let mut line = format!("{:>width$} ", "s", width = TIME - 2);
    // Those in the middle reach over half a gap at both sides, and those at the edges have what that leaves.
    let half = |name: Option<&&str>| name.map_or(0, |name| name.chars().count().min(gap - 2) / 2);
    for (n, (name, place)) in names.iter().zip(places).enumerate() {
        let room = match n {
            _ if last == 1 => gap / 2,
            0 => gap - half(names.get(1)) - 1,
            n if n == last => gap - half(names.get(n - 1)) - 1,
            _ => gap - 2,
        };
        let name = cut(name, room, strokes.cut);
        let width = name.chars().count();
        let begins = match n {
            0 => *place,
            n if n == last => (place + 1).saturating_sub(width),
            _ => place.saturating_sub(width / 2),
        };
        let at = line.chars().count();
        line.push_str(&" ".repeat(begins.saturating_sub(at).max(usize::from(n > 0))));
        line.push_str(&name);
    }
    vec![(Tone::Heading, line)]
}

/// The lifelines without a message, from a column on to another.
fn lifelines_between(lifelines: &Lifelines, from: usize, to: usize, lifeline: char) -> String {
    (from..to)
        .map(|column| if lifelines.places.contains(&column) { lifeline } else { ' ' })
        .collect()
}

/// What stands at the arrow of a message.
pub(super) fn words(message: &LadderMessage) -> String {
    let encrypted = if message.encrypted { ", encrypted" } else { "" };
    let again = if message.repeated { ", again" } else { "" };
    format!("{}{encrypted}{again}", message.message)
}

/// A message between two lifelines: an arrow with its words.
fn row(message: &LadderMessage, lifelines: &Lifelines, strokes: &Strokes, columns: usize) -> Line {
    let (end, here) = (lifelines.of_leg(message.leg), lifelines.here());
    let (from, to) = if message.incoming { (end, here) } else { (here, end) };
    let (left, right) = (from.min(to), from.max(to));
    // The shaft lies between the lifelines.
    let room = right.saturating_sub(left + 1);
    let words = cut(&words(message), room.saturating_sub(6), strokes.cut);
    let shaft = room.saturating_sub(words.chars().count() + 3);
    let (before, after) = (shaft / 2, shaft - shaft / 2);
    let stroke = |count: usize| strokes.shaft.to_string().repeat(count);
    let arrow = match from < to {
        true => format!("{} {words} {}{}", stroke(before), stroke(after), strokes.right),
        false => format!("{}{} {words} {}", strokes.left, stroke(before), stroke(after)),
    };
    let time = format!("{:>width$.3}  ", message.ms / 1000.0, width = TIME - 2);
    let quiet = |from, to| lifelines_between(lifelines, from, to, strokes.lifeline);
    let mut line = vec![(Tone::Quiet, time)];
    line.push((Tone::Quiet, quiet(TIME, left + 1)));
    line.push((Tone::of(message), arrow));
    let rest = quiet(right, columns.max(right + 1));
    line.push((Tone::Quiet, rest.trim_end().to_string()));
    line
}

/// What is said of a message, behind it: as many lines as it needs.
fn note(text: &str, lifelines: &Lifelines, strokes: &Strokes, columns: usize) -> Vec<Line> {
    let first = lifelines.places.first().copied().unwrap_or_default();
    let room = columns.saturating_sub(first + 5).max(20);
    let mut rows: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match rows.last_mut() {
            Some(row) if row.chars().count() + 1 + word.chars().count() <= room => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.push(word.into()),
        }
    }
    let line = |(n, row): (usize, &String)| {
        let mark = if n == 0 { "! " } else { "  " };
        let begin = format!("{}{}  ", " ".repeat(first), strokes.lifeline);
        vec![(Tone::Quiet, begin), (Tone::Note, format!("{mark}{row}"))]
    };
    rows.iter().enumerate().map(line).collect()
}

/// A ladder as lines. `here` is what all its legs meet at, `notes` what is said behind some of its messages, by
/// their place.
pub(crate) fn draw(
    ladder: &Ladder,
    here: &str,
    notes: &BTreeMap<usize, Vec<String>>,
    look: Look,
) -> Vec<Line> {
    let strokes = look.strokes();
    let lifelines = Lifelines::new(ladder.legs.len(), look.columns);
    let columns = lifelines.places.last().map_or(look.columns, |last| last + 1);
    let mut lines = vec![headings(ladder, here, &lifelines, strokes)];
    for (n, message) in ladder.messages.iter().enumerate() {
        lines.push(row(message, &lifelines, strokes, columns));
        for text in notes.get(&n).into_iter().flatten() {
            lines.extend(note(text, &lifelines, strokes, look.columns));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(ms: f64, leg: usize, incoming: bool, message: &str) -> LadderMessage {
        let text = message.into();
        LadderMessage {
            ms,
            leg,
            incoming,
            message: message.into(),
            repeated: false,
            encrypted: false,
            text,
        }
    }

    fn ladder() -> Ladder {
        let mut messages = vec![
            message(-1.0, 0, true, "NEW 600"),
            message(-0.5, 0, false, "CALLTOKEN"),
            message(0.0, 0, true, "NEW 600"),
            message(0.4, 1, false, "NEW 600"),
            message(2_000.4, 1, false, "NEW 600"),
            message(2_030.0, 1, true, "REJECT no route to destination (3)"),
            message(2_031.0, 0, false, "REJECT no route to destination (3)"),
            message(100_002_032.0, 0, true, "ACK"),
        ];
        messages[4].repeated = true;
        Ladder { legs: vec!["IAX2/alice-5".into(), "IAX2/203.0.113.77:4569-9".into()], messages }
    }

    fn text(lines: &[Line]) -> String {
        let line = |line: &Line| line.iter().map(|(_, text)| text.as_str()).collect::<String>();
        let lines: Vec<String> = lines.iter().map(line).collect();
        lines.join("\n")
    }

    #[test]
    fn both_legs_stand_on_one_axis_of_time() {
        let notes = BTreeMap::from([(4, vec!["its ACK did not come within 2 s".to_string()])]);
        let look = Look { unicode: true, columns: 80 };
        insta::assert_snapshot!(text(&draw(&ladder(), "switch", &notes, look)));
    }

    #[test]
    fn without_unicode_it_says_the_same() {
        let look = Look { unicode: false, columns: 80 };
        let drawn = text(&draw(&ladder(), "switch", &BTreeMap::new(), look));
        assert!(drawn.is_ascii());
        insta::assert_snapshot!(drawn);
    }

    #[test]
    fn any_number_of_legs_fits_where_there_is_room_and_no_line_is_longer_than_others() {
        for legs in 0..6 {
            let names = (0..legs).map(|n| format!("leg-{n}-{}", "x".repeat(40))).collect();
            let mut messages: Vec<LadderMessage> =
                (0..legs).map(|leg| message(0.0, leg, true, &"NEW ".repeat(40))).collect();
            messages.push(message(0.0, 0, false, "A"));
            let look = Look { unicode: true, columns: 80 };
            let drawn = text(&draw(&Ladder { legs: names, messages }, "h", &BTreeMap::new(), look));
            let widest = drawn.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(widest <= 80_usize.max(TIME + 3 + legs * LEAST), "{legs} legs:\n{drawn}");
        }
    }

    #[test]
    fn a_message_says_whether_it_was_encrypted_and_came_again() {
        let mut authrep = message(0.0, 0, true, "AUTHREP md5");
        authrep.encrypted = true;
        assert_eq!(words(&authrep), "AUTHREP md5, encrypted");
        authrep.repeated = true;
        assert_eq!(words(&authrep), "AUTHREP md5, encrypted, again");
    }

    #[test]
    fn a_refusal_is_bad_and_an_ordinary_end_is_not() {
        let tone = |text: &str| Tone::of(&message(0.0, 0, true, text));
        assert_eq!(tone("REJECT call rejected (21)"), Tone::Bad);
        assert_eq!(tone("HANGUP normal clearing (16)"), Tone::Plain);
        assert_eq!(tone("HANGUP"), Tone::Plain);
        assert_eq!(tone("HANGUP switch congestion (42)"), Tone::Bad);
        assert_eq!(tone("ANSWER"), Tone::Good);
        assert_eq!(tone("ACK"), Tone::Quiet);
    }
}
