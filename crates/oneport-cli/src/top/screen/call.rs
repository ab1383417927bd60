//! One call: how both sides hear each other, what ails it, and its record.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use oneport_switch::api::model::{CallView, LegView};

use super::{BOLD, chart, draw_facts, put, style};
use crate::terminal::Look;
use crate::top::detail;
use crate::top::list::Tone;
use crate::top::state::{CallPage, State, Timeline};
use crate::top::words;

/// Rows of a leg: its frame, codec, headings, six figures, three lines over time.
const LEG: u16 = 13;

/// Columns of names within a leg, and of each figure.
const NAME: usize = 11;
const FIGURE: usize = 13;

pub(super) fn draw(
    frame: &mut Frame<'_>,
    state: &State,
    page: &mut CallPage,
    look: Look,
    area: Rect,
) {
    let [title, body] = Layout::vertical([Constraint::Length(2), Constraint::Min(1)]).areas(area);
    heading(frame, state, page, look, title);
    let Some(call) = page.call.as_ref().filter(|_| !page.over) else {
        over(frame, page, look, body);
        return;
    };
    let [legs, text] = Layout::vertical([Constraint::Length(LEG), Constraint::Min(1)]).areas(body);
    let called = call.called.get(page.leg).or_else(|| call.called.first());
    match called {
        None => leg(frame, page, &call.caller, "caller", look, legs),
        Some(called) => {
            let [left, right] =
                Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(legs);
            leg(frame, page, &call.caller, "caller", look, left);
            let others = call.called.len() - 1;
            let who =
                if others > 0 { format!("called, {others} more ring") } else { "called".into() };
            leg(frame, page, called, &who, look, right);
        }
    }
    page.top = draw_facts(frame, &detail::of_call(call), page.top, look, text);
}

fn heading(frame: &mut Frame<'_>, state: &State, page: &CallPage, look: Look, area: Rect) {
    let buffer = frame.buffer_mut();
    let (word, tone) = match (&page.call, page.over) {
        (_, true) => ("over", Tone::Quiet),
        (Some(call), false) => words::call_state(call.state),
        (None, false) => ("asking ...", Tone::Quiet),
    };
    let up = page.call.as_ref().filter(|_| !page.over).map(|call| {
        format!(" for {}, since {}", words::clock(call.seconds), state.time_before(call.seconds))
    });
    let line = Line::from(vec![
        Span::styled(format!(" Call {}  ", page.id), BOLD),
        Span::styled(word, style(look, tone).patch(BOLD)),
        Span::raw(up.unwrap_or_default()),
    ]);
    buffer.set_line(area.x, area.y, &line, area.width);
    if let Some(call) = &page.call {
        let second = (area.x + 1, area.y + 1);
        put(buffer, second, area.width - 1, &parties(call, look), style(look, Tone::Plain), look);
    }
}

/// Who speaks with whom.
fn parties(call: &CallView, look: Look) -> String {
    let who = |leg: &LegView| leg.peer.clone().unwrap_or_else(|| leg.address.clone());
    let from = match &call.calling_number {
        Some(number) if !number.is_empty() => format!("{number} ({})", who(&call.caller)),
        _ => who(&call.caller),
    };
    let arrow = if look.unicode { "→" } else { "->" };
    let to = call.destination.as_ref().map(|to| format!(" ({to})")).unwrap_or_default();
    format!("{from} {arrow} {}{to}", call.number)
}

/// What is kept of a call that is over.
fn over(frame: &mut Frame<'_>, page: &mut CallPage, look: Look, area: Rect) {
    if let Some(story) = &page.story {
        page.top = draw_facts(frame, &detail::of_story(story), page.top, look, area);
        return;
    }
    let text = match &page.why {
        Some(why) => format!(" {why}"),
        None if page.over => " The call is over; its record is awaited.".into(),
        None => String::new(),
    };
    frame.render_widget(Paragraph::new(text).style(style(look, Tone::Quiet)), area);
}

fn leg(frame: &mut Frame<'_>, page: &CallPage, leg: &LegView, who: &str, look: Look, area: Rect) {
    let peer = leg.peer.as_deref().unwrap_or("a guest");
    let title = format!(" {who}: {peer} ");
    let block = look.block(&title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let codec = leg.codec.as_deref().unwrap_or("no codec yet");
    let lock = if leg.encrypted { ", encrypted" } else { "" };
    let mut lines = vec![
        Line::from(format!(" {} {codec}{lock}", leg.address)),
        Line::from(format!(" {:NAME$}{:>FIGURE$}{:>FIGURE$}", "", "heard here", "heard there"))
            .style(BOLD),
    ];
    for (name, (here, tone), (there, tone_there)) in detail::figures(leg) {
        lines.push(Line::from(vec![
            Span::raw(format!(" {name:NAME$}")),
            Span::styled(format!("{here:>FIGURE$}"), style(look, tone)),
            Span::styled(format!("{there:>FIGURE$}"), style(look, tone_there)),
        ]));
    }
    if let Some(timeline) = page.timelines.get(&leg.channel) {
        lines.extend(over_time(timeline, usize::from(inner.width), look));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

/// Loss, jitter and round trip since the page was opened, and what they are now.
fn over_time(timeline: &Timeline, width: usize, look: Look) -> Vec<Line<'static>> {
    const NOW: usize = 9;
    let room = width.saturating_sub(NAME + NOW + 1);
    let line = |name: &str, values: &[Option<f64>], least: f64, now: String, tone: Tone| {
        let spark = chart::spark(values, least, look);
        Line::from(vec![
            Span::raw(format!(" {name:NAME$}")),
            Span::styled(format!("{spark:<room$}"), style(look, tone)),
            Span::raw(format!("{now:>NOW$}")),
        ])
    };
    let now = |values: &[Option<f64>], unit: &str| match values.last().copied().flatten() {
        Some(value) => format!("{value:.1}{unit}"),
        None => "-".into(),
    };
    let loss = timeline.last(room, |look| look.loss);
    let jitter = timeline.last(room, |look| look.jitter);
    let trip = timeline.last(room, |look| look.round_trip);
    let worst = loss.iter().flatten().copied().fold(0.0, f64::max);
    let tone = match words::loss(worst) {
        Tone::Plain => Tone::Good,
        tone => tone,
    };
    // A little loss or jitter does not fill the line.
    vec![
        line("lost", &loss, 10.0, now(&loss, "%"), tone),
        line("jitter", &jitter, 20.0, now(&jitter, " ms"), Tone::Busy),
        line("round trip", &trip, 100.0, now(&trip, " ms"), Tone::Busy),
    ]
}
