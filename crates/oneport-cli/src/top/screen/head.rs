//! Above everything: where and how the switch is, in figures.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{BOLD, chart, put, style};
use crate::terminal::Look;
use crate::top::list::Tone;
use crate::top::state::{Link, State};
use crate::top::words;
use oneport_switch::api::model::CallState;

/// How calls sound, from the best class of ITU-T G.109 to the worst.
const CLASSES: [(&str, Tone); 5] = [
    ("best", Tone::Good),
    ("high", Tone::Good),
    ("medium", Tone::Plain),
    ("low", Tone::Fair),
    ("bad", Tone::Bad),
];

/// Points of the last hour that are five minutes.
const FIVE_MINUTES: usize = 30;

pub(super) fn title(frame: &mut Frame<'_>, state: &State, look: Look, area: Rect) {
    if state.about.is_some() {
        let title = format!(" oneport top  {}", state.place);
        frame.render_widget(Paragraph::new(Line::from(title).style(BOLD)), area);
        return;
    }
    let (word, tone) = match &state.link {
        Link::Lost(_, since) => {
            let gone = state.now.saturating_sub(*since).as_secs();
            (format!("NO ANSWER for {gone} s"), Tone::Bad)
        }
        Link::Up if state.paused => ("PAUSED".into(), Tone::Fair),
        Link::Up if state.deaf.is_some() => ("live, no events".into(), Tone::Fair),
        Link::Up => ("live".into(), Tone::Good),
    };
    let up =
        state.known.status.as_ref().map(|status| {
            format!("  {}, up {}", status.version, words::span(status.uptime_seconds))
        });
    let left = format!(" oneport top  {}{}", state.place, up.unwrap_or_default());
    let right = format!("{word}  {} ", state.time_before(0.0));
    let room = usize::from(area.width).saturating_sub(left.chars().count());
    let right = format!("{right:>room$}");
    let spans = vec![Span::styled(left, BOLD), Span::styled(right, style(look, tone).patch(BOLD))];
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

/// Up to three lines of figures.
pub(super) fn figures(frame: &mut Frame<'_>, state: &State, look: Look, area: Rect) {
    if let Some(about) = &state.about {
        let lines: Vec<Line<'_>> =
            about.iter().map(|line| Line::from(format!(" {line}"))).collect();
        frame.render_widget(Paragraph::new(lines), area);
        return;
    }
    let lines = vec![calls(state, look), sound(state, look), health(state, look, area.width)];
    frame.render_widget(Paragraph::new(lines), area);
}

fn calls(state: &State, look: Look) -> Line<'static> {
    let Some(overview) = &state.known.overview else { return Line::from(" asking ...") };
    let refused = &overview.history.refused;
    let refused: u64 = refused.iter().rev().take(FIVE_MINUTES).sum();
    let figure = |name: &str, value: String, tone: Tone| {
        [Span::raw(format!("  {name} ")), Span::styled(value, style(look, tone).patch(BOLD))]
    };
    let alarm = |count: u64, tone: Tone| if count > 0 { tone } else { Tone::Plain };
    let answered = words::count(state.calls_in(CallState::Answered));
    let calls = format!("{} ({answered} answered)", words::count(overview.calls));
    let mut spans = vec![Span::raw(" calls "), Span::styled(calls, BOLD)];
    spans.extend(figure("set-ups", format!("{:.1}/s", overview.begun_per_second), Tone::Plain));
    spans.extend(figure("refused in 5 min", words::many(refused), alarm(refused, Tone::Fair)));
    let unheard = overview.one_way as u64;
    spans.extend(figure("not heard", words::many(unheard), alarm(unheard, Tone::Bad)));
    Line::from(spans)
}

fn sound(state: &State, look: Look) -> Line<'static> {
    let Some(overview) = &state.known.overview else { return Line::default() };
    let mut spans = vec![Span::raw(" MOS")];
    let classes = overview.mos.iter().zip(CLASSES).filter(|(class, _)| class.calls > 0);
    for (class, (name, tone)) in classes {
        let text = format!(" {name} {}", words::count(class.calls));
        spans.push(Span::styled(text, style(look, tone)));
    }
    if spans.len() == 1 {
        spans.push(Span::raw(" -"));
    }
    let process = &overview.process;
    let cpu = format!(
        "  CPU {:.0}% of {}%  answers in {:.1} ms  memory {}",
        process.cpu_percent,
        process.cores * 100,
        process.lag_ms,
        words::bytes(process.memory_peak_bytes),
    );
    spans.push(Span::raw(cpu));
    let lost = overview.sockets.overflowed;
    if lost > 0 {
        let text = format!("  {} lost at the socket", words::many(lost));
        spans.push(Span::styled(text, style(look, Tone::Bad)));
    }
    Line::from(spans)
}

/// What is wrong, else how many more calls fit.
fn health(state: &State, look: Look, width: u16) -> Line<'static> {
    if let Link::Lost(why, _) = &state.link {
        let text = format!(" what is shown is old: {why}");
        return Line::from(Span::styled(text, style(look, Tone::Bad)));
    }
    let status = state.known.status.as_ref();
    if let Some(why) = status.and_then(|status| status.refusing.as_ref()) {
        let text = format!(" NEW CALLS ARE REFUSED: {why}");
        return Line::from(Span::styled(text, style(look, Tone::Bad)));
    }
    let capacity = state.known.capacity.as_ref();
    let fits = match capacity.and_then(|capacity| capacity.forecast.as_ref()) {
        Some(told) => {
            let count = words::count;
            format!(
                " fit: {} more calls ({} to {})",
                count(told.calls),
                count(told.at_least),
                count(told.at_most)
            )
        }
        None => {
            let why = capacity.and_then(|capacity| capacity.why_not.as_deref());
            why.map(|why| format!(" fit: {why}")).unwrap_or_default()
        }
    };
    let troubles = status.map(|status| status.troubles.as_slice()).unwrap_or_default();
    match troubles {
        [] => Line::from(fits),
        [first, rest @ ..] => {
            let more =
                if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            let trouble = format!(" ! {first}{more}");
            let room = usize::from(width).saturating_sub(trouble.chars().count());
            let fits = match fits.chars().count() + 2 < room {
                true => format!(" {fits}"),
                false => String::new(),
            };
            Line::from(vec![Span::styled(trouble, style(look, Tone::Bad)), Span::raw(fits)])
        }
    }
}

/// The last hour.
pub(super) fn hour(frame: &mut Frame<'_>, state: &State, look: Look, area: Rect) {
    let Some(overview) = &state.known.overview else { return };
    let history = &overview.history;
    let width = usize::from(area.width).saturating_sub(2);
    let calls = chart::squeezed(&history.calls, width);
    let most = calls.iter().copied().max().unwrap_or(0);
    let minutes = history.seconds * history.calls.len() / 60;
    let refused: u64 = history.refused.iter().sum();
    let title = format!(
        " the last {minutes} min: at most {} calls at once, {} begun, {} refused",
        words::count(most),
        words::many(history.begun.iter().sum()),
        words::many(refused),
    );
    let buffer = frame.buffer_mut();
    put(buffer, (area.x, area.y), area.width, &title, style(look, Tone::Quiet), look);
    #[expect(clippy::cast_precision_loss, reason = "calls are fewer")]
    let values: Vec<Option<f64>> = calls.iter().map(|calls| Some(*calls as f64)).collect();
    #[expect(clippy::cast_precision_loss, reason = "calls are fewer")]
    let most = most as f64;
    let rows = usize::from(area.height.saturating_sub(1));
    for (row, text) in (area.y + 1..).zip(chart::bars(&values, most, rows, look)) {
        put(buffer, (area.x + 1, row), area.width - 1, &text, style(look, Tone::Busy), look);
    }
}
