//! A softphone by hand: keys and events in, commands out.

use super::*;

const ANN: LineId = LineId(1);
const BEN: LineId = LineId(2);
const CYD: LineId = LineId(3);

fn phone() -> State {
    State::new("ann@pbx.example.org".into(), Standing::Registering)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

impl State {
    /// Presses keys one after the other: characters, `\n` for Enter, `\x1b` for Escape.
    fn keys(&mut self, keys: &str) -> Vec<Command> {
        let press = |key| match key {
            '\n' => Key::Enter,
            '\x1b' => Key::Escape,
            '\x08' => Key::Backspace,
            key => Key::Char(key),
        };
        keys.chars().flat_map(|key| self.key(press(key))).collect()
    }

    fn offer(&mut self, number: &str, name: Option<&str>) -> Vec<Command> {
        let line = self.new_line();
        let (number, name) = (number.into(), name.map(Into::into));
        self.happened(Happened::Offered { line, number, name })
    }

    fn line_event(&mut self, line: LineId, event: OnLine) -> Vec<Command> {
        self.happened(Happened::Line(line, event))
    }

    fn ends(&mut self, line: LineId) -> Vec<Command> {
        self.line_event(line, OnLine::Ended { why: "hung up there".into(), well: true })
    }

    /// Calls `number` and is answered.
    fn talks_to(&mut self, number: &str) -> LineId {
        self.keys(&format!("d{number}\n"));
        let line = self.talking.expect("it calls");
        self.line_event(line, OnLine::Answered);
        line
    }

    fn words(&self) -> Vec<String> {
        self.lines.iter().map(Line::words).collect()
    }
}

#[test]
fn a_number_is_typed_mended_and_called() {
    let mut phone = phone();
    assert_eq!(phone.keys("601"), []);
    assert_eq!(phone.keys("\x080"), []);
    let number = "600".to_string();
    let expected = [Command::Dial { line: ANN, number }, Command::Talk(Some(ANN))];
    assert_eq!(phone.keys("\n"), expected);
    assert_eq!(phone.words(), ["calling"]);
    assert_eq!(phone.line_event(ANN, OnLine::Ringing), [Command::Alert(Alert::Ringback)]);
    assert_eq!(phone.line_event(ANN, OnLine::Answered), [Command::Alert(Alert::Nothing)]);
    assert_eq!(phone.words(), ["talking"]);
}

#[test]
fn what_the_other_side_plays_itself_is_heard_instead_of_our_ringback() {
    let mut phone = phone();
    phone.keys("600\n");
    phone.line_event(ANN, OnLine::Ringing);
    assert_eq!(phone.line_event(ANN, OnLine::EarlyMedia), [Command::Alert(Alert::Nothing)]);
}

#[test]
fn a_caller_rings_until_it_is_answered_and_is_remembered() {
    let mut phone = phone();
    assert_eq!(phone.offer("700", Some("Ben")), [Command::Alert(Alert::Ring), Command::Bell]);
    assert_eq!(phone.tick(seconds(2)), []);
    assert_eq!(phone.tick(seconds(3)), [Command::Bell]);
    let expected = [Command::Answer(ANN), Command::Talk(Some(ANN)), Command::Alert(Alert::Nothing)];
    assert_eq!(phone.keys("a"), expected);
    phone.line_event(ANN, OnLine::Answered);
    assert_eq!(phone.tick(seconds(63)), [], "it rings no more");
    assert_eq!(phone.ends(ANN), [Command::Talk(None)]);
    let past = &phone.history[0];
    assert_eq!((past.number.as_str(), past.talked), ("700", Some(seconds(60))));
    assert_eq!(past.name.as_deref(), Some("Ben"));
}

#[test]
fn a_caller_can_be_rejected_or_give_up() {
    let mut phone = phone();
    phone.offer("700", None);
    assert_eq!(phone.keys("r"), [Command::Reject(ANN), Command::Alert(Alert::Nothing)]);
    phone.line_event(ANN, OnLine::Ended { why: "rejected".into(), well: false });
    phone.offer("701", None);
    let missed = OnLine::Ended { why: "missed".into(), well: false };
    assert_eq!(phone.line_event(BEN, missed), [Command::Alert(Alert::Nothing)]);
    assert_eq!(phone.notice(), Some("701: missed"));
    assert!(phone.history.iter().all(|past| past.talked.is_none()));
    assert_eq!(phone.keys("a"), [], "nobody calls any more");
}

#[test]
fn a_second_caller_knocks_and_the_first_is_held_for_it() {
    let mut phone = phone();
    phone.talks_to("600");
    assert_eq!(phone.offer("700", None), [Command::Alert(Alert::Knock), Command::Bell]);
    assert_eq!(phone.selected, Some(ANN), "keys are still about whom we talk to");
    let expected = [
        Command::Hold(ANN),
        Command::Talk(None),
        Command::Answer(BEN),
        Command::Talk(Some(BEN)),
        Command::Alert(Alert::Nothing),
    ];
    assert_eq!(phone.keys("a"), expected);
    phone.line_event(BEN, OnLine::Answered);
    assert_eq!(phone.words(), ["on hold", "talking"]);
    // Back to the first, with one key once it is chosen.
    phone.key(Key::Up);
    let expected =
        [Command::Hold(BEN), Command::Talk(None), Command::Resume(ANN), Command::Talk(Some(ANN))];
    assert_eq!(phone.keys("h"), expected);
    assert_eq!(phone.words(), ["talking", "on hold"]);
    // Whom we talk to leaves; the other stays on hold until it is asked back.
    assert_eq!(phone.ends(ANN), [Command::Talk(None)]);
    assert_eq!(phone.selected, Some(BEN));
    assert_eq!(phone.keys("h"), [Command::Resume(BEN), Command::Talk(Some(BEN))]);
}

#[test]
fn nobody_is_left_waiting_for_an_answer_by_another_call() {
    let mut phone = phone();
    phone.keys("600\n");
    phone.offer("700", None);
    assert_eq!(phone.keys("a"), []);
    assert_eq!(phone.notice(), Some("600 has not answered yet: x gives that call up"));
    let expected = [Command::HangUp(ANN), Command::Talk(None), Command::Alert(Alert::Ring)];
    assert_eq!(phone.keys("x"), expected);
}

#[test]
fn digits_are_keys_while_we_talk_and_a_number_otherwise() {
    let mut phone = phone();
    let line = phone.talks_to("600");
    let press = |digit| Command::Press { line, digit };
    assert_eq!(phone.keys("1#D"), [press('1'), press('#'), press('D')]);
    assert_eq!(phone.lines[0].pressed, "1#D");
    phone.line_event(line, OnLine::Digit('7'));
    assert_eq!(phone.lines[0].digits, "7");
    phone.keys("h");
    assert_eq!(phone.keys("7"), [], "who is on hold hears no keys");
    assert_eq!(phone.entry, Some(Entry::dial("7")));
}

#[test]
fn a_call_is_sent_to_another_number() {
    let mut phone = phone();
    let line = phone.talks_to("600");
    assert_eq!(phone.keys("t70"), []);
    assert_eq!(phone.keys("\x1b"), [], "never mind");
    assert_eq!(phone.words(), ["talking"]);
    let number = "701".to_string();
    assert_eq!(phone.keys("t701\n"), [Command::Transfer { line, number }]);
    assert_eq!(phone.words(), ["being transferred"]);
    // The other side cannot: the call goes on.
    phone.line_event(line, OnLine::Refused("that cannot be".into()));
    assert_eq!(phone.words(), ["talking"]);
    phone.keys("t701\n");
    phone.ends(line);
    assert_eq!(phone.notice(), Some("600: sent on"));
    assert_eq!(phone.history[0].why, "sent on");
    assert_eq!(phone.keys("t"), []);
    assert_eq!(phone.notice(), Some("there is no call to transfer"));
}

#[test]
fn two_parties_are_connected_and_leave_together() {
    let mut phone = phone();
    phone.talks_to("600");
    assert_eq!(phone.keys("c"), [], "with whom?");
    phone.talks_to("601");
    assert_eq!(phone.words(), ["on hold", "talking"]);
    assert_eq!(phone.keys("c"), [Command::Connect(BEN, ANN)]);
    assert_eq!(phone.line_event(BEN, OnLine::Connected(ANN)), [Command::Talk(None)]);
    assert_eq!(phone.words(), ["connected to 2", "connected to 1"]);
    assert_eq!(phone.keys("h"), [], "they are not ours to hold");
    assert_eq!(phone.ends(ANN), [Command::HangUp(BEN)]);
    assert_eq!(phone.ends(BEN), []);
    assert!(phone.lines.is_empty());
}

#[test]
fn of_several_calls_on_hold_the_one_to_connect_is_chosen() {
    let mut phone = phone();
    phone.talks_to("600");
    phone.talks_to("601");
    phone.talks_to("602");
    assert_eq!(phone.keys("c"), []);
    assert!(phone.notice().is_some_and(|text| text.starts_with("choose the call")));
    phone.key(Key::Up);
    assert_eq!(phone.keys("c"), [Command::Connect(CYD, BEN)]);
}

#[test]
fn more_callers_than_lines_hear_that_we_are_busy() {
    let mut phone = phone();
    for number in 0..LINES {
        phone.offer(&number.to_string(), None);
    }
    let line = LineId(LINES as u32 + 1);
    assert_eq!(phone.offer("too many", None), [Command::Reject(line)]);
    assert_eq!(phone.lines.len(), LINES);
    assert_eq!(phone.history[0].number, "too many");
    phone.line_event(line, OnLine::Ended { why: "rejected".into(), well: false });
    assert_eq!(phone.history.len(), 1);
    assert_eq!(phone.keys("d600\n"), [], "nor is there a line to call with");
}

#[test]
fn numbers_of_the_past_are_called_again() {
    let mut phone = phone();
    for number in ["600", "601"] {
        let line = phone.talks_to(number);
        phone.ends(line);
    }
    phone.offer("700", None);
    phone.ends(CYD);
    // Enter: the last number that we called, whoever called us since.
    phone.keys("\n");
    assert_eq!(phone.entry, Some(Entry::dial("601")));
    phone.keys("\x1bd");
    let mut seen = Vec::new();
    for key in [Key::Up, Key::Up, Key::Up, Key::Up, Key::Down, Key::Down, Key::Down] {
        phone.key(key);
        seen.push(phone.entry.as_ref().map(|entry| entry.number().to_string()).unwrap());
    }
    assert_eq!(seen, ["700", "601", "600", "600", "601", "700", ""]);
}

#[test]
fn volume_has_its_limits_and_the_microphone_can_be_shut() {
    let mut phone = phone();
    assert_eq!(phone.keys("m"), [Command::Mute(true)]);
    assert_eq!(phone.keys("m"), [Command::Mute(false)]);
    assert_eq!(phone.keys("+-"), [Command::Volume(3), Command::Volume(0)]);
    phone.keys("++++");
    assert_eq!(phone.keys("+"), [], "as loud as it gets");
    assert_eq!(phone.volume, 12);
}

#[test]
fn leaving_is_asked_for_twice_while_a_call_is_up() {
    let mut phone = phone();
    assert_eq!(phone.keys("q"), [Command::Quit]);
    phone.talks_to("600");
    assert_eq!(phone.key(Key::Interrupt), []);
    assert_eq!(phone.notice(), Some("a call is up: once more, and everything is hung up"));
    phone.tick(seconds(60));
    assert_eq!(phone.keys("q"), [], "that was long ago");
    assert_eq!(phone.keys("mq"), [Command::Mute(true)], "nor with something else between");
    assert_eq!(phone.keys("q"), [Command::Quit]);
}

#[test]
fn help_is_closed_by_any_key_which_does_nothing_else() {
    let mut phone = phone();
    phone.keys("?");
    assert!(phone.help);
    assert_eq!(phone.keys("m"), []);
    assert!(!phone.help);
}

#[test]
fn a_lost_registration_is_said_once_and_shown_until_it_is_back() {
    let mut phone = phone();
    let failed = |at| Standing::Failed { why: "it does not answer".into(), retry_at: seconds(at) };
    phone.happened(Happened::Standing(failed(10)));
    assert_eq!(phone.notice(), Some("not registered: it does not answer"));
    phone.tick(seconds(9));
    phone.happened(Happened::Standing(failed(20)));
    assert_eq!(phone.notice(), None);
    assert_eq!(phone.standing, failed(20));
}

#[test]
fn any_keys_and_events_leave_one_call_talked_to_at_most_and_none_forgotten() {
    use proptest::prelude::*;
    let keys = "0123dahxtcmr\n\x1bq?+";
    let key = proptest::sample::select(keys.chars().collect::<Vec<_>>()).prop_map(Err);
    let event = (1_u32..12, 0_u8..7).prop_map(Ok);
    let steps = proptest::collection::vec(prop_oneof![key, event], 0..200);
    proptest!(|(steps in steps)| {
        let mut phone = phone();
        let mut talk = None;
        for step in steps {
            let commands = match step {
                Err(key) => phone.keys(&key.to_string()),
                Ok((_, 0)) => phone.offer("700", None),
                Ok((id, what)) => {
                    let event = match what {
                        1 => OnLine::Ringing,
                        2 => OnLine::EarlyMedia,
                        3 => OnLine::Answered,
                        4 => OnLine::HeldThere(true),
                        5 => OnLine::Refused("no".into()),
                        _ => OnLine::Ended { why: "over".into(), well: true },
                    };
                    phone.line_event(LineId(id), event)
                }
            };
            for command in commands {
                if let Command::Talk(line) = command {
                    talk = line;
                }
            }
            prop_assert_eq!(talk, phone.talking);
            prop_assert!(phone.lines.len() <= LINES);
            if let Some(talking) = phone.talking {
                prop_assert!(phone.line(talking).is_some_and(|line| !line.held));
            }
            prop_assert_eq!(phone.selected.is_none(), phone.lines.is_empty());
            for line in &phone.lines {
                let heard = Some(line.id) == phone.talking;
                let waits = matches!(line.phase, Phase::Offered | Phase::Leaving | Phase::Answering);
                prop_assert!(heard || line.held || waits || line.connected.is_some(), "{:?}", line);
            }
        }
    });
}
