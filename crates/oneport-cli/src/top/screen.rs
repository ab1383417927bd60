//! How it looks: draws a [`State`], and knows nothing else.
//!
//! It fits 80 columns and 24 rows. What colours say is said in words too, and where the terminal has
//! no Unicode or no colours, none are used.

mod call;
mod chart;
mod head;
mod help;
mod ladder;
mod table;
#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::detail::{self, Fact};
use super::list::Tone;
use super::state::{HOUR, Menu, MenuKind, Page, State, TALL};
use crate::terminal::Look;

/// Fewer columns and rows show nothing.
const LEAST: (u16, u16) = (80, 20);

/// How a tone looks.
fn style(look: Look, tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => look.colour(Color::Green),
        Tone::Fair => look.colour(Color::Yellow),
        Tone::Bad => look.colour(Color::Red).add_modifier(Modifier::BOLD),
        Tone::Busy => look.colour(Color::Cyan),
        Tone::Quiet => Style::new().add_modifier(Modifier::DIM),
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Writes `text` into so many columns of a row; where it is longer, its last one says so.
fn put(buffer: &mut Buffer, at: (u16, u16), width: u16, text: &str, style: Style, look: Look) {
    let width = usize::from(width);
    let (end, _) = buffer.set_stringn(at.0, at.1, text, width, style);
    let long = Span::raw(text).width() > width;
    if long && width > 1 && usize::from(end) == usize::from(at.0) + width {
        buffer.set_stringn(end - 1, at.1, if look.unicode { "…" } else { "~" }, 1, style);
    }
}

/// Draws it.
pub(crate) fn draw(frame: &mut Frame<'_>, state: &mut State, look: Look) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let (width, height) = LEAST;
        let text = format!("{width} columns and {height} rows are needed");
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    // What is opened needs more room than the lists.
    let hour = if area.height >= TALL && state.about.is_none() { HOUR } else { 0 };
    let figures = if state.pages.is_empty() || hour > 0 { 3 } else { 1 };
    let [title, figures, hour, body, said, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(figures),
        Constraint::Length(hour),
        Constraint::Min(4),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    head::title(frame, state, look, title);
    head::figures(frame, state, look, figures);
    if hour.height > 0 {
        head::hour(frame, state, look, hour);
    }
    draw_body(frame, state, look, body);
    draw_said(frame, state, look, said);
    draw_keys(frame, state, look, keys);
    if let Some(menu) = &state.menu {
        draw_menu(frame, menu, look, body);
    }
    if let Some(calls) = &state.confirm {
        draw_question(frame, calls, look, body);
    }
    if state.help.is_some() {
        help::draw(frame, state, look, area);
    }
}

fn draw_body(frame: &mut Frame<'_>, state: &mut State, look: Look, area: Rect) {
    let Some(mut page) = state.pages.pop() else {
        table::draw(frame, state, look, area);
        return;
    };
    match &mut page {
        Page::Call(page) => call::draw(frame, state, page, look, area),
        Page::Ladder(page) => ladder::draw(frame, page, look, area),
        Page::Facts(facts) => {
            let title = format!(" {}: {} ", state.tab.name(), facts.key);
            let block = look.block(&title);
            let inner = block.inner(area);
            frame.render_widget(block, area);
            let known = detail::of(&state.known, facts);
            let lines = known.unwrap_or_else(|| {
                let text = "it is not there any more".into();
                vec![Fact { name: String::new(), text, tone: Tone::Quiet }]
            });
            facts.top = draw_facts(frame, &lines, facts.top, look, inner);
        }
    }
    state.pages.push(page);
}

/// Breaks a text at spaces, into lines of so many columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut room = width;
    for word in text.split(' ') {
        let mut word = word;
        let needed = Span::raw(word).width();
        if needed >= room && room < width {
            lines.push(String::new());
            room = width;
        }
        // A word that fits no line is cut.
        while Span::raw(word).width() > width && width > 0 {
            let at = word.char_indices().nth(width).map_or(word.len(), |(at, _)| at);
            if let Some(line) = lines.last_mut() {
                line.push_str(&word[..at]);
            }
            lines.push(String::new());
            word = &word[at..];
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            room = width.saturating_sub(Span::raw(line.as_str()).width());
        }
    }
    lines
}

/// Draws lines from `top` on, and gives the `top` that was possible.
fn draw_facts(frame: &mut Frame<'_>, facts: &[Fact], top: usize, look: Look, area: Rect) -> usize {
    let longest = facts.iter().map(|fact| fact.name.chars().count()).max().unwrap_or(0);
    let names = longest.min(usize::from(area.width) / 3);
    let room = usize::from(area.width).saturating_sub(names + 4);
    let mut lines = Vec::new();
    for fact in facts {
        for (number, text) in wrapped(&fact.text, room).into_iter().enumerate() {
            let name = if number == 0 { fact.name.as_str() } else { "" };
            let name: String = name.chars().take(names).collect();
            lines.push(Line::from(vec![
                Span::styled(format!(" {name:<names$}  "), BOLD),
                Span::styled(text, style(look, fact.tone)),
            ]));
        }
    }
    let height = usize::from(area.height);
    let top = top.min(lines.len().saturating_sub(height));
    let more = lines.len().saturating_sub(top + height);
    let mut seen: Vec<Line<'_>> = lines.into_iter().skip(top).take(height).collect();
    if more > 0
        && let Some(last) = seen.last_mut()
    {
        *last = Line::from(format!(" {} more lines", more + 1)).style(style(look, Tone::Quiet));
    }
    frame.render_widget(Paragraph::new(seen), area);
    top
}

/// What is being typed, what was said last, or what there is to say of what is chosen.
fn draw_said(frame: &mut Frame<'_>, state: &State, look: Look, area: Rect) {
    let buffer = frame.buffer_mut();
    let at = (area.x + 1, area.y);
    let room = area.width.saturating_sub(2);
    let typed = state.entry.as_ref().map(|entry| format!("/{entry}"));
    let named = state.saving.as_ref().map(|(_, name)| format!("into the file: {name}"));
    if let Some(text) = named.or(typed) {
        put(buffer, at, room, &text, BOLD, look);
        let width = u16::try_from(Span::raw(text).width()).unwrap_or(room);
        frame.set_cursor_position((at.0 + width.min(room), at.1));
        return;
    }
    let notes = match state.pages.last() {
        Some(Page::Ladder(page)) => page.notes.get(&page.cursor).map(|notes| notes.join("; ")),
        _ => None,
    };
    let remark = || state.list().chosen().and_then(|item| item.remark.as_deref());
    if let Some(notice) = state.notice() {
        let style = look.colour(Color::Yellow).add_modifier(Modifier::BOLD);
        put(buffer, at, room, notice, style, look);
    } else if let Some(notes) = notes {
        put(buffer, at, room, &notes, style(look, Tone::Fair), look);
    } else if let (true, Some(remark)) = (state.pages.is_empty(), remark()) {
        put(buffer, at, room, remark, Style::new(), look);
    } else if let Some(deaf) = &state.deaf {
        let text = format!("no events: {deaf}");
        put(buffer, at, room, &text, style(look, Tone::Quiet), look);
    }
}

/// Keys that do something now.
fn keys_of(state: &State) -> &'static [(&'static str, &'static str)] {
    match state.pages.last() {
        _ if state.help.is_some() => &[("j k", "more"), ("any key", "closes this")],
        _ if state.confirm.is_some() => &[("y", "hangs up"), ("any other key", "does not")],
        _ if state.menu.is_some() => {
            &[("j k", "choose"), ("Enter", "takes it"), ("Esc", "never mind")]
        }
        _ if state.saving.is_some() => {
            &[("Enter", "writes it"), (".pcapng .txt .svg", "what"), ("Esc", "never mind")]
        }
        _ if state.entry.is_some() => &[("Enter", "goes on"), ("Esc", "shows all again")],
        Some(Page::Ladder(_)) if state.about.is_some() => &[
            ("j k", "choose"),
            ("Enter", "message"),
            ("a", "ACK"),
            ("F2", "save"),
            ("?", "help"),
            ("Esc", "back"),
        ],
        Some(_) if state.about.is_some() => {
            &[("Enter", "ladder"), ("j k", "more"), ("F2", "save"), ("?", "help"), ("Esc", "back")]
        }
        None if state.about.is_some() => &[
            ("Enter", "open"),
            ("x", "ladder"),
            ("/", "search"),
            ("f", "filter"),
            ("t z", "sort"),
            ("F2", "save"),
            ("?", "help"),
            ("q", "quit"),
        ],
        Some(Page::Call(_)) => &[
            ("Enter", "ladder"),
            ("j k", "more"),
            ("D", "hang up"),
            ("p", "pause"),
            ("?", "help"),
            ("Esc", "back"),
        ],
        Some(Page::Ladder(_)) => &[
            ("j k", "choose"),
            ("Enter", "message"),
            ("a", "ACK"),
            ("F2", "save"),
            ("D", "hang up"),
            ("p", "pause"),
            ("?", "help"),
            ("Esc", "back"),
        ],
        Some(Page::Facts(_)) => &[("j k", "more"), ("p", "pause"), ("?", "help"), ("Esc", "back")],
        None => &[
            ("Enter", "open"),
            ("x", "ladder"),
            ("/", "search"),
            ("f", "filter"),
            ("t z", "sort"),
            ("D", "hang up"),
            ("?", "help"),
            ("q", "quit"),
        ],
    }
}

fn draw_keys(frame: &mut Frame<'_>, state: &State, look: Look, area: Rect) {
    let mut spans = vec![Span::raw(" ")];
    for (key, does) in keys_of(state) {
        let bold = look.colour(Color::Cyan).add_modifier(Modifier::BOLD);
        spans.push(Span::styled(*key, bold));
        spans.push(Span::raw(format!(" {does}  ")));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

/// A place before the rest, in its middle.
fn popup(frame: &mut Frame<'_>, area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    let popup = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, popup);
    popup
}

fn draw_menu(frame: &mut Frame<'_>, menu: &Menu, look: Look, area: Rect) {
    let title = match menu.kind {
        MenuKind::Filter => " Show ",
        MenuKind::Sort => " Sort by (again: turn) ",
    };
    let height = u16::try_from(menu.choices.len()).unwrap_or(u16::MAX).saturating_add(2);
    let area = popup(frame, area, 34, height);
    let rows =
        menu.choices.iter().enumerate().map(|(place, (_, name))| match place == menu.cursor {
            true => Line::from(format!(" > {name:<28}")).style(Modifier::REVERSED),
            false => Line::from(format!("   {name}")),
        });
    let rows: Vec<Line<'_>> = rows.collect();
    frame.render_widget(Paragraph::new(rows).block(look.block(title)), area);
}

fn draw_question(frame: &mut Frame<'_>, calls: &[(String, String)], look: Look, area: Rect) {
    let question = match calls {
        [(_, words)] => format!("Hang up {words}?"),
        calls => format!("Hang up {} calls?", calls.len()),
    };
    let lines = [
        Line::from(format!(" {question}")).style(BOLD),
        Line::from(" It ends for both sides."),
        Line::from(" y hangs up, any other key does not."),
    ];
    let area = popup(frame, area, 60, 5);
    let block = look.block(" Hang up ").border_style(style(look, Tone::Bad));
    frame.render_widget(Paragraph::new(Vec::from(lines)).block(block), area);
}
