//! What is on the screen, at its least size and at a larger one.

use jiff::tz::TimeZone;
use oneport_switch::api::model::{
    CallRow, CallRows, CallState, Ladder, LadderMessage, LegRow, LimitsView, Overview, Status,
};
use oneport_switch::{News, What};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;
use std::time::Duration;

use super::*;
use crate::terminal::Key;
use crate::top::ask::{Answer, Fault, Question, Told};
use crate::top::samples;
use crate::top::state::Command;

const LOOK: Look = Look { unicode: true, colours: true, began: 0 };
const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn shown(state: &mut State, look: Look, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    state.key(Key::Resize(width, height));
    terminal.draw(|frame| draw(frame, state, look)).unwrap();
    terminal.backend().to_string()
}

fn keys(state: &mut State, keys: &str) {
    for key in keys.chars() {
        state.key(match key {
            '\n' => Key::Enter,
            '\x1b' => Key::Escape,
            key => Key::Char(key),
        });
    }
}

fn row(n: u32) -> CallRow {
    let state = match n {
        3 => CallState::Ringing,
        5 => CallState::Calling,
        _ => CallState::Answered,
    };
    let leg = |who: &str, mos: f64, loss: f64, trouble: Option<&str>| LegRow {
        who: who.into(),
        codec: Some("ulaw".into()),
        encrypted: n == 2,
        mos_here: (state == CallState::Answered).then_some(mos),
        mos_there: None,
        loss_percent: (state == CallState::Answered).then_some(loss),
        loss_percent_there: None,
        losses: Vec::new(),
        jitter_ms: 2.5,
        rtt_ms: Some(41.2),
        trouble: trouble.map(Into::into),
    };
    let ill = (n == 1).then_some("12 % of what comes from it is lost on the way");
    let mos = if n == 1 { 2.4 } else { 4.37 };
    CallRow {
        id: format!("01890a5d-ac96-774b-bcce-b30209900{n:03}"),
        process: None,
        state,
        calling_number: n.is_multiple_of(2).then(|| format!("70{n}")),
        number: format!("912125550{n:03}"),
        destination: Some("peer:a-carrier-with-a-long-name".into()),
        seconds: f64::from(n) * 61.0,
        recorded: n == 4,
        listened: false,
        transcoded: false,
        caller: leg("dialer", mos, if n == 1 { 12.2 } else { 0.04 }, ill),
        called: vec![leg("box", 4.4, 0.0, None)],
    }
}

fn overview(calls: usize) -> Overview {
    let json = json!({
        "calls": calls, "legs": calls * 2,
        "states": [{"state": "answered", "calls": calls - 2}, {"state": "ringing", "calls": 2}],
        "begun_per_second": 12.4, "refused": 7,
        "mos": [
            {"at_least": 4.34, "calls": calls - 12}, {"at_least": 4.03, "calls": 7},
            {"at_least": 3.6, "calls": 0}, {"at_least": 3.1, "calls": 2}, {"at_least": 0.0, "calls": 1}
        ],
        "unheard": 2, "one_way": 1,
        "history": {
            "seconds": 10,
            "calls": (0..360).map(|n| n * 5 + n % 7).collect::<Vec<_>>(),
            "begun": vec![2; 360], "refused": (0..360).map(|n| u64::from(n == 350)).collect::<Vec<_>>()
        },
        "process": {"cpu_percent": 34.2, "cores": 2, "memory_peak_bytes": 97_000_000, "lag_ms": 1.3},
        "sockets": {"datagrams_per_second": 9_000.0, "overflowed": 0, "dropped": 4, "retransmissions": 9}
    });
    serde_json::from_value(json).unwrap()
}

fn status() -> Status {
    let json = json!({
        "version": "0.1.0", "uptime_seconds": 187_000, "listen": ["0.0.0.0:4569"], "calls": 2_000,
        "legs": 4_000, "peers": 3, "peers_unreachable": 1, "registered_here": 1, "registrations": 1,
        "registrations_good": 1, "limits_full": 0, "ready": true, "refusing": null,
        "troubles": ["peer far is UNREACHABLE"]
    });
    serde_json::from_value(json).unwrap()
}

fn limits() -> LimitsView {
    let limit = |name: &str, used: usize, max: usize, refused: u64| {
        json!({
            "name": name, "used": used, "soft": false, "max_calls": max, "max_calls_per_second": 20,
            "begun_within_second": 12, "peak": used + 1, "refused": refused, "at_cap_seconds": 65.0,
            "history": [1, 2], "top": [{"name": "dialer", "calls": used}]
        })
    };
    let all = [limit("carrier", 27, 30, 7), limit("fax", 30, 30, 41), limit("queue", 2, 30, 0)];
    serde_json::from_value(json!({ "limits": all })).unwrap()
}

fn tell(state: &mut State, question: Question, answer: Answer) {
    state.told(Told::Answer(question, Ok(answer)));
}

/// A switch in the middle of its day.
fn busy() -> State {
    let began = "2026-02-03T04:05:06Z".parse().unwrap();
    let mut state = State::new("127.0.0.1:8569".into(), began, TimeZone::UTC);
    let mut commands = state.key(Key::Resize(120, 40));
    commands.extend(state.tick(Duration::from_secs(1)));
    tell(&mut state, Question::Overview, Answer::Overview(Box::new(overview(2_000))));
    tell(&mut state, Question::Status, Answer::Status(Box::new(status())));
    let query = commands.into_iter().find_map(|command| match command {
        Command::Ask(Question::Calls(query)) => Some(query),
        _ => None,
    });
    let query = query.expect("calls are asked for");
    let rows = CallRows { rows: (0..30).map(row).collect(), total: 2_000, up: 2_000 };
    tell(&mut state, Question::Calls(query.clone()), Answer::Calls(query, rows));
    let mut far = samples::peer("far");
    far.state = oneport_switch::api::model::PeerState::Unreachable;
    far.latency_ms = None;
    let mut ann = samples::peer("ann");
    (ann.trunk, ann.registers, ann.expires_seconds) = (false, true, Some(42));
    let elsewhere = serde_json::from_value(json!([{
        "registrar": "iax.example.org:4569", "username": "oneport", "state": "registered",
        "refresh_seconds": 60, "apparent_address": "203.0.113.9:4569", "failure": null
    }]));
    let peers = vec![ann, samples::peer("box"), far];
    tell(&mut state, Question::Peers, Answer::Peers(peers, elsewhere.unwrap()));
    tell(&mut state, Question::Limits, Answer::Limits(limits()));
    let carriers = serde_json::from_value(json!({ "carriers": [{
        "name": "provider", "state": "ok", "since_seconds": 9_000, "latency_ms": 18.2,
        "host": "sip.example.org", "addresses": ["192.0.2.8:5060"], "transport": "udp", "down": null,
        "registration": "registered", "registered_seconds": 1_200, "registration_failure": null,
        "calls_in": 3, "calls_out": 14, "turned_away": 2, "codecs": ["ulaw", "alaw"]
    }]}));
    tell(&mut state, Question::Carriers, Answer::Carriers(carriers.unwrap()));
    for (number, what) in [
        What::CallBegun { call: ID.into(), from: Some("dialer".into()), number: "600".into() },
        What::Limit { limit: "fax".into(), used: 30, max: 30, above: true },
        What::Refused {
            call: None,
            from: "dialer".into(),
            number: Some("9".into()),
            cause: Some(34),
            why: "limit fax has 30 of 30 calls".into(),
        },
    ]
    .into_iter()
    .enumerate()
    {
        let news = News { number: number as u64, at: "2026-02-03T04:05:07Z".into(), what };
        state.told(Told::News(Box::new(news)));
    }
    state
}

/// The same with one call opened.
fn opened() -> State {
    let mut state = busy();
    keys(&mut state, "\n");
    let id = "01890a5d-ac96-774b-bcce-b30209900000";
    for n in 0..40 {
        let mut call = samples::call(id);
        call.caller.heard.frames += n * 50;
        call.caller.heard.lost += if n % 9 == 4 { n + 3 } else { n };
        call.called[0].heard.jitter_ms = f64::from(u32::try_from(n % 13).unwrap());
        tell(&mut state, Question::Call(id.into()), Answer::Call(Box::new(call)));
    }
    state
}

fn with_ladder() -> State {
    let mut state = opened();
    keys(&mut state, "\n");
    let message = |ms: f64, leg, incoming, message: &str| LadderMessage {
        ms,
        leg,
        incoming,
        message: message.into(),
        repeated: false,
        encrypted: false,
        text: format!("F 00005→00009 ts 3 oseq 0 iseq 0 IAX {message} with all of its elements"),
    };
    let ladder = Ladder {
        legs: vec!["IAX2/ann-5".into(), "IAX2/box-7".into()],
        messages: vec![
            message(0.0, 0, true, "NEW 912125550100"),
            message(0.6, 0, false, "AUTHREQ"),
            message(1.1, 0, true, "AUTHREP"),
            message(1.6, 1, false, "NEW 12125550100"),
            message(20.1, 1, true, "ACCEPT ulaw"),
            message(900.0, 1, true, "ANSWER"),
            message(900.4, 0, false, "ANSWER"),
        ],
    };
    let id = "01890a5d-ac96-774b-bcce-b30209900000";
    tell(&mut state, Question::Ladder(id.into()), Answer::Ladder(id.into(), ladder));
    state
}

#[test]
fn calls_fit_eighty_by_twenty_four() {
    insta::assert_snapshot!(shown(&mut busy(), LOOK, 80, 24));
}

#[test]
fn calls_have_room_at_a_hundred_and_twenty_by_forty() {
    insta::assert_snapshot!(shown(&mut busy(), LOOK, 120, 40));
}

#[test]
fn without_unicode_and_colours_it_says_the_same() {
    let plain = Look { unicode: false, colours: false, ..LOOK };
    let mut state = busy();
    let text = shown(&mut state, plain, 120, 40);
    assert!(text.is_ascii(), "{text}");
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    terminal.draw(|frame| draw(frame, &mut state, plain)).unwrap();
    let cells = terminal.backend().buffer().content();
    assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    for page in [opened(), with_ladder()] {
        let text = shown(&mut { page }, plain, 80, 24);
        assert!(text.replace(['→'], "").is_ascii(), "{text}");
    }
}

#[test]
fn each_list_fits_eighty_by_twenty_four() {
    let mut state = busy();
    let mut all = String::new();
    for tab in ["2", "3", "4", "5", "6"] {
        keys(&mut state, tab);
        let text = shown(&mut state, LOOK, 80, 24);
        // The head is the same everywhere.
        all.extend(text.lines().skip(4).take(8).map(|line| format!("{line}\n")));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_call_fits_eighty_by_twenty_four() {
    insta::assert_snapshot!(shown(&mut opened(), LOOK, 80, 24));
}

#[test]
fn a_call_has_room_at_a_hundred_and_twenty_by_forty() {
    insta::assert_snapshot!(shown(&mut opened(), LOOK, 120, 40));
}

#[test]
fn the_ladder_of_a_call_has_both_legs_on_one_axis_of_time() {
    insta::assert_snapshot!(shown(&mut with_ladder(), LOOK, 80, 24));
}

#[test]
fn a_message_is_shown_whole() {
    let mut state = with_ladder();
    keys(&mut state, "g\n");
    let text = shown(&mut state, LOOK, 80, 24);
    assert!(
        text.contains("NEW 912125550100 with all of its") && text.contains("to switch"),
        "{text}"
    );
}

#[test]
fn a_trunk_says_all_that_is_known_of_it() {
    let mut state = busy();
    keys(&mut state, "2\n");
    let refusals = json!([]);
    let answer = Answer::Refusals(serde_json::from_value(refusals).unwrap());
    tell(&mut state, Question::Refusals, answer);
    insta::assert_snapshot!(shown(&mut state, LOOK, 80, 24));
}

#[test]
fn help_and_questions_lie_before_it() {
    let mut state = busy();
    keys(&mut state, "?G");
    let text = shown(&mut state, LOOK, 80, 24);
    assert!(text.contains("E encrypted  R recorded"), "the end of help is reached:\n{text}");
    keys(&mut state, "xD");
    insta::assert_snapshot!(shown(&mut state, LOOK, 80, 24));
}

#[test]
fn a_switch_that_has_gone_is_seen_and_so_is_that_the_figures_are_old() {
    let mut state = busy();
    let gone = Fault::Gone("http://127.0.0.1:8569 does not answer: refused".into());
    state.told(Told::Answer(Question::Overview, Err(gone)));
    state.tick(Duration::from_secs(8));
    let text = shown(&mut state, LOOK, 80, 24);
    assert!(text.contains("NO ANSWER for 7 s"), "{text}");
    assert!(text.contains("what is shown is old: http://127.0.0.1:8569 does not"), "{text}");
}

#[test]
fn new_calls_that_are_refused_for_overload_are_said_first() {
    let mut state = busy();
    let mut refusing = status();
    refusing.refusing = Some("the media thread is 84 % busy".into());
    tell(&mut state, Question::Status, Answer::Status(Box::new(refusing)));
    let text = shown(&mut state, LOOK, 80, 24);
    assert!(text.contains("NEW CALLS ARE REFUSED: the media thread is 84 % busy"), "{text}");
}

#[test]
fn an_empty_list_says_what_would_be_there() {
    let began = "2026-02-03T04:05:06Z".parse().unwrap();
    let mut state = State::new("127.0.0.1:8569".into(), began, TimeZone::UTC);
    assert!(shown(&mut state, LOOK, 80, 24).contains("asking ..."));
    keys(&mut state, "6");
    let text = shown(&mut state, LOOK, 80, 24);
    assert!(text.contains("Nothing has happened since this began"), "{text}");
    tell(&mut state, Question::Limits, Answer::Limits(LimitsView { limits: Vec::new() }));
    keys(&mut state, "5");
    let text = shown(&mut state, LOOK, 80, 24);
    assert!(text.contains("No limit is configured: [[limits]]"), "{text}");
}

#[test]
fn what_callers_send_moves_no_cursor() {
    let mut state = busy();
    let what = What::Refused {
        call: None,
        from: "\x1b[2J\x07evil".into(),
        number: None,
        cause: None,
        why: "a\nb\tc".into(),
    };
    let news = News { number: 9, at: "2026-02-03T04:05:07Z".into(), what };
    state.told(Told::News(Box::new(news)));
    keys(&mut state, "6");
    let text = shown(&mut state, LOOK, 80, 24);
    assert!(text.contains("evil"), "{text}");
    let odd = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(odd) && text.lines().count() == 24, "{text:?}");
}

#[test]
fn any_size_of_a_terminal_is_drawn_or_told_to_be_too_small() {
    let text = shown(&mut busy(), LOOK, 50, 10);
    assert!(text.contains("80 columns and 20 rows are needed"), "{text}");
    for state in [busy, opened, with_ladder] {
        for (width, height) in [(1, 1), (80, 20), (81, 33), (80, 34), (300, 100), (61, 3)] {
            shown(&mut state(), LOOK, width, height);
        }
    }
}

#[test]
fn long_texts_are_broken_at_spaces_and_long_words_anywhere() {
    assert_eq!(wrapped("a bc def", 4), ["a bc", "def"]);
    assert_eq!(wrapped("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
    assert_eq!(wrapped("", 4), [""]);
}

/// One of the captures in `testdata`.
fn captured(name: &str) -> State {
    let file = format!("{}/../../testdata/{name}.pcap", env!("CARGO_MANIFEST_DIR"));
    let capture = crate::top::capture::read(file.as_ref(), &[4_569, 24_569]).expect("a capture");
    State::of_capture(format!("{name}.pcap"), capture, "2026-02-03T04:05:06Z".parse().unwrap())
}

#[test]
fn calls_of_a_capture_are_the_same_list() {
    let mut state = captured("asterisk-register-call-reject");
    insta::assert_snapshot!(shown(&mut state, LOOK, 120, 24));
    keys(&mut state, "\n");
    insta::assert_snapshot!(shown(&mut state, LOOK, 80, 24));
}

#[test]
fn the_ladder_of_a_captured_call_is_the_same_too() {
    let mut state = captured("iaxmodem-register-call");
    keys(&mut state, "Gx");
    insta::assert_snapshot!(shown(&mut state, LOOK, 80, 24));
    assert_eq!(state.tick(Duration::from_secs(60)), [], "nothing is asked of anybody");
}

#[test]
fn a_captured_call_is_put_into_a_file_by_the_ending_of_its_name() {
    use crate::top::saving::Content;
    let mut state = captured("asterisk-register-call-reject");
    keys(&mut state, "/rejected\n");
    let press = |state: &mut State, text: &str| -> Vec<Command> {
        let mut commands = state.key(Key::Function(2));
        commands.extend(state.key(Key::Control('u')));
        text.chars().for_each(|character| commands.extend(state.key(Key::Char(character))));
        commands.extend(state.key(Key::Enter));
        commands
    };
    let packets = press(&mut state, "bad.pcapng");
    assert_eq!(packets, [Command::Save("bad.pcapng".into(), Content::Packets(3))]);
    let [Command::Save(_, Content::Text(text))] = &*press(&mut state, "bad.txt") else {
        panic!("a text")
    };
    assert!(text.contains(" NEW nobody ") && text.contains(" ACK "), "{text}");
    let [Command::Save(_, Content::Text(picture))] = &*press(&mut state, "bad.svg") else {
        panic!("a picture")
    };
    assert!(picture.starts_with("<svg"), "{picture}");
    assert_eq!(state.key(Key::Function(2)), []);
    assert_eq!((state.key(Key::Escape), &state.saving), (Vec::new(), &None), "never mind");
}
