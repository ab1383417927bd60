//! A screen by hand: keys, answers and events in, questions out.

use oneport_switch::api::model::{
    CallRow, CallRows, CallSort, Ladder, LadderMessage, LegRow, LimitsView,
};

use super::*;
use crate::terminal::Key;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn top() -> State {
    let began = "2026-02-03T04:05:06Z".parse().expect("a moment");
    let mut state = State::new("127.0.0.1:8569".into(), began, TimeZone::UTC);
    state.tick(Duration::ZERO);
    state
}

fn leg(who: &str) -> LegRow {
    LegRow {
        who: who.into(),
        codec: Some("ulaw".into()),
        encrypted: false,
        mos_here: Some(4.39),
        mos_there: None,
        loss_percent: Some(0.0),
        loss_percent_there: None,
        losses: Vec::new(),
        jitter_ms: 1.0,
        rtt_ms: Some(20.0),
        trouble: None,
    }
}

fn row(id: &str, number: &str) -> CallRow {
    CallRow {
        id: id.into(),
        process: None,
        state: CallState::Answered,
        calling_number: Some("701".into()),
        number: number.into(),
        destination: Some("builtin:echo".into()),
        seconds: 65.0,
        recorded: false,
        listened: false,
        transcoded: false,
        caller: leg("ann"),
        called: Vec::new(),
    }
}

fn news(number: u64, what: What) -> Told {
    Told::News(Box::new(News { number, at: "2026-02-03T04:05:07Z".into(), what }))
}

impl State {
    /// Presses keys one after the other: characters, `\n` for Enter, `\x1b` for Escape. What is asked for them
    /// is awaited no more.
    fn keys(&mut self, keys: &str) -> Vec<Command> {
        let press = |key| match key {
            '\n' => Key::Enter,
            '\x1b' => Key::Escape,
            character => Key::Char(character),
        };
        let commands: Vec<Command> = keys.chars().flat_map(|key| self.key(press(key))).collect();
        for command in &commands {
            if let Command::Ask(question) = command {
                self.schedule.answered(question);
            }
        }
        commands
    }

    /// What is asked when `seconds` have passed; all of it is answered by nothing.
    fn asked_at(&mut self, at: u64) -> Vec<Question> {
        let commands = self.tick(seconds(at));
        let asked = commands.into_iter().filter_map(|command| match command {
            Command::Ask(question) => Some(question),
            _ => None,
        });
        let asked: Vec<Question> = asked.collect();
        for question in &asked {
            self.schedule.answered(question);
        }
        asked
    }

    fn answer(&mut self, question: Question, answer: Result<Answer, Fault>) {
        self.told(Told::Answer(question, answer));
    }

    /// Calls that are up, so many.
    fn with_calls(mut self, rows: Vec<CallRow>) -> Self {
        let (query, total) = (self.call_query(), rows.len());
        let rows = CallRows { rows, total, up: total };
        self.answer(Question::Calls(query.clone()), Ok(Answer::Calls(query, rows)));
        self
    }
}

fn calls_of(asked: &[Question]) -> Option<&CallQuery> {
    asked.iter().find_map(|question| match question {
        Question::Calls(query) => Some(query),
        _ => None,
    })
}

#[test]
fn only_what_is_on_the_screen_is_asked_for() {
    let mut state = top();
    let figures = [Question::Overview, Question::Status, Question::Capacity];
    for question in &figures {
        state.schedule.answered(question);
    }
    assert_eq!(state.asked_at(10), figures, "the first calls are still awaited");
    let kinds = |asked: Vec<Question>| -> Vec<Question> {
        asked.into_iter().filter(|question| !figures.contains(question)).collect()
    };
    state.keys("5");
    assert_eq!(kinds(state.asked_at(20)), [Question::Limits]);
    state.keys("3");
    let asked = kinds(state.asked_at(30));
    assert_eq!(asked, [Question::Carriers, Question::Peers, Question::Limits]);
    state.keys("6");
    assert_eq!(kinds(state.asked_at(40)), [], "events come of themselves");
    state.keys("p");
    assert_eq!(state.asked_at(100), [], "nothing is asked while it is paused");
}

#[test]
fn search_filter_and_order_are_the_switchs_for_calls() {
    let mut state = top().with_calls(vec![row(ID, "600")]);
    state.keys("/ann\n");
    let asked = state.asked_at(10);
    assert_eq!(calls_of(&asked).map(|query| query.search.as_str()), Some("ann"));
    state.keys("fjj\n");
    let asked = state.asked_at(20);
    assert_eq!(calls_of(&asked).and_then(|query| query.state), Some(CallState::Ringing));
    state.keys(">z");
    let asked = state.asked_at(30);
    let query = calls_of(&asked).expect("calls are asked for");
    assert_eq!((query.sort, query.descending), (CallSort::Mos, true));
    state.keys("t\n");
    let asked = state.asked_at(40);
    assert!(!calls_of(&asked).expect("calls are asked for").descending, "turned round");
    state.keys("\x1b");
    let asked = state.asked_at(50);
    let query = calls_of(&asked).expect("calls are asked for");
    assert_eq!((query.search.as_str(), query.state), ("", None));
}

#[test]
fn an_answer_to_another_search_comes_too_late() {
    let mut state = top();
    let query = state.call_query();
    state.keys("/6");
    let rows = CallRows { rows: vec![row(ID, "700")], total: 1, up: 1 };
    state.answer(Question::Calls(query.clone()), Ok(Answer::Calls(query, rows)));
    assert!(!state.list().known);
}

#[test]
fn a_call_is_hung_up_when_that_is_confirmed_and_only_then() {
    let mut state = top().with_calls(vec![row(ID, "600"), row("other", "601")]);
    state.keys("D");
    let asked = state.confirm.clone().expect("it asks");
    assert_eq!(asked, [(ID.to_string(), "701 ann to 600".to_string())]);
    assert!(state.keys("\n").is_empty() && state.confirm.is_none());
    assert_eq!(state.notice(), Some("nothing was hung up"));
    let commands = state.keys("Dy");
    assert_eq!(commands, [Command::Ask(Question::HangUp(ID.into()))]);
    // All that are marked.
    let commands = state.keys("  Dy");
    let both = ["other", ID].map(|id| Command::Ask(Question::HangUp(id.into())));
    assert!(commands.len() == 2 && both.iter().all(|one| commands.contains(one)), "{commands:?}");
    assert!(state.marked.is_empty());
}

#[test]
fn a_role_that_may_not_is_told_so() {
    let mut state = top().with_calls(vec![row(ID, "600")]);
    let no = "token watcher has the role viewer: this needs the role operator";
    let fault = || Err(Fault::Forbidden(no.into()));
    state.answer(Question::HangUp(ID.into()), fault());
    assert_eq!(state.notice(), Some(&*format!("not hung up: {no}")));
    state.keys("x");
    state.answer(Question::Ladder(ID.into()), fault());
    match state.pages.last() {
        Some(Page::Ladder(page)) => assert_eq!(page.why.as_deref(), Some(no)),
        other => panic!("{other:?}"),
    }
    // It is not asked for again and again.
    let asked = state.asked_at(60);
    assert!(!asked.contains(&Question::Ladder(ID.into())), "{asked:?}");
}

#[test]
fn a_switch_that_goes_away_is_looked_for_and_found_again() {
    let mut state = top().with_calls(vec![row(ID, "600")]);
    state.tick(seconds(5));
    state.answer(Question::Overview, Err(Fault::Gone("it does not answer".into())));
    assert_eq!(state.link, Link::Lost("it does not answer".into(), seconds(5)));
    assert_eq!(state.list().total(), 1, "what was known is still shown");
    state.schedule.answered(&Question::Status);
    assert_eq!(state.asked_at(10), [Question::Status], "that alone is asked");
    state.answer(Question::Status, Err(Fault::Stranger("the token is wrong".into())));
    assert_eq!(state.link, Link::Lost("the token is wrong".into(), seconds(5)));
    state.answer(Question::Limits, Ok(Answer::Limits(LimitsView { limits: Vec::new() })));
    assert_eq!(state.link, Link::Up);
    assert_eq!(state.notice(), Some("the switch is there again after 5 s"));
    let commands = state.tick(seconds(11));
    assert!(commands.contains(&Command::Listen), "{commands:?}");
}

#[test]
fn events_are_listed_the_newest_first_and_lead_to_their_call() {
    let mut state = top();
    let begun = |call: &str| What::CallBegun {
        call: call.into(),
        from: Some("ann".into()),
        number: "600".into(),
    };
    state.told(news(1, begun("one")));
    state.told(news(2, begun("two")));
    state.keys("6");
    let chosen = state.list().chosen().expect("an event");
    assert_eq!((chosen.key.as_str(), chosen.cells[2].text.as_str()), ("2", "ann calls 600"));
    assert_eq!(chosen.cells[0].text, "04:05:07");
    state.keys("j\n");
    assert_eq!(state.pages.last().and_then(Page::call), Some("one"));
    state.keys("\x1bi");
    assert_eq!(state.list().total(), 0);
}

#[test]
fn what_is_opened_while_it_is_paused_is_asked_for_once() {
    let mut state = top().with_calls(vec![row(ID, "600")]);
    state.keys("p");
    assert_eq!(state.asked_at(10), []);
    state = state.with_calls(vec![row("another", "601"), row("more", "602")]);
    assert_eq!(state.list().total(), 1, "what was on its way is not shown");
    state.keys("\n");
    assert_eq!(state.asked_at(20), [Question::Call(ID.into())]);
    let call = crate::top::samples::call(ID);
    state.answer(Question::Call(ID.into()), Ok(Answer::Call(Box::new(call))));
    assert_eq!(state.asked_at(30), []);
    state.keys("\x1bz");
    assert!(calls_of(&state.asked_at(40)).is_some_and(|query| query.descending));
}

#[test]
fn what_happens_while_it_is_paused_is_listed_behind_that() {
    let mut state = top();
    state.keys("6p");
    let what = || What::Registration { peer: "ann".into(), address: None };
    for number in 0..2_000 {
        state.told(news(number, what()));
    }
    assert_eq!(state.list().total(), 0);
    state.keys("p");
    assert_eq!(state.list().total(), EVENTS);
    assert_eq!(state.list().chosen().map(|item| item.key.as_str()), Some("1999"));
}

#[test]
fn an_event_about_the_call_that_is_open_asks_for_it_at_once() {
    let mut state = top().with_calls(vec![row(ID, "600")]);
    state.keys("\n");
    state.schedule.answered(&Question::Call(ID.into()));
    let call = || Question::Call(ID.into());
    let answered = |call: &str| What::CallAnswered { call: call.into(), by: None };
    state.told(news(1, answered("another")));
    assert!(!state.tick(Duration::from_millis(300)).contains(&Command::Ask(call())));
    state.told(news(2, answered(ID)));
    assert!(state.tick(Duration::from_millis(300)).contains(&Command::Ask(call())));
}

#[test]
fn a_call_that_ends_is_followed_by_its_record() {
    let mut state = top().with_calls(vec![row(ID, "600")]);
    state.keys("\n");
    state.answer(Question::Call(ID.into()), Err(Fault::Nothing("there is no call".into())));
    let asked = state.asked_at(10);
    assert!(asked.contains(&Question::Story(ID.into())), "{asked:?}");
    // It is written a moment later; where it never is, that is the end of it.
    for at in 0..20 {
        state.answer(Question::Story(ID.into()), Err(Fault::Nothing("nothing is kept".into())));
        state.asked_at(20 + at);
    }
    assert!(!state.asked_at(100).contains(&Question::Story(ID.into())));
    match state.pages.last() {
        Some(Page::Call(page)) => assert_eq!(page.why.as_deref(), Some("nothing is kept")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ladder_is_gone_through_and_its_messages_are_opened() {
    let mut state = top().with_calls(vec![row(ID, "600")]);
    state.keys("x");
    let message = |ms: f64| LadderMessage {
        ms,
        leg: 0,
        incoming: true,
        message: "NEW".into(),
        repeated: false,
        encrypted: false,
        text: "NEW with all it has".into(),
    };
    let ladder = |count: u32| Ladder {
        legs: vec!["IAX2/ann-1".into()],
        messages: (0..count).map(|n| message(f64::from(n))).collect(),
    };
    let answer = |state: &mut State, count| {
        let answer = Answer::Ladder(ID.into(), ladder(count));
        state.answer(Question::Ladder(ID.into()), Ok(answer));
    };
    let cursor = |state: &State| match state.pages.last() {
        Some(Page::Ladder(page)) => (page.cursor, page.opened),
        other => panic!("{other:?}"),
    };
    answer(&mut state, 10);
    assert_eq!(cursor(&state), (0, false), "it begins with the first");
    state.keys("G");
    answer(&mut state, 12);
    assert_eq!(cursor(&state), (11, false), "whoever has gone to the last stays with the last");
    state.keys("gj\n");
    answer(&mut state, 15);
    assert_eq!(cursor(&state), (1, true));
    state.keys("\x1b");
    assert_eq!(cursor(&state), (1, false));
    state.keys("\x1b");
    assert!(state.pages.is_empty());
}

#[test]
fn acknowledgements_are_shown_where_they_are_asked_for() {
    let mut state = top().with_calls(vec![row(ID, "600")]);
    state.keys("x");
    let message = |gist: &str| LadderMessage {
        ms: 0.0,
        leg: 0,
        incoming: true,
        message: gist.into(),
        repeated: false,
        encrypted: false,
        text: gist.into(),
    };
    let messages = ["NEW", "ACK", "ACCEPT", "ACK", "ANSWER"].map(message).into();
    let ladder = Ladder { legs: vec!["IAX2/ann-1".into()], messages };
    state.answer(Question::Ladder(ID.into()), Ok(Answer::Ladder(ID.into(), ladder)));
    let seen = |state: &State| match state.pages.last() {
        Some(Page::Ladder(page)) => {
            let messages = &page.ladder.as_ref().expect("a ladder").messages;
            let chosen = messages[page.cursor].message.clone();
            (messages.len(), page.hidden(), chosen)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(seen(&state), (3, 2, "NEW".into()));
    state.keys("ja");
    assert_eq!(seen(&state), (5, 0, "ACCEPT".into()), "what was chosen stays so");
    state.keys("ka");
    assert_eq!(seen(&state), (3, 2, "ACCEPT".into()));
}

#[test]
fn the_calls_of_a_peer_are_one_key_away() {
    let mut state = top();
    state
        .answer(Question::Peers, Ok(Answer::Peers(vec![crate::top::samples::peer("box")], vec![])));
    state.keys("4c");
    assert_eq!((state.tab, state.list().search.as_str()), (Tab::Calls, "box"));
}

#[test]
fn keys_that_mean_nothing_do_nothing() {
    let mut state = top();
    let keys = [Key::Function(12), Key::Control('z'), Key::Char('Z'), Key::Backspace, Key::PageUp];
    for key in keys {
        state.key(key);
    }
    assert!(state.pages.is_empty() && state.menu.is_none() && state.confirm.is_none());
    assert_eq!(state.keys("D"), [], "there is no call");
    assert_eq!(state.notice(), Some("no call is chosen"));
    assert_eq!(state.keys("q"), [Command::Quit]);
    assert_eq!(state.key(Key::Interrupt), [Command::Quit]);
}

#[test]
fn a_call_has_a_line_over_time_for_each_leg() {
    let mut state = top().with_calls(vec![row(ID, "600")]);
    state.keys("\n");
    let look = |state: &mut State, frames, lost| {
        let mut call = crate::top::samples::call(ID);
        (call.caller.heard.frames, call.caller.heard.lost) = (frames, lost);
        state.answer(Question::Call(ID.into()), Ok(Answer::Call(Box::new(call))));
    };
    look(&mut state, 100, 1);
    look(&mut state, 140, 11);
    look(&mut state, 140, 11);
    let Some(Page::Call(page)) = state.pages.last() else { panic!("a call is open") };
    let line = &page.timelines["IAX2/ann-5"];
    assert_eq!(
        line.last(9, |look| look.loss),
        [None, Some(20.0), None],
        "lost of those in between"
    );
    assert_eq!(line.last(1, |look| look.round_trip), [Some(42.0)]);
}
