//! The list: its tabs, headings, and the rows that are seen.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{BOLD, put, style};
use crate::terminal::Look;
use crate::top::list::{Cell, Column, List, Tone};
use crate::top::state::{State, Tab};
use crate::top::words;

/// Columns of a bar.
const BAR: usize = 8;

pub(super) fn draw(frame: &mut Frame<'_>, state: &State, look: Look, area: Rect) {
    tabs(frame, state, look, Rect { height: 1, ..area });
    let list = state.list();
    let places = placed(list, area.width);
    headings(frame, list, &places, look, area.y + 1);
    let rows = Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area };
    if list.total() == 0 {
        let text = if list.known { nothing(state) } else { "asking ...".into() };
        let lines = super::wrapped(&text, usize::from(area.width) - 2);
        let lines: Vec<Line<'_>> =
            lines.into_iter().map(|line| Line::from(format!(" {line}"))).collect();
        frame.render_widget(Paragraph::new(lines).style(style(look, Tone::Quiet)), rows);
        return;
    }
    for (y, place) in (rows.y..rows.bottom()).zip(list.seen()) {
        row(frame, state, place, &places, look, Rect { y, height: 1, ..rows });
    }
}

/// Columns that are shown, where each begins, and how wide it is.
fn placed(list: &List, width: u16) -> Vec<(usize, Column, u16, u16)> {
    let shown = list.columns.iter().enumerate();
    let shown: Vec<_> = shown.filter(|(_, column)| column.from <= width).collect();
    let gaps = u16::try_from(shown.len()).unwrap_or(0);
    let needed: u16 = shown.iter().map(|(_, column)| column.width).sum::<u16>() + gaps + 1;
    let growing = shown.iter().filter(|(_, column)| column.grows).count();
    let growing = u16::try_from(growing).unwrap_or(1).max(1);
    let spare = width.saturating_sub(needed);
    let (share, mut rest) = (spare / growing, spare % growing);
    let mut x = 2;
    let mut places = Vec::new();
    for (place, column) in shown {
        let mut width = column.width;
        if column.grows {
            width += share + rest.min(1);
            rest = rest.saturating_sub(1);
        }
        places.push((place, *column, x, width));
        x += width + 1;
    }
    places
}

fn tabs(frame: &mut Frame<'_>, state: &State, look: Look, area: Rect) {
    let mut spans = Vec::new();
    // A capture has calls alone.
    let tabs = if state.about.is_some() { &Tab::ALL[..1] } else { &Tab::ALL[..] };
    for (number, tab) in (1..).zip(tabs.iter().copied()) {
        let chosen = tab == state.tab;
        let mark = if chosen { BOLD.add_modifier(Modifier::REVERSED) } else { Style::new() };
        spans.push(Span::raw(" "));
        spans.push(Span::styled(format!(" {number} {} ", tab.name()), mark));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    let list = state.list();
    let mut said = Vec::new();
    if !state.marked.is_empty() {
        said.push(format!("{} marked", state.marked.len()));
    }
    if let Some(filter) = list.filters.get(list.filter).filter(|_| list.filter > 0) {
        said.push((*filter).to_string());
    }
    if !list.search.is_empty() {
        said.push(format!("/{}", list.search));
    }
    if list.known {
        said.push(match list.total() == list.all {
            true => words::count(list.all),
            false => format!("{} of {}", words::count(list.total()), words::count(list.all)),
        });
    }
    let said = format!("{} ", said.join("  "));
    let room = usize::from(area.width).saturating_sub(used);
    let said: String = match said.chars().count().checked_sub(room) {
        Some(over) => said.chars().skip(over).collect(),
        None => format!("{said:>room$}"),
    };
    spans.push(Span::styled(said, style(look, Tone::Busy)));
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

fn headings(
    frame: &mut Frame<'_>,
    list: &List,
    places: &[(usize, Column, u16, u16)],
    look: Look,
    y: u16,
) {
    let arrow = match (list.reversed, look.unicode) {
        (false, true) => "▲",
        (true, true) => "▼",
        (false, false) => "^",
        (true, false) => "v",
    };
    for (place, column, x, width) in places {
        let arrow = if *place == list.sort { arrow } else { "" };
        let text = format!("{}{arrow}", column.heading);
        let width = usize::from(*width);
        let text = if column.right { format!("{text:>width$}") } else { text };
        let style = if arrow.is_empty() { BOLD } else { BOLD.add_modifier(Modifier::UNDERLINED) };
        frame.buffer_mut().set_stringn(*x, y, text, width, style);
    }
}

fn row(
    frame: &mut Frame<'_>,
    state: &State,
    place: usize,
    places: &[(usize, Column, u16, u16)],
    look: Look,
    area: Rect,
) {
    let list = state.list();
    let chosen = place == list.cursor();
    let buffer = frame.buffer_mut();
    let Some(item) = list.row(place) else {
        buffer.set_string(area.x + 2, area.y, "...", style(look, Tone::Quiet));
        return;
    };
    let marked = state.tab == Tab::Calls && state.marked.contains(&item.key);
    let marker = match (chosen, marked) {
        (_, true) => "*",
        (true, false) => ">",
        (false, false) => " ",
    };
    buffer.set_string(area.x, area.y, marker, BOLD);
    for (number, column, x, width) in places {
        let Some(cell) = item.cells.get(*number) else { continue };
        let text = text_of(cell, usize::from(*width), column.right, look);
        put(buffer, (*x, area.y), *width, &text, style(look, cell.tone), look);
    }
    if chosen {
        buffer.set_style(area, Modifier::REVERSED);
    }
}

/// The text of a cell, where it stands in its column.
fn text_of(cell: &Cell, width: usize, right: bool, look: Look) -> String {
    match cell.share {
        Some(share) => {
            #[expect(clippy::cast_precision_loss, reason = "a bar is short")]
            let lit = share.clamp(0.0, 1.0) * BAR as f64;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 to the bar"
            )]
            let lit = lit.round() as usize;
            let (on, off) = if look.unicode { ("█", "░") } else { ("#", ".") };
            format!("{}{} {}", on.repeat(lit), off.repeat(BAR - lit), cell.text)
        }
        None if right => format!("{:>width$}", cell.text),
        None => cell.text.clone(),
    }
}

/// Why there is nothing, and what would be there.
fn nothing(state: &State) -> String {
    let list = state.list();
    if list.all > 0 || !list.search.is_empty() || list.filter > 0 {
        return "Nothing fits. l shows all again.".into();
    }
    match state.tab {
        Tab::Calls if state.about.is_some() => "There is no call of IAX2 in the capture; --port names its UDP ports, if not 4569. oneport decode says what else there is.",
        Tab::Calls => "No call is up. Calls appear here as they come; to place one: oneport call 127.0.0.1/echo",
        Tab::Trunks => "No trunk is configured: peers with an address or trunk = true are trunks.",
        Tab::Carriers => "No carrier is configured: [sip.carriers.NAME] makes one.",
        Tab::Peers => "No peer is configured: [peers.NAME] makes one.",
        Tab::Limits => "No limit is configured: [[limits]] caps calls by peer, number or route.",
        Tab::Events => "Nothing has happened since this began. Events appear here as they come, the newest first.",
    }
    .into()
}
