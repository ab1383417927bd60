//! Tables for terminals: 80 columns wide, or as the environment says (`COLUMNS`). Where the output goes
//! elsewhere, or is asked for (`--wide`), they have all columns, and nothing is shortened.

use std::io::IsTerminal;

use anstyle::Style;

/// How wide a terminal is at least.
const WIDTH: usize = 80;

/// How much room a table has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// So many columns; what is less important is left out.
    Columns(usize),
    /// As much as it needs.
    Any,
}

impl Room {
    /// What standard output has.
    pub(crate) fn of_output(wide: bool) -> Self {
        if wide || !std::io::stdout().is_terminal() {
            return Self::Any;
        }
        let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        Self::Columns(said.unwrap_or(WIDTH).max(WIDTH))
    }
}

/// To which side a column leans.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Left,
    Right,
}

/// A column: its heading, how its cells stand, whether it may be shortened to fit, and whether it is
/// there only where there is any room.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub(crate) heading: &'static str,
    pub(crate) side: Side,
    pub(crate) shrinks: bool,
    pub(crate) is_wide: bool,
}

pub(crate) const fn left(heading: &'static str) -> Column {
    Column { heading, side: Side::Left, shrinks: false, is_wide: false }
}

pub(crate) const fn right(heading: &'static str) -> Column {
    Column { heading, side: Side::Right, shrinks: false, is_wide: false }
}

/// A column for names, of which the end is left out where there is no room.
pub(crate) const fn name(heading: &'static str) -> Column {
    Column { heading, side: Side::Left, shrinks: true, is_wide: false }
}

/// A column that is there only where there is any room.
pub(crate) const fn wide(heading: &'static str) -> Column {
    Column { heading, side: Side::Left, shrinks: false, is_wide: true }
}

/// The table as text.
pub(crate) fn table(room: Room, columns: &[Column], rows: &[Vec<String>]) -> String {
    let shown: Vec<bool> =
        columns.iter().map(|column| room == Room::Any || !column.is_wide).collect();
    let of_shown = |cells: &[String]| -> Vec<String> {
        cells
            .iter()
            .zip(&shown)
            .filter(|(_, shown)| **shown)
            .map(|(cell, _)| cell.clone())
            .collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(|row| of_shown(row)).collect();
    let columns: Vec<Column> = columns
        .iter()
        .zip(&shown)
        .filter(|(_, shown)| **shown)
        .map(|(column, _)| *column)
        .collect();
    let count = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = columns.iter().map(|column| count(column.heading)).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(count(cell));
        }
    }
    // The widest that may shrink gives way.
    let gaps = columns.len().saturating_sub(1);
    let most = match room {
        Room::Columns(columns) => columns,
        Room::Any => usize::MAX,
    };
    while widths.iter().sum::<usize>() + gaps > most {
        let shrinking = columns
            .iter()
            .zip(&mut widths)
            .filter(|(column, width)| column.shrinks && **width > column.heading.len().max(6));
        match shrinking.max_by_key(|(_, width)| **width) {
            Some((_, width)) => *width -= 1,
            None => break,
        }
    }
    let line = |cells: &[String]| {
        let mut line = String::new();
        for ((column, width), cell) in columns.iter().zip(&widths).zip(cells) {
            let mut cell = cell.clone();
            if count(&cell) > *width && column.shrinks {
                cell = cell.chars().take(width - 1).collect();
                cell.push('~');
            }
            match column.side {
                Side::Left => line.push_str(&format!("{cell:<width$} ")),
                Side::Right => line.push_str(&format!("{cell:>width$} ")),
            }
        }
        line.trim_end().to_string()
    };
    let headings: Vec<String> = columns.iter().map(|column| column.heading.into()).collect();
    let mut text = heading(&line(&headings));
    for row in &rows {
        text.push('\n');
        text.push_str(&line(row));
    }
    text
}

/// Bold, on a terminal that has not been asked for no colours.
pub(crate) fn heading(text: &str) -> String {
    let bold = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match bold {
        true => format!("{}{text}{:#}", Style::new().bold(), Style::new().bold()),
        false => text.into(),
    }
}

/// A number of things: `1 call`, `2 calls`.
pub(crate) fn count(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    }
}

/// What is not known.
pub(crate) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// Seconds as hours, minutes and seconds.
pub(crate) fn clock(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "parts of a second are not shown"
    )]
    let seconds = seconds.max(0.0) as u64;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_its_terminal_and_shortens_names_alone() {
        let columns = [name("NAME"), right("CALLS"), wide("MORE"), left("STATE")];
        let rows = [
            vec!["a".repeat(100), "7".into(), "more".into(), "OK".into()],
            vec!["bé".into(), "12345".into(), "more".into(), "UNREACHABLE".into()],
        ];
        let all = table(Room::Any, &columns, &rows);
        assert!(all.contains(&"a".repeat(100)) && all.contains("12345 more"), "{all}");
        let text = table(Room::Columns(80), &columns, &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
        assert!(lines[1].contains("aaa~     7 OK"), "{text}");
        assert!(lines[2].ends_with("12345 UNREACHABLE"), "{text}");
        let column = |line: &str| line.chars().position(|c| "SOU".contains(c));
        assert_eq!(column(lines[1]), column(lines[2]));
    }

    #[test]
    fn one_of_a_thing_is_no_plural() {
        let counts = [0, 1, 2].map(|number| count(number, "call"));
        assert_eq!(counts, ["0 calls", "1 call", "2 calls"]);
    }

    #[test]
    fn time_is_read_as_on_a_clock() {
        assert_eq!(clock(0.9), "0:00:00");
        assert_eq!(clock(3_725.2), "1:02:05");
    }
}
