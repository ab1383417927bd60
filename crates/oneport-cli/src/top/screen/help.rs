//! What `?` shows.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::popup;
use crate::terminal::Look;
use crate::top::state::State;

const KEYS: [&str; 30] = [
    "1 - 6, Tab     calls, trunks, carriers, peers, limits, events",
    "j k, arrows    the next, the one before",
    "g G            the first, the last",
    "Ctrl-d Ctrl-u  half a screen on, or back",
    "Ctrl-f Ctrl-b  a whole one; Page Down, Page Up",
    "Enter          opens what is chosen; from a call on to its ladder",
    "x F4           the ladder of a call: messages of all its legs",
    "Esc q          back; q from a list ends it",
    "",
    "/ F3           searches, in all that a row says",
    "f F7           shows some only: by state, by kind",
    "l F9 Esc       shows all again",
    "< >            sorts by the column to the left, to the right",
    "t F10          sorts by a column that is chosen",
    "z              turns the order round",
    "c              calls of the chosen trunk, carrier or peer",
    "",
    "D Delete       hangs up, when asked once more; needs an operator",
    "Space          marks a call; D hangs up all that are marked",
    "Left Right     in a call, others who are rung for it",
    "r F6           in a ladder, the whole of a message",
    "a              in a ladder, acknowledgements as well, or not",
    "w F2           the call into a file: .pcapng, .txt or .svg",
    "i F5           forgets the events",
    "p              holds everything as it is, or goes on",
    "? h F1         this",
    "Ctrl-C         ends it",
    "",
    "! something ails a call      * it is marked",
    "E encrypted  R recorded  L listened to  T transcoded  O older process",
];

pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State, look: Look, area: Rect) {
    let Some(top) = state.help else { return };
    let body = Rect { height: area.height.saturating_sub(1), ..area };
    let lines = u16::try_from(KEYS.len()).unwrap_or(u16::MAX);
    let area = popup(frame, body, 72, lines.saturating_add(2));
    let seen = usize::from(area.height.saturating_sub(2));
    let top = top.min(KEYS.len().saturating_sub(seen));
    state.help = Some(top);
    let rows = KEYS.iter().skip(top).map(|row| Line::from(format!(" {row}")));
    let rows: Vec<Line<'_>> = rows.collect();
    frame.render_widget(Paragraph::new(rows).block(look.block(" Keys ")), area);
}
