//! Draws a ladder as a picture: SVG, light or dark as whoever looks at it wants.

use std::collections::BTreeMap;

use oneport_switch::api::model::Ladder;

use super::draw::{Tone, words};

/// All in pixels.
const TIME: usize = 90;
const ROW: usize = 26;
const NOTE: usize = 18;
const GAP: usize = 330;
const TOP: usize = 64;
/// Widths of a character of a note and of a title, in tenths of a pixel.
const NOTE_CHARACTER: usize = 74;
const TITLE_CHARACTER: usize = 86;

const STYLE: &str = "\
svg{background:#fff;font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#1b1f24}
.title{font-weight:bold;font-size:14px}.name{font-weight:bold}.time,.quiet{fill:#656d76}
.life{stroke:#b6bec8;stroke-width:1}.shaft{stroke:#1b1f24;stroke-width:1.3}
.quiet-shaft{stroke:#8c959f}.good{fill:#116329}.good-shaft{stroke:#116329}.bad{fill:#b3202a;font-weight:bold}
.bad-shaft{stroke:#b3202a}.again{fill:#8a5300}.again-shaft{stroke:#8a5300;stroke-dasharray:5 3}.note{fill:#8a5300;font-size:12px}
@media (prefers-color-scheme:dark){svg{background:#0d1117;fill:#e6edf3}.time,.quiet{fill:#8d96a0}.life{stroke:#3d444d}
.shaft{stroke:#e6edf3}.quiet-shaft{stroke:#656d76}.good{fill:#56d364}.good-shaft{stroke:#56d364}.bad{fill:#ff7b72}
.bad-shaft{stroke:#ff7b72}.again{fill:#e3b341}.again-shaft{stroke:#e3b341}.note{fill:#e3b341}}";

/// Text that stands in XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no other control characters.
            c if c.is_control() => out.push('.'),
            c => out.push(c),
        }
    }
    out
}

const fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain | Tone::Heading => "plain",
        Tone::Quiet => "quiet",
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Again => "again",
        Tone::Note => "note",
    }
}

/// The lines of a note that have room for so many characters.
fn folded(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

/// A ladder as SVG, with a title over it; the rest is as with [`draw`](super::draw::draw).
pub(crate) fn svg(
    title: &str,
    ladder: &Ladder,
    here: &str,
    notes: &BTreeMap<usize, Vec<String>>,
) -> String {
    let gaps = ladder.legs.len().max(1);
    let titles: Vec<&str> = title.lines().collect();
    let top = TOP + titles.len() * 20;
    let place = |n: usize| TIME + 20 + n * GAP;
    let of_leg = |leg: usize| place(if leg == 0 { 0 } else { leg + 1 });
    let mut names: Vec<&str> = Vec::new();
    names.extend(ladder.legs.first().map(String::as_str));
    names.push(here);
    names.extend(ladder.legs.iter().skip(1).map(String::as_str));
    let longest = titles.iter().map(|line| line.chars().count()).max().unwrap_or_default();
    let width = (place(gaps) + 110).max(longest * TITLE_CHARACTER / 10 + 40);
    let room = (width - place(0) - 40) * 10 / NOTE_CHARACTER;
    let mut rows = String::new();
    let mut y = top;
    for (n, message) in ladder.messages.iter().enumerate() {
        y += ROW;
        let (end, middle) = (of_leg(message.leg), place(1));
        let (from, to) = if message.incoming { (end, middle) } else { (middle, end) };
        let class = class(Tone::of(message));
        let words = words(message);
        let head = if from < to { to - 8 } else { to + 8 };
        rows.push_str(&format!(
            "<text class=\"time\" x=\"{TIME}\" y=\"{y}\" text-anchor=\"end\">{:.3}</text>\
             <line class=\"shaft {class}-shaft\" x1=\"{from}\" y1=\"{line}\" x2=\"{head}\" y2=\"{line}\"/>\
             <path class=\"{class}\" d=\"M{to} {line}L{head} {up}L{head} {down}Z\"/>\
             <text class=\"{class}\" x=\"{centre}\" y=\"{text}\" text-anchor=\"middle\">{}{}</text>\n",
            message.ms / 1_000.0,
            hover(&message.text),
            escaped(&shortened(&words)),
            line = y,
            up = y - 4,
            down = y + 4,
            centre = usize::midpoint(from, to),
            text = y - 5,
        ));
        for text in notes.get(&n).into_iter().flatten() {
            for (n, line) in folded(text, room).iter().enumerate() {
                y += NOTE;
                let mark = if n == 0 { "! " } else { "  " };
                let x = place(0) + 12;
                let line = escaped(line);
                rows.push_str(&format!(
                    "<text class=\"note\" x=\"{x}\" y=\"{y}\" xml:space=\"preserve\">{mark}{line}</text>\n"
                ));
            }
        }
    }
    let height = y + ROW;
    let mut heads = String::new();
    for (n, line) in titles.iter().enumerate() {
        let y = 24 + n * 20;
        heads.push_str(&format!(
            "<text class=\"title\" x=\"20\" y=\"{y}\">{}</text>\n",
            escaped(line)
        ));
    }
    for (n, name) in names.iter().enumerate() {
        let (x, y) = (place(n), top - 12);
        let bottom = height - ROW / 2;
        heads.push_str(&format!(
            "<text class=\"name\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{}</text>\
             <line class=\"life\" x1=\"{x}\" y1=\"{top}\" x2=\"{x}\" y2=\"{bottom}\"/>\n",
            escaped(name),
        ));
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n\
         {heads}{rows}</svg>\n",
        escaped(title),
    )
}

/// All that a message says, for whoever points at it.
fn hover(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(text)) }
}

/// What has room between two lifelines.
fn shortened(text: &str) -> String {
    const MOST: usize = 38;
    if text.chars().count() <= MOST {
        return text.into();
    }
    let mut short: String = text.chars().take(MOST - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_switch::api::model::LadderMessage;

    #[test]
    fn what_others_write_stays_text_in_the_picture() {
        let message = LadderMessage {
            ms: 1.0,
            leg: 0,
            incoming: true,
            message: "TEXT </text><script>alert(\"1\")</script>".into(),
            repeated: false,
            encrypted: false,
            text: "<b>&\u{0}".into(),
        };
        let ladder = Ladder { legs: vec!["<i>".into()], messages: vec![message] };
        let notes = BTreeMap::from([(0, vec!["<u>".to_string()])]);
        let picture = svg("<title>", &ladder, "<s>", &notes);
        for raw in ["<script", "<b>", "<i>", "<u>", "<s>", "\u{0}"] {
            assert!(!picture.contains(raw), "{raw}: {picture}");
        }
        // A title, a style, two names with their lifelines, a message, a note.
        assert_eq!(picture.matches("<text").count(), 6);
        assert_eq!(picture.matches("<line").count(), 3);
    }
}
