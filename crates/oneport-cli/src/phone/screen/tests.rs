//! What is on the screen, at its least size and at a larger one.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::state::{Happened, LineId, OnLine};
use super::*;
use crate::terminal::Key;

const LOOK: Look = Look { unicode: true, colours: true, began: 9 * 3_600 };

fn shown(state: &State, look: Look, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, look)).unwrap();
    terminal.backend().to_string()
}

fn registered() -> State {
    let mut state = State::new("ann@pbx.example.org".into(), Standing::Registering);
    let refresh = Duration::from_secs(60);
    state.happened(Happened::Standing(Standing::Registered { refresh }));
    state.happened(Happened::Sound("default, 48 kHz".into()));
    state
}

fn offer(state: &mut State, number: &str, name: Option<&str>) -> LineId {
    let line = state.new_line();
    let (number, name) = (number.into(), name.map(Into::into));
    state.happened(Happened::Offered { line, number, name });
    line
}

/// A phone in the middle of its day: one call talked to, one on hold, one that rings, some over.
fn busy() -> State {
    let mut state = registered();
    let now = |state: &mut State, seconds| drop(state.tick(Duration::from_secs(seconds)));
    let missed = offer(&mut state, "702", None);
    let why = "missed".into();
    state.happened(Happened::Line(missed, OnLine::Ended { why, well: false }));
    now(&mut state, 60);
    for key in "d600\n".chars() {
        state.key(if key == '\n' { Key::Enter } else { Key::Char(key) });
    }
    state.happened(Happened::Line(LineId(2), OnLine::Answered));
    now(&mut state, 125);
    let name = Some("Ben");
    let ben = offer(&mut state, "701", name);
    state.key(Key::Char('a'));
    state.happened(Happened::Line(ben, OnLine::Answered));
    for key in "12#".chars() {
        state.key(Key::Char(key));
    }
    state.happened(Happened::Line(ben, OnLine::Digit('5')));
    let figures = Figures {
        codec: "g722".into(),
        encrypted: true,
        loss_percent: 0.25,
        jitter: Duration::from_micros(3_400),
        round_trip: Some(Duration::from_millis(42)),
        buffer: Duration::from_millis(61),
        concealed_percent: 0.4,
        mos: Some(4.31),
        mos_there: Some(4.02),
        loss_there_percent: Some(1.2),
    };
    state.happened(Happened::Line(ben, OnLine::Figures(Box::new(figures))));
    state.happened(Happened::Messages(Some(2)));
    state.happened(Happened::Levels { microphone: -24.0, heard: -4.0 });
    now(&mut state, 190);
    offer(&mut state, "703", Some("Cyd"));
    state
}

#[test]
fn a_phone_that_is_ready_fits_eighty_by_twenty_four() {
    insta::assert_snapshot!(shown(&registered(), LOOK, 80, 24));
}

#[test]
fn a_busy_phone_fits_eighty_by_twenty_four() {
    insta::assert_snapshot!(shown(&busy(), LOOK, 80, 24));
}

#[test]
fn a_busy_phone_has_room_at_a_hundred_and_twenty_by_forty() {
    insta::assert_snapshot!(shown(&busy(), LOOK, 120, 40));
}

#[test]
fn without_unicode_it_says_the_same() {
    let plain = Look { unicode: false, colours: false, ..LOOK };
    let text = shown(&busy(), plain, 80, 24);
    assert!(text.is_ascii(), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_number_is_asked_for_where_it_is_needed() {
    let mut state = busy();
    state.key(Key::Char('t'));
    for key in "704".chars() {
        state.key(Key::Char(key));
    }
    state.key(Key::Char('m'));
    insta::assert_snapshot!(shown(&state, LOOK, 80, 24));
}

#[test]
fn help_lies_over_it() {
    let mut state = registered();
    state.key(Key::Char('?'));
    insta::assert_snapshot!(shown(&state, LOOK, 80, 24));
}

#[test]
fn a_registrar_that_does_not_answer_is_seen_and_when_it_is_asked_again() {
    let mut state = registered();
    let retry_at = Duration::from_secs(12);
    let why = "the registrar does not answer".to_string();
    state.happened(Happened::Standing(Standing::Failed { why, retry_at }));
    state.tick(Duration::from_secs(2));
    let text = shown(&state, LOOK, 80, 24);
    assert!(text.contains("NOT registered, again in 10 s"), "{text}");
    assert!(text.contains("not registered: the registrar does not answer"), "{text}");
}

#[test]
fn a_terminal_that_is_too_small_is_told_so() {
    let text = shown(&busy(), LOOK, 50, 10);
    assert!(text.contains("60 columns and 20 rows are needed"), "{text}");
    for (width, height) in [(1, 1), (60, 20), (300, 100), (61, 3)] {
        shown(&busy(), LOOK, width, height);
    }
}

#[test]
fn only_keys_that_do_something_are_named() {
    let mut state = registered();
    let keys = |state: &State| {
        let screen = shown(state, LOOK, 80, 24);
        ["last number", "connect", "choose"].map(|does| screen.contains(does))
    };
    assert_eq!(keys(&state), [false; 3], "nobody was called, and nobody calls");
    for key in [Key::Char('6'), Key::Enter] {
        state.key(key);
    }
    state.happened(Happened::Line(LineId(1), OnLine::Answered));
    assert_eq!(keys(&state), [false; 3], "one call");
    let ben = offer(&mut state, "701", None);
    state.key(Key::Char('a'));
    state.happened(Happened::Line(ben, OnLine::Answered));
    assert_eq!(keys(&state), [false, true, true], "one is talked to, and one on hold");
    for line in [LineId(1), ben] {
        let why = "hung up there".into();
        state.happened(Happened::Line(line, OnLine::Ended { why, well: true }));
    }
    assert_eq!(keys(&state), [true, false, false], "no call, but one before");
}
