//! How a softphone looks: draws a [`State`], and knows nothing else.
//!
//! It fits 80 columns and 24 rows. What colours say is said in words too, and where the terminal has
//! no Unicode or no colours, none are used.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Row, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::state::{Entry, Figures, LINES, Line, Origin, Past, Phase, Standing, State};
use crate::terminal::Look;

const LEAST: (u16, u16) = (60, 20);

/// The lowest and the highest level that a meter shows, in dB of full scale.
const FLOOR: f32 = -60.0;
/// From here on it will distort.
const LOUD: f32 = -6.0;

fn arrow(look: Look, origin: Origin) -> &'static str {
    match (origin, look.unicode) {
        (Origin::Here, true) => "→",
        (Origin::Here, false) => "->",
        (Origin::Caller, true) => "←",
        (Origin::Caller, false) => "<-",
    }
}

/// The time of the day, so long after the phone began.
fn time(look: Look, at: Duration) -> String {
    let seconds = (look.began + at.as_secs()) % 86_400;
    format!("{:02}:{:02}", seconds / 3_600, seconds / 60 % 60)
}

/// Draws it.
pub(crate) fn draw(frame: &mut Frame<'_>, state: &State, look: Look) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let (width, height) = LEAST;
        let text = format!("{width} columns and {height} rows are needed");
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let [title, calls, sound, past, entry, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(LINES as u16 + 2),
        Constraint::Length(6),
        Constraint::Min(3),
        Constraint::Length(1),
        Constraint::Length(2),
    ])
    .areas(area);
    frame.render_widget(heading(state, look, title.width), title);
    draw_calls(frame, state, look, calls);
    draw_sound(frame, state, look, sound);
    draw_history(frame, state, look, past);
    draw_entry(frame, state, look, entry);
    frame.render_widget(Paragraph::new(key_rows(state, look)), keys);
    if state.help {
        draw_help(frame, look, area);
    }
}

fn heading(state: &State, look: Look, width: u16) -> Paragraph<'static> {
    let (words, colour) = match &state.standing {
        Standing::Unasked => ("not registering".to_string(), Color::Reset),
        Standing::Registering => ("registering".to_string(), Color::Yellow),
        Standing::Registered { refresh } => {
            (format!("ready, registered for {} s", refresh.as_secs()), Color::Green)
        }
        Standing::Failed { retry_at, .. } => {
            let seconds = retry_at.saturating_sub(state.now).as_secs();
            (format!("NOT registered, again in {seconds} s"), Color::Red)
        }
    };
    let messages = match state.messages {
        None | Some(Some(0)) => String::new(),
        Some(Some(1)) => "1 message  ".into(),
        Some(Some(count)) => format!("{count} messages  "),
        Some(None) => "messages  ".into(),
    };
    let left = format!(" oneport phone  {}", state.account);
    let right = format!("{messages}{words} ");
    let room = usize::from(width).saturating_sub(left.chars().count() + right.chars().count());
    let colour = if look.colours { Style::new().fg(colour) } else { Style::new() };
    let bold = Modifier::BOLD;
    Paragraph::new(Row::from(vec![
        Span::styled(left, Style::new().add_modifier(bold)),
        Span::raw(" ".repeat(room.max(1))),
        Span::styled(right, colour.add_modifier(bold)),
    ]))
}

fn draw_calls(frame: &mut Frame<'_>, state: &State, look: Look, area: Rect) {
    let rows: Vec<Row<'_>> = if state.lines.is_empty() {
        vec![Row::from(" No call. Type a number, then Enter.")]
    } else {
        state.lines.iter().map(|line| call_row(line, state, look)).collect()
    };
    frame.render_widget(Paragraph::new(rows).block(look.block(" Calls ")), area);
}

fn call_row(line: &Line, state: &State, look: Look) -> Row<'static> {
    let selected = state.selected == Some(line.id);
    let marker = if selected { ">" } else { " " };
    let since = line.answered.unwrap_or(line.begun);
    let style = match line.phase {
        Phase::Up if line.held || line.held_there => look.colour(Color::Yellow),
        Phase::Up => look.colour(Color::Green),
        Phase::Offered => look.colour(Color::Magenta).add_modifier(Modifier::BOLD),
        _ => look.colour(Color::Cyan),
    };
    let mut keys = String::new();
    if !line.pressed.is_empty() {
        keys.push_str(&format!("  sent {}", tail(&line.pressed)));
    }
    if !line.digits.is_empty() {
        keys.push_str(&format!("  got {}", tail(&line.digits)));
    }
    let text = format!(
        "{marker}{} {:<19} {} {} {}{keys}",
        line.id,
        line.words(),
        clock(state.now.saturating_sub(since)),
        arrow(look, line.origin),
        line.party(),
    );
    let style = if selected { style.add_modifier(Modifier::REVERSED) } else { style };
    Row::from(Span::styled(text, style))
}

/// The last keys of many.
fn tail(keys: &str) -> &str {
    let start = keys.char_indices().rev().nth(11).map_or(0, |(at, _)| at);
    &keys[start..]
}

fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds / 3_600 {
        0 => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

fn draw_sound(frame: &mut Frame<'_>, state: &State, look: Look, area: Rect) {
    let title = format!(" Sound: {} ", state.sound);
    let block = look.block(&title);
    let inner = block.inner(area);
    let (microphone, heard) = state.levels;
    let muted = if state.muted { "MUTED, m opens" } else { "" };
    let volume = match state.volume {
        0 => String::new(),
        volume => format!("volume {volume:+} dB"),
    };
    let mut rows = vec![
        meter("you", microphone, muted, inner.width, look),
        meter("them", heard, &volume, inner.width, look),
    ];
    let shown = state.talking.and_then(|id| state.line(id)).or_else(|| state.selected_line());
    match shown.and_then(|line| line.figures.as_deref()) {
        Some(figures) => rows.extend(figure_rows(figures)),
        None => rows.push(Row::from(" no audio yet")),
    }
    frame.render_widget(Paragraph::new(rows).block(block), area);
}

fn meter(name: &str, level: f32, remark: &str, width: u16, look: Look) -> Row<'static> {
    const REMARK: u16 = 16;
    let cells = width.saturating_sub(16 + REMARK);
    let share = ((level - FLOOR) / -FLOOR).clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the cells")]
    let lit = (share * f32::from(cells)).round() as u16;
    let (on, off) = if look.unicode { ("█", "░") } else { ("#", ".") };
    let colour = if level > LOUD { Color::Red } else { Color::Green };
    let words = if level <= FLOOR { "   silent".into() } else { format!("{level:>6.0} dB") };
    Row::from(vec![
        Span::raw(format!(" {name:<5}")),
        Span::styled(on.repeat(lit.into()), look.colour(colour)),
        Span::raw(off.repeat((cells - lit).into())),
        Span::raw(format!("{words} ")),
        Span::styled(format!("{remark:<16}"), look.colour(Color::Yellow)),
    ])
}

fn figure_rows(figures: &Figures) -> [Row<'static>; 2] {
    let millis = |duration: Duration| format!("{:.0} ms", duration.as_secs_f64() * 1_000.0);
    let score = |mos: Option<f64>| mos.map_or_else(|| "-".into(), |mos| format!("{mos:.1}"));
    let lock = if figures.encrypted { ", encrypted" } else { "" };
    let there = figures.loss_there_percent.map_or_else(|| "-".into(), |lost| format!("{lost:.1}%"));
    let round_trip = figures.round_trip.map_or_else(|| "-".into(), millis);
    [
        Row::from(format!(
            " {}{lock}   MOS {} here, {} there   lost {:.1}% here, {there} there",
            figures.codec,
            score(figures.mos),
            score(figures.mos_there),
            figures.loss_percent,
        )),
        Row::from(format!(
            " jitter {}   buffer {}   round trip {round_trip}   concealed {:.1}%",
            millis(figures.jitter),
            millis(figures.buffer),
            figures.concealed_percent,
        )),
    ]
}

fn draw_history(frame: &mut Frame<'_>, state: &State, look: Look, area: Rect) {
    let rows: Vec<Row<'_>> = match state.history.is_empty() {
        true => vec![Row::from(" no call yet")],
        false => state.history.iter().map(|past| past_row(past, look)).collect(),
    };
    frame.render_widget(Paragraph::new(rows).block(look.block(" Before ")), area);
}

fn past_row(past: &Past, look: Look) -> Row<'static> {
    let talked = past.talked.map_or_else(|| "  -  ".into(), clock);
    let name = past.name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    let style = match (past.talked, past.origin) {
        (None, Origin::Caller) => look.colour(Color::Red),
        _ => Style::new(),
    };
    let text = format!(
        " {}  {talked}  {} {}{name}   {}",
        time(look, past.at),
        arrow(look, past.origin),
        past.number,
        past.why
    );
    Row::from(Span::styled(text, style))
}

fn draw_entry(frame: &mut Frame<'_>, state: &State, look: Look, area: Rect) {
    let (prompt, entry) = match &state.entry {
        None => {
            let text = format!(" {}", state.notice().unwrap_or_default());
            let style = look.colour(Color::Yellow).add_modifier(Modifier::BOLD);
            frame.render_widget(Paragraph::new(text).style(style), area);
            return;
        }
        Some(entry @ Entry::Dial { .. }) => (" call: ".to_string(), entry),
        Some(entry @ Entry::Transfer { line, .. }) => {
            let party = state.line(*line).map(Line::party).unwrap_or_default();
            (format!(" transfer {party} to: "), entry)
        }
    };
    let text = format!("{prompt}{}", entry.number());
    #[expect(clippy::cast_possible_truncation, reason = "shorter than a row of the screen")]
    let column = text.chars().count().min(usize::from(area.width) - 1) as u16;
    frame.render_widget(Paragraph::new(text), area);
    frame.set_cursor_position((area.x + column, area.y));
}

/// The keys that do something now.
fn key_rows(state: &State, look: Look) -> Vec<Row<'static>> {
    let keys = |of: &[(&str, &str)]| {
        let mut spans = vec![Span::raw(" ")];
        for (key, does) in of {
            let style = look.colour(Color::Cyan).add_modifier(Modifier::BOLD);
            spans.push(Span::styled((*key).to_string(), style));
            spans.push(Span::raw(format!(" {does}   ")));
        }
        Row::from(spans)
    };
    if state.entry.is_some() {
        return vec![
            keys(&[("Enter", "goes on"), ("Esc", "never mind"), ("Up", "numbers before")]),
            keys(&[]),
        ];
    }
    let offered = state.lines.iter().any(|line| line.phase == Phase::Offered);
    let first = match (offered, state.selected_line()) {
        (true, _) => keys(&[("a", "answer"), ("r", "reject"), ("d", "call")]),
        (_, Some(line)) if line.is_up() => {
            let hold = ("h", if line.held { "resume" } else { "hold" });
            let mut does = vec![hold, ("x", "hang up"), ("t", "transfer")];
            does.extend(state.can_connect().then_some(("c", "connect")));
            does.extend([("0-9 * #", "keys"), ("d", "call")]);
            keys(&does)
        }
        (_, Some(_)) => keys(&[("x", "hang up")]),
        (_, None) if state.last_number().is_some() => {
            keys(&[("0-9 d", "call"), ("Enter", "last number")])
        }
        (_, None) => keys(&[("0-9 d", "call")]),
    };
    let mute = if state.muted { "unmute" } else { "mute" };
    let mut rest = vec![("m", mute), ("+ -", "volume")];
    rest.extend((state.lines.len() > 1).then_some(("Up Down", "choose")));
    rest.extend([("?", "help"), ("q", "quit")]);
    vec![first, keys(&rest)]
}

/// What `?` shows.
const HELP: [&str; 18] = [
    "0-9 * #   a number to call; while you talk, keys for the other side",
    "A-D       the keys that telephones lack, while you talk",
    "d         calls: a number, a name, or host/number",
    "Enter     answers; without a call, the number called last",
    "a  r      answers; rejects, as if busy",
    "h         puts the chosen call on hold, or goes on with it;",
    "          whom you talk to then is put on hold",
    "x         hangs up the chosen call",
    "t         transfers the chosen call: asks its other side to send it",
    "          to a number, unannounced",
    "c         connects whom you talk to with the call on hold, and",
    "          leaves them alone: an announced transfer",
    "Up Down   choose a call",
    "m         shuts the microphone",
    "+ -       how loud the other side is",
    "q Ctrl-C  ends everything, asking first while calls are up",
    "",
    "any key   closes this",
];

fn draw_help(frame: &mut Frame<'_>, look: Look, area: Rect) {
    let (width, height) = (72, HELP.len() as u16 + 2);
    let popup = Rect {
        x: area.x + area.width.saturating_sub(width) / 2,
        y: area.y + area.height.saturating_sub(height) / 2,
        width: width.min(area.width),
        height: height.min(area.height),
    };
    frame.render_widget(Clear, popup);
    let rows: Vec<Row<'_>> = HELP.iter().map(|row| Row::from(format!(" {row}"))).collect();
    frame.render_widget(Paragraph::new(rows).block(look.block(" Keys ")), popup);
}

#[cfg(test)]
mod tests;
