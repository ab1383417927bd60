//! The messages of a call, all its legs on one axis of time.

use std::collections::BTreeMap;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use oneport_switch::api::model::{Ladder, LadderMessage};

use super::{BOLD, popup, style, wrapped};
use crate::ladder::draw;
use crate::terminal::Look;
use crate::top::list::Tone;
use crate::top::state::LadderPage;

pub(super) fn draw(frame: &mut Frame<'_>, page: &mut LadderPage, look: Look, area: Rect) {
    let mut title = vec![Span::styled(format!(" Ladder of call {}", page.id), BOLD)];
    if page.hidden() > 0 {
        let text = format!("  without {}", crate::table::count(page.hidden(), "ACK"));
        title.push(Span::styled(text, style(look, Tone::Quiet)));
    }
    frame.render_widget(Paragraph::new(Line::from(title)), Rect { height: 1, ..area });
    let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let messages = page.ladder.as_ref().filter(|ladder| !ladder.messages.is_empty());
    let Some(ladder) = messages else {
        let text = match (&page.why, &page.ladder) {
            (Some(why), _) => why.as_str(),
            (None, Some(_)) => {
                "the beginning of this call is no longer among the signalling that is kept"
            }
            (None, None) => "asking ...",
        };
        let lines = wrapped(text, usize::from(area.width) - 2);
        let lines: Vec<Line<'_>> =
            lines.into_iter().map(|line| Line::from(format!(" {line}"))).collect();
        frame.render_widget(Paragraph::new(lines).style(style(look, Tone::Quiet)), area);
        return;
    };
    let seen = usize::from(area.height.saturating_sub(1)).max(1);
    page.top = page.top.clamp((page.cursor + 1).saturating_sub(seen), page.cursor);
    page.top = page.top.min(ladder.messages.len().saturating_sub(seen));
    let how = draw::Look { unicode: look.unicode, columns: area.width.into() };
    let drawn = draw::draw(ladder, &page.here, &BTreeMap::new(), how);
    let line = |line: &draw::Line| -> Line<'static> {
        line.iter().map(|(tone, text)| Span::styled(text.clone(), tone_of(look, *tone))).collect()
    };
    // The names stay at the top.
    let mut rows: Vec<Line<'_>> = drawn.iter().take(1).map(line).collect();
    rows.extend(drawn.iter().skip(1 + page.top).take(seen).map(line));
    for place in page.notes.keys().filter(|place| **place >= page.top) {
        if let Some(row) = rows.get_mut(1 + place - page.top) {
            *row = std::mem::take(row).patch_style(look.colour(Color::Yellow).patch(BOLD));
        }
    }
    if let Some(chosen) = rows.get_mut(1 + page.cursor - page.top) {
        *chosen = std::mem::take(chosen).patch_style(Modifier::REVERSED);
    }
    if let Some(why) = &page.why
        && rows.len() <= seen
    {
        rows.push(Line::from(format!(" {why}")).style(style(look, Tone::Quiet)));
    }
    frame.render_widget(Paragraph::new(rows), area);
    if page.opened
        && let Some(message) = ladder.messages.get(page.cursor)
    {
        whole(frame, page, ladder, message, look, area);
    }
}

fn tone_of(look: Look, tone: draw::Tone) -> Style {
    match tone {
        draw::Tone::Plain => Style::new(),
        draw::Tone::Heading => BOLD,
        draw::Tone::Quiet => style(look, Tone::Quiet),
        draw::Tone::Good => style(look, Tone::Good),
        draw::Tone::Bad => style(look, Tone::Bad),
        draw::Tone::Again | draw::Tone::Note => look.colour(Color::Yellow),
    }
}

/// All of a message.
fn whole(
    frame: &mut Frame<'_>,
    page: &LadderPage,
    ladder: &Ladder,
    message: &LadderMessage,
    look: Look,
    area: Rect,
) {
    let width = area.width.saturating_sub(4).min(100);
    let far = ladder.legs.get(message.leg).map_or("", String::as_str);
    let here = &page.here;
    let way = match message.incoming {
        true => format!("{far} to {here}"),
        false => format!("{here} to {far}"),
    };
    let mut lines = vec![format!("{way}, at {:.3} s", message.ms / 1e3), String::new()];
    let room = usize::from(width.saturating_sub(4));
    let said = if message.text.is_empty() { &message.message } else { &message.text };
    lines.extend(wrapped(said, room));
    for note in page.notes.get(&page.cursor).into_iter().flatten() {
        lines.push(String::new());
        lines.extend(wrapped(&format!("! {note}"), room));
    }
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let area = popup(frame, area, width, height);
    let lines: Vec<Line<'_>> =
        lines.into_iter().map(|line| Line::from(format!(" {line}"))).collect();
    frame.render_widget(Paragraph::new(lines).block(look.block(" Message ")), area);
}
